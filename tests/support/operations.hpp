// SPDX-License-Identifier: MIT
// Awaits single operations, each by a task of its own, for tests whose body is not a task.
#ifndef MOTE_TESTS_OPERATIONS_HPP
#define MOTE_TESTS_OPERATIONS_HPP

#include <memory>
#include <string>

#include "harness.hpp"

namespace test {

// A task that awaits the operation that `make` gives, and keeps its result. Declare it after what it works on.
template <class Make> class Running {
 public:
  using Value = typename decltype(std::declval<Make&>()().poll(std::declval<mote::Task&>()))::value_type;

  Running(mote::Reactor& reactor, Make make) : make_(make), reactor_(reactor) {
    mote::Result<mote::TaskHandle> spawned = pool_.spawn(reactor, *this);
    REQUIRE(spawned);
    handle_ = std::move(*spawned);
  }
  bool done() const { return completions != 0; }
  void cancel() { handle_.cancel(); }
  mote::Task& task() { return *handle_.get(); }
  // Runs turns until it has completed; the result holds EAGAIN if it does not.
  Value& finish() {
    CHECK(run_until(reactor_, [this] { return done(); }));
    return result;
  }

  Value result;
  int completions = 0;
  int steps = 0;
 private:
  struct Awaiter {
    Running& self;
    mote::Step step(mote::Task& task) {
      ++self.steps;
      auto poll = self.make_().poll(task);
      if (!poll.ready()) return mote::pending;
      self.result = std::move(*poll);
      ++self.completions;
      return mote::done();
    }
  };
  Make make_;
  mote::Reactor& reactor_;
  mote::TaskPool<Awaiter, 1> pool_;
  mote::TaskHandle handle_;
};

// Such a task that can be destroyed at any time.
template <class Make> std::unique_ptr<Running<Make>> start(mote::Reactor& reactor, Make make) {
  return std::make_unique<Running<Make>>(reactor, make);
}

// The same, and it has had its first step.
template <class Make> std::unique_ptr<Running<Make>> waiting(mote::Reactor& reactor, Make make) {
  auto running = start(reactor, make);
  turn(reactor);
  CHECK_FALSE(running->done());
  return running;
}

// Awaits one operation: its result, after as many turns as it takes.
template <class Make> auto await(mote::Reactor& reactor, Make make) {
  Running<Make> running(reactor, make);
  return std::move(running.finish());
}

inline mote::Stream open_stream(mote::Reactor& reactor, mote::Fd&& fd) {
  mote::Stream stream;
  REQUIRE(stream.open(reactor, std::move(fd)));
  return stream;
}

// What read() of a stream gives, as text: what has come, "" at its end, "errno N" if it fails.
inline std::string read_some(mote::Reactor& reactor, mote::Stream& stream) {
  char bytes[4096];
  const mote::Result<std::size_t> n = await(reactor, [&] { return stream.read(bytes); });
  return n ? std::string(bytes, *n) : "errno " + std::to_string(n.error().code());
}

// Reads all that a descriptor has now, without blocking.
inline std::string take_all(int fd) {
  std::string taken;
  char bytes[4096];
  for (;;) {
    pollfd entry{fd, POLLIN, 0};
    if (::poll(&entry, 1, 0) != 1 || (entry.revents & POLLIN) == 0) return taken;
    const ssize_t n = ::read(fd, bytes, sizeof bytes);
    if (n <= 0) return taken;
    taken.append(bytes, static_cast<std::size_t>(n));
  }
}

// Whether a descriptor that has nothing more to be read is at its end, as far as read() tells.
inline bool at_end(int fd) {
  pollfd entry{fd, POLLIN, 0};
  char byte;
  return ::poll(&entry, 1, 5000) == 1 && ::read(fd, &byte, 1) == 0;
}

// How many turns a loop takes within that time: few if it rests, thousands if it spins.
inline std::uint64_t turns_within(mote::Reactor& reactor, mote::Duration duration) {
  const std::uint64_t before = reactor.stats().turns;
  REQUIRE(reactor.run_for(duration));
  return reactor.stats().turns - before;
}

// Turns until nothing is ready any more. A loop that spins does not get there.
inline bool comes_to_rest(mote::Reactor& reactor) {
  for (int i = 0; i < 100; ++i) {
    const mote::Result<std::uint32_t> done = reactor.run_once(mote::Duration::zero());
    if (!done) return false;
    if (*done == 0) return true;
  }
  return false;
}

}  // namespace test

#endif  // MOTE_TESTS_OPERATIONS_HPP
