// SPDX-License-Identifier: MIT
// Copyright (c) 2026 The mote authors
// Delegate: a callback, as a function pointer and its context.
#ifndef MOTE_BASE_DELEGATE_HPP
#define MOTE_BASE_DELEGATE_HPP

#include <type_traits>  // checks at compile time
#include <utility>      // move, forward, exchange

#include <mote/base/config.hpp>

namespace mote {
inline namespace MOTE_NAMESPACE {

template <class Signature> class Delegate;

namespace detail {

// The plain function that a callable object is in truth, as a lambda without captures is: a pointer to it, or void.
template <class F, class R, class... A>
inline constexpr bool is_plain_as = std::conjunction_v<std::is_empty<F>, std::is_convertible<F, R (*)(A...)>>;
// Of a generic lambda, whose pointer returns what the lambda makes of these arguments.
template <class F, class Signature, class = void> struct GenericFunction { using Type = void; };
template <class F, class R, class... A>
struct GenericFunction<
    F, R(A...),
    std::enable_if_t<std::is_invocable_r<R, F&, A...>::value && is_plain_as<F, std::invoke_result_t<F&, A...>, A...>>> {
  using Type = std::invoke_result_t<F&, A...> (*)(A...);
};
template <class F, class Signature, class = void> struct PlainFunction : GenericFunction<F, Signature> {};
template <class F, class R, class... A> struct PlainFunction<F, R(A...), std::enable_if_t<is_plain_as<F, R, A...>>> {
  using Type = R (*)(A...);
};
// One that takes or returns something else, which converts.
template <class F, class R, class... A>
struct PlainFunction<
    F, R(A...),
    std::enable_if_t<std::is_empty<F>::value && !is_plain_as<F, R, A...>, std::void_t<decltype(+std::declval<F&>())>>> {
  using Pointer = decltype(+std::declval<F&>());
  using Type = std::conditional_t<std::is_invocable_r<R, Pointer, A...>::value, Pointer, void>;
};

}  // namespace detail

// A function pointer and its context. It owns nothing: what it is bound to must outlive it. Calling an empty one is not
// allowed; ask with operator bool.
//   timer.arm(reactor, 1s, tick);                     a plain function
//   timer.arm(reactor, 1s, [] { ++seconds; });        a lambda without captures
//   timer.arm(reactor, 1s, count);                    any other lambda or object: it has a name, and lives long enough
//   timer.arm(reactor, 1s, mote::Timer::Callback::of<&Lamp::blink>(lamp));    a member function and its object
// Where the delegate returns nothing, what they return is dropped.
// Size on a 32-bit board: 8 bytes. A call is one through a pointer; of a plain function and a lambda without captures
// it is two, unless they are bound by of().
template <class R, class... A> class Delegate<R(A...)> {
  template <class F>
  static constexpr bool is_callable =
      std::conjunction_v<std::is_class<F>, std::negation<std::is_same<std::remove_cv_t<F>, Delegate>>,
                         std::is_invocable_r<R, F&, A...>>;
  template <class F> using Plain = typename detail::PlainFunction<std::decay_t<F>, R(A...)>::Type;
  template <class F> static constexpr bool is_plain = !std::is_void<Plain<F>>::value;
 public:
  constexpr Delegate() = default;
  constexpr Delegate(R (*function)(void*, A...), void* context) : function_(function), context_(context) {}

  // Binds a plain function. Null: the delegate is empty.
  template <class F, class = std::enable_if_t<std::is_function<F>::value && std::is_invocable_r<R, F*, A...>::value>>
  Delegate(F* function)
      : function_(function != nullptr ? &call_plain<F> : nullptr), context_(reinterpret_cast<void*>(function)) {}
  // Binds a lambda without captures, which may be a temporary.
  template <class F, class = std::enable_if_t<std::is_class<std::remove_reference_t<F>>::value && is_plain<F>>>
  Delegate(F&& function) : Delegate(static_cast<Plain<F>>(function)) {}
  // Binds a callable object: a lambda that has a name, because it must live long enough, or any object with operator().
  template <class F, class = std::enable_if_t<is_callable<F> && !is_plain<F>>>
  constexpr Delegate(F& callable) : function_(&call_object<F>), context_(const_cast<std::remove_cv_t<F>*>(&callable)) {}
  template <class F, class = std::enable_if_t<!std::is_lvalue_reference<F>::value && is_callable<F> && !is_plain<F>>,
            int = 0>
  Delegate(F&&) = delete;  // a temporary would dangle: give the lambda a name, and let it live on

  // Binds a member function to an object: Delegate<void()>::of<&Lamp::blink>(lamp).
  template <auto Method, class T> static constexpr Delegate of(T& object) { return {&call_member<Method, T>, &object}; }

  // Binds a free function: Delegate<void()>::of<&blink>().
  template <auto Function> static constexpr Delegate of() { return {&call_known<Function>, nullptr}; }

  [[gnu::always_inline]] R operator()(A... args) const { return function_(context_, static_cast<A&&>(args)...); }
  constexpr explicit operator bool() const { return function_ != nullptr; }
 private:
  template <class F> static R call_plain(void* function, A... args) {
    return static_cast<R>(reinterpret_cast<F*>(function)(static_cast<A&&>(args)...));
  }
  // What they return is dropped where the delegate returns nothing.
  template <class F> static R call_object(void* context, A... args) {
    F& callable = *static_cast<F*>(context);
    if constexpr (std::is_void<R>::value) static_cast<void>(callable(static_cast<A&&>(args)...));
    else return callable(static_cast<A&&>(args)...);
  }
  template <auto Method, class T> static R call_member(void* context, A... args) {
    T& object = *static_cast<T*>(context);
    if constexpr (std::is_void<R>::value) static_cast<void>((object.*Method)(static_cast<A&&>(args)...));
    else return (object.*Method)(static_cast<A&&>(args)...);
  }
  template <auto Function> static R call_known(void* /*context*/, A... args) {
    if constexpr (std::is_void<R>::value) static_cast<void>(Function(static_cast<A&&>(args)...));
    else return Function(static_cast<A&&>(args)...);
  }

  R (*function_)(void*, A...) = nullptr;
  void* context_ = nullptr;
};

}  // namespace MOTE_NAMESPACE
}  // namespace mote

#endif  // MOTE_BASE_DELEGATE_HPP
