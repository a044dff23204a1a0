// SPDX-License-Identifier: MIT
// Rooms: reactor/descriptor_table.hpp, reactor/loop.hpp, selector/look.hpp.
// Descriptors that are muted, on virtual time: when they are looked at, what that costs, and when they are heard again.
#include "support/handlers.hpp"

namespace {

using Seam = mote::FaultSystem;
using Call = Seam::Call;
using namespace std::chrono_literals;

void let_time_pass() { Seam::state.now += mote::Duration(mote::limits::retry_pause + 1ms).count(); }

}  // namespace

ON_BOTH_SELECTORS("handlers, generated: on virtual time who is muted is heard again after the pause, and not before") {
  Seam::start_virtual_time();
  Seam::state.most_waits = UINT32_MAX;
  handlers::run_worlds<S>("mote_fault_tests", "handlers, generated: on virtual time*", 1'000'000, &let_time_pass, true);
  Seam::state = Seam::State();
}

namespace {

// A FIFO's reader, which is told of the hang-up when the writer goes, and muted; on virtual time.
template <class S> struct Muted {
  Muted() {
    Seam::start_virtual_time();
    REQUIRE(loop.open());
    registration = add();
    close_writer();
  }
  ~Muted() { Seam::state = Seam::State(); }
  Muted(const Muted&) = delete;
  Muted& operator=(const Muted&) = delete;

  mote::Registration add() {
    const auto added = loop.add(pipe.a.get(), mote::Interest::read, recorder);
    REQUIRE(added);
    return *added;
  }
  void close_writer() {
    pipe.b.close();
    const int before = recorder.calls;
    REQUIRE(loop.run_once(0ns));
    REQUIRE(recorder.calls == before + 1);
    REQUIRE(recorder.last == mote::Readiness::hangup);
    Seam::state.reset_counts();
  }
  void open_writer() {
    const std::string path = "/proc/self/fd/" + std::to_string(pipe.a.get());
    pipe.b = mote::Fd(::open(path.c_str(), O_WRONLY | O_NONBLOCK | O_CLOEXEC));
    REQUIRE(pipe.b);
  }
  void write() { REQUIRE(test::send_text(pipe.b.get(), "x") == 1); }
  std::uint32_t looks() const { return Seam::state.count(Call::look); }

  mote::StaticReactor<typename S::template Config<8>> loop;
  test::Pair pipe = test::pipe_pair();
  test::Recorder recorder;
  mote::Registration registration;
};

}  // namespace

ON_BOTH_SELECTORS("handlers, muted: looked at every 100 ms, by one system call, and not called while it stays") {
  Muted<S> it;
  REQUIRE(it.loop.run_for(1050ms));
  CHECK(it.recorder.calls == 1);
  CHECK(it.looks() == 10);
  CHECK(Seam::state.waits() <= 12);
  CHECK(Seam::state.count(Call::epoll_ctl) == 0);
}

ON_BOTH_SELECTORS("handlers, muted: many of them share one pause") {
  Muted<S> it;
  test::Pair others[4];
  test::Recorder recorders[4];
  for (std::size_t i = 0; i < 4; ++i) {
    others[i] = test::pipe_pair();
    REQUIRE(it.loop.add(others[i].a.get(), mote::Interest::read, recorders[i]));
    others[i].b.close();
  }
  test::turn(it.loop, 2);
  Seam::state.reset_counts();
  REQUIRE(it.loop.run_for(1050ms));
  CHECK(it.looks() == 50);
  CHECK(Seam::state.waits() <= 12);
  for (const test::Recorder& recorder : recorders) CHECK(recorder.calls == 1);
}

ON_BOTH_SELECTORS("handlers, muted: heard again within 100 ms when the hang-up has gone, and told of the next one") {
  Muted<S> it;
  REQUIRE(it.loop.run_for(350ms));
  it.open_writer();
  it.write();
  const mote::Instant start = mote::Clock::now();
  for (int i = 0; i < 10 && it.recorder.calls == 1; ++i) REQUIRE(it.loop.run_once(100ms));
  CHECK(mote::Clock::now() - start <= 100ms);
  CHECK(it.recorder.last == mote::Readiness::readable);
  test::turn(it.loop, 3);
  CHECK(it.recorder.calls == 5);
  char byte;
  REQUIRE(::read(it.pipe.a.get(), &byte, 1) == 1);
  it.close_writer();
  CHECK(it.recorder.calls == 6);
  REQUIRE(it.loop.run_for(1050ms));
  CHECK(it.recorder.calls == 6);
  CHECK(it.looks() == 10);
}

ON_BOTH_SELECTORS("handlers, muted: heard again when what is asked for comes, beside an error that stays") {
  Seam::start_virtual_time();
  const handlers::IgnoredBrokenPipes ignored;
  test::Loop<S> loop;
  handlers::File udp;
  REQUIRE(udp.open(handlers::Kind::udp));
  test::Recorder recorder;
  REQUIRE(loop.add(udp.fd, mote::Interest::read, recorder));
  udp.peer_closes(false);
  udp.writes();  // and waits for the answer that nobody is there
  REQUIRE(loop.run_for(350ms));
  CHECK(recorder.calls == 1);
  CHECK(recorder.last == mote::Readiness::error);
  udp.peer_comes_again();
  udp.peer_writes();
  const mote::Instant start = mote::Clock::now();
  for (int i = 0; i < 10 && recorder.calls == 1; ++i) REQUIRE(loop.run_once(100ms));
  CHECK(mote::Clock::now() - start <= 100ms);
  CHECK(recorder.last == (mote::Readiness::readable | mote::Readiness::error));
  udp.takes_error();
  test::turn(loop, 2);
  CHECK(recorder.calls == 4);
  CHECK(recorder.last == mote::Readiness::readable);
  udp.close_all();
  Seam::state = Seam::State();
}

ON_BOTH_SELECTORS("handlers, muted: by modify() it is heard at once, with the hang-up if that is still there") {
  Muted<S> it;
  const mote::Instant start = mote::Clock::now();
  REQUIRE(it.loop.modify(it.registration, mote::Interest::read));
  test::turn(it.loop, 3);
  CHECK(it.recorder.calls == 2);
  it.open_writer();
  it.write();
  REQUIRE(it.loop.modify(it.registration, mote::Interest::read));
  test::turn(it.loop, 3);
  CHECK(it.recorder.calls == 5);
  CHECK(mote::Clock::now() == start);
}

ON_BOTH_SELECTORS("handlers, muted: of a source, it is heard at once after watch(), with another handler too") {
  Seam::start_virtual_time();
  test::Loop<S> loop;
  test::Pair pair = test::socket_pair();
  test::Recorder recorder, another;
  mote::Source source;
  REQUIRE(source.open(loop, std::move(pair.a)));
  REQUIRE(source.watch(mote::Interest::none, recorder));
  pair.b.close();
  test::turn(loop, 3);
  CHECK(recorder.calls == 1);
  REQUIRE(source.watch(mote::Interest::none, another));
  test::turn(loop, 3);
  CHECK(recorder.calls == 1);
  CHECK(another.calls == 1);
  REQUIRE(source.watch(mote::Interest::none, another));
  test::turn(loop, 3);
  CHECK(another.calls == 2);
  REQUIRE(source.watch(mote::Interest::read, another));
  test::turn(loop, 3);
  CHECK(another.calls == 5);
  Seam::state = Seam::State();
}

ON_BOTH_SELECTORS("handlers, muted: once it is removed or closed, nothing is looked at, and the loop rests") {
  for (const bool by_forgetting : {false, true}) {
    Muted<S> it;
    if (by_forgetting) it.pipe.a.close();
    REQUIRE((by_forgetting ? it.loop.forget(it.registration) : it.loop.remove(it.registration)));
    REQUIRE(it.loop.run_for(1050ms));
    CHECK(it.looks() == 0);
    CHECK(Seam::state.waits() <= 2);
    CHECK(it.loop.next_deadline() == mote::Instant::max());
    CHECK(it.loop.vacancies() == 8);
  }
}

ON_BOTH_SELECTORS("handlers, muted: run() goes on, since the hang-up may go away") {
  Muted<S> it;
  mote::Timer timer;
  auto revive = [&] {
    it.open_writer();
    it.write();
  };
  timer.arm(it.loop, 250ms, revive);
  auto handler = [&](mote::Readiness readiness) {
    it.recorder(readiness);
    it.loop.stop();
  };
  REQUIRE(it.loop.remove(it.registration));
  it.pipe.b.close();
  const auto added = it.loop.add(it.pipe.a.get(), mote::Interest::read, handler);
  REQUIRE(added);
  REQUIRE(it.loop.run());  // until it is told of the hang-up
  REQUIRE(it.loop.run());
  CHECK(it.recorder.calls == 3);
  CHECK(it.recorder.last == mote::Readiness::readable);
  CHECK_FALSE(Seam::state.stuck);
}

ON_BOTH_SELECTORS("handlers, muted: a look that fails, or cannot be acted on, is made up for at the next one") {
  for (const std::uint32_t times : {1u, 2u, 10u}) {
    {  // the look itself
      Muted<S> it;
      Seam::state.faults[0] = {Call::look, 1, ENOMEM, times};
      REQUIRE(it.loop.run_for(2050ms));
      CHECK(it.recorder.calls <= 1 + static_cast<int>(times));
      CHECK(Seam::state.faults_fired == times);
      it.open_writer();
      it.write();
      REQUIRE(it.loop.run_once(100ms));
      REQUIRE(it.loop.run_once(0ns));
      CHECK(it.recorder.last == mote::Readiness::readable);
    }
    for (const int error : {ENOMEM, ENOSPC}) {  // its return into the set
      Muted<S> it;
      const Call call = it.loop.pollable_descriptor() >= 0 ? Call::epoll_ctl : Call::fcntl;
      Seam::state.faults[0] = {call, 1, call == Call::fcntl ? EBADF : error, times};
      it.open_writer();
      it.write();
      REQUIRE(it.loop.run_for(100ms * times + 50ms));
      CHECK(it.recorder.calls == 1);
      CHECK(Seam::state.faults_fired == times);
      REQUIRE(it.loop.run_once(100ms));
      REQUIRE(it.loop.run_once(0ns));
      CHECK(it.recorder.calls == 2);
      CHECK(it.recorder.last == mote::Readiness::readable);
    }
  }
}
