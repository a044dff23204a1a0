// SPDX-License-Identifier: MIT
// Rooms: time/timer.hpp, time/task_timer.hpp, reactor/loop.hpp, reactor/foreign_descriptors.hpp, io/borrowed_source.hpp,
// io/source_base.hpp, io/listener.hpp, thread/waker.hpp, thread/mailbox.hpp, thread/signals.hpp, sync/watchdog.hpp,
// sync/task_group.hpp, task/task_handle.hpp, task/task_pool.hpp, shutdown/graceful_shutdown.hpp.
// Every object that names a reactor, after the reactor has been destroyed: each of its functions is safe. The reactor's
// memory is overwritten meanwhile, so that whoever still reads it goes astray; whoever writes to it is found out.
#include <signal.h>
#include <stdlib.h>

#include <algorithm>
#include <memory>
#include <new>
#include <string>
#include <vector>

#include "support/descriptors.hpp"
#include "support/operations.hpp"

using mote::Fd;
using mote::Interest;
using mote::Result;
using mote::Timer;
using namespace std::chrono_literals;
using test::error_of;

namespace {

// A reactor in memory that is overwritten when it is destroyed.
template <class S> class Mortal {
 public:
  using Reactor = test::Loop<S>;
  Mortal() : reactor_(::new (static_cast<void*>(bytes_)) Reactor) {}
  ~Mortal() {
    if (reactor_ != nullptr) destroy();
    const auto is_untouched = [](unsigned char byte) { return byte == poison; };
    CHECK(std::all_of(bytes_, bytes_ + sizeof bytes_, is_untouched));
  }
  Mortal(const Mortal&) = delete;
  Mortal& operator=(const Mortal&) = delete;
  Reactor& operator*() { return *reactor_; }
  void destroy() {
    reactor_->~Reactor();
    reactor_ = nullptr;
    for (volatile unsigned char& byte : bytes_) byte = poison;
  }
 private:
  static constexpr unsigned char poison = 0xA5;
  alignas(Reactor) unsigned char bytes_[sizeof(Reactor)] = {};
  Reactor* reactor_;
};

void nothing() {}
void nothing_ready(mote::Readiness) {}
const Timer::Callback does_nothing = Timer::Callback::of<&nothing>();

// Waits for whatever it is given, and is never woken by it.
struct Sleeper : mote::StateMachine {
  mote::TaskTimer timer;
  Result<void> slept;
  mote::Step step() {
    MOTE_BEGIN();
    MOTE_AWAIT(slept, timer.sleep(1h));
    MOTE_END();
  }
};

}  // namespace

ON_BOTH_SELECTORS("reactor gone: a timer is not armed, rearm() has no effect, and it may be armed in another one") {
  Mortal<S> mortal;
  Timer timer;
  SUBCASE("armed") { timer.arm(*mortal, 1h, does_nothing); }
  SUBCASE("periodic") { timer.arm_every(*mortal, 1h, does_nothing); }
  SUBCASE("cancelled") {
    timer.arm(*mortal, 1h, does_nothing);
    CHECK(timer.cancel());
  }
  SUBCASE("fired") {
    timer.arm(*mortal, 0ns, does_nothing);
    test::turn(*mortal);
  }
  SUBCASE("armed again after it was cancelled") {
    timer.arm(*mortal, 1h, does_nothing);
    timer.cancel();
    timer.rearm(2h);
    CHECK(timer.armed());
  }
  mortal.destroy();
  CHECK_FALSE(timer.armed());
  timer.rearm(1ms);
  timer.rearm(0ns);
  CHECK_FALSE(timer.armed());
  CHECK_FALSE(timer.cancel());
  static_cast<void>(timer.deadline());
  static_cast<void>(timer.period());
  CHECK(timer.missed() == 0);
  {
    test::Loop<S> other;
    timer.arm(other, 0ns, does_nothing);
    test::turn(other);
    timer.rearm(0ns);
    CHECK(timer.armed());
    CHECK(timer.cancel());
    timer.arm_at(other, mote::Instant::max(), does_nothing);
    timer.arm_every(other, 1s, does_nothing);
  }
  CHECK_FALSE(timer.armed());
  timer.rearm(1ms);
}

ON_BOTH_SELECTORS("reactor gone: a timer that belongs to another one by then is not touched") {
  Mortal<S> mortal;
  test::Loop<S> other;
  Timer timer;
  timer.arm(*mortal, 1h, does_nothing);
  SUBCASE("armed there") { timer.arm(other, 1h, does_nothing); }
  SUBCASE("and cancelled there") {
    timer.arm(other, 1h, does_nothing);
    timer.cancel();
  }
  SUBCASE("after it was cancelled here") {
    timer.cancel();
    timer.arm(other, 1h, does_nothing);
  }
  mortal.destroy();
  timer.rearm(0ns);
  CHECK(timer.armed());
  test::turn(other);
  CHECK_FALSE(timer.armed());
}

ON_BOTH_SELECTORS("reactor gone: timers that are destroyed in any order leave no trace") {
  Mortal<S> mortal;
  std::vector<std::unique_ptr<Timer>> timers;
  for (int i = 0; i < 8; ++i) {
    timers.push_back(std::make_unique<Timer>());
    timers.back()->arm(*mortal, 1h, does_nothing);
    if (i % 2 == 0) timers.back()->cancel();
  }
  for (const std::size_t gone : {3u, 0u, 4u}) timers[gone].reset();
  timers[2]->rearm(1h);
  mortal.destroy();
  for (const std::size_t left : {1u, 2u, 5u, 6u}) {
    CHECK_FALSE(timers[left]->armed());
    timers[left]->rearm(1h);
  }
}

ON_BOTH_SELECTORS("reactor gone: a task's timer serves tasks of another one") {
  Mortal<S> mortal;
  mote::TaskTimer timer;
  mote::Reactor& first = *mortal;
  auto sleeping = test::waiting(first, [&] { return timer.sleep(1h); });
  mortal.destroy();
  timer.reset();
  test::Loop<S> other;
  CHECK(test::await(other, [&] { return timer.sleep(0ns); }));
  CHECK(*test::await(other, [&] { return timer.tick(1ms); }) >= 1);
  mote::Event never;
  const auto limited = [&] { return mote::with_timeout(timer, 1ms, never.wait()); };
  CHECK(error_of(test::await(other, limited)) == ETIMEDOUT);
}

ON_BOTH_SELECTORS("reactor gone: sources are empty, and all that they can do says so") {
  Mortal<S> mortal;
  test::Pair pair = test::socket_pair(), borrowed = test::socket_pair();
  mote::Stream stream;
  mote::Listener listener;
  mote::Datagram datagram;
  mote::BorrowedSource source;
  const mote::Endpoint here = *mote::Endpoint::ip("127.0.0.1", 0);
  REQUIRE(stream.open(*mortal, std::move(pair.a)));
  REQUIRE(listener.open(*mortal, here));
  REQUIRE(datagram.open(*mortal, here));
  REQUIRE(source.open(*mortal, borrowed.a.get()));
  mortal.destroy();
  test::Loop<S> other;
  char bytes[8];
  mote::ByteView view = mote::bytes_of("x");
  mote::ByteSpan span = bytes;
  mote::Endpoint from;
  const auto answer = [&other](auto make) { return error_of(test::await(other, make)); };
  CHECK(answer([&] { return stream.read(bytes); }) == ECANCELED);
  CHECK(answer([&] { return stream.read_exactly(span); }) == ECANCELED);
  CHECK(answer([&] { return stream.write_all(view); }) == ECANCELED);
  CHECK(answer([&] { return stream.ready(Interest::read); }) == ECANCELED);
  CHECK(answer([&] { return listener.accept(); }) == ECANCELED);
  CHECK(answer([&] { return listener.ready(Interest::read); }) == ECANCELED);
  CHECK(answer([&] { return datagram.recv(bytes); }) == ECANCELED);
  CHECK(answer([&] { return datagram.recv_from(bytes, from); }) == ECANCELED);
  CHECK(answer([&] { return datagram.send(view); }) == ECANCELED);
  CHECK(answer([&] { return datagram.send_to(view, here); }) == ECANCELED);
  CHECK(answer([&] { return source.ready(Interest::read); }) == ECANCELED);
  CHECK(error_of(listener.try_accept()) == EBADF);
  CHECK(error_of(stream.watch(Interest::read, mote::Handler::of<&nothing_ready>())) == EBADF);
  CHECK(error_of(stream.set_option(SOL_SOCKET, SO_KEEPALIVE, 1)) == EBADF);
  CHECK(error_of(stream.local_endpoint()) == EBADF);
  CHECK(error_of(stream.peer_endpoint()) == EBADF);
  CHECK(error_of(stream.shutdown_write()) == EBADF);
  CHECK(error_of(stream.set_keep_alive(1, 1, 1)) == EBADF);
  CHECK(error_of(stream.set_no_delay(true)) == EBADF);
  CHECK(error_of(stream.try_read(bytes)) == EBADF);
  CHECK(error_of(stream.try_write(view)) == EBADF);
  CHECK(error_of(datagram.try_recv(bytes)) == EBADF);
  CHECK(error_of(datagram.try_send_to(view, &here)) == EBADF);
  CHECK(error_of(datagram.connect(here)) == EBADF);
  CHECK_FALSE(stream.release());
  CHECK(stream.fd() == -1);
  CHECK_FALSE(listener.is_open());
  mote::Stream moved = std::move(stream);
  stream = std::move(moved);
  stream.close();
  listener.close();
  source.close();
  CHECK(test::is_open(borrowed.a.get()));
  CHECK(answer([&] { return listener.accept(); }) == ECANCELED);
  CHECK(listener.open(other, here));
  mote::Stream client;
  const mote::Endpoint server = *listener.local_endpoint();
  CHECK(answer([&] { return client.connect(server); }) == 0);
  CHECK(source.open(other, borrowed.a.get()));
  CHECK(stream.open(other, std::move(pair.b)));
}

ON_BOTH_SELECTORS("reactor gone: a table of foreign descriptors is closed, and may be opened in another one") {
  Mortal<S> mortal;
  const test::Pair pair = test::socket_pair();
  mote::ForeignDescriptors<2> table;
  int calls = 0;
  auto note = [&](int, mote::Readiness) { ++calls; };
  REQUIRE(table.open(*mortal, note));
  REQUIRE(table.watch(pair.a.get(), Interest::write));
  mortal.destroy();
  CHECK_FALSE(table.is_open());
  CHECK(error_of(table.watch(pair.a.get(), Interest::read)) == ENXIO);
  CHECK(error_of(table.watch(pair.a.get(), Interest::none)) == ENXIO);
  test::Loop<S> other;
  SUBCASE("closed") { table.close(); }
  SUBCASE("forgotten") { table.forget(pair.a.get()); }
  SUBCASE("opened at once") {}
  REQUIRE(table.open(other, note));
  CHECK(table.interest(pair.a.get()) == Interest::none);
  REQUIRE(table.watch(pair.a.get(), Interest::write));
  test::turn(other);
  CHECK(calls == 1);
}

ON_BOTH_SELECTORS("reactor gone: what wakes it has no effect") {
  Mortal<S> mortal;
  mote::Waker waker;
  mote::Mailbox<int, 2> mailbox;
  mote::Signals signals;
  REQUIRE(waker.open(*mortal));
  REQUIRE(mailbox.open(*mortal));
  REQUIRE(signals.open(*mortal, {SIGUSR1}));
  waker.wake();
  CHECK(mailbox.post(1));
  mortal.destroy();
  waker.wake();
  CHECK_FALSE(waker.is_open());
  CHECK(mailbox.post(2));
  CHECK(*mailbox.try_receive() == 1);
  signals.deliver();
  CHECK_FALSE(signals.is_open());
  test::Loop<S> other;
  CHECK(error_of(test::await(other, [&] { return waker.wait(); })) == ECANCELED);
  CHECK(*test::await(other, [&] { return mailbox.receive(); }) == 2);
  CHECK(error_of(test::await(other, [&] { return mailbox.receive(); })) == ECANCELED);
  CHECK(error_of(test::await(other, [&] { return signals.next(); })) == ECANCELED);
  SUBCASE("closed") {
    waker.close();
    mailbox.close();
    signals.close();
    CHECK(waker.open(other));
    CHECK(mailbox.open(other));
    CHECK(signals.open(other, {SIGUSR1}));
  }
  SUBCASE("swallowed") {
    signals.swallow();
    signals.close();
  }
  SUBCASE("destroyed as it is") {}
}

ON_BOTH_SELECTORS("reactor gone: pools, handles and groups are empty, and serve another one") {
  Mortal<S> mortal;
  mote::TaskPool<Sleeper, 2> pool;
  mote::TaskGroup<2> group;
  Result<mote::TaskHandle> handle = pool.spawn(*mortal);
  REQUIRE(handle);
  const Result<mote::TaskRef> member = group.spawn(pool, *mortal);
  REQUIRE(member);
  test::turn(*mortal);
  mortal.destroy();
  CHECK(handle->get() == nullptr);
  handle->cancel();
  static_cast<void>(handle->destroy());
  CHECK(pool.size() <= 1);  // an outcome whose handle is held
  CHECK(pool.find(*handle) == nullptr);
  pool.for_each([](Sleeper&) { FAIL("a task lives"); });
  test::Loop<S> other;
  static_cast<void>(test::await(other, [&] { return handle->join(); }));
  handle->detach();
  CHECK(group.size() == 0);
  CHECK(group.failures() == 0);
  CHECK(group.first_failure().kind == mote::Outcome::Kind::none);
  CHECK(group.capacity() == 2);
  group.cancel_others_on_failure();
  group.on_end({});
  group.cancel_all();
  CHECK(pool.high_water() == 2);
  CHECK(pool.vacancies() == pool.capacity());
  static_cast<void>(test::await(other, [&] { return group.join_all(); }));
  CHECK(test::await(other, [&] { return pool.vacancy(); }));
  CHECK(pool.spawn(other));
  CHECK(group.spawn(pool, other));
}

ON_BOTH_SELECTORS("reactor gone: a watchdog and its heartbeats go on without effect") {
  Mortal<S> mortal;
  test::Pair pair = test::pipe_pair();
  mote::Watchdog watchdog;
  mote::Heartbeat heartbeat;
  REQUIRE(watchdog.open(*mortal, std::move(pair.b), 1ms));
  heartbeat.open(watchdog, "task");
  CHECK(test::run_until(*mortal, [&] { return watchdog.missing() == &heartbeat; }));
  REQUIRE((*mortal).run_for(5ms));
  mortal.destroy();
  heartbeat.beat();
  CHECK(heartbeat.has_beaten());
  CHECK(heartbeat.is_open());
  CHECK(std::string(heartbeat.name()) == "task");
  CHECK(watchdog.fed() == 0);
  heartbeat.close();
  heartbeat.open(watchdog, "again");
  heartbeat.beat();
  CHECK(error_of(watchdog.notify("READY=1")) == EBADF);
  static_cast<void>(watchdog.missing());
  static_cast<void>(watchdog.last_feeding());
  CHECK(watchdog.fd() >= 0);
  CHECK(watchdog.close());
  test::Loop<S> other;
  ::unsetenv("NOTIFY_SOCKET");
  CHECK(error_of(watchdog.open_notify(other)) == ENOENT);
  CHECK(watchdog.open(other, std::move(pair.a), 1s));
}

ON_BOTH_SELECTORS("reactor gone: a shutdown is ENXIO, and holds nothing") {
  Mortal<S> mortal;
  mote::GracefulShutdown shutdown(*mortal, {SIGUSR1}, 1ms);
  SUBCASE("never opened") {}
  SUBCASE("open") { REQUIRE(shutdown.open()); }
  SUBCASE("held") { shutdown.hold(); }
  SUBCASE("ended") {
    shutdown.request();
    REQUIRE(shutdown.run());
  }
  mortal.destroy();
  shutdown.hold();
  shutdown.release();
  shutdown.on_begin({});
  shutdown.request();
  CHECK(shutdown.requested());
  CHECK(error_of(shutdown.run()) == ENXIO);
  shutdown.close();
  CHECK(error_of(shutdown.open()) == ENXIO);
}
