// SPDX-License-Identifier: MIT
// Copyright (c) 2026 The mote authors
// The control block of a task: what the scheduler and operations know of it.
#ifndef MOTE_TASK_TASK_HEADER_HPP
#define MOTE_TASK_TASK_HEADER_HPP

#include <cstdint>  // integers of fixed width

#include <mote/base/assert.hpp>
#include <mote/base/config.hpp>
#include <mote/base/error.hpp>
#include <mote/base/list.hpp>
#include <mote/base/poll.hpp>
#include <mote/system/clock.hpp>
#include <mote/task/queue_place.hpp>
#include <mote/task/run_queue.hpp>
#include <mote/task/step.hpp>
#include <mote/task/waiter.hpp>

namespace mote {
inline namespace MOTE_NAMESPACE {
namespace detail {

class TaskStore;
struct TaskHeader;

// A coroutine goes on in another task, the heir, while the one that has polled it so far lives. This exists during the
// attempt that the former makes to leave: the places where it waits for the coroutine become those of the heir, each
// at its position, so that nothing is lost. Pointers to functions, so that a program without coroutines does not link
// them.
struct Handover {
  TaskHeader& heir;
  void (*move_waiter)(Waiter& waiter, TaskHeader& heir);
  void (*move_place)(QueuePlace& place, TaskHeader& heir);
};

// Called at a task's end, in the place of waking a task that joins it. A pointer to a function, so that a program that
// does not use it does not link its code.
struct EndHook {
  void (*ended)(TaskHeader&) = nullptr;
};

// Keeps a task's slot beyond the task's end, for its outcome: what a TaskHandle is made of.
struct TaskHolder {
  TaskHeader* task = nullptr;
  EndHook* group = nullptr;  // called at the task's end; null: none
  // The task (its serial) whose join() was pending when this let go of the task that it held: its next attempt says so,
  // rather than join what is held by then. One that has ended is not found again: no other task has its serial.
  std::uint32_t interrupted = 0;
};

// A task's control block: the first part of its slot in a pool, outside of the task's own object. All library code
// deals with this; Task is what users see of it, PollContext what operations see. Only the loop's thread uses it.
//
//   free --claim, start--> queued --run queue--> running --pending--> suspended --wake, cancel--> queued
//                                                  `--done, failed--> finished --no holder, or detached--> free
//
// Cancellation costs nothing where there is none: it takes away the task's share of operations. So the next operation
// finds no budget, asks why, and returns ECANCELED.
//
// Its links are those of a run queue, or of its pool's list of free slots.
struct TaskHeader : ListNode {
  enum class State : std::uint8_t { free, live, ending, finished };

  bool is_live() const { return state == State::live; }
  void queue() {
    if (linked()) return;
    run_queue->push(*this);
  }
  void wake() {
    if (is_live()) queue();
  }

  bool is_cancelling() const { return share == 0; }
  void set_share(std::uint8_t operations) {
    share = operations;
    budget = operations;
  }
  void request_cancellation() { set_share(0); }
  void acknowledge_cancellation() { set_share(limits::operations_per_step); }
  void cancel() {
    if (!is_live()) return;
    if (shields != 0) {
      cancel_held = true;
      return;
    }
    request_cancellation();
    wake();  // queue() would do, but g++ then makes a loop of cancellations an instruction longer for each task
  }

  // For operations: see PollContext.
  bool consume_budget() { return --budget >= 0; }
  bool proceed(Error& refusal) {
    if (consume_budget()) return true;
    refusal = refuse();
    return false;
  }
  // Without budget only a cancelled task may, because a result wins over a cancellation: one result. It is charged, so
  // the budget is below 0 then, and the operation after it is cancelled.
  bool may_complete() const { return budget > 0 || (budget == 0 && is_cancelling() && !abandoning); }
  // Not [[gnu::cold]]: g++ then saves registers for the call at the beginning of each operation.
  Error refuse() {
    if (abandoning) return Error(ECANCELED);
    if (is_cancelling()) {
      acknowledge_cancellation();
      return Error(ECANCELED);
    }
    wake();
    return suspend("its next turn");
  }
  // What an operation returns that fails at once: that error, charged as all that completes. So a task that goes on
  // whatever the error is does not keep the others from their turn.
  [[gnu::noinline]] Error fail(Error error) {
    if (!may_complete()) return refuse();
    consume_budget();
    return error;
  }

  void raise_shield() {
    if (is_cancelling()) {
      cancel_held = true;
      acknowledge_cancellation();
    }
    MOTE_ASSERT(shields != UINT8_MAX && "a task holds 255 shields: destroy some before you make another");
    ++shields;
  }
  void lower_shield() {
    if (--shields != 0 || !cancel_held) return;
    cancel_held = false;
    cancel();
  }

  // The task's place in that queue, or null. place_in(nullptr) returns a free place.
  QueuePlace* place_in(const WaitQueue* wait_queue) {
    for (QueuePlace& place : places) {
      if (place.queue == wait_queue) return &place;
    }
    return nullptr;
  }
  void leave(QueuePlace& place) {
    if (handing_over) handover->move_place(place, handover->heir);
    else place.leave();
  }
  // Whom what this task was still to be told concerns, once the attempt that asks has been made: nobody (0), or the
  // serial of the task that goes on with it.
  std::uint32_t heir_serial() const { return handing_over ? handover->heir.serial() : 0; }
  // What an operation returns that has noted the task as waiting; `what` says for what, in words.
  Error suspend(const char* what) {
    waits_for = what;
    return suspended;
  }
  // Of a task that lives: a number that no task of this process has had before, until 2^31 have been spawned. Its
  // highest bit is set.
  std::uint32_t serial() const { return static_cast<std::uint32_t>(code); }
  static constexpr std::uint32_t serial_bit = 1u << 31;
  bool may_be_waiting() const { return in_queues || !waiters.empty(); }

  State state = State::free;
  std::uint8_t share = 0;           // operations that each step may complete; 0: a cancellation is pending
  std::uint8_t shields = 0;         // while there are any, cancel() is held back
  bool in_queues = false;           // it has stood in a WaitQueue, so its places have to be looked at
  bool operation_shielded = false;  // the pending operation holds a shield, until it completes
  bool cancel_held = false;         // a cancellation came while shields were up
  bool abandoning = false;          // attempts are made only to make operations leave where they wait
  bool handing_over = false;        // the same, and another task goes on with them: see Handover
  Step (*step)(TaskHeader&) = nullptr;
  RunQueue* run_queue = nullptr;  // of its scheduler, and of its priority
  TaskStore* store = nullptr;     // in whose slot it lies
  TaskHolder* holder = nullptr;
  List<Waiter> waiters;  // that name it
  QueuePlace places[limits::queues_per_task];
  Waiter joiner;  // the task that waits for its end
  // What its last step has noted as waited for, in words; null: nothing. What of it still holds says
  // Task::waits_for(), so that waking a task need not clear it. After its end: its name.
  const char* waits_for = nullptr;
  std::uint32_t line = 0;  // of the source, where it is suspended
  std::uint32_t generation = 0;
  std::int32_t budget = 0;  // operations left in this step
  int code = 0;             // after its end: 0, or the Error that it failed with, as it is stored. Before: see serial()
  union {
    Instant since{};     // when it was suspended
    Handover* handover;  // while handing_over
  };
};

inline TaskHeader* RunQueue::pop() {
  ListNode* const node = head_.next;
  head_.next = node->next;
  node->next->prev = &head_;
  node->next = nullptr;
  return from(node);
}

}  // namespace detail

inline void Waiter::wake() {
  MOTE_ASSERT(task_ != nullptr && "wake() of a Waiter in which no task waits: call notify(), which looks first");
  awaited_ = 0;
  task_->queue();
}
inline void Waiter::leave(const detail::TaskHeader& task) {
  if (task_ != &task) return;
  if (task.handing_over) task.handover->move_waiter(*this, task.handover->heir);
  else clear();
}
inline void Waiter::attach(detail::TaskHeader& task) {
  clear();
  task_ = &task;
  task.waiters.push_back(*this);
}

}  // namespace MOTE_NAMESPACE
}  // namespace mote

#endif  // MOTE_TASK_TASK_HEADER_HPP
