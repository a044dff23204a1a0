// SPDX-License-Identifier: MIT
// Another thread wakes the loop, which answers by an eventfd: SIZE round trips, in wall time (case round_trip); or it wakes
// it SIZE times as fast as it can once the first is answered (case flood): `operations` are then the wake-ups that it has
// seen, and the time is the loop's.
// A `Loop` has Loop(callback), wake() for the other thread, turn().
#ifndef BENCH_WAKE_HPP
#define BENCH_WAKE_HPP

#include <pthread.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "measure.hpp"

namespace bench {
struct Wakes {
  int answers = eventfd(0, EFD_CLOEXEC);
  std::size_t woken = 0, trips = 0;
  bool flood = false, over = false;
  void on_wake() {
    ++woken;
    const std::uint64_t one = 1;
    if ((!flood || woken == 1) && write(answers, &one, sizeof one) != sizeof one) fail("write");
  }
};
inline Wakes wakes;

template <class Loop> struct Other {
  static void* run(void* context) {
    auto& loop = *static_cast<Loop*>(context);
    for (std::size_t i = 0; i < wakes.trips; ++i) {
      std::uint64_t count;
      loop.wake();
      if ((!wakes.flood || i == 0) && read(wakes.answers, &count, sizeof count) != sizeof count) fail("read");
    }
    __atomic_store_n(&wakes.over, true, __ATOMIC_RELEASE);
    loop.wake();
    return nullptr;
  }
};

template <class Loop> int time_wakes(int argc, char** argv) {
  const Arguments arguments = parse(argc, argv);
  if (!arguments.is("round_trip") && !arguments.is("flood")) no_such_case();
  static Loop loop;
  wakes.trips = arguments.size * arguments.repeats;
  wakes.flood = arguments.is("flood");
  Stopwatch stopwatch;
  if (!wakes.flood) stopwatch.clock = CLOCK_PROCESS_CPUTIME_ID;
  pthread_t thread;
  if (pthread_create(&thread, nullptr, &Other<Loop>::run, &loop) != 0) fail("pthread_create");
  stopwatch.measure(wakes.trips, [] {
    while (!__atomic_load_n(&wakes.over, __ATOMIC_ACQUIRE)) loop.turn();
  });
  pthread_join(thread, nullptr);
  if (wakes.flood) stopwatch.operations = wakes.woken;
  stopwatch.print();
  return 0;
}
}  // namespace bench

#endif  // BENCH_WAKE_HPP
