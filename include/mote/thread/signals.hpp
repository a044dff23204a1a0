// SPDX-License-Identifier: MIT
// Copyright (c) 2026 The mote authors
// Signals: signals as calls, or as awaitable events, of the loop.
#ifndef MOTE_THREAD_SIGNALS_HPP
#define MOTE_THREAD_SIGNALS_HPP

#include <errno.h>      // errno and its names
#include <signal.h>     // sigaction
#include <string.h>     // memory and strings
#include <sys/types.h>  // pid_t

#include <atomic>   // 32-bit atomics
#include <cstdint>  // integers of fixed width

#include <mote/base/config.hpp>
#include <mote/base/delegate.hpp>
#include <mote/base/error.hpp>
#include <mote/base/pinned.hpp>
#include <mote/base/result.hpp>
#include <mote/reactor/reactor.hpp>
#include <mote/system/system.hpp>
#include <mote/task/operation.hpp>
#include <mote/task/poll_context.hpp>
#include <mote/thread/signal_set.hpp>
#include <mote/thread/waker.hpp>

namespace mote {
inline namespace MOTE_NAMESPACE {
class Signals;

namespace detail {

// Which signal belongs to which Signals. There is one table in a process, since signals are process-wide. What was
// installed before is saved in a short form.
struct SignalTable {
  struct Saved {
    void (*handler)(int) = nullptr;
    unsigned char mask[8] = {};  // the first 64 of a sigset_t
    int flags = 0;
  };

  // Makes it the table of this process. fork() may catch handlers of the parent's threads half-way. They never end in
  // the child, so its `running` never falls below their number: that is noted as none_running. Until the exchange no
  // handler counts itself in the child, so what is read before it is just that number. Of several threads that call
  // this at the same time, only the first to exchange notes it.
  void adopt(pid_t by) {
    const std::uint32_t copied = running.load(std::memory_order_relaxed);
    if (process.exchange(by, std::memory_order_acq_rel) != by) none_running.store(copied, std::memory_order_relaxed);
  }
  bool has_running_handlers() const { return running.load() != none_running.load(std::memory_order_relaxed); }

  std::atomic<Signals*> owner[SignalSet::last_signal + 1] = {};
  std::atomic<std::uint32_t> running{0};  // handlers in progress in threads of `process`, and none_running
  std::atomic<pid_t> process{0};          // the process that has adopted the table; 0: none has
  Saved saved[SignalSet::last_signal + 1] = {};
  std::atomic<std::uint32_t> none_running{0};
};
inline SignalTable signal_table;

}  // namespace detail

// Turns signals into calls or awaitable events of the loop. The handler that it installs sets a flag and wakes the
// loop, nothing else; it restores errno, and does nothing in a forked child until that has opened a Signals of its
// own. It changes no signal mask and reaps no child. close() puts back what was installed before, unless
// somebody has replaced our handler meanwhile. A signal that is repeated before the loop delivers it counts once. It
// must not move.
// Size on a 32-bit board: 68 bytes.
class Signals : detail::Pinned {
 public:
  ~Signals() { close(); }

  // Takes these signals over. The callback is called with a signal's number, in the loop's thread (what it throws does
  // not keep the other signals from coming); without one, await next(). On failure nothing is changed.
  // Errors:
  //   EINVAL                          a number that is no signal, or one that cannot be caught (SIGKILL, SIGSTOP).
  //   EBUSY                           it is open already, or one of the signals belongs to another Signals.
  //   ENXIO                           the reactor is not open.
  //   EMFILE, ENFILE, ENOMEM, ENOSPC  the system's limits, as Reactor::enable_wakeups() returns them.
  Result<void> open(Reactor& reactor, const SignalSet& signals, Delegate<void(int)> callback = {}) {
    if (process_ != 0) return Error(EBUSY);
    if (!signals.valid()) return Error(EINVAL);
    for (int signal = signals.next(0); signal != 0; signal = signals.next(signal)) {
      if (is_claimed(signal)) return Error(EBUSY);
    }
    const Result<void> opened = waker_.open(reactor, Delegate<void()>::of<&Signals::deliver>(*this), true);
    if (!opened) return opened;
    callback_ = callback;
    process_ = System::process();
    table().adopt(process_);
    for (std::atomic<std::uint32_t>& word : arrived_) word.store(0, std::memory_order_relaxed);
    const Result<void> claimed = claim_all(signals);
    if (!claimed) close();
    return claimed;
  }
  // Puts back what was installed before. Has no effect where it is not open. A task that awaits next() gets ECANCELED.
  void close() {
    if (process_ == 0) return;
    for (int signal = 1; signal <= SignalSet::last_signal; ++signal) give_back(signal);
    // In another thread a handler may be running that loaded the owner before it was taken away, and still uses this
    // object. In a forked child there are no other threads, and the count may be inherited.
    while (process_ == System::process() && table().has_running_handlers()) System::yield();
    process_ = 0;
    waker_.close();
  }
  // Completes when a signal has come, and returns the lowest-numbered one. For one task at a time.
  // Errors:
  //   EBUSY      another task waits for one.
  //   ECANCELED  the task was cancelled, or this has been closed.
  //   EBADF      it was never opened.
  auto next() {
    return operation<int>(
        [this](PollContext context) { return waker_.attempt(context, [this] { return take_arrived(0); }); });
  }
 private:
  static detail::SignalTable& table() { return detail::signal_table; }
  // Whether it belongs to a Signals of this process. Those that a forked child has inherited do not count.
  static bool is_claimed(int signal) {
    const Signals* const owner = table().owner[signal].load(std::memory_order_acquire);
    return owner != nullptr && owner->process_ == System::process();
  }

  // The handler. Async-signal-safe. close() waits for the handlers that are counted in `running`: a handler counts
  // itself, then loads the owner; close() takes the owner away, then loads the count. These are sequentially
  // consistent, so that one of the two sees the other.
  static void on_signal(int signal) {
    const int saved_errno = errno;
    const pid_t process = System::process();
    if (table().process.load(std::memory_order_acquire) == process) {
      table().running.fetch_add(1);
      Signals* const owner = table().owner[signal].load();
      if (owner != nullptr && owner->process_ == process) {
        owner->arrived_[SignalSet::word(signal)].fetch_or(SignalSet::bit(signal), std::memory_order_release);
        owner->waker_.wake();
      }
      table().running.fetch_sub(1, std::memory_order_release);
    }
    errno = saved_errno;
  }
  Result<void> claim_all(const SignalSet& signals) {
    for (int signal = signals.next(0); signal != 0; signal = signals.next(signal)) {
      if (const Result<void> claimed = claim(signal); !claimed) return claimed;
    }
    return {};
  }
  // Installs the handler for one signal, and saves what was there.
  // Errors:
  //   EINVAL  no such signal, or one that cannot be caught.
  Result<void> claim(int signal) {
    struct sigaction ours;
    ::memset(&ours, 0, sizeof ours);
    ours.sa_handler = &Signals::on_signal;
    ours.sa_flags = SA_RESTART;  // for blocking calls elsewhere in the program; waits for descriptors never restart
    // The owner is set first: the handler may be called as soon as it is installed.
    table().owner[signal].store(this, std::memory_order_release);
    struct sigaction old;
    if (System::sigaction(signal, &ours, &old) != 0) {
      const Error error = detail::last_error();
      table().owner[signal].store(nullptr, std::memory_order_relaxed);
      return error;
    }
    // Our own handler was there, as in a forked child: what was saved when it was installed still stands.
    if (old.sa_handler == &Signals::on_signal) return {};
    detail::SignalTable::Saved& saved = table().saved[signal];
    saved.handler = old.sa_handler;
    saved.flags = old.sa_flags;
    ::memcpy(saved.mask, &old.sa_mask, sizeof saved.mask);
    return {};
  }
  // Puts back what was there before, if the signal is ours and nobody has replaced our handler.
  void give_back(int signal) {
    if (table().owner[signal].load(std::memory_order_relaxed) != this) return;
    struct sigaction action;
    const bool found = System::sigaction(signal, nullptr, &action) == 0;
    if (found && action.sa_handler == &Signals::on_signal) {
      const detail::SignalTable::Saved& saved = table().saved[signal];
      action.sa_handler = saved.handler;
      action.sa_flags = saved.flags;
      ::memcpy(&action.sa_mask, saved.mask, sizeof saved.mask);
      System::sigaction(signal, &action, nullptr);
    }
    table().owner[signal].store(nullptr);
  }

  // Calls the callback for the signals that have arrived, in one pass upwards: one that a callback raises again is
  // delivered in the next turn.
  void deliver() {
    int last = 0;
    while (callback_) {
      const Result<int> signal = take_arrived(last);
      if (!signal) return;
      last = *signal;
      const Delegate<void(int)> callback = callback_;
      callback(last);
      // The callback may have closed or destroyed this object: then no member may be used.
      if (table().owner[last].load(std::memory_order_relaxed) != this) return;
    }
  }
  // Takes the lowest signal above `after` that has arrived. EAGAIN: none has.
  Result<int> take_arrived(int after) {
    for (int signal = after + 1; signal <= SignalSet::last_signal; ++signal) {
      std::atomic<std::uint32_t>& word = arrived_[SignalSet::word(signal)];
      const std::uint32_t bit = SignalSet::bit(signal);
      if ((word.load(std::memory_order_relaxed) & bit) == 0) continue;
      word.fetch_and(~bit, std::memory_order_acquire);
      return signal;
    }
    return Error(EAGAIN);
  }

  std::atomic<std::uint32_t> arrived_[2] = {};  // bits as in a SignalSet
  Delegate<void(int)> callback_;
  detail::WakerCore waker_;
  pid_t process_ = 0;  // the process that opened it; 0: closed
};

}  // namespace MOTE_NAMESPACE
}  // namespace mote

#endif  // MOTE_THREAD_SIGNALS_HPP
