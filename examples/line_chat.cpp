// SPDX-License-Identifier: MIT
// A chat server: LineReader cuts what comes into lines, and each line goes to everybody else. A second thread brings in
// the operator's announcements by a Mailbox. Here it reads standard input; think of a vendor's library that blocks. A
// member who does not read is put out of the room as soon as its socket's buffer is full: nobody waits for it.
//
// Try. The operator's lines come from a named pipe, as all of this is one terminal:
//   $ mkfifo operator; ./line_chat 127.0.0.1:8000 <>operator &
//   line_chat: listening on 127.0.0.1:8000, at most 16 members
//   $ nc -d 127.0.0.1 8000 &
//   line_chat: 127.0.0.1:... has come
//   $ echo hello | nc -N 127.0.0.1 8000
//   127.0.0.1:...: has come
//   127.0.0.1:...: hello
//   127.0.0.1:...: has left
//   $ echo maintenance at noon >operator
//   operator: maintenance at noon
//   $ kill %1; rm operator
//   server: closes in two seconds
//   line_chat: stopped; the acceptor and 1 member: 1 drained, 1 cancelled, 0 destroyed

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <mote.hpp>

static constexpr std::size_t max_members = 16;
static constexpr std::size_t max_line = 256;

struct Config : mote::Config {
  static constexpr std::size_t descriptors = max_members + 1;  // the members, and the listener
};
static mote::StaticReactor<Config> reactor;

// ---- the room -----------------------------------------------------------------------------------------------

struct Member;
static Member* room[max_members];
static void tell_everybody(const Member* except, const char* who, mote::ByteView line);

struct Member : mote::StateMachine {
  mote::Stream client;
  mote::Endpoint::Text address;
  mote::LineReader<max_line> reader;
  mote::Result<mote::ByteView> line;
  mote::ByteView complaint;
  mote::Result<void> sent;

  Member(mote::Stream&& stream, const mote::Endpoint& peer) : client(std::move(stream)), address(peer.text()) {
    for (Member*& place : room) {
      if (place == nullptr) {
        place = this;
        break;
      }
    }
    tell_everybody(this, address.c_str(), mote::bytes_of("has come"));
    printf("line_chat: %s has come\n", address.c_str());
  }
  ~Member() {  // runs however the task ends
    for (Member*& place : room) {
      if (place == this) place = nullptr;
    }
    tell_everybody(this, address.c_str(), mote::bytes_of("has left"));
    printf("line_chat: %s has left\n", address.c_str());
  }

  mote::Step step() {
    MOTE_BEGIN();
    for (;;) {
      MOTE_AWAIT(line, reader.read_line(client));
      if (line) {
        tell_everybody(this, address.c_str(), *line);
      } else if (line.error() == EMSGSIZE) {  // the rest of that line is passed over, the next one is whole again
        complaint = mote::bytes_of("server: that line was too long\r\n");
        MOTE_AWAIT(sent, client.write_all(complaint));
        if (!sent) return mote::failed(sent.error());
      } else if (line.error() == ENODATA) {
        return mote::done();  // the client has finished
      } else {
        return mote::failed(line.error());
      }
    }
    MOTE_END();
  }
};
static mote::TaskPool<Member, max_members> members;

// The sockets' send buffers are the queues. A member whose buffer is full is put out of the room.
static void tell_everybody(const Member* except, const char* who, mote::ByteView line) {
  char message[sizeof(mote::Endpoint::Text) + max_line + 4];
  const int n = snprintf(message, sizeof message, "%s: %.*s\r\n", who, static_cast<int>(line.size()),
                         static_cast<const char*>(static_cast<const void*>(line.data())));
  const auto size = static_cast<std::size_t>(n);
  for (Member* member : room) {
    if (member == nullptr || member == except) continue;
    const mote::Result<std::size_t> sent = member->client.try_write({message, size});
    if (!sent || *sent != size) member->client.close();  // its task's read_line() gives ECANCELED
  }
}

struct Acceptor : mote::StateMachine {
  mote::Listener listener;
  mote::Result<void> vacancy;
  mote::Result<mote::Stream> accepted;

  mote::Step step() {
    MOTE_BEGIN();
    for (;;) {
      MOTE_AWAIT(vacancy, members.vacancy());
      if (!vacancy) return mote::failed(vacancy.error());
      MOTE_AWAIT(accepted, listener.accept());
      if (!listener.is_open()) return mote::done();  // the shutdown has begun
      if (!accepted) return mote::failed(accepted.error());
      const mote::Result<mote::Endpoint> peer = accepted->peer_endpoint();
      if (!peer) continue;                                                       // it has gone already
      static_cast<void>(members.spawn(reactor(), std::move(*accepted), *peer));  // cannot fail: there is room
    }
    MOTE_END();
  }
};
static mote::TaskPool<Acceptor, 1> acceptor;

// ---- the operator -------------------------------------------------------------------------------------------

struct Announcement {
  char text[max_line];
  std::size_t size;
};
static mote::Mailbox<Announcement, 8> announcements;
static int stop_pipe[2];

// In the loop's thread, whenever something has come.
static void announce() {
  while (const mote::Result<Announcement> announcement = announcements.try_receive()) {
    tell_everybody(nullptr, "operator", {announcement->text, announcement->size});
  }
}

// The other thread. Of what stands above, it calls post() alone, which any thread may call.
static void* read_announcements(void*) {
  Announcement announcement{};
  pollfd sources[] = {{STDIN_FILENO, POLLIN, 0}, {stop_pipe[0], POLLIN, 0}};
  for (;;) {
    if (poll(sources, 2, -1) < 0) {
      if (errno == EINTR) continue;
      return nullptr;
    }
    if (sources[1].revents != 0) return nullptr;
    char c = 0;
    const ssize_t n = read(STDIN_FILENO, &c, 1);  // byte by byte is fast enough for typing
    if (n <= 0) return nullptr;
    if (c != '\n') {
      if (announcement.size == sizeof announcement.text) continue;
      announcement.text[announcement.size] = c;
      ++announcement.size;
    } else {
      if (!announcements.post(announcement)) fputs("line_chat: not announced, too many at once\n", stderr);
      announcement.size = 0;
    }
  }
}

// ---- the program --------------------------------------------------------------------------------------------

static void say_goodbye() { tell_everybody(nullptr, "server", mote::bytes_of("closes in two seconds")); }

static int fail(const char* what, const char* about, mote::Error error) {
  fprintf(stderr, "line_chat: cannot %s %s: %s\n", what, about, error.message());
  return 1;
}

static const char usage[] =
    "usage: line_chat [ADDRESS:PORT]\n"
    "ADDRESS:PORT is 127.0.0.1:8000 if it is not given; [::1]:8000 and unix:@name are others\n";

[[noreturn]] static void exit_with_usage(FILE* to, int code) {
  fputs(usage, to);
  exit(code);
}

[[noreturn]] static void refuse(const char* argument, const char* why) {
  fprintf(stderr, "line_chat: '%s': %s\n", argument, why);
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

  mote::Result<void> opened = reactor.open();
  if (opened) opened = announcements.open(reactor, announce);
  if (!opened) return fail("open", "the reactor", opened.error());
  mote::Listener listener;
  const mote::Result<void> listens = listener.open(reactor, endpoint);
  if (!listens) return fail("listen on", endpoint.text().c_str(), listens.error());
  mote::GracefulShutdown graceful(reactor, {SIGINT, SIGTERM}, std::chrono::seconds(2));
  graceful.on_begin(say_goodbye);
  const mote::Result<void> handles = graceful.open();  // takes the signals over before anybody is told that they work
  if (!handles) return fail("handle", "signals", handles.error());
  printf("line_chat: listening on %s, at most %zu members\n", listener.local_endpoint()->text().c_str(), max_members);
  static_cast<void>(acceptor.spawn(reactor, std::move(listener)));  // cannot fail: it is the first

  if (pipe2(stop_pipe, O_CLOEXEC) != 0) return fail("make", "a pipe", errno);
  pthread_t operators_thread;
  const int error = pthread_create(&operators_thread, nullptr, read_announcements, nullptr);
  if (error != 0) return fail("start", "a thread", error);

  const mote::Result<mote::ShutdownReport> report = graceful.run();

  close(stop_pipe[1]);  // the thread ends before the mailbox does
  pthread_join(operators_thread, nullptr);
  if (!report) return fail("run", "the reactor", report.error());
  const unsigned members_left = report->drained + report->cancelled + report->destroyed - 1;  // and one that accepts
  printf("line_chat: stopped; the acceptor and %u member%s: %u drained, %u cancelled, %u destroyed\n", members_left,
         members_left == 1 ? "" : "s", report->drained, report->cancelled, report->destroyed);
  return 0;
}
