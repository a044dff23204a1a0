// SPDX-License-Identifier: MIT
// Rooms: base/text.hpp, base/assert.hpp (what it says: process_assert.py), task/type_name.hpp.
// What tasks are called, where they stand, what a deadlock is told by; and what a lost local variable looks like.
#include <string>
#include <thread>

#include "support/tasks.hpp"

using mote::Result;
using mote::StateMachine;
using mote::Step;
using mote::Task;
using mote::TaskHandle;
using mote::TaskPool;
using mote::Text;
using namespace std::chrono_literals;
using test::Body;
using test::Plain;

namespace app {

struct Client {
  Step step() { return mote::done(); }
};
template <class T, int N> struct Ring : Client {
  struct Inner : Client {};
};
namespace {
struct Hidden : Client {};
}  // namespace

}  // namespace app

namespace {

enum class Kind { first, second };
struct Echo : app::Client {};
template <class T> struct Box : app::Client {};
template <Kind> struct OfKind : app::Client {};
struct Named : app::Client {
  static constexpr const char* name = "one of a name; with [signs]";
};
// Whose `name` is no text for all of its objects.
struct WithFunction : app::Client {
  static const char* name() { return "a function"; }
};
struct WithString : app::Client {
  static inline std::string name = "a string";
};
struct WithMember : app::Client {
  char name[8] = "member";
};
struct WithNull : app::Client {
  static constexpr const char* name = nullptr;
};
struct WithArray : app::Client {
  static constexpr char name[] = "an array";
};
template <char> struct OfSign : app::Client {};
template <auto> struct OfValue : app::Client {};
struct Operators {
  std::string operator<(int) const {
    struct Local : app::Client {};
    return mote::detail::type_name<Local>.text;
  }
  std::string operator<<(int) const {
    struct Local : app::Client {};
    return mote::detail::type_name<Local>.text;
  }
  std::string operator->*(int) const {
    struct Local : app::Client {};
    return mote::detail::type_name<Local>.text;
  }
  const std::string* operator->() const {
    struct Local : app::Client {};
    static const std::string name = mote::detail::type_name<Local>.text;
    return &name;
  }
  std::string operator()(int) const {
    struct Local : app::Client {};
    return mote::detail::type_name<Local>.text;
  }
  std::string operator>(int) const {
    struct Local : app::Client {};
    return mote::detail::type_name<Local>.text;
  }
  std::string operator>>(int) const {
    struct Local : app::Client {};
    return mote::detail::type_name<Local>.text;
  }
};
struct Asking {
  Step step() { return mote::done(); }
  static std::string name_of_local() {
    struct Local : Client {};
    return mote::detail::type_name<Local>.text;
  }
  using Client = app::Client;
};
template <class T> std::string name_of_local(T) {
  struct Local : app::Client {
    struct Deep : app::Client {};
  };
  return mote::detail::type_name<typename Local::Deep>.text;
}
template <class T> std::string name_of() {
  const std::string name = mote::detail::type_name<T>.text;
  CHECK(sizeof mote::detail::type_name<T>.text == name.size() + 1);  // not a byte more lies in the program
  return name;
}

struct Waiting : StateMachine {
  mote::Event& event;
  Result<void> set;
  static inline std::uint32_t line = 0;
  explicit Waiting(mote::Event& awaited) : event(awaited) {}
  Step step() {
    MOTE_BEGIN();
    line = __LINE__ + 1;
    MOTE_AWAIT(set, event.wait());
    MOTE_END();
  }
};

// Awaits an operation that is pending, and has noted its task nowhere.
struct Silent : StateMachine {
  struct Never {
    mote::Poll<Result<int>> poll(Task&) { return mote::pending; }
  };
  Result<int> result;
  static inline std::uint32_t line = 0;
  Step step() {
    MOTE_BEGIN();
    line = __LINE__ + 1;
    MOTE_AWAIT(result, Never());
    MOTE_END();
  }
};

std::string place(std::uint32_t line) { return "test_diagnosis.cpp:" + std::to_string(line); }

}  // namespace

// ------------------------------------------------------------------------------------------------ text

TEST_CASE("text: what does not fit is left out, and a NUL ends it always") {
  Text text;
  CHECK(std::string(text.c_str()).empty());
  text.add("port ").add_number(0).add(" ").add_number(4294967295u).add("xyz", 1);
  CHECK(std::string(text.c_str()) == "port 0 4294967295x");
  CHECK(text.size() == 18);
  Text full;
  constexpr char last = '0' + (Text::capacity - 1) % 10;
  for (int i = 0; i < 100; ++i) full.add("0123456789");
  CHECK(full.size() == Text::capacity);
  CHECK(std::string(full.c_str()).size() == Text::capacity);
  CHECK(full.c_str()[Text::capacity - 1] == last);
  full.add_number(7).add("").add("x");
  CHECK(full.c_str()[Text::capacity - 1] == last);
}

TEST_CASE("text: a place is the file without its folders, and the line") {
  CHECK(std::string(Text().add_place("src/net/echo.cpp", 31).c_str()) == "echo.cpp:31");
  CHECK(std::string(Text().add_place("echo.cpp", 1).c_str()) == "echo.cpp:1");
  CHECK(std::string(Text().add_place("/", 2).c_str()) == ":2");
  CHECK(std::string(Text().add_place(nullptr, 3).c_str()) == "line 3");
}

// ------------------------------------------------------------------------------------------------ names

TEST_CASE("names: a task is called as its type, with namespaces and arguments, and nothing that compilers add") {
  CHECK(name_of<app::Client>() == "app::Client");
  CHECK(name_of<Echo>() == "Echo");
  CHECK(name_of<app::Hidden>() == "app::Hidden");
  CHECK(name_of<Box<app::Hidden>>() == "Box<app::Hidden>");
  CHECK(name_of<app::Ring<int, 3>>() == "app::Ring<int, 3>");
  CHECK(name_of<app::Ring<Echo, -1>::Inner>() == "app::Ring<Echo, -1>::Inner");
  CHECK(name_of<OfKind<Kind::second>>() == "OfKind<Kind::second>");
  CHECK(name_of<Box<void (*)(int)>>() == "Box<void (*)(int)>");
  CHECK(name_of<app::Ring<void (*)(int), 3>::Inner>() == "app::Ring<void (*)(int), 3>::Inner");
}

TEST_CASE("names: of a type that is local to a function, the function is left out") {
  struct Local : app::Client {};
  CHECK(name_of<Local>() == "Local");
  CHECK(name_of<Box<Echo>>() == "Box<Echo>");
  CHECK(Asking::name_of_local() == "Local");
  CHECK(name_of_local(3) == "Local::Deep");
  CHECK(name_of_local(&place) == "Local::Deep");
  const auto in_lambda = [](const char*) {
    struct Inside : app::Client {};
    return name_of<Inside>();
  };
  CHECK(in_lambda("") == "Inside");
}

TEST_CASE("names: a character or an operator in the name is no bracket") {
  CHECK(name_of<OfSign<'<'>>() == "OfSign<'<'>");
  CHECK(name_of<OfSign<'>'>>() == "OfSign<'>'>");
  CHECK(name_of<OfSign<'('>>() == "OfSign<'('>");
  CHECK(name_of<OfSign<']'>>() == "OfSign<']'>");
  CHECK(name_of<OfSign<';'>>() == "OfSign<';'>");
  CHECK(name_of<OfSign<'\''>>() == "OfSign<'\\''>");
  CHECK(name_of<OfSign<'\\'>>() == "OfSign<'\\\\'>");
  CHECK(name_of<Box<OfSign<'{'>>>().find("Box<OfSign<'{'>") == 0);
  const Operators operators;
  CHECK((operators < 1) == "Local");
  CHECK((operators << 1) == "Local");
  CHECK((operators > 1) == "Local");
  CHECK((operators >> 1) == "Local");
  CHECK((operators->*1) == "Local");
  CHECK(*operators.operator->() == "Local");
  CHECK(operators(1) == "Local");
  const std::string of_value = name_of < OfValue < &Operators::operator<> >();
  CHECK(of_value.find("OfValue<") == 0);
  CHECK(of_value.find(']') == std::string::npos);
}

ON_BOTH_SELECTORS("names: a member of a task that is no text for all of them, or null, is not its name") {
  test::Loop<S> loop;
  const auto name = [&loop](auto& pool) -> std::string {
    Result<TaskHandle> handle = pool.spawn(loop);
    REQUIRE(handle);
    return handle->get()->name();
  };
  TaskPool<WithFunction, 1> functions;
  TaskPool<WithString, 1> strings;
  TaskPool<WithMember, 1> members;
  TaskPool<WithNull, 1> nulls;
  TaskPool<WithArray, 1> arrays;
  CHECK(name(functions) == "WithFunction");
  CHECK(name(strings) == "WithString");
  CHECK(name(members) == "WithMember");
  CHECK(name(nulls) == "WithNull");
  CHECK(name(arrays) == "an array");
}

ON_BOTH_SELECTORS("names: Task::name() is the type's, or what the type says, also after the task's end") {
  test::Loop<S> loop;
  TaskPool<Echo, 1> echoes;
  TaskPool<Named, 1> named;
  Result<TaskHandle> echo = echoes.spawn(loop), other = named.spawn(loop);
  REQUIRE(echo);
  REQUIRE(other);
  CHECK(std::string(echo->get()->name()) == "Echo");
  CHECK(std::string(other->get()->name()) == Named::name);
  REQUIRE(loop.run());
  CHECK(std::string(echo->get()->name()) == "Echo");
  CHECK(std::string(other->get()->name()) == Named::name);
}

// ------------------------------------------------------------------------------------------------ places

ON_BOTH_SELECTORS("describe: a task's line says its name, its place, and what it waits for or does") {
  test::Loop<S> loop;
  mote::Event event;
  TaskPool<Waiting, 2> pool;
  Result<TaskHandle> handle = pool.spawn(loop, event);
  REQUIRE(handle);
  const Task& task = *handle->get();
  CHECK(task.file() == nullptr);
  CHECK(std::string(task.describe().c_str()) == "task Waiting is ready");
  test::turn(loop);
  CHECK(std::string(task.file()).find("test_diagnosis.cpp") != std::string::npos);
  CHECK(task.describe().c_str() == "task Waiting at " + place(Waiting::line) + " waits for an event");
  event.set();
  CHECK(task.describe().c_str() == "task Waiting at " + place(Waiting::line) + " is ready");
  REQUIRE(loop.run());
  CHECK(task.describe().c_str() == "task Waiting at " + place(Waiting::line) + " has ended");
}

ON_BOTH_SELECTORS("describe: a plain task has no place; while it is stepped it is running") {
  test::Loop<S> loop;
  TaskPool<Plain, 1> pool;
  std::string running;
  auto body = [&](Task& task) -> Step {
    running = task.describe().c_str();
    return mote::pending;
  };
  Result<TaskHandle> handle = pool.spawn(loop, Body(body));
  REQUIRE(handle);
  test::turn(loop);
  CHECK(running == "task test::Plain is running");
  CHECK(std::string(handle->get()->describe().c_str()) == "task test::Plain waits");
}

ON_BOTH_SELECTORS("describe: a deadlock names the first task that waits for what cannot come, and counts the others") {
  test::Loop<S> loop;
  mote::Event event;
  TaskPool<Waiting, 3> pool;
  REQUIRE(pool.spawn(loop, event));
  Result<void> ran = loop.run();
  REQUIRE(ran.error() == EDEADLK);
  const std::string one = "task Waiting at " + place(Waiting::line) + " waits for what cannot come: an event";
  CHECK(loop.describe(ran.error()).c_str() == one);
  REQUIRE(pool.spawn(loop, event));
  REQUIRE(pool.spawn(loop, event));
  ran = loop.run();
  REQUIRE(ran.error() == EDEADLK);
  CHECK(loop.describe(ran.error()).c_str() == one + " (and 2 more)");
  // Errors that tell of something else are told as they are, also another EDEADLK (as of Signals::open()).
  auto nothing = [] {};
  mote::Timer timer;
  timer.arm(loop, 1h, nothing);
  CHECK(loop.describe(ran.error()).c_str() == std::string(ran.error().message()));
  timer.cancel();
  CHECK(loop.describe(ran.error()).c_str() == one + " (and 2 more)");
  CHECK(std::string(loop.describe(mote::Error(EBADF)).c_str()) == mote::Error(EBADF).message());
  event.set();
  CHECK(loop.describe(ran.error()).c_str() == std::string(ran.error().message()));  // something can happen by now
  REQUIRE(loop.run());
  CHECK(loop.describe(ran.error()).c_str() == std::string(ran.error().message()));
}

ON_BOTH_SELECTORS("describe: a deadlock of tasks that do not say what they wait for names the first, without words") {
  test::Loop<S> loop;
  TaskPool<Plain, 1> pool;
  auto body = [](Task&) -> Step { return mote::pending; };
  REQUIRE(pool.spawn(loop, Body(body)));
  Result<void> ran = loop.run();
  REQUIRE(ran.error() == EDEADLK);
  CHECK(std::string(loop.describe(ran.error()).c_str()) == "task test::Plain waits for what cannot come");
  TaskPool<Silent, 1> silent;
  REQUIRE(silent.spawn(loop));
  ran = loop.run();
  REQUIRE(ran.error() == EDEADLK);
  CHECK(std::string(loop.describe(ran.error()).c_str()) == "task test::Plain waits for what cannot come (and 1 more)");
}

ON_BOTH_SELECTORS(
    "describe: a deadlock in an operation of one's own that notes its task nowhere names task and place") {
  test::Loop<S> loop;
  TaskPool<Silent, 1> pool;
  mote::Event event;
  TaskPool<Waiting, 1> waiting;
  REQUIRE(pool.spawn(loop));
  REQUIRE(waiting.spawn(loop, event));
  const Result<void> ran = loop.run();
  REQUIRE(ran.error() == EDEADLK);
  CHECK(loop.describe(ran.error()).c_str() ==
        "task Silent at " + place(Silent::line) + " waits for what cannot come (and 1 more)");
}

// ------------------------------------------------------------------------------------------------ assertions

#ifndef NDEBUG

ON_BOTH_SELECTORS("assertions: who can tell of the running task is known while a reactor runs, thread by thread") {
  const auto witness = [] { return mote::detail::witness.self; };
  test::Loop<S> outer, inner;
  TaskPool<Plain, 1> outer_pool, inner_pool;
  const void *in_outer = nullptr, *in_inner = nullptr, *after_inner = nullptr, *in_thread = &outer;
  auto inner_body = [&](Task&) -> Step {
    in_inner = witness();
    std::thread([&] { in_thread = witness(); }).join();
    return mote::done();
  };
  auto outer_body = [&](Task&) -> Step {
    in_outer = witness();
    REQUIRE(inner.run());
    after_inner = witness();
    return mote::done();
  };
  REQUIRE(inner_pool.spawn(inner, Body(inner_body)));
  REQUIRE(outer_pool.spawn(outer, Body(outer_body)));
  CHECK(witness() == nullptr);
  REQUIRE(outer.run());
  CHECK(in_outer != nullptr);
  CHECK(in_inner != nullptr);
  CHECK(in_inner != in_outer);
  CHECK(after_inner == in_outer);
  CHECK(in_thread == nullptr);
  CHECK(witness() == nullptr);
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#if defined(__has_feature)
#define SANITIZED \
  (__has_feature(address_sanitizer) || __has_feature(memory_sanitizer) || __has_feature(thread_sanitizer))
#else
#define SANITIZED 0
#endif
#if !SANITIZED  // a sanitizer lets locals lie elsewhere

namespace {

// The mistake: `bytes` should be a member.
struct Forgetful : StateMachine {
  int (&seen)[2];
  explicit Forgetful(int (&into)[2]) : seen(into) {}
  static int poisoned(const volatile unsigned char* bytes) {
    int count = 0;
    for (int i = 0; i < 256; ++i) count += bytes[i] == 0xa5 ? 1 : 0;
    return count;
  }
  Step step() {
    MOTE_BEGIN();
    volatile unsigned char bytes[256];
    for (volatile unsigned char& byte : bytes) byte = 1;
    seen[0] = poisoned(bytes);
    MOTE_YIELD();
    seen[1] = poisoned(bytes);
    MOTE_END();
  }
};

}  // namespace

ON_BOTH_SELECTORS("assertions: a local variable that an await was to keep holds 0xa5 afterwards") {
  test::Loop<S> loop;
  TaskPool<Forgetful, 1> pool;
  int seen[2] = {-1, -1};
  REQUIRE(pool.spawn(loop, seen));
  REQUIRE(loop.run());
  CHECK(seen[0] == 0);
  CHECK(seen[1] >= 64);  // without optimisation the calls on the way to step() use some of that stack
}

#endif
#endif
#endif  // NDEBUG
