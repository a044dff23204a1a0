// mote - a complete single-threaded reactor for embedded Linux in one C++17 header: no heap, no exceptions.
// Version 0.1.0
// SPDX-License-Identifier: MIT
// Copyright (c) 2026 The mote authors
//
// This file is put together from include/mote/ by tools/amalgamate. Copy it, read it, but do not edit it: a
// banner names the file that the lines below it come from.
//
//   struct Echo : mote::StateMachine {  // a task: one connection, whose bytes go back to where they came from
//     mote::Stream client;
//     char bytes[512];
//     mote::ByteView reply;
//     mote::Result<std::size_t> got;
//     mote::Result<void> sent;
//
//     mote::Step step() {
//       MOTE_BEGIN();
//       do {
//         MOTE_AWAIT(got, client.read(bytes));
//         if (!got || *got == 0) return mote::done();
//         reply = {bytes, *got};
//         MOTE_AWAIT(sent, client.write_all(reply));
//       } while (sent);
//       MOTE_END();
//     }
//   };
//   static mote::TaskPool<Echo, 64> clients;  // all of it lies in .bss: sizeof tells the footprint
//
// Contents: the layers, each with its files. A layer uses only itself and those above it in this list.
//
//   base       vocabulary: configuration, errors and results, views of bytes, intrusive lists, the timing wheel
//                config, bytes, delegate, error, pinned, list, result, poll, timing_wheel
//   system     the seam where all system calls are made, clocks, owned descriptors
//                clock, linux_system, system, fd
//   selector   waiting for many descriptors: epoll and poll, usable alone
//                interest, milliseconds, selector, selector_base, epoll_selector, default_selector, poll_selector
//   task       what is stepped: control blocks, run queue, places to wait, pools, state machines
//                observation, queue_place, run_queue, step, waiter, task_header, wait_queue, task_store, task,
//                poll_context, operation, scheduler, state_machine, task_handle, task_pool, task_ref
//   reactor    the loop: descriptor table, turns, statistics
//                slot, descriptor_table, loop, reactor, static_reactor
//   time       timers of callbacks and of tasks
//                timer, task_timer
//   io         sockets and other descriptors that tasks read and write
//                endpoint, source_base, source, transfer, datagram, stream, line_reader, listener
//   device     what firmware talks to
//                serial_port
//   thread     from other threads and from signal handlers into the loop
//                waker, mailbox, signal_set, signals
//   sync       tasks among themselves: waiting for each other, together, and for a limited time
//                all_of, channel, event, first_of, mutex, semaphore, shield, task_group, watchdog, with_timeout
//   shutdown   an orderly end
//                graceful_shutdown
//   coroutine  C++20: the same operations with co_await, on frames from static pools
//                chain, frame_pool, frame_maker, operation_awaiter, promise, co, coroutine_pool, this_task
//
// Unless a comment says otherwise a function belongs to the loop's thread, is O(1), and cannot fail unless it returns a
// Result, whose errno values are named at it; "full" is always ENOBUFS.

#ifndef MOTE_HPP
#define MOTE_HPP

#include <arpa/inet.h>    // inet_pton, inet_ntop
#include <errno.h>        // errno and its names
#include <fcntl.h>        // open, fcntl, O_*
#include <net/if.h>       // if_nametoindex, if_indextoname: scopes of IPv6 addresses
#include <netinet/in.h>   // sockaddr_in, sockaddr_in6
#include <netinet/tcp.h>  // TCP_NODELAY, keep-alive options
#include <poll.h>         // poll
#include <sched.h>        // sched_yield
#include <signal.h>       // sigaction
#include <stdio.h>        // snprintf
#include <stdlib.h>       // getenv, strtoul, strtoull: systemd's environment
#include <string.h>       // memcpy, memchr, strlen, strerror
#include <sys/epoll.h>    // epoll
#include <sys/eventfd.h>  // eventfd, the wake-up descriptor
#include <sys/ioctl.h>    // TIOCEXCL
#include <sys/socket.h>   // sockets
#include <sys/syscall.h>  // SYS_epoll_pwait2, which older C libraries do not wrap
#include <sys/types.h>    // pid_t
#include <sys/un.h>       // sockaddr_un
#include <termios.h>      // serial ports
#include <time.h>         // clock_gettime
#include <unistd.h>       // read, write, close, getpid

#include <atomic>            // 32-bit atomics
#include <chrono>            // Duration and Instant
#include <cstddef>           // size_t, ptrdiff_t
#include <cstdint>           // integers of fixed width
#include <initializer_list>  // lists of signals
#include <new>               // placement new
#include <tuple>             // results of operations that are awaited together
#include <type_traits>       // checks at compile time
#include <utility>           // move, forward, exchange

#if __cplusplus >= 202002L
#include <concepts>   // convertible_to
#include <coroutine>  // coroutine_handle, suspend_always
#endif

// =====================================================================================================================
// include/mote/base/config.hpp
// =====================================================================================================================
// Configuration: the version, the namespace, how violated invariants are reported, and the bounds of a turn.
#ifndef MOTE_BASE_CONFIG_HPP
#define MOTE_BASE_CONFIG_HPP

static_assert(__cplusplus >= 201703L, "mote needs C++17: -std=c++17");

#define MOTE_VERSION_MAJOR 0
#define MOTE_VERSION_MINOR 1
#define MOTE_VERSION_PATCH 0

// States an invariant of the library. Define it before the first include to report violations in your own way. It must
// be an expression of type void and must have no side effects. By default a violation traps; with NDEBUG nothing is
// checked.
#ifndef MOTE_ASSERT
#ifdef NDEBUG
#define MOTE_ASSERT(condition) static_cast<void>(0)
#else
#define MOTE_ASSERT(condition) ((condition) ? static_cast<void>(0) : __builtin_trap())
#endif
#endif

// The version is part of the namespace, so that two versions can be linked into one program. So is whether the system
// seam has been replaced (MOTE_SYSTEM_HEADER, see system/system.hpp): both kinds can be linked into one program, too.
#ifdef MOTE_SYSTEM_HEADER
#define MOTE_NAMESPACE v0_1_seam
#else
#define MOTE_NAMESPACE v0_1
#endif

namespace mote {
inline namespace MOTE_NAMESPACE {

// Bounds of one turn of the loop. Each keeps one party from starving the others.
namespace limits {

// An operation that could complete at once does not, after so many in one step: the task is queued again behind the
// others.
constexpr int operations_per_step = 32;
// Steps in one turn of tasks that are below the highest priority.
constexpr std::uint32_t steps_below = 16;
// Queues in which one task can stand at a time, by first_of() and all_of().
constexpr int queues_per_task = 3;
// Connections that a listener finds dead in a row before it pauses.
constexpr int accepts_per_poll = 16;
// Timers that are looked at to find the exact next deadline.
constexpr std::uint32_t timers_per_scan = 32;
// For how long a listener pauses: after EMFILE, ENFILE, ENOBUFS, ENOMEM or EPERM, or after accepts_per_poll dead ones.
constexpr std::chrono::milliseconds accept_pause{100};

}  // namespace limits

}  // namespace MOTE_NAMESPACE
}  // namespace mote

#endif  // MOTE_BASE_CONFIG_HPP

// =====================================================================================================================
// include/mote/base/bytes.hpp
// =====================================================================================================================
// Views of bytes that belong to somebody else: ByteView to read them, ByteSpan to write them.
#ifndef MOTE_BASE_BYTES_HPP
#define MOTE_BASE_BYTES_HPP

namespace mote {
inline namespace MOTE_NAMESPACE {

// A pointer and a size, not owning. It is made of these, or of an array or container whose elements have one byte each.
// A string literal is such an array, its NUL included: use bytes_of() for the text alone. Size on a 32-bit board: 8
// bytes.
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
    MOTE_ASSERT(i < size_);
    return data_[i];
  }
  constexpr Byte* begin() const { return data_; }
  constexpr Byte* end() const { return data_ + size_; }

  // The view begins n bytes further on. The bytes stay where they are.
  void drop_front(std::size_t n) {
    MOTE_ASSERT(n <= size_);
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

}  // namespace MOTE_NAMESPACE
}  // namespace mote

#endif  // MOTE_BASE_BYTES_HPP

// =====================================================================================================================
// include/mote/base/delegate.hpp
// =====================================================================================================================
// Delegate: a callback, as a function pointer and its context.
#ifndef MOTE_BASE_DELEGATE_HPP
#define MOTE_BASE_DELEGATE_HPP

namespace mote {
inline namespace MOTE_NAMESPACE {

template <class Signature> class Delegate;

// A function pointer and its context. It owns nothing: what it is bound to must outlive it. Calling an empty one is not
// allowed; ask with operator bool. Size on a 32-bit board: 8 bytes.
template <class R, class... A> class Delegate<R(A...)> {
 public:
  constexpr Delegate() = default;
  constexpr Delegate(R (*function)(void*, A...), void* context) : function_(function), context_(context) {}

  // Of an object that can be called: a lambda that has a name, because it must live long enough, or any object with
  // operator().
  template <class F,
            class = std::enable_if_t<std::is_invocable_r<R, F&, A...>::value &&
                                     !std::is_same<std::remove_cv_t<F>, Delegate>::value && std::is_class<F>::value>>
  constexpr Delegate(F& callable)
      : function_([](void* context, A... args) -> R { return (*static_cast<F*>(context))(static_cast<A&&>(args)...); }),
        context_(const_cast<std::remove_cv_t<F>*>(&callable)) {}

  // Of a member function: Delegate<void()>::of<&Lamp::blink>(lamp).
  template <auto Method, class T> static constexpr Delegate of(T& object) {
    return {
        [](void* context, A... args) -> R { return (static_cast<T*>(context)->*Method)(static_cast<A&&>(args)...); },
        &object};
  }

  // Of a free function: Delegate<void()>::of<&blink>().
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

// =====================================================================================================================
// include/mote/base/error.hpp
// =====================================================================================================================
// An error: an errno value as a type of its own.
#ifndef MOTE_BASE_ERROR_HPP
#define MOTE_BASE_ERROR_HPP

namespace mote {
inline namespace MOTE_NAMESPACE {

// An errno value. Never 0. Size on a 32-bit board: 4 bytes.
class Error {
 public:
  constexpr Error() = default;  // EAGAIN
  constexpr Error(int code) : code_(code) {}
  constexpr int code() const { return code_; }

  // The C library's text. Not for signal handlers.
  const char* message() const { return ::strerror(code_); }

  friend constexpr bool operator==(Error a, Error b) { return a.code_ == b.code_; }
  friend constexpr bool operator!=(Error a, Error b) { return a.code_ != b.code_; }
 private:
  int code_ = EAGAIN;
};

}  // namespace MOTE_NAMESPACE
}  // namespace mote

#endif  // MOTE_BASE_ERROR_HPP

// =====================================================================================================================
// include/mote/base/pinned.hpp
// =====================================================================================================================
// Pinned: the base of objects that must stay where they are.
#ifndef MOTE_BASE_PINNED_HPP
#define MOTE_BASE_PINNED_HPP

namespace mote {
inline namespace MOTE_NAMESPACE {

namespace detail {

// An object that others point to, and that is therefore neither copied nor moved.
struct Pinned {
  constexpr Pinned() = default;
  Pinned(const Pinned&) = delete;
  Pinned& operator=(const Pinned&) = delete;
};

}  // namespace detail

}  // namespace MOTE_NAMESPACE
}  // namespace mote

#endif  // MOTE_BASE_PINNED_HPP

// =====================================================================================================================
// include/mote/base/list.hpp
// =====================================================================================================================
// Intrusive doubly linked lists: the links lie in the listed objects, so that nothing is allocated and none is full.
// All operations are O(1), and all zero bits are a valid empty list.
#ifndef MOTE_BASE_LIST_HPP
#define MOTE_BASE_LIST_HPP

namespace mote {
inline namespace MOTE_NAMESPACE {

namespace detail {

// The links of an object that can be in a list: in at most one at a time. Leaving it needs no reference to the list.
struct ListNode : Pinned {
  ListNode* next = nullptr;  // null: in no list
  ListNode* prev = nullptr;

  bool linked() const { return next != nullptr; }
  void unlink() {
    if (next == nullptr) return;
    next->prev = prev;
    prev->next = next;
    prev = nullptr;
    next = nullptr;
  }
};

// What lists have in common, whatever their elements are: so this code exists once in a program.
//
//     head_ -> first -> ... -> last -> head_      a ring; its `prev` links run the other way
//
// An empty ring is a head that is linked to itself. A list of zero bits is empty, too; it becomes a ring at its first
// use. `head_` is for lists that derive from this one and know that they are rings.
struct ListBase {
  bool empty() const { return head_.next == nullptr || head_.next == &head_; }

  void append(ListNode& node) {
    ring();
    insert_after(*head_.prev, node);
  }
  void prepend(ListNode& node) {
    ring();
    insert_after(head_, node);
  }
  ListNode* first() { return empty() ? nullptr : head_.next; }
  ListNode* take_first() {
    if (empty()) return nullptr;
    ListNode* const node = head_.next;
    head_.next = node->next;
    node->next->prev = &head_;
    node->next = nullptr;
    return node;
  }

  // Moves all nodes of `other`, in their order, behind the nodes of this list.
  void take(ListBase& other) {
    if (other.empty()) return;
    ring();
    ListNode* const first_taken = other.head_.next;
    head_.prev->next = first_taken;
    first_taken->prev = head_.prev;
    head_.prev = other.head_.prev;
    head_.prev->next = &head_;
    other.head_.prev = &other.head_;
    other.head_.next = &other.head_;
  }

  // Closes a list of zero bits to an empty ring. Does nothing to other lists.
  void ring() {
    if (head_.next != nullptr) return;
    head_.prev = &head_;
    head_.next = &head_;
  }

  // `position` is a node of this list, or its head. The list must be a ring.
  void insert_after(ListNode& position, ListNode& node) {
    MOTE_ASSERT(!node.linked());
    node.prev = &position;
    node.next = position.next;
    position.next->prev = &node;
    position.next = &node;
  }

  ListNode head_;
};

// A list of T. Node is that base of T by which it is linked: ListNode itself or, for an object that can be in several
// lists at a time, one Hook for each of them. Size on a 32-bit board: 8 bytes.
template <class T, class Node = ListNode> struct List : ListBase {
  void push_back(Node& node) { append(node); }
  void push_front(Node& node) { prepend(node); }
  T* front() { return from(first()); }
  T* after(Node& node) { return node.next == &head_ ? nullptr : from(node.next); }
  T* pop_front() { return from(take_first()); }
  static T* from(ListNode* node) { return static_cast<T*>(static_cast<Node*>(node)); }
};
template <int Which> struct Hook : ListNode {};

}  // namespace detail

}  // namespace MOTE_NAMESPACE
}  // namespace mote

#endif  // MOTE_BASE_LIST_HPP

// =====================================================================================================================
// include/mote/base/result.hpp
// =====================================================================================================================
// Result: what a call returns that can fail, a value or an error.
#ifndef MOTE_BASE_RESULT_HPP
#define MOTE_BASE_RESULT_HPP

namespace mote {
inline namespace MOTE_NAMESPACE {

namespace detail {
struct Assignment;
}

// A value, or the error on account of which there is none. T must be default-constructible, because a failed Result
// holds one as well. At first it holds the error EAGAIN. Looking at the value of a failed Result is a violated
// invariant. Size: that of T and of an int.
template <class T> class [[nodiscard]] Result {
 public:
  constexpr Result() = default;
  constexpr Result(Error error) : error_(error.code()) { MOTE_ASSERT(error_ != 0); }
  template <class U = T, class = std::enable_if_t<std::is_constructible<T, U&&>::value &&
                                                  !std::is_same<std::decay_t<U>, Error>::value &&
                                                  !std::is_same<std::decay_t<U>, Result>::value>>
  constexpr Result(U&& value) : value_(std::forward<U>(value)), error_(0) {}

  constexpr explicit operator bool() const { return error_ == 0; }
  constexpr Error error() const { return error_; }  // only of a failed Result

  constexpr T& operator*() & {
    MOTE_ASSERT(error_ == 0);
    return value_;
  }
  constexpr const T& operator*() const& {
    MOTE_ASSERT(error_ == 0);
    return value_;
  }
  constexpr T&& operator*() && {
    MOTE_ASSERT(error_ == 0);
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
 private:
  friend struct detail::Assignment;
  T value_{};
  int error_ = EAGAIN;
};

// Success, or an error. At first it is success.
template <> class [[nodiscard]] Result<void> {
 public:
  constexpr Result() : error_(0) {}
  constexpr Result(Error error) : error_(error.code()) { MOTE_ASSERT(error_ != 0); }

  constexpr explicit operator bool() const { return error_ == 0; }
  constexpr Error error() const { return error_; }
 private:
  int error_;
};

// A reference to somebody else's object, or the error on account of which there is none.
template <class T> class [[nodiscard]] Result<T&> {
 public:
  constexpr Result() = default;
  constexpr Result(Error error) : error_(error.code()) { MOTE_ASSERT(error_ != 0); }
  constexpr Result(T& value) : value_(&value), error_(0) {}

  constexpr explicit operator bool() const { return error_ == 0; }
  constexpr Error error() const { return error_; }  // only of a failed Result

  constexpr T& operator*() const {
    MOTE_ASSERT(error_ == 0);
    return *value_;
  }
  constexpr T* operator->() const { return &**this; }
 private:
  T* value_ = nullptr;
  int error_ = EAGAIN;
};

namespace detail {

// Assigns what an operation has given to the variable that awaits it. A Result is assigned member by member: moved as a
// whole, g++ takes it through the stack.
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

// =====================================================================================================================
// include/mote/base/poll.hpp
// =====================================================================================================================
// Poll: what one attempt at an operation gives, a value or "pending".
#ifndef MOTE_BASE_POLL_HPP
#define MOTE_BASE_POLL_HPP

namespace mote {
inline namespace MOTE_NAMESPACE {

// The operation has not completed, and the task has been noted as waiting for it.
struct Pending {};
constexpr Pending pending{};

// Ready with a value, or pending. T must be default-constructible. Looking at the value of a pending one is a violated
// invariant. Size: that of T and of a bool.
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
    MOTE_ASSERT(ready_);
    return value_;
  }
  constexpr T* operator->() { return &**this; }
 private:
  T value_{};
  bool ready_;
};

namespace detail {

// What an attempt answers when it has noted the task as waiting and is to be made again. It is no errno value: those
// end at 4095.
constexpr Error suspended{4096};

// A condition that is mostly true. For branches on the way of every message only.
constexpr bool expect_true(bool condition) { return __builtin_expect(condition, true) != 0; }

}  // namespace detail

// The same of an operation that can fail. It is no larger than the Result: pending is an error of its own inside of it.
template <class T> class [[nodiscard]] Poll<Result<T>> {
 public:
  using value_type = Result<T>;
  constexpr Poll(Pending) : value_(detail::suspended) {}
  template <class U, class = std::enable_if_t<std::is_constructible<Result<T>, U&&>::value &&
                                              !std::is_same<std::decay_t<U>, Poll>::value &&
                                              !std::is_same<std::decay_t<U>, Pending>::value>>
  constexpr Poll(U&& value) : value_(std::forward<U>(value)) {}

  // As Result<T>::in_place(). Where `fill` answers detail::suspended, the Poll is pending.
  template <class Fill> static Poll in_place(Fill&& fill) { return Poll(InPlace(), fill); }

  constexpr bool ready() const { return value_ || value_.error() != detail::suspended; }
  constexpr Result<T>& operator*() {
    MOTE_ASSERT(ready());
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

// =====================================================================================================================
// include/mote/base/timing_wheel.hpp
// =====================================================================================================================
// TimingWheel: holds what has deadlines, and gives it out in order when they come. It knows no clock: it is told the
// time.
#ifndef MOTE_BASE_TIMING_WHEEL_HPP
#define MOTE_BASE_TIMING_WHEEL_HPP

namespace mote {
inline namespace MOTE_NAMESPACE {

namespace detail {

// What stands in a wheel: the base of a timer, whose owner keeps it.
struct TimerNode : ListNode {
  std::int64_t deadline = 0;  // ns
  std::uint32_t order = 0;    // of arming, counted by the owner of the wheel; it may wrap around

  // Earlier deadlines come first, equal ones in the order in which they were armed. That is compared as a signed
  // difference, which is right as long as two timers are less than 2^31 armings apart.
  bool before(const TimerNode& other) const {
    if (deadline != other.deadline) return deadline < other.deadline;
    return static_cast<std::int32_t>(order - other.order) < 0;
  }
};

// A hierarchical timing wheel (Varghese and Lauck, 1987) that keeps the exact order. Arming and cancelling are O(1),
// and nothing is ever full. n timers that expire together are sorted with at most n * (8 + log2(n)) comparisons, and
// each of them has moved to a lower level at most once per level on its way. Size on a 32-bit board: 1,240 bytes.
//
// Time is cut into ticks of 512 ns. A tick's number, written in base 16, has a digit for each of 9 levels; each level
// has 16 lists, one for each value of its digit. `base_` is the tick up to which everything has been given out. The
// level of a timer is that of the highest digit in which the tick of its deadline differs from base_, and its list is
// the deadline's digit there:
//
//     level             8        7       6       5       4       3        2        1       0
//     a list spans   37 min  2.3 min   8.6 s   0.54 s   34 ms   2.1 ms   131 us   8.2 us  512 ns
//
//     base_             0        0       0       1       2       3        4        5       6
//     deadline          0        0       0       1       2       3        4        5      [9]    level 0, list 9
//     deadline          0        0       0       1       2       3       [7]       0       0     level 2, list 7
//     deadline          0       [2]      0       0       0       0        0        8       1     level 7, list 2
//     deadline  1       0        0       0       0       0       0        0        0       0     overflow_list
//
// The 9 digits span 9.7 hours: a deadline that differs from base_ in a higher digit is in overflow_list. One that has
// passed is in the list of base_ itself, in level 0.
//
// So each timer of a lower level is due before each one of a higher level, and within a level the lists are due in
// their order: what comes next is in the first list that is not empty. When time reaches a list of a higher level,
// base_ moves to its beginning, and its timers differ from base_ only in lower digits: they move to lower levels.
//
// A timer may stand in an earlier list than its deadline belongs to, never in a later one. That is why an idle timeout
// is put off by changing its deadline alone: it moves when its list's time comes.
//
// To use it, once the time has come to next():
//
//     while (wheel.expire(now, due)) {
//       ...                               // erase() the first of `due` and let it fire, until `due` is empty
//     }
//     wheel.refresh();
class TimingWheel {
 public:
  bool empty() const { return count_ == 0; }
  std::uint32_t count() const { return count_; }

  // Nothing is due before it. It is exact unless a timer's deadline was moved or a timer was cancelled since refresh().
  std::int64_t next() const { return next_; }

  // The node must be in no list.
  void insert(TimerNode& node, std::int64_t now) {
    if (count_ == 0) base_ = tick_of(now);
    expect(node.deadline);
    const bool comes_after_those_firing = is_firing_ && node.deadline <= firing_until_;
    if (comes_after_those_firing) {
      lists_[postponed_list].push_back(node);
    } else {
      place(node);
    }
  }

  // Something that is due at `deadline` but has no node. It counts, too, until it is forgotten, and is to be expected
  // anew after each refresh().
  void expect(std::int64_t deadline) {
    if (count_ == 0 || deadline < next_) next_ = deadline;
    ++count_;
  }
  void forget() { --count_; }

  // The bit of its list may stay set: whoever comes across an empty list clears it.
  void erase(TimerNode& node) {
    node.unlink();
    --count_;
  }

  // Moves those that are due at `now`, in order, to `due`, where they count until they are erased. It takes some lists
  // at a time, so that a timer fires while it is in the cache: call it with the same `now` until it returns false, and
  // empty `due` in between. What is armed meanwhile comes after all of these.
  bool expire(std::int64_t now, List<TimerNode>& due) {
    const std::uint64_t now_tick = tick_of(now);
    firing_until_ = now;
    due.ring();
    for (unsigned visited = 0; visited < lists_per_call || due.empty(); ++visited) {
      const unsigned list = first_occupied();
      if (list == no_list) break;
      const std::uint64_t start = start_of(list);
      if (start > now_tick) break;
      expire_list(list, start, now_tick, due);
      if (start == now_tick && list < lists_per_level) break;  // what is left in it is due later within this tick
    }
    if (!due.empty()) {
      is_firing_ = true;
      return true;
    }
    is_firing_ = false;
    if (now_tick > base_) base_ = now_tick;
    while (TimerNode* const node = lists_[postponed_list].pop_front()) place(*node);
    return false;
  }

  // Finds the next deadline again. It is exact where it lies within the current tick or the first list is short; else
  // it is the time at which that list begins.
  void refresh() {
    next_ = INT64_MAX;
    for (;;) {
      const unsigned list = first_occupied();
      if (list == no_list) return;
      scan(list);
      if (!lists_[list].empty()) return;
      clear_occupied(list);
    }
  }
 private:
  static constexpr unsigned tick_bits = 9;   // a tick is 2^9 ns
  static constexpr unsigned digit_bits = 4;  // of a tick's number: base 16
  static constexpr unsigned levels = 9;
  static constexpr unsigned lists_per_level = 1u << digit_bits;

  // The lists' numbers: 16 for each level, and two more. overflow_list stands where a tenth level would begin, and is
  // treated as that level's only list.
  static constexpr unsigned overflow_list = levels * lists_per_level;
  // postponed_list has what is armed while others are firing, and due already: it comes after these.
  static constexpr unsigned postponed_list = overflow_list + 1;
  static constexpr unsigned no_list = postponed_list + 1;

  static constexpr unsigned short_list = 8;      // so many timers are sorted by insertion
  static constexpr unsigned lists_per_call = 8;  // of expire(), if it has found something by then

  static TimerNode* timer(ListNode* node) { return List<TimerNode>::from(node); }

  static std::uint64_t tick_of(std::int64_t ns) { return ns < 0 ? 0 : static_cast<std::uint64_t>(ns) >> tick_bits; }
  static std::int64_t ns_of(std::uint64_t tick) { return static_cast<std::int64_t>(tick << tick_bits); }
  static unsigned level_of(unsigned list) { return list / lists_per_level; }
  static unsigned shift_of(unsigned level) { return level * digit_bits; }  // of the level's digit in a tick

  static std::uint64_t length_of(unsigned list) { return std::uint64_t{1} << shift_of(level_of(list)); }  // in ticks

  // The tick at which a list begins.
  std::uint64_t start_of(unsigned list) const {
    const unsigned shift = shift_of(level_of(list));
    const std::uint64_t digits = base_ >> shift;                      // of base_, from the list's level up
    if (list == overflow_list) return (digits + 1) << shift;          // the next round of the whole wheel
    const std::uint64_t higher = digits >> digit_bits << digit_bits;  // the list's own digit is zero
    return (higher | list % lists_per_level) << shift;
  }

  // The list in which a deadline belongs, as the table above shows.
  unsigned list_of(std::int64_t deadline) const {
    const std::uint64_t tick = tick_of(deadline) < base_ ? base_ : tick_of(deadline);
    const std::uint64_t difference = tick ^ base_;
    const unsigned highest_bit = 63u - static_cast<unsigned>(__builtin_clzll(difference | 1u));
    const unsigned level = highest_bit / digit_bits;
    if (level >= levels) return overflow_list;
    const unsigned digit = static_cast<unsigned>(tick >> shift_of(level)) % lists_per_level;
    return level * lists_per_level + digit;
  }

  void place(TimerNode& node) {
    const unsigned list = list_of(node.deadline);
    occupied_[level_of(list)] |= 1u << (list % lists_per_level);
    lists_[list].push_back(node);
  }

  void clear_occupied(unsigned list) { occupied_[level_of(list)] &= ~(1u << (list % lists_per_level)); }

  // The first list that may have timers; no_list if all are empty.
  unsigned first_occupied() const {
    for (unsigned level = 0; level <= levels; ++level) {
      if (occupied_[level] == 0) continue;
      return level * lists_per_level + static_cast<unsigned>(__builtin_ctz(occupied_[level]));
    }
    return no_list;
  }

  static bool is_long(const List<TimerNode>& list) {
    const ListNode* node = list.head_.next;
    for (unsigned left = short_list; left != 0 && node != &list.head_; --left) node = node->next;
    return node != &list.head_;
  }

  // Empties a list whose time, `start`, has come.
  void expire_list(unsigned list, std::uint64_t start, std::uint64_t now_tick, List<TimerNode>& due) {
    // Unsigned until the 1 is subtracted: the last list ends at 2^63 ns, which has no place in a std::int64_t.
    const auto last = static_cast<std::int64_t>(((start + length_of(list)) << tick_bits) - 1);
    clear_occupied(list);
    if (start > base_) base_ = list == overflow_list ? now_tick : start;
    // A timer whose deadline was moved beyond the list's end has to wait for the lists between, even if it is due. And
    // of a crowd nothing is taken: all of it goes to lower levels first, whose lists are short, and need little
    // sorting.
    const bool is_crowd = list >= lists_per_level && is_long(lists_[list]);
    const std::int64_t until = last < firing_until_ ? last : firing_until_;
    take_due(lists_[list], is_crowd ? INT64_MIN : until, due);
  }

  // Finds the earliest deadline of a list. On the way it moves timers to their place whose deadlines were put off.
  void scan(unsigned index) {
    List<TimerNode>& list = lists_[index];
    std::uint32_t left = index < lists_per_level ? UINT32_MAX : limits::timers_per_scan;
    for (TimerNode* node = list.front(); node != nullptr; --left) {
      if (left == 0) {
        next_ = ns_of(start_of(index));
        return;
      }
      TimerNode* const following = list.after(*node);
      if (list_of(node->deadline) != index) {
        node->unlink();
        place(*node);
      } else if (node->deadline < next_) {
        next_ = node->deadline;
      }
      node = following;
    }
  }

  // ---- Sorting ----
  //
  // A list's timers are in the order in which they came, which often is nearly that of their deadlines. Each is
  // inserted into the current run, from the run's end and past 8 others at most. Where it would have to go further, the
  // run is cut and another one begins. Cut runs are merged bottom-up, as in merge sort.

  // Runs that have been cut: singly linked, each ended by null. They are kept as a binary number: where bit i of
  // `count` is set, merged[i] is a run that has been merged of 2^i runs. Adding one is adding 1, and each carry is a
  // merge. So no more than 32 pointers are needed, and each timer is merged log2(count) times at most.
  struct CutRuns {
    std::uint32_t count = 0;
    ListNode* merged[32];

    void add(ListNode* run) {
      unsigned i = 0;
      for (; (count >> i & 1u) != 0; ++i) run = merge(merged[i], run);
      merged[i] = run;
      ++count;
    }

    // All of them, and one more, as a single run.
    ListNode* merge_all(ListNode* run) const {
      for (unsigned i = 0; count >> i != 0; ++i) {
        if ((count >> i & 1u) != 0) run = merge(merged[i], run);
      }
      return run;
    }
  };

  // Empties a list. What is due `until` then goes to `due`, in order, behind what is there already; the rest goes to
  // its place as seen from base_. Not inlined: inside of expire() it would make that 60 bytes larger on ARM, for want
  // of registers.
  [[gnu::noinline]] void take_due(List<TimerNode>& list, std::int64_t until, List<TimerNode>& due) {
    ListNode* const before_run = due.head_.prev;  // the current run is what follows it in `due`
    CutRuns runs;
    ListNode* const end = &list.head_;
    ListNode* following = end->next;
    end->prev = end;
    end->next = end;
    while (following != end) {
      TimerNode& node = *timer(following);
      following = std::exchange(node.next, nullptr);
      if (node.deadline > until) {
        place(node);
        continue;
      }
      ListNode* position = position_in_run(node, due, before_run);
      if (position == nullptr) {
        runs.add(cut_run(due, before_run));
        position = before_run;
      }
      due.insert_after(*position, node);
    }
    if (runs.count == 0) return;
    ListNode* const last_run = cut_run(due, before_run);
    append_run(due, runs.merge_all(last_run));
  }

  // Behind which node of the current run, or of `before_run`, a timer belongs. Null where more than 8 would have to be
  // passed to find out.
  static ListNode* position_in_run(const TimerNode& node, const List<TimerNode>& due, ListNode* before_run) {
    ListNode* position = due.head_.prev;
    for (unsigned left = short_list; left != 0; --left) {
      if (position == before_run || !node.before(*timer(position))) return position;
      position = position->prev;
    }
    return nullptr;
  }

  // Takes what follows `before_run` out of `due`.
  static ListNode* cut_run(List<TimerNode>& due, ListNode* before_run) {
    ListNode* const run = before_run->next;
    due.head_.prev->next = nullptr;
    due.head_.prev = before_run;
    before_run->next = &due.head_;
    return run;
  }

  static void append_run(List<TimerNode>& due, ListNode* run) {
    while (run != nullptr) {
      TimerNode& node = *timer(run);
      run = std::exchange(node.next, nullptr);
      due.push_back(node);
    }
  }

  // Of two runs that are not empty.
  static ListNode* merge(ListNode* a, ListNode* b) {
    ListNode head;
    ListNode* tail = &head;
    while (a != nullptr) {
      if (timer(b)->before(*timer(a))) std::swap(a, b);
      tail->next = a;
      tail = a;
      a = a->next;
    }
    tail->next = b;
    return head.next;
  }

  std::uint64_t base_ = 0;  // in ticks: nothing before it is left in the wheel
  std::int64_t next_ = 0;
  std::int64_t firing_until_ = 0;            // the time at which those are due that are firing
  std::uint32_t occupied_[levels + 1] = {};  // a bit for each list of a level that may have timers
  std::uint32_t count_ = 0;
  bool is_firing_ = false;
  List<TimerNode> lists_[postponed_list + 1];
};

}  // namespace detail

}  // namespace MOTE_NAMESPACE
}  // namespace mote

#endif  // MOTE_BASE_TIMING_WHEEL_HPP

// =====================================================================================================================
// include/mote/system/clock.hpp
// =====================================================================================================================
// Time: monotonic, in nanoseconds, as types of std::chrono.
#ifndef MOTE_SYSTEM_CLOCK_HPP
#define MOTE_SYSTEM_CLOCK_HPP

namespace mote {
inline namespace MOTE_NAMESPACE {

// Signed 64-bit nanoseconds.
using Duration = std::chrono::nanoseconds;

// CLOCK_MONOTONIC: it stands still while the machine is suspended, and does not see steps of the wall clock.
struct Clock {
  using duration = Duration;
  using rep = duration::rep;
  using period = duration::period;
  using time_point = std::chrono::time_point<Clock>;
  static constexpr bool is_steady = true;

  // Asks the kernel, mostly without a system call. Any thread may call it.
  static time_point now();
};

using Instant = Clock::time_point;
constexpr Duration forever = Duration::max();

// Sums saturate: a deadline beyond the end of time is the end of time.
constexpr Instant saturating_add(Instant t, Duration d) {
  std::int64_t sum = 0;
  const bool overflows = __builtin_add_overflow(t.time_since_epoch().count(), d.count(), &sum);
  if (!overflows) return Instant(Duration(sum));
  return d.count() > 0 ? Instant::max() : Instant::min();
}

}  // namespace MOTE_NAMESPACE
}  // namespace mote

#endif  // MOTE_SYSTEM_CLOCK_HPP

// =====================================================================================================================
// include/mote/system/linux_system.hpp
// =====================================================================================================================
// LinuxSystem: all system calls that the library makes, and nothing else.
#ifndef MOTE_SYSTEM_LINUX_SYSTEM_HPP
#define MOTE_SYSTEM_LINUX_SYSTEM_HPP

namespace mote {
inline namespace MOTE_NAMESPACE {

// The one place where system calls are made: they behave as in their manual pages, and fail with -1 and errno. It has
// no state. What is fixed for all callers (O_CLOEXEC, SOCK_NONBLOCK) is added here.
struct LinuxSystem {
  static int error() { return errno; }

  // Cannot fail: the clock exists since Linux 2.6, and the pointer is ours.
  static std::int64_t monotonic_ns() {
    timespec t{};
    ::clock_gettime(CLOCK_MONOTONIC, &t);
    return static_cast<std::int64_t>(t.tv_sec) * 1'000'000'000 + t.tv_nsec;
  }
  static pid_t process() { return ::getpid(); }
  static void yield() { ::sched_yield(); }

  static int epoll_create() { return ::epoll_create1(EPOLL_CLOEXEC); }
  static int epoll_ctl(int set, int what, int fd, epoll_event* event) { return ::epoll_ctl(set, what, fd, event); }
  static int epoll_wait(int set, epoll_event* events, int most, int ms) { return ::epoll_wait(set, events, most, ms); }

  // Since Linux 5.11; ENOSYS before.
  static int epoll_pwait2(int set, epoll_event* events, int most, std::int64_t ns) {
#ifdef SYS_epoll_pwait2
    constexpr long number = SYS_epoll_pwait2;
#else
    constexpr long number = -1;
#endif
    // The kernel's __kernel_timespec: two numbers of 64 bits on every architecture.
    const std::int64_t timeout[2] = {ns / 1'000'000'000, ns % 1'000'000'000};
    return static_cast<int>(::syscall(number, set, events, most, timeout, nullptr, std::size_t{0}));
  }
  static int poll(pollfd* fds, std::size_t n, int ms) { return ::poll(fds, static_cast<nfds_t>(n), ms); }
  static int event_fd() { return ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK); }

  static ssize_t read(int fd, void* data, std::size_t size) { return ::read(fd, data, size); }
  static ssize_t write(int fd, const void* data, std::size_t size) { return ::write(fd, data, size); }
  static int open(const char* path, int flags) { return ::open(path, flags | O_CLOEXEC); }
  static int close(int fd) { return ::close(fd); }
  static int fcntl(int fd, int command, int argument) { return ::fcntl(fd, command, argument); }

  static int socket(int family, int type) { return ::socket(family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0); }
  static int bind(int fd, const sockaddr* address, socklen_t size) { return ::bind(fd, address, size); }
  static int listen(int fd, int backlog) { return ::listen(fd, backlog); }
  static int accept(int fd) { return ::accept4(fd, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK); }
  static int connect(int fd, const sockaddr* address, socklen_t size) { return ::connect(fd, address, size); }
  static int shutdown(int fd, int how) { return ::shutdown(fd, how); }
  static ssize_t recv(int fd, void* data, std::size_t size, int flags) { return ::recv(fd, data, size, flags); }
  static ssize_t send(int fd, const void* data, std::size_t size, int flags) { return ::send(fd, data, size, flags); }
  static ssize_t recvmsg(int fd, msghdr* message, int flags) { return ::recvmsg(fd, message, flags); }
  static ssize_t sendto(int fd, const void* data, std::size_t size, int flags, const sockaddr* to, socklen_t to_size) {
    return ::sendto(fd, data, size, flags, to, to_size);
  }
  static int getsockopt(int fd, int level, int name, void* value, socklen_t* size) {
    return ::getsockopt(fd, level, name, value, size);
  }
  static int setsockopt(int fd, int level, int name, const void* value, socklen_t size) {
    return ::setsockopt(fd, level, name, value, size);
  }
  static int getsockname(int fd, sockaddr* address, socklen_t* size) { return ::getsockname(fd, address, size); }
  static int getpeername(int fd, sockaddr* address, socklen_t* size) { return ::getpeername(fd, address, size); }

  using Action = struct sigaction;
  static int sigaction(int signal, const Action* action, Action* old) { return ::sigaction(signal, action, old); }

  static int set_exclusive(int fd) { return ::ioctl(fd, TIOCEXCL); }
  static int tcgetattr(int fd, termios* settings) { return ::tcgetattr(fd, settings); }
  static int tcsetattr(int fd, const termios* settings) { return ::tcsetattr(fd, TCSANOW, settings); }
};

}  // namespace MOTE_NAMESPACE
}  // namespace mote

#endif  // MOTE_SYSTEM_LINUX_SYSTEM_HPP

// =====================================================================================================================
// include/mote/system/system.hpp
// =====================================================================================================================
// The system seam: System, through which every system call is made, and which a program may replace for its tests.
// And the few helpers for what system calls answer.
#ifndef MOTE_SYSTEM_SYSTEM_HPP
#define MOTE_SYSTEM_SYSTEM_HPP

// For virtual clocks and injected faults the system may be replaced as a whole. Define MOTE_SYSTEM_HEADER, for all of
// the program's files that are to use it, as the name of a header that
//   - defines in namespace mote a struct that derives from LinuxSystem and hides what is to be replaced,
//   - defines the macro MOTE_SYSTEM as that struct's name.
// The namespace of the library then differs (see base/config.hpp), so that both kinds can be linked into one program.
#ifdef MOTE_SYSTEM_HEADER
#include MOTE_SYSTEM_HEADER
#else
#define MOTE_SYSTEM LinuxSystem
#endif

namespace mote {
inline namespace MOTE_NAMESPACE {

using System = MOTE_SYSTEM;

// Always inlined: monotonic_ns() gives its answer in registers, which this, as a function of its own, would not on ARM.
[[gnu::always_inline]] inline Clock::time_point Clock::now() { return time_point(Duration(System::monotonic_ns())); }

namespace detail {

// Why the last system call failed.
inline Error last_error() { return Error(System::error()); }

// The result of a system call that answers -1, or else nothing of interest.
inline Result<void> check(int answer) { return answer >= 0 ? Result<void>() : last_error(); }

template <class... Codes> constexpr bool is_one_of(int error, Codes... codes) { return ((error == codes) || ...); }

// Makes a system call, again as long as signals interrupt it.
template <class Call> auto retry(Call call) {
  auto answer = call();
  while (answer < 0 && System::error() == EINTR) answer = call();
  return answer;
}

}  // namespace detail

}  // namespace MOTE_NAMESPACE
}  // namespace mote

#endif  // MOTE_SYSTEM_SYSTEM_HPP

// =====================================================================================================================
// include/mote/system/fd.hpp
// =====================================================================================================================
// Fd: an owned file descriptor.
#ifndef MOTE_SYSTEM_FD_HPP
#define MOTE_SYSTEM_FD_HPP

namespace mote {
inline namespace MOTE_NAMESPACE {

// A descriptor that is closed when its owner goes. All zero bits mean none. Size on a 32-bit board: 4 bytes.
class Fd {
 public:
  constexpr Fd() = default;
  constexpr explicit Fd(int fd) : stored_(fd + 1) {}
  Fd(Fd&& other) noexcept : stored_(std::exchange(other.stored_, 0)) {}
  Fd& operator=(Fd&& other) noexcept {
    close();
    stored_ = std::exchange(other.stored_, 0);
    return *this;
  }
  ~Fd() { close(); }

  constexpr int get() const { return stored_ - 1; }  // -1: none
  constexpr explicit operator bool() const { return stored_ > 0; }

  // Gives the descriptor away without closing it. -1: there was none.
  int release() {
    const int stored = std::exchange(stored_, 0);
    return stored - 1;
  }

  // Whatever close() answers (EINTR, EIO, ENOSPC), on Linux the descriptor is gone: see close(2). It is never tried
  // twice, for by then the number may be somebody else's.
  void close() {
    if (stored_ > 0) System::close(release());
  }
 private:
  int stored_ = 0;  // the descriptor + 1
};

}  // namespace MOTE_NAMESPACE
}  // namespace mote

#endif  // MOTE_SYSTEM_FD_HPP

// =====================================================================================================================
// include/mote/selector/interest.hpp
// =====================================================================================================================
// Interest: what a registration asks for. Readiness: what the kernel reports.
#ifndef MOTE_SELECTOR_INTEREST_HPP
#define MOTE_SELECTOR_INTEREST_HPP

namespace mote {
inline namespace MOTE_NAMESPACE {

// What a registration asks for. `read` also asks for read_closed. Hang-up and error are reported whatever was asked
// for. The values are the kernel's own, so that translation costs an instruction.
enum class Interest : std::uint8_t {
  none,
  read = 1,
  priority = 2,  // out-of-band data, a GPIO edge, a sysfs attribute that changed
  write = 4
};

// What the kernel reports of a descriptor, in the kernel's own values.
enum class Readiness : std::uint32_t {
  none,
  readable = 1,
  priority = 2,  // as Interest::priority
  writable = 4,
  error = 8,            // there is one to be read (SO_ERROR, the error queue), or a pipe has no readers
  hangup = 16,          // both directions are over, or a pipe has no writers
  read_closed = 0x2000  // the peer will send no more
};

namespace detail {

template <class E>
using IfFlags = std::enable_if_t<std::is_same<E, Interest>::value || std::is_same<E, Readiness>::value, E>;

template <class E> constexpr unsigned bits(E e) { return static_cast<unsigned>(e); }

constexpr unsigned all_bits = 0x203f;  // of Interest and Readiness; 0x20 is the kernel's POLLNVAL

// Beside Interest's values: asks a selector to report only what changes, and urgent data (priority) unasked.
constexpr Interest by_edges{8};

}  // namespace detail

template <class E> constexpr detail::IfFlags<E> operator|(E a, E b) { return E(detail::bits(a) | detail::bits(b)); }
template <class E> constexpr detail::IfFlags<E> operator&(E a, E b) { return E(detail::bits(a) & detail::bits(b)); }
template <class E> constexpr detail::IfFlags<E> operator~(E a) { return E(~detail::bits(a) & detail::all_bits); }
template <class E> constexpr detail::IfFlags<E>& operator|=(E& a, E b) {
  a = a | b;
  return a;
}
template <class E> constexpr detail::IfFlags<E>& operator&=(E& a, E b) {
  a = a & b;
  return a;
}
template <class E, class = detail::IfFlags<E>> constexpr bool any(E e) { return detail::bits(e) != 0; }

}  // namespace MOTE_NAMESPACE
}  // namespace mote

#endif  // MOTE_SELECTOR_INTEREST_HPP

// =====================================================================================================================
// include/mote/selector/milliseconds.hpp
// =====================================================================================================================
// Timeouts of system calls that count in milliseconds.
#ifndef MOTE_SELECTOR_MILLISECONDS_HPP
#define MOTE_SELECTOR_MILLISECONDS_HPP

namespace mote {
inline namespace MOTE_NAMESPACE {

namespace detail {

// Of a timeout of more than 0: rounded up, so that no wait ends early, and clamped, so that nothing overflows.
constexpr int whole_milliseconds(Duration timeout) {
  const std::int64_t ms = (timeout.count() - 1) / 1'000'000 + 1;
  return ms > INT32_MAX ? INT32_MAX : static_cast<int>(ms);
}

// Of any timeout, as poll(2) and epoll_wait(2) take it: -1 for no limit.
constexpr int to_milliseconds(Duration timeout) {
  if (timeout == forever) return -1;
  return timeout > Duration::zero() ? whole_milliseconds(timeout) : 0;
}

}  // namespace detail

}  // namespace MOTE_NAMESPACE
}  // namespace mote

#endif  // MOTE_SELECTOR_MILLISECONDS_HPP

// =====================================================================================================================
// include/mote/selector/selector.hpp
// =====================================================================================================================
// Selector: the demultiplexer, whatever system call it is made of. Which of these descriptors are ready?
// And Ready, one entry of its answer.
#ifndef MOTE_SELECTOR_SELECTOR_HPP
#define MOTE_SELECTOR_SELECTOR_HPP

namespace mote {
inline namespace MOTE_NAMESPACE {

// A number of 64 bits by which the caller recognises a descriptor in a wait's answer. On x86-64, and there alone, the
// kernel packs an epoll_event: the number then lies at any multiple of 4, and a std::uint64_t would not do.
#ifdef __x86_64__
class Token {
 public:
  constexpr Token(std::uint64_t value = 0)
      : low_(static_cast<std::uint32_t>(value)), high_(static_cast<std::uint32_t>(value >> 32)) {}
  constexpr operator std::uint64_t() const { return low_ | std::uint64_t{high_} << 32; }
 private:
  std::uint32_t low_, high_;
};
#else
using Token = std::uint64_t;
#endif

// One entry of a wait's answer: what the kernel reports of a descriptor, and the caller's token. Laid out as an
// epoll_event, so that the kernel's answer is used where it was received. Size on a 32-bit board: 12 to 16 bytes.
struct Ready {
  Readiness readiness = Readiness::none;
  Token token = 0;
};

// Which of these descriptors are ready? Usable alone, level-triggered, for one thread.
//
// A selector does not own the descriptors: remove() one before it is closed, or forget() it right after. Before open()
// a selector is all zero bits and every call answers EBADF. open() belongs to the kind of selector: EpollSelector,
// PollSelector, or a class of yours that derives from SelectorBase.
//
// Calls go through a table of functions that open() sets, not through a vtable, so that a selector in static storage
// lies in .bss and needs nothing of the C++ runtime. Size on a 32-bit board: 4 bytes and what its kind adds.
class Selector : detail::Pinned {
 public:
  struct Operations {
    Result<void> (*add)(Selector&, int, Interest, std::uint64_t);
    Result<void> (*modify)(Selector&, int, Interest, std::uint64_t);
    Result<void> (*remove)(Selector&, int);
    void (*forget)(Selector&, int);
    Result<std::size_t> (*wait)(Selector&, Ready*, std::size_t, Duration);
    Result<void> (*rebuild)(Selector&);
    int (*descriptor)(const Selector&);
    bool edges;  // whether it knows detail::by_edges
  };

  // From now on fd is watched; its events carry `token`.
  // Errors:
  //   EBADF    fd is not open, or the selector is not.
  //   EEXIST   it is in already: modify() it.
  //   ENOBUFS  N are in already: remove one first.
  //   EPERM    (epoll) a regular file, a directory or the like. It is always ready: there is nothing to wait for. poll
  //            takes it and says so.
  //   ELOOP    (epoll) fd is an epoll set, and the sets would be nested in a circle or too deep.
  //   ENOSPC   (epoll) /proc/sys/fs/epoll/max_user_watches is reached.
  //   ENOMEM   the kernel has no memory: try again later.
  Result<void> add(int fd, Interest interest, std::uint64_t token) {
    return operations_ != nullptr ? operations_->add(*this, fd, interest, token) : Error(EBADF);
  }

  // Replaces both the interest and the token.
  // Errors:
  //   ENOENT   fd is not in, or (epoll) has been closed since: add() it.
  //   EBADF    fd is not open, or the selector is not.
  //   ENOMEM   the kernel has no memory: try again later.
  Result<void> modify(int fd, Interest interest, std::uint64_t token) {
    return operations_ != nullptr ? operations_->modify(*this, fd, interest, token) : Error(EBADF);
  }

  // No wait that begins after it reports fd.
  // Errors:
  //   ENOENT   fd is not in, or (epoll) has been closed since: forget() it.
  //   EBADF    (epoll) fd is not open: forget() it. Or the selector is not open.
  Result<void> remove(int fd) { return operations_ != nullptr ? operations_->remove(*this, fd) : Error(EBADF); }

  // For a descriptor that has been closed, by which the kernel has dropped it: only the selector's own account of it is
  // corrected, without a system call.
  void forget(int fd) {
    if (operations_ != nullptr) operations_->forget(*this, fd);
  }

  // Waits until something is ready or the time is up (zero: only looks; forever: no limit), writes at most `capacity`
  // entries and returns their number. 0 means that the time is up, and is never returned before. A signal does not end
  // the wait.
  // Errors:
  //   EINVAL   `capacity` is 0; (poll) or there are more descriptors than RLIMIT_NOFILE allows.
  //   EBADF    the selector is not open.
  //   ENOMEM   (poll) the kernel has no memory: try again later.
  Result<std::size_t> wait(Ready* ready, std::size_t capacity, Duration timeout) {
    const bool timed = timeout > Duration::zero() && timeout != forever;
    const Instant deadline = timed ? saturating_add(Clock::now(), timeout) : Instant::max();
    for (;;) {
      const Result<std::size_t> count = wait_once(ready, capacity, timeout);
      const bool is_answer = count ? *count != 0 || timeout <= Duration::zero() : count.error() != EINTR;
      if (is_answer) return count;
      if (timed) timeout = deadline - Clock::now();
      if (timed && count && timeout <= Duration::zero()) return count;  // after EINTR, it looks once more
    }
  }
  template <std::size_t M> Result<std::size_t> wait(Ready (&to)[M], Duration timeout) { return wait(to, M, timeout); }

  // One system call. As wait(), but it may return 0 before the time is up, where that lies beyond the kernel's range.
  // Errors: those of wait(), and
  //   EINTR    a signal came first: wait again.
  Result<std::size_t> wait_once(Ready* ready, std::size_t capacity, Duration timeout) {
    return operations_ != nullptr ? operations_->wait(*this, ready, capacity, timeout) : Error(EBADF);
  }

  // Starts anew with nothing added: in a forked child, or to be rid of what a closed descriptor left in the kernel.
  // After an error every call answers EBADF until a later rebuild() succeeds.
  // Errors:
  //   EMFILE   the process has too many descriptors open: close some and try again.
  //   ENFILE   the system has: try again later.
  //   ENOMEM   the kernel has no memory: try again later.
  //   EBADF    the selector was never opened.
  Result<void> rebuild() { return operations_ != nullptr ? operations_->rebuild(*this) : Error(EBADF); }

  // It is readable when something is ready, for nesting in another loop. -1 where there is none (poll).
  int descriptor() const { return operations_ != nullptr ? operations_->descriptor(*this) : -1; }
  bool is_open() const { return operations_ != nullptr; }
  bool can_report_edges() const { return operations_ != nullptr && operations_->edges; }
 protected:
  constexpr Selector() = default;
  ~Selector() = default;
  void bind(const Operations* operations) { operations_ = operations; }
 private:
  const Operations* operations_ = nullptr;
};

}  // namespace MOTE_NAMESPACE
}  // namespace mote

#endif  // MOTE_SELECTOR_SELECTOR_HPP

// =====================================================================================================================
// include/mote/selector/selector_base.hpp
// =====================================================================================================================
// SelectorBase: what a class derives from to be a Selector, one of your own included.
#ifndef MOTE_SELECTOR_SELECTOR_BASE_HPP
#define MOTE_SELECTOR_SELECTOR_BASE_HPP

namespace mote {
inline namespace MOTE_NAMESPACE {

// Derive `class Mine : public mote::SelectorBase<Mine>`. Give it on_add, on_modify, on_remove, on_forget, on_wait,
// on_rebuild and on_descriptor, with the parameters and results of Selector::Operations; they must be public. Its
// open() calls attach(), its close() detach(). One that can report changes only (detail::by_edges) says `reports_edges
// = true`.
template <class Derived> class SelectorBase : public Selector {
 public:
  static constexpr bool reports_edges = false;
 protected:
  void attach() { bind(&table); }
  void detach() { bind(nullptr); }
 private:
  static Derived& self(Selector& s) { return static_cast<Derived&>(s); }
  static constexpr Operations table = {
      [](Selector& s, int fd, Interest interest, std::uint64_t token) { return self(s).on_add(fd, interest, token); },
      [](Selector& s, int fd, Interest interest, std::uint64_t token) {
        return self(s).on_modify(fd, interest, token);
      },
      [](Selector& s, int fd) { return self(s).on_remove(fd); },
      [](Selector& s, int fd) { self(s).on_forget(fd); },
      [](Selector& s, Ready* ready, std::size_t n, Duration timeout) { return self(s).on_wait(ready, n, timeout); },
      [](Selector& s) { return self(s).on_rebuild(); },
      [](const Selector& s) { return static_cast<const Derived&>(s).on_descriptor(); },
      Derived::reports_edges};
};

}  // namespace MOTE_NAMESPACE
}  // namespace mote

#endif  // MOTE_SELECTOR_SELECTOR_BASE_HPP

// =====================================================================================================================
// include/mote/selector/epoll_selector.hpp
// =====================================================================================================================
// EpollSelector: a Selector that is made of epoll(7).
#ifndef MOTE_SELECTOR_EPOLL_SELECTOR_HPP
#define MOTE_SELECTOR_EPOLL_SELECTOR_HPP

namespace mote {
inline namespace MOTE_NAMESPACE {

// N descriptors at most; its size does not depend on N. All operations are O(1), a wait in what is ready.
// Size on a 32-bit board: 16 bytes.
template <std::size_t N> class EpollSelector : public SelectorBase<EpollSelector<N>> {
 public:
  static constexpr const char* name = "epoll";
  static constexpr bool reports_edges = true;

  // Does nothing to one that is open. Its descriptor is closed with it: by close(), or when it goes.
  // Errors:
  //   EMFILE   the process has too many descriptors open: close some and try again.
  //   ENFILE   the system has: try again later.
  //   ENOMEM   the kernel has no memory: try again later.
  Result<void> open() {
    const Result<void> made = set_ ? Result<void>() : on_rebuild();
    if (made) this->attach();
    return made;
  }
  void close() {
    set_.close();
    this->detach();
  }

  // What follows is called by Selector, whose comments name the errors.

  Result<void> on_add(int fd, Interest interest, std::uint64_t token) {
    if (control(EPOLL_CTL_ADD, fd, interest, token) != 0) return detail::last_error();
    if (count_ >= N) {
      control(EPOLL_CTL_DEL, fd, interest, token);  // added first, so that EEXIST and EBADF come before ENOBUFS
      return Error(ENOBUFS);
    }
    ++count_;
    return {};
  }
  Result<void> on_modify(int fd, Interest interest, std::uint64_t token) {
    return detail::check(control(EPOLL_CTL_MOD, fd, interest, token));
  }
  Result<void> on_remove(int fd) {
    if (control(EPOLL_CTL_DEL, fd, Interest::none, 0) != 0) return detail::last_error();
    on_forget(fd);
    return {};
  }
  void on_forget(int) { count_ -= count_ != 0 ? 1u : 0u; }

  Result<std::size_t> on_wait(Ready* ready, std::size_t capacity, Duration timeout) {
    const int most = capacity > most_events ? int{most_events} : static_cast<int>(capacity);
    auto* const events = reinterpret_cast<epoll_event*>(ready);  // written by the kernel alone
    const bool timed = timeout != forever && timeout > Duration::zero();
    const int n = timed ? wait_timed(events, most, timeout)
                        : System::epoll_wait(set_.get(), events, most, timeout == forever ? -1 : 0);
    // EINTR; EBADF: a rebuild has failed. EINVAL: `most` is 0.
    return n >= 0 ? Result<std::size_t>(static_cast<std::size_t>(n)) : detail::last_error();
  }

  Result<void> on_rebuild() {
    int fresh = System::epoll_create();
    if (fresh < 0 && set_) {
      set_.close();  // after EMFILE and ENFILE, this makes room
      fresh = System::epoll_create();
    }
    if (fresh < 0) return detail::last_error();
    set_ = Fd(fresh);
    count_ = 0;
    return {};
  }
  int on_descriptor() const { return set_.get(); }
 private:
  static constexpr std::uint16_t most_events = 4096;  // of one wait; far below what the kernel refuses with EINVAL
  static_assert(EPOLLIN == 0x01 && EPOLLPRI == 0x02 && EPOLLOUT == 0x04 && EPOLLERR == 0x08 && EPOLLHUP == 0x10);
  static_assert(EPOLLRDHUP == 0x2000, "Interest and Readiness have the kernel's values");
  static_assert(sizeof(Ready) == sizeof(epoll_event) && offsetof(Ready, token) == offsetof(epoll_event, data),
                "the kernel writes its events into entries of Ready");

  int control(int what, int fd, Interest interest, std::uint64_t token) {
    epoll_event event;
    ::memset(&event, 0, sizeof event);  // it has padding on ARM
    const unsigned asked = detail::bits(interest);
    const unsigned read_closed = (asked & EPOLLIN) << 13;  // EPOLLRDHUP with EPOLLIN; shifted, it needs no branch
    event.events = (asked & unsigned{EPOLLIN | EPOLLPRI | EPOLLOUT}) | read_closed;
    if (any(interest & detail::by_edges)) event.events |= unsigned{EPOLLET} | unsigned{EPOLLPRI};
    event.data.u64 = token;
    return System::epoll_ctl(set_.get(), what, fd, &event);
  }

  // In nanoseconds where the kernel knows that call, which is asked once: before Linux 5.11 it answers ENOSYS, and in
  // sandboxes that do not know it EPERM.
  [[gnu::noinline]] int wait_timed(epoll_event* events, int most, Duration timeout) {
    if (!lacks_pwait2_) {
      const int n = System::epoll_pwait2(set_.get(), events, most, timeout.count());
      if (n >= 0 || !detail::is_one_of(System::error(), ENOSYS, EPERM)) return n;
      lacks_pwait2_ = true;
    }
    return System::epoll_wait(set_.get(), events, most, detail::whole_milliseconds(timeout));
  }

  Fd set_;
  std::uint32_t count_ = 0;
  bool lacks_pwait2_ = false;
};

}  // namespace MOTE_NAMESPACE
}  // namespace mote

#endif  // MOTE_SELECTOR_EPOLL_SELECTOR_HPP

// =====================================================================================================================
// include/mote/selector/default_selector.hpp
// =====================================================================================================================
// DefaultSelector: the selector of whoever has no reason to choose another one.
#ifndef MOTE_SELECTOR_DEFAULT_SELECTOR_HPP
#define MOTE_SELECTOR_DEFAULT_SELECTOR_HPP

namespace mote {
inline namespace MOTE_NAMESPACE {

template <std::size_t N> using DefaultSelector = EpollSelector<N>;

}  // namespace MOTE_NAMESPACE
}  // namespace mote

#endif  // MOTE_SELECTOR_DEFAULT_SELECTOR_HPP

// =====================================================================================================================
// include/mote/selector/poll_selector.hpp
// =====================================================================================================================
// PollSelector: a Selector that is made of poll(2), for kernels and sandboxes without epoll, and for a handful of
// descriptors.
#ifndef MOTE_SELECTOR_POLL_SELECTOR_HPP
#define MOTE_SELECTOR_POLL_SELECTOR_HPP

namespace mote {
inline namespace MOTE_NAMESPACE {

// A dense array of the kernel's entries, and a hash table with linear probing that finds a descriptor's entry. So add,
// modify and remove are O(1) expected; a wait is O(N), in the kernel and here. N descriptors at most.
// Size: 24 to 32 bytes for each descriptor.
template <std::size_t N> class PollSelector : public SelectorBase<PollSelector<N>> {
 public:
  static constexpr const char* name = "poll";

  // Cannot fail.
  Result<void> open() {
    this->attach();
    return {};
  }
  void close() {
    static_cast<void>(on_rebuild());
    this->detach();
  }

  // What follows is called by Selector, whose comments name the errors.

  Result<void> on_add(int fd, Interest interest, std::uint64_t token) {
    if (find(fd) != not_found) return Error(EEXIST);
    if (System::fcntl(fd, F_GETFD, 0) < 0) return detail::last_error();  // EBADF: poll itself would tell too late
    if (count_ >= N) return Error(ENOBUFS);
    std::uint32_t cell = home(fd);
    while (index_[cell] != 0) cell = (cell + 1) & mask;
    set(count_, fd, interest, token);
    ++count_;
    index_[cell] = count_;
    return {};
  }
  Result<void> on_modify(int fd, Interest interest, std::uint64_t token) {
    const std::uint32_t cell = find(fd);
    if (cell == not_found) return Error(ENOENT);
    set(index_[cell] - 1, fd, interest, token);
    return {};
  }
  Result<void> on_remove(int fd) {
    const std::uint32_t cell = find(fd);
    if (cell == not_found) return Error(ENOENT);
    const std::uint32_t position = index_[cell] - 1;
    erase(cell);
    --count_;
    if (position == count_) return {};
    index_[find(fds_[count_].fd)] = position + 1;  // the last entry takes the place
    fds_[position] = fds_[count_];
    tokens_[position] = tokens_[count_];
    return {};
  }
  void on_forget(int fd) { static_cast<void>(on_remove(fd)); }

  Result<std::size_t> on_wait(Ready* ready, std::size_t capacity, Duration timeout) {
    if (capacity == 0) return Error(EINVAL);  // as epoll_wait(2)
    const int n = System::poll(fds_, count_, detail::to_milliseconds(timeout));
    if (n < 0) return detail::last_error();  // EINTR; EINVAL: more than RLIMIT_NOFILE; ENOMEM
    return collect(ready, n, capacity);
  }
  Result<void> on_rebuild() {
    ::memset(index_, 0, sizeof index_);
    count_ = 0;
    return {};
  }
  int on_descriptor() const { return -1; }
 private:
  static_assert(POLLIN == 0x01 && POLLPRI == 0x02 && POLLOUT == 0x04 && POLLERR == 0x08 && POLLHUP == 0x10,
                "Interest and Readiness have the kernel's values");
#ifdef POLLRDHUP
  static constexpr unsigned read_closed_event = POLLRDHUP;
#else
  static constexpr unsigned read_closed_event = 0;  // plain POSIX: read() says so
#endif

  static constexpr std::uint32_t
  cells() {  // of the hash table: a power of two, so that at most half of them are in use
    std::uint32_t n = 2;
    while (n < 2 * N) n *= 2;
    return n;
  }
  static constexpr std::uint32_t mask = cells() - 1;
  static constexpr std::uint32_t not_found = UINT32_MAX;

  // Reads the kernel's answer: `active` entries have events, and there is room for `capacity`.
  //
  // Where all fit, an active entry that is far behind moves to the front: a descriptor that goes on being active is
  // then found without a look at all the others. Where more are active than fit, nothing moves, and the next wait's
  // answer begins with the others. Inlined, because it has one caller: that saves a call with each wait.
  [[gnu::always_inline]] std::size_t collect(Ready* ready, int active, std::size_t capacity) {
    const bool all_fit = static_cast<std::size_t>(active) <= capacity;
    const std::size_t most = all_fit ? static_cast<std::size_t>(active) : capacity;
    std::size_t at = all_fit || start_ >= count_ ? 0 : start_;
    bool may_wrap = at != 0;
    std::size_t found = 0;
    while (found != most) {
      at = next_active(at);
      if (at == count_) {
        if (!may_wrap) break;
        may_wrap = false;
        at = 0;
        continue;
      }
      ready[found] = {readiness_of(fds_[at]), tokens_[at]};
      if (all_fit && at >= 2 * found + idle_in_front) swap(at, found);
      ++at;
      ++found;
    }
    start_ = static_cast<std::uint32_t>(at);
    return found;
  }
  // So many idle entries, and one for each active one, are left in front of an active one.
  static constexpr std::uint32_t idle_in_front = 64;

  static Readiness readiness_of(const pollfd& entry) {
    const auto events = static_cast<unsigned>(entry.revents);
    const unsigned read_closed = (events & read_closed_event) != 0 ? detail::bits(Readiness::read_closed) : 0u;
    // POLLNVAL, the descriptor was closed behind our back, is an error: reading it will tell which.
    const unsigned invalid = (events & POLLNVAL) != 0 ? detail::bits(Readiness::error) : 0u;
    return static_cast<Readiness>((events & 0x1fu) | read_closed | invalid);
  }

  // The position of the first entry with events, from `at` on; count_ if there is none. Idle entries are passed in
  // blocks.
  std::size_t next_active(std::size_t at) const {
    const std::size_t whole_blocks = count_ - count_ % block;
    while (at < count_) {
      if (at % block == 0) {
        while (at != whole_blocks && is_idle(&fds_[at])) at += block;
      }
      const std::size_t stop = at < whole_blocks ? at - at % block + block : count_;
      for (; at != stop; ++at) {
        if (fds_[at].revents != 0) return at;
      }
    }
    return at;
  }

  // Whether no entry of a block has events. As many entries as fit into two registers are OR-ed as one vector, and the
  // sum is read as entries again, so that the order of their bytes does not matter. It takes one instruction for an
  // entry, or two with 32 bits.
  using Vector [[gnu::vector_size(2 * sizeof(std::uintptr_t))]] = std::uintptr_t;
  static constexpr std::uint32_t vector_entries = sizeof(Vector) / sizeof(pollfd);
  static constexpr std::uint32_t block = 16;
  static bool is_idle(const pollfd* entries) {
    Vector sum = {};
    Vector more;
#pragma GCC unroll 16
    for (std::uint32_t i = 0; i < block; i += vector_entries) {
      ::memcpy(&more, __builtin_assume_aligned(entries + i, sizeof more), sizeof more);
      sum |= more;
    }
    pollfd merged[vector_entries];
    ::memcpy(merged, &sum, sizeof merged);
    return (merged[0].revents | merged[vector_entries - 1].revents) == 0;
  }

  void set(std::uint32_t position, int fd, Interest interest, std::uint64_t token) {
    const unsigned events = detail::bits(interest) | (any(interest & Interest::read) ? read_closed_event : 0u);
    fds_[position] = {fd, static_cast<short>(events), 0};
    tokens_[position] = token;
  }
  void swap(std::size_t a, std::size_t b) {
    std::swap(index_[find(fds_[a].fd)], index_[find(fds_[b].fd)]);
    std::swap(fds_[a], fds_[b]);
    std::swap(tokens_[a], tokens_[b]);
  }

  // The hash table's cell where the search for a descriptor begins. Knuth, volume 3, section 6.4: descriptors are small
  // numbers that follow each other; multiplied, they are spread out.
  static std::uint32_t home(int fd) { return (static_cast<std::uint32_t>(fd) * 2654435769u) >> __builtin_clz(mask); }

  std::uint32_t find(int fd) const {
    std::uint32_t cell = home(fd);
    while (index_[cell] != 0 && fds_[index_[cell] - 1].fd != fd) cell = (cell + 1) & mask;
    return index_[cell] != 0 ? cell : not_found;
  }

  // Empties a cell. Knuth, volume 3, section 6.4, algorithm R: what follows it moves up, so that no tombstones are
  // needed.
  void erase(std::uint32_t hole) {
    for (std::uint32_t cell = (hole + 1) & mask; index_[cell] != 0; cell = (cell + 1) & mask) {
      const std::uint32_t wanted = home(fds_[index_[cell] - 1].fd);
      const bool reaches_hole = ((cell - wanted) & mask) >= ((cell - hole) & mask);
      if (!reaches_hole) continue;
      index_[hole] = index_[cell];
      hole = cell;
    }
    index_[hole] = 0;
  }

  alignas(Vector) pollfd fds_[N] = {};
  std::uint64_t tokens_[N] = {};
  std::uint32_t index_[mask + 1] = {};  // the cells: 0 for a free one, else the entry's position + 1
  std::uint32_t count_ = 0;
  std::uint32_t start_ = 0;  // where the next answer begins, if not all fits
};

}  // namespace MOTE_NAMESPACE
}  // namespace mote

#endif  // MOTE_SELECTOR_POLL_SELECTOR_HPP

// =====================================================================================================================
// include/mote/task/observation.hpp
// =====================================================================================================================
// What a reactor counts, and what it tells an observer.
#ifndef MOTE_TASK_OBSERVATION_HPP
#define MOTE_TASK_OBSERVATION_HPP

namespace mote {
inline namespace MOTE_NAMESPACE {
class Task;

// What has happened in a reactor so far. Read it whenever you like; nothing depends on it.
struct Statistics {
  std::uint32_t descriptors = 0;       // registered now
  std::uint32_t descriptors_high = 0;  // the most there have been at a time
  std::uint32_t tasks = 0;
  std::uint32_t tasks_high = 0;
  std::uint32_t timers_high = 0;
  std::uint32_t stale_events = 0;  // events of registrations that had been removed
  std::uint32_t selector_rebuilds = 0;
  std::uint64_t turns = 0;
  std::uint64_t events = 0;
  std::uint64_t steps = 0;
  std::uint64_t timers_fired = 0;
  std::uint64_t tasks_spawned = 0;
  std::uint64_t tasks_ended = 0;
  std::uint64_t tasks_failed = 0;
  std::uint64_t tasks_destroyed = 0;
  Duration longest_step{};  // measured while a slow-step threshold is set
};

// What an observer is told, at the moment at which it happens.
struct Observation {
  enum Kind : std::uint8_t {
    task_failed,      // and nobody holds its handle; `error` says why
    slow_step,        // `task` ran for `duration`, which is the threshold or more
    table_full,       // no slot for one more descriptor
    selector_rebuilt  // pollable_descriptor() is another one now
  };

  Kind kind;
  const Task* task = nullptr;
  Error error;
  Duration duration{};
};
using Observer = Delegate<void(const Observation&)>;

}  // namespace MOTE_NAMESPACE
}  // namespace mote

#endif  // MOTE_TASK_OBSERVATION_HPP

// =====================================================================================================================
// include/mote/task/queue_place.hpp
// =====================================================================================================================
// A task's place in a wait queue.
#ifndef MOTE_TASK_QUEUE_PLACE_HPP
#define MOTE_TASK_QUEUE_PLACE_HPP

namespace mote {
inline namespace MOTE_NAMESPACE {
class WaitQueue;
namespace detail {
struct TaskHeader;

// A task's place in a WaitQueue. It lies in the task's control block, so that waiting allocates nothing and a task that
// ends takes its places with it.
//
//   state     queue   linked   task    meaning
//   free      null    no       any     the task does not use it
//   standing  set     yes      set     the task stands in the queue
//   released  set     no       set     the queue has let the task go: its next attempt succeeds, even if what it waited
//                                      for has been taken back by then
//   orphaned  set     no       null    the queue has been destroyed and must not be touched: the next attempt is
//                                      cancelled
struct QueuePlace : ListNode {
  bool is_released() const { return !linked(); }  // or orphaned; of a place that is not free
  bool is_orphaned() const { return !linked() && task == nullptr; }
  void leave();  // becomes free. If it stood first, whoever is first now is woken to look.

  WaitQueue* queue = nullptr;
  TaskHeader* task = nullptr;
};

}  // namespace detail
}  // namespace MOTE_NAMESPACE
}  // namespace mote

#endif  // MOTE_TASK_QUEUE_PLACE_HPP

// =====================================================================================================================
// include/mote/task/run_queue.hpp
// =====================================================================================================================
// The queue of tasks that are to be stepped.
#ifndef MOTE_TASK_RUN_QUEUE_HPP
#define MOTE_TASK_RUN_QUEUE_HPP

namespace mote {
inline namespace MOTE_NAMESPACE {
namespace detail {

struct TaskHeader;

// Tasks in the order in which they were woken. Unlike other lists it is closed to a ring by start(), before its first
// use, so that push() and pop(), which are on the way of every message, need not ask whether it is one.
struct RunQueue : List<TaskHeader, Hook<0>> {
  void start() { ring(); }
  bool empty() const { return head_.next == &head_; }

  void push(ListNode& node) {
    MOTE_ASSERT(!node.linked() && head_.linked());
    ListNode* const last = head_.prev;
    node.next = &head_;
    head_.prev = &node;
    last->next = &node;
    node.prev = last;
  }

  // The first one. The queue must not be empty.
  TaskHeader* pop();  // defined in task_header.hpp

  // Moves all of `other`, which must not be empty, into this queue, which must be.
  void take_all(RunQueue& other) {
    ListNode* const first = other.head_.next;
    ListNode* const last = other.head_.prev;
    head_.next = first;
    first->prev = &head_;
    other.head_.next = &other.head_;
    head_.prev = last;
    last->next = &head_;
    other.head_.prev = &other.head_;
  }
};

}  // namespace detail
}  // namespace MOTE_NAMESPACE
}  // namespace mote

#endif  // MOTE_TASK_RUN_QUEUE_HPP

// =====================================================================================================================
// include/mote/task/step.hpp
// =====================================================================================================================
// What one step of a task returns, and how a task has ended.
#ifndef MOTE_TASK_STEP_HPP
#define MOTE_TASK_STEP_HPP

namespace mote {
inline namespace MOTE_NAMESPACE {

// What one resumption of a task returns: `pending`, done() or failed(error).
struct [[nodiscard]] Step {
  constexpr Step(Pending) : code(-1) {}
  constexpr explicit Step(int ended_with) : code(ended_with) { MOTE_ASSERT(code >= 0); }
  constexpr bool is_pending() const { return code < 0; }

  int code;  // less than 0: pending; 0: done; else the errno value that the task failed with
};
constexpr Step done() { return Step(0); }
constexpr Step failed(Error error) { return Step(error.code()); }

// How a task ended. A task that fails with ECANCELED, or that is destroyed before its end, counts as cancelled.
struct Outcome {
  enum class Kind : std::uint8_t { none, done, failed, cancelled };

  Kind kind = Kind::none;  // none: it has not ended
  Error error;             // why, of a failed task
};

}  // namespace MOTE_NAMESPACE
}  // namespace mote

#endif  // MOTE_TASK_STEP_HPP

// =====================================================================================================================
// include/mote/task/waiter.hpp
// =====================================================================================================================
// A place where one task can be noted as waiting.
#ifndef MOTE_TASK_WAITER_HPP
#define MOTE_TASK_WAITER_HPP

namespace mote {
inline namespace MOTE_NAMESPACE {
namespace detail {
struct TaskHeader;
}

// A place where one task at a time can be noted as waiting: a member of whatever can be waited for. An operation notes
// its task with PollContext::attempt(); whoever brings what is waited for calls notify().
//
// Neither side dangles: a task that ends leaves all the waiters that name it, and the owner of a waiter calls clear()
// in its destructor. After a wake-up the waiter goes on naming its task, so that waiting again for the same thing costs
// two stores. Everything is O(1). Size on a 32-bit board: 16 bytes.
class Waiter : public detail::ListNode {
 public:
  // Wakes the task that waits, if one does. Returns whether there was one.
  bool notify() {
    if (awaited_ == 0) return false;
    wake();
    return true;
  }
  // Wakes the task that waits: there must be one.
  void wake();
  // Names nobody any more, and wakes nobody. It is linked exactly as long as it names a task.
  void clear() {
    if (!linked()) return;
    unlink();
    task_ = nullptr;
    awaited_ = 0;
  }

  bool is_waiting() const { return awaited_ != 0; }
  // For what the task waits, where there are several things, as bits; 0: it does not wait now.
  std::uint32_t awaited() const { return awaited_; }
  bool has_task() const { return task_ != nullptr; }

  // For the library: PollContext::attempt() does this for operations.
  void wait(detail::TaskHeader& task, std::uint32_t what = 1) {
    if (task_ != &task) attach(task);
    awaited_ = what;
  }
  void wait_again(std::uint32_t what) { awaited_ = what; }  // of the task that it names already
  bool names(const detail::TaskHeader& task) const { return task_ == &task; }
  bool is_taken_by_another(const detail::TaskHeader& task) const { return awaited_ != 0 && task_ != &task; }
  void leave(const detail::TaskHeader& task) {
    if (task_ == &task) clear();
  }
 private:
  void attach(detail::TaskHeader& task);

  detail::TaskHeader* task_ = nullptr;
  std::uint32_t awaited_ = 0;
};

}  // namespace MOTE_NAMESPACE
}  // namespace mote

#endif  // MOTE_TASK_WAITER_HPP

// =====================================================================================================================
// include/mote/task/task_header.hpp
// =====================================================================================================================
// The control block of a task: what the scheduler and operations know of it.
#ifndef MOTE_TASK_TASK_HEADER_HPP
#define MOTE_TASK_TASK_HEADER_HPP

namespace mote {
inline namespace MOTE_NAMESPACE {
namespace detail {

class TaskStore;
struct TaskHeader;

// Told of a task's end, in the place of whoever would join it. Called through a pointer, so that a program without task
// groups has nothing of them.
struct EndHook {
  void (*ended)(TaskHeader&) = nullptr;
};

// Whoever keeps a task's slot beyond the task's end, to learn its outcome: what a TaskHandle is made of.
struct TaskHolder {
  TaskHeader* task = nullptr;
  EndHook* group = nullptr;  // of which the task is a member
};

// A task's control block: the first part of its slot in a pool, outside of the task's own object. All library code
// deals with this; Task is what users see of it, PollContext what operations see. Only the loop's thread uses it.
//
//   free --claim, start--> queued --run queue--> running --pending--> suspended --wake, cancel--> queued
//                                                  `--done, failed--> finished --holder gone or none--> free
//
// Cancellation costs nothing where there is none: it takes away the task's share of operations. So the next operation
// finds no budget, asks why, and answers ECANCELED.
struct TaskHeader : Hook<0> {
  enum class State : std::uint8_t { free, live, ending, finished };

  bool is_live() const { return state == State::live; }
  void queue() {
    if (!linked()) run_queue->push(*this);
  }
  void wake() {
    if (is_live()) queue();
  }

  bool is_cancelling() const { return share == 0; }
  void set_share(std::uint8_t operations) {
    share = operations;
    budget = operations;
  }
  void request_cancellation() { set_share(0); }
  void acknowledge_cancellation() { set_share(limits::operations_per_step); }
  void cancel() {
    if (!is_live()) return;
    if (shields != 0) {
      cancel_held = true;
      return;
    }
    request_cancellation();
    queue();
  }

  // For operations: see PollContext.
  bool consume_budget() { return --budget >= 0; }
  bool proceed(Error& refusal) {
    if (consume_budget()) return true;
    refusal = refuse();
    return false;
  }
  bool may_complete(Error& refusal) {
    if (budget > 0) return true;
    return may_complete_at_last(refusal);
  }
  [[gnu::cold]] bool may_complete_at_last(Error& refusal) {
    if (is_cancelling() && !abandoning) return true;
    refusal = refuse();
    return false;
  }
  [[gnu::noinline]] Error refuse() {
    if (abandoning) return Error(ECANCELED);
    if (is_cancelling()) {
      acknowledge_cancellation();
      return Error(ECANCELED);
    }
    wake();
    return suspend("its next turn");
  }

  void raise_shield() {
    if (is_cancelling()) {
      cancel_held = true;
      acknowledge_cancellation();
    }
    MOTE_ASSERT(shields != UINT8_MAX);
    ++shields;
  }
  void lower_shield() {
    if (--shields != 0 || !cancel_held) return;
    cancel_held = false;
    cancel();
  }

  // Its place in that queue, or null. Of no queue (null): a free place.
  QueuePlace* place_in(const WaitQueue* wait_queue) {
    for (QueuePlace& place : places) {
      if (place.queue == wait_queue) return &place;
    }
    return nullptr;
  }
  // What an operation answers that has noted the task as waiting; `what` says for what, in words.
  Error suspend(const char* what) {
    waits_for = what;
    return suspended;
  }
  bool may_be_waiting() const { return in_queues || !waiters.empty(); }

  State state = State::free;
  std::uint8_t share = 0;           // operations that each step may complete; 0: a cancellation is to be answered
  std::uint8_t shields = 0;         // while there are any, cancel() is held back
  bool in_queues = false;           // it has stood in a WaitQueue, so its places have to be looked at
  bool operation_shielded = false;  // by shield(), until the operation completes
  bool cancel_held = false;         // a cancellation came while shields were up
  bool abandoning = false;          // attempts are made only to make operations leave where they wait
  Step (*step)(TaskHeader&) = nullptr;
  RunQueue* run_queue = nullptr;  // of its scheduler, and of its priority
  TaskStore* store = nullptr;     // in whose slot it lies
  TaskHolder* holder = nullptr;
  List<Waiter> waiters;  // that name it
  QueuePlace places[limits::queues_per_task];
  Waiter joiner;                    // the task that waits for its end
  const char* waits_for = nullptr;  // in words, while suspended; null: queued. After its end: its name
  std::uint32_t line = 0;           // of the source, where it is suspended
  std::uint32_t generation = 0;
  std::int32_t budget = 0;  // operations left in this step
  int code = 0;             // 0, or the errno value that it failed with
  Instant since{};          // when it was suspended
};

inline TaskHeader* RunQueue::pop() {
  ListNode* const node = head_.next;
  head_.next = node->next;
  node->next->prev = &head_;
  node->next = nullptr;
  return from(node);
}

}  // namespace detail

inline void Waiter::wake() {
  MOTE_ASSERT(task_ != nullptr);
  awaited_ = 0;
  task_->queue();
}
inline void Waiter::attach(detail::TaskHeader& task) {
  clear();
  task_ = &task;
  task.waiters.push_back(*this);
}

}  // namespace MOTE_NAMESPACE
}  // namespace mote

#endif  // MOTE_TASK_TASK_HEADER_HPP

// =====================================================================================================================
// include/mote/task/wait_queue.hpp
// =====================================================================================================================
// A queue of tasks that wait for the same thing.
#ifndef MOTE_TASK_WAIT_QUEUE_HPP
#define MOTE_TASK_WAIT_QUEUE_HPP

namespace mote {
inline namespace MOTE_NAMESPACE {

// Tasks that wait for the same thing, in order of arrival: a member of what many tasks can wait for. An operation joins
// it with PollContext::attempt(); whoever brings something calls notify().
//
// Only the task that stands first may take what is there. When the first one leaves, for whatever reason (served,
// cancelled, timed out, destroyed), the next is woken to look: so what is there is never left lying for a task that has
// gone. A wake-up is only a hint to look. Nobody overtakes. A task can stand in limits::queues_per_task queues at a
// time. The queue may be destroyed before those who wait: they get ECANCELED, and do not touch it again. O(1) but where
// stated. Size on a 32-bit board: 8 bytes.
class WaitQueue {
 public:
  constexpr WaitQueue() = default;
  WaitQueue(const WaitQueue&) = delete;
  WaitQueue& operator=(const WaitQueue&) = delete;
  ~WaitQueue() {
    while (detail::QueuePlace* const place = places_.pop_front()) {
      detail::TaskHeader* const task = std::exchange(place->task, nullptr);
      task->wake();
    }
  }

  // Wakes the first `count` tasks to look; they stay in the queue until they have been served. O(count).
  void notify(std::size_t count = 1) {
    for (detail::QueuePlace* place = places_.front(); place != nullptr && count != 0; place = places_.after(*place)) {
      place->task->wake();
      --count;
    }
  }
  [[gnu::noinline]] void notify_all() { notify(SIZE_MAX); }
  // Lets all of them go: their attempts succeed, whatever is there when they are made. O(waiting tasks).
  void release_all() {
    while (detail::QueuePlace* const place = places_.pop_front()) place->task->wake();
  }
  bool empty() { return places_.empty(); }

  // The rest is for the library: PollContext::attempt() does it for operations.

  // Whether a task with that place, or a newcomer (null), may take what is there.
  bool is_next(const detail::QueuePlace* place) { return places_.empty() || places_.front() == place; }
  // Joins the queue, or stays in it. ENOBUFS: the task stands in too many queues already.
  Error wait(detail::TaskHeader& task, const char* what) {
    detail::QueuePlace* place = task.place_in(this);
    if (place == nullptr) place = task.place_in(nullptr);
    if (place == nullptr) return Error(ENOBUFS);
    place->queue = this;
    place->task = &task;
    task.in_queues = true;
    if (!place->linked()) places_.push_back(*place);
    return task.suspend(what);
  }
  // Leaves the queue without waking the next: where all of them are woken together.
  void remove(detail::TaskHeader& task) {
    if (detail::QueuePlace* const place = task.place_in(this)) {
      place->unlink();
      place->queue = nullptr;
    }
  }
  // After an attempt that was refused: the task stands in line all the same; cancelled or abandoning, it leaves.
  // Seldom called, and out of line, so that every queue shares it.
  [[gnu::noinline]] Error refuse(detail::TaskHeader& task, detail::QueuePlace* place, Error refusal) {
    if (refusal != ECANCELED) return wait(task, "its next turn");
    if (place != nullptr) place->leave();
    return refusal;
  }
  void leave(detail::QueuePlace& place) {
    const bool first = places_.front() == &place;
    place.unlink();
    if (first) notify();
  }
 private:
  detail::List<detail::QueuePlace> places_;
};

inline void detail::QueuePlace::leave() {
  WaitQueue* const from = std::exchange(queue, nullptr);
  if (linked()) from->leave(*this);
}

}  // namespace MOTE_NAMESPACE
}  // namespace mote

#endif  // MOTE_TASK_WAIT_QUEUE_HPP

// =====================================================================================================================
// include/mote/task/task_store.hpp
// =====================================================================================================================
// The slots of a task pool, whatever its tasks' type and number.
#ifndef MOTE_TASK_TASK_STORE_HPP
#define MOTE_TASK_TASK_STORE_HPP

namespace mote {
inline namespace MOTE_NAMESPACE {
namespace detail {

class Scheduler;

// What the tasks of one pool have in common.
struct TaskType {
  Step (*step)(TaskHeader&);
  void (*destroy)(TaskHeader&);  // ends the lifetime of the task's object
  const char* (*name)(TaskHeader&);
  std::uint32_t slot_size;  // in bytes
  std::uint32_t slots;
};

// The slots of one pool. Untouched slots stay untouched: a new one is used only when no other is free, and the one that
// became free last is used first, since its memory is in the cache. All-zero bits are a valid empty state.
class TaskStore : public ListNode {
 public:
  std::uint32_t used() const { return used_; }
  std::uint32_t fresh() const { return fresh_; }  // slots from this one on have never been used
  Scheduler* scheduler() const { return scheduler_; }
  const TaskType& type() const { return *type_; }
  WaitQueue& vacancy() { return vacancy_; }

  // The first task, or the first for this scheduler.
  void bind(Scheduler& scheduler, void* slots, const TaskType& type) {
    scheduler_ = &scheduler;
    slots_ = slots;
    stride_ = type.slot_size;
    type_ = &type;
  }
  void unbind() { scheduler_ = nullptr; }

  // A slot that is free, or null: full.
  TaskHeader* claim(const TaskType& type) {
    TaskHeader* task = free_;
    if (task != nullptr) {
      free_ = static_cast<TaskHeader*>(static_cast<Hook<0>*>(std::exchange(task->next, nullptr)));
    } else {
      if (fresh_ == type.slots) return nullptr;
      task = &at(fresh_++);
      task->store = this;
    }
    ++used_;
    return task;
  }
  void release(TaskHeader& task) {
    task.state = TaskHeader::State::free;
    task.joiner.clear();
    task.next = free_;
    free_ = &task;
    --used_;
    vacancy_.notify();
  }

  TaskHeader& at(std::uint32_t i) const {
    auto* const bytes = static_cast<unsigned char*>(slots_) + std::size_t{i} * stride_;
    return *static_cast<TaskHeader*>(static_cast<void*>(bytes));
  }
 private:
  Scheduler* scheduler_ = nullptr;  // null: it has had no task yet
  void* slots_ = nullptr;
  const TaskType* type_ = nullptr;
  TaskHeader* free_ = nullptr;  // linked by `next` alone
  WaitQueue vacancy_;           // tasks that wait for a free slot
  std::uint32_t stride_ = 0;    // from one slot to the next, in bytes
  std::uint32_t used_ = 0;
  std::uint32_t fresh_ = 0;
};

}  // namespace detail
}  // namespace MOTE_NAMESPACE
}  // namespace mote

#endif  // MOTE_TASK_TASK_STORE_HPP

// =====================================================================================================================
// include/mote/task/task.hpp
// =====================================================================================================================
// A task, as those see it who use it.
#ifndef MOTE_TASK_TASK_HPP
#define MOTE_TASK_TASK_HPP

namespace mote {
inline namespace MOTE_NAMESPACE {
namespace detail {
struct TaskAccess;
}

// A task: a function that is stepped again and again, and waits between its steps without a stack of its own.
// TaskPool::spawn() makes one. It lies in its pool's slot, beside the task's own object, and belongs to the loop's
// thread: every call is for that thread, and O(1). What operations need of a task is PollContext. Size on a 32-bit
// board: 136 bytes.
class Task : detail::TaskHeader {
 public:
  // The reactor that runs it. (The reactor's layer is above this one, and defines it: see reactor/reactor.hpp.)
  auto& reactor() const;

  // Has it stepped in the next turn. To wake it twice is to wake it once; a task that has ended is not touched.
  void wake() { TaskHeader::wake(); }
  // Makes the operation that is pending, or else the next one, answer ECANCELED: once, and from the run queue, not in
  // here. What had completed by then keeps its result, and the next operation is the one that answers. While shields
  // are up, it is held back.
  void cancel() { TaskHeader::cancel(); }
  bool cancel_requested() const { return is_cancelling() || cancel_held; }  // and not answered yet

  // Which run queue it is in: from 0, the lowest and the one it starts in, to Config::priorities - 1.
  // Errors:
  //   EINVAL   there is no such priority.
  Result<void> set_priority(std::uint32_t level);

  bool is_alive() const { return is_live(); }
  // T::name if the task's type has one, else the type as the compiler spells it: "Echo]".
  const char* name() const {
    if (!is_live()) return TaskHeader::waits_for;  // where its name was noted when it ended
    return store->type().name(const_cast<Task&>(*this));
  }
  // The source line at which it is suspended; 0 before the first.
  std::uint32_t line() const { return TaskHeader::line; }
  // What it waits for, in words; null if it is queued.
  const char* waits_for() const { return TaskHeader::waits_for; }
  // Since when it has been suspended, as far as the reactor looked at the clock then.
  Instant since() const { return TaskHeader::since; }
 protected:
  constexpr Task() = default;
 private:
  friend class PollContext;
  friend struct detail::TaskAccess;
};

namespace detail {
// From a task to its control block and back, for the library.
struct TaskAccess {
  static TaskHeader& header(Task& task) { return task; }
  static const TaskHeader& header(const Task& task) { return task; }
  static Task& task(TaskHeader& header) { return static_cast<Task&>(header); }
};
}  // namespace detail

}  // namespace MOTE_NAMESPACE
}  // namespace mote

#endif  // MOTE_TASK_TASK_HPP

// =====================================================================================================================
// include/mote/task/poll_context.hpp
// =====================================================================================================================
// What writers of operations see of the task that awaits.
#ifndef MOTE_TASK_POLL_CONTEXT_HPP
#define MOTE_TASK_POLL_CONTEXT_HPP

namespace mote {
inline namespace MOTE_NAMESPACE {

// The task that awaits an operation, as the operation sees it: to be used within one attempt, and not kept. For your
// own operations see docs/operations.md. One that waits in one place is a call of attempt(), which does all of it in
// the right order:
//
//   auto next_key() {
//     return mote::operation<int>([this](mote::PollContext context) {
//       return context.attempt(waiter_, "a key", [this] { return take_key(); });  // EAGAIN from take_key(): wait
//     });
//   }
//
// Where that does not fit, the steps are: proceed() before the work; then do the work; if it cannot be done now, note
// the task where it will be woken, and return suspend(). A task completes limits::operations_per_step operations in a
// step; then it is refused until its next turn, so that it does not keep the others from theirs. This budget is also
// how a cancellation is delivered: it leaves none.
class PollContext {
 public:
  explicit PollContext(Task& task) : header_(&static_cast<detail::TaskHeader&>(task)) {}

  Task& task() const { return static_cast<Task&>(*header_); }
  void wake() const { header_->wake(); }

  // One attempt at something for which one task waits at a time. `get_result()` gives a Result; EAGAIN says that it is
  // not there yet, and then the task is noted in `waiter`. `what` says in words what is waited for. Errors, besides
  // those of get_result():
  //   EBUSY      another task waits there.
  //   ECANCELED  the task was cancelled. It does not wait any more.
  template <class GetResult, class R = std::decay_t<std::invoke_result_t<GetResult&>>>
  [[gnu::always_inline]] R attempt(Waiter& waiter, const char* what, GetResult&& get_result) const {
    return make_attempt<R>(*header_, waiter, what, get_result);
  }
  // One attempt at something for which many tasks wait, in order of arrival. `get_result(released)` is called when it
  // is this task's turn; `released` says that WaitQueue::release_all() has let it go. Errors, besides those of
  // get_result():
  //   ENOBUFS    the task stands in limits::queues_per_task queues already.
  //   ECANCELED  the task was cancelled, or the queue has been destroyed. It does not wait any more.
  template <class GetResult, class R = std::decay_t<std::invoke_result_t<GetResult&, bool>>>
  [[gnu::always_inline]] R attempt(WaitQueue& queue, const char* what, GetResult&& get_result) const {
    return make_attempt<R>(*header_, queue, what, get_result);
  }

  // Whether the operation may do its work. If not, `refusal` is what it has to return: detail::suspended (the task has
  // had its share and is queued again), or ECANCELED. It takes one operation from the task's budget.
  bool proceed(Error& refusal) const { return header_->proceed(refusal); }
  // The same for what may have completed already: it takes nothing from the budget, and a result that is there wins
  // over a cancellation.
  bool may_complete(Error& refusal) const { return header_->may_complete(refusal); }
  // Takes one operation from the budget. False: there was none left.
  bool consume_budget() const { return header_->consume_budget(); }
  std::int32_t budget() const { return header_->budget; }
  // Makes room for one attempt, for parts of an operation that is made of several: those before it may have used up the
  // budget.
  void ensure_attempt() const {
    if (header_->budget > 0 || is_cancelling() || is_abandoning()) return;
    header_->budget = 1;
  }
  // What proceed() answers when there is no budget. A cancellation is thereby answered.
  Error refuse() const { return header_->refuse(); }
  // What an operation returns that has noted the task as waiting; `what` is a string that lives on.
  Error suspend(const char* what) const { return header_->suspend(what); }

  // Makes an operation that is pending leave wherever the task waits for it, and nothing else: it cannot complete, and
  // what the task awaits besides goes on. For operations that are made of others.
  template <class Op> void abandon(Op& operation) const {
    const std::int32_t budget = header_->budget;
    const bool outer = std::exchange(header_->abandoning, true);
    header_->budget = 0;
    static_cast<void>(operation.poll(task()));
    header_->abandoning = outer;
    header_->budget = is_cancelling() ? 0 : budget;
  }
  // Whether this attempt is made only to leave: it must answer ECANCELED or pending, and complete nothing.
  bool is_abandoning() const { return header_->abandoning; }

  // A cancellation that is to be answered by the next operation that is refused.
  bool is_cancelling() const { return header_->is_cancelling(); }
  void request_cancellation() const { header_->request_cancellation(); }
  void acknowledge_cancellation() const { header_->acknowledge_cancellation(); }
  void cancel() const { header_->cancel(); }
  // Whether a shield has held a cancellation back, which is thereby taken.
  bool take_held_cancellation() const { return std::exchange(header_->cancel_held, false); }
  // Holds cancellations back until the operation that is pending completes, or is abandoned.
  void shield_operation(bool on) const {
    const bool was_on = std::exchange(header_->operation_shielded, on);
    if (was_on == on) return;
    if (on) header_->raise_shield();
    else header_->lower_shield();
  }
  bool& operation_shielded() const { return header_->operation_shielded; }

  // For the library.
  detail::TaskHeader& header() const { return *header_; }
 private:
  // attempt(), as functions of the control block: called out of line, a PollContext would have to lie in memory.
  template <class R, class GetResult>
  static R make_attempt(detail::TaskHeader& task, Waiter& waiter, const char* what, GetResult& get_result) {
    Error refusal;
    if (!task.may_complete(refusal)) return leave(task, waiter, refusal);
    R result = get_result();
    if (result || result.error() != EAGAIN) {
      task.consume_budget();
      return result;
    }
    if (waiter.is_taken_by_another(task)) return Error(EBUSY);
    if (!task.proceed(refusal)) return leave(task, waiter, refusal);
    waiter.wait(task);
    return task.suspend(what);
  }
  template <class R, class GetResult>
  static R make_attempt(detail::TaskHeader& task, WaitQueue& queue, const char* what, GetResult& get_result) {
    detail::QueuePlace* const place = task.place_in(&queue);
    const bool released = place != nullptr && place->is_released();
    if (released && place->task == nullptr) {  // orphaned: the queue is no more
      place->leave();
      return Error(ECANCELED);
    }
    Error refusal;
    if (!task.may_complete(refusal)) {
      const bool keeps_place = released && refusal != ECANCELED;  // it says that the task was released
      return keeps_place ? refusal : queue.refuse(task, place, refusal);
    }
    if (released || queue.is_next(place)) {
      R result = get_result(released);
      if (result || result.error() != EAGAIN) {
        if (place != nullptr) place->leave();
        task.consume_budget();
        return result;
      }
    }
    return task.proceed(refusal) ? queue.wait(task, what) : queue.refuse(task, place, refusal);
  }
  static Error leave(detail::TaskHeader& task, Waiter& waiter, Error refusal) {
    if (refusal == ECANCELED) waiter.leave(task);
    return refusal;
  }

  detail::TaskHeader* header_;
};

}  // namespace MOTE_NAMESPACE
}  // namespace mote

#endif  // MOTE_TASK_POLL_CONTEXT_HPP

// =====================================================================================================================
// include/mote/task/operation.hpp
// =====================================================================================================================
// Operations: what can be awaited.
#ifndef MOTE_TASK_OPERATION_HPP
#define MOTE_TASK_OPERATION_HPP

namespace mote {
inline namespace MOTE_NAMESPACE {

// What functions that return `auto` give, to be awaited. It is stateless: poll() makes one attempt, which either gives
// the Result<T>, or notes the task as waiting and is pending; then it is made again in the task's next step. So a
// wake-up for nothing is harmless, and whatever has a state across attempts is an object with a name of its own (a
// stream, a timer).
template <class T, class Attempt> struct [[nodiscard]] Operation {
  Poll<Result<T>> poll(Task& task) { return attempt(PollContext(task)); }

  Attempt attempt;  // called with a PollContext; gives a Result<T>, or an Error, or a Poll<Result<T>>
};

// Makes an operation that gives a T: `operation<int>([this](mote::PollContext context) -> mote::Result<int> { ... })`.
template <class T, class Attempt> Operation<T, Attempt> operation(Attempt attempt) { return {attempt}; }

namespace detail {

template <class R> struct ValueOf;
template <class T> struct ValueOf<Result<T>> { using type = T; };
// What an operation gives, be it an Operation or another type with a poll(): a Result<T>, and its T.
template <class Op> using Answer = typename decltype(std::declval<Op&>().poll(std::declval<Task&>()))::value_type;
template <class Op> using Awaited = typename ValueOf<Answer<Op>>::type;

}  // namespace detail

}  // namespace MOTE_NAMESPACE
}  // namespace mote

#endif  // MOTE_TASK_OPERATION_HPP

// =====================================================================================================================
// include/mote/task/scheduler.hpp
// =====================================================================================================================
// The scheduler: steps tasks, and ends them.
#ifndef MOTE_TASK_SCHEDULER_HPP
#define MOTE_TASK_SCHEDULER_HPP

namespace mote {
inline namespace MOTE_NAMESPACE {
namespace detail {

// The part of a reactor that steps tasks: run queues, the pools that tasks lie in, the clock as it was last read, what
// is counted and who is told. A reactor is one object written in layers, each a class that derives from the one below:
// Scheduler (tasks), DescriptorTable (what tasks wait for), Loop (the turn, time and wake-ups). So they share all of
// this without a pointer from one to the other.
class Scheduler : Pinned {
 public:
  // ---- the clock ----

  // The time at which this turn's events were received; read from the clock when it is first asked for.
  Instant now() { return now_known_ ? now_ : read_clock(); }
  Instant last_known_time() const { return now_; }
  Instant read_clock() {
    now_ = Clock::now();
    now_known_ = true;
    return now_;
  }

  // ---- pools ----

  // A free slot of a pool, noted in `holder`.
  // Errors:
  //   ENOBUFS    the pool is full.
  //   EINVAL     the pool has tasks of another scheduler.
  //   ECANCELED  a task or a pool is being destroyed: its destructors spawn no others.
  Result<void> claim(TaskStore& store, void* slots, const TaskType& type, TaskHolder& holder) {
    if (destroying_) return Error(ECANCELED);
    if (store.scheduler() != this) {
      if (store.used() != 0) return Error(EINVAL);
      store.unlink();
      store.bind(*this, slots, type);
      stores_.push_back(store);
      ready_.start();
    }
    TaskHeader* const task = store.claim(type);
    if (task == nullptr) return Error(ENOBUFS);
    hold(holder, *task);
    return {};
  }
  // Queues the first step of a task whose object has been made.
  void start(TaskHeader& task) {
    task.step = task.store->type().step;
    task.run_queue = &ready_;
    task.since = now_;
    task.line = 0;
    task.share = limits::operations_per_step;
    task.code = 0;
    task.state = TaskHeader::State::live;
    task.shields = 0;
    task.in_queues = false;
    task.operation_shielded = false;
    task.cancel_held = false;
    task.abandoning = false;
    if (++task.generation == 0) task.generation = 1;
    task.queue();
    ++stats_.tasks_spawned;
    ++stats_.tasks;
    if (stats_.tasks > stats_.tasks_high) stats_.tasks_high = stats_.tasks;
  }
  // The pool's storage goes: its tasks are destroyed, and handles to them become empty. O(slots used so far).
  static void close(TaskStore& store) {
    if (store.scheduler() == nullptr) return;
    Scheduler& self = *store.scheduler();
    const bool outer = std::exchange(self.destroying_, true);  // nor does an observer spawn into it
    for (std::uint32_t i = 0; i < store.fresh(); ++i) {
      TaskHeader& task = store.at(i);
      if (task.is_live()) self.destroy(task);
      if (task.holder != nullptr) detach(*task.holder);
    }
    self.destroying_ = outer;
    store.vacancy().notify_all();
    store.unlink();
    store.unbind();
  }

  // ---- handles ----

  [[gnu::noinline]] static void hold(TaskHolder& holder,
                                     TaskHeader& task) {  // inlined, g++ sees the address of a local kept
    holder.task = &task;
    task.holder = &holder;
  }
  // Gives up the claim on the task's slot. Whoever joins by this handle finds it empty.
  static void detach(TaskHolder& holder) {
    TaskHeader* const task = std::exchange(holder.task, nullptr);
    if (task == nullptr) return;
    task->holder = nullptr;
    task->joiner.notify();
    if (task->state != TaskHeader::State::finished) return;
    if (task->code != 0 && task->code != ECANCELED) {
      task->store->scheduler()->report(Observation::task_failed, &TaskAccess::task(*task), Error(task->code));
    }
    task->store->release(*task);
  }

  // ---- ends ----

  // Ends a task that is not the running one, wherever it stands.
  [[gnu::noinline]] void destroy(TaskHeader& task) {
    MOTE_ASSERT(&task != current_);
    const bool outer = std::exchange(destroying_, true);  // its destructor spawns no others
    ++stats_.tasks_destroyed;
    finish(task, ECANCELED);
    destroying_ = outer;
  }
  bool is_running(const TaskHeader& task) const { return &task == current_; }
  // visit(TaskHeader&) for each live task. O(slots used so far, of all pools).
  template <class Visit> [[gnu::always_inline]] void for_each_task(Visit&& visit) {
    for (TaskStore* store = stores_.front(); store != nullptr; store = stores_.after(*store)) {
      for (std::uint32_t i = 0; i < store->fresh(); ++i) {
        if (store->at(i).is_live()) visit(store->at(i));
      }
    }
  }
  void cancel_all_tasks() { static_cast<void>(end_all_tasks(false)); }
  // But not the running one. Returns how many there were.
  std::uint32_t destroy_all_tasks() { return end_all_tasks(true); }

  // ---- priorities ----

  Result<void> set_priority(TaskHeader& task, std::uint32_t level) {
    if (level > higher_levels_) return Error(EINVAL);
    const bool queued = task.linked();
    static_cast<Hook<0>&>(task).unlink();
    task.run_queue = level == 0 ? &ready_ : &higher_[level - 1];
    if (queued) task.wake();
    return {};
  }

  // ---- observation ----

  const Statistics& stats() const { return stats_; }
  Statistics& stats() { return stats_; }
  void observe(Observer observer) { observer_ = observer; }
  void set_slow_step_threshold(Duration threshold) {
    slow_step_ = threshold;
    measured_ = threshold != Duration::zero() ? &Scheduler::run_measured : nullptr;
  }
  [[gnu::cold]] void report(Observation::Kind kind, const Task* task = nullptr, Error error = {}) {
    report({kind, task, error, {}});
  }
  [[gnu::cold]] void report(const Observation& observation) {
    if (observer_) return observer_(observation);
    if (observation.kind == Observation::task_failed) print_failure(*observation.task, observation.error);
  }
 protected:
  constexpr Scheduler() = default;
  ~Scheduler() = default;

  void start_queues() {
    ready_.start();
    running_tasks_.start();
  }
  void start_higher_queues(RunQueue* higher, std::uint32_t levels) {
    higher_ = higher;
    higher_levels_ = levels;
    run_higher_ = &Scheduler::run_higher;
    for (std::uint32_t i = 0; i < levels; ++i) higher[i].start();
  }
  bool has_ready_task() const {
    for (std::uint32_t i = 0; i < higher_levels_; ++i) {
      if (!higher_[i].empty()) return true;
    }
    return !ready_.empty() || !running_tasks_.empty();
  }
  bool has_priorities() const { return run_higher_ != nullptr; }
  bool lowest_queue_is_empty() const { return ready_.empty(); }

  // Phase 1 of a turn: the tasks that are ready now. What they wake, themselves included, runs in the next turn.
  [[gnu::always_inline]] void run_ready_tasks() {
    std::uint32_t limit = UINT32_MAX;
    if (run_higher_ != nullptr) {
      run_higher_(*this);
      limit = limits::steps_below;
    }
    run_tasks(ready_, limit);
  }

  TaskStore* first_store() { return stores_.front(); }

  // The words that are used most come first: short instructions reach 124 bytes on Thumb-2 and 127 on x86.
  bool now_known_ = false;
  bool destroying_ = false;
  RunQueue ready_;          // of the lowest priority
  RunQueue running_tasks_;  // to be stepped in this turn
  TaskHeader* current_ = nullptr;
 private:
  [[gnu::always_inline]] void run_tasks(RunQueue& queue, std::uint32_t limit) {
    if (queue.empty()) return;
    running_tasks_.take_all(queue);
    for (;;) {
      TaskHeader* const task = running_tasks_.pop();
      current_ = task;
      task->budget = task->share;
      task->waits_for = nullptr;
      ++stats_.steps;
      const Step step = measured_ == nullptr ? task->step(*task) : measured_(*this, *task);
      if (step.is_pending()) {
        task->since = now_;
      } else {
        current_ = nullptr;
        finish(*task, step.code);
      }
      if (running_tasks_.empty()) break;
      --limit;
      if (limit == 0) break;
    }
    current_ = nullptr;
    if (running_tasks_.empty()) return;
    running_tasks_.take(queue);  // those that are left over go before those that were woken since
    queue.take_all(running_tasks_);
  }
  // All tasks of the highest priority, and a few of each other one: how long the highest waits does not depend on the
  // others.
  [[gnu::cold]] static void run_higher(Scheduler& self) {
    std::uint32_t limit = UINT32_MAX;
    for (std::uint32_t level = self.higher_levels_; level != 0; --level) {
      self.run_tasks(self.higher_[level - 1], limit);
      limit = limits::steps_below;
    }
  }
  [[gnu::cold]] static Step run_measured(Scheduler& self, TaskHeader& task) {
    const Instant start = Clock::now();
    const Step step = task.step(task);
    const Duration taken = Clock::now() - start;
    if (taken > self.stats_.longest_step) self.stats_.longest_step = taken;
    if (taken >= self.slow_step_) self.report({Observation::slow_step, &TaskAccess::task(task), {}, taken});
    return step;
  }

  // The one place where a task ends. Its object is destroyed first, then whoever joins it is woken.
  void finish(TaskHeader& task, int code) {
    if (code != 0 || task.holder != nullptr)
      task.waits_for = TaskAccess::task(task).name();  // it is asked for later on
    task.state = TaskHeader::State::ending;
    task.code = code;
    static_cast<Hook<0>&>(task).unlink();
    if (task.may_be_waiting()) stop_waiting(task);
    task.store->type().destroy(task);
    task.state = TaskHeader::State::finished;
    ++stats_.tasks_ended;
    --stats_.tasks;
    if (code != 0 || task.holder != nullptr) report_end(task, code);  // asked again: the destructor may have dropped it
    else task.store->release(task);
  }
  [[gnu::cold]] void report_end(TaskHeader& task, int code) {
    const bool failure = code != 0 && code != ECANCELED;
    if (failure) ++stats_.tasks_failed;
    if (task.holder != nullptr) {
      if (task.holder->group != nullptr) return task.holder->group->ended(task);
      task.joiner.notify();
      return;
    }
    if (failure) report(Observation::task_failed, &TaskAccess::task(task), Error(code));
    task.store->release(task);
  }
  [[gnu::cold]] static void stop_waiting(TaskHeader& task) {
    for (QueuePlace& place : task.places) place.leave();
    while (Waiter* const waiter = task.waiters.front()) waiter->clear();
  }
  std::uint32_t end_all_tasks(bool at_once) {
    const std::uint64_t before = stats_.tasks_destroyed;
    for_each_task([this, at_once](TaskHeader& task) {
      if (!at_once) task.cancel();
      else if (&task != current_) destroy(task);
    });
    return static_cast<std::uint32_t>(stats_.tasks_destroyed - before);
  }
  // Where there is no observer, failures that nobody joins go to standard error: none is silent.
  [[gnu::cold]] static void print_failure(const Task& task, Error error) {
    char line[256];
    const char* const name = task.name();
    const int name_length = static_cast<int>(::strcspn(name, ";]"));  // of a type as the compiler spells it
    ::snprintf(line, sizeof line, "mote: task %.*s failed after line %u: %s\n", name_length, name,
               static_cast<unsigned>(task.line()), error.message());
    static_cast<void>(System::write(STDERR_FILENO, line, ::strlen(line)));
  }

  void (*run_higher_)(Scheduler&) = nullptr;             // null where there is one priority
  Step (*measured_)(Scheduler&, TaskHeader&) = nullptr;  // run_measured(), where steps are measured
  Instant now_{};
  RunQueue* higher_ = nullptr;  // [i]: of priority i + 1
  std::uint32_t higher_levels_ = 0;
  Statistics stats_;
  List<TaskStore> stores_;
  Observer observer_;
  Duration slow_step_{};
};

// What TaskPool::spawn() takes: a Reactor converts to it.
struct SchedulerRef {
  Scheduler& scheduler;
};

}  // namespace detail

inline Result<void> Task::set_priority(std::uint32_t level) { return store->scheduler()->set_priority(*this, level); }

}  // namespace MOTE_NAMESPACE
}  // namespace mote

#endif  // MOTE_TASK_SCHEDULER_HPP

// =====================================================================================================================
// include/mote/task/state_machine.hpp
// =====================================================================================================================
// Tasks that are written top to bottom, with awaits: StateMachine and its macros.
#ifndef MOTE_TASK_STATE_MACHINE_HPP
#define MOTE_TASK_STATE_MACHINE_HPP

namespace mote {
inline namespace MOTE_NAMESPACE {
namespace detail {
struct StateMachineAccess;

// The source line of an await. Not an integer, so that a `switch` of the user's around an await does not compile.
enum class Line : std::uint32_t {};
}  // namespace detail

// Base of a task that is written from top to bottom, as one function step() with awaits in it:
//
//   mote::Step step() {
//     MOTE_BEGIN();
//     MOTE_AWAIT(got, client.read(bytes));
//     MOTE_END();
//   }
//
// It is a switch over source lines, so whatever must survive an await is a member. An initialised local variable that
// an await would jump past does not compile; one without initialiser, as `char b[8];`, does, and loses its value. One
// await on a line, and none inside of a `switch`. An early return ends the task. task() and reactor() are there from
// the first step on, not in the constructor. Size on a 32-bit board: 4 bytes.
class StateMachine : detail::Pinned {
 public:
  Task& task() const { return *task_; }
  // The reactor that runs it. (Defined by the reactor's layer, as Task::reactor().)
  auto& reactor() const;
 private:
  friend struct detail::StateMachineAccess;
  Task* task_ = nullptr;
};

namespace detail {
// Tells a state machine its task, and a macro the line at which a task goes on: for the pool and the macros.
struct StateMachineAccess {
  static void set_task(StateMachine& machine, Task& task) { machine.task_ = &task; }
  static std::uint32_t& line(Task& task) { return TaskAccess::header(task).line; }
};
}  // namespace detail

}  // namespace MOTE_NAMESPACE
}  // namespace mote

#define MOTE_DETAIL_JOIN2(a, b) a##b
#define MOTE_DETAIL_JOIN(a, b) MOTE_DETAIL_JOIN2(a, b)
// The label makes a second await on the same line an error that says what is wrong.
#define MOTE_DETAIL_SUSPENSION_POINT() \
  case ::mote::detail::Line{__LINE__}: \
    MOTE_DETAIL_JOIN(only_one_MOTE_AWAIT_or_MOTE_YIELD_per_line_, __LINE__) : __attribute__((unused))

// step() begins with MOTE_BEGIN() and ends with MOTE_END().
#define MOTE_BEGIN()                                                                   \
  ::mote::Task& mote_task = this->task();                                              \
  switch (::mote::detail::Line{::mote::detail::StateMachineAccess::line(mote_task)}) { \
    case ::mote::detail::Line{}:
#define MOTE_END() \
  }                \
  return ::mote::done()
// Waits until the operation completes, and assigns what it gives to `result`. The operation is written anew at each
// attempt, so it must name only what outlives the await.
#define MOTE_AWAIT(result, ...)                                     \
  do {                                                              \
    ::mote::detail::StateMachineAccess::line(mote_task) = __LINE__; \
    [[fallthrough]];                                                \
    MOTE_DETAIL_SUSPENSION_POINT();                                 \
    auto mote_poll = (__VA_ARGS__).poll(mote_task);                 \
    if (!mote_poll.ready()) return ::mote::Step(::mote::pending);   \
    ::mote::detail::Assignment::make(result, *mote_poll);           \
  } while (false)
// Lets everybody else run, and goes on in the next turn.
#define MOTE_YIELD()                                                \
  do {                                                              \
    ::mote::detail::StateMachineAccess::line(mote_task) = __LINE__; \
    mote_task.wake();                                               \
    return ::mote::Step(::mote::pending);                           \
    MOTE_DETAIL_SUSPENSION_POINT();                                 \
  } while (false)

#endif  // MOTE_TASK_STATE_MACHINE_HPP

// =====================================================================================================================
// include/mote/task/task_handle.hpp
// =====================================================================================================================
// The right to await a task's end, and to cancel it.
#ifndef MOTE_TASK_TASK_HANDLE_HPP
#define MOTE_TASK_TASK_HANDLE_HPP

namespace mote {
inline namespace MOTE_NAMESPACE {
namespace detail {
struct HandleAccess;
}

// The right to await a task's end, and to cancel it. While it is held, the task's slot stays taken after its end, to
// keep the outcome; the task's own object is gone by then. When it is dropped, the task goes on alone, and a failure is
// reported to the reactor's observer. Where the pool goes first, the handle becomes empty. Movable. Size on a 32-bit
// board: 8 bytes.
class TaskHandle : detail::TaskHolder {
 public:
  TaskHandle() = default;
  TaskHandle(TaskHandle&& other) noexcept { take(other); }
  TaskHandle& operator=(TaskHandle&& other) noexcept {
    if (this == &other) return *this;
    detach();
    take(other);
    return *this;
  }
  ~TaskHandle() { detach(); }

  explicit operator bool() const { return task != nullptr; }
  Task* get() const { return task != nullptr ? &detail::TaskAccess::task(*task) : nullptr; }  // null: an empty handle
  void detach() { detail::Scheduler::detach(*this); }                                         // becomes empty
  void cancel() {  // Task::cancel(); without effect where the handle is empty
    if (task != nullptr) task->cancel();
  }
  // Ends it at once: its object is destroyed, wherever it stands.
  // Errors:
  //   EBUSY  it is the task that is running: let it return done() instead.
  //   ESRCH  it has ended, or the handle is empty.
  Result<void> destroy() {
    if (task == nullptr || !task->is_live()) return Error(ESRCH);
    detail::Scheduler& scheduler = *task->store->scheduler();
    if (scheduler.is_running(*task)) return Error(EBUSY);
    scheduler.destroy(*task);
    return {};
  }
  Outcome outcome() const {  // of kind `none` while it runs
    if (task == nullptr || task->state != detail::TaskHeader::State::finished) return {};
    if (task->code == 0) return {Outcome::Kind::done, {}};
    return {task->code == ECANCELED ? Outcome::Kind::cancelled : Outcome::Kind::failed, Error(task->code)};
  }
  // Completes when the task has ended. Gives its outcome, and the handle becomes empty.
  // Errors:
  //   EINVAL     the handle is empty.
  //   EBUSY      another task awaits this one.
  //   ECANCELED  the task that waits was cancelled. The handle is as it was.
  auto join() {
    return operation<Outcome>([this](PollContext context) -> Result<Outcome> {
      if (task == nullptr) return Error(EINVAL);
      return context.attempt(task->joiner, "the end of a task", [this] { return take_outcome(); });
    });
  }
 private:
  friend struct detail::HandleAccess;
  Result<Outcome> take_outcome() {
    const Outcome ended = outcome();
    if (ended.kind == Outcome::Kind::none) return Error(EAGAIN);
    task->code = 0;  // it has been told: no failure is left to be reported
    detach();
    return ended;
  }
  void take(TaskHandle& other) {
    task = std::exchange(other.task, nullptr);
    if (task != nullptr) task->holder = this;
  }
};

namespace detail {
// From a handle to what the scheduler knows of it and back, for the library.
struct HandleAccess {
  static TaskHolder& holder(TaskHandle& handle) { return handle; }
  static TaskHandle& handle(TaskHolder& holder) { return static_cast<TaskHandle&>(holder); }
};
}  // namespace detail

}  // namespace MOTE_NAMESPACE
}  // namespace mote

#endif  // MOTE_TASK_TASK_HANDLE_HPP

// =====================================================================================================================
// include/mote/task/task_pool.hpp
// =====================================================================================================================
// Room for tasks of one type.
#ifndef MOTE_TASK_TASK_POOL_HPP
#define MOTE_TASK_TASK_POOL_HPP

namespace mote {
inline namespace MOTE_NAMESPACE {
namespace detail {

// The compiler's name of this function has the type's name at its end: "... [with T = Echo]" or "... [T = Echo]".
template <class T> constexpr const char* spelt_name() { return __builtin_strchr(__PRETTY_FUNCTION__, '=') + 2; }

// The name of a task of type T: T::name, if there is one.
template <class T, class = void> struct TaskName {
  static const char* of(const T&) { return spelt_name<T>(); }
};
template <class T> struct TaskName<T, std::enable_if_t<!std::is_member_pointer<decltype(&T::name)>::value>> {
  static const char* of(const T&) { return T::name; }
};

// Whether a task's step takes no argument.
template <class T, class = void> struct HasPlainStep : std::false_type {};
template <class T> struct HasPlainStep<T, std::void_t<decltype(std::declval<T&>().step())>> : std::true_type {};

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"
// Makes a T by its constructor, or, where T is an aggregate, member by member.
template <class T, class... A> T* construct(void* place, A&&... arguments) {
  if constexpr (std::is_constructible<T, A&&...>::value) {
    return ::new (place) T(std::forward<A>(arguments)...);
  } else if constexpr (std::is_base_of<StateMachine, T>::value) {  // whose first part is that base
    return ::new (place) T{{}, std::forward<A>(arguments)...};
  } else {
    return ::new (place) T{std::forward<A>(arguments)...};
  }
}
#pragma GCC diagnostic pop

}  // namespace detail

// Room for N tasks of type T. A T has `Step step()`, or `Step step(Task&)` where it does not derive from StateMachine.
// It is made in its slot by spawn(), stepped from the run queue alone, and destroyed as soon as it ends. The pool may
// lie in static storage (.bss) or on the stack; what it still holds when it goes is destroyed. It serves one reactor at
// a time. Size: N * (sizeof(Task) + sizeof(T)), and 48 bytes on a 32-bit board.
template <class T, std::size_t N> class TaskPool : detail::TaskStore {
 public:
  constexpr TaskPool() = default;
  ~TaskPool() { detail::Scheduler::close(*this); }

  // Makes a T by its constructor, which must not throw, or member by member (the others, large buffers too, are
  // zeroed), and queues its first step. `reactor` is a Reactor.
  // Errors:
  //   ENOBUFS    the pool is full: await vacancy(). The arguments are as they were.
  //   EINVAL     the pool has tasks of another reactor.
  //   ECANCELED  called by a destructor of a task, or by an observer while a pool is destroyed.
  template <class... A> Result<TaskHandle> spawn(detail::SchedulerRef reactor, A&&... arguments) {
    static constexpr detail::TaskType type{&TaskPool::step, &TaskPool::destroy, &TaskPool::name, sizeof(Slot), N};
    detail::Scheduler& scheduler = reactor.scheduler;  // captured by itself: `reactor` would have to lie in memory
    return Result<TaskHandle>::in_place([&](TaskHandle& handle) {
      detail::TaskHolder& holder = detail::HandleAccess::holder(handle);
      const Result<void> claimed = scheduler.claim(*this, slots_, type, holder);
      if (claimed) {
        Task& task = detail::TaskAccess::task(*holder.task);
        T* const made = detail::construct<T>(static_cast<Slot&>(task).bytes, std::forward<A>(arguments)...);
        if constexpr (std::is_base_of<StateMachine, T>::value) detail::StateMachineAccess::set_task(*made, task);
        scheduler.start(*holder.task);
      }
      return claimed;
    });
  }
  static constexpr std::uint32_t capacity() { return N; }
  std::uint32_t size() const { return used(); }  // slots taken, by tasks and by outcomes that somebody holds
  std::uint32_t vacancies() const { return capacity() - size(); }
  std::uint32_t high_water() const { return fresh(); }  // the most there have been at a time
  // Completes when a slot is free. Where others spawn into the pool too, be ready for ENOBUFS all the same.
  // Errors:
  //   ECANCELED  the task was cancelled, or the pool is no more.
  //   ENOBUFS    the task waits in limits::queues_per_task queues already.
  auto vacancy() {
    return operation<void>([this](PollContext context) {
      return context.attempt(TaskStore::vacancy(), "a vacancy",
                             [this](bool) { return size() < N ? Result<void>() : Error(EAGAIN); });
    });
  }
 private:
  static_assert(N >= 1 && N < (1u << 24), "between 1 and 16,777,215 tasks");
  struct Slot : Task {
    constexpr Slot() = default;
    alignas(T) unsigned char bytes[sizeof(T)] = {};
  };

  static T& object(detail::TaskHeader& header) {
    Slot& slot = static_cast<Slot&>(detail::TaskAccess::task(header));
    return *static_cast<T*>(static_cast<void*>(slot.bytes));
  }
  static Step step(detail::TaskHeader& header) {
    if constexpr (detail::HasPlainStep<T>::value) return object(header).step();
    else return object(header).step(detail::TaskAccess::task(header));
  }
  static void destroy(detail::TaskHeader& header) { object(header).~T(); }
  static const char* name(detail::TaskHeader& header) { return detail::TaskName<T>::of(object(header)); }

  Slot slots_[N];
};

}  // namespace MOTE_NAMESPACE
}  // namespace mote

#endif  // MOTE_TASK_TASK_POOL_HPP

// =====================================================================================================================
// include/mote/task/task_ref.hpp
// =====================================================================================================================
// Names a task that may have ended.
#ifndef MOTE_TASK_TASK_REF_HPP
#define MOTE_TASK_TASK_REF_HPP

namespace mote {
inline namespace MOTE_NAMESPACE {

// Names a task without keeping anything: to cancel or wake one that may have ended, and whose slot another may use by
// now. The pool must outlive it. Size on a 32-bit board: 8 bytes.
class TaskRef {
 public:
  TaskRef() = default;
  explicit TaskRef(Task& task)
      : task_(&detail::TaskAccess::header(task)), generation_(detail::TaskAccess::header(task).generation) {}

  bool names(const Task& task) const {
    const detail::TaskHeader& header = detail::TaskAccess::header(task);
    return task_ == &header && generation_ == header.generation;
  }
  Task* get() const {  // null once it has ended
    if (task_ == nullptr || task_->generation != generation_ || !task_->is_live()) return nullptr;
    return &detail::TaskAccess::task(*task_);
  }
  bool cancel() const {  // whether there was a task to cancel
    Task* const task = get();
    if (task == nullptr) return false;
    task->cancel();
    return true;
  }
  bool wake() const {  // whether there was a task to wake
    Task* const task = get();
    if (task == nullptr) return false;
    task->wake();
    return true;
  }
 private:
  detail::TaskHeader* task_ = nullptr;
  std::uint32_t generation_ = 0;
};

}  // namespace MOTE_NAMESPACE
}  // namespace mote

#endif  // MOTE_TASK_TASK_REF_HPP

// =====================================================================================================================
// include/mote/reactor/slot.hpp
// =====================================================================================================================
// A descriptor's slot in the table, and what names it from outside.
#ifndef MOTE_REACTOR_SLOT_HPP
#define MOTE_REACTOR_SLOT_HPP

namespace mote {
inline namespace MOTE_NAMESPACE {

using Handler = Delegate<void(Readiness)>;  // called with what the kernel reports of a descriptor

// Names a registration. One that has been removed is not found again, even when its slot is in use once more.
struct Registration {
  std::uint32_t slot = 0;
  std::uint32_t generation = 0;  // 0: none
  constexpr explicit operator bool() const { return generation != 0; }
};

namespace detail {

// The object that owns a slot's descriptor, if one does: the base of Source. The table closes it through a hook.
struct SlotOwner {};

// A descriptor's slot. `wanted` is the interest that should be armed, `known` what the kernel was told last. Where a
// handler is set, events go to it; else they wake the tasks that wait. Size on a 32-bit board: 72 bytes.
struct Slot {
  enum Flag : std::uint16_t {
    in_set = 0x01,        // the selector has it
    always_ready = 0x02,  // a regular file or its kin: EPERM from epoll
    muted = 0x04,         // an event came that its handler had not asked for: out of the set until it is modified
    listening = 0x08,     // closed when a shutdown begins
    is_socket = 0x10,
    is_tty = 0x20,
    connecting = 0x40,
    blocking = 0x80,    // not ours to make non-blocking: used only when reported ready
    is_stream = 0x100,  // a socket of type SOCK_STREAM
    is_tcp = 0x200      // and of our making: a short read says that nothing is left, so that edges are enough
  };
  // How the next attempt at reading or writing goes. With none of them it waits until the kernel reports something.
  enum DirectionState : std::uint8_t {
    may_try = 1,     // worth trying; not after a short read or EAGAIN, until something is reported
    read_fully = 2,  // a short read does not say that nothing is left (the peer has closed): read on until EAGAIN
    slow_path = 4    // no stream socket, or not only read from, or it has had urgent data: no shortcut applies
  };

  bool is(Flag flag) const { return (flags & flag) != 0; }
  void set(Flag flag) { flags |= flag; }
  void clear(Flag flag) { flags &= ~unsigned{flag}; }
  bool may_read() const { return (read_state & may_try) != 0; }
  bool may_write() const { return (write_state & may_try) != 0; }
  static void clear_state(std::uint8_t& state, DirectionState bit) {
    state = static_cast<std::uint8_t>(state & ~unsigned{bit});
  }

  int fd = 0;
  std::uint32_t generation = 0;
  std::uint32_t next_free = 0;
  std::uint32_t released_in = 0;  // the turn whose events were the last ones when it was released
  Interest wanted = Interest::none;
  Interest known = Interest::none;
  std::uint8_t read_state = 0;  // of DirectionState
  std::uint8_t write_state = 0;
  Readiness last = Readiness::none;  // what was reported last, but for plain data
  std::uint32_t flags = 0;           // of Flag
  SlotOwner* owner = nullptr;
  Handler handler;
  Waiter reader;  // what they await are bits of Interest
  Waiter writer;
};

// In what a reader awaits: not data alone, so that an event of plain data is not all that it may wait for.
constexpr unsigned awaits_more_than_data = 0x100;

}  // namespace detail
}  // namespace MOTE_NAMESPACE
}  // namespace mote

#endif  // MOTE_REACTOR_SLOT_HPP

// =====================================================================================================================
// include/mote/reactor/descriptor_table.hpp
// =====================================================================================================================
// The descriptor table: what is registered, what the kernel knows of it, and who hears of an event.
#ifndef MOTE_REACTOR_DESCRIPTOR_TABLE_HPP
#define MOTE_REACTOR_DESCRIPTOR_TABLE_HPP

namespace mote {
inline namespace MOTE_NAMESPACE {
namespace detail {

// What makes a turn differ from most others. All in one word, so that the usual turn tests nothing else.
enum LoopFlag : std::uint32_t {
  woken = 1,           // by another thread or a signal handler
  draining = 2,        // this run ends with the last task: a shutdown's
  rebuild_needed = 4,  // the selector is to be made anew
  never_waiting = 8    // the descriptors of some handlers are always ready, or were until now
};

// What every event needs of the table. In a base of its own, in front of the scheduler: short instructions reach 124
// bytes on Thumb-2 and 127 on x86, so the words that are used most come first.
struct TableWords {
  Interest edges_ = Interest::none;  // by_edges, where the selector knows them
  std::uint32_t flags_ = 0;          // of LoopFlag
  Slot* slots_ = nullptr;
  Selector* selector_ = nullptr;
  std::uint32_t capacity_ = 0;
  std::uint32_t free_ = 0;   // the first free slot that has been used before; 0: none
  std::uint32_t fresh_ = 0;  // slots beyond this one have never been used
};

// The part of a reactor that knows descriptors: a scheduler (see there) with a table of fixed capacity. Slot 0 is for
// the wake-up descriptor; slots 1 to capacity() are the table. An event carries its slot's place and generation; one
// whose generation is not the slot's is dropped, so that a removal is final at once, even within a batch of events.
class DescriptorTable : TableWords, public Scheduler {
 public:
  bool is_open() const { return selector_ != nullptr; }
  std::uint32_t vacancies() const { return capacity_ - stats().descriptors; }
  WaitQueue& vacancy() { return vacancy_; }            // tasks that wait for a free slot
  WaitQueue& accept_retry() { return accept_retry_; }  // tasks whose accept() the system refused a descriptor or memory

  bool has_flag(std::uint32_t flags) const { return (flags_ & flags) != 0; }
  void set_flag(LoopFlag flag) { flags_ |= flag; }
  void clear_flag(LoopFlag flag) { flags_ &= ~unsigned{flag}; }

  // ---- slots ----

  // Takes a free slot for a descriptor. The kernel hears of it when something is awaited.
  // Errors:
  //   ENXIO    the reactor is not open.
  //   EBADF    fd is negative.
  //   ENOBUFS  the table is full. The observer is told.
  Result<void> claim(int fd, Slot*& claimed) {
    if (selector_ == nullptr) return Error(ENXIO);
    if (fd < 0) return Error(EBADF);
    std::uint32_t index = free_;
    if (index != 0) {
      free_ = slots_[index].next_free;
    } else if (fresh_ < capacity_) {
      index = ++fresh_;
      slots_[index].generation = 1;
    } else {
      return report_table_full();
    }
    Statistics& counts = stats();
    ++counts.descriptors;
    if (counts.descriptors > counts.descriptors_high) counts.descriptors_high = counts.descriptors;
    claimed = &slots_[index];
    claimed->fd = fd;
    return {};
  }
  // Ends a registration that the selector does not have any more. Operations that are pending find their source closed.
  // Wakes all tasks that wait for a free slot, and takes as long.
  void release(Slot& slot) {
    if (slot.is(Slot::listening)) accept_retry_.notify_all();
    slot.reader.notify();
    slot.reader.clear();
    slot.writer.notify();
    slot.writer.clear();
    if (++slot.generation == 0) slot.generation = 1;
    slot.released_in = static_cast<std::uint32_t>(stats().turns);
    slot.wanted = Interest::none;
    slot.known = Interest::none;
    slot.last = Readiness::none;
    slot.read_state = 0;
    slot.write_state = 0;
    slot.flags = 0;
    slot.owner = nullptr;
    slot.handler = {};
    slot.next_free = free_;
    free_ = index_of(slot);
    --stats().descriptors;
    vacancy_.notify_all();
  }
  std::uint32_t index_of(const Slot& slot) const { return static_cast<std::uint32_t>(&slot - slots_); }
  Slot* find(Registration registration) {  // null: it has been removed
    if (registration.slot == 0 || registration.slot > fresh_) return nullptr;
    Slot& slot = slots_[registration.slot];
    return slot.generation == registration.generation && slot.handler ? &slot : nullptr;
  }
  void set_handler(Slot& slot, Handler handler) {
    slot.handler = handler;
    dispatch_always_ready_ = &DescriptorTable::dispatch_always_ready;
  }
  // Owners register with the function that closes them, so that a program without any has nothing of them.
  void set_owner(Slot& slot, SlotOwner& owner, void (*close_owner)(SlotOwner&)) {
    slot.owner = &owner;
    close_owner_ = close_owner;
  }
  void close_listeners() { close_owners(Slot::listening); }

  // ---- what the kernel knows ----

  // Makes the kernel know this interest. ENOMEM, ENOSPC: the kernel's limits; EBADF: closed behind our back; EEXIST:
  // registered by another slot.
  Result<void> set_interest(Slot& slot, Interest interest) {
    slot.wanted = interest;
    if (interest == slot.known && slot.is(Slot::in_set)) return {};
    return update_selector(slot);
  }
  void remove_from_selector(Slot& slot) {
    if (slot.is(Slot::in_set)) {
      // ENOENT, EBADF: closed behind our back, which has removed it too.
      if (!selector_->remove(slot.fd)) selector_->forget(slot.fd);
    }
    slot.clear(Slot::in_set);
    slot.known = Interest::none;
    if (!slot.reader.is_waiting()) slot.reader.clear();
  }
  // For a descriptor that is about to be closed, which makes the kernel remove it.
  void forget_in_selector(Slot& slot) {
    if (slot.is(Slot::in_set)) selector_->forget(slot.fd);
  }
  // Notes the task as waiting for a direction, and arms it.
  // Errors:
  //   EBUSY           another task waits for it, or a handler is called.
  //   ENOMEM, ENOSPC  the kernel's limits. Nobody is noted then.
  Result<void> wait_for(Slot& slot, Interest direction, TaskHeader& task) {
    Waiter& waiter = direction == Interest::write ? slot.writer : slot.reader;
    if (waiter.is_taken_by_another(task) || slot.handler) return Error(EBUSY);
    const bool plain = (slot.read_state & Slot::slow_path) == 0;
    waiter.wait(task, bits(direction) | (plain ? 0u : awaits_more_than_data));
    const Interest wanted = slot.wanted | direction;
    if (wanted == slot.known && !slot.is(Slot::always_ready)) return {};
    const Result<void> armed = set_interest(slot, plain && slot.is(Slot::is_tcp) ? wanted | edges_ : wanted);
    if (!armed) {
      waiter.clear();
    } else if (slot.is(Slot::always_ready)) {
      slot.last = Readiness::readable | Readiness::writable;
      slot.read_state |= Slot::may_try;
      slot.write_state |= Slot::may_try;
      waiter.notify();
    }
    return armed;
  }
  // What an event may report to somebody who has asked for this.
  static constexpr unsigned asked_for(Interest interest) {
    const bool reading = any(interest & Interest::read);
    return bits(interest) | (reading ? bits(Readiness::read_closed) : 0u);
  }
 protected:
  constexpr DescriptorTable() = default;
  ~DescriptorTable() = default;

  void attach(Selector& selector, Slot* slots, std::uint32_t capacity) {
    edges_ = selector.can_report_edges() ? by_edges : Interest::none;
    selector_ = &selector;
    slots_ = slots;
    capacity_ = capacity;
  }

  [[gnu::always_inline]] void dispatch(const Ready& ready) {
    const auto offset = static_cast<std::uint32_t>(ready.token);
    MOTE_ASSERT(offset <= capacity_ * sizeof(Slot) && offset % sizeof(Slot) == 0);
    auto* const table = static_cast<char*>(static_cast<void*>(slots_));
    Slot& slot = *static_cast<Slot*>(static_cast<void*>(table + offset));
    if (slot.generation != static_cast<std::uint32_t>(ready.token >> 32)) return drop_stale_event(slot);
    if (ready.readiness == Readiness::readable && slot.reader.awaited() == bits(Interest::read)) {  // mostly
      slot.read_state |= Slot::may_try;
      return slot.reader.wake();
    }
    const Handler handler = slot.handler;
    if (!handler) return wake_waiters(slot, ready.readiness);
    if ((bits(ready.readiness) & bits(slot.wanted)) == 0) return call_unasked(slot, ready.readiness);
    handler(ready.readiness);
  }
  void dispatch_always_ready_handlers() {
    if (dispatch_always_ready_ != nullptr) dispatch_always_ready_(*this);
  }
  // Makes the selector anew from the table. Errors: of Selector::rebuild(), or of adding the wake-up descriptor,
  // without which nobody could wake the loop; rebuild_needed stays set then.
  [[gnu::cold]] Result<void> rebuild() {
    const Result<void> fresh = selector_->rebuild();
    if (!fresh) {
      set_flag(rebuild_needed);
      return fresh;
    }
    clear_flag(rebuild_needed);
    ++stats().selector_rebuilds;
    for (std::uint32_t i = 0; i <= fresh_; ++i) {
      if (!slots_[i].is(Slot::in_set)) continue;
      const Result<void> added = add_again(slots_[i]);
      if (added) continue;
      if (i == 0) {
        slots_[0].set(Slot::in_set);
        set_flag(rebuild_needed);
        return added;
      }
      tell_failure(slots_[i]);
    }
    report(Observation::selector_rebuilt);
    return {};
  }
  // The owners of all slots with that flag (0: of all slots) close themselves. O(slots used so far).
  void close_owners(std::uint32_t flag) {
    for (std::uint32_t i = 1; i <= fresh_; ++i) {
      const Slot& slot = slots_[i];
      if (slot.owner != nullptr && (slot.flags & flag) == flag) close_owner_(*slot.owner);
    }
  }
  Slot& wake_slot() { return slots_[0]; }

  bool has_any_flag() const { return flags_ != 0; }
  std::uint32_t flags() const { return flags_; }
  Selector& selector() const { return *selector_; }
 private:
  // An event that carries nothing that was asked for, a hang-up or an error, cannot be masked and would come again at
  // once: the handler is told once, and then the descriptor is taken out of the set until it is modified.
  [[gnu::cold]] void call_unasked(Slot& slot, Readiness readiness) {
    const std::uint32_t generation = slot.generation;
    const Interest wanted = slot.wanted;
    const Handler handler = slot.handler;
    handler(readiness);
    if ((bits(readiness) & asked_for(wanted)) != 0) return;  // read_closed
    if (slot.generation != generation || slot.wanted != wanted) return;
    slot.set(Slot::muted);
    remove_from_selector(slot);
  }
  // An event of a descriptor that tasks wait for. Whoever waits is woken; a direction for which nobody waits is
  // disarmed, so that it costs one event and one system call, once. Every event does one or the other: none can spin.
  [[gnu::noinline]] void wake_waiters(Slot& slot, Readiness readiness) {
    constexpr Interest reading = Interest::read | Interest::priority;
    Interest unused = directions_of(readiness);
    note_readiness(slot, readiness, unused);
    const Interest awaited = static_cast<Interest>(slot.reader.awaited()) & reading;
    if (any(unused & awaited)) {
      slot.reader.wake();
      unused &= ~awaited;
    }
    if (any(unused & Interest::write) && slot.writer.notify()) unused &= ~Interest::write;
    if (!any(unused & slot.known) || any(slot.known & by_edges)) return;
    if (!slot.reader.is_waiting()) slot.reader.clear();            // so that its next wait arms it again
    static_cast<void>(set_interest(slot, slot.wanted & ~unused));  // if it fails, the next event tries again
  }
  // The directions that an event concerns: hang-up and error concern all of them.
  static Interest directions_of(Readiness readiness) {
    if (any(readiness & (Readiness::hangup | Readiness::error))) {
      return Interest::read | Interest::priority | Interest::write;
    }
    auto directions = static_cast<Interest>(bits(readiness) & 0x07u);
    if (any(readiness & Readiness::read_closed)) directions |= Interest::read;
    return directions;
  }
  static void note_readiness(Slot& slot, Readiness readiness, Interest directions) {
    slot.last = readiness;
    if (any(directions & (Interest::read | Interest::priority))) slot.read_state |= Slot::may_try;
    if (any(directions & Interest::write)) slot.write_state |= Slot::may_try;
    if (any(readiness & (Readiness::hangup | Readiness::read_closed))) slot.read_state |= Slot::read_fully;
    if (any(readiness & Readiness::priority)) {
      // At the mark of urgent data recv() reads short, or answers EAGAIN to a pending signal, though there is more:
      // from now on the stream is level-triggered.
      slot.read_state |= Slot::slow_path;
      slot.wanted &= ~by_edges;
    }
  }
  static void dispatch_always_ready(DescriptorTable& self) {
    self.clear_flag(never_waiting);
    for (std::uint32_t i = 1; i <= self.fresh_; ++i) {
      const Slot& slot = self.slots_[i];
      const Handler handler = slot.handler;
      if (!slot.is(Slot::always_ready) || !handler || !any(slot.known)) continue;
      ++self.stats().events;
      self.set_flag(never_waiting);
      handler(static_cast<Readiness>(slot.known));
    }
  }
  // Either the registration was removed earlier in this batch. Or its descriptor was closed while a duplicate, here or
  // in another process, keeps the description alive, and with it the kernel's entry, which nothing but a new set
  // removes.
  [[gnu::cold]] void drop_stale_event(const Slot& slot) {
    ++stats().stale_events;
    if (slot.released_in != static_cast<std::uint32_t>(stats().turns)) set_flag(rebuild_needed);
  }
  Result<void> add_again(Slot& slot) {
    slot.clear(Slot::in_set);
    slot.known = Interest::none;
    return update_selector(slot);
  }
  // Closed behind our back, or no memory: whoever waits tries again and is told, and so is a handler.
  void tell_failure(Slot& slot) {
    slot.reader.notify();
    slot.writer.notify();
    slot.reader.clear();
    const Handler handler = slot.handler;
    if (handler) handler(Readiness::error);
  }

  [[gnu::cold]] Error report_table_full() {
    report(Observation::table_full, nullptr, Error(ENOBUFS));
    return Error(ENOBUFS);
  }

  // Makes what the selector knows equal to what is wanted.
  Result<void> update_selector(Slot& slot) {
    if (slot.is(Slot::always_ready)) return update_always_ready(slot);
    const bool member = any(slot.wanted) || (slot.handler && !slot.is(Slot::muted));
    if (!member) {
      remove_from_selector(slot);
      return {};
    }
    if (slot.is(Slot::in_set)) {
      const Result<void> modified = tell_selector(slot, true);
      if (modified || modified.error() != ENOENT) return modified;
      remove_from_selector(slot);  // closed behind our back, and the number is another file's by now
    }
    const Result<void> added = tell_selector(slot, false);
    if (added || !is_one_of(added.error().code(), EEXIST, EPERM)) return added;
    if (is_registered_elsewhere(slot)) return Error(EEXIST);
    if (added.error() == EPERM) {
      slot.set(Slot::always_ready);
      return update_always_ready(slot);
    }
    return tell_selector(slot, true);  // EEXIST: what a duplicate, closed since, has left behind
  }
  Result<void> update_always_ready(Slot& slot) {
    slot.known = slot.wanted & (Interest::read | Interest::write);
    if (slot.handler && any(slot.known)) set_flag(never_waiting);
    return {};
  }
  Result<void> tell_selector(Slot& slot, bool known) {
    const Result<void> told = known ? selector_->modify(slot.fd, slot.wanted, token_of(slot))
                                    : selector_->add(slot.fd, slot.wanted, token_of(slot));
    if (told) {
      slot.set(Slot::in_set);
      slot.known = slot.wanted;
    }
    return told;
  }
  // O(slots used so far); asked only where the selector says EEXIST or EPERM.
  bool is_registered_elsewhere(const Slot& slot) const {
    for (const Slot* other = slots_; other <= slots_ + fresh_; ++other) {
      if (other == &slot || other->fd != slot.fd) continue;
      if ((other->flags & (Slot::in_set | Slot::always_ready)) != 0) return true;
    }
    return false;
  }
  std::uint64_t token_of(const Slot& slot) const {
    const auto offset = static_cast<std::size_t>(&slot - slots_) * sizeof(Slot);  // fits: see StaticReactor's capacity
    return std::uint64_t{offset} | std::uint64_t{slot.generation} << 32;
  }

  WaitQueue vacancy_;
  WaitQueue accept_retry_;
  void (*dispatch_always_ready_)(DescriptorTable&) = nullptr;  // null: a program without handlers has none of it
  void (*close_owner_)(SlotOwner&) = nullptr;                  // null: nobody owns a slot
};

}  // namespace detail
}  // namespace MOTE_NAMESPACE
}  // namespace mote

#endif  // MOTE_REACTOR_DESCRIPTOR_TABLE_HPP

// =====================================================================================================================
// include/mote/reactor/loop.hpp
// =====================================================================================================================
// The loop: its turn, its runs, and how it is woken.
#ifndef MOTE_REACTOR_LOOP_HPP
#define MOTE_REACTOR_LOOP_HPP

namespace mote {
inline namespace MOTE_NAMESPACE {
namespace detail {

class Loop;

// Where other layers plug in: null until the first of theirs is used, so that a program without it has nothing of it.

// Of timers. Fires those that are due; with `fire` false it cancels all of them.
using ExpireHook = void (*)(Loop&, bool fire);
// Of wakers, which lie in the loop's inbox. Delivers the wake-ups that have come; with `deliver` false it closes all of
// them.
using InboxHook = void (*)(Loop&, bool deliver);
struct InboxNode : ListNode {
  std::atomic<std::uint32_t> users{0};  // threads and signal handlers that are about to wake the loop by it
};
// What coroutine frames are taken from: the base of FrameSource. The loop only keeps the pointer.
struct FrameStore {};

// What every turn needs, in front of the rest: see TableWords.
struct LoopWords {
  // Of `sleep`. A loop counts as asleep also while it does not run, so that a wake-up makes the pollable descriptor
  // readable.
  enum Sleep : std::uint32_t { asleep, awake, notified };

  bool running_ = false;
  Ready* batch_ = nullptr;
  std::uint32_t batch_size_ = 0;
  std::atomic<std::uint32_t> stop_{0};
  std::atomic<std::uint32_t> sleep_{asleep};
  Fd wake_fd_;
};

// The part of a reactor that runs: a descriptor table (see there) with time and wake-ups. One turn:
//
//   1  step the tasks that were ready when it began     what they wake runs in the next turn
//   2  compute the time-out                             zero if anything is ready
//   3  wait
//   4  dispatch one batch of events
//   5  fire the timers that were due when this phase began
class Loop : LoopWords, public DescriptorTable {
 public:
  // ---- runs ----

  Result<void> run_until(Instant limit) { return take_turns(limit, false); }
  // Errors: ENXIO, EBUSY, and of the selector. Returns how many steps, events and timers there were.
  Result<std::uint32_t> run_once(Duration timeout) {
    Instant limit = timeout == forever ? Instant::max() : Instant::min();
    if (timeout > Duration::zero() && timeout != forever) limit = saturating_add(Clock::now(), timeout);
    const std::uint64_t before = work_done();
    const Result<void> done = take_turns(limit, true);
    if (!done) return done.error();
    return static_cast<std::uint32_t>(work_done() - before);
  }
  bool is_running() const { return running_; }
  // Any thread and signal handler.
  void stop() {
    stop_.store(1, std::memory_order_release);
    notify();
  }
  // The same for the loop's own thread, which need not be woken.
  void stop_here() { stop_.store(1, std::memory_order_relaxed); }
  // Work that is no task, for a draining run to wait for.
  void hold() { ++holds_; }
  void release_hold() {
    MOTE_ASSERT(holds_ != 0);
    --holds_;
  }
  bool is_held() const { return holds_ != 0; }
  // Wakers that are no reason to go on running.
  void add_background() { ++background_; }
  void remove_background() { --background_; }

  // ---- time ----

  TimingWheel& wheel() { return wheel_; }
  std::uint32_t next_timer_order() { return ++timer_order_; }
  void set_expire_hook(ExpireHook expire) { expire_timers_ = expire; }
  // While timers are fired: the deadlines up to this one were due. Else the beginning of time.
  Instant firing_until() const { return firing_until_; }
  void set_firing_until(Instant instant) { firing_until_ = instant; }
  Instant next_deadline() const {
    if (!is_open()) return Instant::max();
    if (has_work_at_once()) return Instant::min();
    return wheel_.empty() ? Instant::max() : Instant(Duration(wheel_.next()));
  }
  // The system has refused a descriptor or memory to an accept(): accept_retry() is woken after limits::accept_pause.
  void pause_accepts() {
    if (accept_again_ != Instant()) return;
    accept_again_ = saturating_add(read_clock(), limits::accept_pause);
    expect_accept_retry();
  }

  // ---- wake-ups ----

  // Makes the descriptor by which other threads and signal handlers wake the loop.
  // Errors:
  //   ENXIO                  the reactor is not open.
  //   EMFILE ENFILE ENOMEM   the system's limits. (ENODEV cannot be: anonymous inodes are always there.)
  Result<void> enable_wakeups() {
    if (!is_open()) return Error(ENXIO);
    if (wake_fd_) return {};
    Fd fresh(System::event_fd());
    if (!fresh) return last_error();
    Slot& slot = wake_slot();
    slot.fd = fresh.get();
    slot.generation = 1;
    slot.handler = Handler::of<&Loop::drain_wake_descriptor>(*this);
    const Result<void> added = set_interest(slot, Interest::read);
    if (!added) return added;
    wake_fd_ = std::move(fresh);
    process_ = System::process();
    return {};
  }
  // Any thread and signal handler. At most one system call, and none while the loop is awake.
  void notify() {
    if (!wake_fd_ || sleep_.exchange(notified, std::memory_order_acq_rel) != asleep) return;
    const std::uint64_t one = 1;  // EAGAIN: it is full, so the loop is awake already
    retry([&] { return System::write(wake_fd_.get(), &one, sizeof one); });
  }
  // The process whose threads and signal handlers wake it.
  pid_t process() const { return process_; }
  List<InboxNode>& inbox() { return inbox_; }
  void join_inbox(InboxNode& node, InboxHook hook) {
    inbox_.push_back(node);
    ++inbox_size_;
    serve_inbox_ = hook;
  }
  void leave_inbox(InboxNode& node) {
    node.unlink();
    --inbox_size_;
  }
  // In a forked child: a selector and a wake-up descriptor of its own. ENXIO, EMFILE ENFILE ENOMEM.
  Result<void> after_fork_in_child() {
    if (!is_open()) return Error(ENXIO);
    if (wake_fd_) {
      Fd fresh(System::event_fd());
      if (!fresh) return last_error();
      wake_fd_ = std::move(fresh);
      wake_slot().fd = wake_fd_.get();
    }
    // None of the threads that may have been about to wake it is here.
    for (InboxNode* node = inbox_.front(); node != nullptr; node = inbox_.after(*node)) node->users.store(0);
    process_ = System::process();
    set_flag(woken);
    return rebuild();
  }

  // ---- the rest ----

  int pollable_descriptor() const { return is_open() ? selector().descriptor() : -1; }
  void set_frame_store(FrameStore* store) { frame_store_ = store; }
  FrameStore* frame_store() const { return frame_store_; }
 protected:
  constexpr Loop() = default;
  ~Loop() = default;

  void attach(Selector& selector, Slot* slots, std::uint32_t capacity, Ready* batch, std::uint32_t batch_size) {
    start_queues();
    DescriptorTable::attach(selector, slots, capacity);
    batch_ = batch;
    batch_size_ = batch_size;
  }
  // The storage goes: everything that refers to this loop is made to forget it, in whatever order they go.
  void close() {
    destroy_all_tasks();
    while (TaskStore* const store = first_store()) Scheduler::close(*store);
    if (serve_inbox_ != nullptr) serve_inbox_(*this, false);
    if (expire_timers_ != nullptr) expire_timers_(*this, false);
    close_owners(0);
  }
 private:
  std::uint64_t work_done() const { return stats().steps + stats().events + stats().timers_fired; }
  bool has_work_at_once() const { return has_flag(woken | never_waiting) || has_ready_task(); }
  bool is_quiet() const { return flags() + stop_.load(std::memory_order_acquire) == 0; }
  bool is_drained() const { return has_flag(draining) && stats().tasks == 0 && holds_ == 0; }
  bool is_over() const { return stop_.load(std::memory_order_acquire) != 0 || is_drained(); }
  bool nothing_can_happen() const {
    return stats().descriptors == 0 && inbox_size_ == background_ && wheel_.empty() && !has_work_at_once();
  }

  Result<void> take_turns(Instant limit, bool once) {
    if (running_) return Error(EBUSY);
    if (!is_open()) return Error(ENXIO);
    const bool endless = !once && limit == Instant::max();
    const bool plain = endless && !has_priorities();
    Result<void> result;
    enter();
    while (is_quiet() || once || !is_over()) {
      if (endless && nothing_can_happen()) {
        if (stats().tasks != 0) result = Error(EDEADLK);
        break;
      }
      result = turn(limit, plain);
      if (!result || (!endless && is_last_turn(limit, once))) break;
    }
    if (!once) stop_.store(0, std::memory_order_relaxed);
    leave();
    return result;
  }
  bool is_last_turn(Instant limit, bool once) { return once || (limit != Instant::max() && now() >= limit); }
  void enter() {
    running_ = true;
    if (sleep_.exchange(awake, std::memory_order_acq_rel) == notified) set_flag(woken);
  }
  void leave() {
    running_ = false;
    if (wake_fd_ && sleep_.exchange(asleep, std::memory_order_acq_rel) == notified) notify();
  }

  // `plain`: there is no limit, and no queue but that of the lowest priority.
  [[gnu::always_inline]] Result<void> turn(Instant limit, bool plain) {
    run_ready_tasks();
    Duration timeout = forever;
    if (!plain || !waits_for_events_alone()) timeout = time_to_wait(limit);
    const bool may_sleep = fall_asleep(timeout);
    const Result<std::size_t> events = selector().wait_once(batch_, batch_size_, timeout);
    // Should this overwrite `notified`, then whoever set it found the loop asleep and has written to the wake-up
    // descriptor.
    if (may_sleep) sleep_.store(awake, std::memory_order_relaxed);
    now_known_ = false;
    ++stats().turns;
    if (!events && events.error() != EINTR) return events.error();
    dispatch_batch(events ? *events : 0);
    if (has_any_flag()) {
      if (const Result<void> handled = handle_flags(); !handled) return handled;
    }
    if (!wheel_.empty() && now().time_since_epoch().count() >= wheel_.next()) fire_timers();
    return {};
  }
  // The usual case, told by few tests: there is nothing but events to wait for.
  bool waits_for_events_alone() const {
    return lowest_queue_is_empty() && is_quiet() && wheel_.empty() && stats().descriptors != 0;
  }
  // Says that the loop is about to block, if it is. Whoever wakes it while it is awake makes no system call: that is
  // seen here at the latest, and then it does not wait.
  [[gnu::always_inline]] bool fall_asleep(Duration& timeout) {
    const bool may_sleep = wake_fd_ && timeout > Duration::zero();
    if (wake_fd_ && (may_sleep || sleep_.load(std::memory_order_relaxed) == notified)) {
      const bool called = sleep_.exchange(may_sleep ? asleep : awake, std::memory_order_acq_rel) == notified;
      if (called) {
        set_flag(woken);
        timeout = Duration::zero();
      }
    }
    return may_sleep;
  }
  [[gnu::always_inline]] void dispatch_batch(std::size_t received) {
    stats().events += received;
    const Ready* const end = batch_ + received;
    for (const Ready* ready = batch_; ready != end; ++ready) dispatch(*ready);
  }
  [[gnu::noinline]] Duration time_to_wait(Instant limit) {
    if (has_work_at_once() || is_over()) return Duration::zero();
    Instant next = limit;
    if (!wheel_.empty() && Instant(Duration(wheel_.next())) < next) next = Instant(Duration(wheel_.next()));
    if (next == Instant::max()) return nothing_can_happen() ? Duration::zero() : forever;
    if (next <= last_known_time()) return Duration::zero();
    const Instant fresh = read_clock();  // again: the steps may have taken long
    return next > fresh ? next - fresh : Duration::zero();
  }
  [[gnu::noinline, gnu::cold]] Result<void> handle_flags() {
    if (has_flag(never_waiting)) dispatch_always_ready_handlers();
    if (has_flag(rebuild_needed)) {
      if (const Result<void> rebuilt = rebuild(); !rebuilt) return rebuilt;
    }
    if (has_flag(woken)) {
      clear_flag(woken);
      if (serve_inbox_ != nullptr) serve_inbox_(*this, true);
    }
    return {};
  }
  [[gnu::noinline]] void fire_timers() {
    if (expire_timers_ != nullptr) expire_timers_(*this, true);
    if (accept_again_ == Instant()) return;
    wheel_.forget();
    if (accept_again_ > last_known_time()) return expect_accept_retry();
    accept_again_ = Instant();
    ++stats().timers_fired;
    accept_retry().notify_all();
  }
  [[gnu::noinline]] void expect_accept_retry() { wheel_.expect(accept_again_.time_since_epoch().count()); }
  void drain_wake_descriptor(Readiness) {
    std::uint64_t count = 0;  // EAGAIN: nothing to drain
    retry([&] { return System::read(wake_fd_.get(), &count, sizeof count); });
    set_flag(woken);
  }

  pid_t process_ = 0;
  std::uint32_t inbox_size_ = 0;
  std::uint32_t background_ = 0;
  std::uint32_t holds_ = 0;
  std::uint32_t timer_order_ = 0;
  Instant firing_until_{};
  Instant accept_again_{};  // when tasks of accept_retry() have another try; 0: none waits for a time
  ExpireHook expire_timers_ = nullptr;
  InboxHook serve_inbox_ = nullptr;
  FrameStore* frame_store_ = nullptr;
  List<InboxNode> inbox_;
  TimingWheel wheel_;
};

}  // namespace detail
}  // namespace MOTE_NAMESPACE
}  // namespace mote

#endif  // MOTE_REACTOR_LOOP_HPP

// =====================================================================================================================
// include/mote/reactor/reactor.hpp
// =====================================================================================================================
// The reactor, as those see it who use it.
#ifndef MOTE_REACTOR_REACTOR_HPP
#define MOTE_REACTOR_REACTOR_HPP

namespace mote {
inline namespace MOTE_NAMESPACE {
namespace detail {
struct ReactorAccess;
}

// The loop. All user code refers to this class; StaticReactor adds the storage. Everything belongs to the thread that
// runs it, except stop(), which any thread and any signal handler may call.
//
// A turn: 1 step the tasks that were ready when it began; 2 compute the time-out; 3 wait; 4 dispatch one batch of
// events; 5 fire the timers that were due when this phase began. What a phase wakes runs in the next turn. So the work
// of a turn is bounded: no socket, timer or task keeps the others from their share.
class Reactor : detail::Loop {
 public:
  // ---- running ----

  // Runs until stop(), or until there is nothing left that could ever happen: no task, timer, descriptor or waker.
  // Errors, of all runs:
  //   ENXIO          open() has not been called.
  //   EBUSY          it is running already: called from within run().
  //   EDEADLK        tasks are left, but nothing that could wake them: they wait for each other.
  //   EBADF and kin  the selector is beyond repair.
  Result<void> run() { return run_until(Instant::max()); }
  Result<void> run_for(Duration duration) { return run_until(saturating_add(Clock::now(), duration)); }
  // One turn, which waits for `timeout` at most. Returns how many steps, events and timers there were.
  Result<std::uint32_t> run_once(Duration timeout = forever) { return Loop::run_once(timeout); }
  // Ends run() at the end of this turn; or, called before, the next run() at once. Any thread and any signal handler;
  // from there it needs wake-ups to be enabled (by a Waker, Mailbox, Signals, or enable_wakeups()).
  void stop() { Loop::stop(); }
  bool running() const { return is_running(); }
  bool is_open() const { return Loop::is_open(); }
  // The time at which this turn's events were received; read from the clock when it is first asked for.
  Instant now() { return Loop::now(); }

  // ---- descriptors ----

  // Registers a descriptor with a handler; the descriptor stays the caller's. The handler is called in phase 4 with
  // what is ready, again and again while it stays so. hangup and error come unasked; where an event carries nothing
  // that was asked for, it is delivered once, and the next comes after modify(). The handler may do anything, also
  // remove itself.
  // Errors:
  //   EBADF            fd is not an open descriptor.
  //   EEXIST           it is registered already (found out in O(descriptors)).
  //   ENOBUFS          the table is full: see Config::descriptors.
  //   ENXIO            open() has not been called.
  //   ENOMEM, ENOSPC   the kernel's limits.
  Result<Registration> add(int fd, Interest interest, Handler handler) {
    MOTE_ASSERT(handler);
    Slot* slot = nullptr;
    if (const Result<void> claimed = claim(fd, slot); !claimed) return claimed.error();
    set_handler(*slot, handler);
    const Result<void> added = set_interest(*slot, interest);
    if (added) return Registration{index_of(*slot), slot->generation};
    release(*slot);
    return added.error();
  }
  // Errors:
  //   ENOENT   the registration is no longer there.
  //   ENOMEM   the kernel's limit.
  Result<void> modify(Registration registration, Interest interest) {
    Slot* const slot = find(registration);
    if (slot == nullptr) return Error(ENOENT);
    slot->clear(Slot::muted);
    return set_interest(*slot, interest);
  }
  // After it no event of the registration is delivered, even if one has been received. Remove first, then close. It and
  // Source::close() wake all tasks that wait for a free slot, and take as long.
  // Errors:
  //   ENOENT   the registration is no longer there.
  Result<void> remove(Registration registration) {
    Slot* const slot = find(registration);
    if (slot == nullptr) return Error(ENOENT);
    remove_from_selector(*slot);
    release(*slot);
    return {};
  }
  std::uint32_t vacancies() const { return Loop::vacancies(); }
  void close_listeners() { Loop::close_listeners(); }

  // ---- inside of another loop ----

  // Wait until this descriptor is readable or the deadline has come, then call run_once(Duration::zero()). -1 with
  // poll, which has none.
  int pollable_descriptor() const { return Loop::pollable_descriptor(); }
  // Instant::min() if there is work at once, Instant::max() if there is no timer.
  Instant next_deadline() const { return Loop::next_deadline(); }

  // ---- other threads and processes ----

  // Makes the descriptor by which other threads and signal handlers wake the loop.
  // Errors:
  //   ENXIO                 open() has not been called.
  //   EMFILE ENFILE ENOMEM  the system's limits.
  Result<void> enable_wakeups() { return Loop::enable_wakeups(); }
  // To be called in a child after fork(), before anything else of the reactor: makes a selector and a wake-up
  // descriptor of the child's own. A child that only execs, or only closes what it inherited, need not call it.
  // Errors:
  // as enable_wakeups().
  Result<void> after_fork_in_child() { return Loop::after_fork_in_child(); }

  // ---- observation ----

  const Statistics& stats() const { return Loop::stats(); }
  // Without an observer, failures that nobody joins go to standard error.
  void observe(Observer observer) { Loop::observe(observer); }
  // Zero: off. Else each step is measured, which costs two readings of the clock.
  void set_slow_step_threshold(Duration threshold) { Loop::set_slow_step_threshold(threshold); }
  // visit(Task&) for all live ones: what each waits for, where, since when. O(slots of pools that were ever used).
  template <class F> void for_each_task(F&& visit) {
    Loop::for_each_task([&visit](detail::TaskHeader& task) { visit(detail::TaskAccess::task(task)); });
  }
  void cancel_all_tasks() { Loop::cancel_all_tasks(); }
  // But not the running one. Returns how many there were.
  std::uint32_t destroy_all_tasks() { return Loop::destroy_all_tasks(); }

  // ---- for other layers ----

  // What TaskPool::spawn() takes.
  operator detail::SchedulerRef() { return {*this}; }
  // Where coroutines that are given nothing but this reactor, or what is open in it, take their frames: a FramePool.
  void set_frame_pool(detail::FrameStore& pool) { set_frame_store(&pool); }
  detail::FrameStore* frame_pool() const { return frame_store(); }
 protected:
  constexpr Reactor() = default;
  ~Reactor() = default;  // whoever has the storage closes it before that goes
  void attach(Selector& selector, detail::Slot* slots, std::uint32_t capacity, Ready* batch, std::uint32_t batch_size) {
    Loop::attach(selector, slots, capacity, batch, batch_size);
  }
  void attach_priorities(detail::RunQueue* higher, std::uint32_t levels) { start_higher_queues(higher, levels); }
  void close() { Loop::close(); }
 private:
  friend struct detail::ReactorAccess;
  using Slot = detail::Slot;
};

namespace detail {
// From a reactor to its parts and back, for the layers above.
struct ReactorAccess {
  static Loop& loop(Reactor& reactor) { return reactor; }
  static Reactor& reactor(Loop& loop) { return static_cast<Reactor&>(loop); }
  static Reactor& reactor_of(const TaskHeader& task) {
    return static_cast<Reactor&>(static_cast<Loop&>(*task.store->scheduler()));
  }
};
}  // namespace detail

inline auto& Task::reactor() const { return detail::ReactorAccess::reactor_of(*this); }
inline auto& StateMachine::reactor() const { return task_->reactor(); }

}  // namespace MOTE_NAMESPACE
}  // namespace mote

#endif  // MOTE_REACTOR_REACTOR_HPP

// =====================================================================================================================
// include/mote/reactor/static_reactor.hpp
// =====================================================================================================================
// A reactor with its storage.
#ifndef MOTE_REACTOR_STATIC_REACTOR_HPP
#define MOTE_REACTOR_STATIC_REACTOR_HPP

namespace mote {
inline namespace MOTE_NAMESPACE {

// For StaticReactor. Override by name: struct Config : mote::Config { static constexpr std::size_t descriptors = 200;
// };
struct Config {
  static constexpr std::size_t descriptors = 64;                 // registered at a time
  static constexpr std::size_t batch = 256;                      // events taken from one wait, at most
  static constexpr std::size_t priorities = 1;                   // of tasks: run queues
  template <std::size_t N> using Selector = DefaultSelector<N>;  // or EpollSelector, PollSelector, NoSelector
};
template <std::size_t N> struct NoSelector {};  // for a reactor whose selector is chosen at run time, for open()

// A reactor with its storage: sizeof tells all the memory it will ever use. In static storage it lies in .bss; it may
// also live on the stack. It must not move. Before open() it makes no system call.
template <class C = Config> class StaticReactor : public Reactor {
 public:
  static constexpr std::size_t selector_capacity = C::descriptors + 1;  // one is for wake-ups
  static_assert(C::descriptors >= 1 && C::descriptors < (1u << 24), "between 1 and 16,777,215 descriptors");
  static_assert(C::batch >= 1, "at least one event a turn");
  static_assert(C::priorities >= 1 && C::priorities <= 8, "1 to 8 priorities");

  constexpr StaticReactor() = default;
  ~StaticReactor() { close(); }

  // Idempotent.
  // Errors:
  //   EMFILE ENFILE ENOMEM   the system's limits.
  Result<void> open() { return open(selector_storage_); }
  // With a selector of the caller's, which must outlive this. One that has been used before starts anew.
  template <class S> Result<void> open(S& selector) {
    if (is_open()) return {};
    const Result<void> opened = selector.is_open() ? selector.rebuild() : selector.open();
    if (opened) attach(selector, slot_storage_, C::descriptors, batch_storage_, batch);
    if constexpr (C::priorities > 1) attach_priorities(higher_.queues, C::priorities - 1);
    return opened;
  }
 private:
  template <std::size_t N, class = void> struct Higher { detail::RunQueue queues[N]; };
  template <class Unused> struct Higher<0, Unused> {};
  static constexpr std::uint32_t batch = C::batch < selector_capacity ? C::batch : selector_capacity;

  typename C::template Selector<selector_capacity> selector_storage_;
  Ready batch_storage_[batch] = {};
  detail::Slot slot_storage_[C::descriptors + 1] = {};
  Higher<C::priorities - 1> higher_;
};

}  // namespace MOTE_NAMESPACE
}  // namespace mote

#endif  // MOTE_REACTOR_STATIC_REACTOR_HPP

// =====================================================================================================================
// include/mote/time/timer.hpp
// =====================================================================================================================
// Timers: functions that are called at an instant.
#ifndef MOTE_TIME_TIMER_HPP
#define MOTE_TIME_TIMER_HPP

namespace mote {
inline namespace MOTE_NAMESPACE {

// A function to be called at an instant. Owned by its user: there is no limit to their number, and arming cannot fail.
// It must not move while armed; its destructor cancels it. Timers that are due fire in order of deadline, equal ones in
// order of arming, and none before its time. All calls are allowed in every callback, and O(1). Size on a 32-bit board:
// 48 bytes.
class Timer : detail::TimerNode {
 public:
  using Callback = Delegate<void()>;
  ~Timer() { cancel(); }

  // Once, `delay` from now (the clock is read). Zero or less: in this turn or the next, after its events.
  void arm(Reactor& reactor, Duration delay, Callback callback) {
    detail::Loop& loop = detail::ReactorAccess::loop(reactor);
    start(loop, saturating_add(loop.read_clock(), delay), 0, callback);
  }
  void arm_at(Reactor& reactor, Instant deadline, Callback callback) {
    start(detail::ReactorAccess::loop(reactor), deadline, 0, callback);
  }
  // At now + period, then at every further period, without drift: a late tick does not shift the next; ticks that went
  // by meanwhile are counted in missed() and skipped. A period of less than 1 ns counts as 1 ns.
  void arm_every(Reactor& reactor, Duration period, Callback callback) {
    detail::Loop& loop = detail::ReactorAccess::loop(reactor);
    if (period < Duration(1)) period = Duration(1);
    start(loop, saturating_add(loop.read_clock(), period), period.count(), callback);
  }
  // Again, `delay` after the time at which this turn's events were received: the idle timeout. It must have been armed
  // before. A later deadline is only noted, and the clock is not read again: this is the cheapest operation there is.
  void rearm(Duration delay) {
    MOTE_ASSERT(loop_ != nullptr);
    const Instant moved = saturating_add(loop_->now(), delay);
    if (!linked() || moved < deadline() || deadline() <= loop_->firing_until()) {
      return start(*loop_, moved, period_, callback_);
    }
    TimerNode::deadline = moved.time_since_epoch().count();
    order = loop_->next_timer_order();
  }
  bool cancel() {  // whether it was armed
    if (!linked()) return false;
    loop_->wheel().erase(*this);
    return true;
  }
  bool armed() const { return linked(); }
  Instant deadline() const { return Instant(Duration(TimerNode::deadline)); }
  std::uint32_t missed() const { return missed_; }  // ticks skipped before the one that fired last
 private:
  void start(detail::Loop& loop, Instant deadline, std::int64_t period, Callback callback) {
    cancel();
    loop_ = &loop;
    period_ = period;
    callback_ = callback;
    loop.set_expire_hook(&Timer::expire);
    TimerNode::deadline = deadline.time_since_epoch().count();
    order = loop.next_timer_order();
    loop.wheel().insert(*this, loop.last_known_time().time_since_epoch().count());
    if (loop.wheel().count() > loop.stats().timers_high) loop.stats().timers_high = loop.wheel().count();
  }
  // The loop's hook: fires those that are due; or cancels all.
  static void expire(detail::Loop& loop, bool fire) {
    detail::List<detail::TimerNode> due;
    loop.set_firing_until(loop.last_known_time());
    const std::int64_t until = fire ? loop.last_known_time().time_since_epoch().count() : INT64_MAX;
    while (loop.wheel().expire(until, due)) {
      while (detail::TimerNode* const node = due.front()) {
        if (fire) {
          static_cast<Timer*>(node)->fire();
          ++loop.stats().timers_fired;
        } else {
          loop.wheel().erase(*node);
        }
      }
    }
    loop.set_firing_until(Instant());
    loop.wheel().refresh();
  }
  void fire() {
    cancel();
    const Callback callback = callback_;  // the callback may destroy this timer
    missed_ = 0;
    if (period_ != 0) start_next_period(callback);
    callback();
  }
  void start_next_period(Callback callback) {
    if (TimerNode::deadline < 0) TimerNode::deadline = 0;
    const std::int64_t missed = (loop_->last_known_time() - deadline()).count() / period_;
    missed_ = missed > INT32_MAX ? INT32_MAX : static_cast<std::uint32_t>(missed);
    const Instant last = deadline() + Duration(missed * period_);
    start(*loop_, saturating_add(last, Duration(period_)), period_, callback);
  }

  detail::Loop* loop_ = nullptr;
  std::int64_t period_ = 0;  // in nanoseconds; 0: once
  Callback callback_;
  std::uint32_t missed_ = 0;
};

}  // namespace MOTE_NAMESPACE
}  // namespace mote

#endif  // MOTE_TIME_TIMER_HPP

// =====================================================================================================================
// include/mote/time/task_timer.hpp
// =====================================================================================================================
// A timer to await.
#ifndef MOTE_TIME_TASK_TIMER_HPP
#define MOTE_TIME_TASK_TIMER_HPP

namespace mote {
inline namespace MOTE_NAMESPACE {

// A timer to await, for one task and one use at a time: two parts of one await need two. It must not move while it is
// in use. Size on a 32-bit board: 72 bytes.
class TaskTimer {
 public:
  ~TaskTimer() { waiter_.clear(); }

  // Completes after `delay`, never early.
  // Errors:
  //   EBUSY      another task uses it.
  //   ECANCELED  the task was cancelled.
  auto sleep(Duration delay) {
    return operation<void>([this, delay](PollContext context) -> Result<void> {
      const Result<std::uint32_t> expired = wait(context, delay, Use::sleep);
      return expired ? Result<void>() : expired.error();
    });
  }
  // Completes at every multiple of `period` from the first call on, without drift, also where another part of
  // first_of() won. Gives how many ticks have gone by: 1, or more if the task was late.
  // Errors:
  //   EBUSY      another task uses it.
  //   ECANCELED  the task was cancelled. The next call begins anew.
  auto tick(Duration period) {
    return operation<std::uint32_t>([this, period](PollContext context) { return wait(context, period, Use::tick); });
  }
  // For with_timeout(): whether the time is up, since this was first asked.
  bool is_over(PollContext context, Duration limit) {
    start(context, limit, Use::limit);
    return ticks_ != 0;
  }
  void reset() {  // ends its use, whatever it is
    timer_.cancel();
    waiter_.clear();
    use_ = Use::none;
    ticks_ = 0;
  }
 private:
  enum class Use : std::uint8_t { none, sleep, tick, limit };

  void start(PollContext context, Duration time, Use use) {
    if (use != Use::tick && ticks_ == 0 && !waiter_.is_waiting()) use_ = Use::none;  // left by one that was abandoned
    MOTE_ASSERT(use_ == Use::none || use_ == use || !waiter_.names(context.header()));
    if (use_ != Use::none) return;
    const auto callback = Timer::Callback::of<&TaskTimer::expire>(*this);
    use_ = use;
    waiter_.wait(context.header());
    if (use == Use::tick) timer_.arm_every(context.task().reactor(), time, callback);
    else timer_.arm(context.task().reactor(), time, callback);
  }
  Result<std::uint32_t> wait(PollContext context, Duration time, Use use) {
    start(context, time, use);
    const Result<std::uint32_t> result = context.attempt(waiter_, "a timer", [this] { return take_ticks(); });
    if (has_ended(context, result, use)) reset();
    return result;
  }
  Result<std::uint32_t> take_ticks() {
    if (ticks_ == 0) return Error(EAGAIN);
    return std::exchange(ticks_, 0u);
  }
  // A tick's use goes on after a tick, and also where first_of() abandons it, so that it keeps its phase.
  static bool has_ended(PollContext context, const Result<std::uint32_t>& result, Use use) {
    if (result) return use != Use::tick;
    if (result.error() != ECANCELED) return false;
    return use != Use::tick || !context.is_abandoning();
  }
  void expire() {
    const bool somebody_waited = waiter_.notify();
    if (somebody_waited || timer_.armed()) ticks_ += 1 + timer_.missed();  // else the sleep was abandoned
  }

  Timer timer_;
  Waiter waiter_;
  std::uint32_t ticks_ = 0;
  Use use_ = Use::none;
};

}  // namespace MOTE_NAMESPACE
}  // namespace mote

#endif  // MOTE_TIME_TASK_TIMER_HPP

// =====================================================================================================================
// include/mote/io/endpoint.hpp
// =====================================================================================================================
// Endpoint: the address of a socket.
#ifndef MOTE_IO_ENDPOINT_HPP
#define MOTE_IO_ENDPOINT_HPP

namespace mote {
inline namespace MOTE_NAMESPACE {

// Where a socket is bound or connected: IPv4, IPv6 or Unix-domain. Always numeric: no name is ever looked up.
// Size on a 32-bit board: 116 bytes.
class Endpoint {
 public:
  // What text() returns: it holds every endpoint.
  struct Text {
    char data[128];
    const char* c_str() const { return data; }
  };
  static constexpr socklen_t capacity = sizeof(sockaddr_un);  // the longest address

  constexpr Endpoint() : unix_{} {}  // none

  // An IP address: "192.0.2.1", "2001:db8::1", "fe80::1%eth0".
  // Errors:
  //   EINVAL   it is no numeric address: names are not looked up.
  //   ENODEV   there is no interface of the name behind '%'.
  static Result<Endpoint> ip(const char* address, std::uint16_t port) {
    return Result<Endpoint>::in_place([=](Endpoint& endpoint) { return endpoint.set_ip(address, port); });
  }
  // A path, or after '@' an abstract name. A listener leaves its path behind: unlink() it before the next one opens.
  // Errors:
  //   EINVAL         it is empty.
  //   ENAMETOOLONG   it has more than 107 bytes.
  static Result<Endpoint> unix_path(const char* path) {
    return Result<Endpoint>::in_place([path](Endpoint& endpoint) { return endpoint.set_path(path); });
  }
  // "192.0.2.1:80", "[2001:db8::1]:80", "unix:/run/x", "unix:@x".
  // Errors:
  //   EINVAL         it is none of these, or the port is above 65535.
  //   ENODEV         there is no interface of the name behind '%'.
  //   ENAMETOOLONG   the path has more than 107 bytes.
  static Result<Endpoint> parse(const char* text) {
    return Result<Endpoint>::in_place([text](Endpoint& endpoint) { return endpoint.set(text); });
  }

  // In the form that parse() takes; "-" for none, as of the peer of an unbound Unix socket.
  Text text() const {
    Text result{};
    if (family() == AF_INET || family() == AF_INET6) {
      print_ip(result);
    } else if (family() == AF_UNIX && size_ > path_offset) {
      print_path(result);
    } else {
      result.data[0] = '-';
    }
    return result;
  }
  int family() const { return any_.sa_family; }  // AF_INET, AF_INET6, AF_UNIX; AF_UNSPEC: none
  // Only of an IP address.
  std::uint16_t port() const { return ntohs(family() == AF_INET6 ? v6_.sin6_port : v4_.sin_port); }

  // For system calls. One that writes an address here is followed by resize() with the size that it tells.
  const sockaddr* address() const { return &any_; }
  sockaddr* address() { return &any_; }
  socklen_t size() const { return size_; }
  void resize(socklen_t size) { size_ = size < capacity ? size : capacity; }
 private:
  static constexpr socklen_t path_offset = offsetof(sockaddr_un, sun_path);

  Result<void> set_ip(const char* address, std::uint16_t port) {
    v4_.sin_family = AF_INET;
    v4_.sin_port = htons(port);
    size_ = sizeof v4_;
    if (::inet_pton(AF_INET, address, &v4_.sin_addr) == 1) return {};
    return set_ipv6(address, port);
  }
  Result<void> set_ipv6(const char* address, std::uint16_t port) {
    char without_scope[INET6_ADDRSTRLEN] = {};
    const char* const scope = ::strchr(address, '%');
    if (scope != nullptr) {
      const auto length = static_cast<std::size_t>(scope - address);
      if (length >= sizeof without_scope) return Error(EINVAL);
      ::memcpy(without_scope, address, length);
    }
    v6_.sin6_family = AF_INET6;
    v6_.sin6_port = htons(port);
    v6_.sin6_flowinfo = 0;  // the attempt at IPv4 may have written here
    size_ = sizeof v6_;
    if (::inet_pton(AF_INET6, scope != nullptr ? without_scope : address, &v6_.sin6_addr) != 1) return Error(EINVAL);
    if (scope == nullptr) return {};
    v6_.sin6_scope_id = ::if_nametoindex(scope + 1);
    return v6_.sin6_scope_id != 0 ? Result<void>() : Error(ENODEV);
  }
  Result<void> set_path(const char* path) {
    const std::size_t length = ::strlen(path);
    if (length == 0) return Error(EINVAL);
    if (length >= sizeof unix_.sun_path) return Error(ENAMETOOLONG);
    unix_.sun_family = AF_UNIX;
    ::memcpy(unix_.sun_path, path, length + 1);
    // An abstract name begins with a NUL and is as long as its size says; a path ends with a NUL, which counts.
    const bool abstract = path[0] == '@';
    if (abstract) unix_.sun_path[0] = '\0';
    size_ = static_cast<socklen_t>(path_offset + length + (abstract ? 0 : 1));
    return {};
  }
  Result<void> set(const char* text) {
    if (::strncmp(text, "unix:", 5) == 0) return set_path(text + 5);
    const bool brackets = text[0] == '[';
    const char* const begin = text + (brackets ? 1 : 0);
    const char* const end = ::strchr(begin, brackets ? ']' : ':');
    if (end == nullptr || (brackets && end[1] != ':')) return Error(EINVAL);
    char address[INET6_ADDRSTRLEN + IF_NAMESIZE] = {};
    if (end - begin >= static_cast<std::ptrdiff_t>(sizeof address)) return Error(EINVAL);
    ::memcpy(address, begin, static_cast<std::size_t>(end - begin));
    const int port = parse_port(end + (brackets ? 2 : 1));
    return port >= 0 ? set_ip(address, static_cast<std::uint16_t>(port)) : Error(EINVAL);
  }
  static int parse_port(const char* digit) {  // -1: it is none
    if (*digit == '\0') return -1;
    int port = 0;
    for (; *digit != '\0'; ++digit) {
      if (*digit < '0' || *digit > '9') return -1;
      port = port * 10 + (*digit - '0');
      if (port > 65535) return -1;
    }
    return port;
  }

  void print_ip(Text& text) const {
    const bool ipv6 = family() == AF_INET6;
    const void* const bytes = ipv6 ? static_cast<const void*>(&v6_.sin6_addr) : &v4_.sin_addr;
    char host[INET6_ADDRSTRLEN] = "";
    char scope[1 + IF_NAMESIZE] = "";  // '%' and the interface's name; empty if there is none, or if it has gone
    ::inet_ntop(family(), bytes, host, sizeof host);
    if (ipv6 && v6_.sin6_scope_id != 0 && ::if_indextoname(v6_.sin6_scope_id, scope + 1) != nullptr) scope[0] = '%';
    ::snprintf(text.data, sizeof text.data, ipv6 ? "[%s%s]:%u" : "%s%s:%u", host, scope, unsigned{port()});
  }
  void print_path(Text& text) const {
    ::memcpy(text.data, "unix:", 5);
    ::memcpy(text.data + 5, unix_.sun_path, size_ - path_offset);
    if (unix_.sun_path[0] == '\0') text.data[5] = '@';
  }

  union {
    sockaddr any_;
    sockaddr_in v4_;
    sockaddr_in6 v6_;
    sockaddr_un unix_;
  };
  socklen_t size_ = 0;
};

}  // namespace MOTE_NAMESPACE
}  // namespace mote

#endif  // MOTE_IO_ENDPOINT_HPP

// =====================================================================================================================
// include/mote/io/source_base.hpp
// =====================================================================================================================
// The inner side of a Source: what streams, listeners, datagram sockets and serial ports are made with.
#ifndef MOTE_IO_SOURCE_BASE_HPP
#define MOTE_IO_SOURCE_BASE_HPP

namespace mote {
inline namespace MOTE_NAMESPACE {
namespace detail {

// Owns a slot of a loop's table, and the descriptor in it. It goes with its owner, or with the loop where that goes
// first.
class SourceBase : SlotOwner {
 protected:
  using Slot = detail::Slot;

  SourceBase() = default;
  SourceBase(SourceBase&& other) noexcept { take(other); }
  SourceBase& operator=(SourceBase&& other) noexcept {
    if (this == &other) return *this;
    close();
    take(other);
    return *this;
  }
  ~SourceBase() { close(); }

  // ---- owning ----

  // Puts a descriptor, which is non-blocking already, into the table. `flags` are Slot::Flag. On failure `fd` stays the
  // caller's.
  // Errors:
  //   EBUSY    it is open already.
  //   EBADF    fd is none.
  //   ENOBUFS  the table is full.
  //   ENXIO    the reactor is not open.
  Result<void> register_as(Loop& loop, Fd&& fd, unsigned flags) {
    if (slot_ != nullptr) return Error(EBUSY);
    if (const Result<void> claimed = loop.claim(fd.get(), slot_); !claimed) return claimed;
    loop_ = &loop;
    loop.set_owner(*slot_, *this, &SourceBase::close_owner);
    slot_->flags = flags;
    unsigned state = 0;
    if (!slot_->is(Slot::blocking)) state |= Slot::may_try;  // the first attempt is made at once
    if (!slot_->is(Slot::is_stream)) state |= Slot::slow_path;
    slot_->read_state = static_cast<std::uint8_t>(state);
    slot_->write_state = static_cast<std::uint8_t>(state);
    fd.release();
    return {};
  }
  // The same for another one, as a listener does for the stream that it accepts.
  static Result<void> register_other(SourceBase& other, Loop& loop, Fd&& fd, unsigned flags) {
    return other.register_as(loop, std::move(fd), flags);
  }
  // Whoever waits for it gets ECANCELED. It is left to the kernel to end the registration, which saves a system call.
  void close() {
    if (slot_ == nullptr) return;
    Slot& slot = *std::exchange(slot_, nullptr);
    const Fd fd(slot.fd);  // closed at the end
    connect_interrupted_ = slot.is(Slot::connecting) && slot.writer.has_task();
    loop_->forget_in_selector(slot);
    loop_->release(slot);
  }
  // Gives the descriptor back, no longer registered.
  Fd release() {
    if (slot_ == nullptr) return Fd();
    Slot& slot = *std::exchange(slot_, nullptr);
    Fd fd(slot.fd);
    loop_->remove_from_selector(slot);
    loop_->release(slot);
    return fd;
  }

  // ---- operations ----

  // Whether there is a descriptor, and the task may go on. If not, `refusal` is the operation's answer: see
  // PollContext::proceed().
  bool proceed(PollContext context, Interest direction, Error& refusal) {
    if (slot_ != nullptr && context.consume_budget()) return true;
    refusal = refuse(context.task(), direction);
    return false;
  }
  [[gnu::cold]] Error refuse(Task& task, Interest direction) {
    const PollContext context(task);
    if (slot_ == nullptr) return Error(loop_ != nullptr ? ECANCELED : EBADF);
    const Error refusal = context.refuse();
    if (refusal == ECANCELED) {
      Waiter& waiter = direction == Interest::write ? slot_->writer : slot_->reader;
      waiter.leave(context.header());
    }
    return refusal;
  }
  // Notes the task as waiting; `what` says for what. Gives what the operation has to return.
  Error wait_for(PollContext context, Interest direction, const char* what) {
    const Result<void> noted = loop_->wait_for(*slot_, direction, context.header());
    return noted ? context.suspend(what) : noted.error();
  }
  // An operation that waits when `try_once()` answers EAGAIN, which is also its answer when trying is not worth a
  // system call.
  template <class T, class Try> auto make_operation(Interest direction, const char* what, Try try_once) {
    return operation<T>([this, direction, what, try_once](PollContext context) -> Result<T> {
      Error refusal;
      if (!proceed(context, direction, refusal)) return refusal;
      Result<T> result = try_once();
      if (result || result.error() != EAGAIN) return result;
      return wait_for(context, direction, what);
    });
  }

  Loop* loop_ = nullptr;              // null: it has never been open
  Slot* slot_ = nullptr;              // null: it is not open
  bool connect_interrupted_ = false;  // closed while a connect() was pending
 private:
  static void close_owner(SlotOwner& owner) { static_cast<SourceBase&>(owner).close(); }
  [[gnu::noinline]] void take(SourceBase& other) {
    loop_ = std::exchange(other.loop_, nullptr);
    slot_ = std::exchange(other.slot_, nullptr);
    if (slot_ != nullptr) slot_->owner = this;
  }
};

}  // namespace detail
}  // namespace MOTE_NAMESPACE
}  // namespace mote

#endif  // MOTE_IO_SOURCE_BASE_HPP

// =====================================================================================================================
// include/mote/io/source.hpp
// =====================================================================================================================
// Source: a descriptor of any kind that is owned and registered.
#ifndef MOTE_IO_SOURCE_HPP
#define MOTE_IO_SOURCE_HPP

namespace mote {
inline namespace MOTE_NAMESPACE {

// An owned descriptor in a reactor's table: closed when it goes. Registering costs no system call: the kernel hears of
// it when something must be waited for. Streams, listeners and datagram sockets are Sources; a plain Source serves any
// other descriptor (GPIO, inotify, CAN, a library's socket) by ready() or watch().
//
// It can be moved, and goes empty where the reactor goes first. It must not be destroyed while another task's operation
// on it is pending: close() it, which makes that operation answer ECANCELED, and let the task run. Size on a 32-bit
// board: 12 bytes.
class Source : protected detail::SourceBase {
 public:
  // Takes over a descriptor, of any kind. It is made non-blocking unless it is one of 0 to 2, which other processes
  // share: those are only used when reported ready, in small portions. On failure fd stays the caller's.
  // Errors:
  //   EBUSY    it is open already: close() it first.
  //   EBADF    fd is not an open descriptor.
  //   ENOBUFS  the table is full: see Config::descriptors.
  //   ENXIO    the reactor is not open.
  Result<void> open(Reactor& reactor, Fd&& fd) {
    int type = 0;
    socklen_t size = sizeof type;
    const bool is_socket = System::getsockopt(fd.get(), SOL_SOCKET, SO_TYPE, &type, &size) == 0;
    if (!is_socket && System::error() != ENOTSOCK) return detail::last_error();  // EBADF
    termios settings;
    const bool is_tty = !is_socket && System::tcgetattr(fd.get(), &settings) == 0;
    const bool is_shared = fd.get() >= 0 && fd.get() <= STDERR_FILENO;
    if (!is_shared) {
      if (const Result<void> made = make_non_blocking(fd.get()); !made) return made;
    }
    unsigned flags = 0;
    if (is_socket) flags |= Slot::is_socket;
    if (is_socket && type == SOCK_STREAM) flags |= Slot::is_stream;
    if (is_tty) flags |= Slot::is_tty;
    if (is_shared && !is_socket) flags |= Slot::blocking;  // sockets are used with MSG_DONTWAIT, whatever their number
    return register_as(detail::ReactorAccess::loop(reactor), std::move(fd), flags);
  }
  // Whoever waits for it gets ECANCELED. Does nothing to one that is not open.
  void close() { SourceBase::close(); }
  // Gives the descriptor back, no longer registered (and non-blocking, unless it is 0 to 2). Whoever waits gets
  // ECANCELED.
  Fd release() { return SourceBase::release(); }

  bool is_open() const { return slot_ != nullptr; }
  int fd() const { return slot_ != nullptr ? slot_->fd : -1; }
  Reactor& reactor() const { return detail::ReactorAccess::reactor(*loop_); }  // only of an open one

  // Completes when the kernel reports one of the things asked for (read, priority or both; or write), or hangup or
  // error; gives what was reported. It is a hint: another reader may have been faster.
  // Errors:
  //   EBUSY           another task waits for this direction: one for each at a time. Or it is watched.
  //   ECANCELED       the task was cancelled, or the source has been closed.
  //   EBADF           it was never opened.
  //   ENOMEM, ENOSPC  the kernel's limits on registrations.
  auto ready(Interest interest) {
    return make_operation<Readiness>(interest, "readiness", [this, interest]() -> Result<Readiness> {
      // Whoever asks may leave unread what there is, so edges would not be enough.
      slot_->read_state |= Slot::slow_path;
      slot_->wanted &= ~detail::by_edges;
      const unsigned asked =
          detail::DescriptorTable::asked_for(interest) | detail::bits(Readiness::error | Readiness::hangup);
      const auto seen = static_cast<Readiness>(detail::bits(slot_->last) & asked);
      slot_->last &= ~seen;
      return any(seen) ? Result<Readiness>(seen) : Error(EAGAIN);
    });
  }
  // The callback style: calls the handler with what is ready, as Reactor::add() does, instead of waking tasks. Call it
  // again to change the interest or the handler.
  // Errors:
  //   EBADF           it is not open.
  //   EBUSY           a task waits for it.
  //   ENOMEM, ENOSPC  the kernel's limits on registrations.
  Result<void> watch(Interest interest, Handler handler) {
    if (slot_ == nullptr) return Error(EBADF);
    MOTE_ASSERT(handler);
    if (slot_->reader.is_waiting() || slot_->writer.is_waiting()) return Error(EBUSY);
    slot_->reader.clear();
    slot_->writer.clear();
    loop_->set_handler(*slot_, handler);
    slot_->clear(Slot::muted);
    return loop_->set_interest(*slot_, interest);
  }

  // setsockopt(2) with an int.

  // Errors:
  //   EBADF                it is not open.
  //   ENOTSOCK             it is no socket.
  //   ENOPROTOOPT          the socket has no such option.
  //   EINVAL, EDOM         the option does not take this value.
  //   EPERM, EACCES        the option is for privileged processes.
  //   ENOMEM, ENOBUFS      the system's limits.
  Result<void> set_option(int level, int name, int value) {
    return detail::check(System::setsockopt(fd(), level, name, &value, sizeof value));
  }
  // Errors:
  //   EBADF     it is not open.
  //   ENOTSOCK  it is no socket.
  //   ENOBUFS   the system's limit.
  Result<Endpoint> local_endpoint() const { return ask_for_endpoint(&System::getsockname); }
  // Errors:
  //   EBADF     it is not open.
  //   ENOTSOCK  it is no socket.
  //   ENOTCONN  it is not connected, or not any more.
  //   ENOBUFS   the system's limit.
  Result<Endpoint> peer_endpoint() const { return ask_for_endpoint(&System::getpeername); }
 private:
  static Result<void> make_non_blocking(int fd) {
    const int status = System::fcntl(fd, F_GETFL, 0);
    if (status < 0) return detail::last_error();
    if ((status & O_NONBLOCK) != 0) return {};
    return detail::check(System::fcntl(fd, F_SETFL, status | O_NONBLOCK));
  }
  Result<Endpoint> ask_for_endpoint(int (*ask)(int, sockaddr*, socklen_t*)) const {
    Endpoint endpoint;
    socklen_t size = Endpoint::capacity;
    if (ask(fd(), endpoint.address(), &size) != 0) return detail::last_error();
    endpoint.resize(size);
    return endpoint;
  }
};

}  // namespace MOTE_NAMESPACE
}  // namespace mote

#endif  // MOTE_IO_SOURCE_HPP

// =====================================================================================================================
// include/mote/io/transfer.hpp
// =====================================================================================================================
// One system call's worth of reading or writing, and what its answer says about the next one.
#ifndef MOTE_IO_TRANSFER_HPP
#define MOTE_IO_TRANSFER_HPP

namespace mote {
inline namespace MOTE_NAMESPACE {
namespace detail {

// What transfers return: how many bytes, or an errno value as a negative number.
inline Result<std::size_t> transfer_result(ssize_t n) {
  return n >= 0 ? Result<std::size_t>(static_cast<std::size_t>(n)) : Error(static_cast<int>(-n));
}

// In place of a system call's answer: it has not been made yet.
constexpr ssize_t not_tried = -2;

// Of a read() or write() that has failed: returns its error. After EAGAIN the next attempt waits for an event.
[[gnu::cold]] inline int transfer_failed(Slot& slot, std::uint8_t& state) {
  const int error = System::error();
  if (error != EAGAIN) return error;
  Slot::clear_state(state, Slot::may_try);
  if (!any(slot.last & Readiness::error) || !slot.is(Slot::is_socket)) return EAGAIN;
  // An error was reported, yet none is there to be returned: it is in the error queue, and stays until it is taken.
  slot.last &= ~Readiness::error;
  char byte;
  for (int left = limits::operations_per_step; left > 0; --left) {
    if (System::recv(slot.fd, &byte, 1, MSG_ERRQUEUE | MSG_DONTWAIT) < 0) break;
  }
  return EAGAIN;
}

// ---- reading ----

[[gnu::cold]] inline int receive_failed(Slot& slot) {
  if (System::error() == EIO && slot.is(Slot::is_tty)) return 0;  // unplugged, or a pty's other end has been closed
  const int error = transfer_failed(slot, slot.read_state);
  if (error == EAGAIN) Slot::clear_state(slot.read_state, Slot::read_fully);
  return -error;
}
inline ssize_t receive_once(const Slot& slot, const ByteSpan& buffer) {
  if (slot.is(Slot::is_socket)) return System::recv(slot.fd, buffer.data(), buffer.size(), MSG_DONTWAIT);
  return System::read(slot.fd, buffer.data(), buffer.size());
}
// One read(); `answer` is what it has given, if it has been made already. A short one says that there is no more for
// now, so that the next waits first. Not so at the end of the stream (0 bytes, or read_fully), which is read at once.
inline ssize_t receive(Slot& slot, const ByteSpan& buffer, ssize_t answer) {
  if (buffer.empty()) return -EINVAL;  // the kernel would take a datagram
  while (answer == not_tried || (answer < 0 && System::error() == EINTR)) answer = receive_once(slot, buffer);
  if (answer < 0) return receive_failed(slot);
  const auto size = static_cast<std::size_t>(answer);
  const bool drained = size < buffer.size() && size != 0 && (slot.read_state & Slot::read_fully) == 0;
  if (drained || slot.is(Slot::blocking)) Slot::clear_state(slot.read_state, Slot::may_try);
  return answer;
}
inline Result<std::size_t> try_receive(Slot& slot, const ByteSpan& buffer) {
  return transfer_result(receive(slot, buffer, not_tried));
}

// ---- writing ----

inline ssize_t send_once(const Slot& slot, const ByteView& bytes) {
  std::size_t size = bytes.size();
  if (slot.is(Slot::is_socket)) return System::send(slot.fd, bytes.data(), size, MSG_DONTWAIT | MSG_NOSIGNAL);
  if (slot.is(Slot::blocking) && size > 512) size = 512;  // _POSIX_PIPE_BUF: does not block once reported writable
  return System::write(slot.fd, bytes.data(), size);
}
// One write() of at least one byte; `answer` is what it has given, if it has been made already. After a short one the
// next waits.
inline ssize_t send(Slot& slot, const ByteView& bytes, ssize_t answer) {
  while (answer == not_tried || (answer < 0 && System::error() == EINTR)) answer = send_once(slot, bytes);
  if (answer < 0) return -transfer_failed(slot, slot.write_state);
  const bool is_full = static_cast<std::size_t>(answer) < bytes.size();
  if (is_full || slot.is(Slot::blocking)) Slot::clear_state(slot.write_state, Slot::may_try);
  return answer;
}
inline Result<std::size_t> try_send(Slot& slot, const ByteView& bytes) {
  return transfer_result(bytes.empty() ? 0 : send(slot, bytes, not_tried));
}

}  // namespace detail
}  // namespace MOTE_NAMESPACE
}  // namespace mote

#endif  // MOTE_IO_TRANSFER_HPP

// =====================================================================================================================
// include/mote/io/datagram.hpp
// =====================================================================================================================
// Datagram: a socket of datagrams, UDP or Unix-domain.
#ifndef MOTE_IO_DATAGRAM_HPP
#define MOTE_IO_DATAGRAM_HPP

namespace mote {
inline namespace MOTE_NAMESPACE {

// Datagrams, UDP or Unix-domain. Size on a 32-bit board: 12 bytes.
//
// Errors of all operations that are awaited, beside their own:
//   EBUSY        another task does the same: one reader and one writer at a time. Or the socket is watched.
//   ECANCELED    the task was cancelled, or the socket has been closed, as at shutdown.
//   EBADF        it was never opened.
//   ECONNREFUSED an earlier datagram of a connected socket found nobody (ICMP). The socket goes on.
//   ENOMEM       the kernel is out of memory: try later.
//   ENOSPC       the kernel's limit on registrations, when it has to wait.
class Datagram : public Source {
 public:
  struct Received {
    std::size_t size = 0;    // bytes in the buffer; 0 is an empty datagram, not the end
    bool truncated = false;  // the datagram was longer than the buffer; the rest is lost
  };

  // Bound to the endpoint, whose port may be 0: the kernel chooses one.
  // Errors:
  //   EBUSY                   it is open already: close() it first.
  //   EADDRINUSE              the address is taken, or the Unix socket's path exists.
  //   EADDRNOTAVAIL           the address is none of this machine.
  //   EACCES                  not allowed: a port below 1024, or the directory's permissions.
  //   EAFNOSUPPORT            the kernel does not know this family.
  //   ENOBUFS                 the table is full: see Config::descriptors; or the kernel's memory.
  //   EMFILE, ENFILE, ENOMEM  the system's limits.
  //   ENXIO                   the reactor is not open.
  Result<void> open(Reactor& reactor, const Endpoint& endpoint) {
    if (slot_ != nullptr) return Error(EBUSY);
    Fd fd(System::socket(endpoint.family(), SOCK_DGRAM));
    if (!fd) return detail::last_error();
    if (System::bind(fd.get(), endpoint.address(), endpoint.size()) != 0) return detail::last_error();
    return register_as(detail::ReactorAccess::loop(reactor), std::move(fd), Slot::is_socket);
  }
  // Of that family (AF_INET, AF_INET6, AF_UNIX), bound by the first send. Errors: as above, but for those of the
  // address.
  Result<void> open(Reactor& reactor, int family) {
    Fd fd(System::socket(family, SOCK_DGRAM));
    if (!fd) return detail::last_error();
    return register_as(detail::ReactorAccess::loop(reactor), std::move(fd), Slot::is_socket);
  }
  // Sets where send() goes and from where recv() takes: kernel state, at once. Errors: of connect(2).
  Result<void> connect(const Endpoint& to) { return detail::check(System::connect(fd(), to.address(), to.size())); }

  // ---- operations ----

  // A datagram, and in `from`, unless it is null, from where it came.
  auto recv(ByteSpan buffer, Endpoint* from = nullptr) {
    return make_operation<Received>(Interest::read, "a datagram", [this, buffer, from] {
      return slot_->may_read() ? try_recv(buffer, from) : Error(EAGAIN);
    });
  }
  auto recv_from(ByteSpan buffer, Endpoint& from) { return recv(buffer, &from); }
  // Sends all or nothing: to where the socket is connected, if `to` is null.
  // Errors, beside those above:
  //   EMSGSIZE                   too long for one datagram.
  //   ENOBUFS                    the interface's queue is full: try later.
  //   ENETUNREACH, EHOSTUNREACH  the network says that there is no way there.
  //   ENOENT                     there is no Unix socket of this path.
  //   EDESTADDRREQ               the socket is not connected, and `to` is null.
  //   EACCES                     not allowed: the path's permissions; or a broadcast without SO_BROADCAST.
  //   EPERM                      a firewall forbids it.
  auto send(ByteView bytes, const Endpoint* to = nullptr) {
    return make_operation<void>(Interest::write, "room to write", [this, bytes, to] {
      return slot_->may_write() ? try_send_to(bytes, to) : Error(EAGAIN);
    });
  }
  auto send_to(ByteView bytes, const Endpoint& to) { return send(bytes, &to); }

  // ---- one attempt, for the callback style ----

  // Errors, beside those of recv():
  //   EAGAIN   there is no datagram now.
  //   EBADF    it is not open.
  Result<Received> try_recv(ByteSpan buffer, Endpoint* from = nullptr) {
    if (slot_ == nullptr) return Error(EBADF);
    iovec vector{buffer.data(), buffer.size()};
    msghdr message;
    ::memset(&message, 0, sizeof message);
    message.msg_iov = &vector;
    message.msg_iovlen = 1;
    if (from != nullptr) {
      *from = Endpoint();
      message.msg_name = from->address();
      message.msg_namelen = Endpoint::capacity;
    }
    const ssize_t n = detail::retry([&] { return System::recvmsg(slot_->fd, &message, MSG_DONTWAIT); });
    if (n < 0) return Error(-detail::receive_failed(*slot_));
    if (from != nullptr) from->resize(message.msg_namelen);
    return Received{static_cast<std::size_t>(n), (message.msg_flags & MSG_TRUNC) != 0};
  }
  // Errors, beside those of send():
  //   EAGAIN   there is no room now.
  //   EBADF    it is not open.
  Result<void> try_send_to(ByteView bytes, const Endpoint* to = nullptr) {
    if (slot_ == nullptr) return Error(EBADF);
    const sockaddr* const address = to != nullptr ? to->address() : nullptr;
    const socklen_t size = to != nullptr ? to->size() : 0;
    const int flags = MSG_DONTWAIT | MSG_NOSIGNAL;
    const auto send_once = [&] { return System::sendto(slot_->fd, bytes.data(), bytes.size(), flags, address, size); };
    const ssize_t n = detail::retry(send_once);
    if (n < 0) return Error(detail::transfer_failed(*slot_, slot_->write_state));
    return {};
  }
};

}  // namespace MOTE_NAMESPACE
}  // namespace mote

#endif  // MOTE_IO_DATAGRAM_HPP

// =====================================================================================================================
// include/mote/io/stream.hpp
// =====================================================================================================================
// Stream: bytes in both directions.
#ifndef MOTE_IO_STREAM_HPP
#define MOTE_IO_STREAM_HPP

namespace mote {
inline namespace MOTE_NAMESPACE {

// A stream of bytes: a socket, a pipe, a terminal. Writing to a socket whose peer has gone gives EPIPE and never raises
// SIGPIPE; for pipes there is no such choice: ignore the signal, as daemons do. Size on a 32-bit board: 12 bytes.
//
// Errors of all operations that are awaited, beside their own:
//   EBUSY                      another task does the same: one reader and one writer. Or the stream is watched.
//   ECANCELED                  the task was cancelled, or the stream has been closed, as at shutdown.
//   EBADF                      it was never opened.
//   ECONNRESET                 the peer has ended the connection by force: close it.
//   ETIMEDOUT                  the peer has not answered for long: close it.
//   EHOSTUNREACH, ENETUNREACH  the network says that there is no way to the peer: close it.
//   ENOTCONN                   it is not connected.
//   EIO                        the device has failed, or has gone: close it.
//   ENOMEM, ENOBUFS            the kernel is out of memory: try later, or close it.
//   ENOSPC                     the kernel's limit on registrations, when it has to wait.
class Stream : public Source {
 public:
  // ---- operations ----

  // Some bytes, as they come: at least 1, or 0 at the end of the stream (a terminal's hang-up included).
  // Errors, beside those above:
  //   EINVAL   the buffer is empty.
  //   EISDIR   it is a directory.
  auto read(ByteSpan buffer) {
    // The buffer is captured as pointer and size, which is smaller code on ARM.
    return operation<std::size_t>([this, data = buffer.data(), size = buffer.size()](PollContext context) {
      Slot* const slot = slot_;
      if (slot == nullptr || !context.consume_budget()) {
        return Result<std::size_t>(refuse(context.task(), Interest::read));
      }
      if (detail::expect_true(slot->read_state == Slot::may_try)) {
        const ssize_t n = System::recv(slot->fd, data, size, MSG_DONTWAIT);
        if (n <= 0) return detail::transfer_result(read_slow_path(context.task(), data, size, n));
        // A short read has drained the socket. (slot_ is loaded again: to keep `slot` across the call costs two
        // instructions.)
        if (detail::expect_true(static_cast<std::size_t>(n) < size)) slot_->read_state = 0;
        return Result<std::size_t>(static_cast<std::size_t>(n));
      }
      if (slot->read_state != 0 || !slot->reader.names(context.header())) {
        return detail::transfer_result(read_slow_path(context.task(), data, size, detail::not_tried));
      }
      slot->reader.wait_again(detail::bits(Interest::read));  // it has waited here before, and the kernel knows
      return Result<std::size_t>(context.suspend("data"));
    });
  }
  // All of the buffer, which shrinks as it is filled: a named object that outlives the await.
  // Errors, beside those of read():
  //   ENODATA   the stream ended before that. The buffer holds what is still missing.
  auto read_exactly(ByteSpan& buffer) {
    return make_operation<void>(Interest::read, "data", [this, &buffer]() -> Result<void> {
      while (!buffer.empty()) {
        if (!slot_->may_read()) return Error(EAGAIN);
        const Result<std::size_t> n = detail::try_receive(*slot_, buffer);
        if (!n) return n.error();
        if (*n == 0) return Error(ENODATA);
        buffer.drop_front(*n);
      }
      return {};
    });
  }
  void read_exactly(ByteSpan&& buffer) = delete;  // it would begin anew at each attempt
  // All bytes of the view, which shrinks as they are sent: a named object that outlives the await, as must the bytes.
  // After an error the view holds what was not sent. Errors, beside those above:
  //   EPIPE    the peer does not read any more: close it.
  //   ENOSPC   the device, or the file's medium, is full.
  auto write_all(ByteView& bytes) {
    return operation<void>([this, &bytes](PollContext context) -> Result<void> {
      Slot* const slot = slot_;
      if (slot == nullptr || !context.consume_budget()) return refuse(context.task(), Interest::write);
      ssize_t n = detail::not_tried;
      if (detail::expect_true(slot->write_state == Slot::may_try)) {
        n = System::send(slot->fd, bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
        if (detail::expect_true(static_cast<std::size_t>(n) == bytes.size())) {
          bytes.drop_front(bytes.size());
          return {};
        }
      }
      const int error = write_slow_path(context.task(), bytes, n);
      return error == 0 ? Result<void>() : Error(error);
    });
  }
  void write_all(ByteView&& bytes) = delete;
  // Connects an empty stream to an endpoint, which outlives the await. After an error, a cancellation included, the
  // stream is empty again; after with_timeout(), close() it. Errors, the socket's real one:
  //   ECONNREFUSED               nobody listens there.
  //   ETIMEDOUT                  no answer within the kernel's time, about two minutes.
  //   EHOSTUNREACH, ENETUNREACH  the network says that there is no way there.
  //   ENOENT                     there is no Unix socket of this path.
  //   EACCES, EPERM              not allowed: the path's permissions, or a firewall.
  //   EAGAIN                     the backlog of a Unix socket is full: try later.
  //   EADDRNOTAVAIL              no local port is left.
  //   EISCONN                    the stream is not empty; it stays as it is.
  //   EBUSY                      another task connects it; it goes on.
  //   ECANCELED                  the task was cancelled, or the stream has been closed.
  //   ENOBUFS                    the table is full: see Config::descriptors.
  //   EMFILE, ENFILE, ENOMEM     the system's limits: try later.
  //   EAFNOSUPPORT               the kernel does not know this family.
  auto connect(const Endpoint& endpoint) {
    return operation<void>([this, &endpoint](PollContext context) {
      const Result<void> result = attempt_connect(context, endpoint);
      const int error = result ? 0 : result.error().code();
      if (!detail::is_one_of(error, 0, detail::suspended.code(), EISCONN, EBUSY)) {
        close();
        connect_interrupted_ = false;
      }
      return result;
    });
  }

  // ---- one attempt, for the callback style ----

  // Errors, beside those of read():
  //   EAGAIN   there is nothing to read now.
  //   EBADF    it is not open.
  Result<std::size_t> try_read(ByteSpan buffer) {
    if (slot_ == nullptr) return Error(EBADF);
    if (!slot_->is(Slot::is_stream)) return detail::try_receive(*slot_, buffer);
    const ssize_t n = System::recv(slot_->fd, buffer.data(), buffer.size(), MSG_DONTWAIT);
    if (detail::expect_true(n > 0)) return static_cast<std::size_t>(n);
    return detail::transfer_result(detail::receive(*slot_, buffer, n));
  }
  // Returns how many bytes it has taken, which may be fewer than there are.
  // Errors, beside those of write_all():
  //   EAGAIN   there is no room to write now.
  //   EBADF    it is not open.
  Result<std::size_t> try_write(ByteView bytes) {
    if (slot_ == nullptr) return Error(EBADF);
    if (!slot_->is(Slot::is_stream) || bytes.empty()) return detail::try_send(*slot_, bytes);
    const ssize_t n = System::send(slot_->fd, bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    if (detail::expect_true(n > 0)) return static_cast<std::size_t>(n);
    return detail::transfer_result(detail::send(*slot_, bytes, n));
  }

  // ---- settings ----

  // The peer reads the end of the stream after what was written.
  // Errors:
  //   ENOTCONN   it is not connected, or not any more.
  //   ENOTSOCK   it is a pipe or a terminal, which have no such thing.
  //   EBADF      it is not open.
  Result<void> shutdown_write() { return detail::check(System::shutdown(fd(), SHUT_WR)); }
  Result<void> set_no_delay(bool on) { return set_option(IPPROTO_TCP, TCP_NODELAY, on ? 1 : 0); }
  // Probes after `idle` seconds of silence, every `interval` seconds; after `count` without answer operations give
  // ETIMEDOUT. Errors: of set_option().
  Result<void> set_keep_alive(int idle, int interval, int count) {
    Result<void> set = set_option(IPPROTO_TCP, TCP_KEEPIDLE, idle);
    if (set) set = set_option(IPPROTO_TCP, TCP_KEEPINTVL, interval);
    if (set) set = set_option(IPPROTO_TCP, TCP_KEEPCNT, count);
    if (set) set = set_option(SOL_SOCKET, SO_KEEPALIVE, 1);
    return set;
  }
 private:
  // What read() and write_all() come to where their usual case, which is inlined where they are made, does not apply.
  // `answer`: what the system call has given already, if it has been made. They and refuse() take the task, not its
  // PollContext: an object that is passed by value to a function that is not inlined costs g++ 12 two instructions on
  // the way of every message.

  // Returns a size, or an errno value as a negative number.
  [[gnu::noinline]] ssize_t read_slow_path(Task& task, unsigned char* data, std::size_t size, ssize_t answer) {
    const ssize_t n = slot_->may_read() ? detail::receive(*slot_, {data, size}, answer) : -EAGAIN;
    if (n != -EAGAIN) return n;
    return -wait_for(PollContext(task), Interest::read, "data").code();
  }
  // Returns 0 when all is sent, or an errno value.
  [[gnu::noinline]] int write_slow_path(Task& task, ByteView& bytes, ssize_t answer) {
    while (!bytes.empty()) {
      const ssize_t n = slot_->may_write() ? detail::send(*slot_, bytes, answer) : -EAGAIN;
      if (n == -EAGAIN) return wait_for(PollContext(task), Interest::write, "room to write").code();
      if (n < 0) return static_cast<int>(-n);
      bytes.drop_front(static_cast<std::size_t>(n));
      answer = detail::not_tried;
    }
    return 0;
  }

  Result<void> attempt_connect(PollContext context, const Endpoint& endpoint) {
    const bool interrupted = std::exchange(connect_interrupted_, false);
    if (interrupted) return Error(ECANCELED);
    if (slot_ != nullptr && !slot_->is(Slot::connecting)) return Error(EISCONN);
    const bool begins = slot_ == nullptr;
    Error refusal;
    const bool proceeds = begins ? context.proceed(refusal) : proceed(context, Interest::write, refusal);
    if (!proceeds) return refusal;
    const Result<void> going_on = begins ? begin_connect(context, endpoint) : ask_for_connect_error();
    if (!going_on) return going_on;
    if (!slot_->may_write()) return wait_for(context, Interest::write, "a connection");
    slot_->clear(Slot::connecting);
    return {};
  }
  Result<void> begin_connect(PollContext context, const Endpoint& endpoint) {
    Fd fd(System::socket(endpoint.family(), SOCK_STREAM));
    if (!fd) return detail::last_error();
    unsigned flags = Slot::is_socket | Slot::is_stream | Slot::connecting;
    if (endpoint.family() != AF_UNIX) flags |= Slot::is_tcp;
    detail::Loop& loop = detail::ReactorAccess::loop(context.task().reactor());
    const Result<void> opened = register_as(loop, std::move(fd), flags);
    if (!opened) return opened;
    MOTE_ASSERT(slot_ != nullptr);
    if (System::connect(slot_->fd, endpoint.address(), endpoint.size()) == 0) return {};
    Slot::clear_state(slot_->write_state, Slot::may_try);
    const int error = System::error();
    const bool in_progress = error == EINPROGRESS || error == EINTR;  // interrupted, it goes on, too
    return in_progress ? Result<void>() : Error(error);
  }
  // When the socket has become writable, the connection is there, or has failed.
  Result<void> ask_for_connect_error() {
    if (!slot_->may_write()) return {};
    int error = 0;
    socklen_t size = sizeof error;
    if (System::getsockopt(slot_->fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0) return detail::last_error();
    return error == 0 ? Result<void>() : Error(error);
  }
};

}  // namespace MOTE_NAMESPACE
}  // namespace mote

#endif  // MOTE_IO_STREAM_HPP

// =====================================================================================================================
// include/mote/io/line_reader.hpp
// =====================================================================================================================
// LineReader: a stream, line by line.
#ifndef MOTE_IO_LINE_READER_HPP
#define MOTE_IO_LINE_READER_HPP

namespace mote {
inline namespace MOTE_NAMESPACE {

// Reads lines of at most N - 1 bytes and their delimiter. A longer one is the error EMSGSIZE, once; its rest is passed
// over, and nothing else is lost. Size: N bytes, and 16 on a 32-bit board. A line costs O(its bytes).
template <std::size_t N> class LineReader {
  static_assert(N >= 2, "room for one byte and the delimiter");
 public:
  constexpr LineReader() : LineReader('\n') {}
  explicit constexpr LineReader(char delimiter) : delimiter_(static_cast<unsigned char>(delimiter - '\n')) {}

  // The line without its delimiter (for '\n', nor a '\r' before it), valid until the next read. The last line may lack
  // the delimiter. Errors, beside those of Stream::read():
  //   ENODATA    the stream has ended.
  //   EMSGSIZE   a line was too long. The next call goes on with the line after it.
  auto read_line(Stream& stream) {
    return operation<ByteView>([this, &stream](PollContext context) -> Result<ByteView> {
      for (;;) {
        const Result<ByteView> line = context.is_abandoning() ? Error(EAGAIN) : take_line();
        if (line || line.error() != EAGAIN) return line;
        Poll<Result<std::size_t>> n = stream.read(ByteSpan(bytes_ + end_, N - end_)).poll(context.task());
        if (!n.ready()) return detail::suspended;
        if (!*n) return n->error();
        end_ += **n;
        if (**n == 0) return take_rest();
      }
    });
  }
 private:
  // EAGAIN: no line is complete. Then there is room to read more.
  Result<ByteView> take_line() {
    const auto delimiter = static_cast<unsigned char>(delimiter_ + '\n');
    while (const void* const found = ::memchr(bytes_ + searched_, delimiter, end_ - searched_)) {
      const auto at = static_cast<std::size_t>(static_cast<const unsigned char*>(found) - bytes_);
      const ByteView line = cut(begin_, at);
      begin_ = at + 1;
      searched_ = at + 1;
      const bool was_skipping = std::exchange(skipping_, false);
      if (!was_skipping) return line;
    }
    const bool too_long = !skipping_ && begin_ == 0 && end_ == N;
    if (too_long) skipping_ = true;
    if (skipping_) begin_ = end_;
    move_to_front();
    return Error(too_long ? EMSGSIZE : EAGAIN);
  }
  void move_to_front() {
    ::memmove(bytes_, bytes_ + begin_, end_ - begin_);
    end_ -= begin_;
    begin_ = 0;
    searched_ = end_;
  }
  Result<ByteView> take_rest() {
    const ByteView rest = cut(0, end_);
    const bool none = skipping_ || end_ == 0;
    begin_ = 0;
    searched_ = 0;
    end_ = 0;
    skipping_ = false;
    return none ? Result<ByteView>(Error(ENODATA)) : rest;
  }
  ByteView cut(std::size_t from, std::size_t to) const {
    const bool by_newline = delimiter_ == 0;
    if (by_newline && to > from && bytes_[to - 1] == '\r') --to;
    return {bytes_ + from, to - from};
  }

  std::size_t begin_ = 0;     // of the line that comes next
  std::size_t searched_ = 0;  // there is no delimiter between begin_ and this
  std::size_t end_ = 0;       // of what has been read
  bool skipping_ = false;     // the rest of a line that was too long
  unsigned char delimiter_;   // less '\n', so that a reader of lines is all zero bits
  unsigned char bytes_[N] = {};
};

}  // namespace MOTE_NAMESPACE
}  // namespace mote

#endif  // MOTE_IO_LINE_READER_HPP

// =====================================================================================================================
// include/mote/io/listener.hpp
// =====================================================================================================================
// Listener: accepts connections.
#ifndef MOTE_IO_LISTENER_HPP
#define MOTE_IO_LISTENER_HPP

namespace mote {
inline namespace MOTE_NAMESPACE {

// Accepts connections. Full is answered by waiting, so that connections stay in the kernel's backlog: for a slot of the
// table; or, when the system refuses a descriptor or memory, for limits::accept_pause (100 ms). Size on a 32-bit board:
// 12 bytes.
class Listener : public Source {
 public:
  struct Options {
    bool reuse_address = true;  // take over an address whose old connections linger in TIME_WAIT
    bool reuse_port = false;    // share the port with other processes' listeners
    bool no_delay = false;      // TCP_NODELAY, inherited by the accepted connections: no system call for each of them
    bool ipv6_only = false;
    int backlog = SOMAXCONN;
  };
  // Listens at once; connections wait in the backlog until they are accepted.
  // Errors:
  //   EBUSY                    it is open already: close() it first.
  //   EADDRINUSE               somebody listens there, or the Unix socket's path exists: unlink() a leftover.
  //   EADDRNOTAVAIL            the address is none of this machine.
  //   EACCES                   not allowed: a port below 1024, or the directory's permissions.
  //   EAFNOSUPPORT             the kernel does not know this family.
  //   ENOENT                   a directory of the path does not exist.
  //   ENOBUFS                  the table is full: see Config::descriptors; or the kernel's memory.
  //   EMFILE, ENFILE, ENOMEM   the system's limits.
  //   ENXIO                    the reactor is not open.
  Result<void> open(Reactor& reactor, const Endpoint& endpoint) { return open(reactor, endpoint, Options()); }
  Result<void> open(Reactor& reactor, const Endpoint& endpoint, const Options& options) {
    if (slot_ != nullptr) return Error(EBUSY);
    Fd fd(System::socket(endpoint.family(), SOCK_STREAM));
    if (!fd) return detail::last_error();
    unsigned flags = Slot::is_socket | Slot::listening;
    if (endpoint.family() != AF_UNIX) {
      flags |= Slot::is_tcp;
      if (const Result<void> set = set_options(fd.get(), endpoint.family(), options); !set) return set;
    }
    if (System::bind(fd.get(), endpoint.address(), endpoint.size()) != 0) return detail::last_error();
    if (System::listen(fd.get(), options.backlog) != 0) return detail::last_error();
    return register_as(detail::ReactorAccess::loop(reactor), std::move(fd), flags);
  }

  // The next connection that is still there.
  // Errors:
  //   EBUSY            another task accepts: one at a time. Or the listener is watched.
  //   ECANCELED        the task was cancelled, or the listener has been closed, as at shutdown.
  //   EBADF            it was never opened.
  //   ENOMEM, ENOSPC   the kernel's limits on registrations, when it has to wait.
  auto accept() {
    return operation<Stream>([this](PollContext context) {
      return Poll<Result<Stream>>::in_place([&](Stream& stream) { return attempt_accept(context, stream); });
    });
  }
  // One attempt, for the callback style. After any of these errors but EAGAIN and EBADF the listener stays ready:
  // watch() it for nothing (Interest::none), and try again later.
  // Errors:
  //   EAGAIN                   there is no connection now.
  //   EBADF                    it is not open.
  //   ENOBUFS                  the table is full, or the kernel's memory.
  //   EMFILE, ENFILE, ENOMEM   the system's limits.
  //   EPERM                    a firewall forbids it.
  //   ECONNABORTED             many connections in a row had gone before they were accepted.
  Result<Stream> try_accept() {
    if (slot_ == nullptr) return Error(EBADF);
    if (loop_->vacancies() == 0) return Error(ENOBUFS);
    return Result<Stream>::in_place([this](Stream& stream) { return accept_into(stream); });
  }
 private:
  static Result<void> set_options(int fd, int family, const Options& options) {
    static constexpr struct {
      int level;
      int name;
    } names[] = {{SOL_SOCKET, SO_REUSEADDR},
                 {SOL_SOCKET, SO_REUSEPORT},
                 {IPPROTO_TCP, TCP_NODELAY},
                 {IPPROTO_IPV6, IPV6_V6ONLY}};
    const bool ipv6_only = family == AF_INET6 && options.ipv6_only;
    const bool wanted[] = {options.reuse_address, options.reuse_port, options.no_delay, ipv6_only};
    for (std::size_t i = 0; i < sizeof wanted; ++i) {
      const int on = 1;
      if (!wanted[i]) continue;
      if (System::setsockopt(fd, names[i].level, names[i].name, &on, sizeof on) != 0) return detail::last_error();
    }
    return {};
  }

  Result<void> attempt_accept(PollContext context, Stream& stream) {
    if (loop_ == nullptr) return Error(EBADF);
    loop_->vacancy().remove(context.header());
    loop_->accept_retry().remove(context.header());
    Error refusal;
    if (!proceed(context, Interest::read, refusal)) return refusal;
    if (loop_->vacancies() == 0) return loop_->vacancy().wait(context.header(), "a free slot in the table");
    const Result<void> accepted = slot_->may_read() ? accept_into(stream) : Error(EAGAIN);
    const int error = accepted ? 0 : accepted.error().code();
    if (error == EAGAIN) {
      Slot::clear_state(slot_->read_state, Slot::may_try);
      return wait_for(context, Interest::read, "a connection");
    }
    if (!may_pass_with_time(error)) return accepted;
    loop_->pause_accepts();
    return loop_->accept_retry().wait(context.header(), "a descriptor or memory from the system");
  }
  // There must be a free slot in the table.
  Result<void> accept_into(Stream& stream) {
    for (int i = 0; i < limits::accepts_per_poll; ++i) {
      Fd fd(System::accept(slot_->fd));
      const unsigned flags = Slot::is_socket | Slot::is_stream | (slot_->flags & Slot::is_tcp);
      if (fd) return register_other(stream, *loop_, std::move(fd), flags);
      const int error = System::error();
      if (!is_of_one_connection(error)) return Error(error);
    }
    return Error(ECONNABORTED);
  }
  // Errors of accept() after which the next connection may be accepted at once. The first is of a signal; the others
  // are of the connection that would have been accepted, or errors of its network that were pending there: see
  // accept(2).
  static bool is_of_one_connection(int error) {
    return detail::is_one_of(error,
                             EINTR,         // a signal came first
                             ECONNABORTED,  // the peer has gone in the meantime
                             EPROTO,        // the same, as some protocols say it
                             ENETDOWN,      // its network is down
                             ENOPROTOOPT,   // the peer does not offer the protocol
                             EHOSTDOWN,     // the peer's machine is down
                             ENONET,        // the peer's machine is not on the network
                             EHOSTUNREACH,  // there is no way to its machine
                             EOPNOTSUPP,    // its network says that it does not do this
                             ENETUNREACH,   // there is no way to its network
                             ETIMEDOUT);    // it has not answered
  }
  // Errors of accept() that end without this program's doing: the connection stays in the backlog meanwhile. Others are
  // left: EBADF and EINVAL, of a descriptor that was closed, or shut down, behind our back.
  static bool may_pass_with_time(int error) {
    return detail::is_one_of(error,
                             EMFILE,         // too many descriptors in this process
                             ENFILE,         // too many in the system
                             ENOBUFS,        // no memory for a socket
                             ENOMEM,         // no memory
                             EPERM,          // a firewall forbids it
                             ECONNABORTED);  // many in a row had gone
  }
};

}  // namespace MOTE_NAMESPACE
}  // namespace mote

#endif  // MOTE_IO_LISTENER_HPP

// =====================================================================================================================
// include/mote/device/serial_port.hpp
// =====================================================================================================================
// SerialPort: a serial line, as a stream.
#ifndef MOTE_DEVICE_SERIAL_PORT_HPP
#define MOTE_DEVICE_SERIAL_PORT_HPP

namespace mote {
inline namespace MOTE_NAMESPACE {

// A serial port in raw mode. An unplugged one reads as the end of the stream. Size on a 32-bit board: 12 bytes.
class SerialPort : public Stream {
 public:
  enum class Parity : std::uint8_t { none, even, odd };
  struct Settings {
    int baud = 115200;  // one of the usual rates, 300 to 4000000
    int data_bits = 8;  // 5 to 8
    Parity parity = Parity::none;
    int stop_bits = 1;                   // 1 or 2
    bool hardware_flow_control = false;  // RTS/CTS
  };

  // Opens it for this process alone: from then on any other open() gives EBUSY (except to the superuser: TIOCEXCL).
  // Errors:
  //   EINVAL                   a setting that the device or its driver does not take.
  //   ENOTTY                   it is no terminal.
  //   ENOENT                   there is no such device: not plugged in?
  //   EACCES                   not allowed: the user is usually to be in the group "dialout".
  //   EBUSY                    another process has it; or this SerialPort is open already.
  //   ENXIO                    the device behind it is not there; or the reactor is not open.
  //   EIO                      the device has failed.
  //   EMFILE, ENFILE, ENOMEM   the system's limits.
  //   ENOBUFS                  the table is full: see Config::descriptors.
  Result<void> open(Reactor& reactor, const char* path) { return open(reactor, path, Settings()); }
  Result<void> open(Reactor& reactor, const char* path, const Settings& settings) {
    if (slot_ != nullptr) return Error(EBUSY);
    Fd fd(detail::retry([path] { return System::open(path, O_RDWR | O_NOCTTY | O_NONBLOCK); }));
    if (!fd) return detail::last_error();
    if (const Result<void> configured = configure(fd.get(), settings); !configured) return configured;
    if (System::set_exclusive(fd.get()) != 0) return detail::last_error();
    return register_as(detail::ReactorAccess::loop(reactor), std::move(fd), Slot::is_tty);
  }
 private:
  static constexpr tcflag_t frame_flags = CSIZE | PARENB | PARODD | CSTOPB | CRTSCTS;

  static Result<void> configure(int fd, const Settings& settings) {
    const speed_t speed = speed_of(settings.baud);
    if (speed == B0 || !are_valid(settings)) return Error(EINVAL);
    const tcflag_t frame = frame_of(settings);
    termios t;
    if (System::tcgetattr(fd, &t) != 0) return detail::last_error();
    ::cfmakeraw(&t);
    t.c_cflag = (t.c_cflag & ~frame_flags) | frame | CREAD | CLOCAL;
    t.c_cc[VMIN] = 1;  // "nothing there" is EAGAIN then; with 0 it would look like the end of the stream
    t.c_cc[VTIME] = 0;
    if (::cfsetispeed(&t, speed) != 0 || ::cfsetospeed(&t, speed) != 0) return detail::last_error();
    if (detail::retry([&] { return System::tcsetattr(fd, &t); }) != 0) return detail::last_error();
    // tcsetattr() succeeds if it could do any part of what was asked: see termios(3).
    if (System::tcgetattr(fd, &t) != 0) return detail::last_error();
    const bool taken = (t.c_cflag & frame_flags) == frame && ::cfgetospeed(&t) == speed;
    return taken ? Result<void>() : Error(EINVAL);
  }
  static bool are_valid(const Settings& settings) {
    if (settings.data_bits < 5 || settings.data_bits > 8) return false;
    return settings.stop_bits == 1 || settings.stop_bits == 2;
  }
  static tcflag_t frame_of(const Settings& settings) {
    constexpr tcflag_t sizes[] = {CS5, CS6, CS7, CS8};
    tcflag_t flags = sizes[settings.data_bits - 5];
    if (settings.parity != Parity::none) flags |= PARENB;
    if (settings.parity == Parity::odd) flags |= PARODD;
    if (settings.stop_bits == 2) flags |= CSTOPB;
    if (settings.hardware_flow_control) flags |= CRTSCTS;
    return flags;
  }
  static speed_t speed_of(int baud) {  // B0: there is no such rate
    struct Rate {
      int baud;
      speed_t speed;
    };
    static constexpr Rate rates[] = {
        {300, B300},         {600, B600},         {1200, B1200},       {2400, B2400},       {4800, B4800},
        {9600, B9600},       {19200, B19200},     {38400, B38400},     {57600, B57600},     {115200, B115200},
        {230400, B230400},   {460800, B460800},   {500000, B500000},   {576000, B576000},   {921600, B921600},
        {1000000, B1000000}, {1500000, B1500000}, {2000000, B2000000}, {3000000, B3000000}, {4000000, B4000000},
    };
    for (const Rate& rate : rates) {
      if (rate.baud == baud) return rate.speed;
    }
    return B0;
  }
};

}  // namespace MOTE_NAMESPACE
}  // namespace mote

#endif  // MOTE_DEVICE_SERIAL_PORT_HPP

// =====================================================================================================================
// include/mote/thread/waker.hpp
// =====================================================================================================================
// Waker: wakes the loop from other threads and from signal handlers.
#ifndef MOTE_THREAD_WAKER_HPP
#define MOTE_THREAD_WAKER_HPP

namespace mote {
inline namespace MOTE_NAMESPACE {
namespace detail {

// What a Waker, a Mailbox and Signals have in common: a node of the loop's inbox that any context can mark as pending.
// The loop delivers what is pending in phase 4 of a turn: it notes that a wake-up has come, wakes the task that waits
// for one, and calls the callback. Everything is for the loop's thread, except wake(). Size on a 32-bit board: 48
// bytes.
class WakerCore : InboxNode {
 public:
  ~WakerCore() {
    close();
    waiter_.clear();
  }

  // Errors: as Waker::open().
  Result<void> open(Reactor& reactor, Delegate<void()> callback) {
    if (is_open()) return Error(EBUSY);
    Loop& loop = ReactorAccess::loop(reactor);
    if (const Result<void> enabled = loop.enable_wakeups(); !enabled) return enabled;
    callback_ = callback;
    signalled_ = false;
    closed_ = false;
    loop.join_inbox(*this, &WakerCore::serve_inbox);
    loop_.store(&loop);
    if (pending_.load() != 0) loop.set_flag(woken);  // woken before it was open
    return {};
  }
  void close() {
    Loop* const loop = loop_.exchange(nullptr);
    if (loop == nullptr) return;
    // Somebody may be in the midst of wake(), and about to use the loop. In a forked child there is nobody: the count
    // is a copy.
    while (users.load() != 0 && loop->process() == System::process()) System::yield();
    loop->leave_inbox(*this);
    closed_ = true;
    waiter_.notify();
  }
  // Any thread and signal handler. It meets open() and close() in this order, which all of them must see alike; so
  // these operations are sequentially consistent:
  //   wake():   count itself in users, set pending_, load loop_
  //   open():   store loop_, load pending_           one of the two sees the other: no wake-up is lost
  //   close():  take loop_, wait until users is 0    whoever has loaded loop_ is waited for
  void wake() {
    users.fetch_add(1);
    if (pending_.exchange(1) == 0) {
      Loop* const loop = loop_.load();
      if (loop != nullptr) loop->notify();
    }
    users.fetch_sub(1, std::memory_order_release);
  }
  bool is_open() const { return loop_.load(std::memory_order_relaxed) != nullptr; }
  // Whether a wake-up has been delivered since this was asked last.
  bool take_signal() { return std::exchange(signalled_, false); }

  // One attempt at what a wake-up announces: `get_result()` gives a Result; EAGAIN says that it is not there yet.
  // Errors, besides those of get_result():
  //   EBUSY      another task waits.
  //   ECANCELED  the task was cancelled, or this has been closed.
  //   EBADF      it was never opened.
  template <class GetResult, class R = std::invoke_result_t<GetResult>>
  R attempt(PollContext context, GetResult&& get_result) {
    return context.attempt(waiter_, "a wake-up", [&]() -> R {
      R result = get_result();
      if (result || result.error() != EAGAIN || is_open()) return result;
      return Error(closed_ ? ECANCELED : EBADF);
    });
  }
 private:
  // The hook of the loop's inbox. To deliver, the inbox is emptied first and filled again one by one, so that the
  // callbacks may open and close what they like.
  static void serve_inbox(Loop& loop, bool deliver) {
    if (!deliver) return close_all(loop);
    List<InboxNode> batch;
    batch.take(loop.inbox());
    while (InboxNode* const node = batch.pop_front()) {
      loop.inbox().push_back(*node);
      of(*node).deliver();
    }
  }
  static void close_all(Loop& loop) {
    while (InboxNode* const node = loop.inbox().front()) of(*node).close();
  }
  static WakerCore& of(InboxNode& node) { return static_cast<WakerCore&>(node); }

  void deliver() {
    if (pending_.exchange(0, std::memory_order_acq_rel) == 0) return;
    signalled_ = true;
    waiter_.notify();
    const Delegate<void()> callback = callback_;  // it may destroy this object
    if (callback) callback();
  }

  bool signalled_ = false;  // a wake-up has been delivered, and no task has taken it
  bool closed_ = false;     // after having been open
  std::atomic<Loop*> loop_{nullptr};
  std::atomic<std::uint32_t> pending_{0};  // woken, and not yet delivered
  Delegate<void()> callback_;
  Waiter waiter_;
};

}  // namespace detail

// Wakes the loop from any thread and from signal handlers. Wake-ups coalesce: many before the loop comes around are
// one, and the loop then looks at each waker: O(open wakers). Either a callback is called in the loop's thread, or a
// task awaits wait(). The reactor may go first; wake() is then without effect. Nobody may call wake() once the waker's
// own destructor has begun. It must not move. Size on a 32-bit board: 48 bytes.
class Waker {
 public:
  // Errors:
  //   EBUSY                  it is open already: close() it first.
  //   ENXIO                  the reactor is not open.
  //   EMFILE ENFILE ENOMEM   the system's limits, of Reactor::enable_wakeups().
  Result<void> open(Reactor& reactor, Delegate<void()> callback = {}) { return core_.open(reactor, callback); }
  // Also where it is not open. A task that awaits it finds it closed. Waits for threads that are in the midst of
  // wake().
  void close() { core_.close(); }
  // Async-signal-safe, any thread, never blocks. At most one system call, and none while the loop is awake. One that
  // comes before open() is delivered when it is open.
  void wake() { core_.wake(); }
  bool is_open() const { return core_.is_open(); }
  // Completes when it has been woken since the last wait(). For one task at a time.
  // Errors:
  //   EBUSY      another task waits.
  //   ECANCELED  the task was cancelled, or the waker has been closed.
  //   EBADF      it was never opened.
  auto wait() {
    return operation<void>([this](PollContext context) {
      return core_.attempt(context, [this] { return core_.take_signal() ? Result<void>() : Error(EAGAIN); });
    });
  }
 private:
  detail::WakerCore core_;
};

}  // namespace MOTE_NAMESPACE
}  // namespace mote

#endif  // MOTE_THREAD_WAKER_HPP

// =====================================================================================================================
// include/mote/thread/mailbox.hpp
// =====================================================================================================================
// Mailbox: messages from other threads to the loop.
#ifndef MOTE_THREAD_MAILBOX_HPP
#define MOTE_THREAD_MAILBOX_HPP

namespace mote {
inline namespace MOTE_NAMESPACE {

// A bounded queue from any threads (not signal handlers) to the loop, lock-free with 32-bit atomics (after Vyukov's
// bounded MPMC queue). N is a power of two. Each producer's messages keep their order; none that was accepted is lost;
// full says so. It must not move. Size: (sizeof(T) + 4) * N, and 56 bytes on a 32-bit board.
template <class T, std::size_t N> class Mailbox : detail::Pinned {
  static_assert(N > 0 && (N & (N - 1)) == 0 && N <= (1u << 30), "the capacity of a Mailbox is a power of two");
 public:
  constexpr Mailbox() : cells_{} {}
  ~Mailbox() {
    close();
    while (try_receive()) continue;
  }

  // The callback comes in the loop's thread when messages have come; it takes them with try_receive(). Without one,
  // await receive(). Errors: as Waker::open().
  Result<void> open(Reactor& reactor, Delegate<void()> callback = {}) { return waker_.open(reactor, callback); }
  // Messages stay in it, and can still be taken with try_receive().
  void close() { waker_.close(); }

  // Any thread, also before open() and after close(). T is made of `message`, which must not throw.
  // Errors:
  //   ENOBUFS  it is full; the argument is as it was.
  template <class U> Result<void> post(U&& message) {
    std::uint32_t position = tail_.load(std::memory_order_relaxed);
    for (;;) {
      Cell& cell = cells_[position % N];
      if (cell.turn.load(std::memory_order_acquire) == turn_of(position)) {
        // If another producer was faster, `position` is the new tail.
        if (!tail_.compare_exchange_weak(position, position + 1, std::memory_order_relaxed)) continue;
        ::new (static_cast<void*>(cell.bytes)) T(std::forward<U>(message));
        cell.turn.store(turn_of(position) + 1, std::memory_order_release);
        waker_.wake();
        return {};
      }
      // The cell is taken: by another producer, which has moved the tail, or else by a message of one round before.
      const std::uint32_t seen = position;
      position = tail_.load(std::memory_order_relaxed);
      if (position == seen) return Error(ENOBUFS);
    }
  }
  // The loop's thread.
  // Errors:
  //   EAGAIN  it is empty.
  Result<T> try_receive() {
    const std::uint32_t position = head_;
    Cell& cell = cells_[position % N];
    if (cell.turn.load(std::memory_order_acquire) != turn_of(position) + 1) return Error(EAGAIN);
    T* const message = static_cast<T*>(static_cast<void*>(cell.bytes));
    Result<T> result(std::move(*message));
    message->~T();
    head_ = position + 1;
    cell.turn.store(turn_of(position + static_cast<std::uint32_t>(N)), std::memory_order_release);
    return result;
  }
  // The next message. For one task at a time.
  // Errors:
  //   EBUSY      another task waits.
  //   ECANCELED  the task was cancelled, or the mailbox has been closed.
  //   EBADF      it was never opened.
  auto receive() {
    return operation<T>(
        [this](PollContext context) { return waker_.attempt(context, [this] { return try_receive(); }); });
  }
 private:
  struct Cell {
    std::atomic<std::uint32_t> turn{0};  // even: free for the position of that turn; odd: holds its message
    alignas(T) unsigned char bytes[sizeof(T)] = {};
  };
  // Positions count messages, and wrap around; each cell is used once in N of them.
  static constexpr std::uint32_t turn_of(std::uint32_t position) { return position / N * 2; }

  Cell cells_[N];
  std::atomic<std::uint32_t> tail_{0};  // the position of the next message to be posted
  std::uint32_t head_ = 0;              // and to be received
  detail::WakerCore waker_;
};

}  // namespace MOTE_NAMESPACE
}  // namespace mote

#endif  // MOTE_THREAD_MAILBOX_HPP

// =====================================================================================================================
// include/mote/thread/signal_set.hpp
// =====================================================================================================================
// SignalSet: which signals a program wants to hear of.
#ifndef MOTE_THREAD_SIGNAL_SET_HPP
#define MOTE_THREAD_SIGNAL_SET_HPP

namespace mote {
inline namespace MOTE_NAMESPACE {

// A set of signals, 1 to 64, as two 32-bit words: `{SIGINT, SIGTERM}`. What is no signal number makes it invalid, which
// Signals::open() answers with EINVAL. Size on a 32-bit board: 12 bytes.
class SignalSet {
 public:
  constexpr SignalSet() = default;
  constexpr SignalSet(std::initializer_list<int> signals) {
    for (const int signal : signals) add(signal);
  }

  constexpr void add(int signal) {
    if (signal >= 1 && signal <= last_signal) words_[word(signal)] |= bit(signal);
    else invalid_ = true;
  }
  constexpr bool contains(int signal) const { return (words_[word(signal)] & bit(signal)) != 0; }  // of 1 to 64
  // The lowest signal above `after`; 0: there is none. From 0 on it gives all of them in order. O(64).
  constexpr int next(int after) const {
    for (int signal = after + 1; signal <= last_signal; ++signal) {
      if (contains(signal)) return signal;
    }
    return 0;
  }
  constexpr bool valid() const { return !invalid_; }  // nothing but signal numbers has been added

  // Where a signal, 1 to 64, has its bit in an array of 32-bit words.
  static constexpr int last_signal = 64;
  static constexpr std::uint32_t word(int signal) { return (static_cast<std::uint32_t>(signal) - 1) / 32; }
  static constexpr std::uint32_t bit(int signal) { return 1u << ((static_cast<std::uint32_t>(signal) - 1) % 32); }
 private:
  std::uint32_t words_[2] = {};
  bool invalid_ = false;
};

}  // namespace MOTE_NAMESPACE
}  // namespace mote

#endif  // MOTE_THREAD_SIGNAL_SET_HPP

// =====================================================================================================================
// include/mote/thread/signals.hpp
// =====================================================================================================================
// Signals: signals as calls, or as awaitable events, of the loop.
#ifndef MOTE_THREAD_SIGNALS_HPP
#define MOTE_THREAD_SIGNALS_HPP

namespace mote {
inline namespace MOTE_NAMESPACE {
class Signals;

namespace detail {

// Who has claimed which signal: process-wide, as signals are. The saved dispositions are in a short form.
struct SignalTable {
  struct Saved {
    void (*handler)(int) = nullptr;
    unsigned char mask[8] = {};  // the first 64 of a sigset_t
    int flags = 0;
  };

  // Makes it the table of this process. A forked child inherits it from its parent, and with it the count of handlers
  // that were in progress in threads which the child does not have: that is taken off. The handler counts itself only
  // in the process that has adopted the table, so what is counted before the exchange is a copy. Of several threads
  // that come here at a time, only the first to exchange takes it off.
  void adopt(pid_t by) {
    const std::uint32_t copied = running.load(std::memory_order_relaxed);
    const pid_t before = process.exchange(by, std::memory_order_acq_rel);
    if (before != by) running.fetch_sub(copied, std::memory_order_release);
  }

  std::atomic<Signals*> owner[SignalSet::last_signal + 1] = {};
  std::atomic<std::uint32_t> running{0};  // handlers in progress, in whatever threads of `process`
  std::atomic<pid_t> process{0};          // that has adopted the table; 0: none has
  Saved saved[SignalSet::last_signal + 1] = {};
};
inline SignalTable signal_table;

}  // namespace detail

// Turns signals into calls or awaitable events of the loop. The handler that it installs sets a flag and wakes the
// loop, nothing else; it restores errno, and does nothing in a forked child (until that calls after_fork_in_child() and
// opens its own). No signal mask is changed, no child is reaped; what was installed before is put back by close(),
// unless somebody has replaced our handler meanwhile. Repeats of a signal before the loop comes around count once. It
// must not move. Size on a 32-bit board: 68 bytes.
class Signals : detail::Pinned {
 public:
  ~Signals() { close(); }

  // Takes these signals over. The callback is called with a signal's number, in the loop's thread; without one, await
  // next(). On failure nothing is changed.
  // Errors:
  //   EINVAL                 a number that is no signal, or one that cannot be caught (SIGKILL, SIGSTOP).
  //   EBUSY                  it is open already, or one of the signals belongs to another Signals.
  //   ENXIO                  the reactor is not open.
  //   EMFILE ENFILE ENOMEM   the system's limits, of Reactor::enable_wakeups().
  Result<void> open(Reactor& reactor, const SignalSet& signals, Delegate<void(int)> callback = {}) {
    if (process_ != 0) return Error(EBUSY);
    if (!signals.valid()) return Error(EINVAL);
    for (int signal = signals.next(0); signal != 0; signal = signals.next(signal)) {
      if (is_claimed(signal)) return Error(EBUSY);
    }
    const Result<void> opened = waker_.open(reactor, Delegate<void()>::of<&Signals::deliver>(*this));
    if (!opened) return opened;
    callback_ = callback;
    process_ = System::process();
    table().adopt(process_);
    for (std::atomic<std::uint32_t>& word : arrived_) word.store(0, std::memory_order_relaxed);
    const Result<void> claimed = claim_all(signals);
    if (!claimed) close();
    return claimed;
  }
  // Puts back what was installed before. Also where it is not open. A task that awaits next() finds it closed.
  void close() {
    if (process_ == 0) return;
    for (int signal = 1; signal <= SignalSet::last_signal; ++signal) give_back(signal);
    // A handler may be at work in another thread, having found us as the owner just before. In a forked child there are
    // no other threads, and the count may be a copy.
    while (process_ == System::process() && table().running.load() != 0) System::yield();
    process_ = 0;
    waker_.close();
  }
  // Completes when a signal has come. Gives the lowest-numbered one. For one task at a time.
  // Errors:
  //   EBUSY      another task waits.
  //   ECANCELED  the task was cancelled, or this has been closed.
  //   EBADF      it was never opened.
  auto next() {
    return operation<int>(
        [this](PollContext context) { return waker_.attempt(context, [this] { return take_arrived(0); }); });
  }
 private:
  static detail::SignalTable& table() { return detail::signal_table; }
  // What a forked child has inherited claims nothing.
  static bool is_claimed(int signal) {
    const Signals* const owner = table().owner[signal].load(std::memory_order_acquire);
    return owner != nullptr && owner->process_ == System::process();
  }

  // The handler. Async-signal-safe; close() waits for those that are counted in `running`.
  static void on_signal(int signal) {
    const int saved_errno = errno;
    const pid_t process = System::process();
    if (table().process.load() == process) {
      table().running.fetch_add(1);
      Signals* const owner = table().owner[signal].load();
      if (owner != nullptr && owner->process_ == process) {
        owner->arrived_[SignalSet::word(signal)].fetch_or(SignalSet::bit(signal), std::memory_order_release);
        owner->waker_.wake();
      }
      table().running.fetch_sub(1);
    }
    errno = saved_errno;
  }
  Result<void> claim_all(const SignalSet& signals) {
    for (int signal = signals.next(0); signal != 0; signal = signals.next(signal)) {
      if (const Result<void> claimed = claim(signal); !claimed) return claimed;
    }
    return {};
  }
  // Installs the handler for one signal, and saves what was there.
  // Errors:
  //   EINVAL   no such signal, or one that cannot be caught.
  Result<void> claim(int signal) {
    struct sigaction ours;
    ::memset(&ours, 0, sizeof ours);
    ours.sa_handler = &Signals::on_signal;
    ours.sa_flags = SA_RESTART;  // blocking calls elsewhere in the program go on; waits for descriptors never restart
    // The owner is set first: the handler may be called as soon as it is installed.
    table().owner[signal].store(this, std::memory_order_release);
    struct sigaction old;
    if (System::sigaction(signal, &ours, &old) != 0) {
      const Error error = detail::last_error();
      table().owner[signal].store(nullptr, std::memory_order_relaxed);
      return error;
    }
    // Our own handler was there, as in a forked child: what was saved when it was installed still stands.
    if (old.sa_handler == &Signals::on_signal) return {};
    detail::SignalTable::Saved& saved = table().saved[signal];
    saved.handler = old.sa_handler;
    saved.flags = old.sa_flags;
    ::memcpy(saved.mask, &old.sa_mask, sizeof saved.mask);
    return {};
  }
  // Puts back what was there before, if the signal is ours and nobody has replaced our handler.
  void give_back(int signal) {
    if (table().owner[signal].load(std::memory_order_relaxed) != this) return;
    struct sigaction action;
    const bool found = System::sigaction(signal, nullptr, &action) == 0;
    if (found && action.sa_handler == &Signals::on_signal) {
      const detail::SignalTable::Saved& saved = table().saved[signal];
      action.sa_handler = saved.handler;
      action.sa_flags = saved.flags;
      ::memcpy(&action.sa_mask, saved.mask, sizeof saved.mask);
      System::sigaction(signal, &action, nullptr);
    }
    table().owner[signal].store(nullptr);
  }

  // Calls the callback for what has arrived, in one pass: what the callbacks raise again comes in the next turn.
  void deliver() {
    int last = 0;
    while (callback_) {
      const Result<int> signal = take_arrived(last);
      if (!signal) return;
      last = *signal;
      const Delegate<void(int)> callback = callback_;
      callback(last);
      // It may have closed or destroyed this object: then nothing of it may be touched.
      if (table().owner[last].load(std::memory_order_relaxed) != this) return;
    }
  }
  // The lowest signal above `after` that has arrived. EAGAIN: none has.
  Result<int> take_arrived(int after) {
    for (int signal = after + 1; signal <= SignalSet::last_signal; ++signal) {
      std::atomic<std::uint32_t>& word = arrived_[SignalSet::word(signal)];
      const std::uint32_t bit = SignalSet::bit(signal);
      if ((word.load(std::memory_order_relaxed) & bit) == 0) continue;
      word.fetch_and(~bit, std::memory_order_acquire);
      return signal;
    }
    return Error(EAGAIN);
  }

  std::atomic<std::uint32_t> arrived_[2] = {};  // bits as in a SignalSet
  Delegate<void(int)> callback_;
  detail::WakerCore waker_;
  pid_t process_ = 0;  // that opened it; 0: closed
};

}  // namespace MOTE_NAMESPACE
}  // namespace mote

#endif  // MOTE_THREAD_SIGNALS_HPP

// =====================================================================================================================
// include/mote/sync/all_of.hpp
// =====================================================================================================================
// all_of: waits until several operations have completed.
#ifndef MOTE_SYNC_ALL_OF_HPP
#define MOTE_SYNC_ALL_OF_HPP

namespace mote {
inline namespace MOTE_NAMESPACE {
namespace detail {
template <class... Op> struct All;
}

// The results of all_of(), as they come: a named object, that outlives the await. Abandoned midway (by a time-out,
// say), it goes on where it stood when it is awaited again; reset() to begin anew. Size: that of the results, and 4
// bytes.
template <class... T> class AllOf {
 public:
  template <std::size_t I> auto& get() { return std::get<I>(results_); }  // EAGAIN until it has come
  bool is_complete(std::size_t i) const { return (complete_ >> i & 1u) != 0; }
  void reset() { *this = AllOf(); }
 private:
  template <class... Op> friend struct detail::All;
  static_assert(sizeof...(T) >= 1 && sizeof...(T) < 32, "1 to 31 operations");
  static constexpr std::uint32_t all = (1u << sizeof...(T)) - 1;

  std::tuple<Result<T>...> results_{Result<T>(Error(EAGAIN))...};
  std::uint32_t complete_ = 0;  // bit i: operation i has completed
};

namespace detail {

// The operation that all_of() gives: each poll() is one more attempt at those parts that have not completed. Folds over
// `I` do the same for each part, in the order in which the parts are named.
//
// A cancellation of the task is passed on to each part that is pending: it is requested anew before each attempt, since
// the part that answers it acknowledges it. A part that is shielded holds it back instead.
template <class... Op> struct [[nodiscard]] All {
  Poll<Result<void>> poll(Task& task) { return poll_parts(task, std::index_sequence_for<Op...>()); }

  struct Cancellation {
    const bool requested;   // when the attempt began
    bool answered = false;  // by a part
    bool held = false;      // by a part's shield
  };

  template <std::size_t... I> Poll<Result<void>> poll_parts(Task& task, std::index_sequence<I...>) {
    const PollContext context(task);
    if (context.is_abandoning()) {
      (leave<I>(task), ...);
      return pending;
    }
    if (results.complete_ == results.all) results.reset();
    Cancellation cancellation{context.is_cancelling()};
    (poll_part<I>(context, cancellation), ...);
    if (cancellation.answered || cancellation.held) context.acknowledge_cancellation();
    if (cancellation.held && !cancellation.answered) context.cancel();  // all that are pending are shielded: later
    if (results.complete_ != results.all) return pending;
    Result<void> first_error;
    (note_error<I>(first_error), ...);
    return first_error;
  }
  template <std::size_t I> void leave(Task& task) {
    if (!results.is_complete(I)) static_cast<void>(std::get<I>(operations).poll(task));
  }
  template <std::size_t I> void poll_part(PollContext context, Cancellation& cancellation) {
    if (results.is_complete(I)) return;
    // A part before it has cancelled the task: all parts hear of that at the next attempt.
    if (!cancellation.requested && context.is_cancelling()) return;
    if (cancellation.requested) context.request_cancellation();
    context.ensure_attempt();  // those before it may have used up the budget
    auto result = std::get<I>(operations).poll(context.task());
    if (cancellation.requested && !context.is_cancelling()) {
      if (context.take_held_cancellation()) cancellation.held = true;
      else cancellation.answered = true;
    }
    if (!result.ready()) return;
    results.template get<I>() = std::move(*result);
    results.complete_ |= 1u << I;
  }
  template <std::size_t I> void note_error(Result<void>& first_error) {
    const auto& result = results.template get<I>();
    if (first_error && !result) first_error = result.error();
  }

  AllOf<Awaited<Op>...>& results;
  std::tuple<Op...> operations;
};

}  // namespace detail

// A combinator: an operation made of others, which are polled in the order in which they are named. All that is named
// in it must outlive the await. A task has one place in each queue: the parts of one await must not wait for the same
// channel, event or the like.
//
// Waits until all of the operations have completed, whatever comes of them: their results are in `results`. Gives
// success if all of them succeeded, else the error of the first in order that did not; a cancellation is passed on to
// each.
template <class... Op> detail::All<Op...> all_of(AllOf<detail::Awaited<Op>...>& results, Op&&... operations) {
  return {results, std::tuple<Op...>(static_cast<Op&&>(operations)...)};
}

}  // namespace MOTE_NAMESPACE
}  // namespace mote

#endif  // MOTE_SYNC_ALL_OF_HPP

// =====================================================================================================================
// include/mote/sync/channel.hpp
// =====================================================================================================================
// Channel: a bounded queue of values from tasks to tasks.
#ifndef MOTE_SYNC_CHANNEL_HPP
#define MOTE_SYNC_CHANNEL_HPP

namespace mote {
inline namespace MOTE_NAMESPACE {

// A bounded queue of values from tasks to tasks of one reactor, in its thread (for other threads see Mailbox). Values
// keep their order; who waits is served in order of arrival, and nobody overtakes. T may be move-only, and its moves
// and copies must not throw. It must not move, and may be destroyed before those who wait. Size: N * sizeof(T), and 32
// bytes on a 32-bit board.
template <class T, std::size_t N> class Channel : detail::Pinned {
  static_assert(N >= 1 && N < (1u << 30), "room for one value at least");
  static_assert(std::is_nothrow_move_constructible<T>::value, "a value must not throw when it is moved");
 public:
  constexpr Channel() = default;
  ~Channel() {
    closed_ = true;
    while (count_ != 0) static_cast<void>(take());
  }

  // Waits while it is full. The value is moved (or copied) from when there is room, and else is as it was; it must
  // outlive the await.
  // Errors:
  //   EPIPE      the channel has been closed.
  //   ECANCELED  the task was cancelled, or the channel is no more.
  //   ENOBUFS    the task waits in limits::queues_per_task queues already.
  auto send(T&& value) { return sending(static_cast<T&&>(value)); }
  auto send(const T& value) { return sending(value); }
  // Gives the next value. Waits while there is none.
  // Errors:
  //   ENODATA    the channel has been closed, and all has been received.
  //   ECANCELED  the task was cancelled, or the channel is no more.
  //   ENOBUFS    the task waits in limits::queues_per_task queues already.
  auto receive() {
    return operation<T>([this](PollContext context) {
      return context.attempt(receivers_, "a message", [this](bool) { return take(); });
    });
  }
  // Errors:
  //   EAGAIN  it is full, or others wait to send.
  //   EPIPE   the channel has been closed.
  Result<void> try_send(T&& value) {
    if (!senders_.is_next(nullptr)) return Error(EAGAIN);
    return put(std::move(value));
  }
  Result<void> try_send(const T& value) {
    if (!senders_.is_next(nullptr)) return Error(EAGAIN);
    return put(value);
  }
  // Errors:
  //   EAGAIN   it is empty, or others wait to receive.
  //   ENODATA  the channel has been closed, and all has been received.
  Result<T> try_receive() {
    if (!receivers_.is_next(nullptr)) return Error(EAGAIN);
    return take();
  }
  // No more is sent; what has been sent can still be received. O(waiting tasks).
  void close() {
    closed_ = true;
    senders_.notify_all();
    receivers_.notify_all();
  }
  bool is_closed() const { return closed_; }
  std::size_t size() const { return count_; }
  static constexpr std::size_t capacity() { return N; }
 private:
  template <class U> auto sending(U&& value) {
    return operation<void>([this, &value](PollContext context) {
      return context.attempt(senders_, "room in a channel",
                             [this, &value](bool) { return put(static_cast<U&&>(value)); });
    });
  }
  template <class U> Result<void> put(U&& value) {
    if (closed_ || count_ == N) return Error(closed_ ? EPIPE : EAGAIN);
    ::new (at(first_ + count_)) T(static_cast<U&&>(value));
    ++count_;
    receivers_.notify();
    return {};
  }
  Result<T> take() {
    if (count_ == 0) return Error(closed_ ? ENODATA : EAGAIN);
    T* const value = static_cast<T*>(at(first_));
    Result<T> result(std::move(*value));
    value->~T();
    first_ = (first_ + 1) % N;
    --count_;
    senders_.notify();
    return result;
  }
  void* at(std::size_t i) { return bytes_ + i % N * sizeof(T); }

  WaitQueue senders_;
  WaitQueue receivers_;
  std::size_t first_ = 0;  // the place of the value that is received next
  std::size_t count_ = 0;  // of values, in places from there on, around the end
  bool closed_ = false;
  alignas(T) unsigned char bytes_[N * sizeof(T)] = {};
};

}  // namespace MOTE_NAMESPACE
}  // namespace mote

#endif  // MOTE_SYNC_CHANNEL_HPP

// =====================================================================================================================
// include/mote/sync/event.hpp
// =====================================================================================================================
// Event: a flag to wait for.
#ifndef MOTE_SYNC_EVENT_HPP
#define MOTE_SYNC_EVENT_HPP

namespace mote {
inline namespace MOTE_NAMESPACE {

// A flag to wait for, between tasks of one reactor, in its thread. It must not move, and may be destroyed before those
// who wait. Size on a 32-bit board: 16 bytes.
class Event : detail::Pinned {
 public:
  // Whoever waits now goes on, even if it is cleared at once. O(waiting tasks).
  void set() {
    set_ = true;
    queue_.release_all();
  }
  void clear() { set_ = false; }
  bool is_set() const { return set_; }
  // Completes while it is set.
  // Errors:
  //   ECANCELED  the task was cancelled, or the event is no more.
  //   ENOBUFS    the task waits in limits::queues_per_task queues already.
  auto wait() {
    return operation<void>([this](PollContext context) {
      return context.attempt(queue_, "an event", [this](bool released) {
        // Released by set(), the task goes on though the event may have been cleared by now.
        return released || set_ ? Result<void>() : Error(EAGAIN);
      });
    });
  }
 private:
  WaitQueue queue_;
  bool set_ = false;
};

}  // namespace MOTE_NAMESPACE
}  // namespace mote

#endif  // MOTE_SYNC_EVENT_HPP

// =====================================================================================================================
// include/mote/sync/first_of.hpp
// =====================================================================================================================
// first_of: waits for whichever of several operations completes first.
#ifndef MOTE_SYNC_FIRST_OF_HPP
#define MOTE_SYNC_FIRST_OF_HPP

namespace mote {
inline namespace MOTE_NAMESPACE {

// What first_of() gives: which operation has completed, from 0 on, and its result; the other results say EAGAIN.
template <class... T> struct FirstOf {
  template <std::size_t I> auto& get() { return std::get<I>(results); }

  std::size_t which = 0;
  std::tuple<Result<T>...> results{Result<T>(Error(EAGAIN))...};
};

namespace detail {

// The operation that first_of() gives. Folds over `I` do the same for each part, in the order in which the parts are
// named.
template <class... Op> struct [[nodiscard]] First {
  using Value = FirstOf<Awaited<Op>...>;

  Poll<Result<Value>> poll(Task& task) { return poll_parts(task, std::index_sequence_for<Op...>()); }

  template <std::size_t... I> Poll<Result<Value>> poll_parts(Task& task, std::index_sequence<I...>) {
    const PollContext context(task);
    if (context.is_abandoning()) {
      (leave<I>(task), ...);
      return pending;
    }
    Value value;
    const bool was_cancelling = context.is_cancelling();
    // The first that completes ends the fold: those behind it are not polled.
    const bool completed = (poll_part<I>(context, value) || ...);
    if (!completed) return pending;
    (abandon_loser<I>(context, value), ...);
    // Where a part has answered the task's cancellation, that is the answer of the whole.
    const bool answered_cancellation = was_cancelling && !context.is_cancelling();
    if (answered_cancellation && (is_cancelled<I>(value) || ...)) return Result<Value>(Error(ECANCELED));
    return Result<Value>(std::move(value));
  }
  template <std::size_t I> void leave(Task& task) { static_cast<void>(std::get<I>(operations).poll(task)); }
  // Whether it has completed.
  template <std::size_t I> bool poll_part(PollContext context, Value& value) {
    context.ensure_attempt();  // those before it may have used up the budget
    auto result = std::get<I>(operations).poll(context.task());
    if (!result.ready()) return false;
    value.which = I;
    value.template get<I>() = std::move(*result);
    return true;
  }
  template <std::size_t I> void abandon_loser(PollContext context, const Value& value) {
    if (I != value.which) context.abandon(std::get<I>(operations));
  }
  // Whether it is this one that has completed, with ECANCELED.
  template <std::size_t I> static bool is_cancelled(Value& value) {
    const auto& result = value.template get<I>();
    return value.which == I && !result && result.error() == ECANCELED;
  }

  std::tuple<Op...> operations;
};

}  // namespace detail

// A combinator: an operation made of others, which are polled in the order in which they are named. All that is named
// in it must outlive the await. A task has one place in each queue: the parts of one await must not wait for the same
// channel, event or the like.
//
// Waits until one of the operations has completed, and abandons the others: none of them leaves a waiter behind, nor
// takes what it waited for. Gives a FirstOf.
// Errors:
//   ECANCELED  the task was cancelled while those that are named first were pending.
template <class... Op> detail::First<Op...> first_of(Op&&... operations) {
  return {std::tuple<Op...>(static_cast<Op&&>(operations)...)};
}

}  // namespace MOTE_NAMESPACE
}  // namespace mote

#endif  // MOTE_SYNC_FIRST_OF_HPP

// =====================================================================================================================
// include/mote/sync/mutex.hpp
// =====================================================================================================================
// Mutex: mutual exclusion of tasks, across awaits.
#ifndef MOTE_SYNC_MUTEX_HPP
#define MOTE_SYNC_MUTEX_HPP

namespace mote {
inline namespace MOTE_NAMESPACE {

// Mutual exclusion across awaits, between tasks of one reactor, in its thread: lock() gives a Guard, which unlocks when
// it goes. Who waits is served in order of arrival, and nobody overtakes. It must not move, and may be destroyed before
// those who wait, and before its guard. Size on a 32-bit board: 16 bytes.
class Mutex : detail::Pinned {
 public:
  // Empty, or holding a mutex; movable, so that a task keeps it as a member. It becomes empty where the mutex goes
  // first. Size on a 32-bit board: 4 bytes.
  class Guard {
   public:
    Guard() = default;
    Guard(Guard&& other) noexcept { take(other); }
    Guard& operator=(Guard&& other) noexcept {
      if (this == &other) return *this;
      unlock();
      take(other);
      return *this;
    }
    ~Guard() { unlock(); }

    void unlock() {  // becomes empty, if it is not
      Mutex* const mutex = std::exchange(mutex_, nullptr);
      if (mutex == nullptr) return;
      mutex->holder_ = nullptr;
      mutex->queue_.notify();
    }
    explicit operator bool() const { return mutex_ != nullptr; }
   private:
    friend class Mutex;
    // Not inlined: g++ would take the new holder's address for that of a local that outlives its function, and warn. It
    // is moved along by whoever receives the guard.
    [[gnu::noinline]] void take(Guard& other) {
      mutex_ = std::exchange(other.mutex_, nullptr);
      if (mutex_ != nullptr) mutex_->holder_ = this;
    }

    Mutex* mutex_ = nullptr;
  };

  ~Mutex() {
    if (holder_ != nullptr) holder_->mutex_ = nullptr;
  }

  // Gives a Guard. Waits while another holds the mutex; a task that holds it itself would wait for ever.
  // Errors:
  //   ECANCELED  the task was cancelled, or the mutex is no more.
  //   ENOBUFS    the task waits in limits::queues_per_task queues already.
  auto lock() {
    return operation<Guard>(
        [this](PollContext context) { return context.attempt(queue_, "a mutex", [this](bool) { return take(); }); });
  }
  // Errors:
  //   EAGAIN  it is held, or others wait for it.
  Result<Guard> try_lock() {
    if (!queue_.is_next(nullptr)) return Error(EAGAIN);
    return take();
  }
  bool is_locked() const { return holder_ != nullptr; }
 private:
  Result<Guard> take() {
    if (holder_ != nullptr) return Error(EAGAIN);
    Result<Guard> guard{Guard()};
    guard->mutex_ = this;
    holder_ = &*guard;
    return guard;
  }

  WaitQueue queue_;
  Guard* holder_ = nullptr;
};

}  // namespace MOTE_NAMESPACE
}  // namespace mote

#endif  // MOTE_SYNC_MUTEX_HPP

// =====================================================================================================================
// include/mote/sync/semaphore.hpp
// =====================================================================================================================
// Semaphore: a number of permits.
#ifndef MOTE_SYNC_SEMAPHORE_HPP
#define MOTE_SYNC_SEMAPHORE_HPP

namespace mote {
inline namespace MOTE_NAMESPACE {

// A number of permits, between tasks of one reactor, in its thread. Who waits is served in order of arrival, and nobody
// overtakes. It must not move, and may be destroyed before those who wait. Size on a 32-bit board: 16 bytes.
class Semaphore : detail::Pinned {
 public:
  constexpr explicit Semaphore(std::uint32_t permits = 0) : permits_(permits) {}

  // Takes one permit, to be given back by release(). Waits while there is none.
  // Errors:
  //   ECANCELED  the task was cancelled, or the semaphore is no more.
  //   ENOBUFS    the task waits in limits::queues_per_task queues already.
  auto acquire() {
    return operation<void>(
        [this](PollContext context) { return context.attempt(queue_, "a permit", [this](bool) { return take(); }); });
  }
  // Errors:
  //   EAGAIN  there is no permit, or others wait for one.
  Result<void> try_acquire() {
    if (!queue_.is_next(nullptr)) return Error(EAGAIN);
    return take();
  }
  // No more than UINT32_MAX permits are kept. O(permits), of those for which somebody waits.
  void release(std::uint32_t permits = 1) {
    const std::uint32_t room = UINT32_MAX - permits_;
    permits_ = permits > room ? UINT32_MAX : permits_ + permits;
    queue_.notify(permits);
  }
  std::uint32_t available() const { return permits_; }
 private:
  Result<void> take() {
    if (permits_ == 0) return Error(EAGAIN);
    --permits_;
    return {};
  }

  WaitQueue queue_;
  std::uint32_t permits_;
};

}  // namespace MOTE_NAMESPACE
}  // namespace mote

#endif  // MOTE_SYNC_SEMAPHORE_HPP

// =====================================================================================================================
// include/mote/sync/shield.hpp
// =====================================================================================================================
// shield and Shield: what must not be cancelled.
#ifndef MOTE_SYNC_SHIELD_HPP
#define MOTE_SYNC_SHIELD_HPP

namespace mote {
inline namespace MOTE_NAMESPACE {
namespace detail {

// The operation that shield() gives.
template <class Op> struct [[nodiscard]] Shielded {
  Poll<Answer<Op>> poll(Task& task) {
    const PollContext context(task);
    if (!context.is_abandoning()) context.shield_operation(true);
    Poll<Answer<Op>> result = operation.poll(task);
    if (result.ready() || context.is_abandoning()) context.shield_operation(false);
    return result;
  }

  Op operation;
};

}  // namespace detail

// A combinator: an operation made of another. What is named in it must outlive the await.
//
// The operation, not to be cancelled: cancel() has its effect when it has completed. For a clean-up that must finish; a
// shutdown still destroys what outlasts its second period. For more than one operation, see Shield.
template <class Op> detail::Shielded<Op> shield(Op&& operation) { return {static_cast<Op&&>(operation)}; }

// Shields its task from cancellation, from raise() until lower() or its end. A task can have 255 at a time. The task
// may end before it. Size on a 32-bit board: 8 bytes.
class Shield {
 public:
  Shield() = default;
  explicit Shield(Task& task) { raise(task); }
  Shield(const Shield&) = delete;
  Shield& operator=(const Shield&) = delete;
  ~Shield() { lower(); }

  void raise(Task& task) {  // without effect while it is raised
    if (task_.get() != nullptr) return;
    task_ = TaskRef(task);
    detail::TaskAccess::header(task).raise_shield();
  }
  void lower() {  // without effect while it is not
    Task* const task = task_.get();
    task_ = TaskRef();
    if (task != nullptr) detail::TaskAccess::header(*task).lower_shield();
  }
 private:
  TaskRef task_;
};

}  // namespace MOTE_NAMESPACE
}  // namespace mote

#endif  // MOTE_SYNC_SHIELD_HPP

// =====================================================================================================================
// include/mote/sync/task_group.hpp
// =====================================================================================================================
// TaskGroup: tasks that belong together.
#ifndef MOTE_SYNC_TASK_GROUP_HPP
#define MOTE_SYNC_TASK_GROUP_HPP

namespace mote {
inline namespace MOTE_NAMESPACE {

// What groups of all sizes have in common. The members' handles lie in the derived class, in places 0 to size() - 1, in
// no order.
class TaskGroupBase : detail::Pinned, detail::EndHook {
 public:
  std::uint32_t size() const { return size_; }              // members that have not ended
  std::uint32_t failures() const { return failures_; }      // since it was made
  Outcome first_failure() const { return first_failure_; }  // of kind none: none has failed since the last join_all()
  // Until all have ended nothing more is spawned into it. O(members).
  void cancel_all() {
    cancelling_ = size_ != 0;
    for (std::uint32_t i = 0; i < size_; ++i) members_[i].cancel();
  }
  // The other policy: when one fails, the others are cancelled. Else they go on.
  void cancel_others_on_failure(bool on = true) { cancels_others_ = on; }
  // Called when a member has ended and its slot is free again, so that it can be replaced at once; to tell which, see
  // TaskRef::names(). Not called for what the group's destructor ends. The callback may destroy the group.
  void on_end(Delegate<void(const Task&, Outcome)> callback) { on_end_ = callback; }
  // Completes when all members have ended, those that are spawned meanwhile included. Then the group may be spawned
  // into anew.
  // Errors:
  //   ECANCELED  the task was cancelled, or the group is no more.
  //   ENOBUFS    the task waits in limits::queues_per_task queues already.
  //   any other  that of the first failure, which is thereby told.
  auto join_all() {
    return operation<void>([this](PollContext context) {
      return context.attempt(joiners_, "the end of a group", [this](bool) { return take_first_failure(); });
    });
  }
 protected:
  constexpr TaskGroupBase() = default;
  ~TaskGroupBase() = default;

  // Ends all members, while their handles are there.
  void close() {
    on_end_ = {};
    while (size_ != 0) {
      TaskHandle& last = members_[size_ - 1];
      if (last.destroy()) continue;  // it has left the group thereby
      // EBUSY: it is the running one, which destroys its own group. It is cancelled, and goes on alone.
      last.cancel();
      last.detach();
      --size_;
    }
  }
  bool is_cancelling() const { return cancelling_; }
  TaskRef add(TaskHandle&& handle, TaskHandle* members) {
    members_ = members;
    EndHook::ended = &TaskGroupBase::member_ended;
    TaskHandle& member = members_[size_];
    ++size_;
    member = std::move(handle);
    detail::TaskHolder& holder = detail::HandleAccess::holder(member);
    holder.group = this;
    return TaskRef(detail::TaskAccess::task(*holder.task));
  }
 private:
  Result<void> take_first_failure() {
    if (size_ != 0) return Error(EAGAIN);
    const Outcome failure = std::exchange(first_failure_, {});
    return failure.kind == Outcome::Kind::failed ? Result<void>(failure.error) : Result<void>();
  }

  // The hook that is called at a member's end.
  static void member_ended(detail::TaskHeader& task) {
    auto& group = static_cast<TaskGroupBase&>(*task.holder->group);
    group.note_end(task);
  }
  void note_end(detail::TaskHeader& task) {
    TaskHandle& member = detail::HandleAccess::handle(*task.holder);
    const Outcome outcome = member.outcome();
    const bool failure = outcome.kind == Outcome::Kind::failed;
    if (failure) note_failure(outcome);
    const bool told = on_end_ || !joiners_.empty();
    if (told) task.code = 0;  // else the failure is reported to the observer when the handle goes
    TaskHandle leaving = take_out(member);
    if (failure && cancels_others_) cancel_all();
    if (size_ == 0) {
      cancelling_ = false;
      joiners_.notify_all();
    }
    // From here on the group may be no more: an observer may destroy it, and so may the callback.
    const Delegate<void(const Task&, Outcome)> callback = on_end_;
    leaving.detach();
    if (callback) callback(detail::TaskAccess::task(task), outcome);
  }
  void note_failure(Outcome failure) {
    ++failures_;
    if (first_failure_.kind == Outcome::Kind::none) first_failure_ = failure;
  }
  // The last member takes the place of the one that leaves.
  TaskHandle take_out(TaskHandle& member) {
    TaskHandle leaving = std::move(member);
    --size_;
    TaskHandle& last = members_[size_];
    if (&member != &last) member = std::move(last);
    return leaving;
  }

  bool cancelling_ = false;  // cancel_all() was called, and not all have ended
  bool cancels_others_ = false;
  std::uint32_t size_ = 0;
  std::uint32_t failures_ = 0;
  TaskHandle* members_ = nullptr;
  Outcome first_failure_;
  Delegate<void(const Task&, Outcome)> on_end_;
  WaitQueue joiners_;
};

// Tasks that belong together, of whatever pools: at most N at a time. What is left of them when the group goes is
// destroyed with it: no member outlives its group, and nothing is waited for in a destructor; await join_all() for
// that. (A member that destroys its own group is cancelled, and goes on alone.) A member's failure is told to on_end(),
// or to who waits in join_all(), or else to the reactor's observer. It must not move. Size: 8 * N, and 44 bytes on a
// 32-bit board.
template <std::size_t N> class TaskGroup : public TaskGroupBase {
  static_assert(N >= 1 && N < (1u << 24), "between 1 and 16,777,215 members");
 public:
  constexpr TaskGroup() = default;
  ~TaskGroup() { close(); }

  // pool.spawn(reactor, arguments...), as a member.
  // Errors:
  //   ENOBUFS    the group is full, or the pool is.
  //   ECANCELED  the group has been cancelled, and not all have ended yet: await join_all() first; or the pool's own.
  //   EINVAL     the pool has tasks of another reactor.
  template <class Pool, class... A> Result<TaskRef> spawn(Pool& pool, Reactor& reactor, A&&... arguments) {
    if (is_cancelling() || size() == N) return Error(is_cancelling() ? ECANCELED : ENOBUFS);
    Result<TaskHandle> handle = pool.spawn(reactor, std::forward<A>(arguments)...);
    if (!handle) return handle.error();
    if (size() == N) {  // the task's constructor has spawned the last one
      static_cast<void>(handle->destroy());
      return Error(ENOBUFS);
    }
    return add(std::move(*handle), storage_);
  }
  static constexpr std::uint32_t capacity() { return N; }
 private:
  TaskHandle storage_[N];
};

}  // namespace MOTE_NAMESPACE
}  // namespace mote

#endif  // MOTE_SYNC_TASK_GROUP_HPP

// =====================================================================================================================
// include/mote/sync/watchdog.hpp
// =====================================================================================================================
// Watchdog and Heartbeat: finding out that the loop, or a task, hangs.
#ifndef MOTE_SYNC_WATCHDOG_HPP
#define MOTE_SYNC_WATCHDOG_HPP

namespace mote {
inline namespace MOTE_NAMESPACE {
class Watchdog;

// A sign of life that a watchdog waits for: a member of a task, mostly. It must not move. Size on a 32-bit board: 20
// bytes.
class Heartbeat : detail::ListNode {
 public:
  ~Heartbeat() { close(); }

  void open(Watchdog& watchdog, const char* name);  // from now on it must beat(); the name must outlive it
  void close();                                     // it need not any more
  bool is_open() const { return linked(); }         // not any more once the watchdog has gone
  void beat();                                      // checks in; without effect where it is not open
  bool has_beaten() const { return beaten_; }       // since the watchdog was fed last
  const char* name() const { return name_; }
 private:
  friend class Watchdog;

  Watchdog* watchdog_ = nullptr;
  const char* name_ = nullptr;
  bool beaten_ = false;
};

// Feeds a watchdog, once in a period, at the end of a turn, if since the last time every heartbeat has beaten; a late
// one is waited for. So a loop that hangs, and one whose tasks hang, are both found out. Drives a device as
// /dev/watchdog (its timeout, the driver's or set with WDIOC_SETTIMEOUT on fd(), must be longer than the period), or
// systemd's NOTIFY socket, see sd_notify(3) and sd_watchdog_enabled(3). Feeding is O(heartbeats). It must not move.
// Size on a 32-bit board: 248 bytes.
class Watchdog : detail::Pinned {
 public:
  // A device stays armed: the machine is reset, unless the next process feeds it in time.
  ~Watchdog() {
    while (Heartbeat* const heartbeat = first()) heartbeat->close();
  }

  // Opening the device arms it.
  // Errors:
  //   EBUSY          it is open already, or the device is, by another process.
  //   ENOENT ENXIO   there is no such device, or no driver for it.
  //   EACCES         the process may not open it.
  //   EMFILE ENFILE  the system's limits.
  Result<void> open(Reactor& reactor, const char* path, Duration period) {
    if (fd_) return Error(EBUSY);
    Fd fd(detail::retry([path] { return System::open(path, O_WRONLY | O_NONBLOCK); }));
    if (!fd) return detail::last_error();
    return start(reactor, std::move(fd), period);
  }
  // The same, of a descriptor that is open already; it should not block.
  // Errors:
  //   EBUSY  it is open already.
  //   EBADF  there is no descriptor.
  Result<void> open(Reactor& reactor, Fd&& fd, Duration period) {
    if (fd_) return Error(EBUSY);
    if (!fd) return Error(EBADF);
    return start(reactor, std::move(fd), period);
  }
  // systemd, as the environment says: NOTIFY_SOCKET, and WATCHDOG_USEC (WATCHDOG_PID), half of which is the period;
  // where it asks for no watchdog, only notify() has an effect.
  // Errors:
  //   EBUSY                 it is open already.
  //   ENOENT                the process has not been started by systemd: go on without.
  //   EINVAL                the environment's variables make no sense.
  //   EMFILE ENFILE ENOMEM  the system's limits.
  Result<void> open_notify(Reactor& reactor) {
    if (fd_) return Error(EBUSY);
    const char* const path = ::getenv("NOTIFY_SOCKET");
    if (path == nullptr) return Error(ENOENT);
    const Result<Endpoint> to = Endpoint::unix_path(path);
    const bool is_path_or_abstract = path[0] == '/' || path[0] == '@';
    if (!to || !is_path_or_abstract) return Error(EINVAL);
    Fd fd(System::socket(AF_UNIX, SOCK_DGRAM));
    if (!fd) return detail::last_error();
    const Result<Duration> period = period_from_environment();
    if (!period) return period.error();
    to_ = *to;
    return start(reactor, std::move(fd), *period);
  }
  // Tells systemd something: "READY=1", "STOPPING=1", "STATUS=...".
  // Errors:
  //   EBADF                open_notify() has not succeeded.
  //   EAGAIN               systemd is slow to read: try again later.
  //   ECONNREFUSED ENOENT  it is not there.
  Result<void> notify(const char* state) {
    if (!fd_ || to_.size() == 0) return Error(EBADF);
    const int flags = MSG_DONTWAIT | MSG_NOSIGNAL;
    const auto sent = System::sendto(fd_.get(), state, ::strlen(state), flags, to_.address(), to_.size());
    return detail::check(static_cast<int>(sent));
  }
  // The end, told to the watchdog: it waits for nothing any more, if its driver lets it (not CONFIG_WATCHDOG_NOWAYOUT).
  // The descriptor is closed in any case.
  // Errors: what write(2) of the device answers, which then stays armed.
  Result<void> close() {
    timer_.cancel();
    late_.cancel();
    Result<void> told;
    if (fd_ && to_.size() == 0) told = write("V");
    fd_.close();
    to_ = Endpoint();
    return told;
  }
  int fd() const { return fd_.get(); }
  std::uint32_t fed() const { return fed_; }           // how many times
  Result<void> last_feeding() const { return last_; }  // its error: it is tried again in the next period
  const Heartbeat* missing() {  // the first that has not beaten since it was fed; null: all have. O(heartbeats)
    Heartbeat* heartbeat = first();
    while (heartbeat != nullptr && heartbeat->has_beaten()) heartbeat = after(*heartbeat);
    return heartbeat;
  }
 private:
  friend class Heartbeat;

  // Zero: systemd asks for no watchdog, or it asks another process. EINVAL: the time is too long.
  static Result<Duration> period_from_environment() {
    const char* const usec = ::getenv("WATCHDOG_USEC");
    const char* const pid = ::getenv("WATCHDOG_PID");
    const auto own_pid = static_cast<unsigned long>(System::process());
    const bool is_ours = pid == nullptr || ::strtoul(pid, nullptr, 10) == own_pid;
    if (usec == nullptr || !is_ours) return Duration::zero();
    const unsigned long long microseconds = ::strtoull(usec, nullptr, 10);
    if (microseconds > INT64_MAX / 1000) return Error(EINVAL);
    return Duration(static_cast<std::int64_t>(microseconds) * 500);
  }
  Result<void> start(Reactor& reactor, Fd&& fd, Duration period) {
    fd_ = std::move(fd);
    reactor_ = &reactor;
    due_ = false;
    last_ = {};
    if (period > Duration::zero()) timer_.arm_every(reactor, period, Delegate<void()>::of<&Watchdog::tick>(*this));
    return {};
  }

  // ---- feeding ----

  void tick() {
    due_ = true;
    feed_if_due();
  }
  // For heartbeats: the last one that was missing has beaten, after the tick.
  void feed_at_end_of_turn() {
    if (!timer_.armed()) return;  // closed, or the reactor is no more
    late_.arm(*reactor_, Duration::zero(), Delegate<void()>::of<&Watchdog::feed_if_due>(*this));
  }
  void feed_if_due() {
    if (!due_ || missing_ != 0) return;
    due_ = false;
    last_ = to_.size() != 0 ? notify("WATCHDOG=1") : write("1");
    if (last_) ++fed_;
    for (Heartbeat* heartbeat = first(); heartbeat != nullptr; heartbeat = after(*heartbeat)) {
      heartbeat->beaten_ = false;
      ++missing_;
    }
  }
  // Writes the first byte of `text` to the device.
  Result<void> write(const char* text) {
    const auto written = detail::retry([this, text] { return System::write(fd_.get(), text, 1); });
    return detail::check(static_cast<int>(written));
  }

  // ---- heartbeats ----

  void add(Heartbeat& heartbeat) {
    heartbeats_.push_back(heartbeat);
    ++missing_;
  }
  void note_beat() {
    --missing_;
    if (missing_ == 0 && due_) feed_at_end_of_turn();
  }
  Heartbeat* first() { return static_cast<Heartbeat*>(heartbeats_.front()); }
  Heartbeat* after(Heartbeat& heartbeat) { return static_cast<Heartbeat*>(heartbeats_.after(heartbeat)); }

  detail::List<detail::ListNode> heartbeats_;
  Reactor* reactor_ = nullptr;
  Timer timer_;  // of the period
  Timer late_;   // fires at the end of the turn in which the last one has beaten, where that is late
  Endpoint to_;  // of systemd; none: a device
  Fd fd_;
  Result<void> last_;
  std::uint32_t missing_ = 0;  // heartbeats that have not beaten since it was fed
  std::uint32_t fed_ = 0;
  bool due_ = false;  // the period is over, and it has not been fed yet
};

inline void Heartbeat::open(Watchdog& watchdog, const char* name) {
  close();
  watchdog_ = &watchdog;
  name_ = name;
  beaten_ = false;
  watchdog.add(*this);
}
inline void Heartbeat::close() {
  if (!linked()) return;
  beat();  // so that the watchdog does not wait for it
  unlink();
}
inline void Heartbeat::beat() {
  if (!linked() || beaten_) return;
  beaten_ = true;
  watchdog_->note_beat();
}

}  // namespace MOTE_NAMESPACE
}  // namespace mote

#endif  // MOTE_SYNC_WATCHDOG_HPP

// =====================================================================================================================
// include/mote/sync/with_timeout.hpp
// =====================================================================================================================
// with_timeout: an operation that has to complete within a time.
#ifndef MOTE_SYNC_WITH_TIMEOUT_HPP
#define MOTE_SYNC_WITH_TIMEOUT_HPP

namespace mote {
inline namespace MOTE_NAMESPACE {
namespace detail {

// The operation that with_timeout() gives.
template <class Op> struct [[nodiscard]] Timed {
  Poll<Answer<Op>> poll(Task& task) {
    const PollContext context(task);
    const bool could_complete = context.budget() > 0;
    Poll<Answer<Op>> result = operation.poll(task);
    if (result.ready() || context.is_abandoning()) {
      timer.reset();
      return result;
    }
    if (!timer.is_over(context, limit)) return pending;
    if (!could_complete) {
      // It may have completed, but had no budget to say so: what has completed in time wins, so it is asked once more.
      context.wake();
      return pending;
    }
    context.abandon(operation);
    timer.reset();
    return Answer<Op>(Error(ETIMEDOUT));
  }

  TaskTimer& timer;
  Duration limit;
  Op operation;
};

}  // namespace detail

// A combinator: an operation made of another. What is named in it must outlive the await.
//
// Gives the operation's own result, or ETIMEDOUT if it does not come within `limit`, counted from the first attempt.
// What has completed when the time is up wins. After a time-out the task waits for nothing; what it worked on (a
// stream, say) is as it was.
// Errors, besides those of the operation:
//   ETIMEDOUT  the time is up.
template <class Op> detail::Timed<Op> with_timeout(TaskTimer& timer, Duration limit, Op&& operation) {
  return {timer, limit, static_cast<Op&&>(operation)};
}

}  // namespace MOTE_NAMESPACE
}  // namespace mote

#endif  // MOTE_SYNC_WITH_TIMEOUT_HPP

// =====================================================================================================================
// include/mote/shutdown/graceful_shutdown.hpp
// =====================================================================================================================
// GracefulShutdown: runs a reactor, and ends it with grace.
#ifndef MOTE_SHUTDOWN_GRACEFUL_SHUTDOWN_HPP
#define MOTE_SHUTDOWN_GRACEFUL_SHUTDOWN_HPP

namespace mote {
inline namespace MOTE_NAMESPACE {

// How a shutdown went.
struct ShutdownReport {
  std::uint32_t drained = 0;    // tasks that ended by themselves
  std::uint32_t cancelled = 0;  // that ended after having been cancelled
  std::uint32_t destroyed = 0;  // that had to be destroyed
  int signal = 0;               // that began it; 0: request(), or there was nothing left to do
  bool forced = false;          // by a second signal or request
};

// Runs a reactor and ends it with grace. The first signal closes all listeners, so that new connections are refused at
// once, and gives every task one common grace period to finish; then those that remain are cancelled together, and what
// still stands after the clean-up period is destroyed. A second signal forces: the rest is cancelled, has one turn to
// clean up, and is destroyed.
//
//   serve     until the first signal, or until there is nothing left to do
//   drain     until all tasks have ended, the grace period is over, or the second signal
//   clean up  the rest is cancelled: until all have ended, the clean-up period is over, or the second signal
//   destroy   what is left
//
// It must not move. Everything is for the loop's thread. Size on a 32-bit board: 128 bytes.
class GracefulShutdown {
 public:
  GracefulShutdown(Reactor& reactor, const SignalSet& signals, Duration grace = std::chrono::seconds(2),
                   Duration cleanup = std::chrono::milliseconds(500))
      : loop_(detail::ReactorAccess::loop(reactor)), signals_wanted_(signals), grace_(grace), cleanup_(cleanup) {}
  ~GracefulShutdown() { close(); }

  // Takes the signals over, which run() does, too: those that come before it are answered by run(). Errors: of
  // Signals::open().
  Result<void> open() {
    if (open_) return {};
    const auto callback = Delegate<void(int)>::of<&GracefulShutdown::advance>(*this);
    const Result<void> opened = signals_.open(detail::ReactorAccess::reactor(loop_), signals_wanted_, callback);
    if (!opened) return opened;
    open_ = true;
    loop_.add_background();
    return {};
  }
  // Gives them back, as run() does at its end.
  void close() {
    if (!open_) return;
    open_ = false;
    loop_.remove_background();
    signals_.close();
    requests_ = 0;
  }
  // Instead of Reactor::run(). Also returns when there is nothing left but to wait for signals, or after
  // Reactor::stop(), which leaves tasks as they stand (amid a shutdown: ends the grace period). Errors: of open() and
  // Reactor::run().
  Result<ShutdownReport> run() {
    if (loop_.is_running()) return Error(EBUSY);
    const Result<void> opened = open();
    if (!opened) return opened.error();
    ShutdownReport report;
    const Result<void> ran = run_phases(report);
    close();
    if (!ran) return ran.error();
    return report;
  }
  void request() { advance(0); }                                      // as a signal would; also before run()
  bool requested() const { return requests_ != 0; }                   // for tasks that would go on for ever
  void on_begin(Delegate<void()> callback) { on_begin_ = callback; }  // called when it begins, for what is not a task
  // Work that is no task counts as one from hold() to release().
  void hold() { loop_.hold(); }
  void release() { loop_.release_hold(); }
 private:
  // A signal has come, or a request (0). It ends the phase that is running, if that allows no more.
  void advance(int signal) {
    ++requests_;
    if (requests_ == 1) signal_ = signal;
    if (requests_ > requests_allowed_) loop_.stop_here();
  }
  bool is_forced() const { return requests_ > 1; }
  bool has_work() const { return loop_.stats().tasks != 0 || loop_.is_held(); }

  Result<void> run_phases(ShutdownReport& report) {
    const Result<void> served = serve();
    if (!served || !requested()) return served;
    report.signal = signal_;
    begin();
    const Result<void> drained = drain(report);
    if (!drained) return drained;
    if (has_work()) {
      const Result<void> cleaned_up = clean_up(report);
      if (!cleaned_up) return cleaned_up;
      report.destroyed = loop_.destroy_all_tasks();
    }
    report.forced = is_forced();
    return {};
  }
  // The reactor does its work, until the first request.
  Result<void> serve() {
    std::uint32_t ended_before = 0;  // not by the shutdown
    return run_phase(forever, 0, ended_before);
  }
  void begin() {
    loop_.close_listeners();
    if (on_begin_) on_begin_();
  }
  // The grace period, which a second request ends.
  Result<void> drain(ShutdownReport& report) { return run_phase(grace_, 1, report.drained); }
  // The rest is cancelled. A second request ends this period; where it has come already, there is one turn.
  Result<void> clean_up(ShutdownReport& report) {
    loop_.cancel_all_tasks();
    if (is_forced()) return run_phase(Duration::zero(), UINT32_MAX, report.cancelled);
    return run_phase(cleanup_, 1, report.cancelled);
  }
  // Runs until all is done, the time is up, or there have been more than `requests` requests. Tells how many tasks
  // ended.
  Result<void> run_phase(Duration duration, std::uint32_t requests, std::uint32_t& ended) {
    const std::uint64_t before = loop_.stats().tasks_ended;
    const Instant end = saturating_add(Clock::now(), duration);  // forever: the end of time
    requests_allowed_ = requests;
    if (requested()) loop_.set_flag(detail::draining);
    Result<void> ran;
    if (requests_ <= requests_allowed_) ran = loop_.run_until(end);
    requests_allowed_ = UINT32_MAX;
    loop_.clear_flag(detail::draining);
    ended = static_cast<std::uint32_t>(loop_.stats().tasks_ended - before);
    return ran;
  }

  bool open_ = false;
  detail::Loop& loop_;
  SignalSet signals_wanted_;
  Duration grace_;
  Duration cleanup_;
  Delegate<void()> on_begin_;
  Signals signals_;
  std::uint32_t requests_ = 0;
  std::uint32_t requests_allowed_ = UINT32_MAX;  // in this phase: more of them end it
  int signal_ = 0;                               // that began it
};

}  // namespace MOTE_NAMESPACE
}  // namespace mote

#endif  // MOTE_SHUTDOWN_GRACEFUL_SHUTDOWN_HPP

// =====================================================================================================================
// include/mote/coroutine/chain.hpp
// =====================================================================================================================
// Coroutines that await each other, as one task steps them.
#ifndef MOTE_COROUTINE_CHAIN_HPP
#define MOTE_COROUTINE_CHAIN_HPP

#if __cplusplus >= 202002L

namespace mote {
inline namespace MOTE_NAMESPACE {
namespace detail {

struct Awaiter;

// A chain of coroutines, each of which awaits the one behind it. The last one either runs, or waits for an operation:
//
//     serve()  --co_await-->  read_request()  --co_await-->  read_line()  --co_await-->  stream.read(...)
//     the first                                              the last, which waits       the operation
//
//     task --step()--> Chain, in the frame of serve()
//                        `--pending_await--> Awaiter, in the frame of read_line() --poll()--> the operation
//
// So a step goes straight to the operation that is pending, however long the chain is.
//
// The trampoline: no coroutine resumes another. One that awaits another, or that has ended, notes in `next` who is to
// go on, suspends itself, and thereby returns to resume(), which resumes that one. So the stack does not grow with the
// length of the chain, nor with the number of awaits in a loop, whatever the compiler optimises. (A coroutine that
// names its successor in await_suspend() relies on a tail call, which there need not be.)
//
// Who owns a frame: the Co that the coroutine's call gave, wherever that lies; mostly in the frame of the coroutine
// that awaits it, as a temporary of the co_await. For a task, it is the Coroutine in the task's slot. Whoever destroys
// the first frame destroys the Co that lies in it, hence the second frame, and so on down to the last, whose Awaiter
// leaves the operation.
struct Chain {
  // As a task of its own. Returns whether it has ended.
  bool step(Task& stepped_by);
  // As an operation of a task, in the manner of an operation's poll(). Returns whether it has ended.
  bool poll(Task& polled_by);
  // Whether it has been stepped or polled before, and now waits for something.
  bool is_begun() const { return pending_await != nullptr; }

  std::coroutine_handle<> next;      // to be resumed; null: none
  Awaiter* pending_await = nullptr;  // what its last coroutine waits for; null: for nothing
  TaskRef task;                      // the task that steps or polls it, or did so last: it may have ended since
  Task* running = nullptr;           // the same, for use within a step
  const char* name = nullptr;        // of the function that awaits
  std::uint32_t line = 0;            // of the source, where that awaits
  bool abandoned = false;            // it has left the places where it waited, until it is stepped or polled again
  bool shielded = false;             // by what it awaits; apart from the shield of an operation that it is a part of
 private:
  bool resume();
};

// What a coroutine waits for: the base of what a co_await makes, which lies in the frame of the coroutine that awaits.
// Destroyed while it waits, it leaves where it waits.
struct Awaiter : Pinned {
  using PollAgain = bool (*)(Awaiter&, Task&);  // returns whether what is awaited has completed

  explicit Awaiter(Chain& part_of) : chain(part_of) {}

  // Has the chain wait: each step calls `again`, until it returns true; then `waiting` is resumed.
  void wait(std::coroutine_handle<> waiting, PollAgain again) {
    coroutine = waiting.address();
    poll_again = again;
    chain.pending_await = this;
  }
  // To be called by the destructors of what derives from it. The frame is destroyed, and the chain may be waiting here:
  //   - completed, or never suspended: the chain waits elsewhere or not at all. Nothing is left to do.
  //   - waiting: what is awaited is polled once more, only to leave. What else the task awaits goes on: this may be a
  //     part of an operation of several, whose other parts still wait.
  //   - waiting, but it has been abandoned, or the task has ended: it has left all places already.
  void leave() {
    if (chain.pending_await != this) return;
    Task* const task = chain.task.get();  // null: it has ended
    if (task != nullptr && !chain.abandoned) PollContext(*task).abandon(chain);
    chain.pending_await = nullptr;
  }

  Chain& chain;
  PollAgain poll_again;
  void* coroutine;  // a handle's address: a handle would be set to null at each await that does not wait
};

inline bool Chain::step(Task& stepped_by) {
  if (running != &stepped_by) {
    running = &stepped_by;
    task = TaskRef(stepped_by);
    abandoned = false;
  }
  return resume();
}

inline bool Chain::poll(Task& polled_by) {
  const PollContext context(polled_by);
  running = &polled_by;
  abandoned = context.is_abandoning();
  if (!task.names(polled_by)) task = TaskRef(polled_by);
  std::swap(shielded, context.operation_shielded());
  if (!abandoned) resume();
  else if (pending_await != nullptr) pending_await->poll_again(*pending_await, polled_by);
  std::swap(shielded, context.operation_shielded());
  return pending_await == nullptr && !abandoned;
}

// The trampoline. Polls what is pending, and resumes one coroutine after another until one waits, or the first has
// ended.
inline bool Chain::resume() {
  if (Awaiter* const waits = pending_await; waits != nullptr) {
    if (!waits->poll_again(*waits, *running)) return false;
    pending_await = nullptr;
    std::coroutine_handle<>::from_address(waits->coroutine).resume();
  }
  while (pending_await == nullptr && next) {
    const std::coroutine_handle<> coroutine = std::exchange(next, nullptr);
    coroutine.resume();
  }
  return pending_await == nullptr;
}

}  // namespace detail
}  // namespace MOTE_NAMESPACE
}  // namespace mote

#endif  // C++20

#endif  // MOTE_COROUTINE_CHAIN_HPP

// =====================================================================================================================
// include/mote/coroutine/frame_pool.hpp
// =====================================================================================================================
// The memory that coroutines keep their variables in.
#ifndef MOTE_COROUTINE_FRAME_POOL_HPP
#define MOTE_COROUTINE_FRAME_POOL_HPP

#if __cplusplus >= 202002L

namespace mote {
inline namespace MOTE_NAMESPACE {
namespace detail {
struct FrameMaker;
}

// Where coroutines take their frames: the storage of a FramePool, whatever its sizes. A coroutine that has a
// FrameSource& or a FramePool& among its parameters takes its frame there. Frames lie at multiples of 64. Slots that
// were never used stay untouched; the slot that became free last is used first, since its memory is in the cache.
// Everything is O(1), but or_else(): O(sources in a row) for frames that the first cannot take. All-zero bits are a
// valid empty state.
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
  friend struct detail::FrameMaker;

  // What a slot holds while it is free.
  struct Free {
    Free* next;
  };

  // Behind the frame lies the source that it came from, so that it finds back. The frame's size is known when it is
  // freed.
  static FrameSource*& owner(void* frame, std::size_t size) {
    constexpr std::size_t unit = alignof(FrameSource*);
    const std::size_t offset = (size + unit - 1) / unit * unit;
    return *static_cast<FrameSource**>(static_cast<void*>(static_cast<unsigned char*>(frame) + offset));
  }
  void set_storage(unsigned char* slots, std::size_t stride, std::size_t bytes, std::uint32_t capacity) {
    slots_ = slots;
    stride_ = stride;
    bytes_ = bytes;
    capacity_ = capacity;
  }
  // Errors:
  //   EMSGSIZE   it is too large for each of the sources.
  //   ENOBUFS    one that it would fit into has no room.
  Result<void*> allocate(std::size_t size) {
    int error = EMSGSIZE;
    for (FrameSource* source = this; source != nullptr; source = source->next_) {
      if (size > source->largest_) source->largest_ = size;
      const bool fits = size <= source->bytes_;
      void* const frame = fits ? source->take() : nullptr;
      if (frame != nullptr) {
        owner(frame, size) = source;
        return frame;
      }
      if (fits) error = ENOBUFS;
      ++source->refused_;
    }
    return Error(error);
  }
  // A slot, or null: full.
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

// Room for N coroutine frames of up to `Bytes` bytes each. How many bytes a coroutine needs, the compiler alone knows:
// see Co::frame_size() and largest(). It must outlive its coroutines.
// Size: N * (Bytes + a pointer, rounded up to a multiple of 64), and 64 bytes.
template <std::size_t Bytes, std::size_t N> class FramePool {
  static_assert(Bytes >= 16 && N >= 1 && N < (1u << 24), "room for one frame at least");
 public:
  constexpr FramePool() = default;

  operator FrameSource&() { return source(); }
  // The pool as coroutines and reactors take it. It is told of its slots here and not in the constructor, so that a
  // pool in static storage is all-zero at first, and lies in .bss.
  FrameSource& source() {
    source_.set_storage(&slots_[0].bytes[0], sizeof(Slot), Bytes, N);
    return source_;
  }
  // All of these: as FrameSource's.
  void or_else(FrameSource& other) { source_.or_else(other); }
  std::uint32_t size() const { return source_.size(); }
  std::uint32_t high_water() const { return source_.high_water(); }
  std::size_t largest() const { return source_.largest(); }
  std::uint32_t refused() const { return source_.refused(); }
  static constexpr std::uint32_t capacity() { return N; }
 private:
  static constexpr std::size_t pointer_size = sizeof(void*);
  struct alignas(FrameSource::alignment) Slot {  // a frame, and behind it where it came from: see FrameSource::owner()
    unsigned char bytes[(Bytes + pointer_size - 1) / pointer_size * pointer_size + pointer_size];
  };

  FrameSource source_;
  Slot slots_[N] = {};
};

}  // namespace MOTE_NAMESPACE
}  // namespace mote

#endif  // C++20

#endif  // MOTE_COROUTINE_FRAME_POOL_HPP

// =====================================================================================================================
// include/mote/coroutine/frame_maker.hpp
// =====================================================================================================================
// Finds the pool that a coroutine's frame is taken from, among the arguments that the coroutine is called with.
#ifndef MOTE_COROUTINE_FRAME_MAKER_HPP
#define MOTE_COROUTINE_FRAME_MAKER_HPP

#if __cplusplus >= 202002L

namespace mote {
inline namespace MOTE_NAMESPACE {
namespace detail {

// What an argument may be. A parameter may also refer to a type that is only declared, or to a function: such an
// argument is none of these.

// A pool itself.
template <class A>
concept IsFramePool = std::is_convertible_v<A&, FrameSource&>;
// A reactor, or an object of the user's: frame_pool() gives a pointer to a FrameSource, to a FramePool, or null.
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

// Makes and frees frames. A frame comes from the first pool among the arguments, wherever it stands; where there is
// none, from the default pool of the first argument that knows one.
struct FrameMaker {
  // What became of the frame that was asked for last.
  struct Made {
    std::uint32_t size;  // that was asked for, in bytes
    int error;           // 0, or why there is no frame
  };

  // Null: there is no frame, and made.error says why.
  template <class... A> static void* make(std::size_t size, std::size_t alignment, A&... arguments) {
    static_assert(((IsFramePool<A> || HasFramePool<A> || HasReactor<A>) || ...),
                  "pass a FramePool to the coroutine, or a Reactor, Task or open Source whose reactor has one");
    FrameSource* const source = find_source(arguments...);
    made = {static_cast<std::uint32_t>(size), EINVAL};
    if (source == nullptr || alignment > FrameSource::alignment) return nullptr;
    if ((Argument<A>::is_over_aligned || ...)) return nullptr;  // its copy in the frame would be
    const Result<void*> frame = source->allocate(size);
    made.error = frame ? 0 : frame.error().code();
    return frame ? *frame : nullptr;
  }
  static void release(void* frame, std::size_t size) { FrameSource::owner(frame, size)->release(frame); }

  // Read by the Co that is made next. (The compiler calls `operator new` and the maker of the Co apart, and passes
  // nothing on.)
  static inline constinit thread_local Made made{};
 private:
  template <class... A> static FrameSource* find_source(A&... arguments) {
    if constexpr ((IsFramePool<A> || ...)) return first_pool(arguments...);
    else return first_default(arguments...);
  }
  // One of the arguments is a pool.
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
      return default_of(static_cast<Reactor&>(argument.reactor()));
    } else {
      return nullptr;
    }
  }
  // A FrameSource is the only kind of FrameStore that there is.
  static FrameSource& source_of(FrameStore& store) { return static_cast<FrameSource&>(store); }
};

}  // namespace detail
}  // namespace MOTE_NAMESPACE
}  // namespace mote

#endif  // C++20

#endif  // MOTE_COROUTINE_FRAME_MAKER_HPP

// =====================================================================================================================
// include/mote/coroutine/operation_awaiter.hpp
// =====================================================================================================================
// co_await of an operation.
#ifndef MOTE_COROUTINE_OPERATION_AWAITER_HPP
#define MOTE_COROUTINE_OPERATION_AWAITER_HPP

#if __cplusplus >= 202002L

namespace mote {
inline namespace MOTE_NAMESPACE {
namespace detail {

template <class Op>
concept IsOperation = requires(Op& operation, Task& task) {
  operation.poll(task).ready();
};

// What co_await makes of an operation. The operation itself lies in the coroutine's frame until the end of the
// expression that awaits it. The compiler calls await_ready(), which is the first attempt; if that is pending,
// await_suspend(), and the chain makes the further ones; then await_resume(), whose result is that of the co_await.
template <class Op> struct OperationAwaiter : Awaiter {
  using R = Answer<Op>;

  OperationAwaiter(Chain& part_of, Op& what, std::uint32_t line) : Awaiter(part_of), operation(what) {
    chain.line = line;
  }
  ~OperationAwaiter() {
    if (!taken) leave();
    forget_result();
  }

  bool await_ready() { return attempt(*chain.running); }
  void await_suspend(std::coroutine_handle<> waiting) { wait(waiting, &attempt_again); }
  R await_resume() {
    taken = true;
    return std::move(result);
  }
 private:
  static bool attempt_again(Awaiter& self, Task& task) { return static_cast<OperationAwaiter&>(self).attempt(task); }
  [[gnu::always_inline]] bool attempt(Task& task) {
    Poll<R> fresh = operation.poll(task);
    if (!fresh.ready()) return false;
    forget_result();                                           // of an operation that completed while it was abandoned
    ::new (static_cast<void*>(&result)) R(std::move(*fresh));  // which may throw
    if constexpr (!std::is_trivially_destructible_v<R>) has_result = true;
    return true;
  }
  void forget_result() {
    if constexpr (!std::is_trivially_destructible_v<R>) {
      const bool had_result = std::exchange(has_result, false);
      if (had_result) result.~R();
    }
  }

  Op& operation;
  bool taken = false;       // the result has been taken: so it waits nowhere
  bool has_result = false;  // there is one to be destroyed
  union {
    R result;  // made by the attempt that completes, since an R that is made before costs its stores at each await
  };
};

}  // namespace detail
}  // namespace MOTE_NAMESPACE
}  // namespace mote

#endif  // C++20

#endif  // MOTE_COROUTINE_OPERATION_AWAITER_HPP

// =====================================================================================================================
// include/mote/coroutine/promise.hpp
// =====================================================================================================================
// What all coroutines have in common, whatever they return.
#ifndef MOTE_COROUTINE_PROMISE_HPP
#define MOTE_COROUTINE_PROMISE_HPP

#if __cplusplus >= 202002L

namespace mote {
inline namespace MOTE_NAMESPACE {
namespace detail {

// What this_task() gives. It is no operation: only a coroutine can await it.
struct ThisTask {};
struct TaskAwaiter {
  bool await_ready() const { return true; }
  void await_suspend(std::coroutine_handle<>) const {}
  Task& await_resume() const { return task; }

  Task& task;
};

// What co_await makes of an Op. (Of a Co, it is a CoAwaiter: see co.hpp.)
template <class Op> struct AwaiterFor { using type = OperationAwaiter<Op>; };

// The promise is the part of a coroutine's frame that the compiler has its dealings with: it makes the frame by the
// promise's operator new, hands each co_await to await_transform(), and asks where to suspend at the beginning and at
// the end.
struct PromiseBase {
  // ---- the frame ----

  // Null: there is none, and the coroutine is not begun. Inlined, or else g++ takes it and the delete below for a
  // mismatch.
  template <class... A> [[gnu::always_inline]] static void* operator new(std::size_t size, A&... arguments) noexcept {
    return FrameMaker::make(size, alignof(std::max_align_t), arguments...);
  }
  // Called where the compiler tells the alignment: clang's -fcoro-aligned-allocation.
  template <class... A>
  [[gnu::always_inline]] static void* operator new(std::size_t size, std::align_val_t alignment,
                                                   A&... arguments) noexcept {
    return FrameMaker::make(size, static_cast<std::size_t>(alignment), arguments...);
  }
  static void operator delete(void* frame, std::size_t size) noexcept { FrameMaker::release(frame, size); }
  static void operator delete(void* frame, std::size_t size, std::align_val_t) noexcept {
    FrameMaker::release(frame, size);
  }

  // ---- the beginning and the end ----

  // It suspends before its first statement. The default arguments are evaluated in the coroutine: they are its name and
  // line.
  std::suspend_always initial_suspend(const char* name = __builtin_FUNCTION(),
                                      std::uint32_t line = __builtin_LINE()) noexcept {
    own.name = name;
    own.line = line;
    return {};
  }
  // It suspends after its last statement, so that its result can be taken from the frame. Whoever awaits it is to go
  // on.
  struct Final {
    bool await_ready() const noexcept { return false; }
    template <class P> void await_suspend(std::coroutine_handle<P> ended) const noexcept {
      PromiseBase& promise = ended.promise();
      promise.chain->next = promise.awaited_by;
    }
    void await_resume() const noexcept {}
  };
  Final final_suspend() const noexcept { return {}; }

  // ---- co_await ----

  template <class Op> auto await_transform(Op&& operation, std::uint32_t line = __builtin_LINE()) {
    using Awaited = std::remove_reference_t<Op>;
    static_assert(IsOperation<Awaited>,
                  "no operation: of a task's handle await join(); what try_...() gives is there at once");
    return typename AwaiterFor<Awaited>::type(*chain, operation, line);
  }
  TaskAwaiter await_transform(ThisTask) { return {*chain->running}; }

  Chain own;                           // where this coroutine is the first
  Chain* chain = &own;                 // that it is part of
  std::coroutine_handle<> awaited_by;  // null: it is the first
  int code = 0;                        // 0, or the errno value that it failed with
};

}  // namespace detail
}  // namespace MOTE_NAMESPACE
}  // namespace mote

#endif  // C++20

#endif  // MOTE_COROUTINE_PROMISE_HPP

// =====================================================================================================================
// include/mote/coroutine/co.hpp
// =====================================================================================================================
// Co: what a coroutine returns to whoever calls it.
#ifndef MOTE_COROUTINE_CO_HPP
#define MOTE_COROUTINE_CO_HPP

#if __cplusplus >= 202002L

namespace mote {
inline namespace MOTE_NAMESPACE {
template <class T> class Co;

namespace detail {
template <class T> struct Promise;
struct CoAccess;

// What awaiting a Co<T> gives is a Result of this: a Co<Result<T>> is the same as a Co<T>.
template <class T> struct Unwrapped { using type = T; };
template <class T> struct Unwrapped<Result<T>> { using type = T; };

// Owns a coroutine's frame, or knows why there is none: what a Co consists of, as the library sees it.
template <class T> struct CoFrame {
  using Handle = std::coroutine_handle<Promise<T>>;
  using Value = typename Unwrapped<T>::type;

  explicit CoFrame(Handle frame) : handle(frame), size(FrameMaker::made.size) {}
  explicit CoFrame(Error why_none) : error(why_none), size(FrameMaker::made.size) {}
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
  // What the coroutine returned, which has ended. Its frame is destroyed.
  Result<Value> take_result() {
    Result<Value> result = std::move(promise().result);
    destroy();
    return result;
  }

  // In any case: gives the frame to another owner, or destroys it.
  Handle release() { return std::exchange(handle, nullptr); }
  void destroy() {
    if (handle != nullptr) release().destroy();
  }

  Handle handle;
  Error error = EINVAL;    // why there is no frame. Where there was one: the coroutine has ended.
  std::uint32_t size = 0;  // in bytes
};

}  // namespace detail

// A coroutine. It begins when it is first stepped: awaited by another (`co_await child()`), spawned as a task of its
// own (CoroutinePool), or made a part of a combinator or of MOTE_AWAIT, for which it is an operation. Nothing ever
// throws. Destroyed, wherever it stands, it leaves nothing behind.
//
// What is awaited gives a Result<T>: what the coroutine returned. To await one is a call, not an operation: it does not
// end the step. A Co<T> may `co_return` an Error (mote::Error(EIO), not EIO) as well as a T; so Co<Result<T>> is the
// same, and Co<Result<void>> is the one without a value that can fail.
// Errors of an await, besides those that the coroutine returns:
//   ENOBUFS           the frame pool is full. Wait, or make it larger: see FramePool::high_water().
//   EMSGSIZE          the frame is too large for the pool: see frame_size().
//   EINVAL            an argument is over-aligned, there is no pool to take the frame from, or it has ended before.
//   EBUSY             another coroutine awaits it.
//   ENOTRECOVERABLE   an exception left it.
// On a 32-bit board the frame of an empty coroutine has 60 to 72 bytes, and each await adds its operation.
// Size on a 32-bit board: 12 bytes.
template <class T> class [[nodiscard]] Co : detail::CoFrame<T> {
  using Frame = detail::CoFrame<T>;
 public:
  using promise_type = detail::Promise<T>;
  using Value = typename Frame::Value;

  Co(Co&& other) noexcept = default;
  Co& operator=(Co&& other) noexcept = default;

  explicit operator bool() const { return Frame::handle != nullptr; }  // whether it has a frame
  Error error() const { return Frame::error; }                         // why not
  std::size_t frame_size() const { return Frame::size; }  // in bytes, of the frame it has or would have needed
  // As an operation: goes on with it, as far as it gets. Errors: those of an await, see above.
  Poll<Result<Value>> poll(Task& task) {
    if (Frame::handle == nullptr) return Result<Value>(Frame::error);
    const bool has_ended = Frame::handle.done();
    if (has_ended || Frame::is_awaited()) return Result<Value>(Error(has_ended ? EINVAL : EBUSY));
    detail::Chain& chain = Frame::promise().own;
    if (!chain.is_begun()) chain.next = Frame::handle;
    if (!chain.poll(task)) return pending;
    return Frame::take_result();
  }
 private:
  friend struct detail::CoAccess;
  explicit Co(typename Frame::Handle frame) : Frame(frame) {}
  explicit Co(Error why_none) : Frame(why_none) {}
};

namespace detail {

// Makes a Co, and gives its frame: for the library.
struct CoAccess {
  template <class T> static CoFrame<T>& frame(Co<T>& co) { return co; }
  template <class T> static Co<T> make(typename CoFrame<T>::Handle frame) { return Co<T>(frame); }
  template <class T> static Co<T> make(Error why_none) { return Co<T>(why_none); }
};

// What co_await makes of a Co. A coroutine that has not begun becomes part of the chain of whoever awaits it, so
// awaiting it is only to resume it. One that has begun, as an operation, has a chain of its own, and is awaited as an
// operation.
template <class T> struct CoAwaiter : Awaiter {
  using R = Result<typename CoFrame<T>::Value>;

  CoAwaiter(Chain& part_of, Co<T>& co, std::uint32_t where)
      : Awaiter(part_of), awaited(CoAccess::frame(co)), name(chain.name), line(where) {}
  // Where the frame that awaits is destroyed, the coroutine that is awaited does not outlive it, wherever its Co lies:
  // its chain is gone.
  ~CoAwaiter() {
    leave();
    if (waits) awaited.destroy();
  }

  bool await_ready() {
    if (awaited.handle == nullptr) return true;
    taken = awaited.is_awaited();
    if (taken) return true;
    return awaited.is_begun() && poll_chain(*this, *chain.running);
  }
  void await_suspend(std::coroutine_handle<> waiting) {
    waits = true;
    if (awaited.is_begun()) return wait(waiting, &poll_chain);
    PromiseBase& promise = awaited.promise();
    promise.chain = &chain;
    promise.awaited_by = waiting;
    chain.next = awaited.handle;
    chain.name = promise.own.name;
  }
  R await_resume() {
    waits = false;
    chain.name = name;
    chain.line = line;
    if (taken) return Error(EBUSY);
    if (awaited.handle == nullptr) return awaited.error;
    return awaited.take_result();
  }
 private:
  static bool poll_chain(Awaiter& self, Task& task) {
    Chain& begun = static_cast<CoAwaiter&>(self).awaited.promise().own;
    const bool ended = begun.poll(task);
    self.chain.name = begun.name;
    self.chain.line = begun.line;
    return ended;
  }

  CoFrame<T>& awaited;
  const char* name;    // of the function that awaits: the chain's, until the awaited one went on
  std::uint32_t line;  // where it awaits
  bool taken = false;  // another coroutine awaits it
  bool waits = false;  // this one waits for its end
};
template <class T> struct AwaiterFor<Co<T>> { using type = CoAwaiter<T>; };

template <class T> struct PromiseOf : PromiseBase {
  using Value = typename Unwrapped<T>::type;

  Co<T> get_return_object() noexcept {
    auto* promise = static_cast<Promise<T>*>(this);
    // Hides where the promise comes from. Else clang sees that some frames do not outlive their caller, and puts them
    // into its stack frame, past the pool and its sizes.
    asm("" : "+r"(promise));
    return CoAccess::make<T>(std::coroutine_handle<Promise<T>>::from_promise(*promise));
  }
  static Co<T> get_return_object_on_allocation_failure() noexcept {
    return CoAccess::make<T>(Error(FrameMaker::made.error));
  }
  void unhandled_exception() noexcept { keep(Error(ENOTRECOVERABLE)); }
  void keep(Result<Value>&& returned) {
    result = std::move(returned);
    code = result ? 0 : result.error().code();
  }

  Result<Value> result;
};

// A promise must not have both return_value() and return_void().
template <class T> struct Promise : PromiseOf<T> {
  template <class U = T> void return_value(U&& value) {
    this->keep(Result<typename Unwrapped<T>::type>(std::forward<U>(value)));
  }
};
template <> struct Promise<void> : PromiseOf<void> {  // no `co_return error`: a Co<Result<void>> is what can fail
  void return_void() {}
};

}  // namespace detail
}  // namespace MOTE_NAMESPACE
}  // namespace mote

#endif  // C++20

#endif  // MOTE_COROUTINE_CO_HPP

// =====================================================================================================================
// include/mote/coroutine/coroutine_pool.hpp
// =====================================================================================================================
// Coroutines as tasks.
#ifndef MOTE_COROUTINE_COROUTINE_POOL_HPP
#define MOTE_COROUTINE_COROUTINE_POOL_HPP

#if __cplusplus >= 202002L

namespace mote {
inline namespace MOTE_NAMESPACE {

// A coroutine as a task: what a CoroutinePool makes of a Co, which must have a frame. The task fails with what the
// coroutine fails with; a value that it returns is dropped. Its name and line are those of the function that awaits.
class Coroutine : detail::Pinned {
 public:
  template <class T>
  Coroutine(Co<T>&& co)
      : promise_(&detail::CoAccess::frame(co).promise()), handle_(detail::CoAccess::frame(co).release()) {
    detail::Chain& chain = promise_->own;
    if (!chain.is_begun()) chain.next = handle_;
    chain.running = nullptr;  // another task may have polled it, in the slot that this one lies in
  }
  ~Coroutine() { handle_.destroy(); }

  Step step(Task& task) {
    detail::Chain& chain = promise_->own;
    const bool ended = chain.step(task);
    detail::TaskAccess::header(task).line = chain.line;
    return ended ? Step(promise_->code) : Step(pending);
  }
  const char* name() const { return promise_->own.name; }
 private:
  detail::PromiseBase* promise_;
  std::coroutine_handle<> handle_;
};

namespace detail {
template <> struct TaskName<Coroutine> {
  static const char* of(const Coroutine& coroutine) { return coroutine.name(); }
};
}  // namespace detail

// Room for N tasks that are coroutines, whose frames lie in frame pools: everything as with any TaskPool.
template <std::size_t N> class CoroutinePool : public TaskPool<Coroutine, N> {
 public:
  // Makes a task of the coroutine, and queues its first step.
  // Errors:
  //   ENOBUFS    the pool is full: await vacancy(). The coroutine is as it was. Or its frame pool was full.
  //   EMSGSIZE   the Co has no frame, which is too large for the frame pool: see Co::frame_size().
  //   EINVAL     the pool has tasks of another reactor; or the Co has no frame: see Co.
  //   ECANCELED  called by a destructor of a task, or by an observer while a pool is destroyed.
  template <class T> Result<TaskHandle> spawn(Reactor& reactor, Co<T>&& coroutine) {
    if (!coroutine) return coroutine.error();
    return TaskPool<Coroutine, N>::spawn(reactor, std::move(coroutine));
  }
};

}  // namespace MOTE_NAMESPACE
}  // namespace mote

#endif  // C++20

#endif  // MOTE_COROUTINE_COROUTINE_POOL_HPP

// =====================================================================================================================
// include/mote/coroutine/this_task.hpp
// =====================================================================================================================
// What a coroutine asks of the task that steps it.
#ifndef MOTE_COROUTINE_THIS_TASK_HPP
#define MOTE_COROUTINE_THIS_TASK_HPP

#if __cplusplus >= 202002L

namespace mote {
inline namespace MOTE_NAMESPACE {

// `Task& task = co_await mote::this_task();`: the task that steps the coroutine. Completes at once, and cannot fail.
inline detail::ThisTask this_task() { return {}; }

// `co_await mote::yield();`: lets everybody else run, and goes on in the next turn.
// Errors:
//   ECANCELED  the task was cancelled.
inline auto yield() {
  return operation<void>([asked = false](PollContext context) mutable -> Result<void> {
    Error refusal;
    if (!context.proceed(refusal)) return refusal;
    const bool asked_before = std::exchange(asked, true);
    if (asked_before) return {};
    context.wake();
    return context.suspend("its next turn");
  });
}

}  // namespace MOTE_NAMESPACE
}  // namespace mote

#endif  // C++20

#endif  // MOTE_COROUTINE_THIS_TASK_HPP

#endif  // MOTE_HPP
