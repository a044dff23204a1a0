// SPDX-License-Identifier: MIT
// Things that tasks take by operations of the test's own, one type for each way of writing such an operation. None of
// the functions that take asks for a budget, a cancellation, or whether it is given up.
#ifndef MOTE_TESTS_OWN_OPERATIONS_HPP
#define MOTE_TESTS_OWN_OPERATIONS_HPP

#include <random>

#include "operations.hpp"

namespace test {

// How many were given, and how many of these are left: the others have been taken.
struct Stock {
  int given = 0, left = 0;
  mote::Result<int> take() {
    if (left == 0) return mote::Error(EAGAIN);
    --left;
    return mote::value(1);
  }
  void put() {
    ++given;
    ++left;
  }
};

struct InWaiter {
  static constexpr const char* name = "in a Waiter";
  Stock stock;
  mote::Waiter waiter;
  ~InWaiter() { waiter.clear(); }
  void give() {
    stock.put();
    waiter.notify();
  }
  auto take() {
    return mote::operation<int>(waiter, "a thing", [this] { return stock.take(); });
  }
};

struct InQueue {
  static constexpr const char* name = "in a WaitQueue";
  Stock stock;
  mote::WaitQueue queue;
  void give() {
    stock.put();
    queue.notify();
  }
  auto take() {
    return mote::operation<int>(queue, "a thing", [this] { return stock.take(); });
  }
};

// By an attempt and a way to leave. Place: where it waits.
template <class Place> struct ByAttempt {
  static constexpr const char* name = "by an attempt";
  Stock stock;
  Place place;
  void give() {
    stock.put();
    place.notify();
  }
  auto take() {
    const auto attempt = [this](mote::PollContext context) -> mote::Result<int> {
      const mote::Result<int> taken = stock.take();
      return taken ? taken : mote::Result<int>(context.wait(place, "a thing"));
    };
    return mote::operation<int>(attempt, [this](mote::PollContext context) { context.leave(place); });
  }
};

// Of another operation, and what it has got stays in the object.
struct Composed {
  static constexpr const char* name = "made of another";
  InQueue below;
  Stock& stock = below.stock;
  void give() { below.give(); }
  auto take() {
    const auto attempt = [this](mote::PollContext context) { return below.take().poll(context.task()); };
    return mote::operation<int>(attempt, [this](mote::PollContext context) {
      auto pending = below.take();
      context.abandon(pending);
    });
  }
};

template <class T> struct KindOf { using type = T; };

template <class Check> void for_each_own_operation(Check&& check) {
  const auto one = [&](auto kind) {
    CAPTURE(decltype(kind)::type::name);
    check(kind);
  };
  one(KindOf<InWaiter>());
  one(KindOf<InQueue>());
  one(KindOf<ByAttempt<mote::Waiter>>());
  one(KindOf<ByAttempt<mote::WaitQueue>>());
  one(KindOf<Composed>());
}

// In which operation a taker awaits two things.
enum class Together { first_of, first_of_the_other_way, within_no_time, nested };
constexpr int ways_together = 4;

// What a taker has got of each thing, and how often it was cancelled.
struct Taken {
  int first = 0, second = 0, cancelled = 0;
  template <class F> void note(F& got, bool swapped) {
    if (!got) {
      cancelled += got.error() == ECANCELED;
      return;
    }
    const bool is_first = (got->which == 0) != swapped;
    int& taken = is_first ? first : second;
    const auto& result = got->which == 0 ? got->template get<0>() : got->template get<1>();
    if (result) taken += *result;
  }
};

// Two things are given at random, in the same turn or not; their taker is woken, cancelled, out of time, and has to get
// all of them. `spawn(loop, first, second, random, taken)` starts it and returns its handle.
template <class Loop, class A, class B, class Spawn> void check_nothing_is_lost(unsigned seed, Spawn&& spawn) {
  CAPTURE(seed);
  Loop loop;
  A first;
  B second;
  Taken taken;
  std::minstd_rand random(seed);
  int cancels = 0;
  mote::Result<mote::TaskHandle> taker = spawn(loop, first, second, random, taken);
  REQUIRE(taker);
  for (int i = 0; i < 300; ++i) {
    switch (random() % 6) {
      case 0: first.give(); break;
      case 1: second.give(); break;
      case 2:
        first.give();
        second.give();
        break;
      case 3: taker->get()->wake(); break;
      case 4:
        cancels += !taker->get()->cancel_requested();
        taker->cancel();
        break;
      default: break;
    }
    if (random() % 2 == 0) turn(loop);
    CHECK(first.stock.given == first.stock.left + taken.first);
    CHECK(second.stock.given == second.stock.left + taken.second);
  }
  turn(loop, 10);
  CHECK(first.stock.left == 0);
  CHECK(second.stock.left == 0);
  CHECK(taken.cancelled == cancels);
  CHECK(taker->destroy());
}

}  // namespace test

#endif  // MOTE_TESTS_OWN_OPERATIONS_HPP
