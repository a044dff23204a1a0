// SPDX-License-Identifier: MIT
// Copyright (c) 2026 The mote authors
// The right to await a task's end, and to cancel it.
#ifndef MOTE_TASK_TASK_HANDLE_HPP
#define MOTE_TASK_TASK_HANDLE_HPP

#include <errno.h>  // errno and its names

#include <utility>  // move, forward, exchange

#include <mote/base/config.hpp>
#include <mote/base/error.hpp>
#include <mote/base/exceptions.hpp>
#include <mote/base/result.hpp>
#include <mote/task/operation.hpp>
#include <mote/task/poll_context.hpp>
#include <mote/task/scheduler.hpp>
#include <mote/task/step.hpp>
#include <mote/task/task.hpp>
#include <mote/task/task_header.hpp>

namespace mote {
inline namespace MOTE_NAMESPACE {
namespace detail {
struct HandleAccess;
}

// The right to await a task's end, and to cancel it. While it is held, the task's slot stays taken after its end, to
// keep the outcome; the task's own object is destroyed by then. When it is dropped, the task goes on alone, and a
// failure is reported to the reactor's observer. If the pool is destroyed first, the handle becomes empty. Movable: a
// join() that is pending by it then ends at once, as it does when the handle is detached or given another task.
// Size on a 32-bit board: 12 bytes.
class TaskHandle : detail::TaskHolder {
 public:
  TaskHandle() = default;
  TaskHandle(TaskHandle&& other) noexcept { take(other); }
  TaskHandle& operator=(TaskHandle&& other) noexcept {
    if (this == &other) return *this;
    drop();
    take(other);
    return *this;
  }
  ~TaskHandle() { drop(); }

  explicit operator bool() const { return task != nullptr; }
  Task* get() const { return task != nullptr ? &detail::TaskAccess::task(*task) : nullptr; }  // null: an empty handle
  void detach() { detail::Scheduler::detach(*this); }                                         // becomes empty
  // Task::cancel(). Does nothing if the handle is empty.
  void cancel() {
    if (task != nullptr) task->cancel();
  }
  // Ends the task at once: its object is destroyed, wherever it waits, and its outcome is `cancelled`. May throw what
  // the task's observers throw. O(places where it waits).
  // Errors:
  //   EBUSY  it is the running task: let it return done() instead.
  //   ESRCH  it has ended, or the handle is empty.
  Result<void> destroy() {
    if (task == nullptr || !task->is_live()) return Error(detail::Reason::task_has_ended);
    detail::Scheduler& scheduler = *task->store->scheduler();
    if (scheduler.is_running(*task)) return Error(detail::Reason::task_is_running);
    scheduler.destroy(*task);
    return {};
  }
  // Whether the task has not ended yet. Not of an empty handle.
  bool is_alive() const { return task != nullptr && task->is_live(); }
  // Of kind `none` while the task is alive. To look at a failure does not take it: it is reported to the observer all
  // the same when the handle is dropped. join() takes it.
  Outcome outcome() const {
    if (task == nullptr || task->state != detail::TaskHeader::State::finished) return {};
    if (task->code == 0) return {Outcome::Kind::done, {}};
    return {task->code == ECANCELED ? Outcome::Kind::cancelled : Outcome::Kind::failed,
            detail::ErrorAccess::error(task->code)};
  }
  // Completes when the task has ended. Returns its outcome, and the handle becomes empty.
  // Errors:
  //   EINVAL     the handle is empty. Or it was detached, moved or given another task while the join was pending: the
  //              task that waits is told so once, in its next step. The task that it waited for goes on.
  //   EBUSY      another task awaits this one.
  //   ECANCELED  the task that waits was cancelled. The handle is as it was.
  auto join() {
    return detail::make_operation<Outcome>([this](PollContext context) -> Result<Outcome> {
      if (take_interruption(context)) {
        return take_cancellation(context) ? Error(ECANCELED) : Error(detail::Reason::handle_is_empty);
      }
      if (task == nullptr) return context.fail(Error(detail::Reason::handle_is_empty));
      const Result<Outcome> ended =
          context.attempt(task->joiner, "the end of a task", [this, context] { return take_outcome(context); });
      // Until its next turn, where the task had no budget: see interrupt_join().
      const bool is_postponed = !ended && ended.error() == detail::suspended && !task->joiner.has_task();
      if (is_postponed) task->joiner.wait(context.header(), 0);
      return ended;
    });
  }
 private:
  friend struct detail::HandleAccess;
  // As detach(), where nothing may be thrown: what the observer throws is dropped.
  void drop() noexcept {
    detail::drop_exceptions([this] { detach(); });
  }
  bool take_interruption(PollContext context) {
    if (interrupted != context.header().serial()) return false;
    interrupted = context.header().heir_serial();
    return true;
  }
  static bool take_cancellation(PollContext context) {
    if (!context.is_cancelling() || context.is_abandoning()) return false;
    context.acknowledge_cancellation();
    return true;
  }
  Result<Outcome> take_outcome(PollContext context) {
    const Outcome ended = outcome();
    if (ended.kind == Outcome::Kind::none) return Error(EAGAIN);
    task->code = 0;                        // the outcome has been taken: no failure is left to be reported
    task->joiner.leave(context.header());  // its join() is not pending any more
    detach();
    return ended;
  }
  void take(TaskHandle& other) {
    task = std::exchange(other.task, nullptr);
    if (task == nullptr) return;
    task->holder = this;
    if (task->joiner.has_task()) detail::Scheduler::interrupt_join(other, *task);
  }
};

namespace detail {
// Converts a handle to what the scheduler knows of it, and back: for the library.
struct HandleAccess {
  static TaskHolder& holder(TaskHandle& handle) { return handle; }
  static TaskHandle& handle(TaskHolder& holder) { return static_cast<TaskHandle&>(holder); }
};
}  // namespace detail

}  // namespace MOTE_NAMESPACE
}  // namespace mote

#endif  // MOTE_TASK_TASK_HANDLE_HPP
