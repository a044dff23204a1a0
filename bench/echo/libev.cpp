// SPDX-License-Identifier: MIT
#include <ev.h>

#include "../support/common.hpp"

namespace {
struct Connection {
  ev_io io;
  std::size_t begin, end;  // what has not been sent back yet
  char bytes[bench::buffer_size];
};

void close_connection(struct ev_loop* loop, Connection& c) {
  ev_io_stop(loop, &c.io);
  close(c.io.fd);
  free(&c);
}

void write_back(struct ev_loop* loop, Connection& c) {
  const ssize_t n = send(c.io.fd, c.bytes + c.begin, c.end - c.begin, MSG_NOSIGNAL);
  if (n < 0 && errno != EAGAIN) return close_connection(loop, c);
  if (n > 0) c.begin += static_cast<std::size_t>(n);
  const int wanted = c.begin != c.end ? EV_WRITE : EV_READ;
  if ((c.io.events & (EV_READ | EV_WRITE)) == wanted) return;
  ev_io_stop(loop, &c.io);
  ev_io_set(&c.io, c.io.fd, wanted);
  ev_io_start(loop, &c.io);
}

void on_ready(struct ev_loop* loop, ev_io* io, int events) {
  auto& c = *reinterpret_cast<Connection*>(io);
  if ((events & EV_WRITE) != 0) return write_back(loop, c);
  const ssize_t n = recv(c.io.fd, c.bytes, sizeof c.bytes, 0);
  if (n < 0 && errno == EAGAIN) return;
  if (n <= 0) return close_connection(loop, c);
  c.begin = 0;
  c.end = static_cast<std::size_t>(n);
  write_back(loop, c);
}

void on_connection(struct ev_loop* loop, ev_io* io, int) {
  for (;;) {
    const int fd = accept4(io->fd, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) return;
    auto* const c = &bench::allocate<Connection>();
    ev_io_init(&c->io, &on_ready, fd, EV_READ);
    ev_io_start(loop, &c->io);
  }
}

void on_signal(struct ev_loop* loop, ev_signal*, int) { ev_break(loop, EVBREAK_ALL); }
}  // namespace

int main() {
  struct ev_loop* const loop = ev_default_loop(EVBACKEND_EPOLL);
  ev_io listener;
  ev_signal terminate;
  ev_io_init(&listener, &on_connection, bench::listen_anywhere(), EV_READ);
  ev_io_start(loop, &listener);
  ev_signal_init(&terminate, &on_signal, SIGTERM);
  ev_signal_start(loop, &terminate);
  ev_run(loop, 0);
  return 0;
}
