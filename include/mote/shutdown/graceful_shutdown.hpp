// SPDX-License-Identifier: MIT
// Copyright (c) 2026 The mote authors
// GracefulShutdown: runs a reactor, and ends it with grace.
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
  std::uint32_t cancelled = 0;  // that ended after having been cancelled
  std::uint32_t destroyed = 0;  // that had to be destroyed
  int signal = 0;               // that began it; 0: request(), or there was nothing left to do
  bool forced = false;          // by a second signal or request
};

// Runs a reactor and ends it with grace. The first signal closes all listeners, so that new connections are refused at
// once, and gives every task one common grace period to finish; then those that remain are cancelled together, and what
// still stands after the clean-up period is destroyed. A second signal forces: the rest is cancelled, has one turn to
// clean up, and is destroyed.
//
//   serve     until the first signal, or until there is nothing left to do
//   drain     until all tasks have ended, the grace period is over, or the second signal
//   clean up  the rest is cancelled: until all have ended, the clean-up period is over, or the second signal
//   destroy   what is left
//
// It must not move. Everything is for the loop's thread. Size on a 32-bit board: 128 bytes.
class GracefulShutdown {
 public:
  GracefulShutdown(Reactor& reactor, const SignalSet& signals, Duration grace = std::chrono::seconds(2),
                   Duration cleanup = std::chrono::milliseconds(500))
      : loop_(detail::ReactorAccess::loop(reactor)), signals_wanted_(signals), grace_(grace), cleanup_(cleanup) {}
  ~GracefulShutdown() { close(); }

  // Takes the signals over, which run() does, too: those that come before it are answered by run(). Errors: of
  // Signals::open().
  Result<void> open() {
    if (open_) return {};
    const auto callback = Delegate<void(int)>::of<&GracefulShutdown::advance>(*this);
    const Result<void> opened = signals_.open(detail::ReactorAccess::reactor(loop_), signals_wanted_, callback);
    if (!opened) return opened;
    open_ = true;
    loop_.add_background();
    return {};
  }
  // Gives them back, as run() does at its end.
  void close() {
    if (!open_) return;
    open_ = false;
    loop_.remove_background();
    signals_.close();
    requests_ = 0;
  }
  // Instead of Reactor::run(). Also returns when there is nothing left but to wait for signals, or after
  // Reactor::stop(), which leaves tasks as they stand (amid a shutdown: ends the grace period). Errors: of open() and
  // Reactor::run().
  Result<ShutdownReport> run() {
    if (loop_.is_running()) return Error(EBUSY);
    const Result<void> opened = open();
    if (!opened) return opened.error();
    ShutdownReport report;
    const Result<void> ran = run_phases(report);
    close();
    if (!ran) return ran.error();
    return report;
  }
  void request() { advance(0); }                                      // as a signal would; also before run()
  bool requested() const { return requests_ != 0; }                   // for tasks that would go on for ever
  void on_begin(Delegate<void()> callback) { on_begin_ = callback; }  // called when it begins, for what is not a task
  // Work that is no task counts as one from hold() to release().
  void hold() { loop_.hold(); }
  void release() { loop_.release_hold(); }
 private:
  // A signal has come, or a request (0). It ends the phase that is running, if that allows no more.
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
  // The reactor does its work, until the first request.
  Result<void> serve() {
    std::uint32_t ended_before = 0;  // not by the shutdown
    return run_phase(forever, 0, ended_before);
  }
  void begin() {
    loop_.close_listeners();
    if (on_begin_) on_begin_();
  }
  // The grace period, which a second request ends.
  Result<void> drain(ShutdownReport& report) { return run_phase(grace_, 1, report.drained); }
  // The rest is cancelled. A second request ends this period; where it has come already, there is one turn.
  Result<void> clean_up(ShutdownReport& report) {
    loop_.cancel_all_tasks();
    if (is_forced()) return run_phase(Duration::zero(), UINT32_MAX, report.cancelled);
    return run_phase(cleanup_, 1, report.cancelled);
  }
  // Runs until all is done, the time is up, or there have been more than `requests` requests. Tells how many tasks
  // ended.
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
  std::uint32_t requests_allowed_ = UINT32_MAX;  // in this phase: more of them end it
  int signal_ = 0;                               // that began it
};

}  // namespace MOTE_NAMESPACE
}  // namespace mote

#endif  // MOTE_SHUTDOWN_GRACEFUL_SHUTDOWN_HPP
