// SPDX-License-Identifier: MIT
// Copyright (c) 2026 The mote authors
// Names a task that may have ended.
#ifndef MOTE_TASK_TASK_REF_HPP
#define MOTE_TASK_TASK_REF_HPP

#include <cstdint>  // integers of fixed width

#include <mote/base/config.hpp>
#include <mote/task/task.hpp>
#include <mote/task/task_header.hpp>

namespace mote {
inline namespace MOTE_NAMESPACE {

// Names a task without keeping anything: to cancel or wake one that may have ended, and whose slot another may use by
// now. The pool must outlive it. Size on a 32-bit board: 8 bytes.
class TaskRef {
 public:
  TaskRef() = default;
  explicit TaskRef(Task& task)
      : task_(&detail::TaskAccess::header(task)), generation_(detail::TaskAccess::header(task).generation) {}

  bool names(const Task& task) const {
    const detail::TaskHeader& header = detail::TaskAccess::header(task);
    return task_ == &header && generation_ == header.generation;
  }
  Task* get() const {  // null once it has ended
    if (task_ == nullptr || task_->generation != generation_ || !task_->is_live()) return nullptr;
    return &detail::TaskAccess::task(*task_);
  }
  bool cancel() const {  // whether there was a task to cancel
    Task* const task = get();
    if (task == nullptr) return false;
    task->cancel();
    return true;
  }
  bool wake() const {  // whether there was a task to wake
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
