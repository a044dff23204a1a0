// SPDX-License-Identifier: MIT
// Copyright (c) 2026 The mote authors
// Source: a descriptor of any kind that is owned and registered.
#ifndef MOTE_IO_SOURCE_HPP
#define MOTE_IO_SOURCE_HPP

#include <errno.h>       // errno and its names
#include <fcntl.h>       // open, fcntl, O_*
#include <sys/socket.h>  // sockets
#include <termios.h>     // serial ports
#include <unistd.h>      // read, write, close, getpid, STDERR_FILENO

#include <utility>  // move, forward, exchange

#include <mote/base/assert.hpp>
#include <mote/base/config.hpp>
#include <mote/base/error.hpp>
#include <mote/base/result.hpp>
#include <mote/io/endpoint.hpp>
#include <mote/io/source_base.hpp>
#include <mote/reactor/descriptor_table.hpp>
#include <mote/reactor/reactor.hpp>
#include <mote/reactor/slot.hpp>
#include <mote/selector/interest.hpp>
#include <mote/selector/look.hpp>
#include <mote/system/fd.hpp>
#include <mote/system/system.hpp>

namespace mote {
inline namespace MOTE_NAMESPACE {

// Owns a descriptor in a reactor's table, and closes it when it is destroyed. Registering costs no epoll_ctl: the
// kernel is told of it when something must be waited for. Streams, listeners and datagram sockets are Sources; a plain
// Source serves any other descriptor (GPIO, inotify, CAN) by ready() or watch(). Nobody else may close it: a descriptor
// that its library closes is for BorrowedSource, where tasks await it, or for ForeignDescriptors and Reactor::add().
//
// Movable, at any time: an operation that is pending on the object that it is moved from (or over) returns ECANCELED in
// its task's next step, and the new object has all that was there. It becomes empty if the reactor is destroyed first;
// tasks that wait for it then get ECANCELED, too. It must not be destroyed while another task's operation on it is
// pending: close() it, which makes that operation return ECANCELED, and let the task run.
// Size on a 32-bit board: 16 bytes.
class Source : protected detail::SourceBase {
 public:
  // Takes over a descriptor, of any kind. It is made non-blocking unless it is one of 0 to 2, which other processes
  // share: those are only used when reported ready, in small portions. On failure fd stays the caller's, and may have
  // been made non-blocking.
  // Errors:
  //   EBUSY    it is open already: close() it first.
  //   EBADF    fd is not an open descriptor.
  //   ENOBUFS  the table is full: see Config::descriptors.
  //   ENXIO    the reactor is not open.
  Result<void> open(Reactor& reactor, Fd&& fd) {
    if (slot_ != nullptr) return Error(detail::Reason::already_open);
    unsigned flags = 0;
    if (const Result<void> known = find_kind(fd.get(), flags); !known) return known;
    const bool is_shared = fd.get() >= 0 && fd.get() <= STDERR_FILENO;
    if (!is_shared) {
      if (const Result<void> made = make_non_blocking(fd.get()); !made) return made;
    }
    const bool is_socket = (flags & Slot::is_socket) != 0;
    if (is_shared && !is_socket) flags |= Slot::blocking;  // sockets are used with MSG_DONTWAIT, whatever their number
    return register_as(detail::ReactorAccess::loop(reactor), std::move(fd), flags);
  }
  // Tasks that wait for it get ECANCELED, once, also where it is opened again before they are stepped. (Of several
  // tasks that read, or write, one after the other, with a close() after each, before the first of them is stepped, the
  // last is told; the others go on with what has been opened.) Does nothing to one that is not open. Wakes all tasks
  // that wait for a free slot of the table: O(waiting tasks).
  void close() { SourceBase::close(); }
  // Returns the descriptor, no longer registered (and non-blocking, unless it is 0 to 2). Tasks that wait for it get
  // ECANCELED. Wakes tasks as close() does.
  Fd release() { return SourceBase::release(); }

  bool is_open() const { return slot_ != nullptr; }
  int fd() const { return slot_ != nullptr ? slot_->fd : -1; }
  Reactor& reactor() const { return detail::ReactorAccess::reactor(*loop_); }  // only of an open one

  // Completes when one of the things asked for is there (read, priority or both; or write), or hangup or error; returns
  // what there is at that moment, by poll(2). It takes nothing, and completes at once as long as that stays: read until
  // there is no more before the next ready(). A hang-up may stay for ever (a FIFO without writers, a device that was
  // removed), and an error until somebody reads it (SO_ERROR, the error queue): after `hangup` without `readable`,
  // close it, or sleep before the next look; a FIFO that waits for its next writer is opened with O_RDWR. A change that
  // came between open() and the first ready() is seen, where the kernel keeps it (sysfs, GPIO). For either of reading
  // and writing: first_of(ready(Interest::read), ready(Interest::write)).
  // Errors:
  //   EINVAL          nothing is asked for, or reading and writing at a time.
  //   EBUSY           when it has to wait: another task waits for this direction. Or it is watched.
  //   ECANCELED       the task was cancelled, or the source has been closed.
  //   EBADF           it was never opened, or its descriptor was closed by somebody else.
  //   EEXIST          another registration has the same number: see Reactor::add().
  //   ELOOP           as of Reactor::add().
  //   ENOMEM, ENOSPC  the kernel's limits on registrations.
  auto ready(Interest interest) {
    return make_operation<Readiness>(interest, "readiness", [this, interest] { return try_ready(interest); });
  }
  // The callback style: calls the handler with what is ready, as Reactor::add() does, instead of waking tasks. Call it
  // again to change the interest or the handler. `handler` must not be empty. After an error all is as before. There is
  // no way back to tasks but close() or release(); with Interest::none nothing but hang-up and error is heard.
  // Errors:
  //   EBADF           it is not open, or its descriptor was closed by somebody else.
  //   EBUSY           a task waits for it.
  //   EEXIST          another registration has the same number: see Reactor::add().
  //   ELOOP           as of Reactor::add().
  //   ENOMEM, ENOSPC  the kernel's limits on registrations.
  //   EMFILE, ENFILE  the system's limits, while the set has to be made anew (after a fork): try again.
  Result<void> watch(Interest interest, Handler handler) {
    if (slot_ == nullptr) return Error(detail::Reason::not_open);
    MOTE_ASSERT(handler && "Source::watch() needs a handler: to stop watching, close() or release() it");
    if (slot_->is_reading() || slot_->is_writing()) return Error(detail::Reason::operation_pending);
    slot_->reader.clear();
    slot_->writer.clear();
    return loop_->set_handler(*slot_, interest, handler);
  }

  // setsockopt(2) with an int.
  // Errors:
  //   EBADF                it is not open.
  //   ENOTSOCK             it is no socket.
  //   ENOPROTOOPT          the socket has no such option.
  //   EINVAL, EDOM         the option does not take this value.
  //   EPERM, EACCES        the option is for privileged processes.
  //   ENOMEM, ENOBUFS      the system's limits.
  Result<void> set_option(int level, int name, int value) {
    return detail::result_of(System::setsockopt(fd(), level, name, &value, sizeof value));
  }
  // Errors:
  //   EBADF     it is not open.
  //   ENOTSOCK  it is no socket.
  //   ENOBUFS   the system's limit.
  Result<Endpoint> local_endpoint() const { return ask_for_endpoint(&System::getsockname); }
  // Errors:
  //   EBADF     it is not open.
  //   ENOTSOCK  it is no socket.
  //   ENOTCONN  it is not connected, or not any more.
  //   ENOBUFS   the system's limit.
  Result<Endpoint> peer_endpoint() const { return ask_for_endpoint(&System::getpeername); }
 protected:
  // Which kind of descriptor it is, as flags of a slot.
  // Errors:
  //   EBADF  it is not open.
  static Result<void> find_kind(int fd, unsigned& flags) {
    int type = 0;
    socklen_t size = sizeof type;
    const bool is_socket = System::getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0;
    if (!is_socket && System::error() != ENOTSOCK) return detail::last_error();  // EBADF
    termios settings;
    const bool is_tty = !is_socket && System::tcgetattr(fd, &settings) == 0;
    if (is_socket) flags |= Slot::is_socket;
    if (is_socket && type == SOCK_STREAM) flags |= Slot::is_stream;
    if (is_tty) flags |= Slot::is_tty;
    return {};
  }
 private:
  Result<Readiness> try_ready(Interest interest) {
    constexpr Interest reading = Interest::read | Interest::priority;
    const bool is_for_reading = any(interest) && !any(interest & ~reading);
    if (!is_for_reading && interest != Interest::write) return Error(detail::Reason::bad_interest);
    disable_edges();  // the caller may leave unread what there is
    Readiness seen = detail::look(slot_->fd, interest);
    if (any(seen & detail::not_open)) return Error(EBADF);
    // Some files (/proc/mounts) tell a change once, to whoever asks first: that may have been the selector.
    const unsigned asked = detail::bits(interest & Interest::priority) | detail::bits(Readiness::error);
    const auto told_once = static_cast<Readiness>(asked);
    if ((slot_->flags & (Slot::is_socket | Slot::is_tty)) == 0) seen |= slot_->last() & told_once;
    slot_->take(told_once);
    return any(seen) ? Result<Readiness>(seen) : Error(EAGAIN);
  }
  static Result<void> make_non_blocking(int fd) {
    const int status = System::fcntl(fd, F_GETFL, 0);
    if (status < 0) return detail::last_error();
    if ((status & O_NONBLOCK) != 0) return {};
    return detail::result_of(System::fcntl(fd, F_SETFL, status | O_NONBLOCK));
  }
  Result<Endpoint> ask_for_endpoint(int (*ask)(int, sockaddr*, socklen_t*)) const {
    Endpoint endpoint;
    socklen_t size = Endpoint::capacity;
    if (ask(fd(), endpoint.address(), &size) != 0) return detail::last_error();
    endpoint.resize(size);
    return endpoint;
  }
};

}  // namespace MOTE_NAMESPACE
}  // namespace mote

#endif  // MOTE_IO_SOURCE_HPP
