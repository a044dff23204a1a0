// SPDX-License-Identifier: MIT
// Rooms: thread/signals.hpp, thread/signal_set.hpp.
// Signals become calls of the loop. EINTR of every system call is in fault_*.cpp.
#include <sys/time.h>

#include <atomic>
#include <memory>
#include <optional>
#include <thread>
#include <vector>

#include "support/child.hpp"
#include "support/harness.hpp"

namespace {

using mote::Interest;
using mote::Readiness;
using mote::Result;
using mote::Signals;
using mote::SignalSet;
using mote::Timer;
using test::Loop;
using namespace std::chrono_literals;

// As many as the scenario asks for, natively; the boards' tests mostly run under emulation.
#if defined(__x86_64__) || defined(__i386__)
constexpr int storm_size = 100'000;
#else
constexpr int storm_size = 5'000;
#endif

struct Log {
  std::vector<int> signals;
  void note(int signal) { signals.push_back(signal); }
  mote::Delegate<void(int)> callback() { return mote::Delegate<void(int)>::of<&Log::note>(*this); }
};

struct sigaction disposition(int signal) {
  struct sigaction action;
  ::memset(&action, 0, sizeof action);
  REQUIRE(::sigaction(signal, nullptr, &action) == 0);
  return action;
}

// Puts a disposition in place for as long as it lives.
class Disposition {
 public:
  Disposition(int signal, void (*handler)(int), int flags = 0) : signal_(signal) {
    struct sigaction action;
    ::memset(&action, 0, sizeof action);
    action.sa_handler = handler;
    action.sa_flags = flags;
    REQUIRE(::sigaction(signal, &action, &before_) == 0);
  }
  Disposition(const Disposition&) = delete;
  Disposition& operator=(const Disposition&) = delete;
  ~Disposition() { ::sigaction(signal_, &before_, nullptr); }
 private:
  int signal_;
  struct sigaction before_;
};

std::atomic<int> others_calls{0};
void others_handler(int) { ++others_calls; }
void others_information(int, siginfo_t*, void*) { ++others_calls; }

// The descriptor by which signals wake the loop: the only eventfd of the process.
int find_eventfd() {
  for (int fd = 3; fd < 256; ++fd) {
    std::array<char, 64> path{}, target{};
    ::snprintf(path.data(), path.size(), "/proc/self/fd/%d", fd);
    const ssize_t n = ::readlink(path.data(), target.data(), target.size() - 1);
    if (n > 0 && ::strstr(target.data(), "[eventfd]") != nullptr) return fd;
  }
  return -1;
}

struct NextSignals : mote::StateMachine {
  Signals* signals;
  std::vector<int>* log;
  Result<int> signal;
  mote::Step step() {
    MOTE_BEGIN();
    for (;;) {
      MOTE_AWAIT(signal, signals->next());
      if (!signal) return mote::failed(signal.error());
      log->push_back(*signal);
    }
    MOTE_END();
  }
  NextSignals(Signals& s, std::vector<int>& l) : signals(&s), log(&l) {}
};

}  // namespace

ON_BOTH_SELECTORS("signal: before run") {
  Loop<S> loop;
  Log log;
  Signals signals;
  REQUIRE(signals.open(loop, {SIGUSR1}, log.callback()));
  REQUIRE(::raise(SIGUSR1) == 0);
  CHECK(log.signals.empty());  // never inside of the handler
  REQUIRE(loop.run_once());
  CHECK(log.signals == std::vector<int>{SIGUSR1});
}

ON_BOTH_SELECTORS("signal: while blocked in the wait") {
  Loop<S> loop;
  Log log;
  Signals signals;
  REQUIRE(signals.open(loop, {SIGUSR1}, log.callback()));
  const pid_t self = ::getpid();
  for (int i = 1; i <= 10; ++i) {
    test::Child child([&] {
      ::poll(nullptr, 0, 2);  // until the loop is likely to be blocked; either way it must be told
      return ::kill(self, SIGUSR1);
    });
    CHECK(test::run_until(loop, [&] { return log.signals.size() == static_cast<std::size_t>(i); }));
    CHECK(child.join() == 0);
  }
}

// Each signal is sent when the one before has been told, so one that fell between check and wait would end it.
ON_BOTH_SELECTORS("signal: between check and wait, at every moment: none is lost") {
  Loop<S> loop;
  constexpr int rounds = storm_size / 20;
  std::atomic<int> told{0};
  Signals signals;
  Timer timer;
  auto tell = [&](int) {
    if (told.fetch_add(1) + 1 == rounds) loop.stop();
  };
  auto busy = [&] { timer.rearm(30us); };
  REQUIRE(signals.open(loop, {SIGUSR1}, tell));
  timer.arm(loop, 30us, busy);
  const pthread_t looper = ::pthread_self();
  std::thread sender([&] {
    for (int i = 0; i < rounds; ++i) {
      ::pthread_kill(looper, SIGUSR1);
      const mote::Instant limit = mote::Clock::now() + 20s;
      while (told.load() == i) {
        std::this_thread::yield();
        if (mote::Clock::now() > limit) return;
      }
    }
  });
  REQUIRE(loop.run_for(60s));
  sender.join();
  CHECK(told.load() == rounds);
}

ON_BOTH_SELECTORS("signal: storm of 100,000: bounded, at least one seen, shutdown still works") {
  Loop<S> loop;
  Signals storm, shutdown;
  int seen = 0;
  bool stopped = false;
  auto count = [&](int) { ++seen; };
  auto stop = [&](int) {
    stopped = true;
    loop.stop();
  };
  REQUIRE(storm.open(loop, {SIGUSR1}, count));
  REQUIRE(shutdown.open(loop, {SIGTERM}, stop));
  const pid_t self = ::getpid();
  test::Child sender([&] {
    for (int i = 0; i < storm_size; ++i) {
      if (::kill(self, SIGUSR1) != 0) return 1;
    }
    return ::kill(self, SIGTERM);
  });
  REQUIRE(loop.run_for(60s));
  CHECK(stopped);
  CHECK(seen >= 1);
  CHECK(seen <= storm_size);
  CHECK(loop.stats().turns <= 3u * storm_size + 100);
  CHECK(sender.join() == 0);
}

ON_BOTH_SELECTORS("signal: storm in its own callback leaves room for the rest of the loop") {
  Loop<S> loop;
  test::Pair pair = test::socket_pair();
  int calls = 0, received = 0;
  auto again = [&](int signal) {
    if (++calls < 1000) ::raise(signal);
  };
  auto receive = [&](Readiness) {
    char byte;
    if (::read(pair.a.get(), &byte, 1) == 1) ++received;
  };
  Signals signals;
  REQUIRE(signals.open(loop, {SIGUSR1}, again));
  REQUIRE(loop.add(pair.a.get(), Interest::read, receive));
  REQUIRE(test::send_text(pair.b.get(), "0123456789") == 10);
  REQUIRE(::raise(SIGUSR1) == 0);
  // A turn tells of each signal once, as with any other source of events.
  for (int i = 1; i <= 10; ++i) {
    REQUIRE(loop.run_once());
    CHECK(calls <= i);
    CHECK(received == i);
  }
}

ON_BOTH_SELECTORS("signal: two signals in one turn: both are told, the lower number first") {
  Loop<S> loop;
  Log log;
  Signals signals;
  REQUIRE(signals.open(loop, {SIGTERM, SIGUSR1, SIGHUP}, log.callback()));
  REQUIRE(::raise(SIGTERM) == 0);
  REQUIRE(::raise(SIGHUP) == 0);
  REQUIRE(::raise(SIGTERM) == 0);
  REQUIRE(loop.run_once());
  CHECK(log.signals == std::vector<int>{SIGHUP, SIGTERM});
  REQUIRE(loop.run_once(0ns));
  CHECK(log.signals.size() == 2);
}

ON_BOTH_SELECTORS("signal: two objects, each is told its own signals") {
  Loop<S> loop;
  Log first, second;
  Signals one, two;
  REQUIRE(one.open(loop, {SIGUSR1}, first.callback()));
  REQUIRE(two.open(loop, {SIGUSR2}, second.callback()));
  REQUIRE(::raise(SIGUSR2) == 0);
  REQUIRE(loop.run_once());
  CHECK(first.signals.empty());
  CHECK(second.signals == std::vector<int>{SIGUSR2});
}

ON_BOTH_SELECTORS("signal: handled while being removed: its callback closes or destroys the object") {
  Loop<S> loop;
  const Disposition ignore_first(SIGUSR1, SIG_IGN), ignore_second(SIGUSR2, SIG_IGN);
  std::vector<int> told;
  std::optional<Signals> signals;
  auto close = [&](int signal) {
    told.push_back(signal);
    signals->close();
  };
  auto destroy = [&](int signal) {
    told.push_back(signal);
    signals.reset();
  };
  signals.emplace();
  REQUIRE(signals->open(loop, {SIGUSR1, SIGUSR2}, close));
  REQUIRE(::raise(SIGUSR1) == 0);
  REQUIRE(::raise(SIGUSR2) == 0);
  REQUIRE(loop.run_once());
  CHECK(told == std::vector<int>{SIGUSR1});  // the other was told to nobody
  told.clear();
  REQUIRE(signals->open(loop, {SIGUSR1, SIGUSR2}, destroy));
  REQUIRE(::raise(SIGUSR1) == 0);
  REQUIRE(::raise(SIGUSR2) == 0);
  REQUIRE(loop.run_once());
  CHECK(told == std::vector<int>{SIGUSR1});
  REQUIRE(loop.run());  // nothing is left
}

ON_BOTH_SELECTORS("signal: handled while being removed: in another thread") {
  const Disposition ignore(SIGUSR1, SIG_IGN);
  Loop<S> loop;
  std::atomic<bool> done{false};
  std::thread target([&] {
    while (!done.load()) std::this_thread::yield();
  });
  std::thread sender([&] {
    while (!done.load()) ::pthread_kill(target.native_handle(), SIGUSR1);
  });
  for (int i = 0; i < storm_size / 100; ++i) {
    auto signals = std::make_unique<Signals>();  // on the heap, for the sanitizers to see when it is touched later
    Log log;
    CHECK(signals->open(loop, {SIGUSR1}, log.callback()));
    CHECK(loop.run_once(0ns));
  }
  done.store(true);
  sender.join();
  target.join();
}

ON_BOTH_SELECTORS("signal: dispositions restored") {
  Loop<S> loop;
  struct sigaction before[3];
  const Disposition function(SIGUSR1, others_handler, SA_NODEFER | SA_RESTART);
  const Disposition ignored(SIGUSR2, SIG_IGN);
  const Disposition defaulted(SIGHUP, SIG_DFL);
  before[0] = disposition(SIGUSR1);
  before[1] = disposition(SIGUSR2);
  before[2] = disposition(SIGHUP);
  {
    Signals signals;
    REQUIRE(signals.open(loop, {SIGUSR1, SIGUSR2, SIGHUP}));
    CHECK((disposition(SIGUSR1).sa_handler != others_handler));
    CHECK((disposition(SIGUSR2).sa_handler != SIG_IGN));
  }
  const int numbers[] = {SIGUSR1, SIGUSR2, SIGHUP};
  for (std::size_t i = 0; i < 3; ++i) {
    const struct sigaction after = disposition(numbers[i]);
    CHECK((after.sa_handler == before[i].sa_handler));
    CHECK(after.sa_flags == before[i].sa_flags);
  }
  others_calls = 0;
  REQUIRE(::raise(SIGUSR1) == 0);
  CHECK(others_calls == 1);
}

ON_BOTH_SELECTORS("signal: dispositions restored with their flags and masks") {
  Loop<S> loop;
  const Disposition outer(SIGUSR1, SIG_DFL);
  struct sigaction action;
  ::memset(&action, 0, sizeof action);
  action.sa_sigaction = others_information;
  action.sa_flags = SA_SIGINFO | SA_NODEFER;
  ::sigaddset(&action.sa_mask, SIGUSR2);
  ::sigaddset(&action.sa_mask, SIGRTMIN + 3);
  REQUIRE(::sigaction(SIGUSR1, &action, nullptr) == 0);
  {
    Signals signals;
    REQUIRE(signals.open(loop, {SIGUSR1}));
  }
  const struct sigaction after = disposition(SIGUSR1);
  CHECK((after.sa_sigaction == others_information));
  CHECK((after.sa_flags & (SA_SIGINFO | SA_NODEFER | SA_RESTART)) == (SA_SIGINFO | SA_NODEFER));
  CHECK(::sigismember(&after.sa_mask, SIGUSR2) == 1);
  CHECK(::sigismember(&after.sa_mask, SIGRTMIN + 3) == 1);
  CHECK(::sigismember(&after.sa_mask, SIGHUP) == 0);
}

ON_BOTH_SELECTORS("signal: dispositions restored, but not over a handler that somebody put in place meanwhile") {
  Loop<S> loop;
  const Disposition outer(SIGUSR1, SIG_IGN);
  Signals signals;
  REQUIRE(signals.open(loop, {SIGUSR1}));
  const Disposition later(SIGUSR1, others_handler);
  signals.close();
  CHECK((disposition(SIGUSR1).sa_handler == others_handler));
}

ON_BOTH_SELECTORS("signal: dispositions restored when the reactor goes first and the object later") {
  const Disposition outer(SIGUSR1, others_handler);
  Signals signals;
  {
    Loop<S> loop;
    REQUIRE(signals.open(loop, {SIGUSR1}));
  }
  REQUIRE(::raise(SIGUSR1) == 0);  // there is no loop to tell
  signals.close();
  CHECK((disposition(SIGUSR1).sa_handler == others_handler));
}

ON_BOTH_SELECTORS("signal: errno preserved, even where the wake-up fails") {
  Loop<S> loop;
  Log log;
  Signals signals;
  REQUIRE(signals.open(loop, {SIGUSR1}, log.callback()));
  const int wakeup = find_eventfd();
  REQUIRE(wakeup >= 0);
  const std::uint64_t full = UINT64_MAX - 1;
  REQUIRE(::write(wakeup, &full, sizeof full) == sizeof full);  // so that one more write is EAGAIN
  errno = ENOTTY;
  const int raised = ::raise(SIGUSR1);
  const int after = errno;
  CHECK(raised == 0);
  CHECK(after == ENOTTY);
  REQUIRE(loop.run_once());  // full is awake all the same
  CHECK(log.signals == std::vector<int>{SIGUSR1});
}

ON_BOTH_SELECTORS("signal: EINTR does not end a wait before its time, nor is it an error") {
  Loop<S> loop;
  const Disposition handler(SIGALRM, others_handler);  // without SA_RESTART
  others_calls = 0;
  itimerval often{};
  often.it_interval.tv_usec = 500;
  often.it_value = often.it_interval;
  REQUIRE(::setitimer(ITIMER_REAL, &often, nullptr) == 0);
  const mote::Instant start = mote::Clock::now();
  CHECK(loop.run_for(20ms));
  CHECK(mote::Clock::now() >= start + 20ms);
  typename S::template Selector<4> selector;
  REQUIRE(selector.open());
  mote::Ready ready[4];
  const mote::Instant again = mote::Clock::now();
  const Result<std::size_t> count = selector.wait(ready, 20ms);
  CHECK(mote::Clock::now() >= again + 20ms);
  const itimerval off{};
  REQUIRE(::setitimer(ITIMER_REAL, &off, nullptr) == 0);
  REQUIRE(count);
  CHECK(*count == 0);
  CHECK(others_calls > 0);
}

ON_BOTH_SELECTORS("signal: SIGCHLD of others not reaped") {
  Loop<S> loop;
  Log log;
  Signals signals;
  REQUIRE(signals.open(loop, {SIGCHLD}, log.callback()));
  test::Child child([] { return 42; });
  CHECK(test::run_until(loop, [&] { return !log.signals.empty(); }));
  CHECK(log.signals == std::vector<int>{SIGCHLD});
  signals.close();
  CHECK(child.join() == 42);  // its status was left for us
}

ON_BOTH_SELECTORS("signal: SIGCHLD of others not reaped by a loop that did not ask") {
  Loop<S> loop;
  REQUIRE(loop.enable_wakeups());
  test::Child child([] { return 43; });
  REQUIRE(loop.run_for(5ms));
  CHECK(child.join() == 43);
}

ON_BOTH_SELECTORS("signal: real-time signal > 32, up to the last") {
  Loop<S> loop;
  Log log;
  Signals signals;
  const int first = SIGRTMIN;
  REQUIRE(first > 32);
  REQUIRE(signals.open(loop, {SIGUSR1, first, SIGRTMAX - 2, SIGRTMAX - 1, SIGRTMAX}, log.callback()));
  int last = SIGRTMAX;  // an emulator may keep the very last ones for itself
  while (last > SIGRTMAX - 2 && ::kill(::getpid(), last) != 0) --last;
  REQUIRE(::raise(last) == 0);
  REQUIRE(::raise(first) == 0);
  REQUIRE(::raise(SIGUSR1) == 0);
  REQUIRE(loop.run_once());
  CHECK(log.signals == std::vector<int>{SIGUSR1, first, last});
}

ON_BOTH_SELECTORS("signal: no mask is changed") {
  Loop<S> loop;
  sigset_t before, during, after;
  REQUIRE(::sigprocmask(SIG_BLOCK, nullptr, &before) == 0);
  {
    Signals signals;
    REQUIRE(signals.open(loop, {SIGUSR1, SIGTERM}));
    REQUIRE(::sigprocmask(SIG_BLOCK, nullptr, &during) == 0);
  }
  REQUIRE(::sigprocmask(SIG_BLOCK, nullptr, &after) == 0);
  for (int s = 1; s <= 64; ++s) {
    CHECK(::sigismember(&during, s) == ::sigismember(&before, s));
    CHECK(::sigismember(&after, s) == ::sigismember(&before, s));
  }
}

ON_BOTH_SELECTORS("signal: one that cannot be caught, or is none, is EINVAL, and nothing is changed") {
  Loop<S> loop;
  const Disposition outer(SIGUSR1, others_handler);
  Signals signals;
  CHECK(signals.open(loop, {SIGUSR1, SIGKILL}).error() == EINVAL);
  CHECK((disposition(SIGUSR1).sa_handler == others_handler));
  CHECK(signals.open(loop, {SIGSTOP}).error() == EINVAL);
  CHECK(signals.open(loop, {0}).error() == EINVAL);
  CHECK(signals.open(loop, {SignalSet::last_signal + 1}).error() == EINVAL);
  CHECK(signals.open(loop, {-1}).error() == EINVAL);
  CHECK((disposition(SIGUSR1).sa_handler == others_handler));
  REQUIRE(signals.open(loop, {SIGUSR1}));  // it is as good as new
}

ON_BOTH_SELECTORS("signal: one that is taken is EBUSY, until it is given back") {
  Loop<S> loop;
  const Disposition outer(SIGUSR2, others_handler);
  Log log;
  Signals first, second;
  REQUIRE(first.open(loop, {SIGUSR1}, log.callback()));
  CHECK(first.open(loop, {SIGUSR2}).error() == EBUSY);
  CHECK(second.open(loop, {SIGUSR1, SIGUSR2}).error() == EBUSY);
  CHECK((disposition(SIGUSR2).sa_handler == others_handler));
  first.close();
  REQUIRE(second.open(loop, {SIGUSR1, SIGUSR2}, log.callback()));
  REQUIRE(::raise(SIGUSR1) == 0);
  REQUIRE(loop.run_once());
  CHECK(log.signals == std::vector<int>{SIGUSR1});
}

TEST_CASE("signal: opening in a reactor that is not open is ENXIO, and changes nothing") {
  mote::StaticReactor<> reactor;
  const Disposition outer(SIGUSR1, others_handler);
  Signals signals;
  CHECK(signals.open(reactor, {SIGUSR1}).error() == ENXIO);
  CHECK((disposition(SIGUSR1).sa_handler == others_handler));
}

TEST_CASE("signal: a set knows what it contains") {
  constexpr SignalSet set{SIGINT, 33, 64};
  static_assert(set.contains(SIGINT) && set.contains(33) && set.contains(64), "at compile time too");
  CHECK_FALSE(set.contains(32));
  CHECK_FALSE(set.contains(1));
  CHECK(set.valid());
  CHECK_FALSE(SignalSet{0}.valid());
  CHECK_FALSE(SignalSet{SignalSet::last_signal + 1}.valid());
  CHECK(SignalSet{SignalSet::last_signal}.contains(SignalSet::last_signal));
  CHECK(SignalSet::last_signal >= SIGRTMAX);
}

ON_BOTH_SELECTORS("signal: a task awaits the next one, the lowest number first") {
  Loop<S> loop;
  Signals signals;
  mote::TaskPool<NextSignals, 1> pool;
  std::vector<int> log;
  REQUIRE(signals.open(loop, {SIGUSR1, SIGUSR2, SIGHUP}));
  Result<mote::TaskHandle> task = pool.spawn(loop, signals, log);
  REQUIRE(task);
  REQUIRE(::raise(SIGUSR2) == 0);
  REQUIRE(::raise(SIGHUP) == 0);
  CHECK(test::run_until(loop, [&] { return log.size() == 2; }));
  REQUIRE(::raise(SIGUSR1) == 0);
  CHECK(test::run_until(loop, [&] { return log.size() == 3; }));
  CHECK(log == std::vector<int>{SIGHUP, SIGUSR2, SIGUSR1});
  task->cancel();
  CHECK(test::run_until(loop, [&] { return task->outcome().kind != mote::Outcome::Kind::none; }));
  CHECK(task->outcome().kind == mote::Outcome::Kind::cancelled);
}

ON_BOTH_SELECTORS("signal: a task that awaits one when the object is closed gets ECANCELED") {
  Loop<S> loop;
  Signals signals;
  mote::TaskPool<NextSignals, 1> pool;
  std::vector<int> log;
  REQUIRE(signals.open(loop, {SIGUSR1}));
  Result<mote::TaskHandle> task = pool.spawn(loop, signals, log);
  REQUIRE(task);
  REQUIRE(loop.run_once(0ns));
  signals.close();
  REQUIRE(loop.run_once(0ns));
  CHECK(task->outcome().kind == mote::Outcome::Kind::cancelled);
}

ON_BOTH_SELECTORS("signal: one that comes while the loop never rests is told all the same") {
  Loop<S> loop;
  Timer timer;
  Log log;
  int ticks = 0;
  auto raise_again = [&] {
    if (log.signals.size() == 3 || ++ticks == 1000) loop.stop();
    else ::raise(SIGUSR1);
  };
  struct Restless : mote::StateMachine {
    mote::Step step() {
      MOTE_BEGIN();
      for (;;) MOTE_YIELD();
      MOTE_END();
    }
  };
  mote::TaskPool<Restless, 1> pool;
  Signals signals;
  REQUIRE(signals.open(loop, {SIGUSR1}, log.callback()));
  REQUIRE(pool.spawn(loop));
  timer.arm_every(loop, 100us, raise_again);
  REQUIRE(loop.run_for(20s));
  CHECK(log.signals.size() == 3);
}

// ------------------------------------------------------------------------------------------------ blocked signals

namespace {

// Blocks a signal in this thread for as long as it lives.
class Blocking {
 public:
  explicit Blocking(int signal) {
    sigset_t mask;
    ::sigemptyset(&mask);
    ::sigaddset(&mask, signal);
    REQUIRE(::pthread_sigmask(SIG_BLOCK, &mask, &before_) == 0);
  }
  Blocking(const Blocking&) = delete;
  Blocking& operator=(const Blocking&) = delete;
  ~Blocking() { ::pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  static bool blocked(int signal) {
    sigset_t mask;
    REQUIRE(::pthread_sigmask(SIG_BLOCK, nullptr, &mask) == 0);
    return ::sigismember(&mask, signal) == 1;
  }
 private:
  sigset_t before_;
};

}  // namespace

ON_BOTH_SELECTORS("signal: one that is blocked would never be heard: EDEADLK, and nothing is changed") {
  Loop<S> loop;
  const Disposition outer(SIGUSR1, others_handler);
  const Blocking blocking(SIGUSR2);
  Signals signals;
  CHECK(signals.open(loop, {SIGUSR1, SIGUSR2}).error() == EDEADLK);
  CHECK((disposition(SIGUSR1).sa_handler == others_handler));
  CHECK(Blocking::blocked(SIGUSR2));
  REQUIRE(signals.open(loop, {SIGUSR1}));
}

ON_BOTH_SELECTORS("signal: one that is blocked is unblocked by choice, and heard, also if it is pending already") {
  Loop<S> loop;
  Log log;
  const Blocking blocking(SIGUSR1);
  REQUIRE(::raise(SIGUSR1) == 0);
  Signals signals;
  REQUIRE(signals.open(loop, {SIGUSR1}, log.callback(), Signals::Blocked::unblock));
  CHECK_FALSE(Blocking::blocked(SIGUSR1));
  REQUIRE(loop.run_once());
  CHECK(log.signals == std::vector<int>{SIGUSR1});
}

ON_BOTH_SELECTORS("signal: one that is blocked here but not in another thread is heard by choice") {
  Loop<S> loop;
  Log log;
  std::atomic<bool> done{false};
  std::thread other([&] {
    while (!done.load()) std::this_thread::yield();
  });
  const Blocking blocking(SIGUSR1);
  Signals signals;
  CHECK(signals.open(loop, {SIGUSR1}, log.callback(), Signals::Blocked::allow));
  CHECK(Blocking::blocked(SIGUSR1));
  CHECK(::kill(::getpid(), SIGUSR1) == 0);
  CHECK(test::run_until(loop, [&] { return log.signals.size() == 1; }));
  done.store(true);
  other.join();
}

// ------------------------------------------------------------------------------------------------ who has a signal

ON_BOTH_SELECTORS("signal: of two threads that open the same one gets all its signals, the other EBUSY and nothing") {
  constexpr int rounds = storm_size / 100;
  const Disposition first(SIGUSR1, others_handler), second(SIGUSR2, others_handler);
  Loop<S> loops[2];
  Signals signals[2];
  std::atomic<int> errors[2] = {}, arrived{0};
  auto meet = [&arrived](int wanted) {
    ++arrived;
    while (arrived.load() < wanted) std::this_thread::yield();
  };
  bool wrong = false;
  auto look = [&] {
    if (errors[0] + errors[1] != EBUSY) wrong = true;  // 0 for the other
    for (const int signal : {SIGUSR1, SIGUSR2}) {
      if (disposition(signal).sa_handler == others_handler) wrong = true;
    }
  };
  auto open_and_close = [&](std::size_t side) {
    for (int round = 0; round < rounds; ++round) {
      meet(6 * round + 2);
      errors[side] = test::error_of(signals[side].open(loops[side], {SIGUSR1, SIGUSR2}));
      meet(6 * round + 4);
      if (side == 0) look();
      meet(6 * round + 6);
      signals[side].close();
    }
  };
  std::thread other([&] { open_and_close(1); });
  open_and_close(0);
  other.join();
  CHECK_FALSE(wrong);
  CHECK((disposition(SIGUSR1).sa_handler == others_handler));
  CHECK((disposition(SIGUSR2).sa_handler == others_handler));
}

ON_BOTH_SELECTORS("signal: an open() that is refused changes nothing: what was swallowed stays so") {
  Loop<S> loop;
  Log log;
  const Disposition first(SIGUSR1, others_handler), second(SIGUSR2, others_handler);
  others_calls = 0;
  Signals swallowing, holding, refused;
  REQUIRE(swallowing.open(loop, {SIGUSR1}, log.callback()));
  swallowing.swallow();
  REQUIRE(holding.open(loop, {SIGUSR2}, log.callback()));
  CHECK(test::error_of(refused.open(loop, {SIGUSR1, SIGUSR2}, log.callback())) == EBUSY);
  CHECK_FALSE(refused.is_open());
  REQUIRE(::raise(SIGUSR1) == 0);
  CHECK(others_calls == 0);
  swallowing.close();
  REQUIRE(::raise(SIGUSR1) == 0);
  CHECK(others_calls == 1);
}

ON_BOTH_SELECTORS("signal: swallowed, it has no effect until it is given back or taken again") {
  Loop<S> loop;
  Log log;
  const Disposition outer(SIGUSR1, others_handler);
  others_calls = 0;
  auto signals = std::make_unique<Signals>();
  REQUIRE(signals->open(loop, {SIGUSR1}, log.callback()));
  signals->swallow();
  CHECK_FALSE(signals->is_open());
  REQUIRE(::raise(SIGUSR1) == 0);
  REQUIRE(loop.run());  // nothing is left
  CHECK(log.signals.empty());
  CHECK(others_calls == 0);
  SUBCASE("given back") {
    signals->close();
    REQUIRE(::raise(SIGUSR1) == 0);
    CHECK(others_calls == 1);
  }
  SUBCASE("destroyed, and taken by another, which gives it back") {
    signals.reset();
    REQUIRE(::raise(SIGUSR1) == 0);
    CHECK(others_calls == 0);
    Signals other;
    REQUIRE(other.open(loop, {SIGUSR1}, log.callback()));
    REQUIRE(loop.run_once(0ns));
    CHECK(log.signals.empty());  // what was swallowed is gone
    REQUIRE(::raise(SIGUSR1) == 0);
    REQUIRE(loop.run_once());
    CHECK(log.signals == std::vector<int>{SIGUSR1});
    other.close();
    CHECK((disposition(SIGUSR1).sa_handler == others_handler));
  }
  SUBCASE("taken again") {
    REQUIRE(signals->open(loop, {SIGUSR1}, log.callback()));
    REQUIRE(::raise(SIGUSR1) == 0);
    REQUIRE(loop.run_once());
    CHECK(log.signals == std::vector<int>{SIGUSR1});
    signals->close();
    CHECK((disposition(SIGUSR1).sa_handler == others_handler));
  }
  SUBCASE("taken by another, so that it is not this one's to give back") {
    Signals other;
    REQUIRE(other.open(loop, {SIGUSR1}, log.callback()));
    signals->close();
    signals.reset();
    REQUIRE(::raise(SIGUSR1) == 0);
    REQUIRE(loop.run_once());
    CHECK(log.signals == std::vector<int>{SIGUSR1});
  }
}
