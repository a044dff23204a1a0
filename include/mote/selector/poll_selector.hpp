// SPDX-License-Identifier: MIT
// Copyright (c) 2026 The mote authors
// PollSelector: a Selector that is made of poll(2), for kernels and sandboxes without epoll, and for a handful of
// descriptors.
#ifndef MOTE_SELECTOR_POLL_SELECTOR_HPP
#define MOTE_SELECTOR_POLL_SELECTOR_HPP

#include <errno.h>   // errno and its names
#include <fcntl.h>   // open, fcntl, O_*
#include <poll.h>    // poll
#include <string.h>  // memory and strings

#include <cstddef>  // size_t, ptrdiff_t
#include <cstdint>  // integers of fixed width
#include <utility>  // move, forward, exchange

#include <mote/base/config.hpp>
#include <mote/base/error.hpp>
#include <mote/base/result.hpp>
#include <mote/selector/interest.hpp>
#include <mote/selector/milliseconds.hpp>
#include <mote/selector/selector.hpp>
#include <mote/selector/selector_base.hpp>
#include <mote/system/clock.hpp>
#include <mote/system/system.hpp>

namespace mote {
inline namespace MOTE_NAMESPACE {

// A dense array of the kernel's entries, and a hash table with linear probing that finds a descriptor's entry. So add,
// modify and remove are O(1) expected; a wait is O(N), in the kernel and here. N descriptors at most.
// Size: 24 to 32 bytes for each descriptor.
template <std::size_t N> class PollSelector : public SelectorBase<PollSelector<N>> {
 public:
  static constexpr const char* name = "poll";

  // Cannot fail.
  Result<void> open() {
    this->attach();
    return {};
  }
  void close() {
    static_cast<void>(on_rebuild());
    this->detach();
  }

  // What follows is called by Selector, whose comments name the errors.

  Result<void> on_add(int fd, Interest interest, std::uint64_t token) {
    if (find(fd) != not_found) return Error(detail::Reason::descriptor_already_added);
    if (System::fcntl(fd, F_GETFD, 0) < 0) return detail::last_error();  // EBADF: poll itself would report it too late
    if (count_ >= N) return Error(detail::Reason::selector_full);
    std::uint32_t cell = home(fd);
    while (index_[cell] != 0) cell = (cell + 1) & mask;
    set(count_, fd, interest, token);
    ++count_;
    index_[cell] = count_;
    return {};
  }
  Result<void> on_modify(int fd, Interest interest, std::uint64_t token) {
    const std::uint32_t cell = find(fd);
    if (cell == not_found) return Error(detail::Reason::descriptor_not_added);
    set(index_[cell] - 1, fd, interest, token);
    return {};
  }
  Result<void> on_remove(int fd) {
    const std::uint32_t cell = find(fd);
    if (cell == not_found) return Error(detail::Reason::descriptor_not_added);
    const std::uint32_t position = index_[cell] - 1;
    erase(cell);
    --count_;
    if (position == count_) return {};
    index_[find(fds_[count_].fd)] = position + 1;  // the last entry takes the place
    fds_[position] = fds_[count_];
    tokens_[position] = tokens_[count_];
    return {};
  }
  void on_forget(int fd) { static_cast<void>(on_remove(fd)); }

  Result<std::size_t> on_wait(Ready* ready, std::size_t capacity, Duration timeout) {
    if (capacity == 0) return Error(EINVAL);  // as epoll_wait(2)
    const int n = System::poll(fds_, count_, detail::to_milliseconds(timeout));
    if (n < 0) return detail::last_error();  // EINTR; EINVAL: more than RLIMIT_NOFILE; ENOMEM
    return collect(ready, n, capacity);
  }
  Result<void> on_rebuild() {
    ::memset(index_, 0, sizeof index_);
    count_ = 0;
    return {};
  }
  int on_descriptor() const { return -1; }
 private:
  static_assert(POLLIN == 0x01 && POLLPRI == 0x02 && POLLOUT == 0x04 && POLLERR == 0x08 && POLLHUP == 0x10,
                "Interest and Readiness have the kernel's values");
#ifdef POLLRDHUP
  static constexpr unsigned read_closed_event = POLLRDHUP;
#else
  static constexpr unsigned read_closed_event = 0;  // plain POSIX: read() returns 0
#endif

  // Cells of the hash table: a power of two, and so many that at most half of them are in use.
  static constexpr std::uint32_t cells() {
    std::uint32_t n = 2;
    while (n < 2 * N) n *= 2;
    return n;
  }
  static constexpr std::uint32_t mask = cells() - 1;
  static constexpr std::uint32_t not_found = UINT32_MAX;

  // Reads the kernel's answer: `active` entries have events, and there is room for `capacity`.
  //
  // Where all fit, an active entry is moved forward when 64 + (entries found so far) idle ones or more are before it: a
  // descriptor that goes on being active is then found without a look at all the others. Where more are active than
  // fit, nothing moves, and the next wait's answer begins with the others. Inlined, because it has one caller: that
  // saves a call with each wait.
  [[gnu::always_inline]] std::size_t collect(Ready* ready, int active, std::size_t capacity) {
    const bool all_fit = static_cast<std::size_t>(active) <= capacity;
    const std::size_t most = all_fit ? static_cast<std::size_t>(active) : capacity;
    std::size_t at = all_fit || start_ >= count_ ? 0 : start_;
    bool may_wrap = at != 0;
    std::size_t found = 0;
    while (found != most) {
      at = next_active(at);
      if (at == count_) {
        if (!may_wrap) break;
        may_wrap = false;
        at = 0;
        continue;
      }
      ready[found] = {readiness_of(fds_[at]), tokens_[at]};
      if (all_fit && at >= 2 * found + idle_in_front) swap(at, found);
      ++at;
      ++found;
    }
    start_ = static_cast<std::uint32_t>(at);
    return found;
  }
  static constexpr std::uint32_t idle_in_front = 64;  // idle entries that an active one may have before it

  static Readiness readiness_of(const pollfd& entry) {
    const auto events = static_cast<unsigned>(entry.revents);
    const unsigned read_closed = (events & read_closed_event) != 0 ? detail::bits(Readiness::read_closed) : 0u;
    // POLLNVAL is reported as an error: the descriptor was closed by somebody else while it was registered, and read()
    // then returns EBADF.
    const unsigned invalid = (events & POLLNVAL) != 0 ? detail::bits(Readiness::error) : 0u;
    return static_cast<Readiness>((events & 0x1fu) | read_closed | invalid);
  }

  // The position of the first entry with events, from `at` on; count_ if there is none. Idle entries are passed in
  // blocks.
  std::size_t next_active(std::size_t at) const {
    const std::size_t whole_blocks = count_ - count_ % block;
    while (at < count_) {
      if (at % block == 0) {
        while (at != whole_blocks && is_idle(&fds_[at])) at += block;
      }
      const std::size_t stop = at < whole_blocks ? at - at % block + block : count_;
      for (; at != stop; ++at) {
        if (fds_[at].revents != 0) return at;
      }
    }
    return at;
  }

  // Whether no entry of a block has events. As many entries as fit into two registers are OR-ed as one vector, and the
  // sum is read as entries again, so that the order of their bytes does not matter. It takes one instruction for an
  // entry, or two with 32 bits.
  using Vector [[gnu::vector_size(2 * sizeof(std::uintptr_t))]] = std::uintptr_t;
  static constexpr std::uint32_t vector_entries = sizeof(Vector) / sizeof(pollfd);
  static constexpr std::uint32_t block = 16;
  static bool is_idle(const pollfd* entries) {
    Vector sum = {};
    Vector more;
#pragma GCC unroll 16
    for (std::uint32_t i = 0; i < block; i += vector_entries) {
      ::memcpy(&more, __builtin_assume_aligned(entries + i, sizeof more), sizeof more);
      sum |= more;
    }
    pollfd merged[vector_entries];
    ::memcpy(merged, &sum, sizeof merged);
    return (merged[0].revents | merged[vector_entries - 1].revents) == 0;
  }

  void set(std::uint32_t position, int fd, Interest interest, std::uint64_t token) {
    const unsigned events = detail::bits(interest) | (any(interest & Interest::read) ? read_closed_event : 0u);
    fds_[position] = {fd, static_cast<short>(events), 0};
    tokens_[position] = token;
  }
  void swap(std::size_t a, std::size_t b) {
    std::swap(index_[find(fds_[a].fd)], index_[find(fds_[b].fd)]);
    std::swap(fds_[a], fds_[b]);
    std::swap(tokens_[a], tokens_[b]);
  }

  // The hash table's cell where the search for a descriptor begins. Knuth, volume 3, section 6.4: descriptors are small
  // numbers that follow each other; multiplied, they are spread out.
  static std::uint32_t home(int fd) { return (static_cast<std::uint32_t>(fd) * 2654435769u) >> __builtin_clz(mask); }

  std::uint32_t find(int fd) const {
    std::uint32_t cell = home(fd);
    while (index_[cell] != 0 && fds_[index_[cell] - 1].fd != fd) cell = (cell + 1) & mask;
    return index_[cell] != 0 ? cell : not_found;
  }

  // Empties a cell. Knuth, volume 3, section 6.4, algorithm R: what follows it moves up, so that no tombstones are
  // needed.
  void erase(std::uint32_t hole) {
    for (std::uint32_t cell = (hole + 1) & mask; index_[cell] != 0; cell = (cell + 1) & mask) {
      const std::uint32_t wanted = home(fds_[index_[cell] - 1].fd);
      const bool reaches_hole = ((cell - wanted) & mask) >= ((cell - hole) & mask);
      if (!reaches_hole) continue;
      index_[hole] = index_[cell];
      hole = cell;
    }
    index_[hole] = 0;
  }

  alignas(Vector) pollfd fds_[N] = {};
  std::uint64_t tokens_[N] = {};
  std::uint32_t index_[mask + 1] = {};  // the cells: 0 for a free one, else the entry's position + 1
  std::uint32_t count_ = 0;
  std::uint32_t start_ = 0;  // where the next answer begins, if not all fits
};

}  // namespace MOTE_NAMESPACE
}  // namespace mote

#endif  // MOTE_SELECTOR_POLL_SELECTOR_HPP
