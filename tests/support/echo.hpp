// SPDX-License-Identifier: MIT
// A task that echoes one stream until its end: the server side in many tests.
#ifndef MOTE_TESTS_ECHO_HPP
#define MOTE_TESTS_ECHO_HPP

#include <mote.hpp>

namespace test {

// S: a Stream that it owns, or a reference to one.
template <class S = mote::Stream, std::size_t Size = 64> struct BasicEcho : mote::StateMachine {
  S stream;
  char bytes[Size];
  mote::ByteView reply;
  mote::Result<std::size_t> got;
  mote::Result<void> sent;
  explicit BasicEcho(S&& s) : stream(static_cast<S&&>(s)) {}
  mote::Step step() {
    MOTE_BEGIN();
    for (;;) {
      MOTE_AWAIT(got, stream.read(bytes));
      if (!got) return mote::failed(got.error());
      if (*got == 0) return mote::done();
      reply = {bytes, *got};
      MOTE_AWAIT(sent, stream.write_all(reply));
      if (!sent) return mote::failed(sent.error());
    }
    MOTE_END();
  }
};
using Echo = BasicEcho<>;

}  // namespace test

#endif  // MOTE_TESTS_ECHO_HPP
