// SPDX-License-Identifier: MIT
// Rooms: task/poll_context.hpp, task/wait_queue.hpp, task/waiter.hpp, task/scheduler.hpp, and all of sync/.
// Random trees of StateMachine tasks against a model: see support/generated.hpp.
#include "support/generated.hpp"

namespace {

using namespace generated;
using namespace std::chrono_literals;

struct Actor : mote::StateMachine {
  Actor(World& in, Record& record) : w(in), mark(record), left(1 + in.random.below(6)) {}
  mote::Step step() {
    MOTE_BEGIN();
    line.begin(*mark.record, task());
    while (left-- != 0 && !w.closing) {
      if (w.random.one_in(2)) w.act(&task());
      if (w.random.one_in(8)) shield.raise(task());
      if (w.random.one_in(2)) shield.lower();
      if (w.random.one_in(8)) MOTE_YIELD();
      planned = tree.plan(line, 3);
      MOTE_AWAIT(got, planned);
      tree.clear();
      w.take(got);
    }
    switch (w.random.below(6)) {
      case 0: mark.record->code = EIO; break;
      case 1: mark.record->code = EPROTO; break;
      case 2: mark.record->code = ECANCELED; break;
      default: mark.record->code = 0;
    }
    if (mark.record->code != 0) return mote::failed(mark.record->code);
    MOTE_END();
  }
  World& w;
  Mark mark;
  unsigned left;
  Line line;
  Result<Got> got;
  Any planned{};
  Tree tree;
  mote::Shield shield;
};

// Does one thing after the other, most of which completes at once.
struct Sprinter : mote::StateMachine {
  Sprinter(World& in, Record& record) : w(in), mark(record), left(1 + in.random.below(100)) {}
  mote::Step step() {
    MOTE_BEGIN();
    line.begin(*mark.record, task());
    while (left-- != 0 && !w.closing) {
      planned = tree.plan(line, 0);
      MOTE_AWAIT(got, planned);
      tree.clear();
      w.take(got);
      if (!got && got.error() == ECANCELED) break;
    }
    mark.record->code = 0;
    MOTE_END();
  }
  World& w;
  Mark mark;
  unsigned left;
  Line line;
  Result<Got> got;
  Any planned{};
  Tree tree;
};

template <class S> class TaskWorld : public World {
 public:
  explicit TaskWorld(std::uint64_t from) : World(from) { GENERATED_CHECK(loop_.open()); }
  ~TaskWorld() override { destroy_pools(); }
  mote::Reactor& reactor() override { return loop_; }
  unsigned pools() const override { return 2; }
  TaskStore* pool(unsigned i) override {
    if (i == 0) return store_of(actors_.get());
    return store_of(sprinters_.get());
  }
  std::uint32_t capacity(unsigned i) const override { return i == 0 ? actors_->capacity() : sprinters_->capacity(); }
  Poll<Result<void>> poll_vacancy(unsigned i, Task& task) override {
    return i == 0 ? actors_->vacancy().poll(task) : sprinters_->vacancy().poll(task);
  }
  Result<mote::TaskHandle> spawn_task(unsigned i, Record& record) override {
    World& w = *this;
    return i == 0 ? actors_->spawn(loop_, w, record) : sprinters_->spawn(loop_, w, record);
  }
  Result<mote::TaskRef> spawn_member(Group& group, unsigned i, Record& record) override {
    World& w = *this;
    return i == 0 ? group.spawn(*actors_, loop_, w, record) : group.spawn(*sprinters_, loop_, w, record);
  }
  void destroy_pools() override {
    actors_.reset();
    sprinters_.reset();
  }
 private:
  struct Config : S::template Config<4> {
    static constexpr std::size_t priorities = World::priorities;
  };
  mote::StaticReactor<Config> loop_;
  std::unique_ptr<mote::TaskPool<Actor, 16>> actors_ = std::make_unique<mote::TaskPool<Actor, 16>>();
  std::unique_ptr<mote::TaskPool<Sprinter, 4>> sprinters_ = std::make_unique<mote::TaskPool<Sprinter, 4>>();
};

ON_BOTH_SELECTORS("generated: random trees of tasks do as the model says, and leave nothing") {
  run_worlds<TaskWorld<S>>("mote_fault_tests", "generated: random trees of tasks*",
                           std::is_same<S, test::OnEpoll>::value ? "<*OnEpoll>" : "<*OnPoll>");
}

// What the generated worlds have found, in few lines. One part of an operation completes, and others go on.
struct Parts : mote::StateMachine {
  mote::Semaphore& first;
  mote::Event& second;
  int& result;
  mote::TaskTimer inner, outer;
  mote::AllOf<void, void> both;
  Result<void> got;
  mote::Step step() {
    MOTE_BEGIN();
    MOTE_AWAIT(got, mote::with_timeout(
                        outer, 10s, mote::all_of(both, first.acquire(), mote::with_timeout(inner, 1s, second.wait()))));
    result = test::error_of(got);
    MOTE_END();
  }
};
template <class S> struct PartsLoop {
  PartsLoop() {
    mote::FaultSystem::start_virtual_time();
    REQUIRE(loop.open());
    REQUIRE(pool.spawn(loop, semaphore, *event, result));
  }
  ~PartsLoop() { mote::FaultSystem::state = mote::FaultSystem::State(); }
  mote::StaticReactor<typename S::template Config<4>> loop;
  mote::Semaphore semaphore;
  std::unique_ptr<mote::Event> event = std::make_unique<mote::Event>();
  int result = -1;
  mote::TaskPool<Parts, 1> pool;
};

ON_BOTH_SELECTORS("generated, found by it: a part that runs out of time leaves the others their places in the queues") {
  PartsLoop<S> parts;
  REQUIRE(parts.loop.run_for(2s));
  parts.semaphore.release();
  REQUIRE(parts.loop.run_for(1s));
  CHECK(parts.result == ETIMEDOUT);
  CHECK(parts.semaphore.available() == 0);
}

ON_BOTH_SELECTORS("generated, found by it: a part that runs out of time leaves the time of the whole as it was") {
  PartsLoop<S> parts;
  const Instant start = mote::Clock::now();
  CHECK(parts.loop.run());
  CHECK(parts.result == ETIMEDOUT);
  CHECK((mote::Clock::now() - start).count() == 10'000'000'000);
}

ON_BOTH_SELECTORS("generated, found by it: cancelled when its event is gone, a part does not touch it") {
  PartsLoop<S> parts;
  REQUIRE(parts.loop.run_for(1ms));
  parts.event.reset();
  parts.loop.cancel_all_tasks();
  CHECK(parts.loop.run());
  CHECK(parts.result == ECANCELED);
}

}  // namespace
