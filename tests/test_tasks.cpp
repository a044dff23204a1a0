// SPDX-License-Identifier: MIT
// Rooms: task/task.hpp, task/task_pool.hpp, task/task_handle.hpp, task/task_ref.hpp, task/scheduler.hpp,
// task/state_machine.hpp.
// Tasks: spawning, stepping, waking, joining, cancelling, timing out, and being destroyed in any order.
#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "support/harness.hpp"

using mote::Clock;
using mote::Delegate;
using mote::Duration;
using mote::Error;
using mote::Instant;
using mote::Observation;
using mote::Outcome;
using mote::Poll;
using mote::Result;
using mote::StateMachine;
using mote::Step;
using mote::Stream;
using mote::Task;
using mote::TaskHandle;
using mote::TaskPool;
using mote::TaskRef;
using mote::TaskTimer;
using namespace std::chrono_literals;
using test::Body;
using test::Plain;
using test::run_until;

namespace {

// A task whose step is a lambda of the test: `auto body = [&](Task&) -> Step {...}; pool.spawn(loop, Body(body));`
// Counts how often it has been destroyed, its moved-from shells left out.
class Witness {
 public:
  explicit Witness(int& destroyed) : destroyed_(&destroyed) {}
  Witness(Witness&& other) noexcept : destroyed_(other.destroyed_) { other.destroyed_ = nullptr; }
  Witness& operator=(Witness&&) = delete;
  ~Witness() {
    if (destroyed_ != nullptr) ++*destroyed_;
  }
 private:
  int* destroyed_;
};

// Reads once from a stream of its own, and ends with that result.
struct Reader : StateMachine {
  Stream stream;
  Witness witness;
  Result<std::size_t>& got;
  char bytes[16];

  Step step() {
    MOTE_BEGIN();
    MOTE_AWAIT(got, stream.read(bytes));
    if (!got) return mote::failed(got.error());
    MOTE_END();
  }
};

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

// Waits for another task's end, and keeps what it was told.
struct Joiner : StateMachine {
  TaskHandle& handle;
  Result<Outcome>& told;

  Step step() {
    MOTE_BEGIN();
    MOTE_AWAIT(told, handle.join());
    if (!told) return mote::failed(told.error());
    MOTE_END();
  }
};

// Ends after so many turns, in the way that it is told to.
struct Walker : StateMachine {
  int turns;
  Step end;

  Step step() {
    MOTE_BEGIN();
    while (turns-- > 0) MOTE_YIELD();
    return end;
    MOTE_END();
  }
};

struct Failure : StateMachine {
  static constexpr const char* name = "the failing one";
  Step step() { return mote::failed(EPROTO); }
};

struct Constructed {
  Constructed(std::string text, std::string& result) : text_(std::move(text)), result_(result) {}
  Step step() {
    result_ = text_;
    return mote::done();
  }
 private:
  std::string text_;
  std::string& result_;
};

struct Observer {
  std::vector<Observation::Kind> kinds;
  std::vector<int> errors;
  std::vector<std::string> names;
  void operator()(const Observation& seen) {
    kinds.push_back(seen.kind);
    errors.push_back(seen.error.code());
    names.emplace_back(seen.task != nullptr ? seen.task->name() : "");
  }
};

void turn(mote::Reactor& reactor) { REQUIRE(reactor.run_once(0ns)); }

Stream open_stream(mote::Reactor& reactor, mote::Fd&& fd) {
  Stream stream;
  REQUIRE(stream.open(reactor, std::move(fd)));
  return stream;
}

// Goes on until the clock shows that instant: a condition, as far as a test of time can have one.
void pass(Instant instant) {
  while (Clock::now() < instant) {}
}

}  // namespace

// ------------------------------------------------------------------------------------------------ spawning

ON_BOTH_SELECTORS("tasks: pool full, reuse: ENOBUFS leaves the arguments as they were, and an end frees the slot") {
  test::Loop<S> loop;
  TaskPool<Reader, 2> pool;
  test::Pair first = test::socket_pair(), second = test::socket_pair(), third = test::socket_pair();
  Result<std::size_t> got[3];
  int destroyed = 0;
  CHECK(pool.capacity() == 2);
  CHECK(pool.vacancies() == 2);
  REQUIRE(pool.spawn(loop, open_stream(loop, std::move(first.a)), Witness(destroyed), got[0]));
  REQUIRE(pool.spawn(loop, open_stream(loop, std::move(second.a)), Witness(destroyed), got[1]));
  CHECK(pool.size() == 2);
  CHECK(pool.vacancies() == 0);

  Stream stream = open_stream(loop, std::move(third.a));
  Witness witness(destroyed);
  const auto refused = pool.spawn(loop, std::move(stream), std::move(witness), got[2]);
  REQUIRE_FALSE(refused);
  CHECK(refused.error() == ENOBUFS);
  CHECK(stream.is_open());
  CHECK(destroyed == 0);

  REQUIRE(test::send_text(first.b.get(), "x") == 1);
  REQUIRE(run_until(loop, [&] { return pool.vacancies() == 1; }));
  CHECK(destroyed == 1);
  REQUIRE(pool.spawn(loop, std::move(stream), std::move(witness), got[2]));
  REQUIRE(test::send_text(third.b.get(), "yz") == 2);
  REQUIRE(test::send_text(second.b.get(), "abc") == 3);
  REQUIRE(run_until(loop, [&] { return pool.size() == 0; }));
  CHECK(*got[0] == 1);
  CHECK(*got[1] == 3);
  CHECK(*got[2] == 2);
  CHECK(destroyed == 3);
  CHECK(pool.high_water() == 2);
}

ON_BOTH_SELECTORS("tasks: a task is made by its constructor, or member by member as an aggregate") {
  test::Loop<S> loop;
  TaskPool<Constructed, 1> constructed;
  TaskPool<Plain, 1> plain;
  TaskPool<Walker, 1> machine;
  std::string result;
  int steps = 0;
  auto body = [&](Task&) -> Step {
    ++steps;
    return mote::done();
  };
  REQUIRE(constructed.spawn(loop, "made of these", result));
  REQUIRE(plain.spawn(loop, Body(body)));
  REQUIRE(machine.spawn(loop, 2, mote::done()));
  REQUIRE(loop.run());
  CHECK(result == "made of these");
  CHECK(steps == 1);
  CHECK(loop.stats().tasks_ended == 3);
}

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

ON_BOTH_SELECTORS("tasks: one that is spawned before its reactor is open runs when that is open and run") {
  mote::StaticReactor<typename S::template Config<4>> loop;
  TaskPool<Walker, 1> pool;
  const auto handle = pool.spawn(loop, 1, mote::done());
  REQUIRE(handle);
  CHECK(loop.run().error() == ENXIO);
  CHECK(handle->outcome().kind == Outcome::Kind::none);
  REQUIRE(loop.open());
  REQUIRE(loop.run());
  CHECK(handle->outcome().kind == Outcome::Kind::done);
}

ON_BOTH_SELECTORS("tasks: a pool serves one reactor at a time, and another one when it is empty") {
  test::Loop<S> one, other;
  TaskPool<Walker, 2> pool;
  REQUIRE(pool.spawn(one, 1, mote::done()));
  const auto refused = pool.spawn(other, 1, mote::done());
  REQUIRE_FALSE(refused);
  CHECK(refused.error() == EINVAL);
  REQUIRE(one.run());
  REQUIRE(pool.spawn(other, 1, mote::done()));
  REQUIRE(other.run());
  CHECK(one.stats().tasks_ended == 1);
  CHECK(other.stats().tasks_ended == 1);
}

ON_BOTH_SELECTORS(
    "tasks: spawn inside a task: the new one runs in the next turn, and may take the slot of one that ended") {
  test::Loop<S> loop;
  TaskPool<Plain, 2> pool;
  std::vector<std::string> log;
  auto child = [&](Task&) -> Step {
    log.emplace_back("child");
    return mote::done();
  };
  auto parent = [&](Task& task) -> Step {
    log.emplace_back("parent");
    REQUIRE(pool.spawn(task.reactor(), Body(child)));
    const auto refused = pool.spawn(task.reactor(), Body(child));  // its own slot is in use until it has ended
    CHECK(refused.error() == ENOBUFS);
    return mote::done();
  };
  REQUIRE(pool.spawn(loop, Body(parent)));
  turn(loop);
  CHECK(log == std::vector<std::string>{"parent"});
  turn(loop);
  CHECK(log == std::vector<std::string>{"parent", "child"});
  CHECK(pool.size() == 0);
}

ON_BOTH_SELECTORS("tasks: a vacancy is awaited, and given to those who wait in order of arrival") {
  struct Feeder : StateMachine {
    TaskPool<Walker, 1>& pool;
    int number;
    std::vector<int>& log;
    Result<void> vacant;
    Step step() {
      MOTE_BEGIN();
      do {
        MOTE_AWAIT(vacant, pool.vacancy());
        if (!vacant) return mote::failed(vacant.error());
      } while (!pool.spawn(reactor(), 3, mote::done()));
      log.push_back(number);
      MOTE_END();
    }
  };
  test::Loop<S> loop;
  TaskPool<Walker, 1> pool;
  TaskPool<Feeder, 3> feeders;
  std::vector<int> log;
  REQUIRE(pool.spawn(loop, 3, mote::done()));
  for (int i = 1; i <= 3; ++i) REQUIRE(feeders.spawn(loop, pool, i, log));
  REQUIRE(loop.run());
  CHECK(log == std::vector<int>{1, 2, 3});
  CHECK(pool.high_water() == 1);
}

ON_BOTH_SELECTORS("tasks: waiting for a vacancy can be cancelled, and costs no step meanwhile") {
  struct Waiting : StateMachine {
    TaskPool<Plain, 1>& pool;
    Result<void>& result;
    Step step() {
      MOTE_BEGIN();
      MOTE_AWAIT(result, pool.vacancy());
      MOTE_END();
    }
  };
  test::Loop<S> loop;
  TaskPool<Plain, 1> pool;
  TaskPool<Waiting, 1> waiting;
  auto idle = [](Task&) -> Step { return mote::pending; };
  Result<TaskHandle> occupant = pool.spawn(loop, Body(idle));
  Result<void> result;
  Result<TaskHandle> waiter = waiting.spawn(loop, pool, result);
  REQUIRE(waiter);
  for (int i = 0; i < 5; ++i) turn(loop);
  CHECK(loop.stats().steps == 2);
  waiter->cancel();
  turn(loop);
  REQUIRE_FALSE(result);
  CHECK(result.error() == ECANCELED);
  CHECK(waiting.size() == 1);  // the handle keeps the outcome
  CHECK(waiter->outcome().kind == Outcome::Kind::done);
}

// ------------------------------------------------------------------------------------------------ waking

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

ON_BOTH_SELECTORS("tasks: wake after end is a no-op, for a handle that holds the outcome and for a reference") {
  test::Loop<S> loop;
  TaskPool<Walker, 1> pool;
  Result<TaskHandle> handle = pool.spawn(loop, 0, mote::done());
  REQUIRE(handle);
  const TaskRef reference(*handle->get());
  CHECK(reference.get() == handle->get());
  turn(loop);
  REQUIRE(handle->outcome().kind == Outcome::Kind::done);
  handle->get()->wake();
  handle->get()->cancel();
  CHECK_FALSE(reference.wake());
  CHECK_FALSE(reference.cancel());
  CHECK(reference.get() == nullptr);
  turn(loop);
  CHECK(loop.stats().steps == 1);
  CHECK(handle->outcome().kind == Outcome::Kind::done);
}

ON_BOTH_SELECTORS("tasks: old handle after respawn does not reach the slot's new task") {
  test::Loop<S> loop;
  TaskPool<Walker, 1> pool;
  CHECK(TaskRef().get() == nullptr);
  CHECK_FALSE(TaskRef().cancel());
  Result<TaskHandle> first = pool.spawn(loop, 0, mote::done());
  REQUIRE(first);
  const TaskRef old(*first->get());
  Task* const slot = first->get();
  turn(loop);
  first->detach();
  CHECK_FALSE(*first);

  Result<TaskHandle> second = pool.spawn(loop, 1, mote::done());
  REQUIRE(second);
  REQUIRE(second->get() == slot);  // the very same slot
  CHECK(old.get() == nullptr);
  CHECK_FALSE(old.wake());
  CHECK_FALSE(old.cancel());
  first->cancel();
  CHECK(first->outcome().kind == Outcome::Kind::none);
  CHECK_FALSE(second->get()->cancel_requested());
  CHECK(TaskRef(*second->get()).wake());
  REQUIRE(loop.run());
  CHECK(second->outcome().kind == Outcome::Kind::done);
}

// ------------------------------------------------------------------------------------------------ joining

ON_BOTH_SELECTORS("tasks: join finished, running, cancelled, failed, destroyed: each tells its outcome once") {
  test::Loop<S> loop;
  TaskPool<Walker, 1> walkers;
  TaskPool<Plain, 1> idlers;
  TaskPool<Joiner, 1> joiners;
  Observer observer;
  loop.observe(observer);
  Result<Outcome> told;
  TaskTimer timer;
  auto sleeper = [&](Task& task) -> Step {
    Poll<Result<void>> expired = timer.sleep(1h).poll(task);
    if (!expired.ready()) return mote::pending;
    return mote::failed(expired->error());
  };
  Result<TaskHandle> handle = Error(EAGAIN);

  SUBCASE("finished before the join") {
    handle = walkers.spawn(loop, 0, mote::done());
    turn(loop);
    REQUIRE(handle->outcome().kind == Outcome::Kind::done);
    REQUIRE(joiners.spawn(loop, *handle, told));
    REQUIRE(loop.run());
    REQUIRE(told);
    CHECK(told->kind == Outcome::Kind::done);
  }
  SUBCASE("running at the join") {
    handle = walkers.spawn(loop, 5, mote::done());
    REQUIRE(joiners.spawn(loop, *handle, told));
    turn(loop);
    turn(loop);
    CHECK(told.error() == EAGAIN);
    REQUIRE(loop.run());
    REQUIRE(told);
    CHECK(told->kind == Outcome::Kind::done);
  }
  SUBCASE("cancelled") {
    handle = idlers.spawn(loop, Body(sleeper));
    REQUIRE(joiners.spawn(loop, *handle, told));
    turn(loop);
    handle->cancel();
    REQUIRE(loop.run());
    REQUIRE(told);
    CHECK(told->kind == Outcome::Kind::cancelled);
  }
  SUBCASE("failed, after and before the join") {
    handle = walkers.spawn(loop, 2, mote::failed(EPIPE));
    SUBCASE("after") { REQUIRE(joiners.spawn(loop, *handle, told)); }
    SUBCASE("before") {
      while (handle->outcome().kind == Outcome::Kind::none) turn(loop);
      REQUIRE(joiners.spawn(loop, *handle, told));
    }
    REQUIRE(loop.run());
    REQUIRE(told);
    CHECK(told->kind == Outcome::Kind::failed);
    CHECK(told->error == EPIPE);
  }
  SUBCASE("destroyed") {
    handle = idlers.spawn(loop, Body(sleeper));
    REQUIRE(joiners.spawn(loop, *handle, told));
    turn(loop);
    REQUIRE(handle->destroy());
    timer.reset();  // it is not the task's own
    REQUIRE(loop.run());
    REQUIRE(told);
    CHECK(told->kind == Outcome::Kind::cancelled);
  }
  CHECK_FALSE(*handle);  // its outcome has been handed over
  CHECK(handle->outcome().kind == Outcome::Kind::none);
  CHECK(walkers.size() == 0);
  CHECK(idlers.size() == 0);
  CHECK(joiners.size() == 0);
  CHECK(observer.kinds.empty());  // a failure that a join has told is not reported to the observer
}

ON_BOTH_SELECTORS("tasks: join of an empty handle is EINVAL, by a second task EBUSY, by a cancelled one ECANCELED") {
  test::Loop<S> loop;
  TaskPool<Walker, 1> walkers;
  TaskPool<Joiner, 3> joiners;
  TaskHandle empty;
  Result<Outcome> of_empty, second, cancelled, first;
  Observer observer;
  loop.observe(observer);
  Result<TaskHandle> handle = walkers.spawn(loop, 20, mote::done());
  REQUIRE(handle);
  REQUIRE(joiners.spawn(loop, empty, of_empty));
  Result<TaskHandle> one = joiners.spawn(loop, *handle, cancelled);
  REQUIRE(one);
  REQUIRE(joiners.spawn(loop, *handle, second));
  turn(loop);
  CHECK(of_empty.error() == EINVAL);
  CHECK(second.error() == EBUSY);
  one->cancel();
  turn(loop);
  CHECK(cancelled.error() == ECANCELED);
  CHECK(*handle);  // the task goes on, and may be joined by another
  CHECK(handle->outcome().kind == Outcome::Kind::none);
  REQUIRE(joiners.spawn(loop, *handle, first));
  REQUIRE(loop.run());
  REQUIRE(first);
  CHECK(first->kind == Outcome::Kind::done);
}

ON_BOTH_SELECTORS("tasks: a handle may be moved, also over another, whose task then goes on alone") {
  test::Loop<S> loop;
  TaskPool<Walker, 2> pool;
  Result<TaskHandle> one = pool.spawn(loop, 3, mote::done());
  Result<TaskHandle> other = pool.spawn(loop, 3, mote::done());
  REQUIRE(one);
  REQUIRE(other);
  TaskHandle moved(std::move(*one));
  CHECK_FALSE(*one);
  CHECK(moved);
  Task* const kept = moved.get();
  *other = std::move(moved);
  CHECK(other->get() == kept);
  CHECK_FALSE(moved);
  TaskHandle& itself = *other;
  *other = std::move(itself);
  CHECK(other->get() == kept);
  REQUIRE(loop.run());
  CHECK(pool.size() == 1);  // the one whose handle was dropped has left; the other's outcome is kept
  CHECK(other->outcome().kind == Outcome::Kind::done);
  other->detach();
  CHECK(pool.size() == 0);
}

ON_BOTH_SELECTORS("tasks: destroying through a handle is EBUSY for the running one, ESRCH for one that has ended") {
  test::Loop<S> loop;
  TaskPool<Plain, 1> pool;
  Result<TaskHandle> handle = Error(EAGAIN);
  Result<void> itself;
  auto body = [&](Task&) -> Step {
    itself = handle->destroy();
    return mote::done();
  };
  handle = pool.spawn(loop, Body(body));
  REQUIRE(handle);
  turn(loop);
  CHECK(itself.error() == EBUSY);
  CHECK(handle->destroy().error() == ESRCH);
  CHECK(handle->outcome().kind == Outcome::Kind::done);
  CHECK(TaskHandle().destroy().error() == ESRCH);
}

// ------------------------------------------------------------------------------------------------ failures

ON_BOTH_SELECTORS("tasks: nobody joins a failed task: hook called at the moment it fails") {
  test::Loop<S> loop;
  TaskPool<Failure, 1> pool;
  Observer observer;
  loop.observe(observer);
  REQUIRE(pool.spawn(loop));
  CHECK(observer.kinds.empty());
  turn(loop);
  CHECK(observer.kinds == std::vector<Observation::Kind>{Observation::task_failed});
  CHECK(observer.errors == std::vector<int>{EPROTO});
  CHECK(observer.names == std::vector<std::string>{"the failing one"});
  CHECK(loop.stats().tasks_failed == 1);
  turn(loop);
  CHECK(observer.kinds.size() == 1);
}

ON_BOTH_SELECTORS("tasks: a failure that a handle held is reported when the handle is dropped, unless it was joined") {
  test::Loop<S> loop;
  TaskPool<Failure, 1> pool;
  TaskPool<Joiner, 1> joiners;
  Observer observer;
  loop.observe(observer);
  Result<TaskHandle> handle = pool.spawn(loop);
  REQUIRE(handle);
  turn(loop);
  CHECK(handle->outcome().kind == Outcome::Kind::failed);
  CHECK(observer.kinds.empty());
  SUBCASE("dropped") {
    handle->detach();
    CHECK(observer.errors == std::vector<int>{EPROTO});
    CHECK(observer.names == std::vector<std::string>{"the failing one"});
  }
  SUBCASE("joined") {
    Result<Outcome> told;
    REQUIRE(joiners.spawn(loop, *handle, told));
    turn(loop);
    CHECK(told->kind == Outcome::Kind::failed);
    CHECK(observer.kinds.empty());
  }
  CHECK(pool.size() == 0);
}

ON_BOTH_SELECTORS("tasks: being cancelled or destroyed is no failure to be reported") {
  test::Loop<S> loop;
  TaskPool<Walker, 2> pool;
  Observer observer;
  loop.observe(observer);
  REQUIRE(pool.spawn(loop, 0, mote::failed(ECANCELED)));
  REQUIRE(pool.spawn(loop, 1000, mote::done()));
  turn(loop);
  CHECK(loop.destroy_all_tasks() == 1);
  CHECK(observer.kinds.empty());
  CHECK(loop.stats().tasks_failed == 0);
  CHECK(loop.stats().tasks_destroyed == 1);
  CHECK(loop.stats().tasks_ended == 2);
}

ON_BOTH_SELECTORS("tasks: without an observer an unobserved failure is reported on standard error") {
  test::Loop<S> loop;
  TaskPool<Failure, 1> pool;
  REQUIRE(pool.spawn(loop));
  test::Pair pipe = test::pipe_pair();
  mote::Fd kept(::dup(STDERR_FILENO));
  REQUIRE(kept);
  REQUIRE(::dup2(pipe.b.get(), STDERR_FILENO) == STDERR_FILENO);
  const auto ran = loop.run_once(0ns);
  REQUIRE(::dup2(kept.get(), STDERR_FILENO) == STDERR_FILENO);
  REQUIRE(ran);
  char text[256] = {};
  REQUIRE(::read(pipe.a.get(), text, sizeof text - 1) > 0);
  const std::string said = text;
  CHECK(said.find("mote: ") == 0);
  CHECK(said.find("the failing one") != std::string::npos);
  CHECK(said.find(::strerror(EPROTO)) != std::string::npos);
  CHECK(said.back() == '\n');
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
  REQUIRE(
      run_until(loop, [&] { return loop.stats().timers_fired == 1 && walker->outcome().kind == Outcome::Kind::done; }));
  for (int i = 0; i < 3; ++i) turn(loop);
  CHECK(got.error() == EAGAIN);
  CHECK(told.error() == EAGAIN);
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

ON_BOTH_SELECTORS("tasks: a pool destroyed before the reactor takes its tasks along, and leaves nothing to run") {
  test::Loop<S> loop;
  auto pool = std::make_unique<TaskPool<Reader, 2>>();
  test::Pair pair = test::socket_pair();
  int destroyed = 0;
  Result<std::size_t> got;
  Result<TaskHandle> handle = pool->spawn(loop, open_stream(loop, std::move(pair.a)), Witness(destroyed), got);
  REQUIRE(handle);
  turn(loop);
  pool.reset();
  CHECK(destroyed == 1);
  CHECK_FALSE(*handle);
  CHECK(handle->outcome().kind == Outcome::Kind::none);
  handle->cancel();
  CHECK(loop.stats().tasks == 0);
  CHECK(loop.stats().descriptors == 0);
  CHECK(loop.run());
}

ON_BOTH_SELECTORS(
    "tasks: a pool that is being destroyed takes no more: who is told of a failure amid cannot spawn into it") {
  test::Loop<S> loop;
  auto pool = std::make_unique<TaskPool<Plain, 2>>();
  TaskPool<Plain, 2>& ending = *pool;
  auto waits = [](Task&) -> Step { return mote::pending; };
  auto fails = [](Task&) -> Step { return mote::failed(EIO); };
  int told = 0, answer = 0;
  auto note = [&](const Observation& seen) {
    if (seen.kind != Observation::task_failed) return;
    ++told;
    answer = test::error_of(ending.spawn(loop, Body(waits)));
  };
  loop.observe(note);
  Result<TaskHandle> first = pool->spawn(loop, Body(waits)), second = pool->spawn(loop, Body(fails));
  REQUIRE(first);
  REQUIRE(second);
  turn(loop);
  CHECK(first->destroy());
  first->detach();  // its slot is free, and before that of the one that has failed
  pool.reset();
  CHECK(told == 1);
  CHECK(answer == ECANCELED);
  CHECK(loop.stats().tasks == 0);
  CHECK(loop.run());
}

ON_BOTH_SELECTORS("tasks: a pool destroyed after the reactor is empty by then, and may serve another reactor") {
  auto loop = std::make_unique<test::Loop<S>>();
  TaskPool<Reader, 2> pool;
  test::Pair pair = test::socket_pair();
  int destroyed = 0;
  Result<std::size_t> got;
  Result<TaskHandle> handle = pool.spawn(*loop, open_stream(*loop, std::move(pair.a)), Witness(destroyed), got);
  REQUIRE(handle);
  turn(*loop);
  loop.reset();
  CHECK(destroyed == 1);
  CHECK_FALSE(*handle);
  CHECK(pool.size() == 0);
  handle->detach();

  test::Loop<S> other;
  test::Pair fresh = test::socket_pair();
  REQUIRE(pool.spawn(other, open_stream(other, std::move(fresh.a)), Witness(destroyed), got));
  REQUIRE(test::send_text(fresh.b.get(), "x") == 1);
  REQUIRE(other.run());
  CHECK(*got == 1);
  CHECK(destroyed == 2);
}

ON_BOTH_SELECTORS("tasks: reactor, pools, handle, timers and stream may be destroyed in every order") {
  int order[6] = {0, 1, 2, 3, 4, 5};
  do {
    auto loop = std::make_unique<test::Loop<S, 4>>();
    auto readers = std::make_unique<TaskPool<Reader, 2>>();
    auto joiners = std::make_unique<TaskPool<Joiner, 1>>();
    auto handle = std::make_unique<TaskHandle>();
    auto stream = std::make_unique<Stream>();
    auto timer = std::make_unique<mote::Timer>();
    test::Pair pair = test::socket_pair(), other = test::socket_pair();
    int destroyed = 0, fired = 0;
    auto fire = [&] { ++fired; };
    Result<std::size_t> got;
    Result<Outcome> told;
    *stream = open_stream(*loop, std::move(other.a));
    Result<TaskHandle> spawned = readers->spawn(*loop, open_stream(*loop, std::move(pair.a)), Witness(destroyed), got);
    REQUIRE(spawned);
    *handle = std::move(*spawned);
    REQUIRE(joiners->spawn(*loop, *handle, told));
    timer->arm(*loop, 1h, fire);
    turn(*loop);
    for (const int which : order) {
      switch (which) {
        case 0: loop.reset(); break;
        case 1: readers.reset(); break;
        case 2: joiners.reset(); break;
        case 3: handle.reset(); break;
        case 4: stream.reset(); break;
        default: timer.reset(); break;
      }
    }
    CHECK(destroyed == 1);
    CHECK(fired == 0);
  } while (std::next_permutation(std::begin(order), std::end(order)));
}

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

// ------------------------------------------------------------------------------------------------ time

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

ON_BOTH_SELECTORS("tasks: a join that times out leaves the task running and its handle whole") {
  struct Joining : StateMachine {
    TaskHandle& handle;
    std::vector<int>& log;
    TaskTimer timer;
    Result<Outcome> told;
    Joining(TaskHandle& h, std::vector<int>& l) : handle(h), log(l) {}
    Step step() {
      MOTE_BEGIN();
      MOTE_AWAIT(told, mote::with_timeout(timer, 1ms, handle.join()));
      log.push_back(told ? 0 : told.error().code());
      handle.cancel();
      MOTE_AWAIT(told, handle.join());
      log.push_back(static_cast<int>(told->kind));
      MOTE_END();
    }
  };
  test::Loop<S> loop;
  TaskPool<Plain, 1> pool;
  TaskPool<Joining, 1> joiners;
  TaskTimer timer;
  auto sleeper = [&](Task& task) -> Step {
    Poll<Result<void>> slept = timer.sleep(1h).poll(task);
    return slept.ready() ? mote::failed(slept->error()) : Step(mote::pending);
  };
  Result<TaskHandle> handle = pool.spawn(loop, Body(sleeper));
  std::vector<int> log;
  REQUIRE(joiners.spawn(loop, *handle, log));
  REQUIRE(loop.run());
  CHECK(log == std::vector<int>{ETIMEDOUT, static_cast<int>(Outcome::Kind::cancelled)});
}

// ------------------------------------------------------------------------------------------------ observing

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

ON_BOTH_SELECTORS("tasks: a handle that is dropped under a join tells the one who waits") {
  test::Loop<S> loop;
  TaskPool<Plain, 2> pool;
  auto idle = [](Task&) -> Step { return mote::pending; };
  Result<TaskHandle> joined = pool.spawn(loop, Body(idle));
  REQUIRE(joined);
  mote::Error answer(1);
  auto join = [&](Task& task) -> Step {
    auto polled = joined->join().poll(task);
    if (!polled.ready()) return mote::pending;
    answer = polled->error();
    return mote::done();
  };
  REQUIRE(pool.spawn(loop, Body(join)));
  turn(loop);
  joined->detach();
  turn(loop);
  CHECK(answer == EINVAL);
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

namespace {
// Spawns another of its kind when it is destroyed.
struct Reviving {
  TaskPool<Reviving, 2>* pool = nullptr;
  mote::Reactor* reactor = nullptr;
  int* refused = nullptr;
  ~Reviving() {
    if (const auto again = pool->spawn(*reactor, pool, reactor, refused); !again) ++*refused;
  }
  Step step() { return mote::pending; }
};
}  // namespace

ON_BOTH_SELECTORS("tasks: none is spawned in the midst of a destruction") {
  test::Loop<S> loop;
  TaskPool<Reviving, 2> pool;
  int refused = 0;
  {
    auto first = pool.spawn(loop, &pool, &loop, &refused);
    REQUIRE(first);
  }
  turn(loop);
  CHECK(loop.destroy_all_tasks() == 1);
  CHECK(refused == 1);
  CHECK(pool.size() == 0);
}
