// SPDX-License-Identifier: MIT
// Copyright (c) 2026 The mote authors
// The loop: its turn, its runs, and how it is woken.
#ifndef MOTE_REACTOR_LOOP_HPP
#define MOTE_REACTOR_LOOP_HPP

#include <errno.h>      // errno and its names
#include <sys/types.h>  // pid_t

#include <atomic>   // 32-bit atomics
#include <cstddef>  // size_t, ptrdiff_t
#include <cstdint>  // integers of fixed width
#include <utility>  // move, forward, exchange

#include <mote/base/assert.hpp>
#include <mote/base/config.hpp>
#include <mote/base/error.hpp>
#include <mote/base/exceptions.hpp>
#include <mote/base/list.hpp>
#include <mote/base/result.hpp>
#include <mote/base/timing_wheel.hpp>
#include <mote/reactor/descriptor_table.hpp>
#include <mote/reactor/slot.hpp>
#include <mote/reactor/wake_cell.hpp>
#include <mote/selector/interest.hpp>
#include <mote/selector/selector.hpp>
#include <mote/system/clock.hpp>
#include <mote/system/fd.hpp>
#include <mote/system/system.hpp>

namespace mote {
inline namespace MOTE_NAMESPACE {
namespace detail {

class Loop;

// The layers above plug in by hooks. They are null until the first object of the layer is used, so that a program that
// does not use it does not link its code.

// Fires the timers that are due; with `fire` false it cancels all timers, which then refer to no loop.
using ExpireHook = void (*)(Loop&, bool fire);
// What can happen to the inbox, and to each node of it.
enum class InboxEvent {
  deliver,  // wake-ups have come: see whether there is one for you
  close,    // the reactor goes
  forked,   // this is a forked child, which goes on with the loop: put right what the fork may have caught half-way
  thrown    // your callback has thrown while you delivered: what it may have left is delivered in the next turn
};
using InboxHook = void (*)(Loop&, InboxEvent);
// An object that others wake the loop by.
struct InboxNode : ListNode {
  using Hook = void (*)(InboxNode&, InboxEvent);
  Hook hook = nullptr;  // null: no object, but a mark in the list
};
// A reference to a loop, of an object that may outlive it: null from the loop's end on.
struct LoopReference : ListNode {
  ~LoopReference() { unlink(); }
  Loop* loop = nullptr;
};
// The base of the objects from which coroutine frames are taken. The loop only keeps the pointer.
struct FrameStore {};

// Members that every turn needs, in front of the rest: see TableWords.
struct LoopWords {
  // From where in a turn the next run goes on after an exception.
  enum class Phase : std::uint8_t { tasks, events, always_ready, rebuilding, timers };

  bool running_ = false;
  Phase unfinished_phase_ = Phase::tasks;  // where the flag `unfinished` is set: what comes next
  Ready* batch_ = nullptr;
  std::uint32_t batch_size_ = 0;
  std::atomic<std::uint32_t> stop_{0};
  // Null: wake-ups are not enabled. The loop counts as asleep also while it does not run, so that a wake-up makes the
  // pollable descriptor readable.
  WakeCell* wake_cell_ = nullptr;
};

// The part of a reactor that runs: a descriptor table (see there) with time and wake-ups. Reactor says what a turn is.
class Loop : LoopWords, public DescriptorTable {
 public:
  // ---- runs ----

  Result<void> run_until(Instant limit) { return take_turns(limit, false); }
  // Returns how many steps, events and timers there were. Errors of both: see Reactor::run().
  Result<std::uint32_t> run_once(Duration timeout) {
    Instant limit = timeout == unlimited ? never : distant_past;
    if (timeout > Duration::zero() && timeout != unlimited) limit = saturating_add(Clock::now(), timeout);
    const std::uint64_t before = work_done();
    const Result<void> done = take_turns(limit, true);
    if (!done) return done.error();
    return static_cast<std::uint32_t>(work_done() - before);
  }
  bool is_running() const { return running_; }
  // May be called by any thread and signal handler.
  void stop() {
    stop_.store(1);
    if (wake_cell_ != nullptr) wake_cell_->notify();
  }
  // The same for the loop's own thread, which need not be woken.
  void stop_here() { stop_.store(1, std::memory_order_relaxed); }
  void forget_stop() { stop_.store(0, std::memory_order_relaxed); }
  // Counts work that is no task, for a draining run to wait for.
  void hold() { ++holds_; }
  void release_hold() {
    MOTE_ASSERT(holds_ != 0 && "release() without hold(): each hold() of GracefulShutdown has one release()");
    --holds_;
  }
  bool is_held() const { return holds_ != 0; }
  // Whether tasks are left, but nothing that could wake them.
  bool is_deadlocked() const { return stats().tasks != 0 && nothing_can_happen(); }
  // Counts nodes of the inbox that are no reason to go on running.
  void add_background() { ++background_; }
  void remove_background() { --background_; }

  // ---- time ----

  TimingWheel& wheel() { return wheel_; }
  // Timers that are not armed, but were armed in this loop last: they are told when it goes.
  List<TimerNode>& idle_timers() { return idle_timers_; }
  std::uint32_t next_timer_order() { return ++timer_order_; }
  void set_expire_hook(ExpireHook expire) { expire_timers_ = expire; }
  // While timers are fired: the deadlines up to this one are due. Else Instant().
  Instant firing_until() const { return firing_until_; }
  void set_firing_until(Instant instant) { firing_until_ = instant; }
  Instant next_deadline() const {
    if (!is_open()) return never;
    if (has_work_at_once()) return distant_past;
    return wheel_.empty() ? never : Instant(Duration(wheel_.next()));
  }
  // Something could not be done now: after limits::retry_pause, accept_retry() is woken, and muted descriptors are
  // looked at again.
  void expect_retry() {
    if (retry_at_ != Instant()) return;
    retry_at_ = saturating_add(read_clock(), limits::retry_pause);
    wheel_.expect(retry_at_.time_since_epoch().count());
  }

  // ---- wake-ups ----

  // Makes the descriptor by which other threads and signal handlers wake the loop.
  // Errors:
  //   ENXIO                           the reactor is not open.
  //   ENOBUFS                         limits::reactors_with_wakeups of this process have wake-ups already.
  //   EMFILE, ENFILE, ENOMEM, ENOSPC  the system's limits. (ENODEV cannot be: anonymous inodes are always there.)
  Result<void> enable_wakeups() {
    if (!is_open()) return Error(Reason::reactor_not_open);
    if (wake_cell_ != nullptr) return {};
    Fd fresh(System::event_fd());
    if (!fresh) return last_error();
    WakeCell* const cell = claim_wake_cell();
    if (cell == nullptr) return Error(Reason::too_many_woken_reactors);
    Slot& slot = wake_slot();
    evict(fresh.get());
    slot.fd = fresh.get();
    slot.generation = 1;
    slot.handler = Handler::of<&Loop::drain_wake_descriptor>(*this);
    const Result<void> added = set_interest(slot, Interest::read);
    if (!added) {
      cell->unclaim();
      return added;
    }
    cell->open(fresh.release(), sleep_state());
    wake_cell_ = cell;
    process_ = System::process();
    serve_inbox_ = &Loop::serve_inbox;
    return {};
  }
  // Where wake-ups are enabled: the cell by which the loop is woken.
  WakeCell& wake_cell() { return *wake_cell_; }
  void join_inbox(InboxNode& node, InboxNode::Hook hook) {
    node.hook = hook;
    inbox_.push_back(node);
    ++inbox_size_;
  }
  void leave_inbox(InboxNode& node) {
    node.unlink();
    --inbox_size_;
  }
  // In a forked child: makes a selector and a wake-up descriptor of its own, and tells the nodes of the inbox.
  // Errors: those of enable_wakeups(), and those of rebuild().
  Result<void> after_fork_in_child() {
    if (!is_open()) return Error(Reason::reactor_not_open);
    // In the same process once more, other threads may be using the descriptor by now.
    if (wake_cell_ != nullptr && process_ != System::process()) {
      Fd fresh(System::event_fd());
      if (!fresh) return last_error();
      evict(fresh.get());
      wake_slot().fd = fresh.get();
      wake_cell_->reopen_in_child(fresh.release(), sleep_state());
      process_ = System::process();
      serve_inbox_(*this, InboxEvent::forked);
    }
    set_flag(woken);
    return rebuild();
  }

  // ---- the rest ----

  void add_reference(LoopReference& reference) {
    reference.unlink();
    reference.loop = this;
    references_.push_back(reference);
  }
  int pollable_descriptor() const { return is_open() ? selector().descriptor() : -1; }
  void set_frame_store(FrameStore* store) { frame_store_ = store; }
  FrameStore* frame_store() const { return frame_store_; }
 protected:
  constexpr Loop() = default;
  ~Loop() = default;

  void attach(Selector& selector, Slot* storage, std::uint32_t capacity, Ready* batch, std::uint32_t batch_size) {
    start();
    DescriptorTable::attach(selector, storage, capacity);
    batch_ = batch;
    batch_size_ = batch_size;
  }
  // Before the storage is destroyed: makes every object that refers to this loop forget it, so that they may be
  // destroyed in any order.
  void close() {
    destroy_all_tasks();
    while (TaskStore* const store = first_store()) Scheduler::close(*store);
    if (serve_inbox_ != nullptr) serve_inbox_(*this, InboxEvent::close);
    if (expire_timers_ != nullptr) expire_timers_(*this, false);
    close_owners(0);
    while (LoopReference* const reference = references_.pop_front()) reference->loop = nullptr;
  }
 private:
  std::uint64_t work_done() const { return stats().steps + stats().events + stats().timers_fired; }
  bool has_work_at_once() const { return has_flag(woken | never_waiting | unfinished) || has_ready_task(); }
  bool is_quiet() const { return (flags() | stop_.load()) == 0; }  // one test of both words
  bool is_drained() const { return has_flag(draining) && stats().tasks == 0 && holds_ == 0; }
  bool is_over() const { return stop_.load() != 0 || is_drained(); }
  bool nothing_can_happen() const {
    return stats().descriptors == 0 && inbox_size_ == background_ && wheel_.empty() && !has_work_at_once();
  }

  Result<void> take_turns(Instant limit, bool once) {
    if (running_) return Error(Reason::already_running);
    if (!is_open()) return Error(Reason::reactor_not_open);
    const bool endless = !once && limit == never;
    const bool no_limit_no_priorities = endless && !has_priorities();
    const Run run(*this);
    Result<void> result = finish_rebuild();
    if (!result) return result;
    if (has_exceptions && has_flag(unfinished) && (once || !is_over())) {
      const std::uint64_t before = work_done();
      result = finish_turn(limit);
      if (!result) return result;
      if (once && work_done() != before) limit = distant_past;  // the turn that follows does not wait
    }
    while (is_quiet() || once || !is_over()) {
      if (endless && nothing_can_happen()) {
        if (stats().tasks != 0) result = Error(Reason::deadlock);
        break;
      }
      result = turn(limit, no_limit_no_priorities);
      if (!result || (!endless && is_last_turn(limit, once))) break;
    }
    if (!once) stop_.store(0, std::memory_order_relaxed);
    return result;
  }
  bool is_last_turn(Instant limit, bool once) { return once || (limit != never && now() >= limit); }
  // A run, which an exception may leave, too.
  class Run {
   public:
    [[gnu::always_inline]] explicit Run(Loop& loop) : testimony_(loop), loop_(loop) { loop_.enter(); }
    Run(const Run&) = delete;
    Run& operator=(const Run&) = delete;
    [[gnu::always_inline]] ~Run() { loop_.leave(); }
   private:
    Testimony testimony_;
    Loop& loop_;
  };
  void enter() {
    running_ = true;
    if (wake_cell_ != nullptr && wake_cell_->publish(WakeCell::awake)) set_flag(woken);
  }
  void leave() {
    running_ = false;
    if (wake_cell_ != nullptr && wake_cell_->publish(sleep_state())) wake_cell_->notify();
  }
  // A turn sleeps once, and the wake-up descriptor is read only after that turn has been counted: so the number of
  // turns tells the sleeps apart.
  std::uint32_t asleep() const { return WakeCell::asleep(static_cast<std::uint32_t>(stats().turns)); }
  std::uint32_t sleep_state() const { return running_ ? WakeCell::awake : asleep(); }

  // `no_limit_no_priorities`: the run has no limit, and the lowest priority has the only queue.
  [[gnu::always_inline]] Result<void> turn(Instant limit, bool no_limit_no_priorities) {
    OnException finish_later([this] { leave_unfinished(Phase::tasks); });
    run_ready_tasks();
    finish_later.dismiss();
    return wait_and_dispatch(limit, no_limit_no_priorities);
  }
  [[gnu::always_inline]] Result<void> wait_and_dispatch(Instant limit, bool no_limit_no_priorities) {
    Duration timeout = unlimited;
    const bool waits_forever = no_limit_no_priorities && waits_for_events_alone();  // the quick test
    if (!waits_forever) timeout = time_to_wait(limit);
    const bool may_sleep = fall_asleep(timeout);
    const Result<std::size_t> events = selector().wait_once(batch_, batch_size_, timeout);
    // If this replaces `notified`, nothing is lost: whoever said so had written to the wake-up descriptor, which this
    // wait or the next one reports. An exchange, so that what this turn looks at is looked at after it.
    if (may_sleep) wake_cell_->publish(WakeCell::awake);
    now_known_ = false;
    ++stats().turns;
    if (!events && events.error() != EINTR) return events.error();
    dispatch_batch(events ? *events : 0);
    if (has_any_flag()) {
      if (const Result<void> handled = handle_flags(); !handled) return handled;
    }
    fire_due_timers();
    return {};
  }
  [[gnu::always_inline]] void fire_due_timers() {
    if (!wheel_.empty() && now().time_since_epoch().count() >= wheel_.next()) fire_timers();
  }
  // The usual case, found by few tests: there is nothing but events to wait for. Only for a run without a limit and
  // without higher priorities.
  bool waits_for_events_alone() const {
    return lowest_queue_is_empty() && is_quiet() && wheel_.empty() && stats().descriptors != 0;
  }
  // Before each wait. If it may block, says `asleep`. A notify() since the last wait made no system call, as the loop
  // was awake: it is found here, sets `woken`, and makes the timeout 0. Returns whether `asleep` has been said, and
  // `awake` must be after the wait.
  [[gnu::always_inline]] bool fall_asleep(Duration& timeout) {
    if (wake_cell_ == nullptr) return false;
    const bool may_sleep = timeout > Duration::zero();
    if (may_sleep || wake_cell_->is_notified()) {
      const bool was_notified = wake_cell_->publish(may_sleep ? asleep() : WakeCell::awake);
      if (was_notified) {
        set_flag(woken);
        timeout = Duration::zero();
      }
    }
    return may_sleep;
  }
  [[gnu::always_inline]] void dispatch_batch(std::size_t received) {
    stats().events += received;
    const Ready* const end = batch_ + received;
    const Ready* ready = batch_;
    OnException keep([this, &ready, end] { keep_batch(ready + 1, end); });
    for (; ready != end; ++ready) dispatch(*ready);
    keep.dismiss();
  }
  [[gnu::noinline]] Duration time_to_wait(Instant limit) {
    expect_looks();
    if (has_work_at_once() || is_over()) return Duration::zero();
    Instant next = limit;
    if (!wheel_.empty() && Instant(Duration(wheel_.next())) < next) next = Instant(Duration(wheel_.next()));
    // Where nothing can happen it does not block: take_turns() then ends the run.
    if (next == never) return nothing_can_happen() ? Duration::zero() : unlimited;
    if (next <= last_known_time()) return Duration::zero();  // passed already: the clock need not be read
    const Instant fresh = read_clock();                      // again: the steps may have taken long
    return next > fresh ? next - fresh : Duration::zero();
  }
  [[gnu::noinline, gnu::cold]] Result<void> handle_flags() { return handle_flags_from(Phase::always_ready); }
  [[gnu::always_inline]] Result<void> handle_flags_from(Phase phase) {
    OnException finish_later([this, &phase] { leave_unfinished(phase); });
    if (phase == Phase::always_ready) {
      if (has_flag(never_waiting)) dispatch_always_ready_handlers();
      phase = Phase::rebuilding;
    }
    if (phase == Phase::rebuilding && has_flag(rebuild_needed)) {
      if (const Result<void> rebuilt = rebuild(); !rebuilt) {
        finish_later.dismiss();
        return rebuilt;
      }
    }
    if (phase != Phase::timers && has_flag(woken)) {
      phase = Phase::timers;
      clear_flag(woken);
      if (serve_inbox_ != nullptr) serve_inbox_(*this, InboxEvent::deliver);
    }
    expect_looks();
    finish_later.dismiss();
    return {};
  }
  [[gnu::noinline]] void fire_timers() {
    OnException renew([this] { renew_retry(); });
    if (expire_timers_ != nullptr) expire_timers_(*this, true);
    renew.dismiss();
    renew_retry();
  }
  // The wheel has been searched anew, and does not know of the pause.
  void renew_retry() {
    if (retry_at_ == Instant()) return;
    wheel_.forget();
    if (retry_at_ > last_known_time()) return wheel_.expect(retry_at_.time_since_epoch().count());
    retry_at_ = Instant();
    ++stats().timers_fired;
    accept_retry().notify_all();
    look_at_muted_slots();
    expect_looks();
  }
  void expect_looks() {
    if (!has_flag(has_muted)) return;
    clear_flag(has_muted);
    expect_retry();
  }

  // ---- after an exception ----
  //
  // What a task, a handler or a callback throws leaves the run. The rest of the turn is not lost: the next run begins
  // with it, and goes on behind what has thrown. So what throws each time does not keep the others from their share.

  [[gnu::cold]] void leave_unfinished(Phase phase) {
    unfinished_phase_ = phase;
    set_flag(unfinished);
  }
  // Keeps events that have been received and not been dispatched: an edge would not be reported again.
  [[gnu::cold]] void keep_batch(const Ready* begin, const Ready* end) {
    left_ = static_cast<std::uint32_t>(end - begin);
    stats().events -= left_;  // counted when they are dispatched
    for (std::uint32_t i = 0; i < left_; ++i) batch_[i] = begin[i];
    leave_unfinished(Phase::events);
  }
  [[gnu::cold, gnu::noinline]] Result<void> finish_turn(Instant limit) {
    const Phase phase = unfinished_phase_;
    clear_flag(unfinished);
    if (phase == Phase::tasks) {
      OnException finish_later([this] { leave_unfinished(Phase::tasks); });
      finish_ready_tasks();
      finish_later.dismiss();
      return wait_and_dispatch(limit, false);
    }
    now_known_ = false;
    if (phase == Phase::events) dispatch_batch(std::exchange(left_, 0u));
    const Phase next = phase == Phase::events ? Phase::always_ready : phase;
    if (const Result<void> handled = handle_flags_from(next); !handled) return handled;
    fire_due_timers();
    return {};
  }

  void drain_wake_descriptor(Readiness) {
    std::uint64_t count = 0;  // EAGAIN: nothing to drain
    retry([&] { return System::read(wake_cell_->event_fd(), &count, sizeof count); });
    set_flag(woken);
  }
  // The hook for all that wake-ups need: set when they are enabled, so that a program without them does not link it.
  static void serve_inbox(Loop& loop, InboxEvent event) {
    if (event == InboxEvent::deliver) return loop.deliver_wakeups();
    if (event == InboxEvent::close) return loop.close_inbox();
    for (InboxNode* node = loop.inbox_.front(); node != nullptr; node = loop.inbox_.after(*node)) {
      if (node->hook != nullptr) node->hook(*node, event);
    }
  }
  // Goes once around: each node is put behind a mark before it is called, so that the callbacks may open and close
  // what they like, and one that forks leaves all nodes in the list.
  void deliver_wakeups() {
    struct Mark : InboxNode {
      ~Mark() { unlink(); }
    } mark;
    inbox_.push_back(mark);
    InboxNode* node = nullptr;
    OnException deliver_rest_later([this, &node] { deliver_later(node); });
    for (node = inbox_.pop_front(); node != &mark; node = inbox_.pop_front()) {
      inbox_.push_back(*node);
      if (node->hook != nullptr) node->hook(*node, InboxEvent::deliver);
    }
    deliver_rest_later.dismiss();
  }
  // What a callback has thrown ends the delivery: the rest comes first in the next one.
  [[gnu::cold]] void deliver_later(const InboxNode* thrown) {
    set_flag(woken);
    InboxNode* node = inbox_.front();
    while (node != nullptr && node != thrown) node = inbox_.after(*node);
    const bool is_there = node != nullptr && node->hook != nullptr;  // the callback may have destroyed it
    if (is_there) node->hook(*node, InboxEvent::thrown);
  }
  void close_inbox() {
    while (InboxNode* const node = inbox_.front()) {
      if (node->hook == nullptr) {
        node->unlink();  // a forked child destroys the loop in a callback of its own
      } else {
        node->hook(*node, InboxEvent::close);
      }
    }
    const bool is_inherited = process_ != System::process();
    if (is_inherited) {
      wake_cell_->close_in_child();
    } else {
      wake_cell_->close();
    }
    wake_cell_ = nullptr;
  }

  pid_t process_ = 0;  // that has enabled wake-ups: its threads and signal handlers wake the loop
  std::uint32_t inbox_size_ = 0;
  std::uint32_t background_ = 0;
  std::uint32_t holds_ = 0;
  std::uint32_t timer_order_ = 0;
  Instant firing_until_{};
  Instant retry_at_{};  // see expect_retry(); Instant(): there is nothing to be tried again
  ExpireHook expire_timers_ = nullptr;
  InboxHook serve_inbox_ = nullptr;
  FrameStore* frame_store_ = nullptr;
  List<InboxNode> inbox_;
  List<LoopReference> references_;
  List<TimerNode> idle_timers_;
  TimingWheel wheel_;
};

}  // namespace detail
}  // namespace MOTE_NAMESPACE
}  // namespace mote

#endif  // MOTE_REACTOR_LOOP_HPP
