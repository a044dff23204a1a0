// mote - concurrency: other threads and signals, what tasks do together, how a program ends, and C++20 coroutines.
// SPDX-License-Identifier: MIT
// Copyright (c) 2026 The mote authors
//
//   static mote::Channel<Sample, 16> samples;  // from one task to another; full and empty wait
//   MOTE_AWAIT(sent, samples.send(sample));    // in a StateMachine
//   auto sample = co_await samples.receive();  // in a coroutine
//
// The second half of mote.hpp, which includes it at its end; include either. Sections 9 to 11 are C++17; section 12 is
// there from C++20 on, and without it the program is the same to the byte.

#include "mote.hpp"

#ifndef MOTE_CONCURRENCY_HPP
#define MOTE_CONCURRENCY_HPP

#include <stdlib.h>  // getenv, strtoul, strtoull: systemd's environment

#include <tuple>  // what operations that are awaited together give
#if __cplusplus >= 202002L
#include <concepts>   // convertible_to
#include <coroutine>  // coroutine_handle, suspend_always
#endif

namespace mote {
inline namespace MOTE_NAMESPACE {

// =====================================================================================================================
// 9. Wake-ups and signals
// =====================================================================================================================
// Wakes the loop from any thread and from signal handlers. Wake-ups coalesce: many before the loop comes around are
// one, and the loop then looks at each waker. Either a callback is called in the loop's thread, or a task awaits wait().
// The reactor may go first; wake() is then without effect. Nobody may call wake() once the waker's own destructor has
// begun. Size on a 32-bit board: 48 bytes.
class Waker : public detail::Hook<2> {
 public:
  ~Waker() { close(), waiter_.clear(); }
  // EBUSY: open already · and what Reactor::enable_wakeups() answers.
  Result<void> open(Reactor& reactor, Delegate<void()> callback = {}) {
    if (is_open()) return Error(EBUSY);
    if (const Result<void> enabled = reactor.enable_wakeups(); !enabled) return enabled;
    callback_ = callback, signalled_ = closed_ = false;
    reactor.inbox_.push_back(*this), ++reactor.inbox_size_;
    reactor_.store(&reactor);
    if (pending_.load() != 0) reactor.attend_to(Reactor::woken);  // woken before it was open
    return {};
  }
  void close() {
    Reactor* const reactor = reactor_.exchange(nullptr);
    if (reactor == nullptr) return;
    // Somebody is in the midst of wake(), and about to use the reactor. (A forked child may have copied the count.)
    while (users_.load() != 0 && reactor->process_ == System::process()) System::yield();
    unlink(), --reactor->inbox_size_;
    closed_ = true, waiter_.notify();
  }
  // Async-signal-safe, any thread, never blocks. At most one system call, and none while the loop is awake.
  void wake() {
    users_.fetch_add(1);  // close() waits for us. All three are sequentially consistent, against open() and close()
    if (pending_.exchange(1) == 0) {
      if (Reactor* const reactor = reactor_.load()) reactor->notify();
    }
    users_.fetch_sub(1, std::memory_order_release);
  }
  bool is_open() const { return reactor_.load(std::memory_order_relaxed) != nullptr; }
  // Completes when it has been woken since the last wait(). For one task at a time (EBUSY). ECANCELED: cancelled, or
  // closed · EBADF: never opened.
  auto wait() {
    return detail::operation<void>([this](Task& task) {
      return when(task, [this] { return std::exchange(signalled_, false) ? Result<void>() : Error(EAGAIN); });
    });
  }
 private:
  friend class Reactor;
  friend class Signals;
  template <class T, std::size_t N> friend class Mailbox;
  template <class GetResult, class R = std::invoke_result_t<GetResult>>
  R when(Task& task, GetResult&& get_result) {  // it gives EAGAIN: wait for a wake-up
    return detail::attempt<R>(task, waiter_, "a wake-up", [&]() -> R {
      R result = get_result();
      if (result || result.error() != EAGAIN || is_open()) return result;
      return Error(closed_ ? ECANCELED : EBADF);
    });
  }
  void deliver() {
    if (pending_.exchange(0, std::memory_order_acq_rel) == 0) return;
    signalled_ = true, waiter_.notify();
    const Delegate<void()> callback = callback_;
    if (callback) callback();
  }
  bool signalled_ = false, closed_ = false;
  std::atomic<Reactor*> reactor_{nullptr};
  std::atomic<std::uint32_t> users_{0}, pending_{0};
  Delegate<void()> callback_;
  detail::Waiter waiter_;
};
inline void Reactor::deliver_wakeups() {
  attend_to(woken, false);
  detail::List<Waker, detail::Hook<2>> batch;  // safe whatever the callbacks open and close
  batch.take(inbox_);
  while (Waker* const waker = batch.pop_front()) {
    inbox_.push_back(*waker);
    waker->deliver();
  }
}

// Signals 1 to 64, as two 32-bit words.
class SignalSet {
 public:
  constexpr SignalSet() = default;
  constexpr SignalSet(std::initializer_list<int> signals) {
    for (const int signal : signals) add(signal);
  }
  constexpr void add(int signal) {
    if (signal >= 1 && signal <= 64) words_[word(signal)] |= bit(signal);
    else invalid_ = true;
  }
  constexpr bool contains(int signal) const { return (words_[word(signal)] & bit(signal)) != 0; }  // of 1 to 64
  constexpr int next(int after) const {  // the lowest above it; 0: none
    while (++after <= 64)
      if (contains(after)) return after;
    return 0;
  }
  constexpr bool valid() const { return !invalid_; }  // nothing but signals has been added
  static constexpr std::uint32_t word(int signal) { return (static_cast<std::uint32_t>(signal) - 1) / 32; }
  static constexpr std::uint32_t bit(int signal) { return 1u << ((static_cast<std::uint32_t>(signal) - 1) % 32); }
 private:
  std::uint32_t words_[2] = {};
  bool invalid_ = false;
};
namespace detail {
// Who has claimed which signal: process-wide, as signals are. The saved dispositions are in a short form.
struct SignalTable {
  struct Saved {
    void (*handler)(int) = nullptr;
    unsigned char mask[8] = {};  // the first 64 of a sigset_t
    int flags = 0;
  };
  std::atomic<Signals*> owner[65] = {};
  std::atomic<std::uint32_t> running{0};  // handlers in progress, in whatever threads
  Saved saved[65] = {};
};
inline SignalTable signal_table;
}  // namespace detail
inline void Reactor::forget_other_threads() {  // which a forked child may have copied in the midst of what they did
  detail::signal_table.running.store(0);
  for (Waker* waker = inbox_.front(); waker != nullptr; waker = inbox_.after(*waker)) waker->users_.store(0);
  process_ = System::process(), attend_to(woken);
}

// Turns signals into calls or awaitable events of the loop. The handler that it installs sets a flag and wakes the loop,
// nothing else; it restores errno, and does nothing in a forked child (until that calls after_fork_in_child() and opens
// its own). No signal mask is changed, no child is reaped; what was installed before is put back by close(), unless
// somebody has replaced our handler meanwhile. Repeats of a signal before the loop comes around count once.
class Signals : detail::Pinned {
 public:
  ~Signals() { close(); }
  // EINVAL: a number that is no signal, or cannot be caught (SIGKILL, SIGSTOP) · EBUSY: open already, or one of them
  // belongs to another Signals · and what Reactor::enable_wakeups() answers. On failure nothing is changed.
  Result<void> open(Reactor& reactor, const SignalSet& signals, Delegate<void(int)> callback = {}) {
    if (process_ != 0) return Error(EBUSY);
    if (!signals.valid()) return Error(EINVAL);
    for (int s = 0; (s = signals.next(s)) != 0;)  // what a forked child has inherited claims nothing
      if (is_claimed(table().owner[s].load(std::memory_order_acquire))) return Error(EBUSY);
    const Result<void> opened = waker_.open(reactor, Delegate<void()>::of<&Signals::deliver>(*this));
    if (!opened) return opened;
    callback_ = callback, process_ = System::process();
    for (auto& word : arrived_) word.store(0, std::memory_order_relaxed);
    Result<void> claimed;
    for (int s = 0; claimed && (s = signals.next(s)) != 0;) claimed = claim(s);
    return claimed ? void() : close(), claimed;
  }
  void close() {
    if (process_ == 0) return;
    for (int s = 1; s <= 64; ++s) give_back(s);
    // A handler may be at work in another thread, having found us as the owner just before. (A forked child has no other
    // threads, but may have copied the count while it was not zero.)
    while (process_ == System::process() && table().running.load() != 0) System::yield();
    process_ = 0, waker_.close();
  }
  // The lowest-numbered signal that has come. For one task at a time (EBUSY). ECANCELED · EBADF: not open.
  auto next() {
    return detail::operation<int>([this](Task& task) { return waker_.when(task, [this] { return take(); }); });
  }
 private:
  static detail::SignalTable& table() { return detail::signal_table; }
  static bool is_claimed(const Signals* by) { return by != nullptr && by->process_ == System::process(); }
  static void on_signal(int signal) {
    const int saved_errno = errno;
    table().running.fetch_add(1);
    Signals* const owner = table().owner[signal].load();
    if (is_claimed(owner)) {
      owner->arrived_[SignalSet::word(signal)].fetch_or(SignalSet::bit(signal), std::memory_order_release);
      owner->waker_.wake();
    }
    table().running.fetch_sub(1);
    errno = saved_errno;
  }
  Result<void> claim(int signal) {
    struct sigaction ours, old;
    ::memset(&ours, 0, sizeof ours);
    ours.sa_handler = &Signals::on_signal;
    ours.sa_flags = SA_RESTART;  // blocking calls elsewhere in the program go on; waits for descriptors never restart
    table().owner[signal].store(this, std::memory_order_release);
    if (System::sigaction(signal, &ours, &old) != 0) {
      const Error error(System::error());  // EINVAL
      return table().owner[signal].store(nullptr, std::memory_order_relaxed), error;
    }
    if (old.sa_handler == &Signals::on_signal) return {};  // inherited, too: what was saved then still stands
    detail::SignalTable::Saved& saved = table().saved[signal];
    saved.handler = old.sa_handler, saved.flags = old.sa_flags;
    return ::memcpy(saved.mask, &old.sa_mask, sizeof saved.mask), Result<void>();
  }
  void give_back(int signal) {  // if it is ours
    struct sigaction action;    // ours, and then what was there before
    if (table().owner[signal].load(std::memory_order_relaxed) != this) return;
    if (System::sigaction(signal, nullptr, &action) == 0 && action.sa_handler == &Signals::on_signal) {
      const detail::SignalTable::Saved& saved = table().saved[signal];
      action.sa_handler = saved.handler, action.sa_flags = saved.flags;
      ::memcpy(&action.sa_mask, saved.mask, sizeof saved.mask);
      System::sigaction(signal, &action, nullptr);
    }
    table().owner[signal].store(nullptr);
  }
  void deliver() {
    for (int last = 0; callback_;) {  // one pass: what the callbacks raise again comes in the next turn
      const Result<int> signal = take(last);
      if (!signal) return;
      const Delegate<void(int)> callback = callback_;
      callback(last = *signal);  // may close or destroy this object: then nothing of it may be touched
      if (table().owner[last].load(std::memory_order_relaxed) != this) return;
    }
  }
  Result<int> take(int after = 0) {
    while (++after <= 64) {
      std::atomic<std::uint32_t>& word = arrived_[SignalSet::word(after)];
      const std::uint32_t bit = SignalSet::bit(after);
      if ((word.load(std::memory_order_relaxed) & bit) == 0) continue;
      return word.fetch_and(~bit, std::memory_order_acquire), after;
    }
    return Error(EAGAIN);
  }
  std::atomic<std::uint32_t> arrived_[2] = {};
  Delegate<void(int)> callback_;
  Waker waker_;
  pid_t process_ = 0;  // that opened it; 0: closed
};
// The reactor ends: everything that refers to it is made to forget it, in whatever order they go.
inline void Reactor::close() {
  destroy_all_tasks();
  while (TaskPoolBase* const pool = pools_.front()) pool->close();
  while (Waker* const waker = inbox_.front()) waker->close();
  if (expire_timers_ != nullptr) expire_timers_(*this, false);
  for (std::uint32_t i = 1; i <= fresh_; ++i)
    if (slots_[i].owner != nullptr) slots_[i].owner->close();
}

// =====================================================================================================================
// 10. Synchronisation
// =====================================================================================================================
// Between tasks of one reactor, in its thread; only Mailbox is for other threads, too. Who waits is served in order of
// arrival, and nobody overtakes. A task can stand in limits::queues_per_task queues at a time: ENOBUFS is the answer to
// one more. What is waited for may be destroyed before those who wait: they get ECANCELED, and do not touch it again.

// A flag to wait for. Size on a 32-bit board: 16 bytes.
class Event : detail::Pinned {
 public:
  void set() { set_ = true, queue_.let_out(); }  // whoever waits now goes on, even if it is cleared at once. O(waiters)
  void clear() { set_ = false; }
  bool is_set() const { return set_; }
  auto wait() {  // ECANCELED ENOBUFS
    return detail::operation<void>([this](Task& task) {
      return detail::attempt<Result<void>>(task, queue_, "an event", [this](bool let_out) {
        return let_out || set_ ? Result<void>() : Error(EAGAIN);  // let out, the event may be gone by now
      });
    });
  }
 private:
  detail::WaitQueue queue_;
  bool set_ = false;
};

// A number of permits. Size on a 32-bit board: 16 bytes.
class Semaphore : detail::Pinned {
 public:
  constexpr explicit Semaphore(std::uint32_t permits = 0) : permits_(permits) {}
  auto acquire() {  // one permit, to be given back by release(). ECANCELED ENOBUFS
    return detail::operation<void>([this](Task& task) {
      return detail::attempt<Result<void>>(task, queue_, "a permit", [this](bool) { return take(); });
    });
  }
  // EAGAIN: there is none, or others wait.
  Result<void> try_acquire() { return queue_.is_next(nullptr) ? take() : Error(EAGAIN); }
  void release(std::uint32_t permits = 1) {  // no more than UINT32_MAX are kept. O(permits)
    permits_ = permits > UINT32_MAX - permits_ ? UINT32_MAX : permits_ + permits;
    queue_.notify(permits);
  }
  std::uint32_t available() const { return permits_; }
 private:
  Result<void> take() { return permits_ != 0 ? (--permits_, Result<void>()) : Error(EAGAIN); }
  detail::WaitQueue queue_;
  std::uint32_t permits_;
};

// Mutual exclusion across awaits: lock() gives a Guard, which unlocks when it goes. Size on a 32-bit board: 16 bytes.
class Mutex : detail::Pinned {
 public:
  // Empty, or holding a mutex; movable, so that a task keeps it as a member. It goes empty where the mutex goes first.
  class Guard {
   public:
    Guard() = default;
    Guard(Guard&& other) noexcept { take(other); }
    Guard& operator=(Guard&& other) noexcept {
      if (this != &other) unlock(), take(other);
      return *this;
    }
    ~Guard() { unlock(); }
    void unlock() {
      if (Mutex* const mutex = std::exchange(mutex_, nullptr)) mutex->holder_ = nullptr, mutex->queue_.notify();
    }
    explicit operator bool() const { return mutex_ != nullptr; }
   private:
    friend class Mutex;
    [[gnu::noinline]] void take(Guard& other) {  // inlined, g++ sees the address of a local kept; it moves along
      mutex_ = std::exchange(other.mutex_, nullptr);
      if (mutex_ != nullptr) mutex_->holder_ = this;
    }
    Mutex* mutex_ = nullptr;
  };
  ~Mutex() {
    if (holder_ != nullptr) holder_->mutex_ = nullptr;
  }
  auto lock() {  // a Guard. ECANCELED ENOBUFS; a task that holds it already waits for itself, for ever
    return detail::operation<Guard>([this](Task& task) {
      return detail::attempt<Result<Guard>>(task, queue_, "a mutex", [this](bool) { return take(); });
    });
  }
  Result<Guard> try_lock() { return queue_.is_next(nullptr) ? take() : Error(EAGAIN); }  // EAGAIN: held, or others wait
  bool is_locked() const { return holder_ != nullptr; }
 private:
  Result<Guard> take() {
    if (holder_ != nullptr) return Error(EAGAIN);
    Result<Guard> guard{Guard()};
    guard->mutex_ = this, holder_ = &*guard;
    return guard;
  }
  detail::WaitQueue queue_;
  Guard* holder_ = nullptr;
};

// A bounded queue of values from tasks to tasks, in order; T may be move-only, and its moves and copies must not throw.
// Size: N * sizeof(T), and 32 bytes on a 32-bit board.
template <class T, std::size_t N> class Channel : detail::Pinned {
  static_assert(N >= 1 && N < (1u << 30), "room for one value at least");
  static_assert(std::is_nothrow_move_constructible<T>::value, "a value must not throw when it is moved");
 public:
  constexpr Channel() = default;
  ~Channel() {
    for (closed_ = true; count_ != 0;) static_cast<void>(take());
  }
  // Waits while it is full. The value is moved (or copied) from when there is room, and else is as it was; it must
  // outlive the await. EPIPE: closed · ECANCELED ENOBUFS.
  auto send(T&& value) { return sending(static_cast<T&&>(value)); }
  auto send(const T& value) { return sending(value); }
  // Waits while it is empty. ENODATA: closed, and all has been received · ECANCELED ENOBUFS.
  auto receive() {
    return detail::operation<T>([this](Task& task) {
      return detail::attempt<Result<T>>(task, receivers_, "a message", [this](bool) { return take(); });
    });
  }
  // EAGAIN: full, or empty, or others wait.
  Result<void> try_send(T&& value) { return senders_.is_next(nullptr) ? put(std::move(value)) : Error(EAGAIN); }
  Result<void> try_send(const T& value) { return senders_.is_next(nullptr) ? put(value) : Error(EAGAIN); }
  Result<T> try_receive() { return receivers_.is_next(nullptr) ? take() : Error(EAGAIN); }
  // No more is sent; what has been sent can still be received. O(waiters).
  void close() { closed_ = true, senders_.notify(SIZE_MAX), receivers_.notify(SIZE_MAX); }
  bool is_closed() const { return closed_; }
  std::size_t size() const { return count_; }
  static constexpr std::size_t capacity() { return N; }
 private:
  template <class U> auto sending(U&& value) {
    return detail::operation<void>([this, &value](Task& task) {
      return detail::attempt<Result<void>>(task, senders_, "room in a channel",
                                           [this, &value](bool) { return put(static_cast<U&&>(value)); });
    });
  }
  template <class U> Result<void> put(U&& value) {
    if (closed_ || count_ == N) return Error(closed_ ? EPIPE : EAGAIN);
    ::new (at(first_ + count_)) T(static_cast<U&&>(value));
    return ++count_, receivers_.notify(), Result<void>();
  }
  Result<T> take() {
    if (count_ == 0) return Error(closed_ ? ENODATA : EAGAIN);
    T* const value = static_cast<T*>(at(first_));
    Result<T> result(std::move(*value));
    value->~T();
    first_ = (first_ + 1) % N, --count_;
    return senders_.notify(), std::move(result);
  }
  void* at(std::size_t i) { return bytes_ + i % N * sizeof(T); }
  detail::WaitQueue senders_, receivers_;
  std::size_t first_ = 0, count_ = 0;
  bool closed_ = false;
  alignas(T) unsigned char bytes_[N * sizeof(T)] = {};
};

// A bounded queue from any threads (not signal handlers) to the loop, lock-free with 32-bit atomics (after Vyukov's bounded
// MPMC queue). N is a power of two. Each producer's messages keep their order; none that was accepted is lost; full says so.
// Size: (sizeof(T) + 4) * N, and 56 bytes on a 32-bit board.
template <class T, std::size_t N> class Mailbox : detail::Pinned {
  static_assert(N > 0 && (N & (N - 1)) == 0 && N <= (1u << 30), "the capacity of a Mailbox is a power of two");
 public:
  constexpr Mailbox() : cells_{} {}
  ~Mailbox() {
    for (close(); try_receive();) continue;
  }
  // The callback comes in the loop's thread when messages have come; it takes them with try_receive().
  Result<void> open(Reactor& reactor, Delegate<void()> callback = {}) { return waker_.open(reactor, callback); }
  void close() { waker_.close(); }
  // Any thread, also before open() and after close(). ENOBUFS: full; the argument is as it was.
  template <class U> Result<void> post(U&& message) {
    std::uint32_t position = tail_.load(std::memory_order_relaxed);
    for (;;) {
      Cell& cell = cells_[position % N];
      if (cell.turn.load(std::memory_order_acquire) == turn_of(position)) {
        if (!tail_.compare_exchange_weak(position, position + 1, std::memory_order_relaxed)) continue;
        ::new (static_cast<void*>(cell.bytes)) T(std::forward<U>(message));
        cell.turn.store(turn_of(position) + 1, std::memory_order_release);
        waker_.wake();
        return {};
      }
      const std::uint32_t seen = std::exchange(position, tail_.load(std::memory_order_relaxed));
      if (position == seen) return Error(ENOBUFS);
    }
  }
  // The loop's thread. EAGAIN: empty.
  Result<T> try_receive() {
    Cell& cell = cells_[head_ % N];
    if (cell.turn.load(std::memory_order_acquire) != turn_of(head_) + 1) return Error(EAGAIN);
    T* const message = static_cast<T*>(static_cast<void*>(cell.bytes));
    Result<T> result(std::move(*message));
    message->~T();
    cell.turn.store(turn_of(head_++ + static_cast<std::uint32_t>(N)), std::memory_order_release);
    return result;
  }
  // The next message. For one task at a time (EBUSY). ECANCELED · EBADF: not open.
  auto receive() {
    return detail::operation<T>([this](Task& task) { return waker_.when(task, [this] { return try_receive(); }); });
  }
 private:
  struct Cell {
    std::atomic<std::uint32_t> turn{0};  // even: free for the position of that turn; odd: holds its message
    alignas(T) unsigned char bytes[sizeof(T)] = {};
  };
  static constexpr std::uint32_t turn_of(std::uint32_t position) { return position / N * 2; }
  Cell cells_[N];
  std::atomic<std::uint32_t> tail_{0};
  std::uint32_t head_ = 0;
  Waker waker_;
};

namespace detail {
template <class Op> using Answer = typename decltype(std::declval<Op&>().poll(std::declval<Task&>()))::value_type;
template <class R> struct ValueOf;
template <class T> struct ValueOf<Result<T>> { using type = T; };
template <class Op> using Awaited = typename ValueOf<Answer<Op>>::type;

// Has an operation that is pending leave where it waits, and nothing else: what the task awaits besides goes on.
template <class Op> void give_up(Task& task, Op& operation) {
  const std::int32_t budget = task.budget();
  const bool outer = task.give_up(true);
  static_cast<void>(operation.poll(task));
  task.give_up(outer, budget);
}
template <class Op> struct [[nodiscard]] Timed {
  TaskTimer& timer;
  Duration limit;
  Op operation;
  Poll<Answer<Op>> poll(Task& task) {
    const bool looked = task.budget() > 0;
    Poll<Answer<Op>> result = operation.poll(task);
    if (result.ready() || task.is_giving_up()) return timer.reset(), std::move(result);
    if (!timer.over(task, limit)) return pending;
    if (!looked) return task.wake(), pending;
    give_up(task, operation), timer.reset();
    return Answer<Op>(Error(ETIMEDOUT));
  }
};
template <class Op> struct [[nodiscard]] Shielded {
  Op operation;
  Poll<Answer<Op>> poll(Task& task) {
    if (!task.is_giving_up()) task.shield_operation(true);
    Poll<Answer<Op>> result = operation.poll(task);
    if (result.ready() || task.is_giving_up()) task.shield_operation(false);
    return result;
  }
};
}  // namespace detail

// Combinators: operations made of operations. Those are polled in the order in which they are named; a Co (section 12)
// is one, too. Everything named in them must outlive the await. A task has one place in each queue: the parts of one
// await must not wait for the same channel, event or the like.

// The operation's own result, or ETIMEDOUT if it does not come within `limit`. What has completed when the time is up
// wins. After a time-out the task waits for nothing; what it worked on (a stream, say) is as it was.
template <class Op> detail::Timed<Op> with_timeout(TaskTimer& timer, Duration limit, Op&& operation) {
  return {timer, limit, static_cast<Op&&>(operation)};
}

// The operation, not to be cancelled: cancel() has its effect when it has completed. For a clean-up that must finish; a
// shutdown still destroys what outlasts its second period. For more than one operation, see Shield.
template <class Op> detail::Shielded<Op> shield(Op&& operation) { return {static_cast<Op&&>(operation)}; }

// Shields its task from cancellation, from raise() until lower() or its end. At most 255 at a time.
class Shield {
 public:
  Shield() = default;
  explicit Shield(Task& task) { raise(task); }
  Shield(const Shield&) = delete;
  Shield& operator=(const Shield&) = delete;
  ~Shield() { lower(); }
  void raise(Task& task) {
    if (task_.get() == nullptr) task_ = TaskRef(task), task.raise_shield();
  }
  void lower() {
    if (Task* const task = std::exchange(task_, TaskRef()).get()) task->lower_shield();
  }
 private:
  TaskRef task_;  // which may end before it
};

// What first_of() gives: which operation has completed, from 0 on, and its result; the other results say EAGAIN.
template <class... T> struct FirstOf {
  std::size_t which = 0;
  std::tuple<Result<T>...> results{Result<T>(Error(EAGAIN))...};
  template <std::size_t I> auto& get() { return std::get<I>(results); }
};
namespace detail {
template <class... Op> struct [[nodiscard]] First {
  using Value = FirstOf<Awaited<Op>...>;
  std::tuple<Op...> operations;
  Poll<Result<Value>> poll(Task& task) { return poll(task, std::index_sequence_for<Op...>()); }
  template <std::size_t... I> Poll<Result<Value>> poll(Task& task, std::index_sequence<I...>) {
    if (task.is_giving_up()) return (static_cast<void>(std::get<I>(operations).poll(task)), ...), pending;
    Value value;
    const bool cancelling = task.is_being_cancelled();
    if (!(poll_one<I>(task, value) || ...)) return pending;
    ((I != value.which ? give_up(task, std::get<I>(operations)) : void()), ...);
    if (cancelling && !task.is_being_cancelled() && is_cancelled<I...>(value)) return Result<Value>(Error(ECANCELED));
    return Result<Value>(std::move(value));
  }
  template <std::size_t I> bool poll_one(Task& task, Value& value) {
    task.grant_one();  // those before it may have used up the step's share
    auto result = std::get<I>(operations).poll(task);
    if (!result.ready()) return false;
    value.which = I, value.template get<I>() = std::move(*result);
    return true;
  }
  template <std::size_t... I> static bool is_cancelled(Value& value) {
    return ((value.which == I && !value.template get<I>() && value.template get<I>().error() == ECANCELED) || ...);
  }
};
}  // namespace detail

// Waits until one of the operations has completed, and gives up the others: none of them leaves a waiter behind, nor takes
// what it waited for. ECANCELED: the task was cancelled while those that are named first were pending.
template <class... Op> detail::First<Op...> first_of(Op&&... operations) {
  return {std::tuple<Op...>(static_cast<Op&&>(operations)...)};
}

// The results of all_of(), as they come: a named object, that outlives the await. Given up amid (by a time-out, say), it
// goes on where it stood when it is awaited again; reset() to begin anew.
template <class... T> class AllOf {
 public:
  template <std::size_t I> auto& get() { return std::get<I>(results_); }
  bool is_complete(std::size_t i) const { return (complete_ >> i & 1u) != 0; }
  void reset() { *this = AllOf(); }
  // For all_of(): one more attempt at those that have not completed.
  template <class Ops, std::size_t... I>
  Poll<Result<void>> poll(Task& task, Ops& operations, std::index_sequence<I...>) {
    if (task.is_giving_up()) return (give_up_one<I>(task, operations), ...), pending;
    if (complete_ == all) reset();
    const bool cancelling = task.is_being_cancelled();
    bool answered = false, held = false;
    (poll_one<I>(task, operations, cancelling, answered, held), ...);
    if (answered || held) task.request_cancellation(false);
    if (held && !answered) task.cancel();  // none but who is shielded
    if (complete_ != all) return pending;
    Result<void> result;
    ((result && !get<I>() ? void(result = get<I>().error()) : void()), ...);
    return result;
  }
 private:
  static_assert(sizeof...(T) >= 1 && sizeof...(T) < 32, "1 to 31 operations");
  static constexpr std::uint32_t all = (1u << sizeof...(T)) - 1;
  template <std::size_t I, class Ops>
  void poll_one(Task& task, Ops& operations, bool cancelling, bool& answered, bool& held) {
    if (is_complete(I) || (!cancelling && task.is_being_cancelled()))
      return;                                     // which all of them hear of, the next time
    if (cancelling) task.request_cancellation();  // each of them hears of it
    task.grant_one();
    auto result = std::get<I>(operations).poll(task);
    if (cancelling && !task.is_being_cancelled()) (task.take_held_cancellation() ? held : answered) = true;
    if (result.ready()) get<I>() = std::move(*result), complete_ |= 1u << I;
  }
  template <std::size_t I, class Ops> void give_up_one(Task& task, Ops& operations) {
    if (!is_complete(I)) static_cast<void>(std::get<I>(operations).poll(task));
  }
  std::tuple<Result<T>...> results_{Result<T>(Error(EAGAIN))...};  // until they have come
  std::uint32_t complete_ = 0;
};
namespace detail {
template <class... Op> struct [[nodiscard]] All {
  AllOf<Awaited<Op>...>& results;
  std::tuple<Op...> operations;
  Poll<Result<void>> poll(Task& task) { return results.poll(task, operations, std::index_sequence_for<Op...>()); }
};
}  // namespace detail

// Waits until all of the operations have completed, whatever comes of them: their results are in `results`. Gives success
// if all of them succeeded, else the error of the first in order that did not; a cancellation is passed on to each.
template <class... Op> detail::All<Op...> all_of(AllOf<detail::Awaited<Op>...>& results, Op&&... operations) {
  return {results, std::tuple<Op...>(static_cast<Op&&>(operations)...)};
}

// What all groups have in common.
class TaskGroupBase : detail::Pinned, detail::EndHook {
 public:
  std::uint32_t size() const { return size_; }              // members that have not ended
  std::uint32_t failures() const { return failures_; }      // since it was made
  Outcome first_failure() const { return first_failure_; }  // kind none: none has failed since the last join_all()
  void cancel_all() {                                       // O(members)
    cancelling_ = size_ != 0;
    for (std::uint32_t i = 0; i < size_; ++i) members_[i].cancel();
  }
  // The other policy: when one fails, the others are cancelled. Else they go on.
  void cancel_others_on_failure(bool on = true) { cancels_others_ = on; }
  // Called when a member has ended and its slot is free again, so that it can be replaced at once; to tell which, see
  // TaskRef::names(). Not called for what the group's destructor ends.
  void on_end(Delegate<void(const Task&, Outcome)> callback) { on_end_ = callback; }
  // Waits until all members have ended, those that are spawned meanwhile included. Gives the first failure's error, which
  // is thereby told, and may be spawned into anew. ECANCELED: cancelled, or the group is no more · ENOBUFS.
  auto join_all() {
    return detail::operation<void>([this](Task& task) {
      return detail::attempt<Result<void>>(task, joiners_, "the end of a group", [this](bool) -> Result<void> {
        if (size_ != 0) return Error(EAGAIN);
        const Outcome failure = std::exchange(first_failure_, {});
        return failure.kind == Outcome::Kind::failed ? Result<void>(failure.error) : Result<void>();
      });
    });
  }
 protected:
  constexpr TaskGroupBase() = default;
  ~TaskGroupBase() = default;
  void close() {  // while the members' handles are there: they lie in the derived class
    for (on_end_ = {}; size_ != 0;) {
      TaskHandle& last = members_[size_ - 1];
      if (last.destroy()) continue;           // which makes it leave
      last.cancel(), last.detach(), --size_;  // the one that is running destroys its own group
    }
  }
  Result<TaskRef> add(TaskHandle&& handle, TaskHandle* members) {
    members_ = members, EndHook::ended = [](Task& task) { of(task).note_end(task); };
    TaskHandle& member = members_[size_++];
    member = std::move(handle), member.group_ = this;
    return TaskRef(*member.task_);
  }
  bool cancelling_ = false, cancels_others_ = false;
  std::uint32_t size_ = 0, failures_ = 0;
 private:
  static TaskGroupBase& of(Task& task) { return static_cast<TaskGroupBase&>(*task.handle_->group_); }
  void note_end(Task& task) {
    TaskHandle& member = *task.handle_;
    const Outcome outcome = member.outcome();
    const bool failure = outcome.kind == Outcome::Kind::failed, told = on_end_ || !joiners_.places_.empty();
    failures_ += failure ? 1u : 0u;
    if (failure && first_failure_.kind == Outcome::Kind::none) first_failure_ = outcome;
    if (told) task.code_ = 0;  // else it is reported to the observer
    TaskHandle leaving = std::move(member);
    if (&member != &members_[--size_]) member = std::move(members_[size_]);
    if (failure && cancels_others_) cancel_all();
    if (size_ == 0) cancelling_ = false, joiners_.notify(SIZE_MAX);
    const auto callback = on_end_;
    leaving.detach();  // an observer may destroy this group, and so may the callback
    if (callback) callback(task, outcome);
  }
  TaskHandle* members_ = nullptr;
  Outcome first_failure_;
  Delegate<void(const Task&, Outcome)> on_end_;
  detail::WaitQueue joiners_;
};

// Tasks that belong together, of whatever pools: at most N at a time. What is left of them when the group goes is
// destroyed with it: no member outlives its group, and nothing is waited for in a destructor; await join_all() for that.
// (A member that destroys its own group is cancelled, and goes on alone.) A member's failure is told to on_end(), or to
// who waits in join_all(), or else to the reactor's observer. Size: 8 * N, and 44 bytes on a 32-bit board.
template <std::size_t N> class TaskGroup : public TaskGroupBase {
  static_assert(N >= 1 && N < (1u << 24), "between 1 and 16,777,215 members");
 public:
  constexpr TaskGroup() = default;
  ~TaskGroup() { close(); }
  // pool.spawn(reactor, arguments...), as a member. ENOBUFS: the group is full, or the pool · ECANCELED: the group has
  // been cancelled, and not all have ended yet · and the pool's own.
  template <class Pool, class... A> Result<TaskRef> spawn(Pool& pool, Reactor& reactor, A&&... arguments) {
    if (cancelling_ || size_ == N) return Error(cancelling_ ? ECANCELED : ENOBUFS);
    Result<TaskHandle> handle = pool.spawn(reactor, std::forward<A>(arguments)...);
    if (handle && size_ == N)
      return static_cast<void>(handle->destroy()), Error(ENOBUFS);  // its constructor has spawned
    return handle ? add(std::move(*handle), storage_) : handle.error();
  }
  static constexpr std::uint32_t capacity() { return N; }
 private:
  TaskHandle storage_[N];
};

class Watchdog;
// A sign of life that a watchdog waits for: a member of a task, mostly. It must not move. Size on a 32-bit board: 20 bytes.
class Heartbeat : public detail::ListNode {
 public:
  ~Heartbeat() { close(); }
  void open(Watchdog& watchdog, const char* name);  // from now on it must beat(); the name must outlive it
  void close();                                     // it need not any more
  void beat();                                      // checks in
  bool has_beaten() const { return beaten_; }       // since the watchdog was fed last
  const char* name() const { return name_; }
 private:
  friend class Watchdog;
  Watchdog* watchdog_ = nullptr;
  const char* name_ = nullptr;
  bool beaten_ = false;
};

// Feeds a watchdog, once in a period, at the end of a turn, if since the last time every heartbeat has beaten; a late one
// is waited for. So a loop that hangs, and one whose tasks hang, are both found out. Drives a device as /dev/watchdog
// (its timeout, the driver's or set with WDIOC_SETTIMEOUT on fd(), must be longer than the period), or systemd's NOTIFY
// socket, see sd_notify(3) and sd_watchdog_enabled(3). Size on a 32-bit board: 248 bytes.
class Watchdog : detail::Pinned {
 public:
  ~Watchdog() {  // a device stays armed: the machine is reset, unless the next process feeds it in time
    while (Heartbeat* const heartbeat = heartbeats_.front()) heartbeat->close();
  }
  // Opening the device arms it. EBUSY: open already, or by another process · ENOENT ENXIO EACCES EMFILE ENFILE.
  Result<void> open(Reactor& reactor, const char* path, Duration period) {
    if (fd_) return Error(EBUSY);
    Fd fd(detail::retry([path] { return System::open(path, O_WRONLY | O_NONBLOCK); }));
    return fd ? start(reactor, std::move(fd), period) : detail::last_error();
  }
  // The same, of a descriptor that is open already; it should not block.
  Result<void> open(Reactor& reactor, Fd&& fd, Duration period) {
    return fd_ ? Error(EBUSY) : fd ? start(reactor, std::move(fd), period) : Error(EBADF);
  }
  // systemd, as the environment says: NOTIFY_SOCKET, and WATCHDOG_USEC (WATCHDOG_PID), half of which is the period; where
  // it asks for no watchdog, only notify() has an effect. ENOENT: not started by systemd · EINVAL EMFILE ENFILE ENOMEM.
  Result<void> open_notify(Reactor& reactor) {
    if (fd_) return Error(EBUSY);
    const char* const path = ::getenv("NOTIFY_SOCKET");
    const char* const usec = ::getenv("WATCHDOG_USEC");
    const char* const pid = ::getenv("WATCHDOG_PID");
    if (path == nullptr) return Error(ENOENT);
    const Result<Endpoint> to = Endpoint::unix_path(path);
    if (!to || (path[0] != '/' && path[0] != '@')) return Error(EINVAL);
    Fd fd(System::socket(AF_UNIX, SOCK_DGRAM));
    if (!fd) return detail::last_error();
    const bool ours = pid == nullptr || ::strtoul(pid, nullptr, 10) == static_cast<unsigned long>(System::process());
    const unsigned long long microseconds = usec != nullptr && ours ? ::strtoull(usec, nullptr, 10) : 0;
    if (microseconds > INT64_MAX / 1000) return Error(EINVAL);
    to_ = *to;
    return start(reactor, std::move(fd), Duration(static_cast<std::int64_t>(microseconds) * 500));
  }
  // Tells systemd something: "READY=1", "STOPPING=1", "STATUS=...". EBADF: open_notify() has not succeeded · EAGAIN:
  // systemd is slow to read · ECONNREFUSED ENOENT: it is not there.
  Result<void> notify(const char* state) {
    if (!fd_ || to_.size() == 0) return Error(EBADF);
    const int flags = MSG_DONTWAIT | MSG_NOSIGNAL;
    return detail::check(
        static_cast<int>(System::sendto(fd_.get(), state, ::strlen(state), flags, to_.address(), to_.size())));
  }
  // The end, told to the watchdog: it waits for nothing any more, if its driver lets it (not CONFIG_WATCHDOG_NOWAYOUT).
  Result<void> close() {  // what write(2) answers; the descriptor is closed all the same
    timer_.cancel(), late_.cancel();
    const Result<void> told = fd_ && to_.size() == 0 ? write("V") : Result<void>();
    return fd_.close(), to_ = Endpoint(), told;
  }
  int fd() const { return fd_.get(); }
  std::uint32_t fed() const { return fed_; }           // how many times
  Result<void> last_feeding() const { return last_; }  // its error: it is tried again in the next period
  const Heartbeat* missing() {  // the first that has not beaten since; null: all have. O(heartbeats)
    Heartbeat* heartbeat = heartbeats_.front();
    while (heartbeat != nullptr && heartbeat->has_beaten()) heartbeat = heartbeats_.after(*heartbeat);
    return heartbeat;
  }
 private:
  friend class Heartbeat;
  Result<void> start(Reactor& reactor, Fd&& fd, Duration period) {
    fd_ = std::move(fd), reactor_ = &reactor, due_ = false, last_ = {};
    if (period > Duration::zero()) timer_.arm_every(reactor, period, Delegate<void()>::of<&Watchdog::tick>(*this));
    return {};
  }
  Result<void> write(const char* text) {
    return detail::check(static_cast<int>(detail::retry([&] { return System::write(fd_.get(), text, 1); })));
  }
  void tick() { due_ = true, feed_if_due(); }
  void feed_at_end_of_turn() {
    if (!timer_.armed()) return;  // closed, or the reactor is no more
    late_.arm(*reactor_, Duration::zero(), Delegate<void()>::of<&Watchdog::feed_if_due>(*this));
  }
  void feed_if_due() {
    if (!due_ || missing_ != 0) return;
    due_ = false, last_ = to_.size() != 0 ? notify("WATCHDOG=1") : write("1");
    fed_ += last_ ? 1u : 0u;
    for (Heartbeat* heartbeat = heartbeats_.front(); heartbeat != nullptr; heartbeat = heartbeats_.after(*heartbeat))
      heartbeat->beaten_ = false, ++missing_;
  }
  detail::List<Heartbeat> heartbeats_;
  Reactor* reactor_ = nullptr;
  Timer timer_, late_;
  Endpoint to_;  // of systemd; none: a device
  Fd fd_;
  Result<void> last_;
  std::uint32_t missing_ = 0, fed_ = 0;
  bool due_ = false;
};
inline void Heartbeat::open(Watchdog& watchdog, const char* name) {
  close();
  watchdog_ = &watchdog, name_ = name, beaten_ = false;
  watchdog.heartbeats_.push_back(*this), ++watchdog.missing_;
}
inline void Heartbeat::close() {
  if (!linked()) return;
  beat(), unlink();
}
inline void Heartbeat::beat() {
  if (!linked() || std::exchange(beaten_, true)) return;
  if (--watchdog_->missing_ == 0 && watchdog_->due_) watchdog_->feed_at_end_of_turn();
}

// =====================================================================================================================
// 11. Shutdown
// =====================================================================================================================
// How a shutdown went: tasks that ended by themselves, that ended after having been cancelled, that had to be destroyed.
struct ShutdownReport {
  std::uint32_t drained = 0, cancelled = 0, destroyed = 0;
  int signal = 0;       // that began it; 0: request(), or there was nothing left to do
  bool forced = false;  // by a second signal or request
};

// Runs a reactor and ends it with grace. The first signal closes all listeners, so that new connections are refused at
// once, and gives every task one common grace period to finish; then those that remain are cancelled together, and what
// still stands after the clean-up period is destroyed. A second signal forces: the rest is cancelled, has one turn to
// clean up, and is destroyed.
class GracefulShutdown {
 public:
  GracefulShutdown(Reactor& reactor, const SignalSet& signals, Duration grace = std::chrono::seconds(2),
                   Duration cleanup = std::chrono::milliseconds(500))
      : reactor_(reactor), signals_wanted_(signals), grace_(grace), cleanup_(cleanup) {}
  ~GracefulShutdown() { close(); }
  // run() does it, too: signals are taken over, and answered by run(). Errors: of Signals::open().
  Result<void> open() {
    if (open_) return {};
    const auto callback = Delegate<void(int)>::of<&GracefulShutdown::advance>(*this);
    const Result<void> opened = signals_.open(reactor_, signals_wanted_, callback);
    if (opened) open_ = true, ++reactor_.background_;
    return opened;
  }
  void close() {  // gives them back, as run() does at its end
    if (std::exchange(open_, false)) --reactor_.background_, signals_.close(), requests_ = 0;
  }
  // Instead of Reactor::run(). Also returns when there is nothing left but to wait for signals, or after Reactor::stop(),
  // which leaves tasks as they stand (amid a shutdown: ends the grace period). Errors: of open() and Reactor::run().
  Result<ShutdownReport> run() {
    if (reactor_.running()) return Error(EBUSY);
    ShutdownReport report;
    Result<void> ran = open();
    if (ran) ran = run_phases(report), close();
    return ran ? Result<ShutdownReport>(report) : ran.error();
  }
  void request() { advance(0); }                     // as a signal would; from the loop's thread, also before run()
  bool requested() const { return requests_ != 0; }  // for tasks that would go on for ever
  void on_begin(Delegate<void()> callback) { on_begin_ = callback; }  // called when it begins, for what is not a task
  void hold() { ++reactor_.holds_; }  // work that is no task counts as one from hold() to release()
  void release() { MOTE_ASSERT(reactor_.holds_ != 0), --reactor_.holds_; }
 private:
  void advance(int signal) {
    if (++requests_ == 1) signal_ = signal;
    if (requests_ > limit_) reactor_.stop_.store(1, std::memory_order_relaxed);
  }
  // Runs until all is done, the time is up, or there have been more than `requests` requests; tells how many ended.
  Result<void> phase(Duration duration, std::uint32_t requests, std::uint32_t& ended) {
    const std::uint64_t before = reactor_.stats_.tasks_ended;
    const Instant end = saturating_add(Clock::now(), duration);  // forever: the end of time
    limit_ = requests, reactor_.attend_to(Reactor::draining, requests_ != 0);
    const Result<void> ran = requests_ > limit_ ? Result<void>() : reactor_.run_until(end);
    limit_ = UINT32_MAX, reactor_.attend_to(Reactor::draining, false);
    return ended = static_cast<std::uint32_t>(reactor_.stats_.tasks_ended - before), ran;
  }
  Result<void> run_phases(ShutdownReport& report) {
    Result<void> ran = phase(forever, 0, report.drained);
    report.drained = 0;  // those have ended before it began
    if (!ran || requests_ == 0) return ran;
    report.signal = signal_;
    reactor_.close_listeners();
    if (on_begin_) on_begin_();
    if (ran = phase(grace_, 1, report.drained); !ran) return ran;
    if (reactor_.stats_.tasks != 0 || reactor_.holds_ != 0) {
      reactor_.cancel_all_tasks();
      const bool at_once = requests_ > 1;
      ran = phase(at_once ? Duration::zero() : cleanup_, at_once ? UINT32_MAX : 1, report.cancelled);
      if (!ran) return ran;
      report.destroyed = reactor_.destroy_all_tasks();
    }
    return report.forced = requests_ > 1, ran;
  }
  bool open_ = false;
  Reactor& reactor_;
  SignalSet signals_wanted_;
  Duration grace_, cleanup_;
  Delegate<void()> on_begin_;
  Signals signals_;
  std::uint32_t requests_ = 0, limit_ = UINT32_MAX;  // of a phase: more requests end it
  int signal_ = 0;
};

// =====================================================================================================================
// 12. Coroutines
// =====================================================================================================================
#if __cplusplus >= 202002L
template <class T> class Co;
namespace detail {
struct FrameMaker;
struct ThisTask {};
}  // namespace detail

// Where coroutines take their frames: the storage of a FramePool, whatever its sizes. Frames lie at multiples of 64.
class FrameSource : detail::Pinned {
 public:
  static constexpr std::size_t alignment = 64;
  constexpr FrameSource() = default;
  // Frames that are too large for this one, or for which it has no room, are taken from another, which must outlive it.
  void or_else(FrameSource& other) { next_ = &other; }
  std::uint32_t size() const { return used_; }        // frames in use
  std::uint32_t high_water() const { return high_; }  // the most there have been
  std::size_t largest() const { return largest_; }    // bytes of the largest frame asked for, refused ones included
  std::uint32_t refused() const { return refused_; }  // that had no room here, even if another had
 private:
  template <std::size_t Bytes, std::size_t N> friend class FramePool;
  friend struct detail::FrameMaker;
  struct Free {
    Free* next;
  };
  // Behind the frame, whose size is known when it goes, lies the pool that it came from.
  static FrameSource*& owner(void* frame, std::size_t size) {
    constexpr std::size_t unit = alignof(FrameSource*);
    return *static_cast<FrameSource**>(
        static_cast<void*>(static_cast<unsigned char*>(frame) + (size + unit - 1) / unit * unit));
  }
  Result<void*> allocate(std::size_t size) {  // EMSGSIZE: too large · ENOBUFS: no room
    int error = EMSGSIZE;
    for (FrameSource* source = this; source != nullptr; source = source->next_) {
      if (size > source->largest_) source->largest_ = size;
      void* const frame = size <= source->bytes_ ? source->take() : nullptr;
      if (frame != nullptr) return owner(frame, size) = source, frame;
      if (size <= source->bytes_) error = ENOBUFS;
      ++source->refused_;
    }
    return Error(error);
  }
  void* take() {
    void* frame = free_;
    if (free_ != nullptr) free_ = free_->next;
    else if (fresh_ != capacity_) frame = slots_ + std::size_t{fresh_++} * stride_;
    else return nullptr;
    if (++used_ > high_) high_ = used_;
    return frame;
  }
  void release(void* frame) { free_ = ::new (frame) Free{free_}, --used_; }
  unsigned char* slots_ = nullptr;
  Free* free_ = nullptr;
  FrameSource* next_ = nullptr;
  std::size_t bytes_ = 0, stride_ = 0, largest_ = 0;
  std::uint32_t capacity_ = 0, fresh_ = 0, used_ = 0, high_ = 0, refused_ = 0;  // slots from fresh_ on were never used
};

// Room for N coroutine frames of up to `Bytes` bytes: how many a coroutine needs, the compiler alone knows, so see
// Co::frame_size(). It must outlive its coroutines. Size: N * (Bytes + a pointer, rounded up to 64), and 64 bytes.
template <std::size_t Bytes, std::size_t N> class FramePool {
  static_assert(Bytes >= 16 && N >= 1 && N < (1u << 24), "room for one frame at least");
 public:
  constexpr FramePool() = default;
  operator FrameSource&() { return source(); }  // what it is called as
  FrameSource& source() {
    source_.slots_ = &slots_[0].bytes[0], source_.stride_ = sizeof(Slot);
    source_.bytes_ = Bytes, source_.capacity_ = N;
    return source_;
  }
  void or_else(FrameSource& other) { source_.or_else(other); }
  std::uint32_t size() const { return source_.size(); }
  std::uint32_t high_water() const { return source_.high_water(); }
  std::size_t largest() const { return source_.largest(); }
  std::uint32_t refused() const { return source_.refused(); }
  static constexpr std::uint32_t capacity() { return N; }
 private:
  struct alignas(FrameSource::alignment) Slot {
    unsigned char bytes[(Bytes + sizeof(void*) - 1) / sizeof(void*) * sizeof(void*) + sizeof(void*)];
  };
  FrameSource source_;
  Slot slots_[N] = {};
};

namespace detail {
// Of what a coroutine is called with; a reference may be to what is declared only, or to a function.
template <class T>
concept HasFramePool = requires(T& object) {
  { *object.frame_pool() } -> std::convertible_to<FrameSource&>;
};
template <class T>
concept HasReactor = requires(T& object) {
  { object.reactor() } -> std::convertible_to<Reactor&>;
};
template <class T, class = void> struct Argument { static constexpr bool is_source = false, is_over_aligned = false; };
template <class T> struct Argument<T, std::enable_if_t<sizeof(T) != 0 && std::is_object_v<T>>> {
  static constexpr bool is_source = std::is_base_of_v<Source, std::remove_cv_t<T>>;
  static constexpr bool is_over_aligned = (alignof(T) > FrameSource::alignment);
};

// Makes frames of what a coroutine was called with: a frame pool, wherever it stands among the arguments; else the pool
// of the first reactor that is one, or is known to one (a task, an open stream, an object with reactor()).
struct FrameMaker {
  template <class A> static constexpr bool is_pool = std::is_convertible_v<A&, FrameSource&>;
  template <class A> static constexpr bool is_known = is_pool<A> || HasFramePool<A> || HasReactor<A>;
  template <class A> static FrameSource* pool_of(A& argument) {
    if constexpr (is_pool<A>) return &static_cast<FrameSource&>(argument);
    else return nullptr;
  }
  template <class A> static FrameSource* default_of(A& argument) {
    if constexpr (HasFramePool<A>) {
      auto* const pool = argument.frame_pool();
      return pool != nullptr ? &static_cast<FrameSource&>(*pool) : nullptr;
    } else if constexpr (Argument<A>::is_source) return argument.is_open() ? argument.reactor().frame_pool() : nullptr;
    else if constexpr (HasReactor<A>) return argument.reactor().frame_pool();
    else return nullptr;
  }
  template <class... A> static void* make(std::size_t size, std::size_t alignment, A&... arguments) {
    static_assert((is_known<A> || ...),
                  "pass a FramePool to the coroutine, or a Reactor, Task or open Source whose reactor has one");
    FrameSource* source = nullptr;
    static_cast<void>((((source = pool_of(arguments)) != nullptr) || ...) ||
                      (((source = default_of(arguments)) != nullptr) || ...));
    made = {static_cast<std::uint32_t>(size), EINVAL};
    if (source == nullptr || alignment > FrameSource::alignment || (Argument<A>::is_over_aligned || ...))
      return nullptr;
    const Result<void*> frame = source->allocate(size);
    made.error = frame ? 0 : frame.error().code();
    return frame ? *frame : nullptr;
  }
  static void release(void* frame, std::size_t size) { FrameSource::owner(frame, size)->release(frame); }
  struct Made {
    std::uint32_t size;
    int error;
  };
  static inline constinit thread_local Made made{};  // the last one, for the Co that is about to be made of it
};

// A chain of coroutines that await each other, as one task steps it. Who awaits a coroutine, or has been awaited, is not
// resumed from within the other, but returns to here first: the stack does not grow, whatever the compiler optimises.
struct Chain {
  bool step(Task& stepped_by);  // as a task of its own; whether it has ended
  bool run(Task& stepped_by);   // as an operation of a task
  bool go_on();
  bool poll(Task& stepped_by) { return run(stepped_by); }
  bool is_begun() const { return awaiting != nullptr; }
  std::coroutine_handle<> next;
  struct Awaiting* awaiting = nullptr;
  TaskRef task;
  Task* running = nullptr;     // the same, while it steps it
  const char* name = nullptr;  // of the function that awaits
  std::uint32_t line = 0;      // where
  bool given_up = false;       // it waits nowhere, until it is stepped again
  bool shielded = false;       // by what it awaits; apart from the shield of an operation that it is a part of
};
// What a coroutine waits for: look() makes another attempt. Destroyed while it waits, it waits no more.
struct Awaiting : Pinned {
  explicit Awaiting(Chain& part_of) : chain(part_of) {}
  void wait(std::coroutine_handle<> coroutine, bool (*attempt)(Awaiting&, Task&)) {
    waiter = coroutine.address(), try_again = attempt, chain.awaiting = this;
  }
  void stop() {  // in the destructors of what is derived
    if (chain.awaiting != this) return;
    Task* const task = chain.task.get();  // null: it ended before
    if (task != nullptr && !chain.given_up) give_up(*task, chain);
    chain.awaiting = nullptr;
  }
  Chain& chain;
  bool (*try_again)(Awaiting&, Task&);
  void* waiter;
};
inline bool Chain::step(Task& stepped_by) {
  if (running != &stepped_by) running = &stepped_by, task = TaskRef(stepped_by), given_up = false;
  return go_on();
}
inline bool Chain::run(Task& stepped_by) {
  running = &stepped_by, given_up = stepped_by.is_giving_up();
  if (!task.names(stepped_by)) task = TaskRef(stepped_by);
  std::swap(shielded, stepped_by.operation_shield());
  if (!given_up) go_on();
  else if (awaiting != nullptr) static_cast<void>(awaiting->try_again(*awaiting, stepped_by));
  std::swap(shielded, stepped_by.operation_shield());
  return awaiting == nullptr && !given_up;
}
inline bool Chain::go_on() {
  if (Awaiting* const waits = awaiting; waits != nullptr) {
    if (!waits->try_again(*waits, *running)) return false;
    awaiting = nullptr, std::coroutine_handle<>::from_address(waits->waiter).resume();
  }
  while (awaiting == nullptr && next) std::exchange(next, nullptr).resume();
  return awaiting == nullptr;
}

template <class T> struct CoAwaiter;
template <class Op> struct OperationAwaiter;
template <class Op>
concept HasPoll = requires(Op& operation, Task& task) {
  operation.poll(task).ready();
};
template <class T> struct IsCo : std::false_type {};
template <class T> struct IsCo<Co<T>> : std::true_type {};

struct PromiseBase {
  // Inlined, or else g++ takes it and the delete below for a mismatch.
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

  std::suspend_always initial_suspend(const char* name = __builtin_FUNCTION(),
                                      std::uint32_t line = __builtin_LINE()) noexcept {
    return own.name = name, own.line = line, std::suspend_always();
  }
  struct Final {
    bool await_ready() const noexcept { return false; }
    template <class P> void await_suspend(std::coroutine_handle<P> ended) const noexcept {
      PromiseBase& promise = ended.promise();
      promise.chain->next = promise.awaited_by;
    }
    void await_resume() const noexcept {}
  };
  Final final_suspend() const noexcept { return {}; }

  template <class Op> auto await_transform(Op&& operation, std::uint32_t line = __builtin_LINE()) {
    static_assert(HasPoll<std::remove_reference_t<Op>>,
                  "no operation: of a task's handle await join(); what try_...() gives is there at once");
    if constexpr (IsCo<std::decay_t<Op>>::value) return CoAwaiter<std::decay_t<Op>>(*this, operation, line);
    else return OperationAwaiter<std::remove_reference_t<Op>>(*this, operation, line);
  }
  struct TaskAwaiter {
    bool await_ready() const { return true; }
    void await_suspend(std::coroutine_handle<>) const {}
    Task& await_resume() const { return task; }
    Task& task;
  };
  TaskAwaiter await_transform(ThisTask) { return {*chain->running}; }

  Chain own;            // where this coroutine is the first
  Chain* chain = &own;  // that it is part of
  std::coroutine_handle<> awaited_by;
  int code = 0;  // it failed with
};
// The operation itself lies in the coroutine's frame until the end of the expression that awaits it.
template <class Op> struct OperationAwaiter : Awaiting {
  using R = Answer<Op>;
  OperationAwaiter(PromiseBase& promise, Op& what, std::uint32_t line) : Awaiting(*promise.chain), operation(what) {
    chain.line = line;
  }
  ~OperationAwaiter() {
    if (!taken) stop();
    forget();
  }
  bool await_ready() { return look(*chain.running); }
  void await_suspend(std::coroutine_handle<> coroutine) { wait(coroutine, &look_again); }
  R await_resume() { return taken = true, std::move(answer); }
  static bool look_again(Awaiting& awaiting, Task& task) { return static_cast<OperationAwaiter&>(awaiting).look(task); }
  [[gnu::always_inline]] bool look(Task& task) {
    Poll<R> fresh = operation.poll(task);
    if (!fresh.ready()) return false;
    forget();                                                  // an answer that was given up
    ::new (static_cast<void*>(&answer)) R(std::move(*fresh));  // which may throw
    if constexpr (!std::is_trivially_destructible_v<R>) made = true;
    return true;
  }
  void forget() {
    if constexpr (!std::is_trivially_destructible_v<R>)
      if (std::exchange(made, false)) answer.~R();
  }
  Op& operation;
  bool taken = false;  // and so it waits no more
  bool made = false;   // whether `answer` is to be destroyed
  union {
    R answer;
  };
};

template <class T> struct Unwrapped { using type = T; };
template <class T> struct Unwrapped<Result<T>> { using type = T; };
template <class T> struct Promise;
template <class T> struct PromiseOf : PromiseBase {
  using Value = typename Unwrapped<T>::type;
  Co<T> get_return_object() noexcept;
  static Co<T> get_return_object_on_allocation_failure() noexcept;
  void unhandled_exception() noexcept { keep(Error(ENOTRECOVERABLE)); }
  void keep(Result<Value>&& answer) { result = std::move(answer), code = result ? 0 : result.error().code(); }
  Result<Value> result;
};
template <class T> struct Promise : PromiseOf<T> {
  template <class U = T> void return_value(U&& value) {
    this->keep(Result<typename Unwrapped<T>::type>(std::forward<U>(value)));
  }
};
template <> struct Promise<void> : PromiseOf<void> {  // no `co_return error`: a Co<Result<void>> is what can fail
  void return_void() {}
};
}  // namespace detail

template <class T> class [[nodiscard]] Result<T&> {
 public:
  constexpr Result() = default;
  constexpr Result(Error error) : error_(error.code()) { MOTE_ASSERT(error_ != 0); }
  constexpr Result(T& value) : value_(&value), error_(0) {}
  constexpr explicit operator bool() const { return error_ == 0; }
  constexpr Error error() const { return error_; }
  constexpr T& operator*() const { return MOTE_ASSERT(error_ == 0), *value_; }
  constexpr T* operator->() const { return &**this; }
 private:
  T* value_ = nullptr;
  int error_ = EAGAIN;
};

// A coroutine. It begins when it is first stepped: awaited by another (`co_await child()`), spawned as a task of its own
// (CoroutinePool), or made a part of a combinator or of MOTE_AWAIT, for which it is an operation. What is awaited gives a
// Result<T>: what it returned; or why there is no frame (ENOBUFS: the pool is full · EMSGSIZE: the frame is too large ·
// EINVAL: an argument is over-aligned, or there is no pool to take it from), or ENOTRECOVERABLE: an exception left it. A
// Co<T> may `co_return` an Error (mote::Error(EIO), not EIO) as well as a T; so Co<Result<T>> is the same, and
// Co<Result<void>> is the one without a value that can fail. To await one is a call, not an operation: it does not end the
// step. Destroyed, wherever it stands, it leaves nothing behind. Nothing ever throws. On a 32-bit board the frame of an
// empty coroutine has 60 to 72 bytes, and each await adds its operation. Size on a 32-bit board: 12 bytes.
template <class T> class [[nodiscard]] Co {
 public:
  using promise_type = detail::Promise<T>;
  using Value = typename detail::Unwrapped<T>::type;
  Co(Co&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)), error_(other.error_), size_(other.size_) {}
  Co& operator=(Co&& other) noexcept {
    if (this == &other) return *this;
    destroy();
    handle_ = std::exchange(other.handle_, nullptr), error_ = other.error_, size_ = other.size_;
    return *this;
  }
  ~Co() { destroy(); }
  explicit operator bool() const { return handle_ != nullptr; }  // whether it has a frame
  Error error() const { return error_; }                         // why not
  std::size_t frame_size() const { return size_; }               // in bytes, of the frame it has or would have needed
  // As an operation: goes on with it, as far as it gets. EINVAL: it has ended before · EBUSY: another coroutine awaits it.
  Poll<Result<Value>> poll(Task& task) {
    if (handle_ == nullptr) return Result<Value>(error_);
    promise_type& promise = handle_.promise();
    if (handle_.done() || is_awaited()) return Result<Value>(Error(handle_.done() ? EINVAL : EBUSY));
    if (!promise.own.is_begun()) promise.own.next = handle_;
    if (!promise.own.run(task)) return pending;
    return take();
  }
 private:
  friend promise_type;
  friend detail::PromiseOf<T>;
  friend detail::CoAwaiter<Co>;
  friend class Coroutine;
  explicit Co(std::coroutine_handle<promise_type> handle) : handle_(handle), size_(detail::FrameMaker::made.size) {}
  explicit Co(Error error) : error_(error), size_(detail::FrameMaker::made.size) {}
  bool is_awaited() const { return handle_.promise().chain != &handle_.promise().own; }
  Result<Value> take() {
    Result<Value> result = std::move(handle_.promise().result);
    destroy();
    return result;
  }
  void destroy() {
    if (handle_ != nullptr) std::exchange(handle_, nullptr).destroy();
  }
  std::coroutine_handle<promise_type> handle_;
  Error error_ = EINVAL;  // where it had a frame: it has ended
  std::uint32_t size_ = 0;
};
namespace detail {
template <class T> Co<T> PromiseOf<T>::get_return_object() noexcept {
  auto* promise = static_cast<Promise<T>*>(this);
  asm("" : "+r"(promise));  // hides it: clang puts no frame on the stack, past its pool and its size
  return Co<T>(std::coroutine_handle<Promise<T>>::from_promise(*promise));
}
template <class T> Co<T> PromiseOf<T>::get_return_object_on_allocation_failure() noexcept {
  return Co<T>(Error(FrameMaker::made.error));
}
// It becomes a part of the chain of who awaits it; one that was begun before, as an operation, has a chain of its own.
template <class C> struct CoAwaiter : Awaiting {
  CoAwaiter(PromiseBase& promise, C& what, std::uint32_t where)
      : Awaiting(*promise.chain), awaited(what), name(chain.name), line(where) {}
  ~CoAwaiter() {  // what is a part of the chain does not outlive it, wherever it lies
    stop();
    if (waits) awaited.destroy();
  }
  bool await_ready() {
    if (awaited.handle_ == nullptr || (taken = awaited.is_awaited())) return true;
    return is_begun() && look_again(*this, *chain.running);
  }
  void await_suspend(std::coroutine_handle<> coroutine) {
    waits = true;
    if (is_begun()) return wait(coroutine, &look_again);
    PromiseBase& promise = awaited.handle_.promise();
    promise.chain = &chain, promise.awaited_by = coroutine;
    chain.next = awaited.handle_, chain.name = promise.own.name;
  }
  Result<typename C::Value> await_resume() {
    waits = false, chain.name = name, chain.line = line;
    if (taken) return Error(EBUSY);
    return awaited.handle_ != nullptr ? awaited.take() : Result<typename C::Value>(awaited.error_);
  }
  bool is_begun() const { return awaited.handle_.promise().own.is_begun(); }
  static bool look_again(Awaiting& awaiting, Task& task) {
    Chain& begun = static_cast<CoAwaiter&>(awaiting).awaited.handle_.promise().own;
    const bool ended = begun.run(task);
    return awaiting.chain.name = begun.name, awaiting.chain.line = begun.line, ended;
  }
  C& awaited;
  const char* name;    // of the function that awaits it,
  std::uint32_t line;  // and where
  bool taken = false;  // by another, who awaits it
  bool waits = false;  // for its end
};
}  // namespace detail

// A coroutine as a task: what a CoroutinePool makes of a Co. The task fails with what the coroutine fails with; what it
// returns is dropped. Its name and line are those of the function that awaits.
class Coroutine : detail::Pinned {
 public:
  template <class T>
  Coroutine(Co<T>&& co) : promise_(&co.handle_.promise()), handle_(std::exchange(co.handle_, nullptr)) {
    if (!promise_->own.is_begun()) promise_->own.next = handle_;
    promise_->own.running = nullptr;
  }
  ~Coroutine() { handle_.destroy(); }
  Step step(Task& task) {
    detail::Chain& chain = promise_->own;
    const bool ended = chain.step(task);
    task.resume_line() = chain.line;
    return ended ? Step(promise_->code) : Step(pending);
  }
  const char* name() const { return promise_->own.name; }
 private:
  detail::PromiseBase* promise_;
  std::coroutine_handle<> handle_;
};
template <> struct detail::TaskName<Coroutine> {
  static const char* of(const Coroutine& coroutine) { return coroutine.name(); }
};

// Room for N tasks that are coroutines, whose frames lie in frame pools: everything as with any TaskPool.
template <std::size_t N> class CoroutinePool : public TaskPool<Coroutine, N> {
 public:
  // ENOBUFS: full; the coroutine is as it was · EINVAL, ECANCELED: as TaskPool::spawn() · or why the Co has no frame.
  template <class T> Result<TaskHandle> spawn(Reactor& reactor, Co<T>&& coroutine) {
    return coroutine ? TaskPool<Coroutine, N>::spawn(reactor, std::move(coroutine)) : coroutine.error();
  }
};

// `Task& task = co_await mote::this_task();`: the task that steps the coroutine. Completes at once.
inline detail::ThisTask this_task() { return {}; }
// `co_await mote::yield();`: lets everybody else run, and goes on in the next turn. ECANCELED.
inline auto yield() {
  return detail::operation<void>([asked = false](Task& task) mutable -> Result<void> {
    if (Error answer; !task.enter(answer)) return answer;
    if (std::exchange(asked, true)) return {};
    return task.wake(), task.suspend("its next turn");
  });
}
#endif  // C++20

}  // namespace MOTE_NAMESPACE
}  // namespace mote

#endif  // MOTE_CONCURRENCY_HPP
