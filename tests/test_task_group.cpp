// SPDX-License-Identifier: MIT
// Rooms: sync/task_group.hpp.
// Task groups: members of several pools, their end, their failures, and the end of the group itself.
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "support/operations.hpp"

using mote::Event;
using mote::Observation;
using mote::Outcome;
using mote::Result;
using mote::StateMachine;
using mote::Step;
using mote::Task;
using mote::TaskGroup;
using mote::TaskPool;
using mote::TaskRef;
using namespace std::chrono_literals;
using test::error_of;
using test::Running;
using test::turn;

namespace {

// Waits for the event, then ends with that errno, 0 for success. Counts its destructions and its cancellations.
struct Member : StateMachine {
  Event& event;
  int code;
  int* destroyed;
  int* cancelled;
  Result<void> waited;
  Member(Event& e, int c, int& d, int& n) : event(e), code(c), destroyed(&d), cancelled(&n) {}
  ~Member() { ++*destroyed; }
  Step step() {
    MOTE_BEGIN();
    MOTE_AWAIT(waited, event.wait());
    if (!waited) {
      ++*cancelled;
      return mote::failed(waited.error());
    }
    return code == 0 ? mote::done() : mote::failed(code);
    MOTE_END();
  }
};
// Another type, so another pool.
struct Ender {
  static constexpr const char* name = "the ender";
  int code;
  Step step() { return code == 0 ? mote::done() : mote::failed(code); }
};
struct Observer {
  std::vector<int> failures;
  std::vector<std::string> names;
  void operator()(const Observation& seen) {
    if (seen.kind != Observation::task_failed) return;
    failures.push_back(seen.error.code());
    names.emplace_back(seen.task->name());
  }
};
// Notes which members have ended, and how.
struct Ends {
  std::vector<Outcome> outcomes;
  std::vector<std::string> names;
  void operator()(const Task& task, Outcome outcome) {
    outcomes.push_back(outcome);
    names.emplace_back(task.name());
  }
};

template <class S> struct Grouped : test::Loop<S> {
  Event event;
  TaskPool<Member, 4> members;
  TaskPool<Ender, 2> enders;
  Observer observer;
  int destroyed = 0, cancelled = 0;
  Grouped() { this->observe(observer); }
  template <class Group> Result<TaskRef> add(Group& group, int code = 0) {
    return group.spawn(members, *this, event, code, destroyed, cancelled);
  }
};

}  // namespace

ON_BOTH_SELECTORS("group: members of several pools are joined together, those that are spawned meanwhile included") {
  Grouped<S> loop;
  TaskGroup<4> group;
  CHECK(group.capacity() == 4);
  REQUIRE(loop.add(group));
  const Result<TaskRef> ender = group.spawn(loop.enders, loop, 0);
  REQUIRE(ender);
  CHECK(group.size() == 2);
  Running joined(loop, [&] { return group.join_all(); });
  turn(loop, 3);
  CHECK(group.size() == 1);
  CHECK(ender->get() == nullptr);
  CHECK(std::string(joined.task().waits_for()) == "the end of a group");
  REQUIRE(loop.add(group));
  loop.event.set();
  loop.event.clear();
  turn(loop);
  CHECK(group.size() == 1);  // it has come too late for that
  CHECK_FALSE(joined.done());
  CHECK(joined.steps == 1);
  loop.event.set();
  CHECK(joined.finish());
  CHECK(joined.steps == 2);
  CHECK(group.size() == 0);
  CHECK(group.failures() == 0);
  CHECK(group.first_failure().kind == Outcome::Kind::none);
  CHECK(loop.members.size() == 0);
  CHECK(loop.enders.size() == 0);
  CHECK(loop.destroyed == 2);
}

ON_BOTH_SELECTORS("group: one without members is joined at once") {
  Grouped<S> loop;
  TaskGroup<1> group;
  Running joined(loop, [&] { return group.join_all(); });
  turn(loop);
  CHECK(joined.done());
  CHECK(joined.result);
  CHECK(joined.steps == 1);
}

ON_BOTH_SELECTORS("group: several may join it, and who is cancelled meanwhile leaves the members alone") {
  Grouped<S> loop;
  TaskGroup<2> group;
  REQUIRE(loop.add(group));
  const auto join = [&] { return group.join_all(); };
  Running first(loop, join), second(loop, join), third(loop, join);
  turn(loop);
  first.cancel();
  CHECK(error_of(first.finish()) == ECANCELED);
  CHECK(group.size() == 1);
  loop.event.set();
  CHECK(second.finish());
  CHECK(third.finish());
  CHECK(loop.cancelled == 0);
}

ON_BOTH_SELECTORS("group: cancel_all cancels each member once; until all have ended, spawn answers ECANCELED") {
  Grouped<S> loop;
  TaskGroup<4> group;
  group.cancel_all();  // of nobody: without effect
  for (int i = 0; i < 3; ++i) REQUIRE(loop.add(group));
  turn(loop);
  group.cancel_all();
  group.cancel_all();
  CHECK(error_of(loop.add(group)) == ECANCELED);
  CHECK(loop.cancelled == 0);  // not within the call
  CHECK(group.size() == 3);
  Running joined(loop, [&] { return group.join_all(); });
  CHECK(joined.finish());
  CHECK(loop.cancelled == 3);
  CHECK(loop.destroyed == 3);
  CHECK(group.failures() == 0);  // cancelled is not failed
  CHECK(loop.observer.failures.empty());
  REQUIRE(loop.add(group));  // and then it is as good as new
  loop.event.set();
  turn(loop);
  CHECK(group.size() == 0);
  CHECK(loop.cancelled == 3);
}

ON_BOTH_SELECTORS("group: by default the others go on when one fails, and join_all gives the first failure's error") {
  Grouped<S> loop;
  TaskGroup<4> group;
  REQUIRE(loop.add(group));
  REQUIRE(group.spawn(loop.enders, loop, EPROTO));
  REQUIRE(group.spawn(loop.enders, loop, EPIPE));
  Running joined(loop, [&] { return group.join_all(); });
  turn(loop);
  turn(loop);
  CHECK(group.size() == 1);
  CHECK(group.failures() == 2);
  CHECK(group.first_failure().kind == Outcome::Kind::failed);
  CHECK(group.first_failure().error == EPROTO);
  CHECK(loop.cancelled == 0);
  loop.event.set();
  CHECK(error_of(joined.finish()) == EPROTO);
  CHECK(loop.cancelled == 0);
}

ON_BOTH_SELECTORS("group: with the other policy a failure cancels the others, and join_all gives what began it") {
  Grouped<S> loop;
  TaskGroup<4> group;
  group.cancel_others_on_failure();
  for (int i = 0; i < 3; ++i) REQUIRE(loop.add(group));
  Running joined(loop, [&] { return group.join_all(); });
  turn(loop);
  REQUIRE(group.spawn(loop.enders, loop, 0));  // success cancels nobody
  turn(loop, 2);
  CHECK(group.size() == 3);
  REQUIRE(group.spawn(loop.enders, loop, EPROTO));
  turn(loop);
  CHECK(error_of(loop.add(group)) == ECANCELED);
  CHECK(error_of(joined.finish()) == EPROTO);
  CHECK(loop.cancelled == 3);
  CHECK(group.failures() == 1);
  group.cancel_others_on_failure(false);
  REQUIRE(loop.add(group));
  REQUIRE(group.spawn(loop.enders, loop, EPROTO));
  turn(loop, 2);
  CHECK(group.size() == 1);
}

ON_BOTH_SELECTORS("group: a failure is told to one who joins, or to on_end; else to the observer at that moment") {
  Grouped<S> loop;
  TaskGroup<2> group;
  REQUIRE(group.spawn(loop.enders, loop, EPROTO));
  turn(loop);
  CHECK(loop.observer.failures == std::vector<int>{EPROTO});
  CHECK(loop.observer.names == std::vector<std::string>{"the ender"});
  {
    Running joined(loop, [&] { return group.join_all(); });
    CHECK(error_of(joined.finish()) == EPROTO);  // the failure is still known, and reported to each that asks
  }
  {
    REQUIRE(loop.add(group, EIO));
    Running joined(loop, [&] { return group.join_all(); });
    turn(loop);
    loop.event.set();
    CHECK(error_of(joined.finish()) == EIO);
  }
  Ends ends;
  group.on_end(ends);
  REQUIRE(group.spawn(loop.enders, loop, EPIPE));
  turn(loop);
  CHECK(ends.outcomes.size() == 1);
  CHECK(loop.observer.failures.size() == 1);  // the first alone
  CHECK(group.failures() == 3);
  CHECK(loop.stats().tasks_failed == 3);
}

ON_BOTH_SELECTORS("group: after join_all it is used anew, and knows of no failure from before") {
  Grouped<S> loop;
  TaskGroup<2> group;
  for (const int code : {EPROTO, 0, EPIPE}) {
    REQUIRE(loop.add(group, code));
    REQUIRE(loop.add(group, code));
    Running joined(loop, [&] { return group.join_all(); });
    turn(loop);
    loop.event.set();
    CHECK(error_of(joined.finish()) == code);
    loop.event.clear();
    CHECK(group.first_failure().kind == Outcome::Kind::none);
    CHECK(group.size() == 0);
  }
  CHECK(group.failures() == 4);
  CHECK(loop.observer.failures.empty());
}

ON_BOTH_SELECTORS("group: full is ENOBUFS, and so is a full pool; neither takes anything") {
  Grouped<S> loop;
  TaskGroup<2> small;
  TaskGroup<4> large;
  REQUIRE(loop.add(small));
  REQUIRE(loop.add(small));
  CHECK(error_of(loop.add(small)) == ENOBUFS);
  CHECK(loop.members.size() == 2);
  REQUIRE(loop.add(large));
  REQUIRE(loop.add(large));
  CHECK(error_of(loop.add(large)) == ENOBUFS);
  CHECK(large.size() == 2);
  loop.event.set();
  turn(loop, 2);
  CHECK(small.size() == 0);
  CHECK(large.size() == 0);
  REQUIRE(loop.add(small));  // the freed slots
  REQUIRE(loop.add(small));
}

namespace {
// Replaces each member that fails, in the moment in which it ends.
struct Supervisor {
  mote::Reactor& reactor;
  TaskGroup<2>& group;
  TaskPool<Ender, 2>& pool;
  int restarts = 0;
  int refused = 0;
  std::vector<TaskRef> spawned{};
  std::vector<std::size_t> ended{};
  void operator()(const Task& task, Outcome outcome) {
    for (std::size_t i = 0; i < spawned.size(); ++i)
      if (spawned[i].names(task)) ended.push_back(i);
    if (outcome.kind != Outcome::Kind::failed) return;
    const Result<TaskRef> fresh = group.spawn(pool, reactor, restarts < 3 ? EIO : 0);
    if (!fresh) return static_cast<void>(++refused);
    ++restarts;
    spawned.push_back(*fresh);
  }
};
}  // namespace

ON_BOTH_SELECTORS("group: on_end tells which member has ended, and may replace it in the freed slot at once") {
  Grouped<S> loop;
  TaskGroup<2> group;
  Supervisor supervisor{loop, group, loop.enders};
  group.on_end(supervisor);
  for (int i = 0; i < 2; ++i) supervisor.spawned.push_back(*group.spawn(loop.enders, loop, i == 0 ? EIO : 0));
  CHECK(error_of(group.spawn(loop.enders, loop, 0)) == ENOBUFS);
  turn(loop);
  CHECK(group.size() == 1);
  CHECK(supervisor.restarts == 1);
  turn(loop, 10);
  CHECK(supervisor.restarts == 4);
  CHECK(supervisor.refused == 0);
  CHECK(supervisor.ended == std::vector<std::size_t>{0, 1, 2, 3, 4, 5});
  CHECK(group.size() == 0);
  CHECK(loop.enders.high_water() == 2);
  CHECK(loop.observer.failures.empty());
}

ON_BOTH_SELECTORS("group: a member that another destroys leaves it, is counted as cancelled, and the joiner is woken") {
  Grouped<S> loop;
  TaskGroup<3> group;
  Ends ends;
  group.on_end(ends);
  const Result<TaskRef> first = loop.add(group), second = loop.add(group), third = loop.add(group);
  turn(loop);
  Running joined(loop, [&] { return group.join_all(); });
  turn(loop);
  CHECK(first->cancel());
  turn(loop);
  CHECK(group.size() == 2);
  CHECK(loop.destroy_all_tasks() == 3);  // the joiner too
  CHECK(group.size() == 0);
  CHECK(loop.destroyed == 3);
  CHECK(ends.outcomes.size() == 3);
  for (const Outcome outcome : ends.outcomes) CHECK(outcome.kind == Outcome::Kind::cancelled);
  CHECK(second->get() == nullptr);
  CHECK(third->get() == nullptr);
  REQUIRE(loop.add(group));
}

ON_BOTH_SELECTORS("group: where a pool goes first, its members leave the group, and the others stay") {
  Grouped<S> loop;
  TaskGroup<4> group;
  auto pool = std::make_unique<TaskPool<Member, 2>>();
  REQUIRE(group.spawn(*pool, loop, loop.event, 0, loop.destroyed, loop.cancelled));
  REQUIRE(loop.add(group));
  REQUIRE(group.spawn(*pool, loop, loop.event, 0, loop.destroyed, loop.cancelled));
  Running joined(loop, [&] { return group.join_all(); });
  turn(loop);
  pool.reset();
  CHECK(loop.destroyed == 2);
  CHECK(group.size() == 1);
  group.cancel_all();  // which reaches the one that is left, and nobody else
  CHECK(joined.finish());
  CHECK(loop.cancelled == 1);
}

ON_BOTH_SELECTORS("group: destroyed with live members, they are destroyed with it, and counted; nobody waits") {
  Grouped<S> loop;
  auto group = std::make_unique<TaskGroup<4>>();
  auto* const gone = group.get();
  Ends ends;
  group->on_end(ends);
  for (int i = 0; i < 3; ++i) REQUIRE(loop.add(*group));
  Running joined(loop, [=] { return gone->join_all(); });
  turn(loop);
  const std::uint64_t turns = loop.stats().turns;
  group.reset();
  CHECK(loop.stats().turns == turns);
  CHECK(loop.destroyed == 3);
  CHECK(loop.cancelled == 0);  // not by way of their awaits
  CHECK(loop.stats().tasks_destroyed == 3);
  CHECK(loop.members.size() == 0);
  CHECK(ends.outcomes.empty());
  CHECK(error_of(joined.finish()) == ECANCELED);
  CHECK(loop.stats().tasks == 0);
}

ON_BOTH_SELECTORS(
    "group: destroyed, it destroys members whose destructors spawn into it, cancel it, or end each other") {
  struct Spiteful : StateMachine {
    TaskGroup<4>& group;
    Grouped<S>& loop;
    int& refused;
    Result<void> waited;
    Spiteful(TaskGroup<4>& g, Grouped<S>& l, int& r) : group(g), loop(l), refused(r) {}
    ~Spiteful() {
      group.cancel_all();
      refused += !loop.add(group);
      refused += !loop.members.spawn(loop, loop.event, 0, loop.destroyed, loop.cancelled);
    }
    Step step() {
      MOTE_BEGIN();
      MOTE_AWAIT(waited, loop.event.wait());
      MOTE_END();
    }
  };
  Grouped<S> loop;
  TaskPool<Spiteful, 3> pool;
  int refused = 0;
  std::optional<TaskGroup<4>> group(std::in_place);
  REQUIRE(loop.add(*group));
  for (int i = 0; i < 3; ++i) REQUIRE(group->spawn(pool, loop, *group, loop, refused));
  turn(loop);
  group.reset();
  CHECK(refused == 6);
  CHECK(pool.size() == 0);
  CHECK(loop.members.size() == 0);
  CHECK(loop.stats().tasks == 0);
}

ON_BOTH_SELECTORS(
    "group: a member that destroys its own group is cancelled and goes on alone, the others are destroyed") {
  struct Rebel : StateMachine {
    std::unique_ptr<TaskGroup<4>>& group;
    Event& event;
    bool& finished;
    int& answer;
    Result<void> waited;
    Rebel(std::unique_ptr<TaskGroup<4>>& g, Event& e, bool& f, int& a) : group(g), event(e), finished(f), answer(a) {}
    Step step() {
      MOTE_BEGIN();
      MOTE_YIELD();
      group.reset();
      MOTE_AWAIT(waited, event.wait());
      answer = error_of(waited);
      MOTE_YIELD();
      finished = true;
      return mote::failed(EPROTO);
      MOTE_END();
    }
  };
  Grouped<S> loop;
  TaskPool<Rebel, 1> pool;
  bool finished = false;
  int answer = 0;
  auto group = std::make_unique<TaskGroup<4>>();
  REQUIRE(loop.add(*group));
  REQUIRE(group->spawn(pool, loop, group, loop.event, finished, answer));
  REQUIRE(loop.add(*group));
  turn(loop, 2);
  CHECK(group == nullptr);
  CHECK(loop.destroyed == 2);
  CHECK_FALSE(finished);
  turn(loop, 3);
  CHECK(finished);
  CHECK(answer == ECANCELED);
  CHECK(loop.observer.failures == std::vector<int>{EPROTO});  // nobody else is there to be told
  CHECK(pool.size() == 0);
  CHECK(loop.stats().tasks == 0);
}

ON_BOTH_SELECTORS("group: a member's destructor may destroy the group, amid its end and amid its destruction") {
  struct Avenger : StateMachine {
    std::unique_ptr<TaskGroup<4>>& group;
    Event& event;
    int& destroyed;
    Result<void> waited;
    Avenger(std::unique_ptr<TaskGroup<4>>& g, Event& e, int& d) : group(g), event(e), destroyed(d) {}
    ~Avenger() {
      ++destroyed;
      group.reset();
    }
    Step step() {
      MOTE_BEGIN();
      MOTE_AWAIT(waited, event.wait());
      MOTE_END();
    }
  };
  for (const bool by_its_end : {true, false}) {
    CAPTURE(by_its_end);
    Grouped<S> loop;
    Event end;
    TaskPool<Avenger, 1> pool;
    auto group = std::make_unique<TaskGroup<4>>();
    REQUIRE(loop.add(*group));
    int avenged = 0;
    const Result<TaskRef> avenger = group->spawn(pool, loop, group, end, avenged);
    REQUIRE(loop.add(*group));
    turn(loop);
    if (by_its_end) end.set();
    else CHECK(avenger->cancel());
    turn(loop);
    CHECK(group == nullptr);
    CHECK(avenged == 1);
    CHECK(loop.destroyed == 2);
    CHECK(pool.size() == 0);
    CHECK(loop.stats().tasks == 0);
  }
}

ON_BOTH_SELECTORS("group: on_end may destroy the group, and the pool of the one that has ended") {
  Grouped<S> loop;
  auto group = std::make_unique<TaskGroup<4>>();
  auto pool = std::make_unique<TaskPool<Ender, 2>>();
  auto end_of_all = [&](const Task&, Outcome) {
    group.reset();
    pool.reset();
  };
  group->on_end(end_of_all);
  REQUIRE(loop.add(*group));
  REQUIRE(group->spawn(*pool, loop, EPROTO));
  turn(loop);
  CHECK(group == nullptr);
  CHECK(loop.destroyed == 1);
  CHECK(loop.stats().tasks == 0);
}

ON_BOTH_SELECTORS("group: it, its pools and the reactor may be destroyed in every order, with members that wait") {
  for (int order = 0; order < 6; ++order) {
    CAPTURE(order);
    int destroyed = 0, cancelled = 0;
    Event event;
    auto loop = std::make_unique<test::Loop<S>>();
    auto pool = std::make_unique<TaskPool<Member, 2>>();
    auto group = std::make_unique<TaskGroup<2>>();
    for (int i = 0; i < 2; ++i) REQUIRE(group->spawn(*pool, *loop, event, 0, destroyed, cancelled));
    turn(*loop);
    const auto end = [&](int which) {
      if (which == 0) loop.reset();
      else if (which == 1) pool.reset();
      else group.reset();
      CHECK(destroyed == 2);  // whichever of the two is destroyed first
    };
    const int first = order / 2, second = (first + 1 + order % 2) % 3;
    end(first);
    end(second);
    end(3 - first - second);
    CHECK(cancelled == 0);
  }
}

struct Recruiter {  // fills its group as it is made
  Recruiter(TaskPool<Recruiter, 4>& pool, TaskGroup<2>& group, mote::Reactor& reactor, int more) {
    for (; more > 0; --more) spawned += group.spawn(pool, reactor, pool, group, reactor, 0) ? 1 : 0;
  }
  Step step(Task&) { return mote::done(); }
  static inline int spawned = 0;
};
ON_BOTH_SELECTORS("group: one that its member's constructor fills has no room for the member") {
  test::Loop<S> loop;
  TaskPool<Recruiter, 4> pool;
  TaskGroup<2> group;
  Recruiter::spawned = 0;
  CHECK(error_of(group.spawn(pool, loop, pool, group, loop, 2)) == ENOBUFS);
  CHECK(Recruiter::spawned == 2);
  CHECK(group.size() == 2);
  CHECK(loop.run());
  CHECK(group.size() == 0);
  CHECK(pool.size() == 0);
}

ON_BOTH_SELECTORS("group: members are cancelled by a shutdown like any task, and who joins is told their end") {
  Grouped<S> loop;
  TaskGroup<2> group;
  mote::GracefulShutdown shutdown(loop, {}, 0ms, 500ms);
  REQUIRE(loop.add(group));
  REQUIRE(loop.add(group));
  turn(loop);
  shutdown.request();
  const Result<mote::ShutdownReport> report = shutdown.run();
  REQUIRE(report);
  CHECK(report->cancelled == 2);
  CHECK(report->destroyed == 0);
  CHECK(loop.cancelled == 2);
  CHECK(group.size() == 0);
}
