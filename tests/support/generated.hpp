// SPDX-License-Identifier: MIT
// Generated worlds: tasks that await random trees of operations on shared primitives, while tasks and primitives are
// cancelled, destroyed and made anew at random, against a simple model of what each may do. After every turn all links
// are walked; whenever nothing is left to run, each task must wait for something that has not happened; and at the end
// nothing may be left. Everything follows from a seed, on virtual time.
#ifndef MOTE_TESTS_GENERATED_HPP
#define MOTE_TESTS_GENERATED_HPP

#ifndef MOTE_SYSTEM_HEADER
#error "needs the fault seam's clock: define MOTE_SYSTEM_HEADER as support/fault_system.hpp"
#endif

#include <algorithm>
#include <cinttypes>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "harness.hpp"

namespace generated {

using mote::Duration;
using mote::Error;
using mote::Instant;
using mote::Poll;
using mote::Result;
using mote::Task;
using mote::Waiter;
using mote::WaitQueue;
using mote::detail::ListNode;
using mote::detail::QueuePlace;
using mote::detail::TaskHeader;
using mote::detail::TaskStore;

// Opens private members of the library that the walk looks at: an explicit instantiation may name them.
template <class Tag, typename Tag::Type Member> struct Opened {
  friend typename Tag::Type open_member(Tag) { return Member; }
};
#define GENERATED_OPEN(Tag, Class, Member, ...) \
  struct Tag {                                  \
    using Value = __VA_ARGS__;                  \
    using Type = Value Class::*;                \
    friend Type open_member(Tag);               \
  };                                            \
  template struct Opened<Tag, &Class::Member>;
template <class Tag, class T> auto& look(T& object) { return object.*open_member(Tag()); }

struct Message;
using Channel = mote::Channel<Message, 2>;
using Group = mote::TaskGroup<4>;

// =====================================================================================================================
// Chance
// =====================================================================================================================
class Random {  // the generator splitmix64
 public:
  explicit Random(std::uint64_t seed) : state_(seed) {}
  std::uint64_t next() {
    state_ += 0x9e3779b97f4a7c15u;
    std::uint64_t z = state_;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
  }
  unsigned below(std::size_t n) { return static_cast<unsigned>(next() % n); }
  bool one_in(unsigned n) { return below(n) == 0; }
 private:
  std::uint64_t state_;
};

// =====================================================================================================================
// The model
// =====================================================================================================================
class World;
inline World* world = nullptr;  // the one that is alive
void fail(const char* what, int line);
inline void check(bool holds, const char* what, int line) {
  if (!holds) fail(what, line);
}
#define GENERATED_CHECK(...) ::generated::check(static_cast<bool>(__VA_ARGS__), #__VA_ARGS__, __LINE__)

struct GroupBox;
// What is known of one spawned task.
struct Record {
  int id = 0;
  int cancels = 0;  // cancellations, without those that came while one was still unanswered
  int code = -1;    // with which it ended; -1: it was destroyed
  int told = 0;     // how often its failure was delivered
  bool ended = false;
  bool joiners_may_be_told = false;  // a member of a group on which a task waited in join_all()
  GroupBox* group = nullptr;
  mote::Outcome expected() const {
    using Kind = mote::Outcome::Kind;
    if (!ended) return {};
    if (code == 0) return {Kind::done, {}};
    return code < 0 || code == ECANCELED ? mote::Outcome{Kind::cancelled, {}} : mote::Outcome{Kind::failed, code};
  }
  bool fails() const { return ended && code > 0 && code != ECANCELED; }
};

// A primitive and its expected state. When it is destroyed its box remains, for the tasks that waited.
template <class T> struct Box {
  T* object = new T;
  ~Box() { destroy(); }
  void destroy() { delete std::exchange(object, nullptr); }
};
struct Message {  // counted while it exists
  enum Where { at_sender, in_channel, received };
  Message() = default;
  Message(Message&& other) noexcept : id(std::exchange(other.id, 0)), where(other.where) {}
  Message& operator=(Message&& other) noexcept {
    if (this != &other) {
      end();
      id = std::exchange(other.id, 0);
      where = other.where;
    }
    return *this;
  }
  ~Message() { end(); }
  void end();
  std::uint32_t id = 0;
  Where where = at_sender;
};
struct ChannelBox : Box<Channel> {
  std::deque<std::uint32_t> sent;  // and not yet received
};
struct SemaphoreBox : Box<mote::Semaphore> {
  std::uint32_t held = 0, total = 0;
};
struct MutexBox : Box<mote::Mutex> {
  int holders = 0;
};
struct EventBox : Box<mote::Event> {
  int sets = 0;
};
struct GroupBox : Box<Group> {
  int failure = 0;  // the first that no join_all() has reported yet
  bool cancelled = false, told = false, cancels_others = false;
};
struct Permit {
  Permit() = default;
  explicit Permit(SemaphoreBox& from) : box(&from) { ++from.held; }
  Permit(Permit&& other) noexcept : box(std::exchange(other.box, nullptr)) {}
  Permit& operator=(Permit&& other) noexcept {
    if (this != &other) {
      give_back();
      box = std::exchange(other.box, nullptr);
    }
    return *this;
  }
  ~Permit() { give_back(); }
  void give_back() {
    SemaphoreBox* const from = std::exchange(box, nullptr);
    if (from == nullptr) return;
    --from->held;
    if (from->object != nullptr) from->object->release();
  }
  SemaphoreBox* box = nullptr;
};
struct Held {
  Held() = default;
  Held(mote::Mutex::Guard&& taken, MutexBox& from) : guard(std::move(taken)), box(&from) {
    GENERATED_CHECK(guard);
    ++from.holders;
    GENERATED_CHECK(from.holders == 1);
  }
  Held(Held&& other) noexcept : guard(std::move(other.guard)), box(std::exchange(other.box, nullptr)) {}
  Held& operator=(Held&& other) noexcept {
    if (this != &other) {
      unlock();
      guard = std::move(other.guard);
      box = std::exchange(other.box, nullptr);
    }
    return *this;
  }
  ~Held() { unlock(); }
  void unlock() {
    MutexBox* const from = std::exchange(box, nullptr);
    if (from == nullptr) return;
    GENERATED_CHECK(static_cast<bool>(guard) == (from->object != nullptr));
    --from->holders;
    guard.unlock();
  }
  mote::Mutex::Guard guard;
  MutexBox* box = nullptr;
};
// The value of any operation, as one type.
struct Got {
  Message message;
  Permit permit;
  Held held;
};
struct HandleBox {
  mote::TaskHandle handle;
  Record* record = nullptr;
  int joiners = 0;  // operations that may use it: while there are any, it is not given another task
};

// A sequence of awaits: a task's own, or that of a coroutine that is a part of an operation.
struct Line {
  Record* record = nullptr;
  Task* task = nullptr;
  int answers = 0;  // of ECANCELED
  int cancels_before = 0;
  bool abandoned = false;  // it is suspended, but nothing awaits it any more
  const Line* parent = nullptr;
  bool is_abandoned() const { return abandoned || (parent != nullptr && parent->is_abandoned()); }
  void begin(Record& of, Task& in) {
    record = &of;
    task = &in;
    answers = 0;
    abandoned = false;
    cancels_before = of.cancels - (in.cancel_requested() ? 1 : 0);
  }
};

#if __cplusplus >= 202002L
mote::Co<Got> part(mote::FrameSource& frames, World& w, Line& line, Line& parent, int depth);
#endif

// =====================================================================================================================
// Random operations
// =====================================================================================================================
enum class Kind {
  sleep,
  send,
  receive,
  acquire,
  lock,
  wait,
  join,
  join_all,
  vacancy,
  part,
  timeout,
  shield,
  first,
  all
};

struct Node {
  Kind kind = Kind::sleep;
  bool active = false;  // pending since its last attempt
  bool begun = false, done = false;
  int sets_before = 0;
  unsigned index = 0;  // of a pool
  Duration time{};
  Instant began{};
  Node *a = nullptr, *b = nullptr;
  WaitQueue* queue = nullptr;
  // The box, and its object when the operation was planned: it may have been destroyed since.
  ChannelBox* channel_box = nullptr;
  SemaphoreBox* semaphore_box = nullptr;
  MutexBox* mutex_box = nullptr;
  EventBox* event_box = nullptr;
  GroupBox* group_box = nullptr;
  HandleBox* handle_box = nullptr;
  void* object = nullptr;
  mote::TaskTimer timer;
  Message message;
  mote::AllOf<Got, Got> results;
  Line line;
#if __cplusplus >= 202002L
  std::unique_ptr<mote::Co<Got>> co;
#endif
};
class Tree;

// An operation that is a node of a tree; the library's operation is made again for each attempt.
struct [[nodiscard]] Any {
  Tree* tree;
  Node* node;
  Poll<Result<Got>> poll(Task& task);
};

class Tree {
 public:
  Tree() = default;
  Tree(const Tree&) = delete;
  Tree& operator=(const Tree&) = delete;
  ~Tree() { clear(); }
  Any plan(Line& line, int depth);
  void clear();  // after each await
  Line* line = nullptr;
  Node nodes[7];
  unsigned used = 0;
  unsigned attempt = 0, answered_in = 0;
 private:
  friend struct Any;
  Node* make(int depth);
  bool is_known(const Node& node) const;
  static bool is_gone(const Node& node);
  static void wait_for_nothing(Node& node);
  void make_leaf(Node& node, int depth);
  Result<Got> settle(Node& node, Error error);
  Poll<Result<Got>> attempt_at(Node& node, Task& task);
  Poll<Result<Got>> attempt_sleep(Node& node, Task& task);
  Poll<Result<Got>> attempt_send(Node& node, Task& task);
  Poll<Result<Got>> attempt_receive(Node& node, Task& task);
  Poll<Result<Got>> attempt_acquire(Node& node, Task& task);
  Poll<Result<Got>> attempt_lock(Node& node, Task& task);
  Poll<Result<Got>> attempt_wait(Node& node, Task& task);
  Poll<Result<Got>> attempt_join(Node& node, Task& task);
  Poll<Result<Got>> attempt_join_all(Node& node, Task& task);
  Poll<Result<Got>> attempt_vacancy(Node& node, Task& task);
  Poll<Result<Got>> attempt_with_timeout(Node& node, Task& task);
  Poll<Result<Got>> attempt_first_of(Node& node, Task& task);
  Poll<Result<Got>> attempt_all_of(Node& node, Task& task);
  template <class P> Poll<Result<Got>> simply(Node& node, P&& poll) {
    if (!poll.ready()) return mote::pending;
    return *poll ? Result<Got>(Got()) : settle(node, (*poll).error());
  }
  static void abandon(Node* node);
};

GENERATED_OPEN(QueuePlaces, WaitQueue, places_, mote::detail::List<QueuePlace>)
GENERATED_OPEN(WaiterTask, Waiter, task_, TaskHeader*)
GENERATED_OPEN(EventQueue, mote::Event, queue_, WaitQueue)
GENERATED_OPEN(SemaphoreQueue, mote::Semaphore, queue_, WaitQueue)
GENERATED_OPEN(MutexQueue, mote::Mutex, queue_, WaitQueue)
GENERATED_OPEN(ChannelSenders, Channel, senders_, WaitQueue)
GENERATED_OPEN(ChannelReceivers, Channel, receivers_, WaitQueue)
GENERATED_OPEN(GroupMembers, mote::TaskGroupBase, members_, mote::TaskHandle*)
GENERATED_OPEN(GroupJoiners, mote::TaskGroupBase, joiners_, WaitQueue)
GENERATED_OPEN(TimerTimer, mote::TaskTimer, timer_, mote::Timer)
GENERATED_OPEN(SchedulerReady, mote::detail::Scheduler, ready_, mote::detail::RunQueue)
GENERATED_OPEN(SchedulerHigher, mote::detail::Scheduler, higher_, mote::detail::RunQueue*)
GENERATED_OPEN(SchedulerLevels, mote::detail::Scheduler, higher_levels_, std::uint32_t)
inline TaskHeader& header(Task& task) { return mote::detail::TaskAccess::header(task); }
inline mote::detail::Loop& loop_of(mote::Reactor& reactor) { return mote::detail::ReactorAccess::loop(reactor); }
// A pool's store is its first base, to which nobody else may convert it.
template <class Pool> TaskStore* store_of(Pool* pool) { return static_cast<TaskStore*>(static_cast<void*>(pool)); }

// =====================================================================================================================
// The world
// =====================================================================================================================
class World {
 public:
  static constexpr unsigned priorities = 3, kinds_of_each = 2;
  explicit World(std::uint64_t from) : random(from), seed(from) {
    world = this;

    for (unsigned i = 0; i < kinds_of_each; ++i) {
      make(channels);
      make(semaphores);
      make(mutexes);
      make(events);
      make_group();
    }
    for (int i = 0; i < 8; ++i) handles.push_back(std::make_unique<HandleBox>());
  }
  virtual ~World() = default;
  World(const World&) = delete;
  World& operator=(const World&) = delete;

  // The world's pools, which the test provides.
  virtual mote::Reactor& reactor() = 0;
  virtual unsigned pools() const = 0;
  virtual TaskStore* pool(unsigned i) = 0;  // null once it is gone
  virtual std::uint32_t capacity(unsigned i) const = 0;
  virtual Poll<Result<void>> poll_vacancy(unsigned i, Task& task) = 0;
  virtual Result<mote::TaskHandle> spawn_task(unsigned i, Record& record) = 0;
  virtual Result<mote::TaskRef> spawn_member(Group& group, unsigned i, Record& record) = 0;
  virtual void destroy_pools() = 0;
  virtual bool has_frames() const { return true; }
  virtual bool frames_are_free() const { return true; }
#if __cplusplus >= 202002L
  mote::FrameSource* frames = nullptr;
#endif

  void run(std::uint64_t steps);  // a life, from the first task to an empty world
  void act(Task* self);           // something happens, in a step of `self` or between turns
  void spawn();
  void take(Result<Got>& result);
  void begin(Record& record, Task& task) { by_task[&task] = &record; }
  void end(Record& record);

  template <class Boxes> auto& pick(Boxes& boxes) { return *boxes[random.below(kinds_of_each)]; }

  Random random;
  const std::uint64_t seed;
  bool closing = false;  // a task ends as soon as it completes an operation
  bool failed = false;
  bool ending_channel = false;
  std::uint32_t made = 0, unsent = 0, sent = 0, received = 0, absorbed = 0, lost_in_channel = 0, lost_in_all = 0;
  std::vector<std::unique_ptr<ChannelBox>> channels;
  std::vector<std::unique_ptr<SemaphoreBox>> semaphores;
  std::vector<std::unique_ptr<MutexBox>> mutexes;
  std::vector<std::unique_ptr<EventBox>> events;
  std::vector<std::unique_ptr<GroupBox>> groups;
  std::vector<std::unique_ptr<HandleBox>> handles;
  std::vector<mote::TaskRef> refs;
  std::deque<Record> records;
  std::unordered_map<const Task*, Record*> by_task;
  std::vector<Tree*> trees;
  std::vector<Permit> permits;  // kept for a while
  std::vector<Held> locks;
 private:
  std::size_t walk_task(Task& task);
  void walk_groups();
  void cancel_one();
  void destroy_one(const Task* self);
  void wake_one();
  void set_one_priority();
  void release_permits();
  void set_event();
  void receive_now();
  void send_now();
  void replace_one();
  void change_group();
  template <class B> static void make(std::vector<std::unique_ptr<B>>& boxes) {
    boxes.push_back(std::make_unique<B>());
  }
  void make_group();
  template <class Boxes> void replace(Boxes& boxes);
  void cancel(Task* task);
  void cancel_group(GroupBox& box);
  void observe(const mote::Observation& seen);
  void member_ended(const Task& task, mote::Outcome outcome);
  void turn();
  void walk();
  void walk_rest();
  void wind_down();
  void empty();
  std::size_t walk_queue(WaitQueue& queue);
  template <class F> void for_each_queue(F&& f);
  template <class F> void for_each_slot(F&& f);
  bool is_queued(Task& task);
};

inline void fail(const char* what, int line) {
  if (std::exchange(world->failed, true)) return;
  std::fprintf(stderr, "generated.hpp:%d: in the world of seed %" PRIu64 ", not so: %s\n", line, world->seed, what);
  std::fflush(stderr);
}

inline void Message::end() {
  if (std::exchange(id, 0) == 0) return;
  if (where == at_sender) ++world->unsent;
  else if (where == in_channel) {
    ++world->lost_in_channel;
    GENERATED_CHECK(world->ending_channel);
  } else fail("a received message reaches who awaits it", __LINE__);
}

// ---------------------------------------------------------------------------------------------------------------------
// Operations
// ---------------------------------------------------------------------------------------------------------------------
inline Any Tree::plan(Line& of, int depth) {
  clear();
  line = &of;
  world->trees.push_back(this);
  return {this, make(depth)};
}
inline void Tree::clear() {
  if (line == nullptr) return;
  auto& trees = world->trees;
  trees.erase(std::find(trees.begin(), trees.end(), this));
  for (unsigned i = 0; i < used; ++i) {
    Node& node = nodes[i];
#if __cplusplus >= 202002L
    node.co.reset();
#endif
    const auto drop = [](Result<Got>& result) {
      if (result && std::exchange(result->message.id, 0) != 0) ++world->lost_in_all;
    };
    drop(node.results.get<0>());
    drop(node.results.get<1>());
    node.results.reset();
    node.message.end();
    node.timer.reset();
    if (node.handle_box != nullptr) --node.handle_box->joiners;
    node.channel_box = nullptr;
    node.semaphore_box = nullptr;
    node.mutex_box = nullptr;
    node.event_box = nullptr;
    node.group_box = nullptr;
    node.handle_box = nullptr;
    node.queue = nullptr;
    node.object = nullptr;
    node.a = nullptr;
    node.b = nullptr;
    node.active = false;
    node.begun = false;
    node.done = false;
  }
  used = 0;
  line = nullptr;
}
inline Node* Tree::make(int depth) {
  Node& node = nodes[used++];
  if (depth <= 0 || used > 4 || world->random.one_in(3)) {
    make_leaf(node, depth);
    if (is_known(node)) wait_for_nothing(node);
    return &node;
  }
  static constexpr Kind kinds[] = {Kind::timeout, Kind::timeout, Kind::shield, Kind::first,
                                   Kind::first,   Kind::all,     Kind::all};
  node.kind = kinds[world->random.below(7)];
  node.time = Duration(world->random.below(40) * 500'000);
  node.a = make(depth - 1);
  if (node.kind == Kind::first || node.kind == Kind::all) node.b = make(depth - 1);
  return &node;
}
inline void Tree::wait_for_nothing(Node& node) {
  node.message.end();
  node.queue = nullptr;
  node.kind = Kind::sleep;
  node.channel_box = nullptr;
  node.semaphore_box = nullptr;
  node.mutex_box = nullptr;
  node.event_box = nullptr;
  if (node.handle_box != nullptr) --node.handle_box->joiners;
  node.group_box = nullptr;
  node.handle_box = nullptr;
}
inline bool Tree::is_gone(const Node& node) {
  return (node.channel_box && !node.channel_box->object) || (node.semaphore_box && !node.semaphore_box->object) ||
         (node.mutex_box && !node.mutex_box->object) || (node.event_box && !node.event_box->object) ||
         (node.group_box && !node.group_box->object) || (node.kind == Kind::vacancy && !world->pool(node.index));
}
// Two parts of one task that wait for the same object are noted there only once.
inline bool Tree::is_known(const Node& node) const {
  for (const Tree* const tree : world->trees)
    for (unsigned i = 0; tree->line->task == line->task && i < tree->used; ++i) {
      const Node& other = tree->nodes[i];
      if (&other != &node && node.queue != nullptr && other.queue == node.queue) return true;
      if (&other != &node && node.handle_box != nullptr && other.handle_box == node.handle_box) return true;
    }
  return false;
}
inline void Tree::make_leaf(Node& node, int depth) {
  World& w = *world;
  node.kind = static_cast<Kind>(w.random.below(static_cast<unsigned>(Kind::timeout)));
  node.time = Duration(w.random.below(40) * 500'000);
  switch (node.kind) {
    case Kind::send:
      node.message.id = ++w.made;
      node.message.where = Message::at_sender;
      [[fallthrough]];
    case Kind::receive:
      node.channel_box = &w.pick(w.channels);
      node.object = node.channel_box->object;
      node.queue = node.kind == Kind::send ? &look<ChannelSenders>(*node.channel_box->object)
                                           : &look<ChannelReceivers>(*node.channel_box->object);
      return;
    case Kind::acquire:
      node.semaphore_box = &w.pick(w.semaphores);
      node.object = node.semaphore_box->object;
      node.queue = &look<SemaphoreQueue>(*node.semaphore_box->object);
      return;
    case Kind::lock:
      node.mutex_box = &w.pick(w.mutexes);
      node.object = node.mutex_box->object;
      node.queue = &look<MutexQueue>(*node.mutex_box->object);
      return;
    case Kind::wait:
      node.event_box = &w.pick(w.events);
      node.object = node.event_box->object;
      node.queue = &look<EventQueue>(*node.event_box->object);
      node.sets_before = node.event_box->sets;
      return;
    case Kind::join:
      node.handle_box = w.handles[w.random.below(w.handles.size())].get();
      ++node.handle_box->joiners;
      return;
    case Kind::join_all:
      node.group_box = &w.pick(w.groups);
      node.object = static_cast<mote::TaskGroupBase*>(node.group_box->object);
      node.queue = &look<GroupJoiners>(static_cast<mote::TaskGroupBase&>(*node.group_box->object));
      return;
    case Kind::vacancy:
      node.index = w.random.below(w.pools());
      node.queue = &w.pool(node.index)->vacancy();
      return;
    case Kind::part:
#if __cplusplus >= 202002L
      if (w.frames != nullptr && depth > 0) {
        node.co = std::make_unique<mote::Co<Got>>(part(*w.frames, w, node.line, *line, depth - 1));
        const bool has_frame = static_cast<bool>(*node.co);
        GENERATED_CHECK(has_frame || (node.co->error() == ENOBUFS && !w.has_frames()));
        return;
      }
#endif
      static_cast<void>(depth);
      node.kind = Kind::sleep;
      return;
    default: return;
  }
}
inline bool is_abandoning(Task& task) { return mote::PollContext(task).is_abandoning(); }
// Checks that the operation may fail with this error.
inline Result<Got> Tree::settle(Node& node, Error error) {
  if (is_abandoning(*line->task)) return error;
  switch (error.code()) {
    case ECANCELED:
      if (is_gone(node)) break;
      if (std::exchange(answered_in, attempt) != attempt) ++line->answers;
      GENERATED_CHECK(line->is_abandoned() || line->answers <= line->record->cancels - line->cancels_before);
      break;
    case ENOBUFS: GENERATED_CHECK(node.queue != nullptr && header(*line->task).place_in(nullptr) == nullptr); break;
    case EPIPE: GENERATED_CHECK(node.kind == Kind::send && node.channel_box->object->is_closed()); break;
    case ENODATA:
      GENERATED_CHECK(node.kind == Kind::receive && node.channel_box->object->is_closed());
      GENERATED_CHECK(node.channel_box->sent.empty());
      break;
    case EINVAL: GENERATED_CHECK(node.kind == Kind::join && !node.handle_box->handle); break;
    case EBUSY: GENERATED_CHECK(node.kind == Kind::join && node.handle_box->joiners > 1); break;
    default: GENERATED_CHECK("no other error is documented" == nullptr);
  }
  return error;
}
inline void Tree::abandon(Node* node) {
  if (node == nullptr) return;
  node->active = false;
  node->line.abandoned = true;
  abandon(node->a);
  abandon(node->b);
}
inline Poll<Result<Got>> Any::poll(Task& task) {
  if (is_abandoning(task)) {  // it only leaves the place where it waits, and nothing may be sent or received
    const std::uint32_t before = world->sent + world->received;
    Poll<Result<Got>> nothing = tree->attempt_at(*node, task);
    GENERATED_CHECK(before == world->sent + world->received && !node->done);
    return nothing;
  }
  if (tree->nodes == node) ++tree->attempt;
  GENERATED_CHECK(tree->line->task == &task);
  GENERATED_CHECK(!node->done);
  if (!std::exchange(node->begun, true)) {
    node->began = mote::Clock::now();
    if (tree->is_gone(*node)) tree->wait_for_nothing(*node);  // destroyed by a part that was polled earlier
  }
  Poll<Result<Got>> result = tree->attempt_at(*node, task);
  node->active = !result.ready();
  node->done = result.ready();
  if (result.ready()) Tree::abandon(node);
  return result;
}
inline Poll<Result<Got>> Tree::attempt_sleep(Node& node, Task& task) {
  auto poll = node.timer.sleep(node.time).poll(task);
  if (poll.ready() && *poll) GENERATED_CHECK(mote::Clock::now() >= node.began + node.time);
  return simply(node, poll);
}
inline Poll<Result<Got>> Tree::attempt_send(Node& node, Task& task) {
  const std::uint32_t id = node.message.id;
  node.message.where = Message::in_channel;
  auto poll = static_cast<Channel*>(node.object)->send(std::move(node.message)).poll(task);
  const bool sent = poll.ready() && *poll;
  GENERATED_CHECK(node.message.id == (sent ? 0 : id));
  node.message.where = Message::at_sender;
  if (sent) {
    GENERATED_CHECK(node.channel_box->object != nullptr && !node.channel_box->object->is_closed());
    node.channel_box->sent.push_back(id);
    ++world->sent;
  }
  return simply(node, poll);
}
inline Poll<Result<Got>> Tree::attempt_receive(Node& node, Task& task) {
  auto poll = static_cast<Channel*>(node.object)->receive().poll(task);
  if (!poll.ready() || !*poll) return simply(node, poll);
  Got got;
  got.message = std::move(**poll);
  got.message.where = Message::received;
  ++world->received;
  auto& sent = node.channel_box->sent;
  GENERATED_CHECK(node.channel_box->object != nullptr && !sent.empty() && sent.front() == got.message.id);
  sent.pop_front();
  return Result<Got>(std::move(got));
}
inline Poll<Result<Got>> Tree::attempt_acquire(Node& node, Task& task) {
  auto poll = static_cast<mote::Semaphore*>(node.object)->acquire().poll(task);
  if (!poll.ready() || !*poll) return simply(node, poll);
  GENERATED_CHECK(node.semaphore_box->object != nullptr);
  Got got;
  got.permit = Permit(*node.semaphore_box);
  return Result<Got>(std::move(got));
}
inline Poll<Result<Got>> Tree::attempt_lock(Node& node, Task& task) {
  auto poll = static_cast<mote::Mutex*>(node.object)->lock().poll(task);
  if (!poll.ready() || !*poll) return simply(node, poll);
  GENERATED_CHECK(node.mutex_box->object != nullptr);
  Got got;
  got.held = Held(std::move(**poll), *node.mutex_box);
  return Result<Got>(std::move(got));
}
inline Poll<Result<Got>> Tree::attempt_wait(Node& node, Task& task) {
  auto poll = static_cast<mote::Event*>(node.object)->wait().poll(task);
  if (poll.ready() && *poll) {
    const EventBox& box = *node.event_box;
    GENERATED_CHECK(box.sets != node.sets_before || (box.object != nullptr && box.object->is_set()));
  }
  return simply(node, poll);
}
inline Poll<Result<Got>> Tree::attempt_join(Node& node, Task& task) {
  auto poll = node.handle_box->handle.join().poll(task);
  if (!poll.ready() || !*poll) return simply(node, poll);
  Record& ended = *node.handle_box->record;
  GENERATED_CHECK((*poll)->kind == ended.expected().kind && ended.ended);
  if (ended.fails()) {
    GENERATED_CHECK((*poll)->error == ended.code);
    ++ended.told;
    GENERATED_CHECK(ended.told == 1);
  }
  GENERATED_CHECK(!node.handle_box->handle);
  return Result<Got>(Got());
}
inline Poll<Result<Got>> Tree::attempt_join_all(Node& node, Task& task) {
  auto poll = static_cast<mote::TaskGroupBase*>(node.object)->join_all().poll(task);
  GroupBox& box = *node.group_box;
  if (!poll.ready() || box.object == nullptr) return simply(node, poll);
  const int code = test::error_of(*poll);
  if (code == 0 || code == box.failure) {
    GENERATED_CHECK(box.object->size() == 0 && box.failure == code);
    box.failure = 0;
    return Result<Got>(Got());
  }
  return simply(node, poll);
}
inline Poll<Result<Got>> Tree::attempt_vacancy(Node& node, Task& task) {
  auto poll = world->poll_vacancy(node.index, task);
  if (poll.ready() && *poll) GENERATED_CHECK(world->pool(node.index)->used() < world->capacity(node.index));
  return simply(node, poll);
}
inline Poll<Result<Got>> Tree::attempt_with_timeout(Node& node, Task& task) {
  const Any a{this, node.a};
  auto poll = mote::with_timeout(node.timer, node.time, Any(a)).poll(task);
  if (!is_abandoning(task) && poll.ready() && !*poll && !node.a->done) {
    GENERATED_CHECK((*poll).error() == ETIMEDOUT);
    GENERATED_CHECK(mote::Clock::now() >= node.began + node.time);
  }
  GENERATED_CHECK(poll.ready() || !node.a->done);
  return poll;
}
inline Poll<Result<Got>> Tree::attempt_first_of(Node& node, Task& task) {
  const Any a{this, node.a};
  const Any b{this, node.b};
  auto poll = mote::first_of(Any(a), Any(b)).poll(task);
  GENERATED_CHECK(poll.ready() == (node.a->done || node.b->done));
  if (!poll.ready()) return mote::pending;
  if (!*poll) {
    GENERATED_CHECK((*poll).error() == ECANCELED);
    return (*poll).error();
  }
  auto& first = **poll;
  GENERATED_CHECK((first.which == 0 ? node.a : node.b)->done && !(first.which == 0 ? node.b : node.a)->done);
  return first.which == 0 ? std::move(first.get<0>()) : std::move(first.get<1>());
}
inline Poll<Result<Got>> Tree::attempt_all_of(Node& node, Task& task) {
  const Any a{this, node.a};
  const Any b{this, node.b};
  auto poll = mote::all_of(node.results, Any(a), Any(b)).poll(task);
  GENERATED_CHECK(poll.ready() == (node.a->done && node.b->done));
  if (!poll.ready()) return mote::pending;
  const bool first = static_cast<bool>(node.results.get<0>()), second = static_cast<bool>(node.results.get<1>());
  GENERATED_CHECK(static_cast<bool>(*poll) == (first && second));
  if (!first) GENERATED_CHECK((*poll).error() == node.results.get<0>().error());
  else if (!second) GENERATED_CHECK((*poll).error() == node.results.get<1>().error());
  world->take(node.results.get<0>());
  world->take(node.results.get<1>());
  return *poll ? Result<Got>(Got()) : Result<Got>((*poll).error());
}
inline Poll<Result<Got>> Tree::attempt_at(Node& node, Task& task) {
  switch (node.kind) {
    case Kind::sleep: return attempt_sleep(node, task);
    case Kind::send: return attempt_send(node, task);
    case Kind::receive: return attempt_receive(node, task);
    case Kind::acquire: return attempt_acquire(node, task);
    case Kind::lock: return attempt_lock(node, task);
    case Kind::wait: return attempt_wait(node, task);
    case Kind::join: return attempt_join(node, task);
    case Kind::join_all: return attempt_join_all(node, task);
    case Kind::vacancy: return attempt_vacancy(node, task);
    case Kind::part:
#if __cplusplus >= 202002L
      return node.co->poll(task);
#else
      return mote::pending;
#endif
    case Kind::timeout: return attempt_with_timeout(node, task);
    case Kind::shield: return mote::shield(Any{this, node.a}).poll(task);
    case Kind::first: return attempt_first_of(node, task);
    case Kind::all: return attempt_all_of(node, task);
  }
  return mote::pending;
}
// Takes the result of an await: permits and locks are given back at once, or later.
inline void World::take(Result<Got>& result) {
  if (!result) return;
  if (std::exchange(result->message.id, 0) != 0) ++absorbed;
  if (permits.size() < 4 && random.one_in(2)) permits.push_back(std::move(result->permit));
  if (locks.size() < 2 && random.one_in(2)) locks.push_back(std::move(result->held));
  result->permit.give_back();
  result->held.unlock();
  if (!permits.empty() && random.one_in(4)) permits.erase(permits.begin());
  if (!locks.empty() && random.one_in(4)) locks.erase(locks.begin());
}

// ---------------------------------------------------------------------------------------------------------------------
// What happens to tasks
// ---------------------------------------------------------------------------------------------------------------------
// In every task, also in a coroutine that has not begun: notes its end, in its destructor.
struct Mark {
  explicit Mark(Record& of) : record(&of) {}
  Mark(Mark&& other) noexcept : record(std::exchange(other.record, nullptr)) {}
  Mark& operator=(const Mark&) = delete;
  ~Mark() {
    if (record != nullptr) world->end(*record);
  }
  Record* record;
};
inline void World::end(Record& record) {
  GENERATED_CHECK(!record.ended);
  record.ended = true;
  GroupBox* const box = record.group;
  if (box != nullptr && box->object != nullptr && record.fails()) {
    if (box->failure == 0) box->failure = record.code;
    record.joiners_may_be_told = !look<GroupJoiners>(static_cast<mote::TaskGroupBase&>(*box->object)).empty();
    if (box->cancels_others) {
      box->cancelled = true;
      for (auto& [task, other] : by_task)
        if (other != &record && other->group == box && !other->ended && !task->cancel_requested()) ++other->cancels;
    }
  }
  if (random.one_in(16) && !closing) spawn();  // in a destructor: refused while tasks are destroyed
}
inline void World::spawn() {
  records.emplace_back();
  Record& record = records.back();
  record.id = static_cast<int>(records.size());
  const unsigned from = random.below(pools());
  if (pool(from) == nullptr) return records.pop_back();
  const bool full = pool(from)->used() == capacity(from), frames_left = has_frames();
  if (random.one_in(3)) {
    GroupBox& box = pick(groups);
    if (box.object == nullptr) return records.pop_back();
    record.group = &box;
    const bool no_room = full || !frames_left || box.object->size() == Group::capacity();
    const Result<mote::TaskRef> member = spawn_member(*box.object, from, record);
    if (!member) {
      GENERATED_CHECK(no_room ? member.error() == ENOBUFS || member.error() == ECANCELED : member.error() == ECANCELED);
      record.ended = true;
      return;
    }
    GENERATED_CHECK(!full);
    begin(record, *member->get());
    return refs.push_back(*member);
  }
  Result<mote::TaskHandle> handle = spawn_task(from, record);
  if (!handle) {
    GENERATED_CHECK(handle.error() == ENOBUFS ? full || !frames_left : handle.error() == ECANCELED);
    record.ended = true;
    return;
  }
  GENERATED_CHECK(!full);
  begin(record, *handle->get());
  refs.push_back(mote::TaskRef(*handle->get()));
  if (random.one_in(4)) return;  // goes on alone
  HandleBox& box = *handles[random.below(handles.size())];
  if (box.joiners != 0) return;
  box.handle = std::move(*handle);
  box.record = &record;
}
inline void World::cancel(Task* task) {
  if (task == nullptr) return;
  if (task->is_alive() && !task->cancel_requested()) ++by_task[task]->cancels;
  task->cancel();
}
inline void World::cancel_group(GroupBox& box) {
  for (auto& [task, record] : by_task)
    if (record->group == &box && !record->ended && !task->cancel_requested()) ++record->cancels;
  if (box.object->size() != 0) box.cancelled = true;
  box.object->cancel_all();
}
inline void World::make_group() {
  make(groups);
  GroupBox& box = *groups.back();
  if (random.one_in(2)) {
    box.cancels_others = true;
    box.object->cancel_others_on_failure();
  }
  if (random.one_in(2)) {
    box.told = true;
    box.object->on_end(mote::Delegate<void(const Task&, mote::Outcome)>::of<&World::member_ended>(*this));
  }
}
inline void World::member_ended(const Task& task, mote::Outcome outcome) {
  Record& record = *by_task[&task];
  GENERATED_CHECK(record.ended && record.group != nullptr && record.group->told);
  GENERATED_CHECK(outcome.kind == record.expected().kind);
  if (record.fails()) {
    ++record.told;
    GENERATED_CHECK(outcome.error == record.code && record.told == 1);
  }
  if (closing) return;
  if (random.one_in(3)) spawn();
  for (unsigned i = 0; i < groups.size(); ++i)
    if (groups[i].get() == record.group && random.one_in(16)) replace(groups);
}
inline void World::observe(const mote::Observation& seen) {
  if (seen.kind != mote::Observation::task_failed) return;
  Record& record = *by_task[seen.task];
  GENERATED_CHECK(record.fails() && seen.error == record.code);
  GENERATED_CHECK(record.group == nullptr || record.group->object == nullptr || !record.group->told);
  ++record.told;
  GENERATED_CHECK(record.told == 1);
}
// Destroys a primitive, also while tasks wait for it, and makes another one in its place.
template <class Boxes> void World::replace(Boxes& boxes) {
  const unsigned i = random.below(kinds_of_each);
  if (boxes[i]->object == nullptr) return;
  using B = std::remove_reference_t<decltype(*boxes[i])>;
  B* const old = boxes[i].get();
  if constexpr (std::is_same<B, GroupBox>::value) {
    make_group();
    for (auto& [task, record] : by_task)
      if (record->group == old && !record->ended && !task->cancel_requested()) ++record->cancels;
  } else {
    make(boxes);
  }
  std::swap(boxes[i], boxes.back());
  if constexpr (std::is_same<B, ChannelBox>::value) ending_channel = true;
  old->destroy();
  ending_channel = false;
}
inline void World::cancel_one() {
  if (refs.empty()) return;
  const mote::TaskRef ref = refs[random.below(refs.size())];
  Task* const task = ref.get();
  if (task != nullptr && !task->cancel_requested()) ++by_task[task]->cancels;
  GENERATED_CHECK(ref.cancel() == (task != nullptr));
}
inline void World::destroy_one(const Task* self) {
  HandleBox& box = *handles[random.below(handles.size())];
  Task* const task = box.handle.get();
  const bool alive = task != nullptr && task->is_alive();
  const int code = test::error_of(box.handle.destroy());
  GENERATED_CHECK(code == (!alive ? ESRCH : task == self ? EBUSY : 0));
  if (code == 0) GENERATED_CHECK(box.record->ended && box.handle.outcome().kind == box.record->expected().kind);
}
inline void World::wake_one() {
  if (refs.empty()) return;
  const mote::TaskRef ref = refs[random.below(refs.size())];
  GENERATED_CHECK(ref.wake() == (ref.get() != nullptr));
}
inline void World::set_one_priority() {
  if (refs.empty()) return;
  Task* const task = refs[random.below(refs.size())].get();
  const unsigned level = random.below(priorities + 1);
  if (task == nullptr) return;
  GENERATED_CHECK(test::error_of(task->set_priority(level)) == (level < priorities ? 0 : EINVAL));
}
inline void World::release_permits() {
  SemaphoreBox& box = pick(semaphores);
  if (box.total >= 3) return;
  const std::uint32_t permits_more = 1 + random.below(2);
  box.total += permits_more;
  box.object->release(permits_more);
}
inline void World::set_event() {
  EventBox& box = pick(events);
  ++box.sets;
  box.object->set();
  if (random.one_in(2)) box.object->clear();
  if (random.one_in(4)) replace(events);
}
inline void World::receive_now() {
  ChannelBox& box = pick(channels);
  Result<Message> got = box.object->try_receive();
  if (!got) return;
  GENERATED_CHECK(!box.sent.empty() && box.sent.front() == got->id);
  box.sent.pop_front();
  ++received;
  ++absorbed;
  got->id = 0;
}
inline void World::send_now() {
  ChannelBox& box = pick(channels);
  ++made;
  Message message;
  message.id = made;
  message.where = Message::in_channel;
  const std::uint32_t id = message.id;
  if (box.object->try_send(std::move(message))) {
    box.sent.push_back(id);
    ++sent;
  }
  message.where = Message::at_sender;
}
inline void World::replace_one() {
  switch (random.below(8)) {
    case 0: return replace(semaphores);
    case 1: return replace(mutexes);
    case 2: return replace(events);
    case 3: return replace(groups);
    default: return;
  }
}
inline void World::change_group() {
  GroupBox& box = pick(groups);
  box.cancels_others = random.one_in(2);
  box.object->cancel_others_on_failure(box.cancels_others);
}
inline void World::act(Task* self) {
  switch (random.below(24)) {
    case 0:
    case 1:
    case 2:
    case 3: return spawn();
    case 4:
    case 5: return cancel_one();
    case 6: return cancel(handles[random.below(handles.size())]->handle.get());
    case 7: return destroy_one(self);
    case 8: return handles[random.below(handles.size())]->handle.detach();
    case 9:
    case 10: return release_permits();
    case 11: return set_event();
    case 12: return pick(events).object->clear();
    case 13: return receive_now();
    case 14: return send_now();
    case 15:
      if (random.one_in(4)) pick(channels).object->close();
      return;
    case 16:
      if (random.one_in(3)) replace(channels);
      return;
    case 17: return replace_one();
    case 18:
      if (random.one_in(4)) cancel_group(pick(groups));
      return;
    case 19: return change_group();
    case 20: return wake_one();
    case 21: return set_one_priority();
    case 22: return static_cast<void>(pick(mutexes).object->try_lock());  // it is unlocked at once
    default:
      if (self == nullptr) mote::FaultSystem::state.now += random.below(5) * 1'000'000;
      return;
  }
}

// ---------------------------------------------------------------------------------------------------------------------
// What is looked at
// ---------------------------------------------------------------------------------------------------------------------
template <class F> void World::for_each_queue(F&& f) {
  for (auto& box : channels)
    if (box->object) {
      f(look<ChannelSenders>(*box->object));
      f(look<ChannelReceivers>(*box->object));
    }
  for (auto& box : semaphores)
    if (box->object) f(look<SemaphoreQueue>(*box->object));
  for (auto& box : mutexes)
    if (box->object) f(look<MutexQueue>(*box->object));
  for (auto& box : events)
    if (box->object) f(look<EventQueue>(*box->object));
  for (auto& box : groups)
    if (box->object) f(look<GroupJoiners>(static_cast<mote::TaskGroupBase&>(*box->object)));
  for (unsigned i = 0; i < pools(); ++i)
    if (pool(i)) f(pool(i)->vacancy());
}
template <class F> void World::for_each_slot(F&& f) {
  for (unsigned i = 0; i < pools(); ++i) {
    TaskStore* const from = pool(i);
    if (from == nullptr) continue;
    for (std::uint32_t slot = 0; slot < from->fresh(); ++slot) f(mote::detail::TaskAccess::task(from->at(slot)));
  }
}
// Checks that a list is a ring in both directions; returns the number of its nodes.
template <class F> std::size_t walk_ring(ListNode& head, F&& f) {
  std::size_t n = 0;
  if (head.next == nullptr) return n;
  for (ListNode* node = head.next; node != &head; node = node->next) {
    if (node == nullptr || node->next == nullptr || node->next->prev != node || node->prev->next != node ||
        ++n > 10'000) {
      GENERATED_CHECK("a list is a ring, both ways" == nullptr);
      return n;
    }
    f(*node);
  }
  GENERATED_CHECK(head.next->prev == &head && head.prev->next == &head);
  return n;
}
inline std::size_t World::walk_queue(WaitQueue& queue) {
  return walk_ring(look<QueuePlaces>(queue).head_, [&](ListNode& node) {
    auto& place = static_cast<QueuePlace&>(node);
    GENERATED_CHECK(place.queue == &queue && place.task != nullptr && place.task->is_live());
    bool its_own = false;
    for (auto& each : place.task->places) its_own |= &each == &place;
    GENERATED_CHECK(its_own);
  });
}
inline bool World::is_queued(Task& task) { return header(task).linked(); }

// Returns in how many queues it stands.
inline std::size_t World::walk_task(Task& task) {
  std::size_t standing = 0;
  const bool alive = task.is_alive();
  for (auto& place : header(task).places) {
    if (place.linked()) {
      ++standing;
      GENERATED_CHECK(alive && place.task == &header(task) && place.queue != nullptr);
    } else GENERATED_CHECK(alive || place.queue == nullptr);
  }
  const std::size_t waits = walk_ring(header(task).waiters.head_, [&](ListNode& node) {
    GENERATED_CHECK(static_cast<Waiter&>(node).names(header(task)));
  });
  GENERATED_CHECK(alive || waits == 0);
  Waiter& joiner = header(task).joiner;
  if (joiner.has_task()) GENERATED_CHECK(joiner.linked() && look<WaiterTask>(joiner)->is_live());
  const mote::detail::TaskHolder* const holder = header(task).holder;
  if (holder != nullptr) {
    GENERATED_CHECK(holder->task == &header(task));
    if (holder->group != nullptr) {
      const auto* const in = by_task[&task]->group;
      GENERATED_CHECK(alive && in != nullptr && in->object != nullptr);
    }
  }
  if (alive) {
    const Record& record = *by_task[&task];
    GENERATED_CHECK(!record.ended);
    GENERATED_CHECK(!header(task).cancel_held || header(task).shields != 0);
  }
  return standing;
}
inline void World::walk_groups() {
  for (auto& box : groups) {
    if (!box->object) continue;
    for (std::uint32_t i = 0; i < box->object->size(); ++i) {
      mote::TaskHandle& member = look<GroupMembers>(static_cast<mote::TaskGroupBase&>(*box->object))[i];
      const mote::detail::TaskHolder& holder = mote::detail::HandleAccess::holder(member);
      GENERATED_CHECK(holder.task != nullptr && holder.task->is_live() && holder.task->holder == &holder);
      GENERATED_CHECK(holder.group != nullptr && by_task[member.get()]->group == box.get());
    }
  }
}

// After every turn: all that is linked is linked both ways, and only live tasks are linked.
inline void World::walk() {
  std::size_t standing = 0;
  std::size_t in_queues = 0;
  std::size_t live = 0;
  std::size_t queued = 0;
  std::size_t run_queued = 0;
  for_each_queue([&](WaitQueue& queue) { in_queues += walk_queue(queue); });
  for_each_slot([&](Task& task) {
    standing += walk_task(task);
    if (!task.is_alive()) return;
    ++live;
    if (is_queued(task)) ++queued;
  });
  GENERATED_CHECK(standing == in_queues);
  GENERATED_CHECK(live == reactor().stats().tasks);
  const auto walk_ready = [&](mote::detail::RunQueue& ready) {
    run_queued += walk_ring(ready.head_,
                            [&](ListNode& node) { GENERATED_CHECK(mote::detail::RunQueue::from(&node)->is_live()); });
  };
  mote::detail::Scheduler& scheduler = loop_of(reactor());
  walk_ready(look<SchedulerReady>(scheduler));
  for (std::uint32_t i = 0; i < look<SchedulerLevels>(scheduler); ++i) walk_ready(look<SchedulerHigher>(scheduler)[i]);
  GENERATED_CHECK(queued == run_queued);
  walk_groups();
  for (auto& box : channels) GENERATED_CHECK(!box->object || box->object->size() == box->sent.size());
  for (auto& box : semaphores) GENERATED_CHECK(!box->object || box->object->available() + box->held == box->total);
  for (auto& box : mutexes) GENERATED_CHECK(!box->object || box->object->is_locked() == (box->holders == 1));
  if (run_queued == 0) walk_rest();
}
// When nothing is left to run: no task waits for something that is there already, and each is noted where it waits.
inline void World::walk_rest() {
  const auto waited_for = [](WaitQueue& queue) { return !queue.empty(); };
  for (auto& box : channels) {
    Channel* const channel = box->object;
    if (channel == nullptr) continue;
    if (waited_for(look<ChannelSenders>(*channel))) GENERATED_CHECK(channel->size() == 2 && !channel->is_closed());
    if (waited_for(look<ChannelReceivers>(*channel))) GENERATED_CHECK(channel->size() == 0 && !channel->is_closed());
  }
  for (auto& box : semaphores)
    if (box->object && waited_for(look<SemaphoreQueue>(*box->object))) GENERATED_CHECK(box->object->available() == 0);
  for (auto& box : mutexes)
    if (box->object && waited_for(look<MutexQueue>(*box->object))) GENERATED_CHECK(box->object->is_locked());
  for (auto& box : events)
    if (box->object && waited_for(look<EventQueue>(*box->object))) GENERATED_CHECK(!box->object->is_set());
  for (auto& box : groups)
    if (box->object && waited_for(look<GroupJoiners>(static_cast<mote::TaskGroupBase&>(*box->object))))
      GENERATED_CHECK(box->object->size() != 0);
  for (unsigned i = 0; i < pools(); ++i)
    if (pool(i) && waited_for(pool(i)->vacancy())) GENERATED_CHECK(pool(i)->used() == capacity(i));
  for_each_slot([&](Task& task) { GENERATED_CHECK(!task.is_alive() || header(task).share != 0); });
  const Instant now = mote::Clock::now();
  for (Tree* const tree : trees) {
    if (tree->line->is_abandoned()) continue;
    for (unsigned i = 0; i < tree->used; ++i) {
      Node& node = tree->nodes[i];
      if (!node.active) continue;
      Task& task = *tree->line->task;
      GENERATED_CHECK(task.is_alive());
      if (node.queue != nullptr) {
        const QueuePlace* const place = header(task).place_in(node.queue);
        GENERATED_CHECK(place != nullptr && place->linked());
      } else if (node.kind == Kind::sleep || node.kind == Kind::timeout) {
        const mote::Timer& timer = look<TimerTimer>(node.timer);
        // Its first base, to which nobody else may convert it.
        const Waiter& waiter = *static_cast<const Waiter*>(static_cast<const void*>(&node.timer));
        GENERATED_CHECK(waiter.names(header(task)) && waiter.is_waiting());
        GENERATED_CHECK(timer.armed() && timer.deadline() == node.began + node.time && timer.deadline() > now);
      } else if (node.kind == Kind::join) {
        GENERATED_CHECK(node.handle_box->handle && header(*node.handle_box->handle.get()).joiner.names(header(task)));
      }
    }
  }
}

// ---------------------------------------------------------------------------------------------------------------------
// Its life
// ---------------------------------------------------------------------------------------------------------------------
inline void World::turn() {
  const Duration most = random.one_in(2) ? Duration::zero() : Duration(random.below(12) * 1'000'000);
  const Result<std::uint32_t> done = reactor().run_once(most);
  GENERATED_CHECK(done);
  walk();
  if (refs.size() < 64) return;
  refs.clear();
  reactor().for_each_task([this](Task& task) { refs.push_back(mote::TaskRef(task)); });
}
inline void World::run(std::uint64_t steps) {
  const mote::Observer observer = mote::Observer::of<&World::observe>(*this);
  reactor().observe(observer);
  while (!failed && reactor().stats().steps < steps && reactor().stats().turns < steps) {
    for (unsigned n = random.below(4); n-- != 0;) act(nullptr);
    turn();
  }
  if (!failed) wind_down();
  if (!failed) empty();
}
// Cancels or destroys all tasks, and provides what shielded tasks still wait for: then all must end.
inline void World::wind_down() {
  closing = true;
  const unsigned way = random.below(4);
  if (way == 0) static_cast<void>(reactor().destroy_all_tasks());
  if (way == 1) destroy_pools();
  for (int turns = 0; !failed && reactor().stats().tasks != 0; ++turns) {
    if (turns == 0)
      for (auto& [task, record] : by_task)
        if (!record->ended && !task->cancel_requested()) ++record->cancels;
    if (turns == 0) reactor().cancel_all_tasks();
    permits.clear();
    locks.clear();
    for (auto& box : semaphores)
      if (box->object && box->object->available() == 0) {
        box->total += 8;
        box->object->release(8);
      }
    for (auto& box : events)
      if (box->object) {
        ++box->sets;
        box->object->set();
      }
    for (auto& box : channels)
      if (box->object) box->object->close();
    if (turns == 300) {  // shielded, they may wait for each other
      for_each_slot([&](Task& task) { GENERATED_CHECK(!task.is_alive() || header(task).shields != 0); });
      static_cast<void>(reactor().destroy_all_tasks());
    }
    turn();
  }
}
inline void World::empty() {
  permits.clear();
  locks.clear();
  for (auto& box : handles) box->handle.detach();
  for_each_queue([](WaitQueue& queue) { GENERATED_CHECK(queue.empty()); });
  for (unsigned i = 0; i < pools(); ++i) GENERATED_CHECK(pool(i) == nullptr || pool(i)->used() == 0);
  for (auto& box : groups) GENERATED_CHECK(!box->object || box->object->size() == 0);
  GENERATED_CHECK(reactor().stats().tasks == 0 && reactor().stats().tasks_spawned == reactor().stats().tasks_ended);
  GENERATED_CHECK(trees.empty() && frames_are_free());
  GENERATED_CHECK(loop_of(reactor()).wheel().count() == 0);
  for (auto& box : mutexes) GENERATED_CHECK(box->holders == 0);
  for (const Record& record : records) {
    GENERATED_CHECK(record.ended);
    if (!record.fails()) GENERATED_CHECK(record.told == 0);
    else GENERATED_CHECK(record.told == 1 || (record.told == 0 && record.joiners_may_be_told));
  }
  std::size_t left = 0;
  ending_channel = true;
  for (auto& box : channels) {
    if (box->object) left += box->object->size();
    box->destroy();
  }
  ending_channel = false;
  GENERATED_CHECK(left <= lost_in_channel);
  GENERATED_CHECK(made == sent + unsent);
  GENERATED_CHECK(sent == received + lost_in_channel);
  GENERATED_CHECK(received == absorbed + lost_in_all);
}

#if __cplusplus >= 202002L
// A coroutine that is awaited by another, or is a part of an operation.
inline mote::Co<Got> part(mote::FrameSource& frames, World& w, Line& line, Line& parent, int depth) {
  line.begin(*parent.record, co_await mote::this_task());
  line.parent = &parent;
  Line below;
  Tree tree;
  for (unsigned n = w.random.below(3); n-- != 0 && !w.closing;) {
    if (w.random.one_in(4)) w.act(line.task);
    Result<Got> got = co_await tree.plan(line, depth);
    tree.clear();
    w.take(got);
    if (w.closing) co_return Error(EIO);
    if (w.random.one_in(4)) static_cast<void>(co_await part(frames, w, below, line, depth - 1));
    else if (w.random.one_in(4)) static_cast<void>(co_await mote::yield());
  }
  if (w.random.one_in(4)) co_return Error(EIO);
  co_return Got();
}
#endif

// =====================================================================================================================
// Runs
// =====================================================================================================================
// MOTE_TEST_SEED and MOTE_TEST_STEPS in the environment say which worlds, and for how many steps of tasks (on each
// selector). Fewer where it takes longer: under sanitizers, and where it may be an emulator that runs it.
#ifdef __has_feature
#define GENERATED_HAS(feature) __has_feature(feature)
#else
#define GENERATED_HAS(feature) 0
#endif
#ifndef MOTE_TEST_STEPS
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || GENERATED_HAS(address_sanitizer) || \
    GENERATED_HAS(thread_sanitizer) || !defined(__x86_64__)
#define MOTE_TEST_STEPS 100'000
#else
#define MOTE_TEST_STEPS 500'000
#endif
#endif
inline std::uint64_t number_from(const char* variable, std::uint64_t otherwise) {
  const char* const text = std::getenv(variable);
  return text != nullptr ? std::strtoull(text, nullptr, 10) : otherwise;
}
// Runs one world after the other, of consecutive seeds, until that many steps have been made.
template <class W> void run_worlds(const char* program, const char* name, const char* selector) {
  const std::uint64_t first = number_from("MOTE_TEST_SEED", 1), steps = number_from("MOTE_TEST_STEPS", MOTE_TEST_STEPS);
  std::uint64_t seed = first, done = 0, worlds = 0;
  bool failed = false;
  while (!failed && done < steps) {
    mote::FaultSystem::start_virtual_time();
    mote::FaultSystem::state.most_waits = UINT32_MAX;
    {
      W a_world(seed);
      a_world.run(2000 + seed * 997 % 3000);
      done += a_world.reactor().stats().steps;
      failed = a_world.failed;
      world = &a_world;
    }
    mote::FaultSystem::state = mote::FaultSystem::State();
    const std::string again = "MOTE_TEST_SEED=" + std::to_string(seed) + " MOTE_TEST_STEPS=1 build/tests/" + program +
                              " --test-case='" + name + selector + "'";
    INFO("to see it again: ", again);
    CHECK_FALSE(failed);
    ++seed;
    ++worlds;
  }
  MESSAGE("seeds ", first, " to ", seed - 1, ": ", done, " steps in ", worlds, " worlds");
}

}  // namespace generated

#endif  // MOTE_TESTS_GENERATED_HPP
