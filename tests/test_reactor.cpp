// SPDX-License-Identifier: MIT
// Rooms: reactor/reactor.hpp, reactor/loop.hpp, reactor/static_reactor.hpp.
// The loop itself: how a run begins and ends, its turns and their bounds, embedding, and what it tells about itself.
#include <sys/epoll.h>

#include <algorithm>
#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "support/harness.hpp"

using mote::Clock;
using mote::Delegate;
using mote::Duration;
using mote::Instant;
using mote::Interest;
using mote::Observation;
using mote::Readiness;
using mote::Result;
using mote::StateMachine;
using mote::Step;
using mote::Task;
using mote::TaskHandle;
using mote::TaskPool;
using mote::TaskTimer;
using mote::Timer;
using namespace std::chrono_literals;
using test::Body;
using test::Plain;

namespace {

struct Sleeper : StateMachine {
  Duration delay;
  TaskTimer timer;
  Result<void> slept;
  explicit Sleeper(Duration d) : delay(d) {}
  Step step() {
    MOTE_BEGIN();
    MOTE_AWAIT(slept, timer.sleep(delay));
    MOTE_END();
  }
};

template <std::size_t Batch> struct Batched {
  template <class S> struct On : S::template Config<16> { static constexpr std::size_t batch = Batch; };
};

struct SelectorAtRunTime : mote::Config {
  static constexpr std::size_t descriptors = 4;
  template <std::size_t N> using Selector = mote::NoSelector<N>;
};

// For stop() in a signal handler.
mote::Reactor* reactor_to_stop = nullptr;
void stop_on_signal(int) { reactor_to_stop->stop(); }

void pass(Instant instant) {
  while (Clock::now() < instant) {}
}

}  // namespace

// ------------------------------------------------------------------------------------------------ before and after

ON_BOTH_SELECTORS("reactor: before open() every call that needs the kernel answers ENXIO") {
  mote::StaticReactor<typename S::template Config<4>> loop;
  auto handler = [](Readiness) {};
  CHECK(loop.run().error() == ENXIO);
  CHECK(loop.run_once(0ns).error() == ENXIO);
  CHECK(loop.run_for(0ns).error() == ENXIO);
  CHECK(loop.add(0, Interest::read, handler).error() == ENXIO);
  CHECK(loop.enable_wakeups().error() == ENXIO);
  CHECK(loop.after_fork_in_child().error() == ENXIO);
  CHECK(loop.pollable_descriptor() == -1);
  CHECK_FALSE(loop.running());
  mote::Waker waker;
  CHECK(waker.open(loop).error() == ENXIO);
}

ON_BOTH_SELECTORS("reactor: opening it twice is opening it once") {
  test::Loop<S> loop;
  const int descriptors = test::open_descriptors();
  CHECK(loop.open());
  CHECK(test::open_descriptors() == descriptors);
}

ON_BOTH_SELECTORS("reactor: it makes no system object before open(), and leaves none behind") {
  const int before = test::open_descriptors();
  {
    mote::StaticReactor<typename S::template Config<4>> loop;
    CHECK(test::open_descriptors() == before);
    REQUIRE(loop.open());
    REQUIRE(loop.enable_wakeups());
    CHECK(test::open_descriptors() > before);
  }
  CHECK(test::open_descriptors() == before);
}

ON_BOTH_SELECTORS("reactor: it may use a selector of the caller's, chosen at run time") {
  using Loop = mote::StaticReactor<SelectorAtRunTime>;
  typename S::template Selector<Loop::selector_capacity> selector;
  Loop loop;
  REQUIRE(loop.open(selector));
  int fired = 0;
  auto fire = [&] { ++fired; };
  Timer timer;
  timer.arm(loop, 1ms, fire);
  CHECK(loop.run());
  CHECK(fired == 1);
}

// ------------------------------------------------------------------------------------------------ how a run ends

ON_BOTH_SELECTORS("reactor: a run ends when there is nothing left that could ever happen") {
  test::Loop<S> loop;
  CHECK(loop.run());
  CHECK(loop.stats().turns == 0);

  int fired = 0;
  auto fire = [&] { ++fired; };
  Timer timer;
  timer.arm(loop, 1ms, fire);
  CHECK(loop.run());
  CHECK(fired == 1);

  TaskPool<Sleeper, 1> pool;
  REQUIRE(pool.spawn(loop, 1ms));
  CHECK(loop.run());
  CHECK(pool.size() == 0);

  test::Pair pair = test::pipe_pair();
  int events = 0;
  mote::Registration registration;
  auto handler = [&](Readiness) {
    ++events;
    CHECK(loop.remove(registration));
  };
  registration = *loop.add(pair.a.get(), Interest::read, handler);
  REQUIRE(test::send_text(pair.b.get(), "x") == 1);
  CHECK(loop.run());
  CHECK(events == 1);
}

ON_BOTH_SELECTORS("reactor: a run whose last task ends in a step ends with that step") {
  test::Loop<S> loop;
  TaskPool<Plain, 2> pool;
  int steps = 0;
  auto body = [&](Task& task) -> Step {
    if (++steps == 3) return mote::done();
    task.wake();
    return mote::pending;
  };
  REQUIRE(pool.spawn(loop, Body(body)));
  CHECK(loop.run());  // else it would wait for ever
  CHECK(steps == 3);
}

ON_BOTH_SELECTORS("reactor: a run with tasks that nothing could wake answers EDEADLK, and leaves them as they stand") {
  test::Loop<S> loop;
  TaskPool<Plain, 1> pool;
  auto body = [](Task&) -> Step { return mote::pending; };
  Result<TaskHandle> handle = pool.spawn(loop, Body(body));
  REQUIRE(handle);
  CHECK(loop.run().error() == EDEADLK);
  CHECK(pool.size() == 1);
  CHECK_FALSE(loop.running());
  CHECK(loop.run().error() == EDEADLK);
  CHECK(loop.stats().steps == 1);
  handle->get()->wake();
  CHECK(loop.run().error() == EDEADLK);
  CHECK(loop.stats().steps == 2);
}

ON_BOTH_SELECTORS("reactor: an open waker is a reason to go on") {
  test::Loop<S> loop;
  mote::Waker waker;
  int woken = 0;
  auto wake = [&] {
    ++woken;
    waker.close();
  };
  REQUIRE(waker.open(loop, wake));
  std::thread other([&] { waker.wake(); });
  CHECK(loop.run());
  other.join();
  CHECK(woken == 1);
}

// Waits for what never comes, unless something else keeps the run going.
struct Idle : StateMachine {
  mote::Event never_set;
  Result<void> set;
  Step step() {
    MOTE_BEGIN();
    MOTE_AWAIT(set, never_set.wait());
    MOTE_END();
  }
};

ON_BOTH_SELECTORS(
    "reactor: what is open or armed keeps a run going, awaited or not, and counts if it has a descriptor") {
  test::Loop<S, 8> loop;
  TaskPool<Idle, 1> pool;
  REQUIRE(pool.spawn(loop));
  const auto is_over = [&] {
    const bool is_told =
        std::string(loop.describe(mote::Error(EDEADLK)).c_str()).find("cannot come") != std::string::npos;
    if (is_told) CHECK(loop.run().error() == EDEADLK);
    return is_told;
  };
  const auto goes_on = [&](unsigned descriptors) { return !is_over() && loop.vacancies() == 8 - descriptors; };
  CHECK(loop.run().error() == EDEADLK);
  CHECK(is_over());
  test::Pair pair = test::pipe_pair();

  mote::BorrowedSource borrowed;
  REQUIRE(borrowed.open(loop, pair.a.get()));
  CHECK(goes_on(1));
  borrowed.close();
  CHECK(is_over());
  const auto handler = [](Readiness) {};
  const Result<mote::Registration> registration = loop.add(pair.a.get(), Interest::read, handler);
  REQUIRE(registration);
  CHECK(goes_on(1));
  REQUIRE(loop.remove(*registration));
  CHECK(is_over());
  mote::Source source;
  REQUIRE(source.open(loop, std::move(pair.a)));
  CHECK(goes_on(1));
  source.close();
  CHECK(is_over());

  mote::Waker waker;
  REQUIRE(waker.open(loop));
  CHECK(goes_on(0));
  waker.close();
  mote::Mailbox<int, 1> mailbox;
  REQUIRE(mailbox.open(loop));
  CHECK(goes_on(0));
  mailbox.close();
  mote::Signals signals;
  REQUIRE(signals.open(loop, {SIGUSR1}));
  CHECK(goes_on(0));
  signals.close();
  CHECK(is_over());

  Timer timer;
  const auto fire = [] {};
  timer.arm(loop, 1h, fire);
  CHECK(goes_on(0));
  timer.cancel();
  test::Pair device = test::pipe_pair();
  mote::Watchdog watchdog;
  REQUIRE(watchdog.open(loop, std::move(device.b), 1h));
  CHECK(goes_on(0));
  static_cast<void>(watchdog.close());
  CHECK(is_over());

  mote::GracefulShutdown shutdown(loop, {SIGUSR1});
  REQUIRE(shutdown.open());
  CHECK(is_over());
  CHECK(loop.vacancies() == 8);
}

ON_BOTH_SELECTORS("reactor: stop from another thread, while it waits or before it does") {
  test::Loop<S> loop;
  REQUIRE(loop.enable_wakeups());
  auto nothing = [] {};
  Timer never;
  for (int i = 0; i < 50; ++i) {
    never.arm(loop, 1h, nothing);
    std::thread other([&] { loop.stop(); });
    CHECK(loop.run());
    other.join();
  }
  CHECK(never.armed());
}

ON_BOTH_SELECTORS("reactor: stop from a signal handler") {
  test::Loop<S> loop;
  REQUIRE(loop.enable_wakeups());
  auto raise_usr1 = [] { REQUIRE(::kill(::getpid(), SIGUSR1) == 0); };
  auto nothing = [] {};
  struct sigaction ours, before;
  ::memset(&ours, 0, sizeof ours);
  ours.sa_handler = stop_on_signal;
  reactor_to_stop = &loop;
  REQUIRE(::sigaction(SIGUSR1, &ours, &before) == 0);
  Timer never, timer;
  never.arm(loop, 1h, nothing);
  timer.arm(loop, 1ms, raise_usr1);
  CHECK(loop.run());
  CHECK_FALSE(timer.armed());

  // From another thread that is sent the signal while this one waits.
  std::atomic<int> running{0};
  auto say_running = [&] { running.store(1); };
  timer.arm(loop, 1ms, say_running);
  std::thread other([&] {
    while (running.load() == 0) std::this_thread::yield();
    REQUIRE(::raise(SIGUSR1) == 0);
  });
  CHECK(loop.run());
  other.join();
  REQUIRE(::sigaction(SIGUSR1, &before, nullptr) == 0);
}

ON_BOTH_SELECTORS("reactor: run_for ends when its time is up, and not before") {
  test::Loop<S> loop;
  auto nothing = [] {};
  Timer never;
  never.arm(loop, 1h, nothing);
  const Instant start = Clock::now();
  CHECK(loop.run_for(5ms));
  CHECK(Clock::now() - start >= 5ms);
  CHECK(loop.run_for(0ns));
  CHECK(loop.run_for(-1s));
  auto stop = [&] { loop.stop(); };
  Timer timer;
  timer.arm(loop, 1ms, stop);
  CHECK(loop.run_for(1h));
}

ON_BOTH_SELECTORS(
    "reactor: run_for sits out its time though nothing is left that could happen; unlimited makes it run()") {
  test::Loop<S> loop;
  const auto lasts = [&](mote::AnyDuration duration) {
    const Instant start = Clock::now();
    CHECK(loop.run_for(duration));
    return Clock::now() - start;
  };
  CHECK(lasts(5ms) >= 5ms);
  CHECK(loop.stats().turns < 20);  // and it rests meanwhile
  mote::Event never;
  TaskPool<Plain, 1> pool;
  auto body = [&](Task& task) -> Step {
    static_cast<void>(never.wait().poll(task));
    return mote::pending;
  };
  REQUIRE(pool.spawn(loop, Body(body)));
  CHECK(lasts(5ms) >= 5ms);  // a deadlock is no reason either
  CHECK(loop.run_for(std::chrono::hours::max()).error() == EDEADLK);
  loop.destroy_all_tasks();
  CHECK(lasts(std::chrono::hours::max()) < 1h);
  loop.stop();
  CHECK(lasts(1h) < 1h);
}

ON_BOTH_SELECTORS(
    "reactor: a wake-up and a stop from another thread reach a run_for in which nothing else could happen") {
  test::Loop<S> loop;
  REQUIRE(loop.enable_wakeups());
  mote::Waker waker;
  int woken = 0;
  const auto count = [&] { ++woken; };
  std::thread stopper([&] { loop.stop(); });
  CHECK(loop.run_for(1h));
  stopper.join();
  REQUIRE(waker.open(loop, count));
  std::thread other([&] {
    waker.wake();
    loop.stop();
  });
  CHECK(loop.run_for(1h));
  other.join();
  test::turn(loop);
  CHECK(woken == 1);
}

ON_BOTH_SELECTORS("reactor: a busy task does not keep run_for from ending") {
  test::Loop<S> loop;
  TaskPool<Plain, 1> pool;
  auto body = [](Task& task) -> Step {
    task.wake();
    return mote::pending;
  };
  REQUIRE(pool.spawn(loop, Body(body)));
  const Instant start = Clock::now();
  CHECK(loop.run_for(2ms));
  CHECK(Clock::now() - start >= 2ms);
  CHECK(loop.stats().steps > 1);
}

ON_BOTH_SELECTORS("reactor: run_once waits for as long as it may, and counts what there was") {
  test::Loop<S> loop;
  Result<std::uint32_t> count = loop.run_once(0ns);
  REQUIRE(count);
  CHECK(*count == 0);
  const Instant start = Clock::now();
  count = loop.run_once(3ms);
  REQUIRE(count);
  CHECK(*count == 0);
  CHECK(Clock::now() - start >= 3ms);

  test::Pair pair = test::pipe_pair();
  auto handler = [](Readiness) {};
  auto nothing = [] {};
  auto body = [](Task&) -> Step { return mote::done(); };
  TaskPool<Plain, 2> pool;
  Timer timer;
  REQUIRE(loop.add(pair.a.get(), Interest::read, handler));
  REQUIRE(test::send_text(pair.b.get(), "x") == 1);
  for (int i = 0; i < 2; ++i) REQUIRE(pool.spawn(loop, Body(body)));
  timer.arm(loop, 0ns, nothing);
  count = loop.run_once();
  REQUIRE(count);
  CHECK(*count == 4);  // two steps, an event, a timer
}

ON_BOTH_SELECTORS("reactor: nested run refused in a handler, a timer, a task and a wake-up; the outer one goes on") {
  test::Loop<S> loop;
  std::vector<int> answers;
  const auto nest = [&] {
    CHECK(loop.running());
    answers.push_back(loop.run().error().code());
    answers.push_back(loop.run_once(0ns).error().code());
    answers.push_back(loop.run_for(1ms).error().code());
  };
  test::Pair pair = test::pipe_pair();
  mote::Registration registration;
  auto handler = [&](Readiness) {
    nest();
    CHECK(loop.remove(registration));
  };
  auto on_timer = [&] { nest(); };
  mote::Waker waker;
  auto on_wake = [&] {
    nest();
    waker.close();
  };
  auto body = [&](Task&) -> Step {
    nest();
    return mote::done();
  };
  TaskPool<Plain, 1> pool;
  Timer timer;
  registration = *loop.add(pair.a.get(), Interest::read, handler);
  REQUIRE(test::send_text(pair.b.get(), "x") == 1);
  REQUIRE(waker.open(loop, on_wake));
  waker.wake();
  timer.arm(loop, 0ns, on_timer);
  REQUIRE(pool.spawn(loop, Body(body)));
  CHECK(loop.run());
  CHECK(answers == std::vector<int>(12, EBUSY));
}

// ------------------------------------------------------------------------------------------------ a turn

ON_BOTH_SELECTORS("reactor: a turn steps tasks, then dispatches events, then fires timers") {
  test::Loop<S> loop;
  std::string log;
  test::Pair pair = test::pipe_pair();
  auto handler = [&](Readiness) { log += 'e'; };
  auto fire = [&] { log += 'f'; };
  auto body = [&](Task&) -> Step {
    log += 's';
    return mote::pending;
  };
  TaskPool<Plain, 1> pool;
  Timer timer;
  timer.arm(loop, 0ns, fire);
  REQUIRE(loop.add(pair.a.get(), Interest::read, handler));
  REQUIRE(test::send_text(pair.b.get(), "x") == 1);
  REQUIRE(pool.spawn(loop, Body(body)));
  REQUIRE(loop.run_once());
  CHECK(log == "sef");
}

ON_BOTH_SELECTORS("reactor: what an event or a timer wakes runs in the next turn") {
  test::Loop<S> loop;
  int steps = 0;
  auto body = [&](Task&) -> Step {
    ++steps;
    return mote::pending;
  };
  TaskPool<Plain, 1> pool;
  Result<TaskHandle> handle = pool.spawn(loop, Body(body));
  REQUIRE(loop.run_once(0ns));
  auto wake = [&] { handle->get()->wake(); };
  Timer timer;
  timer.arm(loop, 0ns, wake);
  REQUIRE(loop.run_once());
  CHECK(steps == 1);
  CHECK(loop.next_deadline() == Instant::min());
  REQUIRE(loop.run_once(0ns));
  CHECK(steps == 2);
}

ON_BOTH_SELECTORS("reactor: a batch smaller than the ready set: each turn takes a batch, and nobody starves") {
  struct Loop : mote::StaticReactor<Batched<2>::On<S>> {};
  Loop loop;
  REQUIRE(loop.open());
  constexpr int count = 7;
  test::Pair pairs[count];
  int seen[count] = {};
  struct One {
    int& seen;
    void ready(Readiness) { ++seen; }
  };
  std::vector<One> ones;
  for (int& n : seen) ones.push_back(One{n});
  for (std::size_t i = 0; i < count; ++i) {
    pairs[i] = test::pipe_pair();
    REQUIRE(test::send_text(pairs[i].b.get(), "x") == 1);
    REQUIRE(loop.add(pairs[i].a.get(), Interest::read, mote::Handler::of<&One::ready>(ones[i])));
  }
  for (int turn = 1; turn <= 4 * count; ++turn) {
    REQUIRE(loop.run_once(0ns));
    int all = 0;
    for (const int n : seen) all += n;
    CHECK(all == 2 * turn);
  }
  CHECK(*std::min_element(std::begin(seen), std::end(seen)) >= 7);  // none is drained, so each has its round
}

ON_BOTH_SELECTORS("reactor: a zero timer that re-arms itself has one turn at a time, and does not starve events") {
  test::Loop<S> loop;
  Timer timer;
  int fired = 0, events = 0;
  struct Again {
    mote::Reactor& reactor;
    Timer& timer;
    int& fired;
    void operator()() {
      ++fired;
      timer.arm(reactor, 0ns, *this);
    }
  } again{loop, timer, fired};
  test::Pair pair = test::pipe_pair();
  auto handler = [&](Readiness) { ++events; };
  REQUIRE(loop.add(pair.a.get(), Interest::read, handler));
  REQUIRE(test::send_text(pair.b.get(), "x") == 1);
  timer.arm(loop, 0ns, again);
  for (int i = 1; i <= 5; ++i) {
    REQUIRE(loop.run_once());
    CHECK(fired == i);
    CHECK(events == i);
  }
  timer.cancel();
}

ON_BOTH_SELECTORS("reactor: an always-ready file takes one event a turn and does not starve the others") {
  test::Loop<S> loop;
  mote::Fd file(::open("/proc/self/exe", O_RDONLY | O_CLOEXEC));
  REQUIRE(file);
  test::Pair pair = test::pipe_pair();
  int file_events = 0, pipe_events = 0, fired = 0;
  auto on_file = [&](Readiness) { ++file_events; };
  auto on_pipe = [&](Readiness) { ++pipe_events; };
  auto fire = [&] { ++fired; };
  REQUIRE(loop.add(file.get(), Interest::read, on_file));
  REQUIRE(loop.add(pair.a.get(), Interest::read, on_pipe));
  REQUIRE(test::send_text(pair.b.get(), "x") == 1);
  Timer timer;
  for (int i = 1; i <= 3; ++i) {
    timer.arm(loop, 0ns, fire);
    REQUIRE(loop.run_once());
    CHECK(file_events == i);
    CHECK(pipe_events == i);
    CHECK(fired == i);
  }
}

ON_BOTH_SELECTORS("reactor: now() stands still within a turn's callbacks, and moves on from turn to turn") {
  test::Loop<S> loop;
  Instant first{}, second{}, later{};
  auto one = [&] {
    first = loop.now();
    pass(Clock::now() + 1ms);
  };
  auto two = [&] { second = loop.now(); };
  auto three = [&] { later = loop.now(); };
  Timer a, b, c;
  a.arm_at(loop, Instant(Duration(1)), one);
  b.arm_at(loop, Instant(Duration(1)), two);
  REQUIRE(loop.run_once());
  CHECK(first == second);
  c.arm_at(loop, Instant(Duration(1)), three);
  REQUIRE(loop.run_once());
  CHECK(later >= first + 1ms);
}

// ------------------------------------------------------------------------------------------------ embedding

TEST_CASE("reactor: embedded in another epoll loop by its descriptor, next deadline and zero-timeout turns, on epoll") {
  test::Loop<test::OnEpoll> loop;
  mote::Fd outer(::epoll_create1(EPOLL_CLOEXEC));
  epoll_event event;
  ::memset(&event, 0, sizeof event);
  event.events = EPOLLIN;
  REQUIRE(::epoll_ctl(outer.get(), EPOLL_CTL_ADD, loop.pollable_descriptor(), &event) == 0);
  // One round of the host's loop: whether it was the reactor's descriptor that ended the wait.
  const auto round = [&](int longest) {
    const Instant next = loop.next_deadline();
    int timeout = longest;
    if (next == Instant::min()) timeout = 0;
    else if (next != Instant::max()) {
      const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(next - Clock::now()).count() + 1;
      timeout = static_cast<int>(std::clamp<std::int64_t>(left, 0, longest));
    }
    const int ready = ::epoll_wait(outer.get(), &event, 1, timeout);
    CHECK(loop.run_once(0ns));
    return ready == 1;
  };

  CHECK(loop.next_deadline() == Instant::max());
  CHECK_FALSE(round(0));

  test::Pair pair = test::pipe_pair();
  int events = 0;
  char byte;
  auto handler = [&](Readiness) {
    ++events;
    CHECK(::read(pair.a.get(), &byte, 1) == 1);
  };
  REQUIRE(loop.add(pair.a.get(), Interest::read, handler));
  CHECK_FALSE(round(0));
  REQUIRE(test::send_text(pair.b.get(), "x") == 1);
  CHECK(round(10'000));
  CHECK(events == 1);
  CHECK_FALSE(round(0));

  int fired = 0;
  auto fire = [&] { ++fired; };
  Timer timer;
  timer.arm(loop, 2ms, fire);
  CHECK(loop.next_deadline() == timer.deadline());
  while (fired == 0) static_cast<void>(round(10'000));
  CHECK(Clock::now() >= timer.deadline());

  TaskPool<Plain, 1> pool;
  int steps = 0;
  auto body = [&](Task&) -> Step {
    ++steps;
    return mote::done();
  };
  REQUIRE(pool.spawn(loop, Body(body)));
  CHECK(loop.next_deadline() == Instant::min());
  static_cast<void>(round(10'000));
  CHECK(steps == 1);

  mote::Waker waker;
  int woken = 0;
  auto wake = [&] { ++woken; };
  REQUIRE(waker.open(loop, wake));
  CHECK_FALSE(round(0));
  for (int i = 1; i <= 3; ++i) {
    std::thread other([&] { waker.wake(); });
    CHECK(round(10'000));  // outside of a turn, too, a wake-up makes the descriptor readable
    other.join();
    while (woken < i) static_cast<void>(round(0));
    CHECK(woken == i);
    while (round(0)) {}
  }
}

TEST_CASE("reactor: embedded on poll there is no descriptor; deadline and zero-timeout turns serve") {
  test::Loop<test::OnPoll> loop;
  CHECK(loop.pollable_descriptor() == -1);
  int fired = 0;
  auto fire = [&] { ++fired; };
  Timer timer;
  timer.arm(loop, 1ms, fire);
  while (fired == 0) {
    pass(loop.next_deadline());
    CHECK(loop.run_once(0ns));
  }
  CHECK(loop.next_deadline() == Instant::max());
}

ON_BOTH_SELECTORS("reactor: one reactor nested in another by its pollable descriptor") {
  test::Loop<S> outer;
  test::Loop<test::OnEpoll> inner;
  int events = 0;
  test::Pair pair = test::pipe_pair();
  auto inner_handler = [&](Readiness) {
    ++events;
    char byte;
    CHECK(::read(pair.a.get(), &byte, 1) == 1);
    outer.stop();
  };
  auto turn_inner = [&](Readiness) { CHECK(inner.run_once(0ns)); };
  REQUIRE(inner.add(pair.a.get(), Interest::read, inner_handler));
  REQUIRE(outer.add(inner.pollable_descriptor(), Interest::read, turn_inner));
  REQUIRE(test::send_text(pair.b.get(), "x") == 1);
  CHECK(outer.run());
  CHECK(events == 1);
}

// ------------------------------------------------------------------------------------------------ observing

ON_BOTH_SELECTORS("reactor: statistics count turns, events, steps, timers and tasks, and keep the high-water marks") {
  test::Loop<S> loop;
  const mote::Statistics& stats = loop.stats();
  CHECK(stats.turns + stats.events + stats.steps + stats.timers_fired + stats.tasks_spawned == 0);

  test::Pair one = test::pipe_pair(), two = test::pipe_pair();
  auto handler = [](Readiness) {};
  const mote::Registration first = *loop.add(one.a.get(), Interest::read, handler);
  const mote::Registration second = *loop.add(two.a.get(), Interest::read, handler);
  CHECK(stats.descriptors == 2);
  CHECK(loop.vacancies() == 62);
  CHECK(loop.remove(first));
  CHECK(stats.descriptors == 1);
  CHECK(stats.descriptors_high == 2);
  REQUIRE(test::send_text(two.b.get(), "x") == 1);

  auto nothing = [] {};
  Timer timers[3];
  for (Timer& timer : timers) timer.arm(loop, 0ns, nothing);
  timers[2].cancel();
  auto body = [](Task&) -> Step { return mote::done(); };
  auto failing = [](Task&) -> Step { return mote::failed(EIO); };
  auto waiting = [](Task&) -> Step { return mote::pending; };
  auto quiet = [](const Observation&) {};
  loop.observe(quiet);
  TaskPool<Plain, 3> pool;
  REQUIRE(pool.spawn(loop, Body(body)));
  REQUIRE(pool.spawn(loop, Body(failing)));
  REQUIRE(pool.spawn(loop, Body(waiting)));
  REQUIRE(loop.run_once());
  CHECK(stats.turns == 1);
  CHECK(stats.steps == 3);
  CHECK(stats.events == 1);
  CHECK(stats.timers_fired == 2);
  CHECK(stats.timers_high == 3);
  CHECK(stats.tasks == 1);
  CHECK(stats.tasks_high == 3);
  CHECK(stats.tasks_spawned == 3);
  CHECK(stats.tasks_ended == 2);
  CHECK(stats.tasks_failed == 1);
  CHECK(pool.high_water() == 3);
  CHECK(loop.destroy_all_tasks() == 1);
  CHECK(stats.tasks_destroyed == 1);
  CHECK(stats.tasks_ended == 3);
  CHECK(loop.remove(second));
}

ON_BOTH_SELECTORS("reactor: a step slower than the threshold is told to the observer, and the longest is kept") {
  test::Loop<S> loop;
  TaskPool<Plain, 2> pool;
  auto slow = [](Task&) -> Step {
    pass(Clock::now() + 2ms);
    return mote::pending;
  };
  std::vector<Duration> told;
  const Task* culprit = nullptr;
  auto observer = [&](const Observation& seen) {
    if (seen.kind != Observation::slow_step) return;
    told.push_back(seen.duration);
    culprit = seen.task;
  };
  loop.observe(observer);
  Result<TaskHandle> handle = pool.spawn(loop, Body(slow));
  REQUIRE(loop.run_once(0ns));
  CHECK(told.empty());  // off by default
  CHECK(loop.stats().longest_step == Duration::zero());

  loop.set_slow_step_threshold(2ms);
  handle->get()->wake();
  REQUIRE(loop.run_once(0ns));
  REQUIRE(told.size() == 1);
  CHECK(told[0] >= 2ms);
  CHECK(culprit == handle->get());
  CHECK(loop.stats().longest_step == told[0]);

  loop.set_slow_step_threshold(1h);
  handle->get()->wake();
  REQUIRE(loop.run_once(0ns));
  CHECK(told.size() == 1);
  CHECK(loop.stats().longest_step >= 2ms);
}

ON_BOTH_SELECTORS("reactor: a full table is told to the observer") {
  test::Loop<S, 1> loop;
  int told = 0;
  auto observer = [&](const Observation& seen) {
    if (seen.kind == Observation::table_full && seen.error == ENOBUFS) ++told;
  };
  loop.observe(observer);
  auto handler = [](Readiness) {};
  test::Pair pair = test::pipe_pair();
  REQUIRE(loop.add(pair.a.get(), Interest::read, handler));
  CHECK(told == 0);
  CHECK(loop.add(pair.b.get(), Interest::write, handler).error() == ENOBUFS);
  CHECK(told == 1);
  CHECK(loop.vacancies() == 0);
}

// ------------------------------------------------------------------------------------------------ ending

ON_BOTH_SELECTORS(
    "reactor: destroyed with live registrations, timers, wakers and tasks, it leaves none of them behind") {
  const int before = test::open_descriptors();
  {
    auto loop = std::make_unique<test::Loop<S>>();
    test::Pair one = test::pipe_pair(), two = test::pipe_pair();
    auto handler = [](Readiness) {};
    auto nothing = [] {};
    Timer timer;
    mote::Waker waker;
    mote::Source source;
    TaskPool<Sleeper, 1> pool;
    REQUIRE(loop->add(one.a.get(), Interest::read, handler));
    REQUIRE(source.open(*loop, std::move(two.a)));
    REQUIRE(waker.open(*loop, nothing));
    REQUIRE(pool.spawn(*loop, 1h));
    timer.arm(*loop, 1h, nothing);
    REQUIRE(loop->run_once(0ns));
    loop.reset();
    CHECK_FALSE(timer.armed());
    CHECK_FALSE(waker.is_open());
    CHECK_FALSE(source.is_open());
    CHECK(pool.size() == 0);
    CHECK(::fcntl(one.a.get(), F_GETFD) >= 0);  // a plain registration's descriptor is its owner's
    waker.wake();
    CHECK_FALSE(timer.cancel());
  }
  CHECK(test::open_descriptors() == before);
}
