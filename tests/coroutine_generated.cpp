// SPDX-License-Identifier: MIT
// Rooms: coroutine/chain.hpp, coroutine/promise.hpp, task/wait_queue.hpp, and all of sync/.
// Random trees of coroutines, beside StateMachine tasks, against a model: see support/generated.hpp.
//
// On the fault seam's clock, unlike the rest of its program: the seam's library has a namespace of its own, so both can
// be in one program. Nothing here uses what the harness makes of mote, which is made once for both.
#ifndef MOTE_SYSTEM_HEADER
#define MOTE_SYSTEM_HEADER "support/fault_system.hpp"
#endif
#include "support/generated.hpp"

namespace {

using namespace generated;

// A task: awaits random operations, and other coroutines.
mote::Co<void> acting(mote::FrameSource& frames, World& w, Mark mark, unsigned left) {
  Record& record = *mark.record;
  Line line, below;
  line.begin(record, co_await mote::this_task());
  mote::Shield shield;
  Tree tree;
  while (left-- != 0 && !w.closing) {
    if (w.random.one_in(2)) w.act(line.task);
    if (w.random.one_in(8)) shield.raise(*line.task);
    if (w.random.one_in(2)) shield.lower();
    if (w.random.one_in(8)) static_cast<void>(co_await mote::yield());
    if (w.closing) break;
    Result<Got> got;
    if (w.random.one_in(4)) got = co_await part(frames, w, below, line, 2);
    else got = co_await tree.plan(line, 3);
    tree.clear();
    w.take(got);
  }
  record.code = 0;
}
mote::Co<Result<void>> failing(mote::FrameSource& frames, World& w, Mark mark, int code) {
  Record& record = *mark.record;
  Line line, below;
  line.begin(record, co_await mote::this_task());
  static_cast<void>(co_await part(frames, w, below, line, 2));
  record.code = code;
  co_return Error(code);
}

struct Sprinter : mote::StateMachine {  // the other style, on the same primitives
  Sprinter(World& in, Record& record) : w(in), mark(record), left(1 + in.random.below(20)) {}
  mote::Step step() {
    MOTE_BEGIN();
    line.begin(*mark.record, task());
    while (left-- != 0 && !w.closing) {
      planned = tree.plan(line, 1);
      MOTE_AWAIT(got, planned);
      tree.clear();
      w.take(got);
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

template <class S> class CoroutineWorld : public World {
 public:
  explicit CoroutineWorld(std::uint64_t from) : World(from) {
    GENERATED_CHECK(loop_.open());
    small_->or_else(*large_);
    frames = &small_->source();
  }
  ~CoroutineWorld() override { destroy_pools(); }
  mote::Reactor& reactor() override { return loop_; }
  unsigned pools() const override { return 2; }
  TaskStore* pool(unsigned i) override {
    if (i == 0) return store_of(coroutines_.get());
    return store_of(sprinters_.get());
  }
  std::uint32_t capacity(unsigned i) const override {
    return i == 0 ? coroutines_->capacity() : sprinters_->capacity();
  }
  Poll<Result<void>> poll_vacancy(unsigned i, Task& task) override {
    return i == 0 ? coroutines_->vacancy().poll(task) : sprinters_->vacancy().poll(task);
  }
  template <class F> auto with_coroutine(Record& record, F&& f) {
    World& w = *this;
    if (random.one_in(3)) return f(failing(*frames, w, Mark(record), random.one_in(3) ? ECANCELED : EIO));
    return f(acting(*frames, w, Mark(record), 1 + random.below(6)));
  }
  Result<mote::TaskHandle> spawn_task(unsigned i, Record& record) override {
    World& w = *this;
    if (i == 1) return sprinters_->spawn(loop_, w, record);
    return with_coroutine(record, [&](auto&& co) { return coroutines_->spawn(loop_, std::move(co)); });
  }
  Result<mote::TaskRef> spawn_member(Group& group, unsigned i, Record& record) override {
    World& w = *this;
    if (i == 1) return group.spawn(*sprinters_, loop_, w, record);
    return with_coroutine(record, [&](auto&& co) { return group.spawn(*coroutines_, loop_, std::move(co)); });
  }
  void destroy_pools() override {
    coroutines_.reset();
    sprinters_.reset();
  }
  bool has_frames() const override { return large_->size() < large_->capacity(); }
  bool frames_are_free() const override { return small_->size() == 0 && large_->size() == 0; }
 private:
  struct Config : S::template Config<4> {
    static constexpr std::size_t priorities = World::priorities;
  };
  using Small = mote::FramePool<6000, 6>;
  using Large = mote::FramePool<16000, 10>;
  std::unique_ptr<Small> small_ = std::make_unique<Small>();
  std::unique_ptr<Large> large_ = std::make_unique<Large>();
  mote::StaticReactor<Config> loop_;
  std::unique_ptr<mote::CoroutinePool<12>> coroutines_ = std::make_unique<mote::CoroutinePool<12>>();
  std::unique_ptr<mote::TaskPool<Sprinter, 4>> sprinters_ = std::make_unique<mote::TaskPool<Sprinter, 4>>();
};

ON_BOTH_SELECTORS("generated: random trees of coroutines do as the model says, and leave nothing") {
  run_worlds<CoroutineWorld<S>>("mote_coroutine_tests", "generated: random trees of coroutines*",
                                std::is_same<S, test::OnEpoll>::value ? "<*OnEpoll>" : "<*OnPoll>");
}

}  // namespace
