// SPDX-License-Identifier: MIT
#include <asio/io_context.hpp>
#include <asio/posix/stream_descriptor.hpp>

#include "chain.hpp"

namespace {
struct Loop {
  explicit Loop(std::size_t n) { descriptors.reserve(n); }
  void watch(std::size_t i, int fd) {
    descriptors.emplace_back(context, fd);
    wait(i);
  }
  void wait(std::size_t i) {
    descriptors[i].async_wait(asio::posix::stream_descriptor::wait_read, [this, i](const asio::error_code& error) {
      if (error) return;
      bench::chain.pass(i);
      wait(i);
    });
  }
  void turn() { context.run_one(); }
  asio::io_context context{1};
  std::vector<asio::posix::stream_descriptor> descriptors;
};
}  // namespace

int main(int argc, char** argv) { return bench::time_chain<Loop>(argc, argv); }
