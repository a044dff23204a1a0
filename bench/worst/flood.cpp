// SPDX-License-Identifier: MIT
// How much of others' comes between readiness and its handler, in a flood: 1,000 descriptors are ready all the time, and
// 1,000 tasks wake themselves in every step, so that each turn is as long as it can be. What is measured becomes ready at
// ever other moments of the turns, and the worst of them counts: in events and steps of the flood, in turns, and in the
// instructions of all that ran meanwhile. The clock moves by a microsecond with each event and step of the flood.
#include "count.hpp"

namespace {
using bench::must;
using mote::Interest;
using mote::Step;
using mote::Task;

constexpr std::size_t crowd_size = 1000;     // of descriptors, and of tasks
constexpr std::size_t many = 120, few = 12;  // trials, at random moments; few where each takes many turns
constexpr mote::Duration work = std::chrono::microseconds(1);
enum class By { descriptor, event, timer };

template <std::size_t levels, bool poll> struct Flood {
  struct Config : mote::Config {
    static constexpr std::size_t descriptors = crowd_size + 1;
    static constexpr std::size_t priorities = levels;
    template <std::size_t M> using Selector = std::conditional_t<poll, mote::PollSelector<M>, mote::EpollSelector<M>>;
  };
  struct Restless {
    Flood& flood;
    Step step(Task& task) {
      ++flood.steps;
      flood.work_done();
      task.wake();
      return mote::pending;
    }
  };
  struct Subject {  // as a task
    Flood& flood;
    Step step(Task& task) {
      char bytes[8];
      if (flood.urgent) must(task.set_priority(levels - 1), "set_priority");
      for (;;) {
        bool came = false;
        switch (flood.by) {
          case By::descriptor: came = flood.source.read(bytes).poll(task).ready(); break;
          case By::event: came = flood.event.wait().poll(task).ready(); break;
          case By::timer: came = flood.sleep.sleep(flood.nap).poll(task).ready(); break;
        }
        if (!came) return mote::pending;
        flood.event.clear();
        flood.answered();
      }
    }
  };
  void on_crowd(mote::Readiness) {
    ++events;
    work_done();
  }
  void on_subject(mote::Readiness) {
    eventfd_t count;
    static_cast<void>(eventfd_read(fd, &count));
    answered();
  }
  void on_timer() { answered(); }

  // After each piece of the flood's work: has the moment come?
  void work_done() {
    mote::StillSystem::time += work.count();
    if (!armed || mote::Clock::now() < due) return;
    armed = false;
    events_before = events;
    steps_before = steps;
    turns_before = reactor.stats().turns;
    CALLGRIND_ZERO_STATS;
    if (by == By::descriptor) static_cast<void>(eventfd_write(fd, 1));
    if (by == By::event) event.set();
  }
  void arm_next() {
    random ^= random << 13;
    random ^= random >> 17;
    random ^= random << 5;
    nap = (2 * crowd_size + random % (5 * crowd_size)) * work;
    due = mote::Clock::now() + nap;
    armed = true;
    if (by == By::timer && !as_task) timer.arm_at(reactor, due, mote::Timer::Callback::of<&Flood::on_timer>(*this));
  }
  void answered() {
    if (armed) return;  // a task's first step, before its first wait
    snprintf(bench::label, sizeof bench::label, "flood|%s|%s|%zu|%u|%u|%u", name, poll ? "poll" : "epoll", levels,
             static_cast<unsigned>(events - events_before), static_cast<unsigned>(steps - steps_before),
             static_cast<unsigned>(reactor.stats().turns - turns_before));
    if (trial != 0) CALLGRIND_DUMP_STATS_AT(bench::label);  // at first, a task begins late
    ++trial;
    arm_next();
  }
  void turn() { static_cast<void>(must(reactor.run_once(mote::Duration::zero()), "run_once")); }
  void measure(const char* what) {
    const std::size_t trials = levels > 1 && as_task && !urgent ? few : many;
    name = what;
    trial = 0;
    arm_next();
    while (trial != trials) turn();
    armed = false;
    timer.cancel();
  }
  void measure_task(const char* what) {
    as_task = true;
    mote::TaskHandle handle = must(subject.spawn(reactor, *this), "spawn");
    armed = true;
    measure(what);
    must(handle.destroy(), "destroy");
    sleep.reset();
    as_task = false;
  }

  void run() {
    must(reactor.open(), "open");
    const bench::Descriptors fds(crowd_size, 1);
    for (const int each : fds)
      must(reactor.add(each, Interest::read, mote::Handler::of<&Flood::on_crowd>(*this)), "add");
    for (std::size_t i = 0; i != crowd_size; ++i) static_cast<void>(must(crowd.spawn(reactor, *this), "spawn"));
    fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    const auto registration =
        must(reactor.add(fd, Interest::read, mote::Handler::of<&Flood::on_subject>(*this)), "add");
    measure("a descriptor's handler");
    must(reactor.remove(registration), "remove");
    by = By::timer;
    measure("a timer's callback");
    must(source.open(reactor, mote::Fd(fd)), "open");
    for (urgent = false;; urgent = true) {
      by = By::descriptor;
      measure_task(urgent ? "a task of the highest priority that reads" : "a task that reads");
      by = By::event;
      measure_task(urgent ? "a task of the highest priority that waits for an event"
                          : "a task that waits for an event");
      by = By::timer;
      measure_task(urgent ? "a task of the highest priority that sleeps" : "a task that sleeps");
      if (urgent || levels == 1) break;
    }
  }

  mote::StaticReactor<Config> reactor;
  mote::TaskPool<Restless, crowd_size> crowd;
  mote::TaskPool<Subject, 1> subject;
  mote::Stream source;
  mote::Event event;
  mote::Timer timer;
  mote::TaskTimer sleep;
  mote::Duration nap{};
  mote::Instant due{};
  const char* name = "";
  By by = By::descriptor;
  int fd = -1;
  bool as_task = false, urgent = false, armed = false;
  std::size_t trial = 0;
  std::uint32_t random = 2463534242u;
  std::uint64_t events = 0, steps = 0, events_before = 0, steps_before = 0, turns_before = 0;
};
template <std::size_t levels, bool poll> void flood() {
  static Flood<levels, poll> all;
  all.run();
}
}  // namespace

int main() {
  bench::allow_many_descriptors();
  flood<1, false>();
  flood<2, false>();
  flood<1, true>();
  flood<2, true>();
}
