// SPDX-License-Identifier: MIT
// Copyright (c) 2026 The mote authors
// A look at one descriptor, without waiting.
#ifndef MOTE_SELECTOR_LOOK_HPP
#define MOTE_SELECTOR_LOOK_HPP

#include <poll.h>  // poll

#include <mote/base/config.hpp>
#include <mote/selector/interest.hpp>
#include <mote/system/system.hpp>

namespace mote {
inline namespace MOTE_NAMESPACE {
namespace detail {

// POLLNVAL, in what look() returns: there is no open descriptor of this number.
inline constexpr Readiness not_open{POLLNVAL};

// What is ready of a descriptor at this moment, of what is asked for; hang-up, error and not_open in any case. One
// system call, poll(2); where that fails (the kernel is out of memory), nothing is ready.
inline Readiness look(int fd, Interest interest) {
  constexpr unsigned asked = bits(Interest::read | Interest::priority | Interest::write);
  pollfd entry{fd, static_cast<short>(bits(interest) & asked), 0};
#ifdef POLLRDHUP
  if (any(interest & Interest::read)) entry.events |= POLLRDHUP;
#endif
  if (System::look(entry) <= 0) return Readiness::none;
  unsigned seen = static_cast<unsigned>(entry.revents) & all_bits;
#ifdef POLLRDHUP
  constexpr unsigned closed = bits(Readiness::read_closed);
  seen &= ~closed;  // another flag's bit where POLLRDHUP has another value
  if ((entry.revents & POLLRDHUP) != 0) seen |= closed;
#endif
  return static_cast<Readiness>(seen);
}

}  // namespace detail
}  // namespace MOTE_NAMESPACE
}  // namespace mote

#endif  // MOTE_SELECTOR_LOOK_HPP
