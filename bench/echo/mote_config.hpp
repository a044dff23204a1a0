// SPDX-License-Identifier: MIT
// What the mote servers have in common.
#ifndef BENCH_MOTE_CONFIG_HPP
#define BENCH_MOTE_CONFIG_HPP

#include <mote.hpp>

#include "../support/common.hpp"

namespace bench {
struct Config : mote::Config {
  static constexpr std::size_t descriptors = most_connections + 1;
#ifdef BENCH_POLL
  template <std::size_t N> using Selector = mote::PollSelector<N>;
#endif
};

inline void check(const mote::Result<void>& result, const char* what) {
  if (!result) die(what, result.error().code());
}

template <class R> void open_reactor(R& reactor) {
  allow_many_descriptors();
  check(reactor.open(), "open");
}

inline mote::Listener open_listener(mote::Reactor& reactor) {
  mote::Listener listener;
  mote::Listener::Options options;
  options.no_delay = true;
  options.backlog = backlog;
  check(listener.open(reactor, *mote::Endpoint::ip("127.0.0.1", 0), options), "listen");
  announce(listener.local_endpoint()->port());
  return listener;
}

// Until SIGTERM. With BENCH_BARE without the shutdown, which tells what that costs.
inline int run(mote::Reactor& reactor) {
#ifdef BENCH_BARE
  exit_on_sigterm();
  check(reactor.run(), "run");
  return 0;
#else
  mote::GracefulShutdown shutdown(reactor, {SIGTERM}, mote::Duration::zero());
  return shutdown.run() ? 0 : 1;
#endif
}
}  // namespace bench

#endif  // BENCH_MOTE_CONFIG_HPP
