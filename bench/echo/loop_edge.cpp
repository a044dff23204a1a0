// SPDX-License-Identifier: MIT
// A hand-written, edge-triggered epoll loop: both directions are armed for good, so that nothing is ever modified. A short
// read says that there is no more for now, unless the peer has closed (EPOLLRDHUP): then the end is read at once.
#include <sys/epoll.h>
#include <sys/signalfd.h>

#include "../support/common.hpp"

namespace {
struct Connection {
  int fd;
  bool closing;
  std::size_t begin, end;  // what has not been sent back yet
  char bytes[bench::buffer_size];
};
Connection* connections[65536];
int set, listener, signals;

void add(int fd, std::uint32_t events, void* context) {
  epoll_event event;
  memset(&event, 0, sizeof event);
  event.events = events | EPOLLET;
  event.data.ptr = context;
  if (epoll_ctl(set, EPOLL_CTL_ADD, fd, &event) != 0) bench::die("epoll_ctl");
}

void close_connection(Connection& c) {
  close(c.fd);  // which takes it out of the set
  connections[c.fd] = nullptr;
  free(&c);
}

void serve(Connection& c) {
  for (;;) {
    while (c.begin != c.end) {
      const ssize_t n = send(c.fd, c.bytes + c.begin, c.end - c.begin, MSG_NOSIGNAL);
      if (n < 0 && errno == EAGAIN) return;
      if (n < 0) return close_connection(c);
      c.begin += static_cast<std::size_t>(n);
      if (c.begin != c.end) continue;
      if (c.end != sizeof c.bytes && !c.closing) return;  // it was a short read
    }
    const ssize_t n = recv(c.fd, c.bytes, sizeof c.bytes, 0);
    if (n < 0 && errno == EAGAIN) return;
    if (n <= 0) return close_connection(c);
    c.begin = 0;
    c.end = static_cast<std::size_t>(n);
  }
}

void accept_all() {
  for (;;) {
    const int fd = accept4(listener, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) return;
    auto* const c = &bench::allocate<Connection>();
    c->fd = fd;
    c->closing = false;
    c->begin = 0;
    c->end = 0;
    connections[fd] = c;
    add(fd, EPOLLIN | EPOLLOUT | EPOLLRDHUP, c);
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
  add(signals, EPOLLIN, &signals);
  add(listener, EPOLLIN, &listener);
  for (;;) {
    epoll_event events[bench::batch];
    const int n = epoll_wait(set, events, bench::batch, -1);
    if (n < 0 && errno != EINTR) bench::die("epoll_wait");
    for (int i = 0; i < n; ++i) {
      void* const what = events[i].data.ptr;
      if (what == &listener) {
        accept_all();
      } else if (what == &signals) {
        return 0;
      } else {
        auto& c = *static_cast<Connection*>(what);
        if ((events[i].events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0) c.closing = true;
        // Only writable, and nothing to be written: the event of a new connection, or of a buffer that has drained.
        if ((events[i].events & ~std::uint32_t{EPOLLOUT}) != 0 || c.begin != c.end) serve(c);
      }
    }
  }
}
