// SPDX-License-Identifier: MIT
// Copyright (c) 2026 The mote authors
// A queue of tasks that wait for the same thing.
#ifndef MOTE_TASK_WAIT_QUEUE_HPP
#define MOTE_TASK_WAIT_QUEUE_HPP

#include <errno.h>  // errno and its names

#include <cstddef>  // size_t, ptrdiff_t
#include <utility>  // move, forward, exchange

#include <mote/base/config.hpp>
#include <mote/base/error.hpp>
#include <mote/base/list.hpp>
#include <mote/task/queue_place.hpp>
#include <mote/task/task_header.hpp>

namespace mote {
inline namespace MOTE_NAMESPACE {

// Tasks that wait for the same thing, in order of arrival: a member of what many tasks can wait for. An operation joins
// it with PollContext::attempt(); code that makes something available calls notify().
//
// Only the first task may take what is there. When the first one leaves, for whatever reason (served, cancelled, timed
// out, destroyed), the next is woken to look: so what is there is never left lying for a task that does not wait any
// more. A wake-up is only a hint to look. No task overtakes another. A task can wait in limits::queues_per_task queues
// at a time. The queue may be destroyed before the tasks that wait in it: their attempts return ECANCELED, and do not
// touch it again. O(1) but where stated.
// Size on a 32-bit board: 8 bytes.
class WaitQueue {
 public:
  constexpr WaitQueue() = default;
  WaitQueue(const WaitQueue&) = delete;
  WaitQueue& operator=(const WaitQueue&) = delete;
  ~WaitQueue() {
    while (detail::QueuePlace* const place = places_.pop_front()) {
      detail::TaskHeader* const task = std::exchange(place->task, nullptr);
      task->wake();
    }
  }

  // Wakes the first `count` tasks to look; they stay in the queue until they have been served. O(count).
  void notify(std::size_t count = 1) {
    for (detail::QueuePlace* place = places_.front(); count != 0 && place != nullptr; --count) {
      place->task->wake();
      place = places_.after(*place);
    }
  }
  [[gnu::noinline]] void notify_all() { notify(SIZE_MAX); }
  // Lets all of them go: `released` is true in their next attempts, which should then succeed, whatever is there.
  // O(waiting tasks).
  void release_all() {
    while (detail::QueuePlace* const place = places_.pop_front()) place->task->wake();
  }
  bool empty() { return places_.empty(); }

  // The rest is for the library: PollContext::attempt() does it for operations.

  // Whether a task with that place, or a newcomer (null), may take what is there.
  bool is_next(const detail::QueuePlace* place) { return places_.empty() || places_.front() == place; }
  // Joins the queue, or stays in it.
  // Errors:
  //   ENOBUFS   the task waits in limits::queues_per_task queues already.
  Error wait(detail::TaskHeader& task, const char* what) {
    detail::QueuePlace* place = task.place_in(this);
    if (place == nullptr) place = task.place_in(nullptr);
    if (place == nullptr) return Error(detail::Reason::task_in_too_many_queues);
    place->queue = this;
    place->task = &task;
    task.in_queues = true;
    if (!place->linked()) places_.push_back(*place);
    return task.suspend(what);
  }
  // Leaves the queue without waking the next: where all of them are woken together.
  void remove(detail::TaskHeader& task) {
    if (detail::QueuePlace* const place = task.place_in(this)) {
      place->unlink();
      place->queue = nullptr;
    }
  }
  // After an attempt that was refused: the task joins the queue all the same; cancelled or abandoning, it leaves.
  // Seldom called, and not inlined, so that all queues share it.
  [[gnu::noinline]] Error refuse(detail::TaskHeader& task, detail::QueuePlace* place, Error refusal) {
    if (refusal != ECANCELED) return wait(task, "its next turn");
    if (place != nullptr) task.leave(*place);
    return refusal;
  }
  // Another one takes over the place, at its position.
  void replace(detail::QueuePlace& place, detail::QueuePlace& by) {
    places_.insert_after(place, by);
    place.unlink();
  }
  void leave(detail::QueuePlace& place) {
    const bool first = places_.front() == &place;
    place.unlink();
    if (first) notify();
  }
 private:
  detail::List<detail::QueuePlace> places_;
};

inline void detail::QueuePlace::leave() {
  WaitQueue* const from = std::exchange(queue, nullptr);
  if (linked()) from->leave(*this);
}
inline void detail::QueuePlace::move_to(QueuePlace& self, TaskHeader& heir) {
  const bool has_one = heir.place_in(self.queue) != nullptr;
  QueuePlace* const place = has_one ? nullptr : heir.place_in(nullptr);
  if (place == nullptr) return self.leave();
  place->queue = std::exchange(self.queue, nullptr);
  place->task = self.is_orphaned() ? nullptr : &heir;
  heir.in_queues = true;
  if (self.linked()) place->queue->replace(self, *place);
}

}  // namespace MOTE_NAMESPACE
}  // namespace mote

#endif  // MOTE_TASK_WAIT_QUEUE_HPP
