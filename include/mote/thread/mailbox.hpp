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
#include <mote/base/result.hpp>
#include <mote/reactor/loop.hpp>
#include <mote/reactor/reactor.hpp>
#include <mote/task/operation.hpp>
#include <mote/task/poll_context.hpp>
#include <mote/thread/waker.hpp>

namespace mote {
inline namespace MOTE_NAMESPACE {

// A bounded queue from any threads (not signal handlers) to the loop, without locks, with 32-bit atomics (after
// Vyukov's bounded MPMC queue): no call waits for another thread, but a thread that is preempted within post() holds
// back the messages after its own. N is a power of two. Each producer's messages keep their order, and no message that
// was accepted is lost; when it is full, post() returns ENOBUFS. It must not move, and it must not be destroyed while a
// thread is inside post(): let the threads end first.
//
// In a forked child, after Reactor::after_fork_in_child(), a mailbox that is open holds the messages that were complete
// at the fork, as copies of the child's own, in their order. One that another thread was just posting is dropped; its
// destructor is not called. In a mailbox that was not open at the fork such a message keeps those behind it from being
// received.
// Size: N times sizeof(T) + 4, rounded up to what T and the 4 bytes are aligned to; and 60 bytes on a 32-bit board.
template <class T, std::size_t N> class Mailbox : detail::WakerCore {
  static_assert(N > 0 && (N & (N - 1)) == 0 && N <= (1u << 30), "the capacity of a Mailbox is a power of two");
 public:
  constexpr Mailbox() : cells_{} {}
  ~Mailbox() {
    close();
    while (try_receive()) continue;
  }

  // The callback is called in the loop's thread when messages have come; it takes them with try_receive(). One that
  // throws is called again, for what it may have left. Without a callback, await receive(). While it is open, run()
  // goes on, as for a Waker. Errors: those of Waker::open().
  Result<void> open(Reactor& reactor, Delegate<void()> callback = {}) {
    return WakerCore::open(reactor, callback, &Mailbox::serve);
  }
  // Messages that are in it stay there, and can still be taken with try_receive(). Never waits for threads that are
  // inside post().
  void close() { WakerCore::close(); }

  // Puts a T, which is constructed from `message`, into the queue. Any thread, also before open() and after close().
  // T's constructor must not throw.
  // Errors:
  //   ENOBUFS  it is full: try later. `message` is unchanged. A message that another thread is just posting, or that
  //            the loop is just taking, has its place still.
  template <class U = T> Result<void> post(U&& message) {
    std::uint32_t position = tail_.load(std::memory_order_relaxed);
    for (;;) {
      Cell& cell = cells_[position % N];
      if (cell.sequence.load(std::memory_order_acquire) == sequence_of(position)) {
        // If another producer was faster, `position` is the new tail.
        if (!tail_.compare_exchange_weak(position, position + 1, std::memory_order_relaxed)) continue;
        ::new (static_cast<void*>(cell.bytes)) T(std::forward<U>(message));
        cell.sequence.store(sequence_of(position) + complete, std::memory_order_release);
        wake();
        return {};
      }
      // The cell is taken: by another producer, which has moved the tail, or else by a message of one round before. If
      // the tail has not moved since before that look, the queue was full at that moment.
      const std::uint32_t seen = position;
      position = tail_.load(std::memory_order_relaxed);
      if (position == seen) return Error(detail::Reason::mailbox_full);
    }
  }
  // Takes the next message. For the loop's thread. O(1), but for messages that were dropped by a fork.
  // Errors:
  //   EAGAIN  it is empty, or the next message is just being posted.
  Result<T> try_receive() {
    for (;;) {
      Cell& cell = cells_[head_ % N];
      const std::uint32_t state = cell.sequence.load(std::memory_order_acquire) - sequence_of(head_);
      if (state == complete) {
        T* const message = static_cast<T*>(static_cast<void*>(cell.bytes));
        Result<T> result(detail::Value<T&&>{std::move(*message)});
        message->~T();
        free_first();
        return result;
      }
      if (state != dropped) return Error(EAGAIN);
      free_first();
    }
  }
  // Waits for the next message, and takes it. For one task at a time.
  // Errors:
  //   EBUSY      another task waits for it.
  //   ECANCELED  the task was cancelled, or the mailbox has been closed.
  //   EBADF      it was never opened.
  auto receive() {
    return detail::make_operation<T>(
        [this](PollContext context) { return attempt(context, [this] { return try_receive(); }); });
  }
 private:
  // What a cell's sequence adds to that of a position. 0: it is free for that position; any other number: it is of
  // another position.
  static constexpr std::uint32_t complete = 1;  // it holds the position's message
  static constexpr std::uint32_t dropped = 2;   // the thread that was posting it is not in this forked child
  struct Cell {
    std::atomic<std::uint32_t> sequence{0};  // as in Vyukov's queue
    alignas(T) unsigned char bytes[sizeof(T)] = {};
  };
  // Positions count messages, and wrap around; each cell is used once in N of them.
  static constexpr std::uint32_t sequence_of(std::uint32_t position) {
    return position / static_cast<std::uint32_t>(N) * 4;
  }

  void free_first() {
    const std::uint32_t position = head_;
    head_ = position + 1;
    cells_[position % N].sequence.store(sequence_of(position + static_cast<std::uint32_t>(N)),
                                        std::memory_order_release);
  }

  // The hook for the loop's inbox.
  static void serve(detail::InboxNode& node, detail::InboxEvent event) {
    if (event == detail::InboxEvent::forked) static_cast<Mailbox&>(node).drop_incomplete();
    if (event == detail::InboxEvent::thrown) static_cast<Mailbox&>(node).stay_pending();
    WakerCore::serve(node, event);
  }
  // In a forked child: those that posted are not here.
  void drop_incomplete() {
    for (std::uint32_t position = head_; position != tail_.load(std::memory_order_relaxed); ++position) {
      std::atomic<std::uint32_t>& sequence = cells_[position % N].sequence;
      if (sequence.load(std::memory_order_relaxed) != sequence_of(position)) continue;
      sequence.store(sequence_of(position) + dropped, std::memory_order_relaxed);
    }
  }

  Cell cells_[N];
  std::atomic<std::uint32_t> tail_{0};  // the position of the next message to be posted
  std::uint32_t head_ = 0;              // the position of the next message to be received
};

}  // namespace MOTE_NAMESPACE
}  // namespace mote

#endif  // MOTE_THREAD_MAILBOX_HPP
