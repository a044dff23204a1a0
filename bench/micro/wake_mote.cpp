// SPDX-License-Identifier: MIT
#include <mote.hpp>

#include "wake.hpp"

namespace {
mote::StaticReactor<> reactor;

struct Loop {
  Loop() {
    if (!reactor.open() || !waker.open(reactor, mote::Delegate<void()>::of<&bench::Wakes::on_wake>(bench::wakes)))
      bench::fail("open");
  }
  void wake() { waker.wake(); }
  void turn() { static_cast<void>(reactor.run_once()); }
  mote::Waker waker;
};
}  // namespace

int main(int argc, char** argv) { return bench::time_wakes<Loop>(argc, argv); }
