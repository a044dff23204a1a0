// SPDX-License-Identifier: MIT
// A serial port made reachable by TCP: what the device says goes to the client, and what the client says to the device.
// One client at a time; others wait until it leaves. When the device is unplugged the client stays, and the port is
// opened again as soon as it is back.
//
// Try, with /dev/ttyUSB0, say, in the place of `modem`. Here it is a pseudo-terminal that answers what it hears:
//   $ socat -d -d pty,raw,echo=0,link=modem exec:cat &
//   ... starting data transfer loop ...
//   $ ./serial_bridge modem 115200 127.0.0.1:8000 &
//   serial_bridge: listening on 127.0.0.1:8000, for modem at 115200 baud
//   $ echo AT | nc -W 1 127.0.0.1 8000
//   AT
//   serial_bridge: the client has left
//   $ kill %1
//   serial_bridge: modem is gone...
//   $ socat pty,raw,echo=0,link=modem exec:cat &
//   serial_bridge: modem is back
//   $ kill %2 %3
//   serial_bridge: stopped

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <mote.hpp>

struct Config : mote::Config {
  static constexpr std::size_t descriptors = 3;  // the listener, the client, the port
};
static mote::StaticReactor<Config> reactor;
// A bridge has nothing to finish, so there is no grace period: the first signal cancels both tasks.
static mote::GracefulShutdown graceful(reactor, {SIGINT, SIGTERM}, std::chrono::seconds(0));

// One task reads from the port and writes to the client, the other the other way round. A write to what is closed
// fails, and its bytes are lost, as they are on a cable that is not plugged in.
static mote::Stream client;
static mote::SerialPort port;

static const char* device;
static mote::SerialPort::Settings settings;

struct PortToClient : mote::StateMachine {
  char chunk[256];
  mote::ByteView bytes;
  mote::Result<std::size_t> received;
  mote::Result<void> sent;
  mote::Result<void> slept;
  mote::TaskTimer timer;

  mote::Step step() {
    MOTE_BEGIN();
    while (!graceful.requested()) {
      MOTE_AWAIT(received, port.read(chunk));
      if (received && *received != 0) {
        bytes = {chunk, *received};
        MOTE_AWAIT(sent, client.write_all(bytes));  // fails where there is no client
      } else if (!graceful.requested()) {
        print_gone();
        port.close();
        do {
          MOTE_AWAIT(slept, timer.sleep(std::chrono::milliseconds(200)));
        } while (slept && !port.open(reactor(), device, settings));
        if (slept) printf("serial_bridge: %s is back\n", device);
      }
    }
    MOTE_END();
  }

  void print_gone() const {
    if (received) printf("serial_bridge: %s is gone\n", device);
    else printf("serial_bridge: %s is gone: %s\n", device, received.error().message());
  }
};
static mote::TaskPool<PortToClient, 1> port_to_client;

struct ClientToPort : mote::StateMachine {
  mote::Listener listener;
  char chunk[256];
  mote::ByteView bytes;
  mote::Result<mote::Stream> accepted;
  mote::Result<std::size_t> received;
  mote::Result<void> sent;

  mote::Step step() {
    MOTE_BEGIN();
    while (!graceful.requested()) {
      MOTE_AWAIT(accepted, listener.accept());
      if (graceful.requested()) break;  // it has closed the listener
      if (!accepted) return mote::failed(accepted.error());
      client = std::move(*accepted);
      printf("serial_bridge: a client has come\n");
      for (;;) {
        MOTE_AWAIT(received, client.read(chunk));
        if (!received || *received == 0) break;
        bytes = {chunk, *received};
        MOTE_AWAIT(sent, port.write_all(bytes));  // fails while the device is unplugged
        if (graceful.requested()) break;
      }
      printf("serial_bridge: the client has left\n");
      client.close();
      MOTE_YIELD();  // so that a pending write of the other task fails now, and does not go to the next client
    }
    MOTE_END();
  }
};
static mote::TaskPool<ClientToPort, 1> client_to_port;

// ---- the program --------------------------------------------------------------------------------------------

static int fail(const char* what, const char* about, mote::Error error) {
  fprintf(stderr, "serial_bridge: cannot %s %s: %s\n", what, about, error.message());
  return 1;
}

static int fail_to_open(mote::Error error) {
  const char* why = error.message();
  if (error == ENOTTY) why = "it is no serial port";
  if (error == EACCES) why = "not allowed: is the user in the group dialout?";
  if (error == EINVAL) why = "it does not take this baud rate";
  fprintf(stderr, "serial_bridge: cannot open %s: %s\n", device, why);
  return 1;
}

static const char usage[] =
    "usage: serial_bridge DEVICE BAUD [ADDRESS:PORT]\n"
    "ADDRESS:PORT is 127.0.0.1:8000 if it is not given; [::1]:8000 and unix:@name are others\n";

[[noreturn]] static void exit_with_usage(FILE* to, int code) {
  fputs(usage, to);
  exit(code);
}

[[noreturn]] static void refuse(const char* argument, const char* why) {
  fprintf(stderr, "serial_bridge: '%s': %s\n", argument, why);
  exit_with_usage(stderr, 2);
}

static mote::Endpoint parse_endpoint(const char* text) {
  const mote::Result<mote::Endpoint> endpoint = mote::Endpoint::parse(text);
  if (!endpoint) refuse(text, endpoint.error().message());
  return *endpoint;
}

static int parse_baud(const char* text) {
  const std::size_t digits = strspn(text, "0123456789");
  if (digits == 0 || digits > 8 || text[digits] != '\0') refuse(text, "the baud rate is a number, such as 115200");
  return atoi(text);
}

struct Options {
  const char* device;
  int baud;
  mote::Endpoint endpoint;
};

// Ends the program at --help, and at an argument that cannot be used: nothing has been opened yet.
static Options parse(int argc, char** argv) {
  const option names[] = {{"help", no_argument, nullptr, 'h'}, {nullptr, 0, nullptr, 0}};
  const int name = getopt_long(argc, argv, "h", names, nullptr);
  if (name == 'h') exit_with_usage(stdout, 0);
  if (name != -1) exit_with_usage(stderr, 2);  // what getopt_long() has complained of
  char** const arguments = argv + optind;
  const int count = argc - optind;
  if (count < 2) {
    fputs("serial_bridge: a device and its baud rate are needed\n", stderr);
    exit_with_usage(stderr, 2);
  }
  if (count > 3) refuse(arguments[3], "one argument too many");
  return {arguments[0], parse_baud(arguments[1]), parse_endpoint(count == 3 ? arguments[2] : "127.0.0.1:8000")};
}

int main(int argc, char** argv) {
  const Options options = parse(argc, argv);
  device = options.device;
  settings.baud = options.baud;
  setvbuf(stdout, nullptr, _IOLBF, 0);

  const mote::Result<void> opened = reactor.open();
  if (!opened) return fail("open", "the reactor", opened.error());
  const mote::Result<void> plugged = port.open(reactor, device, settings);
  if (!plugged) return fail_to_open(plugged.error());
  mote::Listener listener;
  mote::Listener::Options listening;
  listening.no_delay = true;  // keys that are pressed should not wait for each other
  const mote::Result<void> listens = listener.open(reactor, options.endpoint, listening);
  if (!listens) return fail("listen on", options.endpoint.text().c_str(), listens.error());
  const mote::Result<void> handles = graceful.open();  // takes the signals over before anybody is told that they work
  if (!handles) return fail("handle", "signals", handles.error());
  printf("serial_bridge: listening on %s, for %s at %d baud\n", listener.local_endpoint()->text().c_str(), device,
         settings.baud);

  // Neither can fail: each is the first of its pool.
  static_cast<void>(port_to_client.spawn(reactor));
  static_cast<void>(client_to_port.spawn(reactor, std::move(listener)));
  const mote::Result<mote::ShutdownReport> report = graceful.run();
  if (!report) return fail("run", "the reactor", report.error());
  printf("serial_bridge: stopped\n");
  return 0;
}
