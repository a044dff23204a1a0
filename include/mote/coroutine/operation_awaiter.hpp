// SPDX-License-Identifier: MIT
// Copyright (c) 2026 The mote authors
// co_await of an operation.
#ifndef MOTE_COROUTINE_OPERATION_AWAITER_HPP
#define MOTE_COROUTINE_OPERATION_AWAITER_HPP

#if __cplusplus >= 202002L

#include <coroutine>    // coroutine_handle, suspend_always
#include <cstdint>      // integers of fixed width
#include <new>          // placement new
#include <type_traits>  // checks at compile time
#include <utility>      // move, forward, exchange

#include <mote/base/config.hpp>
#include <mote/base/poll.hpp>
#include <mote/coroutine/chain.hpp>
#include <mote/task/operation.hpp>
#include <mote/task/task.hpp>

namespace mote {
inline namespace MOTE_NAMESPACE {
namespace detail {

template <class Op>
concept IsOperation = requires(Op& operation, Task& task) {
  operation.poll(task).ready();
};

// What co_await makes of an operation. The operation itself lies in the coroutine's frame until the end of the
// expression that awaits it. The compiler calls await_ready(), which makes the first attempt; if that is pending, it
// calls await_suspend(), and the chain makes the further attempts; then await_resume(), which returns the result of the
// co_await.
template <class Op> struct OperationAwaiter : Awaiter {
  using R = Answer<Op>;

  OperationAwaiter(Chain& part_of, Op& what, std::uint32_t line) : Awaiter(part_of), operation_(what) {
    chain.line = line;
  }
  ~OperationAwaiter() {
    if (!taken_) leave();
    forget_result();
  }

  bool await_ready() { return attempt(*chain.current_task); }
  void await_suspend(std::coroutine_handle<> waiting) { wait(waiting, &attempt_again); }
  R await_resume() {
    taken_ = true;
    return std::move(result_);
  }
 private:
  static bool attempt_again(Awaiter& self, Task& task) { return static_cast<OperationAwaiter&>(self).attempt(task); }
  [[gnu::always_inline]] bool attempt(Task& task) {
    Poll<R> fresh = poll_operation(operation_, task);
    if (!fresh.ready()) return false;
    forget_result();  // of an operation that returned ECANCELED while it was abandoned
    // The move may throw: has_result_ is set afterwards.
    ::new (static_cast<void*>(&result_)) R(std::move(*fresh));
    if constexpr (!std::is_trivially_destructible_v<R>) has_result_ = true;
    return true;
  }
  void forget_result() {
    if constexpr (!std::is_trivially_destructible_v<R>) {
      const bool had_result = std::exchange(has_result_, false);
      if (had_result) result_.~R();
    }
  }

  Op& operation_;
  bool taken_ = false;       // the result has been taken: the operation does not wait
  bool has_result_ = false;  // there is one to be destroyed
  // Constructed by the attempt that completes: constructing it first would cost its stores at every await.
  union {
    R result_;
  };
};

}  // namespace detail
}  // namespace MOTE_NAMESPACE
}  // namespace mote

#endif  // C++20

#endif  // MOTE_COROUTINE_OPERATION_AWAITER_HPP
