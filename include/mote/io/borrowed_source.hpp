// SPDX-License-Identifier: MIT
// Copyright (c) 2026 The mote authors
// BorrowedSource: the readiness of a descriptor that belongs to somebody else, for tasks.
#ifndef MOTE_IO_BORROWED_SOURCE_HPP
#define MOTE_IO_BORROWED_SOURCE_HPP

#include <errno.h>  // errno and its names

#include <mote/base/config.hpp>
#include <mote/base/error.hpp>
#include <mote/base/result.hpp>
#include <mote/io/source.hpp>
#include <mote/reactor/reactor.hpp>
#include <mote/reactor/slot.hpp>
#include <mote/system/fd.hpp>

namespace mote {
inline namespace MOTE_NAMESPACE {

// The readiness of a descriptor that a library owns (a database's socket, an MQTT client's), for a task to await. It
// never closes the descriptor, never reads from it, and leaves O_NONBLOCK as it is. For callbacks, or a library with
// many descriptors, see ForeignDescriptors.
//
// close() it before the library closes the descriptor. Where the library tells only afterwards, close() it then: nobody
// is told by the kernel that a descriptor was closed (epoll(7) says nothing, poll(2) reports it, and ready() then gives
// EBADF), so until close() a task may wait in vain; it gets ECANCELED. Until then nobody else can register the number.
//
// It can be moved, and becomes empty if the reactor is destroyed first; tasks that wait for it then get ECANCELED. It
// must not be destroyed while another task's operation on it is pending: close() it, and let the task run.
// Size on a 32-bit board: 16 bytes.
class BorrowedSource : Source {
 public:
  // Registers a descriptor, which stays its owner's. No system call but the questions what it is.
  // Errors:
  //   EBUSY    it is open already: close() it first.
  //   EBADF    fd is not an open descriptor.
  //   EEXIST   the number is borrowed already, or registered with Reactor::add().
  //   ENOBUFS  the table is full: see Config::descriptors.
  //   ENXIO    the reactor is not open.
  Result<void> open(Reactor& reactor, int fd) {
    if (slot_ != nullptr) return Error(detail::Reason::already_open);
    unsigned flags = 0;
    detail::Loop* const former = loop_;
    if (const Result<void> known = find_kind(fd, flags); !known) return known;
    const Result<void> registered = register_number(detail::ReactorAccess::loop(reactor), fd, flags);
    if (!registered) return registered;
    const Result<void> borrowed = loop_->borrow(*slot_);
    if (borrowed) return {};
    SourceBase::release().release();
    loop_ = former;  // null: it has never been open, which ready() then says
    return borrowed;
  }
  // Ends the registration, and leaves the descriptor open. A task that waits gets ECANCELED, once, also where it is
  // opened again before the task is stepped. Has no effect on one that is not open. Wakes all tasks that wait for a
  // free slot of the table: O(waiting tasks).
  void close() { Source::close(); }

  using Source::fd;       // -1: it is not open
  using Source::is_open;  // not whether its owner has closed the descriptor
  using Source::reactor;
  // As Source::ready(), with its errors. EEXIST also where a Source of this reactor waits for the same number.
  using Source::ready;
};

}  // namespace MOTE_NAMESPACE
}  // namespace mote

#endif  // MOTE_IO_BORROWED_SOURCE_HPP
