// SPDX-License-Identifier: MIT
// Copyright (c) 2026 The mote authors
// What all coroutines have in common, whatever they return.
#ifndef MOTE_COROUTINE_PROMISE_HPP
#define MOTE_COROUTINE_PROMISE_HPP

#if __cplusplus >= 202002L

#include <coroutine>    // coroutine_handle, suspend_always
#include <cstddef>      // size_t, ptrdiff_t
#include <cstdint>      // integers of fixed width
#include <new>          // placement new
#include <type_traits>  // checks at compile time

#include <mote/base/config.hpp>
#include <mote/coroutine/chain.hpp>
#include <mote/coroutine/frame_allocator.hpp>
#include <mote/coroutine/operation_awaiter.hpp>
#include <mote/task/task.hpp>

namespace mote {
inline namespace MOTE_NAMESPACE {
namespace detail {

// What this_task() returns. It is no operation: only a coroutine can await it.
struct ThisTask {};
struct TaskAwaiter {
  bool await_ready() const { return true; }
  void await_suspend(std::coroutine_handle<>) const {}
  Task& await_resume() const { return task; }

  Task& task;
};

// What co_await makes of an Op. (Of a Co, it is a CoAwaiter: see co.hpp.)
template <class Op> struct AwaiterFor { using Type = OperationAwaiter<Op>; };

// The promise is the part of a coroutine's frame that the compiler calls: it allocates the frame with the promise's
// operator new, passes what is awaited to await_transform(), and asks it whether to suspend at the beginning and at the
// end.
struct PromiseBase {
  // ---- the frame ----

  // Returns null if there is no frame; the coroutine is then not begun. Always inlined: otherwise g++ warns that it and
  // the operator delete below do not match.
  template <class... A> [[gnu::always_inline]] static void* operator new(std::size_t size, A&... arguments) noexcept {
    return FrameAllocator::allocate(size, alignof(std::max_align_t), arguments...);
  }
  // Called by compilers that pass the alignment: clang with -fcoro-aligned-allocation.
  template <class... A>
  [[gnu::always_inline]] static void* operator new(std::size_t size, std::align_val_t alignment,
                                                   A&... arguments) noexcept {
    return FrameAllocator::allocate(size, static_cast<std::size_t>(alignment), arguments...);
  }
  static void operator delete(void* frame, std::size_t size) noexcept { FrameAllocator::release(frame, size); }
  static void operator delete(void* frame, std::size_t size, std::align_val_t) noexcept {
    FrameAllocator::release(frame, size);
  }

  // ---- the beginning and the end ----

  // A coroutine suspends before its first statement. The default arguments are evaluated in the coroutine: they are its
  // name and line.
  std::suspend_always initial_suspend(const char* name = __builtin_FUNCTION(),
                                      std::uint32_t line = __builtin_LINE()) noexcept {
    own.name = name;
    own.line = line;
    return {};
  }
  // It suspends after its last statement, so that its result can be taken from the frame. The coroutine that awaits it
  // goes on next.
  struct Final {
    bool await_ready() const noexcept { return false; }
    template <class P> void await_suspend(std::coroutine_handle<P> ended) const noexcept {
      PromiseBase& promise = ended.promise();
      promise.chain->next = promise.awaited_by;
    }
    void await_resume() const noexcept {}
  };
  Final final_suspend() const noexcept { return {}; }

  // ---- co_await ----

  template <class Op> auto await_transform(Op&& operation, std::uint32_t line = __builtin_LINE()) {
    using Awaited = std::remove_reference_t<Op>;
    static_assert(IsOperation<Awaited>,
                  "no operation: of a task's handle await join(); what try_...() gives is there at once");
    return typename AwaiterFor<Awaited>::Type(*chain, operation, line);
  }
  TaskAwaiter await_transform(ThisTask) { return {*chain->current_task}; }

  Chain own;                           // the chain in which this coroutine is the first
  Chain* chain = &own;                 // the chain that it is part of
  std::coroutine_handle<> awaited_by;  // null: it is the first of its chain
  int code = 0;                        // 0, or the Error that it failed with, as it is stored
};

}  // namespace detail
}  // namespace MOTE_NAMESPACE
}  // namespace mote

#endif  // C++20

#endif  // MOTE_COROUTINE_PROMISE_HPP
