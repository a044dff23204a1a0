// SPDX-License-Identifier: MIT
// A small web server: every GET (and HEAD) is answered with one page. Keep-alive and pipelining; 400, 405 and 413 for
// what it does not take; a limit on the time that a request may take, so that clients who send a byte now and then do
// not keep the others out. Beside serving, a service task does its work once a second.
//
// Try, or with a browser:
//   $ ./http_hello 127.0.0.1:8000 &
//   http_hello: listening on http://127.0.0.1:8000/
//   $ curl -i http://127.0.0.1:8000/
//   HTTP/1.1 200 OK
//   <body><h1>Hello</h1><p>Up for ... seconds, ... pages sent.</p></body></html>
//   $ curl -i -d x http://127.0.0.1:8000/
//   HTTP/1.1 405 Method Not Allowed
//   $ kill %1
//   http_hello: stopped; pages sent: 1; acceptor, service and ... drained, 0 cancelled, 0 destroyed

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <mote.hpp>

static constexpr std::size_t max_clients = 32;
static constexpr std::size_t max_line = 1024;  // of a request line or header field
static constexpr int max_fields = 64;          // of a request

struct Config : mote::Config {
  static constexpr std::size_t descriptors = max_clients + 1;  // the clients, and the listener
};
static mote::StaticReactor<Config> reactor;
static mote::GracefulShutdown graceful(reactor, {SIGINT, SIGTERM}, std::chrono::seconds(2));
static mote::Duration patience;  // for a whole request, and for sending the answer

// ---- the page -----------------------------------------------------------------------------------------------

static char page[512];
static unsigned uptime;  // in seconds
static unsigned pages_sent;

static void render_page() {
  snprintf(page, sizeof page,
           "<!DOCTYPE html>\n<html lang=\"en\"><head><title>mote</title></head>\n"
           "<body><h1>Hello</h1><p>Up for %u seconds, %u pages sent.</p></body></html>\n",
           uptime, pages_sent);
}

// Beside serving, once a second: what it does never waits for a client, and no client waits for it.
struct Service : mote::StateMachine {
  mote::TaskTimer timer;
  mote::Result<std::uint32_t> ticks;

  mote::Step step() {
    MOTE_BEGIN();
    for (;;) {
      render_page();
      MOTE_AWAIT(ticks, timer.tick(std::chrono::seconds(1)));
      if (!ticks) return mote::failed(ticks.error());  // cancelled: the shutdown has begun
      uptime += *ticks;                                // more than one, if the machine was too busy
    }
    MOTE_END();
  }
};
static mote::TaskPool<Service, 1> service;
static mote::TaskHandle service_task;
static void stop_service() { service_task.cancel(); }  // else the shutdown would wait for it, up to the grace period

// ---- one request --------------------------------------------------------------------------------------------

enum Status { ok = 200, bad_request = 400, method_not_allowed = 405, content_too_large = 413 };

// What has been parsed of a request so far; a status other than `ok` ends it at once.
struct Request {
  Status status = ok;
  bool has_begun = false;
  bool is_complete = false;
  bool is_head = false;
  bool is_http_1_0 = false;
  bool keep_alive = false;
  bool has_host = false;
  int fields = 0;

  void add(mote::ByteView bytes) {
    char line[max_line];
    for (std::size_t i = 0; i < bytes.size(); ++i) {
      line[i] = static_cast<char>(bytes[i]);
      if ((bytes[i] < ' ' && bytes[i] != '\t') || bytes[i] == 0x7f) status = bad_request;
    }
    line[bytes.size()] = '\0';  // a LineReader<N> gives N - 1 bytes at most
    if (status != ok) return;
    if (!has_begun) {
      if (line[0] != '\0') status = begin(line);  // empty lines before a request are ignored
    } else if (line[0] != '\0') {
      ++fields;
      status = fields <= max_fields ? add_field(line) : content_too_large;
    } else {
      is_complete = true;
      if (!has_host && !is_http_1_0) status = bad_request;
    }
  }
 private:
  // "GET /path HTTP/1.1"
  Status begin(char* line) {
    has_begun = true;
    char* const target = cut(line, ' ');
    char* const version = target != nullptr ? cut(target, ' ') : nullptr;
    if (version == nullptr || strncmp(version, "HTTP/1.", 7) != 0 || strlen(version) != 8) return bad_request;
    if (line[0] == '\0' || line[strspn(line, "ABCDEFGHIJKLMNOPQRSTUVWXYZ-")] != '\0') return bad_request;
    is_head = strcmp(line, "HEAD") == 0;
    if (!is_head && strcmp(line, "GET") != 0) return method_not_allowed;
    if (target[0] != '/' && strncmp(target, "http://", 7) != 0) return bad_request;
    is_http_1_0 = version[7] == '0';
    keep_alive = !is_http_1_0;
    return ok;
  }

  // "Name: value"
  Status add_field(char* name) {
    char* value = cut(name, ':');
    if (value == nullptr || name[0] == '\0' || strpbrk(name, " \t") != nullptr) return bad_request;
    value += strspn(value, " \t");
    if (strcasecmp(name, "Host") == 0) {
      if (has_host) return bad_request;
      has_host = true;
    } else if (strcasecmp(name, "Connection") == 0) {
      if (strcasestr(value, "close") != nullptr) keep_alive = false;
      else if (strcasestr(value, "keep-alive") != nullptr) keep_alive = true;
    } else if (strcasecmp(name, "Content-Length") == 0) {
      const std::size_t digits = strspn(value, "0123456789");
      if (digits == 0 || value[digits + strspn(value + digits, " \t")] != '\0') return bad_request;
      if (strspn(value, "0") != digits) return content_too_large;  // a page is asked for without a body
    } else if (strcasecmp(name, "Transfer-Encoding") == 0) {
      return content_too_large;
    }
    return ok;
  }

  // Ends the text at the separator, and returns what follows it; null if there is none.
  static char* cut(char* text, char separator) {
    char* const at = strchr(text, separator);
    if (at == nullptr) return nullptr;
    *at = '\0';
    return at + 1;
  }
};

static const char* reason(Status status) {
  switch (status) {
    case ok: return "OK";
    case bad_request: return "Bad Request";
    case method_not_allowed: return "Method Not Allowed";
    case content_too_large: return "Content Too Large";
  }
  return "";
}

// ---- one client ---------------------------------------------------------------------------------------------

struct Session : mote::StateMachine {
  mote::Stream client;
  mote::LineReader<max_line> reader;
  mote::TaskTimer timer;
  mote::Instant deadline;
  Request request;
  mote::Result<mote::ByteView> line;
  char answer[1024];
  mote::ByteView unsent;
  mote::Result<void> sent;
  mote::Result<std::size_t> received;

  mote::Step step() {
    MOTE_BEGIN();
    do {
      request = {};
      deadline = reactor().now() + patience;  // of the whole request, not of each line
      while (request.status == ok && !request.is_complete) {
        MOTE_AWAIT(line, mote::with_timeout(timer, deadline - reactor().now(), reader.read_line(client)));
        if (line) request.add(*line);
        else if (line.error() == EMSGSIZE) request.status = content_too_large;
        else if (line.error() == ENODATA || line.error() == ETIMEDOUT) return mote::done();
        else return mote::failed(line.error());
      }
      if (request.status != ok || graceful.requested()) request.keep_alive = false;
      unsent = write_answer();
      MOTE_AWAIT(sent, mote::with_timeout(timer, patience, client.write_all(unsent)));
      if (!sent) return mote::failed(sent.error());
    } while (request.keep_alive);

    // To close with bytes unread would reset the connection, and the answer might be lost. So the end is announced, and
    // what still comes is thrown away, for a second at most.
    static_cast<void>(client.shutdown_write());
    deadline = reactor().now() + std::chrono::seconds(1);
    do {
      MOTE_AWAIT(received, mote::with_timeout(timer, deadline - reactor().now(), client.read(answer)));
    } while (received && *received != 0 && reactor().now() < deadline);
    MOTE_END();
  }

  mote::ByteView write_answer() {
    const bool is_ok = request.status == ok;
    if (is_ok) ++pages_sent;
    const char* const body = is_ok ? page : reason(request.status);
    const char* const type = is_ok ? "text/html" : "text/plain";
    const char* const connection = request.keep_alive ? "keep-alive" : "close";
    const char* const allow = request.status == method_not_allowed ? "Allow: GET, HEAD\r\n" : "";
    const int n = snprintf(answer, sizeof answer,
                           "HTTP/1.1 %d %s\r\n"
                           "Content-Type: %s; charset=utf-8\r\n"
                           "Content-Length: %zu\r\n"
                           "Connection: %s\r\n"
                           "%s\r\n"
                           "%s",
                           request.status, reason(request.status), type, strlen(body), connection, allow,
                           request.is_head ? "" : body);
    return {answer, static_cast<std::size_t>(n)};
  }
};
static mote::TaskPool<Session, max_clients> sessions;

struct Acceptor : mote::StateMachine {
  mote::Listener listener;
  mote::Result<void> vacancy;
  mote::Result<mote::Stream> client;

  mote::Step step() {
    MOTE_BEGIN();
    for (;;) {
      MOTE_AWAIT(vacancy, sessions.vacancy());
      if (!vacancy) return mote::failed(vacancy.error());
      MOTE_AWAIT(client, listener.accept());
      if (!listener.is_open()) return mote::done();  // the shutdown has begun
      if (!client) return mote::failed(client.error());
      static_cast<void>(sessions.spawn(reactor(), std::move(*client)));  // cannot fail: there is room
    }
    MOTE_END();
  }
};
static mote::TaskPool<Acceptor, 1> acceptor;

// ---- the program --------------------------------------------------------------------------------------------

static int fail(const char* what, const char* about, mote::Error error) {
  fprintf(stderr, "http_hello: cannot %s %s: %s\n", what, about, error.message());
  return 1;
}

static const char usage[] =
    "usage: http_hello [--patience SECONDS] [ADDRESS:PORT]\n"
    "ADDRESS:PORT is 127.0.0.1:8000 if it is not given; [::1]:8000 and unix:@name are others\n";

[[noreturn]] static void exit_with_usage(FILE* to, int code) {
  fputs(usage, to);
  exit(code);
}

[[noreturn]] static void refuse(const char* argument, const char* why) {
  fprintf(stderr, "http_hello: '%s': %s\n", argument, why);
  exit_with_usage(stderr, 2);
}

static mote::Endpoint parse_endpoint(const char* text) {
  const mote::Result<mote::Endpoint> endpoint = mote::Endpoint::parse(text);
  if (!endpoint) refuse(text, endpoint.error().message());
  return *endpoint;
}

static mote::Duration parse_patience(const char* text) {
  const bool is_number = text[strspn(text, "0123456789")] == '\0';
  const long seconds = is_number ? strtol(text, nullptr, 10) : 0;
  if (seconds < 1 || seconds > 3600) refuse(text, "the patience is 1 to 3600 seconds");
  return std::chrono::seconds(seconds);
}

struct Options {
  mote::Endpoint endpoint;
  mote::Duration patience;
};

// Ends the program at --help, and at an argument that cannot be used: nothing has been opened yet.
static Options parse(int argc, char** argv) {
  const option names[] = {
      {"patience", required_argument, nullptr, 'p'}, {"help", no_argument, nullptr, 'h'}, {nullptr, 0, nullptr, 0}};
  const char* limit = "10";
  for (;;) {
    const int name = getopt_long(argc, argv, "h", names, nullptr);
    if (name == -1) break;
    if (name == 'h') exit_with_usage(stdout, 0);
    if (name != 'p') exit_with_usage(stderr, 2);  // what getopt_long() has complained of
    limit = optarg;
  }
  if (optind + 1 < argc) refuse(argv[optind + 1], "one argument too many");
  return {parse_endpoint(optind < argc ? argv[optind] : "127.0.0.1:8000"), parse_patience(limit)};
}

// All tasks that there were when the signal came: one accepts, one is the service, and one serves each client.
static void print_end(const mote::ShutdownReport& report) {
  const unsigned clients = report.drained + report.cancelled + report.destroyed - 2;
  printf("http_hello: stopped; pages sent: %u; acceptor, service and %u client%s: ", pages_sent, clients,
         clients == 1 ? "" : "s");
  printf("%u drained, %u cancelled, %u destroyed\n", report.drained, report.cancelled, report.destroyed);
}

int main(int argc, char** argv) {
  const Options options = parse(argc, argv);
  patience = options.patience;
  setvbuf(stdout, nullptr, _IOLBF, 0);

  const mote::Result<void> opened = reactor.open();
  if (!opened) return fail("open", "the reactor", opened.error());
  mote::Listener listener;
  mote::Listener::Options listening;
  listening.no_delay = true;
  const mote::Result<void> listens = listener.open(reactor, options.endpoint, listening);
  if (!listens) return fail("listen on", options.endpoint.text().c_str(), listens.error());
  const mote::Result<void> handles = graceful.open();  // takes the signals over before anybody is told that they work
  if (!handles) return fail("handle", "signals", handles.error());
  printf("http_hello: listening on http://%s/\n", listener.local_endpoint()->text().c_str());

  static_cast<void>(acceptor.spawn(reactor, std::move(listener)));  // cannot fail: it is the first
  service_task = std::move(*service.spawn(reactor));                // nor can this
  graceful.on_begin(stop_service);

  const mote::Result<mote::ShutdownReport> report = graceful.run();
  if (!report) return fail("run", "the reactor", report.error());
  print_end(*report);
  return 0;
}
