// SPDX-License-Identifier: MIT
// Copyright (c) 2026 The mote authors
// Coroutines as tasks.
#ifndef MOTE_COROUTINE_COROUTINE_POOL_HPP
#define MOTE_COROUTINE_COROUTINE_POOL_HPP

#if __cplusplus >= 202002L

#include <coroutine>  // coroutine_handle, suspend_always
#include <cstddef>    // size_t, ptrdiff_t
#include <cstdint>    // integers of fixed width
#include <utility>    // move, forward, exchange

#include <mote/base/assert.hpp>
#include <mote/base/config.hpp>
#include <mote/base/pinned.hpp>
#include <mote/base/poll.hpp>
#include <mote/base/result.hpp>
#include <mote/coroutine/chain.hpp>
#include <mote/coroutine/co.hpp>
#include <mote/coroutine/promise.hpp>
#include <mote/reactor/reactor.hpp>
#include <mote/task/step.hpp>
#include <mote/task/task.hpp>
#include <mote/task/task_handle.hpp>
#include <mote/task/task_pool.hpp>

namespace mote {
inline namespace MOTE_NAMESPACE {

// A coroutine as a task: what a CoroutinePool makes of a Co, which must have a frame. The task fails with what the
// coroutine fails with; a value that it returns is dropped. Its name and line are those of the function that awaits.
class Coroutine : detail::Pinned {
 public:
  template <class T>
  Coroutine(Co<T>&& co)
      : promise_(&detail::CoAccess::frame(co).promise()), handle_(detail::CoAccess::frame(co).release()) {
    detail::Chain& chain = promise_->own;
    if (!chain.is_begun()) chain.next = handle_;
    chain.current_task = nullptr;  // an earlier task in this slot, at the same address, may have polled it
  }
  ~Coroutine() { handle_.destroy(); }

  Step step(Task& task) {
    detail::Chain& chain = promise_->own;
    const Testimony testimony(chain.line);
    const bool ended = chain.step(task);
    detail::TaskAccess::header(task).line = chain.line;
    return ended ? Step(promise_->code) : Step(pending);
  }
  const char* name() const { return promise_->own.name; }
 private:
  // While it exists, a violated MOTE_ASSERT names the line of the last await: the task's own is that of the last step.
  class Testimony {
   public:
    explicit Testimony(const std::uint32_t& line) {
      if constexpr (detail::finds_mistakes) detail::witness.line = &line;
    }
    Testimony(const Testimony&) = delete;
    Testimony& operator=(const Testimony&) = delete;
    ~Testimony() {
      if constexpr (detail::finds_mistakes) detail::witness.line = nullptr;
    }
  };

  detail::PromiseBase* promise_;
  std::coroutine_handle<> handle_;
};

namespace detail {
template <> struct TaskName<Coroutine> {
  static const char* of(const Coroutine& coroutine) { return coroutine.name(); }
};
}  // namespace detail

// Room for N tasks that are coroutines. Their frames lie in frame pools; all else is as with any TaskPool.
template <std::size_t N> class CoroutinePool : public TaskPool<Coroutine, N> {
 public:
  // Makes a task of the coroutine, and queues its first step.
  // Errors:
  //   ENOBUFS    the pool is full: await vacancy(), the coroutine is unchanged. Or the Co has no frame: its frame pool
  //              was full.
  //   EMSGSIZE   the Co has no frame: it would be too large for the frame pool, see Co::frame_size().
  //   EINVAL     the pool has tasks of another reactor; or the Co has no frame: see Co.
  //   ECANCELED  called by a destructor of a task, or by an observer while a pool is destroyed.
  template <class T> Result<TaskHandle> spawn(Reactor& reactor, Co<T>&& coroutine) {
    if (!coroutine) return coroutine.error();
    return TaskPool<Coroutine, N>::spawn(reactor, std::move(coroutine));
  }
};

}  // namespace MOTE_NAMESPACE
}  // namespace mote

#endif  // C++20

#endif  // MOTE_COROUTINE_COROUTINE_POOL_HPP
