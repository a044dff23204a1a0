// SPDX-License-Identifier: MIT
// Copyright (c) 2026 The mote authors
// MOTE_ASSERT: how a violated invariant is told.
#ifndef MOTE_BASE_ASSERT_HPP
#define MOTE_BASE_ASSERT_HPP

#include <poll.h>     // poll
#include <string.h>   // memory and strings
#include <sys/uio.h>  // writev
#include <unistd.h>   // read, write, close, getpid, STDERR_FILENO

#include <cstddef>  // size_t, ptrdiff_t
#include <cstdint>  // integers of fixed width

#include <mote/base/config.hpp>
#include <mote/base/text.hpp>

// States what must hold: MOTE_ASSERT(condition && "what to do where it does not"). A violation is a mistake in the
// program, of which no errno value could tell. It is told in one line on standard error, then the program traps
// (SIGILL or SIGTRAP: a debugger stops there):
//
//   mote: a failed Result has no value: test it first (violated: error_ == 0, mote.hpp:1198; in task Echo, at or after
//   its await at echo.cpp:31)
//
// With NDEBUG nothing is checked, and nothing is left of it. To report violations in your own way, define MOTE_ASSERT
// with one parameter before the first include, in every file alike. It must be an expression of type void, must not
// return where the condition is false, and must do nothing else where it is true.
#ifndef MOTE_ASSERT
#ifdef NDEBUG
#define MOTE_ASSERT(condition) static_cast<void>(0)
#else
#define MOTE_ASSERT(condition) \
  ((condition) ? static_cast<void>(0) : ::mote::detail::report_violation(#condition, __FILE__, __LINE__))
#endif
#endif

namespace mote {
inline namespace MOTE_NAMESPACE {
namespace detail {

// Whether mistakes are looked for that cost time to find.
#ifdef NDEBUG
inline constexpr bool finds_mistakes = false;
#else
inline constexpr bool finds_mistakes = true;
#endif

// Whoever knows what this thread is doing: adds it to the line that tells of a violation.
struct Witness {
  void (*tell)(const void* self, Text& line) = nullptr;  // null: nobody
  const void* self = nullptr;
  const std::uint32_t* line = nullptr;  // where a coroutine that runs notes its line; null: in its task
};
inline thread_local Witness witness{};

// Adds what is in string literals, of which there may be several one behind the other. `source` begins in the first
// one.
inline void add_words(Text& line, const char* source) {
  bool is_inside = true;
  for (; *source != '\0'; ++source) {
    if (*source == '"') is_inside = !is_inside;
    else if (is_inside) line.add(source, 1);
  }
}
// Tells of a violation, and traps. `condition` is source text, of the form `what must hold && "what to do"`.
[[noreturn, gnu::cold, gnu::noinline]] inline void report_violation(const char* condition, const char* file, int line) {
  static constexpr char separator[] = " && \"";
  Text told;
  told.add("mote: ");
  const char* const advice = ::strstr(condition, separator);
  std::size_t length = ::strlen(condition);
  if (advice != nullptr) {
    add_words(told, advice + sizeof separator - 1);
    told.add(" (violated: ");
    length = static_cast<std::size_t>(advice - condition);
  } else {
    told.add("a mistake in the program (violated: ");
  }
  told.add(condition, length).add(", ").add_place(file, static_cast<std::uint32_t>(line));
  if (witness.tell != nullptr) witness.tell(witness.self, told);
  told.add(")");
  // Not by way of System, which is a layer above. Nothing can be done where it fails.
  // Only where it neither blocks nor raises SIGPIPE, as a pipe that nobody reads would: the trap must come.
  pollfd out{STDERR_FILENO, POLLOUT, 0};
  if (::poll(&out, 1, 0) == 1 && out.revents == POLLOUT) {
    const iovec parts[] = {{const_cast<char*>(told.c_str()), told.size()}, {const_cast<char*>("\n"), 1}};
    const ssize_t written = ::writev(STDERR_FILENO, parts, 2);
    static_cast<void>(written);
  }
  __builtin_trap();
}

}  // namespace detail
}  // namespace MOTE_NAMESPACE
}  // namespace mote

#endif  // MOTE_BASE_ASSERT_HPP
