// SPDX-License-Identifier: MIT
// Copyright (c) 2026 The mote authors
// Listener: accepts connections.
#ifndef MOTE_IO_LISTENER_HPP
#define MOTE_IO_LISTENER_HPP

#include <errno.h>        // errno and its names
#include <netinet/in.h>   // sockaddr_in, sockaddr_in6
#include <netinet/tcp.h>  // TCP_NODELAY, keep-alive options
#include <sys/socket.h>   // sockets

#include <utility>  // move, forward, exchange

#include <mote/base/config.hpp>
#include <mote/base/error.hpp>
#include <mote/base/poll.hpp>
#include <mote/base/result.hpp>
#include <mote/io/endpoint.hpp>
#include <mote/io/source.hpp>
#include <mote/io/stream.hpp>
#include <mote/reactor/reactor.hpp>
#include <mote/reactor/slot.hpp>
#include <mote/selector/interest.hpp>
#include <mote/system/fd.hpp>
#include <mote/system/system.hpp>
#include <mote/task/operation.hpp>
#include <mote/task/poll_context.hpp>
#include <mote/task/wait_queue.hpp>

namespace mote {
inline namespace MOTE_NAMESPACE {

// Accepts connections. When there is no room accept() waits, so that connections stay in the kernel's backlog: for a
// free slot of the table; or, when the system refuses a descriptor or memory, for limits::retry_pause (100 ms).
// Size on a 32-bit board: 16 bytes.
class Listener : public Source {
 public:
  struct Options {
    bool reuse_address = true;  // take over an address whose old connections linger in TIME_WAIT
    bool reuse_port = false;    // share the port with other processes' listeners
    bool no_delay = false;      // TCP_NODELAY, inherited by the accepted connections: no system call for each of them
    bool ipv6_only = false;
    int backlog = SOMAXCONN;
  };
  // Listens at once; connections wait in the backlog until they are accepted.
  // Errors:
  //   EBUSY                    it is open already: close() it first.
  //   EADDRINUSE               somebody listens there, or the Unix socket's path exists: unlink() a leftover.
  //   EADDRNOTAVAIL            the address is none of this machine.
  //   EACCES                   not allowed: a port below 1024, or the directory's permissions.
  //   EAFNOSUPPORT             the kernel does not know this family; or the endpoint is none.
  //   ENOENT, ENOTDIR          a directory of the path does not exist, or is none.
  //   ENOBUFS                  the table is full: see Config::descriptors; or the kernel's memory.
  //   EMFILE, ENFILE, ENOMEM   the system's limits.
  //   ENXIO                    the reactor is not open.
  Result<void> open(Reactor& reactor, const Endpoint& endpoint) { return open(reactor, endpoint, Options()); }
  Result<void> open(Reactor& reactor, const Endpoint& endpoint, const Options& options) {
    if (slot_ != nullptr) return Error(detail::Reason::already_open);
    Fd fd(System::socket(static_cast<int>(endpoint.family()), SOCK_STREAM));
    if (!fd) return detail::last_error();
    unsigned flags = Slot::is_socket | Slot::listening;
    if (endpoint.family() != Family::unix_domain) {
      flags |= Slot::is_tcp;
      if (const Result<void> set = set_options(fd.get(), endpoint.family(), options); !set) return set;
    }
    if (System::bind(fd.get(), endpoint.address(), endpoint.size()) != 0) return detail::last_error();
    if (System::listen(fd.get(), options.backlog) != 0) return detail::last_error();
    return register_as(detail::ReactorAccess::loop(reactor), std::move(fd), flags);
  }

  // Accepts the next connection; those that the peer has ended already are passed over.
  // Errors:
  //   EBUSY            when it has to wait: another task waits to accept. Or the listener is watched.
  //   ECANCELED        the task was cancelled, or the listener has been closed, as at shutdown.
  //   EBADF            it was never opened, or its descriptor was closed by somebody else.
  //   EINVAL           its descriptor was shut down (shutdown(2)) by somebody else.
  //   ENOBUFS          it has to wait for a slot or the system, and the task waits in limits::queues_per_task queues.
  //   ENOMEM, ENOSPC   the kernel's limits on registrations, when it has to wait.
  //   EEXIST           when it has to wait: another registration has the same number. See Reactor::add().
  auto accept() {
    return detail::make_operation<Stream>([this](PollContext context) {
      return Poll<Result<Stream>>::in_place([&](Stream& stream) { return attempt_accept(context, stream); });
    });
  }
  // One attempt, for the callback style. After any of these errors but EAGAIN and EBADF the listener stays ready:
  // watch() it with Interest::none, and try again later.
  // Errors:
  //   EAGAIN                   there is no connection now.
  //   EBADF                    it is not open.
  //   ENOBUFS                  the table is full, or the kernel's memory.
  //   EMFILE, ENFILE, ENOMEM   the system's limits.
  //   EPERM                    a firewall forbids it.
  //   ECONNABORTED             many connections in a row had been ended before they were accepted.
  Result<Stream> try_accept() {
    if (slot_ == nullptr) return Error(detail::Reason::not_open);
    if (loop_->vacancies() == 0) return Error(detail::Reason::descriptor_table_full);
    return Result<Stream>::in_place([this](Stream& stream) { return accept_into(stream); });
  }
 private:
  static Result<void> set_options(int fd, Family family, const Options& options) {
    static constexpr struct {
      int level;
      int name;
    } names[] = {{SOL_SOCKET, SO_REUSEADDR},
                 {SOL_SOCKET, SO_REUSEPORT},
                 {IPPROTO_TCP, TCP_NODELAY},
                 {IPPROTO_IPV6, IPV6_V6ONLY}};
    const bool ipv6_only = family == Family::ipv6 && options.ipv6_only;
    const bool wanted[] = {options.reuse_address, options.reuse_port, options.no_delay, ipv6_only};
    for (std::size_t i = 0; i < sizeof wanted; ++i) {
      const int on = 1;
      if (!wanted[i]) continue;
      if (System::setsockopt(fd, names[i].level, names[i].name, &on, sizeof on) != 0) return detail::last_error();
    }
    return {};
  }

  Result<void> attempt_accept(PollContext context, Stream& stream) {
    if (loop_ == nullptr) return context.fail(Error(detail::Reason::not_open));
    loop_->vacancy().remove(context.header());
    loop_->accept_retry().remove(context.header());
    Error refusal;
    if (!proceed(context, Interest::read, refusal)) return refusal;
    if (loop_->vacancies() == 0) return wait_in(loop_->vacancy(), context, "a free slot in the table");
    const Result<void> accepted = slot_->may_read() ? accept_into(stream) : Error(EAGAIN);
    const int error = accepted ? 0 : accepted.error().code();
    if (error == EAGAIN) {
      slot_->read_state |= Slot::must_wait;
      return wait_for(context, Interest::read, "a connection");
    }
    if (!may_pass_with_time(error)) return accepted;
    loop_->expect_retry();
    return wait_in(loop_->accept_retry(), context, "a descriptor or memory from the system");
  }
  // Waits elsewhere than for the descriptor. The reader is the record of whose operation is pending: it awaits a bit
  // that no event answers.
  Error wait_in(WaitQueue& queue, PollContext context, const char* what) {
    if (slot_->reader.is_taken_by_another(context.header())) return Error(detail::Reason::awaited_by_another_task);
    const Error answer = queue.wait(context.header(), what);
    if (answer == detail::suspended) slot_->reader.wait(context.header(), detail::awaits_no_event);
    return answer;
  }
  // There must be a free slot in the table.
  Result<void> accept_into(Stream& stream) {
    for (int i = 0; i < limits::accepts_per_poll; ++i) {
      Fd fd(System::accept(slot_->fd));
      const unsigned flags = Slot::is_socket | Slot::is_stream | (slot_->flags & Slot::is_tcp);
      if (fd) return register_other(stream, *loop_, std::move(fd), flags);
      const int error = System::error();
      if (!is_of_one_connection(error)) return Error(error);
    }
    return Error(ECONNABORTED);
  }
  // Whether the next connection may be accepted at once after this error of accept(). The first comes of a signal; the
  // others concern the connection that would have been accepted, or are errors of its network that were pending there:
  // see accept(2).
  static bool is_of_one_connection(int error) {
    return detail::is_one_of(error,
                             EINTR,         // a signal came first
                             ECONNABORTED,  // the peer has ended it in the meantime
                             EPROTO,        // the same, in some protocols
                             ENETDOWN,      // its network is down
                             ENOPROTOOPT,   // the peer does not offer the protocol
                             EHOSTDOWN,     // the peer's machine is down
                             ENONET,        // the peer's machine is not on the network
                             EHOSTUNREACH,  // there is no way to its machine
                             EOPNOTSUPP,    // its network does not support this
                             ENETUNREACH,   // there is no way to its network
                             ETIMEDOUT);    // it has not answered
  }
  // Whether this error of accept() may pass without this program's doing: the connection stays in the backlog
  // meanwhile. The others are EBADF and EINVAL: the descriptor was closed, or shut down, by somebody else.
  static bool may_pass_with_time(int error) {
    return detail::is_one_of(error,
                             EMFILE,         // too many descriptors in this process
                             ENFILE,         // too many in the system
                             ENOBUFS,        // no memory for a socket
                             ENOMEM,         // no memory
                             EPERM,          // a firewall forbids it
                             ECONNABORTED);  // many in a row had been ended
  }
};

}  // namespace MOTE_NAMESPACE
}  // namespace mote

#endif  // MOTE_IO_LISTENER_HPP
