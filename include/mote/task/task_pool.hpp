// SPDX-License-Identifier: MIT
// Copyright (c) 2026 The mote authors
// Room for tasks of one type.
#ifndef MOTE_TASK_TASK_POOL_HPP
#define MOTE_TASK_TASK_POOL_HPP

#include <errno.h>  // errno and its names

#include <cstddef>      // size_t, ptrdiff_t
#include <cstdint>      // integers of fixed width
#include <new>          // placement new
#include <type_traits>  // checks at compile time
#include <utility>      // move, forward, exchange

#include <mote/base/config.hpp>
#include <mote/base/error.hpp>
#include <mote/base/exceptions.hpp>
#include <mote/base/result.hpp>
#include <mote/task/operation.hpp>
#include <mote/task/poll_context.hpp>
#include <mote/task/scheduler.hpp>
#include <mote/task/state_machine.hpp>
#include <mote/task/step.hpp>
#include <mote/task/task.hpp>
#include <mote/task/task_handle.hpp>
#include <mote/task/task_header.hpp>
#include <mote/task/task_store.hpp>
#include <mote/task/type_name.hpp>

namespace mote {
inline namespace MOTE_NAMESPACE {
namespace detail {

// The name of a task of type T: T::name, if that is a text for all of them. A function, a std::string or a member of
// each object is something of the program's own; and null is no name.
template <class T, class = void> struct TaskName {
  static const char* of(const T&) { return type_name<T>.text; }
};
constexpr const char* first_name(const char* own, const char* of_type) { return own != nullptr ? own : of_type; }
template <class T>
using IfNamed = std::enable_if_t<std::conjunction_v<std::negation<std::is_member_pointer<decltype(&T::name)>>,
                                                    std::is_convertible<decltype((T::name)), const char*>>>;
template <class T> struct TaskName<T, IfNamed<T>> {
  static const char* of(const T&) { return first_name(T::name, type_name<T>.text); }
};

// Whether a task's step takes no argument, or the task.
template <class T, class = void> struct HasPlainStep : std::false_type {};
template <class T> struct HasPlainStep<T, std::void_t<decltype(std::declval<T&>().step())>> : std::true_type {};
template <class T, class = void> struct HasTaskStep : std::false_type {};
template <class T>
struct HasTaskStep<T, std::void_t<decltype(std::declval<T&>().step(std::declval<Task&>()))>> : std::true_type {};

// Whether a T can be made member by member of the arguments, behind its base where that is a StateMachine.
template <class Void, class T, class... A> struct IsMadeOfMembers : std::false_type {};
template <class T, class... A>
struct IsMadeOfMembers<std::void_t<decltype(T{std::declval<A>()...})>, T, A...> : std::true_type {};
template <class Void, class T, class... A> struct IsMadeOfMembersBehindBase : std::false_type {};
template <class T, class... A>
struct IsMadeOfMembersBehindBase<std::void_t<decltype(T{{}, std::declval<A>()...})>, T, A...> : std::true_type {};

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"
// Makes a T by its constructor or, where T is an aggregate, member by member.
template <class T, class... A> T* construct(void* place, A&&... arguments) {
  constexpr bool is_state_machine = std::is_base_of<StateMachine, T>::value;
  constexpr bool is_made_of_members =
      is_state_machine ? IsMadeOfMembersBehindBase<void, T, A&&...>::value : IsMadeOfMembers<void, T, A&&...>::value;
  static_assert(std::is_constructible<T, A&&...>::value || is_made_of_members,
                "the arguments of spawn() are those of a constructor of the task, or else its first members, in their "
                "order; what only moves, as a Stream, is given by std::move()");
  if constexpr (std::is_constructible<T, A&&...>::value) {
    return ::new (place) T(std::forward<A>(arguments)...);
  } else if constexpr (std::is_base_of<StateMachine, T>::value) {  // whose first part is that base
    return ::new (place) T{{}, std::forward<A>(arguments)...};
  } else {
    return ::new (place) T{std::forward<A>(arguments)...};
  }
}
#pragma GCC diagnostic pop

}  // namespace detail

// Room for N tasks of type T. A T has `Step step()`, or `Step step(Task&)` where it does not derive from StateMachine.
// It is made in its slot by spawn(), stepped from the run queue alone, and destroyed as soon as it ends. The pool may
// lie in static storage (.bss) or on the stack; tasks that are left in it are destroyed before it. It serves one
// reactor at a time. Size: N * (sizeof(Task) + sizeof(T)), and 48 bytes on a 32-bit board.
template <class T, std::size_t N> class TaskPool : detail::TaskStore {
 public:
  constexpr TaskPool() = default;
  ~TaskPool() { detail::Scheduler::close(*this); }

  // Makes a T by its constructor, or member by member (the others, large buffers too, are zeroed), and queues its first
  // step. `reactor` is a Reactor. What the constructor throws is passed on: then there is no task.
  // Errors:
  //   ENOBUFS    the pool is full: await vacancy(). The arguments are as they were.
  //   EINVAL     the pool has tasks of another reactor.
  //   ECANCELED  called by a destructor of a task, or by an observer while a pool is destroyed.
  template <class... A> Result<TaskHandle> spawn(detail::SchedulerRef reactor, A&&... arguments) {
    static constexpr detail::TaskType type{&TaskPool::step, &TaskPool::destroy, &TaskPool::name, sizeof(Slot), N};
    detail::Scheduler& scheduler = reactor.scheduler;  // captured by itself: `reactor` would have to lie in memory
    return Result<TaskHandle>::in_place([&](TaskHandle& handle) {
      detail::TaskHolder& holder = detail::HandleAccess::holder(handle);
      const Result<void> claimed = scheduler.claim(*this, slots_, type, holder);
      if (claimed) {
        Task& task = detail::TaskAccess::task(*holder.task);
        detail::OnException give_back([&holder] { detail::Scheduler::unclaim(holder); });
        T* const made = detail::construct<T>(static_cast<Slot&>(task).bytes, std::forward<A>(arguments)...);
        give_back.dismiss();
        if constexpr (std::is_base_of<StateMachine, T>::value) detail::StateMachineAccess::set_task(*made, task);
        // Read anew: kept since claim(), it would take a register that is saved even where the pool is full.
        TaskStore::scheduler()->start(*holder.task);
      }
      return claimed;
    });
  }
  // The object of a task of this pool, while it lives: to read what it has got so far, to give it something, to call
  // its functions. Null where the task has ended (also from its destructor on), the handle is empty or was dropped, or
  // the task is of another pool. So it may be asked again at any time; the pointer itself is good until the task ends,
  // which it may do in its next step: keep the handle, not the pointer. To change what the task awaits meanwhile, as
  // moving its stream away, makes that operation return ECANCELED. O(1).
  T* find(const TaskHandle& handle) { return find(handle.get()); }
  T* find(Task* task) {  // of TaskRef::get(), and what Reactor::for_each_task() gives; null is allowed
    if (task == nullptr || !task->is_alive()) return nullptr;
    detail::TaskHeader& header = detail::TaskAccess::header(*task);
    return header.store == this ? &object(header) : nullptr;
  }
  // Calls visit(T&) for each task that lives. What is spawned meanwhile may be visited or not. O(high_water()).
  template <class Visit> void for_each(Visit&& visit) {
    for (std::uint32_t i = 0; i < fresh(); ++i) {
      if (at(i).is_live()) visit(object(at(i)));
    }
  }
  static constexpr std::uint32_t capacity() { return N; }
  std::uint32_t size() const { return used(); }  // slots taken, by tasks and by outcomes whose handles are held
  std::uint32_t vacancies() const { return capacity() - size(); }
  std::uint32_t high_water() const { return fresh(); }  // the most there have been at a time
  // Completes when a slot is free. Where others spawn into the pool too, be ready for ENOBUFS all the same. An acceptor
  // awaits it before accept(), so that who finds no room stays in the kernel's backlog.
  // Errors:
  //   ECANCELED  the task was cancelled, or the pool has been destroyed.
  //   ENOBUFS    the task waits in limits::queues_per_task queues already.
  auto vacancy() {
    return detail::make_operation<void>([this](PollContext context) {
      return context.attempt(TaskStore::vacancy(), "a vacancy",
                             [this](bool) { return size() < N ? Result<void>() : Error(EAGAIN); });
    });
  }
 private:
  static_assert(N >= 1 && N < (1u << 24), "between 1 and 16,777,215 tasks");
  struct Slot : Task {
    constexpr Slot() = default;
    alignas(T) unsigned char bytes[sizeof(T)] = {};
  };

  static T& object(detail::TaskHeader& header) {
    Slot& slot = static_cast<Slot&>(detail::TaskAccess::task(header));
    return *static_cast<T*>(static_cast<void*>(slot.bytes));
  }
  static Step step(detail::TaskHeader& header) {
    constexpr bool is_plain = detail::HasPlainStep<T>::value;
    static_assert(is_plain || detail::HasTaskStep<T>::value,
                  "a task has a public function `mote::Step step()`, or `mote::Step step(mote::Task&)`");
    if constexpr (is_plain) return object(header).step();
    else return object(header).step(detail::TaskAccess::task(header));
  }
  static void destroy(detail::TaskHeader& header) {
    static_assert(std::is_nothrow_destructible<T>::value, "a task's destructor must not throw");
    object(header).~T();
  }
  static const char* name(detail::TaskHeader& header) { return detail::TaskName<T>::of(object(header)); }

  Slot slots_[N];
};

}  // namespace MOTE_NAMESPACE
}  // namespace mote

#endif  // MOTE_TASK_TASK_POOL_HPP
