// SPDX-License-Identifier: MIT
// What tests ask of descriptors and do to them, beside the library.
#ifndef MOTE_TESTS_DESCRIPTORS_HPP
#define MOTE_TESTS_DESCRIPTORS_HPP

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "harness.hpp"

namespace test {

inline bool is_open(int fd) { return ::fcntl(fd, F_GETFD) >= 0; }
inline bool is_blocking(int fd) { return (::fcntl(fd, F_GETFL) & O_NONBLOCK) == 0; }

// Writes until the kernel takes no more; returns how much it took.
inline std::size_t fill(int fd) {
  static const char block[65536] = {};
  std::size_t taken = 0;
  for (std::size_t size = sizeof block; size != 0;) {
    const ssize_t n = ::write(fd, block, size);
    if (n > 0) {
      taken += static_cast<std::size_t>(n);
    } else {
      size /= 2;  // a last byte may fit where a block does not
    }
  }
  return taken;
}

// The value of a socket option.
inline int option(int fd, int level, int name) {
  int value = -1;
  socklen_t size = sizeof value;
  REQUIRE(::getsockopt(fd, level, name, &value, &size) == 0);
  return value;
}

}  // namespace test

#endif  // MOTE_TESTS_DESCRIPTORS_HPP
