// SPDX-License-Identifier: MIT
// mote, with a task for each connection. With BENCH_POLL on poll instead of epoll.
#include <mote.hpp>

#include "../support/common.hpp"
#include "mote_config.hpp"

namespace {
struct Echo : mote::StateMachine {
  mote::Stream client;
  char chunk[bench::buffer_size];
  mote::ByteView reply;
  mote::Result<std::size_t> received;
  mote::Result<void> sent;

  // Else, as an aggregate, it would be made member by member, and its buffer zeroed for every connection.
  explicit Echo(mote::Stream&& from) : client(std::move(from)) {}

  mote::Step step() {
    MOTE_BEGIN();
    for (;;) {
      MOTE_AWAIT(received, client.read(chunk));
      if (!received || *received == 0) return mote::done();
      reply = {chunk, *received};
      MOTE_AWAIT(sent, client.write_all(reply));
      if (!sent) return mote::done();
    }
    MOTE_END();
  }
};

mote::StaticReactor<bench::Config> reactor;
mote::TaskPool<Echo, bench::most_connections> clients;

struct Acceptor : mote::StateMachine {
  mote::Listener listener;
  mote::Result<mote::Stream> client;

  mote::Step step() {
    MOTE_BEGIN();
    for (;;) {
      MOTE_AWAIT(client, listener.accept());
      if (!client) return mote::done();
      static_cast<void>(clients.spawn(reactor(), std::move(*client)));  // full: it is closed
    }
    MOTE_END();
  }
};
mote::TaskPool<Acceptor, 1> acceptor;
}  // namespace

int main() {
  bench::open_reactor(reactor);
  static_cast<void>(acceptor.spawn(reactor, bench::open_listener(reactor)));
  return bench::run(reactor);
}
