// SPDX-License-Identifier: MIT
// Rooms: task/run_queue.hpp, task/scheduler.hpp.
// Run queues of several priorities: the order of steps, and how many steps of others a task waits for at most.
#include <vector>

#include "support/operations.hpp"

using mote::Result;
using mote::Step;
using mote::Task;
using mote::TaskHandle;
using mote::TaskPool;
using namespace std::chrono_literals;
using test::Body;
using test::error_of;
using test::Plain;
using test::turn;

namespace {

template <class S> struct ThreeLevels : S::template Config<8> { static constexpr std::size_t priorities = 3; };
template <class S> struct Levels : mote::StaticReactor<ThreeLevels<S>> {
  Levels() { REQUIRE(this->open()); }
};

// Notes each of its steps, and is always ready if it is told so. Many of them share a log.
struct Noting {
  int id;
  std::vector<int>& log;
  bool always_ready;
  Step step(Task& task) {
    log.push_back(id);
    if (always_ready) task.wake();
    return mote::pending;
  }
};

// Answers each wait at once, and notes whether it was to wait at all; with the 100th it gives up.
class Hasty : public mote::SelectorBase<Hasty> {
 public:
  Result<void> open() {
    attach();
    return Result<void>();
  }
  Result<void> on_add(int, mote::Interest, std::uint64_t) { return {}; }
  Result<void> on_modify(int, mote::Interest, std::uint64_t) { return {}; }
  Result<void> on_remove(int) { return {}; }
  void on_forget(int) {}
  Result<std::size_t> on_wait(mote::Ready*, std::size_t, mote::Duration timeout) {
    would_wait += timeout != 0ns;
    return ++waits < 100 ? Result<std::size_t>(0u) : mote::Error(EBADF);
  }
  Result<void> on_rebuild() { return {}; }
  int on_descriptor() const { return -1; }
  int waits = 0, would_wait = 0;
};

// Tasks 0, 1, 2, ... of these levels, all of them queued.
template <std::size_t N> struct Crowd {
  std::vector<int> log;
  TaskPool<Noting, N> pool;
  TaskHandle handles[N];
  int count = 0;
  void add(mote::Reactor& reactor, std::uint32_t level, bool always_ready = false) {
    Result<TaskHandle> spawned = pool.spawn(reactor, count, log, always_ready);
    REQUIRE(spawned);
    CHECK(spawned->get()->set_priority(level));
    handles[count++] = std::move(*spawned);
  }
  Task& operator[](int i) { return *handles[i].get(); }
  int steps_of(int id) const {
    int steps = 0;
    for (const int each : log) steps += each == id;
    return steps;
  }
};

}  // namespace

ON_BOTH_SELECTORS("priorities: the higher level runs first in a turn, and each level in order of waking") {
  Levels<S> loop;
  Crowd<6> crowd;
  for (const std::uint32_t level : {0u, 1u, 2u, 0u, 1u, 2u}) crowd.add(loop, level);
  turn(loop);
  CHECK(crowd.log == std::vector<int>{2, 5, 1, 4, 0, 3});
  crowd.log.clear();
  for (const int i : {3, 0, 4, 1, 5, 2}) crowd[i].wake();
  turn(loop);
  CHECK(crowd.log == std::vector<int>{5, 2, 4, 1, 3, 0});
}

ON_BOTH_SELECTORS(
    "priorities: set while the task is queued, it moves to the end of that level's queue, and is stepped once") {
  Levels<S> loop;
  Crowd<4> crowd;
  for (int i = 0; i < 4; ++i) crowd.add(loop, 0);
  CHECK(crowd[3].set_priority(1));
  CHECK(crowd[2].set_priority(2));
  CHECK(crowd[1].set_priority(2));
  turn(loop, 2);
  CHECK(crowd.log == std::vector<int>{2, 1, 3, 0});
  crowd.log.clear();
  for (int i = 0; i < 4; ++i) crowd[i].wake();
  CHECK(crowd[2].set_priority(0));
  CHECK(crowd[1].set_priority(1));
  turn(loop, 2);
  CHECK(crowd.log == std::vector<int>{3, 1, 0, 2});
}

ON_BOTH_SELECTORS("priorities: set while the task waits, it counts from its next waking on") {
  Levels<S> loop;
  Crowd<2> crowd;
  crowd.add(loop, 0);
  crowd.add(loop, 0);
  turn(loop);
  crowd.log.clear();
  CHECK(crowd[1].set_priority(2));
  turn(loop, 2);
  CHECK(crowd.log.empty());  // to set it wakes nobody
  crowd[0].wake();
  crowd[1].wake();
  turn(loop);
  CHECK(crowd.log == std::vector<int>{1, 0});
}

ON_BOTH_SELECTORS(
    "priorities: a task may set its own, and that of one that is due in this turn, which then runs once") {
  Levels<S> loop;
  Crowd<2> crowd;
  int steps = 0;
  auto body = [&](Task& task) -> Step {
    ++steps;
    CHECK(task.set_priority(2));
    CHECK(crowd[0].set_priority(2));  // that level has had its share of this turn
    CHECK(crowd[1].set_priority(0));
    task.wake();
    return mote::pending;
  };
  TaskPool<Plain, 1> pool;
  auto acting = pool.spawn(loop, Body(body));
  CHECK(acting->get()->set_priority(1));
  crowd.add(loop, 1);
  crowd.add(loop, 1);
  turn(loop);
  CHECK(steps == 1);
  CHECK(crowd.log == std::vector<int>{1});
  turn(loop);
  CHECK(steps == 2);
  CHECK(crowd.log == std::vector<int>{1, 0});
}

ON_BOTH_SELECTORS("priorities: a level that there is not is EINVAL, and leaves the task where it was") {
  Levels<S> loop;
  Crowd<2> crowd;
  crowd.add(loop, 1);
  crowd.add(loop, 2);
  CHECK(error_of(crowd[0].set_priority(3)) == EINVAL);
  CHECK(error_of(crowd[0].set_priority(256)) == EINVAL);
  CHECK(error_of(crowd[1].set_priority(UINT32_MAX)) == EINVAL);
  turn(loop);
  CHECK(crowd.log == std::vector<int>{1, 0});
}

ON_BOTH_SELECTORS("priorities: by default there is one level, in which all have their step in each turn") {
  test::Loop<S> loop;
  static_assert(mote::Config::priorities == 1, "nobody pays for what is not asked for");
  static_assert(sizeof(mote::StaticReactor<typename S::template Config<8>>) < sizeof(Levels<S>), "no room for others");
  constexpr int crowd_size = 3 * static_cast<int>(mote::limits::steps_per_lower_priority);
  Crowd<crowd_size> crowd;
  for (int i = 0; i < crowd_size; ++i) crowd.add(loop, 0, true);
  CHECK(error_of(crowd[0].set_priority(1)) == EINVAL);
  turn(loop, 2);
  CHECK(crowd.log.size() == 2 * crowd_size);
  for (int i = 0; i < crowd_size; ++i) CHECK(crowd.steps_of(i) == 2);
}

ON_BOTH_SELECTORS("priorities: a task that is spawned into a slot anew starts at the lowest level again") {
  Levels<S> loop;
  Crowd<1> first;
  TaskPool<Plain, 1> pool;
  std::vector<int> order;
  auto end = [](Task&) -> Step { return mote::done(); };
  CHECK(pool.spawn(loop, Body(end))->get()->set_priority(2));
  turn(loop);
  auto later = [&](Task&) -> Step {
    order.push_back(1);
    return mote::done();
  };
  auto earlier = [&](Task&) -> Step {
    order.push_back(2);
    return mote::done();
  };
  TaskPool<Plain, 1> other;
  REQUIRE(pool.spawn(loop, Body(later)));
  CHECK(other.spawn(loop, Body(earlier))->get()->set_priority(1));
  turn(loop);
  CHECK(order == std::vector<int>{2, 1});
}

// The latency that counts: how many steps of others lie between the event and the step of the one that waits for it.
ON_BOTH_SELECTORS(
    "priorities: under a flood of tasks that are always ready, the high one waits for a bounded number of steps") {
  constexpr int flood = 500;
  constexpr std::size_t bound = 2 * mote::limits::steps_per_lower_priority;  // two levels below
  Levels<S> loop;
  Crowd<flood> crowd;
  for (int i = 0; i < flood; ++i) crowd.add(loop, i % 2 == 0 ? 0 : 1, true);
  test::Pair pair = test::socket_pair();
  mote::Stream stream = test::open_stream(loop, std::move(pair.a));
  std::size_t sent_at = 0, longest = 0;
  int received = 0;
  char byte[1];
  auto control = [&](Task& task) -> Step {
    for (;;) {
      auto poll = stream.read(byte).poll(task);
      if (!poll.ready()) return mote::pending;
      if (!*poll) return mote::failed(poll->error());
      ++received;
      if (crowd.log.size() - sent_at > longest) longest = crowd.log.size() - sent_at;
    }
  };
  TaskPool<Plain, 1> pool;
  auto handle = pool.spawn(loop, Body(control));
  CHECK(handle->get()->set_priority(2));
  turn(loop);
  // A byte is sent after any number of steps, while the low tasks are at work.
  TaskPool<Plain, 1> senders;
  int sent = 0;
  auto send = [&](Task& task) -> Step {
    if (sent == received && sent < 100) {
      sent_at = crowd.log.size();
      ++sent;
      test::send_text(pair.b.get(), "x");
    }
    task.wake();
    return mote::pending;
  };
  REQUIRE(senders.spawn(loop, Body(send)));
  REQUIRE(test::run_until(loop, [&] { return received == 100; }));
  CHECK(longest <= bound);
  CHECK(longest > 0);
}

ON_BOTH_SELECTORS(
    "priorities: the low levels do not starve, however busy the high one is: so many steps of each in every turn") {
  constexpr int low = 40;
  Levels<S> loop;
  Crowd<low + 3> crowd;
  for (int i = 0; i < low; ++i) crowd.add(loop, 0, true);
  for (int i = 0; i < 2; ++i) crowd.add(loop, 2, true);
  crowd.add(loop, 1, true);
  constexpr int turns = low * 10;
  turn(loop, turns);
  const int share = turns * static_cast<int>(mote::limits::steps_per_lower_priority) / low;
  for (int i = 0; i < low; ++i) {
    CAPTURE(i);
    CHECK(crowd.steps_of(i) == share);  // all of them in turn
  }
  for (int i = low; i < low + 3; ++i) CHECK(crowd.steps_of(i) == turns);
}

ON_BOTH_SELECTORS(
    "priorities: a low one that is woken amid a flood of its level runs after those that were before it") {
  constexpr int flood = 50;
  Levels<S> loop;
  Crowd<flood + 1> crowd;
  for (int i = 0; i < flood; ++i) crowd.add(loop, 0, true);
  crowd.add(loop, 0);
  turn(loop, 10);
  crowd.log.clear();
  crowd[flood].wake();
  std::size_t steps = 0;
  while (crowd.steps_of(flood) == 0 && steps < 1000) {
    turn(loop);
    steps = crowd.log.size();
  }
  CHECK(steps <= flood + mote::limits::steps_per_lower_priority);
}

ON_BOTH_SELECTORS(
    "priorities: a queued task of any level is ready work: no turn waits, and none is lost when it is destroyed") {
  Levels<S> loop;
  for (const std::uint32_t level : {0u, 1u, 2u}) {
    Crowd<40> crowd;
    for (int i = 0; i < 40; ++i) crowd.add(loop, level);
    CHECK(loop.next_deadline() == mote::Instant::min());
    for (int i = 0; i < 40; i += 2) CHECK(crowd.handles[i].destroy());
    REQUIRE(loop.run_once(mote::unlimited));  // does not wait
    if (level == 2) CHECK(crowd.log.size() == 20);
    else CHECK(crowd.log.size() == mote::limits::steps_per_lower_priority);
    REQUIRE(loop.run_once(0ns));
    CHECK(crowd.log.size() == 20);
    CHECK(loop.next_deadline() == mote::Instant::max());
  }
}

TEST_CASE(
    "priorities: run() does not wait while a task of any level is ready, though nothing but a descriptor is left") {
  for (const std::uint32_t level : {0u, 1u, 2u}) {
    struct Yielding {
      int steps;
      Step step(Task& task) {
        if (++steps == 5) task.reactor().stop();
        task.wake();
        return mote::pending;
      }
    };
    Hasty hasty;
    mote::StaticReactor<ThreeLevels<test::OnPoll>> loop;
    REQUIRE(loop.open(hasty));
    const test::Pair pipe = test::pipe_pair();
    test::Recorder recorder;
    REQUIRE(loop.add(pipe.a.get(), mote::Interest::read, recorder));
    TaskPool<Yielding, 1> pool;
    Result<TaskHandle> spawned = pool.spawn(loop, 0);
    REQUIRE(spawned);
    CHECK(spawned->get()->set_priority(level));
    CHECK(loop.run());
    CHECK(hasty.waits == 5);
    CHECK(hasty.would_wait == 0);
  }
}
