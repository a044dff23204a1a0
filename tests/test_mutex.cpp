// SPDX-License-Identifier: MIT
// Rooms: sync/mutex.hpp, sync/semaphore.hpp.
// Semaphores and mutexes: permits are counted, and guards hold what they have locked.
#include <memory>
#include <utility>
#include <vector>

#include "support/operations.hpp"

using mote::Mutex;
using mote::Result;
using mote::Semaphore;
using mote::StateMachine;
using mote::Step;
using mote::TaskPool;
using test::error_of;
using test::start;
using test::turn;
using test::waiting;

// ------------------------------------------------------------------------------------------------ semaphores

ON_BOTH_SELECTORS("semaphore: as many tasks go on as there are permits, in the order in which they came") {
  test::Loop<S> loop;
  Semaphore semaphore(2);
  const auto acquire = [&] { return semaphore.acquire(); };
  CHECK(semaphore.available() == 2);
  CHECK(semaphore.try_acquire());
  auto first = start(loop, acquire);
  turn(loop);
  CHECK(first->done());
  CHECK(semaphore.available() == 0);
  CHECK(error_of(semaphore.try_acquire()) == EAGAIN);
  std::vector<decltype(first)> others;
  for (int i = 0; i < 5; ++i) others.push_back(waiting(loop, acquire));
  semaphore.release(3);
  CHECK(error_of(semaphore.try_acquire()) == EAGAIN);  // there are some, but others wait
  turn(loop, 2);
  for (std::size_t i = 0; i < 5; ++i) CHECK(others[i]->done() == (i < 3));
  CHECK(others[2]->steps == 2);
  CHECK(others[3]->steps <= 2);  // the next has a look, those behind it are left alone
  CHECK(others[4]->steps == 1);
  CHECK(semaphore.available() == 0);
  semaphore.release(4);
  turn(loop, 2);
  CHECK(others[4]->done());
  CHECK(semaphore.available() == 2);
}

ON_BOTH_SELECTORS("semaphore: permits beyond counting are dropped, and none is lost") {
  mote::Semaphore semaphore(1);
  semaphore.release(UINT32_MAX);
  CHECK(semaphore.available() == UINT32_MAX);
  CHECK(semaphore.try_acquire());
  semaphore.release();
  CHECK(semaphore.available() == UINT32_MAX);
}

// ------------------------------------------------------------------------------------------------ mutexes

namespace {

// Works on something that two tasks must not use at the same time, and awaits meanwhile. The guard is a member.
struct Worker : StateMachine {
  Mutex& mutex;
  int& inside;
  int& together;
  std::vector<int>& order;
  int id;
  Result<Mutex::Guard> guard;
  int i = 0;
  Step step() {
    MOTE_BEGIN();
    for (i = 0; i < 10; ++i) {
      MOTE_AWAIT(guard, mutex.lock());
      if (!guard) return mote::failed(guard.error());
      order.push_back(id);
      together += ++inside > 1;
      MOTE_YIELD();
      CHECK(*guard);
      together += inside > 1;
      MOTE_YIELD();
      --inside;
      guard->unlock();
      CHECK_FALSE(*guard);
    }
    MOTE_END();
  }
};

}  // namespace

ON_BOTH_SELECTORS("mutex: a guard that is a member holds it across awaits, one task at a time, and all in turn") {
  test::Loop<S> loop;
  Mutex mutex;
  int inside = 0, together = 0;
  std::vector<int> order;
  TaskPool<Worker, 4> pool;
  for (int id = 0; id < 4; ++id) REQUIRE(pool.spawn(loop, mutex, inside, together, order, id));
  REQUIRE(loop.run());
  CHECK(together == 0);
  CHECK(order.size() == 40);
  for (std::size_t i = 0; i < order.size(); ++i) CHECK(order[i] == static_cast<int>(i % 4));
  CHECK_FALSE(mutex.is_locked());
}

ON_BOTH_SELECTORS("mutex: a task that is destroyed while it holds it lets the next one in") {
  test::Loop<S> loop;
  Mutex mutex;
  int inside = 0, together = 0;
  std::vector<int> order;
  auto pool = std::make_unique<TaskPool<Worker, 1>>();
  auto handle = pool->spawn(loop, mutex, inside, together, order, 1);
  turn(loop);
  CHECK(mutex.is_locked());
  auto next = waiting(loop, [&] { return mutex.lock(); });
  CHECK(handle->destroy());
  turn(loop);
  CHECK(next->result);
  CHECK(mutex.is_locked());
  next.reset();  // with the result
  CHECK_FALSE(mutex.is_locked());
}

ON_BOTH_SELECTORS("mutex: guards move, into themselves as well, and what a guard held before is unlocked") {
  test::Loop<S> loop;
  Mutex one, other;
  Mutex::Guard first = std::move(*one.try_lock());
  CHECK(first);
  CHECK(error_of(one.try_lock()) == EAGAIN);
  Mutex::Guard second(std::move(first));
  CHECK_FALSE(first);
  CHECK(second);
  CHECK(one.is_locked());
  Mutex::Guard& itself = second;
  second = std::move(itself);
  CHECK(second);
  CHECK(one.is_locked());
  second = std::move(*other.try_lock());
  CHECK_FALSE(one.is_locked());
  CHECK(other.is_locked());
  {
    Result<Mutex::Guard> result = one.try_lock();
    std::vector<Mutex::Guard> many;
    many.push_back(std::move(*result));
    for (int i = 0; i < 10; ++i) many.emplace_back();  // moves them all
    CHECK(one.is_locked());
  }
  CHECK_FALSE(one.is_locked());
  second.unlock();
  second.unlock();
  CHECK_FALSE(other.is_locked());
}

ON_BOTH_SELECTORS("mutex: destroyed while it is held and waited for: the guard goes empty, who waits gets ECANCELED") {
  test::Loop<S> loop;
  auto mutex = std::make_unique<Mutex>();
  Mutex* const gone = mutex.get();
  auto holder = start(loop, [=] { return gone->lock(); });
  turn(loop);
  CHECK(holder->result);
  CHECK(*holder->result);
  Mutex::Guard moved = std::move(*holder->result);
  auto waits = waiting(loop, [=] { return gone->lock(); });
  mutex.reset();
  CHECK_FALSE(moved);
  moved.unlock();
  turn(loop);
  CHECK(error_of(waits->result) == ECANCELED);
}
