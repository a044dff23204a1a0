// SPDX-License-Identifier: MIT
// The classic: SIZE socket pairs in a ring; each byte that arrives is passed on to the next. CASE is how many bytes are
// under way. Every library gives a class `Loop` with Loop(n), watch(i, fd), turn(), and calls chain.pass(i) when i is
// readable.
#ifndef BENCH_CHAIN_HPP
#define BENCH_CHAIN_HPP

#include <sys/socket.h>
#include <unistd.h>

#include <vector>

#include "measure.hpp"

namespace bench {
struct Chain {
  std::vector<int> readers, writers;
  std::size_t passed = 0;
  void pass(std::size_t i) {
    char byte;
    if (read(readers[i], &byte, 1) != 1) fail("read");
    const std::size_t next = i + 1 == writers.size() ? 0 : i + 1;
    if (write(writers[next], &byte, 1) != 1) fail("write");
    ++passed;
  }
};
inline Chain chain;

template <class Loop> int time_chain(int argc, char** argv) {
  const Arguments arguments = parse(argc, argv);
  const std::size_t n = arguments.size, active = strtoul(arguments.which, nullptr, 10);
  if (active == 0 || active > n) no_such_case();
  static Loop loop(n);
  for (std::size_t i = 0; i < n; ++i) {
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) != 0) fail("socketpair");
    chain.readers.push_back(pair[0]);
    chain.writers.push_back(pair[1]);
  }
  for (std::size_t i = 0; i < n; ++i) loop.watch(i, chain.readers[i]);
  const char byte = 'x';
  for (std::size_t i = 0; i < active; ++i)
    if (write(chain.writers[i * n / active], &byte, 1) != 1) fail("write");
  const auto run = [&](std::size_t events) {
    const std::size_t end = chain.passed + events;
    while (chain.passed < end) loop.turn();
  };
  run(2 * n);
  Stopwatch stopwatch;
  const std::size_t before = chain.passed;
  stopwatch.measure(0, [&] { run(1000 * arguments.repeats); });
  stopwatch.operations = chain.passed - before;
  stopwatch.print();
  return 0;
}
}  // namespace bench

#endif  // BENCH_CHAIN_HPP
