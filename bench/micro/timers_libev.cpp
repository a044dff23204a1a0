// SPDX-License-Identifier: MIT
#define EV_COMPAT3 0
#include <ev.h>

#include "timers.hpp"

namespace {
struct Timers {
  explicit Timers(std::size_t n) : all(n), loop(ev_loop_new(EVBACKEND_EPOLL)) {
    for (ev_timer& timer : all) {
      ev_timer_init(&timer, &fire, 0., 0.);
      timer.data = this;
    }
  }
  void arm(std::size_t i, std::uint32_t us) {
    ev_timer_stop(loop, &all[i]);
    ev_timer_set(&all[i], us * 1e-6, 0.);
    ev_timer_start(loop, &all[i]);
  }
  void cancel(std::size_t i) { ev_timer_stop(loop, &all[i]); }
  void arm_idle(std::size_t i) {
    all[i].repeat = 60.;
    ev_timer_again(loop, &all[i]);
  }
  void rearm_idle(std::size_t i) { ev_timer_again(loop, &all[i]); }
  void settle() {}
  void update() { ev_run(loop, EVRUN_NOWAIT); }
  std::size_t expire() {
    update();
    return fired;
  }
  static void fire(struct ev_loop*, ev_timer* timer, int) { ++static_cast<Timers*>(timer->data)->fired; }
  std::vector<ev_timer> all;
  struct ev_loop* loop;
  std::size_t fired = 0;
};
}  // namespace

int main(int argc, char** argv) { return bench::time_timers<Timers>(argc, argv); }
