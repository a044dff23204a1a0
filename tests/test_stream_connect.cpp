// SPDX-License-Identifier: MIT
// Rooms: io/stream.hpp.
// Streams that connect: at once, later, never, and closed or cancelled meanwhile.
#include <netinet/tcp.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/time.h>

#include <string>

#include "support/descriptors.hpp"
#include "support/operations.hpp"

using mote::ByteView;
using mote::Endpoint;
using mote::Fd;
using mote::Stream;
using namespace std::chrono_literals;
using test::await;
using test::error_of;
using test::is_blocking;
using test::is_open;
using test::open_stream;
using test::read_some;
using test::run_until;
using test::Running;

namespace {

// A listening TCP socket on a port of the kernel's choice, and a backlog that takes `backlog` + 1 connections.
struct Peer {
  explicit Peer(const char* address = "127.0.0.1:0", int backlog = 8) : endpoint(*Endpoint::parse(address)) {
    fd = Fd(::socket(static_cast<int>(endpoint.family()), SOCK_STREAM | SOCK_CLOEXEC, 0));
    socklen_t size = Endpoint::capacity;
    REQUIRE(::bind(fd.get(), endpoint.address(), endpoint.size()) == 0);
    REQUIRE(::listen(fd.get(), backlog) == 0);
    REQUIRE(::getsockname(fd.get(), endpoint.address(), &size) == 0);
    endpoint.resize(size);
  }
  Fd accept() const {
    pollfd entry{fd.get(), POLLIN, 0};
    REQUIRE(::poll(&entry, 1, 10000) == 1);
    Fd accepted(::accept4(fd.get(), nullptr, nullptr, SOCK_CLOEXEC));
    REQUIRE(accepted);
    return accepted;
  }
  Endpoint endpoint;
  Fd fd;
};

// A listener whose backlog is full: further connections stay in progress until somebody accepts.
struct FullPeer : Peer {
  FullPeer() : Peer("127.0.0.1:0", 0) {
    first = Fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    REQUIRE(::connect(first.get(), endpoint.address(), endpoint.size()) == 0);
  }
  Fd first;
};

// A port that was just given up.
Endpoint closed_port() { return Peer().endpoint; }

}  // namespace

ON_BOTH_SELECTORS("connect: immediate, to a Unix socket, by path and by abstract name") {
  test::Loop<S> loop;
  char directory[] = "/tmp/mote-test-XXXXXX";
  REQUIRE(::mkdtemp(directory) != nullptr);
  const std::string path = std::string(directory) + "/socket";
  const std::string abstract = "@mote-test-" + std::to_string(::getpid());
  for (const std::string& name : {path, abstract}) {
    const Peer peer(("unix:" + name).c_str());
    Stream stream;
    Running connecting(loop, [&] { return stream.connect(peer.endpoint); });
    REQUIRE(loop.run_once(0ns));
    CHECK(connecting.done());  // in its first step
    CHECK(connecting.result);
    const Fd accepted = peer.accept();
    test::send_text(accepted.get(), "hello");
    CHECK(read_some(loop, stream) == "hello");
    CHECK(std::string(stream.peer_endpoint()->text().c_str()) == "unix:" + name);
  }
  ::unlink(path.c_str());
  ::rmdir(directory);
}

ON_BOTH_SELECTORS("connect: in progress at first, over IPv4 and IPv6") {
  test::Loop<S> loop;
  for (const char* address : {"127.0.0.1:0", "[::1]:0"}) {
    const Peer peer(address);
    Stream stream;
    CHECK(await(loop, [&] { return stream.connect(peer.endpoint); }));
    REQUIRE(stream.is_open());
    CHECK_FALSE(is_blocking(stream.fd()));
    CHECK(::fcntl(stream.fd(), F_GETFD) == FD_CLOEXEC);
    const Fd accepted = peer.accept();
    ByteView hello = mote::bytes_of("hello");
    CHECK(await(loop, [&] { return stream.write_all(hello); }));
    CHECK(run_until(loop,
                    [&, got = std::string()]() mutable { return (got += test::take_all(accepted.get())) == "hello"; }));
    CHECK(std::string(stream.peer_endpoint()->text().c_str()) == peer.endpoint.text().c_str());
  }
}

ON_BOTH_SELECTORS("connect: refused: by TCP, by a Unix socket that nobody serves, by a path that is not there") {
  test::Loop<S> loop;
  const int descriptors = test::open_descriptors();
  Stream stream;
  const auto connect = [&](const Endpoint& to) { return error_of(await(loop, [&] { return stream.connect(to); })); };
  CHECK(connect(closed_port()) == ECONNREFUSED);
  CHECK_FALSE(stream.is_open());
  CHECK(connect(*Endpoint::parse("unix:/tmp/mote-test-no-such-directory/socket")) == ENOENT);
  CHECK(connect(*Endpoint::parse("unix:@mote-test-no-such-name")) == ECONNREFUSED);
  CHECK(connect(Endpoint()) == EAFNOSUPPORT);
  CHECK(connect(*Endpoint::parse("255.255.255.255:9")) != 0);
  CHECK_FALSE(stream.is_open());
  CHECK(loop.stats().descriptors == 0);
  CHECK(test::open_descriptors() == descriptors);
  const Peer peer;
  CHECK(connect(peer.endpoint) == 0);  // the same stream may try again
}

ON_BOTH_SELECTORS("connect: a Unix socket whose backlog is full answers EAGAIN") {
  test::Loop<S> loop;
  const Peer peer(("unix:@mote-test-full-" + std::to_string(::getpid())).c_str(), 0);
  std::array<Stream, 4> streams;
  int error = 0;
  for (Stream& stream : streams) {
    if (error == 0) error = error_of(await(loop, [&] { return stream.connect(peer.endpoint); }));
  }
  CHECK(error == EAGAIN);
}

ON_BOTH_SELECTORS("connect: EISCONN on a stream that is open, which is left as it is") {
  test::Loop<S> loop;
  const Peer peer;
  test::Pair pair = test::socket_pair();
  Stream stream = open_stream(loop, std::move(pair.a));
  CHECK(error_of(await(loop, [&] { return stream.connect(peer.endpoint); })) == EISCONN);
  test::send_text(pair.b.get(), "still here");
  CHECK(read_some(loop, stream) == "still here");
}

ON_BOTH_SELECTORS("connect: ENOBUFS when the table is full, and no descriptor is left behind") {
  test::Loop<S, 1> loop;
  const Peer peer;
  test::Pair pair = test::pipe_pair();
  Stream occupant = open_stream(loop, std::move(pair.a)), stream;
  const int descriptors = test::open_descriptors();
  CHECK(error_of(await(loop, [&] { return stream.connect(peer.endpoint); })) == ENOBUFS);
  CHECK_FALSE(stream.is_open());
  CHECK(test::open_descriptors() == descriptors);
}

ON_BOTH_SELECTORS("connect: closed while connecting: ECANCELED, once") {
  test::Loop<S> loop;
  const FullPeer peer;
  Stream stream;
  Running connecting(loop, [&] { return stream.connect(peer.endpoint); });
  CHECK(test::comes_to_rest(loop));
  CHECK_FALSE(connecting.done());
  REQUIRE(stream.is_open());
  stream.close();
  CHECK(error_of(connecting.finish()) == ECANCELED);
  CHECK_FALSE(stream.is_open());
  CHECK(test::comes_to_rest(loop));
  CHECK(connecting.completions == 1);
  CHECK(loop.stats().descriptors == 0);
}

ON_BOTH_SELECTORS(
    "connect: closed while connecting, just as it is established or refused: ECANCELED, and no second try") {
  test::Loop<S> loop;
  const Peer peer;
  for (const Endpoint& endpoint : {peer.endpoint, closed_port()}) {
    Stream stream;
    Running connecting(loop, [&] { return stream.connect(endpoint); });
    REQUIRE(loop.run_once(1s));  // the first step, and perhaps the event
    REQUIRE(loop.stats().events > 0);
    CHECK_FALSE(connecting.done());  // woken, but it has not run
    stream.close();
    CHECK(error_of(connecting.finish()) == ECANCELED);
    CHECK_FALSE(stream.is_open());
  }
}

ON_BOTH_SELECTORS("connect: cancelled while connecting: ECANCELED, and the stream is empty again") {
  test::Loop<S> loop;
  const FullPeer peer;
  Stream stream;
  Running connecting(loop, [&] { return stream.connect(peer.endpoint); });
  CHECK(test::comes_to_rest(loop));
  connecting.cancel();
  CHECK(error_of(connecting.finish()) == ECANCELED);
  CHECK_FALSE(stream.is_open());
  CHECK(loop.stats().descriptors == 0);
}

ON_BOTH_SELECTORS("connect: timed out, by the kernel: ETIMEDOUT") {
  test::Loop<S> loop;
  const FullPeer peer;
  Stream stream;
  Running connecting(loop, [&] { return stream.connect(peer.endpoint); });
  CHECK(test::comes_to_rest(loop));
  REQUIRE(stream.is_open());
  REQUIRE(stream.set_option(IPPROTO_TCP, TCP_USER_TIMEOUT, 1));  // given up at the first retransmission
  CHECK(error_of(connecting.finish()) == ETIMEDOUT);
  CHECK_FALSE(stream.is_open());
}

ON_BOTH_SELECTORS("connect: timed out, by a limit: ETIMEDOUT") {
  test::Loop<S> loop;
  const FullPeer peer;
  Stream stream;
  mote::TaskTimer timer;
  CHECK(error_of(await(loop, [&] { return with_timeout(timer, 1ms, stream.connect(peer.endpoint)); })) == ETIMEDOUT);
  CHECK_FALSE(stream.is_open());
  CHECK(loop.stats().descriptors == 0);
  const Peer other;
  CHECK(await(loop, [&] { return with_timeout(timer, 10s, stream.connect(other.endpoint)); }));
}

ON_BOTH_SELECTORS("connect: interrupted by signals while in progress: it goes on all the same") {
  struct sigaction action {
  }, before{};
  action.sa_handler = [](int) {};  // without SA_RESTART
  REQUIRE(::sigaction(SIGALRM, &action, &before) == 0);
  const itimerval storm{{0, 2000}, {0, 2000}}, calm{};
  test::Loop<S> loop;
  const FullPeer peer;
  Stream stream;
  REQUIRE(::setitimer(ITIMER_REAL, &storm, nullptr) == 0);
  Running connecting(loop, [&] { return stream.connect(peer.endpoint); });
  CHECK_FALSE(run_until(
      loop, [&] { return connecting.done(); }, 50ms));
  const Fd first = peer.accept();  // there is room again for the next attempt of the kernel's
  CHECK(connecting.finish());
  REQUIRE(::setitimer(ITIMER_REAL, &calm, nullptr) == 0);
  REQUIRE(::sigaction(SIGALRM, &before, nullptr) == 0);
  const Fd second = peer.accept();
  test::send_text(second.get(), "hello");
  CHECK(read_some(loop, stream) == "hello");
}

ON_BOTH_SELECTORS("connect: a second task that connects the same stream does not disturb the first") {
  test::Loop<S> loop;
  const FullPeer peer;
  Stream stream;
  Running connecting(loop, [&] { return stream.connect(peer.endpoint); });
  CHECK(test::comes_to_rest(loop));
  CHECK(error_of(await(loop, [&] { return stream.connect(peer.endpoint); })) == EBUSY);
  CHECK(test::comes_to_rest(loop));
  CHECK_FALSE(connecting.done());
  CHECK(stream.is_open());
}
