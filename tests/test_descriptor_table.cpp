// SPDX-License-Identifier: MIT
// Rooms: reactor/descriptor_table.hpp, reactor/descriptor_numbers.hpp, reactor/slot.hpp, io/source.hpp.
// Reactor::add, modify and remove, and the registrations of Source: exactly what is registered gets events.
#include <sys/stat.h>

#include <algorithm>
#include <climits>
#include <random>
#include <string>
#include <vector>

#include "support/descriptors.hpp"
#include "support/operations.hpp"

namespace {

using mote::Interest;
using mote::Readiness;
using mote::Registration;
using test::error_of;
using test::Recorder;
using test::turns;
using namespace std::chrono_literals;

constexpr Interest read_write = Interest::read | Interest::write;

Registration must_add(mote::Reactor& reactor, int fd, Interest interest, mote::Handler handler) {
  const mote::Result<Registration> added = reactor.add(fd, interest, handler);
  REQUIRE(added);
  CHECK(*added);
  return *added;
}

void must_watch(mote::Source& source, mote::Reactor& reactor, mote::Fd&& fd, Interest interest, mote::Handler handler) {
  REQUIRE(source.open(reactor, std::move(fd)));
  REQUIRE(source.watch(interest, handler));
}

void drain(int fd) {
  char bytes[64];
  while (::read(fd, bytes, sizeof bytes) > 0) {}
}

// Makes the numbers below `fd` be taken, so that the next descriptor after close(fd) has its number.
std::vector<mote::Fd> take_numbers_below(int fd) {
  std::vector<mote::Fd> taken;
  do {
    taken.emplace_back(::fcntl(fd, F_DUPFD_CLOEXEC, 0));
    REQUIRE(taken.back());
  } while (taken.back().get() < fd);
  taken.pop_back();
  return taken;
}

struct ListeningSocket {
  mote::Fd fd{::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
  mote::Endpoint address = *mote::Endpoint::parse("127.0.0.1:0");
  ListeningSocket() {
    socklen_t size = mote::Endpoint::capacity;
    REQUIRE(::bind(fd.get(), address.address(), address.size()) == 0);
    REQUIRE(::listen(fd.get(), 8) == 0);
    REQUIRE(::getsockname(fd.get(), address.address(), &size) == 0);
  }
  mote::Fd connect() const {
    mote::Fd client(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    REQUIRE(::connect(client.get(), address.address(), address.size()) == 0);
    return client;
  }
  mote::Fd accept() const { return mote::Fd(::accept4(fd.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK)); }
};

}  // namespace

// --- closing and removing while events are dispatched ----------------------------------------------------------------

ON_BOTH_SELECTORS("registration: close own fd in own callback") {
  test::Loop<S> loop;
  test::Pair pair = test::socket_pair();
  int calls = 0;
  Registration registration;
  auto handler = [&](Readiness) {
    ++calls;
    CHECK(loop.remove(registration));
    pair.a.close();
  };
  registration = must_add(loop, pair.a.get(), Interest::write, handler);
  CHECK(turns(loop) == 1);
  CHECK(calls == 1);
  CHECK(error_of(loop.remove(registration)) == ENOENT);
  CHECK(loop.stats().descriptors == 0);
}

ON_BOTH_SELECTORS("registration: close own fd in own callback, of a source") {
  test::Loop<S> loop;
  test::Pair pair = test::socket_pair();
  mote::Source source;
  int calls = 0;
  auto handler = [&](Readiness) {
    ++calls;
    source.close();
  };
  must_watch(source, loop, std::move(pair.a), Interest::write, handler);
  CHECK(turns(loop) == 1);
  CHECK(calls == 1);
  CHECK_FALSE(source.is_open());
  char c;
  CHECK(::read(pair.b.get(), &c, 1) == 0);  // really closed
}

ON_BOTH_SELECTORS("registration: close another ready fd of the same batch: its event is not delivered") {
  test::Loop<S> loop;
  constexpr int count = 6;
  test::Pair pairs[count];
  Registration registrations[count];
  int calls = 0;
  auto handler = [&](Readiness) {  // the first that is called closes all of them
    ++calls;
    for (int i = 0; i < count; ++i) {
      CHECK(loop.remove(registrations[i]));
      pairs[i].a.close();
    }
  };
  for (int i = 0; i < count; ++i) {
    pairs[i] = test::socket_pair();
    registrations[i] = must_add(loop, pairs[i].a.get(), Interest::write, handler);
  }
  CHECK(turns(loop) == count);  // all were in the batch
  CHECK(calls == 1);
  CHECK(loop.stats().selector_rebuilds == 0);
}

ON_BOTH_SELECTORS("registration: close another ready source of the same batch: its event is not delivered") {
  test::Loop<S> loop;
  constexpr int count = 6;
  test::Pair pairs[count];
  mote::Source sources[count];
  int calls = 0;
  auto handler = [&](Readiness) {
    ++calls;
    for (mote::Source& source : sources) source.close();
  };
  for (int i = 0; i < count; ++i) {
    pairs[i] = test::socket_pair();
    must_watch(sources[i], loop, std::move(pairs[i].a), Interest::write, handler);
  }
  CHECK(turns(loop) == count);
  CHECK(calls == 1);
  CHECK(loop.stats().selector_rebuilds == 0);  // stale, but not a sign of a live duplicate
}

ON_BOTH_SELECTORS("registration: close, then an accept reuses the number in the same batch: no stale event") {
  test::Loop<S> loop;
  const ListeningSocket listener;
  const mote::Fd client = listener.connect();
  test::Pair pairs[2] = {test::pipe_pair(), test::pipe_pair()};
  const std::vector<mote::Fd> taken = take_numbers_below(std::max(pairs[0].a.get(), pairs[1].a.get()));
  Registration registrations[2];
  Recorder fresh;
  mote::Fd connection;
  int calls = 0;
  const auto take_over = [&](std::size_t mine) {
    ++calls;
    drain(pairs[mine].a.get());
    const std::size_t other = 1 - mine;
    const int number = pairs[other].a.get();
    CHECK(loop.remove(registrations[other]));
    pairs[other].a.close();
    connection = listener.accept();
    REQUIRE(connection.get() == number);
    must_add(loop, number, Interest::read, fresh);
  };
  auto first = [&](Readiness) { take_over(0); };
  auto second = [&](Readiness) { take_over(1); };
  registrations[0] = must_add(loop, pairs[0].a.get(), Interest::read, first);
  registrations[1] = must_add(loop, pairs[1].a.get(), Interest::read, second);
  for (test::Pair& pair : pairs) test::send_text(pair.b.get(), "x");
  CHECK(turns(loop) == 2);  // both in one batch
  CHECK(calls == 1);
  CHECK(fresh.calls == 0);
  test::send_text(client.get(), "x");
  REQUIRE(test::run_until(loop, [&] { return fresh.calls != 0; }));
  CHECK(fresh.last == Readiness::readable);
}

ON_BOTH_SELECTORS("registration: close a source, then an accept reuses the number in the same batch: no stale event") {
  test::Loop<S> loop;
  const ListeningSocket listener;
  const mote::Fd client = listener.connect();
  test::Pair pairs[2] = {test::pipe_pair(), test::pipe_pair()};
  const std::vector<mote::Fd> taken = take_numbers_below(std::max(pairs[0].a.get(), pairs[1].a.get()));
  mote::Source sources[2], connection;
  Recorder fresh;
  int calls = 0;
  const auto take_over = [&](std::size_t mine) {
    ++calls;
    drain(sources[mine].fd());
    const int number = sources[1 - mine].fd();
    sources[1 - mine].close();
    must_watch(connection, loop, listener.accept(), Interest::read, fresh);
    CHECK(connection.fd() == number);
  };
  auto first = [&](Readiness) { take_over(0); };
  auto second = [&](Readiness) { take_over(1); };
  must_watch(sources[0], loop, std::move(pairs[0].a), Interest::read, first);
  must_watch(sources[1], loop, std::move(pairs[1].a), Interest::read, second);
  for (test::Pair& pair : pairs) test::send_text(pair.b.get(), "x");
  CHECK(turns(loop) == 2);
  CHECK(calls == 1);
  CHECK(fresh.calls == 0);
  CHECK(loop.stats().selector_rebuilds == 0);
  test::send_text(client.get(), "x");
  REQUIRE(test::run_until(loop, [&] { return fresh.calls != 0; }));
}

ON_BOTH_SELECTORS("registration: two fds each stop the other") {
  test::Loop<S> loop;
  test::Pair pair = test::socket_pair();
  Registration first, second;
  int calls = 0;
  auto stop_second = [&](Readiness) {
    ++calls;
    CHECK(loop.remove(second));
  };
  auto stop_first = [&](Readiness) {
    ++calls;
    CHECK(loop.remove(first));
  };
  first = must_add(loop, pair.a.get(), Interest::write, stop_second);
  second = must_add(loop, pair.b.get(), Interest::write, stop_first);
  REQUIRE(loop.run_once(mote::Duration::zero()));
  CHECK(calls == 1);
  CHECK(loop.stats().descriptors == 1);
}

ON_BOTH_SELECTORS("registration: re-register in callback") {
  test::Loop<S> loop;
  test::Pair pair = test::socket_pair();
  Recorder successor;
  int calls = 0;
  Registration registration;
  auto handler = [&](Readiness) {
    ++calls;
    const Registration old = registration;
    CHECK(loop.remove(old));
    registration = must_add(loop, pair.a.get(), Interest::write, successor);
    CHECK(error_of(loop.remove(old)) == ENOENT);  // although it is the same descriptor, and maybe the same slot
  };
  registration = must_add(loop, pair.a.get(), Interest::write, handler);
  CHECK(turns(loop, 1) == 1);
  CHECK(calls == 1);
  CHECK(successor.calls == 0);
  CHECK(turns(loop, 1) == 1);
  CHECK(calls == 1);
  CHECK(successor.calls == 1);
}

ON_BOTH_SELECTORS("registration: re-register in callback, of a source that is watched anew") {
  test::Loop<S> loop;
  test::Pair pair = test::socket_pair();
  mote::Source source;
  Recorder successor;
  int calls = 0;
  auto handler = [&](Readiness) {
    ++calls;
    mote::Fd fd = source.release();
    must_watch(source, loop, std::move(fd), Interest::write, successor);
  };
  must_watch(source, loop, std::move(pair.a), Interest::write, handler);
  CHECK(turns(loop, 3) == 3);
  CHECK(calls == 1);
  CHECK(successor.calls == 2);
}

ON_BOTH_SELECTORS("registration: add/remove during dispatch") {
  test::Loop<S> loop;
  test::Pair pair = test::socket_pair(), other = test::socket_pair();
  Recorder added;
  Registration registration, late;
  int calls = 0;
  auto handler = [&](Readiness) {
    if (++calls == 1) late = must_add(loop, other.a.get(), Interest::write, added);
    if (calls == 3) CHECK(loop.remove(late));
  };
  registration = must_add(loop, pair.a.get(), Interest::write, handler);
  turns(loop, 1);
  CHECK(added.calls == 0);  // what was added in this batch has had no wait yet
  turns(loop, 1);
  CHECK(added.calls == 1);
  turns(loop, 3);
  CHECK(calls == 5);
  CHECK(added.calls >= 1);
  CHECK(added.calls <= 2);  // in the third turn it may have come first
}

// Handlers that add, change, remove, close and reopen at random while a batch is dispatched. Whoever is called must be
// registered at that moment.
ON_BOTH_SELECTORS("registration: add/remove during dispatch, at random: no event for what is not registered") {
  struct Player {
    test::Pair pair;
    Registration registration;
    Interest interest = Interest::none;
    bool registered = false;
    std::uint64_t calls = 0;
  };
  constexpr std::size_t count = 24;
  struct Game {
    test::Loop<S, 16> loop;  // smaller than the crowd, so that it is full at times
    std::vector<Player> players = std::vector<Player>(count);
    std::minstd_rand random{7};
    std::uint64_t calls = 0;

    std::size_t below(std::size_t limit) { return random() % limit; }
    void change(std::size_t i, mote::Handler handler);
  };
  static Game* game = nullptr;
  Game the_game;
  game = &the_game;
  struct Moves {
    static mote::Handler handler_of(std::size_t i) {
      return {[](void* context, Readiness readiness) {
                called(static_cast<std::size_t>(static_cast<Player*>(context) - game->players.data()), readiness);
              },
              &game->players[i]};
    }
    static void called(std::size_t i, Readiness readiness) {
      Player& player = game->players[i];
      ++game->calls;
      ++player.calls;
      REQUIRE(player.registered);
      CHECK(mote::any(readiness));
      for (int moves = 0; moves < 3; ++moves) move(game->below(count));
    }
    static void move(std::size_t i) {
      Player& player = game->players[i];
      mote::Reactor& reactor = game->loop;
      const Interest interest = game->below(3) == 0 ? Interest::read : read_write;
      if (!player.registered) {
        const mote::Result<Registration> added = reactor.add(player.pair.a.get(), interest, handler_of(i));
        REQUIRE(error_of(added) == (reactor.stats().descriptors == 16 && !added ? ENOBUFS : 0));
        if (!added) return;
        player.registration = *added;
        player.registered = true;
      } else if (game->below(2) == 0) {
        REQUIRE(reactor.modify(player.registration, interest));
      } else {
        REQUIRE(reactor.remove(player.registration));
        player.registered = false;
        if (game->below(2) == 0) player.pair = test::socket_pair();  // closed; the numbers are soon used again
      }
    }
  };
  for (Player& player : the_game.players) player.pair = test::socket_pair();
  for (int turn = 0; turn < 3000; ++turn) {
    Moves::move(the_game.below(count));
    REQUIRE(the_game.loop.run_once(mote::Duration::zero()));
  }
  CHECK(the_game.calls > 3000);
  CHECK(the_game.loop.stats().selector_rebuilds == 0);
  for (const Player& player : the_game.players) CHECK(player.calls > 20);
}

ON_BOTH_SELECTORS("registration: no event after remove") {
  test::Loop<S> loop;
  test::Pair pair = test::socket_pair();
  Recorder recorder;
  const Registration registration = must_add(loop, pair.a.get(), read_write, recorder);
  test::send_text(pair.b.get(), "x");
  REQUIRE(loop.remove(registration));
  pair.b.close();
  CHECK(turns(loop) == 0);
  CHECK(recorder.calls == 0);
}

ON_BOTH_SELECTORS("registration: no event after close or release of a source") {
  test::Loop<S> loop;
  test::Pair pair = test::socket_pair();
  Recorder recorder;
  mote::Source closed, released;
  must_watch(closed, loop, std::move(pair.a), read_write, recorder);
  must_watch(released, loop, std::move(pair.b), read_write, recorder);
  const mote::Fd fd = released.release();
  closed.close();
  CHECK(turns(loop) == 0);
  CHECK(recorder.calls == 0);
  CHECK(::fcntl(fd.get(), F_GETFD) >= 0);
}

// --- between waits ---------------------------------------------------------------------------------------------------

ON_BOTH_SELECTORS("registration: change interest without a wait between") {
  test::Loop<S> loop;
  test::Pair pair = test::socket_pair();
  Recorder recorder;
  const Registration registration = must_add(loop, pair.a.get(), Interest::write, recorder);
  REQUIRE(loop.modify(registration, Interest::read));
  REQUIRE(loop.modify(registration, Interest::none));
  REQUIRE(loop.modify(registration, Interest::read));
  CHECK(turns(loop) == 0);
  REQUIRE(loop.modify(registration, Interest::write));
  REQUIRE(loop.modify(registration, read_write));
  CHECK(turns(loop, 1) == 1);
  CHECK(recorder.last == Readiness::writable);
}

ON_BOTH_SELECTORS("registration: change interest without a wait between, of a source") {
  test::Loop<S> loop;
  test::Pair pair = test::socket_pair();
  Recorder recorder, second;
  mote::Source source;
  must_watch(source, loop, std::move(pair.a), Interest::write, recorder);
  REQUIRE(source.watch(Interest::read, second));
  CHECK(turns(loop) == 0);
  REQUIRE(source.watch(read_write, second));
  CHECK(turns(loop, 1) == 1);
  CHECK(recorder.calls == 0);
  CHECK(second.calls == 1);
}

ON_BOTH_SELECTORS("registration: remove and add again between waits") {
  test::Loop<S> loop;
  test::Pair pair = test::socket_pair();
  test::send_text(pair.b.get(), "x");
  Recorder old, fresh;
  Registration registration = must_add(loop, pair.a.get(), Interest::read, old);
  for (int i = 0; i < 10; ++i) {
    REQUIRE(loop.remove(registration));
    registration = must_add(loop, pair.a.get(), i % 2 == 0 ? Interest::read : Interest::write, fresh);
  }
  CHECK(turns(loop, 1) == 1);
  CHECK(old.calls == 0);
  CHECK(fresh.calls == 1);
  CHECK(fresh.last == Readiness::writable);
}

ON_BOTH_SELECTORS("registration: interest emptied, then restored") {
  test::Loop<S> loop;
  test::Pair pair = test::socket_pair();
  Recorder recorder;
  const Registration registration = must_add(loop, pair.a.get(), Interest::read, recorder);
  test::send_text(pair.b.get(), "x");
  CHECK(turns(loop, 2) == 2);
  REQUIRE(loop.modify(registration, Interest::none));
  CHECK(turns(loop) == 0);
  REQUIRE(loop.modify(registration, Interest::read));
  CHECK(turns(loop, 1) == 1);
  CHECK(recorder.calls == 3);
}

ON_BOTH_SELECTORS("registration: interest emptied in the callback, then restored by another") {
  test::Loop<S> loop;
  test::Pair pair = test::socket_pair();
  mote::Source source;
  int calls = 0;
  mote::Handler self;
  auto handler = [&](Readiness) {
    ++calls;
    CHECK(source.watch(Interest::none, self));
  };
  self = handler;
  must_watch(source, loop, std::move(pair.a), Interest::write, self);
  CHECK(turns(loop) == 1);
  mote::Timer timer;
  auto restore = [&] { CHECK(source.watch(Interest::write, self)); };
  timer.arm(loop, 0ns, restore);
  CHECK(turns(loop) == 1);
  CHECK(calls == 2);
}

ON_BOTH_SELECTORS("registration: interest emptied, a hang-up is reported once, and again when interest is restored") {
  test::Loop<S> loop;
  test::Pair pair = test::socket_pair();
  Recorder recorder;
  const Registration registration = must_add(loop, pair.a.get(), Interest::none, recorder);
  pair.b.close();
  CHECK(turns(loop) == 1);
  CHECK(recorder.last == Readiness::hangup);
  REQUIRE(loop.modify(registration, Interest::none));
  CHECK(turns(loop) == 1);
  REQUIRE(loop.modify(registration, Interest::read));
  CHECK(turns(loop, 3) == 3);
  CHECK(recorder.last == (Readiness::readable | Readiness::hangup | Readiness::read_closed));
}

// --- errors and bounds -----------------------------------------------------------------------------------------------

ON_BOTH_SELECTORS("registration: add twice, modify/remove unregistered, remove twice: errors") {
  test::Loop<S> loop;
  test::Pair pair = test::socket_pair();
  Recorder recorder, other;
  const Registration registration = must_add(loop, pair.a.get(), Interest::write, recorder);
  CHECK(error_of(loop.add(pair.a.get(), Interest::read, other)) == EEXIST);
  CHECK(loop.stats().descriptors == 1);
  CHECK(turns(loop, 1) == 1);  // the first one stands
  CHECK(recorder.calls == 1);
  CHECK(error_of(loop.modify(Registration(), Interest::read)) == ENOENT);
  CHECK(error_of(loop.remove(Registration())) == ENOENT);
  CHECK(error_of(loop.remove(Registration{registration.slot + 1, 1})) == ENOENT);
  CHECK(error_of(loop.remove(Registration{UINT32_MAX, 1})) == ENOENT);
  CHECK(error_of(loop.remove(Registration{0, 1})) == ENOENT);
  CHECK(error_of(loop.modify(Registration{registration.slot, registration.generation + 1}, Interest::read)) == ENOENT);
  REQUIRE(loop.remove(registration));
  CHECK(error_of(loop.remove(registration)) == ENOENT);
  CHECK(error_of(loop.modify(registration, Interest::read)) == ENOENT);
}

ON_BOTH_SELECTORS("registration: add twice by way of a source: error, and the descriptor stays the caller's") {
  test::Loop<S> loop;
  test::Pair pair = test::socket_pair(), other = test::socket_pair();
  Recorder recorder;
  must_add(loop, pair.a.get(), Interest::write, recorder);
  mote::Source source;
  REQUIRE(source.open(loop, mote::Fd(pair.a.get())));  // no system call yet, so nothing is known yet
  CHECK(error_of(source.watch(Interest::write, recorder)) == EEXIST);
  CHECK(error_of(source.open(loop, std::move(other.a))) == EBUSY);
  CHECK(other.a);
  CHECK(source.release().release() == pair.a.get());
  CHECK(turns(loop, 1) == 1);
  CHECK(error_of(source.watch(Interest::write, recorder)) == EBADF);
}

ON_BOTH_SELECTORS("registration: a reactor that is not open refuses everything with ENXIO") {
  mote::StaticReactor<typename S::template Config<4>> reactor;
  test::Pair pair = test::socket_pair();
  Recorder recorder;
  mote::Source source;
  CHECK(error_of(reactor.add(pair.a.get(), Interest::read, recorder)) == ENXIO);
  CHECK(error_of(reactor.remove(Registration{1, 1})) == ENOENT);
  CHECK(error_of(reactor.run()) == ENXIO);
  CHECK(error_of(reactor.run_once()) == ENXIO);
  CHECK(error_of(source.open(reactor, std::move(pair.a))) == ENXIO);
  CHECK(pair.a);
}

ON_BOTH_SELECTORS("registration: table full, free, reuse; the old handle is refused") {
  test::Loop<S, 3> loop;
  test::Pair first = test::socket_pair(), second = test::socket_pair();
  Recorder recorder, successor;
  int told = 0;
  auto observer = [&](const mote::Observation& observation) {
    if (observation.kind == mote::Observation::table_full) ++told;
  };
  loop.observe(observer);
  must_add(loop, first.a.get(), Interest::write, recorder);
  const Registration old = must_add(loop, first.b.get(), Interest::write, recorder);
  mote::Source source;
  REQUIRE(source.open(loop, std::move(second.a)));
  CHECK(loop.vacancies() == 0);
  CHECK(error_of(loop.add(second.b.get(), Interest::write, successor)) == ENOBUFS);
  mote::Source refused;
  CHECK(error_of(refused.open(loop, std::move(second.b))) == ENOBUFS);
  CHECK(second.b);  // on failure it stays the caller's
  CHECK_FALSE(refused.is_open());
  CHECK(told == 2);
  REQUIRE(loop.remove(old));
  CHECK(loop.vacancies() == 1);
  const Registration fresh = must_add(loop, second.b.get(), Interest::write, successor);
  CHECK(fresh.slot == old.slot);
  CHECK(fresh.generation != old.generation);
  CHECK(error_of(loop.remove(old)) == ENOENT);
  CHECK(error_of(loop.modify(old, Interest::none)) == ENOENT);
  CHECK(turns(loop, 1) == 2);
  CHECK(successor.calls == 1);
  CHECK(loop.stats().descriptors_high == 3);
}

namespace {

// A reactor whose table the test can reach into.
template <class S> struct OpenReactor : mote::Reactor {
  OpenReactor() {
    REQUIRE(selector.open());
    attach(selector, slots, 4, batch, 5);
  }
  ~OpenReactor() { close(); }
  typename S::template Selector<5> selector;
  mote::Ready batch[5];
  mote::detail::Slot slots[5];
};

}  // namespace

ON_BOTH_SELECTORS("registration: generation wrap-around") {
  OpenReactor<S> reactor;
  test::Pair pair = test::socket_pair();
  Recorder recorder, last, first;
  REQUIRE(reactor.remove(must_add(reactor, pair.a.get(), Interest::write, recorder)));
  reactor.slots[1].generation = UINT32_MAX;  // as after four thousand million registrations
  const Registration before = must_add(reactor, pair.a.get(), Interest::write, last);
  REQUIRE(before.slot == 1);
  CHECK(before.generation == UINT32_MAX);
  CHECK(turns(reactor, 1) == 1);
  CHECK(last.calls == 1);
  REQUIRE(reactor.remove(before));
  const Registration after = must_add(reactor, pair.a.get(), Interest::write, first);
  REQUIRE(after.slot == 1);
  CHECK(after.generation != 0);  // 0 is never valid
  CHECK(after);
  CHECK(error_of(reactor.remove(before)) == ENOENT);
  CHECK(turns(reactor, 1) == 1);
  CHECK(last.calls == 1);
  CHECK(first.calls == 1);
  CHECK(recorder.calls == 0);
  REQUIRE(reactor.remove(after));
}

ON_BOTH_SELECTORS("registration: generation wrap-around within a batch: no stale event") {
  OpenReactor<S> reactor;
  test::Pair pairs[2] = {test::socket_pair(), test::socket_pair()}, fresh = test::socket_pair();
  Registration registrations[2];
  Recorder recorder;
  int calls = 0;
  const auto replace = [&](std::size_t other) {  // the other goes, and its slot is another's at once
    if (++calls != 1) return;
    CHECK(reactor.remove(registrations[other]));
    const Registration added = must_add(reactor, fresh.a.get(), Interest::read, recorder);
    CHECK(added.slot == registrations[other].slot);
    CHECK(added.generation == 1);
  };
  auto first = [&](Readiness) { replace(1); };
  auto second = [&](Readiness) { replace(0); };
  Recorder unused;
  for (std::size_t i = 0; i < 2; ++i) {
    registrations[i] = must_add(reactor, pairs[i].a.get(), Interest::write, unused);
  }
  for (const Registration& registration : registrations) REQUIRE(reactor.remove(registration));
  reactor.slots[1].generation = UINT32_MAX;
  reactor.slots[2].generation = UINT32_MAX;
  registrations[0] = must_add(reactor, pairs[0].a.get(), Interest::write, first);
  registrations[1] = must_add(reactor, pairs[1].a.get(), Interest::write, second);
  turns(reactor, 1);
  CHECK(calls == 1);
  CHECK(recorder.calls == 0);
}

ON_BOTH_SELECTORS("registration: fd negative or too large") {
  test::Loop<S, 2> loop;
  Recorder recorder;
  mote::Fd closed(::dup(STDERR_FILENO));
  const int number = closed.get();
  closed.close();
  for (const int fd : {-1, -2, INT_MIN, INT_MAX, INT_MAX - 1, number}) {
    CAPTURE(fd);
    CHECK(error_of(loop.add(fd, Interest::read, recorder)) == EBADF);
    CHECK(error_of(loop.add(fd, Interest::none, recorder)) == EBADF);
  }
  mote::Source source;
  CHECK(error_of(source.open(loop, mote::Fd())) == EBADF);
  mote::Fd bad(INT_MAX - 1);
  CHECK(error_of(source.open(loop, std::move(bad))) == EBADF);
  CHECK(bad.release() == INT_MAX - 1);  // NOLINT(bugprone-use-after-move): refused, so still the caller's
  CHECK(loop.vacancies() == 2);
  CHECK(turns(loop) == 0);
}

ON_BOTH_SELECTORS("registration: nested run refused") {
  test::Loop<S> loop;
  test::Pair pair = test::socket_pair();
  int calls = 0;
  auto handler = [&](Readiness) {
    ++calls;
    CHECK(loop.running());
    CHECK(error_of(loop.run()) == EBUSY);
    CHECK(error_of(loop.run_once(mote::Duration::zero())) == EBUSY);
    CHECK(error_of(loop.run_for(1ms)) == EBUSY);
    if (calls == 3) loop.stop();
  };
  must_add(loop, pair.a.get(), Interest::write, handler);
  CHECK(loop.run());
  CHECK(calls == 3);
  CHECK_FALSE(loop.running());
  CHECK(turns(loop, 1) == 1);
}

ON_BOTH_SELECTORS("registration: nested run refused, but another reactor's turn is not") {
  test::Loop<S> outer, inner;
  test::Pair pair = test::socket_pair();
  Recorder recorder;
  must_add(inner, pair.b.get(), Interest::write, recorder);
  auto handler = [&](Readiness) { CHECK(inner.run_once(mote::Duration::zero())); };
  must_add(outer, pair.a.get(), Interest::write, handler);
  CHECK(turns(outer, 2) == 2);
  CHECK(recorder.calls == 2);
}

// --- descriptors and descriptions ------------------------------------------------------------------------------------

ON_BOTH_SELECTORS("registration: two registrations of one description through dup") {
  test::Loop<S> loop;
  test::Pair pair = test::socket_pair();
  mote::Fd duplicate(::dup(pair.a.get()));
  Recorder original, copy;
  const Registration first = must_add(loop, pair.a.get(), Interest::read, original);
  const Registration second = must_add(loop, duplicate.get(), read_write, copy);
  test::send_text(pair.b.get(), "x");
  CHECK(turns(loop, 1) == 2);
  CHECK(original.last == Readiness::readable);
  CHECK(copy.last == (Readiness::readable | Readiness::writable));
  REQUIRE(loop.remove(first));
  CHECK(turns(loop, 1) == 1);
  CHECK(original.calls == 1);
  CHECK(copy.calls == 2);
  pair.a.close();  // removed, so it leaves nothing behind although the description lives on
  REQUIRE(loop.remove(second));
  CHECK(turns(loop) == 0);
  CHECK(loop.stats().stale_events == 0);
}

ON_BOTH_SELECTORS("registration: closed fd with a live dup still firing: recovered, no spin") {
  test::Loop<S> loop;
  test::Pair pair = test::socket_pair(), bystander = test::socket_pair();
  Recorder closed, other;
  int rebuilt = 0;
  auto observer = [&](const mote::Observation& observation) {
    if (observation.kind == mote::Observation::selector_rebuilt) ++rebuilt;
  };
  loop.observe(observer);
  mote::Fd duplicate(::dup(pair.a.get()));
  mote::Source source;
  must_watch(source, loop, std::move(pair.a), Interest::read, closed);
  must_add(loop, bystander.a.get(), Interest::read, other);
  source.close();  // left to the kernel, which does not see an end of the description
  test::send_text(pair.b.get(), "x");
  turns(loop);
  CHECK(closed.calls == 0);
  CHECK(loop.stats().selector_rebuilds <= 1);
  CHECK(rebuilt == static_cast<int>(loop.stats().selector_rebuilds));
  CHECK(turns(loop) == 0);  // no spin
  test::send_text(bystander.b.get(), "x");
  CHECK(turns(loop, 1) == 1);  // and the others are still there
  CHECK(other.calls == 1);
}

TEST_CASE("registration: closed fd with a live dup still firing: epoll rebuilds its set once, poll has no need to") {
  test::Loop<test::OnEpoll> epoll;
  test::Loop<test::OnPoll> poll;
  for (mote::Reactor* reactor : {static_cast<mote::Reactor*>(&epoll), static_cast<mote::Reactor*>(&poll)}) {
    test::Pair pair = test::socket_pair();
    Recorder recorder;
    mote::Fd duplicate(::dup(pair.a.get()));
    mote::Source source;
    must_watch(source, *reactor, std::move(pair.a), Interest::write, recorder);
    source.close();
    turns(*reactor);
  }
  CHECK(epoll.stats().selector_rebuilds == 1);
  CHECK(epoll.stats().stale_events == 1);
  CHECK(poll.stats().selector_rebuilds == 0);
}

ON_BOTH_SELECTORS(
    "registration: closed fd with a live dup still firing, its number in use again: only the new one's events") {
  test::Loop<S> loop;
  test::Pair pair = test::socket_pair(), next = test::socket_pair();
  Recorder closed, fresh;
  mote::Fd duplicate(::dup(pair.a.get()));
  mote::Source source;
  const int number = pair.a.get();
  must_watch(source, loop, std::move(pair.a), read_write, closed);
  source.close();
  mote::Fd successor(::fcntl(next.a.get(), F_DUPFD_CLOEXEC, number));
  REQUIRE(successor.get() == number);
  must_watch(source, loop, std::move(successor), Interest::read, fresh);
  turns(loop);
  CHECK(turns(loop) == 0);
  CHECK(closed.calls == 0);
  CHECK(fresh.calls == 0);
  test::send_text(next.b.get(), "x");
  CHECK(turns(loop, 1) == 1);
  CHECK(fresh.calls == 1);
}

ON_BOTH_SELECTORS("registration: closed fd with a live dup that gets the same number again is registered anew") {
  test::Loop<S> loop;
  test::Pair pair = test::socket_pair();
  Recorder closed, fresh;
  mote::Fd duplicate(::dup(pair.a.get()));
  mote::Source source;
  const int number = pair.a.get();
  must_watch(source, loop, std::move(pair.a), Interest::write, closed);
  source.close();
  mote::Fd again(::fcntl(duplicate.get(), F_DUPFD_CLOEXEC, number));
  REQUIRE(again.get() == number);
  must_watch(source, loop, std::move(again), Interest::read, fresh);  // epoll answers EEXIST: the ghost is in the way
  CHECK(turns(loop) == 0);
  test::send_text(pair.b.get(), "x");
  CHECK(turns(loop, 1) == 1);
  CHECK(closed.calls == 0);
  CHECK(fresh.calls == 1);
  source.close();
  turns(loop);
  CHECK(turns(loop) == 0);
}

ON_BOTH_SELECTORS("registration: closed before it was removed, with a live dup still firing: recovered, no spin") {
  test::Loop<S> loop;
  test::Pair pair = test::socket_pair();
  Recorder recorder;
  mote::Fd duplicate(::dup(pair.a.get()));
  const Registration registration = must_add(loop, pair.a.get(), Interest::write, recorder);
  pair.a.close();
  REQUIRE(loop.remove(registration));
  CHECK(turns(loop) <= 1);
  CHECK(recorder.calls == 0);
  CHECK(turns(loop) == 0);
}

ON_BOTH_SELECTORS("registration: fd closed behind our back (EBADF, POLLNVAL)") {
  test::Loop<S, 2> loop;
  test::Pair pair = test::socket_pair();
  Recorder recorder;
  const Registration registration = must_add(loop, pair.a.get(), read_write, recorder);
  pair.a.close();
  CHECK(turns(loop) <= 1);  // poll says so, epoll has forgotten it
  CHECK(recorder.calls <= 1);
  if (recorder.calls != 0) CHECK(recorder.last == Readiness::error);
  CHECK(turns(loop) == 0);
  REQUIRE(loop.remove(registration));
  CHECK(error_of(loop.remove(registration)) == ENOENT);
  CHECK(loop.vacancies() == 2);
  must_add(loop, pair.b.get(), Interest::write, recorder);
  CHECK(turns(loop, 1) == 1);
}

ON_BOTH_SELECTORS("registration: fd closed behind our back: modify says so, or else the next turn does") {
  test::Loop<S> loop;
  test::Pair pair = test::socket_pair();
  Recorder recorder;
  const Registration registration = must_add(loop, pair.a.get(), Interest::read, recorder);
  pair.a.close();
  const mote::Result<void> modified = loop.modify(registration, Interest::write);
  turns(loop);
  if (modified) {
    CHECK(recorder.calls == 1);
    CHECK(recorder.last == Readiness::error);
    CHECK(error_of(loop.modify(registration, Interest::write)) == EBADF);
  } else {
    CHECK(error_of(modified) == EBADF);
    CHECK(recorder.calls == 0);
  }
  CHECK(turns(loop) == 0);
  CHECK(loop.remove(registration));
}

ON_BOTH_SELECTORS("registration: fd closed behind our back, of a source: closing it after that is harmless") {
  test::Loop<S, 1> loop;
  test::Pair pair = test::socket_pair();
  Recorder recorder;
  mote::Source source;
  const int number = pair.a.get();
  must_watch(source, loop, std::move(pair.a), Interest::read, recorder);
  ::close(number);
  turns(loop);
  CHECK(turns(loop) == 0);
  source.close();
  CHECK(loop.vacancies() == 1);
  must_watch(source, loop, std::move(pair.b), Interest::write, recorder);
  recorder.calls = 0;
  CHECK(turns(loop, 1) == 1);
  CHECK(recorder.calls == 1);
}

TEST_CASE("registration: fd closed behind our back is told to its handler when epoll's set is rebuilt") {
  test::Loop<test::OnEpoll> loop;
  test::Pair pair = test::socket_pair(), ghost = test::socket_pair();
  Recorder closed, unused;
  const Registration registration = must_add(loop, pair.a.get(), Interest::read, closed);
  mote::Fd duplicate(::dup(ghost.a.get()));
  mote::Source source;
  must_watch(source, loop, std::move(ghost.a), Interest::write, unused);
  pair.a.close();
  source.close();
  turns(loop);
  CHECK(loop.stats().selector_rebuilds == 1);
  CHECK(closed.calls == 1);
  CHECK(closed.last == Readiness::error);
  CHECK(turns(loop) == 0);
  CHECK(loop.remove(registration));
}

ON_BOTH_SELECTORS("registration: one fd in two reactors") {
  test::Loop<S> first, second;
  test::Pair pair = test::socket_pair();
  Recorder in_first, in_second;
  const Registration one = must_add(first, pair.a.get(), Interest::read, in_first);
  const Registration two = must_add(second, pair.a.get(), Interest::read, in_second);
  test::send_text(pair.b.get(), "x");
  CHECK(turns(first, 1) == 1);
  CHECK(turns(second, 1) == 1);
  REQUIRE(first.remove(one));
  CHECK(turns(first, 1) == 0);
  CHECK(turns(second, 1) == 1);
  CHECK(in_first.calls == 1);
  CHECK(in_second.calls == 2);
  CHECK(second.remove(two));
}

ON_BOTH_SELECTORS("registration: nested epoll fd") {
  test::Loop<S> outer;
  test::Loop<test::OnEpoll> inner;
  test::Pair pair = test::pipe_pair();
  int received = 0;
  auto receive = [&](Readiness) {
    drain(pair.a.get());
    ++received;
  };
  must_add(inner, pair.a.get(), Interest::read, receive);
  auto turn = [&](Readiness readiness) {
    CHECK(readiness == Readiness::readable);
    CHECK(inner.run_once(mote::Duration::zero()));
  };
  must_add(outer, inner.pollable_descriptor(), Interest::read, turn);
  CHECK(turns(outer) == 0);
  for (int i = 1; i <= 3; ++i) {
    test::send_text(pair.b.get(), "x");
    REQUIRE(test::run_until(outer, [&] { return received == i; }));
    CHECK(turns(outer) == 0);
  }
}

TEST_CASE("registration: nested epoll fd: a reactor in itself, or two in each other, are refused") {
  test::Loop<test::OnEpoll, 2> loop, other;
  Recorder recorder;
  CHECK(error_of(loop.add(loop.pollable_descriptor(), Interest::read, recorder)) == EINVAL);
  must_add(loop, other.pollable_descriptor(), Interest::read, recorder);
  CHECK(error_of(other.add(loop.pollable_descriptor(), Interest::read, recorder)) == ELOOP);
  CHECK(loop.vacancies() == 1);
  CHECK(other.vacancies() == 2);
}

// --- what epoll does not take ----------------------------------------------------------------------------------------

namespace {

// Some that epoll refuses: a regular file, a directory, a device that has no notion of readiness.
std::vector<mote::Fd> always_ready_files() {
  std::vector<mote::Fd> files;
  files.emplace_back(::open("/proc/self/exe", O_RDONLY | O_CLOEXEC));
  files.emplace_back(::open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  files.emplace_back(::open("/dev/null", O_RDWR | O_CLOEXEC));
  for (const mote::Fd& file : files) REQUIRE(file);
  return files;
}

// Reads a stream to its end and counts the bytes.
struct Count : mote::StateMachine {
  Count(mote::Stream& from, std::size_t& to, bool& flag) : stream(from), total(to), ended(flag) {}
  mote::Stream& stream;
  std::size_t& total;
  bool& ended;
  mote::Result<std::size_t> got;
  char bytes[4096];
  mote::Step step() {
    MOTE_BEGIN();
    for (;;) {
      MOTE_AWAIT(got, stream.read(bytes));
      if (!got) return mote::failed(got.error());
      if (*got == 0) break;
      total += *got;
    }
    ended = true;
    MOTE_END();
  }
};

// Awaits readiness, once.
struct AwaitReady : mote::StateMachine {
  AwaitReady(mote::Source& from, mote::Result<Readiness>& to) : source(from), result(to) {}
  mote::Source& source;
  mote::Result<Readiness>& result;
  mote::Step step() {
    MOTE_BEGIN();
    MOTE_AWAIT(result, source.ready(Interest::read));
    MOTE_END();
  }
};

}  // namespace

ON_BOTH_SELECTORS("registration: regular file, directory, /dev/null (EPERM): always ready") {
  for (mote::Fd& file : always_ready_files()) {
    test::Loop<S> loop;
    Recorder recorder;
    const Registration registration = must_add(loop, file.get(), Interest::read, recorder);
    for (int i = 1; i <= 3; ++i) {
      const mote::Result<std::uint32_t> count = loop.run_once(mote::unlimited);  // must not wait
      REQUIRE(count);
      CHECK(*count == 1);
      CHECK(recorder.calls == i);
      CHECK(recorder.last == Readiness::readable);
    }
    REQUIRE(loop.modify(registration, read_write));
    CHECK(turns(loop, 1) == 1);
    CHECK(recorder.last == (Readiness::readable | Readiness::writable));
    REQUIRE(loop.modify(registration, Interest::write));
    CHECK(turns(loop, 1) == 1);
    CHECK(recorder.last == Readiness::writable);
    REQUIRE(loop.modify(registration, Interest::none));
    CHECK(turns(loop) == 0);
    REQUIRE(loop.modify(registration, Interest::priority));
    CHECK(turns(loop) == 0);
    REQUIRE(loop.modify(registration, Interest::read));
    CHECK(turns(loop, 2) == 2);
    CHECK(error_of(loop.add(file.get(), Interest::read, recorder)) == EEXIST);
    REQUIRE(loop.remove(registration));
    CHECK(turns(loop) == 0);
    CHECK(error_of(loop.remove(registration)) == ENOENT);
  }
}

ON_BOTH_SELECTORS("registration: regular file always ready: it goes on beside others, and does not starve them") {
  test::Loop<S> loop;
  std::vector<mote::Fd> files = always_ready_files();
  test::Pair pair = test::socket_pair();
  Recorder recorder, socket;
  for (const mote::Fd& file : files) must_add(loop, file.get(), Interest::read, recorder);
  must_add(loop, pair.a.get(), Interest::read, socket);
  mote::Timer timer;
  int ticks = 0;
  auto on_tick = [&] { ++ticks; };
  timer.arm(loop, 0ns, on_tick);
  test::send_text(pair.b.get(), "x");
  turns(loop, 4);
  CHECK(recorder.calls == 12);
  CHECK(socket.calls == 4);
  CHECK(ticks == 1);
}

ON_BOTH_SELECTORS("registration: regular file always ready: removed or closed in its own callback") {
  for (mote::Fd& file : always_ready_files()) {
    test::Loop<S> loop;
    mote::Source source;
    int calls = 0;
    auto close = [&](Readiness) {
      ++calls;
      source.close();
    };
    must_watch(source, loop, std::move(file), Interest::read, close);
    CHECK(turns(loop) == 1);
    CHECK(calls == 1);
    CHECK(loop.next_deadline() == mote::Instant::max());  // no work left
  }
}

ON_BOTH_SELECTORS("registration: regular file always ready: each stops the other") {
  test::Loop<S> loop;
  std::vector<mote::Fd> files = always_ready_files();
  std::vector<Registration> registrations;
  int calls = 0;
  auto handler = [&](Readiness) {
    ++calls;
    for (const Registration& registration : registrations) CHECK(loop.remove(registration));
  };
  for (const mote::Fd& file : files) registrations.push_back(must_add(loop, file.get(), Interest::read, handler));
  turns(loop);
  CHECK(calls == 1);
}

ON_BOTH_SELECTORS("registration: regular file always ready: a task reads it to its end") {
  test::Loop<S> loop;
  mote::TaskPool<Count, 1> pool;
  mote::Stream stream;
  std::size_t total = 0;
  bool ended = false;
  mote::Fd file(::open("/proc/self/exe", O_RDONLY | O_CLOEXEC));
  struct stat status {};
  REQUIRE(::fstat(file.get(), &status) == 0);
  REQUIRE(::lseek(file.get(), -100'001, SEEK_END) >= 0);
  REQUIRE(stream.open(loop, std::move(file)));
  REQUIRE(pool.spawn(loop, stream, total, ended));
  REQUIRE(test::run_until(loop, [&] { return loop.stats().tasks == 0; }));
  CHECK(ended);
  CHECK(total == 100'001);
}

ON_BOTH_SELECTORS("registration: regular file always ready: first awaited by a task, then watched by a handler") {
  test::Loop<S> loop;
  mote::TaskPool<AwaitReady, 1> pool;
  mote::Source source;
  mote::Result<Readiness> result;
  Recorder recorder;
  REQUIRE(source.open(loop, mote::Fd(::open("/proc/self/exe", O_RDONLY | O_CLOEXEC))));
  REQUIRE(pool.spawn(loop, source, result));
  for (int i = 0; i < 10 && loop.stats().tasks != 0; ++i) turns(loop, 1);
  CHECK(loop.stats().tasks == 0);
  REQUIRE(source.watch(Interest::read, recorder));
  CHECK(turns(loop, 3) == 3);
  CHECK(recorder.calls == 3);
  source.close();
  CHECK(turns(loop) == 0);
  CHECK(loop.next_deadline() == mote::Instant::max());
}

// --- bounds and endings ----------------------------------------------------------------------------------------------

namespace {

template <class S> struct SmallBatch : S::template Config<16> { static constexpr std::size_t batch = 3; };

}  // namespace

ON_BOTH_SELECTORS("registration: batch smaller than the ready set: nobody starves") {
  mote::StaticReactor<SmallBatch<S>> loop;
  REQUIRE(loop.open());
  constexpr int count = 10, rounds = 40;
  test::Pair pairs[count];
  Recorder recorders[count];
  for (int i = 0; i < count; ++i) {
    pairs[i] = test::socket_pair();
    must_add(loop, pairs[i].a.get(), Interest::write, recorders[i]);
  }
  CHECK(turns(loop, rounds) == 3 * rounds);
  for (const Recorder& recorder : recorders) {
    CHECK(recorder.calls >= 3 * rounds / count - 1);
    CHECK(recorder.calls <= 3 * rounds / count + 1);
  }
}

ON_BOTH_SELECTORS("registration: batch smaller than the ready set, which comes and goes: nobody starves") {
  mote::StaticReactor<SmallBatch<S>> loop;
  REQUIRE(loop.open());
  constexpr std::size_t count = 8;
  test::Pair pairs[count], quiet = test::socket_pair();
  Registration registrations[count];
  int calls[count] = {};
  // Each call is a removal and an addition, so the table is in motion all the time.
  struct Seat {
    mote::Reactor* reactor;
    Registration* registration;
    int fd;
    int* calls;
    void operator()(Readiness) {
      ++*calls;
      CHECK(reactor->remove(*registration));
      *registration = must_add(*reactor, fd, Interest::write, *this);
    }
  };
  std::vector<Seat> seats;
  for (std::size_t i = 0; i < count; ++i) {
    pairs[i] = test::socket_pair();
    seats.push_back({&loop, &registrations[i], pairs[i].a.get(), &calls[i]});
  }
  for (std::size_t i = 0; i < count; ++i) registrations[i] = must_add(loop, seats[i].fd, Interest::write, seats[i]);
  turns(loop, 200);
  for (const int mine : calls) CHECK(mine >= 20);  // an equal share would be 75
}

ON_BOTH_SELECTORS("registration: reactor destroyed with live registrations") {
  const int open = test::open_descriptors();
  test::Pair pair = test::socket_pair(), owned = test::socket_pair();
  mote::Source source;  // outlives the reactor
  Recorder recorder;
  {
    test::Loop<S> loop;
    must_add(loop, pair.a.get(), read_write, recorder);
    must_add(loop, STDIN_FILENO, Interest::none, recorder);
    must_watch(source, loop, std::move(owned.a), read_write, recorder);
    turns(loop, 1);
    recorder.calls = 0;
  }
  CHECK_FALSE(source.is_open());
  CHECK(source.fd() == -1);
  CHECK(error_of(source.watch(Interest::read, recorder)) == EBADF);
  source.close();
  char c;
  CHECK(::read(owned.b.get(), &c, 1) == 0);  // the source's descriptor went with the reactor
  CHECK(test::send_text(pair.b.get(), "x") == 1);
  CHECK(::read(pair.a.get(), &c, 1) == 1);  // the caller's did not
  test::Loop<S> successor;
  must_watch(source, successor, std::move(owned.b), Interest::read, recorder);
  CHECK(turns(successor, 1) == 1);
  CHECK(recorder.calls == 1);
  source.close();
  pair.a.close();
  pair.b.close();
  CHECK(test::open_descriptors() <= open + 1);  // the successor's selector
}

ON_BOTH_SELECTORS("registration: a source can be moved while it is watched") {
  test::Loop<S> loop;
  test::Pair pair = test::socket_pair();
  Recorder recorder;
  mote::Source first;
  must_watch(first, loop, std::move(pair.a), Interest::write, recorder);
  mote::Source second = std::move(first);
  CHECK_FALSE(first.is_open());  // NOLINT(bugprone-use-after-move): empty, and can be used again
  CHECK(turns(loop, 1) == 1);
  first.close();
  CHECK(turns(loop, 1) == 1);
  second.close();
  CHECK(turns(loop, 1) == 0);
  CHECK(recorder.calls == 2);
}

ON_BOTH_SELECTORS("registration: open/close 10,000 times: no fd leak") {
  test::Loop<S, 2> loop;
  Recorder recorder;
  const int open = test::open_descriptors();
  for (int i = 0; i < 5000; ++i) {
    test::Pair pair = test::socket_pair();
    mote::Source source;
    must_watch(source, loop, std::move(pair.a), Interest::write, recorder);
    const Registration registration = must_add(loop, pair.b.get(), Interest::write, recorder);
    if (i % 50 == 0) {
      const int before = recorder.calls;
      REQUIRE(loop.run_once(mote::Duration::zero()));
      REQUIRE(recorder.calls == before + 2);
    }
    REQUIRE(loop.remove(registration));
  }
  CHECK(test::open_descriptors() == open);
  CHECK(loop.vacancies() == 2);
  CHECK(loop.stats().stale_events == 0);
  CHECK(turns(loop) == 0);
}

ON_BOTH_SELECTORS("registration: a regular file that was removed leaves the loop at rest") {
  test::Loop<S> loop;
  const mote::Fd file(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  Recorder recorder;
  const Registration registration = must_add(loop, file.get(), Interest::read, recorder);
  turns(loop, 2);
  CHECK(recorder.calls == 2);
  REQUIRE(loop.remove(registration));
  CHECK(turns(loop) == 0);
  CHECK(loop.next_deadline() == mote::Instant::max());
}

ON_BOTH_SELECTORS("registration: a selector that served another reactor starts anew") {
  using Small = mote::StaticReactor<typename S::template Config<4>>;
  typename S::template Selector<Small::selector_capacity> selector;
  const test::Pair old_pair = test::socket_pair(), new_pair = test::socket_pair();
  REQUIRE(test::send_text(old_pair.b.get(), "x") == 1);
  Recorder before, after;
  {
    Small first;
    REQUIRE(first.open(selector));
    must_add(first, old_pair.a.get(), Interest::read, before);
  }
  Small second;
  REQUIRE(second.open(selector));
  must_add(second, new_pair.a.get(), Interest::read, after);
  turns(second, 3);
  CHECK(after.calls == 0);
}

// --- what changes between an event's arrival and its handler ---------------------------------------------------------

ON_BOTH_SELECTORS("registration: interest changed by another handler of the same turn holds from there on") {
  struct Side {
    mote::Reactor* reactor = nullptr;
    Side* other = nullptr;
    Registration registration;
    bool* acted = nullptr;
    bool modified = false;
    int unwanted = 0, writable = 0;
    void on(Readiness readiness) {
      if (modified && readiness != Readiness::writable) ++unwanted;
      if (readiness == Readiness::writable) ++writable;
      if (std::exchange(*acted, true)) return;
      other->modified = true;
      CHECK(reactor->modify(other->registration, Interest::write));  // as a proxy does that pauses reading
    }
  };
  test::Loop<S> loop;
  test::Pair pairs[2] = {test::socket_pair(), test::socket_pair()};
  bool acted = false;
  Side sides[2];
  for (int i = 0; i < 2; ++i) {
    sides[i].reactor = &loop;
    sides[i].other = &sides[1 - i];
    sides[i].acted = &acted;
    sides[i].registration = must_add(loop, pairs[i].a.get(), Interest::read, mote::Handler::of<&Side::on>(sides[i]));
    test::send_text(pairs[i].b.get(), "x");
  }
  CHECK(turns(loop, 1) == 2);  // both in one batch
  const Side& changed = sides[0].modified ? sides[0] : sides[1];
  CHECK(changed.unwanted == 0);
  CHECK(changed.writable == 0);
  turns(loop, 4);
  CHECK(changed.unwanted == 0);
  CHECK(changed.writable == 4);
}

ON_BOTH_SELECTORS(
    "registration: a pause by watch() in the same turn: the paused source is heard when it is set again") {
  test::Loop<S> loop;
  test::Pair pairs[2] = {test::socket_pair(), test::socket_pair()};
  mote::Source sources[2];
  Recorder recorders[2];
  bool paused[2] = {};
  const auto act = [&](std::size_t mine, Readiness readiness) {
    recorders[mine](readiness);
    if (paused[0] || paused[1]) return;
    const std::size_t other = 1 - mine;
    paused[other] = true;
    CHECK(sources[other].watch(Interest::none, recorders[other]));
  };
  auto first = [&](Readiness readiness) { act(0, readiness); };
  auto second = [&](Readiness readiness) { act(1, readiness); };
  must_watch(sources[0], loop, std::move(pairs[0].a), Interest::read, first);
  must_watch(sources[1], loop, std::move(pairs[1].a), Interest::read, second);
  for (test::Pair& pair : pairs) test::send_text(pair.b.get(), "x");
  turns(loop, 3);
  const std::size_t quiet = paused[0] ? 0 : 1;
  CHECK(recorders[quiet].calls == 0);
  CHECK(recorders[1 - quiet].calls == 3);
  REQUIRE(sources[quiet].watch(Interest::read, recorders[quiet]));
  turns(loop, 3);
  CHECK(recorders[quiet].calls == 3);
}

ON_BOTH_SELECTORS(
    "registration: modify() within an unasked hang-up, to the same interest too: the next data is heard") {
  for (const Interest interest : {Interest::read, Interest::none}) {
    test::Loop<S> loop;
    test::Pair pipe = test::pipe_pair();
    const std::string path = "/proc/self/fd/" + std::to_string(pipe.a.get());
    Registration registration;
    Recorder recorder;
    auto handler = [&](Readiness readiness) {
      recorder(readiness);
      if (readiness == Readiness::hangup) CHECK(loop.modify(registration, interest));
    };
    registration = must_add(loop, pipe.a.get(), interest, handler);
    pipe.b.close();
    turns(loop, 2);
    CHECK(recorder.calls == 2);  // set anew each time, it is told each time
    pipe.b = mote::Fd(::open(path.c_str(), O_WRONLY | O_NONBLOCK | O_CLOEXEC));
    REQUIRE(pipe.b);
    test::send_text(pipe.b.get(), "x");
    REQUIRE(loop.modify(registration, Interest::read));
    turns(loop, 3);
    CHECK(recorder.calls == 5);
    CHECK(recorder.last == Readiness::readable);
  }
}

ON_BOTH_SELECTORS("registration: modify() in the very hang-up is all that a reader needs to hear of the next writer") {
  test::Loop<S> loop;
  test::Pair pipe = test::pipe_pair();
  const std::string path = "/proc/self/fd/" + std::to_string(pipe.a.get());
  Registration registration;
  int data = 0, hangups = 0;
  auto handler = [&](Readiness) {
    char bytes[16];
    if (::read(pipe.a.get(), bytes, sizeof bytes) > 0) {
      ++data;
    } else if (++hangups == 1) {
      CHECK(loop.modify(registration, Interest::read));
    }
  };
  registration = must_add(loop, pipe.a.get(), Interest::read, handler);
  test::send_text(pipe.b.get(), "1");
  turns(loop, 1);
  pipe.b.close();
  turns(loop, 1);
  pipe.b = mote::Fd(::open(path.c_str(), O_WRONLY | O_NONBLOCK | O_CLOEXEC));
  REQUIRE(pipe.b);
  test::send_text(pipe.b.get(), "2");
  turns(loop, 5);
  CHECK(data == 2);
  CHECK(hangups == 1);
}

ON_BOTH_SELECTORS("registration: a handler that removes and re-adds itself in an unasked hang-up is not muted") {
  test::Loop<S> loop;
  test::Pair pair = test::socket_pair();
  Registration registration;
  int calls = 0;
  mote::Handler self;
  auto handler = [&](Readiness readiness) {
    ++calls;
    CHECK(readiness == Readiness::hangup);
    if (calls == 4) return;
    const Registration old = registration;
    REQUIRE(loop.remove(old));
    registration = must_add(loop, pair.a.get(), Interest::none, self);
    CHECK(registration.slot == old.slot);
  };
  self = handler;
  registration = must_add(loop, pair.a.get(), Interest::none, self);
  pair.b.close();
  CHECK(turns(loop) == 4);  // each time it is a new one, that has not been told; the last is muted
  CHECK(calls == 4);
}

ON_BOTH_SELECTORS("registration: an error that the handler takes away leaves it hearing") {
  test::Loop<S> loop;
  mote::Datagram socket;
  mote::Endpoint nobody = *mote::Endpoint::parse("127.0.0.1:0");
  socklen_t size = mote::Endpoint::capacity;
  mote::Fd peer(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  REQUIRE(::bind(peer.get(), nobody.address(), nobody.size()) == 0);
  REQUIRE(::getsockname(peer.get(), nobody.address(), &size) == 0);
  peer.close();
  REQUIRE(socket.open(loop, *mote::Endpoint::parse("127.0.0.1:0")));
  REQUIRE(socket.connect(nobody));
  int errors = 0, received = 0;
  auto handler = [&](Readiness) {
    char bytes[16];
    const auto got = socket.try_recv(bytes);
    if (got) ++received;
    if (error_of(got) == ECONNREFUSED) ++errors;
  };
  REQUIRE(socket.watch(Interest::read, handler));
  for (int i = 1; i <= 3; ++i) {  // in a row: the second is heard as the first
    REQUIRE(socket.try_send_to(mote::bytes_of("ping")));
    REQUIRE(test::run_until(loop, [&] { return errors == i; }));
  }
  peer = mote::Fd(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  REQUIRE(::bind(peer.get(), nobody.address(), nobody.size()) == 0);
  const mote::Endpoint mine = *socket.local_endpoint();
  for (int i = 1; i <= 3; ++i) {
    REQUIRE(::sendto(peer.get(), "data", 4, 0, mine.address(), mine.size()) == 4);
    REQUIRE(test::run_until(loop, [&] { return received == i; }));
  }
}

ON_BOTH_SELECTORS("registration: while it is muted its descriptor cannot be added a second time") {
  test::Loop<S> loop;
  test::Pair pair = test::socket_pair();
  Recorder first, second;
  const Registration registration = must_add(loop, pair.a.get(), Interest::none, first);
  pair.b.close();
  CHECK(turns(loop) == 1);
  CHECK(error_of(loop.add(pair.a.get(), Interest::read, second)) == EEXIST);
  REQUIRE(loop.modify(registration, Interest::read));
  CHECK(turns(loop, 3) == 3);
  CHECK(first.calls == 4);
  REQUIRE(loop.modify(registration, Interest::none));
  CHECK(turns(loop) == 1);
  REQUIRE(loop.remove(registration));
  must_add(loop, pair.a.get(), Interest::read, second);
  CHECK(turns(loop, 3) == 3);
  CHECK(second.calls == 3);
}

// --- descriptors that their library closes before it tells -----------------------------------------------------------

namespace {

// A descriptor that is registered, closed without a word, and its number another file's.
struct Reused {
  test::Pair old_pair = test::socket_pair(), new_pair = test::socket_pair();
  const int number = old_pair.a.get();
  Recorder old_one, new_one;
  Registration registration;
  explicit Reused(mote::Reactor& reactor) {
    registration = must_add(reactor, number, Interest::read, old_one);
    old_pair.a.close();
    reuse();
  }
  void reuse() {
    new_pair = test::socket_pair();
    if (new_pair.a.get() != number) {
      mote::Fd moved(::fcntl(new_pair.a.get(), F_DUPFD_CLOEXEC, number));
      REQUIRE(moved.get() == number);
      new_pair.a = std::move(moved);
    }
    test::send_text(new_pair.b.get(), "x");
  }
};

}  // namespace

ON_BOTH_SELECTORS("foreign descriptors: a number is taken until the registration of what was closed has ended") {
  for (const bool by_forgetting : {true, false}) {
    test::Loop<S> loop;
    Reused it(loop);
    CHECK(error_of(loop.add(it.number, Interest::read, it.new_one)) == EEXIST);
    REQUIRE((by_forgetting ? loop.forget(it.registration) : loop.remove(it.registration)));
    must_add(loop, it.number, Interest::read, it.new_one);
    CHECK(error_of(loop.forget(it.registration)) == ENOENT);
    CHECK(error_of(loop.remove(it.registration)) == ENOENT);
    CHECK(error_of(loop.modify(it.registration, Interest::none)) == ENOENT);
    turns(loop, 3);
    CHECK(it.new_one.calls == 3);
    CHECK(it.new_one.last == Readiness::readable);
    CHECK(it.old_one.calls == 0);
    CHECK(loop.stats().selector_rebuilds == 0);
  }
}

ON_BOTH_SELECTORS("foreign descriptors: the number stays taken, however often modify() says that it was closed") {
  for (const int times : {1, 2, 3}) {
    CAPTURE(times);
    test::Loop<S> loop;
    test::Pair pair = test::socket_pair();
    Recorder old_one, new_one;
    const int number = pair.a.get();
    const Registration old = must_add(loop, number, Interest::read, old_one);
    pair.a.close();
    for (int i = 0; i < times; ++i) CHECK(error_of(loop.modify(old, Interest::read)) == EBADF);
    test::Pair next = test::socket_pair();
    REQUIRE(next.a.get() == number);
    CHECK(error_of(loop.add(number, Interest::write, new_one)) == EEXIST);
    REQUIRE(loop.forget(old));
    must_add(loop, number, Interest::write, new_one);
    CHECK(turns(loop, 2) == 2);
    CHECK(new_one.calls == 2);
    CHECK(old_one.calls == 0);
  }
}

ON_BOTH_SELECTORS("foreign descriptors: the number of what was closed cannot be watched by a source either") {
  test::Loop<S> loop;
  Reused it(loop);
  mote::Source source;
  REQUIRE(source.open(loop, std::move(it.new_pair.a)));
  CHECK(error_of(source.watch(Interest::read, it.new_one)) == EEXIST);
  REQUIRE(loop.forget(it.registration));
  REQUIRE(source.watch(Interest::read, it.new_one));
  turns(loop, 3);
  CHECK(it.new_one.calls == 3);
  CHECK(it.old_one.calls == 0);
}

ON_BOTH_SELECTORS(
    "foreign descriptors: forgotten before the number comes back, again and again: nothing is left over") {
  test::Loop<S, 2> loop;
  for (int i = 0; i < 20; ++i) {
    test::Pair pair = test::socket_pair();
    Recorder recorder;
    const Registration registration = must_add(loop, pair.a.get(), Interest::read, recorder);
    test::send_text(pair.b.get(), "x");
    CHECK(turns(loop, 2) == 2);
    pair.a.close();
    REQUIRE(loop.forget(registration));
    CHECK(loop.vacancies() == 2);
    CHECK(turns(loop) == 0);
  }
  test::Pair pair = test::socket_pair();
  Recorder recorder;
  must_add(loop, pair.a.get(), Interest::write, recorder);
  must_add(loop, pair.b.get(), Interest::write, recorder);
  CHECK(turns(loop, 1) == 2);  // the selector's count is right, too
}

ON_BOTH_SELECTORS("foreign descriptors: modify() of what was closed tells the kernel, also for the same interest") {
  test::Loop<S> loop;
  Reused it(loop);
  REQUIRE(loop.modify(it.registration, Interest::read));
  turns(loop, 3);
  CHECK(it.old_one.calls == 3);
  CHECK(it.old_one.last == Readiness::readable);
}

ON_BOTH_SELECTORS(
    "foreign descriptors: modify() onto the next file of the number: a live duplicate of the old one is not heard") {
  test::Loop<S> loop;
  test::Pair pair = test::socket_pair(), next = test::socket_pair();
  Recorder recorder;
  const int number = pair.a.get();
  const Registration registration = must_add(loop, number, Interest::read, recorder);
  const mote::Fd duplicate(::dup(number));  // a forked child's, say
  pair.a.close();
  mote::Fd successor(::fcntl(next.a.get(), F_DUPFD_CLOEXEC, number));
  REQUIRE(successor.get() == number);
  REQUIRE(loop.modify(registration, Interest::read));
  test::send_text(pair.b.get(), "to the old one");
  turns(loop);
  CHECK(recorder.calls == 0);
  CHECK(turns(loop) == 0);
  test::send_text(next.b.get(), "x");
  CHECK(turns(loop, 3) == 3);
  CHECK(recorder.calls == 3);
}

ON_BOTH_SELECTORS(
    "foreign descriptors: closed with a live duplicate, it is told of a hang-up once, and does not spin") {
  for (const bool number_comes_back : {false, true}) {
    test::Loop<S> loop;
    test::Pair pair = test::socket_pair(), next = test::socket_pair();
    Recorder recorder;
    const int number = pair.a.get();
    must_add(loop, number, Interest::none, recorder);
    const mote::Fd duplicate(::dup(number));
    pair.a.close();
    mote::Fd successor;
    if (number_comes_back) successor = mote::Fd(::fcntl(next.a.get(), F_DUPFD_CLOEXEC, number));
    pair.b.close();
    turns(loop);
    CHECK(recorder.calls <= 1);
    CHECK(turns(loop) == 0);
  }
}

ON_BOTH_SELECTORS("foreign descriptors: modify() where a regular file was closed, or is now, asks the kernel anew") {
  test::Loop<S> loop;
  test::Pair pair = test::socket_pair();
  const mote::Fd file(::open("/dev/null", O_RDWR | O_CLOEXEC));
  Recorder recorder;
  const int number = ::fcntl(file.get(), F_DUPFD_CLOEXEC, 0);
  const Registration registration = must_add(loop, number, Interest::read, recorder);
  CHECK(turns(loop, 2) == 2);
  REQUIRE(::dup2(pair.a.get(), number) == number);
  REQUIRE(loop.modify(registration, Interest::read));
  CHECK(turns(loop) == 0);
  test::send_text(pair.b.get(), "x");
  CHECK(turns(loop, 2) == 2);
  REQUIRE(::dup2(file.get(), number) == number);
  REQUIRE(loop.modify(registration, Interest::read));
  CHECK(turns(loop, 2) == 2);
  ::close(number);
  if (loop.modify(registration, Interest::read)) {  // poll(2) says so when it is asked
    turns(loop);
    CHECK(recorder.last == Readiness::error);
  }
  CHECK(error_of(loop.modify(registration, Interest::read)) == EBADF);
  CHECK(turns(loop) == 0);
  CHECK(loop.forget(registration));
}

ON_BOTH_SELECTORS("foreign descriptors: the loop's own descriptor gets the number of one that was closed") {
  test::Loop<S> loop;
  test::Pair pair = test::socket_pair();
  Recorder recorder;
  const int number = pair.a.get();
  const Registration old = must_add(loop, number, Interest::read, recorder);
  pair.a.close();
  mote::Waker waker;
  int woken = 0;
  auto count = [&] { ++woken; };
  REQUIRE(waker.open(loop, mote::Delegate<void()>(count)));
  REQUIRE(test::is_open(number));  // it is the waker's
  waker.wake();
  REQUIRE(test::run_until(loop, [&] { return woken == 1; }));
  CHECK(error_of(loop.modify(old, Interest::write)) == EEXIST);
  CHECK(loop.remove(old));
  waker.wake();
  REQUIRE(test::run_until(loop, [&] { return woken == 2; }));
  CHECK(recorder.calls == 0);
}

ON_BOTH_SELECTORS("foreign descriptors: a number that comes back with what a duplicate left behind is held, too") {
  test::Loop<S> loop;
  test::Pair pair = test::socket_pair();
  Recorder closed, first, second;
  mote::Fd duplicate(::dup(pair.a.get()));
  mote::Source source;
  const int number = pair.a.get();
  must_watch(source, loop, std::move(pair.a), Interest::read, closed);
  source.close();
  REQUIRE(::fcntl(duplicate.get(), F_DUPFD_CLOEXEC, number) == number);
  const Registration registration = must_add(loop, number, Interest::read, first);  // epoll answers EEXIST
  ::close(number);
  duplicate.close();
  const test::Pair next = test::socket_pair();
  REQUIRE(::dup2(next.a.get(), number) == number);
  CHECK(error_of(loop.add(number, Interest::read, second)) == EEXIST);
  REQUIRE(loop.forget(registration));
  const Registration again = must_add(loop, number, Interest::read, second);
  test::send_text(next.b.get(), "x");
  CHECK(turns(loop, 2) == 2);
  CHECK(second.calls == 2);
  REQUIRE(loop.remove(again));
  ::close(number);
}

ON_BOTH_SELECTORS("foreign descriptors: a source's, closed behind its back with a live duplicate, does not spin") {
  test::Loop<S> loop;
  test::Pair pair = test::socket_pair();
  mote::Stream stream;
  const int number = pair.a.get();
  const mote::Fd duplicate(::dup(number));
  REQUIRE(stream.open(loop, std::move(pair.a)));
  char bytes[8];
  {
    test::Running reading(loop, [&] { return stream.read(bytes); });
    CHECK(test::comes_to_rest(loop));
    CHECK_FALSE(reading.done());
  }
  ::close(number);
  test::send_text(pair.b.get(), "x");  // nobody waits for it any more
  turns(loop);
  CHECK(turns(loop) == 0);
}
