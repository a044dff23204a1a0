// SPDX-License-Identifier: MIT
// Rooms: task/wait_queue.hpp, task/queue_place.hpp, task/poll_context.hpp, by sync/semaphore.hpp, mutex and channel.
// Whatever is given to one task at a time, whether a permit, a mutex, a message or room: in which order tasks wait and
// are served, and what happens when the object or the task goes first.
#include <memory>
#include <utility>

#include "support/operations.hpp"

using mote::Channel;
using mote::Event;
using mote::Mutex;
using mote::Outcome;
using mote::Result;
using mote::Semaphore;
using mote::Step;
using mote::Task;
using mote::TaskPool;
using mote::TaskTimer;
using namespace std::chrono_literals;
using test::Body;
using test::error_of;
using test::Plain;
using test::run_until;
using test::start;
using test::turn;
using test::waiting;

namespace {

// What can be had by one task at a time: each of these gives one thing to one of those that wait for it.
struct Permits {
  static constexpr const char* name = "a permit";
  Semaphore semaphore{0};
  auto wait() { return semaphore.acquire(); }
  void give() { semaphore.release(); }
  bool is_left() { return static_cast<bool>(semaphore.try_acquire()); }
};

struct Locks {
  static constexpr const char* name = "a mutex";
  Mutex mutex;
  Mutex::Guard held = std::move(*mutex.try_lock());
  auto wait() { return mutex.lock(); }
  void give() { held.unlock(); }
  bool is_left() { return static_cast<bool>(mutex.try_lock()); }
};

struct Messages {
  static constexpr const char* name = "a message";
  Channel<int, 2> channel;
  auto wait() { return channel.receive(); }
  void give() { CHECK(channel.try_send(1)); }
  bool is_left() { return static_cast<bool>(channel.try_receive()); }
};

struct Room {
  static constexpr const char* name = "room";
  Channel<int, 1> channel;
  int value = 2;
  Room() { CHECK(channel.try_send(1)); }
  auto wait() { return channel.send(value); }
  void give() { CHECK(*channel.try_receive() == 1); }
  bool is_left() { return static_cast<bool>(channel.try_send(3)); }
};

template <class T> struct Kind { using type = T; };

template <class Check> void for_each_kind(Check&& check) {
  const auto one = [&](auto kind) {
    CAPTURE(decltype(kind)::type::name);
    check(kind);
  };
  one(Kind<Permits>());
  one(Kind<Locks>());
  one(Kind<Messages>());
  one(Kind<Room>());
}

}  // namespace

ON_BOTH_SELECTORS("synchronisation: who waits is served in order of arrival, one for each thing that is given") {
  for_each_kind([](auto kind) {
    typename decltype(kind)::type thing;
    test::Loop<S> loop;
    const auto wait = [&] { return thing.wait(); };
    auto first = waiting(loop, wait), second = waiting(loop, wait), third = waiting(loop, wait);
    third->task().wake();
    second->task().wake();  // a spurious wake-up is no way to overtake
    turn(loop);
    thing.give();
    third->task().wake();
    second->task().wake();
    turn(loop, 3);
    CHECK(first->done());
    CHECK(first->result);
    CHECK(first->steps == 2);
    CHECK_FALSE(second->done());
    CHECK_FALSE(third->done());
  });
}

ON_BOTH_SELECTORS("synchronisation: nobody overtakes one who has been woken, not by an await and not by a try_ form") {
  for_each_kind([](auto kind) {
    typename decltype(kind)::type thing;
    test::Loop<S> loop;
    bool overtook = false;
    auto trying = [&](Task& task) -> Step {
      overtook |= thing.is_left();
      task.wake();
      return mote::pending;
    };
    TaskPool<Plain, 1> pool;
    REQUIRE(pool.spawn(loop, Body(trying)));
    const auto wait = [&] { return thing.wait(); };
    auto first = waiting(loop, wait);
    auto newcomer = start(loop, wait);  // steps in the next turn, before the one that is woken now
    thing.give();
    CHECK_FALSE(thing.is_left());
    turn(loop);
    CHECK(first->result);
    CHECK_FALSE(newcomer->done());
    CHECK_FALSE(overtook);
  });
}

namespace {

enum class Way { destroyed, cancelled, timed_out };

enum class Moment { before, after };  // before or after it has been woken, in both cases before its step

// A task that waits goes in that way, at that moment: what was given goes to the next, or to the one who waited, and
// to nobody twice.
template <class Thing, class S> void goes(Way way, Moment moment) {
  CAPTURE(static_cast<int>(way));
  CAPTURE(static_cast<int>(moment));
  Thing thing;
  test::Loop<S> loop;
  TaskTimer timer;
  const mote::Duration limit = way == Way::timed_out ? 0ns : mote::Duration(1h);
  auto first = start(loop, [&] { return mote::with_timeout(timer, limit, thing.wait()); });
  if (way != Way::timed_out) turn(loop);
  else REQUIRE(run_until(loop, [&] { return first->steps == 1; }));
  auto second = start(loop, [&] { return thing.wait(); });
  bool first_gets = false;
  if (way == Way::timed_out) {
    // Its timer of zero has fired in the turn of its first step, so it is queued, and its time is up.
    if (moment == Moment::after) thing.give();
    turn(loop);
    first_gets = moment == Moment::after;
    CHECK(error_of(first->result) == (first_gets ? 0 : ETIMEDOUT));
    if (moment == Moment::before) thing.give();
  } else {
    turn(loop);
    if (moment == Moment::after) thing.give();
    if (way == Way::cancelled) {
      first->cancel();
      turn(loop);
      first_gets = moment == Moment::after;
      CHECK(error_of(first->result) == (first_gets ? 0 : ECANCELED));
    } else {
      first.reset();
    }
    if (moment == Moment::before) thing.give();
  }
  turn(loop, 2);
  CHECK(second->done() == !first_gets);
  CHECK_FALSE(thing.is_left());
}

}  // namespace

ON_BOTH_SELECTORS(
    "synchronisation: nothing is lost when one who waits is cancelled, timed out or destroyed, at each moment") {
  for_each_kind([](auto kind) {
    for (const Way way : {Way::destroyed, Way::cancelled, Way::timed_out})
      for (const Moment moment : {Moment::before, Moment::after}) goes<typename decltype(kind)::type, S>(way, moment);
  });
}

ON_BOTH_SELECTORS("synchronisation: destroyed while tasks wait: they get ECANCELED, and do not touch it again") {
  for_each_kind([](auto kind) {
    auto thing = std::make_unique<typename decltype(kind)::type>();
    auto* const gone = thing.get();
    test::Loop<S> loop;
    auto first = waiting(loop, [=] { return gone->wait(); });
    auto second = waiting(loop, [=] { return gone->wait(); });
    auto third = waiting(loop, [=] { return gone->wait(); });
    second.reset();
    thing.reset();
    third.reset();
    turn(loop);
    CHECK(error_of(first->result) == ECANCELED);
  });
}

ON_BOTH_SELECTORS(
    "synchronisation: given and destroyed at once: who waited gets ECANCELED, and does not touch it again") {
  for_each_kind([](auto kind) {
    auto thing = std::make_unique<typename decltype(kind)::type>();
    auto* const gone = thing.get();
    test::Loop<S> loop;
    auto first = waiting(loop, [=] { return gone->wait(); });
    thing->give();
    thing.reset();
    turn(loop);
    CHECK(error_of(first->result) == ECANCELED);
  });
}

ON_BOTH_SELECTORS(
    "synchronisation: one queue too many is ENOBUFS, and those in which the task stands serve it all the same") {
  test::Loop<S> loop;
  Event events[3];
  for_each_kind([&](auto kind) {
    typename decltype(kind)::type thing;
    Result<void> last;
    auto body = [&](Task& task) -> Step {
      for (Event& event : events) {
        if (event.wait().poll(task).ready()) return mote::done();
      }
      auto poll = thing.wait().poll(task);
      CHECK(poll.ready());
      last = *poll ? Result<void>() : poll->error();
      return mote::pending;
    };
    static_assert(mote::limits::queues_per_task == 3, "as many events as that");
    TaskPool<Plain, 1> pool;
    auto handle = pool.spawn(loop, Body(body));
    turn(loop);
    CHECK(error_of(last) == ENOBUFS);
    events[1].set();
    turn(loop);
    CHECK(handle->outcome().kind == Outcome::Kind::done);
    events[1].clear();
  });
}

ON_BOTH_SELECTORS("synchronisation: a task that ends while it stands in several queues leaves them all") {
  test::Loop<S> loop;
  Semaphore semaphore;
  Channel<int, 1> channel;
  auto body = [&](Task& task) -> Step {
    CHECK_FALSE(semaphore.acquire().poll(task).ready());
    CHECK_FALSE(channel.receive().poll(task).ready());
    return mote::done();
  };
  TaskPool<Plain, 1> pool;
  REQUIRE(pool.spawn(loop, Body(body)));
  turn(loop);
  semaphore.release();
  CHECK(semaphore.try_acquire());
  CHECK(channel.try_send(1));
  CHECK(*channel.try_receive() == 1);
}

// An operation that is written with the single steps of PollContext, as a type of its own. Place: a Waiter or a
// WaitQueue.
template <class Place> struct Steps {
  Place place;
  bool is_there = false;
  struct [[nodiscard]] Take {
    Steps& self;
    mote::Poll<Result<int>> poll(Task& task) {
      const mote::PollContext context(task);
      mote::Error refusal;
      if (!context.proceed(refusal)) {
        if (refusal == ECANCELED) context.leave(self.place);
        return refusal;
      }
      if (!self.is_there) return context.wait(self.place, "a thing");
      self.is_there = false;
      context.leave(self.place);
      return mote::value(1);
    }
  };
  Take take() { return {*this}; }
};

// A task that is cancelled while it waits, and lives on, waits there no more: the next one is served.
template <class S, class Place> void is_left_when_cancelled() {
  test::Loop<S> loop;
  Steps<Place> steps;
  int answer = 0;
  auto body = [&](Task& task) -> Step {
    if (answer != 0) return mote::pending;
    auto poll = steps.take().poll(task);
    if (poll.ready()) answer = error_of(*poll);
    return mote::pending;
  };
  TaskPool<Plain, 1> pool;
  Result<mote::TaskHandle> handle = pool.spawn(loop, Body(body));
  REQUIRE(handle);
  turn(loop);
  CHECK(answer == 0);
  handle->cancel();
  turn(loop);
  CHECK(answer == ECANCELED);
  auto next = waiting(loop, [&] { return steps.take(); });
  CHECK_FALSE(next->done());
  steps.is_there = true;
  steps.place.notify();
  turn(loop);
  CHECK(next->done());
  CHECK(error_of(next->result) == 0);
}

ON_BOTH_SELECTORS("operations: written in single steps, one that is cancelled leaves the place where its task waits") {
  SUBCASE("a waiter") { is_left_when_cancelled<S, mote::Waiter>(); }
  SUBCASE("a queue") { is_left_when_cancelled<S, mote::WaitQueue>(); }
}

ON_BOTH_SELECTORS("operations: written in single steps, a second task that waits in a waiter gets EBUSY") {
  test::Loop<S> loop;
  Steps<mote::Waiter> steps;
  auto first = waiting(loop, [&] { return steps.take(); });
  auto second = start(loop, [&] { return steps.take(); });
  turn(loop);
  CHECK(error_of(second->result) == EBUSY);
  CHECK_FALSE(first->done());
}
