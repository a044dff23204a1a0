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
#include <mote/base/exceptions.hpp>
#include <mote/base/result.hpp>
#include <mote/reactor/descriptor_table.hpp>
#include <mote/reactor/loop.hpp>
#include <mote/reactor/reactor.hpp>
#include <mote/system/clock.hpp>
#include <mote/thread/signal_set.hpp>
#include <mote/thread/signals.hpp>

namespace mote {
inline namespace MOTE_NAMESPACE {

// How a shutdown went. Each task that ended in it counts once, whatever it was for: one that only accepts, too.
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
// It must not move. Everything is for the loop's thread. The reactor may be destroyed first.
// Size on a 32-bit board: 168 bytes.
class GracefulShutdown {
 public:
  GracefulShutdown(Reactor& reactor, const SignalSet& wanted, AnyDuration grace = std::chrono::seconds(2),
                   AnyDuration cleanup = std::chrono::milliseconds(500))
      : loop_(detail::ReactorAccess::loop(reactor)), signals_wanted_(wanted), grace_(grace), cleanup_(cleanup) {
    loop_.add_reference(existing_loop_);
  }
  ~GracefulShutdown() {
    if (open_) close();
  }

  // Takes the signals over. run() does so, too; signals that come after open() and before run() take effect in run().
  // Errors: those of Signals::open(), but EDEADLK. ENXIO also where the reactor has gone.
  Result<void> open() {
    if (is_loop_gone()) return Error(detail::Reason::reactor_has_gone);
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
  // signals are given back; after a shutdown they stay taken: see above. Where an exception leaves it, the next run()
  // goes on: in the same period, with what is left of its time.
  // Errors: those of open() and of Reactor::run().
  // Always inlined: it is called once in a program, and g++ makes it smaller so.
  [[gnu::always_inline]] Result<ShutdownReport> run() {
    if (!is_loop_gone() && loop_.is_running()) return Error(detail::Reason::already_running);
    const Result<void> opened = open();
    if (!opened) return opened.error();
    ShutdownReport report;
    Progress progress;
    if (detail::has_exceptions) {
      report = report_left_;
      progress = left_;
    }
    detail::OnException go_on_later([this, &report, &progress] {
      report_left_ = report;
      left_ = progress;
    });
    const Result<void> ran = run_phases(report, progress);
    go_on_later.dismiss();
    report.forced = is_forced();
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
  void hold() {
    if (!is_loop_gone()) loop_.hold();
  }
  void release() {
    if (!is_loop_gone()) loop_.release_hold();
  }
 private:
  enum class Phase : std::uint8_t { serve, drain, clean_up };
  struct Progress {
    Phase phase = Phase::serve;
    Instant end{};  // of the grace period, or of the clean-up period; known only where there are exceptions
  };

  bool is_loop_gone() const { return existing_loop_.loop == nullptr; }  // then loop_ must not be used
  // Forgets the requests: the next run() begins from the start.
  void detach() {
    if (!open_) return;
    open_ = false;
    if (signals_.is_open()) loop_.remove_background();  // else the reactor has gone already
    requests_ = 0;
    if (!detail::has_exceptions) return;
    report_left_ = {};
    left_ = {};
  }
  // Notes a signal, or a request (0), and ends the current phase if that makes more of them than the phase allows.
  void advance(int signal) {
    ++requests_;
    if (requests_ == 1) signal_ = signal;
    if (requests_ > requests_allowed_) loop_.stop_here();
  }
  bool is_forced() const { return requests_ > 1; }
  bool has_work() const { return loop_.stats().tasks != 0 || loop_.is_held(); }

  Result<void> run_phases(ShutdownReport& report, Progress& progress) {
    if (detail::has_exceptions && progress.phase != Phase::serve) return go_on(report, progress);
    const Result<void> served = serve();
    if (!served || !requested()) return served;
    report.signal = signal_;
    enter_phase(progress, Phase::drain, grace_);
    begin();
    return drain(report, progress, grace_);
  }
  // In the phase that an exception has left.
  Result<void> go_on(ShutdownReport& report, Progress& progress) {
    const Instant now = Clock::now();
    const Duration left = progress.end > now ? progress.end - now : Duration::zero();
    return progress.phase == Phase::drain ? drain(report, progress, left) : clean_up(report, left);
  }
  static void enter_phase(Progress& progress, Phase phase, Duration duration) {
    progress.phase = phase;
    if (detail::has_exceptions) progress.end = saturating_add(Clock::now(), duration);
  }
  // Runs the reactor until the first request.
  Result<void> serve() {
    std::uint32_t ended_before = 0;  // not reported: these tasks ended before the shutdown
    const Result<void> ran = run_phase(unlimited, 0, ended_before);
    signals_.deliver();  // one that came in the last moment of the run is not to be lost
    return ran;
  }
  void begin() {
    loop_.close_listeners();
    if (on_begin_) on_begin_();
  }
  // The grace period, which a second request ends; and then what has to be done with the tasks that remain.
  Result<void> drain(ShutdownReport& report, Progress& progress, Duration duration) {
    const Result<void> drained = run_phase(duration, 1, report.drained);
    if (!drained || !has_work()) return drained;
    enter_phase(progress, Phase::clean_up, cleanup_);
    loop_.cancel_all_tasks();
    return clean_up(report, cleanup_);
  }
  // The clean-up period. A second request ends it; if that has come already, the tasks have one turn.
  Result<void> clean_up(ShutdownReport& report, Duration duration) {
    const Result<void> cleaned_up = is_forced() ? run_phase(Duration::zero(), UINT32_MAX, report.cancelled)
                                                : run_phase(duration, 1, report.cancelled);
    if (cleaned_up) report.destroyed = loop_.destroy_all_tasks();
    return cleaned_up;
  }
  // Runs until all is done, the time is up, or there have been more than `requests` requests. Adds to `ended` how
  // many tasks ended meanwhile.
  Result<void> run_phase(Duration duration, std::uint32_t requests, std::uint32_t& ended) {
    const std::uint64_t before = loop_.stats().tasks_ended;
    const Instant end = saturating_add(Clock::now(), duration);  // unlimited: the end of time
    requests_allowed_ = requests;
    if (requested()) loop_.set_flag(detail::draining);
    detail::OnException leave([this, before, &ended] {
      if (requests_ > requests_allowed_) loop_.forget_stop();  // this phase is over: the next one is not to be ended
      leave_phase(before, ended);
    });
    Result<void> ran;
    if (requests_ <= requests_allowed_) ran = loop_.run_until(end);
    leave.dismiss();
    leave_phase(before, ended);
    return ran;
  }
  [[gnu::always_inline]] void leave_phase(std::uint64_t ended_before, std::uint32_t& ended) {
    requests_allowed_ = UINT32_MAX;
    loop_.clear_flag(detail::draining);
    ended += static_cast<std::uint32_t>(loop_.stats().tasks_ended - ended_before);
  }

  bool open_ = false;
  detail::Loop& loop_;
  detail::LoopReference existing_loop_;
  SignalSet signals_wanted_;
  Duration grace_;
  Duration cleanup_;
  Delegate<void()> on_begin_;
  Signals signals_;
  std::uint32_t requests_ = 0;
  std::uint32_t requests_allowed_ = UINT32_MAX;  // in the current phase: more of them end it
  int signal_ = 0;                               // the signal that began the shutdown; 0: a request
  ShutdownReport report_left_;                   // of a run that an exception has left
  Progress left_;                                // the same
};

}  // namespace MOTE_NAMESPACE
}  // namespace mote

#endif  // MOTE_SHUTDOWN_GRACEFUL_SHUTDOWN_HPP
