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
#include <mote/base/exceptions.hpp>
#include <mote/base/list.hpp>
#include <mote/base/result.hpp>
#include <mote/reactor/loop.hpp>
#include <mote/reactor/reactor.hpp>
#include <mote/system/system.hpp>
#include <mote/task/operation.hpp>
#include <mote/task/poll_context.hpp>
#include <mote/task/waiter.hpp>

namespace mote {
inline namespace MOTE_NAMESPACE {
namespace detail {

// What a Waker, a Mailbox and Signals have in common: a node of the loop's inbox that any context can mark as pending.
// The loop delivers what is pending at the end of phase 4 of a turn: it notes that a wake-up has come, wakes the task
// that waits for one, and calls the callback. Everything is for the loop's thread, except wake(). Size on a 32-bit
// board: 48 bytes.
class WakerCore : InboxNode {
 public:
  ~WakerCore() {
    close();
    waiter_.clear();
  }

  // `calls_again`: a callback that throws is called again, since it may have left something. Errors: those of
  // Waker::open().
  Result<void> open(Reactor& reactor, Delegate<void()> callback, bool calls_again = false) {
    if (is_open()) return Error(EBUSY);
    Loop& loop = ReactorAccess::loop(reactor);
    if (const Result<void> enabled = loop.enable_wakeups(); !enabled) return enabled;
    callback_ = callback;
    calls_again_ = calls_again;
    signalled_ = false;
    closed_ = false;
    loop.join_inbox(*this, &WakerCore::serve_inbox);
    loop_.store(&loop);
    if (pending_.load() != 0) loop.set_flag(woken);  // woken before it was open
    return {};
  }
  void close() {
    Loop* const loop = loop_.exchange(nullptr);
    if (loop == nullptr) return;
    // Another thread may be inside wake(), and about to use the loop. In a forked child there is no other thread: the
    // count is inherited.
    while (users.load() != 0 && loop->process() == System::process()) System::yield();
    loop->leave_inbox(*this);
    closed_ = true;
    waiter_.notify();
  }
  // Any thread and any signal handler. The default (sequentially consistent) order is needed: each of these pairs
  // relies on one side seeing the other:
  //   wake():   count itself in users, set pending_, load loop_
  //   open():   store loop_, load pending_           wake() sees loop_, or open() sees pending_: no wake-up is lost
  //   close():  take loop_, wait until users is 0    a wake() that has loaded loop_ is waited for
  void wake() {
    users.fetch_add(1);
    if (pending_.exchange(1) == 0) {
      Loop* const loop = loop_.load();
      if (loop != nullptr) loop->notify();
    }
    users.fetch_sub(1, std::memory_order_release);
  }
  bool is_open() const { return loop_.load(std::memory_order_relaxed) != nullptr; }
  // Whether a wake-up has been delivered since this was asked last.
  bool take_signal() { return std::exchange(signalled_, false); }

  // One attempt at what a wake-up announces: `get_result()` returns a Result; EAGAIN says that it is not there yet.
  // Errors, besides those of get_result():
  //   EBUSY      another task waits for it.
  //   ECANCELED  the task was cancelled, or this has been closed.
  //   EBADF      it was never opened.
  template <class GetResult, class R = std::invoke_result_t<GetResult>>
  R attempt(PollContext context, GetResult&& get_result) {
    return context.attempt(waiter_, "a wake-up", [&]() -> R {
      R result = get_result();
      if (result || result.error() != EAGAIN || is_open()) return result;
      return Error(closed_ ? ECANCELED : EBADF);
    });
  }
 private:
  // The hook of the loop's inbox. To deliver, the inbox is emptied first and filled again one by one, so that the
  // callbacks may open and close what they like.
  static void serve_inbox(Loop& loop, bool deliver) {
    if (!deliver) return close_all(loop);
    List<InboxNode> batch;
    batch.append_all(loop.inbox());
    InboxNode* node = nullptr;
    OnException put_back([&] { put_back_after_exception(loop, batch, node); });
    for (node = batch.pop_front(); node != nullptr; node = batch.pop_front()) {
      loop.inbox().push_back(*node);
      of(*node).deliver();
    }
    put_back.dismiss();
  }
  // What the callback of `last` has thrown ends the delivery: the rest comes first in the next one.
  [[gnu::cold]] static void put_back_after_exception(Loop& loop, List<InboxNode>& rest, const InboxNode* last) {
    // The callback may have destroyed it: then it is not in the inbox any more.
    InboxNode* node = loop.inbox().front();
    while (node != nullptr && node != last) node = loop.inbox().after(*node);
    if (node != nullptr && of(*node).calls_again_) of(*node).pending_.store(1);
    rest.append_all(loop.inbox());
    loop.inbox().append_all(rest);
    loop.set_flag(woken);
  }
  static void close_all(Loop& loop) {
    while (InboxNode* const node = loop.inbox().front()) of(*node).close();
  }
  static WakerCore& of(InboxNode& node) { return static_cast<WakerCore&>(node); }

  void deliver() {
    if (pending_.exchange(0, std::memory_order_acq_rel) == 0) return;
    signalled_ = true;
    waiter_.notify();
    const Delegate<void()> callback = callback_;  // it may destroy this object
    if (callback) callback();
  }

  bool signalled_ = false;  // a wake-up has been delivered, and no task has taken it
  bool closed_ = false;     // after having been open
  bool calls_again_ = false;
  std::atomic<Loop*> loop_{nullptr};
  std::atomic<std::uint32_t> pending_{0};  // woken, and not yet delivered
  Delegate<void()> callback_;
  Waiter waiter_;
};

}  // namespace detail

// Wakes the loop from any thread and from signal handlers. Wake-ups coalesce: many before the loop comes around are
// one, and the loop then looks at each waker: O(open wakers). Either a callback is called in the loop's thread, or a
// task awaits wait(). A callback that throws has been called: not again for that wake-up. The reactor may be destroyed
// first; wake() then has no effect. wake() must not be called any more once the waker's own destructor has begun. It
// must not move.
// Size on a 32-bit board: 48 bytes.
class Waker {
 public:
  // Errors:
  //   EBUSY                           it is open already: close() it first.
  //   ENXIO                           the reactor is not open.
  //   EMFILE, ENFILE, ENOMEM, ENOSPC  the system's limits, as Reactor::enable_wakeups() returns them.
  Result<void> open(Reactor& reactor, Delegate<void()> callback = {}) { return core_.open(reactor, callback); }
  // Has no effect where it is not open. A task that awaits wait() gets ECANCELED. Blocks while other threads are inside
  // wake().
  void close() { core_.close(); }
  // Async-signal-safe, any thread, never blocks. At most one system call, and none while the loop is awake. A wake-up
  // before open() is delivered once it is open.
  void wake() { core_.wake(); }
  bool is_open() const { return core_.is_open(); }
  // Completes when wake() has been called since the last wait(). For one task at a time.
  // Errors:
  //   EBUSY      another task waits for it.
  //   ECANCELED  the task was cancelled, or the waker has been closed.
  //   EBADF      it was never opened.
  auto wait() {
    return operation<void>([this](PollContext context) {
      return core_.attempt(context, [this] { return core_.take_signal() ? Result<void>() : Error(EAGAIN); });
    });
  }
 private:
  detail::WakerCore core_;
};

}  // namespace MOTE_NAMESPACE
}  // namespace mote

#endif  // MOTE_THREAD_WAKER_HPP
