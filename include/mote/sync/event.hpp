// SPDX-License-Identifier: MIT
// Copyright (c) 2026 The mote authors
// Event: a flag to wait for.
#ifndef MOTE_SYNC_EVENT_HPP
#define MOTE_SYNC_EVENT_HPP

#include <errno.h>  // errno and its names

#include <mote/base/config.hpp>
#include <mote/base/error.hpp>
#include <mote/base/pinned.hpp>
#include <mote/base/result.hpp>
#include <mote/task/operation.hpp>
#include <mote/task/poll_context.hpp>
#include <mote/task/wait_queue.hpp>

namespace mote {
inline namespace MOTE_NAMESPACE {

// A flag to wait for, between tasks of one reactor, in its thread. Waiters are served in order of arrival. It must not
// move, and may be destroyed before the tasks that wait.
// Size on a 32-bit board: 16 bytes.
class Event : detail::Pinned {
 public:
  // Sets it. All tasks that wait now go on, even if it is cleared at once. O(waiting tasks).
  void set() {
    set_ = true;
    queue_.release_all();
  }
  void clear() { set_ = false; }
  bool is_set() const { return set_; }
  // Waits until it is set; completes at once while it is.
  // Errors:
  //   ECANCELED  the task was cancelled, or the event was destroyed.
  //   ENOBUFS    the task waits in limits::queues_per_task queues already.
  auto wait() {
    return detail::make_operation<void>([this](PollContext context) {
      return context.attempt(queue_, "an event", [this](bool released) {
        // A task that set() has released goes on, even if the event has been cleared since.
        return released || set_ ? Result<void>() : Error(EAGAIN);
      });
    });
  }
 private:
  WaitQueue queue_;
  bool set_ = false;
};

}  // namespace MOTE_NAMESPACE
}  // namespace mote

#endif  // MOTE_SYNC_EVENT_HPP
