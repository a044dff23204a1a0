// SPDX-License-Identifier: MIT
// Copyright (c) 2026 The mote authors
// SourceBase: the inner side of a Source, with which streams, listeners, datagram sockets and serial ports are made.
#ifndef MOTE_IO_SOURCE_BASE_HPP
#define MOTE_IO_SOURCE_BASE_HPP

#include <errno.h>  // errno and its names

#include <cstdint>  // integers of fixed width
#include <utility>  // move, forward, exchange

#include <mote/base/assert.hpp>
#include <mote/base/config.hpp>
#include <mote/base/error.hpp>
#include <mote/base/result.hpp>
#include <mote/reactor/loop.hpp>
#include <mote/reactor/slot.hpp>
#include <mote/selector/interest.hpp>
#include <mote/system/fd.hpp>
#include <mote/task/operation.hpp>
#include <mote/task/poll_context.hpp>
#include <mote/task/task.hpp>
#include <mote/task/task_header.hpp>
#include <mote/task/waiter.hpp>

namespace mote {
inline namespace MOTE_NAMESPACE {
namespace detail {

// Owns a slot of a loop's table, and the descriptor in it. Both are released when it is destroyed, or when the loop is,
// if that happens first.
class SourceBase : SlotOwner {
 protected:
  using Slot = detail::Slot;

  SourceBase() = default;
  SourceBase(SourceBase&& other) noexcept { take(other); }
  SourceBase& operator=(SourceBase&& other) noexcept {
    if (this == &other) return *this;
    close();
    take(other);
    return *this;
  }
  ~SourceBase() { close(); }

  // ---- owning ----

  // Puts a descriptor, which is non-blocking already, into the table. `flags` are Slot::Flag. On failure `fd` stays the
  // caller's.
  // Errors:
  //   EBUSY    it is open already.
  //   EBADF    fd is negative.
  //   ENOBUFS  the table is full.
  //   ENXIO    the reactor is not open.
  Result<void> register_as(Loop& loop, Fd&& fd, unsigned flags) {
    const Result<void> registered = register_number(loop, fd.get(), flags);
    if (registered) fd.release();
    return registered;
  }
  // The same with a descriptor that stays its owner's.
  Result<void> register_number(Loop& loop, int fd, unsigned flags) {
    if (slot_ != nullptr) return Error(Reason::already_open);
    Slot* slot = nullptr;
    if (const Result<void> claimed = loop.claim(fd, slot); !claimed) return claimed;
    MOTE_ASSERT(slot != nullptr && "claim() has succeeded without a slot: a mistake of mote's, please report it");
    slot_ = slot;
    loop_ = &loop;
    slot->flags = static_cast<std::uint16_t>(flags);
    loop.set_owner(*slot, *this, &SourceBase::close_owner);
    const unsigned must_wait = (flags & Slot::blocking) != 0 ? Slot::must_wait : 0;  // else it is tried at once
    const unsigned slow_path = (flags & Slot::is_stream) != 0 ? 0 : Slot::slow_path;
    slot->read_state = static_cast<std::uint8_t>(Slot::tried | must_wait | slow_path);
    slot->write_state = slot->read_state;
    mark_interrupted();
    return {};
  }
  // The same for another one, as a listener does for the stream that it accepts.
  static Result<void> register_other(SourceBase& other, Loop& loop, Fd&& fd, unsigned flags) {
    return other.register_as(loop, std::move(fd), flags);
  }
  // Operations that are pending get ECANCELED. It is left to the kernel to end the registration, which saves a system
  // call; but a descriptor that is borrowed goes on, and is not closed.
  void close() {
    if (slot_ == nullptr) return;
    Slot& slot = *std::exchange(slot_, nullptr);
    Fd fd(slot.fd);  // closed at the end
    interrupt_operations(slot);
    if (slot.is(Slot::borrowed)) {
      fd.release();
      loop_->remove_from_selector(slot);
    } else {
      loop_->forget_in_selector(slot);
    }
    loop_->release(slot);
  }
  // Returns the descriptor, no longer registered.
  Fd release() {
    if (slot_ == nullptr) return Fd();
    Slot& slot = *std::exchange(slot_, nullptr);
    Fd fd(slot.fd);
    interrupt_operations(slot);
    loop_->remove_from_selector(slot);
    loop_->release(slot);
    return fd;
  }

  // ---- operations ----

  // Whether there is a descriptor, and the operation may do its work. If not, `refusal` is what it has to return: see
  // PollContext::proceed().
  bool proceed(PollContext context, Interest direction, Error& refusal) {
    if (slot_ != nullptr && context.consume_budget()) {
      if (!begin_attempt(context.task(), direction)) return true;
      refusal = Error(ECANCELED);
      return false;
    }
    refusal = refuse(context.task(), direction);
    return false;
  }
  [[gnu::cold]] Error refuse(Task& task, Interest direction) {
    const PollContext context(task);
    if (slot_ == nullptr) {
      const Error answer = context.fail(loop_ != nullptr ? Error(ECANCELED) : Error(Reason::not_open));
      if (answer == detail::suspended) return answer;
      const bool was_pending = take_interruption(task, direction);
      if (was_pending && context.is_cancelling() && !context.is_abandoning()) context.acknowledge_cancellation();
      return answer;
    }
    const Error refusal = context.refuse();
    if (refusal == ECANCELED) {
      slot_->waiter_of(direction).leave(context.header());
      take_interruption(task, direction);
    } else {
      slot_->note_postponed(context.header(), direction);
    }
    return refusal;
  }
  // Every attempt, but for Stream's shortcuts, begins with this. Returns whether it has to answer ECANCELED: what this
  // task did with the former descriptor ended when that was closed, and the task has not been told.
  bool begin_attempt(Task& task, Interest direction) {
    std::uint8_t& state = slot_->state_of(direction);
    Waiter& waiter = slot_->waiter_of(direction);
    if (waiter.names(TaskAccess::header(task))) {
      waiter.wait_again(0);
      state |= Slot::tried;
    } else if (!waiter.has_task()) {
      state |= Slot::tried;
    }
    return (state & (Slot::disarmed | Slot::interrupted)) != 0 && begin_seldom_attempt(task, direction, state);
  }
  [[gnu::noinline]] bool begin_seldom_attempt(Task& task, Interest direction, std::uint8_t& state) {
    if ((state & Slot::disarmed) != 0) slot_->reader.clear();
    Slot::clear_state(state, Slot::disarmed);
    if ((state & Slot::interrupted) == 0) return false;
    const bool is_of_this_task = take_interruption(task, direction);
    if (interrupted_by(direction) == 0) Slot::clear_state(state, Slot::interrupted);
    return is_of_this_task;
  }
  // Returns whether there was one of this task, which counts as told from now on. (Where it hands a coroutine over, the
  // task that goes on with that is to be told.)
  bool take_interruption(Task& task, Interest direction) {
    const TaskHeader& header = TaskAccess::header(task);
    std::uint32_t& interrupted = interrupted_by(direction);
    if (interrupted != header.serial()) return false;
    interrupted = header.heir_serial();
    return true;
  }
  // Notes the task as waiting for `what`. Returns what the operation has to return.
  Error wait_for(PollContext context, Interest direction, const char* what) {
    const Result<void> noted = loop_->wait_for(*slot_, direction, context.header());
    return noted ? context.suspend(what) : noted.error();
  }
  // An operation that waits when `try_once()` returns EAGAIN, as it does also when trying is not worth a system call.
  template <class T, class Try> auto make_operation(Interest direction, const char* what, Try try_once) {
    return detail::make_operation<T>([this, direction, what, try_once](PollContext context) -> Result<T> {
      Error refusal;
      if (!proceed(context, direction, refusal)) return refusal;
      Result<T> result = try_once();
      if (result || result.error() != EAGAIN) return result;
      return wait_for(context, direction, what);
    });
  }
  // For good: what is there is reported until it has been read.
  void disable_edges() {
    slot_->read_state |= Slot::slow_path;
    slot_->wanted &= ~edge_triggered;
  }

  Loop* loop_ = nullptr;  // null: it has never been open
  Slot* slot_ = nullptr;  // null: it is not open
 private:
  static void close_owner(SlotOwner& owner) { static_cast<SourceBase&>(owner).close(); }

  // ---- operations that are pending when this is closed ----

  std::uint32_t& interrupted_by(Interest direction) { return interrupted_[direction == Interest::write ? 1 : 0]; }
  [[gnu::noinline]] void interrupt_operations(Slot& slot) {
    if (slot.is_reading()) interrupted_[0] = slot.reader.task()->serial();
    if (slot.is_writing()) interrupted_[1] = slot.writer.task()->serial();
    if (slot.is(Slot::connecting)) interrupted_[1] = slot.next;
  }
  // Makes the next attempts look whether there is somebody to be told.
  void mark_interrupted() {
    if ((interrupted_[0] | interrupted_[1]) == 0) return;
    slot_->read_state |= Slot::interrupted;
    slot_->write_state |= Slot::interrupted;
  }
  // Operations that are pending name the other object, which counts as closed from now on: their tasks are woken to be
  // told so. A connection that is in progress ends.
  [[gnu::noinline]] void take(SourceBase& other) {
    if (other.loop_ == nullptr) return;  // it has never been open
    loop_ = other.loop_;
    if (other.slot_ == nullptr) return;
    if (other.slot_->is(Slot::connecting)) return other.close();
    slot_ = std::exchange(other.slot_, nullptr);
    slot_->owner = this;
    mark_interrupted();
    if (!slot_->reader.has_task() && !slot_->writer.has_task()) return;
    other.interrupt_operations(*slot_);
    dismiss(slot_->reader);
    dismiss(slot_->writer);
  }
  static void dismiss(Waiter& waiter) {
    waiter.notify();
    waiter.clear();
  }

  // The tasks (their serials) whose operations were pending when this was closed, one for each direction: the next
  // attempt of such a task returns ECANCELED, once, rather than beginning anew with what has been opened since. A task
  // that has ended by then is not found again, since no other task has its serial. Of two tasks that were interrupted,
  // one after the other, before the first of them was stepped, the last one counts.
  std::uint32_t interrupted_[2] = {};
};

}  // namespace detail
}  // namespace MOTE_NAMESPACE
}  // namespace mote

#endif  // MOTE_IO_SOURCE_BASE_HPP
