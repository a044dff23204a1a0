// SPDX-License-Identifier: MIT
// Rooms: reactor/foreign_descriptors.hpp, reactor/loop.hpp.
// A library's own descriptors, by number: what it wants, what it closes before it tells, and all of that in callbacks.
#include <sys/eventfd.h>
#include <sys/resource.h>

#include <algorithm>
#include <functional>
#include <memory>
#include <vector>

#include "support/descriptors.hpp"
#include "support/operations.hpp"

using mote::Fd;
using mote::ForeignDescriptors;
using mote::Interest;
using mote::Readiness;
using test::error_of;
using test::turn;

namespace {

constexpr Interest both = Interest::read | Interest::write;

// A table, and what its callback was called with.
template <std::size_t N> struct Watched {
  explicit Watched(mote::Reactor& reactor) {
    REQUIRE(table.open(reactor, mote::ForeignDescriptorsBase::Callback::of<&Watched::note>(*this)));
  }
  void note(int fd, Readiness readiness) {
    calls.push_back({fd, readiness});
    if (act) act(fd, readiness);
  }
  // The descriptors of which it was told since this was asked last.
  std::vector<int> told() {
    std::vector<int> fds;
    for (const Call& call : calls) fds.push_back(call.fd);
    calls.clear();
    return fds;
  }
  struct Call {
    int fd;
    Readiness readiness;
  };
  std::vector<Call> calls;
  std::function<void(int, Readiness)> act;
  ForeignDescriptors<N> table;
};

Fd ready_event() { return Fd(::eventfd(1, EFD_NONBLOCK | EFD_CLOEXEC)); }
using Numbers = std::vector<int>;

}  // namespace

ON_BOTH_SELECTORS("foreign: the callback is told the descriptor and what is ready, as its interest changes") {
  test::Loop<S> loop;
  Watched<4> watched(loop);
  const test::Pair pair = test::socket_pair();
  const int fd = pair.a.get();
  CHECK(watched.table.interest(fd) == Interest::none);
  REQUIRE(watched.table.watch(fd, Interest::read));
  CHECK(watched.table.interest(fd) == Interest::read);
  turn(loop);
  CHECK(watched.told().empty());
  REQUIRE(watched.table.watch(fd, both));
  turn(loop);
  REQUIRE(watched.calls.size() == 1);
  CHECK(watched.calls[0].fd == fd);
  CHECK(watched.calls[0].readiness == Readiness::writable);
  test::send_text(pair.b.get(), "x");
  watched.calls.clear();
  turn(loop);
  REQUIRE(watched.calls.size() == 1);
  CHECK(watched.calls[0].readiness == (Readiness::readable | Readiness::writable));
  watched.calls.clear();
  REQUIRE(watched.table.watch(fd, Interest::none));
  CHECK(watched.table.interest(fd) == Interest::none);
  CHECK(loop.stats().descriptors == 0);
  turn(loop);
  CHECK(watched.told().empty());
  CHECK(watched.table.watch(fd, Interest::none));  // libraries tell it twice
  CHECK(test::is_open(fd));
}

ON_BOTH_SELECTORS("foreign: several descriptors, each by its number, also a high one") {
  test::Loop<S> loop;
  Watched<4> watched(loop);
  rlimit limit;
  REQUIRE(::getrlimit(RLIMIT_NOFILE, &limit) == 0);
  const Fd first = ready_event(), second = ready_event(), plain = ready_event();
  const int highest = static_cast<int>(std::min<rlim_t>(limit.rlim_cur, 4096)) - 1;
  const Fd high(::fcntl(plain.get(), F_DUPFD_CLOEXEC, highest));
  REQUIRE(high);
  REQUIRE(watched.table.watch(first.get(), Interest::read));
  REQUIRE(watched.table.watch(second.get(), Interest::write));
  REQUIRE(watched.table.watch(high.get(), Interest::read));
  turn(loop);
  Numbers told = watched.told();
  std::sort(told.begin(), told.end());
  CHECK(told == Numbers{first.get(), second.get(), high.get()});
  REQUIRE(watched.table.watch(first.get(), Interest::none));
  turn(loop);
  told = watched.told();
  std::sort(told.begin(), told.end());
  CHECK(told == Numbers{second.get(), high.get()});
}

ON_BOTH_SELECTORS(
    "foreign: closed before it was told, its number is another's: that one's events come, and nobody else's") {
  test::Loop<S> loop;
  Watched<4> watched(loop);
  Fd old(::eventfd(0, EFD_NONBLOCK));
  const int number = old.get();
  REQUIRE(watched.table.watch(number, Interest::read));
  old.close();
  const Fd next = ready_event();
  REQUIRE(next.get() == number);
  SUBCASE("forgotten, and then watched") { watched.table.forget(number); }
  SUBCASE("removed, and then watched") { REQUIRE(watched.table.watch(number, Interest::none)); }
  SUBCASE("watched at once") {}
  REQUIRE(watched.table.watch(number, Interest::read));
  turn(loop);
  CHECK(watched.told() == Numbers{number});
  CHECK(loop.stats().descriptors == 1);
}

ON_BOTH_SELECTORS("foreign: closed before it was told, it is EBADF to change it, and forget() ends it") {
  test::Loop<S> loop;
  Watched<4> watched(loop);
  Fd event(::eventfd(0, EFD_NONBLOCK));
  const int number = event.get();
  REQUIRE(watched.table.watch(number, Interest::read));
  event.close();
  CHECK(error_of(watched.table.watch(number, both)) == EBADF);
  CHECK(watched.table.interest(number) == Interest::read);
  watched.table.forget(number);
  CHECK(watched.table.interest(number) == Interest::none);
  CHECK(loop.stats().descriptors == 0);
  watched.table.forget(number);  // twice is once
  CHECK(error_of(watched.table.watch(number, Interest::read)) == EBADF);
}

ON_BOTH_SELECTORS("foreign: a descriptor that is watched elsewhere is EEXIST, and may be had once it is not") {
  test::Loop<S> loop;
  Watched<2> one(loop), other(loop);
  const Fd event = ready_event();
  REQUIRE(one.table.watch(event.get(), Interest::read));
  CHECK(error_of(other.table.watch(event.get(), Interest::read)) == EEXIST);
  auto ignore = [](Readiness) {};
  CHECK(error_of(loop.add(event.get(), Interest::read, ignore)) == EEXIST);
  mote::BorrowedSource source;
  CHECK(error_of(source.open(loop, event.get())) == EEXIST);
  turn(loop);
  CHECK(one.told() == Numbers{event.get()});
  REQUIRE(one.table.watch(event.get(), Interest::none));
  REQUIRE(other.table.watch(event.get(), Interest::read));
  turn(loop);
  CHECK(other.told() == Numbers{event.get()});
  CHECK(one.told().empty());
}

ON_BOTH_SELECTORS("foreign: a full table is ENOBUFS, its own or the reactor's, and what is in it stays") {
  test::Loop<S, 3> loop;
  Watched<2> small(loop);
  Watched<4> large(loop);
  const Fd events[] = {ready_event(), ready_event(), ready_event(), ready_event()};
  REQUIRE(small.table.watch(events[0].get(), Interest::read));
  REQUIRE(small.table.watch(events[1].get(), Interest::read));
  CHECK(error_of(small.table.watch(events[2].get(), Interest::read)) == ENOBUFS);
  CHECK(small.table.watch(events[0].get(), both));  // a change needs no room
  REQUIRE(large.table.watch(events[2].get(), Interest::read));
  CHECK(error_of(large.table.watch(events[3].get(), Interest::read)) == ENOBUFS);
  turn(loop);
  CHECK(small.told().size() == 2);
  CHECK(large.told().size() == 1);
  REQUIRE(small.table.watch(events[0].get(), Interest::none));
  CHECK(large.table.watch(events[3].get(), Interest::read));
}

ON_BOTH_SELECTORS("foreign: in a callback: itself or the other one ended, and no event of it comes any more") {
  test::Loop<S> loop;
  Watched<4> watched(loop);
  const Fd events[] = {ready_event(), ready_event()};
  for (const Fd& event : events) REQUIRE(watched.table.watch(event.get(), Interest::read));
  bool forgets = false, ends_other = false;
  SUBCASE("itself, removed") {}
  SUBCASE("itself, forgotten") { forgets = true; }
  SUBCASE("the other, removed") { ends_other = true; }
  SUBCASE("the other, forgotten") { forgets = ends_other = true; }
  int ended = -1;
  watched.act = [&](int fd, Readiness) {
    if (ended >= 0) return;
    ended = fd;
    if (ends_other) ended = fd == events[0].get() ? events[1].get() : events[0].get();
    if (forgets) watched.table.forget(ended);
    else REQUIRE(watched.table.watch(ended, Interest::none));
  };
  turn(loop);
  const std::size_t first = watched.told().size();
  CHECK(first == (ends_other ? 1u : 2u));
  if (forgets) return;  // the descriptor is open, which forget() is not for
  turn(loop);
  CHECK(watched.told() == Numbers{ended == events[0].get() ? events[1].get() : events[0].get()});
}

ON_BOTH_SELECTORS("foreign: in a callback: closed and opened again under the same number, and watched anew") {
  test::Loop<S> loop;
  Watched<4> watched(loop);
  Fd event = ready_event();
  const int number = event.get();
  REQUIRE(watched.table.watch(number, Interest::read));
  int rounds = 0;
  watched.act = [&](int fd, Readiness) {
    ++rounds;
    if (rounds > 3) return;
    REQUIRE(watched.table.watch(fd, Interest::none));
    event.close();
    event = ready_event();
    REQUIRE(event.get() == number);
    REQUIRE(watched.table.watch(number, Interest::read));
  };
  for (int i = 1; i <= 4; ++i) {
    turn(loop);
    CHECK(rounds == i);  // once a turn
  }
  CHECK(loop.stats().descriptors == 1);
}

ON_BOTH_SELECTORS("foreign: in a callback the table may be closed, opened again, or destroyed") {
  test::Loop<S> loop;
  const Fd events[] = {ready_event(), ready_event()};
  auto watched = std::make_unique<Watched<4>>(loop);
  int calls = 0;
  for (const Fd& event : events) REQUIRE(watched->table.watch(event.get(), Interest::read));
  bool destroys = false;
  SUBCASE("closed and opened again") {}
  SUBCASE("destroyed") { destroys = true; }
  auto act = [&](int fd, Readiness) {
    ++calls;
    if (destroys) return watched.reset();
    watched->table.close();
    CHECK_FALSE(watched->table.is_open());
    CHECK(error_of(watched->table.watch(fd, Interest::read)) == ENXIO);
    watched->act = nullptr;
    REQUIRE(watched->table.open(loop, mote::ForeignDescriptorsBase::Callback::of<&Watched<4>::note>(*watched)));
  };
  watched->act = [&act](int fd, Readiness readiness) {
    const auto call = act;  // this function may be destroyed meanwhile
    call(fd, readiness);
  };
  turn(loop);
  CHECK(calls == 1);
  CHECK(loop.stats().descriptors == 0);
  turn(loop);
  CHECK(calls == 1);
  for (const Fd& event : events) CHECK(test::is_open(event.get()));
}

ON_BOTH_SELECTORS("foreign: an open table is not opened twice, and a reactor that is not open is ENXIO") {
  test::Loop<S> loop;
  Watched<1> watched(loop);
  auto note = [](int, Readiness) {};
  CHECK(error_of(watched.table.open(loop, note)) == EBUSY);
  ForeignDescriptors<1> other;
  CHECK(error_of(other.watch(0, Interest::read)) == ENXIO);
  CHECK(other.watch(0, Interest::none).error() == ENXIO);
  other.forget(0);
  other.close();
  typename test::Loop<S>::StaticReactor unopened;
  CHECK(error_of(other.open(unopened, note)) == ENXIO);
  CHECK_FALSE(other.is_open());
}

ON_BOTH_SELECTORS("foreign: a hang-up that stays is told once, and a regular file is always ready") {
  test::Loop<S> loop;
  Watched<4> watched(loop);
  test::Pair pair = test::pipe_pair();
  REQUIRE(watched.table.watch(pair.b.get(), Interest::priority));
  pair.a.close();
  turn(loop, 3);
  REQUIRE(watched.calls.size() == 1);
  CHECK(any(watched.calls[0].readiness & Readiness::error));
  watched.calls.clear();
  const Fd file(::open("/proc/self/exe", O_RDONLY | O_CLOEXEC));
  REQUIRE(watched.table.watch(file.get(), Interest::read));
  turn(loop, 2);
  CHECK(watched.told() == Numbers{file.get(), file.get()});
}
