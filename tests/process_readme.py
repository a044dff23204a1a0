# SPDX-License-Identifier: MIT
"""The README's program compiles as it stands there, echoes, and ends at Ctrl-C."""
import pathlib
import signal
import socket
import sys
import tempfile
import unittest

sys.path.insert(0, sys.path[0] + '/support')
import process  # noqa: E402

COMPILER = sys.argv[sys.argv.index('--') + 1:]
del sys.argv[sys.argv.index('--'):]

README = pathlib.Path(__file__).resolve().parent.parent / 'README.md'


class Readme(unittest.TestCase):
    def test_its_program_echoes_until_it_is_interrupted(self):
        program = README.read_text().split('<!-- program -->\n```cpp\n')[1].split('```')[0]
        with socket.socket() as probe:  # a port that is free, in place of the one in the text
            probe.bind(('127.0.0.1', 0))
            port = probe.getsockname()[1]
        self.assertIn('7777', program)
        with tempfile.TemporaryDirectory() as at:
            source = pathlib.Path(at, 'program.cpp')
            source.write_text(program.replace('7777', str(port)))
            done = process.run([*COMPILER, '-static', '-Wall', '-Wextra', '-Werror', '-o', f'{at}/program', str(source)])
            self.assertEqual(done.returncode, 0, done.stderr)
            with process.Program(process.command(f'{at}/program')) as server:
                client = self.connect(port)
                with client:
                    client.sendall(b'hello')
                    client.shutdown(socket.SHUT_WR)
                    self.assertEqual(client.makefile('rb').read(), b'hello')
                server.process.send_signal(signal.SIGINT)
                self.assertEqual(server.process.wait(timeout=process.PATIENCE), 0, server.output)

    def connect(self, port):
        """The program prints nothing when it listens: asked until it does."""
        deadline = process.time.monotonic() + process.PATIENCE
        while True:
            try:
                return socket.create_connection(('127.0.0.1', port), timeout=process.PATIENCE)
            except ConnectionRefusedError:
                self.assertLess(process.time.monotonic(), deadline)


unittest.main()
