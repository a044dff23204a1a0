// SPDX-License-Identifier: MIT
// Copyright (c) 2026 The mote authors
// Coroutines that await each other, as one task steps them.
#ifndef MOTE_COROUTINE_CHAIN_HPP
#define MOTE_COROUTINE_CHAIN_HPP

#if __cplusplus >= 202002L

#include <coroutine>  // coroutine_handle, suspend_always
#include <cstdint>    // integers of fixed width
#include <utility>    // move, forward, exchange

#include <mote/base/config.hpp>
#include <mote/base/exceptions.hpp>
#include <mote/base/pinned.hpp>
#include <mote/task/poll_context.hpp>
#include <mote/task/queue_place.hpp>
#include <mote/task/task.hpp>
#include <mote/task/task_header.hpp>
#include <mote/task/task_ref.hpp>
#include <mote/task/wait_queue.hpp>
#include <mote/task/waiter.hpp>

namespace mote {
inline namespace MOTE_NAMESPACE {
namespace detail {

struct Awaiter;

// A chain of coroutines, each of which awaits the next one. The last one either runs, or waits for an operation:
//
//     serve()  --co_await-->  read_request()  --co_await-->  read_line()  --co_await-->  stream.read(...)
//     the first                                              the last, which waits       the operation
//
//     task --step()--> Chain, in the frame of serve()
//                        `--pending_await--> Awaiter, in the frame of read_line() --poll()--> the operation
//
// So a step goes straight to the operation that is pending, however long the chain is.
//
// The trampoline: no coroutine resumes another. One that awaits another, or that has ended, stores in `next` which
// coroutine is to go on, suspends itself, and thereby returns to resume(), which resumes that one. So the stack does
// not grow with the length of the chain, nor with the number of awaits in a loop, whatever the compiler optimises. (A
// coroutine that returns its successor from await_suspend() relies on a tail call, which the compiler need not make.)
//
// Ownership: a frame belongs to the Co that the call of the coroutine returned, mostly a temporary of the co_await,
// which lies in the frame of the coroutine that awaits. The first frame of a task belongs to the Coroutine in the
// task's slot. When the first frame is destroyed, so is the Co that lies in it, hence the second frame, and so on down
// to the last, whose Awaiter leaves the operation.
struct Chain {
  // One step as a task of its own. Returns whether the first coroutine has ended.
  bool step(Task& stepped_by);
  // One attempt as an operation of a task, as an operation's poll(). Returns whether the first coroutine has ended.
  bool poll(Task& polled_by);
  // Whether it waits for something: false before its first step, and after its end.
  bool is_begun() const { return pending_await != nullptr; }

  std::coroutine_handle<> next;      // to be resumed; null: none
  Awaiter* pending_await = nullptr;  // what its last coroutine waits for; null: for nothing
  TaskRef task;                      // the task that steps or polls it, or did so last: it may have ended since
  Task* current_task = nullptr;      // the same, for use within a step
  const char* name = nullptr;        // of the function that awaits
  std::uint32_t line = 0;            // of the source, where that awaits
  bool abandoned = false;            // it has left the places where it waited, until it is stepped or polled again
  // Whether what it awaits holds a shield. While poll() runs it is exchanged with that of the task's operation, which
  // this chain may be a part of.
  bool shielded = false;
 private:
  bool resume();
  void adopt(Task& new_task);
  void hand_over(Task& former, Task& heir);
  void follow(PollContext context);
};

// What a coroutine waits for: the base of what a co_await makes, which lies in the frame of the coroutine that awaits.
// If it is destroyed while it waits, it leaves the places where it waits.
struct Awaiter : Pinned {
  using PollAgain = bool (*)(Awaiter&, Task&);  // returns whether what is awaited has completed

  explicit Awaiter(Chain& part_of) : chain(part_of) {}

  // Makes the chain wait: each step calls `again`, until it returns true; then `waiting` is resumed.
  void wait(std::coroutine_handle<> waiting, PollAgain again) {
    coroutine = waiting.address();
    poll_again = again;
    chain.pending_await = this;
  }
  // To be called by the destructors of derived classes. The frame is being destroyed, and this is
  //   - completed, or never suspended: the chain waits elsewhere or not at all. Nothing is left to do.
  //   - waiting: what is awaited is polled once more, only to leave. Everything else that the task awaits goes on: the
  //     chain may be one of several parts of an operation, whose other parts still wait.
  //   - waiting, but the chain has been abandoned, or the task has ended: it has left all places already.
  void leave() {
    if (chain.pending_await == this) stop_waiting();
  }

  Chain& chain;
  PollAgain poll_again;
  void* coroutine;  // a handle's address: a handle would be set to null at each await that does not wait
 private:
  // Seldom needed. Most of it is out of line, so that the destructors are small enough for the compiler to inline them.
  void stop_waiting() {
    Task* const task = chain.task.get();  // null: it has ended
    if (task != nullptr && !chain.abandoned) abandon_chain(*task);
    chain.pending_await = nullptr;
  }
  [[gnu::noinline]] void abandon_chain(Task& task) { PollContext(task).abandon(chain); }
};

inline bool Chain::step(Task& stepped_by) {
  if (current_task != &stepped_by) {
    adopt(stepped_by);
    current_task = &stepped_by;
    abandoned = false;
  }
  return resume();
}

inline bool Chain::poll(Task& polled_by) {
  const PollContext context(polled_by);
  if (!task.names(polled_by)) {
    if (context.is_abandoning()) return false;  // it waits for another task, or for none
    adopt(polled_by);
  }
  current_task = &polled_by;
  abandoned = context.is_abandoning();
  // The chain's own shield(), and that of the operation that the chain is a part of, are kept apart.
  const auto exchange_shields = [this, context] { std::swap(shielded, context.operation_shielded()); };
  exchange_shields();
  OnException restore(exchange_shields);
  if (!abandoned) resume();
  else if (pending_await != nullptr) pending_await->poll_again(*pending_await, polled_by);  // only to leave
  restore.dismiss();
  exchange_shields();
  const bool has_ended = pending_await == nullptr && !abandoned;
  if (context.is_handing_over()) follow(context);
  return has_ended;
}
// What it waits for is the heir's from now on, also where the heir, which awaits several things, need not come to it.
inline void Chain::follow(PollContext context) {
  task = TaskRef(TaskAccess::task(context.heir()));
  abandoned = false;
}

// Another task is to step or poll it from now on. If the one before lives, it hands over the places where it waits, and
// its shield is lowered; if it has ended, so has all of that.
[[gnu::noinline]] inline void Chain::adopt(Task& new_task) {
  Task* const former = task.get();
  if (former != nullptr && pending_await != nullptr && !abandoned) hand_over(*former, new_task);
  shielded = false;
  task = TaskRef(new_task);
}
inline void Chain::hand_over(Task& former, Task& heir) {
  Handover handover{TaskAccess::header(heir), &Waiter::move_to, &QueuePlace::move_to};
  PollContext(former).hand_over(*this, handover);
}

// The trampoline. Polls the operation that is pending, and resumes one coroutine after another until one waits, or the
// first has ended.
inline bool Chain::resume() {
  if (Awaiter* const awaiter = pending_await; awaiter != nullptr) {
    if (!awaiter->poll_again(*awaiter, *current_task)) return false;
    pending_await = nullptr;
    std::coroutine_handle<>::from_address(awaiter->coroutine).resume();
  }
  while (pending_await == nullptr && next) {
    const std::coroutine_handle<> coroutine = std::exchange(next, nullptr);
    coroutine.resume();
  }
  return pending_await == nullptr;
}

}  // namespace detail
}  // namespace MOTE_NAMESPACE
}  // namespace mote

#endif  // C++20

#endif  // MOTE_COROUTINE_CHAIN_HPP
