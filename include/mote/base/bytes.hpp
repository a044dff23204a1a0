// SPDX-License-Identifier: MIT
// Copyright (c) 2026 The mote authors
// Views of bytes that they do not own: ByteView to read them, ByteSpan to write them.
#ifndef MOTE_BASE_BYTES_HPP
#define MOTE_BASE_BYTES_HPP

#include <string.h>  // memory and strings

#include <cstddef>      // size_t, ptrdiff_t
#include <type_traits>  // checks at compile time
#include <utility>      // move, forward, exchange

#include <mote/base/assert.hpp>
#include <mote/base/config.hpp>

namespace mote {
inline namespace MOTE_NAMESPACE {

// A pointer and a size, not owning. Constructible from a pointer and a size, or from an array or container of one-byte
// elements. A string literal is such an array, its NUL included: use bytes_of() for the text alone.
// Size on a 32-bit board: 8 bytes.
template <class Byte> class BasicBytes {
  using Void = std::conditional_t<std::is_const<Byte>::value, const void, void>;
 public:
  constexpr BasicBytes() = default;
  constexpr BasicBytes(Void* data, std::size_t size) : data_(static_cast<Byte*>(data)), size_(size) {}
  template <class T, std::size_t N, class = std::enable_if_t<sizeof(T) == 1 && std::is_convertible<T*, Void*>::value>>
  constexpr BasicBytes(T (&array)[N]) : BasicBytes(static_cast<Void*>(array), N) {}
  template <class C, class T = std::remove_pointer_t<decltype(std::declval<C&>().data())>,
            class = std::enable_if_t<sizeof(T) == 1 && std::is_convertible<T*, Void*>::value &&
                                     !std::is_same<std::decay_t<C>, BasicBytes>::value>>
  constexpr BasicBytes(C&& container) : BasicBytes(container.data(), container.size()) {}

  constexpr Byte* data() const { return data_; }
  constexpr std::size_t size() const { return size_; }
  constexpr bool empty() const { return size_ == 0; }
  constexpr Byte& operator[](std::size_t i) const {
    MOTE_ASSERT(i < size_ && "an index past the end of a ByteView or ByteSpan: compare it with size()");
    return data_[i];
  }
  constexpr Byte* begin() const { return data_; }
  constexpr Byte* end() const { return data_ + size_; }

  // Drops the first n bytes from the view; no byte is moved.
  void drop_front(std::size_t n) {
    MOTE_ASSERT(n <= size_ && "drop_front() of more bytes than there are: compare with size()");
    data_ += n;
    size_ -= n;
  }
 private:
  Byte* data_ = nullptr;
  std::size_t size_ = 0;
};

using ByteView = BasicBytes<const unsigned char>;
using ByteSpan = BasicBytes<unsigned char>;

// The bytes of a string, without the NUL at its end. O(its length).
inline ByteView bytes_of(const char* string) { return {string, ::strlen(string)}; }
[[deprecated("renamed: mote::bytes_of")]] inline ByteView text(const char* string) { return bytes_of(string); }

}  // namespace MOTE_NAMESPACE
}  // namespace mote

#endif  // MOTE_BASE_BYTES_HPP
