// SPDX-License-Identifier: MIT
// Which errors each call of the system seam may fail with, by its manual page.
#ifndef MOTE_TESTS_MANUAL_PAGES_HPP
#define MOTE_TESTS_MANUAL_PAGES_HPP

#include "harness.hpp"

namespace test {

using Call = mote::FaultSystem::Call;

struct ManualPage {
  Call call;
  int errors[32];
};
inline constexpr ManualPage manual_pages[] = {
    {Call::epoll_create, {EINVAL, EMFILE, ENFILE, ENOMEM}},
    {Call::epoll_ctl, {EBADF, EEXIST, EINVAL, ELOOP, ENOENT, ENOMEM, ENOSPC, EPERM}},
    {Call::epoll_wait, {EBADF, EFAULT, EINTR, EINVAL}},
    {Call::epoll_pwait2, {EBADF, EFAULT, EINTR, EINVAL, ENOSYS, EPERM}},
    {Call::poll, {EFAULT, EINTR, EINVAL, ENOMEM}},
    {Call::event_fd, {EINVAL, EMFILE, ENFILE, ENODEV, ENOMEM}},
    {Call::read, {EAGAIN, EBADF, EFAULT, EINTR, EINVAL, EIO, EISDIR}},
    {Call::write, {EAGAIN, EBADF, EDESTADDRREQ, EDQUOT, EFAULT, EFBIG, EINTR, EINVAL, EIO, ENOSPC, EPERM, EPIPE}},
    {Call::open, {EACCES, EBUSY,  EFAULT, EINTR,  EINVAL,  EISDIR, ELOOP,     EMFILE, ENAMETOOLONG, ENFILE,
                  ENODEV, ENOENT, EIO,    ENOMEM, ENOTDIR, ENXIO,  EOVERFLOW, EPERM,  EROFS,        EWOULDBLOCK}},
    {Call::close, {EBADF, EINTR, EIO, ENOSPC, EDQUOT}},
    {Call::fcntl, {EBADF, EINVAL}},
    {Call::socket, {EACCES, EAFNOSUPPORT, EINVAL, EMFILE, ENFILE, ENOBUFS, ENOMEM, EPROTONOSUPPORT}},
    {Call::bind,
     {EACCES, EADDRINUSE, EBADF, EINVAL, ENOTSOCK, EADDRNOTAVAIL, EFAULT, ELOOP, ENAMETOOLONG, ENOENT, ENOMEM, ENOTDIR,
      EROFS}},
    {Call::listen, {EADDRINUSE, EBADF, ENOTSOCK, EOPNOTSUPP}},
    {Call::accept,
     {EAGAIN,  EBADF,        ECONNABORTED, EFAULT,      EINTR,  EINVAL,          EMFILE,          ENFILE,
      ENOBUFS, ENOMEM,       ENOTSOCK,     EPERM,       EPROTO, ENETDOWN,        ENOPROTOOPT,     EHOSTDOWN,
      ENONET,  EHOSTUNREACH, EOPNOTSUPP,   ENETUNREACH, ENOSR,  ESOCKTNOSUPPORT, EPROTONOSUPPORT, ETIMEDOUT}},
    {Call::connect,
     {EACCES, EPERM, EADDRINUSE, EADDRNOTAVAIL, EAFNOSUPPORT, EAGAIN, EALREADY, EBADF, ECONNREFUSED, EFAULT,
      EINPROGRESS, EINTR, EISCONN, ENETUNREACH, ENOTSOCK, EPROTOTYPE, ETIMEDOUT}},
    {Call::shutdown, {EBADF, EINVAL, ENOTCONN, ENOTSOCK}},
    {Call::recv,
     {EAGAIN, EBADF, ECONNREFUSED, ECONNRESET, EFAULT, EHOSTUNREACH, EINTR, EINVAL, ENOMEM, ENOTCONN, ENOTSOCK,
      ETIMEDOUT}},
    {Call::send,
     {EACCES, EAGAIN, EALREADY, EBADF, ECONNRESET, EDESTADDRREQ, EFAULT, EINTR, EINVAL, EISCONN, EMSGSIZE, ENOBUFS,
      ENOMEM, ENOTCONN, ENOTSOCK, EOPNOTSUPP, EPIPE}},
    {Call::recvmsg, {EAGAIN, EBADF, ECONNREFUSED, EFAULT, EINTR, EINVAL, ENOMEM, ENOTCONN, ENOTSOCK}},
    {Call::sendto, {EACCES,  EAGAIN,       EALREADY, EBADF,    ECONNREFUSED, ECONNRESET, EDESTADDRREQ,
                    EFAULT,  EHOSTUNREACH, EINTR,    EINVAL,   EISCONN,      EMSGSIZE,   ENETUNREACH,
                    ENOBUFS, ENOMEM,       ENOTCONN, ENOTSOCK, EOPNOTSUPP,   EPERM,      EPIPE}},
    {Call::getsockopt, {EBADF, EFAULT, EINVAL, ENOPROTOOPT, ENOTSOCK}},
    {Call::setsockopt, {EBADF, EDOM, EFAULT, EINVAL, ENOPROTOOPT, ENOTSOCK}},
    {Call::getsockname, {EBADF, EFAULT, EINVAL, ENOBUFS, ENOTSOCK}},
    {Call::getpeername, {EBADF, EFAULT, EINVAL, ENOBUFS, ENOTCONN, ENOTSOCK}},
    {Call::sigaction, {EFAULT, EINVAL}},
    {Call::set_exclusive, {EBADF, EFAULT, EINVAL, EIO, ENOTTY}},
    {Call::tcgetattr, {EBADF, EIO, ENOTTY}},
    {Call::tcsetattr, {EBADF, EINTR, EINVAL, EIO, ENOTTY}},
    {Call::look, {ENOMEM}},
};

inline int errors_of(Call call, const int*& errors) {
  for (const ManualPage& page : manual_pages) {
    if (page.call != call) continue;
    int count = 0;
    while (count < 32 && page.errors[count] != 0) ++count;
    errors = page.errors;
    return count;
  }
  return 0;  // it cannot fail
}

}  // namespace test

#endif  // MOTE_TESTS_MANUAL_PAGES_HPP
