// SPDX-License-Identifier: MIT
// Rooms: io/stream.hpp, reactor/descriptor_table.hpp, awaited by coroutine/co.hpp.
// TCP streams by edges, read and written by coroutines: see test_stream_edges.cpp.
#include <algorithm>
#include <random>
#include <string>

#include "support/coroutines.hpp"

namespace {

using mote::Fd;
using mote::Result;
using mote::Stream;
using namespace std::chrono_literals;
using test::error_of;

mote::FramePool<4096, 16> frames;

unsigned char pattern(std::size_t place) { return static_cast<unsigned char>(place * 7 + place / 251); }
std::string pattern_text(std::size_t from, std::size_t size) {
  std::string text(size, '\0');
  for (std::size_t i = 0; i < size; ++i) text[i] = static_cast<char>(pattern(from + i));
  return text;
}

struct Received {
  std::string text;
  int ended = -1;
};

// Reads in every way that there is, and leaves in between.
mote::Co<void> wander(mote::FrameSource&, Stream& stream, Received& received, std::size_t size) {
  mote::TaskTimer timer;
  char bytes[512];
  for (unsigned i = 0;; ++i) {
    Result<std::size_t> got;
    if (i % 4 == 1) {
      got = co_await mote::with_timeout(timer, 20us, stream.read({bytes, size}));
    } else if (i % 4 == 3) {
      auto first = co_await mote::first_of(stream.read({bytes, size}), timer.sleep(20us));
      timer.reset();
      if (first && first->which == 0) got = first->template get<0>();
      else got = mote::Error(ETIMEDOUT);
    } else {
      got = co_await stream.read({bytes, size});
    }
    if (got && *got != 0) received.text.append(bytes, *got);
    if (got && *got != 0) continue;
    if (got || (got.error() != ETIMEDOUT && got.error() != ECANCELED)) {
      received.ended = error_of(got);
      co_return;
    }
  }
}
mote::Co<void> write_pattern(mote::FrameSource&, Stream& stream, std::size_t size, int& ended) {
  const std::string text = pattern_text(0, size);
  mote::ByteView view = text;
  for (;;) {
    const auto sent = co_await stream.write_all(view);
    if (!sent && sent.error() == ECANCELED) continue;
    ended = error_of(sent);
    co_return;
  }
}

struct Link {
  explicit Link(mote::Reactor& reactor) {
    mote::Listener listener;
    REQUIRE(listener.open(reactor, *mote::Endpoint::parse("127.0.0.1:0")));
    const mote::Endpoint address = *listener.local_endpoint();
    peer = Fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    REQUIRE(::connect(peer.get(), address.address(), address.size()) == 0);
    Result<Stream> accepted = test::await(reactor, [&] { return listener.accept(); });
    REQUIRE(accepted);
    stream = std::move(*accepted);
    const int on = 1;
    REQUIRE(::setsockopt(peer.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) == 0);
  }
  ~Link() {
    const linger hard{1, 0};
    ::setsockopt(peer.get(), SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
  }
  Link(const Link&) = delete;
  Link& operator=(const Link&) = delete;
  Stream stream;
  Fd peer;
};

// The peer sends nothing by which a missed event would be made good before all has been read.
ON_BOTH_SELECTORS("edges: a coroutine that leaves and comes back, cancelled too, loses nothing and does not hang") {
  test::Loop<S> loop;
  for (const std::size_t size : {1u, 2u, 7u, 100u, 512u}) {
    for (unsigned seed = 1; seed <= 5; ++seed) {
      CAPTURE(size);
      CAPTURE(seed);
      Link link(loop);
      Received received;
      mote::CoroutinePool<1> pool;
      Result<mote::TaskHandle> task = pool.spawn(loop, wander(frames, link.stream, received, size));
      REQUIRE(task);
      std::minstd_rand random(seed);
      std::string sent;
      for (int round = 0; round < 40; ++round) {
        for (auto parts = random() % 3 + 1; parts != 0; --parts) {
          const std::string part = pattern_text(sent.size(), random() % 300 + 1);
          REQUIRE(::send(link.peer.get(), part.data(), part.size(), 0) == static_cast<ssize_t>(part.size()));
          sent += part;
          if (random() % 4 == 0) task->cancel();
          test::turns(loop, static_cast<int>(random() % 3));
        }
        REQUIRE(test::run_until(loop, [&] { return received.text.size() >= sent.size(); }));
        REQUIRE(received.text == sent);
        if (random() % 2 == 0) test::turns(loop, 3);
      }
      ::shutdown(link.peer.get(), SHUT_WR);
      REQUIRE(test::run_until(loop, [&] { return received.ended == 0; }));
    }
  }
  CHECK(frames.size() == 0);
}

ON_BOTH_SELECTORS(
    "edges: full duplex between a coroutine that writes and one that reads, both cancelled now and then") {
  test::Loop<S> loop;
  Link link(loop);
  REQUIRE(link.stream.set_option(SOL_SOCKET, SO_SNDBUF, 30'000));
  constexpr std::size_t size = 2'000'000;
  Received received;
  int ended = -1;
  mote::CoroutinePool<2> pool;
  Result<mote::TaskHandle> reader = pool.spawn(loop, wander(frames, link.stream, received, 500));
  Result<mote::TaskHandle> writer = pool.spawn(loop, write_pattern(frames, link.stream, size, ended));
  REQUIRE((reader && writer));
  std::minstd_rand random(3);
  const std::string all = pattern_text(0, size);
  std::string got;
  std::size_t sent = 0;
  const auto peer = [&] {
    static char bytes[300'000];
    if (random() % 2 == 0) {
      const ssize_t n = ::recv(link.peer.get(), bytes, random() % sizeof bytes + 1, MSG_DONTWAIT);
      if (n > 0) got.append(bytes, static_cast<std::size_t>(n));
    }
    if (random() % 2 == 0 && sent < size) {
      const ssize_t n =
          ::send(link.peer.get(), &all[sent], std::min<std::size_t>(random() % 50'000 + 1, size - sent), MSG_DONTWAIT);
      if (n > 0) sent += static_cast<std::size_t>(n);
    }
    if (random() % 50 == 0) reader->cancel();
    if (random() % 50 == 0) writer->cancel();
  };
  const mote::Instant patience = mote::Clock::now() + 30s;
  while ((got.size() < size || received.text.size() < size) && mote::Clock::now() < patience) {
    peer();
    REQUIRE(loop.run_once(0ns));
  }
  CHECK(ended == 0);
  CHECK((got == all));
  CHECK((received.text == all));
  ::shutdown(link.peer.get(), SHUT_WR);
  REQUIRE(test::run_until(loop, [&] { return received.ended == 0; }));
  CHECK(frames.size() == 0);
}

}  // namespace
