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
#include <mote/base/pinned.hpp>
#include <mote/task/poll_context.hpp>
#include <mote/task/task.hpp>
#include <mote/task/task_ref.hpp>

namespace mote {
inline namespace MOTE_NAMESPACE {
namespace detail {

struct Awaiter;

// A chain of coroutines, each of which awaits the one behind it. The last one either runs, or waits for an operation:
//
//     serve()  --co_await-->  read_request()  --co_await-->  read_line()  --co_await-->  stream.read(...)
//     the first                                              the last, which waits       the operation
//
//     task --step()--> Chain, in the frame of serve()
//                        `--pending_await--> Awaiter, in the frame of read_line() --poll()--> the operation
//
// So a step goes straight to the operation that is pending, however long the chain is.
//
// The trampoline: no coroutine resumes another. One that awaits another, or that has ended, notes in `next` who is to
// go on, suspends itself, and thereby returns to resume(), which resumes that one. So the stack does not grow with the
// length of the chain, nor with the number of awaits in a loop, whatever the compiler optimises. (A coroutine that
// names its successor in await_suspend() relies on a tail call, which there need not be.)
//
// Who owns a frame: the Co that the coroutine's call gave, wherever that lies; mostly in the frame of the coroutine
// that awaits it, as a temporary of the co_await. For a task, it is the Coroutine in the task's slot. Whoever destroys
// the first frame destroys the Co that lies in it, hence the second frame, and so on down to the last, whose Awaiter
// leaves the operation.
struct Chain {
  // As a task of its own. Returns whether it has ended.
  bool step(Task& stepped_by);
  // As an operation of a task, in the manner of an operation's poll(). Returns whether it has ended.
  bool poll(Task& polled_by);
  // Whether it has been stepped or polled before, and now waits for something.
  bool is_begun() const { return pending_await != nullptr; }

  std::coroutine_handle<> next;      // to be resumed; null: none
  Awaiter* pending_await = nullptr;  // what its last coroutine waits for; null: for nothing
  TaskRef task;                      // the task that steps or polls it, or did so last: it may have ended since
  Task* running = nullptr;           // the same, for use within a step
  const char* name = nullptr;        // of the function that awaits
  std::uint32_t line = 0;            // of the source, where that awaits
  bool abandoned = false;            // it has left the places where it waited, until it is stepped or polled again
  bool shielded = false;             // by what it awaits; apart from the shield of an operation that it is a part of
 private:
  bool resume();
};

// What a coroutine waits for: the base of what a co_await makes, which lies in the frame of the coroutine that awaits.
// Destroyed while it waits, it leaves where it waits.
struct Awaiter : Pinned {
  using PollAgain = bool (*)(Awaiter&, Task&);  // returns whether what is awaited has completed

  explicit Awaiter(Chain& part_of) : chain(part_of) {}

  // Has the chain wait: each step calls `again`, until it returns true; then `waiting` is resumed.
  void wait(std::coroutine_handle<> waiting, PollAgain again) {
    coroutine = waiting.address();
    poll_again = again;
    chain.pending_await = this;
  }
  // To be called by the destructors of what derives from it. The frame is destroyed, and the chain may be waiting here:
  //   - completed, or never suspended: the chain waits elsewhere or not at all. Nothing is left to do.
  //   - waiting: what is awaited is polled once more, only to leave. What else the task awaits goes on: this may be a
  //     part of an operation of several, whose other parts still wait.
  //   - waiting, but it has been abandoned, or the task has ended: it has left all places already.
  void leave() {
    if (chain.pending_await != this) return;
    Task* const task = chain.task.get();  // null: it has ended
    if (task != nullptr && !chain.abandoned) PollContext(*task).abandon(chain);
    chain.pending_await = nullptr;
  }

  Chain& chain;
  PollAgain poll_again;
  void* coroutine;  // a handle's address: a handle would be set to null at each await that does not wait
};

inline bool Chain::step(Task& stepped_by) {
  if (running != &stepped_by) {
    running = &stepped_by;
    task = TaskRef(stepped_by);
    abandoned = false;
  }
  return resume();
}

inline bool Chain::poll(Task& polled_by) {
  const PollContext context(polled_by);
  running = &polled_by;
  abandoned = context.is_abandoning();
  if (!task.names(polled_by)) task = TaskRef(polled_by);
  std::swap(shielded, context.operation_shielded());
  if (!abandoned) resume();
  else if (pending_await != nullptr) pending_await->poll_again(*pending_await, polled_by);
  std::swap(shielded, context.operation_shielded());
  return pending_await == nullptr && !abandoned;
}

// The trampoline. Polls what is pending, and resumes one coroutine after another until one waits, or the first has
// ended.
inline bool Chain::resume() {
  if (Awaiter* const waits = pending_await; waits != nullptr) {
    if (!waits->poll_again(*waits, *running)) return false;
    pending_await = nullptr;
    std::coroutine_handle<>::from_address(waits->coroutine).resume();
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
