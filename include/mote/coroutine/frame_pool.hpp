// SPDX-License-Identifier: MIT
// Copyright (c) 2026 The mote authors
// The memory that coroutines keep their variables in. Which pool a coroutine takes: coroutine/frame_allocator.hpp.
#ifndef MOTE_COROUTINE_FRAME_POOL_HPP
#define MOTE_COROUTINE_FRAME_POOL_HPP

#if __cplusplus >= 202002L

#include <errno.h>  // errno and its names

#include <cstddef>  // size_t, ptrdiff_t
#include <cstdint>  // integers of fixed width
#include <new>      // placement new

#include <mote/base/config.hpp>
#include <mote/base/error.hpp>
#include <mote/base/pinned.hpp>
#include <mote/base/result.hpp>
#include <mote/reactor/loop.hpp>

namespace mote {
inline namespace MOTE_NAMESPACE {
namespace detail {
struct FrameAllocator;
}

// Where coroutines take their frames from: a FramePool, whatever its sizes. A coroutine that has a FrameSource& or a
// FramePool& among its parameters takes its frame there. It is asked by
// PromiseBase::operator new (promise.hpp) through FrameAllocator, which finds the pool.
//
// Frames lie at multiples of 64. Slots that were never used stay untouched; the slot that became free last is used
// first, since its memory is in the cache. Everything is O(1), except where or_else() leads on: O(sources in a row) for
// frames that the first cannot take. All-zero bits are a valid empty state.
class FrameSource : public detail::FrameStore, detail::Pinned {
 public:
  static constexpr std::size_t alignment = 64;

  constexpr FrameSource() = default;
  // Frames that are too large for this one, or for which it has no room, are taken from another, which must outlive it.
  void or_else(FrameSource& other) { next_ = &other; }

  std::uint32_t size() const { return used_; }        // frames in use
  std::uint32_t high_water() const { return high_; }  // the most there have been at a time
  std::size_t largest() const { return largest_; }    // bytes of the largest frame asked for, refused ones included
  std::uint32_t refused() const { return refused_; }  // frames that had no room here, even if another source had
 private:
  template <std::size_t Bytes, std::size_t N> friend class FramePool;
  friend struct detail::FrameAllocator;

  // What a slot holds while it is free.
  struct Free {
    Free* next;
  };

  // Behind the frame lies the source that it came from, so that release() finds the source. The compiler passes the
  // frame's size when it frees the frame.
  static FrameSource*& owner(void* frame, std::size_t size) {
    constexpr std::size_t unit = alignof(FrameSource*);
    const std::size_t offset = (size + unit - 1) / unit * unit;
    return *static_cast<FrameSource**>(static_cast<void*>(static_cast<unsigned char*>(frame) + offset));
  }
  void set_storage(unsigned char* storage, std::size_t stride, std::size_t bytes, std::uint32_t capacity) {
    slots_ = storage;
    stride_ = stride;
    bytes_ = bytes;
    capacity_ = capacity;
  }
  // Errors:
  //   EMSGSIZE  the frame is too large for each of the sources.
  //   ENOBUFS   a source that it would fit into has no room.
  Result<void*> allocate(std::size_t size) {
    detail::Reason refusal = detail::Reason::frame_too_large;
    for (FrameSource* source = this; source != nullptr; source = source->next_) {
      if (size > source->largest_) source->largest_ = size;
      const bool fits = size <= source->bytes_;
      void* const frame = fits ? source->take() : nullptr;
      if (frame != nullptr) {
        owner(frame, size) = source;
        return frame;
      }
      if (fits) refusal = detail::Reason::frame_pool_full;
      ++source->refused_;
    }
    return Error(refusal);
  }
  // Returns a slot, or null: all are in use.
  void* take() {
    void* frame = free_;
    if (free_ != nullptr) {
      free_ = free_->next;
    } else {
      if (fresh_ == capacity_) return nullptr;
      frame = slots_ + std::size_t{fresh_} * stride_;
      ++fresh_;
    }
    ++used_;
    if (used_ > high_) high_ = used_;
    return frame;
  }
  void release(void* frame) {
    free_ = ::new (frame) Free{free_};
    --used_;
  }

  unsigned char* slots_ = nullptr;
  Free* free_ = nullptr;         // slots that have been used and are free
  FrameSource* next_ = nullptr;  // see or_else()
  std::size_t bytes_ = 0;        // of the largest frame that a slot can hold
  std::size_t stride_ = 0;       // from one slot to the next, in bytes
  std::size_t largest_ = 0;
  std::uint32_t capacity_ = 0;
  std::uint32_t fresh_ = 0;  // slots from this one on have never been used
  std::uint32_t used_ = 0;
  std::uint32_t high_ = 0;
  std::uint32_t refused_ = 0;
};

// Room for N coroutine frames of up to `Bytes` bytes each. Only the compiler knows how many bytes a coroutine needs:
// see Co::frame_size() and largest(). It must outlive its coroutines.
// Size: N * (Bytes + a pointer, rounded up to a multiple of 64), and 64 bytes.
template <std::size_t Bytes, std::size_t N> class FramePool {
  static_assert(Bytes >= 16 && N >= 1 && N < (1u << 24), "room for one frame at least");
 public:
  constexpr FramePool() = default;

  operator FrameSource&() { return source(); }
  // The pool as coroutines and reactors use it. The slots are set here and not in the constructor, so that a pool in
  // static storage is all-zero at first, and lies in .bss.
  FrameSource& source() {
    source_.set_storage(&slots_[0].bytes[0], sizeof(Slot), Bytes, N);
    return source_;
  }
  // These do the same as FrameSource's.
  void or_else(FrameSource& other) { source_.or_else(other); }
  std::uint32_t size() const { return source_.size(); }
  std::uint32_t high_water() const { return source_.high_water(); }
  std::size_t largest() const { return source_.largest(); }
  std::uint32_t refused() const { return source_.refused(); }
  static constexpr std::uint32_t capacity() { return N; }
 private:
  static constexpr std::size_t pointer_size = sizeof(void*);
  // A frame, and behind it the source that it came from: see FrameSource::owner().
  struct alignas(FrameSource::alignment) Slot {
    unsigned char bytes[(Bytes + pointer_size - 1) / pointer_size * pointer_size + pointer_size];
  };

  FrameSource source_;
  Slot slots_[N] = {};
};

}  // namespace MOTE_NAMESPACE
}  // namespace mote

#endif  // C++20

#endif  // MOTE_COROUTINE_FRAME_POOL_HPP
