// SPDX-License-Identifier: MIT
// Rooms: io/stream.hpp, reactor/descriptor_table.hpp.
// TCP streams that mote has accepted or connected: with epoll they are edge-triggered. In all cases all bytes come, in
// order, and none is stuck until the next one arrives. With poll the results are the same.
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>

#include <algorithm>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "support/child.hpp"
#include "support/operations.hpp"

using mote::ByteSpan;
using mote::ByteView;
using mote::Endpoint;
using mote::Fd;
using mote::Interest;
using mote::Listener;
using mote::Readiness;
using mote::Result;
using mote::Stream;
using namespace std::chrono_literals;
using test::await;
using test::error_of;
using test::read_some;
using test::run_until;
using test::Running;

namespace {

// The byte at a place of an endless text, which is never the urgent byte '!'.
unsigned char pattern(std::size_t place) {
  const auto byte = static_cast<unsigned char>(place * 7 + place / 251);
  return byte == '!' ? '?' : byte;
}
std::string pattern_text(std::size_t from, std::size_t size) {
  std::string text(size, '\0');
  for (std::size_t i = 0; i < size; ++i) text[i] = static_cast<char>(pattern(from + i));
  return text;
}

// A connection: a stream of the loop's own making, and the peer's descriptor, which is closed with an RST, so that
// thousands of them leave nothing behind.
struct Link {
  Stream stream;
  Fd peer;
  Link() = default;
  Link(Link&&) = default;
  Link& operator=(Link&&) = default;
  ~Link() { reset(); }
  void reset() {
    const linger hard{1, 0};
    if (peer) ::setsockopt(peer.get(), SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
    peer.close();
  }
  void send(const std::string& text) const {
    REQUIRE(::send(peer.get(), text.data(), text.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(text.size()));
  }
  void send_urgent() const { REQUIRE(::send(peer.get(), "!", 1, MSG_OOB | MSG_NOSIGNAL) == 1); }
  void end() const { REQUIRE(::shutdown(peer.get(), SHUT_WR) == 0); }
};

// Makes them, in both ways.
struct Maker {
  explicit Maker(mote::Reactor& of) : reactor(of) {
    REQUIRE(listener.open(reactor, *Endpoint::parse("127.0.0.1:0")));
    address = *listener.local_endpoint();
    raw = Fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    raw_address = *Endpoint::parse("127.0.0.1:0");
    socklen_t size = Endpoint::capacity;
    REQUIRE(::bind(raw.get(), raw_address.address(), raw_address.size()) == 0);
    REQUIRE(::listen(raw.get(), 64) == 0);
    REQUIRE(::getsockname(raw.get(), raw_address.address(), &size) == 0);
  }
  Link accepted() {
    Link link;
    link.peer = Fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    REQUIRE(::connect(link.peer.get(), address.address(), address.size()) == 0);
    Result<Stream> stream = await(reactor, [this] { return listener.accept(); });
    REQUIRE(stream);
    link.stream = std::move(*stream);
    return no_delay(std::move(link));
  }
  Link connected() {
    Link link;
    REQUIRE(error_of(await(reactor, [&] { return link.stream.connect(raw_address); })) == 0);
    link.peer = Fd(::accept4(raw.get(), nullptr, nullptr, SOCK_CLOEXEC));
    REQUIRE(link.peer);
    return no_delay(std::move(link));
  }
  Link make(bool accept) { return accept ? accepted() : connected(); }
  static Link no_delay(Link link) {
    const int on = 1;
    REQUIRE(::setsockopt(link.peer.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) == 0);
    return link;
  }
  mote::Reactor& reactor;
  Listener listener;
  Endpoint address, raw_address;
  Fd raw;
};

// A task that reads all that comes into `text`, and says how it ended.
struct Reader : mote::StateMachine {
  Stream& stream;
  std::string& text;
  std::size_t size;  // of its buffer
  int& ended;        // -1: not yet; 0: by the end of the stream; else an errno value
  char bytes[4096];
  Result<std::size_t> got;
  Reader(Stream& s, std::string& t, std::size_t n, int& e) : stream(s), text(t), size(n), ended(e) {}
  mote::Step step() {
    MOTE_BEGIN();
    for (;;) {
      MOTE_AWAIT(got, stream.read(ByteSpan(bytes, size)));
      if (!got || *got == 0) {
        ended = error_of(got);
        return mote::done();
      }
      text.append(bytes, *got);
    }
    MOTE_END();
  }
};
struct Reading {
  Reading(mote::Reactor& reactor, Stream& stream, std::size_t buffer = 4096) {
    Result<mote::TaskHandle> spawned = pool.spawn(reactor, stream, text, buffer, ended);
    REQUIRE(spawned);
    handle = std::move(*spawned);
  }
  std::string text;
  int ended = -1;
  mote::TaskPool<Reader, 1> pool;
  mote::TaskHandle handle;
};

// Writes `size` bytes of the pattern, in portions.
struct Writer : mote::StateMachine {
  Stream& stream;
  std::size_t size, portion;
  std::size_t sent = 0;
  int& ended;
  std::string bytes;
  ByteView view;
  Result<void> result;
  Writer(Stream& s, std::size_t n, std::size_t p, int& e) : stream(s), size(n), portion(p), ended(e) {}
  mote::Step step() {
    MOTE_BEGIN();
    while (sent < size) {
      bytes = pattern_text(sent, portion < size - sent ? portion : size - sent);
      view = bytes;
      MOTE_AWAIT(result, stream.write_all(view));
      if (!result) {
        ended = error_of(result);
        return mote::done();
      }
      sent += bytes.size();
    }
    ended = 0;
    MOTE_END();
  }
};

// As run_until(), but never waits: for peers that are to be called all the time.
template <class Condition> bool hurry(mote::Reactor& reactor, Condition&& condition) {
  for (const mote::Instant end = mote::Clock::now() + 30s; !condition();)
    if (mote::Clock::now() > end || !reactor.run_once(0ns)) return false;
  return true;
}

std::string without_urgent(const std::string& text) {
  std::string rest;
  for (const char c : text)
    if (c != '!') rest += c;
  return rest;
}

// So that neither end takes more than some 100 kB before the peer reads, however fast it was before.
void limit_room(Link& link) {
  const int size = 200'000;
  REQUIRE(link.stream.set_option(SOL_SOCKET, SO_SNDBUF, size));
  REQUIRE(::setsockopt(link.peer.get(), SOL_SOCKET, SO_RCVBUF, &size, sizeof size) == 0);
}

// Everything that has come at the peer, as far as it is there now.
std::string take(const Fd& fd, std::size_t most = SIZE_MAX) {
  std::string taken;
  char bytes[65536];
  while (taken.size() < most) {
    const std::size_t left = most - taken.size();
    const ssize_t n = ::recv(fd.get(), bytes, left < sizeof bytes ? left : sizeof bytes, MSG_DONTWAIT);
    if (n <= 0) break;
    taken.append(bytes, static_cast<std::size_t>(n));
  }
  return taken;
}

}  // namespace

// --- what comes ------------------------------------------------------------------------------------------------------

// Every order of data, urgent bytes and turns in which the task reads. An urgent byte that is not taken before the next
// one comes is left in the stream by the kernel; else it is not in it.
ON_BOTH_SELECTORS("edges: urgent data in the midst of a stream neither loses nor delays what is around it") {
  test::Loop<S> loop;
  Maker maker(loop);
  constexpr int length = 6;
  int sequence = 0;
  for (int code = 0; code < 729; ++code) {
    for (const std::size_t buffer : {std::size_t{1}, std::size_t{2}, std::size_t{3}, std::size_t{64}}) {
      CAPTURE(code);
      CAPTURE(buffer);
      Link link = maker.make(++sequence % 2 == 0);
      Reading reading(loop, link.stream, buffer);
      std::string sent;
      int rest = code;  // each of its digits to the base of three is a step
      for (int i = 0; i < length; ++i) {
        const int step = rest % 3;
        rest /= 3;
        if (step == 0) {
          const std::string text = pattern_text(sent.size() + 40, 3);
          link.send(text);
          sent += text;
        } else if (step == 1) {
          link.send_urgent();
        } else {
          test::turns(loop, 3);
        }
      }
      REQUIRE(run_until(
          loop, [&] { return without_urgent(reading.text).size() >= sent.size(); }, 5s));
      CHECK(without_urgent(reading.text) == sent);
      link.send("and");
      sent += "and";
      link.end();
      REQUIRE(run_until(
          loop, [&] { return reading.ended >= 0; }, 5s));
      CHECK(without_urgent(reading.text) == sent);
      CHECK(reading.ended == 0);
    }
  }
}

ON_BOTH_SELECTORS("edges: urgent data that ready() tells of is taken, and reading goes on before and behind it") {
  test::Loop<S> loop;
  Maker maker(loop);
  for (const bool accept : {true, false}) {
    Link link = maker.make(accept);
    link.send("before");
    CHECK(read_some(loop, link.stream) == "before");
    for (int i = 0; i < 3; ++i) {
      CAPTURE(i);
      Running urgent(loop, [&] { return link.stream.ready(Interest::priority); });
      if (i != 1) test::turns(loop);
      link.send_urgent();
      CHECK(mote::any(*urgent.finish() & Readiness::priority));
      char byte = 0;
      CHECK(::recv(link.stream.fd(), &byte, 1, MSG_OOB) == 1);
      CHECK(byte == '!');
      link.send("behind");
      CHECK(read_some(loop, link.stream) == "behind");
      CHECK(test::comes_to_rest(loop));
    }
  }
}

ON_BOTH_SELECTORS("edges: urgent data without any other wakes nobody who reads, and does not spin") {
  test::Loop<S> loop;
  Maker maker(loop);
  Link link = maker.accepted();
  Reading reading(loop, link.stream);
  test::turns(loop);
  link.send_urgent();
  CHECK(test::comes_to_rest(loop));
  CHECK(reading.ended == -1);
  CHECK(reading.text.empty());
  link.send("x");
  REQUIRE(run_until(loop, [&] { return reading.text == "x"; }));
  CHECK(test::comes_to_rest(loop));
}

// With data, FIN or both there before, between and after the reads.
ON_BOTH_SELECTORS("edges: data and the end of the stream, together or one after the other, are both read") {
  test::Loop<S> loop;
  Maker maker(loop);
  for (const std::size_t buffer : {1u, 2u, 3u, 4u, 4096u}) {
    for (int order = 0; order < 8; ++order) {
      CAPTURE(buffer);
      CAPTURE(order);
      Link link = maker.make(order % 2 == 0);
      Reading reading(loop, link.stream, buffer);
      if ((order & 2) != 0) test::turns(loop);  // it waits already
      link.send("abc");
      if ((order & 4) != 0) test::turns(loop);  // it has read what there is
      link.end();
      REQUIRE(run_until(loop, [&] { return reading.ended >= 0; }));
      CHECK(reading.ended == 0);
      CHECK(reading.text == "abc");
      CHECK(test::comes_to_rest(loop));
      CHECK(read_some(loop, link.stream).empty());  // again
    }
  }
}

ON_BOTH_SELECTORS("edges: a reset with data pending: the data, then ECONNRESET, then the end") {
  test::Loop<S> loop;
  Maker maker(loop);
  for (int order = 0; order < 8; ++order) {
    CAPTURE(order);
    Link link = maker.make(order % 2 == 0);
    char bytes[2];
    if ((order & 2) != 0) {
      link.send("x");
      CHECK(read_some(loop, link.stream) == "x");
    }
    Running first(loop, [&] { return link.stream.read(bytes); });
    if ((order & 4) != 0) test::turns(loop);
    link.send("abc");
    link.reset();
    CHECK(*first.finish() == 2);
    CHECK(read_some(loop, link.stream) == "c");
    CHECK(read_some(loop, link.stream) == "errno 104");
    CHECK(read_some(loop, link.stream).empty());
    CHECK(test::comes_to_rest(loop));
  }
}

ON_BOTH_SELECTORS("edges: the peer has ended its direction, and is written to all the same") {
  test::Loop<S> loop;
  Maker maker(loop);
  for (const bool accept : {true, false}) {
    Link link = maker.make(accept);
    Reading reading(loop, link.stream);
    link.send("request");
    link.end();
    REQUIRE(run_until(loop, [&] { return reading.ended == 0; }));
    int ended = -1;
    mote::TaskPool<Writer, 1> writers;
    constexpr std::size_t size = 20'000'000;
    REQUIRE(writers.spawn(loop, link.stream, size, std::size_t{1'000'000}, ended));
    std::string got;
    REQUIRE(hurry(loop, [&] {
      got += take(link.peer);
      return got.size() == size;
    }));
    CHECK(ended == 0);
    CHECK(got == pattern_text(0, size));
    CHECK(test::comes_to_rest(loop));
  }
}

// --- which task reads, and when --------------------------------------------------------------------------------------

ON_BOTH_SELECTORS("edges: a reader that comes late gets what came while nobody waited, after one event or several") {
  test::Loop<S> loop;
  Maker maker(loop);
  for (int events = 1; events <= 3; ++events) {
    for (const bool waited_before : {false, true}) {
      CAPTURE(events);
      CAPTURE(waited_before);
      Link link = maker.make(events % 2 == 0);
      if (waited_before) {
        Running before(loop, [&, b = std::array<char, 8>()]() mutable { return link.stream.read(b); });
        test::turns(loop);
        link.send("x");
        CHECK(*before.finish() == 1);
      }
      std::string sent;
      for (int i = 0; i < events; ++i) {
        link.send("part");
        sent += "part";
        test::turns(loop);
      }
      CHECK(test::turns(loop) == 0);  // it is not told again and again
      CHECK(read_some(loop, link.stream) == sent);
      if (events == 2) link.end();
      test::turns(loop);
      if (events == 2) CHECK(read_some(loop, link.stream).empty());
    }
  }
}

ON_BOTH_SELECTORS("edges: a late reader of many parts, in small portions, gets all, and then waits") {
  test::Loop<S> loop;
  Maker maker(loop);
  Link link = maker.accepted();
  const std::string sent = pattern_text(0, 3000);
  for (std::size_t at = 0; at < sent.size(); at += 100) {
    link.send(sent.substr(at, 100));
    test::turns(loop, 1);
  }
  Reading reading(loop, link.stream, 7);
  REQUIRE(run_until(loop, [&] { return reading.text.size() == sent.size(); }));
  CHECK(reading.text == sent);
  CHECK(test::comes_to_rest(loop));
  CHECK(reading.ended == -1);
}

// In three ways, and with data at each point of it: 0: just before it leaves; 1: just after; 2: after some turns;
// 3: when it has come back. What it reads all in all is what was sent.
ON_BOTH_SELECTORS("edges: a reader that leaves, by whatever way, and comes back loses nothing and does not hang") {
  test::Loop<S> loop;
  Maker maker(loop);
  for (int way = 0; way < 3; ++way) {
    for (int when = 0; when < 16; ++when) {
      CAPTURE(way);
      CAPTURE(when);
      Link link = maker.make(when % 2 == 0);
      std::string sent, got;
      const auto send_at = [&](int point) {
        if ((when >> point & 1) != 0) {
          link.send("abc");
          sent += "abc";
        }
      };
      for (int round = 0; round < 3; ++round) {
        char bytes[64];
        mote::TaskTimer timer;
        mote::Event event;
        const auto note = [&](const Result<std::size_t>& n) {
          if (n) got.append(bytes, *n);
          return error_of(n);
        };
        if (way == 0) {
          Running reading(loop, [&] { return link.stream.read(bytes); });
          test::turns(loop, 2);
          send_at(0);
          reading.cancel();
          CHECK(note(reading.finish()) == ECANCELED);
        } else if (way == 1) {
          Running reading(loop, [&] { return mote::with_timeout(timer, 100us, link.stream.read(bytes)); });
          test::turns(loop, 1);
          send_at(0);
          const int error = note(reading.finish());
          CHECK((error == 0 || error == ETIMEDOUT));
        } else {
          Running reading(loop, [&] { return mote::first_of(link.stream.read(bytes), event.wait()); });
          test::turns(loop, 2);
          event.set();
          send_at(0);
          auto first = std::move(reading.finish());
          REQUIRE(first);
          if (first->which == 0) note(std::get<0>(first->results));
        }
        send_at(1);
        test::turns(loop, round);
        send_at(2);
        test::turns(loop, round % 2);
        if (got.size() == sent.size()) {  // it waits first
          Running again(loop, [&] { return link.stream.read(bytes); });
          test::turns(loop);
          REQUIRE_FALSE(again.done());
          link.send("d");
          sent += "d";
          CHECK(note(again.finish()) == 0);
        }
        send_at(3);
        while (got.size() < sent.size()) {
          const std::string some = read_some(loop, link.stream);
          REQUIRE(some.rfind("errno", 0) != 0);
          REQUIRE_FALSE(some.empty());
          got += some;
        }
        REQUIRE(got == sent);
      }
      CHECK(test::comes_to_rest(loop));
    }
  }
}

ON_BOTH_SELECTORS("edges: one task reads after another, which has left, ended, or still holds the stream") {
  test::Loop<S> loop;
  Maker maker(loop);
  for (int how = 0; how < 6; ++how) {
    CAPTURE(how);
    Link link = maker.make(how % 2 == 0);
    char bytes[8], other[8];
    Running first(loop, [&] { return link.stream.read(bytes); });
    test::turns(loop);
    if (how < 2) {
      first.cancel();
      CHECK(error_of(first.finish()) == ECANCELED);
    } else if (how < 4) {
      link.send("x");
      CHECK(*first.finish() == 1);
    } else {
      Running refused(loop, [&] { return link.stream.read(other); });
      CHECK(error_of(refused.finish()) == EBUSY);
      link.send("first");
      CHECK(*first.finish() == 5);
    }
    Running second(loop, [&] { return link.stream.read(other); });
    test::turns(loop);
    CHECK_FALSE(second.done());
    link.send("second");
    CHECK(*second.finish() == 6);
    CHECK(test::comes_to_rest(loop));
  }
}

// Two tasks read in turn: each hands the stream, by value, to the next.
ON_BOTH_SELECTORS("edges: a stream is moved from task to task, while data comes and while it does not") {
  test::Loop<S> loop;
  Maker maker(loop);
  Link link = maker.accepted();
  Stream a = std::move(link.stream), b;
  std::string sent, got;
  for (int i = 0; i < 40; ++i) {
    Stream& from = i % 2 == 0 ? a : b;
    Stream& to = i % 2 == 0 ? b : a;
    char bytes[3];
    Running reading(loop, [&] { return from.read(bytes); });
    if (i % 3 != 0) test::turns(loop, i % 4);
    if (got.size() == sent.size()) {
      const std::string text = pattern_text(sent.size(), static_cast<std::size_t>(i % 7) + 1);
      link.send(text);
      sent += text;
    }
    const Result<std::size_t> n = reading.finish();
    REQUIRE(n);
    got.append(bytes, *n);
    to = std::move(from);
    CHECK_FALSE(from.is_open());
  }
  CHECK(got == sent.substr(0, got.size()));
}

// --- full duplex -----------------------------------------------------------------------------------------------------

ON_BOTH_SELECTORS("edges: full duplex: two tasks write and read megabytes through full buffers, byte for byte") {
  test::Loop<S> loop;
  Maker maker(loop);
  for (const bool accept : {true, false}) {
    Link link = maker.make(accept);
    REQUIRE(link.stream.set_option(SOL_SOCKET, SO_SNDBUF, 30'000));
    Reading reading(loop, link.stream, 1000);
    constexpr std::size_t size = 3'000'000;
    int ended = -1;
    mote::TaskPool<Writer, 1> writers;
    REQUIRE(writers.spawn(loop, link.stream, size, std::size_t{300'000}, ended));
    std::string got;
    std::size_t sent = 0;
    std::minstd_rand random(7);
    const auto peer = [&] {  // takes and gives now and then, a bit more or less
      if (random() % 2 == 0) got += take(link.peer, random() % 300'000);
      if (random() % 3 == 0 && sent < size) {
        std::string text = pattern_text(sent, std::min<std::size_t>(random() % 20'000 + 1, size - sent));
        const ssize_t n = ::send(link.peer.get(), text.data(), text.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n > 0) sent += static_cast<std::size_t>(n);
        if (sent == size) link.end();
      }
    };
    REQUIRE(hurry(loop, [&] {
      peer();
      return got.size() == size && reading.ended >= 0;
    }));
    CHECK(ended == 0);
    CHECK(reading.ended == 0);
    CHECK((got == pattern_text(0, size)));
    CHECK((reading.text == pattern_text(0, size)));
    CHECK(test::comes_to_rest(loop));
  }
}

ON_BOTH_SELECTORS("edges: a writer waits for room several times, also where it was given up in between") {
  test::Loop<S> loop;
  Maker maker(loop);
  Link link = maker.connected();
  limit_room(link);
  std::size_t at = 0;
  std::string got;
  for (int round = 0; round < 6; ++round) {
    CAPTURE(round);
    const std::string text = pattern_text(at, 3'000'000);
    ByteView view = text;
    Running writing(loop, [&] { return link.stream.write_all(view); });
    CHECK(test::comes_to_rest(loop));
    REQUIRE_FALSE(writing.done());
    if (round % 2 == 1) {
      writing.cancel();
      CHECK(error_of(writing.finish()) == ECANCELED);
      if (round == 3) {  // there is room again while nobody waits
        got += take(link.peer);
        test::turns(loop);
      }
    } else {
      REQUIRE(hurry(loop, [&] {
        got += take(link.peer);
        return writing.done();
      }));
      CHECK(error_of(writing.result) == 0);
    }
    at += text.size() - view.size();
    REQUIRE(hurry(loop, [&] {
      got += take(link.peer);
      return got.size() == at;
    }));
  }
  CHECK((got == pattern_text(0, at)));
}

// --- level-triggered streams and handlers ----------------------------------------------------------------------------

ON_BOTH_SELECTORS("edges: ready() tells of what was left unread again and again, and then read() goes on") {
  test::Loop<S> loop;
  Maker maker(loop);
  for (const bool read_before : {true, false}) {
    Link link = maker.make(read_before);
    Reading reading(loop, link.stream);
    if (read_before) {
      test::turns(loop);
      link.send("x");
      REQUIRE(run_until(loop, [&] { return reading.text == "x"; }));
    }
    reading.handle.cancel();
    REQUIRE(run_until(loop, [&] { return reading.ended == ECANCELED; }));
    link.send("abcdefgh");
    for (int i = 0; i < 6; ++i) {
      CHECK(mote::any(*await(loop, [&] { return link.stream.ready(Interest::read); }) & Readiness::readable));
      if (i % 2 == 0) {
        char byte;
        CHECK(::recv(link.stream.fd(), &byte, 1, MSG_DONTWAIT) == 1);
        CHECK(byte == "aabbcc"[i]);
      }
    }
    CHECK(read_some(loop, link.stream) == "defgh");
    Running again(loop, [&, b = std::array<char, 8>()]() mutable { return link.stream.read(b); });
    test::turns(loop);
    CHECK_FALSE(again.done());
    link.send("yz");
    CHECK(*again.finish() == 2);
    // Left unread by somebody else, while a task reads.
    Running more(loop, [&, b = std::array<char, 2>()]() mutable { return link.stream.read(b); });
    test::turns(loop);
    link.send("12345");
    CHECK(*more.finish() == 2);
    CHECK(read_some(loop, link.stream) == "345");
    CHECK(test::comes_to_rest(loop));
  }
}

ON_BOTH_SELECTORS("edges: ready() for writing tells of room, also after write_all() filled it, and beside a reader") {
  test::Loop<S> loop;
  Maker maker(loop);
  Link link = maker.accepted();
  limit_room(link);
  Reading reading(loop, link.stream);
  test::turns(loop);
  CHECK(mote::any(*await(loop, [&] { return link.stream.ready(Interest::write); }) & Readiness::writable));
  const std::string text = pattern_text(0, 3'000'000);
  ByteView view = text;
  Running writing(loop, [&] { return link.stream.write_all(view); });
  CHECK(test::comes_to_rest(loop));
  writing.cancel();
  CHECK(error_of(writing.finish()) == ECANCELED);
  Running room(loop, [&] { return link.stream.ready(Interest::write); });
  test::turns(loop);
  if (room.done()) CHECK(mote::any(*room.result & Readiness::writable));  // a hint of what was once
  link.send("abc");
  REQUIRE(run_until(loop, [&] { return reading.text == "abc"; }));
  std::size_t got = 0;
  REQUIRE(hurry(loop, [&] {
    got += take(link.peer).size();
    return got == text.size() - view.size();
  }));
  CHECK(mote::any(*room.finish() & Readiness::writable));
  link.send("def");
  REQUIRE(run_until(loop, [&] { return reading.text == "abcdef"; }));
  CHECK(test::comes_to_rest(loop));
}

ON_BOTH_SELECTORS("edges: watched after tasks have read and written, a stream tells of what is left again and again") {
  test::Loop<S> loop;
  Maker maker(loop);
  for (const bool accept : {true, false}) {
    Link link = maker.make(accept);
    Running reading(loop, [&, b = std::array<char, 2>()]() mutable { return link.stream.read(b); });
    test::turns(loop);
    test::Recorder recorder;
    CHECK(error_of(link.stream.watch(Interest::read, recorder)) == EBUSY);
    link.send("abcdef");
    CHECK(*reading.finish() == 2);
    if (accept) test::turns(loop);
    REQUIRE(error_of(link.stream.watch(Interest::read, recorder)) == 0);
    REQUIRE(run_until(loop, [&] { return recorder.calls >= 3; }));
    CHECK(mote::any(recorder.last & Readiness::readable));
    char bytes[8];
    CHECK(*link.stream.try_read(ByteSpan(bytes, 1)) == 1);
    const int calls = recorder.calls;
    REQUIRE(run_until(loop, [&] { return recorder.calls >= calls + 3; }));
    CHECK(*link.stream.try_read(bytes) == 3);
    CHECK(test::comes_to_rest(loop));
    CHECK(error_of(link.stream.try_read(bytes)) == EAGAIN);
    link.send("gh");
    REQUIRE(run_until(loop, [&] { return *loop.run_once(0ns) != 0; }));
    CHECK(*link.stream.try_read(bytes) == 2);
    REQUIRE(link.stream.watch(Interest::read | Interest::write, recorder));
    REQUIRE(run_until(loop, [&] { return mote::any(recorder.last & Readiness::writable); }));
    REQUIRE(link.stream.watch(Interest::none, recorder));
    CHECK(test::comes_to_rest(loop));
    // A task finds the handler there.
    CHECK(read_some(loop, link.stream) == "errno " + std::to_string(EBUSY));
    static_cast<void>(await(loop, [&] { return link.stream.ready(Interest::read); }));  // a hint of what was once
    CHECK(error_of(await(loop, [&] { return link.stream.ready(Interest::read); })) == EBUSY);
  }
}

ON_BOTH_SELECTORS(
    "edges: one who waits keeps out a second one and a handler, in each direction, and is not disturbed") {
  test::Loop<S> loop;
  Maker maker(loop);
  Link link = maker.accepted();
  test::Recorder recorder;
  char bytes[8];
  limit_room(link);
  Running reading(loop, [&] { return link.stream.read(bytes); });
  const std::string text = pattern_text(0, 3'000'000), little = "x";
  ByteView view = text, other = little;
  Running writing(loop, [&] { return link.stream.write_all(view); });
  CHECK(test::comes_to_rest(loop));
  CHECK(error_of(await(loop, [&, b = std::array<char, 8>()]() mutable { return link.stream.read(b); })) == EBUSY);
  CHECK(error_of(await(loop, [&] { return link.stream.ready(Interest::read); })) == EBUSY);
  CHECK(error_of(await(loop, [&] { return link.stream.write_all(other); })) == EBUSY);
  CHECK(other.size() == 1);
  CHECK(error_of(link.stream.watch(Interest::read, recorder)) == EBUSY);
  link.send("abc");
  CHECK(*reading.finish() == 3);
  CHECK(error_of(link.stream.watch(Interest::read, recorder)) == EBUSY);  // the writer
  REQUIRE(hurry(loop, [&] {
    take(link.peer);
    return writing.done();
  }));
  CHECK(error_of(link.stream.watch(Interest::read, recorder)) == 0);
  CHECK(recorder.calls == 0);
}

// --- the selector made anew ------------------------------------------------------------------------------------------

ON_BOTH_SELECTORS("edges: a ghost's rebuild of the selector loses no edge, of who waits or of who comes later") {
  test::Loop<S> loop;
  Maker maker(loop);
  for (int order = 0; order < 8; ++order) {
    CAPTURE(order);
    Link waiting = maker.accepted(), late = maker.connected(), ghost = maker.accepted();
    const std::uint32_t rebuilds = loop.stats().selector_rebuilds;
    Reading reading(loop, waiting.stream);
    {
      Running armed(loop, [&, b = std::array<char, 8>()]() mutable { return late.stream.read(b); });
      Running ghostly(loop, [&, b = std::array<char, 8>()]() mutable { return ghost.stream.read(b); });
      test::turns(loop);
    }
    const Fd duplicate(::dup(ghost.stream.fd()));
    ghost.stream.close();
    if ((order & 1) != 0) waiting.send("before");
    if ((order & 2) != 0) late.send("before");
    ghost.send("boo");
    if ((order & 4) != 0) test::turns(loop);
    waiting.send("after");
    late.send("after");
    const std::string all = (order & 1) != 0 ? "beforeafter" : "after";
    REQUIRE(run_until(loop, [&] { return reading.text == all; }));
    test::turns(loop);
    CHECK(read_some(loop, late.stream) == ((order & 2) != 0 ? "beforeafter" : "after"));
    CHECK(loop.stats().selector_rebuilds == rebuilds + (loop.pollable_descriptor() >= 0 ? 1u : 0u));
    waiting.end();
    REQUIRE(run_until(loop, [&] { return reading.ended == 0; }));
    CHECK(test::comes_to_rest(loop));
  }
}

ON_BOTH_SELECTORS("edges: a forked child goes on with the streams that it has inherited") {
  test::Loop<S> loop;
  Maker maker(loop);
  Link waiting = maker.accepted(), late = maker.connected();
  Reading reading(loop, waiting.stream);
  {
    Running armed(loop, [&, b = std::array<char, 8>()]() mutable { return late.stream.read(b); });
    test::turns(loop);
  }
  waiting.send("one");
  late.send("two");  // not seen by the parent
  test::Child child([&] {
    test::Verdict verdict;
    EXPECT(verdict, loop.after_fork_in_child());
    EXPECT(verdict, run_until(loop, [&] { return reading.text == "one"; }));
    char bytes[8];
    Running later(loop, [&] { return late.stream.read(bytes); });
    EXPECT(verdict, run_until(loop, [&] { return later.done(); }));
    EXPECT(verdict, later.result && *later.result == 3);
    EXPECT(verdict, ::send(waiting.peer.get(), "more", 4, 0) == 4);
    EXPECT(verdict, run_until(loop, [&] { return reading.text == "onemore"; }));
    EXPECT(verdict, test::comes_to_rest(loop));
    return verdict.exit_code();
  });
  CHECK(child.join() == 0);
}

template <class S> struct SmallBatch : S::template Config<40> { static constexpr std::size_t batch = 2; };
// What does not fit into one batch is not forgotten by the kernel, though it was told of only once.
ON_BOTH_SELECTORS("edges: a batch smaller than what is ready: each stream's one event comes all the same") {
  mote::StaticReactor<SmallBatch<S>> loop;
  REQUIRE(loop.open());
  Maker maker(loop);
  constexpr std::size_t count = 20;
  std::vector<Link> links(count);
  std::vector<std::unique_ptr<Reading>> readings;
  for (Link& link : links) {
    link = maker.connected();
    readings.push_back(std::make_unique<Reading>(loop, link.stream));
  }
  test::turns(loop);
  for (std::size_t round = 1; round <= 5; ++round) {
    for (const Link& link : links) link.send("abc");
    for (std::size_t i = 0; i < count; ++i)
      REQUIRE(run_until(loop, [&] { return readings[i]->text.size() == round * 3; }));
  }
  readings.clear();
}

// --- amounts ---------------------------------------------------------------------------------------------------------

ON_BOTH_SELECTORS("edges: SO_RCVLOWAT: whoever waits is woken when so much is there, or the end, and all is read") {
  test::Loop<S> loop;
  Maker maker(loop);
  for (const std::size_t buffer : {1u, 4u, 10u, 4096u}) {
    CAPTURE(buffer);
    Link link = maker.make(buffer % 4 == 0);
    REQUIRE(link.stream.set_option(SOL_SOCKET, SO_RCVLOWAT, 10));
    Reading reading(loop, link.stream, buffer);
    CHECK(test::comes_to_rest(loop));
    link.send("12345");
    CHECK(test::comes_to_rest(loop));
    CHECK(reading.text.empty());
    link.send("67890");
    REQUIRE(run_until(loop, [&] { return reading.text == "1234567890"; }));
    link.send("abc");
    CHECK(test::comes_to_rest(loop));
    CHECK(reading.text.size() == 10);
    REQUIRE(link.stream.set_option(SOL_SOCKET, SO_RCVLOWAT, 1));  // which tells of what is there
    REQUIRE(run_until(loop, [&] { return reading.text.size() == 13; }));
    REQUIRE(link.stream.set_option(SOL_SOCKET, SO_RCVLOWAT, 10));
    link.send("d");
    link.end();
    REQUIRE(run_until(loop, [&] { return reading.ended == 0; }));
    CHECK(reading.text == "1234567890abcd");
  }
}

ON_BOTH_SELECTORS("edges: buffers of one byte, of one less, as many and one more than what comes") {
  test::Loop<S> loop;
  Maker maker(loop);
  for (const std::size_t size : {1u, 2u, 99u, 100u, 101u, 4096u}) {
    CAPTURE(size);
    Link link = maker.make(size % 2 == 0);
    Reading reading(loop, link.stream, size);
    for (std::size_t i = 0; i < 5; ++i) {
      link.send(pattern_text(i * 100, 100));
      REQUIRE(run_until(loop, [&] { return reading.text.size() == (i + 1) * 100; }));
      CHECK(test::comes_to_rest(loop));
    }
    CHECK(reading.text == pattern_text(0, 500));
    link.end();
    REQUIRE(run_until(loop, [&] { return reading.ended == 0; }));
  }
}

struct Lines : mote::StateMachine {
  Stream& stream;
  std::string& text;
  int& ended;
  mote::LineReader<16> reader;
  Result<ByteView> line;
  char four[4];
  ByteSpan rest;
  Result<void> filled;
  Lines(Stream& s, std::string& t, int& e) : stream(s), text(t), ended(e) {}
  mote::Step step() {
    MOTE_BEGIN();
    for (;;) {
      rest = four;
      MOTE_AWAIT(filled, stream.read_exactly(rest));
      if (!filled) {
        ended = error_of(filled);
        return mote::done();
      }
      text.append(four, 4);
      text += '|';
      do {
        MOTE_AWAIT(line, reader.read_line(stream));
        if (!line) {
          ended = error_of(line);
          return mote::done();
        }
        text.append(reinterpret_cast<const char*>(line->data()), line->size());
        text += ';';
      } while (line->size() != 0);
    }
    MOTE_END();
  }
};
ON_BOTH_SELECTORS("edges: exact reads and lines, in every division of what comes into two or three parts") {
  test::Loop<S> loop;
  Maker maker(loop);
  const std::string all = "ABCDone\ntwo\r\nthree is it\n\n";
  for (std::size_t i = 0; i < all.size(); ++i) {
    for (std::size_t j = i; j < all.size(); j += 5) {
      Link link = maker.make((i + j) % 2 == 0);
      std::string text;
      int ended = -1;
      mote::TaskPool<Lines, 1> pool;
      REQUIRE(pool.spawn(loop, link.stream, text, ended));
      test::turns(loop, 2);
      for (const std::string& part : {all.substr(0, i), all.substr(i, j - i), all.substr(j)}) {
        if (!part.empty()) link.send(part);
        test::turns(loop, 2);
      }
      REQUIRE(run_until(loop, [&] { return text == "ABCD|one;two;three is it;;"; }));
      link.end();
      REQUIRE(run_until(loop, [&] { return ended == ENODATA; }));
    }
  }
}

// The kernel ends a read at a message with descriptors: a short one does not say that nothing is left. Such sockets,
// and any other descriptor that is adopted, are level-triggered.
ON_BOTH_SELECTORS(
    "edges: a Unix socket whose reads end short amid the data, at descriptors that are passed, does not hang") {
  test::Loop<S> loop;
  for (const bool waits : {false, true}) {
    test::Pair pair = test::socket_pair();
    Stream stream = test::open_stream(loop, std::move(pair.a));
    Reading reading(loop, stream);
    if (waits) test::turns(loop);
    for (const char* const text : {"abc", "def", "ghi"}) {
      iovec vector{const_cast<char*>(text), 3};
      alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
      msghdr message{};
      message.msg_iov = &vector;
      message.msg_iovlen = 1;
      message.msg_control = control;
      message.msg_controllen = sizeof control;
      cmsghdr* const header = CMSG_FIRSTHDR(&message);
      header->cmsg_level = SOL_SOCKET;
      header->cmsg_type = SCM_RIGHTS;
      header->cmsg_len = CMSG_LEN(sizeof(int));
      const int passed = pair.b.get();
      ::memcpy(CMSG_DATA(header), &passed, sizeof passed);
      REQUIRE(::sendmsg(pair.b.get(), &message, 0) == 3);
    }
    REQUIRE(run_until(loop, [&] { return reading.text == "abcdefghi"; }));
    CHECK(test::comes_to_rest(loop));
  }
}

// --- the ends of a connection ----------------------------------------------------------------------------------------

ON_BOTH_SELECTORS("edges: released, used by hand and taken over again, a stream goes on, and loses nothing") {
  test::Loop<S> loop;
  Maker maker(loop);
  for (const bool accept : {true, false}) {
    Link link = maker.make(accept);
    Reading first(loop, link.stream);
    test::turns(loop);
    link.send("one");
    REQUIRE(run_until(loop, [&] { return first.text == "one"; }));
    Fd fd = link.stream.release();
    REQUIRE(run_until(loop, [&] { return first.ended == ECANCELED; }));
    link.send("twothree");
    char bytes[3];
    REQUIRE(::recv(fd.get(), bytes, 3, 0) == 3);
    REQUIRE(link.stream.open(loop, std::move(fd)));
    Reading second(loop, link.stream, 2);
    REQUIRE(run_until(loop, [&] { return second.text == "three"; }));
    link.send("four");
    REQUIRE(run_until(loop, [&] { return second.text == "threefour"; }));
    link.end();
    REQUIRE(run_until(loop, [&] { return second.ended == 0; }));
  }
}

ON_BOTH_SELECTORS(
    "edges: a connection that was refused, cancelled or out of time leaves nothing, and the next one works") {
  test::Loop<S> loop;
  Maker maker(loop);
  Fd closed(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));  // bound, and does not listen
  Endpoint refusing = *Endpoint::parse("127.0.0.1:0");
  socklen_t size = Endpoint::capacity;
  REQUIRE(::bind(closed.get(), refusing.address(), refusing.size()) == 0);
  REQUIRE(::getsockname(closed.get(), refusing.address(), &size) == 0);
  Fd full(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  Endpoint silent = *Endpoint::parse("127.0.0.1:0");
  REQUIRE(::bind(full.get(), silent.address(), silent.size()) == 0);
  REQUIRE(::listen(full.get(), 0) == 0);
  size = Endpoint::capacity;
  REQUIRE(::getsockname(full.get(), silent.address(), &size) == 0);
  Fd filler(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  REQUIRE(::connect(filler.get(), silent.address(), silent.size()) == 0);
  for (int round = 0; round < 3; ++round) {
    Link link;
    CHECK(error_of(await(loop, [&] { return link.stream.connect(refusing); })) == ECONNREFUSED);
    CHECK_FALSE(link.stream.is_open());
    {
      Running connecting(loop, [&] { return link.stream.connect(silent); });
      test::turns(loop);
      REQUIRE_FALSE(connecting.done());
      connecting.cancel();
      CHECK(error_of(connecting.finish()) == ECANCELED);
      CHECK_FALSE(link.stream.is_open());
    }
    mote::TaskTimer timer;
    CHECK(error_of(await(loop, [&] { return mote::with_timeout(timer, 1ms, link.stream.connect(silent)); })) ==
          ETIMEDOUT);
    link.stream.close();
    REQUIRE(error_of(await(loop, [&] { return link.stream.connect(maker.raw_address); })) == 0);
    link.peer = Fd(::accept4(maker.raw.get(), nullptr, nullptr, SOCK_CLOEXEC));
    Reading reading(loop, link.stream);
    test::turns(loop);
    link.send("works");
    REQUIRE(run_until(loop, [&] { return reading.text == "works"; }));
    CHECK(test::comes_to_rest(loop));
  }
}

ON_BOTH_SELECTORS("edges: of many that are accepted at once, some with data and some without, each gets its own") {
  test::Loop<S, 300> loop;
  Maker maker(loop);
  constexpr std::size_t count = 100;
  std::vector<Link> links(count);
  std::vector<std::unique_ptr<Reading>> readings;
  for (std::size_t i = 0; i < count; ++i) {
    links[i].peer = Fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    REQUIRE(::connect(links[i].peer.get(), maker.address.address(), maker.address.size()) == 0);
    if (i % 3 == 0) links[i].send(std::to_string(i));
    if (i % 9 == 0) links[i].end();
  }
  for (std::size_t i = 0; i < count; ++i) {
    Result<Stream> stream = await(loop, [&] { return maker.listener.accept(); });
    REQUIRE(stream);
    links[i].stream = std::move(*stream);
    readings.push_back(std::make_unique<Reading>(loop, links[i].stream, 1 + i % 4));
  }
  for (std::size_t i = 0; i < count; ++i)
    if (i % 3 != 0) {
      links[i].send(std::to_string(i));
      links[i].end();
    } else if (i % 9 != 0) links[i].end();
  for (std::size_t i = 0; i < count; ++i) {
    REQUIRE(run_until(loop, [&] { return readings[i]->ended >= 0; }));
    CHECK(readings[i]->ended == 0);
    CHECK(readings[i]->text == std::to_string(i));
  }
  CHECK(test::comes_to_rest(loop));
  readings.clear();
}

// --- generated -------------------------------------------------------------------------------------------------------

namespace {

std::uint64_t from_environment(const char* name, std::uint64_t otherwise) {
  const char* const text = ::getenv(name);
  return text != nullptr ? ::strtoull(text, nullptr, 10) : otherwise;
}

using Random = std::minstd_rand;
bool one_in(Random& random, unsigned n) { return random() % n == 0; }
std::size_t up_to(Random& random, std::size_t n) { return random() % n + 1; }

// A reader may stop waiting at any time and come back: by itself, by a time-out, by first_of(), by a cancellation;
// after a look by ready(); with buffers of all sizes, exactly, and after pauses. It keeps the bytes.
struct Wanderer : mote::StateMachine {
  Stream& stream;
  Random random;
  std::string& text;
  int& ended;
  bool may_look;  // by ready(), after which there are no edges any more
  unsigned char bytes[3000];
  ByteSpan span;
  std::size_t size = 0;
  mote::TaskTimer timer;
  mote::Event never;
  Result<std::size_t> got;
  Result<void> filled;
  Result<Readiness> readiness;
  Result<mote::FirstOf<std::size_t, void>> first;
  Wanderer(Stream& s, unsigned seed, std::string& t, int& e, bool look)
      : stream(s), random(seed), text(t), ended(e), may_look(look) {}
  void keep(std::size_t n) { text.append(reinterpret_cast<const char*>(bytes), n); }
  bool is_over() {  // what one read() has come to
    if (got && *got != 0) {
      keep(*got);
      return false;
    }
    if (!got && (got.error() == ECANCELED || got.error() == ETIMEDOUT)) return false;
    ended = error_of(got);
    return true;
  }
  mote::Step step() {
    MOTE_BEGIN();
    for (;;) {
      size = one_in(random, 3) ? up_to(random, 4) : up_to(random, sizeof bytes);
      if (one_in(random, 6)) {
        MOTE_AWAIT(got, mote::with_timeout(timer, Duration(up_to(random, 20'000)), stream.read({bytes, size})));
        if (is_over()) return mote::done();
      } else if (one_in(random, 6)) {
        MOTE_AWAIT(first, mote::first_of(stream.read({bytes, size}), timer.sleep(Duration(20'000))));
        got = Error(ECANCELED);
        if (first && first->which == 0) got = first->get<0>();
        timer.reset();
        if (is_over()) return mote::done();
      } else if (one_in(random, 8)) {
        span = {bytes, size};
        MOTE_AWAIT(filled, stream.read_exactly(span));
        keep(size - span.size());
        if (!filled && filled.error() != ECANCELED) {
          ended = filled.error() == ENODATA ? 0 : error_of(filled);
          return mote::done();
        }
      } else if (may_look && one_in(random, 8)) {
        MOTE_AWAIT(readiness, stream.ready(Interest::read));
      } else {
        if (one_in(random, 10)) { MOTE_YIELD(); }
        MOTE_AWAIT(got, stream.read({bytes, size}));
        if (is_over()) return mote::done();
      }
      if (one_in(random, 30)) {
        MOTE_AWAIT(filled, timer.sleep(Duration(up_to(random, 100'000))));
        timer.reset();
      }
    }
    MOTE_END();
  }
 private:
  using Duration = mote::Duration;
  using Error = mote::Error;
};

// Writes the pattern, also when it is cancelled in between, then ends its direction.
struct Sender : mote::StateMachine {
  Stream& stream;
  Random random;
  std::size_t size;
  int& ended;
  std::size_t sent = 0;
  std::string bytes;
  ByteView view;
  mote::TaskTimer timer;
  Result<void> result;
  Sender(Stream& s, unsigned seed, std::size_t n, int& e) : stream(s), random(seed), size(n), ended(e) {}
  mote::Step step() {
    MOTE_BEGIN();
    while (sent < size) {
      bytes = pattern_text(sent, std::min(size - sent, up_to(random, one_in(random, 4) ? 300'000 : 500)));
      view = bytes;
      if (one_in(random, 4)) {
        MOTE_AWAIT(result, mote::with_timeout(timer, mote::Duration(up_to(random, 50'000)), stream.write_all(view)));
      } else {
        MOTE_AWAIT(result, stream.write_all(view));
      }
      sent += bytes.size() - view.size();
      if (!result && result.error() != ECANCELED && result.error() != ETIMEDOUT) {
        ended = error_of(result);
        return mote::done();
      }
    }
    ended = error_of(stream.shutdown_write());
    MOTE_END();
  }
};

struct Connection {
  Link link;
  std::size_t to_send, to_get;  // by the peer
  std::size_t sent = 0;
  bool over = false, urgent, patient;
  std::string got, text;
  int read_ended = -1, write_ended = -1;
  mote::TaskPool<Wanderer, 1> readers;
  mote::TaskPool<Sender, 1> senders;
  mote::TaskHandle reader, sender;

  Connection(Maker& maker, Random& random) : link(maker.make(one_in(random, 2))) {
    const std::size_t most = one_in(random, 5) ? 400'000 : 5'000;
    to_send = up_to(random, most) - 1;
    to_get = up_to(random, most) - 1;
    urgent = one_in(random, 3);
    patient = one_in(random, 2);
    if (one_in(random, 3)) REQUIRE(link.stream.set_option(SOL_SOCKET, SO_SNDBUF, 10'000));
    reader = std::move(*readers.spawn(maker.reactor, link.stream, static_cast<unsigned>(random()), text, read_ended,
                                      one_in(random, 4)));
    sender =
        std::move(*senders.spawn(maker.reactor, link.stream, static_cast<unsigned>(random()), to_get, write_ended));
  }
  bool is_done() const { return over && read_ended >= 0 && write_ended >= 0 && got.size() >= to_get; }
  void turn(Random& random) {
    if (one_in(random, 40)) reader.cancel();
    if (one_in(random, 40)) sender.cancel();
    if (one_in(random, 2)) got += take(link.peer, up_to(random, 100'000));
    if (!one_in(random, 2) || over) return;
    // A patient one adds nothing, by which an event that was missed would be made good, until all has been read.
    const auto urgent_ones = std::count(text.begin(), text.end(), '!');
    if (patient && text.size() - static_cast<std::size_t>(urgent_ones) != sent) return;
    if (urgent && one_in(random, 4)) static_cast<void>(::send(link.peer.get(), "!", 1, MSG_OOB | MSG_DONTWAIT));
    const std::size_t portion = one_in(random, 3) ? up_to(random, 30'000) : up_to(random, 20);
    const std::string part = pattern_text(sent, std::min(to_send - sent, portion));
    const ssize_t n = ::send(link.peer.get(), part.data(), part.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n > 0) sent += static_cast<std::size_t>(n);
    if (sent == to_send && one_in(random, 3)) {
      link.end();
      over = true;
    }
  }
};

template <class S> void generate() {
#if defined(__SANITIZE_ADDRESS__) || defined(__arm__) || defined(__powerpc__) || defined(__s390x__)
  constexpr std::uint64_t otherwise = 8;
#else
  constexpr std::uint64_t otherwise = 40;
#endif
  const std::uint64_t first = from_environment("MOTE_TEST_SEED", 1);
  const std::uint64_t worlds = from_environment("MOTE_TEST_WORLDS", otherwise);
  test::Loop<S> loop;
  Maker maker(loop);
  for (std::uint64_t seed = first; seed != first + worlds; ++seed) {
    CAPTURE(seed);
    Random random(static_cast<unsigned>(seed % 2147483646 + 1));
    std::vector<std::unique_ptr<Connection>> connections;
    const std::size_t count = up_to(random, 16);
    for (std::size_t i = 0; i < count; ++i) connections.push_back(std::make_unique<Connection>(maker, random));
    const bool done = hurry(loop, [&] {
      bool all = true;
      for (auto& connection : connections)
        if (!connection->is_done()) {
          connection->turn(random);
          all = false;
        }
      return all;
    });
    CHECK(done);
    for (auto& connection : connections) {
      CHECK(connection->read_ended == 0);
      CHECK(connection->write_ended == 0);
      CHECK((connection->got == pattern_text(0, connection->to_get)));
      CHECK((without_urgent(connection->text) == pattern_text(0, connection->to_send)));
    }
    CHECK(test::comes_to_rest(loop));
    connections.clear();
    if (!done) return;
  }
}

}  // namespace

// MOTE_TEST_SEED is the first one, MOTE_TEST_WORLDS how many.
ON_BOTH_SELECTORS("edges: generated: connections of all kinds carry every byte in both directions") { generate<S>(); }
