// SPDX-License-Identifier: MIT
#include <event2/event.h>
#include <event2/event_struct.h>

#include "timers.hpp"

namespace {
struct Timers {
  explicit Timers(std::size_t n) : all(n), base(event_base_new()) {
    for (event& timer : all) evtimer_assign(&timer, base, &fire, this);
  }
  void arm(std::size_t i, std::uint32_t us) {
    const timeval delay{us / 1000000, us % 1000000};
    evtimer_add(&all[i], &delay);
  }
  void cancel(std::size_t i) { evtimer_del(&all[i]); }
  void arm_idle(std::size_t i) {
    const timeval minute{60, 0};
    evtimer_add(&all[i], &minute);
  }
  void rearm_idle(std::size_t i) { arm_idle(i); }
  void settle() {}
  void update() { event_base_loop(base, EVLOOP_NONBLOCK); }
  std::size_t expire() {
    update();
    return fired;
  }
  static void fire(evutil_socket_t, short, void* self) { ++static_cast<Timers*>(self)->fired; }
  std::vector<event> all;
  event_base* base;
  std::size_t fired = 0;
};
}  // namespace

int main(int argc, char** argv) { return bench::time_timers<Timers>(argc, argv); }
