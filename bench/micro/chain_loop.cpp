// SPDX-License-Identifier: MIT
#include <sys/epoll.h>

#include "chain.hpp"

namespace {
struct Loop {
  explicit Loop(std::size_t) : set(epoll_create1(EPOLL_CLOEXEC)) {}
  void watch(std::size_t i, int fd) {
    epoll_event event;
    memset(&event, 0, sizeof event);
    event.events = EPOLLIN;
    event.data.u64 = i;
    if (epoll_ctl(set, EPOLL_CTL_ADD, fd, &event) != 0) bench::fail("epoll_ctl");
  }
  void turn() {
    epoll_event events[256];
    const int n = epoll_wait(set, events, 256, -1);
    for (int i = 0; i < n; ++i) bench::chain.pass(events[i].data.u64);
  }
  int set;
};
}  // namespace

int main(int argc, char** argv) { return bench::time_chain<Loop>(argc, argv); }
