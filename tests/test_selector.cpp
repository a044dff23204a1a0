// SPDX-License-Identifier: MIT
// Rooms: selector/selector.hpp, selector/selector_base.hpp, selector/epoll_selector.hpp, selector/poll_selector.hpp,
// selector/default_selector.hpp, selector/milliseconds.hpp.
// A selector used alone, as the comment of Selector promises; and a user's own selector under a reactor.
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/time.h>

#include <algorithm>
#include <climits>
#include <map>
#include <random>
#include <thread>
#include <vector>

#include "support/harness.hpp"

namespace {

using mote::Interest;
using mote::Readiness;
using mote::Ready;
using test::error_of;
using namespace std::chrono_literals;

constexpr Interest read_write = Interest::read | Interest::write;

template <class S, std::size_t N = 16> struct Opened : S::template Selector<N> {
  Opened() { REQUIRE(this->open()); }
};

// What is ready now, by token.
std::map<std::uint64_t, Readiness> look(mote::Selector& selector) {
  Ready ready[64];
  const mote::Result<std::size_t> count = selector.wait(ready, mote::Duration::zero());
  REQUIRE(count);
  std::map<std::uint64_t, Readiness> seen;
  for (std::size_t i = 0; i < *count; ++i) {
    CHECK(mote::any(ready[i].readiness));
    CHECK(seen.emplace(ready[i].token, ready[i].readiness).second);  // each at most once
  }
  return seen;
}

// Ends a wait that would never end, by writing to `fd`; a test then fails instead of hanging.
class Watchdog {
 public:
  explicit Watchdog(int fd) : stop_(test::pipe_pair()) {
    sigset_t all, before;
    ::sigfillset(&all);
    ::pthread_sigmask(SIG_SETMASK, &all, &before);  // signals are for the thread under test
    thread_ = std::thread([this, fd] {
      pollfd entry{stop_.a.get(), POLLIN, 0};
      if (::poll(&entry, 1, 10'000) == 0) test::send_text(fd, "too late");
    });
    ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  }
  ~Watchdog() {
    stop_.b.close();
    thread_.join();
  }
 private:
  test::Pair stop_;
  std::thread thread_;
};

volatile sig_atomic_t alarms = 0;

// SIGALRM at every period, for as long as it lives; its handler interrupts system calls.
class Alarms {
 public:
  explicit Alarms(std::chrono::microseconds period) {
    alarms = 0;
    struct sigaction action {};
    action.sa_handler = [](int) { alarms = alarms + 1; };
    ::sigaction(SIGALRM, &action, &before_);
    itimerval timer{};
    timer.it_interval.tv_usec = static_cast<suseconds_t>(period.count());
    timer.it_value = timer.it_interval;
    ::setitimer(ITIMER_REAL, &timer, nullptr);
  }
  ~Alarms() {
    const itimerval none{};
    ::setitimer(ITIMER_REAL, &none, nullptr);
    ::sigaction(SIGALRM, &before_, nullptr);
  }
 private:
  struct sigaction before_ {};
};

// A descriptor's number that is not open.
int closed_number() {
  mote::Fd fd(::dup(STDERR_FILENO));
  REQUIRE(fd);
  return fd.get();
}

}  // namespace

// --- the life of an entry --------------------------------------------------------------------------------------------

ON_BOTH_SELECTORS("selector: a ready descriptor is reported with the token it was added with") {
  Opened<S> selector;
  test::Pair pair = test::pipe_pair();
  const std::uint64_t token = 0xfedc'ba98'7654'3210u;
  REQUIRE(selector.add(pair.a.get(), Interest::read, token));
  CHECK(look(selector).empty());
  test::send_text(pair.b.get(), "x");
  const auto seen = look(selector);
  REQUIRE(seen.size() == 1);
  CHECK(seen.begin()->first == token);
  CHECK(seen.begin()->second == Readiness::readable);
}

ON_BOTH_SELECTORS("selector: level-triggered, it reports again what was not taken") {
  Opened<S> selector;
  test::Pair pair = test::pipe_pair();
  REQUIRE(selector.add(pair.a.get(), Interest::read, 1));
  test::send_text(pair.b.get(), "xy");
  for (int i = 0; i < 3; ++i) CHECK(look(selector).size() == 1);
  char c;
  REQUIRE(::read(pair.a.get(), &c, 1) == 1);
  CHECK(look(selector).size() == 1);
  REQUIRE(::read(pair.a.get(), &c, 1) == 1);
  CHECK(look(selector).empty());
}

ON_BOTH_SELECTORS("selector: modify changes the interest and the token") {
  Opened<S> selector;
  test::Pair pair = test::socket_pair();
  test::send_text(pair.b.get(), "x");
  REQUIRE(selector.add(pair.a.get(), Interest::read, 1));
  CHECK(look(selector) == std::map<std::uint64_t, Readiness>{{1, Readiness::readable}});
  REQUIRE(selector.modify(pair.a.get(), Interest::write, 2));
  CHECK(look(selector) == std::map<std::uint64_t, Readiness>{{2, Readiness::writable}});
  REQUIRE(selector.modify(pair.a.get(), read_write, 3));
  CHECK(look(selector) == std::map<std::uint64_t, Readiness>{{3, Readiness::readable | Readiness::writable}});
  REQUIRE(selector.modify(pair.a.get(), Interest::none, 4));
  CHECK(look(selector).empty());
}

ON_BOTH_SELECTORS("selector: after remove nothing is reported, and the descriptor can be added again") {
  Opened<S> selector;
  test::Pair pair = test::socket_pair();
  REQUIRE(selector.add(pair.a.get(), Interest::write, 1));
  CHECK(look(selector).size() == 1);
  REQUIRE(selector.remove(pair.a.get()));
  CHECK(look(selector).empty());
  REQUIRE(selector.add(pair.a.get(), Interest::write, 2));
  CHECK(look(selector).count(2) == 1);
}

ON_BOTH_SELECTORS("selector: remove keeps all the others, whichever goes first") {
  Opened<S> selector;
  for (std::uint64_t gone = 0; gone < 4; ++gone) {
    test::Pair pairs[4];
    for (std::uint64_t i = 0; i < 4; ++i) {
      pairs[i] = test::socket_pair();
      REQUIRE(selector.add(pairs[i].a.get(), Interest::write, i));
    }
    REQUIRE(selector.remove(pairs[gone].a.get()));
    const auto seen = look(selector);
    CHECK(seen.size() == 3);
    CHECK(seen.count(gone) == 0);
    for (std::uint64_t i = 0; i < 4; ++i) {
      if (i != gone) CHECK(selector.remove(pairs[i].a.get()));
    }
  }
}

ON_BOTH_SELECTORS("selector: all that are ready are told in one wait, as far as the caller has room") {
  rlimit limit, raised;
  REQUIRE(::getrlimit(RLIMIT_NOFILE, &limit) == 0);
  raised = limit;
  raised.rlim_cur = raised.rlim_max;
  REQUIRE(::setrlimit(RLIMIT_NOFILE, &raised) == 0);
  constexpr std::size_t count = 6000;
  const bool has_room = raised.rlim_cur == RLIM_INFINITY || raised.rlim_cur > count + 100;
  if (has_room) {
    static typename S::template Selector<count> selector;
    static Ready ready[8192];
    REQUIRE(selector.open());
    std::vector<mote::Fd> events;
    for (std::size_t i = 0; i < count; ++i) {
      events.emplace_back(::eventfd(1, EFD_NONBLOCK | EFD_CLOEXEC));
      REQUIRE(selector.add(events[i].get(), Interest::read, i));
    }
    std::vector<bool> seen(count);
    const mote::Result<std::size_t> told = selector.wait(ready, mote::Duration::zero());
    REQUIRE(told);
    CHECK(*told == count);
    for (std::size_t i = 0; i < *told; ++i) seen[static_cast<std::size_t>(std::uint64_t{ready[i].token})] = true;
    CHECK(std::count(seen.begin(), seen.end(), true) == static_cast<std::ptrdiff_t>(count));
    CHECK(*selector.wait(ready, 5000, mote::Duration::zero()) == 5000);
    selector.close();
  } else {
    MESSAGE("left out: the process may not open so many descriptors");
  }
  REQUIRE(::setrlimit(RLIMIT_NOFILE, &limit) == 0);
}

ON_BOTH_SELECTORS("selector: forget takes a closed descriptor off the books, and its number can be added anew") {
  Opened<S, 2> selector;
  for (std::uint64_t round = 0; round < 10; ++round) {
    test::Pair pair = test::socket_pair();
    REQUIRE(selector.add(pair.a.get(), Interest::write, 2 * round));
    REQUIRE(selector.add(pair.b.get(), Interest::write, 2 * round + 1));
    CHECK(look(selector).size() == 2);
    for (mote::Fd* fd : {&pair.a, &pair.b}) {
      const int number = fd->get();
      fd->close();
      selector.forget(number);
    }
    CHECK(look(selector).empty());
  }
}

ON_BOTH_SELECTORS("selector: forgetting what is not there leaves poll's others alone") {
  Opened<S> selector;
  test::Pair pair = test::socket_pair();
  REQUIRE(selector.add(pair.a.get(), Interest::write, 1));
  selector.forget(-1);
  CHECK(look(selector).size() == 1);
  CHECK(selector.remove(pair.a.get()));
}

ON_BOTH_SELECTORS("selector: rebuild starts anew with nothing added and all of its room") {
  Opened<S, 2> selector;
  test::Pair pair = test::socket_pair();
  const int open = test::open_descriptors();
  for (std::uint64_t round = 0; round < 3; ++round) {
    REQUIRE(selector.add(pair.a.get(), Interest::write, round));
    REQUIRE(selector.add(pair.b.get(), Interest::write, 10 + round));
    CHECK(look(selector).size() == 2);
    REQUIRE(selector.rebuild());
    CHECK(look(selector).empty());
    CHECK(error_of(selector.remove(pair.a.get())) == ENOENT);
  }
  CHECK(test::open_descriptors() == open);
}

ON_BOTH_SELECTORS("selector: rebuild is rid of what a closed descriptor with a live duplicate left behind") {
  Opened<S> selector;
  test::Pair pair = test::socket_pair();
  mote::Fd duplicate(::dup(pair.a.get()));
  REQUIRE(selector.add(pair.a.get(), Interest::write, 1));
  const int number = pair.a.get();
  pair.a.close();
  selector.forget(number);
  REQUIRE(selector.rebuild());
  CHECK(look(selector).empty());
  REQUIRE(selector.add(duplicate.get(), Interest::write, 2));
  CHECK(look(selector) == std::map<std::uint64_t, Readiness>{{2, Readiness::writable}});
}

ON_BOTH_SELECTORS("selector: opening it twice keeps what was added") {
  Opened<S> selector;
  test::Pair pair = test::socket_pair();
  REQUIRE(selector.add(pair.a.get(), Interest::write, 1));
  const int open = test::open_descriptors();
  REQUIRE(selector.open());
  CHECK(look(selector).size() == 1);
  CHECK(test::open_descriptors() == open);
}

ON_BOTH_SELECTORS("selector: closed, it holds no descriptor, refuses every call, and can be opened again, empty") {
  test::Pair pair = test::socket_pair();
  const int open = test::open_descriptors();
  {
    Opened<S> selector;
    REQUIRE(selector.add(pair.a.get(), Interest::write, 1));
    selector.close();
    CHECK(test::open_descriptors() == open);
    CHECK_FALSE(selector.is_open());
    CHECK(error_of(selector.add(pair.a.get(), Interest::write, 1)) == EBADF);
    REQUIRE(selector.open());
    CHECK(look(selector).empty());
    REQUIRE(selector.add(pair.a.get(), Interest::write, 2));
    CHECK(look(selector).count(2) == 1);
  }
  CHECK(test::open_descriptors() == open);
}

// --- errors ----------------------------------------------------------------------------------------------------------

ON_BOTH_SELECTORS("selector: before open() every call answers EBADF") {
  typename S::template Selector<4> selector;
  test::Pair pair = test::socket_pair();
  Ready ready[4];
  CHECK_FALSE(selector.is_open());
  CHECK(selector.descriptor() == -1);
  CHECK(error_of(selector.add(pair.a.get(), Interest::read, 1)) == EBADF);
  CHECK(error_of(selector.modify(pair.a.get(), Interest::read, 1)) == EBADF);
  CHECK(error_of(selector.remove(pair.a.get())) == EBADF);
  CHECK(error_of(selector.wait(ready, mote::unlimited)) == EBADF);
  CHECK(error_of(selector.wait_once(ready, 4, mote::unlimited)) == EBADF);
  CHECK(error_of(selector.rebuild()) == EBADF);
  selector.forget(pair.a.get());
}

ON_BOTH_SELECTORS("selector: adding twice is EEXIST, and the first entry stays as it was") {
  Opened<S> selector;
  test::Pair pair = test::socket_pair();
  REQUIRE(selector.add(pair.a.get(), Interest::write, 1));
  CHECK(error_of(selector.add(pair.a.get(), Interest::read, 2)) == EEXIST);
  CHECK(look(selector) == std::map<std::uint64_t, Readiness>{{1, Readiness::writable}});
  CHECK(selector.remove(pair.a.get()));
  CHECK(error_of(selector.remove(pair.a.get())) == ENOENT);
}

ON_BOTH_SELECTORS("selector: modifying or removing what is not there is ENOENT, removing twice too") {
  Opened<S> selector;
  test::Pair pair = test::socket_pair();
  CHECK(error_of(selector.modify(pair.a.get(), Interest::read, 1)) == ENOENT);
  CHECK(error_of(selector.remove(pair.a.get())) == ENOENT);
  REQUIRE(selector.add(pair.a.get(), Interest::write, 1));
  CHECK(error_of(selector.modify(pair.b.get(), Interest::read, 1)) == ENOENT);
  REQUIRE(selector.remove(pair.a.get()));
  CHECK(error_of(selector.remove(pair.a.get())) == ENOENT);
  CHECK(error_of(selector.modify(pair.a.get(), Interest::read, 1)) == ENOENT);
}

ON_BOTH_SELECTORS("selector: a bad descriptor is EBADF: negative, too large, closed") {
  Opened<S> selector;
  for (const int fd : {-1, -2, INT_MIN, INT_MAX, INT_MAX - 1, closed_number()}) {
    CAPTURE(fd);
    CHECK(error_of(selector.add(fd, Interest::read, 1)) == EBADF);
    CHECK_FALSE(selector.modify(fd, Interest::read, 1));
    CHECK_FALSE(selector.remove(fd));
  }
  CHECK(look(selector).empty());
}

ON_BOTH_SELECTORS("selector: a full table is ENOBUFS, and there is room again after remove and after forget") {
  Opened<S, 3> selector;
  test::Pair first = test::socket_pair(), second = test::socket_pair();
  REQUIRE(selector.add(first.a.get(), Interest::write, 1));
  REQUIRE(selector.add(first.b.get(), Interest::write, 2));
  REQUIRE(selector.add(second.a.get(), Interest::write, 3));
  CHECK(error_of(selector.add(second.b.get(), Interest::write, 4)) == ENOBUFS);
  CHECK(look(selector).size() == 3);
  REQUIRE(selector.remove(first.b.get()));
  REQUIRE(selector.add(second.b.get(), Interest::write, 4));
  CHECK(error_of(selector.add(first.b.get(), Interest::write, 2)) == ENOBUFS);
  const int number = second.a.get();
  second.a.close();
  selector.forget(number);
  REQUIRE(selector.add(first.b.get(), Interest::write, 2));
  const auto seen = look(selector);
  CHECK(seen.size() == 3);
  CHECK(seen.count(3) == 0);
}

ON_BOTH_SELECTORS("selector: a full table hides neither EEXIST nor EBADF") {
  Opened<S, 1> selector;
  test::Pair pair = test::socket_pair();
  REQUIRE(selector.add(pair.a.get(), Interest::write, 1));
  CHECK(error_of(selector.add(pair.a.get(), Interest::write, 2)) == EEXIST);
  CHECK(error_of(selector.add(-1, Interest::write, 2)) == EBADF);
  CHECK(error_of(selector.add(pair.b.get(), Interest::write, 2)) == ENOBUFS);
  CHECK(look(selector) == std::map<std::uint64_t, Readiness>{{1, Readiness::writable}});
}

ON_BOTH_SELECTORS("selector: an entry that was refused takes no room") {
  Opened<S, 1> selector;
  test::Pair pair = test::socket_pair();
  for (int i = 0; i < 4; ++i) CHECK(error_of(selector.add(-1, Interest::read, 1)) == EBADF);
  REQUIRE(selector.add(pair.a.get(), Interest::write, 1));
  for (int i = 0; i < 4; ++i) CHECK_FALSE(selector.add(pair.a.get(), Interest::read, 1));
  REQUIRE(selector.remove(pair.a.get()));
  CHECK(selector.add(pair.b.get(), Interest::write, 1));
}

TEST_CASE("selector: epoll refuses a regular file, a directory and /dev/null with EPERM, poll reports them ready") {
  Opened<test::OnEpoll, 3> epoll;
  Opened<test::OnPoll, 3> poll;
  for (const char* path : {"/proc/self/exe", "/", "/dev/null"}) {
    CAPTURE(path);
    mote::Fd fd(::open(path, O_RDONLY | O_CLOEXEC));
    REQUIRE(fd);
    CHECK(error_of(epoll.add(fd.get(), Interest::read, 1)) == EPERM);
    REQUIRE(poll.add(fd.get(), Interest::read, 1));
    CHECK(look(poll) == std::map<std::uint64_t, Readiness>{{1, Readiness::readable}});
    CHECK(poll.remove(fd.get()));
  }
}

TEST_CASE("selector: poll reports as an error a descriptor that was closed behind its back") {
  Opened<test::OnPoll> selector;
  test::Pair pair = test::socket_pair();
  REQUIRE(selector.add(pair.a.get(), Interest::none, 7));
  const int number = pair.a.get();
  pair.a.close();
  CHECK(look(selector) == std::map<std::uint64_t, Readiness>{{7, Readiness::error}});
  CHECK(selector.remove(number));
  CHECK(look(selector).empty());
}

TEST_CASE(
    "selector: epoll, told to modify or remove what was closed since, answers EBADF, or ENOENT of its successor") {
  Opened<test::OnEpoll, 1> selector;
  test::Pair pair = test::socket_pair(), other = test::socket_pair();
  REQUIRE(selector.add(pair.a.get(), Interest::write, 7));
  const int number = pair.a.get();
  pair.a.close();
  CHECK(look(selector).empty());
  CHECK(error_of(selector.modify(number, Interest::read, 7)) == EBADF);
  CHECK(error_of(selector.remove(number)) == EBADF);
  mote::Fd successor(::fcntl(other.a.get(), F_DUPFD_CLOEXEC, number));
  REQUIRE(successor.get() == number);
  CHECK(error_of(selector.modify(number, Interest::read, 7)) == ENOENT);
  CHECK(error_of(selector.remove(number)) == ENOENT);
  selector.forget(number);
  CHECK(selector.add(number, Interest::read, 8));
}

// --- waiting ---------------------------------------------------------------------------------------------------------

ON_BOTH_SELECTORS("selector: a time-out gives an empty answer and is never early") {
  Opened<S> selector;
  test::Pair pair = test::pipe_pair();
  REQUIRE(selector.add(pair.a.get(), Interest::read, 1));
  Ready ready[4];
  for (const mote::Duration timeout : {1ns, 999ns, 100'000ns, 999'999ns, 1'000'001ns, 5'500'000ns, 20'000'000ns}) {
    CAPTURE(timeout.count());
    const mote::Instant start = mote::Clock::now();
    const mote::Result<std::size_t> count = selector.wait(ready, timeout);
    const mote::Duration taken = mote::Clock::now() - start;
    REQUIRE(count);
    CHECK(*count == 0);
    CHECK(taken >= timeout);
    CHECK(taken < 5s);
    // Nor is one system call of it: were it rounded down, the rest would be spent spinning.
    const mote::Instant again = mote::Clock::now();
    const mote::Result<std::size_t> once = selector.wait_once(ready, 4, timeout);
    REQUIRE(once);
    CHECK(*once == 0);
    CHECK(mote::Clock::now() - again >= timeout);
  }
}

ON_BOTH_SELECTORS("selector: with nothing added a wait is a pause") {
  Opened<S> selector;
  Ready ready[1];
  const mote::Instant start = mote::Clock::now();
  const mote::Result<std::size_t> count = selector.wait(ready, 2ms);
  REQUIRE(count);
  CHECK(*count == 0);
  CHECK(mote::Clock::now() - start >= 2ms);
}

ON_BOTH_SELECTORS("selector: a time-out of zero only looks, and so does a negative one") {
  Opened<S> selector;
  test::Pair pair = test::pipe_pair();
  REQUIRE(selector.add(pair.a.get(), Interest::read, 1));
  Watchdog watchdog(pair.b.get());
  Ready ready[4];
  for (const mote::Duration timeout : {mote::Duration::zero(), mote::Duration(-1), mote::Duration::min()}) {
    CAPTURE(timeout.count());
    const mote::Result<std::size_t> count = selector.wait(ready, timeout);
    REQUIRE(count);
    CHECK(*count == 0);
  }
}

ON_BOTH_SELECTORS("selector: waiting forever ends when another thread makes something ready") {
  Opened<S> selector;
  test::Pair pair = test::pipe_pair();
  REQUIRE(selector.add(pair.a.get(), Interest::read, 5));
  std::thread writer([&] { test::send_text(pair.b.get(), "x"); });
  Ready ready[4];
  const mote::Result<std::size_t> count = selector.wait(ready, mote::unlimited);
  writer.join();
  REQUIRE(count);
  REQUIRE(*count == 1);
  CHECK(ready[0].token == 5);
}

ON_BOTH_SELECTORS("selector: what is ready ends a wait whose end lies beyond the clock's range") {
  Opened<S> selector;
  test::Pair pair = test::socket_pair();
  REQUIRE(selector.add(pair.a.get(), Interest::write, 1));
  Ready ready[1];
  for (const mote::Duration timeout : {mote::unlimited, mote::unlimited - 1ns, mote::Duration(24h * 365 * 200)}) {
    const mote::Result<std::size_t> count = selector.wait(ready, timeout);
    REQUIRE(count);
    CHECK(*count == 1);
  }
}

ON_BOTH_SELECTORS("selector: signals neither end a wait nor prolong it: the remaining time is recomputed") {
  Opened<S> selector;
  test::Pair pair = test::pipe_pair();
  REQUIRE(selector.add(pair.a.get(), Interest::read, 1));
  Watchdog watchdog(pair.b.get());  // were the whole time-out begun again at each signal, the wait would never end
  Ready ready[4];
  const mote::Instant start = mote::Clock::now();
  mote::Result<std::size_t> count;
  {
    const Alarms storm(2ms);
    count = selector.wait(ready, 50ms);
  }
  const mote::Duration taken = mote::Clock::now() - start;
  REQUIRE(count);
  CHECK(*count == 0);
  CHECK(taken >= 50ms);
  CHECK(alarms >= 2);
}

ON_BOTH_SELECTORS("selector: a signal does not end a wait without limit, what is ready does") {
  Opened<S> selector;
  test::Pair pair = test::pipe_pair();
  REQUIRE(selector.add(pair.a.get(), Interest::read, 1));
  static int wake_fd = -1;
  wake_fd = pair.b.get();
  struct sigaction action {
  }, before{};
  action.sa_handler = [](int) {
    alarms = alarms + 1;
    if (alarms == 5) test::send_text(wake_fd, "x");
  };
  Ready ready[4];
  mote::Result<std::size_t> count;
  {
    const Alarms storm(2ms);
    ::sigaction(SIGALRM, &action, &before);
    count = selector.wait(ready, mote::unlimited);
    ::sigaction(SIGALRM, &before, nullptr);
  }
  REQUIRE(count);
  CHECK(*count == 1);
  CHECK(alarms >= 5);
}

ON_BOTH_SELECTORS("selector: wait_once is one system call, and a signal ends it with EINTR") {
  Opened<S> selector;
  test::Pair pair = test::pipe_pair();
  REQUIRE(selector.add(pair.a.get(), Interest::read, 1));
  Watchdog watchdog(pair.b.get());
  Ready ready[4];
  const Alarms storm(5ms);
  CHECK(error_of(selector.wait_once(ready, 4, mote::unlimited)) == EINTR);
}

ON_BOTH_SELECTORS("selector: an answer smaller than the ready set starves nobody") {
  Opened<S, 20> selector;
  test::Pair pairs[10];
  for (std::uint64_t i = 0; i < 10; ++i) {
    pairs[i] = test::socket_pair();
    REQUIRE(selector.add(pairs[i].a.get(), Interest::write, 2 * i));
    REQUIRE(selector.add(pairs[i].b.get(), Interest::write, 2 * i + 1));
  }
  for (const std::size_t capacity : {std::size_t{1}, std::size_t{3}, std::size_t{7}, std::size_t{19}}) {
    CAPTURE(capacity);
    int served[20] = {};
    Ready ready[20];
    for (std::size_t rounds = 0; rounds < 60; ++rounds) {
      const mote::Result<std::size_t> count = selector.wait(ready, capacity, mote::Duration::zero());
      REQUIRE(count);
      REQUIRE(*count == capacity);
      for (std::size_t i = 0; i < *count; ++i) ++served[ready[i].token];
    }
    const auto extremes = std::minmax_element(served, served + 20);
    CHECK(*extremes.second - *extremes.first <= 1);
  }
}

ON_BOTH_SELECTORS("selector: whichever of many are ready are found, each as often as the others") {
  // Poll passes idle entries in blocks: none is passed with them that is not idle, however many there are behind them.
  constexpr std::size_t most = 53;
  test::Pair pair = test::socket_pair();
  std::vector<mote::Fd> open;
  for (std::size_t i = 0; i < most; ++i) REQUIRE(open.emplace_back(::fcntl(pair.a.get(), F_DUPFD_CLOEXEC, 0)));
  Opened<S, most> selector;
  for (std::size_t count = 1; count <= most; ++count) {
    CAPTURE(count);
    REQUIRE(selector.add(open[count - 1].get(), Interest::read, count - 1));
    for (std::size_t first = 0; first < count; ++first) {
      const std::size_t second = first * 7 % count;
      CAPTURE(first);
      REQUIRE(selector.modify(open[first].get(), Interest::write, first));
      REQUIRE(selector.modify(open[second].get(), Interest::write, second));
      std::map<std::uint64_t, Readiness> expected = {{first, Readiness::writable}, {second, Readiness::writable}};
      REQUIRE(look(selector) == expected);
      Ready one[1];
      std::map<std::uint64_t, std::size_t> served;
      for (std::size_t i = 0; i < 4; ++i) {
        REQUIRE(*selector.wait(one, mote::Duration::zero()) == 1);
        ++served[one[0].token];
      }
      REQUIRE(served.size() == expected.size());
      REQUIRE(served[first] == 4 / expected.size());
      REQUIRE(selector.modify(open[first].get(), Interest::read, first));
      REQUIRE(selector.modify(open[second].get(), Interest::none, second));
    }
  }
}

ON_BOTH_SELECTORS("selector: an answer larger than the ready set is filled only as far as something is ready") {
  Opened<S> selector;
  test::Pair pair = test::socket_pair();
  REQUIRE(selector.add(pair.a.get(), Interest::write, 1));
  std::vector<Ready> ready(10'000, Ready{Readiness::none, 99});
  const mote::Result<std::size_t> count = selector.wait(ready.data(), ready.size(), 1s);
  REQUIRE(count);
  CHECK(*count == 1);
  CHECK(ready[0].token == 1);
}

ON_BOTH_SELECTORS("selector: an answer without room is EINVAL, whatever is ready") {
  Opened<S> selector;
  test::Pair pair = test::socket_pair();
  Ready none;
  CHECK(error_of(selector.wait(&none, 0, mote::unlimited)) == EINVAL);
  REQUIRE(selector.add(pair.a.get(), Interest::write, 1));
  CHECK(error_of(selector.wait(&none, 0, mote::unlimited)) == EINVAL);
}

TEST_CASE("selector: epoll's descriptor is readable when something is ready, poll has none") {
  Opened<test::OnEpoll> epoll;
  Opened<test::OnPoll> poll;
  CHECK(poll.descriptor() == -1);
  test::Pair pair = test::pipe_pair();
  REQUIRE(epoll.add(pair.a.get(), Interest::read, 1));
  pollfd entry{epoll.descriptor(), POLLIN, 0};
  CHECK(::poll(&entry, 1, 0) == 0);
  test::send_text(pair.b.get(), "x");
  CHECK(::poll(&entry, 1, 0) == 1);
  CHECK(entry.revents == POLLIN);
}

// --- against a model -------------------------------------------------------------------------------------------------

namespace {

// Duplicates of one writable socket, at numbers of our choice, many times as many as poll's hash table has cells: numbers
// collide, and runs of them wrap around its end.
// Of `out_of` interests two are such that the descriptor is ready.
template <class S, std::size_t N> void compare_with_model(unsigned seed, int lowest, int count, int out_of = 4) {
  Opened<S, N> selector;
  test::Pair pair = test::socket_pair();
  std::vector<mote::Fd> open;
  for (int i = 0; i < count; ++i) {
    open.emplace_back(::fcntl(pair.a.get(), F_DUPFD_CLOEXEC, lowest + i));  // the next that is free from there on
    REQUIRE(open.back());
  }
  struct Entry {
    Interest interest;
    std::uint64_t token;
  };
  std::map<int, Entry> model;
  std::minstd_rand random(seed);
  const auto below = [&random](int limit) { return static_cast<int>(random() % static_cast<unsigned>(limit)); };
  const Interest interests[] = {Interest::none, Interest::read, Interest::write, read_write};
  std::uint64_t token = 0;
  for (int operation = 0; operation < 6000; ++operation) {
    // Mostly numbers that collide, and mostly few of them, so that the table is often full and often nearly empty.
    const int spread = operation / 500 % 2 == 0 ? count : 48;
    const int fd =
        open[static_cast<std::size_t>(below(2) == 0 ? below(spread) : below(count / 64) * 64 + below(3))].get();
    const int choice = below(out_of);
    const Interest interest = choice < 4 ? interests[choice] : Interest::read;
    const auto found = model.find(fd);
    const bool known = found != model.end();
    ++token;
    CAPTURE(seed);
    CAPTURE(operation);
    CAPTURE(fd);
    switch (below(5)) {
      case 0:
      case 1: {
        const int expected = known ? EEXIST : model.size() == N ? ENOBUFS : 0;
        if (known && model.size() == N) break;  // a test of its own
        REQUIRE(error_of(selector.add(fd, interest, token)) == expected);
        if (expected == 0) model[fd] = {interest, token};
        break;
      }
      case 2:
        REQUIRE(error_of(selector.modify(fd, interest, token)) == (known ? 0 : ENOENT));
        if (known) found->second = {interest, token};
        break;
      case 3:
        REQUIRE(error_of(selector.remove(fd)) == (known ? 0 : ENOENT));
        if (known) model.erase(found);
        break;
      default:
        if (below(100) != 0) break;
        REQUIRE(selector.rebuild());
        model.clear();
    }
    if (operation % 4 != 0) continue;
    std::vector<std::uint64_t> expected, seen;
    for (const auto& entry : model) {
      if (mote::any(entry.second.interest & Interest::write)) expected.push_back(entry.second.token);
    }
    Ready ready[N];
    const mote::Result<std::size_t> filled = selector.wait(ready, mote::Duration::zero());
    REQUIRE(filled);
    for (std::size_t i = 0; i < *filled; ++i) {
      REQUIRE(ready[i].readiness == Readiness::writable);
      seen.push_back(ready[i].token);
    }
    std::sort(expected.begin(), expected.end());
    std::sort(seen.begin(), seen.end());
    REQUIRE(seen == expected);
  }
}

}  // namespace

ON_BOTH_SELECTORS("selector: thousands of random additions, changes and removals agree with a model") {
  compare_with_model<S, 32>(1, 100, 300);  // poll's hash table has 64 cells
  compare_with_model<S, 32>(2, 60, 200);
  compare_with_model<S, 5>(3, 64, 150);  // not a power of two; 16 cells
  compare_with_model<S, 1>(4, 64, 128);
  compare_with_model<S, 100>(5, 100, 300);
  compare_with_model<S, 250>(6, 100, 300);
  compare_with_model<S, 250>(7, 100, 300, 40);  // those few that are ready and far behind move to poll's front
}

TEST_CASE("selector: poll removes at the same cost from a large set as from a small one") {
  constexpr std::size_t most = 4096;
  rlimit before{};
  REQUIRE(::getrlimit(RLIMIT_NOFILE, &before) == 0);
  rlimit raised = before;
  raised.rlim_cur = std::max<rlim_t>(before.rlim_cur, std::min<rlim_t>(before.rlim_max, most + 100));
  REQUIRE(::setrlimit(RLIMIT_NOFILE, &raised) == 0);
  {
    test::Pair pair = test::socket_pair();
    std::vector<mote::Fd> open;
    while (open.size() < most) {
      const int fd = ::fcntl(pair.a.get(), F_DUPFD_CLOEXEC, 0);
      if (fd < 0) break;
      open.emplace_back(fd);
    }
    REQUIRE(open.size() >= 256);
    static mote::PollSelector<most> selector;
    REQUIRE(selector.open());
    std::minstd_rand random(1);
    // The least time of many rounds in which a set of that size loses 64 of its members, picked at random.
    const auto cost = [&](std::size_t size) {
      mote::Duration least = mote::unlimited;
      for (int round = 0; round < 15; ++round) {
        REQUIRE(selector.rebuild());
        std::vector<int> members;
        for (std::size_t i = 0; i < size; ++i) members.push_back(open[i].get());
        for (const int fd : members) REQUIRE(selector.add(fd, Interest::read, 0));
        std::shuffle(members.begin(), members.end(), random);
        bool removed = true;
        const mote::Instant start = mote::Clock::now();
        for (std::size_t i = 0; i < 64; ++i) removed = static_cast<bool>(selector.remove(members[i])) && removed;
        least = std::min(least, mote::Clock::now() - start);
        CHECK(removed);
      }
      return least;
    };
    const mote::Duration small = cost(64), large = cost(open.size());
    CAPTURE(small.count());
    CAPTURE(large.count());
    // A search or a move through the whole set would cost as many times more as the large set is larger, 64 in all;
    // cold caches, and a sanitizer's, account for less than half of that.
    CHECK(large.count() < small.count() * static_cast<std::int64_t>(open.size() / 64) / 2 + 1000);
    selector.close();
  }
  REQUIRE(::setrlimit(RLIMIT_NOFILE, &before) == 0);
}

// --- a selector of the user's own ------------------------------------------------------------------------------------

namespace {

struct OwnSelectorConfig : mote::Config {
  static constexpr std::size_t descriptors = 4;
  template <std::size_t N> using Selector = mote::NoSelector<N>;
};

// Passes everything on to one of the library's, and counts.
template <class S> class Counting : public mote::SelectorBase<Counting<S>> {
 public:
  mote::Result<void> open() {
    const mote::Result<void> opened = inner_.open();
    if (opened) this->attach();
    return opened;
  }
  mote::Result<void> on_add(int fd, Interest interest, std::uint64_t token) {
    ++added;
    return inner_.add(fd, interest, token);
  }
  mote::Result<void> on_modify(int fd, Interest interest, std::uint64_t token) {
    ++modified;
    return inner_.modify(fd, interest, token);
  }
  mote::Result<void> on_remove(int fd) {
    ++removed;
    return inner_.remove(fd);
  }
  void on_forget(int fd) {
    ++forgotten;
    inner_.forget(fd);
  }
  mote::Result<std::size_t> on_wait(Ready* ready, std::size_t capacity, mote::Duration timeout) {
    ++waited;
    return inner_.wait_once(ready, capacity, timeout);
  }
  mote::Result<void> on_rebuild() {
    ++rebuilt;
    return inner_.rebuild();
  }
  int on_descriptor() const { return inner_.descriptor(); }

  int added = 0, modified = 0, removed = 0, forgotten = 0, waited = 0, rebuilt = 0;
 private:
  typename S::template Selector<5> inner_;
};

// Has no kernel behind it: reports what the test tells it to.
class Scripted : public mote::SelectorBase<Scripted> {
 public:
  mote::Result<void> open() {
    attach();
    return mote::Result<void>();
  }
  mote::Result<void> on_add(int fd, Interest, std::uint64_t token) {
    if (!tokens_.emplace(fd, token).second) return mote::Error(EEXIST);
    return {};
  }
  mote::Result<void> on_modify(int fd, Interest, std::uint64_t token) {
    tokens_[fd] = token;
    return {};
  }
  mote::Result<void> on_remove(int fd) {
    if (tokens_.erase(fd) == 0) return mote::Error(ENOENT);
    return {};
  }
  void on_forget(int fd) { tokens_.erase(fd); }
  mote::Result<std::size_t> on_wait(Ready* ready, std::size_t capacity, mote::Duration timeout) {
    timeouts.push_back(timeout);
    if (failure != 0) return mote::Error(std::exchange(failure, 0));
    const std::size_t count = std::min(capacity, script.size());
    for (std::size_t i = 0; i < count; ++i) ready[i] = {script[i].second, tokens_.at(script[i].first)};
    script.clear();
    return count;
  }
  mote::Result<void> on_rebuild() {
    tokens_.clear();
    return mote::Result<void>();
  }
  int on_descriptor() const { return -1; }

  std::vector<std::pair<int, Readiness>> script;
  std::vector<mote::Duration> timeouts;
  int failure = 0;
 private:
  std::map<int, std::uint64_t> tokens_;
};

}  // namespace

ON_BOTH_SELECTORS("selector: one derived from SelectorBase serves a reactor, which calls it and no other") {
  Counting<S> selector;
  test::Pair pair = test::socket_pair();
  {
    mote::StaticReactor<OwnSelectorConfig> reactor;
    REQUIRE(reactor.open(selector));
    int calls = 0;
    auto handler = [&](Readiness readiness) {
      ++calls;
      CHECK(readiness == Readiness::writable);
    };
    const mote::Result<mote::Registration> registration = reactor.add(pair.a.get(), Interest::write, handler);
    REQUIRE(registration);
    CHECK(selector.added == 1);
    REQUIRE(reactor.run_once(0ns));
    CHECK(selector.waited == 1);
    CHECK(calls == 1);
    REQUIRE(reactor.modify(*registration, Interest::none));
    CHECK(selector.modified == 1);
    REQUIRE(reactor.run_once(0ns));
    CHECK(calls == 1);
    CHECK(reactor.pollable_descriptor() == selector.descriptor());
    REQUIRE(reactor.remove(*registration));
    CHECK(selector.removed == 1);
    mote::Source source;
    REQUIRE(source.open(reactor, std::move(pair.b)));
    REQUIRE(source.watch(Interest::write, handler));
    source.close();
    CHECK(selector.forgotten == 1);
    REQUIRE(reactor.after_fork_in_child());
    CHECK(selector.rebuilt == 1);
  }
  CHECK(selector.is_open());  // the caller's, it outlives the reactor
  CHECK(error_of(selector.remove(pair.a.get())) == ENOENT);
}

TEST_CASE("selector: a reactor can be driven by a selector without a kernel behind it") {
  Scripted selector;
  mote::StaticReactor<OwnSelectorConfig> reactor;
  REQUIRE(reactor.open(selector));
  std::vector<Readiness> seen;
  auto handler = [&](Readiness readiness) { seen.push_back(readiness); };
  REQUIRE(reactor.add(1000, Interest::read, handler));
  REQUIRE(reactor.add(1001, read_write, handler));
  CHECK(error_of(reactor.add(1001, Interest::read, handler)) == EEXIST);
  selector.script = {{1001, Readiness::readable | Readiness::writable}, {1000, Readiness::readable}};
  const mote::Result<std::uint32_t> count = reactor.run_once(7ms);
  REQUIRE(count);
  CHECK(*count == 2);
  REQUIRE(seen.size() == 2);
  CHECK(seen[0] == (Readiness::readable | Readiness::writable));
  CHECK(seen[1] == Readiness::readable);
  REQUIRE(selector.timeouts.size() == 1);
  CHECK(selector.timeouts[0] > 0ns);
  CHECK(selector.timeouts[0] <= 7ms);
}

TEST_CASE("selector: an interrupted wait is an empty turn, any other failure is the turn's answer") {
  Scripted selector;
  mote::StaticReactor<OwnSelectorConfig> reactor;
  REQUIRE(reactor.open(selector));
  selector.failure = EINTR;
  const mote::Result<std::uint32_t> count = reactor.run_once(0ns);
  REQUIRE(count);
  CHECK(*count == 0);
  selector.failure = ENOMEM;
  CHECK(error_of(reactor.run_once(0ns)) == ENOMEM);
  CHECK_FALSE(reactor.running());
  CHECK(reactor.run_once(0ns));
}
