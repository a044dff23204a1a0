// SPDX-License-Identifier: MIT
// Copyright (c) 2026 The mote authors
// Result: what a call returns that can fail, a value or an error.
#ifndef MOTE_BASE_RESULT_HPP
#define MOTE_BASE_RESULT_HPP

#include <errno.h>  // errno and its names

#include <type_traits>  // checks at compile time
#include <utility>      // move, forward, exchange

#include <mote/base/assert.hpp>
#include <mote/base/config.hpp>
#include <mote/base/error.hpp>

namespace mote {
inline namespace MOTE_NAMESPACE {

namespace detail {
struct Assignment;
}

// A value, or the error that explains why there is none. T must be default-constructible, because a failed Result holds
// one as well. At first it holds the error EAGAIN. Reading the value of a failed Result trips MOTE_ASSERT.
// Size: that of T and of an int.
template <class T> class [[nodiscard]] Result {
 public:
  constexpr Result() = default;
  constexpr Result(Error error) : error_(error.code()) {
    MOTE_ASSERT(error_ != 0 && "0 is no error: return a value, or {} for a Result<void>");
  }
  template <class U = T, class = std::enable_if_t<std::is_constructible<T, U&&>::value &&
                                                  !std::is_same<std::decay_t<U>, Error>::value &&
                                                  !std::is_same<std::decay_t<U>, Result>::value>>
  constexpr Result(U&& value) : value_(std::forward<U>(value)), error_(0) {}

  constexpr explicit operator bool() const { return error_ == 0; }
  constexpr Error error() const { return error_; }  // only of a failed Result

  constexpr T& operator*() & {
    MOTE_ASSERT(error_ == 0 && "a failed Result has no value: test it first, its error() says why");
    return value_;
  }
  constexpr const T& operator*() const& {
    MOTE_ASSERT(error_ == 0 && "a failed Result has no value: test it first, its error() says why");
    return value_;
  }
  constexpr T&& operator*() && {
    MOTE_ASSERT(error_ == 0 && "a failed Result has no value: test it first, its error() says why");
    return static_cast<T&&>(value_);
  }
  constexpr T* operator->() { return &**this; }
  constexpr const T* operator->() const { return &**this; }

  // Makes a Result whose value is written where it is going to stay, so that a large one is not moved.
  // `fill(T& value)` writes it and returns a Result<void> that says how that went.
  template <class Fill> static Result in_place(Fill&& fill) {
    Result result;
    const auto filled = fill(result.value_);
    result.error_ = filled ? 0 : filled.error().code();
    return result;
  }
  template <class Fill> [[deprecated("renamed: in_place")]] static Result filled_in(Fill&& fill) {
    return in_place(static_cast<Fill&&>(fill));
  }
 private:
  friend struct detail::Assignment;
  T value_{};
  int error_ = EAGAIN;
};

// Success, or an error. At first it is success.
template <> class [[nodiscard]] Result<void> {
 public:
  constexpr Result() : error_(0) {}
  constexpr Result(Error error) : error_(error.code()) {
    MOTE_ASSERT(error_ != 0 && "0 is no error: return a value, or {} for a Result<void>");
  }

  constexpr explicit operator bool() const { return error_ == 0; }
  constexpr Error error() const { return error_; }
 private:
  int error_;
};

// A reference to an object that lives elsewhere, or the error that explains why there is none.
template <class T> class [[nodiscard]] Result<T&> {
 public:
  constexpr Result() = default;
  constexpr Result(Error error) : error_(error.code()) {
    MOTE_ASSERT(error_ != 0 && "0 is no error: return a value, or {} for a Result<void>");
  }
  constexpr Result(T& value) : value_(&value), error_(0) {}

  constexpr explicit operator bool() const { return error_ == 0; }
  constexpr Error error() const { return error_; }  // only of a failed Result

  constexpr T& operator*() const {
    MOTE_ASSERT(error_ == 0 && "a failed Result has no value: test it first, its error() says why");
    return *value_;
  }
  constexpr T* operator->() const { return &**this; }
 private:
  T* value_ = nullptr;
  int error_ = EAGAIN;
};

namespace detail {

// Assigns what an operation has returned to the variable of the await. A Result is assigned member by member: moved as
// a whole, g++ takes it through the stack.
struct Assignment {
  template <class To, class From> static void make(To&& to, From& from) { to = static_cast<From&&>(from); }

  template <class T, class = std::enable_if_t<std::is_object<T>::value && std::is_move_assignable<T>::value>>
  [[gnu::always_inline]] static void make(Result<T>& to, Result<T>& from) {
    to.value_ = static_cast<T&&>(from.value_);
    to.error_ = from.error_;
  }
};

}  // namespace detail

}  // namespace MOTE_NAMESPACE
}  // namespace mote

#endif  // MOTE_BASE_RESULT_HPP
