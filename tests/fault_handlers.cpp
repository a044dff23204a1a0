// SPDX-License-Identifier: MIT
// Rooms: reactor/descriptor_table.hpp, reactor/loop.hpp, selector/look.hpp.
// Descriptors that are muted, on virtual time: when they are looked at, what that costs, and when they are heard again.
#include "support/handlers.hpp"

namespace {

using Seam = mote::FaultSystem;
using Call = Seam::Call;
using namespace std::chrono_literals;

void let_time_pass() { Seam::state.now += mote::Duration(mote::limits::retry_pause + 1ms).count(); }

}  // namespace

ON_BOTH_SELECTORS("handlers, generated: on virtual time who is muted is heard again after the pause, and not before") {
  Seam::start_virtual_time();
  Seam::state.most_waits = UINT32_MAX;
  handlers::run_worlds<S>("mote_fault_tests", "handlers, generated: on virtual time*", 1'000'000, &let_time_pass, true);
  Seam::state = Seam::State();
}
