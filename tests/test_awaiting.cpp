// SPDX-License-Identifier: MIT
// Rooms: task/state_machine.hpp, task/operation.hpp, and every room with operations.
// The tables of docs/awaiting.md, awaited by StateMachine tasks. tests/process_docs_snippets.py holds the page to this
// file: each MOTE_AWAIT here is a row there, and the other way round.
#include <csignal>

#include "support/operations.hpp"

namespace {
using namespace std::chrono_literals;

// Makes a task of the arguments, and runs it to its end.
template <class T, class... A> void run(mote::Reactor& reactor, A&&... arguments) {
  mote::TaskPool<T, 1> pool;
  mote::Result<mote::TaskHandle> task = pool.spawn(reactor, std::forward<A>(arguments)...);
  REQUIRE(task);
  CHECK(test::run_until(reactor, [&] { return task->outcome().kind != mote::Outcome::Kind::none; }));
  CHECK(task->outcome().kind == mote::Outcome::Kind::done);
}

struct Streams : mote::StateMachine {
  mote::Stream stream;
  mote::Fd peer;
  mote::BorrowedSource borrowed;
  char bytes[64], header[4];
  mote::ByteSpan wanted;
  mote::ByteView reply;
  mote::LineReader<64> lines;
  mote::Result<std::size_t> got;
  mote::Result<void> whole;
  mote::Result<void> sent;
  mote::Result<mote::ByteView> line;
  mote::Result<mote::Readiness> seen;
  mote::Result<mote::Readiness> writable;

  mote::Step step() {
    MOTE_BEGIN();
    test::send_text(peer.get(), "hello");
    MOTE_AWAIT(seen, stream.ready(mote::Interest::read));
    CHECK((seen && *seen == mote::Readiness::readable));
    MOTE_AWAIT(got, stream.read(bytes));
    CHECK((got && *got == 5));
    test::send_text(peer.get(), "head");
    wanted = header;
    MOTE_AWAIT(whole, stream.read_exactly(wanted));
    CHECK((whole && wanted.empty()));
    CHECK(::memcmp(header, "head", 4) == 0);
    test::send_text(peer.get(), "one line\r\nand a half");
    MOTE_AWAIT(line, lines.read_line(stream));
    CHECK((line && line->size() == 8));
    reply = mote::bytes_of("bye");
    MOTE_AWAIT(sent, stream.write_all(reply));
    CHECK((sent && test::take_all(peer.get()) == "bye"));
    CHECK(borrowed.open(reactor(), peer.get()));
    MOTE_AWAIT(writable, borrowed.ready(mote::Interest::write));
    CHECK((writable && *writable == mote::Readiness::writable));
    MOTE_END();
  }
};

ON_BOTH_SELECTORS("awaiting: a stream's operations, in a StateMachine") {
  test::Loop<S> loop;
  test::Pair pair = test::socket_pair();
  run<Streams>(loop, test::open_stream(loop, std::move(pair.a)), std::move(pair.b));
}

struct Connections : mote::StateMachine {
  mote::Listener listener;
  mote::Endpoint server;
  mote::Stream stream;
  mote::Result<void> connected;
  mote::Result<mote::Stream> client;

  mote::Step step() {
    MOTE_BEGIN();
    MOTE_AWAIT(connected, stream.connect(server));
    CHECK(connected);
    MOTE_AWAIT(client, listener.accept());
    CHECK((client && client->peer_endpoint()->port() == stream.local_endpoint()->port()));
    MOTE_END();
  }
};

ON_BOTH_SELECTORS("awaiting: connections, in a StateMachine") {
  test::Loop<S> loop;
  mote::Listener listener;
  REQUIRE(listener.open(loop, *mote::Endpoint::ip("127.0.0.1", 0)));
  const mote::Endpoint server = *listener.local_endpoint();
  run<Connections>(loop, std::move(listener), server);
}

struct Datagrams : mote::StateMachine {
  mote::Datagram socket, other;
  mote::Endpoint to, from;
  char bytes[64];
  mote::ByteView report;
  mote::Result<void> sent;
  mote::Result<mote::Datagram::Received> received;

  mote::Step step() {
    MOTE_BEGIN();
    report = mote::bytes_of("21.5 C");
    MOTE_AWAIT(sent, socket.send_to(report, to));
    CHECK(sent);
    CHECK(socket.connect(to));
    MOTE_AWAIT(sent, socket.send(report));
    CHECK(sent);
    std::swap(socket, other);
    MOTE_AWAIT(received, socket.recv_from(bytes, from));
    CHECK((received && received->size == 6 && from.port() == other.local_endpoint()->port()));
    MOTE_AWAIT(received, socket.recv(bytes));
    CHECK((received && received->size == 6 && !received->truncated));
    MOTE_END();
  }
};

ON_BOTH_SELECTORS("awaiting: datagrams, in a StateMachine") {
  test::Loop<S> loop;
  mote::Datagram a, b;
  REQUIRE(a.open(loop, *mote::Endpoint::ip("127.0.0.1", 0)));
  REQUIRE(b.open(loop, *mote::Endpoint::ip("127.0.0.1", 0)));
  const mote::Endpoint to = *b.local_endpoint();
  run<Datagrams>(loop, std::move(a), std::move(b), to);
}

struct Times : mote::StateMachine {
  mote::TaskTimer timer;
  mote::Result<void> slept;
  mote::Result<std::uint32_t> ticks;
  mote::Instant start{};

  mote::Step step() {
    MOTE_BEGIN();
    start = mote::Clock::now();
    MOTE_AWAIT(slept, timer.sleep(10ms));
    CHECK((slept && mote::Clock::now() - start >= 10ms));
    MOTE_AWAIT(ticks, timer.tick(10ms));
    CHECK((ticks && *ticks >= 1));
    MOTE_YIELD();
    MOTE_END();
  }
};

ON_BOTH_SELECTORS("awaiting: time, and the next turn, in a StateMachine") {
  test::Loop<S> loop;
  run<Times>(loop);
}

struct Outside : mote::StateMachine {
  mote::Waker& waker;
  mote::Mailbox<int, 4>& mailbox;
  mote::Signals& signals;
  mote::Result<void> woken;
  mote::Result<int> message;
  mote::Result<int> arrived;

  mote::Step step() {
    MOTE_BEGIN();
    waker.wake();
    MOTE_AWAIT(woken, waker.wait());
    CHECK(woken);
    CHECK(mailbox.post(7));
    MOTE_AWAIT(message, mailbox.receive());
    CHECK((message && *message == 7));
    ::raise(SIGUSR1);
    MOTE_AWAIT(arrived, signals.next());
    CHECK((arrived && *arrived == SIGUSR1));
    MOTE_END();
  }
};

ON_BOTH_SELECTORS("awaiting: what comes from outside the loop, in a StateMachine") {
  test::Loop<S> loop;
  mote::Waker waker;
  mote::Mailbox<int, 4> mailbox;
  mote::Signals signals;
  REQUIRE(waker.open(loop));
  REQUIRE(mailbox.open(loop));
  REQUIRE(signals.open(loop, {SIGUSR1}));
  run<Outside>(loop, waker, mailbox, signals);
}

struct Worker {
  mote::Step step(mote::Task&) { return mote::done(); }
};
using Workers = mote::TaskPool<Worker, 1>;

struct Tasks : mote::StateMachine {
  Workers& workers;
  mote::TaskGroup<1>& group;
  mote::TaskHandle worker;
  mote::Task* self = nullptr;
  mote::Result<mote::Outcome> outcome;
  mote::Result<void> vacant;
  mote::Result<void> ended;

  mote::Step step() {
    MOTE_BEGIN();
    self = &task();
    CHECK((self != nullptr && &self->reactor() == &reactor()));
    worker = std::move(*workers.spawn(reactor()));
    MOTE_AWAIT(outcome, worker.join());
    CHECK((outcome && outcome->kind == mote::Outcome::Kind::done));
    CHECK(group.spawn(workers, reactor()));
    MOTE_AWAIT(vacant, workers.vacancy());
    CHECK((vacant && workers.vacancies() == 1));
    CHECK(group.spawn(workers, reactor()));
    MOTE_AWAIT(ended, group.join_all());
    CHECK((ended && group.size() == 0));
    MOTE_END();
  }
};

ON_BOTH_SELECTORS("awaiting: other tasks, in a StateMachine") {
  test::Loop<S> loop;
  Workers workers;
  mote::TaskGroup<1> group;
  run<Tasks>(loop, workers, group);
}

struct Synchronisation : mote::StateMachine {
  mote::Event& event;
  mote::Channel<int, 4>& samples;
  mote::Semaphore& permits;
  mote::Mutex& mutex;
  mote::Completion<long>& completion;
  int next = 1;
  mote::Result<void> set;
  mote::Result<long> answer;
  mote::Result<void> queued;
  mote::Result<int> sample;
  mote::Result<void> permit;
  mote::Result<mote::Mutex::Guard> guard;

  mote::Step step() {
    MOTE_BEGIN();
    event.set();
    MOTE_AWAIT(set, event.wait());
    CHECK(set);
    MOTE_AWAIT(queued, samples.send(next));
    CHECK((queued && samples.size() == 1));
    MOTE_AWAIT(sample, samples.receive());
    CHECK((sample && *sample == 1));
    MOTE_AWAIT(permit, permits.acquire());
    CHECK((permit && permits.available() == 0));
    MOTE_AWAIT(guard, mutex.lock());
    CHECK((guard && mutex.is_locked()));
    CHECK(completion.set(42L));
    MOTE_AWAIT(answer, completion.wait());
    CHECK((answer && *answer == 42));
    MOTE_END();
  }
};

ON_BOTH_SELECTORS("awaiting: synchronisation, in a StateMachine") {
  test::Loop<S> loop;
  mote::Event event;
  mote::Channel<int, 4> samples;
  mote::Semaphore permits(1);
  mote::Mutex mutex;
  mote::Completion<long> completion;
  run<Synchronisation>(loop, event, samples, permits, mutex, completion);
  CHECK(!mutex.is_locked());
}

struct Combinations : mote::StateMachine {
  mote::Stream stream;
  mote::Channel<int, 4>& samples;
  mote::Semaphore& permits;
  mote::TaskTimer timer;
  char bytes[64];
  mote::ByteView goodbye;
  mote::AllOf<int, void> results;
  mote::Result<std::size_t> got;
  mote::Result<mote::FirstOf<std::size_t, void>> first;
  mote::Result<void> both;
  mote::Result<void> sent;

  mote::Step step() {
    MOTE_BEGIN();
    MOTE_AWAIT(got, mote::with_timeout(timer, 10ms, stream.read(bytes)));
    CHECK(test::error_of(got) == ETIMEDOUT);
    MOTE_AWAIT(first, mote::first_of(stream.read(bytes), timer.sleep(10ms)));
    CHECK((first && first->which == 1 && first->get<1>()));
    CHECK(samples.try_send(3));
    MOTE_AWAIT(both, mote::all_of(results, samples.receive(), permits.acquire()));
    CHECK((both && *results.get<0>() == 3 && results.get<1>()));
    goodbye = mote::bytes_of("bye");
    MOTE_AWAIT(sent, mote::shield(stream.write_all(goodbye)));
    CHECK(sent);
    MOTE_END();
  }
};

ON_BOTH_SELECTORS("awaiting: operations made of operations, in a StateMachine") {
  test::Loop<S> loop;
  test::Pair pair = test::socket_pair();
  mote::Channel<int, 4> samples;
  mote::Semaphore permits(1);
  run<Combinations>(loop, test::open_stream(loop, std::move(pair.a)), samples, permits);
  CHECK(test::take_all(pair.b.get()) == "bye");
}
}  // namespace
