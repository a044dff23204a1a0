// SPDX-License-Identifier: MIT
// Rooms: sync/completion.hpp.
// Completions: a callback's answer, whichever comes first, and what happens when either side goes.
#include <memory>
#include <optional>
#include <string>

#include "support/operations.hpp"

using mote::Completion;
using mote::Error;
using test::error_of;
using test::start;
using test::turn;
using test::waiting;

ON_BOTH_SELECTORS("completion: the answer reaches the task, whether it is set before or after it waits") {
  test::Loop<S> loop;
  Completion<long> answer;
  const auto wait = [&] { return answer.wait(); };
  auto first = waiting(loop, wait);
  CHECK(std::string(first->task().waits_for()) == "a completion");
  CHECK_FALSE(answer.is_set());
  CHECK(answer.set(42L));
  CHECK_FALSE(first->done());  // not within set()
  turn(loop);
  REQUIRE(first->result);
  CHECK(*first->result == 42);
  CHECK(first->steps == 2);

  answer.reset();
  CHECK(answer.set(43L));
  auto second = start(loop, wait);
  turn(loop);
  REQUIRE(second->done());
  CHECK(*second->result == 43);
  CHECK(second->steps == 1);
}

ON_BOTH_SELECTORS("completion: it is set by a timer's callback, and awaited with or without a value") {
  test::Loop<S> loop;
  Completion<> done;
  mote::Timer timer;
  auto fire = [&] { CHECK(done.set()); };
  timer.arm(loop, mote::Duration::zero(), fire);
  CHECK(test::await(loop, [&] { return done.wait(); }));
}

ON_BOTH_SELECTORS("completion: an error is an answer, too") {
  test::Loop<S> loop;
  Completion<long> answer;
  CHECK(answer.set(Error(ECONNREFUSED)));
  CHECK(error_of(test::await(loop, [&] { return answer.wait(); })) == ECONNREFUSED);
  Completion<> done;
  CHECK(done.set(Error(EIO)));
  CHECK(error_of(test::await(loop, [&] { return done.wait(); })) == EIO);
}

ON_BOTH_SELECTORS("completion: set twice is EALREADY, also after the answer was taken, until it is reset") {
  test::Loop<S> loop;
  Completion<long> answer;
  CHECK(answer.set(1L));
  CHECK(error_of(answer.set(2L)) == EALREADY);
  CHECK(*test::await(loop, [&] { return answer.wait(); }) == 1);
  CHECK(error_of(answer.set(3L)) == EALREADY);
  CHECK(answer.is_set());
  answer.reset();
  CHECK_FALSE(answer.is_set());
  CHECK(answer.set(4L));
  CHECK(*test::await(loop, [&] { return answer.wait(); }) == 4);
}

ON_BOTH_SELECTORS("completion: EAGAIN is no answer: set() says EINVAL, and the task goes on waiting") {
  test::Loop<S> loop;
  Completion<long> answer;
  auto task = waiting(loop, [&] { return answer.wait(); });
  CHECK(error_of(answer.set(Error(EAGAIN))) == EINVAL);
  CHECK(error_of(answer.set(mote::detail::suspended)) == EINVAL);
  turn(loop, 3);
  CHECK_FALSE(task->done());
  CHECK(answer.set(1L));
  turn(loop);
  CHECK(task->result);
}

ON_BOTH_SELECTORS("completion: the answer is taken once; whoever waits for it as well gets ENODATA") {
  test::Loop<S> loop;
  Completion<long> answer;
  const auto wait = [&] { return answer.wait(); };
  auto first = waiting(loop, wait), second = waiting(loop, wait);
  CHECK(answer.set(7L));
  turn(loop, 3);
  CHECK(*first->result == 7);
  CHECK(error_of(second->result) == ENODATA);
  CHECK(error_of(test::await(loop, wait)) == ENODATA);
}

ON_BOTH_SELECTORS("completion: a task that waits goes on waiting when it is reset") {
  test::Loop<S> loop;
  Completion<long> answer;
  auto task = waiting(loop, [&] { return answer.wait(); });
  CHECK(answer.set(1L));
  answer.reset();  // before the task is stepped
  turn(loop, 3);
  CHECK_FALSE(task->done());
  CHECK(answer.set(2L));
  turn(loop);
  CHECK(*task->result == 2);
}

ON_BOTH_SELECTORS("completion: destroyed while a task waits: it gets ECANCELED, and does not touch it again") {
  test::Loop<S> loop;
  auto answer = std::make_unique<Completion<long>>();
  Completion<long>* const gone = answer.get();
  auto task = waiting(loop, [=] { return gone->wait(); });
  SUBCASE("unset") {}
  SUBCASE("set, and not yet taken") { CHECK(answer->set(1L)); }
  answer.reset();
  turn(loop);
  CHECK(error_of(task->result) == ECANCELED);
}

ON_BOTH_SELECTORS("completion: made anew at the same place, its answer is not that of the former one's task") {
  test::Loop<S> loop;
  std::optional<Completion<long>> answer(std::in_place);
  auto old = waiting(loop, [&] { return answer->wait(); });
  answer.reset();
  answer.emplace();
  CHECK(answer->set(1L));
  turn(loop);
  CHECK(error_of(old->result) == ECANCELED);
  CHECK(*test::await(loop, [&] { return answer->wait(); }) == 1);
}

ON_BOTH_SELECTORS("completion: a task that vanishes leaves nothing behind, and the answer stays for the next") {
  test::Loop<S> loop;
  Completion<long> answer;
  const auto wait = [&] { return answer.wait(); };
  auto task = waiting(loop, wait);
  SUBCASE("before the answer") {
    task.reset();
    CHECK(answer.set(5L));
  }
  SUBCASE("woken by the answer") {
    CHECK(answer.set(5L));
    task.reset();
  }
  CHECK(*test::await(loop, wait) == 5);
}

ON_BOTH_SELECTORS("completion: cancelled before the answer is ECANCELED, after it is the answer") {
  test::Loop<S> loop;
  Completion<long> answer;
  const auto wait = [&] { return answer.wait(); };
  auto before = waiting(loop, wait);
  before->cancel();
  turn(loop);
  CHECK(error_of(before->result) == ECANCELED);
  auto after = waiting(loop, wait);
  CHECK(answer.set(6L));
  after->cancel();
  turn(loop);
  CHECK(*after->result == 6);
}

ON_BOTH_SELECTORS("completion: who gives up takes nothing: a late answer is there for the next wait") {
  test::Loop<S> loop;
  Completion<long> answer;
  mote::TaskTimer timer;
  const auto limited = [&] { return mote::with_timeout(timer, std::chrono::milliseconds(1), answer.wait()); };
  CHECK(error_of(test::await(loop, limited)) == ETIMEDOUT);
  CHECK(answer.set(8L));
  CHECK(*test::await(loop, limited) == 8);
}

ON_BOTH_SELECTORS("completion: what it carries may be move-only, and is not kept when it was taken or reset") {
  test::Loop<S> loop;
  Completion<std::unique_ptr<int>> only;
  CHECK(only.set(std::make_unique<int>(9)));
  const auto taken = test::await(loop, [&] { return only.wait(); });
  REQUIRE(taken);
  CHECK(**taken == 9);

  const auto shared = std::make_shared<int>(10);
  Completion<std::shared_ptr<int>> answer;
  CHECK(answer.set(shared));
  CHECK(shared.use_count() == 2);
  answer.reset();
  CHECK(shared.use_count() == 1);
  CHECK(answer.set(shared));
  CHECK(test::await(loop, [&] { return answer.wait(); }));
  CHECK(shared.use_count() == 1);
}
