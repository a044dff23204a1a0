// SPDX-License-Identifier: MIT
// Copyright (c) 2026 The mote authors
// Co: what a coroutine returns to its caller.
#ifndef MOTE_COROUTINE_CO_HPP
#define MOTE_COROUTINE_CO_HPP

#if __cplusplus >= 202002L

#include <errno.h>  // errno and its names

#include <coroutine>    // coroutine_handle, suspend_always
#include <cstddef>      // size_t, ptrdiff_t
#include <cstdint>      // integers of fixed width
#include <new>          // placement new
#include <type_traits>  // checks at compile time
#include <utility>      // move, forward, exchange

#include <mote/base/config.hpp>
#include <mote/base/error.hpp>
#include <mote/base/poll.hpp>
#include <mote/base/result.hpp>
#include <mote/coroutine/chain.hpp>
#include <mote/coroutine/frame_allocator.hpp>
#include <mote/coroutine/promise.hpp>
#include <mote/task/poll_context.hpp>
#include <mote/task/step.hpp>
#include <mote/task/task.hpp>

namespace mote {
inline namespace MOTE_NAMESPACE {
template <class T> class Co;

namespace detail {
template <class T> struct Promise;
struct CoAccess;

// Awaiting a Co<T> returns a Result of this type: a Co<Result<T>> is awaited like a Co<T>.
template <class T> struct Unwrapped { using Type = T; };
template <class T> struct Unwrapped<Result<T>> { using Type = T; };

// The content of a Co: owns the coroutine's frame, or knows why there is none.
template <class T> struct CoFrame {
  using Handle = std::coroutine_handle<Promise<T>>;
  using Value = typename Unwrapped<T>::Type;

  explicit CoFrame(Handle frame) : handle(frame), size(FrameAllocator::last_request.size) {}
  explicit CoFrame(Error why_none) : error(why_none), size(FrameAllocator::last_request.size) {}
  CoFrame(CoFrame&& other) noexcept : handle(other.release()), error(other.error), size(other.size) {}
  CoFrame& operator=(CoFrame&& other) noexcept {
    if (this == &other) return *this;
    destroy();
    handle = other.release();
    error = other.error;
    size = other.size;
    return *this;
  }
  ~CoFrame() { destroy(); }

  // Only where there is a frame:
  Promise<T>& promise() const { return handle.promise(); }
  bool is_awaited() const { return promise().chain != &promise().own; }  // by another coroutine
  bool is_begun() const { return promise().own.is_begun(); }             // as an operation, or as a task
  // Takes what the coroutine, which has ended, returned; and destroys its frame.
  Result<Value> take_result() {
    Result<Value> result = std::move(promise().result);
    destroy();
    return result;
  }

  // With or without a frame: hands it over to another owner, or destroys it.
  Handle release() { return std::exchange(handle, nullptr); }
  void destroy() {
    if (handle != nullptr) release().destroy();
  }

  Handle handle;
  Error error = EINVAL;    // why there is no frame. EINVAL where there was one: the coroutine has ended
  std::uint32_t size = 0;  // of the frame, in bytes
};

}  // namespace detail

// A coroutine. It begins when it is first stepped: awaited by another (`co_await child()`), spawned as a task of its
// own (CoroutinePool), or made a part of a combinator or of MOTE_AWAIT, for which it is an operation. Nothing here
// throws. It can be destroyed at any point: it then leaves everything that it waits for. As an operation it may be
// polled by one task after another, also while the task before lives. It then goes on with what it waits for: its place
// in a line, the deadline of its sleep or time limit, its connection that is in progress, and an answer that has come
// and was not taken. Nothing of that stays in the task before, but for a tick() that it does not wait for just then:
// see TaskTimer. (Between tasks of two reactors a sleep begins anew. Of a close nobody is told, if the task before
// ended after it.) The pools of these tasks outlive it.
//
// An await returns a Result<T>: what the coroutine returned. To await a coroutine is a call, not an operation: it does
// not end the step. But an await that fails because it cannot be called (ENOBUFS, EBUSY and the like, see below) is
// charged as an operation, and so are MOTE_AWAIT and the combinators. A Co<T> may `co_return` an Error
// (mote::Error(EIO), not EIO) as well as a T, so Co<Result<T>> is the same. Co<void> cannot fail; Co<Result<void>> can.
// Errors of an await, besides those that the coroutine returns:
//   ENOBUFS           the frame pool is full. Wait, or make it larger: see FramePool::high_water().
//   EMSGSIZE          the frame is too large for the pool: see frame_size().
//   EINVAL            an argument is over-aligned, there is no pool to take the frame from, or it has ended already.
//   EBUSY             another coroutine awaits it.
//   ENOTRECOVERABLE   an exception left it.
// On a 32-bit board the frame of an empty coroutine has 60 to 72 bytes, to which each await adds its operation.
// Size on a 32-bit board: 12 bytes.
template <class T> class [[nodiscard]] Co : detail::CoFrame<T> {
  using Frame = detail::CoFrame<T>;
 public:
  using promise_type = detail::Promise<T>;
  using ChargesItself = void;  // by what it awaits; where it awaits nothing, see poll()
  using Value = typename Frame::Value;

  Co(Co&& other) noexcept = default;
  Co& operator=(Co&& other) noexcept = default;

  explicit operator bool() const { return Frame::handle != nullptr; }  // whether it has a frame
  Error error() const { return Frame::error; }                         // why it has none
  std::size_t frame_size() const { return Frame::size; }  // in bytes, of the frame it has or would have needed
  // One attempt, as an operation: runs the coroutine until it has ended, or waits. It takes at least one operation from
  // the task's budget, also where the coroutine awaits nothing. Errors: those of an await, see above.
  Poll<Result<Value>> poll(Task& task) {
    const PollContext context(task);
    if (Frame::handle == nullptr) return context.fail(Frame::error);
    const bool has_ended = Frame::handle.done();
    if (has_ended || Frame::is_awaited())
      return context.fail(
          Error(has_ended ? detail::Reason::coroutine_has_ended : detail::Reason::coroutine_is_awaited));
    detail::Chain& chain = Frame::promise().own;
    if (!chain.is_begun()) {
      Error refusal;
      if (!context.may_complete(refusal)) return refusal;
      chain.next = Frame::handle;
    }
    const std::int32_t budget = context.budget();
    if (!chain.poll(task)) return pending;
    const bool is_charged = context.budget() < budget;
    if (!is_charged) static_cast<void>(context.consume_budget());
    return Frame::take_result();
  }
 private:
  friend struct detail::CoAccess;
  explicit Co(typename Frame::Handle frame) : Frame(frame) {}
  explicit Co(Error why_none) : Frame(why_none) {}
};

namespace detail {

// For the library: makes a Co, and returns the frame of one.
struct CoAccess {
  template <class T> static CoFrame<T>& frame(Co<T>& co) { return co; }
  template <class T> static Co<T> make(typename CoFrame<T>::Handle frame) { return Co<T>(frame); }
  template <class T> static Co<T> make(Error why_none) { return Co<T>(why_none); }
};

// What co_await makes of a Co. A coroutine that has not begun becomes part of the chain of the coroutine that awaits
// it, so that to await it is only to resume it. One that has begun, as an operation, has a chain of its own, and is
// awaited as an operation. One that cannot be awaited fails at once, which is charged as an operation: a coroutine that
// tries again until there is a frame does not keep other tasks from their turn.
template <class T> struct CoAwaiter : Awaiter {
  using R = Result<typename CoFrame<T>::Value>;

  CoAwaiter(Chain& part_of, Co<T>& co, std::uint32_t where)
      : Awaiter(part_of), awaited_(CoAccess::frame(co)), name_(chain.name), line_(where) {}
  // When the frame that awaits is destroyed, so is the coroutine that is awaited, wherever its Co lies: the chain that
  // it is part of is destroyed, too.
  ~CoAwaiter() {
    leave();
    if (state_ == State::waits) awaited_.destroy();
  }

  bool await_ready() {
    if (awaited_.handle == nullptr || awaited_.is_awaited()) return fail(*this, *chain.current_task);
    return awaited_.is_begun() && poll_chain(*this, *chain.current_task);
  }
  void await_suspend(std::coroutine_handle<> waiting) {
    if (state_ != State::idle) return wait(waiting, &fail);
    state_ = State::waits;
    if (awaited_.is_begun()) return wait(waiting, &poll_chain);
    PromiseBase& promise = awaited_.promise();
    promise.chain = &chain;
    promise.awaited_by = waiting;
    chain.next = awaited_.handle;
    chain.name = promise.own.name;
  }
  R await_resume() {
    const State state = std::exchange(state_, State::idle);
    chain.name = name_;
    chain.line = line_;
    if (state > State::waits || awaited_.handle == nullptr) return why_it_fails(state);
    return awaited_.take_result();
  }
 private:
  // Those behind `waits` say why it fails.
  enum class State : std::uint8_t { idle, waits, has_no_frame, is_awaited_by_another, is_cancelled };

  // One attempt at an await that fails, whichever way. Returns whether the task may go on with that.
  [[gnu::cold, gnu::noinline]] static bool fail(Awaiter& self, Task& task) {
    CoAwaiter& awaiter = static_cast<CoAwaiter&>(self);
    const PollContext context(task);
    if (awaiter.state_ == State::idle)
      awaiter.state_ = awaiter.awaited_.handle == nullptr ? State::has_no_frame : State::is_awaited_by_another;
    const Error answer = context.fail(Error(EINVAL));  // whichever: await_resume() returns the real one
    if (answer == ECANCELED && !context.is_abandoning()) awaiter.state_ = State::is_cancelled;
    return answer != suspended;
  }
  [[gnu::cold, gnu::noinline]] Error why_it_fails(State state) const {
    if (state == State::is_awaited_by_another) return Error(Reason::coroutine_is_awaited);
    if (state == State::is_cancelled) return Error(ECANCELED);
    return awaited_.error;
  }
  static bool poll_chain(Awaiter& self, Task& task) {
    Chain& begun = static_cast<CoAwaiter&>(self).awaited_.promise().own;
    const bool ended = begun.poll(task);
    self.chain.name = begun.name;
    self.chain.line = begun.line;
    return ended;
  }

  CoFrame<T>& awaited_;
  const char* name_;    // of the function that awaits: the chain's name before the awaited coroutine was resumed
  std::uint32_t line_;  // where it awaits
  State state_ = State::idle;
};
template <class T> struct AwaiterFor<Co<T>> { using Type = CoAwaiter<T>; };

template <class T> struct PromiseOf : PromiseBase {
  using Value = typename Unwrapped<T>::Type;

  Co<T> get_return_object() noexcept {
    auto* promise = static_cast<Promise<T>*>(this);
    // Hides from the compiler where the promise comes from. Otherwise clang sees that some frames do not outlive their
    // caller, and puts them into the caller's frame: they would not come from the pool, and it would not know their
    // sizes.
    asm("" : "+r"(promise));
    return CoAccess::make<T>(std::coroutine_handle<Promise<T>>::from_promise(*promise));
  }
  static Co<T> get_return_object_on_allocation_failure() noexcept {
    return CoAccess::make<T>(ErrorAccess::error(FrameAllocator::last_request.error));
  }
  // Not by assigning to it: the exception may be one that the value's own assignment has thrown.
  void unhandled_exception() noexcept {
    using Kept = Result<Value>;
    result.~Kept();
    ::new (static_cast<void*>(&result)) Kept(Error(Reason::left_by_exception));
    code = ErrorAccess::stored(Reason::left_by_exception);
  }
  void keep(Result<Value>&& returned) {
    result = std::move(returned);
    code = result ? 0 : ErrorAccess::stored(result.error());
  }

  Result<Value> result;
};

// A promise must not have both return_value() and return_void().
template <class T> struct Promise : PromiseOf<T> {
  template <class U = T> void return_value(U&& value) {
    // A Co<int> says itself that an int is its value.
    if constexpr (std::is_same_v<T, int> && std::is_same_v<std::decay_t<U>, int>) this->keep(mote::value(value));
    else this->keep(Result<typename Unwrapped<T>::Type>(std::forward<U>(value)));
  }
};
template <> struct Promise<void> : PromiseOf<void> {  // it cannot `co_return` an error: Co<Result<void>> can
  void return_void() {}
};

}  // namespace detail
}  // namespace MOTE_NAMESPACE
}  // namespace mote

// A step() is no coroutine: this says what to write in the place of co_await.
template <class... A> struct std::coroutine_traits<mote::Step, A...> {
  static_assert(sizeof...(A) == SIZE_MAX, "co_await in a function that returns a Step: write MOTE_AWAIT(result, ...)");
};

#endif  // C++20

#endif  // MOTE_COROUTINE_CO_HPP
