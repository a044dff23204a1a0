// SPDX-License-Identifier: MIT
// Copyright (c) 2026 The mote authors
// EpollSelector: a Selector that is made of epoll(7).
#ifndef MOTE_SELECTOR_EPOLL_SELECTOR_HPP
#define MOTE_SELECTOR_EPOLL_SELECTOR_HPP

#include <errno.h>      // errno and its names
#include <limits.h>     // INT_MAX
#include <string.h>     // memory and strings
#include <sys/epoll.h>  // epoll

#include <cstddef>  // size_t, ptrdiff_t
#include <cstdint>  // integers of fixed width

#include <mote/base/config.hpp>
#include <mote/base/error.hpp>
#include <mote/base/result.hpp>
#include <mote/selector/interest.hpp>
#include <mote/selector/milliseconds.hpp>
#include <mote/selector/selector.hpp>
#include <mote/selector/selector_base.hpp>
#include <mote/system/clock.hpp>
#include <mote/system/fd.hpp>
#include <mote/system/system.hpp>

namespace mote {
inline namespace MOTE_NAMESPACE {

// N descriptors at most; its size does not depend on N. All operations are O(1), a wait is O(ready descriptors).
// Size on a 32-bit board: 16 bytes.
template <std::size_t N> class EpollSelector : public SelectorBase<EpollSelector<N>> {
 public:
  static constexpr const char* name = "epoll";
  static constexpr bool reports_edges = true;

  // Does nothing to one that is open. close() and the destructor close its descriptor.
  // Errors:
  //   EMFILE           the process has too many descriptors open: close some and try again.
  //   ENFILE, ENOMEM   the system has, or the kernel has no memory: try again later.
  Result<void> open() {
    const Result<void> made = set_ ? Result<void>() : on_rebuild();
    if (made) this->attach();
    return made;
  }
  void close() {
    set_.close();
    this->detach();
  }

  // What follows is called by Selector, whose comments name the errors.

  Result<void> on_add(int fd, Interest interest, std::uint64_t token) {
    if (control(EPOLL_CTL_ADD, fd, interest, token) != 0) return detail::last_error();
    if (count_ >= N) {
      control(EPOLL_CTL_DEL, fd, interest, token);  // added first, so that EEXIST and EBADF come before ENOBUFS
      return Error(detail::Reason::selector_full);
    }
    ++count_;
    return {};
  }
  Result<void> on_modify(int fd, Interest interest, std::uint64_t token) {
    return detail::result_of(control(EPOLL_CTL_MOD, fd, interest, token));
  }
  Result<void> on_remove(int fd) {
    if (control(EPOLL_CTL_DEL, fd, Interest::none, 0) != 0) return detail::last_error();
    on_forget(fd);
    return {};
  }
  void on_forget(int) {
    if (count_ != 0) --count_;
  }

  Result<std::size_t> on_wait(Ready* ready, std::size_t capacity, Duration timeout) {
    const int most = capacity > most_events ? most_events : static_cast<int>(capacity);
    auto* const events = reinterpret_cast<epoll_event*>(ready);  // written by the kernel alone
    const bool timed = timeout != unlimited && timeout > Duration::zero();
    const int n = timed ? wait_timed(events, most, timeout)
                        : System::epoll_wait(set_.get(), events, most, timeout == unlimited ? -1 : 0);
    // EINTR; EBADF: a rebuild has failed. EINVAL: `most` is 0.
    return n >= 0 ? Result<std::size_t>(static_cast<std::size_t>(n)) : detail::last_error();
  }

  Result<void> on_rebuild() {
    int fresh = System::epoll_create();
    if (fresh < 0 && set_) {
      set_.close();  // after EMFILE and ENFILE, this makes room
      fresh = System::epoll_create();
    }
    if (fresh < 0) return detail::last_error();
    set_ = Fd(fresh);
    count_ = 0;
    return {};
  }
  int on_descriptor() const { return set_.get(); }
 private:
  // Of one wait: more the kernel refuses with EINVAL. It is beyond 134 million, and no process has so many descriptors.
  static constexpr int most_events = static_cast<int>(INT_MAX / sizeof(epoll_event));
  static_assert(EPOLLIN == 0x01 && EPOLLPRI == 0x02 && EPOLLOUT == 0x04 && EPOLLERR == 0x08 && EPOLLHUP == 0x10);
  static_assert(EPOLLRDHUP == 0x2000, "Interest and Readiness have the kernel's values");
  static_assert(sizeof(Ready) == sizeof(epoll_event) && offsetof(Ready, token) == offsetof(epoll_event, data),
                "the kernel writes its events into entries of Ready");

  int control(int what, int fd, Interest interest, std::uint64_t token) {
    epoll_event event;
    ::memset(&event, 0, sizeof event);  // it has padding on ARM
    const unsigned asked = detail::bits(interest);
    const unsigned read_closed = (asked & EPOLLIN) << 13;  // EPOLLRDHUP with EPOLLIN; shifted, it needs no branch
    event.events = (asked & unsigned{EPOLLIN | EPOLLPRI | EPOLLOUT}) | read_closed;
    if (any(interest & detail::edge_triggered)) event.events |= unsigned{EPOLLET} | unsigned{EPOLLPRI};
    event.data.u64 = token;
    return System::epoll_ctl(set_.get(), what, fd, &event);
  }

  // Waits with a timeout in nanoseconds where the kernel knows that call, which is found out once: before Linux 5.11 it
  // answers ENOSYS, and in sandboxes that do not know it EPERM.
  [[gnu::noinline]] int wait_timed(epoll_event* events, int most, Duration timeout) {
    if (!lacks_pwait2_) {
      const int n = System::epoll_pwait2(set_.get(), events, most, timeout.count());
      if (n >= 0 || !detail::is_one_of(System::error(), ENOSYS, EPERM)) return n;
      lacks_pwait2_ = true;
    }
    return System::epoll_wait(set_.get(), events, most, detail::whole_milliseconds(timeout));
  }

  Fd set_;
  std::uint32_t count_ = 0;
  bool lacks_pwait2_ = false;
};

}  // namespace MOTE_NAMESPACE
}  // namespace mote

#endif  // MOTE_SELECTOR_EPOLL_SELECTOR_HPP
