// SPDX-License-Identifier: MIT
// Copyright (c) 2026 The mote authors
// Configuration: the version, the namespace, how violated invariants are reported, and fixed bounds and times.
#ifndef MOTE_BASE_CONFIG_HPP
#define MOTE_BASE_CONFIG_HPP

#include <chrono>   // Duration and Instant
#include <cstdint>  // integers of fixed width

static_assert(__cplusplus >= 201703L, "mote needs C++17: -std=c++17");

#define MOTE_VERSION_MAJOR 0
#define MOTE_VERSION_MINOR 2
#define MOTE_VERSION_PATCH 0

// States an invariant of the library. Define it before the first include to report violations in your own way. It must
// be an expression of type void and must have no side effects. By default a violation traps; with NDEBUG nothing is
// checked.
#ifndef MOTE_ASSERT
#ifdef NDEBUG
#define MOTE_ASSERT(condition) static_cast<void>(0)
#else
#define MOTE_ASSERT(condition) ((condition) ? static_cast<void>(0) : __builtin_trap())
#endif
#endif

// The version is part of the namespace, so that any two can be linked into one program. So is whether the system seam has
// been replaced (MOTE_SYSTEM_HEADER, see system/system.hpp): both kinds can be linked into one program, too.
#ifdef MOTE_SYSTEM_HEADER
#define MOTE_NAMESPACE v0_2_0_seam
#else
#define MOTE_NAMESPACE v0_2_0
#endif

namespace mote {
inline namespace MOTE_NAMESPACE {

// Fixed bounds and times.
namespace limits {

// ---- bounds of one turn of the loop: each keeps one party from starving the others ----

// An operation that could complete at once does not, after so many in one step: the task is queued again behind the
// others.
constexpr int operations_per_step = 32;
// Steps in one turn of each priority below the highest.
constexpr std::uint32_t steps_per_lower_priority = 16;
[[deprecated("renamed: steps_per_lower_priority")]] constexpr std::uint32_t steps_below = steps_per_lower_priority;
// Connections of a listening socket, in a row, that are found dead before accepting pauses.
constexpr int accepts_per_poll = 16;

// ---- bounds of memory and of work ----

// Queues in which one task can wait at a time. An operation that is made of several may wait in more than one.
constexpr int queues_per_task = 3;
// Timers that are looked at to find the exact next deadline.
constexpr std::uint32_t timers_per_scan = 32;
// Reactors of a process that can be woken by other threads and signal handlers at the same time: 12 bytes each.
constexpr int reactors_with_wakeups = 32;

// ---- times ----

// What the system refuses for now is tried again after this time: accepting after EMFILE, ENFILE, ENOBUFS, ENOMEM or
// EPERM, or after accepts_per_poll dead connections; and descriptors whose hang-up or error stays are looked at again.
constexpr std::chrono::milliseconds retry_pause{100};

}  // namespace limits

namespace detail {

// A condition that is mostly true. For branches on the way of every message only.
constexpr bool expect_true(bool condition) { return __builtin_expect(condition, true) != 0; }

}  // namespace detail

}  // namespace MOTE_NAMESPACE
}  // namespace mote

#endif  // MOTE_BASE_CONFIG_HPP
