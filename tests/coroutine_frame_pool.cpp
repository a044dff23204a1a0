// SPDX-License-Identifier: MIT
// Rooms: coroutine/frame_pool.hpp, coroutine/frame_allocator.hpp.
// Which pool a coroutine takes its frame from, what happens when none has room, and that it stays within its frame.
#include <algorithm>
#include <memory>

#include "support/coroutines.hpp"

namespace {
using test::Count;
using test::Tracked;

// Which pool has a frame in use, from 1 on; 0: none.
template <class... Pool> int taken_from(const Pool&... pools) {
  const bool has_frame_in_use[] = {pools.size() != 0 ...};
  int which = 0;
  for (std::size_t i = 0; i < sizeof...(pools); ++i) {
    if (has_frame_in_use[i]) which = static_cast<int>(i) + 1;
  }
  return which;
}

mote::Co<int> first(mote::FrameSource&, int a, int b) { co_return a + b; }
mote::Co<int> middle(int a, mote::FrameSource&, int b) { co_return a + b; }
mote::Co<int> last(int a, int b, mote::FrameSource&) { co_return a + b; }
mote::Co<int> as_pool(int a, mote::FramePool<1024, 1>&) { co_return a; }
mote::Co<int> behind_reactor(mote::Reactor&, const char*, mote::FrameSource&) { co_return 0; }
mote::Co<int> of_function(mote::FrameSource&, int (&function)()) { co_return function(); }
struct OnlyDeclared;
mote::Co<int> of_declared(mote::FrameSource&, OnlyDeclared&, const OnlyDeclared*) { co_return 0; }

mote::Co<int> of_reactor(int, mote::Reactor&) { co_return 0; }
template <class S> mote::Co<int> of_loop(test::Loop<S>& loop) { co_return loop.is_open() ? 0 : 1; }
mote::Co<int> of_task(mote::Task&) { co_return 0; }
mote::Co<int> of_stream(mote::Stream&) { co_return 0; }
mote::Co<int> of_const_stream(int, const mote::Stream&) { co_return 0; }
mote::Co<int> of_stream_by_value(mote::Stream stream) { co_return stream.fd(); }
#if defined(__clang__) || __GNUC__ > 11
#define RVALUE_PARAMETERS  // g++ 11 does not pass the arguments on where one is an rvalue reference
mote::Co<int> of_moved_stream(mote::Stream&& stream) { co_return stream.fd(); }
#endif
mote::Co<int> of_datagram(mote::Datagram&) { co_return 0; }
mote::Co<int> of_two(mote::Stream&, mote::Reactor&) { co_return 0; }

// What an application's objects look like.
struct KnowsPool {
  mote::FrameSource* pool;
  mote::FrameSource* frame_pool() const { return pool; }
  mote::Co<int> member(int a) { co_return a; }
  mote::Co<int> constant() const { co_return 1; }
};
struct KnowsLargePool {
  mote::FramePool<1024, 1>* pool;
  mote::FramePool<1024, 1>* frame_pool() { return pool; }
  mote::Co<int> member() { co_return 1; }
};
struct KnowsReactor {
  mote::Reactor& loop;
  mote::Reactor& reactor() { return loop; }
  mote::Co<int> member(int a) { co_return a; }
  mote::Co<int> with_pool(mote::FrameSource&) { co_return 0; }
};
// A reactor whose frame_pool() is the user's own.
template <class S> struct OwnPoolLoop : test::Loop<S> {
  mote::FramePool<1024, 1> frames;
  mote::FrameSource* frame_pool() { return &frames.source(); }
};
template <class S> struct KnowsOwnPoolLoop {
  OwnPoolLoop<S>& loop;
  OwnPoolLoop<S>& reactor() { return loop; }
  mote::Co<int> member(int a) { co_return a; }
};
struct Session : mote::Stream {
  mote::Co<int> serve() { co_return fd(); }
};
struct Overloaded {  // neither of its members is what is looked for
  int frame_pool() const { return 0; }
  const char* reactor() const { return ""; }
};
mote::Co<int> of_overloaded(const Overloaded&, mote::FrameSource&) { co_return 0; }

ON_BOTH_SELECTORS("frames: a pool is found wherever it stands among the arguments, of functions, members and lambdas") {
  mote::FramePool<1024, 1> pool, other;
  CHECK((first(pool, 1, 2) && pool.high_water() == 1));
  CHECK(middle(1, pool, 2));
  CHECK(last(1, 2, pool));
  CHECK(as_pool(1, pool));
  CHECK(of_function(
      pool, *+[] { return 1; }));
  CHECK(of_overloaded(Overloaded(), pool));
  char storage = 0;
  CHECK(of_declared(pool, reinterpret_cast<OnlyDeclared&>(storage), nullptr));
  KnowsPool object{&other.source()};
  CHECK(taken_from(pool, other) == 0);
  CHECK((object.member(1) && other.high_water() == 1));
  CHECK(object.constant());
  KnowsLargePool large{&other};
  CHECK(large.member());
  object.pool = nullptr;
  large.pool = nullptr;
  CHECK(object.member(1).error() == EINVAL);
  CHECK(large.member().error() == EINVAL);
  const auto plain = [](int a, mote::FrameSource&) -> mote::Co<int> { co_return a; };
  int captured = 1;
  const auto capturing = [&captured](mote::FrameSource&) -> mote::Co<int> { co_return captured; };
  const auto generic = [](auto&... given) -> mote::Co<int> { co_return static_cast<int>(sizeof...(given)); };
  CHECK(plain(1, pool));
  CHECK(capturing(pool));
  CHECK(generic(captured, pool, "text"));
  {
    const mote::Co<int> held = plain(1, pool);
    CHECK(taken_from(other, pool) == 2);
  }
  CHECK(pool.refused() == 0);
  CHECK(taken_from(pool, other) == 0);
}

ON_BOTH_SELECTORS("frames: else it is the default pool of the reactor that is an argument, or known to one") {
  mote::FramePool<1024, 1> pool;
  test::Loop<S> loop;
  test::Pair pair = test::socket_pair();
  mote::Stream stream = test::open_stream(loop, std::move(pair.a));
  KnowsReactor object{loop};
  CHECK(of_reactor(1, loop).error() == EINVAL);  // which has none yet
  CHECK(of_stream(stream).error() == EINVAL);
  CHECK(object.member(1).error() == EINVAL);
  loop.set_frame_pool(pool);
  CHECK(of_reactor(1, loop));
  CHECK(of_loop<S>(loop));
  CHECK(of_stream(stream));
  CHECK(of_const_stream(1, stream));
  CHECK(object.member(1));
  OwnPoolLoop<S> other_loop;
  KnowsOwnPoolLoop<S> other{other_loop};
  CHECK(other.member(1));
  CHECK(other_loop.frames.high_water() == 1);
  mote::Datagram datagram;
  CHECK(of_datagram(datagram).error() == EINVAL);
  REQUIRE(datagram.open(loop, mote::Family::unix_domain));
  CHECK(of_datagram(datagram));
#ifdef RVALUE_PARAMETERS
  CHECK(of_moved_stream(std::move(stream)));
  CHECK(stream.is_open());
#endif
  {
    const mote::Co<int> takes_over = of_stream_by_value(std::move(stream));
    CHECK(takes_over);
    CHECK(!stream.is_open());
  }
  CHECK(loop.stats().descriptors == 1);  // it went with the coroutine that never began
  Session session;
  CHECK(session.serve().error() == EINVAL);
  REQUIRE(session.open(loop, std::move(pair.b)));
  CHECK(session.serve());
  const auto lambda = [](mote::Reactor&, int a) -> mote::Co<int> { co_return a; };
  CHECK(lambda(loop, 1));
  struct Spawner {
    mote::Step step(mote::Task& task) {
      CHECK(of_task(task));
      return mote::done();
    }
  };
  mote::TaskPool<Spawner, 1> tasks;
  CHECK(tasks.spawn(loop));
  test::turns(loop);
  CHECK(loop.stats().tasks == 0);
  CHECK(pool.size() == 0);
  CHECK(pool.high_water() == 1);
}

ON_BOTH_SELECTORS(
    "frames: a pool among the arguments goes before any default, and a stream that is not open has none") {
  mote::FramePool<1024, 1> named, standard;
  test::Loop<S> loop;
  loop.set_frame_pool(standard);
  {
    const mote::Co<int> co = behind_reactor(loop, "", named);
    CHECK(taken_from(standard, named) == 2);
  }
  {
    KnowsReactor object{loop};
    const mote::Co<int> co = object.with_pool(named);
    CHECK(taken_from(standard, named) == 2);
  }
  mote::Stream closed;
  CHECK(of_stream(closed).error() == EINVAL);
  CHECK(of_stream_by_value(mote::Stream()).error() == EINVAL);
  const mote::Co<int> co = of_two(closed, loop);  // then the next one that has
  CHECK(taken_from(named, standard) == 2);
}

// ---- none to be had ---------------------------------------------------------------------------------------------------

// (The event's type is a parameter for g++ 11, which does not compile an await in a template that depends on none.)
template <std::size_t Size, class Event = mote::Event>
mote::Co<int> with_local(mote::FrameSource&, int fill, Event* event) {
  volatile unsigned char bytes[Size];
  for (auto& byte : bytes) byte = static_cast<unsigned char>(fill);
  if (event != nullptr) static_cast<void>(co_await event->wait());
  int different = 0;
  for (auto& byte : bytes) different += byte != fill;
  co_return different;
}
constexpr mote::Event* no_event = nullptr;
mote::Co<int> takes(mote::FrameSource&, Tracked tracked) { co_return tracked.value; }
struct alignas(128) Wide {
  Wide() = default;
  Wide(const Wide& other) { ::memcpy(bytes, other.bytes, sizeof bytes); }  // not trivial: passed by its address
  unsigned char bytes[128] = {};
};
mote::Co<int> takes_wide(mote::FrameSource&, Wide wide) { co_return wide.bytes[0]; }
mote::Co<int> try_wide(mote::FrameSource& from) { return takes_wide(from, Wide()); }  // a temporary of no coroutine

mote::Co<void> ask(mote::FrameSource&, mote::FrameSource& from, Count& count, int (&seen)[3]) {
  seen[0] = test::error_of(co_await with_local<2000>(from, 1, no_event));
  const mote::Co<int> holds = takes(from, Tracked(count, 1));
  const mote::Result<int> refused = co_await takes(from, Tracked(count, 2));
  seen[1] = test::error_of(refused);
  seen[2] = test::error_of(co_await try_wide(from));
}
ON_BOTH_SELECTORS("frames: too large is EMSGSIZE, none left ENOBUFS, over-aligned EINVAL: told where it is awaited") {
  test::Loop<S> loop;
  mote::FramePool<1024, 1> pool;
  mote::FramePool<2048, 1> own;
  Count count;
  int seen[3] = {};
  CHECK(test::succeeds(loop, ask(own, pool, count, seen)));
  CHECK(seen[0] == EMSGSIZE);
  CHECK(seen[1] == ENOBUFS);
  CHECK(seen[2] == EINVAL);
  CHECK(count.alive == 0);
  CHECK(count.destroyed >= 2);
  CHECK(pool.size() == 0);
  CHECK(pool.high_water() == 1);
  CHECK(pool.refused() == 2);
  CHECK(pool.largest() >= 2000);
}

struct Stepper : mote::StateMachine {
  mote::Co<int> child;
  mote::Result<int>& got;
  mote::Step step() {
    MOTE_BEGIN();
    MOTE_AWAIT(got, child);
    MOTE_END();
  }
};
ON_BOTH_SELECTORS("frames: what has none is not spawned, and answers why, however it is awaited") {
  test::Loop<S> loop;
  mote::CoroutinePool<1> tasks;
  mote::FramePool<1024, 1> pool;
  const mote::Co<int> holds = first(pool, 1, 2);
  CHECK(test::error_of(tasks.spawn(loop, first(pool, 1, 2))) == ENOBUFS);
  CHECK(test::error_of(tasks.spawn(loop, with_local<2000>(pool, 1, no_event))) == EMSGSIZE);
  CHECK(test::error_of(tasks.spawn(loop, takes_wide(pool, Wide()))) == EINVAL);
  CHECK(tasks.size() == 0);
  CHECK(loop.stats().tasks == 0);
  mote::TaskPool<Stepper, 1> steppers;
  mote::Result<int> got;
  CHECK(steppers.spawn(loop, first(pool, 1, 2), got));
  CHECK(loop.run());
  CHECK(test::error_of(got) == ENOBUFS);
  CHECK(pool.refused() == 3);
}

TEST_CASE("frames: a refused coroutine leaves its arguments to the caller, who may try again") {
  mote::FramePool<1024, 1> pool;
  std::unique_ptr<int> value = std::make_unique<int>(5);
  const mote::Co<int> holds = first(pool, 1, 2);
  const auto take = [](mote::FrameSource&, std::unique_ptr<int> taken) -> mote::Co<int> { co_return *taken; };
#ifdef RVALUE_PARAMETERS
  const auto use = [](mote::FrameSource&, std::unique_ptr<int>&& used) -> mote::Co<int> { co_return *used; };
  CHECK(use(pool, std::move(value)).error() == ENOBUFS);
  CHECK(value != nullptr);
#endif
  CHECK(take(pool, std::move(value)).error() == ENOBUFS);
  CHECK(value == nullptr);  // a parameter of its own, gone with the call
}

// ---- alignment --------------------------------------------------------------------------------------------------------

struct alignas(64) Line {
  Line() = default;
  Line(const Line& other) { ::memcpy(bytes, other.bytes, sizeof bytes); }
  unsigned char bytes[64] = {};
};
template <class T> bool is_aligned(const T& object) {
  const volatile auto address = reinterpret_cast<std::uintptr_t>(&object);  // not taken for granted
  return address % alignof(T) == 0;
}
mote::Co<int> aligned(mote::FrameSource&, char before, Line parameter, mote::Event& event) {
  Line local;
  alignas(32) char half[3] = {before, before, before};
  bool all = is_aligned(parameter) && is_aligned(local) && reinterpret_cast<std::uintptr_t>(&half) % 32 == 0;
  parameter.bytes[63] = 1;
  local.bytes[0] = 1;
  static_cast<void>(co_await event.wait());
  Line after;
  all = all && is_aligned(parameter) && is_aligned(local) && is_aligned(after);
  static_cast<void>(co_await mote::yield());
  after.bytes[1] = 1;
  co_return all ? parameter.bytes[63] + local.bytes[0] + half[2] + after.bytes[1] : -1;
}
mote::Co<void> get(mote::FrameSource& from, mote::Event& event, int& got) {
  got = *co_await aligned(from, 1, Line(), event);
}
ON_BOTH_SELECTORS("frames: locals and parameters of alignas(64) lie where they should, in each slot") {
  test::Loop<S> loop;
  mote::FramePool<2048, 6> pool;
  mote::CoroutinePool<3> tasks;
  mote::Event event;
  int got[3] = {};
  for (int& one : got) CHECK(tasks.spawn(loop, get(pool, event, one)));
  test::turns(loop);
  CHECK(pool.size() == 6);
  event.set();
  CHECK(loop.run());
  for (const int one : got) CHECK(one == 4);
}

#ifdef MOTE_TEST_ALIGNED_ALLOCATION  // the compiler was told to tell: -fcoro-aligned-allocation
mote::Co<int> wide_local(mote::FrameSource&, mote::Event& event) {
  Wide wide;
  static_cast<void>(co_await event.wait());
  co_return wide.bytes[0];
}
TEST_CASE("frames: an over-aligned local is EINVAL, where the compiler tells") {
  mote::FramePool<2048, 1> pool;
  mote::Event event;
  CHECK(wide_local(pool, event).error() == EINVAL);
  CHECK(aligned(pool, 1, Line(), event));
}
#endif

// ---- size classes -----------------------------------------------------------------------------------------------------

TEST_CASE(
    "frames: size classes: too large for one, or no room left in it, goes to the next, and back to where it was") {
  mote::FramePool<512, 2> small;
  mote::FramePool<1024, 1> medium;
  mote::FramePool<4096, 1> large;
  small.or_else(medium);
  medium.or_else(large);
  {
    const mote::Co<int> one = with_local<700>(small, 1, no_event);
    CHECK(one);
    CHECK(small.size() == 0);
    CHECK(medium.size() == 1);
    CHECK(small.refused() == 1);
    const mote::Co<int> two = with_local<700>(small, 1, no_event);  // no room in its own class
    CHECK(large.size() == 1);
    CHECK(medium.refused() == 1);
    const mote::Co<int> three = with_local<2000>(small, 1, no_event);
    CHECK(three.error() == ENOBUFS);  // there is a class for it
    CHECK(with_local<5000>(small, 1, no_event).error() == EMSGSIZE);
  }
  CHECK(taken_from(small, medium, large) == 0);
  {
    const mote::Co<int> a = first(small, 1, 1), b = first(small, 1, 1), c = first(small, 1, 1), d = first(small, 1, 1);
    CHECK((a && b && c && d));
    CHECK(small.size() == 2);
    CHECK(medium.size() == 1);
    CHECK(large.size() == 1);
    CHECK(first(small, 1, 1).error() == ENOBUFS);
    CHECK(first(large, 1, 1).error() == ENOBUFS);
  }
  CHECK(taken_from(small, medium, large) == 0);
  CHECK(small.high_water() == 2);
  CHECK(medium.high_water() == 1);
  CHECK(large.high_water() == 1);
  CHECK(small.largest() >= 5000);
  CHECK(large.largest() == small.largest());
  mote::Co<int> kept = first(small, 1, 1);
  kept = with_local<2000>(small, 1, no_event);  // what it was goes back
  CHECK(small.size() == 0);
  CHECK(large.size() == 1);
}

TEST_CASE("frames: they are given back in any order, and a pool is as good as new") {
  mote::FramePool<512, 3> pool;
  for (int round = 0; round < 6; ++round) {
    mote::Co<int> all[3] = {first(pool, 1, 1), first(pool, 1, 1), first(pool, 1, 1)};
    CHECK(pool.size() == 3);
    CHECK(first(pool, 1, 1).error() == ENOBUFS);
    const mote::Co<int> gone = std::move(all[round % 3]);
    all[(round + 1 + round / 3) % 3] = mote::Co<int>(first(pool, 1, 1));
  }
  CHECK(pool.size() == 0);
  CHECK(pool.high_water() == 3);
}

// ---- which coroutine needs how many bytes -----------------------------------------------------------------------------
// The recipe of docs/testing.md: called with a pool that is too small for any frame, a coroutine does not begin, and its
// frame's size is told all the same.

mote::Co<mote::Result<void>> blink(mote::FrameSource&, mote::TaskTimer& timer) {
  for (;;) {
    const auto ticked = co_await timer.tick(std::chrono::milliseconds(500));
    if (!ticked) co_return ticked.error();
  }
}
mote::Co<void> serve(mote::Stream stream) {
  char bytes[256];
  while (const auto n = co_await stream.read(bytes)) {
    if (*n == 0) co_return;
  }
}
mote::FramePool<1024, 8> frames;

struct Need {
  const char* coroutine;
  std::size_t bytes;
};
ON_BOTH_SELECTORS(
    "frames: which coroutine needs how many bytes is told without one being begun, and checked in a test") {
  test::Loop<S> loop;
  mote::FramePool<16, 1> none;
  loop.set_frame_pool(none);
  test::Pair pair = test::socket_pair();
  mote::TaskTimer timer;
  const Need needs[] = {
      {"blink", blink(none, timer).frame_size()},
      {"serve", serve(test::open_stream(loop, std::move(pair.a))).frame_size()},
  };
  for (const Need& need : needs) {  // so that none is ever refused as too large by `frames`
    INFO(std::string(need.coroutine) << ": " << need.bytes << " bytes");
    CHECK(need.bytes <= 1024);
  }
  CHECK(needs[1].bytes > 256);
  CHECK(none.size() == 0);
  CHECK(none.refused() == 2);
  CHECK(none.largest() == std::max(needs[0].bytes, needs[1].bytes));
  CHECK(blink(frames, timer).frame_size() == needs[0].bytes);  // and that is what it is
  CHECK(frames.largest() == needs[0].bytes);
}

// ---- memory -----------------------------------------------------------------------------------------------------------

constexpr std::size_t room = 1024, slots = 4;
constexpr unsigned char untouched = 0xa5;

// Runs one that holds `Local` bytes in the third slot: beside it two frames that are suspended, and a slot that was never
// used. What lies outside of its frame is as it was.
template <class S, std::size_t Local> std::size_t stays_within() {
  struct Guarded {
    unsigned char before[64];
    mote::FramePool<room, slots> pool;
    unsigned char after[64];
  };
  const auto guarded = std::make_unique<Guarded>();
  auto& pool = guarded->pool;
  auto* const bytes = reinterpret_cast<unsigned char*>(&pool);
  constexpr std::size_t stride = (room + sizeof(void*) + 63) / 64 * 64, begin = sizeof pool - slots * stride;
  static_assert(begin % 64 == 0);
  ::memset(guarded->before, untouched, sizeof guarded->before);
  ::memset(guarded->after, untouched, sizeof guarded->after);
  ::memset(bytes + begin, untouched, slots * stride);  // slots that were never used are just bytes
  const auto is_untouched = [](const unsigned char* from, const unsigned char* to) {
    for (; from != to; ++from)
      if (*from != untouched) return false;
    return true;
  };
  test::Loop<S> loop;
  mote::CoroutinePool<3> tasks;
  mote::Event event, others;
  CHECK(tasks.spawn(loop, with_local<200>(pool, 0x11, &others)));
  CHECK(tasks.spawn(loop, with_local<300>(pool, 0x22, &others)));
  test::turns(loop);
  unsigned char neighbours[2 * stride];
  ::memcpy(neighbours, bytes + begin, sizeof neighbours);
  mote::Co<int> co = with_local<Local>(pool, 0x33, &event);
  const std::size_t size = co.frame_size();
  const bool fits = static_cast<bool>(co);
  CHECK(fits == (size <= room));
  if (fits) {
    CHECK(tasks.spawn(loop, std::move(co)));
    test::turns(loop);
    CHECK(!is_untouched(bytes + begin + 2 * stride, bytes + begin + 2 * stride + size));
    event.set();
    test::turns(loop);
    CHECK(pool.size() == 2);
  }
  const std::size_t whole = fits ? (size + sizeof(void*) - 1) / sizeof(void*) * sizeof(void*) + sizeof(void*) : 0;
  CHECK(is_untouched(bytes + begin + 2 * stride + whole, bytes + begin + 4 * stride));
  CHECK(is_untouched(guarded->before, guarded->before + 64));
  CHECK(is_untouched(guarded->after, guarded->after + 64));
  CHECK(::memcmp(neighbours, bytes + begin, sizeof neighbours) == 0);
  others.set();
  CHECK(loop.run());
  CHECK(pool.size() == 0);
  CHECK(is_untouched(bytes + begin + 2 * stride + whole, bytes + begin + 4 * stride));
  return size;
}
template <class S, std::size_t... I> std::size_t all_sizes(std::index_sequence<I...>) {
  return std::max({stays_within<S, 1 + I * 85>()...});
}
ON_BOTH_SELECTORS("frames: memory of a frame is never written outside its slot, whatever its size") {
  CHECK(all_sizes<S>(std::make_index_sequence<14>()) > room);  // beyond what fits, too
}
}  // namespace
