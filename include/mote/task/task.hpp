// SPDX-License-Identifier: MIT
// Copyright (c) 2026 The mote authors
// Task: a task as its users see it.
#ifndef MOTE_TASK_TASK_HPP
#define MOTE_TASK_TASK_HPP

#include <cstdint>  // integers of fixed width

#include <mote/base/config.hpp>
#include <mote/base/result.hpp>
#include <mote/base/text.hpp>
#include <mote/system/clock.hpp>
#include <mote/task/task_header.hpp>
#include <mote/task/task_store.hpp>

namespace mote {
inline namespace MOTE_NAMESPACE {
namespace detail {
struct TaskAccess;
}

// A task: a function that is stepped again and again, and waits between its steps without a stack of its own.
// TaskPool::spawn() makes one. It lies in its pool's slot, beside the task's own object, and belongs to the loop's
// thread: every call is for that thread, and O(1). What operations need of a task is PollContext.
// Size on a 32-bit board: 136 bytes.
class Task : detail::TaskHeader {
 public:
  // The reactor that runs it. (The reactor's layer is above this one, and defines it: see reactor/reactor.hpp.)
  // If you include single rooms, include that one to call it.
  auto& reactor() const;

  // Has it stepped in the next turn. To wake it twice is to wake it once; a task that has ended is not touched.
  void wake() { TaskHeader::wake(); }
  // Makes the operation that is pending, or else the next one, return ECANCELED: once, and in the task's next step, not
  // in here. What had completed by then keeps its result, and the operation after it returns ECANCELED. While shields
  // are up, the cancellation is held back.
  void cancel() { TaskHeader::cancel(); }
  // Whether a cancellation is pending or held back: no operation has returned ECANCELED for it yet.
  bool cancel_requested() const { return is_cancelling() || cancel_held; }

  // Which run queue it is in: from 0, the lowest and the one it starts in, to Config::priorities - 1.
  // Errors:
  //   EINVAL   there is no such priority.
  Result<void> set_priority(std::uint32_t level);

  bool is_alive() const { return is_live(); }
  // T::name if the task's type T has a `static constexpr const char* name`. Else, or where that is null, the type's
  // name with its namespaces and arguments, "app::Client" or "Filter<3>"; left out are anonymous namespaces, and
  // functions that it is local to. Of a coroutine the name of the function that awaits. O(1).
  const char* name() const {
    if (!is_live()) return TaskHeader::waits_for;  // where its name was noted when it ended
    return store->type().name(const_cast<Task&>(*this));
  }
  // The source line at which it is suspended; 0 before the first.
  std::uint32_t line() const { return TaskHeader::line; }
  // The source file of its step(), as it was given to the compiler. Null before the first step of such a task, and of
  // coroutines and plain classes: only MOTE_BEGIN notes it.
  const char* file() const;  // defined in scheduler.hpp
  // What it waits for, in words; null while it waits for nothing: it is stepped, is queued for its next step (as before
  // its first one, and after wake()), or has ended. Of several things, as in first_of(), the one that is named first.
  const char* waits_for() const;  // defined in scheduler.hpp
  // Since when it has been suspended, as far as the reactor looked at the clock then.
  Instant since() const { return TaskHeader::since; }
  // All of that in one line, for a log: "task Echo at echo.cpp:31 waits for data". O(length).
  Text describe() const;  // defined in scheduler.hpp
 protected:
  constexpr Task() = default;
 private:
  friend class PollContext;
  friend struct detail::TaskAccess;
};

namespace detail {
// Converts a task to its control block, and back: for the library.
struct TaskAccess {
  static TaskHeader& header(Task& task) { return task; }
  static const TaskHeader& header(const Task& task) { return task; }
  static Task& task(TaskHeader& header) { return static_cast<Task&>(header); }
};
}  // namespace detail

}  // namespace MOTE_NAMESPACE
}  // namespace mote

#endif  // MOTE_TASK_TASK_HPP
