// SPDX-License-Identifier: MIT
// Copyright (c) 2026 The mote authors
// Time: monotonic, in nanoseconds, as types of std::chrono.
#ifndef MOTE_SYSTEM_CLOCK_HPP
#define MOTE_SYSTEM_CLOCK_HPP

#include <chrono>   // Duration and Instant
#include <cstdint>  // integers of fixed width

#include <mote/base/config.hpp>

namespace mote {
inline namespace MOTE_NAMESPACE {

// Signed 64-bit nanoseconds.
using Duration = std::chrono::nanoseconds;

// CLOCK_MONOTONIC: it stands still while the machine is suspended, and does not see steps of the wall clock.
struct Clock {
  using duration = Duration;
  using rep = duration::rep;
  using period = duration::period;
  using time_point = std::chrono::time_point<Clock>;
  static constexpr bool is_steady = true;

  // Reads CLOCK_MONOTONIC (mostly by the vDSO, without a system call). Any thread may call it.
  static time_point now();
};

using Instant = Clock::time_point;
constexpr Duration forever = Duration::max();

// Sums saturate: a deadline beyond the end of time is the end of time.
constexpr Instant saturating_add(Instant t, Duration d) {
  std::int64_t sum = 0;
  const bool overflows = __builtin_add_overflow(t.time_since_epoch().count(), d.count(), &sum);
  if (!overflows) return Instant(Duration(sum));
  return d.count() > 0 ? Instant::max() : Instant::min();
}

}  // namespace MOTE_NAMESPACE
}  // namespace mote

#endif  // MOTE_SYSTEM_CLOCK_HPP
