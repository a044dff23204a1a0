// SPDX-License-Identifier: MIT
// The server of echo.cpp in coroutines (C++20): its tasks are functions, whose locals survive each co_await. Their
// frames lie in a static pool. How large they are the compiler alone knows: where one does not fit, as when `chunk` is
// made larger, the program says at its start how many bytes it needs.
//
// Try:
//   $ ./echo_coroutine --selector poll 127.0.0.1:8000 &
//   echo_coroutine: listening on 127.0.0.1:8000, selector poll, at most 64 clients, ... bytes of static memory
//   $ echo hello | nc -N 127.0.0.1 8000
//   hello
//   $ kill %1
//   echo_coroutine: Terminated: the acceptor and 0 clients: 1 drained, 0 cancelled, 0 destroyed

#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <mote.hpp>

#ifndef ECHO_MAX_CLIENTS
#define ECHO_MAX_CLIENTS 64
#endif

struct Config : mote::Config {
  static constexpr std::size_t descriptors = ECHO_MAX_CLIENTS + 1;  // the clients, and the listener
  template <std::size_t N> using Selector = mote::NoSelector<N>;    // main() chooses one
};
using Reactor = mote::StaticReactor<Config>;
// One for each task; echo() needs the larger ones. With its pool's address behind it, a frame of 1,528 bytes fills 1,536.
using Frames = mote::FramePool<1528, ECHO_MAX_CLIENTS + 1>;

static mote::EpollSelector<Reactor::selector_capacity> epoll_selector;
static mote::PollSelector<Reactor::selector_capacity> poll_selector;
static Reactor reactor;
static Frames frames;
static mote::CoroutinePool<ECHO_MAX_CLIENTS> clients;
static mote::CoroutinePool<1> acceptor;

static mote::Co<mote::Result<void>> echo(Frames&, mote::Stream client) {
  char chunk[1024];
  for (;;) {
    const mote::Result<std::size_t> received = co_await client.read(chunk);
    if (!received) co_return received.error();
    if (*received == 0) co_return mote::Result<void>();  // the client has finished, and has been sent all of it
    mote::ByteView reply(chunk, *received);
    const mote::Result<void> sent = co_await client.write_all(reply);  // waits for a slow reader, and reads no more
    if (!sent) co_return sent;
  }
}

static mote::Co<mote::Result<void>> accept(Frames&, mote::Listener listener) {
  for (;;) {
    const mote::Result<void> vacancy = co_await clients.vacancy();  // further clients wait in the backlog
    if (!vacancy) co_return vacancy;
    mote::Result<mote::Stream> client = co_await listener.accept();
    if (!listener.is_open()) co_return mote::Result<void>();  // the shutdown has begun
    if (!client) co_return client.error();
    static_cast<void>(clients.spawn(reactor, echo(frames, std::move(*client))));  // cannot fail: there is room
  }
}

// ---- the program --------------------------------------------------------------------------------------------

static const char usage[] =
    "usage: echo_coroutine [--grace SECONDS] [--selector epoll|poll] [--quiet] [ADDRESS:PORT]\n"
    "ADDRESS:PORT is 127.0.0.1:8000 if it is not given; [::1]:8000 and unix:@name are others\n";

[[noreturn]] static void exit_with_usage(FILE* to, int code) {
  fputs(usage, to);
  exit(code);
}

[[noreturn]] static void refuse(const char* argument, const char* why) {
  fprintf(stderr, "echo_coroutine: '%s': %s\n", argument, why);
  exit_with_usage(stderr, 2);
}

static int fail(const char* what, const char* about, mote::Error error) {
  fprintf(stderr, "echo_coroutine: cannot %s %s: %s\n", what, about, error.message());
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
  printf(
      "echo_coroutine: listening on %s, selector %s, at most %d clients, %zu bytes of static memory\n",
      listener.local_endpoint()->text().c_str(), options.selector, ECHO_MAX_CLIENTS,
      sizeof reactor + sizeof epoll_selector + sizeof poll_selector + sizeof clients + sizeof acceptor + sizeof frames);
}

// All tasks that there were when the signal came: one accepts, and one serves each client.
static void print_end(const Options& options, const mote::ShutdownReport& report) {
  if (options.quiet) return;
  const unsigned served = report.drained + report.cancelled + report.destroyed - 1;
  printf("echo_coroutine: %s%s: the acceptor and %u client%s: %u drained, %u cancelled, %u destroyed\n",
         strsignal(report.signal), report.forced ? ", forced" : "", served, served == 1 ? "" : "s", report.drained,
         report.cancelled, report.destroyed);
}

// A trial: the coroutine is made, which takes a frame from the pool, and destroyed without running.
static bool frames_are_large_enough() {
  const mote::Co<mote::Result<void>> trial = echo(frames, mote::Stream());
  if (trial) return true;
  fprintf(stderr, "echo_coroutine: the pool's frames are too small: %zu bytes are needed\n", trial.frame_size());
  return false;
}

int main(int argc, char** argv) {
  const Options options = parse(argc, argv);
  if (!frames_are_large_enough()) return 1;
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

  const mote::Result<mote::TaskHandle> spawned = acceptor.spawn(reactor, accept(frames, std::move(listener)));
  if (!spawned) return fail("start", "accepting", spawned.error());
  const mote::Result<mote::ShutdownReport> report = shutdown.run();
  if (!report) return fail("run", "the reactor", report.error());
  print_end(options, *report);
  return 0;
}
