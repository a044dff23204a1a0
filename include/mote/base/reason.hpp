// SPDX-License-Identifier: MIT
// Copyright (c) 2026 The mote authors
// Reason: why mote itself refuses something, where the errno value alone does not tell.
#ifndef MOTE_BASE_REASON_HPP
#define MOTE_BASE_REASON_HPP

#include <errno.h>   // errno and its names
#include <string.h>  // memory and strings

#include <cstdint>  // integers of fixed width

#include <mote/base/config.hpp>

namespace mote {
inline namespace MOTE_NAMESPACE {
namespace detail {

// An errno value takes the low 12 bits: it ends at 4095. The 4 bits above tell the reasons of one errno value apart; 0
// there means none, an error of the kernel or of the user. 16 bits in all: ARM loads that with one instruction.
inline constexpr int code_bits = 0xfff;
constexpr std::uint16_t reason(int code, int number) { return static_cast<std::uint16_t>(code | (number * 0x1000)); }

// Each with its errno value, its number among the reasons of that value, and its text. EAGAIN and ECANCELED have none:
// they are compared on the way of every message, see Error.
#define MOTE_DETAIL_REASONS(X)                                                                          \
  X(not_open, EBADF, 1, "it is not open")                                                               \
  X(selector_not_open, EBADF, 2, "the selector has not been opened")                                    \
  X(reactor_not_open, ENXIO, 1, "the reactor has not been opened")                                      \
  X(reactor_has_gone, ENXIO, 2, "the reactor has been destroyed")                                       \
  X(table_not_open, ENXIO, 3, "the table of descriptors is not open")                                   \
  X(awaited_by_another_task, EBUSY, 1, "another task awaits it already")                                \
  X(already_open, EBUSY, 2, "it is open already")                                                       \
  X(already_running, EBUSY, 3, "the reactor is running already")                                        \
  X(signal_is_taken, EBUSY, 4, "a signal of the set is taken already")                                  \
  X(task_is_running, EBUSY, 5, "the task is running at the moment")                                     \
  X(timer_in_use, EBUSY, 6, "the timer is in use already")                                              \
  X(operation_pending, EBUSY, 7, "an operation on it is pending")                                       \
  X(coroutine_is_awaited, EBUSY, 8, "the coroutine is awaited already")                                 \
  X(descriptor_table_full, ENOBUFS, 1, "the descriptor table is full")                                  \
  X(task_pool_full, ENOBUFS, 2, "the task pool is full")                                                \
  X(selector_full, ENOBUFS, 3, "the selector is full")                                                  \
  X(too_many_woken_reactors, ENOBUFS, 4, "too many reactors can be woken")                              \
  X(task_in_too_many_queues, ENOBUFS, 5, "the task waits in too many queues")                           \
  X(mailbox_full, ENOBUFS, 6, "the mailbox is full")                                                    \
  X(group_full, ENOBUFS, 7, "the task group is full")                                                   \
  X(frame_pool_full, ENOBUFS, 8, "the frame pool is full")                                              \
  X(foreign_table_full, ENOBUFS, 9, "the table of foreign descriptors is full")                         \
  X(deadlock, EDEADLK, 1, "every task waits for what cannot come")                                      \
  X(signal_is_blocked, EDEADLK, 2, "a signal of the set is blocked")                                    \
  X(descriptor_already_added, EEXIST, 1, "the descriptor has been added already")                       \
  X(registration_ended, ENOENT, 1, "the registration has ended")                                        \
  X(descriptor_not_added, ENOENT, 2, "the descriptor has not been added")                               \
  X(no_service_manager, ENOENT, 3, "NOTIFY_SOCKET is not set")                                          \
  X(pool_of_another_reactor, EINVAL, 1, "the pool has tasks in another reactor")                        \
  X(no_such_priority, EINVAL, 2, "the reactor has no such priority")                                    \
  X(no_such_signal, EINVAL, 3, "the set has a number that is no signal")                                \
  X(handle_is_empty, EINVAL, 4, "the handle holds no task")                                             \
  X(coroutine_has_ended, EINVAL, 5, "the coroutine has ended already")                                  \
  X(not_an_address, EINVAL, 6, "not ADDRESS:PORT, such as 127.0.0.1:8000 or [::1]:8000, nor unix:PATH") \
  X(bad_serial_settings, EINVAL, 7, "no such speed or settings")                                        \
  X(bad_watchdog_variable, EINVAL, 8, "WATCHDOG_USEC, WATCHDOG_PID or NOTIFY_SOCKET is wrong")          \
  X(no_frame_pool, EINVAL, 9, "the coroutine has no fitting frame pool")                                \
  X(no_answer, EINVAL, 10, "EAGAIN is no answer")                                                       \
  X(bad_interest, EINVAL, 11, "awaited is read, priority or both, or write alone")                      \
  X(not_numeric, ENOTSUP, 1, "numeric addresses only, such as 127.0.0.1 or ::1")                        \
  X(bad_port, ERANGE, 1, "the port is not a number from 0 to 65535")                                    \
  X(no_such_interface, ENODEV, 1, "there is no such network interface")                                 \
  X(path_too_long, ENAMETOOLONG, 1, "the path has more than 107 bytes")                                 \
  X(answer_is_set, EALREADY, 1, "the answer has been set already")                                      \
  X(channel_drained, ENODATA, 1, "the channel is closed and empty")                                     \
  X(stream_ended, ENODATA, 2, "the stream has ended")                                                   \
  X(answer_is_taken, ENODATA, 3, "the answer has been taken already")                                   \
  X(task_has_ended, ESRCH, 1, "the task has ended")                                                     \
  X(channel_closed, EPIPE, 1, "the channel is closed")                                                  \
  X(line_too_long, EMSGSIZE, 1, "the line is longer than its reader")                                   \
  X(frame_too_large, EMSGSIZE, 2, "the frame is larger than the slots")                                 \
  X(time_is_up, ETIMEDOUT, 1, "the time is up")                                                         \
  X(left_by_exception, ENOTRECOVERABLE, 1, "the coroutine ended by an exception")

enum class Reason : std::uint16_t {
#define MOTE_DETAIL_ENUMERATOR(name, code, number, text) name = reason(code, number),
  MOTE_DETAIL_REASONS(MOTE_DETAIL_ENUMERATOR)
#undef MOTE_DETAIL_ENUMERATOR
};

// The texts one behind the other, and whose they are: pointers to them would be larger, and relocated at the start.
#define MOTE_DETAIL_CODE(name, code, number, text) reason(code, number),
inline constexpr std::uint16_t reason_codes[] = {MOTE_DETAIL_REASONS(MOTE_DETAIL_CODE)};
#undef MOTE_DETAIL_CODE
#define MOTE_DETAIL_TEXT(name, code, number, text) text "\0"
inline constexpr char reason_texts[] = MOTE_DETAIL_REASONS(MOTE_DETAIL_TEXT);
#undef MOTE_DETAIL_TEXT
#undef MOTE_DETAIL_REASONS

// What mote itself says to an Error, as it is stored; null: nothing. The texts are linked only into programs that ask
// for them: those that call Error::message(), or whose tasks may fail without an observer. O(length of all texts).
[[gnu::cold]] inline const char* text_of(int stored) {
  const char* text = reason_texts;
  for (const int code : reason_codes) {
    if (code == stored) return text;
    text += ::strlen(text) + 1;
  }
  return nullptr;
}

}  // namespace detail
}  // namespace MOTE_NAMESPACE
}  // namespace mote

#endif  // MOTE_BASE_REASON_HPP
