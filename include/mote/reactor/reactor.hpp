// SPDX-License-Identifier: MIT
// Copyright (c) 2026 The mote authors
// Reactor: the loop, as user code sees it.
#ifndef MOTE_REACTOR_REACTOR_HPP
#define MOTE_REACTOR_REACTOR_HPP

#include <errno.h>  // errno and its names

#include <cstdint>  // integers of fixed width

#include <mote/base/assert.hpp>
#include <mote/base/config.hpp>
#include <mote/base/error.hpp>
#include <mote/base/result.hpp>
#include <mote/base/text.hpp>
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
// A turn: 1 step the tasks that were ready when it began; 2 compute the timeout, which is zero if anything is ready;
// 3 wait; 4 dispatch one batch of events, then call the handlers that are always ready, make the selector anew if need
// be, and deliver the wake-ups; 5 fire the timers that are due. What a phase wakes runs in the next turn (a task of a
// lower priority may still run in this one). So the work of a turn is bounded: no socket, timer or task keeps the
// others from their share.
//
// The library throws nothing. What a program's own task, handler, callback or observer throws leaves run(), run_for()
// or run_once(); a task whose step threw has failed with ENOTRECOVERABLE. The next run begins with the rest of that
// turn, so nothing is lost. (What a callback or an observer throws is dropped where nothing may be thrown: in
// destructors, and while another exception is under way.)
class Reactor : detail::Loop {
 public:
  // ---- running ----

  // Runs until stop(), or until there is nothing left that could ever happen: no task, timer, descriptor or waker.
  // Errors, of all runs:
  //   ENXIO           open() has not been called.
  //   EBUSY           it is running already: called from within run().
  //   EDEADLK         (run() alone) tasks are left, but nothing that could wake them: they wait for each other.
  //                   describe() names the first of them, and where it waits.
  //   EINVAL          (poll) there are more descriptors than RLIMIT_NOFILE allows.
  //   ENOMEM, ENOSPC  the kernel's limits: free something and run again.
  //   EMFILE, ENFILE  (epoll) the selector had to be made anew, and could not be: the next run tries again.
  //   EBADF           (epoll) the selector has been closed by somebody else: no run can succeed.
  Result<void> run() { return run_until(never); }
  // Runs until stop(), or until the time is up. Unlike run() it sits out its time though nothing is left that could
  // happen: what other threads start meanwhile is served. `unlimited` makes it run(); zero or less is one turn without
  // a wait. What its last turn wakes, as a timer that is due at the end of the time, is stepped by the next run.
  Result<void> run_for(AnyDuration duration) { return run_until(saturating_add(Clock::now(), duration)); }
  // One turn, which waits for `timeout` at most. Returns how many steps, events and timers there were. It does not take
  // a stop(), which stays for the next run(); until then it does not wait.
  Result<std::uint32_t> run_once(AnyDuration timeout = unlimited) { return Loop::run_once(timeout); }
  // Ends run() at the end of this turn; or, called before, the next run() at once. Any thread and any signal handler:
  // for these, wake-ups have to be enabled before (by a Waker, Mailbox, Signals, or enable_wakeups()), and it must not
  // be called any more once the reactor's destructor has begun.
  void stop() { Loop::stop(); }
  bool running() const { return is_running(); }
  bool is_open() const { return Loop::is_open(); }
  // The time at which this turn's events were received; read from the clock when it is first asked for.
  Instant now() { return Loop::now(); }

  // ---- descriptors ----

  // Registers a descriptor with a handler; the descriptor stays the caller's. The handler is called in phase 4 with
  // what is ready of what is asked for at that moment, again and again while it stays so. `handler` must not be empty.
  // It may do anything, also remove itself. Where the set is made anew and the kernel refuses the descriptor, it is
  // called with Readiness::error, also from within after_fork_in_child().
  //
  // hangup and error are reported whatever was asked for. One that comes alone and stays (the handler has not taken the
  // error away, has not removed the registration, and has not called modify()) is reported once: then the descriptor is
  // looked at every limits::retry_pause (100 ms), and is heard again when the hang-up or error has gone or what was
  // asked for is there; at once after modify().
  //
  // Descriptors that belong to a library: a registration ends with remove() before the library closes the descriptor;
  // or, where it tells of it only afterwards, with forget(). Until then the number is taken: a new descriptor of the
  // same number, the library's next one or another's, cannot be added (EEXIST), nor be waited for by tasks; and the
  // handler may be called with what is ready of that one, which poll(2) cannot tell from the old one.
  // Errors:
  //   EBADF            fd is not an open descriptor.
  //   EEXIST           the number is registered already, or tasks wait for it (found out in O(slots used so far)).
  //   EINVAL           (epoll) it is pollable_descriptor().
  //   ENOBUFS          the table is full: see Config::descriptors.
  //   ENXIO            open() has not been called.
  //   ELOOP            (epoll) fd is an epoll set, and the sets would be nested in a circle or too deep.
  //   ENOMEM, ENOSPC   the kernel's limits.
  //   EMFILE, ENFILE   the system's limits, while the set has to be made anew, which a run or a fork could not do.
  Result<Registration> add(int fd, Interest interest, Handler handler) {
    MOTE_ASSERT(handler && "Reactor::add() needs a handler: Handler::of<...>(), or a function object that lives on");
    Slot* slot = nullptr;
    if (const Result<void> claimed = claim(fd, slot); !claimed) return claimed.error();
    MOTE_ASSERT(slot != nullptr);
    const Result<void> added = set_handler(*slot, interest, handler);
    if (added) return Registration{index_of(*slot), slot->generation};
    release(*slot);
    return added.error();
  }
  // Changes what is asked for, from the next event on that is delivered, one of this very turn included. The kernel is
  // told in any case, so that a descriptor that is no longer in its set (see add(); or it was closed, and the number is
  // another's now) is added again. After an error all is as before.
  // Errors:
  //   ENOENT           the registration is no longer there.
  //   EBADF            its descriptor has been closed: forget() it.
  //   EEXIST, EINVAL   the same, and the number is by now that of a descriptor of the reactor's own.
  //   ELOOP, ENOMEM, ENOSPC, EMFILE, ENFILE   as of add().
  Result<void> modify(Registration registration, Interest interest) {
    Slot* const slot = find(registration);
    if (slot == nullptr) return Error(detail::Reason::registration_ended);
    return renew_interest(*slot, interest);
  }
  // After it no event of the registration is delivered, even if one has been received. Remove first, then close. Wakes
  // all tasks that wait for a free slot: O(waiting tasks).
  // Errors:
  //   ENOENT   the registration is no longer there.
  Result<void> remove(Registration registration) {
    Slot* const slot = find(registration);
    if (slot == nullptr) return Error(detail::Reason::registration_ended);
    remove_from_selector(*slot);
    release(*slot);
    return {};
  }
  // The same for a descriptor that has been closed already, whose number may be another's by now: the kernel, which has
  // dropped it, is not told.
  // Errors:
  //   ENOENT   the registration is no longer there.
  Result<void> forget(Registration registration) {
    Slot* const slot = find(registration);
    if (slot == nullptr) return Error(detail::Reason::registration_ended);
    forget_in_selector(*slot);
    release(*slot);
    return {};
  }
  std::uint32_t vacancies() const { return Loop::vacancies(); }  // free slots of the table
  // Closes all listeners. O(slots of the table used so far).
  void close_listeners() { Loop::close_listeners(); }

  // ---- inside of another loop ----

  // Wait until this descriptor is readable or the deadline has come, then call run_once(Duration::zero()). It is
  // another one after Observation::selector_rebuilt. -1 with poll, which has none.
  int pollable_descriptor() const { return Loop::pollable_descriptor(); }
  // Instant::min() if there is work at once, mote::never if there is no timer. Compare it with Clock::now() before you
  // subtract that: the difference of Instant::min() overflows.
  Instant next_deadline() const { return Loop::next_deadline(); }

  // ---- other threads and processes ----

  // Makes the descriptor by which other threads and signal handlers wake the loop. O(slots of the table used so far).
  // Errors:
  //   ENXIO                           open() has not been called.
  //   ENOBUFS                         limits::reactors_with_wakeups of this process have wake-ups already.
  //   EMFILE, ENFILE, ENOMEM, ENOSPC  the system's limits.
  Result<void> enable_wakeups() { return Loop::enable_wakeups(); }
  // To be called in a child that goes on with the loop, after fork() and before anything else of the reactor: makes a
  // selector and a wake-up descriptor of the child's own. The loop's own thread must have forked, inside of run() or
  // outside. After an error call it again. A child that only execs, or only closes what it inherited, need not call it.
  //
  // What the child has of each kind of object, independent of the parent's:
  //   descriptors, sources  registered as before. But both processes have the same file or connection: one of them
  //                         should close each, and who reads takes the data away from the other.
  //   tasks                 all, as they stand; they go on in the child.
  //   timers                armed as before, for the same instants.
  //   wakers                open as before; a wake-up that is pending is delivered in the child, too.
  //   mailboxes             open as before, with copies of the messages that were complete, in order. One that was just
  //                         being posted by another thread is dropped; see Mailbox.
  //   signals               taken over. Those that had come before the fork were the parent's. Until this call, and in
  //                         a child that never makes it, a signal has the effect that it had before it was taken.
  //   shutdown              goes on, with the signals and requests that had been delivered.
  //   watchdogs             the same device: only one of the two processes should go on feeding it.
  //   frames, pools         copies of the child's own.
  // Threads are not inherited: what another one was about to do is not done in the child.
  // Errors: those of enable_wakeups() but ENOBUFS, and EBADF if the selector was closed by somebody else.
  Result<void> after_fork_in_child() { return Loop::after_fork_in_child(); }

  // ---- observation ----

  const Statistics& stats() const { return Loop::stats(); }
  // Without an observer, failures that nobody joins go to standard error.
  void observe(Observer observer) { Loop::observe(observer); }
  // Zero or less: off. Else each step is measured, which costs two readings of the clock.
  void set_slow_step_threshold(AnyDuration threshold) { Loop::set_slow_step_threshold(threshold); }
  // Calls visit(Task&) for each live task, which tells what it waits for, where and since when; Task::describe() says
  // it in one line, TaskPool::find() gives its object. O(slots of pools used so far).
  template <class F> void for_each_task(F&& visit) {
    Loop::for_each_task([&visit](detail::TaskHeader& task) { visit(detail::TaskAccess::task(task)); });
  }
  // What a run that failed is to tell: of EDEADLK the first task that waits for what cannot come, by name and place,
  // and how many others there are; else Error::message(). For example "task Echo at echo.cpp:31 waits for what cannot
  // come: an event (and 2 more)". O(slots of pools used so far).
  Text describe(Error error) {
    Text text;
    if (error != EDEADLK || !is_deadlocked()) return text.add(error.message());
    std::uint32_t others = stats().tasks;
    for_each_task([&text, &others](Task& task) {
      if (text.size() != 0) return;
      --others;
      text.add("task ").add(task.name());
      if (task.line() != 0) text.add(" at ").add_place(task.file(), task.line());
      text.add(" waits for what cannot come");
      // It may have noted itself nowhere: a step that returns pending, or an operation that does so and tells nobody.
      if (const char* const what = task.waits_for(); what != nullptr) text.add(": ").add(what);
    });
    if (others != 0) text.add(" (and ").add_number(others).add(" more)");
    return text;
  }
  // O(slots of pools used so far).
  void cancel_all_tasks() { Loop::cancel_all_tasks(); }
  // All but the running one. Returns how many there were. O(slots of pools used so far).
  std::uint32_t destroy_all_tasks() { return Loop::destroy_all_tasks(); }

  // ---- for other layers ----

  // What TaskPool::spawn() takes.
  operator detail::SchedulerRef() { return {*this}; }
  // The pool for coroutines that get no pool as an argument, but this reactor or an object that is open in it.
  void set_frame_pool(detail::FrameStore& pool) { set_frame_store(&pool); }
  detail::FrameStore* frame_pool() const { return frame_store(); }
 protected:
  constexpr Reactor() = default;
  ~Reactor() = default;  // the derived class that has the storage calls close() before it is destroyed
  void attach(Selector& selector, detail::Slot* storage, std::uint32_t capacity, Ready* batch,
              std::uint32_t batch_size) {
    Loop::attach(selector, storage, capacity, batch, batch_size);
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
