// SPDX-License-Identifier: MIT
// Copyright (c) 2026 The mote authors
// Watchdog and Heartbeat: finding out that the loop, or a task, hangs.
#ifndef MOTE_SYNC_WATCHDOG_HPP
#define MOTE_SYNC_WATCHDOG_HPP

#include <errno.h>       // errno and its names
#include <fcntl.h>       // open, fcntl, O_*
#include <stdlib.h>      // getenv, strtoul, strtoull
#include <sys/socket.h>  // sockets

#include <cstdint>  // integers of fixed width
#include <utility>  // move, forward, exchange

#include <mote/base/config.hpp>
#include <mote/base/delegate.hpp>
#include <mote/base/error.hpp>
#include <mote/base/list.hpp>
#include <mote/base/pinned.hpp>
#include <mote/base/result.hpp>
#include <mote/io/endpoint.hpp>
#include <mote/io/service_manager.hpp>
#include <mote/reactor/reactor.hpp>
#include <mote/system/clock.hpp>
#include <mote/system/fd.hpp>
#include <mote/system/system.hpp>
#include <mote/time/timer.hpp>

namespace mote {
inline namespace MOTE_NAMESPACE {
class Watchdog;

// A sign of life that a watchdog waits for: a member of a task, mostly. Its end ends the supervision: what is closed or
// destroyed need not beat any more, and the watchdog is fed without it. So where a task ends that must not, as one that
// fails, end the program (GracefulShutdown::request(), an exit code), or have the heartbeat in static storage: then the
// watchdog is not fed any more. It must not move.
// Size on a 32-bit board: 20 bytes.
class Heartbeat : detail::ListNode {
 public:
  ~Heartbeat() { close(); }

  void open(Watchdog& watchdog, const char* name);  // it must beat() in each period; the name must outlive it
  void close();                                     // it need not beat any more
  bool is_open() const { return linked(); }         // false once the watchdog is destroyed
  void beat();                                      // shows that its task lives; no effect where it is not open
  bool has_beaten() const { return beaten_; }       // since the watchdog was fed last
  const char* name() const { return name_; }
 private:
  friend class Watchdog;

  Watchdog* watchdog_ = nullptr;
  const char* name_ = nullptr;
  bool beaten_ = false;
};

// Feeds a watchdog once in a period, at the end of a turn, if every heartbeat has beaten since the last time; if one is
// late, when it has beaten. So it finds out both when the loop hangs and when a task does. It drives a device such as
// /dev/watchdog (its timeout, the driver's or set with WDIOC_SETTIMEOUT on fd(), must be longer than the period), or
// systemd's NOTIFY socket, see sd_notify(3) and sd_watchdog_enabled(3). Feeding is O(heartbeats). It must not move.
// Size on a 32-bit board: 248 bytes.
class Watchdog : detail::Pinned {
 public:
  // A device stays armed: it resets the machine, unless the next process feeds it in time.
  ~Watchdog() {
    while (Heartbeat* const heartbeat = first()) heartbeat->close();
  }

  // Opens the device, which arms it, and feeds it from now on.
  // Errors:
  //   EBUSY           this is open already, or another process has opened the device.
  //   ENOENT, ENXIO   there is no such device, or no driver for it.
  //   EACCES          the process may not open it.
  //   EMFILE, ENFILE  the system's limits.
  Result<void> open(Reactor& reactor, const char* path, AnyDuration period) {
    if (fd_) return Error(detail::Reason::already_open);
    Fd fd(detail::retry([path] { return System::open(path, O_WRONLY | O_NONBLOCK); }));
    if (!fd) return detail::last_error();
    return start(reactor, std::move(fd), period);
  }
  // The same with a descriptor that is open already; it should not block.
  // Errors:
  //   EBUSY  it is open already.
  //   EBADF  there is no descriptor.
  Result<void> open(Reactor& reactor, Fd&& fd, AnyDuration period) {
    if (fd_) return Error(detail::Reason::already_open);
    if (!fd) return Error(EBADF);
    return start(reactor, std::move(fd), period);
  }
  // Opens systemd's socket, as the environment says: NOTIFY_SOCKET, and WATCHDOG_USEC (for the process of
  // WATCHDOG_PID), half of which is the period. If systemd asks for no watchdog, only notify() has an effect.
  // Errors:
  //   EBUSY                   it is open already.
  //   ENOENT                  the process has not been started by systemd: go on without.
  //   EINVAL                  the environment's variables make no sense.
  //   EMFILE, ENFILE, ENOMEM  the system's limits.
  Result<void> open_notify(Reactor& reactor) {
    if (fd_) return Error(detail::Reason::already_open);
    const Result<Endpoint> to = detail::service_manager();
    if (!to) return to.error();
    Fd fd(System::socket(AF_UNIX, SOCK_DGRAM));
    if (!fd) return detail::last_error();
    const Result<Duration> period = period_from_environment();
    if (!period) return period.error();
    to_ = *to;
    return start(reactor, std::move(fd), *period);
  }
  // Sends a state to systemd: "READY=1", "STOPPING=1", "STATUS=...". Where there is no open_notify(), as where a device
  // is driven: notify_service_manager().
  // Errors:
  //   EBADF                 open_notify() has not succeeded.
  //   EAGAIN                systemd is slow to read: try again later.
  //   ECONNREFUSED, ENOENT  systemd's socket is not there.
  Result<void> notify(const char* state) {
    if (!fd_ || to_.size() == 0) return Error(detail::Reason::not_open);
    return detail::tell_service_manager(fd_, to_, state);
  }
  // Disarms the device, if its driver allows it (not with CONFIG_WATCHDOG_NOWAYOUT). The descriptor is closed in any
  // case. Errors: those of write(2) on the device, which then stays armed.
  Result<void> close() {
    timer_.cancel();
    late_.cancel();
    Result<void> told;
    if (fd_ && to_.size() == 0) told = write("V");
    fd_.close();
    to_ = Endpoint();
    return told;
  }
  int fd() const { return fd_.get(); }
  std::uint32_t fed() const { return fed_; }           // how many times it was fed
  Result<void> last_feeding() const { return last_; }  // if it failed, it is tried again in the next period
  // The first heartbeat that has not beaten since the watchdog was fed; null: all have. O(heartbeats).
  const Heartbeat* missing() {
    Heartbeat* heartbeat = first();
    while (heartbeat != nullptr && heartbeat->has_beaten()) heartbeat = after(*heartbeat);
    return heartbeat;
  }
 private:
  friend class Heartbeat;

  // Zero: systemd asks for no watchdog, or asks another process. EINVAL: a variable is no number, or the time is too
  // long.
  static Result<Duration> period_from_environment() {
    unsigned long long microseconds = 0;
    const auto own_process = static_cast<unsigned long long>(System::process());
    unsigned long long process = own_process;
    if (!read_variable("WATCHDOG_USEC", microseconds) || !read_variable("WATCHDOG_PID", process) ||
        microseconds > INT64_MAX / 1000) {
      return Error(detail::Reason::bad_watchdog_variable);
    }
    if (process != own_process) return Duration::zero();
    return Duration(static_cast<std::int64_t>(microseconds) * 500);
  }
  // A decimal number, of digits alone; what is too large is ULLONG_MAX. One that is not set leaves `value` as it is.
  static bool read_variable(const char* name, unsigned long long& value) {
    const char* const text = ::getenv(name);
    if (text == nullptr) return true;
    char* end = nullptr;
    value = ::strtoull(text, &end, 10);
    return text[0] >= '0' && text[0] <= '9' && *end == '\0';
  }
  Result<void> start(Reactor& reactor, Fd&& fd, Duration period) {
    fd_ = std::move(fd);
    reactor_ = &reactor;
    due_ = false;
    last_ = {};
    if (period > Duration::zero()) timer_.arm_every(reactor, period, Delegate<void()>::of<&Watchdog::tick>(*this));
    return {};
  }

  // ---- feeding ----

  void tick() {
    due_ = true;
    feed_if_due();
  }
  // The last heartbeat that was missing has beaten, after the tick.
  void feed_at_end_of_turn() {
    if (!timer_.armed()) return;  // this was closed, or the reactor was destroyed
    late_.arm(*reactor_, Duration::zero(), Delegate<void()>::of<&Watchdog::feed_if_due>(*this));
  }
  void feed_if_due() {
    if (!due_ || missing_ != 0) return;
    due_ = false;
    last_ = to_.size() != 0 ? notify("WATCHDOG=1") : write("1");
    if (last_) ++fed_;
    for (Heartbeat* heartbeat = first(); heartbeat != nullptr; heartbeat = after(*heartbeat)) {
      heartbeat->beaten_ = false;
      ++missing_;
    }
  }
  // Writes the first byte of `text` to the device.
  Result<void> write(const char* text) {
    const auto written = detail::retry([this, text] { return System::write(fd_.get(), text, 1); });
    return detail::result_of(static_cast<int>(written));
  }

  // ---- heartbeats ----

  void add(Heartbeat& heartbeat) {
    heartbeats_.push_back(heartbeat);
    ++missing_;
  }
  void note_beat() {
    --missing_;
    if (missing_ == 0 && due_) feed_at_end_of_turn();
  }
  Heartbeat* first() { return static_cast<Heartbeat*>(heartbeats_.front()); }
  Heartbeat* after(Heartbeat& heartbeat) { return static_cast<Heartbeat*>(heartbeats_.after(heartbeat)); }

  detail::List<detail::ListNode> heartbeats_;
  Reactor* reactor_ = nullptr;
  Timer timer_;  // of the period
  Timer late_;   // fires at the end of the turn in which the last heartbeat has beaten, if that was late
  Endpoint to_;  // systemd's socket; empty: a device is driven
  Fd fd_;
  Result<void> last_;
  std::uint32_t missing_ = 0;  // heartbeats that have not beaten since it was fed
  std::uint32_t fed_ = 0;
  bool due_ = false;  // the period is over, and it has not been fed yet
};

inline void Heartbeat::open(Watchdog& watchdog, const char* name) {
  close();
  watchdog_ = &watchdog;
  name_ = name;
  beaten_ = false;
  watchdog.add(*this);
}
inline void Heartbeat::close() {
  if (!linked()) return;
  beat();  // so that the watchdog does not wait for it
  unlink();
}
inline void Heartbeat::beat() {
  if (!linked() || beaten_) return;
  beaten_ = true;
  watchdog_->note_beat();
}

}  // namespace MOTE_NAMESPACE
}  // namespace mote

#endif  // MOTE_SYNC_WATCHDOG_HPP
