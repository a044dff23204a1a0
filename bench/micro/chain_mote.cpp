// SPDX-License-Identifier: MIT
// With BENCH_POLL on poll instead of epoll.
#include <mote.hpp>

#include "chain.hpp"

namespace {
struct Config : mote::Config {
  static constexpr std::size_t descriptors = 10000;
#ifdef BENCH_POLL
  template <std::size_t N> using Selector = mote::PollSelector<N>;
#endif
};
mote::StaticReactor<Config> reactor;

struct Link {
  std::size_t index;
  void pass(mote::Readiness) { bench::chain.pass(index); }
};

struct Loop {
  explicit Loop(std::size_t n) : links(n) {
    if (!reactor.open()) bench::fail("open");
  }
  void watch(std::size_t i, int fd) {
    links[i].index = i;
    if (!reactor.add(fd, mote::Interest::read, mote::Handler::of<&Link::pass>(links[i]))) bench::fail("add");
  }
  void turn() { static_cast<void>(reactor.run_once()); }
  std::vector<Link> links;
};
}  // namespace

int main(int argc, char** argv) { return bench::time_chain<Loop>(argc, argv); }
