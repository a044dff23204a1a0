// SPDX-License-Identifier: MIT
// Rooms: reactor/loop.hpp, reactor/descriptor_table.hpp, io/stream.hpp, io/listener.hpp, time/timer.hpp.
// How many system calls each operation costs, counted at the system seam. The peers run within the loop's waits and do
// not use the seam, so every call that is counted is the loop's own.
#include "support/echo.hpp"
#include "support/operations.hpp"

using namespace std::chrono_literals;

namespace {

using Seam = mote::FaultSystem;
using Call = Seam::Call;

struct Counting {
  Counting() { Seam::start_virtual_time(); }
  ~Counting() { Seam::state = Seam::State(); }
  Counting(const Counting&) = delete;
  Counting& operator=(const Counting&) = delete;
};

std::uint32_t count(Call call) { return Seam::state.count(call); }

using test::Echo;  // one connection's task, as in the echo example

constexpr std::uint32_t connections = 16;
struct Serve : mote::StateMachine {
  mote::Listener& listener;
  mote::TaskPool<Echo, connections>& pool;
  mote::Result<mote::Stream> client;
  Serve(mote::Listener& l, mote::TaskPool<Echo, connections>& p) : listener(l), pool(p) {}
  mote::Step step() {
    MOTE_BEGIN();
    for (;;) {
      MOTE_AWAIT(client, listener.accept());
      if (!client) return mote::failed(client.error());
      static_cast<void>(pool.spawn(reactor(), std::move(*client)));
    }
    MOTE_END();
  }
};

// Clients that send a message whenever the loop is about to wait, once all of them have had the last one back.
template <std::size_t Connections> struct Clients {
  mote::Fd fds[Connections] = {};
  int rounds = 0;  // to go
  bool waiting = false;
  bool wrong = false;

  Clients() {
    Seam::state.context = this;
    Seam::state.before_wait = [](void* context) { static_cast<Clients*>(context)->turn(); };
  }
  void turn() {
    if (waiting) {
      for (const mote::Fd& fd : fds) {
        char bytes[8];
        if (::recv(fd.get(), bytes, sizeof bytes, MSG_DONTWAIT) != 4 || ::memcmp(bytes, "ping", 4) != 0) wrong = true;
      }
    }
    waiting = rounds > 0;
    if (rounds-- <= 0) return;
    for (const mote::Fd& fd : fds) wrong = wrong || test::send_text(fd.get(), "ping") != 4;
  }
};

template <class S, std::size_t Connections> void count_a_ping_pong() {
  Counting counting;
  test::Loop<S, Connections> loop;
  static mote::TaskPool<Echo, Connections> pool;
  Clients<Connections> clients;
  for (mote::Fd& fd : clients.fds) {
    test::Pair pair = test::socket_pair();
    fd = std::move(pair.b);
    mote::Stream stream;
    REQUIRE(stream.open(loop, std::move(pair.a)));
    REQUIRE(pool.spawn(loop, std::move(stream)));
  }
  clients.rounds = 3;  // until all is armed
  REQUIRE(loop.run_for(1ms));
  clients.rounds = 1000;
  clients.waiting = false;
  Seam::state.reset_counts();
  REQUIRE(loop.run_for(1h));
  CHECK_FALSE(clients.wrong);
  constexpr auto messages = static_cast<std::uint32_t>(1000 * Connections);
  CHECK(Seam::state.waits() == 1000 + 1);  // one for all of them, and one in which the time runs out
  CHECK(count(Call::recv) == messages);
  CHECK(count(Call::send) == messages);
  CHECK(count(Call::epoll_ctl) == 0);
  CHECK(Seam::state.system_calls() == 1000 + 1 + 2 * messages);  // nothing else
  // To see how long it may wait, and whether its hour is over.
  CHECK(count(Call::clock) <= 2 * (1000 + 1) + 1);
  loop.destroy_all_tasks();
}

}  // namespace

ON_BOTH_SELECTORS("per message of a ping-pong exactly one wait, one receive, one send and no epoll_ctl") {
  count_a_ping_pong<S, 1>();
}

ON_BOTH_SELECTORS("at 64 connections one wait serves a batch of messages") { count_a_ping_pong<S, 64>(); }

// A callback handler pays no more.
ON_BOTH_SELECTORS("per message of a ping-pong exactly one wait, one receive and one send in the callback style, too") {
  Counting counting;
  test::Loop<S, 1> loop;
  struct Handling {
    mote::Stream stream;
    void on_event(mote::Readiness) {
      char bytes[64];
      const auto got = stream.try_read(bytes);
      if (got) static_cast<void>(stream.try_write({bytes, *got}));
    }
  } handling;
  Clients<1> clients;
  test::Pair pair = test::socket_pair();
  clients.fds[0] = std::move(pair.b);
  REQUIRE(handling.stream.open(loop, std::move(pair.a)));
  REQUIRE(handling.stream.watch(mote::Interest::read, mote::Handler::template of<&Handling::on_event>(handling)));
  clients.rounds = 1000;
  Seam::state.reset_counts();
  REQUIRE(loop.run_for(1h));
  CHECK_FALSE(clients.wrong);
  CHECK(Seam::state.waits() == 1000 + 1);
  CHECK(count(Call::recv) == 1000);
  CHECK(count(Call::send) == 1000);
  CHECK(Seam::state.system_calls() == 3001);
}

// With enable_wakeups() on, too: the eventfd costs nothing until somebody wakes the loop.
ON_BOTH_SELECTORS("wake-ups that are enabled but not used cost no system call") {
  Counting counting;
  test::Loop<S, 4> loop;
  static mote::TaskPool<Echo, 1> pool;
  mote::Waker waker;
  REQUIRE(waker.open(loop));
  Clients<1> clients;
  test::Pair pair = test::socket_pair();
  clients.fds[0] = std::move(pair.b);
  mote::Stream stream;
  REQUIRE(stream.open(loop, std::move(pair.a)));
  REQUIRE(pool.spawn(loop, std::move(stream)));
  clients.rounds = 3;
  REQUIRE(loop.run_for(1ms));
  clients.rounds = 1000;
  clients.waiting = false;
  Seam::state.reset_counts();
  REQUIRE(loop.run_for(1h));
  CHECK_FALSE(clients.wrong);
  CHECK(Seam::state.system_calls() == 3001);
  loop.destroy_all_tasks();
}

ON_BOTH_SELECTORS("a waker that is woken while the loop is awake makes no system call, and one write while it sleeps") {
  Counting counting;
  test::Loop<S, 4> loop;
  struct Woken {
    mote::Waker waker;
    int times = 0;
    void on_wake() { ++times; }
  } woken;
  REQUIRE(woken.waker.open(loop, mote::Delegate<void()>::template of<&Woken::on_wake>(woken)));
  struct Waking {
    mote::Waker& waker;
    mote::Timer timer;
    void on_time() {
      for (int i = 0; i < 100; ++i) waker.wake();
    }
  } waking{woken.waker, {}};
  waking.timer.arm(loop, 1ms, mote::Timer::Callback::template of<&Waking::on_time>(waking));
  Seam::state.reset_counts();
  REQUIRE(loop.run_for(2ms));
  CHECK(woken.times == 1);
  CHECK(count(Call::write) == 0);
  CHECK(count(Call::read) == 0);
  for (int i = 0; i < 100; ++i) woken.waker.wake();  // from outside: asleep
  CHECK(count(Call::write) == 1);
  REQUIRE(loop.run_once(1s));
  CHECK(woken.times == 2);
  CHECK(count(Call::read) == 1);
}

ON_BOTH_SELECTORS(
    "a short connection costs two receives, one send, one arming, one close and its part of the accepts") {
  Counting counting;
  test::Loop<S, connections + 1> loop;
  static mote::TaskPool<Echo, connections> pool;
  mote::Listener listener;
  mote::Endpoint any;  // a Unix socket whose name the kernel chooses
  any.address()->sa_family = AF_UNIX;
  any.resize(sizeof(sa_family_t));
  REQUIRE(listener.open(loop, any));
  const mote::Endpoint address = *listener.local_endpoint();
  static mote::TaskPool<Serve, 1> servers;
  REQUIRE(servers.spawn(loop, listener, pool));
  REQUIRE(loop.run_for(1ms));

  mote::Fd fds[connections];
  Seam::state.reset_counts();
  for (mote::Fd& fd : fds) {
    fd = mote::Fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    REQUIRE(::connect(fd.get(), address.address(), address.size()) == 0);
    test::send_text(fd.get(), "ping");
  }
  REQUIRE(loop.run_for(1ms));
  for (mote::Fd& fd : fds) {
    char bytes[8];
    REQUIRE(::recv(fd.get(), bytes, sizeof bytes, MSG_DONTWAIT) == 4);
    ::shutdown(fd.get(), SHUT_WR);
  }
  REQUIRE(loop.run_for(1ms));
  CHECK(loop.stats().tasks == 1);  // only the accepting task is left
  CHECK(count(Call::recv) == 2 * connections);
  CHECK(count(Call::send) == connections);
  CHECK(count(Call::close) == connections);
  CHECK(count(Call::accept) <= connections + 2);  // an EAGAIN for each batch
  if (loop.pollable_descriptor() >= 0) {
    CHECK(count(Call::epoll_ctl) == connections);
    CHECK(Seam::state.added == connections);  // so close leaves out EPOLL_CTL_DEL
    CHECK(count(Call::fcntl) == 0);
  }
  CHECK(count(Call::setsockopt) == 0);
  CHECK(Seam::state.waits() <= 8);
  loop.destroy_all_tasks();
}

ON_BOTH_SELECTORS("an idle loop makes no system call and no wake-up: one wait, as long as there is nothing to do") {
  Counting counting;
  test::Loop<S, 20> loop;
  static mote::TaskPool<Echo, 16> pool;
  test::Pair pairs[16];
  for (test::Pair& pair : pairs) {
    pair = test::socket_pair();
    mote::Stream stream;
    REQUIRE(stream.open(loop, std::move(pair.a)));
    REQUIRE(pool.spawn(loop, std::move(stream)));
  }
  mote::Waker waker;
  REQUIRE(waker.open(loop));
  REQUIRE(loop.run_for(1ms));
  Seam::state.reset_counts();
  const std::uint64_t turns = loop.stats().turns;
  REQUIRE(loop.run_for(1h * 24));
  CHECK(loop.stats().turns == turns + 1);
  CHECK(Seam::state.system_calls() == 1);
  CHECK(Seam::state.waits() == 1);
  loop.destroy_all_tasks();
}

ON_BOTH_SELECTORS("close leaves out EPOLL_CTL_DEL, and removal while the descriptor lives on does not") {
  Counting counting;
  test::Loop<S, 4> loop;
  struct {
    void on_event(mote::Readiness) {}
  } nothing;
  const auto handler = mote::Handler::template of<&decltype(nothing)::on_event>(nothing);
  test::Pair first = test::pipe_pair(), second = test::pipe_pair();
  mote::Source closed, released;
  REQUIRE(closed.open(loop, std::move(first.a)));
  REQUIRE(closed.watch(mote::Interest::read, handler));
  REQUIRE(released.open(loop, std::move(second.a)));
  REQUIRE(released.watch(mote::Interest::read, handler));
  Seam::state.reset_counts();
  closed.close();
  CHECK(Seam::state.system_calls() == 1);
  CHECK(count(Call::close) == 1);
  Seam::state.reset_counts();
  {
    const mote::Fd fd = released.release();
    CHECK(count(Call::close) == 0);
    CHECK(Seam::state.deleted == (loop.pollable_descriptor() >= 0 ? 1 : 0));
  }
}

ON_BOTH_SELECTORS(
    "a read that found nothing is not tried again until there is something, however often its task is woken") {
  Counting counting;
  test::Loop<S, 4> loop;
  test::Pair pair = test::socket_pair();
  mote::Stream stream = test::open_stream(loop, std::move(pair.a));
  char bytes[8];
  Seam::state.reset_counts();
  test::Running reading(loop, [&] { return stream.read(bytes); });
  for (int i = 0; i < 10; ++i) {
    REQUIRE(loop.run_once(0ms));
    reading.task().wake();
  }
  CHECK(reading.steps == 10);
  CHECK(count(Call::recv) == 1);
  test::send_text(pair.b.get(), "here");
  CHECK(*reading.finish() == 4);
  CHECK(count(Call::recv) == 2);
}

ON_BOTH_SELECTORS("the end of a stream is there to be read again at once, even where no event has told of it") {
  Counting counting;
  test::Loop<S, 4> loop;
  test::Pair pair = test::socket_pair();
  pair.b.close();
  mote::Stream stream = test::open_stream(loop, std::move(pair.a));
  char bytes[8];
  Seam::state.reset_counts();
  for (int i = 0; i < 3; ++i) {
    test::Running reading(loop, [&] { return stream.read(bytes); });
    REQUIRE(loop.run_once(0ms));
    REQUIRE(reading.done());
    CHECK(*reading.result == 0);
  }
  CHECK(count(Call::recv) == 3);
  CHECK(count(Call::epoll_ctl) == 0);
}

ON_BOTH_SELECTORS("an event for which nobody waits is disarmed by one system call, once") {
  Counting counting;
  test::Loop<S, 4> loop;
  struct Once : mote::StateMachine {
    mote::Stream& stream;
    char byte[1];
    mote::Result<std::size_t> got;
    explicit Once(mote::Stream& s) : stream(s) {}
    mote::Step step() {
      MOTE_BEGIN();
      MOTE_AWAIT(got, stream.read(byte));
      MOTE_END();
    }
  };
  static mote::TaskPool<Once, 1> pool;
  test::Pair pair = test::socket_pair();
  mote::Stream stream;
  REQUIRE(stream.open(loop, std::move(pair.a)));
  REQUIRE(pool.spawn(loop, stream));
  REQUIRE(loop.run_for(1ms));
  test::send_text(pair.b.get(), "many");  // of which one byte is read
  Seam::state.reset_counts();
  REQUIRE(loop.run_for(1h));
  CHECK(loop.stats().tasks == 0);
  CHECK(Seam::state.waits() <= 4);
  CHECK(count(Call::epoll_ctl) == (loop.pollable_descriptor() >= 0 ? 1 : 0));
}

TEST_CASE("ghost events of a dup'ed descriptor are cured by exactly one rebuild") {
  Counting counting;
  test::Loop<test::OnEpoll, 8> loop;
  struct Other {
    int fd;
    int events = 0;
    void on_event(mote::Readiness) {
      char byte;
      events += static_cast<int>(::read(fd, &byte, 1));
    }
  };
  test::Pair ghost = test::pipe_pair(), living = test::pipe_pair();
  const mote::Fd duplicate(::dup(ghost.a.get()));
  Other other{living.a.get()};
  mote::Source source;
  REQUIRE(source.open(loop, std::move(ghost.a)));
  REQUIRE(source.watch(mote::Interest::read, mote::Handler::of<&Other::on_event>(other)));
  REQUIRE(loop.add(living.a.get(), mote::Interest::read, mote::Handler::of<&Other::on_event>(other)));
  source.close();
  REQUIRE(loop.run_for(1h));
  CHECK(loop.stats().selector_rebuilds == 0);  // the duplicate alone is no reason
  test::send_text(ghost.b.get(), "x");
  Seam::state.reset_counts();
  REQUIRE(loop.run_for(1h));
  CHECK(loop.stats().selector_rebuilds == 1);
  CHECK(count(Call::epoll_create) == 1);
  CHECK(Seam::state.added == 1);  // the one that lives on
  CHECK(count(Call::close) == 1);
  CHECK(Seam::state.waits() == 2);
  test::send_text(living.b.get(), "x");
  REQUIRE(loop.run_for(1h));
  CHECK(other.events == 1);
  CHECK(loop.stats().selector_rebuilds == 1);
  CHECK(loop.stats().stale_events == 1);
}

ON_BOTH_SELECTORS("registering a source costs no system call, and neither do timers") {
  Counting counting;
  test::Loop<S, 4> loop;
  test::Pair pair = test::socket_pair();
  mote::Stream stream;
  Seam::state.reset_counts();
  REQUIRE(stream.open(loop, std::move(pair.a)));
  CHECK(count(Call::epoll_ctl) == 0);
  CHECK(Seam::state.system_calls() <= 3);  // what kind of descriptor it is, and is it non-blocking?
  struct {
    void on_time() {}
  } nothing;
  Seam::state.reset_counts();
  mote::Timer timers[100];
  for (mote::Timer& timer : timers)
    timer.arm(loop, 1h, mote::Timer::Callback::template of<&decltype(nothing)::on_time>(nothing));
  for (mote::Timer& timer : timers) timer.cancel();
  CHECK(Seam::state.system_calls() == 0);
}

TEST_CASE("a reactor makes no system call before it is opened, and neither do its parts") {
  Counting counting;
  {
    mote::StaticReactor<> reactor;
    mote::Stream stream;
    mote::Listener listener;
    mote::Waker waker;
    mote::Signals signals;
    mote::Timer timer;
    mote::TaskPool<Echo, 2> pool;
    mote::Mailbox<int, 4> mailbox;
    waker.wake();
    reactor.stop();
    CHECK_FALSE(reactor.run());
  }
  CHECK(Seam::state.system_calls() == 0);
  CHECK(count(Call::clock) == 0);
}
