// SPDX-License-Identifier: MIT
// Rooms: io/listener.hpp.
// Listeners: accepting in every case, bound to every kind of address, closed at every moment.
#include <netinet/tcp.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/time.h>

#include <string>
#include <vector>

#include "support/child.hpp"
#include "support/descriptors.hpp"
#include "support/operations.hpp"

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
using test::option;
using test::read_some;
using test::run_until;
using test::Running;

namespace {

// A plain blocking client. The connection is established by the kernel, whether or not it is ever accepted.
Fd client_of(const Endpoint& endpoint) {
  Fd fd(::socket(static_cast<int>(endpoint.family()), SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (::connect(fd.get(), endpoint.address(), endpoint.size()) != 0) fd.close();
  return fd;
}

Endpoint open_listener(mote::Reactor& reactor, Listener& listener, const char* address = "127.0.0.1:0") {
  REQUIRE(listener.open(reactor, *Endpoint::parse(address)));
  return *listener.local_endpoint();
}

// Accepts as many as it is told to, and keeps them.
struct Acceptor : mote::StateMachine {
  Acceptor(Listener& from, std::vector<Stream>& to, int& result) : listener(from), accepted(to), error(result) {}
  Listener& listener;
  std::vector<Stream>& accepted;
  int& error;
  Result<Stream> next;
  mote::Step step() {
    MOTE_BEGIN();
    for (;;) {
      MOTE_AWAIT(next, listener.accept());
      if (!next) break;
      accepted.push_back(std::move(*next));
    }
    error = next.error().code();
    MOTE_END();
  }
};

// A directory that goes with what is in it.
struct Directory {
  Directory() { REQUIRE(::mkdtemp(name) != nullptr); }
  ~Directory() {
    ::unlink(path().c_str());
    ::rmdir(name);
  }
  std::string path() const { return std::string(name) + "/socket"; }
  char name[24] = "/tmp/mote-test-XXXXXX";
};

// No more descriptors than there are now.
rlimit forbid_descriptors() {
  const int lowest = ::dup(STDERR_FILENO);
  ::close(lowest);
  rlimit before{};
  ::getrlimit(RLIMIT_NOFILE, &before);
  rlimit now = before;
  now.rlim_cur = static_cast<rlim_t>(lowest);
  ::setrlimit(RLIMIT_NOFILE, &now);
  return before;
}

}  // namespace

// --- accepting -------------------------------------------------------------------------------------------------------

ON_BOTH_SELECTORS("accept: waits for a connection; what it gives is non-blocking, closed on exec, and connected") {
  test::Loop<S> loop;
  for (const char* address : {"127.0.0.1:0", "[::1]:0"}) {
    Listener listener;
    const Endpoint endpoint = open_listener(loop, listener, address);
    Running accepting(loop, [&] { return listener.accept(); });
    CHECK(test::comes_to_rest(loop));
    CHECK_FALSE(accepting.done());
    const Fd client = client_of(endpoint);
    REQUIRE(client);
    REQUIRE(accepting.finish());
    Stream& stream = *accepting.result;
    CHECK((::fcntl(stream.fd(), F_GETFL) & O_NONBLOCK) != 0);
    CHECK(::fcntl(stream.fd(), F_GETFD) == FD_CLOEXEC);
    CHECK(std::string(stream.local_endpoint()->text().c_str()) == endpoint.text().c_str());
    test::send_text(client.get(), "hello");
    CHECK(read_some(loop, stream) == "hello");
  }
}

ON_BOTH_SELECTORS("accept: a backlog burst: all of them, in order, and then it rests") {
  test::Loop<S> loop;
  mote::TaskPool<Acceptor, 1> pool;
  Listener listener;
  const Endpoint endpoint = open_listener(loop, listener);
  std::vector<Fd> clients;
  for (int i = 0; i < 50; ++i) {
    clients.push_back(client_of(endpoint));
    REQUIRE(clients.back());
    test::send_text(clients.back().get(), std::to_string(i).c_str());
  }
  std::vector<Stream> accepted;
  int error = 0;
  REQUIRE(pool.spawn(loop, listener, accepted, error));
  CHECK(run_until(loop, [&] { return accepted.size() == clients.size(); }));
  CHECK(test::comes_to_rest(loop));
  for (std::size_t i = 0; i < accepted.size(); ++i) CHECK(read_some(loop, accepted[i]) == std::to_string(i));
}

ON_BOTH_SELECTORS("accept: client gone before accept, by FIN or by RST: the others are served") {
  test::Loop<S> loop;
  mote::TaskPool<Acceptor, 1> pool;
  Listener listener;
  const Endpoint endpoint = open_listener(loop, listener);
  Fd finished = client_of(endpoint), aborted = client_of(endpoint);
  const Fd patient = client_of(endpoint);
  test::send_text(finished.get(), "last words");
  finished.close();
  const linger hard{1, 0};
  REQUIRE(::setsockopt(aborted.get(), SOL_SOCKET, SO_LINGER, &hard, sizeof hard) == 0);
  aborted.close();
  test::send_text(patient.get(), "still here");
  std::vector<Stream> accepted;
  int error = 0;
  REQUIRE(pool.spawn(loop, listener, accepted, error));
  // Whether the kernel hands out what was reset (Linux) or says ECONNABORTED is its own business.
  CHECK(run_until(loop, [&] { return accepted.size() >= 2 && test::comes_to_rest(loop); }));
  CHECK(error == 0);
  std::vector<std::string> heard;
  for (Stream& stream : accepted) {
    const std::string text = read_some(loop, stream);
    if (text != "errno " + std::to_string(ECONNRESET)) heard.push_back(text);
  }
  CHECK(heard == std::vector<std::string>{"last words", "still here"});
  CHECK(read_some(loop, accepted.front()) == "");
}

ON_BOTH_SELECTORS("accept: EINTR: signals that come while it waits do not end it") {
  struct sigaction action {
  }, before{};
  action.sa_handler = [](int) {};  // without SA_RESTART
  REQUIRE(::sigaction(SIGALRM, &action, &before) == 0);
  const itimerval storm{{0, 1000}, {0, 1000}}, calm{};
  test::Loop<S> loop;
  Listener listener;
  const Endpoint endpoint = open_listener(loop, listener);
  Running accepting(loop, [&] { return listener.accept(); });
  REQUIRE(::setitimer(ITIMER_REAL, &storm, nullptr) == 0);
  CHECK_FALSE(run_until(
      loop, [&] { return accepting.done(); }, 20ms));
  Fd client(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  static_cast<void>(::connect(client.get(), endpoint.address(), endpoint.size()));
  CHECK(accepting.finish());
  REQUIRE(::setitimer(ITIMER_REAL, &calm, nullptr) == 0);
  REQUIRE(::sigaction(SIGALRM, &before, nullptr) == 0);
}

ON_BOTH_SELECTORS("accept: table full waits, and connections stay in the backlog until others leave") {
  test::Loop<S, 3> loop;
  mote::TaskPool<Acceptor, 1> pool;
  Listener listener;
  const Endpoint endpoint = open_listener(loop, listener);
  std::vector<Fd> clients;
  std::vector<Stream> accepted;
  accepted.reserve(8);
  int error = 0;
  REQUIRE(pool.spawn(loop, listener, accepted, error));
  CHECK(test::comes_to_rest(loop));  // it waits for the kernel's event
  for (int i = 0; i < 6; ++i) {
    clients.push_back(client_of(endpoint));
    REQUIRE(clients.back());
    CHECK(test::comes_to_rest(loop));  // no spin, though the listener goes on being ready
  }
  CHECK(accepted.size() == 2);
  CHECK(loop.vacancies() == 0);
  CHECK(test::turns_within(loop, 30ms) < 10);
  for (std::size_t left = 4; left > 0; --left) {
    accepted.erase(accepted.begin());
    CHECK(test::comes_to_rest(loop));
    CHECK(accepted.size() == 2);  // at once, not at the end of some pause
  }
  test::send_text(clients[5].get(), "the last");
  CHECK(read_some(loop, accepted[1]) == "the last");
  CHECK(error == 0);
}

ON_BOTH_SELECTORS(
    "accept: table full from the first attempt on: waits, and is woken by a registration that is removed") {
  test::Loop<S, 2> loop;
  test::Pair pair = test::pipe_pair();
  Listener listener;
  const Endpoint endpoint = open_listener(loop, listener);
  auto ignore = [](Readiness) {};
  const Result<mote::Registration> registration = loop.add(pair.a.get(), Interest::read, ignore);
  REQUIRE(registration);
  const Fd client = client_of(endpoint);
  Running accepting(loop, [&] { return listener.accept(); });
  CHECK(test::comes_to_rest(loop));
  CHECK_FALSE(accepting.done());
  CHECK(error_of(listener.try_accept()) == ENOBUFS);
  REQUIRE(loop.remove(*registration));
  CHECK(accepting.finish());
}

ON_BOTH_SELECTORS("accept: EMFILE pauses without spinning, and goes on when there are descriptors again") {
  test::Child child([] {
    test::Verdict verdict;
    test::Loop<S> loop;
    mote::TaskPool<Acceptor, 1> pool;
    Listener listener;
    const Endpoint endpoint = open_listener(loop, listener);
    std::vector<Stream> accepted;
    int error = 0;
    EXPECT(verdict, pool.spawn(loop, listener, accepted, error));
    EXPECT(verdict, test::comes_to_rest(loop));
    const Fd first = client_of(endpoint), second = client_of(endpoint);
    const rlimit before = forbid_descriptors();
    EXPECT(verdict, test::turns_within(loop, 250ms) < 20);
    EXPECT(verdict, accepted.empty());
    EXPECT(verdict, error == 0);
    EXPECT(verdict, error_of(listener.try_accept()) == EMFILE);
    EXPECT(verdict, ::setrlimit(RLIMIT_NOFILE, &before) == 0);
    EXPECT(verdict, run_until(loop, [&] { return accepted.size() == 2; }));
    EXPECT(verdict, test::comes_to_rest(loop));
    return verdict.exit_code();
  });
  CHECK(child.join() == 0);
}

ON_BOTH_SELECTORS("accept: EMFILE pauses every listener, and none is forgotten") {
  test::Child child([] {
    test::Verdict verdict;
    test::Loop<S> loop;
    mote::TaskPool<Acceptor, 3> pool;
    Listener listeners[3];
    std::vector<Fd> clients;
    std::vector<Stream> accepted[3];
    int errors[3] = {};
    for (std::size_t i = 0; i < 3; ++i) {
      clients.push_back(client_of(open_listener(loop, listeners[i])));
      EXPECT(verdict, pool.spawn(loop, listeners[i], accepted[i], errors[i]));
    }
    const rlimit before = forbid_descriptors();
    EXPECT(verdict, test::turns_within(loop, 120ms) < 20);
    EXPECT(verdict, ::setrlimit(RLIMIT_NOFILE, &before) == 0);
    EXPECT(verdict, run_until(loop, [&] {
             return accepted[0].size() == 1 && accepted[1].size() == 1 && accepted[2].size() == 1;
           }));
    return verdict.exit_code();
  });
  CHECK(child.join() == 0);
}

ON_BOTH_SELECTORS("accept: EMFILE, and closed or cancelled during the pause: ECANCELED at once") {
  test::Child child([] {
    test::Verdict verdict;
    test::Loop<S> loop;
    for (const bool cancelled : {false, true}) {
      Listener listener;
      const Fd client = client_of(open_listener(loop, listener));
      Running accepting(loop, [&] { return listener.accept(); });
      const rlimit before = forbid_descriptors();
      EXPECT(verdict, test::comes_to_rest(loop));
      EXPECT(verdict, !accepting.done());
      if (cancelled) accepting.cancel();
      else listener.close();
      EXPECT(verdict, loop.run_once(0ns));
      EXPECT(verdict, accepting.done());
      EXPECT(verdict, error_of(accepting.result) == ECANCELED);
      EXPECT(verdict, ::setrlimit(RLIMIT_NOFILE, &before) == 0);
    }
    return verdict.exit_code();
  });
  CHECK(child.join() == 0);
}

ON_BOTH_SELECTORS("accept: a second task that accepts from the same listener is answered EBUSY") {
  test::Loop<S> loop;
  Listener listener;
  const Endpoint endpoint = open_listener(loop, listener);
  Running accepting(loop, [&] { return listener.accept(); });
  CHECK(test::comes_to_rest(loop));
  CHECK(error_of(await(loop, [&] { return listener.accept(); })) == EBUSY);
  const Fd client = client_of(endpoint);
  CHECK(accepting.finish());
}

ON_BOTH_SELECTORS("accept: not open: EBADF; closed: ECANCELED; shut down behind our back: EINVAL") {
  test::Loop<S> loop;
  Listener none, listener;
  CHECK(error_of(await(loop, [&] { return none.accept(); })) == EBADF);
  CHECK(error_of(none.try_accept()) == EBADF);
  open_listener(loop, listener);
  Running accepting(loop, [&] { return listener.accept(); });
  CHECK(test::comes_to_rest(loop));
  REQUIRE(::shutdown(listener.fd(), SHUT_RDWR) == 0);
  CHECK(error_of(accepting.finish()) == EINVAL);
  listener.close();
  CHECK(error_of(await(loop, [&] { return listener.accept(); })) == ECANCELED);
}

ON_BOTH_SELECTORS("accept: in the callback style, one attempt at a time: EAGAIN when there is none") {
  test::Loop<S> loop;
  Listener listener;
  const Endpoint endpoint = open_listener(loop, listener);
  CHECK(error_of(listener.try_accept()) == EAGAIN);
  std::vector<Stream> accepted;
  auto handler = [&](Readiness readiness) {
    CHECK(readiness == Readiness::readable);
    Result<Stream> next = listener.try_accept();
    if (next) accepted.push_back(std::move(*next));
  };
  REQUIRE(listener.watch(Interest::read, handler));
  std::vector<Fd> clients;
  for (int i = 0; i < 5; ++i) clients.push_back(client_of(endpoint));
  CHECK(run_until(loop, [&] { return accepted.size() == 5; }));
  CHECK(test::comes_to_rest(loop));
}

ON_BOTH_SELECTORS("accept: 1,000 connections one after the other through a small table: no fd leak") {
  test::Loop<S, 2> loop;
  Listener listener;
  const Endpoint endpoint = open_listener(loop, listener);
  const int descriptors = test::open_descriptors();
  int wrong = 0;
  for (int i = 0; i < 1000; ++i) {
    const Fd client = client_of(endpoint);
    const linger hard{1, 0};  // no TIME_WAIT, for the sake of the tests that come after
    if (::setsockopt(client.get(), SOL_SOCKET, SO_LINGER, &hard, sizeof hard) != 0) ++wrong;
    if (!await(loop, [&] { return listener.accept(); })) ++wrong;
  }
  CHECK(wrong == 0);
  CHECK(test::open_descriptors() == descriptors);
  CHECK(loop.stats().descriptors == 1);
}

// --- closing ---------------------------------------------------------------------------------------------------------

ON_BOTH_SELECTORS("listener closed in its own callback: no further event, and new connections are refused") {
  test::Loop<S> loop;
  Listener listener;
  const Endpoint endpoint = open_listener(loop, listener);
  int calls = 0;
  Stream accepted;
  auto handler = [&](Readiness) {
    ++calls;
    accepted = std::move(*listener.try_accept());
    listener.close();
  };
  REQUIRE(listener.watch(Interest::read, handler));
  const Fd first = client_of(endpoint), second = client_of(endpoint);
  CHECK(run_until(loop, [&] { return calls != 0; }));
  CHECK(test::comes_to_rest(loop));
  CHECK(calls == 1);
  CHECK_FALSE(client_of(endpoint));
  CHECK(errno == ECONNREFUSED);
  test::send_text(first.get(), "kept");
  CHECK(read_some(loop, accepted) == "kept");
}

namespace {

struct OneShot : mote::StateMachine {  // serves one client, and closes the listener, then tries once more
  OneShot(Listener& from, std::string& result) : listener(from), told(result) {}
  Listener& listener;
  std::string& told;
  Result<Stream> next;
  mote::Step step() {
    MOTE_BEGIN();
    MOTE_AWAIT(next, listener.accept());
    told = next ? "one" : "none";
    listener.close();
    MOTE_AWAIT(next, listener.accept());
    told += next ? " and another" : " and errno " + std::to_string(next.error().code());
    MOTE_END();
  }
};

}  // namespace

ON_BOTH_SELECTORS("listener closed in its own task: the next accept answers at once") {
  test::Loop<S> loop;
  mote::TaskPool<OneShot, 1> pool;
  Listener listener;
  const Endpoint endpoint = open_listener(loop, listener);
  std::string told;
  REQUIRE(pool.spawn(loop, listener, told));
  CHECK(test::comes_to_rest(loop));
  const Fd first = client_of(endpoint), second = client_of(endpoint);
  CHECK(run_until(loop, [&] { return loop.stats().tasks == 0; }));
  CHECK(told == "one and errno " + std::to_string(ECANCELED));
}

ON_BOTH_SELECTORS(
    "listener closed or cancelled while an accept is pending, also for a slot in the table: ECANCELED, once") {
  test::Loop<S, 2> loop;
  for (const bool full : {false, true}) {
    for (const bool cancelled : {false, true}) {
      Listener listener;
      test::Pair pair = test::pipe_pair();
      Stream occupant;
      if (full) occupant = test::open_stream(loop, std::move(pair.a));
      const Endpoint endpoint = open_listener(loop, listener);
      const Fd client = full ? client_of(endpoint) : Fd();
      Running accepting(loop, [&] { return listener.accept(); });
      CHECK(test::comes_to_rest(loop));
      CHECK_FALSE(accepting.done());
      if (cancelled) accepting.cancel();
      else listener.close();
      CHECK(error_of(accepting.finish()) == ECANCELED);
      CHECK(test::comes_to_rest(loop));
      CHECK(accepting.completions == 1);
    }
  }
}

ON_BOTH_SELECTORS("listener: an accept that was cancelled takes no connection away from the next") {
  test::Loop<S> loop;
  Listener listener;
  const Endpoint endpoint = open_listener(loop, listener);
  Running cancelled(loop, [&] { return listener.accept(); });
  CHECK(test::comes_to_rest(loop));
  const Fd client = client_of(endpoint);
  REQUIRE(loop.run_once(1s));
  cancelled.cancel();
  CHECK(error_of(cancelled.finish()) == ECANCELED);
  CHECK(await(loop, [&] { return listener.accept(); }));
}

ON_BOTH_SELECTORS("listener: released, it goes on listening, and may be taken over again") {
  test::Loop<S> loop;
  Listener listener;
  const Endpoint endpoint = open_listener(loop, listener);
  const Fd raw = listener.release();
  const Fd client = client_of(endpoint);
  CHECK(client);
  CHECK(Fd(::accept4(raw.get(), nullptr, nullptr, SOCK_CLOEXEC)));
}

ON_BOTH_SELECTORS("listener: moved, the new one accepts") {
  test::Loop<S> loop;
  Listener first;
  const Endpoint endpoint = open_listener(loop, first);
  Listener second = std::move(first);
  const Fd client = client_of(endpoint);
  CHECK(await(loop, [&] { return second.accept(); }));
  loop.close_listeners();
  CHECK_FALSE(second.is_open());
  CHECK_FALSE(client_of(endpoint));
}

// --- binding ---------------------------------------------------------------------------------------------------------

ON_BOTH_SELECTORS("bind: EADDRINUSE, EADDRNOTAVAIL, and the other errors: nothing is left open") {
  test::Loop<S, 2> loop;
  Listener first, second;
  const Endpoint taken = open_listener(loop, first);
  const int descriptors = test::open_descriptors();
  const auto refused = [&](const Endpoint& endpoint) { return error_of(second.open(loop, endpoint)); };
  CHECK(refused(taken) == EADDRINUSE);
  CHECK(refused(*Endpoint::parse("203.0.113.77:0")) == EADDRNOTAVAIL);
  CHECK(refused(*Endpoint::parse("[2001:db8::77]:0")) == EADDRNOTAVAIL);
  CHECK(refused(Endpoint()) == EAFNOSUPPORT);
  CHECK(refused(*Endpoint::parse("unix:/tmp/mote-test-no-such-directory/socket")) == ENOENT);
  CHECK(error_of(first.open(loop, *Endpoint::parse("127.0.0.1:0"))) == EBUSY);
  mote::StaticReactor<> not_open;
  CHECK(error_of(second.open(not_open, *Endpoint::parse("127.0.0.1:0"))) == ENXIO);
  CHECK_FALSE(second.is_open());
  CHECK(test::open_descriptors() == descriptors);
  REQUIRE(second.open(loop, *Endpoint::parse("127.0.0.1:0")));
  Listener third;
  CHECK(error_of(third.open(loop, *Endpoint::parse("127.0.0.1:0"))) == ENOBUFS);
  CHECK(test::open_descriptors() == descriptors + 1);
}

ON_BOTH_SELECTORS("bind: ephemeral port: each gets one of its own, and tells which") {
  test::Loop<S> loop;
  Listener first, second;
  const Endpoint a = open_listener(loop, first), b = open_listener(loop, second, "0.0.0.0:0");
  CHECK(a.port() != 0);
  CHECK(b.port() != 0);
  CHECK(a.port() != b.port());
  CHECK(client_of(*Endpoint::ip("127.0.0.1", b.port())));
}

ON_BOTH_SELECTORS("bind: IPv6, for itself alone or for IPv4 too") {
  test::Loop<S> loop;
  for (const bool alone : {true, false}) {
    Listener listener;
    Listener::Options options;
    options.ipv6_only = alone;
    REQUIRE(listener.open(loop, *Endpoint::parse("[::]:0"), options));
    CHECK(option(listener.fd(), IPPROTO_IPV6, IPV6_V6ONLY) == (alone ? 1 : 0));
    const Endpoint endpoint = *listener.local_endpoint();
    CHECK(endpoint.family() == mote::Family::ipv6);
    const Fd six = client_of(*Endpoint::ip("::1", endpoint.port()));
    CHECK(six);
    CHECK(await(loop, [&] { return listener.accept(); }));
    const Fd four = client_of(*Endpoint::ip("127.0.0.1", endpoint.port()));
    CHECK(static_cast<bool>(four) == !alone);
    if (!four) continue;
    const Result<Stream> accepted = await(loop, [&] { return listener.accept(); });
    REQUIRE(accepted);
    CHECK(std::string(accepted->peer_endpoint()->text().c_str()).rfind("[::ffff:127.0.0.1]:", 0) == 0);
  }
}

ON_BOTH_SELECTORS("bind: a Unix socket by path: served, and when it is already there: EADDRINUSE") {
  test::Loop<S> loop;
  const Directory directory;
  const Endpoint endpoint = *Endpoint::unix_path(directory.path().c_str());
  Listener listener, second;
  REQUIRE(listener.open(loop, endpoint));
  CHECK(std::string(listener.local_endpoint()->text().c_str()) == "unix:" + directory.path());
  const Fd client = client_of(endpoint);
  REQUIRE(client);
  Result<Stream> accepted = await(loop, [&] { return listener.accept(); });
  REQUIRE(accepted);
  CHECK(std::string(accepted->peer_endpoint()->text().c_str()) == "-");
  test::send_text(client.get(), "hello");
  CHECK(read_some(loop, *accepted) == "hello");
  CHECK(error_of(second.open(loop, endpoint)) == EADDRINUSE);
  const std::string other = directory.path() + "2";
  CHECK(error_of(listener.open(loop, *Endpoint::unix_path(other.c_str()))) == EBUSY);
  CHECK(::access(other.c_str(), F_OK) < 0);  // nothing is left of what was refused
  listener.close();
  CHECK(error_of(second.open(loop, endpoint)) == EADDRINUSE);  // the path stays until somebody removes it
  REQUIRE(::unlink(directory.path().c_str()) == 0);
  CHECK(second.open(loop, endpoint));
}

ON_BOTH_SELECTORS("bind: a Unix socket by abstract name, which is free again when it is closed") {
  test::Loop<S> loop;
  const Endpoint endpoint = *Endpoint::unix_path(("@mote-test-" + std::to_string(::getpid())).c_str());
  Listener listener, second;
  REQUIRE(listener.open(loop, endpoint));
  CHECK(error_of(second.open(loop, endpoint)) == EADDRINUSE);
  const Fd client = client_of(endpoint);
  CHECK(await(loop, [&] { return listener.accept(); }));
  listener.close();
  CHECK(second.open(loop, endpoint));
}

ON_BOTH_SELECTORS("bind: options are set as they are asked for, the defaults too") {
  test::Loop<S> loop;
  Listener plain, with, without;
  REQUIRE(plain.open(loop, *Endpoint::parse("127.0.0.1:0")));
  CHECK(option(plain.fd(), SOL_SOCKET, SO_REUSEADDR) == 1);
  CHECK(option(plain.fd(), SOL_SOCKET, SO_REUSEPORT) == 0);
  CHECK(option(plain.fd(), IPPROTO_TCP, TCP_NODELAY) == 0);
  Listener::Options options;
  options.reuse_address = false;
  options.reuse_port = true;
  options.no_delay = true;
  options.backlog = 1;
  REQUIRE(with.open(loop, *Endpoint::parse("127.0.0.1:0"), options));
  CHECK(option(with.fd(), SOL_SOCKET, SO_REUSEADDR) == 0);
  CHECK(option(with.fd(), SOL_SOCKET, SO_REUSEPORT) == 1);
  CHECK(without.open(loop, *with.local_endpoint(), options));  // the same port
  CHECK(error_of(Listener().open(loop, *plain.local_endpoint(), options)) == EADDRINUSE);
  without.close();
  const Fd client = client_of(*with.local_endpoint());
  const Result<Stream> accepted = await(loop, [&] { return with.accept(); });
  REQUIRE(accepted);
  CHECK(option(accepted->fd(), IPPROTO_TCP, TCP_NODELAY) == 1);  // inherited
}

ON_BOTH_SELECTORS("bind: an address whose old connections linger is taken over at once, unless told not to") {
  test::Loop<S> loop;
  Listener listener;
  const Endpoint endpoint = open_listener(loop, listener);
  {
    const Fd client = client_of(endpoint);
    Result<Stream> accepted = await(loop, [&] { return listener.accept(); });
    REQUIRE(accepted);
    accepted->close();  // the side that closes first lingers in TIME_WAIT
    CHECK(test::at_end(client.get()));
  }
  listener.close();
  Listener::Options strict;
  strict.reuse_address = false;
  CHECK(error_of(listener.open(loop, endpoint, strict)) == EADDRINUSE);
  CHECK(listener.open(loop, endpoint));
}
