// SPDX-License-Identifier: MIT
// Copyright (c) 2026 The mote authors
// PollContext: the task that awaits, as writers of operations see it.
#ifndef MOTE_TASK_POLL_CONTEXT_HPP
#define MOTE_TASK_POLL_CONTEXT_HPP

#include <errno.h>  // errno and its names

#include <cstdint>      // integers of fixed width
#include <type_traits>  // checks at compile time
#include <utility>      // move, forward, exchange

#include <mote/base/config.hpp>
#include <mote/base/error.hpp>
#include <mote/base/exceptions.hpp>
#include <mote/base/poll.hpp>
#include <mote/task/queue_place.hpp>
#include <mote/task/task.hpp>
#include <mote/task/task_header.hpp>
#include <mote/task/wait_queue.hpp>
#include <mote/task/waiter.hpp>

namespace mote {
inline namespace MOTE_NAMESPACE {

// The task that awaits an operation, as the operation sees it: to be used within one attempt, and not kept. For your
// own operations see operation() and docs/operations.md. One that waits in one place needs none of this:
//
//   auto next_key() {
//     return mote::operation<int>(waiter_, "a key", [this] { return take_key(); });  // EAGAIN from take_key(): wait
//   }
//
// A task completes limits::operations_per_step operations in a step; then it is refused until its next turn, so that it
// does not keep the others from theirs. A cancellation takes the budget away: the next operation is refused, and
// returns ECANCELED. operation() sees to that. A type of your own with a poll(Task&) has to do it itself: proceed()
// before the work; then the work; if it cannot be done now, wait().
class PollContext {
 public:
  explicit PollContext(Task& task) : header_(&static_cast<detail::TaskHeader&>(task)) {}

  Task& task() const { return static_cast<Task&>(*header_); }
  void wake() const { header_->wake(); }

  // One attempt at something for which one task waits at a time. `get_result()` returns a Result; EAGAIN means that it
  // is not there yet, and then the task is noted in `waiter`. `what` says in words what is waited for.
  // Errors, besides those of get_result():
  //   EBUSY      another task waits there.
  //   ECANCELED  the task was cancelled. It does not wait any more.
  template <class GetResult, class R = std::decay_t<std::invoke_result_t<GetResult&>>>
  [[gnu::always_inline]] R attempt(Waiter& waiter, const char* what, GetResult&& get_result) const {
    return make_attempt<R>(*header_, waiter, what, get_result);
  }
  // One attempt at something for which many tasks wait, in order of arrival. `get_result(released)` is called when it
  // is this task's turn; `released` says that WaitQueue::release_all() has let it go.
  // Errors, besides those of get_result():
  //   ENOBUFS    the task waits in limits::queues_per_task queues already.
  //   ECANCELED  the task was cancelled, or the queue has been destroyed. It does not wait any more.
  template <class GetResult, class R = std::decay_t<std::invoke_result_t<GetResult&, bool>>>
  [[gnu::always_inline]] R attempt(WaitQueue& queue, const char* what, GetResult&& get_result) const {
    return make_attempt<R>(*header_, queue, what, get_result);
  }

  // Whether the operation may do its work. If not, `refusal` is what it has to return: detail::suspended (the task has
  // had its share and is queued again), or ECANCELED. It takes one operation from the task's budget.
  bool proceed(Error& refusal) const { return header_->proceed(refusal); }
  // The same for what may have completed already: it takes nothing from the budget, and a result that is there wins
  // over a cancellation.
  bool may_complete(Error& refusal) const {
    if (header_->may_complete()) return true;
    refusal = header_->refuse();
    return false;
  }
  // Takes one operation from the budget. False: there was none left.
  bool consume_budget() const { return header_->consume_budget(); }
  std::int32_t budget() const { return header_->budget; }
  // Makes room for one attempt, for parts of an operation that is made of several: those before it may have used up the
  // budget. Only where there was some before the first part: else the whole would always complete, and starve the other
  // tasks. Always inlined: g++ would call it once for each part.
  [[gnu::always_inline]] void ensure_attempt() const {
    if (header_->budget > 0 || is_cancelling() || is_abandoning()) return;
    header_->budget = 1;
  }
  // What an operation returns that fails before it has asked for budget: the error, which is charged; or a refusal.
  Error fail(Error error) const { return header_->fail(error); }
  // The refusal that proceed() stores where there is no budget: ECANCELED if a cancellation is pending, which then
  // counts as answered; else the task is queued again.
  Error refuse() const { return header_->refuse(); }
  // Notes the task as waiting and returns what the operation has to return; `what` says in words for what, by a string
  // that must outlive the wait.
  // Errors:
  //   EBUSY    (Waiter) another task waits there.
  //   ENOBUFS  (WaitQueue) the task waits in limits::queues_per_task queues already.
  Error wait(Waiter& waiter, const char* what) const {
    if (waiter.is_taken_by_another(*header_)) return Error(detail::Reason::awaited_by_another_task);
    waiter.wait(*header_);
    return suspend(what);
  }
  Error wait(WaitQueue& queue, const char* what) const { return queue.wait(*header_, what); }
  // Ends the task's wait there: where the operation was refused with ECANCELED, or is being abandoned. The next task of
  // a queue is woken to look. Where another task goes on with the coroutine that awaits, the wait becomes that task's.
  void leave(Waiter& waiter) const { waiter.leave(*header_); }
  void leave(WaitQueue& queue) const {
    if (detail::QueuePlace* const place = header_->place_in(&queue)) header_->leave(*place);
  }
  // What an operation returns that has noted the task as waiting elsewhere; `what` is a string that must outlive the
  // wait.
  Error suspend(const char* what) const { return header_->suspend(what); }
  // What the last attempt of this step that was pending waits for, in words.
  const char* waits_for() const { return header_->waits_for; }

  // Makes a pending operation leave the places where the task waits for it, and nothing else: it cannot complete, and
  // what else the task awaits stays pending. For operations that are made of others.
  template <class Op> void abandon(Op& operation) const {
    const std::int32_t budget = header_->budget;
    const bool outer = std::exchange(header_->abandoning, true);
    const auto restore = [this, budget, outer] {
      header_->abandoning = outer;
      // The operation may have cancelled its own task.
      header_->budget = is_cancelling() && budget > 0 ? 0 : budget;
    };
    detail::OnException restore_too(restore);
    header_->budget = 0;
    static_cast<void>(operation.poll(task()));
    restore_too.dismiss();
    restore();
  }
  // Whether this attempt is made only to leave: it must return ECANCELED or pending, and complete nothing.
  bool is_abandoning() const { return header_->abandoning; }
  // Whether, moreover, the coroutine that awaits goes on in another task, whose attempt comes next. So the operation is
  // not given up: it keeps what it has got so far.
  bool is_handing_over() const { return header_->handing_over; }

  // Whether a cancellation is pending: the next operation that is refused returns ECANCELED.
  bool is_cancelling() const { return header_->is_cancelling(); }
  // Makes a cancellation pending, whatever the shields, and wakes nobody.
  void request_cancellation() const { header_->request_cancellation(); }
  // The pending cancellation counts as answered, and the task has a full budget again.
  void acknowledge_cancellation() const { header_->acknowledge_cancellation(); }
  // As Task::cancel(): wakes the task, and shields hold it back.
  void cancel() const { header_->cancel(); }
  // Whether a shield has held a cancellation back. If so, the caller takes it over: it is not held any more.
  bool take_held_cancellation() const { return std::exchange(header_->cancel_held, false); }
  // Holds cancellations back until the operation that is pending completes, or is abandoned.
  void shield_operation(bool on) const {
    const bool was_on = std::exchange(header_->operation_shielded, on);
    if (was_on == on) return;
    if (on) header_->raise_shield();
    else header_->lower_shield();
  }
  // Whether such a shield is up: for a chain of coroutines, which keeps one of its own.
  bool& operation_shielded() const { return header_->operation_shielded; }

  // For the library.
  detail::TaskHeader& header() const { return *header_; }
  detail::TaskHeader& heir() const { return header_->handover->heir; }  // while it hands over
  // abandon(), for another task to go on with the operation.
  template <class Op> void hand_over(Op& operation, detail::Handover& handover) const {
    const Instant since = header_->since;
    header_->handover = &handover;
    header_->handing_over = true;
    const auto restore = [this, since] {
      header_->handing_over = false;
      header_->since = since;
    };
    detail::OnException restore_too(restore);
    abandon(operation);
    restore_too.dismiss();
    restore();
  }
 private:
  // attempt(), as functions of the control block: called out of line, a PollContext would have to lie in memory.
  template <class R, class GetResult>
  static R make_attempt(detail::TaskHeader& task, Waiter& waiter, const char* what, GetResult& get_result) {
    if (!task.may_complete()) return refuse(task, waiter);
    R result = get_result();
    if (result || result.error() != EAGAIN) {
      if (waiter.names(task)) waiter.wait_again(0);  // something else may have woken the task
      task.consume_budget();
      return result;
    }
    if (!task.consume_budget()) return refuse(task, waiter);  // cancelled, and no result was there to win
    if (waiter.is_taken_by_another(task)) return Error(detail::Reason::awaited_by_another_task);
    waiter.wait(task);
    return task.suspend(what);
  }
  template <class R, class GetResult>
  static R make_attempt(detail::TaskHeader& task, WaitQueue& queue, const char* what, GetResult& get_result) {
    detail::QueuePlace* const place = task.place_in(&queue);
    const bool released = place != nullptr && place->is_released();
    if (released && place->is_orphaned()) {
      task.leave(*place);
      return Error(ECANCELED);
    }
    if (!task.may_complete()) {
      const Error refusal = task.refuse();
      // The place is the only record of the release: keep it for the next attempt.
      if (released && refusal != ECANCELED) return refusal;
      return queue.refuse(task, place, refusal);
    }
    if (released || queue.is_next(place)) {
      R result = get_result(released);
      if (result || result.error() != EAGAIN) {
        if (place != nullptr) place->leave();
        task.consume_budget();
        return result;
      }
    }
    if (!task.consume_budget()) return queue.refuse(task, place, task.refuse());
    return queue.wait(task, what);
  }
  // Of an attempt that may not be made. Not inlined, so that make_attempt() is small enough to be inlined.
  [[gnu::noinline]] static Error refuse(detail::TaskHeader& task, Waiter& waiter) {
    const Error refusal = task.refuse();
    if (refusal == ECANCELED) waiter.leave(task);
    return refusal;
  }

  detail::TaskHeader* header_;
};

}  // namespace MOTE_NAMESPACE
}  // namespace mote

#endif  // MOTE_TASK_POLL_CONTEXT_HPP
