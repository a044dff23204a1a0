# SPDX-License-Identifier: MIT
"""The first and the last moments of the examples. As soon as one has said that it listens, a signal ends it as it
should; and if somebody presses Ctrl-C again and again until it is gone, it ends with its exit code, and never by the
signal."""
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, sys.path[0] + '/support')
import process  # noqa: E402

NAMES = ('echo', 'echo_coroutine', 'echo_selector', 'echo_callback', 'echo_failures', 'http_hello', 'line_chat',
         'pipeline', 'serial_bridge', 'supervisor', 'udp_telemetry')
PROGRAMS = dict(zip(NAMES, map(process.command, sys.argv[-len(NAMES):])))
del sys.argv[-len(NAMES):]
ROUNDS = 30  # of each program
BOTH = (1 << (signal.SIGINT - 1)) | (1 << (signal.SIGTERM - 1))


def catches_both(program):
    with open(f'/proc/{program.pid}/status', encoding='ascii') as file:
        return int(re.search(r'^SigCgt:\s+(\w+)', file.read(), re.MULTILINE)[1], 16) & BOTH == BOTH


def storm(program):
    """Sends signals until it has ended; gives its exit code, negative: the signal that has ended it."""
    number = 0
    while program.poll() is None:
        number += 1
        os.kill(program.pid, signal.SIGTERM if number % 2 else signal.SIGINT)
    return program.returncode


@unittest.skipIf(os.environ.get('MESON_EXE_WRAPPER'),
                 'an emulator has handlers of its own from the start, so it is not seen when the program has')
class LastMoments(unittest.TestCase):
    def storms(self, name, *arguments, stdin=subprocess.DEVNULL):
        for number in range(ROUNDS):
            with self.subTest(name, round=number):
                program = subprocess.Popen([*PROGRAMS[name], *arguments], stdin=stdin, stdout=subprocess.DEVNULL,
                                           stderr=subprocess.DEVNULL)
                self.addCleanup(program.kill)
                process.wait_until(lambda: program.poll() is not None or catches_both(program))
                self.assertEqual(storm(program), 0)

    def test_of_the_echo_servers(self):
        self.storms('echo', '--selector', 'epoll', '127.0.0.1:0')
        self.storms('echo', '--selector', 'poll', '--grace', '0', '127.0.0.1:0')
        self.storms('echo_coroutine', '127.0.0.1:0')
        for name in ('echo_selector', 'echo_callback', 'echo_failures'):
            self.storms(name, '127.0.0.1:0')

    def test_of_the_other_servers(self):
        for name in ('http_hello', 'line_chat'):
            self.storms(name, '127.0.0.1:0')
        self.storms('udp_telemetry', 'receive', '127.0.0.1:0')

    def test_of_the_pipeline(self):
        reader, writer = os.pipe()  # an input that does not end
        self.addCleanup(os.close, reader)
        self.addCleanup(os.close, writer)
        self.storms('pipeline', stdin=reader)

    def test_of_the_serial_bridge(self):
        device, other = os.openpty()
        self.addCleanup(os.close, device)
        self.addCleanup(os.close, other)
        with tempfile.TemporaryDirectory() as directory:
            path = directory + '/tty'
            os.symlink(os.ttyname(other), path)
            self.storms('serial_bridge', path, '115200', '127.0.0.1:0')

    def test_of_the_supervisor(self):
        with socket.create_server(('127.0.0.1', 0)) as service:
            self.storms('supervisor', '127.0.0.1:%d' % service.getsockname()[1])


class FirstMoments(unittest.TestCase):
    def ends(self, name, *arguments):
        for _ in range(5):
            with self.subTest(name), process.Program([*PROGRAMS[name], *arguments]) as program:
                program.address()
                program.signal(signal.SIGTERM)
                self.assertEqual(program.finish(), 0, program.output)

    def test_who_has_said_that_it_listens_ends_well_at_a_signal(self):
        for name in ('echo', 'echo_coroutine', 'echo_selector', 'echo_callback', 'echo_failures', 'http_hello',
                     'line_chat'):
            self.ends(name, '127.0.0.1:0')
        self.ends('udp_telemetry', 'receive', '127.0.0.1:0')

    def test_the_serial_bridge_does_so_too(self):
        device, other = os.openpty()
        self.addCleanup(os.close, device)
        self.addCleanup(os.close, other)
        self.ends('serial_bridge', os.ttyname(other), '115200', '127.0.0.1:0')


if __name__ == '__main__':
    unittest.main()
