// SPDX-License-Identifier: MIT
// Rooms: system/system.hpp, system/linux_system.hpp, and every room that makes system calls.
// Every operation is run once to count its system calls, then once for each of these calls and each errno of its manual
// page, with that call failing. The table below says what must follow.
#include <signal.h>
#include <stdlib.h>

#include "support/echo.hpp"
#include "support/harness.hpp"
#include "support/manual_pages.hpp"

using namespace std::chrono_literals;

namespace {

using Seam = mote::FaultSystem;
using Call = Seam::Call;
using Fault = Seam::Fault;
using test::errors_of;

constexpr int recovered = 0;      // the operation succeeds all the same
constexpr int cannot_be = -1;     // not of this kind of descriptor: left out
constexpr int no_end = ETIME;     // it hangs or spins; no errno of any call below
constexpr int corrupt = EBADMSG;  // bytes were lost or doubled, something was early; likewise

// What becomes of a fault unless the operation says otherwise: mostly, its error is the operation's.
int usual(const Fault& fault) {
  const int error = fault.error;
  if (fault.call == Call::close || fault.call == Call::look) return recovered;
  if (error == EINTR && Seam::interruptible(fault.call)) return recovered;
  switch (fault.call) {
    case Call::read:
    case Call::write:
    case Call::recv:
    case Call::send:
    case Call::recvmsg:
    case Call::sendto: return error == EAGAIN ? recovered : error;
    case Call::accept:
      switch (error) {
        case EBADF:
        case EFAULT:
        case EINVAL:
        case ENOTSOCK:
        case ENOSR:
        case ESOCKTNOSUPPORT:
        case EPROTONOSUPPORT: return error;
        default:  // not now, gone before it was accepted, or a pause
          return recovered;
      }
    case Call::connect: return error == EINPROGRESS ? recovered : error;
    case Call::epoll_pwait2: return error == ENOSYS || error == EPERM ? recovered : error;
    case Call::epoll_ctl:                   // adding
      return error == EPERM    ? recovered  // an always-ready file
             : error == EEXIST ? ENOENT     // thought to be what a closed duplicate left behind, but there is none
                               : error;
    default: return error;
  }
}

template <class T> int code(const mote::Result<T>& result) { return result ? 0 : result.error().code(); }

// Writing to an eventfd of ours can be interrupted, and nothing else; and epoll can wait for it.
int of_wake(const Fault& fault) {
  if (fault.call == Call::write) return fault.error == EINTR ? recovered : cannot_be;
  if (fault.call == Call::epoll_ctl && fault.error == EPERM) return cannot_be;
  return fault.call == Call::read ? recovered : usual(fault);
}

// Base of the operations: a reactor, and the means to bring it to a state. attempt() answers 0 or an errno value; after
// a failure it can be called again, and then has to succeed.
template <class S> struct Operation {
  test::Loop<S, 8> loop;

  static int expected(const Fault& fault) { return usual(fault); }
  template <class Condition> int settle(Condition&& condition) {
    for (int turns = 0; !condition(); ++turns) {
      if (turns == 50) return no_end;
      if (const mote::Result<std::uint32_t> turn = loop.run_once(1s); !turn) return turn.error().code();
    }
    return 0;
  }
  void finish() { loop.destroy_all_tasks(); }
};

// Calls late() while the operation is pending: when the loop is about to wait for the first time.
template <class Derived> void call_late_before_wait(Derived& operation) {
  Seam::state.context = &operation;
  Seam::state.before_wait = [](void* context) {
    Seam::state.before_wait = nullptr;
    static_cast<Derived*>(context)->late();
  };
}

// One await of a task. Derived has operation(), gives T; accept(T) may look at what was given.
template <class S, class Derived, class T> struct TaskOperation : Operation<S> {
  struct Run : mote::StateMachine {
    TaskOperation& owner;
    mote::Result<T> result{mote::Error(EAGAIN)};
    explicit Run(TaskOperation& o) : owner(o) {}
    mote::Step step() {
      MOTE_BEGIN();
      MOTE_AWAIT(result, static_cast<Derived&>(owner).operation());
      owner.ended_with(result);
      MOTE_END();
    }
  };
  mote::TaskPool<Run, 1> pool;
  bool running = false;  // until its result has been handed out
  bool finished = false;
  int error = 0;
  int patience = 0;  // real milliseconds, for what the kernel does in the background

  // The first epoll_ctl arms; a later one disarms what has nobody to wait for it, and is tried again at the next event.
  static int expected(const Fault& fault) {
    return fault.call == Call::epoll_ctl && fault.index > 1 ? recovered : usual(fault);
  }
  void ended_with(mote::Result<T>& result) {
    finished = true;
    Seam::state.patience = 0;
    error = code(result);
    if constexpr (!std::is_void<T>::value) {
      if (result) error = static_cast<Derived*>(this)->check(*result);
    }
  }
  template <class U> int check(U&) { return 0; }
  void late() {}
  int attempt() {
    if (!running) {
      running = true;
      finished = false;
      REQUIRE(pool.spawn(this->loop, *this));
    }
    call_late_before_wait(static_cast<Derived&>(*this));
    Seam::state.patience = finished ? 0 : patience;
    const int settled = this->settle([&] { return finished; });
    if (settled != 0) return settled;
    running = false;
    return error;
  }
};

// The endpoint that a socket was given by the kernel.
mote::Endpoint name_of(int fd) {
  mote::Endpoint endpoint;
  socklen_t size = mote::Endpoint::capacity;
  REQUIRE(::getsockname(fd, endpoint.address(), &size) == 0);
  endpoint.resize(size);
  return endpoint;
}

// For bind(): the kernel chooses an abstract name. Unix sockets connect and deliver within the system call.
mote::Endpoint any_unix() {
  mote::Endpoint endpoint;
  endpoint.address()->sa_family = AF_UNIX;
  endpoint.resize(sizeof(sa_family_t));
  return endpoint;
}
mote::Endpoint any_tcp() { return *mote::Endpoint::parse("127.0.0.1:0"); }

mote::Fd raw_socket(int family, int type) {
  mote::Fd fd(::socket(family, type | SOCK_CLOEXEC, 0));
  REQUIRE(fd);
  return fd;
}
mote::Fd raw_socket_at(const mote::Endpoint& endpoint, int type) {
  mote::Fd fd = raw_socket(static_cast<int>(endpoint.family()), type);
  REQUIRE(::bind(fd.get(), endpoint.address(), endpoint.size()) == 0);
  if (type == SOCK_STREAM) REQUIRE(::listen(fd.get(), 8) == 0);
  return fd;
}

void ignore(mote::Readiness /*readiness*/) {}
const mote::Handler ignoring = mote::Handler::of<&ignore>();

// ------------------------------------------------------------------------------------------------------ the reactor

template <class S> struct OpenReactor {
  mote::StaticReactor<typename S::template Config<8>> loop;
  static int expected(const Fault& fault) { return usual(fault); }
  int attempt() { return code(loop.open()); }
  void finish() {}
};

template <class S> struct EnableWakeups : Operation<S> {
  int attempt() { return code(this->loop.enable_wakeups()); }
};

template <class S> struct AddDescriptor : Operation<S> {
  test::Pair pipe = test::pipe_pair();
  int attempt() {
    const int error = code(this->loop.add(pipe.a.get(), mote::Interest::read, ignoring));
    CHECK(this->loop.vacancies() == (error == 0 ? 7 : 8));
    return error;
  }
};

template <class S> struct ModifyDescriptor : Operation<S> {
  test::Pair pair = test::socket_pair();
  bool called = false;
  mote::Registration registration;
  ModifyDescriptor() {
    const auto made =
        this->loop.add(pair.a.get(), mote::Interest::read, mote::Handler::of<&ModifyDescriptor::on_event>(*this));
    REQUIRE(made);
    registration = *made;
  }
  void on_event(mote::Readiness readiness) { called = readiness == mote::Readiness::writable; }
  static int expected(const Fault& fault) {
    // The number seems to be another file's by now: it is added anew.
    if (fault.call == Call::epoll_ctl) return fault.error == ENOENT || fault.error == EPERM ? recovered : fault.error;
    return usual(fault);
  }
  int attempt() {
    if (const int error = code(this->loop.modify(registration, mote::Interest::write)); error != 0) return error;
    return this->settle([&] { return called; });
  }
};

template <class S> struct RemoveDescriptor : Operation<S> {
  test::Pair pipe = test::pipe_pair();
  mote::Registration registration;
  RemoveDescriptor() {
    const auto made = this->loop.add(pipe.a.get(), mote::Interest::read, ignoring);
    REQUIRE(made);
    registration = *made;
  }
  static int expected(const Fault& fault) { return fault.call == Call::epoll_ctl ? recovered : usual(fault); }
  int attempt() {
    const int error = code(this->loop.remove(registration));
    CHECK(this->loop.vacancies() == 8);
    return error;
  }
};

template <class S> struct DispatchEvent : Operation<S> {
  test::Pair pipe = test::pipe_pair();
  bool called = false;
  DispatchEvent() {
    REQUIRE(this->loop.add(pipe.a.get(), mote::Interest::read, mote::Handler::of<&DispatchEvent::on_event>(*this)));
    test::send_text(pipe.b.get(), "x");
  }
  void on_event(mote::Readiness readiness) { called = readiness == mote::Readiness::readable; }
  int attempt() {
    return this->settle([&] { return called; });
  }
};

// A handler's descriptor is out of the set once it reports a hang-up that was not asked for.
template <class S> struct MuteDescriptor : Operation<S> {
  test::Pair pipe = test::pipe_pair();
  int calls = 0;
  MuteDescriptor() {
    REQUIRE(this->loop.add(pipe.a.get(), mote::Interest::none, mote::Handler::of<&MuteDescriptor::on_event>(*this)));
    pipe.b.close();
  }
  void on_event(mote::Readiness /*readiness*/) { ++calls; }
  static int expected(const Fault& fault) { return fault.call == Call::epoll_ctl ? recovered : usual(fault); }
  int attempt() {
    return this->settle([&] { return calls != 0; });
  }
};

template <class S> struct RunToTheEnd : Operation<S> {
  test::Pair pipe = test::pipe_pair();
  mote::Registration registration;
  RunToTheEnd() {
    const auto made =
        this->loop.add(pipe.a.get(), mote::Interest::read, mote::Handler::of<&RunToTheEnd::on_event>(*this));
    REQUIRE(made);
    registration = *made;
    test::send_text(pipe.b.get(), "x");
  }
  void on_event(mote::Readiness /*readiness*/) { CHECK(this->loop.remove(registration)); }
  static int expected(const Fault& fault) { return fault.call == Call::epoll_ctl ? recovered : usual(fault); }
  int attempt() { return code(this->loop.run()); }
};

// A duplicate keeps a closed descriptor reporting: a new set is made. With poll there is nothing to cure.
template <class S> struct CureGhost : Operation<S> {
  test::Pair ghost = test::pipe_pair(), other = test::pipe_pair();
  mote::Fd duplicate{::dup(ghost.a.get())};
  mote::Source source;
  mote::Registration registration;
  bool called = false;
  CureGhost() {
    REQUIRE(source.open(this->loop, std::move(ghost.a)));
    REQUIRE(source.watch(mote::Interest::read, ignoring));
    const auto made =
        this->loop.add(other.a.get(), mote::Interest::read, mote::Handler::of<&CureGhost::on_event>(*this));
    REQUIRE(made);
    registration = *made;
    test::send_text(ghost.b.get(), "x");
    source.close();
    call_late_before_wait(*this);
  }
  void late() {}
  void on_event(mote::Readiness readiness) {
    if (readiness == mote::Readiness::error) {  // it could not be added to the new set
      CHECK(this->loop.modify(registration, mote::Interest::read));
    } else {
      called = true;
    }
  }
  static int expected(const Fault& fault) {
    return fault.call == Call::epoll_ctl || fault.call == Call::epoll_create ? recovered : usual(fault);
  }
  int attempt() {
    const bool has_ghosts = this->loop.pollable_descriptor() >= 0;
    const int settled = this->settle([&] { return !has_ghosts || this->loop.stats().selector_rebuilds == 1; });
    if (settled != 0) return settled;
    test::send_text(other.b.get(), "x");
    return this->settle([&] { return called; });
  }
};

template <class S> struct RebuildSelector {
  typename S::template Selector<4> selector;
  test::Pair pipe = test::pipe_pair();
  RebuildSelector() {
    REQUIRE(selector.open());
    REQUIRE(selector.add(pipe.a.get(), mote::Interest::read, 1));
    test::send_text(pipe.b.get(), "x");
  }
  static int expected(const Fault& fault) {
    if (fault.call == Call::epoll_create) return recovered;  // the old set makes room for the new one
    if (fault.call == Call::epoll_ctl) return fault.error;
    return usual(fault);
  }
  int attempt() {
    if (const int error = code(selector.rebuild()); error != 0) return error;
    if (const int error = code(selector.add(pipe.a.get(), mote::Interest::read, 2)); error != 0) return error;
    mote::Ready ready[4];
    const mote::Result<std::size_t> count = selector.wait(ready, 1s);
    if (!count) return count.error().code();
    return *count == 1 && ready[0].token == 2 ? 0 : corrupt;
  }
  void finish() { selector.close(); }
};

template <class S> struct AfterFork : Operation<S> {
  test::Pair pipe = test::pipe_pair();
  mote::Registration registration;
  mote::Waker waker;
  int woken = 0, events = 0;
  AfterFork() {
    REQUIRE(waker.open(this->loop, mote::Delegate<void()>::of<&AfterFork::on_wake>(*this)));
    const auto made =
        this->loop.add(pipe.a.get(), mote::Interest::read, mote::Handler::of<&AfterFork::on_event>(*this));
    REQUIRE(made);
    registration = *made;
    test::send_text(pipe.b.get(), "x");
  }
  void on_wake() { ++woken; }
  void on_event(mote::Readiness readiness) {
    if (readiness == mote::Readiness::error) {
      CHECK(this->loop.modify(registration, mote::Interest::read));
    } else {
      ++events;
    }
  }
  static int expected(const Fault& fault) {
    if (fault.call == Call::epoll_create) return recovered;
    if (fault.call == Call::fcntl || fault.call == Call::epoll_ctl) {
      if (fault.index == 2) return recovered;  // the handler is told, and asks again
    }
    return of_wake(fault);  // without wake-ups nothing else can be promised
  }
  int attempt() {
    if (const int error = code(this->loop.after_fork_in_child()); error != 0) return error;
    for (int turn = 0; turn < 2; ++turn) {  // by then every task has been told of its error
      if (const auto done = this->loop.run_once(0s); !done) return done.error().code();
    }
    woken = 0;
    events = 0;
    waker.wake();
    return this->settle([&] { return woken != 0 && events != 0; });
  }
};

// --------------------------------------------------------------------------------------------- wake-ups and signals

template <class S> struct OpenWaker : Operation<S> {
  mote::Waker waker;
  int attempt() {
    const int error = code(waker.open(this->loop));
    CHECK(waker.is_open() == (error == 0));
    return error;
  }
};

template <class S> struct Wake : Operation<S> {
  mote::Waker waker;
  bool called = false;
  Wake() { REQUIRE(waker.open(this->loop, mote::Delegate<void()>::of<&Wake::on_wake>(*this))); }
  void on_wake() { called = true; }
  static int expected(const Fault& fault) { return of_wake(fault); }
  int attempt() {
    waker.wake();
    return this->settle([&] { return called; });
  }
};

bool is_default(int signal) {
  struct sigaction current;
  return ::sigaction(signal, nullptr, &current) == 0 && current.sa_handler == SIG_DFL;
}

template <class S> struct OpenSignals : Operation<S> {
  mote::Signals signals;
  int attempt() {
    const int error = code(signals.open(this->loop, {SIGUSR1, SIGUSR2}));
    if (error != 0) {
      CHECK(is_default(SIGUSR1));
      CHECK(is_default(SIGUSR2));
    }
    return error;
  }
};

template <class S> struct CloseSignals : Operation<S> {
  mote::Signals signals;
  CloseSignals() { REQUIRE(signals.open(this->loop, {SIGUSR1, SIGUSR2})); }
  ~CloseSignals() {
    ::signal(SIGUSR1, SIG_DFL);
    ::signal(SIGUSR2, SIG_DFL);
  }
  static int expected(const Fault& fault) { return fault.call == Call::sigaction ? recovered : usual(fault); }
  int attempt() {
    signals.close();
    if (!is_default(SIGUSR1)) ::raise(SIGUSR1);  // a handler that could not be taken away has nothing to do
    return 0;
  }
};

template <class S> struct DeliverSignal : TaskOperation<S, DeliverSignal<S>, int> {
  mote::Signals signals;
  DeliverSignal() { REQUIRE(signals.open(this->loop, {SIGUSR1})); }
  auto operation() { return signals.next(); }
  void late() { ::raise(SIGUSR1); }
  int check(int signal) { return signal == SIGUSR1 ? 0 : corrupt; }
  static int expected(const Fault& fault) { return of_wake(fault); }
};

template <class S> struct ShutDown : Operation<S> {
  mote::Listener listener;
  struct Serve : mote::StateMachine {
    mote::Listener& listener;
    mote::Result<mote::Stream> client;
    explicit Serve(mote::Listener& l) : listener(l) {}
    mote::Step step() {
      MOTE_BEGIN();
      MOTE_AWAIT(client, listener.accept());
      MOTE_END();
    }
  };
  mote::TaskPool<Serve, 1> pool;
  ShutDown() {
    REQUIRE(listener.open(this->loop, any_unix()));
    REQUIRE(pool.spawn(this->loop, listener));
  }
  void late() { ::raise(SIGUSR1); }
  static int expected(const Fault& fault) {
    if (fault.call == Call::sigaction && fault.index > 2) return cannot_be;  // close() got it from sigaction itself
    // The task's wait comes after the wake-up descriptor's registration, and its failure is the task's.
    if ((fault.call == Call::epoll_ctl || fault.call == Call::fcntl) && fault.index > 1) return recovered;
    if (fault.call == Call::accept) return recovered;
    return of_wake(fault);
  }
  int attempt() {
    call_late_before_wait(*this);
    mote::GracefulShutdown shutdown(this->loop, {SIGUSR1});
    const mote::Result<mote::ShutdownReport> report = shutdown.run();
    shutdown.close();
    CHECK(is_default(SIGUSR1));
    return code(report);
  }
};

// ------------------------------------------------------------------------------------------------------------ timers

template <class S> struct FireTimer : Operation<S> {
  mote::Timer timer;
  bool fired = false;
  void on_time() { fired = true; }
  int attempt() {
    if (!timer.armed()) timer.arm(this->loop, 5ms, mote::Timer::Callback::of<&FireTimer::on_time>(*this));
    const int settled = this->settle([&] { return fired; });
    return settled == 0 && mote::Clock::now() < timer.deadline() ? corrupt : settled;
  }
};

template <class S> struct Sleep : TaskOperation<S, Sleep<S>, void> {
  mote::TaskTimer timer;
  auto operation() { return timer.sleep(5ms); }
};

template <class S> struct TimeOut : TaskOperation<S, TimeOut<S>, std::size_t> {
  test::Pair pair = test::socket_pair();
  mote::Stream stream;
  mote::TaskTimer timer;
  char bytes[8];
  TimeOut() { REQUIRE(stream.open(this->loop, std::move(pair.a))); }
  auto operation() { return mote::with_timeout(timer, 5ms, stream.read(bytes)); }
  int attempt() {
    const int ended = TaskOperation<S, TimeOut<S>, std::size_t>::attempt();
    return ended == ETIMEDOUT ? 0 : ended == 0 ? corrupt : ended;
  }
  static int expected(const Fault& fault) {
    // As always ready it would be tried in every turn, and virtual time stands still in them.
    if (fault.call == Call::epoll_ctl && fault.error == EPERM) return cannot_be;
    if (fault.call == Call::recv && fault.error == ETIMEDOUT) return recovered;  // the very same answer
    return usual(fault);
  }
};

// ---------------------------------------------------------------------------------------------------------- streams

template <class S> struct OpenSource : Operation<S> {
  test::Pair pipe = test::pipe_pair();
  mote::Source source;
  OpenSource() { REQUIRE(::fcntl(pipe.a.get(), F_SETFL, 0) == 0); }
  static int expected(const Fault& fault) {
    if (fault.call == Call::getsockopt && fault.error == ENOTSOCK) return recovered;
    return fault.call == Call::tcgetattr ? recovered : usual(fault);  // no terminal
  }
  int attempt() {
    const int error = code(source.open(this->loop, std::move(pipe.a)));
    CHECK(static_cast<bool>(pipe.a) == (error != 0));  // on failure it stays the caller's
    return error;
  }
};

template <class S> struct CloseSource : Operation<S> {
  test::Pair pipe = test::pipe_pair();
  mote::Source source;
  CloseSource() {
    REQUIRE(source.open(this->loop, std::move(pipe.a)));
    REQUIRE(source.watch(mote::Interest::read, ignoring));
  }
  int attempt() {
    source.close();
    CHECK(this->loop.vacancies() == 8);
    return source.is_open() ? corrupt : 0;
  }
};

template <class S> struct ReleaseSource : CloseSource<S> {
  static int expected(const Fault& fault) { return fault.call == Call::epoll_ctl ? recovered : usual(fault); }
  int attempt() {
    const mote::Fd fd = this->source.release();
    CHECK(this->loop.vacancies() == 8);
    return fd ? 0 : corrupt;
  }
};

template <class S> struct AwaitReadiness : TaskOperation<S, AwaitReadiness<S>, mote::Readiness> {
  test::Pair pair = test::socket_pair();
  mote::Source source;
  AwaitReadiness() { REQUIRE(source.open(this->loop, std::move(pair.a))); }
  auto operation() { return source.ready(mote::Interest::read); }
  void late() { test::send_text(pair.b.get(), "x"); }
  int check(mote::Readiness readiness) { return readiness == mote::Readiness::readable ? 0 : corrupt; }
  static int expected(const Fault& fault) {
    // A file for which epoll cannot wait is reported by nobody: the task would look in vain.
    if (fault.call == Call::epoll_ctl && fault.error == EPERM) return cannot_be;
    return TaskOperation<S, AwaitReadiness<S>, mote::Readiness>::expected(fault);
  }
};

template <class S> struct ConnectUnix : TaskOperation<S, ConnectUnix<S>, void> {
  mote::Fd listener = raw_socket_at(any_unix(), SOCK_STREAM);
  mote::Endpoint endpoint = name_of(listener.get());
  mote::Stream stream;
  auto operation() { return stream.connect(endpoint); }
  static int expected(const Fault& fault) {  // the socket is new
    if (fault.call == Call::connect && fault.error == EISCONN) return cannot_be;
    return TaskOperation<S, ConnectUnix<S>, void>::expected(fault);
  }
  int attempt() {
    const int ended = TaskOperation<S, ConnectUnix<S>, void>::attempt();
    if (!this->running) CHECK(stream.is_open() == (ended == 0));
    return ended;
  }
};

template <class S> struct ConnectTcp : TaskOperation<S, ConnectTcp<S>, void> {
  mote::Fd listener = raw_socket_at(any_tcp(), SOCK_STREAM);
  mote::Endpoint endpoint = name_of(listener.get());
  mote::Stream stream;
  ConnectTcp() { this->patience = 1000; }
  auto operation() { return stream.connect(endpoint); }
  static int expected(const Fault& fault) {  // the socket is new
    if (fault.call == Call::connect && fault.error == EISCONN) return cannot_be;
    return TaskOperation<S, ConnectTcp<S>, void>::expected(fault);
  }
  int attempt() {
    const int ended = TaskOperation<S, ConnectTcp<S>, void>::attempt();
    if (!this->running) CHECK(stream.is_open() == (ended == 0));
    return ended;
  }
};

// The stream `stream` on one end; the other end is `peer`.
template <class S, class Derived, class T> struct StreamOperation : TaskOperation<S, Derived, T> {
  mote::Fd peer;
  mote::Stream stream;
  explicit StreamOperation(test::Pair pair) : peer(std::move(pair.b)) {
    REQUIRE(stream.open(this->loop, std::move(pair.a)));
  }
};

template <class S> struct ReadSocket : StreamOperation<S, ReadSocket<S>, std::size_t> {
  char bytes[8];
  ReadSocket() : StreamOperation<S, ReadSocket<S>, std::size_t>(test::socket_pair()) {
    test::send_text(this->peer.get(), "data");
  }
  auto operation() { return this->stream.read(bytes); }
  int check(std::size_t size) { return size == 4 && ::memcmp(bytes, "data", 4) == 0 ? 0 : corrupt; }
};

template <class S> struct ReadSocketLater : StreamOperation<S, ReadSocketLater<S>, std::size_t> {
  char bytes[8];
  bool sent = false;
  ReadSocketLater() : StreamOperation<S, ReadSocketLater<S>, std::size_t>(test::socket_pair()) {}
  auto operation() { return this->stream.read(bytes); }
  void late() {
    if (!sent) sent = test::send_text(this->peer.get(), "data") == 4;
  }
  int check(std::size_t size) { return size == 4 && ::memcmp(bytes, "data", 4) == 0 ? 0 : corrupt; }
};

template <class S> struct ReadPipeLater : StreamOperation<S, ReadPipeLater<S>, std::size_t> {
  char bytes[8];
  bool sent = false;
  ReadPipeLater() : StreamOperation<S, ReadPipeLater<S>, std::size_t>(test::pipe_pair()) {}
  auto operation() { return this->stream.read(bytes); }
  void late() {
    if (!sent) sent = test::send_text(this->peer.get(), "data") == 4;
  }
  int check(std::size_t size) { return size == 4 && ::memcmp(bytes, "data", 4) == 0 ? 0 : corrupt; }
};

template <class S> struct ReadEnd : StreamOperation<S, ReadEnd<S>, std::size_t> {
  char bytes[8];
  ReadEnd() : StreamOperation<S, ReadEnd<S>, std::size_t>(test::socket_pair()) {}
  auto operation() { return this->stream.read(bytes); }
  void late() { this->peer.close(); }
  int check(std::size_t size) { return size == 0 ? 0 : corrupt; }
};

template <class S> struct ReadExactly : StreamOperation<S, ReadExactly<S>, void> {
  char bytes[8];
  mote::ByteSpan rest{bytes};
  bool sent = false;
  ReadExactly() : StreamOperation<S, ReadExactly<S>, void>(test::socket_pair()) {
    test::send_text(this->peer.get(), "one ");
  }
  auto operation() { return this->stream.read_exactly(rest); }
  void late() {
    if (!sent) sent = test::send_text(this->peer.get(), "more") == 4;
  }
  int attempt() {
    const int ended = StreamOperation<S, ReadExactly<S>, void>::attempt();
    return ended == 0 && ::memcmp(bytes, "one more", 8) != 0 ? corrupt : ended;
  }
};

template <class S> struct ReadLine : StreamOperation<S, ReadLine<S>, mote::ByteView> {
  mote::LineReader<16> reader;
  bool sent = false;
  ReadLine() : StreamOperation<S, ReadLine<S>, mote::ByteView>(test::socket_pair()) {
    test::send_text(this->peer.get(), "one ");
  }
  auto operation() { return reader.read_line(this->stream); }
  void late() {
    if (!sent) sent = test::send_text(this->peer.get(), "more\r\n") == 6;
  }
  int check(mote::ByteView line) { return line.size() == 8 && ::memcmp(line.data(), "one more", 8) == 0 ? 0 : corrupt; }
};

// More than fits: the peer takes what there is whenever the loop is about to wait.
template <class S, class Derived> struct WriteMuch : StreamOperation<S, Derived, void> {
  static constexpr std::size_t size = 100'000;
  unsigned char bytes[size], arrived[size];
  std::size_t count = 0;
  mote::ByteView rest{bytes};
  explicit WriteMuch(test::Pair pair) : StreamOperation<S, Derived, void>(std::move(pair)) {
    for (std::size_t i = 0; i < size; ++i) bytes[i] = static_cast<unsigned char>(i * 7 + i / 251);
  }
  auto operation() { return this->stream.write_all(rest); }
  void drain() {
    while (count < size) {
      const ssize_t n = ::read(this->peer.get(), arrived + count, size - count);
      if (n <= 0) return;
      count += static_cast<std::size_t>(n);
    }
  }
  void late() {
    drain();
    call_late_before_wait(static_cast<Derived&>(*this));
  }
  int attempt() {
    const int ended = StreamOperation<S, Derived, void>::attempt();
    Seam::state.before_wait = nullptr;
    if (ended != 0) return ended;
    drain();
    return count == size && rest.empty() && ::memcmp(bytes, arrived, size) == 0 ? 0 : corrupt;
  }
};
template <class S> struct WriteSocket : WriteMuch<S, WriteSocket<S>> {
  WriteSocket() : WriteMuch<S, WriteSocket<S>>(test::socket_pair()) {
    const int small = 16 * 1024;
    REQUIRE(::setsockopt(this->stream.fd(), SOL_SOCKET, SO_SNDBUF, &small, sizeof small) == 0);
  }
};
test::Pair turned(test::Pair pair) { return {std::move(pair.b), std::move(pair.a)}; }
template <class S> struct WritePipe : WriteMuch<S, WritePipe<S>> {
  WritePipe() : WriteMuch<S, WritePipe<S>>(turned(test::pipe_pair())) {}
};

template <class S> struct SetUpStream : Operation<S> {
  test::Pair pair = test::tcp_pair();
  mote::Stream stream;
  SetUpStream() { REQUIRE(stream.open(this->loop, std::move(pair.a))); }
  int attempt() {
    if (const int error = code(stream.set_no_delay(true)); error != 0) return error;
    if (const int error = code(stream.set_keep_alive(60, 10, 3)); error != 0) return error;
    const mote::Result<mote::Endpoint> local = stream.local_endpoint(), peer = stream.peer_endpoint();
    if (!local) return local.error().code();
    if (!peer) return peer.error().code();
    return local->port() != 0 && peer->port() != 0 ? 0 : corrupt;
  }
};

template <class S> struct ShutDownWrite : Operation<S> {
  test::Pair pair = test::socket_pair();
  mote::Stream stream;
  ShutDownWrite() { REQUIRE(stream.open(this->loop, std::move(pair.a))); }
  int attempt() {
    if (const int error = code(stream.shutdown_write()); error != 0) return error;
    char byte;
    return ::read(pair.b.get(), &byte, 1) == 0 ? 0 : corrupt;
  }
};

// -------------------------------------------------------------------------------------------------------- listeners

template <class S> struct OpenListener : Operation<S> {
  mote::Listener listener;
  int attempt() {
    mote::Listener::Options options;
    options.reuse_port = true;
    options.no_delay = true;
    const int error = code(listener.open(this->loop, any_tcp(), options));
    CHECK(listener.is_open() == (error == 0));
    CHECK(this->loop.vacancies() == (error == 0 ? 7 : 8));
    return error;
  }
};

template <class S, class Derived> struct AcceptOperation : TaskOperation<S, Derived, mote::Stream> {
  mote::Listener listener;
  mote::Fd client = raw_socket(AF_UNIX, SOCK_STREAM);
  AcceptOperation() { REQUIRE(listener.open(this->loop, any_unix())); }
  void come() {
    const mote::Endpoint at = name_of(listener.fd());
    REQUIRE(::connect(client.get(), at.address(), at.size()) == 0);
  }
  auto operation() { return listener.accept(); }
  int check(mote::Stream& stream) {
    test::send_text(client.get(), "x");
    char byte[2];
    return ::recv(stream.fd(), byte, sizeof byte, MSG_DONTWAIT) == 1 ? 0 : corrupt;
  }
};
template <class S> struct Accept : AcceptOperation<S, Accept<S>> {
  Accept() { this->come(); }
};
template <class S> struct AcceptLater : AcceptOperation<S, AcceptLater<S>> {
  bool came = false;
  void late() {
    if (!came) this->come();
    came = true;
  }
};

// The callback style's single attempt. What Accept pauses for is the caller's to know.
template <class S> struct TryAccept : Operation<S> {
  mote::Listener listener;
  mote::Fd client = raw_socket(AF_UNIX, SOCK_STREAM);
  TryAccept() {
    REQUIRE(listener.open(this->loop, any_unix()));
    const mote::Endpoint at = name_of(listener.fd());
    REQUIRE(::connect(client.get(), at.address(), at.size()) == 0);
  }
  static int expected(const Fault& fault) {
    switch (fault.error) {
      case EAGAIN:
      case EMFILE:
      case ENFILE:
      case ENOBUFS:
      case ENOMEM: return fault.error;
      case EPERM: return cannot_be;  // a firewall's refusal is like one of those
      default: return usual(fault);
    }
  }
  int attempt() { return code(listener.try_accept()); }
};

// -------------------------------------------------------------------------------------------------------- datagrams

template <class S> struct OpenDatagram : Operation<S> {
  mote::Datagram socket, unbound;
  int attempt() {
    if (const int error = code(socket.open(this->loop, any_tcp())); error != 0 && error != EBUSY) return error;
    return code(unbound.open(this->loop, mote::Family::ipv4));
  }
};

template <class S> struct ConnectDatagram : Operation<S> {
  mote::Fd peer = raw_socket_at(any_tcp(), SOCK_DGRAM);
  mote::Datagram socket;
  ConnectDatagram() { REQUIRE(socket.open(this->loop, mote::Family::ipv4)); }
  static int expected(const Fault& fault) {  // it does not wait for anything: these two cannot be
    if (fault.call == Call::connect && (fault.error == EINPROGRESS || fault.error == EINTR)) return cannot_be;
    return usual(fault);
  }
  int attempt() { return code(socket.connect(name_of(peer.get()))); }
};

template <class S> struct ReceiveDatagram : TaskOperation<S, ReceiveDatagram<S>, mote::Datagram::Received> {
  mote::Fd peer = raw_socket_at(any_tcp(), SOCK_DGRAM);
  mote::Datagram socket;
  mote::Endpoint from;
  char bytes[8];
  bool sent = false;
  ReceiveDatagram() {
    this->patience = 1000;
    REQUIRE(socket.open(this->loop, any_tcp()));
  }
  auto operation() { return socket.recv_from(bytes, from); }
  void late() {
    const mote::Endpoint to = name_of(socket.fd());
    if (!sent) sent = ::sendto(peer.get(), "data", 4, 0, to.address(), to.size()) == 4;
  }
  int check(mote::Datagram::Received& received) {
    return received.size == 4 && !received.truncated && from.port() == name_of(peer.get()).port() ? 0 : corrupt;
  }
};

template <class S> struct SendDatagram : TaskOperation<S, SendDatagram<S>, void> {
  mote::Fd peer = raw_socket_at(any_tcp(), SOCK_DGRAM);
  mote::Endpoint to = name_of(peer.get());
  mote::Datagram socket;
  SendDatagram() { REQUIRE(socket.open(this->loop, mote::Family::ipv4)); }
  auto operation() { return socket.send_to(mote::bytes_of("data"), to); }
};

// ----------------------------------------------------------------------------------------------------- serial ports

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

template <class S> struct OpenSerialPort : Operation<S> {
  Terminal terminal;
  mote::SerialPort port;
  int attempt() {
    const int error = code(port.open(this->loop, terminal.path));
    CHECK(port.is_open() == (error == 0));
    return error;
  }
};

template <class S> struct ReadSerialPort : TaskOperation<S, ReadSerialPort<S>, std::size_t> {
  Terminal terminal;
  mote::SerialPort port;
  char bytes[1];
  ReadSerialPort() {
    this->patience = 1000;
    REQUIRE(port.open(this->loop, terminal.path));
  }
  auto operation() { return port.read(bytes); }
  void late() { test::send_text(terminal.master.get(), "x"); }
  static int expected(const Fault& fault) {  // unplugged: the end of the stream
    if (fault.call == Call::read && fault.error == EIO) return recovered;
    return TaskOperation<S, ReadSerialPort<S>, std::size_t>::expected(fault);
  }
};

template <class S> struct WriteSerialPort : TaskOperation<S, WriteSerialPort<S>, void> {
  Terminal terminal;
  mote::SerialPort port;
  mote::ByteView rest = mote::bytes_of("data");
  WriteSerialPort() { REQUIRE(port.open(this->loop, terminal.path)); }
  auto operation() { return port.write_all(rest); }
};

// ------------------------------------------------------------------------------------------------------- the checks

template <class O> void try_fault(const Fault& fault, std::uint32_t usual_waits) {
  const int expected = O::expected(fault);
  if (expected == cannot_be) return;
  const doctest::String call = Seam::name(fault.call), error_text = ::strerror(fault.error);
  INFO(call, " number ", fault.index, " fails ", fault.times, " times: ", error_text);
  const int descriptors = test::open_descriptors();
  {
    Seam::start_virtual_time();
    O operation;
    Seam::state.reset_counts();
    Seam::state.faults[0] = fault;
    Seam::state.most_waits = 1000;
    const int error = operation.attempt();
    CHECK(Seam::state.faults_fired >= 1);
    CHECK(error == expected);
    CHECK(Seam::state.waits() <= usual_waits + 3 * fault.times);
    Seam::state.faults[0] = Fault();
    if (error != 0) CHECK(operation.attempt() == 0);
    Seam::state.before_wait = nullptr;
    operation.finish();
  }
  CHECK_FALSE(Seam::state.stuck);
  Seam::state = Seam::State();
  CHECK(test::open_descriptors() == descriptors);
}

template <class O> void fail_every_call() {
  Seam::State seen;
  {
    Seam::start_virtual_time();
    O operation;
    Seam::state.reset_counts();
    REQUIRE(operation.attempt() == 0);
    seen = Seam::state;
    Seam::state.before_wait = nullptr;
    operation.finish();
  }
  for (unsigned i = 0; i < Seam::calls; ++i) {
    const auto call = static_cast<Call>(i);
    const int* errors = nullptr;
    const int count = errors_of(call, errors);
    for (std::uint32_t index = 1; index <= seen.counts[i]; ++index) {
      for (int e = 0; e < count; ++e) {
        const Fault fault{call, index, errors[e], 1};
        try_fault<O>(fault, seen.waits());
        const bool passing = errors[e] == EINTR || errors[e] == EAGAIN || call == Call::accept;
        if (passing && O::expected(fault) == recovered) try_fault<O>({call, index, errors[e], 3}, seen.waits());
      }
    }
  }
}

// Connecting a datagram socket only sets an address.
template <class O> constexpr bool interruptible = true;
template <class S> constexpr bool interruptible<ConnectDatagram<S>> = false;

template <class O> void interrupt_every_call() {
  const int descriptors = test::open_descriptors();
  {
    Seam::start_virtual_time();
    O operation;
    Seam::state.interrupting = true;
    CHECK(operation.attempt() == 0);
    Seam::state.interrupting = false;
    Seam::state.before_wait = nullptr;
    operation.finish();
  }
  Seam::state = Seam::State();
  CHECK(test::open_descriptors() == descriptors);
}

}  // namespace

#define EVERY_CALL_FAILS(name, operation)                                                           \
  ON_BOTH_SELECTORS(                                                                                \
      "every system call of every operation fails once at each call index, with each errno of its " \
      "manual page: no leak, no hang, no spin, the right error: " name) {                           \
    fail_every_call<operation<S>>();                                                                \
  }                                                                                                 \
  ON_BOTH_SELECTORS("EINTR on every system call never surfaces: " name) {                           \
    if (interruptible<operation<S>>) interrupt_every_call<operation<S>>();                          \
  }

EVERY_CALL_FAILS("opening a reactor", OpenReactor)
EVERY_CALL_FAILS("enabling wake-ups", EnableWakeups)
EVERY_CALL_FAILS("adding a descriptor", AddDescriptor)
EVERY_CALL_FAILS("modifying a registration", ModifyDescriptor)
EVERY_CALL_FAILS("removing a registration", RemoveDescriptor)
EVERY_CALL_FAILS("waiting for an event", DispatchEvent)
EVERY_CALL_FAILS("muting an event that nobody asked for", MuteDescriptor)
EVERY_CALL_FAILS("running to the end", RunToTheEnd)
EVERY_CALL_FAILS("curing a ghost", CureGhost)
EVERY_CALL_FAILS("rebuilding a selector", RebuildSelector)
EVERY_CALL_FAILS("starting anew after a fork", AfterFork)
EVERY_CALL_FAILS("opening a waker", OpenWaker)
EVERY_CALL_FAILS("waking the loop", Wake)
EVERY_CALL_FAILS("opening signals", OpenSignals)
EVERY_CALL_FAILS("closing signals", CloseSignals)
EVERY_CALL_FAILS("delivering a signal", DeliverSignal)
EVERY_CALL_FAILS("a graceful shutdown", ShutDown)
EVERY_CALL_FAILS("firing a timer", FireTimer)
EVERY_CALL_FAILS("sleeping", Sleep)
EVERY_CALL_FAILS("running into a time-out", TimeOut)
EVERY_CALL_FAILS("opening a source", OpenSource)
EVERY_CALL_FAILS("closing a source", CloseSource)
EVERY_CALL_FAILS("releasing a source", ReleaseSource)
EVERY_CALL_FAILS("awaiting readiness", AwaitReadiness)
EVERY_CALL_FAILS("connecting a Unix socket", ConnectUnix)
EVERY_CALL_FAILS("connecting over TCP", ConnectTcp)
EVERY_CALL_FAILS("reading what is there", ReadSocket)
EVERY_CALL_FAILS("reading what comes later", ReadSocketLater)
EVERY_CALL_FAILS("reading from a pipe", ReadPipeLater)
EVERY_CALL_FAILS("reading the end of a stream", ReadEnd)
EVERY_CALL_FAILS("reading exactly", ReadExactly)
EVERY_CALL_FAILS("reading a line", ReadLine)
EVERY_CALL_FAILS("writing all to a socket", WriteSocket)
EVERY_CALL_FAILS("writing all to a pipe", WritePipe)
EVERY_CALL_FAILS("options and names of a stream", SetUpStream)
EVERY_CALL_FAILS("shutting down the writing direction", ShutDownWrite)
EVERY_CALL_FAILS("opening a listener", OpenListener)
EVERY_CALL_FAILS("accepting a connection that waits", Accept)
EVERY_CALL_FAILS("accepting a connection that comes later", AcceptLater)
EVERY_CALL_FAILS("accepting at once, in the callback style", TryAccept)
EVERY_CALL_FAILS("opening a datagram socket", OpenDatagram)
EVERY_CALL_FAILS("connecting a datagram socket", ConnectDatagram)
EVERY_CALL_FAILS("receiving a datagram", ReceiveDatagram)
EVERY_CALL_FAILS("sending a datagram", SendDatagram)
EVERY_CALL_FAILS("opening a serial port", OpenSerialPort)
EVERY_CALL_FAILS("reading from a serial port", ReadSerialPort)
EVERY_CALL_FAILS("writing to a serial port", WriteSerialPort)

// ------------------------------------------------------------------------------------------- faults of another shape

namespace {

// Echoes all that comes, in portions of any size.
using Echo = test::BasicEcho<mote::Stream&, 24>;

// The other side: sends its bytes in one piece and the end after them, and reads what comes back.
struct EchoPeer {
  static constexpr std::size_t size = 100;
  mote::Fd fd;
  unsigned char sent[size], echoed[size + 1];
  std::size_t count = 0;
  bool ended = false;

  explicit EchoPeer(mote::Fd end) : fd(std::move(end)) {
    for (std::size_t i = 0; i < size; ++i) sent[i] = static_cast<unsigned char>(i * 5 + 1);
    Seam::state.context = this;
    Seam::state.before_wait = [](void* context) { static_cast<EchoPeer*>(context)->take(); };
  }
  void give() {
    REQUIRE(::write(fd.get(), sent, size) == static_cast<ssize_t>(size));
    REQUIRE(::shutdown(fd.get(), SHUT_WR) == 0);
  }
  void take() {
    while (!ended && count < sizeof echoed) {
      const ssize_t n = ::read(fd.get(), echoed + count, sizeof echoed - count);
      if (n < 0) return;
      if (n == 0) ended = true;
      count += static_cast<std::size_t>(n);
    }
  }
};

// Reads lines into a record: what it was given, separated by '|', and '!' for one that was too long.
struct Lines : mote::StateMachine {
  mote::Stream& stream;
  mote::LineReader<12> reader;
  mote::Result<mote::ByteView> line;
  char record[128] = {};
  std::size_t length = 0;
  bool& done;
  char* result;
  Lines(mote::Stream& s, bool& d, char* r) : stream(s), done(d), result(r) {}
  mote::Step step() {
    MOTE_BEGIN();
    for (;;) {
      MOTE_AWAIT(line, reader.read_line(stream));
      if (!line && line.error() == ENODATA) break;
      if (line) {
        ::memcpy(record + length, line->data(), line->size());
        length += line->size();
      }
      record[length++] = line ? '|' : line.error() == EMSGSIZE ? '!' : '?';
    }
    ::memcpy(result, record, sizeof record);
    done = true;
    MOTE_END();
  }
};

}  // namespace

ON_BOTH_SELECTORS("short reads and writes of every length: an echo loses and doubles nothing") {
  for (std::size_t received = 1; received <= 25; ++received) {
    for (std::size_t sent = 1; sent <= 25; ++sent) {
      Seam::start_virtual_time();
      Seam::state.most_received = received;
      Seam::state.most_sent = sent;
      test::Loop<S, 4> loop;
      test::Pair pair = test::socket_pair();
      mote::Stream stream;
      REQUIRE(stream.open(loop, std::move(pair.a)));
      mote::TaskPool<Echo, 1> pool;
      EchoPeer peer(std::move(pair.b));
      auto echo = pool.spawn(loop, stream);
      REQUIRE(echo);
      REQUIRE(loop.run_once(0s));  // it waits before anything comes
      peer.give();
      for (int turns = 0; turns < 400 && echo->outcome().kind == mote::Outcome::Kind::none; ++turns) {
        REQUIRE(loop.run_once(1s));
      }
      REQUIRE(echo->outcome().kind == mote::Outcome::Kind::done);
      stream.close();
      peer.take();
      CHECK(peer.ended);
      REQUIRE(peer.count == EchoPeer::size);
      CHECK(::memcmp(peer.sent, peer.echoed, EchoPeer::size) == 0);
      Seam::state = Seam::State();
    }
  }
}

ON_BOTH_SELECTORS("short reads of every length: lines are the same, and one that is too long is told once") {
  for (std::size_t received = 1; received <= 50; ++received) {
    Seam::start_virtual_time();
    Seam::state.most_received = received;
    test::Loop<S, 4> loop;
    test::Pair pair = test::socket_pair();
    mote::Stream stream;
    REQUIRE(stream.open(loop, std::move(pair.a)));
    mote::TaskPool<Lines, 1> pool;
    bool done = false;
    char record[128] = {};
    test::send_text(pair.b.get(), "one\r\n\n12345678901\nthis is far too long for it\nthree\nlast");
    pair.b.close();
    REQUIRE(pool.spawn(loop, stream, done, record));
    for (int turns = 0; turns < 400 && !done; ++turns) REQUIRE(loop.run_once(1s));
    REQUIRE(done);
    CHECK(doctest::String(record) == doctest::String("one||12345678901|!three|last|"));
    Seam::state = Seam::State();
  }
}

TEST_CASE("a selector that cannot be rebuilt answers EBADF until a later rebuild succeeds") {
  for (const int error : {EMFILE, ENFILE, ENOMEM}) {
    const int descriptors = test::open_descriptors();
    {
      Seam::start_virtual_time();
      mote::EpollSelector<4> selector;
      test::Pair pipe = test::pipe_pair();
      mote::Ready ready[4];
      REQUIRE(selector.open());
      Seam::state.reset_counts();
      Seam::state.faults[0] = {Call::epoll_create, 1, error, 2};
      CHECK(code(selector.rebuild()) == error);
      CHECK(code(selector.add(pipe.a.get(), mote::Interest::read, 1)) == EBADF);
      CHECK(code(selector.wait(ready, 1s)) == EBADF);
      CHECK(code(selector.rebuild()) == 0);
      CHECK(code(selector.add(pipe.a.get(), mote::Interest::read, 1)) == 0);
      test::send_text(pipe.b.get(), "x");
      CHECK(*selector.wait(ready, 1s) == 1);
    }
    Seam::state = Seam::State();
    CHECK(test::open_descriptors() == descriptors);
  }
}

// An accept that is refused for want of descriptors is tried again by the clock, and costs nothing in between.
ON_BOTH_SELECTORS("accept: EMFILE, ENFILE, ENOBUFS and ENOMEM pause it for 100 ms at a time, with one wait each") {
  for (const int error : {EMFILE, ENFILE, ENOBUFS, ENOMEM, EPERM}) {
    constexpr std::uint32_t refusals = 10;
    Seam::start_virtual_time();
    Accept<S> operation;
    Seam::state.reset_counts();
    Seam::state.faults[0] = {Call::accept, 1, error, refusals};
    const mote::Instant start = mote::Clock::now();
    CHECK(operation.attempt() == 0);
    const mote::Duration taken = mote::Clock::now() - start;
    // Each pause is a wait, and those tasks that it wakes run in the turn after.
    CHECK(Seam::state.waits() <= refusals + 2);
    CHECK(Seam::state.count(Call::accept) == refusals + 1);
    CHECK(taken >= refusals * 100ms);
    CHECK(taken < refusals * 100ms + 2s);  // the last turn waited in vain for more
    Seam::state.before_wait = nullptr;
    operation.finish();
  }
  Seam::state = Seam::State();
}

ON_BOTH_SELECTORS("accept: a pause neither ends early nor is forgotten when timers expire in the meantime") {
  Seam::start_virtual_time();
  Accept<S> operation;
  int ticks = 0;
  auto tick = [&] { ++ticks; };
  mote::Timer timer;
  timer.arm_every(operation.loop, 30ms, tick);
  Seam::state.reset_counts();
  Seam::state.faults[0] = {Call::accept, 1, EMFILE, 1};
  const mote::Instant start = mote::Clock::now();
  CHECK(operation.attempt() == 0);
  const mote::Duration taken = mote::Clock::now() - start;
  CHECK(ticks >= 3);
  CHECK(Seam::state.count(Call::accept) == 2);
  CHECK(taken >= 100ms);
  CHECK(taken <= 150ms);
  timer.cancel();
  Seam::state.before_wait = nullptr;
  operation.finish();
  Seam::state = Seam::State();
}

ON_BOTH_SELECTORS("accept: ECONNABORTED, EINTR and its network's errors are passed over at once, without a pause") {
  for (const int error : {ECONNABORTED, EINTR, EPROTO, ENETDOWN, EHOSTUNREACH, EOPNOTSUPP}) {
    constexpr std::uint32_t gone = 3;  // before they were accepted; the next one is there
    Seam::start_virtual_time();
    Accept<S> operation;
    Seam::state.reset_counts();
    Seam::state.faults[0] = {Call::accept, 1, error, gone};
    CHECK(operation.attempt() == 0);
    CHECK(Seam::state.faults_fired == gone);
    CHECK(Seam::state.count(Call::accept) == gone + 1);
    CHECK(Seam::state.waits() <= 1);
    Seam::state.before_wait = nullptr;
    operation.finish();
  }
  Seam::state = Seam::State();
}

namespace {

// The kernel is short of memory once: the operation is answered so, and the next attempt loses nothing of what was
// under way.
template <class O> void run_short_of_memory(Call call, std::uint32_t index = 1) {
  for (const int error : {ENOBUFS, ENOMEM}) {
    Seam::start_virtual_time();
    O operation;
    Seam::state.reset_counts();
    Seam::state.faults[0] = {call, index, error, 1};
    CHECK(operation.attempt() == error);
    CHECK(operation.attempt() == 0);
    CHECK(Seam::state.faults_fired == 1);
    Seam::state.before_wait = nullptr;
    operation.finish();
  }
  Seam::state = Seam::State();
}

}  // namespace

ON_BOTH_SELECTORS("ENOBUFS/ENOMEM on read or write: the operation's error, after which it may go on where it stood") {
  run_short_of_memory<ReadSocket<S>>(Call::recv);
  run_short_of_memory<ReadSocketLater<S>>(Call::recv);
  run_short_of_memory<ReadPipeLater<S>>(Call::read);
  run_short_of_memory<WriteSocket<S>>(Call::send);
  run_short_of_memory<WriteSocket<S>>(Call::send, 3);  // while it is pending
  run_short_of_memory<WritePipe<S>>(Call::write, 2);
  run_short_of_memory<ReceiveDatagram<S>>(Call::recvmsg);
  run_short_of_memory<SendDatagram<S>>(Call::sendto);
}
