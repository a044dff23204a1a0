// SPDX-License-Identifier: MIT
// Copyright (c) 2026 The mote authors
// The scheduler: steps tasks, and ends them.
#ifndef MOTE_TASK_SCHEDULER_HPP
#define MOTE_TASK_SCHEDULER_HPP

#include <errno.h>   // errno and its names
#include <stdio.h>   // snprintf
#include <string.h>  // memory and strings
#include <unistd.h>  // read, write, close, getpid, STDERR_FILENO

#include <atomic>   // 32-bit atomics
#include <cstdint>  // integers of fixed width
#include <utility>  // move, forward, exchange

#include <mote/base/assert.hpp>
#include <mote/base/config.hpp>
#include <mote/base/error.hpp>
#include <mote/base/exceptions.hpp>
#include <mote/base/list.hpp>
#include <mote/base/pinned.hpp>
#include <mote/base/result.hpp>
#include <mote/base/text.hpp>
#include <mote/system/clock.hpp>
#include <mote/system/system.hpp>
#include <mote/task/observation.hpp>
#include <mote/task/run_queue.hpp>
#include <mote/task/step.hpp>
#include <mote/task/task.hpp>
#include <mote/task/task_header.hpp>
#include <mote/task/task_store.hpp>
#include <mote/task/task_use.hpp>

namespace mote {
inline namespace MOTE_NAMESPACE {
namespace detail {

inline std::atomic<std::uint32_t> schedulers_started{0};  // of this process

// Without NDEBUG: overwrites the stack on which the next step runs. A local variable that an await was expected to keep
// then visibly has another value, where by chance it would often have had the same. Not inlined: its frame has to lie
// where that of the step will.
[[gnu::noinline]] inline void poison_stack() {
  unsigned char stack[2048];
  ::memset(stack, 0xa5, sizeof stack);
  asm volatile("" : : "r"(stack) : "memory");  // else the compiler leaves it out
}

// The part of a reactor that steps tasks: run queues, the pools that tasks lie in, the clock as it was last read, the
// statistics and the observer. A reactor is one object written in layers, each a class that derives from the one below,
// so that they share all of this without a pointer from one to the other. This class is the lowest.
class Scheduler : Pinned {
 public:
  // ---- the clock ----

  // The time at which this turn's events were received; read from the clock when it is first asked for.
  Instant now() { return now_known_ ? now_ : read_clock(); }
  Instant last_known_time() const { return now_; }
  Instant read_clock() {
    now_ = Clock::now();
    now_known_ = true;
    return now_;
  }

  // ---- pools ----

  // A free slot of a pool, noted in `holder`.
  // Errors:
  //   ENOBUFS    the pool is full.
  //   EINVAL     the pool has tasks of another scheduler.
  //   ECANCELED  a task or a pool is being destroyed: its destructors spawn no others.
  Result<void> claim(TaskStore& store, void* storage, const TaskType& type, TaskHolder& holder) {
    if (destroying_) return Error(ECANCELED);
    if (store.scheduler() != this) {
      if (store.used() != 0) return Error(Reason::pool_of_another_reactor);
      store.unlink();
      store.bind(*this, storage, type);
      stores_.push_back(store);
      ready_.start();  // a task may be spawned before open()
    }
    TaskHeader* const task = store.claim(type);
    if (task == nullptr) return Error(Reason::task_pool_full);
    hold(holder, *task);
    return {};
  }
  // Gives the slot back: the task's constructor has thrown.
  static void unclaim(TaskHolder& holder) {
    TaskHeader& task = *std::exchange(holder.task, nullptr);
    task.holder = nullptr;
    task.store->release(task);
  }
  // Queues the first step of a task whose object has been made.
  void start(TaskHeader& task) {
    task.step = task.store->type().step;
    task.run_queue = &ready_;
    task.since = now_;
    task.line = 0;
    task.share = limits::operations_per_step;
    task.state = TaskHeader::State::live;
    task.shields = 0;
    task.in_queues = false;
    task.operation_shielded = false;
    task.cancel_held = false;
    task.abandoning = false;
    if (++task.generation == 0) task.generation = 1;
    task.queue();
    ++stats_.tasks_spawned;
    const std::uint32_t number = first_number_ + static_cast<std::uint32_t>(stats_.tasks_spawned);
    task.code = static_cast<int>(number | TaskHeader::serial_bit);  // its serial()
    ++stats_.tasks;
    if (stats_.tasks > stats_.tasks_high) stats_.tasks_high = stats_.tasks;
  }
  // Called by a pool's destructor: its tasks are destroyed, and handles to them become empty. What callbacks throw
  // meanwhile is dropped. O(slots used so far).
  static void close(TaskStore& store) {
    if (store.scheduler() == nullptr) return;
    Scheduler& self = *store.scheduler();
    // Neither destructors nor an observer may spawn meanwhile.
    const bool outer = std::exchange(self.destroying_, true);
    for (std::uint32_t i = 0; i < store.fresh(); ++i) {
      TaskHeader& task = store.at(i);
      if (task.is_live()) drop_exceptions([&self, &task] { self.destroy(task); });
      if (task.holder != nullptr) drop_exceptions([&task] { detach(*task.holder); });
    }
    self.destroying_ = outer;
    store.vacancy().notify_all();
    store.unlink();
    store.unbind();
  }

  // ---- handles ----

  // Not inlined: else g++ warns that the address of a caller's local object is kept (-Wdangling-pointer).
  [[gnu::noinline]] static void hold(TaskHolder& holder, TaskHeader& task) {
    holder.task = &task;
    task.holder = &holder;
  }
  // Gives up the claim on the task's slot. A task that joins by this handle is woken and told so. May throw what the
  // observer throws.
  static void detach(TaskHolder& holder) {
    TaskHeader* const task = std::exchange(holder.task, nullptr);
    if (task == nullptr) return;
    task->holder = nullptr;
    if (task->joiner.has_task()) interrupt_join(holder, *task);
    if (task->state != TaskHeader::State::finished) return;
    const Release release_at_end{*task};
    if (task->code != 0 && task->code != ECANCELED) {
      task->store->scheduler()->report(Observation::task_failed, &TaskAccess::task(*task),
                                       ErrorAccess::error(task->code));
    }
  }

  // Ends the join() of that task that is pending by this holder. The task that is named as the joiner has not been
  // answered yet: it waits, or has been woken and was not stepped.
  [[gnu::noinline]] static void interrupt_join(TaskHolder& holder, TaskHeader& task) {
    holder.interrupted = task.joiner.task()->serial();
    task.joiner.notify();
    task.joiner.clear();
  }

  // ---- ends ----

  // Ends a task at once, wherever it waits. It must not be the running one.
  [[gnu::noinline]] void destroy(TaskHeader& task) {
    MOTE_ASSERT(&task != current_ && "a task destroys its own pool or reactor: let it return done() instead");
    const bool outer = std::exchange(destroying_, true);  // its destructor spawns no others
    OnException restore([this, outer] { destroying_ = outer; });
    ++stats_.tasks_destroyed;
    finish(task, ECANCELED);
    restore.dismiss();
    destroying_ = outer;
  }
  bool is_running(const TaskHeader& task) const { return &task == current_; }
  // Calls visit(TaskHeader&) for each live task. O(slots used so far, of all pools).
  template <class Visit> [[gnu::always_inline]] void for_each_task(Visit&& visit) {
    for (TaskStore* store = stores_.front(); store != nullptr; store = stores_.after(*store)) {
      for (std::uint32_t i = 0; i < store->fresh(); ++i) {
        if (store->at(i).is_live()) visit(store->at(i));
      }
    }
  }
  void cancel_all_tasks() { static_cast<void>(end_all_tasks(false)); }
  // Destroys all tasks but the running one. Returns how many there were.
  std::uint32_t destroy_all_tasks() { return end_all_tasks(true); }

  // While it exists, a violated MOTE_ASSERT names the task that is running. With NDEBUG it does nothing. A run may be
  // nested in that of another reactor: then the inner one is asked.
  class Testimony {
   public:
    explicit Testimony(const Scheduler& scheduler) {
      if constexpr (finds_mistakes) outer_ = std::exchange(witness, Witness{&Scheduler::tell, &scheduler, nullptr});
    }
    Testimony(const Testimony&) = delete;
    Testimony& operator=(const Testimony&) = delete;
    ~Testimony() {
      if constexpr (finds_mistakes) witness = outer_;
    }
   private:
    Witness outer_{};
  };

  // ---- priorities ----

  Result<void> set_priority(TaskHeader& task, std::uint32_t level) {
    if (level > higher_levels_) return Error(Reason::no_such_priority);
    const bool queued = task.linked();
    task.unlink();
    task.run_queue = level == 0 ? &ready_ : &higher_[level - 1];
    if (queued) task.wake();
    return {};
  }

  // ---- observation ----

  const Statistics& stats() const { return stats_; }
  Statistics& stats() { return stats_; }
  void observe(Observer observer) { observer_ = observer; }
  void set_slow_step_threshold(Duration threshold) {
    slow_step_ = threshold;
    measured_ = threshold > Duration::zero() ? &Scheduler::run_measured : nullptr;
  }
  [[gnu::cold]] void report(Observation::Kind kind, const Task* task = nullptr, Error error = {}) {
    report({kind, task, error, {}});
  }
  [[gnu::cold]] void report(const Observation& observation) {
    if (observer_) return observer_(observation);
    if (observation.kind == Observation::task_failed) print_failure(*observation.task, observation.error);
  }
 protected:
  constexpr Scheduler() = default;
  ~Scheduler() = default;

  // Knuth, volume 3, section 6.4: multiples of this number lie far from each other.
  void start() {
    first_number_ = schedulers_started.fetch_add(1, std::memory_order_relaxed) * 2654435769u;
    ready_.start();
    running_tasks_.start();
  }
  // The serials of tasks and the generations of slots are counted from here: those of two reactors differ, also where
  // one comes to lie where the other was.
  std::uint32_t first_number() const { return first_number_; }
  void start_higher_queues(RunQueue* higher, std::uint32_t levels) {
    higher_ = higher;
    higher_levels_ = levels;
    run_higher_ = &Scheduler::run_higher;
    for (std::uint32_t i = 0; i < levels; ++i) higher[i].start();
  }
  bool has_ready_task() const {
    for (std::uint32_t i = 0; i < higher_levels_; ++i) {
      if (!higher_[i].empty()) return true;
    }
    return !ready_.empty() || !running_tasks_.empty();
  }
  bool has_priorities() const { return run_higher_ != nullptr; }
  bool lowest_queue_is_empty() const { return ready_.empty(); }

  // Phase 1 of a turn: the tasks that are ready now. What they wake, themselves included, runs in the next turn; but
  // what a task of a higher priority wakes in a lower one may run in this turn.
  //
  // A task whose step throws has failed with ENOTRECOVERABLE. Those that have not been stepped then stay in
  // running_tasks_: finish_ready_tasks() steps them, and must be called before the next run_ready_tasks().
  [[gnu::always_inline]] void run_ready_tasks() {
    std::uint32_t limit = UINT32_MAX;
    if (run_higher_ != nullptr) {
      run_higher_(*this);
      limit = limits::steps_per_lower_priority;
    }
    run_tasks(ready_, limit);
  }
  // After an exception: the rest of the tasks that were ready.
  void finish_ready_tasks() {
    if (!running_tasks_.empty()) step_running_tasks(UINT32_MAX);
  }

  TaskStore* first_store() { return stores_.front(); }

  // The words that are used most come first: short instructions reach 124 bytes on Thumb-2 and 127 on x86.
  bool now_known_ = false;
  bool destroying_ = false;
  RunQueue ready_;          // of the lowest priority
  RunQueue running_tasks_;  // to be stepped in this turn
  TaskHeader* current_ = nullptr;
 private:
  [[gnu::always_inline]] void run_tasks(RunQueue& queue, std::uint32_t limit) {
    if (queue.empty()) return;
    running_tasks_.move_all_from(queue);
    step_running_tasks(limit);
    if (running_tasks_.empty()) return;
    running_tasks_.append_all(queue);  // those that are left over come before those that were woken since
    queue.move_all_from(running_tasks_);
  }
  [[gnu::always_inline]] void step_running_tasks(std::uint32_t limit) {
    OnException fail([this] { fail_running_task(); });
    do {
      TaskHeader* const task = running_tasks_.pop();
      current_ = task;
      task->budget = task->share;
      task->waits_for = nullptr;
      ++stats_.steps;
      if constexpr (finds_mistakes) poison_stack();
      const Step step = measured_ == nullptr ? task->step(*task) : measured_(*task);
      if (step.is_pending()) {
        task->since = now_;
      } else {
        current_ = nullptr;
        // By way of the pool, not `this`: else g++ computes the address of this base in every turn, two instructions.
        task->store->scheduler()->finish(*task, step.code);
      }
      // Counted in the condition: as a statement of its own it costs an instruction in each turn.
    } while (!running_tasks_.empty() && --limit != 0);
    current_ = nullptr;
    fail.dismiss();
  }
  // After an exception: of the step of the running task, if one is running; else what was called at a task's end has
  // thrown. What an observer or a group's callback throws now, while the other exception is under way, is dropped.
  [[gnu::cold]] void fail_running_task() {
    TaskHeader* const task = std::exchange(current_, nullptr);
    if (task == nullptr) return;
    drop_exceptions([this, task] { finish(*task, ENOTRECOVERABLE); });
  }
  // Steps all tasks of the highest priority, and a few of each other one: so how long the highest waits does not depend
  // on the others.
  [[gnu::cold]] static void run_higher(Scheduler& self) {
    std::uint32_t limit = UINT32_MAX;
    for (std::uint32_t level = self.higher_levels_; level != 0; --level) {
      self.run_tasks(self.higher_[level - 1], limit);
      limit = limits::steps_per_lower_priority;
    }
  }
  [[gnu::cold]] static Step run_measured(TaskHeader& task) {
    Scheduler& self = *task.store->scheduler();
    const Instant start = Clock::now();
    const Step step = task.step(task);
    const Duration taken = Clock::now() - start;
    if (taken > self.stats_.longest_step) self.stats_.longest_step = taken;
    if (taken >= self.slow_step_) self.report_slow_step(task, step, taken);
    return step;
  }
  // Where the observer throws, the step counts all the same: the task goes on, or ends as it said.
  void report_slow_step(TaskHeader& task, Step step, Duration taken) {
    OnException settle([this, &task, step] {
      current_ = nullptr;
      task.since = now_;
      if (!step.is_pending()) drop_exceptions([this, &task, step] { finish(task, step.code); });
    });
    report({Observation::slow_step, &TaskAccess::task(task), {}, taken});
    settle.dismiss();
  }

  // Releases the slot of a task that has ended, after it has been reported to an observer, which may throw.
  struct Release {
    TaskHeader& task;
    ~Release() { task.store->release(task); }
  };
  // The one place where a task ends. Its object is destroyed first, then the task that joins it is woken. May throw
  // what an observer or a group's callback throws; the task has ended then, too.
  void finish(TaskHeader& task, int code) {
    if (code != 0 || task.holder != nullptr) {
      // The object is destroyed below; Task::name() returns this from then on.
      task.waits_for = TaskAccess::task(task).name();
    }
    task.state = TaskHeader::State::ending;
    task.code = code;
    task.unlink();
    if (task.may_be_waiting()) stop_waiting(task);
    task.store->type().destroy(task);
    task.state = TaskHeader::State::finished;
    ++stats_.tasks_ended;
    --stats_.tasks;
    if (code != 0 || task.holder != nullptr) report_end(task, code);  // read again: the destructor may have dropped it
    else task.store->release(task);
  }
  [[gnu::cold]] void report_end(TaskHeader& task, int code) {
    const bool failure = code != 0 && code != ECANCELED;
    if (failure) ++stats_.tasks_failed;
    if (task.holder != nullptr) {
      if (task.holder->group != nullptr) return task.holder->group->ended(task);
      task.joiner.notify();
      return;
    }
    const Release release_at_end{task};
    if (failure) report(Observation::task_failed, &TaskAccess::task(task), ErrorAccess::error(code));
  }
  [[gnu::cold]] static void stop_waiting(TaskHeader& task) {
    for (QueuePlace& place : task.places) place.leave();
    while (Waiter* const waiter = task.waiters.front()) TaskUse::end(*waiter);
  }
  std::uint32_t end_all_tasks(bool at_once) {
    const std::uint64_t before = stats_.tasks_destroyed;
    for_each_task([this, at_once](TaskHeader& task) {
      if (!at_once) task.cancel();
      else if (&task != current_) destroy(task);
    });
    return static_cast<std::uint32_t>(stats_.tasks_destroyed - before);
  }
  // Without an observer, a failure of a task that is not joined is written to standard error: none is silent.
  [[gnu::cold]] static void print_failure(const Task& task, Error error) {
    char line[352];  // not a Text: programs that have no other use for one are smaller so
    char place[80] = "";
    if (task.line() != 0) {  // 0: it has not come to an await
      const char* const file = task.file() != nullptr ? file_name(task.file()) : "line";
      const char between = task.file() != nullptr ? ':' : ' ';
      ::snprintf(place, sizeof place, " after %s%c%u", file, between, static_cast<unsigned>(task.line()));
    }
    // The name of a template may be longer than a line: it is cut, not what follows it.
    ::snprintf(line, sizeof line, "mote: task %.120s failed%s: %.100s\n", task.name(), place, error.message());
    static_cast<void>(System::write(STDERR_FILENO, line, ::strlen(line)));
  }
  [[gnu::cold]] static void tell(const void* self, Text& line) {
    TaskHeader* const header = static_cast<const Scheduler*>(self)->current_;
    if (header == nullptr) return;
    const Task& task = TaskAccess::task(*header);
    const char* const name = task.name();
    line.add("; in task ").add(name, ::strnlen(name, 80));  // a template's may be very long
    const std::uint32_t at = witness.line != nullptr ? *witness.line : task.line();
    if (at != 0) line.add(", at or after its await at ").add_place(task.file(), at);
  }

  void (*run_higher_)(Scheduler&) = nullptr;  // null where there is one priority
  Step (*measured_)(TaskHeader&) = nullptr;   // run_measured(), where steps are measured
  Instant now_{};
  RunQueue* higher_ = nullptr;  // [i]: of priority i + 1
  std::uint32_t higher_levels_ = 0;
  std::uint32_t first_number_ = 0;
  Statistics stats_;
  List<TaskStore> stores_;
  Observer observer_;
  Duration slow_step_{};
};

// What TaskPool::spawn() takes: a Reactor converts to it.
struct SchedulerRef {
  Scheduler& scheduler;
};

}  // namespace detail

inline Result<void> Task::set_priority(std::uint32_t level) { return store->scheduler()->set_priority(*this, level); }
inline const char* Task::waits_for() const {
  const bool is_suspended = is_live() && !linked() && !store->scheduler()->is_running(*this);
  return is_suspended ? TaskHeader::waits_for : nullptr;
}
inline const char* Task::file() const { return store->source_file(); }
inline Text Task::describe() const {
  Text text;
  text.add("task ").add(name());
  if (line() != 0) text.add(" at ").add_place(file(), line());
  if (!is_alive()) return text.add(" has ended");
  if (const char* const what = waits_for(); what != nullptr) return text.add(" waits for ").add(what);
  if (store->scheduler()->is_running(*this)) return text.add(" is running");
  return text.add(linked() ? " is ready" : " waits");
}

}  // namespace MOTE_NAMESPACE
}  // namespace mote

#endif  // MOTE_TASK_SCHEDULER_HPP
