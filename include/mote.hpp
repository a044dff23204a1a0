// mote - a complete single-threaded reactor for embedded Linux in two C++17 headers: no heap, no exceptions.
// Version 0.1.0
// SPDX-License-Identifier: MIT
// Copyright (c) 2026 The mote authors
//
//   struct Echo : mote::StateMachine {  // one connection: a task
//     mote::Stream client; char bytes[512]; mote::ByteView reply;
//     mote::Result<std::size_t> got; mote::Result<void> sent;
//     mote::Step step() {
//       MOTE_BEGIN();
//       do {
//         MOTE_AWAIT(got, client.read(bytes));
//         if (!got || *got == 0) return mote::done();
//         reply = {bytes, *got};
//         MOTE_AWAIT(sent, client.write_all(reply));
//       } while (sent);
//       MOTE_END(); } };
//   static mote::TaskPool<Echo, 64> clients;  // all of it lies in .bss: sizeof tells the footprint
//
// Contents (the last four in mote_concurrency.hpp, which this header includes at its end: copy both)
//   1. Configuration and version
//   2. Vocabulary
//   3. Containers
//   4. System seam
//   5. Selectors
//   6. Reactor
//   7. Tasks
//   8. Input and output
//   9. Wake-ups and signals
//   10. Synchronisation
//   11. Shutdown
//   12. Coroutines
//
// A section uses only those above it. Unless a comment says otherwise a function belongs to the loop's thread, is O(1), and
// cannot fail unless it returns a Result, whose errno values are named at it; "full" is always ENOBUFS.

#ifndef MOTE_HPP
#define MOTE_HPP

#include <arpa/inet.h>    // inet_pton, inet_ntop
#include <errno.h>        // errno and its names
#include <fcntl.h>        // open, fcntl, O_*
#include <net/if.h>       // if_nametoindex, for scoped IPv6 addresses
#include <netinet/in.h>   // sockaddr_in, sockaddr_in6
#include <netinet/tcp.h>  // TCP_NODELAY, keep-alive options
#include <poll.h>         // poll
#include <sched.h>        // sched_yield
#include <signal.h>       // sigaction
#include <stdio.h>        // snprintf, for printing endpoints
#include <string.h>       // memcpy, memchr, memmove, strerror
#include <sys/epoll.h>    // epoll
#include <sys/eventfd.h>  // eventfd, the wake-up descriptor
#include <sys/ioctl.h>    // TIOCEXCL
#include <sys/socket.h>   // sockets
#include <sys/syscall.h>  // SYS_epoll_pwait2, which older libcs do not wrap
#include <sys/un.h>       // sockaddr_un
#include <termios.h>      // serial ports
#include <time.h>         // clock_gettime
#include <unistd.h>       // read, write, close, getpid

#include <atomic>            // 32-bit atomics: wake-ups, mailboxes, signals
#include <chrono>            // Duration and Instant
#include <cstddef>           // size_t, byte
#include <cstdint>           // fixed-width integers
#include <initializer_list>  // lists of signals
#include <new>               // placement new (declares; nothing of the runtime library is needed)
#include <type_traits>       // static checks
#include <utility>           // move, forward

// =====================================================================================================================
// 1. Configuration and version
// =====================================================================================================================
static_assert(__cplusplus >= 201703L, "mote.hpp needs C++17: -std=c++17");
#define MOTE_VERSION_MAJOR 0
#define MOTE_VERSION_MINOR 1
#define MOTE_VERSION_PATCH 0
// States an invariant of the library. Define it before the include to report violations in your own way; it must not
// have side effects, and must be an expression. By default it traps, and vanishes with NDEBUG.
#ifndef MOTE_ASSERT
#ifdef NDEBUG
#define MOTE_ASSERT(condition) static_cast<void>(0)
#else
#define MOTE_ASSERT(condition) ((condition) ? static_cast<void>(0) : __builtin_trap())
#endif
#endif

// The system seam (section 4) may be replaced as a whole, for virtual clocks and injected faults: define
// MOTE_SYSTEM_HEADER as the name of a header that defines, in namespace mote, a struct derived from LinuxSystem, and
// MOTE_SYSTEM as that struct's name. The namespace below then differs, so both kinds can be linked into one program.
#ifdef MOTE_SYSTEM_HEADER
#define MOTE_NAMESPACE v0_1_seam
#else
#define MOTE_NAMESPACE v0_1
#define MOTE_SYSTEM LinuxSystem
#endif

#define MOTE_COLD [[gnu::cold]]
namespace mote {
inline namespace MOTE_NAMESPACE {
namespace limits {                             // Bounds of one turn; each keeps one party from starving the others.
constexpr int operations_per_step = 32;        // completed operations before a task yields to the next one
constexpr std::uint32_t steps_below = 16;      // steps in a turn of tasks that are not of the highest priority
constexpr int queues_per_task = 3;             // queues in which a task can stand at a time, by first_of() and all_of()
constexpr int accepts_per_poll = 16;           // connections found dead in a row before the listener pauses
constexpr std::uint32_t timers_per_scan = 32;  // timers looked at to find the exact next deadline
constexpr std::chrono::milliseconds accept_pause{100};  // a listener's, after EMFILE and its kin
}  // namespace limits

// =====================================================================================================================
// 2. Vocabulary
// =====================================================================================================================
// An errno value with a name. Never 0.
class Error {
 public:
  constexpr Error() = default;
  constexpr Error(int code) : code_(code) {}
  constexpr int code() const { return code_; }
  const char* message() const { return ::strerror(code_); }  // the C library's text; not for signal handlers
  friend constexpr bool operator==(Error a, Error b) { return a.code_ == b.code_; }
  friend constexpr bool operator!=(Error a, Error b) { return a.code_ != b.code_; }
 private:
  int code_ = EAGAIN;
};

namespace detail {
struct Assignment;
}
// A value (of a default-constructible type), or the error that stood in its way. At first EAGAIN; Result<void>: success.
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
  constexpr T& operator*() & { return MOTE_ASSERT(error_ == 0), value_; }
  constexpr const T& operator*() const& { return MOTE_ASSERT(error_ == 0), value_; }
  constexpr T&& operator*() && { return MOTE_ASSERT(error_ == 0), static_cast<T&&>(value_); }
  constexpr T* operator->() { return &**this; }
  constexpr const T* operator->() const { return &**this; }
  // The value is filled in where it is: fill(value) gives a Result<void> that says how it went.
  template <class Fill> static Result filled_in(Fill&& fill) {
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
template <> class [[nodiscard]] Result<void> {
 public:
  constexpr Result() : error_(0) {}
  constexpr Result(Error error) : error_(error.code()) { MOTE_ASSERT(error_ != 0); }
  constexpr explicit operator bool() const { return error_ == 0; }
  constexpr Error error() const { return error_; }
 private:
  int error_;
};

// What one attempt at an operation gives: ready with a value, or pending (the task has been noted as waiting).
struct Pending {};
constexpr Pending pending{};
template <class T> class [[nodiscard]] Poll {
 public:
  using value_type = T;
  constexpr Poll(Pending) : ready_(false) {}
  template <class U = T, class = std::enable_if_t<std::is_constructible<T, U&&>::value &&
                                                  !std::is_same<std::decay_t<U>, Poll>::value &&
                                                  !std::is_same<std::decay_t<U>, Pending>::value>>
  constexpr Poll(U&& value) : value_(std::forward<U>(value)), ready_(true) {}
  constexpr bool ready() const { return ready_; }
  constexpr T& operator*() { return MOTE_ASSERT(ready_), value_; }
  constexpr T* operator->() { return &**this; }
 private:
  T value_{};
  bool ready_;
};

namespace detail {
// Of what an await gives. A Result by members: g++ moves the whole through the stack.
struct Assignment {
  template <class To, class From> static void make(To&& to, From& from) { to = static_cast<From&&>(from); }
  template <class T, class = std::enable_if_t<std::is_object<T>::value && std::is_move_assignable<T>::value>>
  [[gnu::always_inline]] static void make(Result<T>& to, Result<T>& from) {
    to.value_ = static_cast<T&&>(from.value_), to.error_ = from.error_;
  }
};
constexpr Error not_yet{4096};  // an attempt has noted the task as waiting, and is to be made again; no errno value
constexpr bool likely(bool condition) { return __builtin_expect(condition, true) != 0; }
}  // namespace detail
// Of an operation: no larger than the Result.
template <class T> class [[nodiscard]] Poll<Result<T>> {
 public:
  using value_type = Result<T>;
  constexpr Poll(Pending) : value_(detail::not_yet) {}
  template <class U, class = std::enable_if_t<std::is_constructible<Result<T>, U&&>::value &&
                                              !std::is_same<std::decay_t<U>, Poll>::value &&
                                              !std::is_same<std::decay_t<U>, Pending>::value>>
  constexpr Poll(U&& value) : value_(std::forward<U>(value)) {}
  template <class Fill> static Poll filled_in(Fill&& fill) { return {fill, 0}; }  // as Result's
  constexpr bool ready() const { return value_ || value_.error() != detail::not_yet; }
  constexpr Result<T>& operator*() { return MOTE_ASSERT(ready()), value_; }
  constexpr Result<T>* operator->() { return &**this; }
 private:
  template <class Fill> constexpr Poll(Fill& fill, int) : value_(Result<T>::filled_in(fill)) {}
  Result<T> value_;
};

// Time is monotonic, in signed 64-bit nanoseconds. It stands still while the machine is suspended (CLOCK_MONOTONIC) and
// does not see steps of the wall clock. Sums saturate: a deadline beyond the end of time is the end of time.
using Duration = std::chrono::nanoseconds;
struct Clock {
  using duration = Duration;
  using rep = duration::rep;
  using period = duration::period;
  using time_point = std::chrono::time_point<Clock>;
  static constexpr bool is_steady = true;
  static time_point now();  // asks the kernel (mostly without a system call); any thread
};
using Instant = Clock::time_point;
constexpr Duration forever = Duration::max();
constexpr Instant saturating_add(Instant t, Duration d) {
  std::int64_t sum = 0;
  if (!__builtin_add_overflow(t.time_since_epoch().count(), d.count(), &sum)) return Instant(Duration(sum));
  return d.count() > 0 ? Instant::max() : Instant::min();
}

// Bytes that belong to somebody else: a pointer and a size, or an array or container of one-byte elements (of which a
// string literal is one, its NUL included: use text()).
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
  constexpr Byte& operator[](std::size_t i) const { return MOTE_ASSERT(i < size_), data_[i]; }
  constexpr Byte* begin() const { return data_; }
  constexpr Byte* end() const { return data_ + size_; }
  void drop_front(std::size_t n) { MOTE_ASSERT(n <= size_), data_ += n, size_ -= n; }  // the bytes stay where they are
 private:
  Byte* data_ = nullptr;
  std::size_t size_ = 0;
};
using ByteView = BasicBytes<const unsigned char>;
using ByteSpan = BasicBytes<unsigned char>;
inline ByteView text(const char* string) { return {string, ::strlen(string)}; }
// A function pointer and its context: two words, never owning. What it is bound to must outlive it.
template <class Signature> class Delegate;
template <class R, class... A> class Delegate<R(A...)> {
 public:
  constexpr Delegate() = default;
  constexpr Delegate(R (*function)(void*, A...), void* context) : function_(function), context_(context) {}
  // Of an lvalue that can be called: a lambda with a name, that lives long enough; an object with operator().
  template <class F,
            class = std::enable_if_t<std::is_invocable_r<R, F&, A...>::value &&
                                     !std::is_same<std::remove_cv_t<F>, Delegate>::value && std::is_class<F>::value>>
  constexpr Delegate(F& callable)
      : function_([](void* context, A... args) -> R { return (*static_cast<F*>(context))(static_cast<A&&>(args)...); }),
        context_(const_cast<std::remove_cv_t<F>*>(&callable)) {}
  // Of a member function: Delegate<void()>::of<&Lamp::blink>(lamp); of a free one: Delegate<void()>::of<&blink>().
  template <auto Method, class T> static constexpr Delegate of(T& object) {
    return {
        [](void* context, A... args) -> R { return (static_cast<T*>(context)->*Method)(static_cast<A&&>(args)...); },
        &object};
  }
  template <auto F> static constexpr Delegate of() {
    return {[](void*, A... args) -> R { return F(static_cast<A&&>(args)...); }, nullptr};
  }
  [[gnu::always_inline]] R operator()(A... args) const { return function_(context_, static_cast<A&&>(args)...); }
  constexpr explicit operator bool() const { return function_ != nullptr; }
 private:
  R (*function_)(void*, A...) = nullptr;
  void* context_ = nullptr;
};

// What a registration asks for, and what the kernel reports of it. `read` also asks for read_closed; hangup and error
// are reported whatever was asked for. The values are the kernel's own, so that translation costs an instruction.
// priority: out-of-band data, a GPIO edge, a sysfs attribute that changed · error: one to be read (SO_ERROR, the error
// queue), or a pipe without readers · hangup: both directions are over, or a pipe without writers · read_closed: the peer
// will send no more.
enum class Interest : std::uint8_t { none, read = 1, priority = 2, write = 4 };
enum class Readiness : std::uint32_t {
  none,
  readable,
  priority,
  writable = 4,
  error = 8,
  hangup = 16,
  read_closed = 0x2000
};
namespace detail {
template <class E>
using IfFlags = std::enable_if_t<std::is_same<E, Interest>::value || std::is_same<E, Readiness>::value, E>;
template <class E> constexpr unsigned bits(E e) { return static_cast<unsigned>(e); }
constexpr Interest by_edges{8};  // asks a selector to report only what changes, and urgent data unasked
}  // namespace detail
template <class E> constexpr detail::IfFlags<E> operator|(E a, E b) { return E(detail::bits(a) | detail::bits(b)); }
template <class E> constexpr detail::IfFlags<E> operator&(E a, E b) { return E(detail::bits(a) & detail::bits(b)); }
template <class E> constexpr detail::IfFlags<E> operator~(E a) { return E(~detail::bits(a) & 0x203fu); }
template <class E> constexpr detail::IfFlags<E>& operator|=(E& a, E b) { return a = a | b; }
template <class E> constexpr detail::IfFlags<E>& operator&=(E& a, E b) { return a = a & b; }
template <class E, class = detail::IfFlags<E>> constexpr bool any(E e) { return detail::bits(e) != 0; }

// =====================================================================================================================
// 3. Containers
// =====================================================================================================================
// Fixed or intrusive: none of them allocates, and all-zero bits are a valid empty state.
namespace detail {
struct Pinned {  // neither copied nor moved
  constexpr Pinned() = default;
  Pinned(const Pinned&) = delete;
  Pinned& operator=(const Pinned&) = delete;
};

// Intrusive doubly linked list. A node is in at most one list; unlinking needs no list. All O(1).
struct ListNode : Pinned {
  ListNode *next = nullptr, *prev = nullptr;
  bool linked() const { return next != nullptr; }
  void unlink() {
    if (next == nullptr) return;
    next->prev = prev, prev->next = next;
    next = prev = nullptr;
  }
};

// What lists of whatever have in common: once in a program.
struct ListBase {
  bool empty() const { return head_.next == nullptr || head_.next == &head_; }
  void append(ListNode& node) { ring(), insert(node, head_.prev); }
  ListNode* first() { return empty() ? nullptr : head_.next; }
  ListNode* take_first() {
    if (empty()) return nullptr;
    ListNode* const node = head_.next;
    head_.next = node->next, node->next->prev = &head_;
    return node->next = nullptr, node;
  }
  void take(ListBase& other) {  // all of other's nodes, in order, behind its own
    if (other.empty()) return;
    ring();
    head_.prev->next = other.head_.next, other.head_.next->prev = head_.prev;
    head_.prev = other.head_.prev, head_.prev->next = &head_;
    other.head_.next = other.head_.prev = &other.head_;
  }
  void ring() {
    if (head_.next == nullptr) head_.next = head_.prev = &head_;  // a list of zeros becomes a ring at its first use
  }
  void insert(ListNode& node, ListNode* before) {
    MOTE_ASSERT(!node.linked());
    node.prev = before, node.next = before->next;
    before->next->prev = &node, before->next = &node;
  }
  ListNode head_;
};
// Node: the base of T that is linked, one Hook per list it can be in.
template <class T, class Node = ListNode> struct List : ListBase {
  void push_back(Node& node) { append(node); }
  void push_front(Node& node) { ring(), insert(node, &head_); }
  T* front() { return from(first()); }
  T* after(Node& node) { return node.next == &head_ ? nullptr : from(node.next); }
  T* pop_front() { return from(take_first()); }
  static T* from(ListNode* node) { return static_cast<T*>(static_cast<Node*>(node)); }
};
template <int Which> struct Hook : ListNode {};
struct TimerNode : ListNode {
  std::int64_t deadline = 0;  // ns
  std::uint32_t order = 0;    // of arming, to tell equal deadlines apart; compared as a signed difference
  bool before(const TimerNode& other) const {
    return deadline != other.deadline ? deadline < other.deadline : static_cast<std::int32_t>(order - other.order) < 0;
  }
};

// Hierarchical timing wheel (Varghese and Lauck, 1987) with exact order: 9 levels of 16 lists, the finest of 2^9 ns.
// A timer's place is a function of its deadline and of `base_`: the level is the highest base-16 digit in which they
// differ, the list that digit of the deadline; further ahead than 9.7 hours is `far`. So lower levels always come
// before higher ones, and within a level lists come in order. Every timer stands where its deadline belongs or
// earlier: moving a deadline further ahead leaves the timer where it is until its list comes up. Arm and cancel are O(1);
// a timer is moved at most once per level on its way, which sorts a crowd. Size on a 32-bit board: 1,240 bytes.
class TimerWheel {
 public:
  bool empty() const { return count_ == 0; }
  std::uint32_t count() const { return count_; }
  std::int64_t next() const { return next_; }  // nothing is due before it (exact unless a timer was moved or cancelled)
  void insert(TimerNode& node, std::int64_t now) {
    if (count_ == 0) base_ = tick(now);
    expect(node.deadline);
    firing_ == 0 || node.deadline > until_ ? place(node) : lists_[later].push_back(node);
  }
  // Something that is due then but has no node: it counts, too, until forgotten, and is to be expected after each refresh().
  void expect(std::int64_t deadline) {
    if (count_++ == 0 || deadline < next_) next_ = deadline;
  }
  void forget() { --count_; }
  // Its list's bit may stay set: whoever comes across an empty list clears it.
  void erase(TimerNode& node) { node.unlink(), --count_; }

  // Moves the first lists of what is due at `now` to `due`, in order; they still count until erased. To be called with the
  // same `now` until it is false, so that each fires while it is in the cache; what is armed meanwhile comes later.
  bool expire(std::int64_t now, List<TimerNode>& due) {
    const std::uint64_t now_tick = tick(until_ = now);
    due.ring();
    for (unsigned list = 0, visited = 0; (visited++ < few || due.empty()) && first(list);) {
      const std::uint64_t start = start_of(list), length = std::uint64_t{1} << (list / slots * slot_bits);
      if (start > now_tick) break;
      occupied_[list / slots] &= ~(1u << (list % slots));
      if (start > base_) base_ = list == far ? now_tick : start;
      const auto last = static_cast<std::int64_t>(((start + length) << tick_bits) - 1);
      const bool crowded = list >= slots && is_long(lists_[list]);  // all of it goes to lower levels first
      sift(lists_[list], crowded ? INT64_MIN : last < now ? last : now, due);
      if (start == now_tick && list < slots) break;  // what is left in it is due later within this tick
    }
    if (firing_ = due.empty() ? 0 : 1; firing_ != 0) return true;
    if (now_tick > base_) base_ = now_tick;
    while (TimerNode* const node = lists_[later].pop_front()) place(*node);
    return false;
  }
  // Finds the next deadline again. Exact within the current tick and where the first list is short; else the time at
  // which that list begins.
  void refresh() {
    next_ = INT64_MAX;
    for (unsigned index = 0; first(index); occupied_[index / slots] &= ~(1u << (index % slots))) {
      List<TimerNode>& list = lists_[index];
      std::uint32_t left = index < slots ? UINT32_MAX : limits::timers_per_scan;
      for (TimerNode *node = list.front(), *following; node != nullptr && left-- != 0; node = following) {
        following = list.after(*node);
        if (place_of(node->deadline) != index) node->unlink(), place(*node);  // its deadline was moved ahead meanwhile
        else if (node->deadline < next_) next_ = node->deadline;
        if (left == 0 && following != nullptr) next_ = static_cast<std::int64_t>(start_of(index) << tick_bits);
      }
      if (!list.empty()) return;
    }
  }
 private:
  static constexpr unsigned tick_bits = 9, slot_bits = 4, levels = 9, wheel_bits = levels * slot_bits;
  static constexpr unsigned slots = 1u << slot_bits, far = levels * slots, later = far + 1, few = 8;
  static std::uint64_t tick(std::int64_t ns) { return ns < 0 ? 0 : static_cast<std::uint64_t>(ns) >> tick_bits; }
  std::uint64_t start_of(unsigned list) const {
    const unsigned shift = list / slots * slot_bits;
    if (list == far) return ((base_ >> shift) + 1) << shift;
    return (base_ >> shift >> slot_bits << slot_bits | list % slots) << shift;
  }
  bool first(unsigned& list) const {
    for (unsigned level = 0; level <= levels; ++level)
      if (occupied_[level] != 0) return list = level * slots + unsigned(__builtin_ctz(occupied_[level])), true;
    return false;
  }
  unsigned place_of(std::int64_t deadline) const {
    const std::uint64_t when = tick(deadline) < base_ ? base_ : tick(deadline), difference = when ^ base_;
    const unsigned level = (63u - static_cast<unsigned>(__builtin_clzll(difference | 1u))) / slot_bits;
    return level >= levels ? far : level * slots + static_cast<unsigned>(when >> (level * slot_bits)) % slots;
  }
  void place(TimerNode& node) {
    const unsigned index = place_of(node.deadline);
    occupied_[index / slots] |= 1u << (index % slots);
    lists_[index].push_back(node);
  }
  static bool is_long(const List<TimerNode>& list) {
    const ListNode* node = list.head_.next;
    for (unsigned left = few; left != 0 && node != &list.head_; --left) node = node->next;
    return node != &list.head_;
  }
  // Empties a list. What is due `until` then goes to `due`, in order, behind what is there; the rest to its place as seen
  // from the new base_. A timer goes before the last few at most: where it belongs further ahead, it begins a new run, and
  // runs are merged bottom-up, runs[i] from 2^i. So n timers take n * (8 + log2(n)) comparisons at most.
  void sift(List<TimerNode>& list, std::int64_t until, List<TimerNode>& due) {
    ListNode *runs[32], *const before = due.head_.prev, *const end = &list.head_, *following = end->next;
    std::uint32_t count = 0;
    const auto cut_run = [&](std::uint32_t merged) {  // with those of runs[i] whose bits are set
      ListNode* run = before->next;
      due.head_.prev->next = nullptr, due.head_.prev = before, before->next = &due.head_;
      for (unsigned i = 0; merged >> i != 0; ++i)
        if ((merged >> i & 1u) != 0) run = merge(runs[i], run);
      return run;
    };
    for (end->next = end->prev = end; following != end;) {
      TimerNode& node = *List<TimerNode>::from(following);
      following = std::exchange(node.next, nullptr);
      if (node.deadline > until) place(node);
      if (node.linked()) continue;
      ListNode* at = due.head_.prev;
      unsigned left = few;
      while (left != 0 && at != before && node.before(*List<TimerNode>::from(at))) --left, at = at->prev;
      if (left == 0) runs[__builtin_ctz(count + 1)] = cut_run(count & ~(count + 1)), ++count, at = before;
      due.insert(node, at);
    }
    for (ListNode *node = count != 0 ? cut_run(count) : nullptr, *after; node != nullptr; node = after)
      after = std::exchange(node->next, nullptr), due.push_back(*List<TimerNode>::from(node));
  }
  static ListNode* merge(ListNode* a, ListNode* b) {
    ListNode head, *tail = &head;
    for (; a != nullptr; a = a->next) {
      if (List<TimerNode>::from(b)->before(*List<TimerNode>::from(a))) std::swap(a, b);
      tail = tail->next = a;
    }
    tail->next = b;
    return head.next;
  }
  std::uint64_t base_ = 0;  // in ticks; nothing before it is left in the wheel
  std::int64_t next_ = 0, until_ = 0;
  std::uint32_t occupied_[levels + 1] = {}, count_ = 0;
  std::uint32_t firing_ = 0;  // 1: those until `until_`
  List<TimerNode> lists_[levels * slots + 2];
};
}  // namespace detail

// =====================================================================================================================
// 4. System seam
// =====================================================================================================================
// The one place where system calls are made: as in the manual pages, failing with -1 and errno. It has no state.
struct LinuxSystem {
  static int error() { return errno; }
  static std::int64_t monotonic_ns() {  // cannot fail: the clock exists since Linux 2.6 and the pointer is ours
    timespec t{};
    ::clock_gettime(CLOCK_MONOTONIC, &t);
    return static_cast<std::int64_t>(t.tv_sec) * 1'000'000'000 + t.tv_nsec;
  }
  static pid_t process() { return ::getpid(); }
  static void yield() { ::sched_yield(); }
  static int epoll_create() { return ::epoll_create1(EPOLL_CLOEXEC); }
  static int epoll_ctl(int set, int what, int fd, epoll_event* event) { return ::epoll_ctl(set, what, fd, event); }
  static int epoll_wait(int set, epoll_event* events, int most, int ms) { return ::epoll_wait(set, events, most, ms); }
  static int epoll_pwait2(int set, epoll_event* events, int most, std::int64_t ns) {  // Linux 5.11; else ENOSYS
#ifdef SYS_epoll_pwait2
    constexpr long number = SYS_epoll_pwait2;
#else
    constexpr long number = -1;
#endif
    const std::int64_t timeout[2] = {ns / 1'000'000'000, ns % 1'000'000'000};  // __kernel_timespec: 64 bits, always
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
  static int getsockopt(int fd, int level, int name, void* v, socklen_t* n) {
    return ::getsockopt(fd, level, name, v, n);
  }
  static int setsockopt(int fd, int level, int name, const void* v, socklen_t n) {
    return ::setsockopt(fd, level, name, v, n);
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
#ifdef MOTE_SYSTEM_HEADER
#include MOTE_SYSTEM_HEADER
#endif
namespace mote {
inline namespace MOTE_NAMESPACE {

using System = MOTE_SYSTEM;
// Always inlined: monotonic_ns() gives its answer in registers, which this, as a function of its own, would not on ARM.
[[gnu::always_inline]] inline Clock::time_point Clock::now() { return time_point(Duration(System::monotonic_ns())); }
// An owned descriptor, closed when it goes. All zero bits mean 'none'.
class Fd {
 public:
  constexpr Fd() = default;
  constexpr explicit Fd(int fd) : stored_(fd + 1) {}
  Fd(Fd&& other) noexcept : stored_(std::exchange(other.stored_, 0)) {}
  Fd& operator=(Fd&& other) noexcept {
    close(), stored_ = std::exchange(other.stored_, 0);
    return *this;
  }
  ~Fd() { close(); }
  constexpr int get() const { return stored_ - 1; }
  constexpr explicit operator bool() const { return stored_ > 0; }
  int release() { return std::exchange(stored_, 0) - 1; }
  // Whatever close() answers (EINTR, EIO, ENOSPC), on Linux the descriptor is gone: see close(2). Never tried twice.
  void close() { stored_ > 0 ? System::close(release()) : 0; }
 private:
  int stored_ = 0;
};

// =====================================================================================================================
// 5. Selectors
// =====================================================================================================================
#ifdef __x86_64__
class Token {  // a number of 64 bits that lies at any multiple of 4: the kernel packs an epoll_event here
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
// One entry of a wait's answer, laid out as an epoll_event: what the kernel reports of a descriptor, the caller's token.
struct Ready {
  Readiness readiness = Readiness::none;
  Token token = 0;
};

// The demultiplexer: which of these descriptors are ready? Usable alone, level-triggered, for one thread. Before open()
// it is all zero bits and every call answers EBADF; open() belongs to the kind of selector (EpollSelector, PollSelector,
// or a class of yours that derives from SelectorBase). It does not own the descriptors: remove one before it is closed,
// or forget() it right after. Dispatch goes through a table of functions that open() sets, not through a vtable, so
// that a selector in static storage lies in .bss and needs nothing of the C++ runtime.
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

  // EBADF: fd is not open · EEXIST: added already · ENOBUFS: N are in · EPERM: (epoll) a regular file, a directory or
  // the like, always ready and so not to be waited for; poll takes it and says so · ENOSPC, ENOMEM: the kernel's limits.
  Result<void> add(int fd, Interest interest, std::uint64_t token) {
    return operations_ != nullptr ? operations_->add(*this, fd, interest, token) : Error(EBADF);
  }
  // ENOENT: not added (or, with epoll, closed since) · EBADF · ENOMEM.
  Result<void> modify(int fd, Interest interest, std::uint64_t token) {
    return operations_ != nullptr ? operations_->modify(*this, fd, interest, token) : Error(EBADF);
  }
  // ENOENT: not added (or, with epoll, closed since) · EBADF: (epoll) fd is not open.
  Result<void> remove(int fd) { return operations_ != nullptr ? operations_->remove(*this, fd) : Error(EBADF); }
  // For a descriptor that has been closed: takes it off the books without a system call.
  void forget(int fd) { operations_ != nullptr ? operations_->forget(*this, fd) : static_cast<void>(0); }

  // Waits until something is ready or the time is up (zero: only looks; forever: no limit) and fills in at most
  // `capacity` entries: how many it returns. 0 means that the time is up, and never before. A signal does not end it.
  // EINVAL: a capacity of 0.
  Result<std::size_t> wait(Ready* ready, std::size_t capacity, Duration timeout) {
    const bool timed = timeout > Duration::zero() && timeout != forever;
    const Instant deadline = timed ? saturating_add(Clock::now(), timeout) : Instant::max();
    for (;;) {
      const Result<std::size_t> count = wait_once(ready, capacity, timeout);
      if (count ? *count != 0 || timeout <= Duration::zero() : count.error() != EINTR) return count;
      if (timed) timeout = deadline - Clock::now();
      if (timed && count && timeout <= Duration::zero()) return count;  // after EINTR, it looks once more
    }
  }
  template <std::size_t M> Result<std::size_t> wait(Ready (&to)[M], Duration timeout) { return wait(to, M, timeout); }
  // One system call: may also answer EINTR, or 0 before the time is up where that lies beyond the kernel's range.
  Result<std::size_t> wait_once(Ready* ready, std::size_t capacity, Duration timeout) {
    return operations_ != nullptr ? operations_->wait(*this, ready, capacity, timeout) : Error(EBADF);
  }

  // Starts anew with nothing added: in a forked child, or to be rid of what a closed descriptor left in the kernel.
  // EMFILE, ENFILE, ENOMEM: every call answers EBADF until a later rebuild() succeeds.
  Result<void> rebuild() { return operations_ != nullptr ? operations_->rebuild(*this) : Error(EBADF); }
  // Readable when something is ready, for nesting in another loop; -1 where there is none (poll).
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

// Derive `class Mine : public mote::SelectorBase<Mine>` and give it on_add, on_modify, on_remove, on_forget, on_wait,
// on_rebuild and on_descriptor with the signatures below; its open() calls attach().
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
namespace detail {
// For calls that count in milliseconds: rounded up, so that nothing is early; clamped, so that nothing overflows.
constexpr int whole_milliseconds(Duration timeout) {  // of more than 0
  const std::int64_t ms = (timeout.count() - 1) / 1'000'000 + 1;
  return ms > INT32_MAX ? INT32_MAX : static_cast<int>(ms);
}
constexpr int to_milliseconds(Duration timeout) {
  if (timeout == forever) return -1;
  return timeout > Duration::zero() ? whole_milliseconds(timeout) : 0;
}
inline Error last_error() { return Error(System::error()); }
template <class... Codes> constexpr bool is_one_of(int error, Codes... codes) { return ((error == codes) || ...); }
template <class Call> auto retry(Call call) {  // a call that a signal interrupted
  auto n = call();
  while (n < 0 && System::error() == EINTR) n = call();
  return n;
}
inline Result<void> check(int answer) { return answer >= 0 ? Result<void>() : last_error(); }  // of a system call

constexpr std::uint32_t power_of_two_above(std::size_t n) {
  std::uint32_t p = 2;
  while (p < n) p *= 2;
  return p;
}
}  // namespace detail

// epoll(7). N descriptors at most; its size does not depend on N: 16 bytes on a 32-bit board.
template <std::size_t N> class EpollSelector : public SelectorBase<EpollSelector<N>> {
 public:
  static constexpr const char* name = "epoll";
  static constexpr bool reports_edges = true;
  Result<void> open() {  // EMFILE ENFILE ENOMEM
    const Result<void> made = set_ ? Result<void>() : on_rebuild();
    if (made) this->attach();
    return made;
  }
  void close() { set_.close(), this->detach(); }
  Result<void> on_add(int fd, Interest interest, std::uint64_t token) {
    if (control(EPOLL_CTL_ADD, fd, interest, token) != 0) return detail::last_error();  // and ELOOP: nested too deep
    if (count_ >= N) return control(EPOLL_CTL_DEL, fd, interest, token), Error(ENOBUFS);
    return ++count_, Result<void>();
  }
  Result<void> on_modify(int fd, Interest interest, std::uint64_t token) {
    return detail::check(control(EPOLL_CTL_MOD, fd, interest, token));
  }
  Result<void> on_remove(int fd) {
    if (control(EPOLL_CTL_DEL, fd, Interest::none, 0) != 0) return detail::last_error();
    return on_forget(fd), Result<void>();
  }
  void on_forget(int) { count_ -= count_ != 0 ? 1u : 0u; }
  Result<std::size_t> on_wait(Ready* ready, std::size_t capacity, Duration timeout) {
    const int most = capacity > 4096 ? 4096 : static_cast<int>(capacity);
    auto* const events = reinterpret_cast<epoll_event*>(ready);  // filled in by the kernel alone
    const bool timed = timeout != forever && timeout > Duration::zero();
    const int n = timed ? wait_timed(events, most, timeout)
                        : System::epoll_wait(set_.get(), events, most, timeout == forever ? -1 : 0);
    return n >= 0 ? Result<std::size_t>(static_cast<std::size_t>(n)) : detail::last_error();  // EINTR; EBADF: closed
  }
  Result<void> on_rebuild() {
    int fresh = System::epoll_create();
    if (fresh < 0 && set_) set_.close(), fresh = System::epoll_create();  // EMFILE ENFILE: make room ourselves
    if (fresh < 0) return detail::last_error();
    return set_ = Fd(fresh), count_ = 0, Result<void>();
  }
  int on_descriptor() const { return set_.get(); }
 private:
  static_assert(EPOLLIN == 0x01 && EPOLLPRI == 0x02 && EPOLLOUT == 0x04 && EPOLLERR == 0x08 && EPOLLHUP == 0x10);
  static_assert(EPOLLRDHUP == 0x2000, "Interest and Readiness have the kernel's values");
  static_assert(sizeof(Ready) == sizeof(epoll_event) && offsetof(Ready, token) == offsetof(epoll_event, data),
                "received in place");
  int control(int what, int fd, Interest interest, std::uint64_t token) {
    epoll_event event;
    ::memset(&event, 0, sizeof event);  // it has padding on ARM
    event.events = (detail::bits(interest) & 7u) | (detail::bits(interest) & 1u) << 13;
    if (any(interest & detail::by_edges)) event.events |= unsigned{EPOLLET} | unsigned{EPOLLPRI};
    event.data.u64 = token;
    return System::epoll_ctl(set_.get(), what, fd, &event);
  }
  [[gnu::noinline]] int wait_timed(epoll_event* events, int most, Duration timeout) {
    if (!coarse_) {
      const int n = System::epoll_pwait2(set_.get(), events, most, timeout.count());
      // Before Linux 5.11 ENOSYS; EPERM from sandboxes that do not know the call. Asked once.
      if (n >= 0 || (System::error() != ENOSYS && System::error() != EPERM)) return n;
      coarse_ = true;
    }
    return System::epoll_wait(set_.get(), events, most, detail::whole_milliseconds(timeout));
  }
  Fd set_;
  std::uint32_t count_ = 0;
  bool coarse_ = false;  // milliseconds only
};

// poll(2), for kernels and sandboxes without epoll, and for a handful of descriptors: a dense array, and a hash table
// with linear probing that finds a descriptor's entry, so that add, modify and remove are O(1) expected. 24 to 32 bytes
// per descriptor.
template <std::size_t N> class PollSelector : public SelectorBase<PollSelector<N>> {
 public:
  static constexpr const char* name = "poll";
  Result<void> open() { return this->attach(), Result<void>(); }  // cannot fail
  void close() { static_cast<void>(on_rebuild()), this->detach(); }
  Result<void> on_add(int fd, Interest interest, std::uint64_t token) {
    if (find(fd) != none) return Error(EEXIST);
    if (System::fcntl(fd, F_GETFD, 0) < 0) return detail::last_error();  // EBADF: poll itself would tell too late
    if (count_ >= N) return Error(ENOBUFS);
    std::uint32_t cell = home(fd);
    while (index_[cell] != 0) cell = (cell + 1) & mask;
    set(count_, fd, interest, token);
    return index_[cell] = ++count_, Result<void>();
  }
  Result<void> on_modify(int fd, Interest interest, std::uint64_t token) {
    const std::uint32_t cell = find(fd);
    if (cell == none) return Error(ENOENT);
    return set(index_[cell] - 1, fd, interest, token), Result<void>();
  }
  Result<void> on_remove(int fd) {
    const std::uint32_t cell = find(fd);
    if (cell == none) return Error(ENOENT);
    const std::uint32_t position = index_[cell] - 1;
    erase(cell);
    if (position == --count_) return {};
    index_[find(fds_[count_].fd)] = position + 1;  // the last entry takes the place
    return fds_[position] = fds_[count_], tokens_[position] = tokens_[count_], Result<void>();
  }
  void on_forget(int fd) { static_cast<void>(on_remove(fd)); }
  // What is ready and far behind moves to the front: whoever goes on being active is found without a look at all the
  // others. Where more are ready than fit, nothing moves, and the next wait's answer begins with the others.
  Result<std::size_t> on_wait(Ready* ready, std::size_t capacity, Duration timeout) {
    if (capacity == 0) return Error(EINVAL);  // as epoll_wait(2)
    const int n = System::poll(fds_, count_, detail::to_milliseconds(timeout));
    if (n < 0) return detail::last_error();  // EINTR; EINVAL: more than RLIMIT_NOFILE; ENOMEM
    const bool all_fit = static_cast<std::size_t>(n) <= capacity;
    const std::size_t most = all_fit ? static_cast<std::size_t>(n) : capacity;
    std::size_t at = all_fit || start_ >= count_ ? 0 : start_, found = 0;
    for (bool again = at != 0; found != most;) {
      if (at = next(at); at == count_) {
        if (!std::exchange(again, false)) break;
        at = 0;
        continue;
      }
      const auto events = static_cast<unsigned>(fds_[at].revents);
      // POLLNVAL, the descriptor was closed behind our back, is an error: reading it will tell which.
      const unsigned closed = (events & read_closed_event) != 0 ? 0x2000u : 0u,
                     invalid = (events & POLLNVAL) != 0 ? 0x08u : 0u;
      ready[found] = {static_cast<Readiness>((events & 0x1fu) | closed | invalid), tokens_[at]};
      if (all_fit && at >= 2 * found + near) swap(at, found);
      ++at, ++found;
    }
    start_ = static_cast<std::uint32_t>(at);
    return found;
  }
  Result<void> on_rebuild() { return ::memset(index_, 0, sizeof index_), count_ = 0, Result<void>(); }
  int on_descriptor() const { return -1; }
 private:
  static_assert(POLLIN == 0x01 && POLLPRI == 0x02 && POLLOUT == 0x04 && POLLERR == 0x08 && POLLHUP == 0x10);
#ifdef POLLRDHUP
  static constexpr unsigned read_closed_event = POLLRDHUP;
#else
  static constexpr unsigned read_closed_event = 0;  // plain POSIX: read() says so
#endif
  static constexpr std::uint32_t near = 64;  // so many idle ones, and one for each active one, stay
  static constexpr std::uint32_t none = UINT32_MAX, mask = detail::power_of_two_above(2 * N) - 1;
  // Idle entries are passed in blocks. Within, what fits into two registers is OR-ed as a whole, and then read as entries
  // again, in whichever order their bytes are: one instruction for an entry, or two with 32 bits.
  using Lump [[gnu::vector_size(2 * sizeof(std::uintptr_t))]] = std::uintptr_t;
  static constexpr std::uint32_t lump = sizeof(Lump) / sizeof(pollfd), block = 16;
  static bool is_idle(const pollfd* entries) {  // all of a block
    Lump sum = {}, more;
#pragma GCC unroll 16
    for (std::uint32_t i = 0; i < block; i += lump) {
      ::memcpy(&more, __builtin_assume_aligned(entries + i, sizeof more), sizeof more);
      sum |= more;
    }
    pollfd all[lump];
    ::memcpy(all, &sum, sizeof all);
    return (all[0].revents | all[lump - 1].revents) == 0;
  }
  std::size_t next(std::size_t at) const {  // the first with events from there on; count_ if there is none
    const std::size_t whole = count_ - count_ % block;
    while (at < count_) {
      if (at % block == 0)
        while (at != whole && is_idle(&fds_[at])) at += block;
      for (const std::size_t stop = at < whole ? at - at % block + block : count_; at != stop; ++at)
        if (fds_[at].revents != 0) return at;
    }
    return at;
  }
  void set(std::uint32_t position, int fd, Interest interest, std::uint64_t token) {
    const unsigned events = detail::bits(interest) | (any(interest & Interest::read) ? read_closed_event : 0u);
    fds_[position] = {fd, static_cast<short>(events), 0};
    tokens_[position] = token;
  }
  static std::uint32_t home(int fd) {  // Knuth, volume 3, section 6.4: multiplied, the dense numbers are spread out
    return (static_cast<std::uint32_t>(fd) * 2654435769u) >> __builtin_clz(mask);
  }
  void swap(std::size_t a, std::size_t b) {
    std::swap(index_[find(fds_[a].fd)], index_[find(fds_[b].fd)]);
    std::swap(fds_[a], fds_[b]), std::swap(tokens_[a], tokens_[b]);
  }
  std::uint32_t find(int fd) const {
    std::uint32_t cell = home(fd);
    while (index_[cell] != 0 && fds_[index_[cell] - 1].fd != fd) cell = (cell + 1) & mask;
    return index_[cell] != 0 ? cell : none;
  }
  void erase(std::uint32_t hole) {  // Knuth, volume 3, section 6.4, algorithm R: no tombstones
    for (std::uint32_t cell = (hole + 1) & mask; index_[cell] != 0; cell = (cell + 1) & mask) {
      const std::uint32_t wanted = home(fds_[index_[cell] - 1].fd);
      if (((cell - wanted) & mask) >= ((cell - hole) & mask)) index_[std::exchange(hole, cell)] = index_[cell];
    }
    index_[hole] = 0;
  }
  alignas(Lump) pollfd fds_[N] = {};
  std::uint64_t tokens_[N] = {};
  std::uint32_t index_[mask + 1] = {};   // cells: 0 free, else position + 1
  std::uint32_t count_ = 0, start_ = 0;  // where the next answer begins
};
template <std::size_t N> using DefaultSelector = EpollSelector<N>;

// =====================================================================================================================
// 6. Reactor
// =====================================================================================================================
class FrameSource;
class Reactor;
class Signals;
class Source;
class Task;
class TaskGroupBase;
class TaskHandle;
class TaskPoolBase;
class Waker;
// What one resumption of a task returns: pending, done(), or failed(error).
struct [[nodiscard]] Step {
  constexpr Step(Pending) : code(-1) {}
  constexpr explicit Step(int ended_with) : code(ended_with) { MOTE_ASSERT(code >= 0); }
  constexpr bool is_pending() const { return code < 0; }
  int code;  // 0: done; else the errno value it failed with
};
constexpr Step done() { return Step(0); }
constexpr Step failed(Error error) { return Step(error.code()); }

// How a task ended. A task that fails with ECANCELED, or is destroyed before its end, counts as cancelled.
struct Outcome {
  enum class Kind : std::uint8_t { none, done, failed, cancelled };
  Kind kind = Kind::none;
  Error error;  // of a failed one
};
namespace detail {
// A place where one task can be noted as waiting. Neither side dangles: a task that ends leaves all such places, and who
// has one clears it at the end. It stays linked after a wake-up, so waiting again for the same thing costs nothing.
struct Waiter : ListNode {
  void wait(Task& task, std::uint32_t what = 1) {
    if (task_ != &task) attach(task);
    waits_ = what;
  }
  bool notify() { return waits_ != 0 && (wake(), true); }  // whether somebody waited, and has been woken
  void wake();                                             // the one who waits
  void clear() {                                           // it is linked as long as somebody is noted
    if (linked()) unlink(), task_ = nullptr, waits_ = 0;
  }
  bool taken_by_other(const Task& task) const { return waits_ != 0 && task_ != &task; }
  void leave(const Task& task) { task_ == &task ? clear() : void(); }
  void attach(Task& task);
  Task* task_ = nullptr;
  std::uint32_t waits_ = 0;  // for what, where there are several things; 0: it does not wait now
};

// A task's place in a queue. Let out, or by the queue's end, it still names the queue, until the task has seen so; with
// `task` null when the queue is no more, and must not be touched.
struct QueuePlace : ListNode {
  void leave();  // for good; whoever is the next then has a look
  struct WaitQueue* queue = nullptr;
  Task* task = nullptr;
};
// Tasks to be stepped. A ring before its first use, so that nobody has to ask whether it is one.
struct RunQueue : List<Task, Hook<0>> {
  bool empty() const { return head_.next == &head_; }
  Task* pop();                     // of one that is not empty
  void take_all(RunQueue& other);  // that is not empty, as this one is
  void push(ListNode& node) {
    MOTE_ASSERT(!node.linked() && head_.linked());
    ListNode* const last = head_.prev;
    node.next = &head_, head_.prev = &node;
    last->next = &node, node.prev = last;
  }
};
struct EndHook {  // called by way of a pointer, so that a program without task groups has nothing of them
  void (*ended)(Task&) = nullptr;
};
enum class Line : std::uint32_t {};  // of an await; no integer, so that a `switch` around one does not compile
}  // namespace detail
// The control block of a task: a part of its pool's slot, outside the task's own object. Only the loop's thread uses it.
//
//   free --spawn--> queued --run queue--> running --pending--> suspended --wake, cancel--> queued
//                                          `--done, failed--> finished --handle dropped or none--> free
// Size on a 32-bit board: 136 bytes.
class Task : public detail::Hook<0> {
 public:
  Reactor& reactor() const;
  // It runs in the next turn. Waking twice is waking once; a task that has ended is not touched.
  void wake() { state_ == State::live ? queue() : void(); }
  // Makes the operation that is pending, or else the next one, answer ECANCELED: once, from the run queue. What had
  // completed by then keeps its result, and the next operation is the one that answers. Where shields are up, it waits.
  void cancel() {
    if (state_ != State::live) return;
    if (shields_ != 0) return static_cast<void>(cancel_held_ = true);
    request_cancellation(), wake();
  }
  bool cancel_requested() const { return is_being_cancelled() || cancel_held_; }  // and not yet answered
  // Which run queue it is in: 0, the lowest and the one it starts in, to Config::priorities - 1. EINVAL: no such.
  Result<void> set_priority(std::uint32_t level);
  bool is_alive() const { return state_ == State::live; }
  const char* name() const;                             // T::name, or as the compiler spells its type: "Echo]"
  std::uint32_t line() const { return line_; }          // the source line at which it is suspended; 0 before its first
  const char* waits_for() const { return waits_for_; }  // in words; null if it is queued
  Instant since() const { return since_; }  // suspended at this time, as far as the reactor looked at the clock then

  // For operations. enter() comes before the work: true allows it; else `answer` is not_yet (this task has had its share
  // of the turn, and is queued again) or ECANCELED. suspend() says what is waited for.
  bool enter(Error& answer) { return charge() || (answer = refuse(), false); }
  bool may_look(Error& answer) { return budget_ > 0 || looks_at_last(answer); }  // at a result
  bool charge() { return --budget_ >= 0; }
  Error refuse() {  // what enter() answers then
    if (!giving_up_ && !is_being_cancelled()) return wake(), suspend("its next turn");
    if (!giving_up_) request_cancellation(false);
    return ECANCELED;
  }
  void grant_one() {  // to one part of several
    budget_ = budget_ > 0 || is_being_cancelled() || giving_up_ ? budget_ : 1;
  }
  Error suspend(const char* what) { return waits_for_ = what, detail::not_yet; }
  // Attempts are made only to have operations leave where they wait: they answer ECANCELED, and none completes.
  bool give_up(bool on, std::int32_t budget = 0) {
    return budget_ = is_being_cancelled() ? 0 : budget, std::exchange(giving_up_, on);
  }
  bool is_giving_up() const { return giving_up_; }
  std::int32_t budget() const { return budget_; }
  // Makes the next attempt answer ECANCELED, for operations that are made of others.
  void request_cancellation(bool on = true) { budget_ = share_ = on ? 0 : std::uint8_t{limits::operations_per_step}; }
  bool is_being_cancelled() const { return share_ == 0; }
  bool take_held_cancellation() { return std::exchange(cancel_held_, false); }
  void raise_shield() {  // cancel() has no effect until every shield is lowered again
    if (is_being_cancelled()) cancel_held_ = true, request_cancellation(false);
    MOTE_ASSERT(shields_ != UINT8_MAX), ++shields_;
  }
  void lower_shield() { --shields_ == 0 && std::exchange(cancel_held_, false) ? cancel() : void(); }
  void shield_operation(bool on) {  // the one that is pending, until it completes or is given up
    if (std::exchange(operation_shielded_, on) != on) on ? raise_shield() : lower_shield();
  }
  bool& operation_shield() { return operation_shielded_; }     // whether that is up
  detail::QueuePlace* place(const detail::WaitQueue* queue) {  // its place there, or null; of no queue: a free one
    for (auto& place : places_)
      if (place.queue == queue) return &place;
    return nullptr;
  }
  std::uint32_t& resume_line() { return line_; }  // for MOTE_BEGIN and MOTE_AWAIT
 protected:
  constexpr Task() = default;
 private:
  friend class Reactor;
  friend class TaskGroupBase;
  friend class TaskPoolBase;
  friend class TaskHandle;
  friend class TaskRef;
  friend struct detail::Waiter;
  friend struct detail::WaitQueue;
  enum class State : std::uint8_t { free, live, ending, finished };
  MOTE_COLD bool looks_at_last(Error& answer) {
    return (is_being_cancelled() && !giving_up_) || (answer = refuse(), false);
  }
  void queue() { linked() ? void() : run_queue_->push(*this); }
  bool may_wait() const { return in_queues_ || !waits_.empty(); }
  MOTE_COLD void stop_waiting();  // wherever it is noted, for it ends
  State state_ = State::free;
  std::uint8_t share_ = 0;  // of operations, at the begin of each step: 0 where a cancellation is to be answered
  std::uint8_t shields_ = 0;
  bool in_queues_ = false, operation_shielded_ = false, cancel_held_ = false, giving_up_ = false;
  Step (*step_)(Task&) = nullptr;
  detail::RunQueue* run_queue_ = nullptr;  // its reactor's, of its priority
  TaskPoolBase* pool_ = nullptr;
  TaskHandle* handle_ = nullptr;
  detail::List<detail::Waiter> waits_;  // where it is noted as the one who waits
  detail::QueuePlace places_[limits::queues_per_task];
  detail::Waiter joiner_;  // who waits for its end
  const char* waits_for_ = nullptr;
  std::uint32_t line_ = 0, generation_ = 0;
  std::int32_t budget_ = 0;  // operations left in this step
  int code_ = 0;
  Instant since_{};
};

// What functions that return `auto` give, to be awaited: poll() makes an attempt, whose Result<T> says what is awaited (T
// is named in the function: operation<T>, trying<T>), or which notes the task as waiting.
template <class T, class Attempt> struct [[nodiscard]] Operation {
  Attempt attempt;
  Poll<Result<T>> poll(Task& task) { return attempt(task); }
};
namespace detail {
template <class T, class Attempt> Operation<T, Attempt> operation(Attempt attempt) { return {attempt}; }

inline Task* RunQueue::pop() {
  ListNode* const node = head_.next;
  head_.next = node->next, node->next->prev = &head_;
  return node->next = nullptr, from(node);
}
inline void RunQueue::take_all(RunQueue& other) {
  ListNode *const first = other.head_.next, *const last = other.head_.prev;
  head_.next = first, first->prev = &head_, other.head_.next = &other.head_;
  head_.prev = last, last->next = &head_, other.head_.prev = &other.head_;
}
inline void Waiter::wake() {
  MOTE_ASSERT(task_ != nullptr);
  waits_ = 0, task_->queue();
}
inline void Waiter::attach(Task& task) {
  clear();
  task_ = &task;
  task.waits_.push_back(*this);
}

// Tasks that wait for the same thing, in order of arrival. Only the first may take it; when the first leaves, for
// whatever reason, the next is woken to have a look: so what is there never waits for a task that has gone.
struct WaitQueue {
  ~WaitQueue() {
    while (QueuePlace* const place = places_.pop_front()) std::exchange(place->task, nullptr)->wake();
  }
  Error wait(Task& task, const char* what) {  // ENOBUFS: it stands in too many queues
    QueuePlace* place = task.place(this);
    if (place == nullptr) place = task.place(nullptr);
    if (place == nullptr) return Error(ENOBUFS);
    place->queue = this, place->task = &task, task.in_queues_ = true;
    if (!place->linked()) places_.push_back(*place);
    return task.suspend(what);
  }
  void notify(std::size_t n = 1) {  // the first n have a look
    for (QueuePlace* place = places_.front(); place != nullptr && n-- != 0; place = places_.after(*place))
      place->task->wake();
  }
  void let_out() {  // all of them, whatever is there when they have their look
    while (QueuePlace* const place = places_.pop_front()) place->task->wake();
  }
  void forget(Task& task) {  // where all of them are woken together
    if (QueuePlace* const place = task.place(this)) place->unlink(), place->queue = nullptr;
  }
  // An attempt that may not be made now: the task stands in line all the same. Cancelled or given up, it leaves.
  Error refuse(Task& task, QueuePlace* place, Error answer) {
    return answer != ECANCELED ? wait(task, "its next turn") : place != nullptr ? (place->leave(), answer) : answer;
  }
  bool is_next(const QueuePlace* place) { return places_.empty() || places_.front() == place; }
  List<QueuePlace> places_;
};
inline void QueuePlace::leave() {
  WaitQueue* const from = std::exchange(queue, nullptr);
  if (!linked()) return;
  const bool first = from->places_.front() == this;
  unlink();
  if (first) from->notify();
}

// An attempt at what one task waits for at a time: result() gives it, or EAGAIN.
template <class R, class GetResult> R attempt(Task& task, Waiter& waiter, const char* what, GetResult&& get_result) {
  Error answer;
  if (!task.may_look(answer)) return answer != ECANCELED ? void() : waiter.leave(task), answer;
  R result = get_result();
  if (result || result.error() != EAGAIN) return task.charge(), std::move(result);
  if (waiter.taken_by_other(task)) return Error(EBUSY);
  if (!task.enter(answer)) return answer != ECANCELED ? void() : waiter.leave(task), answer;
  waiter.wait(task);
  return task.suspend(what);
}
// And at what many wait for: get_result(whether the task has been let out) when it is this task's turn.
template <class R, class GetResult> R attempt(Task& task, WaitQueue& queue, const char* what, GetResult&& get_result) {
  QueuePlace* const place = task.place(&queue);
  const bool is_out = place != nullptr && !place->linked();
  if (is_out && place->task == nullptr) return place->leave(), Error(ECANCELED);  // the queue is no more
  Error answer;
  if (!task.may_look(answer)) return is_out && answer != ECANCELED ? answer : queue.refuse(task, place, answer);
  if (is_out || queue.is_next(place)) {
    R result = get_result(is_out);
    if (result || result.error() != EAGAIN) {
      if (place != nullptr) place->leave();
      return task.charge(), std::move(result);
    }
  }
  return task.enter(answer) ? queue.wait(task, what) : queue.refuse(task, place, answer);
}
}  // namespace detail
inline void Task::stop_waiting() {
  for (auto& place : places_) place.leave();
  while (detail::Waiter* const waiter = waits_.front()) waiter->clear();
}

using Handler = Delegate<void(Readiness)>;  // called with what the kernel reports of a descriptor
// Names a registration. One that has been removed is not found again, even when its slot is in use once more.
struct Registration {
  std::uint32_t slot = 0, generation = 0;  // generation 0: none
  constexpr explicit operator bool() const { return generation != 0; }
};
namespace detail {
// A descriptor's slot. `wanted` is what should be armed, `known` what the kernel was told. Where a handler is set,
// events go to it; else they wake the tasks that wait. Size on a 32-bit board: 72 bytes.
struct Slot {
  enum Flag : std::uint16_t {
    in_set = 0x01,        // the selector has it
    always_ready = 0x02,  // a regular file or its kin: EPERM from epoll
    muted = 0x04,         // an event came that its handler had not asked for: out of the set until modified
    listening = 0x08,     // closed when a shutdown begins
    is_socket = 0x10,
    is_tty = 0x20,
    connecting = 0x40,
    blocking = 0x80,    // not ours to make non-blocking: used only when reported ready
    is_stream = 0x100,  // a socket of type SOCK_STREAM
    is_tcp = 0x200      // and of our making: a short read says that nothing is left, so its edges will do
  };
  // How the next attempt at reading or writing goes; 0: it waits until the kernel reports.
  enum Way : std::uint8_t {
    ready = 1,   // worth trying; not after a short one or EAGAIN, until reported
    unread = 2,  // a short one says nothing (the peer has closed): read on until EAGAIN
    special = 4  // no stream socket, or not only read from, or it has had urgent data
  };
  int fd = 0;
  std::uint32_t generation = 0, next_free = 0;
  std::uint32_t released_in = 0;  // the turn whose events were the last when it was released
  Interest wanted = Interest::none, known = Interest::none;
  std::uint8_t reading = 0, writing = 0;  // Ways
  Readiness last = Readiness::none;       // what was reported last, but for plain data
  std::uint32_t flags = 0;
  Source* owner = nullptr;
  Handler handler;
  Waiter reader, writer;  // waits_: the Interest
  bool is(Flag flag) const { return (flags & flag) != 0; }
  void set(Flag flag, bool on = true) { flags = on ? flags | flag : flags & ~unsigned{flag}; }
  bool may_read() const { return (reading & ready) != 0; }
  bool may_write() const { return (writing & ready) != 0; }
};
constexpr unsigned waits_in_special = 0x100;  // in waits_: not for data alone
}  // namespace detail

// What has happened in a reactor so far. Read it whenever you like; nothing depends on it.
struct Statistics {
  std::uint32_t descriptors = 0, descriptors_high = 0, tasks = 0, tasks_high = 0, timers_high = 0;
  std::uint32_t stale_events = 0, selector_rebuilds = 0;  // events of what was removed, which at worst take a rebuild
  std::uint64_t turns = 0, events = 0, steps = 0, timers_fired = 0;
  std::uint64_t tasks_spawned = 0, tasks_ended = 0, tasks_failed = 0, tasks_destroyed = 0;
  Duration longest_step{};  // measured while a slow-step threshold is set
};

// What an observer is told, at the moment it happens.
struct Observation {
  enum Kind : std::uint8_t {
    task_failed,      // and nobody holds its handle; `error` says why
    slow_step,        // `task` ran for `duration`, at least the threshold
    table_full,       // no slot for one more descriptor
    selector_rebuilt  // pollable_descriptor() is another one now
  };
  Kind kind;
  const Task* task = nullptr;
  Error error;
  Duration duration{};
};
using Observer = Delegate<void(const Observation&)>;

// For StaticReactor. Override by name: struct Config : mote::Config { static constexpr std::size_t descriptors = 200; };
struct Config {
  static constexpr std::size_t descriptors = 64;                 // registered at a time
  static constexpr std::size_t batch = 256;                      // events taken from one wait, at most
  static constexpr std::size_t priorities = 1;                   // of tasks: run queues
  template <std::size_t N> using Selector = DefaultSelector<N>;  // or EpollSelector, PollSelector, NoSelector
};
template <std::size_t N> struct NoSelector {};  // for a reactor whose selector is chosen at run time, for open()

// A function to be called at an instant. Owned by its user: there is no limit to their number, and arming cannot fail.
// It must not move while armed; its destructor cancels it. Timers that are due fire in order of deadline, equal ones in
// order of arming, and none before its time. All calls are allowed in every callback. Size on a 32-bit board: 48 bytes.
class Timer : private detail::TimerNode {
 public:
  using Callback = Delegate<void()>;
  ~Timer() { cancel(); }
  // Once, `delay` from now (the clock is read). Zero or less: in this turn or the next, after its events.
  void arm(Reactor& reactor, Duration delay, Callback callback);
  void arm_at(Reactor& reactor, Instant deadline, Callback callback) { start(reactor, deadline, 0, callback); }
  // At now + period, then at every further period, without drift: a late tick does not shift the next; ticks that went
  // by meanwhile are counted in missed() and skipped. A period of less than 1 ns counts as 1 ns.
  void arm_every(Reactor& reactor, Duration period, Callback callback);
  // Again, `delay` after the time at which this turn's events were received: the idle timeout. Needs an earlier arm.
  // A later deadline is only noted, and the clock is not read again.
  void rearm(Duration delay);
  bool cancel();  // whether it was armed
  bool armed() const { return linked(); }
  Instant deadline() const { return Instant(Duration(TimerNode::deadline)); }
  std::uint32_t missed() const { return missed_; }  // ticks skipped before the one that fired last
 private:
  friend class Reactor;
  void start(Reactor& reactor, Instant deadline, std::int64_t period, Callback callback);
  static void expire(Reactor& reactor, bool fire);  // fires those that are due; or cancels all
  void fire();
  Reactor* reactor_ = nullptr;
  std::int64_t period_ = 0;  // ns; 0: once
  Callback callback_;
  std::uint32_t missed_ = 0;
};

// The loop. All user code refers to this class; StaticReactor adds the storage. Everything belongs to the thread that
// runs it, except stop(), which any thread and any signal handler may call.
// A turn: 1 step the tasks that were ready when it began; 2 compute the time-out; 3 wait; 4 dispatch one batch of
// events; 5 fire the timers that were due when this phase began. What a phase wakes runs in the next turn. So the work
// of a turn is bounded: no socket, timer or task keeps the others from their share.
// Errors: ENXIO: open() has not been called · EBUSY: run() inside of run().
class Reactor : detail::Pinned {
  using Slot = detail::Slot;
 public:
  // Runs until stop(), or until there is nothing left that could ever happen: no task, timer, descriptor or waker.
  // EDEADLK: tasks are left, but nothing that could wake them · EBADF and kin: the selector is beyond repair.
  Result<void> run() { return run_until(Instant::max()); }
  Result<void> run_for(Duration duration) { return run_until(saturating_add(Clock::now(), duration)); }
  // One turn, which waits for `timeout` at most. Returns how many steps, events and timers there were.
  Result<std::uint32_t> run_once(Duration timeout = forever) {
    Instant limit = timeout == forever ? Instant::max() : Instant::min();
    if (timeout > Duration::zero() && timeout != forever) limit = saturating_add(Clock::now(), timeout);
    const std::uint64_t before = stats_.steps + stats_.events + stats_.timers_fired;
    const Result<void> done = take_turns(limit, true);
    if (!done) return done.error();
    return static_cast<std::uint32_t>(stats_.steps + stats_.events + stats_.timers_fired - before);
  }
  // Ends run() at the end of this turn; or, called before, the next run() at once. From another thread or a signal handler
  // it needs wake-ups to be enabled (by a Waker, Mailbox, Signals, or enable_wakeups()).
  void stop() { stop_.store(1, std::memory_order_release), notify(); }
  bool running() const { return running_; }
  bool is_open() const { return selector_ != nullptr; }
  // The time at which this turn's events were received; read from the clock when it is first asked for.
  Instant now() { return now_known_ ? now_ : read_clock(); }

  // Registers a descriptor with a handler; the descriptor stays the caller's. The handler is called in phase 4 with what
  // is ready, again and again while it stays so. hangup and error come unasked; where an event carries nothing that was
  // asked for, it is delivered once, and the next comes after modify(). The handler may do anything, also remove itself.
  // EBADF · EEXIST: registered already (found out in O(descriptors)) · ENOBUFS: the table is full · ENOMEM, ENOSPC: the
  // kernel's limits.
  Result<Registration> add(int fd, Interest interest, Handler handler) {
    MOTE_ASSERT(handler);
    Slot* claimed = nullptr;
    if (const Result<void> found = claim(fd, claimed); !found) return found.error();
    Slot& slot = *claimed;
    set_handler(slot, handler);
    const Result<void> added = want(slot, interest);
    if (added) return Registration{static_cast<std::uint32_t>(&slot - slots_), slot.generation};
    return release(slot), added.error();
  }
  Result<void> modify(Registration registration, Interest interest) {  // ENOENT: no longer there · ENOMEM
    Slot* const slot = find(registration);
    if (slot == nullptr) return Error(ENOENT);
    return slot->set(Slot::muted, false), want(*slot, interest);
  }
  // After it no event of the registration is delivered, even if one has been received. Remove first, then close. It and
  // Source::close() wake all tasks that wait for a free slot, and take as long.
  Result<void> remove(Registration registration) {  // ENOENT
    Slot* const slot = find(registration);
    if (slot == nullptr) return Error(ENOENT);
    return drop_from_set(*slot), release(*slot), Result<void>();
  }
  std::uint32_t vacancies() const { return capacity_ - stats_.descriptors; }

  // For running inside another loop: wait until this descriptor is readable or the deadline has come, then call
  // run_once(Duration::zero()). -1 with poll, which has none.
  int pollable_descriptor() const { return selector_ != nullptr ? selector_->descriptor() : -1; }
  Instant next_deadline() const {  // Instant::min() if there is work at once, Instant::max() if there is no timer
    if (selector_ == nullptr) return Instant::max();
    return work_at_once() ? Instant::min() : timers_.empty() ? Instant::max() : Instant(Duration(timers_.next()));
  }

  // To be called in a child after fork(), before anything else of the reactor: makes a selector and a wake-up
  // descriptor of the child's own. A child that only execs, or only closes what it inherited, need not call it.
  Result<void> after_fork_in_child() {  // EMFILE ENFILE ENOMEM
    if (selector_ == nullptr) return Error(ENXIO);
    if (wake_fd_) {
      Fd fresh(System::event_fd());
      if (!fresh) return detail::last_error();  // EMFILE ENFILE ENOMEM
      wake_fd_ = std::move(fresh), slots_[0].fd = wake_fd_.get();
    }
    forget_other_threads();
    return rebuild();
  }
  // Makes the descriptor by which other threads and signal handlers wake the loop. EMFILE ENFILE ENOMEM.
  Result<void> enable_wakeups() {
    if (selector_ == nullptr) return Error(ENXIO);
    if (wake_fd_) return {};
    Fd fresh(System::event_fd());
    if (!fresh) return detail::last_error();  // EMFILE ENFILE ENOMEM; ENODEV cannot be
    slots_[0].fd = fresh.get(), slots_[0].generation = 1;
    slots_[0].handler = Handler::of<&Reactor::drain_wake_descriptor>(*this);
    const Result<void> added = want(slots_[0], Interest::read);
    if (added) wake_fd_ = std::move(fresh), process_ = System::process();
    return added;
  }
  const Statistics& stats() const { return stats_; }
  void observe(Observer observer) { observer_ = observer; }  // without one, failures nobody joins go to standard error
  void set_slow_step_threshold(Duration threshold) {         // 0: off; else two clock reads a step
    slow_step_ = threshold, measured_ = threshold != Duration::zero() ? &Reactor::run_measured : nullptr;
  }
  // Where coroutines that are given nothing but this reactor, or what is open in it, take their frames. See section 12.
  void set_frame_pool(FrameSource& pool) { frame_pool_ = &pool; }
  FrameSource* frame_pool() const { return frame_pool_; }
  template <class F> void for_each_task(F&& visit);  // visit(Task&): all live ones; what, where, since when. O(pools)
  void cancel_all_tasks() { static_cast<void>(end_all_tasks(false)); }
  std::uint32_t destroy_all_tasks() { return end_all_tasks(true); }  // but not the running one; returns how many
  void close_listeners();
 protected:
  constexpr Reactor() = default;
  ~Reactor() = default;  // who has the storage closes it before that goes
  void attach(Selector& selector, Slot* slots, std::uint32_t capacity, Ready* batch, std::uint32_t batch_size) {
    ready_.ring(), running_tasks_.ring();
    edges_ = selector.can_report_edges() ? detail::by_edges : Interest::none;
    selector_ = &selector, slots_ = slots, capacity_ = capacity, batch_ = batch, batch_size_ = batch_size;
  }
  void attach(detail::RunQueue* higher, std::uint32_t levels) {
    higher_ = higher, higher_levels_ = levels, run_higher_ = &Reactor::run_higher;
    for (std::uint32_t i = 0; i < levels; ++i) higher[i].ring();
  }
  void close();
 private:
  friend class Timer;
  friend class Task;
  friend class TaskPoolBase;
  friend class TaskHandle;
  friend class Source;
  friend class Listener;
  friend class Waker;
  friend class GracefulShutdown;
  enum Sleep : std::uint32_t { asleep, awake, notified };  // of sleep_; asleep also while not running
  // What makes a turn differ from most others, in attention_.
  enum Attention : std::uint32_t {
    woken = 1,         // by another thread or a signal handler
    draining = 2,      // a shutdown's run, that ends with the last task
    rebuilding = 4,    // the selector is to be made anew
    never_waiting = 8  // some handlers' descriptors are always ready, or have been until now
  };
  Instant read_clock() { return now_known_ = true, now_ = Clock::now(); }
  bool attends_to(std::uint32_t what) const { return (attention_ & what) != 0; }
  void attend_to(Attention what, bool on = true) { attention_ = on ? attention_ | what : attention_ & ~unsigned{what}; }
  bool work_at_once() const { return attends_to(woken | never_waiting) || has_ready_task(); }
  bool has_ready_task() const {
    for (std::uint32_t i = 0; i < higher_levels_; ++i)
      if (!higher_[i].empty()) return true;
    return !ready_.empty() || !running_tasks_.empty();
  }
  bool is_quiet() const { return attention_ + stop_.load(std::memory_order_acquire) == 0; }
  bool is_drained() const { return attends_to(draining) && stats_.tasks == 0 && holds_ == 0; }
  bool is_over() const { return stop_.load(std::memory_order_acquire) != 0 || is_drained(); }
  bool nothing_can_happen() const {
    return stats_.descriptors == 0 && inbox_size_ == background_ && timers_.empty() && !work_at_once();
  }
  Result<void> run_until(Instant limit) { return take_turns(limit, false); }
  Result<void> take_turns(Instant limit, bool once) {
    if (selector_ == nullptr || running_) return Error(running_ ? EBUSY : ENXIO);
    const bool endless = !once && limit == Instant::max(), plain = endless && run_higher_ == nullptr;
    Result<void> done;
    enter();
    while (is_quiet() || once || !is_over()) {
      if (endless && nothing_can_happen()) {
        if (stats_.tasks != 0) done = Error(EDEADLK);
        break;
      }
      done = turn(limit, plain);
      if (!done || (!endless && (once || (limit != Instant::max() && now() >= limit)))) break;
    }
    if (!once) stop_.store(0, std::memory_order_relaxed);
    return leave(), done;
  }
  // Outside of run() the loop counts as asleep, so that a wake-up makes the pollable descriptor readable.
  void enter() {
    running_ = true;
    if (sleep_.exchange(awake, std::memory_order_acq_rel) == notified) attend_to(woken);
  }
  void leave() {
    running_ = false;
    if (wake_fd_ && sleep_.exchange(asleep, std::memory_order_acq_rel) == notified) notify();
  }
  // Plain: without limit, and with no queue but ready_.
  [[gnu::always_inline]] Result<void> turn(Instant limit, bool plain) {
    std::uint32_t most = UINT32_MAX;
    if (run_higher_ != nullptr) run_higher_(*this), most = limits::steps_below;
    run_tasks(ready_, most);
    Duration timeout = forever;
    if (!(plain && ready_.empty() && is_quiet() && timers_.empty() && stats_.descriptors != 0))
      timeout = time_to_wait(limit);
    const bool may_sleep = wake_fd_ && timeout > Duration::zero();
    // Whoever wakes us while we are awake spares the system call: seen here at the latest.
    if (wake_fd_ && (may_sleep || sleep_.load(std::memory_order_relaxed) == notified)) {
      const bool called = sleep_.exchange(may_sleep ? asleep : awake, std::memory_order_acq_rel) == notified;
      if (called) attend_to(woken), timeout = Duration::zero();
    }
    const Result<std::size_t> events = selector_->wait_once(batch_, batch_size_, timeout);
    // Should this overwrite `notified`, the one who set it found us asleep and has written to the wake-up descriptor.
    if (may_sleep) sleep_.store(awake, std::memory_order_relaxed);
    now_known_ = false;
    ++stats_.turns;
    if (!events && events.error() != EINTR) return events.error();
    const std::size_t received = events ? *events : 0;
    stats_.events += received;
    for (const Ready *ready = batch_, *const end = ready + received; ready != end; ++ready) dispatch(*ready);
    if (attention_ != 0)
      if (const Result<void> attended = attend(); !attended) return attended;
    if (!timers_.empty() && now().time_since_epoch().count() >= timers_.next()) fire_timers();
    return {};
  }
  // All of the highest priority, and of each other one a few: how long the highest waits does not depend on the others.
  MOTE_COLD static void run_higher(Reactor& self) {
    std::uint32_t most = UINT32_MAX;
    for (std::uint32_t level = self.higher_levels_; level != 0; --level, most = limits::steps_below)
      self.run_tasks(self.higher_[level - 1], most);
  }
  [[gnu::always_inline]] void run_tasks(detail::RunQueue& queue, std::uint32_t most) {
    if (queue.empty()) return;
    running_tasks_.take_all(queue);  // what they wake, themselves included, runs in the next turn
    do {
      Task* const task = current_ = running_tasks_.pop();
      task->budget_ = task->share_;
      task->waits_for_ = nullptr;
      ++stats_.steps;
      const Step step = measured_ == nullptr ? task->step_(*task) : measured_(*this, *task);
      if (step.is_pending()) task->since_ = now_;
      else current_ = nullptr, finish(*task, step.code);
    } while (!running_tasks_.empty() && --most != 0);
    current_ = nullptr;
    if (!running_tasks_.empty()) running_tasks_.take(queue), queue.take_all(running_tasks_);  // before what came since
  }
  MOTE_COLD static Step run_measured(Reactor& reactor, Task& task) {
    const Instant start = Clock::now();
    const Step step = task.step_(task);
    const Duration taken = Clock::now() - start;
    if (taken > reactor.stats_.longest_step) reactor.stats_.longest_step = taken;
    if (taken >= reactor.slow_step_) reactor.report({Observation::slow_step, &task, {}, taken});
    return step;
  }
  [[gnu::noinline]] Duration time_to_wait(Instant limit) {
    if (work_at_once() || is_over()) return Duration::zero();
    Instant next = limit;
    if (!timers_.empty() && Instant(Duration(timers_.next())) < next) next = Instant(Duration(timers_.next()));
    if (next == Instant::max()) return nothing_can_happen() ? Duration::zero() : forever;
    if (next <= now_) return Duration::zero();
    const Instant fresh = read_clock();  // again: the steps may have taken long
    return next > fresh ? next - fresh : Duration::zero();
  }
  [[gnu::always_inline]] void dispatch(const Ready& ready) {
    const auto offset = static_cast<std::uint32_t>(ready.token);
    MOTE_ASSERT(offset <= capacity_ * sizeof(Slot) && offset % sizeof(Slot) == 0);
    Slot& slot = *static_cast<Slot*>(static_cast<void*>(static_cast<char*>(static_cast<void*>(slots_)) + offset));
    const std::uint32_t generation = slot.generation;
    if (generation != static_cast<std::uint32_t>(ready.token >> 32)) return dispatch_stale(slot);
    if (ready.readiness == Readiness::readable && slot.reader.waits_ == detail::bits(Interest::read)) {  // mostly
      slot.reading |= Slot::ready;
      return slot.reader.wake();
    }
    const Handler handler = slot.handler;
    if (!handler) return wake_waiters(slot, ready.readiness);
    if ((detail::bits(ready.readiness) & detail::bits(slot.wanted)) == 0) return call_unasked(slot, ready.readiness);
    handler(ready.readiness);
  }
  // What carries nothing that was asked for cannot be masked, and would come again at once.
  MOTE_COLD void call_unasked(Slot& slot, Readiness readiness) {
    const std::uint32_t generation = slot.generation;
    const Interest wanted = slot.wanted;
    const Handler handler = slot.handler;
    handler(readiness);
    if ((detail::bits(readiness) & asked_for(wanted)) != 0) return;  // read_closed
    if (slot.generation == generation && slot.wanted == wanted) slot.set(Slot::muted), drop_from_set(slot);
  }
  static constexpr unsigned asked_for(Interest interest) {
    return detail::bits(interest) | (any(interest & Interest::read) ? detail::bits(Readiness::read_closed) : 0u);
  }
  // A task's descriptor. Whoever waits is woken; a direction for which nobody waits is disarmed, so that it costs one
  // event and one system call, once. Every event does one or the other: none can spin.
  [[gnu::noinline]] void wake_waiters(Slot& slot, Readiness readiness) {
    constexpr Interest reading = Interest::read | Interest::priority;
    constexpr Readiness unread = Readiness::hangup | Readiness::read_closed;
    auto unused = static_cast<Interest>(detail::bits(readiness) & 0x07u);
    if (any(readiness & Readiness::read_closed)) unused |= Interest::read;
    if (any(readiness & (Readiness::hangup | Readiness::error))) unused = reading | Interest::write;
    slot.last = readiness;
    if (any(unused & reading)) slot.reading |= Slot::ready;
    if (any(unused & Interest::write)) slot.writing |= Slot::ready;
    if (any(readiness & unread)) slot.reading |= Slot::unread;
    // At the mark of urgent data recv() reads short, or answers EAGAIN to a pending signal, though there is more.
    if (any(readiness & Readiness::priority)) slot.reading |= Slot::special, slot.wanted &= ~detail::by_edges;
    const Interest awaited = static_cast<Interest>(slot.reader.waits_) & reading;
    if (any(unused & awaited)) slot.reader.wake(), unused &= ~awaited;
    if (any(unused & Interest::write) && slot.writer.notify()) unused &= ~Interest::write;
    if (!any(unused & slot.known) || any(slot.known & detail::by_edges)) return;
    if (slot.reader.waits_ == 0) slot.reader.clear();      // so that its next wait arms it again
    static_cast<void>(want(slot, slot.wanted & ~unused));  // fails: tried again next time
  }
  [[gnu::noinline]] MOTE_COLD Result<void> attend() {
    if (attends_to(never_waiting) && dispatch_always_ready_ != nullptr) dispatch_always_ready_(*this);
    if (const Result<void> whole = attends_to(rebuilding) ? rebuild() : Result<void>(); !whole) return whole;
    if (attends_to(woken)) deliver_wakeups();
    return {};
  }
  void set_handler(Slot& slot, Handler handler) {
    slot.handler = handler, dispatch_always_ready_ = &Reactor::dispatch_always_ready_slots;
  }
  static void dispatch_always_ready_slots(Reactor& reactor) {
    reactor.attend_to(never_waiting, false);
    for (std::uint32_t i = 1; i <= reactor.fresh_; ++i) {
      const Slot& slot = reactor.slots_[i];
      const Handler handler = slot.handler;
      if (!slot.is(Slot::always_ready) || !handler || !any(slot.known)) continue;
      ++reactor.stats_.events, reactor.attend_to(never_waiting), handler(static_cast<Readiness>(slot.known));
    }
  }
  // Either the registration was removed earlier in this batch; or its descriptor was closed while a duplicate, here or in
  // another process, keeps the description alive, and with it the kernel's entry, which nothing but a new set removes.
  MOTE_COLD void dispatch_stale(const Slot& slot) {
    ++stats_.stale_events;
    if (slot.released_in != static_cast<std::uint32_t>(stats_.turns)) attend_to(rebuilding);
  }
  MOTE_COLD Result<void> rebuild() {
    const Result<void> fresh = selector_->rebuild();
    attend_to(rebuilding, !fresh);
    if (!fresh) return fresh;
    ++stats_.selector_rebuilds;
    for (std::uint32_t i = 0; i <= fresh_; ++i) {
      Slot& slot = slots_[i];
      if (!slot.is(Slot::in_set)) continue;
      slot.set(Slot::in_set, false), slot.known = Interest::none;
      const Result<void> added = sync(slot);
      if (added) continue;
      if (i == 0) return slot.set(Slot::in_set), attend_to(rebuilding), added;  // without it nobody could wake us
      slot.reader.notify(), slot.writer.notify();  // closed behind our back, or no memory: they try, and are told
      slot.reader.clear();
      const Handler handler = slot.handler;
      if (handler) handler(Readiness::error);
    }
    return report(Observation::selector_rebuilt), Result<void>();
  }
  [[gnu::noinline]] void fire_timers() {
    if (expire_timers_ != nullptr) expire_timers_(*this, true);
    if (accept_again_ == Instant()) return;
    timers_.forget();
    if (accept_again_ <= now_) accept_again_ = Instant(), ++stats_.timers_fired, retry_accepts();
    else expect_accept_retry();
  }
  [[gnu::noinline]] void expect_accept_retry() { timers_.expect(accept_again_.time_since_epoch().count()); }
  void pause_accepts() {
    if (accept_again_ != Instant()) return;
    accept_again_ = saturating_add(read_clock(), limits::accept_pause);
    expect_accept_retry();
  }
  void notify() {
    if (!wake_fd_ || sleep_.exchange(notified, std::memory_order_acq_rel) != asleep) return;
    const std::uint64_t one = 1;  // EAGAIN: it is full, so the loop is awake already
    detail::retry([&] { return System::write(wake_fd_.get(), &one, sizeof one); });
  }
  void drain_wake_descriptor(Readiness) {
    std::uint64_t count = 0;  // EAGAIN: nothing to drain
    detail::retry([&] { return System::read(wake_fd_.get(), &count, sizeof count); });
    attend_to(woken);
  }
  void retry_accepts() { accept_retry_.notify(SIZE_MAX); }
  void deliver_wakeups();
  void forget_other_threads();
  std::uint32_t end_all_tasks(bool at_once);
  void finish(Task& task, int code);
  MOTE_COLD void tell_end(Task& task, int code);
  [[gnu::noinline]] void destroy(Task& task) {
    MOTE_ASSERT(&task != current_);
    const bool outer = std::exchange(destroying_, true);  // its destructor spawns no others
    ++stats_.tasks_destroyed, finish(task, ECANCELED);
    destroying_ = outer;
  }
  MOTE_COLD void report(Observation::Kind kind, const Task* task = nullptr, Error error = {}) {
    report({kind, task, error, {}});
  }
  MOTE_COLD void report(const Observation& observation) {
    if (observer_) return observer_(observation);
    if (observation.kind != Observation::task_failed) return;
    char line[256];
    const char* const name = observation.task->name();
    ::snprintf(line, sizeof line, "mote: task %.*s failed after line %u: %s\n", static_cast<int>(::strcspn(name, ";]")),
               name, static_cast<unsigned>(observation.task->line()), observation.error.message());
    static_cast<void>(System::write(STDERR_FILENO, line, ::strlen(line)));
  }
  Result<void> claim(int fd, Slot*& claimed) {
    if (selector_ == nullptr) return Error(ENXIO);
    if (fd < 0) return Error(EBADF);
    std::uint32_t index = free_;
    if (index != 0) {
      free_ = slots_[index].next_free;
    } else if (fresh_ < capacity_) {
      index = ++fresh_, slots_[index].generation = 1;
    } else {
      report(Observation::table_full, nullptr, Error(ENOBUFS));
      return Error(ENOBUFS);
    }
    if (++stats_.descriptors > stats_.descriptors_high) stats_.descriptors_high = stats_.descriptors;
    return claimed = &slots_[index], claimed->fd = fd, Result<void>();
  }
  void release(Slot& slot) {
    if (slot.is(Slot::listening)) accept_retry_.notify(SIZE_MAX);
    slot.reader.notify(), slot.reader.clear();  // an operation that was pending finds its source closed
    slot.writer.notify(), slot.writer.clear();
    if (++slot.generation == 0) slot.generation = 1;
    slot.released_in = static_cast<std::uint32_t>(stats_.turns);
    slot.wanted = slot.known = Interest::none, slot.last = Readiness::none;
    slot.reading = slot.writing = 0;
    slot.flags = 0, slot.owner = nullptr, slot.handler = {};
    slot.next_free = free_, free_ = static_cast<std::uint32_t>(&slot - slots_);
    --stats_.descriptors, table_vacancy_.notify(SIZE_MAX);
  }
  Slot* find(Registration registration) {
    if (registration.slot == 0 || registration.slot > fresh_) return nullptr;
    Slot& slot = slots_[registration.slot];
    return slot.generation == registration.generation && slot.handler ? &slot : nullptr;
  }

  // Makes what the kernel knows equal to what is wanted.
  Result<void> want(Slot& slot, Interest interest) {
    slot.wanted = interest;
    return interest == slot.known && slot.is(Slot::in_set) ? Result<void>() : sync(slot);
  }
  Result<void> sync(Slot& slot) {
    if (slot.is(Slot::always_ready)) {
      slot.known = slot.wanted & (Interest::read | Interest::write);
      if (slot.handler && any(slot.known)) attend_to(never_waiting);
      return {};
    }
    const bool member = any(slot.wanted) || (slot.handler && !slot.is(Slot::muted));
    if (!member) return drop_from_set(slot), Result<void>();
    if (slot.is(Slot::in_set)) {
      const Result<void> modified = tell_selector(slot, true);
      if (modified || modified.error() != ENOENT) return modified;
      drop_from_set(slot);  // closed behind our back, and the number is another file's by now
    }
    const Result<void> added = tell_selector(slot, false);
    if (added || !detail::is_one_of(added.error().code(), EEXIST, EPERM)) return added;
    if (registered_elsewhere(slot)) return Error(EEXIST);
    if (added.error() == EPERM) return slot.set(Slot::always_ready), sync(slot);
    return tell_selector(slot, true);  // what a closed duplicate left behind
  }
  Result<void> tell_selector(Slot& slot, bool known) {
    const Result<void> told = known ? selector_->modify(slot.fd, slot.wanted, token(slot))
                                    : selector_->add(slot.fd, slot.wanted, token(slot));
    if (told) slot.set(Slot::in_set), slot.known = slot.wanted;
    return told;
  }
  void drop_from_set(Slot& slot) {  // ENOENT, EBADF: closed behind our back, which has removed it too
    if (slot.is(Slot::in_set) && !selector_->remove(slot.fd)) selector_->forget(slot.fd);
    slot.set(Slot::in_set, false), slot.known = Interest::none;
    if (slot.reader.waits_ == 0) slot.reader.clear();
  }
  bool registered_elsewhere(const Slot& slot) const {
    for (const Slot* other = slots_; other <= slots_ + fresh_; ++other)
      if (other != &slot && other->fd == slot.fd && (other->flags & (Slot::in_set | Slot::always_ready)) != 0)
        return true;
    return false;
  }
  std::uint64_t token(const Slot& slot) const {
    const auto offset = static_cast<std::size_t>(&slot - slots_) * sizeof(Slot);  // fits: see StaticReactor's capacity
    return std::uint64_t{offset} | std::uint64_t{slot.generation} << 32;
  }
  // Notes the task as waiting for a direction and sees to it that it is armed. EBUSY: another task waits for it, or a
  // handler is called.
  Result<void> wait_for(Slot& slot, Interest direction, Task& task) {
    detail::Waiter& waiter = direction == Interest::write ? slot.writer : slot.reader;
    if (waiter.taken_by_other(task) || slot.handler) return Error(EBUSY);
    const bool plain = (slot.reading & Slot::special) == 0;
    waiter.wait(task, detail::bits(direction) | (plain ? 0u : detail::waits_in_special));
    const Interest wanted = slot.wanted | direction;
    if (wanted == slot.known && !slot.is(Slot::always_ready)) return {};
    const Result<void> armed = want(slot, plain && slot.is(Slot::is_tcp) ? wanted | edges_ : wanted);
    if (!armed) {
      waiter.clear();
    } else if (slot.is(Slot::always_ready)) {
      slot.last = Readiness::readable | Readiness::writable;
      slot.reading |= Slot::ready, slot.writing |= Slot::ready;
      waiter.notify();
    }
    return armed;
  }
  // The words that are used most come first: short instructions reach 124 bytes on Thumb-2 and 127 on x86.
  Interest edges_ = Interest::none;  // detail::by_edges, where the selector knows them
  bool running_ = false, now_known_ = false, destroying_ = false;
  detail::RunQueue ready_;          // of the lowest priority
  detail::RunQueue running_tasks_;  // to be stepped in this turn
  Slot* slots_ = nullptr;           // [0] is for the wake-up descriptor; [1] to [capacity_] are the table
  Ready* batch_ = nullptr;
  Selector* selector_ = nullptr;
  Task* current_ = nullptr;
  void (*run_higher_)(Reactor&) = nullptr;  // null where there is one priority
  std::uint32_t capacity_ = 0, batch_size_ = 0, higher_levels_ = 0;
  std::uint32_t free_ = 0;   // the first free slot that has been used before; 0: none
  std::uint32_t fresh_ = 0;  // slots beyond this one have never been used
  std::uint32_t attention_ = 0;
  std::atomic<std::uint32_t> stop_{0}, sleep_{asleep};
  Fd wake_fd_;
  Statistics stats_;
  pid_t process_ = 0;                              // whose threads and signal handlers wake it
  std::uint32_t inbox_size_ = 0, background_ = 0;  // of which these are no reason to go on running
  std::uint32_t holds_ = 0;                        // of work that is no task, for a shutdown to wait for
  std::uint32_t timer_order_ = 0;
  Instant now_{};
  Instant firing_until_{};              // while timers are fired: the deadlines up to here were due
  detail::RunQueue* higher_ = nullptr;  // [i]: of priority i + 1
  FrameSource* frame_pool_ = nullptr;
  detail::List<TaskPoolBase> pools_;
  detail::List<Waker, detail::Hook<2>> inbox_;
  detail::WaitQueue table_vacancy_;
  detail::WaitQueue accept_retry_;  // listeners that the system refused a descriptor
  Instant accept_again_{};          // when it lets them have another try; 0: they wait for no such time
  void (*expire_timers_)(Reactor&, bool) = nullptr;    // Timer's; null: a program without timers has none of it
  void (*dispatch_always_ready_)(Reactor&) = nullptr;  // likewise of handlers
  Observer observer_;
  Duration slow_step_{};
  Step (*measured_)(Reactor&, Task&) = nullptr;  // run_measured(), where it is wanted
  detail::TimerWheel timers_;
};

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
  Result<void> open() { return open(selector_storage_); }  // Idempotent. EMFILE ENFILE ENOMEM
  template <class S> Result<void> open(S& selector) {      // with a selector of the caller's, which must outlive this
    if (is_open()) return {};
    const Result<void> opened = selector.is_open() ? selector.rebuild() : selector.open();  // used before: starts anew
    if (opened) attach(selector, slot_storage_, C::descriptors, batch_storage_, batch);
    if constexpr (C::priorities > 1) attach(higher_.queues, C::priorities - 1);
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
inline Result<void> Task::set_priority(std::uint32_t level) {
  if (level > reactor().higher_levels_) return Error(EINVAL);
  const bool queued = linked();
  unlink(), run_queue_ = level == 0 ? &reactor().ready_ : &reactor().higher_[level - 1];
  if (queued) wake();
  return {};
}
inline void Timer::start(Reactor& reactor, Instant deadline, std::int64_t period, Callback callback) {
  cancel();
  reactor_ = &reactor, period_ = period, callback_ = callback, reactor.expire_timers_ = &Timer::expire;
  TimerNode::deadline = deadline.time_since_epoch().count();
  order = ++reactor.timer_order_;
  reactor.timers_.insert(*this, reactor.now_.time_since_epoch().count());
  if (reactor.timers_.count() > reactor.stats_.timers_high) reactor.stats_.timers_high = reactor.timers_.count();
}
inline void Timer::arm(Reactor& reactor, Duration delay, Callback callback) {
  start(reactor, saturating_add(reactor.read_clock(), delay), 0, callback);
}
inline void Timer::arm_every(Reactor& reactor, Duration period, Callback callback) {
  if (period < Duration(1)) period = Duration(1);
  start(reactor, saturating_add(reactor.read_clock(), period), period.count(), callback);
}
inline void Timer::rearm(Duration delay) {
  MOTE_ASSERT(reactor_ != nullptr);
  const Instant later = saturating_add(reactor_->now(), delay);
  if (!linked() || later < deadline() || deadline() <= reactor_->firing_until_) {
    return start(*reactor_, later, period_, callback_);
  }
  TimerNode::deadline = later.time_since_epoch().count();
  order = ++reactor_->timer_order_;
}
inline bool Timer::cancel() {
  if (!linked()) return false;
  return reactor_->timers_.erase(*this), true;
}
inline void Timer::expire(Reactor& reactor, bool fire) {
  detail::List<detail::TimerNode> due;
  reactor.firing_until_ = reactor.now_;
  const std::int64_t until = fire ? reactor.now_.time_since_epoch().count() : INT64_MAX;
  while (reactor.timers_.expire(until, due)) {
    while (detail::TimerNode* const node = due.front()) {
      if (fire) static_cast<Timer*>(node)->fire(), ++reactor.stats_.timers_fired;
      else reactor.timers_.erase(*node);
    }
  }
  reactor.firing_until_ = Instant(), reactor.timers_.refresh();
}
inline void Timer::fire() {
  cancel();
  const Callback callback = callback_;  // the callback may destroy this timer
  missed_ = 0;
  if (period_ != 0) {
    if (TimerNode::deadline < 0) TimerNode::deadline = 0;
    const std::int64_t missed = (reactor_->now_ - deadline()).count() / period_;
    missed_ = missed > INT32_MAX ? INT32_MAX : static_cast<std::uint32_t>(missed);
    start(*reactor_, saturating_add(deadline() + Duration(missed * period_), Duration(period_)), period_, callback);
  }
  callback();
}

// =====================================================================================================================
// 7. Tasks
// =====================================================================================================================
// Base of a task that is written top to bottom, as one function step() with awaits in it. It is a switch over source
// lines, so whatever must survive an await is a member: an initialised local that an await would jump past does not
// compile (one like `char b[8];` does, and loses its value). One await on a line; none in a `switch` of yours. An early
// return ends the task. task() and reactor() are there from the first step on, not in the constructor.
class StateMachine : detail::Pinned {
 public:
  Task& task() const { return *task_; }
  Reactor& reactor() const { return task_->reactor(); }
 private:
  template <class T, std::size_t N> friend class TaskPool;
  Task* task_ = nullptr;
};

#define MOTE_DETAIL_JOIN2(a, b) a##b
#define MOTE_DETAIL_JOIN(a, b) MOTE_DETAIL_JOIN2(a, b)
// The label makes a second await on the same line an error that says what is wrong.
#define MOTE_DETAIL_SUSPENSION_POINT() \
  case ::mote::detail::Line{__LINE__}: \
    MOTE_DETAIL_JOIN(only_one_MOTE_AWAIT_or_MOTE_YIELD_per_line_, __LINE__) : __attribute__((unused))

// step() begins with MOTE_BEGIN() and ends with MOTE_END().
#define MOTE_BEGIN()                                       \
  ::mote::Task& mote_task = this->task();                  \
  switch (::mote::detail::Line{mote_task.resume_line()}) { \
    case ::mote::detail::Line{}:
#define MOTE_END() \
  }                \
  return ::mote::done()
// Waits until the operation completes and assigns what it gives to `result`. The operation is written anew at each
// attempt, so it must name only what outlives the await.
#define MOTE_AWAIT(result, ...)                                   \
  do {                                                            \
    mote_task.resume_line() = __LINE__;                           \
    [[fallthrough]];                                              \
    MOTE_DETAIL_SUSPENSION_POINT();                               \
    auto mote_poll = (__VA_ARGS__).poll(mote_task);               \
    if (!mote_poll.ready()) return ::mote::Step(::mote::pending); \
    ::mote::detail::Assignment::make(result, *mote_poll);         \
  } while (false)
// Lets everybody else run, and goes on in the next turn.
#define MOTE_YIELD()                      \
  do {                                    \
    mote_task.resume_line() = __LINE__;   \
    mote_task.wake();                     \
    return ::mote::Step(::mote::pending); \
    MOTE_DETAIL_SUSPENSION_POINT();       \
  } while (false)

// The right to await a task's end, and to cancel it. While it is held, the task's slot stays taken after its end, to
// keep the outcome; the task's own object is gone by then. Dropped, the task goes on alone, and a failure is reported
// to the reactor's observer. Where the pool goes first, the handle becomes empty. Size on a 32-bit board: 8 bytes.
class TaskHandle {
 public:
  TaskHandle() = default;
  TaskHandle(TaskHandle&& other) noexcept { take(other); }
  TaskHandle& operator=(TaskHandle&& other) noexcept {
    if (this != &other) detach(), take(other);
    return *this;
  }
  ~TaskHandle() { detach(); }
  explicit operator bool() const { return task_ != nullptr; }
  Task* get() const { return task_; }
  void detach();
  void cancel() { return task_ != nullptr ? task_->cancel() : void(); }
  // Ends it at once: its object is destroyed, wherever it stands. EBUSY: it is the one that is running · ESRCH: ended.
  Result<void> destroy() {
    if (task_ == nullptr || !task_->is_alive()) return Error(ESRCH);
    if (task_ == task_->reactor().current_) return Error(EBUSY);
    return task_->reactor().destroy(*task_), Result<void>();
  }
  Outcome outcome() const {  // kind `none` while it runs
    if (task_ == nullptr || task_->state_ != Task::State::finished) return {};
    if (task_->code_ == 0) return {Outcome::Kind::done, {}};
    return {task_->code_ == ECANCELED ? Outcome::Kind::cancelled : Outcome::Kind::failed, Error(task_->code_)};
  }
  // The outcome, and the handle becomes empty. One task at a time (EBUSY). ECANCELED: the one who waits was cancelled ·
  // EINVAL: empty handle.
  auto join() {
    return detail::operation<Outcome>([this](Task& task) -> Result<Outcome> {
      if (task_ == nullptr) return Error(EINVAL);
      return detail::attempt<Result<Outcome>>(task, task_->joiner_, "the end of a task", [this]() -> Result<Outcome> {
        const Outcome ended = outcome();
        if (ended.kind == Outcome::Kind::none) return Error(EAGAIN);
        task_->code_ = 0;  // it has been told: no failure left to report
        return detach(), ended;
      });
    });
  }
 private:
  friend class Reactor;
  friend class TaskGroupBase;
  friend class TaskPoolBase;
  template <class T, std::size_t N> friend class TaskPool;
  [[gnu::noinline]] void hold(Task& task) {  // inlined, g++ sees the address of a local kept; it moves along
    task_ = &task, task.handle_ = this;
  }
  void take(TaskHandle& other) {
    task_ = std::exchange(other.task_, nullptr);
    if (task_ != nullptr) task_->handle_ = this;
  }
  Task* task_ = nullptr;
  detail::EndHook* group_ = nullptr;  // whose member the task is
};

// Names a task without keeping anything: to cancel or wake one that may have ended, and its slot be in use by another.
// The pool must outlive it.
class TaskRef {
 public:
  TaskRef() = default;
  explicit TaskRef(Task& task) : task_(&task), generation_(task.generation_) {}
  bool names(const Task& task) const { return task_ == &task && generation_ == task.generation_; }
  Task* get() const {  // null once it has ended
    return task_ != nullptr && task_->generation_ == generation_ && task_->is_alive() ? task_ : nullptr;
  }
  bool cancel() const { return get() != nullptr && (get()->cancel(), true); }
  bool wake() const { return get() != nullptr && (get()->wake(), true); }
 private:
  Task* task_ = nullptr;
  std::uint32_t generation_ = 0;
};

// What all pools have in common.
class TaskPoolBase : public detail::ListNode {
 public:
  std::uint32_t size() const { return used_; }         // slots taken, by tasks and by outcomes that somebody holds
  std::uint32_t high_water() const { return fresh_; }  // a new slot is used when no other is free, and only then
 protected:
  struct Type {  // what a pool's tasks have in common
    Step (*step)(Task&);
    void (*destroy)(Task&);
    const char* (*name)(Task&);
    std::uint32_t slot_size, slots;
  };
  constexpr TaskPoolBase() = default;
  ~TaskPoolBase() = default;  // who has the slots closes it before they go
  Result<void> claim(Reactor& reactor, void* slots, const Type& type, TaskHandle& handle) {
    if (reactor.destroying_) return Error(ECANCELED);
    if (reactor_ != &reactor) {  // the first task, or the first for this reactor
      if (used_ != 0) return Error(EINVAL);
      unlink();
      reactor_ = &reactor;
      reactor.pools_.push_back(*this), reactor.ready_.ring();
      slots_ = slots, stride_ = type.slot_size, type_ = &type;
    }
    Task* task = free_;
    if (task != nullptr) {
      free_ = static_cast<Task*>(static_cast<detail::Hook<0>*>(std::exchange(task->next, nullptr)));
    } else {
      if (fresh_ == type.slots) return Error(ENOBUFS);
      task = &at(fresh_++), task->pool_ = this;
    }
    return ++used_, handle.hold(*task), Result<void>();
  }
  void start(Task& task) {
    task.step_ = type_->step, task.run_queue_ = &reactor_->ready_;
    task.since_ = reactor_->now_;
    task.line_ = 0, task.share_ = limits::operations_per_step, task.code_ = 0;
    task.state_ = Task::State::live, task.shields_ = 0;
    task.in_queues_ = task.operation_shielded_ = task.cancel_held_ = task.giving_up_ = false;
    if (++task.generation_ == 0) task.generation_ = 1;
    task.queue();
    Statistics& stats = reactor_->stats_;
    ++stats.tasks_spawned;
    if (++stats.tasks > stats.tasks_high) stats.tasks_high = stats.tasks;
  }
  void close() {
    if (reactor_ == nullptr) return;
    const bool outer = std::exchange(reactor_->destroying_, true);  // nor does an observer spawn into it
    for (std::uint32_t i = 0; i < fresh_; ++i) {
      Task& task = at(i);
      if (task.state_ == Task::State::live) reactor_->destroy(task);
      if (task.handle_ != nullptr) task.handle_->detach();
    }
    reactor_->destroying_ = outer;
    vacancy_.notify(SIZE_MAX), unlink(), reactor_ = nullptr;
  }
  auto vacancy(std::uint32_t capacity) {
    return detail::operation<void>([this, capacity](Task& task) {
      return detail::attempt<Result<void>>(task, vacancy_, "a vacancy", [this, capacity](bool) {
        return used_ < capacity ? Result<void>() : Error(EAGAIN);
      });
    });
  }
 private:
  friend class Reactor;
  friend class Task;
  friend class TaskHandle;
  Task& at(std::uint32_t i) const {
    return *static_cast<Task*>(static_cast<void*>(static_cast<unsigned char*>(slots_) + std::size_t{i} * stride_));
  }
  void release(Task& task) {
    task.state_ = Task::State::free;
    task.joiner_.clear();
    task.next = free_,
    free_ = &task;  // the most recently used first: its memory is warm; untouched slots stay untouched
    --used_;
    vacancy_.notify();
  }
  Reactor* reactor_ = nullptr;
  void* slots_ = nullptr;
  const Type* type_ = nullptr;
  Task* free_ = nullptr;  // linked by `next` alone
  detail::WaitQueue vacancy_;
  std::uint32_t stride_ = 0, used_ = 0;
  std::uint32_t fresh_ = 0;  // slots from this one on have never been used
};
namespace detail {
// The compiler's name of this function has the type's name at its end: "... [with T = Echo]" or "... [T = Echo]".
template <class T> constexpr const char* spelt_name() { return __builtin_strchr(__PRETTY_FUNCTION__, '=') + 2; }
template <class T, class = void> struct TaskName {
  static const char* of(const T&) { return spelt_name<T>(); }
};
template <class T> struct TaskName<T, std::enable_if_t<!std::is_member_pointer<decltype(&T::name)>::value>> {
  static const char* of(const T&) { return T::name; }
};
template <class T, class = void> struct HasPlainStep : std::false_type {};
template <class T> struct HasPlainStep<T, std::void_t<decltype(std::declval<T&>().step())>> : std::true_type {};

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"
template <class T, class... A> T* construct(void* place, A&&... arguments) {
  if constexpr (std::is_constructible<T, A&&...>::value) {
    return ::new (place) T(std::forward<A>(arguments)...);
  } else if constexpr (std::is_base_of<StateMachine, T>::value) {  // an aggregate whose first part is that base
    return ::new (place) T{{}, std::forward<A>(arguments)...};
  } else {
    return ::new (place) T{std::forward<A>(arguments)...};
  }
}
#pragma GCC diagnostic pop
}  // namespace detail

// Room for N tasks of type T. A T has `Step step()`, or `Step step(Task&)` where it does not derive from StateMachine;
// it is made in its slot by spawn(), stepped by the run queue alone, and destroyed as soon as it ends. The pool may lie
// in static storage (.bss) or on the stack; what it still holds when it goes is destroyed. It serves one reactor at a
// time. Size: N * (sizeof(Task) + sizeof(T)), and 48 bytes on a 32-bit board.
template <class T, std::size_t N> class TaskPool : public TaskPoolBase {
 public:
  constexpr TaskPool() = default;
  ~TaskPool() { close(); }
  // Makes a T by its constructor, which must not throw, or member by member (the others, large buffers too, are zeroed), and
  // queues its first step. ENOBUFS: full; the arguments are as they were · EINVAL: another reactor's · ECANCELED: destroying.
  template <class... A> Result<TaskHandle> spawn(Reactor& reactor, A&&... arguments) {
    static constexpr Type type{&TaskPool::step, [](Task& task) { object(task).~T(); },
                               [](Task& task) { return detail::TaskName<T>::of(object(task)); }, sizeof(Slot), N};
    return Result<TaskHandle>::filled_in([&](TaskHandle& handle) {
      const Result<void> claimed = claim(reactor, slots_, type, handle);
      if (claimed) {
        Task* const task = handle.task_;
        T* const made = detail::construct<T>(static_cast<Slot*>(task)->bytes, std::forward<A>(arguments)...);
        if constexpr (std::is_base_of<StateMachine, T>::value) static_cast<StateMachine*>(made)->task_ = task;
        start(*task);
      }
      return claimed;
    });
  }
  static constexpr std::uint32_t capacity() { return N; }
  std::uint32_t vacancies() const { return capacity() - size(); }
  // Completes when a slot is free. Where others spawn into the pool too, be ready for ENOBUFS all the same. ECANCELED.
  auto vacancy() { return TaskPoolBase::vacancy(N); }
 private:
  static_assert(N >= 1 && N < (1u << 24), "between 1 and 16,777,215 tasks");
  struct Slot : Task {
    constexpr Slot() = default;
    alignas(T) unsigned char bytes[sizeof(T)] = {};
  };
  static Step step(Task& task) {
    if constexpr (detail::HasPlainStep<T>::value) return object(task).step();
    else return object(task).step(task);
  }
  static T& object(Task& task) { return *static_cast<T*>(static_cast<void*>(static_cast<Slot&>(task).bytes)); }
  Slot slots_[N];
};
inline Reactor& Task::reactor() const { return *pool_->reactor_; }
inline const char* Task::name() const {  // after its end: what finish() noted
  return state_ == State::live ? pool_->type_->name(const_cast<Task&>(*this)) : waits_for_;
}

// The one place where a task ends. Its object is destroyed first, then whoever joins it is woken.
inline void Reactor::finish(Task& task, int code) {
  if (code != 0 || task.handle_ != nullptr) task.waits_for_ = task.name();  // it is asked for later on
  task.state_ = Task::State::ending;
  task.code_ = code;
  static_cast<detail::Hook<0>&>(task).unlink();
  if (task.may_wait()) task.stop_waiting();
  task.pool_->type_->destroy(task);
  task.state_ = Task::State::finished;
  ++stats_.tasks_ended;
  --stats_.tasks;
  if (code != 0 || task.handle_ != nullptr) tell_end(task, code);
  else task.pool_->release(task);
}
inline void Reactor::tell_end(Task& task, int code) {
  const bool failure = code != 0 && code != ECANCELED;
  if (failure) ++stats_.tasks_failed;
  if (task.handle_ != nullptr && task.handle_->group_ != nullptr) return task.handle_->group_->ended(task);
  if (task.handle_ != nullptr) return static_cast<void>(task.joiner_.notify());
  if (failure) report(Observation::task_failed, &task, Error(code));
  task.pool_->release(task);
}
template <class F> [[gnu::always_inline]] inline void Reactor::for_each_task(F&& visit) {
  for (TaskPoolBase* pool = pools_.front(); pool != nullptr; pool = pools_.after(*pool))
    for (std::uint32_t i = 0; i < pool->fresh_; ++i)
      if (pool->at(i).is_alive()) visit(pool->at(i));
}
inline std::uint32_t Reactor::end_all_tasks(bool at_once) {
  const std::uint64_t before = stats_.tasks_destroyed;
  for_each_task([this, at_once](Task& task) {
    if (!at_once) task.cancel();
    else if (&task != current_) destroy(task);
  });
  return static_cast<std::uint32_t>(stats_.tasks_destroyed - before);
}
inline void TaskHandle::detach() {
  Task* const task = std::exchange(task_, nullptr);
  if (task == nullptr) return;
  task->handle_ = nullptr, task->joiner_.notify();  // whoever joins by this handle finds it empty
  if (task->state_ != Task::State::finished) return;
  if (task->code_ != 0 && task->code_ != ECANCELED) {
    task->reactor().report(Observation::task_failed, task, Error(task->code_));
  }
  task->pool_->release(*task);
}

// A timer to await, for one task (EBUSY) and one use at a time: two parts of one await need two. Not to be moved in use.
class TaskTimer {
 public:
  ~TaskTimer() { waiter_.clear(); }
  // Completes after `delay`, never early. ECANCELED EBUSY.
  auto sleep(Duration delay) {
    return detail::operation<void>([this, delay](Task& task) -> Result<void> {
      const Result<std::uint32_t> expired = wait(task, delay, Use::sleep);
      return expired ? Result<void>() : expired.error();
    });
  }
  // Completes at every multiple of `period` from the first call on, without drift, also where another part of first_of()
  // won; gives how many ticks have gone by: 1, or more if the task was late. ECANCELED (then it begins anew) EBUSY.
  auto tick(Duration period) {
    return detail::operation<std::uint32_t>([this, period](Task& task) { return wait(task, period, Use::tick); });
  }
  bool over(Task& task, Duration limit) {  // for with_timeout(): whether the time is up, since this was first asked
    start(task, limit, Use::limit);
    return ticks_ != 0;
  }
  void reset() { timer_.cancel(), waiter_.clear(), use_ = Use::none, ticks_ = 0; }
 private:
  enum class Use : std::uint8_t { none, sleep, tick, limit };
  void start(Task& task, Duration time, Use use) {
    if (use != Use::tick && ticks_ == 0 && waiter_.waits_ == 0) use_ = Use::none;  // left by one that was given up
    MOTE_ASSERT(use_ == Use::none || use_ == use || waiter_.task_ != &task);
    if (use_ != Use::none) return;
    const auto callback = Timer::Callback::of<&TaskTimer::expire>(*this);
    use_ = use, waiter_.wait(task);
    if (use == Use::tick) timer_.arm_every(task.reactor(), time, callback);
    else timer_.arm(task.reactor(), time, callback);
  }
  Result<std::uint32_t> wait(Task& task, Duration time, Use use) {
    start(task, time, use);
    auto result = detail::attempt<Result<std::uint32_t>>(task, waiter_, "a timer", [this]() -> Result<std::uint32_t> {
      return ticks_ != 0 ? Result<std::uint32_t>(std::exchange(ticks_, 0)) : Error(EAGAIN);
    });
    if (result ? use != Use::tick : result.error() == ECANCELED && !(use == Use::tick && task.is_giving_up())) reset();
    return result;
  }
  void expire() { ticks_ += waiter_.notify() || timer_.armed() ? 1 + timer_.missed() : 0; }  // else it was given up
  Timer timer_;
  detail::Waiter waiter_;
  std::uint32_t ticks_ = 0;
  Use use_ = Use::none;
};

// =====================================================================================================================
// 8. Input and output
// =====================================================================================================================
// Where a socket is bound or connected: IPv4, IPv6 or Unix-domain. Numeric: no name is ever looked up.
class Endpoint {
 public:
  struct Text {
    char data[128];
    const char* c_str() const { return data; }
  };
  static constexpr socklen_t capacity = sizeof(sockaddr_un);
  constexpr Endpoint() : unix_{} {}

  // "192.0.2.1", "2001:db8::1", "fe80::1%eth0". EINVAL: no numeric address · ENODEV: no such interface.
  static Result<Endpoint> ip(const char* address, std::uint16_t port) {
    return Result<Endpoint>::filled_in([=](Endpoint& endpoint) { return endpoint.set_ip(address, port); });
  }
  // A path (a listener leaves it behind: unlink() it before), or after '@' an abstract name. ENAMETOOLONG · EINVAL: empty.
  static Result<Endpoint> unix_path(const char* path) {
    return Result<Endpoint>::filled_in([path](Endpoint& endpoint) { return endpoint.set_path(path); });
  }
  // "192.0.2.1:80", "[2001:db8::1]:80", "unix:/run/x", "unix:@x". EINVAL and as above.
  static Result<Endpoint> parse(const char* text) {
    return Result<Endpoint>::filled_in([text](Endpoint& endpoint) { return endpoint.set(text); });
  }
  // As parse() takes it; "-" for none, as of the peer of an unbound Unix socket.
  Text text() const {
    Text text{};
    char host[INET6_ADDRSTRLEN] = "", scope[IF_NAMESIZE + 1] = "";
    if (family() == AF_INET) {
      ::inet_ntop(AF_INET, &v4_.sin_addr, host, sizeof host);
      ::snprintf(text.data, sizeof text.data, "%s:%u", host, unsigned{port()});
    } else if (family() == AF_INET6) {
      ::inet_ntop(AF_INET6, &v6_.sin6_addr, host, sizeof host);
      if (v6_.sin6_scope_id != 0 && ::if_indextoname(v6_.sin6_scope_id, scope + 1) != nullptr) scope[0] = '%';
      ::snprintf(text.data, sizeof text.data, "[%s%s]:%u", host, scope, unsigned{port()});
    } else if (family() == AF_UNIX && size_ > offsetof(sockaddr_un, sun_path)) {
      const std::size_t length = size_ - offsetof(sockaddr_un, sun_path);
      ::memcpy(text.data, "unix:", 5), ::memcpy(text.data + 5, unix_.sun_path, length);
      if (unix_.sun_path[0] == '\0') text.data[5] = '@';
    } else {
      text.data[0] = '-';
    }
    return text;
  }
  int family() const { return any_.sa_family; }
  std::uint16_t port() const { return ntohs(family() == AF_INET6 ? v6_.sin6_port : v4_.sin_port); }  // of IP only
  const sockaddr* address() const { return &any_; }
  sockaddr* address() { return &any_; }
  socklen_t size() const { return size_; }
  void resize(socklen_t size) { size_ = size < capacity ? size : capacity; }
 private:
  Result<void> set_ip(const char* address, std::uint16_t port) {
    v4_.sin_family = AF_INET, v4_.sin_port = htons(port), size_ = sizeof v4_;
    if (::inet_pton(AF_INET, address, &v4_.sin_addr) == 1) return {};
    char plain[INET6_ADDRSTRLEN] = {};
    const char* const scope = ::strchr(address, '%');
    if (scope != nullptr) {
      const auto length = static_cast<std::size_t>(scope - address);
      if (length >= sizeof plain) return Error(EINVAL);
      ::memcpy(plain, address, length);
    }
    v6_.sin6_family = AF_INET6, v6_.sin6_port = htons(port), size_ = sizeof v6_;
    v6_.sin6_flowinfo = 0;  // where a part of an IPv4 address may be
    if (::inet_pton(AF_INET6, scope != nullptr ? plain : address, &v6_.sin6_addr) != 1) return Error(EINVAL);
    if (scope != nullptr && (v6_.sin6_scope_id = ::if_nametoindex(scope + 1)) == 0) return Error(ENODEV);
    return {};
  }
  Result<void> set_path(const char* path) {
    const std::size_t length = ::strlen(path);
    if (length == 0) return Error(EINVAL);
    if (length >= sizeof unix_.sun_path) return Error(ENAMETOOLONG);
    const bool abstract = path[0] == '@';
    unix_.sun_family = AF_UNIX;
    ::memcpy(unix_.sun_path, path, length + 1);
    if (abstract) unix_.sun_path[0] = '\0';
    size_ = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + length + (abstract ? 0 : 1));
    return {};
  }
  Result<void> set(const char* text) {
    if (::strncmp(text, "unix:", 5) == 0) return set_path(text + 5);
    const bool brackets = text[0] == '[';
    const char* const begin = text + (brackets ? 1 : 0);
    const char* const end = ::strchr(begin, brackets ? ']' : ':');
    char address[INET6_ADDRSTRLEN + IF_NAMESIZE] = {};
    if (end == nullptr || (brackets && end[1] != ':')) return Error(EINVAL);
    if (end - begin >= static_cast<std::ptrdiff_t>(sizeof address)) return Error(EINVAL);
    ::memcpy(address, begin, static_cast<std::size_t>(end - begin));
    const char* digit = end + (brackets ? 2 : 1);
    unsigned port = 0;
    if (*digit == '\0') return Error(EINVAL);
    for (; *digit != '\0'; ++digit) {
      port = port * 10 + static_cast<unsigned>(*digit - '0');
      if (*digit < '0' || *digit > '9' || port > 65535) return Error(EINVAL);
    }
    return set_ip(address, static_cast<std::uint16_t>(port));
  }
  union {
    sockaddr any_;
    sockaddr_in v4_;
    sockaddr_in6 v6_;
    sockaddr_un unix_;
  };
  socklen_t size_ = 0;
};

// An owned descriptor in a reactor's table: closed when it goes. Registering costs no system call: the kernel hears of
// it when something must be waited for. Streams, listeners and datagram sockets are Sources; a plain Source serves any
// other descriptor (GPIO, inotify, CAN, a library's socket) by ready() or watch(). Movable; it goes empty where the
// reactor goes first. It must not be destroyed while another task's operation on it is pending: close() it, which makes
// that operation answer ECANCELED, and let the task run. Size on a 32-bit board: 12 bytes.
class Source {
 public:
  Source() = default;
  Source(Source&& other) noexcept { take(other); }
  Source& operator=(Source&& other) noexcept {
    if (this != &other) close(), take(other);
    return *this;
  }
  ~Source() { close(); }

  // Takes over a descriptor, of any kind. It is made non-blocking unless it is one of 0 to 2, which other processes
  // share: those are only used when reported ready, in small portions. EBUSY: open already · EBADF · ENOBUFS: the
  // table is full · ENXIO: reactor not open. On failure fd stays the caller's.
  Result<void> open(Reactor& reactor, Fd&& fd) {
    int type = 0;
    socklen_t size = sizeof type;
    termios settings;
    const bool standard = fd.get() >= 0 && fd.get() <= STDERR_FILENO;
    const bool socket = System::getsockopt(fd.get(), SOL_SOCKET, SO_TYPE, &type, &size) == 0;
    if (!socket && System::error() != ENOTSOCK) return detail::last_error();  // EBADF
    const bool tty = !socket && System::tcgetattr(fd.get(), &settings) == 0;
    const int status = standard ? O_NONBLOCK : System::fcntl(fd.get(), F_GETFL, 0);
    if (status < 0) return detail::last_error();
    if ((status & O_NONBLOCK) == 0 && System::fcntl(fd.get(), F_SETFL, status | O_NONBLOCK) < 0)
      return detail::last_error();
    // Sockets are used with MSG_DONTWAIT, whatever their number.
    unsigned kind = socket ? unsigned{Slot::is_socket} | (type == SOCK_STREAM ? unsigned{Slot::is_stream} : 0u) : 0u;
    if (standard && !socket) kind |= Slot::blocking;
    if (tty) kind |= Slot::is_tty;
    return register_as(reactor, std::move(fd), kind);
  }
  // Whoever waits for it gets ECANCELED. Unlike a removal, this leaves it to the kernel to end the registration.
  void close() {
    if (slot_ == nullptr) return;
    Slot& slot = *std::exchange(slot_, nullptr);
    const Fd fd(slot.fd);
    interrupted_ = slot.is(Slot::connecting) && slot.writer.task_ != nullptr;
    if (slot.is(Slot::in_set)) reactor_->selector_->forget(slot.fd);
    reactor_->release(slot);
  }
  // Gives the descriptor back, no longer registered (and non-blocking, unless it is 0 to 2).
  Fd release() {
    if (slot_ == nullptr) return Fd();
    Slot& slot = *std::exchange(slot_, nullptr);
    Fd fd(slot.fd);
    reactor_->drop_from_set(slot), reactor_->release(slot);
    return fd;
  }
  int fd() const { return slot_ != nullptr ? slot_->fd : -1; }
  bool is_open() const { return slot_ != nullptr; }
  // The callback style: calls the handler with what is ready, as Reactor::add() does, instead of waking tasks. Again,
  // to change the interest. EBADF: not open · EBUSY: a task waits for it · ENOMEM, ENOSPC.
  Result<void> watch(Interest interest, Handler handler) {
    if (slot_ == nullptr) return Error(EBADF);
    MOTE_ASSERT(handler);
    if (slot_->reader.waits_ != 0 || slot_->writer.waits_ != 0) return Error(EBUSY);
    slot_->reader.clear(), slot_->writer.clear();
    reactor_->set_handler(*slot_, handler);
    slot_->set(Slot::muted, false);
    return reactor_->want(*slot_, interest);
  }
  Result<void> set_option(int level, int name, int value) {  // setsockopt(2) and its errors
    return detail::check(System::setsockopt(fd(), level, name, &value, sizeof value));
  }
  Reactor& reactor() const { return *reactor_; }                                     // of an open one
  Result<Endpoint> local_endpoint() const { return name_of(&System::getsockname); }  // EBADF ENOTSOCK ENOBUFS
  Result<Endpoint> peer_endpoint() const { return name_of(&System::getpeername); }   // and ENOTCONN
 protected:
  friend class Reactor;
  friend class Listener;
  using Slot = detail::Slot;

  // Whether there is a descriptor, and the task may go on: see Task::enter().
  bool enter(Task& task, Interest direction, Error& answer) {
    return (slot_ != nullptr && task.charge()) || (answer = refuse(task, direction), false);
  }
  MOTE_COLD Error refuse(Task& task, Interest direction) {
    if (slot_ == nullptr) return Error(reactor_ != nullptr ? ECANCELED : EBADF);
    const Error answer = task.refuse();
    if (answer == ECANCELED) (direction == Interest::write ? slot_->writer : slot_->reader).leave(task);
    return answer;
  }
  Error wait_for(Task& task, Interest direction, const char* what) {
    const Result<void> waits = reactor_->wait_for(*slot_, direction, task);
    return waits ? task.suspend(what) : waits.error();
  }
  // Waits when the answer is EAGAIN, which is also the answer when it is not worth trying.
  template <class T, class Try> auto trying(Interest direction, const char* what, Try try_once) {
    return detail::operation<T>([this, direction, what, try_once](Task& task) -> Result<T> {
      if (Error answer; !enter(task, direction, answer)) return answer;
      Result<T> result = try_once();
      return result || result.error() != EAGAIN ? std::move(result) : Result<T>(wait_for(task, direction, what));
    });
  }
  Result<void> register_as(Reactor& reactor, Fd&& fd, unsigned flags) {  // non-blocking already
    if (slot_ != nullptr) return Error(EBUSY);
    if (const Result<void> claimed = reactor.claim(fd.get(), slot_); !claimed) return claimed;
    reactor_ = &reactor;
    slot_->owner = this;
    slot_->flags = flags;
    const unsigned way =
        (slot_->is(Slot::blocking) ? 0u : unsigned{Slot::ready}) |  // the first attempt is made at once
        (slot_->is(Slot::is_stream) ? 0u : unsigned{Slot::special});
    slot_->reading = slot_->writing = static_cast<std::uint8_t>(way);
    fd.release();
    return {};
  }
  // One read(). A short one says that there is no more for now, so that the next waits first; not so at the end of the
  // stream, which is read at once.
  Result<std::size_t> try_receive(const ByteSpan& buffer) { return read_result(received(buffer, untried)); }
  ssize_t receive_once(const ByteSpan& buffer) {
    Slot& slot = *slot_;
    return slot.is(Slot::is_socket) ? System::recv(slot.fd, buffer.data(), buffer.size(), MSG_DONTWAIT)
                                    : System::read(slot.fd, buffer.data(), buffer.size());
  }
  // `n`: what the system call has answered already, or untried. These return a size, or less than 0: an error.
  static constexpr ssize_t untried = -2;
  ssize_t received(const ByteSpan& buffer, ssize_t n) {
    Slot& slot = *slot_;
    if (buffer.empty()) return -EINVAL;  // it would take a datagram
    while (n == untried || (n < 0 && System::error() == EINTR)) n = receive_once(buffer);
    if (n < 0) return receive_failed();
    const auto size = static_cast<std::size_t>(n);
    const bool drained = size < buffer.size() && size != 0 && (slot.reading & Slot::unread) == 0;
    if (drained || slot.is(Slot::blocking)) clear(slot.reading, Slot::ready);
    return n;
  }
  MOTE_COLD int receive_failed() {
    if (System::error() == EIO && slot_->is(Slot::is_tty)) return 0;  // unplugged, or a pty's end closed
    const int error = failed(slot_->reading);
    if (error == EAGAIN) clear(slot_->reading, Slot::unread);
    return -error;
  }
  static Result<std::size_t> read_result(ssize_t n) {
    return n >= 0 ? Result<std::size_t>(static_cast<std::size_t>(n)) : Error(static_cast<int>(-n));
  }
  static void clear(std::uint8_t& ways, Slot::Way way) { ways = static_cast<std::uint8_t>(ways & ~unsigned{way}); }
  MOTE_COLD int failed(std::uint8_t& ways) {
    const int error = System::error();
    if (error != EAGAIN) return error;
    clear(ways, Slot::ready);
    if (!any(slot_->last & Readiness::error) || !slot_->is(Slot::is_socket)) return EAGAIN;
    // An error was reported, yet none is there to be returned: it is in the error queue, and stays until it is taken.
    slot_->last &= ~Readiness::error;
    char byte;
    for (int left = limits::operations_per_step; left > 0; --left)
      if (System::recv(slot_->fd, &byte, 1, MSG_ERRQUEUE | MSG_DONTWAIT) < 0) break;
    return EAGAIN;
  }
  Result<std::size_t> try_send(const ByteView& bytes) { return read_result(bytes.empty() ? 0 : sent(bytes, untried)); }
  ssize_t send_once(const ByteView& bytes) {
    Slot& slot = *slot_;
    std::size_t size = bytes.size();
    if (slot.is(Slot::is_socket)) return System::send(slot.fd, bytes.data(), size, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (slot.is(Slot::blocking) && size > 512) size = 512;  // _POSIX_PIPE_BUF: does not block once reported writable
    return System::write(slot.fd, bytes.data(), size);
  }
  ssize_t sent(const ByteView& bytes, ssize_t n) {  // of at least one
    Slot& slot = *slot_;
    while (n == untried || (n < 0 && System::error() == EINTR)) n = send_once(bytes);
    if (n < 0) return -failed(slot.writing);
    if (static_cast<std::size_t>(n) < bytes.size() || slot.is(Slot::blocking)) clear(slot.writing, Slot::ready);
    return n;
  }
  [[gnu::noinline]] void take(Source& other) {
    reactor_ = std::exchange(other.reactor_, nullptr), slot_ = std::exchange(other.slot_, nullptr);
    if (slot_ != nullptr) slot_->owner = this;
  }
  Result<Endpoint> name_of(int (*ask)(int, sockaddr*, socklen_t*)) const {
    Endpoint endpoint;
    socklen_t size = Endpoint::capacity;
    if (ask(fd(), endpoint.address(), &size) != 0) return detail::last_error();
    endpoint.resize(size);
    return endpoint;
  }
  Reactor* reactor_ = nullptr;
  Slot* slot_ = nullptr;
  bool interrupted_ = false;  // closed while a connect() was pending
 public:
  // Completes when the kernel reports one of the things asked for (read, priority or both; or write), or hangup or error;
  // gives what was reported. It is a hint: another reader may have been faster. One task for reading and one for writing
  // at a time (EBUSY). ECANCELED: cancelled, or closed · EBADF: never opened.
  auto ready(Interest interest) {
    return trying<Readiness>(interest, "readiness", [this, interest]() -> Result<Readiness> {
      slot_->reading |= Slot::special, slot_->wanted &= ~detail::by_edges;  // who asks may leave unread what there is
      const unsigned asked = Reactor::asked_for(interest) | detail::bits(Readiness::error | Readiness::hangup);
      const auto seen = static_cast<Readiness>(detail::bits(slot_->last) & asked);
      slot_->last &= ~seen;
      return any(seen) ? Result<Readiness>(seen) : Error(EAGAIN);
    });
  }
};

// A stream of bytes: a socket, a pipe, a terminal. Writing to a socket whose peer has gone gives EPIPE and never raises
// SIGPIPE; for pipes there is no such choice: ignore the signal, as daemons do.
class Stream : public Source {
 public:
  // Some bytes, as they come: at least 1, or 0 at the end of the stream (a terminal's hang-up included). One reader at a
  // time (EBUSY). ECANCELED: cancelled, or closed · EBADF: never opened · EINVAL: an empty buffer · and the
  // kernel's: ECONNRESET ETIMEDOUT EHOSTUNREACH ENETUNREACH ENOTCONN EIO ENOMEM ENOBUFS EISDIR.
  auto read(ByteSpan buffer) {
    return detail::operation<std::size_t>([this, data = buffer.data(), size = buffer.size()](Task& task) {
      Slot* const slot = slot_;
      if (slot == nullptr || !task.charge()) return Result<std::size_t>(refuse(task, Interest::read));
      if (detail::likely(slot->reading == Slot::ready)) {
        const ssize_t n = System::recv(slot->fd, data, size, MSG_DONTWAIT);
        if (n <= 0) return read_result(read_on(task, data, size, n));
        if (detail::likely(static_cast<std::size_t>(n) < size)) slot_->reading = 0;
        return Result<std::size_t>(static_cast<std::size_t>(n));
      }
      if (slot->reading != 0 || slot->reader.task_ != &task) return read_result(read_on(task, data, size));
      slot->reader.waits_ = detail::bits(Interest::read);  // where it has waited before, and the kernel knows
      return Result<std::size_t>(task.suspend("data"));
    });
  }
  // All of the buffer, which shrinks as it is filled: a named object that outlives the await. ENODATA: ended before that.
  auto read_exactly(ByteSpan& buffer) {
    return trying<void>(Interest::read, "data", [this, &buffer]() -> Result<void> {
      while (!buffer.empty()) {
        const Result<std::size_t> n = slot_->may_read() ? try_receive(buffer) : Error(EAGAIN);
        if (!n || *n == 0) return n ? Error(ENODATA) : n.error();
        buffer.drop_front(*n);
      }
      return {};
    });
  }
  void read_exactly(ByteSpan&& buffer) = delete;  // it would begin anew at each attempt
  // All bytes of the view, which shrinks as they are sent: a named object that outlives the await, as must the bytes.
  // After an error the view holds what was not sent. One writer at a time (EBUSY). ECANCELED · EBADF · and the kernel's:
  // EPIPE ECONNRESET ETIMEDOUT EHOSTUNREACH ENETUNREACH ENOTCONN EIO ENOSPC ENOBUFS ENOMEM.
  auto write_all(ByteView& bytes) {
    return detail::operation<void>([this, &bytes](Task& task) -> Result<void> {
      Slot* const slot = slot_;
      if (slot == nullptr || !task.charge()) return refuse(task, Interest::write);
      ssize_t n = untried;
      if (detail::likely(slot->writing == Slot::ready)) {
        n = System::send(slot->fd, bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
        if (detail::likely(static_cast<std::size_t>(n) == bytes.size()))
          return bytes.drop_front(bytes.size()), Result<void>();
      }
      const int error = write_on(task, bytes, n);
      return error == 0 ? Result<void>() : Error(error);
    });
  }
  void write_all(ByteView&& bytes) = delete;
  // Connects an empty stream. The socket's real error is the answer (ECONNREFUSED ETIMEDOUT EHOSTUNREACH ENOENT EACCES ...;
  // EAGAIN: a Unix socket's backlog is full), and then, or when cancelled, the stream is empty again; after with_timeout(),
  // close() it. EISCONN: not empty · ENOBUFS: the table is full · EMFILE ENFILE ENOMEM.
  auto connect(const Endpoint& endpoint) {
    return detail::operation<void>([this, &endpoint](Task& task) {
      const Result<void> result = attempt_connect(task, endpoint);
      const int error = result ? 0 : result.error().code();
      if (!detail::is_one_of(error, 0, detail::not_yet.code(), EISCONN, EBUSY)) close(), interrupted_ = false;
      return result;
    });
  }

  // One attempt, for the callback style. EAGAIN: nothing to read, or no room to write, now; and as above.
  Result<std::size_t> try_read(ByteSpan buffer) {
    if (slot_ == nullptr) return Error(EBADF);
    if (!slot_->is(Slot::is_stream)) return try_receive(buffer);
    const ssize_t n = System::recv(slot_->fd, buffer.data(), buffer.size(), MSG_DONTWAIT);
    return detail::likely(n > 0) ? Result<std::size_t>(static_cast<std::size_t>(n)) : read_result(received(buffer, n));
  }
  Result<std::size_t> try_write(ByteView bytes) {
    if (slot_ == nullptr) return Error(EBADF);
    if (!slot_->is(Slot::is_stream) || bytes.empty()) return try_send(bytes);
    const ssize_t n = System::send(slot_->fd, bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    return detail::likely(n > 0) ? Result<std::size_t>(static_cast<std::size_t>(n)) : read_result(sent(bytes, n));
  }
  // The peer reads the end of the stream after what was written. ENOTCONN · ENOTSOCK: a pipe or terminal · EBADF.
  Result<void> shutdown_write() { return detail::check(System::shutdown(fd(), SHUT_WR)); }
  Result<void> set_no_delay(bool on) { return set_option(IPPROTO_TCP, TCP_NODELAY, on ? 1 : 0); }
  // Probes after `idle` seconds of silence, every `interval` seconds; after `count` without answer: ETIMEDOUT.
  Result<void> set_keep_alive(int idle, int interval, int count) {
    Result<void> set = set_option(IPPROTO_TCP, TCP_KEEPIDLE, idle);
    if (set) set = set_option(IPPROTO_TCP, TCP_KEEPINTVL, interval);
    if (set) set = set_option(IPPROTO_TCP, TCP_KEEPCNT, count);
    return set ? set_option(SOL_SOCKET, SO_KEEPALIVE, 1) : set;
  }
 private:
  // The common case of an operation is written out where it is made; this is what it comes to else. `tried`: what the
  // system call has answered already, if it has been made. They return a size, or less than 0: an error; and an error.
  [[gnu::noinline]] ssize_t read_on(Task& task, unsigned char* data, std::size_t size, ssize_t tried = untried) {
    const ssize_t n = slot_->may_read() ? received({data, size}, tried) : -EAGAIN;
    return n != -EAGAIN ? n : -wait_for(task, Interest::read, "data").code();
  }
  [[gnu::noinline]] int write_on(Task& task, ByteView& bytes, ssize_t tried) {
    for (; !bytes.empty(); tried = untried) {
      const ssize_t n = slot_->may_write() ? sent(bytes, tried) : -EAGAIN;
      if (n == -EAGAIN) return wait_for(task, Interest::write, "room to write").code();
      if (n < 0) return static_cast<int>(-n);
      bytes.drop_front(static_cast<std::size_t>(n));
    }
    return 0;
  }
  Result<void> attempt_connect(Task& task, const Endpoint& endpoint) {
    if (std::exchange(interrupted_, false)) return Error(ECANCELED);
    if (slot_ != nullptr && !slot_->is(Slot::connecting)) return Error(EISCONN);
    if (Error answer; slot_ != nullptr ? !enter(task, Interest::write, answer) : !task.enter(answer)) return answer;
    if (slot_ == nullptr) {
      Fd fd(System::socket(endpoint.family(), SOCK_STREAM));
      if (!fd) return detail::last_error();
      const unsigned tcp = endpoint.family() != AF_UNIX ? unsigned{Slot::is_tcp} : 0u;
      const Result<void> opened =
          register_as(task.reactor(), std::move(fd), Slot::is_socket | Slot::is_stream | Slot::connecting | tcp);
      if (!opened) return opened;
      MOTE_ASSERT(slot_ != nullptr);
      const int error = System::connect(slot_->fd, endpoint.address(), endpoint.size()) == 0 ? 0 : System::error();
      if (error != 0) clear(slot_->writing, Slot::ready);
      if (error != 0 && error != EINPROGRESS && error != EINTR) return Error(error);  // interrupted, it goes on, too
    } else if (slot_->may_write()) {
      int error = 0;
      socklen_t size = sizeof error;
      if (System::getsockopt(fd(), SOL_SOCKET, SO_ERROR, &error, &size) != 0) return detail::last_error();
      if (error != 0) return Error(error);
    }
    if (!slot_->may_write()) return wait_for(task, Interest::write, "a connection");
    return slot_->set(Slot::connecting, false), Result<void>();
  }
};

// Accepts connections. Full is answered by waiting, so that connections stay in the kernel's backlog: for a slot of the
// table; or, when the system refuses a descriptor or memory, for 100 ms.
class Listener : public Source {
 public:
  struct Options {
    bool reuse_address = true;  // take over an address whose old connections linger in TIME_WAIT
    bool reuse_port = false;    // share the port with other processes' listeners
    bool no_delay = false;      // TCP_NODELAY, inherited by the accepted connections: no system call for each of them
    bool ipv6_only = false;
    int backlog = SOMAXCONN;
  };
  // EADDRINUSE EADDRNOTAVAIL EACCES EAFNOSUPPORT ENOENT ENOBUFS EMFILE ENFILE ENOMEM · EBUSY: open already.
  Result<void> open(Reactor& reactor, const Endpoint& endpoint) { return open(reactor, endpoint, Options()); }
  Result<void> open(Reactor& reactor, const Endpoint& endpoint, const Options& options) {
    if (slot_ != nullptr) return Error(EBUSY);
    Fd fd(System::socket(endpoint.family(), SOCK_STREAM));
    if (!fd) return detail::last_error();
    const bool ip = endpoint.family() != AF_UNIX, ipv6_only = endpoint.family() == AF_INET6 && options.ipv6_only;
    const bool wanted[] = {options.reuse_address, options.reuse_port, options.no_delay, ipv6_only};
    static constexpr struct {
      int level, name;
    } names[] = {{SOL_SOCKET, SO_REUSEADDR},
                 {SOL_SOCKET, SO_REUSEPORT},
                 {IPPROTO_TCP, TCP_NODELAY},
                 {IPPROTO_IPV6, IPV6_V6ONLY}};
    for (std::size_t i = 0; ip && i < sizeof wanted; ++i) {
      const int on = 1;
      if (wanted[i] && System::setsockopt(fd.get(), names[i].level, names[i].name, &on, sizeof on) != 0)
        return detail::last_error();
    }
    if (System::bind(fd.get(), endpoint.address(), endpoint.size()) != 0) return detail::last_error();
    if (System::listen(fd.get(), options.backlog) != 0) return detail::last_error();
    return register_as(reactor, std::move(fd), Slot::is_socket | Slot::listening | (ip ? unsigned{Slot::is_tcp} : 0u));
  }
  // The next connection that is still there. ECANCELED: cancelled, or closed, as at shutdown · EBADF: never opened.
  auto accept() {
    return detail::operation<Stream>([this](Task& task) {
      return Poll<Result<Stream>>::filled_in([&](Stream& stream) { return attempt_accept(task, stream); });
    });
  }
  // One attempt, for the callback style. EAGAIN: none now · ENOBUFS: the table is full · EMFILE ENFILE ENOMEM, EPERM (a
  // firewall's), ECONNABORTED (many in a row): watch() for nothing and try again later, for the listener stays ready.
  Result<Stream> try_accept() {
    if (slot_ == nullptr) return Error(EBADF);
    if (reactor_->vacancies() == 0) return Error(ENOBUFS);
    return Result<Stream>::filled_in([this](Stream& stream) { return accept_into(stream); });
  }
 private:
  Result<void> accept_into(Stream& stream) {  // where there is a free slot
    for (int i = 0; i < limits::accepts_per_poll; ++i) {
      Fd fd(System::accept(slot_->fd));
      const unsigned kind = Slot::is_socket | Slot::is_stream | (slot_->flags & Slot::is_tcp);
      if (fd) return stream.register_as(*reactor_, std::move(fd), kind);
      // Gone before it was accepted, or an error of its network: see accept(2).
      const int error = System::error();
      const bool gone = detail::is_one_of(error, EINTR, ECONNABORTED, EPROTO, ENETDOWN, ENOPROTOOPT, EHOSTDOWN, ENONET,
                                          EHOSTUNREACH, EOPNOTSUPP, ENETUNREACH, ETIMEDOUT);
      if (!gone) return Error(error);  // EAGAIN; EMFILE ENFILE ENOBUFS ENOMEM EPERM; EBADF EINVAL
    }
    return Error(ECONNABORTED);
  }
  Result<void> attempt_accept(Task& task, Stream& stream) {
    if (reactor_ == nullptr) return Error(EBADF);
    reactor_->table_vacancy_.forget(task), reactor_->accept_retry_.forget(task);
    if (Error answer; !enter(task, Interest::read, answer)) return answer;
    if (reactor_->vacancies() == 0) return reactor_->table_vacancy_.wait(task, "a free slot in the table");
    const Result<void> accepted = slot_->may_read() ? accept_into(stream) : Error(EAGAIN);
    const int error = accepted ? 0 : accepted.error().code();
    if (error == EAGAIN) return clear(slot_->reading, Slot::ready), wait_for(task, Interest::read, "a connection");
    if (!detail::is_one_of(error, EMFILE, ENFILE, ENOBUFS, ENOMEM, EPERM, ECONNABORTED)) return accepted;
    return reactor_->pause_accepts(), reactor_->accept_retry_.wait(task, "a descriptor or memory from the system");
  }
};

// Datagrams, UDP or Unix-domain. One reader and one writer at a time (EBUSY); ECANCELED and EBADF as for streams.
class Datagram : public Source {
 public:
  struct Received {
    std::size_t size = 0;    // bytes in the buffer; 0 is an empty datagram, not the end
    bool truncated = false;  // the datagram was longer than the buffer; the rest is lost
  };
  // Bound to the endpoint, whose port may be 0. EADDRINUSE EADDRNOTAVAIL EACCES EAFNOSUPPORT ENOBUFS EMFILE ENFILE ENOMEM.
  Result<void> open(Reactor& reactor, const Endpoint& endpoint) {
    if (slot_ != nullptr) return Error(EBUSY);
    Fd fd(System::socket(endpoint.family(), SOCK_DGRAM));
    if (!fd || System::bind(fd.get(), endpoint.address(), endpoint.size()) != 0) return detail::last_error();
    return register_as(reactor, std::move(fd), Slot::is_socket);
  }
  // Of that family (AF_INET, AF_INET6, AF_UNIX), bound by the first send.
  Result<void> open(Reactor& reactor, int family) {
    Fd fd(System::socket(family, SOCK_DGRAM));
    return fd ? register_as(reactor, std::move(fd), Slot::is_socket) : detail::last_error();
  }
  // Sets where send() goes and from where recv() takes: kernel state, at once.
  Result<void> connect(const Endpoint& to) { return detail::check(System::connect(fd(), to.address(), to.size())); }
  // One attempt, for the callback style. EAGAIN, and as below. `from` may be null.
  Result<Received> try_recv(ByteSpan buffer, Endpoint* from = nullptr) {
    if (slot_ == nullptr) return Error(EBADF);
    iovec vector{buffer.data(), buffer.size()};
    msghdr message;
    ::memset(&message, 0, sizeof message);
    message.msg_iov = &vector, message.msg_iovlen = 1;
    if (from != nullptr)
      *from = Endpoint(), message.msg_name = from->address(), message.msg_namelen = Endpoint::capacity;
    const ssize_t n = detail::retry([&] { return System::recvmsg(slot_->fd, &message, MSG_DONTWAIT); });
    if (n < 0) return Error(-receive_failed());
    if (from != nullptr) from->resize(message.msg_namelen);
    return Received{static_cast<std::size_t>(n), (message.msg_flags & MSG_TRUNC) != 0};
  }
  Result<void> try_send_to(ByteView bytes, const Endpoint* to = nullptr) {
    if (slot_ == nullptr) return Error(EBADF);
    const sockaddr* const address = to != nullptr ? to->address() : nullptr;
    const socklen_t size = to != nullptr ? to->size() : 0;
    const int flags = MSG_DONTWAIT | MSG_NOSIGNAL;
    const auto send = [&] { return System::sendto(slot_->fd, bytes.data(), bytes.size(), flags, address, size); };
    const ssize_t n = detail::retry(send);
    return n < 0 ? Error(failed(slot_->writing)) : Result<void>();
  }
  // ECONNREFUSED: an earlier datagram of a connected socket found nobody (ICMP) · ENOMEM.
  auto recv(ByteSpan buffer, Endpoint* from = nullptr) {
    return trying<Received>(Interest::read, "a datagram", [this, buffer, from] {
      return slot_->may_read() ? try_recv(buffer, from) : Error(EAGAIN);
    });
  }
  auto recv_from(ByteSpan buffer, Endpoint& from) { return recv(buffer, &from); }
  // All or nothing. EMSGSIZE: too long · ENOBUFS: the interface's queue is full, try later · ECONNREFUSED ENETUNREACH
  // EHOSTUNREACH ENOENT EDESTADDRREQ EACCES EPERM ENOMEM.
  auto send(ByteView bytes, const Endpoint* to = nullptr) {
    return trying<void>(Interest::write, "room to write",
                        [this, bytes, to] { return slot_->may_write() ? try_send_to(bytes, to) : Error(EAGAIN); });
  }
  auto send_to(ByteView bytes, const Endpoint& to) { return send(bytes, &to); }
};

// Reads lines of at most N - 1 bytes and their delimiter. A longer one is the error EMSGSIZE, once; its rest is passed
// over, and nothing else is lost. Size: N bytes, and 16 on a 32-bit board.
template <std::size_t N> class LineReader {
  static_assert(N >= 2, "room for one byte and the delimiter");
 public:
  constexpr LineReader() : LineReader('\n') {}
  explicit constexpr LineReader(char delimiter) : delimiter_(static_cast<unsigned char>(delimiter - '\n')) {}
  // The line without its delimiter (for '\n', nor a '\r' before it), valid until the next read. The last line may lack
  // the delimiter. ENODATA: the stream has ended · EMSGSIZE · and as Stream::read().
  auto read_line(Stream& stream) {
    return detail::operation<ByteView>([this, &stream](Task& task) -> Result<ByteView> {
      for (;;) {
        const Result<ByteView> line = task.is_giving_up() ? Error(EAGAIN) : take_line();
        if (line || line.error() != EAGAIN) return line;
        Poll<Result<std::size_t>> n = stream.read(ByteSpan(bytes_ + end_, N - end_)).poll(task);
        if (!n.ready()) return detail::not_yet;
        if (!*n) return n->error();
        end_ += **n;
        if (**n == 0) return take_rest();
      }
    });
  }
 private:
  Result<ByteView> take_line() {  // EAGAIN: more is to be read, and there is room for it
    const auto delimiter = static_cast<unsigned char>(delimiter_ + '\n');
    while (const void* const found = ::memchr(bytes_ + seen_, delimiter, end_ - seen_)) {
      const auto at = static_cast<std::size_t>(static_cast<const unsigned char*>(found) - bytes_);
      const ByteView line = cut(begin_, at);
      begin_ = seen_ = at + 1;
      if (!std::exchange(skipping_, false)) return line;
    }
    const bool too_long = !skipping_ && begin_ == 0 && end_ == N;
    if (too_long) skipping_ = true;
    if (skipping_) begin_ = end_;
    ::memmove(bytes_, bytes_ + begin_, end_ - begin_);
    end_ -= std::exchange(begin_, 0u), seen_ = end_;
    return Error(too_long ? EMSGSIZE : EAGAIN);
  }
  Result<ByteView> take_rest() {
    const ByteView rest = cut(0, end_);
    const bool none = skipping_ || end_ == 0;
    begin_ = seen_ = end_ = 0, skipping_ = false;
    return none ? Result<ByteView>(Error(ENODATA)) : rest;
  }
  ByteView cut(std::size_t from, std::size_t to) const {
    if (delimiter_ == 0 && to > from && bytes_[to - 1] == '\r') --to;
    return {bytes_ + from, to - from};
  }
  std::size_t begin_ = 0, seen_ = 0, end_ = 0;  // the line's begin, how far it was searched, the end of what has come
  bool skipping_ = false;                       // the rest of a line that was too long
  unsigned char delimiter_;                     // less '\n', so that a reader of lines is all zero bits
  unsigned char bytes_[N] = {};
};

// A serial port in raw mode. An unplugged one reads as the end of the stream.
class SerialPort : public Stream {
 public:
  enum class Parity : std::uint8_t { none, even, odd };
  struct Settings {
    int baud = 115200;
    int data_bits = 8;  // 5 to 8
    Parity parity = Parity::none;
    int stop_bits = 1;                   // 1 or 2
    bool hardware_flow_control = false;  // RTS/CTS
  };
  // Opens it for this process alone: any other open() gives EBUSY (except to the superuser: TIOCEXCL). EINVAL: a setting
  // that the device or driver does not take · ENOTTY: no terminal · ENOENT EACCES EBUSY ENXIO EIO EMFILE ENFILE ENOBUFS.
  Result<void> open(Reactor& reactor, const char* path) { return open(reactor, path, Settings()); }
  Result<void> open(Reactor& reactor, const char* path, const Settings& settings) {
    if (slot_ != nullptr) return Error(EBUSY);
    Fd fd(detail::retry([path] { return System::open(path, O_RDWR | O_NOCTTY | O_NONBLOCK); }));
    if (!fd) return detail::last_error();
    if (const Result<void> configured = configure(fd.get(), settings); !configured) return configured;
    if (System::set_exclusive(fd.get()) != 0) return detail::last_error();
    return register_as(reactor, std::move(fd), Slot::is_tty);
  }
 private:
  static Result<void> configure(int fd, const Settings& settings) {
    const speed_t wanted_speed = speed(settings.baud);
    const int bits = settings.data_bits, stops = settings.stop_bits;
    if (wanted_speed == B0 || bits < 5 || bits > 8 || stops < 1 || stops > 2) return Error(EINVAL);
    termios t;
    if (System::tcgetattr(fd, &t) != 0) return detail::last_error();
    ::cfmakeraw(&t);
    constexpr tcflag_t sizes[] = {CS5, CS6, CS7, CS8}, format = CSIZE | PARENB | PARODD | CSTOPB | CRTSCTS;
    tcflag_t wanted = sizes[bits - 5];
    if (settings.parity != Parity::none) wanted |= PARENB;
    if (settings.parity == Parity::odd) wanted |= PARODD;
    if (stops == 2) wanted |= CSTOPB;
    if (settings.hardware_flow_control) wanted |= CRTSCTS;
    t.c_cflag = (t.c_cflag & ~format) | wanted | CREAD | CLOCAL;
    t.c_cc[VMIN] = 1, t.c_cc[VTIME] = 0;  // nothing there is EAGAIN; with VMIN 0 it would look like the end
    if (::cfsetispeed(&t, wanted_speed) != 0 || ::cfsetospeed(&t, wanted_speed) != 0) return detail::last_error();
    if (detail::retry([&] { return System::tcsetattr(fd, &t); }) != 0) return detail::last_error();
    if (System::tcgetattr(fd, &t) != 0) return detail::last_error();
    // tcsetattr() succeeds if it could do any part of what was asked: see termios(3).
    const bool taken = (t.c_cflag & format) == wanted && ::cfgetospeed(&t) == wanted_speed;
    return taken ? Result<void>() : Error(EINVAL);
  }
  static speed_t speed(int baud) {
    constexpr int bauds[] = {300,    600,    1200,   2400,   4800,   9600,    19200,   38400,   57600,   115200,
                             230400, 460800, 500000, 576000, 921600, 1000000, 1500000, 2000000, 3000000, 4000000};
    constexpr speed_t speeds[] = {B300,    B600,     B1200,    B2400,    B4800,    B9600,   B19200,
                                  B38400,  B57600,   B115200,  B230400,  B460800,  B500000, B576000,
                                  B921600, B1000000, B1500000, B2000000, B3000000, B4000000};
    for (std::size_t i = 0; i < sizeof bauds / sizeof *bauds; ++i)
      if (bauds[i] == baud) return speeds[i];
    return B0;
  }
};
inline void Reactor::close_listeners() {
  for (std::uint32_t i = 1; i <= fresh_; ++i)
    if (slots_[i].is(Slot::listening)) slots_[i].owner->close();
}

}  // namespace MOTE_NAMESPACE
}  // namespace mote

#include "mote_concurrency.hpp"  // sections 9 to 12

#undef MOTE_COLD
#undef MOTE_NAMESPACE
#endif  // MOTE_HPP
