// SPDX-License-Identifier: MIT
// Copyright (c) 2026 The mote authors
// TaskRef: names a task that may have ended.
#ifndef MOTE_TASK_TASK_REF_HPP
#define MOTE_TASK_TASK_REF_HPP

#include <cstdint>  // integers of fixed width

#include <mote/base/config.hpp>
#include <mote/task/task.hpp>
#include <mote/task/task_header.hpp>

namespace mote {
inline namespace MOTE_NAMESPACE {

// Names a task without keeping its slot: to cancel or wake a task that may have ended, and whose slot another one may
// use by now. The pool must outlive it.
// Size on a 32-bit board: 8 bytes.
class TaskRef {
 public:
  TaskRef() = default;
  explicit TaskRef(Task& task)
      : task_(&detail::TaskAccess::header(task)), generation_(detail::TaskAccess::header(task).generation) {}

  bool names(const Task& task) const {
    const detail::TaskHeader& header = detail::TaskAccess::header(task);
    return task_ == &header && generation_ == header.generation;
  }
  // Null once the task has ended.
  Task* get() const {
    if (task_ == nullptr || task_->generation != generation_ || !task_->is_live()) return nullptr;
    return &detail::TaskAccess::task(*task_);
  }
  // Returns whether there was a task to cancel.
  bool cancel() const {
    Task* const task = get();
    if (task == nullptr) return false;
    task->cancel();
    return true;
  }
  // Returns whether there was a task to wake.
  bool wake() const {
    Task* const task = get();
    if (task == nullptr) return false;
    task->wake();
    return true;
  }
 private:
  detail::TaskHeader* task_ = nullptr;
  std::uint32_t generation_ = 0;
};

}  // namespace MOTE_NAMESPACE
}  // namespace mote

#endif  // MOTE_TASK_TASK_REF_HPP
