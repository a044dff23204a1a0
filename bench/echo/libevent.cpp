// SPDX-License-Identifier: MIT
// Plain events, no bufferevents: those copy, and are another layer.
#include <event2/event.h>
#include <event2/event_struct.h>

#include "../support/common.hpp"

namespace {
event_base* base;

struct Connection {
  event io;
  bool writing;
  std::size_t begin, end;  // what has not been sent back yet
  char bytes[bench::buffer_size];
};
void on_ready(evutil_socket_t fd, short, void* context);

void close_connection(Connection& c) {
  const int fd = event_get_fd(&c.io);
  event_del(&c.io);
  close(fd);
  free(&c);
}

void watch(Connection& c, int fd, bool writing) {
  c.writing = writing;
  event_assign(&c.io, base, fd, static_cast<short>((writing ? EV_WRITE : EV_READ) | EV_PERSIST), &on_ready, &c);
  event_add(&c.io, nullptr);
}

void write_back(Connection& c, int fd) {
  const ssize_t n = send(fd, c.bytes + c.begin, c.end - c.begin, MSG_NOSIGNAL);
  if (n < 0 && errno != EAGAIN) return close_connection(c);
  if (n > 0) c.begin += static_cast<std::size_t>(n);
  const bool writing = c.begin != c.end;
  if (writing == c.writing) return;
  event_del(&c.io);
  watch(c, fd, writing);
}

void on_ready(evutil_socket_t fd, short, void* context) {
  auto& c = *static_cast<Connection*>(context);
  if (c.writing) return write_back(c, fd);
  const ssize_t n = recv(fd, c.bytes, sizeof c.bytes, 0);
  if (n < 0 && errno == EAGAIN) return;
  if (n <= 0) return close_connection(c);
  c.begin = 0;
  c.end = static_cast<std::size_t>(n);
  write_back(c, fd);
}

void on_connection(evutil_socket_t listener, short, void*) {
  for (;;) {
    const int fd = accept4(listener, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) return;
    watch(bench::allocate<Connection>(), fd, false);
  }
}

void on_signal(evutil_socket_t, short, void*) { event_base_loopbreak(base); }
}  // namespace

int main() {
  base = event_base_new();
  event listener, terminate;
  event_assign(&listener, base, bench::listen_anywhere(), EV_READ | EV_PERSIST, &on_connection, nullptr);
  event_add(&listener, nullptr);
  event_assign(&terminate, base, SIGTERM, EV_SIGNAL | EV_PERSIST, &on_signal, nullptr);
  event_add(&terminate, nullptr);
  event_base_dispatch(base);
  return 0;
}
