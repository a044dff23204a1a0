// SPDX-License-Identifier: MIT
// Rooms: io/borrowed_source.hpp, io/source_base.hpp, reactor/descriptor_numbers.hpp.
// Borrowed sources: readiness of a descriptor that is somebody else's, who closes it when he likes.
#include <sys/epoll.h>
#include <sys/eventfd.h>

#include <memory>

#include "support/descriptors.hpp"
#include "support/operations.hpp"

using mote::BorrowedSource;
using mote::Fd;
using mote::Interest;
using mote::Readiness;
using test::error_of;
using test::turn;
using test::waiting;

ON_BOTH_SELECTORS("borrowed: its readiness is awaited, and the descriptor stays open and as it was") {
  test::Loop<S> loop;
  int fds[2];
  REQUIRE(::pipe2(fds, O_CLOEXEC) == 0);
  const Fd reader(fds[0]), writer(fds[1]);
  {
    BorrowedSource source;
    REQUIRE(source.open(loop, reader.get()));
    CHECK(source.is_open());
    CHECK(source.fd() == reader.get());
    CHECK(&source.reactor() == &loop);
    CHECK(test::is_blocking(reader.get()));
    auto task = waiting(loop, [&] { return source.ready(Interest::read); });
    test::send_text(writer.get(), "x");
    REQUIRE(task->finish());
    CHECK(*task->result == Readiness::readable);
    CHECK(test::take_all(reader.get()) == "x");  // nothing has been taken
  }
  CHECK(test::is_open(reader.get()));
  CHECK(test::is_blocking(reader.get()));
  CHECK(loop.stats().descriptors == 0);
  test::send_text(writer.get(), "y");
  CHECK(test::turns(loop) == 0);  // it is registered no more
}

ON_BOTH_SELECTORS("borrowed: closed while a task waits: that gets ECANCELED, and the descriptor lives on") {
  test::Loop<S> loop;
  test::Pair pair = test::socket_pair();
  BorrowedSource source;
  CHECK(error_of(test::await(loop, [&] { return source.ready(Interest::read); })) == EBADF);  // never opened
  REQUIRE(source.open(loop, pair.a.get()));
  CHECK(error_of(source.open(loop, pair.b.get())) == EBUSY);
  auto task = waiting(loop, [&] { return source.ready(Interest::read); });
  source.close();
  source.close();  // twice is once
  CHECK(source.fd() == -1);
  turn(loop);
  CHECK(error_of(task->result) == ECANCELED);
  CHECK(test::is_open(pair.a.get()));
  test::send_text(pair.b.get(), "x");
  CHECK(test::turns(loop) == 0);  // it is in the selector no more
  REQUIRE(source.open(loop, pair.a.get()));
  CHECK(*test::await(loop, [&] { return source.ready(Interest::write); }) == Readiness::writable);
}

ON_BOTH_SELECTORS("borrowed: a descriptor is borrowed once: by another, by a handler or a source it is EEXIST") {
  test::Loop<S> loop;
  test::Pair pair = test::socket_pair();
  const int fd = pair.a.get();
  BorrowedSource first, second;
  REQUIRE(first.open(loop, fd));
  CHECK(error_of(second.open(loop, fd)) == EEXIST);
  CHECK_FALSE(second.is_open());
  CHECK(test::is_open(fd));
  CHECK(loop.stats().descriptors == 1);
  auto ignore = [](Readiness) {};
  CHECK(error_of(loop.add(fd, Interest::read, ignore)) == EEXIST);  // though nothing is armed yet
  auto task = waiting(loop, [&] { return first.ready(Interest::read); });
  CHECK(error_of(loop.add(fd, Interest::read, ignore)) == EEXIST);
  first.close();
  const mote::Result<mote::Registration> added = loop.add(fd, Interest::read, ignore);
  REQUIRE(added);
  CHECK(error_of(second.open(loop, fd)) == EEXIST);
  REQUIRE(loop.remove(*added));
  CHECK(second.open(loop, fd));
}

ON_BOTH_SELECTORS("borrowed: an open that was refused leaves no trace: one that was never open still says so") {
  test::Loop<S> loop;
  test::Pair pair = test::socket_pair();
  BorrowedSource first, second;
  REQUIRE(first.open(loop, pair.a.get()));
  REQUIRE(error_of(second.open(loop, pair.a.get())) == EEXIST);
  CHECK(error_of(test::await(loop, [&] { return second.ready(Interest::read); })) == EBADF);
  REQUIRE(second.open(loop, pair.b.get()));
  second.close();
  REQUIRE(error_of(second.open(loop, pair.a.get())) == EEXIST);
  CHECK(error_of(test::await(loop, [&] { return second.ready(Interest::read); })) == ECANCELED);  // it was closed
  CHECK(loop.stats().descriptors == 1);
}

ON_BOTH_SELECTORS("borrowed: it stays the only one when its interest has been disarmed") {
  test::Loop<S> loop;
  test::Pair pair = test::socket_pair();
  BorrowedSource source, other;
  REQUIRE(source.open(loop, pair.a.get()));
  auto task = waiting(loop, [&] { return source.ready(Interest::read); });
  test::send_text(pair.b.get(), "x");
  REQUIRE(task->finish());
  REQUIRE(test::comes_to_rest(loop));  // nobody waits, and it is still readable
  CHECK(error_of(other.open(loop, pair.a.get())) == EEXIST);
  auto ignore = [](Readiness) {};
  CHECK(error_of(loop.add(pair.a.get(), Interest::read, ignore)) == EEXIST);
  CHECK(*test::await(loop, [&] { return source.ready(Interest::read); }) == Readiness::readable);
}

ON_BOTH_SELECTORS(
    "borrowed: whose owner closes first is told EBADF at the next look, and its task ECANCELED by close()") {
  test::Loop<S> loop;
  test::Pair pair = test::socket_pair();
  BorrowedSource source;
  REQUIRE(source.open(loop, pair.a.get()));
  auto task = waiting(loop, [&] { return source.ready(Interest::read); });
  pair.a.close();
  if constexpr (std::is_same_v<S, test::OnPoll>) {
    CHECK(error_of(task->finish()) == EBADF);
  } else {
    turn(loop, 3);
    CHECK_FALSE(task->done());
    source.close();
    turn(loop);
    CHECK(error_of(task->result) == ECANCELED);
  }
  source.close();
  CHECK(loop.stats().descriptors == 0);
  CHECK(test::turns(loop) == 0);
}

ON_BOTH_SELECTORS("borrowed: what has the owner's number next is left alone by close()") {
  test::Loop<S> loop;
  BorrowedSource source;
  Fd old(::eventfd(0, EFD_NONBLOCK));
  const int number = old.get();
  REQUIRE(source.open(loop, number));
  auto task = waiting(loop, [&] { return source.ready(Interest::read); });
  old.close();
  const Fd next(::eventfd(1, EFD_NONBLOCK));
  REQUIRE(next.get() == number);
  mote::Source taken;
  int events = 0;
  auto count = [&](Readiness) { ++events; };
  CHECK(error_of(loop.add(number, Interest::read, count)) == EEXIST);
  source.close();
  CHECK(test::is_open(number));
  REQUIRE(loop.add(number, Interest::read, count));
  turn(loop);
  CHECK(events == 1);
  CHECK(error_of(task->finish()) == ECANCELED);
}

ON_BOTH_SELECTORS("borrowed: it may be moved, a task that waits gets ECANCELED, and nothing is closed") {
  test::Loop<S> loop;
  test::Pair pair = test::socket_pair();
  BorrowedSource source;
  REQUIRE(source.open(loop, pair.a.get()));
  auto task = waiting(loop, [&] { return source.ready(Interest::read); });
  BorrowedSource moved = std::move(source);
  turn(loop);
  CHECK(error_of(task->result) == ECANCELED);
  CHECK_FALSE(source.is_open());
  CHECK(*test::await(loop, [&] { return moved.ready(Interest::write); }) == Readiness::writable);
  BorrowedSource other;
  REQUIRE(other.open(loop, pair.b.get()));
  moved = std::move(other);
  CHECK(test::is_open(pair.a.get()));
  CHECK(moved.fd() == pair.b.get());
  CHECK(loop.stats().descriptors == 1);
}

ON_BOTH_SELECTORS("borrowed: where the reactor goes first it goes empty, and the descriptor stays open") {
  test::Pair pair = test::socket_pair();
  BorrowedSource source;
  {
    test::Loop<S> loop;
    REQUIRE(source.open(loop, pair.a.get()));
  }
  CHECK_FALSE(source.is_open());
  CHECK(test::is_open(pair.a.get()));
  source.close();
  test::Loop<S> other;
  CHECK(source.open(other, pair.a.get()));
}

ON_BOTH_SELECTORS("borrowed: what is refused stays open") {
  test::Loop<S, 1> loop;
  test::Pair pair = test::socket_pair();
  BorrowedSource source, other;
  CHECK(error_of(source.open(loop, -1)) == EBADF);
  const int closed = ::dup(pair.a.get());
  ::close(closed);
  CHECK(error_of(source.open(loop, closed)) == EBADF);
  REQUIRE(source.open(loop, pair.a.get()));
  CHECK(error_of(other.open(loop, pair.b.get())) == ENOBUFS);
  CHECK(test::is_open(pair.b.get()));
  typename test::Loop<S>::StaticReactor unopened;
  CHECK(error_of(other.open(unopened, pair.b.get())) == ENXIO);
  CHECK(test::is_open(pair.b.get()));
  CHECK(error_of(test::await(loop, [&] { return source.ready(Interest::none); })) == EINVAL);
}
