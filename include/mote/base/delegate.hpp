// SPDX-License-Identifier: MIT
// Copyright (c) 2026 The mote authors
// Delegate: a callback, as a function pointer and its context.
#ifndef MOTE_BASE_DELEGATE_HPP
#define MOTE_BASE_DELEGATE_HPP

#include <type_traits>  // checks at compile time

#include <mote/base/config.hpp>

namespace mote {
inline namespace MOTE_NAMESPACE {

template <class Signature> class Delegate;

// A function pointer and its context. It owns nothing: what it is bound to must outlive it. Calling an empty one is not
// allowed; ask with operator bool.
// Size on a 32-bit board: 8 bytes.
template <class R, class... A> class Delegate<R(A...)> {
 public:
  constexpr Delegate() = default;
  constexpr Delegate(R (*function)(void*, A...), void* context) : function_(function), context_(context) {}

  // Binds a callable object: a lambda that has a name, because it must live long enough, or any object with operator().
  template <class F,
            class = std::enable_if_t<std::is_invocable_r<R, F&, A...>::value &&
                                     !std::is_same<std::remove_cv_t<F>, Delegate>::value && std::is_class<F>::value>>
  constexpr Delegate(F& callable)
      : function_([](void* context, A... args) -> R { return (*static_cast<F*>(context))(static_cast<A&&>(args)...); }),
        context_(const_cast<std::remove_cv_t<F>*>(&callable)) {}

  // Binds a member function to an object: Delegate<void()>::of<&Lamp::blink>(lamp).
  template <auto Method, class T> static constexpr Delegate of(T& object) {
    return {
        [](void* context, A... args) -> R { return (static_cast<T*>(context)->*Method)(static_cast<A&&>(args)...); },
        &object};
  }

  // Binds a free function: Delegate<void()>::of<&blink>().
  template <auto F> static constexpr Delegate of() {
    return {[](void*, A... args) -> R { return F(static_cast<A&&>(args)...); }, nullptr};
  }

  [[gnu::always_inline]] R operator()(A... args) const { return function_(context_, static_cast<A&&>(args)...); }
  constexpr explicit operator bool() const { return function_ != nullptr; }
 private:
  R (*function_)(void*, A...) = nullptr;
  void* context_ = nullptr;
};

}  // namespace MOTE_NAMESPACE
}  // namespace mote

#endif  // MOTE_BASE_DELEGATE_HPP
