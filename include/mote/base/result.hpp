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

// What mote::value() makes. T may be a reference: for a value that is moved into the Result at once.
template <class T> struct Value { T value; };

// Whether every U is a T as well: neither a sign, nor a digit, nor a fraction is lost.
template <class T, class U, class = void> struct IsNumberWithin : std::false_type {};
template <class T, class U>
struct IsNumberWithin<T, U, std::void_t<decltype(T{std::declval<U>()})>> : std::true_type {};

// Whether a U is taken as the value of a Result<T>.
template <class T, class U>
inline constexpr bool is_value_of =
    std::conjunction_v<std::is_convertible<U, T>, std::disjunction<std::negation<std::is_arithmetic<T>>,
                                                                   std::negation<std::is_arithmetic<std::decay_t<U>>>,
                                                                   IsNumberWithin<T, std::decay_t<U>>>>;

// Whether it is a number that says neither that it is a value nor that it is an error. The names of errno are ints.
template <class T, class U>
inline constexpr bool is_ambiguous = std::is_arithmetic<std::decay_t<U>>::value &&
                                     (std::is_same<std::decay_t<U>, int>::value || !is_value_of<T, U>);

}  // namespace detail

// A value for a Result or a Poll, said to be one: `return mote::value(5);` where an int alone could be an errno value.
template <class T> constexpr detail::Value<std::decay_t<T>> value(T&& given) { return {std::forward<T>(given)}; }

// A value, or the error that explains why there is none. T must be default-constructible, because a failed Result holds
// one as well. At first it holds the error EAGAIN. Reading the value of a failed Result trips MOTE_ASSERT.
//
// It is made of an Error or of a value, but not of an int, which may be either: `return EIO;` does not compile.
//   return mote::Error(EIO);   // the error
//   return mote::value(5);     // the value of a Result<int>
//   return std::size_t{5};     // any other type says itself that it is a value
// Nor is a number taken that may lose its sign or a part of it: an ssize_t for a Result<std::size_t>.
// Size: that of T and of an int.
template <class T> class [[nodiscard]] Result {
 public:
  constexpr Result() = default;
  constexpr Result(Error error) : error_(detail::ErrorAccess::stored(error)) {
    MOTE_ASSERT(error_ != 0 && "0 is no error: return a value, or {} for a Result<void>");
  }
  template <class U = T, class = std::enable_if_t<!detail::is_ambiguous<T, U&&> && detail::is_value_of<T, U&&> &&
                                                  !std::is_same<std::decay_t<U>, Error>::value &&
                                                  !std::is_same<std::decay_t<U>, Result>::value>>
  constexpr Result(U&& given) : value_(static_cast<T>(std::forward<U>(given))), error_(0) {}
  template <class U, class = std::enable_if_t<detail::is_value_of<T, U&&>>>
  constexpr Result(detail::Value<U>&& given) : value_(static_cast<T>(static_cast<U&&>(given.value))), error_(0) {}
  // Compilers show this line. (Not a default type argument: it would be the template above, declared again.)
  template <class U, std::enable_if_t<detail::is_ambiguous<T, U&&>, bool> = true>
  constexpr Result(U&&) = delete;  // write mote::Error(EIO) for an error, mote::value(5) for a value

  constexpr explicit operator bool() const { return error_ == 0; }
  constexpr Error error() const { return detail::ErrorAccess::error(error_); }  // only of a failed Result

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
    result.error_ = filled ? 0 : detail::ErrorAccess::stored(filled.error());
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
  constexpr Result(Error error) : error_(detail::ErrorAccess::stored(error)) {
    MOTE_ASSERT(error_ != 0 && "0 is no error: return a value, or {} for a Result<void>");
  }
  template <class U, std::enable_if_t<std::is_arithmetic<std::decay_t<U>>::value, bool> = true>
  constexpr Result(U&&) = delete;  // write mote::Error(EIO)

  constexpr explicit operator bool() const { return error_ == 0; }
  constexpr Error error() const { return detail::ErrorAccess::error(error_); }
 private:
  int error_;
};

// A reference to an object that lives elsewhere, or the error that explains why there is none.
template <class T> class [[nodiscard]] Result<T&> {
 public:
  constexpr Result() = default;
  constexpr Result(Error error) : error_(detail::ErrorAccess::stored(error)) {
    MOTE_ASSERT(error_ != 0 && "0 is no error: return a value, or {} for a Result<void>");
  }
  constexpr Result(T& value) : value_(&value), error_(0) {}
  // A number that is no T itself: an errno value, or what would be referred to no longer than this call.
  template <class U, std::enable_if_t<std::is_arithmetic<std::decay_t<U>>::value &&
                                          !(std::is_lvalue_reference<U>::value &&
                                            std::is_convertible<std::remove_reference_t<U>*, T*>::value),
                                      bool> = true>
  constexpr Result(U&&) = delete;  // write mote::Error(EIO)

  constexpr explicit operator bool() const { return error_ == 0; }
  constexpr Error error() const { return detail::ErrorAccess::error(error_); }  // only of a failed Result

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
