// SPDX-License-Identifier: MIT
// echo.cpp with coroutines (C++20): the same server, which calls itself "echo" so that one set of tests fits both; its
// tasks are functions, whose locals survive each co_await.
//
//   ./echo_coroutine --bind ::1 --grace 5 7777         and in other terminals: nc ::1 7777
// Try: what echo.cpp says. And make `chunk` larger: the frames of coroutines lie in a static pool as well, how large
// they are the compiler alone knows, and where one does not fit, the program says how many bytes it needs.

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
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
    const mote::Result<void> vacancy = co_await clients.vacancy();  // the others wait in the backlog
    if (!vacancy) co_return vacancy;
    mote::Result<mote::Stream> client = co_await listener.accept();
    if (!listener.is_open()) co_return mote::Result<void>();  // the shutdown has begun
    if (!client) co_return client.error();
    static_cast<void>(clients.spawn(reactor, echo(frames, std::move(*client))));  // cannot fail: there is room
  }
}

static const char usage[] = "usage: echo [--bind ADDR] [--grace SECONDS] [--selector epoll|poll] [--quiet] [PORT]\n";
static int complain(const char* what, const char* about, const char* why, int exit_code) {
  fprintf(stderr, "echo: %s '%s': %s\n%s", what, about, why, exit_code == 2 ? usage : "");
  return exit_code;
}

int main(int argc, char** argv) {
  const option options[] = {{"bind", required_argument, nullptr, 'b'},     {"grace", required_argument, nullptr, 'g'},
                            {"selector", required_argument, nullptr, 's'}, {"quiet", no_argument, nullptr, 'q'},
                            {"help", no_argument, nullptr, 'h'},           {nullptr, 0, nullptr, 0}};
  const char *address = "127.0.0.1", *grace = "2", *selector = "epoll", *port = "8000";
  bool quiet = false;
  for (int c; (c = getopt_long(argc, argv, "", options, nullptr)) != -1;) {
    if (c == 'b') address = optarg;
    else if (c == 'g') grace = optarg;
    else if (c == 's') selector = optarg;
    else if (c == 'q') quiet = true;
    else return fputs(usage, c == 'h' ? stdout : stderr), c == 'h' ? 0 : 2;
  }
  if (optind < argc) port = argv[optind++];
  if (optind < argc) return complain("unexpected argument", argv[optind], "the port is the only one", 2);
  char text[128], *end = nullptr;
  snprintf(text, sizeof text, "[%s]:%s", address, port);
  const auto endpoint = mote::Endpoint::parse(text);
  if (!endpoint) return complain("bad address or port", text, endpoint.error().message(), 2);
  const double seconds = strtod(grace, &end);
  if (end == grace || grace[strspn(grace, "0123456789.")] != '\0' || *end != '\0' || seconds > 1e9)
    return complain("bad grace period", grace, "not a number of seconds", 2);
  const bool poll = strcmp(selector, "poll") == 0;
  if (!poll && strcmp(selector, "epoll") != 0) return complain("bad selector", selector, "neither epoll nor poll", 2);
  if (const auto trial = echo(frames, mote::Stream()); !trial)
    return fprintf(stderr, "echo: the pool's frames are too small: %zu bytes are needed\n", trial.frame_size()), 1;
  setvbuf(stdout, nullptr, _IOLBF, 0);
  const auto opened = poll ? reactor.open(poll_selector) : reactor.open(epoll_selector);
  if (!opened) return complain("cannot open", selector, opened.error().message(), 1);
  mote::Listener listener;
  mote::Listener::Options listening;
  listening.no_delay = true;  // an echo of one byte should not wait for more
  mote::GracefulShutdown shutdown(reactor, {SIGINT, SIGTERM}, mote::Duration(static_cast<std::int64_t>(seconds * 1e9)));
  mote::Result<void> ready = listener.open(reactor, *endpoint, listening);
  if (ready) ready = shutdown.open();  // takes the signals over before anybody is told that they work
  if (!ready) return complain("cannot listen on", endpoint->text().c_str(), ready.error().message(), 1);
  if (!quiet)
    printf("echo: listening on %s, selector %s, at most %d clients, %zu bytes of static memory\n",
           listener.local_endpoint()->text().c_str(), selector, ECHO_MAX_CLIENTS,
           sizeof reactor + sizeof epoll_selector + sizeof poll_selector + sizeof clients + sizeof acceptor +
               sizeof frames);
  if (const auto spawned = acceptor.spawn(reactor, accept(frames, std::move(listener))); !spawned)
    return complain("cannot start", "accepting", spawned.error().message(), 1);
  const auto report = shutdown.run();
  if (!report) return complain("cannot go on with", selector, report.error().message(), 1);
  if (!quiet)
    printf("echo: %s%s: %u tasks drained, %u cancelled, %u destroyed\n", strsignal(report->signal),
           report->forced ? ", forced" : "", report->drained, report->cancelled, report->destroyed);
  return 0;
}
