# SPDX-License-Identifier: MIT
"""Python's asyncio with a Protocol: the fastest way that it has."""
import asyncio
import os
import resource
import signal
import socket


class Echo(asyncio.Protocol):
    def connection_made(self, transport):
        self.write = transport.write
        self.transport = transport

    def data_received(self, data):
        self.write(data)

    def pause_writing(self):
        self.transport.pause_reading()

    def resume_writing(self):
        self.transport.resume_reading()


async def main():
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    loop = asyncio.get_running_loop()
    listener = socket.socket()
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    listener.bind(('127.0.0.1', 0))
    server = await loop.create_server(Echo, sock=listener, backlog=4096)
    over = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, over.set)
    os.write(1, b'%d %d\n' % (listener.getsockname()[1], os.getpid()))
    await over.wait()
    server.close()


asyncio.run(main())
