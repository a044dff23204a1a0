// SPDX-License-Identifier: MIT
// Rooms: selector/interest.hpp, selector/epoll_selector.hpp, selector/poll_selector.hpp, reactor/descriptor_table.hpp.
// What handlers and tasks are told of a descriptor in each of its states; and that the loop never spins.
#include <linux/net_tstamp.h>
#include <sys/inotify.h>
#include <sys/timerfd.h>

#include <functional>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "support/descriptors.hpp"

namespace {

using mote::Interest;
using mote::Readiness;
using mote::Ready;
using mote::Registration;
using test::error_of;
using test::fill;
using test::Recorder;
using test::turns;
using namespace std::chrono_literals;

constexpr Interest read_write = Interest::read | Interest::write;

// What a reactor reports of a descriptor, asked once; none when nothing.
Readiness reported(mote::Reactor& reactor, int fd, Interest interest) {
  Recorder recorder;
  const mote::Result<Registration> added = reactor.add(fd, interest, recorder);
  REQUIRE(added);
  REQUIRE(reactor.run_once(mote::Duration::zero()));
  REQUIRE(reactor.remove(*added));
  return recorder.last;
}

// Waits until it reports exactly that: what the peer did may still be on its way.
bool comes_to_report(mote::Reactor& reactor, int fd, Interest interest, Readiness expected) {
  return test::run_until(reactor, [&] { return reported(reactor, fd, interest) == expected; });
}

void set_option(int fd, int level, int name, int value) {
  REQUIRE(::setsockopt(fd, level, name, &value, sizeof value) == 0);
}

std::size_t drain(int fd) {
  static char block[65536];
  std::size_t size = 0;
  for (;;) {
    const ssize_t n = ::read(fd, block, sizeof block);
    if (n <= 0) return size;
    size += static_cast<std::size_t>(n);
  }
}

// Ends a connection with RST.
void reset(mote::Fd& fd) {
  const linger at_once{1, 0};
  REQUIRE(::setsockopt(fd.get(), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once) == 0);
  fd.close();
}

mote::Endpoint address_of(int fd) {
  mote::Endpoint endpoint = *mote::Endpoint::parse("127.0.0.1:0");
  socklen_t size = mote::Endpoint::capacity;
  REQUIRE(::getsockname(fd, endpoint.address(), &size) == 0);
  return endpoint;
}

mote::Fd bound_udp() {
  mote::Fd fd(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  const mote::Endpoint any = *mote::Endpoint::parse("127.0.0.1:0");
  REQUIRE(::bind(fd.get(), any.address(), any.size()) == 0);
  return fd;
}

// An address at which nobody listens.
mote::Endpoint dead_address() {
  const mote::Fd fd = bound_udp();
  return address_of(fd.get());
}

// A connected socket with nothing but an entry in its error queue: no data, and no pending error either.
mote::Fd udp_with_error_queue() {
  mote::Fd fd = bound_udp();
  set_option(fd.get(), IPPROTO_IP, IP_RECVERR, 1);
  const mote::Endpoint nobody = dead_address();
  REQUIRE(::connect(fd.get(), nobody.address(), nobody.size()) == 0);
  REQUIRE(::send(fd.get(), "x", 1, 0) == 1);
  int error = 0;
  socklen_t size = sizeof error;
  pollfd entry{fd.get(), 0, 0};
  REQUIRE(::poll(&entry, 1, 10'000) == 1);
  REQUIRE(::getsockopt(fd.get(), SOL_SOCKET, SO_ERROR, &error, &size) == 0);
  REQUIRE(error == ECONNREFUSED);
  return fd;
}

test::Pair pty_pair() {
  test::Pair pair;
  pair.a = mote::Fd(::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK));
  REQUIRE(pair.a);
  REQUIRE(::grantpt(pair.a.get()) == 0);
  REQUIRE(::unlockpt(pair.a.get()) == 0);
  char name[64];
  REQUIRE(::ptsname_r(pair.a.get(), name, sizeof name) == 0);
  pair.b = mote::Fd(::open(name, O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK));
  REQUIRE(pair.b);
  termios settings;
  REQUIRE(::tcgetattr(pair.b.get(), &settings) == 0);
  ::cfmakeraw(&settings);
  REQUIRE(::tcsetattr(pair.b.get(), TCSANOW, &settings) == 0);
  return pair;
}

// --- tasks -----------------------------------------------------------------------------------------------------------

// Reads portions of at most `portion` bytes until the end or an error, and then waits no more.
struct Reader : mote::StateMachine {
  struct Log {
    std::string bytes;
    int reads = 0;
    bool ended = false;
    int error = 0;
  };
  Reader(mote::Stream& from, Log& to, std::size_t most) : stream(from), log(to), portion(most) {}
  mote::Stream& stream;
  Log& log;
  std::size_t portion;
  mote::Result<std::size_t> got;
  char buffer[4096];
  mote::Step step() {
    MOTE_BEGIN();
    for (;;) {
      MOTE_AWAIT(got, stream.read({buffer, portion}));
      ++log.reads;
      if (!got) {
        log.error = got.error().code();
        return mote::done();
      }
      if (*got == 0) break;
      log.bytes.append(buffer, *got);
    }
    log.ended = true;
    MOTE_END();
  }
};

// Writes so many zeros.
struct Writer : mote::StateMachine {
  Writer(mote::Stream& to, std::size_t size, mote::Result<void>& answer) : stream(to), left(size), sent(answer) {}
  mote::Stream& stream;
  std::size_t left;
  mote::Result<void>& sent;
  mote::ByteView chunk;
  mote::Step step() {
    static const char zeros[65536] = {};
    MOTE_BEGIN();
    while (left != 0) {
      chunk = {zeros, left < sizeof zeros ? left : sizeof zeros};
      left -= chunk.size();
      MOTE_AWAIT(sent, stream.write_all(chunk));
      if (!sent) return mote::done();
    }
    MOTE_END();
  }
};

}  // namespace

// --- what the kernel reports -----------------------------------------------------------------------------------------

ON_BOTH_SELECTORS("readiness: unconnected socket: HUP with empty interest") {
  test::Loop<S> loop;
  mote::Fd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  Recorder recorder;
  REQUIRE(loop.add(fd.get(), Interest::none, recorder));
  CHECK(turns(loop) == 1);  // told once: no spin
  CHECK(recorder.last == Readiness::hangup);
}

ON_BOTH_SELECTORS("readiness: RST: ERR|HUP") {
  test::Loop<S> loop;
  test::Pair pair = test::tcp_pair();
  reset(pair.b);
  REQUIRE(comes_to_report(loop, pair.a.get(), Interest::none, Readiness::error | Readiness::hangup));
  CHECK(reported(loop, pair.a.get(), Interest::read) ==
        (Readiness::readable | Readiness::read_closed | Readiness::error | Readiness::hangup));
  Recorder recorder;
  REQUIRE(loop.add(pair.a.get(), Interest::none, recorder));
  CHECK(turns(loop) == 1);
}

ON_BOTH_SELECTORS("readiness: RST: ERR|HUP, and the task that reads is told ECONNRESET") {
  test::Loop<S> loop;
  mote::TaskPool<Reader, 1> pool;
  test::Pair pair = test::tcp_pair();
  mote::Stream stream;
  Reader::Log log;
  REQUIRE(stream.open(loop, std::move(pair.a)));
  REQUIRE(pool.spawn(loop, stream, log, std::size_t{64}));
  turns(loop, 2);
  reset(pair.b);
  REQUIRE(test::run_until(loop, [&] { return loop.stats().tasks == 0; }));
  CHECK(log.error == ECONNRESET);
  CHECK(log.bytes.empty());
}

ON_BOTH_SELECTORS("readiness: pipe writer whose reader has gone: ERR alone") {
  test::Loop<S> loop;
  test::Pair pair = test::pipe_pair();
  pair.a.close();
  CHECK(reported(loop, pair.b.get(), Interest::none) == Readiness::error);
  CHECK(reported(loop, pair.b.get(), Interest::read) == Readiness::error);
  CHECK(reported(loop, pair.b.get(), Interest::write) == (Readiness::writable | Readiness::error));
}

ON_BOTH_SELECTORS("readiness: pipe reader whose writer has gone: HUP without IN") {
  test::Loop<S> loop;
  test::Pair pair = test::pipe_pair();
  pair.b.close();
  CHECK(reported(loop, pair.a.get(), Interest::none) == Readiness::hangup);
  CHECK(reported(loop, pair.a.get(), Interest::read) == Readiness::hangup);
  CHECK(reported(loop, pair.a.get(), read_write) == Readiness::hangup);
  Recorder recorder;
  REQUIRE(loop.add(pair.a.get(), Interest::read, recorder));
  CHECK(turns(loop) == 1);  // nothing that was asked for: once
}

ON_BOTH_SELECTORS("readiness: pipe reader whose writer has gone: HUP without IN is the end of a task's stream") {
  test::Loop<S> loop;
  mote::TaskPool<Reader, 1> pool;
  test::Pair pair = test::pipe_pair();
  mote::Stream stream;
  Reader::Log log;
  REQUIRE(stream.open(loop, std::move(pair.a)));
  REQUIRE(pool.spawn(loop, stream, log, std::size_t{64}));
  turns(loop, 2);
  CHECK(log.reads == 0);
  pair.b.close();
  turns(loop, 2);
  CHECK(log.ended);
}

ON_BOTH_SELECTORS("readiness: HUP with data still buffered: data first") {
  test::Loop<S> loop;
  test::Pair pipe = test::pipe_pair(), socket = test::socket_pair();
  for (test::Pair* pair : {&pipe, &socket}) {
    test::send_text(pair->b.get(), "last words");
    pair->b.close();
  }
  CHECK(reported(loop, pipe.a.get(), Interest::read) == (Readiness::readable | Readiness::hangup));
  CHECK(reported(loop, socket.a.get(), Interest::read) ==
        (Readiness::readable | Readiness::read_closed | Readiness::hangup));
  for (test::Pair* pair : {&pipe, &socket}) {
    mote::TaskPool<Reader, 1> pool;
    mote::Stream stream;
    Reader::Log log;
    REQUIRE(stream.open(loop, std::move(pair->a)));
    REQUIRE(pool.spawn(loop, stream, log, std::size_t{4}));
    REQUIRE(test::run_until(loop, [&] { return loop.stats().tasks == 0; }));
    CHECK(log.bytes == "last words");
    CHECK(log.ended);
  }
}

ON_BOTH_SELECTORS("readiness: HUP with data still buffered, while a task waits: data first") {
  for (const std::size_t portion : {std::size_t{1}, std::size_t{4}, std::size_t{10}, std::size_t{64}}) {
    test::Loop<S> loop;
    mote::TaskPool<Reader, 1> pool;
    test::Pair pair = test::pipe_pair();
    mote::Stream stream;
    Reader::Log log;
    REQUIRE(stream.open(loop, std::move(pair.a)));
    REQUIRE(pool.spawn(loop, stream, log, portion));
    turns(loop, 2);
    test::send_text(pair.b.get(), "last words");
    pair.b.close();
    REQUIRE(test::run_until(loop, [&] { return loop.stats().tasks == 0; }));
    CHECK(log.bytes == "last words");
    CHECK(log.ended);
  }
}

ON_BOTH_SELECTORS("readiness: HUP with data still buffered: the end is read in the same step as the data") {
  test::Loop<S> loop;
  mote::TaskPool<Reader, 1> pool;
  test::Pair pair = test::pipe_pair();
  mote::Stream stream;
  Reader::Log log;
  REQUIRE(stream.open(loop, std::move(pair.a)));
  REQUIRE(pool.spawn(loop, stream, log, std::size_t{64}));
  turns(loop, 2);
  test::send_text(pair.b.get(), "last words");
  pair.b.close();
  turns(loop, 2);  // the event, and the step that it causes
  CHECK(log.bytes == "last words");
  CHECK(log.ended);
}

ON_BOTH_SELECTORS("readiness: error on write-only interest does not spin") {
  test::Loop<S> loop;
  test::Pair pair = test::pipe_pair();
  fill(pair.b.get());
  Recorder recorder;
  const mote::Result<Registration> registration = loop.add(pair.b.get(), Interest::write, recorder);
  REQUIRE(registration);
  CHECK(turns(loop) == 0);
  pair.a.close();
  CHECK(turns(loop) == 1);  // ERR alone: nothing that was asked for, and nothing that goes away
  CHECK(recorder.last == Readiness::error);
  REQUIRE(loop.modify(*registration, Interest::write));
  CHECK(turns(loop) == 1);
  CHECK(recorder.calls == 2);
}

ON_BOTH_SELECTORS("readiness: error on write-only interest does not spin: a task that writes is told EPIPE") {
  test::Loop<S> loop;
  mote::TaskPool<Writer, 1> pool;
  test::Pair pair = test::socket_pair();
  mote::Stream stream;
  mote::Result<void> sent;
  REQUIRE(stream.open(loop, std::move(pair.a)));
  REQUIRE(pool.spawn(loop, stream, std::size_t{16} << 20, sent));
  turns(loop, 3);
  CHECK(turns(loop) == 0);
  pair.b.close();
  REQUIRE(test::run_until(loop, [&] { return loop.stats().tasks == 0; }));
  CHECK_FALSE(sent);
  CHECK((error_of(sent) == EPIPE || error_of(sent) == ECONNRESET));
  CHECK(turns(loop) <= 1);
  CHECK(turns(loop) == 0);
}

ON_BOTH_SELECTORS("readiness: out-of-band: PRI alone; PRI before normal data") {
  test::Loop<S> loop;
  test::Pair pair = test::tcp_pair();
  constexpr Interest all = Interest::read | Interest::priority;
  REQUIRE(::send(pair.b.get(), "!", 1, MSG_OOB) == 1);
  REQUIRE(comes_to_report(loop, pair.a.get(), all, Readiness::priority));
  CHECK(reported(loop, pair.a.get(), Interest::read) == Readiness::none);  // not reported, as it was not asked for
  test::send_text(pair.b.get(), "data");
  REQUIRE(comes_to_report(loop, pair.a.get(), all, Readiness::priority | Readiness::readable));
  char bytes[8];
  REQUIRE(::recv(pair.a.get(), bytes, sizeof bytes, MSG_OOB) == 1);
  CHECK(bytes[0] == '!');
  CHECK(reported(loop, pair.a.get(), all) == Readiness::readable);
  REQUIRE(::recv(pair.a.get(), bytes, sizeof bytes, 0) == 4);
  CHECK(reported(loop, pair.a.get(), all) == Readiness::none);
}

namespace {

struct AwaitPriority : mote::StateMachine {
  AwaitPriority(mote::Source& from, mote::Result<Readiness>& to) : source(from), result(to) {}
  mote::Source& source;
  mote::Result<Readiness>& result;
  mote::Step step() {
    MOTE_BEGIN();
    MOTE_AWAIT(result, source.ready(Interest::priority));
    MOTE_END();
  }
};

}  // namespace

ON_BOTH_SELECTORS("readiness: out-of-band: PRI alone wakes the task that awaits it, normal data does not") {
  test::Loop<S> loop;
  mote::TaskPool<AwaitPriority, 1> pool;
  test::Pair pair = test::tcp_pair();
  mote::Stream stream;
  mote::Result<Readiness> result;
  REQUIRE(stream.open(loop, std::move(pair.a)));
  REQUIRE(pool.spawn(loop, stream, result));
  turns(loop, 2);
  test::send_text(pair.b.get(), "data");
  turns(loop);
  CHECK(loop.stats().tasks == 1);
  REQUIRE(::send(pair.b.get(), "!", 1, MSG_OOB) == 1);
  REQUIRE(test::run_until(loop, [&] { return loop.stats().tasks == 0; }));
  REQUIRE(result);
  CHECK(*result == Readiness::priority);
}

namespace {

// Reads a byte, which leaves that direction armed, then awaits out-of-band data; or the other way round.
struct Alternate : mote::StateMachine {
  Alternate(mote::Stream& of, bool order, bool& flag) : stream(of), read_first(order), first_done(flag) {}
  mote::Stream& stream;
  bool read_first;
  bool& first_done;
  mote::Result<std::size_t> got;
  mote::Result<Readiness> ready;
  char byte[1];
  mote::Step step() {
    MOTE_BEGIN();
    if (read_first) MOTE_AWAIT(got, stream.read(byte));
    else MOTE_AWAIT(ready, stream.ready(Interest::priority));
    first_done = true;
    if (read_first) MOTE_AWAIT(ready, stream.ready(Interest::priority));
    else MOTE_AWAIT(got, stream.read(byte));
    MOTE_END();
  }
};

}  // namespace

ON_BOTH_SELECTORS(
    "readiness: a task that awaits out-of-band data is not kept busy by normal data, nor the other way round") {
  for (const bool read_first : {true, false}) {
    CAPTURE(read_first);
    test::Loop<S> loop;
    mote::TaskPool<Alternate, 1> pool;
    test::Pair pair = test::tcp_pair();
    mote::Stream stream;
    bool first_done = false;
    REQUIRE(stream.open(loop, std::move(pair.a)));
    REQUIRE(pool.spawn(loop, stream, read_first, first_done));
    turns(loop, 2);
    REQUIRE(::send(pair.b.get(), "ab", 2, read_first ? 0 : MSG_OOB) == 2);  // of the latter, b alone is urgent
    if (!read_first) {
      char byte[1];
      pollfd entry{stream.fd(), POLLPRI, 0};
      REQUIRE(::poll(&entry, 1, 10'000) == 1);
      REQUIRE(::recv(stream.fd(), byte, 1, MSG_DONTWAIT) == 1);
    }
    REQUIRE(test::run_until(loop, [&] { return first_done; }));
    turns(loop, 3);
    REQUIRE(loop.stats().tasks == 1);
    CHECK(turns(loop, 20) == 0);
    REQUIRE(::send(pair.b.get(), "c", 1, read_first ? MSG_OOB : 0) == 1);
    CHECK(test::run_until(loop, [&] { return loop.stats().tasks == 0; }));
  }
}

ON_BOTH_SELECTORS("readiness: readable and writable together, the read handler closes: no write event") {
  test::Loop<S> loop;
  test::Pair pair = test::socket_pair();
  mote::Stream stream;
  std::vector<Readiness> seen;
  auto handler = [&](Readiness readiness) {
    seen.push_back(readiness);
    stream.close();
  };
  test::send_text(pair.b.get(), "x");
  REQUIRE(stream.open(loop, std::move(pair.a)));
  REQUIRE(stream.watch(read_write, handler));
  CHECK(turns(loop) == 1);
  REQUIRE(seen.size() == 1);  // both in one call
  CHECK(seen[0] == (Readiness::readable | Readiness::writable));
}

namespace {

struct ReadThenClose : mote::StateMachine {
  explicit ReadThenClose(mote::Stream& of) : stream(of) {}
  mote::Stream& stream;
  mote::Result<std::size_t> got;
  char byte[1];
  mote::Step step() {
    MOTE_BEGIN();
    MOTE_AWAIT(got, stream.read(byte));
    stream.close();
    MOTE_END();
  }
};

}  // namespace

ON_BOTH_SELECTORS("readiness: readable and writable together, the reading task closes: the writing one is cancelled") {
  test::Loop<S> loop;
  mote::TaskPool<ReadThenClose, 1> readers;
  mote::TaskPool<Writer, 1> writers;
  test::Pair pair = test::socket_pair();
  fill(pair.a.get());
  mote::Stream stream;
  mote::Result<void> sent;
  REQUIRE(stream.open(loop, std::move(pair.a)));
  REQUIRE(readers.spawn(loop, stream));
  REQUIRE(writers.spawn(loop, stream, std::size_t{1}, sent));
  turns(loop, 3);
  REQUIRE(loop.stats().tasks == 2);  // both wait
  const std::size_t filled = drain(pair.b.get());
  test::send_text(pair.b.get(), "x");
  CHECK(turns(loop, 3) == 1);  // one event for both
  CHECK(loop.stats().tasks == 0);
  CHECK(error_of(sent) == ECANCELED);
  CHECK(filled > 0);
  CHECK(drain(pair.b.get()) == 0);  // nothing was written
}

// --- readiness is a hint ---------------------------------------------------------------------------------------------

ON_BOTH_SELECTORS("readiness: spurious readiness -> EAGAIN is harmless") {
  test::Loop<S> loop;
  mote::TaskPool<Reader, 2> pool;
  test::Pair pair = test::pipe_pair();
  mote::Stream streams[2];  // of one description: the first to read takes all
  Reader::Log logs[2];
  REQUIRE(streams[0].open(loop, mote::Fd(::dup(pair.a.get()))));
  REQUIRE(streams[1].open(loop, std::move(pair.a)));
  for (int i = 0; i < 2; ++i) REQUIRE(pool.spawn(loop, streams[i], logs[i], std::size_t{64}));
  turns(loop, 2);
  for (int round = 1; round <= 20; ++round) {
    test::send_text(pair.b.get(), "x");
    CHECK(turns(loop, 3) == 2);  // both are told, one in vain
    CHECK(logs[0].bytes.size() + logs[1].bytes.size() == static_cast<std::size_t>(round));
    CHECK(turns(loop) == 0);
  }
  pair.b.close();
  REQUIRE(test::run_until(loop, [&] { return loop.stats().tasks == 0; }));
  CHECK(logs[0].ended);
  CHECK(logs[1].ended);
}

ON_BOTH_SELECTORS("readiness: spurious readiness -> EAGAIN is harmless, also to who writes") {
  test::Loop<S> loop;
  mote::TaskPool<Writer, 2> pool;
  test::Pair pair = test::pipe_pair();
  fill(pair.b.get());
  mote::Stream streams[2];
  mote::Result<void> sent[2];
  REQUIRE(streams[0].open(loop, mote::Fd(::dup(pair.b.get()))));
  REQUIRE(streams[1].open(loop, std::move(pair.b)));
  constexpr std::size_t size = 1'000'000;  // far more than the pipe holds
  for (int i = 0; i < 2; ++i) REQUIRE(pool.spawn(loop, streams[i], size, sent[i]));
  std::size_t received = 0;
  REQUIRE(test::run_until(loop, [&] {
    received += drain(pair.a.get());
    return loop.stats().tasks == 0;
  }));
  received += drain(pair.a.get());
  CHECK(sent[0]);
  CHECK(sent[1]);
  CHECK(received >= 2 * size);
}

ON_BOTH_SELECTORS("readiness: undrained data is reported again") {
  test::Loop<S> loop;
  test::Pair pair = test::pipe_pair();
  std::string seen;
  auto handler = [&](Readiness readiness) {
    CHECK(readiness == Readiness::readable);
    char c;
    REQUIRE(::read(pair.a.get(), &c, 1) == 1);
    seen += c;
  };
  REQUIRE(loop.add(pair.a.get(), Interest::read, handler));
  test::send_text(pair.b.get(), "abc");
  CHECK(turns(loop) == 3);
  CHECK(seen == "abc");
}

namespace {

// Reads one byte, then does something else for a while, then reads on.
struct Dawdler : mote::StateMachine {
  Dawdler(mote::Stream& from, std::string& to, bool& released) : stream(from), bytes(to), go_on(released) {}
  mote::Stream& stream;
  std::string& bytes;
  bool& go_on;
  mote::Result<std::size_t> got;
  char c[1];
  mote::Step step() {
    MOTE_BEGIN();
    for (;;) {
      MOTE_AWAIT(got, stream.read(c));
      if (!got || *got == 0) break;
      bytes += c[0];
      while (!go_on) MOTE_YIELD();
    }
    MOTE_END();
  }
};

}  // namespace

ON_BOTH_SELECTORS("readiness: undrained data is reported again, after the task's interest was disarmed meanwhile") {
  test::Loop<S> loop;
  mote::TaskPool<Dawdler, 1> pool;
  test::Pair pair = test::socket_pair();
  mote::Stream stream;
  std::string bytes;
  bool go_on = false;
  REQUIRE(stream.open(loop, std::move(pair.a)));
  REQUIRE(pool.spawn(loop, stream, bytes, go_on));
  turns(loop, 2);
  test::send_text(pair.b.get(), "abc");
  turns(loop, 3);
  CHECK(bytes == "a");
  CHECK(turns(loop, 10) == 0);  // nobody reads: told once at most, then silence
  go_on = true;
  turns(loop, 6);
  CHECK(bytes == "abc");
  test::send_text(pair.b.get(), "d");
  turns(loop, 3);
  CHECK(bytes == "abcd");
}

ON_BOTH_SELECTORS("readiness: short read, then FIN: EOF is seen") {
  test::Loop<S> loop;
  mote::TaskPool<Reader, 1> pool;
  test::Pair pair = test::tcp_pair();
  mote::Stream stream;
  Reader::Log log;
  REQUIRE(stream.open(loop, std::move(pair.a)));
  REQUIRE(pool.spawn(loop, stream, log, std::size_t{64}));
  turns(loop, 2);
  test::send_text(pair.b.get(), "short");
  REQUIRE(test::run_until(loop, [&] { return log.reads == 1; }));
  REQUIRE(::shutdown(pair.b.get(), SHUT_WR) == 0);
  REQUIRE(test::run_until(loop, [&] { return loop.stats().tasks == 0; }));
  CHECK(log.bytes == "short");
  CHECK(log.ended);
}

ON_BOTH_SELECTORS("readiness: data and FIN together, short read: EOF is seen") {
  for (const bool waiting : {true, false}) {  // the task waits already, or finds both at its first attempt
    for (const bool closed : {true, false}) {
      for (const std::size_t portion : {std::size_t{3}, std::size_t{5}, std::size_t{64}}) {
        CAPTURE(waiting);
        CAPTURE(closed);
        CAPTURE(portion);
        test::Loop<S> loop;
        mote::TaskPool<Reader, 1> pool;
        test::Pair pair = test::tcp_pair();
        mote::Stream stream;
        Reader::Log log;
        REQUIRE(stream.open(loop, std::move(pair.a)));
        if (waiting) REQUIRE(pool.spawn(loop, stream, log, portion));
        turns(loop, 2);
        test::send_text(pair.b.get(), "short");
        if (closed) {
          pair.b.close();
        } else {
          REQUIRE(::shutdown(pair.b.get(), SHUT_WR) == 0);
        }
        pollfd entry{stream.fd(), POLLRDHUP, 0};
        REQUIRE(::poll(&entry, 1, 10'000) == 1);  // both have come
        if (!waiting) REQUIRE(pool.spawn(loop, stream, log, portion));
        REQUIRE(test::run_until(loop, [&] { return loop.stats().tasks == 0; }));
        CHECK(log.bytes == "short");
        CHECK(log.ended);
      }
    }
  }
}

ON_BOTH_SELECTORS("readiness: read_closed with nobody reading: no spin") {
  test::Loop<S> loop;
  mote::TaskPool<Reader, 1> readers;
  mote::TaskPool<Dawdler, 1> pool;
  test::Pair pair = test::tcp_pair();
  mote::Stream stream;
  std::string bytes;
  bool go_on = false;
  REQUIRE(stream.open(loop, std::move(pair.a)));
  REQUIRE(pool.spawn(loop, stream, bytes, go_on));
  turns(loop, 2);
  test::send_text(pair.b.get(), "a");
  REQUIRE(test::run_until(loop, [&] { return bytes == "a"; }));  // its interest in reading stays armed
  REQUIRE(::shutdown(pair.b.get(), SHUT_WR) == 0);
  pollfd entry{stream.fd(), POLLRDHUP, 0};
  REQUIRE(::poll(&entry, 1, 10'000) == 1);
  CHECK(turns(loop, 20) <= 1);
  CHECK(turns(loop, 20) == 0);
  go_on = true;
  REQUIRE(test::run_until(loop, [&] { return loop.stats().tasks == 0; }));  // and the end is seen
  CHECK(bytes == "a");
}

ON_BOTH_SELECTORS("readiness: read_closed with nobody reading, but a task writing: no spin, and all is written") {
  test::Loop<S> loop;
  mote::TaskPool<Reader, 1> readers;
  mote::TaskPool<Writer, 1> writers;
  test::Pair pair = test::tcp_pair();
  mote::Stream stream;
  Reader::Log log;
  mote::Result<void> sent;
  REQUIRE(stream.open(loop, std::move(pair.a)));
  REQUIRE(readers.spawn(loop, stream, log, std::size_t{64}));
  turns(loop, 2);
  REQUIRE(::shutdown(pair.b.get(), SHUT_WR) == 0);
  REQUIRE(test::run_until(loop, [&] { return log.ended; }));
  constexpr std::size_t size = std::size_t{24} << 20;
  REQUIRE(writers.spawn(loop, stream, size, sent));
  REQUIRE(test::run_until(loop, [&] { return turns(loop) == 0; }));  // full
  REQUIRE(loop.stats().tasks == 1);
  CHECK(turns(loop, 20) == 0);
  std::size_t received = 0;
  REQUIRE(test::run_until(loop, [&] {
    received += drain(pair.b.get());
    return received == size;
  }));
  CHECK(sent);
}

ON_BOTH_SELECTORS("readiness: read_closed with nobody reading: a handler that asks for writing only is not told") {
  test::Loop<S> loop;
  test::Pair pair = test::socket_pair();
  fill(pair.a.get());
  Recorder recorder;
  REQUIRE(loop.add(pair.a.get(), Interest::write, recorder));
  REQUIRE(::shutdown(pair.b.get(), SHUT_WR) == 0);
  CHECK(turns(loop) == 0);
}

ON_BOTH_SELECTORS("readiness: read_closed is told apart from hangup") {
  test::Loop<S> loop;
  test::Pair pair = test::tcp_pair();
  REQUIRE(::shutdown(pair.b.get(), SHUT_WR) == 0);
  REQUIRE(comes_to_report(loop, pair.a.get(), read_write,
                          Readiness::readable | Readiness::writable | Readiness::read_closed));
  CHECK(reported(loop, pair.a.get(), Interest::write) == Readiness::writable);
  CHECK(reported(loop, pair.a.get(), Interest::none) == Readiness::none);
  REQUIRE(::shutdown(pair.a.get(), SHUT_WR) == 0);
  REQUIRE(comes_to_report(loop, pair.a.get(), Interest::none, Readiness::hangup));
}

// --- the moment of arming --------------------------------------------------------------------------------------------

namespace {

// Lets something happen at the moment in which the kernel is told of an interest: after EAGAIN, before it is armed.
template <class S> class Meddling : public mote::SelectorBase<Meddling<S>> {
 public:
  mote::Result<void> open() {
    const mote::Result<void> opened = inner_.open();
    if (opened) this->attach();
    return opened;
  }
  mote::Result<void> on_add(int fd, Interest interest, std::uint64_t token) {
    meddle();
    return inner_.add(fd, interest, token);
  }
  mote::Result<void> on_modify(int fd, Interest interest, std::uint64_t token) {
    meddle();
    return inner_.modify(fd, interest, token);
  }
  mote::Result<void> on_remove(int fd) { return inner_.remove(fd); }
  void on_forget(int fd) { inner_.forget(fd); }
  mote::Result<std::size_t> on_wait(Ready* ready, std::size_t capacity, mote::Duration timeout) {
    meddle();
    return inner_.wait_once(ready, capacity, timeout);
  }
  mote::Result<void> on_rebuild() { return inner_.rebuild(); }
  int on_descriptor() const { return inner_.descriptor(); }

  std::function<void()> before;
 private:
  void meddle() {
    if (before) std::exchange(before, nullptr)();
  }
  typename S::template Selector<9> inner_;
};

struct MeddlingConfig : mote::Config {
  static constexpr std::size_t descriptors = 8;
  template <std::size_t N> using Selector = mote::NoSelector<N>;
};

}  // namespace

ON_BOTH_SELECTORS("readiness: event between EAGAIN and arming is not lost") {
  Meddling<S> selector;
  mote::StaticReactor<MeddlingConfig> loop;
  REQUIRE(loop.open(selector));
  mote::TaskPool<Reader, 1> pool;
  test::Pair pair = test::pipe_pair();
  mote::Stream stream;
  Reader::Log log;
  bool done = false;
  REQUIRE(stream.open(loop, std::move(pair.a)));
  REQUIRE(pool.spawn(loop, stream, log, std::size_t{64}));
  selector.before = [&] {
    CHECK(log.reads == 0);
    test::send_text(pair.b.get(), "in the gap");
    done = true;
  };
  turns(loop, 2);
  CHECK(done);
  CHECK(log.bytes == "in the gap");
  selector.before = [&] { pair.b.close(); };  // between a short read and the wait
  turns(loop, 2);
  CHECK(log.ended);
}

ON_BOTH_SELECTORS("readiness: event between EAGAIN and arming is not lost: room to write") {
  Meddling<S> selector;
  mote::StaticReactor<MeddlingConfig> loop;
  REQUIRE(loop.open(selector));
  mote::TaskPool<Writer, 1> pool;
  test::Pair pair = test::pipe_pair();
  fill(pair.b.get());
  mote::Stream stream;
  mote::Result<void> sent = mote::Error(EAGAIN);
  REQUIRE(stream.open(loop, std::move(pair.b)));
  REQUIRE(pool.spawn(loop, stream, std::size_t{1}, sent));
  selector.before = [&] { drain(pair.a.get()); };
  turns(loop, 2);
  CHECK(loop.stats().tasks == 0);
  CHECK(sent);
}

ON_BOTH_SELECTORS("readiness: event between EAGAIN and arming is not lost: a handler that changes its interest") {
  test::Loop<S> loop;
  test::Pair pair = test::pipe_pair();
  Recorder recorder;
  const mote::Result<Registration> registration = loop.add(pair.a.get(), Interest::none, recorder);
  REQUIRE(registration);
  turns(loop, 1);
  test::send_text(pair.b.get(), "x");
  REQUIRE(loop.modify(*registration, Interest::read));
  CHECK(turns(loop, 1) == 1);
  CHECK(recorder.last == Readiness::readable);
}

// --- the error queue -------------------------------------------------------------------------------------------------

ON_BOTH_SELECTORS("readiness: error queue only: a handler is told once, no spin") {
  test::Loop<S> loop;
  const mote::Fd fd = udp_with_error_queue();
  Recorder recorder;
  REQUIRE(loop.add(fd.get(), Interest::read, recorder));
  CHECK(turns(loop) == 1);
  CHECK(recorder.last == Readiness::error);
}

namespace {

struct ReceiveTask : mote::StateMachine {
  ReceiveTask(mote::Datagram& from, std::string& to, int& errors) : socket(from), bytes(to), failures(errors) {}
  mote::Datagram& socket;
  std::string& bytes;
  int& failures;
  mote::Result<mote::Datagram::Received> got;
  char buffer[64];
  mote::Step step() {
    MOTE_BEGIN();
    for (;;) {
      MOTE_AWAIT(got, socket.recv(buffer));
      if (!got) {
        if (got.error() == ECANCELED) break;
        ++failures;
      } else {
        bytes.append(buffer, got->size);
      }
    }
    MOTE_END();
  }
};

}  // namespace

ON_BOTH_SELECTORS("readiness: error queue only: a task that receives is not kept busy by it, and gets what comes") {
  test::Loop<S> loop;
  mote::TaskPool<ReceiveTask, 1> pool;
  mote::Datagram socket;
  std::string bytes;
  int failures = 0;
  REQUIRE(socket.open(loop, *mote::Endpoint::parse("127.0.0.1:0")));
  REQUIRE(socket.set_option(IPPROTO_IP, IP_RECVERR, 1));
  REQUIRE(pool.spawn(loop, socket, bytes, failures));
  turns(loop, 2);
  const mote::Endpoint nobody = dead_address();
  REQUIRE(socket.try_send_to({"x", 1}, &nobody));
  REQUIRE(test::run_until(loop, [&] { return failures != 0; }));
  turns(loop, 10);
  CHECK(turns(loop, 10) == 0);
  CHECK(failures == 1);
  const mote::Fd peer = bound_udp();
  const mote::Endpoint self = address_of(socket.fd());
  REQUIRE(::sendto(peer.get(), "hello", 5, 0, self.address(), self.size()) == 5);
  REQUIRE(test::run_until(loop, [&] { return !bytes.empty(); }));
  CHECK(bytes == "hello");
}

ON_BOTH_SELECTORS("readiness: error queue only: a task that waits for room to write is not kept busy by it") {
  test::Loop<S> loop;
  mote::TaskPool<Writer, 1> pool;
  test::Pair pair = test::tcp_pair();
  mote::Stream stream;
  mote::Result<void> sent;
  // Time stamps of what is sent come through the error queue.
  const int wanted = SOF_TIMESTAMPING_TX_SOFTWARE | SOF_TIMESTAMPING_SOFTWARE;
  if (::setsockopt(pair.a.get(), SOL_SOCKET, SO_TIMESTAMPING, &wanted, sizeof wanted) != 0) return;  // an emulator
  REQUIRE(stream.open(loop, std::move(pair.a)));
  constexpr std::size_t size = std::size_t{24} << 20;
  REQUIRE(pool.spawn(loop, stream, size, sent));
  turns(loop, 50);
  REQUIRE(loop.stats().tasks == 1);
  CHECK(turns(loop, 50) <= 5);  // it waits, for nobody reads
  std::size_t received = 0;
  REQUIRE(test::run_until(loop, [&] {
    received += drain(pair.b.get());
    return received == size;
  }));
  CHECK(sent);
}

// --- epoll and poll report the same ----------------------------------------------------------------------------------

namespace {

constexpr Interest interests[] = {Interest::none,
                                  Interest::read,
                                  Interest::priority,
                                  Interest::write,
                                  Interest::read | Interest::priority,
                                  Interest::read | Interest::write,
                                  Interest::priority | Interest::write,
                                  Interest::read | Interest::priority | Interest::write};

// The two selectors, asked about the same descriptors at the same time.
class Comparison {
 public:
  Comparison() {
    REQUIRE(epoll_.open());
    REQUIRE(poll_.open());
  }
  // With each interest. What is on its way may reach one a moment before the other, so they are asked until they agree:
  // a difference that stays fails.
  bool agree_on(int fd) {
    REQUIRE(epoll_.add(fd, Interest::none, 1));
    REQUIRE(poll_.add(fd, Interest::none, 1));
    bool equal = true;
    for (const Interest interest : interests) {
      REQUIRE(epoll_.modify(fd, interest, 1));
      REQUIRE(poll_.modify(fd, interest, 1));
      Readiness from_epoll{}, from_poll{};
      const mote::Instant end = mote::Clock::now() + 2s;
      do {
        // A terminal may become writable without waking anybody: what epoll knows of it is of the last time it looked.
        REQUIRE(epoll_.modify(fd, interest, 1));
        from_epoll = ask(epoll_);
        from_poll = ask(poll_);
      } while (from_epoll != from_poll && mote::Clock::now() < end);
      CAPTURE(mote::detail::bits(interest));
      CHECK(mote::detail::bits(from_epoll) == mote::detail::bits(from_poll));
      ++seen_[mote::detail::bits(from_epoll)];
      equal = from_epoll == from_poll;
      if (!equal) break;
    }
    REQUIRE(epoll_.remove(fd));
    REQUIRE(poll_.remove(fd));
    return equal;
  }
  // How many different answers there were: that the states are as different as they should be.
  std::size_t variety() const { return seen_.size(); }
 private:
  static Readiness ask(mote::Selector& selector) {
    Ready ready[2];
    const mote::Result<std::size_t> count = selector.wait(ready, mote::Duration::zero());
    REQUIRE(count);
    REQUIRE(*count <= 1);
    return *count == 1 ? ready[0].readiness : Readiness::none;
  }
  mote::EpollSelector<2> epoll_;
  mote::PollSelector<2> poll_;
  std::map<unsigned, int> seen_;
};

// One thing that can be done to an end of a connection.
enum class Deed { write, fill, read_one, drain, shut_read, shut_write, shut_both, urgent, read_urgent, close, reset };
constexpr int deeds = 11;

void perform(Deed deed, mote::Fd& fd) {
  if (!fd) return;
  char c;
  switch (deed) {  // each may fail in a state in which it makes no sense: that is a state too
    case Deed::write: static_cast<void>(::send(fd.get(), "w", 1, MSG_NOSIGNAL) < 0 && ::write(fd.get(), "w", 1)); break;
    case Deed::fill: fill(fd.get()); break;
    case Deed::read_one: static_cast<void>(::read(fd.get(), &c, 1) < 0); break;
    case Deed::drain: drain(fd.get()); break;
    case Deed::shut_read: ::shutdown(fd.get(), SHUT_RD); break;
    case Deed::shut_write: ::shutdown(fd.get(), SHUT_WR); break;
    case Deed::shut_both: ::shutdown(fd.get(), SHUT_RDWR); break;
    case Deed::urgent: static_cast<void>(::send(fd.get(), "!", 1, MSG_OOB | MSG_NOSIGNAL) < 0); break;
    case Deed::read_urgent: static_cast<void>(::recv(fd.get(), &c, 1, MSG_OOB) < 0); break;
    case Deed::close: fd.close(); break;
    case Deed::reset: {
      const linger at_once{1, 0};
      ::setsockopt(fd.get(), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
      fd.close();
    }
  }
}

// SIGPIPE is of no use to a test of pipes without readers.
class WithoutSigpipe {
 public:
  WithoutSigpipe() : before_(::signal(SIGPIPE, SIG_IGN)) {}
  ~WithoutSigpipe() { ::signal(SIGPIPE, before_); }
  WithoutSigpipe(const WithoutSigpipe&) = delete;
  WithoutSigpipe& operator=(const WithoutSigpipe&) = delete;
 private:
  void (*before_)(int);
};

void compare_random_walks(const char* kind, test::Pair (*make)(), unsigned walks, std::size_t variety) {
  const WithoutSigpipe guard;
  Comparison comparison;
  for (unsigned walk = 0; walk < walks; ++walk) {
    std::minstd_rand random(walk + 1);
    random.discard(10);
    test::Pair pair = make();
    std::string story = kind;
    for (int step = 0; step < 10 && (pair.a || pair.b); ++step) {
      // Half the walks never close: there are more states on the way than at the end.
      const auto deed = static_cast<Deed>(random() % (walk % 2 == 0 ? deeds : deeds - 2));
      mote::Fd& actor = random() % 2 == 0 ? pair.a : pair.b;
      story += (&actor == &pair.a ? " a" : " b") + std::to_string(static_cast<int>(deed));
      perform(deed, actor);
      CAPTURE(story);
      for (const mote::Fd* fd : {&pair.a, &pair.b}) {
        if (*fd && !comparison.agree_on(fd->get())) return;  // one difference is enough
      }
    }
  }
  CHECK(comparison.variety() >= variety);
}

}  // namespace

TEST_CASE("readiness: epoll and poll report the same, over a generated set of fd states: TCP") {
  compare_random_walks("TCP", &test::tcp_pair, 150, 12);
}

TEST_CASE("readiness: epoll and poll report the same, over a generated set of fd states: Unix stream sockets") {
  compare_random_walks(
      "stream", [] { return test::socket_pair(); }, 100, 8);
}

TEST_CASE("readiness: epoll and poll report the same, over a generated set of fd states: Unix packet sockets") {
  compare_random_walks(
      "datagram", [] { return test::socket_pair(SOCK_DGRAM); }, 60, 4);
  compare_random_walks(
      "seqpacket", [] { return test::socket_pair(SOCK_SEQPACKET); }, 60, 4);
}

TEST_CASE("readiness: epoll and poll report the same, over a generated set of fd states: pipes") {
  compare_random_walks("pipe", &test::pipe_pair, 100, 6);
}

TEST_CASE("readiness: epoll and poll report the same, over a generated set of fd states: terminals") {
  compare_random_walks("pty", &pty_pair, 60, 5);
}

TEST_CASE("readiness: epoll and poll report the same, over states that no connection comes through") {
  Comparison comparison;
  const auto tcp = [] { return mote::Fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)); };
  const mote::Endpoint any = *mote::Endpoint::parse("127.0.0.1:0");

  const mote::Fd unconnected = tcp();
  CHECK(comparison.agree_on(unconnected.get()));

  const mote::Fd listener = tcp();
  REQUIRE(::bind(listener.get(), any.address(), any.size()) == 0);
  CHECK(comparison.agree_on(listener.get()));
  REQUIRE(::listen(listener.get(), 4) == 0);
  CHECK(comparison.agree_on(listener.get()));
  const mote::Fd client = tcp();
  const mote::Endpoint address = address_of(listener.get());
  static_cast<void>(::connect(client.get(), address.address(), address.size()));
  CHECK(comparison.agree_on(listener.get()));
  CHECK(comparison.agree_on(client.get()));
  ::shutdown(listener.get(), SHUT_RDWR);
  CHECK(comparison.agree_on(listener.get()));

  const mote::Endpoint nobody = dead_address();  // a port that was free for UDP is so for TCP, or else it connects
  const mote::Fd refused = tcp();
  static_cast<void>(::connect(refused.get(), nobody.address(), nobody.size()));
  CHECK(comparison.agree_on(refused.get()));

  const mote::Fd unix_unconnected(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  CHECK(comparison.agree_on(unix_unconnected.get()));

  const mote::Fd sender = bound_udp(), receiver = bound_udp();
  CHECK(comparison.agree_on(receiver.get()));
  const mote::Endpoint to = address_of(receiver.get());
  REQUIRE(::sendto(sender.get(), "", 0, 0, to.address(), to.size()) == 0);
  CHECK(comparison.agree_on(receiver.get()));  // an empty datagram
  REQUIRE(::sendto(sender.get(), "x", 1, 0, to.address(), to.size()) == 1);
  CHECK(comparison.agree_on(receiver.get()));
  const mote::Fd errors = udp_with_error_queue();
  CHECK(comparison.agree_on(errors.get()));
  REQUIRE(::send(errors.get(), "x", 1, 0) == 1);
  CHECK(comparison.agree_on(errors.get()));  // and a pending error besides

  const mote::Fd event(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  CHECK(comparison.agree_on(event.get()));
  const std::uint64_t one = 1, all = UINT64_MAX - 1 - one;
  REQUIRE(::write(event.get(), &one, sizeof one) == sizeof one);
  CHECK(comparison.agree_on(event.get()));
  REQUIRE(::write(event.get(), &all, sizeof all) == sizeof all);
  CHECK(comparison.agree_on(event.get()));  // full: no room to write

  const mote::Fd timer(::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK));
  CHECK(comparison.agree_on(timer.get()));
  itimerspec soon{};
  soon.it_value.tv_nsec = 1;
  REQUIRE(::timerfd_settime(timer.get(), 0, &soon, nullptr) == 0);
  CHECK(comparison.agree_on(timer.get()));

  const mote::Fd watch(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
  CHECK(comparison.agree_on(watch.get()));

  mote::EpollSelector<2> nested;
  REQUIRE(nested.open());
  CHECK(comparison.agree_on(nested.descriptor()));
  REQUIRE(nested.add(event.get(), Interest::read, 1));
  CHECK(comparison.agree_on(nested.descriptor()));

  test::Pair terminal = pty_pair();
  terminal.b.close();
  CHECK(comparison.agree_on(terminal.a.get()));  // nobody at the other side any more
  const mote::Fd untouched(::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK));
  CHECK(comparison.agree_on(untouched.get()));  // never anybody

  CHECK(comparison.variety() >= 10);
}

TEST_CASE("readiness: epoll and poll report the same through a reactor, what epoll does not take included") {
  test::Loop<test::OnEpoll> epoll;
  test::Loop<test::OnPoll> poll;
  const mote::Fd file(::open("/proc/self/exe", O_RDONLY | O_CLOEXEC)), null(::open("/dev/null", O_RDWR | O_CLOEXEC)),
      zero(::open("/dev/zero", O_RDONLY | O_CLOEXEC)), directory(::open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC)),
      unconnected(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  test::Pair pipe = test::pipe_pair(), socket = test::socket_pair(), half = test::socket_pair();
  pipe.b.close();
  test::send_text(socket.b.get(), "x");
  ::shutdown(half.b.get(), SHUT_WR);
  for (const mote::Fd* fd : {&file, &null, &zero, &directory, &unconnected, static_cast<const mote::Fd*>(&pipe.a),
                             static_cast<const mote::Fd*>(&socket.a), static_cast<const mote::Fd*>(&half.a)}) {
    for (const Interest interest : interests) {
      CAPTURE(fd->get());
      CAPTURE(mote::detail::bits(interest));
      CHECK(mote::detail::bits(reported(epoll, fd->get(), interest)) ==
            mote::detail::bits(reported(poll, fd->get(), interest)));
    }
  }
}

// --- the flags -------------------------------------------------------------------------------------------------------

TEST_CASE("flags: combine, mask and tell whether any is set") {
  Interest interest = Interest::read | Interest::write;
  CHECK(mote::any(interest & Interest::write));
  CHECK_FALSE(mote::any(interest & Interest::priority));
  interest &= ~Interest::write;
  CHECK(interest == Interest::read);
  interest |= Interest::priority;
  CHECK(interest == (Interest::read | Interest::priority));
  CHECK_FALSE(mote::any(Interest::none));
  Readiness readiness = Readiness::hangup | Readiness::error;
  readiness &= ~Readiness::error;
  CHECK(readiness == Readiness::hangup);
  CHECK(mote::any(~Readiness::hangup & Readiness::read_closed));
}

TEST_CASE("flags: interest and readiness do not mix") {
  CHECK(static_cast<unsigned>(Interest::read) == static_cast<unsigned>(Readiness::readable));
  CHECK(static_cast<unsigned>(Interest::priority) == static_cast<unsigned>(Readiness::priority));
  CHECK(static_cast<unsigned>(Interest::write) == static_cast<unsigned>(Readiness::writable));
  CHECK_FALSE(std::is_convertible<Interest, Readiness>::value);
  CHECK_FALSE(std::is_convertible<Interest, bool>::value);
}
