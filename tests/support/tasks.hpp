// SPDX-License-Identifier: MIT
// Small tasks that several files of tests spawn.
#ifndef MOTE_TESTS_TASKS_HPP
#define MOTE_TESTS_TASKS_HPP

#include "operations.hpp"

namespace test {

// Counts how often it has been destroyed, its moved-from shells left out.
class Witness {
 public:
  explicit Witness(int& destroyed) : destroyed_(&destroyed) {}
  Witness(Witness&& other) noexcept : destroyed_(other.destroyed_) { other.destroyed_ = nullptr; }
  Witness& operator=(Witness&&) = delete;
  ~Witness() {
    if (destroyed_ != nullptr) ++*destroyed_;
  }
 private:
  int* destroyed_;
};

// Reads once from a stream of its own, and ends with that result.
struct Reader : mote::StateMachine {
  mote::Stream stream;
  Witness witness;
  mote::Result<std::size_t>& got;
  char bytes[16];

  mote::Step step() {
    MOTE_BEGIN();
    MOTE_AWAIT(got, stream.read(bytes));
    if (!got) return mote::failed(got.error());
    MOTE_END();
  }
};

// Reads from a stream, waits for an event, and reads again.
struct ReadsTwice : mote::StateMachine {
  mote::Stream& stream;
  mote::Event& go_on;
  mote::Result<std::size_t>& first;
  mote::Result<std::size_t>& second;
  mote::Result<void> waited;
  char bytes[8];
  ReadsTwice(mote::Stream& s, mote::Event& e, mote::Result<std::size_t>& one, mote::Result<std::size_t>& two)
      : stream(s), go_on(e), first(one), second(two) {}
  mote::Step step() {
    MOTE_BEGIN();
    MOTE_AWAIT(first, stream.read(bytes));
    MOTE_AWAIT(waited, go_on.wait());
    MOTE_AWAIT(second, stream.read(bytes));
    MOTE_END();
  }
};

// Waits for another task's end, and keeps what it was told.
struct Joiner : mote::StateMachine {
  mote::TaskHandle& handle;
  mote::Result<mote::Outcome>& told;

  mote::Step step() {
    MOTE_BEGIN();
    MOTE_AWAIT(told, handle.join());
    if (!told) return mote::failed(told.error());
    MOTE_END();
  }
};

// Ends after so many turns, in the way that it is told to.
struct Walker : mote::StateMachine {
  int turns;
  mote::Step end;

  mote::Step step() {
    MOTE_BEGIN();
    while (turns-- > 0) MOTE_YIELD();
    return end;
    MOTE_END();
  }
};

}  // namespace test

#endif  // MOTE_TESTS_TASKS_HPP
