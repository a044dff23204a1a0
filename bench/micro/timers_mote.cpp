// SPDX-License-Identifier: MIT
#include <mote.hpp>

#include "timers.hpp"

namespace {
mote::StaticReactor<> reactor;

struct Timers {
  explicit Timers(std::size_t n) : all(n) {
    if (!reactor.open()) bench::fail("open");
  }
  void arm(std::size_t i, std::uint32_t us) {
    all[i].arm_at(reactor, reactor.now() + std::chrono::microseconds(us), callback());
  }
  void cancel(std::size_t i) { all[i].cancel(); }
  void arm_idle(std::size_t i) { all[i].arm(reactor, std::chrono::minutes(1), callback()); }
  void rearm_idle(std::size_t i) { all[i].rearm(std::chrono::minutes(1)); }
  void settle() {}
  void update() { static_cast<void>(reactor.run_once(mote::Duration::zero())); }
  std::size_t expire() {
    update();
    return fired;
  }
  mote::Timer::Callback callback() { return mote::Timer::Callback::of<&Timers::fire>(*this); }
  void fire() { ++fired; }
  std::vector<mote::Timer> all;
  std::size_t fired = 0;
};
}  // namespace

int main(int argc, char** argv) { return bench::time_timers<Timers>(argc, argv); }
