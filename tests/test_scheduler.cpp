// SPDX-License-Identifier: MIT
// Rooms: task/scheduler.hpp, task/run_queue.hpp.
// When tasks are stepped: waking, yielding, everybody's share of a turn; and the dump of them all.
#include <string>
#include <vector>

#include "support/tasks.hpp"

using mote::Clock;
using mote::Instant;
using mote::Outcome;
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
using test::Joiner;
using test::open_stream;
using test::Plain;
using test::run_until;
using test::turn;

// ------------------------------------------------------------------------------------------------ stepping and waking

ON_BOTH_SELECTORS("tasks: the first step comes in the next turn, never inside spawn or wake") {
  test::Loop<S> loop;
  TaskPool<Plain, 1> pool;
  int steps = 0;
  auto body = [&](Task&) -> Step {
    ++steps;
    return mote::pending;
  };
  Result<TaskHandle> handle = pool.spawn(loop, Body(body));
  REQUIRE(handle);
  CHECK(steps == 0);
  turn(loop);
  CHECK(steps == 1);
  handle->get()->wake();
  CHECK(steps == 1);
  turn(loop);
  CHECK(steps == 2);
  turn(loop);
  CHECK(steps == 2);
}

ON_BOTH_SELECTORS("tasks: wake twice is one step") {
  test::Loop<S> loop;
  TaskPool<Plain, 1> pool;
  int steps = 0;
  auto body = [&](Task&) -> Step {
    ++steps;
    return mote::pending;
  };
  Result<TaskHandle> handle = pool.spawn(loop, Body(body));
  REQUIRE(handle);
  handle->get()->wake();  // it is queued for its first step already
  turn(loop);
  turn(loop);
  CHECK(steps == 1);
  handle->get()->wake();
  handle->get()->wake();
  handle->get()->wake();
  turn(loop);
  turn(loop);
  CHECK(steps == 2);
}

ON_BOTH_SELECTORS("tasks: self-wake yields: one step a turn, and the others have theirs in between") {
  test::Loop<S> loop;
  TaskPool<Plain, 2> pool;
  std::string log;
  auto selfish = [&](Task& task) -> Step {
    log += 's';
    task.wake();
    return mote::pending;
  };
  auto other = [&](Task& task) -> Step {
    log += 'o';
    task.wake();
    return mote::pending;
  };
  REQUIRE(pool.spawn(loop, Body(selfish)));
  REQUIRE(pool.spawn(loop, Body(other)));
  turn(loop);
  CHECK(log == "so");
  turn(loop);
  turn(loop);
  CHECK(log == "sososo");
}

ON_BOTH_SELECTORS("tasks: yield lets everybody else run and goes on in the next turn where it stood") {
  struct Yielder : StateMachine {
    char mark;
    std::string& log;
    int i;
    Step step() {
      MOTE_BEGIN();
      for (i = 0; i < 3; ++i) {
        log += mark;
        MOTE_YIELD();
      }
      log += '.';
      MOTE_END();
    }
  };
  test::Loop<S> loop;
  TaskPool<Yielder, 2> pool;
  std::string log;
  REQUIRE(pool.spawn(loop, 'a', log));
  REQUIRE(pool.spawn(loop, 'b', log));
  turn(loop);
  CHECK(log == "ab");
  REQUIRE(loop.run());
  CHECK(log == "ababab..");
}

// ------------------------------------------------------------------------------------------------ fairness

ON_BOTH_SELECTORS("tasks: an always-ready task does not starve the others: so many operations a step, then its turn") {
  struct Greedy : StateMachine {
    Stream stream;
    std::size_t& bytes_read;
    Result<std::size_t> got;
    char byte[1];
    Step step() {
      MOTE_BEGIN();
      for (;;) {
        MOTE_AWAIT(got, stream.read(byte));
        if (!got) return mote::failed(got.error());
        ++bytes_read;
      }
      MOTE_END();
    }
  };
  test::Loop<S> loop;
  TaskPool<Greedy, 1> greedy;
  TaskPool<Plain, 1> modest;
  test::Pair pair = test::socket_pair();
  const std::string much(1000, 'x');
  REQUIRE(test::send_text(pair.b.get(), much.c_str()) == much.size());
  std::size_t bytes_read = 0;
  int steps = 0, fired = 0;
  auto body = [&](Task& task) -> Step {
    ++steps;
    task.wake();
    return mote::pending;
  };
  auto fire = [&] { ++fired; };
  mote::Timer timer;
  Result<TaskHandle> handle = greedy.spawn(loop, open_stream(loop, std::move(pair.a)), bytes_read);
  REQUIRE(handle);
  REQUIRE(modest.spawn(loop, Body(body)));
  for (int i = 1; i <= 5; ++i) {
    timer.arm(loop, 0ns, fire);
    turn(loop);
    CHECK(bytes_read == std::size_t{mote::limits::operations_per_step} * static_cast<std::size_t>(i));
    CHECK(steps == i);
    CHECK(fired == i);
  }
}

ON_BOTH_SELECTORS("tasks: those that always wake themselves leave events and timers their share of each turn") {
  test::Loop<S> loop;
  TaskPool<Plain, 4> pool;
  auto restless = [](Task& task) -> Step {
    task.wake();
    return mote::pending;
  };
  for (int i = 0; i < 4; ++i) REQUIRE(pool.spawn(loop, Body(restless)));
  test::Pair pair = test::socket_pair();
  int events = 0, ticks = 0;
  auto handler = [&](mote::Readiness) { ++events; };
  auto tick = [&] { ++ticks; };
  REQUIRE(loop.add(pair.a.get(), mote::Interest::read, handler));
  REQUIRE(test::send_text(pair.b.get(), "x") == 1);
  mote::Timer timer;
  for (int i = 1; i <= 3; ++i) {
    timer.arm(loop, 0ns, tick);
    turn(loop);
    CHECK(events == i);  // it is not drained, so it is reported again
    CHECK(ticks == i);
  }
  CHECK(loop.stats().steps == 12);
}

// ------------------------------------------------------------------------------------------------ two reactors

ON_BOTH_SELECTORS("tasks: two reactors each run their own tasks, and one may be turned inside the other's task") {
  test::Loop<S> outer, inner;
  TaskPool<Plain, 1> outer_pool, inner_pool;
  std::string log;
  auto inside = [&](Task& task) -> Step {
    log += &task.reactor() == &inner ? 'i' : '?';
    return mote::done();
  };
  auto outside = [&](Task& task) -> Step {
    log += &task.reactor() == &outer ? 'o' : '?';
    CHECK(inner.run_once(0ns));
    CHECK(outer.run_once(0ns).error() == EBUSY);
    log += 'o';
    return mote::done();
  };
  REQUIRE(inner_pool.spawn(inner, Body(inside)));
  REQUIRE(outer_pool.spawn(outer, Body(outside)));
  REQUIRE(outer.run());
  CHECK(log == "oio");
  CHECK(inner.run());
  CHECK(inner.stats().tasks_ended == 1);
  CHECK(outer.stats().tasks_ended == 1);
}

// ------------------------------------------------------------------------------------------------ the dump

namespace {

struct Dumped : StateMachine {
  static constexpr const char* name = "dumped";
  Stream stream;
  TaskTimer timer;
  Result<void> slept;
  Result<std::size_t> got;
  char bytes[4];
  explicit Dumped(Stream&& s) : stream(std::move(s)) {}
  static constexpr std::uint32_t sleep_line = __LINE__ + 3;
  Step step() {
    MOTE_BEGIN();
    MOTE_AWAIT(slept, timer.sleep(1ms));
    MOTE_AWAIT(got, stream.read(bytes));
    MOTE_END();
  }
};

}  // namespace

ON_BOTH_SELECTORS("tasks: the dump names every live task, where it stands, what it waits for and since when") {
  struct Line {
    std::string name, waits_for;
    std::uint32_t line;
    Instant since;
  };
  test::Loop<S> loop;
  TaskPool<Dumped, 1> dumped;
  TaskPool<Joiner, 1> joiners;
  test::Pair pair = test::socket_pair();
  Result<Outcome> told;
  const Instant start = Clock::now();
  Result<TaskHandle> handle = dumped.spawn(loop, open_stream(loop, std::move(pair.a)));
  REQUIRE(joiners.spawn(loop, *handle, told));
  std::vector<Line> lines;
  const auto dump = [&] {
    lines.clear();
    loop.for_each_task([&](const Task& task) {
      lines.push_back({task.name(), task.waits_for() != nullptr ? task.waits_for() : "", task.line(), task.since()});
    });
    return lines.size();
  };
  REQUIRE(dump() == 2);
  CHECK(lines[0].name == "dumped");
  CHECK(lines[0].line == 0);
  CHECK(lines[0].waits_for.empty());

  turn(loop);
  REQUIRE(dump() == 2);
  CHECK(lines[0].line == Dumped::sleep_line);
  CHECK(lines[0].waits_for == "a timer");
  CHECK(lines[1].name.find("Joiner") != std::string::npos);  // as the compiler spells it
  CHECK(lines[1].waits_for == "the end of a task");

  REQUIRE(run_until(loop, [&] { return dump() == 2 && lines[0].line == Dumped::sleep_line + 1; }));
  CHECK(lines[0].waits_for == "data");
  CHECK(lines[0].since >= start);
  CHECK(lines[0].since <= Clock::now());

  pair.b.close();
  REQUIRE(loop.run());
  CHECK(dump() == 0);
}

// What it waits for is asked in every state of a task, by others and by itself.
struct Asked : StateMachine {
  mote::Event& event;
  mote::TaskTimer timer;
  Result<void> got;
  Result<mote::FirstOf<void, void>> first;
  int not_null_while_stepped = 0;
  Asked(mote::Event& to_wait_for) : event(to_wait_for) {}

  void look() { not_null_while_stepped += task().waits_for() != nullptr; }
  Step step() {
    MOTE_BEGIN();
    look();
    MOTE_AWAIT(got, event.wait());
    look();
    // One part is pending when the other completes: in this step it has waited, and then it does not.
    event.set();
    MOTE_AWAIT(first, first_of(timer.sleep(1h), event.wait()));
    look();
    event.clear();
    MOTE_YIELD();
    MOTE_AWAIT(got, event.wait());
    if (not_null_while_stepped != 0) return mote::failed(EPROTO);
    MOTE_END();
  }
};

ON_BOTH_SELECTORS(
    "tasks: waits_for() is null unless the task is suspended: when queued, stepped, new in a slot, ended") {
  test::Loop<S> loop;
  mote::Event event;
  TaskPool<Asked, 1> pool;
  for (const bool cancels : {false, true}) {  // the second time in the slot of a predecessor that had a name
    Result<TaskHandle> handle = pool.spawn(loop, event);
    REQUIRE(handle);
    Task& task = *handle->get();
    CHECK(task.waits_for() == nullptr);
    turn(loop);
    REQUIRE(task.waits_for() != nullptr);
    CHECK(std::string(task.waits_for()) == "an event");
    if (cancels) task.cancel();
    else task.wake();
    CHECK(task.waits_for() == nullptr);
    if (cancels) {
      REQUIRE(task.set_priority(0));  // taken out of its queue and put back
      CHECK(task.waits_for() == nullptr);
    } else {
      turn(loop);  // for nothing
      CHECK(std::string(task.waits_for()) == "an event");
      event.set();
      CHECK(task.waits_for() == nullptr);
    }
    turn(loop);
    CHECK(task.is_alive());
    CHECK(task.waits_for() == nullptr);  // queued by itself
    turn(loop);
    CHECK(std::string(task.waits_for()) == "an event");
    if (cancels) REQUIRE(handle->destroy());
    else event.set();
    turn(loop);
    CHECK_FALSE(task.is_alive());
    CHECK(task.waits_for() == nullptr);
    CHECK(std::string(task.name()).find("Asked") != std::string::npos);
    CHECK(handle->outcome().kind == (cancels ? Outcome::Kind::cancelled : Outcome::Kind::done));
    event.clear();
  }
}
