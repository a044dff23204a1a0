// SPDX-License-Identifier: MIT
// Rooms: task/operation.hpp, task/poll_context.hpp, sync/parts.hpp, by sync/first_of.hpp, all_of, with_timeout and
// shield.
// Operations of a user's own: that they starve nobody, lose nothing and leave nothing behind, however they are written.
#include <cstring>
#include <memory>
#include <string>

#include "support/child.hpp"
#include "support/own_operations.hpp"

using mote::Error;
using mote::PollContext;
using mote::Result;
using mote::StateMachine;
using mote::Step;
using mote::Task;
using mote::TaskHandle;
using mote::TaskPool;
using mote::TaskTimer;
using namespace std::chrono_literals;
using test::error_of;
using test::for_each_own_operation;
using test::start;
using test::turn;
using test::waiting;

namespace {

// ---- who gets a turn ------------------------------------------------------------------------------------------------

// A type of its own with a poll(), that asks for nothing.
struct OfAType {
  static constexpr const char* name = "a type of its own";
  test::Stock stock;
  mote::Waiter waiter;
  void give() {
    stock.put();
    waiter.notify();
  }
  struct [[nodiscard]] Take {
    OfAType& self;
    mote::Poll<Result<int>> poll(Task& task) {
      const PollContext context(task);
      if (context.is_abandoning()) {
        context.leave(self.waiter);
        return Error(ECANCELED);
      }
      const Result<int> taken = self.stock.take();
      if (taken) return taken;
      return context.wait(self.waiter, "a thing");
    }
  };
  Take take() { return {*this}; }
};

// The former way: one function, which asks whether it is given up.
struct TheFormerWay {
  static constexpr const char* name = "the former way";
  test::Stock stock;
  mote::Waiter waiter;
  void give() {
    stock.put();
    waiter.notify();
  }
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
  auto take() {
    return mote::operation<int>([this](PollContext context) -> Result<int> {
      if (context.is_abandoning()) {
        context.leave(waiter);
        return Error(ECANCELED);
      }
      const Result<int> taken = stock.take();
      return taken ? taken : Result<int>(context.wait(waiter, "a thing"));
    });
  }
#pragma GCC diagnostic pop
};

template <class Check> void for_each_way(Check&& check) {
  for_each_own_operation(check);
  const auto one = [&](auto kind) {
    CAPTURE(decltype(kind)::type::name);
    check(kind);
  };
  one(test::KindOf<OfAType>());
  one(test::KindOf<TheFormerWay>());
}

enum class Around { nothing, first_of, all_of, with_timeout, shield };
constexpr Around everything[] = {Around::nothing, Around::first_of, Around::all_of, Around::with_timeout,
                                 Around::shield};

// Takes all there is, in one combinator or in none, and ends when it is told ECANCELED.
template <class Thing> struct Greedy : StateMachine {
  Thing& thing;
  Around around;
  int& taken;
  mote::Event never;
  TaskTimer timer;
  mote::AllOf<int> results;
  Result<int> got;
  Result<void> all;
  Result<mote::FirstOf<int, void>> first;
  Greedy(Thing& from, Around in, int& count) : thing(from), around(in), taken(count) {}

  Step step() {
    MOTE_BEGIN();
    do {
      if (around == Around::nothing) MOTE_AWAIT(got, thing.take());
      if (around == Around::with_timeout) MOTE_AWAIT(got, mote::with_timeout(timer, 1h, thing.take()));
      if (around == Around::shield) MOTE_AWAIT(got, mote::shield(thing.take()));
      if (around == Around::first_of) {
        MOTE_AWAIT(first, mote::first_of(thing.take(), never.wait()));
        got = first ? first->template get<0>() : Result<int>(first.error());
      }
      if (around == Around::all_of) {
        MOTE_AWAIT(all, mote::all_of(results, thing.take()));
        got = results.template get<0>();
      }
      if (got) ++taken;
    } while (got);
    if (got.error() != ECANCELED) return mote::failed(got.error());
    MOTE_END();
  }
};

// Counts its turns.
struct Other : StateMachine {
  int& turns;
  explicit Other(int& count) : turns(count) {}
  Step step() {
    MOTE_BEGIN();
    for (;;) {
      ++turns;
      MOTE_YIELD();
    }
    MOTE_END();
  }
};

}  // namespace

ON_BOTH_SELECTORS("operations: of one's own, always ready: others have their turn after a share of them") {
  for_each_way([](auto kind) {
    using Thing = typename decltype(kind)::type;
    for (const Around around : everything) {
      CAPTURE(static_cast<int>(around));
      test::Loop<S> loop;
      Thing thing;
      thing.stock.left = 1000000;
      int taken = 0, turns = 0;
      TaskPool<Greedy<Thing>, 1> greedy;
      TaskPool<Other, 1> others;
      REQUIRE(greedy.spawn(loop, thing, around, taken));
      REQUIRE(others.spawn(loop, turns));
      turn(loop, 100);
      CHECK(turns == 100);
      CHECK(taken == 100 * mote::limits::operations_per_step);
    }
  });
}

ON_BOTH_SELECTORS("operations: of one's own, always ready: a cancellation is told after one result, and once") {
  for_each_way([](auto kind) {
    using Thing = typename decltype(kind)::type;
    for (const Around around : everything) {
      if (around == Around::shield) continue;  // it holds the cancellation back
      CAPTURE(static_cast<int>(around));
      test::Loop<S> loop;
      Thing thing;
      thing.stock.left = 1000000;
      int taken = 0;
      TaskPool<Greedy<Thing>, 1> greedy;
      Result<TaskHandle> handle = greedy.spawn(loop, thing, around, taken);
      turn(loop);
      taken = 0;
      handle->cancel();
      turn(loop);
      CHECK(taken == 1);
      CHECK(handle->outcome().kind == mote::Outcome::Kind::done);
      CHECK(thing.stock.left == 1000000 - mote::limits::operations_per_step - 1);
    }
  });
}

namespace {

// What the library has that is always there.
struct Flag {
  mote::Event event;
  Flag() { event.set(); }
  auto take() { return event.wait(); }
};
struct Permit {
  mote::Semaphore semaphore{1000000};
  auto take() { return semaphore.acquire(); }
};
template <class Thing> struct Endless : StateMachine {
  Thing& thing;
  int& taken;
  Result<void> got;
  Endless(Thing& from, int& count) : thing(from), taken(count) {}
  Step step() {
    MOTE_BEGIN();
    do {
      MOTE_AWAIT(got, thing.take());
      if (got) ++taken;
    } while (got);
    MOTE_END();
  }
};
template <class S, class Thing> void is_cancelled_after_one() {
  test::Loop<S> loop;
  Thing thing;
  int taken = 0;
  TaskPool<Endless<Thing>, 1> pool;
  Result<TaskHandle> handle = pool.spawn(loop, thing, taken);
  turn(loop);
  CHECK(taken == mote::limits::operations_per_step);
  handle->cancel();
  turn(loop);
  CHECK(taken == mote::limits::operations_per_step + 1);
  CHECK(handle->outcome().kind == mote::Outcome::Kind::done);
}

}  // namespace

ON_BOTH_SELECTORS("operations: the library's, always ready: a cancellation is told after one result") {
  SUBCASE("an event") { is_cancelled_after_one<S, Flag>(); }
  SUBCASE("a semaphore") { is_cancelled_after_one<S, Permit>(); }
}

// ---- what is taken, and who waits -----------------------------------------------------------------------------------

namespace {

template <class A, class B> struct Taker : StateMachine {
  A& first;
  B& second;
  std::minstd_rand& random;
  test::Taken& taken;
  test::Together together{};
  TaskTimer timer;
  Result<mote::FirstOf<int, int>> got;
  Taker(A& a, B& b, std::minstd_rand& chance, test::Taken& sums) : first(a), second(b), random(chance), taken(sums) {}

  Step step() {
    MOTE_BEGIN();
    for (;;) {
      together = static_cast<test::Together>(random() % test::ways_together);
      if (together == test::Together::first_of) MOTE_AWAIT(got, mote::first_of(first.take(), second.take()));
      if (together == test::Together::first_of_the_other_way)
        MOTE_AWAIT(got, mote::first_of(second.take(), first.take()));
      if (together == test::Together::within_no_time)
        MOTE_AWAIT(got, mote::with_timeout(timer, 0ns, mote::first_of(first.take(), second.take())));
      if (together == test::Together::nested)
        MOTE_AWAIT(got, mote::first_of(first.take(), mote::with_timeout(timer, 1h, second.take())));
      taken.note(got, together == test::Together::first_of_the_other_way);
    }
    MOTE_END();
  }
};

}  // namespace

ON_BOTH_SELECTORS("operations: first_of() two of one's own that are ready at random, and cancelled: nothing is lost") {
  for_each_own_operation([](auto first_kind) {
    for_each_own_operation([](auto second_kind) {
      using A = typename decltype(first_kind)::type;
      using B = typename decltype(second_kind)::type;
      TaskPool<Taker<A, B>, 1> pool;
      for (unsigned seed = 1; seed <= 10; ++seed)
        test::check_nothing_is_lost<test::Loop<S>, A, B>(
            seed, [&](auto& loop, auto&... with) { return pool.spawn(loop, with...); });
    });
  });
}

ON_BOTH_SELECTORS("operations: of one's own: who is cancelled, timed out or destroyed leaves, and the next is served") {
  for_each_own_operation([](auto kind) {
    using Thing = typename decltype(kind)::type;
    for (const int way : {0, 1, 2}) {
      CAPTURE(way);
      test::Loop<S> loop;
      Thing thing;
      TaskTimer timer;
      const mote::Duration limit = way == 1 ? 0ns : mote::Duration(1h);
      auto first = waiting(loop, [&] { return mote::with_timeout(timer, limit, thing.take()); });
      if (way == 0) {
        first->cancel();
        turn(loop);
        CHECK(error_of(first->result) == ECANCELED);
      }
      if (way == 1) {
        turn(loop, 2);
        CHECK(error_of(first->result) == ETIMEDOUT);
      }
      if (way == 2) first.reset();
      auto second = waiting(loop, [&] { return thing.take(); });  // EBUSY, if the first were still noted
      thing.give();
      turn(loop, 2);
      CHECK(second->done());
      CHECK(error_of(second->result) == 0);
      CHECK(thing.stock.left == 0);
    }
  });
}

ON_BOTH_SELECTORS("operations: of one's own: each waits for its turn in a queue, and a waiter refuses the second") {
  SUBCASE("a queue") {
    test::Loop<S> loop;
    test::InQueue thing;
    auto first = waiting(loop, [&] { return thing.take(); });
    auto second = waiting(loop, [&] { return thing.take(); });
    thing.give();
    second->task().wake();
    turn(loop);
    CHECK(first->done());
    CHECK_FALSE(second->done());
  }
  SUBCASE("a waiter") {
    test::Loop<S> loop;
    test::InWaiter thing;
    auto first = waiting(loop, [&] { return thing.take(); });
    auto second = start(loop, [&] { return thing.take(); });
    turn(loop);
    CHECK(error_of(second->result) == EBUSY);
    CHECK_FALSE(first->done());
  }
}

ON_BOTH_SELECTORS("operations: of one's own in a queue: who is released is told so, if the function asks") {
  test::Loop<S> loop;
  mote::WaitQueue queue;
  const auto pass = [&] {
    return mote::operation<void>(queue, "a gate",
                                 [](bool released) { return released ? Result<void>() : Error(EAGAIN); });
  };
  auto first = waiting(loop, pass);
  auto second = waiting(loop, pass);
  queue.release_all();
  turn(loop);
  CHECK(first->done());
  CHECK(second->done());
  CHECK(error_of(first->result) == 0);
  CHECK(error_of(second->result) == 0);
}

ON_BOTH_SELECTORS("operations: of one's own: a task that gives one up and lives on leaves its place to the next") {
  for_each_own_operation([](auto kind) {
    test::Loop<S> loop;
    typename decltype(kind)::type thing;
    mote::Event other;
    int answers = 0;
    auto body = [&](Task& task) -> Step {
      if (answers == 0 && mote::first_of(thing.take(), other.wait()).poll(task).ready()) ++answers;
      return mote::pending;
    };
    TaskPool<test::Plain, 1> pool;
    REQUIRE(pool.spawn(loop, test::Body(body)));
    turn(loop);
    other.set();
    turn(loop);
    CHECK(answers == 1);
    auto next = waiting(loop, [&] { return thing.take(); });
    thing.give();
    turn(loop, 2);
    CHECK(next->done());
    CHECK(thing.stock.left == 0);
  });
}

// It waits in two places, and what comes in either completes it.
ON_BOTH_SELECTORS("operations: one that has completed in one place does not wait in the other any more") {
  test::Loop<S> loop;
  test::Stock stock;
  mote::Waiter left, right;
  const auto take = [&] {
    const auto attempt = [&](PollContext context) -> Result<int> {
      const Result<int> taken = stock.take();
      if (taken) return taken;
      const Error waits = context.wait(left, "either");
      return waits == EBUSY ? waits : context.wait(right, "either");
    };
    const auto leave = [&](PollContext context) {
      context.leave(left);
      context.leave(right);
    };
    return mote::operation<int>(attempt, leave);
  };
  int answers = 0;
  auto body = [&](Task& task) -> Step {  // it lives on
    auto poll = answers == 0 ? take().poll(task) : mote::pending;
    if (poll.ready()) answers += *poll ? 1 : 100;
    return mote::pending;
  };
  TaskPool<test::Plain, 1> pool;
  REQUIRE(pool.spawn(loop, test::Body(body)));
  turn(loop);
  stock.put();
  left.notify();
  turn(loop);
  CHECK(answers == 1);
  CHECK_FALSE(right.is_waiting());
  CHECK_FALSE(right.has_task());
  auto next = waiting(loop, take);
  stock.put();
  right.notify();
  turn(loop);
  CHECK(error_of(next->result) == 0);
}

// It is written in the former way, and takes without asking whether it is given up.
ON_BOTH_SELECTORS("operations: written in the former way, one that loses what it takes is reported when it does") {
  test::Child child([] {
    for (const int trap : {SIGILL, SIGTRAP, SIGABRT}) ::signal(trap, SIG_DFL);  // else doctest reports it
    mote::StaticReactor<> loop;
    if (!loop.open()) return 1;
    test::Stock stock;
    mote::Waiter waiter;
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
    const auto take = [&] {
      return mote::operation<int>([&](PollContext context) -> Result<int> {
        const Result<int> taken = stock.take();
        return taken ? taken : Result<int>(context.wait(waiter, "a thing"));
      });
    };
#pragma GCC diagnostic pop
    mote::Event event;
    auto body = [&](Task& task) -> Step {
      auto poll = mote::first_of(event.wait(), take()).poll(task);
      return poll.ready() ? mote::done() : Step(mote::pending);
    };
    TaskPool<test::Plain, 1> pool;
    if (!pool.spawn(loop, test::Body(body)) || !loop.run_once(0ns)) return 2;
    stock.put();
    event.set();
    return loop.run_once(0ns) ? 3 : 4;
  });
  const int end = child.join();
#ifdef NDEBUG
  CHECK(end == 3);
#else
  CHECK(end > 1000);
#endif
}

// ---- what a dump says -----------------------------------------------------------------------------------------------

namespace {

template <class S, class Make> std::string words_of(Make make) {
  test::Loop<S> loop;
  auto running = waiting(loop, make);
  const char* const words = running->task().waits_for();
  return words != nullptr ? words : "nothing";
}

}  // namespace

ON_BOTH_SELECTORS("operations: of several that are awaited, a dump tells what the first one waits for") {
  mote::Event event;
  mote::Semaphore semaphore;
  mote::Channel<int, 1> channel;
  TaskTimer timer, limit;
  mote::AllOf<void, void> results;
  CHECK(words_of<S>([&] { return mote::first_of(event.wait(), timer.sleep(1h)); }) == "an event");
  CHECK(words_of<S>([&] { return mote::first_of(timer.sleep(1h), event.wait()); }) == "a timer");
  CHECK(words_of<S>([&] { return mote::first_of(channel.receive(), event.wait(), timer.sleep(1h)); }) == "a message");
  CHECK(words_of<S>([&] { return mote::with_timeout(limit, 1h, event.wait()); }) == "an event");
  CHECK(words_of<S>([&] { return mote::shield(event.wait()); }) == "an event");
  const auto nested = [&] {
    return mote::first_of(mote::with_timeout(limit, 1h, mote::first_of(channel.receive(), event.wait())),
                          timer.sleep(1h));
  };
  CHECK(words_of<S>(nested) == "a message");
  CHECK(words_of<S>([&] { return mote::all_of(results, event.wait(), semaphore.acquire()); }) == "an event");
}

ON_BOTH_SELECTORS("operations: of several that have to complete, a dump tells the first that has not") {
  test::Loop<S> loop;
  mote::Event event;
  mote::Semaphore semaphore;
  mote::Channel<int, 1> channel;
  mote::AllOf<void, void, int> results;
  auto running = waiting(loop, [&] { return all_of(results, event.wait(), semaphore.acquire(), channel.receive()); });
  CHECK(std::string(running->task().waits_for()) == "an event");
  event.set();
  turn(loop);
  CHECK(std::string(running->task().waits_for()) == "a permit");
  semaphore.release();
  turn(loop);
  CHECK(std::string(running->task().waits_for()) == "a message");
}

// ---- errors ---------------------------------------------------------------------------------------------------------

namespace {

// Makes an operation again and again, whatever it gives, as a careless task does.
template <class Make> struct Careless {
  Make make;
  int& attempts;
  Step step(Task& task) {
    while (attempts < 10000) {
      auto poll = make().poll(task);
      if (!poll.ready()) return mote::pending;
      ++attempts;
      if (*poll) return mote::done();  // it must fail
    }
    return mote::done();
  }
};

// Pending for ever, by a type of its own that asks for nothing.
struct Never {
  mote::Poll<Result<int>> poll(Task&) { return mote::pending; }
};

// It fails with that error, and others have their turn after a share of attempts.
template <class S, class Loop, class Make> void is_charged(Loop& loop, const char* what, int error, Make make) {
  CAPTURE(what);
  auto once = start(loop, make);
  CHECK(error_of(once->finish()) == error);
  int attempts = 0;
  TaskPool<Careless<Make>, 1> pool;
  Result<TaskHandle> handle = pool.spawn(loop, make, attempts);
  REQUIRE(handle);
  turn(loop, 10);
  CHECK(attempts == 10 * mote::limits::operations_per_step);
}

}  // namespace

ON_BOTH_SELECTORS("operations: one that fails at once is charged, too: who goes on all the same starves nobody") {
  test::Loop<S> loop;
  char bytes[8];
  mote::ByteSpan span = bytes;
  mote::ByteView view = mote::bytes_of("x");
  const mote::Endpoint endpoint = *mote::Endpoint::parse("127.0.0.1:1");
  mote::Stream closed;
  is_charged<S>(loop, "read", EBADF, [&] { return closed.read(bytes); });
  is_charged<S>(loop, "read_exactly", EBADF, [&] { return closed.read_exactly(span); });
  is_charged<S>(loop, "write_all", EBADF, [&] { return closed.write_all(view); });
  is_charged<S>(loop, "ready", EBADF, [&] { return closed.ready(mote::Interest::read); });
  mote::LineReader<64> lines;
  is_charged<S>(loop, "read_line", EBADF, [&] { return lines.read_line(closed); });
  mote::Datagram datagram;
  is_charged<S>(loop, "recv", EBADF, [&] { return datagram.recv(bytes); });
  mote::Listener listener;
  is_charged<S>(loop, "accept", EBADF, [&] { return listener.accept(); });
  mote::Waker waker;
  is_charged<S>(loop, "a waker", EBADF, [&] { return waker.wait(); });
  TaskHandle empty;
  is_charged<S>(loop, "join", EINVAL, [&] { return empty.join(); });
  mote::Channel<int, 1> channel;
  channel.close();
  is_charged<S>(loop, "receive", ENODATA, [&] { return channel.receive(); });

  // What another task uses.
  test::Pair pair = test::socket_pair();
  mote::Stream stream = test::open_stream(loop, std::move(pair.a));
  test::InWaiter thing;
  TaskTimer timer;
  auto reading = waiting(loop, [&] { return stream.read(bytes); });
  auto taking = waiting(loop, [&] { return thing.take(); });
  auto sleeping = waiting(loop, [&] { return timer.sleep(1h); });
  is_charged<S>(loop, "connect", EISCONN, [&] { return stream.connect(endpoint); });
  is_charged<S>(loop, "read by two", EBUSY, [&] { return stream.read(bytes); });
  is_charged<S>(loop, "a waiter", EBUSY, [&] { return thing.take(); });
  is_charged<S>(loop, "sleep", EBUSY, [&] { return timer.sleep(1h); });
  is_charged<S>(loop, "tick", EBUSY, [&] { return timer.tick(1h); });

  // What is given up while it is pending, and has asked for nothing.
  is_charged<S>(loop, "a timer in use", EBUSY, [&] { return mote::with_timeout(timer, 1h, Never()); });
}
