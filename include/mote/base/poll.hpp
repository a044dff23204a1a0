// SPDX-License-Identifier: MIT
// Copyright (c) 2026 The mote authors
// Poll: what one attempt at an operation returns, a value or "pending". (Not poll(2).)
#ifndef MOTE_BASE_POLL_HPP
#define MOTE_BASE_POLL_HPP

#include <type_traits>  // checks at compile time
#include <utility>      // move, forward, exchange

#include <mote/base/assert.hpp>
#include <mote/base/config.hpp>
#include <mote/base/error.hpp>
#include <mote/base/result.hpp>

namespace mote {
inline namespace MOTE_NAMESPACE {

// The operation has not completed, and the task has been noted as waiting for it. `pending` is what users return;
// detail::suspended is the same as an Error, inside of Poll<Result<T>>.
struct Pending {};
inline constexpr Pending pending{};

// Ready with a value, or pending. T must be default-constructible. Reading the value of a pending one trips
// MOTE_ASSERT. Size: that of T and of a bool.
template <class T> class [[nodiscard]] Poll {
 public:
  using value_type = T;
  constexpr Poll(Pending) : ready_(false) {}
  template <class U = T, class = std::enable_if_t<std::is_constructible<T, U&&>::value &&
                                                  !std::is_same<std::decay_t<U>, Poll>::value &&
                                                  !std::is_same<std::decay_t<U>, Pending>::value>>
  constexpr Poll(U&& value) : value_(std::forward<U>(value)), ready_(true) {}

  constexpr bool ready() const { return ready_; }
  constexpr T& operator*() {
    MOTE_ASSERT(ready_ && "a pending Poll has no value: test ready() first");
    return value_;
  }
  constexpr T* operator->() { return &**this; }
 private:
  T value_{};
  bool ready_;
};

namespace detail {

// `pending`, as an Error: an attempt that has noted the task as waiting returns it, and is made again. It never leaves
// the library.
inline constexpr Error suspended = ErrorAccess::error(stored_suspended);

}  // namespace detail

// The same for an operation that can fail. It is no larger than the Result: pending is an error of its own inside it.
template <class T> class [[nodiscard]] Poll<Result<T>> {
 public:
  using value_type = Result<T>;
  constexpr Poll(Pending) : value_(detail::suspended) {}
  template <class U, class = std::enable_if_t<std::is_constructible<Result<T>, U&&>::value &&
                                              !std::is_same<std::decay_t<U>, Poll>::value &&
                                              !std::is_same<std::decay_t<U>, Pending>::value>>
  constexpr Poll(U&& value) : value_(std::forward<U>(value)) {}
  template <class U, std::enable_if_t<std::is_arithmetic<std::decay_t<U>>::value &&
                                          !std::is_constructible<Result<T>, U&&>::value,
                                      bool> = true>
  constexpr Poll(U&&) = delete;  // write mote::Error(EIO) for an error, mote::value(5) for a value

  // As Result<T>::in_place(). Where `fill` returns detail::suspended, the Poll is pending.
  template <class Fill> static Poll in_place(Fill&& fill) { return Poll(InPlace(), fill); }
  template <class Fill> [[deprecated("renamed: in_place")]] static Poll filled_in(Fill&& fill) {
    return in_place(static_cast<Fill&&>(fill));
  }

  constexpr bool ready() const { return value_ || value_.error() != detail::suspended; }
  constexpr Result<T>& operator*() {
    MOTE_ASSERT(ready() && "a pending Poll has no value: test ready() first");
    return value_;
  }
  constexpr Result<T>* operator->() { return &**this; }
 private:
  struct InPlace {};
  template <class Fill> constexpr Poll(InPlace, Fill& fill) : value_(Result<T>::in_place(fill)) {}
  Result<T> value_;
};

}  // namespace MOTE_NAMESPACE
}  // namespace mote

#endif  // MOTE_BASE_POLL_HPP
