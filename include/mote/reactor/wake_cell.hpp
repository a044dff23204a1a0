// SPDX-License-Identifier: MIT
// Copyright (c) 2026 The mote authors
// WakeCell: what other threads and signal handlers touch in order to wake a loop.
#ifndef MOTE_REACTOR_WAKE_CELL_HPP
#define MOTE_REACTOR_WAKE_CELL_HPP

#include <errno.h>  // errno and its names

#include <atomic>   // 32-bit atomics
#include <cstdint>  // integers of fixed width

#include <mote/base/config.hpp>
#include <mote/base/pinned.hpp>
#include <mote/system/system.hpp>

namespace mote {
inline namespace MOTE_NAMESPACE {
namespace detail {

// Whether a loop sleeps, and the eventfd that wakes it. Cells lie in static storage; a loop takes one in
// enable_wakeups(), and keeps it until it is destroyed. So a thread that is about to wake a loop never touches memory
// that has been freed, and nobody has to wait for such a thread, not even the destructor of the reactor. A thread that
// is late may find the cell in use by another loop, which it then wakes for nothing.
//
// The loop publishes whether it sleeps:
//
//   asleep     it waits, or is about to. Whoever wakes it writes to the eventfd.
//   awake      it looks again before it sleeps. Whoever wakes it sets `notified`: no system call.
//   notified   somebody has woken it: there is nothing to be done.
//
// To wake a loop that sleeps, a thread first writes to the eventfd, and sets `notified` only then. The other way
// around, all others would take the loop for woken while that thread is preempted in between. By then the loop may have
// been awake and have fallen asleep again, so each sleep has a number of its own (of 30 bits), and a thread sets
// `notified` only for the sleep that it has ended.
//
// publish() and the first load of notify() are sequentially consistent. Either the waking side sees that the loop
// sleeps, or the loop, after it has published `awake`, sees what the waking side had noted before it looked. The
// relaxed loads are hints, or are checked by an exchange.
// Size on a 32-bit board: 12 bytes.
class WakeCell : Pinned {
 public:
  static constexpr std::uint32_t awake = 1;
  // `sleep` tells this sleep from the ones before.
  static constexpr std::uint32_t asleep(std::uint32_t sleep) { return sleep << 2; }

  // ---- for the loop's thread ----

  // Takes the cell, if it is free.
  bool claim() {
    std::uint32_t expected = 0;
    return users_.compare_exchange_strong(expected, claimed);
  }
  // Lets threads in. The eventfd belongs to the cell from then on.
  void open(int event_fd, std::uint32_t state) {
    fd_ = event_fd;
    state_.store(state);
    users_.store(claimed | opened);
  }
  // Gives the cell back. The last of those that are inside closes the eventfd, so that its number is not used again
  // while a thread may still write to it.
  void close() {
    const std::uint32_t users = users_.fetch_and(~opened);
    if (users == (claimed | opened)) release();
  }
  // The two for a forked child, in which those that were inside do not exist.
  void close_in_child() { release(); }
  void reopen_in_child(int event_fd, std::uint32_t state) {
    System::close(fd_);
    open(event_fd, state);
  }
  // Gives back a cell that has not been opened.
  void unclaim() { users_.store(0); }
  int event_fd() const { return fd_; }

  // Publishes `awake`, or asleep(...). Returns whether the loop had been notified.
  bool publish(std::uint32_t state) { return state_.exchange(state) == notified; }
  bool is_notified() const { return state_.load(std::memory_order_relaxed) == notified; }

  // ---- for any thread and any signal handler ----

  // Wakes the loop: at most one write(), and none while it is awake. It leaves errno as it is. If the loop has gone
  // meanwhile, there may be a close(). It waits for no other thread: it repeats what EINTR has interrupted, an exchange
  // that has failed for nothing, and one before which another thread has changed the word.
  void notify() {
    if (notify_if_awake() || !enter()) return;
    const int saved_errno = errno;
    std::uint32_t state = state_.load(std::memory_order_relaxed);
    const std::uint64_t one = 1;  // EAGAIN: it is full, so the loop is awake already
    retry([&] { return System::write(fd_, &one, sizeof one); });
    if (is_asleep(state)) {
      state_.compare_exchange_strong(state, notified, std::memory_order_release, std::memory_order_relaxed);
    }
    leave();
    errno = saved_errno;
  }
 private:
  static constexpr std::uint32_t notified = 2;
  static constexpr bool is_asleep(std::uint32_t state) { return (state & 3u) == 0; }
  // Bits of users_. The rest of it counts those that are inside.
  static constexpr std::uint32_t claimed = 1u << 31;  // a loop has the cell, or somebody is still inside
  static constexpr std::uint32_t opened = 1u << 30;   // threads may enter

  // False: it sleeps.
  bool notify_if_awake() {
    std::uint32_t state = state_.load();
    while (state == awake) {
      if (state_.compare_exchange_weak(state, notified)) return true;
    }
    return state == notified;
  }
  // From here to leave() the cell and its eventfd stay those of one loop. False: the loop has gone.
  bool enter() {
    std::uint32_t users = users_.load(std::memory_order_relaxed);
    while ((users & opened) != 0) {
      if (users_.compare_exchange_weak(users, users + 1)) return true;
    }
    return false;
  }
  void leave() {
    if (users_.fetch_sub(1) == claimed + 1) release();  // the loop has gone, and this was the last
  }
  void release() {
    System::close(fd_);
    users_.store(0);
  }

  std::atomic<std::uint32_t> users_{0};
  std::atomic<std::uint32_t> state_{0};
  int fd_ = 0;
};

inline WakeCell wake_cells[limits::reactors_with_wakeups];

// Names a cell in an atomic word: 1 for the first. 0 names none.
inline std::uint32_t number_of(const WakeCell& cell) { return static_cast<std::uint32_t>(&cell - wake_cells) + 1; }
inline WakeCell& wake_cell_of(std::uint32_t number) { return wake_cells[number - 1]; }

// Null: all are in use.
inline WakeCell* claim_wake_cell() {
  for (WakeCell& cell : wake_cells) {
    if (cell.claim()) return &cell;
  }
  return nullptr;
}

}  // namespace detail
}  // namespace MOTE_NAMESPACE
}  // namespace mote

#endif  // MOTE_REACTOR_WAKE_CELL_HPP
