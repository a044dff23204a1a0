// SPDX-License-Identifier: MIT
// Copyright (c) 2026 The mote authors
// with_timeout: an operation that has to complete within a time.
#ifndef MOTE_SYNC_WITH_TIMEOUT_HPP
#define MOTE_SYNC_WITH_TIMEOUT_HPP

#include <errno.h>  // errno and its names

#include <cstdint>  // integers of fixed width

#include <mote/base/config.hpp>
#include <mote/base/error.hpp>
#include <mote/base/poll.hpp>
#include <mote/base/result.hpp>
#include <mote/system/clock.hpp>
#include <mote/task/operation.hpp>
#include <mote/task/poll_context.hpp>
#include <mote/task/task.hpp>
#include <mote/time/task_timer.hpp>

namespace mote {
inline namespace MOTE_NAMESPACE {
namespace detail {

// The operation that with_timeout() returns.
template <class Op> struct [[nodiscard]] Timed {
  using ChargesItself = void;
  Poll<Answer<Op>> poll(Task& task) {
    const PollContext context(task);
    const std::int32_t budget = context.budget();
    Poll<Answer<Op>> result = poll_operation(operation, task);
    if (result.ready() || context.is_abandoning()) {
      timer.end_limit(context);
      return result;
    }
    const Result<bool> is_up = timer.poll_limit(context, limit);
    if (is_up && !*is_up) return pending;
    if (budget <= 0) {
      // It may have completed, but had no budget to return its result. A result that came in time wins: try once more.
      context.wake();
      return pending;
    }
    context.abandon(operation);
    timer.end_limit(context);
    // One of a user's own that is pending need not have taken anything.
    const bool is_charged = context.budget() < budget;
    if (!is_charged) static_cast<void>(context.consume_budget());
    return Answer<Op>(is_up ? Error(Reason::time_is_up) : is_up.error());
  }

  TaskTimer& timer;
  Duration limit;
  Op operation;
};

}  // namespace detail

// A combinator: an operation made of another. What is named in it must outlive the await.
//
// Returns the operation's own result, or ETIMEDOUT if it does not come within `limit`, counted from the first attempt.
// An operation that has completed when the time is up wins, so a limit of 0 or less still makes one attempt. After a
// timeout the task waits for nothing; what the operation worked on (a stream, say) is as it was, but a stream that was
// being connected is empty again.
// Errors, besides those of the operation:
//   ETIMEDOUT  the time is up.
//   EBUSY      another task uses the timer, and the operation could not complete at once. It has been given up.
template <class Op> detail::Timed<Op> with_timeout(TaskTimer& timer, AnyDuration limit, Op&& operation) {
  return {timer, limit, static_cast<Op&&>(operation)};
}

}  // namespace MOTE_NAMESPACE
}  // namespace mote

#endif  // MOTE_SYNC_WITH_TIMEOUT_HPP
