// SPDX-License-Identifier: MIT
// Copyright (c) 2026 The mote authors
// Mutex: mutual exclusion of tasks, across awaits.
#ifndef MOTE_SYNC_MUTEX_HPP
#define MOTE_SYNC_MUTEX_HPP

#include <errno.h>  // errno and its names

#include <utility>  // move, forward, exchange

#include <mote/base/config.hpp>
#include <mote/base/error.hpp>
#include <mote/base/pinned.hpp>
#include <mote/base/result.hpp>
#include <mote/task/operation.hpp>
#include <mote/task/poll_context.hpp>
#include <mote/task/wait_queue.hpp>

namespace mote {
inline namespace MOTE_NAMESPACE {

// Mutual exclusion across awaits, between tasks of one reactor, in its thread: lock() returns a Guard, which unlocks
// the mutex when it is destroyed. Waiters are served in order of arrival, and no other task overtakes them. It must not
// move, and may be destroyed before the tasks that wait, and before its guard.
// Size on a 32-bit board: 16 bytes.
class Mutex : detail::Pinned {
 public:
  // Empty, or holding a mutex; movable, so that a task can keep it as a member. It becomes empty when the mutex is
  // destroyed first.
  // Size on a 32-bit board: 4 bytes.
  class Guard {
   public:
    Guard() = default;
    Guard(Guard&& other) noexcept { take(other); }
    Guard& operator=(Guard&& other) noexcept {
      if (this == &other) return *this;
      unlock();
      take(other);
      return *this;
    }
    ~Guard() { unlock(); }

    void unlock() {  // becomes empty; no effect where it is
      Mutex* const mutex = std::exchange(mutex_, nullptr);
      if (mutex == nullptr) return;
      mutex->holder_ = nullptr;
      mutex->queue_.notify();
    }
    explicit operator bool() const { return mutex_ != nullptr; }
   private:
    friend class Mutex;
    // Not inlined: g++ would warn that the mutex keeps the address of a local guard. It does not: each
    // move of the guard stores the new address.
    [[gnu::noinline]] void take(Guard& other) {
      mutex_ = std::exchange(other.mutex_, nullptr);
      if (mutex_ != nullptr) mutex_->holder_ = this;
    }

    Mutex* mutex_ = nullptr;
  };

  ~Mutex() {
    if (holder_ != nullptr) holder_->mutex_ = nullptr;
  }

  // Locks it, and returns a Guard. Waits while another task holds it; a task that holds it itself would wait for ever.
  // Errors:
  //   ECANCELED  the task was cancelled, or the mutex was destroyed.
  //   ENOBUFS    the task waits in limits::queues_per_task queues already.
  auto lock() {
    return detail::make_operation<Guard>(
        [this](PollContext context) { return context.attempt(queue_, "a mutex", [this](bool) { return take(); }); });
  }
  // Locks it without waiting.
  // Errors:
  //   EAGAIN  it is held, or other tasks wait for it.
  Result<Guard> try_lock() {
    if (!queue_.is_next(nullptr)) return Error(EAGAIN);
    return take();
  }
  bool is_locked() const { return holder_ != nullptr; }
 private:
  Result<Guard> take() {
    if (holder_ != nullptr) return Error(EAGAIN);
    Result<Guard> guard{Guard()};
    guard->mutex_ = this;
    holder_ = &*guard;
    return guard;
  }

  WaitQueue queue_;
  Guard* holder_ = nullptr;
};

}  // namespace MOTE_NAMESPACE
}  // namespace mote

#endif  // MOTE_SYNC_MUTEX_HPP
