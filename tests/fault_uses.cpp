// SPDX-License-Identifier: MIT
// Rooms: task/task_use.hpp, time/task_timer.hpp, io/source_base.hpp, io/stream.hpp, and all of sync/.
// What a task leaves in an object that others use after it: every operation, ended in every way, and then every use of
// the same object by the same task or another one, against what is right.
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>

#include <memory>
#include <string>
#include <vector>

#include "support/child.hpp"
#include "support/users.hpp"
#include "support/virtual_time.hpp"

using mote::Duration;
using mote::Event;
using mote::Instant;
using mote::Poll;
using mote::Reactor;
using mote::Result;
using mote::Step;
using mote::Task;
using mote::TaskHandle;
using mote::TaskPool;
using mote::TaskTimer;
using namespace std::chrono_literals;
using test::as_number;
using test::Attempt;
using test::error_of;
using test::Operation;
using test::User;
using test::VirtualTime;
using test::Wrap;

namespace {

using Seam = mote::FaultSystem;

enum class Ending { completed, cancelled, given_up, timed_out, destroyed, destroyed_when_woken, closed };
constexpr Ending endings[] = {Ending::completed, Ending::cancelled, Ending::given_up,
                              Ending::timed_out, Ending::destroyed, Ending::destroyed_when_woken};
const char* name_of(Ending ending) {
  static constexpr const char* names[] = {
      "completed", "cancelled", "given up", "timed out", "destroyed", "destroyed when woken", "closed"};
  return names[static_cast<int>(ending)];
}
Wrap wrap_for(Ending ending) {
  return ending == Ending::given_up ? Wrap::raced : ending == Ending::timed_out ? Wrap::limited : Wrap::none;
}

template <class S> struct World : VirtualTime, test::Loop<S, 32> {
  World() = default;
  void rest() { REQUIRE(test::comes_to_rest(*this)); }
  void pass(Duration time) {
    Seam::state.now += time.count();
    rest();
  }
  // Ends what the user awaits; `complete` makes it complete. Returns with which answer (-1: it is gone).
  template <class Complete> void end(std::unique_ptr<User>& user, Ending ending, Complete&& complete) {
    switch (ending) {
      case Ending::completed: complete(); break;
      case Ending::cancelled: user->cancel(); break;
      case Ending::given_up: user->give_up(); break;
      case Ending::timed_out: Seam::state.now += User::limit.count(); break;
      case Ending::destroyed: user.reset(); break;
      case Ending::destroyed_when_woken:
        complete();
        if (!user->is_queued()) REQUIRE(this->run_once(0ns));
        REQUIRE(user->is_queued());
        REQUIRE_FALSE(user->answered);
        user.reset();
        break;
      case Ending::closed: break;
    }
    if (user == nullptr) return;
    rest();
    static constexpr int answers[] = {0, ECANCELED, EINTR, ETIMEDOUT};
    CHECK(user->error() == answers[static_cast<int>(ending)]);
  }
};

// =====================================================================================================================
// Objects from which tasks take what is there
// =====================================================================================================================

// An object of the library and its operations, by number.
struct Kind {
  explicit Kind(Reactor& with) : reactor(with) {}
  virtual ~Kind() = default;
  Kind(const Kind&) = delete;
  Kind& operator=(const Kind&) = delete;
  virtual int operations() const { return 1; }
  virtual void prepare(int) {}  // what is needed for that one to wait
  virtual Attempt attempt(int) = 0;
  virtual void complete(int) = 0;                // lets it complete
  virtual bool queues() const { return false; }  // whether many tasks wait for it, in order of arrival
  virtual int close() { return 0; }              // the error that a task is told then; 0: it cannot be closed
  virtual void reopen() {}
  virtual bool move_away() { return false; }  // false: it cannot be moved
  virtual void move_back() {}
  virtual int told_when_moved() const { return ECANCELED; }
  Reactor& reactor;
};

struct OfEvent : Kind {
  using Kind::Kind;
  Event event;
  bool queues() const override { return true; }
  void prepare(int) override { event.clear(); }
  Attempt attempt(int) override {
    return [this](Task& task) { return as_number(event.wait().poll(task)); };
  }
  void complete(int) override { event.set(); }
};
struct OfCompletion : Kind {
  using Kind::Kind;
  mote::Completion<> completion;
  bool queues() const override { return true; }
  void prepare(int) override { completion.reset(); }
  Attempt attempt(int) override {
    return [this](Task& task) { return as_number(completion.wait().poll(task)); };
  }
  void complete(int) override {
    completion.reset();
    CHECK(completion.set());
  }
};
struct OfSemaphore : Kind {
  using Kind::Kind;
  mote::Semaphore semaphore;
  bool queues() const override { return true; }
  Attempt attempt(int) override {
    return [this](Task& task) { return as_number(semaphore.acquire().poll(task)); };
  }
  void complete(int) override { semaphore.release(); }
};
struct OfMutex : Kind {
  using Kind::Kind;
  mote::Mutex mutex;
  mote::Mutex::Guard guard;
  bool queues() const override { return true; }
  void prepare(int) override {
    if (!guard) guard = std::move(*mutex.try_lock());
  }
  Attempt attempt(int) override {
    return [this](Task& task) { return as_number(mutex.lock().poll(task)); };
  }
  void complete(int) override { guard.unlock(); }
};
struct OfChannel : Kind {  // 0: receive(), 1: send()
  using Kind::Kind;
  mote::Channel<int, 1> channel;
  int value = 7;
  bool queues() const override { return true; }
  int operations() const override { return 2; }
  void prepare(int operation) override {
    static_cast<void>(channel.try_receive());
    if (operation == 1) CHECK(channel.try_send(1));
  }
  Attempt attempt(int operation) override {
    if (operation == 0) return [this](Task& task) { return as_number(channel.receive().poll(task)); };
    return [this](Task& task) { return as_number(channel.send(value).poll(task)); };
  }
  void complete(int operation) override {
    if (operation == 0) CHECK(channel.try_send(1));
    else CHECK(channel.try_receive());
  }
};
struct Waits {
  Event& event;
  Step step(Task& task) { return event.wait().poll(task).ready() ? mote::done() : Step(mote::pending); }
};
struct OfHandle : Kind {
  using Kind::Kind;
  std::unique_ptr<Event> event;
  TaskPool<Waits, 1> pool;
  TaskHandle handle;
  void prepare(int) override {
    handle.detach();
    if (event != nullptr) event->set();
    REQUIRE(test::comes_to_rest(reactor));
    event = std::make_unique<Event>();
    handle = std::move(*pool.spawn(reactor, *event));
  }
  Attempt attempt(int) override {
    return [this](Task& task) { return as_number(handle.join().poll(task)); };
  }
  void complete(int) override {
    event->set();
    test::turn(reactor);
  }
};
struct OfGroup : OfHandle {
  using OfHandle::OfHandle;
  mote::TaskGroup<1> group;
  bool queues() const override { return true; }
  void prepare(int) override {
    if (event != nullptr) event->set();
    REQUIRE(test::comes_to_rest(reactor));
    event = std::make_unique<Event>();
    REQUIRE(group.spawn(pool, reactor, *event));
  }
  Attempt attempt(int) override {
    return [this](Task& task) { return as_number(group.join_all().poll(task)); };
  }
};
struct OfPool : OfHandle {
  using OfHandle::OfHandle;
  bool queues() const override { return true; }
  void prepare(int) override {
    OfHandle::prepare(0);
    handle.detach();
  }
  Attempt attempt(int) override {
    return [this](Task& task) { return as_number(pool.vacancy().poll(task)); };
  }
};
struct OfWaker : Kind {
  explicit OfWaker(Reactor& with) : Kind(with) { CHECK(waker.open(with)); }
  mote::Waker waker;
  Attempt attempt(int) override {
    return [this](Task& task) { return as_number(waker.wait().poll(task)); };
  }
  void complete(int) override { waker.wake(); }
  int close() override {
    waker.close();
    return ECANCELED;
  }
  void reopen() override { CHECK(waker.open(reactor)); }
};
struct OfMailbox : Kind {
  explicit OfMailbox(Reactor& with) : Kind(with) { CHECK(mailbox.open(with)); }
  mote::Mailbox<int, 2> mailbox;
  void prepare(int) override {  // messages outlive a close()
    while (mailbox.try_receive()) continue;
  }
  Attempt attempt(int) override {
    return [this](Task& task) { return as_number(mailbox.receive().poll(task)); };
  }
  void complete(int) override { CHECK(mailbox.post(1)); }
  int close() override {
    mailbox.close();
    return ECANCELED;
  }
  void reopen() override { CHECK(mailbox.open(reactor)); }
};
struct OfSignals : Kind {
  explicit OfSignals(Reactor& with) : Kind(with) { CHECK(signals.open(with, {SIGUSR1})); }
  mote::Signals signals;
  Attempt attempt(int) override {
    return [this](Task& task) { return as_number(signals.next().poll(task)); };
  }
  void complete(int) override { CHECK(::raise(SIGUSR1) == 0); }
  int close() override {
    signals.close();
    return ECANCELED;
  }
  void reopen() override { CHECK(signals.open(reactor, {SIGUSR1})); }
};
struct OfListener : Kind {
  explicit OfListener(Reactor& with) : Kind(with) { reopen(); }
  mote::Listener listener;
  mote::Fd client;
  Attempt attempt(int) override {
    return [this](Task& task) { return as_number(listener.accept().poll(task)); };
  }
  void complete(int) override {
    mote::Endpoint address = *listener.local_endpoint();
    client = mote::Fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    CHECK(::connect(client.get(), address.address(), address.size()) == 0);
  }
  int close() override {
    listener.close();
    return ECANCELED;
  }
  mote::Listener spare;
  bool move_away() override {
    spare = std::move(listener);
    return true;
  }
  void move_back() override { listener = std::move(spare); }
  void reopen() override {
    static int number = 0;
    const std::string name = "@mote-test-uses-" + std::to_string(::getpid()) + "-" + std::to_string(++number);
    REQUIRE(listener.open(reactor, *mote::Endpoint::unix_path(name.c_str())));
  }
};
struct OfDatagram : Kind {  // 0: recv(), 1: send()
  explicit OfDatagram(Reactor& with) : Kind(with) { reopen(); }
  test::Pair pair;
  mote::Datagram socket;
  char bytes[8] = {};
  int operations() const override { return 2; }
  void prepare(int operation) override {
    test::take_all(pair.b.get());
    while (socket.try_recv(bytes)) continue;
    while (operation == 1 && socket.try_send_to(mote::bytes_of("much"))) continue;
  }
  Attempt attempt(int operation) override {
    if (operation == 0) return [this](Task& task) { return as_number(socket.recv(bytes).poll(task)); };
    return [this](Task& task) { return as_number(socket.send(mote::bytes_of("x")).poll(task)); };
  }
  void complete(int operation) override {
    if (operation == 0) test::send_text(pair.b.get(), "x");
    else test::take_all(pair.b.get());
  }
  int close() override {
    socket.close();
    return ECANCELED;
  }
  mote::Datagram spare;
  bool move_away() override {
    spare = std::move(socket);
    return true;
  }
  void move_back() override { socket = std::move(spare); }
  void reopen() override {
    pair = test::socket_pair(SOCK_DGRAM);
    mote::Source& source = socket;
    CHECK(source.open(reactor, std::move(pair.a)));
  }
};
// On a pseudo-terminal. Only read(): whether there is room to write, the kernel changes by itself, in a thread of its own.
struct OfSerialPort : Kind {
  explicit OfSerialPort(Reactor& with) : Kind(with) { reopen(); }
  mote::Fd device;
  mote::SerialPort port;
  char bytes[64] = {};
  void prepare(int) override {
    while (port.try_read(bytes)) continue;
  }
  Attempt attempt(int) override {
    return [this](Task& task) { return as_number(port.read(bytes).poll(task)); };
  }
  void complete(int) override {
    CHECK(::write(device.get(), "x", 1) == 1);
    pollfd reached{port.fd(), POLLIN, 0};
    CHECK(::poll(&reached, 1, 10000) == 1);
  }
  int close() override {
    port.close();
    return ECANCELED;
  }
  void reopen() override {
    device = mote::Fd(::posix_openpt(O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC));
    REQUIRE(::grantpt(device.get()) == 0);
    REQUIRE(::unlockpt(device.get()) == 0);
    REQUIRE(port.open(reactor, ::ptsname(device.get())));
  }
};
template <class Source> struct OfReadiness : Kind {  // ready(), 0: for reading, 1: for urgent data, too, 2: for writing
  explicit OfReadiness(Reactor& with) : Kind(with) { reopen(); }
  test::Pair pair;
  Source source;
  int operations() const override { return 3; }
  void prepare(int operation) override {
    test::take_all(pair.b.get());
    test::take_all(source.fd());
    while (operation == 2 && ::send(source.fd(), "much", 4, MSG_DONTWAIT | MSG_NOSIGNAL) > 0) continue;
  }
  Attempt attempt(int operation) override {
    using mote::Interest;
    static constexpr Interest interests[] = {Interest::read, Interest::read | Interest::priority, Interest::write};
    const Interest interest = interests[operation];
    return [this, interest](Task& task) { return as_number(source.ready(interest).poll(task)); };
  }
  void complete(int operation) override {
    if (operation != 2) test::send_text(pair.b.get(), "x");
    else test::take_all(pair.b.get());
  }
  int close() override {
    source.close();
    return ECANCELED;
  }
  Source spare;
  bool move_away() override {
    spare = std::move(source);
    return true;
  }
  void move_back() override { source = std::move(spare); }
  void reopen() override {
    pair = test::socket_pair();
    if constexpr (std::is_same_v<Source, mote::BorrowedSource>) CHECK(source.open(reactor, pair.a.get()));
    else CHECK(source.open(reactor, std::move(pair.a)));
  }
};
using OfReady = OfReadiness<mote::Source>;
using OfBorrowed = OfReadiness<mote::BorrowedSource>;
// A handle that is given another task.
struct OfJoin : Kind {
  explicit OfJoin(Reactor& with) : Kind(with) { reopen(); }
  std::vector<std::unique_ptr<Event>> events;
  TaskPool<Waits, 8> pool;
  TaskHandle handle;
  void prepare(int) override {
    if (!handle) reopen();
  }
  Attempt attempt(int) override {
    return [this](Task& task) { return as_number(handle.join().poll(task)); };
  }
  void complete(int) override {
    events.back()->set();
    test::turn(reactor);
  }
  int close() override { return EINVAL; }
  int told_when_moved() const override { return EINVAL; }
  TaskHandle spare;
  bool move_away() override {
    spare = std::move(handle);
    return true;
  }
  void move_back() override { handle = std::move(spare); }
  void reopen() override {
    events.push_back(std::make_unique<Event>());
    handle = std::move(*pool.spawn(reactor, *events.back()));
  }
};
struct OfStream : Kind {  // 0: read(), 1: read_exactly(), 2: read_line(), 3: write_all()
  explicit OfStream(Reactor& with) : Kind(with) { reopen(); }
  test::Pair pair;
  mote::Stream stream;
  mote::LineReader<32> lines;
  char bytes[2] = {};
  char lots[64] = {};  // more than there is: a read comes out short
  mote::ByteSpan wanted;
  mote::ByteView sent;
  int operations() const override { return 4; }
  void prepare(int operation) override {
    wanted = mote::ByteSpan(bytes);
    sent = mote::bytes_of("x");
    test::take_all(pair.b.get());
    while (stream.try_read(bytes)) continue;
    if (operation != 3) return;
    static const char much[4096] = {};
    while (stream.try_write({much, sizeof much})) continue;
  }
  Attempt attempt(int operation) override {
    switch (operation) {
      case 0: return [this](Task& task) { return as_number(stream.read(bytes).poll(task)); };
      case 1: return [this](Task& task) { return as_number(stream.read_exactly(wanted).poll(task)); };
      case 2: return [this](Task& task) { return as_number(lines.read_line(stream).poll(task)); };
      default: return [this](Task& task) { return as_number(stream.write_all(sent).poll(task)); };
    }
  }
  void complete(int operation) override {
    if (operation != 3) test::send_text(pair.b.get(), "x\n");
    else test::take_all(pair.b.get());
  }
  int close() override {
    stream.close();
    return ECANCELED;
  }
  mote::Stream spare;
  bool move_away() override {
    spare = std::move(stream);
    return true;
  }
  void move_back() override { stream = std::move(spare); }
  void reopen() override {
    pair = test::socket_pair();
    CHECK(stream.open(reactor, std::move(pair.a)));
  }
};

template <class K, class S> int operations_of() {
  World<S> world;
  return K(world).operations();
}
// Calls check(operation) for each operation of a kind.
template <class K, class S, class Check> void for_each_operation(Check check) {
  const std::string kind_name = __PRETTY_FUNCTION__;
  CAPTURE(kind_name);
  const int operations = operations_of<K, S>();
  for (int operation = 0; operation < operations; ++operation) {
    CAPTURE(operation);
    check(operation);
  }
}
// It waits, and completes when what it waits for has come.
template <class K, class S> void check_served(World<S>& world, K& kind, User& user, int operation) {
  kind.prepare(operation);
  user.use(kind.attempt(operation));
  world.rest();
  CHECK(user.error() == -1);
  kind.complete(operation);
  world.rest();
  CHECK(user.error() == 0);
}

template <class K, class S> void check_kind() {
  const std::string kind_name = __PRETTY_FUNCTION__;
  CAPTURE(kind_name);
  const int operations = operations_of<K, S>();
  for (const Ending ending : endings) {
    const bool survives = ending != Ending::destroyed && ending != Ending::destroyed_when_woken;
    for (int begun = 0; begun < operations; ++begun) {
      for (int next = 0; next < operations; ++next) {
        for (const bool same : {false, true}) {
          if (same && !survives) continue;
          const std::string ending_name = name_of(ending);
          CAPTURE(ending_name);
          CAPTURE(begun);
          CAPTURE(next);
          CAPTURE(same);
          World<S> world;
          K kind(world);
          auto first = std::make_unique<User>(world), second = std::make_unique<User>(world);
          kind.prepare(begun);
          first->use(kind.attempt(begun), wrap_for(ending));
          world.rest();
          REQUIRE(first->error() == -1);
          world.end(first, ending, [&] { kind.complete(begun); });
          world.rest();

          const bool is_there = ending == Ending::destroyed_when_woken && next == begun;
          if (!is_there) kind.prepare(next);
          const int steps = survives ? first->steps : 0;
          User& user = same ? *first : *second;
          user.use(kind.attempt(next));
          world.rest();
          CHECK(user.error() == (is_there ? 0 : -1));
          if (!is_there) kind.complete(next);
          world.rest();
          CHECK(user.error() == 0);
          if (survives && !same) CHECK(first->steps == steps);
          CHECK(world.next_deadline() == Instant::max());
          // Nothing is held back from the task itself.
          if (!survives) continue;
          check_served(world, kind, *first, begun);
        }
      }
    }
  }
}
// While one waits, another one stands in line behind it, or is told EBUSY and changes nothing.
template <class K, class S> void check_line() {
  for_each_operation<K, S>([](int operation) {
    for (const Ending ending : endings) {
      const std::string ending_name = name_of(ending);
      CAPTURE(ending_name);
      World<S> world;
      K kind(world);
      auto first = std::make_unique<User>(world), second = std::make_unique<User>(world);
      kind.prepare(operation);
      first->use(kind.attempt(operation), wrap_for(ending));
      world.rest();
      second->use(kind.attempt(operation));
      world.rest();
      CHECK(second->error() == (kind.queues() ? -1 : EBUSY));
      world.end(first, ending, [&] { kind.complete(operation); });
      world.rest();
      if (!kind.queues()) continue;
      if (ending == Ending::destroyed_when_woken) CHECK(second->error() == 0);
      if (!second->answered) kind.complete(operation);
      world.rest();
      CHECK(second->error() == 0);
    }
  });
}
// Closed: the task that waits is told so once, in its next step; and then the object is as good as new.
template <class K, class S> void check_closing(bool moved) {
  const std::string kind_name = __PRETTY_FUNCTION__;
  CAPTURE(kind_name);
  for (const bool woken : {false, true}) {
    for (const bool destroyed : {false, true}) {
      for (const bool same : {false, true}) {
        if (same && destroyed) continue;
        CAPTURE(woken);
        CAPTURE(destroyed);
        CAPTURE(same);
        World<S> world;
        K kind(world);
        auto first = std::make_unique<User>(world), second = std::make_unique<User>(world);
        kind.prepare(0);
        first->use(kind.attempt(0));
        world.rest();
        if (woken) {
          kind.complete(0);
          if (!first->is_queued()) REQUIRE(world.run_once(0ns));
          REQUIRE_FALSE(first->answered);
        }
        const int told = moved ? ECANCELED : kind.close();
        if (moved) REQUIRE(kind.move_away());
        if (destroyed) first.reset();
        world.rest();
        // What had come already may be taken from what keeps it.
        if (first != nullptr) CHECK((first->error() == told || (woken && first->error() == 0)));
        if (moved) kind.move_back();
        else kind.reopen();
        if (woken) {  // what was there may be, or may not
          second->use(kind.attempt(0), Wrap::limited);
          world.rest();
          world.pass(User::limit);
          REQUIRE(second->answered);
        }
        User& user = same ? *first : *second;
        check_served(world, kind, user, 0);
      }
    }
  }
}

// A stream of our own making, which is edge-triggered on epoll. An accepted one is moved to where it stays.
struct OfTcpStream : OfStream {
  explicit OfTcpStream(Reactor& with) : OfStream(with) {
    REQUIRE(listener.open(with, *mote::Endpoint::ip("127.0.0.1", 0)));
    stream.close();
    OfTcpStream::reopen();
  }
  mote::Listener listener;
  void reopen() override {
    const int size = 4096;
    mote::Endpoint address = *listener.local_endpoint();
    pair.b = mote::Fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    REQUIRE(::setsockopt(pair.b.get(), SOL_SOCKET, SO_RCVBUF, &size, sizeof size) == 0);
    REQUIRE(::connect(pair.b.get(), address.address(), address.size()) == 0);
    Result<mote::Stream> accepted = listener.try_accept();
    REQUIRE(accepted);
    stream = std::move(*accepted);
    REQUIRE(stream.set_option(SOL_SOCKET, SO_SNDBUF, size));
  }
};

// Closed, and opened again before the task that waits is stepped: that task is told so, once, unless it has left. What
// another one begins meanwhile, and what it begins itself later, is served by what has been opened.
enum class Meanwhile { nothing, cancelled, given_up, timed_out, destroyed };
// How the operation stands: it waits; it has been woken; or its task has had its share, and tries in its next turn.
enum class Pending { waits, woken, postponed };

// The same attempt, but the first one is made without a share.
Attempt postponed(const Attempt& attempt) {
  return [attempt, first = true](Task& task) mutable {
    const mote::PollContext context(task);
    while (first && context.consume_budget()) continue;
    first = false;
    return attempt(task);
  };
}
template <class K, class S> void check_reopening(int operation, Pending pending, Meanwhile meanwhile, bool moved) {
  CAPTURE(operation);
  CAPTURE(static_cast<int>(pending));
  CAPTURE(static_cast<int>(meanwhile));
  CAPTURE(moved);
  for (const bool between : {false, true}) {
    CAPTURE(between);
    World<S> world;
    K kind(world);
    auto first = std::make_unique<User>(world), second = std::make_unique<User>(world);
    kind.prepare(operation);
    const Wrap wrap = meanwhile == Meanwhile::given_up    ? Wrap::raced_last
                      : meanwhile == Meanwhile::timed_out ? Wrap::limited
                                                          : Wrap::none;
    const Attempt attempt = kind.attempt(operation);
    if (pending == Pending::postponed) {
      world.rest();
      first->use(postponed(attempt), wrap);
      REQUIRE(world.run_once(0ns));
    } else {
      first->use(attempt, wrap);
      world.rest();
    }
    REQUIRE(first->error() == -1);
    if (pending == Pending::woken) {
      kind.complete(operation);
      if (!first->is_queued()) REQUIRE(world.run_once(0ns));
    }
    REQUIRE(first->is_queued() == (pending != Pending::waits));
    REQUIRE_FALSE(first->answered);
    const int told = moved ? kind.told_when_moved() : kind.close();
    if (moved) REQUIRE(kind.move_away());
    kind.reopen();
    kind.prepare(operation);
    if (meanwhile == Meanwhile::cancelled) first->cancel();
    if (meanwhile == Meanwhile::given_up) first->give_up();
    if (meanwhile == Meanwhile::timed_out) Seam::state.now += User::limit.count();
    if (meanwhile == Meanwhile::destroyed) first.reset();
    const Attempt next = kind.attempt(operation);
    if (between) {
      CHECK_FALSE(next(second->task()).ready());
      second->use(next);
    }
    world.rest();
    const int wanted = meanwhile == Meanwhile::given_up ? EINTR : meanwhile == Meanwhile::cancelled ? ECANCELED : told;
    if (first != nullptr) CHECK(first->error() == wanted);
    CHECK(second->answered == false);
    if (between) {
      kind.complete(operation);
      world.rest();
      CHECK(second->error() == 0);
    }
    for (int i = 0; i < 2; ++i) {
      User& user = first != nullptr && i == 0 ? *first : *second;
      check_served(world, kind, user, operation);
      CHECK(user.cancelled_idle == 0);
    }
  }
}
template <class K, class S> void check_reopenings(bool moved) {
  for_each_operation<K, S>([moved](int operation) {
    for (const Pending pending : {Pending::waits, Pending::woken, Pending::postponed}) {
      for (const Meanwhile meanwhile : {Meanwhile::nothing, Meanwhile::cancelled, Meanwhile::given_up,
                                        Meanwhile::timed_out, Meanwhile::destroyed}) {
        const bool is_wrapped = meanwhile == Meanwhile::given_up || meanwhile == Meanwhile::timed_out;
        if (pending == Pending::postponed && is_wrapped) continue;  // a combinator makes room for an attempt
        check_reopening<K, S>(operation, pending, meanwhile, moved);
      }
    }
  });
}
// Its last operation has completed, and it is queued for something else when the object is closed and opened again:
// nothing was pending, and nobody is told anything.
template <class K, class S> void check_reopening_between_uses() {
  for_each_operation<K, S>([](int operation) {
    for (const int uses : {1, 2, 3}) {
      const bool unheard = uses == 2;  // something comes while nobody waits for it
      CAPTURE(uses);
      World<S> world;
      K kind(world);
      User user(world);
      for (int i = 0; i < uses; ++i) check_served(world, kind, user, operation);
      if (unheard) {
        kind.complete(operation);
        REQUIRE(world.run_once(0ns));
      }
      user.task().wake();
      static_cast<void>(kind.close());
      kind.reopen();
      check_served(world, kind, user, operation);
    }
  });
}

// It completes while the task that waits is woken by something else, before its event is delivered; and the object is
// closed and opened again within that step. Nobody is noted there any more.
template <class K, class S> void check_early_completion() {
  for_each_operation<K, S>([](int operation) {
    World<S> world;
    K kind(world);
    User user(world);
    kind.prepare(operation);
    const Attempt attempt = kind.attempt(operation);
    user.use([&](Task& task) {
      auto answer = attempt(task);
      if (!answer.ready()) return answer;
      static_cast<void>(kind.close());
      kind.reopen();
      return answer;
    });
    world.rest();
    REQUIRE(user.error() == -1);
    kind.complete(operation);
    user.task().wake();
    world.rest();
    REQUIRE(user.error() == 0);
    check_served(world, kind, user, operation);
  });
}
// Closed and cancelled at once: told once.
template <class K, class S> void check_closed_and_cancelled() {
  for_each_operation<K, S>([](int operation) {
    World<S> world;
    K kind(world);
    User user(world);
    kind.prepare(operation);
    user.use(kind.attempt(operation));
    world.rest();
    static_cast<void>(kind.close());
    user.cancel();
    world.rest();
    CHECK(user.error() == ECANCELED);
    CHECK(user.cancelled_idle == 0);
  });
}

template <class S, class... K> void check_all_early_completions() { (check_early_completion<K, S>(), ...); }
template <class S, class... K> void check_all_closed_and_cancelled() { (check_closed_and_cancelled<K, S>(), ...); }
template <class S, class... K> void check_all_reopenings(bool moved) { (check_reopenings<K, S>(moved), ...); }
template <class S, class... K> void check_all_between_uses() { (check_reopening_between_uses<K, S>(), ...); }
template <class S, class... K> void check_kinds() { (check_kind<K, S>(), ...); }
template <class S, class... K> void check_lines() { (check_line<K, S>(), ...); }
template <class S, class... K> void check_closings(bool moved) { (check_closing<K, S>(moved), ...); }

}  // namespace

ON_BOTH_SELECTORS("uses: whatever way the last one has ended, the next is served as if there had been none") {
  check_kinds<S, OfEvent, OfCompletion, OfSemaphore, OfMutex, OfChannel, OfHandle, OfGroup, OfPool, OfWaker, OfMailbox,
              OfSignals, OfListener, OfDatagram, OfSerialPort, OfReady, OfBorrowed, OfJoin, OfStream>();
}

ON_BOTH_SELECTORS("uses: whatever way the first one has ended, the one that stood in line behind it is served") {
  check_lines<S, OfEvent, OfSemaphore, OfMutex, OfChannel, OfHandle, OfGroup, OfPool, OfWaker, OfMailbox, OfSignals,
              OfListener, OfDatagram, OfSerialPort, OfReady, OfBorrowed, OfStream>();
}

ON_BOTH_SELECTORS("uses: what is closed under a task tells it once, and when it is opened again tells nobody else") {
  check_closings<S, OfWaker, OfMailbox, OfSignals, OfListener, OfDatagram, OfSerialPort, OfReady, OfBorrowed, OfStream>(
      false);
}

ON_BOTH_SELECTORS("uses: what is moved away under a task tells it at once, and the new object has all that was there") {
  check_closings<S, OfListener, OfDatagram, OfReady, OfStream>(true);
}

ON_BOTH_SELECTORS(
    "uses: what is closed and opened again before the step of the task that waits tells that task, once") {
  check_all_reopenings<S, OfWaker, OfMailbox, OfSignals, OfListener, OfDatagram, OfSerialPort, OfReady, OfBorrowed,
                       OfJoin, OfStream, OfTcpStream>(false);
}

ON_BOTH_SELECTORS("uses: what is moved away and opened again before the step of the task that waits tells that task") {
  check_all_reopenings<S, OfListener, OfDatagram, OfReady, OfJoin, OfStream, OfTcpStream>(true);
}

ON_BOTH_SELECTORS("uses: what is closed and opened again while nothing is pending tells nobody, queued or not") {
  check_all_between_uses<S, OfWaker, OfMailbox, OfSignals, OfListener, OfDatagram, OfSerialPort, OfReady, OfBorrowed,
                         OfJoin, OfStream, OfTcpStream>();
}

ON_BOTH_SELECTORS("uses: what completes before its event is delivered leaves nobody noted as waiting") {
  check_all_early_completions<S, OfWaker, OfMailbox, OfSignals, OfListener, OfDatagram, OfSerialPort, OfReady,
                              OfBorrowed, OfStream, OfTcpStream>();
}

ON_BOTH_SELECTORS("uses: of what is closed while its task is cancelled, that task is told once") {
  check_all_closed_and_cancelled<S, OfWaker, OfMailbox, OfSignals, OfListener, OfDatagram, OfSerialPort, OfReady,
                                 OfBorrowed, OfStream, OfTcpStream>();
}

ON_BOTH_SELECTORS("uses: of a stream whose reader was woken and not stepped yet: watch() answers EBUSY") {
  World<S> world;
  OfStream kind(world);
  User reader(world);
  test::Recorder recorder;
  reader.use(kind.attempt(0));
  world.rest();
  kind.complete(0);
  REQUIRE(world.run_once(0ns));
  REQUIRE(reader.is_queued());
  CHECK(error_of(kind.stream.watch(mote::Interest::read, recorder)) == EBUSY);
  world.rest();
  CHECK(reader.error() == 0);
  CHECK(kind.stream.watch(mote::Interest::read, recorder));
}

ON_BOTH_SELECTORS("uses: a reader that had no share at its first attempt is armed when it waits") {
  World<S> world;
  OfStream kind(world);
  User reader(world);
  kind.complete(0);
  reader.use(postponed([&](Task& task) { return as_number(kind.stream.read(kind.lots).poll(task)); }));
  world.rest();
  CHECK(reader.error() == 0);
  reader.use([&](Task& task) { return as_number(kind.stream.read(kind.lots).poll(task)); });
  world.rest();
  CHECK(reader.error() == -1);
  kind.complete(0);
  world.rest();
  CHECK(reader.error() == 0);
}

ON_BOTH_SELECTORS("uses: a second accept() is EBUSY also while the first one waits for room") {
  World<S> world;
  OfListener kind(world);
  User first(world), second(world);
  Seam::state.faults[0] = {Seam::Call::accept, Seam::state.count(Seam::Call::accept) + 1, EMFILE, 2};
  kind.complete(0);
  first.use(kind.attempt(0));
  second.use(kind.attempt(0));
  REQUIRE(world.run_once(0ns));
  CHECK(first.error() == -1);
  CHECK(second.error() == EBUSY);
  world.pass(mote::limits::retry_pause);
  CHECK(first.error() == 0);
}

ON_BOTH_SELECTORS("uses: of a stream that is closed twice before the first task's step, the last one is told") {
  // Documented at SourceBase::interrupted_: there is room for one task a direction. The other one begins anew.
  for (const bool destroyed : {false, true}) {
    CAPTURE(destroyed);
    World<S> world;
    OfStream kind(world);
    auto first = std::make_unique<User>(world), second = std::make_unique<User>(world);
    const Attempt read = kind.attempt(0);
    first->use(read);
    world.rest();
    static_cast<void>(kind.close());
    kind.reopen();
    if (destroyed) first.reset();
    CHECK_FALSE(read(second->task()).ready());
    second->use(read);
    static_cast<void>(kind.close());
    kind.reopen();
    world.rest();
    CHECK(second->error() == ECANCELED);
    if (destroyed) second->use(read);
    world.rest();
    User& last = destroyed ? *second : *first;
    CHECK(last.error() == -1);
    kind.complete(0);
    world.rest();
    CHECK(last.error() == 0);
  }
}

ON_BOTH_SELECTORS(
    "uses: of a stream with a reader and a writer, each is told once when it is closed and opened again") {
  for (const bool woken : {false, true}) {
    CAPTURE(woken);
    World<S> world;
    OfStream kind(world);
    User reader(world), writer(world);
    kind.prepare(3);
    reader.use(kind.attempt(0));
    writer.use(kind.attempt(3));
    world.rest();
    REQUIRE(reader.error() == -1);
    REQUIRE(writer.error() == -1);
    if (woken) {
      kind.complete(0);
      kind.complete(3);
      REQUIRE(world.run_once(0ns));
      REQUIRE(reader.is_queued());
      REQUIRE(writer.is_queued());
    }
    static_cast<void>(kind.close());
    kind.reopen();
    world.rest();
    CHECK(reader.error() == ECANCELED);
    CHECK(writer.error() == ECANCELED);
    kind.prepare(3);
    reader.use(kind.attempt(0));
    writer.use(kind.attempt(3));
    world.rest();
    CHECK(reader.error() == -1);
    CHECK(writer.error() == -1);
    kind.complete(0);
    kind.complete(3);
    world.rest();
    CHECK(reader.error() == 0);
    CHECK(writer.error() == 0);
  }
}

// A reader that is woken has to wait for its step, since others are before it; the next turn finds its data still there,
// and nobody who waits for them, so that reading is disarmed.
namespace {
template <class S> struct TwoLevels : S::template Config<32> { static constexpr std::size_t priorities = 2; };
}  // namespace
ON_BOTH_SELECTORS("uses: a reader whose step comes late is told of a close, and else reads on") {
  for (const bool closed : {false, true}) {
    CAPTURE(closed);
    VirtualTime time;
    mote::StaticReactor<TwoLevels<S>> world;
    REQUIRE(world.open());
    User reader(world);
    std::vector<std::unique_ptr<User>> others;
    for (unsigned i = 0; i < 2 * mote::limits::steps_per_lower_priority; ++i) {
      others.push_back(std::make_unique<User>(world));
    }
    OfStream kind(world);
    reader.use(kind.attempt(0));
    REQUIRE(test::comes_to_rest(world));
    kind.complete(0);
    for (const std::unique_ptr<User>& other : others) other->task().wake();
    const std::uint64_t events = world.stats().events;
    REQUIRE(world.run_once(0ns));
    REQUIRE(world.run_once(0ns));
    REQUIRE(world.stats().events == events + 2);
    REQUIRE(reader.is_queued());
    REQUIRE(reader.error() == -1);
    if (closed) {
      static_cast<void>(kind.close());
      kind.reopen();
    }
    REQUIRE(test::comes_to_rest(world));
    CHECK(reader.error() == (closed ? ECANCELED : 0));
    for (int i = 0; i < 2; ++i) {
      kind.prepare(0);
      reader.use(kind.attempt(0));
      REQUIRE(test::comes_to_rest(world));
      CHECK(reader.error() == -1);
      kind.complete(0);
      REQUIRE(test::comes_to_rest(world));
      CHECK(reader.error() == 0);
    }
  }
}

ON_BOTH_SELECTORS(
    "uses: of a stream that is opened again in another reactor, no task there is taken for one of the first") {
  World<S> world;
  test::Loop<S, 8> other;
  User first(world), second(other);  // the first task of each reactor: they have the same number
  OfStream kind(world);
  first.use(kind.attempt(0));
  world.rest();
  static_cast<void>(kind.close());
  test::Pair pair = test::socket_pair();
  REQUIRE(kind.stream.open(other, std::move(pair.a)));
  second.use(kind.attempt(0));
  CHECK(test::comes_to_rest(other));
  CHECK(second.error() == -1);
  test::send_text(pair.b.get(), "x");
  CHECK(test::comes_to_rest(other));
  CHECK(second.error() == 0);
  world.rest();
}

ON_BOTH_SELECTORS("uses: of a listener that waits for room, and is closed and opened again: that task is told, once") {
  for (const bool of_system : {false, true}) {  // what it waits for: a descriptor, or else a slot of the table
    for (const bool woken : {false, true}) {
      CAPTURE(of_system);
      CAPTURE(woken);
      World<S> world;
      OfListener kind(world);
      std::vector<mote::Source> sources(31);
      std::vector<test::Pair> pairs;
      for (mote::Source& source : sources) {
        if (of_system) break;
        pairs.push_back(test::socket_pair());
        REQUIRE(source.open(world, std::move(pairs.back().a)));
      }
      if (of_system) Seam::state.faults[0] = {Seam::Call::accept, Seam::state.count(Seam::Call::accept) + 1, EMFILE, 1};
      User first(world);
      kind.complete(0);
      first.use(kind.attempt(0));
      REQUIRE(world.run_once(0ns));
      REQUIRE(world.run_once(0ns));
      REQUIRE(first.error() == -1);
      if (woken) {
        if (of_system) Seam::state.now += mote::Duration(mote::limits::retry_pause).count();
        else sources.front().close();
        if (of_system) REQUIRE(world.run_once(0ns));
        REQUIRE(first.is_queued());
        REQUIRE_FALSE(first.answered);
      }
      static_cast<void>(kind.close());
      kind.reopen();
      kind.complete(0);
      REQUIRE(world.run_once(0ns));
      CHECK(first.error() == ECANCELED);
      for (mote::Source& source : sources) source.close();
      first.use(kind.attempt(0));
      world.pass(mote::limits::retry_pause);
      CHECK(first.error() == 0);
    }
  }
}

// =====================================================================================================================
// Timers
// =====================================================================================================================
namespace {

enum class Use { sleep, tick, limit };
const char* name_of(Use use) {
  static constexpr const char* names[] = {"sleep", "tick", "limit"};
  return names[static_cast<int>(use)];
}
// A timer that tasks share.
struct Shared {
  TaskTimer timer;
  Event never;  // set where a time limit is to be kept
  Attempt attempt(Use use, Duration time) {
    switch (use) {
      case Use::sleep: return [this, time](Task& task) { return as_number(timer.sleep(time).poll(task)); };
      case Use::tick: return [this, time](Task& task) { return as_number(timer.tick(time).poll(task)); };
      default:
        return [this, time](Task& task) { return as_number(mote::with_timeout(timer, time, never.wait()).poll(task)); };
    }
  }
};

// What a use of the timer gives, and how long after its beginning.
struct Expected {
  int error;
  int ticks;
  Duration after;
};
Expected anew(Use use, Duration time) {
  if (use == Use::limit) return {ETIMEDOUT, 0, time};
  return {0, use == Use::tick ? 1 : 0, time};
}

constexpr Duration first_time = 100ms;
// The table. The first use began 30 ms before it was ended (or `first_time`, if it has completed), and the next one
// begins 30 ms after that.
Expected expected(Use begun, Ending ending, bool same, Use next, Duration time) {
  if (begun != Use::tick) return anew(next, time);
  const bool resumes = same && next == Use::tick && time == first_time;
  switch (ending) {
    case Ending::completed:  // it is between two ticks
      if (!same) return {EBUSY, 0, 0ns};
      return resumes ? Expected{0, 1, first_time - 30ms} : anew(next, time);
    case Ending::given_up: return resumes ? Expected{0, 1, first_time - 60ms} : anew(next, time);
    case Ending::timed_out: return resumes ? Expected{0, 1, first_time - User::limit - 30ms} : anew(next, time);
    default: return anew(next, time);
  }
}

template <class S> void check_timer(Use begun, Ending ending, bool same, Use next, Duration time) {
  const std::string begun_name = name_of(begun), ending_name = name_of(ending), next_name = name_of(next);
  const long long milliseconds = time / 1ms;
  CAPTURE(begun_name);
  CAPTURE(ending_name);
  CAPTURE(same);
  CAPTURE(next_name);
  CAPTURE(milliseconds);
  World<S> world;
  Shared shared;
  auto first = std::make_unique<User>(world), second = std::make_unique<User>(world);
  first->use(shared.attempt(begun, first_time), wrap_for(ending));
  world.rest();
  if (ending != Ending::completed && ending != Ending::timed_out) world.pass(30ms);
  REQUIRE(first->error() == -1);
  world.end(first, ending, [&] {
    if (begun == Use::limit) shared.never.set();
    else Seam::state.now += (first_time - (ending == Ending::completed ? 0ms : 30ms)).count();
  });
  shared.never.clear();
  const bool goes_on = begun == Use::tick && first != nullptr && ending != Ending::cancelled;
  CHECK((world.next_deadline() == Instant::max()) == !goes_on);
  world.pass(30ms);

  const Expected wanted = expected(begun, ending, same, next, time);
  const Instant start = mote::Clock::now();
  User& user = same ? *first : *second;
  const int first_steps = first != nullptr ? first->steps : 0;
  user.use(shared.attempt(next, time));
  world.rest();
  if (wanted.after > 0ns) {
    world.pass(wanted.after - 1ns);
    CHECK(user.error() == -1);
    world.pass(1ns);
  }
  CHECK(user.error() == wanted.error);
  CHECK(user.answered_at - start == wanted.after);
  if (wanted.error == 0) CHECK(*user.answer == wanted.ticks);
  if (!same && first != nullptr) CHECK(first->steps == first_steps);
  second.reset();
  first.reset();
  CHECK(world.next_deadline() == Instant::max());  // whatever it was: with its task it ends
}

}  // namespace

ON_BOTH_SELECTORS("uses: of a timer, whatever way the last use has ended, the next one takes its whole time") {
  for (const Use begun : {Use::sleep, Use::tick, Use::limit}) {
    for (const Ending ending : endings) {
      for (const bool same : {false, true}) {
        const bool survives = ending != Ending::destroyed && ending != Ending::destroyed_when_woken;
        if (same && !survives) continue;
        for (const Use next : {Use::sleep, Use::tick, Use::limit}) {
          for (const Duration time : {Duration(first_time), Duration(1000ms)}) {
            check_timer<S>(begun, ending, same, next, time);
          }
        }
      }
    }
  }
}

ON_BOTH_SELECTORS("uses: of a timer that another task uses: EBUSY, also between its wake-up and its step") {
  for (const Use begun : {Use::sleep, Use::tick, Use::limit}) {
    for (const Use next : {Use::sleep, Use::tick, Use::limit}) {
      for (const bool woken : {false, true}) {
        CAPTURE(static_cast<int>(begun));
        CAPTURE(static_cast<int>(next));
        CAPTURE(woken);
        World<S> world;
        Shared shared;
        User first(world), second(world);
        first.use(shared.attempt(begun, first_time));
        world.rest();
        if (woken) {
          Seam::state.now += first_time.count();
          REQUIRE(world.run_once(0ns));
          REQUIRE_FALSE(first.answered);
        }
        auto answer = shared.attempt(next, 1ms)(second.task());
        REQUIRE(answer.ready());
        CHECK(error_of(*answer) == EBUSY);
        CHECK(shared.never.is_set() == false);
        if (!woken) Seam::state.now += first_time.count();
        world.rest();
        CHECK(first.error() == (begun == Use::limit ? ETIMEDOUT : 0));
        CHECK(second.steps == 1);  // nothing is left of its attempt
        shared.never.set();
        world.rest();
        CHECK(second.steps == 1);
      }
    }
  }
}

ON_BOTH_SELECTORS("uses: of a timer that another task uses: giving up what was not begun does not end it") {
  for (const Use begun : {Use::sleep, Use::tick, Use::limit}) {
    for (const Use next : {Use::sleep, Use::tick, Use::limit}) {
      for (const bool cancelled : {false, true}) {
        CAPTURE(static_cast<int>(begun));
        CAPTURE(static_cast<int>(next));
        CAPTURE(cancelled);
        World<S> world;
        Shared shared;
        User first(world), second(world);
        first.use(shared.attempt(begun, first_time));
        world.rest();
        const Attempt other = shared.attempt(next, 1ms);
        mote::Semaphore ready(1);
        second.use([&](Task& task) -> Poll<Result<int>> {
          if (cancelled) task.cancel();
          auto raced = mote::first_of(ready.acquire(), Operation{&other}).poll(task);
          if (!raced.ready()) return mote::pending;
          return *raced ? Result<int>(mote::value(0)) : Result<int>((*raced).error());
        });
        world.rest();
        CHECK(second.answered);
        world.pass(first_time - 1ns);
        CHECK(first.error() == -1);
        world.pass(1ns);
        CHECK(first.error() == (begun == Use::limit ? ETIMEDOUT : 0));
      }
    }
  }
}

ON_BOTH_SELECTORS("uses: a time limit on a timer that another task uses gives EBUSY, and the operation is given up") {
  World<S> world;
  Shared shared;
  User first(world), second(world);
  first.use(shared.attempt(Use::sleep, first_time));
  world.rest();
  mote::Channel<int, 1> channel;
  const auto limited = [&](Task& task) {
    return as_number(mote::with_timeout(shared.timer, 1ms, channel.receive()).poll(task));
  };
  second.use(limited);
  world.rest();
  CHECK(second.error() == EBUSY);
  CHECK(channel.try_send(1));
  CHECK(channel.try_receive());  // nobody stands in line for it
  CHECK(channel.try_send(2));
  second.use(limited);
  world.rest();
  CHECK(second.error() == 0);  // what is there needs no time
  world.pass(first_time);
  CHECK(first.error() == 0);
  second.use(limited);
  world.rest();
  world.pass(1ms);
  CHECK(second.error() == ETIMEDOUT);
}

ON_BOTH_SELECTORS("uses: ticks that pass while nobody awaits the timer are counted") {
  for (const bool given_up : {false, true}) {
    CAPTURE(given_up);
    World<S> world;
    Shared shared;
    User user(world);
    user.use(shared.attempt(Use::tick, 10ms), given_up ? Wrap::raced : Wrap::none);
    world.rest();
    if (given_up) user.give_up();
    else Seam::state.now += Duration(10ms).count();
    world.rest();
    REQUIRE(user.answered);
    const int steps = user.steps;
    world.pass(10ms);
    world.pass(25ms);  // two of them at once
    CHECK(user.steps == steps);
    user.use(shared.attempt(Use::tick, 10ms));
    world.rest();
    REQUIRE(user.error() == 0);
    CHECK(*user.answer == 3);
    user.use(shared.attempt(Use::tick, 10ms));
    world.rest();
    CHECK(user.error() == -1);
    world.pass(5ms);
    REQUIRE(user.error() == 0);  // in phase
    CHECK(*user.answer == 1);
  }
}

ON_BOTH_SELECTORS("uses: a tick that first_of() gave up keeps its phase, until another task has used the timer") {
  World<S> world;
  Shared shared;
  User first(world), second(world);
  first.use(shared.attempt(Use::tick, 100ms), Wrap::raced);
  world.rest();
  world.pass(40ms);
  first.give_up();
  world.rest();
  world.pass(30ms);
  first.use(shared.attempt(Use::tick, 100ms), Wrap::raced);
  world.rest();
  world.pass(30ms - 1ns);
  CHECK_FALSE(first.answered);
  world.pass(1ns);
  REQUIRE(first.error() == 0);
  first.use(shared.attempt(Use::tick, 100ms), Wrap::raced);
  world.rest();
  world.pass(40ms);
  first.give_up();
  world.rest();
  second.use(shared.attempt(Use::sleep, 5ms));
  world.rest();
  first.use(shared.attempt(Use::tick, 100ms));
  world.rest();
  CHECK(first.error() == EBUSY);
  world.pass(5ms);
  CHECK(second.error() == 0);
  first.use(shared.attempt(Use::tick, 100ms));
  world.rest();
  world.pass(100ms - 1ns);
  CHECK(first.error() == -1);
  world.pass(1ns);
  CHECK(first.error() == 0);
}

ON_BOTH_SELECTORS("uses: of a timer for two things in one await: it traps, or with NDEBUG the second one gives EBUSY") {
  test::Child child([] {
    for (const int trap : {SIGILL, SIGTRAP}) ::signal(trap, SIG_DFL);  // else doctest reports it
    World<S> world;
    Shared shared;
    User user(world);
    const Attempt sleep = shared.attempt(Use::sleep, 1h), tick = shared.attempt(Use::tick, 1h);
    user.use([&](Task& task) -> Poll<Result<int>> {
      auto first = mote::first_of(Operation{&sleep}, Operation{&tick}).poll(task);
      if (!first.ready()) return mote::pending;
      return (*first)->which == 1 ? (*first)->template get<1>() : Result<int>(mote::value(0));
    });
    return test::comes_to_rest(world) ? user.error() : 255;
  });
#ifdef NDEBUG
  CHECK(child.join() == EBUSY);
#else
  const int end = child.join();
  CHECK((end == 1000 + SIGILL || end == 1000 + SIGTRAP));  // __builtin_trap(), by processor
#endif
}

ON_BOTH_SELECTORS("uses: a timer that is reset under a task that sleeps: it sleeps anew, and wakes") {
  World<S> world;
  Shared shared;
  User user(world);
  user.use(shared.attempt(Use::sleep, 100ms));
  world.rest();
  world.pass(60ms);
  shared.timer.reset();
  world.rest();
  world.pass(100ms - 1ns);
  CHECK(user.error() == -1);
  world.pass(1ns);
  CHECK(user.error() == 0);
}

// =====================================================================================================================
// Streams that connect
// =====================================================================================================================
namespace {

// Somebody who listens. Where the backlog is full, connections stay in progress.
struct Peer {
  explicit Peer(int backlog = 8) : endpoint(*mote::Endpoint::parse("127.0.0.1:0")) {
    fd = mote::Fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    socklen_t size = mote::Endpoint::capacity;
    REQUIRE(::bind(fd.get(), endpoint.address(), endpoint.size()) == 0);
    REQUIRE(::listen(fd.get(), backlog) == 0);
    REQUIRE(::getsockname(fd.get(), endpoint.address(), &size) == 0);
    endpoint.resize(size);
  }
  mote::Endpoint endpoint;
  mote::Fd fd;
};
struct FullPeer : Peer {
  FullPeer() : Peer(0), occupant(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    REQUIRE(::connect(occupant.get(), endpoint.address(), endpoint.size()) == 0);
  }
  mote::Fd occupant;
};

template <class S> struct Connecting : World<S> {
  const FullPeer slow;
  const Peer quick, wanted;
  mote::Stream stream;
  std::unique_ptr<User> first = std::make_unique<User>(*this), second = std::make_unique<User>(*this);

  Attempt to(const Peer& peer) {
    return [this, &peer](Task& task) { return as_number(stream.connect(peer.endpoint).poll(task)); };
  }
  int connected_to() { return stream.is_open() ? stream.peer_endpoint()->port() : 0; }
  // The first task connects, and waits; `woken`: it has been woken since, but not stepped.
  void begin(bool woken, Wrap wrap = Wrap::none) {
    first->use(to(woken ? quick : slow), wrap);
    if (!woken) return this->rest();
    REQUIRE(this->run_once(0ns));
    if (!first->is_queued()) REQUIRE(this->run_once(0ns));
    REQUIRE(first->is_queued());
    REQUIRE_FALSE(first->answered);
  }
  // A task connects, to where it wants.
  void check_next(User& user) {
    user.use(to(wanted));
    this->rest();
    CHECK(user.error() == 0);
    CHECK(connected_to() == wanted.endpoint.port());
    CHECK(this->stats().descriptors == 1);
  }
};

}  // namespace

ON_BOTH_SELECTORS("uses: of a stream that connects, whatever way the last use has ended, the next one connects anew") {
  for (const Ending ending : endings) {
    const bool survives = ending != Ending::destroyed && ending != Ending::destroyed_when_woken;
    for (const bool same : {false, true}) {
      if (same && !survives) continue;
      const std::string ending_name = name_of(ending);
      CAPTURE(ending_name);
      CAPTURE(same);
      const int descriptors = test::open_descriptors();
      {
        Connecting<S> world;
        const bool woken = ending == Ending::completed || ending == Ending::destroyed_when_woken;
        world.begin(woken, wrap_for(ending));
        world.end(world.first, ending, [] {});
        world.rest();
        const bool is_empty = survives && ending != Ending::completed;
        CHECK(world.stream.is_open() == !is_empty);
        User& user = same ? *world.first : *world.second;
        if (ending == Ending::completed) {
          user.use(world.to(world.wanted));
          world.rest();
          CHECK(user.error() == EISCONN);
          CHECK(world.connected_to() == world.quick.endpoint.port());
          world.stream.close();
        }
        world.check_next(user);
      }
      CHECK(test::open_descriptors() == descriptors);
    }
  }
}

ON_BOTH_SELECTORS("uses: of a stream that another task connects: EBUSY, and neither an error nor giving up ends it") {
  for (const bool woken : {false, true}) {
    CAPTURE(woken);
    Connecting<S> world;
    world.begin(woken);
    const int fd = world.stream.fd();
    for (const bool cancelled : {false, true}) {
      const Attempt other = world.to(world.wanted);
      mote::Semaphore ready(1);
      Task& task = world.second->task();
      if (cancelled) task.cancel();
      mote::PollContext(task).ensure_attempt();
      CHECK(mote::first_of(ready.acquire(), Operation{&other}).poll(task).ready());  // given up without an attempt
      if (cancelled) mote::PollContext(task).request_cancellation();
      auto answer = other(task);
      REQUIRE(answer.ready());
      CHECK(error_of(*answer) == (cancelled ? ECANCELED : EBUSY));
    }
    CHECK(world.stream.fd() == fd);
    CHECK_FALSE(world.first->answered);
    world.rest();
    CHECK(world.first->error() == (woken ? 0 : -1));
    if (!woken) world.first->cancel();
    world.rest();
    CHECK(world.stream.is_open() == woken);
  }
}

ON_BOTH_SELECTORS(
    "uses: of a stream that is closed, released or moved while a task connects it: that task alone is told") {
  enum class How { closed, released, moved, moved_onto, destroyed_too };
  for (const How how : {How::closed, How::released, How::moved, How::moved_onto, How::destroyed_too}) {
    for (const bool woken : {false, true}) {
      for (const bool same : {false, true}) {
        if (same && how == How::destroyed_too) continue;
        CAPTURE(static_cast<int>(how));
        CAPTURE(woken);
        CAPTURE(same);
        const int descriptors = test::open_descriptors();
        {
          Connecting<S> world;
          world.begin(woken);
          mote::Stream other;
          if (how == How::released) CHECK(world.stream.release());
          else if (how == How::moved) other = std::move(world.stream);
          else if (how == How::moved_onto) world.stream = std::move(other);
          else world.stream.close();
          CHECK_FALSE(other.is_open());
          CHECK_FALSE(world.stream.is_open());
          CHECK(world.stats().descriptors == 0);
          if (how == How::destroyed_too) world.first.reset();
          // Another task comes first, and then the one that is to be told.
          const Attempt next = world.to(world.wanted);
          if (!same) CHECK_FALSE(next(world.second->task()).ready());
          const int fd = world.stream.fd();
          world.rest();
          if (world.first != nullptr) CHECK(world.first->error() == ECANCELED);
          CHECK(world.stream.fd() == fd);
          world.check_next(same ? *world.first : *world.second);
          world.stream.close();
          if (world.first != nullptr) world.check_next(*world.first);
        }
        CHECK(test::open_descriptors() == descriptors);
      }
    }
  }
}

ON_BOTH_SELECTORS("uses: of a stream that is closed while a task connects it, and opened again: it stays open") {
  Connecting<S> world;
  world.begin(false);
  world.stream.close();
  test::Pair pair = test::socket_pair();
  REQUIRE(world.stream.open(world, std::move(pair.a)));
  world.rest();
  CHECK(world.first->error() == ECANCELED);
  test::send_text(pair.b.get(), "still here");
  char bytes[16];
  CHECK(world.stream.try_read(bytes));
}

ON_BOTH_SELECTORS(
    "uses: of a stream that a task connects: an error that another task has read is not taken for success") {
  Connecting<S> world;
  const mote::Endpoint endpoint = Peer().endpoint;  // whose port has just been given up
  world.first->use([&](Task& task) { return as_number(world.stream.connect(endpoint).poll(task)); });
  REQUIRE(world.run_once(0ns));
  if (!world.first->is_queued()) REQUIRE(world.run_once(0ns));
  REQUIRE(world.first->is_queued());
  char byte[1];
  auto read = world.stream.read(byte).poll(world.second->task());
  REQUIRE(read.ready());
  CHECK(error_of(*read) == ECONNREFUSED);
  world.rest();
  CHECK(world.first->error() == ENOTCONN);
  CHECK_FALSE(world.stream.is_open());
}

ON_BOTH_SELECTORS(
    "uses: of a stream that two reactors connect in turn: a task of one is not taken for one of the other") {
  for (const bool closed : {false, true}) {
    CAPTURE(closed);
    Connecting<S> world;
    test::Loop<S, 8> other;
    User second(other);  // the first task of that reactor, as `first` is of this one
    world.begin(false);
    if (closed) world.stream.close();
    world.first.reset();
    second.use(world.to(world.wanted));
    CHECK(test::comes_to_rest(other));
    CHECK(second.error() == 0);
    CHECK(world.connected_to() == world.wanted.endpoint.port());
  }
}

// =====================================================================================================================
// Channels
// =====================================================================================================================

ON_BOTH_SELECTORS("uses: of a closed channel: nobody is asked to wait for those who still stand in line") {
  World<S> world;
  mote::Channel<int, 1> full, empty;
  CHECK(full.try_send(1));
  User sender(world), receiver(world);
  int value = 2;
  sender.use([&](Task& task) { return as_number(full.send(value).poll(task)); });
  receiver.use([&](Task& task) { return as_number(empty.receive().poll(task)); });
  world.rest();
  CHECK(error_of(full.try_send(3)) == EAGAIN);
  CHECK(error_of(empty.try_receive()) == EAGAIN);
  full.close();
  empty.close();
  CHECK(error_of(full.try_send(3)) == EPIPE);
  CHECK(error_of(full.try_send(value)) == EPIPE);
  CHECK(error_of(empty.try_receive()) == ENODATA);
  world.rest();
  CHECK(sender.error() == EPIPE);
  CHECK(receiver.error() == ENODATA);
}
