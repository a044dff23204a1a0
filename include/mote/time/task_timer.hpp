// SPDX-License-Identifier: MIT
// Copyright (c) 2026 The mote authors
// TaskTimer: a timer to await.
#ifndef MOTE_TIME_TASK_TIMER_HPP
#define MOTE_TIME_TASK_TIMER_HPP

#include <errno.h>  // errno and its names

#include <cstdint>  // integers of fixed width
#include <utility>  // move, forward, exchange

#include <mote/base/assert.hpp>
#include <mote/base/config.hpp>
#include <mote/base/error.hpp>
#include <mote/base/result.hpp>
#include <mote/reactor/reactor.hpp>
#include <mote/system/clock.hpp>
#include <mote/task/operation.hpp>
#include <mote/task/poll_context.hpp>
#include <mote/task/task.hpp>
#include <mote/task/task_header.hpp>
#include <mote/task/task_use.hpp>
#include <mote/time/timer.hpp>

namespace mote {
inline namespace MOTE_NAMESPACE {

// A timer to await, for one task and one use at a time: two parts of one await need two (what two sleeps on one timer
// do to each other is not defined; two different uses trip MOTE_ASSERT, and with NDEBUG the second one gives EBUSY). It
// may outlive its tasks, but must not move.
//
// It belongs to the task that uses it. A sleep() or a time limit ends when it completes, is cancelled, or is given up
// by first_of() or the like. A tick() goes on after each tick, until it is cancelled, or the task uses the timer for
// something else. When the task ends, so does every use. Then nothing is left of it: the timer is not armed, and the
// next use begins anew. A coroutine that another task polls while it waits here takes its use along, deadline and ticks
// included. Between two of its ticks the timer stays the former task's: reset() it first.
// Size on a 32-bit board: 72 bytes.
class TaskTimer : detail::TaskUse {
 public:
  ~TaskTimer() { clear(); }

  // Completes after `delay`, never early.
  // Errors:
  //   EBUSY      another task uses it.
  //   ECANCELED  the task was cancelled.
  auto sleep(AnyDuration delay) {
    return detail::make_operation<void>([this, delay](PollContext context) -> Result<void> {
      const Result<std::uint32_t> expired = attempt(context, delay, sleeping);
      return expired ? Result<void>() : expired.error();
    });
  }
  // Completes at every multiple of `period` from the first call on, without drift. Returns how many ticks have passed:
  // 1, or more if the task was late, since ticks are counted while nobody awaits them, too. One that first_of() or the
  // like has given up keeps its phase: the task's next call of the same period goes on with it, unless another task has
  // used the timer since. A call with another period begins anew. A period of less than 1 ns counts as 1 ns.
  // Errors:
  //   EBUSY      another task uses it, or is between two of its ticks.
  //   ECANCELED  the task was cancelled. The next call begins anew.
  auto tick(AnyDuration period) {
    const Duration asked = period;
    const Duration every = asked < Duration(1) ? Duration(1) : asked;
    return detail::make_operation<std::uint32_t>(
        [this, every](PollContext context) { return attempt(context, every, ticking); });
  }
  // A time limit, for operations that are made of others: the first call starts the timer, each returns whether the
  // time is up. end_limit() ends it.
  // Errors:
  //   EBUSY      another task uses it.
  Result<bool> poll_limit(PollContext context, AnyDuration limit) {
    if (!begin(context, limit, limiting)) return Error(detail::Reason::timer_in_use);
    if (expiries_ != 0) return true;
    wait_again(in_use | limiting | waiting);
    return false;
  }
  // Ends the task's own time limit, and no other use.
  void end_limit(PollContext context) {
    if (context.is_handing_over()) hand_over(context, limiting);
    else if (is_used(context, limiting)) end();
  }
  // Ends whatever use it is in. A task that waits in it begins anew: its sleep lasts `delay` from then on.
  void reset() {
    if (is(waiting)) wake();
    end();
  }
 private:
  // What it awaits, beside in_use: one of the uses, and how it stands.
  enum What : std::uint32_t {
    sleeping = 0x01,
    ticking = 0x02,
    limiting = 0x04,
    waiting = 0x10,  // the task is to be woken when it expires
    given_up = 0x20  // the task has left its tick(), which goes on unless another task needs the timer
  };
  bool is(What what) const { return (awaited() & what) != 0; }
  bool is_used(PollContext context, What use) const { return is(use) && names(context.header()); }

  // ---- the beginning and the end of a use ----

  // Makes sure that the task uses it so: goes on with that use, or begins it. False: it is in use otherwise.
  bool begin(PollContext context, Duration time, What use) {
    const bool is_own = names(context.header());
    if (is_used(context, use)) {
      if (use != ticking || timer_.period() == time) {
        wait_again(in_use | use);
        return true;
      }
    } else if (has_task() && !is(given_up) && (is(waiting) || !is_own)) {
      MOTE_ASSERT(!is_own && "two parts of one await use one TaskTimer: give each a timer of its own");
      return false;
    }
    start(context, time, use);
    return true;
  }
  void start(PollContext context, Duration time, What use) {
    end();
    TaskUse::use(context.header(), use, &TaskTimer::end_with_task);
    const auto callback = Timer::Callback::of<&TaskTimer::expire>(*this);
    if (use == ticking) timer_.arm_every(context.task().reactor(), time, callback);
    else timer_.arm(context.task().reactor(), time, callback);
  }
  // The one place where a use ends. Nothing is left of it.
  void end() {
    timer_.end();
    clear();
    expiries_ = 0;
  }
  static void end_with_task(TaskUse& self) { static_cast<TaskTimer&>(self).end(); }

  // ---- using it ----

  Result<std::uint32_t> attempt(PollContext context, Duration time, What use) {
    Error refusal;
    if (context.is_abandoning()) {
      if (context.is_handing_over()) hand_over(context, use);
      else give_up(context, use);
      return Error(ECANCELED);
    }
    const bool begun = begin(context, time, use);
    if (!context.may_complete(refusal)) return refusal;
    if (!begun) return context.fail(Error(detail::Reason::timer_in_use));
    if (expiries_ == 0) {
      if (context.proceed(refusal)) {
        wait_again(in_use | use | waiting);
        return context.suspend("a timer");
      }
      end();  // cancelled
      return refusal;
    }
    static_cast<void>(context.consume_budget());
    const std::uint32_t passed = std::exchange(expiries_, 0u);
    if (use != ticking) end();
    return passed;
  }
  void give_up(PollContext context, What use) {
    if (!is_used(context, use)) return;
    if (use == ticking) wait_again(in_use | ticking | given_up);
    else end();
  }
  // The use becomes that of the task in which the coroutine goes on. Its deadline stays, and so does what has come.
  void hand_over(PollContext context, What use) {
    if (!is_used(context, use)) return;
    const bool is_same_reactor = context.heir().store->scheduler() == context.header().store->scheduler();
    if (is_same_reactor) leave(context.header());
    else end();  // the timer is that of the former's reactor
  }
  void expire() {
    const std::uint32_t passed = 1 + timer_.missed();
    const std::uint32_t room = UINT32_MAX - expiries_;
    expiries_ = passed > room ? UINT32_MAX : expiries_ + passed;
    if (!is(waiting)) return;
    const std::uint32_t what = awaited();
    wake();
    wait_again(what & ~std::uint32_t{waiting});
  }

  std::uint32_t expiries_ = 0;  // that the task has not been told of
  Timer timer_;
};

}  // namespace MOTE_NAMESPACE
}  // namespace mote

#endif  // MOTE_TIME_TASK_TIMER_HPP
