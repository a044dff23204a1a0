// SPDX-License-Identifier: MIT
// Copyright (c) 2026 The mote authors
// Stream: bytes in both directions.
#ifndef MOTE_IO_STREAM_HPP
#define MOTE_IO_STREAM_HPP

#include <errno.h>        // errno and its names
#include <netinet/in.h>   // sockaddr_in, sockaddr_in6
#include <netinet/tcp.h>  // TCP_NODELAY, keep-alive options
#include <sys/socket.h>   // sockets

#include <cstddef>  // size_t, ptrdiff_t
#include <utility>  // move, forward, exchange

#include <mote/base/assert.hpp>
#include <mote/base/bytes.hpp>
#include <mote/base/config.hpp>
#include <mote/base/error.hpp>
#include <mote/base/poll.hpp>
#include <mote/base/result.hpp>
#include <mote/io/endpoint.hpp>
#include <mote/io/source.hpp>
#include <mote/io/transfer.hpp>
#include <mote/reactor/reactor.hpp>
#include <mote/reactor/slot.hpp>
#include <mote/selector/interest.hpp>
#include <mote/system/fd.hpp>
#include <mote/system/system.hpp>
#include <mote/task/operation.hpp>
#include <mote/task/poll_context.hpp>
#include <mote/task/task.hpp>
#include <mote/task/task_header.hpp>

namespace mote {
inline namespace MOTE_NAMESPACE {
namespace detail {
struct StreamAccess;

// What write_all() and read_exactly() return for a temporary: an error that says what to write.
template <class View> struct ViewWithoutName {
  static_assert(sizeof(View) == 0,
                "write_all() and read_exactly() shrink the view that they are given, attempt by attempt, so it needs a "
                "name: a member `mote::ByteView reply;` (or `mote::ByteSpan wanted;`) that is assigned before");
  Poll<Result<void>> poll(Task&);
};
}  // namespace detail

// A stream of bytes: a socket, a pipe, a terminal. Writing to a socket that the peer has closed fails with EPIPE and
// never raises SIGPIPE; for pipes there is no such choice: ignore the signal, as daemons do. What is in the error queue
// (see MSG_ERRQUEUE in recv(2)) is left there, for whom it concerns. Whether a stream is edge-triggered is decided in
// DescriptorTable::wait_for().
//
// Errors of all operations that are awaited, beside their own:
//   EBUSY                      when it has to wait: another task waits in this direction. (What is there, or has room,
//                              is for whoever tries first.) Or the stream is watched.
//   ECANCELED                  the task was cancelled, or the stream has been closed, as at shutdown.
//   EBADF                      it was never opened, or its descriptor was closed by somebody else.
//   ECONNRESET                 the peer has ended the connection by force: close it.
//   ETIMEDOUT                  the peer has not answered for long: close it.
//   EHOSTUNREACH, ENETUNREACH  the network reports that there is no way to the peer: close it.
//   ENOTCONN                   it is not connected.
//   EIO                        the device has failed, or was removed: close it.
//   ENOMEM, ENOBUFS            the kernel is out of memory: try later, or close it.
//   ENOSPC                     the kernel's limit on registrations, when it has to wait.
//   EEXIST                     when it has to wait: another registration has the same number. See Reactor::add().
// Size on a 32-bit board: 16 bytes.
class Stream : public Source {
 public:
  // ---- operations ----

  // Reads some bytes, as they come: at least 1, or 0 at the end of the stream (a terminal's hang-up included).
  // Errors, beside those above:
  //   EINVAL   the buffer is empty.
  //   EISDIR   it is a directory.
  auto read(ByteSpan buffer) {
    // The buffer is captured as pointer and size, which is smaller code on ARM.
    return detail::make_operation<std::size_t>([this, data = buffer.data(), size = buffer.size()](PollContext context) {
      Slot* const slot = slot_;
      if (slot == nullptr || !context.consume_budget()) {
        return Result<std::size_t>(refuse(context.task(), Interest::read));
      }
      if (detail::expect_true((slot->read_state & Slot::not_usual) == 0)) {
        const ssize_t n = System::recv(slot->fd, data, size, MSG_DONTWAIT);
        if (n <= 0) return detail::transfer_result(read_slow_path(context.task(), data, size, n));
        // A short read has drained the socket. (slot_ is loaded again: to keep `slot` across the call costs two
        // instructions.)
        const bool is_short = detail::expect_true(static_cast<std::size_t>(n) < size);
        slot_->read_state = is_short ? Slot::drained : Slot::tried;
        return Result<std::size_t>(static_cast<std::size_t>(n));
      }
      if (slot->read_state != Slot::drained || !slot->reader.names(context.header())) {
        return detail::transfer_result(read_slow_path(context.task(), data, size, detail::not_tried));
      }
      // Its last wait is still armed: see DescriptorTable::wait_for().
      slot->reader.wait_again(detail::bits(Interest::read));
      return Result<std::size_t>(context.suspend("data"));
    });
  }
  // Fills all of the buffer, which shrinks as it is filled: a named object that outlives the await.
  // After an error the buffer is what is still missing.
  // Errors, beside those of read(), but for EINVAL:
  //   ENODATA   the stream ended before that.
  auto read_exactly(ByteSpan& buffer) {
    return make_operation<void>(Interest::read, "data", [this, &buffer]() -> Result<void> {
      while (!buffer.empty()) {
        if (!slot_->may_read()) return Error(EAGAIN);
        const Result<std::size_t> n = detail::try_receive(*slot_, buffer);
        if (!n) return n.error();
        if (*n == 0) return Error(detail::Reason::stream_ended);
        buffer.drop_front(*n);
      }
      return {};
    });
  }
  // Not for a temporary: it would begin anew at each attempt.
  template <class View = ByteSpan> detail::ViewWithoutName<View> read_exactly(View&& temporary);
  // Sends all bytes of the view, which shrinks as they are sent: a named object that outlives the await, as must the
  // bytes. After an error the view holds what was not sent.
  // Errors, beside those above:
  //   EPIPE    the peer does not read any more: close it.
  //   ENOSPC   the device, or the file's medium, is full.
  auto write_all(ByteView& bytes) {
    return detail::make_operation<void>([this, &bytes](PollContext context) -> Result<void> {
      Slot* const slot = slot_;
      if (slot == nullptr || !context.consume_budget()) return refuse(context.task(), Interest::write);
      ssize_t n = detail::not_tried;
      if (detail::expect_true(slot->write_state == Slot::tried)) {
        n = System::send(slot->fd, bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
        if (detail::expect_true(static_cast<std::size_t>(n) == bytes.size())) {
          bytes.drop_front(bytes.size());
          return {};
        }
      }
      const int error = write_slow_path(context.task(), bytes, n);
      return error == 0 ? Result<void>() : detail::ErrorAccess::error(error);
    });
  }
  template <class View = ByteView> detail::ViewWithoutName<View> write_all(View&& temporary);
  // Connects an empty stream to an endpoint, which outlives the await. After any error, a cancellation or a timeout
  // included, the stream is empty again, but for EISCONN and EBUSY. What a task has begun that has ended since is
  // dropped by the next connect(), which begins anew; but the coroutine that has begun it goes on with it when another
  // task polls it, whether the first one lives or not. A stream that is moved meanwhile is closed: both are empty.
  // Errors, the socket's real one:
  //   ECONNREFUSED               nobody listens there.
  //   ETIMEDOUT                  no answer within the kernel's time, about two minutes.
  //   EHOSTUNREACH, ENETUNREACH  the network reports that there is no way there.
  //   ENOENT                     there is no Unix socket of this path.
  //   EPROTOTYPE                 the Unix socket is one of datagrams.
  //   EACCES, EPERM              not allowed: the path's permissions, or a firewall.
  //   EAGAIN                     the backlog of a Unix socket is full: try later.
  //   EADDRNOTAVAIL              no local port is left.
  //   EISCONN                    the stream is not empty; it stays as it is.
  //   ENOTCONN                   it could not be connected, and another operation has been told why.
  //   EBUSY                      another task connects it, and is not disturbed. Or the stream is watched.
  //   ECANCELED                  the task was cancelled, or the stream has been closed: this task is told once.
  //   ENOBUFS                    the table is full: see Config::descriptors.
  //   EMFILE, ENFILE, ENOMEM     the system's limits: try later.
  //   ENOSPC                     the kernel's limit on registrations: try later.
  //   EAFNOSUPPORT               the kernel does not know this family; or the endpoint is none.
  auto connect(const Endpoint& endpoint) {
    // `begun` is kept from one attempt to the next in a coroutine, but not in MOTE_AWAIT.
    return detail::make_operation<void>([this, &endpoint, begun = Begun()](PollContext context) mutable {
      return attempt_connect(context, endpoint, begun);
    });
  }

  // ---- one attempt, for the callback style ----

  // Errors, beside those of read(), but for EBUSY and ECANCELED:
  //   EAGAIN   there is nothing to read now.
  //   EBADF    it is not open.
  Result<std::size_t> try_read(ByteSpan buffer) {
    if (slot_ == nullptr) return Error(detail::Reason::not_open);
    if (!slot_->is(Slot::is_stream)) return detail::try_receive(*slot_, buffer);
    const ssize_t n = System::recv(slot_->fd, buffer.data(), buffer.size(), MSG_DONTWAIT);
    if (detail::expect_true(n > 0)) return static_cast<std::size_t>(n);
    return detail::transfer_result(detail::receive(*slot_, buffer, n));
  }
  // Returns how many bytes it has taken, which may be fewer than there are.
  // Errors, beside those of write_all(), but for EBUSY and ECANCELED:
  //   EAGAIN   there is no room to write now.
  //   EBADF    it is not open.
  Result<std::size_t> try_write(ByteView bytes) {
    if (slot_ == nullptr) return Error(detail::Reason::not_open);
    if (!slot_->is(Slot::is_stream) || bytes.empty()) return detail::try_send(*slot_, bytes);
    const ssize_t n = System::send(slot_->fd, bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    if (detail::expect_true(n > 0)) return static_cast<std::size_t>(n);
    return detail::transfer_result(detail::send(*slot_, bytes, n));
  }

  // ---- settings ----

  // The peer reads the end of the stream after what was written.
  // Errors:
  //   ENOTCONN   it is not connected, or not any more.
  //   ENOTSOCK   it is a pipe or a terminal, which have no such thing.
  //   EBADF      it is not open.
  Result<void> shutdown_write() { return detail::result_of(System::shutdown(fd(), SHUT_WR)); }
  // TCP_NODELAY: what is written is sent at once. Errors: those of set_option().
  Result<void> set_no_delay(bool on) { return set_option(IPPROTO_TCP, TCP_NODELAY, on ? 1 : 0); }
  // For a stream whose short reads do not mean that nothing is left, since the kernel hands out records (kTLS, by
  // TCP_ULP): it is level-triggered from now on. To be called before the option is set.
  // Errors:
  //   EBADF   it is not open.
  Result<void> expect_records() {
    if (slot_ == nullptr) return Error(detail::Reason::not_open);
    disable_edges();
    return {};
  }
  // Probes after `idle` seconds of silence, every `interval` seconds; after `count` without answer operations return
  // ETIMEDOUT. Errors: those of set_option(); what was set before the one that failed stays.
  Result<void> set_keep_alive(int idle, int interval, int count) {
    Result<void> set = set_option(IPPROTO_TCP, TCP_KEEPIDLE, idle);
    if (set) set = set_option(IPPROTO_TCP, TCP_KEEPINTVL, interval);
    if (set) set = set_option(IPPROTO_TCP, TCP_KEEPCNT, count);
    if (set) set = set_option(SOL_SOCKET, SO_KEEPALIVE, 1);
    return set;
  }
 private:
  friend struct detail::StreamAccess;

  // The rest of read() and write_all(), where their usual case, which is inlined into the caller, does not apply.
  // `answer`: what the system call has returned already, or not_tried. They and refuse() take the task, not its
  // PollContext: an object that is passed by value to a function that is not inlined costs g++ 12 two instructions on
  // the way of every message.

  // Returns a size, or an Error, as it is stored, as a negative number.
  [[gnu::noinline]] ssize_t read_slow_path(Task& task, unsigned char* data, std::size_t size, ssize_t answer) {
    if (begin_attempt(task, Interest::read)) return -ECANCELED;
    const ssize_t n = slot_->may_read() ? detail::receive(*slot_, {data, size}, answer) : -EAGAIN;
    if (n != -EAGAIN) return n;
    return -detail::ErrorAccess::stored(wait_for(PollContext(task), Interest::read, "data"));
  }
  // Returns 0 when all is sent, or an Error as it is stored.
  [[gnu::noinline]] int write_slow_path(Task& task, ByteView& bytes, ssize_t answer) {
    if (begin_attempt(task, Interest::write)) return ECANCELED;
    while (!bytes.empty()) {
      const ssize_t n = slot_->may_write() ? detail::send(*slot_, bytes, answer) : -EAGAIN;
      if (n == -EAGAIN)
        return detail::ErrorAccess::stored(wait_for(PollContext(task), Interest::write, "room to write"));
      if (n < 0) return static_cast<int>(-n);
      bytes.drop_front(static_cast<std::size_t>(n));
      answer = detail::not_tried;
    }
    return 0;
  }

  // ---- connecting ----
  //
  // Who connects is recorded: in the slot, by the task's serial number; and in a coroutine's frame by `begun`, since
  // another task may poll the coroutine later.

  // The connection that a coroutine has begun. The slot is only compared: it tells two reactors apart.
  struct Begun {
    const Slot* slot = nullptr;
    std::uint32_t generation = 0;
  };

  Result<void> attempt_connect(PollContext context, const Endpoint& endpoint, Begun& begun) {
    if (context.is_handing_over()) return hand_over_connection(context, begun);
    if (take_interruption(context, begun)) return Error(ECANCELED);
    const bool is_pending = slot_ != nullptr;
    if (is_pending && !slot_->is(Slot::connecting)) return context.fail(Error(EISCONN));
    const bool is_own = is_pending && (is_registered_as(begun) || is_connected_by(context));
    Error refusal;
    if (!context.proceed(refusal)) {
      if (is_own && refusal == ECANCELED) drop_connection(context, begun);
      else if (is_own) claim_connection(context.header());
      return refusal;
    }
    if (is_pending && !is_own) {
      if (is_in_use_by_others()) return Error(detail::Reason::awaited_by_another_task);
      drop_connection(context, begun);
    }
    if (is_own) slot_->write_state |= Slot::tried;
    Result<void> result = is_own ? ask_for_connect_error() : begin_connect(context, endpoint);
    if (result && !slot_->may_write()) result = wait_to_be_connected(context, begun);
    if (result) {
      slot_->clear(Slot::connecting);
    } else if (result.error() != detail::suspended && result.error() != EBUSY) {
      drop_connection(context, begun);
    }
    return result;
  }
  // Whether what this task, or this coroutine, has begun was closed since it was told last.
  bool take_interruption(PollContext context, Begun& begun) {
    const bool is_task = SourceBase::take_interruption(context.task(), Interest::write);
    const bool is_coroutine = begun.slot != nullptr && !is_registered_as(begun);
    if (is_coroutine) begun = Begun();
    return is_task || is_coroutine;
  }
  bool is_registered_as(Begun begun) const {
    return slot_ != nullptr && slot_ == begun.slot && slot_->generation == begun.generation;
  }
  bool is_connected_by(PollContext context) const { return slot_->next == context.header().serial(); }
  // Whether the task that connects lives, or another operation waits: while one of these needs it, it is not dropped.
  bool is_in_use_by_others() const {
    const detail::TaskHeader* const task = slot_->writer.task();
    return slot_->handler || slot_->writer.is_waiting() || (task != nullptr && task->serial() == slot_->next);
  }
  Error wait_to_be_connected(PollContext context, Begun& begun) {
    const Error answer = wait_for(context, Interest::write, "a connection");
    if (answer != detail::suspended) return answer;
    slot_->next = context.header().serial();
    begun = {slot_, slot_->generation};
    return answer;
  }
  // It is that task's, which has no budget to look at it before its next turn: nobody drops it until then.
  void claim_connection(detail::TaskHeader& task) {
    slot_->next = task.serial();
    if (!slot_->writer.has_task()) slot_->writer.wait(task, 0);
  }
  // The coroutine that connects goes on in another task: what is in progress, or has been closed, is that one's.
  [[gnu::noinline]] Error hand_over_connection(PollContext context, Begun begun) {
    static_cast<void>(SourceBase::take_interruption(context.task(), Interest::write));
    const bool is_own = is_registered_as(begun) && slot_->is(Slot::connecting) && is_connected_by(context);
    if (is_own) slot_->writer.leave(context.header());
    return Error(ECANCELED);
  }
  // The stream is empty again. Of those who connect nobody is told.
  void drop_connection(PollContext context, Begun& begun) {
    begun = Begun();
    if (slot_ == nullptr) return;
    slot_->clear(Slot::connecting);
    slot_->writer.leave(context.header());
    close();
  }
  Result<void> begin_connect(PollContext context, const Endpoint& endpoint) {
    Fd fd(System::socket(static_cast<int>(endpoint.family()), SOCK_STREAM));
    if (!fd) return detail::last_error();
    unsigned flags = Slot::is_socket | Slot::is_stream | Slot::connecting;
    if (endpoint.family() != Family::unix_domain) flags |= Slot::is_tcp;
    detail::Loop& loop = detail::ReactorAccess::loop(context.task().reactor());
    const Result<void> opened = register_as(loop, std::move(fd), flags);
    if (!opened) return opened;
    MOTE_ASSERT(slot_ != nullptr &&
                "register_as() has succeeded without a slot: a mistake of mote's, please report it");
    if (System::connect(slot_->fd, endpoint.address(), endpoint.size()) == 0) return {};
    slot_->write_state |= Slot::must_wait;
    const int error = System::error();
    const bool in_progress = error == EINPROGRESS || error == EINTR;  // after EINTR the kernel connects all the same
    return in_progress ? Result<void>() : Error(error);
  }
  // When the socket has become writable, the connection is there, or has failed.
  Result<void> ask_for_connect_error() {
    if (!slot_->may_write()) return {};
    int error = 0;
    socklen_t size = sizeof error;
    if (System::getsockopt(slot_->fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0) return detail::last_error();
    if (error != 0) return Error(error);
    // The kernel tells an error once. If something else has read it, the socket is not connected all the same.
    const bool has_failed = any(slot_->last() & (Readiness::error | detail::hung_up));
    return has_failed && !peer_endpoint() ? Result<void>(Error(ENOTCONN)) : Result<void>();
  }
};

namespace detail {
// Names what a stream has open: for the library.
struct StreamAccess {
  static const Slot* slot(const Stream& stream) { return stream.slot_; }  // null: it is not open
};
}  // namespace detail

}  // namespace MOTE_NAMESPACE
}  // namespace mote

#endif  // MOTE_IO_STREAM_HPP
