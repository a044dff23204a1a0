// SPDX-License-Identifier: MIT
// Copyright (c) 2026 The mote authors
// GracefulShutdown: runs a reactor, and gives its tasks time to finish when a signal ends it.
#ifndef MOTE_SHUTDOWN_GRACEFUL_SHUTDOWN_HPP
#define MOTE_SHUTDOWN_GRACEFUL_SHUTDOWN_HPP

#include <errno.h>  // errno and its names

#include <chrono>   // Duration and Instant
#include <cstdint>  // integers of fixed width

#include <mote/base/config.hpp>
#include <mote/base/delegate.hpp>
#include <mote/base/error.hpp>
#include <mote/base/result.hpp>
#include <mote/reactor/descriptor_table.hpp>
#include <mote/reactor/loop.hpp>
#include <mote/reactor/reactor.hpp>
#include <mote/system/clock.hpp>
#include <mote/thread/signal_set.hpp>
#include <mote/thread/signals.hpp>

namespace mote {
inline namespace MOTE_NAMESPACE {

// How a shutdown went.
struct ShutdownReport {
  std::uint32_t drained = 0;    // tasks that ended by themselves
  std::uint32_t cancelled = 0;  // tasks that ended after having been cancelled
  std::uint32_t destroyed = 0;  // tasks that had to be destroyed
  int signal = 0;               // the signal that began it; 0: request(), or there was nothing left to do
  bool forced = false;          // a second signal or request came
};

// Runs a reactor until a signal comes, and then gives its tasks time to finish. The first signal closes all listeners,
// so that new connections are refused at once, and begins the grace period, which is the same for all tasks; those that
// remain at its end are cancelled together, and those that remain after the clean-up period are destroyed. A second
// signal forces the end: the tasks that remain are cancelled, have one turn to clean up, and are destroyed.
//
//   serve     until the first signal, or until there is nothing left to do
//   drain     until all tasks have ended, the grace period is over, or the second signal
//   clean up  the tasks that remain are cancelled: until all have ended, the clean-up period is over, or the second
//             signal
//   destroy   the tasks that are left are destroyed
//
// After a shutdown the signals stay taken, and have no effect: a program is on its way out by then, and a user who
// presses Ctrl-C again and again is not to end it by the signal in the place of its exit code. So it stays when this
// object is destroyed; close() gives the signals back, and another run() begins from the start.
//
// A signal that the calling thread's mask blocks is unblocked, since a daemon whose parent has blocked SIGTERM is to
// end all the same. In a forked child it goes on after Reactor::after_fork_in_child(), as when a daemon opens
// everything before it forks.
//
// It must not move. Everything is for the loop's thread.
// Size on a 32-bit board: 120 bytes.
class GracefulShutdown {
 public:
  GracefulShutdown(Reactor& reactor, const SignalSet& signals, Duration grace = std::chrono::seconds(2),
                   Duration cleanup = std::chrono::milliseconds(500))
      : loop_(detail::ReactorAccess::loop(reactor)), signals_wanted_(signals), grace_(grace), cleanup_(cleanup) {}
  ~GracefulShutdown() {
    if (open_) close();
  }

  // Takes the signals over. run() does so, too; signals that come after open() and before run() take effect in run().
  // Errors: those of Signals::open(), but EDEADLK.
  Result<void> open() {
    if (open_) return {};
    const auto callback = Delegate<void(int)>::of<&GracefulShutdown::advance>(*this);
    const Result<void> opened =
        signals_.open(detail::ReactorAccess::reactor(loop_), signals_wanted_, callback, Signals::Blocked::unblock);
    if (!opened) return opened;
    open_ = true;
    loop_.add_background();
    return {};
  }
  // Gives the signals back.
  void close() {
    detach();
    signals_.close();
  }
  // To be called instead of Reactor::run(). It also returns when there is nothing left but to wait for signals, or
  // after Reactor::stop(), which leaves the tasks as they are (during a shutdown it ends the current period). Then the
  // signals are given back; after a shutdown they stay taken: see above.
  // Errors: those of open() and of Reactor::run().
  Result<ShutdownReport> run() {
    if (loop_.is_running()) return Error(EBUSY);
    const Result<void> opened = open();
    if (!opened) return opened.error();
    ShutdownReport report;
    const Result<void> ran = run_phases(report);
    const bool is_end = requested();
    detach();
    if (is_end) {
      signals_.swallow();
    } else {
      signals_.close();
    }
    if (!ran) return ran.error();
    return report;
  }
  void request() { advance(0); }                                      // has the effect of a signal; also before run()
  bool requested() const { return requests_ != 0; }                   // for tasks that would never end by themselves
  void on_begin(Delegate<void()> callback) { on_begin_ = callback; }  // called when it begins, for work that is no task
  // From hold() to release(), work that is no task counts as one: the shutdown waits for it.
  void hold() { loop_.hold(); }
  void release() { loop_.release_hold(); }
 private:
  // Forgets the requests: the next run() begins from the start.
  void detach() {
    if (!open_) return;
    open_ = false;
    if (signals_.is_open()) loop_.remove_background();  // else the reactor has gone already
    requests_ = 0;
  }
  // Notes a signal, or a request (0), and ends the current phase if that makes more of them than the phase allows.
  void advance(int signal) {
    ++requests_;
    if (requests_ == 1) signal_ = signal;
    if (requests_ > requests_allowed_) loop_.stop_here();
  }
  bool is_forced() const { return requests_ > 1; }
  bool has_work() const { return loop_.stats().tasks != 0 || loop_.is_held(); }

  Result<void> run_phases(ShutdownReport& report) {
    const Result<void> served = serve();
    if (!served || !requested()) return served;
    report.signal = signal_;
    begin();
    const Result<void> drained = drain(report);
    if (!drained) return drained;
    if (has_work()) {
      const Result<void> cleaned_up = clean_up(report);
      if (!cleaned_up) return cleaned_up;
      report.destroyed = loop_.destroy_all_tasks();
    }
    report.forced = is_forced();
    return {};
  }
  // Runs the reactor until the first request.
  Result<void> serve() {
    std::uint32_t ended_before = 0;  // not reported: these tasks ended before the shutdown
    const Result<void> ran = run_phase(forever, 0, ended_before);
    signals_.deliver();  // one that came in the last moment of the run is not to be lost
    return ran;
  }
  void begin() {
    loop_.close_listeners();
    if (on_begin_) on_begin_();
  }
  // The grace period, which a second request ends.
  Result<void> drain(ShutdownReport& report) { return run_phase(grace_, 1, report.drained); }
  // Cancels the tasks that remain. A second request ends this period; if it has come already, they have one turn.
  Result<void> clean_up(ShutdownReport& report) {
    loop_.cancel_all_tasks();
    if (is_forced()) return run_phase(Duration::zero(), UINT32_MAX, report.cancelled);
    return run_phase(cleanup_, 1, report.cancelled);
  }
  // Runs until all is done, the time is up, or there have been more than `requests` requests. Stores in `ended` how
  // many tasks ended meanwhile.
  Result<void> run_phase(Duration duration, std::uint32_t requests, std::uint32_t& ended) {
    const std::uint64_t before = loop_.stats().tasks_ended;
    const Instant end = saturating_add(Clock::now(), duration);  // forever: the end of time
    requests_allowed_ = requests;
    if (requested()) loop_.set_flag(detail::draining);
    Result<void> ran;
    if (requests_ <= requests_allowed_) ran = loop_.run_until(end);
    requests_allowed_ = UINT32_MAX;
    loop_.clear_flag(detail::draining);
    ended = static_cast<std::uint32_t>(loop_.stats().tasks_ended - before);
    return ran;
  }

  bool open_ = false;
  detail::Loop& loop_;
  SignalSet signals_wanted_;
  Duration grace_;
  Duration cleanup_;
  Delegate<void()> on_begin_;
  Signals signals_;
  std::uint32_t requests_ = 0;
  std::uint32_t requests_allowed_ = UINT32_MAX;  // in the current phase: more of them end it
  int signal_ = 0;                               // the signal that began the shutdown; 0: a request
};

}  // namespace MOTE_NAMESPACE
}  // namespace mote

#endif  // MOTE_SHUTDOWN_GRACEFUL_SHUTDOWN_HPP
