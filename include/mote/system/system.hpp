// SPDX-License-Identifier: MIT
// Copyright (c) 2026 The mote authors
// The system seam: System (as a rule LinuxSystem, linux_system.hpp, which lists the calls), through which the library
// makes its system calls, and which a program may replace for its tests. And helpers for what system calls answer.
#ifndef MOTE_SYSTEM_SYSTEM_HPP
#define MOTE_SYSTEM_SYSTEM_HPP

#include <errno.h>  // errno and its names

#include <mote/base/config.hpp>
#include <mote/base/error.hpp>
#include <mote/base/result.hpp>
#include <mote/system/clock.hpp>
#include <mote/system/linux_system.hpp>

// For virtual clocks and injected faults the system may be replaced as a whole. Define MOTE_SYSTEM_HEADER, for all of
// the program's files that are to use it, as the name of a header that
//   - defines in namespace mote a struct that derives from LinuxSystem and hides what is to be replaced,
//   - defines the macro MOTE_SYSTEM as that struct's name.
// The namespace of the library then differs (see base/config.hpp), so that both kinds can be linked into one program.
#ifdef MOTE_SYSTEM_HEADER
#include MOTE_SYSTEM_HEADER
#else
#define MOTE_SYSTEM LinuxSystem
#endif

namespace mote {
inline namespace MOTE_NAMESPACE {

using System = MOTE_SYSTEM;

// Always inlined: monotonic_ns() returns its value in registers; this, as a function of its own, would not on ARM.
[[gnu::always_inline]] inline Instant Clock::now() { return Instant(Duration(System::monotonic_ns())); }

namespace detail {

// Why the last system call failed.
inline Error last_error() { return Error(System::error()); }

// The Result of a system call whose answer is -1, or else of no interest.
inline Result<void> result_of(int answer) { return answer >= 0 ? Result<void>() : last_error(); }

template <class... Codes> constexpr bool is_one_of(int error, Codes... codes) { return ((error == codes) || ...); }

// Repeats a system call while it fails with EINTR.
template <class Call> auto retry(Call call) {
  auto answer = call();
  while (answer < 0 && System::error() == EINTR) answer = call();
  return answer;
}

}  // namespace detail

}  // namespace MOTE_NAMESPACE
}  // namespace mote

#endif  // MOTE_SYSTEM_SYSTEM_HPP
