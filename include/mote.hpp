// mote - a complete single-threaded reactor for embedded Linux in one C++17 header: no heap, no exceptions.
// Version 0.2.0
// SPDX-License-Identifier: MIT
// Copyright (c) 2026 The mote authors
//
// This file is generated from include/mote/ by tools/amalgamate. Copy it, read it, but do not edit it: a banner names
// the file that the lines below it come from. It needs Linux 2.6.28 and -std=c++17, and no C++ runtime library.
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
//   static mote::StaticReactor<> reactor;     // all of it lies in .bss: sizeof tells the footprint
//   static mote::TaskPool<Echo, 64> clients;  // reactor.open(), clients.spawn(reactor, std::move(stream)), reactor.run()
//
// Read first: Reactor, StateMachine, TaskPool, Stream. All that can be awaited, and how a byte gets from the kernel to a
// task, is told in docs/awaiting.md and docs/architecture.md.
//
// Contents: the layers, each with its files. A layer uses only itself and those listed before it.
//
//   base       vocabulary: configuration, Error and Result, views of bytes, intrusive lists, the timing wheel
//                config, text, assert, bytes, delegate, reason, error, exceptions, pinned, list, result, poll,
//                timing_wheel
//   system     the seam where all system calls are made, clocks, owned descriptors
//                clock, linux_system, system, fd
//   selector   waiting for many descriptors: epoll and poll, usable alone
//                interest, milliseconds, selector, selector_base, epoll_selector, default_selector, look, poll_selector
//   task       what is stepped: Task, TaskPool, StateMachine, handles, places to wait, the scheduler
//                observation, queue_place, run_queue, step, waiter, task_header, wait_queue, task_store, task,
//                poll_context, operation, task_use, scheduler, state_machine, task_handle, type_name, task_pool,
//                task_ref
//   reactor    the loop: Reactor and its storage, the descriptor table, turns
//                slot, descriptor_numbers, descriptor_table, wake_cell, loop, reactor, foreign_descriptors,
//                static_reactor
//   time       Timer for callbacks, TaskTimer for tasks
//                timer, task_timer
//   io         sockets and other descriptors that tasks read and write
//                endpoint, source_base, source, borrowed_source, transfer, datagram, stream, line_reader, listener,
//                service_manager
//   device     what firmware talks to
//                serial_port
//   thread     waking the loop from other threads and signal handlers
//                waker, mailbox, signal_set, signals
//   sync       what tasks use among themselves: to wait for each other, for several things, for a limited time
//                parts, all_of, channel, completion, event, first_of, mutex, semaphore, shield, task_group, watchdog,
//                with_timeout
//   shutdown   how a program ends with grace
//                graceful_shutdown
//   coroutine  C++20: the same operations with co_await, on frames from static pools
//                chain, frame_pool, frame_allocator, operation_awaiter, promise, co, coroutine_pool, this_task
//
// Unless its comment says otherwise, a function belongs to the loop's thread, is O(1), and cannot fail unless it returns
// a Result, whose errno values are listed at it. "No room" is ENOBUFS, except where a try_ function says EAGAIN: it would
// have to wait.

#ifndef MOTE_HPP
#define MOTE_HPP

#include <arpa/inet.h>    // inet_pton, inet_ntop
#include <errno.h>        // errno and its names
#include <fcntl.h>        // open, fcntl, O_*
#include <limits.h>       // INT_MAX
#include <net/if.h>       // if_nametoindex, if_indextoname: scopes of IPv6 addresses
#include <netinet/in.h>   // sockaddr_in, sockaddr_in6
#include <netinet/tcp.h>  // TCP_NODELAY, keep-alive options
#include <poll.h>         // poll
#include <signal.h>       // sigaction, sigprocmask, _NSIG
#include <stdio.h>        // snprintf
#include <stdlib.h>       // getenv, strtoul, strtoull
#include <string.h>       // memory and strings
#include <sys/epoll.h>    // epoll
#include <sys/eventfd.h>  // eventfd, the wake-up descriptor
#include <sys/ioctl.h>    // TIOCEXCL
#include <sys/socket.h>   // sockets
#include <sys/syscall.h>  // SYS_*: calls that not every C library wraps
#include <sys/types.h>    // pid_t
#include <sys/uio.h>      // writev
#include <sys/un.h>       // sockaddr_un
#include <sys/utsname.h>  // uname
#include <termios.h>      // serial ports
#include <time.h>         // clock_gettime
#include <unistd.h>       // read, write, close, getpid, STDERR_FILENO

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

// For those who build with many warnings: a global of the program may have the name of anything below, members are
// initialised where they are declared, and a cast that one machine needs is useless on another.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wshadow"
#pragma GCC diagnostic ignored "-Weffc++"
#ifdef __clang__
#pragma GCC diagnostic ignored "-Wshadow-all"
#else
#pragma GCC diagnostic ignored "-Wuseless-cast"
#endif

// =====================================================================================================================
// include/mote/base/config.hpp
// =====================================================================================================================
// Configuration: the version, the namespace, and fixed bounds and times.
#ifndef MOTE_BASE_CONFIG_HPP
#define MOTE_BASE_CONFIG_HPP

static_assert(__cplusplus >= 201703L, "mote needs C++17: -std=c++17");

#define MOTE_VERSION_MAJOR 0
#define MOTE_VERSION_MINOR 2
#define MOTE_VERSION_PATCH 0

// Bounds and times that a program may set: define these before the first include, as plain decimal numbers, for all of
// the program's files. What each is for says the constant in mote::limits that is made of it.
#ifndef MOTE_LIMIT_OPERATIONS_PER_STEP
#define MOTE_LIMIT_OPERATIONS_PER_STEP 32
#endif
#ifndef MOTE_LIMIT_STEPS_PER_LOWER_PRIORITY
#define MOTE_LIMIT_STEPS_PER_LOWER_PRIORITY 16
#endif
#ifndef MOTE_LIMIT_ACCEPTS_PER_POLL
#define MOTE_LIMIT_ACCEPTS_PER_POLL 16
#endif
#ifndef MOTE_LIMIT_QUEUES_PER_TASK
#define MOTE_LIMIT_QUEUES_PER_TASK 3
#endif
#ifndef MOTE_LIMIT_TIMERS_PER_SCAN
#define MOTE_LIMIT_TIMERS_PER_SCAN 32
#endif
#ifndef MOTE_LIMIT_REACTORS_WITH_WAKEUPS
#define MOTE_LIMIT_REACTORS_WITH_WAKEUPS 32
#endif
#ifndef MOTE_LIMIT_RETRY_PAUSE_MS
#define MOTE_LIMIT_RETRY_PAUSE_MS 100
#endif

// The namespace's name has in it all that files of one program could disagree about: the version, whether the system
// seam has been replaced (MOTE_SYSTEM_HEADER, see system/system.hpp), and the limits, if one of them differs. So two
// versions can be linked into one program, and what one file declares with mote's types and a file that disagrees
// defines does not link.
#ifdef MOTE_SYSTEM_HEADER
#define MOTE_DETAIL_VERSION v0_2_0_seam
#else
#define MOTE_DETAIL_VERSION v0_2_0
#endif
#if MOTE_LIMIT_OPERATIONS_PER_STEP == 32 && MOTE_LIMIT_STEPS_PER_LOWER_PRIORITY == 16 &&                        \
    MOTE_LIMIT_ACCEPTS_PER_POLL == 16 && MOTE_LIMIT_QUEUES_PER_TASK == 3 && MOTE_LIMIT_TIMERS_PER_SCAN == 32 && \
    MOTE_LIMIT_REACTORS_WITH_WAKEUPS == 32 && MOTE_LIMIT_RETRY_PAUSE_MS == 100
#define MOTE_NAMESPACE MOTE_DETAIL_VERSION
#else
#define MOTE_DETAIL_NAME2(name, a, b, c, d, e, f, g) name##_limits_##a##_##b##_##c##_##d##_##e##_##f##_##g
#define MOTE_DETAIL_NAME(name, a, b, c, d, e, f, g) MOTE_DETAIL_NAME2(name, a, b, c, d, e, f, g)
#define MOTE_NAMESPACE                                                                                       \
  MOTE_DETAIL_NAME(MOTE_DETAIL_VERSION, MOTE_LIMIT_OPERATIONS_PER_STEP, MOTE_LIMIT_STEPS_PER_LOWER_PRIORITY, \
                   MOTE_LIMIT_ACCEPTS_PER_POLL, MOTE_LIMIT_QUEUES_PER_TASK, MOTE_LIMIT_TIMERS_PER_SCAN,      \
                   MOTE_LIMIT_REACTORS_WITH_WAKEUPS, MOTE_LIMIT_RETRY_PAUSE_MS)
#endif

// A program's own type that has mote's in it, as a task in a header, has one name whatever the limits. So files that
// were given different limits do not link, and the linker names the limit: each of these symbols may be defined in many
// files, but with one value. They are absolute and hidden, and nothing of them is loaded. (With -flto they are not
// compared.)
#define MOTE_DETAIL_QUOTE2(text) #text
#define MOTE_DETAIL_QUOTE(text) MOTE_DETAIL_QUOTE2(text)
#define MOTE_DETAIL_SAME_IN_ALL_FILES(name, value) \
  __asm__(".globl " name MOTE_DETAIL_QUOTE(MOTE_DETAIL_VERSION) "\n" \
          ".hidden " name MOTE_DETAIL_QUOTE(MOTE_DETAIL_VERSION) "\n" \
          ".set " name MOTE_DETAIL_QUOTE(MOTE_DETAIL_VERSION) ", " MOTE_DETAIL_QUOTE(value))
MOTE_DETAIL_SAME_IN_ALL_FILES("MOTE_LIMIT_OPERATIONS_PER_STEP_differs_between_files_", MOTE_LIMIT_OPERATIONS_PER_STEP);
MOTE_DETAIL_SAME_IN_ALL_FILES("MOTE_LIMIT_STEPS_PER_LOWER_PRIORITY_differs_between_files_",
                              MOTE_LIMIT_STEPS_PER_LOWER_PRIORITY);
MOTE_DETAIL_SAME_IN_ALL_FILES("MOTE_LIMIT_ACCEPTS_PER_POLL_differs_between_files_", MOTE_LIMIT_ACCEPTS_PER_POLL);
MOTE_DETAIL_SAME_IN_ALL_FILES("MOTE_LIMIT_QUEUES_PER_TASK_differs_between_files_", MOTE_LIMIT_QUEUES_PER_TASK);
MOTE_DETAIL_SAME_IN_ALL_FILES("MOTE_LIMIT_TIMERS_PER_SCAN_differs_between_files_", MOTE_LIMIT_TIMERS_PER_SCAN);
MOTE_DETAIL_SAME_IN_ALL_FILES("MOTE_LIMIT_REACTORS_WITH_WAKEUPS_differs_between_files_",
                              MOTE_LIMIT_REACTORS_WITH_WAKEUPS);
MOTE_DETAIL_SAME_IN_ALL_FILES("MOTE_LIMIT_RETRY_PAUSE_MS_differs_between_files_", MOTE_LIMIT_RETRY_PAUSE_MS);

namespace mote {
inline namespace MOTE_NAMESPACE {

// Fixed bounds and times.
namespace limits {

// ---- bounds of one turn of the loop: each keeps one party from starving the others ----

// An operation that could complete at once does not, after so many in one step: the task is queued again behind the
// others.
inline constexpr int operations_per_step = MOTE_LIMIT_OPERATIONS_PER_STEP;
// Steps in one turn of each priority below the highest.
inline constexpr std::uint32_t steps_per_lower_priority = MOTE_LIMIT_STEPS_PER_LOWER_PRIORITY;
[[deprecated("renamed: steps_per_lower_priority")]] inline constexpr std::uint32_t steps_below =
    steps_per_lower_priority;
// Connections of a listening socket, in a row, that are found dead before accepting pauses.
inline constexpr int accepts_per_poll = MOTE_LIMIT_ACCEPTS_PER_POLL;

// ---- bounds of memory and of work ----

// Queues in which one task can wait at a time. An operation that is made of several may wait in more than one.
inline constexpr int queues_per_task = MOTE_LIMIT_QUEUES_PER_TASK;
// Timers that are looked at to find the exact next deadline.
inline constexpr std::uint32_t timers_per_scan = MOTE_LIMIT_TIMERS_PER_SCAN;
// Reactors of a process that can be woken by other threads and signal handlers at the same time: 12 bytes each.
inline constexpr int reactors_with_wakeups = MOTE_LIMIT_REACTORS_WITH_WAKEUPS;

// ---- times ----

// What the system refuses for now is tried again after this time: accepting after EMFILE, ENFILE, ENOBUFS, ENOMEM or
// EPERM, or after accepts_per_poll dead connections; and descriptors whose hang-up or error stays are looked at again.
inline constexpr std::chrono::milliseconds retry_pause{MOTE_LIMIT_RETRY_PAUSE_MS};

// A step's budget is a byte: TaskHeader::share. The others end where nobody has a use for more.
static_assert(operations_per_step >= 1 && operations_per_step <= 255, "MOTE_LIMIT_OPERATIONS_PER_STEP: 1 to 255");
static_assert(MOTE_LIMIT_STEPS_PER_LOWER_PRIORITY >= 1 && MOTE_LIMIT_STEPS_PER_LOWER_PRIORITY <= 65535,
              "MOTE_LIMIT_STEPS_PER_LOWER_PRIORITY: 1 to 65535");
static_assert(accepts_per_poll >= 1 && accepts_per_poll <= 65535, "MOTE_LIMIT_ACCEPTS_PER_POLL: 1 to 65535");
static_assert(queues_per_task >= 1 && queues_per_task <= 64, "MOTE_LIMIT_QUEUES_PER_TASK: 1 to 64");
static_assert(MOTE_LIMIT_TIMERS_PER_SCAN >= 1 && MOTE_LIMIT_TIMERS_PER_SCAN <= 65535,
              "MOTE_LIMIT_TIMERS_PER_SCAN: 1 to 65535");
static_assert(reactors_with_wakeups >= 1 && reactors_with_wakeups <= 4096,
              "MOTE_LIMIT_REACTORS_WITH_WAKEUPS: 1 to 4096");
static_assert(MOTE_LIMIT_RETRY_PAUSE_MS >= 1 && MOTE_LIMIT_RETRY_PAUSE_MS <= 60000,
              "MOTE_LIMIT_RETRY_PAUSE_MS: 1 to 60000");

}  // namespace limits

namespace detail {

// A condition that is mostly true. For branches on the way of every message only.
constexpr bool expect_true(bool condition) { return __builtin_expect(condition, true) != 0; }

}  // namespace detail

}  // namespace MOTE_NAMESPACE
}  // namespace mote

#endif  // MOTE_BASE_CONFIG_HPP

// =====================================================================================================================
// include/mote/base/text.hpp
// =====================================================================================================================
// A line of text in a buffer of its own.
#ifndef MOTE_BASE_TEXT_HPP
#define MOTE_BASE_TEXT_HPP

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

// =====================================================================================================================
// include/mote/base/assert.hpp
// =====================================================================================================================
// MOTE_ASSERT: how a violated invariant is told.
#ifndef MOTE_BASE_ASSERT_HPP
#define MOTE_BASE_ASSERT_HPP

// States what must hold: MOTE_ASSERT(condition && "what to do where it does not"). A violation is a mistake in the
// program, of which no errno value could tell. It is told in one line on standard error, then the program traps
// (SIGILL or SIGTRAP: a debugger stops there):
//
//   mote: a failed Result has no value: test it first (violated: error_ == 0, mote.hpp:1198; in task Echo, at or after
//   its await at echo.cpp:31)
//
// With NDEBUG nothing is checked, and nothing is left of it. To report violations in your own way, define MOTE_ASSERT
// with one parameter before the first include, in every file alike. It must be an expression of type void, must not
// return where the condition is false, and must do nothing else where it is true.
#ifndef MOTE_ASSERT
#ifdef NDEBUG
#define MOTE_ASSERT(condition) static_cast<void>(0)
#else
#define MOTE_ASSERT(condition) \
  ((condition) ? static_cast<void>(0) : ::mote::detail::report_violation(#condition, __FILE__, __LINE__))
#endif
#endif

namespace mote {
inline namespace MOTE_NAMESPACE {
namespace detail {

// Whether mistakes are looked for that cost time to find.
#ifdef NDEBUG
inline constexpr bool finds_mistakes = false;
#else
inline constexpr bool finds_mistakes = true;
#endif

// Whoever knows what this thread is doing: adds it to the line that tells of a violation.
struct Witness {
  void (*tell)(const void* self, Text& line) = nullptr;  // null: nobody
  const void* self = nullptr;
  const std::uint32_t* line = nullptr;  // where a coroutine that runs notes its line; null: in its task
};
inline thread_local Witness witness{};

// Adds what is in string literals, of which there may be several one behind the other. `source` begins in the first
// one.
inline void add_words(Text& line, const char* source) {
  bool is_inside = true;
  for (; *source != '\0'; ++source) {
    if (*source == '"') is_inside = !is_inside;
    else if (is_inside) line.add(source, 1);
  }
}
// Tells of a violation, and traps. `condition` is source text, of the form `what must hold && "what to do"`.
[[noreturn, gnu::cold, gnu::noinline]] inline void report_violation(const char* condition, const char* file, int line) {
  static constexpr char separator[] = " && \"";
  Text told;
  told.add("mote: ");
  const char* const advice = ::strstr(condition, separator);
  std::size_t length = ::strlen(condition);
  if (advice != nullptr) {
    add_words(told, advice + sizeof separator - 1);
    told.add(" (violated: ");
    length = static_cast<std::size_t>(advice - condition);
  } else {
    told.add("a mistake in the program (violated: ");
  }
  told.add(condition, length).add(", ").add_place(file, static_cast<std::uint32_t>(line));
  if (witness.tell != nullptr) witness.tell(witness.self, told);
  told.add(")");
  // Not by way of System, which is a layer above. Nothing can be done where it fails.
  // Only where it neither blocks nor raises SIGPIPE, as a pipe that nobody reads would: the trap must come.
  pollfd out{STDERR_FILENO, POLLOUT, 0};
  if (::poll(&out, 1, 0) == 1 && out.revents == POLLOUT) {
    const iovec parts[] = {{const_cast<char*>(told.c_str()), told.size()}, {const_cast<char*>("\n"), 1}};
    const ssize_t written = ::writev(STDERR_FILENO, parts, 2);
    static_cast<void>(written);
  }
  __builtin_trap();
}

}  // namespace detail
}  // namespace MOTE_NAMESPACE
}  // namespace mote

#endif  // MOTE_BASE_ASSERT_HPP

// =====================================================================================================================
// include/mote/base/bytes.hpp
// =====================================================================================================================
// Views of bytes that they do not own: ByteView to read them, ByteSpan to write them.
#ifndef MOTE_BASE_BYTES_HPP
#define MOTE_BASE_BYTES_HPP

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

// =====================================================================================================================
// include/mote/base/delegate.hpp
// =====================================================================================================================
// Delegate: a callback, as a function pointer and its context.
#ifndef MOTE_BASE_DELEGATE_HPP
#define MOTE_BASE_DELEGATE_HPP

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

// =====================================================================================================================
// include/mote/base/reason.hpp
// =====================================================================================================================
// Reason: why mote itself refuses something, where the errno value alone does not tell.
#ifndef MOTE_BASE_REASON_HPP
#define MOTE_BASE_REASON_HPP

namespace mote {
inline namespace MOTE_NAMESPACE {
namespace detail {

// An errno value takes the low 12 bits: it ends at 4095. The 4 bits above tell the reasons of one errno value apart; 0
// there means none, an error of the kernel or of the user. 16 bits in all: ARM loads that with one instruction.
inline constexpr int code_bits = 0xfff;
constexpr std::uint16_t reason(int code, int number) { return static_cast<std::uint16_t>(code | (number * 0x1000)); }

// Each with its errno value, its number among the reasons of that value, and its text. EAGAIN and ECANCELED have none:
// they are compared on the way of every message, see Error.
#define MOTE_DETAIL_REASONS(X)                                                                          \
  X(not_open, EBADF, 1, "it is not open")                                                               \
  X(selector_not_open, EBADF, 2, "the selector has not been opened")                                    \
  X(reactor_not_open, ENXIO, 1, "the reactor has not been opened")                                      \
  X(reactor_has_gone, ENXIO, 2, "the reactor has been destroyed")                                       \
  X(table_not_open, ENXIO, 3, "the table of descriptors is not open")                                   \
  X(awaited_by_another_task, EBUSY, 1, "another task awaits it already")                                \
  X(already_open, EBUSY, 2, "it is open already")                                                       \
  X(already_running, EBUSY, 3, "the reactor is running already")                                        \
  X(signal_is_taken, EBUSY, 4, "a signal of the set is taken already")                                  \
  X(task_is_running, EBUSY, 5, "the task is running at the moment")                                     \
  X(timer_in_use, EBUSY, 6, "the timer is in use already")                                              \
  X(operation_pending, EBUSY, 7, "an operation on it is pending")                                       \
  X(coroutine_is_awaited, EBUSY, 8, "the coroutine is awaited already")                                 \
  X(descriptor_table_full, ENOBUFS, 1, "the descriptor table is full")                                  \
  X(task_pool_full, ENOBUFS, 2, "the task pool is full")                                                \
  X(selector_full, ENOBUFS, 3, "the selector is full")                                                  \
  X(too_many_woken_reactors, ENOBUFS, 4, "too many reactors can be woken")                              \
  X(task_in_too_many_queues, ENOBUFS, 5, "the task waits in too many queues")                           \
  X(mailbox_full, ENOBUFS, 6, "the mailbox is full")                                                    \
  X(group_full, ENOBUFS, 7, "the task group is full")                                                   \
  X(frame_pool_full, ENOBUFS, 8, "the frame pool is full")                                              \
  X(foreign_table_full, ENOBUFS, 9, "the table of foreign descriptors is full")                         \
  X(deadlock, EDEADLK, 1, "every task waits for what cannot come")                                      \
  X(signal_is_blocked, EDEADLK, 2, "a signal of the set is blocked")                                    \
  X(descriptor_already_added, EEXIST, 1, "the descriptor has been added already")                       \
  X(registration_ended, ENOENT, 1, "the registration has ended")                                        \
  X(descriptor_not_added, ENOENT, 2, "the descriptor has not been added")                               \
  X(no_service_manager, ENOENT, 3, "NOTIFY_SOCKET is not set")                                          \
  X(pool_of_another_reactor, EINVAL, 1, "the pool has tasks in another reactor")                        \
  X(no_such_priority, EINVAL, 2, "the reactor has no such priority")                                    \
  X(no_such_signal, EINVAL, 3, "the set has a number that is no signal")                                \
  X(handle_is_empty, EINVAL, 4, "the handle holds no task")                                             \
  X(coroutine_has_ended, EINVAL, 5, "the coroutine has ended already")                                  \
  X(not_an_address, EINVAL, 6, "not ADDRESS:PORT, such as 127.0.0.1:8000 or [::1]:8000, nor unix:PATH") \
  X(bad_serial_settings, EINVAL, 7, "no such speed or settings")                                        \
  X(bad_watchdog_variable, EINVAL, 8, "WATCHDOG_USEC, WATCHDOG_PID or NOTIFY_SOCKET is wrong")          \
  X(no_frame_pool, EINVAL, 9, "the coroutine has no fitting frame pool")                                \
  X(no_answer, EINVAL, 10, "EAGAIN is no answer")                                                       \
  X(bad_interest, EINVAL, 11, "awaited is read, priority or both, or write alone")                      \
  X(not_numeric, ENOTSUP, 1, "numeric addresses only, such as 127.0.0.1 or ::1")                        \
  X(bad_port, ERANGE, 1, "the port is not a number from 0 to 65535")                                    \
  X(no_such_interface, ENODEV, 1, "there is no such network interface")                                 \
  X(path_too_long, ENAMETOOLONG, 1, "the path has more than 107 bytes")                                 \
  X(answer_is_set, EALREADY, 1, "the answer has been set already")                                      \
  X(channel_drained, ENODATA, 1, "the channel is closed and empty")                                     \
  X(stream_ended, ENODATA, 2, "the stream has ended")                                                   \
  X(answer_is_taken, ENODATA, 3, "the answer has been taken already")                                   \
  X(task_has_ended, ESRCH, 1, "the task has ended")                                                     \
  X(channel_closed, EPIPE, 1, "the channel is closed")                                                  \
  X(line_too_long, EMSGSIZE, 1, "the line is longer than its reader")                                   \
  X(frame_too_large, EMSGSIZE, 2, "the frame is larger than the slots")                                 \
  X(time_is_up, ETIMEDOUT, 1, "the time is up")                                                         \
  X(left_by_exception, ENOTRECOVERABLE, 1, "the coroutine ended by an exception")

enum class Reason : std::uint16_t {
#define MOTE_DETAIL_ENUMERATOR(name, code, number, text) name = reason(code, number),
  MOTE_DETAIL_REASONS(MOTE_DETAIL_ENUMERATOR)
#undef MOTE_DETAIL_ENUMERATOR
};

// The texts one behind the other, and whose they are: pointers to them would be larger, and relocated at the start.
#define MOTE_DETAIL_CODE(name, code, number, text) reason(code, number),
inline constexpr std::uint16_t reason_codes[] = {MOTE_DETAIL_REASONS(MOTE_DETAIL_CODE)};
#undef MOTE_DETAIL_CODE
#define MOTE_DETAIL_TEXT(name, code, number, text) text "\0"
inline constexpr char reason_texts[] = MOTE_DETAIL_REASONS(MOTE_DETAIL_TEXT);
#undef MOTE_DETAIL_TEXT
#undef MOTE_DETAIL_REASONS

// What mote itself says to an Error, as it is stored; null: nothing. The texts are linked only into programs that ask
// for them: those that call Error::message(), or whose tasks may fail without an observer. O(length of all texts).
[[gnu::cold]] inline const char* text_of(int stored) {
  const char* text = reason_texts;
  for (const int code : reason_codes) {
    if (code == stored) return text;
    text += ::strlen(text) + 1;
  }
  return nullptr;
}

}  // namespace detail
}  // namespace MOTE_NAMESPACE
}  // namespace mote

#endif  // MOTE_BASE_REASON_HPP

// =====================================================================================================================
// include/mote/base/error.hpp
// =====================================================================================================================
// An error: an errno value as a type of its own, and what mote says to it.
#ifndef MOTE_BASE_ERROR_HPP
#define MOTE_BASE_ERROR_HPP

namespace mote {
inline namespace MOTE_NAMESPACE {

namespace detail {
struct ErrorAccess;

// What `suspended` is stored as: no errno value at all, with a number.
inline constexpr int stored_suspended = reason(0, 1);
}  // namespace detail

// An errno value, 1 to 4095; anything else trips MOTE_ASSERT. Where mote itself refuses something, it also knows why,
// and message() says so. Errors are equal when their codes are: `error == ENOBUFS` holds whatever is full.
// Size on a 32-bit board: 4 bytes.
class Error {
 public:
  constexpr Error() = default;  // EAGAIN
  constexpr Error(int code) : stored_(code) {
    MOTE_ASSERT(code > 0 && code <= detail::code_bits &&
                "an Error is made of a positive errno value, as EIO, neither of 0 nor of -EIO: whether there is one, "
                "ask the Result");
  }
  constexpr Error(detail::Reason reason) : stored_(static_cast<int>(reason)) {}  // for mote itself
  constexpr int code() const { return stored_ & detail::code_bits; }

  // One line without its end: mote's own text, as "the task pool is full", for what mote itself has refused; else the C
  // library's for the errno value. Never null. Mote's texts are constants. The C library's may be overwritten by the
  // next call, and may be in the user's language: so it is for one thread at a time, and not for signal handlers.
  const char* message() const {
    const char* const text = detail::text_of(stored_);
    return text != nullptr ? text : ::strerror(code());
  }

  [[gnu::always_inline]] friend constexpr bool operator==(Error a, Error b) { return a.equals(b.stored_); }
  [[gnu::always_inline]] friend constexpr bool operator!=(Error a, Error b) { return !a.equals(b.stored_); }
 private:
  friend struct detail::ErrorAccess;

  // Where the compiler knows that it is compared with what never has a reason, that is one instruction.
  [[gnu::always_inline]] constexpr bool equals(int other) const {
    const bool has_no_reason = other == EAGAIN || other == ECANCELED || other == detail::stored_suspended;
    if (__builtin_constant_p(other) && has_no_reason) return stored_ == other;
    return ((stored_ ^ other) & detail::code_bits) == 0;
  }

  int stored_ = EAGAIN;  // a Reason, or an errno value without one
};

namespace detail {

// For what keeps an Error as a number: the code together with the reason.
struct ErrorAccess {
  static constexpr int stored(Error error) { return error.stored_; }
  static constexpr Error error(int stored) {
    Error result;
    result.stored_ = stored;
    return result;
  }
};

}  // namespace detail

}  // namespace MOTE_NAMESPACE
}  // namespace mote

#endif  // MOTE_BASE_ERROR_HPP

// =====================================================================================================================
// include/mote/base/exceptions.hpp
// =====================================================================================================================
// What the library does about exceptions of the program's own. It throws none itself, and can be built with
// -fno-exceptions.
#ifndef MOTE_BASE_EXCEPTIONS_HPP
#define MOTE_BASE_EXCEPTIONS_HPP

namespace mote {
inline namespace MOTE_NAMESPACE {
namespace detail {

#ifdef __cpp_exceptions
inline constexpr bool has_exceptions = true;
#else
inline constexpr bool has_exceptions = false;  // -fno-exceptions
#endif

// Calls `repair` at the end of its scope, unless dismiss() has been called: it is called at the scope's normal end, so
// that `repair` is made after an exception. `repair` must not throw. Built without exceptions, nothing is left of it.
template <class Repair> class OnException {
 public:
  explicit OnException(Repair repair) : repair_(repair) {}
  OnException(const OnException&) = delete;
  OnException& operator=(const OnException&) = delete;
  ~OnException() {
    if (!dismissed_) repair_();
  }
  void dismiss() { dismissed_ = true; }
 private:
  Repair repair_;
  bool dismissed_ = false;
};
template <class Repair> OnException(Repair) -> OnException<Repair>;

// Calls what may throw from where nothing may be thrown: a destructor, or a repair after another exception. What it
// throws is dropped.
template <class Call> void drop_exceptions(Call&& call) noexcept {
#ifdef __cpp_exceptions
  try {
    call();
  } catch (...) {}
#else
  call();
#endif
}

}  // namespace detail
}  // namespace MOTE_NAMESPACE
}  // namespace mote

#endif  // MOTE_BASE_EXCEPTIONS_HPP

// =====================================================================================================================
// include/mote/base/pinned.hpp
// =====================================================================================================================
// Pinned: the base of objects that must stay where they are.
#ifndef MOTE_BASE_PINNED_HPP
#define MOTE_BASE_PINNED_HPP

namespace mote {
inline namespace MOTE_NAMESPACE {

namespace detail {

// The base of an object that others point to, and that is therefore neither copied nor moved.
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

// What all lists have in common, whatever their elements are, so that this code exists once in a program.
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
  void append_all(ListBase& other) {
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
    MOTE_ASSERT(!node.linked() && "it is in a list already: an object was used by another thread, or was overwritten");
    node.prev = &position;
    node.next = position.next;
    position.next->prev = &node;
    position.next = &node;
  }

  ListNode head_;
};

// A list of T, which derives from ListNode.
// Size on a 32-bit board: 8 bytes.
template <class T> struct List : ListBase {
  void push_back(ListNode& node) { append(node); }
  void push_front(ListNode& node) { prepend(node); }
  T* front() { return from(first()); }
  T* after(ListNode& node) { return node.next == &head_ ? nullptr : from(node.next); }
  T* pop_front() { return from(take_first()); }
  static T* from(ListNode* node) { return static_cast<T*>(node); }
};

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

// =====================================================================================================================
// include/mote/base/poll.hpp
// =====================================================================================================================
// Poll: what one attempt at an operation returns, a value or "pending". (Not poll(2).)
#ifndef MOTE_BASE_POLL_HPP
#define MOTE_BASE_POLL_HPP

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

// =====================================================================================================================
// include/mote/base/timing_wheel.hpp
// =====================================================================================================================
// TimingWheel: holds timers and hands out those that are due, in order. It reads no clock: the caller passes the time.
#ifndef MOTE_BASE_TIMING_WHEEL_HPP
#define MOTE_BASE_TIMING_WHEEL_HPP

namespace mote {
inline namespace MOTE_NAMESPACE {

namespace detail {

// An entry of a wheel: the base of a timer. Its owner keeps it alive while it is in the wheel.
struct TimerNode : ListNode {
  std::int64_t deadline = 0;  // ns
  std::uint32_t order = 0;    // of arming, counted by the owner of the wheel; it may wrap around

  // Earlier deadlines come first, equal ones in the order in which they were armed. The order is compared as a signed
  // difference, which is right as long as two timers are less than 2^31 armings apart.
  bool before(const TimerNode& other) const {
    if (deadline != other.deadline) return deadline < other.deadline;
    return static_cast<std::int32_t>(order - other.order) < 0;
  }
};

// A hierarchical timing wheel (Varghese and Lauck, 1987) that keeps the exact order. Arming and cancelling are O(1),
// and nothing is ever full. n timers that expire together are sorted with at most n * (8 + log2(n)) comparisons, and
// each of them has moved to a lower level at most once per level on its way.
// Size on a 32-bit board: 1,240 bytes.
//
// Time is cut into ticks of 512 ns. A tick's number, written in base 16, has a digit for each of 9 levels; each level
// has 16 lists, one for each value of its digit. `base_` is the tick up to which everything has been handed out. The
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

  // Nothing is due before it. Right after refresh() it is exact, or the beginning of a long list.
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

  // A deadline without a node (the loop's pause of accepts). It counts in count() until forget(). refresh() does not
  // know of it: afterwards call forget() and expect() again.
  void expect(std::int64_t deadline) {
    if (count_ == 0 || deadline < next_) next_ = deadline;
    ++count_;
  }
  void forget() { --count_; }

  // The bit of its list may stay set: expire() and refresh() clear it when they come to the empty list.
  void erase(TimerNode& node) {
    node.unlink();
    --count_;
  }

  // Moves timers that are due at `now`, in order, to `due`, where they count until they are erased. It takes some lists
  // at a time, so that a timer fires while it is in the cache: call it with the same `now` until it returns false, and
  // empty `due` in between. What is armed meanwhile comes after all of these.
  bool expire(std::int64_t now, List<TimerNode>& due) {
    const std::uint64_t now_tick = tick_of(now);
    firing_until_ = now;
    due.ring();
    for (unsigned visited = 0; visited < lists_per_call || due.empty(); ++visited) {  // at least until one is found
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

  // Where an exception ends the firing: takes what is left in `due` back, to be handed out first, and refreshes.
  void put_back(List<TimerNode>& due) {
    is_firing_ = false;
    while (TimerNode* const node = due.pop_front()) place(*node);
    while (TimerNode* const node = lists_[postponed_list].pop_front()) place(*node);
    refresh();
  }

  // Finds the next deadline again. Exact if the first list is of level 0 or has at most limits::timers_per_scan timers;
  // else it is the time at which that list begins.
  void refresh() {
    next_ = INT64_MAX;
    for (;;) {
      const unsigned list = first_occupied();
      if (list == no_list) return;
      rescan(list);
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
  // postponed_list has what is armed while others fire, and is due already: it comes after these.
  static constexpr unsigned postponed_list = overflow_list + 1;
  static constexpr unsigned no_list = postponed_list + 1;

  static constexpr unsigned short_list = 8;      // so many timers are sorted by insertion
  static constexpr unsigned lists_per_call = 8;  // lists that one expire() empties; more until it has found a timer

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
    // A timer whose deadline was moved beyond the list's end has to wait for the lists between, even if it is due.
    const std::int64_t until = last < firing_until_ ? last : firing_until_;
    // Of a long list nothing is taken yet: all of it moves to lower levels first, whose lists are short and need little
    // sorting.
    constexpr std::int64_t nothing = INT64_MIN;  // no timer is due by then
    const bool splits_only = list >= lists_per_level && is_long(lists_[list]);
    split_list(lists_[list], splits_only ? nothing : until, due);
  }

  // Finds the earliest deadline of a list. Timers whose deadlines were put off move to the list where they belong now.
  void rescan(unsigned index) {
    List<TimerNode>& list = lists_[index];
    std::uint32_t left = index < lists_per_level ? UINT32_MAX : limits::timers_per_scan;
    TimerNode* node = list.front();
    while (node != nullptr) {
      if (left == 0) {
        next_ = ns_of(start_of(index));
        return;
      }
      --left;
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

    // Merges all of them, and one more, into a single run.
    ListNode* merge_all(ListNode* run) const {
      for (unsigned i = 0; count >> i != 0; ++i) {
        if ((count >> i & 1u) != 0) run = merge(merged[i], run);
      }
      return run;
    }
  };

  // Empties a list. What is due by `until` moves to `due`, in order, behind what is there already; the rest moves to
  // its list as seen from base_. Not inlined: inside of expire() it would make that 60 bytes larger on ARM, for want of
  // registers.
  [[gnu::noinline]] void split_list(List<TimerNode>& list, std::int64_t until, List<TimerNode>& due) {
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

  // Returns the node of the current run, or `before_run`, behind which a timer belongs. Null where more than 8 would
  // have to be passed to find out.
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

  // Merges two runs that are not empty.
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
  std::int64_t firing_until_ = 0;            // `now` of the last expire(): what fires is due at that time
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

  // Reads CLOCK_MONOTONIC (mostly by the vDSO, without a system call). Any thread may call it.
  static time_point now();
};

using Instant = Clock::time_point;

// As a timeout: none. As a deadline: the end of time. (In parentheses, as below: old headers have macros of that name.)
inline constexpr Duration unlimited = (Duration::max)();
inline constexpr Instant never = (Instant::max)();
#ifndef forever  // Qt's macro
[[deprecated("renamed: unlimited")]] inline constexpr Duration forever = unlimited;
#endif

namespace detail {

inline constexpr Instant distant_past = (Instant::min)();

// How many nanoseconds one tick of a duration has; INT64_MAX stands for that and for all above. 0: no whole number.
template <class Period> constexpr std::int64_t nanoseconds_per_tick() {
  constexpr std::int64_t second = 1'000'000'000;
  constexpr std::int64_t numerator = Period::type::num;
  constexpr std::int64_t denominator = Period::type::den;
  if (second % denominator != 0) return 0;
  constexpr std::int64_t factor = denominator <= second ? second / denominator : 1;
  return numerator > INT64_MAX / factor ? INT64_MAX : numerator * factor;
}

// Whether it is a std::chrono::duration that counts whole nanoseconds by an integer.
template <class T> struct CountsNanoseconds : std::false_type {};
template <class Rep, class Period>
struct CountsNanoseconds<std::chrono::duration<Rep, Period>>
    : std::bool_constant<std::is_integral<Rep>::value && nanoseconds_per_tick<Period>() != 0> {};

}  // namespace detail

// A duration as an argument. Every std::chrono::duration that counts whole nanoseconds by an integer converts to it,
// and saturates: what is longer than Duration can hold is `unlimited`, also std::chrono::hours::max(). The conversion
// of std::chrono would overflow before a function with a parameter of type Duration sees it. What that refuses at
// compile time is refused here, too: floating-point numbers, and parts of a nanosecond (use duration_cast).
// Size: 8 bytes. Nanoseconds are passed on as they are; other units cost two comparisons and a multiplication.
class AnyDuration {
 public:
  constexpr AnyDuration() = default;  // zero
  constexpr AnyDuration(Duration duration) : duration_(duration) {}
  template <class Rep, class Period,
            class = std::enable_if_t<detail::CountsNanoseconds<std::chrono::duration<Rep, Period>>::value>>
  constexpr AnyDuration(std::chrono::duration<Rep, Period> duration)
      : duration_(saturated<Period>(Wide<Rep>{duration.count()})) {}
  // What else converts to a Duration, as types of the user's own, converts by its own rules.
  template <class T,
            class = std::enable_if_t<!detail::CountsNanoseconds<T>::value && !std::is_same<T, AnyDuration>::value>,
            class = std::enable_if_t<std::is_convertible<const T&, Duration>::value>>
  constexpr AnyDuration(const T& duration) : duration_(duration) {}

  constexpr operator Duration() const { return duration_; }
 private:
  // The count, wide enough for the limits. (There may be integers of 128 bits.)
  template <class Rep>
  using Wide = std::conditional_t<(sizeof(Rep) > sizeof(std::int64_t)), Rep,
                                  std::conditional_t<std::is_signed<Rep>::value, std::int64_t, std::uint64_t>>;

  // Compared with limits that the compiler computes: clang for 32-bit ARM has no multiplication of 64 bits that
  // reports overflow without a library.
  template <class Period, class Count> static constexpr Duration saturated(Count count) {
    constexpr std::int64_t tick = detail::nanoseconds_per_tick<Period>();
    constexpr std::int64_t limit = tick != INT64_MAX ? INT64_MAX / tick : 0;
    if (count > static_cast<Count>(limit)) return unlimited;
    if constexpr (std::is_signed<Count>::value) {
      if (count < static_cast<Count>(-limit)) return (Duration::min)();
    }
    return Duration(static_cast<std::int64_t>(count) * tick);
  }

  Duration duration_{};
};

// Sums saturate: a deadline beyond the end of time is the end of time.
constexpr Instant saturating_add(Instant t, AnyDuration duration) {
  const Duration d = duration;
  std::int64_t sum = 0;
  const bool overflows = __builtin_add_overflow(t.time_since_epoch().count(), d.count(), &sum);
  if (!overflows) return Instant(Duration(sum));
  return d.count() > 0 ? never : detail::distant_past;
}

}  // namespace MOTE_NAMESPACE
}  // namespace mote

#endif  // MOTE_SYSTEM_CLOCK_HPP

// =====================================================================================================================
// include/mote/system/linux_system.hpp
// =====================================================================================================================
// LinuxSystem: all system calls that the library makes itself (if_nametoindex() of io/endpoint.hpp makes its own).
#ifndef MOTE_SYSTEM_LINUX_SYSTEM_HPP
#define MOTE_SYSTEM_LINUX_SYSTEM_HPP

namespace mote {
inline namespace MOTE_NAMESPACE {

// The one place where the library makes system calls: they behave as in their manual pages, and fail with -1 and errno.
// It has no state. What is fixed for all callers (O_CLOEXEC, SOCK_NONBLOCK) is added here.
struct LinuxSystem {
  static int error() { return errno; }

  // Cannot fail: the clock exists since Linux 2.6, and the pointer is ours.
  static std::int64_t monotonic_ns() {
    timespec t{};
    ::clock_gettime(CLOCK_MONOTONIC, &t);
    return static_cast<std::int64_t>(t.tv_sec) * 1'000'000'000 + t.tv_nsec;
  }
  static pid_t process() { return ::getpid(); }
  // Whether the kernel's version is this one or a later one. False where it is not known.
  static bool is_at_least(unsigned major, unsigned minor) {
    utsname kernel;
    if (::uname(&kernel) != 0) return false;
    char* rest = nullptr;
    const unsigned long its_major = ::strtoul(kernel.release, &rest, 10);
    const unsigned long its_minor = *rest == '.' ? ::strtoul(rest + 1, nullptr, 10) : 0;
    return its_major > major || (its_major == major && its_minor >= minor);
  }

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
  // A poll(2) of one descriptor that does not wait.
  static int look(pollfd& entry) { return ::poll(&entry, 1, 0); }
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
  static int sigprocmask(int how, const sigset_t* change, sigset_t* old) { return ::sigprocmask(how, change, old); }
  // Sends a signal to the calling thread, as it has come: with the same information, before Linux 2.6.31 without.
  // Async-signal-safe, also in a child of vfork().
  static int send_again(int signal, siginfo_t* information) {
    const long thread = ::syscall(SYS_gettid);
    long sent = ::syscall(SYS_rt_tgsigqueueinfo, process(), thread, signal, information);
    if (sent < 0) sent = ::syscall(SYS_tgkill, process(), thread, signal);
    return static_cast<int>(sent);
  }

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
// The system seam: System (as a rule LinuxSystem, linux_system.hpp, which lists the calls), through which the library
// makes its system calls, and which a program may replace for its tests. And helpers for what system calls answer.
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

// Always inlined: monotonic_ns() returns its value in registers; this, as a function of its own, would not on ARM.
[[gnu::always_inline]] inline Instant Clock::now() { return Instant(Duration(System::monotonic_ns())); }

namespace detail {

// Why the last system call failed.
inline Error last_error() { return Error(System::error()); }

// The Result of a system call whose answer is -1, or else of no interest.
inline Result<void> result_of(int answer) { return answer >= 0 ? Result<void>() : last_error(); }

template <class... Codes> constexpr bool is_one_of(int error, Codes... codes) { return ((error == codes) || ...); }

// Repeats a system call while it fails with EINTR.
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

// A descriptor that its destructor closes. All zero bits mean none.
// Size on a 32-bit board: 4 bytes.
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

  // Returns the descriptor, which the caller owns from then on. -1: there was none.
  int release() {
    const int stored = std::exchange(stored_, 0);
    return stored - 1;
  }

  // Whatever the kernel answers (EINTR, EIO, ENOSPC), on Linux the descriptor is closed: see close(2). It is never
  // tried twice, because by then another thread may have opened a descriptor with that number.
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

// <term.h> of curses defines `hangup` as a macro. The header compiles behind it; a program that includes both and needs
// Readiness::hangup writes `#undef hangup` behind them.
#pragma push_macro("hangup")
#undef hangup
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

inline constexpr Readiness hung_up = Readiness::hangup;  // for the library: no other line of it has the public name
#pragma pop_macro("hangup")

template <class E>
using IfFlags = std::enable_if_t<std::is_same<E, Interest>::value || std::is_same<E, Readiness>::value, E>;

template <class E> constexpr unsigned bits(E e) { return static_cast<unsigned>(e); }

inline constexpr unsigned all_bits = 0x203f;  // of Interest and Readiness; 0x20 is the kernel's POLLNVAL

// An extra Interest bit: edge-triggered (EPOLLET), with EPOLLPRI. The descriptor table of the reactor says who gets it.
inline constexpr Interest edge_triggered{8};

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

namespace detail {

// What may be reported where this interest is asked for, beside error and hang-up.
constexpr unsigned asked_for(Interest interest) {
  constexpr unsigned asked = bits(Interest::read | Interest::priority | Interest::write);
  return (bits(interest) & asked) | (bits(interest) & bits(Interest::read)) << 13;  // read_closed with read
}
static_assert(asked_for(Interest::read) == bits(Readiness::readable | Readiness::read_closed));

}  // namespace detail

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

// Milliseconds of a timeout above 0: rounded up, so that no wait ends early, and clamped, so that nothing overflows.
constexpr int whole_milliseconds(Duration timeout) {
  const std::int64_t ms = (timeout.count() - 1) / 1'000'000 + 1;
  return ms > INT32_MAX ? INT32_MAX : static_cast<int>(ms);
}

// Milliseconds of any timeout, as poll(2) and epoll_wait(2) take them: -1 for no limit.
constexpr int to_milliseconds(Duration timeout) {
  if (timeout == unlimited) return -1;
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
// epoll_event, so that the kernel's answer is used where it was received.
// Size on a 32-bit board: 12 to 16 bytes.
struct Ready {
  Readiness readiness = Readiness::none;
  Token token = 0;
};

// Which of these descriptors are ready? Usable alone, level-triggered, for one thread.
//
// A selector does not own the descriptors: remove() one before it is closed, or forget() it right after. Before open()
// a selector is all zero bits and every call returns EBADF. open() belongs to the kind of selector: EpollSelector,
// PollSelector, or a class of yours that derives from SelectorBase.
//
// Calls go through a table of functions that open() sets, not through a vtable, so that a selector in static storage
// lies in .bss and links nothing of the C++ runtime.
// Size on a 32-bit board: 4 bytes and what its kind adds.
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
    bool edges;  // whether it supports detail::edge_triggered
  };

  // From now on fd is watched; its events carry `token`.
  // Errors:
  //   EBADF    fd is not open, or the selector is not.
  //   EEXIST   it is in already: modify() it.
  //   ENOBUFS  N are in already: remove one first.
  //   EPERM    (epoll) a regular file, a directory or the like. It is always ready: there is nothing to wait for. poll
  //            takes it and reports it as ready.
  //   ELOOP    (epoll) fd is an epoll set, and the sets would be nested in a circle or too deep.
  //   EINVAL   (epoll) fd is the selector's own descriptor.
  //   ENOSPC   (epoll) /proc/sys/fs/epoll/max_user_watches is reached.
  //   ENOMEM   the kernel has no memory: try again later.
  Result<void> add(int fd, Interest interest, std::uint64_t token) {
    return operations_ != nullptr ? operations_->add(*this, fd, interest, token)
                                  : Error(detail::Reason::selector_not_open);
  }

  // Replaces both the interest and the token.
  // Errors:
  //   ENOENT   fd is not in, or (epoll) has been closed since: add() it.
  //   EBADF    fd is not open, or the selector is not.
  //   ENOMEM   the kernel has no memory: try again later.
  Result<void> modify(int fd, Interest interest, std::uint64_t token) {
    return operations_ != nullptr ? operations_->modify(*this, fd, interest, token)
                                  : Error(detail::Reason::selector_not_open);
  }

  // No wait that begins after it reports fd.
  // Errors:
  //   ENOENT   fd is not in, or (epoll) has been closed since: forget() it.
  //   EBADF    (epoll) fd is not open: forget() it. Or the selector is not open.
  Result<void> remove(int fd) {
    return operations_ != nullptr ? operations_->remove(*this, fd) : Error(detail::Reason::selector_not_open);
  }

  // For a descriptor that has been closed, so that the kernel has dropped it: corrects the selector's own account of
  // it, without a system call.
  void forget(int fd) {
    if (operations_ != nullptr) operations_->forget(*this, fd);
  }

  // Waits until something is ready or the time is up (zero: only looks; unlimited: no limit), writes at most `capacity`
  // entries and returns their number. 0 means that the time is up, and is never returned before. A signal does not end
  // the wait.
  // Errors:
  //   EINVAL   `capacity` is 0; or (poll) there are more descriptors than RLIMIT_NOFILE allows.
  //   EBADF    the selector is not open.
  //   ENOMEM   (poll) the kernel has no memory: try again later.
  Result<std::size_t> wait(Ready* ready, std::size_t capacity, AnyDuration limit) {
    Duration timeout = limit;
    const bool timed = timeout > Duration::zero() && timeout != unlimited;
    const Instant deadline = timed ? saturating_add(Clock::now(), timeout) : never;
    for (;;) {
      const Result<std::size_t> count = wait_once(ready, capacity, timeout);
      if (count && (*count != 0 || timeout <= Duration::zero())) return count;
      if (!count && count.error() != EINTR) return count;
      if (timed) timeout = deadline - Clock::now();
      if (timed && count && timeout <= Duration::zero()) return count;  // after EINTR, it looks once more
    }
  }
  template <std::size_t M> Result<std::size_t> wait(Ready (&to)[M], AnyDuration timeout) {
    return wait(to, M, timeout);
  }

  // One system call. As wait(), but it may return 0 before the time is up, where that lies beyond the kernel's range.
  // Errors: those of wait(), and
  //   EINTR    a signal came first: wait again.
  Result<std::size_t> wait_once(Ready* ready, std::size_t capacity, AnyDuration timeout) {
    return operations_ != nullptr ? operations_->wait(*this, ready, capacity, timeout)
                                  : Error(detail::Reason::selector_not_open);
  }

  // Starts anew with nothing added: in a forked child, or to be rid of what a closed descriptor left in the kernel.
  // After an error every call returns EBADF until a later rebuild() succeeds.
  // Errors:
  //   EMFILE           the process has too many descriptors open: close some and try again.
  //   ENFILE, ENOMEM   the system has, or the kernel has no memory: try again later.
  //   EBADF            the selector was never opened.
  Result<void> rebuild() {
    return operations_ != nullptr ? operations_->rebuild(*this) : Error(detail::Reason::selector_not_open);
  }

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
// open() calls attach(), its close() detach(). A selector that can be edge-triggered (detail::edge_triggered) declares
// `static constexpr bool reports_edges = true;`.
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

// N descriptors at most; its size does not depend on N. All operations are O(1), a wait is O(ready descriptors).
// Size on a 32-bit board: 16 bytes.
template <std::size_t N> class EpollSelector : public SelectorBase<EpollSelector<N>> {
 public:
  static constexpr const char* name = "epoll";
  static constexpr bool reports_edges = true;

  // Does nothing to one that is open. close() and the destructor close its descriptor.
  // Errors:
  //   EMFILE           the process has too many descriptors open: close some and try again.
  //   ENFILE, ENOMEM   the system has, or the kernel has no memory: try again later.
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
      return Error(detail::Reason::selector_full);
    }
    ++count_;
    return {};
  }
  Result<void> on_modify(int fd, Interest interest, std::uint64_t token) {
    return detail::result_of(control(EPOLL_CTL_MOD, fd, interest, token));
  }
  Result<void> on_remove(int fd) {
    if (control(EPOLL_CTL_DEL, fd, Interest::none, 0) != 0) return detail::last_error();
    on_forget(fd);
    return {};
  }
  void on_forget(int) {
    if (count_ != 0) --count_;
  }

  Result<std::size_t> on_wait(Ready* ready, std::size_t capacity, Duration timeout) {
    const int most = capacity > most_events ? most_events : static_cast<int>(capacity);
    auto* const events = reinterpret_cast<epoll_event*>(ready);  // written by the kernel alone
    const bool timed = timeout != unlimited && timeout > Duration::zero();
    const int n = timed ? wait_timed(events, most, timeout)
                        : System::epoll_wait(set_.get(), events, most, timeout == unlimited ? -1 : 0);
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
  // Of one wait: more the kernel refuses with EINVAL. It is beyond 134 million, and no process has so many descriptors.
  static constexpr int most_events = static_cast<int>(INT_MAX / sizeof(epoll_event));
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
    if (any(interest & detail::edge_triggered)) event.events |= unsigned{EPOLLET} | unsigned{EPOLLPRI};
    event.data.u64 = token;
    return System::epoll_ctl(set_.get(), what, fd, &event);
  }

  // Waits with a timeout in nanoseconds where the kernel knows that call, which is found out once: before Linux 5.11 it
  // answers ENOSYS, and in sandboxes that do not know it EPERM.
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
// DefaultSelector: the selector for programs that have no reason to choose another one.
#ifndef MOTE_SELECTOR_DEFAULT_SELECTOR_HPP
#define MOTE_SELECTOR_DEFAULT_SELECTOR_HPP

namespace mote {
inline namespace MOTE_NAMESPACE {

template <std::size_t N> using DefaultSelector = EpollSelector<N>;

}  // namespace MOTE_NAMESPACE
}  // namespace mote

#endif  // MOTE_SELECTOR_DEFAULT_SELECTOR_HPP

// =====================================================================================================================
// include/mote/selector/look.hpp
// =====================================================================================================================
// A look at one descriptor, without waiting.
#ifndef MOTE_SELECTOR_LOOK_HPP
#define MOTE_SELECTOR_LOOK_HPP

namespace mote {
inline namespace MOTE_NAMESPACE {
namespace detail {

// POLLNVAL, in what look() returns: there is no open descriptor of this number.
inline constexpr Readiness not_open{POLLNVAL};

// What is ready of a descriptor at this moment, of what is asked for; hang-up, error and not_open in any case. One
// system call, poll(2); where that fails (the kernel is out of memory), nothing is ready.
inline Readiness look(int fd, Interest interest) {
  constexpr unsigned asked = bits(Interest::read | Interest::priority | Interest::write);
  pollfd entry{fd, static_cast<short>(bits(interest) & asked), 0};
#ifdef POLLRDHUP
  if (any(interest & Interest::read)) entry.events |= POLLRDHUP;
#endif
  if (System::look(entry) <= 0) return Readiness::none;
  unsigned seen = static_cast<unsigned>(entry.revents) & all_bits;
#ifdef POLLRDHUP
  constexpr unsigned closed = bits(Readiness::read_closed);
  seen &= ~closed;  // another flag's bit where POLLRDHUP has another value
  if ((entry.revents & POLLRDHUP) != 0) seen |= closed;
#endif
  return static_cast<Readiness>(seen);
}

}  // namespace detail
}  // namespace MOTE_NAMESPACE
}  // namespace mote

#endif  // MOTE_SELECTOR_LOOK_HPP

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
    if (find(fd) != not_found) return Error(detail::Reason::descriptor_already_added);
    if (System::fcntl(fd, F_GETFD, 0) < 0) return detail::last_error();  // EBADF: poll itself would report it too late
    if (count_ >= N) return Error(detail::Reason::selector_full);
    std::uint32_t cell = home(fd);
    while (index_[cell] != 0) cell = (cell + 1) & mask;
    set(count_, fd, interest, token);
    ++count_;
    index_[cell] = count_;
    return {};
  }
  Result<void> on_modify(int fd, Interest interest, std::uint64_t token) {
    const std::uint32_t cell = find(fd);
    if (cell == not_found) return Error(detail::Reason::descriptor_not_added);
    set(index_[cell] - 1, fd, interest, token);
    return {};
  }
  Result<void> on_remove(int fd) {
    const std::uint32_t cell = find(fd);
    if (cell == not_found) return Error(detail::Reason::descriptor_not_added);
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
  static constexpr unsigned read_closed_event = 0;  // plain POSIX: read() returns 0
#endif

  // Cells of the hash table: a power of two, and so many that at most half of them are in use.
  static constexpr std::uint32_t cells() {
    std::uint32_t n = 2;
    while (n < 2 * N) n *= 2;
    return n;
  }
  static constexpr std::uint32_t mask = cells() - 1;
  static constexpr std::uint32_t not_found = UINT32_MAX;

  // Reads the kernel's answer: `active` entries have events, and there is room for `capacity`.
  //
  // Where all fit, an active entry is moved forward when 64 + (entries found so far) idle ones or more are before it: a
  // descriptor that goes on being active is then found without a look at all the others. Where more are active than
  // fit, nothing moves, and the next wait's answer begins with the others. Inlined, because it has one caller: that
  // saves a call with each wait.
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
  static constexpr std::uint32_t idle_in_front = 64;  // idle entries that an active one may have before it

  static Readiness readiness_of(const pollfd& entry) {
    const auto events = static_cast<unsigned>(entry.revents);
    const unsigned read_closed = (events & read_closed_event) != 0 ? detail::bits(Readiness::read_closed) : 0u;
    // POLLNVAL is reported as an error: the descriptor was closed by somebody else while it was registered, and read()
    // then returns EBADF.
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
// What a reactor counts, and what it reports to an observer.
#ifndef MOTE_TASK_OBSERVATION_HPP
#define MOTE_TASK_OBSERVATION_HPP

namespace mote {
inline namespace MOTE_NAMESPACE {
class Task;

// What has happened in a reactor so far. It may be read at any time; nothing depends on it.
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

// What an observer is called with, at the moment at which it happens.
struct Observation {
  enum Kind : std::uint8_t {
    task_failed,      // and its handle is not held; `error` says why
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
//   waiting   set     yes      set     the task waits in the queue
//   released  set     no       set     the queue has let the task go: its next attempt is told so, and should succeed
//                                      even if what it waited for has been taken back by then
//   orphaned  set     no       null    the queue has been destroyed and must not be touched: the next attempt is
//                                      cancelled
struct QueuePlace : ListNode {
  bool is_released() const { return !linked(); }  // or orphaned; of a place that is not free
  bool is_orphaned() const { return !linked() && task == nullptr; }
  void leave();  // becomes free. If it was the first, the task that is first now is woken to look.
  // For a Handover: the heir has one that stands as this one does, at its position. Without room for one it has none,
  // and its next attempt is answered ENOBUFS.
  static void move_to(QueuePlace& self, TaskHeader& heir);

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
// RunQueue: tasks that are to be stepped. Which queue is stepped when: Scheduler::run_ready_tasks().
#ifndef MOTE_TASK_RUN_QUEUE_HPP
#define MOTE_TASK_RUN_QUEUE_HPP

namespace mote {
inline namespace MOTE_NAMESPACE {
namespace detail {

struct TaskHeader;

// Tasks in the order in which they were woken. Unlike other lists it is closed to a ring by start(), before its first
// use, so that push() and pop(), which are on the way of every message, need not ask whether it is one.
struct RunQueue : List<TaskHeader> {
  void start() { ring(); }
  bool empty() const { return head_.next == &head_; }

  void push(ListNode& node) {
    MOTE_ASSERT(!node.linked() && head_.linked() && "a task was queued by another thread: use a Waker or a Mailbox");
    ListNode* const last = head_.prev;
    node.next = &head_;
    head_.prev = &node;
    last->next = &node;
    node.prev = last;
  }

  // Takes the first one. The queue must not be empty.
  TaskHeader* pop();  // defined in task_header.hpp

  // Moves all of `other`, which must not be empty, into this queue, which must be.
  void move_all_from(RunQueue& other) {
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

// What one step of a task returns: `pending`, done() or failed(error).
struct [[nodiscard]] Step {
  constexpr Step(Pending) : code(-1) {}
  constexpr explicit Step(int ended_with) : code(ended_with) {
    MOTE_ASSERT(code >= 0 && "a Step of a negative number: write mote::failed(mote::Error(EIO)), or mote::done()");
  }
  template <class U, std::enable_if_t<std::is_arithmetic<std::decay_t<U>>::value, bool> = true>
  constexpr Step(U&&) = delete;    // write mote::failed(mote::Error(EIO)), or mote::done()
  constexpr Step(Error) = delete;  // write mote::failed(error)
  constexpr bool is_pending() const { return code < 0; }

  int code;  // less than 0: pending; 0: done; else the Error that the task failed with, as it is stored
};
constexpr Step done() { return Step(0); }
constexpr Step failed(Error error) { return Step(detail::ErrorAccess::stored(error)); }

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

// A place where one task at a time can be noted as waiting: a member of what one task can wait for. An operation notes
// its task with PollContext::attempt(); code that makes available what is waited for calls notify().
//
// Neither side dangles: a task that ends leaves all the waiters that name it, and the owner of a waiter calls clear()
// in its destructor. After a wake-up the waiter still names its task, so that waiting again for the same thing costs
// two stores. Everything is O(1).
// Size on a 32-bit board: 16 bytes.
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
  // Names no task any more, and wakes none. It is linked exactly as long as it names a task.
  void clear() {
    if (!linked()) return;
    unlink();
    task_ = nullptr;
    awaited_ = 0;
  }

  bool is_waiting() const { return awaited_ != 0; }
  // What the task waits for, as bits where there are several things; 0: it does not wait now.
  std::uint32_t awaited() const { return awaited_; }
  bool has_task() const { return task_ != nullptr; }
  const detail::TaskHeader* task() const { return task_; }  // null: it names none

  // For the library: PollContext::attempt() does this for operations.
  void wait(detail::TaskHeader& task, std::uint32_t what = 1) {
    if (task_ != &task) attach(task);
    awaited_ = what;
  }
  void wait_again(std::uint32_t what) { awaited_ = what; }  // of the task that it names already
  bool names(const detail::TaskHeader& task) const { return task_ == &task; }
  bool is_taken_by_another(const detail::TaskHeader& task) const { return awaited_ != 0 && task_ != &task; }
  // Names that task no more. Where it hands a coroutine over, the other task is named instead, as waiting as it was.
  void leave(const detail::TaskHeader& task);
  // For a Handover.
  static void move_to(Waiter& self, detail::TaskHeader& heir) { self.wait(heir, self.awaited_); }
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

// A coroutine goes on in another task, the heir, while the one that has polled it so far lives. This exists during the
// attempt that the former makes to leave: the places where it waits for the coroutine become those of the heir, each
// at its position, so that nothing is lost. Pointers to functions, so that a program without coroutines does not link
// them.
struct Handover {
  TaskHeader& heir;
  void (*move_waiter)(Waiter& waiter, TaskHeader& heir);
  void (*move_place)(QueuePlace& place, TaskHeader& heir);
};

// Called at a task's end, in the place of waking a task that joins it. A pointer to a function, so that a program that
// does not use it does not link its code.
struct EndHook {
  void (*ended)(TaskHeader&) = nullptr;
};

// Keeps a task's slot beyond the task's end, for its outcome: what a TaskHandle is made of.
struct TaskHolder {
  TaskHeader* task = nullptr;
  EndHook* group = nullptr;  // called at the task's end; null: none
  // The task (its serial) whose join() was pending when this let go of the task that it held: its next attempt says so,
  // rather than join what is held by then. One that has ended is not found again: no other task has its serial.
  std::uint32_t interrupted = 0;
};

// A task's control block: the first part of its slot in a pool, outside of the task's own object. All library code
// deals with this; Task is what users see of it, PollContext what operations see. Only the loop's thread uses it.
//
//   free --claim, start--> queued --run queue--> running --pending--> suspended --wake, cancel--> queued
//                                                  `--done, failed--> finished --no holder, or detached--> free
//
// Cancellation costs nothing where there is none: it takes away the task's share of operations. So the next operation
// finds no budget, asks why, and returns ECANCELED.
//
// Its links are those of a run queue, or of its pool's list of free slots.
struct TaskHeader : ListNode {
  enum class State : std::uint8_t { free, live, ending, finished };

  bool is_live() const { return state == State::live; }
  void queue() {
    if (linked()) return;
    run_queue->push(*this);
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
    wake();  // queue() would do, but g++ then makes a loop of cancellations an instruction longer for each task
  }

  // For operations: see PollContext.
  bool consume_budget() { return --budget >= 0; }
  bool proceed(Error& refusal) {
    if (consume_budget()) return true;
    refusal = refuse();
    return false;
  }
  // Without budget only a cancelled task may, because a result wins over a cancellation: one result. It is charged, so
  // the budget is below 0 then, and the operation after it is cancelled.
  bool may_complete() const { return budget > 0 || (budget == 0 && is_cancelling() && !abandoning); }
  // Not [[gnu::cold]]: g++ then saves registers for the call at the beginning of each operation.
  Error refuse() {
    if (abandoning) return Error(ECANCELED);
    if (is_cancelling()) {
      acknowledge_cancellation();
      return Error(ECANCELED);
    }
    wake();
    return suspend("its next turn");
  }
  // What an operation returns that fails at once: that error, charged as all that completes. So a task that goes on
  // whatever the error is does not keep the others from their turn.
  [[gnu::noinline]] Error fail(Error error) {
    if (!may_complete()) return refuse();
    consume_budget();
    return error;
  }

  void raise_shield() {
    if (is_cancelling()) {
      cancel_held = true;
      acknowledge_cancellation();
    }
    MOTE_ASSERT(shields != UINT8_MAX && "a task holds 255 shields: destroy some before you make another");
    ++shields;
  }
  void lower_shield() {
    if (--shields != 0 || !cancel_held) return;
    cancel_held = false;
    cancel();
  }

  // The task's place in that queue, or null. place_in(nullptr) returns a free place.
  QueuePlace* place_in(const WaitQueue* wait_queue) {
    for (QueuePlace& place : places) {
      if (place.queue == wait_queue) return &place;
    }
    return nullptr;
  }
  void leave(QueuePlace& place) {
    if (handing_over) handover->move_place(place, handover->heir);
    else place.leave();
  }
  // Whom what this task was still to be told concerns, once the attempt that asks has been made: nobody (0), or the
  // serial of the task that goes on with it.
  std::uint32_t heir_serial() const { return handing_over ? handover->heir.serial() : 0; }
  // What an operation returns that has noted the task as waiting; `what` says for what, in words.
  Error suspend(const char* what) {
    waits_for = what;
    return suspended;
  }
  // Of a task that lives: a number that no task of this process has had before, until 2^31 have been spawned. Its
  // highest bit is set.
  std::uint32_t serial() const { return static_cast<std::uint32_t>(code); }
  static constexpr std::uint32_t serial_bit = 1u << 31;
  bool may_be_waiting() const { return in_queues || !waiters.empty(); }

  State state = State::free;
  std::uint8_t share = 0;           // operations that each step may complete; 0: a cancellation is pending
  std::uint8_t shields = 0;         // while there are any, cancel() is held back
  bool in_queues = false;           // it has stood in a WaitQueue, so its places have to be looked at
  bool operation_shielded = false;  // the pending operation holds a shield, until it completes
  bool cancel_held = false;         // a cancellation came while shields were up
  bool abandoning = false;          // attempts are made only to make operations leave where they wait
  bool handing_over = false;        // the same, and another task goes on with them: see Handover
  Step (*step)(TaskHeader&) = nullptr;
  RunQueue* run_queue = nullptr;  // of its scheduler, and of its priority
  TaskStore* store = nullptr;     // in whose slot it lies
  TaskHolder* holder = nullptr;
  List<Waiter> waiters;  // that name it
  QueuePlace places[limits::queues_per_task];
  Waiter joiner;  // the task that waits for its end
  // What its last step has noted as waited for, in words; null: nothing. What of it still holds says
  // Task::waits_for(), so that waking a task need not clear it. After its end: its name.
  const char* waits_for = nullptr;
  std::uint32_t line = 0;  // of the source, where it is suspended
  std::uint32_t generation = 0;
  std::int32_t budget = 0;  // operations left in this step
  int code = 0;             // after its end: 0, or the Error that it failed with, as it is stored. Before: see serial()
  union {
    Instant since{};     // when it was suspended
    Handover* handover;  // while handing_over
  };
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
  MOTE_ASSERT(task_ != nullptr && "wake() of a Waiter in which no task waits: call notify(), which looks first");
  awaited_ = 0;
  task_->queue();
}
inline void Waiter::leave(const detail::TaskHeader& task) {
  if (task_ != &task) return;
  if (task.handing_over) task.handover->move_waiter(*this, task.handover->heir);
  else clear();
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
// it with PollContext::attempt(); code that makes something available calls notify().
//
// Only the first task may take what is there. When the first one leaves, for whatever reason (served, cancelled, timed
// out, destroyed), the next is woken to look: so what is there is never left lying for a task that does not wait any
// more. A wake-up is only a hint to look. No task overtakes another. A task can wait in limits::queues_per_task queues
// at a time. The queue may be destroyed before the tasks that wait in it: their attempts return ECANCELED, and do not
// touch it again. O(1) but where stated.
// Size on a 32-bit board: 8 bytes.
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
    for (detail::QueuePlace* place = places_.front(); count != 0 && place != nullptr; --count) {
      place->task->wake();
      place = places_.after(*place);
    }
  }
  [[gnu::noinline]] void notify_all() { notify(SIZE_MAX); }
  // Lets all of them go: `released` is true in their next attempts, which should then succeed, whatever is there.
  // O(waiting tasks).
  void release_all() {
    while (detail::QueuePlace* const place = places_.pop_front()) place->task->wake();
  }
  bool empty() { return places_.empty(); }

  // The rest is for the library: PollContext::attempt() does it for operations.

  // Whether a task with that place, or a newcomer (null), may take what is there.
  bool is_next(const detail::QueuePlace* place) { return places_.empty() || places_.front() == place; }
  // Joins the queue, or stays in it.
  // Errors:
  //   ENOBUFS   the task waits in limits::queues_per_task queues already.
  Error wait(detail::TaskHeader& task, const char* what) {
    detail::QueuePlace* place = task.place_in(this);
    if (place == nullptr) place = task.place_in(nullptr);
    if (place == nullptr) return Error(detail::Reason::task_in_too_many_queues);
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
  // After an attempt that was refused: the task joins the queue all the same; cancelled or abandoning, it leaves.
  // Seldom called, and not inlined, so that all queues share it.
  [[gnu::noinline]] Error refuse(detail::TaskHeader& task, detail::QueuePlace* place, Error refusal) {
    if (refusal != ECANCELED) return wait(task, "its next turn");
    if (place != nullptr) task.leave(*place);
    return refusal;
  }
  // Another one takes over the place, at its position.
  void replace(detail::QueuePlace& place, detail::QueuePlace& by) {
    places_.insert_after(place, by);
    place.unlink();
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
inline void detail::QueuePlace::move_to(QueuePlace& self, TaskHeader& heir) {
  const bool has_one = heir.place_in(self.queue) != nullptr;
  QueuePlace* const place = has_one ? nullptr : heir.place_in(nullptr);
  if (place == nullptr) return self.leave();
  place->queue = std::exchange(self.queue, nullptr);
  place->task = self.is_orphaned() ? nullptr : &heir;
  heir.in_queues = true;
  if (self.linked()) place->queue->replace(self, *place);
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
  std::uint32_t capacity;
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
  void set_source_file(const char* file) { source_file_ = file; }
  const char* source_file() const { return source_file_; }

  // Called for the first task, or the first one of this scheduler.
  void bind(Scheduler& scheduler, void* storage, const TaskType& type) {
    scheduler_ = &scheduler;
    slots_ = storage;
    stride_ = type.slot_size;
    type_ = &type;
  }
  void unbind() { scheduler_ = nullptr; }

  // Takes a free slot. Null: all are taken.
  TaskHeader* claim(const TaskType& type) {
    TaskHeader* task = free_;
    if (task != nullptr) {
      free_ = static_cast<TaskHeader*>(std::exchange(task->next, nullptr));
    } else {
      if (fresh_ == type.capacity) return nullptr;
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
  TaskHeader* free_ = nullptr;         // linked by `next` alone
  WaitQueue vacancy_;                  // tasks that wait for a free slot
  const char* source_file_ = nullptr;  // of the tasks' step(); null: not known
  std::uint32_t stride_ = 0;           // from one slot to the next, in bytes
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
// Task: a task as its users see it.
#ifndef MOTE_TASK_TASK_HPP
#define MOTE_TASK_TASK_HPP

namespace mote {
inline namespace MOTE_NAMESPACE {
namespace detail {
struct TaskAccess;
}

// A task: a function that is stepped again and again, and waits between its steps without a stack of its own.
// TaskPool::spawn() makes one. It lies in its pool's slot, beside the task's own object, and belongs to the loop's
// thread: every call is for that thread, and O(1). What operations need of a task is PollContext.
// Size on a 32-bit board: 136 bytes.
class Task : detail::TaskHeader {
 public:
  // The reactor that runs it. (The reactor's layer is above this one, and defines it: see reactor/reactor.hpp.)
  // If you include single rooms, include that one to call it.
  auto& reactor() const;

  // Has it stepped in the next turn. To wake it twice is to wake it once; a task that has ended is not touched.
  void wake() { TaskHeader::wake(); }
  // Makes the operation that is pending, or else the next one, return ECANCELED: once, and in the task's next step, not
  // in here. What had completed by then keeps its result, and the operation after it returns ECANCELED. While shields
  // are up, the cancellation is held back.
  void cancel() { TaskHeader::cancel(); }
  // Whether a cancellation is pending or held back: no operation has returned ECANCELED for it yet.
  bool cancel_requested() const { return is_cancelling() || cancel_held; }

  // Which run queue it is in: from 0, the lowest and the one it starts in, to Config::priorities - 1.
  // Errors:
  //   EINVAL   there is no such priority.
  Result<void> set_priority(std::uint32_t level);

  bool is_alive() const { return is_live(); }
  // T::name if the task's type T has a `static constexpr const char* name`. Else, or where that is null, the type's
  // name with its namespaces and arguments, "app::Client" or "Filter<3>"; left out are anonymous namespaces, and
  // functions that it is local to. Of a coroutine the name of the function that awaits. O(1).
  const char* name() const {
    if (!is_live()) return TaskHeader::waits_for;  // where its name was noted when it ended
    return store->type().name(const_cast<Task&>(*this));
  }
  // The source line at which it is suspended; 0 before the first.
  std::uint32_t line() const { return TaskHeader::line; }
  // The source file of its step(), as it was given to the compiler. Null before the first step of such a task, and of
  // coroutines and plain classes: only MOTE_BEGIN notes it.
  const char* file() const;  // defined in scheduler.hpp
  // What it waits for, in words; null while it waits for nothing: it is stepped, is queued for its next step (as before
  // its first one, and after wake()), or has ended. Of several things, as in first_of(), the one that is named first.
  const char* waits_for() const;  // defined in scheduler.hpp
  // Since when it has been suspended, as far as the reactor looked at the clock then.
  Instant since() const { return TaskHeader::since; }
  // All of that in one line, for a log: "task Echo at echo.cpp:31 waits for data". O(length).
  Text describe() const;  // defined in scheduler.hpp
 protected:
  constexpr Task() = default;
 private:
  friend class PollContext;
  friend struct detail::TaskAccess;
};

namespace detail {
// Converts a task to its control block, and back: for the library.
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
// PollContext: the task that awaits, as writers of operations see it.
#ifndef MOTE_TASK_POLL_CONTEXT_HPP
#define MOTE_TASK_POLL_CONTEXT_HPP

namespace mote {
inline namespace MOTE_NAMESPACE {

// The task that awaits an operation, as the operation sees it: to be used within one attempt, and not kept. For your
// own operations see operation() and docs/operations.md. One that waits in one place needs none of this:
//
//   auto next_key() {
//     return mote::operation<int>(waiter_, "a key", [this] { return take_key(); });  // EAGAIN from take_key(): wait
//   }
//
// A task completes limits::operations_per_step operations in a step; then it is refused until its next turn, so that it
// does not keep the others from theirs. A cancellation takes the budget away: the next operation is refused, and
// returns ECANCELED. operation() sees to that. A type of your own with a poll(Task&) has to do it itself: proceed()
// before the work; then the work; if it cannot be done now, wait().
class PollContext {
 public:
  explicit PollContext(Task& task) : header_(&static_cast<detail::TaskHeader&>(task)) {}

  Task& task() const { return static_cast<Task&>(*header_); }
  void wake() const { header_->wake(); }

  // One attempt at something for which one task waits at a time. `get_result()` returns a Result; EAGAIN means that it
  // is not there yet, and then the task is noted in `waiter`. `what` says in words what is waited for.
  // Errors, besides those of get_result():
  //   EBUSY      another task waits there.
  //   ECANCELED  the task was cancelled. It does not wait any more.
  template <class GetResult, class R = std::decay_t<std::invoke_result_t<GetResult&>>>
  [[gnu::always_inline]] R attempt(Waiter& waiter, const char* what, GetResult&& get_result) const {
    return make_attempt<R>(*header_, waiter, what, get_result);
  }
  // One attempt at something for which many tasks wait, in order of arrival. `get_result(released)` is called when it
  // is this task's turn; `released` says that WaitQueue::release_all() has let it go.
  // Errors, besides those of get_result():
  //   ENOBUFS    the task waits in limits::queues_per_task queues already.
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
  bool may_complete(Error& refusal) const {
    if (header_->may_complete()) return true;
    refusal = header_->refuse();
    return false;
  }
  // Takes one operation from the budget. False: there was none left.
  bool consume_budget() const { return header_->consume_budget(); }
  std::int32_t budget() const { return header_->budget; }
  // Makes room for one attempt, for parts of an operation that is made of several: those before it may have used up the
  // budget. Only where there was some before the first part: else the whole would always complete, and starve the other
  // tasks. Always inlined: g++ would call it once for each part.
  [[gnu::always_inline]] void ensure_attempt() const {
    if (header_->budget > 0 || is_cancelling() || is_abandoning()) return;
    header_->budget = 1;
  }
  // What an operation returns that fails before it has asked for budget: the error, which is charged; or a refusal.
  Error fail(Error error) const { return header_->fail(error); }
  // The refusal that proceed() stores where there is no budget: ECANCELED if a cancellation is pending, which then
  // counts as answered; else the task is queued again.
  Error refuse() const { return header_->refuse(); }
  // Notes the task as waiting and returns what the operation has to return; `what` says in words for what, by a string
  // that must outlive the wait.
  // Errors:
  //   EBUSY    (Waiter) another task waits there.
  //   ENOBUFS  (WaitQueue) the task waits in limits::queues_per_task queues already.
  Error wait(Waiter& waiter, const char* what) const {
    if (waiter.is_taken_by_another(*header_)) return Error(detail::Reason::awaited_by_another_task);
    waiter.wait(*header_);
    return suspend(what);
  }
  Error wait(WaitQueue& queue, const char* what) const { return queue.wait(*header_, what); }
  // Ends the task's wait there: where the operation was refused with ECANCELED, or is being abandoned. The next task of
  // a queue is woken to look. Where another task goes on with the coroutine that awaits, the wait becomes that task's.
  void leave(Waiter& waiter) const { waiter.leave(*header_); }
  void leave(WaitQueue& queue) const {
    if (detail::QueuePlace* const place = header_->place_in(&queue)) header_->leave(*place);
  }
  // What an operation returns that has noted the task as waiting elsewhere; `what` is a string that must outlive the
  // wait.
  Error suspend(const char* what) const { return header_->suspend(what); }
  // What the last attempt of this step that was pending waits for, in words.
  const char* waits_for() const { return header_->waits_for; }

  // Makes a pending operation leave the places where the task waits for it, and nothing else: it cannot complete, and
  // what else the task awaits stays pending. For operations that are made of others.
  template <class Op> void abandon(Op& operation) const {
    const std::int32_t budget = header_->budget;
    const bool outer = std::exchange(header_->abandoning, true);
    const auto restore = [this, budget, outer] {
      header_->abandoning = outer;
      // The operation may have cancelled its own task.
      header_->budget = is_cancelling() && budget > 0 ? 0 : budget;
    };
    detail::OnException restore_too(restore);
    header_->budget = 0;
    static_cast<void>(operation.poll(task()));
    restore_too.dismiss();
    restore();
  }
  // Whether this attempt is made only to leave: it must return ECANCELED or pending, and complete nothing.
  bool is_abandoning() const { return header_->abandoning; }
  // Whether, moreover, the coroutine that awaits goes on in another task, whose attempt comes next. So the operation is
  // not given up: it keeps what it has got so far.
  bool is_handing_over() const { return header_->handing_over; }

  // Whether a cancellation is pending: the next operation that is refused returns ECANCELED.
  bool is_cancelling() const { return header_->is_cancelling(); }
  // Makes a cancellation pending, whatever the shields, and wakes nobody.
  void request_cancellation() const { header_->request_cancellation(); }
  // The pending cancellation counts as answered, and the task has a full budget again.
  void acknowledge_cancellation() const { header_->acknowledge_cancellation(); }
  // As Task::cancel(): wakes the task, and shields hold it back.
  void cancel() const { header_->cancel(); }
  // Whether a shield has held a cancellation back. If so, the caller takes it over: it is not held any more.
  bool take_held_cancellation() const { return std::exchange(header_->cancel_held, false); }
  // Holds cancellations back until the operation that is pending completes, or is abandoned.
  void shield_operation(bool on) const {
    const bool was_on = std::exchange(header_->operation_shielded, on);
    if (was_on == on) return;
    if (on) header_->raise_shield();
    else header_->lower_shield();
  }
  // Whether such a shield is up: for a chain of coroutines, which keeps one of its own.
  bool& operation_shielded() const { return header_->operation_shielded; }

  // For the library.
  detail::TaskHeader& header() const { return *header_; }
  detail::TaskHeader& heir() const { return header_->handover->heir; }  // while it hands over
  // abandon(), for another task to go on with the operation.
  template <class Op> void hand_over(Op& operation, detail::Handover& handover) const {
    const Instant since = header_->since;
    header_->handover = &handover;
    header_->handing_over = true;
    const auto restore = [this, since] {
      header_->handing_over = false;
      header_->since = since;
    };
    detail::OnException restore_too(restore);
    abandon(operation);
    restore_too.dismiss();
    restore();
  }
 private:
  // attempt(), as functions of the control block: called out of line, a PollContext would have to lie in memory.
  template <class R, class GetResult>
  static R make_attempt(detail::TaskHeader& task, Waiter& waiter, const char* what, GetResult& get_result) {
    if (!task.may_complete()) return refuse(task, waiter);
    R result = get_result();
    if (result || result.error() != EAGAIN) {
      if (waiter.names(task)) waiter.wait_again(0);  // something else may have woken the task
      task.consume_budget();
      return result;
    }
    if (!task.consume_budget()) return refuse(task, waiter);  // cancelled, and no result was there to win
    if (waiter.is_taken_by_another(task)) return Error(detail::Reason::awaited_by_another_task);
    waiter.wait(task);
    return task.suspend(what);
  }
  template <class R, class GetResult>
  static R make_attempt(detail::TaskHeader& task, WaitQueue& queue, const char* what, GetResult& get_result) {
    detail::QueuePlace* const place = task.place_in(&queue);
    const bool released = place != nullptr && place->is_released();
    if (released && place->is_orphaned()) {
      task.leave(*place);
      return Error(ECANCELED);
    }
    if (!task.may_complete()) {
      const Error refusal = task.refuse();
      // The place is the only record of the release: keep it for the next attempt.
      if (released && refusal != ECANCELED) return refusal;
      return queue.refuse(task, place, refusal);
    }
    if (released || queue.is_next(place)) {
      R result = get_result(released);
      if (result || result.error() != EAGAIN) {
        if (place != nullptr) place->leave();
        task.consume_budget();
        return result;
      }
    }
    if (!task.consume_budget()) return queue.refuse(task, place, task.refuse());
    return queue.wait(task, what);
  }
  // Of an attempt that may not be made. Not inlined, so that make_attempt() is small enough to be inlined.
  [[gnu::noinline]] static Error refuse(detail::TaskHeader& task, Waiter& waiter) {
    const Error refusal = task.refuse();
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

// What is awaited: what the library's functions with return type `auto` return. poll() makes one attempt, which either
// returns the Result<T>, or notes the task as waiting and returns pending; then the next attempt is made in the task's
// next step. So a wake-up for nothing is harmless. MOTE_AWAIT makes the operation anew for each attempt, so it must
// keep no state from one attempt to the next: state lies in an object with a name of its own (a stream, a timer).
template <class T, class Attempt> struct [[nodiscard]] Operation {
  using ChargesItself = void;
  Poll<Result<T>> poll(Task& task) { return attempt(PollContext(task)); }

  Attempt attempt;  // called with a PollContext; returns a Result<T>, or an Error, or a Poll<Result<T>>
};

namespace detail {

// An operation that keeps the rules of PollContext by itself, as the library's own do: nothing is added to it.
template <class T, class Attempt> Operation<T, Attempt> make_operation(Attempt attempt) { return {attempt}; }

// For GuardedOperation: there is no function of its own to leave by.
struct LeavesByAttempt {
  void operator()(PollContext /*context*/) const {}
};

// One attempt that keeps the rules of PollContext, whatever `attempt()` does about them: it is made only when it may
// complete, what it completes is charged to the task, and a cancellation is answered. `leave()` ends the task's wait.
template <class P, class Attempt, class Leave> P guarded_attempt(PollContext context, Attempt attempt, Leave leave) {
  Error refusal;
  if (!context.may_complete(refusal)) {
    if (refusal == ECANCELED) leave();
    return refusal;
  }
  const bool was_cancelling = context.is_cancelling();
  const std::int32_t budget = context.budget();
  P result = attempt();
  if (result.ready()) {
    const bool is_charged = context.budget() < budget;
    if (!is_charged) static_cast<void>(context.consume_budget());
    return result;
  }
  if (!was_cancelling || !context.is_cancelling()) return result;
  leave();  // none of what it is made of has answered the cancellation
  return context.refuse();
}

// An operation whose functions need not keep the rules.
template <class T, class Attempt, class Leave> struct [[nodiscard]] GuardedOperation {
  using ChargesItself = void;
  Poll<Result<T>> poll(Task& task) {
    const PollContext context(task);
    if (context.is_abandoning()) return give_up(context);
    Poll<Result<T>> result = guarded_attempt<Poll<Result<T>>>(
        context, [this, context]() -> Poll<Result<T>> { return attempt(context); },
        [this, context] { context.abandon(*this); });
    if (result.ready()) leave(context);  // the task may still wait for another part, or stand in a queue
    return result;
  }
  // Leaves where the task waits. Only where there is no function for that an attempt is made.
  Poll<Result<T>> give_up(PollContext context) {
    if constexpr (std::is_same<Leave, LeavesByAttempt>::value) {
      Poll<Result<T>> result = attempt(context);
      const bool has_completed = result.ready() && *result;
      MOTE_ASSERT(!has_completed &&
                  "an operation completed while it was given up, so what it took is lost: "
                  "write operation<T>(place, words, take) or operation<T>(attempt, leave)");
      static_cast<void>(has_completed);
    } else {
      leave(context);
    }
    return Error(ECANCELED);
  }

  Attempt attempt;
  Leave leave;
};

}  // namespace detail

// ---- operations of your own: see docs/operations.md ----
//
// However it is made, an attempt that completes takes one operation from the task's budget
// (limits::operations_per_step), so that it does not keep other tasks from their turn; a cancellation makes it return
// ECANCELED, unless it can complete at once; and `take` or `attempt` is not called when the operation is given up, by
// first_of() or a timeout: so what has been taken is always returned to the task. All is for the loop's thread, and
// O(1).

// Waits in one place until there is something to take: a T.
// `operation<int>(waiter_, "a key", [this] { return take_key(); })`. `take()` returns a Result<T>; EAGAIN means that it
// is not there yet: then the task waits until waiter.notify(), and `take` is called again. `what` says in words what is
// waited for, by a string that must outlive the wait: Task::waits_for() returns it.
// Errors, besides those of `take`:
//   EBUSY      another task waits there.
//   ECANCELED  the task was cancelled. It does not wait any more.
template <class T, class Take> auto operation(Waiter& waiter, const char* what, Take take) {
  return detail::make_operation<T>([&waiter, what, take](PollContext context) mutable {
    return context.attempt(waiter, what, [&take]() -> Result<T> { return take(); });
  });
}
// The same for many tasks, which are served in order of arrival: `take` is called when it is this task's turn. It may
// have a parameter, a bool: whether WaitQueue::release_all() has let the task go, which should then succeed.
// Errors, besides those of `take`:
//   ENOBUFS    the task waits in limits::queues_per_task queues already.
//   ECANCELED  the task was cancelled, or the queue has been destroyed. It does not wait any more.
template <class T, class Take> auto operation(WaitQueue& queue, const char* what, Take take) {
  return detail::make_operation<T>([&queue, what, take](PollContext context) mutable {
    return context.attempt(queue, what, [&take](bool released) -> Result<T> {
      if constexpr (std::is_invocable<Take&, bool>::value) return take(released);
      else return take();
    });
  });
}
// An operation that is made of others, or waits in more than one place. `attempt(context)` makes one attempt, and
// returns a Result<T>, or what PollContext::wait() returns, or `pending` where another operation's poll() was.
// `leave(context)` is called when the operation ends, be it completed, cancelled or given up: it calls
// context.abandon() for each operation that may be pending, and context.leave() for each place; where the task does not
// wait, these do nothing. What an attempt has got so far lies in an object that outlives it.
// Errors, besides those of `attempt`:
//   ECANCELED  the task was cancelled. It does not wait any more.
template <class T, class Attempt, class Leave>
detail::GuardedOperation<T, Attempt, Leave> operation(Attempt attempt, Leave leave) {
  return {attempt, leave};
}
// The former way, in which each attempt has to ask PollContext::is_abandoning() before it takes something. What it
// takes while it is given up is lost, which MOTE_ASSERT reports. It is charged as the others are.
template <class T, class Attempt>
[[deprecated(
    "write operation<T>(place, words, take) or operation<T>(attempt, leave): these lose nothing when first_of() "
    "gives them up")]] detail::GuardedOperation<T, Attempt, detail::LeavesByAttempt>
operation(Attempt attempt) {
  return {attempt, {}};
}

namespace detail {

template <class R> struct ValueOf;
template <class T> struct ValueOf<Result<T>> { using Type = T; };
template <class T> struct IsResult : std::false_type {};
template <class T> struct IsResult<Result<T>> : std::true_type {};
// What an operation returns, be it an Operation or another type with a poll(): a Result<T>, and its T.
template <class Op> using Answer = typename decltype(std::declval<Op&>().poll(std::declval<Task&>()))::value_type;
template <class Op> using Awaited = typename ValueOf<Answer<Op>>::Type;

// Whether operations of this type keep the rules of PollContext by themselves: those that operation() makes, and the
// library's own. They have a member type of this name. Others, of a user's own type, are guarded by who awaits them.
template <class Op, class = void> struct ChargesItself : std::false_type {};
template <class Op> struct ChargesItself<Op, typename Op::ChargesItself> : std::true_type {};

// By this, whoever awaits an operation makes an attempt.
template <class Op> [[gnu::always_inline]] inline auto poll_operation(Op&& operation, Task& task) {
  static_assert(IsResult<Answer<Op>>::value, "an operation's poll() returns a Poll<Result<T>>");
  if constexpr (ChargesItself<std::decay_t<Op>>::value) {
    return operation.poll(task);
  } else {
    using P = Poll<Answer<Op>>;
    const PollContext context(task);
    if (context.is_abandoning()) return P(operation.poll(task));
    return guarded_attempt<P>(
        context, [&operation, &task]() -> P { return operation.poll(task); },
        [&operation, context] { context.abandon(operation); });
  }
}

}  // namespace detail

}  // namespace MOTE_NAMESPACE
}  // namespace mote

#endif  // MOTE_TASK_OPERATION_HPP

// =====================================================================================================================
// include/mote/task/task_use.hpp
// =====================================================================================================================
// The record of which task uses an object, from one attempt to the next.
#ifndef MOTE_TASK_TASK_USE_HPP
#define MOTE_TASK_TASK_USE_HPP

namespace mote {
inline namespace MOTE_NAMESPACE {
namespace detail {

// The record of which task uses an object: the base of an object in which a task leaves something from one attempt to
// the next (a timer that runs, a tick that has come). What it awaits is never 0 while the object is used, whether the
// task waits in it or not: so another task is told EBUSY also between the wake-up and the step of the one that uses it.
//
// Invariant: the object is used exactly as long as this names a task. When that task ends, `when_ended` is called, and
// the object ends the use as it does everywhere else.
// Size on a 32-bit board: 20 bytes.
class TaskUse : public Waiter {
 public:
  // A bit of what is awaited, by which end() knows a TaskUse: no other Waiter may set it. The other bits are the
  // object's own.
  static constexpr std::uint32_t in_use = 0x80000000u;

  // The task uses the object from now on.
  void use(TaskHeader& task, std::uint32_t what, void (*when_ended)(TaskUse&)) {
    ended_ = when_ended;
    wait(task, in_use | what);
  }
  // For the scheduler: the task that the waiter names ends.
  static void end(Waiter& waiter) {
    const bool is_use = (waiter.awaited() & in_use) != 0;
    waiter.clear();
    if (!is_use) return;
    auto& self = static_cast<TaskUse&>(waiter);
    self.ended_(self);
  }
 private:
  void (*ended_)(TaskUse&) = nullptr;
};

}  // namespace detail
}  // namespace MOTE_NAMESPACE
}  // namespace mote

#endif  // MOTE_TASK_TASK_USE_HPP

// =====================================================================================================================
// include/mote/task/scheduler.hpp
// =====================================================================================================================
// The scheduler: steps tasks, and ends them.
#ifndef MOTE_TASK_SCHEDULER_HPP
#define MOTE_TASK_SCHEDULER_HPP

namespace mote {
inline namespace MOTE_NAMESPACE {
namespace detail {

inline std::atomic<std::uint32_t> schedulers_started{0};  // of this process

// Without NDEBUG: overwrites the stack on which the next step runs. A local variable that an await was expected to keep
// then visibly has another value, where by chance it would often have had the same. Not inlined: its frame has to lie
// where that of the step will.
[[gnu::noinline]] inline void poison_stack() {
  unsigned char stack[2048];
  ::memset(stack, 0xa5, sizeof stack);
  asm volatile("" : : "r"(stack) : "memory");  // else the compiler leaves it out
}

// The part of a reactor that steps tasks: run queues, the pools that tasks lie in, the clock as it was last read, the
// statistics and the observer. A reactor is one object written in layers, each a class that derives from the one below,
// so that they share all of this without a pointer from one to the other. This class is the lowest.
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
  Result<void> claim(TaskStore& store, void* storage, const TaskType& type, TaskHolder& holder) {
    if (destroying_) return Error(ECANCELED);
    if (store.scheduler() != this) {
      if (store.used() != 0) return Error(Reason::pool_of_another_reactor);
      store.unlink();
      store.bind(*this, storage, type);
      stores_.push_back(store);
      ready_.start();  // a task may be spawned before open()
    }
    TaskHeader* const task = store.claim(type);
    if (task == nullptr) return Error(Reason::task_pool_full);
    hold(holder, *task);
    return {};
  }
  // Gives the slot back: the task's constructor has thrown.
  static void unclaim(TaskHolder& holder) {
    TaskHeader& task = *std::exchange(holder.task, nullptr);
    task.holder = nullptr;
    task.store->release(task);
  }
  // Queues the first step of a task whose object has been made.
  void start(TaskHeader& task) {
    task.step = task.store->type().step;
    task.run_queue = &ready_;
    task.since = now_;
    task.line = 0;
    task.share = limits::operations_per_step;
    task.state = TaskHeader::State::live;
    task.shields = 0;
    task.in_queues = false;
    task.operation_shielded = false;
    task.cancel_held = false;
    task.abandoning = false;
    if (++task.generation == 0) task.generation = 1;
    task.queue();
    ++stats_.tasks_spawned;
    const std::uint32_t number = first_number_ + static_cast<std::uint32_t>(stats_.tasks_spawned);
    task.code = static_cast<int>(number | TaskHeader::serial_bit);  // its serial()
    ++stats_.tasks;
    if (stats_.tasks > stats_.tasks_high) stats_.tasks_high = stats_.tasks;
  }
  // Called by a pool's destructor: its tasks are destroyed, and handles to them become empty. What callbacks throw
  // meanwhile is dropped. O(slots used so far).
  static void close(TaskStore& store) {
    if (store.scheduler() == nullptr) return;
    Scheduler& self = *store.scheduler();
    // Neither destructors nor an observer may spawn meanwhile.
    const bool outer = std::exchange(self.destroying_, true);
    for (std::uint32_t i = 0; i < store.fresh(); ++i) {
      TaskHeader& task = store.at(i);
      if (task.is_live()) drop_exceptions([&self, &task] { self.destroy(task); });
      if (task.holder != nullptr) drop_exceptions([&task] { detach(*task.holder); });
    }
    self.destroying_ = outer;
    store.vacancy().notify_all();
    store.unlink();
    store.unbind();
  }

  // ---- handles ----

  // Not inlined: else g++ warns that the address of a caller's local object is kept (-Wdangling-pointer).
  [[gnu::noinline]] static void hold(TaskHolder& holder, TaskHeader& task) {
    holder.task = &task;
    task.holder = &holder;
  }
  // Gives up the claim on the task's slot. A task that joins by this handle is woken and told so. May throw what the
  // observer throws.
  static void detach(TaskHolder& holder) {
    TaskHeader* const task = std::exchange(holder.task, nullptr);
    if (task == nullptr) return;
    task->holder = nullptr;
    if (task->joiner.has_task()) interrupt_join(holder, *task);
    if (task->state != TaskHeader::State::finished) return;
    const Release release_at_end{*task};
    if (task->code != 0 && task->code != ECANCELED) {
      task->store->scheduler()->report(Observation::task_failed, &TaskAccess::task(*task),
                                       ErrorAccess::error(task->code));
    }
  }

  // Ends the join() of that task that is pending by this holder. The task that is named as the joiner has not been
  // answered yet: it waits, or has been woken and was not stepped.
  [[gnu::noinline]] static void interrupt_join(TaskHolder& holder, TaskHeader& task) {
    holder.interrupted = task.joiner.task()->serial();
    task.joiner.notify();
    task.joiner.clear();
  }

  // ---- ends ----

  // Ends a task at once, wherever it waits. It must not be the running one.
  [[gnu::noinline]] void destroy(TaskHeader& task) {
    MOTE_ASSERT(&task != current_ && "a task destroys its own pool or reactor: let it return done() instead");
    const bool outer = std::exchange(destroying_, true);  // its destructor spawns no others
    OnException restore([this, outer] { destroying_ = outer; });
    ++stats_.tasks_destroyed;
    finish(task, ECANCELED);
    restore.dismiss();
    destroying_ = outer;
  }
  bool is_running(const TaskHeader& task) const { return &task == current_; }
  // Calls visit(TaskHeader&) for each live task. O(slots used so far, of all pools).
  template <class Visit> [[gnu::always_inline]] void for_each_task(Visit&& visit) {
    for (TaskStore* store = stores_.front(); store != nullptr; store = stores_.after(*store)) {
      for (std::uint32_t i = 0; i < store->fresh(); ++i) {
        if (store->at(i).is_live()) visit(store->at(i));
      }
    }
  }
  void cancel_all_tasks() { static_cast<void>(end_all_tasks(false)); }
  // Destroys all tasks but the running one. Returns how many there were.
  std::uint32_t destroy_all_tasks() { return end_all_tasks(true); }

  // While it exists, a violated MOTE_ASSERT names the task that is running. With NDEBUG it does nothing. A run may be
  // nested in that of another reactor: then the inner one is asked.
  class Testimony {
   public:
    explicit Testimony(const Scheduler& scheduler) {
      if constexpr (finds_mistakes) outer_ = std::exchange(witness, Witness{&Scheduler::tell, &scheduler, nullptr});
    }
    Testimony(const Testimony&) = delete;
    Testimony& operator=(const Testimony&) = delete;
    ~Testimony() {
      if constexpr (finds_mistakes) witness = outer_;
    }
   private:
    Witness outer_{};
  };

  // ---- priorities ----

  Result<void> set_priority(TaskHeader& task, std::uint32_t level) {
    if (level > higher_levels_) return Error(Reason::no_such_priority);
    const bool queued = task.linked();
    task.unlink();
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
    measured_ = threshold > Duration::zero() ? &Scheduler::run_measured : nullptr;
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

  // Knuth, volume 3, section 6.4: multiples of this number lie far from each other.
  void start() {
    first_number_ = schedulers_started.fetch_add(1, std::memory_order_relaxed) * 2654435769u;
    ready_.start();
    running_tasks_.start();
  }
  // The serials of tasks and the generations of slots are counted from here: those of two reactors differ, also where
  // one comes to lie where the other was.
  std::uint32_t first_number() const { return first_number_; }
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

  // Phase 1 of a turn: the tasks that are ready now. What they wake, themselves included, runs in the next turn; but
  // what a task of a higher priority wakes in a lower one may run in this turn.
  //
  // A task whose step throws has failed with ENOTRECOVERABLE. Those that have not been stepped then stay in
  // running_tasks_: finish_ready_tasks() steps them, and must be called before the next run_ready_tasks().
  [[gnu::always_inline]] void run_ready_tasks() {
    std::uint32_t limit = UINT32_MAX;
    if (run_higher_ != nullptr) {
      run_higher_(*this);
      limit = limits::steps_per_lower_priority;
    }
    run_tasks(ready_, limit);
  }
  // After an exception: the rest of the tasks that were ready.
  void finish_ready_tasks() {
    if (!running_tasks_.empty()) step_running_tasks(UINT32_MAX);
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
    running_tasks_.move_all_from(queue);
    step_running_tasks(limit);
    if (running_tasks_.empty()) return;
    running_tasks_.append_all(queue);  // those that are left over come before those that were woken since
    queue.move_all_from(running_tasks_);
  }
  [[gnu::always_inline]] void step_running_tasks(std::uint32_t limit) {
    OnException fail([this] { fail_running_task(); });
    do {
      TaskHeader* const task = running_tasks_.pop();
      current_ = task;
      task->budget = task->share;
      task->waits_for = nullptr;
      ++stats_.steps;
      if constexpr (finds_mistakes) poison_stack();
      const Step step = measured_ == nullptr ? task->step(*task) : measured_(*task);
      if (step.is_pending()) {
        task->since = now_;
      } else {
        current_ = nullptr;
        // By way of the pool, not `this`: else g++ computes the address of this base in every turn, two instructions.
        task->store->scheduler()->finish(*task, step.code);
      }
      // Counted in the condition: as a statement of its own it costs an instruction in each turn.
    } while (!running_tasks_.empty() && --limit != 0);
    current_ = nullptr;
    fail.dismiss();
  }
  // After an exception: of the step of the running task, if one is running; else what was called at a task's end has
  // thrown. What an observer or a group's callback throws now, while the other exception is under way, is dropped.
  [[gnu::cold]] void fail_running_task() {
    TaskHeader* const task = std::exchange(current_, nullptr);
    if (task == nullptr) return;
    drop_exceptions([this, task] { finish(*task, ENOTRECOVERABLE); });
  }
  // Steps all tasks of the highest priority, and a few of each other one: so how long the highest waits does not depend
  // on the others.
  [[gnu::cold]] static void run_higher(Scheduler& self) {
    std::uint32_t limit = UINT32_MAX;
    for (std::uint32_t level = self.higher_levels_; level != 0; --level) {
      self.run_tasks(self.higher_[level - 1], limit);
      limit = limits::steps_per_lower_priority;
    }
  }
  [[gnu::cold]] static Step run_measured(TaskHeader& task) {
    Scheduler& self = *task.store->scheduler();
    const Instant start = Clock::now();
    const Step step = task.step(task);
    const Duration taken = Clock::now() - start;
    if (taken > self.stats_.longest_step) self.stats_.longest_step = taken;
    if (taken >= self.slow_step_) self.report_slow_step(task, step, taken);
    return step;
  }
  // Where the observer throws, the step counts all the same: the task goes on, or ends as it said.
  void report_slow_step(TaskHeader& task, Step step, Duration taken) {
    OnException settle([this, &task, step] {
      current_ = nullptr;
      task.since = now_;
      if (!step.is_pending()) drop_exceptions([this, &task, step] { finish(task, step.code); });
    });
    report({Observation::slow_step, &TaskAccess::task(task), {}, taken});
    settle.dismiss();
  }

  // Releases the slot of a task that has ended, after it has been reported to an observer, which may throw.
  struct Release {
    TaskHeader& task;
    ~Release() { task.store->release(task); }
  };
  // The one place where a task ends. Its object is destroyed first, then the task that joins it is woken. May throw
  // what an observer or a group's callback throws; the task has ended then, too.
  void finish(TaskHeader& task, int code) {
    if (code != 0 || task.holder != nullptr) {
      // The object is destroyed below; Task::name() returns this from then on.
      task.waits_for = TaskAccess::task(task).name();
    }
    task.state = TaskHeader::State::ending;
    task.code = code;
    task.unlink();
    if (task.may_be_waiting()) stop_waiting(task);
    task.store->type().destroy(task);
    task.state = TaskHeader::State::finished;
    ++stats_.tasks_ended;
    --stats_.tasks;
    if (code != 0 || task.holder != nullptr) report_end(task, code);  // read again: the destructor may have dropped it
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
    const Release release_at_end{task};
    if (failure) report(Observation::task_failed, &TaskAccess::task(task), ErrorAccess::error(code));
  }
  [[gnu::cold]] static void stop_waiting(TaskHeader& task) {
    for (QueuePlace& place : task.places) place.leave();
    while (Waiter* const waiter = task.waiters.front()) TaskUse::end(*waiter);
  }
  std::uint32_t end_all_tasks(bool at_once) {
    const std::uint64_t before = stats_.tasks_destroyed;
    for_each_task([this, at_once](TaskHeader& task) {
      if (!at_once) task.cancel();
      else if (&task != current_) destroy(task);
    });
    return static_cast<std::uint32_t>(stats_.tasks_destroyed - before);
  }
  // Without an observer, a failure of a task that is not joined is written to standard error: none is silent.
  [[gnu::cold]] static void print_failure(const Task& task, Error error) {
    char line[352];  // not a Text: programs that have no other use for one are smaller so
    char place[80] = "";
    if (task.line() != 0) {  // 0: it has not come to an await
      const char* const file = task.file() != nullptr ? file_name(task.file()) : "line";
      const char between = task.file() != nullptr ? ':' : ' ';
      ::snprintf(place, sizeof place, " after %s%c%u", file, between, static_cast<unsigned>(task.line()));
    }
    // The name of a template may be longer than a line: it is cut, not what follows it.
    ::snprintf(line, sizeof line, "mote: task %.120s failed%s: %.100s\n", task.name(), place, error.message());
    static_cast<void>(System::write(STDERR_FILENO, line, ::strlen(line)));
  }
  [[gnu::cold]] static void tell(const void* self, Text& line) {
    TaskHeader* const header = static_cast<const Scheduler*>(self)->current_;
    if (header == nullptr) return;
    const Task& task = TaskAccess::task(*header);
    const char* const name = task.name();
    line.add("; in task ").add(name, ::strnlen(name, 80));  // a template's may be very long
    const std::uint32_t at = witness.line != nullptr ? *witness.line : task.line();
    if (at != 0) line.add(", at or after its await at ").add_place(task.file(), at);
  }

  void (*run_higher_)(Scheduler&) = nullptr;  // null where there is one priority
  Step (*measured_)(TaskHeader&) = nullptr;   // run_measured(), where steps are measured
  Instant now_{};
  RunQueue* higher_ = nullptr;  // [i]: of priority i + 1
  std::uint32_t higher_levels_ = 0;
  std::uint32_t first_number_ = 0;
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
inline const char* Task::waits_for() const {
  const bool is_suspended = is_live() && !linked() && !store->scheduler()->is_running(*this);
  return is_suspended ? TaskHeader::waits_for : nullptr;
}
inline const char* Task::file() const { return store->source_file(); }
inline Text Task::describe() const {
  Text text;
  text.add("task ").add(name());
  if (line() != 0) text.add(" at ").add_place(file(), line());
  if (!is_alive()) return text.add(" has ended");
  if (const char* const what = waits_for(); what != nullptr) return text.add(" waits for ").add(what);
  if (store->scheduler()->is_running(*this)) return text.add(" is running");
  return text.add(linked() ? " is ready" : " waits");
}

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

// The source line of an await, in the switch that MOTE_BEGIN opens. It is no integer, so that a `switch` of the user's
// around an await does not compile; its name is what the error says.
enum class AwaitInsideOfASwitchWriteIfAndElse : std::uint32_t {};
using Line = AwaitInsideOfASwitchWriteIfAndElse;
}  // namespace detail

// Base of a task that is written from top to bottom, as one function step() with awaits in it:
//
//   mote::Step step() {
//     MOTE_BEGIN();
//     MOTE_AWAIT(got, client.read(bytes));
//     MOTE_END();
//   }
//
// It is a switch over source lines, so whatever must survive an await is a member. One await on a line, and none inside
// of a `switch`. An early return ends the task. task() and reactor() may be called from the first step on, not in the
// constructor. The macros say at MOTE_BEGIN which error means what.
// Size on a 32-bit board: 4 bytes.
class StateMachine : detail::Pinned {
 public:
  Task& task() const {
    MOTE_ASSERT(task_ != nullptr &&
                "task() and reactor() may be called from the first step on, not in the constructor");
    return *task_;
  }
  // The reactor that runs it. In the task it hides a global object `reactor`, which is `::reactor` there. (Defined in
  // reactor/reactor.hpp, as Task::reactor().)
  auto& reactor() const;
 private:
  friend struct detail::StateMachineAccess;
  Task* task_ = nullptr;
};

namespace detail {
// For the pool: sets the task of a state machine. For the macros: the task, and the line at which it goes on.
struct StateMachineAccess {
  static void set_task(StateMachine& machine, Task& task) { machine.task_ = &task; }
  static Task& task(const StateMachine& machine) { return machine.task(); }
  template <class T, class = std::enable_if_t<!std::is_base_of<StateMachine, T>::value>> static Task& task(const T&) {
    static_assert(std::is_base_of<StateMachine, T>::value,
                  "MOTE_BEGIN() stands in step() of a class that derives from mote::StateMachine, publicly");
    __builtin_unreachable();
  }
  static std::uint32_t& line(Task& task) { return TaskAccess::header(task).line; }
  static void begin(Task& task, const char* file) {
    MOTE_ASSERT(line(task) == 0 &&
                "an await in a function other than step(): await in step() itself, or make the helper "
                "a task that is joined, or an operation");
    TaskAccess::header(task).store->set_source_file(file);
  }
};
}  // namespace detail

}  // namespace MOTE_NAMESPACE
}  // namespace mote

// What the compiler says of a mistake, and what it means. The words stand in the names of macros, labels and types.
//
//   MOTE_BEGIN_is_missing_in_this_function...   the function does not begin with MOTE_BEGIN(); or the await stands in a
//                                               helper function or a lambda (make that a task that is joined, or an
//                                               operation), or in a coroutine, where it is written co_await
//   MOTE_BEGIN_or_MOTE_END_is_missing_...       where it is MOTE_END, a '}' is looked for to the end of the file
//   AwaitInsideOfASwitchWriteIfAndElse          a `switch` of yours is around the await
//   ..._JUMPS_PAST_A_LOCAL_VARIABLE_...         an initialised local variable is there before and after the await: make
//                                               it a member, or put braces around the statements that it is for. (Some
//                                               other errors of an await show this name, too.)
//   "jump to case label", "crosses initialization of 'int n'"
//                                               the same, of g++ where mote is a system header (-isystem)
//   only_one_MOTE_AWAIT_or_MOTE_YIELD_per_line  write each on a line of its own
//   "expected primary-expression before 'do'", "expected expression"
//                                               an await is a statement and gives nothing: in the place of
//                                               `auto r = MOTE_AWAIT(operation)` have a member for the result, and
//                                               write MOTE_AWAIT(member, operation)
//   "MOTE_BEGIN() stands in step() of a class that derives from mote::StateMachine", "co_await in a function that
//   returns a Step", "write_all() and read_exactly() shrink the view that they are given": as they say
//
// What no compiler says, since it compiles:
//
//   A local variable without initialiser, as `char b[8];`, that is used after an await in its scope loses its value.
//   One that is declared before MOTE_BEGIN, initialised or not, is made anew at each step.
//     `tools/check_awaits FILE...` of mote's repository finds both, with clang-query. And without NDEBUG the stack is
//     overwritten with bytes 0xa5 before each step, so that the loss shows where by chance the value would still be
//     there.
//   An await in another function than step(), though that has a MOTE_BEGIN of its own, does not work: a task remembers
//   one place where it goes on. Without NDEBUG a violated assertion says so at run time.

#define MOTE_DETAIL_JOIN2(a, b) a##b
#define MOTE_DETAIL_JOIN(a, b) MOTE_DETAIL_JOIN2(a, b)
// The name is what compilers show where a jump to this `case` would pass the initialisation of a variable.
#define MOTE_DETAIL_WHERE_THIS_JUMPS_PAST_A_LOCAL_VARIABLE_MAKE_IT_A_MEMBER(line) case ::mote::detail::Line{line}
#define MOTE_DETAIL_SUSPENSION_POINT()                                          \
  MOTE_DETAIL_WHERE_THIS_JUMPS_PAST_A_LOCAL_VARIABLE_MAKE_IT_A_MEMBER(__LINE__) \
      : MOTE_DETAIL_JOIN(only_one_MOTE_AWAIT_or_MOTE_YIELD_per_line_, __LINE__) : __attribute__((__unused__))
// What only MOTE_BEGIN declares: the task. In a lambda that name can be seen, but no label can.
#define MOTE_DETAIL_TASK MOTE_BEGIN_is_missing_in_this_function_and_a_coroutine_has_co_await
#define MOTE_DETAIL_NOTE_LINE()                                          \
  ::mote::detail::StateMachineAccess::line(MOTE_DETAIL_TASK) = __LINE__; \
  if (false) goto MOTE_BEGIN_is_missing_in_this_function

// step() begins with MOTE_BEGIN() and ends with MOTE_END().
#define MOTE_BEGIN()                                                                          \
  ::mote::Task& MOTE_DETAIL_TASK = ::mote::detail::StateMachineAccess::task(*this);           \
  if (false) goto MOTE_BEGIN_or_MOTE_END_is_missing_in_this_function;                         \
  MOTE_BEGIN_is_missing_in_this_function:                                                     \
  __attribute__((__unused__));                                                                \
  switch (::mote::detail::Line{::mote::detail::StateMachineAccess::line(MOTE_DETAIL_TASK)}) { \
    default: /* for -Wswitch-default: there is no other */                                    \
    case ::mote::detail::Line{}:                                                              \
      ::mote::detail::StateMachineAccess::begin(MOTE_DETAIL_TASK, __FILE__)
#define MOTE_END()                                    \
  }                                                   \
  MOTE_BEGIN_or_MOTE_END_is_missing_in_this_function: \
  return ::mote::done()
// Waits until the operation completes, and assigns what it returns to `result`. The operation is made anew for each
// attempt, so it must name only what outlives the await.
#define MOTE_AWAIT(result, ...)                                                       \
  do {                                                                                \
    MOTE_DETAIL_NOTE_LINE();                                                          \
    __attribute__((__fallthrough__));                                                 \
    MOTE_DETAIL_SUSPENSION_POINT();                                                   \
    auto mote_poll = ::mote::detail::poll_operation((__VA_ARGS__), MOTE_DETAIL_TASK); \
    if (!mote_poll.ready()) return ::mote::Step(::mote::pending);                     \
    ::mote::detail::Assignment::make(result, *mote_poll);                             \
  } while (false)
// Lets all other tasks run, and goes on in the next turn.
#define MOTE_YIELD()                      \
  do {                                    \
    MOTE_DETAIL_NOTE_LINE();              \
    MOTE_DETAIL_TASK.wake();              \
    return ::mote::Step(::mote::pending); \
    MOTE_DETAIL_SUSPENSION_POINT();       \
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
// keep the outcome; the task's own object is destroyed by then. When it is dropped, the task goes on alone, and a
// failure is reported to the reactor's observer. If the pool is destroyed first, the handle becomes empty. Movable: a
// join() that is pending by it then ends at once, as it does when the handle is detached or given another task.
// Size on a 32-bit board: 12 bytes.
class TaskHandle : detail::TaskHolder {
 public:
  TaskHandle() = default;
  TaskHandle(TaskHandle&& other) noexcept { take(other); }
  TaskHandle& operator=(TaskHandle&& other) noexcept {
    if (this == &other) return *this;
    drop();
    take(other);
    return *this;
  }
  ~TaskHandle() { drop(); }

  explicit operator bool() const { return task != nullptr; }
  Task* get() const { return task != nullptr ? &detail::TaskAccess::task(*task) : nullptr; }  // null: an empty handle
  void detach() { detail::Scheduler::detach(*this); }                                         // becomes empty
  // Task::cancel(). Does nothing if the handle is empty.
  void cancel() {
    if (task != nullptr) task->cancel();
  }
  // Ends the task at once: its object is destroyed, wherever it waits, and its outcome is `cancelled`. May throw what
  // the task's observers throw. O(places where it waits).
  // Errors:
  //   EBUSY  it is the running task: let it return done() instead.
  //   ESRCH  it has ended, or the handle is empty.
  Result<void> destroy() {
    if (task == nullptr || !task->is_live()) return Error(detail::Reason::task_has_ended);
    detail::Scheduler& scheduler = *task->store->scheduler();
    if (scheduler.is_running(*task)) return Error(detail::Reason::task_is_running);
    scheduler.destroy(*task);
    return {};
  }
  // Whether the task has not ended yet. Not of an empty handle.
  bool is_alive() const { return task != nullptr && task->is_live(); }
  // Of kind `none` while the task is alive. To look at a failure does not take it: it is reported to the observer all
  // the same when the handle is dropped. join() takes it.
  Outcome outcome() const {
    if (task == nullptr || task->state != detail::TaskHeader::State::finished) return {};
    if (task->code == 0) return {Outcome::Kind::done, {}};
    return {task->code == ECANCELED ? Outcome::Kind::cancelled : Outcome::Kind::failed,
            detail::ErrorAccess::error(task->code)};
  }
  // Completes when the task has ended. Returns its outcome, and the handle becomes empty.
  // Errors:
  //   EINVAL     the handle is empty. Or it was detached, moved or given another task while the join was pending: the
  //              task that waits is told so once, in its next step. The task that it waited for goes on.
  //   EBUSY      another task awaits this one.
  //   ECANCELED  the task that waits was cancelled. The handle is as it was.
  auto join() {
    return detail::make_operation<Outcome>([this](PollContext context) -> Result<Outcome> {
      if (take_interruption(context)) {
        return take_cancellation(context) ? Error(ECANCELED) : Error(detail::Reason::handle_is_empty);
      }
      if (task == nullptr) return context.fail(Error(detail::Reason::handle_is_empty));
      const Result<Outcome> ended =
          context.attempt(task->joiner, "the end of a task", [this, context] { return take_outcome(context); });
      // Until its next turn, where the task had no budget: see interrupt_join().
      const bool is_postponed = !ended && ended.error() == detail::suspended && !task->joiner.has_task();
      if (is_postponed) task->joiner.wait(context.header(), 0);
      return ended;
    });
  }
 private:
  friend struct detail::HandleAccess;
  // As detach(), where nothing may be thrown: what the observer throws is dropped.
  void drop() noexcept {
    detail::drop_exceptions([this] { detach(); });
  }
  bool take_interruption(PollContext context) {
    if (interrupted != context.header().serial()) return false;
    interrupted = context.header().heir_serial();
    return true;
  }
  static bool take_cancellation(PollContext context) {
    if (!context.is_cancelling() || context.is_abandoning()) return false;
    context.acknowledge_cancellation();
    return true;
  }
  Result<Outcome> take_outcome(PollContext context) {
    const Outcome ended = outcome();
    if (ended.kind == Outcome::Kind::none) return Error(EAGAIN);
    task->code = 0;                        // the outcome has been taken: no failure is left to be reported
    task->joiner.leave(context.header());  // its join() is not pending any more
    detach();
    return ended;
  }
  void take(TaskHandle& other) {
    task = std::exchange(other.task, nullptr);
    if (task == nullptr) return;
    task->holder = this;
    if (task->joiner.has_task()) detail::Scheduler::interrupt_join(other, *task);
  }
};

namespace detail {
// Converts a handle to what the scheduler knows of it, and back: for the library.
struct HandleAccess {
  static TaskHolder& holder(TaskHandle& handle) { return handle; }
  static TaskHandle& handle(TaskHolder& holder) { return static_cast<TaskHandle&>(holder); }
};
}  // namespace detail

}  // namespace MOTE_NAMESPACE
}  // namespace mote

#endif  // MOTE_TASK_TASK_HANDLE_HPP

// =====================================================================================================================
// include/mote/task/type_name.hpp
// =====================================================================================================================
// The name of a type as text, made by the compiler.
#ifndef MOTE_TASK_TYPE_NAME_HPP
#define MOTE_TASK_TYPE_NAME_HPP

namespace mote {
inline namespace MOTE_NAMESPACE {
namespace detail {

// What compilers make of `spelling<T>()`, for a class in an anonymous namespace and for one that is local to a
// function:
//
//   g++     constexpr const char* mote::v0_1::detail::spelling() [with T = app::{anonymous}::Echo]
//           ... [with T = run(int)::Echo; other = ...]
//   clang   const char *mote::detail::spelling() [T = app::(anonymous namespace)::Echo], and [T = Echo]
//
// The name is what follows the `=`, without anonymous namespaces and without functions: "app::Echo" and "Echo".
template <class T> constexpr const char* spelling() { return __PRETTY_FUNCTION__; }

struct TypeNameReader {
  const char* at;                 // what is to be read next
  int depth = 0;                  // brackets of all kinds that are open
  const char* end_of_signs = at;  // what is before it is no bracket, but part of a literal or of an operator's name

  constexpr bool sees(const char* part) const {
    std::size_t i = 0;
    while (part[i] != '\0' && at[i] == part[i]) ++i;
    return part[i] == '\0';
  }
  static constexpr bool is_of_word(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
  }
  constexpr bool is_at_end() const { return *at == '\0' || (depth == 0 && (*at == ']' || *at == ';')); }
  constexpr bool is_at_scope() const { return depth == 0 && sees("::"); }
  // Behind an operator's signs that are brackets elsewhere: <, <<, <=>, >, >>, ->. `operator<>` is `operator<` and then
  // a bracket.
  static constexpr const char* end_of_operator(const char* signs) {
    if (signs[0] == '-' && signs[1] == '>') return signs + 2;
    if (signs[0] == '<' && signs[1] == '=' && signs[2] == '>') return signs + 3;
    if (signs[0] != '<' && signs[0] != '>') return signs;
    return signs + (signs[1] == signs[0] ? 2 : 1);
  }
  // Behind a literal as '<', or behind `operator<`; or `at` itself where neither begins here.
  constexpr const char* end_of_literal_or_operator() const {
    const char* end = at;
    if (*at == '\'' || *at == '"') {
      for (++end; *end != '\0' && *end != *at; ++end) {
        if (*end == '\\' && end[1] != '\0') ++end;
      }
      if (*end != '\0') ++end;
    } else if (sees("operator") && !is_of_word(at[-1])) {  // there is a '=' and a space before the name
      end = end_of_operator(at + sizeof "operator" - 1);
    }
    return end;
  }
  constexpr void advance() {
    if (at >= end_of_signs) end_of_signs = end_of_literal_or_operator();
    if (at < end_of_signs) {
      ++at;
      return;
    }
    if (*at == '<' || *at == '(' || *at == '[' || *at == '{') ++depth;
    if (*at == '>' || *at == ')' || *at == ']' || *at == '}') --depth;
    ++at;
  }
  constexpr bool skip(const char* part) {
    if (!sees(part)) return false;
    for (; *part != '\0'; ++part) ++at;
    return true;
  }
  constexpr bool skip_anonymous() {
    return skip("{anonymous}::") || skip("(anonymous namespace)::") || skip("<unnamed>::");
  }
};

// Where the name begins: after the last function that the class is local to.
constexpr const char* begin_of_type_name(const char* spelt) {
  while (*spelt != '=') ++spelt;
  TypeNameReader reader{spelt + 2};
  const char* begin = reader.at;
  bool is_function = false;  // what has been read since the last `::`
  while (!reader.is_at_end()) {
    if (reader.skip_anonymous()) continue;
    if (reader.is_at_scope()) {
      if (is_function) begin = reader.at + 2;
      is_function = false;
    }
    const bool is_lambda = reader.depth == 0 && reader.sees("<lambda");
    is_function = is_function || is_lambda || (reader.depth == 0 && *reader.at == '(');
    reader.advance();
  }
  return begin;
}
// Calls put(character) for each character of the name.
template <class Put> constexpr void read_type_name(const char* spelt, Put put) {
  TypeNameReader reader{begin_of_type_name(spelt)};
  while (!reader.is_at_end()) {
    if (reader.skip_anonymous()) continue;
    put(*reader.at);
    reader.advance();
  }
}
constexpr std::size_t type_name_length(const char* spelt) {
  std::size_t length = 0;
  read_type_name(spelt, [&length](char) { ++length; });
  return length;
}

template <class T> struct TypeName {
  char text[type_name_length(spelling<T>()) + 1] = {};
  constexpr TypeName() {
    std::size_t length = 0;
    read_type_name(spelling<T>(), [this, &length](char character) {
      text[length] = character;
      ++length;
    });
  }
};
template <class T> inline constexpr TypeName<T> type_name{};

}  // namespace detail
}  // namespace MOTE_NAMESPACE
}  // namespace mote

#endif  // MOTE_TASK_TYPE_NAME_HPP

// =====================================================================================================================
// include/mote/task/task_pool.hpp
// =====================================================================================================================
// Room for tasks of one type.
#ifndef MOTE_TASK_TASK_POOL_HPP
#define MOTE_TASK_TASK_POOL_HPP

namespace mote {
inline namespace MOTE_NAMESPACE {
namespace detail {

// The name of a task of type T: T::name, if that is a text for all of them. A function, a std::string or a member of
// each object is something of the program's own; and null is no name.
template <class T, class = void> struct TaskName {
  static const char* of(const T&) { return type_name<T>.text; }
};
constexpr const char* first_name(const char* own, const char* of_type) { return own != nullptr ? own : of_type; }
template <class T>
using IfNamed = std::enable_if_t<std::conjunction_v<std::negation<std::is_member_pointer<decltype(&T::name)>>,
                                                    std::is_convertible<decltype((T::name)), const char*>>>;
template <class T> struct TaskName<T, IfNamed<T>> {
  static const char* of(const T&) { return first_name(T::name, type_name<T>.text); }
};

// Whether a task's step takes no argument, or the task.
template <class T, class = void> struct HasPlainStep : std::false_type {};
template <class T> struct HasPlainStep<T, std::void_t<decltype(std::declval<T&>().step())>> : std::true_type {};
template <class T, class = void> struct HasTaskStep : std::false_type {};
template <class T>
struct HasTaskStep<T, std::void_t<decltype(std::declval<T&>().step(std::declval<Task&>()))>> : std::true_type {};

// Whether a T can be made member by member of the arguments, behind its base where that is a StateMachine.
template <class Void, class T, class... A> struct IsMadeOfMembers : std::false_type {};
template <class T, class... A>
struct IsMadeOfMembers<std::void_t<decltype(T{std::declval<A>()...})>, T, A...> : std::true_type {};
template <class Void, class T, class... A> struct IsMadeOfMembersBehindBase : std::false_type {};
template <class T, class... A>
struct IsMadeOfMembersBehindBase<std::void_t<decltype(T{{}, std::declval<A>()...})>, T, A...> : std::true_type {};

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"
// Makes a T by its constructor or, where T is an aggregate, member by member.
template <class T, class... A> T* construct(void* place, A&&... arguments) {
  constexpr bool is_state_machine = std::is_base_of<StateMachine, T>::value;
  constexpr bool is_made_of_members =
      is_state_machine ? IsMadeOfMembersBehindBase<void, T, A&&...>::value : IsMadeOfMembers<void, T, A&&...>::value;
  static_assert(std::is_constructible<T, A&&...>::value || is_made_of_members,
                "the arguments of spawn() are those of a constructor of the task, or else its first members, in their "
                "order; what only moves, as a Stream, is given by std::move()");
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
// lie in static storage (.bss) or on the stack; tasks that are left in it are destroyed before it. It serves one
// reactor at a time. Size: N * (sizeof(Task) + sizeof(T)), and 48 bytes on a 32-bit board.
template <class T, std::size_t N> class TaskPool : detail::TaskStore {
 public:
  constexpr TaskPool() = default;
  ~TaskPool() { detail::Scheduler::close(*this); }

  // Makes a T by its constructor, or member by member (the others, large buffers too, are zeroed), and queues its first
  // step. `reactor` is a Reactor. What the constructor throws is passed on: then there is no task.
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
        detail::OnException give_back([&holder] { detail::Scheduler::unclaim(holder); });
        T* const made = detail::construct<T>(static_cast<Slot&>(task).bytes, std::forward<A>(arguments)...);
        give_back.dismiss();
        if constexpr (std::is_base_of<StateMachine, T>::value) detail::StateMachineAccess::set_task(*made, task);
        // Read anew: kept since claim(), it would take a register that is saved even where the pool is full.
        TaskStore::scheduler()->start(*holder.task);
      }
      return claimed;
    });
  }
  // The object of a task of this pool, while it lives: to read what it has got so far, to give it something, to call
  // its functions. Null where the task has ended (also from its destructor on), the handle is empty or was dropped, or
  // the task is of another pool. So it may be asked again at any time; the pointer itself is good until the task ends,
  // which it may do in its next step: keep the handle, not the pointer. To change what the task awaits meanwhile, as
  // moving its stream away, makes that operation return ECANCELED. O(1).
  T* find(const TaskHandle& handle) { return find(handle.get()); }
  T* find(Task* task) {  // of TaskRef::get(), and what Reactor::for_each_task() gives; null is allowed
    if (task == nullptr || !task->is_alive()) return nullptr;
    detail::TaskHeader& header = detail::TaskAccess::header(*task);
    return header.store == this ? &object(header) : nullptr;
  }
  // Calls visit(T&) for each task that lives. What is spawned meanwhile may be visited or not. O(high_water()).
  template <class Visit> void for_each(Visit&& visit) {
    for (std::uint32_t i = 0; i < fresh(); ++i) {
      if (at(i).is_live()) visit(object(at(i)));
    }
  }
  static constexpr std::uint32_t capacity() { return N; }
  std::uint32_t size() const { return used(); }  // slots taken, by tasks and by outcomes whose handles are held
  std::uint32_t vacancies() const { return capacity() - size(); }
  std::uint32_t high_water() const { return fresh(); }  // the most there have been at a time
  // Completes when a slot is free. Where others spawn into the pool too, be ready for ENOBUFS all the same. An acceptor
  // awaits it before accept(), so that who finds no room stays in the kernel's backlog.
  // Errors:
  //   ECANCELED  the task was cancelled, or the pool has been destroyed.
  //   ENOBUFS    the task waits in limits::queues_per_task queues already.
  auto vacancy() {
    return detail::make_operation<void>([this](PollContext context) {
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
    constexpr bool is_plain = detail::HasPlainStep<T>::value;
    static_assert(is_plain || detail::HasTaskStep<T>::value,
                  "a task has a public function `mote::Step step()`, or `mote::Step step(mote::Task&)`");
    if constexpr (is_plain) return object(header).step();
    else return object(header).step(detail::TaskAccess::task(header));
  }
  static void destroy(detail::TaskHeader& header) {
    static_assert(std::is_nothrow_destructible<T>::value, "a task's destructor must not throw");
    object(header).~T();
  }
  static const char* name(detail::TaskHeader& header) { return detail::TaskName<T>::of(object(header)); }

  Slot slots_[N];
};

}  // namespace MOTE_NAMESPACE
}  // namespace mote

#endif  // MOTE_TASK_TASK_POOL_HPP

// =====================================================================================================================
// include/mote/task/task_ref.hpp
// =====================================================================================================================
// TaskRef: names a task that may have ended.
#ifndef MOTE_TASK_TASK_REF_HPP
#define MOTE_TASK_TASK_REF_HPP

namespace mote {
inline namespace MOTE_NAMESPACE {

// Names a task without keeping its slot: to cancel or wake a task that may have ended, and whose slot another one may
// use by now. The pool must outlive it.
// Size on a 32-bit board: 8 bytes.
class TaskRef {
 public:
  TaskRef() = default;
  explicit TaskRef(Task& task)
      : task_(&detail::TaskAccess::header(task)), generation_(detail::TaskAccess::header(task).generation) {}

  bool names(const Task& task) const {
    const detail::TaskHeader& header = detail::TaskAccess::header(task);
    return task_ == &header && generation_ == header.generation;
  }
  // Null once the task has ended.
  Task* get() const {
    if (task_ == nullptr || task_->generation != generation_ || !task_->is_live()) return nullptr;
    return &detail::TaskAccess::task(*task_);
  }
  // Returns whether there was a task to cancel.
  bool cancel() const {
    Task* const task = get();
    if (task == nullptr) return false;
    task->cancel();
    return true;
  }
  // Returns whether there was a task to wake.
  bool wake() const {
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

// The object that owns a slot's descriptor, if one does. The table closes it through a hook of the layer above.
struct SlotOwner {};

// A descriptor's slot. `wanted` is the interest that should be armed, `known` what the kernel was told last (or counts
// as told: see always_ready); they differ only where the kernel is not asked, and while a call is made. Where a handler
// is set, events go to it; else they wake the tasks that wait.
// Size on a 32-bit board: 72 bytes.
struct Slot {
  enum Flag : std::uint16_t {
    in_set = 0x01,        // the selector has it
    always_ready = 0x02,  // a regular file or its kin: EPERM from epoll
    muted = 0x04,         // an error or a hang-up stays: out of the set until a look finds that it has gone
    listening = 0x08,     // DescriptorTable::close_listeners() closes its owner
    is_socket = 0x10,
    is_tty = 0x20,
    connecting = 0x40,
    blocking = 0x80,        // not ours to make non-blocking: used only when reported ready
    is_stream = 0x100,      // a socket of type SOCK_STREAM
    is_tcp = 0x200,         // and of our making: a short read means that nothing is left, so edge triggering is enough
    numbered = 0x400,       // it holds its descriptor's number: see DescriptorNumbers
    told = 0x800,           // its handler has been told of what it had not asked for, and has not been set anew since
    error_stands = 0x1000,  // an error is reported that no read or write takes away: it is in the error queue
    borrowed = 0x2000       // its owner does not close the descriptor
  };
  // What the next attempt at reading or writing does. With none of these bits it tries at once.
  enum DirectionState : std::uint8_t {
    must_wait = 1,     // not worth trying: after a short read or EAGAIN, until something is reported
    read_fully = 2,    // a short read does not mean that nothing is left (closed, or an error): read on until EAGAIN
    slow_path = 4,     // not a stream socket, or ready() was used, or urgent data came: no shortcut
    tried = 8,         // somebody has tried since the task that the reader, or the writer, names was woken last
    disarmed = 16,     // of reading: what the task that the reader names has waited for is not armed any more
    interrupted = 32,  // a task is still to be told that what it did with the owner's former descriptor has ended
    drained = tried | must_wait  // by a read that came out short
  };
  // Bits that keep Stream::read() from its shortcut.
  static constexpr unsigned not_usual = must_wait | read_fully | slow_path | disarmed | interrupted;

  bool is(Flag flag) const { return (flags & flag) != 0; }
  void set(Flag flag) { flags = static_cast<std::uint16_t>(flags | flag); }
  void clear(unsigned some) { flags = static_cast<std::uint16_t>(flags & ~some); }
  bool may_read() const { return (read_state & must_wait) == 0; }
  bool may_write() const { return (write_state & must_wait) == 0; }
  static void clear_state(std::uint8_t& state, unsigned bits) { state = static_cast<std::uint8_t>(state & ~bits); }

  std::uint8_t& state_of(Interest direction) { return direction == Interest::write ? write_state : read_state; }
  Waiter& waiter_of(Interest direction) { return direction == Interest::write ? writer : reader; }
  // Wakes the task that waits to read, or to write, if one does. Returns whether there was one.
  bool wake_reader() {
    if (!reader.notify()) return false;
    clear_state(read_state, tried);
    return true;
  }
  bool wake_writer() {
    if (!writer.notify()) return false;
    clear_state(write_state, tried);
    return true;
  }
  // Whether an operation of the task that the waiter names is pending: it waits, or it was woken and has not been
  // stepped. (After an operation that has completed the waiter still names its task.)
  bool is_reading() const { return reader.has_task() && (reader.is_waiting() || (read_state & tried) == 0); }
  bool is_writing() const { return writer.has_task() && (writer.is_waiting() || (write_state & tried) == 0); }
  // The task's operation is pending until its next turn, for which it is queued already. What it would wait for is not
  // armed.
  void note_postponed(TaskHeader& task, Interest direction) {
    Waiter& waiter = waiter_of(direction);
    const bool is_writing_there = direction == Interest::write;
    if (!waiter.names(task)) {
      const bool is_pending = is_writing_there ? is_writing() : is_reading();
      if (is_pending) return;  // of another task, which is told then; this one is told EBUSY, or goes on
      waiter.wait(task, 0);
      if (!is_writing_there) read_state |= disarmed;
    }
    clear_state(state_of(direction), tried);
  }
  // Whatever disarms reading calls this: see DescriptorTable::wait_for().
  void forget_idle_reader() {
    if (reader.has_task() && !reader.is_waiting()) read_state |= disarmed;
  }

  // What was reported last, and has not been taken since; not stored for plain data: see DescriptorTable::dispatch().
  Readiness last() const { return static_cast<Readiness>(reported); }
  void report(Readiness readiness) { reported = static_cast<std::uint16_t>(bits(readiness)); }
  void take(Readiness taken) { reported = static_cast<std::uint16_t>(reported & ~bits(taken)); }

  int fd = 0;
  std::uint32_t generation = 0;
  std::uint32_t next = 0;    // of a free slot: the next one. Of one that holds its number: the next in its bucket. Of
                             // one that is being connected: the serial of the task that does it
  std::uint32_t bucket = 0;  // not of this slot: the first one in the bucket of this place; 0: none
  std::uint32_t released_in = 0;  // stats().turns when it was released
  Interest wanted = Interest::none;
  Interest known = Interest::none;
  std::uint8_t read_state = 0;  // of DirectionState
  std::uint8_t write_state = 0;
  std::uint16_t reported = 0;  // of Readiness: see last()
  std::uint16_t flags = 0;     // of Flag
  SlotOwner* owner = nullptr;
  Handler handler;
  Waiter reader;  // what they await are bits of Interest
  Waiter writer;
};

// A bit of what a reader awaits, beside those of Interest: it may wait for more than plain data. It makes dispatch()
// skip its shortcut for plain data, which does not store Slot::last.
inline constexpr unsigned awaits_more_than_data = 0x100;
// A bit of what a reader awaits that waits in a queue instead: no event answers it.
inline constexpr unsigned awaits_no_event = 0x200;

}  // namespace detail
}  // namespace MOTE_NAMESPACE
}  // namespace mote

#endif  // MOTE_REACTOR_SLOT_HPP

// =====================================================================================================================
// include/mote/reactor/descriptor_numbers.hpp
// =====================================================================================================================
// Descriptor numbers: which slot of the table holds which number.
#ifndef MOTE_REACTOR_DESCRIPTOR_NUMBERS_HPP
#define MOTE_REACTOR_DESCRIPTOR_NUMBERS_HPP

namespace mote {
inline namespace MOTE_NAMESPACE {
namespace detail {

// Members that every event needs. In a base of its own, in front of the scheduler: short instructions reach 124
// bytes on Thumb-2 and 127 on x86, so the words that are used most come first.
struct TableWords {
  Interest edges_ = Interest::none;  // edge_triggered, where the selector knows them
  std::uint32_t flags_ = 0;          // of LoopFlag
  Slot* slots_ = nullptr;
  Selector* selector_ = nullptr;
  std::uint32_t capacity_ = 0;
  std::uint32_t free_ = 0;      // the first free slot that has been used before; 0: none
  std::uint32_t fresh_ = 0;     // slots beyond this one have never been used
  std::uint32_t numbered_ = 0;  // slots that hold their number
};

// Which slot holds a descriptor's number: no other slot may arm the same one, until this one gives it back. These hold
// their number:
//   - A slot of Reactor::add(), from then to its release: its descriptor is not the reactor's, and may be closed by
//     somebody else. The number comes back, and no call by the old registration may touch a new one.
//   - A slot of a descriptor that is borrowed, for the same reason.
//   - Any slot that is not in the selector though it could be: it is always ready, or muted. (Not while a stream is
//     being connected, nor the wake-up descriptor's.)
// The others need not: each owns its descriptor, and where two have the same one, the selector says so.
//
// Slots that hold their number are found by it, in O(1) expected: each lies in a bucket, a list that is linked through
// its slots.
class DescriptorNumbers : protected TableWords {
 protected:
  constexpr DescriptorNumbers() = default;
  ~DescriptorNumbers() = default;

  std::uint32_t index_of(const Slot& slot) const { return static_cast<std::uint32_t>(&slot - slots_); }

  // Whether another slot holds its number. (The wake-up descriptor is known to nobody who could register it.)
  bool is_number_taken(const Slot& slot) const {
    if (numbered_ == 0 || &slot == slots_ || slot.is(Slot::numbered)) return false;
    return link_to(slot.fd) != 0;
  }
  void hold_number(Slot& slot) {
    if (&slot == slots_ || slot.is(Slot::connecting)) return;
    std::uint32_t& link = link_to(slot.fd);
    if (link != 0) return;  // this slot holds it already, or another one
    slot.set(Slot::numbered);
    slot.next = 0;
    link = index_of(slot);
    ++numbered_;
  }
  void give_number_back(Slot& slot) {
    if (!slot.is(Slot::numbered)) return;
    slot.clear(Slot::numbered);
    link_to(slot.fd) = slot.next;
    --numbered_;
  }
 private:
  // Returns the link to the slot that holds the number, or the last link of its bucket, which is 0.
  // Knuth, volume 3, section 6.4: multiplied, numbers that follow each other are spread out; the upper half of the
  // product with the capacity is a place in the table.
  [[gnu::noinline]] std::uint32_t& link_to(int fd) const {
    const std::uint32_t spread = static_cast<std::uint32_t>(fd) * 2654435769u;
    std::uint32_t* link = &slots_[1 + (std::uint64_t{spread} * capacity_ >> 32)].bucket;
    while (*link != 0 && slots_[*link].fd != fd) link = &slots_[*link].next;
    return *link;
  }
};

}  // namespace detail
}  // namespace MOTE_NAMESPACE
}  // namespace mote

#endif  // MOTE_REACTOR_DESCRIPTOR_NUMBERS_HPP

// =====================================================================================================================
// include/mote/reactor/descriptor_table.hpp
// =====================================================================================================================
// The descriptor table: what is registered, what the kernel knows of it, and which task or handler gets an event.
#ifndef MOTE_REACTOR_DESCRIPTOR_TABLE_HPP
#define MOTE_REACTOR_DESCRIPTOR_TABLE_HPP

namespace mote {
inline namespace MOTE_NAMESPACE {
namespace detail {

// Conditions that make a turn differ from most others. All in one word, so that the usual turn tests nothing else.
enum LoopFlag : std::uint32_t {
  woken = 1,           // another thread or a signal handler has woken the loop
  draining = 2,        // this run ends with the last task
  rebuild_needed = 4,  // the selector is to be made anew
  never_waiting = 8,   // the descriptors of some handlers are always ready, or were until now
  has_muted = 16,      // a slot has been muted: it has to be looked at again
  unfinished = 32,     // an exception has left a turn: the next run begins with the rest of it
  selector_lost = 64   // beside rebuild_needed: the selector could not be made anew, and takes no descriptors
};

// The part of a reactor that knows descriptors: a scheduler (see there) with a table of fixed capacity. Slot 0 is for
// the wake-up descriptor; slots 1 to capacity_ are the table. An event carries its slot's place and generation; one
// whose generation is not the slot's is dropped, so that a removal is final at once, even within a batch of events.
//
// An error or a hang-up cannot be masked: it would be reported again at once, for ever. So where one stays that nobody
// takes away, the slot is muted: it leaves the selector, and is looked at again by poll(2) after a pause.
class DescriptorTable : DescriptorNumbers, public Scheduler {
 public:
  bool is_open() const { return selector_ != nullptr; }
  std::uint32_t vacancies() const { return capacity_ - stats().descriptors; }
  WaitQueue& vacancy() { return vacancy_; }            // tasks that wait for a free slot
  WaitQueue& accept_retry() { return accept_retry_; }  // tasks whose accept() the system refused a descriptor or memory

  bool has_flag(std::uint32_t flags) const { return (flags_ & flags) != 0; }
  void set_flag(LoopFlag flag) { flags_ |= flag; }
  void clear_flag(LoopFlag flag) { flags_ &= ~unsigned{flag}; }

  // ---- slots ----

  // Takes a free slot for a descriptor. The selector is told of it when something is awaited.
  // Errors:
  //   ENXIO    the reactor is not open.
  //   EBADF    fd is negative.
  //   ENOBUFS  the table is full. It is reported to the observer.
  Result<void> claim(int fd, Slot*& claimed) {
    if (selector_ == nullptr) return Error(Reason::reactor_not_open);
    if (fd < 0) return Error(EBADF);
    if (free_ == 0 && fresh_ == capacity_) return report_table_full();
    Slot* slot = nullptr;
    if (free_ != 0) {
      slot = &slots_[free_];
      free_ = slot->next;
    } else {
      ++fresh_;
      slot = &slots_[fresh_];
      slot->generation = first_number() | 1u;
    }
    Statistics& counts = stats();
    ++counts.descriptors;
    if (counts.descriptors > counts.descriptors_high) counts.descriptors_high = counts.descriptors;
    slot->fd = fd;
    claimed = slot;
    return {};
  }
  // Ends a registration that the selector does not have any more. Operations that are pending find their source closed.
  // Wakes all tasks that wait for a free slot: O(waiting tasks).
  void release(Slot& slot) {
    give_number_back(slot);
    if (slot.is(Slot::listening)) accept_retry_.notify_all();
    slot.reader.notify();
    slot.reader.clear();
    slot.writer.notify();
    slot.writer.clear();
    if (++slot.generation == 0) slot.generation = 1;
    slot.released_in = static_cast<std::uint32_t>(stats().turns);
    slot.wanted = Interest::none;
    slot.known = Interest::none;
    slot.report(Readiness::none);
    slot.read_state = 0;
    slot.write_state = 0;
    slot.flags = 0;
    slot.owner = nullptr;
    slot.handler = {};
    slot.next = free_;
    free_ = index_of(slot);
    --stats().descriptors;
    vacancy_.notify_all();
  }
  using DescriptorNumbers::index_of;
  Slot* find(Registration registration) {  // null: it has been removed
    if (registration.slot == 0 || registration.slot > fresh_) return nullptr;
    Slot& slot = slots_[registration.slot];
    return slot.generation == registration.generation && slot.handler ? &slot : nullptr;
  }
  // Sets the handler and what it is called for. After an error all is as before. Errors: those of set_interest(), and
  // of Selector::rebuild().
  Result<void> set_handler(Slot& slot, Interest interest, Handler handler) {
    const bool is_heard = (slot.flags & (Slot::in_set | Slot::told)) == Slot::in_set;
    if (interest != slot.known || !is_heard || !slot.handler) return change_handler(slot, interest, handler);
    slot.handler = handler;
    slot.wanted = interest;
    return {};
  }
  // Owners register with the function that closes them, so that a program without owners does not link its code.
  void set_owner(Slot& slot, SlotOwner& owner, void (*close_owner)(SlotOwner&)) {
    slot.owner = &owner;
    close_owner_ = close_owner;
  }
  void close_listeners() { close_owners(Slot::listening); }  // O(slots used so far)
  // For a slot whose descriptor is borrowed: from now on no other slot may use its number.
  // Errors:
  //   EEXIST  another slot holds the number.
  Result<void> borrow(Slot& slot) {
    if (is_number_taken(slot)) return Error(Reason::descriptor_already_added);
    slot.set(Slot::borrowed);
    hold_number(slot);
    return {};
  }

  // ---- what the kernel knows ----

  // Arms this interest in the selector. After an error the slot wants what it wanted before. It may have left the set
  // then, if its descriptor was closed by somebody else: whoever waits for it has been woken, to try again.
  // Errors:
  //   EBADF           the descriptor was closed by somebody else while it was registered.
  //   EEXIST          another slot has registered the same descriptor.
  //   ELOOP           (epoll) it is an epoll set, and the sets would be nested in a circle or too deep.
  //   ENOMEM, ENOSPC  the kernel's limits.
  Result<void> set_interest(Slot& slot, Interest interest) {
    const Interest before = std::exchange(slot.wanted, interest);
    if (interest == slot.known && slot.is(Slot::in_set)) return {};
    return update_selector(slot, before);
  }
  // The same for a handler, which is heard again if it was muted. The selector is told in any case.
  Result<void> renew_interest(Slot& slot, Interest interest) {
    if (has_flag(selector_lost)) {
      if (const Result<void> remade = remake_selector(); !remade) return remade;
    }
    const std::uint32_t flags_before = slot.flags;
    slot.clear(Slot::muted | Slot::told | Slot::always_ready);  // the number may be another kind of file's by now
    // A selector over poll(2) would not notice. (One without edges over epoll is looked after for nothing.)
    const bool is_gone = !any(edges_) && slot.is(Slot::in_set) && is_closed(slot);
    Result<void> renewed = Error(EBADF);
    if (!is_gone) renewed = update_selector(slot, std::exchange(slot.wanted, interest));
    if (!renewed) restore(slot, flags_before);
    return renewed;
  }
  void remove_from_selector(Slot& slot) {
    leave_selector(slot);
    give_number_back(slot);
  }
  // For a number that the system has just given out: whoever is in the set by it has been closed by somebody else.
  // O(slots used so far).
  void evict(int fd) {
    for (std::uint32_t i = 1; i <= fresh_; ++i) {
      Slot& slot = slots_[i];
      if (slot.fd != fd || !slot.is(Slot::in_set)) continue;
      forget_in_selector(slot);
      slot.clear(Slot::in_set);
      slot.known = Interest::none;
      wake_all(slot);
    }
  }
  // For a descriptor that is about to be closed, or has been, which makes the kernel remove it.
  void forget_in_selector(Slot& slot) {
    if (slot.is(Slot::in_set)) selector_->forget(slot.fd);
  }
  // Notes the task as waiting for a direction, and arms it. After an error the task is not noted. While a slot's reader
  // names a task, woken or not, what that has waited for last is armed: Stream::read() relies on it to wait again
  // without a call. So whatever disarms reading calls Slot::forget_idle_reader(). Errors:
  //   EBUSY           another task waits for it, or a handler is called.
  //   EBADF           the descriptor was closed by somebody else.
  //   EEXIST          another slot has registered the same descriptor.
  //   ELOOP           (epoll) it is an epoll set, and the sets would be nested in a circle or too deep.
  //   ENOMEM, ENOSPC  the kernel's limits.
  Result<void> wait_for(Slot& slot, Interest direction, TaskHeader& task) {
    Waiter& waiter = slot.waiter_of(direction);
    if (waiter.is_taken_by_another(task) || slot.handler) return Error(Reason::awaited_by_another_task);
    const bool only_data = (slot.read_state & Slot::slow_path) == 0;
    waiter.wait(task, bits(direction) | (only_data ? 0u : awaits_more_than_data));
    const Interest wanted = slot.wanted | direction;
    if ((slot.flags & (Slot::always_ready | Slot::error_stands)) != 0) return wait_specially(slot, waiter, wanted);
    if (wanted == slot.known) return {};
    // Edge-triggered for our own TCP sockets that are only read(): a short read has drained them. See Slot::is_tcp and
    // Slot::slow_path.
    return arm(slot, waiter, only_data && slot.is(Slot::is_tcp) ? wanted | edges_ : wanted);
  }
 protected:
  constexpr DescriptorTable() = default;
  ~DescriptorTable() = default;

  void attach(Selector& selector, Slot* storage, std::uint32_t capacity) {
    // Before Linux 5.3 an edge of room to write may be lost when memory is short (the kernel's changes 'set
    // SOCK_NOSPACE under memory pressure' of 5.0, and 'make sure EPOLLOUT wont be missed' of 5.3).
    const bool has_edges = selector.can_report_edges() && System::is_at_least(5, 3);
    edges_ = has_edges ? edge_triggered : Interest::none;
    selector_ = &selector;
    slots_ = storage;
    capacity_ = capacity;
  }

  [[gnu::always_inline]] void dispatch(const Ready& ready) {
    const auto offset = static_cast<std::uint32_t>(ready.token);
    MOTE_ASSERT(offset <= capacity_ * sizeof(Slot) && offset % sizeof(Slot) == 0 &&
                "a token that is not mote's: a Selector of your own must report the tokens that it was given");
    auto* const table = static_cast<char*>(static_cast<void*>(slots_));
    Slot& slot = *static_cast<Slot*>(static_cast<void*>(table + offset));
    if (slot.generation != static_cast<std::uint32_t>(ready.token >> 32)) return drop_stale_event(slot);
    if (ready.readiness == Readiness::readable && slot.reader.awaited() == bits(Interest::read)) {  // mostly
      Slot::clear_state(slot.read_state, Slot::must_wait | Slot::tried);
      return slot.reader.wake();
    }
    const Handler handler = slot.handler;
    if (!handler) return wake_waiters(slot, ready.readiness);
    if ((bits(ready.readiness) & ~bits(slot.wanted)) != 0) return call_with_what_is_asked(slot, ready.readiness);
    handler(ready.readiness);  // mostly
  }
  void dispatch_always_ready_handlers() {
    if (dispatch_always_ready_ != nullptr) dispatch_always_ready_(*this);
  }
  // Looks again at the slots that are muted: those whose hang-up or error has gone, or that have what they wait for,
  // are heard again. O(slots used so far), and a system call for each that is muted.
  void look_at_muted_slots() {
    for (std::uint32_t i = 1; i <= fresh_; ++i) {
      Slot& slot = slots_[i];
      if (slot.is(Slot::muted)) look_again(slot);
    }
  }
  // What a rebuild that has failed has left to do.
  Result<void> finish_rebuild() { return has_flag(rebuild_needed) ? rebuild() : Result<void>(); }
  // Makes the selector anew from the table. After an error rebuild_needed stays set.
  // Errors: those of Selector::rebuild(), and those of set_interest() for the wake-up descriptor, without which the
  // loop could not be woken.
  [[gnu::cold]] Result<void> rebuild() {
    if (const Result<void> remade = remake_selector(); !remade) return remade;
    ++stats().selector_rebuilds;
    for (std::uint32_t i = 0; i <= fresh_; ++i) {
      if (!slots_[i].is(Slot::in_set)) continue;
      const Result<void> added = add_again(slots_[i]);
      if (added) continue;
      if (i == 0) {
        slots_[0].set(Slot::in_set);
        return added;
      }
      tell_failure(slots_[i], added.error());
    }
    clear_flag(rebuild_needed);
    report(Observation::selector_rebuilt);
    return {};
  }
  // Closes the owners of all slots with that flag (0: of all slots). O(slots used so far).
  void close_owners(std::uint32_t flag) {
    const Slot* slot = slots_;  // of the wake-up descriptor, which has no owner
    const Slot* const last = slots_ + fresh_;
    while (slot != last) {
      ++slot;
      if (slot->owner != nullptr && (slot->flags & flag) == flag) close_owner_(*slot->owner);
    }
  }
  Slot& wake_slot() { return slots_[0]; }

  bool has_any_flag() const { return flags_ != 0; }
  std::uint32_t flags() const { return flags_; }
  Selector& selector() const { return *selector_; }

  // After a handler has thrown: the events of the batch that are left, or the slot from which the handlers that are
  // always ready are called. 0: none, or all.
  std::uint32_t left_ = 0;
 private:
  [[gnu::noinline]] Result<void> change_handler(Slot& slot, Interest interest, Handler handler) {
    const Handler before = std::exchange(slot.handler, handler);
    dispatch_always_ready_ = &DescriptorTable::dispatch_always_ready;
    const Result<void> changed = renew_interest(slot, interest);
    if (!changed) slot.handler = before;
    return changed;
  }
  // Makes the selector anew, and empty: rebuild_needed stays set until all are added, since a handler that is told of a
  // failure may throw. Errors: those of Selector::rebuild().
  [[gnu::cold]] Result<void> remake_selector() {
    set_flag(rebuild_needed);
    const Result<void> fresh = selector_->rebuild();
    if (fresh) clear_flag(selector_lost);
    else set_flag(selector_lost);
    return fresh;
  }
  // After a refusal: what the slot was before. What has left the selector on the way is added again later.
  [[gnu::cold]] void restore(Slot& slot, std::uint32_t flags_before) {
    if (is_closed(slot)) {
      leave_but_stay_named(slot);
    } else if ((flags_before & Slot::always_ready) != 0) {
      slot.set(Slot::always_ready);
      hold_number(slot);
      static_cast<void>(update_always_ready(slot));
    } else if ((flags_before & (Slot::muted | Slot::in_set)) != 0 && !slot.is(Slot::in_set)) {
      mute(slot);
    }
  }
  static bool is_closed(const Slot& slot) { return any(look(slot.fd, Interest::none) & not_open); }
  static constexpr unsigned never_masked = bits(Readiness::error | hung_up);

  // An event of which not all is asked for: what is asked for may be another thing by now than it was when the event
  // was received; and hang-up and error are never asked for.
  [[gnu::noinline]] void call_with_what_is_asked(Slot& slot, Readiness readiness) {
    const Readiness heard = readiness & static_cast<Readiness>(asked_for(slot.wanted) | never_masked);
    if ((bits(heard) & ~never_masked) == 0) return call_unasked(slot, heard);
    const Handler handler = slot.handler;
    handler(heard);
  }
  // An event that carries nothing that is asked for. If that was a hang-up or an error, the handler is told, once: if
  // it neither takes away what it was told of, nor sets itself anew, the slot is muted. Else it is an event of what was
  // asked for when it was received, and is not any more.
  [[gnu::cold]] void call_unasked(Slot& slot, Readiness heard) {
    if (!any(heard)) return;
    const std::uint32_t generation = slot.generation;
    const Handler handler = slot.handler;
    slot.set(Slot::told);
    handler(heard);
    if (slot.generation != generation || !slot.is(Slot::told)) return;
    slot.clear(Slot::told);
    // Where it is gone, the event may have come from a descriptor that was closed, lives on in a duplicate, and whose
    // number is another file's now: the selector then answers ENOENT, and is made anew.
    if (condition_stays(slot) || !update_selector(slot, slot.wanted)) mute(slot);
  }
  // Whether there is a hang-up or an error, and nothing that is asked for: it would be reported again and again.
  static bool condition_stays(const Slot& slot) {
    const unsigned seen = bits(look(slot.fd, slot.wanted));
    const bool is_over = (seen & (never_masked | bits(not_open))) != 0;
    return is_over && (seen & asked_for(slot.wanted)) == 0;
  }
  void mute(Slot& slot) {
    leave_but_stay_named(slot);
    hold_number(slot);
    slot.set(Slot::muted);
    set_flag(has_muted);
  }
  void look_again(Slot& slot) {
    if (condition_stays(slot)) return set_flag(has_muted);
    slot.clear(Slot::muted | Slot::error_stands);
    if (!update_selector(slot, slot.wanted)) mute(slot);
  }

  // Arms what a waiter has been noted for. After an error it is not noted. What is always ready wakes it at once.
  Result<void> arm(Slot& slot, Waiter& waiter, Interest interest) {
    const Result<void> armed = set_interest(slot, interest);
    if (!armed) waiter.clear();
    else if (slot.is(Slot::always_ready)) wake_at_once(slot, waiter);
    return armed;
  }
  // There is never anything urgent.
  static void wake_at_once(Slot& slot, const Waiter& waiter) {
    if ((waiter.awaited() & bits(Interest::read | Interest::write)) == 0) return;
    slot.report(Readiness::readable | Readiness::writable);
    Slot::clear_state(slot.read_state, Slot::must_wait);
    Slot::clear_state(slot.write_state, Slot::must_wait);
    if (&waiter == &slot.writer) slot.wake_writer();
    else slot.wake_reader();
  }
  // A descriptor that is always ready, or one with an error that stays. That one is armed edge-triggered, so that it is
  // reported only when something changes; poll(2) has no such thing.
  [[gnu::cold]] Result<void> wait_specially(Slot& slot, Waiter& waiter, Interest wanted) {
    if (slot.is(Slot::always_ready)) return arm(slot, waiter, wanted);
    if (any(edges_)) return arm(slot, waiter, wanted | edges_);
    slot.wanted = wanted;
    mute(slot);
    return {};
  }
  // An event of a descriptor that tasks wait for. Waiters are woken; a direction without a waiter is disarmed, so that
  // it costs one event and one system call, once. Every event does one or the other: none can spin.
  [[gnu::noinline]] void wake_waiters(Slot& slot, Readiness readiness) {
    constexpr Interest reading = Interest::read | Interest::priority;
    Interest unclaimed = directions_of(readiness);
    note_readiness(slot, readiness, unclaimed);
    // The cast to 8 bits drops awaits_more_than_data.
    const Interest awaited = static_cast<Interest>(slot.reader.awaited()) & reading;
    if (any(unclaimed & awaited)) {
      slot.wake_reader();
      unclaimed &= ~awaited;
    }
    if (any(unclaimed & Interest::write) && slot.wake_writer()) unclaimed &= ~Interest::write;
    if (!any(unclaimed & slot.known)) return;
    // Edge-triggered: it is not reported again by itself, so nothing needs to be disarmed.
    if (any(slot.known & edge_triggered)) return;
    if (any(unclaimed & Interest::read)) slot.forget_idle_reader();
    // If it fails, the next event tries again.
    static_cast<void>(set_interest(slot, slot.wanted & ~unclaimed));
  }
  // The directions that an event concerns: hang-up and error concern all of them.
  static Interest directions_of(Readiness readiness) {
    if (any(readiness & (hung_up | Readiness::error))) { return Interest::read | Interest::priority | Interest::write; }
    auto directions = static_cast<Interest>(bits(readiness) & 0x07u);
    if (any(readiness & Readiness::read_closed)) directions |= Interest::read;
    return directions;
  }
  static void note_readiness(Slot& slot, Readiness readiness, Interest directions) {
    slot.report(readiness);
    constexpr Interest reading = Interest::read | Interest::priority;
    if (any(directions & reading)) Slot::clear_state(slot.read_state, Slot::must_wait);
    if (any(directions & Interest::write)) Slot::clear_state(slot.write_state, Slot::must_wait);
    constexpr Readiness more_than_data = hung_up | Readiness::read_closed | Readiness::error;
    if (any(readiness & more_than_data)) slot.read_state |= Slot::read_fully;
    if (slot.is(Slot::error_stands) && !any(readiness & Readiness::error)) {
      slot.clear(Slot::error_stands);
      slot.wanted &= ~edge_triggered;
    }
    if (any(readiness & Readiness::priority)) {
      // At the mark of urgent data recv() reads short, or fails with EAGAIN if a signal is pending, though there is
      // more: from now on the stream is level-triggered.
      slot.read_state |= Slot::slow_path;
      slot.wanted &= ~edge_triggered;
    }
  }
  static void dispatch_always_ready(DescriptorTable& self) {
    const std::uint32_t first = has_exceptions ? std::exchange(self.left_, 0u) : 0;
    if (first == 0) self.clear_flag(never_waiting);
    for (std::uint32_t i = first == 0 ? 1 : first; i <= self.fresh_; ++i) {
      const Slot& slot = self.slots_[i];
      const Handler handler = slot.handler;
      if (!slot.is(Slot::always_ready) || !handler || !any(slot.known)) continue;
      ++self.stats().events;
      self.set_flag(never_waiting);
      OnException resume_later([&self, i] { self.left_ = i + 1; });
      handler(static_cast<Readiness>(slot.known));
      resume_later.dismiss();
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
    return update_selector(slot, slot.wanted);
  }
  // The descriptor was closed by somebody else, or there is no memory. Waiters have been woken; a handler is called
  // with Readiness::error, and where it may pass, the slot is muted, to be added later.
  void tell_failure(Slot& slot, Error error) {
    const Handler handler = slot.handler;
    if (!handler) return;
    if (error != EBADF) mute(slot);
    handler(Readiness::error);
  }

  [[gnu::cold]] Error report_table_full() {
    const Error full = Error(Reason::descriptor_table_full);
    report(Observation::table_full, nullptr, full);
    return full;
  }

  // Makes what the selector knows equal to what is wanted. `before` is wanted again after an error.
  Result<void> update_selector(Slot& slot, Interest before) {
    if (slot.is(Slot::always_ready)) return update_always_ready(slot);
    // The descriptor of a handler stays in the set without an interest, too, for hang-up and error.
    if (!any(slot.wanted) && !slot.handler) {
      leave_but_stay_named(slot);
      if (!is_foreign(slot)) give_number_back(slot);
      return {};
    }
    const Result<void> updated = add_or_modify(slot);
    if (updated) return updated;
    slot.wanted = before;
    if (!slot.is(Slot::in_set)) {
      if (!is_foreign(slot)) give_number_back(slot);
      wake_all(slot);
    }
    return updated;
  }
  Result<void> add_or_modify(Slot& slot) {
    if (slot.is(Slot::in_set)) {
      const Result<void> modified = tell_selector(slot, Change::modify);
      if (modified || !is_one_of(modified.error().code(), ENOENT, EPERM)) return modified;
      leave_but_stay_named(slot);  // closed by somebody else, and the number is another file's by now
    }
    if (is_number_taken(slot)) return Error(Reason::descriptor_already_added);
    Result<void> added = tell_selector(slot, Change::add);
    if (!added && added.error() == EEXIST && !is_in_set_elsewhere(slot)) {
      added = tell_selector(slot, Change::modify);  // a duplicate, closed since, has left it behind
    }
    if (added && is_foreign(slot)) hold_number(slot);
    if (added || added.error() != EPERM) return added;
    slot.set(Slot::always_ready);
    hold_number(slot);
    return update_always_ready(slot);
  }
  // Whether the descriptor is not the reactor's: it is one of Reactor::add(), or borrowed.
  static bool is_foreign(const Slot& slot) {
    return (slot.handler && slot.owner == nullptr) || slot.is(Slot::borrowed);
  }
  // O(slots used so far); called only where the selector returns EEXIST.
  [[gnu::cold]] bool is_in_set_elsewhere(const Slot& slot) const {
    for (const Slot* other = slots_; other <= slots_ + fresh_; ++other) {
      if (other != &slot && other->fd == slot.fd && other->is(Slot::in_set)) return true;
    }
    return false;
  }
  // Returns whether the kernel has removed it from the set, now.
  bool leave_selector(Slot& slot) {
    Result<void> removed;
    if (slot.is(Slot::in_set)) {
      removed = selector_->remove(slot.fd);
      if (!removed) selector_->forget(slot.fd);
      // Closed by somebody else, which has removed it from the set, too. ENOENT, EPERM: the number is in use again.
      const bool was_closed = !removed && is_one_of(removed.error().code(), EBADF, ENOENT, EPERM);
      if (!removed && !was_closed) set_flag(rebuild_needed);
    }
    slot.clear(Slot::in_set);
    slot.known = Interest::none;
    slot.forget_idle_reader();
    return static_cast<bool>(removed);
  }
  // The slot goes on under its generation, by which events of a closed descriptor that lives on in a duplicate would
  // pass as its own.
  void leave_but_stay_named(Slot& slot) {
    if (!leave_selector(slot)) set_flag(rebuild_needed);
  }
  // Waiters try again, and are armed anew, or get the error.
  static void wake_all(Slot& slot) {
    slot.wake_reader();
    slot.wake_writer();
    slot.forget_idle_reader();
  }
  Result<void> update_always_ready(Slot& slot) {
    slot.known = slot.wanted & (Interest::read | Interest::write);
    if (slot.handler && any(slot.known)) set_flag(never_waiting);
    return {};
  }
  enum class Change { add, modify };
  Result<void> tell_selector(Slot& slot, Change change) {
    const Result<void> told = change == Change::add ? selector_->add(slot.fd, slot.wanted, token_of(slot))
                                                    : selector_->modify(slot.fd, slot.wanted, token_of(slot));
    if (told) {
      slot.set(Slot::in_set);
      slot.known = slot.wanted;
    }
    return told;
  }

  std::uint64_t token_of(const Slot& slot) const {
    const auto offset = static_cast<std::size_t>(&slot - slots_) * sizeof(Slot);  // fits: see StaticReactor's capacity
    return std::uint64_t{offset} | std::uint64_t{slot.generation} << 32;
  }

  WaitQueue vacancy_;
  WaitQueue accept_retry_;
  // Set when the first handler and the first owner are, so that a program without them does not link that code.
  void (*dispatch_always_ready_)(DescriptorTable&) = nullptr;
  void (*close_owner_)(SlotOwner&) = nullptr;
};

}  // namespace detail
}  // namespace MOTE_NAMESPACE
}  // namespace mote

#endif  // MOTE_REACTOR_DESCRIPTOR_TABLE_HPP

// =====================================================================================================================
// include/mote/reactor/wake_cell.hpp
// =====================================================================================================================
// WakeCell: what other threads and signal handlers touch in order to wake a loop.
#ifndef MOTE_REACTOR_WAKE_CELL_HPP
#define MOTE_REACTOR_WAKE_CELL_HPP

namespace mote {
inline namespace MOTE_NAMESPACE {
namespace detail {

// Whether a loop sleeps, and the eventfd that wakes it. Cells lie in static storage; a loop takes one in
// enable_wakeups(), and keeps it until it is destroyed. So a thread that is about to wake a loop never touches memory
// that has been freed, and nobody has to wait for such a thread, not even the destructor of the reactor. A thread that
// is late may find the cell in use by another loop, which it then wakes for nothing.
//
// The loop publishes whether it sleeps:
//
//   asleep     it waits, or is about to. Whoever wakes it writes to the eventfd.
//   awake      it looks again before it sleeps. Whoever wakes it sets `notified`: no system call.
//   notified   somebody has woken it: there is nothing to be done.
//
// To wake a loop that sleeps, a thread first writes to the eventfd, and sets `notified` only then. The other way
// around, all others would take the loop for woken while that thread is preempted in between. By then the loop may have
// been awake and have fallen asleep again, so each sleep has a number of its own (of 30 bits), and a thread sets
// `notified` only for the sleep that it has ended.
//
// publish() and the first load of notify() are sequentially consistent. Either the waking side sees that the loop
// sleeps, or the loop, after it has published `awake`, sees what the waking side had noted before it looked. The
// relaxed loads are hints, or are checked by an exchange.
// Size on a 32-bit board: 12 bytes.
class WakeCell : Pinned {
 public:
  static constexpr std::uint32_t awake = 1;
  // `sleep` tells this sleep from the ones before.
  static constexpr std::uint32_t asleep(std::uint32_t sleep) { return sleep << 2; }

  // ---- for the loop's thread ----

  // Takes the cell, if it is free.
  bool claim() {
    std::uint32_t expected = 0;
    return users_.compare_exchange_strong(expected, claimed);
  }
  // Lets threads in. The eventfd belongs to the cell from then on.
  void open(int event_fd, std::uint32_t state) {
    fd_ = event_fd;
    state_.store(state);
    users_.store(claimed | opened);
  }
  // Gives the cell back. The last of those that are inside closes the eventfd, so that its number is not used again
  // while a thread may still write to it.
  void close() {
    const std::uint32_t users = users_.fetch_and(~opened);
    if (users == (claimed | opened)) release();
  }
  // The two for a forked child, in which those that were inside do not exist.
  void close_in_child() { release(); }
  void reopen_in_child(int event_fd, std::uint32_t state) {
    System::close(fd_);
    open(event_fd, state);
  }
  // Gives back a cell that has not been opened.
  void unclaim() { users_.store(0); }
  int event_fd() const { return fd_; }

  // Publishes `awake`, or asleep(...). Returns whether the loop had been notified.
  bool publish(std::uint32_t state) { return state_.exchange(state) == notified; }
  bool is_notified() const { return state_.load(std::memory_order_relaxed) == notified; }

  // ---- for any thread and any signal handler ----

  // Wakes the loop: at most one write(), and none while it is awake. It leaves errno as it is. If the loop has gone
  // meanwhile, there may be a close(). It waits for no other thread: it repeats what EINTR has interrupted, an exchange
  // that has failed for nothing, and one before which another thread has changed the word.
  void notify() {
    if (notify_if_awake() || !enter()) return;
    const int saved_errno = errno;
    std::uint32_t state = state_.load(std::memory_order_relaxed);
    const std::uint64_t one = 1;  // EAGAIN: it is full, so the loop is awake already
    retry([&] { return System::write(fd_, &one, sizeof one); });
    if (is_asleep(state)) {
      state_.compare_exchange_strong(state, notified, std::memory_order_release, std::memory_order_relaxed);
    }
    leave();
    errno = saved_errno;
  }
 private:
  static constexpr std::uint32_t notified = 2;
  static constexpr bool is_asleep(std::uint32_t state) { return (state & 3u) == 0; }
  // Bits of users_. The rest of it counts those that are inside.
  static constexpr std::uint32_t claimed = 1u << 31;  // a loop has the cell, or somebody is still inside
  static constexpr std::uint32_t opened = 1u << 30;   // threads may enter

  // False: it sleeps.
  bool notify_if_awake() {
    std::uint32_t state = state_.load();
    while (state == awake) {
      if (state_.compare_exchange_weak(state, notified)) return true;
    }
    return state == notified;
  }
  // From here to leave() the cell and its eventfd stay those of one loop. False: the loop has gone.
  bool enter() {
    std::uint32_t users = users_.load(std::memory_order_relaxed);
    while ((users & opened) != 0) {
      if (users_.compare_exchange_weak(users, users + 1)) return true;
    }
    return false;
  }
  void leave() {
    if (users_.fetch_sub(1) == claimed + 1) release();  // the loop has gone, and this was the last
  }
  void release() {
    System::close(fd_);
    users_.store(0);
  }

  std::atomic<std::uint32_t> users_{0};
  std::atomic<std::uint32_t> state_{0};
  int fd_ = 0;
};

inline WakeCell wake_cells[limits::reactors_with_wakeups];

// Names a cell in an atomic word: 1 for the first. 0 names none.
inline std::uint32_t number_of(const WakeCell& cell) { return static_cast<std::uint32_t>(&cell - wake_cells) + 1; }
inline WakeCell& wake_cell_of(std::uint32_t number) { return wake_cells[number - 1]; }

// Null: all are in use.
inline WakeCell* claim_wake_cell() {
  for (WakeCell& cell : wake_cells) {
    if (cell.claim()) return &cell;
  }
  return nullptr;
}

}  // namespace detail
}  // namespace MOTE_NAMESPACE
}  // namespace mote

#endif  // MOTE_REACTOR_WAKE_CELL_HPP

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

// The layers above plug in by hooks. They are null until the first object of the layer is used, so that a program that
// does not use it does not link its code.

// Fires the timers that are due; with `fire` false it cancels all timers, which then refer to no loop.
using ExpireHook = void (*)(Loop&, bool fire);
// What can happen to the inbox, and to each node of it.
enum class InboxEvent {
  deliver,  // wake-ups have come: see whether there is one for you
  close,    // the reactor goes
  forked,   // this is a forked child, which goes on with the loop: put right what the fork may have caught half-way
  thrown    // your callback has thrown while you delivered: what it may have left is delivered in the next turn
};
using InboxHook = void (*)(Loop&, InboxEvent);
// An object that others wake the loop by.
struct InboxNode : ListNode {
  using Hook = void (*)(InboxNode&, InboxEvent);
  Hook hook = nullptr;  // null: no object, but a mark in the list
};
// A reference to a loop, of an object that may outlive it: null from the loop's end on.
struct LoopReference : ListNode {
  ~LoopReference() { unlink(); }
  Loop* loop = nullptr;
};
// The base of the objects from which coroutine frames are taken. The loop only keeps the pointer.
struct FrameStore {};

// Members that every turn needs, in front of the rest: see TableWords.
struct LoopWords {
  // From where in a turn the next run goes on after an exception.
  enum class Phase : std::uint8_t { tasks, events, always_ready, rebuilding, timers };

  bool running_ = false;
  Phase unfinished_phase_ = Phase::tasks;  // where the flag `unfinished` is set: what comes next
  Ready* batch_ = nullptr;
  std::uint32_t batch_size_ = 0;
  std::atomic<std::uint32_t> stop_{0};
  // Null: wake-ups are not enabled. The loop counts as asleep also while it does not run, so that a wake-up makes the
  // pollable descriptor readable.
  WakeCell* wake_cell_ = nullptr;
};

// The part of a reactor that runs: a descriptor table (see there) with time and wake-ups. Reactor says what a turn is.
class Loop : LoopWords, public DescriptorTable {
 public:
  // ---- runs ----

  Result<void> run_until(Instant limit) { return take_turns(limit, false); }
  // Returns how many steps, events and timers there were. Errors of both: see Reactor::run().
  Result<std::uint32_t> run_once(Duration timeout) {
    Instant limit = timeout == unlimited ? never : distant_past;
    if (timeout > Duration::zero() && timeout != unlimited) limit = saturating_add(Clock::now(), timeout);
    const std::uint64_t before = work_done();
    const Result<void> done = take_turns(limit, true);
    if (!done) return done.error();
    return static_cast<std::uint32_t>(work_done() - before);
  }
  bool is_running() const { return running_; }
  // May be called by any thread and signal handler.
  void stop() {
    stop_.store(1);
    if (wake_cell_ != nullptr) wake_cell_->notify();
  }
  // The same for the loop's own thread, which need not be woken.
  void stop_here() { stop_.store(1, std::memory_order_relaxed); }
  void forget_stop() { stop_.store(0, std::memory_order_relaxed); }
  // Counts work that is no task, for a draining run to wait for.
  void hold() { ++holds_; }
  void release_hold() {
    MOTE_ASSERT(holds_ != 0 && "release() without hold(): each hold() of GracefulShutdown has one release()");
    --holds_;
  }
  bool is_held() const { return holds_ != 0; }
  // Whether tasks are left, but nothing that could wake them.
  bool is_deadlocked() const { return stats().tasks != 0 && nothing_can_happen(); }
  // Counts nodes of the inbox that are no reason to go on running.
  void add_background() { ++background_; }
  void remove_background() { --background_; }

  // ---- time ----

  TimingWheel& wheel() { return wheel_; }
  // Timers that are not armed, but were armed in this loop last: they are told when it goes.
  List<TimerNode>& idle_timers() { return idle_timers_; }
  std::uint32_t next_timer_order() { return ++timer_order_; }
  void set_expire_hook(ExpireHook expire) { expire_timers_ = expire; }
  // While timers are fired: the deadlines up to this one are due. Else Instant().
  Instant firing_until() const { return firing_until_; }
  void set_firing_until(Instant instant) { firing_until_ = instant; }
  Instant next_deadline() const {
    if (!is_open()) return never;
    if (has_work_at_once()) return distant_past;
    return wheel_.empty() ? never : Instant(Duration(wheel_.next()));
  }
  // Something could not be done now: after limits::retry_pause, accept_retry() is woken, and muted descriptors are
  // looked at again.
  void expect_retry() {
    if (retry_at_ != Instant()) return;
    retry_at_ = saturating_add(read_clock(), limits::retry_pause);
    wheel_.expect(retry_at_.time_since_epoch().count());
  }

  // ---- wake-ups ----

  // Makes the descriptor by which other threads and signal handlers wake the loop.
  // Errors:
  //   ENXIO                           the reactor is not open.
  //   ENOBUFS                         limits::reactors_with_wakeups of this process have wake-ups already.
  //   EMFILE, ENFILE, ENOMEM, ENOSPC  the system's limits. (ENODEV cannot be: anonymous inodes are always there.)
  Result<void> enable_wakeups() {
    if (!is_open()) return Error(Reason::reactor_not_open);
    if (wake_cell_ != nullptr) return {};
    Fd fresh(System::event_fd());
    if (!fresh) return last_error();
    WakeCell* const cell = claim_wake_cell();
    if (cell == nullptr) return Error(Reason::too_many_woken_reactors);
    Slot& slot = wake_slot();
    evict(fresh.get());
    slot.fd = fresh.get();
    slot.generation = 1;
    slot.handler = Handler::of<&Loop::drain_wake_descriptor>(*this);
    const Result<void> added = set_interest(slot, Interest::read);
    if (!added) {
      cell->unclaim();
      return added;
    }
    cell->open(fresh.release(), sleep_state());
    wake_cell_ = cell;
    process_ = System::process();
    serve_inbox_ = &Loop::serve_inbox;
    return {};
  }
  // Where wake-ups are enabled: the cell by which the loop is woken.
  WakeCell& wake_cell() { return *wake_cell_; }
  void join_inbox(InboxNode& node, InboxNode::Hook hook) {
    node.hook = hook;
    inbox_.push_back(node);
    ++inbox_size_;
  }
  void leave_inbox(InboxNode& node) {
    node.unlink();
    --inbox_size_;
  }
  // In a forked child: makes a selector and a wake-up descriptor of its own, and tells the nodes of the inbox.
  // Errors: those of enable_wakeups(), and those of rebuild().
  Result<void> after_fork_in_child() {
    if (!is_open()) return Error(Reason::reactor_not_open);
    // In the same process once more, other threads may be using the descriptor by now.
    if (wake_cell_ != nullptr && process_ != System::process()) {
      Fd fresh(System::event_fd());
      if (!fresh) return last_error();
      evict(fresh.get());
      wake_slot().fd = fresh.get();
      wake_cell_->reopen_in_child(fresh.release(), sleep_state());
      process_ = System::process();
      serve_inbox_(*this, InboxEvent::forked);
    }
    set_flag(woken);
    return rebuild();
  }

  // ---- the rest ----

  void add_reference(LoopReference& reference) {
    reference.unlink();
    reference.loop = this;
    references_.push_back(reference);
  }
  int pollable_descriptor() const { return is_open() ? selector().descriptor() : -1; }
  void set_frame_store(FrameStore* store) { frame_store_ = store; }
  FrameStore* frame_store() const { return frame_store_; }
 protected:
  constexpr Loop() = default;
  ~Loop() = default;

  void attach(Selector& selector, Slot* storage, std::uint32_t capacity, Ready* batch, std::uint32_t batch_size) {
    start();
    DescriptorTable::attach(selector, storage, capacity);
    batch_ = batch;
    batch_size_ = batch_size;
  }
  // Before the storage is destroyed: makes every object that refers to this loop forget it, so that they may be
  // destroyed in any order.
  void close() {
    destroy_all_tasks();
    while (TaskStore* const store = first_store()) Scheduler::close(*store);
    if (serve_inbox_ != nullptr) serve_inbox_(*this, InboxEvent::close);
    if (expire_timers_ != nullptr) expire_timers_(*this, false);
    close_owners(0);
    while (LoopReference* const reference = references_.pop_front()) reference->loop = nullptr;
  }
 private:
  std::uint64_t work_done() const { return stats().steps + stats().events + stats().timers_fired; }
  bool has_work_at_once() const { return has_flag(woken | never_waiting | unfinished) || has_ready_task(); }
  bool is_quiet() const { return (flags() | stop_.load()) == 0; }  // one test of both words
  bool is_drained() const { return has_flag(draining) && stats().tasks == 0 && holds_ == 0; }
  bool is_over() const { return stop_.load() != 0 || is_drained(); }
  bool nothing_can_happen() const {
    return stats().descriptors == 0 && inbox_size_ == background_ && wheel_.empty() && !has_work_at_once();
  }

  Result<void> take_turns(Instant limit, bool once) {
    if (running_) return Error(Reason::already_running);
    if (!is_open()) return Error(Reason::reactor_not_open);
    const bool endless = !once && limit == never;
    const bool no_limit_no_priorities = endless && !has_priorities();
    const Run run(*this);
    Result<void> result = finish_rebuild();
    if (!result) return result;
    if (has_exceptions && has_flag(unfinished) && (once || !is_over())) {
      const std::uint64_t before = work_done();
      result = finish_turn(limit);
      if (!result) return result;
      if (once && work_done() != before) limit = distant_past;  // the turn that follows does not wait
    }
    while (is_quiet() || once || !is_over()) {
      if (endless && nothing_can_happen()) {
        if (stats().tasks != 0) result = Error(Reason::deadlock);
        break;
      }
      result = turn(limit, no_limit_no_priorities);
      if (!result || (!endless && is_last_turn(limit, once))) break;
    }
    if (!once) stop_.store(0, std::memory_order_relaxed);
    return result;
  }
  bool is_last_turn(Instant limit, bool once) { return once || (limit != never && now() >= limit); }
  // A run, which an exception may leave, too.
  class Run {
   public:
    [[gnu::always_inline]] explicit Run(Loop& loop) : testimony_(loop), loop_(loop) { loop_.enter(); }
    Run(const Run&) = delete;
    Run& operator=(const Run&) = delete;
    [[gnu::always_inline]] ~Run() { loop_.leave(); }
   private:
    Testimony testimony_;
    Loop& loop_;
  };
  void enter() {
    running_ = true;
    if (wake_cell_ != nullptr && wake_cell_->publish(WakeCell::awake)) set_flag(woken);
  }
  void leave() {
    running_ = false;
    if (wake_cell_ != nullptr && wake_cell_->publish(sleep_state())) wake_cell_->notify();
  }
  // A turn sleeps once, and the wake-up descriptor is read only after that turn has been counted: so the number of
  // turns tells the sleeps apart.
  std::uint32_t asleep() const { return WakeCell::asleep(static_cast<std::uint32_t>(stats().turns)); }
  std::uint32_t sleep_state() const { return running_ ? WakeCell::awake : asleep(); }

  // `no_limit_no_priorities`: the run has no limit, and the lowest priority has the only queue.
  [[gnu::always_inline]] Result<void> turn(Instant limit, bool no_limit_no_priorities) {
    OnException finish_later([this] { leave_unfinished(Phase::tasks); });
    run_ready_tasks();
    finish_later.dismiss();
    return wait_and_dispatch(limit, no_limit_no_priorities);
  }
  [[gnu::always_inline]] Result<void> wait_and_dispatch(Instant limit, bool no_limit_no_priorities) {
    Duration timeout = unlimited;
    const bool waits_forever = no_limit_no_priorities && waits_for_events_alone();  // the quick test
    if (!waits_forever) timeout = time_to_wait(limit);
    const bool may_sleep = fall_asleep(timeout);
    const Result<std::size_t> events = selector().wait_once(batch_, batch_size_, timeout);
    // If this replaces `notified`, nothing is lost: whoever said so had written to the wake-up descriptor, which this
    // wait or the next one reports. An exchange, so that what this turn looks at is looked at after it.
    if (may_sleep) wake_cell_->publish(WakeCell::awake);
    now_known_ = false;
    ++stats().turns;
    if (!events && events.error() != EINTR) return events.error();
    dispatch_batch(events ? *events : 0);
    if (has_any_flag()) {
      if (const Result<void> handled = handle_flags(); !handled) return handled;
    }
    fire_due_timers();
    return {};
  }
  [[gnu::always_inline]] void fire_due_timers() {
    if (!wheel_.empty() && now().time_since_epoch().count() >= wheel_.next()) fire_timers();
  }
  // The usual case, found by few tests: there is nothing but events to wait for. Only for a run without a limit and
  // without higher priorities.
  bool waits_for_events_alone() const {
    return lowest_queue_is_empty() && is_quiet() && wheel_.empty() && stats().descriptors != 0;
  }
  // Before each wait. If it may block, says `asleep`. A notify() since the last wait made no system call, as the loop
  // was awake: it is found here, sets `woken`, and makes the timeout 0. Returns whether `asleep` has been said, and
  // `awake` must be after the wait.
  [[gnu::always_inline]] bool fall_asleep(Duration& timeout) {
    if (wake_cell_ == nullptr) return false;
    const bool may_sleep = timeout > Duration::zero();
    if (may_sleep || wake_cell_->is_notified()) {
      const bool was_notified = wake_cell_->publish(may_sleep ? asleep() : WakeCell::awake);
      if (was_notified) {
        set_flag(woken);
        timeout = Duration::zero();
      }
    }
    return may_sleep;
  }
  [[gnu::always_inline]] void dispatch_batch(std::size_t received) {
    stats().events += received;
    const Ready* const end = batch_ + received;
    const Ready* ready = batch_;
    OnException keep([this, &ready, end] { keep_batch(ready + 1, end); });
    for (; ready != end; ++ready) dispatch(*ready);
    keep.dismiss();
  }
  [[gnu::noinline]] Duration time_to_wait(Instant limit) {
    expect_looks();
    if (has_work_at_once() || is_over()) return Duration::zero();
    Instant next = limit;
    if (!wheel_.empty() && Instant(Duration(wheel_.next())) < next) next = Instant(Duration(wheel_.next()));
    // Where nothing can happen it does not block: take_turns() then ends the run.
    if (next == never) return nothing_can_happen() ? Duration::zero() : unlimited;
    if (next <= last_known_time()) return Duration::zero();  // passed already: the clock need not be read
    const Instant fresh = read_clock();                      // again: the steps may have taken long
    return next > fresh ? next - fresh : Duration::zero();
  }
  [[gnu::noinline, gnu::cold]] Result<void> handle_flags() { return handle_flags_from(Phase::always_ready); }
  [[gnu::always_inline]] Result<void> handle_flags_from(Phase phase) {
    OnException finish_later([this, &phase] { leave_unfinished(phase); });
    if (phase == Phase::always_ready) {
      if (has_flag(never_waiting)) dispatch_always_ready_handlers();
      phase = Phase::rebuilding;
    }
    if (phase == Phase::rebuilding && has_flag(rebuild_needed)) {
      if (const Result<void> rebuilt = rebuild(); !rebuilt) {
        finish_later.dismiss();
        return rebuilt;
      }
    }
    if (phase != Phase::timers && has_flag(woken)) {
      phase = Phase::timers;
      clear_flag(woken);
      if (serve_inbox_ != nullptr) serve_inbox_(*this, InboxEvent::deliver);
    }
    expect_looks();
    finish_later.dismiss();
    return {};
  }
  [[gnu::noinline]] void fire_timers() {
    OnException renew([this] { renew_retry(); });
    if (expire_timers_ != nullptr) expire_timers_(*this, true);
    renew.dismiss();
    renew_retry();
  }
  // The wheel has been searched anew, and does not know of the pause.
  void renew_retry() {
    if (retry_at_ == Instant()) return;
    wheel_.forget();
    if (retry_at_ > last_known_time()) return wheel_.expect(retry_at_.time_since_epoch().count());
    retry_at_ = Instant();
    ++stats().timers_fired;
    accept_retry().notify_all();
    look_at_muted_slots();
    expect_looks();
  }
  void expect_looks() {
    if (!has_flag(has_muted)) return;
    clear_flag(has_muted);
    expect_retry();
  }

  // ---- after an exception ----
  //
  // What a task, a handler or a callback throws leaves the run. The rest of the turn is not lost: the next run begins
  // with it, and goes on behind what has thrown. So what throws each time does not keep the others from their share.

  [[gnu::cold]] void leave_unfinished(Phase phase) {
    unfinished_phase_ = phase;
    set_flag(unfinished);
  }
  // Keeps events that have been received and not been dispatched: an edge would not be reported again.
  [[gnu::cold]] void keep_batch(const Ready* begin, const Ready* end) {
    left_ = static_cast<std::uint32_t>(end - begin);
    stats().events -= left_;  // counted when they are dispatched
    for (std::uint32_t i = 0; i < left_; ++i) batch_[i] = begin[i];
    leave_unfinished(Phase::events);
  }
  [[gnu::cold, gnu::noinline]] Result<void> finish_turn(Instant limit) {
    const Phase phase = unfinished_phase_;
    clear_flag(unfinished);
    if (phase == Phase::tasks) {
      OnException finish_later([this] { leave_unfinished(Phase::tasks); });
      finish_ready_tasks();
      finish_later.dismiss();
      return wait_and_dispatch(limit, false);
    }
    now_known_ = false;
    if (phase == Phase::events) dispatch_batch(std::exchange(left_, 0u));
    const Phase next = phase == Phase::events ? Phase::always_ready : phase;
    if (const Result<void> handled = handle_flags_from(next); !handled) return handled;
    fire_due_timers();
    return {};
  }

  void drain_wake_descriptor(Readiness) {
    std::uint64_t count = 0;  // EAGAIN: nothing to drain
    retry([&] { return System::read(wake_cell_->event_fd(), &count, sizeof count); });
    set_flag(woken);
  }
  // The hook for all that wake-ups need: set when they are enabled, so that a program without them does not link it.
  static void serve_inbox(Loop& loop, InboxEvent event) {
    if (event == InboxEvent::deliver) return loop.deliver_wakeups();
    if (event == InboxEvent::close) return loop.close_inbox();
    for (InboxNode* node = loop.inbox_.front(); node != nullptr; node = loop.inbox_.after(*node)) {
      if (node->hook != nullptr) node->hook(*node, event);
    }
  }
  // Goes once around: each node is put behind a mark before it is called, so that the callbacks may open and close
  // what they like, and one that forks leaves all nodes in the list.
  void deliver_wakeups() {
    struct Mark : InboxNode {
      ~Mark() { unlink(); }
    } mark;
    inbox_.push_back(mark);
    InboxNode* node = nullptr;
    OnException deliver_rest_later([this, &node] { deliver_later(node); });
    for (node = inbox_.pop_front(); node != &mark; node = inbox_.pop_front()) {
      inbox_.push_back(*node);
      if (node->hook != nullptr) node->hook(*node, InboxEvent::deliver);
    }
    deliver_rest_later.dismiss();
  }
  // What a callback has thrown ends the delivery: the rest comes first in the next one.
  [[gnu::cold]] void deliver_later(const InboxNode* thrown) {
    set_flag(woken);
    InboxNode* node = inbox_.front();
    while (node != nullptr && node != thrown) node = inbox_.after(*node);
    const bool is_there = node != nullptr && node->hook != nullptr;  // the callback may have destroyed it
    if (is_there) node->hook(*node, InboxEvent::thrown);
  }
  void close_inbox() {
    while (InboxNode* const node = inbox_.front()) {
      if (node->hook == nullptr) {
        node->unlink();  // a forked child destroys the loop in a callback of its own
      } else {
        node->hook(*node, InboxEvent::close);
      }
    }
    const bool is_inherited = process_ != System::process();
    if (is_inherited) {
      wake_cell_->close_in_child();
    } else {
      wake_cell_->close();
    }
    wake_cell_ = nullptr;
  }

  pid_t process_ = 0;  // that has enabled wake-ups: its threads and signal handlers wake the loop
  std::uint32_t inbox_size_ = 0;
  std::uint32_t background_ = 0;
  std::uint32_t holds_ = 0;
  std::uint32_t timer_order_ = 0;
  Instant firing_until_{};
  Instant retry_at_{};  // see expect_retry(); Instant(): there is nothing to be tried again
  ExpireHook expire_timers_ = nullptr;
  InboxHook serve_inbox_ = nullptr;
  FrameStore* frame_store_ = nullptr;
  List<InboxNode> inbox_;
  List<LoopReference> references_;
  List<TimerNode> idle_timers_;
  TimingWheel wheel_;
};

}  // namespace detail
}  // namespace MOTE_NAMESPACE
}  // namespace mote

#endif  // MOTE_REACTOR_LOOP_HPP

// =====================================================================================================================
// include/mote/reactor/reactor.hpp
// =====================================================================================================================
// Reactor: the loop, as user code sees it.
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
// A turn: 1 step the tasks that were ready when it began; 2 compute the timeout, which is zero if anything is ready;
// 3 wait; 4 dispatch one batch of events, then call the handlers that are always ready, make the selector anew if need
// be, and deliver the wake-ups; 5 fire the timers that are due. What a phase wakes runs in the next turn (a task of a
// lower priority may still run in this one). So the work of a turn is bounded: no socket, timer or task keeps the
// others from their share.
//
// The library throws nothing. What a program's own task, handler, callback or observer throws leaves run(), run_for()
// or run_once(); a task whose step threw has failed with ENOTRECOVERABLE. The next run begins with the rest of that
// turn, so nothing is lost. (What a callback or an observer throws is dropped where nothing may be thrown: in
// destructors, and while another exception is under way.)
class Reactor : detail::Loop {
 public:
  // ---- running ----

  // Runs until stop(), or until there is nothing left that could ever happen: no task, timer, descriptor or waker.
  // Errors, of all runs:
  //   ENXIO           open() has not been called.
  //   EBUSY           it is running already: called from within run().
  //   EDEADLK         (run() alone) tasks are left, but nothing that could wake them: they wait for each other.
  //                   describe() names the first of them, and where it waits.
  //   EINVAL          (poll) there are more descriptors than RLIMIT_NOFILE allows.
  //   ENOMEM, ENOSPC  the kernel's limits: free something and run again.
  //   EMFILE, ENFILE  (epoll) the selector had to be made anew, and could not be: the next run tries again.
  //   EBADF           (epoll) the selector has been closed by somebody else: no run can succeed.
  Result<void> run() { return run_until(never); }
  // Runs until stop(), or until the time is up. Unlike run() it sits out its time though nothing is left that could
  // happen: what other threads start meanwhile is served. `unlimited` makes it run(); zero or less is one turn without
  // a wait. What its last turn wakes, as a timer that is due at the end of the time, is stepped by the next run.
  Result<void> run_for(AnyDuration duration) { return run_until(saturating_add(Clock::now(), duration)); }
  // One turn, which waits for `timeout` at most. Returns how many steps, events and timers there were. It does not take
  // a stop(), which stays for the next run(); until then it does not wait.
  Result<std::uint32_t> run_once(AnyDuration timeout = unlimited) { return Loop::run_once(timeout); }
  // Ends run() at the end of this turn; or, called before, the next run() at once. Any thread and any signal handler:
  // for these, wake-ups have to be enabled before (by a Waker, Mailbox, Signals, or enable_wakeups()), and it must not
  // be called any more once the reactor's destructor has begun.
  void stop() { Loop::stop(); }
  bool running() const { return is_running(); }
  bool is_open() const { return Loop::is_open(); }
  // The time at which this turn's events were received; read from the clock when it is first asked for.
  Instant now() { return Loop::now(); }

  // ---- descriptors ----

  // Registers a descriptor with a handler; the descriptor stays the caller's. The handler is called in phase 4 with
  // what is ready of what is asked for at that moment, again and again while it stays so. `handler` must not be empty.
  // It may do anything, also remove itself. Where the set is made anew and the kernel refuses the descriptor, it is
  // called with Readiness::error, also from within after_fork_in_child().
  //
  // hangup and error are reported whatever was asked for. One that comes alone and stays (the handler has not taken the
  // error away, has not removed the registration, and has not called modify()) is reported once: then the descriptor is
  // looked at every limits::retry_pause (100 ms), and is heard again when the hang-up or error has gone or what was
  // asked for is there; at once after modify().
  //
  // Descriptors that belong to a library: a registration ends with remove() before the library closes the descriptor;
  // or, where it tells of it only afterwards, with forget(). Until then the number is taken: a new descriptor of the
  // same number, the library's next one or another's, cannot be added (EEXIST), nor be waited for by tasks; and the
  // handler may be called with what is ready of that one, which poll(2) cannot tell from the old one.
  // Errors:
  //   EBADF            fd is not an open descriptor.
  //   EEXIST           the number is registered already, or tasks wait for it (found out in O(slots used so far)).
  //   EINVAL           (epoll) it is pollable_descriptor().
  //   ENOBUFS          the table is full: see Config::descriptors.
  //   ENXIO            open() has not been called.
  //   ELOOP            (epoll) fd is an epoll set, and the sets would be nested in a circle or too deep.
  //   ENOMEM, ENOSPC   the kernel's limits.
  //   EMFILE, ENFILE   the system's limits, while the set has to be made anew, which a run or a fork could not do.
  Result<Registration> add(int fd, Interest interest, Handler handler) {
    MOTE_ASSERT(handler && "Reactor::add() needs a handler: Handler::of<...>(), or a function object that lives on");
    Slot* slot = nullptr;
    if (const Result<void> claimed = claim(fd, slot); !claimed) return claimed.error();
    MOTE_ASSERT(slot != nullptr);
    const Result<void> added = set_handler(*slot, interest, handler);
    if (added) return Registration{index_of(*slot), slot->generation};
    release(*slot);
    return added.error();
  }
  // Changes what is asked for, from the next event on that is delivered, one of this very turn included. The kernel is
  // told in any case, so that a descriptor that is no longer in its set (see add(); or it was closed, and the number is
  // another's now) is added again. After an error all is as before.
  // Errors:
  //   ENOENT           the registration is no longer there.
  //   EBADF            its descriptor has been closed: forget() it.
  //   EEXIST, EINVAL   the same, and the number is by now that of a descriptor of the reactor's own.
  //   ELOOP, ENOMEM, ENOSPC, EMFILE, ENFILE   as of add().
  Result<void> modify(Registration registration, Interest interest) {
    Slot* const slot = find(registration);
    if (slot == nullptr) return Error(detail::Reason::registration_ended);
    return renew_interest(*slot, interest);
  }
  // After it no event of the registration is delivered, even if one has been received. Remove first, then close. Wakes
  // all tasks that wait for a free slot: O(waiting tasks).
  // Errors:
  //   ENOENT   the registration is no longer there.
  Result<void> remove(Registration registration) {
    Slot* const slot = find(registration);
    if (slot == nullptr) return Error(detail::Reason::registration_ended);
    remove_from_selector(*slot);
    release(*slot);
    return {};
  }
  // The same for a descriptor that has been closed already, whose number may be another's by now: the kernel, which has
  // dropped it, is not told.
  // Errors:
  //   ENOENT   the registration is no longer there.
  Result<void> forget(Registration registration) {
    Slot* const slot = find(registration);
    if (slot == nullptr) return Error(detail::Reason::registration_ended);
    forget_in_selector(*slot);
    release(*slot);
    return {};
  }
  std::uint32_t vacancies() const { return Loop::vacancies(); }  // free slots of the table
  // Closes all listeners. O(slots of the table used so far).
  void close_listeners() { Loop::close_listeners(); }

  // ---- inside of another loop ----

  // Wait until this descriptor is readable or the deadline has come, then call run_once(Duration::zero()). It is
  // another one after Observation::selector_rebuilt. -1 with poll, which has none.
  int pollable_descriptor() const { return Loop::pollable_descriptor(); }
  // Instant::min() if there is work at once, mote::never if there is no timer. Compare it with Clock::now() before you
  // subtract that: the difference of Instant::min() overflows.
  Instant next_deadline() const { return Loop::next_deadline(); }

  // ---- other threads and processes ----

  // Makes the descriptor by which other threads and signal handlers wake the loop. O(slots of the table used so far).
  // Errors:
  //   ENXIO                           open() has not been called.
  //   ENOBUFS                         limits::reactors_with_wakeups of this process have wake-ups already.
  //   EMFILE, ENFILE, ENOMEM, ENOSPC  the system's limits.
  Result<void> enable_wakeups() { return Loop::enable_wakeups(); }
  // To be called in a child that goes on with the loop, after fork() and before anything else of the reactor: makes a
  // selector and a wake-up descriptor of the child's own. The loop's own thread must have forked, inside of run() or
  // outside. After an error call it again. A child that only execs, or only closes what it inherited, need not call it.
  //
  // What the child has of each kind of object, independent of the parent's:
  //   descriptors, sources  registered as before. But both processes have the same file or connection: one of them
  //                         should close each, and who reads takes the data away from the other.
  //   tasks                 all, as they stand; they go on in the child.
  //   timers                armed as before, for the same instants.
  //   wakers                open as before; a wake-up that is pending is delivered in the child, too.
  //   mailboxes             open as before, with copies of the messages that were complete, in order. One that was just
  //                         being posted by another thread is dropped; see Mailbox.
  //   signals               taken over. Those that had come before the fork were the parent's. Until this call, and in
  //                         a child that never makes it, a signal has the effect that it had before it was taken.
  //   shutdown              goes on, with the signals and requests that had been delivered.
  //   watchdogs             the same device: only one of the two processes should go on feeding it.
  //   frames, pools         copies of the child's own.
  // Threads are not inherited: what another one was about to do is not done in the child.
  // Errors: those of enable_wakeups() but ENOBUFS, and EBADF if the selector was closed by somebody else.
  Result<void> after_fork_in_child() { return Loop::after_fork_in_child(); }

  // ---- observation ----

  const Statistics& stats() const { return Loop::stats(); }
  // Without an observer, failures that nobody joins go to standard error.
  void observe(Observer observer) { Loop::observe(observer); }
  // Zero or less: off. Else each step is measured, which costs two readings of the clock.
  void set_slow_step_threshold(AnyDuration threshold) { Loop::set_slow_step_threshold(threshold); }
  // Calls visit(Task&) for each live task, which tells what it waits for, where and since when; Task::describe() says
  // it in one line, TaskPool::find() gives its object. O(slots of pools used so far).
  template <class F> void for_each_task(F&& visit) {
    Loop::for_each_task([&visit](detail::TaskHeader& task) { visit(detail::TaskAccess::task(task)); });
  }
  // What a run that failed is to tell: of EDEADLK the first task that waits for what cannot come, by name and place,
  // and how many others there are; else Error::message(). For example "task Echo at echo.cpp:31 waits for what cannot
  // come: an event (and 2 more)". O(slots of pools used so far).
  Text describe(Error error) {
    Text text;
    if (error != EDEADLK || !is_deadlocked()) return text.add(error.message());
    std::uint32_t others = stats().tasks;
    for_each_task([&text, &others](Task& task) {
      if (text.size() != 0) return;
      --others;
      text.add("task ").add(task.name());
      if (task.line() != 0) text.add(" at ").add_place(task.file(), task.line());
      text.add(" waits for what cannot come");
      // It may have noted itself nowhere: a step that returns pending, or an operation that does so and tells nobody.
      if (const char* const what = task.waits_for(); what != nullptr) text.add(": ").add(what);
    });
    if (others != 0) text.add(" (and ").add_number(others).add(" more)");
    return text;
  }
  // O(slots of pools used so far).
  void cancel_all_tasks() { Loop::cancel_all_tasks(); }
  // All but the running one. Returns how many there were. O(slots of pools used so far).
  std::uint32_t destroy_all_tasks() { return Loop::destroy_all_tasks(); }

  // ---- for other layers ----

  // What TaskPool::spawn() takes.
  operator detail::SchedulerRef() { return {*this}; }
  // The pool for coroutines that get no pool as an argument, but this reactor or an object that is open in it.
  void set_frame_pool(detail::FrameStore& pool) { set_frame_store(&pool); }
  detail::FrameStore* frame_pool() const { return frame_store(); }
 protected:
  constexpr Reactor() = default;
  ~Reactor() = default;  // the derived class that has the storage calls close() before it is destroyed
  void attach(Selector& selector, detail::Slot* storage, std::uint32_t capacity, Ready* batch,
              std::uint32_t batch_size) {
    Loop::attach(selector, storage, capacity, batch, batch_size);
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
// include/mote/reactor/foreign_descriptors.hpp
// =====================================================================================================================
// ForeignDescriptors: the descriptors of a library that owns them, by number.
#ifndef MOTE_REACTOR_FOREIGN_DESCRIPTORS_HPP
#define MOTE_REACTOR_FOREIGN_DESCRIPTORS_HPP

namespace mote {
inline namespace MOTE_NAMESPACE {

// What tables of all sizes have in common. The entries lie in the derived class.
class ForeignDescriptorsBase {
 public:
  // Called with a descriptor and what is ready of it.
  using Callback = Delegate<void(int fd, Readiness readiness)>;

  // What the library wants of a descriptor: from now on the callback is called while that is ready, as of
  // Reactor::add(), which says what is told of hang-ups and errors. Interest::none ends that, and is no error where the
  // descriptor is not in the table. After another error all is as before.
  //
  // The kernel is told in any case, since the library may have closed the descriptor and opened another one of the same
  // number. A library that tells the same again and again is compared with interest() first.
  // Errors:
  //   ENXIO    open() has not been called, or the reactor has gone.
  //   EBADF    fd is not open. If it was in the table, it is closed by now: forget() it.
  //   EEXIST   the number is registered in another place, or tasks wait for it.
  //   ENOBUFS  this table is full, or the reactor's: see Config::descriptors.
  //   EINVAL, ELOOP, ENOMEM, ENOSPC, EMFILE, ENFILE   as of Reactor::add().
  // O(N).
  Result<void> watch(int fd, Interest interest) {
    if (loop_.loop == nullptr) return Error(detail::Reason::table_not_open);
    Entry* const entry = find(fd);
    if (!any(interest)) {
      if (entry != nullptr) remove(*entry);
      return {};
    }
    return entry != nullptr ? change(*entry, interest) : add(fd, interest);
  }
  // For a descriptor that the library has closed before it told: ends its registration without a system call. No effect
  // where it is not in the table. O(N).
  void forget(int fd) {
    Entry* const entry = find(fd);
    if (entry == nullptr) return;
    if (loop_.loop != nullptr) static_cast<void>(reactor().forget(entry->registration));
    entry->registration = {};
  }
  // Ends all registrations; open() makes it usable again. No effect where it is not open. O(N).
  void close() {
    for (std::uint32_t i = 0; i < capacity_; ++i) {
      if (entries_[i].registration) remove(entries_[i]);
    }
    loop_.unlink();
    loop_.loop = nullptr;
  }
  bool is_open() const { return loop_.loop != nullptr; }
  // What is watched of a descriptor; none: it is not in the table. O(N).
  Interest interest(int fd) const {
    const Entry* const entry = find(fd);
    return entry != nullptr ? entry->interest : Interest::none;
  }
 protected:
  struct Entry {
    void on_ready(Readiness readiness) {
      const Callback callback = table->callback_;  // it may end this registration, or destroy the table
      callback(fd, readiness);
    }

    ForeignDescriptorsBase* table = nullptr;
    Registration registration;  // empty: the entry is free
    int fd = 0;
    Interest interest = Interest::none;
  };

  constexpr ForeignDescriptorsBase() = default;
  ~ForeignDescriptorsBase() = default;  // the derived class, which has the entries, closes it
  Result<void> open(Reactor& reactor, Callback callback, Entry* entries, std::uint32_t capacity) {
    MOTE_ASSERT(callback && "a table of foreign descriptors needs a callback");
    if (is_open()) return Error(detail::Reason::already_open);
    if (!reactor.is_open()) return Error(detail::Reason::reactor_not_open);
    for (std::uint32_t i = 0; i < capacity; ++i) entries[i] = {};  // of a reactor that has gone
    entries_ = entries;
    capacity_ = capacity;
    callback_ = callback;
    detail::ReactorAccess::loop(reactor).add_reference(loop_);
    return {};
  }
 private:
  Reactor& reactor() const { return detail::ReactorAccess::reactor(*loop_.loop); }

  Entry* find(int fd) const {
    for (std::uint32_t i = 0; i < capacity_; ++i) {
      if (entries_[i].registration && entries_[i].fd == fd) return &entries_[i];
    }
    return nullptr;
  }
  Entry* find_free() const {
    for (std::uint32_t i = 0; i < capacity_; ++i) {
      if (!entries_[i].registration) return &entries_[i];
    }
    return nullptr;
  }
  Result<void> add(int fd, Interest interest) {
    Entry* const entry = find_free();
    if (entry == nullptr) return Error(detail::Reason::foreign_table_full);
    const Result<Registration> added = reactor().add(fd, interest, Handler::of<&Entry::on_ready>(*entry));
    if (!added) return added.error();
    *entry = {this, *added, fd, interest};
    return {};
  }
  Result<void> change(Entry& entry, Interest interest) {
    const Result<void> changed = reactor().modify(entry.registration, interest);
    if (changed) entry.interest = interest;
    return changed;
  }
  void remove(Entry& entry) {
    if (loop_.loop != nullptr) static_cast<void>(reactor().remove(entry.registration));
    entry.registration = {};
  }

  detail::LoopReference loop_;
  Callback callback_;
  Entry* entries_ = nullptr;
  std::uint32_t capacity_ = 0;
};

// The descriptors of a library that opens and closes them itself (libcurl, c-ares, hiredis, libmosquitto): a table from
// a descriptor's number to its registration. The library's hook calls watch() with what it wants; the callback hands
// what is ready back to it. How this goes with four libraries is in docs/foreign-libraries.md.
//
// Before a library closes a descriptor it says so, and the hook calls watch(fd, Interest::none). Of one that tells
// only afterwards the hook calls forget(fd). Of one that does not tell at all, but opens another one of the same number
// and asks for that, watch() sees to it. Until then the number is taken: whoever else registers it gets EEXIST.
//
// In the callback all calls are allowed, for this descriptor and for others, and so is destroying the table: after
// watch(fd, none) and forget() no event of that registration is delivered any more, even if it has been received. It
// must not move, and may outlive the reactor. N descriptors at a time.
// Size: 20 * N, and 28 bytes on a 32-bit board.
template <std::size_t N> class ForeignDescriptors : public ForeignDescriptorsBase {
  static_assert(N >= 1 && N < (1u << 24), "between 1 and 16,777,215 descriptors");
 public:
  constexpr ForeignDescriptors() = default;
  ~ForeignDescriptors() { close(); }

  // Errors:
  //   EBUSY  it is open already: close() it first.
  //   ENXIO  the reactor is not open.
  Result<void> open(Reactor& reactor, Callback callback) {
    return ForeignDescriptorsBase::open(reactor, callback, storage_, N);
  }
 private:
  Entry storage_[N];
};

}  // namespace MOTE_NAMESPACE
}  // namespace mote

#endif  // MOTE_REACTOR_FOREIGN_DESCRIPTORS_HPP

// =====================================================================================================================
// include/mote/reactor/static_reactor.hpp
// =====================================================================================================================
// StaticReactor: a reactor with its storage.
#ifndef MOTE_REACTOR_STATIC_REACTOR_HPP
#define MOTE_REACTOR_STATIC_REACTOR_HPP

namespace mote {
inline namespace MOTE_NAMESPACE {

// The settings of a StaticReactor. Derive from it, and declare anew what is to be another:
//   struct Config : mote::Config { static constexpr std::size_t descriptors = 200; };
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

  // Does nothing to one that is open.
  // Errors:
  //   EMFILE, ENFILE, ENOMEM   the system's limits.
  Result<void> open() { return open(selector_storage_); }
  // With a selector of the caller's, which must outlive this. One that has been used before starts anew.
  template <class S> Result<void> open(S& selector) {
    if (is_open()) return {};
    const Result<void> opened = selector.is_open() ? selector.rebuild() : selector.open();
    if (opened) attach_storage(selector);
    return opened;
  }
 private:
  // The part of open() that is the same for all kinds of selectors, so that a program that opens two has it once.
  void attach_storage(mote::Selector& selector) {
    attach(selector, slot_storage_, C::descriptors, batch_storage_, batch);
    if constexpr (C::priorities > 1) attach_priorities(higher_.queues, C::priorities - 1);
  }

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
// It must not move; its destructor cancels it, and so does the end of its reactor. All calls, and the destructor of one
// that has ever been armed, are for the loop's thread. Timers that are due fire in order of deadline, equal ones in
// order of arming, and none before its time. All calls are allowed in every callback, and O(1). A callback that throws
// has been called: a periodic timer goes on, another one is over.
// Size on a 32-bit board: 48 bytes.
class Timer : detail::TimerNode {
 public:
  using Callback = Delegate<void()>;
  ~Timer() {
    cancel();
    unlink();  // from the timers that are not armed
  }

  // Once, `delay` from now (the clock is read). Zero or less: in this turn or the next, after its events.
  void arm(Reactor& reactor, AnyDuration delay, Callback callback) {
    detail::Loop& loop = detail::ReactorAccess::loop(reactor);
    start(loop, saturating_add(loop.read_clock(), delay), 0, callback);
  }
  void arm_at(Reactor& reactor, Instant deadline, Callback callback) {
    start(detail::ReactorAccess::loop(reactor), deadline, 0, callback);
  }
  // The same where the instant is counted in another unit: it saturates, too.
  template <class D> void arm_at(Reactor& reactor, std::chrono::time_point<Clock, D> deadline, Callback callback) {
    arm_at(reactor, saturating_add(Instant(), deadline.time_since_epoch()), callback);
  }
  // At now + period, then at every further period, without drift: a late tick does not shift the next; ticks that went
  // by meanwhile are counted in missed() and skipped: where three ticks fall into one long step, the timer fires once,
  // and missed() is 2. A period of less than 1 ns counts as 1 ns.
  void arm_every(Reactor& reactor, AnyDuration period, Callback callback) {
    detail::Loop& loop = detail::ReactorAccess::loop(reactor);
    const Duration tick = period;
    const std::int64_t ns = tick.count() > 0 ? tick.count() : 1;
    start(loop, saturating_add(loop.read_clock(), Duration(ns)), ns, callback);
  }
  // Again, `delay` after the time at which this turn's events were received: the idle timeout. It must have been armed
  // before. A later deadline is only noted, and the clock is not read again: this is the cheapest operation there is.
  // No effect where the reactor has been destroyed: it is not armed then.
  void rearm(AnyDuration delay) {
    MOTE_ASSERT(callback_ && "rearm() of a Timer that has never been armed: arm() it first");
    if (!armed_) return rearm_idle(delay);
    const Instant moved = saturating_add(loop_->now(), delay);
    if (moved < deadline() || deadline() <= loop_->firing_until()) return start(*loop_, moved, period_, callback_);
    TimerNode::deadline = moved.time_since_epoch().count();
    order = loop_->next_timer_order();
  }
  bool cancel() {  // whether it was armed
    if (!armed_) return false;
    disarm();
    return true;
  }
  bool armed() const { return armed_; }
  Instant deadline() const { return Instant(Duration(TimerNode::deadline)); }
  Duration period() const { return Duration(period_); }  // as it was armed last; zero: once
  std::uint32_t missed() const { return missed_; }       // ticks skipped before the one that fired last
 private:
  friend class TaskTimer;

  [[gnu::noinline]] void rearm_idle(Duration delay) {
    if (loop_ != nullptr) start(*loop_, saturating_add(loop_->now(), delay), period_, callback_);
  }
  void start(detail::Loop& loop, Instant deadline, std::int64_t period, Callback callback) {
    leave_list();
    armed_ = true;
    loop_ = &loop;
    period_ = period;
    callback_ = callback;
    loop.set_expire_hook(&Timer::expire);
    TimerNode::deadline = deadline.time_since_epoch().count();
    order = loop.next_timer_order();
    loop.wheel().insert(*this, loop.last_known_time().time_since_epoch().count());
    if (loop.wheel().count() > loop.stats().timers_high) loop.stats().timers_high = loop.wheel().count();
  }
  // For who does not rearm(): cancels it, and need not be told when the loop goes.
  void end() {
    if (!armed_) return;
    leave_list();
    loop_ = nullptr;
  }
  void disarm() {
    leave_list();
    loop_->idle_timers().push_back(*this);
  }
  // Leaves the wheel, or the timers that are not armed. It is in one of them from when it was armed first until its
  // loop goes.
  void leave_list() {
    if (std::exchange(armed_, false)) {
      loop_->wheel().erase(*this);
    } else {
      unlink();
    }
  }
  // The loop's hook: fires the timers that are due, or cancels all.
  static void expire(detail::Loop& loop, bool fire) {
    detail::List<detail::TimerNode> due;
    detail::OnException put_back([&loop, &due] {
      loop.set_firing_until(Instant());
      loop.wheel().put_back(due);
    });
    loop.set_firing_until(loop.last_known_time());
    const std::int64_t until = fire ? loop.last_known_time().time_since_epoch().count() : INT64_MAX;
    while (loop.wheel().expire(until, due)) {
      while (detail::TimerNode* const node = due.front()) {
        Timer& timer = *static_cast<Timer*>(node);
        if (fire) {
          ++loop.stats().timers_fired;
          timer.fire();
        } else {
          timer.disarm();
        }
      }
    }
    put_back.dismiss();
    loop.set_firing_until(Instant());
    loop.wheel().refresh();
    if (!fire) forget(loop);
  }
  // The loop goes.
  static void forget(detail::Loop& loop) {
    while (detail::TimerNode* const node = loop.idle_timers().pop_front()) static_cast<Timer*>(node)->loop_ = nullptr;
  }
  void fire() {
    const Callback callback = callback_;  // the callback may destroy this timer
    missed_ = 0;
    if (period_ != 0) {
      start_next_period(callback);
    } else {
      disarm();
    }
    callback();
  }
  void start_next_period(Callback callback) {
    // Ticks are counted from the epoch at the earliest: the difference below would overflow.
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
  bool armed_ = false;  // in the loop's wheel
};

}  // namespace MOTE_NAMESPACE
}  // namespace mote

#endif  // MOTE_TIME_TIMER_HPP

// =====================================================================================================================
// include/mote/time/task_timer.hpp
// =====================================================================================================================
// TaskTimer: a timer to await.
#ifndef MOTE_TIME_TASK_TIMER_HPP
#define MOTE_TIME_TASK_TIMER_HPP

namespace mote {
inline namespace MOTE_NAMESPACE {

// A timer to await, for one task and one use at a time: two parts of one await need two (what two sleeps on one timer
// do to each other is not defined; two different uses trip MOTE_ASSERT, and with NDEBUG the second one gives EBUSY). It
// may outlive its tasks, but must not move.
//
// It belongs to the task that uses it. A sleep() or a time limit ends when it completes, is cancelled, or is given up
// by first_of() or the like. A tick() goes on after each tick, until it is cancelled, or the task uses the timer for
// something else. When the task ends, so does every use. Then nothing is left of it: the timer is not armed, and the
// next use begins anew. A coroutine that another task polls while it waits here takes its use along, deadline and ticks
// included. Between two of its ticks the timer stays the former task's: reset() it first.
// Size on a 32-bit board: 72 bytes.
class TaskTimer : detail::TaskUse {
 public:
  ~TaskTimer() { clear(); }

  // Completes after `delay`, never early.
  // Errors:
  //   EBUSY      another task uses it.
  //   ECANCELED  the task was cancelled.
  auto sleep(AnyDuration delay) {
    return detail::make_operation<void>([this, delay](PollContext context) -> Result<void> {
      const Result<std::uint32_t> expired = attempt(context, delay, sleeping);
      return expired ? Result<void>() : expired.error();
    });
  }
  // Completes at every multiple of `period` from the first call on, without drift. Returns how many ticks have passed:
  // 1, or more if the task was late, since ticks are counted while nobody awaits them, too. One that first_of() or the
  // like has given up keeps its phase: the task's next call of the same period goes on with it, unless another task has
  // used the timer since. A call with another period begins anew. A period of less than 1 ns counts as 1 ns.
  // Errors:
  //   EBUSY      another task uses it, or is between two of its ticks.
  //   ECANCELED  the task was cancelled. The next call begins anew.
  auto tick(AnyDuration period) {
    const Duration asked = period;
    const Duration every = asked < Duration(1) ? Duration(1) : asked;
    return detail::make_operation<std::uint32_t>(
        [this, every](PollContext context) { return attempt(context, every, ticking); });
  }
  // A time limit, for operations that are made of others: the first call starts the timer, each returns whether the
  // time is up. end_limit() ends it.
  // Errors:
  //   EBUSY      another task uses it.
  Result<bool> poll_limit(PollContext context, AnyDuration limit) {
    if (!begin(context, limit, limiting)) return Error(detail::Reason::timer_in_use);
    if (expiries_ != 0) return true;
    wait_again(in_use | limiting | waiting);
    return false;
  }
  // Ends the task's own time limit, and no other use.
  void end_limit(PollContext context) {
    if (context.is_handing_over()) hand_over(context, limiting);
    else if (is_used(context, limiting)) end();
  }
  // Ends whatever use it is in. A task that waits in it begins anew: its sleep lasts `delay` from then on.
  void reset() {
    if (is(waiting)) wake();
    end();
  }
 private:
  // What it awaits, beside in_use: one of the uses, and how it stands.
  enum What : std::uint32_t {
    sleeping = 0x01,
    ticking = 0x02,
    limiting = 0x04,
    waiting = 0x10,  // the task is to be woken when it expires
    given_up = 0x20  // the task has left its tick(), which goes on unless another task needs the timer
  };
  bool is(What what) const { return (awaited() & what) != 0; }
  bool is_used(PollContext context, What use) const { return is(use) && names(context.header()); }

  // ---- the beginning and the end of a use ----

  // Makes sure that the task uses it so: goes on with that use, or begins it. False: it is in use otherwise.
  bool begin(PollContext context, Duration time, What use) {
    const bool is_own = names(context.header());
    if (is_used(context, use)) {
      if (use != ticking || timer_.period() == time) {
        wait_again(in_use | use);
        return true;
      }
    } else if (has_task() && !is(given_up) && (is(waiting) || !is_own)) {
      MOTE_ASSERT(!is_own && "two parts of one await use one TaskTimer: give each a timer of its own");
      return false;
    }
    start(context, time, use);
    return true;
  }
  void start(PollContext context, Duration time, What use) {
    end();
    TaskUse::use(context.header(), use, &TaskTimer::end_with_task);
    const auto callback = Timer::Callback::of<&TaskTimer::expire>(*this);
    if (use == ticking) timer_.arm_every(context.task().reactor(), time, callback);
    else timer_.arm(context.task().reactor(), time, callback);
  }
  // The one place where a use ends. Nothing is left of it.
  void end() {
    timer_.end();
    clear();
    expiries_ = 0;
  }
  static void end_with_task(TaskUse& self) { static_cast<TaskTimer&>(self).end(); }

  // ---- using it ----

  Result<std::uint32_t> attempt(PollContext context, Duration time, What use) {
    Error refusal;
    if (context.is_abandoning()) {
      if (context.is_handing_over()) hand_over(context, use);
      else give_up(context, use);
      return Error(ECANCELED);
    }
    const bool begun = begin(context, time, use);
    if (!context.may_complete(refusal)) return refusal;
    if (!begun) return context.fail(Error(detail::Reason::timer_in_use));
    if (expiries_ == 0) {
      if (context.proceed(refusal)) {
        wait_again(in_use | use | waiting);
        return context.suspend("a timer");
      }
      end();  // cancelled
      return refusal;
    }
    static_cast<void>(context.consume_budget());
    const std::uint32_t passed = std::exchange(expiries_, 0u);
    if (use != ticking) end();
    return passed;
  }
  void give_up(PollContext context, What use) {
    if (!is_used(context, use)) return;
    if (use == ticking) wait_again(in_use | ticking | given_up);
    else end();
  }
  // The use becomes that of the task in which the coroutine goes on. Its deadline stays, and so does what has come.
  void hand_over(PollContext context, What use) {
    if (!is_used(context, use)) return;
    const bool is_same_reactor = context.heir().store->scheduler() == context.header().store->scheduler();
    if (is_same_reactor) leave(context.header());
    else end();  // the timer is that of the former's reactor
  }
  void expire() {
    const std::uint32_t passed = 1 + timer_.missed();
    const std::uint32_t room = UINT32_MAX - expiries_;
    expiries_ = passed > room ? UINT32_MAX : expiries_ + passed;
    if (!is(waiting)) return;
    const std::uint32_t what = awaited();
    wake();
    wait_again(what & ~std::uint32_t{waiting});
  }

  std::uint32_t expiries_ = 0;  // that the task has not been told of
  Timer timer_;
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

// The family of an address, where no address is given yet.
enum class Family : int { none = AF_UNSPEC, ipv4 = AF_INET, ipv6 = AF_INET6, unix_domain = AF_UNIX };

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

  constexpr Endpoint() : unix_{} {}  // none: open(), connect() and send() refuse it with EAFNOSUPPORT

  // An IP address: "192.0.2.1", "2001:db8::1", "fe80::1%eth0". Behind '%' is the name of an interface, or else its
  // number, which need not be that of an interface that exists. The port is taken as a wide number, so that none is cut
  // down to another one on the way.
  // Errors, which Error::message() puts into words for whoever has typed it:
  //   ENOTSUP  it is no numeric address, but a name, say: names are not looked up.
  //   ERANGE   the port is negative, or above 65535.
  //   ENODEV   behind '%' is neither the name of an interface nor a number of 32 bits. Or the name cannot be looked up
  //            now, because that takes a descriptor, and there is none.
  static Result<Endpoint> ip(const char* address, std::int64_t port) {
    if (port < 0 || port > UINT16_MAX) return Error(detail::Reason::bad_port);
    const auto number = static_cast<std::uint16_t>(port);
    return make([=](Endpoint& endpoint) { return endpoint.set_ip(address, number); });
  }
  // A path, or after '@' an abstract name. A closed listener leaves its path behind: unlink() it before the next opens.
  // Errors, which Error::message() puts into words for whoever has typed it:
  //   EINVAL         it is empty.
  //   ENAMETOOLONG   it has more than 107 bytes.
  static Result<Endpoint> unix_path(const char* path) {
    return make([path](Endpoint& endpoint) { return endpoint.set_path(path); });
  }
  // Host and port in one text, as a user or a configuration gives them: "192.0.2.1:80", "[2001:db8::1]:80",
  // "unix:/run/x", "unix:@x". Brackets are allowed around IPv4, too. There is no default: to listen on all interfaces
  // is "0.0.0.0:80" or "[::]:80".
  // Errors, which Error::message() puts into words for whoever has typed it:
  //   EINVAL         it has none of these forms: it is empty, the port or the path is missing, or IPv6 has no brackets.
  //   ENOTSUP        the address is not numeric: see ip().
  //   ERANGE         the port is no number, or above 65535.
  //   ENODEV         of what is behind '%': see ip().
  //   ENAMETOOLONG   the path has more than 107 bytes.
  static Result<Endpoint> parse(const char* text) {
    return make([text](Endpoint& endpoint) { return endpoint.set(text); });
  }
  // Whether both name the same place. IP: the same family, address, port and scope; an IPv4 address is not the same as
  // the IPv6 one that it is mapped into, and flow labels do not count. Unix: the same path or abstract name, byte for
  // byte, though two paths may lead to one socket. Two that are none, or two unnamed Unix sockets, are equal.
  friend bool operator==(const Endpoint& a, const Endpoint& b) { return a.is_same(b); }
  friend bool operator!=(const Endpoint& a, const Endpoint& b) { return !a.is_same(b); }

  // In the form that parse() takes, which makes the same endpoint of it; "-" for none, as of the peer of an unbound
  // Unix socket. (Of addresses that others have bound, two kinds are not made again: a path of 108 bytes, and an
  // abstract name with NULs in it, which ends at the first one here.) A scope is printed as its interface's name, or as
  // its number where there is no such interface, or not any more.
  Text text() const {
    Text result{};
    if (family() == Family::ipv4 || family() == Family::ipv6) {
      print_ip(result);
    } else if (family() == Family::unix_domain && size_ > path_offset) {
      print_path(result);
    } else {
      result.data[0] = '-';
    }
    return result;
  }
  Family family() const { return static_cast<Family>(any_.sa_family); }  // as an int: AF_INET and so on
  // Only of an IP address.
  std::uint16_t port() const { return ntohs(family() == Family::ipv6 ? v6_.sin6_port : v4_.sin_port); }

  // For system calls. One that writes an address here is followed by resize() with the size that it tells.
  const sockaddr* address() const { return &any_; }
  sockaddr* address() { return &any_; }
  socklen_t size() const { return size_; }
  void resize(socklen_t size) { size_ = size < capacity ? size : capacity; }
 private:
  static constexpr socklen_t path_offset = offsetof(sockaddr_un, sun_path);

  // Of what is refused nothing is left: a program that uses it unchecked, without assertions, is refused by the kernel,
  // and does not listen on all interfaces, say.
  template <class Set> static Result<Endpoint> make(Set set) {
    return Result<Endpoint>::in_place([set](Endpoint& endpoint) {
      const Result<void> done = set(endpoint);
      if (!done) endpoint = Endpoint();
      return done;
    });
  }

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
      if (length >= sizeof without_scope) return Error(detail::Reason::not_numeric);
      ::memcpy(without_scope, address, length);
    }
    v6_.sin6_family = AF_INET6;
    v6_.sin6_port = htons(port);
    v6_.sin6_flowinfo = 0;  // the attempt at IPv4 may have written here
    size_ = sizeof v6_;
    if (::inet_pton(AF_INET6, scope != nullptr ? without_scope : address, &v6_.sin6_addr) != 1)
      return Error(detail::Reason::not_numeric);
    return scope != nullptr ? set_scope(scope + 1) : Result<void>();
  }
  // An interface may have a name of digits, so the name is tried first.
  Result<void> set_scope(const char* scope) {
    std::uint32_t index = 0;
    // Not a longer name, which some C libraries cut instead of refusing it.
    if (::strlen(scope) < IF_NAMESIZE) index = ::if_nametoindex(scope);
    if (index == 0 && !parse_number(scope, UINT32_MAX, index)) return Error(detail::Reason::no_such_interface);
    v6_.sin6_scope_id = index;
    return {};
  }
  Result<void> set_path(const char* path) {
    const std::size_t length = ::strlen(path);
    if (length == 0) return Error(detail::Reason::not_an_address);
    if (length >= sizeof unix_.sun_path) return Error(detail::Reason::path_too_long);
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
    // The last bracket: the name of an interface may have one in it.
    const char* const end = brackets ? ::strrchr(begin, ']') : ::strchr(begin, ':');
    if (end == nullptr || end == begin) return Error(detail::Reason::not_an_address);
    const char* const colon = brackets ? end + 1 : end;
    if (colon[0] != ':' || colon[1] == '\0') return Error(detail::Reason::not_an_address);
    if (!brackets && ::strchr(colon + 1, ':') != nullptr)
      return Error(detail::Reason::not_an_address);  // IPv6 without its brackets
    char address[INET6_ADDRSTRLEN + IF_NAMESIZE] = {};
    if (end - begin >= static_cast<std::ptrdiff_t>(sizeof address)) return Error(detail::Reason::not_numeric);
    ::memcpy(address, begin, static_cast<std::size_t>(end - begin));
    std::uint32_t port = 0;
    if (!parse_number(colon + 1, UINT16_MAX, port)) return Error(detail::Reason::bad_port);
    return set_ip(address, static_cast<std::uint16_t>(port));
  }
  // Whether it is a decimal number, of digits alone, up to `most`.
  static bool parse_number(const char* text, std::uint32_t most, std::uint32_t& number) {
    if (*text == '\0') return false;
    std::uint64_t value = 0;
    for (; *text != '\0'; ++text) {
      if (*text < '0' || *text > '9') return false;
      value = value * 10 + static_cast<std::uint32_t>(*text - '0');
      if (value > most) return false;
    }
    number = static_cast<std::uint32_t>(value);
    return true;
  }

  // Field by field: what system calls leave in the bytes between them is not part of the address.
  bool is_same(const Endpoint& other) const {
    if (family() != other.family()) return false;
    switch (family()) {
      case Family::none: return true;
      case Family::ipv4: return v4_.sin_port == other.v4_.sin_port && v4_.sin_addr.s_addr == other.v4_.sin_addr.s_addr;
      case Family::ipv6:
        return v6_.sin6_port == other.v6_.sin6_port && v6_.sin6_scope_id == other.v6_.sin6_scope_id &&
               ::memcmp(&v6_.sin6_addr, &other.v6_.sin6_addr, sizeof v6_.sin6_addr) == 0;
      case Family::unix_domain:
      default: {  // and what somebody else's call has written here
        const std::size_t length = name_length();
        return length == other.name_length() && ::memcmp(unix_.sun_path, other.unix_.sun_path, length) == 0;
      }
    }
  }
  // How many bytes of a Unix name count: an abstract one is as long as its size says, and may have NULs in it. A path
  // ends at a NUL, which the kernel counts or not, or at the end of the space.
  std::size_t name_length() const {
    const std::size_t size = size_ > path_offset ? size_ - path_offset : 0;
    const bool is_path = family() == Family::unix_domain && size != 0 && unix_.sun_path[0] != '\0';
    return is_path ? ::strnlen(unix_.sun_path, size) : size;
  }

  void print_ip(Text& text) const {
    const bool ipv6 = family() == Family::ipv6;
    const void* const bytes = ipv6 ? static_cast<const void*>(&v6_.sin6_addr) : &v4_.sin_addr;
    char host[INET6_ADDRSTRLEN] = "";
    char scope[1 + IF_NAMESIZE] = "";  // '%' and the interface's name or number
    ::inet_ntop(any_.sa_family, bytes, host, sizeof host);
    if (ipv6 && v6_.sin6_scope_id != 0) print_scope(scope);
    ::snprintf(text.data, sizeof text.data, ipv6 ? "[%s%s]:%u" : "%s%s:%u", host, scope, unsigned{port()});
  }
  void print_scope(char (&scope)[1 + IF_NAMESIZE]) const {
    scope[0] = '%';
    if (::if_indextoname(v6_.sin6_scope_id, scope + 1) != nullptr) return;
    ::snprintf(scope + 1, IF_NAMESIZE, "%u", unsigned{v6_.sin6_scope_id});
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
// SourceBase: the inner side of a Source, with which streams, listeners, datagram sockets and serial ports are made.
#ifndef MOTE_IO_SOURCE_BASE_HPP
#define MOTE_IO_SOURCE_BASE_HPP

namespace mote {
inline namespace MOTE_NAMESPACE {
namespace detail {

// Owns a slot of a loop's table, and the descriptor in it. Both are released when it is destroyed, or when the loop is,
// if that happens first.
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
  //   EBADF    fd is negative.
  //   ENOBUFS  the table is full.
  //   ENXIO    the reactor is not open.
  Result<void> register_as(Loop& loop, Fd&& fd, unsigned flags) {
    const Result<void> registered = register_number(loop, fd.get(), flags);
    if (registered) fd.release();
    return registered;
  }
  // The same with a descriptor that stays its owner's.
  Result<void> register_number(Loop& loop, int fd, unsigned flags) {
    if (slot_ != nullptr) return Error(Reason::already_open);
    Slot* slot = nullptr;
    if (const Result<void> claimed = loop.claim(fd, slot); !claimed) return claimed;
    MOTE_ASSERT(slot != nullptr && "claim() has succeeded without a slot: a mistake of mote's, please report it");
    slot_ = slot;
    loop_ = &loop;
    slot->flags = static_cast<std::uint16_t>(flags);
    loop.set_owner(*slot, *this, &SourceBase::close_owner);
    const unsigned must_wait = (flags & Slot::blocking) != 0 ? Slot::must_wait : 0;  // else it is tried at once
    const unsigned slow_path = (flags & Slot::is_stream) != 0 ? 0 : Slot::slow_path;
    slot->read_state = static_cast<std::uint8_t>(Slot::tried | must_wait | slow_path);
    slot->write_state = slot->read_state;
    mark_interrupted();
    return {};
  }
  // The same for another one, as a listener does for the stream that it accepts.
  static Result<void> register_other(SourceBase& other, Loop& loop, Fd&& fd, unsigned flags) {
    return other.register_as(loop, std::move(fd), flags);
  }
  // Operations that are pending get ECANCELED. It is left to the kernel to end the registration, which saves a system
  // call; but a descriptor that is borrowed goes on, and is not closed.
  void close() {
    if (slot_ == nullptr) return;
    Slot& slot = *std::exchange(slot_, nullptr);
    Fd fd(slot.fd);  // closed at the end
    interrupt_operations(slot);
    if (slot.is(Slot::borrowed)) {
      fd.release();
      loop_->remove_from_selector(slot);
    } else {
      loop_->forget_in_selector(slot);
    }
    loop_->release(slot);
  }
  // Returns the descriptor, no longer registered.
  Fd release() {
    if (slot_ == nullptr) return Fd();
    Slot& slot = *std::exchange(slot_, nullptr);
    Fd fd(slot.fd);
    interrupt_operations(slot);
    loop_->remove_from_selector(slot);
    loop_->release(slot);
    return fd;
  }

  // ---- operations ----

  // Whether there is a descriptor, and the operation may do its work. If not, `refusal` is what it has to return: see
  // PollContext::proceed().
  bool proceed(PollContext context, Interest direction, Error& refusal) {
    if (slot_ != nullptr && context.consume_budget()) {
      if (!begin_attempt(context.task(), direction)) return true;
      refusal = Error(ECANCELED);
      return false;
    }
    refusal = refuse(context.task(), direction);
    return false;
  }
  [[gnu::cold]] Error refuse(Task& task, Interest direction) {
    const PollContext context(task);
    if (slot_ == nullptr) {
      const Error answer = context.fail(loop_ != nullptr ? Error(ECANCELED) : Error(Reason::not_open));
      if (answer == detail::suspended) return answer;
      const bool was_pending = take_interruption(task, direction);
      if (was_pending && context.is_cancelling() && !context.is_abandoning()) context.acknowledge_cancellation();
      return answer;
    }
    const Error refusal = context.refuse();
    if (refusal == ECANCELED) {
      slot_->waiter_of(direction).leave(context.header());
      take_interruption(task, direction);
    } else {
      slot_->note_postponed(context.header(), direction);
    }
    return refusal;
  }
  // Every attempt, but for Stream's shortcuts, begins with this. Returns whether it has to answer ECANCELED: what this
  // task did with the former descriptor ended when that was closed, and the task has not been told.
  bool begin_attempt(Task& task, Interest direction) {
    std::uint8_t& state = slot_->state_of(direction);
    Waiter& waiter = slot_->waiter_of(direction);
    if (waiter.names(TaskAccess::header(task))) {
      waiter.wait_again(0);
      state |= Slot::tried;
    } else if (!waiter.has_task()) {
      state |= Slot::tried;
    }
    return (state & (Slot::disarmed | Slot::interrupted)) != 0 && begin_seldom_attempt(task, direction, state);
  }
  [[gnu::noinline]] bool begin_seldom_attempt(Task& task, Interest direction, std::uint8_t& state) {
    if ((state & Slot::disarmed) != 0) slot_->reader.clear();
    Slot::clear_state(state, Slot::disarmed);
    if ((state & Slot::interrupted) == 0) return false;
    const bool is_of_this_task = take_interruption(task, direction);
    if (interrupted_by(direction) == 0) Slot::clear_state(state, Slot::interrupted);
    return is_of_this_task;
  }
  // Returns whether there was one of this task, which counts as told from now on. (Where it hands a coroutine over, the
  // task that goes on with that is to be told.)
  bool take_interruption(Task& task, Interest direction) {
    const TaskHeader& header = TaskAccess::header(task);
    std::uint32_t& interrupted = interrupted_by(direction);
    if (interrupted != header.serial()) return false;
    interrupted = header.heir_serial();
    return true;
  }
  // Notes the task as waiting for `what`. Returns what the operation has to return.
  Error wait_for(PollContext context, Interest direction, const char* what) {
    const Result<void> noted = loop_->wait_for(*slot_, direction, context.header());
    return noted ? context.suspend(what) : noted.error();
  }
  // An operation that waits when `try_once()` returns EAGAIN, as it does also when trying is not worth a system call.
  template <class T, class Try> auto make_operation(Interest direction, const char* what, Try try_once) {
    return detail::make_operation<T>([this, direction, what, try_once](PollContext context) -> Result<T> {
      Error refusal;
      if (!proceed(context, direction, refusal)) return refusal;
      Result<T> result = try_once();
      if (result || result.error() != EAGAIN) return result;
      return wait_for(context, direction, what);
    });
  }
  // For good: what is there is reported until it has been read.
  void disable_edges() {
    slot_->read_state |= Slot::slow_path;
    slot_->wanted &= ~edge_triggered;
  }

  Loop* loop_ = nullptr;  // null: it has never been open
  Slot* slot_ = nullptr;  // null: it is not open
 private:
  static void close_owner(SlotOwner& owner) { static_cast<SourceBase&>(owner).close(); }

  // ---- operations that are pending when this is closed ----

  std::uint32_t& interrupted_by(Interest direction) { return interrupted_[direction == Interest::write ? 1 : 0]; }
  [[gnu::noinline]] void interrupt_operations(Slot& slot) {
    if (slot.is_reading()) interrupted_[0] = slot.reader.task()->serial();
    if (slot.is_writing()) interrupted_[1] = slot.writer.task()->serial();
    if (slot.is(Slot::connecting)) interrupted_[1] = slot.next;
  }
  // Makes the next attempts look whether there is somebody to be told.
  void mark_interrupted() {
    if ((interrupted_[0] | interrupted_[1]) == 0) return;
    slot_->read_state |= Slot::interrupted;
    slot_->write_state |= Slot::interrupted;
  }
  // Operations that are pending name the other object, which counts as closed from now on: their tasks are woken to be
  // told so. A connection that is in progress ends.
  [[gnu::noinline]] void take(SourceBase& other) {
    if (other.loop_ == nullptr) return;  // it has never been open
    loop_ = other.loop_;
    if (other.slot_ == nullptr) return;
    if (other.slot_->is(Slot::connecting)) return other.close();
    slot_ = std::exchange(other.slot_, nullptr);
    slot_->owner = this;
    mark_interrupted();
    if (!slot_->reader.has_task() && !slot_->writer.has_task()) return;
    other.interrupt_operations(*slot_);
    dismiss(slot_->reader);
    dismiss(slot_->writer);
  }
  static void dismiss(Waiter& waiter) {
    waiter.notify();
    waiter.clear();
  }

  // The tasks (their serials) whose operations were pending when this was closed, one for each direction: the next
  // attempt of such a task returns ECANCELED, once, rather than beginning anew with what has been opened since. A task
  // that has ended by then is not found again, since no other task has its serial. Of two tasks that were interrupted,
  // one after the other, before the first of them was stepped, the last one counts.
  std::uint32_t interrupted_[2] = {};
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

// Owns a descriptor in a reactor's table, and closes it when it is destroyed. Registering costs no epoll_ctl: the
// kernel is told of it when something must be waited for. Streams, listeners and datagram sockets are Sources; a plain
// Source serves any other descriptor (GPIO, inotify, CAN) by ready() or watch(). Nobody else may close it: a descriptor
// that its library closes is for BorrowedSource, where tasks await it, or for ForeignDescriptors and Reactor::add().
//
// Movable, at any time: an operation that is pending on the object that it is moved from (or over) returns ECANCELED in
// its task's next step, and the new object has all that was there. It becomes empty if the reactor is destroyed first;
// tasks that wait for it then get ECANCELED, too. It must not be destroyed while another task's operation on it is
// pending: close() it, which makes that operation return ECANCELED, and let the task run.
// Size on a 32-bit board: 16 bytes.
class Source : protected detail::SourceBase {
 public:
  // Takes over a descriptor, of any kind. It is made non-blocking unless it is one of 0 to 2, which other processes
  // share: those are only used when reported ready, in small portions. On failure fd stays the caller's, and may have
  // been made non-blocking.
  // Errors:
  //   EBUSY    it is open already: close() it first.
  //   EBADF    fd is not an open descriptor.
  //   ENOBUFS  the table is full: see Config::descriptors.
  //   ENXIO    the reactor is not open.
  Result<void> open(Reactor& reactor, Fd&& fd) {
    if (slot_ != nullptr) return Error(detail::Reason::already_open);
    unsigned flags = 0;
    if (const Result<void> known = find_kind(fd.get(), flags); !known) return known;
    const bool is_shared = fd.get() >= 0 && fd.get() <= STDERR_FILENO;
    if (!is_shared) {
      if (const Result<void> made = make_non_blocking(fd.get()); !made) return made;
    }
    const bool is_socket = (flags & Slot::is_socket) != 0;
    if (is_shared && !is_socket) flags |= Slot::blocking;  // sockets are used with MSG_DONTWAIT, whatever their number
    return register_as(detail::ReactorAccess::loop(reactor), std::move(fd), flags);
  }
  // Tasks that wait for it get ECANCELED, once, also where it is opened again before they are stepped. (Of several
  // tasks that read, or write, one after the other, with a close() after each, before the first of them is stepped, the
  // last is told; the others go on with what has been opened.) Does nothing to one that is not open. Wakes all tasks
  // that wait for a free slot of the table: O(waiting tasks).
  void close() { SourceBase::close(); }
  // Returns the descriptor, no longer registered (and non-blocking, unless it is 0 to 2). Tasks that wait for it get
  // ECANCELED. Wakes tasks as close() does.
  Fd release() { return SourceBase::release(); }

  bool is_open() const { return slot_ != nullptr; }
  int fd() const { return slot_ != nullptr ? slot_->fd : -1; }
  Reactor& reactor() const { return detail::ReactorAccess::reactor(*loop_); }  // only of an open one

  // Completes when one of the things asked for is there (read, priority or both; or write), or hangup or error; returns
  // what there is at that moment, by poll(2). It takes nothing, and completes at once as long as that stays: read until
  // there is no more before the next ready(). A hang-up may stay for ever (a FIFO without writers, a device that was
  // removed), and an error until somebody reads it (SO_ERROR, the error queue): after `hangup` without `readable`,
  // close it, or sleep before the next look; a FIFO that waits for its next writer is opened with O_RDWR. A change that
  // came between open() and the first ready() is seen, where the kernel keeps it (sysfs, GPIO). For either of reading
  // and writing: first_of(ready(Interest::read), ready(Interest::write)).
  // Errors:
  //   EINVAL          nothing is asked for, or reading and writing at a time.
  //   EBUSY           when it has to wait: another task waits for this direction. Or it is watched.
  //   ECANCELED       the task was cancelled, or the source has been closed.
  //   EBADF           it was never opened, or its descriptor was closed by somebody else.
  //   EEXIST          another registration has the same number: see Reactor::add().
  //   ELOOP           as of Reactor::add().
  //   ENOMEM, ENOSPC  the kernel's limits on registrations.
  auto ready(Interest interest) {
    return make_operation<Readiness>(interest, "readiness", [this, interest] { return try_ready(interest); });
  }
  // The callback style: calls the handler with what is ready, as Reactor::add() does, instead of waking tasks. Call it
  // again to change the interest or the handler. `handler` must not be empty. After an error all is as before. There is
  // no way back to tasks but close() or release(); with Interest::none nothing but hang-up and error is heard.
  // Errors:
  //   EBADF           it is not open, or its descriptor was closed by somebody else.
  //   EBUSY           a task waits for it.
  //   EEXIST          another registration has the same number: see Reactor::add().
  //   ELOOP           as of Reactor::add().
  //   ENOMEM, ENOSPC  the kernel's limits on registrations.
  //   EMFILE, ENFILE  the system's limits, while the set has to be made anew (after a fork): try again.
  Result<void> watch(Interest interest, Handler handler) {
    if (slot_ == nullptr) return Error(detail::Reason::not_open);
    MOTE_ASSERT(handler && "Source::watch() needs a handler: to stop watching, close() or release() it");
    if (slot_->is_reading() || slot_->is_writing()) return Error(detail::Reason::operation_pending);
    slot_->reader.clear();
    slot_->writer.clear();
    return loop_->set_handler(*slot_, interest, handler);
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
    return detail::result_of(System::setsockopt(fd(), level, name, &value, sizeof value));
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
 protected:
  // Which kind of descriptor it is, as flags of a slot.
  // Errors:
  //   EBADF  it is not open.
  static Result<void> find_kind(int fd, unsigned& flags) {
    int type = 0;
    socklen_t size = sizeof type;
    const bool is_socket = System::getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0;
    if (!is_socket && System::error() != ENOTSOCK) return detail::last_error();  // EBADF
    termios settings;
    const bool is_tty = !is_socket && System::tcgetattr(fd, &settings) == 0;
    if (is_socket) flags |= Slot::is_socket;
    if (is_socket && type == SOCK_STREAM) flags |= Slot::is_stream;
    if (is_tty) flags |= Slot::is_tty;
    return {};
  }
 private:
  Result<Readiness> try_ready(Interest interest) {
    constexpr Interest reading = Interest::read | Interest::priority;
    const bool is_for_reading = any(interest) && !any(interest & ~reading);
    if (!is_for_reading && interest != Interest::write) return Error(detail::Reason::bad_interest);
    disable_edges();  // the caller may leave unread what there is
    Readiness seen = detail::look(slot_->fd, interest);
    if (any(seen & detail::not_open)) return Error(EBADF);
    // Some files (/proc/mounts) tell a change once, to whoever asks first: that may have been the selector.
    const unsigned asked = detail::bits(interest & Interest::priority) | detail::bits(Readiness::error);
    const auto told_once = static_cast<Readiness>(asked);
    if ((slot_->flags & (Slot::is_socket | Slot::is_tty)) == 0) seen |= slot_->last() & told_once;
    slot_->take(told_once);
    return any(seen) ? Result<Readiness>(seen) : Error(EAGAIN);
  }
  static Result<void> make_non_blocking(int fd) {
    const int status = System::fcntl(fd, F_GETFL, 0);
    if (status < 0) return detail::last_error();
    if ((status & O_NONBLOCK) != 0) return {};
    return detail::result_of(System::fcntl(fd, F_SETFL, status | O_NONBLOCK));
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
// include/mote/io/borrowed_source.hpp
// =====================================================================================================================
// BorrowedSource: the readiness of a descriptor that belongs to somebody else, for tasks.
#ifndef MOTE_IO_BORROWED_SOURCE_HPP
#define MOTE_IO_BORROWED_SOURCE_HPP

namespace mote {
inline namespace MOTE_NAMESPACE {

// The readiness of a descriptor that a library owns (a database's socket, an MQTT client's), for a task to await. It
// never closes the descriptor, never reads from it, and leaves O_NONBLOCK as it is. For callbacks, or a library with
// many descriptors, see ForeignDescriptors.
//
// close() it before the library closes the descriptor. Where the library tells only afterwards, close() it then: nobody
// is told by the kernel that a descriptor was closed (epoll(7) says nothing, poll(2) reports it, and ready() then gives
// EBADF), so until close() a task may wait in vain; it gets ECANCELED. Until then nobody else can register the number.
//
// It can be moved, and becomes empty if the reactor is destroyed first; tasks that wait for it then get ECANCELED. It
// must not be destroyed while another task's operation on it is pending: close() it, and let the task run.
// Size on a 32-bit board: 16 bytes.
class BorrowedSource : Source {
 public:
  // Registers a descriptor, which stays its owner's. No system call but the questions what it is.
  // Errors:
  //   EBUSY    it is open already: close() it first.
  //   EBADF    fd is not an open descriptor.
  //   EEXIST   the number is borrowed already, or registered with Reactor::add().
  //   ENOBUFS  the table is full: see Config::descriptors.
  //   ENXIO    the reactor is not open.
  Result<void> open(Reactor& reactor, int fd) {
    if (slot_ != nullptr) return Error(detail::Reason::already_open);
    unsigned flags = 0;
    detail::Loop* const former = loop_;
    if (const Result<void> known = find_kind(fd, flags); !known) return known;
    const Result<void> registered = register_number(detail::ReactorAccess::loop(reactor), fd, flags);
    if (!registered) return registered;
    const Result<void> borrowed = loop_->borrow(*slot_);
    if (borrowed) return {};
    SourceBase::release().release();
    loop_ = former;  // null: it has never been open, which ready() then says
    return borrowed;
  }
  // Ends the registration, and leaves the descriptor open. A task that waits gets ECANCELED, once, also where it is
  // opened again before the task is stepped. Has no effect on one that is not open. Wakes all tasks that wait for a
  // free slot of the table: O(waiting tasks).
  void close() { Source::close(); }

  using Source::fd;       // -1: it is not open
  using Source::is_open;  // not whether its owner has closed the descriptor
  using Source::reactor;
  // As Source::ready(), with its errors. EEXIST also where a Source of this reactor waits for the same number.
  using Source::ready;
};

}  // namespace MOTE_NAMESPACE
}  // namespace mote

#endif  // MOTE_IO_BORROWED_SOURCE_HPP

// =====================================================================================================================
// include/mote/io/transfer.hpp
// =====================================================================================================================
// One system call of reading or writing, and what its result means for the next one.
#ifndef MOTE_IO_TRANSFER_HPP
#define MOTE_IO_TRANSFER_HPP

namespace mote {
inline namespace MOTE_NAMESPACE {
namespace detail {

// Converts a byte count, or an Error, as it is stored, as a negative number.
inline Result<std::size_t> transfer_result(ssize_t n) {
  return n >= 0 ? Result<std::size_t>(static_cast<std::size_t>(n)) : ErrorAccess::error(static_cast<int>(-n));
}

// In place of a system call's result: it has not been made yet.
inline constexpr ssize_t not_tried = -2;

// Notes that a read() or write() has failed, and returns its error. After EAGAIN the next attempt waits for an event.
[[gnu::cold]] inline int note_failure(Slot& slot, std::uint8_t& state) {
  const int error = System::error();
  const bool was_reported = any(slot.last() & Readiness::error);
  slot.take(Readiness::error);
  if (error != EAGAIN) return error;
  state |= Slot::must_wait;
  // It was reported, and yet the call has not returned it: what is in the error queue is left to whom it is for.
  if (was_reported && any(look(slot.fd, Interest::none) & Readiness::error)) slot.set(Slot::error_stands);
  return EAGAIN;
}

// Whether a call would block: of descriptors 0 to 2, which are not ours to make non-blocking. Sets EAGAIN.
inline bool would_block(const Slot& slot, Interest direction) {
  if (!slot.is(Slot::blocking) || any(look(slot.fd, direction))) return false;
  errno = EAGAIN;
  return true;
}

// ---- reading ----

// The same for a read(). Returns what receive() has to return: 0, or a negative number.
[[gnu::cold]] inline int receive_failed(Slot& slot) {
  if (System::error() == EIO && slot.is(Slot::is_tty)) return 0;  // unplugged, or a pty's other end has been closed
  const int error = note_failure(slot, slot.read_state);
  if (error == EAGAIN) Slot::clear_state(slot.read_state, Slot::read_fully);
  return -error;
}
inline ssize_t receive_once(const Slot& slot, const ByteSpan& buffer) {
  if (slot.is(Slot::is_socket)) return System::recv(slot.fd, buffer.data(), buffer.size(), MSG_DONTWAIT);
  if (would_block(slot, Interest::read)) return -1;
  return System::read(slot.fd, buffer.data(), buffer.size());
}
// One read(). `answer`: what a call has returned already, or not_tried. A short read means that nothing is left for
// now, so that the next one waits first. Not so at the end of the stream (0 bytes, or read_fully): that is read at
// once.
inline ssize_t receive(Slot& slot, const ByteSpan& buffer, ssize_t answer) {
  if (buffer.empty()) return -EINVAL;  // the kernel would take a datagram
  while (answer == not_tried || (answer < 0 && System::error() == EINTR)) answer = receive_once(slot, buffer);
  if (answer < 0) return receive_failed(slot);
  const auto size = static_cast<std::size_t>(answer);
  const bool drained = size < buffer.size() && size != 0 && (slot.read_state & Slot::read_fully) == 0;
  if (drained || slot.is(Slot::blocking)) slot.read_state |= Slot::must_wait;
  return answer;
}
inline Result<std::size_t> try_receive(Slot& slot, const ByteSpan& buffer) {
  return transfer_result(receive(slot, buffer, not_tried));
}

// ---- writing ----

inline ssize_t send_once(const Slot& slot, const ByteView& bytes) {
  std::size_t size = bytes.size();
  if (slot.is(Slot::is_socket)) return System::send(slot.fd, bytes.data(), size, MSG_DONTWAIT | MSG_NOSIGNAL);
  if (would_block(slot, Interest::write)) return -1;
  if (slot.is(Slot::blocking) && size > 512) size = 512;  // _POSIX_PIPE_BUF: does not block once reported writable
  return System::write(slot.fd, bytes.data(), size);
}
// One write() of at least one byte. `answer`: what a call has returned already, or not_tried. After a short write the
// next one waits first.
inline ssize_t send(Slot& slot, const ByteView& bytes, ssize_t answer) {
  while (answer == not_tried || (answer < 0 && System::error() == EINTR)) answer = send_once(slot, bytes);
  if (answer < 0) return -note_failure(slot, slot.write_state);
  const bool is_full = static_cast<std::size_t>(answer) < bytes.size();
  if (is_full || slot.is(Slot::blocking)) slot.write_state |= Slot::must_wait;
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

// Datagrams, UDP or Unix-domain. What is in the error queue (time stamps, IP_RECVERR: see MSG_ERRQUEUE in recv(2)) is
// left there: whoever has asked the kernel for it reads it, by fd(). Until then a datagram may be received up to
// limits::retry_pause (100 ms) late, by a handler, and with poll(2) also by a task: see Reactor::add().
//
// Errors of all operations that are awaited, beside their own:
//   EBUSY         when it has to wait: another task waits in this direction. Or the socket is watched.
//   ECANCELED     the task was cancelled, or the socket has been closed, as at shutdown.
//   EBADF         it was never opened, or its descriptor was closed by somebody else.
//   ECONNREFUSED  an earlier datagram of a connected socket found nobody (ICMP). The socket stays usable.
//   ENOMEM        the kernel is out of memory: try later.
//   ENOSPC        the kernel's limit on registrations, when it has to wait.
//   EEXIST        when it has to wait: another registration has the same number. See Reactor::add().
// Size on a 32-bit board: 16 bytes.
class Datagram : public Source {
 public:
  struct Received {
    std::size_t size = 0;    // bytes in the buffer; 0 is an empty datagram, not the end
    bool truncated = false;  // the datagram was longer than the buffer; the rest is lost
  };

  // Opens a socket that is bound to the endpoint, whose port may be 0: the kernel chooses one.
  // Errors:
  //   EBUSY                   it is open already: close() it first.
  //   EADDRINUSE              the address is taken, or the Unix socket's path exists.
  //   EADDRNOTAVAIL           the address is none of this machine.
  //   EACCES                  not allowed: a port below 1024, or the directory's permissions.
  //   EAFNOSUPPORT            the kernel does not know this family; or the endpoint is none.
  //   ENOBUFS                 the table is full: see Config::descriptors; or the kernel's memory.
  //   EMFILE, ENFILE, ENOMEM  the system's limits.
  //   ENXIO                   the reactor is not open.
  Result<void> open(Reactor& reactor, const Endpoint& endpoint) {
    if (slot_ != nullptr) return Error(detail::Reason::already_open);
    Fd fd(System::socket(static_cast<int>(endpoint.family()), SOCK_DGRAM));
    if (!fd) return detail::last_error();
    if (System::bind(fd.get(), endpoint.address(), endpoint.size()) != 0) return detail::last_error();
    return register_as(detail::ReactorAccess::loop(reactor), std::move(fd), Slot::is_socket);
  }
  // Opens a socket of that family, which the first send binds. Errors: as above, but for those of the address.
  Result<void> open(Reactor& reactor, Family family) {
    if (slot_ != nullptr) return Error(detail::Reason::already_open);
    Fd fd(System::socket(static_cast<int>(family), SOCK_DGRAM));
    if (!fd) return detail::last_error();
    return register_as(detail::ReactorAccess::loop(reactor), std::move(fd), Slot::is_socket);
  }
  // Sets the peer, to which send() sends and from which alone recv() receives. Completes at once. Errors: those of
  // connect(2), and EBADF where it is not open: unlike Stream::connect() this does not open it.
  Result<void> connect(const Endpoint& to) {
    if (slot_ == nullptr) return Error(detail::Reason::not_open);
    return detail::result_of(System::connect(fd(), to.address(), to.size()));
  }

  // ---- operations ----

  // Receives a datagram, and in `from`, unless it is null, from where it came.
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
  //   ENETUNREACH, EHOSTUNREACH  the network reports that there is no way there.
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
    if (slot_ == nullptr) return Error(detail::Reason::not_open);
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
    if (slot_ == nullptr) return Error(detail::Reason::not_open);
    const sockaddr* const address = to != nullptr ? to->address() : nullptr;
    const socklen_t size = to != nullptr ? to->size() : 0;
    const int flags = MSG_DONTWAIT | MSG_NOSIGNAL;
    const auto send_once = [&] { return System::sendto(slot_->fd, bytes.data(), bytes.size(), flags, address, size); };
    const ssize_t n = detail::retry(send_once);
    if (n < 0) return Error(detail::note_failure(*slot_, slot_->write_state));
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
namespace detail {
struct StreamAccess;

// What write_all() and read_exactly() return for a temporary: an error that says what to write.
template <class View> struct ViewWithoutName {
  static_assert(sizeof(View) == 0,
                "write_all() and read_exactly() shrink the view that they are given, attempt by attempt, so it needs a "
                "name: a member `mote::ByteView reply;` (or `mote::ByteSpan wanted;`) that is assigned before");
  Poll<Result<void>> poll(Task&);
};
}  // namespace detail

// A stream of bytes: a socket, a pipe, a terminal. Writing to a socket that the peer has closed fails with EPIPE and
// never raises SIGPIPE; for pipes there is no such choice: ignore the signal, as daemons do. What is in the error queue
// (see MSG_ERRQUEUE in recv(2)) is left there, for whom it concerns. Whether a stream is edge-triggered is decided in
// DescriptorTable::wait_for().
//
// Errors of all operations that are awaited, beside their own:
//   EBUSY                      when it has to wait: another task waits in this direction. (What is there, or has room,
//                              is for whoever tries first.) Or the stream is watched.
//   ECANCELED                  the task was cancelled, or the stream has been closed, as at shutdown.
//   EBADF                      it was never opened, or its descriptor was closed by somebody else.
//   ECONNRESET                 the peer has ended the connection by force: close it.
//   ETIMEDOUT                  the peer has not answered for long: close it.
//   EHOSTUNREACH, ENETUNREACH  the network reports that there is no way to the peer: close it.
//   ENOTCONN                   it is not connected.
//   EIO                        the device has failed, or was removed: close it.
//   ENOMEM, ENOBUFS            the kernel is out of memory: try later, or close it.
//   ENOSPC                     the kernel's limit on registrations, when it has to wait.
//   EEXIST                     when it has to wait: another registration has the same number. See Reactor::add().
// Size on a 32-bit board: 16 bytes.
class Stream : public Source {
 public:
  // ---- operations ----

  // Reads some bytes, as they come: at least 1, or 0 at the end of the stream (a terminal's hang-up included).
  // Errors, beside those above:
  //   EINVAL   the buffer is empty.
  //   EISDIR   it is a directory.
  auto read(ByteSpan buffer) {
    // The buffer is captured as pointer and size, which is smaller code on ARM.
    return detail::make_operation<std::size_t>([this, data = buffer.data(), size = buffer.size()](PollContext context) {
      Slot* const slot = slot_;
      if (slot == nullptr || !context.consume_budget()) {
        return Result<std::size_t>(refuse(context.task(), Interest::read));
      }
      if (detail::expect_true((slot->read_state & Slot::not_usual) == 0)) {
        const ssize_t n = System::recv(slot->fd, data, size, MSG_DONTWAIT);
        if (n <= 0) return detail::transfer_result(read_slow_path(context.task(), data, size, n));
        // A short read has drained the socket. (slot_ is loaded again: to keep `slot` across the call costs two
        // instructions.)
        const bool is_short = detail::expect_true(static_cast<std::size_t>(n) < size);
        slot_->read_state = is_short ? Slot::drained : Slot::tried;
        return Result<std::size_t>(static_cast<std::size_t>(n));
      }
      if (slot->read_state != Slot::drained || !slot->reader.names(context.header())) {
        return detail::transfer_result(read_slow_path(context.task(), data, size, detail::not_tried));
      }
      // Its last wait is still armed: see DescriptorTable::wait_for().
      slot->reader.wait_again(detail::bits(Interest::read));
      return Result<std::size_t>(context.suspend("data"));
    });
  }
  // Fills all of the buffer, which shrinks as it is filled: a named object that outlives the await.
  // After an error the buffer is what is still missing.
  // Errors, beside those of read(), but for EINVAL:
  //   ENODATA   the stream ended before that.
  auto read_exactly(ByteSpan& buffer) {
    return make_operation<void>(Interest::read, "data", [this, &buffer]() -> Result<void> {
      while (!buffer.empty()) {
        if (!slot_->may_read()) return Error(EAGAIN);
        const Result<std::size_t> n = detail::try_receive(*slot_, buffer);
        if (!n) return n.error();
        if (*n == 0) return Error(detail::Reason::stream_ended);
        buffer.drop_front(*n);
      }
      return {};
    });
  }
  // Not for a temporary: it would begin anew at each attempt.
  template <class View = ByteSpan> detail::ViewWithoutName<View> read_exactly(View&& temporary);
  // Sends all bytes of the view, which shrinks as they are sent: a named object that outlives the await, as must the
  // bytes. After an error the view holds what was not sent.
  // Errors, beside those above:
  //   EPIPE    the peer does not read any more: close it.
  //   ENOSPC   the device, or the file's medium, is full.
  auto write_all(ByteView& bytes) {
    return detail::make_operation<void>([this, &bytes](PollContext context) -> Result<void> {
      Slot* const slot = slot_;
      if (slot == nullptr || !context.consume_budget()) return refuse(context.task(), Interest::write);
      ssize_t n = detail::not_tried;
      if (detail::expect_true(slot->write_state == Slot::tried)) {
        n = System::send(slot->fd, bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
        if (detail::expect_true(static_cast<std::size_t>(n) == bytes.size())) {
          bytes.drop_front(bytes.size());
          return {};
        }
      }
      const int error = write_slow_path(context.task(), bytes, n);
      return error == 0 ? Result<void>() : detail::ErrorAccess::error(error);
    });
  }
  template <class View = ByteView> detail::ViewWithoutName<View> write_all(View&& temporary);
  // Connects an empty stream to an endpoint, which outlives the await. After any error, a cancellation or a timeout
  // included, the stream is empty again, but for EISCONN and EBUSY. What a task has begun that has ended since is
  // dropped by the next connect(), which begins anew; but the coroutine that has begun it goes on with it when another
  // task polls it, whether the first one lives or not. A stream that is moved meanwhile is closed: both are empty.
  // Errors, the socket's real one:
  //   ECONNREFUSED               nobody listens there.
  //   ETIMEDOUT                  no answer within the kernel's time, about two minutes.
  //   EHOSTUNREACH, ENETUNREACH  the network reports that there is no way there.
  //   ENOENT                     there is no Unix socket of this path.
  //   EPROTOTYPE                 the Unix socket is one of datagrams.
  //   EACCES, EPERM              not allowed: the path's permissions, or a firewall.
  //   EAGAIN                     the backlog of a Unix socket is full: try later.
  //   EADDRNOTAVAIL              no local port is left.
  //   EISCONN                    the stream is not empty; it stays as it is.
  //   ENOTCONN                   it could not be connected, and another operation has been told why.
  //   EBUSY                      another task connects it, and is not disturbed. Or the stream is watched.
  //   ECANCELED                  the task was cancelled, or the stream has been closed: this task is told once.
  //   ENOBUFS                    the table is full: see Config::descriptors.
  //   EMFILE, ENFILE, ENOMEM     the system's limits: try later.
  //   ENOSPC                     the kernel's limit on registrations: try later.
  //   EAFNOSUPPORT               the kernel does not know this family; or the endpoint is none.
  auto connect(const Endpoint& endpoint) {
    // `begun` is kept from one attempt to the next in a coroutine, but not in MOTE_AWAIT.
    return detail::make_operation<void>([this, &endpoint, begun = Begun()](PollContext context) mutable {
      return attempt_connect(context, endpoint, begun);
    });
  }

  // ---- one attempt, for the callback style ----

  // Errors, beside those of read(), but for EBUSY and ECANCELED:
  //   EAGAIN   there is nothing to read now.
  //   EBADF    it is not open.
  Result<std::size_t> try_read(ByteSpan buffer) {
    if (slot_ == nullptr) return Error(detail::Reason::not_open);
    if (!slot_->is(Slot::is_stream)) return detail::try_receive(*slot_, buffer);
    const ssize_t n = System::recv(slot_->fd, buffer.data(), buffer.size(), MSG_DONTWAIT);
    if (detail::expect_true(n > 0)) return static_cast<std::size_t>(n);
    return detail::transfer_result(detail::receive(*slot_, buffer, n));
  }
  // Returns how many bytes it has taken, which may be fewer than there are.
  // Errors, beside those of write_all(), but for EBUSY and ECANCELED:
  //   EAGAIN   there is no room to write now.
  //   EBADF    it is not open.
  Result<std::size_t> try_write(ByteView bytes) {
    if (slot_ == nullptr) return Error(detail::Reason::not_open);
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
  Result<void> shutdown_write() { return detail::result_of(System::shutdown(fd(), SHUT_WR)); }
  // TCP_NODELAY: what is written is sent at once. Errors: those of set_option().
  Result<void> set_no_delay(bool on) { return set_option(IPPROTO_TCP, TCP_NODELAY, on ? 1 : 0); }
  // For a stream whose short reads do not mean that nothing is left, since the kernel hands out records (kTLS, by
  // TCP_ULP): it is level-triggered from now on. To be called before the option is set.
  // Errors:
  //   EBADF   it is not open.
  Result<void> expect_records() {
    if (slot_ == nullptr) return Error(detail::Reason::not_open);
    disable_edges();
    return {};
  }
  // Probes after `idle` seconds of silence, every `interval` seconds; after `count` without answer operations return
  // ETIMEDOUT. Errors: those of set_option(); what was set before the one that failed stays.
  Result<void> set_keep_alive(int idle, int interval, int count) {
    Result<void> set = set_option(IPPROTO_TCP, TCP_KEEPIDLE, idle);
    if (set) set = set_option(IPPROTO_TCP, TCP_KEEPINTVL, interval);
    if (set) set = set_option(IPPROTO_TCP, TCP_KEEPCNT, count);
    if (set) set = set_option(SOL_SOCKET, SO_KEEPALIVE, 1);
    return set;
  }
 private:
  friend struct detail::StreamAccess;

  // The rest of read() and write_all(), where their usual case, which is inlined into the caller, does not apply.
  // `answer`: what the system call has returned already, or not_tried. They and refuse() take the task, not its
  // PollContext: an object that is passed by value to a function that is not inlined costs g++ 12 two instructions on
  // the way of every message.

  // Returns a size, or an Error, as it is stored, as a negative number.
  [[gnu::noinline]] ssize_t read_slow_path(Task& task, unsigned char* data, std::size_t size, ssize_t answer) {
    if (begin_attempt(task, Interest::read)) return -ECANCELED;
    const ssize_t n = slot_->may_read() ? detail::receive(*slot_, {data, size}, answer) : -EAGAIN;
    if (n != -EAGAIN) return n;
    return -detail::ErrorAccess::stored(wait_for(PollContext(task), Interest::read, "data"));
  }
  // Returns 0 when all is sent, or an Error as it is stored.
  [[gnu::noinline]] int write_slow_path(Task& task, ByteView& bytes, ssize_t answer) {
    if (begin_attempt(task, Interest::write)) return ECANCELED;
    while (!bytes.empty()) {
      const ssize_t n = slot_->may_write() ? detail::send(*slot_, bytes, answer) : -EAGAIN;
      if (n == -EAGAIN)
        return detail::ErrorAccess::stored(wait_for(PollContext(task), Interest::write, "room to write"));
      if (n < 0) return static_cast<int>(-n);
      bytes.drop_front(static_cast<std::size_t>(n));
      answer = detail::not_tried;
    }
    return 0;
  }

  // ---- connecting ----
  //
  // Who connects is recorded: in the slot, by the task's serial number; and in a coroutine's frame by `begun`, since
  // another task may poll the coroutine later.

  // The connection that a coroutine has begun. The slot is only compared: it tells two reactors apart.
  struct Begun {
    const Slot* slot = nullptr;
    std::uint32_t generation = 0;
  };

  Result<void> attempt_connect(PollContext context, const Endpoint& endpoint, Begun& begun) {
    if (context.is_handing_over()) return hand_over_connection(context, begun);
    if (take_interruption(context, begun)) return Error(ECANCELED);
    const bool is_pending = slot_ != nullptr;
    if (is_pending && !slot_->is(Slot::connecting)) return context.fail(Error(EISCONN));
    const bool is_own = is_pending && (is_registered_as(begun) || is_connected_by(context));
    Error refusal;
    if (!context.proceed(refusal)) {
      if (is_own && refusal == ECANCELED) drop_connection(context, begun);
      else if (is_own) claim_connection(context.header());
      return refusal;
    }
    if (is_pending && !is_own) {
      if (is_in_use_by_others()) return Error(detail::Reason::awaited_by_another_task);
      drop_connection(context, begun);
    }
    if (is_own) slot_->write_state |= Slot::tried;
    Result<void> result = is_own ? ask_for_connect_error() : begin_connect(context, endpoint);
    if (result && !slot_->may_write()) result = wait_to_be_connected(context, begun);
    if (result) {
      slot_->clear(Slot::connecting);
    } else if (result.error() != detail::suspended && result.error() != EBUSY) {
      drop_connection(context, begun);
    }
    return result;
  }
  // Whether what this task, or this coroutine, has begun was closed since it was told last.
  bool take_interruption(PollContext context, Begun& begun) {
    const bool is_task = SourceBase::take_interruption(context.task(), Interest::write);
    const bool is_coroutine = begun.slot != nullptr && !is_registered_as(begun);
    if (is_coroutine) begun = Begun();
    return is_task || is_coroutine;
  }
  bool is_registered_as(Begun begun) const {
    return slot_ != nullptr && slot_ == begun.slot && slot_->generation == begun.generation;
  }
  bool is_connected_by(PollContext context) const { return slot_->next == context.header().serial(); }
  // Whether the task that connects lives, or another operation waits: while one of these needs it, it is not dropped.
  bool is_in_use_by_others() const {
    const detail::TaskHeader* const task = slot_->writer.task();
    return slot_->handler || slot_->writer.is_waiting() || (task != nullptr && task->serial() == slot_->next);
  }
  Error wait_to_be_connected(PollContext context, Begun& begun) {
    const Error answer = wait_for(context, Interest::write, "a connection");
    if (answer != detail::suspended) return answer;
    slot_->next = context.header().serial();
    begun = {slot_, slot_->generation};
    return answer;
  }
  // It is that task's, which has no budget to look at it before its next turn: nobody drops it until then.
  void claim_connection(detail::TaskHeader& task) {
    slot_->next = task.serial();
    if (!slot_->writer.has_task()) slot_->writer.wait(task, 0);
  }
  // The coroutine that connects goes on in another task: what is in progress, or has been closed, is that one's.
  [[gnu::noinline]] Error hand_over_connection(PollContext context, Begun begun) {
    static_cast<void>(SourceBase::take_interruption(context.task(), Interest::write));
    const bool is_own = is_registered_as(begun) && slot_->is(Slot::connecting) && is_connected_by(context);
    if (is_own) slot_->writer.leave(context.header());
    return Error(ECANCELED);
  }
  // The stream is empty again. Of those who connect nobody is told.
  void drop_connection(PollContext context, Begun& begun) {
    begun = Begun();
    if (slot_ == nullptr) return;
    slot_->clear(Slot::connecting);
    slot_->writer.leave(context.header());
    close();
  }
  Result<void> begin_connect(PollContext context, const Endpoint& endpoint) {
    Fd fd(System::socket(static_cast<int>(endpoint.family()), SOCK_STREAM));
    if (!fd) return detail::last_error();
    unsigned flags = Slot::is_socket | Slot::is_stream | Slot::connecting;
    if (endpoint.family() != Family::unix_domain) flags |= Slot::is_tcp;
    detail::Loop& loop = detail::ReactorAccess::loop(context.task().reactor());
    const Result<void> opened = register_as(loop, std::move(fd), flags);
    if (!opened) return opened;
    MOTE_ASSERT(slot_ != nullptr &&
                "register_as() has succeeded without a slot: a mistake of mote's, please report it");
    if (System::connect(slot_->fd, endpoint.address(), endpoint.size()) == 0) return {};
    slot_->write_state |= Slot::must_wait;
    const int error = System::error();
    const bool in_progress = error == EINPROGRESS || error == EINTR;  // after EINTR the kernel connects all the same
    return in_progress ? Result<void>() : Error(error);
  }
  // When the socket has become writable, the connection is there, or has failed.
  Result<void> ask_for_connect_error() {
    if (!slot_->may_write()) return {};
    int error = 0;
    socklen_t size = sizeof error;
    if (System::getsockopt(slot_->fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0) return detail::last_error();
    if (error != 0) return Error(error);
    // The kernel tells an error once. If something else has read it, the socket is not connected all the same.
    const bool has_failed = any(slot_->last() & (Readiness::error | detail::hung_up));
    return has_failed && !peer_endpoint() ? Result<void>(Error(ENOTCONN)) : Result<void>();
  }
};

namespace detail {
// Names what a stream has open: for the library.
struct StreamAccess {
  static const Slot* slot(const Stream& stream) { return stream.slot_; }  // null: it is not open
};
}  // namespace detail

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
// over, and nothing else is lost. A line costs O(its bytes).
//
// What has been read belongs to the connection that it came from. While the stream is closed the lines that are
// complete can still be taken; once it has been opened again, or another one is read from, what is left is forgotten.
// Size: N bytes, and 24 on a 32-bit board.
template <std::size_t N> class LineReader {
  static_assert(N >= 2, "room for one byte and the delimiter");
 public:
  constexpr LineReader() : LineReader('\n') {}
  explicit constexpr LineReader(char delimiter) : delimiter_(static_cast<unsigned char>(delimiter - '\n')) {}

  // The line without its delimiter (for '\n', nor a '\r' before it), valid until the next read. The last line may lack
  // the delimiter.
  // Errors, beside those of Stream::read():
  //   ENODATA    the stream has ended.
  //   EMSGSIZE   a line was too long. The next call returns the line after it.
  auto read_line(Stream& stream) {
    return detail::make_operation<ByteView>([this, &stream](PollContext context) -> Result<ByteView> {
      if (!context.is_abandoning()) follow(stream);
      // Without budget the read below is refused.
      const bool may_take = context.header().may_complete();
      for (;;) {
        const Result<ByteView> line = may_take ? take_line() : Error(EAGAIN);
        if (line || line.error() != EAGAIN) {
          static_cast<void>(context.consume_budget());  // lines that have been read already would cost nothing
          return line;
        }
        Poll<Result<std::size_t>> n = stream.read(ByteSpan(bytes_ + end_, N - end_)).poll(context.task());
        if (!n.ready()) return detail::suspended;
        if (!*n) return n->error();
        end_ += **n;
        if (**n == 0) return take_rest();
      }
    });
  }
 private:
  // Forgets what came from another connection than the stream's present one.
  void follow(const Stream& stream) {
    const detail::Slot* const slot = detail::StreamAccess::slot(stream);
    if (slot == nullptr || (slot == slot_ && slot->generation == generation_)) return;
    slot_ = slot;
    generation_ = slot->generation;
    begin_ = 0;
    searched_ = 0;
    end_ = 0;
    skipping_ = false;
  }
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
    return too_long ? Error(detail::Reason::line_too_long) : Error(EAGAIN);
  }
  void move_to_front() {
    if (begin_ != 0) ::memmove(bytes_, bytes_ + begin_, end_ - begin_);
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
    return none ? Result<ByteView>(Error(detail::Reason::stream_ended)) : rest;
  }
  ByteView cut(std::size_t from, std::size_t to) const {
    const bool by_newline = delimiter_ == 0;
    if (by_newline && to > from && bytes_[to - 1] == '\r') --to;
    return {bytes_ + from, to - from};
  }

  const detail::Slot* slot_ = nullptr;  // of the connection that the bytes came from: only compared
  std::uint32_t generation_ = 0;
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

// Accepts connections. When there is no room accept() waits, so that connections stay in the kernel's backlog: for a
// free slot of the table; or, when the system refuses a descriptor or memory, for limits::retry_pause (100 ms).
// Size on a 32-bit board: 16 bytes.
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
  //   EAFNOSUPPORT             the kernel does not know this family; or the endpoint is none.
  //   ENOENT, ENOTDIR          a directory of the path does not exist, or is none.
  //   ENOBUFS                  the table is full: see Config::descriptors; or the kernel's memory.
  //   EMFILE, ENFILE, ENOMEM   the system's limits.
  //   ENXIO                    the reactor is not open.
  Result<void> open(Reactor& reactor, const Endpoint& endpoint) { return open(reactor, endpoint, Options()); }
  Result<void> open(Reactor& reactor, const Endpoint& endpoint, const Options& options) {
    if (slot_ != nullptr) return Error(detail::Reason::already_open);
    Fd fd(System::socket(static_cast<int>(endpoint.family()), SOCK_STREAM));
    if (!fd) return detail::last_error();
    unsigned flags = Slot::is_socket | Slot::listening;
    if (endpoint.family() != Family::unix_domain) {
      flags |= Slot::is_tcp;
      if (const Result<void> set = set_options(fd.get(), endpoint.family(), options); !set) return set;
    }
    if (System::bind(fd.get(), endpoint.address(), endpoint.size()) != 0) return detail::last_error();
    if (System::listen(fd.get(), options.backlog) != 0) return detail::last_error();
    return register_as(detail::ReactorAccess::loop(reactor), std::move(fd), flags);
  }

  // Accepts the next connection; those that the peer has ended already are passed over.
  // Errors:
  //   EBUSY            when it has to wait: another task waits to accept. Or the listener is watched.
  //   ECANCELED        the task was cancelled, or the listener has been closed, as at shutdown.
  //   EBADF            it was never opened, or its descriptor was closed by somebody else.
  //   EINVAL           its descriptor was shut down (shutdown(2)) by somebody else.
  //   ENOBUFS          it has to wait for a slot or the system, and the task waits in limits::queues_per_task queues.
  //   ENOMEM, ENOSPC   the kernel's limits on registrations, when it has to wait.
  //   EEXIST           when it has to wait: another registration has the same number. See Reactor::add().
  auto accept() {
    return detail::make_operation<Stream>([this](PollContext context) {
      return Poll<Result<Stream>>::in_place([&](Stream& stream) { return attempt_accept(context, stream); });
    });
  }
  // One attempt, for the callback style. After any of these errors but EAGAIN and EBADF the listener stays ready:
  // watch() it with Interest::none, and try again later.
  // Errors:
  //   EAGAIN                   there is no connection now.
  //   EBADF                    it is not open.
  //   ENOBUFS                  the table is full, or the kernel's memory.
  //   EMFILE, ENFILE, ENOMEM   the system's limits.
  //   EPERM                    a firewall forbids it.
  //   ECONNABORTED             many connections in a row had been ended before they were accepted.
  Result<Stream> try_accept() {
    if (slot_ == nullptr) return Error(detail::Reason::not_open);
    if (loop_->vacancies() == 0) return Error(detail::Reason::descriptor_table_full);
    return Result<Stream>::in_place([this](Stream& stream) { return accept_into(stream); });
  }
 private:
  static Result<void> set_options(int fd, Family family, const Options& options) {
    static constexpr struct {
      int level;
      int name;
    } names[] = {{SOL_SOCKET, SO_REUSEADDR},
                 {SOL_SOCKET, SO_REUSEPORT},
                 {IPPROTO_TCP, TCP_NODELAY},
                 {IPPROTO_IPV6, IPV6_V6ONLY}};
    const bool ipv6_only = family == Family::ipv6 && options.ipv6_only;
    const bool wanted[] = {options.reuse_address, options.reuse_port, options.no_delay, ipv6_only};
    for (std::size_t i = 0; i < sizeof wanted; ++i) {
      const int on = 1;
      if (!wanted[i]) continue;
      if (System::setsockopt(fd, names[i].level, names[i].name, &on, sizeof on) != 0) return detail::last_error();
    }
    return {};
  }

  Result<void> attempt_accept(PollContext context, Stream& stream) {
    if (loop_ == nullptr) return context.fail(Error(detail::Reason::not_open));
    loop_->vacancy().remove(context.header());
    loop_->accept_retry().remove(context.header());
    Error refusal;
    if (!proceed(context, Interest::read, refusal)) return refusal;
    if (loop_->vacancies() == 0) return wait_in(loop_->vacancy(), context, "a free slot in the table");
    const Result<void> accepted = slot_->may_read() ? accept_into(stream) : Error(EAGAIN);
    const int error = accepted ? 0 : accepted.error().code();
    if (error == EAGAIN) {
      slot_->read_state |= Slot::must_wait;
      return wait_for(context, Interest::read, "a connection");
    }
    if (!may_pass_with_time(error)) return accepted;
    loop_->expect_retry();
    return wait_in(loop_->accept_retry(), context, "a descriptor or memory from the system");
  }
  // Waits elsewhere than for the descriptor. The reader is the record of whose operation is pending: it awaits a bit
  // that no event answers.
  Error wait_in(WaitQueue& queue, PollContext context, const char* what) {
    if (slot_->reader.is_taken_by_another(context.header())) return Error(detail::Reason::awaited_by_another_task);
    const Error answer = queue.wait(context.header(), what);
    if (answer == detail::suspended) slot_->reader.wait(context.header(), detail::awaits_no_event);
    return answer;
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
  // Whether the next connection may be accepted at once after this error of accept(). The first comes of a signal; the
  // others concern the connection that would have been accepted, or are errors of its network that were pending there:
  // see accept(2).
  static bool is_of_one_connection(int error) {
    return detail::is_one_of(error,
                             EINTR,         // a signal came first
                             ECONNABORTED,  // the peer has ended it in the meantime
                             EPROTO,        // the same, in some protocols
                             ENETDOWN,      // its network is down
                             ENOPROTOOPT,   // the peer does not offer the protocol
                             EHOSTDOWN,     // the peer's machine is down
                             ENONET,        // the peer's machine is not on the network
                             EHOSTUNREACH,  // there is no way to its machine
                             EOPNOTSUPP,    // its network does not support this
                             ENETUNREACH,   // there is no way to its network
                             ETIMEDOUT);    // it has not answered
  }
  // Whether this error of accept() may pass without this program's doing: the connection stays in the backlog
  // meanwhile. The others are EBADF and EINVAL: the descriptor was closed, or shut down, by somebody else.
  static bool may_pass_with_time(int error) {
    return detail::is_one_of(error,
                             EMFILE,         // too many descriptors in this process
                             ENFILE,         // too many in the system
                             ENOBUFS,        // no memory for a socket
                             ENOMEM,         // no memory
                             EPERM,          // a firewall forbids it
                             ECONNABORTED);  // many in a row had been ended
  }
};

}  // namespace MOTE_NAMESPACE
}  // namespace mote

#endif  // MOTE_IO_LISTENER_HPP

// =====================================================================================================================
// include/mote/io/service_manager.hpp
// =====================================================================================================================
// notify_service_manager: telling systemd, or who speaks its protocol, how the program is.
#ifndef MOTE_IO_SERVICE_MANAGER_HPP
#define MOTE_IO_SERVICE_MANAGER_HPP

namespace mote {
inline namespace MOTE_NAMESPACE {

namespace detail {

// Where the service manager listens, as NOTIFY_SOCKET says: ENOENT where it is not set, EINVAL where it makes no sense.
inline Result<Endpoint> service_manager() {
  const char* const path = ::getenv("NOTIFY_SOCKET");
  if (path == nullptr) return Error(Reason::no_service_manager);
  const bool is_path_or_abstract = path[0] == '/' || path[0] == '@';
  if (!is_path_or_abstract) return Error(Reason::bad_watchdog_variable);
  const Result<Endpoint> endpoint = Endpoint::unix_path(path);
  if (!endpoint) return Error(Reason::bad_watchdog_variable);
  return endpoint;
}
inline Result<void> tell_service_manager(const Fd& fd, const Endpoint& to, const char* state) {
  const int flags = MSG_DONTWAIT | MSG_NOSIGNAL;
  const auto sent = System::sendto(fd.get(), state, ::strlen(state), flags, to.address(), to.size());
  return result_of(static_cast<int>(sent));
}

}  // namespace detail

// Tells the service manager a state, as sd_notify(3) does: "READY=1", "STOPPING=1", "RELOADING=1", "STATUS=two
// clients"; several are separated by a newline. The socket is the one that NOTIFY_SOCKET names, a path or '@abstract';
// systemd sets it for units of Type=notify. It needs neither a reactor nor a watchdog, never waits, and keeps nothing
// open: each call opens a socket, sends one datagram and closes it. A Watchdog that feeds systemd keeps its socket: its
// notify() does the same with one system call. From any thread, as long as nobody changes the environment; not from a
// signal handler.
// Errors:
//   ENOENT                  NOTIFY_SOCKET is not set: the program was started by hand. Or there is no such socket (any
//                           more). Either way nobody listens: go on without.
//   EINVAL                  NOTIFY_SOCKET is neither an absolute path nor '@' and a name, or is longer than 107 bytes.
//   ECONNREFUSED            its socket is there, but nobody has it open any more.
//   EACCES                  the process may not write to it.
//   EAGAIN                  the manager is slow to read: try again later.
//   EMSGSIZE                the state is longer than a datagram can be.
//   EMFILE, ENFILE, ENOMEM  the system's limits.
inline Result<void> notify_service_manager(const char* state) {
  const Result<Endpoint> to = detail::service_manager();
  if (!to) return to.error();
  const Fd fd(System::socket(AF_UNIX, SOCK_DGRAM));
  if (!fd) return detail::last_error();
  return detail::tell_service_manager(fd, *to, state);
}

}  // namespace MOTE_NAMESPACE
}  // namespace mote

#endif  // MOTE_IO_SERVICE_MANAGER_HPP

// =====================================================================================================================
// include/mote/device/serial_port.hpp
// =====================================================================================================================
// SerialPort: a serial line, as a stream.
#ifndef MOTE_DEVICE_SERIAL_PORT_HPP
#define MOTE_DEVICE_SERIAL_PORT_HPP

namespace mote {
inline namespace MOTE_NAMESPACE {

// A serial port in raw mode. An unplugged one reads as the end of the stream.
// Size on a 32-bit board: 16 bytes.
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

  // Opens it for this process alone: from then on any other open() fails with EBUSY (not the superuser's: TIOCEXCL).
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
    if (slot_ != nullptr) return Error(detail::Reason::already_open);
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
    if (speed == B0 || !are_valid(settings)) return Error(detail::Reason::bad_serial_settings);
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
    return taken ? Result<void>() : Error(detail::Reason::bad_serial_settings);
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
// The loop delivers what is pending at the end of phase 4 of a turn: it notes that a wake-up has come, wakes the task
// that waits for one, and calls the callback. Everything is for the loop's thread, except wake() and is_open(). Size on
// a 32-bit board: 52 bytes.
class WakerCore : public InboxNode {
 public:
  ~WakerCore() {
    close();
    waiter_.clear();
  }

  // `with` is the hook for the loop's inbox. Errors: those of Waker::open().
  Result<void> open(Reactor& reactor, Delegate<void()> callback, Hook with = &WakerCore::serve) {
    if (is_open()) return Error(Reason::already_open);
    Loop& loop = ReactorAccess::loop(reactor);
    if (const Result<void> enabled = loop.enable_wakeups(); !enabled) return enabled;
    callback_ = callback;
    signalled_ = false;
    closed_ = false;
    loop_ = &loop;
    loop.join_inbox(*this, with);
    const std::uint32_t before = state_.fetch_or(cell_number() * one_cell);
    if ((before & pending) != 0) loop.set_flag(woken);  // woken before it was open
    return {};
  }
  // A thread that is inside wake() does not touch this any more, but the loop's cell. So nobody is waited for.
  void close() {
    if (!is_open()) return;
    state_.fetch_and(pending);
    loop_->leave_inbox(*this);
    closed_ = true;
    if (!waiter_.has_task() || !(waiter_.is_waiting() || woken_)) return;
    interrupted_ = waiter_.task()->serial();
    woken_ = false;
    waiter_.notify();
    waiter_.clear();
  }
  // Any thread and any signal handler. Marking it as pending and learning the loop's cell is one step, after which
  // nothing of this object is touched: when the wake-up has been delivered, the object may be destroyed. A wake-up that
  // finds the mark set notifies the loop all the same: whoever has set it may not have come so far.
  void wake() {
    const std::uint32_t before = state_.fetch_or(pending);
    if (before >= one_cell) wake_cell_of(before / one_cell).notify();
  }
  bool is_open() const { return state_.load(std::memory_order_relaxed) >= one_cell; }
  // The cell of the loop in which it is open.
  std::uint32_t cell_number() const { return number_of(loop_->wake_cell()); }
  // Whether a wake-up has been delivered since this was asked last.
  bool take_signal() { return std::exchange(signalled_, false); }

  // One attempt at what a wake-up announces: `get_result()` returns a Result; EAGAIN says that it is not there yet.
  // Errors, besides those of get_result():
  //   EBUSY      another task waits for it.
  //   ECANCELED  the task was cancelled, or this has been closed while it waited, be it opened again since or not.
  //   EBADF      it was never opened.
  template <class GetResult, class R = std::invoke_result_t<GetResult>>
  R attempt(PollContext context, GetResult&& get_result) {
    if (context.is_abandoning()) forget_use(context.header());
    R answer = context.attempt(waiter_, "a wake-up", [&]() -> R {
      if (was_interrupted(context.header())) return Error(ECANCELED);
      R result = get_result();
      if (result || result.error() != EAGAIN || is_open()) return result;
      return closed_ ? Error(ECANCELED) : Error(Reason::not_open);
    });
    const bool is_postponed = !answer && answer.error() == suspended && !waiter_.is_waiting();
    if (is_postponed && !context.is_abandoning()) note_postponed(context.header());
    return answer;
  }
 protected:
  // The hook for the loop's inbox.
  static void serve(InboxNode& node, InboxEvent event) {
    WakerCore& self = static_cast<WakerCore&>(node);
    if (event == InboxEvent::deliver) self.deliver();
    if (event == InboxEvent::close) self.close();
    // In a forked child it works as it is, and what is pending is delivered there, too.
  }
  void stay_pending() { state_.fetch_or(pending); }
  // Tells the waiting task and the callback.
  void announce() {
    signalled_ = true;
    if (waiter_.notify()) woken_ = true;
    const Delegate<void()> callback = callback_;  // it may destroy this object
    if (callback) callback();
  }
 private:
  // Bits of state_. Above them, the number of the loop's cell; 0: it is not open.
  static constexpr std::uint32_t pending = 1;  // woken, and not yet delivered
  static constexpr std::uint32_t one_cell = 2;

  // Notes that the task makes an attempt. Returns whether this was closed since its last one, while it waited here.
  bool was_interrupted(TaskHeader& task) {
    if (waiter_.names(task)) woken_ = false;
    return interrupted_ != 0 && take_interruption(task);
  }
  // It is the answer to a cancellation, too.
  [[gnu::noinline]] bool take_interruption(TaskHeader& task) {
    if (interrupted_ != task.serial()) return false;
    interrupted_ = 0;
    if (task.is_cancelling()) task.acknowledge_cancellation();
    return true;
  }
  // The task's attempt is pending until its next turn, for which it is queued already.
  [[gnu::noinline]] void note_postponed(TaskHeader& task) {
    waiter_.wait(task, 0);
    woken_ = true;
  }
  // Of a task that leaves. Where it hands a coroutine over, the task that goes on with that waits, and is to be told.
  void forget_use(const TaskHeader& task) {
    if (waiter_.names(task) && !task.handing_over) woken_ = false;
    if (interrupted_ == task.serial()) interrupted_ = task.heir_serial();
  }
  void deliver() {
    if ((state_.load() & pending) == 0) return;
    state_.fetch_and(~pending);
    announce();
  }

  bool signalled_ = false;  // a wake-up has been delivered, and no task has taken it
  bool closed_ = false;     // after having been open
  bool woken_ = false;      // the task that waited has been woken, and has made no attempt since
  std::atomic<std::uint32_t> state_{0};
  Loop* loop_ = nullptr;  // valid while it is open
  Delegate<void()> callback_;
  // The task (its serial) that waited when this was closed: its next attempt returns ECANCELED, also where it has been
  // opened again. One that has ended by then is not found again, since no other task has its serial.
  std::uint32_t interrupted_ = 0;
  Waiter waiter_;
};

}  // namespace detail

// Wakes the loop from any thread and from signal handlers. Wake-ups coalesce: many before the loop comes around are
// one, and the loop then looks at each waker: O(open wakers). Either a callback is called in the loop's thread, or a
// task awaits wait(). A callback that throws is not called again for that wake-up. The reactor may be destroyed first;
// wake() then has no effect. wake() must not be called any more once the waker's own destructor has begun, but it need
// not have returned: a waker may be destroyed as soon as the last wake-up has been delivered. It must not move.
// Size on a 32-bit board: 52 bytes.
class Waker {
 public:
  // While it is open, run() goes on though nothing else is left: a wake-up may come. close() it to let run() end.
  // Errors:
  //   EBUSY                           it is open already: close() it first.
  //   ENXIO                           the reactor is not open.
  //   ENOBUFS                         too many reactors have wake-ups.
  //   EMFILE, ENFILE, ENOMEM, ENOSPC  the system's limits, as Reactor::enable_wakeups() returns them.
  Result<void> open(Reactor& reactor, Delegate<void()> callback = {}) { return core_.open(reactor, callback); }
  // Has no effect where it is not open. A task that awaits wait() gets ECANCELED, once, also where the waker is opened
  // again before that task is stepped. Never waits for other threads, though they may be inside wake().
  void close() { core_.close(); }
  // Async-signal-safe, any thread, never blocks, and leaves errno as it is. At most one system call, and none while the
  // loop is awake (one more, a close(), if the reactor is destroyed meanwhile). A wake-up before open() is delivered
  // once it is open.
  void wake() { core_.wake(); }
  bool is_open() const { return core_.is_open(); }
  // Completes when wake() has been called since the last wait(). For one task at a time.
  // Errors:
  //   EBUSY      another task waits for it.
  //   ECANCELED  the task was cancelled, or the waker has been closed.
  //   EBADF      it was never opened.
  auto wait() {
    return detail::make_operation<void>([this](PollContext context) {
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

// A bounded queue from any threads (not signal handlers) to the loop, without locks, with 32-bit atomics (after
// Vyukov's bounded MPMC queue): no call waits for another thread, but a thread that is preempted within post() holds
// back the messages after its own. N is a power of two. Each producer's messages keep their order, and no message that
// was accepted is lost; when it is full, post() returns ENOBUFS. It must not move, and it must not be destroyed while a
// thread is inside post(): let the threads end first.
//
// In a forked child, after Reactor::after_fork_in_child(), a mailbox that is open holds the messages that were complete
// at the fork, as copies of the child's own, in their order. One that another thread was just posting is dropped; its
// destructor is not called. In a mailbox that was not open at the fork such a message keeps those behind it from being
// received.
// Size: N times sizeof(T) + 4, rounded up to what T and the 4 bytes are aligned to; and 60 bytes on a 32-bit board.
template <class T, std::size_t N> class Mailbox : detail::WakerCore {
  static_assert(N > 0 && (N & (N - 1)) == 0 && N <= (1u << 30), "the capacity of a Mailbox is a power of two");
 public:
  constexpr Mailbox() : cells_{} {}
  ~Mailbox() {
    close();
    while (try_receive()) continue;
  }

  // The callback is called in the loop's thread when messages have come; it takes them with try_receive(). One that
  // throws is called again, for what it may have left. Without a callback, await receive(). While it is open, run()
  // goes on, as for a Waker. Errors: those of Waker::open().
  Result<void> open(Reactor& reactor, Delegate<void()> callback = {}) {
    return WakerCore::open(reactor, callback, &Mailbox::serve);
  }
  // Messages that are in it stay there, and can still be taken with try_receive(). Never waits for threads that are
  // inside post().
  void close() { WakerCore::close(); }

  // Puts a T, which is constructed from `message`, into the queue. Any thread, also before open() and after close().
  // T's constructor must not throw.
  // Errors:
  //   ENOBUFS  it is full: try later. `message` is unchanged. A message that another thread is just posting, or that
  //            the loop is just taking, has its place still.
  template <class U = T> Result<void> post(U&& message) {
    std::uint32_t position = tail_.load(std::memory_order_relaxed);
    for (;;) {
      Cell& cell = cells_[position % N];
      if (cell.sequence.load(std::memory_order_acquire) == sequence_of(position)) {
        // If another producer was faster, `position` is the new tail.
        if (!tail_.compare_exchange_weak(position, position + 1, std::memory_order_relaxed)) continue;
        ::new (static_cast<void*>(cell.bytes)) T(std::forward<U>(message));
        cell.sequence.store(sequence_of(position) + complete, std::memory_order_release);
        wake();
        return {};
      }
      // The cell is taken: by another producer, which has moved the tail, or else by a message of one round before. If
      // the tail has not moved since before that look, the queue was full at that moment.
      const std::uint32_t seen = position;
      position = tail_.load(std::memory_order_relaxed);
      if (position == seen) return Error(detail::Reason::mailbox_full);
    }
  }
  // Takes the next message. For the loop's thread. O(1), but for messages that were dropped by a fork.
  // Errors:
  //   EAGAIN  it is empty, or the next message is just being posted.
  Result<T> try_receive() {
    for (;;) {
      Cell& cell = cells_[head_ % N];
      const std::uint32_t state = cell.sequence.load(std::memory_order_acquire) - sequence_of(head_);
      if (state == complete) {
        T* const message = static_cast<T*>(static_cast<void*>(cell.bytes));
        Result<T> result(detail::Value<T&&>{std::move(*message)});
        message->~T();
        free_first();
        return result;
      }
      if (state != dropped) return Error(EAGAIN);
      free_first();
    }
  }
  // Waits for the next message, and takes it. For one task at a time.
  // Errors:
  //   EBUSY      another task waits for it.
  //   ECANCELED  the task was cancelled, or the mailbox has been closed.
  //   EBADF      it was never opened.
  auto receive() {
    return detail::make_operation<T>(
        [this](PollContext context) { return attempt(context, [this] { return try_receive(); }); });
  }
 private:
  // What a cell's sequence adds to that of a position. 0: it is free for that position; any other number: it is of
  // another position.
  static constexpr std::uint32_t complete = 1;  // it holds the position's message
  static constexpr std::uint32_t dropped = 2;   // the thread that was posting it is not in this forked child
  struct Cell {
    std::atomic<std::uint32_t> sequence{0};  // as in Vyukov's queue
    alignas(T) unsigned char bytes[sizeof(T)] = {};
  };
  // Positions count messages, and wrap around; each cell is used once in N of them.
  static constexpr std::uint32_t sequence_of(std::uint32_t position) {
    return position / static_cast<std::uint32_t>(N) * 4;
  }

  void free_first() {
    const std::uint32_t position = head_;
    head_ = position + 1;
    cells_[position % N].sequence.store(sequence_of(position + static_cast<std::uint32_t>(N)),
                                        std::memory_order_release);
  }

  // The hook for the loop's inbox.
  static void serve(detail::InboxNode& node, detail::InboxEvent event) {
    if (event == detail::InboxEvent::forked) static_cast<Mailbox&>(node).drop_incomplete();
    if (event == detail::InboxEvent::thrown) static_cast<Mailbox&>(node).stay_pending();
    WakerCore::serve(node, event);
  }
  // In a forked child: those that posted are not here.
  void drop_incomplete() {
    for (std::uint32_t position = head_; position != tail_.load(std::memory_order_relaxed); ++position) {
      std::atomic<std::uint32_t>& sequence = cells_[position % N].sequence;
      if (sequence.load(std::memory_order_relaxed) != sequence_of(position)) continue;
      sequence.store(sequence_of(position) + dropped, std::memory_order_relaxed);
    }
  }

  Cell cells_[N];
  std::atomic<std::uint32_t> tail_{0};  // the position of the next message to be posted
  std::uint32_t head_ = 0;              // the position of the next message to be received
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

// A set of signals, 1 to 64 (on MIPS to 127), in words of 32 bits: `{SIGINT, SIGTERM}`. Adding a number that is no
// signal makes it invalid, and Signals::open() then returns EINVAL.
// Size on a 32-bit board: 12 bytes.
class SignalSet {
 public:
  constexpr SignalSet() = default;
  constexpr SignalSet(std::initializer_list<int> numbers) {
    for (const int signal : numbers) add(signal);
  }

  constexpr void add(int signal) {
    if (signal >= 1 && signal <= last_signal) words_[word_of(signal)] |= bit_of(signal);
    else invalid_ = true;
  }
  constexpr bool contains(int signal) const {
    return (words_[word_of(signal)] & bit_of(signal)) != 0;
  }  // 1 to last_signal
  // The lowest signal above `after`, or 0: there is none. For a loop over all of them: begin with next(0), then pass
  // the signal that was returned last. O(last_signal).
  constexpr int next(int after) const {
    for (int signal = after + 1; signal <= last_signal; ++signal) {
      if (contains(signal)) return signal;
    }
    return 0;
  }
  constexpr bool valid() const { return !invalid_; }  // only signal numbers have been added

  // The platform's highest signal, and how many words of 32 bits have a bit for each.
  static constexpr int last_signal = _NSIG - 1;
  static constexpr int words = (last_signal + 31) / 32;
  // The word and the bit of a signal, 1 to last_signal, in an array of such words.
  static constexpr std::uint32_t word_of(int signal) { return (static_cast<std::uint32_t>(signal) - 1) / 32; }
  static constexpr std::uint32_t bit_of(int signal) { return 1u << ((static_cast<std::uint32_t>(signal) - 1) % 32); }
 private:
  std::uint32_t words_[words] = {};
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

// What the signal handler touches. It lies in static storage, so that a handler that runs late, in whichever thread,
// never touches an object that has been closed or destroyed. There is one table in a process, since signals are
// process-wide.
struct SignalTable {
  // What was installed before, in a short form.
  struct Saved {
    void (*handler)(int) = nullptr;
    unsigned char mask[(SignalSet::last_signal + 7) / 8] = {};  // the part of a sigset_t that the kernel has
    int flags = 0;

    void keep(const System::Action& action) {
      handler = action.sa_handler;
      flags = action.sa_flags;
      ::memcpy(mask, &action.sa_mask, sizeof mask);
    }
    void copy_to(System::Action& action) const {
      action.sa_handler = handler;
      action.sa_flags = flags;
      ::memcpy(&action.sa_mask, mask, sizeof mask);
    }
  };

  // Bits of Entry::holder above the id of the process, which has 22 at most.
  enum State : std::uint32_t {
    claiming = 1u << 31,    // somebody is about to take it or to give it back
    swallowing = 1u << 30,  // the handler is installed, and does nothing
    inherited = 1u << 29    // with `claiming`: the handler is still that of the process before
  };
  static constexpr std::uint32_t process_bits = inherited - 1;

  struct Entry {
    // Who holds the signal, as one word so that taking it is one step: a process's id and bits of State. Without such a
    // bit the handler tells the owner. 0: nobody. Another process's id: a forked child has inherited it.
    std::atomic<std::uint32_t> holder{0};
    std::atomic<std::uint32_t> cell{0};    // of the owner's loop, which may have gone: see number_of()
    std::atomic<Signals*> owner{nullptr};  // only compared
    Saved saved;
  };

  bool anything_has_arrived() const {
    std::uint32_t all = 0;
    for (const std::atomic<std::uint32_t>& bits : arrived) all |= bits.load();
    return all != 0;
  }
  bool has_arrived(int signal) const {
    return (arrived[SignalSet::word_of(signal)].load() & SignalSet::bit_of(signal)) != 0;
  }
  void note_arrival(int signal) { arrived[SignalSet::word_of(signal)].fetch_or(SignalSet::bit_of(signal)); }
  void forget_arrival(int signal) { arrived[SignalSet::word_of(signal)].fetch_and(~SignalSet::bit_of(signal)); }

  std::atomic<std::uint32_t> arrived[SignalSet::words] = {};  // bits as in a SignalSet
  Entry entries[SignalSet::last_signal + 1];
};
inline SignalTable signal_table;

}  // namespace detail

// Turns signals into calls or awaitable events of the loop. The handler that it installs sets a flag and wakes the
// loop, nothing else; it restores errno. It reaps no child, and changes no signal mask unless it is asked to. A signal
// that is repeated before the loop delivers it counts once. It must not move.
//
// close() puts back what was installed before, unless somebody has replaced our handler meanwhile. It waits for
// nobody. A signal that arrives meanwhile, or that has arrived and was not delivered yet, is told to nobody.
//
// In a forked child the signals are this object's after Reactor::after_fork_in_child(). Until then, and in a child that
// never calls it, a signal has the effect that it had before open(): at the first one the handler puts back what was
// installed, and sends the signal to itself again.
// Size on a 32-bit board: 64 bytes.
class Signals : detail::WakerCore {
  using SignalTable = detail::SignalTable;
 public:
  // What open() does with signals that the calling thread's mask blocks. A mask is inherited through exec: a parent may
  // have blocked them. Those of other threads cannot be looked at.
  enum class Blocked {
    refuse,   // EDEADLK
    unblock,  // in the calling thread, once the handler is installed; close() does not block them again
    allow     // another thread does not block them, or the caller unblocks them later
  };

  // Leaves what has been swallowed as it is: see swallow().
  ~Signals() { change(Change::destroy); }

  // Takes these signals over. The callback is called with a signal's number, in the loop's thread (what it throws does
  // not keep the other signals from coming); without one, await next(). On failure nothing is changed. Several threads
  // may open signals at the same time; of those that want the same one, one gets it. (If another thread takes one in
  // the very moment, those of the others that were swallowed are given back.)
  // Errors:
  //   EINVAL                          a number that is no signal, or one that cannot be caught (SIGKILL, SIGSTOP).
  //   EBUSY                           it has not been closed, or one of the signals belongs to another Signals.
  //   EDEADLK                         one of the signals is blocked in the calling thread, and would never be heard.
  //   ENXIO                           the reactor is not open.
  //   ENOBUFS                         too many reactors have wake-ups.
  //   EMFILE, ENFILE, ENOMEM, ENOSPC  the system's limits, as Reactor::enable_wakeups() returns them.
  Result<void> open(Reactor& reactor, const SignalSet& wanted, Delegate<void(int)> callback = {},
                    Blocked blocked = Blocked::refuse) {
    if (process_ != 0) return Error(detail::Reason::already_open);
    if (!wanted.valid()) return Error(detail::Reason::no_such_signal);
    if (is_any_taken(wanted)) return Error(detail::Reason::signal_is_taken);
    if (blocked == Blocked::refuse) {
      if (const Result<void> heard = refuse_blocked(wanted); !heard) return heard;
    }
    const Result<void> opened =
        WakerCore::open(reactor, Delegate<void()>::of<&Signals::deliver>(*this), &Signals::serve);
    if (!opened) return opened;
    callback_ = callback;
    process_ = System::process();
    Result<void> done = claim_all(wanted);
    if (done && blocked == Blocked::unblock) done = unblock(wanted);
    if (!done) close();
    return done;
  }
  // Puts back what was installed before, also where the signals are only swallowed. Has no effect where it holds no
  // signals. A task that awaits next() gets ECANCELED.
  void close() {
    change(Change::close);
    process_ = 0;
    WakerCore::close();
  }
  // Closes it, but leaves the handler in place, where it does nothing: for the last moments of a program, in which a
  // signal is to have no effect any more. So it stays until close(), or until these signals are opened again, by this
  // or by another object; this one's destructor does not change it.
  void swallow() {
    change(Change::swallow);
    process_ = 0;
    WakerCore::close();
  }
  // Calls the callback for the signals that have arrived, in one pass upwards: one that a callback raises again is
  // delivered in the next turn. The loop calls it in each turn; call it after a run for the signals that have come
  // since its last turn.
  void deliver() {
    int last = 0;
    while (callback_) {
      const Result<int> signal = take_arrived(last);
      if (!signal) return;
      last = *signal;
      const Delegate<void(int)> callback = callback_;
      callback(last);
      if (!tells(last)) return;  // the callback may have closed or destroyed this object: then no member may be used
    }
  }
  // False also where the reactor has gone: close() it before it is opened again.
  bool is_open() const { return WakerCore::is_open(); }
  // Completes when a signal has come, and returns the lowest-numbered one. For one task at a time.
  // Errors:
  //   EBUSY      another task waits for one.
  //   ECANCELED  the task was cancelled, or this has been closed.
  //   EBADF      it was never opened.
  auto next() {
    return detail::make_operation<int>(
        [this](PollContext context) { return attempt(context, [this] { return take_arrived(0); }); });
  }
 private:
  static SignalTable& table() { return detail::signal_table; }
  static SignalTable::Entry& entry_of(int signal) { return table().entries[signal]; }
  static bool is_swallowed(const SignalTable::Entry& entry) {
    return (entry.holder.load(std::memory_order_relaxed) & SignalTable::swallowing) != 0;
  }
  static std::uint32_t this_process() { return static_cast<std::uint32_t>(System::process()); }

  // ---- the handler, async-signal-safe ----

  // A handler may run late, in a thread that was interrupted before its first instruction. So where nobody holds the
  // signal any more, it does nothing.
  static void on_signal(int signal, siginfo_t* information, void*) {
    SignalTable::Entry& entry = entry_of(signal);
    const std::uint32_t holder = entry.holder.load();
    const std::uint32_t process = this_process();
    if (holder == process) {
      table().note_arrival(signal);
      detail::wake_cell_of(entry.cell.load(std::memory_order_relaxed)).notify();
    } else if (is_of_another_process(holder, process)) {
      pass_on(signal, information);
    }
  }
  static bool is_of_another_process(std::uint32_t holder, std::uint32_t process) {
    const std::uint32_t id = id_of(holder);
    return (id != 0 && id != process) || (holder & SignalTable::inherited) != 0;
  }
  // Gives the signal the effect that it had before the handler was installed. A child of vfork() has its own
  // dispositions, but its parent's memory: so nothing is written.
  [[gnu::noinline, gnu::cold]] static void pass_on(int signal, siginfo_t* information) {
    const int saved_errno = errno;
    // If not: another handler has been installed over this one, and has called it.
    if (put_back(signal)) {
      // Another thread of this process has taken the signal meanwhile.
      if (entry_of(signal).holder.load() == this_process()) static_cast<void>(install(signal));
      System::send_again(signal, information);
    }
    errno = saved_errno;
  }

  // ---- dispositions ----

  static bool is_ours(const System::Action& action) {
    return (action.sa_flags & SA_SIGINFO) != 0 && action.sa_sigaction == &Signals::on_signal;
  }
  static Result<void> install(int signal) {
    System::Action ours;
    ::memset(&ours, 0, sizeof ours);
    ours.sa_sigaction = &Signals::on_signal;
    // SA_RESTART: for blocking calls elsewhere in the program; waits for descriptors never restart.
    ours.sa_flags = SA_RESTART | SA_SIGINFO;
    return detail::result_of(System::sigaction(signal, &ours, nullptr));
  }
  // Puts back what was there before, if our handler is installed. False: it is not.
  static bool put_back(int signal) {
    System::Action action;
    if (System::sigaction(signal, nullptr, &action) != 0 || !is_ours(action)) return false;
    entry_of(signal).saved.copy_to(action);
    return System::sigaction(signal, &action, nullptr) == 0;
  }

  // ---- who holds a signal ----

  static bool is_any_taken(const SignalSet& wanted) {
    const std::uint32_t process = this_process();
    for (int signal = wanted.next(0); signal != 0; signal = wanted.next(signal)) {
      if (is_taken(entry_of(signal).holder.load(std::memory_order_relaxed), process)) return true;
    }
    return false;
  }
  Result<void> claim_all(const SignalSet& wanted) {
    for (int signal = wanted.next(0); signal != 0; signal = wanted.next(signal)) {
      if (const Result<void> claimed = claim(signal); !claimed) return claimed;
    }
    return {};
  }
  // Takes one signal: of several threads, one gets it.
  // Errors:
  //   EBUSY   it belongs to another Signals.
  //   EINVAL  no such signal, or one that cannot be caught.
  Result<void> claim(int signal) {
    SignalTable::Entry& entry = entry_of(signal);
    std::uint32_t before = entry.holder.load(std::memory_order_relaxed);
    const std::uint32_t process = this_process();
    do {
      if (is_taken(before, process)) return Error(detail::Reason::signal_is_taken);
    } while (
        !entry.holder.compare_exchange_weak(before, process | SignalTable::claiming | kept_state(before, process)));
    entry.cell.store(cell_number(), std::memory_order_relaxed);
    table().forget_arrival(signal);  // a late handler that notes an arrival after this finds the cell
    entry.owner.store(this, std::memory_order_relaxed);
    const Result<void> taken = take_disposition(signal, process);
    if (!taken) {
      entry.owner.store(nullptr, std::memory_order_relaxed);
      entry.holder.store(before);
    }
    return taken;
  }
  static std::uint32_t id_of(std::uint32_t holder) { return holder & SignalTable::process_bits; }
  // Whether another Signals of this process has it, or is about to take it or to give it back.
  static bool is_taken(std::uint32_t holder, std::uint32_t process) {
    constexpr std::uint32_t both = SignalTable::swallowing | SignalTable::claiming;
    return id_of(holder) == process && (holder & both) != SignalTable::swallowing;
  }
  // What the handler does while the signal is being claimed is what it did before.
  static std::uint32_t kept_state(std::uint32_t holder, std::uint32_t process) {
    if (holder == 0) return 0;
    return id_of(holder) == process ? SignalTable::swallowing : SignalTable::inherited;
  }
  // What was there is saved before the handler can run, and the signal is held before, too. In a forked child our own
  // handler was there: what was saved when it was installed still stands.
  static Result<void> take_disposition(int signal, std::uint32_t process) {
    System::Action old;
    if (System::sigaction(signal, nullptr, &old) != 0) return detail::last_error();
    SignalTable::Entry& entry = entry_of(signal);
    if (!is_ours(old)) entry.saved.keep(old);
    entry.holder.store(process);
    return install(signal);
  }
  enum class Change { close, swallow, destroy, take_over };
  // Changes what becomes of all signals that are this object's, also of those that it has swallowed.
  [[gnu::noinline]] void change(Change what) {
    for (int signal = 1; signal <= SignalSet::last_signal; ++signal) {
      SignalTable::Entry& entry = entry_of(signal);
      if (entry.owner.load(std::memory_order_relaxed) != this) continue;
      const bool swallowed = is_swallowed(entry);
      if (what == Change::swallow) {
        entry.holder.fetch_or(SignalTable::swallowing);
      } else if (what == Change::take_over) {
        if (!swallowed) static_cast<void>(claim(signal));  // cannot fail: it could be caught in the parent
      } else if (what == Change::destroy && swallowed) {
        entry.owner.store(nullptr, std::memory_order_relaxed);
      } else {
        give_back(signal);
      }
    }
  }
  // Puts back what was there before, if nobody has replaced our handler. Meanwhile the handler does nothing.
  void give_back(int signal) {
    SignalTable::Entry& entry = entry_of(signal);
    const std::uint32_t process = this_process();
    std::uint32_t holder = entry.holder.load(std::memory_order_relaxed);
    // In a forked child another thread may be about to take what this object has inherited.
    if (holder == (process | SignalTable::claiming | SignalTable::inherited)) return;
    constexpr std::uint32_t giving = SignalTable::claiming | SignalTable::swallowing;
    if (!entry.holder.compare_exchange_strong(holder, process | giving)) return;
    static_cast<void>(put_back(signal));
    entry.owner.store(nullptr, std::memory_order_relaxed);
    entry.holder.store(0);
  }

  // ---- blocked signals ----

  static Result<void> refuse_blocked(const SignalSet& wanted) {
    sigset_t mask;
    if (System::sigprocmask(SIG_BLOCK, nullptr, &mask) != 0) return detail::last_error();
    for (int signal = wanted.next(0); signal != 0; signal = wanted.next(signal)) {
      if (::sigismember(&mask, signal) == 1) return Error(detail::Reason::signal_is_blocked);
    }
    return {};
  }
  static Result<void> unblock(const SignalSet& wanted) {
    sigset_t mask;
    ::sigemptyset(&mask);
    for (int signal = wanted.next(0); signal != 0; signal = wanted.next(signal)) ::sigaddset(&mask, signal);
    return detail::result_of(System::sigprocmask(SIG_UNBLOCK, &mask, nullptr));
  }

  // ---- delivery ----

  // The hook for the loop's inbox. The handler cannot mark the node as pending: it does not touch this object.
  static void serve(detail::InboxNode& node, detail::InboxEvent event) {
    Signals& self = static_cast<Signals&>(node);
    if (event == detail::InboxEvent::deliver && self.first_arrived(0) != 0) self.announce();
    if (event == detail::InboxEvent::close) self.WakerCore::close();  // the signals stay this object's
    if (event == detail::InboxEvent::forked) {
      self.process_ = System::process();
      self.change(Change::take_over);  // what had arrived before the fork was the parent's
    }
  }
  // Takes the lowest signal above `after` that has arrived. EAGAIN: none has.
  Result<int> take_arrived(int after) {
    const int signal = first_arrived(after);
    if (signal == 0) return Error(EAGAIN);
    table().forget_arrival(signal);
    return value(signal);
  }
  int first_arrived(int after) const {
    if (!table().anything_has_arrived()) return 0;
    for (int signal = after + 1; signal <= SignalSet::last_signal; ++signal) {
      if (table().has_arrived(signal) && tells(signal)) return signal;
    }
    return 0;
  }
  // Whether the signal is this object's. Reads no member.
  bool tells(int signal) const {
    const SignalTable::Entry& entry = entry_of(signal);
    return entry.owner.load(std::memory_order_relaxed) == this && !is_swallowed(entry);
  }

  Delegate<void(int)> callback_;
  pid_t process_ = 0;  // the process that opened it; 0: closed
};

}  // namespace MOTE_NAMESPACE
}  // namespace mote

#endif  // MOTE_THREAD_SIGNALS_HPP

// =====================================================================================================================
// include/mote/sync/parts.hpp
// =====================================================================================================================
// PartsAttempt: one attempt at an operation that is made of several parts.
#ifndef MOTE_SYNC_PARTS_HPP
#define MOTE_SYNC_PARTS_HPP

namespace mote {
inline namespace MOTE_NAMESPACE {
namespace detail {

// One attempt at an operation that is made of several parts, which are polled one after the other. Where the task had
// budget before the first part, each part has some, though those before it may have used it up. Where it had none, no
// part has: else the whole would always complete, and starve the other tasks.
//
// Of all parts that are pending, Task::waits_for() tells the one that is named first. A part itself notes its words in
// the task, and those of the part after it would replace them.
class PartsAttempt {
 public:
  explicit PartsAttempt(PollContext context) : context_(context), has_budget_(context.budget() > 0) {}

  void begin_part() const {
    if (has_budget_) context_.ensure_attempt();
  }
  void note_pending() {  // after the attempt of a part that is pending
    if (waits_for_ == nullptr) waits_for_ = context_.waits_for();
  }
  Error suspend() const { return context_.suspend(waits_for_); }
 private:
  const PollContext context_;
  const bool has_budget_;
  const char* waits_for_ = nullptr;
};

}  // namespace detail
}  // namespace MOTE_NAMESPACE
}  // namespace mote

#endif  // MOTE_SYNC_PARTS_HPP

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

// The results of all_of(), each stored when its operation completes: a named object that outlives the await. If the
// await is abandoned midway (by with_timeout(), or by the end of its task), the next one, of whichever task, goes on
// with the operations that have not completed, so that no result is lost; reset() to begin anew.
// Size: that of the results, and 4 bytes.
template <class... T> class AllOf {
 public:
  template <std::size_t Index> auto& get() { return std::get<Index>(results_); }  // EAGAIN until it has completed
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

// The operation that all_of() returns: each poll() is one more attempt at the parts that have not completed. Folds over
// `I` do the same for each part, in the order in which the parts are named.
//
// A cancellation of the task is passed on to each part that is pending: it is requested anew before each part's
// attempt, since a part that returns ECANCELED thereby acknowledges it. A part that is shielded holds it back instead.
template <class... Op> struct [[nodiscard]] All {
  using ChargesItself = void;
  Poll<Result<void>> poll(Task& task) { return poll_parts(task, std::index_sequence_for<Op...>()); }

  struct Cancellation {
    const bool requested;   // when the attempt began
    const bool is_due;      // a result has won over it already: see TaskHeader::may_complete()
    bool answered = false;  // by a part
    bool held = false;      // by a part's shield
  };

  template <std::size_t... Index> Poll<Result<void>> poll_parts(Task& task, std::index_sequence<Index...>) {
    const PollContext context(task);
    if (context.is_abandoning()) {
      (leave<Index>(task), ...);
      return pending;
    }
    if (results.complete_ == results.all) results.reset();  // a new await: the last one has completed
    Cancellation cancellation{context.is_cancelling(), context.budget() < 0};
    PartsAttempt parts(context);
    (poll_part<Index>(context, cancellation, parts), ...);
    if (cancellation.answered || cancellation.held) context.acknowledge_cancellation();
    // Every pending part is shielded: cancel() holds it back until a shield is lowered.
    if (cancellation.held && !cancellation.answered) context.cancel();
    if (results.complete_ != results.all) return parts.suspend();
    Result<void> first_error;
    (note_error<Index>(first_error), ...);
    return first_error;
  }
  template <std::size_t Index> void leave(Task& task) {
    if (!results.is_complete(Index)) static_cast<void>(std::get<Index>(operations).poll(task));
  }
  template <std::size_t Index> void poll_part(PollContext context, Cancellation& cancellation, PartsAttempt& parts) {
    if (results.is_complete(Index)) return;
    // A part polled before this one has just cancelled the task: all parts are told at the next attempt.
    if (!cancellation.requested && context.is_cancelling()) return;
    if (cancellation.requested) context.request_cancellation();
    if (cancellation.requested && cancellation.is_due) static_cast<void>(context.consume_budget());
    parts.begin_part();
    auto result = poll_operation(std::get<Index>(operations), context.task());
    if (cancellation.requested && !context.is_cancelling()) {
      if (context.take_held_cancellation()) cancellation.held = true;
      else cancellation.answered = true;
    }
    if (!result.ready()) return parts.note_pending();
    results.template get<Index>() = std::move(*result);
    results.complete_ |= 1u << Index;
  }
  template <std::size_t Index> void note_error(Result<void>& first_error) {
    const auto& result = results.template get<Index>();
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
// Waits until all of the operations have completed, whether or not they succeed: their results are in `results`.
// Returns success if all of them succeeded, else the error of the first one named that did not. A cancellation is
// passed on to each that is pending.
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
// keep their order. Waiters are served in order of arrival, and no other task overtakes them. T may be move-only, and
// its moves and copies must not throw. The channel itself must not move, and may be destroyed before the tasks that
// wait. Size: N * sizeof(T), and 32 bytes on a 32-bit board.
template <class T, std::size_t N> class Channel : detail::Pinned {
  static_assert(N >= 1 && N < (1u << 30), "room for one value at least");
  static_assert(std::is_nothrow_move_constructible<T>::value, "a value must not throw when it is moved");
 public:
  constexpr Channel() = default;
  ~Channel() {
    closed_ = true;
    while (count_ != 0) static_cast<void>(take());
  }

  // Sends a value; waits while the channel is full. The value is moved (or copied) from when there is room, and after
  // an error is unchanged. It must outlive the await.
  // Errors:
  //   EPIPE      the channel has been closed.
  //   ECANCELED  the task was cancelled, or the channel was destroyed.
  //   ENOBUFS    the task waits in limits::queues_per_task queues already.
  auto send(T&& value) { return sending(static_cast<T&&>(value)); }
  auto send(const T& value) { return sending(value); }
  // Receives the next value; waits while there is none.
  // Errors:
  //   ENODATA    the channel has been closed, and all values have been received.
  //   ECANCELED  the task was cancelled, or the channel was destroyed.
  //   ENOBUFS    the task waits in limits::queues_per_task queues already.
  auto receive() {
    return detail::make_operation<T>([this](PollContext context) {
      return context.attempt(receivers_, "a message", [this](bool) { return take(); });
    });
  }
  // Sends a value without waiting.
  // Errors:
  //   EAGAIN  the channel is full, or other tasks wait to send.
  //   EPIPE   the channel has been closed.
  Result<void> try_send(T&& value) {
    if (!closed_ && !senders_.is_next(nullptr)) return Error(EAGAIN);
    return put(std::move(value));
  }
  Result<void> try_send(const T& value) {
    if (!closed_ && !senders_.is_next(nullptr)) return Error(EAGAIN);
    return put(value);
  }
  // Receives a value without waiting.
  // Errors:
  //   EAGAIN   the channel is empty, or other tasks wait to receive.
  //   ENODATA  the channel has been closed, and all values have been received.
  Result<T> try_receive() {
    const bool is_drained = closed_ && count_ == 0;
    if (!is_drained && !receivers_.is_next(nullptr)) return Error(EAGAIN);
    return take();
  }
  // No more can be sent; values that have been sent can still be received. O(waiting tasks).
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
    return detail::make_operation<void>([this, &value](PollContext context) {
      return context.attempt(senders_, "room in a channel",
                             [this, &value](bool) { return put(static_cast<U&&>(value)); });
    });
  }
  template <class U> Result<void> put(U&& value) {
    if (closed_ || count_ == N) return closed_ ? Error(detail::Reason::channel_closed) : Error(EAGAIN);
    ::new (at(first_ + count_)) T(static_cast<U&&>(value));
    ++count_;
    receivers_.notify();
    return {};
  }
  Result<T> take() {
    if (count_ == 0) return closed_ ? Error(detail::Reason::channel_drained) : Error(EAGAIN);
    T* const value = static_cast<T*>(at(first_));
    Result<T> result(detail::Value<T&&>{std::move(*value)});
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
  std::size_t count_ = 0;  // values, in the places from there on, which wrap around at the end
  bool closed_ = false;
  alignas(T) unsigned char bytes_[N * sizeof(T)] = {};
};

}  // namespace MOTE_NAMESPACE
}  // namespace mote

#endif  // MOTE_SYNC_CHANNEL_HPP

// =====================================================================================================================
// include/mote/sync/completion.hpp
// =====================================================================================================================
// Completion: the answer of a callback, for a task to await.
#ifndef MOTE_SYNC_COMPLETION_HPP
#define MOTE_SYNC_COMPLETION_HPP

namespace mote {
inline namespace MOTE_NAMESPACE {

// One answer: a library's callback sets it, a task awaits it, whichever comes first. Both are in the loop's thread: for
// an answer of another thread use a Mailbox, or a Waker.
//
// The task may be cancelled, or give up after a time limit; the answer then stays until somebody takes it or calls
// reset(). Before reset() make sure that the library will not call back for the former request any more: its late
// answer would pass as the new one's. A completion must not move, and may be destroyed before the task that awaits it.
// T must be default-constructible, and its moves must not throw.
// Size: a Result<T>, and 12 bytes on a 32-bit board.
template <class T = void> class Completion {
 public:
  constexpr Completion() = default;

  // Sets the answer: a value, or an Error, as of any Result<T>. The task that waits goes on in its next step.
  // Errors:
  //   EALREADY  it has been set already, and not been reset() since: the first answer stays.
  //   EINVAL    the answer is the error EAGAIN, which means that there is none yet.
  Result<void> set(Result<T> answer) {
    if (state_ != State::unset) return Error(detail::Reason::answer_is_set);
    const bool is_none = !answer && (answer.error() == EAGAIN || answer.error() == detail::suspended);
    if (is_none) return Error(detail::Reason::no_answer);
    answer_ = std::move(answer);
    state_ = State::set;
    queue_.notify();
    return {};
  }
  template <class U = T, class = std::enable_if_t<std::is_void<U>::value>> Result<void> set() {
    return set(Result<void>());
  }
  // Waits for the answer and takes it, once. An answer that is there wins over a cancellation.
  // Errors, besides the one that was set:
  //   ECANCELED  the task was cancelled, or the completion was destroyed.
  //   ENODATA    the answer has been taken already: reset() it.
  //   ENOBUFS    the task waits in limits::queues_per_task queues already.
  auto wait() {
    return detail::make_operation<T>([this](PollContext context) {
      return context.attempt(queue_, "a completion", [this](bool) { return take(); });
    });
  }
  // For the next request: there is no answer any more, and set() may be called again. Tasks that wait go on waiting.
  void reset() {
    state_ = State::unset;
    answer_ = Result<T>();
  }
  bool is_set() const { return state_ != State::unset; }  // also after it has been taken
 private:
  enum class State : std::uint8_t { unset, set, taken };

  Result<T> take() {
    if (state_ == State::unset) return Error(EAGAIN);
    if (state_ == State::taken) return Error(detail::Reason::answer_is_taken);
    state_ = State::taken;
    return std::move(answer_);
  }

  WaitQueue queue_;
  State state_ = State::unset;
  Result<T> answer_;
};

}  // namespace MOTE_NAMESPACE
}  // namespace mote

#endif  // MOTE_SYNC_COMPLETION_HPP

// =====================================================================================================================
// include/mote/sync/event.hpp
// =====================================================================================================================
// Event: a flag to wait for.
#ifndef MOTE_SYNC_EVENT_HPP
#define MOTE_SYNC_EVENT_HPP

namespace mote {
inline namespace MOTE_NAMESPACE {

// A flag to wait for, between tasks of one reactor, in its thread. Waiters are served in order of arrival. It must not
// move, and may be destroyed before the tasks that wait.
// Size on a 32-bit board: 16 bytes.
class Event : detail::Pinned {
 public:
  // Sets it. All tasks that wait now go on, even if it is cleared at once. O(waiting tasks).
  void set() {
    set_ = true;
    queue_.release_all();
  }
  void clear() { set_ = false; }
  bool is_set() const { return set_; }
  // Waits until it is set; completes at once while it is.
  // Errors:
  //   ECANCELED  the task was cancelled, or the event was destroyed.
  //   ENOBUFS    the task waits in limits::queues_per_task queues already.
  auto wait() {
    return detail::make_operation<void>([this](PollContext context) {
      return context.attempt(queue_, "an event", [this](bool released) {
        // A task that set() has released goes on, even if the event has been cleared since.
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

// What first_of() returns: which operation has completed, counted from 0, and its result; the other results are EAGAIN.
template <class... T> struct FirstOf {
  template <std::size_t Index> auto& get() { return std::get<Index>(results); }

  std::size_t which = 0;
  std::tuple<Result<T>...> results{Result<T>(Error(EAGAIN))...};
};

namespace detail {

// The operation that first_of() returns. Folds over `I` do the same for each part, in the order in which the parts are
// named.
template <class... Op> struct [[nodiscard]] First {
  using ChargesItself = void;
  using Value = FirstOf<Awaited<Op>...>;

  Poll<Result<Value>> poll(Task& task) { return poll_parts(task, std::index_sequence_for<Op...>()); }

  template <std::size_t... Index> Poll<Result<Value>> poll_parts(Task& task, std::index_sequence<Index...>) {
    const PollContext context(task);
    if (context.is_abandoning()) {
      (leave<Index>(task), ...);
      return pending;
    }
    Value value;
    const bool was_cancelling = context.is_cancelling();
    // The first part that completes ends the fold: those behind it are not polled.
    PartsAttempt parts(context);
    const bool completed = (poll_part<Index>(context, value, parts) || ...);
    if (!completed) return parts.suspend();
    (abandon_loser<Index>(context, value), ...);
    // If a part has completed with ECANCELED because the task was cancelled, so does the whole.
    const bool answered_cancellation = was_cancelling && !context.is_cancelling();
    if (answered_cancellation && (is_cancelled<Index>(value) || ...)) return Result<Value>(Error(ECANCELED));
    return Result<Value>(std::move(value));
  }
  template <std::size_t Index> void leave(Task& task) { static_cast<void>(std::get<Index>(operations).poll(task)); }
  // Whether it has completed.
  template <std::size_t Index> bool poll_part(PollContext context, Value& value, PartsAttempt& parts) {
    parts.begin_part();
    auto result = poll_operation(std::get<Index>(operations), context.task());
    if (!result.ready()) {
      parts.note_pending();
      return false;
    }
    value.which = Index;
    value.template get<Index>() = std::move(*result);
    return true;
  }
  template <std::size_t Index> void abandon_loser(PollContext context, const Value& value) {
    if (Index != value.which) context.abandon(std::get<Index>(operations));
  }
  // Whether it is this one that has completed, with ECANCELED.
  template <std::size_t Index> static bool is_cancelled(Value& value) {
    const auto& result = value.template get<Index>();
    return value.which == Index && !result && result.error() == ECANCELED;
  }

  std::tuple<Op...> operations;
};

}  // namespace detail

// A combinator: an operation made of others, which are polled in the order in which they are named. All that is named
// in it must outlive the await. A task has one place in each queue: the parts of one await must not wait for the same
// channel, event or the like.
//
// Waits until one of the operations has completed, and abandons the others: none of them leaves a waiter behind, or
// takes what it waited for. Returns a FirstOf.
// Errors:
//   ECANCELED  the task was cancelled. (An operation that has completed wins if it is named before the first pending
//              one.)
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

// Mutual exclusion across awaits, between tasks of one reactor, in its thread: lock() returns a Guard, which unlocks
// the mutex when it is destroyed. Waiters are served in order of arrival, and no other task overtakes them. It must not
// move, and may be destroyed before the tasks that wait, and before its guard.
// Size on a 32-bit board: 16 bytes.
class Mutex : detail::Pinned {
 public:
  // Empty, or holding a mutex; movable, so that a task can keep it as a member. It becomes empty when the mutex is
  // destroyed first.
  // Size on a 32-bit board: 4 bytes.
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

    void unlock() {  // becomes empty; no effect where it is
      Mutex* const mutex = std::exchange(mutex_, nullptr);
      if (mutex == nullptr) return;
      mutex->holder_ = nullptr;
      mutex->queue_.notify();
    }
    explicit operator bool() const { return mutex_ != nullptr; }
   private:
    friend class Mutex;
    // Not inlined: g++ would warn that the mutex keeps the address of a local guard. It does not: each
    // move of the guard stores the new address.
    [[gnu::noinline]] void take(Guard& other) {
      mutex_ = std::exchange(other.mutex_, nullptr);
      if (mutex_ != nullptr) mutex_->holder_ = this;
    }

    Mutex* mutex_ = nullptr;
  };

  ~Mutex() {
    if (holder_ != nullptr) holder_->mutex_ = nullptr;
  }

  // Locks it, and returns a Guard. Waits while another task holds it; a task that holds it itself would wait for ever.
  // Errors:
  //   ECANCELED  the task was cancelled, or the mutex was destroyed.
  //   ENOBUFS    the task waits in limits::queues_per_task queues already.
  auto lock() {
    return detail::make_operation<Guard>(
        [this](PollContext context) { return context.attempt(queue_, "a mutex", [this](bool) { return take(); }); });
  }
  // Locks it without waiting.
  // Errors:
  //   EAGAIN  it is held, or other tasks wait for it.
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

// A number of permits, between tasks of one reactor, in its thread. Waiters are served in order of arrival, and no
// other task overtakes them. It must not move, and may be destroyed before the tasks that wait.
// Size on a 32-bit board: 16 bytes.
class Semaphore : detail::Pinned {
 public:
  constexpr explicit Semaphore(std::uint32_t permits = 0) : permits_(permits) {}

  // Takes one permit, to be given back by release(). Waits while there is none.
  // Errors:
  //   ECANCELED  the task was cancelled, or the semaphore was destroyed.
  //   ENOBUFS    the task waits in limits::queues_per_task queues already.
  auto acquire() {
    return detail::make_operation<void>(
        [this](PollContext context) { return context.attempt(queue_, "a permit", [this](bool) { return take(); }); });
  }
  // Takes one permit without waiting.
  // Errors:
  //   EAGAIN  there is no permit, or other tasks wait for one.
  Result<void> try_acquire() {
    if (!queue_.is_next(nullptr)) return Error(EAGAIN);
    return take();
  }
  // Adds permits, up to UINT32_MAX in all, and wakes as many waiting tasks. O(tasks woken).
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
// shield and Shield: keep a task from being cancelled for a while.
#ifndef MOTE_SYNC_SHIELD_HPP
#define MOTE_SYNC_SHIELD_HPP

namespace mote {
inline namespace MOTE_NAMESPACE {
namespace detail {

// The operation that shield() returns.
template <class Op> struct [[nodiscard]] Shielded {
  using ChargesItself = void;
  Poll<Answer<Op>> poll(Task& task) {
    const PollContext context(task);
    if (!context.is_abandoning()) context.shield_operation(true);
    Poll<Answer<Op>> result = poll_operation(operation, task);
    if (result.ready() || context.is_abandoning()) context.shield_operation(false);
    return result;
  }

  Op operation;
};

}  // namespace detail

// A combinator: an operation made of another. What is named in it must outlive the await.
//
// Runs the operation shielded: cancel() takes effect after it has completed. For a clean-up that must finish; a
// shutdown still destroys a task that outlasts the clean-up period. For more than one operation, see Shield. Errors:
// those of the operation.
template <class Op> detail::Shielded<Op> shield(Op&& operation) { return {static_cast<Op&&>(operation)}; }

// Shields its task from cancellation, from raise() until lower() or until it is destroyed: a cancel() meanwhile, or one
// that is pending, takes effect then. A task can have 255 at a time, which MOTE_ASSERT checks. The task may end before
// its shield is destroyed, but the pool of the task must not.
// Size on a 32-bit board: 8 bytes.
class Shield {
 public:
  Shield() = default;
  explicit Shield(Task& task) { raise(task); }
  Shield(const Shield&) = delete;
  Shield& operator=(const Shield&) = delete;
  ~Shield() { lower(); }

  void raise(Task& task) {  // no effect while it is raised, for whichever task
    if (task_.get() != nullptr) return;
    task_ = TaskRef(task);
    detail::TaskAccess::header(task).raise_shield();
  }
  void lower() {  // no effect while it is not raised
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
// no particular order.
class TaskGroupBase : detail::Pinned, detail::EndHook {
 public:
  std::uint32_t size() const { return size_; }              // members that have not ended
  std::uint32_t failures() const { return failures_; }      // since it was made
  Outcome first_failure() const { return first_failure_; }  // of kind none: no failure since the last join_all()
  // Cancels all members. Until all of them have ended, spawn() returns ECANCELED. O(members).
  void cancel_all() {
    cancelling_ = size_ != 0;
    for (std::uint32_t i = 0; i < size_; ++i) members_[i].cancel();
  }
  // When a member fails, the others are cancelled. Without this they go on.
  void cancel_others_on_failure(bool on = true) { cancels_others_ = on; }
  // The callback is called when a member has ended and its slot is free again, so that it can be replaced at once; to
  // find out which one has ended, see TaskRef::names(). It is not called for members that the group's destructor ends.
  // The callback may destroy the group.
  void on_end(Delegate<void(const Task&, Outcome)> callback) { on_end_ = callback; }
  // Completes when all members have ended, those that are spawned meanwhile included. Then tasks can be spawned into
  // the group again.
  // Errors:
  //   ECANCELED  the task was cancelled, or the group was destroyed.
  //   ENOBUFS    the task waits in limits::queues_per_task queues already.
  //   any other  that of the first failure, which is returned once: first_failure() is of kind none afterwards.
  auto join_all() {
    return detail::make_operation<void>([this](PollContext context) {
      return context.attempt(joiners_, "the end of a group", [this](bool) { return take_first_failure(); });
    });
  }
 protected:
  constexpr TaskGroupBase() = default;
  ~TaskGroupBase() = default;

  // Destroys all members. For the derived class's destructor, while their handles still exist.
  void close() {
    on_end_ = {};
    while (size_ != 0) {
      TaskHandle& last = members_[size_ - 1];
      if (last.destroy()) continue;  // note_end() has taken it out
      // EBUSY: this member is the running task, which destroys its own group. It is cancelled, and goes on alone.
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

  // The hook that the scheduler calls when a member has ended.
  static void member_ended(detail::TaskHeader& task) {
    auto& group = static_cast<TaskGroupBase&>(*task.holder->group);
    group.note_end(task);
  }
  void note_end(detail::TaskHeader& task) {
    TaskHandle& member = detail::HandleAccess::handle(*task.holder);
    const Outcome outcome = member.outcome();
    const bool failure = outcome.kind == Outcome::Kind::failed;
    if (failure) note_failure(outcome);
    if (reports_failures()) task.code = 0;  // else detach() reports the failure to the observer
    TaskHandle leaving = take_out(member);
    if (failure && cancels_others_) cancel_all();
    if (size_ == 0) note_all_ended();
    // From here on the group may have been destroyed, by an observer or by the callback: no member may be used.
    const Delegate<void(const Task&, Outcome)> callback = on_end_;
    leaving.detach();
    if (callback) callback(detail::TaskAccess::task(task), outcome);
  }
  void note_failure(Outcome failure) {
    ++failures_;
    if (first_failure_.kind == Outcome::Kind::none) first_failure_ = failure;
  }
  void note_all_ended() {
    cancelling_ = false;
    joiners_.notify_all();
  }
  // Whether a member's failure is reported to the callback, or to a task in join_all().
  bool reports_failures() { return on_end_ || !joiners_.empty(); }
  // The last member takes the place of the one that is taken out.
  TaskHandle take_out(TaskHandle& member) {
    const bool is_last = &member == &members_[size_ - 1];
    TaskHandle leaving = std::move(member);
    --size_;
    if (!is_last) member = std::move(members_[size_]);
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

// Tasks that belong together, of any pools: at most N at a time. Members that are left when the group is destroyed are
// destroyed with it: no member outlives its group, and the destructor waits for nothing; await join_all() for that. (A
// member that destroys its own group is cancelled, and goes on alone.) A member's failure is reported to on_end(), and
// to the task that waits in join_all(), or if there is neither, to the reactor's observer. It must not move.
// Size: 12 * N, and 44 bytes on a 32-bit board.
template <std::size_t N> class TaskGroup : public TaskGroupBase {
  static_assert(N >= 1 && N < (1u << 24), "between 1 and 16,777,215 members");
 public:
  constexpr TaskGroup() = default;
  ~TaskGroup() { close(); }

  // Calls pool.spawn(reactor, arguments...), and makes the task a member.
  // Errors:
  //   ENOBUFS    the group is full, or the pool is.
  //   ECANCELED  the group has been cancelled, and not all members have ended yet: await join_all() first. Or the
  //              pool's spawn() returned it.
  //   EINVAL     the pool has tasks of another reactor.
  template <class Pool, class... A> Result<TaskRef> spawn(Pool& pool, Reactor& reactor, A&&... arguments) {
    if (is_cancelling() || size() == N) return is_cancelling() ? Error(ECANCELED) : Error(detail::Reason::group_full);
    Result<TaskHandle> handle = pool.spawn(reactor, std::forward<A>(arguments)...);
    if (!handle) return handle.error();
    if (size() == N) {  // the task's constructor has spawned the last one
      static_cast<void>(handle->destroy());
      return Error(detail::Reason::group_full);
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

// A sign of life that a watchdog waits for: a member of a task, mostly. Its end ends the supervision: what is closed or
// destroyed need not beat any more, and the watchdog is fed without it. So where a task ends that must not, as one that
// fails, end the program (GracefulShutdown::request(), an exit code), or have the heartbeat in static storage: then the
// watchdog is not fed any more. It must not move.
// Size on a 32-bit board: 20 bytes.
class Heartbeat : detail::ListNode {
 public:
  ~Heartbeat() { close(); }

  void open(Watchdog& watchdog, const char* name);  // it must beat() in each period; the name must outlive it
  void close();                                     // it need not beat any more
  bool is_open() const { return linked(); }         // false once the watchdog is destroyed
  void beat();                                      // shows that its task lives; no effect where it is not open
  bool has_beaten() const { return beaten_; }       // since the watchdog was fed last
  const char* name() const { return name_; }
 private:
  friend class Watchdog;

  Watchdog* watchdog_ = nullptr;
  const char* name_ = nullptr;
  bool beaten_ = false;
};

// Feeds a watchdog once in a period, at the end of a turn, if every heartbeat has beaten since the last time; if one is
// late, when it has beaten. So it finds out both when the loop hangs and when a task does. It drives a device such as
// /dev/watchdog (its timeout, the driver's or set with WDIOC_SETTIMEOUT on fd(), must be longer than the period), or
// systemd's NOTIFY socket, see sd_notify(3) and sd_watchdog_enabled(3). Feeding is O(heartbeats). It must not move.
// Size on a 32-bit board: 248 bytes.
class Watchdog : detail::Pinned {
 public:
  // A device stays armed: it resets the machine, unless the next process feeds it in time.
  ~Watchdog() {
    while (Heartbeat* const heartbeat = first()) heartbeat->close();
  }

  // Opens the device, which arms it, and feeds it from now on.
  // Errors:
  //   EBUSY           this is open already, or another process has opened the device.
  //   ENOENT, ENXIO   there is no such device, or no driver for it.
  //   EACCES          the process may not open it.
  //   EMFILE, ENFILE  the system's limits.
  Result<void> open(Reactor& reactor, const char* path, AnyDuration period) {
    if (fd_) return Error(detail::Reason::already_open);
    Fd fd(detail::retry([path] { return System::open(path, O_WRONLY | O_NONBLOCK); }));
    if (!fd) return detail::last_error();
    return start(reactor, std::move(fd), period);
  }
  // The same with a descriptor that is open already; it should not block.
  // Errors:
  //   EBUSY  it is open already.
  //   EBADF  there is no descriptor.
  Result<void> open(Reactor& reactor, Fd&& fd, AnyDuration period) {
    if (fd_) return Error(detail::Reason::already_open);
    if (!fd) return Error(EBADF);
    return start(reactor, std::move(fd), period);
  }
  // Opens systemd's socket, as the environment says: NOTIFY_SOCKET, and WATCHDOG_USEC (for the process of
  // WATCHDOG_PID), half of which is the period. If systemd asks for no watchdog, only notify() has an effect.
  // Errors:
  //   EBUSY                   it is open already.
  //   ENOENT                  the process has not been started by systemd: go on without.
  //   EINVAL                  the environment's variables make no sense.
  //   EMFILE, ENFILE, ENOMEM  the system's limits.
  Result<void> open_notify(Reactor& reactor) {
    if (fd_) return Error(detail::Reason::already_open);
    const Result<Endpoint> to = detail::service_manager();
    if (!to) return to.error();
    Fd fd(System::socket(AF_UNIX, SOCK_DGRAM));
    if (!fd) return detail::last_error();
    const Result<Duration> period = period_from_environment();
    if (!period) return period.error();
    to_ = *to;
    return start(reactor, std::move(fd), *period);
  }
  // Sends a state to systemd: "READY=1", "STOPPING=1", "STATUS=...". Where there is no open_notify(), as where a device
  // is driven: notify_service_manager().
  // Errors:
  //   EBADF                 open_notify() has not succeeded.
  //   EAGAIN                systemd is slow to read: try again later.
  //   ECONNREFUSED, ENOENT  systemd's socket is not there.
  Result<void> notify(const char* state) {
    if (!fd_ || to_.size() == 0) return Error(detail::Reason::not_open);
    return detail::tell_service_manager(fd_, to_, state);
  }
  // Disarms the device, if its driver allows it (not with CONFIG_WATCHDOG_NOWAYOUT). The descriptor is closed in any
  // case. Errors: those of write(2) on the device, which then stays armed.
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
  std::uint32_t fed() const { return fed_; }           // how many times it was fed
  Result<void> last_feeding() const { return last_; }  // if it failed, it is tried again in the next period
  // The first heartbeat that has not beaten since the watchdog was fed; null: all have. O(heartbeats).
  const Heartbeat* missing() {
    Heartbeat* heartbeat = first();
    while (heartbeat != nullptr && heartbeat->has_beaten()) heartbeat = after(*heartbeat);
    return heartbeat;
  }
 private:
  friend class Heartbeat;

  // Zero: systemd asks for no watchdog, or asks another process. EINVAL: a variable is no number, or the time is too
  // long.
  static Result<Duration> period_from_environment() {
    unsigned long long microseconds = 0;
    const auto own_process = static_cast<unsigned long long>(System::process());
    unsigned long long process = own_process;
    if (!read_variable("WATCHDOG_USEC", microseconds) || !read_variable("WATCHDOG_PID", process) ||
        microseconds > INT64_MAX / 1000) {
      return Error(detail::Reason::bad_watchdog_variable);
    }
    if (process != own_process) return Duration::zero();
    return Duration(static_cast<std::int64_t>(microseconds) * 500);
  }
  // A decimal number, of digits alone; what is too large is ULLONG_MAX. One that is not set leaves `value` as it is.
  static bool read_variable(const char* name, unsigned long long& value) {
    const char* const text = ::getenv(name);
    if (text == nullptr) return true;
    char* end = nullptr;
    value = ::strtoull(text, &end, 10);
    return text[0] >= '0' && text[0] <= '9' && *end == '\0';
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
  // The last heartbeat that was missing has beaten, after the tick.
  void feed_at_end_of_turn() {
    if (!timer_.armed()) return;  // this was closed, or the reactor was destroyed
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
    return detail::result_of(static_cast<int>(written));
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
  Timer late_;   // fires at the end of the turn in which the last heartbeat has beaten, if that was late
  Endpoint to_;  // systemd's socket; empty: a device is driven
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

// The operation that with_timeout() returns.
template <class Op> struct [[nodiscard]] Timed {
  using ChargesItself = void;
  Poll<Answer<Op>> poll(Task& task) {
    const PollContext context(task);
    const std::int32_t budget = context.budget();
    Poll<Answer<Op>> result = poll_operation(operation, task);
    if (result.ready() || context.is_abandoning()) {
      timer.end_limit(context);
      return result;
    }
    const Result<bool> is_up = timer.poll_limit(context, limit);
    if (is_up && !*is_up) return pending;
    if (budget <= 0) {
      // It may have completed, but had no budget to return its result. A result that came in time wins: try once more.
      context.wake();
      return pending;
    }
    context.abandon(operation);
    timer.end_limit(context);
    // One of a user's own that is pending need not have taken anything.
    const bool is_charged = context.budget() < budget;
    if (!is_charged) static_cast<void>(context.consume_budget());
    return Answer<Op>(is_up ? Error(Reason::time_is_up) : is_up.error());
  }

  TaskTimer& timer;
  Duration limit;
  Op operation;
};

}  // namespace detail

// A combinator: an operation made of another. What is named in it must outlive the await.
//
// Returns the operation's own result, or ETIMEDOUT if it does not come within `limit`, counted from the first attempt.
// An operation that has completed when the time is up wins, so a limit of 0 or less still makes one attempt. After a
// timeout the task waits for nothing; what the operation worked on (a stream, say) is as it was, but a stream that was
// being connected is empty again.
// Errors, besides those of the operation:
//   ETIMEDOUT  the time is up.
//   EBUSY      another task uses the timer, and the operation could not complete at once. It has been given up.
template <class Op> detail::Timed<Op> with_timeout(TaskTimer& timer, AnyDuration limit, Op&& operation) {
  return {timer, limit, static_cast<Op&&>(operation)};
}

}  // namespace MOTE_NAMESPACE
}  // namespace mote

#endif  // MOTE_SYNC_WITH_TIMEOUT_HPP

// =====================================================================================================================
// include/mote/shutdown/graceful_shutdown.hpp
// =====================================================================================================================
// GracefulShutdown: runs a reactor, and gives its tasks time to finish when a signal ends it.
#ifndef MOTE_SHUTDOWN_GRACEFUL_SHUTDOWN_HPP
#define MOTE_SHUTDOWN_GRACEFUL_SHUTDOWN_HPP

namespace mote {
inline namespace MOTE_NAMESPACE {

// How a shutdown went. Each task that ended in it counts once, whatever it was for: one that only accepts, too.
struct ShutdownReport {
  std::uint32_t drained = 0;    // tasks that ended by themselves
  std::uint32_t cancelled = 0;  // tasks that ended after having been cancelled
  std::uint32_t destroyed = 0;  // tasks that had to be destroyed
  int signal = 0;               // the signal that began it; 0: request(), or there was nothing left to do
  bool forced = false;          // a second signal or request came
};

// Runs a reactor until a signal comes, and then gives its tasks time to finish. The first signal closes all listeners,
// so that new connections are refused at once, and begins the grace period, which is the same for all tasks; those that
// remain at its end are cancelled together, and those that remain after the clean-up period are destroyed. A second
// signal forces the end: the tasks that remain are cancelled, have one turn to clean up, and are destroyed.
//
//   serve     until the first signal, or until there is nothing left to do
//   drain     until all tasks have ended, the grace period is over, or the second signal
//   clean up  the tasks that remain are cancelled: until all have ended, the clean-up period is over, or the second
//             signal
//   destroy   the tasks that are left are destroyed
//
// After a shutdown the signals stay taken, and have no effect: a program is on its way out by then, and a user who
// presses Ctrl-C again and again is not to end it by the signal in the place of its exit code. So it stays when this
// object is destroyed; close() gives the signals back, and another run() begins from the start.
//
// A signal that the calling thread's mask blocks is unblocked, since a daemon whose parent has blocked SIGTERM is to
// end all the same. In a forked child it goes on after Reactor::after_fork_in_child(), as when a daemon opens
// everything before it forks.
//
// It must not move. Everything is for the loop's thread. The reactor may be destroyed first.
// Size on a 32-bit board: 168 bytes.
class GracefulShutdown {
 public:
  GracefulShutdown(Reactor& reactor, const SignalSet& wanted, AnyDuration grace = std::chrono::seconds(2),
                   AnyDuration cleanup = std::chrono::milliseconds(500))
      : loop_(detail::ReactorAccess::loop(reactor)), signals_wanted_(wanted), grace_(grace), cleanup_(cleanup) {
    loop_.add_reference(existing_loop_);
  }
  ~GracefulShutdown() {
    if (open_) close();
  }

  // Takes the signals over. run() does so, too; signals that come after open() and before run() take effect in run().
  // Errors: those of Signals::open(), but EDEADLK. ENXIO also where the reactor has gone.
  Result<void> open() {
    if (is_loop_gone()) return Error(detail::Reason::reactor_has_gone);
    if (open_) return {};
    const auto callback = Delegate<void(int)>::of<&GracefulShutdown::advance>(*this);
    const Result<void> opened =
        signals_.open(detail::ReactorAccess::reactor(loop_), signals_wanted_, callback, Signals::Blocked::unblock);
    if (!opened) return opened;
    open_ = true;
    loop_.add_background();
    return {};
  }
  // Gives the signals back.
  void close() {
    detach();
    signals_.close();
  }
  // To be called instead of Reactor::run(). It also returns when there is nothing left but to wait for signals, or
  // after Reactor::stop(), which leaves the tasks as they are (during a shutdown it ends the current period). Then the
  // signals are given back; after a shutdown they stay taken: see above. Where an exception leaves it, the next run()
  // goes on: in the same period, with what is left of its time.
  // Errors: those of open() and of Reactor::run().
  // Always inlined: it is called once in a program, and g++ makes it smaller so.
  [[gnu::always_inline]] Result<ShutdownReport> run() {
    if (!is_loop_gone() && loop_.is_running()) return Error(detail::Reason::already_running);
    const Result<void> opened = open();
    if (!opened) return opened.error();
    ShutdownReport report;
    Progress progress;
    if (detail::has_exceptions) {
      report = report_left_;
      progress = left_;
    }
    detail::OnException go_on_later([this, &report, &progress] {
      report_left_ = report;
      left_ = progress;
    });
    const Result<void> ran = run_phases(report, progress);
    go_on_later.dismiss();
    report.forced = is_forced();
    const bool is_end = requested();
    detach();
    if (is_end) {
      signals_.swallow();
    } else {
      signals_.close();
    }
    if (!ran) return ran.error();
    return report;
  }
  void request() { advance(0); }                                      // has the effect of a signal; also before run()
  bool requested() const { return requests_ != 0; }                   // for tasks that would never end by themselves
  void on_begin(Delegate<void()> callback) { on_begin_ = callback; }  // called when it begins, for work that is no task
  // From hold() to release(), work that is no task counts as one: the shutdown waits for it.
  void hold() {
    if (!is_loop_gone()) loop_.hold();
  }
  void release() {
    if (!is_loop_gone()) loop_.release_hold();
  }
 private:
  enum class Phase : std::uint8_t { serve, drain, clean_up };
  struct Progress {
    Phase phase = Phase::serve;
    Instant end{};  // of the grace period, or of the clean-up period; known only where there are exceptions
  };

  bool is_loop_gone() const { return existing_loop_.loop == nullptr; }  // then loop_ must not be used
  // Forgets the requests: the next run() begins from the start.
  void detach() {
    if (!open_) return;
    open_ = false;
    if (signals_.is_open()) loop_.remove_background();  // else the reactor has gone already
    requests_ = 0;
    if (!detail::has_exceptions) return;
    report_left_ = {};
    left_ = {};
  }
  // Notes a signal, or a request (0), and ends the current phase if that makes more of them than the phase allows.
  void advance(int signal) {
    ++requests_;
    if (requests_ == 1) signal_ = signal;
    if (requests_ > requests_allowed_) loop_.stop_here();
  }
  bool is_forced() const { return requests_ > 1; }
  bool has_work() const { return loop_.stats().tasks != 0 || loop_.is_held(); }

  Result<void> run_phases(ShutdownReport& report, Progress& progress) {
    if (detail::has_exceptions && progress.phase != Phase::serve) return go_on(report, progress);
    const Result<void> served = serve();
    if (!served || !requested()) return served;
    report.signal = signal_;
    enter_phase(progress, Phase::drain, grace_);
    begin();
    return drain(report, progress, grace_);
  }
  // In the phase that an exception has left.
  Result<void> go_on(ShutdownReport& report, Progress& progress) {
    const Instant now = Clock::now();
    const Duration left = progress.end > now ? progress.end - now : Duration::zero();
    return progress.phase == Phase::drain ? drain(report, progress, left) : clean_up(report, left);
  }
  static void enter_phase(Progress& progress, Phase phase, Duration duration) {
    progress.phase = phase;
    if (detail::has_exceptions) progress.end = saturating_add(Clock::now(), duration);
  }
  // Runs the reactor until the first request.
  Result<void> serve() {
    std::uint32_t ended_before = 0;  // not reported: these tasks ended before the shutdown
    const Result<void> ran = run_phase(unlimited, 0, ended_before);
    signals_.deliver();  // one that came in the last moment of the run is not to be lost
    return ran;
  }
  void begin() {
    loop_.close_listeners();
    if (on_begin_) on_begin_();
  }
  // The grace period, which a second request ends; and then what has to be done with the tasks that remain.
  Result<void> drain(ShutdownReport& report, Progress& progress, Duration duration) {
    const Result<void> drained = run_phase(duration, 1, report.drained);
    if (!drained || !has_work()) return drained;
    enter_phase(progress, Phase::clean_up, cleanup_);
    loop_.cancel_all_tasks();
    return clean_up(report, cleanup_);
  }
  // The clean-up period. A second request ends it; if that has come already, the tasks have one turn.
  Result<void> clean_up(ShutdownReport& report, Duration duration) {
    const Result<void> cleaned_up = is_forced() ? run_phase(Duration::zero(), UINT32_MAX, report.cancelled)
                                                : run_phase(duration, 1, report.cancelled);
    if (cleaned_up) report.destroyed = loop_.destroy_all_tasks();
    return cleaned_up;
  }
  // Runs until all is done, the time is up, or there have been more than `requests` requests. Adds to `ended` how
  // many tasks ended meanwhile.
  Result<void> run_phase(Duration duration, std::uint32_t requests, std::uint32_t& ended) {
    const std::uint64_t before = loop_.stats().tasks_ended;
    const Instant end = saturating_add(Clock::now(), duration);  // unlimited: the end of time
    requests_allowed_ = requests;
    if (requested()) loop_.set_flag(detail::draining);
    detail::OnException leave([this, before, &ended] {
      if (requests_ > requests_allowed_) loop_.forget_stop();  // this phase is over: the next one is not to be ended
      leave_phase(before, ended);
    });
    Result<void> ran;
    if (requests_ <= requests_allowed_) ran = loop_.run_until(end);
    leave.dismiss();
    leave_phase(before, ended);
    return ran;
  }
  [[gnu::always_inline]] void leave_phase(std::uint64_t ended_before, std::uint32_t& ended) {
    requests_allowed_ = UINT32_MAX;
    loop_.clear_flag(detail::draining);
    ended += static_cast<std::uint32_t>(loop_.stats().tasks_ended - ended_before);
  }

  bool open_ = false;
  detail::Loop& loop_;
  detail::LoopReference existing_loop_;
  SignalSet signals_wanted_;
  Duration grace_;
  Duration cleanup_;
  Delegate<void()> on_begin_;
  Signals signals_;
  std::uint32_t requests_ = 0;
  std::uint32_t requests_allowed_ = UINT32_MAX;  // in the current phase: more of them end it
  int signal_ = 0;                               // the signal that began the shutdown; 0: a request
  ShutdownReport report_left_;                   // of a run that an exception has left
  Progress left_;                                // the same
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

// A chain of coroutines, each of which awaits the next one. The last one either runs, or waits for an operation:
//
//     serve()  --co_await-->  read_request()  --co_await-->  read_line()  --co_await-->  stream.read(...)
//     the first                                              the last, which waits       the operation
//
//     task --step()--> Chain, in the frame of serve()
//                        `--pending_await--> Awaiter, in the frame of read_line() --poll()--> the operation
//
// So a step goes straight to the operation that is pending, however long the chain is.
//
// The trampoline: no coroutine resumes another. One that awaits another, or that has ended, stores in `next` which
// coroutine is to go on, suspends itself, and thereby returns to resume(), which resumes that one. So the stack does
// not grow with the length of the chain, nor with the number of awaits in a loop, whatever the compiler optimises. (A
// coroutine that returns its successor from await_suspend() relies on a tail call, which the compiler need not make.)
//
// Ownership: a frame belongs to the Co that the call of the coroutine returned, mostly a temporary of the co_await,
// which lies in the frame of the coroutine that awaits. The first frame of a task belongs to the Coroutine in the
// task's slot. When the first frame is destroyed, so is the Co that lies in it, hence the second frame, and so on down
// to the last, whose Awaiter leaves the operation.
struct Chain {
  // One step as a task of its own. Returns whether the first coroutine has ended.
  bool step(Task& stepped_by);
  // One attempt as an operation of a task, as an operation's poll(). Returns whether the first coroutine has ended.
  bool poll(Task& polled_by);
  // Whether it waits for something: false before its first step, and after its end.
  bool is_begun() const { return pending_await != nullptr; }

  std::coroutine_handle<> next;      // to be resumed; null: none
  Awaiter* pending_await = nullptr;  // what its last coroutine waits for; null: for nothing
  TaskRef task;                      // the task that steps or polls it, or did so last: it may have ended since
  Task* current_task = nullptr;      // the same, for use within a step
  const char* name = nullptr;        // of the function that awaits
  std::uint32_t line = 0;            // of the source, where that awaits
  bool abandoned = false;            // it has left the places where it waited, until it is stepped or polled again
  // Whether what it awaits holds a shield. While poll() runs it is exchanged with that of the task's operation, which
  // this chain may be a part of.
  bool shielded = false;
 private:
  bool resume();
  void adopt(Task& new_task);
  void hand_over(Task& former, Task& heir);
  void follow(PollContext context);
};

// What a coroutine waits for: the base of what a co_await makes, which lies in the frame of the coroutine that awaits.
// If it is destroyed while it waits, it leaves the places where it waits.
struct Awaiter : Pinned {
  using PollAgain = bool (*)(Awaiter&, Task&);  // returns whether what is awaited has completed

  explicit Awaiter(Chain& part_of) : chain(part_of) {}

  // Makes the chain wait: each step calls `again`, until it returns true; then `waiting` is resumed.
  void wait(std::coroutine_handle<> waiting, PollAgain again) {
    coroutine = waiting.address();
    poll_again = again;
    chain.pending_await = this;
  }
  // To be called by the destructors of derived classes. The frame is being destroyed, and this is
  //   - completed, or never suspended: the chain waits elsewhere or not at all. Nothing is left to do.
  //   - waiting: what is awaited is polled once more, only to leave. Everything else that the task awaits goes on: the
  //     chain may be one of several parts of an operation, whose other parts still wait.
  //   - waiting, but the chain has been abandoned, or the task has ended: it has left all places already.
  void leave() {
    if (chain.pending_await == this) stop_waiting();
  }

  Chain& chain;
  PollAgain poll_again;
  void* coroutine;  // a handle's address: a handle would be set to null at each await that does not wait
 private:
  // Seldom needed. Most of it is out of line, so that the destructors are small enough for the compiler to inline them.
  void stop_waiting() {
    Task* const task = chain.task.get();  // null: it has ended
    if (task != nullptr && !chain.abandoned) abandon_chain(*task);
    chain.pending_await = nullptr;
  }
  [[gnu::noinline]] void abandon_chain(Task& task) { PollContext(task).abandon(chain); }
};

inline bool Chain::step(Task& stepped_by) {
  if (current_task != &stepped_by) {
    adopt(stepped_by);
    current_task = &stepped_by;
    abandoned = false;
  }
  return resume();
}

inline bool Chain::poll(Task& polled_by) {
  const PollContext context(polled_by);
  if (!task.names(polled_by)) {
    if (context.is_abandoning()) return false;  // it waits for another task, or for none
    adopt(polled_by);
  }
  current_task = &polled_by;
  abandoned = context.is_abandoning();
  // The chain's own shield(), and that of the operation that the chain is a part of, are kept apart.
  const auto exchange_shields = [this, context] { std::swap(shielded, context.operation_shielded()); };
  exchange_shields();
  OnException restore(exchange_shields);
  if (!abandoned) resume();
  else if (pending_await != nullptr) pending_await->poll_again(*pending_await, polled_by);  // only to leave
  restore.dismiss();
  exchange_shields();
  const bool has_ended = pending_await == nullptr && !abandoned;
  if (context.is_handing_over()) follow(context);
  return has_ended;
}
// What it waits for is the heir's from now on, also where the heir, which awaits several things, need not come to it.
inline void Chain::follow(PollContext context) {
  task = TaskRef(TaskAccess::task(context.heir()));
  abandoned = false;
}

// Another task is to step or poll it from now on. If the one before lives, it hands over the places where it waits, and
// its shield is lowered; if it has ended, so has all of that.
[[gnu::noinline]] inline void Chain::adopt(Task& new_task) {
  Task* const former = task.get();
  if (former != nullptr && pending_await != nullptr && !abandoned) hand_over(*former, new_task);
  shielded = false;
  task = TaskRef(new_task);
}
inline void Chain::hand_over(Task& former, Task& heir) {
  Handover handover{TaskAccess::header(heir), &Waiter::move_to, &QueuePlace::move_to};
  PollContext(former).hand_over(*this, handover);
}

// The trampoline. Polls the operation that is pending, and resumes one coroutine after another until one waits, or the
// first has ended.
inline bool Chain::resume() {
  if (Awaiter* const awaiter = pending_await; awaiter != nullptr) {
    if (!awaiter->poll_again(*awaiter, *current_task)) return false;
    pending_await = nullptr;
    std::coroutine_handle<>::from_address(awaiter->coroutine).resume();
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
// The memory that coroutines keep their variables in. Which pool a coroutine takes: coroutine/frame_allocator.hpp.
#ifndef MOTE_COROUTINE_FRAME_POOL_HPP
#define MOTE_COROUTINE_FRAME_POOL_HPP

#if __cplusplus >= 202002L

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

// =====================================================================================================================
// include/mote/coroutine/frame_allocator.hpp
// =====================================================================================================================
// FrameAllocator: takes a coroutine's frame from the pool that it finds among the arguments of the coroutine's call.
#ifndef MOTE_COROUTINE_FRAME_ALLOCATOR_HPP
#define MOTE_COROUTINE_FRAME_ALLOCATOR_HPP

#if __cplusplus >= 202002L

namespace mote {
inline namespace MOTE_NAMESPACE {
namespace detail {

// The kinds of arguments in which a pool can be found. A parameter may also refer to a type that is only declared, or
// to a function: such an argument is none of these.

// A pool itself.
template <class A>
concept IsFramePool = std::is_convertible_v<A&, FrameSource&>;
// A reactor, or an object of the user's: frame_pool() returns a pointer to a FrameSource or FramePool, or null.
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

// Allocates and frees frames. A frame comes from the first argument that is a pool; if none is, from the default pool
// of the first argument that has one.
struct FrameAllocator {
  // The frame that was asked for last in this thread.
  struct Request {
    std::uint32_t size;  // in bytes
    int error;           // 0, or why there is no frame
  };

  // Returns null if there is no frame; last_request.error says why.
  template <class... A> static void* allocate(std::size_t size, std::size_t alignment, A&... arguments) {
    static_assert(((IsFramePool<A> || HasFramePool<A> || HasReactor<A>) || ...),
                  "pass a FramePool to the coroutine, or a Reactor, Task or open Source whose reactor has one");
    FrameSource* const source = find_source(arguments...);
    last_request = {static_cast<std::uint32_t>(size), ErrorAccess::stored(Reason::no_frame_pool)};
    if (source == nullptr || alignment > FrameSource::alignment) return nullptr;
    // A copy of that argument in the frame would be misaligned.
    if ((Argument<A>::is_over_aligned || ...)) return nullptr;
    const Result<void*> frame = source->allocate(size);
    last_request.error = frame ? 0 : ErrorAccess::stored(frame.error());
    return frame ? *frame : nullptr;
  }
  static void release(void* frame, std::size_t size) { FrameSource::owner(frame, size)->release(frame); }

  // Read when the Co is made, just afterwards: the compiler calls `operator new`, then get_return_object(), and passes
  // nothing from one to the other.
  static inline constinit thread_local Request last_request{};
 private:
  template <class... A> static FrameSource* find_source(A&... arguments) {
    if constexpr ((IsFramePool<A> || ...)) return first_pool(arguments...);
    else return first_default(arguments...);
  }
  // For arguments among which there is a pool.
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
      auto&& reactor = argument.reactor();
      // A reactor of the user's may have a frame_pool() of its own.
      if constexpr (HasFramePool<std::remove_reference_t<decltype(reactor)>>) return default_of(reactor);
      else return default_of(static_cast<Reactor&>(reactor));
    } else {
      return nullptr;
    }
  }
  // Every FrameStore is a FrameSource.
  static FrameSource& source_of(FrameStore& store) { return static_cast<FrameSource&>(store); }
};

}  // namespace detail
}  // namespace MOTE_NAMESPACE
}  // namespace mote

#endif  // C++20

#endif  // MOTE_COROUTINE_FRAME_ALLOCATOR_HPP

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
// expression that awaits it. The compiler calls await_ready(), which makes the first attempt; if that is pending, it
// calls await_suspend(), and the chain makes the further attempts; then await_resume(), which returns the result of the
// co_await.
template <class Op> struct OperationAwaiter : Awaiter {
  using R = Answer<Op>;

  OperationAwaiter(Chain& part_of, Op& what, std::uint32_t line) : Awaiter(part_of), operation_(what) {
    chain.line = line;
  }
  ~OperationAwaiter() {
    if (!taken_) leave();
    forget_result();
  }

  bool await_ready() { return attempt(*chain.current_task); }
  void await_suspend(std::coroutine_handle<> waiting) { wait(waiting, &attempt_again); }
  R await_resume() {
    taken_ = true;
    return std::move(result_);
  }
 private:
  static bool attempt_again(Awaiter& self, Task& task) { return static_cast<OperationAwaiter&>(self).attempt(task); }
  [[gnu::always_inline]] bool attempt(Task& task) {
    Poll<R> fresh = poll_operation(operation_, task);
    if (!fresh.ready()) return false;
    forget_result();  // of an operation that returned ECANCELED while it was abandoned
    // The move may throw: has_result_ is set afterwards.
    ::new (static_cast<void*>(&result_)) R(std::move(*fresh));
    if constexpr (!std::is_trivially_destructible_v<R>) has_result_ = true;
    return true;
  }
  void forget_result() {
    if constexpr (!std::is_trivially_destructible_v<R>) {
      const bool had_result = std::exchange(has_result_, false);
      if (had_result) result_.~R();
    }
  }

  Op& operation_;
  bool taken_ = false;       // the result has been taken: the operation does not wait
  bool has_result_ = false;  // there is one to be destroyed
  // Constructed by the attempt that completes: constructing it first would cost its stores at every await.
  union {
    R result_;
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

// What this_task() returns. It is no operation: only a coroutine can await it.
struct ThisTask {};
struct TaskAwaiter {
  bool await_ready() const { return true; }
  void await_suspend(std::coroutine_handle<>) const {}
  Task& await_resume() const { return task; }

  Task& task;
};

// What co_await makes of an Op. (Of a Co, it is a CoAwaiter: see co.hpp.)
template <class Op> struct AwaiterFor { using Type = OperationAwaiter<Op>; };

// The promise is the part of a coroutine's frame that the compiler calls: it allocates the frame with the promise's
// operator new, passes what is awaited to await_transform(), and asks it whether to suspend at the beginning and at the
// end.
struct PromiseBase {
  // ---- the frame ----

  // Returns null if there is no frame; the coroutine is then not begun. Always inlined: otherwise g++ warns that it and
  // the operator delete below do not match.
  template <class... A> [[gnu::always_inline]] static void* operator new(std::size_t size, A&... arguments) noexcept {
    return FrameAllocator::allocate(size, alignof(std::max_align_t), arguments...);
  }
  // Called by compilers that pass the alignment: clang with -fcoro-aligned-allocation.
  template <class... A>
  [[gnu::always_inline]] static void* operator new(std::size_t size, std::align_val_t alignment,
                                                   A&... arguments) noexcept {
    return FrameAllocator::allocate(size, static_cast<std::size_t>(alignment), arguments...);
  }
  static void operator delete(void* frame, std::size_t size) noexcept { FrameAllocator::release(frame, size); }
  static void operator delete(void* frame, std::size_t size, std::align_val_t) noexcept {
    FrameAllocator::release(frame, size);
  }

  // ---- the beginning and the end ----

  // A coroutine suspends before its first statement. The default arguments are evaluated in the coroutine: they are its
  // name and line.
  std::suspend_always initial_suspend(const char* name = __builtin_FUNCTION(),
                                      std::uint32_t line = __builtin_LINE()) noexcept {
    own.name = name;
    own.line = line;
    return {};
  }
  // It suspends after its last statement, so that its result can be taken from the frame. The coroutine that awaits it
  // goes on next.
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
    return typename AwaiterFor<Awaited>::Type(*chain, operation, line);
  }
  TaskAwaiter await_transform(ThisTask) { return {*chain->current_task}; }

  Chain own;                           // the chain in which this coroutine is the first
  Chain* chain = &own;                 // the chain that it is part of
  std::coroutine_handle<> awaited_by;  // null: it is the first of its chain
  int code = 0;                        // 0, or the Error that it failed with, as it is stored
};

}  // namespace detail
}  // namespace MOTE_NAMESPACE
}  // namespace mote

#endif  // C++20

#endif  // MOTE_COROUTINE_PROMISE_HPP

// =====================================================================================================================
// include/mote/coroutine/co.hpp
// =====================================================================================================================
// Co: what a coroutine returns to its caller.
#ifndef MOTE_COROUTINE_CO_HPP
#define MOTE_COROUTINE_CO_HPP

#if __cplusplus >= 202002L

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
    chain.current_task = nullptr;  // an earlier task in this slot, at the same address, may have polled it
  }
  ~Coroutine() { handle_.destroy(); }

  Step step(Task& task) {
    detail::Chain& chain = promise_->own;
    const Testimony testimony(chain.line);
    const bool ended = chain.step(task);
    detail::TaskAccess::header(task).line = chain.line;
    return ended ? Step(promise_->code) : Step(pending);
  }
  const char* name() const { return promise_->own.name; }
 private:
  // While it exists, a violated MOTE_ASSERT names the line of the last await: the task's own is that of the last step.
  class Testimony {
   public:
    explicit Testimony(const std::uint32_t& line) {
      if constexpr (detail::finds_mistakes) detail::witness.line = &line;
    }
    Testimony(const Testimony&) = delete;
    Testimony& operator=(const Testimony&) = delete;
    ~Testimony() {
      if constexpr (detail::finds_mistakes) detail::witness.line = nullptr;
    }
  };

  detail::PromiseBase* promise_;
  std::coroutine_handle<> handle_;
};

namespace detail {
template <> struct TaskName<Coroutine> {
  static const char* of(const Coroutine& coroutine) { return coroutine.name(); }
};
}  // namespace detail

// Room for N tasks that are coroutines. Their frames lie in frame pools; all else is as with any TaskPool.
template <std::size_t N> class CoroutinePool : public TaskPool<Coroutine, N> {
 public:
  // Makes a task of the coroutine, and queues its first step.
  // Errors:
  //   ENOBUFS    the pool is full: await vacancy(), the coroutine is unchanged. Or the Co has no frame: its frame pool
  //              was full.
  //   EMSGSIZE   the Co has no frame: it would be too large for the frame pool, see Co::frame_size().
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
// this_task() and yield(): a coroutine's task, and letting the other tasks run.
#ifndef MOTE_COROUTINE_THIS_TASK_HPP
#define MOTE_COROUTINE_THIS_TASK_HPP

#if __cplusplus >= 202002L

namespace mote {
inline namespace MOTE_NAMESPACE {

// `Task& task = co_await mote::this_task();`: the task that steps the coroutine. Completes at once, and cannot fail.
inline detail::ThisTask this_task() { return {}; }

// `co_await mote::yield();`: lets all other tasks run, and goes on in the next turn. For coroutines alone (an awaiter
// keeps the operation across attempts, so this one may have a state; in MOTE_AWAIT it could not). A StateMachine has
// MOTE_YIELD.
// Errors:
//   ECANCELED  the task was cancelled.
inline auto yield() {
  return detail::make_operation<void>([asked = false](PollContext context) mutable -> Result<void> {
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

#pragma GCC diagnostic pop

#endif  // MOTE_HPP
