// SPDX-License-Identifier: MIT
// The selector alone, without the reactor: the classic loop around wait(), plain POSIX calls beside it. A good fit
// where a loop exists already, or where a handful of descriptors is all there is. What a client does not read waits in
// its Client, which is not read from meanwhile.
//
// Try:
//   $ ./echo_selector --selector poll 127.0.0.1:8000 &
//   echo_selector: listening on 127.0.0.1:8000, selector poll, at most 8 clients
//   $ echo hello | nc -N 127.0.0.1 8000
//   hello
//   echo_selector: no events
//   $ kill %1
//   echo_selector: stopped

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <mote.hpp>

static constexpr std::size_t max_clients = 8;

struct Client {
  mote::Fd socket;  // closes itself
  char chunk[4096];
  std::size_t size = 0;  // bytes in the chunk
  std::size_t sent = 0;  // of these, the bytes that have been echoed
};

static Client clients[max_clients];
static std::size_t client_count;
static mote::Fd listener;
static int quit_pipe[2];

// A token says whose event it is that wait() returns: a client's index, or one of these.
enum : std::uint64_t { listener_token = max_clients, quit_token };

// Two descriptors more than there are clients.
static mote::EpollSelector<max_clients + 2> epoll_selector;
static mote::PollSelector<max_clients + 2> poll_selector;

static int fail(const char* what, const char* about, mote::Error error) {
  fprintf(stderr, "echo_selector: cannot %s %s: %s\n", what, about, error.message());
  return 1;
}

// A signal handler may call few functions; write() is one of them. wait() goes on after EINTR, but then sees the byte.
static void on_signal(int) {
  const int saved_errno = errno;
  const ssize_t written = write(quit_pipe[1], "q", 1);
  if (written < 0) errno = saved_errno;  // EAGAIN: the pipe is full, so there is a byte to be seen already
}

static mote::Result<void> handle_signals() {
  struct sigaction action = {};
  action.sa_handler = on_signal;
  for (const int signal : {SIGINT, SIGTERM}) {
    if (sigaction(signal, &action, nullptr) != 0) return mote::Error(errno);
  }
  return {};
}

static mote::Result<void> listen_on(const mote::Endpoint& endpoint) {
  const int on = 1;
  listener = mote::Fd(socket(static_cast<int>(endpoint.family()), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!listener || setsockopt(listener.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 ||
      bind(listener.get(), endpoint.address(), endpoint.size()) != 0 || listen(listener.get(), SOMAXCONN) != 0) {
    return mote::Error(errno);
  }
  return {};
}

static void accept_one(mote::Selector& selector) {
  mote::Fd socket(accept4(listener.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
  if (!socket) {
    if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
      // The listener stays ready, which would keep the loop spinning. It is watched again when a client leaves, or
      // after a second without events.
      static_cast<void>(selector.modify(listener.get(), mote::Interest::none, listener_token));
    }
    return;  // after any other error: the client has gone again before it was accepted
  }
  std::size_t index = 0;
  while (clients[index].socket) ++index;
  const mote::Result<void> added = selector.add(socket.get(), mote::Interest::read, index);
  if (!added) {
    fail("watch", "a client", added.error());
    return;
  }
  clients[index].socket = std::move(socket);
  ++client_count;
  if (client_count == max_clients) {  // further clients wait in the backlog
    static_cast<void>(selector.modify(listener.get(), mote::Interest::none, listener_token));
  }
}

static void drop(mote::Selector& selector, Client& client) {
  static_cast<void>(selector.remove(client.socket.get()));  // first remove, then close
  client.socket.close();
  client.size = 0;
  client.sent = 0;
  --client_count;
  static_cast<void>(selector.modify(listener.get(), mote::Interest::read, listener_token));
}

// A client with bytes left to be sent is watched for writing, any other for reading.
static void serve(mote::Selector& selector, Client& client, std::size_t index) {
  const int fd = client.socket.get();
  const bool had_rest = client.size != 0;
  if (!had_rest) {
    const ssize_t n = recv(fd, client.chunk, sizeof client.chunk, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (n <= 0) return drop(selector, client);  // the end, or an error
    client.size = static_cast<std::size_t>(n);
  }
  const ssize_t n = send(fd, client.chunk + client.sent, client.size - client.sent, MSG_NOSIGNAL);
  if (n < 0 && errno != EAGAIN && errno != EINTR) return drop(selector, client);
  if (n > 0) client.sent += static_cast<std::size_t>(n);
  if (client.sent == client.size) {
    client.size = 0;
    client.sent = 0;
  }
  const bool has_rest = client.size != 0;
  if (has_rest == had_rest) return;
  const mote::Interest interest = has_rest ? mote::Interest::write : mote::Interest::read;
  if (!selector.modify(fd, interest, index)) drop(selector, client);
}

// ---- the program --------------------------------------------------------------------------------------------

static const char usage[] =
    "usage: echo_selector [--selector epoll|poll] [ADDRESS:PORT]\n"
    "ADDRESS:PORT is 127.0.0.1:8000 if it is not given; [::1]:8000 and unix:@name are others\n";

[[noreturn]] static void exit_with_usage(FILE* to, int code) {
  fputs(usage, to);
  exit(code);
}

[[noreturn]] static void refuse(const char* argument, const char* why) {
  fprintf(stderr, "echo_selector: '%s': %s\n", argument, why);
  exit_with_usage(stderr, 2);
}

static mote::Endpoint parse_endpoint(const char* text) {
  const mote::Result<mote::Endpoint> endpoint = mote::Endpoint::parse(text);
  if (!endpoint) refuse(text, endpoint.error().message());
  return *endpoint;
}

static bool is_poll(const char* selector) {
  if (strcmp(selector, "poll") == 0) return true;
  if (strcmp(selector, "epoll") != 0) refuse(selector, "the selector is epoll or poll");
  return false;
}

struct Options {
  mote::Endpoint endpoint;
  bool poll;
};

// Ends the program at --help, and at an argument that cannot be used: nothing has been opened yet.
static Options parse(int argc, char** argv) {
  const option names[] = {
      {"selector", required_argument, nullptr, 's'}, {"help", no_argument, nullptr, 'h'}, {nullptr, 0, nullptr, 0}};
  const char* selector = "epoll";
  for (;;) {
    const int name = getopt_long(argc, argv, "h", names, nullptr);
    if (name == -1) break;
    if (name == 'h') exit_with_usage(stdout, 0);
    if (name != 's') exit_with_usage(stderr, 2);  // what getopt_long() has complained of
    selector = optarg;
  }
  if (optind + 1 < argc) refuse(argv[optind + 1], "one argument too many");
  return {parse_endpoint(optind < argc ? argv[optind] : "127.0.0.1:8000"), is_poll(selector)};
}

// The port may have been 0: getsockname() tells which one the kernel has chosen.
static void print_start(const char* selector) {
  mote::Endpoint bound;
  socklen_t size = mote::Endpoint::capacity;
  if (getsockname(listener.get(), bound.address(), &size) == 0) bound.resize(size);
  printf("echo_selector: listening on %s, selector %s, at most %zu clients\n", bound.text().c_str(), selector,
         max_clients);
}

// A second without an event.
static void on_idle(mote::Selector& selector) {
  puts("echo_selector: no events");
  if (client_count == max_clients) return;
  static_cast<void>(selector.modify(listener.get(), mote::Interest::read, listener_token));
}

static int run(mote::Selector& selector) {
  mote::Ready ready[16];
  for (;;) {
    const mote::Result<std::size_t> count = selector.wait(ready, std::chrono::seconds(1));
    if (!count) return fail("wait for", "events", count.error());
    if (*count == 0) on_idle(selector);
    for (std::size_t i = 0; i < *count; ++i) {
      const std::uint64_t token = ready[i].token;
      if (token == quit_token) {
        puts("echo_selector: stopped");
        return 0;
      }
      if (token == listener_token) {
        accept_one(selector);
      } else if (const auto index = static_cast<std::size_t>(token); clients[index].socket) {
        serve(selector, clients[index], index);
      }
    }
  }
}

int main(int argc, char** argv) {
  const Options options = parse(argc, argv);
  setvbuf(stdout, nullptr, _IOLBF, 0);

  const mote::Result<void> opened = options.poll ? poll_selector.open() : epoll_selector.open();
  if (!opened) return fail("open", "the selector", opened.error());
  mote::Selector& selector = options.poll ? static_cast<mote::Selector&>(poll_selector) : epoll_selector;
  if (pipe2(quit_pipe, O_NONBLOCK | O_CLOEXEC) != 0) return fail("make", "a pipe", errno);
  const mote::Result<void> handles = handle_signals();
  if (!handles) return fail("handle", "signals", handles.error());
  const mote::Result<void> listens = listen_on(options.endpoint);
  if (!listens) return fail("listen on", options.endpoint.text().c_str(), listens.error());
  mote::Result<void> added = selector.add(quit_pipe[0], mote::Interest::read, quit_token);
  if (added) added = selector.add(listener.get(), mote::Interest::read, listener_token);
  if (!added) return fail("wait for", "connections", added.error());
  print_start(options.poll ? decltype(poll_selector)::name : decltype(epoll_selector)::name);

  return run(selector);
}
