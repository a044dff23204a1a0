// SPDX-License-Identifier: MIT
// Rooms: reactor/descriptor_table.hpp, reactor/reactor.hpp, io/source.hpp, selector/look.hpp,
// selector/epoll_selector.hpp, selector/poll_selector.hpp.
// Handlers that change, close and re-add themselves and each other at random: see support/handlers.hpp.
#include "support/handlers.hpp"

namespace {

using namespace std::chrono_literals;

// The pause after which muted descriptors are looked at again is over when so much time has passed.
void let_time_pass() {
  const mote::Instant end = mote::Clock::now() + mote::limits::retry_pause + 1ms;
  for (mote::Instant now = mote::Clock::now(); now < end; now = mote::Clock::now()) {
    ::poll(nullptr, 0, static_cast<int>((end - now) / 1ms) + 1);
  }
}

}  // namespace

ON_BOTH_SELECTORS("handlers, generated: in every turn those are called that poll(2) says should be, and nobody else") {
  handlers::run_worlds<S>("mote_tests", "handlers, generated: in every turn*", 2'000'000, &let_time_pass, false);
}
