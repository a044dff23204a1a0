// SPDX-License-Identifier: MIT
// Rooms: time/timer.hpp, time/task_timer.hpp, reactor/loop.hpp.
// Timers on a virtual clock: every instant below is exact. Only a wait that runs out of time, or the test itself, moves
// the clock; nothing here takes real time.
#include <cstdlib>
#include <new>

#include "support/harness.hpp"
#include "support/virtual_time.hpp"

using namespace std::chrono_literals;
using test::VirtualTime;

namespace {

using Seam = mote::FaultSystem;
using Call = Seam::Call;
using mote::Duration;
using mote::Instant;

void pass(Duration time) { Seam::state.now += time.count(); }
Duration since(Instant start) { return mote::Clock::now() - start; }

// A timer that notes when it fired, and in which place among all of them.
struct Noting {
  static inline int fired_in_all = 0;
  mote::Timer timer;
  int fired = 0;
  int place = 0;  // 1: the first
  Instant at{};
  void on_time() {
    ++fired;
    place = ++fired_in_all;
    at = mote::Clock::now();
  }
  mote::Timer::Callback callback() { return mote::Timer::Callback::of<&Noting::on_time>(*this); }
  void arm(mote::Reactor& reactor, Duration delay) { timer.arm(reactor, delay, callback()); }
};

template <class S> struct TimedLoop : VirtualTime, test::Loop<S, 8> {
  TimedLoop() { Noting::fired_in_all = 0; }
  void turn(Duration timeout = 0s) { REQUIRE(this->run_once(timeout)); }
};

// Poll counts in milliseconds, and so may be late by less than one; epoll_pwait2 is exact.
template <class S> constexpr Duration lateness = std::is_same<S, test::OnPoll>::value ? Duration(999'999) : Duration(0);

std::uint32_t random_number() {
  static std::uint32_t state = 2463534242u;  // xorshift
  state ^= state << 13;
  state ^= state >> 17;
  state ^= state << 5;
  return state;
}

}  // namespace

ON_BOTH_SELECTORS("virtual time: equal deadlines in arming order") {
  TimedLoop<S> loop;
  const Instant deadline = mote::Clock::now() + 10ms;
  Noting timers[50];
  for (int i = 0; i < 50; ++i) {
    Noting& each = timers[(i * 7) % 50];  // in another order than in memory
    each.timer.arm_at(loop, deadline, each.callback());
  }
  timers[0].timer.cancel();
  timers[0].timer.arm_at(loop, deadline, timers[0].callback());  // now the last
  loop.turn(1s);
  for (int i = 1; i < 50; ++i) CHECK(timers[(i * 7) % 50].place == i);
  CHECK(timers[0].place == 50);
  CHECK(timers[0].at == deadline);
}

ON_BOTH_SELECTORS("virtual time: zero timeout runs next turn") {
  TimedLoop<S> loop;
  Noting inner;
  struct {
    mote::Reactor& reactor;
    Noting& inner;
    void on_time() { inner.arm(reactor, 0s); }
  } outer{loop, inner};
  mote::Timer timer;
  timer.arm(loop, -5s, mote::Timer::Callback::of<&decltype(outer)::on_time>(outer));
  const Instant start = mote::Clock::now();
  loop.turn(mote::unlimited);
  CHECK(inner.fired == 0);
  loop.turn(mote::unlimited);
  CHECK(inner.fired == 1);
  CHECK(since(start) == 0s);
}

ON_BOTH_SELECTORS("virtual time: zero timer that re-arms itself does not starve I/O") {
  TimedLoop<S> loop;
  struct Again {
    mote::Reactor& reactor;
    mote::Timer timer;
    int fired = 0, events = 0;
    void on_time() {
      ++fired;
      timer.arm(reactor, 0s, mote::Timer::Callback::of<&Again::on_time>(*this));
    }
    void on_event(mote::Readiness) { ++events; }
  } again{loop, {}};
  test::Pair pipe = test::pipe_pair();
  test::send_text(pipe.b.get(), "x");
  REQUIRE(loop.add(pipe.a.get(), mote::Interest::read, mote::Handler::template of<&Again::on_event>(again)));
  again.on_time();
  for (int turn = 1; turn <= 20; ++turn) {
    loop.turn(mote::unlimited);
    CHECK(again.fired == turn + 1);
    CHECK(again.events == turn);
  }
}

ON_BOTH_SELECTORS(
    "virtual time: cancel self, cancel another due timer, cancel twice, restart in callback, destroy in callback") {
  TimedLoop<S> loop;
  struct Acting {
    enum Act { cancel_self, cancel_other, restart, destroy, count };
    mote::Reactor& reactor;
    Act act;
    Noting* other;
    mote::Timer* own;
    int fired = 0;
    bool answer = true;
    void on_time() {
      ++fired;
      if (act == cancel_self) answer = own->cancel();
      if (act == cancel_other) answer = other->timer.cancel() && !other->timer.cancel();
      if (act == restart && fired == 1) own->arm(reactor, 0s, mote::Timer::Callback::of<&Acting::on_time>(*this));
      if (act == destroy) own->~Timer();
    }
  };
  for (int act = 0; act < Acting::count; ++act) {
    CAPTURE(act);
    alignas(mote::Timer) unsigned char storage[sizeof(mote::Timer)];
    auto* const timer = ::new (static_cast<void*>(storage)) mote::Timer;
    Noting other;
    Acting acting{loop, static_cast<typename Acting::Act>(act), &other, timer};
    timer->arm(loop, 1ms, mote::Timer::Callback::template of<&Acting::on_time>(acting));
    other.arm(loop, 1ms);
    loop.turn(1s);
    CHECK(acting.fired == 1);
    CHECK(acting.answer == (act != Acting::cancel_self));  // one that has fired is not armed
    CHECK(other.fired == (act == Acting::cancel_other ? 0 : 1));
    loop.turn();
    CHECK(acting.fired == (act == Acting::restart ? 2 : 1));
    if (act != Acting::destroy) timer->~Timer();
  }
}

ON_BOTH_SELECTORS("virtual time: storage of a cancelled timer reused in the same turn") {
  TimedLoop<S> loop;
  struct Reusing {
    mote::Reactor& reactor;
    Noting first, next;
    mote::Timer* reused = nullptr;
    int fired = 0;
    void on_time() {
      ++fired;
      reused->~Timer();  // due in this very turn, and cancelled by its destructor
      ::new (static_cast<void*>(reused)) mote::Timer;
      reused->arm(reactor, 5ms, next.callback());
    }
  } reusing{loop, {}, {}};
  alignas(mote::Timer) unsigned char storage[sizeof(mote::Timer)];
  reusing.reused = ::new (static_cast<void*>(storage)) mote::Timer;
  mote::Timer timer;
  const Instant start = mote::Clock::now();
  timer.arm(loop, 1ms, mote::Timer::Callback::of<&Reusing::on_time>(reusing));
  reusing.reused->arm(loop, 1ms, reusing.first.callback());
  loop.turn(1s);
  CHECK(reusing.fired == 1);
  loop.turn(1s);
  CHECK(reusing.first.fired == 0);
  CHECK(reusing.next.fired == 1);
  CHECK(reusing.next.at - start == 6ms);
  reusing.reused->~Timer();
}

ON_BOTH_SELECTORS("virtual time: periodic without drift; missed ticks counted") {
  TimedLoop<S> loop;
  struct Ticking {
    mote::Timer timer;
    int ticks = 0;
    Duration work{};
    Instant at{};
    void on_time() {
      ++ticks;
      at = mote::Clock::now();
      pass(work);
    }
  } ticking;
  const Instant start = mote::Clock::now();
  ticking.timer.arm_every(loop, 10ms, mote::Timer::Callback::of<&Ticking::on_time>(ticking));
  ticking.work = 3'141'592ns;  // each tick works for a while, and is late for nothing
  for (int tick = 1; tick <= 100; ++tick) {
    loop.turn(1s);
    REQUIRE(ticking.ticks == tick);
    REQUIRE(ticking.at - start >= tick * 10ms);
    REQUIRE(ticking.at - start <= tick * 10ms + lateness<S>);
    REQUIRE(ticking.timer.missed() == 0);
  }
  ticking.work = 0s;
  pass(34ms);  // 1010, 1020 and 1030 go by
  loop.turn(1s);
  CHECK(ticking.ticks == 101);
  CHECK(ticking.timer.missed() == 2);
  CHECK(ticking.timer.deadline() - start == 1040ms);
  loop.turn(1s);
  CHECK(ticking.ticks == 102);
  CHECK(ticking.timer.missed() == 0);
  CHECK(ticking.at - start >= 1040ms);
  CHECK(ticking.at - start <= 1040ms + lateness<S>);
}

ON_BOTH_SELECTORS("virtual time: a period of less than 1 ns counts as 1 ns, and missed ticks do not overflow") {
  TimedLoop<S> loop;
  Noting ticking;
  ticking.timer.arm_every(loop, 0s, ticking.callback());
  pass(24h);
  loop.turn();
  CHECK(ticking.fired == 1);
  CHECK(ticking.timer.missed() == INT32_MAX);
  CHECK(ticking.timer.deadline() == mote::Clock::now() + 1ns);
}

ON_BOTH_SELECTORS(
    "virtual time: a periodic timer whose deadline is before the epoch counts its missed ticks from there") {
  for (const Duration back : {Duration(2'000'000s), Duration::max()}) {
    TimedLoop<S> loop;
    Noting ticking;
    ticking.timer.arm_every(loop, 1s, ticking.callback());
    loop.turn();
    ticking.timer.rearm(-back);
    CHECK(ticking.timer.deadline() < Instant());
    const auto passed = static_cast<std::uint32_t>(Seam::state.now / 1'000'000'000);
    loop.turn();
    CHECK(ticking.fired == 1);
    CHECK(ticking.timer.missed() == passed);
    CHECK(ticking.timer.deadline() == Instant((passed + 1) * Duration(1s)));
    pass(1s);
    loop.turn();
    CHECK(ticking.fired == 2);
    CHECK(ticking.timer.missed() == 0);
  }
}

ON_BOTH_SELECTORS("virtual time: deadline in the past") {
  TimedLoop<S> loop;
  Noting past, long_past, beginning;
  past.timer.arm_at(loop, mote::Clock::now() - 1ns, past.callback());
  long_past.timer.arm_at(loop, mote::Clock::now() - 24h, long_past.callback());
  beginning.timer.arm_at(loop, Instant::min(), beginning.callback());
  const Instant start = mote::Clock::now();
  loop.turn(mote::unlimited);
  CHECK(beginning.place == 1);
  CHECK(long_past.place == 2);
  CHECK(past.place == 3);
  CHECK(since(start) == 0s);
}

ON_BOTH_SELECTORS("virtual time: wait beyond INT_MAX ms; 32-bit clamp") {
  TimedLoop<S> loop;
  for (const bool coarse : {false, true}) {
    CAPTURE(coarse);
    if (coarse) Seam::state.faults[0] = {Call::epoll_pwait2, 1, ENOSYS, UINT32_MAX};
    for (const Duration delay : {Duration(24h * 24), Duration(24h * 25), Duration(24h * 365), Duration(24h * 3650)}) {
      Noting late;
      const Instant start = mote::Clock::now();
      Seam::state.reset_counts();
      late.arm(loop, delay);
      REQUIRE(loop.run());  // until it has fired, and nothing is left
      CHECK(late.fired == 1);
      CHECK(late.at - start == delay);
      // The kernel's longest wait in milliseconds is 24.8 days; the wheel looks again every few hours at most.
      CHECK(Seam::state.waits() <= static_cast<std::uint32_t>(delay / 1h));
    }
  }
}

ON_BOTH_SELECTORS("virtual time: deadline addition overflow") {
  TimedLoop<S> loop;
  Noting never, end, soon;
  never.arm(loop, mote::unlimited);
  end.timer.arm_at(loop, Instant::max(), end.callback());
  CHECK(never.timer.deadline() == Instant::max());
  soon.arm(loop, 3ms);
  REQUIRE(loop.run_for(24h * 10));
  CHECK(soon.fired == 1);
  Seam::state.now = INT64_MAX - 5'000'000;
  Noting saturated;
  saturated.arm(loop, 10ms);
  CHECK(saturated.timer.deadline() == Instant::max());
  loop.turn(1ms);
  loop.turn(1ms);
  CHECK(never.fired + end.fired + saturated.fired == 0);
  mote::Timer periodic;
  periodic.arm_every(loop, mote::unlimited, never.callback());
  CHECK(periodic.deadline() == Instant::max());
}

ON_BOTH_SELECTORS("virtual time: sub-millisecond rounds up, no spin, never early") {
  TimedLoop<S> loop;
  for (const bool coarse : {false, true}) {
    CAPTURE(coarse);
    if (coarse) Seam::state.faults[0] = {Call::epoll_pwait2, 1, ENOSYS, UINT32_MAX};
    const Duration most = coarse ? Duration(999'999) : lateness<S>;
    for (const std::int64_t ns : {1, 999, 1'000, 999'999, 1'000'000, 1'000'001, 1'500'000, 2'999'999}) {
      CAPTURE(ns);
      Noting timer;
      const Instant start = mote::Clock::now();
      timer.arm(loop, Duration(ns));
      Seam::state.reset_counts();
      loop.turn(1s);
      CHECK(timer.fired == 1);
      CHECK(timer.at - start >= Duration(ns));
      CHECK(timer.at - start <= Duration(ns) + most);
      CHECK(Seam::state.waits() <= (coarse ? 2u : 1u));  // one more where epoll_pwait2 is found missing
    }
  }
}

ON_BOTH_SELECTORS("virtual time: a time-out of run_once and run_for is exact, rounded up, and never early") {
  TimedLoop<S> loop;
  for (const std::int64_t ns : {1, 999'999, 1'000'001, 77'000'000}) {
    CAPTURE(ns);
    Instant start = mote::Clock::now();
    loop.turn(Duration(ns));
    CHECK(since(start) >= Duration(ns));
    CHECK(since(start) <= Duration(ns) + lateness<S>);
    start = mote::Clock::now();
    REQUIRE(loop.run_for(Duration(ns)));
    CHECK(since(start) >= Duration(ns));
    CHECK(since(start) <= Duration(ns) + lateness<S>);
  }
  const Instant start = mote::Clock::now();
  loop.turn(0s);
  loop.turn(-1s);
  CHECK(since(start) == 0s);
}

// The virtual clock has nothing to do with the real ones: code that read another one would be off by decades.
ON_BOTH_SELECTORS("virtual time: wall-clock step has no effect") {
  TimedLoop<S> loop;
  Seam::state.now = 42;  // right after the machine was started
  Noting timer;
  timer.arm(loop, 1h);
  loop.turn(59min);
  CHECK(timer.fired == 0);
  loop.turn(2min);
  CHECK(timer.fired == 1);
  CHECK(timer.at >= Instant(42ns) + 1h);
  CHECK(timer.at <= Instant(42ns) + 1h + lateness<S>);
}

ON_BOTH_SELECTORS("virtual time: process stopped and continued") {
  TimedLoop<S> loop;
  Noting first, second, later, periodic;
  const Instant start = mote::Clock::now();
  second.arm(loop, 200ms);
  first.arm(loop, 100ms);
  later.arm(loop, 2h);
  periodic.timer.arm_every(loop, 1s, periodic.callback());
  Seam::state.jump = Duration(1h).count();  // the next wait, of 100 ms, is left after an hour
  loop.turn(mote::unlimited);
  CHECK(first.place == 1);
  CHECK(second.place == 2);
  CHECK(periodic.place == 3);
  CHECK(periodic.timer.missed() == 3599);
  CHECK(first.at - start == 1h);
  CHECK(later.fired == 0);
  loop.turn(mote::unlimited);
  CHECK(periodic.fired == 2);
  CHECK(periodic.at - start == 1h + 1s);
  periodic.timer.cancel();
  REQUIRE(loop.run());
  CHECK(later.at - start == 2h);
}

ON_BOTH_SELECTORS("virtual time: timeout and readiness in one turn: defined, neither lost") {
  TimedLoop<S> loop;
  struct Both {
    mote::Timer timer;
    char order[8] = {};
    int length = 0;
    void on_time() { order[length++] = 't'; }
    void on_event(mote::Readiness) { order[length++] = 'e'; }
  } both;
  test::Pair pipe = test::pipe_pair();
  REQUIRE(loop.add(pipe.a.get(), mote::Interest::read, mote::Handler::template of<&Both::on_event>(both)));
  both.timer.arm(loop, 5ms, mote::Timer::Callback::of<&Both::on_time>(both));
  Seam::state.context = &pipe;
  Seam::state.before_wait = [](void* context) { test::send_text(static_cast<test::Pair*>(context)->b.get(), "x"); };
  Seam::state.jump = Duration(5ms).count();  // while it was about to return for the event
  loop.turn(mote::unlimited);
  Seam::state.before_wait = nullptr;
  CHECK(doctest::String(both.order) == doctest::String("et"));  // events first, then timers
}

// Time jumps in every phase of a turn: a task, an event's handler and a timer may take as long as they like.
ON_BOTH_SELECTORS(
    "time jumps: a step or a handler that takes long delays timers, but loses none and fires none early") {
  TimedLoop<S> loop;
  struct Slow {
    int events = 0;
    void on_event(mote::Readiness) {
      ++events;
      pass(1h);
    }
  } slow;
  test::Pair pipe = test::pipe_pair();
  test::send_text(pipe.b.get(), "x");
  const auto registration =
      loop.add(pipe.a.get(), mote::Interest::read, mote::Handler::template of<&Slow::on_event>(slow));
  REQUIRE(registration);
  Noting during, after;
  during.arm(loop, 30min);
  after.arm(loop, 90min);
  const Instant start = mote::Clock::now();
  loop.turn(mote::unlimited);  // an event, and an hour
  loop.turn(mote::unlimited);
  CHECK(slow.events == 2);
  CHECK(during.fired == 1);
  CHECK(during.at - start <= 2h);
  loop.turn(mote::unlimited);
  CHECK(after.fired == 1);
  CHECK(after.at - start >= 90min);
}

ON_BOTH_SELECTORS("virtual time: re-arming an idle timeout reads no clock and makes no system call") {
  TimedLoop<S> loop;
  Noting idle;
  const Instant start = mote::Clock::now();
  idle.arm(loop, 10ms);
  Seam::state.reset_counts();
  for (int i = 0; i < 1000; ++i) idle.timer.rearm(10ms);
  CHECK(Seam::state.count(Call::clock) <= 1);
  CHECK(Seam::state.system_calls() == 0);
  for (int i = 1; i <= 5; ++i) {
    REQUIRE(loop.run_for(4ms));
    CHECK(idle.fired == 0);
    idle.timer.rearm(10ms);
  }
  CHECK(idle.timer.deadline() - start == 30ms);
  REQUIRE(loop.run());
  CHECK(idle.fired == 1);
  CHECK(idle.at - start == 30ms);
  idle.timer.arm(loop, 10ms, idle.callback());
  idle.timer.rearm(2ms);  // to an earlier time, too
  loop.turn(1s);
  CHECK(idle.fired == 2);
  CHECK(idle.at - start == 32ms);
}

ON_BOTH_SELECTORS("virtual time: EINTR of a selector's wait: the remaining time is computed anew") {
  VirtualTime time;
  typename S::template Selector<4> selector;
  REQUIRE(selector.open());
  for (const Call call : {Call::epoll_pwait2, Call::poll}) Seam::state.faults[call == Call::poll] = {call, 1, EINTR, 3};
  struct Log {
    std::int64_t timeouts[8];  // before the wait of that number
    int count = 0;
  } log;
  Seam::state.context = &log;
  Seam::state.before_wait = [](void* context) {
    auto& all = *static_cast<Log*>(context);
    if (all.count < 8) all.timeouts[all.count++] = Seam::state.last_timeout;
    pass(30ms);
  };
  const Instant start = mote::Clock::now();
  mote::Ready ready[4];
  const auto count = selector.wait(ready, 100ms);
  Seam::state.before_wait(&log);
  REQUIRE(count);
  CHECK(*count == 0);
  CHECK(since(start) >= 100ms);
  REQUIRE(log.count >= 5);
  for (int i = 1; i <= 4; ++i) CHECK(Duration(log.timeouts[i]) == 100ms - (i - 1) * 30ms);
}

TEST_CASE(
    "epoll_pwait2 missing (ENOSYS) and refused (EPERM) is detected once, and milliseconds are used from then on") {
  for (const int error : {ENOSYS, EPERM}) {
    CAPTURE(error);
    TimedLoop<test::OnEpoll> loop;
    Seam::state.faults[0] = {Call::epoll_pwait2, 1, error, UINT32_MAX};
    Seam::state.reset_counts();
    for (std::uint32_t i = 1; i <= 10; ++i) {
      Noting timer;
      timer.arm(loop, 1'500us);
      const Instant start = mote::Clock::now();
      loop.turn(1s);
      CHECK(timer.fired == 1);
      CHECK(since(start) == 2ms);
      CHECK(Seam::state.count(Call::epoll_pwait2) == 1);
      CHECK(Seam::state.count(Call::epoll_wait) == i);
    }
  }
}

TEST_CASE("epoll_pwait2 is not asked for where milliseconds will do: no time-out at all, or none to wait for") {
  TimedLoop<test::OnEpoll> loop;
  test::Pair pipe = test::pipe_pair();
  struct {
    void on_event(mote::Readiness) {}
  } nothing;
  REQUIRE(loop.add(pipe.a.get(), mote::Interest::read, mote::Handler::of<&decltype(nothing)::on_event>(nothing)));
  test::send_text(pipe.b.get(), "x");
  Seam::state.reset_counts();
  loop.turn(0s);
  loop.turn(mote::unlimited);
  CHECK(Seam::state.count(Call::epoll_wait) == 2);
  CHECK(Seam::state.count(Call::epoll_pwait2) == 0);
  CHECK(Seam::state.count(Call::clock) == 0);
}

namespace {

// Random arming, cancelling and advancing, against a plain array that is searched from end to end.
template <class S> struct TimerModel {
  static constexpr int size = 150;
  struct Entry {
    TimerModel* model = nullptr;
    mote::Timer timer;
    bool armed = false;
    std::int64_t deadline = 0;
    std::uint32_t order = 0;
    void on_time() { model->fire(*this); }
  };
  TimedLoop<S> loop;
  Entry entries[size];
  std::uint32_t order = 0;
  int expected[size], expected_count = 0, fired_count = 0;
  bool right = true;

  TimerModel() {
    for (Entry& entry : entries) entry.model = this;
  }
  static Duration random_delay() {
    const std::uint32_t number = random_number() >> 3;
    switch (random_number() % 6) {
      case 0: return Duration(number % 3);
      case 1: return Duration(number % 3'000'000);
      case 2: return 1ms * (number % 40);
      case 3: return 1ms * (number % 5'000);
      case 4: return 1s * (number % 10'000);
      default: return 1s * (number % 200'000);
    }
  }
  void note(Entry& entry) {
    entry.armed = true;
    entry.deadline = entry.timer.deadline().time_since_epoch().count();
    entry.order = ++order;
  }
  void arm(Entry& entry) {
    const Duration delay = random_delay();
    entry.timer.arm(loop, delay, mote::Timer::Callback::of<&Entry::on_time>(entry));
    right = right && entry.timer.deadline() == mote::Clock::now() + delay;
    note(entry);
  }
  void arm_in_the_past(Entry& entry) {
    const Instant deadline = mote::Clock::now() - random_delay();
    entry.timer.arm_at(loop, deadline, mote::Timer::Callback::of<&Entry::on_time>(entry));
    note(entry);
  }
  void rearm(Entry& entry) {
    if (entry.order == 0) return;  // it needs an earlier arm
    const Duration delay = random_delay();
    entry.timer.rearm(delay);
    right = right && entry.timer.deadline() == loop.now() + delay;
    note(entry);
  }
  void cancel(Entry& entry) {
    right = right && entry.timer.cancel() == entry.armed;
    entry.armed = false;
  }
  // All that is due at `time`, sorted by (deadline, order).
  void expect(std::int64_t time) {
    expected_count = 0;
    fired_count = 0;
    for (int i = 0; i < size; ++i) {
      if (!entries[i].armed || entries[i].deadline > time) continue;
      int place = expected_count++;
      for (; place > 0 && before(entries[i], entries[expected[place - 1]]); --place)
        expected[place] = expected[place - 1];
      expected[place] = i;
    }
  }
  static bool before(const Entry& a, const Entry& b) {
    return a.deadline != b.deadline ? a.deadline < b.deadline : a.order < b.order;
  }
  void fire(Entry& entry) {
    const auto index = static_cast<int>(&entry - entries);
    entry.armed = false;
    right =
        right && entry.deadline <= Seam::state.now && fired_count < expected_count && expected[fired_count] == index;
    ++fired_count;
    if (index % 8 == 0) arm(entry);  // also from its own callback
  }
  void look() {
    pass(random_delay() / 8);
    expect(Seam::state.now);
    loop.turn();
    right = right && fired_count == expected_count;
  }
  void wait_for_the_next() {
    std::int64_t next = INT64_MAX;
    for (const Entry& entry : entries) {
      if (entry.armed && entry.deadline < next) next = entry.deadline;
    }
    if (next == INT64_MAX) return;
    if (next < Seam::state.now) next = Seam::state.now;
    for (int turns = 0; fired_count == 0 && right; ++turns) {
      right = turns < 30;
      expect(next + lateness<S>.count());  // what is due within the rounding may come with it
      loop.turn(mote::unlimited);
      right = right && Seam::state.now <= next + lateness<S>.count() && (fired_count != 0) == (Seam::state.now >= next);
    }
    for (int i = fired_count; i < expected_count; ++i) right = right && entries[expected[i]].deadline > Seam::state.now;
    fired_count = 0;
  }
};

}  // namespace

ON_BOTH_SELECTORS("virtual time: 100,000 random arm/cancel/advance operations against a sorted model") {
  TimerModel<S> model;
  for (int operation = 0; operation < 100'000; ++operation) {
    auto& entry = model.entries[random_number() % TimerModel<S>::size];
    switch (random_number() % 8) {
      case 3: model.rearm(entry); break;
      case 4: model.cancel(entry); break;
      case 5: model.arm_in_the_past(entry); break;
      case 6:
        model.look();
        model.fired_count = 0;
        break;
      case 7: model.wait_for_the_next(); break;
      default: model.arm(entry);
    }
    CAPTURE(operation);
    REQUIRE(model.right);
  }
  for (auto& entry : model.entries) entry.timer.cancel();
}
