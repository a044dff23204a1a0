// SPDX-License-Identifier: MIT
// The yardstick: a hand-written, level-triggered epoll loop, as good as such a loop gets without edge triggering.
#include <sys/epoll.h>
#include <sys/signalfd.h>

#include "../support/common.hpp"

namespace {
struct Connection {
  int fd;
  bool writing;            // what is armed: EPOLLOUT, and not EPOLLIN
  std::size_t begin, end;  // what has not been sent back yet
  char bytes[bench::buffer_size];
};
Connection* connections[65536];
int set, listener, signals;

void control(int what, int fd, std::uint32_t events, void* context) {
  epoll_event event;
  memset(&event, 0, sizeof event);
  event.events = events;
  event.data.ptr = context;
  if (epoll_ctl(set, what, fd, &event) != 0) bench::die("epoll_ctl");
}

void close_connection(Connection& c) {
  close(c.fd);  // which takes it out of the set
  connections[c.fd] = nullptr;
  free(&c);
}

void write_back(Connection& c) {
  const ssize_t n = send(c.fd, c.bytes + c.begin, c.end - c.begin, MSG_NOSIGNAL);
  if (n < 0 && errno != EAGAIN) return close_connection(c);
  if (n > 0) c.begin += static_cast<std::size_t>(n);
  const bool writing = c.begin != c.end;
  if (writing == c.writing) return;
  c.writing = writing;
  control(EPOLL_CTL_MOD, c.fd, writing ? EPOLLOUT : EPOLLIN, &c);
}

void read_and_write(Connection& c) {
  const ssize_t n = recv(c.fd, c.bytes, sizeof c.bytes, 0);
  if (n < 0 && errno == EAGAIN) return;
  if (n <= 0) return close_connection(c);
  c.begin = 0;
  c.end = static_cast<std::size_t>(n);
  write_back(c);
}

void accept_all() {
  for (;;) {
    const int fd = accept4(listener, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) return;
    auto* const c = &bench::allocate<Connection>();
    c->fd = fd;
    c->writing = false;
    connections[fd] = c;
    control(EPOLL_CTL_ADD, fd, EPOLLIN, c);
  }
}
}  // namespace

int main() {
  listener = bench::listen_anywhere();
  set = epoll_create1(EPOLL_CLOEXEC);
  sigset_t terminate;
  sigemptyset(&terminate);
  sigaddset(&terminate, SIGTERM);
  sigprocmask(SIG_BLOCK, &terminate, nullptr);
  signals = signalfd(-1, &terminate, SFD_NONBLOCK | SFD_CLOEXEC);
  control(EPOLL_CTL_ADD, signals, EPOLLIN, &signals);
  control(EPOLL_CTL_ADD, listener, EPOLLIN, &listener);
  for (;;) {
    epoll_event events[bench::batch];
    const int n = epoll_wait(set, events, bench::batch, -1);
    if (n < 0 && errno != EINTR) bench::die("epoll_wait");
    for (int i = 0; i < n; ++i) {
      void* const what = events[i].data.ptr;
      if (what == &listener) accept_all();
      else if (what == &signals) return 0;
      else if (auto& c = *static_cast<Connection*>(what); c.writing) write_back(c);
      else read_and_write(c);
    }
  }
}
