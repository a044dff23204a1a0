// SPDX-License-Identifier: MIT
// Copyright (c) 2026 The mote authors
// Channel: a bounded queue of values from tasks to tasks.
#ifndef MOTE_SYNC_CHANNEL_HPP
#define MOTE_SYNC_CHANNEL_HPP

#include <errno.h>  // errno and its names

#include <cstddef>      // size_t, ptrdiff_t
#include <new>          // placement new
#include <type_traits>  // checks at compile time
#include <utility>      // move, forward, exchange

#include <mote/base/config.hpp>
#include <mote/base/error.hpp>
#include <mote/base/pinned.hpp>
#include <mote/base/result.hpp>
#include <mote/task/operation.hpp>
#include <mote/task/poll_context.hpp>
#include <mote/task/wait_queue.hpp>

namespace mote {
inline namespace MOTE_NAMESPACE {

// A bounded queue of values from tasks to tasks of one reactor, in its thread (for other threads see Mailbox). Values
// keep their order. Waiters are served in order of arrival, and no other task overtakes them. T may be move-only, and
// its moves and copies must not throw. The channel itself must not move, and may be destroyed before the tasks that
// wait. Size: N * sizeof(T), and 32 bytes on a 32-bit board.
template <class T, std::size_t N> class Channel : detail::Pinned {
  static_assert(N >= 1 && N < (1u << 30), "room for one value at least");
  static_assert(std::is_nothrow_move_constructible<T>::value, "a value must not throw when it is moved");
 public:
  constexpr Channel() = default;
  ~Channel() {
    closed_ = true;
    while (count_ != 0) static_cast<void>(take());
  }

  // Sends a value; waits while the channel is full. The value is moved (or copied) from when there is room, and after
  // an error is unchanged. It must outlive the await.
  // Errors:
  //   EPIPE      the channel has been closed.
  //   ECANCELED  the task was cancelled, or the channel was destroyed.
  //   ENOBUFS    the task waits in limits::queues_per_task queues already.
  auto send(T&& value) { return sending(static_cast<T&&>(value)); }
  auto send(const T& value) { return sending(value); }
  // Receives the next value; waits while there is none.
  // Errors:
  //   ENODATA    the channel has been closed, and all values have been received.
  //   ECANCELED  the task was cancelled, or the channel was destroyed.
  //   ENOBUFS    the task waits in limits::queues_per_task queues already.
  auto receive() {
    return detail::make_operation<T>([this](PollContext context) {
      return context.attempt(receivers_, "a message", [this](bool) { return take(); });
    });
  }
  // Sends a value without waiting.
  // Errors:
  //   EAGAIN  the channel is full, or other tasks wait to send.
  //   EPIPE   the channel has been closed.
  Result<void> try_send(T&& value) {
    if (!closed_ && !senders_.is_next(nullptr)) return Error(EAGAIN);
    return put(std::move(value));
  }
  Result<void> try_send(const T& value) {
    if (!closed_ && !senders_.is_next(nullptr)) return Error(EAGAIN);
    return put(value);
  }
  // Receives a value without waiting.
  // Errors:
  //   EAGAIN   the channel is empty, or other tasks wait to receive.
  //   ENODATA  the channel has been closed, and all values have been received.
  Result<T> try_receive() {
    const bool is_drained = closed_ && count_ == 0;
    if (!is_drained && !receivers_.is_next(nullptr)) return Error(EAGAIN);
    return take();
  }
  // No more can be sent; values that have been sent can still be received. O(waiting tasks).
  void close() {
    closed_ = true;
    senders_.notify_all();
    receivers_.notify_all();
  }
  bool is_closed() const { return closed_; }
  std::size_t size() const { return count_; }
  static constexpr std::size_t capacity() { return N; }
 private:
  template <class U> auto sending(U&& value) {
    return detail::make_operation<void>([this, &value](PollContext context) {
      return context.attempt(senders_, "room in a channel",
                             [this, &value](bool) { return put(static_cast<U&&>(value)); });
    });
  }
  template <class U> Result<void> put(U&& value) {
    if (closed_ || count_ == N) return closed_ ? Error(detail::Reason::channel_closed) : Error(EAGAIN);
    ::new (at(first_ + count_)) T(static_cast<U&&>(value));
    ++count_;
    receivers_.notify();
    return {};
  }
  Result<T> take() {
    if (count_ == 0) return closed_ ? Error(detail::Reason::channel_drained) : Error(EAGAIN);
    T* const value = static_cast<T*>(at(first_));
    Result<T> result(detail::Value<T&&>{std::move(*value)});
    value->~T();
    first_ = (first_ + 1) % N;
    --count_;
    senders_.notify();
    return result;
  }
  void* at(std::size_t i) { return bytes_ + i % N * sizeof(T); }

  WaitQueue senders_;
  WaitQueue receivers_;
  std::size_t first_ = 0;  // the place of the value that is received next
  std::size_t count_ = 0;  // values, in the places from there on, which wrap around at the end
  bool closed_ = false;
  alignas(T) unsigned char bytes_[N * sizeof(T)] = {};
};

}  // namespace MOTE_NAMESPACE
}  // namespace mote

#endif  // MOTE_SYNC_CHANNEL_HPP
