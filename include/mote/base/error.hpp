// SPDX-License-Identifier: MIT
// Copyright (c) 2026 The mote authors
// An error: an errno value as a type of its own, and what mote says to it.
#ifndef MOTE_BASE_ERROR_HPP
#define MOTE_BASE_ERROR_HPP

#include <errno.h>   // errno and its names
#include <string.h>  // memory and strings

#include <mote/base/assert.hpp>
#include <mote/base/config.hpp>
#include <mote/base/reason.hpp>

namespace mote {
inline namespace MOTE_NAMESPACE {

namespace detail {
struct ErrorAccess;

// What `suspended` is stored as: no errno value at all, with a number.
inline constexpr int stored_suspended = reason(0, 1);
}  // namespace detail

// An errno value, 1 to 4095; anything else trips MOTE_ASSERT. Where mote itself refuses something, it also knows why,
// and message() says so. Errors are equal when their codes are: `error == ENOBUFS` holds whatever is full.
// Size on a 32-bit board: 4 bytes.
class Error {
 public:
  constexpr Error() = default;  // EAGAIN
  constexpr Error(int code) : stored_(code) {
    MOTE_ASSERT(code > 0 && code <= detail::code_bits &&
                "an Error is made of a positive errno value, as EIO, neither of 0 nor of -EIO: whether there is one, "
                "ask the Result");
  }
  constexpr Error(detail::Reason reason) : stored_(static_cast<int>(reason)) {}  // for mote itself
  constexpr int code() const { return stored_ & detail::code_bits; }

  // One line without its end: mote's own text, as "the task pool is full", for what mote itself has refused; else the C
  // library's for the errno value. Never null. Mote's texts are constants. The C library's may be overwritten by the
  // next call, and may be in the user's language: so it is for one thread at a time, and not for signal handlers.
  const char* message() const {
    const char* const text = detail::text_of(stored_);
    return text != nullptr ? text : ::strerror(code());
  }

  [[gnu::always_inline]] friend constexpr bool operator==(Error a, Error b) { return a.equals(b.stored_); }
  [[gnu::always_inline]] friend constexpr bool operator!=(Error a, Error b) { return !a.equals(b.stored_); }
 private:
  friend struct detail::ErrorAccess;

  // Where the compiler knows that it is compared with what never has a reason, that is one instruction.
  [[gnu::always_inline]] constexpr bool equals(int other) const {
    const bool has_no_reason = other == EAGAIN || other == ECANCELED || other == detail::stored_suspended;
    if (__builtin_constant_p(other) && has_no_reason) return stored_ == other;
    return ((stored_ ^ other) & detail::code_bits) == 0;
  }

  int stored_ = EAGAIN;  // a Reason, or an errno value without one
};

namespace detail {

// For what keeps an Error as a number: the code together with the reason.
struct ErrorAccess {
  static constexpr int stored(Error error) { return error.stored_; }
  static constexpr Error error(int stored) {
    Error result;
    result.stored_ = stored;
    return result;
  }
};

}  // namespace detail

}  // namespace MOTE_NAMESPACE
}  // namespace mote

#endif  // MOTE_BASE_ERROR_HPP
