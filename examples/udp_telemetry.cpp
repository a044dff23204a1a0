// SPDX-License-Identifier: MIT
// Telemetry by UDP: the sender reads a sensor at a fixed rate and sends each sample as a datagram; the receiver prints
// the samples and says which were lost. The sender is a periodic timer's callback, the receiver is a task.
//
// Try. When the sender is stopped its timer does not drift: it skips the ticks that it missed, and the receiver sees
// the gap. When the receiver is gone, the sender says so once and goes on:
//   $ ./udp_telemetry receive 127.0.0.1:8000 &
//   udp_telemetry: receiving at 127.0.0.1:8000
//   $ ./udp_telemetry --every 100 send 127.0.0.1:8000 &
//   udp_telemetry: sending to 127.0.0.1:8000 every 100 ms
//   udp_telemetry: sample 1: sent
//   udp_telemetry: from 127.0.0.1:...: sample 1, ... degrees
//   $ kill -STOP %2; sleep 1; kill -CONT %2
//   udp_telemetry: from 127.0.0.1:...: ... samples are missing
//   $ kill %1
//   udp_telemetry: stopped
//   udp_telemetry: sample ...: Connection refused
//   $ kill %2
//   udp_telemetry: stopped

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <mote.hpp>

struct Config : mote::Config {
  static constexpr std::size_t descriptors = 1;
};
static mote::StaticReactor<Config> reactor;

// ---- on the wire --------------------------------------------------------------------------------------------

struct Sample {
  std::uint32_t number = 0;
  std::int32_t millidegrees = 0;

  static constexpr std::size_t wire_size = 12;  // "MOTE", then both in network byte order
};

static void put(unsigned char* at, std::uint32_t value) {
  at[0] = static_cast<unsigned char>(value >> 24);
  at[1] = static_cast<unsigned char>(value >> 16);
  at[2] = static_cast<unsigned char>(value >> 8);
  at[3] = static_cast<unsigned char>(value);
}
static std::uint32_t get(const unsigned char* at) {
  return std::uint32_t{at[0]} << 24 | std::uint32_t{at[1]} << 16 | std::uint32_t{at[2]} << 8 | at[3];
}

static void encode(const Sample& sample, unsigned char (&bytes)[Sample::wire_size]) {
  memcpy(bytes, "MOTE", 4);
  put(bytes + 4, sample.number);
  put(bytes + 8, static_cast<std::uint32_t>(sample.millidegrees));
}
static bool decode(mote::ByteView bytes, Sample& sample) {
  if (bytes.size() != Sample::wire_size || memcmp(bytes.data(), "MOTE", 4) != 0) return false;
  sample.number = get(bytes.data() + 4);
  sample.millidegrees = static_cast<std::int32_t>(get(bytes.data() + 8));
  return true;
}

// ---- the sender ---------------------------------------------------------------------------------------------

// The first thermal zone of the board; 0 where there is none.
static std::int32_t read_temperature() {
  const mote::Fd file(open("/sys/class/thermal/thermal_zone0/temp", O_RDONLY | O_CLOEXEC));
  char text[16];
  const ssize_t size = file ? read(file.get(), text, sizeof text - 1) : -1;
  if (size < 0) return 0;
  text[size] = '\0';
  return atoi(text);
}

class Sender {
 public:
  mote::Result<void> start(const mote::Endpoint& receiver, mote::Duration period) {
    const auto family = receiver.family();
    mote::Result<void> opened = socket_.open(reactor, family);
    if (opened) opened = socket_.connect(receiver);  // so that the kernel tells when nobody listens there
    if (opened) timer_.arm_every(reactor, period, mote::Timer::Callback::of<&Sender::tick>(*this));
    return opened;
  }
 private:
  void tick() {
    sample_.number += 1 + timer_.missed();
    sample_.millidegrees = read_temperature();
    unsigned char bytes[Sample::wire_size];
    encode(sample_, bytes);
    // A sample that cannot be sent at once is not kept: the next one is newer.
    const mote::Result<void> sent = socket_.try_send_to(bytes);
    // ECONNREFUSED is the answer to an earlier datagram, reported instead of sending this one. So it is sent now.
    if (!sent && sent.error() == ECONNREFUSED) static_cast<void>(socket_.try_send_to(bytes));
    const int error = sent ? 0 : sent.error().code();
    if (error == last_error_) return;  // changes are reported, not every tick
    last_error_ = error;
    printf("udp_telemetry: sample %" PRIu32 ": %s\n", sample_.number, sent ? "sent" : sent.error().message());
  }

  static constexpr int none_yet = -1;
  mote::Datagram socket_;
  mote::Timer timer_;
  Sample sample_;
  int last_error_ = none_yet;
};
static Sender sender;

// ---- the receiver -------------------------------------------------------------------------------------------

struct Receiver : mote::StateMachine {
  mote::Datagram socket;
  unsigned char buffer[64];
  mote::Endpoint from;
  mote::Result<mote::Datagram::Received> received;
  Sample sample;
  std::uint32_t expected = 0;

  mote::Step step() {
    MOTE_BEGIN();
    for (;;) {
      MOTE_AWAIT(received, socket.recv_from(buffer, from));
      if (!received) return mote::failed(received.error());
      print();
    }
    MOTE_END();
  }

  void print() {
    const mote::Endpoint::Text sender_name = from.text();
    if (received->truncated || !decode({buffer, received->size}, sample)) {
      printf("udp_telemetry: from %s: %zu bytes that are no sample\n", sender_name.c_str(), received->size);
      return;
    }
    if (expected != 0 && sample.number > expected) {
      const std::uint32_t missing = sample.number - expected;
      printf("udp_telemetry: from %s: %" PRIu32 " sample%s missing\n", sender_name.c_str(), missing,
             missing == 1 ? " is" : "s are");
    }
    expected = sample.number + 1;
    printf("udp_telemetry: from %s: sample %" PRIu32 ", %.3f degrees\n", sender_name.c_str(), sample.number,
           sample.millidegrees / 1000.0);
  }
};
static mote::TaskPool<Receiver, 1> receiver;

// ---- the program --------------------------------------------------------------------------------------------

static int fail(const char* what, const char* about, mote::Error error) {
  fprintf(stderr, "udp_telemetry: cannot %s %s: %s\n", what, about, error.message());
  return 1;
}

static const char usage[] =
    "usage: udp_telemetry [--every MILLISECONDS] send|receive [ADDRESS:PORT]\n"
    "ADDRESS:PORT is 127.0.0.1:8000 if it is not given; [::1]:8000 is another\n";

[[noreturn]] static void exit_with_usage(FILE* to, int code) {
  fputs(usage, to);
  exit(code);
}

[[noreturn]] static void refuse(const char* argument, const char* why) {
  fprintf(stderr, "udp_telemetry: '%s': %s\n", argument, why);
  exit_with_usage(stderr, 2);
}

static mote::Endpoint parse_endpoint(const char* text) {
  const mote::Result<mote::Endpoint> endpoint = mote::Endpoint::parse(text);
  if (!endpoint) refuse(text, endpoint.error().message());
  return *endpoint;
}

static long parse_period(const char* text) {
  const bool is_number = text[strspn(text, "0123456789")] == '\0';
  const long milliseconds = is_number ? strtol(text, nullptr, 10) : 0;
  if (milliseconds < 1 || milliseconds > 3'600'000) refuse(text, "the period is 1 to 3600000 milliseconds");
  return milliseconds;
}

static bool is_send(const char* what) {
  if (strcmp(what, "send") == 0) return true;
  if (strcmp(what, "receive") != 0) refuse(what, "neither send nor receive");
  return false;
}

struct Options {
  bool sending;  // else it receives
  mote::Endpoint endpoint;
  long milliseconds;
};

// Ends the program at --help, and at an argument that cannot be used: nothing has been opened yet.
static Options parse(int argc, char** argv) {
  const option names[] = {
      {"every", required_argument, nullptr, 'e'}, {"help", no_argument, nullptr, 'h'}, {nullptr, 0, nullptr, 0}};
  const char* period = "1000";
  for (;;) {
    const int name = getopt_long(argc, argv, "h", names, nullptr);
    if (name == -1) break;
    if (name == 'h') exit_with_usage(stdout, 0);
    if (name != 'e') exit_with_usage(stderr, 2);  // what getopt_long() has complained of
    period = optarg;
  }
  char** const arguments = argv + optind;
  const int count = argc - optind;
  if (count < 1) {
    fputs("udp_telemetry: either send or receive\n", stderr);
    exit_with_usage(stderr, 2);
  }
  if (count > 2) refuse(arguments[2], "one argument too many");
  const char* const where = count == 2 ? arguments[1] : "127.0.0.1:8000";
  return {is_send(arguments[0]), parse_endpoint(where), parse_period(period)};
}

static int start_sending(const Options& options) {
  const mote::Result<void> started = sender.start(options.endpoint, std::chrono::milliseconds(options.milliseconds));
  if (!started) return fail("send to", options.endpoint.text().c_str(), started.error());
  printf("udp_telemetry: sending to %s every %ld ms\n", options.endpoint.text().c_str(), options.milliseconds);
  return 0;
}

static int start_receiving(const Options& options) {
  mote::Datagram socket;
  const mote::Result<void> bound = socket.open(reactor, options.endpoint);
  if (!bound) return fail("receive at", options.endpoint.text().c_str(), bound.error());
  printf("udp_telemetry: receiving at %s\n", socket.local_endpoint()->text().c_str());
  static_cast<void>(receiver.spawn(reactor, std::move(socket)));  // cannot fail: it is the first
  return 0;
}

int main(int argc, char** argv) {
  const Options options = parse(argc, argv);
  setvbuf(stdout, nullptr, _IOLBF, 0);

  const mote::Result<void> opened = reactor.open();
  if (!opened) return fail("open", "the reactor", opened.error());
  // Neither of the two has anything to finish, so there is no grace period.
  mote::GracefulShutdown graceful(reactor, {SIGINT, SIGTERM}, std::chrono::seconds(0));
  const mote::Result<void> handles = graceful.open();  // takes the signals over before anybody is told that they work
  if (!handles) return fail("handle", "signals", handles.error());
  const int failed = options.sending ? start_sending(options) : start_receiving(options);
  if (failed != 0) return failed;

  const mote::Result<mote::ShutdownReport> report = graceful.run();
  if (!report) return fail("run", "the reactor", report.error());
  printf("udp_telemetry: stopped\n");
  return 0;
}
