// SPDX-License-Identifier: MIT
// Copyright (c) 2026 The mote authors
// PartsAttempt: one attempt at an operation that is made of several parts.
#ifndef MOTE_SYNC_PARTS_HPP
#define MOTE_SYNC_PARTS_HPP

#include <mote/base/config.hpp>
#include <mote/base/error.hpp>
#include <mote/task/poll_context.hpp>

namespace mote {
inline namespace MOTE_NAMESPACE {
namespace detail {

// One attempt at an operation that is made of several parts, which are polled one after the other. Where the task had
// budget before the first part, each part has some, though those before it may have used it up. Where it had none, no
// part has: else the whole would always complete, and starve the other tasks.
//
// Of all parts that are pending, Task::waits_for() tells the one that is named first. A part itself notes its words in
// the task, and those of the part after it would replace them.
class PartsAttempt {
 public:
  explicit PartsAttempt(PollContext context) : context_(context), has_budget_(context.budget() > 0) {}

  void begin_part() const {
    if (has_budget_) context_.ensure_attempt();
  }
  void note_pending() {  // after the attempt of a part that is pending
    if (waits_for_ == nullptr) waits_for_ = context_.waits_for();
  }
  Error suspend() const { return context_.suspend(waits_for_); }
 private:
  const PollContext context_;
  const bool has_budget_;
  const char* waits_for_ = nullptr;
};

}  // namespace detail
}  // namespace MOTE_NAMESPACE
}  // namespace mote

#endif  // MOTE_SYNC_PARTS_HPP
