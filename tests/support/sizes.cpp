// SPDX-License-Identifier: MIT
// Prints the sizes that the README states: `.ci/run sizes` builds and runs it for each kind of board.
#include <stdio.h>

#include <mote.hpp>

struct Nothing {
  mote::Step step() { return mote::done(); }
};

int main() {
  printf("%zu %zu %zu %zu %zu %zu %zu %zu %zu\n", sizeof(mote::StaticReactor<>), sizeof(mote::Reactor),
         sizeof(mote::detail::Slot) + sizeof(mote::Ready), sizeof(mote::PollSelector<64>) / 64, sizeof(mote::Task),
         sizeof(mote::Stream), sizeof(mote::Timer), sizeof(mote::Mailbox<int, 16>), sizeof(mote::Signals));
  return 0;
}
