// SPDX-License-Identifier: MIT
// A supervisor: a group of tasks, each of which asks an echo server for a sign of life, again and again. A task that
// fails is started anew, after a pause that doubles each time and is short again once the server has been well for a
// while. A task whose server hangs has no heartbeat: then the watchdog is not fed, and the machine or systemd acts.
//
// Try. What a watchdog's device would get is read from a named pipe, which the shell holds open: one that nobody reads
// cannot be opened. (A real /dev/watchdog resets the machine!)
//   $ ./echo 127.0.0.1:8001 &
//   echo: listening on 127.0.0.1:8001, ...
//   $ mkfifo dog; exec 3<>dog
//   $ ./supervisor --interval 0.1 --back-off 0.1 --watchdog dog 127.0.0.1:8001 127.0.0.1:8002 &
//   supervisor: services: 2, watchdog: dog
//   supervisor: 127.0.0.1:8001 is up
//   supervisor: 127.0.0.1:8002: Connection refused; again in 0.1 s
//   $ head -c 3 dog; echo
//   111
//   $ ./echo 127.0.0.1:8002 &
//   supervisor: 127.0.0.1:8002 is up
//   $ kill -STOP %1
//   supervisor: 127.0.0.1:8001 does not answer
//   $ kill -CONT %1
//   supervisor: 127.0.0.1:8001 answers again
//   $ kill %1 %2 %3; rm dog; exec 3>&-
//   supervisor: stopped, failures: ...
// Under systemd (Type=notify, WatchdogSec=10) it says that it is ready, well, and stopping.

#include <errno.h>
#include <getopt.h>
#include <signal.h>
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
    back_off = next_back_off();
    up_since = mote::Instant::max();
    const char* const why = error == ENODATA ? "it has hung up" : error.message();
    printf("supervisor: %s: %s; again in %g s\n", name.c_str(), why, in_seconds(back_off));
    restart.arm(reactor, back_off, mote::Timer::Callback::of<&Service::start>(*this));
  }
  // The first one anew after the service was well for as long as the longest.
  mote::Duration next_back_off() const {
    const mote::Duration most = first_back_off * (1 << most_doublings);
    const bool was_well = up_since != mote::Instant::max() && reactor.now() - up_since >= most;
    if (was_well || back_off == mote::Duration::zero()) return first_back_off;
    return back_off < most ? 2 * back_off : most;
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
    heartbeat.open(watchdog, service.name.c_str());  // not before: a connect() that hangs ends by its timeout
    for (;;) {
      question = mote::bytes_of("ping\n");
      MOTE_AWAIT(result, connection.write_all(question));
      if (!result) return mote::failed(result.error());
      unread = answer;
      for (;;) {
        MOTE_AWAIT(result, mote::with_timeout(timer, 5 * interval, connection.read_exactly(unread)));
        if (result || result.error() != ETIMEDOUT) break;
        set_silent(true);  // connecting anew would not wake up a server that sleeps: wait on, without a heartbeat
      }
      if (!result) return mote::failed(result.error());
      if (memcmp(answer, "ping\n", sizeof answer) != 0) return mote::failed(EPROTO);
      set_silent(false);
      heartbeat.beat();
      MOTE_AWAIT(result, timer.sleep(interval));
      if (!result) return mote::failed(result.error());
    }
    MOTE_END();
  }

  void set_silent(bool is_silent) {
    if (silent == is_silent) return;
    silent = is_silent;
    printf("supervisor: %s %s\n", service.name.c_str(), silent ? "does not answer" : "answers again");
  }
};
static mote::TaskPool<Child, max_services> children;

// ---- the supervisor -----------------------------------------------------------------------------------------

static mote::TaskGroup<max_services> group;

void Service::start() {
  // Cannot fail: its places in the pool and in the group are free, and the group has not been cancelled.
  child = *group.spawn(children, reactor, *this);
}

// Called when a child has ended and its place is free again.
static void child_ended(const mote::Task& task, mote::Outcome outcome) {
  if (outcome.kind != mote::Outcome::Kind::failed || graceful.requested()) return;
  for (Service& service : services) {
    if (service.child.names(task)) service.failed(outcome.error);
  }
}

static void begin_shutdown() {
  static_cast<void>(mote::notify_service_manager("STOPPING=1"));
  for (Service& service : services) service.restart.cancel();
  group.cancel_all();
}

// ---- the program --------------------------------------------------------------------------------------------

static const char usage[] =
    "usage: supervisor [--interval SECONDS] [--back-off SECONDS] [--watchdog DEVICE] ADDRESS:PORT...\n"
    "ADDRESS:PORT as in 127.0.0.1:8000, [::1]:8000 or unix:@name: echo servers, up to eight\n";

[[noreturn]] static void exit_with_usage(FILE* to, int code) {
  fputs(usage, to);
  exit(code);
}

[[noreturn]] static void refuse(const char* argument, const char* why) {
  fprintf(stderr, "supervisor: '%s': %s\n", argument, why);
  exit_with_usage(stderr, 2);
}

static int fail(const char* what, const char* about, mote::Error error) {
  fprintf(stderr, "supervisor: cannot %s %s: %s\n", what, about, error.message());
  return 1;
}

static mote::Duration parse_seconds(const char* text) {
  char* end = nullptr;
  const double seconds = strtod(text, &end);
  // strtod() alone would also take "inf" and "0x1p3".
  const bool is_number = end != text && *end == '\0' && text[strspn(text, "0123456789.")] == '\0';
  if (!is_number || seconds < 1e-3 || seconds > 1e6) refuse(text, "not a number of seconds, from 0.001 on");
  return mote::Duration(static_cast<std::int64_t>(seconds * 1e9));
}

struct Options {
  mote::Duration interval;
  mote::Duration back_off;
  const char* device;  // of the watchdog; null: systemd's, if there is one
  char** services;     // their addresses, up to a null pointer
};

// Ends the program at --help, and at an argument that cannot be used: nothing has been opened yet.
static Options parse(int argc, char** argv) {
  const option names[] = {{"interval", required_argument, nullptr, 'i'},
                          {"back-off", required_argument, nullptr, 'b'},
                          {"watchdog", required_argument, nullptr, 'w'},
                          {"help", no_argument, nullptr, 'h'},
                          {nullptr, 0, nullptr, 0}};
  const char* interval_text = "1";
  const char* back_off = "0.5";
  const char* device = nullptr;
  for (;;) {
    const int name = getopt_long(argc, argv, "h", names, nullptr);
    if (name == -1) break;
    if (name == 'i') {
      interval_text = optarg;
    } else if (name == 'b') {
      back_off = optarg;
    } else if (name == 'w') {
      device = optarg;
    } else if (name == 'h') {
      exit_with_usage(stdout, 0);
    } else {  // what getopt_long() has complained of
      exit_with_usage(stderr, 2);
    }
  }
  const Options options = {parse_seconds(interval_text), parse_seconds(back_off), device, argv + optind};
  if (optind == argc) {
    fputs("supervisor: nothing to watch\n", stderr);
    exit_with_usage(stderr, 2);
  }
  return options;
}

static void add_service(const char* address) {
  const mote::Result<mote::Endpoint> endpoint = mote::Endpoint::parse(address);
  if (!endpoint) refuse(address, endpoint.error().message());
  if (service_count == max_services) refuse(address, "there is no room for more than eight");
  services[service_count].endpoint = *endpoint;
  services[service_count].name = endpoint->text();
  ++service_count;
}

// Opens the watchdog, and prints what is watched. Where there is none, that is no error.
static mote::Result<void> open_watchdog(const char* device) {
  const mote::Result<void> opened =
      device != nullptr ? watchdog.open(reactor, device, 2 * interval) : watchdog.open_notify(reactor);
  const bool none = device == nullptr && !opened && opened.error() == ENOENT;  // nor was it started by systemd
  if (!opened && !none) return opened;
  const char* name = "systemd";
  if (none) name = "none";
  else if (device != nullptr) name = device;
  printf("supervisor: services: %zu, watchdog: %s\n", service_count, name);
  return {};
}

int main(int argc, char** argv) {
  const Options options = parse(argc, argv);
  interval = options.interval;
  first_back_off = options.back_off;
  for (char** address = options.services; *address != nullptr; ++address) add_service(*address);
  setvbuf(stdout, nullptr, _IOLBF, 0);

  mote::Result<void> opened = reactor.open();
  if (!opened) return fail("open", "the reactor", opened.error());
  opened = graceful.open();
  if (!opened) return fail("handle", "signals", opened.error());
  opened = open_watchdog(options.device);
  if (!opened) return fail("open", options.device != nullptr ? options.device : "$NOTIFY_SOCKET", opened.error());

  group.on_end(child_ended);
  graceful.on_begin(begin_shutdown);
  for (std::size_t i = 0; i < service_count; ++i) services[i].start();
  // Of Type=notify, whichever watchdog is fed. ENOENT: it was not started by systemd, which is no error here.
  const mote::Result<void> told = mote::notify_service_manager("READY=1");
  if (!told && told.error() != ENOENT) fail("tell", "systemd that it is ready", told.error());
  const mote::Result<mote::ShutdownReport> report = graceful.run();
  if (!report) return fail("run", "the reactor", report.error());
  static_cast<void>(watchdog.close());  // the end is intended: the machine goes on without a watchdog
  printf("supervisor: stopped, failures: %u\n", group.failures());
  return 0;
}
