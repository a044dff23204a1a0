// SPDX-License-Identifier: MIT
// Rooms: time/timer.hpp.
// Timers on the real clock. No test says how late one may be, only that it is never early and always comes. What needs
// a clock that jumps is in fault_timer.cpp; the random operations against a model are in test_timing_wheel.cpp.
#include <algorithm>
#include <limits>
#include <optional>
#include <vector>

#include "support/child.hpp"
#include "support/harness.hpp"

namespace {

using mote::Delegate;
using mote::Instant;
using mote::Interest;
using mote::Readiness;
using mote::Timer;
using test::Loop;
using namespace std::chrono_literals;

// Uses up time, as a slow callback does. Not a means of synchronisation: what is tested is that time has gone by.
void be_busy_until(Instant end) {
  while (mote::Clock::now() < end) {}
}
void be_busy_for(mote::Duration duration) { be_busy_until(mote::Clock::now() + duration); }

// Counts its calls, and notes whether one came before its time.
struct Recorder {
  Timer timer;
  int fired = 0;
  bool early = false;
  Instant deadline{};

  Timer::Callback callback() { return Timer::Callback::of<&Recorder::note>(*this); }
  void arm(mote::Reactor& reactor, mote::Duration delay) {
    timer.arm(reactor, delay, callback());
    deadline = timer.deadline();
  }
  void note() {
    ++fired;
    early = early || mote::Clock::now() < deadline;
  }
};

}  // namespace

ON_BOTH_SELECTORS("timers: one fires once, at its time or later") {
  Loop<S> loop;
  Recorder recorder;
  const Instant before = mote::Clock::now();
  recorder.arm(loop, 3ms);
  CHECK(recorder.timer.armed());
  CHECK(recorder.timer.deadline() >= before + 3ms);
  CHECK(loop.next_deadline() <= recorder.timer.deadline());
  REQUIRE(loop.run());  // ends, since nothing else is left to wait for
  CHECK(recorder.fired == 1);
  CHECK_FALSE(recorder.early);
  CHECK_FALSE(recorder.timer.armed());
  CHECK(mote::Clock::now() >= before + 3ms);
  CHECK(loop.stats().timers_fired == 1);
  CHECK(loop.next_deadline() == Instant::max());
}

ON_BOTH_SELECTORS("timers: equal deadlines in arming order") {
  Loop<S> loop;
  std::vector<int> fired;
  struct Entry {
    Timer timer;
    std::vector<int>* log = nullptr;
    int number = 0;
    void note() { log->push_back(number); }
  };
  std::array<Entry, 100> entries;
  const Instant deadline = mote::Clock::now() + 2ms;
  for (int i = 0; i < 100; ++i) {
    Entry& entry = entries[static_cast<std::size_t>(i * 37 % 100)];
    entry.log = &fired;
    entry.number = i;
    entry.timer.arm_at(loop, deadline, Timer::Callback::of<&Entry::note>(entry));
  }
  REQUIRE(loop.run());
  REQUIRE(fired.size() == 100);
  CHECK(std::is_sorted(fired.begin(), fired.end()));
}

ON_BOTH_SELECTORS("timers: those due together fire in the order of their deadlines, put off or not") {
  Loop<S> loop;
  std::vector<int> fired;
  std::array<Timer, 4> timers;
  auto first = [&] { fired.push_back(0); };
  auto second = [&] { fired.push_back(1); };
  auto third = [&] { fired.push_back(2); };
  auto fourth = [&] { fired.push_back(3); };
  REQUIRE(loop.run_once(0ns));
  timers[3].arm(loop, 30ms, fourth);
  timers[2].arm(loop, 2ms, third);
  timers[0].arm(loop, 5ms, first);
  timers[1].arm(loop, 10ms, second);
  timers[2].rearm(20ms);  // where it stands in the reactor's order, but not yet in its structure
  be_busy_until(timers[3].deadline());
  REQUIRE(loop.run());
  CHECK(fired == std::vector<int>{0, 1, 2, 3});
}

ON_BOTH_SELECTORS("timers: thousands of deadlines fire in order, none early") {
  Loop<S> loop;
  struct Entry {
    Timer timer;
    Instant* last = nullptr;
    bool* wrong = nullptr;
    int* fired = nullptr;
    Instant deadline{};
    void note() {
      if (deadline < *last || mote::Clock::now() < deadline) *wrong = true;
      *last = deadline;
      ++*fired;
    }
  };
  static constexpr int count = 5000;
  std::vector<Entry> entries(count);
  Instant last = Instant::min();
  bool wrong = false;
  int fired = 0;
  const Instant start = mote::Clock::now();
  for (std::size_t i = 0; i < count; ++i) {
    Entry& entry = entries[i];
    entry.deadline = start + std::chrono::microseconds(i * 7919 % 50'000);
    entry.last = &last;
    entry.wrong = &wrong;
    entry.fired = &fired;
    entry.timer.arm_at(loop, entry.deadline, Timer::Callback::of<&Entry::note>(entry));
  }
  CHECK(loop.stats().timers_high == count);
  REQUIRE(loop.run());
  CHECK(fired == count);
  CHECK_FALSE(wrong);
}

ON_BOTH_SELECTORS("timers: zero timeout runs next turn") {
  Loop<S> loop;
  int outer = 0, inner = 0;
  Timer first, second;
  auto count_inner = [&] { ++inner; };
  auto arm_inner = [&] {
    ++outer;
    second.arm(loop, 0ns, count_inner);
  };
  first.arm(loop, 0ns, arm_inner);
  CHECK(outer == 0);  // never from inside of arm()
  REQUIRE(loop.run_once());
  CHECK(outer == 1);
  CHECK(inner == 0);
  REQUIRE(loop.run_once());
  CHECK(inner == 1);
}

ON_BOTH_SELECTORS("timers: a zero timer that re-arms itself does not starve I/O") {
  Loop<S> loop;
  test::Pair pair = test::socket_pair();
  int fired = 0, received = 0;
  Timer timer;
  auto again = [&] {
    ++fired;
    timer.rearm(0ns);
  };
  auto receive = [&](Readiness) {
    char byte;
    if (::read(pair.a.get(), &byte, 1) == 1) ++received;
  };
  REQUIRE(loop.add(pair.a.get(), Interest::read, receive));
  timer.arm(loop, 0ns, again);
  for (int i = 0; i < 20; ++i) {
    REQUIRE(test::send_text(pair.b.get(), "x") == 1);
    const int fired_before = fired;
    REQUIRE(loop.run_once());
    CHECK(received == i + 1);          // in the very next turn
    CHECK(fired == fired_before + 1);  // and the timer once a turn, no more
  }
}

ON_BOTH_SELECTORS("timers: a zero period fires once a turn and does not starve I/O") {
  Loop<S> loop;
  test::Pair pair = test::socket_pair();
  int fired = 0, received = 0;
  Timer timer;
  auto tick = [&] { ++fired; };
  auto receive = [&](Readiness) {
    char byte;
    if (::read(pair.a.get(), &byte, 1) == 1) ++received;
  };
  REQUIRE(loop.add(pair.a.get(), Interest::read, receive));
  timer.arm_every(loop, 0ns, tick);
  for (int i = 0; i < 20; ++i) {
    REQUIRE(test::send_text(pair.b.get(), "x") == 1);
    const int fired_before = fired;
    REQUIRE(loop.run_once());
    CHECK(received == i + 1);
    CHECK(fired <= fired_before + 1);
  }
  CHECK(test::run_until(loop, [&] { return fired > 20; }));
}

ON_BOTH_SELECTORS("timers: cancel self") {
  Loop<S> loop;
  int fired = 0;
  Timer timer;
  auto cancel_self = [&] {
    ++fired;
    timer.cancel();
  };
  timer.arm_every(loop, 1us, cancel_self);
  REQUIRE(loop.run());  // ends, for nothing is left
  CHECK(fired == 1);
  CHECK_FALSE(timer.armed());
}

ON_BOTH_SELECTORS("timers: cancel another due timer") {
  Loop<S> loop;
  int fired = 0;
  Timer first, second;
  auto cancel_second = [&] {
    ++fired;
    CHECK(second.cancel());
  };
  auto never = [&] { fired += 100; };
  const Instant deadline = mote::Clock::now();
  first.arm_at(loop, deadline, cancel_second);
  second.arm_at(loop, deadline, never);
  REQUIRE(loop.run());
  CHECK(fired == 1);
}

ON_BOTH_SELECTORS("timers: cancel twice") {
  Loop<S> loop;
  int fired = 0;
  Timer timer;
  auto count = [&] { ++fired; };
  CHECK_FALSE(timer.cancel());  // never armed
  timer.arm(loop, 0ns, count);
  CHECK(timer.cancel());
  CHECK_FALSE(timer.cancel());
  CHECK_FALSE(timer.armed());
  REQUIRE(loop.run_once(0ns));
  CHECK(fired == 0);
  timer.arm(loop, 0ns, count);
  REQUIRE(loop.run());
  CHECK(fired == 1);
  CHECK_FALSE(timer.cancel());  // it has fired
}

ON_BOTH_SELECTORS("timers: restart in callback") {
  Loop<S> loop;
  int fired = 0;
  Timer timer;
  Timer::Callback callback;
  auto restart = [&] {
    CHECK_FALSE(timer.armed());
    if (++fired < 5) timer.arm(loop, 100us, callback);
  };
  callback = Timer::Callback(restart);
  timer.arm(loop, 100us, callback);
  REQUIRE(loop.run());
  CHECK(fired == 5);
}

ON_BOTH_SELECTORS("timers: restart in callback of another due timer, which then waits for its new time") {
  Loop<S> loop;
  int fired = 0;
  Timer first, second;
  auto count = [&] { ++fired; };
  auto restart_second = [&] { second.arm(loop, 2ms, count); };
  const Instant now = mote::Clock::now();
  first.arm_at(loop, now, restart_second);
  second.arm_at(loop, now, count);
  REQUIRE(loop.run_once());
  CHECK(fired == 0);
  REQUIRE(second.armed());
  const Instant deadline = second.deadline();
  REQUIRE(loop.run());
  CHECK(fired == 1);
  CHECK(mote::Clock::now() >= deadline);
}

ON_BOTH_SELECTORS("timers: rearm in callback of another due timer, which then waits for its new time") {
  Loop<S> loop;
  int fired = 0;
  Timer first, second;
  auto count = [&] { ++fired; };
  auto put_off = [&] { second.rearm(2ms); };
  const Instant now = mote::Clock::now();
  first.arm_at(loop, now, put_off);
  second.arm_at(loop, now, count);
  REQUIRE(loop.run_once());
  CHECK(fired == 0);
  REQUIRE(loop.run());
  CHECK(fired == 1);
}

ON_BOTH_SELECTORS("timers: restart in callback changes a one-shot timer into a periodic one, and back") {
  Loop<S> loop;
  int once = 0, ticks = 0;
  Timer timer;
  auto single = [&] { ++once; };
  auto tick = [&] {
    if (++ticks == 3) timer.arm(loop, 0ns, single);
  };
  auto start = [&] {
    ++once;
    timer.arm_every(loop, 200us, tick);
  };
  timer.arm(loop, 0ns, start);
  REQUIRE(loop.run());
  CHECK(once == 2);
  CHECK(ticks == 3);
}

ON_BOTH_SELECTORS("timers: destroy in callback") {
  Loop<S> loop;
  int fired = 0;
  std::optional<Timer> self, other;
  auto never = [&] { fired += 100; };
  auto destroy_both = [&] {
    ++fired;
    self.reset();
    other.reset();  // due, and next in line
  };
  self.emplace();
  other.emplace();
  const Instant now = mote::Clock::now();
  self->arm_at(loop, now, destroy_both);
  other->arm_at(loop, now, never);
  REQUIRE(loop.run());
  CHECK(fired == 1);
}

ON_BOTH_SELECTORS("timers: destroy in callback of a periodic timer") {
  Loop<S> loop;
  int fired = 0;
  std::optional<Timer> timer(std::in_place);
  auto destroy = [&] {
    ++fired;
    timer.reset();
  };
  timer->arm_every(loop, 100us, destroy);
  REQUIRE(loop.run());
  CHECK(fired == 1);
}

ON_BOTH_SELECTORS("timers: storage of a cancelled timer reused in the same turn") {
  Loop<S> loop;
  int old_fired = 0, new_fired = 0;
  std::optional<Timer> victim(std::in_place);
  Timer first;
  auto old_callback = [&] { ++old_fired; };
  auto new_callback = [&] { ++new_fired; };
  auto reuse = [&] {
    victim.emplace();  // the old one is destroyed, and another begins in its place
    victim->arm(loop, 0ns, new_callback);
  };
  const Instant now = mote::Clock::now();
  first.arm_at(loop, now, reuse);
  victim->arm_at(loop, now, old_callback);
  REQUIRE(loop.run_once());
  CHECK(new_fired == 0);  // it belongs to the next turn
  REQUIRE(loop.run());
  CHECK(old_fired == 0);
  CHECK(new_fired == 1);
}

ON_BOTH_SELECTORS("timers: periodic without drift") {
  Loop<S> loop;
  struct Ticker {
    Timer timer;
    Instant start{};
    int ticks = 0;
    std::uint32_t missed = 0;
    bool off_grid = false, early = false;
    void tick() {
      ++ticks;
      missed += timer.missed();
      be_busy_for(300us);  // the work itself must not shift the next tick
      const mote::Duration distance = timer.deadline() - start;
      off_grid = off_grid || distance % mote::Duration(1ms) != 0ns;
      // This tick was the one before the next: its time has come, counting those that were skipped.
      early = early || distance != (ticks + static_cast<int>(missed) + 1) * mote::Duration(1ms);
      if (ticks == 20) timer.cancel();
    }
  } ticker;
  ticker.timer.arm_every(loop, 1ms, Timer::Callback::of<&Ticker::tick>(ticker));
  ticker.start = ticker.timer.deadline() - 1ms;
  REQUIRE(loop.run());
  CHECK(ticker.ticks == 20);
  CHECK_FALSE(ticker.off_grid);
  CHECK_FALSE(ticker.early);
  CHECK(mote::Clock::now() >= ticker.start + 20ms);
}

ON_BOTH_SELECTORS("timers: missed ticks counted") {
  Loop<S> loop;
  std::vector<std::uint32_t> missed;
  Timer timer;
  auto tick = [&] { missed.push_back(timer.missed()); };
  timer.arm_every(loop, 1ms, tick);
  const Instant first = timer.deadline();
  be_busy_until(first + 5ms + 1us);  // the sixth tick is due: one is told, five were missed
  REQUIRE(loop.run_once());
  REQUIRE(missed.size() == 1);
  CHECK(missed[0] >= 5);
  const Instant second = timer.deadline();
  CHECK(second == first + (missed[0] + 1) * mote::Duration(1ms));
  CHECK(test::run_until(loop, [&] { return missed.size() == 2; }));
  CHECK(timer.deadline() == second + (missed[1] + 1) * mote::Duration(1ms));
}

ON_BOTH_SELECTORS("timers: deadline in the past") {
  Loop<S> loop;
  std::vector<int> fired;
  std::array<Timer, 5> timers;
  auto zero = [&] { fired.push_back(0); };
  auto one = [&] { fired.push_back(1); };
  auto two = [&] { fired.push_back(2); };
  auto three = [&] { fired.push_back(3); };
  auto four = [&] { fired.push_back(4); };
  const Instant now = mote::Clock::now();
  timers[4].arm(loop, 0ns, four);
  timers[3].arm_at(loop, now - 1ms, three);
  timers[2].arm_at(loop, Instant{}, two);
  timers[1].arm(loop, mote::Duration(-1'000'000'000'000'000'000), one);
  timers[0].arm_at(loop, Instant::min(), zero);
  CHECK(fired.empty());
  REQUIRE(loop.run_once());
  CHECK(fired == std::vector<int>{0, 1, 2, 3, 4});
}

ON_BOTH_SELECTORS("timers: deadline in the past by rearm of a one-shot and of a periodic timer") {
  Loop<S> loop;
  int once = 0, ticks = 0;
  Timer single, periodic;
  auto count_once = [&] { ++once; };
  auto count_ticks = [&] {
    ++ticks;
    periodic.cancel();
  };
  single.arm(loop, 1h, count_once);
  periodic.arm_every(loop, 1h, count_ticks);
  single.rearm(mote::Duration::min());
  periodic.rearm(mote::Duration::min());
  REQUIRE(loop.run());
  CHECK(once == 1);
  CHECK(ticks == 1);
}

ON_BOTH_SELECTORS("timers: wait beyond INT_MAX ms, 32-bit clamp: the wait is as long as it must be, and no error") {
  Loop<S> loop;
  test::Pair pair = test::socket_pair();
  int fired = 0, received = 0;
  auto never = [&] { ++fired; };
  auto receive = [&](Readiness) {
    char byte;
    if (::read(pair.a.get(), &byte, 1) == 1) ++received;
  };
  REQUIRE(loop.add(pair.a.get(), Interest::read, receive));
  // Just above and below what 31 and 32 bits of milliseconds, and 32 bits of seconds, can hold; and the end of time.
  for (const std::int64_t milliseconds :
       {std::int64_t{INT32_MAX}, INT32_MAX + std::int64_t{1}, std::int64_t{UINT32_MAX}, UINT32_MAX + std::int64_t{1},
        INT32_MAX * std::int64_t{1000}, (INT32_MAX + std::int64_t{1}) * 1000, UINT32_MAX * std::int64_t{1000} + 1000,
        INT64_MAX / 1'000'000}) {
    INFO("milliseconds " << milliseconds);
    Timer timer;
    timer.arm(loop, std::chrono::milliseconds(milliseconds), never);
    const std::uint64_t turns = loop.stats().turns;
    test::Child writer([&] {  // while the loop waits, as far as a test can see to it
      ::poll(nullptr, 0, 1);
      return test::send_text(pair.b.get(), "x") == 1 ? 0 : 1;
    });
    const int before = received;
    CHECK(test::run_until(loop, [&] { return received > before; }));
    CHECK(loop.stats().turns - turns < 100);  // no spin
    CHECK(timer.armed());
    CHECK(writer.join() == 0);
  }
  CHECK(fired == 0);
}

ON_BOTH_SELECTORS("timers: deadline addition overflow is the end of time") {
  Loop<S> loop;
  int fired = 0;
  auto never = [&] { ++fired; };
  Timer once, every, again;
  once.arm(loop, mote::unlimited, never);
  every.arm_every(loop, mote::unlimited, never);
  again.arm(loop, 1h, never);
  again.rearm(mote::unlimited);
  CHECK(once.deadline() == Instant::max());
  CHECK(every.deadline() == Instant::max());
  CHECK(again.deadline() == Instant::max());
  REQUIRE(loop.run_for(1ms));
  CHECK(fired == 0);
  CHECK(once.cancel());
  CHECK(every.cancel());
  CHECK(again.cancel());
}

ON_BOTH_SELECTORS("timers: sub-millisecond rounds up, no spin, never early") {
  Loop<S> loop;
  Recorder recorder;
  constexpr int rounds = 20;
  for (int i = 0; i < rounds; ++i) {
    recorder.arm(loop, std::chrono::microseconds(100 + 90 * i));
    REQUIRE(test::run_until(loop, [&] { return recorder.fired == i + 1; }));
  }
  CHECK_FALSE(recorder.early);
  // One wait each; a second where a time-out of milliseconds was cut short or the structure looked for its next.
  CHECK(loop.stats().turns <= 3 * rounds);
}

ON_BOTH_SELECTORS("timers: sub-millisecond, no spin with a crowd of timers") {
  Loop<S> loop;
  std::vector<Timer> timers(500);
  int fired = 0;
  auto count = [&] { ++fired; };
  // At the very end of one of the wheel's finest intervals, 2^20 ns, to be longest in the last of its lists.
  const Instant deadline(mote::Duration((mote::Clock::now() + 10ms).time_since_epoch().count() | 0xfffff));
  for (Timer& timer : timers) timer.arm_at(loop, deadline, count);
  Recorder earlier;  // after which the next deadline must be found again
  earlier.arm(loop, 1ms);
  REQUIRE(loop.run());
  CHECK(fired == 500);
  CHECK(mote::Clock::now() >= deadline);
  CHECK(loop.stats().turns < 20);
}

ON_BOTH_SELECTORS("timers: wall-clock step has no effect, for time is CLOCK_MONOTONIC") {
  Loop<S> loop;
  Recorder recorder;
  timespec t{};
  REQUIRE(::clock_gettime(CLOCK_MONOTONIC, &t) == 0);
  const Instant before(std::chrono::seconds(t.tv_sec) + std::chrono::nanoseconds(t.tv_nsec));
  recorder.arm(loop, 5ms);
  REQUIRE(::clock_gettime(CLOCK_MONOTONIC, &t) == 0);
  const Instant after(std::chrono::seconds(t.tv_sec) + std::chrono::nanoseconds(t.tv_nsec));
  CHECK(recorder.timer.deadline() >= before + 5ms);
  CHECK(recorder.timer.deadline() <= after + 5ms);
  REQUIRE(loop.run());
  CHECK(recorder.fired == 1);
}

// The child's ticks stop with it. What is due when it continues comes once, and the missed ticks are told.
ON_BOTH_SELECTORS("timers: process stopped and continued") {
  test::Pair pipe = test::pipe_pair();
  test::Child child([&] {
    test::Verdict verdict;
    Loop<S> loop;
    Timer periodic, once;
    int ticks = 0, fired = 0;
    std::uint32_t most_missed = 0;
    Instant start{};
    auto fire = [&] { ++fired; };
    auto tick = [&] {
      EXPECT(verdict, (periodic.deadline() - start) % mote::Duration(1ms) == 0ns);
      EXPECT(verdict, periodic.deadline() > loop.now());
      if (++ticks == 5) {  // it is in full swing: the parent may stop it
        once.arm(loop, 20ms, fire);
        EXPECT(verdict, test::send_text(pipe.b.get(), "x") == 1);
      }
      most_missed = std::max(most_missed, periodic.missed());
      if (most_missed >= 40 && fired != 0) loop.stop();
    };
    periodic.arm_every(loop, 1ms, tick);
    start = periodic.deadline();
    EXPECT(verdict, loop.run_for(20s));
    EXPECT(verdict, fired == 1);
    EXPECT(verdict, most_missed >= 40);
    EXPECT(verdict, loop.stats().turns < 10'000u + static_cast<unsigned>(ticks) * 10u);
    return verdict.exit_code();
  });
  pollfd running{pipe.a.get(), POLLIN, 0};
  REQUIRE(::poll(&running, 1, 20'000) == 1);
  REQUIRE(::kill(child.id(), SIGSTOP) == 0);
  REQUIRE(child.wait_until_stopped());
  be_busy_for(60ms);
  REQUIRE(::kill(child.id(), SIGCONT) == 0);
  CHECK(child.join() == 0);
}

ON_BOTH_SELECTORS("timers: timeout and readiness in one turn: the event comes first, neither is lost") {
  Loop<S> loop;
  test::Pair pair = test::socket_pair();
  std::vector<int> order;
  Timer timer;
  auto receive = [&](Readiness) {
    char byte;
    CHECK(::read(pair.a.get(), &byte, 1) == 1);
    order.push_back(1);
  };
  auto expire = [&] { order.push_back(2); };
  REQUIRE(loop.add(pair.a.get(), Interest::read, receive));
  timer.arm(loop, 1ms, expire);
  REQUIRE(test::send_text(pair.b.get(), "x") == 1);
  be_busy_until(timer.deadline());
  REQUIRE(loop.run_once());
  CHECK(order == std::vector<int>{1, 2});
}

ON_BOTH_SELECTORS("timers: timeout and readiness in one turn: the handler may cancel or put off the due timer") {
  Loop<S> loop;
  test::Pair pair = test::socket_pair();
  int fired = 0;
  Timer cancelled, put_off;
  auto receive = [&](Readiness) {
    char byte;
    CHECK(::read(pair.a.get(), &byte, 1) == 1);
    CHECK(cancelled.cancel());
    put_off.rearm(1h);
  };
  auto never = [&] { ++fired; };
  REQUIRE(loop.add(pair.a.get(), Interest::read, receive));
  cancelled.arm(loop, 1ms, never);
  put_off.arm(loop, 1ms, never);
  REQUIRE(test::send_text(pair.b.get(), "x") == 1);
  be_busy_until(put_off.deadline());
  REQUIRE(loop.run_once());
  REQUIRE(loop.run_once(0ns));
  CHECK(fired == 0);
  CHECK(put_off.armed());
  CHECK(put_off.deadline() > mote::Clock::now());
}

ON_BOTH_SELECTORS("timers: an idle timeout that is put off by traffic fires after the traffic ends") {
  Loop<S> loop;
  test::Pair pair = test::socket_pair();
  int received = 0;
  Recorder idle;
  auto receive = [&](Readiness) {
    char byte;
    CHECK(::read(pair.a.get(), &byte, 1) == 1);
    ++received;
    idle.timer.rearm(3ms);
    idle.deadline = idle.timer.deadline();
  };
  REQUIRE(loop.add(pair.a.get(), Interest::read, receive));
  idle.arm(loop, 1h);
  for (int i = 0; i < 50; ++i) {
    REQUIRE(test::send_text(pair.b.get(), "x") == 1);
    REQUIRE(loop.run_once());
  }
  CHECK(received == 50);
  CHECK(test::run_until(loop, [&] { return idle.fired != 0; }));
  CHECK(idle.fired == 1);
  CHECK_FALSE(idle.early);
}

ON_BOTH_SELECTORS("timers: rearm of a periodic timer keeps its period from the new time on") {
  Loop<S> loop;
  int ticks = 0;
  Timer timer;
  auto tick = [&] { ++ticks; };
  timer.arm_every(loop, 1h, tick);
  REQUIRE(loop.run_once(0ns));
  timer.rearm(1ms);
  const Instant first = timer.deadline();
  CHECK(test::run_until(loop, [&] { return ticks == 1; }));
  CHECK(timer.deadline() == first + 1h);
}

ON_BOTH_SELECTORS("timers: an armed timer that goes out of scope does not fire") {
  Loop<S> loop;
  int fired = 0;
  auto never = [&] { ++fired; };
  {
    Timer timer;
    timer.arm(loop, 0ns, never);
  }
  REQUIRE(loop.run());
  CHECK(fired == 0);
}

ON_BOTH_SELECTORS("timers: a timer may outlive its reactor, and be armed with another") {
  int fired = 0;
  Timer timer;
  auto count = [&] { ++fired; };
  {
    Loop<S> loop;
    timer.arm(loop, 0ns, count);
  }
  CHECK_FALSE(timer.armed());
  CHECK_FALSE(timer.cancel());
  Loop<S> another;
  timer.arm(another, 0ns, count);
  REQUIRE(another.run());
  CHECK(fired == 1);
}

ON_BOTH_SELECTORS("timers: a timer armed with another reactor leaves the first") {
  Loop<S> first, second;
  int fired = 0;
  Timer timer;
  auto count = [&] { ++fired; };
  timer.arm(first, 0ns, count);
  timer.arm(second, 0ns, count);
  REQUIRE(first.run());
  CHECK(fired == 0);
  REQUIRE(second.run());
  CHECK(fired == 1);
}

ON_BOTH_SELECTORS("timers: run_for lasts as long as it says, with or without a timer") {
  Loop<S> loop;
  const Instant start = mote::Clock::now();
  Timer timer;
  auto never = [] { FAIL_CHECK("an hour too early"); };
  timer.arm(loop, 1h, never);
  REQUIRE(loop.run_for(3ms));
  CHECK(mote::Clock::now() >= start + 3ms);
  CHECK(loop.stats().turns < 20);
  timer.cancel();
  const Instant again = mote::Clock::now();
  REQUIRE(loop.run_for(3ms));
  CHECK(mote::Clock::now() >= again + 3ms);
}

ON_BOTH_SELECTORS("timers: a cancelled earliest deadline does not keep the loop awake") {
  Loop<S> loop;
  Recorder recorder;
  std::array<Timer, 40> cancelled;
  auto never = [] { FAIL_CHECK("it was cancelled"); };
  for (Timer& timer : cancelled) timer.arm(loop, 2ms, never);
  recorder.arm(loop, 20ms);
  for (Timer& timer : cancelled) CHECK(timer.cancel());
  REQUIRE(loop.run());
  CHECK(recorder.fired == 1);
  CHECK(loop.stats().turns < 10);
}

ON_BOTH_SELECTORS("timers: an embedding loop that waits until next_deadline() is in time") {
  Loop<S> loop;
  Recorder recorder;
  recorder.arm(loop, 5ms);
  int turns = 0;
  while (recorder.fired == 0 && turns < 20) {
    be_busy_until(loop.next_deadline());
    REQUIRE(loop.run_once(0ns));
    ++turns;
  }
  CHECK(recorder.fired == 1);
  CHECK_FALSE(recorder.early);
}
