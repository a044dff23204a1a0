// SPDX-License-Identifier: MIT
// Rooms: base/exceptions.hpp, reactor/loop.hpp, task/scheduler.hpp, time/timer.hpp, thread/waker.hpp.
// A program that is built with exceptions: whatever throws, in whatever the loop calls, leaves the run; nothing is lost,
// and the next run goes on.
#include <sys/resource.h>

#include <algorithm>
#include <csignal>
#include <exception>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "support/tasks.hpp"

namespace {

using mote::Duration;
using mote::Error;
using mote::Interest;
using mote::Outcome;
using mote::Readiness;
using mote::Result;
using mote::Step;
using mote::Task;
using mote::TaskHandle;
using mote::TaskPool;
using namespace std::chrono_literals;
using test::Body;
using test::error_of;
using test::Plain;
using test::turn;

struct Thrown {
  int by;
};

// Runs until it is caught: what has thrown, or -1.
template <class Run> int caught(Run&& run) {
  try {
    static_cast<void>(run());
  } catch (const Thrown& thrown) { return thrown.by; }
  return -1;
}
void ignore(const mote::Observation&) {}
int caught_in_turn(mote::Reactor& loop) {
  return caught([&] { return loop.run_once(0ns); });
}

}  // namespace

// =====================================================================================================================
// One at a time
// =====================================================================================================================

ON_BOTH_SELECTORS("exceptions: a handler's leaves each kind of run, which is not refused afterwards") {
  test::Loop<S> loop;
  test::Pair pair = test::pipe_pair();
  int calls = 0;
  const auto handler = [&](Readiness) {
    ++calls;
    if (calls <= 3) throw Thrown{calls};
    char byte;
    CHECK(::read(pair.a.get(), &byte, 1) == 1);
    loop.stop();
  };
  REQUIRE(loop.add(pair.a.get(), Interest::read, handler));
  REQUIRE(test::send_text(pair.b.get(), "x") == 1);
  CHECK(caught([&] { return loop.run(); }) == 1);
  CHECK_FALSE(loop.running());
  CHECK(caught([&] { return loop.run_for(1h); }) == 2);
  CHECK(caught([&] { return loop.run_once(); }) == 3);
  CHECK(loop.run());
  CHECK(calls == 4);
}

ON_BOTH_SELECTORS(
    "exceptions: a task whose step throws has failed with ENOTRECOVERABLE: joiner, observer, counts, name") {
  test::Loop<S> loop;
  int observed = 0;
  const auto observer = [&](const mote::Observation& seen) {
    CHECK(seen.kind == mote::Observation::task_failed);
    CHECK(seen.error == ENOTRECOVERABLE);
    CHECK(std::string(seen.task->name()).find("Plain") != std::string::npos);
    ++observed;
  };
  loop.observe(observer);
  const auto throws = [](Task&) -> Step { throw Thrown{7}; };
  TaskPool<Plain, 2> pool;
  TaskPool<test::Joiner, 1> joiners;
  Result<TaskHandle> held = pool.spawn(loop, Body(throws));
  Result<Outcome> told;
  REQUIRE(joiners.spawn(loop, *held, told));
  REQUIRE(pool.spawn(loop, Body(throws)));  // held by nobody
  CHECK(caught_in_turn(loop) == 7);
  CHECK(held->outcome().kind == Outcome::Kind::failed);  // at once
  CHECK(held->outcome().error == ENOTRECOVERABLE);
  CHECK(loop.stats().tasks_failed == 1);
  CHECK(observed == 0);
  CHECK(caught_in_turn(loop) == 7);
  CHECK(observed == 1);
  CHECK(loop.run());
  REQUIRE(told);
  CHECK(told->error == ENOTRECOVERABLE);
  CHECK(pool.size() == 0);
  CHECK(loop.stats().tasks_failed == 2);
  CHECK(loop.stats().tasks_spawned == loop.stats().tasks_ended);
}

ON_BOTH_SELECTORS("exceptions: of the rest of a batch nothing is lost, not even the edge of a stream") {
  constexpr int streams = 6;
  test::Loop<S> loop;
  test::Pair pairs[streams];
  mote::Stream stream[streams];
  std::optional<test::Pair> pipe(test::pipe_pair());
  const auto handler = [&](Readiness) { throw Thrown{1}; };
  const Result<mote::Registration> registration = loop.add(pipe->a.get(), Interest::read, handler);
  REQUIRE(registration);
  mote::Listener listener;  // edges are for streams of the library's own making
  REQUIRE(listener.open(loop, *mote::Endpoint::parse("127.0.0.1:0")));
  const mote::Endpoint address = *listener.local_endpoint();
  for (int i = 0; i < streams; ++i) {
    pairs[i].b = mote::Fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    REQUIRE(::connect(pairs[i].b.get(), address.address(), address.size()) == 0);
    Result<mote::Stream> accepted = test::await(loop, [&] { return listener.accept(); });
    REQUIRE(accepted);
    stream[i] = std::move(*accepted);
  }
  listener.close();
  int destroyed = 0;
  Result<std::size_t> got[streams];
  TaskPool<test::Reader, streams> readers;
  for (int i = 0; i < streams; ++i) {
    REQUIRE(readers.spawn(loop, std::move(stream[i]), test::Witness(destroyed), got[i]));
  }
  turn(loop, 2);
  REQUIRE(test::send_text(pipe->b.get(), "x") == 1);  // comes first
  for (test::Pair& pair : pairs) REQUIRE(test::send_text(pair.b.get(), "data") == 4);
  const std::uint64_t before = loop.stats().events;
  CHECK(caught_in_turn(loop) == 1);
  CHECK(loop.stats().events == before + 1);
  CHECK(loop.next_deadline() == mote::Instant::min());  // there is work at once
  REQUIRE(loop.remove(*registration));
  pipe.reset();
  CHECK(loop.run());
  CHECK(destroyed == streams);
  for (const Result<std::size_t>& each : got) CHECK(*each == 4);
  CHECK(loop.stats().events == before + 1 + streams);
}

ON_BOTH_SELECTORS("exceptions: an event that is kept is dropped if its registration is removed before the next run") {
  test::Loop<S> loop;
  test::Pair pairs[2] = {test::pipe_pair(), test::pipe_pair()};
  int calls = 0;
  const auto handler = [&](Readiness) {
    ++calls;
    throw Thrown{1};
  };
  mote::Registration registrations[2];
  for (int i = 0; i < 2; ++i) {
    registrations[i] = *loop.add(pairs[i].a.get(), Interest::read, handler);
    REQUIRE(test::send_text(pairs[i].b.get(), "x") == 1);
  }
  CHECK(caught_in_turn(loop) == 1);
  for (const mote::Registration registration : registrations) REQUIRE(loop.remove(registration));
  CHECK(loop.run());
  CHECK(calls == 1);
  CHECK(loop.stats().selector_rebuilds == 0);  // it is known as an event of this very turn
}

ON_BOTH_SELECTORS("exceptions: of due timers the rest fires in order; a periodic one goes on") {
  test::Loop<S> loop;
  std::vector<int> order;
  struct Numbered {
    std::vector<int>& order;
    int number;
    bool throws;
    mote::Timer timer;
    void fire() {
      order.push_back(number);
      if (throws) throw Thrown{number};
    }
  };
  Numbered timers[] = {{order, 0, false, {}}, {order, 1, true, {}},  {order, 2, false, {}},
                       {order, 3, true, {}},  {order, 4, false, {}}, {order, 5, false, {}}};
  const mote::Instant now = mote::Clock::now();
  for (Numbered& each : timers) {
    each.timer.arm_at(loop, now - 1ms, mote::Timer::Callback::of<&Numbered::fire>(each));
  }
  Numbered periodic{order, 6, true, {}};
  periodic.timer.arm_every(loop, 1ns, mote::Timer::Callback::of<&Numbered::fire>(periodic));
  CHECK(caught_in_turn(loop) == 1);
  CHECK(loop.next_deadline() <= mote::Clock::now());
  CHECK(caught_in_turn(loop) == 3);
  CHECK(caught_in_turn(loop) == 6);
  CHECK(order == std::vector<int>{0, 1, 2, 3, 4, 5, 6});
  CHECK(periodic.timer.armed());
  CHECK(caught_in_turn(loop) == 6);
  CHECK(loop.stats().timers_fired == 8);
  periodic.timer.cancel();
  CHECK(loop.run());
  CHECK(order.size() == 8);
  timers[0].timer.arm(loop, 1h, mote::Timer::Callback::of<&Numbered::fire>(timers[0]));
  timers[1].timer.arm(loop, 0ns, mote::Timer::Callback::of<&Numbered::fire>(timers[1]));
  CHECK(caught_in_turn(loop) == 1);
  CHECK(loop.next_deadline() > mote::Clock::now() + 30min);
}

ON_BOTH_SELECTORS("exceptions: a pause of accepts ends in its time though a timer throws meanwhile") {
  test::Loop<S> loop;
  mote::Listener listener;
  REQUIRE(listener.open(loop, *mote::Endpoint::parse("127.0.0.1:0")));
  const mote::Endpoint address = *listener.local_endpoint();
  const mote::Fd client(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  test::Running accepting(loop, [&] { return listener.accept(); });
  turn(loop);
  std::vector<mote::Fd> all;
  rlimit before;
  REQUIRE(::getrlimit(RLIMIT_NOFILE, &before) == 0);
  rlimit few = before;
  few.rlim_cur = 64;
  REQUIRE(::setrlimit(RLIMIT_NOFILE, &few) == 0);
  do all.emplace_back(::dup(client.get()));
  while (all.back());
  REQUIRE(::connect(client.get(), address.address(), address.size()) == 0);
  turn(loop, 3);  // EMFILE
  all.clear();
  REQUIRE(::setrlimit(RLIMIT_NOFILE, &before) == 0);
  CHECK_FALSE(accepting.done());
  mote::Timer timer;
  const auto throws = [] { throw Thrown{1}; };
  timer.arm(loop, 1ms, throws);
  CHECK(caught([&] { return loop.run_for(1h); }) == 1);
  CHECK(loop.next_deadline() < mote::Clock::now() + 1s);
  CHECK(accepting.finish());
}

ON_BOTH_SELECTORS("exceptions: a handler's that is told of its failure when the selector is made anew") {
  test::Loop<S> loop;
  test::Pair closed = test::pipe_pair(), pair = test::pipe_pair();
  const auto throws = [](Readiness) { throw Thrown{1}; };
  int calls = 0;
  const auto counts = [&](Readiness) {
    ++calls;
    loop.stop();
  };
  const mote::Registration registration = *loop.add(closed.a.get(), Interest::read, throws);
  REQUIRE(loop.add(pair.a.get(), Interest::read, counts));
  closed.a.close();
  CHECK(caught([&] { return loop.after_fork_in_child(); }) == 1);
  REQUIRE(loop.remove(registration));
  REQUIRE(test::send_text(pair.b.get(), "x") == 1);
  CHECK(loop.run_for(10s));
  CHECK(calls > 0);
  CHECK(loop.stats().selector_rebuilds == 2);  // the first was left half-way
}

ON_BOTH_SELECTORS("exceptions: of wake-ups in delivery the rest comes, of messages and signals what is left") {
  test::Loop<S> loop;
  int calls[3] = {};
  const auto counts = [&](int i) { ++calls[i]; };
  const auto first = [&] { counts(0); };
  const auto throws = [&] {
    counts(1);
    throw Thrown{1};
  };
  const auto last = [&] { counts(2); };
  mote::Waker wakers[3];
  REQUIRE(wakers[0].open(loop, first));
  REQUIRE(wakers[1].open(loop, throws));
  REQUIRE(wakers[2].open(loop, last));
  mote::Mailbox<int, 4> mailbox;
  int messages = 0;
  const auto receive = [&] {
    if (const auto message = mailbox.try_receive()) {
      ++messages;
      throw Thrown{*message};
    }
  };
  REQUIRE(mailbox.open(loop, receive));
  mote::Signals signals;
  const auto on_signal = [](int signal) { throw Thrown{signal}; };
  REQUIRE(signals.open(loop, {SIGUSR1, SIGUSR2}, on_signal));
  for (mote::Waker& waker : wakers) waker.wake();
  for (const int i : {50, 51, 52}) REQUIRE(mailbox.post(i));
  REQUIRE(::raise(SIGUSR1) == 0);
  REQUIRE(::raise(SIGUSR2) == 0);
  std::vector<int> all;
  for (int i = 0; i < 20; ++i) {
    const int by = caught_in_turn(loop);
    if (by >= 0) all.push_back(by);
  }
  std::sort(all.begin(), all.end());
  std::vector<int> expected{1, 50, 51, 52, SIGUSR1, SIGUSR2};
  std::sort(expected.begin(), expected.end());
  CHECK(all == expected);
  CHECK(messages == 3);
  for (const int count : calls) CHECK(count == 1);
  for (mote::Waker& waker : wakers) CHECK(waker.is_open());
}

ON_BOTH_SELECTORS("exceptions: a callback that destroys its own waker, and then throws") {
  test::Loop<S> loop;
  auto waker = std::make_unique<mote::Waker>();
  auto mailbox = std::make_unique<mote::Mailbox<int, 2>>();
  const auto end_waker = [&] {
    waker.reset();
    throw Thrown{1};
  };
  const auto end_mailbox = [&] {
    mailbox.reset();
    throw Thrown{2};
  };
  REQUIRE(waker->open(loop, end_waker));
  REQUIRE(mailbox->open(loop, end_mailbox));
  waker->wake();
  REQUIRE(mailbox->post(1));
  CHECK(caught_in_turn(loop) == 1);
  CHECK(caught_in_turn(loop) == 2);
  CHECK(loop.run());
}

ON_BOTH_SELECTORS("exceptions: what throws each time does not keep the others from their share") {
  test::Loop<S> loop;
  mote::Fd nulls[3];
  int always[3] = {};
  int timer_calls = 0, waker_calls = 0, event_calls = 0, task_steps = 0, messages = 0;
  std::optional<mote::Handler> handlers[3];
  const auto zero = [&](Readiness) { ++always[0]; };
  const auto one = [&](Readiness) {
    ++always[1];
    throw Thrown{1};
  };
  const auto two = [&](Readiness) { ++always[2]; };
  handlers[0].emplace(zero);
  handlers[1].emplace(one);
  handlers[2].emplace(two);
  for (int i = 0; i < 3; ++i) {
    nulls[i] = mote::Fd(::open("/dev/null", O_RDONLY | O_CLOEXEC));
    REQUIRE(loop.add(nulls[i].get(), Interest::read, *handlers[i]));
  }
  test::Pair pairs[2] = {test::pipe_pair(), test::pipe_pair()};
  const auto event_throws = [&](Readiness) { throw Thrown{2}; };
  const auto event_counts = [&](Readiness) { ++event_calls; };
  REQUIRE(loop.add(pairs[0].a.get(), Interest::read, event_throws));
  REQUIRE(loop.add(pairs[1].a.get(), Interest::read, event_counts));
  for (test::Pair& pair : pairs) REQUIRE(test::send_text(pair.b.get(), "x") == 1);
  mote::Waker waker;
  const auto woken = [&] { ++waker_calls; };
  mote::Mailbox<int, 2> mailbox;
  const auto never_takes = [&] {
    ++messages;
    throw Thrown{3};
  };
  REQUIRE(mailbox.open(loop, never_takes));
  REQUIRE(waker.open(loop, woken));
  REQUIRE(mailbox.post(1));
  mote::Timer throwing, counting;
  const auto fires = [&] { throw Thrown{4}; };
  const auto counts = [&] { ++timer_calls; };
  throwing.arm_every(loop, 1ns, fires);
  counting.arm_every(loop, 1ns, counts);
  // The observer throws at each step, since each is slow.
  const auto observer = [](const mote::Observation& seen) {
    if (seen.kind == mote::Observation::slow_step) throw Thrown{5};
  };
  loop.observe(observer);
  loop.set_slow_step_threshold(1ns);
  TaskPool<Plain, 2> pool;
  const auto body = [&](Task& task) -> Step {
    ++task_steps;
    task.wake();
    while (mote::Clock::now() == loop.now()) continue;
    return mote::pending;
  };
  for (int i = 0; i < 2; ++i) REQUIRE(pool.spawn(loop, Body(body)));
  int seen[6] = {};
  for (int i = 0; i < 600; ++i) {
    waker.wake();
    const int by = caught_in_turn(loop);
    REQUIRE(by < 6);
    if (by >= 0) ++seen[by];
  }
  for (int i = 1; i < 6; ++i) CHECK(seen[i] > 20);
  for (const int count : always) CHECK(count > 20);
  for (const int count : {timer_calls, waker_calls, event_calls, task_steps, messages}) CHECK(count > 20);
}

ON_BOTH_SELECTORS("exceptions: a constructor's is passed on by spawn(), and the slot is free again") {
  struct Throws {
    explicit Throws(bool throws) {
      if (throws) throw Thrown{1};
    }
    Step step() { return mote::done(); }
  };
  test::Loop<S> loop;
  TaskPool<Throws, 1> pool;
  mote::TaskGroup<1> group;
  CHECK(caught([&] { return pool.spawn(loop, true); }) == 1);
  CHECK(caught([&] { return group.spawn(pool, loop, true); }) == 1);
  CHECK(pool.size() == 0);
  CHECK(group.size() == 0);
  CHECK(group.spawn(pool, loop, false));
  CHECK(loop.run());
  CHECK(loop.stats().tasks_spawned == 1);
}

ON_BOTH_SELECTORS("exceptions: an observer's leaves the run, and the task has ended; from destructors it is dropped") {
  test::Loop<S> loop;
  int observed = 0;
  const auto observer = [&](const mote::Observation&) {
    ++observed;
    throw Thrown{9};
  };
  loop.observe(observer);
  const auto fails = [](Task&) -> Step { return mote::failed(Error(EIO)); };
  const auto throws = [](Task&) -> Step { throw Thrown{1}; };
  TaskPool<Plain, 1> pool;
  REQUIRE(pool.spawn(loop, Body(fails)));
  CHECK(caught_in_turn(loop) == 9);
  CHECK(pool.size() == 0);
  REQUIRE(pool.spawn(loop, Body(throws)));
  CHECK(caught_in_turn(loop) == 1);  // that of the observer came second
  CHECK(observed == 2);
  CHECK(pool.size() == 0);
  {
    Result<TaskHandle> handle = pool.spawn(loop, Body(fails));
    CHECK(caught_in_turn(loop) == -1);
  }
  CHECK(observed == 3);
  CHECK(pool.size() == 0);
  Result<TaskHandle> handle = pool.spawn(loop, Body(fails));
  CHECK(caught_in_turn(loop) == -1);
  CHECK(caught([&] {
          handle->detach();
          return 0;
        }) == 9);
  CHECK(pool.size() == 0);
  REQUIRE(pool.spawn(loop, Body(fails)));
  CHECK(caught_in_turn(loop) == 9);
  const Result<TaskHandle> kept = pool.spawn(loop, Body(fails));  // destroyed after the pool has told the observer
  CHECK(caught_in_turn(loop) == -1);
  CHECK(observed == 5);
  Result<TaskHandle> outlives_its_pool;
  {
    TaskPool<Plain, 1> short_lived;
    outlives_its_pool = short_lived.spawn(loop, Body(fails));
    CHECK(caught_in_turn(loop) == -1);
  }
  CHECK(observed == 6);
  CHECK(outlives_its_pool->get() == nullptr);
}

ON_BOTH_SELECTORS("exceptions: an observer's in a slow step leaves the step as it was: pending, done or failed") {
  test::Loop<S> loop;
  const auto observer = [](const mote::Observation& seen) {
    if (seen.kind == mote::Observation::slow_step) throw Thrown{9};
  };
  loop.observe(observer);
  loop.set_slow_step_threshold(1ns);
  for (const Step step : {Step(mote::pending), mote::done(), mote::failed(Error(EIO))}) {
    TaskPool<Plain, 1> pool;
    const auto body = [step](Task&) -> Step {
      const mote::Instant start = mote::Clock::now();
      while (mote::Clock::now() == start) continue;
      return step;
    };
    Result<TaskHandle> handle = pool.spawn(loop, Body(body));
    CHECK(caught_in_turn(loop) == 9);
    CHECK(handle->get()->is_alive() == step.is_pending());
    const Outcome outcome = handle->outcome();
    if (step.code == 0) CHECK(outcome.kind == Outcome::Kind::done);
    if (step.code > 0) CHECK(outcome.error == EIO);
    if (!step.is_pending()) continue;
    CHECK(outcome.kind == Outcome::Kind::none);
    handle->get()->wake();
    CHECK(caught_in_turn(loop) == 9);  // it is stepped again
  }
}

ON_BOTH_SELECTORS(
    "exceptions: a group's callback's leaves the run, or the call that has ended the member; none from pools") {
  test::Loop<S> loop;
  mote::TaskGroup<3> group;
  int ended = 0;
  const auto on_end = [&](const Task&, Outcome) {
    ++ended;
    throw Thrown{ended};
  };
  group.on_end(on_end);
  const auto body = [](Task&) -> Step { return mote::pending; };
  const auto ends = [](Task&) -> Step { return mote::done(); };
  {
    TaskPool<Plain, 4> pool;
    REQUIRE(group.spawn(pool, loop, Body(ends)));
    CHECK(caught_in_turn(loop) == 1);
    REQUIRE(group.spawn(pool, loop, Body(body)));
    CHECK(caught([&] { return loop.destroy_all_tasks(); }) == 2);
    CHECK(group.size() == 0);
    REQUIRE(pool.spawn(loop, Body(ends)));  // spawning works: no destruction is under way
    turn(loop);
    for (int i = 0; i < 3; ++i) REQUIRE(group.spawn(pool, loop, Body(body)));
  }
  CHECK(ended == 5);
  CHECK(group.size() == 0);
  TaskPool<Plain, 2> pool;
  REQUIRE(group.spawn(pool, loop, Body(ends)));
  CHECK(caught_in_turn(loop) == 6);
}

ON_BOTH_SELECTORS("exceptions: a stop() in the turn that an exception leaves stays for the next run") {
  test::Loop<S> loop;
  mote::Timer timer, never;
  const auto stops = [&] {
    loop.stop();
    throw Thrown{1};
  };
  const auto nothing = [] {};
  timer.arm(loop, 0ns, stops);
  never.arm(loop, 1h, nothing);
  CHECK(caught([&] { return loop.run(); }) == 1);
  CHECK(loop.run());  // ends at once
}

TEST_CASE("exceptions: a reactor, its tasks and its pool are destroyed by the exception that leaves the run") {
  int destroyed = 0;
  struct Waits {
    test::Witness witness;
    bool throws;
    Step step(Task&) {
      if (throws) throw Thrown{1};
      return mote::pending;
    }
  };
  CHECK(caught([&] {
          TaskPool<Waits, 3> pool;
          test::Loop<test::OnEpoll> loop;
          loop.observe(mote::Observer::of<&ignore>());
          for (const bool throws : {false, true, false}) REQUIRE(pool.spawn(loop, test::Witness(destroyed), throws));
          return loop.run();
        }) == 1);
  CHECK(destroyed == 3);
}

// ---- a shutdown ----

ON_BOTH_SELECTORS("exceptions: a shutdown goes on in the next run(): in its period, once begun, with all its counts") {
  test::Loop<S> loop;
  mote::GracefulShutdown shutdown(loop, {SIGUSR1}, 30ms, 20ms);
  int begun = 0;
  const auto on_begin = [&] {
    ++begun;
    throw Thrown{1};
  };
  shutdown.on_begin(on_begin);
  const auto request_and_throw = [&] {
    REQUIRE(::raise(SIGUSR1) == 0);
    throw Thrown{2};
  };
  mote::Timer timer, in_grace, in_cleanup;
  timer.arm(loop, 0ns, request_and_throw);
  TaskPool<Plain, 3> pool;
  const auto stubborn = [&](Task& task) -> Step {
    if (task.cancel_requested()) mote::PollContext(task).acknowledge_cancellation();
    return mote::pending;
  };
  const auto drains = [&](Task&) -> Step { return begun != 0 ? mote::done() : Step(mote::pending); };
  Result<TaskHandle> draining = pool.spawn(loop, Body(drains));
  REQUIRE(pool.spawn(loop, Body(stubborn)));
  CHECK(caught([&] { return shutdown.run(); }) == 2);
  CHECK_FALSE(shutdown.requested());  // the signal has come, and is delivered in the next run
  const auto throws_in_grace = [] { throw Thrown{3}; };
  const auto throws_in_cleanup = [] { throw Thrown{4}; };
  const mote::Instant start = mote::Clock::now();
  CHECK(caught([&] { return shutdown.run(); }) == 1);
  CHECK(shutdown.requested());
  draining->get()->wake();
  draining->detach();
  in_grace.arm(loop, 5ms, throws_in_grace);
  in_cleanup.arm_at(loop, start + 40ms, throws_in_cleanup);
  CHECK(caught([&] { return shutdown.run(); }) == 3);
  CHECK(loop.stats().tasks == 1);
  CHECK(caught([&] { return shutdown.run(); }) == 4);
  CHECK(mote::Clock::now() - start >= 40ms);
  const Result<mote::ShutdownReport> report = shutdown.run();
  REQUIRE(report);
  CHECK(mote::Clock::now() - start >= 50ms);  // both periods, and neither begun anew
  CHECK(begun == 1);
  CHECK(report->signal == SIGUSR1);
  CHECK(report->drained == 1);
  CHECK(report->cancelled == 0);
  CHECK(report->destroyed == 1);
  CHECK_FALSE(report->forced);
  CHECK(loop.run());  // a run after it is none of a shutdown
  CHECK_FALSE(shutdown.requested());
}

ON_BOTH_SELECTORS(
    "exceptions: a request in the turn that an exception leaves begins the grace period, and does not end it") {
  test::Loop<S> loop;
  mote::GracefulShutdown shutdown(loop, {SIGUSR1}, 1h);
  mote::Timer timer, later;
  TaskPool<Plain, 1> pool;
  bool may_end = false;
  const auto body = [&](Task&) -> Step { return may_end ? mote::done() : Step(mote::pending); };
  Result<TaskHandle> handle = pool.spawn(loop, Body(body));
  const auto request = [&] {
    shutdown.request();
    throw Thrown{1};
  };
  const auto end = [&] {
    may_end = true;
    handle->get()->wake();
  };
  timer.arm(loop, 0ns, request);
  later.arm(loop, 3ms, end);
  CHECK(caught([&] { return shutdown.run(); }) == 1);
  const Result<mote::ShutdownReport> report = shutdown.run();
  REQUIRE(report);
  CHECK(report->drained == 1);
  CHECK(report->cancelled == 0);
}

ON_BOTH_SELECTORS("exceptions: one each millisecond does not lengthen a shutdown's periods") {
  test::Loop<S> loop;
  mote::GracefulShutdown shutdown(loop, {SIGUSR1}, 20ms, 20ms);
  TaskPool<Plain, 1> pool;
  const auto stubborn = [](Task& task) -> Step {
    if (task.cancel_requested()) mote::PollContext(task).acknowledge_cancellation();
    return mote::pending;
  };
  REQUIRE(pool.spawn(loop, Body(stubborn)));
  const auto throws = [] { throw Thrown{1}; };
  mote::Timer timer;
  timer.arm_every(loop, 1ms, throws);
  shutdown.request();
  Result<mote::ShutdownReport> report;
  int runs = 0;
  while (!report && runs < 1000) {
    ++runs;
    caught([&] {
      report = shutdown.run();
      return 0;
    });
  }
  REQUIRE(report);
  CHECK(runs > 1);
  CHECK(report->destroyed == 1);
}

ON_BOTH_SELECTORS("exceptions: run_once() does not wait after it has done the rest of a turn") {
  test::Loop<S> loop;
  test::Pair pairs[2] = {test::pipe_pair(), test::pipe_pair()};
  int calls = 0;
  const auto handler = [&](Readiness) {
    ++calls;
    char byte;
    for (test::Pair& pair : pairs) {
      if (::read(pair.a.get(), &byte, 1) == 1) break;
    }
    if (calls == 1) throw Thrown{1};
  };
  for (test::Pair& pair : pairs) {
    REQUIRE(loop.add(pair.a.get(), Interest::read, handler));
    REQUIRE(test::send_text(pair.b.get(), "x") == 1);
  }
  bool late = false;
  const auto is_late = [&] { late = true; };
  mote::Timer limit;
  limit.arm(loop, 2s, is_late);
  CHECK(caught([&] { return loop.run_once(1h); }) == 1);
  const Result<std::uint32_t> count = loop.run_once(1h);
  REQUIRE(count);
  CHECK(*count == 1);
  CHECK(calls == 2);
  CHECK_FALSE(late);
}

// =====================================================================================================================
// All together, at random
// =====================================================================================================================
//
// Tasks, handlers, timers, wakers, a mailbox, signals, a group and an observer, each of which throws now and then. What
// each of them is owed is counted when it is caused; in the end all of it has been given, once.

namespace {

struct Random {
  std::uint32_t state;
  std::uint32_t below(std::uint32_t limit) {  // xorshift
    state ^= state << 13;
    state ^= state >> 17;
    state ^= state << 5;
    return state % limit;
  }
  bool one_in(std::uint32_t n) { return below(n) == 0; }
};

template <class S> struct World {
  static constexpr int streams = 4;
  static constexpr int pipes = 4;
  static constexpr int one_shots = 8;
  static constexpr int wakers = 4;
  static constexpr int always_ready = 2;
  static constexpr int calls_of_always_ready = 20;

  explicit World(std::uint32_t seed) : random{seed * 2654435761u + 1} { open(); }

  // ---- throwing ----

  void maybe_throw() {
    if (!random.one_in(8)) return;
    // While another exception is under way, what is thrown is dropped by the library.
    if (std::uncaught_exceptions() == 0) ++thrown;
    throw Thrown{0};
  }
  template <class Run> void run_caught(Run&& run) {
    try {
      if (!run()) ++errors;
    } catch (const Thrown&) { ++caught; }
    if (loop.running()) ++errors;
  }

  // ---- tasks ----

  struct Worker : mote::StateMachine {
    World& world;
    test::Witness witness;
    int rounds;
    mote::TaskTimer timer;
    Result<void> got;
    Worker(World& of, int how_many) : world(of), witness(of.destroyed), rounds(how_many) {}

    Step step() {
      MOTE_BEGIN();
      for (; rounds > 0; --rounds) {
        begin_round();
        if (world.random.one_in(2)) MOTE_YIELD();
        MOTE_AWAIT(got, timer.sleep(Duration(world.random.below(50'000))));
        begin_round();
      }
      ++world.done;
      MOTE_END();
    }
    void begin_round() {
      if (!world.random.one_in(12)) return;
      ++world.thrown;
      ++world.failed;
      throw Thrown{1};
    }
  };
  struct Reader : mote::StateMachine {
    World& world;
    mote::Stream stream;
    Result<std::size_t> got;
    char bytes[64];
    Reader(World& of, mote::Stream&& from) : world(of), stream(std::move(from)) {}
    Step step() {
      MOTE_BEGIN();
      for (;;) {
        MOTE_AWAIT(got, stream.read(bytes));
        if (!got || *got == 0) return mote::done();
        world.read += *got;
      }
      MOTE_END();
    }
  };

  void spawn() {
    if (spawned == 80) return;
    const int rounds = static_cast<int>(random.below(6));
    if (random.one_in(3)) {
      if (group.spawn(workers, loop, *this, rounds)) ++spawned;
      return;
    }
    Result<TaskHandle> handle = workers.spawn(loop, *this, rounds);
    if (!handle) return;
    ++spawned;
    if (random.one_in(2)) held.push_back(std::move(*handle));
  }
  void on_end(const Task&, Outcome outcome) {
    told += outcome.kind == Outcome::Kind::failed;
    maybe_throw();
  }
  void observe(const mote::Observation& seen) {
    told += seen.kind == mote::Observation::task_failed;
    maybe_throw();
  }
  void look_at_held() {
    for (TaskHandle& handle : held) {
      const Outcome outcome = handle.outcome();
      if (outcome.kind == Outcome::Kind::none) continue;
      if (outcome.kind == Outcome::Kind::failed && outcome.error == ENOTRECOVERABLE) ++told;
      TaskPool<test::Joiner, 1> joiner;
      Result<Outcome> end;
      REQUIRE(joiner.spawn(loop, handle, end));
      while (!end) run_caught([&] { return loop.run_once(0ns); });
    }
    held.erase(std::remove_if(held.begin(), held.end(), [](const TaskHandle& each) { return !each; }), held.end());
  }

  // ---- everything else ----

  struct Piped {
    World& world;
    test::Pair pair = test::pipe_pair();
    explicit Piped(World& of) : world(of) {}
    void operator()(Readiness) {
      world.maybe_throw();
      char byte;
      if (::read(pair.a.get(), &byte, 1) == 1) ++world.taken;
      world.maybe_throw();
    }
  };
  struct Always {
    World& world;
    mote::Fd null{::open("/dev/null", O_RDONLY | O_CLOEXEC)};
    mote::Registration registration;
    int calls = 0;
    explicit Always(World& of) : world(of) {}
    void operator()(Readiness) {
      ++calls;
      if (calls == calls_of_always_ready && !world.loop.remove(registration)) ++world.errors;
      world.maybe_throw();
    }
  };
  struct Timed {
    World& world;
    mote::Timer timer;
    mote::Instant first{};
    Duration period{};
    std::int64_t ticks = 0;
    explicit Timed(World& of) : world(of) {}
    void fire() {
      ++world.fired;
      world.maybe_throw();
    }
    void tick() {
      ticks += 1 + timer.missed();
      if (!timer.armed() || timer.deadline() != first + ticks * period) ++world.errors;
      world.maybe_throw();
    }
  };
  struct Woken {
    World& world;
    mote::Waker waker;
    bool owed = false;
    explicit Woken(World& of) : world(of) {}
    void operator()() {
      if (!std::exchange(owed, false)) ++world.errors;  // once for a wake-up, and not again
      world.maybe_throw();
    }
  };
  void receive() {
    while (const Result<int> message = mailbox.try_receive()) {
      if (*message != received) ++errors;  // in their order
      ++received;
      maybe_throw();
    }
  }
  void on_signal(int signal) {
    if (!std::exchange(raised[signal == SIGUSR1 ? 0 : 1], false)) ++errors;
    maybe_throw();
  }

  void open() {
    loop.observe(mote::Observer::of<&World::observe>(*this));
    group.on_end(mote::Delegate<void(const Task&, Outcome)>::of<&World::on_end>(*this));
    mote::Listener listener;
    REQUIRE(listener.open(loop, *mote::Endpoint::parse("127.0.0.1:0")));
    const mote::Endpoint address = *listener.local_endpoint();
    for (mote::Fd& peer : peers) {
      peer = mote::Fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
      REQUIRE(::connect(peer.get(), address.address(), address.size()) == 0);
      Result<mote::Stream> accepted = test::await(loop, [&] { return listener.accept(); });
      REQUIRE(accepted);
      REQUIRE(readers.spawn(loop, *this, std::move(*accepted)));
    }
    for (int i = 0; i < pipes; ++i) {
      piped.push_back(std::make_unique<Piped>(*this));
      REQUIRE(loop.add(piped[std::size_t(i)]->pair.a.get(), Interest::read, *piped[std::size_t(i)]));
    }
    for (int i = 0; i < always_ready; ++i) {
      always.push_back(std::make_unique<Always>(*this));
      Always& each = *always.back();
      each.registration = *loop.add(each.null.get(), Interest::read, each);
    }
    for (int i = 0; i < one_shots; ++i) timers.push_back(std::make_unique<Timed>(*this));
    for (const Duration period : {Duration(1), Duration(7'000), Duration(100'000)}) {
      periodic.push_back(std::make_unique<Timed>(*this));
      Timed& each = *periodic.back();
      each.period = period;
      each.timer.arm_every(loop, period, mote::Timer::Callback::template of<&Timed::tick>(each));
      each.first = each.timer.deadline();
    }
    for (int i = 0; i < wakers; ++i) {
      woken.push_back(std::make_unique<Woken>(*this));
      REQUIRE(woken.back()->waker.open(loop, *woken.back()));
    }
    REQUIRE(mailbox.open(loop, mote::Delegate<void()>::of<&World::receive>(*this)));
    REQUIRE(signals.open(loop, {SIGUSR1, SIGUSR2}, mote::Delegate<void(int)>::of<&World::on_signal>(*this)));
  }
  void act() {
    switch (random.below(8)) {
      case 0: return spawn();
      case 1: sent += test::send_text(peers[random.below(streams)].get(), "some data"); return;
      case 2: put += test::send_text(piped[random.below(pipes)]->pair.b.get(), "x"); return;
      case 3: {
        Timed& timer = *timers[random.below(one_shots)];
        if (timer.timer.armed()) return;
        ++armed;
        return timer.timer.arm(loop, Duration(random.below(100'000)),
                               mote::Timer::Callback::template of<&Timed::fire>(timer));
      }
      case 4: {
        Woken& one = *woken[random.below(wakers)];
        one.owed = true;
        return one.waker.wake();
      }
      case 5:
        if (mailbox.post(posted)) ++posted;
        return;
      case 6: {
        const bool first = random.one_in(2);
        raised[first ? 0 : 1] = true;
        REQUIRE(::raise(first ? SIGUSR1 : SIGUSR2) == 0);
        return;
      }
      default: return look_at_held();
    }
  }
  void run_somehow() {
    switch (random.below(3)) {
      case 0: return run_caught([&] { return loop.run_once(0ns); });
      case 1: return run_caught([&] { return loop.run_once(100us); });
      default: return run_caught([&] { return loop.run_for(50us); });
    }
  }
  bool all_is_given() {
    look_at_held();
    bool given = read == sent && taken == put && fired == armed && received == posted && !raised[0] && !raised[1];
    for (const auto& each : woken) given = given && !each->owed;
    for (const auto& each : always) given = given && each->calls == calls_of_always_ready;
    return given && workers.size() == 0 && held.empty();
  }
  void check() {
    const mote::Instant limit = mote::Clock::now() + 20s;
    while (!all_is_given() && mote::Clock::now() < limit) run_somehow();
    CHECK(all_is_given());
    CHECK(errors == 0);
    CHECK(caught == thrown);
    CHECK(told == failed);
    CHECK(destroyed == spawned);
    CHECK(done + failed == spawned);
    CHECK(loop.stats().tasks_failed == static_cast<std::uint64_t>(failed));
    CHECK(loop.stats().tasks == streams);
    for (const auto& each : periodic) CHECK(each->ticks > 0);
  }

  Random random;
  int thrown = 0, caught = 0, errors = 0;
  int spawned = 0, done = 0, failed = 0, told = 0, destroyed = 0;
  std::size_t sent = 0, read = 0, put = 0, taken = 0;
  int armed = 0, fired = 0, posted = 0, received = 0;
  bool raised[2] = {};
  mote::Fd peers[streams];
  test::Loop<S, 32> loop;
  mote::TaskGroup<4> group;
  TaskPool<Worker, 12> workers;
  TaskPool<Reader, streams> readers;
  std::vector<TaskHandle> held;
  std::vector<std::unique_ptr<Piped>> piped;
  std::vector<std::unique_ptr<Always>> always;
  std::vector<std::unique_ptr<Timed>> timers, periodic;
  std::vector<std::unique_ptr<Woken>> woken;
  mote::Mailbox<int, 8> mailbox;
  mote::Signals signals;
};

}  // namespace

ON_BOTH_SELECTORS(
    "exceptions: thrown at random from everything, and caught around the run: each gets all that it is owed") {
  int caught = 0;
  for (std::uint32_t seed = 1; seed <= 25; ++seed) {
    World<S> world(seed);
    for (int i = 0; i < 400; ++i) {
      for (std::uint32_t n = world.random.below(8); n != 0; --n) world.act();
      world.run_somehow();
    }
    world.check();
    caught += world.caught;
  }
  CHECK(caught > 1000);
}

ON_BOTH_SELECTORS(
    "exceptions: thrown at random, and then all is destroyed: nothing traps, and every task is destroyed") {
  for (std::uint32_t seed = 100; seed < 200; ++seed) {
    int destroyed = 0, spawned = 0;
    {
      World<S> world(seed);
      for (std::uint32_t i = 0; i < seed; ++i) {
        for (std::uint32_t n = world.random.below(8); n != 0; --n) world.act();
        world.run_somehow();
      }
      CHECK(world.errors == 0);
      while (world.caught == 0) world.run_somehow();
      spawned = world.spawned;
      destroyed = world.destroyed + static_cast<int>(world.loop.stats().tasks) - World<S>::streams;
    }
    CHECK(destroyed == spawned);
  }
}
