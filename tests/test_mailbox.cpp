// SPDX-License-Identifier: MIT
// Rooms: thread/mailbox.hpp.
// Messages from other threads to the loop.
#include <atomic>
#include <optional>
#include <thread>
#include <vector>

#include "support/harness.hpp"
#include "support/interruption.hpp"

namespace {

using mote::Mailbox;
using mote::Result;
using mote::Timer;
using test::Loop;
using namespace std::chrono_literals;

// What each producer sends. It may be set by -D; by default it is less on the boards, whose tests mostly run under
// emulation, some 50 times slower.
#ifdef MOTE_TEST_MESSAGES
constexpr std::uint32_t messages = MOTE_TEST_MESSAGES;
#elif defined(__x86_64__) || defined(__i386__)
constexpr std::uint32_t messages = 1'000'000;
#else
constexpr std::uint32_t messages = 20'000;
#endif
constexpr std::uint32_t producers = 4;

struct Message {
  std::uint32_t producer = 0;
  std::uint32_t number = 0;
};

// Posts until it is taken.
template <class M> void post_surely(M& mailbox, Message message) {
  while (!mailbox.post(message)) std::this_thread::yield();
}

// Checks that each producer's messages come in order, none missing.
struct Order {
  std::array<std::uint32_t, producers> next{};
  std::uint64_t received = 0;
  bool wrong = false;
  void take(const Message& message) {
    ++received;
    if (message.producer >= producers || message.number != next[message.producer]++) wrong = true;
  }
};

// A value that can only be moved, and counts how many of it are alive.
struct Counted {
  static inline std::atomic<int> alive{0};
  int value = 0;
  Counted() { ++alive; }
  explicit Counted(int v) : value(v) { ++alive; }
  Counted(Counted&& other) noexcept : value(other.value) {
    other.value = -1;
    ++alive;
  }
  Counted& operator=(Counted&& other) noexcept {
    value = other.value;
    other.value = -1;
    return *this;
  }
  ~Counted() { --alive; }
};

template <class M> struct Receiver : mote::StateMachine {
  M* mailbox;
  std::vector<int>* values;
  Result<int> message;

  mote::Step step() {
    MOTE_BEGIN();
    for (;;) {
      MOTE_AWAIT(message, mailbox->receive());
      if (!message) return mote::failed(message.error());
      values->push_back(*message);
    }
    MOTE_END();
  }
  Receiver(M& m, std::vector<int>& v) : mailbox(&m), values(&v) {}
};

}  // namespace

ON_BOTH_SELECTORS("mailbox: messages come in order, by a callback") {
  Loop<S> loop;
  Mailbox<int, 8> mailbox;
  std::vector<int> received;
  auto receive = [&] {
    while (Result<int> message = mailbox.try_receive()) received.push_back(*message);
  };
  REQUIRE(mailbox.open(loop, receive));
  for (int i = 0; i < 5; ++i) CHECK(mailbox.post(i));
  CHECK(received.empty());
  REQUIRE(loop.run_once());
  CHECK(received == std::vector<int>{0, 1, 2, 3, 4});
  CHECK(mailbox.try_receive().error() == EAGAIN);
}

TEST_CASE("mailbox: a message may be written in braces") {
  struct Reading {
    int sensor;
    double value;
  };
  Mailbox<Reading, 2> mailbox;
  CHECK(mailbox.post({3, 0.5}));
  const Result<Reading> reading = mailbox.try_receive();
  REQUIRE(reading);
  CHECK((reading->sensor == 3 && reading->value == 0.5));
}

ON_BOTH_SELECTORS("mailbox: full is ENOBUFS, loses nothing, and ends when a message is taken") {
  Loop<S> loop;
  Mailbox<int, 4> mailbox;
  REQUIRE(mailbox.open(loop));
  for (int lap = 0; lap < 5; ++lap) {
    for (int i = 0; i < 4; ++i) CHECK(mailbox.post(lap * 10 + i));
    CHECK(mailbox.post(99).error() == ENOBUFS);
    CHECK(mailbox.post(99).error() == ENOBUFS);
    Result<int> first = mailbox.try_receive();
    REQUIRE(first);
    CHECK(*first == lap * 10);
    CHECK(mailbox.post(lap * 10 + 4));
    CHECK(mailbox.post(99).error() == ENOBUFS);
    for (int i = 1; i <= 4; ++i) {
      Result<int> message = mailbox.try_receive();
      REQUIRE(message);
      CHECK(*message == lap * 10 + i);
    }
    CHECK(mailbox.try_receive().error() == EAGAIN);
  }
}

ON_BOTH_SELECTORS("mailbox: full, a message that can only be moved is as it was") {
  Loop<S> loop;
  {
    Mailbox<Counted, 1> mailbox;  // the least capacity
    REQUIRE(mailbox.open(loop));
    Counted first(1), second(2);
    CHECK(mailbox.post(std::move(first)));
    CHECK(first.value == -1);
    CHECK(mailbox.post(std::move(second)).error() == ENOBUFS);
    CHECK(second.value == 2);
    Result<Counted> message = mailbox.try_receive();
    REQUIRE(message);
    CHECK(message->value == 1);
    CHECK(mailbox.post(std::move(second)));
    CHECK(mailbox.try_receive()->value == 2);
  }
  CHECK(Counted::alive == 0);
}

ON_BOTH_SELECTORS("mailbox: messages that nobody took are destroyed with it") {
  Loop<S> loop;
  {
    Mailbox<Counted, 8> mailbox;
    REQUIRE(mailbox.open(loop));
    for (int i = 0; i < 5; ++i) CHECK(mailbox.post(Counted(i)));
    CHECK(mailbox.try_receive());
    CHECK(Counted::alive == 4);
  }
  CHECK(Counted::alive == 0);
}

// The storm: the mailbox is small, so that it is full most of the time.
ON_BOTH_SELECTORS("mailbox: 4 producers x 1,000,000 messages none lost, order kept per producer, by a callback") {
  Loop<S> loop;
  static Mailbox<Message, 1024> mailbox;
  Order order;
  auto receive = [&] {
    while (Result<Message> message = mailbox.try_receive()) order.take(*message);
    if (order.received == std::uint64_t{producers} * messages) loop.stop();
  };
  REQUIRE(mailbox.open(loop, receive));
  std::vector<std::thread> threads;
  for (std::uint32_t p = 0; p < producers; ++p) {
    threads.emplace_back([p] {
      for (std::uint32_t i = 0; i < messages; ++i) post_surely(mailbox, {p, i});
    });
  }
  const Result<void> ran = loop.run_for(110s);
  // If any is lost, the threads that still post must not wait for ever.
  const bool complete = order.received == std::uint64_t{producers} * messages;
  while (!complete && mailbox.try_receive()) {}
  for (std::thread& thread : threads) thread.join();
  CHECK(ran);
  CHECK(order.received == std::uint64_t{producers} * messages);
  CHECK_FALSE(order.wrong);
  CHECK_FALSE(mailbox.try_receive());
  mailbox.close();
}

ON_BOTH_SELECTORS("mailbox: 4 producers, none lost, order kept per producer, by a task that awaits") {
  struct Consumer : mote::StateMachine {
    Mailbox<Message, 64>* mailbox;
    Order* order;
    Result<Message> message;
    mote::Step step() {
      MOTE_BEGIN();
      while (order->received < std::uint64_t{producers} * (messages / 20)) {
        MOTE_AWAIT(message, mailbox->receive());
        if (!message) return mote::failed(message.error());
        order->take(*message);
      }
      MOTE_END();
    }
    Consumer(Mailbox<Message, 64>& m, Order& o) : mailbox(&m), order(&o) {}
  };
  Loop<S> loop;
  mote::TaskPool<Consumer, 1> pool;
  static Mailbox<Message, 64> mailbox;
  Order order;
  REQUIRE(mailbox.open(loop));
  Result<mote::TaskHandle> consumer = pool.spawn(loop, mailbox, order);
  REQUIRE(consumer);
  std::vector<std::thread> threads;
  for (std::uint32_t p = 0; p < producers; ++p) {
    threads.emplace_back([p] {
      for (std::uint32_t i = 0; i < messages / 20; ++i) post_surely(mailbox, {p, i});
    });
  }
  CHECK(test::run_until(
      loop, [&] { return consumer->outcome().kind != mote::Outcome::Kind::none; }, 60s));
  for (std::thread& thread : threads) thread.join();
  CHECK(consumer->outcome().kind == mote::Outcome::Kind::done);
  CHECK_FALSE(order.wrong);
  mailbox.close();
}

// The interruption stands for another producer that posts meanwhile, and for a loop that takes what is there. So there
// are never more than two messages.
TEST_CASE("mailbox: post is not refused while there is room, whatever other threads do") {
  static Mailbox<int, 4> mailbox;
  bool refused = false;
  auto others = [&] {
    if (!mailbox.post(2)) refused = true;
    while (mailbox.try_receive()) continue;
  };
  auto post = [&] {
    test::Interruption::begin();
    const Result<void> posted = mailbox.post(1);
    test::Interruption::end();
    return posted && !refused ? 0 : 1;
  };
  test::Interruption::at_every_instruction(post, others);
}

ON_BOTH_SELECTORS("mailbox: a message posted while the loop waits wakes it, each time") {
  Loop<S> loop;
  Mailbox<int, 2> mailbox;
  std::atomic<int> seen{-1};
  constexpr int rounds = messages >= 1'000'000 ? 5'000 : 500;
  auto receive = [&] {
    while (Result<int> message = mailbox.try_receive()) seen.store(*message);
    if (seen.load() == rounds - 1) loop.stop();
  };
  REQUIRE(mailbox.open(loop, receive));
  bool refused = false;
  std::thread producer([&] {
    for (int i = 0; i < rounds; ++i) {
      if (!mailbox.post(i)) refused = true;
      const mote::Instant limit = mote::Clock::now() + 20s;
      while (seen.load() != i) {
        std::this_thread::yield();
        if (mote::Clock::now() > limit) return;
      }
    }
  });
  REQUIRE(loop.run_for(60s));
  producer.join();
  CHECK(seen.load() == rounds - 1);
  CHECK_FALSE(refused);
}

ON_BOTH_SELECTORS("mailbox: what was posted before it was opened is not lost") {
  Loop<S> loop;
  Mailbox<int, 4> mailbox;
  std::vector<int> received;
  auto receive = [&] {
    while (Result<int> message = mailbox.try_receive()) received.push_back(*message);
  };
  CHECK(mailbox.post(1));
  REQUIRE(mailbox.open(loop, receive));
  CHECK(mailbox.post(2));
  CHECK(test::run_until(
      loop, [&] { return received.size() == 2; }, 2s));
  CHECK(received == std::vector<int>{1, 2});
}

ON_BOTH_SELECTORS("mailbox: a message posted before it was opened is told, even if no other follows") {
  Loop<S> loop;
  Mailbox<int, 4> mailbox;
  std::vector<int> received;
  auto receive = [&] {
    while (Result<int> message = mailbox.try_receive()) received.push_back(*message);
  };
  CHECK(mailbox.post(1));
  REQUIRE(mailbox.open(loop, receive));
  CHECK(test::run_until(
      loop, [&] { return received.size() == 1; }, 1s));
}

ON_BOTH_SELECTORS("mailbox: a task that receives waits, and takes what comes in order") {
  using Box = Mailbox<int, 16>;
  Loop<S> loop;
  Box mailbox;
  mote::TaskPool<Receiver<Box>, 1> pool;
  std::vector<int> values;
  REQUIRE(mailbox.open(loop));
  Result<mote::TaskHandle> task = pool.spawn(loop, mailbox, values);
  REQUIRE(task);
  REQUIRE(loop.run_once(0ns));
  CHECK(values.empty());
  for (int i = 0; i < 3; ++i) CHECK(mailbox.post(i));
  CHECK(test::run_until(loop, [&] { return values.size() == 3; }));
  CHECK(mailbox.post(3));
  CHECK(test::run_until(loop, [&] { return values.size() == 4; }));
  CHECK(values == std::vector<int>{0, 1, 2, 3});
}

ON_BOTH_SELECTORS("mailbox: a task that finds messages without end lets the others run") {
  using Box = Mailbox<int, 1024>;
  Loop<S> loop;
  static Box mailbox;
  mote::TaskPool<Receiver<Box>, 1> pool;
  std::vector<int> values;
  REQUIRE(mailbox.open(loop));
  REQUIRE(pool.spawn(loop, mailbox, values));
  for (int i = 0; i < 1000; ++i) CHECK(mailbox.post(i));
  REQUIRE(loop.run_once(0ns));
  CHECK(values.size() <= static_cast<std::size_t>(mote::limits::operations_per_step));
  CHECK(test::run_until(loop, [&] { return values.size() == 1000; }));
  mailbox.close();
}

ON_BOTH_SELECTORS("mailbox: a task that receives and is cancelled gets ECANCELED, and no message is lost") {
  using Box = Mailbox<int, 4>;
  Loop<S> loop;
  Box mailbox;
  mote::TaskPool<Receiver<Box>, 1> pool;
  std::vector<int> values;
  REQUIRE(mailbox.open(loop));
  Result<mote::TaskHandle> task = pool.spawn(loop, mailbox, values);
  REQUIRE(task);
  REQUIRE(loop.run_once(0ns));
  task->cancel();
  CHECK(test::run_until(loop, [&] { return task->outcome().kind != mote::Outcome::Kind::none; }));
  CHECK(task->outcome().kind == mote::Outcome::Kind::cancelled);
  CHECK(mailbox.post(7));
  Result<int> message = mailbox.try_receive();
  REQUIRE(message);
  CHECK(*message == 7);
}

ON_BOTH_SELECTORS("mailbox: closed, a task that waits gets ECANCELED, and so does one that comes later") {
  using Box = Mailbox<int, 4>;
  Loop<S> loop;
  auto quietly = [](const mote::Observation&) {};
  loop.observe(quietly);
  Box mailbox;
  mote::TaskPool<Receiver<Box>, 2> pool;
  std::vector<int> values;
  REQUIRE(mailbox.open(loop));
  CHECK(mailbox.open(loop).error() == EBUSY);
  Result<mote::TaskHandle> first = pool.spawn(loop, mailbox, values);
  REQUIRE(first);
  REQUIRE(loop.run_once(0ns));
  mailbox.close();
  Result<mote::TaskHandle> second = pool.spawn(loop, mailbox, values);
  REQUIRE(second);
  REQUIRE(loop.run_once(0ns));
  REQUIRE(loop.run_once(0ns));
  CHECK(first->outcome().kind == mote::Outcome::Kind::cancelled);
  CHECK(second->outcome().kind == mote::Outcome::Kind::cancelled);
}

ON_BOTH_SELECTORS("mailbox: a second task that receives gets EBUSY") {
  using Box = Mailbox<int, 4>;
  Loop<S> loop;
  auto quietly = [](const mote::Observation&) {};
  loop.observe(quietly);
  Box mailbox;
  mote::TaskPool<Receiver<Box>, 2> pool;
  std::vector<int> values;
  REQUIRE(mailbox.open(loop));
  Result<mote::TaskHandle> first = pool.spawn(loop, mailbox, values);
  Result<mote::TaskHandle> second = pool.spawn(loop, mailbox, values);
  REQUIRE(first);
  REQUIRE(second);
  REQUIRE(loop.run_once(0ns));
  CHECK(first->outcome().kind == mote::Outcome::Kind::none);
  CHECK(second->outcome().error == EBUSY);
}

ON_BOTH_SELECTORS("mailbox: the reactor may go first; posting is harmless until it is full") {
  Mailbox<int, 4> mailbox;
  {
    Loop<S> loop;
    REQUIRE(mailbox.open(loop));
    CHECK(mailbox.post(1));
  }
  CHECK(mailbox.post(2));
  CHECK(mailbox.post(3));
  CHECK(mailbox.post(4));
  CHECK(mailbox.post(5).error() == ENOBUFS);
  CHECK(*mailbox.try_receive() == 1);
}

TEST_CASE("mailbox: is all zero bits at first") {
  using Box = Mailbox<int, 8>;
  alignas(Box) static const unsigned char zeros[sizeof(Box)] = {};
  static Box mailbox;
  CHECK(::memcmp(static_cast<const void*>(&mailbox), zeros, sizeof mailbox) == 0);
}
