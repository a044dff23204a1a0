// SPDX-License-Identifier: MIT
// Rooms: io/stream.hpp, io/transfer.hpp.
// Streams: read, written, half-closed, closed under a pending operation; over sockets, pipes, files and the standard
// descriptors.
#include <linux/net_tstamp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include <string>
#include <vector>

#include "support/child.hpp"
#include "support/descriptors.hpp"
#include "support/operations.hpp"

using mote::ByteSpan;
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
using test::run_until;
using test::Running;

namespace {

// The byte at a place of an endless text: two places that are mixed up differ sooner or later.
unsigned char pattern(std::size_t place) { return static_cast<unsigned char>(place * 7 + place / 251); }

std::string pattern_text(std::size_t size) {
  std::string text(size, '\0');
  for (std::size_t i = 0; i < size; ++i) text[i] = static_cast<char>(pattern(i));
  return text;
}

// A connection that is closed with an RST.
void reset(Fd& fd) {
  const linger hard{1, 0};
  REQUIRE(::setsockopt(fd.get(), SOL_SOCKET, SO_LINGER, &hard, sizeof hard) == 0);
  fd.close();
}

// Counts the SIGPIPEs of this process while it lives.
class PipeSignals {
 public:
  PipeSignals() {
    count_ = 0;
    struct sigaction action {};
    action.sa_handler = [](int) { count_ = count_ + 1; };
    REQUIRE(::sigaction(SIGPIPE, &action, &before_) == 0);
  }
  ~PipeSignals() { ::sigaction(SIGPIPE, &before_, nullptr); }
  int count() const { return count_; }
 private:
  static inline volatile sig_atomic_t count_ = 0;
  struct sigaction before_ {};
};

// The pages that this process has in memory, in bytes.
std::size_t resident() {
  FILE* const file = ::fopen("/proc/self/statm", "re");
  REQUIRE(file != nullptr);
  unsigned long total = 0, pages = 0;
  CHECK(::fscanf(file, "%lu %lu", &total, &pages) == 2);
  ::fclose(file);
  return static_cast<std::size_t>(pages) * static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
}

// A file that is gone when it is closed.
Fd temporary_file(const std::string& content) {
  char name[] = "/tmp/mote-test-XXXXXX";
  Fd fd(::mkostemp(name, O_CLOEXEC));
  REQUIRE(fd);
  ::unlink(name);
  REQUIRE(::write(fd.get(), content.data(), content.size()) == static_cast<ssize_t>(content.size()));
  REQUIRE(::lseek(fd.get(), 0, SEEK_SET) == 0);
  return fd;
}

}  // namespace

// --- reading ---------------------------------------------------------------------------------------------------------

ON_BOTH_SELECTORS("streams: a read gives what has come, waits when there is nothing, and gives 0 at the end for ever") {
  test::Loop<S> loop;
  for (const bool socket : {false, true}) {
    test::Pair pair = socket ? test::tcp_pair() : test::pipe_pair();
    Stream stream = open_stream(loop, std::move(pair.a));
    test::send_text(pair.b.get(), "first");
    char bytes[3];
    const auto read = [&] { return stream.read(bytes); };
    CHECK(*await(loop, read) == 3);
    CHECK(std::string(bytes, 3) == "fir");
    CHECK(*await(loop, read) == 2);
    CHECK(std::string(bytes, 2) == "st");
    Running waiting(loop, read);
    test::comes_to_rest(loop);
    CHECK_FALSE(waiting.done());
    CHECK(waiting.steps <= 2);
    test::send_text(pair.b.get(), "x");
    CHECK(*waiting.finish() == 1);
    pair.b.close();
    for (int i = 0; i < 3; ++i) CHECK(read_some(loop, stream) == "");
  }
}

ON_BOTH_SELECTORS("streams: a read without room takes no message from a socket of another kind") {
  test::Loop<S> loop;
  int ends[2];
  REQUIRE(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) == 0);
  Stream stream = open_stream(loop, Fd(ends[0]));
  const Fd peer(ends[1]);
  test::send_text(peer.get(), "whole");
  CHECK(error_of(stream.try_read(ByteSpan())) == EINVAL);
  CHECK(error_of(await(loop, [&] { return stream.read(ByteSpan()); })) == EINVAL);
  char bytes[16];
  const mote::Result<std::size_t> n = stream.try_read(bytes);
  REQUIRE(n);
  CHECK(*n == 5);
}

ON_BOTH_SELECTORS("streams: errors of a read: EINVAL without room, EBADF when not open, EISDIR, ENOTCONN") {
  test::Loop<S> loop;
  test::Pair pair = test::pipe_pair();
  Stream stream = open_stream(loop, std::move(pair.a)), none;
  char bytes[8];
  CHECK(error_of(await(loop, [&] { return stream.read(ByteSpan()); })) == EINVAL);
  CHECK(error_of(await(loop, [&] { return none.read(bytes); })) == EBADF);
  CHECK(error_of(none.try_read(bytes)) == EBADF);
  Stream directory = open_stream(loop, Fd(::open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC)));
  CHECK(error_of(await(loop, [&] { return directory.read(bytes); })) == EISDIR);
  Stream unconnected = open_stream(loop, Fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)));
  CHECK(error_of(await(loop, [&] { return unconnected.read(bytes); })) == ENOTCONN);
  Stream writer = open_stream(loop, std::move(pair.b));
  CHECK(error_of(await(loop, [&] { return writer.read(bytes); })) ==
        EBADF);  // the pipe's other end: the kernel's answer
}

ON_BOTH_SELECTORS("streams: read_exactly fills all of the buffer, in whatever portions it comes") {
  test::Loop<S> loop;
  const std::string sent = pattern_text(100);
  for (const std::size_t portion : {1u, 2u, 7u, 33u, 99u, 100u}) {
    test::Pair pair = test::tcp_pair();
    Stream stream = open_stream(loop, std::move(pair.a));
    std::string got(100, '\0');
    ByteSpan rest(&got[0], got.size());
    Running reading(loop, [&] { return stream.read_exactly(rest); });
    for (std::size_t at = 0; at < sent.size(); at += portion) {
      CHECK_FALSE(reading.done());
      const std::size_t size = std::min(portion, sent.size() - at);
      REQUIRE(::write(pair.b.get(), sent.data() + at, size) == static_cast<ssize_t>(size));
      CHECK(run_until(loop, [&] { return rest.size() == sent.size() - at - size; }));
    }
    CHECK(reading.finish());
    CHECK(rest.empty());
    CHECK(got == sent);
  }
}

ON_BOTH_SELECTORS("streams: read_exactly leaves what comes after to the next read") {
  test::Loop<S> loop;
  test::Pair pair = test::socket_pair();
  Stream stream = open_stream(loop, std::move(pair.a));
  test::send_text(pair.b.get(), "headerbody");
  char header[6];
  ByteSpan rest(header);
  CHECK(await(loop, [&] { return stream.read_exactly(rest); }));
  CHECK(std::string(header, 6) == "header");
  CHECK(read_some(loop, stream) == "body");
}

ON_BOTH_SELECTORS("streams: read_exactly answers ENODATA at an early end, and what has come is there") {
  test::Loop<S> loop;
  test::Pair pair = test::socket_pair();
  Stream stream = open_stream(loop, std::move(pair.a));
  test::send_text(pair.b.get(), "abc");
  char bytes[8] = {};
  ByteSpan rest(bytes);
  Running reading(loop, [&] { return stream.read_exactly(rest); });
  CHECK(run_until(loop, [&] { return rest.size() == 5; }));
  pair.b.close();
  CHECK(error_of(reading.finish()) == ENODATA);
  CHECK(rest.size() == 5);
  CHECK(std::string(bytes) == "abc");
  ByteSpan nothing(bytes, 0);
  CHECK(await(loop, [&] { return stream.read_exactly(nothing); }));  // of nothing, there is always enough
}

ON_BOTH_SELECTORS("streams: SO_ERROR reported once: after the reset comes the end of the stream") {
  test::Loop<S> loop;
  test::Pair pair = test::tcp_pair();
  Stream stream = open_stream(loop, std::move(pair.a));
  char bytes[8];
  Running reading(loop, [&] { return stream.read(bytes); });
  test::comes_to_rest(loop);
  reset(pair.b);
  CHECK(error_of(reading.finish()) == ECONNRESET);
  CHECK(read_some(loop, stream) == "");
  CHECK(option(stream.fd(), SOL_SOCKET, SO_ERROR) == 0);
}

ON_BOTH_SELECTORS("streams: SO_ERROR reported once, to a handler that takes it") {
  test::Loop<S> loop;
  test::Pair pair = test::tcp_pair();
  Source source;
  REQUIRE(source.open(loop, std::move(pair.a)));
  std::vector<int> errors;
  auto handler = [&](Readiness readiness) {
    if (any(readiness & Readiness::error)) errors.push_back(option(source.fd(), SOL_SOCKET, SO_ERROR));
  };
  REQUIRE(source.watch(Interest::none, handler));
  reset(pair.b);
  CHECK(run_until(loop, [&] { return !errors.empty(); }));
  CHECK(test::comes_to_rest(loop));
  CHECK(errors == std::vector<int>{ECONNRESET});
}

// --- writing ---------------------------------------------------------------------------------------------------------

ON_BOTH_SELECTORS(
    "streams: partial and zero-length writes: the view shrinks by what was sent, and nothing is nothing") {
  test::Loop<S> loop;
  test::Pair pair = test::socket_pair();
  Stream stream = open_stream(loop, std::move(pair.a));
  ByteView nothing;
  CHECK(await(loop, [&] { return stream.write_all(nothing); }));
  CHECK(*stream.try_write(nothing) == 0);
  const std::string text = pattern_text(3'000'000);  // more than any socket buffer here
  ByteView rest(text.data(), text.size());
  Running writing(loop, [&] { return stream.write_all(rest); });
  CHECK(test::comes_to_rest(loop));
  CHECK_FALSE(writing.done());
  CHECK(rest.size() < text.size());
  CHECK(rest.size() > 0);
  CHECK(rest.end() == reinterpret_cast<const unsigned char*>(text.data()) + text.size());
  std::string got;
  CHECK(run_until(loop, [&] {
    got += test::take_all(pair.b.get());
    return writing.done();
  }));
  got += test::take_all(pair.b.get());
  CHECK(writing.result);
  CHECK(rest.empty());
  CHECK((got == text));
}

ON_BOTH_SELECTORS("streams: writes in order, of every size from one byte to more than a buffer") {
  test::Loop<S> loop;
  test::Pair pair = test::tcp_pair();
  const int small = 4096;
  REQUIRE(::setsockopt(pair.a.get(), SOL_SOCKET, SO_SNDBUF, &small, sizeof small) == 0);
  Stream stream = open_stream(loop, std::move(pair.a));
  const std::string text = pattern_text(120'000);
  std::size_t at = 0;
  std::string got;
  for (std::size_t size = 1; at < text.size(); size = size * 3 / 2 + 1) {
    ByteView rest(text.data() + at, std::min(size, text.size() - at));
    at += rest.size();
    Running writing(loop, [&] { return stream.write_all(rest); });
    CHECK(run_until(loop, [&] {
      got += test::take_all(pair.b.get());
      return writing.done();
    }));
    CHECK(writing.result);
  }
  CHECK(run_until(loop, [&] {
    got += test::take_all(pair.b.get());
    return got.size() >= text.size();
  }));
  CHECK((got == text));
}

ON_BOTH_SELECTORS("streams: write after the peer has closed: EPIPE, no SIGPIPE") {
  const PipeSignals signals;
  test::Loop<S> loop;
  test::Pair pair = test::socket_pair();
  Stream stream = open_stream(loop, std::move(pair.a));
  pair.b.close();
  ByteView bytes = mote::bytes_of("lost");
  CHECK(error_of(await(loop, [&] { return stream.write_all(bytes); })) == EPIPE);
  CHECK(bytes.size() == 4);
  CHECK(error_of(stream.try_write(bytes)) == EPIPE);
  test::Pair tcp = test::tcp_pair();
  Stream other = open_stream(loop, std::move(tcp.a));
  tcp.b.close();
  Result<void> sent;
  for (int i = 0; i < 100 && sent; ++i) {  // the first goes out, and is answered by an RST
    bytes = mote::bytes_of("lost");
    sent = await(loop, [&] { return other.write_all(bytes); });
  }
  CHECK(error_of(sent) == EPIPE);
  CHECK(signals.count() == 0);
}

ON_BOTH_SELECTORS(
    "streams: write after the peer has closed, while waiting for room: the error, and the rest is known") {
  const PipeSignals signals;
  test::Loop<S> loop;
  test::Pair pair = test::tcp_pair();
  Stream stream = open_stream(loop, std::move(pair.a));
  const std::string text(8'000'000, 'x');
  ByteView rest(text.data(), text.size());
  Running writing(loop, [&] { return stream.write_all(rest); });
  test::comes_to_rest(loop);
  CHECK_FALSE(writing.done());
  pair.b.close();  // with unread data: an RST
  const int error = error_of(writing.finish());
  CHECK((error == ECONNRESET || error == EPIPE));
  CHECK_FALSE(rest.empty());
  CHECK(signals.count() == 0);
}

ON_BOTH_SELECTORS("streams: write then close delivers") {
  test::Loop<S> loop;
  test::Pair pair = test::tcp_pair();
  const std::string text = pattern_text(50'000);
  {
    Stream stream = open_stream(loop, std::move(pair.a));
    ByteView rest(text.data(), text.size());
    CHECK(await(loop, [&] { return stream.write_all(rest); }));
  }
  std::string got;
  CHECK(run_until(loop, [&] {
    got += test::take_all(pair.b.get());
    return got.size() >= text.size();
  }));
  CHECK((got == text));
  CHECK(test::at_end(pair.b.get()));
}

ON_BOTH_SELECTORS("streams: SO_LINGER 0: closing resets, and the peer is told so") {
  test::Loop<S> loop;
  test::Pair pair = test::tcp_pair();
  Stream a = open_stream(loop, std::move(pair.a)), b = open_stream(loop, std::move(pair.b));
  const linger hard{1, 0};
  REQUIRE(::setsockopt(a.fd(), SOL_SOCKET, SO_LINGER, &hard, sizeof hard) == 0);
  char bytes[8];
  Running reading(loop, [&] { return b.read(bytes); });
  test::comes_to_rest(loop);
  a.close();
  CHECK(error_of(reading.finish()) == ECONNRESET);
  ByteView late = mote::bytes_of("late");
  CHECK(error_of(await(loop, [&] { return b.write_all(late); })) == EPIPE);
}

namespace {

// Writes the pattern, 65,521 bytes at a time, until so many have gone.
struct Flood : mote::StateMachine {
  Flood(Stream& to, const std::string& bytes, std::size_t count) : stream(to), text(bytes), left(count) {}
  Stream& stream;
  const std::string& text;
  std::size_t left;
  ByteView rest;
  Result<void> sent;
  mote::Step step() {
    MOTE_BEGIN();
    while (left != 0) {
      rest = {text.data(), std::min(left, text.size())};
      left -= rest.size();
      MOTE_AWAIT(sent, stream.write_all(rest));
      if (!sent) return mote::failed(sent.error());
    }
    stream.close();
    MOTE_END();
  }
};

}  // namespace

ON_BOTH_SELECTORS("streams: 64 MiB drained through a slow reader, memory flat") {
  constexpr std::size_t total = std::size_t{64} << 20;
  test::Loop<S> loop;
  test::Pair pair = test::socket_pair();
  Stream stream = open_stream(loop, std::move(pair.a));
  const std::string text = pattern_text(65'521);
  mote::TaskPool<Flood, 1> pool;
  REQUIRE(pool.spawn(loop, stream, text, total));
  std::size_t got = 0, before = 0, most = 0, wrong = 0;
  char bytes[16384];
  while (got < total && loop.run_once(0ns)) {
    const ssize_t n = ::read(pair.b.get(), bytes, sizeof bytes);  // one small read a turn
    if (n == 0) break;
    for (std::size_t i = 0; n > 0 && i < static_cast<std::size_t>(n);) {
      const std::size_t place = (got + i) % text.size();
      const std::size_t size = std::min(static_cast<std::size_t>(n) - i, text.size() - place);
      if (::memcmp(bytes + i, text.data() + place, size) != 0) ++wrong;
      i += size;
    }
    if (n > 0) got += static_cast<std::size_t>(n);
    if (before == 0 && got > total / 8) before = resident();
    if (got % (total / 64) < sizeof bytes && before != 0) most = std::max(most, resident());
  }
  CHECK(got == total);
  CHECK(wrong == 0);
  CHECK(before != 0);
  CHECK(most < before + (std::size_t{4} << 20));
  CHECK(loop.stats().tasks == 0);
}

// --- half-close ------------------------------------------------------------------------------------------------------

ON_BOTH_SELECTORS("streams: half-close each way: who has finished may still read, and the other may still write") {
  test::Loop<S> loop;
  for (const bool tcp : {false, true}) {
    test::Pair pair = tcp ? test::tcp_pair() : test::socket_pair();
    Stream a = open_stream(loop, std::move(pair.a)), b = open_stream(loop, std::move(pair.b));
    ByteView request = mote::bytes_of("request"), reply = mote::bytes_of("reply");
    CHECK(await(loop, [&] { return a.write_all(request); }));
    CHECK(a.shutdown_write());
    CHECK(read_some(loop, b) == "request");
    CHECK(read_some(loop, b) == "");
    CHECK(await(loop, [&] { return b.write_all(reply); }));
    CHECK(read_some(loop, a) == "reply");
    CHECK(b.shutdown_write());
    CHECK(read_some(loop, a) == "");
    CHECK(read_some(loop, b) == "");
    ByteView late = mote::bytes_of("late");
    CHECK(error_of(await(loop, [&] { return a.write_all(late); })) == EPIPE);
  }
}

ON_BOTH_SELECTORS("streams: half-close of a peer that nobody reads from does not spin while the other way is used") {
  test::Loop<S> loop;
  test::Pair pair = test::tcp_pair();
  Stream a = open_stream(loop, std::move(pair.a)), b = open_stream(loop, std::move(pair.b));
  char bytes[8];
  Running reading(loop, [&] { return b.read(bytes); });
  test::comes_to_rest(loop);
  CHECK(a.shutdown_write());
  CHECK(*reading.finish() == 0);
  CHECK(test::comes_to_rest(loop));
  fill(b.fd());
  const std::string text(100'000, 'x');
  ByteView more(text.data(), text.size());
  Running writing(loop, [&] { return b.write_all(more); });
  CHECK(test::comes_to_rest(loop));
  CHECK(run_until(loop, [&] {
    test::take_all(a.fd());
    return writing.done();
  }));
  CHECK(writing.result);
}

ON_BOTH_SELECTORS("streams: shutdown twice: the second is no error, or ENOTCONN once both ways are over") {
  test::Loop<S> loop;
  test::Pair pair = test::tcp_pair();
  Stream a = open_stream(loop, std::move(pair.a)), b = open_stream(loop, std::move(pair.b));
  CHECK(a.shutdown_write());
  CHECK(a.shutdown_write());
  CHECK(read_some(loop, b) == "");
  CHECK(b.shutdown_write());
  CHECK(read_some(loop, a) == "");
  CHECK(error_of(b.shutdown_write()) == ENOTCONN);
}

ON_BOTH_SELECTORS("streams: simultaneous shutdown: both read the end, and what was under way arrives") {
  test::Loop<S> loop;
  for (const bool tcp : {false, true}) {
    test::Pair pair = tcp ? test::tcp_pair() : test::socket_pair();
    Stream a = open_stream(loop, std::move(pair.a)), b = open_stream(loop, std::move(pair.b));
    char to_a[8], to_b[8];
    ByteView from_a = mote::bytes_of("a"), from_b = mote::bytes_of("bb");
    CHECK(await(loop, [&] { return a.write_all(from_a); }));
    CHECK(await(loop, [&] { return b.write_all(from_b); }));
    CHECK(a.shutdown_write());
    CHECK(b.shutdown_write());
    CHECK(*await(loop, [&] { return a.read(to_a); }) == 2);
    CHECK(*await(loop, [&] { return b.read(to_b); }) == 1);
    Running end_of_a(loop, [&] { return a.read(to_a); });
    Running end_of_b(loop, [&] { return b.read(to_b); });
    CHECK(*end_of_a.finish() == 0);
    CHECK(*end_of_b.finish() == 0);
    CHECK(test::comes_to_rest(loop));
  }
}

ON_BOTH_SELECTORS("streams: errors of shutdown: ENOTSOCK, ENOTCONN, EBADF") {
  test::Loop<S> loop;
  test::Pair pair = test::pipe_pair();
  Stream pipe = open_stream(loop, std::move(pair.b)), none;
  Stream unconnected = open_stream(loop, Fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)));
  CHECK(error_of(pipe.shutdown_write()) == ENOTSOCK);
  CHECK(error_of(unconnected.shutdown_write()) == ENOTCONN);
  CHECK(error_of(none.shutdown_write()) == EBADF);
}

// --- closed under a pending operation --------------------------------------------------------------------------------

ON_BOTH_SELECTORS("streams: close with a write pending: completes once, ECANCELED") {
  test::Loop<S> loop;
  test::Pair pair = test::socket_pair();
  fill(pair.a.get());
  Stream stream = open_stream(loop, std::move(pair.a));
  ByteView bytes = mote::bytes_of("more");
  Running writing(loop, [&] { return stream.write_all(bytes); });
  test::comes_to_rest(loop);
  CHECK_FALSE(writing.done());
  stream.close();
  CHECK_FALSE(writing.done());  // through the queue, not inside close()
  CHECK(error_of(writing.finish()) == ECANCELED);
  CHECK(bytes.size() == 4);
  test::comes_to_rest(loop);
  CHECK(writing.completions == 1);
  CHECK(loop.stats().descriptors == 0);
}

ON_BOTH_SELECTORS("streams: close with a read, a read_exactly, a ready pending: completes once, ECANCELED") {
  test::Loop<S> loop;
  char bytes[8];
  ByteSpan rest(bytes);
  const auto closed_under = [&](auto operation) {
    test::Pair pair = test::socket_pair();
    Stream stream = open_stream(loop, std::move(pair.a));
    Running running(loop, [&] { return operation(stream); });
    test::comes_to_rest(loop);
    CHECK_FALSE(running.done());
    stream.close();
    CHECK(error_of(running.finish()) == ECANCELED);
    test::comes_to_rest(loop);
    CHECK(running.completions == 1);
  };
  closed_under([&](Stream& stream) { return stream.read(bytes); });
  closed_under([&](Stream& stream) { return stream.read_exactly(rest); });
  closed_under([&](Stream& stream) { return stream.ready(Interest::priority); });
}

namespace {

// Reads again after the first read has failed.
struct Stubborn : mote::StateMachine {
  Stubborn(Stream& from, std::vector<int>& results) : stream(from), errors(results) {}
  Stream& stream;
  std::vector<int>& errors;
  Result<std::size_t> got;
  char bytes[8];
  mote::Step step() {
    MOTE_BEGIN();
    while (errors.size() < 3) {
      MOTE_AWAIT(got, stream.read(bytes));
      errors.push_back(error_of(got));
    }
    MOTE_END();
  }
};

}  // namespace

ON_BOTH_SELECTORS("streams: close with a read pending: ECANCELED, and again to who tries again") {
  test::Loop<S> loop;
  mote::TaskPool<Stubborn, 1> pool;
  test::Pair pair = test::socket_pair();
  Stream stream = open_stream(loop, std::move(pair.a));
  std::vector<int> errors;
  REQUIRE(pool.spawn(loop, stream, errors));
  test::comes_to_rest(loop);
  stream.close();
  CHECK(run_until(loop, [&] { return errors.size() == 3; }));
  CHECK(errors == std::vector<int>{ECANCELED, ECANCELED, ECANCELED});
}

ON_BOTH_SELECTORS("streams: close with data come, but not yet read: ECANCELED, for the bytes are gone with it") {
  test::Loop<S> loop;
  test::Pair pair = test::socket_pair();
  Stream stream = open_stream(loop, std::move(pair.a));
  char bytes[8];
  Running reading(loop, [&] { return stream.read(bytes); });
  test::comes_to_rest(loop);
  test::send_text(pair.b.get(), "x");
  REQUIRE(loop.run_once(1s));  // the event has woken the task, which has not run
  CHECK_FALSE(reading.done());
  stream.close();
  CHECK(error_of(reading.finish()) == ECANCELED);
  CHECK(reading.completions == 1);
}

ON_BOTH_SELECTORS(
    "streams: closed and opened anew under a pending read: the new descriptor is not mistaken for the old") {
  test::Loop<S> loop;
  test::Pair first = test::socket_pair(), second = test::socket_pair();
  Stream stream = open_stream(loop, std::move(first.a));
  char bytes[8];
  Running reading(loop, [&] { return stream.read(bytes); });
  test::comes_to_rest(loop);
  test::send_text(first.b.get(), "old");
  stream.close();
  REQUIRE(stream.open(loop, std::move(second.a)));
  test::send_text(second.b.get(), "new");
  const Result<std::size_t>& got = reading.finish();
  if (got) CHECK(std::string(bytes, *got) == "new");
  else CHECK(got.error() == ECANCELED);
  CHECK(reading.completions == 1);
}

// --- attempts, for the callback style --------------------------------------------------------------------------------

ON_BOTH_SELECTORS("streams: one attempt to read or write answers EAGAIN when there is nothing, or no room") {
  test::Loop<S> loop;
  test::Pair pair = test::socket_pair();
  Stream stream = open_stream(loop, std::move(pair.a)), none;
  char bytes[8];
  CHECK(error_of(stream.try_read(bytes)) == EAGAIN);
  test::send_text(pair.b.get(), "abc");
  CHECK(*stream.try_read(bytes) == 3);
  CHECK(*stream.try_write(mote::bytes_of("xyz")) == 3);
  CHECK(test::take_all(pair.b.get()) == "xyz");
  fill(stream.fd());
  CHECK(error_of(stream.try_write(mote::bytes_of("xyz"))) == EAGAIN);
  CHECK(error_of(stream.try_read(ByteSpan())) == EINVAL);
  CHECK(error_of(none.try_write(mote::bytes_of("xyz"))) == EBADF);
}

ON_BOTH_SELECTORS("streams: an echo in the callback style") {
  test::Loop<S> loop;
  test::Pair pair = test::tcp_pair();
  Stream stream = open_stream(loop, std::move(pair.a));
  auto handler = [&](Readiness) {
    char bytes[64];
    const Result<std::size_t> n = stream.try_read(bytes);
    if (n && *n != 0) CHECK(*stream.try_write({bytes, *n}) == *n);
    else stream.close();
  };
  REQUIRE(stream.watch(Interest::read, handler));
  std::string got;
  for (const char* text : {"one", "two", "three"}) {
    test::send_text(pair.b.get(), text);
    CHECK(run_until(loop, [&] { return (got += test::take_all(pair.b.get())).size() >= ::strlen(text); }));
    CHECK(got == text);
    got.clear();
  }
  REQUIRE(::shutdown(pair.b.get(), SHUT_WR) == 0);
  CHECK(run_until(loop, [&] { return !stream.is_open(); }));
  CHECK(test::at_end(pair.b.get()));
}

// --- files, devices, pipes -------------------------------------------------------------------------------------------

ON_BOTH_SELECTORS("streams: a regular file is always ready: read to its end, written, without a pause") {
  test::Loop<S> loop;
  const std::string text = pattern_text(100'000);
  Stream file = open_stream(loop, temporary_file(text));
  std::string got(text.size(), '\0');
  ByteSpan rest(&got[0], got.size());
  CHECK(await(loop, [&] { return file.read_exactly(rest); }));
  CHECK((got == text));
  CHECK(read_some(loop, file) == "");
  ByteView more = mote::bytes_of("more");
  CHECK(await(loop, [&] { return file.write_all(more); }));
  char byte[4];
  CHECK(::pread(file.fd(), byte, 4, 100'000) == 4);
  CHECK(std::string(byte, 4) == "more");
}

ON_BOTH_SELECTORS("streams: /dev/null and /dev/zero are always ready") {
  test::Loop<S> loop;
  Stream null = open_stream(loop, Fd(::open("/dev/null", O_RDWR | O_CLOEXEC)));
  Stream zero = open_stream(loop, Fd(::open("/dev/zero", O_RDWR | O_CLOEXEC)));
  const std::string text(1'000'000, 'x');
  ByteView rest(text.data(), text.size());
  CHECK(await(loop, [&] { return null.write_all(rest); }));
  CHECK(read_some(loop, null) == "");
  CHECK(read_some(loop, zero) == std::string(4096, '\0'));
  CHECK(any(*await(loop, [&] { return null.ready(Interest::read); }) & Readiness::readable));
  CHECK(any(*await(loop, [&] { return null.ready(Interest::write); }) & Readiness::writable));
}

ON_BOTH_SELECTORS("streams: pipes: the writer's end, and the reader's end") {
  test::Loop<S> loop;
  test::Pair pair = test::pipe_pair();
  Stream reader = open_stream(loop, std::move(pair.a)), writer = open_stream(loop, std::move(pair.b));
  const std::string text = pattern_text(500'000);
  ByteView rest(text.data(), text.size());
  Running writing(loop, [&] { return writer.write_all(rest); });
  std::string got(text.size(), '\0');
  ByteSpan room(&got[0], got.size());
  CHECK(await(loop, [&] { return reader.read_exactly(room); }));
  CHECK(writing.finish());
  CHECK((got == text));
  writer.close();
  CHECK(read_some(loop, reader) == "");
}

ON_BOTH_SELECTORS("streams: a pipe without readers: EPIPE where SIGPIPE is ignored") {
  struct sigaction action {
  }, before{};
  action.sa_handler = SIG_IGN;
  REQUIRE(::sigaction(SIGPIPE, &action, &before) == 0);
  test::Loop<S> loop;
  test::Pair pair = test::pipe_pair();
  fill(pair.b.get());
  Stream writer = open_stream(loop, std::move(pair.b));
  ByteView bytes = mote::bytes_of("x");
  Running writing(loop, [&] { return writer.write_all(bytes); });
  CHECK(test::comes_to_rest(loop));
  pair.a.close();
  CHECK(error_of(writing.finish()) == EPIPE);
  REQUIRE(::sigaction(SIGPIPE, &before, nullptr) == 0);
}

namespace {

// In a child: puts a descriptor in place of a standard one.
void install(const Fd& fd, int standard) { ::dup2(fd.get(), standard); }

// A pipe in blocking mode, as a shell makes it.
test::Pair blocking_pipe() {
  int fds[2];
  REQUIRE(::pipe2(fds, O_CLOEXEC) == 0);
  return {Fd(fds[0]), Fd(fds[1])};
}

struct Copy : mote::StateMachine {  // from standard input to standard output
  Stream in, out;
  Result<std::size_t> got;
  Result<void> sent;
  ByteView rest;
  char bytes[4096];
  mote::Step step() {
    MOTE_BEGIN();
    for (;;) {
      MOTE_AWAIT(got, in.read(bytes));
      if (!got) return mote::failed(got.error());
      if (*got == 0) return mote::done();
      rest = {bytes, *got};
      MOTE_AWAIT(sent, out.write_all(rest));
      if (!sent) return mote::failed(sent.error());
    }
    MOTE_END();
  }
};

// A program that copies its input to its output: 0 if it has come to the end.
template <class S> int copy_program(const Fd& in, const Fd& out) {
  test::Verdict verdict;
  install(in, STDIN_FILENO);
  install(out, STDOUT_FILENO);
  mote::StaticReactor<typename S::template Config<8>> loop;
  mote::TaskPool<Copy, 1> pool;
  EXPECT(verdict, loop.open());
  {
    Stream from, to;
    EXPECT(verdict, from.open(loop, Fd(STDIN_FILENO)));
    EXPECT(verdict, to.open(loop, Fd(STDOUT_FILENO)));
    mote::Result<mote::TaskHandle> copying =
        pool.spawn(loop, std::move(from), std::move(to), Result<std::size_t>(), Result<void>(), ByteView());
    EXPECT(verdict, copying);
    EXPECT(verdict, run_until(
                        loop, [&] { return copying->outcome().kind != mote::Outcome::Kind::none; }, 20s));
    EXPECT(verdict, copying->outcome().kind == mote::Outcome::Kind::done);
  }
  return verdict.exit_code();
}

}  // namespace

// --- the standard descriptors ----------------------------------------------------------------------------------------

ON_BOTH_SELECTORS("streams: fds 0 to 2 are never made non-blocking, and copy all the same") {
  test::Pair in = blocking_pipe(), out = blocking_pipe();
  test::Child child([&] {
    in.b.close();
    out.a.close();
    return copy_program<S>(in.a, out.b);
  });
  const std::string text = pattern_text(300'000);
  in.a.close();
  CHECK(is_blocking(in.b.get()));
  REQUIRE(::fcntl(in.b.get(), F_SETFL, O_NONBLOCK) == 0);
  std::string got;
  for (std::size_t sent = 0; got.size() < text.size();) {
    pollfd entries[2] = {{out.a.get(), POLLIN, 0}, {sent < text.size() ? in.b.get() : -1, POLLOUT, 0}};
    REQUIRE(::poll(entries, 2, 20000) > 0);
    if (entries[0].revents != 0) {
      char bytes[4096];
      const ssize_t n = ::read(out.a.get(), bytes, sizeof bytes);
      REQUIRE(n > 0);
      got.append(bytes, static_cast<std::size_t>(n));
      CHECK(is_blocking(out.b.get()));  // the child's very description
    } else {
      const ssize_t n = ::write(in.b.get(), text.data() + sent, text.size() - sent);
      REQUIRE(n > 0);
      sent += static_cast<std::size_t>(n);
    }
  }
  CHECK((got == text));
  in.b.close();
  CHECK(child.join() == 0);
}

ON_BOTH_SELECTORS("streams: fds 0 to 2 do not hold up the loop while there is nothing to read, or no room to write") {
  test::Pair in = blocking_pipe(), out = blocking_pipe();
  REQUIRE(::fcntl(out.b.get(), F_SETFL, O_NONBLOCK) == 0);
  const std::size_t filled = fill(out.b.get());
  REQUIRE(::fcntl(out.b.get(), F_SETFL, 0) == 0);
  test::Child child([&] {
    test::Verdict verdict;
    install(in.a, STDIN_FILENO);
    install(out.b, STDOUT_FILENO);
    test::Loop<S> loop;
    Stream from, to;
    EXPECT(verdict, from.open(loop, Fd(STDIN_FILENO)));
    EXPECT(verdict, to.open(loop, Fd(STDOUT_FILENO)));
    char bytes[8];
    const std::string text(200'000, 'x');  // more than a pipe takes
    ByteView rest(text.data(), text.size());
    Running reading(loop, [&] { return from.read(bytes); });
    Running writing(loop, [&] { return to.write_all(rest); });
    EXPECT(verdict, test::turns_within(loop, 30ms) < 20);  // neither blocked nor spinning
    EXPECT(verdict, !reading.done());
    EXPECT(verdict, !writing.done());
    EXPECT(verdict, is_blocking(STDIN_FILENO));
    EXPECT(verdict, is_blocking(STDOUT_FILENO));
    std::string drained(filled, '\0');
    EXPECT(verdict, ::write(in.b.get(), "abc", 3) == 3);
    EXPECT(verdict, error_of(reading.finish()) == 0);
    Running again(loop, [&] { return from.read(bytes); });              // after a short read
    EXPECT(verdict, ::read(out.a.get(), &drained[0], filled / 2) > 0);  // room for some of it
    EXPECT(verdict, run_until(loop, [&] { return rest.size() < text.size(); }));
    EXPECT(verdict, test::comes_to_rest(loop));
    EXPECT(verdict, !again.done());
    EXPECT(verdict, !writing.done());
    EXPECT(verdict, run_until(loop, [&] {
             if (!writing.done()) EXPECT(verdict, ::read(out.a.get(), &drained[0], 4096) > 0);
             return writing.done();
           }));
    EXPECT(verdict, error_of(writing.result) == 0);
    EXPECT(verdict, ::write(in.b.get(), "abc", 3) == 3);
    EXPECT(verdict, error_of(again.finish()) == 0);
    return verdict.exit_code();
  });
  CHECK(child.join() == 0);
}

ON_BOTH_SELECTORS("streams: a program whose input is a file and whose output is /dev/null: prog < file > /dev/null") {
  const Fd file = temporary_file(pattern_text(100'000));
  const Fd null(::open("/dev/null", O_WRONLY | O_CLOEXEC));
  test::Child child([&] { return copy_program<S>(file, null); });
  CHECK(child.join() == 0);
  CHECK(::lseek(file.get(), 0, SEEK_CUR) == 100'000);  // all of it has been read
  CHECK(is_blocking(file.get()));
}

ON_BOTH_SELECTORS("streams: a read from fd 0 that exactly fills the buffer does not block the loop the next time") {
  test::Pair in = blocking_pipe();
  test::Child child([&] {
    ::alarm(5);  // it blocks for ever if it does
    test::Verdict verdict;
    install(in.a, STDIN_FILENO);
    test::Loop<S> loop;
    Stream from;
    EXPECT(verdict, from.open(loop, Fd(STDIN_FILENO)));
    char bytes[8];
    EXPECT(verdict, ::write(in.b.get(), "12345678", 8) == 8);
    EXPECT(verdict, error_of(await(loop, [&] { return from.read(bytes); })) == 0);
    Running again(loop, [&] { return from.read(bytes); });
    EXPECT(verdict, test::comes_to_rest(loop));
    EXPECT(verdict, !again.done());
    EXPECT(verdict, ::write(in.b.get(), "9", 1) == 1);
    EXPECT(verdict, error_of(again.finish()) == 0);
    EXPECT(verdict, bytes[0] == '9');
    return verdict.exit_code();
  });
  CHECK(child.join() == 0);
}

ON_BOTH_SELECTORS("streams: a program whose input and output are one blocking socket, as inetd gives it") {
  int fds[2];
  REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) == 0);
  const Fd ours(fds[0]), theirs(fds[1]);
  test::Child child([&] {
    ::close(ours.get());
    return copy_program<S>(theirs, theirs);
  });
  test::send_text(ours.get(), "by inetd");
  pollfd entry{ours.get(), POLLIN, 0};
  REQUIRE(::poll(&entry, 1, 20000) == 1);
  CHECK(test::take_all(ours.get()) == "by inetd");
  CHECK(is_blocking(theirs.get()));
  REQUIRE(::shutdown(ours.get(), SHUT_WR) == 0);
  CHECK(child.join() == 0);
}

namespace {

// Everything that is sent leaves a time stamp in the error queue. An emulator of user programs may not know of it.
bool stamp_what_is_sent(int fd) {
  const int flags = SOF_TIMESTAMPING_TX_SOFTWARE | SOF_TIMESTAMPING_TX_SCHED | SOF_TIMESTAMPING_SOFTWARE;
  if (::setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPING, &flags, sizeof flags) == 0) return true;
  MESSAGE("no time stamps here");
  return false;
}

}  // namespace

// --- the error queue -------------------------------------------------------------------------------------------------

ON_BOTH_SELECTORS("streams: error queue only: a task that reads from a time-stamping connection does not spin") {
  test::Loop<S> loop;
  test::Pair pair = test::tcp_pair();
  if (!stamp_what_is_sent(pair.a.get())) return;
  Stream stream = open_stream(loop, std::move(pair.a));
  char bytes[8];
  Running reading(loop, [&] { return stream.read(bytes); });
  test::comes_to_rest(loop);
  for (int i = 0; i < 50; ++i) {
    REQUIRE(*stream.try_write(mote::bytes_of("x")) == 1);
    CHECK(test::comes_to_rest(loop));
  }
  CHECK_FALSE(reading.done());
  test::send_text(pair.b.get(), "abc");
  CHECK(*reading.finish() == 3);
}

ON_BOTH_SELECTORS("streams: error queue only: a task that waits for room on a time-stamping connection does not spin") {
  test::Loop<S> loop;
  test::Pair pair = test::tcp_pair();
  if (!stamp_what_is_sent(pair.a.get())) return;
  Stream stream = open_stream(loop, std::move(pair.a));
  const std::string text(8'000'000, 'x');
  ByteView rest(text.data(), text.size());
  Running writing(loop, [&] { return stream.write_all(rest); });
  CHECK(test::comes_to_rest(loop));
  CHECK_FALSE(writing.done());
  CHECK(run_until(loop, [&] {
    test::take_all(pair.b.get());
    return writing.done();
  }));
  CHECK(writing.result);
}

namespace {

struct Glutton : mote::StateMachine {  // reads for ever what never ends
  Glutton(Stream& from, std::uint64_t& count) : stream(from), reads(count) {}
  Stream& stream;
  std::uint64_t& reads;
  Result<std::size_t> got;
  char bytes[16];
  mote::Step step() {
    MOTE_BEGIN();
    for (;;) {
      MOTE_AWAIT(got, stream.read(bytes));
      if (!got) return mote::failed(got.error());
      ++reads;
    }
    MOTE_END();
  }
};

}  // namespace

// --- fairness --------------------------------------------------------------------------------------------------------

ON_BOTH_SELECTORS("streams: fairness: one that is always ready leaves the others their share of each turn") {
  test::Loop<S> loop;
  mote::TaskPool<Glutton, 2> pool;
  test::Pair pair = test::socket_pair();
  Stream zero = open_stream(loop, Fd(::open("/dev/zero", O_RDONLY | O_CLOEXEC)));
  Stream busy = open_stream(loop, std::move(pair.a));
  fill(pair.b.get());
  std::uint64_t of_zero = 0, of_busy = 0;
  REQUIRE(pool.spawn(loop, zero, of_zero));
  REQUIRE(pool.spawn(loop, busy, of_busy));
  for (std::uint64_t turn = 1; turn <= 20; ++turn) {
    REQUIRE(loop.run_once(0ns));
    CHECK(of_zero <= turn * mote::limits::operations_per_step);
    CHECK(of_busy <= turn * mote::limits::operations_per_step);
    CHECK(of_zero >= turn);
    CHECK(of_busy >= turn);
  }
  test::Pair other = test::socket_pair();
  Stream quiet = open_stream(loop, std::move(other.a));
  char bytes[8];
  Running reading(loop, [&] { return quiet.read(bytes); });
  REQUIRE(loop.run_once(0ns));
  test::send_text(other.b.get(), "x");
  REQUIRE(loop.run_once(0ns));  // the event
  REQUIRE(loop.run_once(0ns));  // the step
  CHECK(reading.done());
}

ON_BOTH_SELECTORS("streams: to read or write exactly nothing completes at once") {
  test::Loop<S> loop;
  test::Pair pair = test::socket_pair();
  Stream stream = open_stream(loop, std::move(pair.a));
  REQUIRE(test::send_text(pair.b.get(), "x") == 1);
  char bytes[8];
  CHECK(*await(loop, [&] { return stream.read(bytes); }) == 1);  // a short read: the next one would wait
  mote::ByteSpan nothing;
  CHECK(await(loop, [&] { return stream.read_exactly(nothing); }));
}
