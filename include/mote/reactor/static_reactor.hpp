// SPDX-License-Identifier: MIT
// Copyright (c) 2026 The mote authors
// StaticReactor: a reactor with its storage.
#ifndef MOTE_REACTOR_STATIC_REACTOR_HPP
#define MOTE_REACTOR_STATIC_REACTOR_HPP

#include <cstddef>  // size_t, ptrdiff_t
#include <cstdint>  // integers of fixed width

#include <mote/base/config.hpp>
#include <mote/base/result.hpp>
#include <mote/reactor/reactor.hpp>
#include <mote/reactor/slot.hpp>
#include <mote/selector/default_selector.hpp>
#include <mote/selector/selector.hpp>
#include <mote/task/run_queue.hpp>

namespace mote {
inline namespace MOTE_NAMESPACE {

// The settings of a StaticReactor. Derive from it, and declare anew what is to be another:
//   struct Config : mote::Config { static constexpr std::size_t descriptors = 200; };
struct Config {
  static constexpr std::size_t descriptors = 64;                 // registered at a time
  static constexpr std::size_t batch = 256;                      // events taken from one wait, at most
  static constexpr std::size_t priorities = 1;                   // of tasks: run queues
  template <std::size_t N> using Selector = DefaultSelector<N>;  // or EpollSelector, PollSelector, NoSelector
};
template <std::size_t N> struct NoSelector {};  // for a reactor whose selector is chosen at run time, for open()

// A reactor with its storage: sizeof tells all the memory it will ever use. In static storage it lies in .bss; it may
// also live on the stack. It must not move. Before open() it makes no system call.
template <class C = Config> class StaticReactor : public Reactor {
 public:
  static constexpr std::size_t selector_capacity = C::descriptors + 1;  // one is for wake-ups
  static_assert(C::descriptors >= 1 && C::descriptors < (1u << 24), "between 1 and 16,777,215 descriptors");
  static_assert(C::batch >= 1, "at least one event a turn");
  static_assert(C::priorities >= 1 && C::priorities <= 8, "1 to 8 priorities");

  constexpr StaticReactor() = default;
  ~StaticReactor() { close(); }

  // Does nothing to one that is open.
  // Errors:
  //   EMFILE, ENFILE, ENOMEM   the system's limits.
  Result<void> open() { return open(selector_storage_); }
  // With a selector of the caller's, which must outlive this. One that has been used before starts anew.
  template <class S> Result<void> open(S& selector) {
    if (is_open()) return {};
    const Result<void> opened = selector.is_open() ? selector.rebuild() : selector.open();
    if (opened) attach_storage(selector);
    return opened;
  }
 private:
  // The part of open() that is the same for all kinds of selectors, so that a program that opens two has it once.
  void attach_storage(mote::Selector& selector) {
    attach(selector, slot_storage_, C::descriptors, batch_storage_, batch);
    if constexpr (C::priorities > 1) attach_priorities(higher_.queues, C::priorities - 1);
  }

  template <std::size_t N, class = void> struct Higher { detail::RunQueue queues[N]; };
  template <class Unused> struct Higher<0, Unused> {};
  static constexpr std::uint32_t batch = C::batch < selector_capacity ? C::batch : selector_capacity;

  typename C::template Selector<selector_capacity> selector_storage_;
  Ready batch_storage_[batch] = {};
  detail::Slot slot_storage_[C::descriptors + 1] = {};
  Higher<C::priorities - 1> higher_;
};

}  // namespace MOTE_NAMESPACE
}  // namespace mote

#endif  // MOTE_REACTOR_STATIC_REACTOR_HPP
