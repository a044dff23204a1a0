// SPDX-License-Identifier: MIT
// Counts the instructions of single calls: callgrind writes down what was executed between two points, under a label that
// tells what it was: KIND|NAME|SIZE|DIVISOR|TEXT|TEXT. Of the same label the largest counts. See support/worst.py.
#ifndef BENCH_WORST_COUNT_HPP
#define BENCH_WORST_COUNT_HPP

#define MOTE_SYSTEM_HEADER "worst/system.hpp"
#include <mote.hpp>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>
#include <valgrind/callgrind.h>

#include <cstddef>
#include <cstdint>
#include <vector>

namespace bench {
[[noreturn]] inline void fail(const char* what) {
  fprintf(stderr, "%s: %s\n", what, strerror(errno));
  exit(1);
}
[[noreturn]] inline void fail(const char* what, mote::Error error) {
  errno = error.code();
  fail(what);
}
inline void allow_many_descriptors() {
  rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
  }
}
inline void must(const mote::Result<void>& result, const char* what) {
  if (!result) fail(what, result.error());
}
template <class T, class = std::enable_if_t<!std::is_void<T>::value>>
T must(mote::Result<T>&& result, const char* what) {
  if (!result) fail(what, result.error());
  return std::move(*result);
}
// Descriptors that are never ready, or always.
struct Descriptors : std::vector<int> {
  explicit Descriptors(std::size_t n, unsigned value = 0) {
    while (size() != n) {
      push_back(eventfd(value, EFD_CLOEXEC | EFD_NONBLOCK));
      if (back() < 0) fail("eventfd");
    }
  }
  Descriptors(const Descriptors&) = delete;
  Descriptors& operator=(const Descriptors&) = delete;
  ~Descriptors() {
    for (const int fd : *this) close(fd);
  }
};

inline char label[400];
// An extra call, so that what is measured is compiled by itself, as in a program of its own.
template <class F> [[gnu::noinline]] void call(F& work) {
  work();
  asm volatile("" ::: "memory");  // no tail call
}
template <class F> void counted(F& work) {
  CALLGRIND_ZERO_STATS;
  call(work);
  CALLGRIND_DUMP_STATS_AT(label);
}
// Of what is counted from here on.
inline void section(const char* name) {
  snprintf(label, sizeof label, "section|%s", name);
  CALLGRIND_DUMP_STATS_AT(label);
}
// One call, in a state that is nothing special.
template <class F> void usual(const char* name, F&& work) {
  snprintf(label, sizeof label, "usual|%s", name);
  counted(work);
}
struct Worst {
  const char* name;   // of the operation
  const char* state;  // in which it takes longest; `n` stands for the size
  const char* bound;  // which of it grows how: O(1), O(...)
};
// One call in its worst state, of that size; `of`: how many are done at once.
template <class F> void worst(const Worst& what, std::size_t size, F&& work, std::size_t of = 1) {
  snprintf(label, sizeof label, "worst|%s|%zu|%zu|%s|%s", what.name, size, of, what.state, what.bound);
  counted(work);
}
}  // namespace bench

#endif  // BENCH_WORST_COUNT_HPP
