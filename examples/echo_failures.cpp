// SPDX-License-Identifier: MIT
// What happens when a task fails. An echo server of lines, in which a client that sends `boom`, or a line of more than
// 255 bytes, makes its task fail: that connection is closed, all others go on. Every client's task is joined by another
// one, its guard, which prints how it ended as soon as it has ended, also during a shutdown.
//
// Try:
//   $ ./echo_failures 127.0.0.1:8000 &
//   echo_failures: listening on 127.0.0.1:8000, at most 16 clients
//   $ (echo I stay; sleep 60) | nc 127.0.0.1 8000 &
//   I stay
//   $ printf 'hello\nboom\n' | nc -N 127.0.0.1 8000
//   hello
//   echo_failures: client 127.0.0.1:...: failed: Protocol error
//   $ echo hello | nc -N 127.0.0.1 8000
//   hello
//   echo_failures: client 127.0.0.1:...: done
//   $ kill %1
//   echo_failures: client 127.0.0.1:...: cancelled
//   echo_failures: stopped; clients done: 1, failed: 1, cancelled: 1

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <mote.hpp>

static constexpr std::size_t max_clients = 16;

struct Echo : mote::StateMachine {
  mote::Stream client;
  mote::LineReader<256> reader;
  mote::Result<mote::ByteView> line;
  mote::ByteView reply;
  mote::Result<void> sent;

  mote::Step step() {
    MOTE_BEGIN();
    for (;;) {
      MOTE_AWAIT(line, reader.read_line(client));
      if (!line && line.error() == ENODATA) return mote::done();  // the client has finished
      if (!line) return mote::failed(line.error());
      if (line->size() == 4 && memcmp(line->data(), "boom", 4) == 0) return mote::failed(EPROTO);
      MOTE_AWAIT(sent, client.write_all(*line));
      if (!sent) return mote::failed(sent.error());
      reply = mote::bytes_of("\r\n");
      MOTE_AWAIT(sent, client.write_all(reply));
      if (!sent) return mote::failed(sent.error());
    }
    MOTE_END();
  }  // the task is destroyed now, and its stream with it, which closes the connection
};

struct Config : mote::Config {
  static constexpr std::size_t descriptors = max_clients + 1;  // the clients, and the listener
};
static mote::StaticReactor<Config> reactor;
static mote::TaskPool<Echo, max_clients> clients;

static unsigned done_count, failed_count, cancelled_count;

static void print_outcome(const mote::Endpoint& client, const mote::Outcome& outcome) {
  const mote::Endpoint::Text name = client.text();
  switch (outcome.kind) {
    case mote::Outcome::Kind::none:  // not of a task that has been joined
    case mote::Outcome::Kind::done:
      ++done_count;
      printf("echo_failures: client %s: done\n", name.c_str());
      break;
    case mote::Outcome::Kind::failed:
      ++failed_count;
      printf("echo_failures: client %s: failed: %s\n", name.c_str(), outcome.error.message());
      break;
    case mote::Outcome::Kind::cancelled:
      ++cancelled_count;
      printf("echo_failures: client %s: cancelled\n", name.c_str());
      break;
  }
}

// Holds the handle of a client's task. If nobody did, a failure would be reported to the reactor's observer.
struct Guard : mote::StateMachine {
  mote::TaskHandle client;
  mote::Endpoint peer;
  mote::Result<mote::Outcome> outcome;

  mote::Step step() {
    MOTE_BEGIN();
    // When the grace period is over the guard is cancelled like its client. It joins again, as the client's outcome is
    // still to come.
    do { MOTE_AWAIT(outcome, client.join()); } while (!outcome && outcome.error() == ECANCELED);
    if (!outcome) return mote::failed(outcome.error());
    print_outcome(peer, *outcome);
    MOTE_END();
  }
};
static mote::TaskPool<Guard, max_clients> guards;

struct Acceptor : mote::StateMachine {
  mote::Listener listener;
  mote::Result<void> vacancy;
  mote::Result<mote::Stream> accepted;

  mote::Step step() {
    MOTE_BEGIN();
    for (;;) {
      MOTE_AWAIT(vacancy, guards.vacancy());  // a guard ends after its client: room for one is room for both
      if (!vacancy) return mote::failed(vacancy.error());
      MOTE_AWAIT(accepted, listener.accept());
      if (!listener.is_open()) return mote::done();  // the shutdown has begun
      if (!accepted) return mote::failed(accepted.error());
      start(std::move(*accepted));
    }
    MOTE_END();
  }

  void start(mote::Stream&& client) {
    const mote::Result<mote::Endpoint> peer = client.peer_endpoint();
    if (!peer) return;  // it has gone already
    printf("echo_failures: client %s: connected\n", peer->text().c_str());
    mote::Result<mote::TaskHandle> task = clients.spawn(reactor(), std::move(client));
    if (task) static_cast<void>(guards.spawn(reactor(), std::move(*task), *peer));  // cannot fail: there was room
  }
};
static mote::TaskPool<Acceptor, 1> acceptor;

// ---- the program --------------------------------------------------------------------------------------------

static int fail(const char* what, const char* about, mote::Error error) {
  fprintf(stderr, "echo_failures: cannot %s %s: %s\n", what, about, error.message());
  return 1;
}

static const char usage[] =
    "usage: echo_failures [ADDRESS:PORT]\n"
    "ADDRESS:PORT is 127.0.0.1:8000 if it is not given; [::1]:8000 and unix:@name are others\n";

[[noreturn]] static void exit_with_usage(FILE* to, int code) {
  fputs(usage, to);
  exit(code);
}

[[noreturn]] static void refuse(const char* argument, const char* why) {
  fprintf(stderr, "echo_failures: '%s': %s\n", argument, why);
  exit_with_usage(stderr, 2);
}

static mote::Endpoint parse_endpoint(const char* text) {
  const mote::Result<mote::Endpoint> endpoint = mote::Endpoint::parse(text);
  if (!endpoint) refuse(text, endpoint.error().message());
  return *endpoint;
}

// Ends the program at --help, and at an argument that cannot be used: nothing has been opened yet.
static mote::Endpoint parse(int argc, char** argv) {
  const option names[] = {{"help", no_argument, nullptr, 'h'}, {nullptr, 0, nullptr, 0}};
  const int name = getopt_long(argc, argv, "h", names, nullptr);
  if (name == 'h') exit_with_usage(stdout, 0);
  if (name != -1) exit_with_usage(stderr, 2);  // what getopt_long() has complained of
  if (optind + 1 < argc) refuse(argv[optind + 1], "one argument too many");
  return parse_endpoint(optind < argc ? argv[optind] : "127.0.0.1:8000");
}

int main(int argc, char** argv) {
  const mote::Endpoint endpoint = parse(argc, argv);
  setvbuf(stdout, nullptr, _IOLBF, 0);

  const mote::Result<void> opened = reactor.open();
  if (!opened) return fail("open", "the reactor", opened.error());
  mote::Listener listener;
  const mote::Result<void> listens = listener.open(reactor, endpoint);
  if (!listens) return fail("listen on", endpoint.text().c_str(), listens.error());
  mote::GracefulShutdown graceful(reactor, {SIGINT, SIGTERM}, std::chrono::seconds(2));
  const mote::Result<void> handles = graceful.open();  // takes the signals over before anybody is told that they work
  if (!handles) return fail("handle", "signals", handles.error());
  printf("echo_failures: listening on %s, at most %zu clients\n", listener.local_endpoint()->text().c_str(),
         max_clients);
  static_cast<void>(acceptor.spawn(reactor, std::move(listener)));  // cannot fail: it is the first

  const mote::Result<mote::ShutdownReport> report = graceful.run();
  if (!report) return fail("run", "the reactor", report.error());
  printf("echo_failures: stopped; clients done: %u, failed: %u, cancelled: %u\n", done_count, failed_count,
         cancelled_count);
  return 0;
}
