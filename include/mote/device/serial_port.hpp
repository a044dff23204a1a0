// SPDX-License-Identifier: MIT
// Copyright (c) 2026 The mote authors
// SerialPort: a serial line, as a stream.
#ifndef MOTE_DEVICE_SERIAL_PORT_HPP
#define MOTE_DEVICE_SERIAL_PORT_HPP

#include <errno.h>    // errno and its names
#include <fcntl.h>    // open, fcntl, O_*
#include <termios.h>  // serial ports

#include <cstdint>  // integers of fixed width
#include <utility>  // move, forward, exchange

#include <mote/base/config.hpp>
#include <mote/base/error.hpp>
#include <mote/base/result.hpp>
#include <mote/io/stream.hpp>
#include <mote/reactor/reactor.hpp>
#include <mote/reactor/slot.hpp>
#include <mote/system/fd.hpp>
#include <mote/system/system.hpp>

namespace mote {
inline namespace MOTE_NAMESPACE {

// A serial port in raw mode. An unplugged one reads as the end of the stream.
// Size on a 32-bit board: 16 bytes.
class SerialPort : public Stream {
 public:
  enum class Parity : std::uint8_t { none, even, odd };
  struct Settings {
    int baud = 115200;  // one of the usual rates, 300 to 4000000
    int data_bits = 8;  // 5 to 8
    Parity parity = Parity::none;
    int stop_bits = 1;                   // 1 or 2
    bool hardware_flow_control = false;  // RTS/CTS
  };

  // Opens it for this process alone: from then on any other open() fails with EBUSY (not the superuser's: TIOCEXCL).
  // Errors:
  //   EINVAL                   a setting that the device or its driver does not take.
  //   ENOTTY                   it is no terminal.
  //   ENOENT                   there is no such device: not plugged in?
  //   EACCES                   not allowed: the user is usually to be in the group "dialout".
  //   EBUSY                    another process has it; or this SerialPort is open already.
  //   ENXIO                    the device behind it is not there; or the reactor is not open.
  //   EIO                      the device has failed.
  //   EMFILE, ENFILE, ENOMEM   the system's limits.
  //   ENOBUFS                  the table is full: see Config::descriptors.
  Result<void> open(Reactor& reactor, const char* path) { return open(reactor, path, Settings()); }
  Result<void> open(Reactor& reactor, const char* path, const Settings& settings) {
    if (slot_ != nullptr) return Error(detail::Reason::already_open);
    Fd fd(detail::retry([path] { return System::open(path, O_RDWR | O_NOCTTY | O_NONBLOCK); }));
    if (!fd) return detail::last_error();
    if (const Result<void> configured = configure(fd.get(), settings); !configured) return configured;
    if (System::set_exclusive(fd.get()) != 0) return detail::last_error();
    return register_as(detail::ReactorAccess::loop(reactor), std::move(fd), Slot::is_tty);
  }
 private:
  static constexpr tcflag_t frame_flags = CSIZE | PARENB | PARODD | CSTOPB | CRTSCTS;

  static Result<void> configure(int fd, const Settings& settings) {
    const speed_t speed = speed_of(settings.baud);
    if (speed == B0 || !are_valid(settings)) return Error(detail::Reason::bad_serial_settings);
    const tcflag_t frame = frame_of(settings);
    termios t;
    if (System::tcgetattr(fd, &t) != 0) return detail::last_error();
    ::cfmakeraw(&t);
    t.c_cflag = (t.c_cflag & ~frame_flags) | frame | CREAD | CLOCAL;
    t.c_cc[VMIN] = 1;  // "nothing there" is EAGAIN then; with 0 it would look like the end of the stream
    t.c_cc[VTIME] = 0;
    if (::cfsetispeed(&t, speed) != 0 || ::cfsetospeed(&t, speed) != 0) return detail::last_error();
    if (detail::retry([&] { return System::tcsetattr(fd, &t); }) != 0) return detail::last_error();
    // tcsetattr() succeeds if it could do any part of what was asked: see termios(3).
    if (System::tcgetattr(fd, &t) != 0) return detail::last_error();
    const bool taken = (t.c_cflag & frame_flags) == frame && ::cfgetospeed(&t) == speed;
    return taken ? Result<void>() : Error(detail::Reason::bad_serial_settings);
  }
  static bool are_valid(const Settings& settings) {
    if (settings.data_bits < 5 || settings.data_bits > 8) return false;
    return settings.stop_bits == 1 || settings.stop_bits == 2;
  }
  static tcflag_t frame_of(const Settings& settings) {
    constexpr tcflag_t sizes[] = {CS5, CS6, CS7, CS8};
    tcflag_t flags = sizes[settings.data_bits - 5];
    if (settings.parity != Parity::none) flags |= PARENB;
    if (settings.parity == Parity::odd) flags |= PARODD;
    if (settings.stop_bits == 2) flags |= CSTOPB;
    if (settings.hardware_flow_control) flags |= CRTSCTS;
    return flags;
  }
  static speed_t speed_of(int baud) {  // B0: there is no such rate
    struct Rate {
      int baud;
      speed_t speed;
    };
    static constexpr Rate rates[] = {
        {300, B300},         {600, B600},         {1200, B1200},       {2400, B2400},       {4800, B4800},
        {9600, B9600},       {19200, B19200},     {38400, B38400},     {57600, B57600},     {115200, B115200},
        {230400, B230400},   {460800, B460800},   {500000, B500000},   {576000, B576000},   {921600, B921600},
        {1000000, B1000000}, {1500000, B1500000}, {2000000, B2000000}, {3000000, B3000000}, {4000000, B4000000},
    };
    for (const Rate& rate : rates) {
      if (rate.baud == baud) return rate.speed;
    }
    return B0;
  }
};

}  // namespace MOTE_NAMESPACE
}  // namespace mote

#endif  // MOTE_DEVICE_SERIAL_PORT_HPP
