// SPDX-License-Identifier: MIT
// Copyright (c) 2026 The mote authors
// Timers: functions that are called at an instant.
#ifndef MOTE_TIME_TIMER_HPP
#define MOTE_TIME_TIMER_HPP

#include <chrono>   // Duration and Instant
#include <cstdint>  // integers of fixed width
#include <utility>  // move, forward, exchange

#include <mote/base/assert.hpp>
#include <mote/base/config.hpp>
#include <mote/base/delegate.hpp>
#include <mote/base/exceptions.hpp>
#include <mote/base/list.hpp>
#include <mote/base/timing_wheel.hpp>
#include <mote/reactor/loop.hpp>
#include <mote/reactor/reactor.hpp>
#include <mote/system/clock.hpp>

namespace mote {
inline namespace MOTE_NAMESPACE {

// A function to be called at an instant. Owned by its user: there is no limit to their number, and arming cannot fail.
// It must not move; its destructor cancels it, and so does the end of its reactor. All calls, and the destructor of one
// that has ever been armed, are for the loop's thread. Timers that are due fire in order of deadline, equal ones in
// order of arming, and none before its time. All calls are allowed in every callback, and O(1). A callback that throws
// has been called: a periodic timer goes on, another one is over.
// Size on a 32-bit board: 48 bytes.
class Timer : detail::TimerNode {
 public:
  using Callback = Delegate<void()>;
  ~Timer() {
    cancel();
    unlink();  // from the timers that are not armed
  }

  // Once, `delay` from now (the clock is read). Zero or less: in this turn or the next, after its events.
  void arm(Reactor& reactor, AnyDuration delay, Callback callback) {
    detail::Loop& loop = detail::ReactorAccess::loop(reactor);
    start(loop, saturating_add(loop.read_clock(), delay), 0, callback);
  }
  void arm_at(Reactor& reactor, Instant deadline, Callback callback) {
    start(detail::ReactorAccess::loop(reactor), deadline, 0, callback);
  }
  // The same where the instant is counted in another unit: it saturates, too.
  template <class D> void arm_at(Reactor& reactor, std::chrono::time_point<Clock, D> deadline, Callback callback) {
    arm_at(reactor, saturating_add(Instant(), deadline.time_since_epoch()), callback);
  }
  // At now + period, then at every further period, without drift: a late tick does not shift the next; ticks that went
  // by meanwhile are counted in missed() and skipped: where three ticks fall into one long step, the timer fires once,
  // and missed() is 2. A period of less than 1 ns counts as 1 ns.
  void arm_every(Reactor& reactor, AnyDuration period, Callback callback) {
    detail::Loop& loop = detail::ReactorAccess::loop(reactor);
    const Duration tick = period;
    const std::int64_t ns = tick.count() > 0 ? tick.count() : 1;
    start(loop, saturating_add(loop.read_clock(), Duration(ns)), ns, callback);
  }
  // Again, `delay` after the time at which this turn's events were received: the idle timeout. It must have been armed
  // before. A later deadline is only noted, and the clock is not read again: this is the cheapest operation there is.
  // No effect where the reactor has been destroyed: it is not armed then.
  void rearm(AnyDuration delay) {
    MOTE_ASSERT(callback_ && "rearm() of a Timer that has never been armed: arm() it first");
    if (!armed_) return rearm_idle(delay);
    const Instant moved = saturating_add(loop_->now(), delay);
    if (moved < deadline() || deadline() <= loop_->firing_until()) return start(*loop_, moved, period_, callback_);
    TimerNode::deadline = moved.time_since_epoch().count();
    order = loop_->next_timer_order();
  }
  bool cancel() {  // whether it was armed
    if (!armed_) return false;
    disarm();
    return true;
  }
  bool armed() const { return armed_; }
  Instant deadline() const { return Instant(Duration(TimerNode::deadline)); }
  Duration period() const { return Duration(period_); }  // as it was armed last; zero: once
  std::uint32_t missed() const { return missed_; }       // ticks skipped before the one that fired last
 private:
  friend class TaskTimer;

  [[gnu::noinline]] void rearm_idle(Duration delay) {
    if (loop_ != nullptr) start(*loop_, saturating_add(loop_->now(), delay), period_, callback_);
  }
  void start(detail::Loop& loop, Instant deadline, std::int64_t period, Callback callback) {
    leave_list();
    armed_ = true;
    loop_ = &loop;
    period_ = period;
    callback_ = callback;
    loop.set_expire_hook(&Timer::expire);
    TimerNode::deadline = deadline.time_since_epoch().count();
    order = loop.next_timer_order();
    loop.wheel().insert(*this, loop.last_known_time().time_since_epoch().count());
    if (loop.wheel().count() > loop.stats().timers_high) loop.stats().timers_high = loop.wheel().count();
  }
  // For who does not rearm(): cancels it, and need not be told when the loop goes.
  void end() {
    if (!armed_) return;
    leave_list();
    loop_ = nullptr;
  }
  void disarm() {
    leave_list();
    loop_->idle_timers().push_back(*this);
  }
  // Leaves the wheel, or the timers that are not armed. It is in one of them from when it was armed first until its
  // loop goes.
  void leave_list() {
    if (std::exchange(armed_, false)) {
      loop_->wheel().erase(*this);
    } else {
      unlink();
    }
  }
  // The loop's hook: fires the timers that are due, or cancels all.
  static void expire(detail::Loop& loop, bool fire) {
    detail::List<detail::TimerNode> due;
    detail::OnException put_back([&loop, &due] {
      loop.set_firing_until(Instant());
      loop.wheel().put_back(due);
    });
    loop.set_firing_until(loop.last_known_time());
    const std::int64_t until = fire ? loop.last_known_time().time_since_epoch().count() : INT64_MAX;
    while (loop.wheel().expire(until, due)) {
      while (detail::TimerNode* const node = due.front()) {
        Timer& timer = *static_cast<Timer*>(node);
        if (fire) {
          ++loop.stats().timers_fired;
          timer.fire();
        } else {
          timer.disarm();
        }
      }
    }
    put_back.dismiss();
    loop.set_firing_until(Instant());
    loop.wheel().refresh();
    if (!fire) forget(loop);
  }
  // The loop goes.
  static void forget(detail::Loop& loop) {
    while (detail::TimerNode* const node = loop.idle_timers().pop_front()) static_cast<Timer*>(node)->loop_ = nullptr;
  }
  void fire() {
    const Callback callback = callback_;  // the callback may destroy this timer
    missed_ = 0;
    if (period_ != 0) {
      start_next_period(callback);
    } else {
      disarm();
    }
    callback();
  }
  void start_next_period(Callback callback) {
    // Ticks are counted from the epoch at the earliest: the difference below would overflow.
    if (TimerNode::deadline < 0) TimerNode::deadline = 0;
    const std::int64_t missed = (loop_->last_known_time() - deadline()).count() / period_;
    missed_ = missed > INT32_MAX ? INT32_MAX : static_cast<std::uint32_t>(missed);
    const Instant last = deadline() + Duration(missed * period_);
    start(*loop_, saturating_add(last, Duration(period_)), period_, callback);
  }

  detail::Loop* loop_ = nullptr;
  std::int64_t period_ = 0;  // in nanoseconds; 0: once
  Callback callback_;
  std::uint32_t missed_ = 0;
  bool armed_ = false;  // in the loop's wheel
};

}  // namespace MOTE_NAMESPACE
}  // namespace mote

#endif  // MOTE_TIME_TIMER_HPP
