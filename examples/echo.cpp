// SPDX-License-Identifier: MIT
// A TCP echo server that shuts down gracefully, in static memory alone: one task accepts, one task per client echoes.
//
// Try, where it has been built (in the foreground, Ctrl-C does what `kill` does here):
//   $ ./echo 127.0.0.1:8000 &
//   echo: listening on 127.0.0.1:8000, selector epoll, at most 64 clients, ... bytes of static memory
//   $ echo hello | nc -N 127.0.0.1 8000
//   hello
//   $ (echo I stay; sleep 60) | nc 127.0.0.1 8000 &
//   I stay
//   $ kill %1
//   echo: Terminated: the acceptor and 1 client: 1 drained, 1 cancelled, 0 destroyed
// New clients are refused at once. Those that are connected may go on for the grace period; a second signal ends that.
// Built with -DECHO_MAX_CLIENTS=2, it serves a third client when one of the two has left.

#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <mote.hpp>

#ifndef ECHO_MAX_CLIENTS
#define ECHO_MAX_CLIENTS 64
#endif

struct Echo : mote::StateMachine {
  mote::Stream client;
  char chunk[1024];
  mote::ByteView reply;
  mote::Result<std::size_t> received;
  mote::Result<void> sent;

  mote::Step step() {
    MOTE_BEGIN();
    for (;;) {
      MOTE_AWAIT(received, client.read(chunk));
      if (!received) return mote::failed(received.error());
      if (*received == 0) return mote::done();  // the client has finished, and has been sent all of it
      reply = {chunk, *received};
      MOTE_AWAIT(sent, client.write_all(reply));  // waits for a slow reader, and reads no more meanwhile
      if (!sent) return mote::failed(sent.error());
    }
    MOTE_END();
  }
};

struct Config : mote::Config {
  static constexpr std::size_t descriptors = ECHO_MAX_CLIENTS + 1;  // the clients, and the listener
  template <std::size_t N> using Selector = mote::NoSelector<N>;    // main() chooses one
};
using Reactor = mote::StaticReactor<Config>;

static mote::EpollSelector<Reactor::selector_capacity> epoll_selector;
static mote::PollSelector<Reactor::selector_capacity> poll_selector;
static Reactor reactor;
static mote::TaskPool<Echo, ECHO_MAX_CLIENTS> clients;

struct Acceptor : mote::StateMachine {
  mote::Listener listener;
  mote::Result<void> vacancy;
  mote::Result<mote::Stream> client;

  mote::Step step() {
    MOTE_BEGIN();
    for (;;) {
      MOTE_AWAIT(vacancy, clients.vacancy());  // before accept(): further clients wait in the backlog
      if (!vacancy) return mote::failed(vacancy.error());
      MOTE_AWAIT(client, listener.accept());
      if (!listener.is_open()) return mote::done();  // the shutdown has begun
      if (!client) return mote::failed(client.error());
      static_cast<void>(clients.spawn(reactor(), std::move(*client)));  // cannot fail: there is room
    }
    MOTE_END();
  }
};
static mote::TaskPool<Acceptor, 1> acceptor;

// ---- the program --------------------------------------------------------------------------------------------

static const char usage[] =
    "usage: echo [--grace SECONDS] [--selector epoll|poll] [--quiet] [ADDRESS:PORT]\n"
    "ADDRESS:PORT is 127.0.0.1:8000 if it is not given; [::1]:8000 and unix:@name are others\n";

[[noreturn]] static void exit_with_usage(FILE* to, int code) {
  fputs(usage, to);
  exit(code);
}

[[noreturn]] static void refuse(const char* argument, const char* why) {
  fprintf(stderr, "echo: '%s': %s\n", argument, why);
  exit_with_usage(stderr, 2);
}

static int fail(const char* what, const char* about, mote::Error error) {
  fprintf(stderr, "echo: cannot %s %s: %s\n", what, about, error.message());
  return 1;
}

static mote::Endpoint parse_endpoint(const char* text) {
  const mote::Result<mote::Endpoint> endpoint = mote::Endpoint::parse(text);
  if (!endpoint) refuse(text, endpoint.error().message());
  return *endpoint;
}

static mote::Duration parse_grace(const char* text) {
  char* end = nullptr;
  const double seconds = strtod(text, &end);
  // strtod() alone would take "inf" and "0x1p3", too.
  const bool is_number = end != text && *end == '\0' && text[strspn(text, "0123456789.")] == '\0';
  if (!is_number || seconds > 1e9) refuse(text, "the grace period is a number of seconds");
  return mote::Duration(static_cast<std::int64_t>(seconds * 1e9));
}

static bool is_poll(const char* selector) {
  if (strcmp(selector, "poll") == 0) return true;
  if (strcmp(selector, "epoll") != 0) refuse(selector, "the selector is epoll or poll");
  return false;
}

struct Options {
  mote::Endpoint endpoint;
  mote::Duration grace;
  const char* selector;
  bool poll;
  bool quiet;
};

// Ends the program at --help, and at an argument that cannot be used: nothing has been opened yet.
static Options parse(int argc, char** argv) {
  const option names[] = {{"grace", required_argument, nullptr, 'g'},
                          {"selector", required_argument, nullptr, 's'},
                          {"quiet", no_argument, nullptr, 'q'},
                          {"help", no_argument, nullptr, 'h'},
                          {nullptr, 0, nullptr, 0}};
  const char* grace = "2";
  const char* selector = "epoll";
  bool quiet = false;
  for (;;) {
    const int name = getopt_long(argc, argv, "h", names, nullptr);
    if (name == -1) break;
    if (name == 'g') {
      grace = optarg;
    } else if (name == 's') {
      selector = optarg;
    } else if (name == 'q') {
      quiet = true;
    } else if (name == 'h') {
      exit_with_usage(stdout, 0);
    } else {  // what getopt_long() has complained of
      exit_with_usage(stderr, 2);
    }
  }
  if (optind + 1 < argc) refuse(argv[optind + 1], "one argument too many");
  const char* const where = optind < argc ? argv[optind] : "127.0.0.1:8000";
  return {parse_endpoint(where), parse_grace(grace), selector, is_poll(selector), quiet};
}

static void print_start(const Options& options, const mote::Listener& listener) {
  if (options.quiet) return;
  printf("echo: listening on %s, selector %s, at most %d clients, %zu bytes of static memory\n",
         listener.local_endpoint()->text().c_str(), options.selector, ECHO_MAX_CLIENTS,
         sizeof reactor + sizeof epoll_selector + sizeof poll_selector + sizeof clients + sizeof acceptor);
}

// All tasks that there were when the signal came: one accepts, and one serves each client.
static void print_end(const Options& options, const mote::ShutdownReport& report) {
  if (options.quiet) return;
  const unsigned served = report.drained + report.cancelled + report.destroyed - 1;
  printf("echo: %s%s: the acceptor and %u client%s: %u drained, %u cancelled, %u destroyed\n", strsignal(report.signal),
         report.forced ? ", forced" : "", served, served == 1 ? "" : "s", report.drained, report.cancelled,
         report.destroyed);
}

int main(int argc, char** argv) {
  const Options options = parse(argc, argv);
  setvbuf(stdout, nullptr, _IOLBF, 0);

  const mote::Result<void> opened = options.poll ? reactor.open(poll_selector) : reactor.open(epoll_selector);
  if (!opened) return fail("open", options.selector, opened.error());
  mote::Listener listener;
  mote::Listener::Options listening;
  listening.no_delay = true;  // an echo of one byte should not wait for more
  mote::GracefulShutdown shutdown(reactor, {SIGINT, SIGTERM}, options.grace);
  const mote::Result<void> listens = listener.open(reactor, options.endpoint, listening);
  if (!listens) return fail("listen on", options.endpoint.text().c_str(), listens.error());
  const mote::Result<void> handles = shutdown.open();  // takes the signals over before anybody is told that they work
  if (!handles) return fail("handle", "signals", handles.error());
  print_start(options, listener);

  static_cast<void>(acceptor.spawn(reactor, std::move(listener)));  // cannot fail: it is the first
  const mote::Result<mote::ShutdownReport> report = shutdown.run();
  if (!report) return fail("run", "the reactor", report.error());
  print_end(options, *report);
  return 0;
}
