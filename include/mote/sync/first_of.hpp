// SPDX-License-Identifier: MIT
// Copyright (c) 2026 The mote authors
// first_of: waits for whichever of several operations completes first.
#ifndef MOTE_SYNC_FIRST_OF_HPP
#define MOTE_SYNC_FIRST_OF_HPP

#include <errno.h>  // errno and its names

#include <cstddef>  // size_t, ptrdiff_t
#include <tuple>    // results of operations that are awaited together
#include <utility>  // move, forward, exchange

#include <mote/base/config.hpp>
#include <mote/base/error.hpp>
#include <mote/base/poll.hpp>
#include <mote/base/result.hpp>
#include <mote/sync/parts.hpp>
#include <mote/task/operation.hpp>
#include <mote/task/poll_context.hpp>
#include <mote/task/task.hpp>

namespace mote {
inline namespace MOTE_NAMESPACE {

// What first_of() returns: which operation has completed, counted from 0, and its result; the other results are EAGAIN.
template <class... T> struct FirstOf {
  template <std::size_t Index> auto& get() { return std::get<Index>(results); }

  std::size_t which = 0;
  std::tuple<Result<T>...> results{Result<T>(Error(EAGAIN))...};
};

namespace detail {

// The operation that first_of() returns. Folds over `I` do the same for each part, in the order in which the parts are
// named.
template <class... Op> struct [[nodiscard]] First {
  using ChargesItself = void;
  using Value = FirstOf<Awaited<Op>...>;

  Poll<Result<Value>> poll(Task& task) { return poll_parts(task, std::index_sequence_for<Op...>()); }

  template <std::size_t... Index> Poll<Result<Value>> poll_parts(Task& task, std::index_sequence<Index...>) {
    const PollContext context(task);
    if (context.is_abandoning()) {
      (leave<Index>(task), ...);
      return pending;
    }
    Value value;
    const bool was_cancelling = context.is_cancelling();
    // The first part that completes ends the fold: those behind it are not polled.
    PartsAttempt parts(context);
    const bool completed = (poll_part<Index>(context, value, parts) || ...);
    if (!completed) return parts.suspend();
    (abandon_loser<Index>(context, value), ...);
    // If a part has completed with ECANCELED because the task was cancelled, so does the whole.
    const bool answered_cancellation = was_cancelling && !context.is_cancelling();
    if (answered_cancellation && (is_cancelled<Index>(value) || ...)) return Result<Value>(Error(ECANCELED));
    return Result<Value>(std::move(value));
  }
  template <std::size_t Index> void leave(Task& task) { static_cast<void>(std::get<Index>(operations).poll(task)); }
  // Whether it has completed.
  template <std::size_t Index> bool poll_part(PollContext context, Value& value, PartsAttempt& parts) {
    parts.begin_part();
    auto result = poll_operation(std::get<Index>(operations), context.task());
    if (!result.ready()) {
      parts.note_pending();
      return false;
    }
    value.which = Index;
    value.template get<Index>() = std::move(*result);
    return true;
  }
  template <std::size_t Index> void abandon_loser(PollContext context, const Value& value) {
    if (Index != value.which) context.abandon(std::get<Index>(operations));
  }
  // Whether it is this one that has completed, with ECANCELED.
  template <std::size_t Index> static bool is_cancelled(Value& value) {
    const auto& result = value.template get<Index>();
    return value.which == Index && !result && result.error() == ECANCELED;
  }

  std::tuple<Op...> operations;
};

}  // namespace detail

// A combinator: an operation made of others, which are polled in the order in which they are named. All that is named
// in it must outlive the await. A task has one place in each queue: the parts of one await must not wait for the same
// channel, event or the like.
//
// Waits until one of the operations has completed, and abandons the others: none of them leaves a waiter behind, or
// takes what it waited for. Returns a FirstOf.
// Errors:
//   ECANCELED  the task was cancelled. (An operation that has completed wins if it is named before the first pending
//              one.)
template <class... Op> detail::First<Op...> first_of(Op&&... operations) {
  return {std::tuple<Op...>(static_cast<Op&&>(operations)...)};
}

}  // namespace MOTE_NAMESPACE
}  // namespace mote

#endif  // MOTE_SYNC_FIRST_OF_HPP
