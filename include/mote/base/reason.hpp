// SPDX-License-Identifier: MIT
// Copyright (c) 2026 The mote authors
// Reason: why mote itself refuses something, where the errno value alone does not tell.
#ifndef MOTE_BASE_REASON_HPP
#define MOTE_BASE_REASON_HPP

#include <errno.h>  // errno and its names

#include <cstdint>  // integers of fixed width

#include <mote/base/config.hpp>

namespace mote {
inline namespace MOTE_NAMESPACE {
namespace detail {

// An errno value ends at 4095: it takes the low 12 bits. The 4 bits above tell the reasons of one errno value apart; 0
// there means none, an error of the kernel or of the user. 16 bits in all: ARM loads that with one instruction.
inline constexpr int code_bits = 0xfff;
constexpr std::uint16_t reason(int code, int number) { return static_cast<std::uint16_t>(code | (number * 0x1000)); }

// EAGAIN and ECANCELED have none: they are compared on the way of every message, see Error.
enum class Reason : std::uint16_t {
  not_open = reason(EBADF, 1),
  no_descriptor = reason(EBADF, 2),
  selector_not_open = reason(EBADF, 3),
  reactor_not_open = reason(ENXIO, 1),
  awaited_by_another_task = reason(EBUSY, 1),
  already_open = reason(EBUSY, 2),
  already_running = reason(EBUSY, 3),
  signal_is_taken = reason(EBUSY, 4),
  task_is_running = reason(EBUSY, 5),
  timer_in_use = reason(EBUSY, 6),
  operation_pending = reason(EBUSY, 7),
  coroutine_is_awaited = reason(EBUSY, 8),
  descriptor_table_full = reason(ENOBUFS, 1),
  task_pool_full = reason(ENOBUFS, 2),
  selector_full = reason(ENOBUFS, 3),
  too_many_woken_reactors = reason(ENOBUFS, 4),
  task_in_too_many_queues = reason(ENOBUFS, 5),
  mailbox_full = reason(ENOBUFS, 6),
  group_full = reason(ENOBUFS, 7),
  frame_pool_full = reason(ENOBUFS, 8),
  deadlock = reason(EDEADLK, 1),
  signal_is_blocked = reason(EDEADLK, 2),
  descriptor_already_added = reason(EEXIST, 1),
  registration_ended = reason(ENOENT, 1),
  descriptor_not_added = reason(ENOENT, 2),
  pool_of_another_reactor = reason(EINVAL, 1),
  no_such_priority = reason(EINVAL, 2),
  no_such_signal = reason(EINVAL, 3),
  handle_is_empty = reason(EINVAL, 4),
  coroutine_has_ended = reason(EINVAL, 5),
  not_an_address = reason(EINVAL, 6),
  bad_serial_settings = reason(EINVAL, 7),
  bad_watchdog_variable = reason(EINVAL, 8),
  no_frame_pool = reason(EINVAL, 9),
  task_has_ended = reason(ESRCH, 1),
  channel_closed = reason(EPIPE, 1),
  channel_drained = reason(ENODATA, 1),
  stream_ended = reason(ENODATA, 2),
  line_too_long = reason(EMSGSIZE, 1),
  frame_too_large = reason(EMSGSIZE, 2),
  time_is_up = reason(ETIMEDOUT, 1),
  left_by_exception = reason(ENOTRECOVERABLE, 1),
  no_such_interface = reason(ENODEV, 1),
  path_too_long = reason(ENAMETOOLONG, 1),
};

struct ReasonText {
  Reason why;
  const char* text;
};
inline constexpr ReasonText reason_texts[] = {
    {Reason::not_open, "it is not open"},
    {Reason::no_descriptor, "the descriptor's number is negative"},
    {Reason::selector_not_open, "the selector has not been opened"},
    {Reason::reactor_not_open, "the reactor has not been opened"},
    {Reason::awaited_by_another_task, "another task awaits it already"},
    {Reason::already_open, "it is open already"},
    {Reason::already_running, "the reactor is running already"},
    {Reason::signal_is_taken, "a signal of the set is taken already"},
    {Reason::task_is_running, "the task is running at the moment"},
    {Reason::timer_in_use, "the timer is in use already"},
    {Reason::operation_pending, "an operation on it is pending"},
    {Reason::coroutine_is_awaited, "the coroutine is awaited already"},
    {Reason::deadlock, "every task waits for what cannot come"},
    {Reason::signal_is_blocked, "a signal of the set is blocked"},
    {Reason::descriptor_already_added, "the descriptor has been added already"},
    {Reason::registration_ended, "the registration has ended"},
    {Reason::descriptor_not_added, "the descriptor has not been added"},
    {Reason::pool_of_another_reactor, "the pool has tasks in another reactor"},
    {Reason::handle_is_empty, "the handle holds no task"},
    {Reason::coroutine_has_ended, "the coroutine has ended already"},
    {Reason::task_has_ended, "the task has ended"},
    {Reason::descriptor_table_full, "the descriptor table is full"},
    {Reason::task_pool_full, "the task pool is full"},
    {Reason::selector_full, "the selector is full"},
    {Reason::too_many_woken_reactors, "too many reactors can be woken: limits::reactors_with_wakeups"},
    {Reason::task_in_too_many_queues, "the task waits in too many queues: limits::queues_per_task"},
    {Reason::mailbox_full, "the mailbox is full"},
    {Reason::group_full, "the task group is full"},
    {Reason::frame_pool_full, "the frame pool is full"},
    {Reason::frame_too_large, "the frame is larger than the pool's slots"},
    {Reason::no_frame_pool, "the coroutine is given no frame pool that fits"},
    {Reason::no_such_priority, "the reactor has no such priority"},
    {Reason::no_such_signal, "the set has a number that is no signal"},
    {Reason::not_an_address, "not a numeric address and port, nor a path"},
    {Reason::bad_serial_settings, "the serial port has no such speed or settings"},
    {Reason::bad_watchdog_variable, "WATCHDOG_USEC or NOTIFY_SOCKET cannot be understood"},
    {Reason::channel_closed, "the channel is closed"},
    {Reason::channel_drained, "the channel is closed and empty"},
    {Reason::stream_ended, "the stream has ended"},
    {Reason::line_too_long, "the line is longer than its reader"},
    {Reason::time_is_up, "the time is up"},
    {Reason::left_by_exception, "the coroutine ended with an exception"},
    {Reason::no_such_interface, "no such network interface"},
    {Reason::path_too_long, "the path is too long for a socket"},
};

// What mote itself says to an Error, as it is stored; null: nothing. The texts are linked only into programs that ask
// for them. O(number of reasons).
constexpr const char* text_of(int stored) {
  for (const ReasonText& entry : reason_texts) {
    if (static_cast<int>(entry.why) == stored) return entry.text;
  }
  return nullptr;
}

}  // namespace detail
}  // namespace MOTE_NAMESPACE
}  // namespace mote

#endif  // MOTE_BASE_REASON_HPP
