// SPDX-License-Identifier: MIT
// Copyright (c) 2026 The mote authors
// all_of: waits until several operations have completed.
#ifndef MOTE_SYNC_ALL_OF_HPP
#define MOTE_SYNC_ALL_OF_HPP

#include <errno.h>  // errno and its names

#include <cstddef>  // size_t, ptrdiff_t
#include <cstdint>  // integers of fixed width
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
namespace detail {
template <class... Op> struct All;
}

// The results of all_of(), each stored when its operation completes: a named object that outlives the await. If the
// await is abandoned midway (by with_timeout(), or by the end of its task), the next one, of whichever task, goes on
// with the operations that have not completed, so that no result is lost; reset() to begin anew.
// Size: that of the results, and 4 bytes.
template <class... T> class AllOf {
 public:
  template <std::size_t Index> auto& get() { return std::get<Index>(results_); }  // EAGAIN until it has completed
  bool is_complete(std::size_t i) const { return (complete_ >> i & 1u) != 0; }
  void reset() { *this = AllOf(); }
 private:
  template <class... Op> friend struct detail::All;
  static_assert(sizeof...(T) >= 1 && sizeof...(T) < 32, "1 to 31 operations");
  static constexpr std::uint32_t all = (1u << sizeof...(T)) - 1;

  std::tuple<Result<T>...> results_{Result<T>(Error(EAGAIN))...};
  std::uint32_t complete_ = 0;  // bit i: operation i has completed
};

namespace detail {

// The operation that all_of() returns: each poll() is one more attempt at the parts that have not completed. Folds over
// `I` do the same for each part, in the order in which the parts are named.
//
// A cancellation of the task is passed on to each part that is pending: it is requested anew before each part's
// attempt, since a part that returns ECANCELED thereby acknowledges it. A part that is shielded holds it back instead.
template <class... Op> struct [[nodiscard]] All {
  using ChargesItself = void;
  Poll<Result<void>> poll(Task& task) { return poll_parts(task, std::index_sequence_for<Op...>()); }

  struct Cancellation {
    const bool requested;   // when the attempt began
    const bool is_due;      // a result has won over it already: see TaskHeader::may_complete()
    bool answered = false;  // by a part
    bool held = false;      // by a part's shield
  };

  template <std::size_t... Index> Poll<Result<void>> poll_parts(Task& task, std::index_sequence<Index...>) {
    const PollContext context(task);
    if (context.is_abandoning()) {
      (leave<Index>(task), ...);
      return pending;
    }
    if (results.complete_ == results.all) results.reset();  // a new await: the last one has completed
    Cancellation cancellation{context.is_cancelling(), context.budget() < 0};
    PartsAttempt parts(context);
    (poll_part<Index>(context, cancellation, parts), ...);
    if (cancellation.answered || cancellation.held) context.acknowledge_cancellation();
    // Every pending part is shielded: cancel() holds it back until a shield is lowered.
    if (cancellation.held && !cancellation.answered) context.cancel();
    if (results.complete_ != results.all) return parts.suspend();
    Result<void> first_error;
    (note_error<Index>(first_error), ...);
    return first_error;
  }
  template <std::size_t Index> void leave(Task& task) {
    if (!results.is_complete(Index)) static_cast<void>(std::get<Index>(operations).poll(task));
  }
  template <std::size_t Index> void poll_part(PollContext context, Cancellation& cancellation, PartsAttempt& parts) {
    if (results.is_complete(Index)) return;
    // A part polled before this one has just cancelled the task: all parts are told at the next attempt.
    if (!cancellation.requested && context.is_cancelling()) return;
    if (cancellation.requested) context.request_cancellation();
    if (cancellation.requested && cancellation.is_due) static_cast<void>(context.consume_budget());
    parts.begin_part();
    auto result = poll_operation(std::get<Index>(operations), context.task());
    if (cancellation.requested && !context.is_cancelling()) {
      if (context.take_held_cancellation()) cancellation.held = true;
      else cancellation.answered = true;
    }
    if (!result.ready()) return parts.note_pending();
    results.template get<Index>() = std::move(*result);
    results.complete_ |= 1u << Index;
  }
  template <std::size_t Index> void note_error(Result<void>& first_error) {
    const auto& result = results.template get<Index>();
    if (first_error && !result) first_error = result.error();
  }

  AllOf<Awaited<Op>...>& results;
  std::tuple<Op...> operations;
};

}  // namespace detail

// A combinator: an operation made of others, which are polled in the order in which they are named. All that is named
// in it must outlive the await. A task has one place in each queue: the parts of one await must not wait for the same
// channel, event or the like.
//
// Waits until all of the operations have completed, whether or not they succeed: their results are in `results`.
// Returns success if all of them succeeded, else the error of the first one named that did not. A cancellation is
// passed on to each that is pending.
template <class... Op> detail::All<Op...> all_of(AllOf<detail::Awaited<Op>...>& results, Op&&... operations) {
  return {results, std::tuple<Op...>(static_cast<Op&&>(operations)...)};
}

}  // namespace MOTE_NAMESPACE
}  // namespace mote

#endif  // MOTE_SYNC_ALL_OF_HPP
