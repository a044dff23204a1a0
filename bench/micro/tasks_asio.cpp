// SPDX-License-Identifier: MIT
// What comes nearest to the tasks of the others: a posted function, and a spawned coroutine.
#include <asio/awaitable.hpp>
#include <asio/co_spawn.hpp>
#include <asio/detached.hpp>
#include <asio/io_context.hpp>
#include <asio/post.hpp>

#include "measure.hpp"

namespace {
asio::awaitable<void> job(std::size_t& ended) {
  ++ended;
  co_return;
}
asio::awaitable<int> child(int a) { co_return a + 1; }
asio::awaitable<void> parent(std::size_t children, int& sum) {
  while (children-- != 0) sum = co_await child(sum);
}
}  // namespace

int main(int argc, char** argv) {
  const bench::Arguments arguments = bench::parse(argc, argv);
  const std::size_t n = arguments.size;
  asio::io_context context{1};
  bench::Stopwatch stopwatch;
  std::size_t ended = 0;
  int sum = 0;
  for (std::size_t r = 0; r < arguments.repeats; ++r) {
    context.restart();
    if (arguments.is("task")) {
      stopwatch.measure(n, [&] {
        for (std::size_t i = 0; i < n; ++i) asio::post(context, [&ended] { ++ended; });
        context.poll();
      });
    } else if (arguments.is("coroutine")) {
      stopwatch.measure(n, [&] {
        for (std::size_t i = 0; i < n; ++i) asio::co_spawn(context, job(ended), asio::detached);
        context.poll();
      });
    } else if (arguments.is("child")) {
      asio::co_spawn(context, parent(n, sum), asio::detached);
      stopwatch.measure(n, [&] { context.poll(); });
    } else {
      bench::no_such_case();
    }
  }
  stopwatch.print();
  return 0;
}
