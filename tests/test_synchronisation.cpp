// SPDX-License-Identifier: MIT
// Rooms: sync/event.hpp, sync/semaphore.hpp, sync/mutex.hpp, sync/channel.hpp, task/wait_queue.hpp.
// Events, semaphores, mutexes and channels: in which order tasks wait and are served, and what happens when the object
// or the task goes first; and the combinators over them: which part completes, and that the others leave no waiter
// behind.
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "support/operations.hpp"

using mote::AllOf;
using mote::Channel;
using mote::Event;
using mote::Mutex;
using mote::Outcome;
using mote::Poll;
using mote::Result;
using mote::Semaphore;
using mote::Shield;
using mote::StateMachine;
using mote::Step;
using mote::Task;
using mote::TaskHandle;
using mote::TaskPool;
using mote::TaskTimer;
using namespace std::chrono_literals;
using test::Body;
using test::error_of;
using test::Plain;
using test::run_until;
using test::Running;

namespace {

void turn(mote::Reactor& reactor, int count = 1) {
  for (int i = 0; i < count; ++i) REQUIRE(reactor.run_once(0ns));
}

// A task that awaits one operation, and that can be destroyed at any time.
template <class Make> std::unique_ptr<Running<Make>> start(mote::Reactor& reactor, Make make) {
  return std::make_unique<Running<Make>>(reactor, make);
}

// The same, and it has had its first step.
template <class Make> std::unique_ptr<Running<Make>> waiting(mote::Reactor& reactor, Make make) {
  auto running = start(reactor, make);
  turn(reactor);
  CHECK_FALSE(running->done());
  return running;
}

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

// ------------------------------------------------------------------------------------------------------ events

ON_BOTH_SELECTORS("event: who waits goes on when it is set, and who comes later does not wait until it is cleared") {
  test::Loop<S> loop;
  Event event;
  const auto wait = [&] { return event.wait(); };
  auto first = waiting(loop, wait), second = waiting(loop, wait);
  CHECK_FALSE(event.is_set());
  CHECK(std::string(first->task().waits_for()) == "an event");
  event.set();
  CHECK(event.is_set());
  CHECK_FALSE(first->done());  // not within set()
  turn(loop);
  CHECK(first->result);
  CHECK(second->result);
  CHECK(first->steps == 2);

  auto third = start(loop, wait);
  turn(loop);
  CHECK(third->done());
  CHECK(third->steps == 1);
  event.clear();
  auto fourth = waiting(loop, wait);
  turn(loop, 3);
  CHECK_FALSE(fourth->done());
  CHECK(fourth->steps == 1);
}

namespace {
struct Rounds : StateMachine {
  Event& event;
  int& rounds;
  Result<void> waited;
  Step step() {
    MOTE_BEGIN();
    for (;;) {
      MOTE_AWAIT(waited, event.wait());
      if (!waited) return mote::failed(waited.error());
      ++rounds;
    }
    MOTE_END();
  }
};
}  // namespace

ON_BOTH_SELECTORS("event: set and cleared at once lets out all who waited, each once, and nobody who comes after") {
  test::Loop<S> loop;
  Event event;
  int rounds[3] = {};
  TaskPool<Rounds, 3> pool;
  for (int& each : rounds) REQUIRE(pool.spawn(loop, event, each));
  turn(loop);
  for (int round = 1; round <= 3; ++round) {
    event.set();
    event.clear();
    auto late = start(loop, [&] { return event.wait(); });
    turn(loop, 3);
    for (const int each : rounds) CHECK(each == round);
    CHECK_FALSE(late->done());
  }
}

ON_BOTH_SELECTORS("event: destroyed while tasks wait: they get ECANCELED, and do not touch it again") {
  test::Loop<S> loop;
  auto event = std::make_unique<Event>();
  Event* const gone = event.get();
  const auto wait = [=] { return gone->wait(); };
  auto first = waiting(loop, wait), second = waiting(loop, wait), third = waiting(loop, wait);
  second.reset();
  event.reset();
  CHECK_FALSE(first->done());
  third.reset();  // after the event, before it has heard of that
  turn(loop);
  CHECK(error_of(first->result) == ECANCELED);
  CHECK(first->steps == 2);
}

ON_BOTH_SELECTORS("event: set and destroyed at once: who waited is let out, and does not touch it again") {
  test::Loop<S> loop;
  auto event = std::make_unique<Event>();
  Event* const gone = event.get();
  auto first = waiting(loop, [=] { return gone->wait(); });
  auto second = waiting(loop, [=] { return gone->wait(); });
  event->set();
  event.reset();
  turn(loop);
  CHECK(first->result);
  CHECK(second->result);
}

ON_BOTH_SELECTORS("event: who is cancelled after it was set has waited successfully, who was before has not") {
  test::Loop<S> loop;
  Event event;
  const auto wait = [&] { return event.wait(); };
  auto before = waiting(loop, wait), after = waiting(loop, wait);
  before->cancel();
  turn(loop);
  CHECK(error_of(before->result) == ECANCELED);
  event.set();
  event.clear();
  after->cancel();
  turn(loop);
  CHECK(after->result);
}

ON_BOTH_SELECTORS(
    "event: destroyed and made anew at the same place: who waited for the old one is not let out by the new") {
  test::Loop<S> loop;
  std::optional<Event> event(std::in_place);
  auto old = waiting(loop, [&] { return event->wait(); });
  event.reset();
  event.emplace();
  event->set();
  turn(loop);
  CHECK(error_of(old->result) == ECANCELED);
  event->clear();
  auto fresh = waiting(loop, [&] { return event->wait(); });
  event->set();
  turn(loop);
  CHECK(fresh->result);
}

// ------------------------------------------------------------------------------------- what one task gets at a time

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
  else REQUIRE(run_until(loop, [&] { return first->steps == 1 && first->task().waits_for() != nullptr; }));
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

// -------------------------------------------------------------------------------------------------- semaphores

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

// ------------------------------------------------------------------------------------------------------ mutexes

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

// ----------------------------------------------------------------------------------------------------- channels

ON_BOTH_SELECTORS("channel: values come in order; a sender waits while it is full, a receiver while it is empty") {
  test::Loop<S> loop;
  Channel<std::string, 2> channel;
  CHECK(channel.capacity() == 2);
  auto receiver = waiting(loop, [&] { return channel.receive(); });
  CHECK(std::string(receiver->task().waits_for()) == "a message");
  const std::string texts[] = {"one", "two", "three", "four"};
  CHECK(channel.try_send(texts[0]));
  CHECK(channel.try_send(texts[1]));
  CHECK(channel.size() == 2);
  CHECK(error_of(channel.try_send(texts[2])) == EAGAIN);
  auto third = start(loop, [&] { return channel.send(texts[2]); });
  auto fourth = start(loop, [&] { return channel.send(texts[3]); });
  turn(loop);
  CHECK(*receiver->result == "one");
  turn(loop, 2);
  CHECK(third->done());
  CHECK_FALSE(fourth->done());
  CHECK(std::string(fourth->task().waits_for()) == "room in a channel");
  CHECK(*channel.try_receive() == "two");
  CHECK(error_of(channel.try_send("five")) == EAGAIN);  // there is room, but another waits for it
  turn(loop);
  CHECK(fourth->result);
  CHECK(*channel.try_receive() == "three");
  CHECK(*channel.try_receive() == "four");
  CHECK(error_of(channel.try_receive()) == EAGAIN);
  CHECK(channel.size() == 0);
}

ON_BOTH_SELECTORS("channel: what has been sent is received after it was closed, and then ENODATA; senders get EPIPE") {
  test::Loop<S> loop;
  Channel<int, 2> channel;
  int values[] = {1, 2, 3, 4};
  CHECK(channel.try_send(values[0]));
  CHECK(channel.try_send(values[1]));
  auto third = waiting(loop, [&] { return channel.send(values[2]); });
  auto fourth = waiting(loop, [&] { return channel.send(values[3]); });
  channel.close();
  channel.close();
  CHECK(channel.is_closed());
  turn(loop);
  CHECK(error_of(third->result) == EPIPE);
  CHECK(error_of(fourth->result) == EPIPE);
  CHECK(error_of(channel.try_send(5)) == EPIPE);
  auto sender = start(loop, [&] { return channel.send(values[2]); });
  auto receiver = start(loop, [&] { return channel.receive(); });
  turn(loop);
  CHECK(error_of(sender->result) == EPIPE);
  CHECK(*receiver->result == 1);
  CHECK(*channel.try_receive() == 2);
  CHECK(error_of(channel.try_receive()) == ENODATA);
  auto late = start(loop, [&] { return channel.receive(); });
  turn(loop);
  CHECK(error_of(late->result) == ENODATA);
}

ON_BOTH_SELECTORS(
    "channel: closed with fewer values than receivers that wait: each value is received, the others get ENODATA") {
  test::Loop<S> loop;
  Channel<int, 4> channel;
  const auto receive = [&] { return channel.receive(); };
  auto first = waiting(loop, receive), second = waiting(loop, receive), third = waiting(loop, receive);
  CHECK(channel.try_send(1));
  channel.close();
  third->task().wake();
  turn(loop, 2);
  CHECK(*first->result == 1);
  CHECK(error_of(second->result) == ENODATA);
  CHECK(error_of(third->result) == ENODATA);
}

ON_BOTH_SELECTORS("channel: what can only be moved is moved once, when there is room, and else is as it was") {
  test::Loop<S> loop;
  Channel<std::unique_ptr<int>, 1> channel;
  auto first = std::make_unique<int>(1), second = std::make_unique<int>(2), third = std::make_unique<int>(3);
  CHECK(channel.try_send(std::move(first)));
  CHECK(first == nullptr);
  CHECK(error_of(channel.try_send(std::move(second))) == EAGAIN);
  CHECK(second != nullptr);
  auto sender = waiting(loop, [&] { return channel.send(std::move(second)); });
  auto cancelled = waiting(loop, [&] { return channel.send(std::move(third)); });
  CHECK(second != nullptr);
  cancelled->cancel();
  turn(loop);
  CHECK(error_of(cancelled->result) == ECANCELED);
  CHECK(third != nullptr);
  auto receiver = start(loop, [&] { return channel.receive(); });
  turn(loop, 2);
  CHECK(**receiver->result == 1);
  CHECK(sender->result);
  CHECK(second == nullptr);
  channel.close();
  CHECK(error_of(channel.try_send(std::move(third))) == EPIPE);
  CHECK(third != nullptr);
  // The one that is left is destroyed with the channel; LeakSanitizer would tell.
}

ON_BOTH_SELECTORS("channel: each value is destroyed once, those that nobody has received with the channel") {
  test::Loop<S> loop;
  const auto witness = std::make_shared<int>(7);
  {
    Channel<std::shared_ptr<int>, 3> channel;
    for (int round = 0; round < 5; ++round) {  // all the way round
      CHECK(channel.try_send(witness));
      CHECK(channel.try_send(witness));
      CHECK(witness.use_count() == 3);
      CHECK(channel.try_receive());
      CHECK(channel.try_receive());
      CHECK(witness.use_count() == 1);
    }
    for (int i = 0; i < 3; ++i) CHECK(channel.try_send(witness));
    CHECK(witness.use_count() == 4);
  }
  CHECK(witness.use_count() == 1);
}

namespace {
// Each value is given its number when its sender arrives at the channel, so a strict queue keeps them in order.
struct Sender : StateMachine {
  Channel<int, 3>& channel;
  int& tickets;
  int count;
  int value = 0;
  Result<void> sent;
  Step step() {
    MOTE_BEGIN();
    while (count-- > 0) {
      value = ++tickets;
      MOTE_AWAIT(sent, channel.send(value));
      if (!sent) return mote::failed(sent.error());
      if (value % 5 == 0) MOTE_YIELD();
    }
    MOTE_END();
  }
};
struct Receiver : StateMachine {
  Channel<int, 3>& channel;
  std::vector<int>& received;
  Result<int> value;
  Step step() {
    MOTE_BEGIN();
    for (;;) {
      MOTE_AWAIT(value, channel.receive());
      if (!value) return value.error() == ENODATA ? mote::done() : mote::failed(value.error());
      received.push_back(*value);
      if (*value % 3 == 0) MOTE_YIELD();
    }
    MOTE_END();
  }
};
}  // namespace

ON_BOTH_SELECTORS("channel: 5 senders and 3 receivers: 5,000 values, none lost, none twice, all in order of arrival") {
  test::Loop<S> loop;
  Channel<int, 3> channel;
  TaskPool<Sender, 5> senders;
  TaskPool<Receiver, 3> receivers;
  int tickets = 0;
  std::vector<int> received;
  for (int i = 0; i < 3; ++i) REQUIRE(receivers.spawn(loop, channel, received));
  for (int i = 0; i < 5; ++i) REQUIRE(senders.spawn(loop, channel, tickets, 1000));
  REQUIRE(run_until(loop, [&] { return senders.size() == 0; }));
  channel.close();
  REQUIRE(loop.run());
  REQUIRE(received.size() == 5000);
  int out_of_order = 0;
  for (std::size_t i = 0; i < received.size(); ++i) out_of_order += received[i] != static_cast<int>(i) + 1;
  CHECK(out_of_order == 0);
}

ON_BOTH_SELECTORS("semaphore: permits beyond counting are dropped, and none is lost") {
  mote::Semaphore semaphore(1);
  semaphore.release(UINT32_MAX);
  CHECK(semaphore.available() == UINT32_MAX);
  CHECK(semaphore.try_acquire());
  semaphore.release();
  CHECK(semaphore.available() == UINT32_MAX);
}
