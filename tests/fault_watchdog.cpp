// SPDX-License-Identifier: MIT
// Rooms: sync/watchdog.hpp.
// Heartbeats and the watchdog that they feed, on a virtual clock: a pipe or a FIFO stands for the device, a Unix socket
// for systemd.
#include <sys/stat.h>

#include <cstdlib>
#include <memory>
#include <string>

#include "support/operations.hpp"
#include "support/service_manager.hpp"
#include "support/virtual_time.hpp"

using mote::Duration;
using mote::Heartbeat;
using mote::Result;
using mote::StateMachine;
using mote::Step;
using mote::Task;
using mote::TaskPool;
using mote::TaskTimer;
using mote::Watchdog;
using namespace std::chrono_literals;
using test::abstract_name;
using test::Body;
using test::Directory;
using test::Environment;
using test::error_of;
using test::Manager;
using test::Plain;
using test::take_all;
using test::VirtualTime;
using test::with_environment;

namespace {

using Seam = mote::FaultSystem;
using Call = Seam::Call;

template <class S> struct TimedLoop : VirtualTime, test::Loop<S, 8> {
  void turn(int count = 1) {
    for (int i = 0; i < count; ++i) REQUIRE(this->run_once(0ns));
  }
  void pass(Duration time) {
    Seam::state.now += time.count();
    turn();
  }
};

// A pipe that stands for the device.
template <class S> struct Fed : TimedLoop<S> {
  test::Pair pipe = test::pipe_pair();
  Watchdog watchdog;
  explicit Fed(Duration period = 1s) { REQUIRE(watchdog.open(*this, std::move(pipe.b), period)); }
  std::string food() { return take_all(pipe.a.get()); }
};

std::string name_of(const Heartbeat* heartbeat) { return heartbeat != nullptr ? heartbeat->name() : "nobody"; }

}  // namespace

// -------------------------------------------------------------------------------------------------- heartbeats

ON_BOTH_SELECTORS("watchdog: without heartbeats it is fed once in a period, as long as the loop turns") {
  Fed<S> loop;
  loop.turn(5);
  CHECK(loop.food().empty());
  loop.pass(1s - 1ns);
  CHECK(loop.food().empty());
  loop.pass(1ns);
  CHECK(loop.food() == "1");
  loop.turn(5);
  CHECK(loop.food().empty());
  loop.pass(1s);
  loop.pass(1s);
  CHECK(loop.food() == "11");
  loop.pass(10s);  // the loop hung: it is fed once for all of that
  CHECK(loop.food() == "1");
  CHECK(loop.watchdog.fed() == 4);
  CHECK(loop.watchdog.last_feeding());
  CHECK(loop.watchdog.missing() == nullptr);
}

ON_BOTH_SELECTORS(
    "watchdog: fed only when all have beaten since the last time, and missing() names the first that has not") {
  Fed<S> loop;
  Heartbeat one, two, three;
  one.open(loop.watchdog, "one");
  two.open(loop.watchdog, "two");
  three.open(loop.watchdog, "three");
  CHECK(name_of(loop.watchdog.missing()) == "one");
  one.beat();
  three.beat();
  three.beat();
  CHECK(one.has_beaten());
  CHECK_FALSE(two.has_beaten());
  CHECK(name_of(loop.watchdog.missing()) == "two");
  loop.pass(1s);
  CHECK(loop.food().empty());
  for (int i = 0; i < 10; ++i) {  // two hangs, and the others' heartbeats do not replace its own
    one.beat();
    loop.pass(1s);
  }
  CHECK(loop.food().empty());
  CHECK(loop.watchdog.fed() == 0);
  two.beat();
  CHECK(loop.watchdog.missing() == nullptr);
  loop.turn(2);
  CHECK(loop.food() == "1");
  for (Heartbeat* each : {&one, &two, &three}) CHECK_FALSE(each->has_beaten());
  loop.pass(1s);
  CHECK(loop.food().empty());
  for (Heartbeat* each : {&three, &two, &one}) each->beat();
  loop.turn();
  CHECK(loop.food() == "1");
}

ON_BOTH_SELECTORS("watchdog: who beats in time is fed for at the period's end, not before, and once") {
  Fed<S> loop;
  Heartbeat heartbeat;
  heartbeat.open(loop.watchdog, "it");
  for (int period = 0; period < 5; ++period) {
    heartbeat.beat();
    loop.pass(400ms);
    heartbeat.beat();
    loop.pass(400ms);
    CHECK(loop.food().empty());
    loop.pass(200ms);
    CHECK(loop.food() == "1");
  }
  CHECK(loop.watchdog.fed() == 5);
}

ON_BOTH_SELECTORS("watchdog: a late beat is fed at the end of that turn, and the next period ends when it would have") {
  Fed<S> loop;
  Heartbeat heartbeat;
  heartbeat.open(loop.watchdog, "it");
  loop.pass(1s);
  loop.pass(500ms);
  bool fed_within = false;
  auto body = [&](Task&) -> Step {
    heartbeat.beat();
    fed_within = !loop.food().empty();
    return mote::done();
  };
  TaskPool<Plain, 1> pool;
  REQUIRE(pool.spawn(loop, Body(body)));
  loop.turn();
  CHECK_FALSE(fed_within);
  CHECK(loop.food() == "1");  // the same turn
  heartbeat.beat();
  loop.pass(499ms);
  CHECK(loop.food().empty());
  loop.pass(1ms);
  CHECK(loop.food() == "1");
}

namespace {
struct Beating : StateMachine {
  Watchdog& watchdog;
  mote::Channel<int, 1>& work;
  Heartbeat heartbeat;
  TaskTimer timer;
  Result<int> got;
  Beating(Watchdog& w, mote::Channel<int, 1>& c) : watchdog(w), work(c) { heartbeat.open(w, "the worker"); }
  Step step() {
    MOTE_BEGIN();
    for (;;) {
      heartbeat.beat();
      MOTE_AWAIT(got, mote::with_timeout(timer, 400ms, work.receive()));
      if (got && *got < 0) MOTE_AWAIT(got, work.receive());  // hangs
      if (got && *got == 0) return mote::done();
    }
    MOTE_END();
  }
};
}  // namespace

ON_BOTH_SELECTORS("watchdog: a task that hangs is not fed for, one that ends is not waited for any more") {
  Fed<S> loop;
  mote::Channel<int, 1> work, other_work;
  TaskPool<Beating, 2> pool;
  REQUIRE(pool.spawn(loop, loop.watchdog, work));
  REQUIRE(pool.spawn(loop, loop.watchdog, other_work));
  const auto seconds = [&](int count) {
    for (int i = 0; i < count * 10; ++i) loop.pass(100ms);
  };
  loop.turn();
  seconds(5);
  CHECK(loop.food() == "11111");
  CHECK(work.try_send(-1));
  seconds(5);
  const std::string before_it_is_missed = loop.food();
  CHECK(before_it_is_missed.size() <= 1);
  CHECK(name_of(loop.watchdog.missing()) == "the worker");
  seconds(5);
  CHECK(loop.food().empty());
  CHECK(work.try_send(1));  // goes on: late
  loop.turn(2);
  CHECK(loop.food() == "1");
  seconds(2);
  CHECK(loop.food() == "11");
  CHECK(work.try_send(-1));
  seconds(3);
  static_cast<void>(loop.food());
  CHECK(work.try_send(0));
  loop.turn(3);
  seconds(1);
  CHECK(pool.size() == 1);
  CHECK_FALSE(loop.food().empty());
  CHECK(other_work.try_send(-1));
  seconds(3);
  static_cast<void>(loop.food());
  CHECK(loop.destroy_all_tasks() == 1);  // it hangs when it is destroyed
  CHECK(loop.watchdog.missing() == nullptr);
  loop.turn(2);
  CHECK(loop.food() == "1");
}

ON_BOTH_SELECTORS(
    "watchdog: a loop that hangs does not feed; a turn that takes longer than the period feeds once, at its end") {
  Fed<S> loop;
  Heartbeat heartbeat;
  heartbeat.open(loop.watchdog, "it");
  auto body = [&](Task&) -> Step {
    heartbeat.beat();
    Seam::state.now += Duration(30s).count();
    CHECK(loop.food().empty());
    return mote::done();
  };
  TaskPool<Plain, 1> pool;
  REQUIRE(pool.spawn(loop, Body(body)));
  loop.turn();
  CHECK(loop.food() == "1");
}

ON_BOTH_SELECTORS("watchdog: heartbeats open and close at any time; opened anew they have yet to beat") {
  Fed<S> loop;
  Heartbeat one, two;
  one.open(loop.watchdog, "one");
  two.open(loop.watchdog, "two");
  one.beat();
  loop.pass(1s);
  CHECK(loop.food().empty());
  two.close();  // the one that was waited for
  loop.turn(2);
  CHECK(loop.food() == "1");
  two.close();
  two.beat();  // without effect
  CHECK(name_of(loop.watchdog.missing()) == "one");
  one.beat();
  one.open(loop.watchdog, "one anew");
  CHECK(name_of(loop.watchdog.missing()) == "one anew");
  {
    Heartbeat passing;
    passing.open(loop.watchdog, "passing");
    one.beat();
    CHECK(name_of(loop.watchdog.missing()) == "passing");
  }
  CHECK(loop.watchdog.missing() == nullptr);
  loop.pass(1s);
  CHECK(loop.food() == "1");
}

ON_BOTH_SELECTORS("watchdog: it and its heartbeats may go in either order, also one for which it waits") {
  for (const bool due : {false, true}) {
    TimedLoop<S> loop;
    test::Pair pipe = test::pipe_pair();
    Heartbeat survivor;
    {
      Watchdog watchdog;
      REQUIRE(watchdog.open(loop, std::move(pipe.b), 1s));
      survivor.open(watchdog, "survivor");
      Heartbeat other;
      other.open(watchdog, "other");
      if (due) loop.pass(1s);
    }
    CHECK_FALSE(survivor.is_open());
    survivor.beat();
    survivor.close();
    loop.pass(10s);
    CHECK(test::at_end(pipe.a.get()));  // closed, and nothing was fed
  }
}

ON_BOTH_SELECTORS("watchdog: it may outlive its reactor, closed or not, and its heartbeats beat into the void") {
  for (const bool closed : {true, false}) {
    test::Pair pipe = test::pipe_pair();
    VirtualTime time;
    Watchdog watchdog;
    Heartbeat heartbeat, other;
    {
      test::Loop<S> loop;
      REQUIRE(watchdog.open(loop, std::move(pipe.b), 1s));
      heartbeat.open(watchdog, "it");
      Seam::state.now += Duration(1s).count();
      REQUIRE(loop.run_once(0ns));  // due, and late
      if (closed) CHECK(watchdog.close());
    }
    heartbeat.beat();
    other.open(watchdog, "another");
    CHECK(take_all(pipe.a.get()) == (closed ? "V" : ""));
  }
}

// ------------------------------------------------------------------------------------------------------ the device

ON_BOTH_SELECTORS("watchdog: closed it writes V, so that the device waits for nothing; destroyed it does not") {
  for (const bool closed : {true, false}) {
    TimedLoop<S> loop;
    test::Pair pipe = test::pipe_pair();
    auto watchdog = std::make_unique<Watchdog>();
    REQUIRE(watchdog->open(loop, std::move(pipe.b), 1s));
    loop.pass(1s);
    if (closed) {
      CHECK(watchdog->close());
      CHECK(watchdog->fd() == -1);
      CHECK(watchdog->close());  // twice is once
    }
    watchdog.reset();
    loop.pass(10s);
    CHECK(take_all(pipe.a.get()) == (closed ? "1V" : "1"));
  }
}

ON_BOTH_SELECTORS("watchdog: closed while it was due, late beats neither feed nor fail; opened anew it begins anew") {
  Fed<S> loop;
  Heartbeat heartbeat, later;
  heartbeat.open(loop.watchdog, "it");
  loop.pass(1s);
  CHECK(loop.watchdog.close());
  heartbeat.beat();
  loop.turn(3);
  CHECK(loop.watchdog.last_feeding());
  CHECK(loop.food() == "V");
  test::Pair other = test::pipe_pair();
  REQUIRE(loop.watchdog.open(loop, std::move(other.b), 2s));
  later.open(loop.watchdog, "later");
  later.beat();
  loop.pass(1s);
  CHECK(take_all(other.a.get()).empty());
  loop.pass(1s);
  CHECK(take_all(other.a.get()) == "1");
}

ON_BOTH_SELECTORS(
    "watchdog: a full pipe is EAGAIN in last_feeding(), and is tried again in the next period, not before") {
  Fed<S> loop;
  Heartbeat heartbeat;
  heartbeat.open(loop.watchdog, "it");
  const std::string filling(65536, 'x');
  while (::write(loop.watchdog.fd(), filling.data(), filling.size()) > 0) {}
  REQUIRE(errno == EAGAIN);
  heartbeat.beat();
  loop.pass(1s);
  CHECK(error_of(loop.watchdog.last_feeding()) == EAGAIN);
  CHECK(loop.watchdog.fed() == 0);
  CHECK(loop.food().find('1') == std::string::npos);
  loop.turn(5);
  CHECK(loop.food().empty());
  heartbeat.beat();
  loop.pass(1s);
  CHECK(loop.watchdog.last_feeding());
  CHECK(loop.watchdog.fed() == 1);
  CHECK(loop.food() == "1");
}

ON_BOTH_SELECTORS("watchdog: EINTR does not starve it, and an error of the device is kept until the next feeding") {
  Fed<S> loop;
  Seam::state.interrupting = true;
  for (int i = 0; i < 4; ++i) loop.pass(1s);
  Seam::state.interrupting = false;
  CHECK(loop.food() == "1111");
  Seam::state.faults[0] = {Call::write, Seam::state.count(Call::write) + 1, EIO, 1};
  loop.pass(1s);
  CHECK(error_of(loop.watchdog.last_feeding()) == EIO);
  CHECK(loop.watchdog.fed() == 4);
  loop.pass(1s);
  CHECK(loop.watchdog.last_feeding());
  CHECK(loop.watchdog.fed() == 5);
}

ON_BOTH_SELECTORS("watchdog: opened by its path, here a FIFO's; its errors by name") {
  TimedLoop<S> loop;
  Directory directory;
  const char* const path = directory.file.c_str();
  Watchdog watchdog;
  const int before = test::open_descriptors();
  CHECK(error_of(watchdog.open(loop, path, 1s)) == ENOENT);
  REQUIRE(::mkfifo(path, 0600) == 0);
  CHECK(error_of(watchdog.open(loop, path, 1s)) == ENXIO);  // a FIFO that nobody reads
  CHECK(error_of(watchdog.open(loop, mote::Fd(), 1s)) == EBADF);
  for (const int error : {EBUSY, EACCES, EMFILE, ENFILE}) {
    Seam::state.faults[0] = {Call::open, Seam::state.count(Call::open) + 1, error, 1};
    CHECK(error_of(watchdog.open(loop, path, 1s)) == error);
  }
  Seam::state.faults[0] = {};
  CHECK(test::open_descriptors() == before);
  CHECK(watchdog.fd() == -1);
  CHECK(watchdog.close());
  mote::Fd reader(::open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  REQUIRE(watchdog.open(loop, path, 1s));
  CHECK((::fcntl(watchdog.fd(), F_GETFD) & FD_CLOEXEC) != 0);
  CHECK(error_of(watchdog.open(loop, path, 1s)) == EBUSY);
  CHECK(error_of(watchdog.open(loop, mote::Fd(::dup(reader.get())), 1s)) == EBUSY);
  CHECK(error_of(watchdog.open_notify(loop)) == EBUSY);
  CHECK(error_of(watchdog.notify("READY=1")) == EBADF);  // that is systemd's
  loop.pass(1s);
  CHECK(watchdog.close());
  CHECK(take_all(reader.get()) == "1V");
  CHECK(test::at_end(reader.get()));
}

// ----------------------------------------------------------------------------------------------------------- systemd

namespace {
// What the loop of a child says in that time, from its start on.
template <class S> void run_notifying(test::Verdict& verdict, Duration time) {
  Seam::start_virtual_time();
  test::Loop<S> loop;
  Watchdog watchdog;
  EXPECT(verdict, watchdog.open_notify(loop));
  EXPECT(verdict, error_of(watchdog.open_notify(loop)) == EBUSY);
  EXPECT(verdict, watchdog.notify("READY=1"));
  EXPECT(verdict, loop.run_for(time));
  EXPECT(verdict, watchdog.notify("STOPPING=1\nSTATUS=done"));
  EXPECT(verdict, watchdog.close());
  EXPECT(verdict, error_of(watchdog.notify("READY=1")) == EBADF);
}
}  // namespace

ON_BOTH_SELECTORS(
    "watchdog: systemd is told by NOTIFY_SOCKET, a path or '@abstract', and fed twice in its WATCHDOG_USEC") {
  Directory directory;
  for (const std::string& name : {directory.file, abstract_name()}) {
    CAPTURE(name);
    Manager manager(name);
    for (const char* pid : {static_cast<const char*>(nullptr), ""}) {  // "": the child's own
      const int result = with_environment({name.c_str(), "2000000", pid}, [](test::Verdict& verdict) {
        run_notifying<S>(verdict, 3s + 500ms);  // a period is 1 s
      });
      CHECK(result == 0);
      CHECK(manager.heard() == "READY=1|WATCHDOG=1|WATCHDOG=1|WATCHDOG=1|STOPPING=1\nSTATUS=done|");
    }
  }
}

ON_BOTH_SELECTORS("watchdog: where systemd wants no watchdog, or one of another process, only notify() has an effect") {
  const std::string name = abstract_name();
  Manager manager(name);
  const Environment environments[] = {
      {name.c_str(), nullptr, nullptr}, {name.c_str(), "0", nullptr}, {name.c_str(), "2000000", "1"}};
  for (const Environment& each : environments) {
    const int result = with_environment(each, [](test::Verdict& verdict) { run_notifying<S>(verdict, 10s); });
    CHECK(result == 0);
    CHECK(manager.heard() == "READY=1|STOPPING=1\nSTATUS=done|");
  }
}

ON_BOTH_SELECTORS("watchdog: systemd is not fed for a heartbeat that is missing") {
  const std::string name = abstract_name();
  Manager manager(name);
  const int result = with_environment({name.c_str(), "2000000", nullptr}, [](test::Verdict& verdict) {
    Seam::start_virtual_time();
    test::Loop<S> loop;
    Watchdog watchdog;
    Heartbeat heartbeat;
    heartbeat.open(watchdog, "it");  // before the watchdog is open, too
    EXPECT(verdict, watchdog.open_notify(loop));
    heartbeat.beat();
    EXPECT(verdict, loop.run_for(10s));
    EXPECT(verdict, watchdog.fed() == 1);
    heartbeat.beat();
    EXPECT(verdict, loop.run_once(0ns));
    EXPECT(verdict, watchdog.fed() == 2);
  });
  CHECK(result == 0);
  CHECK(manager.heard() == "WATCHDOG=1|WATCHDOG=1|");
}

ON_BOTH_SELECTORS("watchdog: what systemd's environment can say wrong, and a socket that is gone or full, by name") {
  const auto opens_with = [](const Environment& environment, int error) {
    return with_environment(environment, [error](test::Verdict& verdict) {
      Seam::start_virtual_time();
      test::Loop<S> loop;
      Watchdog watchdog;
      EXPECT(verdict, error_of(watchdog.open_notify(loop)) == error);
      EXPECT(verdict, error_of(watchdog.notify("READY=1")) == EBADF);
      EXPECT(verdict, watchdog.fd() == -1);
      EXPECT(verdict, loop.run_for(10s));
    });
  };
  CHECK(opens_with({nullptr, "2000000", nullptr}, ENOENT) == 0);
  CHECK(opens_with({"", nullptr, nullptr}, EINVAL) == 0);
  CHECK(opens_with({"relative", nullptr, nullptr}, EINVAL) == 0);
  CHECK(opens_with({"@it", "18446744073709551615", nullptr}, EINVAL) == 0);
  CHECK(opens_with({"@it", "", nullptr}, EINVAL) == 0);
  for (const char* const no_number : {"abc", "400000x", "-5", " 5"}) {
    CHECK(opens_with({"@it", no_number, nullptr}, EINVAL) == 0);
    CHECK(opens_with({"@it", "2000000", no_number}, EINVAL) == 0);
  }
  const std::string too_long = "/" + std::string(200, 'x');
  CHECK(opens_with({too_long.c_str(), nullptr, nullptr}, EINVAL) == 0);
  for (const int error : {EMFILE, ENFILE, ENOMEM}) {
    const int result = with_environment({"@it", nullptr, nullptr}, [error](test::Verdict& verdict) {
      test::Loop<S> loop;
      Seam::state.faults[0] = {Call::socket, Seam::state.count(Call::socket) + 1, error, 1};
      Watchdog watchdog;
      EXPECT(verdict, error_of(watchdog.open_notify(loop)) == error);
    });
    CHECK(result == 0);
  }

  Directory directory;
  const std::string path = directory.file;
  const int result = with_environment({path.c_str(), "2000000", nullptr}, [&](test::Verdict& verdict) {
    auto manager = std::make_unique<Manager>(path);
    Seam::start_virtual_time();
    test::Loop<S> loop;
    Watchdog watchdog;
    EXPECT(verdict, watchdog.open_notify(loop));
    int sent = 0;
    Result<void> last;
    while (sent < 100'000 && (last = watchdog.notify("STATUS=more"))) ++sent;
    EXPECT(verdict, error_of(last) == EAGAIN);
    EXPECT(verdict, loop.run_for(1s));
    EXPECT(verdict, error_of(watchdog.last_feeding()) == EAGAIN);
    EXPECT(verdict, watchdog.fed() == 0);
    EXPECT(verdict, !manager->heard().empty());
    EXPECT(verdict, loop.run_for(1s));
    EXPECT(verdict, watchdog.fed() == 1);
    manager.reset();
    EXPECT(verdict, error_of(watchdog.notify("READY=1")) == ECONNREFUSED);
    ::unlink(path.c_str());
    EXPECT(verdict, error_of(watchdog.notify("READY=1")) == ENOENT);
    EXPECT(verdict, loop.run_for(1s));
    EXPECT(verdict, error_of(watchdog.last_feeding()) == ENOENT);
  });
  CHECK(result == 0);
}
