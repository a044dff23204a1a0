// SPDX-License-Identifier: MIT
// Rooms: task/task.hpp, task/step.hpp, task/state_machine.hpp, task/poll_context.hpp, task/waiter.hpp.
// One task: how it steps, is cancelled and is destroyed while it waits.
#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "support/tasks.hpp"

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
using test::Joiner;
using test::open_stream;
using test::Plain;
using test::Reader;
using test::run_until;
using test::turn;
using test::Walker;
using test::Witness;

namespace {

// Reads once from somebody else's stream.
struct Borrower : StateMachine {
  Stream& stream;
  Result<std::size_t>& got;
  char bytes[16];

  Step step() {
    MOTE_BEGIN();
    MOTE_AWAIT(got, stream.read(bytes));
    if (!got) return mote::failed(got.error());
    MOTE_END();
  }
};

}  // namespace

// ------------------------------------------------------------------------------------------------ stepping

ON_BOTH_SELECTORS("tasks: a plain class with step(Task&) awaits by polling its operation on each step") {
  test::Loop<S> loop;
  TaskPool<Plain, 1> pool;
  TaskTimer timer;
  int steps = 0, slept = 0;
  auto body = [&](Task& task) -> Step {
    ++steps;
    Poll<Result<void>> expired = timer.sleep(1ms).poll(task);
    if (!expired.ready()) return mote::pending;
    if (*expired) ++slept;
    return mote::done();
  };
  REQUIRE(pool.spawn(loop, Body(body)));
  REQUIRE(loop.run());
  CHECK(steps == 2);
  CHECK(slept == 1);
}

ON_BOTH_SELECTORS("tasks: an early return ends the task, and what follows is not run") {
  struct Early : StateMachine {
    bool& reached;
    Step step() {
      MOTE_BEGIN();
      MOTE_YIELD();
      if (!reached) return mote::done();
      MOTE_YIELD();
      reached = false;
      MOTE_END();
    }
  };
  test::Loop<S> loop;
  TaskPool<Early, 1> pool;
  bool reached = false;
  Result<TaskHandle> handle = pool.spawn(loop, reached);
  REQUIRE(handle);
  REQUIRE(loop.run());
  CHECK(handle->outcome().kind == Outcome::Kind::done);
  CHECK(loop.stats().steps == 2);
}

// ------------------------------------------------------------------------------------------------ cancelling

ON_BOTH_SELECTORS("tasks: cancel before the first step: that runs, and its first wait answers ECANCELED, once") {
  struct Sleeper : StateMachine {
    TaskTimer timer;
    std::vector<int>* log;
    Result<void> slept;
    explicit Sleeper(std::vector<int>& l) : log(&l) {}
    Step step() {
      MOTE_BEGIN();
      MOTE_AWAIT(slept, timer.sleep(1h));
      log->push_back(slept ? 0 : slept.error().code());
      MOTE_AWAIT(slept, timer.sleep(1ms));
      log->push_back(slept ? 0 : slept.error().code());
      MOTE_END();
    }
  };
  test::Loop<S> loop;
  TaskPool<Sleeper, 1> pool;
  std::vector<int> log;
  Result<TaskHandle> handle = pool.spawn(loop, log);
  REQUIRE(handle);
  handle->cancel();
  handle->cancel();
  CHECK(handle->get()->cancel_requested());
  CHECK(log.empty());  // never inside cancel()
  REQUIRE(loop.run());
  CHECK(log == std::vector<int>{ECANCELED, 0});
  CHECK(handle->outcome().kind == Outcome::Kind::done);
}

ON_BOTH_SELECTORS(
    "tasks: cancel a suspended task: its operation answers ECANCELED through the queue, and waits no more") {
  test::Loop<S> loop;
  TaskPool<Borrower, 2> pool;
  test::Pair pair = test::socket_pair();
  Stream stream = open_stream(loop, std::move(pair.a));
  Result<std::size_t> got, again;
  Result<TaskHandle> handle = pool.spawn(loop, stream, got);
  REQUIRE(handle);
  turn(loop);
  turn(loop);
  handle->cancel();
  CHECK(got.error() == EAGAIN);
  turn(loop);
  CHECK(got.error() == ECANCELED);
  CHECK(handle->outcome().kind == Outcome::Kind::cancelled);
  REQUIRE(pool.spawn(loop, stream, again));  // the stream is free for another reader
  REQUIRE(test::send_text(pair.b.get(), "abc") == 3);
  REQUIRE(run_until(loop, [&] { return bool(again); }));
  CHECK(*again == 3);
}

ON_BOTH_SELECTORS("tasks: cancel self: the next operation that would wait answers ECANCELED, once") {
  test::Loop<S> loop;
  TaskPool<Plain, 1> pool;
  TaskTimer timer;
  std::vector<int> log;
  auto body = [&](Task& task) -> Step {
    if (log.empty()) task.cancel();
    Poll<Result<void>> slept = timer.sleep(1ms).poll(task);
    while (slept.ready()) {
      log.push_back(*slept ? 0 : slept->error().code());
      if (*slept) return mote::done();
      slept = timer.sleep(1ms).poll(task);
    }
    return mote::pending;
  };
  Result<TaskHandle> handle = pool.spawn(loop, Body(body));
  REQUIRE(loop.run());
  CHECK(log == std::vector<int>{ECANCELED, 0});
  CHECK(handle->outcome().kind == Outcome::Kind::done);
}

ON_BOTH_SELECTORS("tasks: cancel against completion: one outcome, and what had completed wins") {
  test::Loop<S> loop;
  SUBCASE("a timer that had expired") {
    struct Sleeper : StateMachine {
      TaskTimer timer;
      std::vector<int>* log;
      Result<void> slept;
      explicit Sleeper(std::vector<int>& l) : log(&l) {}
      Step step() {
        MOTE_BEGIN();
        MOTE_AWAIT(slept, timer.sleep(1ms));
        log->push_back(slept ? 0 : slept.error().code());
        MOTE_AWAIT(slept, timer.sleep(1h));
        log->push_back(slept ? 0 : slept.error().code());
        MOTE_END();
      }
    };
    TaskPool<Sleeper, 1> pool;
    std::vector<int> log;
    Result<TaskHandle> handle = pool.spawn(loop, log);
    REQUIRE(run_until(loop, [&] { return loop.stats().timers_fired == 1; }));
    REQUIRE(log.empty());
    handle->cancel();
    turn(loop);
    CHECK(log == std::vector<int>{0, ECANCELED});  // the second sleep is the next that would wait
    CHECK(handle->outcome().kind == Outcome::Kind::done);
  }
  SUBCASE("data that had come: they are read once, by this operation or by the next") {
    struct Twice : StateMachine {
      Stream stream;
      std::vector<int>& log;
      std::size_t& bytes_read;
      Result<std::size_t> got;
      char bytes[16];
      Step step() {
        MOTE_BEGIN();
        MOTE_AWAIT(got, stream.read(bytes));
        log.push_back(got ? 0 : got.error().code());
        if (got) bytes_read += *got;
        MOTE_AWAIT(got, stream.read(bytes));
        log.push_back(got ? 0 : got.error().code());
        if (got) bytes_read += *got;
        MOTE_END();
      }
    };
    TaskPool<Twice, 1> pool;
    test::Pair pair = test::socket_pair();
    std::vector<int> log;
    std::size_t bytes_read = 0;
    Result<TaskHandle> handle = pool.spawn(loop, open_stream(loop, std::move(pair.a)), log, bytes_read);
    turn(loop);
    REQUIRE(test::send_text(pair.b.get(), "abc") == 3);
    turn(loop);  // the event has been dispatched, the task is queued
    REQUIRE(log.empty());
    handle->cancel();
    REQUIRE(run_until(loop, [&] { return pool.size() == 0 || handle->outcome().kind != Outcome::Kind::none; }));
    std::sort(log.begin(), log.end());
    CHECK(log == std::vector<int>{0, ECANCELED});
    CHECK(bytes_read == 3);
  }
  SUBCASE("a task that has ended") {
    TaskPool<Walker, 1> pool;
    Result<TaskHandle> handle = pool.spawn(loop, 0, mote::done());
    turn(loop);
    handle->cancel();
    turn(loop);
    CHECK(handle->outcome().kind == Outcome::Kind::done);
    CHECK_FALSE(handle->get()->cancel_requested());
    CHECK(loop.stats().tasks_ended == 1);
  }
  SUBCASE("a join whose task has ended") {
    TaskPool<Walker, 1> pool;
    TaskPool<Joiner, 1> joiners;
    Result<Outcome> told;
    Result<TaskHandle> handle = pool.spawn(loop, 1, mote::done());
    Result<TaskHandle> joiner = joiners.spawn(loop, *handle, told);
    turn(loop);
    turn(loop);  // the walker has ended, the joiner is queued
    REQUIRE(handle->outcome().kind == Outcome::Kind::done);
    joiner->cancel();
    turn(loop);
    REQUIRE(told);
    CHECK(told->kind == Outcome::Kind::done);
  }
}

ON_BOTH_SELECTORS("tasks: a cancelled task may await in its clean-up") {
  struct Polite : StateMachine {
    Stream stream;
    TaskTimer timer;
    char bytes[16];
    Result<std::size_t> got;
    Result<void> cleaned;
    mote::ByteView farewell;
    explicit Polite(Stream&& s) : stream(std::move(s)) {}
    Step step() {
      MOTE_BEGIN();
      MOTE_AWAIT(got, stream.read(bytes));
      if (!got && got.error() == ECANCELED) {
        MOTE_AWAIT(cleaned, timer.sleep(1ms));
        if (!cleaned) return mote::failed(cleaned.error());
        farewell = mote::bytes_of("bye");
        MOTE_AWAIT(cleaned, stream.write_all(farewell));
        if (!cleaned) return mote::failed(cleaned.error());
        return mote::failed(ECANCELED);
      }
      MOTE_END();
    }
  };
  test::Loop<S> loop;
  TaskPool<Polite, 1> pool;
  test::Pair pair = test::socket_pair();
  Result<TaskHandle> handle = pool.spawn(loop, open_stream(loop, std::move(pair.a)));
  REQUIRE(handle);
  turn(loop);
  handle->cancel();
  REQUIRE(loop.run());
  CHECK(handle->outcome().kind == Outcome::Kind::cancelled);
  char bytes[16] = {};
  CHECK(::read(pair.b.get(), bytes, sizeof bytes) == 3);
  CHECK(std::string(bytes) == "bye");
}

// ------------------------------------------------------------------------------------------------ destroying

ON_BOTH_SELECTORS("tasks: destroy while suspended: destructor runs, waiters cleared") {
  test::Loop<S> loop;
  TaskPool<Borrower, 2> readers;
  TaskPool<Joiner, 2> joiners;
  test::Pair pair = test::socket_pair();
  Stream stream = open_stream(loop, std::move(pair.a));
  Result<std::size_t> got, again;
  Result<Outcome> told, told_again;
  Result<TaskHandle> reader = readers.spawn(loop, stream, got);
  Result<TaskHandle> joiner = joiners.spawn(loop, *reader, told);
  turn(loop);
  REQUIRE(joiner->destroy());
  CHECK(joiner->outcome().kind == Outcome::Kind::cancelled);
  REQUIRE(joiners.spawn(loop, *reader, told_again));  // not EBUSY: nobody waits there any more
  turn(loop);
  CHECK(told_again.error() == EAGAIN);
  REQUIRE(reader->destroy());
  REQUIRE(test::send_text(pair.b.get(), "abc") == 3);
  turn(loop);
  turn(loop);
  CHECK(told_again->kind == Outcome::Kind::cancelled);
  CHECK(told.error() == EAGAIN);
  CHECK(got.error() == EAGAIN);
  REQUIRE(readers.spawn(loop, stream, again));
  REQUIRE(run_until(loop, [&] { return bool(again); }));
  CHECK(*again == 3);
}

ON_BOTH_SELECTORS("tasks: destroy in each state but running: the destructor runs once") {
  test::Loop<S> loop;
  TaskPool<Reader, 1> pool;
  test::Pair pair = test::socket_pair();
  int destroyed = 0;
  Result<std::size_t> got;
  Result<TaskHandle> handle = pool.spawn(loop, open_stream(loop, std::move(pair.a)), Witness(destroyed), got);
  REQUIRE(handle);
  SUBCASE("before the first step") {}
  SUBCASE("suspended") { turn(loop); }
  SUBCASE("woken") {
    turn(loop);
    REQUIRE(test::send_text(pair.b.get(), "x") == 1);
    turn(loop);
  }
  SUBCASE("cancelled") {
    turn(loop);
    handle->cancel();
  }
  REQUIRE(handle->destroy());
  CHECK(destroyed == 1);
  CHECK(got.error() == EAGAIN);
  for (int i = 0; i < 3; ++i) turn(loop);
  CHECK(destroyed == 1);
  CHECK(handle->outcome().kind == Outcome::Kind::cancelled);
  CHECK(loop.stats().tasks == 0);
}

ON_BOTH_SELECTORS("tasks: waiter destroyed before the event: nothing dangles") {
  test::Loop<S> loop;
  auto readers = std::make_unique<TaskPool<Borrower, 1>>();
  auto joiners = std::make_unique<TaskPool<Joiner, 1>>();
  auto sleepers = std::make_unique<TaskPool<Plain, 1>>();
  TaskPool<Walker, 1> walkers;
  TaskTimer timer;
  auto sleeper = [&](Task& task) -> Step {
    return timer.sleep(1ms).poll(task).ready() ? mote::done() : Step(mote::pending);
  };
  test::Pair pair = test::socket_pair();
  Stream stream = open_stream(loop, std::move(pair.a));
  Result<std::size_t> got;
  Result<Outcome> told;
  Result<TaskHandle> walker = walkers.spawn(loop, 3, mote::done());
  REQUIRE(readers->spawn(loop, stream, got));
  REQUIRE(joiners->spawn(loop, *walker, told));
  REQUIRE(sleepers->spawn(loop, Body(sleeper)));
  turn(loop);
  readers.reset();  // the tasks are gone, and their memory
  joiners.reset();
  sleepers.reset();
  REQUIRE(test::send_text(pair.b.get(), "x") == 1);
  REQUIRE(run_until(loop, [&] { return walker->outcome().kind == Outcome::Kind::done; }));
  for (int i = 0; i < 3; ++i) turn(loop);
  CHECK(loop.next_deadline() == mote::Instant::max());  // the sleep has ended with its task
  CHECK(got.error() == EAGAIN);
  CHECK(told.error() == EAGAIN);
}

ON_BOTH_SELECTORS("tasks: a task that ends closes its fd at once, whether or not its handle is held") {
  test::Loop<S> loop;
  TaskPool<Reader, 1> pool;
  test::Pair pair = test::socket_pair();
  int destroyed = 0;
  Result<std::size_t> got;
  const int fd = pair.a.get();
  Result<TaskHandle> handle = pool.spawn(loop, open_stream(loop, std::move(pair.a)), Witness(destroyed), got);
  SUBCASE("held") {}
  SUBCASE("dropped") { handle->detach(); }
  turn(loop);
  REQUIRE(test::send_text(pair.b.get(), "x") == 1);
  char byte;
  REQUIRE(run_until(loop, [&] { return bool(got); }));
  CHECK(destroyed == 1);
  CHECK(::fcntl(fd, F_GETFD) == -1);
  CHECK(::read(pair.b.get(), &byte, 1) == 0);
  CHECK(loop.stats().descriptors == 0);
}
