// SPDX-License-Identifier: MIT
// Rooms: system/system.hpp, selector/selector_base.hpp, reactor/descriptor_table.hpp, reactor/loop.hpp,
// io/source.hpp, io/stream.hpp, io/listener.hpp, io/datagram.hpp, io/line_reader.hpp, device/serial_port.hpp,
// thread/waker.hpp, thread/mailbox.hpp, thread/signals.hpp.
// The system refuses for a moment. Small programs are run once to count their system calls, and then once for each of
// these calls, with each errno of its manual page, failing 1, 2 and 10 times and then working again. What is told an
// error tries again later; nothing else is done about it. Whatever was refused, the program must come to its right end.
#include <signal.h>
#include <stdlib.h>

#include <string>
#include <vector>

#include "support/descriptors.hpp"
#include "support/manual_pages.hpp"
#include "support/tasks.hpp"

namespace {

using namespace std::chrono_literals;
using mote::ByteSpan;
using mote::ByteView;
using mote::Error;
using mote::Interest;
using mote::Poll;
using mote::Readiness;
using mote::Result;
using mote::Stream;
using Seam = mote::FaultSystem;
using Call = Seam::Call;
using test::error_of;

constexpr std::uint32_t capacity = 12;

// ---------------------------------------------------------------------------------------------------------------------
// Programs that are told, and try again
// ---------------------------------------------------------------------------------------------------------------------

// What a program was told, and what has become of it.
struct Report {
  std::uint32_t told = 0;
  int last = 0;
  bool interrupted = false;  // told EINTR, which nobody is to hear of
  bool wrong = false;        // bytes were lost, doubled or changed
  int left = 0;              // tasks that have not come to their end
  void tell(Error error) {
    ++told;
    last = error.code();
    if (error == EINTR) interrupted = true;
  }
};

// Makes an operation again, after a pause, until it succeeds.
class Again {
 public:
  explicit Again(Report& report) : report_(report) {}

  template <class Make> struct Retried {
    Again& again;
    Make make;
    auto poll(mote::Task& task) -> decltype(make().poll(task)) {
      for (;;) {
        if (again.is_pausing_ && !again.pause_.sleep(10ms).poll(task).ready()) return mote::pending;
        again.is_pausing_ = false;
        auto poll = make().poll(task);
        if (!poll.ready() || *poll) return poll;
        again.report_.tell(poll->error());
        again.is_pausing_ = true;
      }
    }
  };
  template <class Make> Retried<Make> operator()(Make make) { return {*this, make}; }

  // The same for a call that is not awaited.
  template <class Function> auto call(Function call) {
    const auto attempt = [call](mote::PollContext /*context*/) { return answer_of(call()); };
    return (*this)([attempt] { return mote::operation<int>(attempt, [](mote::PollContext /*context*/) {}); });
  }
 private:
  template <class T> static Result<int> answer_of(const Result<T>& result) {
    return result ? Result<int>(mote::value(0)) : result.error();
  }
  Report& report_;
  mote::TaskTimer pause_;
  bool is_pausing_ = false;
};

// Base of the programs' tasks: counted until it has come to its end.
struct Actor : mote::StateMachine {
  mote::Reactor& loop;
  Report& report;
  Again again;
  Result<int> called;
  Result<void> done;
  Result<std::size_t> size;
  Actor(mote::Reactor& in, Report& to) : loop(in), report(to), again(to) { ++report.left; }
  mote::Step end() {
    --report.left;
    return mote::done();
  }
  void expect(bool holds) {
    if (!holds) report.wrong = true;
  }
};

mote::Endpoint any_unix() {  // the kernel chooses an abstract name
  mote::Endpoint endpoint;
  endpoint.address()->sa_family = AF_UNIX;
  endpoint.resize(sizeof(sa_family_t));
  return endpoint;
}
mote::Endpoint any_ip() { return *mote::Endpoint::parse("127.0.0.1:0"); }
mote::Endpoint name_of(int fd) {
  mote::Endpoint endpoint;
  socklen_t size = mote::Endpoint::capacity;
  REQUIRE(::getsockname(fd, endpoint.address(), &size) == 0);
  endpoint.resize(size);
  return endpoint;
}

// ---- connections: listen, accept, connect, write, read, close; twice ----

template <bool Tcp> struct Connections {
  static constexpr bool has_edges = Tcp;
  static constexpr int rounds = 2;
  struct Server : Actor {
    Connections& program;
    Result<Stream> accepted;
    Stream stream;
    char bytes[64];
    ByteView reply;
    int round = 0;
    bool is_used = false;
    explicit Server(Connections& p) : Actor(p.loop, p.report), program(p) {}
    mote::Step step() {
      MOTE_BEGIN();
      MOTE_AWAIT(called, again.call([this] { return program.listener.open(loop, Tcp ? any_ip() : any_unix()); }));
      program.listening.set();
      while (round < rounds) {
        MOTE_AWAIT(accepted, again([this] { return program.listener.accept(); }));
        stream = std::move(*accepted);
        is_used = false;  // else the client was told that it had not come about
        for (;;) {
          MOTE_AWAIT(size, again([this] { return stream.read(bytes); }));
          if (*size == 0) break;
          is_used = true;
          reply = {bytes, *size};
          MOTE_AWAIT(done, again([this] { return stream.write_all(reply); }));
        }
        if (is_used) ++round;
        stream.close();
      }
      program.listener.close();
      return end();
      MOTE_END();
    }
  };
  struct Client : Actor {
    Connections& program;
    mote::Endpoint endpoint;
    Stream stream;
    char bytes[9];
    ByteView message;
    ByteSpan rest;
    int round = 0, number = 0;
    explicit Client(Connections& p) : Actor(p.loop, p.report), program(p) {}
    mote::Step step() {
      MOTE_BEGIN();
      MOTE_AWAIT(done, program.listening.wait());
      endpoint = name_of(program.listener.fd());
      for (; round < rounds; ++round) {
        MOTE_AWAIT(done, again([this] { return stream.connect(endpoint); }));
        for (number = 0; number < 3; ++number) {
          message = mote::bytes_of("a message");
          MOTE_AWAIT(done, again([this] { return stream.write_all(message); }));
          rest = bytes;
          MOTE_AWAIT(done, again([this] { return stream.read_exactly(rest); }));
          expect(std::string(bytes, 9) == "a message");
        }
        MOTE_AWAIT(called, again.call([this] { return stream.shutdown_write(); }));
        MOTE_AWAIT(size, again([this] { return stream.read(bytes); }));
        expect(*size == 0);
        stream.close();
      }
      return end();
      MOTE_END();
    }
  };
  mote::Reactor& loop;
  Report& report;
  mote::Listener listener;
  mote::Event listening;
  mote::TaskPool<Server, 1> server;
  mote::TaskPool<Client, 1> client;
  Connections(mote::Reactor& l, Report& r) : loop(l), report(r) {
    REQUIRE(server.spawn(loop, *this));
    REQUIRE(client.spawn(loop, *this));
  }
};
using UnixConnections = Connections<false>;
using TcpConnections = Connections<true>;

// ---- more than fits, in one direction, and then the end; twice ----

template <bool Pipe> struct Bulk {
  static constexpr bool has_edges = false;
  static constexpr std::size_t size = 10'000;
  static constexpr int rounds = 2;
  static char byte_at(std::size_t i) { return static_cast<char>(i * 7 + i / 251); }
  static test::Pair make_pair() {
    if (Pipe) {
      test::Pair pipe = test::pipe_pair();
      ::fcntl(pipe.b.get(), F_SETPIPE_SZ, 4096);
      return pipe;
    }
    test::Pair pair = test::socket_pair();
    const int small = 4096;
    REQUIRE(::setsockopt(pair.b.get(), SOL_SOCKET, SO_SNDBUF, &small, sizeof small) == 0);
    return pair;
  }
  struct Writer : Actor {
    Bulk& program;
    Stream stream;
    ByteView rest;
    int round = 0;
    explicit Writer(Bulk& p) : Actor(p.loop, p.report), program(p) {}
    mote::Step step() {
      MOTE_BEGIN();
      for (; round < rounds; ++round) {
        MOTE_AWAIT(called, again.call([this] { return stream.open(loop, std::move(program.pairs[round].b)); }));
        rest = ByteView(program.bytes, Bulk::size);
        MOTE_AWAIT(done, again([this] { return stream.write_all(rest); }));
        stream.close();
      }
      return end();
      MOTE_END();
    }
  };
  struct Reader : Actor {
    Bulk& program;
    Stream stream;
    char bytes[3000];
    std::size_t count = 0;
    int round = 0;
    explicit Reader(Bulk& p) : Actor(p.loop, p.report), program(p) {}
    mote::Step step() {
      MOTE_BEGIN();
      for (; round < rounds; ++round) {
        MOTE_AWAIT(called, again.call([this] { return stream.open(loop, std::move(program.pairs[round].a)); }));
        for (count = 0;;) {
          MOTE_AWAIT(this->size, again([this] { return stream.read(bytes); }));
          if (*this->size == 0) break;
          for (std::size_t i = 0; i < *this->size; ++i) expect(bytes[i] == byte_at(count + i));
          count += *this->size;
        }
        expect(count == Bulk::size);
        stream.close();
      }
      return end();
      MOTE_END();
    }
  };
  mote::Reactor& loop;
  Report& report;
  test::Pair pairs[rounds] = {make_pair(), make_pair()};
  char bytes[size];
  mote::TaskPool<Writer, 1> writer;
  mote::TaskPool<Reader, 1> reader;
  Bulk(mote::Reactor& l, Report& r) : loop(l), report(r) {
    for (std::size_t i = 0; i < size; ++i) bytes[i] = byte_at(i);
    REQUIRE(reader.spawn(loop, *this));
    REQUIRE(writer.spawn(loop, *this));
  }
};
using BulkOverSockets = Bulk<false>;
using BulkOverPipes = Bulk<true>;

// ---- a stream with a wait in each direction: what nobody waits for is disarmed, and armed again ----

struct Dialogue {
  static constexpr bool has_edges = false;
  struct Talker : Actor {
    Dialogue& program;
    Stream stream;
    char byte[8];
    ByteView reply;
    explicit Talker(Dialogue& p) : Actor(p.loop, p.report), program(p) {}
    mote::Step step() {
      MOTE_BEGIN();
      MOTE_AWAIT(called, again.call([this] { return stream.open(loop, std::move(program.pair.a)); }));
      MOTE_AWAIT(size, again([this] { return stream.read(byte); }));  // "a": arms read
      reply = ByteView(program.large, sizeof program.large);
      MOTE_AWAIT(done, again([this] { return stream.write_all(reply); }));  // "b" comes, while only the writer waits
      program.sent.set();
      MOTE_AWAIT(size, again([this] { return stream.read(byte); }));
      expect(*size == 1 && byte[0] == 'b');
      program.got.set();
      MOTE_AWAIT(size, again([this] { return stream.read(byte); }));
      expect(*size == 1 && byte[0] == 'c');
      stream.close();
      return end();
      MOTE_END();
    }
  };
  struct Peer : Actor {  // without the library's help
    Dialogue& program;
    std::size_t received = 0;
    explicit Peer(Dialogue& p) : Actor(p.loop, p.report), program(p) {}
    mote::Step step() {
      MOTE_BEGIN();
      MOTE_AWAIT(done, pause.sleep(1ms));
      test::send_text(program.pair.b.get(), "a");
      MOTE_AWAIT(done, pause.sleep(1ms));
      for (;;) {
        if (take()) test::send_text(program.pair.b.get(), "b");
        if (program.sent.is_set()) break;
        MOTE_AWAIT(done, pause.sleep(1ms));
      }
      MOTE_AWAIT(done, program.got.wait());
      take();
      expect(received == sizeof program.large);
      test::send_text(program.pair.b.get(), "c");
      return end();
      MOTE_END();
    }
    // Whether these were the first bytes.
    bool take() {
      static char sink[100'000];
      const bool first = received == 0;
      for (ssize_t n = 0; (n = ::read(program.pair.b.get(), sink, sizeof sink)) > 0;) {
        received += static_cast<std::size_t>(n);
      }
      return first && received != 0;
    }
    mote::TaskTimer pause;
  };
  mote::Reactor& loop;
  Report& report;
  test::Pair pair = test::socket_pair();
  char large[300'000] = {};
  mote::Event sent, got;
  mote::TaskPool<Talker, 1> talker;
  mote::TaskPool<Peer, 1> peer;
  Dialogue(mote::Reactor& l, Report& r) : loop(l), report(r) {
    REQUIRE(talker.spawn(loop, *this));
    REQUIRE(peer.spawn(loop, *this));
  }
};

// ---- lines ----

struct Lines {
  static constexpr bool has_edges = false;
  struct Reader : Actor {
    Lines& program;
    Stream stream;
    mote::LineReader<16> reader;
    Result<ByteView> line;
    int number = 0;
    explicit Reader(Lines& p) : Actor(p.loop, p.report), program(p) {}
    mote::Step step() {
      MOTE_BEGIN();
      MOTE_AWAIT(called, again.call([this] { return stream.open(loop, std::move(program.pair.a)); }));
      for (; number < 3; ++number) {
        MOTE_AWAIT(line, again([this] { return reader.read_line(stream); }));
        expect(std::string(reinterpret_cast<const char*>(line->data()), line->size()) ==
               "line " + std::to_string(number));
        if (number < 2) write(number + 1);
      }
      stream.close();
      return end();
      MOTE_END();
    }
    void write(int n) const { test::send_text(program.pair.b.get(), ("line " + std::to_string(n) + "\r\n").c_str()); }
  };
  mote::Reactor& loop;
  Report& report;
  test::Pair pair = test::socket_pair();
  mote::TaskPool<Reader, 1> reader;
  Lines(mote::Reactor& l, Report& r) : loop(l), report(r) {
    REQUIRE(reader.spawn(loop, *this));
    test::send_text(pair.b.get(), "line 0\r\n");
  }
};

// ---- datagrams ----

struct Datagrams {
  static constexpr bool has_edges = false;
  static constexpr int rounds = 2;
  struct Talker : Actor {
    mote::Datagram here, there;
    mote::Endpoint address, from;
    Result<mote::Datagram::Received> got;
    char bytes[8];
    int round = 0;
    explicit Talker(Datagrams& p) : Actor(p.loop, p.report) {}
    mote::Step step() {
      MOTE_BEGIN();
      for (; round < rounds; ++round) {
        MOTE_AWAIT(called, again.call([this] { return here.open(loop, any_ip()); }));
        MOTE_AWAIT(called, again.call([this] { return there.open(loop, any_ip()); }));
        address = name_of(here.fd());
        MOTE_AWAIT(called, again.call([this] { return there.connect(address); }));
        MOTE_AWAIT(done, again([this] { return there.send(mote::bytes_of("ping")); }));
        MOTE_AWAIT(got, again([this] { return here.recv_from(bytes, from); }));
        expect(got->size == 4 && std::string(bytes, 4) == "ping");
        MOTE_AWAIT(done, again([this] { return here.send_to(mote::bytes_of("pong!"), from); }));
        MOTE_AWAIT(got, again([this] { return there.recv(bytes); }));
        expect(got->size == 5 && std::string(bytes, 5) == "pong!");
        here.close();
        there.close();
      }
      return end();
      MOTE_END();
    }
  };
  mote::Reactor& loop;
  Report& report;
  mote::TaskPool<Talker, 1> talker;
  Datagrams(mote::Reactor& l, Report& r) : loop(l), report(r) { REQUIRE(talker.spawn(loop, *this)); }
};

// ---- a serial port ----

struct Terminal {
  mote::Fd master{::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK)};
  char path[64];
  Terminal() {
    REQUIRE(master);
    REQUIRE(::grantpt(master.get()) == 0);
    REQUIRE(::unlockpt(master.get()) == 0);
    REQUIRE(::ptsname_r(master.get(), path, sizeof path) == 0);
  }
};
struct Serial {
  static constexpr bool has_edges = false;
  static constexpr int rounds = 2;
  struct Talker : Actor {
    Serial& program;
    mote::SerialPort port;
    Stream master;
    char bytes[4];
    ByteSpan rest;
    ByteView message;
    int round = 0;
    explicit Talker(Serial& p) : Actor(p.loop, p.report), program(p) {}
    mote::Step step() {
      MOTE_BEGIN();
      for (; round < rounds; ++round) {
        MOTE_AWAIT(called, again.call([this] { return port.open(loop, program.terminals[round].path); }));
        MOTE_AWAIT(called,
                   again.call([this] { return master.open(loop, std::move(program.terminals[round].master)); }));
        message = mote::bytes_of("ping");
        MOTE_AWAIT(done, again([this] { return port.write_all(message); }));
        rest = bytes;
        MOTE_AWAIT(done, again([this] { return master.read_exactly(rest); }));
        expect(std::string(bytes, 4) == "ping");
        message = mote::bytes_of("pong");
        MOTE_AWAIT(done, again([this] { return master.write_all(message); }));
        rest = bytes;
        MOTE_AWAIT(done, again([this] { return port.read_exactly(rest); }));
        expect(std::string(bytes, 4) == "pong");
        port.close();
        master.close();
      }
      return end();
      MOTE_END();
    }
  };
  mote::Reactor& loop;
  Report& report;
  Terminal terminals[rounds];
  mote::TaskPool<Talker, 1> talker;
  Serial(mote::Reactor& l, Report& r) : loop(l), report(r) {
    Seam::state.patience = 2;  // the bytes arrive in the background
    REQUIRE(talker.spawn(loop, *this));
  }
};

// ---- a source of no kind: readiness, and a handler ----

struct Sources {
  static constexpr bool has_edges = false;
  static constexpr int rounds = 2;
  struct Talker : Actor {
    Sources& program;
    mote::Source source;
    Result<Readiness> ready;
    mote::Event heard;
    mote::Fd back;
    int round = 0;
    explicit Talker(Sources& p) : Actor(p.loop, p.report), program(p) {}
    void on(Readiness readiness) {
      if (readiness == Readiness::error) {  // it could not be kept in the selector
        report.tell(EIO);
      } else {
        expect(readiness == Readiness::readable);
      }
      heard.set();
    }
    bool take() const {
      char byte;
      return ::read(source.fd(), &byte, 1) == 1;
    }
    mote::Step step() {
      MOTE_BEGIN();
      for (; round < rounds; ++round) {
        MOTE_AWAIT(called, again.call([this] { return source.open(loop, std::move(program.pairs[round].a)); }));
        MOTE_AWAIT(ready, again([this] { return source.ready(Interest::write); }));
        expect(*ready == Readiness::writable);
        test::send_text(program.pairs[round].b.get(), "1");
        MOTE_AWAIT(ready, again([this] { return source.ready(Interest::read); }));
        expect(*ready == Readiness::readable);
        expect(take());
        do {
          heard.clear();
          MOTE_AWAIT(called, again.call([this] {
            return source.watch(Interest::read, mote::Handler::of<&Talker::on>(*this));
          }));
          test::send_text(program.pairs[round].b.get(), "2");
          MOTE_AWAIT(done, heard.wait());
        } while (!take());
        MOTE_AWAIT(called,
                   again.call([this] { return source.watch(Interest::none, mote::Handler::of<&Talker::on>(*this)); }));
        if (round == 0) back = source.release();
        source.close();
      }
      return end();
      MOTE_END();
    }
  };
  mote::Reactor& loop;
  Report& report;
  test::Pair pairs[rounds] = {test::socket_pair(), test::socket_pair()};
  mote::TaskPool<Talker, 1> talker;
  Sources(mote::Reactor& l, Report& r) : loop(l), report(r) { REQUIRE(talker.spawn(loop, *this)); }
};

// ---- handlers: added, modified, muted, removed, forgotten ----

struct Handlers {
  static constexpr bool has_edges = false;
  struct Talker : Actor {
    test::Pair pair;
    mote::Registration registration;
    mote::Event heard;
    Readiness last = Readiness::none;
    int hangups = 0;
    char byte = 0;
    mote::TaskTimer pause;
    explicit Talker(Handlers& p) : Actor(p.loop, p.report) {}
    void on(Readiness readiness) {
      last = readiness;
      if (readiness == Readiness::hangup) {
        ++hangups;
      } else if (readiness == Readiness::error) {
        report.tell(EIO);  // it could not be kept in the selector
      } else {
        heard.set();
      }
    }
    auto add(Interest interest) {
      heard.clear();
      return again.call([this, interest]() -> Result<mote::Registration> {
        const auto added = loop.add(pair.a.get(), interest, mote::Handler::of<&Talker::on>(*this));
        if (added) registration = *added;
        return added;
      });
    }
    auto modify(Interest interest) {
      heard.clear();
      return again.call([this, interest] { return loop.modify(registration, interest); });
    }
    char read_byte() {
      byte = 0;
      return ::read(pair.a.get(), &byte, 1) == 1 ? byte : '-';
    }
    void open_writer() {
      const std::string path = "/proc/self/fd/" + std::to_string(pair.a.get());
      pair.b = mote::Fd(::open(path.c_str(), O_WRONLY | O_NONBLOCK | O_CLOEXEC));
      REQUIRE(pair.b);
    }
    mote::Step step() {
      MOTE_BEGIN();
      pair = test::socket_pair();
      MOTE_AWAIT(called, add(Interest::read));
      test::send_text(pair.b.get(), "1");
      MOTE_AWAIT(done, heard.wait());
      expect(read_byte() == '1');
      MOTE_AWAIT(called, modify(Interest::write));
      MOTE_AWAIT(done, heard.wait());
      expect(last == Readiness::writable);
      MOTE_AWAIT(called, modify(Interest::read));
      test::send_text(pair.b.get(), "2");
      MOTE_AWAIT(done, heard.wait());
      expect(read_byte() == '2');
      expect(static_cast<bool>(loop.remove(registration)));
      pair = test::pipe_pair();
      MOTE_AWAIT(called, add(Interest::read));
      pair.b.close();  // told, and muted
      MOTE_AWAIT(done, pause.sleep(10ms));
      expect(hangups >= 1);
      open_writer();
      test::send_text(pair.b.get(), "3");
      MOTE_AWAIT(done, heard.wait());
      expect(read_byte() == '3');
      pair.a.close();
      expect(static_cast<bool>(loop.forget(registration)));
      pair = test::socket_pair();
      MOTE_AWAIT(called, add(Interest::read));
      test::send_text(pair.b.get(), "4");
      MOTE_AWAIT(done, heard.wait());
      expect(read_byte() == '4');
      expect(static_cast<bool>(loop.remove(registration)));
      pair = test::Pair();
      return end();
      MOTE_END();
    }
  };
  mote::Reactor& loop;
  Report& report;
  mote::TaskPool<Talker, 1> talker;
  Handlers(mote::Reactor& l, Report& r) : loop(l), report(r) { REQUIRE(talker.spawn(loop, *this)); }
};

// ---- wake-ups ----

struct WakeUps {
  static constexpr bool has_edges = false;
  static constexpr int rounds = 2;
  struct Talker : Actor {
    mote::Waker waker;
    mote::Mailbox<int, 4> mailbox;
    mote::Signals signals;
    Result<int> number;
    int round = 0;
    explicit Talker(WakeUps& p) : Actor(p.loop, p.report) {}
    mote::Step step() {
      MOTE_BEGIN();
      for (; round < rounds; ++round) {
        MOTE_AWAIT(called, again.call([this] { return waker.open(loop); }));
        MOTE_AWAIT(called, again.call([this] { return mailbox.open(loop); }));
        MOTE_AWAIT(called, again.call([this] { return signals.open(loop, {SIGUSR1}); }));
        waker.wake();
        MOTE_AWAIT(done, again([this] { return waker.wait(); }));
        expect(static_cast<bool>(mailbox.post(round + 1)));
        MOTE_AWAIT(number, again([this] { return mailbox.receive(); }));
        expect(*number == round + 1);
        ::raise(SIGUSR1);
        MOTE_AWAIT(number, again([this] { return signals.next(); }));
        expect(*number == SIGUSR1);
        waker.close();
        mailbox.close();
        signals.close();
      }
      return end();
      MOTE_END();
    }
  };
  mote::Reactor& loop;
  Report& report;
  mote::TaskPool<Talker, 1> talker;
  WakeUps(mote::Reactor& l, Report& r) : loop(l), report(r) { REQUIRE(talker.spawn(loop, *this)); }
  WakeUps(const WakeUps&) = delete;
  WakeUps& operator=(const WakeUps&) = delete;
  ~WakeUps() { ::signal(SIGUSR1, SIG_DFL); }  // a handler that could not be taken away has nothing to do
};

// ---- a selector that has to be made anew, while others wait ----

template <bool Forked> struct Rebuild {
  static constexpr bool has_edges = false;
  struct Reader : Actor {
    Rebuild& program;
    Stream stream;
    char bytes[8];
    explicit Reader(Rebuild& p) : Actor(p.loop, p.report), program(p) {}
    mote::Step step() {
      MOTE_BEGIN();
      MOTE_AWAIT(called, again.call([this] { return stream.open(loop, std::move(program.data.a)); }));
      MOTE_AWAIT(size, again([this] { return stream.read(bytes); }));
      expect(*size == 1 && bytes[0] == '1');
      MOTE_AWAIT(done, program.rebuilt.wait());  // what it waited for last is armed, or it is known not to be
      MOTE_AWAIT(size, again([this] { return stream.read(bytes); }));
      expect(*size == 1 && bytes[0] == '2');
      stream.close();
      return end();
      MOTE_END();
    }
  };
  struct Writer : Actor {
    Rebuild& program;
    Stream stream;
    ByteView rest;
    explicit Writer(Rebuild& p) : Actor(p.loop, p.report), program(p) {}
    mote::Step step() {
      MOTE_BEGIN();
      MOTE_AWAIT(called, again.call([this] { return stream.open(loop, std::move(program.full.a)); }));
      rest = mote::bytes_of("there is room");
      MOTE_AWAIT(done, again([this] { return stream.write_all(rest); }));
      stream.close();
      return end();
      MOTE_END();
    }
  };
  struct Watcher : Actor {
    Rebuild& program;
    mote::Source source;
    mote::Event heard;
    char byte = 0;
    explicit Watcher(Rebuild& p) : Actor(p.loop, p.report), program(p) {}
    void on(Readiness readiness) {
      if (readiness == Readiness::error) report.tell(EIO);
      heard.set();
    }
    mote::Step step() {
      MOTE_BEGIN();
      MOTE_AWAIT(called, again.call([this] { return source.open(loop, std::move(program.watched.a)); }));
      do {
        heard.clear();
        MOTE_AWAIT(called,
                   again.call([this] { return source.watch(Interest::read, mote::Handler::of<&Watcher::on>(*this)); }));
        MOTE_AWAIT(done, heard.wait());
      } while (::read(source.fd(), &byte, 1) != 1);
      expect(byte == '3');
      source.close();
      return end();
      MOTE_END();
    }
  };
  struct Director : Actor {
    Rebuild& program;
    mote::Source ghost;
    mote::Waker waker;
    mote::TaskTimer pause;
    explicit Director(Rebuild& p) : Actor(p.loop, p.report), program(p) {}
    void on(Readiness) { report.tell(EIO); }
    mote::Step step() {
      MOTE_BEGIN();
      MOTE_AWAIT(called, again.call([this] { return waker.open(loop); }));
      MOTE_AWAIT(called, again.call([this] { return ghost.open(loop, std::move(program.ghost.a)); }));
      MOTE_AWAIT(called,
                 again.call([this] { return ghost.watch(Interest::read, mote::Handler::of<&Director::on>(*this)); }));
      MOTE_AWAIT(done, pause.sleep(1s));  // by then all others wait
      test::send_text(program.data.b.get(), "1");
      MOTE_AWAIT(done, pause.sleep(1s));
      make_anew();
      if (Forked) MOTE_AWAIT(called, again.call([this] { return loop.after_fork_in_child(); }));
      MOTE_AWAIT(done, pause.sleep(1s));
      program.rebuilt.set();
      MOTE_AWAIT(done, pause.sleep(1s));
      test::send_text(program.data.b.get(), "2");
      test::send_text(program.watched.b.get(), "3");
      drain(program.full.b.get());
      waker.wake();
      MOTE_AWAIT(done, again([this] { return waker.wait(); }));
      waker.close();
      return end();
      MOTE_END();
    }
    // Closed, the descriptor lives on in a duplicate, and goes on being reported.
    void make_anew() {
      if (Forked) return ghost.close();
      program.duplicate = mote::Fd(::dup(ghost.fd()));
      ghost.close();
      test::send_text(program.ghost.b.get(), "x");
    }
    static void drain(int fd) {
      char bytes[4096];
      while (::read(fd, bytes, sizeof bytes) > 0) {}
    }
  };
  mote::Reactor& loop;
  Report& report;
  test::Pair data = test::socket_pair(), full = test::socket_pair(), watched = test::socket_pair(),
             ghost = test::socket_pair();
  mote::Fd duplicate;
  mote::Event rebuilt;
  mote::TaskPool<Reader, 1> reader;
  mote::TaskPool<Writer, 1> writer;
  mote::TaskPool<Watcher, 1> watcher;
  mote::TaskPool<Director, 1> director;
  Rebuild(mote::Reactor& l, Report& r) : loop(l), report(r) {
    test::fill(full.a.get());
    REQUIRE(reader.spawn(loop, *this));
    REQUIRE(writer.spawn(loop, *this));
    REQUIRE(watcher.spawn(loop, *this));
    REQUIRE(director.spawn(loop, *this));
  }
};
using RebuildForGhost = Rebuild<false>;
using RebuildAfterFork = Rebuild<true>;

// ---------------------------------------------------------------------------------------------------------------------
// Running them
// ---------------------------------------------------------------------------------------------------------------------

// Each slot of the table can be taken: nothing is left over, here or in the selector.
void check_all_slots(mote::Reactor& loop) {
  CHECK(loop.stats().descriptors == 0);
  const test::Pair pair = test::socket_pair();
  test::Recorder recorders[capacity];
  mote::Registration registrations[capacity];
  std::vector<mote::Fd> duplicates;
  for (std::uint32_t i = 0; i < capacity; ++i) {
    duplicates.emplace_back(::dup(pair.a.get()));
    const auto added = loop.add(duplicates[i].get(), Interest::write, recorders[i]);
    CHECK(error_of(added) == 0);
    if (added) registrations[i] = *added;
  }
  CHECK(error_of(loop.run_once(0ns)) == 0);
  int called = 0;
  for (const test::Recorder& recorder : recorders) called += recorder.calls;
  CHECK(called == capacity);
  for (const mote::Registration& registration : registrations) CHECK(error_of(loop.remove(registration)) == 0);
}

// Opens the reactor, and runs the program to its end; run() and open() are called again when they fail.
template <class Program, class Open> Report play(mote::Reactor& loop, Open open, std::uint32_t most_waits) {
  Report report;
  for (Result<void> opened = open(); !opened; opened = open()) report.tell(opened.error());
  {
    Program program(loop, report);
    while (report.left != 0 && Seam::state.waits() < most_waits) {
      const Result<std::uint32_t> turn = loop.run_once(1s);
      if (!turn) report.tell(turn.error());
      Seam::state.now += mote::Duration(1ms).count();  // time passes, also while a handler is called again and again
    }
    CHECK(report.left == 0);  // else it hangs, or spins
    CHECK_FALSE(report.wrong);
    if (report.left != 0) loop.destroy_all_tasks();
  }
  return report;
}

template <class S> using SeamLoop = mote::StaticReactor<typename S::template Config<capacity>>;

// Errors that this kind of call cannot have here, though they are in its manual page.
template <class Program> bool cannot_be(Call call, int error) {
  switch (call) {
    case Call::connect:  // the socket is new; a datagram socket's does not wait
      if (std::is_same<Program, Datagrams>::value) return error == EINTR || error == EINPROGRESS;
      return error == EISCONN;
    case Call::recv:
    case Call::send:  // an edge comes after it
      return Program::has_edges && error == EAGAIN;
    case Call::write:  // to an eventfd
      return std::is_same<Program, WakeUps>::value || std::is_same<Program, RebuildForGhost>::value ||
                     std::is_same<Program, RebuildAfterFork>::value
                 ? error != EINTR
                 : false;
    case Call::epoll_ctl: return error == EPERM;  // each of them can be waited for
    default: return false;
  }
}

template <class S, class Program>
void refuse(Call call, std::uint32_t index, int error, std::uint32_t times, std::uint32_t usual_waits) {
  const doctest::String name = Seam::name(call), text = ::strerror(error);
  INFO(name, " number ", index, " fails ", times, " times: ", text);
  const int descriptors = test::open_descriptors();
  {
    Seam::start_virtual_time();
    Seam::state.faults[0] = {call, index, error, times};
    SeamLoop<S> loop;
    const Report report = play<Program>(
        loop, [&] { return loop.open(); }, 2 * usual_waits + 10 * times + 100);
    INFO("told ", report.told, " times, ", report.last, " at last");
    CHECK(Seam::state.faults_fired >= 1);
    CHECK(report.told <= Seam::state.faults_fired);
    CHECK_FALSE(report.interrupted);
    CHECK_FALSE(Seam::state.stuck);
    Seam::state.faults[0] = Seam::Fault();
    check_all_slots(loop);
  }
  Seam::state = Seam::State();
  CHECK(test::open_descriptors() == descriptors);
}

template <class S, class Program> void refuse_every_call() {
  Seam::State seen;
  {
    Seam::start_virtual_time();
    SeamLoop<S> loop;
    const Report report = play<Program>(
        loop, [&] { return loop.open(); }, 10'000);
    CHECK(report.told == 0);
    seen = Seam::state;
    check_all_slots(loop);
  }
  std::uint32_t runs = 0;
  for (unsigned i = 0; i < Seam::calls; ++i) {
    const auto call = static_cast<Call>(i);
    const int* errors = nullptr;
    const int count = test::errors_of(call, errors);
    // Of those that are made again and again, the first ones and the last.
    for (std::uint32_t index = 1; index <= seen.counts[i]; ++index) {
      if (index > 12 && index + 3 < seen.counts[i]) continue;
      for (int e = 0; e < count; ++e) {
        if (cannot_be<Program>(call, errors[e])) continue;
        for (const std::uint32_t times : {1u, 2u, 10u}) {
          refuse<S, Program>(call, index, errors[e], times, seen.waits());
          ++runs;
        }
      }
    }
  }
  MESSAGE(runs, " runs");
}

}  // namespace

#define EVERY_CALL_IS_REFUSED(name, program)                                                         \
  ON_BOTH_SELECTORS(                                                                                 \
      "refusals: each system call fails 1, 2, 10 times with each errno of its manual page, and the " \
      "program comes to its right end: " name) {                                                     \
    refuse_every_call<S, program>();                                                                 \
  }

EVERY_CALL_IS_REFUSED("connections of Unix sockets", UnixConnections)
EVERY_CALL_IS_REFUSED("connections over TCP", TcpConnections)
EVERY_CALL_IS_REFUSED("much over a socket", BulkOverSockets)
EVERY_CALL_IS_REFUSED("much over a pipe", BulkOverPipes)
EVERY_CALL_IS_REFUSED("a stream that is armed and disarmed", Dialogue)
EVERY_CALL_IS_REFUSED("lines", Lines)
EVERY_CALL_IS_REFUSED("datagrams", Datagrams)
EVERY_CALL_IS_REFUSED("a serial port", Serial)
EVERY_CALL_IS_REFUSED("sources", Sources)
EVERY_CALL_IS_REFUSED("handlers", Handlers)
EVERY_CALL_IS_REFUSED("wake-ups, messages and signals", WakeUps)
EVERY_CALL_IS_REFUSED("a selector that is made anew", RebuildForGhost)
EVERY_CALL_IS_REFUSED("a selector that is made anew after a fork", RebuildAfterFork)

// ---------------------------------------------------------------------------------------------------------------------
// A selector of the user's own, which may refuse any of its calls
// ---------------------------------------------------------------------------------------------------------------------
namespace {

enum Asked : unsigned { adding, modifying, removing, waiting, rebuilding, kinds };
constexpr const char* names[kinds] = {"on_add", "on_modify", "on_remove", "on_wait", "on_rebuild"};

struct Refusal {
  unsigned kind = kinds;
  std::uint32_t index = 0;  // counted from 1
  int error = 0;
  std::uint32_t times = 1;
};

// Does what the real one does, which it has inside.
template <class Real> class Refusing : public mote::SelectorBase<Refusing<Real>> {
 public:
  static constexpr bool reports_edges = Real::reports_edges;

  Refusal refusal;
  std::uint32_t counts[kinds] = {}, refused = 0;

  Result<void> open() {
    const Result<void> opened = real_.open();
    if (opened) this->attach();
    return opened;
  }
  Result<void> on_add(int fd, Interest interest, std::uint64_t token) {
    return refuses(adding) ? Error(refusal.error) : real_.on_add(fd, interest, token);
  }
  Result<void> on_modify(int fd, Interest interest, std::uint64_t token) {
    return refuses(modifying) ? Error(refusal.error) : real_.on_modify(fd, interest, token);
  }
  Result<void> on_remove(int fd) { return refuses(removing) ? Error(refusal.error) : real_.on_remove(fd); }
  void on_forget(int fd) { real_.on_forget(fd); }
  Result<std::size_t> on_wait(mote::Ready* ready, std::size_t size, mote::Duration timeout) {
    return refuses(waiting) ? Error(refusal.error) : real_.on_wait(ready, size, timeout);
  }
  Result<void> on_rebuild() { return refuses(rebuilding) ? Error(refusal.error) : real_.on_rebuild(); }
  int on_descriptor() const { return real_.on_descriptor(); }
 private:
  bool refuses(unsigned kind) {
    const std::uint32_t index = ++counts[kind];
    if (kind != refusal.kind || index < refusal.index || index - refusal.index >= refusal.times) return false;
    ++refused;
    return true;
  }
  Real real_;
};

struct OwnSelectorConfig : mote::Config {
  static constexpr std::size_t descriptors = capacity;
  template <std::size_t N> using Selector = mote::NoSelector<N>;
};
using OwnLoop = mote::StaticReactor<OwnSelectorConfig>;
template <class S> using OwnSelector = Refusing<typename S::template Selector<OwnLoop::selector_capacity>>;

// What a system call behind it may return, or another interface than the kernel's.
constexpr int any_errors[] = {EBADF, EEXIST, EINTR, EINVAL, EIO, ELOOP, ENFILE, ENOENT, ENOMEM, ENOSPC, ENOSYS, 4095};

template <class S, class Program> void refuse_by_selector(const Refusal& refusal, std::uint32_t usual_waits) {
  const doctest::String name = names[refusal.kind], text = ::strerror(refusal.error);
  INFO(name, " number ", refusal.index, " fails ", refusal.times, " times: ", text);
  const int descriptors = test::open_descriptors();
  {
    Seam::start_virtual_time();
    OwnSelector<S> selector;
    selector.refusal = refusal;
    OwnLoop loop;
    const Report report = play<Program>(
        loop, [&] { return loop.open(selector); }, 2 * usual_waits + 20 * refusal.times + 100);
    INFO("told ", report.told, " times, ", report.last, " at last");
    CHECK(selector.refused >= 1);
    CHECK(report.told <= selector.refused);
    if (refusal.kind == waiting) CHECK_FALSE(report.interrupted);
    CHECK_FALSE(Seam::state.stuck);
    selector.refusal = Refusal();
    check_all_slots(loop);
  }
  Seam::state = Seam::State();
  CHECK(test::open_descriptors() == descriptors);
}

template <class S, class Program> void refuse_every_call_by_selector() {
  OwnSelector<S> usual;
  std::uint32_t counts[kinds], waits = 0;
  {
    Seam::start_virtual_time();
    OwnLoop loop;
    const Report report = play<Program>(
        loop, [&] { return loop.open(usual); }, 10'000);
    CHECK(report.told == 0);
    for (unsigned kind = 0; kind < kinds; ++kind) counts[kind] = usual.counts[kind];
    waits = Seam::state.waits();
    check_all_slots(loop);
  }
  std::uint32_t runs = 0;
  for (unsigned kind = 0; kind < kinds; ++kind) {
    for (std::uint32_t index = 1; index <= counts[kind]; ++index) {
      if (index > 12 && index + 3 < counts[kind]) continue;
      for (const int error : any_errors) {
        for (const std::uint32_t times : {1u, 2u, 10u}) {
          refuse_by_selector<S, Program>({kind, index, error, times}, waits);
          ++runs;
        }
      }
    }
  }
  MESSAGE(runs, " runs");
}

}  // namespace

#define EVERY_CALL_IS_REFUSED_BY_SELECTOR(name, program)                                                               \
  ON_BOTH_SELECTORS("refusals: a selector of the user's own refuses each call 1, 2, 10 times with any errno: " name) { \
    refuse_every_call_by_selector<S, program>();                                                                       \
  }

EVERY_CALL_IS_REFUSED_BY_SELECTOR("connections of Unix sockets", UnixConnections)
EVERY_CALL_IS_REFUSED_BY_SELECTOR("connections over TCP", TcpConnections)
EVERY_CALL_IS_REFUSED_BY_SELECTOR("much over a socket", BulkOverSockets)
EVERY_CALL_IS_REFUSED_BY_SELECTOR("much over a pipe", BulkOverPipes)
EVERY_CALL_IS_REFUSED_BY_SELECTOR("a stream that is armed and disarmed", Dialogue)
EVERY_CALL_IS_REFUSED_BY_SELECTOR("lines", Lines)
EVERY_CALL_IS_REFUSED_BY_SELECTOR("datagrams", Datagrams)
EVERY_CALL_IS_REFUSED_BY_SELECTOR("a serial port", Serial)
EVERY_CALL_IS_REFUSED_BY_SELECTOR("sources", Sources)
EVERY_CALL_IS_REFUSED_BY_SELECTOR("handlers", Handlers)
EVERY_CALL_IS_REFUSED_BY_SELECTOR("wake-ups, messages and signals", WakeUps)
EVERY_CALL_IS_REFUSED_BY_SELECTOR("a selector that is made anew", RebuildForGhost)
EVERY_CALL_IS_REFUSED_BY_SELECTOR("a selector that is made anew after a fork", RebuildAfterFork)

// ---------------------------------------------------------------------------------------------------------------------
// Single refusals, and what must follow
// ---------------------------------------------------------------------------------------------------------------------
namespace {

// On virtual time, with the means to let a call fail.
template <class S, std::uint32_t Descriptors = 4> struct Scene {
  Scene() {
    Seam::start_virtual_time();
    REQUIRE(loop.open());
  }
  ~Scene() { Seam::state = Seam::State(); }
  Scene(const Scene&) = delete;
  Scene& operator=(const Scene&) = delete;

  bool is_epoll() const { return loop.pollable_descriptor() >= 0; }
  static void refuse(Call call, int error, std::uint32_t times = 1, std::uint32_t index = 1) {
    Seam::state.reset_counts();
    Seam::state.faults[0] = {call, index, error, times};
  }
  // The call with which the selector takes a descriptor in.
  void refuse_adding(int error, std::uint32_t times = 1, std::uint32_t index = 1) const {
    if (is_epoll()) return refuse(Call::epoll_ctl, error, times, index);
    refuse(Call::fcntl, EBADF, times, index);
  }
  static void refuse_no_more() { Seam::state.faults[0] = Seam::Fault(); }

  mote::StaticReactor<typename S::template Config<Descriptors>> loop;
};

// A closed descriptor goes on being reported, since it lives on in a duplicate: the next turn makes the selector anew.
struct Ghost {
  test::Pair pair = test::socket_pair();
  mote::Fd duplicate{::dup(pair.a.get())};
  mote::Source source;
  test::Recorder recorder;
  explicit Ghost(mote::Reactor& loop) {
    REQUIRE(source.open(loop, std::move(pair.a)));
    REQUIRE(source.watch(Interest::read, recorder));
  }
  void appear() {
    source.close();
    test::send_text(pair.b.get(), "x");
  }
};

}  // namespace

TEST_CASE("refusals: a removal that fails leaves the selector's count right: no creeping ENOBUFS") {
  for (const int error : {ENOMEM, EBADF, ENOENT, EPERM, EIO}) {
    Scene<test::OnEpoll, 2> scene;
    test::Recorder recorder;
    for (int i = 0; i < 10; ++i) {
      const test::Pair pair = test::socket_pair();
      const auto added = scene.loop.add(pair.a.get(), Interest::read, recorder);
      REQUIRE(error_of(added) == 0);
      scene.refuse(Call::epoll_ctl, error);
      CHECK(error_of(scene.loop.remove(*added)) == 0);
      scene.refuse_no_more();
      CHECK(scene.loop.vacancies() == 2);
    }
    const test::Pair pair = test::socket_pair();
    REQUIRE(scene.loop.add(pair.a.get(), Interest::write, recorder));
    REQUIRE(scene.loop.add(pair.b.get(), Interest::write, recorder));
    CHECK(test::turns(scene.loop, 1) == 2);
    CHECK(recorder.calls == 2);
  }
}

TEST_CASE("refusals: modify() that fails leaves all as before") {
  for (const int error : {ENOMEM, EBADF}) {
    Scene<test::OnEpoll> scene;
    test::Pair pair = test::socket_pair();
    test::Recorder recorder;
    const auto added = scene.loop.add(pair.a.get(), Interest::read, recorder);
    REQUIRE(added);
    scene.refuse(Call::epoll_ctl, error);
    CHECK(error_of(scene.loop.modify(*added, Interest::write)) == error);
    scene.refuse_no_more();
    CHECK(test::turns(scene.loop) == 0);
    test::send_text(pair.b.get(), "x");
    CHECK(test::turns(scene.loop, 3) == 3);
    CHECK(recorder.calls == 3);
    CHECK(recorder.last == Readiness::readable);
    REQUIRE(scene.loop.modify(*added, Interest::write));
    CHECK(test::turns(scene.loop, 2) == 2);
    CHECK(recorder.last == Readiness::writable);
  }
}

TEST_CASE("refusals: modify() that fails leaves what is always ready as before") {
  for (const int error : {ENOMEM, ENOSPC}) {
    Scene<test::OnEpoll> scene;
    const mote::Fd file(::open("/dev/null", O_RDONLY | O_CLOEXEC));
    test::Recorder recorder;
    const auto added = scene.loop.add(file.get(), Interest::read, recorder);
    REQUIRE(added);
    CHECK(test::turns(scene.loop, 3) == 3);
    scene.refuse(Call::epoll_ctl, error);
    CHECK(error_of(scene.loop.modify(*added, Interest::read)) == error);
    scene.refuse_no_more();
    CHECK(test::turns(scene.loop, 3) == 3);
    CHECK(error_of(scene.loop.add(file.get(), Interest::read, recorder)) == EEXIST);
  }
}

TEST_CASE("refusals: modify() of what has left the set on the way: it is heard again after the pause") {
  Scene<test::OnEpoll> scene;
  test::Pair pair = test::socket_pair(), other = test::socket_pair();
  test::Recorder recorder;
  const int number = pair.a.get();
  auto handler = [&](mote::Readiness readiness) {
    recorder(readiness);
    test::take_all(number);
  };
  const auto added = scene.loop.add(number, Interest::read, mote::Handler(handler));
  REQUIRE(added);
  REQUIRE(::dup2(other.a.get(), number) == number);  // another file: the change is ENOENT, and then the addition fails
  Seam::state.reset_counts();
  Seam::state.faults[0] = {Call::epoll_ctl, 3, ENOMEM};  // behind the removal of what is not there
  CHECK(error_of(scene.loop.modify(*added, Interest::read)) == ENOMEM);
  Seam::state.faults[0] = {};
  test::send_text(other.b.get(), "x");
  CHECK(error_of(scene.loop.run_for(mote::limits::retry_pause * 2)) == 0);
  CHECK(recorder.last == Readiness::readable);
}

TEST_CASE("refusals: modify() that fails while muted leaves it muted: it is heard again after the pause") {
  for (const int error : {ENOMEM, ENOSPC}) {
    Scene<test::OnEpoll> scene;
    test::Pair pipe = test::pipe_pair();
    test::Recorder recorder;
    const auto added = scene.loop.add(pipe.a.get(), Interest::read, recorder);
    REQUIRE(added);
    pipe.b.close();
    test::turn(scene.loop, 2);
    CHECK(recorder.calls == 1);
    scene.refuse(Call::epoll_ctl, error, 3);
    for (int i = 0; i < 3; ++i) CHECK(error_of(scene.loop.modify(*added, Interest::read)) == error);
    scene.refuse_no_more();
    CHECK(error_of(scene.loop.add(pipe.a.get(), Interest::read, recorder)) == EEXIST);
    const std::string path = "/proc/self/fd/" + std::to_string(pipe.a.get());
    pipe.b = mote::Fd(::open(path.c_str(), O_WRONLY | O_NONBLOCK | O_CLOEXEC));
    test::send_text(pipe.b.get(), "x");
    REQUIRE(scene.loop.run_once(150ms));
    test::turn(scene.loop, 2);
    CHECK(recorder.calls == 3);
    CHECK(recorder.last == Readiness::readable);
  }
}

ON_BOTH_SELECTORS("refusals: watch() that fails leaves all as before, the handler too") {
  Scene<S> scene;
  test::Pair pair = test::socket_pair();
  test::Recorder first, second;
  mote::Source source;
  REQUIRE(source.open(scene.loop, std::move(pair.a)));
  scene.refuse_adding(ENOMEM);
  CHECK_FALSE(source.watch(Interest::read, first));
  scene.refuse_no_more();
  test::send_text(pair.b.get(), "x");
  CHECK(test::turns(scene.loop) == 0);
  CHECK(first.calls == 0);
  REQUIRE(source.watch(Interest::read, first));
  CHECK(test::turns(scene.loop, 2) == 2);
  if (scene.is_epoll()) {
    scene.refuse(Call::epoll_ctl, ENOMEM);
    CHECK(error_of(source.watch(Interest::write, second)) == ENOMEM);
    scene.refuse_no_more();
    CHECK(test::turns(scene.loop, 2) == 2);
    CHECK(first.calls == 4);
    CHECK(second.calls == 0);
  }
}

ON_BOTH_SELECTORS("refusals: a reader whose arming failed can wait again, and so can another task") {
  Scene<S> scene;
  test::Pair pair = test::socket_pair();
  Stream stream;
  REQUIRE(stream.open(scene.loop, std::move(pair.a)));
  char bytes[8];
  const int error = scene.is_epoll() ? ENOMEM : EBADF;
  for (int i = 0; i < 3; ++i) {
    scene.refuse_adding(ENOMEM);
    test::Running failing(scene.loop, [&] { return stream.read(bytes); });
    test::turn(scene.loop, 2);
    REQUIRE(failing.done());
    CHECK(error_of(failing.result) == error);
    scene.refuse_no_more();
    test::Running reading(scene.loop, [&] { return stream.read(bytes); });
    test::turn(scene.loop, 2);
    CHECK_FALSE(reading.done());
    test::send_text(pair.b.get(), "x");
    test::turn(scene.loop, 2);
    REQUIRE(reading.done());
    CHECK(error_of(reading.result) == 0);
    stream.close();
    pair = test::socket_pair();
    REQUIRE(stream.open(scene.loop, std::move(pair.a)));
  }
}

TEST_CASE("refusals: a reader whose arming failed, in the same task, is armed when it reads again") {
  struct Reader : mote::StateMachine {
    Stream& stream;
    Result<std::size_t>& first;
    Result<std::size_t>& second;
    char bytes[8];
    Reader(Stream& s, Result<std::size_t>& one, Result<std::size_t>& two) : stream(s), first(one), second(two) {}
    mote::Step step() {
      MOTE_BEGIN();
      MOTE_AWAIT(first, stream.read(bytes));
      MOTE_AWAIT(second, stream.read(bytes));
      MOTE_END();
    }
  };
  for (const bool writer_waits : {false, true}) {  // then the descriptor is in the set already
    Scene<test::OnEpoll> scene;
    test::Pair pair = test::socket_pair();
    Stream stream;
    Result<std::size_t> first, second;
    mote::TaskPool<Reader, 1> pool;
    REQUIRE(stream.open(scene.loop, std::move(pair.a)));
    if (writer_waits) test::fill(stream.fd());
    ByteView rest = mote::bytes_of("more");
    test::Running writing(scene.loop, [&] { return stream.write_all(rest); });
    test::turn(scene.loop, 2);
    CHECK(writing.done() == !writer_waits);
    scene.refuse(Call::epoll_ctl, ENOMEM);
    REQUIRE(pool.spawn(scene.loop, stream, first, second));
    test::turn(scene.loop, 2);
    CHECK(error_of(first) == ENOMEM);
    test::send_text(pair.b.get(), "x");
    test::turn(scene.loop, 3);
    CHECK(error_of(second) == 0);
  }
}

TEST_CASE("refusals: disarming that fails once is made up for: the next wait is armed") {
  for (const int error : {ENOMEM, EINVAL, ENOSPC, EBADF}) {
    for (const std::uint32_t times : {1u, 2u, 10u}) {
      Scene<test::OnEpoll> scene;
      test::Pair pair = test::socket_pair();
      Stream stream;
      REQUIRE(stream.open(scene.loop, std::move(pair.a)));
      const std::size_t filled = test::fill(stream.fd());
      CHECK(filled != 0);
      char bytes[8];
      ByteView rest = mote::bytes_of("there is room");
      {
        test::Running reading(scene.loop, [&] { return stream.read(bytes); });
        test::Running writing(scene.loop, [&] { return stream.write_all(rest); });
        test::turn(scene.loop, 2);
        reading.cancel();
        test::turn(scene.loop, 2);
        CHECK(error_of(reading.result) == ECANCELED);
        scene.refuse(Call::epoll_ctl, error, times);
        test::send_text(pair.b.get(), "b");  // nobody waits for it: it is disarmed
        test::turn(scene.loop, 3);
        CHECK(Seam::state.faults_fired >= 1);
        CHECK_FALSE(writing.done());
        while (test::take_all(pair.b.get()) != "") {}
        test::turn(scene.loop, 12);
        scene.refuse_no_more();
        test::turn(scene.loop, 3);
        CHECK(writing.done());
        CHECK(error_of(writing.result) == 0);
      }
      test::Running reading(scene.loop, [&] { return stream.read(bytes); });
      test::turn(scene.loop, 3);
      REQUIRE(reading.done());
      CHECK(error_of(reading.result) == 0);
      test::Running again(scene.loop, [&] { return stream.read(bytes); });
      test::turn(scene.loop, 3);
      CHECK_FALSE(again.done());
      test::send_text(pair.b.get(), "c");
      test::turn(scene.loop, 3);
      REQUIRE(again.done());
      CHECK(bytes[0] == 'c');
      CHECK(test::turns(scene.loop) == 0);
    }
  }
}

TEST_CASE(
    "refusals: disarming that fails while the same task waits for the other direction: it hears what comes later") {
  struct Talker : mote::StateMachine {
    Stream& stream;
    ByteView& reply;
    int& reads;
    char byte[8];
    Result<std::size_t> got;
    Result<void> sent;
    Talker(Stream& s, ByteView& r, int& n) : stream(s), reply(r), reads(n) {}
    mote::Step step() {
      MOTE_BEGIN();
      MOTE_AWAIT(got, stream.read(byte));         // "a": arms read
      MOTE_AWAIT(sent, stream.write_all(reply));  // more than fits: arms write, too
      MOTE_AWAIT(got, stream.read(byte));         // "b", which came meanwhile
      reads = 1;
      MOTE_AWAIT(got, stream.read(byte));  // "c"
      reads = 2;
      MOTE_END();
    }
  };
  for (const int error : {ENOMEM, EINVAL, ENOSPC, EBADF}) {
    Scene<test::OnEpoll> scene;
    test::Pair pair = test::socket_pair();
    Stream stream;
    REQUIRE(stream.open(scene.loop, std::move(pair.a)));
    const std::string large(300'000, 'x');
    ByteView reply(large.data(), large.size());
    int reads = 0;
    mote::TaskPool<Talker, 1> pool;
    REQUIRE(pool.spawn(scene.loop, stream, reply, reads));
    test::turn(scene.loop, 1);
    test::send_text(pair.b.get(), "a");
    test::turn(scene.loop, 4);
    test::take_all(pair.b.get());
    test::send_text(pair.b.get(), "b");  // readable and writable together, while only the writer waits
    scene.refuse(Call::epoll_ctl, error);
    test::turn(scene.loop, 1);
    CHECK(Seam::state.faults_fired == 1);
    scene.refuse_no_more();
    for (int i = 0; i < 20; ++i) {
      test::take_all(pair.b.get());
      test::turn(scene.loop, 1);
    }
    CHECK(reads == 1);
    test::send_text(pair.b.get(), "c");
    test::turn(scene.loop, 20);
    CHECK(reads == 2);
  }
}

TEST_CASE("refusals: a selector that cannot be made anew for a while: run() says so, and then it goes on") {
  for (const int error : {ENFILE, EMFILE, ENOMEM}) {
    for (const std::uint32_t tries : {2u, 3u, 10u}) {  // two at first: the old set's end might have made room
      Scene<test::OnEpoll> scene;
      Ghost ghost(scene.loop);
      test::Pair live = test::pipe_pair(), late = test::pipe_pair();
      test::Recorder recorder, later;
      REQUIRE(scene.loop.add(live.a.get(), Interest::read, recorder));
      ghost.appear();
      scene.refuse(Call::epoll_create, error, tries);
      for (std::uint32_t i = 1; i < tries; ++i) CHECK(error_of(scene.loop.run_once(0ns)) == error);
      CHECK(Seam::state.faults_fired == tries);
      test::send_text(live.b.get(), "y");
      test::send_text(late.b.get(), "z");
      CHECK(error_of(scene.loop.run_once(0ns)) == 0);
      CHECK(recorder.calls == 1);
      REQUIRE(scene.loop.add(late.a.get(), Interest::read, later));
      CHECK(test::turns(scene.loop, 2) == 4);
      CHECK(recorder.calls == 3);
      CHECK(later.calls == 2);
      CHECK(scene.loop.stats().selector_rebuilds == 1);
    }
  }
}

TEST_CASE("refusals: a rebuild wakes the writer, too") {
  Scene<test::OnEpoll> scene;
  Ghost ghost(scene.loop);
  test::Pair pair = test::socket_pair();
  Stream stream;
  REQUIRE(stream.open(scene.loop, std::move(pair.a)));
  const std::size_t filled = test::fill(stream.fd());
  CHECK(filled != 0);
  ByteView rest = mote::bytes_of("there is room");
  test::Running writing(scene.loop, [&] { return stream.write_all(rest); });
  test::turn(scene.loop, 2);
  ghost.appear();
  scene.refuse(Call::epoll_ctl, ENOMEM);  // the stream cannot be added to the new set
  test::turn(scene.loop, 1);
  CHECK(scene.loop.stats().selector_rebuilds == 1);
  CHECK(Seam::state.faults_fired == 1);
  test::turn(scene.loop, 2);  // it tries again, and is armed anew
  while (test::take_all(pair.b.get()) != "") {}
  test::turn(scene.loop, 3);
  CHECK(writing.done());
  CHECK(error_of(writing.result) == 0);
}

TEST_CASE("refusals: a rebuild clears the reader, which does not wait and relies on what was armed last") {
  Scene<test::OnEpoll> scene;
  Ghost ghost(scene.loop);
  test::Pair pair = test::socket_pair();
  Stream stream;
  mote::Event go_on;
  Result<std::size_t> first, second;
  mote::TaskPool<test::ReadsTwice, 1> pool;
  REQUIRE(stream.open(scene.loop, std::move(pair.a)));
  REQUIRE(pool.spawn(scene.loop, stream, go_on, first, second));
  test::turn(scene.loop, 2);
  test::send_text(pair.b.get(), "x");
  test::turn(scene.loop, 2);
  CHECK(error_of(first) == 0);
  ghost.appear();
  scene.refuse(Call::epoll_ctl, ENOMEM);
  test::turn(scene.loop, 2);
  CHECK(scene.loop.stats().selector_rebuilds == 1);
  CHECK(Seam::state.faults_fired == 1);
  go_on.set();
  test::turn(scene.loop, 2);
  test::send_text(pair.b.get(), "y");
  test::turn(scene.loop, 3);
  CHECK(error_of(second) == 0);
}

TEST_CASE("refusals: after a fork the selector that could not be made is made by the next run") {
  Scene<test::OnEpoll> scene;
  test::Pair pair = test::socket_pair();
  test::Recorder recorder;
  REQUIRE(scene.loop.add(pair.a.get(), Interest::write, recorder));
  scene.refuse(Call::epoll_create, ENFILE, 2);
  CHECK(error_of(scene.loop.after_fork_in_child()) == ENFILE);
  CHECK(test::turns(scene.loop, 2) == 2);
  CHECK(recorder.calls == 2);
}

TEST_CASE("refusals: while the selector could not be made anew, add(), modify() and watch() say why, and try again") {
  for (const int error : {ENFILE, EMFILE, ENOMEM}) {
    CAPTURE(error);
    Scene<test::OnEpoll> scene;
    test::Pair first = test::socket_pair(), second = test::socket_pair(), third = test::socket_pair();
    test::Recorder heard_first, heard_second, heard_third;
    mote::Source source;
    REQUIRE(source.open(scene.loop, std::move(third.a)));
    const Result<mote::Registration> before = scene.loop.add(first.a.get(), Interest::read, heard_first);
    REQUIRE(before);
    scene.refuse(Call::epoll_create, error, 2 + 3);  // the rebuild tries twice, whoever comes later once
    CHECK(error_of(scene.loop.after_fork_in_child()) == error);
    CHECK(error_of(scene.loop.add(second.a.get(), Interest::read, heard_second)) == error);
    CHECK(error_of(scene.loop.modify(*before, Interest::write)) == error);
    CHECK(error_of(source.watch(Interest::read, heard_third)) == error);
    CHECK(scene.loop.stats().descriptors == 2);
    REQUIRE(scene.loop.add(second.a.get(), Interest::read, heard_second));
    REQUIRE(scene.loop.modify(*before, Interest::write));
    REQUIRE(source.watch(Interest::read, heard_third));
    test::send_text(second.b.get(), "x");
    test::send_text(third.b.get(), "x");
    test::turn(scene.loop);
    CHECK(heard_first.last == Readiness::writable);
    CHECK(heard_second.last == Readiness::readable);
    CHECK(heard_third.last == Readiness::readable);
    CHECK(Seam::state.faults_fired == 5);
  }
}

TEST_CASE("refusals: a handler that a rebuild could not keep is told so, and heard again after the pause") {
  for (const int error : {ENOMEM, ENOSPC, ELOOP}) {
    Scene<test::OnEpoll> scene;
    Ghost ghost(scene.loop);
    test::Pair pair = test::socket_pair();
    test::Recorder recorder;
    REQUIRE(scene.loop.add(pair.a.get(), Interest::read, recorder));
    ghost.appear();
    scene.refuse(Call::epoll_ctl, error, 3);
    test::turn(scene.loop, 3);
    CHECK(recorder.calls == 1);
    CHECK(recorder.last == Readiness::error);
    test::send_text(pair.b.get(), "x");
    for (int i = 0; i < 10 && recorder.calls < 2; ++i) REQUIRE(scene.loop.run_once(100ms));
    CHECK(recorder.last == Readiness::readable);
    CHECK(Seam::state.faults_fired == 3);
  }
}

ON_BOTH_SELECTORS("refusals: a pause of accept() and of a muted handler at the same time: each is made up for") {
  Scene<S> scene;
  test::Pair pipe = test::pipe_pair();
  test::Recorder recorder;
  mote::Listener listener;
  REQUIRE(listener.open(scene.loop, any_unix()));
  const mote::Endpoint at = name_of(listener.fd());
  const mote::Fd client(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  REQUIRE(::connect(client.get(), at.address(), at.size()) == 0);
  REQUIRE(scene.loop.add(pipe.a.get(), Interest::read, recorder));
  pipe.b.close();
  scene.refuse(Call::accept, EMFILE, 3);
  test::Running accepting(scene.loop, [&] { return listener.accept(); });
  REQUIRE(scene.loop.run_for(250ms));
  CHECK_FALSE(accepting.done());
  const std::string path = "/proc/self/fd/" + std::to_string(pipe.a.get());
  pipe.b = mote::Fd(::open(path.c_str(), O_WRONLY | O_NONBLOCK | O_CLOEXEC));
  test::send_text(pipe.b.get(), "x");
  for (int i = 0; i < 10 && recorder.calls < 2; ++i) REQUIRE(scene.loop.run_once(100ms));
  CHECK(recorder.last == Readiness::readable);
  test::turn(scene.loop, 2);
  CHECK(accepting.done());
  CHECK(error_of(accepting.result) == 0);
}
