// SPDX-License-Identifier: MIT
// Copyright (c) 2026 The mote authors
// Completion: the answer of a callback, for a task to await.
#ifndef MOTE_SYNC_COMPLETION_HPP
#define MOTE_SYNC_COMPLETION_HPP

#include <errno.h>  // errno and its names

#include <cstdint>      // integers of fixed width
#include <type_traits>  // checks at compile time
#include <utility>      // move, forward, exchange

#include <mote/base/config.hpp>
#include <mote/base/error.hpp>
#include <mote/base/poll.hpp>
#include <mote/base/result.hpp>
#include <mote/task/operation.hpp>
#include <mote/task/poll_context.hpp>
#include <mote/task/wait_queue.hpp>

namespace mote {
inline namespace MOTE_NAMESPACE {

// One answer: a library's callback sets it, a task awaits it, whichever comes first. Both are in the loop's thread: for
// an answer of another thread use a Mailbox, or a Waker.
//
// The task may be cancelled, or give up after a time limit; the answer then stays until somebody takes it or calls
// reset(). Before reset() make sure that the library will not call back for the former request any more: its late
// answer would pass as the new one's. A completion must not move, and may be destroyed before the task that awaits it.
// T must be default-constructible, and its moves must not throw.
// Size: a Result<T>, and 12 bytes on a 32-bit board.
template <class T = void> class Completion {
 public:
  constexpr Completion() = default;

  // Sets the answer: a value, or an Error, as of any Result<T>. The task that waits goes on in its next step.
  // Errors:
  //   EALREADY  it has been set already, and not been reset() since: the first answer stays.
  //   EINVAL    the answer is the error EAGAIN, which means that there is none yet.
  Result<void> set(Result<T> answer) {
    if (state_ != State::unset) return Error(detail::Reason::answer_is_set);
    const bool is_none = !answer && (answer.error() == EAGAIN || answer.error() == detail::suspended);
    if (is_none) return Error(detail::Reason::no_answer);
    answer_ = std::move(answer);
    state_ = State::set;
    queue_.notify();
    return {};
  }
  template <class U = T, class = std::enable_if_t<std::is_void<U>::value>> Result<void> set() {
    return set(Result<void>());
  }
  // Waits for the answer and takes it, once. An answer that is there wins over a cancellation.
  // Errors, besides the one that was set:
  //   ECANCELED  the task was cancelled, or the completion was destroyed.
  //   ENODATA    the answer has been taken already: reset() it.
  //   ENOBUFS    the task waits in limits::queues_per_task queues already.
  auto wait() {
    return detail::make_operation<T>([this](PollContext context) {
      return context.attempt(queue_, "a completion", [this](bool) { return take(); });
    });
  }
  // For the next request: there is no answer any more, and set() may be called again. Tasks that wait go on waiting.
  void reset() {
    state_ = State::unset;
    answer_ = Result<T>();
  }
  bool is_set() const { return state_ != State::unset; }  // also after it has been taken
 private:
  enum class State : std::uint8_t { unset, set, taken };

  Result<T> take() {
    if (state_ == State::unset) return Error(EAGAIN);
    if (state_ == State::taken) return Error(detail::Reason::answer_is_taken);
    state_ = State::taken;
    return std::move(answer_);
  }

  WaitQueue queue_;
  State state_ = State::unset;
  Result<T> answer_;
};

}  // namespace MOTE_NAMESPACE
}  // namespace mote

#endif  // MOTE_SYNC_COMPLETION_HPP
