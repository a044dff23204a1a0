// SPDX-License-Identifier: MIT
// Rooms: coroutine/co.hpp, coroutine/promise.hpp, coroutine/chain.hpp, coroutine/coroutine_pool.hpp,
// coroutine/this_task.hpp.
// Coroutines: what they return to each other, as tasks, and as operations.
#include "support/coroutines.hpp"

namespace {
using namespace std::chrono_literals;
using test::Count;
using test::MoveOnly;
using test::Tracked;

mote::FramePool<4096, 16> frames;

// ---- what they give ---------------------------------------------------------------------------------------------------

mote::Co<int> add(mote::FrameSource&, int a, int b) { co_return a + b; }
mote::Co<void> sum(mote::FrameSource& from, int& total) {
  const mote::Result<int> got = co_await add(from, 1, 2);
  if (got) total += *got;
}

ON_BOTH_SELECTORS("coroutines: one awaits another, and gets what it returns") {
  test::Loop<S> loop;
  mote::CoroutinePool<1> pool;
  int total = 0;
  CHECK(pool.spawn(loop, sum(frames, total)));
  CHECK(total == 0);  // it begins when it is first stepped
  CHECK(loop.run());
  CHECK(total == 3);
  CHECK(frames.size() == 0);
}

mote::Co<mote::Result<int>> positive(mote::FrameSource&, int number) {
  if (number < 0) co_return mote::Error(ERANGE);
  co_return mote::value(number);
}
mote::Co<int> checked(mote::FrameSource& from, int number) { co_return co_await positive(from, number); }
mote::Co<int&> element(mote::FrameSource&, int (&array)[3], std::size_t i) {
  if (i >= 3) co_return mote::Error(ERANGE);
  co_return array[i];
}
mote::Co<mote::Result<void>> accept(mote::FrameSource&, bool yes) {
  if (yes) co_return {};
  co_return mote::Error(EACCES);
}
mote::Co<MoveOnly> make(mote::FrameSource&, int number) { co_return MoveOnly(number); }
mote::Co<MoveOnly> pass_on(mote::FrameSource&, MoveOnly given) {
  static_cast<void>(co_await mote::yield());
  co_return std::move(given);
}
mote::Co<bool> truth(mote::FrameSource&) { co_return {}; }

mote::Co<void> all_kinds(mote::FrameSource& from, int& reached) {
  auto value = co_await add(from, 2, 3);
  static_assert(std::is_same_v<decltype(value), mote::Result<int>>);
  CHECK((value && *value == 5));
  auto result = co_await positive(from, 4);
  static_assert(std::is_same_v<decltype(result), mote::Result<int>>);
  CHECK((result && *result == 4));
  result = co_await positive(from, -4);
  CHECK(test::error_of(result) == ERANGE);
  result = co_await checked(from, -1);  // a Co<int> may fail, too
  CHECK(test::error_of(result) == ERANGE);
  int array[3] = {1, 2, 3};
  auto reference = co_await element(from, array, 1);
  static_assert(std::is_same_v<decltype(reference), mote::Result<int&>>);
  CHECK((reference && &*reference == &array[1]));
  reference = co_await element(from, array, 3);
  CHECK(reference.error() == ERANGE);
  int total = 0;
  auto nothing = co_await sum(from, total);
  static_assert(std::is_same_v<decltype(nothing), mote::Result<void>>);
  CHECK(test::error_of(nothing) == 0);
  CHECK(total == 3);
  auto outcome = co_await accept(from, true);
  static_assert(std::is_same_v<decltype(outcome), mote::Result<void>>);
  CHECK(test::error_of(outcome) == 0);
  outcome = co_await accept(from, false);
  CHECK(test::error_of(outcome) == EACCES);
  auto moved = co_await make(from, 7);
  CHECK((moved && moved->value == 7));
  moved = co_await pass_on(from, std::move(*moved));
  CHECK((moved && moved->value == 7));
  auto no = co_await truth(from);
  CHECK((no && !*no));
  mote::Task& task = co_await mote::this_task();
  CHECK(task.is_alive());
  reached = 1;
}

ON_BOTH_SELECTORS("coroutines: they give a value, a Result, a reference, nothing, or what can only be moved") {
  test::Loop<S> loop;
  int reached = 0;
  CHECK(test::succeeds(loop, all_kinds(frames, reached)));
  CHECK(reached == 1);
  CHECK(frames.size() == 0);
}

mote::Co<mote::Result<void>> twice(mote::FrameSource& from, int (&seen)[4]) {
  mote::Co<int> child = add(from, 1, 1);
  mote::Co<int> other = std::move(child);
  seen[0] = test::error_of(co_await child);  // moved from
  seen[1] = test::error_of(co_await other);
  seen[2] = test::error_of(co_await other);  // has ended
  other = add(from, 1, 1);
  const mote::Result<int> got = co_await std::move(other);
  seen[3] = got ? *got : -1;
  co_return {};
}
ON_BOTH_SELECTORS("coroutines: one that has ended or was moved from answers EINVAL, and a variable may get another") {
  test::Loop<S> loop;
  int seen[4] = {};
  CHECK(test::succeeds(loop, twice(frames, seen)));
  CHECK(seen[0] == EINVAL);
  CHECK(seen[1] == 0);
  CHECK(seen[2] == EINVAL);
  CHECK(seen[3] == 2);
  CHECK(frames.size() == 0);
}

// ---- expressions and their temporaries --------------------------------------------------------------------------------

// Completes at once, or in a later turn.
mote::Co<int> number(mote::FrameSource&, bool at_once, Tracked tracked) {
  const int value = tracked.value;
  if (!at_once) static_cast<void>(co_await mote::yield());
  CHECK(tracked.value == value);
  co_return value;
}
mote::Co<Tracked*> keep(mote::FrameSource&, bool at_once, Tracked& tracked) {
  if (!at_once) static_cast<void>(co_await mote::yield());
  co_return &tracked;
}
int minus(int a, int b) { return a - b; }
int value_of(const mote::Result<int>& result, const Tracked& /*temporary beside it*/) { return *result; }

mote::Co<int> expressions(mote::FrameSource& from, bool at_once, Count& count) {
  int sum = 0;
  const auto say = [&](int value) { return Tracked(count, value); };
  // In conditions, with what is not evaluated.
  if (co_await number(from, at_once, say(1)) && *co_await number(from, at_once, say(2)) == 2) sum += 1;
  if (*co_await number(from, at_once, say(1)) == 2 && co_await number(from, at_once, say(2))) sum += 1000;
  if (*co_await number(from, at_once, say(1)) == 1 || co_await number(from, at_once, say(2))) sum += 10;
  // (g++ 11 and 12 evaluate both sides where a conditional is a part of more: then it is written as a statement.)
  const int chosen =
      count.alive == 0 ? *co_await number(from, at_once, say(100)) : *co_await number(from, at_once, say(5000));
  sum += chosen;
  CHECK(count.alive == 0);
  for (int i = 0; *co_await number(from, at_once, say(i)) < 3; ++i) CHECK(count.alive == 0);
  while (*co_await number(from, at_once, say(3)) != 3) sum += 10000;
  do sum += 1;
  while (*co_await number(from, at_once, say(3)) != 3);
  switch (*co_await number(from, at_once, say(4))) {
    case 4: sum += 20; break;
    default: sum += 10000;
  }
  CHECK(count.alive == 0);
  // Beside each other, as arguments, and within each other.
  sum += minus(*co_await number(from, at_once, say(700)), *co_await number(from, at_once, say(500)));
  sum += value_of(co_await number(from, at_once, say(1000)), say(1));
  sum += *co_await number(from, at_once, say(*co_await number(from, at_once, say(2000)) + 1000));
  const std::array<int, 2> pair{*co_await number(from, at_once, say(1)), *co_await number(from, at_once, say(2))};
  sum += pair[1] - pair[0];
  CHECK(count.alive == 0);
  // What is bound to a reference lives as long as that, and a temporary to the end of its expression.
  const mote::Result<int>& bound = co_await number(from, at_once, say(1));
  sum += *bound;
  sum += (*co_await keep(from, at_once, const_cast<Tracked&>(static_cast<const Tracked&>(say(2)))))->value;
  CHECK(count.alive == 0);
  // Lambdas: called where they stand, with what they are given; and one with captures, that outlives the await.
  sum += *co_await [](mote::FrameSource&, bool now, Tracked tracked) -> mote::Co<int> {
    if (!now) static_cast<void>(co_await mote::yield());
    co_return tracked.value;
  }(from, at_once, say(3));
  const auto capturing = [&, tracked = say(4)](mote::FrameSource& pool) -> mote::Co<int> {
    if (!at_once) static_cast<void>(co_await mote::yield());
    co_return tracked.value + *co_await number(pool, at_once, say(1));
  };
  sum += *co_await capturing(from);
  CHECK(count.alive == 1);
  co_return co_await number(from, at_once, say(sum));
}

mote::Co<void> evaluate(mote::FrameSource& from, bool at_once, Count& count, int& got) {
  got = *co_await expressions(from, at_once, count);
}
ON_BOTH_SELECTORS("coroutines: an await may stand in any expression, whose temporaries are destroyed once") {
  test::Loop<S> loop;
  for (const bool at_once : {true, false}) {
    Count count;
    int got = 0;
    CHECK(test::succeeds(loop, evaluate(frames, at_once, count, got)));
    CHECK(got == 1 + 10 + 100 + 1 + 20 + 200 + 1000 + 3000 + 1 + 1 + 2 + 3 + 5);
    CHECK(count.alive == 0);
    CHECK(count.destroyed > 20);
    CHECK(frames.size() == 0);
  }
}

// ---- as tasks ---------------------------------------------------------------------------------------------------------

mote::Co<int> wait_inside(mote::FrameSource&, mote::Event& event, std::uint32_t& line) {
  line = __LINE__ + 1;
  if (const auto waited = co_await event.wait(); !waited) co_return waited.error();
  co_return 1;
}
mote::Co<mote::Result<void>> wait_twice(mote::FrameSource& from, mote::Event& event, std::uint32_t& line) {
  const auto waited = co_await wait_inside(from, event, line);
  if (!waited) co_return waited.error();
  event.clear();
  line = __LINE__ + 1;
  co_return co_await event.wait();
}

struct Dumped {
  std::string name;
  std::uint32_t line = 0;
  std::string waits_for;
};
Dumped dump(mote::Reactor& reactor) {
  Dumped dumped;
  int tasks = 0;
  reactor.for_each_task([&](mote::Task& task) {
    ++tasks;
    dumped = {task.name(), task.line(), task.waits_for() != nullptr ? task.waits_for() : "nothing"};
  });
  CHECK(tasks == 1);
  return dumped;
}

ON_BOTH_SELECTORS("coroutines: the dump shows which function awaits what, in which line") {
  test::Loop<S> loop;
  mote::CoroutinePool<1> pool;
  mote::Event event;
  std::uint32_t line = 0;
  auto task = pool.spawn(loop, wait_twice(frames, event, line));
  REQUIRE(task);
  CHECK(dump(loop).name == "wait_twice");  // which has not begun
  CHECK(dump(loop).line == 0);
  test::turns(loop);
  CHECK(dump(loop).name == "wait_inside");
  CHECK(dump(loop).line == line);
  CHECK(dump(loop).waits_for == "an event");
  CHECK(frames.size() == 2);
  const std::uint32_t before = line;
  event.set();
  test::turns(loop);
  CHECK(line > before);
  CHECK(dump(loop).name == "wait_twice");
  CHECK(dump(loop).line == line);
  event.set();
  CHECK(loop.run());
  CHECK(task->outcome().kind == mote::Outcome::Kind::done);
  CHECK(frames.size() == 0);
}

mote::Co<mote::Result<void>> fail(mote::FrameSource&, mote::Event& event) {
  const auto waited = co_await event.wait();
  co_return waited ? mote::Error(EPROTO) : waited.error();
}
mote::Co<void> join(mote::FrameSource&, mote::TaskHandle& handle, mote::Outcome& outcome) {
  const auto joined = co_await handle.join();
  if (joined) outcome = *joined;
}
ON_BOTH_SELECTORS("coroutines: their end is joined as a task's: done, failed, cancelled, destroyed") {
  test::Loop<S> loop;
  mote::CoroutinePool<2> pool;
  for (int how = 0; how < 4; ++how) {
    mote::Event event;
    std::uint32_t line = 0;
    auto task = how == 0 ? pool.spawn(loop, wait_inside(frames, event, line)) : pool.spawn(loop, fail(frames, event));
    REQUIRE(task);
    mote::Outcome outcome;
    CHECK(pool.spawn(loop, join(frames, *task, outcome)));
    test::turns(loop);
    CHECK(outcome.kind == mote::Outcome::Kind::none);
    if (how < 2) event.set();
    if (how == 2) task->cancel();
    if (how == 3) CHECK(task->destroy());
    CHECK(loop.run());
    const auto kind = how == 0   ? mote::Outcome::Kind::done
                      : how == 1 ? mote::Outcome::Kind::failed
                                 : mote::Outcome::Kind::cancelled;
    CHECK(outcome.kind == kind);
    if (how == 1) CHECK(outcome.error == EPROTO);
    CHECK(frames.size() == 0);
    CHECK(pool.size() == 0);
  }
}

mote::Co<mote::Result<void>> fail_at_once(mote::FrameSource&, std::uint32_t& line) {
  line = __LINE__;
  static_cast<void>(co_await mote::this_task());
  co_return mote::Error(EPROTO);
}
struct Reports {
  int failures = 0, error = 0;
  std::uint32_t line = 0;
  std::string name;
  void operator()(const mote::Observation& observation) {
    if (observation.kind != mote::Observation::task_failed) return;
    ++failures;
    error = observation.error.code();
    name = observation.task->name();
    line = observation.task->line();
  }
};
mote::Co<mote::Result<void>> fail_after(mote::FrameSource& from, mote::Event& event, std::uint32_t& line) {
  line = __LINE__ + 1;
  const auto failed = co_await fail(from, event);
  co_return failed.error();
}
// One that nobody joins waits for the event, and then fails.
template <class S> struct Unjoined {
  Unjoined() { loop.observe(reports); }
  void run(mote::Co<mote::Result<void>> failing) {
    CHECK(pool.spawn(loop, std::move(failing)));  // its handle is dropped
    test::turns(loop);
    event.set();
    CHECK(loop.run());
  }
  test::Loop<S> loop;
  Reports reports;
  mote::CoroutinePool<1> pool;
  mote::Event event;
};
ON_BOTH_SELECTORS("coroutines: what fails after another has failed is told with its own name and line") {
  Unjoined<S> world;
  std::uint32_t line = 0;
  world.run(fail_after(frames, world.event, line));
  CHECK(world.reports.failures == 1);
  CHECK(world.reports.name == "fail_after");
  CHECK(world.reports.line == line);
}

ON_BOTH_SELECTORS("coroutines: a failure that nobody joins is told to the observer, with the name") {
  Unjoined<S> world;
  auto& [loop, reports, pool, event] = world;
  world.run(fail(frames, event));
  CHECK(reports.failures == 1);
  CHECK(reports.error == EPROTO);
  CHECK(reports.name == "fail");
  auto cancelled = pool.spawn(loop, fail(frames, event));
  REQUIRE(cancelled);
  event.clear();
  test::turns(loop);
  cancelled->cancel();
  cancelled->detach();
  CHECK(loop.run());
  CHECK(reports.failures == 1);  // a cancellation is none
  std::uint32_t line = 0;
  CHECK(pool.spawn(loop, fail_at_once(frames, line)));
  CHECK(loop.run());
  CHECK(reports.failures == 2);
  CHECK(reports.name == "fail_at_once");
  CHECK((reports.line >= line - 1 && reports.line <= line + 3));  // of the function: it has awaited no operation
  CHECK(frames.size() == 0);
}

mote::Co<void> stubborn(mote::FrameSource&, mote::Event& event, int (&seen)[2]) {
  for (int& error : seen) error = test::error_of(co_await event.wait());
}
ON_BOTH_SELECTORS("coroutines: a cancellation is answered once, and a clean-up may await") {
  test::Loop<S> loop;
  mote::CoroutinePool<1> pool;
  mote::Event event;
  int seen[2] = {-1, -1};
  auto task = pool.spawn(loop, stubborn(frames, event, seen));
  REQUIRE(task);
  test::turns(loop);
  task->cancel();
  test::turns(loop);
  CHECK(seen[0] == ECANCELED);
  CHECK(seen[1] == -1);
  event.set();
  CHECK(loop.run());
  CHECK(seen[1] == 0);
  CHECK(task->outcome().kind == mote::Outcome::Kind::done);
}

ON_BOTH_SELECTORS("coroutines: a task pool that is full leaves the coroutine as it was, to be spawned later") {
  test::Loop<S> loop;
  mote::CoroutinePool<1> pool;
  mote::Event event;
  int total = 0;
  auto first = pool.spawn(loop, fail(frames, event));
  REQUIRE(first);
  mote::Co<void> second = sum(frames, total);
  CHECK(test::error_of(pool.spawn(loop, std::move(second))) == ENOBUFS);
  CHECK(second);
  CHECK(frames.size() == 2);
  CHECK(first->destroy());
  first->detach();
  CHECK(pool.spawn(loop, std::move(second)));
  CHECK(!second);
  CHECK(test::error_of(pool.spawn(loop, std::move(second))) == EINVAL);
  CHECK(loop.run());
  CHECK(total == 3);
  CHECK(frames.size() == 0);
}

ON_BOTH_SELECTORS("coroutines: one that is never begun destroys its parameters, and nothing else") {
  Count count;
  {
    const mote::Co<int> never = number(frames, true, Tracked(count, 1));
    CHECK(never);
    CHECK(frames.size() == 1);
    CHECK(count.alive == 1);
  }
  CHECK(count.alive == 0);
  CHECK(frames.size() == 0);
  test::Loop<S> loop;
  {
    mote::CoroutinePool<1> pool;
    CHECK(pool.spawn(loop, number(frames, true, Tracked(count, 1))));  // the pool goes before the first step
  }
  CHECK(count.alive == 0);
  CHECK(frames.size() == 0);
}

// ---- as operations ----------------------------------------------------------------------------------------------------

struct Machine : mote::StateMachine {
  mote::Co<int> child;
  mote::Event& after;
  mote::Result<int>& got;
  int& ended;
  mote::Result<void> waited;
  mote::Step step() {
    MOTE_BEGIN();
    MOTE_AWAIT(got, child);
    MOTE_AWAIT(waited, after.wait());
    ended = 1;
    MOTE_END();
  }
};
ON_BOTH_SELECTORS("coroutines: a StateMachine awaits one, and goes on where it stood") {
  test::Loop<S> loop;
  mote::Event event, after;
  mote::Result<int> got;
  int ended = 0;
  std::uint32_t line = 0;
  mote::TaskPool<Machine, 1> pool;
  mote::Result<mote::TaskHandle> task;
  const auto begin = [&] {
    task = mote::Error(EAGAIN);  // gives the slot back
    task = pool.spawn(loop, wait_inside(frames, event, line), after, got, ended);
    REQUIRE(task);
  };
  begin();
  test::turns(loop);
  const std::uint32_t awaiting = dump(loop).line;
  CHECK(awaiting > line);  // its own line, not that of the coroutine
  event.set();
  test::turns(loop);
  CHECK((got && *got == 1));
  CHECK(dump(loop).line == awaiting + 1);
  CHECK(frames.size() == 0);
  CHECK(ended == 0);
  after.set();
  CHECK(loop.run());
  CHECK(ended == 1);
  event.clear();
  begin();
  test::turns(loop);
  task->cancel();
  CHECK(loop.run());
  CHECK(test::error_of(got) == ECANCELED);
  begin();
  test::turns(loop);
  CHECK(frames.size() == 1);
  CHECK(task->destroy());
  CHECK(frames.size() == 0);
}

mote::Co<int> value_after(mote::FrameSource&, mote::Event& event, Tracked tracked) {
  if (const auto waited = co_await event.wait(); !waited) co_return waited.error();
  co_return tracked.value;
}
mote::Co<void> combine(mote::FrameSource& from, mote::Event (&events)[4], Count& count, int (&seen)[8]) {
  auto first = co_await mote::first_of(value_after(from, events[0], Tracked(count, 10)),
                                       value_after(from, events[1], Tracked(count, 11)), events[3].wait());
  CHECK(count.alive == 0);
  seen[0] = first && first->which == 1 ? *first->template get<1>() : -1;
  mote::AllOf<int, int, void> results;
  const auto all = co_await mote::all_of(results, value_after(from, events[0], Tracked(count, 20)),
                                         value_after(from, events[2], Tracked(count, 21)), events[0].wait());
  CHECK(count.alive == 0);
  seen[1] = all ? *results.get<0>() + *results.get<1>() : -1;
  mote::TaskTimer timer;
  const auto late = co_await mote::with_timeout(timer, 1ms, value_after(from, events[3], Tracked(count, 30)));
  seen[2] = test::error_of(late);
  CHECK(count.alive == 0);
  const auto in_time = co_await mote::with_timeout(timer, 1h, value_after(from, events[0], Tracked(count, 31)));
  seen[3] = in_time ? *in_time : -1;
  const auto shielded = co_await mote::shield(value_after(from, events[3], Tracked(count, 40)));
  seen[4] = shielded ? *shielded : -1;
  seen[5] = test::error_of(co_await events[2].wait());  // the cancellation, that was held back
  mote::Co<int> kept = value_after(from, events[2], Tracked(count, 50));
  const auto given_up = co_await mote::with_timeout(timer, 1ms, kept);
  seen[6] = test::error_of(given_up);
  CHECK(count.alive == 1);
  const auto later = co_await kept;  // goes on where it stood
  seen[7] = later ? *later : -1;
}
ON_BOTH_SELECTORS("coroutines: they are parts of first_of, all_of, with_timeout and shield") {
  test::Loop<S> loop;
  mote::CoroutinePool<1> pool;
  mote::Event events[4];
  Count count;
  int seen[8] = {};
  auto task = pool.spawn(loop, combine(frames, events, count, seen));
  REQUIRE(task);
  test::turns(loop);
  CHECK(frames.size() == 3);
  events[1].set();
  test::turns(loop);
  CHECK(seen[0] == 11);
  events[0].set();
  test::turns(loop);
  CHECK(seen[1] == 0);
  events[2].set();
  test::turns(loop, 2);
  events[2].clear();
  CHECK(seen[1] == 41);
  CHECK(test::run_until(loop, [&] { return seen[3] != 0; }));
  CHECK(seen[2] == ETIMEDOUT);
  CHECK(seen[3] == 31);
  task->cancel();
  test::turns(loop);
  CHECK(seen[4] == 0);
  events[3].set();
  test::turns(loop);
  CHECK(seen[4] == 40);
  CHECK(seen[5] == ECANCELED);
  CHECK(test::run_until(loop, [&] { return seen[6] != 0; }));
  CHECK(seen[6] == ETIMEDOUT);
  test::turns(loop);
  CHECK(dump(loop).name == "value_after");
  events[2].set();
  CHECK(loop.run());
  CHECK(seen[7] == 50);
  CHECK(count.alive == 0);
  CHECK(frames.size() == 0);
}

struct Racer : mote::StateMachine {
  mote::Co<int> a, b;
  mote::TaskTimer& timer;
  int (&seen)[2];
  mote::Result<mote::FirstOf<int, int>> first;
  mote::Result<int> late;
  mote::Step step() {
    MOTE_BEGIN();
    MOTE_AWAIT(first, mote::first_of(a, b));
    seen[0] = first && first->which == 1 ? *first->get<1>() : -1;
    MOTE_AWAIT(late, mote::with_timeout(timer, 1ms, mote::shield(a)));
    seen[1] = test::error_of(late);
    MOTE_END();
  }
};
ON_BOTH_SELECTORS("coroutines: a StateMachine's combinators take those that it keeps") {
  test::Loop<S> loop;
  mote::TaskPool<Racer, 1> pool;
  mote::Event never, event;
  mote::TaskTimer timer;
  Count count;
  int seen[2] = {};
  CHECK(pool.spawn(loop, value_after(frames, never, Tracked(count, 1)), value_after(frames, event, Tracked(count, 2)),
                   timer, seen));
  test::turns(loop);
  event.set();
  CHECK(test::run_until(loop, [&] { return loop.stats().tasks == 0; }));
  CHECK(seen[0] == 2);
  CHECK(seen[1] == ETIMEDOUT);
  CHECK(count.alive == 0);
  CHECK(frames.size() == 0);
}

mote::Co<void> clean_up(mote::FrameSource&, mote::TaskTimer& timer, mote::Event& event, int (&seen)[3]) {
  seen[0] = test::error_of(co_await mote::with_timeout(timer, 1ms, event.wait()));
  seen[1] = test::error_of(co_await mote::first_of(event.wait(), mote::shield(mote::yield())));
  seen[2] = test::error_of(co_await event.wait());
  event.clear();
}
mote::Co<void> shielding(mote::FrameSource& from, mote::TaskTimer& timer, mote::Event& event, int (&seen)[3],
                         int& then) {
  CHECK(co_await mote::shield(clean_up(from, timer, event, seen)));
  then = test::error_of(co_await event.wait());
}
ON_BOTH_SELECTORS("coroutines: a shield holds to the end of a coroutine, whatever times out or is shielded inside") {
  test::Loop<S> loop;
  mote::CoroutinePool<1> pool;
  mote::TaskTimer timer;
  mote::Event event;
  int seen[3] = {-1, -1, -1}, then = -1;
  auto task = pool.spawn(loop, shielding(frames, timer, event, seen, then));
  REQUIRE(task);
  test::turns(loop, 1);
  task->cancel();
  CHECK(test::run_until(loop, [&] { return seen[1] != -1; }));
  CHECK(seen[0] == ETIMEDOUT);
  CHECK(seen[1] == 0);
  test::turns(loop);
  CHECK(seen[2] == -1);
  event.set();
  CHECK(loop.run());
  CHECK(seen[2] == 0);
  CHECK(then == ECANCELED);
}

ON_BOTH_SELECTORS("coroutines: one that a task began and gave up is spawned, and goes on as a task of its own") {
  test::Loop<S> loop;
  mote::CoroutinePool<2> pool;
  mote::Event event;
  Count count;
  mote::Co<int> moved = value_after(frames, event, Tracked(count, 1));
  struct Beginner : mote::StateMachine {
    mote::Co<int>& child;
    mote::TaskTimer timer{};
    mote::Result<int> got{};
    mote::Step step() {
      MOTE_BEGIN();
      MOTE_AWAIT(got, mote::with_timeout(timer, 1ms, child));
      MOTE_END();
    }
  };
  mote::TaskPool<Beginner, 1> beginners;
  CHECK(beginners.spawn(loop, moved));
  CHECK(test::run_until(loop, [&] { return loop.stats().tasks == 0; }));
  CHECK(count.alive == 1);
  auto task = pool.spawn(loop, std::move(moved));
  REQUIRE(task);
  test::turns(loop);
  CHECK(task->get()->is_alive());
  event.set();
  CHECK(loop.run());
  CHECK(task->outcome().kind == mote::Outcome::Kind::done);
  CHECK(count.alive == 0);
}

// ---- the stack --------------------------------------------------------------------------------------------------------

// The deepest and the highest that the stack has been where this was called.
struct StackMark {
  std::uintptr_t low = UINTPTR_MAX, high = 0;
  [[gnu::noinline]] void look() {
    const auto here = reinterpret_cast<std::uintptr_t>(__builtin_frame_address(0));
    if (here < low) low = here;
    if (here > high) high = here;
  }
  std::size_t spread() const { return high - low; }
};
constexpr std::size_t a_few_frames = 4096;

mote::Co<int> at_once(mote::FrameSource&, StackMark& mark, int i) {
  mark.look();
  co_return i & 1;
}
mote::Co<void> loop_of_awaits(mote::FrameSource& from, StackMark& mark, int count, int& sum) {
  for (int i = 0; i < count; ++i) {
    mark.look();
    sum += *co_await at_once(from, mark, i);
  }
}
ON_BOTH_SELECTORS("coroutines: 100,000 awaits that complete at once do not grow the stack, and take one step") {
  test::Loop<S> loop;
  StackMark mark;
  int sum = 0;
  const std::uint32_t before = frames.high_water();
  CHECK(test::succeeds(loop, loop_of_awaits(frames, mark, 100000, sum)));
  CHECK(sum == 50000);
  CHECK(mark.spread() <= a_few_frames);
  CHECK(frames.high_water() <= std::max(before, 2u));
}

constexpr int deepest = 10000;
mote::FramePool<1024, deepest> deep_frames;
mote::Co<int> descend(mote::FrameSource& from, StackMark& mark, int depth, mote::Event* event) {
  mark.look();
  if (depth == 0 && event != nullptr) {
    if (const auto waited = co_await event->wait(); !waited) co_return waited.error();
  }
  if (depth == 0) co_return 0;
  const mote::Result<int> below = co_await descend(from, mark, depth - 1, event);
  mark.look();
  if (!below) co_return below.error();
  co_return *below + 1;
}
mote::Co<void> dive(mote::FrameSource& from, mote::FrameSource& deep, StackMark& mark, int depth, mote::Event* event,
                    mote::Result<int>& got) {
  static_cast<void>(from);
  got = co_await descend(deep, mark, depth, event);
}
mote::Co<void> begin_in(mote::FrameSource&, mote::Co<void> dive) { static_cast<void>(co_await std::move(dive)); }

ON_BOTH_SELECTORS("coroutines: a recursion as deep as the pool allows does not grow the stack; deeper, it is ENOBUFS") {
  test::Loop<S> loop;
  mote::Event event;
  for (mote::Event* const wait_for : {static_cast<mote::Event*>(nullptr), &event}) {
    for (const int depth : {deepest - 1, deepest, deepest + 5}) {
      event.clear();
      StackMark mark;
      mote::Result<int> got;
      mote::CoroutinePool<1> pool;
      CHECK(pool.spawn(loop, dive(frames, deep_frames, mark, depth, wait_for, got)));
      test::turns(loop, 2);
      event.set();
      CHECK(loop.run());
      CHECK(test::error_of(got) == (depth < deepest ? 0 : ENOBUFS));
      if (got) CHECK(*got == depth);
      CHECK(mark.spread() <= a_few_frames);
      CHECK(deep_frames.high_water() == deepest);
      CHECK(deep_frames.size() == 0);
    }
  }
}

ON_BOTH_SELECTORS("coroutines: a chain of 1,000 is destroyed amid, and cancelled amid") {
  test::Loop<S> loop;
  for (const bool cancel : {false, true}) {
    mote::Event event;
    StackMark mark;
    mote::Result<int> got;
    mote::CoroutinePool<1> pool;
    auto task = pool.spawn(loop, begin_in(frames, dive(frames, deep_frames, mark, 1000, &event, got)));
    REQUIRE(task);
    test::turns(loop, 2);
    CHECK(deep_frames.size() == 1001);
    if (cancel) task->cancel();
    else CHECK(task->destroy());
    CHECK(loop.run());
    CHECK(deep_frames.size() == 0);
    CHECK(test::error_of(got) == (cancel ? ECANCELED : EAGAIN));
  }
  CHECK(frames.size() == 0);
}
}  // namespace
