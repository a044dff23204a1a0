// SPDX-License-Identifier: MIT
// Copyright (c) 2026 The mote authors
// Selector: the demultiplexer, whatever system call it is made of. Which of these descriptors are ready?
// And Ready, one entry of its answer.
#ifndef MOTE_SELECTOR_SELECTOR_HPP
#define MOTE_SELECTOR_SELECTOR_HPP

#include <errno.h>  // errno and its names

#include <cstddef>  // size_t, ptrdiff_t
#include <cstdint>  // integers of fixed width

#include <mote/base/config.hpp>
#include <mote/base/error.hpp>
#include <mote/base/pinned.hpp>
#include <mote/base/result.hpp>
#include <mote/selector/interest.hpp>
#include <mote/system/clock.hpp>
#include <mote/system/system.hpp>

namespace mote {
inline namespace MOTE_NAMESPACE {

// A number of 64 bits by which the caller recognises a descriptor in a wait's answer. On x86-64, and there alone, the
// kernel packs an epoll_event: the number then lies at any multiple of 4, and a std::uint64_t would not do.
#ifdef __x86_64__
class Token {
 public:
  constexpr Token(std::uint64_t value = 0)
      : low_(static_cast<std::uint32_t>(value)), high_(static_cast<std::uint32_t>(value >> 32)) {}
  constexpr operator std::uint64_t() const { return low_ | std::uint64_t{high_} << 32; }
 private:
  std::uint32_t low_, high_;
};
#else
using Token = std::uint64_t;
#endif

// One entry of a wait's answer: what the kernel reports of a descriptor, and the caller's token. Laid out as an
// epoll_event, so that the kernel's answer is used where it was received.
// Size on a 32-bit board: 12 to 16 bytes.
struct Ready {
  Readiness readiness = Readiness::none;
  Token token = 0;
};

// Which of these descriptors are ready? Usable alone, level-triggered, for one thread.
//
// A selector does not own the descriptors: remove() one before it is closed, or forget() it right after. Before open()
// a selector is all zero bits and every call returns EBADF. open() belongs to the kind of selector: EpollSelector,
// PollSelector, or a class of yours that derives from SelectorBase.
//
// Calls go through a table of functions that open() sets, not through a vtable, so that a selector in static storage
// lies in .bss and links nothing of the C++ runtime.
// Size on a 32-bit board: 4 bytes and what its kind adds.
class Selector : detail::Pinned {
 public:
  struct Operations {
    Result<void> (*add)(Selector&, int, Interest, std::uint64_t);
    Result<void> (*modify)(Selector&, int, Interest, std::uint64_t);
    Result<void> (*remove)(Selector&, int);
    void (*forget)(Selector&, int);
    Result<std::size_t> (*wait)(Selector&, Ready*, std::size_t, Duration);
    Result<void> (*rebuild)(Selector&);
    int (*descriptor)(const Selector&);
    bool edges;  // whether it supports detail::edge_triggered
  };

  // From now on fd is watched; its events carry `token`.
  // Errors:
  //   EBADF    fd is not open, or the selector is not.
  //   EEXIST   it is in already: modify() it.
  //   ENOBUFS  N are in already: remove one first.
  //   EPERM    (epoll) a regular file, a directory or the like. It is always ready: there is nothing to wait for. poll
  //            takes it and reports it as ready.
  //   ELOOP    (epoll) fd is an epoll set, and the sets would be nested in a circle or too deep.
  //   EINVAL   (epoll) fd is the selector's own descriptor.
  //   ENOSPC   (epoll) /proc/sys/fs/epoll/max_user_watches is reached.
  //   ENOMEM   the kernel has no memory: try again later.
  Result<void> add(int fd, Interest interest, std::uint64_t token) {
    return operations_ != nullptr ? operations_->add(*this, fd, interest, token)
                                  : Error(detail::Reason::selector_not_open);
  }

  // Replaces both the interest and the token.
  // Errors:
  //   ENOENT   fd is not in, or (epoll) has been closed since: add() it.
  //   EBADF    fd is not open, or the selector is not.
  //   ENOMEM   the kernel has no memory: try again later.
  Result<void> modify(int fd, Interest interest, std::uint64_t token) {
    return operations_ != nullptr ? operations_->modify(*this, fd, interest, token)
                                  : Error(detail::Reason::selector_not_open);
  }

  // No wait that begins after it reports fd.
  // Errors:
  //   ENOENT   fd is not in, or (epoll) has been closed since: forget() it.
  //   EBADF    (epoll) fd is not open: forget() it. Or the selector is not open.
  Result<void> remove(int fd) {
    return operations_ != nullptr ? operations_->remove(*this, fd) : Error(detail::Reason::selector_not_open);
  }

  // For a descriptor that has been closed, so that the kernel has dropped it: corrects the selector's own account of
  // it, without a system call.
  void forget(int fd) {
    if (operations_ != nullptr) operations_->forget(*this, fd);
  }

  // Waits until something is ready or the time is up (zero: only looks; unlimited: no limit), writes at most `capacity`
  // entries and returns their number. 0 means that the time is up, and is never returned before. A signal does not end
  // the wait.
  // Errors:
  //   EINVAL   `capacity` is 0; or (poll) there are more descriptors than RLIMIT_NOFILE allows.
  //   EBADF    the selector is not open.
  //   ENOMEM   (poll) the kernel has no memory: try again later.
  Result<std::size_t> wait(Ready* ready, std::size_t capacity, AnyDuration limit) {
    Duration timeout = limit;
    const bool timed = timeout > Duration::zero() && timeout != unlimited;
    const Instant deadline = timed ? saturating_add(Clock::now(), timeout) : never;
    for (;;) {
      const Result<std::size_t> count = wait_once(ready, capacity, timeout);
      if (count && (*count != 0 || timeout <= Duration::zero())) return count;
      if (!count && count.error() != EINTR) return count;
      if (timed) timeout = deadline - Clock::now();
      if (timed && count && timeout <= Duration::zero()) return count;  // after EINTR, it looks once more
    }
  }
  template <std::size_t M> Result<std::size_t> wait(Ready (&to)[M], AnyDuration timeout) {
    return wait(to, M, timeout);
  }

  // One system call. As wait(), but it may return 0 before the time is up, where that lies beyond the kernel's range.
  // Errors: those of wait(), and
  //   EINTR    a signal came first: wait again.
  Result<std::size_t> wait_once(Ready* ready, std::size_t capacity, AnyDuration timeout) {
    return operations_ != nullptr ? operations_->wait(*this, ready, capacity, timeout)
                                  : Error(detail::Reason::selector_not_open);
  }

  // Starts anew with nothing added: in a forked child, or to be rid of what a closed descriptor left in the kernel.
  // After an error every call returns EBADF until a later rebuild() succeeds.
  // Errors:
  //   EMFILE           the process has too many descriptors open: close some and try again.
  //   ENFILE, ENOMEM   the system has, or the kernel has no memory: try again later.
  //   EBADF            the selector was never opened.
  Result<void> rebuild() {
    return operations_ != nullptr ? operations_->rebuild(*this) : Error(detail::Reason::selector_not_open);
  }

  // It is readable when something is ready, for nesting in another loop. -1 where there is none (poll).
  int descriptor() const { return operations_ != nullptr ? operations_->descriptor(*this) : -1; }
  bool is_open() const { return operations_ != nullptr; }
  bool can_report_edges() const { return operations_ != nullptr && operations_->edges; }
 protected:
  constexpr Selector() = default;
  ~Selector() = default;
  void bind(const Operations* operations) { operations_ = operations; }
 private:
  const Operations* operations_ = nullptr;
};

}  // namespace MOTE_NAMESPACE
}  // namespace mote

#endif  // MOTE_SELECTOR_SELECTOR_HPP
