// SPDX-License-Identifier: MIT
// Copyright (c) 2026 The mote authors
// The record of which task uses an object, from one attempt to the next.
#ifndef MOTE_TASK_TASK_USE_HPP
#define MOTE_TASK_TASK_USE_HPP

#include <cstdint>  // integers of fixed width

#include <mote/base/config.hpp>
#include <mote/task/task_header.hpp>
#include <mote/task/waiter.hpp>

namespace mote {
inline namespace MOTE_NAMESPACE {
namespace detail {

// The record of which task uses an object: the base of an object in which a task leaves something from one attempt to
// the next (a timer that runs, a tick that has come). What it awaits is never 0 while the object is used, whether the
// task waits in it or not: so another task is told EBUSY also between the wake-up and the step of the one that uses it.
//
// Invariant: the object is used exactly as long as this names a task. When that task ends, `when_ended` is called, and
// the object ends the use as it does everywhere else.
// Size on a 32-bit board: 20 bytes.
class TaskUse : public Waiter {
 public:
  // A bit of what is awaited, by which end() knows a TaskUse: no other Waiter may set it. The other bits are the
  // object's own.
  static constexpr std::uint32_t in_use = 0x80000000u;

  // The task uses the object from now on.
  void use(TaskHeader& task, std::uint32_t what, void (*when_ended)(TaskUse&)) {
    ended_ = when_ended;
    wait(task, in_use | what);
  }
  // For the scheduler: the task that the waiter names ends.
  static void end(Waiter& waiter) {
    const bool is_use = (waiter.awaited() & in_use) != 0;
    waiter.clear();
    if (!is_use) return;
    auto& self = static_cast<TaskUse&>(waiter);
    self.ended_(self);
  }
 private:
  void (*ended_)(TaskUse&) = nullptr;
};

}  // namespace detail
}  // namespace MOTE_NAMESPACE
}  // namespace mote

#endif  // MOTE_TASK_TASK_USE_HPP
