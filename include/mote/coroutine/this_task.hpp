// SPDX-License-Identifier: MIT
// Copyright (c) 2026 The mote authors
// this_task() and yield(): a coroutine's task, and letting the other tasks run.
#ifndef MOTE_COROUTINE_THIS_TASK_HPP
#define MOTE_COROUTINE_THIS_TASK_HPP

#if __cplusplus >= 202002L

#include <utility>  // move, forward, exchange

#include <mote/base/config.hpp>
#include <mote/base/error.hpp>
#include <mote/base/result.hpp>
#include <mote/coroutine/promise.hpp>
#include <mote/task/operation.hpp>
#include <mote/task/poll_context.hpp>

namespace mote {
inline namespace MOTE_NAMESPACE {

// `Task& task = co_await mote::this_task();`: the task that steps the coroutine. Completes at once, and cannot fail.
inline detail::ThisTask this_task() { return {}; }

// `co_await mote::yield();`: lets all other tasks run, and goes on in the next turn. For coroutines alone (an awaiter
// keeps the operation across attempts, so this one may have a state; in MOTE_AWAIT it could not). A StateMachine has
// MOTE_YIELD.
// Errors:
//   ECANCELED  the task was cancelled.
inline auto yield() {
  return detail::make_operation<void>([asked = false](PollContext context) mutable -> Result<void> {
    Error refusal;
    if (!context.proceed(refusal)) return refusal;
    const bool asked_before = std::exchange(asked, true);
    if (asked_before) return {};
    context.wake();
    return context.suspend("its next turn");
  });
}

}  // namespace MOTE_NAMESPACE
}  // namespace mote

#endif  // C++20

#endif  // MOTE_COROUTINE_THIS_TASK_HPP
