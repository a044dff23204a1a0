// SPDX-License-Identifier: MIT
// register: the bare pair of epoll_ctl() that adding and removing a descriptor takes.
#include <sys/epoll.h>
#include <sys/eventfd.h>

#include <vector>

#include "measure.hpp"

int main(int argc, char** argv) {
  const bench::Arguments arguments = bench::parse(argc, argv);
  const std::size_t n = arguments.size;
  if (!arguments.is("register")) bench::no_such_case();
  const int set = epoll_create1(EPOLL_CLOEXEC);
  std::vector<int> fds(n);
  for (int& fd : fds) fd = eventfd(0, EFD_CLOEXEC);
  bench::Stopwatch stopwatch;
  for (std::size_t r = 0; r < arguments.repeats; ++r) {
    stopwatch.measure(n, [&] {
      epoll_event event;
      memset(&event, 0, sizeof event);
      event.events = EPOLLIN;
      for (std::size_t i = 0; i < n; ++i) {
        event.data.u64 = i;
        epoll_ctl(set, EPOLL_CTL_ADD, fds[i], &event);
      }
      for (std::size_t i = 0; i < n; ++i) epoll_ctl(set, EPOLL_CTL_DEL, fds[i], &event);
    });
  }
  stopwatch.print();
  return 0;
}
