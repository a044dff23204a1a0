// SPDX-License-Identifier: MIT
// Copyright (c) 2026 The mote authors
// A task's place in a wait queue.
#ifndef MOTE_TASK_QUEUE_PLACE_HPP
#define MOTE_TASK_QUEUE_PLACE_HPP

#include <mote/base/config.hpp>
#include <mote/base/list.hpp>

namespace mote {
inline namespace MOTE_NAMESPACE {
class WaitQueue;
namespace detail {
struct TaskHeader;

// A task's place in a WaitQueue. It lies in the task's control block, so that waiting allocates nothing and a task that
// ends takes its places with it.
//
//   state     queue   linked   task    meaning
//   free      null    no       any     the task does not use it
//   waiting   set     yes      set     the task waits in the queue
//   released  set     no       set     the queue has let the task go: its next attempt is told so, and should succeed
//                                      even if what it waited for has been taken back by then
//   orphaned  set     no       null    the queue has been destroyed and must not be touched: the next attempt is
//                                      cancelled
struct QueuePlace : ListNode {
  bool is_released() const { return !linked(); }  // or orphaned; of a place that is not free
  bool is_orphaned() const { return !linked() && task == nullptr; }
  void leave();  // becomes free. If it was the first, the task that is first now is woken to look.
  // For a Handover: the heir has one that stands as this one does, at its position. Without room for one it has none,
  // and its next attempt is answered ENOBUFS.
  static void move_to(QueuePlace& self, TaskHeader& heir);

  WaitQueue* queue = nullptr;
  TaskHeader* task = nullptr;
};

}  // namespace detail
}  // namespace MOTE_NAMESPACE
}  // namespace mote

#endif  // MOTE_TASK_QUEUE_PLACE_HPP
