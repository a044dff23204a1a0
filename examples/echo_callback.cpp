// SPDX-License-Identifier: MIT
// The echo server in handlers: no tasks, a function is called when a descriptor is ready. This is the style of C event
// loops, and the choice where a state machine exists already. What an await does by itself is done by hand here: bytes
// that could not be written are kept, and reading pauses meanwhile; the listener pauses while all connections are in
// use, or there is no descriptor left; the shutdown counts the connections with hold() and release().
//
// Try:
//   $ ./echo_callback 127.0.0.1:8000 &
//   echo_callback: listening on 127.0.0.1:8000, at most 32 clients
//   $ echo hello | nc -N 127.0.0.1 8000
//   hello
//   $ (echo I stay; sleep 60) | nc 127.0.0.1 8000 &
//   I stay
//   $ kill %1
//   echo_callback: stopped; 1 client was cut off

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

#include <mote.hpp>

static constexpr std::size_t max_connections = 32;

struct Config : mote::Config {
  static constexpr std::size_t descriptors = max_connections + 1;  // the connections, and the listener
};
static mote::StaticReactor<Config> reactor;
static mote::GracefulShutdown graceful(reactor, {SIGINT, SIGTERM}, std::chrono::seconds(2), std::chrono::seconds(0));

static void resume_accepting();

class Connection {
 public:
  bool is_open() const { return client_.is_open(); }

  void open(mote::Stream&& client) {
    client_ = std::move(client);
    graceful.hold();
    watch(mote::Interest::read);
  }

  void close() {
    client_.close();
    rest_ = {};
    graceful.release();
    resume_accepting();
  }
 private:
  // Which readiness it is does not matter: the calls below return EAGAIN where nothing can be done, or the error that
  // was reported.
  void on_ready(mote::Readiness) {
    if (rest_.empty()) {
      const mote::Result<std::size_t> received = client_.try_read(chunk_);
      if (!received && received.error() == EAGAIN) return;
      if (!received || *received == 0) return close();
      rest_ = {chunk_, *received};
    }
    const mote::Result<std::size_t> sent = client_.try_write(rest_);
    if (!sent && sent.error() != EAGAIN) return close();
    if (sent) rest_.drop_front(*sent);
    // Until the rest has been sent nothing more is read, so a client that does not read cannot send for ever.
    watch(rest_.empty() ? mote::Interest::read : mote::Interest::write);
  }

  void watch(mote::Interest interest) {  // costs a system call only if the interest is another one than before
    const auto handler = mote::Handler::of<&Connection::on_ready>(*this);
    if (!client_.watch(interest, handler)) close();
  }

  mote::Stream client_;
  char chunk_[1024] = {};
  mote::ByteView rest_;  // of the chunk: what has not been sent yet
};

static Connection connections[max_connections];
static mote::Listener listener;
static mote::Timer retry;

static Connection* free_connection() {
  for (Connection& connection : connections) {
    if (!connection.is_open()) return &connection;
  }
  return nullptr;
}

static void accept_one(mote::Readiness);

// The listener stays ready while a connection waits in its backlog, so pausing means watching it for nothing.
static void pause_accepting() { static_cast<void>(listener.watch(mote::Interest::none, accept_one)); }

static void accept_one(mote::Readiness) {
  Connection* const connection = free_connection();
  if (connection == nullptr) return pause_accepting();  // until one closes
  mote::Result<mote::Stream> client = listener.try_accept();
  if (client) return connection->open(std::move(*client));
  if (client.error() == EAGAIN) return;  // it has gone again before it was accepted
  // EMFILE and the like: no descriptor or no memory. Nothing tells when there is one again, so a timer tries again.
  fprintf(stderr, "echo_callback: cannot accept for now: %s\n", client.error().message());
  pause_accepting();
  retry.arm(reactor, std::chrono::seconds(1), resume_accepting);
}

static void resume_accepting() {
  retry.cancel();
  if (!listener.is_open()) return;  // the shutdown has closed it
  const mote::Result<void> watching = listener.watch(mote::Interest::read, accept_one);
  if (!watching) fprintf(stderr, "echo_callback: cannot watch the listener: %s\n", watching.error().message());
}

// When the grace period is over the reactor cancels tasks; connections are ours to close. Returns how many were open.
static unsigned close_connections() {
  unsigned closed = 0;
  for (Connection& connection : connections) {
    if (!connection.is_open()) continue;
    connection.close();
    ++closed;
  }
  return closed;
}

// ---- the program --------------------------------------------------------------------------------------------

static int fail(const char* what, const char* about, mote::Error error) {
  fprintf(stderr, "echo_callback: cannot %s %s: %s\n", what, about, error.message());
  return 1;
}

static const char usage[] =
    "usage: echo_callback [ADDRESS:PORT]\n"
    "ADDRESS:PORT is 127.0.0.1:8000 if it is not given; [::1]:8000 and unix:@name are others\n";

[[noreturn]] static void exit_with_usage(FILE* to, int code) {
  fputs(usage, to);
  exit(code);
}

[[noreturn]] static void refuse(const char* argument, const char* why) {
  fprintf(stderr, "echo_callback: '%s': %s\n", argument, why);
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
  const mote::Result<void> listens = listener.open(reactor, endpoint);
  if (!listens) return fail("listen on", endpoint.text().c_str(), listens.error());
  const mote::Result<void> handles = graceful.open();  // takes the signals over before anybody is told that they work
  if (!handles) return fail("handle", "signals", handles.error());
  printf("echo_callback: listening on %s, at most %zu clients\n", listener.local_endpoint()->text().c_str(),
         max_connections);
  resume_accepting();

  const mote::Result<mote::ShutdownReport> report = graceful.run();
  if (!report) return fail("run", "the reactor", report.error());
  const unsigned left = close_connections();
  printf("echo_callback: stopped%s; %u client%s cut off\n", report->forced ? " at once" : "", left,
         left == 1 ? " was" : "s were");
  return 0;
}
