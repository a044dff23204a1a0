// SPDX-License-Identifier: MIT
// The seam's clock for as long as a test lasts, and the seam as it was before.
#ifndef MOTE_TESTS_VIRTUAL_TIME_HPP
#define MOTE_TESTS_VIRTUAL_TIME_HPP

#include "support/harness.hpp"

namespace test {

struct VirtualTime {
  VirtualTime() { mote::FaultSystem::start_virtual_time(); }
  ~VirtualTime() { mote::FaultSystem::state = mote::FaultSystem::State(); }
  VirtualTime(const VirtualTime&) = delete;
  VirtualTime& operator=(const VirtualTime&) = delete;
};

}  // namespace test

#endif  // MOTE_TESTS_VIRTUAL_TIME_HPP
