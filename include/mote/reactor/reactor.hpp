// SPDX-License-Identifier: MIT
// Copyright (c) 2026 The mote authors
// The reactor, as those see it who use it.
#ifndef MOTE_REACTOR_REACTOR_HPP
#define MOTE_REACTOR_REACTOR_HPP

#include <errno.h>  // errno and its names

#include <cstdint>  // integers of fixed width

#include <mote/base/config.hpp>
#include <mote/base/error.hpp>
#include <mote/base/result.hpp>
#include <mote/reactor/loop.hpp>
#include <mote/reactor/slot.hpp>
#include <mote/selector/interest.hpp>
#include <mote/selector/selector.hpp>
#include <mote/system/clock.hpp>
#include <mote/task/observation.hpp>
#include <mote/task/scheduler.hpp>
#include <mote/task/state_machine.hpp>
#include <mote/task/task.hpp>
#include <mote/task/task_header.hpp>

namespace mote {
inline namespace MOTE_NAMESPACE {
namespace detail {
struct ReactorAccess;
}

// The loop. All user code refers to this class; StaticReactor adds the storage. Everything belongs to the thread that
// runs it, except stop(), which any thread and any signal handler may call.
//
// A turn: 1 step the tasks that were ready when it began; 2 compute the time-out; 3 wait; 4 dispatch one batch of
// events; 5 fire the timers that were due when this phase began. What a phase wakes runs in the next turn. So the work
// of a turn is bounded: no socket, timer or task keeps the others from their share.
class Reactor : detail::Loop {
 public:
  // ---- running ----

  // Runs until stop(), or until there is nothing left that could ever happen: no task, timer, descriptor or waker.
  // Errors, of all runs:
  //   ENXIO          open() has not been called.
  //   EBUSY          it is running already: called from within run().
  //   EDEADLK        tasks are left, but nothing that could wake them: they wait for each other.
  //   EBADF and kin  the selector is beyond repair.
  Result<void> run() { return run_until(Instant::max()); }
  Result<void> run_for(Duration duration) { return run_until(saturating_add(Clock::now(), duration)); }
  // One turn, which waits for `timeout` at most. Returns how many steps, events and timers there were.
  Result<std::uint32_t> run_once(Duration timeout = forever) { return Loop::run_once(timeout); }
  // Ends run() at the end of this turn; or, called before, the next run() at once. Any thread and any signal handler;
  // from there it needs wake-ups to be enabled (by a Waker, Mailbox, Signals, or enable_wakeups()).
  void stop() { Loop::stop(); }
  bool running() const { return is_running(); }
  bool is_open() const { return Loop::is_open(); }
  // The time at which this turn's events were received; read from the clock when it is first asked for.
  Instant now() { return Loop::now(); }

  // ---- descriptors ----

  // Registers a descriptor with a handler; the descriptor stays the caller's. The handler is called in phase 4 with
  // what is ready, again and again while it stays so. hangup and error come unasked; where an event carries nothing
  // that was asked for, it is delivered once, and the next comes after modify(). The handler may do anything, also
  // remove itself.
  // Errors:
  //   EBADF            fd is not an open descriptor.
  //   EEXIST           it is registered already (found out in O(descriptors)).
  //   ENOBUFS          the table is full: see Config::descriptors.
  //   ENXIO            open() has not been called.
  //   ENOMEM, ENOSPC   the kernel's limits.
  Result<Registration> add(int fd, Interest interest, Handler handler) {
    MOTE_ASSERT(handler);
    Slot* slot = nullptr;
    if (const Result<void> claimed = claim(fd, slot); !claimed) return claimed.error();
    set_handler(*slot, handler);
    const Result<void> added = set_interest(*slot, interest);
    if (added) return Registration{index_of(*slot), slot->generation};
    release(*slot);
    return added.error();
  }
  // Errors:
  //   ENOENT   the registration is no longer there.
  //   ENOMEM   the kernel's limit.
  Result<void> modify(Registration registration, Interest interest) {
    Slot* const slot = find(registration);
    if (slot == nullptr) return Error(ENOENT);
    slot->clear(Slot::muted);
    return set_interest(*slot, interest);
  }
  // After it no event of the registration is delivered, even if one has been received. Remove first, then close. It and
  // Source::close() wake all tasks that wait for a free slot, and take as long.
  // Errors:
  //   ENOENT   the registration is no longer there.
  Result<void> remove(Registration registration) {
    Slot* const slot = find(registration);
    if (slot == nullptr) return Error(ENOENT);
    remove_from_selector(*slot);
    release(*slot);
    return {};
  }
  std::uint32_t vacancies() const { return Loop::vacancies(); }
  void close_listeners() { Loop::close_listeners(); }

  // ---- inside of another loop ----

  // Wait until this descriptor is readable or the deadline has come, then call run_once(Duration::zero()). -1 with
  // poll, which has none.
  int pollable_descriptor() const { return Loop::pollable_descriptor(); }
  // Instant::min() if there is work at once, Instant::max() if there is no timer.
  Instant next_deadline() const { return Loop::next_deadline(); }

  // ---- other threads and processes ----

  // Makes the descriptor by which other threads and signal handlers wake the loop.
  // Errors:
  //   ENXIO                 open() has not been called.
  //   EMFILE ENFILE ENOMEM  the system's limits.
  Result<void> enable_wakeups() { return Loop::enable_wakeups(); }
  // To be called in a child after fork(), before anything else of the reactor: makes a selector and a wake-up
  // descriptor of the child's own. A child that only execs, or only closes what it inherited, need not call it.
  // Errors:
  // as enable_wakeups().
  Result<void> after_fork_in_child() { return Loop::after_fork_in_child(); }

  // ---- observation ----

  const Statistics& stats() const { return Loop::stats(); }
  // Without an observer, failures that nobody joins go to standard error.
  void observe(Observer observer) { Loop::observe(observer); }
  // Zero: off. Else each step is measured, which costs two readings of the clock.
  void set_slow_step_threshold(Duration threshold) { Loop::set_slow_step_threshold(threshold); }
  // visit(Task&) for all live ones: what each waits for, where, since when. O(slots of pools that were ever used).
  template <class F> void for_each_task(F&& visit) {
    Loop::for_each_task([&visit](detail::TaskHeader& task) { visit(detail::TaskAccess::task(task)); });
  }
  void cancel_all_tasks() { Loop::cancel_all_tasks(); }
  // But not the running one. Returns how many there were.
  std::uint32_t destroy_all_tasks() { return Loop::destroy_all_tasks(); }

  // ---- for other layers ----

  // What TaskPool::spawn() takes.
  operator detail::SchedulerRef() { return {*this}; }
  // Where coroutines that are given nothing but this reactor, or what is open in it, take their frames: a FramePool.
  void set_frame_pool(detail::FrameStore& pool) { set_frame_store(&pool); }
  detail::FrameStore* frame_pool() const { return frame_store(); }
 protected:
  constexpr Reactor() = default;
  ~Reactor() = default;  // whoever has the storage closes it before that goes
  void attach(Selector& selector, detail::Slot* slots, std::uint32_t capacity, Ready* batch, std::uint32_t batch_size) {
    Loop::attach(selector, slots, capacity, batch, batch_size);
  }
  void attach_priorities(detail::RunQueue* higher, std::uint32_t levels) { start_higher_queues(higher, levels); }
  void close() { Loop::close(); }
 private:
  friend struct detail::ReactorAccess;
  using Slot = detail::Slot;
};

namespace detail {
// From a reactor to its parts and back, for the layers above.
struct ReactorAccess {
  static Loop& loop(Reactor& reactor) { return reactor; }
  static Reactor& reactor(Loop& loop) { return static_cast<Reactor&>(loop); }
  static Reactor& reactor_of(const TaskHeader& task) {
    return static_cast<Reactor&>(static_cast<Loop&>(*task.store->scheduler()));
  }
};
}  // namespace detail

inline auto& Task::reactor() const { return detail::ReactorAccess::reactor_of(*this); }
inline auto& StateMachine::reactor() const { return task_->reactor(); }

}  // namespace MOTE_NAMESPACE
}  // namespace mote

#endif  // MOTE_REACTOR_REACTOR_HPP
