// SPDX-License-Identifier: MIT
// Copyright (c) 2026 The mote authors
// RunQueue: tasks that are to be stepped. Which queue is stepped when: Scheduler::run_ready_tasks().
#ifndef MOTE_TASK_RUN_QUEUE_HPP
#define MOTE_TASK_RUN_QUEUE_HPP

#include <mote/base/assert.hpp>
#include <mote/base/config.hpp>
#include <mote/base/list.hpp>

namespace mote {
inline namespace MOTE_NAMESPACE {
namespace detail {

struct TaskHeader;

// Tasks in the order in which they were woken. Unlike other lists it is closed to a ring by start(), before its first
// use, so that push() and pop(), which are on the way of every message, need not ask whether it is one.
struct RunQueue : List<TaskHeader> {
  void start() { ring(); }
  bool empty() const { return head_.next == &head_; }

  void push(ListNode& node) {
    MOTE_ASSERT(!node.linked() && head_.linked() && "a task was queued by another thread: use a Waker or a Mailbox");
    ListNode* const last = head_.prev;
    node.next = &head_;
    head_.prev = &node;
    last->next = &node;
    node.prev = last;
  }

  // Takes the first one. The queue must not be empty.
  TaskHeader* pop();  // defined in task_header.hpp

  // Moves all of `other`, which must not be empty, into this queue, which must be.
  void move_all_from(RunQueue& other) {
    ListNode* const first = other.head_.next;
    ListNode* const last = other.head_.prev;
    head_.next = first;
    first->prev = &head_;
    other.head_.next = &other.head_;
    head_.prev = last;
    last->next = &head_;
    other.head_.prev = &other.head_;
  }
};

}  // namespace detail
}  // namespace MOTE_NAMESPACE
}  // namespace mote

#endif  // MOTE_TASK_RUN_QUEUE_HPP
