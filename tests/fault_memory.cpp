// SPDX-License-Identifier: MIT
// Rooms: every room: none calls the heap, none writes outside its storage.
// No operation of the library calls the heap, and none writes outside of the memory that it was given. The heap's
// functions are replaced for the whole test program (or, under a sanitizer, its own hooks are used), and count what is
// asked of them while a test forbids it.
#include <signal.h>
#include <stdlib.h>

#include <new>

#include "support/harness.hpp"
#include "support/virtual_time.hpp"

using namespace std::chrono_literals;

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define TEST_WITH_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define TEST_WITH_SANITIZER 1
#endif
#endif

using test::VirtualTime;

namespace {

// Volatile: compilers know malloc(), and that it looks at nobody's variables.
volatile bool heap_forbidden = false;
volatile int heap_calls = 0;

[[maybe_unused]] void note_heap_call() {
  if (heap_forbidden) heap_calls = heap_calls + 1;
}

}  // namespace

#ifdef TEST_WITH_SANITIZER
extern "C" int __sanitizer_install_malloc_and_free_hooks(void (*on_malloc)(const volatile void*, size_t),
                                                         void (*on_free)(const volatile void*));
namespace {
constexpr bool heap_is_watched = true;
const int hooks_installed = __sanitizer_install_malloc_and_free_hooks(
    [](const volatile void* /*memory*/, size_t /*size*/) { note_heap_call(); },
    [](const volatile void* memory) {
      if (memory != nullptr) note_heap_call();
    });
}  // namespace
#elif defined(__GLIBC__)
// Also what the C library itself asks for, in strerror() or snprintf() say, comes by here; and operator new.
extern "C" {
void* __libc_malloc(size_t size);
void* __libc_calloc(size_t count, size_t size);
void* __libc_realloc(void* memory, size_t size);
void* __libc_memalign(size_t alignment, size_t size);
void __libc_free(void* memory);

void* malloc(size_t size) {
  note_heap_call();
  return __libc_malloc(size);
}
void* calloc(size_t count, size_t size) {
  note_heap_call();
  return __libc_calloc(count, size);
}
void* realloc(void* memory, size_t size) {
  note_heap_call();
  return __libc_realloc(memory, size);
}
void* aligned_alloc(size_t alignment, size_t size) {
  note_heap_call();
  return __libc_memalign(alignment, size);
}
int posix_memalign(void** memory, size_t alignment, size_t size) {
  note_heap_call();
  *memory = __libc_memalign(alignment, size);
  return *memory == nullptr ? ENOMEM : 0;
}
void free(void* memory) {
  if (memory != nullptr) note_heap_call();
  __libc_free(memory);
}
}
namespace {
constexpr bool heap_is_watched = true;
}
#else  // musl has no other name for its malloc()
namespace {
constexpr bool heap_is_watched = false;
}
#endif

namespace {

using Seam = mote::FaultSystem;

// From here to the end of its scope the heap is forbidden. doctest itself uses it, so a test notes what it sees in plain
// variables and checks them afterwards.
struct NoHeap {
  NoHeap() {
    heap_calls = 0;
    heap_forbidden = true;
  }
  ~NoHeap() { heap_forbidden = false; }
  NoHeap(const NoHeap&) = delete;
  NoHeap& operator=(const NoHeap&) = delete;
};

// A connection as in the examples; each step of it awaits another operation.
struct Everything : mote::StateMachine {
  mote::Stream stream;
  mote::LineReader<32> reader;
  mote::TaskTimer timer;
  mote::Result<mote::ByteView> line;
  mote::Result<void> sent;
  mote::Result<std::uint32_t> tick;
  mote::Result<mote::Readiness> ready;
  mote::Result<std::size_t> got;
  mote::ByteView reply;
  mote::ByteSpan rest;
  char bytes[16];
  explicit Everything(mote::Stream s) : stream(std::move(s)) {}
  mote::Step step() {
    MOTE_BEGIN();
    MOTE_AWAIT(line, reader.read_line(stream));
    if (!line) return mote::failed(line.error());
    reply = *line;
    MOTE_AWAIT(sent, stream.write_all(reply));
    MOTE_AWAIT(sent, timer.sleep(1ms));
    MOTE_AWAIT(tick, timer.tick(1ms));
    timer.reset();
    MOTE_AWAIT(got, mote::with_timeout(timer, 1ms, stream.read(bytes)));
    if (got || got.error() != ETIMEDOUT) return mote::failed(EPROTO);
    MOTE_YIELD();
    MOTE_AWAIT(ready, stream.ready(mote::Interest::write));
    return mote::failed(ENOANO);  // what nobody joins is reported to the observer
    MOTE_END();
  }
};

struct Serve : mote::StateMachine {
  mote::Listener& listener;
  mote::TaskPool<Everything, 2>& pool;
  mote::Result<mote::Stream> client;
  mote::Result<void> vacant;
  mote::Result<mote::Outcome> outcome;
  mote::TaskHandle handle;
  bool& joined;
  Serve(mote::Listener& l, mote::TaskPool<Everything, 2>& p, bool& j) : listener(l), pool(p), joined(j) {}
  mote::Step step() {
    MOTE_BEGIN();
    MOTE_AWAIT(client, listener.accept());
    if (!client) return mote::failed(client.error());
    MOTE_AWAIT(vacant, pool.vacancy());
    if (mote::Result<mote::TaskHandle> spawned = pool.spawn(reactor(), std::move(*client)))
      handle = std::move(*spawned);
    MOTE_AWAIT(outcome, handle.join());
    joined = outcome && outcome->kind == mote::Outcome::Kind::failed;
    MOTE_END();
  }
};

struct Counter {
  int events = 0, wakes = 0, signals = 0, ticks = 0, messages = 0, observations = 0;
  mote::Mailbox<int, 4>* mailbox = nullptr;
  int fd = -1;
  void on_event(mote::Readiness) {
    char byte;
    events += static_cast<int>(::read(fd, &byte, 1));
  }
  void on_wake() { ++wakes; }
  void on_signal(int) { ++signals; }
  void on_time() { ++ticks; }
  void on_message() {
    while (mailbox->try_receive()) ++messages;
  }
  void on_observation(const mote::Observation&) { ++observations; }
};

void do_nothing(const mote::Task&) {}

}  // namespace

TEST_CASE("the trap works: a heap call is noticed where it is forbidden") {
  if (!heap_is_watched) return;
  {
    NoHeap no_heap;
    void* volatile memory = ::malloc(10);
    ::free(memory);
  }
  CHECK(heap_calls == 2);
  {
    NoHeap no_heap;
    int* volatile number = new int(1);
    delete number;
  }
  CHECK(heap_calls == 2);
}

// One walk through all of the library, from opening to closing, with its failures.
ON_BOTH_SELECTORS("no heap call in any library operation") {
  const int master = ::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);  // the C library's own affair
  REQUIRE(master >= 0);
  REQUIRE(::grantpt(master) == 0);
  REQUIRE(::unlockpt(master) == 0);
  char path[64];
  REQUIRE(::ptsname_r(master, path, sizeof path) == 0);
  static_cast<void>(::strerror(ENOANO));  // its buffer, where the C library has one
  test::Pair pipe = test::pipe_pair(), socket = test::socket_pair(), inherited = test::pipe_pair();
  mote::Endpoint any;
  any.address()->sa_family = AF_UNIX;
  any.resize(sizeof(sa_family_t));
  static mote::TaskPool<Everything, 2> pool;
  static mote::TaskPool<Serve, 1> servers;
  VirtualTime time;
  Counter counter;
  counter.fd = pipe.a.get();
  bool opened = true, joined = false, worked = true;
  mote::Fd client;
  mote::Endpoint::Text text{};
  mote::Result<mote::ShutdownReport> report;
  {
    NoHeap no_heap;
    mote::StaticReactor<typename S::template Config<16>> loop;
    opened = opened && loop.open() && loop.enable_wakeups();
    loop.observe(mote::Observer::template of<&Counter::on_observation>(counter));

    // Registrations, timers, wake-ups.
    const auto on_event = mote::Handler::template of<&Counter::on_event>(counter);
    const auto registration = loop.add(pipe.a.get(), mote::Interest::read, on_event);
    worked = worked && registration && !loop.add(pipe.a.get(), mote::Interest::read, on_event);
    worked =
        worked && loop.modify(*registration, mote::Interest::none) && loop.modify(*registration, mote::Interest::read);
    mote::Timer once, periodic;
    once.arm(loop, 1ms, mote::Timer::Callback::template of<&Counter::on_time>(counter));
    once.rearm(2ms);
    periodic.arm_every(loop, 1ms, mote::Timer::Callback::template of<&Counter::on_time>(counter));
    mote::Waker waker;
    opened = opened && waker.open(loop, mote::Delegate<void()>::template of<&Counter::on_wake>(counter));
    mote::Mailbox<int, 4> mailbox;
    counter.mailbox = &mailbox;
    opened = opened && mailbox.open(loop, mote::Delegate<void()>::template of<&Counter::on_message>(counter));
    for (int i = 0; i < 5; ++i) worked = static_cast<bool>(mailbox.post(i)) == (i < 4) && worked;
    waker.wake();
    mote::Signals signals;
    opened =
        opened && signals.open(loop, {SIGUSR1}, mote::Delegate<void(int)>::template of<&Counter::on_signal>(counter));
    ::raise(SIGUSR1);
    static_cast<void>(::write(pipe.b.get(), "x", 1));
    worked = worked && loop.run_for(5ms);
    periodic.cancel();
    signals.close();
    worked = worked && loop.remove(*registration) && !loop.remove(*registration);

    // Tasks and streams.
    mote::Listener listener;
    opened = opened && listener.open(loop, any);
    worked = worked && servers.spawn(loop, listener, pool, joined);
    const mote::Result<mote::Endpoint> at = listener.local_endpoint();
    opened = opened && at;
    text = at->text();
    client = mote::Fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    opened =
        opened && ::connect(client.get(), at->address(), at->size()) == 0 && ::write(client.get(), "line\n", 5) == 5;
    worked = worked && loop.run_for(10ms);
    loop.for_each_task([](const mote::Task& task) { do_nothing(task); });
    static_cast<void>(loop.after_fork_in_child());

    // Other descriptors.
    mote::Source source;
    opened = opened && source.open(loop, std::move(inherited.a)) && source.watch(mote::Interest::read, on_event);
    mote::Datagram datagram, unbound;
    const mote::Result<mote::Endpoint> local = mote::Endpoint::parse("127.0.0.1:0");
    opened = opened && local && datagram.open(loop, *local) && unbound.open(loop, mote::Family::ipv4);
    const mote::Result<mote::Endpoint> target = datagram.local_endpoint();
    worked = worked && target && unbound.try_send_to(mote::bytes_of("data"), &*target);
    mote::SerialPort port;
    opened = opened && port.open(loop, path);
    mote::Stream stream;
    opened = opened && stream.open(loop, std::move(socket.a));
    worked =
        worked && stream.try_write(mote::bytes_of("data")) && !stream.set_no_delay(true) && stream.shutdown_write();

    // The end, with grace and a cancelled, stuck or unjoined task; and errors printed where there is no observer.
    mote::Stream second;
    test::Pair pair;
    int fds[2] = {};
    worked = worked && ::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) == 0;
    pair.b = mote::Fd(fds[1]);
    worked = worked && second.open(loop, mote::Fd(fds[0])) && pool.spawn(loop, std::move(second));
    mote::GracefulShutdown shutdown(loop, {SIGUSR1}, 2ms, 1ms);
    Seam::state.before_wait = [](void*) {
      Seam::state.before_wait = nullptr;
      ::raise(SIGUSR1);
    };
    report = shutdown.run();
  }
  ::close(master);
  CHECK(heap_calls == 0);
  CHECK(opened);
  CHECK(worked);
  CHECK(joined);
  CHECK(report);
  CHECK(counter.events == 1);
  CHECK(counter.ticks == 6);
  CHECK(counter.wakes == 1);
  CHECK(counter.messages == 4);
  CHECK(counter.signals == 1);
  CHECK(::strncmp(text.data, "unix:@", 6) == 0);
}

ON_BOTH_SELECTORS("no heap call when everything is full or fails") {
  test::Pair pipe = test::pipe_pair();
  int results[6] = {};
  VirtualTime time;
  {
    NoHeap no_heap;
    mote::StaticReactor<typename S::template Config<1>> loop;
    mote::TaskPool<Everything, 1> pool;
    Counter counter;
    const auto on_event = mote::Handler::template of<&Counter::on_event>(counter);
    results[0] = loop.run().error().code();
    static_cast<void>(loop.open());
    static_cast<void>(loop.add(pipe.a.get(), mote::Interest::none, on_event));
    results[1] = loop.add(pipe.b.get(), mote::Interest::none, on_event).error().code();
    static_cast<void>(pool.spawn(loop, mote::Stream()));
    results[2] = pool.spawn(loop, mote::Stream()).error().code();
    // Its failure is printed to standard error, which is sent elsewhere.
    Seam::state.faults[0] = {Seam::Call::write, 1, EIO, UINT32_MAX};
    static_cast<void>(loop.run_once(mote::Duration::zero()));
    results[3] = static_cast<int>(loop.stats().tasks_failed);
    Seam::state.faults[0] = {};
    const mote::Result<mote::Endpoint> bad = mote::Endpoint::parse("nonsense");
    results[4] = bad.error().code();
    mote::Listener listener;
    const mote::Result<mote::Endpoint> local = mote::Endpoint::parse("127.0.0.1:0");
    results[5] = listener.open(loop, *local).error().code();
  }
  CHECK(heap_calls == 0);
  CHECK(results[0] == ENXIO);
  CHECK(results[1] == ENOBUFS);
  CHECK(results[2] == ENOBUFS);
  CHECK(results[3] == 1);
  CHECK(results[4] == EINVAL);
  CHECK(results[5] == ENOBUFS);
}

// ------------------------------------------------------------------------------------------------ the pools' memory

namespace {

constexpr unsigned char canary = 0xa5;

// An object with bytes before and after it that nobody may change.
template <class T> struct Guarded {
  unsigned char before[64];
  T object;
  unsigned char after[64];
  Guarded() {
    ::memset(before, canary, sizeof before);
    ::memset(after, canary, sizeof after);
  }
  bool intact() const { return all(before) && all(after); }
  static bool all(const unsigned char (&bytes)[64]) {
    for (const unsigned char byte : bytes) {
      if (byte != canary) return false;
    }
    return true;
  }
};

// A task whose own object is nothing but bytes that say whose they are.
struct Stamped {
  static constexpr std::size_t size = 77;
  static inline int alive = 0, damaged = 0, misplaced = 0;
  static inline const unsigned char *pool_begin = nullptr, *pool_end = nullptr;
  unsigned char bytes[size];
  unsigned char stamp;
  int steps;

  Stamped(unsigned char s, int n) : stamp(s), steps(n) {
    ::memset(bytes, stamp, size);
    ++alive;
    const auto* const begin = reinterpret_cast<const unsigned char*>(this);
    if (begin < pool_begin || begin + sizeof *this > pool_end) ++misplaced;
  }
  Stamped(const Stamped&) = delete;
  Stamped& operator=(const Stamped&) = delete;
  ~Stamped() {
    check();
    ::memset(bytes, 0, size);
    --alive;
  }
  void check() {
    for (const unsigned char byte : bytes) {
      if (byte != stamp) ++damaged;
    }
  }
  mote::Step step(mote::Task& task) {
    check();
    if (steps == 0) return stamp % 3 == 0 ? mote::failed(ECANCELED) : mote::done();
    if (--steps % 2 == 0) task.wake();
    return mote::pending;
  }
};

}  // namespace

ON_BOTH_SELECTORS(
    "memory of a pool never written outside its slot: 100,000 random spawns, steps, wakes, cancels and ends") {
  VirtualTime time;
  auto& guarded = *[] {
    static Guarded<mote::TaskPool<Stamped, 7>> memory;
    return &memory;
  }();
  static Guarded<mote::StaticReactor<typename S::template Config<4>>> guarded_loop;
  auto& loop = guarded_loop.object;
  auto& pool = guarded.object;
  REQUIRE(loop.open());
  Stamped::alive = 0;
  Stamped::damaged = 0;
  Stamped::misplaced = 0;
  Stamped::pool_begin = reinterpret_cast<const unsigned char*>(&pool);
  Stamped::pool_end = Stamped::pool_begin + sizeof pool;
  mote::TaskHandle handles[10];
  std::uint32_t random = 12345;
  bool intact = true;
  for (int i = 0; i < 100'000; ++i) {
    random = random * 1664525u + 1013904223u;
    mote::TaskHandle& handle = handles[(random >> 8) % 10];
    switch ((random >> 16) % 8) {
      case 0:
      case 1:
      case 2: {
        const std::uint32_t size = pool.size();
        auto spawned = pool.spawn(loop, static_cast<unsigned char>(random >> 24), static_cast<int>((random >> 12) % 5));
        if (static_cast<bool>(spawned) != (size < 7)) intact = false;
        if (spawned) handle = std::move(*spawned);
        break;
      }
      case 3: handle.detach(); break;
      case 4: handle.cancel(); break;
      case 5: static_cast<void>(handle.destroy()); break;
      case 6:
        if (handle) handle.get()->wake();
        break;
      default:
        if (!loop.run_once(0s)) intact = false;
    }
    // A detached task that is suspended would stay for ever.
    if (i % 64 == 0) loop.for_each_task([](const mote::Task& task) { const_cast<mote::Task&>(task).wake(); });
    intact = intact && guarded.intact() && guarded_loop.intact();
  }
  CHECK(intact);
  CHECK(Stamped::damaged == 0);
  CHECK(Stamped::misplaced == 0);
  for (mote::TaskHandle& handle : handles) handle.detach();
  loop.destroy_all_tasks();
  CHECK(Stamped::alive == 0);
  CHECK(pool.size() == 0);
}

TEST_CASE("slots of a pool that were never needed are never touched") {
  static mote::TaskPool<Stamped, 100> pool;  // all zero bits at first
  static mote::StaticReactor<> loop;
  VirtualTime time;
  REQUIRE(loop.open());
  Stamped::pool_begin = reinterpret_cast<const unsigned char*>(&pool);
  Stamped::pool_end = Stamped::pool_begin + sizeof pool;
  for (int i = 0; i < 1000; ++i) {
    REQUIRE(pool.spawn(loop, static_cast<unsigned char>(i), 0));
    REQUIRE(pool.spawn(loop, static_cast<unsigned char>(i), 0));
    REQUIRE(loop.run_once(0s));
  }
  CHECK(pool.high_water() == 2);
  // Most of it: what lies beyond the two slots and the pool's own part, wherever that is.
  std::size_t touched = 0;
  for (const unsigned char* byte = Stamped::pool_begin; byte != Stamped::pool_end; ++byte) touched += *byte != 0;
  CHECK(touched <= 2 * (sizeof(mote::Task) + sizeof(Stamped) + 16) + sizeof(mote::detail::TaskStore));
}

ON_BOTH_SELECTORS("no operation writes beyond the buffer that it was given, whatever its length") {
  VirtualTime time;
  test::Loop<S, 8> loop;
  test::Pair pair = test::socket_pair();
  mote::Stream stream;
  mote::Datagram datagram;
  REQUIRE(stream.open(loop, std::move(pair.a)));
  REQUIRE(datagram.open(loop, *mote::Endpoint::parse("127.0.0.1:0")));
  const mote::Endpoint to = *datagram.local_endpoint();
  for (std::size_t length = 1; length <= 20; ++length) {
    unsigned char bytes[40], datagram_bytes[40];
    ::memset(bytes, canary, sizeof bytes);
    ::memset(datagram_bytes, canary, sizeof datagram_bytes);
    test::send_text(pair.b.get(), "abcdefghijklmnopqrstuvwxyz");
    const auto got = stream.try_read({bytes + 10, length});
    REQUIRE(got);
    CHECK(*got == length);
    REQUIRE(datagram.try_send_to(mote::bytes_of("abcdefghijklmnopqrstuvwxyz"), &to));
    struct pollfd arrives {
      datagram.fd(), POLLIN, 0
    };
    REQUIRE(::poll(&arrives, 1, 5000) == 1);
    const auto received = datagram.try_recv({datagram_bytes + 10, length});
    REQUIRE(received);
    CHECK(received->size == length);
    CHECK(received->truncated);
    for (std::size_t i = 0; i < sizeof bytes; ++i) {
      const bool inside = i >= 10 && i < 10 + length;
      CHECK((bytes[i] != canary) == inside);
      CHECK((datagram_bytes[i] != canary) == inside);
    }
    char rest[64];
    while (stream.try_read(rest)) {}
  }
}
