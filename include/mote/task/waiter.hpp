// SPDX-License-Identifier: MIT
// Copyright (c) 2026 The mote authors
// A place where one task can be noted as waiting.
#ifndef MOTE_TASK_WAITER_HPP
#define MOTE_TASK_WAITER_HPP

#include <cstdint>  // integers of fixed width

#include <mote/base/config.hpp>
#include <mote/base/list.hpp>

namespace mote {
inline namespace MOTE_NAMESPACE {
namespace detail {
struct TaskHeader;
}

// A place where one task at a time can be noted as waiting: a member of what one task can wait for. An operation notes
// its task with PollContext::attempt(); code that makes available what is waited for calls notify().
//
// Neither side dangles: a task that ends leaves all the waiters that name it, and the owner of a waiter calls clear()
// in its destructor. After a wake-up the waiter still names its task, so that waiting again for the same thing costs
// two stores. Everything is O(1).
// Size on a 32-bit board: 16 bytes.
class Waiter : public detail::ListNode {
 public:
  // Wakes the task that waits, if one does. Returns whether there was one.
  bool notify() {
    if (awaited_ == 0) return false;
    wake();
    return true;
  }
  // Wakes the task that waits: there must be one.
  void wake();
  // Names no task any more, and wakes none. It is linked exactly as long as it names a task.
  void clear() {
    if (!linked()) return;
    unlink();
    task_ = nullptr;
    awaited_ = 0;
  }

  bool is_waiting() const { return awaited_ != 0; }
  // What the task waits for, as bits where there are several things; 0: it does not wait now.
  std::uint32_t awaited() const { return awaited_; }
  bool has_task() const { return task_ != nullptr; }
  const detail::TaskHeader* task() const { return task_; }  // null: it names none

  // For the library: PollContext::attempt() does this for operations.
  void wait(detail::TaskHeader& task, std::uint32_t what = 1) {
    if (task_ != &task) attach(task);
    awaited_ = what;
  }
  void wait_again(std::uint32_t what) { awaited_ = what; }  // of the task that it names already
  bool names(const detail::TaskHeader& task) const { return task_ == &task; }
  bool is_taken_by_another(const detail::TaskHeader& task) const { return awaited_ != 0 && task_ != &task; }
  // Names that task no more. Where it hands a coroutine over, the other task is named instead, as waiting as it was.
  void leave(const detail::TaskHeader& task);
  // For a Handover.
  static void move_to(Waiter& self, detail::TaskHeader& heir) { self.wait(heir, self.awaited_); }
 private:
  void attach(detail::TaskHeader& task);

  detail::TaskHeader* task_ = nullptr;
  std::uint32_t awaited_ = 0;
};

}  // namespace MOTE_NAMESPACE
}  // namespace mote

#endif  // MOTE_TASK_WAITER_HPP
