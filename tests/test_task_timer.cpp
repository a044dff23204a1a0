// SPDX-License-Identifier: MIT
// Rooms: time/task_timer.hpp, sync/with_timeout.hpp.
// Tasks that sleep, that tick, and that wait for a limited time.
#include <memory>
#include <vector>

#include "support/tasks.hpp"

using mote::Clock;
using mote::Duration;
using mote::Instant;
using mote::Outcome;
using mote::Poll;
using mote::Result;
using mote::StateMachine;
using mote::Step;
using mote::Stream;
using mote::Task;
using mote::TaskHandle;
using mote::TaskPool;
using mote::TaskTimer;
using namespace std::chrono_literals;
using test::Body;
using test::open_stream;
using test::Plain;
using test::run_until;
using test::turn;

namespace {

// Goes on until the clock shows that instant: a condition, as far as a test of time can have one.
void pass(Instant instant) {
  while (Clock::now() < instant) {}
}

}  // namespace

// ------------------------------------------------------------------------------------------------ sleeping and ticking

ON_BOTH_SELECTORS("tasks: sleep ends after its time and never before") {
  test::Loop<S> loop;
  TaskPool<Plain, 1> pool;
  TaskTimer timer;
  Instant woken{};
  auto body = [&](Task& task) -> Step {
    Poll<Result<void>> slept = timer.sleep(3ms).poll(task);
    if (!slept.ready()) return mote::pending;
    CHECK(*slept);
    woken = Clock::now();
    return mote::done();
  };
  REQUIRE(pool.spawn(loop, Body(body)));
  const Instant start = Clock::now();
  REQUIRE(loop.run());
  CHECK(woken >= start + 3ms);
  CHECK(loop.stats().steps == 2);
}

ON_BOTH_SELECTORS("tasks: a tick comes at every period, and tells how many have gone by since the last") {
  struct Ticker : StateMachine {
    TaskTimer timer;
    std::vector<std::uint32_t>& ticks;
    Result<std::uint32_t> ticked;
    explicit Ticker(std::vector<std::uint32_t>& t) : ticks(t) {}
    Step step() {
      MOTE_BEGIN();
      while (ticks.size() < 4) {
        MOTE_AWAIT(ticked, timer.tick(2ms));
        if (!ticked) return mote::failed(ticked.error());
        ticks.push_back(*ticked);
      }
      MOTE_END();
    }
  };
  test::Loop<S> loop;
  TaskPool<Ticker, 1> pool;
  std::vector<std::uint32_t> ticks;
  const Instant start = Clock::now();
  Result<TaskHandle> handle = pool.spawn(loop, ticks);
  turn(loop);
  pass(start + 20ms);  // late: at least nine periods go by
  REQUIRE(run_until(loop, [&] { return !ticks.empty(); }));
  CHECK(ticks[0] >= 9);
  REQUIRE(loop.run());
  CHECK(handle->outcome().kind == Outcome::Kind::done);
  std::uint32_t all = 0;
  for (const std::uint32_t n : ticks) all += n;
  CHECK(Clock::now() >= start + all * 2ms);  // no tick before its time
}

ON_BOTH_SELECTORS("tasks: a cancelled tick answers ECANCELED, and the next call begins anew") {
  test::Loop<S> loop;
  TaskPool<Plain, 1> pool;
  TaskTimer timer;
  std::vector<int> log;
  auto body = [&](Task& task) -> Step {
    Poll<Result<std::uint32_t>> tick = timer.tick(log.empty() ? Duration(1h) : Duration(1ms)).poll(task);
    while (tick.ready()) {
      log.push_back(*tick ? 0 : tick->error().code());
      if (*tick) return mote::done();
      tick = timer.tick(1ms).poll(task);
    }
    return mote::pending;
  };
  Result<TaskHandle> handle = pool.spawn(loop, Body(body));
  turn(loop);
  handle->cancel();
  REQUIRE(run_until(loop, [&] { return handle->outcome().kind == Outcome::Kind::done; }));
  CHECK(log == std::vector<int>{ECANCELED, 0});
}

ON_BOTH_SELECTORS("tasks: a timer that one task sleeps on answers EBUSY to another") {
  test::Loop<S> loop;
  TaskPool<Plain, 2> pool;
  TaskTimer timer;
  std::vector<int> log;
  auto body = [&](Task& task) -> Step {
    Poll<Result<void>> slept = timer.sleep(2ms).poll(task);
    if (!slept.ready()) return mote::pending;
    log.push_back(*slept ? 0 : slept->error().code());
    return mote::done();
  };
  REQUIRE(pool.spawn(loop, Body(body)));
  REQUIRE(pool.spawn(loop, Body(body)));
  REQUIRE(loop.run());
  CHECK(log == std::vector<int>{EBUSY, 0});
}

ON_BOTH_SELECTORS("tasks: a timer that goes before its time leaves the task that waited for it alone") {
  test::Loop<S> loop;
  TaskPool<Plain, 1> pool;
  auto timer = std::make_unique<TaskTimer>();
  int steps = 0;
  auto body = [&](Task& task) -> Step {
    ++steps;
    if (timer == nullptr) return mote::done();
    static_cast<void>(timer->sleep(1ms).poll(task));
    return mote::pending;
  };
  Result<TaskHandle> handle = pool.spawn(loop, Body(body));
  turn(loop);
  timer.reset();
  CHECK(loop.next_deadline() == Instant::max());
  turn(loop);
  CHECK(steps == 1);
  handle->get()->wake();
  turn(loop);
  CHECK(handle->outcome().kind == Outcome::Kind::done);
}

// ------------------------------------------------------------------------------------------------ with a time limit

namespace {

// Reads with a time limit, again and again, and notes what each gave: bytes, or an error as a negative number.
struct Impatient : StateMachine {
  Stream stream;
  Duration limit;
  std::vector<int>& log;
  std::size_t reads;
  Result<std::size_t> got;
  TaskTimer timer;
  char bytes[16];

  Impatient(Stream&& s, Duration d, std::vector<int>& l, std::size_t n)
      : stream(std::move(s)), limit(d), log(l), reads(n) {}
  Step step() {
    MOTE_BEGIN();
    while (log.size() < reads) {
      MOTE_AWAIT(got, mote::with_timeout(timer, limit, stream.read(bytes)));
      log.push_back(got ? static_cast<int>(*got) : -got.error().code());
      limit = 1h;  // the first one's alone is short
    }
    MOTE_END();
  }
};

}  // namespace

ON_BOTH_SELECTORS("tasks: a time-out answers ETIMEDOUT, and what comes later is for the next operation") {
  test::Loop<S> loop;
  TaskPool<Impatient, 1> pool;
  test::Pair pair = test::socket_pair();
  std::vector<int> log;
  REQUIRE(pool.spawn(loop, open_stream(loop, std::move(pair.a)), 2ms, log, std::size_t{2}));
  const Instant start = Clock::now();
  REQUIRE(run_until(loop, [&] { return !log.empty(); }));
  CHECK(Clock::now() >= start + 2ms);
  REQUIRE(log[0] == -ETIMEDOUT);
  REQUIRE(test::send_text(pair.b.get(), "abc") == 3);
  while (log.back() == -ETIMEDOUT && log.size() == 1) turn(loop);
  CHECK(log[1] == 3);
  CHECK(loop.run());
}

ON_BOTH_SELECTORS("tasks: timeout fires as data arrives: one result, the data, and the time-out is gone") {
  test::Loop<S> loop;
  TaskPool<Impatient, 1> pool;
  test::Pair pair = test::socket_pair();
  std::vector<int> log;
  REQUIRE(pool.spawn(loop, open_stream(loop, std::move(pair.a)), 2ms, log, std::size_t{1}));
  turn(loop);
  const Instant deadline = loop.next_deadline();
  REQUIRE(test::send_text(pair.b.get(), "abc") == 3);
  pass(deadline);
  const std::uint64_t fired = loop.stats().timers_fired, events = loop.stats().events;
  turn(loop);
  REQUIRE(loop.stats().timers_fired == fired + 1);  // both in this turn
  REQUIRE(loop.stats().events == events + 1);
  CHECK(log.empty());
  turn(loop);
  CHECK(log == std::vector<int>{3});
  CHECK(loop.stats().tasks == 0);
  CHECK(loop.next_deadline() == Instant::max());
}

ON_BOTH_SELECTORS("tasks: data in time cancel the time-out, and each operation has its own limit") {
  test::Loop<S> loop;
  TaskPool<Impatient, 1> pool;
  test::Pair pair = test::socket_pair();
  std::vector<int> log;
  REQUIRE(pool.spawn(loop, open_stream(loop, std::move(pair.a)), 1h, log, std::size_t{3}));
  turn(loop);
  const Instant first = loop.next_deadline();
  CHECK(first < Instant::max());
  REQUIRE(test::send_text(pair.b.get(), "abc") == 3);
  REQUIRE(run_until(loop, [&] { return log.size() == 1; }));
  CHECK(log == std::vector<int>{3});
  CHECK(loop.next_deadline() > first);
  pair.b.close();
  REQUIRE(loop.run());
  CHECK(log == std::vector<int>{3, 0, 0});
  CHECK(loop.next_deadline() == Instant::max());
}

ON_BOTH_SELECTORS("tasks: cancelling an operation with a time-out answers ECANCELED and stops the timer") {
  test::Loop<S> loop;
  TaskPool<Impatient, 1> pool;
  test::Pair pair = test::socket_pair();
  std::vector<int> log;
  Result<TaskHandle> handle = pool.spawn(loop, open_stream(loop, std::move(pair.a)), 1h, log, std::size_t{1});
  turn(loop);
  handle->cancel();
  turn(loop);
  CHECK(log == std::vector<int>{-ECANCELED});
  CHECK(loop.next_deadline() == Instant::max());
  CHECK(loop.run());
}

ON_BOTH_SELECTORS("tasks: a timer that a time-out has left behind begins anew") {
  test::Loop<S> loop;
  TaskPool<Plain, 1> pool;
  TaskTimer limit, inner;
  int stage = 0;
  mote::Instant began{};
  mote::Duration slept{};
  auto body = [&](Task& task) -> Step {
    if (stage == 0) {
      auto timed = mote::with_timeout(limit, 5ms, inner.sleep(20ms)).poll(task);
      if (!timed.ready()) return mote::pending;
      CHECK(timed->error() == ETIMEDOUT);
      began = mote::Clock::now();
      stage = 1;
    }
    auto polled = inner.sleep(60ms).poll(task);
    if (!polled.ready()) return mote::pending;
    slept = mote::Clock::now() - began;
    return mote::done();
  };
  REQUIRE(pool.spawn(loop, Body(body)));
  REQUIRE(loop.run());
  CHECK(slept >= 60ms);
}
