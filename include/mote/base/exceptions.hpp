// SPDX-License-Identifier: MIT
// Copyright (c) 2026 The mote authors
// What the library does about exceptions of the program's own. It throws none itself, and can be built with
// -fno-exceptions.
#ifndef MOTE_BASE_EXCEPTIONS_HPP
#define MOTE_BASE_EXCEPTIONS_HPP

#include <utility>  // move, forward, exchange

#include <mote/base/config.hpp>

namespace mote {
inline namespace MOTE_NAMESPACE {
namespace detail {

#ifdef __cpp_exceptions
inline constexpr bool has_exceptions = true;
#else
inline constexpr bool has_exceptions = false;  // -fno-exceptions
#endif

// Calls `repair` at the end of its scope, unless dismiss() has been called: it is called at the scope's normal end, so
// that `repair` is made after an exception. `repair` must not throw. Built without exceptions, nothing is left of it.
template <class Repair> class OnException {
 public:
  explicit OnException(Repair repair) : repair_(repair) {}
  OnException(const OnException&) = delete;
  OnException& operator=(const OnException&) = delete;
  ~OnException() {
    if (!dismissed_) repair_();
  }
  void dismiss() { dismissed_ = true; }
 private:
  Repair repair_;
  bool dismissed_ = false;
};
template <class Repair> OnException(Repair) -> OnException<Repair>;

// Calls what may throw from where nothing may be thrown: a destructor, or a repair after another exception. What it
// throws is dropped.
template <class Call> void drop_exceptions(Call&& call) noexcept {
#ifdef __cpp_exceptions
  try {
    call();
  } catch (...) {}
#else
  call();
#endif
}

}  // namespace detail
}  // namespace MOTE_NAMESPACE
}  // namespace mote

#endif  // MOTE_BASE_EXCEPTIONS_HPP
