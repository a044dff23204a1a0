// SPDX-License-Identifier: MIT
// Rooms: sync/event.hpp.
// Events: who waits is let out when it is set, and what happens when the event or the task goes first.
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "support/operations.hpp"

using mote::Event;
using mote::Result;
using mote::StateMachine;
using mote::Step;
using mote::TaskPool;
using test::error_of;
using test::start;
using test::turn;
using test::waiting;

ON_BOTH_SELECTORS("event: who waits goes on when it is set, and who comes later does not wait until it is cleared") {
  test::Loop<S> loop;
  Event event;
  const auto wait = [&] { return event.wait(); };
  auto first = waiting(loop, wait), second = waiting(loop, wait);
  CHECK_FALSE(event.is_set());
  CHECK(std::string(first->task().waits_for()) == "an event");
  event.set();
  CHECK(event.is_set());
  CHECK_FALSE(first->done());  // not within set()
  turn(loop);
  CHECK(first->result);
  CHECK(second->result);
  CHECK(first->steps == 2);

  auto third = start(loop, wait);
  turn(loop);
  CHECK(third->done());
  CHECK(third->steps == 1);
  event.clear();
  auto fourth = waiting(loop, wait);
  turn(loop, 3);
  CHECK_FALSE(fourth->done());
  CHECK(fourth->steps == 1);
}

namespace {

struct Rounds : StateMachine {
  Event& event;
  int& rounds;
  Result<void> waited;
  Step step() {
    MOTE_BEGIN();
    for (;;) {
      MOTE_AWAIT(waited, event.wait());
      if (!waited) return mote::failed(waited.error());
      ++rounds;
    }
    MOTE_END();
  }
};

}  // namespace

ON_BOTH_SELECTORS("event: set and cleared at once lets out all who waited, each once, and nobody who comes after") {
  test::Loop<S> loop;
  Event event;
  int rounds[3] = {};
  TaskPool<Rounds, 3> pool;
  for (int& each : rounds) REQUIRE(pool.spawn(loop, event, each));
  turn(loop);
  for (int round = 1; round <= 3; ++round) {
    event.set();
    event.clear();
    auto late = start(loop, [&] { return event.wait(); });
    turn(loop, 3);
    for (const int each : rounds) CHECK(each == round);
    CHECK_FALSE(late->done());
  }
}

ON_BOTH_SELECTORS("event: destroyed while tasks wait: they get ECANCELED, and do not touch it again") {
  test::Loop<S> loop;
  auto event = std::make_unique<Event>();
  Event* const gone = event.get();
  const auto wait = [=] { return gone->wait(); };
  auto first = waiting(loop, wait), second = waiting(loop, wait), third = waiting(loop, wait);
  second.reset();
  event.reset();
  CHECK_FALSE(first->done());
  third.reset();  // after the event, before it has heard of that
  turn(loop);
  CHECK(error_of(first->result) == ECANCELED);
  CHECK(first->steps == 2);
}

ON_BOTH_SELECTORS("event: set and destroyed at once: who waited is let out, and does not touch it again") {
  test::Loop<S> loop;
  auto event = std::make_unique<Event>();
  Event* const gone = event.get();
  auto first = waiting(loop, [=] { return gone->wait(); });
  auto second = waiting(loop, [=] { return gone->wait(); });
  event->set();
  event.reset();
  turn(loop);
  CHECK(first->result);
  CHECK(second->result);
}

ON_BOTH_SELECTORS("event: who is cancelled after it was set has waited successfully, who was before has not") {
  test::Loop<S> loop;
  Event event;
  const auto wait = [&] { return event.wait(); };
  auto before = waiting(loop, wait), after = waiting(loop, wait);
  before->cancel();
  turn(loop);
  CHECK(error_of(before->result) == ECANCELED);
  event.set();
  event.clear();
  after->cancel();
  turn(loop);
  CHECK(after->result);
}

ON_BOTH_SELECTORS(
    "event: destroyed and made anew at the same place: who waited for the old one is not let out by the new") {
  test::Loop<S> loop;
  std::optional<Event> event(std::in_place);
  auto old = waiting(loop, [&] { return event->wait(); });
  event.reset();
  event.emplace();
  event->set();
  turn(loop);
  CHECK(error_of(old->result) == ECANCELED);
  event->clear();
  auto fresh = waiting(loop, [&] { return event->wait(); });
  event->set();
  turn(loop);
  CHECK(fresh->result);
}
