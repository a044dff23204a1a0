// SPDX-License-Identifier: MIT
// Rooms: task/task_pool.hpp, task/task_store.hpp, task/task_header.hpp.
// Pools: spawning, vacancies, and being destroyed in any order.
#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "support/tasks.hpp"

using mote::Observation;
using mote::Outcome;
using mote::Result;
using mote::StateMachine;
using mote::Step;
using mote::Stream;
using mote::Task;
using mote::TaskHandle;
using mote::TaskPool;
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

// ------------------------------------------------------------------------------------------------ destroying

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

// ------------------------------------------------------------------------------------------------ the objects

namespace {

// Counts up once in each step, and ends when it is told to.
struct Meter : StateMachine {
  TaskPool<Meter, 3>& pool;
  bool& found_by_destructor;
  int value = 0;
  bool over = false;
  TaskHandle* handle = nullptr;  // its own

  Meter(TaskPool<Meter, 3>& from, bool& found) : pool(from), found_by_destructor(found) {}
  ~Meter() {
    if (handle != nullptr) found_by_destructor = pool.find(*handle) != nullptr;
  }
  Step step() {
    MOTE_BEGIN();
    while (!over) {
      ++value;
      MOTE_YIELD();
    }
    MOTE_END();
  }
};

}  // namespace

ON_BOTH_SELECTORS("tasks: the object is found by its handle while the task lives, and not any more") {
  test::Loop<S> loop;
  TaskPool<Meter, 3> pool, others;
  bool found = true;
  Result<TaskHandle> first = pool.spawn(loop, pool, found);
  Result<TaskHandle> second = pool.spawn(loop, pool, found);
  REQUIRE(first);
  REQUIRE(second);
  Meter* const meter = pool.find(*first);
  REQUIRE(meter != nullptr);  // also before its first step
  CHECK(meter->value == 0);
  CHECK(pool.find(*second) != meter);
  CHECK(pool.find(first->get()) == meter);
  CHECK(pool.find(mote::TaskRef(*first->get()).get()) == meter);
  CHECK(others.find(*first) == nullptr);  // of another pool
  CHECK(pool.find(TaskHandle()) == nullptr);
  CHECK(pool.find(static_cast<Task*>(nullptr)) == nullptr);
  turn(loop, 2);
  CHECK(meter->value == 2);
  meter->handle = &*first;
  meter->over = true;
  turn(loop);
  CHECK_FALSE(found);  // its destructor is running
  CHECK(first->outcome().kind == Outcome::Kind::done);
  CHECK(pool.find(*first) == nullptr);  // the slot is still held, for the outcome
  CHECK(pool.find(*second)->value == 3);
  REQUIRE(second->destroy());
  CHECK(pool.find(*second) == nullptr);
}

ON_BOTH_SELECTORS("tasks: a stale name does not find the task that has the slot by now") {
  test::Loop<S> loop;
  TaskPool<Meter, 3> pool;
  bool found = true;
  mote::TaskRef stale;
  {
    Result<TaskHandle> old = pool.spawn(loop, pool, found);
    REQUIRE(old);
    stale = mote::TaskRef(*old->get());
    CHECK(pool.find(stale.get()) == pool.find(*old));
    REQUIRE(old->destroy());
    CHECK(pool.find(stale.get()) == nullptr);
  }
  Result<TaskHandle> fresh = pool.spawn(loop, pool, found);
  REQUIRE(fresh);
  CHECK(pool.find(*fresh) != nullptr);
  CHECK(pool.find(stale.get()) == nullptr);
  TaskHandle moved = std::move(*fresh);
  CHECK(pool.find(*fresh) == nullptr);
  CHECK(pool.find(moved) != nullptr);
}

ON_BOTH_SELECTORS(
    "tasks: for_each() visits the objects that live, and they may be ended, and others spawned, meanwhile") {
  test::Loop<S> loop;
  TaskPool<Meter, 3> pool;
  bool found = true;
  int visits = 0;
  pool.for_each([&](Meter&) { ++visits; });
  CHECK(visits == 0);
  TaskHandle handles[3];
  for (int i = 0; i < 2; ++i) {
    Result<TaskHandle> handle = pool.spawn(loop, pool, found);
    REQUIRE(handle);
    handles[i] = std::move(*handle);
    pool.find(handles[i])->value = i + 1;
  }
  int sum = 0;
  pool.for_each([&](Meter& meter) { sum += meter.value; });
  CHECK(sum == 3);
  REQUIRE(handles[0].destroy());
  pool.for_each([&](Meter& meter) {
    if (++visits > 1) return;
    CHECK(meter.value == 2);
    REQUIRE(handles[1].destroy());
    Result<TaskHandle> handle = pool.spawn(loop, pool, found);
    REQUIRE(handle);
    handles[2] = std::move(*handle);
  });
  CHECK(visits >= 1);
  // In the dump of all tasks, those of a pool are told apart.
  int mine = 0, all = 0;
  loop.for_each_task([&](Task& task) {
    ++all;
    if (pool.find(&task) != nullptr) ++mine;
  });
  CHECK(all == 1);
  CHECK(mine == 1);
}
