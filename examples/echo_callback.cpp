// SPDX-License-Identifier: MIT
// The echo server in handlers: no tasks, a function is called when a descriptor is ready. This is the style of C event
// loops, and the choice where a state machine is there already. What an await does by itself is done by hand here: what
// could not be written is kept, and reading pauses meanwhile; the listener pauses while there is no room; a shutdown
// counts the connections with hold() and release().
//
//   ./echo_callback '[::1]:7777'         and in another terminal: nc ::1 7777
//
// Try: `ulimit -n 8` before you start it, and connect three times: the third is served when another leaves.

#include <errno.h>
#include <stdio.h>
#include <string.h>

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
  // What is ready need not be looked at: trying tells it, and the error too if there is one.
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
    // What is left over goes first: until then nothing is read, and the sender has to wait.
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

// The listener stays ready while there is somebody to be accepted, so for a pause it must not be watched.
static void pause_accepting() {
  static_cast<void>(listener.watch(mote::Interest::none, mote::Handler::of<&accept_one>()));
}

static void accept_one(mote::Readiness) {
  Connection* const connection = free_connection();
  if (connection == nullptr) return pause_accepting();  // until one closes
  mote::Result<mote::Stream> client = listener.try_accept();
  if (client) return connection->open(std::move(*client));
  if (client.error() == EAGAIN) return;  // it has gone again before it was accepted
  // EMFILE and its kin: no descriptor, or no memory. Who knows when there is one again, so a timer has to look.
  fprintf(stderr, "echo_callback: cannot accept for now: %s\n", client.error().message());
  pause_accepting();
  retry.arm(reactor, std::chrono::seconds(1), mote::Timer::Callback::of<&resume_accepting>());
}

static void resume_accepting() {
  retry.cancel();
  if (!listener.is_open()) return;  // the shutdown has closed it
  const mote::Result<void> watching = listener.watch(mote::Interest::read, mote::Handler::of<&accept_one>());
  if (!watching) fprintf(stderr, "echo_callback: cannot watch the listener: %s\n", watching.error().message());
}

static int fail(const char* what, const char* about, mote::Error error) {
  fprintf(stderr, "echo_callback: cannot %s %s: %s\n", what, about, error.message());
  return 1;
}

static const char usage[] = "usage: echo_callback [ADDRESS:PORT | [ADDRESS]:PORT]\n";

int main(int argc, char** argv) {
  if (argc == 2 && strcmp(argv[1], "--help") == 0) return fputs(usage, stdout), 0;
  if (argc > 2) return fputs(usage, stderr), 2;
  const char* const where = argc == 2 ? argv[1] : "127.0.0.1:8000";
  const mote::Result<mote::Endpoint> endpoint = mote::Endpoint::parse(where);
  if (!endpoint) {
    return fprintf(stderr, "echo_callback: bad address '%s': %s\n%s", where, endpoint.error().message(), usage), 2;
  }
  setvbuf(stdout, nullptr, _IOLBF, 0);

  const mote::Result<void> opened = reactor.open();
  if (!opened) return fail("open", "the reactor", opened.error());
  const mote::Result<void> listens = listener.open(reactor, *endpoint);
  if (!listens) return fail("listen on", where, listens.error());
  printf("echo_callback: listening on %s, at most %zu clients\n", listener.local_endpoint()->text().c_str(),
         max_connections);
  resume_accepting();

  const mote::Result<mote::ShutdownReport> report = graceful.run();
  if (!report) return fail("run", "the reactor", report.error());
  unsigned left = 0;  // the reactor cancels tasks when the grace period is over; connections are ours to close
  for (Connection& connection : connections) {
    if (!connection.is_open()) continue;
    connection.close();
    ++left;
  }
  printf("echo_callback: stopped%s, %u connections were still open\n", report->forced ? " at once" : "", left);
  return 0;
}
