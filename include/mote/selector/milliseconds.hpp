// SPDX-License-Identifier: MIT
// Copyright (c) 2026 The mote authors
// Timeouts of system calls that count in milliseconds.
#ifndef MOTE_SELECTOR_MILLISECONDS_HPP
#define MOTE_SELECTOR_MILLISECONDS_HPP

#include <cstdint>  // integers of fixed width

#include <mote/base/config.hpp>
#include <mote/system/clock.hpp>

namespace mote {
inline namespace MOTE_NAMESPACE {

namespace detail {

// Milliseconds of a timeout above 0: rounded up, so that no wait ends early, and clamped, so that nothing overflows.
constexpr int whole_milliseconds(Duration timeout) {
  const std::int64_t ms = (timeout.count() - 1) / 1'000'000 + 1;
  return ms > INT32_MAX ? INT32_MAX : static_cast<int>(ms);
}

// Milliseconds of any timeout, as poll(2) and epoll_wait(2) take them: -1 for no limit.
constexpr int to_milliseconds(Duration timeout) {
  if (timeout == unlimited) return -1;
  return timeout > Duration::zero() ? whole_milliseconds(timeout) : 0;
}

}  // namespace detail

}  // namespace MOTE_NAMESPACE
}  // namespace mote

#endif  // MOTE_SELECTOR_MILLISECONDS_HPP
