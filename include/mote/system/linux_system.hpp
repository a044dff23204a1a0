// SPDX-License-Identifier: MIT
// Copyright (c) 2026 The mote authors
// LinuxSystem: all system calls that the library makes itself (if_nametoindex() of io/endpoint.hpp makes its own).
#ifndef MOTE_SYSTEM_LINUX_SYSTEM_HPP
#define MOTE_SYSTEM_LINUX_SYSTEM_HPP

#include <errno.h>        // errno and its names
#include <fcntl.h>        // open, fcntl, O_*
#include <poll.h>         // poll
#include <signal.h>       // sigaction, sigprocmask, _NSIG
#include <stdlib.h>       // getenv, strtoul, strtoull
#include <sys/epoll.h>    // epoll
#include <sys/eventfd.h>  // eventfd, the wake-up descriptor
#include <sys/ioctl.h>    // TIOCEXCL
#include <sys/socket.h>   // sockets
#include <sys/syscall.h>  // SYS_*: calls that not every C library wraps
#include <sys/utsname.h>  // uname
#include <termios.h>      // serial ports
#include <time.h>         // clock_gettime
#include <unistd.h>       // read, write, close, getpid, STDERR_FILENO

#include <cstddef>  // size_t, ptrdiff_t
#include <cstdint>  // integers of fixed width

#include <mote/base/config.hpp>

namespace mote {
inline namespace MOTE_NAMESPACE {

// The one place where the library makes system calls: they behave as in their manual pages, and fail with -1 and errno.
// It has no state. What is fixed for all callers (O_CLOEXEC, SOCK_NONBLOCK) is added here.
struct LinuxSystem {
  static int error() { return errno; }

  // Cannot fail: the clock exists since Linux 2.6, and the pointer is ours.
  static std::int64_t monotonic_ns() {
    timespec t{};
    ::clock_gettime(CLOCK_MONOTONIC, &t);
    return static_cast<std::int64_t>(t.tv_sec) * 1'000'000'000 + t.tv_nsec;
  }
  static pid_t process() { return ::getpid(); }
  // Whether the kernel's version is this one or a later one. False where it is not known.
  static bool is_at_least(unsigned major, unsigned minor) {
    utsname kernel;
    if (::uname(&kernel) != 0) return false;
    char* rest = nullptr;
    const unsigned long its_major = ::strtoul(kernel.release, &rest, 10);
    const unsigned long its_minor = *rest == '.' ? ::strtoul(rest + 1, nullptr, 10) : 0;
    return its_major > major || (its_major == major && its_minor >= minor);
  }

  static int epoll_create() { return ::epoll_create1(EPOLL_CLOEXEC); }
  static int epoll_ctl(int set, int what, int fd, epoll_event* event) { return ::epoll_ctl(set, what, fd, event); }
  static int epoll_wait(int set, epoll_event* events, int most, int ms) { return ::epoll_wait(set, events, most, ms); }

  // Since Linux 5.11; ENOSYS before.
  static int epoll_pwait2(int set, epoll_event* events, int most, std::int64_t ns) {
#ifdef SYS_epoll_pwait2
    constexpr long number = SYS_epoll_pwait2;
#else
    constexpr long number = -1;
#endif
    // The kernel's __kernel_timespec: two numbers of 64 bits on every architecture.
    const std::int64_t timeout[2] = {ns / 1'000'000'000, ns % 1'000'000'000};
    return static_cast<int>(::syscall(number, set, events, most, timeout, nullptr, std::size_t{0}));
  }
  // A poll(2) of one descriptor that does not wait.
  static int look(pollfd& entry) { return ::poll(&entry, 1, 0); }
  static int poll(pollfd* fds, std::size_t n, int ms) { return ::poll(fds, static_cast<nfds_t>(n), ms); }
  static int event_fd() { return ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK); }

  static ssize_t read(int fd, void* data, std::size_t size) { return ::read(fd, data, size); }
  static ssize_t write(int fd, const void* data, std::size_t size) { return ::write(fd, data, size); }
  static int open(const char* path, int flags) { return ::open(path, flags | O_CLOEXEC); }
  static int close(int fd) { return ::close(fd); }
  static int fcntl(int fd, int command, int argument) { return ::fcntl(fd, command, argument); }

  static int socket(int family, int type) { return ::socket(family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0); }
  static int bind(int fd, const sockaddr* address, socklen_t size) { return ::bind(fd, address, size); }
  static int listen(int fd, int backlog) { return ::listen(fd, backlog); }
  static int accept(int fd) { return ::accept4(fd, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK); }
  static int connect(int fd, const sockaddr* address, socklen_t size) { return ::connect(fd, address, size); }
  static int shutdown(int fd, int how) { return ::shutdown(fd, how); }
  static ssize_t recv(int fd, void* data, std::size_t size, int flags) { return ::recv(fd, data, size, flags); }
  static ssize_t send(int fd, const void* data, std::size_t size, int flags) { return ::send(fd, data, size, flags); }
  static ssize_t recvmsg(int fd, msghdr* message, int flags) { return ::recvmsg(fd, message, flags); }
  static ssize_t sendto(int fd, const void* data, std::size_t size, int flags, const sockaddr* to, socklen_t to_size) {
    return ::sendto(fd, data, size, flags, to, to_size);
  }
  static int getsockopt(int fd, int level, int name, void* value, socklen_t* size) {
    return ::getsockopt(fd, level, name, value, size);
  }
  static int setsockopt(int fd, int level, int name, const void* value, socklen_t size) {
    return ::setsockopt(fd, level, name, value, size);
  }
  static int getsockname(int fd, sockaddr* address, socklen_t* size) { return ::getsockname(fd, address, size); }
  static int getpeername(int fd, sockaddr* address, socklen_t* size) { return ::getpeername(fd, address, size); }

  using Action = struct sigaction;
  static int sigaction(int signal, const Action* action, Action* old) { return ::sigaction(signal, action, old); }
  static int sigprocmask(int how, const sigset_t* change, sigset_t* old) { return ::sigprocmask(how, change, old); }
  // Sends a signal to the calling thread, as it has come: with the same information, before Linux 2.6.31 without.
  // Async-signal-safe, also in a child of vfork().
  static int send_again(int signal, siginfo_t* information) {
    const long thread = ::syscall(SYS_gettid);
    long sent = ::syscall(SYS_rt_tgsigqueueinfo, process(), thread, signal, information);
    if (sent < 0) sent = ::syscall(SYS_tgkill, process(), thread, signal);
    return static_cast<int>(sent);
  }

  static int set_exclusive(int fd) { return ::ioctl(fd, TIOCEXCL); }
  static int tcgetattr(int fd, termios* settings) { return ::tcgetattr(fd, settings); }
  static int tcsetattr(int fd, const termios* settings) { return ::tcsetattr(fd, TCSANOW, settings); }
};

}  // namespace MOTE_NAMESPACE
}  // namespace mote

#endif  // MOTE_SYSTEM_LINUX_SYSTEM_HPP
