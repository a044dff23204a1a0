// SPDX-License-Identifier: MIT
// Copyright (c) 2026 The mote authors
// DefaultSelector: the selector for programs that have no reason to choose another one.
#ifndef MOTE_SELECTOR_DEFAULT_SELECTOR_HPP
#define MOTE_SELECTOR_DEFAULT_SELECTOR_HPP

#include <cstddef>  // size_t, ptrdiff_t

#include <mote/base/config.hpp>
#include <mote/selector/epoll_selector.hpp>

namespace mote {
inline namespace MOTE_NAMESPACE {

template <std::size_t N> using DefaultSelector = EpollSelector<N>;

}  // namespace MOTE_NAMESPACE
}  // namespace mote

#endif  // MOTE_SELECTOR_DEFAULT_SELECTOR_HPP
