// SPDX-License-Identifier: MIT
// Copyright (c) 2026 The mote authors
// Tasks that are written top to bottom, with awaits: StateMachine and its macros.
#ifndef MOTE_TASK_STATE_MACHINE_HPP
#define MOTE_TASK_STATE_MACHINE_HPP

#include <cstdint>  // integers of fixed width

#include <mote/base/config.hpp>
#include <mote/base/pinned.hpp>
#include <mote/base/result.hpp>
#include <mote/task/poll_context.hpp>
#include <mote/task/step.hpp>
#include <mote/task/task.hpp>

namespace mote {
inline namespace MOTE_NAMESPACE {
namespace detail {
struct StateMachineAccess;

// The source line of an await. Not an integer, so that a `switch` of the user's around an await does not compile.
enum class Line : std::uint32_t {};
}  // namespace detail

// Base of a task that is written from top to bottom, as one function step() with awaits in it:
//
//   mote::Step step() {
//     MOTE_BEGIN();
//     MOTE_AWAIT(got, client.read(bytes));
//     MOTE_END();
//   }
//
// It is a switch over source lines, so whatever must survive an await is a member. An initialised local variable that
// an await would jump past does not compile; one without initialiser, as `char b[8];`, does, and loses its value. One
// await on a line, and none inside of a `switch`. An early return ends the task. task() and reactor() may be called
// from the first step on, not in the constructor.
// Size on a 32-bit board: 4 bytes.
class StateMachine : detail::Pinned {
 public:
  Task& task() const { return *task_; }
  // The reactor that runs it. (Defined in reactor/reactor.hpp, as Task::reactor().)
  auto& reactor() const;
 private:
  friend struct detail::StateMachineAccess;
  Task* task_ = nullptr;
};

namespace detail {
// For the pool: sets the task of a state machine. For the macros: the line at which a task goes on.
struct StateMachineAccess {
  static void set_task(StateMachine& machine, Task& task) { machine.task_ = &task; }
  static std::uint32_t& line(Task& task) { return TaskAccess::header(task).line; }
};
}  // namespace detail

}  // namespace MOTE_NAMESPACE
}  // namespace mote

#define MOTE_DETAIL_JOIN2(a, b) a##b
#define MOTE_DETAIL_JOIN(a, b) MOTE_DETAIL_JOIN2(a, b)
// The label makes a second await on the same line an error that says what is wrong.
#define MOTE_DETAIL_SUSPENSION_POINT() \
  case ::mote::detail::Line{__LINE__}: \
    MOTE_DETAIL_JOIN(only_one_MOTE_AWAIT_or_MOTE_YIELD_per_line_, __LINE__) : __attribute__((__unused__))

// step() begins with MOTE_BEGIN() and ends with MOTE_END().
#define MOTE_BEGIN()                                                                   \
  ::mote::Task& mote_task = this->task();                                              \
  switch (::mote::detail::Line{::mote::detail::StateMachineAccess::line(mote_task)}) { \
    default: /* for -Wswitch-default: there is no other */                             \
    case ::mote::detail::Line{}:
#define MOTE_END() \
  }                \
  return ::mote::done()
// Waits until the operation completes, and assigns what it returns to `result`. The operation is made anew for each
// attempt, so it must name only what outlives the await.
#define MOTE_AWAIT(result, ...)                                     \
  do {                                                              \
    ::mote::detail::StateMachineAccess::line(mote_task) = __LINE__; \
    __attribute__((__fallthrough__));                               \
    MOTE_DETAIL_SUSPENSION_POINT();                                 \
    auto mote_poll = (__VA_ARGS__).poll(mote_task);                 \
    if (!mote_poll.ready()) return ::mote::Step(::mote::pending);   \
    ::mote::detail::Assignment::make(result, *mote_poll);           \
  } while (false)
// Lets all other tasks run, and goes on in the next turn.
#define MOTE_YIELD()                                                \
  do {                                                              \
    ::mote::detail::StateMachineAccess::line(mote_task) = __LINE__; \
    mote_task.wake();                                               \
    return ::mote::Step(::mote::pending);                           \
    MOTE_DETAIL_SUSPENSION_POINT();                                 \
  } while (false)

#endif  // MOTE_TASK_STATE_MACHINE_HPP
