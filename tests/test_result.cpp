// SPDX-License-Identifier: MIT
// Rooms: base/result.hpp, base/error.hpp, base/reason.hpp, base/poll.hpp, base/bytes.hpp.
// What operations answer: errors, results, and what is not ready yet.
#include <set>
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

namespace {

using mote::detail::Reason;

// What each part of the library answers, as a user sees it.
struct Idle : mote::StateMachine {
  mote::Step step() { return mote::pending; }
};

}  // namespace

TEST_CASE("error: what mote itself refuses has a text of its own, and the errno value as its code") {
  const Error full = Reason::task_pool_full;
  CHECK(std::string(full.message()) == "the task pool is full");
  CHECK(full.code() == ENOBUFS);
  CHECK(full == ENOBUFS);
  CHECK(ENOBUFS == full);
  CHECK(full == Error(ENOBUFS));
  CHECK(full == Error(Reason::descriptor_table_full));
  CHECK(full != ENXIO);
  CHECK(full != EAGAIN);
  CHECK(std::string(Error(ENOBUFS).message()) == ::strerror(ENOBUFS));
  const volatile int code = ENOBUFS;  // not known to the compiler
  CHECK(full == code);
  CHECK_FALSE(full != code);
  CHECK(sizeof(Error) == 4);
  static_assert(Error(Reason::deadlock) == EDEADLK && Error(EDEADLK) == Reason::deadlock);
}

TEST_CASE("error: the reason stays with it through results, awaits' answers and outcomes") {
  const Result<int> failed = Error(Reason::time_is_up);
  const Result<void> copied = failed.error();
  const Poll<Result<std::size_t>> polled = copied.error();
  CHECK(std::string(copied.error().message()) == "the time is up");
  CHECK(std::string(Poll<Result<std::size_t>>(polled)->error().message()) == "the time is up");
  CHECK(mote::detail::ErrorAccess::error(mote::failed(copied.error()).code).message() == failed.error().message());
}

TEST_CASE("error: every reason has its own number, its own text, and an errno value") {
  std::set<int> seen;
  std::set<std::string> texts;
  for (const int stored : mote::detail::reason_codes) {
    const Error error = mote::detail::ErrorAccess::error(stored);
    CHECK(seen.insert(stored).second);
    CHECK(texts.insert(error.message()).second);
    CHECK(error.code() > 0);
    CHECK(error == error.code());
    CHECK(error != EAGAIN);  // these two are compared without looking for a reason
    CHECK(error != ECANCELED);
    CHECK(std::string(error.message()) != ::strerror(error.code()));
  }
}

TEST_CASE("error: a reactor that has not been opened, a full pool and a deadlock say so") {
  mote::StaticReactor<> reactor;
  mote::TaskPool<Idle, 1> pool;
  CHECK(std::string(reactor.run().error().message()) == "the reactor has not been opened");
  CHECK(reactor.run().error() == ENXIO);
  REQUIRE(pool.spawn(reactor));  // may be made before the reactor is opened
  CHECK(std::string(reactor.run_once().error().message()) == "the reactor has not been opened");
  CHECK(std::string(pool.spawn(reactor).error().message()) == "the task pool is full");
  REQUIRE(reactor.open());
  const Result<void> stuck = reactor.run();
  CHECK(stuck.error() == EDEADLK);
  CHECK(std::string(stuck.error().message()) == "every task waits for what cannot come");
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

TEST_CASE("result: of a number is not made of an int, which may be an error's number") {
  CHECK_FALSE(std::is_constructible<Result<int>, int>::value);
  CHECK_FALSE(std::is_constructible<Result<int>, int&>::value);  // as errno is
  CHECK_FALSE(std::is_constructible<Result<int>, const int&>::value);
  CHECK_FALSE(std::is_constructible<Result<std::size_t>, int>::value);
  CHECK_FALSE(std::is_constructible<Result<long>, int>::value);
  CHECK_FALSE(std::is_constructible<Result<bool>, int>::value);
  CHECK_FALSE(std::is_constructible<Result<double>, int>::value);
  CHECK_FALSE(std::is_constructible<Result<char>, int>::value);
  CHECK_FALSE(std::is_constructible<Result<void>, int>::value);
  CHECK_FALSE(std::is_constructible<Result<char*>, int>::value);
  CHECK_FALSE(std::is_constructible<Poll<Result<int>>, int>::value);
  CHECK_FALSE(std::is_constructible<Poll<Result<std::size_t>>, int>::value);
  CHECK_FALSE(std::is_assignable<Result<int>&, int>::value);
  // What has been wrapped by a constructor that is explicit: a descriptor 5, five nanoseconds.
  CHECK_FALSE(std::is_constructible<Result<mote::Fd>, int>::value);
  CHECK_FALSE(std::is_constructible<Result<mote::Duration>, int>::value);
}

TEST_CASE("result: takes a number that loses nothing, or that is said to be a value") {
  const Result<int> five = mote::value(5);
  CHECK(*five == 5);
  const int six = 6;
  const Result<int> copied = mote::value(six);
  CHECK(*copied == 6);
  CHECK(*Result<std::size_t>(std::size_t{7}) == 7);
  CHECK(*Result<std::uint64_t>(std::uint32_t{8}) == 8);
  CHECK(*Result<bool>(true));
  CHECK(*Result<double>(0.5) == 0.5);
  CHECK(*Result<double>(0.5f) == 0.5);
  CHECK(*Result<char>('a') == 'a');
  CHECK(*Result<long>(9L) == 9);
  Poll<Result<int>> ready = mote::value(10);
  REQUIRE(ready.ready());
  CHECK(**ready == 10);
  // A size of -1, as system calls return it; a part of a number.
  CHECK_FALSE(std::is_constructible<Result<std::size_t>, ssize_t>::value);
  CHECK_FALSE(std::is_constructible<Result<std::uint32_t>, std::int64_t>::value);
  CHECK_FALSE(std::is_constructible<Result<std::uint8_t>, unsigned>::value);
  CHECK_FALSE(std::is_constructible<Result<long>, double>::value);
  CHECK_FALSE(
      std::is_constructible<Result<unsigned>, decltype(mote::value(5))>::value);  // the value's type is T itself
  const Result<MoveOnly> moved = mote::value(MoveOnly(4));
  CHECK(moved->value == 4);
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
