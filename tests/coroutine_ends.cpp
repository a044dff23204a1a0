// SPDX-License-Identifier: MIT
// Rooms: coroutine/chain.hpp, coroutine/promise.hpp, coroutine/coroutine_pool.hpp, and every room with operations.
// Coroutines that are ended while they wait, at every operation that can be awaited: their destructors run once, no
// waiter is left, and a cancellation is answered once. Other tasks, and later ones in the same slot, are not disturbed.
#include <csignal>
#include <cstdio>
#include <memory>
#include <vector>

#include "support/coroutines.hpp"

namespace {
using namespace std::chrono_literals;
using test::Count;
using test::error_of;
using test::Tracked;

mote::FramePool<4096, 12> frames;

mote::Co<mote::Result<void>> until(mote::FrameSource&, mote::Event& event, Tracked /*goes with it*/) {
  co_return co_await event.wait();
}

// What there is to wait for; new for each way to end.
struct World {
  World(mote::Reactor& reactor, Count& tracked) : loop(reactor), count(tracked) {
    test::Pair pair = test::socket_pair();
    stream = test::open_stream(loop, std::move(pair.a));
    peer = std::move(pair.b);
    test::Pair packets = test::socket_pair(SOCK_DGRAM);
    REQUIRE(datagram.Source::open(loop, std::move(packets.a)));
    packet_peer = std::move(packets.b);
    REQUIRE(listener.open(loop, *mote::Endpoint::parse("127.0.0.1:0")));
    address = *listener.local_endpoint();
    REQUIRE(waker.open(loop));
    REQUIRE(mailbox.open(loop));
    REQUIRE(signals.open(loop, {SIGUSR1}));
  }
  void connect() {
    client = mote::Fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    REQUIRE(::connect(client.get(), address.address(), address.size()) == 0);
  }
  void fill_stream() {
    static const char block[4096] = {};
    while (::send(stream.fd(), block, sizeof block, MSG_DONTWAIT) > 0) {}
    view = mote::bytes_of("x");
  }
  void fill_datagrams() {
    while (::send(datagram.fd(), "x", 1, MSG_DONTWAIT) > 0) {}
  }
  void fill_table() {
    while (loop.vacancies() != 0) {
      fillers.push_back(std::make_unique<mote::Stream>());
      REQUIRE(fillers.back()->open(loop, mote::Fd(::dup(peer.get()))));
    }
  }
  void begin_child() {
    if (child && child->get() != nullptr && child->get()->is_alive()) return;
    child = mote::Error(EAGAIN);
    child_event.clear();
    child = children.spawn(loop, until(frames, child_event, Tracked(count)));
    REQUIRE(child);
  }
  void begin_member() {
    if (group.size() != 0) return;
    child_event.clear();
    REQUIRE(group.spawn(children, loop, until(frames, child_event, Tracked(count))));
  }

  mote::Reactor& loop;
  Count& count;
  mote::Stream stream;
  mote::Fd peer, client, packet_peer;
  mote::Datagram datagram;
  mote::Listener listener;
  mote::Endpoint address, from;
  mote::LineReader<32> lines;
  char bytes[8];
  mote::ByteSpan span;
  mote::ByteView view;
  std::vector<std::unique_ptr<mote::Stream>> fillers;
  mote::TaskTimer timer;
  mote::Duration delay = 1h;  // of the next use of the timer only
  mote::Event event, never, child_event;
  mote::Semaphore semaphore;
  mote::Mutex mutex;
  mote::Mutex::Guard guard;
  mote::Channel<int, 1> channel;
  int number = 2;
  mote::CoroutinePool<1> children;
  mote::Result<mote::TaskHandle> child;
  mote::TaskGroup<1> group;
  mote::AllOf<void, void> both;
  mote::Waker waker;
  mote::Mailbox<int, 4> mailbox;
  mote::Signals signals;
};

struct Answers {
  int count = 0, errors[4] = {-1, -1, -1, -1};
  template <class T> void operator()(const mote::Result<T>& result) {
    if (count < 4) errors[count] = error_of(result);
    ++count;
  }
};

// An operation: how it is made to wait, what is awaited, and what completes it.
template <class Prepare, class Make, class Complete> struct Point {
  const char* name;
  Prepare prepare;
  Make make;
  Complete complete;
  bool at_start = false;  // what completes it is to be done before it begins
};
template <class P, class M, class C> Point<P, M, C> point(const char* name, P prepare, M make, C complete) {
  return {name, prepare, make, complete, false};
}
template <class P, class M, class C> Point<P, M, C> early(const char* name, P prepare, M make, C complete) {
  return {name, prepare, make, complete, true};
}

template <class P>
mote::Co<void> twice(mote::FrameSource&, const P& what, World& world, Answers& answers, Tracked kept) {
  for (int i = 0; i < 2; ++i) {
    const Tracked local(world.count, i);
    what.prepare(world);
    answers(co_await what.make(world));
    CHECK(local.value + kept.value == i);
  }
}
// Begins it and gives it up when the event is set; then awaits it once more, itself.
template <class P>
mote::Co<void> gives_up(mote::FrameSource& from, const P& what, World& world, mote::Event& event, Answers& inside,
                        Answers& outside, bool by_time) {
  mote::TaskTimer timer;
  if (by_time) {
    const auto late = co_await mote::with_timeout(timer, 1ms, twice(from, what, world, inside, Tracked(world.count)));
    CHECK(error_of(late) == ETIMEDOUT);
  } else {
    const auto first = co_await mote::first_of(twice(from, what, world, inside, Tracked(world.count)), event.wait());
    CHECK((first && first->which == 1));
  }
  outside(mote::Result<void>(mote::Error(EINPROGRESS)));
  const Tracked local(world.count);
  what.prepare(world);
  outside(co_await what.make(world));
}

// One that waits for something else all the time.
struct Bystander {
  mote::Event event;
  Answers answers;
  mote::CoroutinePool<1> pool;
  static mote::Co<void> wait(mote::FrameSource&, Bystander& self) { self.answers(co_await self.event.wait()); }
  explicit Bystander(mote::Reactor& loop) { CHECK(pool.spawn(loop, wait(frames, *this))); }
  void end(mote::Reactor& loop) {
    CHECK(answers.count == 0);
    event.set();
    test::turns(loop);
    CHECK(answers.errors[0] == 0);
    CHECK(answers.count == 1);
  }
};

enum class End { none, cancelled, destroyed, destroyed_later, given_up, timed_out, destroyed_giver };

template <class P> void examine(mote::Reactor& loop, const P& what) {
  for (const End end : {End::none, End::cancelled, End::destroyed, End::destroyed_later, End::given_up, End::timed_out,
                        End::destroyed_giver}) {
    if (what.at_start && (end == End::none || end == End::destroyed_later)) continue;
    INFO(std::string(what.name) << ", end " << static_cast<int>(end));
    const std::uint32_t used = frames.size();
    Count count;
    {
      const auto made = std::make_unique<World>(loop, count);
      World& world = *made;
      Bystander bystander(loop);
      mote::CoroutinePool<2> pool;
      Answers answers, outside;
      mote::Event enough;
      const auto reaches = [&](const Answers& of, int n) {
        return test::run_until(loop, [&] { return of.count == n; });
      };
      const bool nested = end == End::given_up || end == End::timed_out || end == End::destroyed_giver;
      auto task = nested
                      ? pool.spawn(loop, gives_up(frames, what, world, enough, answers, outside, end == End::timed_out))
                      : pool.spawn(loop, twice(frames, what, world, answers, Tracked(world.count)));
      REQUIRE(task);
      test::turns(loop);
      if (end != End::timed_out) {
        CHECK(answers.count == 0);
        CHECK(world.count.alive >= 2);
      }
      if (end == End::none || end == End::destroyed_later) {
        what.complete(world);
        CHECK(reaches(answers, 1));
        CHECK(answers.errors[0] == 0);
        test::turns(loop);
        CHECK(answers.count == 1);
      }
      if (end == End::none) {
        what.complete(world);
        CHECK(reaches(answers, 2));
      }
      if (end == End::cancelled) {
        if (what.at_start) what.complete(world);
        task->cancel();
        CHECK(reaches(answers, 1));
        CHECK(answers.errors[0] == ECANCELED);
        if (!what.at_start) {
          test::turns(loop);
          CHECK(answers.count == 1);  // once
          what.complete(world);
        }
        CHECK(reaches(answers, 2));
        CHECK(answers.errors[1] == 0);
      }
      if (end == End::destroyed || end == End::destroyed_later || end == End::destroyed_giver) {
        CHECK(task->destroy());
        CHECK(world.count.alive == static_cast<int>(world.children.size()));
        CHECK(frames.size() == used + 1 + world.children.size());
        test::turns(loop);
        CHECK(answers.count == (end == End::destroyed_later ? 1 : 0));
        // Another takes the place.
        Answers next;
        if (what.at_start) what.complete(world);
        CHECK(pool.spawn(loop, twice(frames, what, world, next, Tracked(world.count))));
        if (!what.at_start) {
          test::turns(loop);
          CHECK(next.count == 0);
          what.complete(world);
        }
        CHECK(reaches(next, 1));
        CHECK(next.errors[0] == 0);
      }
      if (end == End::given_up || end == End::timed_out) {
        if (what.at_start) what.complete(world);
        enough.set();
        CHECK(reaches(outside, what.at_start && outside.count == 2 ? 2 : 1));
        CHECK(answers.count == 0);
        if (!what.at_start) {
          test::turns(loop);
          CHECK(outside.count == 1);  // it waits itself
          what.complete(world);
        }
        CHECK(reaches(outside, 2));
        CHECK(outside.errors[1] == 0);
      }
      static_cast<void>(task->destroy());
      bystander.end(loop);
      CHECK(test::comes_to_rest(loop));
    }
    CHECK(count.alive == 0);
    CHECK(frames.size() == used);
    CHECK(loop.stats().tasks == 0);
    CHECK(loop.stats().descriptors <= 1);  // that of wake-ups is none of the table's
  }
}
const auto nothing = [](World&) {};

ON_BOTH_SELECTORS("ends: coroutines that await a stream's operations") {
  test::Loop<S> loop;
  const auto say = [](World& w) { CHECK(test::send_text(w.peer.get(), "x\n") == 2); };
  examine(loop, point(
                    "read", nothing, [](World& w) { return w.stream.read(w.bytes); }, say));
  examine(loop, point(
                    "read_exactly", [](World& w) { w.span = mote::ByteSpan(w.bytes, 2); },
                    [](World& w) { return w.stream.read_exactly(w.span); }, say));
  examine(loop, point(
                    "read_line", nothing, [](World& w) { return w.lines.read_line(w.stream); }, say));
  examine(loop, point(
                    "ready",
                    [](World& w) {
                      while (::recv(w.stream.fd(), w.bytes, 8, MSG_DONTWAIT) > 0) {}
                    },
                    [](World& w) { return w.stream.ready(mote::Interest::read); }, say));
  examine(loop, point(
                    "write_all", [](World& w) { w.fill_stream(); }, [](World& w) { return w.stream.write_all(w.view); },
                    [](World& w) { test::take_all(w.peer.get()); }));
}

ON_BOTH_SELECTORS("ends: coroutines that await datagrams and connections") {
  test::Loop<S, 24> loop;
  examine(loop, point(
                    "recv", nothing, [](World& w) { return w.datagram.recv(w.bytes); },
                    [](World& w) { test::send_text(w.packet_peer.get(), "x"); }));
  examine(loop, point(
                    "recv_from", nothing, [](World& w) { return w.datagram.recv_from(w.bytes, w.from); },
                    [](World& w) { test::send_text(w.packet_peer.get(), "x"); }));
  examine(loop, point(
                    "send", [](World& w) { w.fill_datagrams(); },
                    [](World& w) { return w.datagram.send(mote::bytes_of("x")); },
                    [](World& w) { test::take_all(w.packet_peer.get()); }));
  examine(loop, point(
                    "accept", nothing, [](World& w) { return w.listener.accept(); }, [](World& w) { w.connect(); }));
  examine(loop,
          point(
              "accept, table full", [](World& w) { w.fill_table(); }, [](World& w) { return w.listener.accept(); },
              [](World& w) {
                w.connect();
                w.fillers.pop_back();
              }));
}

// A connection that stays in progress, for the listener's backlog is full.
mote::Co<void> connect_twice(mote::FrameSource&, const mote::Endpoint& full, const mote::Endpoint& open,
                             Answers& answers, Tracked /*goes with it*/) {
  mote::Stream stream;
  answers(co_await stream.connect(full));
  CHECK(!stream.is_open());
  answers(co_await stream.connect(open));
}
ON_BOTH_SELECTORS("ends: coroutines that await a connection in progress") {
  test::Loop<S> loop;
  mote::Listener listener, full;
  REQUIRE(listener.open(loop, *mote::Endpoint::parse("127.0.0.1:0")));
  mote::Listener::Options options;
  options.backlog = 0;
  REQUIRE(full.open(loop, *mote::Endpoint::parse("127.0.0.1:0"), options));
  const mote::Endpoint to = *full.local_endpoint(), other = *listener.local_endpoint();
  const mote::Fd first(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  REQUIRE(::connect(first.get(), to.address(), to.size()) == 0);
  Count count;
  for (const bool cancel : {true, false}) {
    mote::CoroutinePool<1> pool;
    Answers answers;
    auto task = pool.spawn(loop, connect_twice(frames, to, other, answers, Tracked(count)));
    REQUIRE(task);
    test::turns(loop);
    CHECK(answers.count == 0);
    CHECK(loop.stats().descriptors == 3);
    if (cancel) {
      task->cancel();
      CHECK(test::run_until(loop, [&] { return answers.count == 2; }));
      CHECK(answers.errors[0] == ECANCELED);
      CHECK(answers.errors[1] == 0);
    } else {
      CHECK(task->destroy());
    }
    CHECK(count.alive == 0);
    CHECK(frames.size() == 0);
    CHECK(loop.stats().descriptors == 2);
    CHECK(test::comes_to_rest(loop));
  }
}

// What is handed out to one that is destroyed before it could take it is the next one's.
mote::Co<void> take(mote::FrameSource&, mote::Semaphore& permits, Answers& answers) {
  answers(co_await permits.acquire());
}
ON_BOTH_SELECTORS("ends: what a coroutine was woken for, and did not take before it was destroyed, is the next one's") {
  test::Loop<S> loop;
  mote::CoroutinePool<3> pool;
  mote::Semaphore permits;
  Answers answers[3];
  mote::Result<mote::TaskHandle> tasks[3];
  for (int i = 0; i < 3; ++i) tasks[i] = pool.spawn(loop, take(frames, permits, answers[i]));
  test::turns(loop);
  permits.release();
  CHECK(tasks[0]->destroy());
  CHECK(test::run_until(loop, [&] { return answers[1].count == 1; }));
  permits.release();
  tasks[2]->cancel();  // what had completed wins
  CHECK(test::run_until(loop, [&] { return answers[2].count == 1; }));
  CHECK(answers[0].count == 0);
  CHECK(answers[2].errors[0] == 0);
  CHECK(permits.available() == 0);
  CHECK(frames.size() == 0);
}

// One that lies outside of any task, and is destroyed after the task that began it; a stranger has its slot by then.
struct Borrower {
  mote::Co<mote::Result<void>>& co;
  mote::Step step(mote::Task& task) {
    static_cast<void>(co.poll(task));
    return mote::pending;
  }
};
ON_BOTH_SELECTORS("ends: a coroutine that outlives the task that began it does not touch who has its place") {
  test::Loop<S> loop;
  mote::Event event;
  Count count;
  mote::TaskPool<Borrower, 1> borrowers;
  {
    mote::Co<mote::Result<void>> co = until(frames, event, Tracked(count));
    auto task = borrowers.spawn(loop, co);
    REQUIRE(task);
    test::turns(loop);
    CHECK(task->destroy());
    task->detach();
    event.set();
    CHECK(test::turns(loop) == 0);  // nobody waits
    event.clear();
    mote::Co<mote::Result<void>> other = until(frames, event, Tracked(count));
    task = borrowers.spawn(loop, other);
    REQUIRE(task);
    test::turns(loop);
    const std::uint64_t steps = loop.stats().steps;
    { const mote::Co<mote::Result<void>> gone = std::move(co); }
    test::turns(loop);
    CHECK(loop.stats().steps == steps);
    CHECK(std::string(task->get()->waits_for()) == "an event");
    CHECK(count.alive == 1);
    CHECK(task->destroy());
  }
  CHECK(count.alive == 0);
  CHECK(frames.size() == 0);
}

// A task that polls one, lets it go, and waits for something else.
mote::Co<std::size_t> read_one(mote::FrameSource&, mote::Stream& stream, Tracked /*goes with it*/) {
  char byte;
  co_return co_await stream.read(mote::ByteSpan(&byte, 1));
}
struct Dropper {
  mote::Co<std::size_t> co;
  mote::Event& event;
  int& steps;
  mote::Step step(mote::Task& task) {
    if (++steps == 1) {
      static_cast<void>(co.poll(task));
      return mote::pending;
    }
    { const mote::Co<std::size_t> gone = std::move(co); }
    return event.wait().poll(task).ready() ? mote::done() : mote::Step(mote::pending);
  }
};
ON_BOTH_SELECTORS("ends: a coroutine that its task lets go leaves no waiter, and the task goes on") {
  test::Loop<S> loop;
  test::Pair pair = test::socket_pair();
  mote::Stream stream = test::open_stream(loop, std::move(pair.a));
  mote::Event event;
  Count count;
  int steps = 0;
  mote::TaskPool<Dropper, 1> droppers;
  auto task = droppers.spawn(loop, read_one(frames, stream, Tracked(count)), event, steps);
  REQUIRE(task);
  test::turns(loop);
  CHECK(steps == 1);
  CHECK(count.alive == 1);
  task->get()->wake();
  test::turns(loop);
  CHECK(count.alive == 0);
  CHECK(frames.size() == 0);
  CHECK(std::string(task->get()->waits_for()) == "an event");
  char byte = 0;
  test::Running reader(loop, [&] { return stream.read(mote::ByteSpan(&byte, 1)); });  // the place is free
  test::turns(loop);
  CHECK(!reader.done());
  const int before = steps;
  CHECK(test::send_text(pair.b.get(), "x") == 1);
  CHECK(error_of(reader.finish()) == 0);
  CHECK(steps == before);  // and nobody else was woken
  event.set();
  test::turns(loop);
  CHECK(task->outcome().kind == mote::Outcome::Kind::done);
}

// A coroutine that is awaited, but does not lie in the frame of the one that awaits it.
mote::Co<void> await_it(mote::FrameSource&, mote::Co<mote::Result<void>>& co, Answers& answers) {
  answers(co_await co);
}
ON_BOTH_SELECTORS("ends: what a coroutine awaits ends with it, wherever it lies, and answers EINVAL from then on") {
  test::Loop<S> loop;
  mote::CoroutinePool<2> pool;
  mote::Event event;
  Count count;
  Answers answers;
  mote::Co<mote::Result<void>> co = until(frames, event, Tracked(count));
  auto task = pool.spawn(loop, await_it(frames, co, answers));
  REQUIRE(task);
  test::turns(loop);
  CHECK(frames.size() == 2);
  CHECK(task->destroy());
  CHECK(count.alive == 0);
  CHECK(frames.size() == 0);
  CHECK(pool.spawn(loop, await_it(frames, co, answers)));
  CHECK(loop.run());
  CHECK(answers.errors[0] == EINVAL);
  CHECK(answers.count == 1);
}

mote::Co<void> yields(mote::FrameSource&, Answers& answers, Tracked /*goes with it*/) {
  answers(co_await mote::yield());
  answers(co_await mote::yield());
}
ON_BOTH_SELECTORS("ends: a coroutine that yields takes a turn each, and is cancelled and destroyed in between") {
  test::Loop<S> loop;
  mote::CoroutinePool<1> pool;
  Count count;
  for (const int how : {0, 1, 2}) {
    Answers answers;
    auto task = pool.spawn(loop, yields(frames, answers, Tracked(count)));
    REQUIRE(task);
    test::turns(loop, 1);
    CHECK(answers.count == 0);
    if (how == 1) task->cancel();
    if (how == 2) CHECK(task->destroy());
    test::turns(loop, 1);
    CHECK(answers.count == (how == 2 ? 0 : 1));
    CHECK(loop.run());
    CHECK(answers.count == (how == 2 ? 0 : 2));
    if (how != 2) CHECK(answers.errors[0] == (how == 1 ? ECANCELED : 0));
    if (how != 2) CHECK(answers.errors[1] == 0);
    CHECK(count.alive == 0);
    CHECK(frames.size() == 0);
  }
}

mote::Co<void> shields(mote::FrameSource& from, mote::Event& event, Count& count, Answers& answers) {
  answers(co_await mote::shield(until(from, event, Tracked(count))));
  event.clear();
  answers(co_await event.wait());
}
ON_BOTH_SELECTORS("ends: a shielded coroutine is not cancelled, who awaits it is afterwards; and both are destroyed") {
  test::Loop<S> loop;
  mote::CoroutinePool<1> pool;
  for (const bool cancel : {true, false}) {
    mote::Event event;
    Count count;
    Answers answers;
    auto task = pool.spawn(loop, shields(frames, event, count, answers));
    REQUIRE(task);
    test::turns(loop);
    if (cancel) {
      task->cancel();
      test::turns(loop);
      CHECK(answers.count == 0);
      event.set();
      CHECK(loop.run());
      CHECK(answers.errors[0] == 0);
      CHECK(answers.errors[1] == ECANCELED);
    } else {
      CHECK(task->destroy());
      CHECK(answers.count == 0);
    }
    CHECK(count.alive == 0);
    CHECK(frames.size() == 0);
  }
}

ON_BOTH_SELECTORS("ends: coroutines that await timers, wake-ups, messages and signals") {
  test::Loop<S> loop;
  const auto soon = [](World& w) { w.delay = 1ms; };
  examine(loop, early(
                    "sleep", nothing, [](World& w) { return w.timer.sleep(std::exchange(w.delay, 1h)); }, soon));
  examine(loop, early(
                    "tick", [](World& w) { w.timer.reset(); },
                    [](World& w) { return w.timer.tick(std::exchange(w.delay, 1h)); }, soon));
  examine(loop, point(
                    "waker", nothing, [](World& w) { return w.waker.wait(); }, [](World& w) { w.waker.wake(); }));
  examine(loop, point(
                    "mailbox", nothing, [](World& w) { return w.mailbox.receive(); },
                    [](World& w) { CHECK(w.mailbox.post(1)); }));
  examine(loop, point(
                    "signals", nothing, [](World& w) { return w.signals.next(); },
                    [](World&) { CHECK(::raise(SIGUSR1) == 0); }));
}

ON_BOTH_SELECTORS("ends: coroutines that await each other's doings") {
  test::Loop<S> loop;
  const auto clear = [](World& w) { w.event.clear(); };
  const auto set = [](World& w) { w.event.set(); };
  examine(loop, point(
                    "event", clear, [](World& w) { return w.event.wait(); }, set));
  examine(loop, point(
                    "semaphore", nothing, [](World& w) { return w.semaphore.acquire(); },
                    [](World& w) { w.semaphore.release(); }));
  examine(loop, point(
                    "mutex",
                    [](World& w) {
                      if (!w.guard) w.guard = std::move(*w.mutex.try_lock());
                    },
                    [](World& w) { return w.mutex.lock(); }, [](World& w) { w.guard.unlock(); }));
  examine(loop, point(
                    "receive", nothing, [](World& w) { return w.channel.receive(); },
                    [](World& w) { CHECK(w.channel.try_send(1)); }));
  examine(loop,
          point(
              "send", [](World& w) { static_cast<void>(w.channel.try_send(1)); },
              [](World& w) { return w.channel.send(w.number); }, [](World& w) { CHECK(w.channel.try_receive()); }));
  const auto end_child = [](World& w) { w.child_event.set(); };
  examine(loop, point(
                    "join", [](World& w) { w.begin_child(); }, [](World& w) { return w.child->join(); }, end_child));
  examine(loop,
          point(
              "join_all", [](World& w) { w.begin_member(); }, [](World& w) { return w.group.join_all(); }, end_child));
  examine(loop, point(
                    "vacancy", [](World& w) { w.begin_child(); }, [](World& w) { return w.children.vacancy(); },
                    [](World& w) {
                      static_cast<void>(w.child->destroy());
                      w.child = mote::Error(EAGAIN);
                    }));
}

ON_BOTH_SELECTORS("ends: coroutines that await combinations and other coroutines") {
  test::Loop<S> loop;
  const auto clear = [](World& w) { w.event.clear(); };
  const auto set = [](World& w) { w.event.set(); };
  const auto child = [](World& w) { return until(frames, w.event, Tracked(w.count)); };
  examine(loop, point("child", clear, child, set));
  examine(loop, point(
                    "first_of", clear,
                    [=](World& w) { return mote::first_of(w.never.wait(), child(w), w.stream.read(w.bytes)); }, set));
  examine(loop, point(
                    "all_of",
                    [](World& w) {
                      w.event.clear();
                      w.both.reset();
                    },
                    [=](World& w) { return mote::all_of(w.both, w.event.wait(), child(w)); }, set));
  examine(loop, point(
                    "with_timeout", clear, [=](World& w) { return mote::with_timeout(w.timer, 1h, child(w)); }, set));
  examine(loop, point(
                    "nested", clear,
                    [=](World& w) {
                      return mote::first_of(mote::with_timeout(w.timer, 1h, mote::first_of(w.never.wait(), child(w))),
                                            until(frames, w.never, Tracked(w.count)));
                    },
                    set));
}
}  // namespace
