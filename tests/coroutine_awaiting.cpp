// SPDX-License-Identifier: MIT
// Rooms: coroutine/co.hpp, coroutine/operation_awaiter.hpp, coroutine/this_task.hpp, and every room with operations.
// The tables of docs/awaiting.md, awaited by coroutines; and what a StateMachine awaits in C++20 alone.
// tests/process_docs_snippets.py holds the page to this file: each co_await here is a row there, the type that the line
// behind it states included, and the other way round.
#include <csignal>

#include "support/operations.hpp"

namespace {
using namespace std::chrono_literals;

mote::FramePool<8192, 4> frames;

template <class Expected, class Actual> void gives(const Actual&) {
  static_assert(std::is_same_v<Expected, Actual>, "what the page says that is awaited");
}

// Runs a coroutine to its end.
void run(mote::Reactor& reactor, mote::Co<void> coroutine) {
  mote::CoroutinePool<1> pool;
  mote::Result<mote::TaskHandle> task = pool.spawn(reactor, std::move(coroutine));
  REQUIRE(task);
  CHECK(test::run_until(reactor, [&] { return task->outcome().kind != mote::Outcome::Kind::none; }));
  CHECK(task->outcome().kind == mote::Outcome::Kind::done);
}

mote::Co<void> streams(mote::FrameSource&, mote::Stream stream, mote::Fd peer) {
  char bytes[64], header[4];
  mote::LineReader<64> lines;
  test::send_text(peer.get(), "hello");
  auto seen = co_await stream.ready(mote::Interest::read);
  gives<mote::Result<mote::Readiness>>(seen);
  CHECK((seen && *seen == mote::Readiness::readable));
  auto got = co_await stream.read(bytes);
  gives<mote::Result<std::size_t>>(got);
  CHECK((got && *got == 5));
  test::send_text(peer.get(), "head");
  mote::ByteSpan wanted = header;
  auto whole = co_await stream.read_exactly(wanted);
  gives<mote::Result<void>>(whole);
  CHECK((whole && wanted.empty()));
  CHECK(::memcmp(header, "head", 4) == 0);
  test::send_text(peer.get(), "one line\r\nand a half");
  auto line = co_await lines.read_line(stream);
  gives<mote::Result<mote::ByteView>>(line);
  CHECK((line && line->size() == 8));
  mote::ByteView reply = mote::bytes_of("bye");
  auto sent = co_await stream.write_all(reply);
  gives<mote::Result<void>>(sent);
  CHECK((sent && test::take_all(peer.get()) == "bye"));
  mote::BorrowedSource borrowed;
  CHECK(borrowed.open(stream.reactor(), peer.get()));
  auto writable = co_await borrowed.ready(mote::Interest::write);
  gives<mote::Result<mote::Readiness>>(writable);
  CHECK((writable && *writable == mote::Readiness::writable));
}

ON_BOTH_SELECTORS("awaiting: a stream's operations, in a coroutine") {
  test::Loop<S> loop;
  test::Pair pair = test::socket_pair();
  run(loop, streams(frames, test::open_stream(loop, std::move(pair.a)), std::move(pair.b)));
}

mote::Co<void> connections(mote::FrameSource&, mote::Listener listener) {
  const mote::Endpoint server = *listener.local_endpoint();
  mote::Stream stream;
  auto connected = co_await stream.connect(server);
  gives<mote::Result<void>>(connected);
  CHECK(connected);
  auto client = co_await listener.accept();
  gives<mote::Result<mote::Stream>>(client);
  CHECK((client && client->peer_endpoint()->port() == stream.local_endpoint()->port()));
}

ON_BOTH_SELECTORS("awaiting: connections, in a coroutine") {
  test::Loop<S> loop;
  mote::Listener listener;
  REQUIRE(listener.open(loop, *mote::Endpoint::ip("127.0.0.1", 0)));
  run(loop, connections(frames, std::move(listener)));
}

mote::Co<void> datagrams(mote::FrameSource&, mote::Datagram socket, mote::Datagram other, mote::Endpoint to) {
  const mote::ByteView report = mote::bytes_of("21.5 C");
  char bytes[64];
  mote::Endpoint from;
  {
    auto sent = co_await socket.send_to(report, to);
    gives<mote::Result<void>>(sent);
    CHECK(sent);
  }
  CHECK(socket.connect(to));
  {
    auto sent = co_await socket.send(report);
    gives<mote::Result<void>>(sent);
    CHECK(sent);
  }
  std::swap(socket, other);
  {
    auto received = co_await socket.recv_from(bytes, from);
    gives<mote::Result<mote::Datagram::Received>>(received);
    CHECK((received && received->size == 6 && from.port() == other.local_endpoint()->port()));
  }
  auto received = co_await socket.recv(bytes);
  gives<mote::Result<mote::Datagram::Received>>(received);
  CHECK((received && received->size == 6 && !received->truncated));
}

ON_BOTH_SELECTORS("awaiting: datagrams, in a coroutine") {
  test::Loop<S> loop;
  mote::Datagram a, b;
  REQUIRE(a.open(loop, *mote::Endpoint::ip("127.0.0.1", 0)));
  REQUIRE(b.open(loop, *mote::Endpoint::ip("127.0.0.1", 0)));
  const mote::Endpoint to = *b.local_endpoint();
  run(loop, datagrams(frames, std::move(a), std::move(b), to));
}

mote::Co<void> times(mote::FrameSource&) {
  mote::TaskTimer timer;
  const mote::Instant start = mote::Clock::now();
  auto slept = co_await timer.sleep(10ms);
  gives<mote::Result<void>>(slept);
  CHECK((slept && mote::Clock::now() - start >= 10ms));
  auto ticks = co_await timer.tick(10ms);
  gives<mote::Result<std::uint32_t>>(ticks);
  CHECK((ticks && *ticks >= 1));
  auto yielded = co_await mote::yield();
  gives<mote::Result<void>>(yielded);
  CHECK(yielded);
}

ON_BOTH_SELECTORS("awaiting: time, and the next turn, in a coroutine") {
  test::Loop<S> loop;
  run(loop, times(frames));
}

mote::Co<void> outside(mote::FrameSource&, mote::Waker& waker, mote::Mailbox<int, 4>& mailbox, mote::Signals& signals) {
  waker.wake();
  auto woken = co_await waker.wait();
  gives<mote::Result<void>>(woken);
  CHECK(woken);
  CHECK(mailbox.post(7));
  auto message = co_await mailbox.receive();
  gives<mote::Result<int>>(message);
  CHECK((message && *message == 7));
  ::raise(SIGUSR1);
  auto arrived = co_await signals.next();
  gives<mote::Result<int>>(arrived);
  CHECK((arrived && *arrived == SIGUSR1));
}

ON_BOTH_SELECTORS("awaiting: what comes from outside the loop, in a coroutine") {
  test::Loop<S> loop;
  mote::Waker waker;
  mote::Mailbox<int, 4> mailbox;
  mote::Signals signals;
  REQUIRE(waker.open(loop));
  REQUIRE(mailbox.open(loop));
  REQUIRE(signals.open(loop, {SIGUSR1}));
  run(loop, outside(frames, waker, mailbox, signals));
}

mote::Co<void> nothing(mote::FrameSource&) { co_return; }
mote::Co<int> ask(mote::FrameSource&, int question) { co_return question + 2; }

mote::Co<void> tasks(mote::FrameSource&) {
  mote::CoroutinePool<1> workers;
  mote::TaskGroup<1> group;
  mote::Task& self = co_await mote::this_task();
  gives<mote::Task>(self);
  CHECK(self.is_alive());
  mote::Reactor& reactor = self.reactor();
  mote::TaskHandle worker = std::move(*workers.spawn(reactor, nothing(frames)));
  auto outcome = co_await worker.join();
  gives<mote::Result<mote::Outcome>>(outcome);
  CHECK((outcome && outcome->kind == mote::Outcome::Kind::done));
  CHECK(group.spawn(workers, reactor, nothing(frames)));
  auto vacant = co_await workers.vacancy();
  gives<mote::Result<void>>(vacant);
  CHECK((vacant && workers.vacancies() == 1));
  CHECK(group.spawn(workers, reactor, nothing(frames)));
  auto ended = co_await group.join_all();
  gives<mote::Result<void>>(ended);
  CHECK((ended && group.size() == 0));
  auto answer = co_await ask(frames, 40);
  gives<mote::Result<int>>(answer);
  CHECK((answer && *answer == 42));
}

ON_BOTH_SELECTORS("awaiting: other tasks, and coroutines, in a coroutine") {
  test::Loop<S> loop;
  run(loop, tasks(frames));
}

struct Asks : mote::StateMachine {
  mote::Co<int> question;
  mote::Result<int> answer;

  mote::Step step() {
    MOTE_BEGIN();
    MOTE_AWAIT(answer, question);
    CHECK((answer && *answer == 42));
    MOTE_END();
  }
};

ON_BOTH_SELECTORS("awaiting: a coroutine, in a StateMachine") {
  test::Loop<S> loop;
  mote::TaskPool<Asks, 1> pool;
  mote::Result<mote::TaskHandle> task = pool.spawn(loop, ask(frames, 40));
  REQUIRE(task);
  CHECK(loop.run());
  CHECK(task->outcome().kind == mote::Outcome::Kind::done);
}

mote::Co<void> synchronisation(mote::FrameSource&) {
  mote::Event event;
  mote::Channel<int, 4> samples;
  mote::Semaphore permits(1);
  mote::Mutex mutex;
  const int next = 1;
  event.set();
  auto set = co_await event.wait();
  gives<mote::Result<void>>(set);
  CHECK(set);
  auto queued = co_await samples.send(next);
  gives<mote::Result<void>>(queued);
  CHECK((queued && samples.size() == 1));
  auto sample = co_await samples.receive();
  gives<mote::Result<int>>(sample);
  CHECK((sample && *sample == 1));
  auto permit = co_await permits.acquire();
  gives<mote::Result<void>>(permit);
  CHECK((permit && permits.available() == 0));
  {
    auto guard = co_await mutex.lock();
    gives<mote::Result<mote::Mutex::Guard>>(guard);
    CHECK((guard && mutex.is_locked()));
  }
  CHECK(!mutex.is_locked());
  mote::Completion<long> completion;
  CHECK(completion.set(42L));
  auto answer = co_await completion.wait();
  gives<mote::Result<long>>(answer);
  CHECK((answer && *answer == 42));
}

ON_BOTH_SELECTORS("awaiting: synchronisation, in a coroutine") {
  test::Loop<S> loop;
  run(loop, synchronisation(frames));
}

mote::Co<void> combinations(mote::FrameSource&, mote::Stream stream) {
  mote::Channel<int, 4> samples;
  mote::Semaphore permits(1);
  mote::TaskTimer timer;
  char bytes[64];
  auto got = co_await mote::with_timeout(timer, 10ms, stream.read(bytes));
  gives<mote::Result<std::size_t>>(got);
  CHECK(test::error_of(got) == ETIMEDOUT);
  auto first = co_await mote::first_of(stream.read(bytes), timer.sleep(10ms));
  gives<mote::Result<mote::FirstOf<std::size_t, void>>>(first);
  CHECK((first && first->which == 1 && first->get<1>()));
  CHECK(samples.try_send(3));
  mote::AllOf<int, void> results;
  auto both = co_await mote::all_of(results, samples.receive(), permits.acquire());
  gives<mote::Result<void>>(both);
  CHECK((both && *results.get<0>() == 3 && results.get<1>()));
  mote::ByteView goodbye = mote::bytes_of("bye");
  auto sent = co_await mote::shield(stream.write_all(goodbye));
  gives<mote::Result<void>>(sent);
  CHECK(sent);
}

ON_BOTH_SELECTORS("awaiting: operations made of operations, in a coroutine") {
  test::Loop<S> loop;
  test::Pair pair = test::socket_pair();
  run(loop, combinations(frames, test::open_stream(loop, std::move(pair.a))));
  CHECK(test::take_all(pair.b.get()) == "bye");
  CHECK(frames.size() == 0);
}

mote::Co<int> large(mote::FrameSource&) {
  char bytes[2000];
  static_cast<void>(co_await mote::this_task());
  static_cast<void>(::snprintf(bytes, sizeof bytes, "%d", 42));
  static_cast<void>(co_await mote::yield());
  co_return bytes[0];
}

// An optimiser that puts a frame on its caller's stack would pass the pool by, and its books.
TEST_CASE(
    "coroutines: each frame comes from its pool and tells its own size, even where it never leaves its function") {
  mote::FramePool<8192, 1> pool;
  const std::size_t small_size = ask(pool, 1).frame_size();
  const std::size_t large_size = large(pool).frame_size();
  CHECK(small_size != 0);
  CHECK(small_size < 1000);
  CHECK(large_size > 2000);
  CHECK(large_size == pool.largest());
  CHECK(pool.high_water() == 1);
  CHECK(pool.size() == 0);
}
}  // namespace
