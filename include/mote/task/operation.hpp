// SPDX-License-Identifier: MIT
// Copyright (c) 2026 The mote authors
// Operations: what can be awaited.
#ifndef MOTE_TASK_OPERATION_HPP
#define MOTE_TASK_OPERATION_HPP

#include <errno.h>  // errno and its names

#include <cstdint>      // integers of fixed width
#include <type_traits>  // checks at compile time
#include <utility>      // move, forward, exchange

#include <mote/base/assert.hpp>
#include <mote/base/config.hpp>
#include <mote/base/error.hpp>
#include <mote/base/poll.hpp>
#include <mote/base/result.hpp>
#include <mote/task/poll_context.hpp>
#include <mote/task/task.hpp>
#include <mote/task/wait_queue.hpp>
#include <mote/task/waiter.hpp>

namespace mote {
inline namespace MOTE_NAMESPACE {

// What is awaited: what the library's functions with return type `auto` return. poll() makes one attempt, which either
// returns the Result<T>, or notes the task as waiting and returns pending; then the next attempt is made in the task's
// next step. So a wake-up for nothing is harmless. MOTE_AWAIT makes the operation anew for each attempt, so it must
// keep no state from one attempt to the next: state lies in an object with a name of its own (a stream, a timer).
template <class T, class Attempt> struct [[nodiscard]] Operation {
  using ChargesItself = void;
  Poll<Result<T>> poll(Task& task) { return attempt(PollContext(task)); }

  Attempt attempt;  // called with a PollContext; returns a Result<T>, or an Error, or a Poll<Result<T>>
};

namespace detail {

// An operation that keeps the rules of PollContext by itself, as the library's own do: nothing is added to it.
template <class T, class Attempt> Operation<T, Attempt> make_operation(Attempt attempt) { return {attempt}; }

// For GuardedOperation: there is no function of its own to leave by.
struct LeavesByAttempt {
  void operator()(PollContext /*context*/) const {}
};

// One attempt that keeps the rules of PollContext, whatever `attempt()` does about them: it is made only when it may
// complete, what it completes is charged to the task, and a cancellation is answered. `leave()` ends the task's wait.
template <class P, class Attempt, class Leave> P guarded_attempt(PollContext context, Attempt attempt, Leave leave) {
  Error refusal;
  if (!context.may_complete(refusal)) {
    if (refusal == ECANCELED) leave();
    return refusal;
  }
  const bool was_cancelling = context.is_cancelling();
  const std::int32_t budget = context.budget();
  P result = attempt();
  if (result.ready()) {
    const bool is_charged = context.budget() < budget;
    if (!is_charged) static_cast<void>(context.consume_budget());
    return result;
  }
  if (!was_cancelling || !context.is_cancelling()) return result;
  leave();  // none of what it is made of has answered the cancellation
  return context.refuse();
}

// An operation whose functions need not keep the rules.
template <class T, class Attempt, class Leave> struct [[nodiscard]] GuardedOperation {
  using ChargesItself = void;
  Poll<Result<T>> poll(Task& task) {
    const PollContext context(task);
    if (context.is_abandoning()) return give_up(context);
    Poll<Result<T>> result = guarded_attempt<Poll<Result<T>>>(
        context, [this, context]() -> Poll<Result<T>> { return attempt(context); },
        [this, context] { context.abandon(*this); });
    if (result.ready()) leave(context);  // the task may still wait for another part, or stand in a queue
    return result;
  }
  // Leaves where the task waits. Only where there is no function for that an attempt is made.
  Poll<Result<T>> give_up(PollContext context) {
    if constexpr (std::is_same<Leave, LeavesByAttempt>::value) {
      Poll<Result<T>> result = attempt(context);
      const bool has_completed = result.ready() && *result;
      MOTE_ASSERT(!has_completed &&
                  "an operation completed while it was given up, so what it took is lost: "
                  "write operation<T>(place, words, take) or operation<T>(attempt, leave)");
      static_cast<void>(has_completed);
    } else {
      leave(context);
    }
    return Error(ECANCELED);
  }

  Attempt attempt;
  Leave leave;
};

}  // namespace detail

// ---- operations of your own: see docs/operations.md ----
//
// However it is made, an attempt that completes takes one operation from the task's budget
// (limits::operations_per_step), so that it does not keep other tasks from their turn; a cancellation makes it return
// ECANCELED, unless it can complete at once; and `take` or `attempt` is not called when the operation is given up, by
// first_of() or a timeout: so what has been taken is always returned to the task. All is for the loop's thread, and
// O(1).

// Waits in one place until there is something to take: a T.
// `operation<int>(waiter_, "a key", [this] { return take_key(); })`. `take()` returns a Result<T>; EAGAIN means that it
// is not there yet: then the task waits until waiter.notify(), and `take` is called again. `what` says in words what is
// waited for, by a string that must outlive the wait: Task::waits_for() returns it.
// Errors, besides those of `take`:
//   EBUSY      another task waits there.
//   ECANCELED  the task was cancelled. It does not wait any more.
template <class T, class Take> auto operation(Waiter& waiter, const char* what, Take take) {
  return detail::make_operation<T>([&waiter, what, take](PollContext context) mutable {
    return context.attempt(waiter, what, [&take]() -> Result<T> { return take(); });
  });
}
// The same for many tasks, which are served in order of arrival: `take` is called when it is this task's turn. It may
// have a parameter, a bool: whether WaitQueue::release_all() has let the task go, which should then succeed.
// Errors, besides those of `take`:
//   ENOBUFS    the task waits in limits::queues_per_task queues already.
//   ECANCELED  the task was cancelled, or the queue has been destroyed. It does not wait any more.
template <class T, class Take> auto operation(WaitQueue& queue, const char* what, Take take) {
  return detail::make_operation<T>([&queue, what, take](PollContext context) mutable {
    return context.attempt(queue, what, [&take](bool released) -> Result<T> {
      if constexpr (std::is_invocable<Take&, bool>::value) return take(released);
      else return take();
    });
  });
}
// An operation that is made of others, or waits in more than one place. `attempt(context)` makes one attempt, and
// returns a Result<T>, or what PollContext::wait() returns, or `pending` where another operation's poll() was.
// `leave(context)` is called when the operation ends, be it completed, cancelled or given up: it calls
// context.abandon() for each operation that may be pending, and context.leave() for each place; where the task does not
// wait, these do nothing. What an attempt has got so far lies in an object that outlives it.
// Errors, besides those of `attempt`:
//   ECANCELED  the task was cancelled. It does not wait any more.
template <class T, class Attempt, class Leave>
detail::GuardedOperation<T, Attempt, Leave> operation(Attempt attempt, Leave leave) {
  return {attempt, leave};
}
// The former way, in which each attempt has to ask PollContext::is_abandoning() before it takes something. What it
// takes while it is given up is lost, which MOTE_ASSERT reports. It is charged as the others are.
template <class T, class Attempt>
[[deprecated(
    "write operation<T>(place, words, take) or operation<T>(attempt, leave): these lose nothing when first_of() "
    "gives them up")]] detail::GuardedOperation<T, Attempt, detail::LeavesByAttempt>
operation(Attempt attempt) {
  return {attempt, {}};
}

namespace detail {

template <class R> struct ValueOf;
template <class T> struct ValueOf<Result<T>> { using Type = T; };
template <class T> struct IsResult : std::false_type {};
template <class T> struct IsResult<Result<T>> : std::true_type {};
// What an operation returns, be it an Operation or another type with a poll(): a Result<T>, and its T.
template <class Op> using Answer = typename decltype(std::declval<Op&>().poll(std::declval<Task&>()))::value_type;
template <class Op> using Awaited = typename ValueOf<Answer<Op>>::Type;

// Whether operations of this type keep the rules of PollContext by themselves: those that operation() makes, and the
// library's own. They have a member type of this name. Others, of a user's own type, are guarded by who awaits them.
template <class Op, class = void> struct ChargesItself : std::false_type {};
template <class Op> struct ChargesItself<Op, typename Op::ChargesItself> : std::true_type {};

// By this, whoever awaits an operation makes an attempt.
template <class Op> [[gnu::always_inline]] inline auto poll_operation(Op&& operation, Task& task) {
  static_assert(IsResult<Answer<Op>>::value, "an operation's poll() returns a Poll<Result<T>>");
  if constexpr (ChargesItself<std::decay_t<Op>>::value) {
    return operation.poll(task);
  } else {
    using P = Poll<Answer<Op>>;
    const PollContext context(task);
    if (context.is_abandoning()) return P(operation.poll(task));
    return guarded_attempt<P>(
        context, [&operation, &task]() -> P { return operation.poll(task); },
        [&operation, context] { context.abandon(operation); });
  }
}

}  // namespace detail

}  // namespace MOTE_NAMESPACE
}  // namespace mote

#endif  // MOTE_TASK_OPERATION_HPP
