// SPDX-License-Identifier: MIT
// Copyright (c) 2026 The mote authors
// Tasks that are written top to bottom, with awaits: StateMachine and its macros.
#ifndef MOTE_TASK_STATE_MACHINE_HPP
#define MOTE_TASK_STATE_MACHINE_HPP

#include <cstdint>      // integers of fixed width
#include <type_traits>  // checks at compile time

#include <mote/base/config.hpp>
#include <mote/base/pinned.hpp>
#include <mote/base/result.hpp>
#include <mote/task/operation.hpp>
#include <mote/task/poll_context.hpp>
#include <mote/task/step.hpp>
#include <mote/task/task.hpp>

namespace mote {
inline namespace MOTE_NAMESPACE {
namespace detail {
struct StateMachineAccess;

// The source line of an await, in the switch that MOTE_BEGIN opens. It is no integer, so that a `switch` of the user's
// around an await does not compile; its name is what the error says.
enum class AwaitInsideOfASwitchWriteIfAndElse : std::uint32_t {};
using Line = AwaitInsideOfASwitchWriteIfAndElse;
}  // namespace detail

// Base of a task that is written from top to bottom, as one function step() with awaits in it:
//
//   mote::Step step() {
//     MOTE_BEGIN();
//     MOTE_AWAIT(got, client.read(bytes));
//     MOTE_END();
//   }
//
// It is a switch over source lines, so whatever must survive an await is a member. One await on a line, and none inside
// of a `switch`. An early return ends the task. task() and reactor() may be called from the first step on, not in the
// constructor. The macros say at MOTE_BEGIN which error means what.
// Size on a 32-bit board: 4 bytes.
class StateMachine : detail::Pinned {
 public:
  Task& task() const {
    MOTE_ASSERT(task_ != nullptr &&
                "task() and reactor() may be called from the first step on, not in the constructor");
    return *task_;
  }
  // The reactor that runs it. In the task it hides a global object `reactor`, which is `::reactor` there. (Defined in
  // reactor/reactor.hpp, as Task::reactor().)
  auto& reactor() const;
 private:
  friend struct detail::StateMachineAccess;
  Task* task_ = nullptr;
};

namespace detail {
// For the pool: sets the task of a state machine. For the macros: the task, and the line at which it goes on.
struct StateMachineAccess {
  static void set_task(StateMachine& machine, Task& task) { machine.task_ = &task; }
  static Task& task(const StateMachine& machine) { return machine.task(); }
  template <class T, class = std::enable_if_t<!std::is_base_of<StateMachine, T>::value>> static Task& task(const T&) {
    static_assert(std::is_base_of<StateMachine, T>::value,
                  "MOTE_BEGIN() stands in step() of a class that derives from mote::StateMachine, publicly");
    __builtin_unreachable();
  }
  static std::uint32_t& line(Task& task) { return TaskAccess::header(task).line; }
  static void begin(Task& task, const char* file) {
    MOTE_ASSERT(line(task) == 0 &&
                "an await in a function other than step(): await in step() itself, or make the helper "
                "a task that is joined, or an operation");
    TaskAccess::header(task).store->set_source_file(file);
  }
};
}  // namespace detail

}  // namespace MOTE_NAMESPACE
}  // namespace mote

// What the compiler says of a mistake, and what it means. The words stand in the names of macros, labels and types.
//
//   MOTE_BEGIN_is_missing_in_this_function...   the function does not begin with MOTE_BEGIN(); or the await stands in a
//                                               helper function or a lambda (make that a task that is joined, or an
//                                               operation), or in a coroutine, where it is written co_await
//   MOTE_BEGIN_or_MOTE_END_is_missing_...       where it is MOTE_END, a '}' is looked for to the end of the file
//   AwaitInsideOfASwitchWriteIfAndElse          a `switch` of yours is around the await
//   ..._JUMPS_PAST_A_LOCAL_VARIABLE_...         an initialised local variable is there before and after the await: make
//                                               it a member, or put braces around the statements that it is for. (Some
//                                               other errors of an await show this name, too.)
//   "jump to case label", "crosses initialization of 'int n'"
//                                               the same, of g++ where mote is a system header (-isystem)
//   only_one_MOTE_AWAIT_or_MOTE_YIELD_per_line  write each on a line of its own
//   "expected primary-expression before 'do'", "expected expression"
//                                               an await is a statement and gives nothing: in the place of
//                                               `auto r = MOTE_AWAIT(operation)` have a member for the result, and
//                                               write MOTE_AWAIT(member, operation)
//   "MOTE_BEGIN() stands in step() of a class that derives from mote::StateMachine", "co_await in a function that
//   returns a Step", "write_all() and read_exactly() shrink the view that they are given": as they say
//
// What no compiler says, since it compiles:
//
//   A local variable without initialiser, as `char b[8];`, that is used after an await in its scope loses its value.
//   One that is declared before MOTE_BEGIN, initialised or not, is made anew at each step.
//     `tools/check_awaits FILE...` of mote's repository finds both, with clang-query. And without NDEBUG the stack is
//     overwritten with bytes 0xa5 before each step, so that the loss shows where by chance the value would still be
//     there.
//   An await in another function than step(), though that has a MOTE_BEGIN of its own, does not work: a task remembers
//   one place where it goes on. Without NDEBUG a violated assertion says so at run time.

#define MOTE_DETAIL_JOIN2(a, b) a##b
#define MOTE_DETAIL_JOIN(a, b) MOTE_DETAIL_JOIN2(a, b)
// The name is what compilers show where a jump to this `case` would pass the initialisation of a variable.
#define MOTE_DETAIL_WHERE_THIS_JUMPS_PAST_A_LOCAL_VARIABLE_MAKE_IT_A_MEMBER(line) case ::mote::detail::Line{line}
#define MOTE_DETAIL_SUSPENSION_POINT()                                          \
  MOTE_DETAIL_WHERE_THIS_JUMPS_PAST_A_LOCAL_VARIABLE_MAKE_IT_A_MEMBER(__LINE__) \
      : MOTE_DETAIL_JOIN(only_one_MOTE_AWAIT_or_MOTE_YIELD_per_line_, __LINE__) : __attribute__((__unused__))
// What only MOTE_BEGIN declares: the task. In a lambda that name can be seen, but no label can.
#define MOTE_DETAIL_TASK MOTE_BEGIN_is_missing_in_this_function_and_a_coroutine_has_co_await
#define MOTE_DETAIL_NOTE_LINE()                                          \
  ::mote::detail::StateMachineAccess::line(MOTE_DETAIL_TASK) = __LINE__; \
  if (false) goto MOTE_BEGIN_is_missing_in_this_function

// step() begins with MOTE_BEGIN() and ends with MOTE_END().
#define MOTE_BEGIN()                                                                          \
  ::mote::Task& MOTE_DETAIL_TASK = ::mote::detail::StateMachineAccess::task(*this);           \
  if (false) goto MOTE_BEGIN_or_MOTE_END_is_missing_in_this_function;                         \
  MOTE_BEGIN_is_missing_in_this_function:                                                     \
  __attribute__((__unused__));                                                                \
  switch (::mote::detail::Line{::mote::detail::StateMachineAccess::line(MOTE_DETAIL_TASK)}) { \
    default: /* for -Wswitch-default: there is no other */                                    \
    case ::mote::detail::Line{}:                                                              \
      ::mote::detail::StateMachineAccess::begin(MOTE_DETAIL_TASK, __FILE__)
#define MOTE_END()                                    \
  }                                                   \
  MOTE_BEGIN_or_MOTE_END_is_missing_in_this_function: \
  return ::mote::done()
// Waits until the operation completes, and assigns what it returns to `result`. The operation is made anew for each
// attempt, so it must name only what outlives the await.
#define MOTE_AWAIT(result, ...)                                                       \
  do {                                                                                \
    MOTE_DETAIL_NOTE_LINE();                                                          \
    __attribute__((__fallthrough__));                                                 \
    MOTE_DETAIL_SUSPENSION_POINT();                                                   \
    auto mote_poll = ::mote::detail::poll_operation((__VA_ARGS__), MOTE_DETAIL_TASK); \
    if (!mote_poll.ready()) return ::mote::Step(::mote::pending);                     \
    ::mote::detail::Assignment::make(result, *mote_poll);                             \
  } while (false)
// Lets all other tasks run, and goes on in the next turn.
#define MOTE_YIELD()                      \
  do {                                    \
    MOTE_DETAIL_NOTE_LINE();              \
    MOTE_DETAIL_TASK.wake();              \
    return ::mote::Step(::mote::pending); \
    MOTE_DETAIL_SUSPENSION_POINT();       \
  } while (false)

#endif  // MOTE_TASK_STATE_MACHINE_HPP
