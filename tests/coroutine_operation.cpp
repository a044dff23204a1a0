// SPDX-License-Identifier: MIT
// Rooms: task/operation.hpp, coroutine/operation_awaiter.hpp, coroutine/co.hpp.
// Operations of a user's own, awaited by coroutines: that they starve nobody, and lose nothing.
#include "support/coroutines.hpp"
#include "support/own_operations.hpp"

namespace {

using namespace std::chrono_literals;
using mote::Result;
using mote::Task;
using test::error_of;
using test::for_each_own_operation;
using test::turn;

mote::FramePool<4096, 4> frames;

template <class A, class B>
mote::Co<void> taker(mote::FrameSource&, A& first, B& second, std::minstd_rand& random, test::Taken& taken) {
  mote::TaskTimer timer;
  for (;;) {
    Result<mote::FirstOf<int, int>> got = mote::Error(EAGAIN);
    const auto together = static_cast<test::Together>(random() % test::ways_together);
    const bool swapped = together == test::Together::first_of_the_other_way;
    if (together == test::Together::first_of) got = co_await mote::first_of(first.take(), second.take());
    if (swapped) got = co_await mote::first_of(second.take(), first.take());
    if (together == test::Together::within_no_time)
      got = co_await mote::with_timeout(timer, 0ns, mote::first_of(first.take(), second.take()));
    if (together == test::Together::nested)
      got = co_await mote::first_of(first.take(), mote::with_timeout(timer, 1h, second.take()));
    taken.note(got, swapped);
  }
}

ON_BOTH_SELECTORS(
    "operations: first_of() two of one's own that are ready at random, in a coroutine that is cancelled: nothing is "
    "lost") {
  for_each_own_operation([](auto first_kind) {
    for_each_own_operation([](auto second_kind) {
      using A = typename decltype(first_kind)::type;
      using B = typename decltype(second_kind)::type;
      mote::CoroutinePool<1> pool;
      for (unsigned seed = 1; seed <= 10; ++seed)
        test::check_nothing_is_lost<test::Loop<S>, A, B>(
            seed, [&](auto& loop, auto&... with) { return pool.spawn(loop, taker<A, B>(frames, with...)); });
    });
  });
}

template <class Thing> mote::Co<void> greedy(mote::FrameSource&, Thing& thing, int& taken) {
  for (;;) {
    const Result<int> got = co_await thing.take();
    if (!got) co_return;
    ++taken;
  }
}
mote::Co<void> counter(mote::FrameSource&, int& turns) {
  for (;;) {
    const Result<void> yielded = co_await mote::yield();
    if (!yielded) co_return;
    ++turns;
  }
}

// A type of its own with a poll() that asks for nothing, and never waits.
struct Ready {
  mote::Poll<Result<int>> poll(Task&) { return mote::value(1); }
};
struct Always {
  Ready take() { return {}; }
};

ON_BOTH_SELECTORS(
    "operations: of one's own, always ready, in a coroutine: others have their turn, and it is cancelled") {
  const auto check = [](auto kind) {
    using Thing = typename decltype(kind)::type;
    test::Loop<S> loop;
    Thing thing;
    if constexpr (!std::is_same_v<Thing, Always>) thing.stock.left = 1000000;
    int taken = 0, turns = 0;
    mote::CoroutinePool<2> pool;
    Result<mote::TaskHandle> handle = pool.spawn(loop, greedy(frames, thing, taken));
    REQUIRE(pool.spawn(loop, counter(frames, turns)));
    turn(loop, 101);
    CHECK(turns == 100);
    CHECK(taken == 101 * mote::limits::operations_per_step);
    taken = 0;
    handle->cancel();
    turn(loop);
    CHECK(taken == 1);
    CHECK(handle->outcome().kind == mote::Outcome::Kind::done);
  };
  for_each_own_operation(check);
  check(test::KindOf<Always>());
}

// A coroutine goes on in another task: its place in the queue goes along, and what is given comes to it.
template <class Thing> mote::Co<int> take_one(mote::FrameSource&, Thing& thing) {
  const Result<int> got = co_await thing.take();
  co_return got ? *got : got.error().code() + 1000;
}

ON_BOTH_SELECTORS("operations: of one's own, in a coroutine that another task goes on with: it waits there as before") {
  for_each_own_operation([](auto kind) {
    using Thing = typename decltype(kind)::type;
    test::Loop<S> loop;
    Thing thing;
    mote::Co<int> child = take_one(frames, thing);
    bool goes_on = true;  // the first task
    auto first = [&](Task& task) -> mote::Step {
      if (goes_on) CHECK_FALSE(child.poll(task).ready());
      return mote::pending;
    };
    Result<int> got;
    auto second = [&](Task& task) -> mote::Step {
      auto poll = child.poll(task);
      if (!poll.ready()) return mote::pending;
      got = *poll;
      return mote::done();
    };
    mote::TaskPool<test::Plain, 2> pool;
    REQUIRE(pool.spawn(loop, test::Body(first)));
    turn(loop);
    goes_on = false;
    REQUIRE(pool.spawn(loop, test::Body(second)));
    turn(loop);
    thing.give();
    turn(loop, 2);
    CHECK(error_of(got) == 0);
    CHECK(*got == 1);
    CHECK(thing.stock.left == 0);
  });
}

// ---- coroutines that are awaited, but wait for nothing ----------------------------------------------------------

mote::Co<int> one(mote::FrameSource&) { co_return 1; }
mote::Co<void> sleeper(mote::FrameSource&) {
  mote::TaskTimer timer;
  static_cast<void>(co_await timer.sleep(1h));
}
mote::Co<int> after(mote::FrameSource&, mote::Event& event) {
  static_cast<void>(co_await event.wait());
  co_return 2;
}
mote::Co<void> waits_for(mote::FrameSource&, mote::Co<int>& other, Result<int>& got) { got = co_await other; }

template <class Make> struct Careless {
  Make make;
  int& attempts;
  mote::Step step(Task& task) {
    while (attempts < 10000) {
      auto poll = make(task);
      if (!poll.ready()) return mote::pending;
      ++attempts;
    }
    return mote::done();
  }
};
template <class Make> void is_charged(mote::Reactor& loop, const char* what, Make make) {
  CAPTURE(what);
  int attempts = 0;
  mote::TaskPool<Careless<Make>, 1> pool;
  Result<mote::TaskHandle> handle = pool.spawn(loop, make, attempts);
  REQUIRE(handle);
  turn(loop, 10);
  CHECK(attempts == 10 * mote::limits::operations_per_step);
  attempts = 0;
  handle->cancel();
  turn(loop);  // one result wins over the cancellation, which is answered next
  CHECK(attempts == 2 + mote::limits::operations_per_step);
}
template <class Make> void is_charged_in_all_ways(mote::Reactor& loop, const char* what, Make make) {
  mote::TaskTimer timer;
  is_charged(loop, what, [&](Task& task) { return make().poll(task); });
  is_charged(loop, what, [&](Task& task) { return mote::with_timeout(timer, 1h, make()).poll(task); });
  is_charged(loop, what, [&](Task& task) { return mote::first_of(make(), timer.sleep(1h)).poll(task); });
}

ON_BOTH_SELECTORS(
    "operations: a coroutine that cannot be awaited, or returns at once, is charged: others have their turn") {
  test::Loop<S> loop;
  mote::FramePool<1024, 1> full;
  const mote::Co<void> only = sleeper(full);
  is_charged_in_all_ways(loop, "no frame", [&] { return one(full); });
  is_charged_in_all_ways(loop, "returns at once", [&] { return one(frames); });
  mote::Co<int> ended = one(frames);
  REQUIRE(*test::await(loop, [&]() -> mote::Co<int>& { return ended; }) == 1);
  is_charged_in_all_ways(loop, "has ended", [&]() -> mote::Co<int>& { return ended; });
  mote::Event event;
  mote::Co<int> awaited = after(frames, event);
  Result<int> got;
  mote::CoroutinePool<1> pool;
  REQUIRE(pool.spawn(loop, waits_for(frames, awaited, got)));
  turn(loop);
  is_charged_in_all_ways(loop, "is awaited", [&]() -> mote::Co<int>& { return awaited; });
  event.set();
  turn(loop);
  CHECK(*got == 2);  // it was not disturbed
}

// Tries again whatever comes, until it is cancelled.
template <class Make> mote::Co<void> retry(mote::FrameSource&, Make make, int& attempts, int& last) {
  while (attempts < 10000) {
    const Result<int> got = co_await make();
    last = error_of(got);
    if (last == ECANCELED) co_return;
    ++attempts;
  }
}

ON_BOTH_SELECTORS("operations: a coroutine that awaits what cannot be awaited again and again does not starve others") {
  test::Loop<S> loop;
  const auto check = [&](int error, auto make) {
    mote::FramePool<1024, 1> own;
    int attempts = 0, last = 0;
    mote::CoroutinePool<2> pool;
    Result<mote::TaskHandle> handle = pool.spawn(loop, retry(own, make, attempts, last));
    REQUIRE(handle);
    turn(loop, 10);
    CHECK(attempts == 10 * mote::limits::operations_per_step);
    CHECK(last == error);
    handle->cancel();
    turn(loop);
    CHECK(last == ECANCELED);
    CHECK(handle->outcome().kind == mote::Outcome::Kind::done);
    attempts = 0;
    REQUIRE(pool.spawn(loop, retry(own, make, attempts, last)));
    turn(loop);  // it is destroyed while it waits for its next turn
  };
  mote::FramePool<1024, 1> full;
  const mote::Co<void> only = sleeper(full);
  check(ENOBUFS, [&] { return one(full); });
  mote::Event event;
  mote::Co<int> awaited = after(frames, event);
  Result<int> got;
  mote::CoroutinePool<1> pool;
  REQUIRE(pool.spawn(loop, waits_for(frames, awaited, got)));
  turn(loop);
  check(EBUSY, [&]() -> mote::Co<int>& { return awaited; });
  event.set();
  turn(loop);
  CHECK(*got == 2);  // those that were refused have left it as it was
}

}  // namespace
