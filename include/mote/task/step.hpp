// SPDX-License-Identifier: MIT
// Copyright (c) 2026 The mote authors
// What one step of a task returns, and how a task has ended.
#ifndef MOTE_TASK_STEP_HPP
#define MOTE_TASK_STEP_HPP

#include <cstdint>      // integers of fixed width
#include <type_traits>  // checks at compile time

#include <mote/base/assert.hpp>
#include <mote/base/config.hpp>
#include <mote/base/error.hpp>
#include <mote/base/poll.hpp>

namespace mote {
inline namespace MOTE_NAMESPACE {

// What one step of a task returns: `pending`, done() or failed(error).
struct [[nodiscard]] Step {
  constexpr Step(Pending) : code(-1) {}
  constexpr explicit Step(int ended_with) : code(ended_with) {
    MOTE_ASSERT(code >= 0 && "a Step of a negative number: write mote::failed(mote::Error(EIO)), or mote::done()");
  }
  template <class U, std::enable_if_t<std::is_arithmetic<std::decay_t<U>>::value, bool> = true>
  constexpr Step(U&&) = delete;    // write mote::failed(mote::Error(EIO)), or mote::done()
  constexpr Step(Error) = delete;  // write mote::failed(error)
  constexpr bool is_pending() const { return code < 0; }

  int code;  // less than 0: pending; 0: done; else the Error that the task failed with, as it is stored
};
constexpr Step done() { return Step(0); }
constexpr Step failed(Error error) { return Step(detail::ErrorAccess::stored(error)); }

// How a task ended. A task that fails with ECANCELED, or that is destroyed before its end, counts as cancelled.
struct Outcome {
  enum class Kind : std::uint8_t { none, done, failed, cancelled };

  Kind kind = Kind::none;  // none: it has not ended
  Error error;             // why, of a failed task
};

}  // namespace MOTE_NAMESPACE
}  // namespace mote

#endif  // MOTE_TASK_STEP_HPP
