// SPDX-License-Identifier: MIT
// Copyright (c) 2026 The mote authors
// One system call of reading or writing, and what its result means for the next one.
#ifndef MOTE_IO_TRANSFER_HPP
#define MOTE_IO_TRANSFER_HPP

#include <errno.h>       // errno and its names
#include <sys/socket.h>  // sockets

#include <cstddef>  // size_t, ptrdiff_t
#include <cstdint>  // integers of fixed width

#include <mote/base/bytes.hpp>
#include <mote/base/config.hpp>
#include <mote/base/error.hpp>
#include <mote/base/result.hpp>
#include <mote/reactor/slot.hpp>
#include <mote/selector/interest.hpp>
#include <mote/selector/look.hpp>
#include <mote/system/system.hpp>

namespace mote {
inline namespace MOTE_NAMESPACE {
namespace detail {

// Converts a byte count, or an Error, as it is stored, as a negative number.
inline Result<std::size_t> transfer_result(ssize_t n) {
  return n >= 0 ? Result<std::size_t>(static_cast<std::size_t>(n)) : ErrorAccess::error(static_cast<int>(-n));
}

// In place of a system call's result: it has not been made yet.
inline constexpr ssize_t not_tried = -2;

// Notes that a read() or write() has failed, and returns its error. After EAGAIN the next attempt waits for an event.
[[gnu::cold]] inline int note_failure(Slot& slot, std::uint8_t& state) {
  const int error = System::error();
  const bool was_reported = any(slot.last() & Readiness::error);
  slot.take(Readiness::error);
  if (error != EAGAIN) return error;
  state |= Slot::must_wait;
  // It was reported, and yet the call has not returned it: what is in the error queue is left to whom it is for.
  if (was_reported && any(look(slot.fd, Interest::none) & Readiness::error)) slot.set(Slot::error_stands);
  return EAGAIN;
}

// Whether a call would block: of descriptors 0 to 2, which are not ours to make non-blocking. Sets EAGAIN.
inline bool would_block(const Slot& slot, Interest direction) {
  if (!slot.is(Slot::blocking) || any(look(slot.fd, direction))) return false;
  errno = EAGAIN;
  return true;
}

// ---- reading ----

// The same for a read(). Returns what receive() has to return: 0, or a negative number.
[[gnu::cold]] inline int receive_failed(Slot& slot) {
  if (System::error() == EIO && slot.is(Slot::is_tty)) return 0;  // unplugged, or a pty's other end has been closed
  const int error = note_failure(slot, slot.read_state);
  if (error == EAGAIN) Slot::clear_state(slot.read_state, Slot::read_fully);
  return -error;
}
inline ssize_t receive_once(const Slot& slot, const ByteSpan& buffer) {
  if (slot.is(Slot::is_socket)) return System::recv(slot.fd, buffer.data(), buffer.size(), MSG_DONTWAIT);
  if (would_block(slot, Interest::read)) return -1;
  return System::read(slot.fd, buffer.data(), buffer.size());
}
// One read(). `answer`: what a call has returned already, or not_tried. A short read means that nothing is left for
// now, so that the next one waits first. Not so at the end of the stream (0 bytes, or read_fully): that is read at
// once.
inline ssize_t receive(Slot& slot, const ByteSpan& buffer, ssize_t answer) {
  if (buffer.empty()) return -EINVAL;  // the kernel would take a datagram
  while (answer == not_tried || (answer < 0 && System::error() == EINTR)) answer = receive_once(slot, buffer);
  if (answer < 0) return receive_failed(slot);
  const auto size = static_cast<std::size_t>(answer);
  const bool drained = size < buffer.size() && size != 0 && (slot.read_state & Slot::read_fully) == 0;
  if (drained || slot.is(Slot::blocking)) slot.read_state |= Slot::must_wait;
  return answer;
}
inline Result<std::size_t> try_receive(Slot& slot, const ByteSpan& buffer) {
  return transfer_result(receive(slot, buffer, not_tried));
}

// ---- writing ----

inline ssize_t send_once(const Slot& slot, const ByteView& bytes) {
  std::size_t size = bytes.size();
  if (slot.is(Slot::is_socket)) return System::send(slot.fd, bytes.data(), size, MSG_DONTWAIT | MSG_NOSIGNAL);
  if (would_block(slot, Interest::write)) return -1;
  if (slot.is(Slot::blocking) && size > 512) size = 512;  // _POSIX_PIPE_BUF: does not block once reported writable
  return System::write(slot.fd, bytes.data(), size);
}
// One write() of at least one byte. `answer`: what a call has returned already, or not_tried. After a short write the
// next one waits first.
inline ssize_t send(Slot& slot, const ByteView& bytes, ssize_t answer) {
  while (answer == not_tried || (answer < 0 && System::error() == EINTR)) answer = send_once(slot, bytes);
  if (answer < 0) return -note_failure(slot, slot.write_state);
  const bool is_full = static_cast<std::size_t>(answer) < bytes.size();
  if (is_full || slot.is(Slot::blocking)) slot.write_state |= Slot::must_wait;
  return answer;
}
inline Result<std::size_t> try_send(Slot& slot, const ByteView& bytes) {
  return transfer_result(bytes.empty() ? 0 : send(slot, bytes, not_tried));
}

}  // namespace detail
}  // namespace MOTE_NAMESPACE
}  // namespace mote

#endif  // MOTE_IO_TRANSFER_HPP
