// SPDX-License-Identifier: MIT
// Copyright (c) 2026 The mote authors
// LineReader: a stream, line by line.
#ifndef MOTE_IO_LINE_READER_HPP
#define MOTE_IO_LINE_READER_HPP

#include <errno.h>   // errno and its names
#include <string.h>  // memory and strings

#include <cstddef>  // size_t, ptrdiff_t
#include <cstdint>  // integers of fixed width
#include <utility>  // move, forward, exchange

#include <mote/base/bytes.hpp>
#include <mote/base/config.hpp>
#include <mote/base/error.hpp>
#include <mote/base/poll.hpp>
#include <mote/base/result.hpp>
#include <mote/io/stream.hpp>
#include <mote/reactor/slot.hpp>
#include <mote/task/operation.hpp>
#include <mote/task/poll_context.hpp>

namespace mote {
inline namespace MOTE_NAMESPACE {

// Reads lines of at most N - 1 bytes and their delimiter. A longer one is the error EMSGSIZE, once; its rest is passed
// over, and nothing else is lost. A line costs O(its bytes).
//
// What has been read belongs to the connection that it came from. While the stream is closed the lines that are
// complete can still be taken; once it has been opened again, or another one is read from, what is left is forgotten.
// Size: N bytes, and 24 on a 32-bit board.
template <std::size_t N> class LineReader {
  static_assert(N >= 2, "room for one byte and the delimiter");
 public:
  constexpr LineReader() : LineReader('\n') {}
  explicit constexpr LineReader(char delimiter) : delimiter_(static_cast<unsigned char>(delimiter - '\n')) {}

  // The line without its delimiter (for '\n', nor a '\r' before it), valid until the next read. The last line may lack
  // the delimiter.
  // Errors, beside those of Stream::read():
  //   ENODATA    the stream has ended.
  //   EMSGSIZE   a line was too long. The next call returns the line after it.
  auto read_line(Stream& stream) {
    return detail::make_operation<ByteView>([this, &stream](PollContext context) -> Result<ByteView> {
      if (!context.is_abandoning()) follow(stream);
      // Without budget the read below is refused.
      const bool may_take = context.header().may_complete();
      for (;;) {
        const Result<ByteView> line = may_take ? take_line() : Error(EAGAIN);
        if (line || line.error() != EAGAIN) {
          static_cast<void>(context.consume_budget());  // lines that have been read already would cost nothing
          return line;
        }
        Poll<Result<std::size_t>> n = stream.read(ByteSpan(bytes_ + end_, N - end_)).poll(context.task());
        if (!n.ready()) return detail::suspended;
        if (!*n) return n->error();
        end_ += **n;
        if (**n == 0) return take_rest();
      }
    });
  }
 private:
  // Forgets what came from another connection than the stream's present one.
  void follow(const Stream& stream) {
    const detail::Slot* const slot = detail::StreamAccess::slot(stream);
    if (slot == nullptr || (slot == slot_ && slot->generation == generation_)) return;
    slot_ = slot;
    generation_ = slot->generation;
    begin_ = 0;
    searched_ = 0;
    end_ = 0;
    skipping_ = false;
  }
  // EAGAIN: no line is complete. Then there is room to read more.
  Result<ByteView> take_line() {
    const auto delimiter = static_cast<unsigned char>(delimiter_ + '\n');
    while (const void* const found = ::memchr(bytes_ + searched_, delimiter, end_ - searched_)) {
      const auto at = static_cast<std::size_t>(static_cast<const unsigned char*>(found) - bytes_);
      const ByteView line = cut(begin_, at);
      begin_ = at + 1;
      searched_ = at + 1;
      const bool was_skipping = std::exchange(skipping_, false);
      if (!was_skipping) return line;
    }
    const bool too_long = !skipping_ && begin_ == 0 && end_ == N;
    if (too_long) skipping_ = true;
    if (skipping_) begin_ = end_;
    move_to_front();
    return too_long ? Error(detail::Reason::line_too_long) : Error(EAGAIN);
  }
  void move_to_front() {
    if (begin_ != 0) ::memmove(bytes_, bytes_ + begin_, end_ - begin_);
    end_ -= begin_;
    begin_ = 0;
    searched_ = end_;
  }
  Result<ByteView> take_rest() {
    const ByteView rest = cut(0, end_);
    const bool none = skipping_ || end_ == 0;
    begin_ = 0;
    searched_ = 0;
    end_ = 0;
    skipping_ = false;
    return none ? Result<ByteView>(Error(detail::Reason::stream_ended)) : rest;
  }
  ByteView cut(std::size_t from, std::size_t to) const {
    const bool by_newline = delimiter_ == 0;
    if (by_newline && to > from && bytes_[to - 1] == '\r') --to;
    return {bytes_ + from, to - from};
  }

  const detail::Slot* slot_ = nullptr;  // of the connection that the bytes came from: only compared
  std::uint32_t generation_ = 0;
  std::size_t begin_ = 0;     // of the line that comes next
  std::size_t searched_ = 0;  // there is no delimiter between begin_ and this
  std::size_t end_ = 0;       // of what has been read
  bool skipping_ = false;     // the rest of a line that was too long
  unsigned char delimiter_;   // less '\n', so that a reader of lines is all zero bits
  unsigned char bytes_[N] = {};
};

}  // namespace MOTE_NAMESPACE
}  // namespace mote

#endif  // MOTE_IO_LINE_READER_HPP
