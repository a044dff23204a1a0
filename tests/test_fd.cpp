// SPDX-License-Identifier: MIT
// Rooms: system/fd.hpp, system/clock.hpp.
// Descriptors that are owned, and the clock.
#include "support/descriptors.hpp"
#include "support/harness.hpp"

using test::is_open;

TEST_CASE("time: the clock is steady, and CLOCK_MONOTONIC's") {
  timespec t{};
  REQUIRE(::clock_gettime(CLOCK_MONOTONIC, &t) == 0);
  const mote::Instant before(std::chrono::seconds(t.tv_sec) + std::chrono::nanoseconds(t.tv_nsec));
  const mote::Instant now = mote::Clock::now();
  REQUIRE(::clock_gettime(CLOCK_MONOTONIC, &t) == 0);
  const mote::Instant after(std::chrono::seconds(t.tv_sec) + std::chrono::nanoseconds(t.tv_nsec));
  CHECK(before <= now);
  CHECK(now <= after);
  CHECK(mote::Clock::is_steady);
  CHECK(sizeof(mote::Duration::rep) == 8);
}

TEST_CASE("time: addition saturates at both ends") {
  using mote::Duration;
  using mote::Instant;
  using mote::saturating_add;
  const Instant zero{};
  CHECK(saturating_add(zero, Duration(5)) == Instant(Duration(5)));
  CHECK(saturating_add(Instant(Duration(5)), Duration(-8)) == Instant(Duration(-3)));
  CHECK(saturating_add(Instant(Duration(1)), mote::unlimited) == Instant::max());
  CHECK(saturating_add(Instant::max(), Duration(1)) == Instant::max());
  CHECK(saturating_add(Instant::max(), Duration(0)) == Instant::max());
  CHECK(saturating_add(Instant::max(), Duration(-1)) == Instant(Duration(INT64_MAX - 1)));
  CHECK(saturating_add(Instant::max(), Duration::min()) == Instant(Duration(-1)));
  CHECK(saturating_add(Instant::min(), Duration(-1)) == Instant::min());
  CHECK(saturating_add(Instant(Duration(-2)), Duration::min()) == Instant::min());
  CHECK(saturating_add(zero, Duration::min()) == Instant::min());
  static_assert(saturating_add(Instant::max(), Duration::max()) == Instant::max(), "at compile time too");
}

TEST_CASE("fd: none by default, and after an error") {
  const mote::Fd none;
  CHECK_FALSE(none);
  CHECK(none.get() == -1);
  const mote::Fd failed(-1);
  CHECK_FALSE(failed);
  CHECK(failed.get() == -1);
}

TEST_CASE("fd: number 0 is a descriptor") {
  mote::Fd zero(0);
  CHECK(zero);
  CHECK(zero.get() == 0);
  CHECK(zero.release() == 0);
  CHECK_FALSE(zero);
}

TEST_CASE("fd: is closed when it goes, once") {
  int raw = -1;
  {
    test::Pair pair = test::pipe_pair();
    raw = pair.a.get();
    REQUIRE(is_open(raw));
  }
  CHECK_FALSE(is_open(raw));
  test::Pair pair = test::pipe_pair();
  raw = pair.a.get();
  pair.a.close();
  CHECK_FALSE(pair.a);
  CHECK_FALSE(is_open(raw));
  test::Pair reuser = test::pipe_pair();  // has the number now
  REQUIRE(reuser.a.get() == raw);
  pair.a.close();
  CHECK(is_open(raw));
}

TEST_CASE("fd: moves its ownership, closing what it had") {
  test::Pair pair = test::pipe_pair();
  const int first = pair.a.get(), second = pair.b.get();
  mote::Fd moved(std::move(pair.a));
  CHECK(moved.get() == first);
  CHECK_FALSE(pair.a);
  moved = std::move(pair.b);
  CHECK(moved.get() == second);
  CHECK_FALSE(is_open(first));
  CHECK(is_open(second));
}

TEST_CASE("fd: release gives the descriptor away, open") {
  test::Pair pair = test::pipe_pair();
  const int raw = pair.a.release();
  CHECK_FALSE(pair.a);
  CHECK(is_open(raw));
  mote::Fd again(raw);
  CHECK(again.get() == raw);
}

TEST_CASE("fd: all zero bits are none") {
  alignas(mote::Fd) const unsigned char zeros[sizeof(mote::Fd)] = {};
  const mote::Fd none;
  CHECK(::memcmp(static_cast<const void*>(&none), zeros, sizeof none) == 0);
}
