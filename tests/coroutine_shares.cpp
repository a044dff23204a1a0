// SPDX-License-Identifier: MIT
// Rooms: sync/first_of.hpp, sync/all_of.hpp, sync/with_timeout.hpp, sync/shield.hpp, over coroutine/co.hpp.
// Coroutines that one task awaits together: each has its own budget, waiters and shield, independent of the others.
#include <memory>
#include <optional>

#include "support/coroutines.hpp"

namespace {
using namespace std::chrono_literals;

mote::FramePool<4096, 16> frames;

// Never has to wait, for as long as it may go on.
mote::Co<void> busy(mote::FrameSource&, const bool& enough) {
  mote::Semaphore permit(1);
  while (!enough) {
    if (!co_await permit.acquire()) co_return;
    permit.release();
  }
}
mote::Co<void> in_time(mote::FrameSource& from, const bool& enough, int& error) {
  mote::TaskTimer timer;
  const auto result = co_await mote::with_timeout(timer, 1ms, busy(from, enough));
  error = result ? 0 : result.error().code();
}
mote::Co<void> beside(mote::FrameSource& from, const bool& enough, mote::Event& stop, std::size_t& which) {
  which = (co_await mote::first_of(busy(from, enough), stop.wait()))->which;
}

ON_BOTH_SELECTORS(
    "shares: a part that never has to wait keeps neither a time-out nor the parts behind it from their look") {
  test::Loop<S> loop;
  mote::CoroutinePool<2> pool;
  mote::Event stop;
  bool enough = false;
  int error = -1;
  std::size_t which = 9;
  CHECK(pool.spawn(loop, in_time(frames, enough, error)));
  CHECK(pool.spawn(loop, beside(frames, enough, stop, which)));
  test::turns(loop, 3);
  CHECK(which == 9);
  stop.set();
  test::turns(loop, 2);
  CHECK(which == 1);
  const mote::Instant patience = mote::Clock::now() + 20s;
  while (error < 0 && mote::Clock::now() < patience) test::turns(loop, 1);
  CHECK(error == ETIMEDOUT);
  enough = true;
  CHECK(loop.run());
  CHECK(frames.size() == 0);
}

mote::Co<void> bursts(mote::FrameSource&, mote::Event& go) {
  static_cast<void>(co_await go.wait());
  mote::Semaphore permit(1);
  for (int i = 0; i < 3 * mote::limits::operations_per_step; ++i) {
    if (!co_await permit.acquire()) co_return;
    permit.release();
  }
}
mote::Co<void> both(mote::FrameSource& from, mote::Event& go, mote::Event& event, int& error) {
  mote::AllOf<void, void> results;
  static_cast<void>(co_await mote::all_of(results, bursts(from, go), event.wait()));
  error = results.get<1>() ? 0 : results.get<1>().error().code();
}

ON_BOTH_SELECTORS(
    "shares: who was let out of an event while the step's share was used up goes on, and touches no event that is "
    "gone") {
  for (const bool gone : {false, true}) {
    CAPTURE(gone);
    test::Loop<S> loop;
    mote::CoroutinePool<1> pool;
    mote::Event go;
    auto event = std::make_unique<mote::Event>();
    int error = -1;
    CHECK(pool.spawn(loop, both(frames, go, *event, error)));
    test::turns(loop, 2);
    go.set();
    event->set();
    event->clear();
    if (gone) event.reset();
    CHECK(loop.run());
    CHECK(error == 0);
    CHECK(frames.size() == 0);
  }
}

mote::Co<int> seven(mote::FrameSource&, mote::Event& event) {
  static_cast<void>(co_await event.wait());
  co_return 7;
}
mote::Co<void> await_it(mote::FrameSource&, mote::Co<int>& shared, int& value) {
  const auto got = co_await shared;
  value = got ? *got : -got.error().code();
}

ON_BOTH_SELECTORS("shares: a coroutine that one awaits is EBUSY to another, and goes on undisturbed") {
  test::Loop<S> loop;
  mote::CoroutinePool<2> pool;
  mote::Event event;
  mote::Co<int> shared = seven(frames, event);
  int first = 0, second = 0;
  CHECK(pool.spawn(loop, await_it(frames, shared, first)));
  test::turns(loop, 1);
  CHECK(pool.spawn(loop, await_it(frames, shared, second)));
  test::turns(loop, 2);
  CHECK(second == -EBUSY);
  CHECK(first == 0);
  event.set();
  CHECK(loop.run());
  CHECK(first == 7);
}

mote::Co<void> shielded(mote::FrameSource&, mote::Event& event) {
  mote::Shield shield(co_await mote::this_task());
  static_cast<void>(co_await event.wait());
}
mote::Co<void> begins(mote::FrameSource&, mote::Co<void>& part, mote::TaskTimer& timer) {
  static_cast<void>(co_await mote::with_timeout(timer, 0s, part));
}
mote::Co<void> waits(mote::FrameSource&, mote::Event& event, int& error) {
  const auto waited = co_await event.wait();
  error = waited ? 0 : waited.error().code();
}

ON_BOTH_SELECTORS("shares: a shield that outlives its task shields no other that takes the slot") {
  test::Loop<S> loop;
  mote::CoroutinePool<1> pool;
  mote::Event event;
  mote::TaskTimer timer;
  std::optional<mote::Co<void>> part(shielded(frames, event));
  CHECK(pool.spawn(loop, begins(frames, *part, timer)));
  CHECK(loop.run());
  int error = -1;
  auto other = pool.spawn(loop, waits(frames, event, error));
  REQUIRE(other);
  test::turns(loop, 1);
  part.reset();
  other->cancel();
  test::turns(loop, 2);
  CHECK(error == ECANCELED);
}
}  // namespace
