// SPDX-License-Identifier: MIT
// Copyright (c) 2026 The mote authors
// Configuration: the version, the namespace, and fixed bounds and times.
#ifndef MOTE_BASE_CONFIG_HPP
#define MOTE_BASE_CONFIG_HPP

#include <chrono>   // Duration and Instant
#include <cstdint>  // integers of fixed width

static_assert(__cplusplus >= 201703L, "mote needs C++17: -std=c++17");

#define MOTE_VERSION_MAJOR 0
#define MOTE_VERSION_MINOR 2
#define MOTE_VERSION_PATCH 0

// Bounds and times that a program may set: define these before the first include, as plain decimal numbers, for all of
// the program's files. What each is for says the constant in mote::limits that is made of it.
#ifndef MOTE_LIMIT_OPERATIONS_PER_STEP
#define MOTE_LIMIT_OPERATIONS_PER_STEP 32
#endif
#ifndef MOTE_LIMIT_STEPS_PER_LOWER_PRIORITY
#define MOTE_LIMIT_STEPS_PER_LOWER_PRIORITY 16
#endif
#ifndef MOTE_LIMIT_ACCEPTS_PER_POLL
#define MOTE_LIMIT_ACCEPTS_PER_POLL 16
#endif
#ifndef MOTE_LIMIT_QUEUES_PER_TASK
#define MOTE_LIMIT_QUEUES_PER_TASK 3
#endif
#ifndef MOTE_LIMIT_TIMERS_PER_SCAN
#define MOTE_LIMIT_TIMERS_PER_SCAN 32
#endif
#ifndef MOTE_LIMIT_REACTORS_WITH_WAKEUPS
#define MOTE_LIMIT_REACTORS_WITH_WAKEUPS 32
#endif
#ifndef MOTE_LIMIT_RETRY_PAUSE_MS
#define MOTE_LIMIT_RETRY_PAUSE_MS 100
#endif

// The namespace's name has in it all that files of one program could disagree about: the version, whether the system
// seam has been replaced (MOTE_SYSTEM_HEADER, see system/system.hpp), and the limits, if one of them differs. So two
// versions can be linked into one program, and what one file declares with mote's types and a file that disagrees
// defines does not link.
#ifdef MOTE_SYSTEM_HEADER
#define MOTE_DETAIL_VERSION v0_2_0_seam
#else
#define MOTE_DETAIL_VERSION v0_2_0
#endif
#if MOTE_LIMIT_OPERATIONS_PER_STEP == 32 && MOTE_LIMIT_STEPS_PER_LOWER_PRIORITY == 16 &&                        \
    MOTE_LIMIT_ACCEPTS_PER_POLL == 16 && MOTE_LIMIT_QUEUES_PER_TASK == 3 && MOTE_LIMIT_TIMERS_PER_SCAN == 32 && \
    MOTE_LIMIT_REACTORS_WITH_WAKEUPS == 32 && MOTE_LIMIT_RETRY_PAUSE_MS == 100
#define MOTE_NAMESPACE MOTE_DETAIL_VERSION
#else
#define MOTE_DETAIL_NAME2(name, a, b, c, d, e, f, g) name##_limits_##a##_##b##_##c##_##d##_##e##_##f##_##g
#define MOTE_DETAIL_NAME(name, a, b, c, d, e, f, g) MOTE_DETAIL_NAME2(name, a, b, c, d, e, f, g)
#define MOTE_NAMESPACE                                                                                       \
  MOTE_DETAIL_NAME(MOTE_DETAIL_VERSION, MOTE_LIMIT_OPERATIONS_PER_STEP, MOTE_LIMIT_STEPS_PER_LOWER_PRIORITY, \
                   MOTE_LIMIT_ACCEPTS_PER_POLL, MOTE_LIMIT_QUEUES_PER_TASK, MOTE_LIMIT_TIMERS_PER_SCAN,      \
                   MOTE_LIMIT_REACTORS_WITH_WAKEUPS, MOTE_LIMIT_RETRY_PAUSE_MS)
#endif

// A program's own type that has mote's in it, as a task in a header, has one name whatever the limits. So files that
// were given different limits do not link, and the linker names the limit: each of these symbols may be defined in many
// files, but with one value. They are absolute and hidden, and nothing of them is loaded. (With -flto they are not
// compared.)
#define MOTE_DETAIL_QUOTE2(text) #text
#define MOTE_DETAIL_QUOTE(text) MOTE_DETAIL_QUOTE2(text)
#define MOTE_DETAIL_SAME_IN_ALL_FILES(name, value) \
  __asm__(".globl " name MOTE_DETAIL_QUOTE(MOTE_DETAIL_VERSION) "\n" \
          ".hidden " name MOTE_DETAIL_QUOTE(MOTE_DETAIL_VERSION) "\n" \
          ".set " name MOTE_DETAIL_QUOTE(MOTE_DETAIL_VERSION) ", " MOTE_DETAIL_QUOTE(value))
MOTE_DETAIL_SAME_IN_ALL_FILES("MOTE_LIMIT_OPERATIONS_PER_STEP_differs_between_files_", MOTE_LIMIT_OPERATIONS_PER_STEP);
MOTE_DETAIL_SAME_IN_ALL_FILES("MOTE_LIMIT_STEPS_PER_LOWER_PRIORITY_differs_between_files_",
                              MOTE_LIMIT_STEPS_PER_LOWER_PRIORITY);
MOTE_DETAIL_SAME_IN_ALL_FILES("MOTE_LIMIT_ACCEPTS_PER_POLL_differs_between_files_", MOTE_LIMIT_ACCEPTS_PER_POLL);
MOTE_DETAIL_SAME_IN_ALL_FILES("MOTE_LIMIT_QUEUES_PER_TASK_differs_between_files_", MOTE_LIMIT_QUEUES_PER_TASK);
MOTE_DETAIL_SAME_IN_ALL_FILES("MOTE_LIMIT_TIMERS_PER_SCAN_differs_between_files_", MOTE_LIMIT_TIMERS_PER_SCAN);
MOTE_DETAIL_SAME_IN_ALL_FILES("MOTE_LIMIT_REACTORS_WITH_WAKEUPS_differs_between_files_",
                              MOTE_LIMIT_REACTORS_WITH_WAKEUPS);
MOTE_DETAIL_SAME_IN_ALL_FILES("MOTE_LIMIT_RETRY_PAUSE_MS_differs_between_files_", MOTE_LIMIT_RETRY_PAUSE_MS);

namespace mote {
inline namespace MOTE_NAMESPACE {

// Fixed bounds and times.
namespace limits {

// ---- bounds of one turn of the loop: each keeps one party from starving the others ----

// An operation that could complete at once does not, after so many in one step: the task is queued again behind the
// others.
inline constexpr int operations_per_step = MOTE_LIMIT_OPERATIONS_PER_STEP;
// Steps in one turn of each priority below the highest.
inline constexpr std::uint32_t steps_per_lower_priority = MOTE_LIMIT_STEPS_PER_LOWER_PRIORITY;
[[deprecated("renamed: steps_per_lower_priority")]] inline constexpr std::uint32_t steps_below =
    steps_per_lower_priority;
// Connections of a listening socket, in a row, that are found dead before accepting pauses.
inline constexpr int accepts_per_poll = MOTE_LIMIT_ACCEPTS_PER_POLL;

// ---- bounds of memory and of work ----

// Queues in which one task can wait at a time. An operation that is made of several may wait in more than one.
inline constexpr int queues_per_task = MOTE_LIMIT_QUEUES_PER_TASK;
// Timers that are looked at to find the exact next deadline.
inline constexpr std::uint32_t timers_per_scan = MOTE_LIMIT_TIMERS_PER_SCAN;
// Reactors of a process that can be woken by other threads and signal handlers at the same time: 12 bytes each.
inline constexpr int reactors_with_wakeups = MOTE_LIMIT_REACTORS_WITH_WAKEUPS;

// ---- times ----

// What the system refuses for now is tried again after this time: accepting after EMFILE, ENFILE, ENOBUFS, ENOMEM or
// EPERM, or after accepts_per_poll dead connections; and descriptors whose hang-up or error stays are looked at again.
inline constexpr std::chrono::milliseconds retry_pause{MOTE_LIMIT_RETRY_PAUSE_MS};

// A step's budget is a byte: TaskHeader::share. The others end where nobody has a use for more.
static_assert(operations_per_step >= 1 && operations_per_step <= 255, "MOTE_LIMIT_OPERATIONS_PER_STEP: 1 to 255");
static_assert(MOTE_LIMIT_STEPS_PER_LOWER_PRIORITY >= 1 && MOTE_LIMIT_STEPS_PER_LOWER_PRIORITY <= 65535,
              "MOTE_LIMIT_STEPS_PER_LOWER_PRIORITY: 1 to 65535");
static_assert(accepts_per_poll >= 1 && accepts_per_poll <= 65535, "MOTE_LIMIT_ACCEPTS_PER_POLL: 1 to 65535");
static_assert(queues_per_task >= 1 && queues_per_task <= 64, "MOTE_LIMIT_QUEUES_PER_TASK: 1 to 64");
static_assert(MOTE_LIMIT_TIMERS_PER_SCAN >= 1 && MOTE_LIMIT_TIMERS_PER_SCAN <= 65535,
              "MOTE_LIMIT_TIMERS_PER_SCAN: 1 to 65535");
static_assert(reactors_with_wakeups >= 1 && reactors_with_wakeups <= 4096,
              "MOTE_LIMIT_REACTORS_WITH_WAKEUPS: 1 to 4096");
static_assert(MOTE_LIMIT_RETRY_PAUSE_MS >= 1 && MOTE_LIMIT_RETRY_PAUSE_MS <= 60000,
              "MOTE_LIMIT_RETRY_PAUSE_MS: 1 to 60000");

}  // namespace limits

namespace detail {

// A condition that is mostly true. For branches on the way of every message only.
constexpr bool expect_true(bool condition) { return __builtin_expect(condition, true) != 0; }

}  // namespace detail

}  // namespace MOTE_NAMESPACE
}  // namespace mote

#endif  // MOTE_BASE_CONFIG_HPP
