// SPDX-License-Identifier: MIT
#include <asio/awaitable.hpp>
#include <asio/buffer.hpp>
#include <asio/co_spawn.hpp>
#include <asio/detached.hpp>
#include <asio/experimental/as_tuple.hpp>
#include <asio/io_context.hpp>
#include <asio/ip/tcp.hpp>
#include <asio/signal_set.hpp>
#include <asio/use_awaitable.hpp>
#include <asio/write.hpp>

#include "../support/common.hpp"

namespace {
using asio::ip::tcp;
constexpr auto use_awaitable = asio::experimental::as_tuple(asio::use_awaitable);

asio::awaitable<void> echo(tcp::socket socket) {
  char bytes[bench::buffer_size];
  for (;;) {
    const auto [read_error, n] = co_await socket.async_read_some(asio::buffer(bytes), use_awaitable);
    if (read_error) co_return;
    const auto [write_error, sent] = co_await asio::async_write(socket, asio::buffer(bytes, n), use_awaitable);
    if (write_error) co_return;
  }
}

asio::awaitable<void> accept_all(tcp::acceptor& listener) {
  for (;;) {
    auto [error, socket] = co_await listener.async_accept(use_awaitable);
    if (!error) asio::co_spawn(listener.get_executor(), echo(std::move(socket)), asio::detached);
  }
}
}  // namespace

int main() {
  asio::io_context context(1);
  tcp::acceptor listener(context, tcp::v4(), bench::listen_anywhere());
  asio::signal_set terminate(context, SIGTERM);
  terminate.async_wait([](const asio::error_code&, int) { _exit(0); });
  asio::co_spawn(context, accept_all(listener), asio::detached);
  context.run();
  return 0;
}
