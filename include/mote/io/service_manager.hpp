// SPDX-License-Identifier: MIT
// Copyright (c) 2026 The mote authors
// notify_service_manager: telling systemd, or who speaks its protocol, how the program is.
#ifndef MOTE_IO_SERVICE_MANAGER_HPP
#define MOTE_IO_SERVICE_MANAGER_HPP

#include <errno.h>       // errno and its names
#include <stdlib.h>      // getenv, strtoul, strtoull
#include <string.h>      // memory and strings
#include <sys/socket.h>  // sockets

#include <mote/base/config.hpp>
#include <mote/base/error.hpp>
#include <mote/base/result.hpp>
#include <mote/io/endpoint.hpp>
#include <mote/system/fd.hpp>
#include <mote/system/system.hpp>

namespace mote {
inline namespace MOTE_NAMESPACE {

namespace detail {

// Where the service manager listens, as NOTIFY_SOCKET says: ENOENT where it is not set, EINVAL where it makes no sense.
inline Result<Endpoint> service_manager() {
  const char* const path = ::getenv("NOTIFY_SOCKET");
  if (path == nullptr) return Error(Reason::no_service_manager);
  const bool is_path_or_abstract = path[0] == '/' || path[0] == '@';
  if (!is_path_or_abstract) return Error(Reason::bad_watchdog_variable);
  const Result<Endpoint> endpoint = Endpoint::unix_path(path);
  if (!endpoint) return Error(Reason::bad_watchdog_variable);
  return endpoint;
}
inline Result<void> tell_service_manager(const Fd& fd, const Endpoint& to, const char* state) {
  const int flags = MSG_DONTWAIT | MSG_NOSIGNAL;
  const auto sent = System::sendto(fd.get(), state, ::strlen(state), flags, to.address(), to.size());
  return result_of(static_cast<int>(sent));
}

}  // namespace detail

// Tells the service manager a state, as sd_notify(3) does: "READY=1", "STOPPING=1", "RELOADING=1", "STATUS=two
// clients"; several are separated by a newline. The socket is the one that NOTIFY_SOCKET names, a path or '@abstract';
// systemd sets it for units of Type=notify. It needs neither a reactor nor a watchdog, never waits, and keeps nothing
// open: each call opens a socket, sends one datagram and closes it. A Watchdog that feeds systemd keeps its socket: its
// notify() does the same with one system call. From any thread, as long as nobody changes the environment; not from a
// signal handler.
// Errors:
//   ENOENT                  NOTIFY_SOCKET is not set: the program was started by hand. Or there is no such socket (any
//                           more). Either way nobody listens: go on without.
//   EINVAL                  NOTIFY_SOCKET is neither an absolute path nor '@' and a name, or is longer than 107 bytes.
//   ECONNREFUSED            its socket is there, but nobody has it open any more.
//   EACCES                  the process may not write to it.
//   EAGAIN                  the manager is slow to read: try again later.
//   EMSGSIZE                the state is longer than a datagram can be.
//   EMFILE, ENFILE, ENOMEM  the system's limits.
inline Result<void> notify_service_manager(const char* state) {
  const Result<Endpoint> to = detail::service_manager();
  if (!to) return to.error();
  const Fd fd(System::socket(AF_UNIX, SOCK_DGRAM));
  if (!fd) return detail::last_error();
  return detail::tell_service_manager(fd, *to, state);
}

}  // namespace MOTE_NAMESPACE
}  // namespace mote

#endif  // MOTE_IO_SERVICE_MANAGER_HPP
