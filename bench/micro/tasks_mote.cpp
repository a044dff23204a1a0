// SPDX-License-Identifier: MIT
// Tasks and coroutines, SIZE at a time: from spawn to end; a child that is awaited; a turn that is given up.
#include <mote.hpp>

#include "measure.hpp"

namespace {
constexpr std::size_t most = 1024;
mote::StaticReactor<> reactor;

struct Job : mote::StateMachine {
  std::size_t* ended;
  mote::Step step() {
    ++*ended;
    return mote::done();
  }
};
mote::TaskPool<Job, most> jobs;

struct Yielder : mote::StateMachine {
  std::size_t left;
  mote::Step step() {
    MOTE_BEGIN();
    while (left-- != 0) MOTE_YIELD();
    MOTE_END();
  }
};
mote::TaskPool<Yielder, most> yielders;

mote::FramePool<512, most> frames;
mote::CoroutinePool<most> coroutines;

mote::Co<void> job(mote::FrameSource&, std::size_t& ended) {
  ++ended;
  co_return;
}
mote::Co<int> child(mote::FrameSource&, int a) { co_return a + 1; }
mote::Co<void> parent(mote::FrameSource& from, std::size_t children, int& sum) {
  while (children-- != 0) {
    const mote::Result<int> got = co_await child(from, sum);
    if (got) sum = *got;
  }
}
mote::Co<void> yielder(mote::FrameSource&, std::size_t left) {
  while (left-- != 0) static_cast<void>(co_await mote::yield());
}

void turn() { static_cast<void>(reactor.run_once(mote::Duration::zero())); }
}  // namespace

int main(int argc, char** argv) {
  const bench::Arguments arguments = bench::parse(argc, argv);
  const std::size_t n = arguments.size;
  if (!reactor.open() || n > most) bench::fail("open");
  bench::Stopwatch stopwatch;
  std::size_t ended = 0;
  int sum = 0;
  for (std::size_t r = 0; r < arguments.repeats; ++r) {
    if (arguments.is("task")) {
      stopwatch.measure(n, [&] {
        for (std::size_t i = 0; i < n; ++i) static_cast<void>(jobs.spawn(reactor, &ended));
        turn();
      });
    } else if (arguments.is("coroutine")) {
      stopwatch.measure(n, [&] {
        for (std::size_t i = 0; i < n; ++i) static_cast<void>(coroutines.spawn(reactor, job(frames, ended)));
        turn();
      });
    } else if (arguments.is("child")) {
      static_cast<void>(coroutines.spawn(reactor, parent(frames, n, sum)));
      stopwatch.measure(n, turn);
    } else if (arguments.is("task_yield")) {
      for (std::size_t i = 0; i < n; ++i) static_cast<void>(yielders.spawn(reactor, std::size_t{10}));
      turn();
      stopwatch.measure(n, turn);
      while (yielders.size() != 0) turn();
    } else if (arguments.is("coroutine_yield")) {
      for (std::size_t i = 0; i < n; ++i) static_cast<void>(coroutines.spawn(reactor, yielder(frames, 10)));
      turn();
      stopwatch.measure(n, turn);
      while (coroutines.size() != 0) turn();
    } else {
      bench::no_such_case();
    }
  }
  stopwatch.print();
  return 0;
}
