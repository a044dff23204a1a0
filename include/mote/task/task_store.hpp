// SPDX-License-Identifier: MIT
// Copyright (c) 2026 The mote authors
// The slots of a task pool, whatever its tasks' type and number.
#ifndef MOTE_TASK_TASK_STORE_HPP
#define MOTE_TASK_TASK_STORE_HPP

#include <cstddef>  // size_t, ptrdiff_t
#include <cstdint>  // integers of fixed width
#include <utility>  // move, forward, exchange

#include <mote/base/config.hpp>
#include <mote/base/list.hpp>
#include <mote/task/step.hpp>
#include <mote/task/task_header.hpp>
#include <mote/task/wait_queue.hpp>

namespace mote {
inline namespace MOTE_NAMESPACE {
namespace detail {

class Scheduler;

// What the tasks of one pool have in common.
struct TaskType {
  Step (*step)(TaskHeader&);
  void (*destroy)(TaskHeader&);  // ends the lifetime of the task's object
  const char* (*name)(TaskHeader&);
  std::uint32_t slot_size;  // in bytes
  std::uint32_t capacity;
};

// The slots of one pool. Untouched slots stay untouched: a new one is used only when no other is free, and the one that
// became free last is used first, since its memory is in the cache. All-zero bits are a valid empty state.
class TaskStore : public ListNode {
 public:
  std::uint32_t used() const { return used_; }
  std::uint32_t fresh() const { return fresh_; }  // slots from this one on have never been used
  Scheduler* scheduler() const { return scheduler_; }
  const TaskType& type() const { return *type_; }
  WaitQueue& vacancy() { return vacancy_; }
  void set_source_file(const char* file) { source_file_ = file; }
  const char* source_file() const { return source_file_; }

  // Called for the first task, or the first one of this scheduler.
  void bind(Scheduler& scheduler, void* storage, const TaskType& type) {
    scheduler_ = &scheduler;
    slots_ = storage;
    stride_ = type.slot_size;
    type_ = &type;
  }
  void unbind() { scheduler_ = nullptr; }

  // Takes a free slot. Null: all are taken.
  TaskHeader* claim(const TaskType& type) {
    TaskHeader* task = free_;
    if (task != nullptr) {
      free_ = static_cast<TaskHeader*>(std::exchange(task->next, nullptr));
    } else {
      if (fresh_ == type.capacity) return nullptr;
      task = &at(fresh_++);
      task->store = this;
    }
    ++used_;
    return task;
  }
  void release(TaskHeader& task) {
    task.state = TaskHeader::State::free;
    task.joiner.clear();
    task.next = free_;
    free_ = &task;
    --used_;
    vacancy_.notify();
  }

  TaskHeader& at(std::uint32_t i) const {
    auto* const bytes = static_cast<unsigned char*>(slots_) + std::size_t{i} * stride_;
    return *static_cast<TaskHeader*>(static_cast<void*>(bytes));
  }
 private:
  Scheduler* scheduler_ = nullptr;  // null: it has had no task yet
  void* slots_ = nullptr;
  const TaskType* type_ = nullptr;
  TaskHeader* free_ = nullptr;         // linked by `next` alone
  WaitQueue vacancy_;                  // tasks that wait for a free slot
  const char* source_file_ = nullptr;  // of the tasks' step(); null: not known
  std::uint32_t stride_ = 0;           // from one slot to the next, in bytes
  std::uint32_t used_ = 0;
  std::uint32_t fresh_ = 0;
};

}  // namespace detail
}  // namespace MOTE_NAMESPACE
}  // namespace mote

#endif  // MOTE_TASK_TASK_STORE_HPP
