// SPDX-License-Identifier: MIT
// Rooms: reactor/loop.hpp (after_fork_in_child), thread/signals.hpp, thread/waker.hpp.
// What a forked child may do with the objects that it has inherited, and that its parent is not disturbed.
#include <atomic>
#include <memory>
#include <string>
#include <thread>

#include "support/child.hpp"
#include "support/harness.hpp"

namespace {

using mote::Interest;
using mote::Readiness;
using mote::Result;
using mote::Signals;
using mote::Timer;
using mote::Waker;
using test::Child;
using test::Loop;
using test::Verdict;
using namespace std::chrono_literals;

// A loop with something of everything: a registered descriptor, a waker, a signal.
template <class S> struct Busy {
  Loop<S> loop;
  test::Pair pair = test::socket_pair();
  Waker waker;
  Signals signals;
  mote::Registration registration;
  int received = 0, woken = 0, signalled = 0;

  Busy() {
    Result<mote::Registration> added =
        loop.add(pair.a.get(), Interest::read, mote::Handler::of<&Busy::on_readable>(*this));
    REQUIRE(added);
    registration = *added;
    REQUIRE(waker.open(loop, mote::Delegate<void()>::of<&Busy::on_wake>(*this)));
    REQUIRE(signals.open(loop, {SIGUSR1}, mote::Delegate<void(int)>::of<&Busy::on_signal>(*this)));
  }
  void on_readable(Readiness) {
    char byte;
    if (::read(pair.a.get(), &byte, 1) == 1) ++received;
  }
  void on_wake() { ++woken; }
  void on_signal(int) { ++signalled; }

  // Whether all of it still works, as seen from this process.
  bool works() {
    const int received_before = received, woken_before = woken, signalled_before = signalled;
    if (test::send_text(pair.b.get(), "x") != 1) return false;
    waker.wake();
    if (::raise(SIGUSR1) != 0) return false;
    return test::run_until(
        loop, [&] { return received > received_before && woken > woken_before && signalled > signalled_before; }, 5s);
  }
};

// How many lines a program prints.
int lines_printed_by(const char* program, const char* argument) {
  int fds[2];
  REQUIRE(::pipe2(fds, O_CLOEXEC) == 0);
  mote::Fd out(fds[0]), in(fds[1]);
  Child child([&] {
    ::dup2(in.get(), STDOUT_FILENO);
    ::execlp(program, program, argument, static_cast<char*>(nullptr));
    return 127;
  });
  in.close();
  int lines = 0;
  char bytes[512];
  for (;;) {
    const ssize_t n = ::read(out.get(), bytes, sizeof bytes);
    if (n <= 0) break;
    for (ssize_t i = 0; i < n; ++i) lines += bytes[i] == '\n' ? 1 : 0;
  }
  CHECK(child.join() == 0);
  return lines;
}

}  // namespace

ON_BOTH_SELECTORS("fork: child re-initialises, and both go on, each with its own") {
  Busy<S> busy;
  Child child([&] {
    Verdict verdict;
    EXPECT(verdict, busy.loop.after_fork_in_child());
    // What was inherited is ours now: descriptors with a peer of our own, so as not to take the parent's bytes.
    test::Pair own = test::socket_pair();
    int received = 0;
    auto receive = [&](Readiness) {
      char byte;
      if (::read(own.a.get(), &byte, 1) == 1) ++received;
    };
    EXPECT(verdict, busy.loop.remove(busy.registration));
    EXPECT(verdict, busy.loop.add(own.a.get(), Interest::read, receive));
    EXPECT(verdict, test::send_text(own.b.get(), "x") == 1);
    EXPECT(verdict, test::run_until(busy.loop, [&] { return received == 1; }));
    busy.waker.wake();
    EXPECT(verdict, test::run_until(busy.loop, [&] { return busy.woken == 1; }));
    busy.signals.close();
    EXPECT(verdict, busy.signals.open(busy.loop, {SIGUSR1}, mote::Delegate<void(int)>::of<&Busy<S>::on_signal>(busy)));
    ::raise(SIGUSR1);
    EXPECT(verdict, test::run_until(busy.loop, [&] { return busy.signalled == 1; }));
    Timer timer;
    bool fired = false;
    auto fire = [&] { fired = true; };
    timer.arm(busy.loop, 1ms, fire);
    EXPECT(verdict, test::run_until(busy.loop, [&] { return fired; }));
    return verdict.exit_code();
  });
  CHECK(child.join() == 0);
  CHECK(busy.received + busy.woken + busy.signalled == 0);
  CHECK(busy.works());
}

ON_BOTH_SELECTORS("fork: child re-initialises, and its events are those of the inherited descriptors") {
  Busy<S> busy;
  REQUIRE(test::send_text(busy.pair.b.get(), "x") == 1);
  Child child([&] {
    Verdict verdict;
    EXPECT(verdict, busy.loop.after_fork_in_child());
    EXPECT(verdict, test::run_until(busy.loop, [&] { return busy.received == 1; }));
    return verdict.exit_code();
  });
  CHECK(child.join() == 0);
  CHECK(busy.works());
}

ON_BOTH_SELECTORS("fork: child re-initialises inside of a callback of the running loop") {
  Busy<S> busy;
  int in_child = -1;
  Timer timer;
  auto fork_here = [&] {
    Child child([&] {
      Verdict verdict;
      EXPECT(verdict, busy.loop.after_fork_in_child());
      EXPECT(verdict, busy.loop.run_once(0ns).error() == EBUSY);  // we are still inside of the run
      return verdict.exit_code();
    });
    in_child = child.join();
    busy.loop.stop();
  };
  timer.arm(busy.loop, 0ns, fork_here);
  REQUIRE(busy.loop.run_for(10s));
  CHECK(in_child == 0);
  CHECK(busy.works());
}

ON_BOTH_SELECTORS("fork: child re-initialises while tasks wait, and steps them itself") {
  struct Reader : mote::StateMachine {
    mote::Stream stream;
    int* received;
    std::array<char, 8> bytes{};
    Result<std::size_t> n;
    mote::Step step() {
      MOTE_BEGIN();
      for (;;) {
        MOTE_AWAIT(n, stream.read(bytes));
        if (!n || *n == 0) return mote::done();
        *received += static_cast<int>(*n);
      }
      MOTE_END();
    }
    Reader(mote::Stream&& s, int& r) : stream(std::move(s)), received(&r) {}
  };
  Loop<S> loop;
  mote::TaskPool<Reader, 1> pool;
  test::Pair pair = test::socket_pair();
  int received = 0;
  mote::Stream stream;
  REQUIRE(stream.open(loop, std::move(pair.a)));
  REQUIRE(pool.spawn(loop, std::move(stream), received));
  REQUIRE(loop.run_once(0ns));
  REQUIRE(loop.run_once(0ns));
  Child child([&] {
    Verdict verdict;
    EXPECT(verdict, loop.after_fork_in_child());
    EXPECT(verdict, test::send_text(pair.b.get(), "abc") == 3);
    EXPECT(verdict, test::run_until(loop, [&] { return received == 3; }));
    return verdict.exit_code();
  });
  CHECK(child.join() == 0);
  REQUIRE(test::send_text(pair.b.get(), "x") == 1);
  CHECK(test::run_until(loop, [&] { return received == 1; }));
}

ON_BOTH_SELECTORS("fork: after_fork_in_child leaks no descriptor, and the parent's stay open") {
  Busy<S> busy;
  const int before = test::open_descriptors();
  Child child([&] {
    Verdict verdict;
    EXPECT(verdict, busy.loop.after_fork_in_child());
    EXPECT(verdict, busy.loop.after_fork_in_child());
    EXPECT(verdict, test::open_descriptors() == before);
    return verdict.exit_code();
  });
  CHECK(child.join() == 0);
  CHECK(test::open_descriptors() == before);
}

TEST_CASE("fork: after_fork_in_child of a reactor that is not open is ENXIO") {
  mote::StaticReactor<> reactor;
  CHECK(reactor.after_fork_in_child().error() == ENXIO);
}

ON_BOTH_SELECTORS("fork: child closes without harm to the parent") {
  auto busy = std::make_unique<Busy<S>>();
  // And what tasks and sources own, armed in the kernel's set that both processes share.
  mote::Stream stream;
  mote::Listener listener;
  test::Pair own = test::socket_pair();
  int readable = 0;
  auto on_readable = [&](Readiness) {
    char byte;
    if (::read(stream.fd(), &byte, 1) == 1) ++readable;
  };
  REQUIRE(stream.open(busy->loop, std::move(own.a)));
  REQUIRE(stream.watch(Interest::read, on_readable));
  REQUIRE(listener.open(busy->loop, *mote::Endpoint::parse("127.0.0.1:0")));
  Child child([&] {
    Verdict verdict;
    const int inherited = test::open_descriptors();
    stream.close();
    listener.close();
    busy->signals.close();
    busy->waker.close();
    busy.reset();  // all of it
    EXPECT(verdict, test::open_descriptors() < inherited);
    return verdict.exit_code();
  });
  CHECK(child.join() == 0);
  CHECK(busy->works());
  REQUIRE(test::send_text(own.b.get(), "x") == 1);
  CHECK(test::run_until(busy->loop, [&] { return readable == 1; }));
  stream.close();
  CHECK(busy->works());
}

ON_BOTH_SELECTORS("fork: child that re-initialised and then closes does no harm to the parent") {
  auto busy = std::make_unique<Busy<S>>();
  Child child([&] {
    Verdict verdict;
    EXPECT(verdict, busy->loop.after_fork_in_child());
    EXPECT(verdict, busy->loop.remove(busy->registration));
    busy.reset();
    return verdict.exit_code();
  });
  CHECK(child.join() == 0);
  CHECK(busy->works());
}

ON_BOTH_SELECTORS("fork: a signal in the child does not reach the parent") {
  ::signal(SIGUSR1, SIG_IGN);
  Busy<S> busy;
  Child child([&] {
    for (int i = 0; i < 10; ++i) ::raise(SIGUSR1);
    return 0;
  });
  CHECK(child.join() == 0);
  REQUIRE(busy.loop.run_once(0ns));
  REQUIRE(busy.loop.run_for(2ms));
  CHECK(busy.signalled == 0);
  CHECK(busy.loop.stats().events == 0);  // not even a wake-up
  CHECK(busy.works());
  busy.signals.close();
  ::signal(SIGUSR1, SIG_DFL);
}

ON_BOTH_SELECTORS("fork: a signal in the parent does not reach the child") {
  Busy<S> busy;
  test::Pair pipe = test::pipe_pair();
  Child child([&] {
    Verdict verdict;
    EXPECT(verdict, busy.loop.after_fork_in_child());
    pollfd told{pipe.a.get(), POLLIN, 0};
    EXPECT(verdict, ::poll(&told, 1, 20'000) == 1);
    EXPECT(verdict, busy.loop.run_once(0ns));
    EXPECT(verdict, busy.signalled == 0);
    return verdict.exit_code();
  });
  REQUIRE(::raise(SIGUSR1) == 0);
  CHECK(test::run_until(busy.loop, [&] { return busy.signalled == 1; }));
  REQUIRE(test::send_text(pipe.b.get(), "x") == 1);
  CHECK(child.join() == 0);
}

ON_BOTH_SELECTORS("fork: a child that closes its signals has the dispositions of before, and the parent its own") {
  Busy<S> busy;
  Child child([&] {
    busy.signals.close();
    ::raise(SIGUSR1);  // ends it, as by default
    return 0;
  });
  CHECK(child.join() == 1000 + SIGUSR1);
  CHECK(busy.works());
}

// A child has one thread only: what the parent's others were about to do when it was forked will never be done.
ON_BOTH_SELECTORS("fork: child closes a waker that another thread was waking, and does not wait for it") {
  Busy<S> busy;
  std::atomic<bool> stop{false}, begun{false};
  std::thread other([&] {
    while (!stop.load()) {
      busy.waker.wake();
      begun.store(true);
    }
  });
  while (!begun.load()) std::this_thread::yield();
  int hung = 0;
  for (int i = 0; i < 50 && hung == 0; ++i) {
    Child child([&] {
      ::alarm(5);
      busy.waker.close();
      return 0;
    });
    if (child.join() != 0) ++hung;
  }
  stop.store(true);
  other.join();
  CHECK(hung == 0);
}

ON_BOTH_SELECTORS("fork: child closes signals of its own though another thread was handling one, and does not wait") {
  Loop<S> loop;
  Signals signals;
  auto ignore = [](int) {};
  REQUIRE(signals.open(loop, {SIGUSR2}, ignore));
  std::atomic<bool> stop{false}, begun{false};
  std::thread target([&] {
    while (!stop.load()) {
      ::raise(SIGUSR2);
      begun.store(true);
    }
  });
  while (!begun.load()) std::this_thread::yield();
  int hung = 0;
  for (int i = 0; i < 50 && hung == 0; ++i) {
    Child child([&] {
      ::alarm(5);
      Verdict verdict;
      EXPECT(verdict, loop.after_fork_in_child());
      signals.close();
      EXPECT(verdict, signals.open(loop, {SIGUSR1}, ignore));
      signals.close();
      return verdict.exit_code();
    });
    if (child.join() != 0) ++hung;
  }
  stop.store(true);
  target.join();
  CHECK(hung == 0);
}

ON_BOTH_SELECTORS("fork: CLOEXEC after exec: the new program has none of the loop's descriptors") {
  const int before = lines_printed_by("ls", "/proc/self/fd");
  REQUIRE(before >= 3);
  Busy<S> busy;
  mote::Stream client, server;
  mote::Listener listener;
  mote::Datagram datagram;
  REQUIRE(listener.open(busy.loop, *mote::Endpoint::parse("127.0.0.1:0")));
  REQUIRE(datagram.open(busy.loop, *mote::Endpoint::parse("127.0.0.1:0")));
  const Result<mote::Endpoint> address = listener.local_endpoint();
  REQUIRE(address);
  mote::Fd peer(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  REQUIRE(::connect(peer.get(), address->address(), address->size()) == 0);
  CHECK(test::run_until(busy.loop, [&] {
    Result<mote::Stream> accepted = listener.try_accept();
    if (accepted) server = *std::move(accepted);
    return server.is_open();
  }));
  CHECK(lines_printed_by("ls", "/proc/self/fd") == before);
  CHECK(busy.works());
}

ON_BOTH_SELECTORS("fork: a child that only execs does no harm to the parent") {
  Busy<S> busy;
  Child child([] {
    ::execlp("true", "true", static_cast<char*>(nullptr));
    return 127;
  });
  CHECK(child.join() == 0);
  CHECK(busy.works());
}

ON_BOTH_SELECTORS("fork: a child opens signals of its own in the place of those that it has inherited") {
  test::Loop<S> loop;
  mote::Signals inherited;
  REQUIRE(inherited.open(loop, {SIGUSR1}));
  test::Child child([&] {
    test::Verdict verdict;
    test::Loop<S> own_loop;
    mote::Signals own;
    int heard = 0;
    auto hear = [&](int) { ++heard; };
    EXPECT(verdict, own.open(own_loop, {SIGUSR1}, hear));
    EXPECT(verdict, ::raise(SIGUSR1) == 0);
    EXPECT(verdict, own_loop.run_once(mote::Duration::zero()));
    EXPECT(verdict, heard == 1);
    inherited.close();  // which has nothing to give back any more
    EXPECT(verdict, ::raise(SIGUSR1) == 0);
    EXPECT(verdict, own_loop.run_once(mote::Duration::zero()));
    EXPECT(verdict, heard == 2);
    own.close();
    struct sigaction now;
    EXPECT(verdict, ::sigaction(SIGUSR1, nullptr, &now) == 0);
    EXPECT(verdict, now.sa_handler == SIG_DFL);  // as it was before the parent's
    return verdict.exit_code();
  });
  CHECK(child.join() == 0);
}
