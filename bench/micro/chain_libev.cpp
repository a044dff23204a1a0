// SPDX-License-Identifier: MIT
#include <ev.h>

#include "chain.hpp"

namespace {
struct Loop {
  explicit Loop(std::size_t n) : watchers(n), loop(ev_loop_new(EVBACKEND_EPOLL)) {}
  void watch(std::size_t i, int fd) {
    ev_io_init(&watchers[i], &pass, fd, EV_READ);
    watchers[i].data = reinterpret_cast<void*>(i);
    ev_io_start(loop, &watchers[i]);
  }
  void turn() { ev_run(loop, EVRUN_ONCE); }
  static void pass(struct ev_loop*, ev_io* watcher, int) {
    bench::chain.pass(reinterpret_cast<std::size_t>(watcher->data));
  }
  std::vector<ev_io> watchers;
  struct ev_loop* loop;
};
}  // namespace

int main(int argc, char** argv) { return bench::time_chain<Loop>(argc, argv); }
