// SPDX-License-Identifier: MIT
// Copyright (c) 2026 The mote authors
// SignalSet: which signals a program wants to hear of.
#ifndef MOTE_THREAD_SIGNAL_SET_HPP
#define MOTE_THREAD_SIGNAL_SET_HPP

#include <signal.h>  // sigaction, sigprocmask, _NSIG

#include <cstdint>           // integers of fixed width
#include <initializer_list>  // lists of signals

#include <mote/base/config.hpp>

namespace mote {
inline namespace MOTE_NAMESPACE {

// A set of signals, 1 to 64 (on MIPS to 127), in words of 32 bits: `{SIGINT, SIGTERM}`. Adding a number that is no
// signal makes it invalid, and Signals::open() then returns EINVAL.
// Size on a 32-bit board: 12 bytes.
class SignalSet {
 public:
  constexpr SignalSet() = default;
  constexpr SignalSet(std::initializer_list<int> numbers) {
    for (const int signal : numbers) add(signal);
  }

  constexpr void add(int signal) {
    if (signal >= 1 && signal <= last_signal) words_[word_of(signal)] |= bit_of(signal);
    else invalid_ = true;
  }
  constexpr bool contains(int signal) const {
    return (words_[word_of(signal)] & bit_of(signal)) != 0;
  }  // 1 to last_signal
  // The lowest signal above `after`, or 0: there is none. For a loop over all of them: begin with next(0), then pass
  // the signal that was returned last. O(last_signal).
  constexpr int next(int after) const {
    for (int signal = after + 1; signal <= last_signal; ++signal) {
      if (contains(signal)) return signal;
    }
    return 0;
  }
  constexpr bool valid() const { return !invalid_; }  // only signal numbers have been added

  // The platform's highest signal, and how many words of 32 bits have a bit for each.
  static constexpr int last_signal = _NSIG - 1;
  static constexpr int words = (last_signal + 31) / 32;
  // The word and the bit of a signal, 1 to last_signal, in an array of such words.
  static constexpr std::uint32_t word_of(int signal) { return (static_cast<std::uint32_t>(signal) - 1) / 32; }
  static constexpr std::uint32_t bit_of(int signal) { return 1u << ((static_cast<std::uint32_t>(signal) - 1) % 32); }
 private:
  std::uint32_t words_[words] = {};
  bool invalid_ = false;
};

}  // namespace MOTE_NAMESPACE
}  // namespace mote

#endif  // MOTE_THREAD_SIGNAL_SET_HPP
