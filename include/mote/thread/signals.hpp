// SPDX-License-Identifier: MIT
// Copyright (c) 2026 The mote authors
// Signals: signals as calls, or as awaitable events, of the loop.
#ifndef MOTE_THREAD_SIGNALS_HPP
#define MOTE_THREAD_SIGNALS_HPP

#include <errno.h>      // errno and its names
#include <signal.h>     // sigaction, sigprocmask, _NSIG
#include <string.h>     // memory and strings
#include <sys/types.h>  // pid_t

#include <atomic>   // 32-bit atomics
#include <cstdint>  // integers of fixed width

#include <mote/base/config.hpp>
#include <mote/base/delegate.hpp>
#include <mote/base/error.hpp>
#include <mote/base/result.hpp>
#include <mote/reactor/loop.hpp>
#include <mote/reactor/reactor.hpp>
#include <mote/reactor/wake_cell.hpp>
#include <mote/system/system.hpp>
#include <mote/task/operation.hpp>
#include <mote/task/poll_context.hpp>
#include <mote/thread/signal_set.hpp>
#include <mote/thread/waker.hpp>

namespace mote {
inline namespace MOTE_NAMESPACE {
class Signals;

namespace detail {

// What the signal handler touches. It lies in static storage, so that a handler that runs late, in whichever thread,
// never touches an object that has been closed or destroyed. There is one table in a process, since signals are
// process-wide.
struct SignalTable {
  // What was installed before, in a short form.
  struct Saved {
    void (*handler)(int) = nullptr;
    unsigned char mask[(SignalSet::last_signal + 7) / 8] = {};  // the part of a sigset_t that the kernel has
    int flags = 0;

    void keep(const System::Action& action) {
      handler = action.sa_handler;
      flags = action.sa_flags;
      ::memcpy(mask, &action.sa_mask, sizeof mask);
    }
    void copy_to(System::Action& action) const {
      action.sa_handler = handler;
      action.sa_flags = flags;
      ::memcpy(&action.sa_mask, mask, sizeof mask);
    }
  };

  // Bits of Entry::holder above the id of the process, which has 22 at most.
  enum State : std::uint32_t {
    claiming = 1u << 31,    // somebody is about to take it or to give it back
    swallowing = 1u << 30,  // the handler is installed, and does nothing
    inherited = 1u << 29    // with `claiming`: the handler is still that of the process before
  };
  static constexpr std::uint32_t process_bits = inherited - 1;

  struct Entry {
    // Who holds the signal, as one word so that taking it is one step: a process's id and bits of State. Without such a
    // bit the handler tells the owner. 0: nobody. Another process's id: a forked child has inherited it.
    std::atomic<std::uint32_t> holder{0};
    std::atomic<std::uint32_t> cell{0};    // of the owner's loop, which may have gone: see number_of()
    std::atomic<Signals*> owner{nullptr};  // only compared
    Saved saved;
  };

  bool anything_has_arrived() const {
    std::uint32_t all = 0;
    for (const std::atomic<std::uint32_t>& bits : arrived) all |= bits.load();
    return all != 0;
  }
  bool has_arrived(int signal) const {
    return (arrived[SignalSet::word_of(signal)].load() & SignalSet::bit_of(signal)) != 0;
  }
  void note_arrival(int signal) { arrived[SignalSet::word_of(signal)].fetch_or(SignalSet::bit_of(signal)); }
  void forget_arrival(int signal) { arrived[SignalSet::word_of(signal)].fetch_and(~SignalSet::bit_of(signal)); }

  std::atomic<std::uint32_t> arrived[SignalSet::words] = {};  // bits as in a SignalSet
  Entry entries[SignalSet::last_signal + 1];
};
inline SignalTable signal_table;

}  // namespace detail

// Turns signals into calls or awaitable events of the loop. The handler that it installs sets a flag and wakes the
// loop, nothing else; it restores errno. It reaps no child, and changes no signal mask unless it is asked to. A signal
// that is repeated before the loop delivers it counts once. It must not move.
//
// close() puts back what was installed before, unless somebody has replaced our handler meanwhile. It waits for
// nobody. A signal that arrives meanwhile, or that has arrived and was not delivered yet, is told to nobody.
//
// In a forked child the signals are this object's after Reactor::after_fork_in_child(). Until then, and in a child that
// never calls it, a signal has the effect that it had before open(): at the first one the handler puts back what was
// installed, and sends the signal to itself again.
// Size on a 32-bit board: 64 bytes.
class Signals : detail::WakerCore {
  using SignalTable = detail::SignalTable;
 public:
  // What open() does with signals that the calling thread's mask blocks. A mask is inherited through exec: a parent may
  // have blocked them. Those of other threads cannot be looked at.
  enum class Blocked {
    refuse,   // EDEADLK
    unblock,  // in the calling thread, once the handler is installed; close() does not block them again
    allow     // another thread does not block them, or the caller unblocks them later
  };

  // Leaves what has been swallowed as it is: see swallow().
  ~Signals() { change(Change::destroy); }

  // Takes these signals over. The callback is called with a signal's number, in the loop's thread (what it throws does
  // not keep the other signals from coming); without one, await next(). On failure nothing is changed. Several threads
  // may open signals at the same time; of those that want the same one, one gets it. (If another thread takes one in
  // the very moment, those of the others that were swallowed are given back.)
  // Errors:
  //   EINVAL                          a number that is no signal, or one that cannot be caught (SIGKILL, SIGSTOP).
  //   EBUSY                           it has not been closed, or one of the signals belongs to another Signals.
  //   EDEADLK                         one of the signals is blocked in the calling thread, and would never be heard.
  //   ENXIO                           the reactor is not open.
  //   ENOBUFS                         too many reactors have wake-ups.
  //   EMFILE, ENFILE, ENOMEM, ENOSPC  the system's limits, as Reactor::enable_wakeups() returns them.
  Result<void> open(Reactor& reactor, const SignalSet& wanted, Delegate<void(int)> callback = {},
                    Blocked blocked = Blocked::refuse) {
    if (process_ != 0) return Error(detail::Reason::already_open);
    if (!wanted.valid()) return Error(detail::Reason::no_such_signal);
    if (is_any_taken(wanted)) return Error(detail::Reason::signal_is_taken);
    if (blocked == Blocked::refuse) {
      if (const Result<void> heard = refuse_blocked(wanted); !heard) return heard;
    }
    const Result<void> opened =
        WakerCore::open(reactor, Delegate<void()>::of<&Signals::deliver>(*this), &Signals::serve);
    if (!opened) return opened;
    callback_ = callback;
    process_ = System::process();
    Result<void> done = claim_all(wanted);
    if (done && blocked == Blocked::unblock) done = unblock(wanted);
    if (!done) close();
    return done;
  }
  // Puts back what was installed before, also where the signals are only swallowed. Has no effect where it holds no
  // signals. A task that awaits next() gets ECANCELED.
  void close() {
    change(Change::close);
    process_ = 0;
    WakerCore::close();
  }
  // Closes it, but leaves the handler in place, where it does nothing: for the last moments of a program, in which a
  // signal is to have no effect any more. So it stays until close(), or until these signals are opened again, by this
  // or by another object; this one's destructor does not change it.
  void swallow() {
    change(Change::swallow);
    process_ = 0;
    WakerCore::close();
  }
  // Calls the callback for the signals that have arrived, in one pass upwards: one that a callback raises again is
  // delivered in the next turn. The loop calls it in each turn; call it after a run for the signals that have come
  // since its last turn.
  void deliver() {
    int last = 0;
    while (callback_) {
      const Result<int> signal = take_arrived(last);
      if (!signal) return;
      last = *signal;
      const Delegate<void(int)> callback = callback_;
      callback(last);
      if (!tells(last)) return;  // the callback may have closed or destroyed this object: then no member may be used
    }
  }
  // False also where the reactor has gone: close() it before it is opened again.
  bool is_open() const { return WakerCore::is_open(); }
  // Completes when a signal has come, and returns the lowest-numbered one. For one task at a time.
  // Errors:
  //   EBUSY      another task waits for one.
  //   ECANCELED  the task was cancelled, or this has been closed.
  //   EBADF      it was never opened.
  auto next() {
    return detail::make_operation<int>(
        [this](PollContext context) { return attempt(context, [this] { return take_arrived(0); }); });
  }
 private:
  static SignalTable& table() { return detail::signal_table; }
  static SignalTable::Entry& entry_of(int signal) { return table().entries[signal]; }
  static bool is_swallowed(const SignalTable::Entry& entry) {
    return (entry.holder.load(std::memory_order_relaxed) & SignalTable::swallowing) != 0;
  }
  static std::uint32_t this_process() { return static_cast<std::uint32_t>(System::process()); }

  // ---- the handler, async-signal-safe ----

  // A handler may run late, in a thread that was interrupted before its first instruction. So where nobody holds the
  // signal any more, it does nothing.
  static void on_signal(int signal, siginfo_t* information, void*) {
    SignalTable::Entry& entry = entry_of(signal);
    const std::uint32_t holder = entry.holder.load();
    const std::uint32_t process = this_process();
    if (holder == process) {
      table().note_arrival(signal);
      detail::wake_cell_of(entry.cell.load(std::memory_order_relaxed)).notify();
    } else if (is_of_another_process(holder, process)) {
      pass_on(signal, information);
    }
  }
  static bool is_of_another_process(std::uint32_t holder, std::uint32_t process) {
    const std::uint32_t id = id_of(holder);
    return (id != 0 && id != process) || (holder & SignalTable::inherited) != 0;
  }
  // Gives the signal the effect that it had before the handler was installed. A child of vfork() has its own
  // dispositions, but its parent's memory: so nothing is written.
  [[gnu::noinline, gnu::cold]] static void pass_on(int signal, siginfo_t* information) {
    const int saved_errno = errno;
    // If not: another handler has been installed over this one, and has called it.
    if (put_back(signal)) {
      // Another thread of this process has taken the signal meanwhile.
      if (entry_of(signal).holder.load() == this_process()) static_cast<void>(install(signal));
      System::send_again(signal, information);
    }
    errno = saved_errno;
  }

  // ---- dispositions ----

  static bool is_ours(const System::Action& action) {
    return (action.sa_flags & SA_SIGINFO) != 0 && action.sa_sigaction == &Signals::on_signal;
  }
  static Result<void> install(int signal) {
    System::Action ours;
    ::memset(&ours, 0, sizeof ours);
    ours.sa_sigaction = &Signals::on_signal;
    // SA_RESTART: for blocking calls elsewhere in the program; waits for descriptors never restart.
    ours.sa_flags = SA_RESTART | SA_SIGINFO;
    return detail::result_of(System::sigaction(signal, &ours, nullptr));
  }
  // Puts back what was there before, if our handler is installed. False: it is not.
  static bool put_back(int signal) {
    System::Action action;
    if (System::sigaction(signal, nullptr, &action) != 0 || !is_ours(action)) return false;
    entry_of(signal).saved.copy_to(action);
    return System::sigaction(signal, &action, nullptr) == 0;
  }

  // ---- who holds a signal ----

  static bool is_any_taken(const SignalSet& wanted) {
    const std::uint32_t process = this_process();
    for (int signal = wanted.next(0); signal != 0; signal = wanted.next(signal)) {
      if (is_taken(entry_of(signal).holder.load(std::memory_order_relaxed), process)) return true;
    }
    return false;
  }
  Result<void> claim_all(const SignalSet& wanted) {
    for (int signal = wanted.next(0); signal != 0; signal = wanted.next(signal)) {
      if (const Result<void> claimed = claim(signal); !claimed) return claimed;
    }
    return {};
  }
  // Takes one signal: of several threads, one gets it.
  // Errors:
  //   EBUSY   it belongs to another Signals.
  //   EINVAL  no such signal, or one that cannot be caught.
  Result<void> claim(int signal) {
    SignalTable::Entry& entry = entry_of(signal);
    std::uint32_t before = entry.holder.load(std::memory_order_relaxed);
    const std::uint32_t process = this_process();
    do {
      if (is_taken(before, process)) return Error(detail::Reason::signal_is_taken);
    } while (
        !entry.holder.compare_exchange_weak(before, process | SignalTable::claiming | kept_state(before, process)));
    entry.cell.store(cell_number(), std::memory_order_relaxed);
    table().forget_arrival(signal);  // a late handler that notes an arrival after this finds the cell
    entry.owner.store(this, std::memory_order_relaxed);
    const Result<void> taken = take_disposition(signal, process);
    if (!taken) {
      entry.owner.store(nullptr, std::memory_order_relaxed);
      entry.holder.store(before);
    }
    return taken;
  }
  static std::uint32_t id_of(std::uint32_t holder) { return holder & SignalTable::process_bits; }
  // Whether another Signals of this process has it, or is about to take it or to give it back.
  static bool is_taken(std::uint32_t holder, std::uint32_t process) {
    constexpr std::uint32_t both = SignalTable::swallowing | SignalTable::claiming;
    return id_of(holder) == process && (holder & both) != SignalTable::swallowing;
  }
  // What the handler does while the signal is being claimed is what it did before.
  static std::uint32_t kept_state(std::uint32_t holder, std::uint32_t process) {
    if (holder == 0) return 0;
    return id_of(holder) == process ? SignalTable::swallowing : SignalTable::inherited;
  }
  // What was there is saved before the handler can run, and the signal is held before, too. In a forked child our own
  // handler was there: what was saved when it was installed still stands.
  static Result<void> take_disposition(int signal, std::uint32_t process) {
    System::Action old;
    if (System::sigaction(signal, nullptr, &old) != 0) return detail::last_error();
    SignalTable::Entry& entry = entry_of(signal);
    if (!is_ours(old)) entry.saved.keep(old);
    entry.holder.store(process);
    return install(signal);
  }
  enum class Change { close, swallow, destroy, take_over };
  // Changes what becomes of all signals that are this object's, also of those that it has swallowed.
  [[gnu::noinline]] void change(Change what) {
    for (int signal = 1; signal <= SignalSet::last_signal; ++signal) {
      SignalTable::Entry& entry = entry_of(signal);
      if (entry.owner.load(std::memory_order_relaxed) != this) continue;
      const bool swallowed = is_swallowed(entry);
      if (what == Change::swallow) {
        entry.holder.fetch_or(SignalTable::swallowing);
      } else if (what == Change::take_over) {
        if (!swallowed) static_cast<void>(claim(signal));  // cannot fail: it could be caught in the parent
      } else if (what == Change::destroy && swallowed) {
        entry.owner.store(nullptr, std::memory_order_relaxed);
      } else {
        give_back(signal);
      }
    }
  }
  // Puts back what was there before, if nobody has replaced our handler. Meanwhile the handler does nothing.
  void give_back(int signal) {
    SignalTable::Entry& entry = entry_of(signal);
    const std::uint32_t process = this_process();
    std::uint32_t holder = entry.holder.load(std::memory_order_relaxed);
    // In a forked child another thread may be about to take what this object has inherited.
    if (holder == (process | SignalTable::claiming | SignalTable::inherited)) return;
    constexpr std::uint32_t giving = SignalTable::claiming | SignalTable::swallowing;
    if (!entry.holder.compare_exchange_strong(holder, process | giving)) return;
    static_cast<void>(put_back(signal));
    entry.owner.store(nullptr, std::memory_order_relaxed);
    entry.holder.store(0);
  }

  // ---- blocked signals ----

  static Result<void> refuse_blocked(const SignalSet& wanted) {
    sigset_t mask;
    if (System::sigprocmask(SIG_BLOCK, nullptr, &mask) != 0) return detail::last_error();
    for (int signal = wanted.next(0); signal != 0; signal = wanted.next(signal)) {
      if (::sigismember(&mask, signal) == 1) return Error(detail::Reason::signal_is_blocked);
    }
    return {};
  }
  static Result<void> unblock(const SignalSet& wanted) {
    sigset_t mask;
    ::sigemptyset(&mask);
    for (int signal = wanted.next(0); signal != 0; signal = wanted.next(signal)) ::sigaddset(&mask, signal);
    return detail::result_of(System::sigprocmask(SIG_UNBLOCK, &mask, nullptr));
  }

  // ---- delivery ----

  // The hook for the loop's inbox. The handler cannot mark the node as pending: it does not touch this object.
  static void serve(detail::InboxNode& node, detail::InboxEvent event) {
    Signals& self = static_cast<Signals&>(node);
    if (event == detail::InboxEvent::deliver && self.first_arrived(0) != 0) self.announce();
    if (event == detail::InboxEvent::close) self.WakerCore::close();  // the signals stay this object's
    if (event == detail::InboxEvent::forked) {
      self.process_ = System::process();
      self.change(Change::take_over);  // what had arrived before the fork was the parent's
    }
  }
  // Takes the lowest signal above `after` that has arrived. EAGAIN: none has.
  Result<int> take_arrived(int after) {
    const int signal = first_arrived(after);
    if (signal == 0) return Error(EAGAIN);
    table().forget_arrival(signal);
    return value(signal);
  }
  int first_arrived(int after) const {
    if (!table().anything_has_arrived()) return 0;
    for (int signal = after + 1; signal <= SignalSet::last_signal; ++signal) {
      if (table().has_arrived(signal) && tells(signal)) return signal;
    }
    return 0;
  }
  // Whether the signal is this object's. Reads no member.
  bool tells(int signal) const {
    const SignalTable::Entry& entry = entry_of(signal);
    return entry.owner.load(std::memory_order_relaxed) == this && !is_swallowed(entry);
  }

  Delegate<void(int)> callback_;
  pid_t process_ = 0;  // the process that opened it; 0: closed
};

}  // namespace MOTE_NAMESPACE
}  // namespace mote

#endif  // MOTE_THREAD_SIGNALS_HPP
