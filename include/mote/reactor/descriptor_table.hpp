// SPDX-License-Identifier: MIT
// Copyright (c) 2026 The mote authors
// The descriptor table: what is registered, what the kernel knows of it, and which task or handler gets an event.
#ifndef MOTE_REACTOR_DESCRIPTOR_TABLE_HPP
#define MOTE_REACTOR_DESCRIPTOR_TABLE_HPP

#include <errno.h>  // errno and its names

#include <cstddef>  // size_t, ptrdiff_t
#include <cstdint>  // integers of fixed width
#include <utility>  // move, forward, exchange

#include <mote/base/assert.hpp>
#include <mote/base/config.hpp>
#include <mote/base/error.hpp>
#include <mote/base/exceptions.hpp>
#include <mote/base/result.hpp>
#include <mote/reactor/descriptor_numbers.hpp>
#include <mote/reactor/slot.hpp>
#include <mote/selector/interest.hpp>
#include <mote/selector/look.hpp>
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
  has_muted = 16,      // a slot has been muted: it has to be looked at again
  unfinished = 32,     // an exception has left a turn: the next run begins with the rest of it
  selector_lost = 64   // beside rebuild_needed: the selector could not be made anew, and takes no descriptors
};

// The part of a reactor that knows descriptors: a scheduler (see there) with a table of fixed capacity. Slot 0 is for
// the wake-up descriptor; slots 1 to capacity_ are the table. An event carries its slot's place and generation; one
// whose generation is not the slot's is dropped, so that a removal is final at once, even within a batch of events.
//
// An error or a hang-up cannot be masked: it would be reported again at once, for ever. So where one stays that nobody
// takes away, the slot is muted: it leaves the selector, and is looked at again by poll(2) after a pause.
class DescriptorTable : DescriptorNumbers, public Scheduler {
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
    if (selector_ == nullptr) return Error(Reason::reactor_not_open);
    if (fd < 0) return Error(EBADF);
    if (free_ == 0 && fresh_ == capacity_) return report_table_full();
    Slot* slot = nullptr;
    if (free_ != 0) {
      slot = &slots_[free_];
      free_ = slot->next;
    } else {
      ++fresh_;
      slot = &slots_[fresh_];
      slot->generation = first_number() | 1u;
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
    give_number_back(slot);
    if (slot.is(Slot::listening)) accept_retry_.notify_all();
    slot.reader.notify();
    slot.reader.clear();
    slot.writer.notify();
    slot.writer.clear();
    if (++slot.generation == 0) slot.generation = 1;
    slot.released_in = static_cast<std::uint32_t>(stats().turns);
    slot.wanted = Interest::none;
    slot.known = Interest::none;
    slot.report(Readiness::none);
    slot.read_state = 0;
    slot.write_state = 0;
    slot.flags = 0;
    slot.owner = nullptr;
    slot.handler = {};
    slot.next = free_;
    free_ = index_of(slot);
    --stats().descriptors;
    vacancy_.notify_all();
  }
  using DescriptorNumbers::index_of;
  Slot* find(Registration registration) {  // null: it has been removed
    if (registration.slot == 0 || registration.slot > fresh_) return nullptr;
    Slot& slot = slots_[registration.slot];
    return slot.generation == registration.generation && slot.handler ? &slot : nullptr;
  }
  // Sets the handler and what it is called for. After an error all is as before. Errors: those of set_interest(), and
  // of Selector::rebuild().
  Result<void> set_handler(Slot& slot, Interest interest, Handler handler) {
    const bool is_heard = (slot.flags & (Slot::in_set | Slot::told)) == Slot::in_set;
    if (interest != slot.known || !is_heard || !slot.handler) return change_handler(slot, interest, handler);
    slot.handler = handler;
    slot.wanted = interest;
    return {};
  }
  // Owners register with the function that closes them, so that a program without owners does not link its code.
  void set_owner(Slot& slot, SlotOwner& owner, void (*close_owner)(SlotOwner&)) {
    slot.owner = &owner;
    close_owner_ = close_owner;
  }
  void close_listeners() { close_owners(Slot::listening); }  // O(slots used so far)
  // For a slot whose descriptor is borrowed: from now on no other slot may use its number.
  // Errors:
  //   EEXIST  another slot holds the number.
  Result<void> borrow(Slot& slot) {
    if (is_number_taken(slot)) return Error(Reason::descriptor_already_added);
    slot.set(Slot::borrowed);
    hold_number(slot);
    return {};
  }

  // ---- what the kernel knows ----

  // Arms this interest in the selector. After an error the slot wants what it wanted before. It may have left the set
  // then, if its descriptor was closed by somebody else: whoever waits for it has been woken, to try again.
  // Errors:
  //   EBADF           the descriptor was closed by somebody else while it was registered.
  //   EEXIST          another slot has registered the same descriptor.
  //   ELOOP           (epoll) it is an epoll set, and the sets would be nested in a circle or too deep.
  //   ENOMEM, ENOSPC  the kernel's limits.
  Result<void> set_interest(Slot& slot, Interest interest) {
    const Interest before = std::exchange(slot.wanted, interest);
    if (interest == slot.known && slot.is(Slot::in_set)) return {};
    return update_selector(slot, before);
  }
  // The same for a handler, which is heard again if it was muted. The selector is told in any case.
  Result<void> renew_interest(Slot& slot, Interest interest) {
    if (has_flag(selector_lost)) {
      if (const Result<void> remade = remake_selector(); !remade) return remade;
    }
    const std::uint32_t flags_before = slot.flags;
    slot.clear(Slot::muted | Slot::told | Slot::always_ready);  // the number may be another kind of file's by now
    // A selector over poll(2) would not notice. (One without edges over epoll is looked after for nothing.)
    const bool is_gone = !any(edges_) && slot.is(Slot::in_set) && is_closed(slot);
    Result<void> renewed = Error(EBADF);
    if (!is_gone) renewed = update_selector(slot, std::exchange(slot.wanted, interest));
    if (!renewed) restore(slot, flags_before);
    return renewed;
  }
  void remove_from_selector(Slot& slot) {
    leave_selector(slot);
    give_number_back(slot);
  }
  // For a number that the system has just given out: whoever is in the set by it has been closed by somebody else.
  // O(slots used so far).
  void evict(int fd) {
    for (std::uint32_t i = 1; i <= fresh_; ++i) {
      Slot& slot = slots_[i];
      if (slot.fd != fd || !slot.is(Slot::in_set)) continue;
      forget_in_selector(slot);
      slot.clear(Slot::in_set);
      slot.known = Interest::none;
      wake_all(slot);
    }
  }
  // For a descriptor that is about to be closed, or has been, which makes the kernel remove it.
  void forget_in_selector(Slot& slot) {
    if (slot.is(Slot::in_set)) selector_->forget(slot.fd);
  }
  // Notes the task as waiting for a direction, and arms it. After an error the task is not noted. While a slot's reader
  // names a task, woken or not, what that has waited for last is armed: Stream::read() relies on it to wait again
  // without a call. So whatever disarms reading calls Slot::forget_idle_reader(). Errors:
  //   EBUSY           another task waits for it, or a handler is called.
  //   EBADF           the descriptor was closed by somebody else.
  //   EEXIST          another slot has registered the same descriptor.
  //   ELOOP           (epoll) it is an epoll set, and the sets would be nested in a circle or too deep.
  //   ENOMEM, ENOSPC  the kernel's limits.
  Result<void> wait_for(Slot& slot, Interest direction, TaskHeader& task) {
    Waiter& waiter = slot.waiter_of(direction);
    if (waiter.is_taken_by_another(task) || slot.handler) return Error(Reason::awaited_by_another_task);
    const bool only_data = (slot.read_state & Slot::slow_path) == 0;
    waiter.wait(task, bits(direction) | (only_data ? 0u : awaits_more_than_data));
    const Interest wanted = slot.wanted | direction;
    if ((slot.flags & (Slot::always_ready | Slot::error_stands)) != 0) return wait_specially(slot, waiter, wanted);
    if (wanted == slot.known) return {};
    // Edge-triggered for our own TCP sockets that are only read(): a short read has drained them. See Slot::is_tcp and
    // Slot::slow_path.
    return arm(slot, waiter, only_data && slot.is(Slot::is_tcp) ? wanted | edges_ : wanted);
  }
 protected:
  constexpr DescriptorTable() = default;
  ~DescriptorTable() = default;

  void attach(Selector& selector, Slot* storage, std::uint32_t capacity) {
    // Before Linux 5.3 an edge of room to write may be lost when memory is short (the kernel's changes 'set
    // SOCK_NOSPACE under memory pressure' of 5.0, and 'make sure EPOLLOUT wont be missed' of 5.3).
    const bool has_edges = selector.can_report_edges() && System::is_at_least(5, 3);
    edges_ = has_edges ? edge_triggered : Interest::none;
    selector_ = &selector;
    slots_ = storage;
    capacity_ = capacity;
  }

  [[gnu::always_inline]] void dispatch(const Ready& ready) {
    const auto offset = static_cast<std::uint32_t>(ready.token);
    MOTE_ASSERT(offset <= capacity_ * sizeof(Slot) && offset % sizeof(Slot) == 0 &&
                "a token that is not mote's: a Selector of your own must report the tokens that it was given");
    auto* const table = static_cast<char*>(static_cast<void*>(slots_));
    Slot& slot = *static_cast<Slot*>(static_cast<void*>(table + offset));
    if (slot.generation != static_cast<std::uint32_t>(ready.token >> 32)) return drop_stale_event(slot);
    if (ready.readiness == Readiness::readable && slot.reader.awaited() == bits(Interest::read)) {  // mostly
      Slot::clear_state(slot.read_state, Slot::must_wait | Slot::tried);
      return slot.reader.wake();
    }
    const Handler handler = slot.handler;
    if (!handler) return wake_waiters(slot, ready.readiness);
    if ((bits(ready.readiness) & ~bits(slot.wanted)) != 0) return call_with_what_is_asked(slot, ready.readiness);
    handler(ready.readiness);  // mostly
  }
  void dispatch_always_ready_handlers() {
    if (dispatch_always_ready_ != nullptr) dispatch_always_ready_(*this);
  }
  // Looks again at the slots that are muted: those whose hang-up or error has gone, or that have what they wait for,
  // are heard again. O(slots used so far), and a system call for each that is muted.
  void look_at_muted_slots() {
    for (std::uint32_t i = 1; i <= fresh_; ++i) {
      Slot& slot = slots_[i];
      if (slot.is(Slot::muted)) look_again(slot);
    }
  }
  // What a rebuild that has failed has left to do.
  Result<void> finish_rebuild() { return has_flag(rebuild_needed) ? rebuild() : Result<void>(); }
  // Makes the selector anew from the table. After an error rebuild_needed stays set.
  // Errors: those of Selector::rebuild(), and those of set_interest() for the wake-up descriptor, without which the
  // loop could not be woken.
  [[gnu::cold]] Result<void> rebuild() {
    if (const Result<void> remade = remake_selector(); !remade) return remade;
    ++stats().selector_rebuilds;
    for (std::uint32_t i = 0; i <= fresh_; ++i) {
      if (!slots_[i].is(Slot::in_set)) continue;
      const Result<void> added = add_again(slots_[i]);
      if (added) continue;
      if (i == 0) {
        slots_[0].set(Slot::in_set);
        return added;
      }
      tell_failure(slots_[i], added.error());
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
  [[gnu::noinline]] Result<void> change_handler(Slot& slot, Interest interest, Handler handler) {
    const Handler before = std::exchange(slot.handler, handler);
    dispatch_always_ready_ = &DescriptorTable::dispatch_always_ready;
    const Result<void> changed = renew_interest(slot, interest);
    if (!changed) slot.handler = before;
    return changed;
  }
  // Makes the selector anew, and empty: rebuild_needed stays set until all are added, since a handler that is told of a
  // failure may throw. Errors: those of Selector::rebuild().
  [[gnu::cold]] Result<void> remake_selector() {
    set_flag(rebuild_needed);
    const Result<void> fresh = selector_->rebuild();
    if (fresh) clear_flag(selector_lost);
    else set_flag(selector_lost);
    return fresh;
  }
  // After a refusal: what the slot was before. What has left the selector on the way is added again later.
  [[gnu::cold]] void restore(Slot& slot, std::uint32_t flags_before) {
    if (is_closed(slot)) {
      leave_but_stay_named(slot);
    } else if ((flags_before & Slot::always_ready) != 0) {
      slot.set(Slot::always_ready);
      hold_number(slot);
      static_cast<void>(update_always_ready(slot));
    } else if ((flags_before & (Slot::muted | Slot::in_set)) != 0 && !slot.is(Slot::in_set)) {
      mute(slot);
    }
  }
  static bool is_closed(const Slot& slot) { return any(look(slot.fd, Interest::none) & not_open); }
  static constexpr unsigned never_masked = bits(Readiness::error | hung_up);

  // An event of which not all is asked for: what is asked for may be another thing by now than it was when the event
  // was received; and hang-up and error are never asked for.
  [[gnu::noinline]] void call_with_what_is_asked(Slot& slot, Readiness readiness) {
    const Readiness heard = readiness & static_cast<Readiness>(asked_for(slot.wanted) | never_masked);
    if ((bits(heard) & ~never_masked) == 0) return call_unasked(slot, heard);
    const Handler handler = slot.handler;
    handler(heard);
  }
  // An event that carries nothing that is asked for. If that was a hang-up or an error, the handler is told, once: if
  // it neither takes away what it was told of, nor sets itself anew, the slot is muted. Else it is an event of what was
  // asked for when it was received, and is not any more.
  [[gnu::cold]] void call_unasked(Slot& slot, Readiness heard) {
    if (!any(heard)) return;
    const std::uint32_t generation = slot.generation;
    const Handler handler = slot.handler;
    slot.set(Slot::told);
    handler(heard);
    if (slot.generation != generation || !slot.is(Slot::told)) return;
    slot.clear(Slot::told);
    // Where it is gone, the event may have come from a descriptor that was closed, lives on in a duplicate, and whose
    // number is another file's now: the selector then answers ENOENT, and is made anew.
    if (condition_stays(slot) || !update_selector(slot, slot.wanted)) mute(slot);
  }
  // Whether there is a hang-up or an error, and nothing that is asked for: it would be reported again and again.
  static bool condition_stays(const Slot& slot) {
    const unsigned seen = bits(look(slot.fd, slot.wanted));
    const bool is_over = (seen & (never_masked | bits(not_open))) != 0;
    return is_over && (seen & asked_for(slot.wanted)) == 0;
  }
  void mute(Slot& slot) {
    leave_but_stay_named(slot);
    hold_number(slot);
    slot.set(Slot::muted);
    set_flag(has_muted);
  }
  void look_again(Slot& slot) {
    if (condition_stays(slot)) return set_flag(has_muted);
    slot.clear(Slot::muted | Slot::error_stands);
    if (!update_selector(slot, slot.wanted)) mute(slot);
  }

  // Arms what a waiter has been noted for. After an error it is not noted. What is always ready wakes it at once.
  Result<void> arm(Slot& slot, Waiter& waiter, Interest interest) {
    const Result<void> armed = set_interest(slot, interest);
    if (!armed) waiter.clear();
    else if (slot.is(Slot::always_ready)) wake_at_once(slot, waiter);
    return armed;
  }
  // There is never anything urgent.
  static void wake_at_once(Slot& slot, const Waiter& waiter) {
    if ((waiter.awaited() & bits(Interest::read | Interest::write)) == 0) return;
    slot.report(Readiness::readable | Readiness::writable);
    Slot::clear_state(slot.read_state, Slot::must_wait);
    Slot::clear_state(slot.write_state, Slot::must_wait);
    if (&waiter == &slot.writer) slot.wake_writer();
    else slot.wake_reader();
  }
  // A descriptor that is always ready, or one with an error that stays. That one is armed edge-triggered, so that it is
  // reported only when something changes; poll(2) has no such thing.
  [[gnu::cold]] Result<void> wait_specially(Slot& slot, Waiter& waiter, Interest wanted) {
    if (slot.is(Slot::always_ready)) return arm(slot, waiter, wanted);
    if (any(edges_)) return arm(slot, waiter, wanted | edges_);
    slot.wanted = wanted;
    mute(slot);
    return {};
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
      slot.wake_reader();
      unclaimed &= ~awaited;
    }
    if (any(unclaimed & Interest::write) && slot.wake_writer()) unclaimed &= ~Interest::write;
    if (!any(unclaimed & slot.known)) return;
    // Edge-triggered: it is not reported again by itself, so nothing needs to be disarmed.
    if (any(slot.known & edge_triggered)) return;
    if (any(unclaimed & Interest::read)) slot.forget_idle_reader();
    // If it fails, the next event tries again.
    static_cast<void>(set_interest(slot, slot.wanted & ~unclaimed));
  }
  // The directions that an event concerns: hang-up and error concern all of them.
  static Interest directions_of(Readiness readiness) {
    if (any(readiness & (hung_up | Readiness::error))) { return Interest::read | Interest::priority | Interest::write; }
    auto directions = static_cast<Interest>(bits(readiness) & 0x07u);
    if (any(readiness & Readiness::read_closed)) directions |= Interest::read;
    return directions;
  }
  static void note_readiness(Slot& slot, Readiness readiness, Interest directions) {
    slot.report(readiness);
    constexpr Interest reading = Interest::read | Interest::priority;
    if (any(directions & reading)) Slot::clear_state(slot.read_state, Slot::must_wait);
    if (any(directions & Interest::write)) Slot::clear_state(slot.write_state, Slot::must_wait);
    constexpr Readiness more_than_data = hung_up | Readiness::read_closed | Readiness::error;
    if (any(readiness & more_than_data)) slot.read_state |= Slot::read_fully;
    if (slot.is(Slot::error_stands) && !any(readiness & Readiness::error)) {
      slot.clear(Slot::error_stands);
      slot.wanted &= ~edge_triggered;
    }
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
    return update_selector(slot, slot.wanted);
  }
  // The descriptor was closed by somebody else, or there is no memory. Waiters have been woken; a handler is called
  // with Readiness::error, and where it may pass, the slot is muted, to be added later.
  void tell_failure(Slot& slot, Error error) {
    const Handler handler = slot.handler;
    if (!handler) return;
    if (error != EBADF) mute(slot);
    handler(Readiness::error);
  }

  [[gnu::cold]] Error report_table_full() {
    const Error full = Error(Reason::descriptor_table_full);
    report(Observation::table_full, nullptr, full);
    return full;
  }

  // Makes what the selector knows equal to what is wanted. `before` is wanted again after an error.
  Result<void> update_selector(Slot& slot, Interest before) {
    if (slot.is(Slot::always_ready)) return update_always_ready(slot);
    // The descriptor of a handler stays in the set without an interest, too, for hang-up and error.
    if (!any(slot.wanted) && !slot.handler) {
      leave_but_stay_named(slot);
      if (!is_foreign(slot)) give_number_back(slot);
      return {};
    }
    const Result<void> updated = add_or_modify(slot);
    if (updated) return updated;
    slot.wanted = before;
    if (!slot.is(Slot::in_set)) {
      if (!is_foreign(slot)) give_number_back(slot);
      wake_all(slot);
    }
    return updated;
  }
  Result<void> add_or_modify(Slot& slot) {
    if (slot.is(Slot::in_set)) {
      const Result<void> modified = tell_selector(slot, Change::modify);
      if (modified || !is_one_of(modified.error().code(), ENOENT, EPERM)) return modified;
      leave_but_stay_named(slot);  // closed by somebody else, and the number is another file's by now
    }
    if (is_number_taken(slot)) return Error(Reason::descriptor_already_added);
    Result<void> added = tell_selector(slot, Change::add);
    if (!added && added.error() == EEXIST && !is_in_set_elsewhere(slot)) {
      added = tell_selector(slot, Change::modify);  // a duplicate, closed since, has left it behind
    }
    if (added && is_foreign(slot)) hold_number(slot);
    if (added || added.error() != EPERM) return added;
    slot.set(Slot::always_ready);
    hold_number(slot);
    return update_always_ready(slot);
  }
  // Whether the descriptor is not the reactor's: it is one of Reactor::add(), or borrowed.
  static bool is_foreign(const Slot& slot) {
    return (slot.handler && slot.owner == nullptr) || slot.is(Slot::borrowed);
  }
  // O(slots used so far); called only where the selector returns EEXIST.
  [[gnu::cold]] bool is_in_set_elsewhere(const Slot& slot) const {
    for (const Slot* other = slots_; other <= slots_ + fresh_; ++other) {
      if (other != &slot && other->fd == slot.fd && other->is(Slot::in_set)) return true;
    }
    return false;
  }
  // Returns whether the kernel has removed it from the set, now.
  bool leave_selector(Slot& slot) {
    Result<void> removed;
    if (slot.is(Slot::in_set)) {
      removed = selector_->remove(slot.fd);
      if (!removed) selector_->forget(slot.fd);
      // Closed by somebody else, which has removed it from the set, too. ENOENT, EPERM: the number is in use again.
      const bool was_closed = !removed && is_one_of(removed.error().code(), EBADF, ENOENT, EPERM);
      if (!removed && !was_closed) set_flag(rebuild_needed);
    }
    slot.clear(Slot::in_set);
    slot.known = Interest::none;
    slot.forget_idle_reader();
    return static_cast<bool>(removed);
  }
  // The slot goes on under its generation, by which events of a closed descriptor that lives on in a duplicate would
  // pass as its own.
  void leave_but_stay_named(Slot& slot) {
    if (!leave_selector(slot)) set_flag(rebuild_needed);
  }
  // Waiters try again, and are armed anew, or get the error.
  static void wake_all(Slot& slot) {
    slot.wake_reader();
    slot.wake_writer();
    slot.forget_idle_reader();
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
