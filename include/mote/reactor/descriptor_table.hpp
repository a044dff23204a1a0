// SPDX-License-Identifier: MIT
// Copyright (c) 2026 The mote authors
// The descriptor table: what is registered, what the kernel knows of it, and which task or handler gets an event.
#ifndef MOTE_REACTOR_DESCRIPTOR_TABLE_HPP
#define MOTE_REACTOR_DESCRIPTOR_TABLE_HPP

#include <errno.h>  // errno and its names

#include <cstddef>  // size_t, ptrdiff_t
#include <cstdint>  // integers of fixed width
#include <utility>  // move, forward, exchange

#include <mote/base/config.hpp>
#include <mote/base/error.hpp>
#include <mote/base/exceptions.hpp>
#include <mote/base/result.hpp>
#include <mote/reactor/slot.hpp>
#include <mote/selector/interest.hpp>
#include <mote/selector/selector.hpp>
#include <mote/system/system.hpp>
#include <mote/task/observation.hpp>
#include <mote/task/scheduler.hpp>
#include <mote/task/task_header.hpp>
#include <mote/task/wait_queue.hpp>
#include <mote/task/waiter.hpp>

namespace mote {
inline namespace MOTE_NAMESPACE {
namespace detail {

// Conditions that make a turn differ from most others. All in one word, so that the usual turn tests nothing else.
enum LoopFlag : std::uint32_t {
  woken = 1,           // another thread or a signal handler has woken the loop
  draining = 2,        // this run ends with the last task
  rebuild_needed = 4,  // the selector is to be made anew
  never_waiting = 8,   // the descriptors of some handlers are always ready, or were until now
  unfinished = 16      // an exception has left a turn: the next run begins with the rest of it
};

// Members that every event needs. In a base of its own, in front of the scheduler: short instructions reach 124
// bytes on Thumb-2 and 127 on x86, so the words that are used most come first.
struct TableWords {
  Interest edges_ = Interest::none;  // edge_triggered, where the selector knows them
  std::uint32_t flags_ = 0;          // of LoopFlag
  Slot* slots_ = nullptr;
  Selector* selector_ = nullptr;
  std::uint32_t capacity_ = 0;
  std::uint32_t free_ = 0;   // the first free slot that has been used before; 0: none
  std::uint32_t fresh_ = 0;  // slots beyond this one have never been used
};

// The part of a reactor that knows descriptors: a scheduler (see there) with a table of fixed capacity. Slot 0 is for
// the wake-up descriptor; slots 1 to capacity_ are the table. An event carries its slot's place and generation; one
// whose generation is not the slot's is dropped, so that a removal is final at once, even within a batch of events.
class DescriptorTable : TableWords, public Scheduler {
 public:
  bool is_open() const { return selector_ != nullptr; }
  std::uint32_t vacancies() const { return capacity_ - stats().descriptors; }
  WaitQueue& vacancy() { return vacancy_; }            // tasks that wait for a free slot
  WaitQueue& accept_retry() { return accept_retry_; }  // tasks whose accept() the system refused a descriptor or memory

  bool has_flag(std::uint32_t flags) const { return (flags_ & flags) != 0; }
  void set_flag(LoopFlag flag) { flags_ |= flag; }
  void clear_flag(LoopFlag flag) { flags_ &= ~unsigned{flag}; }

  // ---- slots ----

  // Takes a free slot for a descriptor. The selector is told of it when something is awaited.
  // Errors:
  //   ENXIO    the reactor is not open.
  //   EBADF    fd is negative.
  //   ENOBUFS  the table is full. It is reported to the observer.
  Result<void> claim(int fd, Slot*& claimed) {
    if (selector_ == nullptr) return Error(ENXIO);
    if (fd < 0) return Error(EBADF);
    if (free_ == 0 && fresh_ == capacity_) return report_table_full();
    Slot* slot = nullptr;
    if (free_ != 0) {
      slot = &slots_[free_];
      free_ = slot->next_free;
    } else {
      ++fresh_;
      slot = &slots_[fresh_];
      slot->generation = 1;
    }
    Statistics& counts = stats();
    ++counts.descriptors;
    if (counts.descriptors > counts.descriptors_high) counts.descriptors_high = counts.descriptors;
    slot->fd = fd;
    claimed = slot;
    return {};
  }
  // Ends a registration that the selector does not have any more. Operations that are pending find their source closed.
  // Wakes all tasks that wait for a free slot: O(waiting tasks).
  void release(Slot& slot) {
    if (slot.is(Slot::listening)) accept_retry_.notify_all();
    slot.reader.notify();
    slot.reader.clear();
    slot.writer.notify();
    slot.writer.clear();
    if (++slot.generation == 0) slot.generation = 1;
    slot.released_in = static_cast<std::uint32_t>(stats().turns);
    slot.wanted = Interest::none;
    slot.known = Interest::none;
    slot.last = Readiness::none;
    slot.read_state = 0;
    slot.write_state = 0;
    slot.flags = 0;
    slot.owner = nullptr;
    slot.handler = {};
    slot.next_free = free_;
    free_ = index_of(slot);
    --stats().descriptors;
    vacancy_.notify_all();
  }
  std::uint32_t index_of(const Slot& slot) const { return static_cast<std::uint32_t>(&slot - slots_); }
  Slot* find(Registration registration) {  // null: it has been removed
    if (registration.slot == 0 || registration.slot > fresh_) return nullptr;
    Slot& slot = slots_[registration.slot];
    return slot.generation == registration.generation && slot.handler ? &slot : nullptr;
  }
  void set_handler(Slot& slot, Handler handler) {
    slot.handler = handler;
    dispatch_always_ready_ = &DescriptorTable::dispatch_always_ready;
  }
  // Owners register with the function that closes them, so that a program without owners does not link its code.
  void set_owner(Slot& slot, SlotOwner& owner, void (*close_owner)(SlotOwner&)) {
    slot.owner = &owner;
    close_owner_ = close_owner;
  }
  void close_listeners() { close_owners(Slot::listening); }  // O(slots used so far)

  // ---- what the kernel knows ----

  // Arms this interest in the selector.
  // Errors:
  //   EBADF           the descriptor was closed by somebody else while it was registered.
  //   EEXIST          another slot has registered the same descriptor (found out in O(slots used so far)).
  //   ELOOP           (epoll) it is an epoll set, and the sets would be nested in a circle or too deep.
  //   ENOMEM, ENOSPC  the kernel's limits.
  Result<void> set_interest(Slot& slot, Interest interest) {
    slot.wanted = interest;
    if (interest == slot.known && slot.is(Slot::in_set)) return {};
    return update_selector(slot);
  }
  void remove_from_selector(Slot& slot) {
    if (slot.is(Slot::in_set)) {
      // ENOENT, EBADF: closed by somebody else, which has removed it from the set, too.
      if (!selector_->remove(slot.fd)) selector_->forget(slot.fd);
    }
    slot.clear(Slot::in_set);
    slot.known = Interest::none;
    if (!slot.reader.is_waiting()) slot.reader.clear();  // see wait_for()
  }
  // For a descriptor that is about to be closed, which makes the kernel remove it.
  void forget_in_selector(Slot& slot) {
    if (slot.is(Slot::in_set)) selector_->forget(slot.fd);
  }
  // Notes the task as waiting for a direction, and arms it. After an error the task is not noted. While a slot's reader
  // names a task, woken or not, what that has waited for last is armed: Stream::read() relies on it to wait again
  // without a call. So whatever disarms reading clears a reader that does not wait. Errors:
  //   EBUSY           another task waits for it, or a handler is called.
  //   EBADF           the descriptor was closed by somebody else.
  //   EEXIST          another slot has registered the same descriptor.
  //   ELOOP           (epoll) it is an epoll set, and the sets would be nested in a circle or too deep.
  //   ENOMEM, ENOSPC  the kernel's limits.
  Result<void> wait_for(Slot& slot, Interest direction, TaskHeader& task) {
    Waiter& waiter = direction == Interest::write ? slot.writer : slot.reader;
    if (waiter.is_taken_by_another(task) || slot.handler) return Error(EBUSY);
    const bool only_data = (slot.read_state & Slot::slow_path) == 0;
    waiter.wait(task, bits(direction) | (only_data ? 0u : awaits_more_than_data));
    const Interest wanted = slot.wanted | direction;
    if (wanted == slot.known && !slot.is(Slot::always_ready)) return {};
    // Edge-triggered for our own TCP sockets that are only read(): a short read has drained them. See Slot::is_tcp and
    // Slot::slow_path.
    const Result<void> armed = set_interest(slot, only_data && slot.is(Slot::is_tcp) ? wanted | edges_ : wanted);
    if (!armed) {
      waiter.clear();
    } else if (slot.is(Slot::always_ready)) {
      slot.last = Readiness::readable | Readiness::writable;
      slot.read_state |= Slot::may_try;
      slot.write_state |= Slot::may_try;
      waiter.notify();
    }
    return armed;
  }
  // What an event may report where this interest was asked for.
  static constexpr unsigned asked_for(Interest interest) {
    const bool reading = any(interest & Interest::read);
    return bits(interest) | (reading ? bits(Readiness::read_closed) : 0u);
  }
 protected:
  constexpr DescriptorTable() = default;
  ~DescriptorTable() = default;

  void attach(Selector& selector, Slot* slots, std::uint32_t capacity) {
    edges_ = selector.can_report_edges() ? edge_triggered : Interest::none;
    selector_ = &selector;
    slots_ = slots;
    capacity_ = capacity;
  }

  [[gnu::always_inline]] void dispatch(const Ready& ready) {
    const auto offset = static_cast<std::uint32_t>(ready.token);
    MOTE_ASSERT(offset <= capacity_ * sizeof(Slot) && offset % sizeof(Slot) == 0);
    auto* const table = static_cast<char*>(static_cast<void*>(slots_));
    Slot& slot = *static_cast<Slot*>(static_cast<void*>(table + offset));
    if (slot.generation != static_cast<std::uint32_t>(ready.token >> 32)) return drop_stale_event(slot);
    if (ready.readiness == Readiness::readable && slot.reader.awaited() == bits(Interest::read)) {  // mostly
      slot.read_state |= Slot::may_try;
      return slot.reader.wake();
    }
    const Handler handler = slot.handler;
    if (!handler) return wake_waiters(slot, ready.readiness);
    if ((bits(ready.readiness) & bits(slot.wanted)) == 0) return call_unasked(slot, ready.readiness);
    handler(ready.readiness);
  }
  void dispatch_always_ready_handlers() {
    if (dispatch_always_ready_ != nullptr) dispatch_always_ready_(*this);
  }
  // Makes the selector anew from the table. After an error rebuild_needed stays set.
  // Errors: those of Selector::rebuild(), and those of set_interest() for the wake-up descriptor, without which the
  // loop could not be woken.
  [[gnu::cold]] Result<void> rebuild() {
    const Result<void> fresh = selector_->rebuild();
    if (!fresh) {
      set_flag(rebuild_needed);
      return fresh;
    }
    set_flag(rebuild_needed);  // until the end: a handler that is told of a failure may throw
    ++stats().selector_rebuilds;
    for (std::uint32_t i = 0; i <= fresh_; ++i) {
      if (!slots_[i].is(Slot::in_set)) continue;
      const Result<void> added = add_again(slots_[i]);
      if (added) continue;
      if (i == 0) {
        slots_[0].set(Slot::in_set);
        return added;
      }
      tell_failure(slots_[i]);
    }
    clear_flag(rebuild_needed);
    report(Observation::selector_rebuilt);
    return {};
  }
  // Closes the owners of all slots with that flag (0: of all slots). O(slots used so far).
  void close_owners(std::uint32_t flag) {
    const Slot* slot = slots_;  // of the wake-up descriptor, which has no owner
    const Slot* const last = slots_ + fresh_;
    while (slot != last) {
      ++slot;
      if (slot->owner != nullptr && (slot->flags & flag) == flag) close_owner_(*slot->owner);
    }
  }
  Slot& wake_slot() { return slots_[0]; }

  bool has_any_flag() const { return flags_ != 0; }
  std::uint32_t flags() const { return flags_; }
  Selector& selector() const { return *selector_; }

  // After a handler has thrown: the events of the batch that are left, or the slot from which the handlers that are
  // always ready are called. 0: none, or all.
  std::uint32_t left_ = 0;
 private:
  // An event that carries nothing that was asked for, a hang-up or an error, cannot be masked and would come again at
  // once: the handler is told once, and then the descriptor is taken out of the set until it is modified.
  [[gnu::cold]] void call_unasked(Slot& slot, Readiness readiness) {
    const std::uint32_t generation = slot.generation;
    const Interest wanted = slot.wanted;
    const Handler handler = slot.handler;
    handler(readiness);
    if ((bits(readiness) & asked_for(wanted)) != 0) return;  // read_closed
    if (slot.generation != generation || slot.wanted != wanted) return;
    slot.set(Slot::muted);
    remove_from_selector(slot);
  }
  // An event of a descriptor that tasks wait for. Waiters are woken; a direction without a waiter is disarmed, so that
  // it costs one event and one system call, once. Every event does one or the other: none can spin.
  [[gnu::noinline]] void wake_waiters(Slot& slot, Readiness readiness) {
    constexpr Interest reading = Interest::read | Interest::priority;
    Interest unclaimed = directions_of(readiness);
    note_readiness(slot, readiness, unclaimed);
    // The cast to 8 bits drops awaits_more_than_data.
    const Interest awaited = static_cast<Interest>(slot.reader.awaited()) & reading;
    if (any(unclaimed & awaited)) {
      slot.reader.wake();
      unclaimed &= ~awaited;
    }
    if (any(unclaimed & Interest::write) && slot.writer.notify()) unclaimed &= ~Interest::write;
    if (!any(unclaimed & slot.known)) return;
    // Edge-triggered: it is not reported again by itself, so nothing needs to be disarmed.
    if (any(slot.known & edge_triggered)) return;
    if (!slot.reader.is_waiting()) slot.reader.clear();               // see wait_for()
    static_cast<void>(set_interest(slot, slot.wanted & ~unclaimed));  // if it fails, the next event tries again
  }
  // The directions that an event concerns: hang-up and error concern all of them.
  static Interest directions_of(Readiness readiness) {
    if (any(readiness & (Readiness::hangup | Readiness::error))) {
      return Interest::read | Interest::priority | Interest::write;
    }
    auto directions = static_cast<Interest>(bits(readiness) & 0x07u);
    if (any(readiness & Readiness::read_closed)) directions |= Interest::read;
    return directions;
  }
  static void note_readiness(Slot& slot, Readiness readiness, Interest directions) {
    slot.last = readiness;
    if (any(directions & (Interest::read | Interest::priority))) slot.read_state |= Slot::may_try;
    if (any(directions & Interest::write)) slot.write_state |= Slot::may_try;
    if (any(readiness & (Readiness::hangup | Readiness::read_closed))) slot.read_state |= Slot::read_fully;
    if (any(readiness & Readiness::priority)) {
      // At the mark of urgent data recv() reads short, or fails with EAGAIN if a signal is pending, though there is
      // more: from now on the stream is level-triggered.
      slot.read_state |= Slot::slow_path;
      slot.wanted &= ~edge_triggered;
    }
  }
  static void dispatch_always_ready(DescriptorTable& self) {
    const std::uint32_t first = has_exceptions ? std::exchange(self.left_, 0u) : 0;
    if (first == 0) self.clear_flag(never_waiting);
    for (std::uint32_t i = first == 0 ? 1 : first; i <= self.fresh_; ++i) {
      const Slot& slot = self.slots_[i];
      const Handler handler = slot.handler;
      if (!slot.is(Slot::always_ready) || !handler || !any(slot.known)) continue;
      ++self.stats().events;
      self.set_flag(never_waiting);
      OnException resume_later([&self, i] { self.left_ = i + 1; });
      handler(static_cast<Readiness>(slot.known));
      resume_later.dismiss();
    }
  }
  // Either the registration was removed earlier in this batch. Or its descriptor was closed while a duplicate, here or
  // in another process, keeps the description alive, and with it the kernel's entry, which nothing but a new set
  // removes.
  [[gnu::cold]] void drop_stale_event(const Slot& slot) {
    ++stats().stale_events;
    if (slot.released_in != static_cast<std::uint32_t>(stats().turns)) set_flag(rebuild_needed);
  }
  Result<void> add_again(Slot& slot) {
    slot.clear(Slot::in_set);
    slot.known = Interest::none;
    return update_selector(slot);
  }
  // The descriptor was closed by somebody else, or there is no memory. Waiters try again, and their operations return
  // the error; a handler is called with Readiness::error.
  void tell_failure(Slot& slot) {
    slot.reader.notify();
    slot.writer.notify();
    slot.reader.clear();
    const Handler handler = slot.handler;
    if (handler) handler(Readiness::error);
  }

  [[gnu::cold]] Error report_table_full() {
    report(Observation::table_full, nullptr, Error(ENOBUFS));
    return Error(ENOBUFS);
  }

  // Makes what the selector knows equal to what is wanted.
  Result<void> update_selector(Slot& slot) {
    if (slot.is(Slot::always_ready)) return update_always_ready(slot);
    // The descriptor of a handler stays in the set without an interest, too, for hang-up and error.
    const bool member = any(slot.wanted) || (slot.handler && !slot.is(Slot::muted));
    if (!member) {
      remove_from_selector(slot);
      return {};
    }
    if (slot.is(Slot::in_set)) {
      const Result<void> modified = tell_selector(slot, Change::modify);
      if (modified || modified.error() != ENOENT) return modified;
      remove_from_selector(slot);  // closed by somebody else, and the number is another file's by now
    }
    const Result<void> added = tell_selector(slot, Change::add);
    if (added || !is_one_of(added.error().code(), EEXIST, EPERM)) return added;
    // After EPERM, too: what is always ready is in no set, so only the table knows of a second registration.
    if (is_registered_elsewhere(slot)) return Error(EEXIST);
    if (added.error() == EPERM) {
      slot.set(Slot::always_ready);
      return update_always_ready(slot);
    }
    return tell_selector(slot, Change::modify);  // EEXIST: what a duplicate, closed since, has left behind
  }
  Result<void> update_always_ready(Slot& slot) {
    slot.known = slot.wanted & (Interest::read | Interest::write);
    if (slot.handler && any(slot.known)) set_flag(never_waiting);
    return {};
  }
  enum class Change { add, modify };
  Result<void> tell_selector(Slot& slot, Change change) {
    const Result<void> told = change == Change::add ? selector_->add(slot.fd, slot.wanted, token_of(slot))
                                                    : selector_->modify(slot.fd, slot.wanted, token_of(slot));
    if (told) {
      slot.set(Slot::in_set);
      slot.known = slot.wanted;
    }
    return told;
  }
  // O(slots used so far); called only where the selector returns EEXIST or EPERM.
  bool is_registered_elsewhere(const Slot& slot) const {
    for (const Slot* other = slots_; other <= slots_ + fresh_; ++other) {
      if (other == &slot || other->fd != slot.fd) continue;
      if ((other->flags & (Slot::in_set | Slot::always_ready)) != 0) return true;
    }
    return false;
  }
  std::uint64_t token_of(const Slot& slot) const {
    const auto offset = static_cast<std::size_t>(&slot - slots_) * sizeof(Slot);  // fits: see StaticReactor's capacity
    return std::uint64_t{offset} | std::uint64_t{slot.generation} << 32;
  }

  WaitQueue vacancy_;
  WaitQueue accept_retry_;
  // Set when the first handler and the first owner are, so that a program without them does not link that code.
  void (*dispatch_always_ready_)(DescriptorTable&) = nullptr;
  void (*close_owner_)(SlotOwner&) = nullptr;
};

}  // namespace detail
}  // namespace MOTE_NAMESPACE
}  // namespace mote

#endif  // MOTE_REACTOR_DESCRIPTOR_TABLE_HPP
