// SPDX-License-Identifier: MIT
// Rooms: coroutine/promise.hpp, coroutine/chain.hpp, base/exceptions.hpp.
// A program that is built with exceptions: an exception that leaves a coroutine becomes its failure, ENOTRECOVERABLE,
// and goes no further.
#include <stdexcept>

#include "support/coroutines.hpp"

namespace {
using test::Count;
using test::Tracked;

mote::FramePool<4096, 8> frames;

// Throws before it waits, after it, or not at all.
mote::Co<int> thrower(mote::FrameSource&, mote::Event& event, int when, Tracked tracked) {
  const Tracked local(tracked);
  if (when == 0) throw std::runtime_error("before");
  if (const auto waited = co_await event.wait(); !waited) throw 1;
  if (when == 1) throw std::logic_error("after");
  co_return tracked.value + local.value;
}
struct CannotBeCopied {
  explicit CannotBeCopied(bool yes) : throws(yes) {}
  CannotBeCopied(const CannotBeCopied& other) : throws(other.throws) {
    if (throws) throw std::bad_alloc();
  }
  bool throws;
};
mote::Co<int> copies(mote::FrameSource&, Tracked tracked, CannotBeCopied copied) {
  co_return tracked.value + (copied.throws ? 1 : 0);
}

mote::Co<void> passes_on(mote::FrameSource& from, mote::Event& event, Count& count, int when, int& seen) {
  const Tracked local(count);
  const mote::Result<int> got = co_await thrower(from, event, when, Tracked(count, 1));
  seen = test::error_of(got);
  bool caught = false;
  try {
    const auto more = co_await mote::first_of(thrower(from, event, 0, Tracked(count)), event.wait());
    if (!got && more) throw got.error();
  } catch (const mote::Error& error) {
    CHECK(error == ENOTRECOVERABLE);
    caught = true;
  }
  CHECK(caught == !got);
  if (caught) throw std::runtime_error("again");
}

template <class T> mote::Outcome end_of(mote::Reactor& loop, mote::Co<T>&& co, mote::Event& event, bool cancel) {
  mote::CoroutinePool<1> pool;
  auto task = pool.spawn(loop, std::move(co));
  REQUIRE(task);
  test::turns(loop);
  if (cancel) task->cancel();
  else event.set();
  CHECK(loop.run());
  return *test::await(loop, [&] { return task->join(); });
}

ON_BOTH_SELECTORS(
    "exceptions: one that leaves a coroutine is its task's failure, ENOTRECOVERABLE, and destructors run once") {
  test::Loop<S> loop;
  for (const int when : {0, 1, 2}) {
    for (const bool cancel : {false, true}) {
      mote::Event event;
      Count count;
      const mote::Outcome outcome = end_of(loop, thrower(frames, event, when, Tracked(count, 1)), event, cancel);
      const bool fails = cancel || when < 2;
      CHECK(outcome.kind == (fails ? mote::Outcome::Kind::failed : mote::Outcome::Kind::done));
      if (fails) CHECK(outcome.error == ENOTRECOVERABLE);
      CHECK(count.alive == 0);
      CHECK(frames.size() == 0);
    }
  }
}

ON_BOTH_SELECTORS("exceptions: who awaits it gets ENOTRECOVERABLE, and may throw and catch for itself") {
  test::Loop<S> loop;
  for (const int when : {0, 1, 2}) {
    mote::Event event;
    Count count;
    int seen = -1;
    const mote::Outcome outcome = end_of(loop, passes_on(frames, event, count, when, seen), event, false);
    CHECK(seen == (when == 2 ? 0 : ENOTRECOVERABLE));
    CHECK(outcome.kind == (when == 2 ? mote::Outcome::Kind::done : mote::Outcome::Kind::failed));
    CHECK(count.alive == 0);
    CHECK(frames.size() == 0);
  }
}

struct Awaits : mote::StateMachine {
  mote::Co<int> child;
  mote::Result<int>& got;
  mote::Step step() {
    MOTE_BEGIN();
    MOTE_AWAIT(got, child);
    MOTE_END();
  }
};
ON_BOTH_SELECTORS("exceptions: a StateMachine that awaits a coroutine gets ENOTRECOVERABLE") {
  test::Loop<S> loop;
  mote::Event event;
  Count count;
  mote::Result<int> got;
  mote::TaskPool<Awaits, 1> pool;
  CHECK(pool.spawn(loop, thrower(frames, event, 1, Tracked(count)), got));
  test::turns(loop);
  event.set();
  CHECK(loop.run());
  CHECK(test::error_of(got) == ENOTRECOVERABLE);
  CHECK(count.alive == 0);
  CHECK(frames.size() == 0);
}

ON_BOTH_SELECTORS("exceptions: a suspended coroutine is destroyed, and nothing is thrown") {
  test::Loop<S> loop;
  mote::CoroutinePool<1> pool;
  mote::Event event;
  Count count;
  int seen = -1;
  auto task = pool.spawn(loop, passes_on(frames, event, count, 1, seen));
  REQUIRE(task);
  test::turns(loop);
  CHECK(count.alive == 4);  // one is the temporary that the parameter was made of
  CHECK(task->destroy());
  CHECK(count.alive == 0);
  CHECK(frames.size() == 0);
  CHECK(seen == -1);
}

TEST_CASE("exceptions: a pool that is exhausted throws nothing, and a parameter that throws gives its frame back") {
  Count count;
  mote::FramePool<4096, 1> one;
  {
    const mote::Co<int> holds = copies(one, Tracked(count), CannotBeCopied(false));
    CHECK(copies(one, Tracked(count), CannotBeCopied(false)).error() == ENOBUFS);
  }
  CHECK(count.alive == 0);
  bool caught = false;
  try {
    const CannotBeCopied original(true);
    static_cast<void>(copies(one, Tracked(count), original));
  } catch (const std::bad_alloc&) { caught = true; }
  CHECK(caught);  // from the caller's own copy, or that in the frame
  CHECK(count.alive == 0);
  CHECK(one.size() == 0);
}

// An operation of one's own, whose value throws when it is copied for the n-th time.
Count brittle;
struct Brittle {
  Brittle() : tracked(brittle) {}
  explicit Brittle(int& copies_left) : tracked(brittle), left(&copies_left) {}
  Brittle(const Brittle& other) : tracked(other.tracked), left(other.left) {
    if (left != nullptr && (*left)-- == 0) throw std::bad_alloc();
  }
  Brittle& operator=(const Brittle&) = delete;
  Tracked tracked;
  int* left = nullptr;
};
struct GivesBrittle {
  int& copies_left;
  mote::Poll<mote::Result<Brittle>> poll(mote::Task&) { return mote::Result<Brittle>(Brittle(copies_left)); }
};
mote::Co<void> takes_brittle(mote::FrameSource&, int& copies_left) {
  const mote::Result<Brittle> got = co_await GivesBrittle{copies_left};
  CHECK(got);
}

ON_BOTH_SELECTORS(
    "exceptions: where the copy of a result throws, whichever it is, all that was made is destroyed once") {
  test::Loop<S> loop;
  mote::Event none;
  bool done = false;
  for (int copies = 0; !done && copies < 20; ++copies) {
    int left = copies;
    done = end_of(loop, takes_brittle(frames, left), none, false).kind == mote::Outcome::Kind::done;
    CHECK(brittle.alive == 0);
    CHECK(frames.size() == 0);
  }
  CHECK(done);  // so many copies are made, and each of them has thrown once
}

// The same operation, which is pending at first: the move that throws is made where no coroutine runs, by the task.
struct GivesBrittleLater {
  mote::Event& event;
  int& copies_left;
  mote::Poll<mote::Result<Brittle>> poll(mote::Task& task) {
    if (!event.wait().poll(task).ready()) return mote::pending;
    return mote::Result<Brittle>(Brittle(copies_left));
  }
};
mote::Co<void> takes_brittle_later(mote::FrameSource&, mote::Event& event, int& copies_left) {
  const mote::Result<Brittle> got = co_await GivesBrittleLater{event, copies_left};
  CHECK(got);
}

ON_BOTH_SELECTORS(
    "exceptions: one that an answer's move throws while a coroutine is resumed leaves the run, and the task has "
    "failed") {
  test::Loop<S> loop;
  const auto nobody = [](const mote::Observation&) {};
  loop.observe(nobody);
  bool done = false;
  int left_the_run = 0;
  for (int copies = 0; !done && copies < 20; ++copies) {
    int left = copies;
    mote::Event event;
    mote::CoroutinePool<1> pool;
    mote::Result<mote::TaskHandle> task = pool.spawn(loop, takes_brittle_later(frames, event, left));
    REQUIRE(task);
    test::turns(loop);
    event.set();
    try {
      CHECK(loop.run());
    } catch (const std::bad_alloc&) {
      ++left_the_run;
      CHECK(loop.run());
    }
    const mote::Outcome outcome = task->outcome();
    done = outcome.kind == mote::Outcome::Kind::done;
    if (!done) CHECK(outcome.error == ENOTRECOVERABLE);
    CHECK(brittle.alive == 0);
    CHECK(frames.size() == 0);
  }
  CHECK(done);
  CHECK(left_the_run > 0);
}

// A coroutine's own answer, which throws when it is copied or assigned for the n-th time.
struct BrittleAnswer {
  BrittleAnswer() = default;
  explicit BrittleAnswer(int& copies_left) : left(&copies_left) {}
  BrittleAnswer(const BrittleAnswer& other) : left(other.left) { use(); }
  BrittleAnswer& operator=(const BrittleAnswer& other) {
    left = other.left;
    use();
    return *this;
  }
  void use() const {
    if (left != nullptr && (*left)-- == 0) throw std::bad_alloc();
  }
  int* left = nullptr;
};
mote::Co<BrittleAnswer> returns_brittle(mote::FrameSource&, int& copies_left) {
  BrittleAnswer answer(copies_left);
  co_return answer;
}
mote::Co<void> awaits_brittle(mote::FrameSource& from, int& copies_left, int& seen) {
  const mote::Result<BrittleAnswer> got = co_await returns_brittle(from, copies_left);
  seen = test::error_of(got);
}

ON_BOTH_SELECTORS(
    "exceptions: one that is thrown while a coroutine's own answer is moved is a failure, here or there") {
  test::Loop<S> loop;
  mote::Event none;
  bool done = false;
  int failed_here = 0, failed_there = 0;
  for (int copies = 0; !done && copies < 20; ++copies) {
    int left = copies;
    int seen = -1;
    const mote::Outcome outcome = end_of(loop, awaits_brittle(frames, left, seen), none, false);
    done = seen == 0;
    if (seen == ENOTRECOVERABLE) ++failed_there;
    if (seen == -1) ++failed_here;
    CHECK((outcome.kind == mote::Outcome::Kind::done) == (seen != -1));
    CHECK(frames.size() == 0);
  }
  CHECK(done);
  CHECK(failed_there > 0);
  CHECK(failed_here > 0);
}
}  // namespace

// Waits at the first attempt, throws at the second, and completes at the third.
struct ThrowsOnce {
  int attempts = 0;
  auto wait() {
    const auto attempt = [this](mote::PollContext context) -> mote::Result<void> {
      ++attempts;
      if (attempts == 2) throw std::runtime_error("the second attempt");
      return attempts == 1 ? mote::Result<void>(context.suspend("another attempt")) : mote::Result<void>();
    };
    return mote::operation<void>(attempt, [](mote::PollContext /*context*/) {});
  }
};
mote::Co<int> shielded(mote::FrameSource&, ThrowsOnce& operation) {
  const auto waited = co_await mote::shield(operation.wait());
  co_return waited ? 7 : 0;
}
struct PollsAndCatches {
  mote::Co<int> child;
  int& caught;
  int& shields;
  mote::Result<int>& got;
  mote::Step step(mote::Task& task) {
    const mote::detail::TaskHeader& header = mote::detail::TaskAccess::header(task);
    try {
      auto answer = child.poll(task);
      if (answer.ready()) got = *answer;
    } catch (const std::runtime_error&) { ++caught; }
    CHECK_FALSE(header.operation_shielded);  // the shield is the coroutine's own, not that of what the task awaits
    shields = header.shields;
    if (got) return mote::done();
    task.wake();
    return mote::pending;
  }
};
ON_BOTH_SELECTORS("exceptions: a coroutine whose operation throws under a shield keeps the note of its shield") {
  test::Loop<S> loop;
  ThrowsOnce operation;
  int caught = 0, shields = -1;
  mote::Result<int> got = mote::Error(EAGAIN);
  mote::TaskPool<PollsAndCatches, 1> pool;
  REQUIRE(pool.spawn(loop, shielded(frames, operation), caught, shields, got));
  test::turns(loop, 1);
  CHECK(shields == 1);
  test::turns(loop, 1);
  CHECK(caught == 1);
  CHECK(shields == 1);
  CHECK(loop.run());
  REQUIRE(got);
  CHECK(*got == 7);
  CHECK(shields == 0);
  CHECK(frames.size() == 0);
}
