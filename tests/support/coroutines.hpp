// SPDX-License-Identifier: MIT
// For tests of coroutines: runs one to its end; and objects that count when they are destroyed.
#ifndef MOTE_TESTS_COROUTINES_HPP
#define MOTE_TESTS_COROUTINES_HPP

#include "operations.hpp"

namespace test {

// Of Tracked objects: how many exist, and how many were destroyed.
struct Count {
  int alive = 0, destroyed = 0;
};
class Tracked {
 public:
  explicit Tracked(Count& count, int number = 0) : value(number), count_(&count) { ++count.alive; }
  Tracked(Tracked&& other) noexcept : value(other.value), count_(other.count_) {
    ++count_->alive;
    check(other);
    other.value = -1;
  }
  Tracked(const Tracked& other) : value(other.value), count_(other.count_) {
    ++count_->alive;
    check(other);
  }
  Tracked& operator=(const Tracked&) = delete;
  ~Tracked() {
    check(*this);
    self_ = nullptr;
    --count_->alive;
    ++count_->destroyed;
  }
  int value;
 private:
  // An object that was copied as bytes or destroyed twice does not hold its own address.
  static void check(const Tracked& tracked) { CHECK(tracked.self_ == &tracked); }
  Count* count_;
  const Tracked* volatile self_ = this;
};

// Runs a coroutine, as a task, to its end.
template <class T> mote::Outcome run(mote::Reactor& reactor, mote::Co<T>&& coroutine) {
  mote::CoroutinePool<1> pool;
  mote::Result<mote::TaskHandle> task = pool.spawn(reactor, std::move(coroutine));
  CHECK(error_of(task) == 0);
  if (!task) return {mote::Outcome::Kind::failed, task.error()};
  CHECK(run_until(reactor, [&] { return task->outcome().kind != mote::Outcome::Kind::none; }));
  return *await(reactor, [&] { return task->join(); });
}
// Runs it likewise; whether it ended without an error.
template <class T> bool succeeds(mote::Reactor& reactor, mote::Co<T>&& coroutine) {
  return run(reactor, std::move(coroutine)).kind == mote::Outcome::Kind::done;
}

}  // namespace test

#endif  // MOTE_TESTS_COROUTINES_HPP
