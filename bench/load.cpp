// SPDX-License-Identifier: MIT
// The other end of the echo servers: makes a load, verifies every byte that comes back, and says in one line of JSON what
// it has cost the server, in CPU time of the server's process.
//
//   load --port 1234 --server 5678 --connections 64 --messages 100000
//
// Its own loop is edge-triggered and does not matter: what is compared is the server's time alone.

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <vector>

namespace {
#ifndef IP_BIND_ADDRESS_NO_PORT
#define IP_BIND_ADDRESS_NO_PORT 24
#endif

struct Options {
  int port = 0;
  int server = 0;  // its process
  std::size_t connections = 1, idle = 0, size = 64, window = 1;
  std::uint64_t messages = 1000, warm_up = 0;
  bool churn = false;
  int timeout = 20;  // seconds without progress
} options;

[[noreturn]] void die(const char* what) {
  fprintf(stderr, "load: %s: %s\n", what, strerror(errno));
  exit(1);
}
[[noreturn]] void fail(const char* what) {
  fprintf(stderr, "load: %s\n", what);
  exit(1);
}

// What a connection sends, and must get back: an endless repetition of these bytes, each connection from another place
// on. Its length is a prime, so that no two messages are alike; twice over, so that a piece can be sent from anywhere.
constexpr std::size_t period = 65521, longest = 65536;
unsigned char pattern[period + longest];
unsigned char received[longest];

void make_pattern() {
  std::uint32_t x = 2463534242u;
  for (std::size_t i = 0; i < period; ++i) {
    x ^= x << 13;
    x ^= x >> 17;
    x ^= x << 5;
    pattern[i] = static_cast<unsigned char>(x >> 11);
  }
  for (std::size_t i = 0; i < longest; ++i) pattern[period + i] = pattern[i % period];
}

struct Connection {
  int fd = -1;
  std::size_t send_at = 0, receive_at = 0;  // in the pattern
  std::size_t unsent = 0;                   // of the messages that are under way
  std::size_t partial = 0;                  // bytes of the message that is coming in
  std::size_t in_flight = 0;                // messages
  bool connecting = false, closing = false;
};

std::uint64_t left_to_start = 0, left_to_finish = 0;
int set = -1;
unsigned source = 0;

int open_socket() {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) die("socket");
  const int on = 1;
  if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) != 0) die("setsockopt");
  return fd;
}

sockaddr_in server_address() {
  sockaddr_in address;
  memset(&address, 0, sizeof address);
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(options.port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

void set_non_blocking(int fd) {
  if (fcntl(fd, F_SETFL, O_NONBLOCK) != 0) die("fcntl");
}

// One connection, and one message of 64 bytes that shows that the server has accepted it.
Connection connect_and_greet(std::size_t index) {
  Connection c;
  c.fd = open_socket();
  c.send_at = index * 977 % period;
  c.receive_at = c.send_at;
  const sockaddr_in address = server_address();
  if (connect(c.fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) die("connect");
  constexpr std::size_t size = 64;
  if (send(c.fd, pattern + c.send_at, size, MSG_NOSIGNAL) != ssize_t{size}) die("send");
  for (std::size_t got = 0; got < size;) {
    const ssize_t n = recv(c.fd, received + got, size - got, 0);
    if (n == 0) fail("the server has closed a connection");
    if (n < 0) die("recv");
    got += static_cast<std::size_t>(n);
  }
  if (memcmp(received, pattern + c.receive_at, size) != 0) fail("what came back is not what was sent");
  c.send_at = (c.send_at + size) % period;
  c.receive_at = c.send_at;
  set_non_blocking(c.fd);
  return c;
}

void watch(Connection& c) {
  epoll_event event;
  memset(&event, 0, sizeof event);
  event.events = EPOLLIN | EPOLLOUT | EPOLLET;
  event.data.ptr = &c;
  if (epoll_ctl(set, EPOLL_CTL_ADD, c.fd, &event) != 0) die("epoll_ctl");
}

void send_more(Connection& c) {
  while (c.in_flight < options.window && left_to_start != 0) {
    ++c.in_flight;
    --left_to_start;
    c.unsent += options.size;
  }
  while (c.unsent != 0) {
    const std::size_t most = c.unsent < longest ? c.unsent : longest;
    const ssize_t n = send(c.fd, pattern + c.send_at, most, MSG_NOSIGNAL);
    if (n < 0 && errno == EAGAIN) return;
    if (n < 0) die("send");
    c.unsent -= static_cast<std::size_t>(n);
    c.send_at = (c.send_at + static_cast<std::size_t>(n)) % period;
  }
}

// Whether the peer has closed.
bool receive(Connection& c) {
  for (;;) {
    const ssize_t n = recv(c.fd, received, sizeof received, 0);
    if (n < 0 && errno == EAGAIN) return false;
    if (n < 0) die("recv");
    if (n == 0) return true;
    const auto size = static_cast<std::size_t>(n);
    if (memcmp(received, pattern + c.receive_at, size) != 0) fail("what came back is not what was sent");
    c.receive_at = (c.receive_at + size) % period;
    c.partial += size;
    while (c.partial >= options.size) {
      if (c.in_flight == 0) fail("more came back than was sent");
      c.partial -= options.size;
      --c.in_flight;
      --left_to_finish;
    }
    if (size < sizeof received) return false;
  }
}

void serve(Connection& c) {
  if (receive(c)) fail("the server has closed a connection");
  send_more(c);
}

// Churn: connects, sends one message, gets it back, says that it is done, sees the server close.
void begin(Connection& c) {
  const unsigned s = source;
  ++source;
  --left_to_start;
  c = Connection();
  c.fd = open_socket();
  set_non_blocking(c.fd);
  const int on = 1;
  sockaddr_in from;
  memset(&from, 0, sizeof from);
  from.sin_family = AF_INET;
  from.sin_addr.s_addr = htonl(INADDR_LOOPBACK + 1 + s % 250);  // many addresses, so that ports do not run out
  if (setsockopt(c.fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on) != 0) die("IP_BIND_ADDRESS_NO_PORT");
  if (bind(c.fd, reinterpret_cast<const sockaddr*>(&from), sizeof from) != 0) die("bind");
  const sockaddr_in address = server_address();
  c.connecting = true;
  c.send_at = std::size_t{s} * 977 % period;
  c.receive_at = c.send_at;
  if (connect(c.fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 && errno != EINPROGRESS)
    die("connect");
  watch(c);
}
void churn(Connection& c, std::uint32_t events) {
  if (c.connecting) {
    if ((events & EPOLLOUT) == 0) return;
    int error = 0;
    socklen_t size = sizeof error;
    getsockopt(c.fd, SOL_SOCKET, SO_ERROR, &error, &size);
    if (error != 0) {
      errno = error;
      die("connect");
    }
    c.connecting = false;
    c.in_flight = 1;
    c.unsent = options.size;
    ++left_to_finish;  // the message counts, and the end
    send_more(c);
  }
  const bool ended = receive(c);
  if (c.in_flight == 0 && !c.closing) {
    c.closing = true;
    if (shutdown(c.fd, SHUT_WR) != 0) die("shutdown");
  }
  if (!ended) return;
  if (!c.closing) fail("the server has closed a connection");
  close(c.fd);
  c.fd = -1;
  --left_to_finish;
  if (left_to_start != 0) begin(c);
}

void run(std::vector<Connection>& connections, std::uint64_t messages) {
  left_to_start = messages;
  left_to_finish = messages;
  for (Connection& c : connections) {
    if (!options.churn) send_more(c);
    else if (left_to_start != 0) begin(c);
  }
  epoll_event events[1024];
  while (left_to_finish != 0) {
    const int n = epoll_wait(set, events, 1024, options.timeout * 1000);
    if (n < 0) die("epoll_wait");
    if (n == 0) fail("the server does not answer");
    for (int i = 0; i < n; ++i) {
      auto& c = *static_cast<Connection*>(events[i].data.ptr);
      if (options.churn) churn(c, events[i].events);
      else serve(c);
    }
  }
}

std::uint64_t nanoseconds(clockid_t clock) {
  timespec t;
  if (clock_gettime(clock, &t) != 0) die("clock_gettime");
  return static_cast<std::uint64_t>(t.tv_sec) * 1000000000u + static_cast<std::uint64_t>(t.tv_nsec);
}

unsigned long resident_kilobytes() {
  char path[64], line[256];
  unsigned long result = 0;
  snprintf(path, sizeof path, "/proc/%d/smaps_rollup", options.server);
  FILE* const file = fopen(path, "r");
  if (file == nullptr) return 0;
  while (fgets(line, sizeof line, file) != nullptr) {
    if (sscanf(line, "Rss: %lu kB", &result) == 1) break;
  }
  fclose(file);
  return result;
}

const char usage[] =
    "usage: load --port PORT [--server PID] [--connections N] [--idle N] [--size BYTES] [--window MESSAGES]\n"
    "            [--messages N] [--warm-up N] [--timeout SECONDS] [--churn]\n";

[[noreturn]] void exit_with_usage() {
  fputs(usage, stderr);
  exit(2);
}

void parse(int argc, char** argv) {
  const option names[] = {{"port", 1, nullptr, 'p'},     {"server", 1, nullptr, 's'},  {"connections", 1, nullptr, 'c'},
                          {"idle", 1, nullptr, 'i'},     {"size", 1, nullptr, 'b'},    {"window", 1, nullptr, 'w'},
                          {"messages", 1, nullptr, 'm'}, {"warm-up", 1, nullptr, 'u'}, {"timeout", 1, nullptr, 't'},
                          {"churn", 0, nullptr, 'x'},    {nullptr, 0, nullptr, 0}};
  for (;;) {
    const int c = getopt_long(argc, argv, "", names, nullptr);
    if (c == -1) break;
    const auto number = optarg != nullptr ? strtoul(optarg, nullptr, 10) : 0;
    if (c == 'p') options.port = static_cast<int>(number);
    else if (c == 's') options.server = static_cast<int>(number);
    else if (c == 'c') options.connections = number;
    else if (c == 'i') options.idle = number;
    else if (c == 'b') options.size = number;
    else if (c == 'w') options.window = number;
    else if (c == 'm') options.messages = number;
    else if (c == 'u') options.warm_up = number;
    else if (c == 't') options.timeout = static_cast<int>(number);
    else if (c == 'x') options.churn = true;
    else exit_with_usage();
  }
  if (options.port == 0 || options.size == 0 || options.window == 0 || options.connections == 0) exit_with_usage();
}
}  // namespace

int main(int argc, char** argv) {
  parse(argc, argv);
  make_pattern();
  rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) die("getrlimit");
  limit.rlim_cur = limit.rlim_max;
  if (setrlimit(RLIMIT_NOFILE, &limit) != 0) die("setrlimit");
  set = epoll_create1(EPOLL_CLOEXEC);
  if (set < 0) die("epoll_create1");

  std::vector<Connection> active(options.connections), idle(options.idle);
  const Connection first = connect_and_greet(0);  // so that nothing of the server is new to it any more
  const unsigned long resident_before = resident_kilobytes();
  std::size_t index = 0;
  for (Connection& c : idle) {
    ++index;
    c = connect_and_greet(index);
    watch(c);
  }
  if (!options.churn) {
    for (Connection& c : active) {
      ++index;
      c = connect_and_greet(index);
      watch(c);
    }
  }
  const unsigned long resident_after = resident_kilobytes();

  run(active, options.warm_up);
  const clockid_t server_clock = static_cast<clockid_t>(~static_cast<unsigned>(options.server) << 3 | 2u);
  const std::uint64_t wall = nanoseconds(CLOCK_MONOTONIC), own = nanoseconds(CLOCK_PROCESS_CPUTIME_ID);
  const std::uint64_t server = options.server != 0 ? nanoseconds(server_clock) : 0;
  run(active, options.messages);
  const std::uint64_t server_after = options.server != 0 ? nanoseconds(server_clock) : 0;
  printf(
      "{\"messages\": %llu, \"server_ns\": %llu, \"load_ns\": %llu, \"wall_ns\": %llu, \"connections\": %zu, "
      "\"resident_before\": %lu, \"resident_after\": %lu}\n",
      static_cast<unsigned long long>(options.messages), static_cast<unsigned long long>(server_after - server),
      static_cast<unsigned long long>(nanoseconds(CLOCK_PROCESS_CPUTIME_ID) - own),
      static_cast<unsigned long long>(nanoseconds(CLOCK_MONOTONIC) - wall), index, resident_before, resident_after);
  close(first.fd);
  return 0;
}
