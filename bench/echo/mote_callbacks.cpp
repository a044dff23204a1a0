// SPDX-License-Identifier: MIT
// mote, with a handler for each connection. With BENCH_POLL on poll instead of epoll.
#include <mote.hpp>

#include "../support/common.hpp"
#include "mote_config.hpp"

namespace {
void release(class Connection& connection);

class Connection {
 public:
  void open(mote::Stream&& client) {
    client_ = std::move(client);
    watch(mote::Interest::read);
  }
  Connection* next_free = nullptr;
 private:
  void on_ready(mote::Readiness) {
    if (rest_.empty()) {
      const mote::Result<std::size_t> received = client_.try_read(chunk_);
      if (!received && received.error() == EAGAIN) return;
      if (!received || *received == 0) return close();
      rest_ = {chunk_, *received};
    }
    const mote::Result<std::size_t> sent = client_.try_write(rest_);
    if (!sent && sent.error() != EAGAIN) return close();
    if (sent) rest_.drop_front(*sent);
    watch(rest_.empty() ? mote::Interest::read : mote::Interest::write);
  }
  void watch(mote::Interest interest) {
    if (!client_.watch(interest, mote::Handler::of<&Connection::on_ready>(*this))) close();
  }
  void close() {
    client_.close();
    rest_ = {};
    release(*this);
  }
  mote::Stream client_;
  mote::ByteView rest_;  // of the chunk: what has not been sent yet
  char chunk_[bench::buffer_size] = {};
};

mote::StaticReactor<bench::Config> reactor;
mote::Listener listener;
Connection connections[bench::most_connections];
Connection* free_connections;
std::size_t fresh;

Connection* claim() {
  Connection* const connection = free_connections;
  if (connection != nullptr) {
    free_connections = connection->next_free;
    return connection;
  }
  if (fresh == bench::most_connections) return nullptr;
  ++fresh;
  return &connections[fresh - 1];
}
void release(Connection& connection) {
  connection.next_free = free_connections;
  free_connections = &connection;
}

void accept_all(mote::Readiness) {
  for (;;) {
    mote::Result<mote::Stream> client = listener.try_accept();
    if (!client) return;
    Connection* const connection = claim();
    if (connection != nullptr) connection->open(std::move(*client));
  }
}
}  // namespace

int main() {
  bench::open_reactor(reactor);
  listener = bench::open_listener(reactor);
  bench::check(listener.watch(mote::Interest::read, mote::Handler::of<&accept_all>()), "watch");
  return bench::run(reactor);
}
