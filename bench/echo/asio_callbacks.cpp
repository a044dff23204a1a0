// SPDX-License-Identifier: MIT
#include <asio/buffer.hpp>
#include <asio/io_context.hpp>
#include <asio/ip/tcp.hpp>
#include <asio/signal_set.hpp>
#include <asio/write.hpp>

#include "../support/common.hpp"

namespace {
using asio::ip::tcp;

struct Connection {
  explicit Connection(tcp::socket&& s) : socket(std::move(s)) {}
  void read() {
    socket.async_read_some(asio::buffer(bytes), [this](const asio::error_code& error, std::size_t n) {
      if (error) delete this;
      else write(n);
    });
  }
  void write(std::size_t n) {
    asio::async_write(socket, asio::buffer(bytes, n), [this](const asio::error_code& error, std::size_t) {
      if (error) delete this;
      else read();
    });
  }
  tcp::socket socket;
  char bytes[bench::buffer_size];
};

void accept(tcp::acceptor& listener) {
  listener.async_accept([&listener](const asio::error_code& error, tcp::socket socket) {
    if (!error) (new Connection(std::move(socket)))->read();
    accept(listener);
  });
}
}  // namespace

int main() {
  asio::io_context context(1);
  tcp::acceptor listener(context, tcp::v4(), bench::listen_anywhere());
  asio::signal_set terminate(context, SIGTERM);
  terminate.async_wait([](const asio::error_code&, int) { _exit(0); });
  accept(listener);
  context.run();
  return 0;
}
