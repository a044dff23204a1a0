// SPDX-License-Identifier: MIT
// Rooms: base/error.hpp, base/result.hpp, base/poll.hpp, base/bytes.hpp, base/delegate.hpp, system/fd.hpp,
// system/clock.hpp.
// The small types that all layers are written in.
#include <memory>
#include <string>
#include <vector>

#include "support/harness.hpp"

using mote::Delegate;
using mote::Error;
using mote::Interest;
using mote::Poll;
using mote::Readiness;
using mote::Result;

namespace {

struct MoveOnly {
  int value = 0;
  MoveOnly() = default;
  explicit MoveOnly(int v) : value(v) {}
  MoveOnly(MoveOnly&& other) noexcept : value(other.value) { other.value = -1; }
  MoveOnly& operator=(MoveOnly&& other) noexcept {
    value = other.value;
    other.value = -1;
    return *this;
  }
};

bool is_open(int fd) { return ::fcntl(fd, F_GETFD) >= 0; }

int add(int a, int b) { return a + b; }

struct Lamp {
  int blinks = 0;
  void blink() { ++blinks; }
  int level(int by) const { return blinks + by; }
};

}  // namespace

TEST_CASE("error: compares by code and has the C library's text") {
  CHECK(Error(EPIPE) == EPIPE);
  CHECK(Error(EPIPE) != Error(EAGAIN));
  CHECK(Error(EPIPE).code() == EPIPE);
  CHECK(std::string(Error(EPIPE).message()) == ::strerror(EPIPE));
}

TEST_CASE("result: holds EAGAIN before anything has happened") {
  const Result<int> nothing;
  CHECK_FALSE(nothing);
  CHECK(nothing.error() == EAGAIN);
}

TEST_CASE("result: is true with a value and false with an error") {
  Result<int> value = 7;
  REQUIRE(value);
  CHECK(*value == 7);
  *value = 8;
  CHECK(*value == 8);
  value = Error(ECONNRESET);
  CHECK_FALSE(value);
  CHECK(value.error() == ECONNRESET);
}

TEST_CASE("result: a value of zero is not an error") {
  const Result<int> zero = 0;
  REQUIRE(zero);
  CHECK(*zero == 0);
  const Result<bool> no = false;
  REQUIRE(no);
  CHECK_FALSE(*no);
}

TEST_CASE("result: gives access to members, and moves its value out") {
  Result<std::string> text = std::string("mote");
  REQUIRE(text);
  CHECK(text->size() == 4);
  Result<MoveOnly> only = MoveOnly(3);
  REQUIRE(only);
  const MoveOnly taken = *std::move(only);
  CHECK(taken.value == 3);
  CHECK(only->value == -1);
}

TEST_CASE("result: is filled in where it is, and holds the error if that fails") {
  const Result<MoveOnly> filled = Result<MoveOnly>::in_place([](MoveOnly& only) -> Result<void> {
    only.value = 3;
    return {};
  });
  REQUIRE(filled);
  CHECK(filled->value == 3);
  const Result<MoveOnly> failed = Result<MoveOnly>::in_place([](MoveOnly&) -> Result<void> { return Error(ENFILE); });
  REQUIRE_FALSE(failed);
  CHECK(failed.error() == ENFILE);
}

// Copied, but not moved; and never assigned.
struct OnlyCopied {
  int value = 0;
  OnlyCopied() = default;
  OnlyCopied(const OnlyCopied&) = default;
  OnlyCopied& operator=(const OnlyCopied&) = default;
  OnlyCopied& operator=(OnlyCopied&&) = delete;
};
struct Fixed {
  const int value = 0;
};
TEST_CASE("result: is assigned as its value can be") {
  OnlyCopied three;
  three.value = 3;
  Result<OnlyCopied> copied, from = three;
  copied = std::move(from);
  REQUIRE(copied);
  CHECK(copied->value == 3);
  copied = {};
  CHECK_FALSE(copied);
  Result<int[2]> array, filled = Result<int[2]>::in_place([](int(&values)[2]) -> Result<void> {
                          values[1] = 4;
                          return {};
                        });
  array = std::move(filled);
  REQUIRE(array);
  CHECK((*array)[1] == 4);
  CHECK_FALSE(std::is_move_assignable<Result<Fixed>>::value);
  CHECK(std::is_trivially_copyable<Result<std::size_t>>::value);
  CHECK(std::is_nothrow_move_assignable<Result<MoveOnly>>::value == std::is_nothrow_move_assignable<MoveOnly>::value);
}

TEST_CASE("result: without a value is success, or an error") {
  const Result<void> success;
  CHECK(success);
  const Result<void> failure = Error(ENOBUFS);
  CHECK_FALSE(failure);
  CHECK(failure.error() == ENOBUFS);
}

TEST_CASE("result: of a class is not made from an error's number by mistake") {
  CHECK_FALSE(std::is_convertible<int, Result<std::string>>::value);
  CHECK(std::is_convertible<Error, Result<std::string>>::value);
  CHECK(std::is_convertible<const char*, Result<std::string>>::value);
  CHECK_FALSE(std::is_convertible<Result<int>, bool>::value);
}

TEST_CASE("poll: is pending, or ready with a value") {
  const Poll<int> waits = mote::pending;
  CHECK_FALSE(waits.ready());
  Poll<int> ready = 5;
  REQUIRE(ready.ready());
  CHECK(*ready == 5);
}

TEST_CASE("poll: an error is a completed operation") {
  Poll<Result<int>> failed = Result<int>(Error(EPIPE));
  REQUIRE(failed.ready());
  CHECK_FALSE(*failed);
  CHECK(failed->error() == EPIPE);
  Poll<Result<void>> finished = Result<void>();
  REQUIRE(finished.ready());
  CHECK(*finished);
}

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
  CHECK(saturating_add(Instant(Duration(1)), mote::forever) == Instant::max());
  CHECK(saturating_add(Instant::max(), Duration(1)) == Instant::max());
  CHECK(saturating_add(Instant::max(), Duration(0)) == Instant::max());
  CHECK(saturating_add(Instant::max(), Duration(-1)) == Instant(Duration(INT64_MAX - 1)));
  CHECK(saturating_add(Instant::max(), Duration::min()) == Instant(Duration(-1)));
  CHECK(saturating_add(Instant::min(), Duration(-1)) == Instant::min());
  CHECK(saturating_add(Instant(Duration(-2)), Duration::min()) == Instant::min());
  CHECK(saturating_add(zero, Duration::min()) == Instant::min());
  static_assert(saturating_add(Instant::max(), Duration::max()) == Instant::max(), "at compile time too");
}

TEST_CASE("bytes: are viewed in arrays, containers, strings and other views") {
  char text[6] = "hello";
  const mote::ByteSpan whole(text);
  CHECK(whole.size() == 6);
  CHECK(whole[1] == 'e');
  std::array<std::uint8_t, 4> array{1, 2, 3, 4};
  mote::ByteSpan span(array);
  span[0] = 9;
  CHECK(array[0] == 9);
  const std::array<std::byte, 3> constant{};
  CHECK(mote::ByteView(constant).size() == 3);
  const std::string string = "mote";
  CHECK(mote::ByteView(string).size() == 4);
  std::vector<signed char> vector{1, 2};
  CHECK(mote::ByteSpan(vector).size() == 2);
  const mote::ByteView view = span;
  CHECK(view.data() == array.data());
  CHECK(view.size() == 4);
  CHECK(mote::bytes_of("abc").size() == 3);
  CHECK(mote::bytes_of("").empty());
  CHECK(mote::ByteView().empty());
  CHECK(mote::ByteView().data() == nullptr);
}

TEST_CASE("bytes: shrink from the front, and the bytes stay") {
  const char text[] = {'a', 'b', 'c'};
  mote::ByteView view(text);
  view.drop_front(2);
  REQUIRE(view.size() == 1);
  CHECK(view[0] == 'c');
  view.drop_front(0);
  CHECK(view.size() == 1);
  view.drop_front(1);
  CHECK(view.empty());
  CHECK(text[0] == 'a');
  int sum = 0;
  for (const unsigned char byte : mote::ByteView(text)) sum += byte;
  CHECK(sum == 'a' + 'b' + 'c');
}

TEST_CASE("bytes: what is constant is not made writable, and wide elements are not bytes") {
  CHECK_FALSE(std::is_constructible<mote::ByteSpan, const std::string&>::value);
  CHECK_FALSE(std::is_constructible<mote::ByteSpan, const char(&)[4]>::value);
  CHECK_FALSE(std::is_constructible<mote::ByteSpan, mote::ByteView>::value);
  CHECK_FALSE(std::is_constructible<mote::ByteView, int(&)[4]>::value);
  CHECK_FALSE(std::is_constructible<mote::ByteView, std::vector<int>&>::value);
}

TEST_CASE("delegate: is empty at first") {
  const Delegate<void()> empty;
  CHECK_FALSE(empty);
  CHECK(sizeof empty == 2 * sizeof(void*));
}

TEST_CASE("delegate: calls lambdas, members and functions, with the object it was bound to") {
  int seen = 0;
  auto lambda = [&](int n) {
    seen += n;
    return seen;
  };
  const Delegate<int(int)> of_lambda(lambda);
  REQUIRE(of_lambda);
  CHECK(of_lambda(4) == 4);
  CHECK(of_lambda(5) == 9);
  CHECK(seen == 9);

  Lamp lamp;
  const auto of_member = Delegate<void()>::of<&Lamp::blink>(lamp);
  of_member();
  of_member();
  CHECK(lamp.blinks == 2);
  CHECK(Delegate<int(int)>::of<&Lamp::level>(lamp)(3) == 5);
  const auto of_function = Delegate<int(int, int)>::of<&add>();
  CHECK(of_function(2, 3) == 5);
  int context = 1;
  const auto add_to = [](void* sum, int n) {
    *static_cast<int*>(sum) += n;
    return *static_cast<int*>(sum);
  };
  const Delegate<int(int)> of_context(add_to, &context);
  CHECK(of_context(6) == 7);
  CHECK(context == 7);
}

TEST_CASE("delegate: a copy calls the same object") {
  Lamp lamp;
  const auto first = Delegate<void()>::of<&Lamp::blink>(lamp);
  const Delegate<void()> second = first;
  Delegate<void()> third;
  third = second;
  third();
  CHECK(lamp.blinks == 1);
}

TEST_CASE("delegate: takes arguments that can only be moved, and const objects") {
  int seen = 0;
  auto take = [&](MoveOnly moved) { seen = moved.value; };
  const Delegate<void(MoveOnly)> delegate(take);
  delegate(MoveOnly(12));
  CHECK(seen == 12);
  const auto constant = [](int n) { return n + 1; };
  CHECK(Delegate<int(int)>(constant)(1) == 2);
}

TEST_CASE("delegate: is not made of a temporary, which would dangle") {
  auto lambda = [] {};
  CHECK(std::is_constructible<Delegate<void()>, decltype(lambda)&>::value);
  CHECK_FALSE(std::is_constructible<Delegate<void()>, decltype(lambda)>::value);
}

TEST_CASE("flags: combine, mask and tell whether any is set") {
  Interest interest = Interest::read | Interest::write;
  CHECK(mote::any(interest & Interest::write));
  CHECK_FALSE(mote::any(interest & Interest::priority));
  interest &= ~Interest::write;
  CHECK(interest == Interest::read);
  interest |= Interest::priority;
  CHECK(interest == (Interest::read | Interest::priority));
  CHECK_FALSE(mote::any(Interest::none));
  Readiness readiness = Readiness::hangup | Readiness::error;
  readiness &= ~Readiness::error;
  CHECK(readiness == Readiness::hangup);
  CHECK(mote::any(~Readiness::hangup & Readiness::read_closed));
}

TEST_CASE("flags: interest and readiness do not mix") {
  CHECK(static_cast<unsigned>(Interest::read) == static_cast<unsigned>(Readiness::readable));
  CHECK(static_cast<unsigned>(Interest::priority) == static_cast<unsigned>(Readiness::priority));
  CHECK(static_cast<unsigned>(Interest::write) == static_cast<unsigned>(Readiness::writable));
  CHECK_FALSE(std::is_convertible<Interest, Readiness>::value);
  CHECK_FALSE(std::is_convertible<Interest, bool>::value);
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
