// SPDX-License-Identifier: MIT
// Copyright (c) 2026 The mote authors
// Datagram: a socket of datagrams, UDP or Unix-domain.
#ifndef MOTE_IO_DATAGRAM_HPP
#define MOTE_IO_DATAGRAM_HPP

#include <errno.h>       // errno and its names
#include <string.h>      // memory and strings
#include <sys/socket.h>  // sockets

#include <cstddef>  // size_t, ptrdiff_t
#include <utility>  // move, forward, exchange

#include <mote/base/bytes.hpp>
#include <mote/base/config.hpp>
#include <mote/base/error.hpp>
#include <mote/base/result.hpp>
#include <mote/io/endpoint.hpp>
#include <mote/io/source.hpp>
#include <mote/io/transfer.hpp>
#include <mote/reactor/reactor.hpp>
#include <mote/reactor/slot.hpp>
#include <mote/selector/interest.hpp>
#include <mote/system/fd.hpp>
#include <mote/system/system.hpp>

namespace mote {
inline namespace MOTE_NAMESPACE {

// Datagrams, UDP or Unix-domain. What is in the error queue (time stamps, IP_RECVERR: see MSG_ERRQUEUE in recv(2)) is
// left there: whoever has asked the kernel for it reads it, by fd(). Until then a datagram may be received up to
// limits::retry_pause (100 ms) late, by a handler, and with poll(2) also by a task: see Reactor::add().
//
// Errors of all operations that are awaited, beside their own:
//   EBUSY         when it has to wait: another task waits in this direction. Or the socket is watched.
//   ECANCELED     the task was cancelled, or the socket has been closed, as at shutdown.
//   EBADF         it was never opened, or its descriptor was closed by somebody else.
//   ECONNREFUSED  an earlier datagram of a connected socket found nobody (ICMP). The socket stays usable.
//   ENOMEM        the kernel is out of memory: try later.
//   ENOSPC        the kernel's limit on registrations, when it has to wait.
//   EEXIST        when it has to wait: another registration has the same number. See Reactor::add().
// Size on a 32-bit board: 16 bytes.
class Datagram : public Source {
 public:
  struct Received {
    std::size_t size = 0;    // bytes in the buffer; 0 is an empty datagram, not the end
    bool truncated = false;  // the datagram was longer than the buffer; the rest is lost
  };

  // Opens a socket that is bound to the endpoint, whose port may be 0: the kernel chooses one.
  // Errors:
  //   EBUSY                   it is open already: close() it first.
  //   EADDRINUSE              the address is taken, or the Unix socket's path exists.
  //   EADDRNOTAVAIL           the address is none of this machine.
  //   EACCES                  not allowed: a port below 1024, or the directory's permissions.
  //   EAFNOSUPPORT            the kernel does not know this family; or the endpoint is none.
  //   ENOBUFS                 the table is full: see Config::descriptors; or the kernel's memory.
  //   EMFILE, ENFILE, ENOMEM  the system's limits.
  //   ENXIO                   the reactor is not open.
  Result<void> open(Reactor& reactor, const Endpoint& endpoint) {
    if (slot_ != nullptr) return Error(detail::Reason::already_open);
    Fd fd(System::socket(static_cast<int>(endpoint.family()), SOCK_DGRAM));
    if (!fd) return detail::last_error();
    if (System::bind(fd.get(), endpoint.address(), endpoint.size()) != 0) return detail::last_error();
    return register_as(detail::ReactorAccess::loop(reactor), std::move(fd), Slot::is_socket);
  }
  // Opens a socket of that family, which the first send binds. Errors: as above, but for those of the address.
  Result<void> open(Reactor& reactor, Family family) {
    if (slot_ != nullptr) return Error(detail::Reason::already_open);
    Fd fd(System::socket(static_cast<int>(family), SOCK_DGRAM));
    if (!fd) return detail::last_error();
    return register_as(detail::ReactorAccess::loop(reactor), std::move(fd), Slot::is_socket);
  }
  // Sets the peer, to which send() sends and from which alone recv() receives. Completes at once. Errors: those of
  // connect(2), and EBADF where it is not open: unlike Stream::connect() this does not open it.
  Result<void> connect(const Endpoint& to) {
    if (slot_ == nullptr) return Error(detail::Reason::not_open);
    return detail::result_of(System::connect(fd(), to.address(), to.size()));
  }

  // ---- operations ----

  // Receives a datagram, and in `from`, unless it is null, from where it came.
  auto recv(ByteSpan buffer, Endpoint* from = nullptr) {
    return make_operation<Received>(Interest::read, "a datagram", [this, buffer, from] {
      return slot_->may_read() ? try_recv(buffer, from) : Error(EAGAIN);
    });
  }
  auto recv_from(ByteSpan buffer, Endpoint& from) { return recv(buffer, &from); }
  // Sends all or nothing: to where the socket is connected, if `to` is null.
  // Errors, beside those above:
  //   EMSGSIZE                   too long for one datagram.
  //   ENOBUFS                    the interface's queue is full: try later.
  //   ENETUNREACH, EHOSTUNREACH  the network reports that there is no way there.
  //   ENOENT                     there is no Unix socket of this path.
  //   EDESTADDRREQ               the socket is not connected, and `to` is null.
  //   EACCES                     not allowed: the path's permissions; or a broadcast without SO_BROADCAST.
  //   EPERM                      a firewall forbids it.
  auto send(ByteView bytes, const Endpoint* to = nullptr) {
    return make_operation<void>(Interest::write, "room to write", [this, bytes, to] {
      return slot_->may_write() ? try_send_to(bytes, to) : Error(EAGAIN);
    });
  }
  auto send_to(ByteView bytes, const Endpoint& to) { return send(bytes, &to); }

  // ---- one attempt, for the callback style ----

  // Errors, beside those of recv():
  //   EAGAIN   there is no datagram now.
  //   EBADF    it is not open.
  Result<Received> try_recv(ByteSpan buffer, Endpoint* from = nullptr) {
    if (slot_ == nullptr) return Error(detail::Reason::not_open);
    iovec vector{buffer.data(), buffer.size()};
    msghdr message;
    ::memset(&message, 0, sizeof message);
    message.msg_iov = &vector;
    message.msg_iovlen = 1;
    if (from != nullptr) {
      *from = Endpoint();
      message.msg_name = from->address();
      message.msg_namelen = Endpoint::capacity;
    }
    const ssize_t n = detail::retry([&] { return System::recvmsg(slot_->fd, &message, MSG_DONTWAIT); });
    if (n < 0) return Error(-detail::receive_failed(*slot_));
    if (from != nullptr) from->resize(message.msg_namelen);
    return Received{static_cast<std::size_t>(n), (message.msg_flags & MSG_TRUNC) != 0};
  }
  // Errors, beside those of send():
  //   EAGAIN   there is no room now.
  //   EBADF    it is not open.
  Result<void> try_send_to(ByteView bytes, const Endpoint* to = nullptr) {
    if (slot_ == nullptr) return Error(detail::Reason::not_open);
    const sockaddr* const address = to != nullptr ? to->address() : nullptr;
    const socklen_t size = to != nullptr ? to->size() : 0;
    const int flags = MSG_DONTWAIT | MSG_NOSIGNAL;
    const auto send_once = [&] { return System::sendto(slot_->fd, bytes.data(), bytes.size(), flags, address, size); };
    const ssize_t n = detail::retry(send_once);
    if (n < 0) return Error(detail::note_failure(*slot_, slot_->write_state));
    return {};
  }
};

}  // namespace MOTE_NAMESPACE
}  // namespace mote

#endif  // MOTE_IO_DATAGRAM_HPP
