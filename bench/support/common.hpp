// SPDX-License-Identifier: MIT
// What every echo server of the bench has in common, so that they differ in their loop and in nothing else.
#ifndef BENCH_COMMON_HPP
#define BENCH_COMMON_HPP

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>

namespace bench {
constexpr std::size_t buffer_size = 16384;      // of each connection, in every server
constexpr std::size_t most_connections = 6000;  // for tables of fixed size
constexpr int batch = 256;                      // events taken from one wait, where the library lets us choose
constexpr int backlog = 4096;

[[noreturn]] inline void die(const char* what) {
  fprintf(stderr, "%s: %s\n", what, strerror(errno));
  _exit(1);
}

[[noreturn]] inline void die(const char* what, int error) {
  errno = error;
  die(what);
}

inline void allow_many_descriptors() {
  rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) die("getrlimit");
  limit.rlim_cur = limit.rlim_max;
  if (setrlimit(RLIMIT_NOFILE, &limit) != 0) die("setrlimit");
}

// Tells the driver: the port, and the process, which is another one than it started under strace or valgrind.
inline void announce(unsigned port) {
  char line[64];  // dprintf() would take memory from the heap
  const int size = snprintf(line, sizeof line, "%u %d\n", port, static_cast<int>(getpid()));
  if (write(STDOUT_FILENO, line, static_cast<std::size_t>(size)) != size) die("write");
}

// A non-blocking listener on a port that the kernel chooses; connections inherit TCP_NODELAY from it.
inline int listen_anywhere() {
  allow_many_descriptors();
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) die("socket");
  const int on = 1;
  sockaddr_in address;
  memset(&address, 0, sizeof address);
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) != 0) die("setsockopt");
  if (bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) die("bind");
  if (listen(fd, backlog) != 0) die("listen");
  if (getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) != 0) die("getsockname");
  announce(ntohs(address.sin_port));
  return fd;
}

// Not by new: that would need the C++ runtime library, and a part of it to be linked.
template <class T> T& allocate() {
  void* const memory = malloc(sizeof(T));
  if (memory == nullptr) die("malloc");
  return *static_cast<T*>(memory);
}

// What SIGTERM does where the loop has no way of its own to hear of it, or none that is worth its cost.
inline void exit_on_sigterm() {
  signal(SIGTERM, [](int) { _exit(0); });
}
}  // namespace bench

#endif  // BENCH_COMMON_HPP
