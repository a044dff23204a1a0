// SPDX-License-Identifier: MIT
// Rooms: coroutine/chain.hpp, coroutine/co.hpp, io/stream.hpp, sync/shield.hpp, time/task_timer.hpp.
// A coroutine, as an operation, that one task after another polls: what it waits for, its shield and its connection.
#include <memory>
#include <vector>

#include "support/coroutines.hpp"
#include "support/users.hpp"

using mote::Poll;
using mote::Result;
using mote::Task;
using namespace std::chrono_literals;
using test::as_number;
using test::Attempt;
using test::error_of;
using test::Operation;
using test::User;
using test::Wrap;

namespace {

mote::FramePool<2048, 16> frames;

using Child = mote::Co<Result<int>>;
Attempt of(Child& child) {
  return [&child](Task& task) { return as_number(child.poll(task)); };
}

// How the task ends, or leaves, that has polled the coroutine first.
enum class Before { destroyed, gave_up, waits, was_woken };
constexpr Before all_before[] = {Before::destroyed, Before::gave_up, Before::waits, Before::was_woken};

// The objects that coroutines wait for, and how the wait is ended.
struct Things {
  explicit Things(mote::Reactor& with) : reactor(with) {
    REQUIRE(waker.open(with));
    REQUIRE(stream.open(with, std::move(pair.a)));
  }
  mote::Reactor& reactor;
  mote::Channel<int, 1> channel;
  mote::Semaphore semaphore;
  mote::Event event;
  mote::Mutex mutex;
  mote::Mutex::Guard guard = std::move(*mutex.try_lock());
  mote::Waker waker;
  test::Pair pair = test::socket_pair();
  mote::Stream stream;
  mote::TaskTimer timer;
};
// One that waits for a thing, alone or as a part of another operation.
template <class Make> Child waits(mote::FrameSource&, Make make) {
  const auto answer = co_await make();
  co_return answer ? Result<int>(0) : Result<int>(answer.error());
}
template <class Make> Child waits_inside(mote::FrameSource& from, Make make) {
  Child inner = waits(from, make);
  co_return co_await mote::shield(mote::shield(inner));
}

template <class S, class Make, class Complete> void check_thing(Make make, Complete complete, bool is_shared) {
  for (const bool nested : {false, true}) {
    for (const Before before : all_before) {
      CAPTURE(nested);
      CAPTURE(static_cast<int>(before));
      test::Loop<S> loop;
      Things things(loop);
      User first(loop), second(loop), third(loop);
      const auto operation = [&] { return make(things); };
      Child child = nested ? waits_inside(frames, operation) : waits(frames, operation);
      REQUIRE(child);
      first.use(of(child), before == Before::gave_up ? Wrap::raced : Wrap::none);
      test::comes_to_rest(loop);
      REQUIRE(first.error() == -1);
      if (before == Before::destroyed) first.destroy();
      if (before == Before::gave_up) first.give_up();
      if (before == Before::was_woken) first.task().wake();
      if (before != Before::was_woken) test::comes_to_rest(loop);

      // The next one polls the same coroutine, and it goes on.
      second.use(of(child));
      if (before == Before::was_woken) {
        // In the same turn as the first: whoever comes last has it.
        REQUIRE(loop.run_once(0ns));
      }
      test::comes_to_rest(loop);
      CHECK(second.error() == -1);
      const int steps = first.steps;
      complete(things);
      CHECK(test::run_until(loop, [&] { return second.answered; }));
      CHECK(second.error() == 0);
      if (before == Before::destroyed) continue;
      CHECK(first.steps == steps);  // nothing is left of it there
      // It stands in no line any more.
      if (is_shared) {
        third.use([&](Task& task) { return as_number(make(things).poll(task)); });
        test::comes_to_rest(loop);
        if (!third.answered) complete(things);
        CHECK(test::run_until(loop, [&] { return third.answered; }));
        CHECK(third.error() == 0);
      }
      CHECK(mote::detail::TaskAccess::header(first.task()).shields == 0);
      CHECK(mote::detail::TaskAccess::header(second.task()).shields == 0);
    }
  }
  CHECK(frames.size() == 0);
}

}  // namespace

ON_BOTH_SELECTORS("uses: a coroutine that another task polls goes on there, and leaves nothing in the task before") {
  check_thing<S>([](Things& t) { return t.channel.receive(); }, [](Things& t) { CHECK(t.channel.try_send(1)); }, true);
  check_thing<S>([](Things& t) { return t.semaphore.acquire(); }, [](Things& t) { t.semaphore.release(); }, true);
  check_thing<S>([](Things& t) { return t.event.wait(); }, [](Things& t) { t.event.set(); }, true);
  check_thing<S>([](Things& t) { return t.mutex.lock(); }, [](Things& t) { t.guard.unlock(); }, true);
  check_thing<S>([](Things& t) { return t.waker.wait(); }, [](Things& t) { t.waker.wake(); }, true);
  check_thing<S>(
      [](Things& t) {
        static char bytes[1];
        return t.stream.read(bytes);
      },
      [](Things& t) { test::send_text(t.pair.b.get(), "x"); }, true);
  check_thing<S>([](Things& t) { return t.timer.sleep(5ms); }, [](Things&) {}, false);
  check_thing<S>([](Things& t) { return t.timer.tick(5ms); }, [](Things&) {}, false);
  check_thing<S>([](Things& t) { return mote::first_of(t.event.wait(), t.timer.sleep(1h)); },
                 [](Things& t) { t.event.set(); }, true);
}

// --------------------------------------------------------------------------------------------------------- its shield

namespace {

int shields_of(User& user) { return mote::detail::TaskAccess::header(user.task()).shields; }
Child shielded(mote::FrameSource&, mote::Event& event) {
  const auto waited = co_await mote::shield(event.wait());
  co_return waited ? Result<int>(0) : Result<int>(waited.error());
}
// Cancels the task three times, each in a wait of its own.
void check_cancellable(mote::Reactor& loop, User& user) {
  mote::Event never;
  for (int i = 0; i < 3; ++i) {
    user.use([&](Task& task) { return as_number(never.wait().poll(task)); });
    test::comes_to_rest(loop);
    CHECK(user.error() == -1);
    user.cancel();
    test::comes_to_rest(loop);
    CHECK(user.error() == ECANCELED);
  }
}

}  // namespace

ON_BOTH_SELECTORS(
    "uses: a shield is that of the task that awaits under it: the one before can be cancelled, and so can its next") {
  for (const Before before : all_before) {
    CAPTURE(static_cast<int>(before));
    test::Loop<S> loop;
    mote::Event event;
    User first(loop), second(loop);
    Child child = shielded(frames, event);
    first.use(of(child), before == Before::gave_up ? Wrap::raced : Wrap::none);
    test::comes_to_rest(loop);
    CHECK(shields_of(first) == 1);
    if (before == Before::destroyed) first.destroy();
    if (before == Before::gave_up) first.give_up();
    test::comes_to_rest(loop);
    second.use(of(child));
    test::comes_to_rest(loop);
    CHECK(shields_of(second) == 1);
    if (before != Before::destroyed) CHECK(shields_of(first) == 0);
    second.cancel();  // held back
    test::comes_to_rest(loop);
    CHECK(second.error() == -1);
    event.set();
    test::comes_to_rest(loop);
    CHECK(second.error() == 0);
    CHECK(shields_of(second) == 0);
    CHECK(second.cancelled_idle == 1);  // what was held back
    check_cancellable(loop, second);
    if (before == Before::gave_up) check_cancellable(loop, first);
  }
  CHECK(frames.size() == 0);
}

ON_BOTH_SELECTORS("uses: a coroutine under a shield that becomes a task of its own: both tasks can be cancelled") {
  for (const Before before : {Before::destroyed, Before::gave_up, Before::waits}) {
    CAPTURE(static_cast<int>(before));
    test::Loop<S> loop;
    mote::Event event;
    User first(loop);
    mote::CoroutinePool<1> pool;
    auto child = std::make_unique<Child>(shielded(frames, event));
    first.use(of(*child), before == Before::gave_up ? Wrap::raced : Wrap::none);
    test::comes_to_rest(loop);
    if (before == Before::destroyed) first.destroy();
    if (before == Before::gave_up) first.give_up();
    test::comes_to_rest(loop);
    Result<mote::TaskHandle> handle = pool.spawn(loop, std::move(*child));
    REQUIRE(handle);
    test::comes_to_rest(loop);
    if (before != Before::destroyed) CHECK(shields_of(first) == 0);
    CHECK(mote::detail::TaskAccess::header(*handle->get()).shields == 1);
    handle->cancel();
    test::comes_to_rest(loop);
    CHECK(handle->outcome().kind == mote::Outcome::Kind::none);
    event.set();
    test::comes_to_rest(loop);
    CHECK(handle->outcome().kind == mote::Outcome::Kind::done);
    if (before == Before::gave_up) check_cancellable(loop, first);
  }
  CHECK(frames.size() == 0);
}

ON_BOTH_SELECTORS("uses: a task that gives up a coroutine that another awaits does not disturb it") {
  test::Loop<S> loop;
  mote::Channel<int, 1> channel;
  const auto receive = [&] { return channel.receive(); };
  Child child = waits(frames, receive);
  User first(loop), second(loop);
  first.use(of(child));
  test::comes_to_rest(loop);
  const Attempt attempt = of(child);
  mote::Semaphore ready(1);
  second.use([&](Task& task) {
    auto raced = mote::first_of(ready.acquire(), Operation{&attempt}).poll(task);
    return raced.ready() ? Poll<Result<int>>(Result<int>(0)) : Poll<Result<int>>(mote::pending);
  });
  test::comes_to_rest(loop);
  CHECK(second.error() == 0);
  CHECK(channel.try_send(1));
  test::comes_to_rest(loop);
  CHECK(first.error() == 0);
}

// ----------------------------------------------------------------------------------------------------- its connection

namespace {

struct Listening {
  explicit Listening(int backlog) : endpoint(*mote::Endpoint::parse("127.0.0.1:0")) {
    fd = mote::Fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    socklen_t size = mote::Endpoint::capacity;
    REQUIRE(::bind(fd.get(), endpoint.address(), endpoint.size()) == 0);
    REQUIRE(::listen(fd.get(), backlog) == 0);
    REQUIRE(::getsockname(fd.get(), endpoint.address(), &size) == 0);
    endpoint.resize(size);
  }
  mote::Endpoint endpoint;
  mote::Fd fd;
};
Child connects(mote::FrameSource&, mote::Stream& stream, const mote::Endpoint& to) {
  const auto connected = co_await stream.connect(to);
  co_return connected ? Result<int>(0) : Result<int>(connected.error());
}
template <class S> struct Connecting : test::Loop<S> {
  Connecting() : occupant(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    REQUIRE(::connect(occupant.get(), slow.endpoint.address(), slow.endpoint.size()) == 0);
  }
  // The first task has begun to connect, to where it takes long or where it does not.
  void begin(const Listening& to) {
    child.emplace_back(connects(frames, stream, to.endpoint));
    first.use(of(child.back()));
    if (&to == &slow) {
      test::comes_to_rest(*this);
      return;
    }
    while (!first.is_queued()) REQUIRE(this->run_once(0ns));  // to its step
    REQUIRE(this->run_once(0ns));
    while (!first.is_queued()) REQUIRE(this->run_once(1s));  // to its wake-up
    REQUIRE_FALSE(first.answered);
  }
  const Listening slow{0}, quick{8}, wanted{8};
  mote::Fd occupant;
  mote::Stream stream;
  std::vector<Child> child;
  User first{*this}, second{*this}, third{*this};
};

}  // namespace

ON_BOTH_SELECTORS(
    "uses: a coroutine that connects, of which the task has ended, goes on with its connection in another") {
  for (const bool woken : {false, true}) {
    CAPTURE(woken);
    Connecting<S> loop;
    loop.begin(woken ? loop.quick : loop.slow);
    const int port = loop.stream.local_endpoint()->port();  // no other connection has it
    loop.first.destroy();
    loop.second.use(of(loop.child.back()));
    test::comes_to_rest(loop);
    CHECK(loop.stream.local_endpoint()->port() == port);
    CHECK(loop.second.error() == (woken ? 0 : -1));
    if (woken) continue;
    // It is the second one's now.
    loop.third.use([&](Task& task) { return as_number(loop.stream.connect(loop.wanted.endpoint).poll(task)); });
    test::comes_to_rest(loop);
    CHECK(loop.third.error() == EBUSY);
    CHECK(loop.stream.local_endpoint()->port() == port);
    loop.stream.close();
    test::comes_to_rest(loop);
    CHECK(loop.second.error() == ECANCELED);
  }
  CHECK(frames.size() == 0);
}

ON_BOTH_SELECTORS("uses: a coroutine that connects is that of the task that polls it, also when it has been woken") {
  Connecting<S> loop;
  test::comes_to_rest(loop);
  Child child = connects(frames, loop.stream, loop.quick.endpoint);
  const Attempt attempt = of(child);
  REQUIRE_FALSE(attempt(loop.first.task()).ready());
  loop.first.destroy();
  REQUIRE_FALSE(attempt(loop.second.task()).ready());
  while (!loop.second.is_queued()) REQUIRE(loop.run_once(1s));
  auto other = loop.stream.connect(loop.wanted.endpoint).poll(loop.third.task());
  REQUIRE(other.ready());
  CHECK(error_of(*other) == EBUSY);
  auto own = attempt(loop.second.task());
  REQUIRE(own.ready());
  CHECK(error_of(*own) == 0);
}

ON_BOTH_SELECTORS("uses: a coroutine that connects, from a task that lives: it goes on in another one all the same") {
  Connecting<S> loop;
  loop.begin(loop.quick);
  const Attempt attempt = of(loop.child.back());
  loop.second.use(attempt);
  mote::detail::TaskAccess::header(loop.first.task()).unlink();  // it is not stepped again
  test::run_until(loop, [&] { return loop.second.answered; });
  CHECK(loop.second.error() == 0);
  CHECK(loop.stream.peer_endpoint()->port() == loop.quick.endpoint.port());
}

ON_BOTH_SELECTORS(
    "uses: a coroutine whose connection was closed, or dropped for another one: ECANCELED, and that goes on") {
  for (const bool closed : {false, true}) {
    for (const bool polled_first : {false, true}) {
      CAPTURE(closed);
      CAPTURE(polled_first);
      Connecting<S> loop;
      loop.begin(loop.slow);
      loop.first.destroy();
      if (closed) loop.stream.close();
      const auto connect = [&](Task& task) { return as_number(loop.stream.connect(loop.wanted.endpoint).poll(task)); };
      if (!polled_first) loop.third.use(connect);
      test::run_until(loop, [&] { return polled_first || loop.third.answered; });
      if (closed || !polled_first) {
        loop.second.use(of(loop.child.back()));
        test::comes_to_rest(loop);
        CHECK(loop.second.error() == ECANCELED);
      }
      if (polled_first) loop.third.use(connect);
      CHECK(test::run_until(loop, [&] { return loop.third.answered; }));
      CHECK(loop.third.error() == 0);
      REQUIRE(loop.stream.is_open());
      CHECK(loop.stream.peer_endpoint()->port() == loop.wanted.endpoint.port());
    }
  }
}
