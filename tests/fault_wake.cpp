// SPDX-License-Identifier: MIT
// Rooms: reactor/wake_cell.hpp, reactor/loop.hpp (wake-ups), thread/waker.hpp, thread/signals.hpp.
// A thread that is preempted in the midst of wake(), at each of the moments at which it matters: in the seam's write()
// it is held for as long as the test wants.
#include <signal.h>

#include <atomic>
#include <memory>
#include <thread>

#include "support/harness.hpp"

namespace {

using Seam = mote::FaultSystem;
using Call = mote::FaultScript::Call;
using mote::Waker;
using test::Loop;
using namespace std::chrono_literals;

// Holds one thread before or after its write, until it is let go.
class Held {
 public:
  enum Moment { before_write, after_write };
  Held(Moment moment, Waker& waker) {
    Seam::state = Seam::State();
    hold_after_ = moment == after_write;
    held_.store(false);
    let_go_.store(false);
    Seam::state.at_write = &Held::at_write;
    thread_ = std::thread([this, &waker] {
      is_this_thread_ = true;
      waker.wake();
      returned_.store(true);
    });
    while (!held_.load()) std::this_thread::yield();
  }
  Held(const Held&) = delete;
  Held& operator=(const Held&) = delete;
  ~Held() {
    let_go();
    Seam::state = Seam::State();
  }
  bool returned() const { return returned_.load(); }
  void let_go() {
    let_go_.store(true);
    if (thread_.joinable()) thread_.join();
  }
 private:
  static void at_write(bool done) {
    if (!is_this_thread_ || done != hold_after_) return;
    held_.store(true);
    while (!let_go_.load()) std::this_thread::yield();
  }
  static inline thread_local bool is_this_thread_ = false;
  static inline bool hold_after_ = false;
  static inline std::atomic<bool> held_{false}, let_go_{false};
  std::atomic<bool> returned_{false};
  std::thread thread_;
};

struct Counter {
  int calls = 0;
  void count() { ++calls; }
  mote::Delegate<void()> callback() { return mote::Delegate<void()>::of<&Counter::count>(*this); }
};

bool is_open(int fd) { return ::fcntl(fd, F_GETFD) >= 0; }
int newest_descriptor() {  // the number that the next one would get, less one
  const mote::Fd probe(::dup(STDERR_FILENO));
  return probe.get() - 1;
}

}  // namespace

ON_BOTH_SELECTORS("wake: a thread that is preempted before its write swallows no other thread's wake-up") {
  Loop<S> loop;
  Counter slow, fast;
  Waker slow_waker, fast_waker;
  REQUIRE(slow_waker.open(loop, slow.callback()));
  REQUIRE(fast_waker.open(loop, fast.callback()));
  Held held(Held::before_write, slow_waker);
  // The loop would sleep for ever, were it not woken by the other waker.
  std::thread other([&] { fast_waker.wake(); });
  REQUIRE(loop.run_once(10s));
  other.join();
  CHECK(fast.calls == 1);
  CHECK_FALSE(held.returned());
  CHECK(slow.calls == 1);  // it was marked already
  held.let_go();
  REQUIRE(loop.run_once(0ns));
  CHECK(slow.calls == 1);
}

ON_BOTH_SELECTORS("wake: a thread that is preempted before its write does not swallow its own waker's next wake-up") {
  Loop<S> loop;
  Counter counter;
  Waker waker;
  REQUIRE(waker.open(loop, counter.callback()));
  Held held(Held::before_write, waker);
  waker.wake();  // finds it marked
  const mote::Instant start = mote::Clock::now();
  REQUIRE(loop.run_once(10s));
  CHECK(mote::Clock::now() - start < 9s);
  CHECK(counter.calls == 1);
}

// It has woken the loop, and is about to say so, when the loop has gone on and sleeps again.
ON_BOTH_SELECTORS("wake: a thread that is preempted after its write says nothing of the loop's next sleep") {
  Loop<S> loop;
  Counter counter;
  Waker waker;
  REQUIRE(waker.open(loop, counter.callback()));
  for (int turns = 0; turns < 3; ++turns) {
    Held held(Held::after_write, waker);
    const int before = counter.calls;
    REQUIRE(loop.run_once(10s));
    CHECK(counter.calls == before + 1);
    for (int i = 0; i < turns; ++i) REQUIRE(loop.run_once(0ns));
    held.let_go();
    Seam::state = Seam::State();
    waker.wake();
    CHECK(Seam::state.count(Call::write) == 1);  // 0, were it taken for woken
    REQUIRE(loop.run_once(10s));
    CHECK(counter.calls == before + 2);
  }
}

// As before, but the loop and its cell have gone, and the cell is another loop's, whose turns have the same numbers.
ON_BOTH_SELECTORS("wake: a thread that is preempted in its write keeps the cell, and says nothing of another loop") {
  for (const Held::Moment moment : {Held::before_write, Held::after_write}) {
    auto loop = std::make_unique<Loop<S>>();
    auto waker = std::make_unique<Waker>();
    REQUIRE(waker->open(*loop));
    const int wake_fd = newest_descriptor();
    Held held(moment, *waker);
    if (moment == Held::after_write) REQUIRE(loop->run_once(0ns));
    waker.reset();
    loop.reset();
    CHECK_FALSE(held.returned());
    CHECK(is_open(wake_fd));  // or else the thread might write to a foreign file

    Loop<S> next;
    Counter counter;
    Waker next_waker;
    REQUIRE(next_waker.open(next, counter.callback()));
    held.let_go();
    CHECK_FALSE(is_open(wake_fd));
    next_waker.wake();
    REQUIRE(next.run_once(10s));
    CHECK(counter.calls == 1);
    CHECK(next.stats().events == 1);  // its own wake-up, and none of the thread's
  }
}

ON_BOTH_SELECTORS(
    "wake: wake-ups of a sleeping loop make one system call each at most, and one in all if none is late") {
  Loop<S> loop;
  Counter counter;
  Waker first, second;
  REQUIRE(first.open(loop, counter.callback()));
  REQUIRE(second.open(loop, counter.callback()));
  Seam::state = Seam::State();
  for (int i = 0; i < 100; ++i) {
    first.wake();
    second.wake();
  }
  CHECK(Seam::state.system_calls() == 1);
  REQUIRE(loop.run_once(10s));
  CHECK(counter.calls == 2);
}

TEST_CASE("wake: the reactors that can have wake-ups are limited, and those that go make room") {
  std::unique_ptr<Loop<test::OnEpoll>> loops[mote::limits::reactors_with_wakeups + 1];
  int enabled = 0;
  for (auto& loop : loops) {
    loop = std::make_unique<Loop<test::OnEpoll>>();
    const int descriptors = test::open_descriptors();
    const mote::Result<void> result = loop->enable_wakeups();
    if (result) {
      ++enabled;
      continue;
    }
    CHECK(result.error() == ENOBUFS);
    CHECK(test::open_descriptors() == descriptors);
    Waker waker;
    CHECK(waker.open(*loop).error() == ENOBUFS);
    CHECK_FALSE(waker.is_open());
    mote::Signals signals;
    CHECK(signals.open(*loop, {SIGUSR1}).error() == ENOBUFS);
    loops[7].reset();
    CHECK(waker.open(*loop));
    waker.wake();
    CHECK(loop->run_once(10s));
  }
  CHECK(enabled == mote::limits::reactors_with_wakeups);
}

ON_BOTH_SELECTORS("wake: leaves errno as it is, also where the write fails") {
  Loop<S> loop;
  Waker waker;
  REQUIRE(waker.open(loop));
  Seam::state = Seam::State();
  Seam::state.faults[0] = {Call::write, 1, EAGAIN, 1};
  errno = ENOTTY;
  waker.wake();
  const int after = errno;
  Seam::state = Seam::State();
  CHECK(after == ENOTTY);
}

// open() looks who has the signal, asks for its process, and takes the signal. In between another thread takes it.
ON_BOTH_SELECTORS("signal: one that another thread opens between the look and the claim is EBUSY, and the other's") {
  struct Other {
    Loop<S> loop;
    mote::Signals signals;
    int heard = 0;
    void open() { REQUIRE(signals.open(loop, {SIGUSR1}, mote::Delegate<void(int)>::of<&Other::hear>(*this))); }
    void hear(int) { ++heard; }
  };
  Loop<S> loop;
  REQUIRE(loop.enable_wakeups());
  mote::Signals signals;
  for (const bool free_again : {false, true}) {
    static Other* other;
    static bool closes;
    Other made;
    other = &made;
    closes = free_again;
    REQUIRE(made.loop.enable_wakeups());
    Seam::state = Seam::State();
    // The first call of it is open()'s own, the second claim()'s.
    Seam::state.at_process = [] {
      Seam::state.at_process = [] {
        other->open();
        if (closes) other->signals.close();
      };
    };
    const mote::Result<void> opened = signals.open(loop, {SIGUSR1});
    CHECK((Seam::state.at_process == nullptr));
    CHECK(test::error_of(opened) == (free_again ? 0 : EBUSY));
    REQUIRE(::raise(SIGUSR1) == 0);
    REQUIRE(made.loop.run_once(0ns));
    CHECK(made.heard == (free_again ? 0 : 1));
    signals.close();
  }
  Seam::state = Seam::State();
}
