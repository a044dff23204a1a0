// SPDX-License-Identifier: MIT
// Copyright (c) 2026 The mote authors
// MainWait: what a task that awaits several things is said to wait for.
#ifndef MOTE_SYNC_MAIN_WAIT_HPP
#define MOTE_SYNC_MAIN_WAIT_HPP

#include <mote/base/config.hpp>
#include <mote/base/error.hpp>
#include <mote/task/poll_context.hpp>

namespace mote {
inline namespace MOTE_NAMESPACE {
namespace detail {

// For combinators: of all parts that are pending, Task::waits_for() tells the one that is named first. The part itself
// notes its words in the task, and those of the part after it would replace them.
class MainWait {
 public:
  void note(PollContext context) {  // after an attempt of a part that is pending
    if (what_ == nullptr) what_ = context.waits_for();
  }
  Error suspend(PollContext context) const { return context.suspend(what_); }
 private:
  const char* what_ = nullptr;
};

}  // namespace detail
}  // namespace MOTE_NAMESPACE
}  // namespace mote

#endif  // MOTE_SYNC_MAIN_WAIT_HPP
