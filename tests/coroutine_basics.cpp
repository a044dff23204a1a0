// SPDX-License-Identifier: MIT
// Coroutines (section 12): what they give, how they fail to begin, and how they end.
#include "support/harness.hpp"

namespace {
mote::FramePool<1024, 4> frames;

mote::Co<int> add(mote::FrameSource&, int a, int b) { co_return a + b; }
mote::Co<void> sum(mote::FrameSource& from, int& total) {
  const mote::Result<int> got = co_await add(from, 1, 2);
  if (got) total += *got;
}

ON_BOTH_SELECTORS("coroutines: one awaits another, and gets what it returns") {
  test::Loop<S> loop;
  mote::CoroutinePool<1> pool;
  int total = 0;
  CHECK(pool.spawn(loop, sum(frames, total)));
  CHECK(loop.run());
  CHECK(total == 3);
  CHECK(frames.size() == 0);
}
}  // namespace
