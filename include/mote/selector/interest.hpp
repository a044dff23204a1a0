// SPDX-License-Identifier: MIT
// Copyright (c) 2026 The mote authors
// Interest: what a registration asks for. Readiness: what the kernel reports.
#ifndef MOTE_SELECTOR_INTEREST_HPP
#define MOTE_SELECTOR_INTEREST_HPP

#include <cstdint>      // integers of fixed width
#include <type_traits>  // checks at compile time

#include <mote/base/config.hpp>

namespace mote {
inline namespace MOTE_NAMESPACE {

// What a registration asks for. `read` also asks for read_closed. Hang-up and error are reported whatever was asked
// for. The values are the kernel's own, so that translation costs an instruction.
enum class Interest : std::uint8_t {
  none,
  read = 1,
  priority = 2,  // out-of-band data, a GPIO edge, a sysfs attribute that changed
  write = 4
};

// <term.h> of curses defines `hangup` as a macro. The header compiles behind it; a program that includes both and needs
// Readiness::hangup writes `#undef hangup` behind them.
#pragma push_macro("hangup")
#undef hangup
// What the kernel reports of a descriptor, in the kernel's own values.
enum class Readiness : std::uint32_t {
  none,
  readable = 1,
  priority = 2,  // as Interest::priority
  writable = 4,
  error = 8,            // there is one to be read (SO_ERROR, the error queue), or a pipe has no readers
  hangup = 16,          // both directions are over, or a pipe has no writers
  read_closed = 0x2000  // the peer will send no more
};

namespace detail {

inline constexpr Readiness hung_up = Readiness::hangup;  // for the library: no other line of it has the public name
#pragma pop_macro("hangup")

template <class E>
using IfFlags = std::enable_if_t<std::is_same<E, Interest>::value || std::is_same<E, Readiness>::value, E>;

template <class E> constexpr unsigned bits(E e) { return static_cast<unsigned>(e); }

inline constexpr unsigned all_bits = 0x203f;  // of Interest and Readiness; 0x20 is the kernel's POLLNVAL

// An extra Interest bit: edge-triggered (EPOLLET), with EPOLLPRI. The descriptor table of the reactor says who gets it.
inline constexpr Interest edge_triggered{8};

}  // namespace detail

template <class E> constexpr detail::IfFlags<E> operator|(E a, E b) { return E(detail::bits(a) | detail::bits(b)); }
template <class E> constexpr detail::IfFlags<E> operator&(E a, E b) { return E(detail::bits(a) & detail::bits(b)); }
template <class E> constexpr detail::IfFlags<E> operator~(E a) { return E(~detail::bits(a) & detail::all_bits); }
template <class E> constexpr detail::IfFlags<E>& operator|=(E& a, E b) {
  a = a | b;
  return a;
}
template <class E> constexpr detail::IfFlags<E>& operator&=(E& a, E b) {
  a = a & b;
  return a;
}
template <class E, class = detail::IfFlags<E>> constexpr bool any(E e) { return detail::bits(e) != 0; }

namespace detail {

// What may be reported where this interest is asked for, beside error and hang-up.
constexpr unsigned asked_for(Interest interest) {
  constexpr unsigned asked = bits(Interest::read | Interest::priority | Interest::write);
  return (bits(interest) & asked) | (bits(interest) & bits(Interest::read)) << 13;  // read_closed with read
}
static_assert(asked_for(Interest::read) == bits(Readiness::readable | Readiness::read_closed));

}  // namespace detail

}  // namespace MOTE_NAMESPACE
}  // namespace mote

#endif  // MOTE_SELECTOR_INTEREST_HPP
