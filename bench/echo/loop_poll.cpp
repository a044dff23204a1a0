// SPDX-License-Identifier: MIT
// A hand-written poll loop: a dense array of descriptors, the last one takes the place of one that goes.
#include <poll.h>
#include <sys/signalfd.h>

#include "../support/common.hpp"

namespace {
struct Connection {
  std::size_t begin, end;  // what has not been sent back yet
  char bytes[bench::buffer_size];
};
constexpr std::size_t first = 2;  // before it: the listener and the signals
pollfd fds[bench::most_connections + first];
Connection* connections[bench::most_connections + first];
std::size_t count = first;

// Whether it is still there: else another has taken its place.
bool close_connection(std::size_t i) {
  close(fds[i].fd);
  free(connections[i]);
  --count;
  fds[i] = fds[count];
  connections[i] = connections[count];
  return false;
}

bool write_back(std::size_t i) {
  Connection& c = *connections[i];
  const ssize_t n = send(fds[i].fd, c.bytes + c.begin, c.end - c.begin, MSG_NOSIGNAL);
  if (n < 0 && errno != EAGAIN) return close_connection(i);
  if (n > 0) c.begin += static_cast<std::size_t>(n);
  fds[i].events = c.begin != c.end ? POLLOUT : POLLIN;
  return true;
}

bool read_and_write(std::size_t i) {
  Connection& c = *connections[i];
  const ssize_t n = recv(fds[i].fd, c.bytes, sizeof c.bytes, 0);
  if (n < 0 && errno == EAGAIN) return true;
  if (n <= 0) return close_connection(i);
  c.begin = 0;
  c.end = static_cast<std::size_t>(n);
  return write_back(i);
}

void accept_all() {
  while (count < bench::most_connections + first) {
    const int fd = accept4(fds[0].fd, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) return;
    connections[count] = &bench::allocate<Connection>();
    fds[count] = {fd, POLLIN, 0};
    ++count;
  }
}
}  // namespace

int main() {
  sigset_t terminate;
  sigemptyset(&terminate);
  sigaddset(&terminate, SIGTERM);
  sigprocmask(SIG_BLOCK, &terminate, nullptr);
  fds[0] = {bench::listen_anywhere(), POLLIN, 0};
  fds[1] = {signalfd(-1, &terminate, SFD_NONBLOCK | SFD_CLOEXEC), POLLIN, 0};
  for (;;) {
    int left = poll(fds, count, -1);
    if (left < 0 && errno != EINTR) bench::die("poll");
    if (fds[1].revents != 0) return 0;
    const bool accepting = fds[0].revents != 0;
    if (accepting) --left;
    std::size_t i = first;
    while (left > 0 && i < count) {
      if (fds[i].revents == 0) {
        ++i;
        continue;
      }
      --left;
      const bool still_there = fds[i].events == POLLOUT ? write_back(i) : read_and_write(i);
      if (still_there) ++i;
    }
    if (accepting) accept_all();
  }
}
