// SPDX-License-Identifier: MIT
// Copyright (c) 2026 The mote authors
// Fd: an owned file descriptor.
#ifndef MOTE_SYSTEM_FD_HPP
#define MOTE_SYSTEM_FD_HPP

#include <utility>  // move, forward, exchange

#include <mote/base/config.hpp>
#include <mote/system/system.hpp>

namespace mote {
inline namespace MOTE_NAMESPACE {

// A descriptor that its destructor closes. All zero bits mean none.
// Size on a 32-bit board: 4 bytes.
class Fd {
 public:
  constexpr Fd() = default;
  constexpr explicit Fd(int fd) : stored_(fd + 1) {}
  Fd(Fd&& other) noexcept : stored_(std::exchange(other.stored_, 0)) {}
  Fd& operator=(Fd&& other) noexcept {
    close();
    stored_ = std::exchange(other.stored_, 0);
    return *this;
  }
  ~Fd() { close(); }

  constexpr int get() const { return stored_ - 1; }  // -1: none
  constexpr explicit operator bool() const { return stored_ > 0; }

  // Returns the descriptor, which the caller owns from then on. -1: there was none.
  int release() {
    const int stored = std::exchange(stored_, 0);
    return stored - 1;
  }

  // Whatever the kernel answers (EINTR, EIO, ENOSPC), on Linux the descriptor is closed: see close(2). It is never
  // tried twice, because by then another thread may have opened a descriptor with that number.
  void close() {
    if (stored_ > 0) System::close(release());
  }
 private:
  int stored_ = 0;  // the descriptor + 1
};

}  // namespace MOTE_NAMESPACE
}  // namespace mote

#endif  // MOTE_SYSTEM_FD_HPP
