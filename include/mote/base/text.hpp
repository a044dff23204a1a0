// SPDX-License-Identifier: MIT
// Copyright (c) 2026 The mote authors
// A line of text in a buffer of its own.
#ifndef MOTE_BASE_TEXT_HPP
#define MOTE_BASE_TEXT_HPP

#include <string.h>  // memory and strings

#include <cstddef>  // size_t, ptrdiff_t
#include <cstdint>  // integers of fixed width

#include <mote/base/config.hpp>

namespace mote {
inline namespace MOTE_NAMESPACE {

namespace detail {
// A path without its folders.
inline const char* file_name(const char* path) {
  const char* const slash = ::strrchr(path, '/');
  return slash != nullptr ? slash + 1 : path;
}
}  // namespace detail

// A line of text in a buffer of its own, with a NUL at its end: what describes a task or an error. What does not fit is
// left out. It uses neither the heap nor the locale, so it can be made in any context.
// Size: 384 bytes.
class Text {
 public:
  static constexpr std::size_t capacity = 379;  // characters, without the NUL

  Text() = default;

  const char* c_str() const { return characters_; }
  std::size_t size() const { return size_; }

  // Each returns the text itself, so that calls can be chained. O(what is added).
  Text& add(const char* string) { return add(string, ::strlen(string)); }
  Text& add(const char* string, std::size_t length) {
    const std::size_t room = capacity - size_;
    const std::size_t fitting = length < room ? length : room;
    ::memcpy(characters_ + size_, string, fitting);
    size_ += static_cast<std::uint32_t>(fitting);
    characters_[size_] = '\0';
    return *this;
  }
  Text& add_number(std::uint32_t number) {
    char digits[10];
    std::size_t first = sizeof digits;
    do {
      --first;
      digits[first] = static_cast<char>('0' + number % 10);
      number /= 10;
    } while (number != 0);
    return add(digits + first, sizeof digits - first);
  }
  // "echo.cpp:31", of a path as the compiler gives it. Without a file (null): "line 31".
  Text& add_place(const char* file, std::uint32_t line) {
    if (file == nullptr) return add("line ").add_number(line);
    return add(detail::file_name(file)).add(":").add_number(line);
  }
 private:
  std::uint32_t size_ = 0;
  char characters_[capacity + 1] = {};
};

}  // namespace MOTE_NAMESPACE
}  // namespace mote

#endif  // MOTE_BASE_TEXT_HPP
