// SPDX-License-Identifier: MIT
// Tasks that await what they are told to: for tests of objects that several tasks use one after the other.
#ifndef MOTE_TESTS_USERS_HPP
#define MOTE_TESTS_USERS_HPP

#include <functional>

#include "operations.hpp"

namespace test {

// One attempt at an operation of any type; its value as a number, where it has one.
using Attempt = std::function<mote::Poll<mote::Result<int>>(mote::Task&)>;
template <class P> mote::Poll<mote::Result<int>> as_number(P&& poll) {
  if (!poll.ready()) return mote::pending;
  auto& result = *poll;
  if (!result) return mote::Result<int>(result.error());
  using Value = std::decay_t<decltype(result)>;
  if constexpr (std::is_same<Value, mote::Result<std::uint32_t>>::value)
    return mote::Result<int>(mote::value(static_cast<int>(*result)));
  else return mote::Result<int>(mote::value(0));
}
struct Operation {
  const Attempt* attempt;
  mote::Poll<mote::Result<int>> poll(mote::Task& task) { return (*attempt)(task); }
};

enum class Wrap { none, raced, raced_last, limited };

// A task that awaits what it is told to, one thing after the other, and waits in between.
class User {
 public:
  explicit User(mote::Reactor& reactor) : handle_(std::move(*pool_.spawn(reactor, *this))) {}
  void use(Attempt attempt, Wrap wrap = Wrap::none) {
    attempt_ = std::move(attempt);
    wrap_ = wrap;
    answered = false;
    orders_.release();
  }
  void give_up() { rival_.release(); }  // of what is raced
  void cancel() { handle_.cancel(); }
  void destroy() { CHECK(handle_.destroy()); }
  mote::Task& task() { return *handle_.get(); }
  bool is_queued() { return mote::detail::TaskAccess::header(*handle_.get()).linked(); }
  int error() const { return answered ? error_of(answer) : -1; }  // -1: it waits

  static constexpr mote::Duration limit = 50ms;
  bool answered = false;
  mote::Result<int> answer = mote::Error(EAGAIN);
  mote::Instant answered_at{};
  int steps = 0;
  int cancelled_idle = 0;  // how often, while it awaited nothing
 private:
  struct Body {
    User& self;
    mote::Step step(mote::Task& task) { return self.step(task); }
  };
  mote::Step step(mote::Task& task) {
    ++steps;
    for (;;) {
      if (!busy_) {
        auto order = orders_.acquire().poll(task);
        if (!order.ready()) return mote::pending;
        if (!*order) {
          ++cancelled_idle;
          continue;
        }
        busy_ = true;
      }
      mote::Poll<mote::Result<int>> poll = await(task);
      if (!poll.ready()) return mote::pending;
      answer = *poll;
      answered_at = mote::Clock::now();
      answered = true;
      busy_ = false;
    }
  }
  mote::Poll<mote::Result<int>> await(mote::Task& task) {
    const Operation operation{&attempt_};
    if (wrap_ == Wrap::none) return Operation(operation).poll(task);
    if (wrap_ == Wrap::limited) return mote::with_timeout(timer_, limit, Operation(operation)).poll(task);
    if (wrap_ == Wrap::raced_last) {  // where both have completed, it is given up
      auto first = mote::first_of(rival_.acquire(), Operation(operation)).poll(task);
      if (!first.ready()) return mote::pending;
      if (!*first) return mote::Result<int>((*first).error());
      return (*first)->which == 1 ? (*first)->get<1>() : mote::Result<int>(mote::Error(EINTR));
    }
    auto first = mote::first_of(Operation(operation), rival_.acquire()).poll(task);
    if (!first.ready()) return mote::pending;
    if (!*first) return mote::Result<int>((*first).error());
    return (*first)->which == 0 ? (*first)->get<0>() : mote::Result<int>(mote::Error(EINTR));  // given up
  }
  Attempt attempt_;
  Wrap wrap_ = Wrap::none;
  bool busy_ = false;
  mote::Semaphore orders_, rival_;
  mote::TaskTimer timer_;
  mote::TaskPool<Body, 1> pool_;
  mote::TaskHandle handle_;
};

}  // namespace test

#endif  // MOTE_TESTS_USERS_HPP
