// SPDX-License-Identifier: MIT
#include <asio/io_context.hpp>
#include <asio/steady_timer.hpp>

#include "timers.hpp"

namespace {
struct Timers {
  explicit Timers(std::size_t n) {
    all.reserve(n);
    for (std::size_t i = 0; i < n; ++i) all.emplace_back(context);
  }
  void arm(std::size_t i, std::uint32_t us) { start(i, std::chrono::microseconds(us)); }
  void cancel(std::size_t i) { all[i].cancel(); }
  void arm_idle(std::size_t i) { start(i, std::chrono::minutes(1)); }
  void rearm_idle(std::size_t i) { arm_idle(i); }
  void settle() {  // runs the handlers of the timers that were cancelled
    context.restart();
    context.poll();
  }
  void update() {
    context.restart();
    context.poll();
  }
  std::size_t expire() {
    update();
    return fired;
  }
  template <class D> void start(std::size_t i, D delay) {
    all[i].expires_after(delay);
    all[i].async_wait([this](const asio::error_code& error) { fired += error ? 0u : 1u; });
  }
  asio::io_context context{1};
  std::vector<asio::steady_timer> all;
  std::size_t fired = 0;
};
}  // namespace

int main(int argc, char** argv) { return bench::time_timers<Timers>(argc, argv); }
