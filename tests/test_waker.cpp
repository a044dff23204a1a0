// SPDX-License-Identifier: MIT
// Rooms: thread/waker.hpp, reactor/wake_cell.hpp, reactor/loop.hpp (stop).
// Wakers: from the loop's own thread, from others, and from signal handlers; and Reactor::stop(), which wakes the loop
// too.
#include <sched.h>
#include <sys/syscall.h>

#include <atomic>
#include <memory>
#include <optional>
#include <thread>
#include <vector>

#include "support/child.hpp"
#include "support/harness.hpp"

namespace {

using mote::Error;
using mote::Interest;
using mote::Readiness;
using mote::Result;
using mote::Timer;
using mote::Waker;
using test::Loop;
using namespace std::chrono_literals;

// Less under a sanitizer and on the boards, whose tests mostly run under emulation.
#if defined(__has_feature)
#define MOTE_TEST_HAS(feature) __has_feature(feature)
#else
#define MOTE_TEST_HAS(feature) 0
#endif
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__) || MOTE_TEST_HAS(thread_sanitizer) || \
    MOTE_TEST_HAS(address_sanitizer) || !(defined(__x86_64__) || defined(__i386__))
constexpr int rounds = 2'000;
#else
constexpr int rounds = 50'000;
#endif

struct Counter {
  int calls = 0;
  void count() { ++calls; }
  mote::Delegate<void()> callback() { return mote::Delegate<void()>::of<&Counter::count>(*this); }
};

// Awaits `wanted` wake-ups of a waker.
struct Listening : mote::StateMachine {
  Waker* waker;
  int wanted;
  int* seen;
  Result<void> woken;

  mote::Step step() {
    MOTE_BEGIN();
    while (wanted-- > 0) {
      MOTE_AWAIT(woken, waker->wait());
      if (!woken) return mote::failed(woken.error());
      ++*seen;
    }
    MOTE_END();
  }
  Listening(Waker& w, int n, int& s) : waker(&w), wanted(n), seen(&s) {}
};

// A task that is ready in every turn, until told.
struct Restless : mote::StateMachine {
  const bool* stop;
  mote::Step step() {
    MOTE_BEGIN();
    while (!*stop) MOTE_YIELD();
    MOTE_END();
  }
  explicit Restless(const bool& s) : stop(&s) {}
};

Waker* woken_by_signal = nullptr;
mote::Reactor* stopped_by_signal = nullptr;

int next_descriptor() {
  const mote::Fd probe(::dup(STDERR_FILENO));
  return probe.get();
}

// Whether a thread of this process is blocked in a write of 8 bytes to that descriptor.
bool is_writing_to(pid_t thread, int fd) {
  std::array<char, 64> path{}, line{};
  ::snprintf(path.data(), path.size(), "/proc/self/task/%d/syscall", static_cast<int>(thread));
  mote::Fd file(::open(path.data(), O_RDONLY | O_CLOEXEC));
  if (file && ::read(file.get(), line.data(), line.size() - 1) > 0) {
    long number = 0;
    unsigned long first = 0, second = 0, third = 0;
    const int found = ::sscanf(line.data(), "%ld %lx %lx %lx", &number, &first, &second, &third);
    return found == 4 && first == static_cast<unsigned long>(fd) && third == 8;
  }
  // The kernel does not tell: asleep is all that can be known.
  ::snprintf(path.data(), path.size(), "/proc/self/task/%d/stat", static_cast<int>(thread));
  file = mote::Fd(::open(path.data(), O_RDONLY | O_CLOEXEC));
  if (!file || ::read(file.get(), line.data(), line.size() - 1) <= 0) return false;
  const char* const end = ::strrchr(line.data(), ')');
  return end != nullptr && end[2] == 'S';
}

// This thread on one processor, with a real-time priority; threads that it starts inherit both, and give the second up.
class Realtime {
 public:
  Realtime() {
    REQUIRE(::sched_getaffinity(0, sizeof affinity_, &affinity_) == 0);
    cpu_set_t one;
    CPU_ZERO(&one);
    for (std::size_t cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
      if (!CPU_ISSET(cpu, &affinity_)) continue;
      CPU_SET(cpu, &one);
      break;
    }
    REQUIRE(::sched_setaffinity(0, sizeof one, &one) == 0);
    sched_param priority{};
    priority.sched_priority = 10;
    permitted = ::sched_setscheduler(0, SCHED_FIFO, &priority) == 0;
  }
  Realtime(const Realtime&) = delete;
  Realtime& operator=(const Realtime&) = delete;
  ~Realtime() {
    give_up();
    ::sched_setaffinity(0, sizeof affinity_, &affinity_);
  }
  static void give_up() {
    const sched_param none{};
    ::sched_setscheduler(0, SCHED_OTHER, &none);
  }
  bool permitted = false;
 private:
  cpu_set_t affinity_;
};

// Puts a handler in place for as long as it lives.
class Handling {
 public:
  Handling(int signal, void (*handler)(int)) : signal_(signal) {
    struct sigaction action;
    ::memset(&action, 0, sizeof action);
    action.sa_handler = handler;
    REQUIRE(::sigaction(signal, &action, &before_) == 0);
  }
  Handling(const Handling&) = delete;
  Handling& operator=(const Handling&) = delete;
  ~Handling() { ::sigaction(signal_, &before_, nullptr); }
 private:
  int signal_;
  struct sigaction before_;
};

}  // namespace

ON_BOTH_SELECTORS("wake: before run") {
  Loop<S> loop;
  Counter counter;
  Waker waker;
  REQUIRE(waker.open(loop, counter.callback()));
  waker.wake();
  CHECK(counter.calls == 0);  // never inside of wake()
  REQUIRE(loop.run_once());   // does not wait
  CHECK(counter.calls == 1);
}

ON_BOTH_SELECTORS("wake: many wakes, one turn") {
  Loop<S> loop;
  Counter counter;
  Waker waker;
  REQUIRE(waker.open(loop, counter.callback()));
  for (int i = 0; i < 1000; ++i) waker.wake();
  REQUIRE(loop.run_once());
  CHECK(counter.calls == 1);
  REQUIRE(loop.run_once(0ns));
  CHECK(counter.calls == 1);
  waker.wake();
  REQUIRE(loop.run_once());
  CHECK(counter.calls == 2);
}

ON_BOTH_SELECTORS("wake: from own thread, in a callback of the loop: the next turn does not wait") {
  Loop<S> loop;
  Counter counter;
  Waker waker;
  Timer timer;
  REQUIRE(waker.open(loop, counter.callback()));
  auto wake = [&] { waker.wake(); };
  timer.arm(loop, 0ns, wake);
  REQUIRE(loop.run_once());
  CHECK(counter.calls == 0);
  REQUIRE(loop.run_once());
  CHECK(counter.calls == 1);
}

ON_BOTH_SELECTORS("wake: from own thread, in its own callback: once a turn, and I/O is not starved") {
  Loop<S> loop;
  test::Pair pair = test::socket_pair();
  int calls = 0, received = 0;
  Waker waker;
  auto again = [&] {
    ++calls;
    waker.wake();
  };
  auto receive = [&](Readiness) {
    char byte;
    if (::read(pair.a.get(), &byte, 1) == 1) ++received;
  };
  REQUIRE(waker.open(loop, again));
  REQUIRE(loop.add(pair.a.get(), Interest::read, receive));
  waker.wake();
  for (int i = 1; i <= 20; ++i) {
    REQUIRE(test::send_text(pair.b.get(), "x") == 1);
    REQUIRE(loop.run_once());
    CHECK(calls == i);
    CHECK(received == i);
  }
}

ON_BOTH_SELECTORS("wake: from own thread, inside of run()") {
  Loop<S> loop;
  int calls = 0;
  Waker waker;
  Timer timer;
  auto on_wake = [&] {
    if (++calls == 3) loop.stop();
    else waker.wake();
  };
  auto start = [&] { waker.wake(); };
  REQUIRE(waker.open(loop, on_wake));
  timer.arm(loop, 1ms, start);
  REQUIRE(loop.run());
  CHECK(calls == 3);
}

ON_BOTH_SELECTORS("wake: from another thread, while the loop waits or works: none is lost") {
  Loop<S> loop;
  std::atomic<int> wanted{0};
  std::atomic<int> answered{0};
  Waker waker;
  auto answer = [&] {
    answered.store(wanted.load());
    if (answered.load() == rounds) loop.stop();
  };
  REQUIRE(waker.open(loop, answer));
  // Each round waits for the answer to the one before, so that a wake-up that is lost would end it.
  std::thread other([&] {
    for (int i = 1; i <= rounds; ++i) {
      wanted.store(i);
      waker.wake();
      const mote::Instant limit = mote::Clock::now() + 20s;
      while (answered.load() != i) {
        std::this_thread::yield();
        if (mote::Clock::now() > limit) return;
      }
    }
  });
  REQUIRE(loop.run_for(60s));
  other.join();
  CHECK(answered.load() == rounds);
}

ON_BOTH_SELECTORS("wake: from another thread at every moment between check and wait: none is lost") {
  Loop<S> loop;
  std::atomic<std::uint32_t> posted{0};
  std::uint32_t seen = 0;
  Waker waker;
  Timer timer;
  auto look = [&] {
    seen = posted.load();
    if (seen == rounds) loop.stop();
  };
  auto busy = [&] { timer.rearm(50us); };  // so that turns begin and end at all times
  REQUIRE(waker.open(loop, look));
  timer.arm(loop, 50us, busy);
  std::thread other([&] {
    for (int i = 0; i < rounds; ++i) {
      posted.fetch_add(1);
      waker.wake();
    }
  });
  REQUIRE(loop.run_for(60s));
  other.join();
  CHECK(seen == rounds);  // what was posted before the last wake-up has been seen
}

ON_BOTH_SELECTORS("wake: from a signal handler, before run and while it waits") {
  Loop<S> loop;
  Counter counter;
  Waker waker;
  REQUIRE(waker.open(loop, counter.callback()));
  woken_by_signal = &waker;
  const Handling handling(SIGUSR1, [](int) { woken_by_signal->wake(); });
  REQUIRE(::raise(SIGUSR1) == 0);
  REQUIRE(loop.run_once());
  CHECK(counter.calls == 1);
  const pid_t self = ::getpid();
  const test::Child child([&] { return ::kill(self, SIGUSR1); });
  CHECK(test::run_until(loop, [&] { return counter.calls == 2; }));
}

ON_BOTH_SELECTORS("wake: a loop that never rests still hears of it, again and again") {
  Loop<S> loop;
  bool stop = false;
  mote::TaskPool<Restless, 1> pool;
  REQUIRE(pool.spawn(loop, stop));
  Counter counter;
  Waker waker;
  REQUIRE(waker.open(loop, counter.callback()));
  for (int i = 1; i <= 5; ++i) {
    waker.wake();
    for (int turn = 0; turn < 4; ++turn) REQUIRE(loop.run_once());
    CHECK(counter.calls == i);
  }
  // Now without leaving run(): woken three times while it runs.
  Timer timer;
  int ticks = 0;
  const int before = counter.calls;
  auto tick = [&] {
    if (counter.calls == before + 3 || ++ticks == 200) loop.stop();
    waker.wake();
  };
  timer.arm_every(loop, 100us, tick);
  REQUIRE(loop.run_for(10s));
  CHECK(counter.calls >= before + 3);
  stop = true;
  REQUIRE(loop.run_once());
}

ON_BOTH_SELECTORS("wake: an always-ready descriptor does not keep it from being heard") {
  Loop<S> loop;
  mote::Fd zero(::open("/dev/zero", O_RDONLY | O_CLOEXEC));
  REQUIRE(zero);
  auto ignore = [](Readiness) {};
  REQUIRE(loop.add(zero.get(), Interest::read, ignore));
  Counter counter;
  Waker waker;
  REQUIRE(waker.open(loop, counter.callback()));
  Timer timer;
  int ticks = 0;
  auto tick = [&] {
    if (counter.calls == 3 || ++ticks == 200) loop.stop();
    waker.wake();
  };
  timer.arm_every(loop, 100us, tick);
  REQUIRE(loop.run_for(10s));
  CHECK(counter.calls == 3);
}

ON_BOTH_SELECTORS("wake: during close of the waker is without effect afterwards") {
  Loop<S> loop;
  for (int i = 0; i < 200; ++i) {
    std::atomic<bool> begun{false}, stop{false};
    Waker waker;
    REQUIRE(waker.open(loop));
    std::thread other([&] {
      while (!stop.load()) {
        waker.wake();
        begun.store(true);
      }
    });
    while (!begun.load()) REQUIRE(loop.run_once(0ns));
    waker.close();  // the other thread is in wake(), or about to be: nobody waits for it
    REQUIRE(loop.run_once(0ns));
    stop.store(true);
    other.join();
    CHECK_FALSE(waker.is_open());
  }
}

// The wake-up descriptor is made to block, and filled, so that a real thread stays in its write() for as long as the
// test wants.
ON_BOTH_SELECTORS("wake: held in the kernel, it holds up neither close() nor the destruction of waker and reactor") {
  auto loop = std::make_unique<Loop<S>>();  // on the heap, for the sanitizers to see when they are touched later
  auto waker = std::make_unique<Waker>();
  const int number = next_descriptor();
  REQUIRE(waker->open(*loop));
  const mote::Fd wakeup(::dup(number));
  const std::uint64_t full = UINT64_MAX - 1;
  REQUIRE(::write(number, &full, sizeof full) == sizeof full);
  REQUIRE(::fcntl(number, F_SETFL, 0) == 0);
  std::atomic<pid_t> id{0};
  std::atomic<bool> returned{false};
  std::thread other([&, wake = waker.get()] {
    id.store(static_cast<pid_t>(::syscall(SYS_gettid)));
    wake->wake();
    returned.store(true);
  });
  while (id.load() == 0 || !is_writing_to(id.load(), number)) std::this_thread::yield();

  const mote::Instant start = mote::Clock::now();
  SUBCASE("the waker is closed first") { waker->close(); }
  SUBCASE("the waker is destroyed first") { waker.reset(); }
  SUBCASE("the reactor is destroyed first") {}
  loop.reset();
  waker.reset();
  CHECK(mote::Clock::now() - start < 5s);
  CHECK_FALSE(returned.load());
  CHECK(::fcntl(number, F_GETFD) >= 0);  // nobody else gets the number while the thread may write to it
  const int descriptors = test::open_descriptors();

  std::uint64_t drained = 0;
  REQUIRE(::read(wakeup.get(), &drained, sizeof drained) == sizeof drained);
  other.join();
  CHECK(::fcntl(number, F_GETFD) < 0);  // the last to leave has closed it, and nothing else
  CHECK(test::open_descriptors() == descriptors - 1);
}

// The loop has the higher real-time priority on the only processor, so a thread that it has preempted inside wake()
// gets no time to leave it: whoever waited for that would wait for ever.
ON_BOTH_SELECTORS("wake: by a preempted thread of a lower priority holds up neither close() nor destruction") {
  Realtime realtime;
  if (!realtime.permitted) MESSAGE("SCHED_FIFO is not permitted here: tried without priorities");
  mote::Duration longest{};
  for (int i = 0; i < 50; ++i) {
    auto loop = std::make_unique<Loop<S>>();
    auto waker = std::make_unique<Waker>();
    REQUIRE(waker->open(*loop));
    std::atomic<bool> stop{false};
    std::atomic<Waker*> open{waker.get()};
    std::thread other([&] {
      Realtime::give_up();
      while (!stop.load()) open.load()->wake();
    });
    while (loop->stats().events == 0) REQUIRE(loop->run_once(1ms));  // it is at work
    REQUIRE(loop->run_for(std::chrono::microseconds(200 + i)));
    Waker foreign;  // what the thread wakes from now on
    open.store(&foreign);
    const mote::Instant start = mote::Clock::now();
    waker->close();
    loop.reset();
    const mote::Duration taken = mote::Clock::now() - start;
    if (taken > longest) longest = taken;
    stop.store(true);
    other.join();
    waker.reset();
  }
  // Some microseconds; the bound leaves room for a machine that stands still now and then. Whoever waited for the
  // thread would wait until the kernel takes the processor away from real-time threads, after 950 ms, or for ever.
  CHECK(longest < (realtime.permitted ? mote::Duration(200ms) : mote::Duration(10s)));
}

ON_BOTH_SELECTORS("wake: a waker may be destroyed as soon as its wake-up has been delivered") {
  Loop<S> loop;
  for (int i = 0; i < rounds / 20; ++i) {
    auto waker = std::make_unique<Waker>();
    int calls = 0;
    auto count = [&] { ++calls; };
    REQUIRE(waker->open(loop, count));
    std::thread other([&, wake = waker.get()] { wake->wake(); });
    while (calls == 0) REQUIRE(loop.run_once());
    waker.reset();  // though the thread may be in wake() still
    other.join();
  }
}

// Four threads wake three wakers of two loops, which are closed, opened in the other loop, and lose their loop, at any
// time. In the end all works: no wake-up is lost, no descriptor is left.
ON_BOTH_SELECTORS("wake: a storm from many threads while wakers and reactors come and go") {
  const int descriptors = test::open_descriptors();
  std::array<Waker, 3> wakers;
  std::atomic<bool> stop{false};
  std::vector<std::thread> threads;
  for (unsigned t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (unsigned i = t; !stop.load(); ++i) wakers[i % wakers.size()].wake();
    });
  }
  Counter counter;
  for (int i = 0; i < rounds / 40; ++i) {
    Loop<S> first, second;
    for (Waker& waker : wakers) REQUIRE(waker.open(first, counter.callback()));
    REQUIRE(first.run_once(0ns));
    for (Waker& waker : wakers) {
      waker.close();
      REQUIRE(waker.open(second, counter.callback()));
    }
    REQUIRE(second.run_once());
    wakers[0].close();
    REQUIRE(wakers[0].open(first, counter.callback()));
    REQUIRE(first.run_once(0ns));
  }
  stop.store(true);
  for (std::thread& thread : threads) thread.join();
  CHECK(counter.calls > 0);
  CHECK(test::open_descriptors() == descriptors);

  Loop<S> loop;
  for (Waker& waker : wakers) {
    Counter last;
    REQUIRE(waker.open(loop, last.callback()));
    REQUIRE(loop.run_once(0ns));  // what came while it was closed
    last.calls = 0;
    waker.wake();
    REQUIRE(loop.run_once(10s));
    CHECK(last.calls == 1);
    waker.close();
  }
}

// Each thread waits for its own wake-up's delivery before the next, so that one that is lost ends it; and the loop
// sleeps now and then, since all of them wait.
ON_BOTH_SELECTORS("wake: from many threads, each its own waker: none is lost") {
  constexpr int threads = 3;
  Loop<S> loop;
  struct Line {
    Waker waker;
    std::atomic<int> wanted{0}, answered{0};
    int* open = nullptr;
    mote::Reactor* reactor = nullptr;
    void answer() {
      const int now = wanted.load();
      if (answered.exchange(now) == rounds / 4) return;
      if (now == rounds / 4 && --*open == 0) reactor->stop();
    }
  };
  std::array<Line, threads> lines;
  int open = threads;
  for (Line& line : lines) {
    line.open = &open;
    line.reactor = &loop;
    REQUIRE(line.waker.open(loop, mote::Delegate<void()>::of<&Line::answer>(line)));
  }
  std::vector<std::thread> others;
  for (Line& line : lines) {
    others.emplace_back([&line] {
      for (int i = 1; i <= rounds / 4; ++i) {
        line.wanted.store(i);
        line.waker.wake();
        const mote::Instant limit = mote::Clock::now() + 20s;
        while (line.answered.load() != i) {
          std::this_thread::yield();
          if (mote::Clock::now() > limit) return;
        }
      }
    });
  }
  REQUIRE(loop.run_for(60s));
  for (std::thread& other : others) other.join();
  CHECK(open == 0);
}

ON_BOTH_SELECTORS("wake: during destruction of the reactor is without effect afterwards") {
  for (int i = 0; i < 200; ++i) {
    std::atomic<bool> begun{false}, stop{false};
    Waker waker;
    std::thread other;
    {
      Loop<S> loop;
      REQUIRE(waker.open(loop));
      other = std::thread([&] {
        while (!stop.load()) {
          waker.wake();
          begun.store(true);
        }
      });
      while (!begun.load()) std::this_thread::yield();
    }
    stop.store(true);
    other.join();
    CHECK_FALSE(waker.is_open());
    waker.wake();
  }
}

ON_BOTH_SELECTORS("wake: during open from another thread: the waker works afterwards") {
  Loop<S> loop;
  for (int i = 0; i < rounds / 100; ++i) {
    Counter counter;
    Waker waker;
    std::atomic<bool> begun{false}, stop{false};
    std::thread other([&] {
      while (!stop.load()) {
        waker.wake();
        begun.store(true);
      }
    });
    while (!begun.load()) std::this_thread::yield();
    REQUIRE(waker.open(loop, counter.callback()));
    stop.store(true);
    other.join();
    waker.wake();
    const bool woken = test::run_until(
        loop, [&] { return counter.calls != 0; }, 2s);
    CHECK(woken);
    if (!woken) return;
  }
}

ON_BOTH_SELECTORS("wake: with a closed waker is without effect, and it can be opened again") {
  Loop<S> loop;
  Counter counter;
  Waker waker;
  CHECK_FALSE(waker.is_open());
  waker.wake();
  REQUIRE(waker.open(loop, counter.callback()));
  CHECK(waker.is_open());
  CHECK(waker.open(loop, counter.callback()).error() == EBUSY);
  waker.wake();
  waker.close();
  waker.close();
  waker.wake();
  REQUIRE(loop.run_once(0ns));
  CHECK(counter.calls == 0);
  REQUIRE(waker.open(loop, counter.callback()));
  const int calls = counter.calls;
  waker.wake();
  REQUIRE(loop.run_once());
  CHECK(counter.calls == calls + 1);
}

ON_BOTH_SELECTORS("wake: callbacks may close themselves and each other, and open new ones") {
  Loop<S> loop;
  std::vector<int> called;
  Waker first, second, third;
  auto on_third = [&] { called.push_back(3); };
  auto on_first = [&] {
    called.push_back(1);
    first.close();
    second.close();
    CHECK(third.open(loop, on_third));
    third.wake();
  };
  auto on_second = [&] { called.push_back(2); };
  REQUIRE(first.open(loop, on_first));
  REQUIRE(second.open(loop, on_second));
  first.wake();
  second.wake();
  REQUIRE(loop.run_once());
  REQUIRE(loop.run_once());
  CHECK(called == std::vector<int>{1, 3});
}

ON_BOTH_SELECTORS("wake: a callback may destroy its own waker") {
  Loop<S> loop;
  int calls = 0;
  std::optional<Waker> waker(std::in_place);
  auto destroy = [&] {
    ++calls;
    waker.reset();
  };
  REQUIRE(waker->open(loop, destroy));
  waker->wake();
  REQUIRE(loop.run_once());
  CHECK(calls == 1);
  REQUIRE(loop.run());  // nothing is left
}

ON_BOTH_SELECTORS("wake: only the one that was woken is called") {
  Loop<S> loop;
  Counter first, second;
  Waker one, two;
  REQUIRE(one.open(loop, first.callback()));
  REQUIRE(two.open(loop, second.callback()));
  two.wake();
  REQUIRE(loop.run_once());
  CHECK(first.calls == 0);
  CHECK(second.calls == 1);
}

ON_BOTH_SELECTORS("wake: a task awaits it, again and again") {
  Loop<S> loop;
  mote::TaskPool<Listening, 1> pool;
  Waker waker;
  int seen = 0;
  REQUIRE(waker.open(loop));
  Result<mote::TaskHandle> task = pool.spawn(loop, waker, 3, seen);
  REQUIRE(task);
  waker.wake();  // before it waits
  CHECK(test::run_until(loop, [&] { return seen == 1; }));
  for (int i = 2; i <= 3; ++i) {
    REQUIRE(loop.run_once(0ns));
    CHECK(seen == i - 1);
    waker.wake();
    CHECK(test::run_until(loop, [&] { return seen == i; }));
  }
  CHECK(task->outcome().kind == mote::Outcome::Kind::done);
}

ON_BOTH_SELECTORS("wake: a task that awaits it and is cancelled, or finds it closed, gets ECANCELED") {
  Loop<S> loop;
  mote::TaskPool<Listening, 1> pool;
  Waker waker;
  int seen = 0;
  REQUIRE(waker.open(loop));
  {
    Result<mote::TaskHandle> task = pool.spawn(loop, waker, 1, seen);
    REQUIRE(task);
    REQUIRE(loop.run_once(0ns));
    task->cancel();
    REQUIRE(loop.run_once(0ns));
    CHECK(task->outcome().kind == mote::Outcome::Kind::cancelled);
  }
  Result<mote::TaskHandle> task = pool.spawn(loop, waker, 1, seen);
  REQUIRE(task);
  REQUIRE(loop.run_once(0ns));
  waker.close();
  REQUIRE(loop.run_once(0ns));
  CHECK(task->outcome().kind == mote::Outcome::Kind::cancelled);
  CHECK(seen == 0);
}

ON_BOTH_SELECTORS("wake: awaiting a waker that is not open is EBADF, and one that another task awaits EBUSY") {
  Loop<S> loop;
  auto quietly = [](const mote::Observation&) {};
  loop.observe(quietly);
  mote::TaskPool<Listening, 2> pool;
  Waker waker;
  int seen = 0;
  {
    Result<mote::TaskHandle> task = pool.spawn(loop, waker, 1, seen);
    REQUIRE(task);
    REQUIRE(loop.run_once(0ns));
    CHECK(task->outcome().kind == mote::Outcome::Kind::failed);
    CHECK(task->outcome().error == EBADF);
  }
  REQUIRE(waker.open(loop));
  Result<mote::TaskHandle> first = pool.spawn(loop, waker, 1, seen);
  Result<mote::TaskHandle> second = pool.spawn(loop, waker, 1, seen);
  REQUIRE(first);
  REQUIRE(second);
  REQUIRE(loop.run_once(0ns));
  CHECK(second->outcome().error == EBUSY);
  waker.wake();
  CHECK(test::run_until(loop, [&] { return seen == 1; }));
  CHECK(first->outcome().kind == mote::Outcome::Kind::done);
}

ON_BOTH_SELECTORS("wake: an open waker is a reason to go on running, a closed one is not") {
  Loop<S> loop;
  Waker waker;
  Timer timer;
  REQUIRE(waker.open(loop));
  bool closed = false;
  auto close = [&] {
    closed = true;
    waker.close();
  };
  timer.arm(loop, 1ms, close);
  REQUIRE(loop.run());
  CHECK(closed);
}

TEST_CASE("wake: makes the pollable descriptor of a loop that does not run readable") {
  Loop<test::OnEpoll> loop;
  Counter counter;
  Waker waker;
  REQUIRE(waker.open(loop, counter.callback()));
  pollfd embedded{loop.pollable_descriptor(), POLLIN, 0};
  for (int i = 1; i <= 3; ++i) {
    CHECK(::poll(&embedded, 1, 0) == 0);
    waker.wake();
    REQUIRE(::poll(&embedded, 1, 10'000) == 1);
    REQUIRE(loop.run_once(0ns));
    CHECK(counter.calls == i);
  }
}

TEST_CASE("wake: in a callback of the last turn makes the pollable descriptor readable afterwards") {
  Loop<test::OnEpoll> loop;
  Counter counter;
  Waker waker;
  Timer timer;
  REQUIRE(waker.open(loop, counter.callback()));
  auto wake = [&] { waker.wake(); };
  timer.arm(loop, 0ns, wake);
  REQUIRE(loop.run_once());
  pollfd embedded{loop.pollable_descriptor(), POLLIN, 0};
  CHECK(::poll(&embedded, 1, 0) == 1);
  REQUIRE(loop.run_once(0ns));
  CHECK(counter.calls == 1);
}

ON_BOTH_SELECTORS("stop: before run ends it at once, once") {
  Loop<S> loop;
  int fired = 0;
  Timer timer;
  auto count = [&] { ++fired; };
  timer.arm(loop, 0ns, count);
  loop.stop();
  REQUIRE(loop.run());
  CHECK(fired == 0);
  REQUIRE(loop.run());
  CHECK(fired == 1);
}

ON_BOTH_SELECTORS("stop: from another thread, while the loop waits or is about to") {
  Loop<S> loop;
  REQUIRE(loop.enable_wakeups());
  Timer timer;
  auto never = [] { FAIL_CHECK("an hour too early"); };
  timer.arm(loop, 1h, never);
  for (int i = 0; i < rounds / 20; ++i) {
    std::thread other([&] { loop.stop(); });
    REQUIRE(loop.run());
    other.join();
  }
}

ON_BOTH_SELECTORS("stop: from a signal handler") {
  Loop<S> loop;
  REQUIRE(loop.enable_wakeups());
  Timer timer;
  auto never = [] { FAIL_CHECK("an hour too early"); };
  timer.arm(loop, 1h, never);
  stopped_by_signal = &loop;
  const Handling handling(SIGUSR2, [](int) { stopped_by_signal->stop(); });
  const pid_t self = ::getpid();
  for (int i = 0; i < 20; ++i) {
    test::Child child([&] { return ::kill(self, SIGUSR2); });
    REQUIRE(loop.run());
    CHECK(child.join() == 0);
  }
}

ON_BOTH_SELECTORS("wake: descriptors are made when they are first needed, and go with the reactor") {
  const int before = test::open_descriptors();
  {
    Loop<S> loop;
    const int opened = test::open_descriptors();
    Waker first, second;
    REQUIRE(first.open(loop));
    CHECK(test::open_descriptors() == opened + 1);
    REQUIRE(second.open(loop));
    CHECK(test::open_descriptors() == opened + 1);
  }
  CHECK(test::open_descriptors() == before);
}

TEST_CASE("wake: opening a waker in a reactor that is not open is ENXIO") {
  mote::StaticReactor<> reactor;
  Waker waker;
  CHECK(waker.open(reactor).error() == ENXIO);
  CHECK_FALSE(waker.is_open());
  CHECK(reactor.enable_wakeups().error() == ENXIO);
}
