// SPDX-License-Identifier: MIT
// Rooms: coroutine/chain.hpp, coroutine/co.hpp, io/stream.hpp, sync/shield.hpp, task/poll_context.hpp,
// task/queue_place.hpp, time/task_timer.hpp.
// A coroutine, as an operation, that one task after another polls: what it waits for, its shield and its connection.
#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>

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
  co_return answer ? Result<int>(mote::value(0)) : Result<int>(answer.error());
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
  co_return waited ? Result<int>(mote::value(0)) : Result<int>(waited.error());
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
    return raced.ready() ? Poll<Result<int>>(Result<int>(mote::value(0))) : Poll<Result<int>>(mote::pending);
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
  co_return connected ? Result<int>(mote::value(0)) : Result<int>(connected.error());
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

// -------------------------------------------------------------------------------- handed over by whom, after what came

namespace {

// An operation and what it works on, as a coroutine awaits it.
struct Awaited {
  explicit Awaited(mote::Reactor& with) : reactor(with) {}
  virtual ~Awaited() = default;
  Awaited(const Awaited&) = delete;
  Awaited& operator=(const Awaited&) = delete;
  virtual Child begin() = 0;
  virtual Attempt attempt() = 0;  // the same operation, by a task itself
  virtual void complete() = 0;
  virtual int close() { return 0; }              // what a task is told then; 0: it cannot be closed
  virtual void reopen() {}                       // and nothing is there yet
  virtual bool destroy() { return false; }       // false: it must outlive those that wait
  virtual bool queues() const { return false; }  // whether many tasks wait for it, in order of arrival
  virtual bool renew() { return true; }          // for the next task, after it has completed; false: it is that one's
  mote::Reactor& reactor;
};
#define AWAITS(expression)                                                    \
  Child begin() override {                                                    \
    return waits(frames, [this] { return expression; });                      \
  }                                                                           \
  Attempt attempt() override {                                                \
    return [this](Task& task) { return as_number((expression).poll(task)); }; \
  }

template <class T> bool end(std::unique_ptr<T>& object) {
  object.reset();
  return true;
}

struct OfEvent : Awaited {
  using Awaited::Awaited;
  AWAITS(event->wait())
  // All that wait now go on, though nothing is there for their successors.
  void complete() override {
    event->set();
    event->clear();
  }
  bool destroy() override { return end(event); }
  bool queues() const override { return true; }
  std::unique_ptr<mote::Event> event = std::make_unique<mote::Event>();
};
struct OfSemaphore : Awaited {
  using Awaited::Awaited;
  AWAITS(semaphore->acquire())
  void complete() override { semaphore->release(); }
  bool destroy() override { return end(semaphore); }
  bool queues() const override { return true; }
  std::unique_ptr<mote::Semaphore> semaphore = std::make_unique<mote::Semaphore>();
};
struct OfMutex : Awaited {
  using Awaited::Awaited;
  AWAITS(mutex->lock())
  void complete() override { guard.unlock(); }
  bool destroy() override { return end(mutex); }
  bool queues() const override { return true; }
  std::unique_ptr<mote::Mutex> mutex = std::make_unique<mote::Mutex>();
  mote::Mutex::Guard guard = std::move(*mutex->try_lock());
};
struct OfReceive : Awaited {
  using Awaited::Awaited;
  AWAITS(channel->receive())
  void complete() override { CHECK(channel->try_send(1)); }
  int close() override {
    channel->close();
    return ENODATA;
  }
  bool destroy() override { return end(channel); }
  bool queues() const override { return true; }
  std::unique_ptr<mote::Channel<int, 4>> channel = std::make_unique<mote::Channel<int, 4>>();
};
struct OfSend : Awaited {
  explicit OfSend(mote::Reactor& with) : Awaited(with) { CHECK(channel->try_send(1)); }
  AWAITS(channel->send(value))
  void complete() override {
    auto receive = channel->receive();
    CHECK(receive.poll(taker.task()).ready());
  }
  int close() override {
    channel->close();
    return EPIPE;
  }
  bool destroy() override { return end(channel); }
  bool queues() const override { return true; }
  const int value = 2;
  std::unique_ptr<mote::Channel<int, 1>> channel = std::make_unique<mote::Channel<int, 1>>();
  User taker{reactor};
};
struct OfWaker : Awaited {
  explicit OfWaker(mote::Reactor& with) : Awaited(with) { REQUIRE(waker.open(with)); }
  AWAITS(waker.wait())
  void complete() override { waker.wake(); }
  int close() override {
    waker.close();
    return ECANCELED;
  }
  void reopen() override { REQUIRE(waker.open(reactor)); }
  mote::Waker waker;
};
struct OfMailbox : Awaited {
  explicit OfMailbox(mote::Reactor& with) : Awaited(with) { REQUIRE(mailbox.open(with)); }
  AWAITS(mailbox.receive())
  void complete() override { REQUIRE(mailbox.post(1)); }
  int close() override {
    mailbox.close();
    return ECANCELED;
  }
  void reopen() override { REQUIRE(mailbox.open(reactor)); }
  mote::Mailbox<int, 4> mailbox;
};
struct OfSignals : Awaited {
  explicit OfSignals(mote::Reactor& with) : Awaited(with) { reopen(); }
  AWAITS(signals.next())
  void complete() override { REQUIRE(::raise(SIGUSR2) == 0); }
  int close() override {
    signals.close();
    return ECANCELED;
  }
  void reopen() override { REQUIRE(signals.open(reactor, {SIGUSR2})); }
  mote::Signals signals;
};
struct OnStream : Awaited {
  explicit OnStream(mote::Reactor& with) : Awaited(with) { reopen(); }
  int close() override {
    stream.close();
    return ECANCELED;
  }
  void reopen() override {
    pair = test::socket_pair();
    REQUIRE(stream.open(reactor, std::move(pair.a)));
  }
  void complete() override { test::send_text(pair.b.get(), "x\n"); }
  test::Pair pair;
  mote::Stream stream;
  char bytes[2] = {};
};
struct OfRead : OnStream {
  using OnStream::OnStream;
  AWAITS(stream.read(bytes))
};
struct OfReady : OnStream {
  using OnStream::OnStream;
  AWAITS(stream.ready(mote::Interest::read))
};
struct OfReadLine : OnStream {
  using OnStream::OnStream;
  AWAITS(reader.read_line(stream))
  mote::LineReader<16> reader;
};
struct OfWriteAll : OnStream {
  explicit OfWriteAll(mote::Reactor& with) : OnStream(with) { reopen(); }
  Child begin() override {
    return waits(frames, [this] { return stream.write_all(rest = mote::bytes_of("x")); });
  }
  Attempt attempt() override {
    return [this](Task& task) {
      rest = mote::bytes_of("x");
      return as_number(stream.write_all(rest).poll(task));
    };
  }
  void reopen() override {
    stream.close();
    OnStream::reopen();
    static const std::array<char, 65536> much{};
    while (::write(stream.fd(), much.data(), much.size()) > 0) continue;
    while (::write(stream.fd(), much.data(), 1) > 0) continue;
  }
  void complete() override { CHECK_FALSE(test::take_all(pair.b.get()).empty()); }
  mote::ByteView rest;
};
struct OfDatagram : Awaited {
  explicit OfDatagram(mote::Reactor& with) : Awaited(with) { reopen(); }
  AWAITS(datagram.recv(bytes))
  int close() override {
    datagram.close();
    return ECANCELED;
  }
  void reopen() override {
    pair = test::socket_pair(SOCK_DGRAM);
    REQUIRE(datagram.open(reactor, std::move(pair.a)));
  }
  void complete() override { test::send_text(pair.b.get(), "x"); }
  test::Pair pair;
  struct Opened : mote::Datagram {
    using mote::Source::open;
  } datagram;
  char bytes[2] = {};
};
struct OfAccept : Awaited {
  explicit OfAccept(mote::Reactor& with) : Awaited(with) { reopen(); }
  AWAITS(listener.accept())
  int close() override {
    listener.close();
    return ECANCELED;
  }
  void reopen() override { REQUIRE(listener.open(reactor, *mote::Endpoint::parse("127.0.0.1:0"))); }
  void complete() override {
    const mote::Endpoint to = *listener.local_endpoint();
    clients.emplace_back(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    REQUIRE(::connect(clients.back().get(), to.address(), to.size()) == 0);
  }
  mote::Listener listener;
  std::vector<mote::Fd> clients;
};
// It waits for room in the table, not for a connection.
struct OfAcceptForRoom : OfAccept {
  explicit OfAcceptForRoom(mote::Reactor& with) : OfAccept(with) {
    OfAccept::complete();
    fill();
  }
  int close() override {
    const int error = OfAccept::close();
    fill();  // its slot, too
    return error;
  }
  void reopen() override {
    if (!fillers.empty()) fillers.pop_back();
    OfAccept::reopen();
    OfAccept::complete();
  }
  void fill() {
    for (;;) {
      auto filler = std::make_unique<mote::Source>();
      if (!filler->open(reactor, mote::Fd(::eventfd(0, EFD_CLOEXEC)))) return;
      fillers.push_back(std::move(filler));
    }
  }
  void complete() override {
    OfAccept::complete();
    fillers.pop_back();
  }
  std::vector<std::unique_ptr<mote::Source>> fillers;
};
struct OfConnect : Awaited {
  using Awaited::Awaited;
  AWAITS(stream.connect(slow.endpoint))
  bool renew() override { return false; }
  int close() override {
    stream.close();
    return ECANCELED;
  }
  void complete() override {
    if (!stream.is_open()) return;  // nobody connects it any more
    for (pollfd entry{slow.fd.get(), POLLIN, 0}; ::poll(&entry, 1, 0) == 1;) {
      accepted.emplace_back(::accept4(slow.fd.get(), nullptr, nullptr, SOCK_CLOEXEC));
    }
  }
  Listening slow{0};
  mote::Fd occupant = [this] {
    mote::Fd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    REQUIRE(::connect(fd.get(), slow.endpoint.address(), slow.endpoint.size()) == 0);
    return fd;
  }();
  std::vector<mote::Fd> accepted;
  mote::Stream stream;
};
struct OfJoin : Awaited {
  explicit OfJoin(mote::Reactor& with) : Awaited(with) { reopen(); }
  AWAITS(handle.join())
  int close() override {
    handle.detach();
    return EINVAL;
  }
  void reopen() override {
    ended = false;
    handle = std::move(*pool.spawn(reactor, test::Body::of<&OfJoin::step>(*this)));
  }
  bool renew() override {
    reopen();
    return true;
  }
  void complete() override {
    if (!handle) reopen();
    ended = true;
    handle.get()->wake();
  }
  mote::Step step(Task&) { return ended ? mote::done() : mote::Step(mote::pending); }
  bool ended = false;
  mote::TaskPool<test::Plain, 4> pool;
  mote::TaskHandle handle;
};
struct OfVacancy : Awaited {
  explicit OfVacancy(mote::Reactor& with) : Awaited(with) {
    handle = std::move(*pool->spawn(reactor, test::Body::of<&OfVacancy::step>(*this)));
  }
  AWAITS(pool->vacancy())
  void complete() override { handle = mote::TaskHandle(destroyed()); }
  bool destroy() override { return end(pool); }
  mote::TaskHandle destroyed() {
    if (handle) CHECK(handle.destroy());
    return {};
  }
  mote::Step step(Task&) { return mote::pending; }
  std::unique_ptr<mote::TaskPool<test::Plain, 1>> pool = std::make_unique<mote::TaskPool<test::Plain, 1>>();
  mote::TaskHandle handle;
};
struct OfGroup : Awaited {
  explicit OfGroup(mote::Reactor& with) : Awaited(with) {
    REQUIRE(group->spawn(pool, reactor, test::Body::of<&OfGroup::step>(*this)));
  }
  AWAITS(group->join_all())
  void complete() override { group->cancel_all(); }
  bool destroy() override { return end(group); }
  mote::Step step(Task& task) { return task.cancel_requested() ? mote::done() : mote::Step(mote::pending); }
  mote::TaskPool<test::Plain, 1> pool;
  std::unique_ptr<mote::TaskGroup<1>> group = std::make_unique<mote::TaskGroup<1>>();
};
struct OfSleep : Awaited {
  using Awaited::Awaited;
  AWAITS(timer.sleep(2ms))
  void complete() override {}
  mote::TaskTimer timer;
};
struct OfTick : Awaited {
  using Awaited::Awaited;
  bool renew() override { return false; }
  AWAITS(timer.tick(2ms))
  void complete() override {}
  mote::TaskTimer timer;
};
struct OfLimited : OfSemaphore {
  using OfSemaphore::OfSemaphore;
  AWAITS(mote::with_timeout(timer, 1h, semaphore->acquire()))
  bool queues() const override { return false; }  // its timer is for one task
  mote::TaskTimer timer;
};
struct OfShielded : OfSemaphore {
  using OfSemaphore::OfSemaphore;
  AWAITS(mote::shield(semaphore->acquire()))
  mote::TaskTimer timer;
};
struct OfFirst : OfSemaphore {
  using OfSemaphore::OfSemaphore;
  AWAITS(mote::first_of(never.wait(), semaphore->acquire()))
  bool destroy() override { return false; }
  mote::Event never;
};
struct OfNested : OfSemaphore {
  using OfSemaphore::OfSemaphore;
  Child begin() override {
    return waits_inside(frames, [this] { return semaphore->acquire(); });
  }
};

enum class Former { lives_on, was_cancelled, has_ended };
enum class Came { nothing, completion, close, close_and_reopen, destruction };  // before the step that would tell
enum class Then { completed, cancelled, given_up, closed, destroyed, object_destroyed };

// One row of the table: what a task has awaited by a coroutine goes on in another one.
template <class S, class K> struct Row {
  Row(Former former_task, Came what_came, Then what_then) : former(former_task), came(what_came), then(what_then) {}
  // What came did so when the next one had the coroutine already, but no budget left in its turn.
  Row& without_budget() {
    has_budget = false;
    return *this;
  }
  // Before that the former task was woken, for what it waited for had come.
  Row& after_wake_up() {
    is_woken = true;
    return *this;
  }
  void run() {
    CAPTURE(static_cast<int>(former));
    CAPTURE(static_cast<int>(came));
    CAPTURE(static_cast<int>(then));
    CAPTURE(has_budget);
    first.use([this](Task& task) {
      if (!is_handed_over) return as_number(child.poll(task));
      return as_number(never.wait().poll(task));  // it does something else
    });
    begin();
    if (is_woken) wake_former();
    if (has_budget && !happen()) return;
    if (former == Former::was_cancelled) first.cancel();
    if (former == Former::has_ended) first.destroy();
    hand_over();
    if (came == Came::nothing) finish();
    check_former();
  }
 private:
  void begin() {
    test::comes_to_rest(loop);
    REQUIRE(first.error() == -1);
  }
  void wake_former() {
    thing.complete();
    while (!first.is_queued()) REQUIRE(loop.run_once(1s));
  }
  // What comes while the former task waits, and has been woken. False: there is no such thing.
  bool happen() {
    switch (came) {
      case Came::nothing: return true;
      case Came::completion:
        thing.complete();
        expected = 0;
        while (has_budget && !first.is_queued()) REQUIRE(loop.run_once(1s));
        return true;
      case Came::close:
      case Came::close_and_reopen:
        expected = thing.close();
        if (came == Came::close_and_reopen) thing.reopen();
        return expected != 0;
      case Came::destruction: expected = ECANCELED; return thing.destroy();
    }
    return false;
  }
  void hand_over() {
    is_handed_over = true;
    const Attempt attempt = of(child);
    if (!has_budget) mote::detail::TaskAccess::header(second.task()).budget = 0;
    auto poll = attempt(second.task());
    if (poll.ready()) return check_answer(error_of(*poll));
    if (!has_budget && !happen()) return;
    second.use(attempt, then == Then::given_up ? Wrap::raced : Wrap::none);
    if (came != Came::nothing) return check_answer(answer_of(second));
    test::comes_to_rest(loop);
    if (!is_timed) CHECK(second.error() == -1);
  }
  void check_answer(int answer) { CHECK(answer == expected); }
  int answer_of(User& user) {
    CHECK(test::run_until(loop, [&] { return user.answered; }));
    return user.error();
  }
  void finish() {
    switch (then) {
      case Then::completed:
        thing.complete();
        CHECK(answer_of(second) == 0);
        break;
      case Then::cancelled:
        second.cancel();
        if (is_shielded) thing.complete();
        CHECK(answer_of(second) == (is_shielded ? 0 : ECANCELED));
        break;
      case Then::given_up:
        second.give_up();
        CHECK(answer_of(second) == EINTR);
        break;
      case Then::closed:
        if (const int error = thing.close(); error != 0) CHECK(answer_of(second) == error);
        return;
      case Then::destroyed: second.destroy(); break;
      case Then::object_destroyed:
        if (thing.destroy()) CHECK(answer_of(second) == ECANCELED);
        return;
    }
    if (then != Then::completed || thing.renew()) check_next();
  }
  // Nothing is left of it: the next one is served.
  void check_next() {
    third.use(thing.attempt());
    test::comes_to_rest(loop);
    if (!third.answered) thing.complete();
    CHECK(answer_of(third) == 0);
  }
  void check_former() {
    if (former == Former::has_ended) return;
    first.task().wake();
    test::comes_to_rest(loop);
    CHECK(first.error() == (former == Former::was_cancelled ? ECANCELED : -1));
    CHECK(shields_of(first) == 0);
    check_cancellable(loop, first);
  }

  static constexpr bool is_timed = std::is_same_v<K, OfSleep> || std::is_same_v<K, OfTick>;
  static constexpr bool is_shielded = std::is_same_v<K, OfShielded> || std::is_same_v<K, OfNested>;
  const Former former;
  const Came came;
  const Then then;
  bool has_budget = true;
  bool is_woken = false;
  int expected = 0;
  bool is_handed_over = false;
  test::Loop<S, 8> loop;
  K thing{loop};
  mote::Event never;
  User first{loop}, second{loop}, third{loop};
  Child child = thing.begin();
};

// Whether it tells of a close rather than hand out what had come before.
template <class K>
constexpr bool is_told_of_close =
    !std::is_same_v<K, OfReceive> && !std::is_same_v<K, OfSend> && !std::is_same_v<K, OfAcceptForRoom>;

template <class S, class K> void check_handed_over() {
  CAPTURE(__PRETTY_FUNCTION__);
  for (const Former former : {Former::lives_on, Former::was_cancelled, Former::has_ended}) {
    for (const Then then :
         {Then::completed, Then::cancelled, Then::given_up, Then::closed, Then::destroyed, Then::object_destroyed}) {
      Row<S, K>(former, Came::nothing, then).run();
    }
    // What a task that has ended was to be told is told nobody.
    if (former == Former::has_ended) continue;
    for (const Came came : {Came::completion, Came::close, Came::close_and_reopen, Came::destruction}) {
      Row<S, K>(former, came, Then::completed).run();
      Row<S, K>(former, came, Then::completed).without_budget().run();
    }
    if constexpr (is_told_of_close<K>) {
      Row<S, K>(former, Came::close_and_reopen, Then::completed).after_wake_up().without_budget().run();
    }
  }
  CHECK(frames.size() == 0);
}
template <class S, class... K> void check_all_handed_over() { (check_handed_over<S, K>(), ...); }

}  // namespace

ON_BOTH_SELECTORS(
    "uses: a coroutine that is handed over, waiting in line: nothing is lost, and nothing is left behind") {
  check_all_handed_over<S, OfEvent, OfSemaphore, OfMutex, OfReceive, OfSend, OfVacancy, OfGroup>();
}
ON_BOTH_SELECTORS("uses: a coroutine that is handed over, waiting alone: nothing is lost, and nothing is left behind") {
  check_all_handed_over<S, OfWaker, OfMailbox, OfSignals, OfJoin, OfSleep, OfTick>();
}
ON_BOTH_SELECTORS(
    "uses: a coroutine that is handed over, waiting at a descriptor: nothing is lost, and nothing is left behind") {
  check_all_handed_over<S, OfRead, OfReady, OfReadLine, OfWriteAll, OfDatagram, OfAccept, OfAcceptForRoom, OfConnect>();
}
ON_BOTH_SELECTORS(
    "uses: a coroutine that is handed over, waiting in a combinator: nothing is lost, and nothing is left behind") {
  check_all_handed_over<S, OfLimited, OfShielded, OfFirst, OfNested>();
}

namespace {

// One that stands in line between two others is handed over: it keeps its place.
template <class S, class K> void check_order() {
  CAPTURE(__PRETTY_FUNCTION__);
  test::Loop<S> loop;
  K thing(loop);
  REQUIRE(thing.queues());
  User before(loop), first(loop), behind(loop), second(loop);
  Child child = thing.begin();
  before.use(thing.attempt());
  test::comes_to_rest(loop);
  first.use(of(child));
  test::comes_to_rest(loop);
  behind.use(thing.attempt());
  test::comes_to_rest(loop);
  second.use(of(child));
  test::comes_to_rest(loop);
  for (User* const next : {&before, &second, &behind}) {
    CHECK(next->error() == -1);
    thing.complete();
    test::comes_to_rest(loop);
    CHECK(next->error() == 0);
  }
}

}  // namespace

ON_BOTH_SELECTORS("uses: a coroutine that is handed over keeps its place in line") {
  check_order<S, OfSemaphore>();
  check_order<S, OfReceive>();
  check_order<S, OfSend>();
  check_order<S, OfNested>();
}

namespace {

Child sleeps(mote::FrameSource&, mote::TaskTimer& timer) {
  const auto slept = co_await timer.sleep(60ms);
  co_return slept ? Result<int>(mote::value(0)) : Result<int>(slept.error());
}
Child is_limited(mote::FrameSource&, mote::TaskTimer& timer, mote::Event& event) {
  const auto waited = co_await mote::with_timeout(timer, 60ms, event.wait());
  co_return waited ? Result<int>(mote::value(0)) : Result<int>(waited.error());
}
Child ticks(mote::FrameSource&, mote::TaskTimer& timer) {
  const auto ticked = co_await timer.tick(60ms);
  co_return ticked ? Result<int>(mote::value(0)) : Result<int>(ticked.error());
}
Child sleeps_inside(mote::FrameSource& from, mote::TaskTimer& timer, mote::Event& never) {
  Child inner = sleeps(from, timer);
  const auto first = co_await mote::first_of(never.wait(), inner);
  co_return first ? Result<int>(mote::value(0)) : Result<int>(first.error());
}

// After 10 ms it is handed over, and another sleep begins that ends 5 ms after its deadline, as that was.
template <class S> void check_deadline(mote::TaskTimer& timer, Child child, int expected) {
  test::Loop<S> loop;
  User first(loop), second(loop), later(loop);
  mote::TaskTimer pause, after;
  const auto sleep_10ms = [&](Task& task) { return as_number(pause.sleep(10ms).poll(task)); };
  const auto sleep_55ms = [&](Task& task) { return as_number(after.sleep(55ms).poll(task)); };
  first.use(of(child));
  test::comes_to_rest(loop);
  later.use(sleep_10ms);
  CHECK(test::run_until(loop, [&] { return later.answered; }));
  CHECK(first.error() == -1);
  later.use(sleep_55ms);
  test::comes_to_rest(loop);
  second.use(of(child));
  bool came_first = false;
  CHECK(test::run_until(loop, [&] {
    if (!later.answered) came_first = second.answered;
    return later.answered && second.answered;
  }));
  // In the same turn, where the machine was busy, the order of their steps decides.
  CHECK((came_first || second.answered_at < later.answered_at));
  CHECK(second.error() == expected);
  CHECK(first.error() == -1);
  static_cast<void>(timer);
}

}  // namespace

ON_BOTH_SELECTORS("uses: a coroutine that is handed over while it sleeps, or under a time limit, keeps its deadline") {
  mote::TaskTimer timers[4];
  mote::Event never;
  check_deadline<S>(timers[0], sleeps(frames, timers[0]), 0);
  check_deadline<S>(timers[1], is_limited(frames, timers[1], never), ETIMEDOUT);
  check_deadline<S>(timers[2], ticks(frames, timers[2]), 0);
  check_deadline<S>(timers[3], sleeps_inside(frames, timers[3], never), 0);
}

ON_BOTH_SELECTORS("uses: a coroutine that is handed over while it connects keeps its connection; others get EBUSY") {
  for (const bool out_of_budget : {false, true}) {
    for (const bool former_has_ended : {false, true}) {
      CAPTURE(out_of_budget);
      CAPTURE(former_has_ended);
      Connecting<S> loop;
      loop.begin(loop.slow);
      const int port = loop.stream.local_endpoint()->port();
      if (former_has_ended) loop.first.destroy();
      const Attempt attempt = of(loop.child.back());
      mote::detail::TaskHeader& header = mote::detail::TaskAccess::header(loop.second.task());
      if (out_of_budget) header.budget = 0;
      CHECK_FALSE(attempt(loop.second.task()).ready());
      // Neither the task before nor another one gets in between.
      const auto connect = [&](Task& task) { return as_number(loop.stream.connect(loop.wanted.endpoint).poll(task)); };
      if (!former_has_ended) CHECK(error_of(*connect(loop.first.task())) == EBUSY);
      CHECK(error_of(*connect(loop.third.task())) == EBUSY);
      loop.second.use(attempt);
      test::comes_to_rest(loop);
      CHECK(loop.second.error() == -1);
      CHECK(loop.stream.local_endpoint()->port() == port);
      // There is room again for the kernel's next attempt.
      const mote::Fd occupant(::accept4(loop.slow.fd.get(), nullptr, nullptr, SOCK_CLOEXEC));
      CHECK(test::run_until(loop, [&] { return loop.second.answered; }));
      CHECK(loop.second.error() == 0);
      CHECK(loop.stream.local_endpoint()->port() == port);
      sockaddr_in peer{};
      socklen_t size = sizeof peer;
      const mote::Fd accepted(
          ::accept4(loop.slow.fd.get(), static_cast<sockaddr*>(static_cast<void*>(&peer)), &size, 0));
      CHECK(ntohs(peer.sin_port) == port);
      if (!former_has_ended) CHECK(error_of(*connect(loop.first.task())) == EISCONN);
    }
  }
}

ON_BOTH_SELECTORS("uses: a coroutine that connects is handed over on its way out of first_of(): its connection ends") {
  for (const bool cancelled : {false, true}) {
    CAPTURE(cancelled);
    Connecting<S> loop;
    mote::Event wins;
    const auto race = [&] { return mote::first_of(wins.wait(), loop.stream.connect(loop.slow.endpoint)); };
    Child child = waits(frames, race);
    loop.first.use(of(child));
    test::comes_to_rest(loop);
    REQUIRE(loop.stream.is_open());
    wins.set();
    loop.second.use(of(child));
    mote::detail::TaskAccess::header(loop.first.task()).unlink();  // it is not stepped
    if (cancelled) loop.second.cancel();
    test::comes_to_rest(loop);
    // The order to use it was a result that has won over the cancellation, so this operation is told of it.
    CHECK(loop.second.error() == (cancelled ? ECANCELED : 0));
    CHECK_FALSE(loop.stream.is_open());
  }
}

ON_BOTH_SELECTORS(
    "uses: a coroutine that is handed over within another one, and given up there, leaves what it awaits") {
  test::Loop<S> loop;
  mote::Event wins;
  mote::Semaphore semaphore;
  const auto acquire = [&] { return semaphore.acquire(); };
  User first(loop), second(loop), third(loop);
  Child inner = waits(frames, acquire);
  const auto race = [&] { return mote::first_of(wins.wait(), inner); };
  Child child = waits(frames, race);
  first.use(of(child));
  test::comes_to_rest(loop);
  wins.set();
  CHECK(of(child)(second.task()).ready());
  third.use([&](Task& task) { return as_number(semaphore.acquire().poll(task)); });
  semaphore.release();
  mote::detail::TaskAccess::header(first.task()).unlink();
  test::comes_to_rest(loop);
  CHECK(third.error() == 0);
}

ON_BOTH_SELECTORS("uses: a coroutine whose stream was closed and opened again in another reactor, at the same slot") {
  for (const bool former_has_ended : {false, true}) {
    CAPTURE(former_has_ended);
    Connecting<S> loop;
    test::Loop<S> other;
    User there(other);
    loop.begin(loop.slow);
    if (former_has_ended) loop.first.destroy();
    loop.stream.close();
    there.use([&](Task& task) { return as_number(loop.stream.connect(loop.wanted.endpoint).poll(task)); });
    CHECK(test::run_until(other, [&] { return there.answered; }));
    CHECK(there.error() == 0);
    if (former_has_ended) loop.second.use(of(loop.child.back()));
    test::comes_to_rest(loop);
    CHECK((former_has_ended ? loop.second : loop.first).error() == ECANCELED);
    CHECK(loop.stream.is_open());
  }
}
