// SPDX-License-Identifier: MIT
// Rooms: task/task_handle.hpp, task/task_ref.hpp, task/observation.hpp.
// Handles and references: joining, outlived tasks, and failures that nobody joins.
#include <memory>
#include <string>
#include <vector>

#include "support/tasks.hpp"

using mote::Error;
using mote::Observation;
using mote::Outcome;
using mote::Poll;
using mote::Result;
using mote::StateMachine;
using mote::Step;
using mote::Task;
using mote::TaskHandle;
using mote::TaskPool;
using mote::TaskRef;
using mote::TaskTimer;
using namespace std::chrono_literals;
using test::Body;
using test::Joiner;
using test::Plain;
using test::turn;
using test::Walker;

namespace {

struct Failure : StateMachine {
  static constexpr const char* name = "the failing one";
  Step step() { return mote::failed(EPROTO); }
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

}  // namespace

// ------------------------------------------------------------------------------------------------ outliving the task

ON_BOTH_SELECTORS("tasks: wake after end is a no-op, for a handle that holds the outcome and for a reference") {
  test::Loop<S> loop;
  TaskPool<Walker, 1> pool;
  Result<TaskHandle> handle = pool.spawn(loop, 0, mote::done());
  REQUIRE(handle);
  const TaskRef reference(*handle->get());
  CHECK(reference.get() == handle->get());
  CHECK(handle->is_alive());
  CHECK_FALSE(TaskHandle().is_alive());
  turn(loop);
  REQUIRE(handle->outcome().kind == Outcome::Kind::done);
  CHECK_FALSE(handle->is_alive());
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

ON_BOTH_SELECTORS("tasks: a join that was interrupted in one reactor is not told to a task of another one") {
  test::Loop<S> first, second;
  TaskPool<Plain, 1> first_pool, second_pool, joiners, second_joiners;
  auto waits = [](Task&) -> Step { return mote::pending; };
  bool answered = false;
  TaskHandle handle = std::move(*first_pool.spawn(first, Body(waits)));
  auto join = [&](Task& task) -> Step {
    answered = handle.join().poll(task).ready();
    return answered ? mote::done() : Step(mote::pending);
  };
  TaskHandle joiner = std::move(*joiners.spawn(first, Body(join)));
  turn(first);
  handle.detach();
  REQUIRE(joiner.destroy());
  handle = std::move(*second_pool.spawn(second, Body(waits)));
  REQUIRE(second_joiners.spawn(second, Body(join)));  // the second task of its reactor, as the other one was
  turn(second);
  CHECK_FALSE(answered);
}

ON_BOTH_SELECTORS("tasks: a handle that is moved or given another task under a join tells the one who waits, once") {
  enum class How { moved, assigned, emptied_and_assigned, pool_destroyed_and_assigned };
  for (const How how : {How::moved, How::assigned, How::emptied_and_assigned, How::pool_destroyed_and_assigned}) {
    for (const bool ended : {false, true}) {  // the task that is joined, when the joiner has been woken for it
      CAPTURE(static_cast<int>(how));
      CAPTURE(ended);
      test::Loop<S> loop;
      auto first_pool = std::make_unique<TaskPool<Plain, 1>>();
      TaskPool<Plain, 1> second_pool;
      TaskPool<Plain, 2> joiners;
      bool first_ends = false, second_ends = false;
      auto first = [&](Task&) -> Step { return first_ends ? mote::done() : Step(mote::pending); };
      auto second = [&](Task&) -> Step { return second_ends ? mote::done() : Step(mote::pending); };
      TaskHandle handle = std::move(*first_pool->spawn(loop, Body(first)));
      std::vector<int> answers;
      auto join = [&](Task& task) -> Step {
        auto polled = handle.join().poll(task);
        if (!polled.ready()) return mote::pending;
        answers.push_back(*polled ? 0 : polled->error().code());
        if (answers.size() == 3) return mote::done();
        task.wake();
        return mote::pending;
      };
      REQUIRE(joiners.spawn(loop, Body(join)));
      turn(loop);
      REQUIRE(answers.empty());
      first_ends = ended;
      if (ended) {
        handle.get()->wake();
        turn(loop);
        REQUIRE(handle.outcome().kind == Outcome::Kind::done);
        REQUIRE(answers.empty());
      }
      TaskHandle other;
      if (how == How::moved) other = std::move(handle);
      if (how == How::emptied_and_assigned) handle.detach();
      if (how == How::pool_destroyed_and_assigned) first_pool.reset();
      handle = std::move(*second_pool.spawn(loop, Body(second)));
      turn(loop);
      turn(loop);
      CHECK(answers == std::vector<int>{EINVAL});  // and it waits for the other one now
      second_ends = true;
      handle.get()->wake();
      turn(loop);
      turn(loop);
      CHECK(answers == std::vector<int>{EINVAL, 0});
      turn(loop);
      CHECK(answers == std::vector<int>{EINVAL, 0, EINVAL});  // it is empty
      if (how == How::moved) CHECK(other);
    }
  }
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
