// SPDX-License-Identifier: MIT
// Rooms: io/line_reader.hpp.
// LineReader, compared with a model, over streams whose bytes come in all kinds of portions.
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "support/operations.hpp"

using mote::ByteView;
using mote::Fd;
using mote::LineReader;
using mote::Result;
using mote::Stream;
using test::await;
using test::open_stream;
using test::run_until;
using test::Running;
using Lines = std::vector<std::string>;

namespace {

const std::string too_long = "<too long>", ended = "<ended>";

std::string told(const Result<ByteView>& line) {
  if (line) return std::string(reinterpret_cast<const char*>(line->data()), line->size());
  if (line.error() == EMSGSIZE) return too_long;
  if (line.error() == ENODATA) return ended;
  return "<errno " + std::to_string(line.error().code()) + ">";
}

// What a reader of N bytes is to tell of that text.
Lines model(const std::string& text, std::size_t n, char delimiter = '\n') {
  Lines lines;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t found = text.find(delimiter, at);
    const std::size_t end = found == std::string::npos ? text.size() : found;
    std::string line = text.substr(at, end - at);
    if (line.size() >= n) line = too_long;
    else if (delimiter == '\n' && !line.empty() && line.back() == '\r') line.pop_back();
    lines.push_back(line);
    at = end + 1;
  }
  lines.push_back(ended);
  return lines;
}

template <std::size_t N> struct Collector : mote::StateMachine {
  Collector(Stream& from, Lines& to, char delimiter) : stream(from), lines(to), reader(delimiter) {}
  Stream& stream;
  Lines& lines;
  LineReader<N> reader;
  Result<ByteView> line;
  mote::Step step() {
    MOTE_BEGIN();
    do {
      MOTE_AWAIT(line, reader.read_line(stream));
      lines.push_back(told(line));
    } while (line || line.error() == EMSGSIZE);
    MOTE_END();
  }
};

// What a reader of N bytes tells of the text when it comes in portions of that many bytes, one after the other.
template <class S, std::size_t N>
Lines read_lines(const std::string& text, char delimiter, const std::vector<std::size_t>& portions) {
  test::Loop<S, 4> loop;
  mote::TaskPool<Collector<N>, 1> pool;
  test::Pair pair = test::socket_pair();
  Stream stream = open_stream(loop, std::move(pair.a));
  Lines lines;
  REQUIRE(pool.spawn(loop, stream, lines, delimiter));
  std::size_t at = 0;
  for (std::size_t i = 0; at < text.size(); ++i) {
    const std::size_t size = std::min(portions[i % portions.size()], text.size() - at);
    REQUIRE(::write(pair.b.get(), text.data() + at, size) == static_cast<ssize_t>(size));
    at += size;
    REQUIRE(test::comes_to_rest(loop));
  }
  pair.b.close();
  CHECK(run_until(loop, [&] { return loop.stats().tasks == 0; }));
  return lines;
}

}  // namespace

ON_BOTH_SELECTORS("lines: one after the other, an empty one, and ENODATA at the end, again and again") {
  test::Loop<S> loop;
  test::Pair pair = test::socket_pair();
  Stream stream = open_stream(loop, std::move(pair.a));
  LineReader<16> reader;
  const auto next = [&] { return told(await(loop, [&] { return reader.read_line(stream); })); };
  test::send_text(pair.b.get(), "one\n\nthree\n");
  CHECK(next() == "one");
  CHECK(next() == "");
  CHECK(next() == "three");
  Running waiting(loop, [&] { return reader.read_line(stream); });
  test::send_text(pair.b.get(), "fo");
  CHECK(test::comes_to_rest(loop));
  CHECK_FALSE(waiting.done());
  test::send_text(pair.b.get(), "ur\nfi");
  CHECK(told(waiting.finish()) == "four");
  pair.b.close();
  CHECK(next() == "fi");  // the last line without delimiter
  CHECK(next() == ended);
  CHECK(next() == ended);
}

ON_BOTH_SELECTORS("lines: CRLF counts as one delimiter, whole or parted; a lone CR is part of the line") {
  const std::vector<std::size_t> bytewise{1}, at_once{1000};
  for (const auto& portions : {bytewise, at_once}) {
    CHECK(read_lines<S, 16>("a\r\n\r\nb\n\rc\r\nd\r\r\ne\rf\r\n", '\n', portions) ==
          Lines{"a", "", "b", "\rc", "d\r", "e\rf", ended});
    CHECK(read_lines<S, 16>("last\r", '\n', portions) == Lines{"last", ended});
  }
}

ON_BOTH_SELECTORS("lines: a custom delimiter is the only one, and takes no CR away") {
  for (const std::size_t portion : {1u, 3u, 1000u}) {
    CHECK(read_lines<S, 16>("a\nb;\r;c;;last", ';', {portion}) == Lines{"a\nb", "\r", "c", "", "last", ended});
    CHECK(read_lines<S, 16>(std::string("a\0b\n\0\0c", 7), '\0', {portion}) == Lines{"a", "b\n", "", "c", ended});
    CHECK(read_lines<S, 16>("a\xff"
                            "b\xff",
                            '\xff', {portion}) == Lines{"a", "b", ended});
  }
}

ON_BOTH_SELECTORS("lines: over-long lines are the error EMSGSIZE once, and nothing else is lost") {
  for (const std::size_t portion : {1u, 2u, 5u, 7u, 8u, 9u, 1000u}) {
    CAPTURE(portion);
    const std::string line7(7, 'a'), line8(8, 'b'), line100(100, 'c');
    CHECK(read_lines<S, 8>(line7 + "\n" + line8 + "\n" + line7 + "\n", '\n', {portion}) ==
          Lines{line7, too_long, line7, ended});
    CHECK(read_lines<S, 8>("x\n" + line100 + "\ny\n\n" + line100 + "\nz", '\n', {portion}) ==
          Lines{"x", too_long, "y", "", too_long, "z", ended});
    CHECK(read_lines<S, 8>(line100 + "\n" + line100 + "\n", '\n', {portion}) == Lines{too_long, too_long, ended});
    CHECK(read_lines<S, 8>("x\n" + line100, '\n', {portion}) == Lines{"x", too_long, ended});  // and no delimiter
    CHECK(read_lines<S, 8>(line8, '\n', {portion}) == Lines{too_long, ended});
    CHECK(read_lines<S, 8>(line7, '\n', {portion}) == Lines{line7, ended});
  }
}

ON_BOTH_SELECTORS("lines: an over-long line is told at once, not when its end has come") {
  test::Loop<S> loop;
  test::Pair pair = test::socket_pair();
  Stream stream = open_stream(loop, std::move(pair.a));
  LineReader<8> reader;
  test::send_text(pair.b.get(), "12345678");
  CHECK(told(await(loop, [&] { return reader.read_line(stream); })) == too_long);
  Running waiting(loop, [&] { return reader.read_line(stream); });
  test::send_text(pair.b.get(), "90123456789012345678");
  CHECK(test::comes_to_rest(loop));
  CHECK_FALSE(waiting.done());
  test::send_text(pair.b.get(), "\nnext\n");
  CHECK(told(waiting.finish()) == "next");
}

ON_BOTH_SELECTORS("lines: the smallest reader takes lines of one byte") {
  for (const std::size_t portion : {1u, 2u, 3u, 1000u}) {
    CHECK(read_lines<S, 2>("a\n\nbb\nc\ndddd\n\ne", '\n', {portion}) ==
          Lines{"a", "", too_long, "c", too_long, "", "e", ended});
  }
}

namespace {

template <class S, std::size_t N> void compare_with_model(std::mt19937& random, int rounds) {
  const auto below = [&](std::size_t n) { return std::size_t{random()} % n; };
  for (int round = 0; round < rounds; ++round) {
    const char delimiter = below(4) == 0 ? ';' : '\n';
    std::string text;
    for (std::size_t lines = below(12); lines > 0; --lines) {
      // Around the limit most of all, where the mistakes are.
      const std::size_t size = below(3) == 0 ? N - 2 + below(4) : below(2) == 0 ? below(N * 3) : below(4);
      for (std::size_t i = 0; i < size; ++i) text += "ab\r"[below(3)];
      if (below(4) == 0) text += '\r';
      if (lines > 1 || below(2) == 0) text += delimiter;
    }
    std::vector<std::size_t> portions;
    for (std::size_t i = 0; i < 7; ++i) portions.push_back(1 + below(below(2) == 0 ? 3 : 2 * N));
    CAPTURE(N);
    CAPTURE(round);
    CHECK(read_lines<S, N>(text, delimiter, portions) == model(text, N, delimiter));
  }
}

}  // namespace

ON_BOTH_SELECTORS("lines: agree with a model over random lines in random portions") {
  std::mt19937 random(20240229);
  compare_with_model<S, 2>(random, 150);
  compare_with_model<S, 3>(random, 150);
  compare_with_model<S, 8>(random, 150);
  compare_with_model<S, 64>(random, 100);
}

ON_BOTH_SELECTORS("lines: a read that is cancelled or times out loses nothing of what has come") {
  test::Loop<S> loop;
  test::Pair pair = test::socket_pair();
  Stream stream = open_stream(loop, std::move(pair.a));
  LineReader<16> reader;
  mote::TaskTimer timer;
  test::send_text(pair.b.get(), "first ");
  {
    Running reading(loop, [&] { return reader.read_line(stream); });
    CHECK(test::comes_to_rest(loop));
    reading.cancel();
    CHECK(told(reading.finish()) == "<errno " + std::to_string(ECANCELED) + ">");
  }
  const auto timed = [&] { return with_timeout(timer, std::chrono::milliseconds(1), reader.read_line(stream)); };
  CHECK(told(await(loop, timed)) == "<errno " + std::to_string(ETIMEDOUT) + ">");
  test::send_text(pair.b.get(), "half\n");
  CHECK(told(await(loop, [&] { return reader.read_line(stream); })) == "first half");
}

ON_BOTH_SELECTORS("lines: errors of the stream are told, after the lines that had come") {
  test::Loop<S> loop;
  test::Pair pair = test::tcp_pair();
  Stream stream = open_stream(loop, std::move(pair.a));
  LineReader<16> reader;
  const auto next = [&] { return told(await(loop, [&] { return reader.read_line(stream); })); };
  test::send_text(pair.b.get(), "one\ntwo\n");
  CHECK(next() == "one");
  const linger hard{1, 0};
  REQUIRE(::setsockopt(pair.b.get(), SOL_SOCKET, SO_LINGER, &hard, sizeof hard) == 0);
  pair.b.close();
  CHECK(next() == "two");
  CHECK(next() == "<errno " + std::to_string(ECONNRESET) + ">");
  stream.close();
  CHECK(next() == "<errno " + std::to_string(ECANCELED) + ">");
}

ON_BOTH_SELECTORS("lines: what is left of a connection is not put before a line of a new reactor in the same place") {
  std::optional<test::Loop<S>> loop;
  LineReader<16> reader;
  Stream stream;
  for (const char* const text : {"half", "fresh\n"}) {
    loop.emplace();
    test::Pair pair = test::socket_pair();
    stream = open_stream(*loop, std::move(pair.a));
    test::send_text(pair.b.get(), text);
    Running reading(*loop, [&] { return reader.read_line(stream); });
    CHECK(test::comes_to_rest(*loop));
    if (text[0] == 'f') CHECK(told(reading.finish()) == "fresh");
    stream.close();
  }
}

ON_BOTH_SELECTORS("lines: what is left of a connection is not put before the first line of the next one") {
  // What has come by the first one, what of that is read as lines, and what of it may still be read once it is closed.
  struct {
    const char* text;
    Lines before, after;
  } const cases[] = {
      {"half", {}, {}},
      {"one\nhalf", {"one"}, {}},
      {"one\ntwo\nhalf", {"one"}, {"two"}},
      {"one\ntwo\nthree\n", {"one"}, {"two", "three"}},
      {"one\nof more than 16 bytes", {"one", too_long}, {}},
  };
  for (const auto& of : cases) {
    for (const bool read_after_close : {false, true}) {
      for (const bool other_stream : {false, true}) {
        CAPTURE(of.text);
        CAPTURE(read_after_close);
        CAPTURE(other_stream);
        test::Loop<S> loop;
        test::Pair first = test::socket_pair(), second = test::socket_pair();
        Stream stream = open_stream(loop, std::move(first.a)), other;
        LineReader<16> reader;
        const auto next = [&](Stream& from) { return told(await(loop, [&] { return reader.read_line(from); })); };
        test::send_text(first.b.get(), of.text);
        for (const std::string& line : of.before) CHECK(next(stream) == line);
        {  // reads what is there, and waits for more
          Running reading(loop, [&] { return reader.read_line(stream); });
          CHECK(test::comes_to_rest(loop));
          if (reading.done()) CHECK_FALSE(of.after.empty());
          stream.close();
          if (of.after.empty()) CHECK(told(reading.finish()) == "<errno " + std::to_string(ECANCELED) + ">");
          else CHECK(told(reading.finish()) == of.after.front());
        }
        if (read_after_close) {
          for (std::size_t i = 1; i < of.after.size(); ++i) CHECK(next(stream) == of.after[i]);
          CHECK(next(stream) == "<errno " + std::to_string(ECANCELED) + ">");
        }
        Stream& from = other_stream ? other : stream;
        REQUIRE(from.open(loop, std::move(second.a)));
        test::send_text(second.b.get(), "fresh\nlast");
        CHECK(next(from) == "fresh");
        Stream moved = std::move(from);  // the connection stays the same
        second.b.close();
        CHECK(next(moved) == "last");
        CHECK(next(moved) == ended);
      }
    }
  }
}

TEST_CASE("lines: a reader of lines is all zero bits, so that it lies in .bss") {
  static const LineReader<32> reader{};
  const auto* const bytes = reinterpret_cast<const unsigned char*>(&reader);
  for (std::size_t i = 0; i < sizeof reader; ++i) CHECK(bytes[i] == 0);
}

namespace {

// Counts the lines of a stream, until the first error.
struct Counts : mote::StateMachine {
  mote::Stream& stream;
  int& lines;
  mote::LineReader<512> reader;
  mote::Result<mote::ByteView> line;
  Counts(mote::Stream& from, int& count) : stream(from), lines(count) {}
  mote::Step step() {
    MOTE_BEGIN();
    for (;;) {
      MOTE_AWAIT(line, reader.read_line(stream));
      if (!line) return mote::failed(line.error());
      ++lines;
    }
    MOTE_END();
  }
};

}  // namespace

ON_BOTH_SELECTORS("lines: those that have been read already are charged: others have their turn, and it is cancelled") {
  test::Loop<S> loop;
  test::Pair pair = test::socket_pair();
  mote::Stream stream = test::open_stream(loop, std::move(pair.a));
  test::send_text(pair.b.get(), std::string(400, '\n').c_str());
  int lines = 0;
  mote::TaskPool<Counts, 1> pool;
  mote::Result<mote::TaskHandle> handle = pool.spawn(loop, stream, lines);
  test::turn(loop);
  CHECK(lines > 0);
  CHECK(lines <= mote::limits::operations_per_step);
  const int before = lines;
  handle->cancel();
  test::turn(loop);
  CHECK(lines == before + 1);  // one that was there wins
  CHECK(handle->outcome().kind == mote::Outcome::Kind::cancelled);
}
