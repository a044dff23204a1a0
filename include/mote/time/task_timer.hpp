// SPDX-License-Identifier: MIT
// Copyright (c) 2026 The mote authors
// TaskTimer: a timer to await.
#ifndef MOTE_TIME_TASK_TIMER_HPP
#define MOTE_TIME_TASK_TIMER_HPP

#include <errno.h>  // errno and its names

#include <cstdint>  // integers of fixed width
#include <utility>  // move, forward, exchange

#include <mote/base/config.hpp>
#include <mote/base/error.hpp>
#include <mote/base/result.hpp>
#include <mote/reactor/reactor.hpp>
#include <mote/system/clock.hpp>
#include <mote/task/operation.hpp>
#include <mote/task/poll_context.hpp>
#include <mote/task/task.hpp>
#include <mote/task/waiter.hpp>
#include <mote/time/timer.hpp>

namespace mote {
inline namespace MOTE_NAMESPACE {

// A timer to await, for one task and one use at a time: two parts of one await need two. It must not move while it is
// in use.
// Size on a 32-bit board: 72 bytes.
class TaskTimer {
 public:
  ~TaskTimer() { waiter_.clear(); }

  // Completes after `delay`, never early.
  // Errors:
  //   EBUSY      another task uses it.
  //   ECANCELED  the task was cancelled.
  auto sleep(AnyDuration delay) {
    return operation<void>([this, delay](PollContext context) -> Result<void> {
      const Result<std::uint32_t> expired = wait(context, delay, Use::sleep);
      return expired ? Result<void>() : expired.error();
    });
  }
  // Completes at every multiple of `period` from the first call on, without drift, also where an operation made of
  // others has abandoned it in between. Returns how many ticks have passed: 1, or more if the task was late.
  // Errors:
  //   EBUSY      another task uses it.
  //   ECANCELED  the task was cancelled. The next call begins anew.
  auto tick(AnyDuration period) {
    return operation<std::uint32_t>([this, period](PollContext context) { return wait(context, period, Use::tick); });
  }
  // A time limit, for operations that are made of others: the first call starts the timer, each returns whether the
  // time is up. reset() ends it.
  bool poll_limit(PollContext context, AnyDuration limit) {
    start(context, limit, Use::limit);
    return ticks_ != 0;
  }
  void reset() {  // ends whatever use it is in
    timer_.cancel();
    waiter_.clear();
    use_ = Use::none;
    ticks_ = 0;
  }
 private:
  enum class Use : std::uint8_t { none, sleep, tick, limit };

  void start(PollContext context, Duration time, Use use) {
    // Nobody waits, and no tick is left to be taken: the last use was abandoned, so the timer is free. Not for tick(),
    // which goes on with its own use, in phase.
    if (use != Use::tick && ticks_ == 0 && !waiter_.is_waiting()) use_ = Use::none;
    // One task must not use it for two things.
    MOTE_ASSERT(use_ == Use::none || use_ == use || !waiter_.names(context.header()));
    if (use_ != Use::none) return;  // in use; if by another task, the attempt returns EBUSY
    const auto callback = Timer::Callback::of<&TaskTimer::expire>(*this);
    use_ = use;
    waiter_.wait(context.header());
    if (use == Use::tick) timer_.arm_every(context.task().reactor(), time, callback);
    else timer_.arm(context.task().reactor(), time, callback);
  }
  Result<std::uint32_t> wait(PollContext context, Duration time, Use use) {
    start(context, time, use);
    const Result<std::uint32_t> result = context.attempt(waiter_, "a timer", [this] { return take_ticks(); });
    if (has_ended(context, result, use)) reset();
    return result;
  }
  Result<std::uint32_t> take_ticks() {
    if (ticks_ == 0) return Error(EAGAIN);
    return std::exchange(ticks_, 0u);
  }
  // tick() stays in use after each tick, and also where it is abandoned, so that it keeps its phase.
  static bool has_ended(PollContext context, const Result<std::uint32_t>& result, Use use) {
    if (result) return use != Use::tick;
    if (result.error() != ECANCELED) return false;
    return use != Use::tick || !context.is_abandoning();
  }
  void expire() {
    const bool somebody_waited = waiter_.notify();
    // Still armed: a tick(), which counts though nobody waits. Else a sleep() that was abandoned.
    if (somebody_waited || timer_.armed()) ticks_ += 1 + timer_.missed();
  }

  Timer timer_;
  Waiter waiter_;
  std::uint32_t ticks_ = 0;
  Use use_ = Use::none;
};

}  // namespace MOTE_NAMESPACE
}  // namespace mote

#endif  // MOTE_TIME_TASK_TIMER_HPP
