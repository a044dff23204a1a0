// SPDX-License-Identifier: MIT
// Rooms: sync/with_timeout.hpp, sync/first_of.hpp, sync/all_of.hpp, sync/shield.hpp.
// with_timeout, first_of, all_of and shield over every kind of operation, on a virtual clock: which part completes
// first, and that the others leave no waiter behind, lose no message and cause no needless step.
#include <memory>
#include <string>
#include <tuple>
#include <vector>

#include "support/operations.hpp"
#include "support/virtual_time.hpp"

using mote::AllOf;
using mote::Channel;
using mote::Duration;
using mote::Event;
using mote::FirstOf;
using mote::Mutex;
using mote::Outcome;
using mote::Result;
using mote::Semaphore;
using mote::Shield;
using mote::StateMachine;
using mote::Step;
using mote::Task;
using mote::TaskGroup;
using mote::TaskHandle;
using mote::TaskPool;
using mote::TaskTimer;
using namespace std::chrono_literals;
using test::Body;
using test::error_of;
using test::Plain;
using test::Running;
using test::VirtualTime;

namespace {

using Seam = mote::FaultSystem;

// A reactor that takes turns without waiting.
struct Turns {
  mote::Reactor& reactor;
  operator mote::Reactor&() const { return reactor; }
  void turn(int count = 1) {
    for (int i = 0; i < count; ++i) REQUIRE(reactor.run_once(0ns));
  }
  // That time goes by, and then all that comes of it.
  void pass(Duration time) {
    Seam::state.now += time.count();
    turn(3);
  }
};
template <class S> struct TimedLoop : VirtualTime, test::Loop<S, 16>, Turns {
  using Turns::turn;
  TimedLoop() : Turns{static_cast<mote::Reactor&>(static_cast<test::Loop<S, 16>&>(*this))} {}
};

struct Waits : StateMachine {
  Event& event;
  Result<void> waited;
  Step step() {
    MOTE_BEGIN();
    MOTE_AWAIT(waited, event.wait());
    if (!waited) return mote::failed(waited.error());
    MOTE_END();
  }
};

// The kinds of operations. complete() makes it complete, or lets it; is_there() says whether what completed it can
// still be had, for nobody has taken it.
struct Reading {
  test::Pair pair = test::socket_pair();
  mote::Stream stream;
  char bytes[8] = {};
  explicit Reading(mote::Reactor& loop) { REQUIRE(stream.open(loop, std::move(pair.a))); }
  auto operation() { return stream.read(bytes); }
  void complete() { test::send_text(pair.b.get(), "x"); }
  bool is_there() { return error_of(stream.try_read(bytes)) == 0; }
};
struct Receiving {
  Channel<int, 1> channel;
  explicit Receiving(mote::Reactor&) {}
  auto operation() { return channel.receive(); }
  void complete() { CHECK(channel.try_send(1)); }
  bool is_there() { return error_of(channel.try_receive()) == 0; }
};
struct Sending {
  Channel<int, 1> channel;
  int value = 2;
  explicit Sending(mote::Reactor&) { CHECK(channel.try_send(1)); }
  auto operation() { return channel.send(value); }
  void complete() { CHECK(*channel.try_receive() == 1); }
  bool is_there() { return error_of(channel.try_send(1)) == 0; }
};
struct Acquiring {
  Semaphore semaphore;
  explicit Acquiring(mote::Reactor&) {}
  auto operation() { return semaphore.acquire(); }
  void complete() { semaphore.release(); }
  bool is_there() { return error_of(semaphore.try_acquire()) == 0; }
};
struct Locking {
  Mutex mutex;
  Mutex::Guard guard = std::move(*mutex.try_lock());
  explicit Locking(mote::Reactor&) {}
  auto operation() { return mutex.lock(); }
  void complete() { guard.unlock(); }
  bool is_there() { return error_of(mutex.try_lock()) == 0; }
};
struct Signalled {
  Event event;
  explicit Signalled(mote::Reactor&) {}
  auto operation() { return event.wait(); }
  void complete() { event.set(); }
  bool is_there() { return event.is_set(); }
};
struct Joining {
  Event event;
  TaskPool<Waits, 1> pool;
  mote::Reactor& reactor;
  TaskHandle handle;
  explicit Joining(mote::Reactor& loop) : reactor(loop), handle(std::move(*pool.spawn(loop, event))) {}
  auto operation() { return handle.join(); }
  void complete() {
    event.set();
    REQUIRE(reactor.run_once(0ns));
  }
  bool is_there() { return handle.outcome().kind == Outcome::Kind::done; }
};
struct Gathering {
  Event event;
  TaskPool<Waits, 1> pool;
  TaskGroup<1> group;
  mote::Reactor& reactor;
  explicit Gathering(mote::Reactor& loop) : reactor(loop) { REQUIRE(group.spawn(pool, loop, event)); }
  auto operation() { return group.join_all(); }
  void complete() {
    event.set();
    REQUIRE(reactor.run_once(0ns));
  }
  bool is_there() { return group.size() == 0; }
};
struct Vacant {
  Event event;
  TaskPool<Waits, 1> pool;
  mote::Reactor& reactor;
  explicit Vacant(mote::Reactor& loop) : reactor(loop) { REQUIRE(pool.spawn(loop, event)); }
  auto operation() { return pool.vacancy(); }
  void complete() {
    event.set();
    REQUIRE(reactor.run_once(0ns));
  }
  bool is_there() { return pool.vacancies() == 1; }
};
struct Accepting {
  mote::Listener listener;
  mote::Fd client{::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)};
  explicit Accepting(mote::Reactor& loop) {
    static int number = 0;
    const std::string name = "@mote-test-" + std::to_string(::getpid()) + "-" + std::to_string(++number);
    REQUIRE(listener.open(loop, *mote::Endpoint::unix_path(name.c_str())));
  }
  auto operation() { return listener.accept(); }
  void complete() {
    mote::Endpoint address = *listener.local_endpoint();
    CHECK(::connect(client.get(), address.address(), address.size()) == 0);
  }
  bool is_there() { return error_of(listener.try_accept()) == 0; }
};
struct Sleeping {
  TaskTimer timer;
  explicit Sleeping(mote::Reactor&) {}
  auto operation() { return timer.sleep(1h); }
  void complete() { Seam::state.now += Duration(1h).count(); }
  bool is_there() { return true; }  // of time there is always more
};
struct Ticking {
  TaskTimer timer;
  explicit Ticking(mote::Reactor&) {}
  auto operation() { return timer.tick(1h); }
  void complete() { Seam::state.now += Duration(1h).count(); }
  bool is_there() { return true; }
};

// Awaits what `make` gives, and then an event, so that a step for nothing is seen.
template <class Make> struct Parked {
  using Value = typename decltype(std::declval<Make&>()().poll(std::declval<Task&>()))::value_type;
  struct Machine : StateMachine {
    Parked& self;
    explicit Machine(Parked& p) : self(p) {}
    Step step() {
      ++self.steps;
      MOTE_BEGIN();
      MOTE_AWAIT(self.result, self.make());
      ++self.completions;
      MOTE_AWAIT(self.left, self.event.wait());
      ++self.completions;
      MOTE_END();
    }
  };
  Parked(mote::Reactor& reactor, Make m) : make(m), handle(std::move(*pool.spawn(reactor, *this))) {}
  bool is_parked() const { return completions == 1; }
  void cancel() { handle.cancel(); }
  Make make;
  Event event;
  Value result;
  Result<void> left;
  int steps = 0, completions = 0;
  TaskPool<Machine, 1> pool;
  TaskHandle handle;
};

// Runs a check for each kind; or for pairs of them, such that each is the first and the second once.
template <class... K> struct Kinds {};
using Every = Kinds<Reading, Sleeping, Receiving, Sending, Acquiring, Locking, Signalled, Joining, Gathering, Vacant,
                    Accepting, Ticking>;
template <class Check, class... K> void for_each_kind(Turns& loop, Kinds<K...>) { (Check::template run<K>(loop), ...); }
template <class Check, class... A, class... B> void for_each_pair(Turns& loop, Kinds<A...>, Kinds<B...>) {
  (Check::template run<A, B>(loop), ...);
}
template <class Check, class First, class... K> void for_each_pair(Turns& loop, Kinds<First, K...> kinds) {
  for_each_pair<Check>(loop, kinds, Kinds<K..., First>());
}
template <class... K> using AllResults = AllOf<mote::detail::Awaited<decltype(std::declval<K&>().operation())>...>;

}  // namespace

// ------------------------------------------------------------------------------------------------- with_timeout

namespace {
struct TimesOut {
  template <class K> static void run(Turns& loop) {
    const char* const kinds = __PRETTY_FUNCTION__;
    CAPTURE(kinds);
    K kind(loop);
    TaskTimer timer;
    Parked parked(loop, [&] { return mote::with_timeout(timer, 10ms, kind.operation()); });
    loop.turn(2);
    loop.pass(10ms - 1ns);
    CHECK(parked.completions == 0);
    CHECK(parked.steps == 1);
    loop.pass(1ns);
    CHECK(parked.is_parked());
    CHECK(error_of(parked.result) == ETIMEDOUT);
    CHECK(parked.steps == 2);
    kind.complete();
    loop.turn(3);
    CHECK(parked.steps == 2);
    CHECK(kind.is_there());
  }
};
struct ComesInTime {
  template <class K> static void run(Turns& loop) {
    const char* const kinds = __PRETTY_FUNCTION__;
    CAPTURE(kinds);
    for (const bool at_the_last_moment : {false, true}) {
      K kind(loop);
      TaskTimer timer;
      const Duration limit = at_the_last_moment ? 1h : 10h;
      Parked parked(loop, [&] { return mote::with_timeout(timer, limit, kind.operation()); });
      loop.turn(2);
      if (at_the_last_moment) Seam::state.now += limit.count();
      kind.complete();
      loop.turn(3);
      CHECK(parked.is_parked());
      CHECK(parked.result);
      CHECK(parked.steps == 2);
      loop.pass(100h);
      CHECK(parked.steps == 2);
    }
  }
};
struct IsCancelledInTime {
  template <class K> static void run(Turns& loop) {
    const char* const kinds = __PRETTY_FUNCTION__;
    CAPTURE(kinds);
    K kind(loop);
    TaskTimer timer;
    Parked parked(loop, [&] { return mote::with_timeout(timer, 10h, kind.operation()); });
    loop.turn(2);
    parked.cancel();
    loop.turn();
    CHECK(parked.is_parked());
    CHECK(error_of(parked.result) == ECANCELED);
    kind.complete();
    loop.pass(100h);
    CHECK(parked.steps == 2);
    CHECK(kind.is_there());
  }
};
}  // namespace

ON_BOTH_SELECTORS(
    "with_timeout: ETIMEDOUT of every kind of operation, at its instant; nothing is taken or stepped later") {
  TimedLoop<S> loop;
  for_each_kind<TimesOut>(loop, Every());
}

ON_BOTH_SELECTORS("with_timeout: what comes in time wins, at the last moment too, and the timer is gone") {
  TimedLoop<S> loop;
  for_each_kind<ComesInTime>(loop, Every());
}

ON_BOTH_SELECTORS("with_timeout: cancelled, every kind of operation gives ECANCELED, and leaves nothing behind") {
  TimedLoop<S> loop;
  for_each_kind<IsCancelledInTime>(loop, Every());
}

namespace {
// Written as a program would.
struct Patient : StateMachine {
  mote::Stream& stream;
  Channel<int, 2>& channel;
  std::string& log;
  TaskTimer timer, pause;
  char bytes[8] = {};
  int i = 0;
  Result<std::size_t> got;
  Result<int> value;
  Result<void> slept;
  Result<FirstOf<std::size_t, int>> first;
  AllOf<std::size_t, int> results;
  Result<void> both;
  Step step() {
    MOTE_BEGIN();
    for (i = 0; i < 2; ++i) {
      MOTE_AWAIT(got, mote::with_timeout(timer, 10ms, stream.read(bytes)));
      log += got ? "read " : got.error() == ETIMEDOUT ? "late " : "? ";
      MOTE_AWAIT(slept, mote::with_timeout(timer, 10ms, pause.sleep(5ms)));
      log += slept ? "slept " : "? ";
      MOTE_AWAIT(value, mote::with_timeout(timer, 10ms, channel.receive()));
      log += value ? std::to_string(*value) + " " : value.error() == ETIMEDOUT ? "late " : "? ";
    }
    MOTE_AWAIT(first, mote::first_of(stream.read(bytes), channel.receive()));
    log += first->which == 1 && *first->get<1>() == 8 && error_of(first->get<0>()) == EAGAIN ? "first " : "? ";
    MOTE_AWAIT(both, mote::all_of(results, stream.read(bytes), channel.receive()));
    log += both && *results.get<0>() == 1 && *results.get<1>() == 9 ? "both" : "?";
    MOTE_END();
  }
};
}  // namespace

ON_BOTH_SELECTORS("combinators: one task after another of them, with the same timer, in MOTE_AWAIT") {
  TimedLoop<S> loop;
  test::Pair pair = test::socket_pair();
  mote::Stream stream = test::open_stream(loop, std::move(pair.a));
  Channel<int, 2> channel;
  std::string log;
  TaskPool<Patient, 1> pool;
  REQUIRE(pool.spawn(loop, stream, channel, log));
  loop.turn(2);
  test::send_text(pair.b.get(), "x");
  loop.turn(2);
  loop.pass(5ms);
  CHECK(channel.try_send(7));
  loop.turn(2);
  CHECK(log == "read slept 7 ");
  loop.pass(10ms);
  loop.pass(5ms);
  loop.pass(10ms);
  CHECK(log == "read slept 7 late slept late ");
  CHECK(channel.try_send(8));
  loop.turn(2);
  test::send_text(pair.b.get(), "x");
  loop.turn(3);
  CHECK(channel.try_send(9));
  loop.turn(3);
  CHECK(log == "read slept 7 late slept late first both");
  CHECK(pool.size() == 0);
}

// ----------------------------------------------------------------------------------------------------- first_of

namespace {
struct Races {
  template <class A, class B> static void run(Turns& loop) {
    const char* const kinds = __PRETTY_FUNCTION__;
    CAPTURE(kinds);
    for (const std::size_t winner : {0u, 1u}) {
      CAPTURE(winner);
      A a(loop);
      B b(loop);
      Parked parked(loop, [&] { return mote::first_of(a.operation(), b.operation()); });
      loop.turn(2);
      CHECK(parked.steps == 1);
      if (winner == 0) a.complete();
      else b.complete();
      loop.turn(3);
      CHECK(parked.is_parked());
      CHECK(parked.steps == 2);
      REQUIRE(parked.result);
      CHECK(parked.result->which == winner);
      CHECK(error_of(parked.result->template get<0>()) == (winner == 0 ? 0 : EAGAIN));
      CHECK(error_of(parked.result->template get<1>()) == (winner == 1 ? 0 : EAGAIN));
      if (winner == 0) b.complete();
      else a.complete();
      loop.turn(3);
      CHECK(parked.steps == 2);
      CHECK((winner == 0 ? b.is_there() : a.is_there()));
      parked.event.set();
      loop.turn();
      CHECK(parked.completions == 2);
      CHECK(parked.left);
    }
  }
};
struct RacesAreCancelled {
  template <class A, class B> static void run(Turns& loop) {
    const char* const kinds = __PRETTY_FUNCTION__;
    CAPTURE(kinds);
    for (const bool destroyed : {false, true}) {
      CAPTURE(destroyed);
      A a(loop);
      B b(loop);
      Parked parked(loop, [&] { return mote::first_of(a.operation(), b.operation()); });
      loop.turn(2);
      if (destroyed) CHECK(parked.handle.destroy());
      else parked.cancel();
      loop.turn(2);
      if (!destroyed) CHECK(error_of(parked.result) == ECANCELED);
      const int steps = parked.steps;
      a.complete();
      b.complete();
      loop.turn(3);
      CHECK(parked.steps == steps);
      CHECK(a.is_there());
      CHECK(b.is_there());
      if (destroyed) continue;
      parked.event.set();
      loop.turn();
      CHECK(parked.left);  // it was told once
    }
  }
};
struct RacesAreClose {
  template <class A, class B> static void run(Turns& loop) {
    const char* const kinds = __PRETTY_FUNCTION__;
    CAPTURE(kinds);
    A a(loop);
    B b(loop);
    Parked parked(loop, [&] { return mote::first_of(a.operation(), b.operation()); });
    loop.turn(2);
    a.complete();
    b.complete();
    loop.turn(3);
    CHECK(parked.is_parked());
    REQUIRE(parked.result);
    CHECK((parked.result->which == 0 ? b.is_there() : a.is_there()));
  }
};
}  // namespace

ON_BOTH_SELECTORS("first_of: tells which one has won; the others take nothing later, and cause no step") {
  TimedLoop<S> loop;
  for_each_pair<Races>(loop, Every());
}

ON_BOTH_SELECTORS("first_of: cancelled it gives ECANCELED, once; then, or destroyed, it leaves nothing behind") {
  TimedLoop<S> loop;
  for_each_pair<RacesAreCancelled>(loop, Every());
}

ON_BOTH_SELECTORS("first_of: where several complete at once, one of them is taken, and the others can still be had") {
  TimedLoop<S> loop;
  for_each_pair<RacesAreClose>(loop, Every());
}

ON_BOTH_SELECTORS("first_of: of two that have completed, the one that is named first wins") {
  TimedLoop<S> loop;
  Channel<int, 1> one, other;
  Parked parked(loop, [&] { return mote::first_of(one.receive(), other.receive()); });
  loop.turn();
  CHECK(other.try_send(2));
  CHECK(one.try_send(1));
  loop.turn();
  REQUIRE(parked.result);
  CHECK(parked.result->which == 0);
  CHECK(*other.try_receive() == 2);
}

ON_BOTH_SELECTORS(
    "first_of: an error wins like a value, and is the one's own: a closed channel, one that is destroyed") {
  TimedLoop<S> loop;
  Semaphore semaphore;
  auto channel = std::make_unique<Channel<int, 1>>();
  auto* const gone = channel.get();
  Parked closed(loop, [&] { return mote::first_of(semaphore.acquire(), gone->receive()); });
  loop.turn();
  channel->close();
  loop.turn();
  REQUIRE(closed.result);
  CHECK(closed.result->which == 1);
  CHECK(error_of(closed.result->template get<1>()) == ENODATA);
  channel = std::make_unique<Channel<int, 1>>();
  auto* const other = channel.get();
  Parked destroyed(loop, [&] { return mote::first_of(semaphore.acquire(), other->receive()); });
  loop.turn();
  channel.reset();
  loop.turn();
  REQUIRE(destroyed.result);  // the task itself was not cancelled
  CHECK(destroyed.result->which == 1);
  CHECK(error_of(destroyed.result->template get<1>()) == ECANCELED);
}

ON_BOTH_SELECTORS(
    "first_of: as many queues as a task can stand in; one more is ENOBUFS, which wins, and leaves no waiter") {
  TimedLoop<S> loop;
  Semaphore semaphores[4];
  Parked three(
      loop, [&] { return mote::first_of(semaphores[0].acquire(), semaphores[1].acquire(), semaphores[2].acquire()); });
  Parked four(loop, [&] {
    return mote::first_of(semaphores[0].acquire(), semaphores[1].acquire(), semaphores[2].acquire(),
                          semaphores[3].acquire());
  });
  loop.turn();
  REQUIRE(four.result);
  CHECK(four.result->which == 3);
  CHECK(error_of(four.result->template get<3>()) == ENOBUFS);
  CHECK(three.completions == 0);
  semaphores[1].release();
  loop.turn();
  CHECK(three.result->which == 1);
  for (Semaphore& each : semaphores) {
    each.release();
    CHECK(each.try_acquire());
  }
}

// ------------------------------------------------------------------------------------------------------- all_of

namespace {
struct Gathers {
  template <class A, class B> static void run(Turns& loop) {
    const char* const kinds = __PRETTY_FUNCTION__;
    CAPTURE(kinds);
    for (const std::size_t first : {0u, 1u}) {
      CAPTURE(first);
      A a(loop);
      B b(loop);
      AllResults<A, B> results;
      Parked parked(loop, [&] { return mote::all_of(results, a.operation(), b.operation()); });
      loop.turn(2);
      if (first == 0) a.complete();
      else b.complete();
      loop.turn(3);
      CHECK(parked.completions == 0);
      CHECK(parked.steps == 2);
      CHECK(results.is_complete(first));
      CHECK_FALSE(results.is_complete(1 - first));
      CHECK(error_of(results.template get<0>()) == (first == 0 ? 0 : EAGAIN));
      CHECK(error_of(results.template get<1>()) == (first == 1 ? 0 : EAGAIN));
      if (first == 0) b.complete();
      else a.complete();
      loop.turn(3);
      CHECK(parked.is_parked());
      CHECK(parked.steps == 3);
      CHECK(parked.result);
      CHECK(results.template get<0>());
      CHECK(results.template get<1>());
    }
  }
};
struct GathersAreCancelled {
  template <class A, class B> static void run(Turns& loop) {
    const char* const kinds = __PRETTY_FUNCTION__;
    CAPTURE(kinds);
    for (const int completed : {0, 1, 2}) {  // the first, the second, none
      CAPTURE(completed);
      A a(loop);
      B b(loop);
      AllResults<A, B> results;
      Parked parked(loop, [&] { return mote::all_of(results, a.operation(), b.operation()); });
      loop.turn(2);
      if (completed == 0) a.complete();
      if (completed == 1) b.complete();
      loop.turn(3);
      CHECK(parked.completions == 0);
      parked.cancel();
      loop.turn();
      CHECK(parked.is_parked());
      CHECK(error_of(parked.result) == ECANCELED);
      CHECK(error_of(results.template get<0>()) == (completed == 0 ? 0 : ECANCELED));
      CHECK(error_of(results.template get<1>()) == (completed == 1 ? 0 : ECANCELED));
      const int steps = parked.steps;
      if (completed != 0) a.complete();
      if (completed != 1) b.complete();
      loop.turn(3);
      CHECK(parked.steps == steps);
      if (completed != 0) CHECK(a.is_there());
      if (completed != 1) CHECK(b.is_there());
      parked.event.set();
      loop.turn();
      CHECK(parked.completions == 2);
      CHECK(parked.left);  // it was told once
    }
  }
};
}  // namespace

ON_BOTH_SELECTORS("all_of: gives all results, in whatever order they come; each is taken when it comes") {
  TimedLoop<S> loop;
  for_each_pair<Gathers>(loop, Every());
}

ON_BOTH_SELECTORS(
    "all_of: a cancellation is passed on to each; what had come keeps its result, and nothing is left behind") {
  TimedLoop<S> loop;
  for_each_pair<GathersAreCancelled>(loop, Every());
}

ON_BOTH_SELECTORS(
    "all_of: cancelled as a part completes, that one keeps its result, the others answer, and nobody after them") {
  for (const bool named_first : {true, false}) {
    CAPTURE(named_first);
    TimedLoop<S> loop;
    Channel<int, 1> completes, waits;
    AllOf<int, int> results;
    Channel<int, 1>& first = named_first ? completes : waits;
    Channel<int, 1>& second = named_first ? waits : completes;
    Parked parked(loop, [&] { return mote::all_of(results, first.receive(), second.receive()); });
    loop.turn();
    CHECK(completes.try_send(1));
    parked.cancel();
    loop.turn(3);
    CHECK(parked.is_parked());
    CHECK(error_of(parked.result) == ECANCELED);
    CHECK(error_of(results.template get<0>()) == (named_first ? 0 : ECANCELED));
    CHECK(error_of(results.template get<1>()) == (named_first ? ECANCELED : 0));
    parked.event.set();
    loop.turn();
    CHECK(parked.left);
  }
}

ON_BOTH_SELECTORS("all_of: waits for all though one fails, and gives the error of the first in order that did") {
  TimedLoop<S> loop;
  Channel<int, 1> one, two, three;
  AllOf<int, int, int> results;
  Parked parked(loop, [&] { return mote::all_of(results, one.receive(), two.receive(), three.receive()); });
  loop.turn();
  three.close();
  loop.turn(2);
  CHECK(parked.completions == 0);
  CHECK(error_of(results.get<2>()) == ENODATA);
  CHECK(one.try_send(1));
  loop.turn(2);
  CHECK(parked.completions == 0);
  CHECK(two.try_send(2));
  loop.turn(2);
  CHECK(parked.is_parked());
  CHECK(error_of(parked.result) == ENODATA);
  CHECK(*results.get<0>() == 1);
  CHECK(*results.get<1>() == 2);
}

namespace {
struct Resuming : StateMachine {
  AllOf<int, int>& results;
  Channel<int, 1>&one, &other;
  std::string& log;
  TaskTimer timer;
  Result<void> got;
  void note() {
    if (got) log += std::to_string(*results.get<0>()) + std::to_string(*results.get<1>()) + " ";
    else log += got.error() == ETIMEDOUT ? "late " : "? ";
  }
  Step step() {
    MOTE_BEGIN();
    MOTE_AWAIT(got, mote::with_timeout(timer, 10ms, mote::all_of(results, one.receive(), other.receive())));
    note();
    MOTE_AWAIT(got, mote::all_of(results, one.receive(), other.receive()));
    note();
    MOTE_AWAIT(got, mote::all_of(results, one.receive(), other.receive()));
    note();
    MOTE_AWAIT(got, mote::with_timeout(timer, 10ms, mote::all_of(results, one.receive(), other.receive())));
    note();
    CHECK(results.is_complete(0));
    results.reset();
    CHECK_FALSE(results.is_complete(0));
    MOTE_AWAIT(got, mote::all_of(results, one.receive(), other.receive()));
    note();
    MOTE_END();
  }
};
}  // namespace

ON_BOTH_SELECTORS(
    "all_of: given up by a time-out, it goes on where it stood when awaited again, or anew after reset()") {
  TimedLoop<S> loop;
  Channel<int, 1> one, other;
  AllOf<int, int> results;
  std::string log;
  TaskPool<Resuming, 1> pool;
  REQUIRE(pool.spawn(loop, results, one, other, log));
  loop.turn();
  CHECK(one.try_send(1));
  loop.turn();
  loop.pass(10ms);
  CHECK(log == "late ");
  CHECK(other.try_send(2));
  loop.turn();
  CHECK(log == "late 12 ");
  CHECK(one.try_send(3));
  CHECK(other.try_send(4));
  loop.turn();
  CHECK(log == "late 12 34 ");
  CHECK(one.try_send(5));
  loop.turn();
  loop.pass(10ms);
  CHECK(log == "late 12 34 late ");
  CHECK(one.try_send(6));
  CHECK(other.try_send(7));
  loop.turn();
  CHECK(log == "late 12 34 late 67 ");
}

// ------------------------------------------------------------------------------------------------------- shield

namespace {
struct IsShielded {
  template <class K> static void run(Turns& loop) {
    const char* const kinds = __PRETTY_FUNCTION__;
    CAPTURE(kinds);
    for (const bool before_its_first_step : {false, true}) {
      CAPTURE(before_its_first_step);
      K kind(loop);
      Parked parked(loop, [&] { return mote::shield(kind.operation()); });
      if (!before_its_first_step) loop.turn(2);
      parked.cancel();
      parked.cancel();
      loop.turn(3);
      CHECK(parked.handle.get()->cancel_requested());
      CHECK(parked.completions == 0);
      CHECK(parked.steps == 1);
      kind.complete();
      loop.turn(3);
      CHECK(parked.result);
      CHECK(parked.completions == 2);
      CHECK(error_of(parked.left) == ECANCELED);  // the next one answers
    }
  }
};
}  // namespace

ON_BOTH_SELECTORS("shield: every kind of operation completes in spite of a cancellation, which the next one answers") {
  TimedLoop<S> loop;
  for_each_kind<IsShielded>(loop, Every());
}

ON_BOTH_SELECTORS("shield: without a cancellation nothing comes after it") {
  TimedLoop<S> loop;
  Semaphore semaphore;
  Parked parked(loop, [&] { return mote::shield(semaphore.acquire()); });
  loop.turn();
  semaphore.release();
  loop.turn(3);
  CHECK(parked.is_parked());
  CHECK(parked.steps == 2);
  parked.cancel();  // and it is over
  loop.turn();
  CHECK(error_of(parked.left) == ECANCELED);
}

ON_BOTH_SELECTORS("shield: one that a time-out gives up is lowered; the cancellation is answered next") {
  TimedLoop<S> loop;
  Semaphore semaphore;
  TaskTimer timer;
  Parked parked(loop, [&] { return mote::with_timeout(timer, 10ms, mote::shield(semaphore.acquire())); });
  loop.turn();
  parked.cancel();
  loop.pass(9ms);
  CHECK(parked.completions == 0);
  loop.pass(1ms);
  CHECK(error_of(parked.result) == ETIMEDOUT);
  CHECK(error_of(parked.left) == ECANCELED);
}

ON_BOTH_SELECTORS("shield: of one of several it is one of all, until another wins, or until it has completed") {
  for (const bool other_wins : {true, false}) {
    CAPTURE(other_wins);
    TimedLoop<S> loop;
    Semaphore shielded, other;
    Parked parked(loop, [&] { return mote::first_of(other.acquire(), mote::shield(shielded.acquire())); });
    loop.turn();
    parked.cancel();
    loop.turn(2);
    CHECK(parked.completions == 0);
    (other_wins ? other : shielded).release();
    loop.turn(3);
    REQUIRE(parked.result);
    CHECK(parked.result->which == (other_wins ? 0 : 1));
    CHECK(error_of(parked.left) == ECANCELED);
  }
}

ON_BOTH_SELECTORS(
    "shield: where several parts of all_of are shielded, the first that completes does not expose the others") {
  for (const std::size_t first : {0u, 1u}) {
    CAPTURE(first);
    TimedLoop<S> loop;
    Semaphore semaphores[2];
    AllOf<void, void> results;
    Parked parked(loop, [&] {
      return mote::all_of(results, mote::shield(semaphores[0].acquire()), mote::shield(semaphores[1].acquire()));
    });
    loop.turn();
    parked.cancel();
    loop.turn();
    semaphores[first].release();
    loop.turn(3);
    CHECK(results.is_complete(first));
    CHECK(parked.completions == 0);
    semaphores[1 - first].release();
    loop.turn(3);
    CHECK(parked.result);
    CHECK(error_of(parked.left) == ECANCELED);
  }
}

namespace {
// A clean-up of several steps that must finish, after a wait that may be cancelled.
struct Cleaning : StateMachine {
  Channel<int, 1>& work;
  Semaphore& steps;
  std::string& log;
  Shield shield, inner;
  Result<int> got;
  Result<void> step_done;
  int i = 0;
  Cleaning(Channel<int, 1>& w, Semaphore& s, std::string& l) : work(w), steps(s), log(l) {}
  ~Cleaning() { log += "destroyed"; }
  Step step() {
    MOTE_BEGIN();
    MOTE_AWAIT(got, work.receive());
    log += got ? "work " : got.error() == ECANCELED ? "cancelled " : "? ";
    shield.raise(task());
    for (i = 0; i < 2; ++i) {
      inner.raise(task());
      inner.raise(task());
      MOTE_AWAIT(step_done, steps.acquire());
      log += step_done ? "step " : "? ";
      inner.lower();
    }
    shield.lower();
    shield.lower();
    MOTE_AWAIT(step_done, steps.acquire());
    log += error_of(step_done) == ECANCELED ? "told " : "step ";
    MOTE_END();
  }
};
}  // namespace

ON_BOTH_SELECTORS(
    "shield: a Shield holds off cancellation over several awaits; lowered, the pending one is answered, once") {
  TimedLoop<S> loop;
  for (const bool cancelled : {true, false}) {
    CAPTURE(cancelled);
    Channel<int, 1> work;
    Semaphore steps;
    std::string log;
    TaskPool<Cleaning, 1> pool;
    auto handle = pool.spawn(loop, work, steps, log);
    loop.turn();
    handle->cancel();
    loop.turn();
    CHECK(log == "cancelled ");
    if (cancelled) handle->cancel();
    loop.turn(2);
    CHECK(handle->get()->cancel_requested() == cancelled);
    for (int i = 0; i < 2; ++i) {
      steps.release();
      loop.turn(2);
    }
    if (!cancelled) {
      CHECK(log == "cancelled step step ");
      steps.release();
    }
    loop.turn(2);
    CHECK(log == (cancelled ? "cancelled step step told destroyed" : "cancelled step step step destroyed"));
    CHECK(handle->outcome().kind == Outcome::Kind::done);
  }
}

ON_BOTH_SELECTORS("shield: raised when a cancellation is pending, it holds that off, too") {
  TimedLoop<S> loop;
  Semaphore semaphore(1);
  Shield shield;
  int steps = 0;
  auto body = [&](Task& task) -> Step {
    if (++steps == 1) {
      task.cancel();  // while it runs
      shield.raise(task);
      auto poll = semaphore.acquire().poll(task);
      CHECK((poll.ready() && *poll));
      CHECK_FALSE(semaphore.acquire().poll(task).ready());
      return mote::pending;
    }
    auto poll = semaphore.acquire().poll(task);
    if (steps == 2) {  // woken by cancel()
      CHECK_FALSE(poll.ready());
      shield.lower();
      return mote::pending;
    }
    CHECK((poll.ready() && error_of(*poll) == ECANCELED));
    return mote::done();
  };
  TaskPool<Plain, 1> pool;
  auto handle = pool.spawn(loop, Body(body));
  loop.turn(4);
  CHECK(steps == 3);
  CHECK(handle->outcome().kind == Outcome::Kind::done);
}

ON_BOTH_SELECTORS("shield: up when its task ends or is destroyed, it is of no effect on the slot's next task") {
  for (const bool destroyed : {true, false}) {
    TimedLoop<S> loop;
    Semaphore semaphore;
    struct Ending : StateMachine {
      Semaphore& semaphore;
      bool ends;
      Result<void>& result;
      Shield shield;
      Ending(Semaphore& s, bool e, Result<void>& r) : semaphore(s), ends(e), result(r) {}
      Step step() {
        MOTE_BEGIN();
        if (ends) shield.raise(task());
        MOTE_AWAIT(result, semaphore.acquire());
        MOTE_END();
      }
    };
    TaskPool<Ending, 1> pool;
    Result<void> first, second;
    {
      auto handle = pool.spawn(loop, semaphore, true, first);
      loop.turn();
      handle->cancel();
      if (destroyed) CHECK(handle->destroy());
      else semaphore.release();
      loop.turn();
    }
    auto handle = pool.spawn(loop, semaphore, false, second);
    loop.turn();
    CHECK_FALSE(handle->get()->cancel_requested());
    handle->cancel();
    loop.turn();
    CHECK(error_of(second) == ECANCELED);
  }
}

ON_BOTH_SELECTORS(
    "shield: a shielded clean-up finishes within the shutdown's second period; what outlasts it is destroyed") {
  for (const bool in_time : {true, false}) {
    CAPTURE(in_time);
    TimedLoop<S> loop;
    struct Closing : StateMachine {
      Duration length;
      std::string& log;
      TaskTimer timer;
      Result<void> result;
      Closing(Duration d, std::string& l) : length(d), log(l) {}
      ~Closing() { log += "destroyed"; }
      Step step() {
        MOTE_BEGIN();
        MOTE_AWAIT(result, timer.sleep(100h));
        if (error_of(result) == ECANCELED) log += "cancelled ";
        MOTE_AWAIT(result, mote::shield(timer.sleep(length)));
        log += result ? "cleaned " : "? ";
        MOTE_END();
      }
    };
    TaskPool<Closing, 1> pool;
    std::string log;
    REQUIRE(pool.spawn(loop, in_time ? 300ms : 501ms, log));
    mote::GracefulShutdown shutdown(loop, {}, 1s, 500ms);
    loop.turn();
    const mote::Instant start = mote::Clock::now();
    shutdown.request();
    const Result<mote::ShutdownReport> report = shutdown.run();
    REQUIRE(report);
    CHECK(report->cancelled == (in_time ? 1 : 0));
    CHECK(report->destroyed == (in_time ? 0 : 1));
    CHECK(log == (in_time ? "cancelled cleaned destroyed" : "cancelled destroyed"));
    CHECK(mote::Clock::now() - start >= (in_time ? 1300ms : 1500ms));
    CHECK(mote::Clock::now() - start < (in_time ? 1302ms : 1502ms));
  }
}

// ------------------------------------------------------------------------------------------------------- nested

ON_BOTH_SELECTORS("combinators: nested, each does what it does alone") {
  TimedLoop<S> loop;
  Channel<int, 1> one, two, three;
  TaskTimer inner, outer;
  AllOf<int, int> both;
  Parked parked(loop, [&] {
    return mote::with_timeout(outer, 1s,
                              mote::first_of(mote::with_timeout(inner, 2s, one.receive()),
                                             mote::all_of(both, two.receive(), mote::shield(three.receive()))));
  });
  loop.turn();
  CHECK(two.try_send(2));
  loop.turn(2);
  CHECK(parked.completions == 0);
  CHECK(three.try_send(3));
  loop.turn(2);
  REQUIRE(parked.result);
  CHECK(parked.result->which == 1);
  CHECK(*both.template get<0>() == 2);
  CHECK(*both.template get<1>() == 3);
  const int steps = parked.steps;
  CHECK(one.try_send(1));
  loop.pass(10s);
  CHECK(parked.steps == steps);
  CHECK(*one.try_receive() == 1);
}

ON_BOTH_SELECTORS("combinators: nested, the outer time-out ends it all, and nothing is left behind") {
  TimedLoop<S> loop;
  Channel<int, 1> one, two, three;
  TaskTimer inner, outer;
  AllOf<int, int> both;
  Parked parked(loop, [&] {
    return mote::with_timeout(outer, 1s,
                              mote::first_of(mote::with_timeout(inner, 2s, one.receive()),
                                             mote::all_of(both, two.receive(), three.receive())));
  });
  loop.turn();
  loop.pass(1s);
  CHECK(error_of(parked.result) == ETIMEDOUT);
  for (auto* channel : {&one, &two, &three}) CHECK(channel->try_send(1));
  loop.pass(10s);
  CHECK(parked.steps == 2);
  for (auto* channel : {&one, &two, &three}) CHECK(*channel->try_receive() == 1);
}
ON_BOTH_SELECTORS(
    "first_of: cancelled after one has completed, it gives that one if it is named first; nothing is lost") {
  for (const bool named_first : {true, false}) {
    CAPTURE(named_first);
    TimedLoop<S> loop;
    Channel<int, 1> one, other;
    Parked parked(loop, [&] { return mote::first_of(one.receive(), other.receive()); });
    loop.turn();
    CHECK((named_first ? one : other).try_send(1));
    parked.cancel();
    loop.turn(2);
    if (named_first) CHECK((parked.result && parked.result->which == 0));
    else CHECK((error_of(parked.result) == ECANCELED && *other.try_receive() == 1));
    if (named_first) CHECK(error_of(parked.left) == ECANCELED);
  }
}

ON_BOTH_SELECTORS("combinators: nested, a part that is over does not end the waits of the parts beside it") {
  for (const bool named_first : {true, false}) {
    CAPTURE(named_first);
    TimedLoop<S> loop;
    Channel<int, 1> channel;
    Semaphore one, two;
    TaskTimer timer;
    AllOf<int, FirstOf<void, void>> after_race;
    AllOf<FirstOf<void, void>, int> before_race;
    AllOf<int, void> after_timeout;
    AllOf<void, int> before_timeout;
    const auto race = [&] { return mote::first_of(one.acquire(), two.acquire()); };
    const auto timeout = [&] { return mote::with_timeout(timer, 10ms, two.acquire()); };
    const auto check = [&](auto make, auto get) {
      Parked parked(loop, make);
      loop.turn();
      one.release();
      loop.turn();
      loop.pass(10ms);
      static_cast<void>(one.try_acquire());
      CHECK(parked.completions == 0);
      CHECK(channel.try_send(7));
      loop.turn(3);
      CHECK(parked.is_parked());
      CHECK(*get() == 7);
      static_cast<void>(channel.try_receive());
    };
    if (named_first) {
      check([&] { return mote::all_of(before_race, race(), channel.receive()); },
            [&] { return before_race.template get<1>(); });
      check([&] { return mote::all_of(before_timeout, timeout(), channel.receive()); },
            [&] { return before_timeout.template get<1>(); });
    } else {
      check([&] { return mote::all_of(after_race, channel.receive(), race()); },
            [&] { return after_race.template get<0>(); });
      check([&] { return mote::all_of(after_timeout, channel.receive(), timeout()); },
            [&] { return after_timeout.template get<0>(); });
    }
  }
}

ON_BOTH_SELECTORS("combinators: nested, a part that is over does not cost the parts beside it their places in queues") {
  TimedLoop<S> loop;
  Channel<int, 1> channel;
  Semaphore semaphore;
  TaskTimer timer;
  AllOf<void, int> results;
  Parked first(loop, [&] {
    return mote::all_of(results, mote::with_timeout(timer, 10ms, semaphore.acquire()), channel.receive());
  });
  loop.turn();
  Running second(loop, [&] { return channel.receive(); });
  loop.pass(10ms);
  CHECK(channel.try_send(1));
  loop.turn(2);
  CHECK(first.is_parked());
  CHECK_FALSE(second.done());
}

ON_BOTH_SELECTORS("combinators: nested, a part that is over does not begin the time of the parts beside it anew") {
  TimedLoop<S> loop;
  Semaphore semaphore;
  TaskTimer outer, inner, pause;
  AllOf<void, void> results;
  Parked asleep(loop, [&] {
    return mote::all_of(results, mote::with_timeout(inner, 60ms, semaphore.acquire()), pause.sleep(100ms));
  });
  AllOf<void, void> others;
  TaskTimer other_inner;
  Parked limited(loop, [&] {
    return mote::with_timeout(
        outer, 100ms,
        mote::all_of(others, mote::with_timeout(other_inner, 60ms, semaphore.acquire()), semaphore.acquire()));
  });
  loop.turn();
  loop.pass(60ms);
  CHECK(asleep.completions == 0);
  CHECK(limited.completions == 0);
  loop.pass(40ms);
  CHECK(asleep.is_parked());
  CHECK(limited.is_parked());
  CHECK(error_of(limited.result) == ETIMEDOUT);
}

ON_BOTH_SELECTORS(
    "shield: of a part holds off what was cancelled before the first step: all of first_of(), that part of all_of()") {
  for (const bool all : {true, false}) {
    CAPTURE(all);
    TimedLoop<S> loop;
    Semaphore shielded, other;
    AllOf<void, void> results;
    int completions = 0;
    const auto check = [&](auto& parked) {
      parked.cancel();
      loop.turn(3);
      CHECK(parked.completions == 0);
      CHECK(results.is_complete(1) == all);
      shielded.release();
      loop.turn(3);
      completions = parked.completions;
    };
    if (all) {
      Parked parked(loop, [&] { return mote::all_of(results, mote::shield(shielded.acquire()), other.acquire()); });
      check(parked);
      CHECK(completions >= 1);
      CHECK(results.template get<0>());
      CHECK(error_of(results.template get<1>()) == ECANCELED);
    } else {
      Parked parked(loop, [&] { return mote::first_of(mote::shield(shielded.acquire()), other.acquire()); });
      check(parked);
      CHECK(completions == 2);
      CHECK((parked.result && parked.result->which == 0));
      CHECK(error_of(parked.left) == ECANCELED);
    }
  }
}
