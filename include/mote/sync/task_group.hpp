// SPDX-License-Identifier: MIT
// Copyright (c) 2026 The mote authors
// TaskGroup: tasks that belong together.
#ifndef MOTE_SYNC_TASK_GROUP_HPP
#define MOTE_SYNC_TASK_GROUP_HPP

#include <errno.h>  // errno and its names

#include <cstddef>  // size_t, ptrdiff_t
#include <cstdint>  // integers of fixed width
#include <utility>  // move, forward, exchange

#include <mote/base/config.hpp>
#include <mote/base/delegate.hpp>
#include <mote/base/error.hpp>
#include <mote/base/pinned.hpp>
#include <mote/base/result.hpp>
#include <mote/reactor/reactor.hpp>
#include <mote/task/operation.hpp>
#include <mote/task/poll_context.hpp>
#include <mote/task/step.hpp>
#include <mote/task/task.hpp>
#include <mote/task/task_handle.hpp>
#include <mote/task/task_header.hpp>
#include <mote/task/task_ref.hpp>
#include <mote/task/wait_queue.hpp>

namespace mote {
inline namespace MOTE_NAMESPACE {

// What groups of all sizes have in common. The members' handles lie in the derived class, in places 0 to size() - 1, in
// no particular order.
class TaskGroupBase : detail::Pinned, detail::EndHook {
 public:
  std::uint32_t size() const { return size_; }              // members that have not ended
  std::uint32_t failures() const { return failures_; }      // since it was made
  Outcome first_failure() const { return first_failure_; }  // of kind none: no failure since the last join_all()
  // Cancels all members. Until all of them have ended, spawn() returns ECANCELED. O(members).
  void cancel_all() {
    cancelling_ = size_ != 0;
    for (std::uint32_t i = 0; i < size_; ++i) members_[i].cancel();
  }
  // When a member fails, the others are cancelled. Without this they go on.
  void cancel_others_on_failure(bool on = true) { cancels_others_ = on; }
  // The callback is called when a member has ended and its slot is free again, so that it can be replaced at once; to
  // find out which one has ended, see TaskRef::names(). It is not called for members that the group's destructor ends.
  // The callback may destroy the group.
  void on_end(Delegate<void(const Task&, Outcome)> callback) { on_end_ = callback; }
  // Completes when all members have ended, those that are spawned meanwhile included. Then tasks can be spawned into
  // the group again.
  // Errors:
  //   ECANCELED  the task was cancelled, or the group was destroyed.
  //   ENOBUFS    the task waits in limits::queues_per_task queues already.
  //   any other  that of the first failure, which is returned once: first_failure() is of kind none afterwards.
  auto join_all() {
    return detail::make_operation<void>([this](PollContext context) {
      return context.attempt(joiners_, "the end of a group", [this](bool) { return take_first_failure(); });
    });
  }
 protected:
  constexpr TaskGroupBase() = default;
  ~TaskGroupBase() = default;

  // Destroys all members. For the derived class's destructor, while their handles still exist.
  void close() {
    on_end_ = {};
    while (size_ != 0) {
      TaskHandle& last = members_[size_ - 1];
      if (last.destroy()) continue;  // note_end() has taken it out
      // EBUSY: this member is the running task, which destroys its own group. It is cancelled, and goes on alone.
      last.cancel();
      last.detach();
      --size_;
    }
  }
  bool is_cancelling() const { return cancelling_; }
  TaskRef add(TaskHandle&& handle, TaskHandle* members) {
    members_ = members;
    EndHook::ended = &TaskGroupBase::member_ended;
    TaskHandle& member = members_[size_];
    ++size_;
    member = std::move(handle);
    detail::TaskHolder& holder = detail::HandleAccess::holder(member);
    holder.group = this;
    return TaskRef(detail::TaskAccess::task(*holder.task));
  }
 private:
  Result<void> take_first_failure() {
    if (size_ != 0) return Error(EAGAIN);
    const Outcome failure = std::exchange(first_failure_, {});
    return failure.kind == Outcome::Kind::failed ? Result<void>(failure.error) : Result<void>();
  }

  // The hook that the scheduler calls when a member has ended.
  static void member_ended(detail::TaskHeader& task) {
    auto& group = static_cast<TaskGroupBase&>(*task.holder->group);
    group.note_end(task);
  }
  void note_end(detail::TaskHeader& task) {
    TaskHandle& member = detail::HandleAccess::handle(*task.holder);
    const Outcome outcome = member.outcome();
    const bool failure = outcome.kind == Outcome::Kind::failed;
    if (failure) note_failure(outcome);
    if (reports_failures()) task.code = 0;  // else detach() reports the failure to the observer
    TaskHandle leaving = take_out(member);
    if (failure && cancels_others_) cancel_all();
    if (size_ == 0) note_all_ended();
    // From here on the group may have been destroyed, by an observer or by the callback: no member may be used.
    const Delegate<void(const Task&, Outcome)> callback = on_end_;
    leaving.detach();
    if (callback) callback(detail::TaskAccess::task(task), outcome);
  }
  void note_failure(Outcome failure) {
    ++failures_;
    if (first_failure_.kind == Outcome::Kind::none) first_failure_ = failure;
  }
  void note_all_ended() {
    cancelling_ = false;
    joiners_.notify_all();
  }
  // Whether a member's failure is reported to the callback, or to a task in join_all().
  bool reports_failures() { return on_end_ || !joiners_.empty(); }
  // The last member takes the place of the one that is taken out.
  TaskHandle take_out(TaskHandle& member) {
    const bool is_last = &member == &members_[size_ - 1];
    TaskHandle leaving = std::move(member);
    --size_;
    if (!is_last) member = std::move(members_[size_]);
    return leaving;
  }

  bool cancelling_ = false;  // cancel_all() was called, and not all have ended
  bool cancels_others_ = false;
  std::uint32_t size_ = 0;
  std::uint32_t failures_ = 0;
  TaskHandle* members_ = nullptr;
  Outcome first_failure_;
  Delegate<void(const Task&, Outcome)> on_end_;
  WaitQueue joiners_;
};

// Tasks that belong together, of any pools: at most N at a time. Members that are left when the group is destroyed are
// destroyed with it: no member outlives its group, and the destructor waits for nothing; await join_all() for that. (A
// member that destroys its own group is cancelled, and goes on alone.) A member's failure is reported to on_end(), and
// to the task that waits in join_all(), or if there is neither, to the reactor's observer. It must not move.
// Size: 12 * N, and 44 bytes on a 32-bit board.
template <std::size_t N> class TaskGroup : public TaskGroupBase {
  static_assert(N >= 1 && N < (1u << 24), "between 1 and 16,777,215 members");
 public:
  constexpr TaskGroup() = default;
  ~TaskGroup() { close(); }

  // Calls pool.spawn(reactor, arguments...), and makes the task a member.
  // Errors:
  //   ENOBUFS    the group is full, or the pool is.
  //   ECANCELED  the group has been cancelled, and not all members have ended yet: await join_all() first. Or the
  //              pool's spawn() returned it.
  //   EINVAL     the pool has tasks of another reactor.
  template <class Pool, class... A> Result<TaskRef> spawn(Pool& pool, Reactor& reactor, A&&... arguments) {
    if (is_cancelling() || size() == N) return is_cancelling() ? Error(ECANCELED) : Error(detail::Reason::group_full);
    Result<TaskHandle> handle = pool.spawn(reactor, std::forward<A>(arguments)...);
    if (!handle) return handle.error();
    if (size() == N) {  // the task's constructor has spawned the last one
      static_cast<void>(handle->destroy());
      return Error(detail::Reason::group_full);
    }
    return add(std::move(*handle), storage_);
  }
  static constexpr std::uint32_t capacity() { return N; }
 private:
  TaskHandle storage_[N];
};

}  // namespace MOTE_NAMESPACE
}  // namespace mote

#endif  // MOTE_SYNC_TASK_GROUP_HPP
