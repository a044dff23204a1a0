// SPDX-License-Identifier: MIT
// Timers, SIZE of them: the same cases for every library, which gives a class `Timers` with
//   Timers(std::size_t n)                       n timers, none armed
//   void arm(std::size_t i, std::uint32_t us)   by the loop's own idea of now
//   void cancel(std::size_t i)
//   void arm_idle(i), rearm_idle(i)             an idle timeout of a minute, begun and pushed back, as after each message
//   void settle()                               what a library puts off until the end of such calls
//   void update()                               the loop has a look at the clock
//   std::size_t expire()                        one turn; how many have fired in all
#ifndef BENCH_TIMERS_HPP
#define BENCH_TIMERS_HPP

#include <vector>

#include "measure.hpp"

namespace bench {
template <class Timers> int time_timers(int argc, char** argv) {
  const Arguments arguments = parse(argc, argv);
  const std::size_t n = arguments.size;
  Timers timers(n);
  Random random;
  Stopwatch stopwatch;
  std::vector<std::uint32_t> order(n), delays(n);
  for (std::size_t i = 0; i < n; ++i) order[i] = static_cast<std::uint32_t>(i);
  const auto pick_delays = [&](std::uint32_t from, std::uint32_t span) {
    for (std::uint32_t& delay : delays) delay = from + random.next() % span;
  };
  const auto arm_all = [&] {
    for (std::size_t i = 0; i < n; ++i) timers.arm(order[i], delays[i]);
    timers.settle();
  };
  const auto cancel_all = [&] {
    for (std::size_t i = 0; i < n; ++i) timers.cancel(order[i]);
    timers.settle();
  };
  std::size_t fired = 0;
  for (std::size_t r = 0; r < arguments.repeats; ++r) {
    random.shuffle(order.data(), n);
    timers.update();
    pick_delays(1000000, 59000000);
    if (arguments.is("arm")) {
      stopwatch.measure(n, arm_all);
      cancel_all();
    } else if (arguments.is("cancel")) {
      arm_all();
      random.shuffle(order.data(), n);
      stopwatch.measure(n, cancel_all);
    } else if (arguments.is("rearm_random")) {
      arm_all();
      random.shuffle(order.data(), n);
      pick_delays(1000000, 59000000);
      timers.update();
      stopwatch.measure(n, arm_all);
      cancel_all();
    } else if (arguments.is("rearm_idle")) {
      for (std::size_t i = 0; i < n; ++i) timers.arm_idle(order[i]);
      random.shuffle(order.data(), n);
      timers.update();
      stopwatch.measure(n, [&] {
        for (std::size_t i = 0; i < n; ++i) timers.rearm_idle(order[i]);
        timers.settle();
      });
      cancel_all();
    } else if (arguments.is("expire")) {
      pick_delays(0, 2000);
      for (std::size_t i = 0; i < n; ++i) timers.arm(order[i], delays[i]);  // settling, some would fire too early
      const timespec pause{0, 4000000};
      nanosleep(&pause, nullptr);
      fired += n;
      stopwatch.measure(n, [&] {
        while (timers.expire() != fired) continue;
      });
    } else {
      no_such_case();
    }
  }
  stopwatch.print();
  return 0;
}
}  // namespace bench

#endif  // BENCH_TIMERS_HPP
