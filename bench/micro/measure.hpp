// SPDX-License-Identifier: MIT
// What the micro benchmarks have in common. Each is a program: NAME CASE SIZE REPEATS. It prints how many operations it
// has measured, and the nanoseconds of CPU time that they took; callgrind counts what is inside of measured_phase() alone.
#ifndef BENCH_MEASURE_HPP
#define BENCH_MEASURE_HPP

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include <cstddef>
#include <cstdint>
#include <utility>

namespace bench {
[[noreturn]] inline void fail(const char* what) {
  fprintf(stderr, "%s: %s\n", what, strerror(errno));
  exit(1);
}

inline std::uint64_t nanoseconds(clockid_t clock) {
  timespec t;
  if (clock_gettime(clock, &t) != 0) fail("clock_gettime");
  return static_cast<std::uint64_t>(t.tv_sec) * 1000000000u + static_cast<std::uint64_t>(t.tv_nsec);
}

template <class F> [[gnu::noinline]] void measured_phase(F&& work) {
  work();
  asm volatile("" ::: "memory");  // no tail call
}

struct Stopwatch {
  std::uint64_t operations = 0, spent = 0, phases = 0;
  clockid_t clock = CLOCK_THREAD_CPUTIME_ID;
  template <class F> void measure(std::uint64_t count, F&& work) {
    const std::uint64_t begin = nanoseconds(clock);
    measured_phase(work);
    spent += nanoseconds(clock) - begin;
    operations += count;
    ++phases;
  }
  void print() const {
    const std::uint64_t reading = phases * cost_of_reading();
    printf("{\"operations\": %llu, \"ns\": %llu}\n", static_cast<unsigned long long>(operations),
           static_cast<unsigned long long>(spent > reading ? spent - reading : 0));
  }
  std::uint64_t cost_of_reading() const {  // a system call: it would count where a phase is short
    constexpr int times = 1000;
    const std::uint64_t begin = nanoseconds(clock);
    for (int i = 1; i < times; ++i) nanoseconds(clock);
    return (nanoseconds(clock) - begin) / times;
  }
};

struct Arguments {
  const char* which;
  std::size_t size, repeats;
  bool is(const char* name) const { return strcmp(which, name) == 0; }
};
inline Arguments parse(int argc, char** argv) {
  if (argc != 4) {
    fprintf(stderr, "usage: %s CASE SIZE REPEATS\n", argv[0]);
    exit(2);
  }
  rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
  }
  return {argv[1], strtoul(argv[2], nullptr, 10), strtoul(argv[3], nullptr, 10)};
}
[[noreturn]] inline void no_such_case() {
  fprintf(stderr, "no such case\n");
  exit(3);
}

struct Random {
  std::uint32_t state = 2463534242u;
  std::uint32_t next() {
    state ^= state << 13;
    state ^= state >> 17;
    state ^= state << 5;
    return state;
  }
  void shuffle(std::uint32_t* items, std::size_t n) {
    for (std::size_t i = n; i > 1; --i) std::swap(items[i - 1], items[next() % i]);
  }
};
}  // namespace bench

#endif  // BENCH_MEASURE_HPP
