// SPDX-License-Identifier: MIT
// Rooms: base/result.hpp, base/error.hpp, base/poll.hpp, base/bytes.hpp.
// What operations answer: errors, results, and what is not ready yet.
#include <string>

#include "support/harness.hpp"

using mote::Error;
using mote::Poll;
using mote::Result;
using test::MoveOnly;

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
  Result<int> value = mote::value(7);
  REQUIRE(value);
  CHECK(*value == 7);
  *value = 8;
  CHECK(*value == 8);
  value = Error(ECONNRESET);
  CHECK_FALSE(value);
  CHECK(value.error() == ECONNRESET);
}

TEST_CASE("result: a value of zero is not an error") {
  const Result<int> zero = mote::value(0);
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

// Programs that were written for an earlier state still compile, with a warning.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
TEST_CASE("names: what has been renamed can still be used by its former name") {
  const mote::ByteView bytes = mote::text("four");
  CHECK(bytes.size() == 4);
  CHECK(bytes[3] == 'r');
  CHECK(mote::limits::steps_below == mote::limits::steps_per_lower_priority);
  const auto fill = [](int& value) {
    value = 7;
    return Result<void>();
  };
  CHECK(*Result<int>::filled_in(fill) == 7);
  CHECK(**Poll<Result<int>>::filled_in(fill) == 7);
}
#pragma GCC diagnostic pop
