// SPDX-License-Identifier: MIT
// Writes at once as far as it goes (uv_try_write); for the rest there is a request, and reading stops meanwhile.
#include <uv.h>

#include "../support/common.hpp"

namespace {
struct Connection {
  uv_tcp_t tcp;
  uv_write_t request;
  char bytes[bench::buffer_size];
};
Connection& connection_of(uv_stream_t* stream) { return *reinterpret_cast<Connection*>(stream); }
uv_stream_t* stream_of(Connection& c) { return reinterpret_cast<uv_stream_t*>(&c.tcp); }

void close_connection(Connection& c) {
  uv_close(reinterpret_cast<uv_handle_t*>(&c.tcp), [](uv_handle_t* h) { free(h); });
}

void give_buffer(uv_handle_t* handle, std::size_t, uv_buf_t* buffer) {
  *buffer = uv_buf_init(reinterpret_cast<Connection*>(handle)->bytes, bench::buffer_size);
}

void on_read(uv_stream_t* stream, ssize_t n, const uv_buf_t*) {
  Connection& c = connection_of(stream);
  if (n == 0) return;  // EAGAIN
  if (n < 0) return close_connection(c);
  uv_buf_t reply = uv_buf_init(c.bytes, static_cast<unsigned>(n));
  const int sent = uv_try_write(stream, &reply, 1);
  if (sent == n) return;
  if (sent < 0 && sent != UV_EAGAIN) return close_connection(c);
  if (sent > 0) {
    reply.base += sent;
    reply.len -= static_cast<std::size_t>(sent);
  }
  uv_read_stop(stream);
  uv_write(&c.request, stream, &reply, 1, [](uv_write_t* request, int status) {
    Connection& written = connection_of(request->handle);
    if (status == UV_ECANCELED) return;
    if (status < 0) return close_connection(written);
    uv_read_start(stream_of(written), &give_buffer, &on_read);
  });
}

void on_connection(uv_stream_t* listener, int status) {
  if (status != 0) return;
  auto* const c = &bench::allocate<Connection>();
  uv_tcp_init(listener->loop, &c->tcp);
  if (uv_accept(listener, stream_of(*c)) != 0) return close_connection(*c);
  uv_read_start(stream_of(*c), &give_buffer, &on_read);
}
}  // namespace

int main() {
  uv_loop_t* const loop = uv_default_loop();
  uv_tcp_t listener;
  uv_signal_t terminate;
  uv_tcp_init(loop, &listener);
  uv_tcp_open(&listener, bench::listen_anywhere());
  uv_listen(reinterpret_cast<uv_stream_t*>(&listener), bench::backlog, &on_connection);
  uv_signal_init(loop, &terminate);
  uv_signal_start(
      &terminate, [](uv_signal_t* signal, int) { uv_stop(signal->loop); }, SIGTERM);
  uv_run(loop, UV_RUN_DEFAULT);
  return 0;
}
