// SPDX-License-Identifier: MIT
// Copyright (c) 2026 The mote authors
// Semaphore: a number of permits.
#ifndef MOTE_SYNC_SEMAPHORE_HPP
#define MOTE_SYNC_SEMAPHORE_HPP

#include <errno.h>  // errno and its names

#include <cstdint>  // integers of fixed width

#include <mote/base/config.hpp>
#include <mote/base/error.hpp>
#include <mote/base/pinned.hpp>
#include <mote/base/result.hpp>
#include <mote/task/operation.hpp>
#include <mote/task/poll_context.hpp>
#include <mote/task/wait_queue.hpp>

namespace mote {
inline namespace MOTE_NAMESPACE {

// A number of permits, between tasks of one reactor, in its thread. Waiters are served in order of arrival, and no
// other task overtakes them. It must not move, and may be destroyed before the tasks that wait.
// Size on a 32-bit board: 16 bytes.
class Semaphore : detail::Pinned {
 public:
  constexpr explicit Semaphore(std::uint32_t permits = 0) : permits_(permits) {}

  // Takes one permit, to be given back by release(). Waits while there is none.
  // Errors:
  //   ECANCELED  the task was cancelled, or the semaphore was destroyed.
  //   ENOBUFS    the task waits in limits::queues_per_task queues already.
  auto acquire() {
    return detail::make_operation<void>(
        [this](PollContext context) { return context.attempt(queue_, "a permit", [this](bool) { return take(); }); });
  }
  // Takes one permit without waiting.
  // Errors:
  //   EAGAIN  there is no permit, or other tasks wait for one.
  Result<void> try_acquire() {
    if (!queue_.is_next(nullptr)) return Error(EAGAIN);
    return take();
  }
  // Adds permits, up to UINT32_MAX in all, and wakes as many waiting tasks. O(tasks woken).
  void release(std::uint32_t permits = 1) {
    const std::uint32_t room = UINT32_MAX - permits_;
    permits_ = permits > room ? UINT32_MAX : permits_ + permits;
    queue_.notify(permits);
  }
  std::uint32_t available() const { return permits_; }
 private:
  Result<void> take() {
    if (permits_ == 0) return Error(EAGAIN);
    --permits_;
    return {};
  }

  WaitQueue queue_;
  std::uint32_t permits_;
};

}  // namespace MOTE_NAMESPACE
}  // namespace mote

#endif  // MOTE_SYNC_SEMAPHORE_HPP
