// SPDX-License-Identifier: MIT
// Rooms: io/datagram.hpp.
// Datagrams: UDP over IPv4 and IPv6, and Unix-domain.
#include <stdlib.h>

#include <string>

#include "support/operations.hpp"

using mote::ByteView;
using mote::Datagram;
using mote::Endpoint;
using mote::Result;
using test::await;
using test::error_of;
using test::Running;
using namespace std::chrono_literals;

namespace {

Datagram bound(mote::Reactor& reactor, const char* address = "127.0.0.1:0") {
  Datagram socket;
  REQUIRE(socket.open(reactor, *Endpoint::parse(address)));
  return socket;
}

// What recv gives, as text; truncated datagrams end with an ellipsis.
template <std::size_t N = 64> std::string receive(mote::Reactor& reactor, Datagram& socket, Endpoint* from = nullptr) {
  char bytes[N];
  const Result<Datagram::Received> got = await(reactor, [&] { return socket.recv(bytes, from); });
  if (!got) return "errno " + std::to_string(got.error().code());
  return std::string(bytes, got->size) + (got->truncated ? "..." : "");
}

int send(mote::Reactor& reactor, Datagram& socket, const char* text, const Endpoint& to) {
  return error_of(await(reactor, [&] { return socket.send_to(mote::bytes_of(text), to); }));
}

std::string name(const char* suffix) { return "unix:@mote-test-" + std::to_string(::getpid()) + suffix; }

}  // namespace

ON_BOTH_SELECTORS("datagram: there and back, over IPv4, IPv6 and Unix names: each knows from whom it comes") {
  test::Loop<S> loop;
  const std::string unix_a = name("a"), unix_b = name("b");
  const char* const addresses[][2] = {
      {"127.0.0.1:0", "127.0.0.1:0"}, {"[::1]:0", "[::1]:0"}, {unix_a.c_str(), unix_b.c_str()}};
  for (const auto& pair : addresses) {
    Datagram a = bound(loop, pair[0]), b = bound(loop, pair[1]);
    const Endpoint to_a = *a.local_endpoint(), to_b = *b.local_endpoint();
    if (to_a.family() != mote::Family::unix_domain) CHECK(to_a.port() != 0);  // an ephemeral port
    CHECK(send(loop, a, "question", to_b) == 0);
    Endpoint from;
    CHECK(receive(loop, b, &from) == "question");
    CHECK(std::string(from.text().c_str()) == to_a.text().c_str());
    CHECK(send(loop, b, "answer", from) == 0);
    CHECK(receive(loop, a, &from) == "answer");
    CHECK(std::string(from.text().c_str()) == to_b.text().c_str());
  }
}

ON_BOTH_SELECTORS("datagram: a receiver waits for one, and they come in order, one at a time") {
  test::Loop<S> loop;
  Datagram a = bound(loop), b = bound(loop);
  const Endpoint to = *b.local_endpoint();
  char bytes[16];
  Running receiving(loop, [&] { return b.recv(bytes); });
  CHECK(test::comes_to_rest(loop));
  CHECK_FALSE(receiving.done());
  for (const char* text : {"one", "two", "three"}) CHECK(send(loop, a, text, to) == 0);
  REQUIRE(receiving.finish());
  CHECK(std::string(bytes, receiving.result->size) == "one");
  CHECK(receive(loop, b) == "two");
  CHECK(receive(loop, b) == "three");
  CHECK(error_of(b.try_recv(bytes)) == EAGAIN);
}

ON_BOTH_SELECTORS("datagram: truncation reported, and the rest is lost") {
  test::Loop<S> loop;
  for (const bool udp : {true, false}) {
    Datagram a = bound(loop, udp ? "127.0.0.1:0" : name("a").c_str());
    Datagram b = bound(loop, udp ? "127.0.0.1:0" : name("b").c_str());
    const Endpoint to = *b.local_endpoint();
    CHECK(send(loop, a, "12345678", to) == 0);
    CHECK(send(loop, a, "123456789", to) == 0);
    CHECK(send(loop, a, "next", to) == 0);
    CHECK(receive<8>(loop, b) == "12345678");  // it just fits
    CHECK(receive<8>(loop, b) == "12345678...");
    CHECK(receive<8>(loop, b) == "next");
  }
}

ON_BOTH_SELECTORS("datagram: zero-length datagram is not EOF") {
  test::Loop<S> loop;
  for (const bool udp : {true, false}) {
    Datagram a = bound(loop, udp ? "127.0.0.1:0" : name("a").c_str());
    Datagram b = bound(loop, udp ? "127.0.0.1:0" : name("b").c_str());
    const Endpoint to = *b.local_endpoint();
    char bytes[8];
    Running receiving(loop, [&] { return b.recv(bytes); });
    CHECK(test::comes_to_rest(loop));
    CHECK(send(loop, a, "", to) == 0);
    REQUIRE(receiving.finish());
    CHECK(receiving.result->size == 0);
    CHECK_FALSE(receiving.result->truncated);
    CHECK(send(loop, a, "after", to) == 0);
    CHECK(receive(loop, b) == "after");
    CHECK(send(loop, a, "taken without a buffer", to) == 0);
    const Result<Datagram::Received> none = await(loop, [&] { return b.recv(mote::ByteSpan()); });
    REQUIRE(none);
    CHECK(none->size == 0);
    CHECK(none->truncated);
  }
}

ON_BOTH_SELECTORS("datagram: ECONNREFUSED from ICMP, once, and the socket goes on") {
  test::Loop<S> loop;
  Datagram a = bound(loop), b = bound(loop);
  const Endpoint to = *b.local_endpoint();
  REQUIRE(a.connect(to));
  b.close();
  char bytes[8];
  Running receiving(loop, [&] { return a.recv(bytes); });
  CHECK(test::comes_to_rest(loop));
  CHECK(await(loop, [&] { return a.send(mote::bytes_of("anybody?")); }));
  CHECK(error_of(receiving.finish()) == ECONNREFUSED);
  CHECK(test::comes_to_rest(loop));
  Datagram again;
  REQUIRE(again.open(loop, to));
  CHECK(await(loop, [&] { return a.send(mote::bytes_of("now")); }));
  CHECK(receive(loop, again) == "now");
  again.close();
  CHECK(await(loop, [&] { return a.send(mote::bytes_of("gone")); }));
  CHECK(error_of(await(loop, [&] { return a.send(mote::bytes_of("gone")); })) ==
        ECONNREFUSED);  // told to the next call
}

ON_BOTH_SELECTORS("datagram: ECONNREFUSED is not told to one that is not connected") {
  test::Loop<S> loop;
  Datagram a = bound(loop), b = bound(loop), c = bound(loop);
  const Endpoint nobody = *b.local_endpoint();
  b.close();
  char bytes[8];
  Running receiving(loop, [&] { return a.recv(bytes); });
  CHECK(send(loop, a, "anybody?", nobody) == 0);
  CHECK(test::comes_to_rest(loop));
  CHECK_FALSE(receiving.done());
  CHECK(send(loop, c, "somebody", *a.local_endpoint()) == 0);
  CHECK(receiving.finish());
}

ON_BOTH_SELECTORS("datagram: connected, it takes from its peer alone") {
  test::Loop<S> loop;
  Datagram a = bound(loop), b = bound(loop), stranger = bound(loop);
  REQUIRE(a.connect(*b.local_endpoint()));
  CHECK(std::string(a.peer_endpoint()->text().c_str()) == b.local_endpoint()->text().c_str());
  CHECK(send(loop, stranger, "psst", *a.local_endpoint()) == 0);
  CHECK(send(loop, b, "friend", *a.local_endpoint()) == 0);
  CHECK(receive(loop, a) == "friend");
}

// A descriptor is no family: neither it nor an AF_INET compiles.
template <class T, class = void> struct OpensWith : std::false_type {};
template <class T>
struct OpensWith<
    T, std::void_t<decltype(std::declval<Datagram&>().open(std::declval<mote::Reactor&>(), std::declval<T>()))>>
    : std::true_type {};
static_assert(OpensWith<mote::Family>::value && OpensWith<Endpoint>::value);
static_assert(!OpensWith<int>::value && !OpensWith<sa_family_t>::value && !OpensWith<mote::Fd>::value);
static_assert(static_cast<int>(mote::Family::ipv6) == AF_INET6);

ON_BOTH_SELECTORS("datagram: unbound, the first send binds it") {
  test::Loop<S> loop;
  Datagram a, b = bound(loop);
  REQUIRE(a.open(loop, mote::Family::ipv4));
  CHECK(a.local_endpoint()->port() == 0);
  CHECK(send(loop, a, "hello", *b.local_endpoint()) == 0);
  CHECK(a.local_endpoint()->port() != 0);
  Endpoint from;
  CHECK(receive(loop, b, &from) == "hello");
  CHECK(send(loop, b, "back", from) == 0);
  CHECK(receive(loop, a) == "back");
}

ON_BOTH_SELECTORS("datagram: a Unix socket without a name is a sender without an address") {
  test::Loop<S> loop;
  Datagram a, b = bound(loop, name("b").c_str());
  REQUIRE(a.open(loop, mote::Family::unix_domain));
  CHECK(send(loop, a, "anonymous", *b.local_endpoint()) == 0);
  Endpoint from = *Endpoint::parse("192.0.2.1:80");
  CHECK(receive(loop, b, &from) == "anonymous");
  CHECK(std::string(from.text().c_str()) == "-");
}

ON_BOTH_SELECTORS(
    "datagram: errors of open: EADDRINUSE, EADDRNOTAVAIL, EAFNOSUPPORT, EBUSY, ENOBUFS, and no fd is left") {
  test::Loop<S, 1> loop;
  Datagram a = bound(loop), b;
  const int descriptors = test::open_descriptors();
  CHECK(error_of(b.open(loop, *a.local_endpoint())) == EADDRINUSE);
  CHECK(error_of(b.open(loop, *Endpoint::parse("203.0.113.77:0"))) == EADDRNOTAVAIL);
  CHECK(error_of(b.open(loop, Endpoint())) == EAFNOSUPPORT);
  CHECK(error_of(b.open(loop, static_cast<mote::Family>(12345))) == EAFNOSUPPORT);
  CHECK(error_of(b.open(loop, mote::Family::ipv4)) == ENOBUFS);
  CHECK(error_of(b.open(loop, *Endpoint::parse("127.0.0.1:0"))) == ENOBUFS);
  CHECK(error_of(a.open(loop, mote::Family::ipv4)) == EBUSY);
  CHECK(error_of(a.open(loop, *Endpoint::parse("127.0.0.1:0"))) == EBUSY);
  CHECK_FALSE(b.is_open());
  CHECK(test::open_descriptors() == descriptors);
}

ON_BOTH_SELECTORS("datagram: errors of send: EMSGSIZE, EDESTADDRREQ, ENOENT, ECONNREFUSED, EAFNOSUPPORT, EBADF") {
  test::Loop<S> loop;
  Datagram a = bound(loop), u, none;
  REQUIRE(u.open(loop, mote::Family::unix_domain));
  const std::string huge(70'000, 'x');
  const Endpoint to = *a.local_endpoint();
  CHECK(send(loop, a, huge.c_str(), to) == EMSGSIZE);
  CHECK(error_of(await(loop, [&] { return a.send(mote::bytes_of("to whom?")); })) == EDESTADDRREQ);
  CHECK(send(loop, u, "x", *Endpoint::parse("unix:/tmp/mote-test-no-such-directory/socket")) == ENOENT);
  CHECK(send(loop, u, "x", *Endpoint::parse("unix:@mote-test-no-such-name")) == ECONNREFUSED);
  CHECK(send(loop, none, "x", to) == EBADF);
  CHECK(error_of(none.try_send_to(mote::bytes_of("x"), &to)) == EBADF);
  CHECK(error_of(none.connect(to)) == EBADF);
  CHECK(error_of(a.connect(*Endpoint::parse("[::1]:9"))) == EAFNOSUPPORT);
  char bytes[8];
  CHECK(error_of(await(loop, [&] { return none.recv(bytes); })) == EBADF);
  CHECK(error_of(none.try_recv(bytes)) == EBADF);
}

ON_BOTH_SELECTORS("datagram: the largest goes through whole") {
  test::Loop<S> loop;
  Datagram a = bound(loop), b = bound(loop);
  const std::string largest(65'507, 'x');
  CHECK(send(loop, a, largest.c_str(), *b.local_endpoint()) == 0);
  CHECK((receive<65'536>(loop, b) == largest));
}

ON_BOTH_SELECTORS("datagram: a sender waits while the receiver's queue is full, and none is lost") {
  test::Loop<S> loop;
  Datagram a, b = bound(loop, name("b").c_str());
  const Endpoint to = *b.local_endpoint();
  REQUIRE(a.open(loop, mote::Family::unix_domain));
  REQUIRE(a.connect(to));  // so that the kernel reports the peer's queue
  int sent = 0;
  while (a.try_send_to(mote::bytes_of("x"))) ++sent;
  Running sending(loop, [&] { return a.send(mote::bytes_of("last")); });
  CHECK(test::comes_to_rest(loop));
  CHECK_FALSE(sending.done());
  for (; sent > 0; --sent) CHECK(receive(loop, b) == "x");
  CHECK(sending.finish());
  CHECK(receive(loop, b) == "last");
}

ON_BOTH_SELECTORS("datagram: one attempt answers EAGAIN, and a handler is called when one has come") {
  test::Loop<S> loop;
  Datagram a = bound(loop), b = bound(loop);
  const Endpoint to = *b.local_endpoint();
  char bytes[8];
  int received = 0, from_a = 0;
  Endpoint from;
  CHECK(error_of(b.try_recv(bytes, &from)) == EAGAIN);
  auto handler = [&](mote::Readiness) {
    while (const Result<Datagram::Received> got = b.try_recv(bytes, &from)) {
      ++received;
      if (from.port() == a.local_endpoint()->port()) ++from_a;
    }
  };
  REQUIRE(b.watch(mote::Interest::read, handler));
  CHECK(a.try_send_to(mote::bytes_of("x"), &to));
  CHECK(a.try_send_to(mote::bytes_of("y"), &to));
  CHECK(test::run_until(loop, [&] { return received == 2; }));
  CHECK(test::comes_to_rest(loop));
  CHECK(from_a == 2);
}

ON_BOTH_SELECTORS("datagram: closed or cancelled while receiving: ECANCELED, once; a second receiver: EBUSY") {
  test::Loop<S> loop;
  Datagram a = bound(loop);
  char bytes[8];
  {
    Running receiving(loop, [&] { return a.recv(bytes); });
    CHECK(test::comes_to_rest(loop));
    CHECK(error_of(await(loop, [&] { return a.recv(bytes); })) == EBUSY);
    receiving.cancel();
    CHECK(error_of(receiving.finish()) == ECANCELED);
  }
  Running receiving(loop, [&] { return a.recv(bytes); });
  CHECK(test::comes_to_rest(loop));
  a.close();
  CHECK(error_of(receiving.finish()) == ECANCELED);
  CHECK(test::comes_to_rest(loop));
  CHECK(receiving.completions == 1);
}
