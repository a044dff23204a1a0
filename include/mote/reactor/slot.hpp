// SPDX-License-Identifier: MIT
// Copyright (c) 2026 The mote authors
// A descriptor's slot in the table, and what names it from outside.
#ifndef MOTE_REACTOR_SLOT_HPP
#define MOTE_REACTOR_SLOT_HPP

#include <cstdint>  // integers of fixed width

#include <mote/base/config.hpp>
#include <mote/base/delegate.hpp>
#include <mote/selector/interest.hpp>
#include <mote/task/waiter.hpp>

namespace mote {
inline namespace MOTE_NAMESPACE {

using Handler = Delegate<void(Readiness)>;  // called with what the kernel reports of a descriptor

// Names a registration. One that has been removed is not found again, even when its slot is in use once more.
struct Registration {
  std::uint32_t slot = 0;
  std::uint32_t generation = 0;  // 0: none
  constexpr explicit operator bool() const { return generation != 0; }
};

namespace detail {

// The object that owns a slot's descriptor, if one does. The table closes it through a hook of the layer above.
struct SlotOwner {};

// A descriptor's slot. `wanted` is the interest that should be armed, `known` what the kernel was told last (or counts
// as told: see always_ready); they differ only where the kernel is not asked, and while a call is made. Where a handler
// is set, events go to it; else they wake the tasks that wait.
// Size on a 32-bit board: 72 bytes.
struct Slot {
  enum Flag : std::uint16_t {
    in_set = 0x01,        // the selector has it
    always_ready = 0x02,  // a regular file or its kin: EPERM from epoll
    muted = 0x04,         // an error or a hang-up stays: out of the set until a look finds that it has gone
    listening = 0x08,     // DescriptorTable::close_listeners() closes its owner
    is_socket = 0x10,
    is_tty = 0x20,
    connecting = 0x40,
    blocking = 0x80,        // not ours to make non-blocking: used only when reported ready
    is_stream = 0x100,      // a socket of type SOCK_STREAM
    is_tcp = 0x200,         // and of our making: a short read means that nothing is left, so edge triggering is enough
    numbered = 0x400,       // it holds its descriptor's number: see DescriptorNumbers
    told = 0x800,           // its handler has been told of what it had not asked for, and has not been set anew since
    error_stands = 0x1000,  // an error is reported that no read or write takes away: it is in the error queue
    borrowed = 0x2000       // its owner does not close the descriptor
  };
  // What the next attempt at reading or writing does. With none of these bits it tries at once.
  enum DirectionState : std::uint8_t {
    must_wait = 1,     // not worth trying: after a short read or EAGAIN, until something is reported
    read_fully = 2,    // a short read does not mean that nothing is left (closed, or an error): read on until EAGAIN
    slow_path = 4,     // not a stream socket, or ready() was used, or urgent data came: no shortcut
    tried = 8,         // somebody has tried since the task that the reader, or the writer, names was woken last
    disarmed = 16,     // of reading: what the task that the reader names has waited for is not armed any more
    interrupted = 32,  // a task is still to be told that what it did with the owner's former descriptor has ended
    drained = tried | must_wait  // by a read that came out short
  };
  // Bits that keep Stream::read() from its shortcut.
  static constexpr unsigned not_usual = must_wait | read_fully | slow_path | disarmed | interrupted;

  bool is(Flag flag) const { return (flags & flag) != 0; }
  void set(Flag flag) { flags = static_cast<std::uint16_t>(flags | flag); }
  void clear(unsigned some) { flags = static_cast<std::uint16_t>(flags & ~some); }
  bool may_read() const { return (read_state & must_wait) == 0; }
  bool may_write() const { return (write_state & must_wait) == 0; }
  static void clear_state(std::uint8_t& state, unsigned bits) { state = static_cast<std::uint8_t>(state & ~bits); }

  std::uint8_t& state_of(Interest direction) { return direction == Interest::write ? write_state : read_state; }
  Waiter& waiter_of(Interest direction) { return direction == Interest::write ? writer : reader; }
  // Wakes the task that waits to read, or to write, if one does. Returns whether there was one.
  bool wake_reader() {
    if (!reader.notify()) return false;
    clear_state(read_state, tried);
    return true;
  }
  bool wake_writer() {
    if (!writer.notify()) return false;
    clear_state(write_state, tried);
    return true;
  }
  // Whether an operation of the task that the waiter names is pending: it waits, or it was woken and has not been
  // stepped. (After an operation that has completed the waiter still names its task.)
  bool is_reading() const { return reader.has_task() && (reader.is_waiting() || (read_state & tried) == 0); }
  bool is_writing() const { return writer.has_task() && (writer.is_waiting() || (write_state & tried) == 0); }
  // The task's operation is pending until its next turn, for which it is queued already. What it would wait for is not
  // armed.
  void note_postponed(TaskHeader& task, Interest direction) {
    Waiter& waiter = waiter_of(direction);
    const bool is_writing_there = direction == Interest::write;
    if (!waiter.names(task)) {
      const bool is_pending = is_writing_there ? is_writing() : is_reading();
      if (is_pending) return;  // of another task, which is told then; this one is told EBUSY, or goes on
      waiter.wait(task, 0);
      if (!is_writing_there) read_state |= disarmed;
    }
    clear_state(state_of(direction), tried);
  }
  // Whatever disarms reading calls this: see DescriptorTable::wait_for().
  void forget_idle_reader() {
    if (reader.has_task() && !reader.is_waiting()) read_state |= disarmed;
  }

  // What was reported last, and has not been taken since; not stored for plain data: see DescriptorTable::dispatch().
  Readiness last() const { return static_cast<Readiness>(reported); }
  void report(Readiness readiness) { reported = static_cast<std::uint16_t>(bits(readiness)); }
  void take(Readiness taken) { reported = static_cast<std::uint16_t>(reported & ~bits(taken)); }

  int fd = 0;
  std::uint32_t generation = 0;
  std::uint32_t next = 0;    // of a free slot: the next one. Of one that holds its number: the next in its bucket. Of
                             // one that is being connected: the serial of the task that does it
  std::uint32_t bucket = 0;  // not of this slot: the first one in the bucket of this place; 0: none
  std::uint32_t released_in = 0;  // stats().turns when it was released
  Interest wanted = Interest::none;
  Interest known = Interest::none;
  std::uint8_t read_state = 0;  // of DirectionState
  std::uint8_t write_state = 0;
  std::uint16_t reported = 0;  // of Readiness: see last()
  std::uint16_t flags = 0;     // of Flag
  SlotOwner* owner = nullptr;
  Handler handler;
  Waiter reader;  // what they await are bits of Interest
  Waiter writer;
};

// A bit of what a reader awaits, beside those of Interest: it may wait for more than plain data. It makes dispatch()
// skip its shortcut for plain data, which does not store Slot::last.
inline constexpr unsigned awaits_more_than_data = 0x100;
// A bit of what a reader awaits that waits in a queue instead: no event answers it.
inline constexpr unsigned awaits_no_event = 0x200;

}  // namespace detail
}  // namespace MOTE_NAMESPACE
}  // namespace mote

#endif  // MOTE_REACTOR_SLOT_HPP
