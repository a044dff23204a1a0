// SPDX-License-Identifier: MIT
// Copyright (c) 2026 The mote authors
// shield and Shield: keep a task from being cancelled for a while.
#ifndef MOTE_SYNC_SHIELD_HPP
#define MOTE_SYNC_SHIELD_HPP

#include <utility>  // move, forward, exchange

#include <mote/base/config.hpp>
#include <mote/base/poll.hpp>
#include <mote/task/operation.hpp>
#include <mote/task/poll_context.hpp>
#include <mote/task/task.hpp>
#include <mote/task/task_header.hpp>
#include <mote/task/task_ref.hpp>

namespace mote {
inline namespace MOTE_NAMESPACE {
namespace detail {

// The operation that shield() returns.
template <class Op> struct [[nodiscard]] Shielded {
  using ChargesItself = void;
  Poll<Answer<Op>> poll(Task& task) {
    const PollContext context(task);
    if (!context.is_abandoning()) context.shield_operation(true);
    Poll<Answer<Op>> result = poll_operation(operation, task);
    if (result.ready() || context.is_abandoning()) context.shield_operation(false);
    return result;
  }

  Op operation;
};

}  // namespace detail

// A combinator: an operation made of another. What is named in it must outlive the await.
//
// Runs the operation shielded: cancel() takes effect after it has completed. For a clean-up that must finish; a
// shutdown still destroys a task that outlasts the clean-up period. For more than one operation, see Shield. Errors:
// those of the operation.
template <class Op> detail::Shielded<Op> shield(Op&& operation) { return {static_cast<Op&&>(operation)}; }

// Shields its task from cancellation, from raise() until lower() or until it is destroyed: a cancel() meanwhile, or one
// that is pending, takes effect then. A task can have 255 at a time, which MOTE_ASSERT checks. The task may end before
// its shield is destroyed, but the pool of the task must not.
// Size on a 32-bit board: 8 bytes.
class Shield {
 public:
  Shield() = default;
  explicit Shield(Task& task) { raise(task); }
  Shield(const Shield&) = delete;
  Shield& operator=(const Shield&) = delete;
  ~Shield() { lower(); }

  void raise(Task& task) {  // no effect while it is raised, for whichever task
    if (task_.get() != nullptr) return;
    task_ = TaskRef(task);
    detail::TaskAccess::header(task).raise_shield();
  }
  void lower() {  // no effect while it is not raised
    Task* const task = task_.get();
    task_ = TaskRef();
    if (task != nullptr) detail::TaskAccess::header(*task).lower_shield();
  }
 private:
  TaskRef task_;
};

}  // namespace MOTE_NAMESPACE
}  // namespace mote

#endif  // MOTE_SYNC_SHIELD_HPP
