// SPDX-License-Identifier: MIT
// Rooms: sync/channel.hpp.
// Channels: values come in order, once each, and what becomes of them when the channel is closed or destroyed.
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "support/operations.hpp"

using mote::Channel;
using mote::Result;
using mote::StateMachine;
using mote::Step;
using mote::TaskPool;
using test::error_of;
using test::run_until;
using test::start;
using test::turn;
using test::waiting;

ON_BOTH_SELECTORS("channel: values come in order; a sender waits while it is full, a receiver while it is empty") {
  test::Loop<S> loop;
  Channel<std::string, 2> channel;
  CHECK(channel.capacity() == 2);
  auto receiver = waiting(loop, [&] { return channel.receive(); });
  CHECK(std::string(receiver->task().waits_for()) == "a message");
  const std::string texts[] = {"one", "two", "three", "four"};
  CHECK(channel.try_send(texts[0]));
  CHECK(channel.try_send(texts[1]));
  CHECK(channel.size() == 2);
  CHECK(error_of(channel.try_send(texts[2])) == EAGAIN);
  auto third = start(loop, [&] { return channel.send(texts[2]); });
  auto fourth = start(loop, [&] { return channel.send(texts[3]); });
  turn(loop);
  CHECK(*receiver->result == "one");
  turn(loop, 2);
  CHECK(third->done());
  CHECK_FALSE(fourth->done());
  CHECK(std::string(fourth->task().waits_for()) == "room in a channel");
  CHECK(*channel.try_receive() == "two");
  CHECK(error_of(channel.try_send("five")) == EAGAIN);  // there is room, but another waits for it
  turn(loop);
  CHECK(fourth->result);
  CHECK(*channel.try_receive() == "three");
  CHECK(*channel.try_receive() == "four");
  CHECK(error_of(channel.try_receive()) == EAGAIN);
  CHECK(channel.size() == 0);
}

ON_BOTH_SELECTORS("channel: what has been sent is received after it was closed, and then ENODATA; senders get EPIPE") {
  test::Loop<S> loop;
  Channel<int, 2> channel;
  int values[] = {1, 2, 3, 4};
  CHECK(channel.try_send(values[0]));
  CHECK(channel.try_send(values[1]));
  auto third = waiting(loop, [&] { return channel.send(values[2]); });
  auto fourth = waiting(loop, [&] { return channel.send(values[3]); });
  channel.close();
  channel.close();
  CHECK(channel.is_closed());
  turn(loop);
  CHECK(error_of(third->result) == EPIPE);
  CHECK(error_of(fourth->result) == EPIPE);
  CHECK(error_of(channel.try_send(5)) == EPIPE);
  auto sender = start(loop, [&] { return channel.send(values[2]); });
  auto receiver = start(loop, [&] { return channel.receive(); });
  turn(loop);
  CHECK(error_of(sender->result) == EPIPE);
  CHECK(*receiver->result == 1);
  CHECK(*channel.try_receive() == 2);
  CHECK(error_of(channel.try_receive()) == ENODATA);
  auto late = start(loop, [&] { return channel.receive(); });
  turn(loop);
  CHECK(error_of(late->result) == ENODATA);
}

ON_BOTH_SELECTORS(
    "channel: closed with fewer values than receivers that wait: each value is received, the others get ENODATA") {
  test::Loop<S> loop;
  Channel<int, 4> channel;
  const auto receive = [&] { return channel.receive(); };
  auto first = waiting(loop, receive), second = waiting(loop, receive), third = waiting(loop, receive);
  CHECK(channel.try_send(1));
  channel.close();
  third->task().wake();
  turn(loop, 2);
  CHECK(*first->result == 1);
  CHECK(error_of(second->result) == ENODATA);
  CHECK(error_of(third->result) == ENODATA);
}

ON_BOTH_SELECTORS("channel: what can only be moved is moved once, when there is room, and else is as it was") {
  test::Loop<S> loop;
  Channel<std::unique_ptr<int>, 1> channel;
  auto first = std::make_unique<int>(1), second = std::make_unique<int>(2), third = std::make_unique<int>(3);
  CHECK(channel.try_send(std::move(first)));
  CHECK(first == nullptr);
  CHECK(error_of(channel.try_send(std::move(second))) == EAGAIN);
  CHECK(second != nullptr);
  auto sender = waiting(loop, [&] { return channel.send(std::move(second)); });
  auto cancelled = waiting(loop, [&] { return channel.send(std::move(third)); });
  CHECK(second != nullptr);
  cancelled->cancel();
  turn(loop);
  CHECK(error_of(cancelled->result) == ECANCELED);
  CHECK(third != nullptr);
  auto receiver = start(loop, [&] { return channel.receive(); });
  turn(loop, 2);
  CHECK(**receiver->result == 1);
  CHECK(sender->result);
  CHECK(second == nullptr);
  channel.close();
  CHECK(error_of(channel.try_send(std::move(third))) == EPIPE);
  CHECK(third != nullptr);
  // The one that is left is destroyed with the channel; LeakSanitizer would tell.
}

ON_BOTH_SELECTORS("channel: each value is destroyed once, those that nobody has received with the channel") {
  test::Loop<S> loop;
  const auto witness = std::make_shared<int>(7);
  {
    Channel<std::shared_ptr<int>, 3> channel;
    for (int round = 0; round < 5; ++round) {  // all the way round
      CHECK(channel.try_send(witness));
      CHECK(channel.try_send(witness));
      CHECK(witness.use_count() == 3);
      CHECK(channel.try_receive());
      CHECK(channel.try_receive());
      CHECK(witness.use_count() == 1);
    }
    for (int i = 0; i < 3; ++i) CHECK(channel.try_send(witness));
    CHECK(witness.use_count() == 4);
  }
  CHECK(witness.use_count() == 1);
}

namespace {

// Each value is given its number when its sender arrives at the channel, so a strict queue keeps them in order.
struct Sender : StateMachine {
  Channel<int, 3>& channel;
  int& tickets;
  int count;
  int value = 0;
  Result<void> sent;
  Step step() {
    MOTE_BEGIN();
    while (count-- > 0) {
      value = ++tickets;
      MOTE_AWAIT(sent, channel.send(value));
      if (!sent) return mote::failed(sent.error());
      if (value % 5 == 0) MOTE_YIELD();
    }
    MOTE_END();
  }
};

struct Receiver : StateMachine {
  Channel<int, 3>& channel;
  std::vector<int>& received;
  Result<int> value;
  Step step() {
    MOTE_BEGIN();
    for (;;) {
      MOTE_AWAIT(value, channel.receive());
      if (!value) return value.error() == ENODATA ? mote::done() : mote::failed(value.error());
      received.push_back(*value);
      if (*value % 3 == 0) MOTE_YIELD();
    }
    MOTE_END();
  }
};

}  // namespace

ON_BOTH_SELECTORS("channel: 5 senders and 3 receivers: 5,000 values, none lost, none twice, all in order of arrival") {
  test::Loop<S> loop;
  Channel<int, 3> channel;
  TaskPool<Sender, 5> senders;
  TaskPool<Receiver, 3> receivers;
  int tickets = 0;
  std::vector<int> received;
  for (int i = 0; i < 3; ++i) REQUIRE(receivers.spawn(loop, channel, received));
  for (int i = 0; i < 5; ++i) REQUIRE(senders.spawn(loop, channel, tickets, 1000));
  REQUIRE(run_until(loop, [&] { return senders.size() == 0; }));
  channel.close();
  REQUIRE(loop.run());
  REQUIRE(received.size() == 5000);
  int out_of_order = 0;
  for (std::size_t i = 0; i < received.size(); ++i) out_of_order += received[i] != static_cast<int>(i) + 1;
  CHECK(out_of_order == 0);
}
