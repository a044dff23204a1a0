// SPDX-License-Identifier: MIT
// Copyright (c) 2026 The mote authors
// Mailbox: messages from other threads to the loop.
#ifndef MOTE_THREAD_MAILBOX_HPP
#define MOTE_THREAD_MAILBOX_HPP

#include <errno.h>  // errno and its names

#include <atomic>   // 32-bit atomics
#include <cstddef>  // size_t, ptrdiff_t
#include <cstdint>  // integers of fixed width
#include <new>      // placement new
#include <utility>  // move, forward, exchange

#include <mote/base/config.hpp>
#include <mote/base/delegate.hpp>
#include <mote/base/error.hpp>
#include <mote/base/pinned.hpp>
#include <mote/base/result.hpp>
#include <mote/reactor/reactor.hpp>
#include <mote/task/operation.hpp>
#include <mote/task/poll_context.hpp>
#include <mote/thread/waker.hpp>

namespace mote {
inline namespace MOTE_NAMESPACE {

// A bounded queue from any threads (not signal handlers) to the loop, lock-free with 32-bit atomics (after Vyukov's
// bounded MPMC queue). N is a power of two. Each producer's messages keep their order, and no message that was accepted
// is lost; when it is full, post() returns ENOBUFS. It must not move.
// Size: (sizeof(T) + 4) * N, and 56 bytes on a 32-bit board.
template <class T, std::size_t N> class Mailbox : detail::Pinned {
  static_assert(N > 0 && (N & (N - 1)) == 0 && N <= (1u << 30), "the capacity of a Mailbox is a power of two");
 public:
  constexpr Mailbox() : cells_{} {}
  ~Mailbox() {
    close();
    while (try_receive()) continue;
  }

  // The callback is called in the loop's thread when messages have come; it takes them with try_receive(). One that
  // throws is called again, for what it may have left. Without a callback, await receive(). Errors: those of
  // Waker::open().
  Result<void> open(Reactor& reactor, Delegate<void()> callback = {}) { return waker_.open(reactor, callback, true); }
  // Messages that are in it stay there, and can still be taken with try_receive().
  void close() { waker_.close(); }

  // Puts a T, which is constructed from `message`, into the queue. Any thread, also before open() and after close().
  // T's constructor must not throw.
  // Errors:
  //   ENOBUFS  it is full: try later. `message` is unchanged.
  template <class U> Result<void> post(U&& message) {
    std::uint32_t position = tail_.load(std::memory_order_relaxed);
    for (;;) {
      Cell& cell = cells_[position % N];
      if (cell.sequence.load(std::memory_order_acquire) == sequence_of(position)) {
        // If another producer was faster, `position` is the new tail.
        if (!tail_.compare_exchange_weak(position, position + 1, std::memory_order_relaxed)) continue;
        ::new (static_cast<void*>(cell.bytes)) T(std::forward<U>(message));
        cell.sequence.store(sequence_of(position) + 1, std::memory_order_release);
        waker_.wake();
        return {};
      }
      // The cell is taken: by another producer, which has moved the tail, or else by a message of one round before.
      const std::uint32_t seen = position;
      position = tail_.load(std::memory_order_relaxed);
      if (position == seen) return Error(ENOBUFS);
    }
  }
  // Takes the next message. For the loop's thread.
  // Errors:
  //   EAGAIN  it is empty.
  Result<T> try_receive() {
    const std::uint32_t position = head_;
    Cell& cell = cells_[position % N];
    if (cell.sequence.load(std::memory_order_acquire) != sequence_of(position) + 1) return Error(EAGAIN);
    T* const message = static_cast<T*>(static_cast<void*>(cell.bytes));
    Result<T> result(std::move(*message));
    message->~T();
    head_ = position + 1;
    cell.sequence.store(sequence_of(position + static_cast<std::uint32_t>(N)), std::memory_order_release);
    return result;
  }
  // Waits for the next message, and takes it. For one task at a time.
  // Errors:
  //   EBUSY      another task waits for it.
  //   ECANCELED  the task was cancelled, or the mailbox has been closed.
  //   EBADF      it was never opened.
  auto receive() {
    return operation<T>(
        [this](PollContext context) { return waker_.attempt(context, [this] { return try_receive(); }); });
  }
 private:
  struct Cell {
    // As in Vyukov's queue. Even: the cell is free for the position of this sequence number; odd: it holds its message.
    std::atomic<std::uint32_t> sequence{0};
    alignas(T) unsigned char bytes[sizeof(T)] = {};
  };
  // Positions count messages, and wrap around; each cell is used once in N of them.
  static constexpr std::uint32_t sequence_of(std::uint32_t position) { return position / N * 2; }

  Cell cells_[N];
  std::atomic<std::uint32_t> tail_{0};  // the position of the next message to be posted
  std::uint32_t head_ = 0;              // the position of the next message to be received
  detail::WakerCore waker_;
};

}  // namespace MOTE_NAMESPACE
}  // namespace mote

#endif  // MOTE_THREAD_MAILBOX_HPP
