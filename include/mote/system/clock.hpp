// SPDX-License-Identifier: MIT
// Copyright (c) 2026 The mote authors
// Time: monotonic, in nanoseconds, as types of std::chrono.
#ifndef MOTE_SYSTEM_CLOCK_HPP
#define MOTE_SYSTEM_CLOCK_HPP

#include <chrono>       // Duration and Instant
#include <cstdint>      // integers of fixed width
#include <type_traits>  // checks at compile time

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

// As a timeout: none. As a deadline: the end of time. (In parentheses, as below: old headers have macros of that name.)
inline constexpr Duration unlimited = (Duration::max)();
inline constexpr Instant never = (Instant::max)();
#ifndef forever  // Qt's macro
[[deprecated("renamed: unlimited")]] inline constexpr Duration forever = unlimited;
#endif

namespace detail {

inline constexpr Instant distant_past = (Instant::min)();

// How many nanoseconds one tick of a duration has; INT64_MAX stands for that and for all above. 0: no whole number.
template <class Period> constexpr std::int64_t nanoseconds_per_tick() {
  constexpr std::int64_t second = 1'000'000'000;
  constexpr std::int64_t numerator = Period::type::num;
  constexpr std::int64_t denominator = Period::type::den;
  if (second % denominator != 0) return 0;
  constexpr std::int64_t factor = denominator <= second ? second / denominator : 1;
  return numerator > INT64_MAX / factor ? INT64_MAX : numerator * factor;
}

// Whether it is a std::chrono::duration that counts whole nanoseconds by an integer.
template <class T> struct CountsNanoseconds : std::false_type {};
template <class Rep, class Period>
struct CountsNanoseconds<std::chrono::duration<Rep, Period>>
    : std::bool_constant<std::is_integral<Rep>::value && nanoseconds_per_tick<Period>() != 0> {};

}  // namespace detail

// A duration as an argument. Every std::chrono::duration that counts whole nanoseconds by an integer converts to it,
// and saturates: what is longer than Duration can hold is `unlimited`, also std::chrono::hours::max(). The conversion
// of std::chrono would overflow before a function with a parameter of type Duration sees it. What that refuses at
// compile time is refused here, too: floating-point numbers, and parts of a nanosecond (use duration_cast).
// Size: 8 bytes. Nanoseconds are passed on as they are; other units cost two comparisons and a multiplication.
class AnyDuration {
 public:
  constexpr AnyDuration() = default;  // zero
  constexpr AnyDuration(Duration duration) : duration_(duration) {}
  template <class Rep, class Period,
            class = std::enable_if_t<detail::CountsNanoseconds<std::chrono::duration<Rep, Period>>::value>>
  constexpr AnyDuration(std::chrono::duration<Rep, Period> duration)
      : duration_(saturated<Period>(Wide<Rep>{duration.count()})) {}
  // What else converts to a Duration, as types of the user's own, converts by its own rules.
  template <class T,
            class = std::enable_if_t<!detail::CountsNanoseconds<T>::value && !std::is_same<T, AnyDuration>::value>,
            class = std::enable_if_t<std::is_convertible<const T&, Duration>::value>>
  constexpr AnyDuration(const T& duration) : duration_(duration) {}

  constexpr operator Duration() const { return duration_; }
 private:
  // The count, wide enough for the limits. (There may be integers of 128 bits.)
  template <class Rep>
  using Wide = std::conditional_t<(sizeof(Rep) > sizeof(std::int64_t)), Rep,
                                  std::conditional_t<std::is_signed<Rep>::value, std::int64_t, std::uint64_t>>;

  // Compared with limits that the compiler computes: clang for 32-bit ARM has no multiplication of 64 bits that
  // reports overflow without a library.
  template <class Period, class Count> static constexpr Duration saturated(Count count) {
    constexpr std::int64_t tick = detail::nanoseconds_per_tick<Period>();
    constexpr std::int64_t limit = tick != INT64_MAX ? INT64_MAX / tick : 0;
    if (count > static_cast<Count>(limit)) return unlimited;
    if constexpr (std::is_signed<Count>::value) {
      if (count < static_cast<Count>(-limit)) return (Duration::min)();
    }
    return Duration(static_cast<std::int64_t>(count) * tick);
  }

  Duration duration_{};
};

// Sums saturate: a deadline beyond the end of time is the end of time.
constexpr Instant saturating_add(Instant t, AnyDuration duration) {
  const Duration d = duration;
  std::int64_t sum = 0;
  const bool overflows = __builtin_add_overflow(t.time_since_epoch().count(), d.count(), &sum);
  if (!overflows) return Instant(Duration(sum));
  return d.count() > 0 ? never : detail::distant_past;
}

}  // namespace MOTE_NAMESPACE
}  // namespace mote

#endif  // MOTE_SYSTEM_CLOCK_HPP
