// SPDX-License-Identifier: MIT
extern "C" {
#include <libubox/uloop.h>
}

#include "../support/common.hpp"

namespace {
struct Connection {
  uloop_fd io;
  std::size_t begin, end;  // what has not been sent back yet
  char bytes[bench::buffer_size];
};

void close_connection(Connection& c) {
  uloop_fd_delete(&c.io);
  close(c.io.fd);
  free(&c);
}

void write_back(Connection& c) {
  const ssize_t n = send(c.io.fd, c.bytes + c.begin, c.end - c.begin, MSG_NOSIGNAL);
  if (n < 0 && errno != EAGAIN) return close_connection(c);
  if (n > 0) c.begin += static_cast<std::size_t>(n);
  const unsigned wanted = c.begin != c.end ? ULOOP_WRITE : ULOOP_READ;
  if ((c.io.flags & ULOOP_EVENT_MASK) != wanted) uloop_fd_add(&c.io, wanted);
}

void on_ready(uloop_fd* io, unsigned events) {
  auto& c = *reinterpret_cast<Connection*>(io);
  if (io->error) return close_connection(c);
  if ((events & ULOOP_WRITE) != 0) return write_back(c);
  const ssize_t n = recv(c.io.fd, c.bytes, sizeof c.bytes, 0);
  if (n < 0 && errno == EAGAIN) return;
  if (n <= 0) return close_connection(c);
  c.begin = 0;
  c.end = static_cast<std::size_t>(n);
  write_back(c);
}

void on_connection(uloop_fd* io, unsigned) {
  for (;;) {
    const int fd = accept4(io->fd, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) return;
    auto& c = bench::allocate<Connection>();
    c.io = {};
    c.io.fd = fd;
    c.io.cb = &on_ready;
    uloop_fd_add(&c.io, ULOOP_READ);
  }
}
}  // namespace

int main() {
  uloop_init();  // which takes SIGTERM over
  uloop_fd listener{};
  listener.fd = bench::listen_anywhere();
  listener.cb = &on_connection;
  uloop_fd_add(&listener, ULOOP_READ);
  uloop_run();
  uloop_done();
  return 0;
}
