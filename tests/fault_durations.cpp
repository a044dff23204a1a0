// SPDX-License-Identifier: MIT
// Rooms: system/clock.hpp, reactor/reactor.hpp, selector/selector.hpp, time/timer.hpp.
// Durations in every unit, up to the longest and the shortest, as arguments of every function that takes one: none
// overflows. On a virtual clock.
#include <optional>
#include <string>

#include "support/operations.hpp"
#include "support/virtual_time.hpp"

using mote::AnyDuration;
using mote::Duration;
using mote::Instant;
using namespace std::chrono_literals;
using test::error_of;
using test::VirtualTime;

namespace {

using Seam = mote::FaultSystem;

template <class S> struct TimedLoop : VirtualTime, test::Loop<S, 8> {
  const Instant start = mote::Clock::now();
  Duration passed() const { return mote::Clock::now() - start; }
  // Moves the clock to that time after the start, and lets everything happen that is due then.
  void go_to(Duration time) {
    Seam::state.now = (start + time).time_since_epoch().count();
    test::turn(*this, 3);
  }
};

// What a test waits at most for what is still further away: 200 years.
constexpr Duration horizon = std::chrono::hours(200 * 365 * 24);
constexpr Duration hour = 1h;
// The same where it takes real waits: poll(2) waits for 24 days at most.
constexpr Duration longest_wait = 24h * 400;

// ---- the units ----

template <class Rep, class Period = std::ratio<1>> using Unit = std::chrono::duration<Rep, Period>;
using Days = std::ratio<86400>;
using Years = std::ratio<31556952>;
using Sevenths = std::ratio<7, 1000>;                   // of 7 ms
using Centuries = std::ratio<3'155'695'200>;            // 2 fit
using Millennia = std::ratio<31'556'952'000>;           // not even one fits
using Ages = std::ratio<1'000'000'000'000'000'000, 1>;  // std::exa
template <class F> void for_each_unit(F&& visit) {
  visit(std::chrono::nanoseconds());
  visit(std::chrono::microseconds());
  visit(std::chrono::milliseconds());
  visit(std::chrono::seconds());
  visit(std::chrono::minutes());
  visit(std::chrono::hours());
  visit(Unit<std::int64_t, Days>());
  visit(Unit<std::int64_t, Years>());
  visit(Unit<std::int32_t>());
  visit(Unit<std::int32_t, std::milli>());
  visit(Unit<std::int32_t, Days>());
  visit(Unit<std::uint32_t, std::ratio<3600>>());
  visit(Unit<std::uint64_t, std::nano>());
  visit(Unit<std::uint64_t, std::milli>());
  visit(Unit<std::int16_t, Years>());
  visit(Unit<std::int8_t, Centuries>());
  visit(Unit<std::uint8_t, std::ratio<3600>>());
  visit(Unit<std::int64_t, Sevenths>());
  visit(Unit<std::int64_t, Centuries>());
  visit(Unit<std::int32_t, Millennia>());
  visit(Unit<std::int64_t, Ages>());
}

template <class D> constexpr std::int64_t tick_of() { return mote::detail::nanoseconds_per_tick<typename D::period>(); }

// Visits the counts of a unit at which something may go wrong.
template <class D, class F> void for_each_count(F&& visit) {
  using Rep = typename D::rep;
  const auto limit = static_cast<std::uint64_t>(INT64_MAX / tick_of<D>());
  const auto most = static_cast<std::uint64_t>(D::max().count());
  visit(D::max());
  visit(D::min());
  visit(D::zero());
  visit(D(1));
  if (D::min().count() != 0) visit(D(static_cast<Rep>(-1)));
  for (const std::uint64_t count : {limit - 1, limit, limit + 1}) {
    if (count > most) continue;
    visit(D(static_cast<Rep>(count)));
    if (D::min().count() != 0) visit(D(static_cast<Rep>(-static_cast<std::int64_t>(count))));
  }
}

// What it is in nanoseconds, computed in another way than the library does: by long division.
template <class D> Duration expected(D duration) {
  const bool negative = duration < D::zero();
  const Duration end = negative ? Duration::min() : Duration::max();
  auto count = static_cast<std::uint64_t>(duration.count());
  if (negative) count = 0 - count;
  std::uint64_t ns = 0;
  const auto tick = static_cast<std::uint64_t>(tick_of<D>());
  if (tick == INT64_MAX) return count == 0 ? Duration::zero() : end;
  for (int bit = 63; bit >= 0; --bit) {  // ns = count * tick, from the highest bit of the count
    if (ns > INT64_MAX / 2) return end;
    ns *= 2;
    if ((count >> bit & 1u) != 0) ns += tick;
    if (ns > INT64_MAX) return end;
  }
  return negative ? -Duration(static_cast<std::int64_t>(ns)) : Duration(static_cast<std::int64_t>(ns));
}

// ---- at compile time ----

#ifdef __SIZEOF_INT128__
__extension__ typedef __int128 Wide;

template <class D> constexpr bool converts(D duration) {
  const Wide exact = Wide{duration.count()} * 1'000'000'000 * D::period::num / D::period::den;
  const Wide most = INT64_MAX, least = INT64_MIN;
  const Wide clamped = exact > most ? most : exact < least ? least : exact;
  return Duration(AnyDuration(duration)).count() == static_cast<std::int64_t>(clamped);
}
// The ends, what is near the limits, and numbers of all lengths.
template <class Rep, class Period> constexpr bool all_convert() {
  using D = std::chrono::duration<Rep, Period>;
  bool right = converts(D::max()) && converts(D::min()) && converts(D::zero()) && converts(D(1));
  const auto limit = static_cast<std::uint64_t>(INT64_MAX / mote::detail::nanoseconds_per_tick<Period>());
  for (std::uint64_t count = limit - 2; count != limit + 3; ++count) {
    right = right && converts(D(static_cast<Rep>(count))) && converts(D(static_cast<Rep>(0 - count)));
  }
  std::uint64_t number = 88172645463325252u;  // xorshift
  for (int i = 0; i < 64; ++i) {
    number ^= number << 13;
    number ^= number >> 7;
    number ^= number << 17;
    right = right && converts(D(static_cast<Rep>(number >> (i % 64))));
    right = right && converts(D(static_cast<Rep>(0 - (number >> (i % 64)))));
  }
  return right;
}
template <class Period> constexpr bool all_of_period() {
  return all_convert<std::int8_t, Period>() && all_convert<std::uint8_t, Period>() &&
         all_convert<std::int16_t, Period>() && all_convert<std::uint16_t, Period>() &&
         all_convert<std::int32_t, Period>() && all_convert<std::uint32_t, Period>() &&
         all_convert<std::int64_t, Period>() && all_convert<std::uint64_t, Period>();
}
static_assert(all_of_period<std::nano>());
static_assert(all_of_period<std::micro>());
static_assert(all_of_period<std::milli>());
static_assert(all_of_period<std::ratio<1>>());
static_assert(all_of_period<std::ratio<60>>());
static_assert(all_of_period<std::ratio<3600>>());
static_assert(all_of_period<Days>());
static_assert(all_of_period<Years>());
static_assert(all_of_period<Sevenths>());
static_assert(all_of_period<std::ratio<1, 512>>());
static_assert(all_of_period<Centuries>());
#endif

static_assert(Duration(AnyDuration(std::chrono::hours::max())) == mote::unlimited, "the longest is no limit");
static_assert(Duration(AnyDuration(Unit<int, Ages>(1))) == Duration::max(), "one tick may be too long");
static_assert(Duration(AnyDuration(Unit<int, Ages>(-1))) == Duration::min());
static_assert(Duration(AnyDuration(Unit<int, Ages>(0))) == Duration::zero());
static_assert(Duration(AnyDuration()) == Duration::zero());
static_assert(mote::saturating_add(Instant(1ns), std::chrono::hours::max()) == Instant::max());
static_assert(mote::saturating_add(Instant(-1ns), std::chrono::hours::min()) == Instant::min());
static_assert(mote::saturating_add(Instant(1ns), 1us) == Instant(1001ns));

struct Own {  // a type of the user's
  constexpr operator Duration() const { return 5s; }
};
static_assert(Duration(AnyDuration(Own())) == 5s);

template <class D> constexpr bool is_taken = std::is_convertible<D, AnyDuration>::value;
static_assert(is_taken<Duration> && is_taken<std::chrono::hours> && is_taken<Unit<bool>>);
static_assert(!is_taken<Unit<double>> && !is_taken<Unit<float, std::milli>>, "floating-point numbers: duration_cast");
static_assert(!is_taken<Unit<int, std::pico>> && !is_taken<Unit<int, std::ratio<1, 3>>>, "parts of a nanosecond");
static_assert(!is_taken<int> && !is_taken<long long> && !is_taken<double>, "a number has no unit");

// ---- every function that takes a duration ----

struct Counter {
  int calls = 0;
  void operator()() { ++calls; }
};
using Timing = std::optional<mote::GracefulShutdown>;

// Calls them with one duration, in its own unit.
struct Calls {
  virtual std::string describe() const = 0;
  virtual void arm(mote::Reactor& loop, mote::Timer& timer, Counter& count) const = 0;
  virtual void arm_every(mote::Reactor& loop, mote::Timer& timer, Counter& count) const = 0;
  virtual void arm_at(mote::Reactor& loop, mote::Timer& timer, Counter& count) const = 0;
  virtual void rearm(mote::Timer& timer) const = 0;
  virtual bool sleep(mote::TaskTimer& timer, mote::Task& task) const = 0;
  virtual bool tick(mote::TaskTimer& timer, mote::Task& task) const = 0;
  virtual bool time_out(mote::TaskTimer& timer, mote::Task& task) const = 0;
  virtual bool open(mote::Watchdog& watchdog, mote::Reactor& loop, bool by_path) const = 0;
  virtual void set_threshold(mote::Reactor& loop) const = 0;
  virtual bool run_for(mote::Reactor& loop) const = 0;
  virtual bool run_once(mote::Reactor& loop) const = 0;
  virtual mote::Result<std::size_t> wait(mote::Selector& selector, int way) const = 0;
  virtual void make(mote::Reactor& loop, Timing& shutdown, bool is_grace) const = 0;
 protected:
  ~Calls() = default;
};

template <class D> struct CallsWith final : Calls {
  explicit CallsWith(D with) : duration(with) {}
  D duration;
  mutable mote::Event never;

  std::string describe() const override {
    return std::to_string(duration.count()) + " of " + std::to_string(tick_of<D>()) + " ns";
  }
  void arm(mote::Reactor& loop, mote::Timer& timer, Counter& count) const override { timer.arm(loop, duration, count); }
  void arm_every(mote::Reactor& loop, mote::Timer& timer, Counter& count) const override {
    timer.arm_every(loop, duration, count);
  }
  void arm_at(mote::Reactor& loop, mote::Timer& timer, Counter& count) const override {
    timer.arm_at(loop, std::chrono::time_point<mote::Clock, D>(duration), count);
  }
  void rearm(mote::Timer& timer) const override { timer.rearm(duration); }
  bool sleep(mote::TaskTimer& timer, mote::Task& task) const override {
    return timer.sleep(duration).poll(task).ready();
  }
  bool tick(mote::TaskTimer& timer, mote::Task& task) const override { return timer.tick(duration).poll(task).ready(); }
  bool time_out(mote::TaskTimer& timer, mote::Task& task) const override {
    auto poll = mote::with_timeout(timer, duration, never.wait()).poll(task);
    return poll.ready() && error_of(*poll) == ETIMEDOUT;
  }
  bool open(mote::Watchdog& watchdog, mote::Reactor& loop, bool by_path) const override {
    if (by_path) return static_cast<bool>(watchdog.open(loop, "/dev/null", duration));
    return static_cast<bool>(watchdog.open(loop, mote::Fd(::open("/dev/null", O_WRONLY | O_CLOEXEC)), duration));
  }
  void set_threshold(mote::Reactor& loop) const override { loop.set_slow_step_threshold(duration); }
  bool run_for(mote::Reactor& loop) const override { return static_cast<bool>(loop.run_for(duration)); }
  bool run_once(mote::Reactor& loop) const override { return static_cast<bool>(loop.run_once(duration)); }
  mote::Result<std::size_t> wait(mote::Selector& selector, int way) const override {
    mote::Ready ready[2];
    if (way == 0) return selector.wait(ready, 2, duration);
    if (way == 1) return selector.wait(ready, duration);
    return selector.wait_once(ready, 2, duration);
  }
  void make(mote::Reactor& loop, Timing& shutdown, bool is_grace) const override {
    if (is_grace) shutdown.emplace(loop, mote::SignalSet(), duration, 0s);
    else shutdown.emplace(loop, mote::SignalSet(), 0s, duration);
  }
};

// Calls check(calls, expected) for all of them.
using Check = mote::Delegate<void(const Calls&, Duration)>;
void for_each_duration(Check check) {
  for_each_unit([&](auto unit) {
    for_each_count<decltype(unit)>([&](auto duration) {
      const CallsWith<decltype(duration)> calls(duration);
      INFO(calls.describe());
      check(calls, expected(duration));
    });
  });
}

// ---- what fires after a duration ----

using Happened = mote::Delegate<bool()>;

// Goes to just before the time at which it is to happen, where it must not have happened, and then there.
template <class S> void check_happens_at(TimedLoop<S>& loop, Duration time, Happened happened) {
  if (time > Duration::zero()) {
    const Duration before = time > horizon ? horizon : time - 1ns;
    if (before > Duration::zero()) loop.go_to(before);
    CHECK_FALSE(happened());
    if (time > horizon) return;
    loop.go_to(time);
  } else {
    loop.go_to(Duration::zero());
  }
  CHECK(happened());
}

// `arm` arms a timer, to fire after `time`.
using Arm = mote::Delegate<void(mote::Reactor&, mote::Timer&, Counter&)>;
template <class S> void check_timer(Duration time, Arm arm) {
  TimedLoop<S> loop;
  Counter count;
  mote::Timer timer;
  arm(loop, timer, count);
  const auto has_fired = [&] { return count.calls != 0; };
  check_happens_at(loop, time, has_fired);
}

ON_BOTH_SELECTORS("durations: a timer fires after every duration, in every unit, and never early") {
  const auto check = [](const Calls& calls, Duration time) {
    const auto arm = [&](mote::Reactor& loop, mote::Timer& timer, Counter& count) { calls.arm(loop, timer, count); };
    check_timer<S>(time, arm);
  };
  for_each_duration(check);
}

ON_BOTH_SELECTORS("durations: a timer that is put off by every duration") {
  const auto check = [](const Calls& calls, Duration time) {
    const auto rearm = [&](mote::Reactor& loop, mote::Timer& timer, Counter& count) {
      timer.arm(loop, hour, count);
      test::turn(loop);
      calls.rearm(timer);
    };
    check_timer<S>(time, rearm);
  };
  for_each_duration(check);
}

ON_BOTH_SELECTORS("durations: a periodic timer with every period; none is shorter than a nanosecond") {
  const auto check = [](const Calls& calls, Duration time) {
    const auto arm = [&](mote::Reactor& loop, mote::Timer& timer, Counter& count) {
      calls.arm_every(loop, timer, count);
    };
    check_timer<S>(time > Duration::zero() ? time : Duration(1), arm);
  };
  for_each_duration(check);
}

ON_BOTH_SELECTORS("durations: a timer at every instant, counted in every unit") {
  const auto check = [](const Calls& calls, Duration time) {
    const auto arm = [&](mote::Reactor& loop, mote::Timer& timer, Counter& count) { calls.arm_at(loop, timer, count); };
    const VirtualTime virtual_time;
    const Duration start = mote::Clock::now().time_since_epoch();
    check_timer<S>(time > start ? time - start : Duration::zero(), arm);
  };
  for_each_duration(check);
}

// A task that polls an operation until it has completed.
using PollIt = mote::Delegate<bool(mote::Task&)>;
struct Polls {
  PollIt poll;
  mote::Step step(mote::Task& task) { return poll(task) ? mote::done() : mote::Step(mote::pending); }
};
template <class S> void check_operation(Duration time, PollIt poll) {
  TimedLoop<S> loop;
  mote::TaskPool<Polls, 1> pool;
  REQUIRE(pool.spawn(loop, poll));
  test::turn(loop);
  const auto has_ended = [&] { return loop.stats().tasks == 0; };
  check_happens_at(loop, time, has_ended);
}

ON_BOTH_SELECTORS("durations: a sleep and a time limit of every duration") {
  const auto check = [](const Calls& calls, Duration time) {
    mote::TaskTimer timer;
    const auto sleep = [&](mote::Task& task) { return calls.sleep(timer, task); };
    check_operation<S>(time, sleep);
    const auto time_out = [&](mote::Task& task) { return calls.time_out(timer, task); };
    check_operation<S>(time, time_out);
  };
  for_each_duration(check);
}

ON_BOTH_SELECTORS("durations: a tick of every period; none is shorter than a nanosecond") {
  const auto check = [](const Calls& calls, Duration time) {
    mote::TaskTimer timer;
    const auto tick = [&](mote::Task& task) { return calls.tick(timer, task); };
    check_operation<S>(time > Duration::zero() ? time : Duration(1), tick);
  };
  for_each_duration(check);
}

ON_BOTH_SELECTORS("durations: a watchdog is fed after every period; without one it is not") {
  const auto check = [](const Calls& calls, Duration time) {
    for (const bool by_path : {true, false}) {
      TimedLoop<S> loop;
      mote::Watchdog watchdog;
      REQUIRE(calls.open(watchdog, loop, by_path));
      const auto is_fed = [&] { return watchdog.fed() != 0; };
      if (time > Duration::zero()) {
        check_happens_at(loop, time, is_fed);
      } else {
        loop.go_to(hour);
        CHECK_FALSE(is_fed());
      }
    }
  };
  for_each_duration(check);
}

ON_BOTH_SELECTORS("durations: a step is slow from every threshold on; zero or less is off") {
  const auto check = [](const Calls& calls, Duration time) {
    TimedLoop<S> loop;
    int slow = 0;
    const auto observer = [&](const mote::Observation& seen) { slow += seen.kind == mote::Observation::slow_step; };
    loop.observe(observer);
    calls.set_threshold(loop);
    const auto body = [](mote::Task&) {
      Seam::state.now += hour.count();
      return mote::done();
    };
    mote::TaskPool<test::Plain, 1> pool;
    REQUIRE(pool.spawn(loop, test::Body(body)));
    test::turn(loop);
    CHECK(slow == (time > Duration::zero() && time <= hour ? 1 : 0));
  };
  for_each_duration(check);
}

// ---- what waits for a duration ----

// The kernel's answer to a wait may come later than asked for by less than this.
template <class S> constexpr Duration lateness = std::is_same<S, test::OnPoll>::value ? Duration(999'999) : Duration(0);
constexpr Duration longest_of_poll = std::chrono::milliseconds(INT32_MAX);

template <class S> bool is_near(Duration passed, Duration time) {
  return passed >= time && passed <= time + lateness<S>;
}
Duration between_zero_and(Duration most, Duration time) {
  if (time < Duration::zero()) return Duration::zero();
  return time < most ? time : most;
}

// A run that has something to do only after the longest wait.
template <class S> struct EndedLoop : TimedLoop<S> {
  mote::Timer end;
  EndedLoop() { end.arm(*this, longest_wait, mote::Timer::Callback::of<&mote::Reactor::stop>(*this)); }
};

ON_BOTH_SELECTORS("durations: run_for() lasts as long as it is told, in every unit") {
  const auto check = [](const Calls& calls, Duration time) {
    EndedLoop<S> loop;
    REQUIRE(calls.run_for(loop));
    CHECK(is_near<S>(loop.passed(), between_zero_and(longest_wait, time)));
  };
  for_each_duration(check);
}

ON_BOTH_SELECTORS("durations: run_once() waits as long as it is told, in every unit") {
  const auto check = [](const Calls& calls, Duration time) {
    EndedLoop<S> loop;
    REQUIRE(calls.run_once(loop));
    const Duration most = std::is_same<S, test::OnPoll>::value ? longest_of_poll : longest_wait;
    CHECK(is_near<S>(loop.passed(), between_zero_and(most, time)));
  };
  for_each_duration(check);
}

ON_BOTH_SELECTORS("durations: a selector waits as long as it is told, in every unit") {
  const auto check = [](const Calls& calls, Duration time) {
    for (int way = 0; way < 3; ++way) {
      // The wait is ended at once by data, and what the kernel was asked for is looked at.
      const VirtualTime virtual_time;
      test::Pair pipe = test::pipe_pair();
      typename S::template Selector<2> selector;
      REQUIRE(selector.open());
      REQUIRE(selector.add(pipe.a.get(), mote::Interest::read, 7));
      REQUIRE(test::send_text(pipe.b.get(), "x") == 1);
      const auto count = calls.wait(selector, way);
      REQUIRE(count);
      CHECK(*count == 1);
      const Duration asked(Seam::state.last_timeout);
      if (time == mote::unlimited) CHECK(asked == -1ns);
      else if (std::is_same<S, test::OnPoll>::value && time > longest_of_poll) CHECK(asked == longest_of_poll);
      else CHECK(is_near<S>(asked, between_zero_and(mote::unlimited, time)));
    }
  };
  for_each_duration(check);
}

// ---- a shutdown ----

// Waits for what never comes, and notes when it was cancelled, and when it was destroyed.
struct Stubborn : mote::StateMachine {
  mote::Event& never;
  Instant& cancelled;
  Instant& destroyed;
  mote::Result<void> got;

  mote::Step step() {
    MOTE_BEGIN();
    for (;;) {
      MOTE_AWAIT(got, never.wait());
      cancelled = mote::Clock::now();
    }
    MOTE_END();
  }
  Stubborn(mote::Event& event, Instant& at, Instant& end) : never(event), cancelled(at), destroyed(end) {}
  ~Stubborn() { destroyed = mote::Clock::now(); }
};

ON_BOTH_SELECTORS("durations: a grace period and a clean-up period of every duration") {
  const auto check = [](const Calls& calls, Duration time) {
    for (const bool is_grace : {true, false}) {
      EndedLoop<S> loop;
      mote::Event never;
      Instant cancelled, destroyed;
      mote::TaskPool<Stubborn, 1> pool;
      REQUIRE(pool.spawn(loop, never, cancelled, destroyed));
      Timing shutdown;
      calls.make(loop, shutdown, is_grace);
      shutdown->request();
      const auto report = shutdown->run();
      REQUIRE(report);
      CHECK(report->destroyed == 1);
      const Instant at = is_grace ? cancelled : destroyed;
      CHECK(is_near<S>(at - loop.start, between_zero_and(longest_wait, time)));
    }
  };
  for_each_duration(check);
}

}  // namespace
