// SPDX-License-Identifier: MIT
// Rooms: reactor/loop.hpp (after_fork_in_child), thread/signals.hpp, thread/waker.hpp, thread/mailbox.hpp,
// shutdown/graceful_shutdown.hpp.
// What a forked child may do with the objects that it has inherited, and that its parent is not disturbed.
#include <spawn.h>

#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "support/child.hpp"
#include "support/harness.hpp"
#include "support/interruption.hpp"

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

// ------------------------------------------------------------------------------------------------ signals of others

namespace {

// Puts a disposition in place for as long as it lives.
class Disposition {
 public:
  Disposition(int signal, void (*handler)(int)) : signal_(signal) {
    struct sigaction action;
    ::memset(&action, 0, sizeof action);
    action.sa_handler = handler;
    put(action);
  }
  Disposition(int signal, void (*handler)(int, siginfo_t*, void*)) : signal_(signal) {
    struct sigaction action;
    ::memset(&action, 0, sizeof action);
    action.sa_sigaction = handler;
    action.sa_flags = SA_SIGINFO;
    put(action);
  }
  Disposition(const Disposition&) = delete;
  Disposition& operator=(const Disposition&) = delete;
  ~Disposition() { ::sigaction(signal_, &before_, nullptr); }
  static bool is(int signal, void (*handler)(int)) {
    struct sigaction now;
    return ::sigaction(signal, nullptr, &now) == 0 && now.sa_handler == handler;
  }
 private:
  void put(const struct sigaction& action) { REQUIRE(::sigaction(signal_, &action, &before_) == 0); }
  int signal_;
  struct sigaction before_;
};

std::atomic<int> heard{0}, heard_value{0}, heard_code{0};
void hear(int) { ++heard; }
void hear_information(int, siginfo_t* information, void*) {
  ++heard;
  heard_value.store(information->si_value.sival_int);
  heard_code.store(information->si_code);
}

}  // namespace

ON_BOTH_SELECTORS("fork: in a child that does not go on with the loop a signal has the effect of before: the default") {
  Busy<S> busy;
  SUBCASE("raised by itself") {
    Child child([] { return ::raise(SIGUSR1); });
    CHECK(child.join() == 1000 + SIGUSR1);
  }
  SUBCASE("sent by somebody else, while it waits") {
    Child child([] { return ::poll(nullptr, 0, 20'000); });
    REQUIRE(::kill(child.id(), SIGUSR1) == 0);
    CHECK(child.join() == 1000 + SIGUSR1);
  }
  SUBCASE("in a grandchild") {
    Child child([] {
      const Child grandchild([] { return ::raise(SIGUSR1); });
      return const_cast<Child&>(grandchild).join() == 1000 + SIGUSR1 ? 0 : 1;
    });
    CHECK(child.join() == 0);
  }
  SUBCASE("in a grandchild of a child that goes on with the loop") {
    Child child([&] {
      Verdict verdict;
      EXPECT(verdict, busy.loop.after_fork_in_child());
      Child grandchild([] { return ::raise(SIGUSR1); });
      EXPECT(verdict, grandchild.join() == 1000 + SIGUSR1);
      EXPECT(verdict, ::raise(SIGUSR1) == 0);
      EXPECT(verdict, test::run_until(busy.loop, [&] { return busy.signalled == 1; }));
      return verdict.exit_code();
    });
    CHECK(child.join() == 0);
  }
  CHECK(busy.signalled == 0);
  CHECK(busy.works());
}

ON_BOTH_SELECTORS("fork: in a child that does not go on with the loop a signal has the effect of before: ignored") {
  const Disposition ignored(SIGUSR1, SIG_IGN);
  Busy<S> busy;
  Child child([] {
    Verdict verdict;
    errno = ENOTTY;
    const int raised = ::raise(SIGUSR1);
    EXPECT(verdict, errno == ENOTTY);
    EXPECT(verdict, raised == 0);
    EXPECT(verdict, Disposition::is(SIGUSR1, SIG_IGN));
    EXPECT(verdict, ::raise(SIGUSR1) == 0);
    return verdict.exit_code();
  });
  CHECK(child.join() == 0);
  CHECK(busy.works());
}

ON_BOTH_SELECTORS("fork: in a child that does not go on with the loop a signal has the effect of before: a handler") {
  heard.store(0);
  const Disposition handler(SIGUSR1, hear);
  Busy<S> busy;
  Child child([] {
    Verdict verdict;
    EXPECT(verdict, ::raise(SIGUSR1) == 0);
    EXPECT(verdict, heard.load() == 1);
    EXPECT(verdict, Disposition::is(SIGUSR1, hear));
    EXPECT(verdict, ::raise(SIGUSR1) == 0);
    EXPECT(verdict, heard.load() == 2);
    return verdict.exit_code();
  });
  CHECK(child.join() == 0);
  CHECK(heard.load() == 0);
  CHECK(busy.works());
}

ON_BOTH_SELECTORS("fork: in a child that does not go on with the loop a saved handler gets the signal's information") {
  heard.store(0);
  const Disposition handler(SIGUSR1, hear_information);
  Busy<S> busy;
  Child child([] {
    Verdict verdict;
    sigval value{};
    value.sival_int = 42;
    EXPECT(verdict, ::sigqueue(::getpid(), SIGUSR1, value) == 0);
    while (heard.load() == 0) ::poll(nullptr, 0, 1);  // sanitizers may call handlers late
    EXPECT(verdict, heard.load() == 1);
    EXPECT(verdict, heard_value.load() == 42);
    EXPECT(verdict, heard_code.load() == SI_QUEUE);
    return verdict.exit_code();
  });
  CHECK(child.join() == 0);
  CHECK(busy.works());
}

ON_BOTH_SELECTORS(
    "fork: SIGCHLD in a child that does not go on with the loop is as by default, and children are its own") {
  Loop<S> loop;
  Signals signals;
  REQUIRE(signals.open(loop, {SIGCHLD}));
  Child child([] {
    Child grandchild([] { return 42; });
    return grandchild.join() == 42 ? 0 : 1;
  });
  CHECK(child.join() == 0);
}

ON_BOTH_SELECTORS("fork: a handler that was installed over the loop's, and calls it, is called once in a child") {
  static void (*inner)(int, siginfo_t*, void*) = nullptr;
  Loop<S> loop;
  Signals signals;
  REQUIRE(signals.open(loop, {SIGUSR1}));
  struct sigaction ours;
  REQUIRE(::sigaction(SIGUSR1, nullptr, &ours) == 0);
  inner = ours.sa_sigaction;
  heard.store(0);
  const Disposition outer(SIGUSR1, [](int signal, siginfo_t* information, void* context) {
    ++heard;
    inner(signal, information, context);
  });
  Child child([] {
    Verdict verdict;
    EXPECT(verdict, ::raise(SIGUSR1) == 0);
    EXPECT(verdict, heard.load() == 1);
    return verdict.exit_code();
  });
  CHECK(child.join() == 0);
}

// A child of vfork() has its own dispositions, but its parent's memory.
ON_BOTH_SELECTORS("fork: children of vfork() and posix_spawn() are as without the loop, and the loop is unharmed") {
  Busy<S> busy;
  const pid_t child = ::vfork();
  if (child == 0) {
    ::kill(::getpid(), SIGUSR1);
    ::_exit(0);
  }
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  CHECK(WIFSIGNALED(status));
  CHECK(WTERMSIG(status) == SIGUSR1);
  CHECK(busy.works());

  char program[] = "sh", option[] = "-c", command[] = "kill -USR1 $$; exit 0";
  char* const arguments[] = {program, option, command, nullptr};
  pid_t spawned = 0;
  REQUIRE(::posix_spawnp(&spawned, program, nullptr, nullptr, arguments, environ) == 0);
  REQUIRE(::waitpid(spawned, &status, 0) == spawned);
  CHECK(WIFSIGNALED(status));
  CHECK(busy.works());
}

// ------------------------------------------------------------------------------------------- what a child inherits

ON_BOTH_SELECTORS("fork: child that goes on with the loop has its signals, and gives them back") {
  const Disposition ignored(SIGUSR1, SIG_IGN);
  Busy<S> busy;
  SUBCASE("as they were") {}
  SUBCASE("and one that has come before the fork was the parent's") { REQUIRE(::raise(SIGUSR1) == 0); }
  const int before = busy.signalled;
  Child child([&] {
    Verdict verdict;
    EXPECT(verdict, ::raise(SIGUSR1) == 0);  // too early: ignored, as before
    EXPECT(verdict, busy.loop.after_fork_in_child());
    EXPECT(verdict, busy.loop.run_once(0ns));
    EXPECT(verdict, busy.signalled == before);
    EXPECT(verdict, busy.works());
    Signals other;
    EXPECT(verdict, other.open(busy.loop, {SIGUSR1}).error() == EBUSY);
    busy.signals.close();
    EXPECT(verdict, Disposition::is(SIGUSR1, SIG_IGN));
    EXPECT(verdict, other.open(busy.loop, {SIGUSR1}));
    return verdict.exit_code();
  });
  CHECK(child.join() == 0);
  CHECK(busy.works());
  busy.signals.close();
  CHECK(Disposition::is(SIGUSR1, SIG_IGN));
}

ON_BOTH_SELECTORS("fork: a daemon opens everything, forks, goes on in the child, and ends with grace") {
  Loop<S> loop;
  mote::Listener listener;
  mote::GracefulShutdown shutdown(loop, {SIGTERM}, 1ms, 1ms);
  REQUIRE(listener.open(loop, *mote::Endpoint::parse("127.0.0.1:0")));
  REQUIRE(shutdown.open());
  test::Pair pipe = test::pipe_pair();
  Child daemon([&] {
    Verdict verdict;
    EXPECT(verdict, loop.after_fork_in_child());
    Timer timer;
    auto tell = [&] { EXPECT(verdict, test::send_text(pipe.b.get(), "x") == 1); };
    timer.arm(loop, 0ns, tell);
    const Result<mote::ShutdownReport> report = shutdown.run();
    EXPECT(verdict, report && report->signal == SIGTERM);
    EXPECT(verdict, ::raise(SIGTERM) == 0);  // swallowed in its last moments
    return verdict.exit_code();
  });
  pollfd ready{pipe.a.get(), POLLIN, 0};
  REQUIRE(::poll(&ready, 1, 20'000) == 1);
  REQUIRE(::kill(daemon.id(), SIGTERM) == 0);
  CHECK(daemon.join() == 0);
  // The parent's is its own still.
  REQUIRE(::raise(SIGTERM) == 0);
  const Result<mote::ShutdownReport> report = shutdown.run();
  REQUIRE(report);
  CHECK(report->signal == SIGTERM);
  shutdown.close();
}

ON_BOTH_SELECTORS(
    "fork: amid a delivery, what is still to be delivered is delivered in both, and can be closed in both") {
  for (int forking = 0; forking < 3; ++forking) {
    for (const bool closes : {false, true}) {
      Loop<S> loop;
      std::array<Waker, 3> wakers;
      std::array<int, 3> calls{};
      int result = -1;
      bool is_child = false;
      auto on_wake = [&](int which) {
        ++calls[static_cast<std::size_t>(which)];
        if (which != forking || result >= 0 || is_child) return;
        const pid_t id = ::fork();
        if (id == 0) {
          ::alarm(10);
          is_child = true;
          if (!loop.after_fork_in_child()) ::_exit(99);
          if (closes) {
            for (Waker& waker : wakers) waker.close();
          }
          return;
        }
        int status = 0;
        REQUIRE(::waitpid(id, &status, 0) == id);
        result = WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
      };
      auto first = [&] { on_wake(0); };
      auto second = [&] { on_wake(1); };
      auto third = [&] { on_wake(2); };
      REQUIRE(wakers[0].open(loop, first));
      REQUIRE(wakers[1].open(loop, second));
      REQUIRE(wakers[2].open(loop, third));
      for (Waker& waker : wakers) waker.wake();
      const Result<std::uint32_t> ran = loop.run_once(0ns);
      if (is_child) {
        Verdict verdict;
        EXPECT(verdict, ran);
        for (int i = 0; i < 3; ++i) {
          EXPECT(verdict, calls[static_cast<std::size_t>(i)] == (closes && i > forking ? 0 : 1));
        }
        EXPECT(verdict, !closes || loop.run());  // nothing is left
        if (!closes) {
          for (Waker& waker : wakers) waker.wake();
          EXPECT(verdict, loop.run_once(0ns));
          EXPECT(verdict, calls == (std::array<int, 3>{2, 2, 2}));
        }
        ::_exit(verdict.exit_code());
      }
      REQUIRE(ran);
      CHECK(result == 0);
      CHECK(calls == std::array<int, 3>{1, 1, 1});
    }
  }
}

// ---- at every instruction of what another thread was doing

namespace {

struct Numbered {
  static inline int destroyed_unmade = 0;
  int value = 0, check = ~0;
  Numbered() = default;
  explicit Numbered(int v) : value(v), check(~v) {}
  Numbered(Numbered&& other) noexcept : value(other.value), check(other.check) {}
  Numbered& operator=(Numbered&& other) = default;
  ~Numbered() {
    if (check != ~value) ++destroyed_unmade;
  }
};

template <class S> struct Shared {
  Loop<S> loop;
  mote::Mailbox<Numbered, 4> mailbox;
  Waker waker;
  Signals signals;
  int woken = 0, signalled = 0;
  Shared() {
    REQUIRE(mailbox.open(loop));
    REQUIRE(waker.open(loop, mote::Delegate<void()>::of<&Shared::on_wake>(*this)));
    REQUIRE(signals.open(loop, {SIGUSR1}, mote::Delegate<void(int)>::of<&Shared::on_signal>(*this)));
  }
  void on_wake() { ++woken; }
  void on_signal(int) { ++signalled; }

  // Whether all of it works, and the mailbox holds what it must: 1, and perhaps 2, which was being posted.
  int verdict_in_child() {
    Verdict verdict;
    EXPECT(verdict, loop.after_fork_in_child());
    EXPECT(verdict, mailbox.post(Numbered(3)));
    EXPECT(verdict, mailbox.post(Numbered(4)));
    std::vector<int> received;
    while (Result<Numbered> message = mailbox.try_receive()) received.push_back(message->value);
    EXPECT(verdict, received == (std::vector<int>{1, 3, 4}) || received == (std::vector<int>{1, 2, 3, 4}));
    for (int lap = 0; lap < 3; ++lap) {  // no place of it is lost
      for (int i = 0; i < 4; ++i) EXPECT(verdict, mailbox.post(Numbered(i)));
      EXPECT(verdict, mailbox.post(Numbered(4)).error() == ENOBUFS);
      for (int i = 0; i < 4; ++i) {
        const Result<Numbered> message = mailbox.try_receive();
        EXPECT(verdict, message && message->value == i);
      }
    }
    EXPECT(verdict, Numbered::destroyed_unmade == 0);
    EXPECT(verdict, loop.run_once(0ns));
    const int woken_before = woken, signalled_before = signalled;
    waker.wake();
    EXPECT(verdict, ::raise(SIGUSR1) == 0);
    EXPECT(verdict, loop.run_once(5s));
    EXPECT(verdict, woken == woken_before + 1);
    EXPECT(verdict, signalled == signalled_before + 1);
    mailbox.close();
    waker.close();
    signals.close();
    EXPECT(verdict, loop.run());  // nothing is left
    return verdict.exit_code();
  }
};

// The code stands for what another thread does, in whose midst the loop's thread forks.
template <class S, class Code> void fork_at_every_instruction(Code code) {
  Shared<S>* shared = nullptr;
  int result = 0;
  auto fork_here = [&] {
    Child child([&] { return shared->verdict_in_child(); });
    result = child.join();
  };
  auto run = [&] {
    Shared<S> made;
    shared = &made;
    REQUIRE(made.mailbox.post(Numbered(1)));
    test::Interruption::begin();
    code(made);
    test::Interruption::end();
    if (result != 0) return result <= 254 ? result : 254;
    // And in the parent that other thread has done its work.
    Verdict verdict;
    EXPECT(verdict, made.loop.run_once(0ns));
    const Result<Numbered> first = made.mailbox.try_receive();
    EXPECT(verdict, first && first->value == 1);
    return verdict.exit_code();
  };
  test::Interruption::at_every_instruction(run, fork_here);
}

}  // namespace

ON_BOTH_SELECTORS("fork: at every instruction of another thread's post(), the child has what was complete, in order") {
  fork_at_every_instruction<S>([](Shared<S>& shared) { static_cast<void>(shared.mailbox.post(Numbered(2))); });
}

ON_BOTH_SELECTORS("fork: at every instruction of another thread's wake() and stop() all of it works in the child") {
  SUBCASE("while the loop sleeps") {
    fork_at_every_instruction<S>([](Shared<S>& shared) { shared.waker.wake(); });
  }
  SUBCASE("of a waker that is pending") {
    fork_at_every_instruction<S>([](Shared<S>& shared) {
      shared.waker.wake();
      shared.waker.wake();
    });
  }
  SUBCASE("stop()") {
    fork_at_every_instruction<S>([](Shared<S>& shared) { shared.loop.stop(); });
  }
}

ON_BOTH_SELECTORS("fork: at every instruction of a signal's handling all of it works in the child") {
  fork_at_every_instruction<S>([](Shared<S>&) { ::raise(SIGUSR1); });
}

// ---- at many points, and then many things

namespace {

// A loop with something of everything that others may touch, beside threads that do so all the time.
template <class S> class Crowd {
 public:
  static constexpr int points = 7;
  explicit Crowd(int point) : point_(point) {
    REQUIRE(opened_all());
    timer_.arm_every(loop, 1ms, mote::Timer::Callback::of<&Crowd::on_time>(*this));
    REQUIRE(loop.add(pair_.a.get(), Interest::read, mote::Handler::of<&Crowd::on_readable>(*this)));
    REQUIRE(test::send_text(pair_.b.get(), "x") == 1);
    REQUIRE(pool_.spawn(loop, *this));
    for (auto& thread : threads_) {
      thread = std::make_unique<std::thread>([this] {
        for (int i = 0; !stop_.load(); ++i) {
          wakers[static_cast<std::size_t>(i % 3)].wake();
          static_cast<void>(mailbox.post(i));
          if (i % 16 == 0) ::raise(SIGUSR1);
        }
      });
    }
  }
  ~Crowd() { join(); }
  void join() {
    stop_.store(true);
    for (auto& thread : threads_) {
      if (thread) thread->join();
      thread.reset();
    }
  }

  // Runs until it has forked. In the child it answers true.
  bool forks() {
    if (point_ == 0) here(0);
    while (child < 0 && !in_child) REQUIRE(loop.run_once(1ms));
    return in_child;
  }
  bool opened_all() {
    return wakers[0].open(loop, mote::Delegate<void()>::of<&Crowd::on_wake<0>>(*this)) &&
           wakers[1].open(loop, mote::Delegate<void()>::of<&Crowd::on_wake<1>>(*this)) &&
           wakers[2].open(loop, mote::Delegate<void()>::of<&Crowd::on_wake<2>>(*this)) &&
           mailbox.open(loop, mote::Delegate<void()>::of<&Crowd::on_message>(*this)) &&
           signals.open(loop, {SIGUSR1, SIGUSR2}, mote::Delegate<void(int)>::of<&Crowd::on_signal>(*this));
  }
  // Whether all of it works now, in a process without the threads.
  bool works() {
    timer_.cancel();
    if (!loop.run_once(0ns)) return false;
    const std::array<int, 5> before = calls;
    for (Waker& waker : wakers) waker.wake();
    const bool posted = bool(mailbox.post(-7));
    ::raise(SIGUSR2);
    if (!loop.run_once(5s)) return false;
    for (std::size_t i = 0; i < calls.size(); ++i) {
      if (calls[i] == before[i]) return false;
    }
    return posted && last_message == -7;
  }

  Loop<S> loop;
  std::array<Waker, 3> wakers;
  mote::Mailbox<int, 8> mailbox;
  Signals signals;
  std::array<int, 5> calls{};
  int last_message = 0;
  pid_t child = -1;
  bool in_child = false;
 private:
  struct Forking : mote::StateMachine {
    Crowd& crowd;
    mote::Step step() {
      crowd.here(6);
      return mote::done();
    }
    explicit Forking(Crowd& c) : crowd(c) {}
  };

  void here(int point) {
    if (point != point_ || child >= 0 || in_child) return;
    child = ::fork();
    REQUIRE(child >= 0);
    if (child != 0) return;
    ::alarm(20);
    in_child = true;
    for (auto& thread : threads_) static_cast<void>(thread.release());  // they are not here
    if (!loop.after_fork_in_child()) ::_exit(250);
  }
  template <int Which> void on_wake() {
    ++calls[Which];
    if (Which == 1) here(1);
  }
  void on_message() {
    ++calls[3];
    while (Result<int> message = mailbox.try_receive()) {
      last_message = *message;
      here(2);
    }
  }
  void on_signal(int) {
    ++calls[4];
    here(3);
  }
  void on_time() { here(4); }
  void on_readable(Readiness) { here(5); }

  const int point_;
  Timer timer_;
  test::Pair pair_ = test::socket_pair();
  mote::TaskPool<Forking, 1> pool_;
  std::atomic<bool> stop_{false};
  std::array<std::unique_ptr<std::thread>, 2> threads_;
};

// What the child does, in an order that the number chooses.
template <class S> int act(Crowd<S>& crowd, unsigned order) {
  Verdict verdict;
  for (int step = 0; step < 6; ++step) {
    order = order * 1664525u + 1013904223u;
    switch (order >> 29) {
      case 0: EXPECT(verdict, crowd.works()); break;
      case 1: EXPECT(verdict, crowd.loop.run_once(0ns)); break;
      case 2:
        static_cast<void>(crowd.mailbox.post(1));
        crowd.wakers[0].wake();
        ::raise(SIGUSR1);
        break;
      case 3:
        for (Waker& waker : crowd.wakers) waker.close();
        crowd.mailbox.close();
        crowd.signals.close();
        EXPECT(verdict, crowd.opened_all());
        EXPECT(verdict, crowd.works());
        break;
      case 4: EXPECT(verdict, crowd.loop.after_fork_in_child()); break;
      case 5: {
        crowd.wakers[1].close();
        EXPECT(verdict, crowd.loop.run_once(0ns));
        crowd.signals.close();
        crowd.mailbox.close();
        crowd.wakers[0].close();
        crowd.wakers[2].close();
        EXPECT(verdict, crowd.opened_all());
        break;
      }
      case 6: EXPECT(verdict, crowd.loop.run_for(1ms)); break;
      default: {
        Child grandchild([&] {
          Verdict inner;
          EXPECT(inner, crowd.loop.after_fork_in_child());
          EXPECT(inner, crowd.works());
          return inner.exit_code();
        });
        EXPECT(verdict, grandchild.join() == 0);
        break;
      }
    }
  }
  EXPECT(verdict, crowd.works());
  return verdict.exit_code();
}

}  // namespace

ON_BOTH_SELECTORS(
    "fork: at many points, amid deliveries and while threads wake, post and signal, child and parent go on") {
  // A sanitizer may keep a signal, and deliver it in a child that is forked meanwhile.
  const Disposition ignored(SIGUSR1, SIG_IGN), ignored_too(SIGUSR2, SIG_IGN);
  for (unsigned order = 0; order < 12; ++order) {
    for (int point = 0; point < Crowd<S>::points; ++point) {
      CAPTURE(order);
      CAPTURE(point);
      auto crowd = std::make_unique<Crowd<S>>(point);
      if (crowd->forks()) {
        const int result = act(*crowd, order * 7u + static_cast<unsigned>(point));
        const int descriptors = test::open_descriptors();
        crowd.reset();
        ::_exit(test::open_descriptors() < descriptors ? result : 251);
      }
      int status = 0;
      REQUIRE(::waitpid(crowd->child, &status, 0) == crowd->child);
      crowd->join();
      CHECK(WIFEXITED(status));
      CHECK(WEXITSTATUS(status) == 0);
      CHECK(crowd->works());
    }
  }
}
