// SPDX-License-Identifier: MIT
// Copyright (c) 2026 The mote authors
// Pinned: the base of objects that must stay where they are.
#ifndef MOTE_BASE_PINNED_HPP
#define MOTE_BASE_PINNED_HPP

#include <mote/base/config.hpp>

namespace mote {
inline namespace MOTE_NAMESPACE {

namespace detail {

// The base of an object that others point to, and that is therefore neither copied nor moved.
struct Pinned {
  constexpr Pinned() = default;
  Pinned(const Pinned&) = delete;
  Pinned& operator=(const Pinned&) = delete;
};

}  // namespace detail

}  // namespace MOTE_NAMESPACE
}  // namespace mote

#endif  // MOTE_BASE_PINNED_HPP
