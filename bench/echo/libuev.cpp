// SPDX-License-Identifier: MIT
extern "C" {  // which its header does not say
#include <uev/uev.h>
}

#include "../support/common.hpp"

namespace {
struct Connection {
  uev_t io;
  bool writing;
  std::size_t begin, end;  // what has not been sent back yet
  char bytes[bench::buffer_size];
};

void close_connection(Connection& c) {
  uev_io_stop(&c.io);
  close(c.io.fd);
  free(&c);
}

void write_back(Connection& c) {
  const ssize_t n = send(c.io.fd, c.bytes + c.begin, c.end - c.begin, MSG_NOSIGNAL);
  if (n < 0 && errno != EAGAIN) return close_connection(c);
  if (n > 0) c.begin += static_cast<std::size_t>(n);
  const bool writing = c.begin != c.end;
  if (writing == c.writing) return;
  c.writing = writing;
  uev_io_set(&c.io, c.io.fd, writing ? UEV_WRITE : UEV_READ);
}

void on_ready(uev_t*, void* context, int) {
  auto& c = *static_cast<Connection*>(context);
  if (c.writing) return write_back(c);
  const ssize_t n = recv(c.io.fd, c.bytes, sizeof c.bytes, 0);
  if (n < 0 && errno == EAGAIN) return;
  if (n <= 0) return close_connection(c);
  c.begin = 0;
  c.end = static_cast<std::size_t>(n);
  write_back(c);
}

void on_connection(uev_t* listener, void*, int) {
  for (;;) {
    const int fd = accept4(listener->fd, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) return;
    auto* const c = &bench::allocate<Connection>();
    c->writing = false;
    uev_io_init(listener->ctx, &c->io, &on_ready, c, fd, UEV_READ);
  }
}

void on_signal(uev_t* signal, void*, int) { uev_exit(signal->ctx); }
}  // namespace

int main() {
  uev_ctx_t context;
  uev_t listener, terminate;
  uev_init1(&context, UEV_MAX_EVENTS);  // which is all that it takes from one wait
  uev_io_init(&context, &listener, &on_connection, nullptr, bench::listen_anywhere(), UEV_READ);
  uev_signal_init(&context, &terminate, &on_signal, nullptr, SIGTERM);
  uev_run(&context, 0);
  return 0;
}
