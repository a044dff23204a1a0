// SPDX-License-Identifier: MIT
#include <uv.h>

#include "chain.hpp"

namespace {
struct Loop {
  explicit Loop(std::size_t n) : polls(n) {
    if (uv_loop_init(&loop) != 0) bench::fail("uv_loop_init");
  }
  void watch(std::size_t i, int fd) {
    uv_poll_init(&loop, &polls[i], fd);
    polls[i].data = reinterpret_cast<void*>(i);
    uv_poll_start(&polls[i], UV_READABLE, &pass);
  }
  void turn() { uv_run(&loop, UV_RUN_ONCE); }
  static void pass(uv_poll_t* poll, int, int) { bench::chain.pass(reinterpret_cast<std::size_t>(poll->data)); }
  std::vector<uv_poll_t> polls;
  uv_loop_t loop;
};
}  // namespace

int main(int argc, char** argv) { return bench::time_chain<Loop>(argc, argv); }
