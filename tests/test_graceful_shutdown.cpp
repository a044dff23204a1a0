// SPDX-License-Identifier: MIT
// Rooms: shutdown/graceful_shutdown.hpp, reactor/loop.hpp (stop, hold).
// The end of a run: stop() from everywhere, and the graceful shutdown with its grace period, its report and its force.
#include <signal.h>
#include <sys/resource.h>

#include <memory>
#include <string>
#include <vector>

#include "support/child.hpp"
#include "support/echo.hpp"
#include "support/harness.hpp"

using mote::Clock;
using mote::Delegate;
using mote::Duration;
using mote::GracefulShutdown;
using mote::Instant;
using mote::Listener;
using mote::Poll;
using mote::Result;
using mote::ShutdownReport;
using mote::StateMachine;
using mote::Step;
using mote::Stream;
using mote::Task;
using mote::TaskHandle;
using mote::TaskPool;
using mote::TaskTimer;
using namespace std::chrono_literals;
using test::Body;
using test::Plain;

namespace {

using Session = test::Echo;  // until its peer has finished

// Accepts into a pool for as long as its listener is open; the error with which that ended is kept.
template <std::size_t N> struct Acceptor : StateMachine {
  Listener& listener;
  TaskPool<Session, N>& sessions;
  mote::Error& end;
  Result<void> vacant;
  Result<Stream> accepted;

  Step step() {
    MOTE_BEGIN();
    for (;;) {
      MOTE_AWAIT(vacant, sessions.vacancy());
      if (!vacant) {
        end = vacant.error();
        return mote::done();
      }
      MOTE_AWAIT(accepted, listener.accept());
      if (!accepted) {
        end = accepted.error();
        return mote::done();
      }
      static_cast<void>(sessions.spawn(reactor(), std::move(*accepted)));
    }
    MOTE_END();
  }
};

// Waits for ever, and goes when it is cancelled.
struct Stuck : StateMachine {
  TaskTimer timer;
  Result<void> slept;
  Step step() {
    MOTE_BEGIN();
    MOTE_AWAIT(slept, timer.sleep(1h));
    if (!slept) return mote::failed(slept.error());
    MOTE_END();
  }
};

// Waits for ever, also when it is cancelled.
struct Stubborn : StateMachine {
  TaskTimer timer;
  Result<void> slept;
  int* destroyed;
  explicit Stubborn(int& d) : destroyed(&d) {}
  ~Stubborn() { ++*destroyed; }
  Step step() {
    MOTE_BEGIN();
    for (;;) MOTE_AWAIT(slept, timer.sleep(1h));
    MOTE_END();
  }
};

// Asks for the shutdown from inside of the run, by a request or by raising signals.
struct Trigger {
  Delegate<void()> action;
  mote::Timer timer;
  Trigger(mote::Reactor& reactor, Duration delay, Delegate<void()> a) : action(a) { timer.arm(reactor, delay, action); }
};

mote::Fd connect_to(const mote::Endpoint& endpoint) {
  mote::Fd fd(::socket(static_cast<int>(endpoint.family()), SOCK_STREAM | SOCK_CLOEXEC, 0));
  REQUIRE(fd);
  if (::connect(fd.get(), endpoint.address(), endpoint.size()) != 0) return {};
  return fd;
}

mote::Endpoint any_port() { return *mote::Endpoint::parse("127.0.0.1:0"); }

bool disposition_is(void (*handler)(int)) {
  struct sigaction current;
  return ::sigaction(SIGUSR1, nullptr, &current) == 0 && current.sa_handler == handler;
}

// Runs and measures. What is to take no grace period gets one that no test would survive.
struct Timed {
  Result<ShutdownReport> report = mote::Error(EAGAIN);
  Duration taken{};
  explicit Timed(GracefulShutdown& shutdown) {
    const Instant start = Clock::now();
    report = shutdown.run();
    taken = Clock::now() - start;
    REQUIRE(report);
  }
};
constexpr Duration long_grace = 1h;

}  // namespace

// ------------------------------------------------------------------------------------------------ stop

ON_BOTH_SELECTORS("shutdown: stop before run ends that at once, and the next run is not affected") {
  test::Loop<S> loop;
  int fired = 0;
  auto fire = [&] { ++fired; };
  mote::Timer timer;
  timer.arm(loop, 0ns, fire);
  loop.stop();
  REQUIRE(loop.run());
  CHECK(fired == 0);
  CHECK(loop.stats().turns == 0);
  REQUIRE(loop.run());
  CHECK(fired == 1);
}

ON_BOTH_SELECTORS("shutdown: stop twice is stopping once") {
  test::Loop<S> loop;
  int fired = 0;
  mote::Timer timer, last;
  auto stop = [&] {
    ++fired;
    loop.stop();
    loop.stop();
  };
  timer.arm_every(loop, 1ms, stop);
  REQUIRE(loop.run());
  CHECK(fired == 1);
  REQUIRE(loop.run());
  CHECK(fired == 2);
}

ON_BOTH_SELECTORS("shutdown: stop in each kind of callback ends the run at the end of that turn") {
  test::Loop<S> loop;
  mote::Timer never, timer;
  auto nothing = [] {};
  never.arm(loop, 1h, nothing);
  TaskPool<Plain, 1> pool;
  mote::Waker waker;
  mote::Mailbox<int, 2> mailbox;
  mote::Signals signals;
  test::Pair pair = test::pipe_pair();
  auto stop = [&] { loop.stop(); };
  auto stop_reading = [&](mote::Readiness) { loop.stop(); };
  auto stop_signalled = [&](int) { loop.stop(); };
  auto stop_observing = [&](const mote::Observation&) { loop.stop(); };
  auto stop_stepping = [&](Task&) -> Step {
    loop.stop();
    return mote::pending;
  };
  auto failing = [&](Task&) -> Step { return mote::failed(EIO); };

  SUBCASE("a timer's") { timer.arm(loop, 0ns, stop); }
  SUBCASE("a descriptor's handler") {
    REQUIRE(loop.add(pair.a.get(), mote::Interest::read, stop_reading));
    REQUIRE(test::send_text(pair.b.get(), "x") == 1);
  }
  SUBCASE("a task's step") { REQUIRE(pool.spawn(loop, Body(stop_stepping))); }
  SUBCASE("a waker's") {
    REQUIRE(waker.open(loop, stop));
    waker.wake();
  }
  SUBCASE("a mailbox's") {
    REQUIRE(mailbox.open(loop, stop));
    REQUIRE(mailbox.post(1));
  }
  SUBCASE("a signal's") {
    REQUIRE(signals.open(loop, {SIGUSR1}, stop_signalled));
    REQUIRE(::kill(::getpid(), SIGUSR1) == 0);
  }
  SUBCASE("the observer's") {
    loop.observe(stop_observing);
    REQUIRE(pool.spawn(loop, Body(failing)));
  }
  REQUIRE(loop.run());  // else it would take an hour
  CHECK_FALSE(loop.running());
  CHECK(never.armed());
  never.cancel();
}

// ------------------------------------------------------------------------------------------------ graceful

ON_BOTH_SELECTORS("shutdown: with nothing to do but to wait for signals it returns an empty report") {
  test::Loop<S> loop;
  GracefulShutdown shutdown(loop, {SIGUSR1, SIGUSR2}, long_grace);
  const Timed run(shutdown);
  CHECK(run.report->drained == 0);
  CHECK(run.report->cancelled == 0);
  CHECK(run.report->destroyed == 0);
  CHECK(run.report->signal == 0);
  CHECK_FALSE(run.report->forced);
}

ON_BOTH_SELECTORS("shutdown: stop is not graceful: tasks are left as they stand") {
  test::Loop<S> loop;
  TaskPool<Stuck, 1> pool;
  REQUIRE(pool.spawn(loop));
  auto stop = [&] { loop.stop(); };
  const Trigger trigger(loop, 0ns, stop);
  GracefulShutdown shutdown(loop, {SIGUSR1}, long_grace);
  const Timed run(shutdown);
  CHECK(pool.size() == 1);
  CHECK(run.report->drained + run.report->cancelled + run.report->destroyed == 0);
}

ON_BOTH_SELECTORS("shutdown: signals that belong to somebody else, or are none, are refused before anything runs") {
  test::Loop<S> loop;
  mote::Signals other;
  REQUIRE(other.open(loop, {SIGUSR1}));
  GracefulShutdown taken(loop, {SIGUSR2, SIGUSR1}), uncatchable(loop, {SIGKILL}), none(loop, {0});
  CHECK(taken.run().error() == EBUSY);
  CHECK(uncatchable.run().error() == EINVAL);
  CHECK(none.run().error() == EINVAL);
  CHECK(loop.stats().turns == 0);
}

ON_BOTH_SELECTORS("shutdown: drain in which all finish: it ends with the last of them, long before the grace period") {
  test::Loop<S> loop;
  TaskPool<Session, 4> sessions;
  TaskPool<Acceptor<4>, 1> acceptors;
  Listener listener;
  mote::Error end;
  REQUIRE(listener.open(loop, any_port()));
  const mote::Endpoint address = *listener.local_endpoint();
  REQUIRE(acceptors.spawn(loop, listener, sessions, end));
  mote::Fd clients[3];
  for (mote::Fd& client : clients) client = connect_to(address);
  REQUIRE(test::run_until(loop, [&] { return sessions.size() == 3; }));

  GracefulShutdown shutdown(loop, {SIGUSR1}, long_grace);
  auto signal = [] { REQUIRE(::raise(SIGUSR1) == 0); };
  auto leave = [&] {  // a little later, one after the other, having been served still
    CHECK(shutdown.requested());
    for (mote::Fd& client : clients) REQUIRE(::shutdown(client.get(), SHUT_WR) == 0);
  };
  REQUIRE(test::send_text(clients[0].get(), "last words") == 10);
  const Trigger begin(loop, 0ns, signal), then(loop, 5ms, leave);
  const Timed run(shutdown);
  CHECK(run.taken < 1min);
  CHECK(run.report->signal == SIGUSR1);
  CHECK(run.report->drained == 4);  // the sessions, and the acceptor whose listener was closed
  CHECK(run.report->cancelled == 0);
  CHECK(run.report->destroyed == 0);
  CHECK_FALSE(run.report->forced);
  CHECK(end == ECANCELED);
  char bytes[64];
  CHECK(::read(clients[0].get(), bytes, sizeof bytes) == 10);
  CHECK(::read(clients[0].get(), bytes, sizeof bytes) == 0);
}

ON_BOTH_SELECTORS("shutdown: the last task ends in a step that nothing follows: no wait for the rest of the grace") {
  test::Loop<S> loop;
  TaskPool<Plain, 1> pool;
  GracefulShutdown shutdown(loop, {SIGUSR1}, 5s);
  int steps = 0;
  auto body = [&](Task& task) -> Step {
    if (++steps == 3) shutdown.request();
    if (steps == 5) return mote::done();
    task.wake();
    return mote::pending;
  };
  REQUIRE(pool.spawn(loop, Body(body)));
  const Timed run(shutdown);
  CHECK(run.taken < 4s);
  CHECK(run.report->drained == 1);
}

ON_BOTH_SELECTORS("shutdown: drain with stuck tasks: N stuck tasks take one grace period, and are cancelled together") {
  test::Loop<S> loop;
  TaskPool<Stuck, 8> pool;
  constexpr Duration grace = 30ms;
  for (int i = 0; i < 8; ++i) REQUIRE(pool.spawn(loop));
  GracefulShutdown shutdown(loop, {SIGUSR1, SIGUSR2}, grace, long_grace);
  auto signal = [] { REQUIRE(::kill(::getpid(), SIGUSR2) == 0); };
  const Trigger trigger(loop, 0ns, signal);
  const Timed run(shutdown);
  CHECK(run.taken >= grace);
  // One after the other they would need eight; the bound leaves room for a busy machine.
  CHECK(run.taken < 8 * grace);
  CHECK(run.report->signal == SIGUSR2);
  CHECK(run.report->drained == 0);
  CHECK(run.report->cancelled == 8);
  CHECK(run.report->destroyed == 0);
  CHECK_FALSE(run.report->forced);
  CHECK(pool.size() == 0);
}

ON_BOTH_SELECTORS("shutdown: new connection in the grace period: refused, while the others are served on") {
  test::Loop<S> loop;
  TaskPool<Session, 4> sessions;
  TaskPool<Acceptor<4>, 1> acceptors;
  Listener listener;
  mote::Error end;
  REQUIRE(listener.open(loop, any_port()));
  const mote::Endpoint address = *listener.local_endpoint();
  REQUIRE(acceptors.spawn(loop, listener, sessions, end));
  mote::Fd client = connect_to(address);
  REQUIRE(test::run_until(loop, [&] { return sessions.size() == 1; }));

  GracefulShutdown shutdown(loop, {SIGUSR1}, long_grace);
  int begun = 0, refused = 0;
  auto begin = [&] {
    ++begun;
    if (!connect_to(address)) refused = errno;  // at once, as soon as it has begun
    REQUIRE(test::send_text(client.get(), "still here") == 10);
    REQUIRE(::shutdown(client.get(), SHUT_WR) == 0);
  };
  shutdown.on_begin(begin);
  auto signal = [] { REQUIRE(::raise(SIGUSR1) == 0); };
  const Trigger trigger(loop, 0ns, signal);
  const Timed run(shutdown);
  CHECK(begun == 1);
  CHECK(refused == ECONNREFUSED);
  CHECK_FALSE(listener.is_open());
  CHECK(run.report->drained == 2);
  char bytes[64];
  CHECK(::read(client.get(), bytes, sizeof bytes) == 10);
}

ON_BOTH_SELECTORS("shutdown: a task fails while draining: others go on, and the failure is reported") {
  test::Loop<S> loop;
  TaskPool<Session, 1> sessions;
  TaskPool<Plain, 1> failures;
  test::Pair pair = test::socket_pair();
  Stream stream;
  REQUIRE(stream.open(loop, std::move(pair.a)));
  REQUIRE(sessions.spawn(loop, std::move(stream)));
  GracefulShutdown shutdown(loop, {SIGUSR1}, long_grace);
  int failed = 0;
  auto observer = [&](const mote::Observation& seen) {
    if (seen.kind != mote::Observation::task_failed) return;
    ++failed;
    REQUIRE(test::send_text(pair.b.get(), "abc") == 3);
    REQUIRE(::shutdown(pair.b.get(), SHUT_WR) == 0);
  };
  loop.observe(observer);
  auto body = [&](Task& task) -> Step {
    if (shutdown.requested()) return mote::failed(EPROTO);
    task.wake();
    return mote::pending;
  };
  REQUIRE(failures.spawn(loop, Body(body)));
  auto signal = [] { REQUIRE(::raise(SIGUSR1) == 0); };
  const Trigger trigger(loop, 0ns, signal);
  const Timed run(shutdown);
  CHECK(failed == 1);
  CHECK(run.report->drained == 2);
  CHECK(run.report->cancelled == 0);
  char bytes[64];
  CHECK(::read(pair.b.get(), bytes, sizeof bytes) == 3);
}

ON_BOTH_SELECTORS("shutdown: second signal forces: in the grace period, and in the clean-up period") {
  test::Loop<S> loop;
  TaskPool<Stuck, 2> stuck;
  TaskPool<Stubborn, 2> stubborn;
  int destroyed = 0;
  auto signal = [] { REQUIRE(::raise(SIGUSR1) == 0); };
  SUBCASE("in the grace period: what is left has one turn, and is destroyed") {
    for (int i = 0; i < 2; ++i) {
      REQUIRE(stuck.spawn(loop));
      REQUIRE(stubborn.spawn(loop, destroyed));
    }
    GracefulShutdown shutdown(loop, {SIGUSR1}, long_grace, long_grace);
    const Trigger first(loop, 0ns, signal), second(loop, 5ms, signal);
    const Timed run(shutdown);
    CHECK(run.taken < 1min);
    CHECK(run.report->forced);
    CHECK(run.report->cancelled == 2);
    CHECK(run.report->destroyed == 2);
  }
  SUBCASE("in the clean-up period") {
    for (int i = 0; i < 2; ++i) REQUIRE(stubborn.spawn(loop, destroyed));
    GracefulShutdown shutdown(loop, {SIGUSR1}, 1ms, long_grace);
    const Trigger first(loop, 0ns, signal), second(loop, 30ms, signal);
    const Timed run(shutdown);
    CHECK(run.taken < 1min);
    CHECK(run.report->forced);
    CHECK(run.report->cancelled == 0);
    CHECK(run.report->destroyed == 2);
  }
  CHECK(destroyed == 2);
  CHECK(loop.stats().tasks == 0);
}

ON_BOTH_SELECTORS(
    "shutdown: a signal and a request force as well as two signals, and two of them may come in one turn") {
  test::Loop<S> loop;
  TaskPool<Stuck, 1> stuck;
  REQUIRE(stuck.spawn(loop));
  GracefulShutdown shutdown(loop, {SIGUSR1, SIGUSR2}, long_grace, long_grace);
  auto two_signals = [] {
    REQUIRE(::raise(SIGUSR2) == 0);
    REQUIRE(::raise(SIGUSR1) == 0);
  };
  auto signal_and_request = [&] {
    shutdown.request();
    REQUIRE(::raise(SIGUSR1) == 0);
  };
  int first = 0;
  Delegate<void()> action;
  SUBCASE("two signals") {
    action = two_signals;
    first = SIGUSR1;  // the lowest number comes first
  }
  SUBCASE("a request and a signal") { action = signal_and_request; }
  const Trigger trigger(loop, 0ns, action);
  const Timed run(shutdown);
  CHECK(run.taken < 1min);
  CHECK(run.report->forced);
  CHECK(run.report->signal == first);
  CHECK(run.report->cancelled == 1);
}

ON_BOTH_SELECTORS("shutdown: a task that ignores cancellation is destroyed after the clean-up period") {
  test::Loop<S> loop;
  TaskPool<Stubborn, 3> pool;
  TaskPool<Stuck, 1> stuck;
  int destroyed = 0;
  for (int i = 0; i < 3; ++i) REQUIRE(pool.spawn(loop, destroyed));
  REQUIRE(stuck.spawn(loop));
  GracefulShutdown shutdown(loop, {SIGUSR1}, 5ms, 10ms);
  auto signal = [] { REQUIRE(::raise(SIGUSR1) == 0); };
  const Trigger trigger(loop, 0ns, signal);
  const Timed run(shutdown);
  CHECK(run.taken >= 15ms);
  CHECK(destroyed == 3);
  CHECK(run.report->drained == 0);
  CHECK(run.report->cancelled == 1);
  CHECK(run.report->destroyed == 3);
  CHECK_FALSE(run.report->forced);
}

ON_BOTH_SELECTORS("shutdown: tasks that drain, are cancelled and are destroyed are each counted") {
  test::Loop<S> loop;
  TaskPool<Stuck, 2> stuck;
  TaskPool<Stubborn, 1> stubborn;
  TaskPool<Plain, 3> leaving;
  int destroyed = 0;
  GracefulShutdown shutdown(loop, {SIGUSR1}, 10ms, 10ms);
  auto body = [&](Task& task) -> Step {
    if (shutdown.requested()) return mote::done();
    task.wake();
    return mote::pending;
  };
  for (int i = 0; i < 2; ++i) REQUIRE(stuck.spawn(loop));
  for (int i = 0; i < 3; ++i) REQUIRE(leaving.spawn(loop, Body(body)));
  REQUIRE(stubborn.spawn(loop, destroyed));
  auto request = [&] { shutdown.request(); };
  const Trigger trigger(loop, 0ns, request);
  const Timed run(shutdown);
  CHECK(run.report->signal == 0);
  CHECK(run.report->drained == 3);
  CHECK(run.report->cancelled == 2);
  CHECK(run.report->destroyed == 1);
}

ON_BOTH_SELECTORS("shutdown: what is held counts as a task until it is released") {
  test::Loop<S> loop;
  SUBCASE("released in the grace period") {
    GracefulShutdown shutdown(loop, {SIGUSR1}, long_grace);
    bool released = false;
    shutdown.hold();
    shutdown.hold();
    auto request = [&] { shutdown.request(); };
    auto release = [&] {
      shutdown.release();
      released = true;
    };
    auto release_first = [&] { shutdown.release(); };
    const Trigger first(loop, 0ns, request), second(loop, 2ms, release_first), third(loop, 4ms, release);
    const Timed run(shutdown);
    CHECK(released);
    CHECK(run.taken < 1min);
    CHECK(run.taken >= 4ms);
  }
  SUBCASE("never released: the periods run out") {
    GracefulShutdown shutdown(loop, {SIGUSR1}, 5ms, 5ms);
    shutdown.hold();
    auto request = [&] { shutdown.request(); };
    const Trigger trigger(loop, 0ns, request);
    const Timed run(shutdown);
    CHECK(run.taken >= 10ms);
    CHECK(run.report->destroyed == 0);
    shutdown.release();
  }
}

ON_BOTH_SELECTORS("shutdown: a request before the run drains at once") {
  test::Loop<S> loop;
  TaskPool<Stuck, 1> pool;
  REQUIRE(pool.spawn(loop));
  GracefulShutdown shutdown(loop, {SIGUSR1}, 1ms);
  shutdown.request();
  const Timed run(shutdown);
  CHECK(run.report->cancelled == 1);
}

ON_BOTH_SELECTORS("shutdown: forced before its first period, it leaves the tasks their turn to clean up") {
  test::Loop<S> loop;
  TaskPool<Stuck, 2> pool;
  for (int i = 0; i < 2; ++i) REQUIRE(pool.spawn(loop));
  GracefulShutdown shutdown(loop, {SIGUSR1}, long_grace);
  auto force = [&] { shutdown.request(); };
  shutdown.on_begin(force);
  shutdown.request();
  const Timed run(shutdown);
  CHECK(run.report->forced);
  CHECK(run.report->cancelled == 2);
  CHECK(run.report->destroyed == 0);
}

ON_BOTH_SELECTORS("shutdown: after it has ended the signals have no effect, and close() gives them back") {
  test::Loop<S> loop;
  GracefulShutdown shutdown(loop, {SIGUSR1}, 1ms);
  shutdown.request();
  REQUIRE(shutdown.run());
  CHECK_FALSE(disposition_is(SIG_DFL));
  REQUIRE(::raise(SIGUSR1) == 0);  // would end the process
  CHECK(loop.run());               // and nothing is left that could happen
  shutdown.close();
  CHECK(disposition_is(SIG_DFL));
}

ON_BOTH_SELECTORS(
    "shutdown: after it has ended the signals have no effect, also when it is destroyed and the loop too") {
  test::Child child([] {
    test::Verdict verdict;
    {
      test::Loop<S> loop;
      GracefulShutdown shutdown(loop, {SIGUSR1}, 1ms);
      shutdown.request();
      EXPECT(verdict, shutdown.run());
    }
    ::raise(SIGUSR1);
    {
      // What is swallowed can be taken again, by another one, which gives it back to what was there at first.
      test::Loop<S> loop;
      GracefulShutdown shutdown(loop, {SIGUSR1}, 1ms);
      EXPECT(verdict, shutdown.open());
      ::raise(SIGUSR1);
      const Result<ShutdownReport> report = shutdown.run();
      EXPECT(verdict, report && report->signal == SIGUSR1);
      shutdown.close();
      EXPECT(verdict, disposition_is(SIG_DFL));
    }
    return verdict.exit_code();
  });
  CHECK(child.join() == 0);
}

ON_BOTH_SELECTORS("shutdown: a run that ends without one gives the signals back") {
  test::Loop<S> loop;
  GracefulShutdown shutdown(loop, {SIGUSR1}, 1ms);
  SUBCASE("since there is nothing left to do") {}
  SUBCASE("by stop()") { loop.stop(); }
  CHECK(shutdown.run());
  CHECK(disposition_is(SIG_DFL));
}

ON_BOTH_SELECTORS("shutdown: a signal that comes in the last moment of a run begins it, and is not lost") {
  test::Loop<S> loop;
  TaskPool<Stuck, 1> pool;
  GracefulShutdown shutdown(loop, {SIGUSR1}, 1ms);
  bool stops = false;
  SUBCASE("since there is nothing left to do") {}
  SUBCASE("by stop()") {
    stops = true;
    REQUIRE(pool.spawn(loop));
  }
  auto signal = [&] {
    REQUIRE(::raise(SIGUSR1) == 0);
    if (stops) loop.stop();
  };
  const Trigger trigger(loop, 0ns, signal);
  const Timed run(shutdown);
  CHECK(run.report->signal == SIGUSR1);
  CHECK(run.report->cancelled == (stops ? 1 : 0));
  shutdown.close();
}

ON_BOTH_SELECTORS("shutdown: run() of the reactor works after one has ended") {
  test::Loop<S> loop;
  TaskPool<Stuck, 1> pool;
  REQUIRE(pool.spawn(loop));
  GracefulShutdown shutdown(loop, {SIGUSR1}, 1ms);
  bool forced = false;
  SUBCASE("by one request") {}
  SUBCASE("by force") { forced = true; }
  auto request = [&] {
    shutdown.request();
    if (forced) shutdown.request();
  };
  const Trigger trigger(loop, 0ns, request);
  REQUIRE(shutdown.run());
  // It runs until it is stopped, and not until the last task has ended, as in the shutdown.
  int fired = 0;
  mote::Timer timer;
  auto fire = [&] {
    if (++fired == 3) loop.stop();
  };
  timer.arm_every(loop, 1ms, fire);
  CHECK(loop.run());
  CHECK(fired == 3);
  // And the next shutdown begins from the start.
  const Trigger again(loop, 0ns, request);
  const Timed run(shutdown);
  CHECK(run.report->forced == forced);
  CHECK(run.report->drained + run.report->cancelled + run.report->destroyed == 0);
}

ON_BOTH_SELECTORS("shutdown: stop() before run_once() stays for the next run") {
  test::Loop<S> loop;
  mote::Timer timer;
  int fired = 0;
  auto fire = [&] { ++fired; };
  timer.arm(loop, 0ns, fire);
  loop.stop();
  REQUIRE(loop.run_once(0ns));
  CHECK(fired == 1);
  timer.arm_every(loop, 1ms, fire);
  REQUIRE(loop.run());  // else it would never end
  CHECK(fired == 1);
  CHECK(loop.stats().turns == 1);
}

ON_BOTH_SELECTORS("shutdown: the reactor may be destroyed first, the shutdown open or ended") {
  auto loop = std::make_unique<test::Loop<S>>();
  GracefulShutdown shutdown(*loop, {SIGUSR1}, 1ms);
  SUBCASE("open") { REQUIRE(shutdown.open()); }
  SUBCASE("ended") {
    shutdown.request();
    REQUIRE(shutdown.run());
  }
  loop.reset();
  REQUIRE(::raise(SIGUSR1) == 0);
  shutdown.close();
  CHECK(disposition_is(SIG_DFL));
}

ON_BOTH_SELECTORS("shutdown: a signal that the parent has blocked ends a daemon all the same") {
  test::Child child([] {
    test::Verdict verdict;
    sigset_t blocked;
    ::sigemptyset(&blocked);
    ::sigaddset(&blocked, SIGUSR1);
    ::sigprocmask(SIG_BLOCK, &blocked, nullptr);  // as it is inherited through exec
    ::raise(SIGUSR1);
    test::Loop<S> loop;
    TaskPool<Stuck, 1> pool;
    EXPECT(verdict, pool.spawn(loop));
    GracefulShutdown shutdown(loop, {SIGUSR1}, 1ms);
    const Result<ShutdownReport> report = shutdown.run();
    EXPECT(verdict, report && report->signal == SIGUSR1);
    return verdict.exit_code();
  });
  CHECK(child.join() == 0);
}

ON_BOTH_SELECTORS("shutdown: the same reactor and the same shutdown may run again") {
  test::Loop<S> loop;
  TaskPool<Stuck, 1> pool;
  GracefulShutdown shutdown(loop, {SIGUSR1}, 1ms);
  for (int i = 0; i < 2; ++i) {
    REQUIRE(pool.spawn(loop));
    auto signal = [] { REQUIRE(::raise(SIGUSR1) == 0); };
    const Trigger trigger(loop, 0ns, signal);
    const Timed run(shutdown);
    CHECK(run.report->signal == SIGUSR1);
    CHECK(run.report->cancelled == 1);
    CHECK_FALSE(run.report->forced);
  }
}

// ------------------------------------------------------------------------------------------------ when all is full

ON_BOTH_SELECTORS("shutdown: with a full table, a full pool: the acceptor that waits is told, and all drain") {
  test::Loop<S, 3> loop;  // the listener and two clients
  TaskPool<Session, 3> sessions;
  TaskPool<Session, 2> few;
  TaskPool<Acceptor<3>, 1> table_acceptors;
  TaskPool<Acceptor<2>, 1> pool_acceptors;
  Listener listener;
  mote::Error end;
  REQUIRE(listener.open(loop, any_port()));
  const mote::Endpoint address = *listener.local_endpoint();
  SUBCASE("a full table") { REQUIRE(table_acceptors.spawn(loop, listener, sessions, end)); }
  SUBCASE("a full pool") { REQUIRE(pool_acceptors.spawn(loop, listener, few, end)); }
  mote::Fd clients[3];
  for (mote::Fd& client : clients) client = connect_to(address);  // the third waits in the backlog
  REQUIRE(test::run_until(loop, [&] { return loop.vacancies() == 0; }));
  for (int i = 0; i < 3; ++i) REQUIRE(loop.run_once(0ns));

  GracefulShutdown shutdown(loop, {SIGUSR1}, long_grace);
  auto begin = [&] {
    for (int i = 0; i < 2; ++i) REQUIRE(::shutdown(clients[i].get(), SHUT_WR) == 0);
  };
  shutdown.on_begin(begin);
  auto signal = [] { REQUIRE(::raise(SIGUSR1) == 0); };
  const Trigger trigger(loop, 0ns, signal);
  const Timed run(shutdown);
  CHECK(run.taken < 1min);
  CHECK(run.report->drained == 3);
  CHECK(end == ECANCELED);  // closed under its hands; or found closed once there was a vacancy
  char byte;
  CHECK(::read(clients[2].get(), &byte, 1) <= 0);  // the one in the backlog is turned away
}

ON_BOTH_SELECTORS("shutdown: with an accept paused by EMFILE: it is told at once, and the drain does not wait for it") {
  test::Loop<S> loop;
  TaskPool<Session, 4> sessions;
  TaskPool<Acceptor<4>, 1> acceptors;
  Listener listener;
  mote::Error end;
  REQUIRE(listener.open(loop, any_port()));
  const mote::Endpoint address = *listener.local_endpoint();
  REQUIRE(acceptors.spawn(loop, listener, sessions, end));
  REQUIRE(loop.run_once(0ns));
  GracefulShutdown shutdown(loop, {SIGUSR1}, long_grace);
  REQUIRE(loop.enable_wakeups());  // its descriptor is made while there are any
  mote::Fd client = connect_to(address);
  REQUIRE(client);

  rlimit limit;
  REQUIRE(::getrlimit(RLIMIT_NOFILE, &limit) == 0);
  mote::Fd next(::dup(client.get()));
  const rlimit none{static_cast<rlim_t>(next.get()), limit.rlim_max};
  next.close();
  REQUIRE(::setrlimit(RLIMIT_NOFILE, &none) == 0);
  for (int i = 0; i < 3; ++i) REQUIRE(loop.run_once(0ns));  // the event, the attempt, and nothing more
  CHECK(sessions.size() == 0);
  const std::uint64_t steps = loop.stats().steps;
  REQUIRE(loop.run_once(0ns));
  CHECK(loop.stats().steps == steps);  // paused: no spin

  shutdown.request();
  const Instant start = Clock::now();
  const Result<ShutdownReport> report = shutdown.run();
  const Duration taken = Clock::now() - start;
  REQUIRE(::setrlimit(RLIMIT_NOFILE, &limit) == 0);
  REQUIRE(report);
  CHECK(end == ECANCELED);
  CHECK(report->drained == 1);
  CHECK(taken < 1min);
}

ON_BOTH_SELECTORS("shutdown: a signal that comes between open and run begins it") {
  test::Loop<S> loop;
  GracefulShutdown shutdown(loop, {SIGUSR1}, long_grace);
  CHECK(shutdown.open());
  CHECK(shutdown.open());  // again is no harm
  REQUIRE(::raise(SIGUSR1) == 0);
  const auto report = shutdown.run();
  REQUIRE(report);
  CHECK(report->signal == SIGUSR1);
  CHECK_FALSE(shutdown.requested());  // it could be run again
}

ON_BOTH_SELECTORS("shutdown: run inside of run is refused, and the signals stay taken") {
  test::Loop<S> loop;
  GracefulShutdown shutdown(loop, {SIGUSR1}, long_grace);
  Result<mote::ShutdownReport> nested;
  mote::Timer timer;
  auto nest = [&] {
    nested = shutdown.run();
    REQUIRE(::raise(SIGUSR1) == 0);  // would end the process if the handler had gone
  };
  timer.arm(loop, 0ns, nest);
  TaskPool<Plain, 1> pool;
  auto until_asked = [&](Task& task) -> Step {
    if (shutdown.requested()) return mote::done();
    task.wake();
    return mote::pending;
  };
  REQUIRE(pool.spawn(loop, Body(until_asked)));
  const auto report = shutdown.run();
  REQUIRE(report);
  CHECK(report->signal == SIGUSR1);
  CHECK(nested.error() == EBUSY);
}
