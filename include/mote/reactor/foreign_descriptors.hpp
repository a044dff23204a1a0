// SPDX-License-Identifier: MIT
// Copyright (c) 2026 The mote authors
// ForeignDescriptors: the descriptors of a library that owns them, by number.
#ifndef MOTE_REACTOR_FOREIGN_DESCRIPTORS_HPP
#define MOTE_REACTOR_FOREIGN_DESCRIPTORS_HPP

#include <errno.h>  // errno and its names

#include <cstddef>  // size_t, ptrdiff_t
#include <cstdint>  // integers of fixed width

#include <mote/base/assert.hpp>
#include <mote/base/config.hpp>
#include <mote/base/delegate.hpp>
#include <mote/base/error.hpp>
#include <mote/base/result.hpp>
#include <mote/reactor/loop.hpp>
#include <mote/reactor/reactor.hpp>
#include <mote/reactor/slot.hpp>
#include <mote/selector/interest.hpp>

namespace mote {
inline namespace MOTE_NAMESPACE {

// What tables of all sizes have in common. The entries lie in the derived class.
class ForeignDescriptorsBase {
 public:
  // Called with a descriptor and what is ready of it.
  using Callback = Delegate<void(int fd, Readiness readiness)>;

  // What the library wants of a descriptor: from now on the callback is called while that is ready, as of
  // Reactor::add(), which says what is told of hang-ups and errors. Interest::none ends that, and is no error where the
  // descriptor is not in the table. After another error all is as before.
  //
  // The kernel is told in any case, since the library may have closed the descriptor and opened another one of the same
  // number. A library that tells the same again and again is compared with interest() first.
  // Errors:
  //   ENXIO    open() has not been called, or the reactor has gone.
  //   EBADF    fd is not open. If it was in the table, it is closed by now: forget() it.
  //   EEXIST   the number is registered in another place, or tasks wait for it.
  //   ENOBUFS  this table is full, or the reactor's: see Config::descriptors.
  //   EINVAL, ELOOP, ENOMEM, ENOSPC, EMFILE, ENFILE   as of Reactor::add().
  // O(N).
  Result<void> watch(int fd, Interest interest) {
    if (loop_.loop == nullptr) return Error(detail::Reason::table_not_open);
    Entry* const entry = find(fd);
    if (!any(interest)) {
      if (entry != nullptr) remove(*entry);
      return {};
    }
    return entry != nullptr ? change(*entry, interest) : add(fd, interest);
  }
  // For a descriptor that the library has closed before it told: ends its registration without a system call. No effect
  // where it is not in the table. O(N).
  void forget(int fd) {
    Entry* const entry = find(fd);
    if (entry == nullptr) return;
    if (loop_.loop != nullptr) static_cast<void>(reactor().forget(entry->registration));
    entry->registration = {};
  }
  // Ends all registrations; open() makes it usable again. No effect where it is not open. O(N).
  void close() {
    for (std::uint32_t i = 0; i < capacity_; ++i) {
      if (entries_[i].registration) remove(entries_[i]);
    }
    loop_.unlink();
    loop_.loop = nullptr;
  }
  bool is_open() const { return loop_.loop != nullptr; }
  // What is watched of a descriptor; none: it is not in the table. O(N).
  Interest interest(int fd) const {
    const Entry* const entry = find(fd);
    return entry != nullptr ? entry->interest : Interest::none;
  }
 protected:
  struct Entry {
    void on_ready(Readiness readiness) {
      const Callback callback = table->callback_;  // it may end this registration, or destroy the table
      callback(fd, readiness);
    }

    ForeignDescriptorsBase* table = nullptr;
    Registration registration;  // empty: the entry is free
    int fd = 0;
    Interest interest = Interest::none;
  };

  constexpr ForeignDescriptorsBase() = default;
  ~ForeignDescriptorsBase() = default;  // the derived class, which has the entries, closes it
  Result<void> open(Reactor& reactor, Callback callback, Entry* entries, std::uint32_t capacity) {
    MOTE_ASSERT(callback && "a table of foreign descriptors needs a callback");
    if (is_open()) return Error(detail::Reason::already_open);
    if (!reactor.is_open()) return Error(detail::Reason::reactor_not_open);
    for (std::uint32_t i = 0; i < capacity; ++i) entries[i] = {};  // of a reactor that has gone
    entries_ = entries;
    capacity_ = capacity;
    callback_ = callback;
    detail::ReactorAccess::loop(reactor).add_reference(loop_);
    return {};
  }
 private:
  Reactor& reactor() const { return detail::ReactorAccess::reactor(*loop_.loop); }

  Entry* find(int fd) const {
    for (std::uint32_t i = 0; i < capacity_; ++i) {
      if (entries_[i].registration && entries_[i].fd == fd) return &entries_[i];
    }
    return nullptr;
  }
  Entry* find_free() const {
    for (std::uint32_t i = 0; i < capacity_; ++i) {
      if (!entries_[i].registration) return &entries_[i];
    }
    return nullptr;
  }
  Result<void> add(int fd, Interest interest) {
    Entry* const entry = find_free();
    if (entry == nullptr) return Error(detail::Reason::foreign_table_full);
    const Result<Registration> added = reactor().add(fd, interest, Handler::of<&Entry::on_ready>(*entry));
    if (!added) return added.error();
    *entry = {this, *added, fd, interest};
    return {};
  }
  Result<void> change(Entry& entry, Interest interest) {
    const Result<void> changed = reactor().modify(entry.registration, interest);
    if (changed) entry.interest = interest;
    return changed;
  }
  void remove(Entry& entry) {
    if (loop_.loop != nullptr) static_cast<void>(reactor().remove(entry.registration));
    entry.registration = {};
  }

  detail::LoopReference loop_;
  Callback callback_;
  Entry* entries_ = nullptr;
  std::uint32_t capacity_ = 0;
};

// The descriptors of a library that opens and closes them itself (libcurl, c-ares, hiredis, libmosquitto): a table from
// a descriptor's number to its registration. The library's hook calls watch() with what it wants; the callback hands
// what is ready back to it. How this goes with four libraries is in docs/foreign-libraries.md.
//
// Before a library closes a descriptor it says so, and the hook calls watch(fd, Interest::none). Of one that tells
// only afterwards the hook calls forget(fd). Of one that does not tell at all, but opens another one of the same number
// and asks for that, watch() sees to it. Until then the number is taken: whoever else registers it gets EEXIST.
//
// In the callback all calls are allowed, for this descriptor and for others, and so is destroying the table: after
// watch(fd, none) and forget() no event of that registration is delivered any more, even if it has been received. It
// must not move, and may outlive the reactor. N descriptors at a time.
// Size: 20 * N, and 28 bytes on a 32-bit board.
template <std::size_t N> class ForeignDescriptors : public ForeignDescriptorsBase {
  static_assert(N >= 1 && N < (1u << 24), "between 1 and 16,777,215 descriptors");
 public:
  constexpr ForeignDescriptors() = default;
  ~ForeignDescriptors() { close(); }

  // Errors:
  //   EBUSY  it is open already: close() it first.
  //   ENXIO  the reactor is not open.
  Result<void> open(Reactor& reactor, Callback callback) {
    return ForeignDescriptorsBase::open(reactor, callback, storage_, N);
  }
 private:
  Entry storage_[N];
};

}  // namespace MOTE_NAMESPACE
}  // namespace mote

#endif  // MOTE_REACTOR_FOREIGN_DESCRIPTORS_HPP
