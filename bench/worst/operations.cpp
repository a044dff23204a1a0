// SPDX-License-Identifier: MIT
// Each public operation in its usual state and in its worst one, the latter in several sizes, so that its growth shows.
// To add one: usual(NAME, call) once, worst({NAME, state, bound}, size, call) in a function that is run for each size.
#include <algorithm>
#include <numeric>

#include "count.hpp"

namespace {
using bench::must;
using bench::usual;
using bench::worst;
using mote::Interest;
using mote::Poll;
using mote::Result;
using mote::Step;
using mote::Task;

constexpr std::size_t small = 16, medium = 256, large = 4096;

// A task whose step is a function object of the caller.
struct Probe {
  mote::Delegate<Step(Task&)> body;
  Step step(Task& task) { return body(task); }
};

// A reactor for N descriptors, and tasks; a table or pool that is nearly full has room for what is measured, and no more.
template <std::size_t N, bool poll = false, std::size_t levels = 1> struct World {
  struct Config : mote::Config {
    static constexpr std::size_t descriptors = N;
    static constexpr std::size_t priorities = levels;
    template <std::size_t M> using Selector = std::conditional_t<poll, mote::PollSelector<M>, mote::EpollSelector<M>>;
  };
  World() { must(reactor.open(), "open"); }
  void turn() { must(reactor.run_once(mote::Duration::zero()), "run_once"); }
  void clear() { static_cast<void>(reactor.destroy_all_tasks()); }
  // Runs f(Task&) within a step.
  template <class F> void in_task(F f) {
    auto body = [&f](Task& task) {
      f(task);
      return mote::done();
    };
    must(tasks.spawn(reactor, mote::Delegate<Step(Task&)>(body)), "spawn");
    turn();
  }
  // Tasks that make the same attempt until it succeeds.
  template <class Body> void spawn(std::size_t n, Body& body) {
    while (n-- != 0) must(tasks.spawn(reactor, mote::Delegate<Step(Task&)>(body)), "spawn");
  }
  mote::StaticReactor<Config> reactor;
  mote::TaskPool<Probe, N + 2> tasks;
};
template <class W> W& fresh() {  // too large for the stack
  static W* last;
  delete last;
  last = new W;
  return *last;
}
template <class Op> Step wait_for(Task& task, Op operation) {
  return operation.poll(task).ready() ? mote::done() : Step(mote::pending);
}
void ignore(mote::Readiness) {}
void nothing() {}
const auto handler = mote::Handler::of<&ignore>();
const auto callback = mote::Timer::Callback::of<&nothing>();
void forward(mote::Duration by) { mote::StillSystem::time += by.count(); }

// ---- descriptors ----------------------------------------------------------------------------------------------------

template <std::size_t N, bool poll> void descriptors() {
  const char* const names[][2] = {
      {"Reactor::add", "Reactor::add, poll"},
      {"Reactor::modify", "Reactor::modify, poll"},
      {"Reactor::remove", "Reactor::remove, poll"},
      {"Reactor::add, of one that is there already", "Reactor::add, poll, of one that is there already"},
      {"Reactor::add, table full", "Reactor::add, poll, table full"},
      {"Reactor::run_once, nothing ready", "Reactor::run_once, poll, nothing ready"},
      {"Reactor::run_once, poll, one is ready", "Reactor::run_once, poll, one is ready"},
      {"a handler's event", "a handler's event, poll"}};
  auto& world = fresh<World<N, poll>>();
  auto& reactor = world.reactor;
  const bench::Descriptors fds(N);
  std::vector<mote::Registration> all(N);
  const auto add = [&](std::size_t i) { all[i] = must(reactor.add(fds[i], Interest::read, handler), "add"); };
  const auto again = [&](std::size_t i) { static_cast<void>(reactor.add(fds[i], Interest::read, handler)); };
  if (N == small) {
    usual(names[5][poll], [&] { world.turn(); });
    usual(names[0][poll], [&] { add(0); });
    usual(names[3][poll], [&] { again(0); });
    usual(names[1][poll], [&] { must(reactor.modify(all[0], Interest::write), "modify"); });
    usual(names[2][poll], [&] { must(reactor.remove(all[0]), "remove"); });
  }
  for (std::size_t i = 0; i + 1 < N; ++i) add(i);
  worst({names[0][poll], "the last of n", "O(1)"}, N, [&] { add(N - 1); });
  worst({names[4][poll], "n registered", "O(1)"}, N, [&] { again(0); });
  worst({names[1][poll], "one of n", "O(1)"}, N, [&] { must(reactor.modify(all[N / 2], Interest::none), "modify"); });
  const auto remove = [&] { must(reactor.remove(all[N / 2]), "remove"); };
  if (poll) worst({names[2][poll], "one of n", "O(1) expected, O(descriptors that collide)"}, N, remove, N);
  else worst({names[2][poll], "one of n", "O(1)"}, N, remove);
  worst(
      {names[3][poll], "n registered", "O(1) expected"}, N - 1, [&] { again(N - 1); }, N - 1);
  worst({names[5][poll], "n registered", "O(1)"}, N, [&] { world.turn(); });
  add(N / 2);
  for (const int fd : fds) static_cast<void>(eventfd_write(fd, 1));
  const std::size_t batch = N < 256 ? N : 256;
  worst(
      {names[7][poll], "n registered and ready", "O(1), a batch at most in a turn"}, N, [&] { world.turn(); }, batch);
}

// Descriptors whose places in poll's table lie together: those that its hash function sends to the first cells.
template <std::size_t N> void collisions() {
  static mote::PollSelector<N> selector;
  static_assert((N & (N - 1)) == 0, "else the selector's table has more cells than 2 * N");
  constexpr std::uint32_t mask = 2 * N - 1;
  const auto home = [](int fd) { return (static_cast<std::uint32_t>(fd) * 2654435769u) >> __builtin_clz(mask); };
  must(selector.open(), "open");
  const int fd = eventfd(0, EFD_CLOEXEC);
  std::vector<int> numbers(4 * (mask + 1));
  std::iota(numbers.begin(), numbers.end(), fd + 1);
  std::sort(numbers.begin(), numbers.end(), [&](int a, int b) { return home(a) < home(b); });
  std::vector<int> fds;
  for (const int wanted : numbers) {
    if (fds.size() == N) break;
    const int found = fcntl(fd, F_DUPFD_CLOEXEC, wanted);
    if (found == wanted) fds.push_back(found);
    else if (found >= 0) close(found);
  }
  if (fds.size() != N) return static_cast<void>(fprintf(stderr, "worst: too few descriptors to let %zu collide\n", N));
  const auto add = [&](int i) { must(selector.add(i, Interest::read, 0), "add"); };
  const char* const state = "n descriptors whose places lie together";
  const char* const bound = "O(1) expected, O(descriptors that collide)";
  const int last = fds[fds.size() - 1];
  if (N == small) {
    usual("PollSelector::add", [&] { add(last); });
    usual("PollSelector::modify", [&] { must(selector.modify(last, Interest::write, 0), "modify"); });
    usual("PollSelector::remove", [&] { must(selector.remove(last), "remove"); });
  }
  for (const int other : fds)
    if (other != last) add(other);
  worst(
      {"PollSelector::add", state, bound}, N, [&] { add(last); }, N);
  worst(
      {"PollSelector::modify", state, bound}, N, [&] { must(selector.modify(last, Interest::write, 0), "modify"); }, N);
  worst(
      {"PollSelector::remove", state, bound}, N, [&] { must(selector.remove(fds[0]), "remove"); }, N);
  for (const int other : fds) close(other);
  close(fd);
}

template <std::size_t N, bool poll> void waiting() {
  using Selector = std::conditional_t<poll, mote::PollSelector<N>, mote::EpollSelector<N>>;
  static Selector selector;
  const char* const name = poll ? "PollSelector::wait" : "EpollSelector::wait";
  must(selector.open(), "open");
  const bench::Descriptors fds(N);
  mote::Ready ready[1];
  const auto wait = [&] { must(selector.wait(ready, mote::Duration::zero()), "wait"); };
  const auto add = [&](std::size_t i) { must(selector.add(fds[i], Interest::read, i), "add"); };
  const auto modify = [&] { must(selector.modify(fds[N - 1], Interest::none, 0), "modify"); };
  const auto remove = [&] { must(selector.remove(fds[N - 1]), "remove"); };
  if (N == small && !poll) {
    usual("EpollSelector::add", [&] { add(N - 1); });
    usual("EpollSelector::modify", modify);
    usual("EpollSelector::remove", remove);
  }
  for (std::size_t i = 0; i != N; ++i) {
    if (i + 1 == N && !poll) worst({"EpollSelector::add", "the last of n", "O(1)"}, N, [&] { add(i); });
    else add(i);
    if (i != 0) continue;
    static_cast<void>(eventfd_write(fds[0], 1));
    if (N == small) usual(name, wait);
    wait();
    eventfd_t count;
    static_cast<void>(eventfd_read(fds[0], &count));
  }
  static_cast<void>(eventfd_write(fds[N - 1], 1));  // the last to be looked at
  if (poll) worst({name, "one of n is ready", "O(descriptors)"}, N, wait, N);
  else worst({name, "one of n is ready", "O(1)"}, N, wait);
  if (poll) return;
  worst({"EpollSelector::modify", "one of n", "O(1)"}, N, modify);
  worst({"EpollSelector::remove", "one of n", "O(1)"}, N, remove);
}

// ---- timers ---------------------------------------------------------------------------------------------------------

template <std::size_t N> void timers() {
  mote::StillSystem::time = std::int64_t{1} << 45;  // what the timers' structure goes around in
  auto& world = fresh<World<small>>();
  auto& reactor = world.reactor;
  std::vector<mote::Timer> all(N);
  const auto arm = [&](std::size_t i, mote::Duration in) { all[i].arm(reactor, in, callback); };
  using std::chrono::hours, std::chrono::microseconds, std::chrono::minutes, std::chrono::seconds;
  if (N == small) {
    usual("Timer::arm", [&] { arm(0, seconds(1)); });
    usual("Timer::rearm, later", [&] { all[0].rearm(seconds(2)); });
    usual("Timer::rearm, earlier", [&] { all[0].rearm(seconds(1)); });
    usual("Timer::cancel", [&] { all[0].cancel(); });
    arm(0, seconds(1));
    forward(seconds(1));
    usual("a timer's expiry", [&] { world.turn(); });
  }
  // All in one list, in which the next deadline is looked for.
  for (std::size_t i = 1; i < N; ++i) arm(i, hours(8) + microseconds(i));
  worst({"Timer::arm", "n armed", "O(1)"}, N, [&] { arm(0, hours(8)); });
  worst({"Timer::rearm, later", "n armed", "O(1)"}, N, [&] { all[0].rearm(hours(9)); });
  worst({"Timer::rearm, earlier", "n armed", "O(1)"}, N, [&] { all[0].rearm(seconds(1)); });
  worst({"Timer::cancel", "n armed", "O(1)"}, N, [&] { all[0].cancel(); });
  arm(0, seconds(1));
  forward(seconds(1));
  worst({"a timer's expiry", "one is due, n are armed", "O(1)"}, N, [&] { world.turn(); });
  // Each goes down by a level, and none is due.
  for (std::size_t i = 0; i < N; ++i) arm(i, hours(8) + minutes(40) + microseconds(i * 997 % N));
  arm(0, hours(7));
  forward(hours(8));
  world.turn();
  forward(minutes(40) - mote::Duration(1));
  // Up to 32 are looked at one by one, and so wait until one is due.
  if (N > mote::limits::timers_per_scan)
    worst(
        {"a turn in which timers come nearer", "n of the same quarter of an hour",
         "O(timers), at most five times in a timer's life"},
        N, [&] { world.turn(); }, N);
  for (std::size_t i = 0; i < N; ++i) arm(i, microseconds(i * 997 % N));
  forward(seconds(1));
  worst(
      {"timers' expiry at the same time", "n are due, out of order", "O(n log n), of those that are due"}, N,
      [&] { world.turn(); }, N);
}

// ---- tasks ----------------------------------------------------------------------------------------------------------

using Body = mote::Delegate<Step(Task&)>;
const auto asleep = [](Task&) { return Step(mote::pending); };
const auto restless = [](Task& task) {
  task.wake();
  return Step(mote::pending);
};

void usual_tasks(World<small>& world) {
  const auto at_end = [](Task&) { return mote::done(); };
  const auto spawn = [&](auto& body) { return must(world.tasks.spawn(world.reactor, Body(body)), "spawn"); };
  mote::TaskHandle handle;
  usual("TaskPool::spawn", [&] { handle = spawn(asleep); });
  Task* const task = handle.get();
  world.turn();
  usual("Task::wake", [&] { task->wake(); });
  world.turn();
  usual("Task::cancel", [&] { task->cancel(); });
  usual("TaskHandle::destroy", [&] { must(handle.destroy(), "destroy"); });
  usual("TaskHandle, dropped after the task's end", [&] { handle = {}; });
  spawn(at_end);
  usual("a task's last step", [&] { world.turn(); });
  handle = spawn(at_end);
  world.turn();
  world.in_task(
      [&](Task& t) { usual("TaskHandle::join, of an ended task", [&] { static_cast<void>(handle.join().poll(t)); }); });
}

template <std::size_t N> void tasks_in_the_run_queue(World<N>& world) {
  auto& reactor = world.reactor;
  auto& pool = world.tasks;
  const auto spawn = [&] { return must(pool.spawn(reactor, Body(asleep)), "spawn"); };
  world.spawn(N - 2, asleep);
  world.turn();
  std::vector<Task*> others;
  reactor.for_each_task([&](Task& t) { others.push_back(&t); });
  for (Task* const other : others) other->wake();
  mote::TaskHandle handle;
  worst({"TaskPool::spawn", "the last of n, and n in the run queue", "O(1)"}, N, [&] { handle = spawn(); });
  handle = {};
  world.turn();
  while (pool.vacancies() != 0) spawn();
  worst({"TaskPool::spawn, pool full", "n tasks", "O(1)"}, N,
        [&] { static_cast<void>(pool.spawn(reactor, Body(asleep))); });
  world.turn();
  Task* const task = others[0];
  for (Task* const other : others) {
    if (other != task) other->wake();
  }
  worst({"Task::wake", "n in the run queue", "O(1)"}, N, [&] { task->wake(); });
  worst({"Task::wake, of one that is awake", "n in the run queue", "O(1)"}, N, [&] { task->wake(); });
  worst({"Task::cancel", "n in the run queue", "O(1)"}, N, [&] { task->cancel(); });
  worst(
      {"Reactor::cancel_all_tasks", "n tasks", "O(tasks)"}, N, [&] { reactor.cancel_all_tasks(); }, N);
  world.turn();
  worst(
      {"Reactor::destroy_all_tasks", "n tasks", "O(tasks)"}, N, [&] { world.clear(); }, N);
}

// A task that stands in as many places as one can: three queues and a timer.
template <std::size_t N> void task_in_many_places(World<N>& world) {
  mote::Semaphore queues[mote::limits::queues_per_task];
  mote::TaskTimer timer;
  const auto everywhere = [&](Task& t) {
    return wait_for(t,
                    mote::with_timeout(timer, std::chrono::seconds(1),
                                       mote::first_of(queues[0].acquire(), queues[1].acquire(), queues[2].acquire())));
  };
  const auto in_line = [&](Task& t) { return wait_for(t, queues[0].acquire()); };
  mote::TaskHandle handle = must(world.tasks.spawn(world.reactor, Body(everywhere)), "spawn");
  world.spawn(N - 1, in_line);
  world.turn();
  worst({"TaskHandle::destroy", "it waits in three queues and for a timer, n behind it", "O(1)"}, N,
        [&] { must(handle.destroy(), "destroy"); });
  handle = {};
  world.turn();
  world.clear();
}

template <std::size_t N> void tasks() {
  auto& world = fresh<World<N>>();
  if constexpr (N == small) usual_tasks(world);
  tasks_in_the_run_queue(world);
  task_in_many_places(world);
  world.spawn(N, restless);
  world.turn();
  worst(
      {"a turn's steps", "n tasks are awake", "O(tasks that are awake)"}, N, [&] { world.turn(); }, N);
}

template <std::size_t N> void priorities() {
  auto& world = fresh<World<N, false, 2>>();
  const auto spawn = [&] { return must(world.tasks.spawn(world.reactor, Body(restless)), "spawn"); };
  mote::TaskHandle one = spawn();
  if (N == small) usual("Task::set_priority", [&] { must(one.get()->set_priority(1), "set_priority"); });
  for (std::size_t i = 1; i < N; ++i) spawn();
  worst({"Task::set_priority", "of one in the run queue, among n", "O(1)"}, N,
        [&] { must(one.get()->set_priority(0), "set_priority"); });
  world.turn();
  worst({"a turn's steps, of a lower priority", "n tasks are awake", "O(1): 16 of each lower priority"}, N,
        [&] { world.turn(); });
}

// ---- input and output -----------------------------------------------------------------------------------------------

template <std::size_t N> void streams() {
  auto& world = fresh<World<N>>();
  auto& reactor = world.reactor;
  const bench::Descriptors others(N - 2);
  for (const int fd : others) must(reactor.add(fd, Interest::read, handler), "add");
  const bool first = N == small;
  const auto count = [&](const char* name, const char* state, auto&& work) { worst({name, state, "O(1)"}, N, work); };
  const auto usually = [&](const char* name, auto&& work) {
    if (first) usual(name, work);
    else work();
  };
  int pair[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0) bench::fail("socketpair");
  mote::Stream stream, peer;
  must(peer.open(reactor, mote::Fd(pair[1])), "open");
  count("Source::open", "the last of n descriptors", [&] { must(stream.open(reactor, mote::Fd(pair[0])), "open"); });
  char bytes[64] = {};
  static char much[1 << 20];
  mote::ByteView view;
  Result<std::size_t> n;
  const auto give = [&] { static_cast<void>(peer.try_write(mote::ByteView(bytes, 32))); };
  world.in_task([&](Task& task) {
    const auto read = [&] { static_cast<void>(stream.read(bytes).poll(task)); };
    const auto write = [&] { static_cast<void>(stream.write_all(view).poll(task)); };
    count("Stream::read", "nothing there: tries, arms its descriptor, waits", read);
    count("Stream::read, waits again", "nothing there, n registered", read);
    give();
    usually("Stream::try_read", [&] { n = stream.try_read(bytes); });
    count("Stream::try_read", "nothing there", [&] { n = stream.try_read(bytes); });
    view = {bytes, 32};
    usually("Stream::write_all", write);
    view = {much, sizeof much};
    count("Stream::write_all", "the socket is full: tries, arms its descriptor, waits", write);
    count("Stream::try_write", "the socket is full", [&] { n = stream.try_write(mote::ByteView(bytes, 32)); });
  });
  world.in_task([&](Task& task) {  // a turn later, the data has been reported
    static_cast<void>(stream.read(bytes).poll(task));
    give();
  });
  world.turn();
  world.in_task(
      [&](Task& task) { usually("Stream::read", [&] { static_cast<void>(stream.read(bytes).poll(task)); }); });
  while (peer.try_read(mote::ByteSpan(much, sizeof much))) continue;
  usually("Stream::try_write", [&] { n = stream.try_write(mote::ByteView(bytes, 32)); });
  // Both directions are waited for when it goes.
  auto reading = [&](Task& task) { return wait_for(task, stream.read(bytes)); };
  world.spawn(1, reading);
  world.turn();
  give();
  count("an event that wakes a task", "n registered: a turn with its step", [&] { world.turn(); });
  world.spawn(1, reading);
  world.turn();
  count("Source::close", "a task waits for it, n registered", [&] { stream.close(); });
  world.turn();
  peer.close();
}

template <std::size_t N> void listeners() {
  auto& world = fresh<World<N>>();
  auto& reactor = world.reactor;
  const bool first = N == small;
  char path[64];
  snprintf(path, sizeof path, "@mote-bench-%ld-%zu", static_cast<long>(getpid()), N);
  const auto endpoint = must(mote::Endpoint::unix_path(path), "unix_path");
  mote::Listener listener;
  mote::Stream clients[2];
  must(listener.open(reactor, endpoint), "listen");
  const auto connect = [&](std::size_t i) {
    world.in_task([&](Task& task) { static_cast<void>(clients[i].connect(endpoint).poll(task)); });
  };
  Result<mote::Stream> accepted;
  connect(0);
  world.in_task([&](Task& task) {
    const auto accept = [&] {
      auto poll = listener.accept().poll(task);
      if (poll.ready()) accepted = std::move(*poll);
    };
    if (first) {
      usual("Listener::accept", accept);
      accepted = {};
    }
    mote::StillSystem::connections_are_dead = true;
    worst({"Listener::accept", "all connections are gone already, n descriptors", "O(1): 16 attempts"}, N, accept);
    mote::StillSystem::connections_are_dead = false;
  });
  clients[0].close();
  accepted = {};
  const bench::Descriptors others(N - 1);
  std::vector<mote::Registration> registrations;
  for (const int fd : others) registrations.push_back(must(reactor.add(fd, Interest::read, handler), "add"));
  world.in_task([&](Task& task) {
    worst({"Listener::accept, table full", "n descriptors", "O(1)"}, N,
          [&] { static_cast<void>(listener.accept().poll(task)); });
  });
  // As many tasks as can wait for a slot in the table.
  auto accepting = [&](Task& task) { return wait_for(task, listener.accept()); };
  world.spawn(N, accepting);
  world.turn();
  worst(
      {"Reactor::remove, tasks wait for a slot", "n tasks wait to accept or connect", "O(waiters)"}, N,
      [&] { must(reactor.remove(registrations[0]), "remove"); }, N);
  static_cast<void>(reactor.destroy_all_tasks());
  worst(
      {"Reactor::close_listeners", "n registered", "O(descriptors)"}, N, [&] { reactor.close_listeners(); }, N);
}

void datagrams() {
  auto& world = fresh<World<small>>();
  mote::Datagram socket;
  must(socket.open(world.reactor, must(mote::Endpoint::ip("127.0.0.1", 0), "ip")), "open");
  const auto to = must(socket.local_endpoint(), "local_endpoint");
  char bytes[32] = {};
  world.in_task([&](Task& task) {
    usual("Datagram::send_to", [&] { static_cast<void>(socket.send_to(bytes, to).poll(task)); });
    mote::Endpoint from;
    usual("Datagram::recv_from", [&] { static_cast<void>(socket.recv_from(bytes, from).poll(task)); });
    worst({"Datagram::recv_from", "nothing there: tries, arms its descriptor, waits", "O(1)"}, small,
          [&] { static_cast<void>(socket.recv_from(bytes, from).poll(task)); });
  });
}

template <std::size_t N> void lines() {
  auto& world = fresh<World<small>>();
  int pair[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0) bench::fail("socketpair");
  mote::Stream stream;
  must(stream.open(world.reactor, mote::Fd(pair[0])), "open");
  static mote::LineReader<N> reader;
  static char bytes[N];
  memset(bytes, 'x', sizeof bytes);
  world.in_task([&](Task& task) {
    if (write(pair[1], bytes, N - 2) != static_cast<ssize_t>(N - 2) || write(pair[1], "\n", 1) != 1)
      bench::fail("write");
    worst(
        {"LineReader::read_line", "a line of n bytes", "O(bytes)"}, N,
        [&] { static_cast<void>(reader.read_line(stream).poll(task)); }, N);
  });
  close(pair[1]);
}

// ---- wake-ups -------------------------------------------------------------------------------------------------------

template <std::size_t N> void wakeups() {
  auto& world = fresh<World<small>>();
  auto& reactor = world.reactor;
  const auto noted = mote::Delegate<void()>::of<&nothing>();
  std::vector<mote::Waker> wakers(N);
  for (mote::Waker& waker : wakers) must(waker.open(reactor, noted), "open");
  world.turn();
  mote::Waker& waker = wakers[N / 2];
  if (N == small) {
    usual("Waker::wake", [&] { waker.wake(); });
    world.turn();
  }
  worst({"Waker::wake", "n wakers, and the loop asleep", "O(1)"}, N, [&] { waker.wake(); });
  worst({"Waker::wake, again", "n wakers", "O(1)"}, N, [&] { waker.wake(); });
  worst(
      {"wake-ups' delivery", "one of n wakers was woken", "O(wakers)"}, N, [&] { world.turn(); }, N);
  for (mote::Waker& each : wakers) each.wake();
  worst(
      {"wake-ups' delivery, to all", "n wakers were woken", "O(wakers)"}, N, [&] { world.turn(); }, N);

  static mote::Mailbox<std::uint32_t, N> mailbox;
  must(mailbox.open(reactor), "open");
  Result<void> posted;
  if (N == small) {
    usual("Mailbox::post", [&] { posted = mailbox.post(1u); });
    usual("Mailbox::try_receive", [&] { static_cast<void>(mailbox.try_receive()); });
  }
  for (std::size_t i = 0; i + 1 < N; ++i) posted = mailbox.post(1u);
  world.turn();
  worst({"Mailbox::post", "the last of n, and the loop asleep", "O(1), each other thread may delay it once"}, N,
        [&] { posted = mailbox.post(1u); });
  worst({"Mailbox::post, full", "n messages", "O(1)"}, N, [&] { posted = mailbox.post(1u); });
  worst({"Mailbox::try_receive", "n messages", "O(1)"}, N, [&] { static_cast<void>(mailbox.try_receive()); });
  mailbox.close();
}

template <std::size_t N> void signals() {
  auto& world = fresh<World<small>>();
  auto& reactor = world.reactor;
  int heard = 0;
  auto hear = [&heard](int) { ++heard; };
  constexpr int first = 40;  // real-time signals, which nobody else uses
  mote::SignalSet set;
  for (int s = 0; s < static_cast<int>(N); ++s) set.add(first + s);
  mote::Signals signals;
  must(signals.open(reactor, set, mote::Delegate<void(int)>(hear)), "open");
  world.turn();
  struct sigaction ours;
  if (sigaction(first, nullptr, &ours) != 0) bench::fail("sigaction");
  const auto raise = [&](int s) { ours.sa_handler(s); };
  if (N == 1) usual("a signal's handler", [&] { raise(first); });
  world.turn();
  worst({"a signal's handler", "n signals claimed, and the loop asleep", "O(1)"}, N, [&] { raise(first); });
  for (int s = 1; s < static_cast<int>(N); ++s) raise(first + s);
  worst(
      {"signals' delivery", "n different ones have come", "O(signals), 64 at most"}, N, [&] { world.turn(); }, N);
}

// ---- synchronisation ------------------------------------------------------------------------------------------------

template <std::size_t N> void events(World<N>& world) {
  mote::Event event;
  auto body = [&](Task& task) { return wait_for(task, event.wait()); };
  if (N == small) {
    world.in_task([&](Task& task) { usual("Event::wait", [&] { static_cast<void>(event.wait().poll(task)); }); });
    usual("Event::set", [&] { event.set(); });
    event.clear();
  }
  world.spawn(N, body);
  world.turn();
  world.in_task([&](Task& task) {
    worst({"Event::wait", "n wait", "O(1)"}, N, [&] { static_cast<void>(event.wait().poll(task)); });
  });
  worst(
      {"Event::set", "n wait", "O(waiters)"}, N, [&] { event.set(); }, N);
  world.turn();
  world.clear();
}

template <std::size_t N> void semaphores(World<N>& world) {
  mote::Semaphore semaphore;
  auto body = [&](Task& task) { return wait_for(task, semaphore.acquire()); };
  if (N == small) {
    semaphore.release();
    world.in_task(
        [&](Task& task) { usual("Semaphore::acquire", [&] { static_cast<void>(semaphore.acquire().poll(task)); }); });
    usual("Semaphore::release", [&] { semaphore.release(); });
    must(semaphore.try_acquire(), "try_acquire");
  }
  world.spawn(N, body);
  world.turn();
  world.in_task([&](Task& task) {
    worst({"Semaphore::acquire", "n wait", "O(1)"}, N, [&] { static_cast<void>(semaphore.acquire().poll(task)); });
  });
  worst({"Semaphore::release", "one permit, n wait", "O(1)"}, N, [&] { semaphore.release(); });
  world.turn();
  worst(
      {"Semaphore::release, many", "n permits, n wait", "O(permits)"}, N, [&] { semaphore.release(N); }, N);
  world.clear();
}

template <std::size_t N> void mutexes(World<N>& world) {
  mote::Mutex mutex;
  mote::Mutex::Guard guard;
  const auto lock = [&](Task& task) {
    auto poll = mutex.lock().poll(task);
    if (poll.ready() && *poll) guard = std::move(**poll);
  };
  auto body = [&](Task& task) { return wait_for(task, mutex.lock()); };
  if (N == small) world.in_task([&](Task& task) { usual("Mutex::lock", [&] { lock(task); }); });
  else world.in_task([&](Task& task) { lock(task); });
  if (N == small) {
    usual("Mutex::Guard::unlock", [&] { guard.unlock(); });
    world.in_task(lock);
  }
  world.spawn(N, body);
  world.turn();
  world.in_task([&](Task& task) {
    worst({"Mutex::lock", "held, and n wait", "O(1)"}, N, [&] { static_cast<void>(mutex.lock().poll(task)); });
  });
  worst({"Mutex::Guard::unlock", "n wait", "O(1)"}, N, [&] { guard.unlock(); });
  world.clear();
}

template <std::size_t N> void channels(World<N>& world) {
  static mote::Channel<std::uint32_t, N> channel;
  const std::uint32_t value = 7;
  auto body = [&](Task& task) { return wait_for(task, channel.receive()); };
  auto sender = [&](Task& task) { return wait_for(task, channel.send(value)); };
  const auto send = [&](Task& task) { static_cast<void>(channel.send(value).poll(task)); };
  const auto receive = [&](Task& task) { static_cast<void>(channel.receive().poll(task)); };
  if (N == small) {
    world.in_task([&](Task& task) { usual("Channel::send", [&] { send(task); }); });
    world.in_task([&](Task& task) { usual("Channel::receive", [&] { receive(task); }); });
  }
  world.spawn(N, body);
  world.turn();
  world.in_task([&](Task& task) { worst({"Channel::receive", "empty, n wait", "O(1)"}, N, [&] { receive(task); }); });
  world.in_task([&](Task& task) { worst({"Channel::send", "n wait to receive", "O(1)"}, N, [&] { send(task); }); });
  world.clear();
  while (channel.try_send(value)) continue;
  world.spawn(N, sender);
  world.turn();
  world.in_task([&](Task& task) { worst({"Channel::send, full", "n wait to send", "O(1)"}, N, [&] { send(task); }); });
  worst(
      {"Channel::close", "n wait", "O(waiters)"}, N, [&] { channel.close(); }, N);
  world.clear();
}

template <std::size_t N> void groups(World<N>& world) {
  auto& reactor = world.reactor;
  static mote::TaskGroup<N> group;
  const auto spawn = [&] { static_cast<void>(must(group.spawn(world.tasks, reactor, Body(asleep)), "spawn")); };
  if (N == small) {
    usual("TaskGroup::spawn", spawn);
    world.turn();
    group.cancel_all();
    world.clear();
    world.in_task(
        [&](Task& task) { usual("TaskGroup::join_all", [&] { static_cast<void>(group.join_all().poll(task)); }); });
  }
  for (std::size_t i = 0; i + 1 < N; ++i) spawn();
  worst({"TaskGroup::spawn", "the last of n", "O(1)"}, N, spawn);
  world.turn();
  world.in_task([&](Task& task) {
    worst({"TaskGroup::join_all", "n members", "O(1)"}, N, [&] { static_cast<void>(group.join_all().poll(task)); });
  });
  worst(
      {"TaskGroup::cancel_all", "n members", "O(members)"}, N, [&] { group.cancel_all(); }, N);
  worst(
      {"the end of a TaskGroup", "n members, which it destroys", "O(members)"}, N,
      [&] { static_cast<void>(reactor.destroy_all_tasks()); }, N);
}

template <std::size_t N> void watchdogs(World<N>& world) {
  auto& reactor = world.reactor;
  mote::Watchdog watchdog;
  const int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
  must(watchdog.open(reactor, mote::Fd(null), std::chrono::seconds(1)), "open");
  std::vector<mote::Heartbeat> beats(N);
  for (mote::Heartbeat& beat : beats) beat.open(watchdog, "a task");
  for (mote::Heartbeat& beat : beats) beat.beat();
  forward(std::chrono::seconds(1));
  worst(
      {"Watchdog, feeding", "n heartbeats", "O(heartbeats)"}, N, [&] { world.turn(); }, N);
  if (N == small) usual("Heartbeat::beat", [&] { beats[0].beat(); });
  forward(std::chrono::seconds(1));
  world.turn();
  for (std::size_t i = 0; i + 1 < N; ++i) beats[i].beat();
  worst({"Heartbeat::beat", "the last of n, that was waited for", "O(1)"}, N, [&] { beats[N - 1].beat(); });
  must(watchdog.close(), "close");
}

template <std::size_t N> void synchronisation() {
  auto& world = fresh<World<N>>();
  events(world);
  semaphores(world);
  mutexes(world);
  channels(world);
  groups(world);
  watchdogs(world);
}

// ---- combinators ----------------------------------------------------------------------------------------------------

template <std::size_t N, std::size_t... I> void combinators(std::index_sequence<I...>) {
  auto& world = fresh<World<small>>();
  mote::TaskTimer limit, sleeps[N];
  mote::Event event;
  const auto second = mote::Duration(std::chrono::seconds(1));
  if (N == 2) {
    event.set();
    world.in_task([&](Task& task) {
      usual("with_timeout", [&] { static_cast<void>(mote::with_timeout(limit, second, event.wait()).poll(task)); });
      usual("first_of", [&] { static_cast<void>(mote::first_of(event.wait(), sleeps[0].sleep(second)).poll(task)); });
      mote::AllOf<void, void> both;
      usual("all_of", [&] { static_cast<void>(mote::all_of(both, event.wait(), sleeps[1].sleep(second)).poll(task)); });
    });
    event.clear();
    for (auto& sleep : sleeps) sleep.reset();
    world.in_task([&](Task& task) {
      const auto timed = [&] { static_cast<void>(mote::with_timeout(limit, second, event.wait()).poll(task)); };
      worst({"with_timeout", "it begins to wait", "O(1), and the operation"}, 1, timed);
    });
  }
  world.in_task([&](Task& task) {
    const auto first = [&] { static_cast<void>(mote::first_of(sleeps[I].sleep(second)...).poll(task)); };
    worst({"first_of", "n parts, that begin to wait", "O(parts)"}, N, first, N);
  });
  for (auto& sleep : sleeps) sleep.reset();
  mote::AllOf<std::conditional_t<I != N, void, int>...> results;
  world.in_task([&](Task& task) {
    const auto all = [&] { static_cast<void>(mote::all_of(results, sleeps[I].sleep(second)...).poll(task)); };
    worst({"all_of", "n parts, that begin to wait", "O(parts)"}, N, all, N);
  });
}

// ---- coroutines -----------------------------------------------------------------------------------------------------

mote::Co<void> empty(mote::FrameSource&) { co_return; }
mote::Co<void> waiting_for(mote::FrameSource&, mote::Semaphore& semaphore) {
  static_cast<void>(co_await semaphore.acquire());
}
mote::Co<void> nested(mote::FrameSource& frames, std::size_t depth, mote::Semaphore& semaphore) {
  if (depth > 1) static_cast<void>(co_await nested(frames, depth - 1, semaphore));
  else static_cast<void>(co_await semaphore.acquire());
}

// What the three functions below share.
template <std::size_t N> mote::FramePool<512, N> frames;
template <std::size_t N> mote::CoroutinePool<N> coroutine_pool;

template <std::size_t N> void coroutine_calls(World<small>& world) {
  const auto spawn = [&](mote::Co<void>&& co) {
    return must(coroutine_pool<N>.spawn(world.reactor, std::move(co)), "spawn");
  };
  mote::Semaphore semaphore;
  std::vector<mote::Co<void>> made;
  made.reserve(N);
  const auto make = [&] { made.push_back(empty(frames<N>)); };
  if (N == small) {
    usual("a coroutine's call", make);
    usual("a coroutine's frame, given back", [&] { made.clear(); });
    made.push_back(empty(frames<N>));
    usual("CoroutinePool::spawn", [&] { spawn(std::move(made[0])); });
    usual("a coroutine's only step", [&] { world.turn(); });
    made.clear();
  }
  while (made.size() + 1 < N) make();
  worst({"a coroutine's call", "it takes the last of n frames", "O(1)"}, N, make);
  worst({"a coroutine's call, no frame left", "n frames in use", "O(pools tried)"}, N,
        [&] { static_cast<void>(empty(frames<N>)); });
  worst({"a coroutine's frame, given back", "n frames in use", "O(1)"}, N, [&] { made.pop_back(); });
  made.push_back(waiting_for(frames<N>, semaphore));
  for (std::size_t i = 0; i + 1 < N; ++i) spawn(std::move(made[i]));
  worst({"CoroutinePool::spawn", "the last of n", "O(1)"}, N, [&] { spawn(std::move(made[N - 1])); });
  made.clear();
  world.turn();
  world.clear();
}

template <std::size_t N> void nested_coroutines(World<small>& world) {
  const auto spawn = [&](mote::Co<void>&& co) {
    return must(coroutine_pool<N>.spawn(world.reactor, std::move(co)), "spawn");
  };
  mote::Semaphore semaphore;
  constexpr std::size_t depth = N < 1024 ? N : 1024;
  mote::TaskHandle handle = spawn(nested(frames<N>, depth, semaphore));
  worst(
      {"co_await, of one that awaits another", "n deep: down to the last", "O(depth), once"}, depth,
      [&] { world.turn(); }, depth);
  semaphore.release();
  worst(
      {"a coroutine's return to who awaits it", "n deep: back to the first", "O(depth), once"}, depth,
      [&] { world.turn(); }, depth);
  handle = spawn(nested(frames<N>, depth, semaphore));
  world.turn();
  worst({"a coroutine's step", "the last of n that await each other goes on waiting", "O(1)"}, depth, [&] {
    handle.get()->wake();
    world.turn();
  });
  worst(
      {"TaskHandle::destroy, of a coroutine", "n deep", "O(depth)"}, depth, [&] { must(handle.destroy(), "destroy"); },
      depth);
}

void usual_coroutine_steps(World<small>& world) {
  const auto spawn = [&](mote::Co<void>&& co) {
    return must(coroutine_pool<small>.spawn(world.reactor, std::move(co)), "spawn");
  };
  mote::Semaphore semaphore;
  mote::TaskHandle handle = spawn(waiting_for(frames<small>, semaphore));
  world.turn();
  usual("a coroutine's step", [&] {
    handle.get()->wake();
    world.turn();
  });
  usual("TaskHandle::destroy, of a coroutine", [&] { must(handle.destroy(), "destroy"); });
}

template <std::size_t N> void coroutines() {
  auto& world = fresh<World<small>>();
  coroutine_calls<N>(world);
  nested_coroutines<N>(world);
  if (N == small) usual_coroutine_steps(world);
}

template <std::size_t N> void of_this_size() {
  bench::section("Descriptors and events");
  descriptors<N, false>();
  descriptors<N, true>();
  waiting<N, false>();
  waiting<N, true>();
  bench::section("Timers");
  timers<N>();
  bench::section("Tasks");
  tasks<N>();
  priorities<N>();
  bench::section("Input and output");
  streams<N>();
  listeners<N>();
  lines<N>();
  bench::section("Wake-ups and signals");
  wakeups<N>();
  bench::section("Synchronisation");
  synchronisation<N>();
  bench::section("Coroutines");
  coroutines<N>();
}
}  // namespace

int main() {
  bench::allow_many_descriptors();
  usual("", [] {});                             // what counting itself costs
  bench::section("The poll selector's table");  // first, while the numbers that it wants are free
  collisions<16>();
  collisions<64>();
  collisions<1024>();
  of_this_size<small>();
  of_this_size<medium>();
  of_this_size<large>();
  bench::section("Wake-ups and signals");
  signals<1>();
  signals<8>();
  signals<24>();
  bench::section("Input and output");
  datagrams();
  bench::section("Combinators");
  combinators<2>(std::make_index_sequence<2>());
  combinators<8>(std::make_index_sequence<8>());
  combinators<24>(std::make_index_sequence<24>());
}
