// SPDX-License-Identifier: MIT
// Rooms: selector/look.hpp.
// Errors and hang-ups that stay until somebody takes them away: who waits goes on when they have gone, nobody spins, and
// nothing that belongs to somebody else is taken. And ready(), which tells what there is at that moment.
#include <fcntl.h>
#include <linux/errqueue.h>
#include <linux/net_tstamp.h>
#include <net/if.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include <string>

#include "support/child.hpp"
#include "support/descriptors.hpp"
#include "support/operations.hpp"

using mote::Datagram;
using mote::Endpoint;
using mote::Fd;
using mote::Interest;
using mote::Readiness;
using mote::Result;
using mote::Source;
using mote::Stream;
using namespace std::chrono_literals;
using test::await;
using test::error_of;
using test::is_open;
using test::open_stream;
using test::Running;

namespace {

// A datagram socket whose transmissions leave a time stamp in its error queue, connected to a peer.
struct Stamped {
  Datagram socket, peer;
  bool are_known = false;

  explicit Stamped(mote::Reactor& reactor) {
    const Endpoint any = *Endpoint::ip("127.0.0.1", 0);
    REQUIRE(socket.open(reactor, any));
    REQUIRE(peer.open(reactor, any));
    REQUIRE(socket.connect(*peer.local_endpoint()));
    REQUIRE(peer.connect(*socket.local_endpoint()));
    const int stamps = SOF_TIMESTAMPING_TX_SOFTWARE | SOF_TIMESTAMPING_SOFTWARE;
    are_known = static_cast<bool>(socket.set_option(SOL_SOCKET, SO_TIMESTAMPING, stamps));
    if (!are_known) MESSAGE("not tried here: an emulator of user programs that does not know time stamps");
  }
  // Sends a datagram. Its time stamp is in the error queue when the peer has received it.
  void send() {
    REQUIRE(socket.try_send_to(mote::bytes_of("stamp me")));
    pollfd entry{socket.fd(), 0, 0};
    REQUIRE(::poll(&entry, 1, 10'000) == 1);
    REQUIRE((entry.revents & POLLERR) != 0);
  }
  // Takes a time stamp as a program for precise time does. Returns whether there was one.
  bool take_stamp() {
    char bytes[256], control[512];
    iovec vector{bytes, sizeof bytes};
    msghdr message{};
    message.msg_iov = &vector;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    return ::recvmsg(socket.fd(), &message, MSG_ERRQUEUE | MSG_DONTWAIT) >= 0;
  }
};

// Switches the loopback interface of this network namespace.
bool switch_loopback(bool up) {
  const Fd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  ifreq request{};
  ::strcpy(request.ifr_name, "lo");
  request.ifr_flags = up ? IFF_UP : 0;
  return ::ioctl(socket.get(), SIOCSIFFLAGS, &request) == 0;
}

}  // namespace

ON_BOTH_SELECTORS("looks: what is in the error queue is left there, while a task awaits a datagram and does not spin") {
  test::Loop<S> loop;
  Stamped pair(loop);
  if (!pair.are_known) return;
  char bytes[64];
  Running receiving(loop, [&] { return pair.socket.recv(bytes); });
  test::comes_to_rest(loop);
  for (int i = 0; i < 3; ++i) pair.send();
  CHECK(test::comes_to_rest(loop));
  CHECK(test::turns_within(loop, 50ms) <= 3);
  CHECK_FALSE(receiving.done());
  REQUIRE(pair.peer.try_send_to(mote::bytes_of("data")));
  REQUIRE(receiving.finish());
  CHECK(receiving.result->size == 4);
  Running more(loop, [&] { return pair.socket.recv(bytes); });
  CHECK(test::comes_to_rest(loop));
  for (int i = 0; i < 3; ++i) CHECK(pair.take_stamp());
  CHECK_FALSE(pair.take_stamp());
  REQUIRE(pair.peer.try_send_to(mote::bytes_of("more data")));
  REQUIRE(more.finish());
  CHECK(more.result->size == 9);
}

ON_BOTH_SELECTORS("looks: with an error that stays, many datagrams come through, each once") {
  test::Loop<S> loop;
  Stamped pair(loop);
  if (!pair.are_known) return;
  pair.send();
  for (unsigned char i = 0; i < 20; ++i) {
    unsigned char bytes[8] = {};
    Running receiving(loop, [&] { return pair.socket.recv(bytes); });
    if (i % 2 == 0) test::comes_to_rest(loop);
    REQUIRE(pair.peer.try_send_to(mote::ByteView(&i, 1)));
    REQUIRE(receiving.finish());
    CHECK(receiving.result->size == 1);
    CHECK(bytes[0] == i);
  }
  CHECK(pair.take_stamp());
}

ON_BOTH_SELECTORS("looks: a handler that leaves an error where it is hears of it once, and goes on hearing data") {
  test::Loop<S> loop;
  Stamped pair(loop);
  if (!pair.are_known) return;
  test::Recorder seen;
  auto handler = [&](Readiness readiness) {
    seen(readiness);
    if (any(readiness & Readiness::readable)) test::take_all(pair.socket.fd());
  };
  REQUIRE(pair.socket.watch(Interest::read, mote::Handler(handler)));
  pair.send();
  REQUIRE(test::run_until(loop, [&] { return seen.calls == 1; }));
  CHECK(seen.last == Readiness::error);
  CHECK(test::turns_within(loop, 250ms) <= 10);
  CHECK(seen.calls == 1);
  REQUIRE(pair.peer.try_send_to(mote::bytes_of("data")));
  REQUIRE(test::run_until(loop, [&] { return any(seen.last & Readiness::readable); }));
  CHECK(pair.take_stamp());
  seen.calls = 0;
  REQUIRE(test::run_until(loop, [&] {
    CHECK(pair.peer.try_send_to(mote::bytes_of("data")));
    return seen.calls != 0;
  }));
  CHECK(seen.last == Readiness::readable);
}

ON_BOTH_SELECTORS(
    "looks: an error that the handler takes away mutes nothing: data is heard at once, two errors in a row") {
  test::Loop<S> loop;
  const Endpoint any = *Endpoint::ip("127.0.0.1", 0);
  Datagram socket, peer;
  REQUIRE(socket.open(loop, any));
  REQUIRE(peer.open(loop, any));
  const Endpoint closed = *peer.local_endpoint();
  peer.close();
  REQUIRE(socket.connect(closed));
  int errors = 0, datagrams = 0;
  auto handler = [&](Readiness) {
    char bytes[64];
    const auto received = socket.try_recv(bytes);
    if (received) ++datagrams;
    else if (received.error() == ECONNREFUSED) ++errors;
  };
  REQUIRE(socket.watch(Interest::read, mote::Handler(handler)));
  for (int i = 1; i <= 3; ++i) {
    REQUIRE(socket.try_send_to(mote::bytes_of("ping")));
    REQUIRE(test::run_until(loop, [&] { return errors == i; }));
    CHECK(loop.next_deadline() == mote::Instant::max());  // it is not to be looked at later
  }
  REQUIRE(peer.open(loop, closed));
  const Endpoint own = *socket.local_endpoint();
  for (int i = 1; i <= 3; ++i) {
    REQUIRE(peer.try_send_to(mote::bytes_of("data"), &own));
    REQUIRE(test::run_until(loop, [&] { return datagrams == i; }));
  }
  CHECK(errors == 3);
}

ON_BOTH_SELECTORS("looks: an interface that goes down and comes up again: handler and task go on") {
  test::Child child([] {
    test::Verdict verdict;
    if (::unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0 && ::unshare(CLONE_NEWNET) != 0) return 77;
    if (!switch_loopback(true)) return 77;
    test::Loop<S> loop;
    Datagram watched, awaited, peer;
    for (Datagram* socket : {&watched, &awaited, &peer}) {
      EXPECT(verdict, socket->open(loop, *Endpoint::ip("127.0.0.1", 0)));
      EXPECT(verdict, socket->set_option(SOL_IP, IP_RECVERR, 1));
    }
    int packets = 0;
    char bytes[64];
    auto handler = [&](Readiness) {
      int error = 0;
      socklen_t size = sizeof error;
      ::getsockopt(watched.fd(), SOL_SOCKET, SO_ERROR, &error, &size);
      while (watched.try_recv(bytes)) ++packets;
    };
    EXPECT(verdict, watched.watch(Interest::read, mote::Handler(handler)));
    const Endpoint first = *watched.local_endpoint(), second = *awaited.local_endpoint();
    for (int round = 0; round < 3; ++round) {
      Running receiving(loop, [&] { return awaited.recv(bytes); });
      EXPECT(verdict, switch_loopback(false));
      static_cast<void>(loop.run_for(20ms));
      EXPECT(verdict, switch_loopback(true));
      static_cast<void>(loop.run_for(20ms));
      const int before = packets;
      EXPECT(verdict, test::run_until(loop, [&] {
               static_cast<void>(peer.try_send_to(mote::bytes_of("x"), &first));
               static_cast<void>(peer.try_send_to(mote::bytes_of("x"), &second));
               return packets > before && receiving.done();
             }));
    }
    return verdict.exit_code();
  });
  const int code = child.join();
  if (code == 77) MESSAGE("not tried here: no network namespace of our own may be made");
  else CHECK(code == 0);
}

ON_BOTH_SELECTORS("looks: a pty whose other side is not open yet is heard again when that is opened and written to") {
  test::Loop<S> loop;
  Fd master(::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK));
  REQUIRE(master);
  REQUIRE(::grantpt(master.get()) == 0);
  REQUIRE(::unlockpt(master.get()) == 0);
  const std::string path = ::ptsname(master.get());
  // Opened and closed once: from then on the master hangs up, until it is opened again.
  Fd(::open(path.c_str(), O_RDWR | O_NOCTTY | O_CLOEXEC)).close();
  test::Recorder seen;
  auto handler = [&](Readiness readiness) {
    seen(readiness);
    if (any(readiness & Readiness::readable)) test::take_all(master.get());
  };
  REQUIRE(loop.add(master.get(), Interest::read, mote::Handler(handler)));
  REQUIRE(test::run_until(loop, [&] { return seen.calls != 0; }));
  CHECK(any(seen.last & Readiness::hangup));
  CHECK(test::turns_within(loop, 250ms) <= 10);
  CHECK(seen.calls == 1);
  const Fd slave(::open(path.c_str(), O_RDWR | O_NOCTTY | O_CLOEXEC));
  REQUIRE(slave);
  test::send_text(slave.get(), "hello\n");
  REQUIRE(test::run_until(loop, [&] { return any(seen.last & Readiness::readable); }));
}

ON_BOTH_SELECTORS("looks: a FIFO's next writer is heard without modify()") {
  test::Loop<S> loop;
  char directory[] = "/tmp/mote-look-XXXXXX";
  REQUIRE(::mkdtemp(directory) != nullptr);
  const std::string path = std::string(directory) + "/fifo";
  REQUIRE(::mkfifo(path.c_str(), 0600) == 0);
  const Fd in(::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  int hangups = 0;
  std::string received;
  auto handler = [&](Readiness readiness) {
    if (any(readiness & Readiness::readable)) received += test::take_all(in.get());
    else ++hangups;
  };
  REQUIRE(loop.add(in.get(), Interest::read, mote::Handler(handler)));
  for (const char* text : {"1", "2", "3"}) {
    Fd out(::open(path.c_str(), O_WRONLY | O_NONBLOCK | O_CLOEXEC));
    REQUIRE(out);
    test::send_text(out.get(), text);
    const std::size_t before = received.size();
    REQUIRE(test::run_until(loop, [&] { return received.size() > before; }));
    out.close();
    const int hangups_before = hangups;
    REQUIRE(test::run_until(loop, [&] { return hangups > hangups_before; }));
    CHECK(test::turns_within(loop, 50ms) <= 5);
    CHECK(hangups == hangups_before + 1);
  }
  CHECK(received == "123");
  ::unlink(path.c_str());
  ::rmdir(directory);
}

ON_BOTH_SELECTORS("looks: inside of another loop the next deadline tells when what is muted is to be looked at") {
  test::Loop<S> loop;
  test::Pair pair = test::pipe_pair();
  test::Recorder seen;
  REQUIRE(loop.add(pair.a.get(), Interest::read, mote::Handler(seen)));
  pair.b.close();
  REQUIRE(loop.run_once(mote::Duration::zero()));
  CHECK(seen.last == Readiness::hangup);
  for (int i = 0; i < 3; ++i) {
    const mote::Duration left = loop.next_deadline() - mote::Clock::now();
    REQUIRE(left <= 100ms);
    // The other loop's wait. Without a descriptor (poll) it is for the deadline alone.
    pollfd entry{loop.pollable_descriptor(), POLLIN, 0};
    CHECK(::poll(&entry, 1, mote::detail::to_milliseconds(left)) == 0);
    REQUIRE(loop.run_once(mote::Duration::zero()));
    CHECK(seen.calls == 1);
  }
}

// ---- ready() ----

ON_BOTH_SELECTORS("looks: ready() does not tell of what has been read since, whatever the descriptor is") {
  for (test::Pair (*make)() : {+[] { return test::pipe_pair(); }, +[] { return test::socket_pair(SOCK_DGRAM); },
                               +[] { return test::socket_pair(); }, +[] { return test::tcp_pair(); }}) {
    test::Loop<S> loop;
    test::Pair pair = make();
    Stream stream = open_stream(loop, std::move(pair.a));
    char bytes[8];
    Running reading(loop, [&] { return stream.read(bytes); });
    test::comes_to_rest(loop);
    test::send_text(pair.b.get(), "x");
    REQUIRE(reading.finish());
    Running looking(loop, [&] { return stream.ready(Interest::read); });
    CHECK(test::comes_to_rest(loop));
    CHECK_FALSE(looking.done());
    test::send_text(pair.b.get(), "y");
    REQUIRE(looking.finish());
    CHECK(any(*looking.result & Readiness::readable));
    REQUIRE(stream.try_read(bytes));
    // What came is told again as long as it is there, and an end that comes later is not hidden.
    test::send_text(pair.b.get(), "z");
    for (int i = 0; i < 3; ++i) CHECK(any(*await(loop, [&] { return stream.ready(Interest::read); })));
    pair.b.close();
    REQUIRE(test::run_until(loop, [&] {
      return any(*await(loop, [&] { return stream.ready(Interest::read); }) &
                 (Readiness::hangup | Readiness::read_closed | Readiness::readable));
    }));
  }
}

ON_BOTH_SELECTORS("looks: ready() of something on descriptor 0 does not say what is not so: reading does not block") {
  test::Pair pipe = test::pipe_pair();
  test::Child child([&] {
    test::Verdict verdict;
    ::dup2(pipe.a.get(), 0);
    EXPECT(verdict, ::fcntl(0, F_SETFL, 0) == 0);  // it blocks
    ::alarm(20);
    test::Loop<S> loop;
    Stream stream = open_stream(loop, Fd(0));
    char bytes[8];
    Running reading(loop, [&] { return stream.read(bytes); });
    test::comes_to_rest(loop);
    test::send_text(pipe.b.get(), "x");
    EXPECT(verdict, reading.finish());
    Running looking(loop, [&] { return stream.ready(Interest::read); });
    EXPECT(verdict, test::comes_to_rest(loop));
    EXPECT(verdict, !looking.done());
    Running again(loop, [&] { return stream.read(bytes); });
    EXPECT(verdict, error_of(again.finish()) == EBUSY);
    return verdict.exit_code();
  });
  CHECK(child.join() == 0);
}

ON_BOTH_SELECTORS("looks: descriptors 0 and 1 are read and written by a handler until EAGAIN, and do not block") {
  test::Pair in = test::pipe_pair(), out = test::pipe_pair();
  test::Child child([&] {
    test::Verdict verdict;
    ::dup2(in.a.get(), 0);
    ::dup2(out.b.get(), 1);
    for (int fd = 0; fd < 2; ++fd) EXPECT(verdict, ::fcntl(fd, F_SETFL, 0) == 0);  // they block
    ::alarm(20);
    test::Loop<S> loop;
    Stream input = open_stream(loop, Fd(0)), output = open_stream(loop, Fd(1));
    std::string got;
    auto handler = [&](Readiness) {
      char bytes[2];
      for (;;) {
        const Result<std::size_t> n = input.try_read(bytes);
        if (!n) return EXPECT(verdict, error_of(n) == EAGAIN);
        got.append(bytes, *n);
      }
    };
    EXPECT(verdict, input.watch(Interest::read, mote::Handler(handler)));
    test::send_text(in.b.get(), "hello");
    EXPECT(verdict, test::run_until(loop, [&] { return got == "hello"; }));
    Result<std::size_t> written = 0u;
    for (int i = 0; i < 100'000 && written; ++i) written = output.try_write(mote::bytes_of("a line\n"));
    EXPECT(verdict, error_of(written) == EAGAIN);
    return verdict.exit_code();
  });
  CHECK(child.join() == 0);
}

ON_BOTH_SELECTORS("looks: ready() of nothing, or of both directions, is EINVAL; of either by first_of()") {
  test::Loop<S> loop;
  test::Pair pair = test::socket_pair();
  Stream stream = open_stream(loop, std::move(pair.a));
  for (Interest wrong : {Interest::none, Interest::read | Interest::write, Interest::priority | Interest::write,
                         Interest::read | Interest::priority | Interest::write}) {
    CHECK(error_of(await(loop, [&] { return stream.ready(wrong); })) == EINVAL);
  }
  const auto either = [&] { return first_of(stream.ready(Interest::read), stream.ready(Interest::write)); };
  CHECK(await(loop, either)->which == 1);
  test::fill(stream.fd());
  Running waiting(loop, either);
  test::comes_to_rest(loop);
  CHECK_FALSE(waiting.done());
  test::send_text(pair.b.get(), "x");
  REQUIRE(waiting.finish());
  CHECK(waiting.result->which == 0);
}

ON_BOTH_SELECTORS("looks: nothing urgent ever comes of a regular file: ready() of that waits, and does not spin") {
  test::Loop<S> loop;
  Source source;
  REQUIRE(source.open(loop, Fd(::open("/proc/self/exe", O_RDONLY | O_CLOEXEC))));
  Running waiting(loop, [&] { return source.ready(Interest::priority); });
  CHECK(test::comes_to_rest(loop));
  CHECK_FALSE(waiting.done());
  source.close();
  CHECK(error_of(waiting.finish()) == ECANCELED);
  REQUIRE(source.open(loop, Fd(::open("/proc/self/exe", O_RDONLY | O_CLOEXEC))));
  CHECK(await(loop, [&] { return source.ready(Interest::read | Interest::priority); }));
}

ON_BOTH_SELECTORS("looks: ready() of a descriptor that somebody else has closed is EBADF") {
  test::Loop<S> loop;
  test::Pair pair = test::socket_pair();
  Stream stream = open_stream(loop, std::move(pair.a));
  ::close(stream.fd());
  CHECK(error_of(await(loop, [&] { return stream.ready(Interest::read); })) == EBADF);
  REQUIRE(::dup2(pair.b.get(), stream.fd()) == stream.fd());  // for its destructor
}

ON_BOTH_SELECTORS("looks: a change of a priority source is told, also where it came before the first ready()") {
  test::Child child([] {
    test::Verdict verdict;
    if (::unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0 && ::unshare(CLONE_NEWNS) != 0) return 77;
    const auto change_mounts = [] { return ::mount("none", "/tmp", "tmpfs", 0, nullptr) == 0; };
    static_cast<void>(::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr));
    test::Loop<S> loop;
    Source source;
    EXPECT(verdict, source.open(loop, Fd(::open("/proc/self/mounts", O_RDONLY | O_CLOEXEC))));
    if (!change_mounts()) return 77;
    const auto changed = [&] { return source.ready(Interest::priority); };
    Running first(loop, changed);
    EXPECT(verdict, first.finish() && any(*first.result & Readiness::priority));
    for (int round = 0; round < 3; ++round) {
      Running next(loop, changed);
      EXPECT(verdict, test::comes_to_rest(loop));
      EXPECT(verdict, !next.done());
      EXPECT(verdict, change_mounts());
      EXPECT(verdict, next.finish() && any(*next.result & Readiness::priority));
    }
    return verdict.exit_code();
  });
  const int code = child.join();
  if (code == 77) MESSAGE("not tried here: no mount namespace of our own may be made");
  else CHECK(code == 0);
}
