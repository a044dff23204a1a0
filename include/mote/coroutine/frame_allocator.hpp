// SPDX-License-Identifier: MIT
// Copyright (c) 2026 The mote authors
// FrameAllocator: takes a coroutine's frame from the pool that it finds among the arguments of the coroutine's call.
#ifndef MOTE_COROUTINE_FRAME_ALLOCATOR_HPP
#define MOTE_COROUTINE_FRAME_ALLOCATOR_HPP

#if __cplusplus >= 202002L

#include <errno.h>  // errno and its names

#include <concepts>     // convertible_to
#include <cstddef>      // size_t, ptrdiff_t
#include <cstdint>      // integers of fixed width
#include <type_traits>  // checks at compile time

#include <mote/base/config.hpp>
#include <mote/base/result.hpp>
#include <mote/coroutine/frame_pool.hpp>
#include <mote/io/source.hpp>
#include <mote/reactor/loop.hpp>
#include <mote/reactor/reactor.hpp>

namespace mote {
inline namespace MOTE_NAMESPACE {
namespace detail {

// The kinds of arguments in which a pool can be found. A parameter may also refer to a type that is only declared, or
// to a function: such an argument is none of these.

// A pool itself.
template <class A>
concept IsFramePool = std::is_convertible_v<A&, FrameSource&>;
// A reactor, or an object of the user's: frame_pool() returns a pointer to a FrameSource or FramePool, or null.
template <class A>
concept HasFramePool = requires(A& argument) {
  { *argument.frame_pool() } -> std::convertible_to<FrameStore&>;
};
// A task, a source of io/, or an object of the user's.
template <class A>
concept HasReactor = requires(A& argument) {
  { argument.reactor() } -> std::convertible_to<Reactor&>;
};

template <class A, class = void> struct Argument {
  static constexpr bool is_source = false;
  static constexpr bool is_over_aligned = false;
};
template <class A> struct Argument<A, std::enable_if_t<sizeof(A) != 0 && std::is_object_v<A>>> {
  static constexpr bool is_source = std::is_base_of_v<Source, std::remove_cv_t<A>>;
  static constexpr bool is_over_aligned = (alignof(A) > FrameSource::alignment);
};

// Allocates and frees frames. A frame comes from the first argument that is a pool; if none is, from the default pool
// of the first argument that has one.
struct FrameAllocator {
  // The frame that was asked for last in this thread.
  struct Request {
    std::uint32_t size;  // in bytes
    int error;           // 0, or why there is no frame
  };

  // Returns null if there is no frame; last_request.error says why.
  template <class... A> static void* allocate(std::size_t size, std::size_t alignment, A&... arguments) {
    static_assert(((IsFramePool<A> || HasFramePool<A> || HasReactor<A>) || ...),
                  "pass a FramePool to the coroutine, or a Reactor, Task or open Source whose reactor has one");
    FrameSource* const source = find_source(arguments...);
    last_request = {static_cast<std::uint32_t>(size), ErrorAccess::stored(Reason::no_frame_pool)};
    if (source == nullptr || alignment > FrameSource::alignment) return nullptr;
    // A copy of that argument in the frame would be misaligned.
    if ((Argument<A>::is_over_aligned || ...)) return nullptr;
    const Result<void*> frame = source->allocate(size);
    last_request.error = frame ? 0 : ErrorAccess::stored(frame.error());
    return frame ? *frame : nullptr;
  }
  static void release(void* frame, std::size_t size) { FrameSource::owner(frame, size)->release(frame); }

  // Read when the Co is made, just afterwards: the compiler calls `operator new`, then get_return_object(), and passes
  // nothing from one to the other.
  static inline constinit thread_local Request last_request{};
 private:
  template <class... A> static FrameSource* find_source(A&... arguments) {
    if constexpr ((IsFramePool<A> || ...)) return first_pool(arguments...);
    else return first_default(arguments...);
  }
  // For arguments among which there is a pool.
  template <class First, class... Rest>
  static FrameSource* first_pool([[maybe_unused]] First& first, [[maybe_unused]] Rest&... rest) {
    if constexpr (IsFramePool<First>) return &static_cast<FrameSource&>(first);
    else return first_pool(rest...);
  }
  static FrameSource* first_default() { return nullptr; }
  template <class First, class... Rest> static FrameSource* first_default(First& first, Rest&... rest) {
    FrameSource* const source = default_of(first);
    return source != nullptr ? source : first_default(rest...);
  }
  template <class A> static FrameSource* default_of([[maybe_unused]] A& argument) {
    if constexpr (HasFramePool<A>) {
      auto* const pool = argument.frame_pool();
      return pool != nullptr ? &source_of(*pool) : nullptr;
    } else if constexpr (Argument<A>::is_source) {
      return argument.is_open() ? default_of(argument.reactor()) : nullptr;  // closed, it has no reactor
    } else if constexpr (HasReactor<A>) {
      auto&& reactor = argument.reactor();
      // A reactor of the user's may have a frame_pool() of its own.
      if constexpr (HasFramePool<std::remove_reference_t<decltype(reactor)>>) return default_of(reactor);
      else return default_of(static_cast<Reactor&>(reactor));
    } else {
      return nullptr;
    }
  }
  // Every FrameStore is a FrameSource.
  static FrameSource& source_of(FrameStore& store) { return static_cast<FrameSource&>(store); }
};

}  // namespace detail
}  // namespace MOTE_NAMESPACE
}  // namespace mote

#endif  // C++20

#endif  // MOTE_COROUTINE_FRAME_ALLOCATOR_HPP
