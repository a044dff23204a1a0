// SPDX-License-Identifier: MIT
// Rooms: device/serial_port.hpp.
// Serial ports, on pseudo-terminals: raw, 8-bit clean, exclusive, unplugged, plugged in again.
#include <grp.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <termios.h>

#include <string>

#include "support/child.hpp"
#include "support/operations.hpp"

using mote::ByteSpan;
using mote::ByteView;
using mote::Fd;
using mote::Interest;
using mote::Readiness;
using mote::Result;
using mote::SerialPort;
using mote::Stream;
using namespace std::chrono_literals;
using test::await;
using test::error_of;
using test::read_some;
using test::run_until;
using test::Running;

namespace {

// A terminal and its other end: what is written to `master` is read from the device at `path`, and the reverse.
struct Terminal {
  Terminal() : master(::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK)) {
    REQUIRE(master);
    REQUIRE(::grantpt(master.get()) == 0);
    REQUIRE(::unlockpt(master.get()) == 0);
    char name[64];
    REQUIRE(::ptsname_r(master.get(), name, sizeof name) == 0);
    path = name;
  }
  Fd master;
  std::string path;
};

termios settings_of(int fd) {
  termios settings;
  REQUIRE(::tcgetattr(fd, &settings) == 0);
  return settings;
}

std::string all_bytes() {
  std::string bytes;
  for (int i = 0; i < 256; ++i) bytes += static_cast<char>(i);
  return bytes;
}

// Whether the system below takes a speed at all: an emulator of user programs may not know the higher ones.
bool takes(const Terminal& terminal, speed_t speed) {
  const Fd fd(::open(terminal.path.c_str(), O_RDWR | O_NOCTTY | O_CLOEXEC));
  REQUIRE(fd);
  termios settings = settings_of(fd.get());
  REQUIRE(::cfsetspeed(&settings, speed) == 0);
  REQUIRE(::tcsetattr(fd.get(), TCSANOW, &settings) == 0);
  const termios now = settings_of(fd.get());
  return ::cfgetospeed(&now) == speed;
}

// What comes out of the other end, until so much has come.
std::string take(mote::Reactor& reactor, int fd, std::size_t size) {
  std::string taken;
  run_until(reactor, [&] {
    taken += test::take_all(fd);
    return taken.size() >= size;
  });
  return taken;
}

}  // namespace

ON_BOTH_SELECTORS("serial: raw mode: no echo, no lines, no signals, no translation") {
  test::Loop<S> loop;
  const Terminal terminal;
  const termios before = settings_of(terminal.master.get());
  REQUIRE((before.c_lflag & (ICANON | ECHO | ISIG)) != 0);
  SerialPort port;
  REQUIRE(port.open(loop, terminal.path.c_str()));
  const termios now = settings_of(port.fd());
  CHECK((now.c_lflag & (ICANON | ECHO | ECHONL | ISIG | IEXTEN)) == 0);
  CHECK((now.c_iflag & (IGNBRK | BRKINT | PARMRK | ISTRIP | INLCR | IGNCR | ICRNL | IXON)) == 0);
  CHECK((now.c_oflag & OPOST) == 0);
  CHECK((now.c_cflag & (CSIZE | PARENB | CSTOPB)) == CS8);
  CHECK((now.c_cflag & (CREAD | CLOCAL)) == (CREAD | CLOCAL));
  CHECK(now.c_cc[VMIN] == 1);
  CHECK(now.c_cc[VTIME] == 0);
  CHECK((::fcntl(port.fd(), F_GETFL) & O_NONBLOCK) != 0);
  CHECK(::fcntl(port.fd(), F_GETFD) == FD_CLOEXEC);
}

ON_BOTH_SELECTORS("serial: 8-bit clean there and back, and nothing comes back by itself") {
  test::Loop<S> loop;
  const Terminal terminal;
  SerialPort port;
  REQUIRE(port.open(loop, terminal.path.c_str()));
  const std::string bytes = all_bytes() + all_bytes();
  REQUIRE(::write(terminal.master.get(), bytes.data(), bytes.size()) == static_cast<ssize_t>(bytes.size()));
  std::string got(bytes.size(), '\0');
  ByteSpan rest(&got[0], got.size());
  CHECK(await(loop, [&] { return port.read_exactly(rest); }));
  CHECK((got == bytes));
  CHECK(test::take_all(terminal.master.get()).empty());  // no echo of the driver's
  ByteView echo(got.data(), got.size());
  CHECK(await(loop, [&] { return port.write_all(echo); }));
  CHECK((take(loop, terminal.master.get(), bytes.size()) == bytes));
}

ON_BOTH_SELECTORS("serial: a silent line is waited for, and is not the end") {
  test::Loop<S> loop;
  const Terminal terminal;
  SerialPort port;
  REQUIRE(port.open(loop, terminal.path.c_str()));
  char bytes[8];
  CHECK(error_of(port.try_read(bytes)) == EAGAIN);
  Running reading(loop, [&] { return port.read(bytes); });
  CHECK(test::comes_to_rest(loop));
  CHECK_FALSE(reading.done());
  test::send_text(terminal.master.get(), "\x04");  // ^D, which ends a line of a cooked terminal
  REQUIRE(reading.finish());
  CHECK(*reading.result == 1);
  CHECK(bytes[0] == 4);
}

ON_BOTH_SELECTORS("serial: speed as it is asked for, up to 4 Mbaud; others are EINVAL") {
  test::Loop<S> loop;
  const struct {
    int baud;
    speed_t speed;
  } speeds[] = {{300, B300},         {600, B600},         {1200, B1200},       {2400, B2400},
                {4800, B4800},       {9600, B9600},       {19200, B19200},     {38400, B38400},
                {57600, B57600},     {115200, B115200},   {230400, B230400},   {460800, B460800},
                {500000, B500000},   {576000, B576000},   {921600, B921600},   {1000000, B1000000},
                {1500000, B1500000}, {2000000, B2000000}, {3000000, B3000000}, {4000000, B4000000}};
  SerialPort::Settings settings;
  for (const auto& entry : speeds) {
    const Terminal terminal;  // the mark of exclusive use stays as long as its other end is open
    SerialPort port;
    settings.baud = entry.baud;
    const bool taken = takes(terminal, entry.speed);
    CHECK(error_of(port.open(loop, terminal.path.c_str(), settings)) == (taken ? 0 : EINVAL));
    if (!taken) continue;
    const termios now = settings_of(port.fd());
    CHECK(::cfgetospeed(&now) == entry.speed);
    CHECK(::cfgetispeed(&now) == entry.speed);
  }
  const Terminal terminal;
  SerialPort port;
  for (const int baud : {0, -1, 1, 12345, 115201, 13, INT32_MAX}) {
    settings.baud = baud;
    CHECK(error_of(port.open(loop, terminal.path.c_str(), settings)) == EINVAL);
  }
  CHECK_FALSE(port.is_open());
  REQUIRE(port.open(loop, terminal.path.c_str()));
  const termios now = settings_of(port.fd());
  CHECK(::cfgetospeed(&now) == B115200);  // unless told otherwise
}

ON_BOTH_SELECTORS("serial: stop bits and flow control as they are asked for") {
  test::Loop<S> loop;
  SerialPort::Settings settings;
  for (const bool on : {true, false}) {
    const Terminal terminal;
    SerialPort port;
    settings.stop_bits = on ? 2 : 1;
    settings.hardware_flow_control = on;
    REQUIRE(port.open(loop, terminal.path.c_str(), settings));
    const tcflag_t flags = settings_of(port.fd()).c_cflag;
    CHECK(((flags & CSTOPB) != 0) == on);
    CHECK(((flags & CRTSCTS) != 0) == on);
  }
}

ON_BOTH_SELECTORS("serial: settings refused: what makes no sense, and what the driver does not take, is EINVAL") {
  test::Loop<S> loop;
  const Terminal terminal;
  SerialPort port;
  const int descriptors = test::open_descriptors();
  const auto refused = [&](int data_bits, SerialPort::Parity parity, int stop_bits) {
    SerialPort::Settings settings;
    settings.data_bits = data_bits;
    settings.parity = parity;
    settings.stop_bits = stop_bits;
    return error_of(port.open(loop, terminal.path.c_str(), settings));
  };
  for (const int bits : {-1, 0, 4, 9, 256}) CHECK(refused(bits, SerialPort::Parity::none, 1) == EINVAL);
  for (const int bits : {-1, 0, 3}) CHECK(refused(8, SerialPort::Parity::none, bits) == EINVAL);
  // A pseudo-terminal always has 8 bits without parity; tcsetattr() does not complain about other settings.
  for (const int bits : {5, 6, 7}) CHECK(refused(bits, SerialPort::Parity::none, 1) == EINVAL);
  CHECK(refused(8, SerialPort::Parity::even, 1) == EINVAL);
  CHECK(refused(8, SerialPort::Parity::odd, 1) == EINVAL);
  CHECK_FALSE(port.is_open());
  CHECK(test::open_descriptors() == descriptors);
  CHECK(refused(8, SerialPort::Parity::none, 1) == 0);
}

ON_BOTH_SELECTORS("serial: errors of open: ENOENT, ENOTTY, EBUSY, ENOBUFS, ENXIO, and no fd is left") {
  test::Loop<S, 1> loop;
  mote::StaticReactor<> not_open;
  const Terminal terminal, other, unused;
  SerialPort port, second;
  const int descriptors = test::open_descriptors();
  CHECK(error_of(port.open(loop, "/dev/mote-test-no-such-device")) == ENOENT);
  CHECK(error_of(port.open(loop, "/dev/null")) == ENOTTY);
  CHECK(error_of(port.open(loop, "/proc/self/exe")) != 0);
  CHECK(error_of(port.open(not_open, unused.path.c_str())) == ENXIO);
  CHECK(test::open_descriptors() == descriptors);
  REQUIRE(port.open(loop, terminal.path.c_str()));
  CHECK(error_of(second.open(loop, other.path.c_str())) == ENOBUFS);
  CHECK(error_of(port.open(loop, other.path.c_str())) == EBUSY);
  CHECK(test::open_descriptors() == descriptors + 1);
  test::send_text(terminal.master.get(), "still here");
  CHECK(read_some(loop, port) == "still here");
}

ON_BOTH_SELECTORS("serial: open already: EBUSY, and the other device is left as it was") {
  test::Loop<S> loop;
  const Terminal terminal, other;
  const Fd slave(::open(other.path.c_str(), O_RDWR | O_NOCTTY | O_CLOEXEC));
  SerialPort port;
  REQUIRE(port.open(loop, terminal.path.c_str()));
  CHECK(error_of(port.open(loop, other.path.c_str())) == EBUSY);
  CHECK((settings_of(slave.get()).c_lflag & ICANON) != 0);
}

ON_BOTH_SELECTORS("serial: exclusive: any other open() gives EBUSY, except to the superuser") {
  test::Loop<S> loop;
  const Terminal terminal;
  REQUIRE(::chmod(terminal.path.c_str(), 0666) == 0);
  const auto open_as_anybody = [&] {
    test::Child child([&] {
      if (::getuid() == 0 && (::setgroups(0, nullptr) != 0 || ::setgid(65534) != 0 || ::setuid(65534) != 0)) return 255;
      return ::open(terminal.path.c_str(), O_RDWR | O_NOCTTY | O_CLOEXEC) >= 0 ? 0 : errno;
    });
    return child.join();
  };
  const int before = open_as_anybody();
  if (before == 255) {
    MESSAGE("the superuser cannot be anybody else here");
    return;
  }
  CHECK(before == 0);
  SerialPort port;
  REQUIRE(port.open(loop, terminal.path.c_str()));
  CHECK(open_as_anybody() == EBUSY);
}

ON_BOTH_SELECTORS("serial: it does not become the controlling terminal") {
  const Terminal terminal;
  test::Child child([&] {
    test::Verdict verdict;
    EXPECT(verdict, ::setsid() > 0);
    test::Loop<S> loop;
    SerialPort port;
    EXPECT(verdict, port.open(loop, terminal.path.c_str()));
    EXPECT(verdict, ::open("/dev/tty", O_RDWR | O_CLOEXEC) < 0 && errno == ENXIO);
    return verdict.exit_code();
  });
  CHECK(child.join() == 0);
}

ON_BOTH_SELECTORS("serial: unplug: pty hang-up (EIO) is closed: the end of the stream, again and again") {
  test::Loop<S> loop;
  Terminal terminal;
  SerialPort port;
  REQUIRE(port.open(loop, terminal.path.c_str()));
  char bytes[8];
  Running reading(loop, [&] { return port.read(bytes); });
  CHECK(test::comes_to_rest(loop));
  terminal.master.close();
  REQUIRE(reading.finish());
  CHECK(*reading.result == 0);
  CHECK(reading.completions == 1);
  CHECK(read_some(loop, port) == "");
  CHECK(test::comes_to_rest(loop));  // nobody reads: no spin
  ByteView lost = mote::bytes_of("lost");
  CHECK(error_of(await(loop, [&] { return port.write_all(lost); })) == EIO);
  CHECK(lost.size() == 4);
  ByteSpan rest(bytes);
  CHECK(error_of(await(loop, [&] { return port.read_exactly(rest); })) == ENODATA);
}

ON_BOTH_SELECTORS("serial: unplug while nobody reads: seen by the next read, and no spin until then") {
  test::Loop<S> loop;
  Terminal terminal;
  SerialPort port;
  REQUIRE(port.open(loop, terminal.path.c_str()));
  {
    char bytes[8];
    Running reading(loop, [&] { return port.read(bytes); });
    CHECK(test::comes_to_rest(loop));
    test::send_text(terminal.master.get(), "x");
    CHECK(*reading.finish() == 1);
  }
  terminal.master.close();
  CHECK(test::comes_to_rest(loop));
  CHECK(read_some(loop, port) == "");
}

ON_BOTH_SELECTORS("serial: unplug while a write waits for room: EIO, once") {
  test::Loop<S> loop;
  Terminal terminal;
  SerialPort port;
  REQUIRE(port.open(loop, terminal.path.c_str()));
  const std::string text(1'000'000, 'x');
  ByteView rest(text.data(), text.size());
  Running writing(loop, [&] { return port.write_all(rest); });
  CHECK(test::comes_to_rest(loop));
  CHECK_FALSE(writing.done());
  terminal.master.close();
  CHECK(error_of(writing.finish()) == EIO);
  CHECK(writing.completions == 1);
  CHECK_FALSE(rest.empty());
}

ON_BOTH_SELECTORS("serial: unplug seen by a handler: hang-up, once, and it may close the port there") {
  test::Loop<S> loop;
  Terminal terminal;
  SerialPort port;
  REQUIRE(port.open(loop, terminal.path.c_str()));
  int calls = 0;
  Readiness seen = Readiness::none;
  auto handler = [&](Readiness readiness) {
    ++calls;
    seen = readiness;
    char bytes[8];
    const Result<std::size_t> n = port.try_read(bytes);
    if (n && *n == 0) port.close();
  };
  REQUIRE(port.watch(Interest::read, handler));
  terminal.master.close();
  CHECK(run_until(loop, [&] { return !port.is_open(); }));
  CHECK(any(seen & Readiness::hangup));
  CHECK(calls == 1);
  CHECK(test::comes_to_rest(loop));
}

ON_BOTH_SELECTORS("serial: plugged in again under the same name, it is opened anew") {
  test::Loop<S> loop;
  char directory[] = "/tmp/mote-test-XXXXXX";
  REQUIRE(::mkdtemp(directory) != nullptr);
  const std::string name = std::string(directory) + "/ttyUSB0";
  SerialPort port;
  for (int i = 0; i < 3; ++i) {
    Terminal terminal;
    REQUIRE(::symlink(terminal.path.c_str(), name.c_str()) == 0);
    REQUIRE(port.open(loop, name.c_str()));
    test::send_text(terminal.master.get(), "hello");
    CHECK(read_some(loop, port) == "hello");
    terminal.master.close();
    REQUIRE(::unlink(name.c_str()) == 0);
    CHECK(read_some(loop, port) == "");
    port.close();
    CHECK(error_of(port.open(loop, name.c_str())) == ENOENT);
  }
  ::rmdir(directory);
}

ON_BOTH_SELECTORS("serial: unplugged ends of terminals that were taken over: data first, then the end") {
  test::Loop<S> loop;
  Terminal terminal;
  Fd slave(::open(terminal.path.c_str(), O_RDWR | O_NOCTTY | O_CLOEXEC));
  REQUIRE(slave);
  termios raw = settings_of(slave.get());
  ::cfmakeraw(&raw);
  REQUIRE(::tcsetattr(slave.get(), TCSANOW, &raw) == 0);
  Stream master = test::open_stream(loop, std::move(terminal.master));
  test::send_text(slave.get(), "last words");
  slave.close();
  CHECK(read_some(loop, master) == "last words");
  CHECK(read_some(loop, master) == "");  // EIO, on the master's side
  Terminal another;
  Stream stream = test::open_stream(loop, Fd(::open(another.path.c_str(), O_RDWR | O_NOCTTY | O_CLOEXEC)));
  char bytes[8];
  Running reading(loop, [&] { return stream.read(bytes); });
  CHECK(test::comes_to_rest(loop));
  another.master.close();
  CHECK(*reading.finish() == 0);
}

ON_BOTH_SELECTORS("serial: closed while reading: ECANCELED, once") {
  test::Loop<S> loop;
  const Terminal terminal;
  SerialPort port;
  REQUIRE(port.open(loop, terminal.path.c_str()));
  char bytes[8];
  Running reading(loop, [&] { return port.read(bytes); });
  CHECK(test::comes_to_rest(loop));
  port.close();
  CHECK(error_of(reading.finish()) == ECANCELED);
  CHECK(reading.completions == 1);
}
