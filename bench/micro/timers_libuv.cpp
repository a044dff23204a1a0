// SPDX-License-Identifier: MIT
#include <uv.h>

#include "timers.hpp"

namespace {
struct Timers {
  explicit Timers(std::size_t n) : all(n) {
    if (uv_loop_init(&loop) != 0) bench::fail("uv_loop_init");
    for (uv_timer_t& timer : all) {
      uv_timer_init(&loop, &timer);
      timer.data = this;
    }
  }
  // It knows milliseconds alone.
  void arm(std::size_t i, std::uint32_t us) { uv_timer_start(&all[i], &fire, us / 1000, 0); }
  void cancel(std::size_t i) { uv_timer_stop(&all[i]); }
  void arm_idle(std::size_t i) { uv_timer_start(&all[i], &fire, 60000, 60000); }
  void rearm_idle(std::size_t i) { uv_timer_again(&all[i]); }
  void settle() {}
  void update() { uv_run(&loop, UV_RUN_NOWAIT); }
  std::size_t expire() {
    update();
    return fired;
  }
  static void fire(uv_timer_t* timer) { ++static_cast<Timers*>(timer->data)->fired; }
  std::vector<uv_timer_t> all;
  uv_loop_t loop;
  std::size_t fired = 0;
};
}  // namespace

int main(int argc, char** argv) { return bench::time_timers<Timers>(argc, argv); }
