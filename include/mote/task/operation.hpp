// SPDX-License-Identifier: MIT
// Copyright (c) 2026 The mote authors
// Operations: what can be awaited.
#ifndef MOTE_TASK_OPERATION_HPP
#define MOTE_TASK_OPERATION_HPP

#include <utility>  // move, forward, exchange

#include <mote/base/config.hpp>
#include <mote/base/poll.hpp>
#include <mote/base/result.hpp>
#include <mote/task/poll_context.hpp>
#include <mote/task/task.hpp>

namespace mote {
inline namespace MOTE_NAMESPACE {

// What is awaited: what the library's functions with return type `auto` return. poll() makes one attempt, which either
// returns the Result<T>, or notes the task as waiting and returns pending; then the next attempt is made in the task's
// next step. So a wake-up for nothing is harmless. MOTE_AWAIT makes the operation anew for each attempt, so it must
// keep no state from one attempt to the next: state lies in an object with a name of its own (a stream, a timer).
template <class T, class Attempt> struct [[nodiscard]] Operation {
  Poll<Result<T>> poll(Task& task) { return attempt(PollContext(task)); }

  Attempt attempt;  // called with a PollContext; returns a Result<T>, or an Error, or a Poll<Result<T>>
};

// Makes an operation whose result is a T:
// `operation<int>([this](mote::PollContext context) -> mote::Result<int> { ... })`.
template <class T, class Attempt> Operation<T, Attempt> operation(Attempt attempt) { return {attempt}; }

namespace detail {

template <class R> struct ValueOf;
template <class T> struct ValueOf<Result<T>> { using Type = T; };
// What an operation returns, be it an Operation or another type with a poll(): a Result<T>, and its T.
template <class Op> using Answer = typename decltype(std::declval<Op&>().poll(std::declval<Task&>()))::value_type;
template <class Op> using Awaited = typename ValueOf<Answer<Op>>::Type;

}  // namespace detail

}  // namespace MOTE_NAMESPACE
}  // namespace mote

#endif  // MOTE_TASK_OPERATION_HPP
