// SPDX-License-Identifier: MIT
// Rooms: io/stream.hpp, reactor/descriptor_table.hpp.
// TCP streams by edges on the fault seam: what they cost, and what they do when a system call fails at a bad moment.
#include <memory>
#include <string>

#include "support/echo.hpp"
#include "support/operations.hpp"

using mote::ByteView;
using mote::Fd;
using mote::Interest;
using mote::Result;
using mote::Stream;
using namespace std::chrono_literals;
using test::error_of;

namespace {

using Seam = mote::FaultSystem;
using Call = Seam::Call;

std::uint32_t count(Call call) { return Seam::state.count(call); }

using test::Echo;  // one connection's task
using test::Running;

template <class S, std::size_t Connections> struct World {
  explicit World(bool old_kernel = false) {
    Seam::start_virtual_time();
    Seam::state.old_kernel = old_kernel;
    Seam::state.patience = 2;
    REQUIRE(loop.open());
    REQUIRE(listener.open(loop, *mote::Endpoint::parse("127.0.0.1:0")));
    const mote::Endpoint address = *listener.local_endpoint();
    const int on = 1;
    for (std::size_t i = 0; i < Connections; ++i) {
      peers[i] = Fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
      REQUIRE(::connect(peers[i].get(), address.address(), address.size()) == 0);
      REQUIRE(::setsockopt(peers[i].get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) == 0);
      Result<Stream> accepted = listener.try_accept();
      REQUIRE(accepted);
      streams[i] = std::move(*accepted);
      REQUIRE(streams[i].set_no_delay(true));
    }
    listener.close();
  }
  ~World() { Seam::state = Seam::State(); }
  World(const World&) = delete;
  World& operator=(const World&) = delete;
  void run() { REQUIRE(loop.run_for(1ms)); }
  void send(const std::string& text, int flags = 0, std::size_t i = 0) {
    REQUIRE(::send(peers[i].get(), text.data(), text.size(), flags) == static_cast<ssize_t>(text.size()));
  }
  std::size_t take() {  // what is there at the first peer, if only after a while
    std::size_t taken = 0;
    static char bytes[65536];
    for (;;) {
      pollfd entry{peers[0].get(), POLLIN, 0};
      if (::poll(&entry, 1, 5) != 1) return taken;
      const ssize_t n = ::recv(peers[0].get(), bytes, sizeof bytes, MSG_DONTWAIT);
      if (n <= 0) return taken;
      taken += static_cast<std::size_t>(n);
    }
  }
  bool edge_triggered() const { return loop.pollable_descriptor() >= 0; }
  mote::StaticReactor<typename S::template Config<Connections + 1>> loop;
  mote::Listener listener;
  Fd peers[Connections];
  Stream streams[Connections];
};

}  // namespace

ON_BOTH_SELECTORS("edges: per message of a TCP ping-pong one receive and one send, one wait for all, no epoll_ctl") {
  constexpr std::size_t connections = 8;
  constexpr std::uint32_t rounds = 100;
  World<S, connections> world;
  mote::TaskPool<Echo, connections> pool;
  for (Stream& stream : world.streams) REQUIRE(pool.spawn(world.loop, std::move(stream)));
  Seam::state.reset_counts();
  world.run();
  CHECK(count(Call::epoll_ctl) == (world.edge_triggered() ? connections : 0));  // it is armed once, and never again
  Seam::state.reset_counts();
  for (std::uint32_t round = 0; round < rounds; ++round) {
    for (std::size_t i = 0; i < connections; ++i) world.send("ping", 0, i);
    world.run();
    for (const Fd& peer : world.peers) {
      char bytes[8];
      REQUIRE(::recv(peer.get(), bytes, sizeof bytes, 0) == 4);
    }
  }
  CHECK(count(Call::recv) == rounds * connections);
  CHECK(count(Call::send) == rounds * connections);
  CHECK(count(Call::epoll_ctl) == 0);
  CHECK(Seam::state.waits() == 2 * rounds);  // one that finds them, and one in which the time runs out
  CHECK(Seam::state.system_calls() == rounds * (2 * connections + 2));
}

ON_BOTH_SELECTORS(
    "edges: a write that blocks costs one epoll_ctl the first time and none again, nor does reading then") {
  World<S, 1> world;
  Stream& stream = world.streams[0];
  // Both buffers, which the kernel would else let grow until all of the text has room.
  const int small = 100'000;
  REQUIRE(stream.set_option(SOL_SOCKET, SO_SNDBUF, small));
  REQUIRE(::setsockopt(world.peers[0].get(), SOL_SOCKET, SO_RCVBUF, &small, sizeof small) == 0);
  const std::string text(3'000'000, 'x');
  ByteView view;
  char bytes[8];
  for (int round = 0; round < 4; ++round) {
    view = text;
    Seam::state.reset_counts();
    Running writing(world.loop, [&] { return stream.write_all(view); });
    Running reading(world.loop, [&] { return stream.read(bytes); });
    std::size_t got = 0;
    world.run();
    CHECK_FALSE(writing.done());
    for (int turn = 0; turn < 1000 && !writing.done(); ++turn) {
      got += world.take();
      world.run();
    }
    got += world.take();
    CHECK(error_of(writing.result) == 0);
    CHECK(got == text.size());
    world.send("x");
    world.run();
    CHECK(reading.done());
    CHECK(count(Call::epoll_ctl) == (!world.edge_triggered() || round > 0 ? 0 : 2));  // one for each direction
  }
}

ON_BOTH_SELECTORS("edges: what nobody waits for costs no epoll_ctl, and is there for whoever comes") {
  World<S, 1> world;
  Stream& stream = world.streams[0];
  char bytes[64];
  Running first(world.loop, [&] { return stream.read(bytes); });
  world.run();
  world.send("one");
  world.run();
  CHECK(first.done());
  Seam::state.reset_counts();
  world.send("two");
  world.run();
  world.send("three");
  world.run();
  Running second(world.loop, [&] { return stream.read(bytes); });
  world.run();
  CHECK(second.done());
  CHECK(*second.result == 8);
  CHECK(count(Call::epoll_ctl) == 0);
}

// As recv(2) does where a signal is pending: see tcp_recvmsg() in the kernel. No event tells that there is more.
ON_BOTH_SELECTORS("edges: an EAGAIN at the mark of urgent data, though there is more, delays nothing") {
  for (const std::uint32_t failing : {1u, 2u}) {
    CAPTURE(failing);
    World<S, 1> world;
    Stream& stream = world.streams[0];
    std::string got;
    char bytes[64];
    Running first(world.loop, [&] { return stream.read(bytes); });
    world.run();
    world.send("abc");
    world.send("!", MSG_OOB);
    world.send("def");
    Seam::state.reset_counts();
    Seam::state.faults[0] = {Call::recv, failing, EAGAIN};
    world.run();
    CHECK(first.done());
    got.assign(bytes, *first.result);
    if (got == "abc") {
      Running second(world.loop, [&] { return stream.read(bytes); });
      world.run();
      CHECK(second.done());
      got.append(bytes, *second.result);
    }
    CHECK(got == "abcdef");
    CHECK(Seam::state.faults_fired == 1);
    Seam::state.faults[0] = {};
    Running third(world.loop, [&] { return stream.read(bytes); });
    world.run();
    world.send("ghi");
    world.run();
    CHECK(third.done());
    CHECK(Seam::state.waits() < 20);
  }
}

ON_BOTH_SELECTORS(
    "edges: the kernel has no memory to arm with: the operation says so, and the next one waits as usual") {
  World<S, 1> world;
  if (!world.edge_triggered()) return;
  Stream& stream = world.streams[0];
  char bytes[64];
  Seam::state.faults[0] = {Call::epoll_ctl, 1, ENOMEM};
  Running failing(world.loop, [&] { return stream.read(bytes); });
  world.run();
  CHECK(error_of(failing.result) == ENOMEM);
  for (int i = 0; i < 2; ++i) {  // the same task's next ones, too
    Running reading(world.loop, [&] { return stream.read(bytes); });
    world.run();
    CHECK_FALSE(reading.done());
    world.send("abc");
    world.run();
    CHECK(reading.done());
    CHECK(*reading.result == 3);
  }
  // The other direction fails; the reading task is not disturbed.
  const std::string text(20'000'000, 'x');
  ByteView view = text;
  Running reading(world.loop, [&] { return stream.read(bytes); });
  world.run();
  Seam::state.reset_counts();
  Seam::state.faults[0] = {Call::epoll_ctl, 1, ENOMEM};
  Running writing(world.loop, [&] { return stream.write_all(view); });
  world.run();
  CHECK(error_of(writing.result) == ENOMEM);
  world.send("abc");
  world.run();
  CHECK(reading.done());
  // And so does the way back to levels, by ready(): then edges go on, and no byte is lost.
  Seam::state.reset_counts();
  Seam::state.faults[0] = {Call::epoll_ctl, 1, ENOMEM};
  Running looking(world.loop, [&] { return stream.ready(Interest::priority); });
  world.run();
  CHECK(error_of(looking.result) == ENOMEM);
  for (int i = 0; i < 2; ++i) {
    Running again(world.loop, [&] { return stream.read(bytes); });
    world.run();
    world.send("abc");
    world.run();
    CHECK(again.done());
  }
}

// Short reads though there is more, as of a stream of records: with edges, the rest would never be reported.
template <class W> void read_cut_short(W& world) {
  Seam::state.most_received = 4;
  world.send("a record of 22 bytes..");
  std::string received;
  char bytes[64];
  for (int i = 0; i < 6; ++i) {
    Running reading(world.loop, [&] { return world.streams[0].read(bytes); });
    world.run();
    REQUIRE(reading.done());
    received.append(bytes, *reading.result);
  }
  CHECK(received == "a record of 22 bytes..");
}
ON_BOTH_SELECTORS("edges: a stream that expects records is level-triggered: a short read is not the end") {
  World<S, 1> world;
  REQUIRE(world.streams[0].expect_records());
  read_cut_short(world);
  Stream none;
  CHECK(error_of(none.expect_records()) == EBADF);
}
ON_BOTH_SELECTORS("edges: on a kernel that may lose an edge nothing is edge-triggered") {
  World<S, 1> world(true);
  read_cut_short(world);
}

// (To cut calls short at the seam would be no such test: the kernel's short ones say that nothing is left.)
ON_BOTH_SELECTORS("edges: EINTR at every second system call changes nothing") {
  World<S, 4> world;
  mote::TaskPool<Echo, 4> pool;
  for (Stream& stream : world.streams) REQUIRE(pool.spawn(world.loop, std::move(stream)));
  Seam::state.interrupting = true;
  for (const std::size_t size : {1u, 63u, 64u, 65u, 128u, 1000u}) {
    CAPTURE(size);
    for (std::size_t i = 0; i < 4; ++i) world.send(std::string(size, 'x'), 0, i);
    for (int turn = 0; turn < 5; ++turn) world.run();
    for (const Fd& peer : world.peers) {
      char bytes[1001];
      std::size_t got = 0;
      for (;;) {
        const ssize_t n = ::recv(peer.get(), bytes, sizeof bytes, MSG_DONTWAIT);
        if (n <= 0) break;
        got += static_cast<std::size_t>(n);
      }
      CHECK(got == size);
    }
  }
  CHECK(Seam::state.faults_fired > 0);
}
