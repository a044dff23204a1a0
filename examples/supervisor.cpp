// SPDX-License-Identifier: MIT
// A supervisor: a group of tasks, each of which asks an echo server for a sign of life, again and again. One that fails
// is started anew, after a pause that doubles each time and is short again once it has been well for a while. One that
// hangs has no heartbeat: then the watchdog is not fed, and whoever minds that (the machine, or systemd) acts.
//
//   ./echo 7001 & ./supervisor --interval 1 --back-off 0.5 127.0.0.1:7001 127.0.0.1:7002
//
// Try: start the second echo, end it, start it again. Stop one with Ctrl-Z, or kill -STOP, and let it go on. See what a
// watchdog would get: mkfifo /tmp/dog && cat /tmp/dog & ./supervisor --watchdog /tmp/dog 127.0.0.1:7001. Under systemd
// (Type=notify, WatchdogSec=10) it says that it is ready, well, and stopping. A real /dev/watchdog resets the machine!

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <mote.hpp>

static constexpr std::size_t max_services = 8;

struct Config : mote::Config {
  static constexpr std::size_t descriptors = max_services;  // a connection each
};
static mote::StaticReactor<Config> reactor;
static mote::GracefulShutdown graceful(reactor, {SIGINT, SIGTERM}, std::chrono::seconds(2));
static mote::Watchdog watchdog;
static mote::Duration interval;        // between two questions
static mote::Duration first_back_off;  // between a failure and the restart; each doubles the next one
static constexpr int most_doublings = 4;

static double in_seconds(mote::Duration duration) { return std::chrono::duration<double>(duration).count(); }

// What is to be kept alive. It lasts, while the tasks that do the work come and go.
struct Service {
  mote::Endpoint endpoint;
  mote::Endpoint::Text name;
  mote::TaskRef child;
  mote::Timer restart;
  mote::Duration back_off{};
  mote::Instant up_since = mote::Instant::max();  // max: it is down

  void start();
  void came_up() {
    printf("supervisor: %s is up\n", name.c_str());
    up_since = reactor.now();
  }
  void failed(mote::Error error) {
    const mote::Duration most = first_back_off * (1 << most_doublings);
    const bool was_well = up_since != mote::Instant::max() && reactor.now() - up_since >= most;
    up_since = mote::Instant::max();
    if (was_well || back_off == mote::Duration::zero()) back_off = first_back_off;
    else back_off = back_off < most ? 2 * back_off : most;
    printf("supervisor: %s: %s; again in %g s\n", name.c_str(), error == ENODATA ? "it has hung up" : error.message(),
           in_seconds(back_off));
    restart.arm(reactor, back_off, mote::Timer::Callback::of<&Service::start>(*this));
  }
};
static Service services[max_services];
static std::size_t service_count;

// ---- a child ------------------------------------------------------------------------------------------------

struct Child : mote::StateMachine {
  Service& service;
  mote::Heartbeat heartbeat;
  mote::Stream connection;
  mote::TaskTimer timer;
  mote::ByteView question;
  char answer[5];
  mote::ByteSpan unread;
  bool silent;
  mote::Result<void> result;

  explicit Child(Service& of) : service(of), silent(false) {}

  mote::Step step() {
    MOTE_BEGIN();
    MOTE_AWAIT(result, mote::with_timeout(timer, 5 * interval, connection.connect(service.endpoint)));
    if (!result) return mote::failed(result.error());
    service.came_up();
    heartbeat.open(watchdog, service.name.c_str());  // up to here it can but fail; from now on it could hang
    for (;;) {
      question = mote::text("ping\n");
      MOTE_AWAIT(result, connection.write_all(question));
      if (!result) return mote::failed(result.error());
      unread = answer;
      for (;;) {
        MOTE_AWAIT(result, mote::with_timeout(timer, 5 * interval, connection.read_exactly(unread)));
        if (result || result.error() != ETIMEDOUT) break;
        say(true);  // to connect anew would not wake up a server that sleeps: go on waiting, without a heartbeat
      }
      if (!result) return mote::failed(result.error());
      if (memcmp(answer, "ping\n", sizeof answer) != 0) return mote::failed(EPROTO);
      say(false);
      heartbeat.beat();
      MOTE_AWAIT(result, timer.sleep(interval));
      if (!result) return mote::failed(result.error());
    }
    MOTE_END();
  }

  void say(bool is_silent) {
    if (silent == is_silent) return;
    silent = is_silent;
    printf("supervisor: %s %s\n", service.name.c_str(), silent ? "does not answer" : "answers again");
  }
};
static mote::TaskPool<Child, max_services> children;

// ---- the supervisor -----------------------------------------------------------------------------------------

static mote::TaskGroup<max_services> group;

void Service::start() {
  child =
      *group.spawn(children, reactor, *this);  // cannot fail: its place in both is free, and nothing has been cancelled
}

// Called when a child has ended and its place is free again.
static void child_ended(const mote::Task& task, mote::Outcome outcome) {
  if (outcome.kind != mote::Outcome::Kind::failed || graceful.requested()) return;
  for (Service& service : services) {
    if (service.child.names(task)) service.failed(outcome.error);
  }
}

static void begin_shutdown() {
  static_cast<void>(watchdog.notify("STOPPING=1"));
  for (Service& service : services) service.restart.cancel();
  group.cancel_all();
}

// ---- the program --------------------------------------------------------------------------------------------

static const char usage[] =
    "usage: supervisor [--interval SECONDS] [--back-off SECONDS] [--watchdog DEVICE] ADDRESS:PORT...\n";

static int fail(const char* what, const char* about, mote::Error error) {
  fprintf(stderr, "supervisor: cannot %s %s: %s\n", what, about, error.message());
  return 1;
}
static int refuse(const char* what, const char* argument) {
  fprintf(stderr, "supervisor: bad %s '%s'\n%s", what, argument, usage);
  return 2;
}
static bool parse(const char* text, mote::Duration& duration) {
  char* end = nullptr;
  const double seconds = strtod(text, &end);
  if (end == text || *end != '\0' || text[strspn(text, "0123456789.")] != '\0') return false;
  if (seconds < 1e-3 || seconds > 1e6) return false;
  duration = mote::Duration(static_cast<std::int64_t>(seconds * 1e9));
  return true;
}

int main(int argc, char** argv) {
  const option options[] = {{"interval", required_argument, nullptr, 'i'},
                            {"back-off", required_argument, nullptr, 'b'},
                            {"watchdog", required_argument, nullptr, 'w'},
                            {"help", no_argument, nullptr, 'h'},
                            {nullptr, 0, nullptr, 0}};
  const char *interval_text = "1", *back_off = "0.5", *device = nullptr;
  for (int c; (c = getopt_long(argc, argv, "", options, nullptr)) != -1;) {
    if (c == 'i') interval_text = optarg;
    else if (c == 'b') back_off = optarg;
    else if (c == 'w') device = optarg;
    else return fputs(usage, c == 'h' ? stdout : stderr), c == 'h' ? 0 : 2;
  }
  if (!parse(interval_text, interval)) return refuse("number of seconds", interval_text);
  if (!parse(back_off, first_back_off)) return refuse("number of seconds", back_off);
  if (optind == argc) return fprintf(stderr, "supervisor: nothing to watch\n%s", usage), 2;
  for (; optind < argc; ++optind) {
    const mote::Result<mote::Endpoint> endpoint = mote::Endpoint::parse(argv[optind]);
    if (!endpoint) return refuse("address", argv[optind]);
    if (service_count == max_services) return refuse("address, there is no room for it:", argv[optind]);
    services[service_count].endpoint = *endpoint;
    services[service_count++].name = endpoint->text();
  }
  setvbuf(stdout, nullptr, _IOLBF, 0);

  mote::Result<void> opened = reactor.open();
  if (!opened) return fail("open", "the reactor", opened.error());
  opened = graceful.open();
  if (!opened) return fail("handle", "signals", opened.error());
  opened = device != nullptr ? watchdog.open(reactor, device, 2 * interval) : watchdog.open_notify(reactor);
  const bool none = device == nullptr && !opened && opened.error() == ENOENT;  // nor was it started by systemd
  if (!opened && !none) return fail("open", device != nullptr ? device : "$NOTIFY_SOCKET", opened.error());
  printf("supervisor: services: %zu, watchdog: %s\n", service_count,
         none                ? "none"
         : device != nullptr ? device
                             : "systemd");

  group.on_end(mote::Delegate<void(const mote::Task&, mote::Outcome)>::of<&child_ended>());
  graceful.on_begin(mote::Delegate<void()>::of<&begin_shutdown>());
  for (std::size_t i = 0; i < service_count; ++i) services[i].start();
  static_cast<void>(watchdog.notify("READY=1"));  // where it is not systemd's, nobody is told
  const mote::Result<mote::ShutdownReport> report = graceful.run();
  if (!report) return fail("run", "the reactor", report.error());
  static_cast<void>(watchdog.close());  // an end that is meant: the machine may go on without
  printf("supervisor: stopped, failures: %u\n", group.failures());
  return 0;
}
