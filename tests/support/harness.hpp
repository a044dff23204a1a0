// SPDX-License-Identifier: MIT
// What every test file uses: doctest, mote, and the means to run one test on both selectors with real descriptors.
#ifndef MOTE_TESTS_HARNESS_HPP
#define MOTE_TESTS_HARNESS_HPP

#include <doctest/doctest.h>

#include <array>
#include <mote.hpp>
#include <utility>

namespace test {

using namespace std::chrono_literals;

// The two configurations that every test runs on.
template <std::size_t Descriptors> struct EpollConfig : mote::Config {
  static constexpr std::size_t descriptors = Descriptors;
  template <std::size_t N> using Selector = mote::EpollSelector<N>;
};
template <std::size_t Descriptors> struct PollConfig : mote::Config {
  static constexpr std::size_t descriptors = Descriptors;
  template <std::size_t N> using Selector = mote::PollSelector<N>;
};

struct OnEpoll {
  template <std::size_t Descriptors = 64> using Config = EpollConfig<Descriptors>;
  template <std::size_t N> using Selector = mote::EpollSelector<N>;
};
struct OnPoll {
  template <std::size_t Descriptors = 64> using Config = PollConfig<Descriptors>;
  template <std::size_t N> using Selector = mote::PollSelector<N>;
};

// An open reactor on the selector S, with room for Descriptors.
template <class S, std::size_t Descriptors = 64>
struct Loop : mote::StaticReactor<typename S::template Config<Descriptors>> {
  Loop() { REQUIRE(this->open()); }
};

// Runs turns until the condition holds; waits only when there is nothing to do. The limit only bounds a failing test:
// nothing is timed by it.
template <class Condition> bool run_until(mote::Reactor& reactor, Condition&& condition, mote::Duration limit = 10s) {
  const mote::Instant end = mote::Clock::now() + limit;
  for (bool idle = false; !condition();) {
    if (mote::Clock::now() > end) return false;
    const mote::Result<std::uint32_t> done = reactor.run_once(idle ? mote::Duration(50ms) : mote::Duration::zero());
    if (!done) return false;
    idle = *done == 0;
  }
  return true;
}

// A handler that notes what it is given.
struct Recorder {
  int calls = 0;
  mote::Readiness last = mote::Readiness::none;
  void operator()(mote::Readiness readiness) {
    ++calls;
    last = readiness;
  }
};

// Can be moved, but not copied; -1 when it has been moved from.
struct MoveOnly {
  int value = 0;
  MoveOnly() = default;
  explicit MoveOnly(int number) : value(number) {}
  MoveOnly(MoveOnly&& other) noexcept : value(std::exchange(other.value, -1)) {}
  MoveOnly& operator=(MoveOnly&& other) noexcept {
    value = std::exchange(other.value, -1);
    return *this;
  }
};

// Turns that do not wait. Returns how many events there were: 0 says that nothing spins.
inline std::uint64_t turns(mote::Reactor& reactor, int count = 5) {
  const std::uint64_t before = reactor.stats().events;
  for (int i = 0; i < count; ++i) REQUIRE(reactor.run_once(mote::Duration::zero()));
  return reactor.stats().events - before;
}

// Likewise, where nobody asks how many there were.
inline void turn(mote::Reactor& reactor, int count = 1) {
  for (int i = 0; i < count; ++i) REQUIRE(reactor.run_once(mote::Duration::zero()));
}

// A task of which every step is a call of the test's own function.
using Body = mote::Delegate<mote::Step(mote::Task&)>;
struct Plain {
  Body body;
  mote::Step step(mote::Task& task) { return body(task); }
};

struct Pair {
  mote::Fd a, b;
};

inline Pair socket_pair(int type = SOCK_STREAM) {
  int fds[2];
  REQUIRE(::socketpair(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) == 0);
  return {mote::Fd(fds[0]), mote::Fd(fds[1])};
}

// a reads what b writes.
inline Pair pipe_pair() {
  int fds[2];
  REQUIRE(::pipe2(fds, O_CLOEXEC | O_NONBLOCK) == 0);
  return {mote::Fd(fds[0]), mote::Fd(fds[1])};
}

// Two ends of a TCP connection over loopback.
inline Pair tcp_pair() {
  mote::Fd listener(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  mote::Endpoint address = *mote::Endpoint::parse("127.0.0.1:0");
  socklen_t size = mote::Endpoint::capacity;
  REQUIRE(::bind(listener.get(), address.address(), address.size()) == 0);
  REQUIRE(::listen(listener.get(), 1) == 0);
  REQUIRE(::getsockname(listener.get(), address.address(), &size) == 0);
  Pair pair;
  pair.a = mote::Fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  REQUIRE(::connect(pair.a.get(), address.address(), size) == 0);
  pair.b = mote::Fd(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  REQUIRE(pair.b);
  REQUIRE(::fcntl(pair.a.get(), F_SETFL, O_NONBLOCK) == 0);
  return pair;
}

inline std::size_t send_text(int fd, const char* text) {
  const ssize_t n = ::write(fd, text, ::strlen(text));
  return n < 0 ? 0 : static_cast<std::size_t>(n);
}

// The errno value of a failed Result, 0 of one that holds: so that a failing check prints numbers.
template <class T> int error_of(const mote::Result<T>& result) { return result ? 0 : result.error().code(); }

// How many descriptors this process has open.
int open_descriptors();

}  // namespace test

// A test of that name on epoll and on poll; in its body, S is OnEpoll or OnPoll.
#define ON_BOTH_SELECTORS(name) TEST_CASE_TEMPLATE(name, S, test::OnEpoll, test::OnPoll)

#endif  // MOTE_TESTS_HARNESS_HPP
