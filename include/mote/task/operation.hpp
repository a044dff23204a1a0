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

// What functions that return `auto` give, to be awaited. It is stateless: poll() makes one attempt, which either gives
// the Result<T>, or notes the task as waiting and is pending; then it is made again in the task's next step. So a
// wake-up for nothing is harmless, and whatever has a state across attempts is an object with a name of its own (a
// stream, a timer).
template <class T, class Attempt> struct [[nodiscard]] Operation {
  Poll<Result<T>> poll(Task& task) { return attempt(PollContext(task)); }

  Attempt attempt;  // called with a PollContext; gives a Result<T>, or an Error, or a Poll<Result<T>>
};

// Makes an operation that gives a T: `operation<int>([this](mote::PollContext context) -> mote::Result<int> { ... })`.
template <class T, class Attempt> Operation<T, Attempt> operation(Attempt attempt) { return {attempt}; }

namespace detail {

template <class R> struct ValueOf;
template <class T> struct ValueOf<Result<T>> { using type = T; };
// What an operation gives, be it an Operation or another type with a poll(): a Result<T>, and its T.
template <class Op> using Answer = typename decltype(std::declval<Op&>().poll(std::declval<Task&>()))::value_type;
template <class Op> using Awaited = typename ValueOf<Answer<Op>>::type;

}  // namespace detail

}  // namespace MOTE_NAMESPACE
}  // namespace mote

#endif  // MOTE_TASK_OPERATION_HPP
