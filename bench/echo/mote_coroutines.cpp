// SPDX-License-Identifier: MIT
// mote, with a coroutine for each connection. With BENCH_POLL on poll instead of epoll.
#include <mote.hpp>

#include "../support/common.hpp"
#include "mote_config.hpp"

namespace {
mote::StaticReactor<bench::Config> reactor;
mote::FramePool<bench::buffer_size + 512, bench::most_connections> frames;
mote::CoroutinePool<bench::most_connections + 1> coroutines;

mote::Co<void> echo(mote::FrameSource&, mote::Stream client) {
  char chunk[bench::buffer_size];
  for (;;) {
    const mote::Result<std::size_t> received = co_await client.read(chunk);
    if (!received || *received == 0) co_return;
    mote::ByteView reply(chunk, *received);
    if (!co_await client.write_all(reply)) co_return;
  }
}

mote::Co<void> accept_all(mote::FrameSource&, mote::Listener listener) {
  for (;;) {
    mote::Result<mote::Stream> client = co_await listener.accept();
    if (!client) co_return;
    static_cast<void>(coroutines.spawn(reactor, echo(frames, std::move(*client))));  // full: it is closed
  }
}
}  // namespace

int main() {
  bench::open_reactor(reactor);
  static_cast<void>(coroutines.spawn(reactor, accept_all(frames, bench::open_listener(reactor))));
  return bench::run(reactor);
}
