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
// bounded MPMC queue). N is a power of two. Each producer's messages keep their order; none that was accepted is lost;
// full says so. It must not move. Size: (sizeof(T) + 4) * N, and 56 bytes on a 32-bit board.
template <class T, std::size_t N> class Mailbox : detail::Pinned {
  static_assert(N > 0 && (N & (N - 1)) == 0 && N <= (1u << 30), "the capacity of a Mailbox is a power of two");
 public:
  constexpr Mailbox() : cells_{} {}
  ~Mailbox() {
    close();
    while (try_receive()) continue;
  }

  // The callback comes in the loop's thread when messages have come; it takes them with try_receive(). Without one,
  // await receive(). Errors: as Waker::open().
  Result<void> open(Reactor& reactor, Delegate<void()> callback = {}) { return waker_.open(reactor, callback); }
  // Messages stay in it, and can still be taken with try_receive().
  void close() { waker_.close(); }

  // Any thread, also before open() and after close(). T is made of `message`, which must not throw.
  // Errors:
  //   ENOBUFS  it is full; the argument is as it was.
  template <class U> Result<void> post(U&& message) {
    std::uint32_t position = tail_.load(std::memory_order_relaxed);
    for (;;) {
      Cell& cell = cells_[position % N];
      if (cell.turn.load(std::memory_order_acquire) == turn_of(position)) {
        // If another producer was faster, `position` is the new tail.
        if (!tail_.compare_exchange_weak(position, position + 1, std::memory_order_relaxed)) continue;
        ::new (static_cast<void*>(cell.bytes)) T(std::forward<U>(message));
        cell.turn.store(turn_of(position) + 1, std::memory_order_release);
        waker_.wake();
        return {};
      }
      // The cell is taken: by another producer, which has moved the tail, or else by a message of one round before.
      const std::uint32_t seen = position;
      position = tail_.load(std::memory_order_relaxed);
      if (position == seen) return Error(ENOBUFS);
    }
  }
  // The loop's thread.
  // Errors:
  //   EAGAIN  it is empty.
  Result<T> try_receive() {
    const std::uint32_t position = head_;
    Cell& cell = cells_[position % N];
    if (cell.turn.load(std::memory_order_acquire) != turn_of(position) + 1) return Error(EAGAIN);
    T* const message = static_cast<T*>(static_cast<void*>(cell.bytes));
    Result<T> result(std::move(*message));
    message->~T();
    head_ = position + 1;
    cell.turn.store(turn_of(position + static_cast<std::uint32_t>(N)), std::memory_order_release);
    return result;
  }
  // The next message. For one task at a time.
  // Errors:
  //   EBUSY      another task waits.
  //   ECANCELED  the task was cancelled, or the mailbox has been closed.
  //   EBADF      it was never opened.
  auto receive() {
    return operation<T>(
        [this](PollContext context) { return waker_.attempt(context, [this] { return try_receive(); }); });
  }
 private:
  struct Cell {
    std::atomic<std::uint32_t> turn{0};  // even: free for the position of that turn; odd: holds its message
    alignas(T) unsigned char bytes[sizeof(T)] = {};
  };
  // Positions count messages, and wrap around; each cell is used once in N of them.
  static constexpr std::uint32_t turn_of(std::uint32_t position) { return position / N * 2; }

  Cell cells_[N];
  std::atomic<std::uint32_t> tail_{0};  // the position of the next message to be posted
  std::uint32_t head_ = 0;              // and to be received
  detail::WakerCore waker_;
};

}  // namespace MOTE_NAMESPACE
}  // namespace mote

#endif  // MOTE_THREAD_MAILBOX_HPP
