// SPDX-License-Identifier: MIT
// Copyright (c) 2026 The mote authors
// SelectorBase: what a class derives from to be a Selector, one of your own included.
#ifndef MOTE_SELECTOR_SELECTOR_BASE_HPP
#define MOTE_SELECTOR_SELECTOR_BASE_HPP

#include <cstddef>  // size_t, ptrdiff_t
#include <cstdint>  // integers of fixed width

#include <mote/base/config.hpp>
#include <mote/selector/interest.hpp>
#include <mote/selector/selector.hpp>
#include <mote/system/clock.hpp>

namespace mote {
inline namespace MOTE_NAMESPACE {

// Derive `class Mine : public mote::SelectorBase<Mine>`. Give it on_add, on_modify, on_remove, on_forget, on_wait,
// on_rebuild and on_descriptor, with the parameters and results of Selector::Operations; they must be public. Its
// open() calls attach(), its close() detach(). A selector that can be edge-triggered (detail::edge_triggered) declares
// `static constexpr bool reports_edges = true;`.
template <class Derived> class SelectorBase : public Selector {
 public:
  static constexpr bool reports_edges = false;
 protected:
  void attach() { bind(&table); }
  void detach() { bind(nullptr); }
 private:
  static Derived& self(Selector& s) { return static_cast<Derived&>(s); }
  static constexpr Operations table = {
      [](Selector& s, int fd, Interest interest, std::uint64_t token) { return self(s).on_add(fd, interest, token); },
      [](Selector& s, int fd, Interest interest, std::uint64_t token) {
        return self(s).on_modify(fd, interest, token);
      },
      [](Selector& s, int fd) { return self(s).on_remove(fd); },
      [](Selector& s, int fd) { self(s).on_forget(fd); },
      [](Selector& s, Ready* ready, std::size_t n, Duration timeout) { return self(s).on_wait(ready, n, timeout); },
      [](Selector& s) { return self(s).on_rebuild(); },
      [](const Selector& s) { return static_cast<const Derived&>(s).on_descriptor(); },
      Derived::reports_edges};
};

}  // namespace MOTE_NAMESPACE
}  // namespace mote

#endif  // MOTE_SELECTOR_SELECTOR_BASE_HPP
