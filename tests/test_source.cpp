// SPDX-License-Identifier: MIT
// Rooms: io/source.hpp, io/source_base.hpp.
// Sources: taken over, moved and given back; readiness, names and options.
#include <netinet/tcp.h>

#include <memory>
#include <random>
#include <string>
#include <vector>

#include "support/descriptors.hpp"
#include "support/tasks.hpp"
#include "support/users.hpp"

using mote::ByteView;
using mote::Fd;
using mote::Interest;
using mote::Readiness;
using mote::Result;
using mote::Source;
using mote::Stream;
using namespace std::chrono_literals;
using test::await;
using test::error_of;
using test::fill;
using test::is_blocking;
using test::is_open;
using test::open_stream;
using test::option;
using test::read_some;
using test::Running;

ON_BOTH_SELECTORS("sources: a descriptor that was taken over is closed with its source") {
  test::Loop<S> loop;
  test::Pair pair = test::pipe_pair();
  const int fd = pair.a.get();
  {
    Stream stream = open_stream(loop, std::move(pair.a));
    CHECK_FALSE(pair.a);
    CHECK(stream.is_open());
    CHECK(stream.fd() == fd);
    CHECK(loop.stats().descriptors == 1);
    CHECK(is_open(fd));
  }
  CHECK_FALSE(is_open(fd));
  CHECK(loop.stats().descriptors == 0);
  Stream again = open_stream(loop, std::move(pair.b));
  again.close();
  CHECK_FALSE(again.is_open());
  CHECK(again.fd() == -1);
  again.close();  // twice is once
  CHECK(loop.stats().descriptors == 0);
}

ON_BOTH_SELECTORS(
    "sources: release gives the descriptor back, not registered any more, and the source may be opened anew") {
  test::Loop<S> loop;
  test::Pair pair = test::pipe_pair();
  Stream stream = open_stream(loop, std::move(pair.a));
  const int fd = stream.fd();
  Running reading(loop, [&, buffer = std::array<char, 8>()]() mutable { return stream.read(buffer); });
  test::comes_to_rest(loop);  // it waits, so the kernel has been told
  Fd released = stream.release();
  CHECK(released.get() == fd);
  CHECK_FALSE(stream.is_open());
  CHECK_FALSE(stream.release());
  CHECK(error_of(reading.finish()) == ECANCELED);
  test::send_text(pair.b.get(), "x");
  CHECK(*loop.run_once(0ns) == 0);
  CHECK(test::take_all(released.get()) == "x");
  REQUIRE(stream.open(loop, std::move(released)));
  test::send_text(pair.b.get(), "y");
  CHECK(read_some(loop, stream) == "y");
}

ON_BOTH_SELECTORS("sources: moved, the new one has it; moved over an open one, that is closed") {
  test::Loop<S> loop;
  test::Pair first = test::pipe_pair(), second = test::pipe_pair();
  Stream a = open_stream(loop, std::move(first.a));
  Stream b = open_stream(loop, std::move(second.a));
  const int fd = a.fd(), lost = b.fd();
  Stream c = std::move(a);
  CHECK_FALSE(a.is_open());
  CHECK(c.fd() == fd);
  b = std::move(c);
  CHECK_FALSE(c.is_open());
  CHECK(b.fd() == fd);
  CHECK_FALSE(is_open(lost));
  Stream& same = b;
  b = std::move(same);
  CHECK(b.fd() == fd);
  test::send_text(first.b.get(), "moved");
  CHECK(read_some(loop, b) == "moved");
  CHECK(loop.stats().descriptors == 1);
}

ON_BOTH_SELECTORS("sources: what cannot be taken over stays the caller's: EBUSY, EBADF, ENOBUFS, ENXIO") {
  test::Loop<S, 1> loop;
  mote::StaticReactor<> not_open;
  test::Pair pair = test::pipe_pair();
  Stream stream, other;
  CHECK(error_of(stream.open(not_open, std::move(pair.a))) == ENXIO);
  CHECK(error_of(stream.open(loop, Fd())) == EBADF);
  Fd closed(::dup(pair.a.get()));
  ::close(closed.get());
  CHECK(error_of(stream.open(loop, std::move(closed))) == EBADF);
  closed.release();
  REQUIRE(stream.open(loop, std::move(pair.a)));
  CHECK(error_of(stream.open(loop, std::move(pair.b))) == EBUSY);
  CHECK(error_of(other.open(loop, std::move(pair.b))) == ENOBUFS);
  REQUIRE(pair.b);
  CHECK(is_open(pair.b.get()));
  CHECK(loop.stats().descriptors == 1);
  stream.close();
  CHECK(other.open(loop, std::move(pair.b)));
}

ON_BOTH_SELECTORS("sources: they go empty where the reactor goes first") {
  test::Pair pair = test::pipe_pair();
  const int fd = pair.a.get();
  Stream stream;
  {
    test::Loop<S> loop;
    REQUIRE(stream.open(loop, std::move(pair.a)));
  }
  CHECK_FALSE(stream.is_open());
  CHECK_FALSE(is_open(fd));
}

ON_BOTH_SELECTORS("sources: a descriptor is made non-blocking, and stays so when it is given back") {
  test::Loop<S> loop;
  int fds[2];
  REQUIRE(::pipe2(fds, O_CLOEXEC) == 0);
  const Fd other(fds[1]);
  Stream stream = open_stream(loop, Fd(fds[0]));
  CHECK_FALSE(is_blocking(stream.fd()));
  CHECK(is_blocking(other.get()));
  const Fd back = stream.release();
  CHECK_FALSE(is_blocking(back.get()));
}

ON_BOTH_SELECTORS("sources: ready() tells what the kernel reports, and waits for it") {
  test::Loop<S> loop;
  test::Pair pair = test::socket_pair();
  Source source;
  REQUIRE(source.open(loop, std::move(pair.a)));
  const auto ready = [&](Interest interest) { return [&, interest] { return source.ready(interest); }; };
  CHECK(*await(loop, ready(Interest::write)) == Readiness::writable);
  Running reading(loop, ready(Interest::read));
  test::comes_to_rest(loop);
  CHECK_FALSE(reading.done());
  test::send_text(pair.b.get(), "x");
  REQUIRE(reading.finish());
  CHECK(any(*reading.result & Readiness::readable));
  CHECK_FALSE(any(*reading.result & Readiness::read_closed));
  test::take_all(source.fd());
  pair.b.close();
  Result<Readiness> closed;
  for (int hints = 0; hints < 2 && !(closed && any(*closed & Readiness::hangup)); ++hints) {
    closed = await(loop, ready(Interest::read));  // the first may be of what has been read by now
  }
  REQUIRE(closed);
  CHECK(any(*closed & Readiness::hangup));
}

ON_BOTH_SELECTORS("sources: a second task that waits for the same direction is answered EBUSY") {
  test::Loop<S> loop;
  test::Pair pair = test::socket_pair();
  fill(pair.a.get());
  Stream stream = open_stream(loop, std::move(pair.a));
  char bytes[8];
  ByteView more = mote::bytes_of("more");
  Running reading(loop, [&] { return stream.read(bytes); });
  Running writing(loop, [&] { return stream.write_all(more); });
  CHECK(test::comes_to_rest(loop));
  CHECK(error_of(await(loop, [&] { return stream.read(bytes); })) == EBUSY);
  CHECK(error_of(await(loop, [&] { return stream.ready(Interest::read); })) == EBUSY);
  CHECK(error_of(await(loop, [&] { return stream.ready(Interest::priority); })) == EBUSY);
  ByteView other = mote::bytes_of("other");
  CHECK(error_of(await(loop, [&] { return stream.write_all(other); })) == EBUSY);
  CHECK(other.size() == 5);
  CHECK(error_of(await(loop, [&] { return stream.ready(Interest::write); })) == EBUSY);
  CHECK_FALSE(reading.done());
  CHECK_FALSE(writing.done());
  test::send_text(pair.b.get(), "x");  // the earlier waiters are not disturbed
  CHECK(*reading.finish() == 1);
  CHECK(test::run_until(loop, [&] {
    test::take_all(pair.b.get());
    return writing.done();
  }));
  CHECK(writing.result);
}

ON_BOTH_SELECTORS("sources: endpoints of both ends, and ENOTSOCK, ENOTCONN, EBADF where there are none") {
  test::Loop<S> loop;
  test::Pair tcp = test::tcp_pair(), pipe = test::pipe_pair();
  Stream a = open_stream(loop, std::move(tcp.a)), b = open_stream(loop, std::move(tcp.b));
  Stream p = open_stream(loop, std::move(pipe.a)), none;
  CHECK(std::string(a.local_endpoint()->text().c_str()) == b.peer_endpoint()->text().c_str());
  CHECK(std::string(b.local_endpoint()->text().c_str()) == a.peer_endpoint()->text().c_str());
  CHECK(a.local_endpoint()->family() == mote::Family::ipv4);
  CHECK(a.local_endpoint()->port() != 0);
  CHECK(error_of(p.local_endpoint()) == ENOTSOCK);
  CHECK(error_of(none.local_endpoint()) == EBADF);
  Stream unconnected = open_stream(loop, Fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)));
  CHECK(error_of(unconnected.peer_endpoint()) == ENOTCONN);
  test::Pair unix_pair = test::socket_pair();
  Stream unnamed = open_stream(loop, std::move(unix_pair.a));
  CHECK(std::string(unnamed.peer_endpoint()->text().c_str()) == "-");
}

ON_BOTH_SELECTORS("sources: socket options are set, and refused with the kernel's error") {
  test::Loop<S> loop;
  test::Pair tcp = test::tcp_pair(), pipe = test::pipe_pair();
  Stream stream = open_stream(loop, std::move(tcp.a)), p = open_stream(loop, std::move(pipe.a)), none;
  CHECK(stream.set_no_delay(true));
  CHECK(option(stream.fd(), IPPROTO_TCP, TCP_NODELAY) == 1);
  CHECK(stream.set_no_delay(false));
  CHECK(option(stream.fd(), IPPROTO_TCP, TCP_NODELAY) == 0);
  CHECK(stream.set_keep_alive(11, 7, 3));
  CHECK(option(stream.fd(), SOL_SOCKET, SO_KEEPALIVE) == 1);
  CHECK(option(stream.fd(), IPPROTO_TCP, TCP_KEEPIDLE) == 11);
  CHECK(option(stream.fd(), IPPROTO_TCP, TCP_KEEPINTVL) == 7);
  CHECK(option(stream.fd(), IPPROTO_TCP, TCP_KEEPCNT) == 3);
  CHECK(error_of(stream.set_keep_alive(0, 7, 3)) == EINVAL);
  CHECK(error_of(stream.set_keep_alive(11, 0, 3)) == EINVAL);
  CHECK(error_of(stream.set_keep_alive(11, 7, 0)) == EINVAL);
  CHECK(stream.set_option(SOL_SOCKET, SO_OOBINLINE, 1));
  CHECK(option(stream.fd(), SOL_SOCKET, SO_OOBINLINE) == 1);
  CHECK(error_of(p.set_no_delay(true)) == ENOTSOCK);
  CHECK(error_of(none.set_no_delay(true)) == EBADF);
}

ON_BOTH_SELECTORS(
    "sources: a task that waits is told EBUSY once a handler is set, and events come after a second watch()") {
  test::Loop<S> loop;
  test::Pair pair = test::socket_pair();
  Stream stream = open_stream(loop, std::move(pair.a));
  mote::Event go_on;
  Result<std::size_t> first, second;
  mote::TaskPool<test::ReadsTwice, 1> pool;
  test::Recorder recorder, another;
  REQUIRE(pool.spawn(loop, stream, go_on, first, second));
  test::turn(loop);
  CHECK(error_of(stream.watch(Interest::read, recorder)) == EBUSY);  // it waits
  test::send_text(pair.b.get(), "x");
  REQUIRE(test::run_until(loop, [&] { return static_cast<bool>(first); }));
  test::turn(loop);
  REQUIRE(stream.watch(Interest::read, recorder));  // it does not wait now, but what it waited for is still armed
  go_on.set();
  REQUIRE(test::run_until(loop, [&] { return loop.stats().tasks == 0; }));
  CHECK(error_of(second) == EBUSY);
  test::send_text(pair.b.get(), "y");
  CHECK(test::turns(loop, 2) == 2);
  CHECK(recorder.calls == 2);
  REQUIRE(stream.watch(Interest::none, recorder));
  CHECK(test::turns(loop) == 0);
  char bytes[8];
  CHECK(error_of(stream.try_read(bytes)) == 0);
  CHECK(error_of(await(loop, [&] { return stream.read(bytes); })) == EBUSY);
  REQUIRE(stream.watch(Interest::read, another));
  test::send_text(pair.b.get(), "z");
  CHECK(test::turns(loop, 2) == 2);
  CHECK(recorder.calls == 2);
  CHECK(another.calls == 2);
}

// ----------------------------------------------------------------------------------------- who is told, of which loop

namespace {

// Streams that tasks of two reactors read, while they are opened, closed and moved onto each other: every task whose
// read ended by that is told so once, in its next step, and no other one. Both reactors count their tasks alike.
template <class S> class Moves {
 public:
  explicit Moves(unsigned seed) : random_(seed) {
    for (std::size_t i = 0; i < 4; ++i) users_.push_back(std::make_unique<test::User>(reactor_of(i)));
  }
  void run(int rounds) {
    for (int i = 0; i < rounds; ++i) {
      for (std::size_t user = 0; user < users_.size(); ++user) begin(user);
      rest();
      for (Object& object : objects_) object.changed_reactor = false;
      for (unsigned changes = 1 + below(4); changes != 0; --changes) change();
      check();
    }
  }
 private:
  struct Object {
    Stream stream;
    test::Pair pair;
    std::size_t reader = none;
    unsigned reactor = 0;
    bool changed_reactor = false;  // in this round: it may once
  };
  static constexpr std::size_t none = 99;

  unsigned below(unsigned limit) { return static_cast<unsigned>(random_() % limit); }
  mote::Reactor& reactor_of(std::size_t user) { return loops_[user % 2]; }
  void rest() {
    for (auto& loop : loops_) REQUIRE(test::comes_to_rest(loop));
  }
  // A task that awaits nothing begins to read.
  void begin(std::size_t user) {
    Object& object = objects_[below(3)];
    if (reads_[user] != nullptr || !object.stream.is_open() || object.reader != none) return;
    if (object.reactor != user % 2) return;
    reads_[user] = &object;
    object.reader = user;
    ended_[user] = false;
    users_[user]->use(
        [this, &object](mote::Task& task) { return test::as_number(object.stream.read(bytes_).poll(task)); });
  }
  void end(Object& object) {
    if (object.reader != none) ended_[object.reader] = true;
    object.reader = none;
  }
  void change() {
    Object& object = objects_[below(3)];
    Object& other = objects_[below(3)];
    if (!object.stream.is_open() && below(4) != 0) return open(object, below(2));
    if (below(2) == 0 || &object == &other) {
      end(object);
      return object.stream.close();
    }
    if (!go_to(object, other.reactor)) return;
    end(object);
    if (other.stream.is_open()) end(other);
    object.stream = std::move(other.stream);
    object.pair = std::move(other.pair);
  }
  static bool go_to(Object& object, unsigned reactor) {
    const bool changes = object.reactor != reactor;
    if (changes && std::exchange(object.changed_reactor, true)) return false;
    object.reactor = reactor;
    return true;
  }
  void open(Object& object, unsigned reactor) {
    if (!go_to(object, reactor)) return;
    object.pair = test::socket_pair();
    REQUIRE(object.stream.open(loops_[object.reactor], std::move(object.pair.a)));
  }
  void check() {
    rest();
    for (std::size_t user = 0; user < users_.size(); ++user) {
      if (reads_[user] == nullptr) continue;
      CHECK(users_[user]->error() == (ended_[user] ? ECANCELED : -1));
      if (users_[user]->answered) reads_[user] = nullptr;
    }
    for (Object& object : objects_) {
      if (!object.stream.is_open() || object.reader == none || below(2) == 0) continue;
      test::send_text(object.pair.b.get(), "x");
      test::User& user = *users_[object.reader];
      CHECK(test::run_until(reactor_of(object.reader), [&] { return user.answered; }));
      CHECK(user.error() == 0);
      reads_[object.reader] = nullptr;
      object.reader = none;
    }
  }

  std::mt19937 random_;
  test::Loop<S> loops_[2];
  Object objects_[3];
  std::vector<std::unique_ptr<test::User>> users_;
  Object* reads_[4] = {};
  bool ended_[4] = {};
  char bytes_[8] = {};
};

}  // namespace

ON_BOTH_SELECTORS(
    "sources: generated: opened, closed and moved at random in two reactors, whoever waited is told, once") {
  for (unsigned seed = 1; seed <= 200; ++seed) {
    CAPTURE(seed);
    Moves<S>(seed).run(40);
  }
}

ON_BOTH_SELECTORS("sources: what was pending in a reactor that was destroyed is told no task of the one in its place") {
  for (const bool connecting : {false, true}) {
    CAPTURE(connecting);
    const Fd listener(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    mote::Endpoint endpoint = *mote::Endpoint::parse("127.0.0.1:0");
    socklen_t size = mote::Endpoint::capacity;
    REQUIRE(::bind(listener.get(), endpoint.address(), size = endpoint.size()) == 0);
    REQUIRE(::listen(listener.get(), 4) == 0);
    size = mote::Endpoint::capacity;
    REQUIRE(::getsockname(listener.get(), endpoint.address(), &size) == 0);
    endpoint.resize(size);

    Stream stream;
    char bytes[8];
    alignas(test::Loop<S>) unsigned char storage[sizeof(test::Loop<S>)];
    for (int i = 0; i < 2; ++i) {
      auto* const loop = ::new (static_cast<void*>(storage)) test::Loop<S>;
      test::Pair pair = test::socket_pair();
      if (!connecting) REQUIRE(stream.open(*loop, std::move(pair.a)));
      test::User user(*loop);
      user.use([&](mote::Task& task) {
        if (connecting) return test::as_number(stream.connect(endpoint).poll(task));
        return test::as_number(stream.read(bytes).poll(task));
      });
      while (user.steps == 0) REQUIRE(loop->run_once(0ns));
      REQUIRE_FALSE(user.answered);
      if (i == 0 && !connecting) stream.close();  // before the task is told, its reactor is destroyed
      if (i == 1) {
        test::send_text(pair.b.get(), "x");
        CHECK(test::run_until(*loop, [&] { return user.answered; }));
        CHECK(user.error() == 0);
      }
      loop->~Loop();
    }
  }
}
