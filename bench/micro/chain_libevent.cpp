// SPDX-License-Identifier: MIT
#include <event2/event.h>
#include <event2/event_struct.h>

#include "chain.hpp"

namespace {
struct Loop {
  explicit Loop(std::size_t n) : events(n), base(event_base_new()) {}
  void watch(std::size_t i, int fd) {
    event_assign(&events[i], base, fd, EV_READ | EV_PERSIST, &pass, reinterpret_cast<void*>(i));
    event_add(&events[i], nullptr);
  }
  void turn() { event_base_loop(base, EVLOOP_ONCE); }
  static void pass(evutil_socket_t, short, void* i) { bench::chain.pass(reinterpret_cast<std::size_t>(i)); }
  std::vector<event> events;
  event_base* base;
};
}  // namespace

int main(int argc, char** argv) { return bench::time_chain<Loop>(argc, argv); }
