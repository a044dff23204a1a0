// SPDX-License-Identifier: MIT
// Copyright (c) 2026 The mote authors
// Waker: wakes the loop from other threads and from signal handlers.
#ifndef MOTE_THREAD_WAKER_HPP
#define MOTE_THREAD_WAKER_HPP

#include <errno.h>  // errno and its names

#include <atomic>       // 32-bit atomics
#include <cstdint>      // integers of fixed width
#include <type_traits>  // checks at compile time
#include <utility>      // move, forward, exchange

#include <mote/base/config.hpp>
#include <mote/base/delegate.hpp>
#include <mote/base/error.hpp>
#include <mote/base/result.hpp>
#include <mote/reactor/loop.hpp>
#include <mote/reactor/reactor.hpp>
#include <mote/reactor/wake_cell.hpp>
#include <mote/task/operation.hpp>
#include <mote/task/poll_context.hpp>
#include <mote/task/task_header.hpp>
#include <mote/task/waiter.hpp>

namespace mote {
inline namespace MOTE_NAMESPACE {
namespace detail {

// What a Waker, a Mailbox and Signals have in common: a node of the loop's inbox that any context can mark as pending.
// The loop delivers what is pending at the end of phase 4 of a turn: it notes that a wake-up has come, wakes the task
// that waits for one, and calls the callback. Everything is for the loop's thread, except wake() and is_open(). Size on
// a 32-bit board: 52 bytes.
class WakerCore : public InboxNode {
 public:
  ~WakerCore() {
    close();
    waiter_.clear();
  }

  // `with` is the hook for the loop's inbox. Errors: those of Waker::open().
  Result<void> open(Reactor& reactor, Delegate<void()> callback, Hook with = &WakerCore::serve) {
    if (is_open()) return Error(Reason::already_open);
    Loop& loop = ReactorAccess::loop(reactor);
    if (const Result<void> enabled = loop.enable_wakeups(); !enabled) return enabled;
    callback_ = callback;
    signalled_ = false;
    closed_ = false;
    loop_ = &loop;
    loop.join_inbox(*this, with);
    const std::uint32_t before = state_.fetch_or(cell_number() * one_cell);
    if ((before & pending) != 0) loop.set_flag(woken);  // woken before it was open
    return {};
  }
  // A thread that is inside wake() does not touch this any more, but the loop's cell. So nobody is waited for.
  void close() {
    if (!is_open()) return;
    state_.fetch_and(pending);
    loop_->leave_inbox(*this);
    closed_ = true;
    if (!waiter_.has_task() || !(waiter_.is_waiting() || woken_)) return;
    interrupted_ = waiter_.task()->serial();
    woken_ = false;
    waiter_.notify();
    waiter_.clear();
  }
  // Any thread and any signal handler. Marking it as pending and learning the loop's cell is one step, after which
  // nothing of this object is touched: when the wake-up has been delivered, the object may be destroyed. A wake-up that
  // finds the mark set notifies the loop all the same: whoever has set it may not have come so far.
  void wake() {
    const std::uint32_t before = state_.fetch_or(pending);
    if (before >= one_cell) wake_cell_of(before / one_cell).notify();
  }
  bool is_open() const { return state_.load(std::memory_order_relaxed) >= one_cell; }
  // The cell of the loop in which it is open.
  std::uint32_t cell_number() const { return number_of(loop_->wake_cell()); }
  // Whether a wake-up has been delivered since this was asked last.
  bool take_signal() { return std::exchange(signalled_, false); }

  // One attempt at what a wake-up announces: `get_result()` returns a Result; EAGAIN says that it is not there yet.
  // Errors, besides those of get_result():
  //   EBUSY      another task waits for it.
  //   ECANCELED  the task was cancelled, or this has been closed while it waited, be it opened again since or not.
  //   EBADF      it was never opened.
  template <class GetResult, class R = std::invoke_result_t<GetResult>>
  R attempt(PollContext context, GetResult&& get_result) {
    if (context.is_abandoning()) forget_use(context.header());
    R answer = context.attempt(waiter_, "a wake-up", [&]() -> R {
      if (was_interrupted(context.header())) return Error(ECANCELED);
      R result = get_result();
      if (result || result.error() != EAGAIN || is_open()) return result;
      return closed_ ? Error(ECANCELED) : Error(Reason::not_open);
    });
    const bool is_postponed = !answer && answer.error() == suspended && !waiter_.is_waiting();
    if (is_postponed && !context.is_abandoning()) note_postponed(context.header());
    return answer;
  }
 protected:
  // The hook for the loop's inbox.
  static void serve(InboxNode& node, InboxEvent event) {
    WakerCore& self = static_cast<WakerCore&>(node);
    if (event == InboxEvent::deliver) self.deliver();
    if (event == InboxEvent::close) self.close();
    // In a forked child it works as it is, and what is pending is delivered there, too.
  }
  void stay_pending() { state_.fetch_or(pending); }
  // Tells the waiting task and the callback.
  void announce() {
    signalled_ = true;
    if (waiter_.notify()) woken_ = true;
    const Delegate<void()> callback = callback_;  // it may destroy this object
    if (callback) callback();
  }
 private:
  // Bits of state_. Above them, the number of the loop's cell; 0: it is not open.
  static constexpr std::uint32_t pending = 1;  // woken, and not yet delivered
  static constexpr std::uint32_t one_cell = 2;

  // Notes that the task makes an attempt. Returns whether this was closed since its last one, while it waited here.
  bool was_interrupted(TaskHeader& task) {
    if (waiter_.names(task)) woken_ = false;
    return interrupted_ != 0 && take_interruption(task);
  }
  // It is the answer to a cancellation, too.
  [[gnu::noinline]] bool take_interruption(TaskHeader& task) {
    if (interrupted_ != task.serial()) return false;
    interrupted_ = 0;
    if (task.is_cancelling()) task.acknowledge_cancellation();
    return true;
  }
  // The task's attempt is pending until its next turn, for which it is queued already.
  [[gnu::noinline]] void note_postponed(TaskHeader& task) {
    waiter_.wait(task, 0);
    woken_ = true;
  }
  // Of a task that leaves. Where it hands a coroutine over, the task that goes on with that waits, and is to be told.
  void forget_use(const TaskHeader& task) {
    if (waiter_.names(task) && !task.handing_over) woken_ = false;
    if (interrupted_ == task.serial()) interrupted_ = task.heir_serial();
  }
  void deliver() {
    if ((state_.load() & pending) == 0) return;
    state_.fetch_and(~pending);
    announce();
  }

  bool signalled_ = false;  // a wake-up has been delivered, and no task has taken it
  bool closed_ = false;     // after having been open
  bool woken_ = false;      // the task that waited has been woken, and has made no attempt since
  std::atomic<std::uint32_t> state_{0};
  Loop* loop_ = nullptr;  // valid while it is open
  Delegate<void()> callback_;
  // The task (its serial) that waited when this was closed: its next attempt returns ECANCELED, also where it has been
  // opened again. One that has ended by then is not found again, since no other task has its serial.
  std::uint32_t interrupted_ = 0;
  Waiter waiter_;
};

}  // namespace detail

// Wakes the loop from any thread and from signal handlers. Wake-ups coalesce: many before the loop comes around are
// one, and the loop then looks at each waker: O(open wakers). Either a callback is called in the loop's thread, or a
// task awaits wait(). A callback that throws is not called again for that wake-up. The reactor may be destroyed first;
// wake() then has no effect. wake() must not be called any more once the waker's own destructor has begun, but it need
// not have returned: a waker may be destroyed as soon as the last wake-up has been delivered. It must not move.
// Size on a 32-bit board: 52 bytes.
class Waker {
 public:
  // While it is open, run() goes on though nothing else is left: a wake-up may come. close() it to let run() end.
  // Errors:
  //   EBUSY                           it is open already: close() it first.
  //   ENXIO                           the reactor is not open.
  //   ENOBUFS                         too many reactors have wake-ups.
  //   EMFILE, ENFILE, ENOMEM, ENOSPC  the system's limits, as Reactor::enable_wakeups() returns them.
  Result<void> open(Reactor& reactor, Delegate<void()> callback = {}) { return core_.open(reactor, callback); }
  // Has no effect where it is not open. A task that awaits wait() gets ECANCELED, once, also where the waker is opened
  // again before that task is stepped. Never waits for other threads, though they may be inside wake().
  void close() { core_.close(); }
  // Async-signal-safe, any thread, never blocks, and leaves errno as it is. At most one system call, and none while the
  // loop is awake (one more, a close(), if the reactor is destroyed meanwhile). A wake-up before open() is delivered
  // once it is open.
  void wake() { core_.wake(); }
  bool is_open() const { return core_.is_open(); }
  // Completes when wake() has been called since the last wait(). For one task at a time.
  // Errors:
  //   EBUSY      another task waits for it.
  //   ECANCELED  the task was cancelled, or the waker has been closed.
  //   EBADF      it was never opened.
  auto wait() {
    return detail::make_operation<void>([this](PollContext context) {
      return core_.attempt(context, [this] { return core_.take_signal() ? Result<void>() : Error(EAGAIN); });
    });
  }
 private:
  detail::WakerCore core_;
};

}  // namespace MOTE_NAMESPACE
}  // namespace mote

#endif  // MOTE_THREAD_WAKER_HPP
