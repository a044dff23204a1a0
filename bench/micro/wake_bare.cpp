// SPDX-License-Identifier: MIT
// A bare eventfd in a bare epoll set.
#include <sys/epoll.h>

#include "wake.hpp"

namespace {
struct Loop {
  Loop() {
    epoll_event event;
    memset(&event, 0, sizeof event);
    event.events = EPOLLIN;
    if (epoll_ctl(set, EPOLL_CTL_ADD, fd, &event) != 0) bench::fail("epoll_ctl");
  }
  void wake() {
    const std::uint64_t one = 1;
    if (write(fd, &one, sizeof one) != sizeof one) bench::fail("write");
  }
  void turn() {
    epoll_event event;
    std::uint64_t count;
    if (epoll_wait(set, &event, 1, -1) == 1 && read(fd, &count, sizeof count) == sizeof count) bench::wakes.on_wake();
  }
  int set = epoll_create1(EPOLL_CLOEXEC), fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
};
}  // namespace

int main(int argc, char** argv) { return bench::time_wakes<Loop>(argc, argv); }
