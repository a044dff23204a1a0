// SPDX-License-Identifier: MIT
// Copyright (c) 2026 The mote authors
// An error: an errno value as a type of its own.
#ifndef MOTE_BASE_ERROR_HPP
#define MOTE_BASE_ERROR_HPP

#include <errno.h>   // errno and its names
#include <string.h>  // memory and strings

#include <mote/base/config.hpp>

namespace mote {
inline namespace MOTE_NAMESPACE {

// An errno value. Never 0.
// Size on a 32-bit board: 4 bytes.
class Error {
 public:
  constexpr Error() = default;  // EAGAIN
  constexpr Error(int code) : code_(code) {}
  constexpr int code() const { return code_; }

  // The C library's text. Not for signal handlers.
  const char* message() const { return ::strerror(code_); }

  friend constexpr bool operator==(Error a, Error b) { return a.code_ == b.code_; }
  friend constexpr bool operator!=(Error a, Error b) { return a.code_ != b.code_; }
 private:
  int code_ = EAGAIN;
};

}  // namespace MOTE_NAMESPACE
}  // namespace mote

#endif  // MOTE_BASE_ERROR_HPP
