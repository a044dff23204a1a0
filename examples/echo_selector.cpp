// SPDX-License-Identifier: MIT
// The selector alone, without the reactor: the classic loop around wait(), plain POSIX calls beside it. A good fit
// where a loop exists already, or where a handful of descriptors is all there is.
//
//   ./echo_selector --selector poll [::1]:7777         and in another terminal: nc ::1 7777
//
// Try: leave it alone, and it prints 'no events' every second. Paste a large file into nc and stop nc with Ctrl-Z:
// what it does not read waits in its Client, which is not read from meanwhile. Ctrl-C ends the program.

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <mote.hpp>

static constexpr std::size_t max_clients = 8;

struct Client {
  mote::Fd socket;  // closes itself
  char chunk[4096];
  std::size_t size = 0, sent = 0;  // of the chunk: what has come, and what of it has been echoed
};

static Client clients[max_clients];
static std::size_t client_count;
static mote::Fd listener;
static int quit_pipe[2];

// What wait() gives back with an event, to say whose it is: a client's index, or one of these.
enum : std::uint64_t { listener_token = max_clients, quit_token };

// Two descriptors more than there are clients.
static mote::EpollSelector<max_clients + 2> epoll_selector;
static mote::PollSelector<max_clients + 2> poll_selector;

static const char usage[] = "usage: echo_selector [--selector epoll|poll] [ADDRESS:PORT | [ADDRESS]:PORT]\n";

static int fail(const char* what, const char* about, mote::Error error) {
  fprintf(stderr, "echo_selector: cannot %s %s: %s\n", what, about, error.message());
  return 1;
}

// A handler may do next to nothing; to write into a pipe is allowed. wait() hides the interruption, but sees the byte.
static void on_signal(int) {
  const int saved_errno = errno;
  if (write(quit_pipe[1], "q", 1) < 0) errno = saved_errno;  // EAGAIN: full, so there is a byte to be seen already
}

static mote::Result<void> listen_on(const mote::Endpoint& endpoint) {
  const int on = 1;
  listener = mote::Fd(socket(endpoint.family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
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
      // It stays ready, and would keep the loop spinning. Again when a client leaves, or after a quiet second.
      static_cast<void>(selector.modify(listener.get(), mote::Interest::none, listener_token));
    }
    return;  // else it has gone again before it was accepted
  }
  std::size_t index = 0;
  while (clients[index].socket) ++index;
  const mote::Result<void> added = selector.add(socket.get(), mote::Interest::read, index);
  if (!added) {
    fail("watch", "a client", added.error());
    return;
  }
  clients[index].socket = std::move(socket);
  if (++client_count == max_clients) {  // full: let them wait in the backlog
    static_cast<void>(selector.modify(listener.get(), mote::Interest::none, listener_token));
  }
}

static void drop(mote::Selector& selector, Client& client) {
  static_cast<void>(selector.remove(client.socket.get()));  // first remove, then close
  client.socket.close();
  client.size = client.sent = 0;
  --client_count;
  static_cast<void>(selector.modify(listener.get(), mote::Interest::read, listener_token));
}

// Either there is something left to be sent, then it waits to write; or it waits to read. Never both.
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
  if (client.sent == client.size) client.size = client.sent = 0;
  const bool has_rest = client.size != 0;
  if (has_rest == had_rest) return;
  const mote::Interest interest = has_rest ? mote::Interest::write : mote::Interest::read;
  if (!selector.modify(fd, interest, index)) drop(selector, client);
}

static int run(mote::Selector& selector) {
  mote::Ready ready[16];
  for (;;) {
    const mote::Result<std::size_t> count = selector.wait(ready, std::chrono::seconds(1));
    if (!count) return fail("wait for", "events", count.error());
    if (*count == 0) {
      puts("no events");
      if (client_count < max_clients) {
        static_cast<void>(selector.modify(listener.get(), mote::Interest::read, listener_token));
      }
    }
    for (std::size_t i = 0; i < *count; ++i) {
      const std::uint64_t token = ready[i].token;
      if (token == quit_token) return puts("stopped"), 0;
      if (token == listener_token) {
        accept_one(selector);
      } else if (const auto index = static_cast<std::size_t>(token); clients[index].socket) {
        serve(selector, clients[index], index);
      }
    }
  }
}

int main(int argc, char** argv) {
  mote::Result<mote::Endpoint> endpoint = mote::Endpoint::parse("127.0.0.1:8000");
  bool use_poll = false;
  for (int i = 1; i < argc; ++i) {
    const char* const argument = argv[i];
    if (strcmp(argument, "--help") == 0) return fputs(usage, stdout), 0;
    if (strcmp(argument, "--selector") == 0 && i + 1 < argc) {
      const char* const name = argv[++i];
      use_poll = strcmp(name, "poll") == 0;
      if (use_poll || strcmp(name, "epoll") == 0) continue;
    } else {
      endpoint = mote::Endpoint::parse(argument);
      if (endpoint) continue;
    }
    return fprintf(stderr, "echo_selector: cannot use '%s'\n%s", argv[i], usage), 2;
  }
  setvbuf(stdout, nullptr, _IOLBF, 0);

  const mote::Result<void> opened = use_poll ? poll_selector.open() : epoll_selector.open();
  if (!opened) return fail("open", "the selector", opened.error());
  mote::Selector& selector = use_poll ? static_cast<mote::Selector&>(poll_selector) : epoll_selector;

  if (pipe2(quit_pipe, O_NONBLOCK | O_CLOEXEC) != 0) return fail("make", "a pipe", errno);
  struct sigaction action = {};
  action.sa_handler = on_signal;
  for (const int signal : {SIGINT, SIGTERM}) {
    if (sigaction(signal, &action, nullptr) != 0) return fail("handle", "signals", errno);
  }
  const mote::Result<void> listens = listen_on(*endpoint);
  if (!listens) return fail("listen on", endpoint->text().c_str(), listens.error());

  mote::Result<void> added = selector.add(quit_pipe[0], mote::Interest::read, quit_token);
  if (added) added = selector.add(listener.get(), mote::Interest::read, listener_token);
  if (!added) return fail("wait for", "connections", added.error());

  mote::Endpoint bound;  // the port may have been 0: which one has it become?
  socklen_t size = mote::Endpoint::capacity;
  if (getsockname(listener.get(), bound.address(), &size) == 0) bound.resize(size);
  printf("echo_selector: listening on %s, selector %s, at most %zu clients\n", bound.text().c_str(),
         use_poll ? decltype(poll_selector)::name : decltype(epoll_selector)::name, max_clients);
  return run(selector);
}
