// SPDX-License-Identifier: MIT
// Copyright (c) 2026 The mote authors
// The inner side of a Source: what streams, listeners, datagram sockets and serial ports are made with.
#ifndef MOTE_IO_SOURCE_BASE_HPP
#define MOTE_IO_SOURCE_BASE_HPP

#include <errno.h>  // errno and its names

#include <cstdint>  // integers of fixed width
#include <utility>  // move, forward, exchange

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
#include <mote/task/waiter.hpp>

namespace mote {
inline namespace MOTE_NAMESPACE {
namespace detail {

// Owns a slot of a loop's table, and the descriptor in it. It goes with its owner, or with the loop where that goes
// first.
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
  //   EBADF    fd is none.
  //   ENOBUFS  the table is full.
  //   ENXIO    the reactor is not open.
  Result<void> register_as(Loop& loop, Fd&& fd, unsigned flags) {
    if (slot_ != nullptr) return Error(EBUSY);
    if (const Result<void> claimed = loop.claim(fd.get(), slot_); !claimed) return claimed;
    loop_ = &loop;
    loop.set_owner(*slot_, *this, &SourceBase::close_owner);
    slot_->flags = flags;
    unsigned state = 0;
    if (!slot_->is(Slot::blocking)) state |= Slot::may_try;  // the first attempt is made at once
    if (!slot_->is(Slot::is_stream)) state |= Slot::slow_path;
    slot_->read_state = static_cast<std::uint8_t>(state);
    slot_->write_state = static_cast<std::uint8_t>(state);
    fd.release();
    return {};
  }
  // The same for another one, as a listener does for the stream that it accepts.
  static Result<void> register_other(SourceBase& other, Loop& loop, Fd&& fd, unsigned flags) {
    return other.register_as(loop, std::move(fd), flags);
  }
  // Whoever waits for it gets ECANCELED. It is left to the kernel to end the registration, which saves a system call.
  void close() {
    if (slot_ == nullptr) return;
    Slot& slot = *std::exchange(slot_, nullptr);
    const Fd fd(slot.fd);  // closed at the end
    connect_interrupted_ = slot.is(Slot::connecting) && slot.writer.has_task();
    loop_->forget_in_selector(slot);
    loop_->release(slot);
  }
  // Gives the descriptor back, no longer registered.
  Fd release() {
    if (slot_ == nullptr) return Fd();
    Slot& slot = *std::exchange(slot_, nullptr);
    Fd fd(slot.fd);
    loop_->remove_from_selector(slot);
    loop_->release(slot);
    return fd;
  }

  // ---- operations ----

  // Whether there is a descriptor, and the task may go on. If not, `refusal` is the operation's answer: see
  // PollContext::proceed().
  bool proceed(PollContext context, Interest direction, Error& refusal) {
    if (slot_ != nullptr && context.consume_budget()) return true;
    refusal = refuse(context.task(), direction);
    return false;
  }
  [[gnu::cold]] Error refuse(Task& task, Interest direction) {
    const PollContext context(task);
    if (slot_ == nullptr) return Error(loop_ != nullptr ? ECANCELED : EBADF);
    const Error refusal = context.refuse();
    if (refusal == ECANCELED) {
      Waiter& waiter = direction == Interest::write ? slot_->writer : slot_->reader;
      waiter.leave(context.header());
    }
    return refusal;
  }
  // Notes the task as waiting; `what` says for what. Gives what the operation has to return.
  Error wait_for(PollContext context, Interest direction, const char* what) {
    const Result<void> noted = loop_->wait_for(*slot_, direction, context.header());
    return noted ? context.suspend(what) : noted.error();
  }
  // An operation that waits when `try_once()` answers EAGAIN, which is also its answer when trying is not worth a
  // system call.
  template <class T, class Try> auto make_operation(Interest direction, const char* what, Try try_once) {
    return operation<T>([this, direction, what, try_once](PollContext context) -> Result<T> {
      Error refusal;
      if (!proceed(context, direction, refusal)) return refusal;
      Result<T> result = try_once();
      if (result || result.error() != EAGAIN) return result;
      return wait_for(context, direction, what);
    });
  }

  Loop* loop_ = nullptr;              // null: it has never been open
  Slot* slot_ = nullptr;              // null: it is not open
  bool connect_interrupted_ = false;  // closed while a connect() was pending
 private:
  static void close_owner(SlotOwner& owner) { static_cast<SourceBase&>(owner).close(); }
  [[gnu::noinline]] void take(SourceBase& other) {
    loop_ = std::exchange(other.loop_, nullptr);
    slot_ = std::exchange(other.slot_, nullptr);
    if (slot_ != nullptr) slot_->owner = this;
  }
};

}  // namespace detail
}  // namespace MOTE_NAMESPACE
}  // namespace mote

#endif  // MOTE_IO_SOURCE_BASE_HPP
