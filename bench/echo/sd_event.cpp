// SPDX-License-Identifier: MIT
#include <systemd/sd-event.h>

#include "../support/common.hpp"

namespace {
struct Connection {
  sd_event_source* io;
  int fd;
  bool writing;
  std::size_t begin, end;  // what has not been sent back yet
  char bytes[bench::buffer_size];
};

int close_connection(Connection& c) {
  sd_event_source_disable_unref(c.io);
  close(c.fd);
  free(&c);
  return 0;
}

int write_back(Connection& c) {
  const ssize_t n = send(c.fd, c.bytes + c.begin, c.end - c.begin, MSG_NOSIGNAL);
  if (n < 0 && errno != EAGAIN) return close_connection(c);
  if (n > 0) c.begin += static_cast<std::size_t>(n);
  const bool writing = c.begin != c.end;
  if (writing == c.writing) return 0;
  c.writing = writing;
  return sd_event_source_set_io_events(c.io, writing ? EPOLLOUT : EPOLLIN);
}

int on_ready(sd_event_source*, int, std::uint32_t, void* context) {
  auto& c = *static_cast<Connection*>(context);
  if (c.writing) return write_back(c);
  const ssize_t n = recv(c.fd, c.bytes, sizeof c.bytes, 0);
  if (n < 0 && errno == EAGAIN) return 0;
  if (n <= 0) return close_connection(c);
  c.begin = 0;
  c.end = static_cast<std::size_t>(n);
  return write_back(c);
}

int on_connection(sd_event_source* listener, int listener_fd, std::uint32_t, void*) {
  for (;;) {
    const int fd = accept4(listener_fd, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) return 0;
    auto* const c = &bench::allocate<Connection>();
    c->fd = fd;
    c->writing = false;
    sd_event_add_io(sd_event_source_get_event(listener), &c->io, fd, EPOLLIN, &on_ready, c);
  }
}
}  // namespace

int main() {
  sd_event* event = nullptr;
  sigset_t terminate;
  sigemptyset(&terminate);
  sigaddset(&terminate, SIGTERM);
  sigprocmask(SIG_BLOCK, &terminate, nullptr);
  if (sd_event_new(&event) < 0) bench::die("sd_event_new");
  sd_event_add_io(event, nullptr, bench::listen_anywhere(), EPOLLIN, &on_connection, nullptr);
  sd_event_add_signal(event, nullptr, SIGTERM, nullptr, nullptr);  // ends the loop
  sd_event_loop(event);
  return 0;
}
