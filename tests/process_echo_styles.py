# SPDX-License-Identifier: MIT
"""The echo server in other styles: the selector alone, handlers, and tasks that fail."""
import random
import resource
import select
import signal
import socket
import sys
import unittest

sys.path.insert(0, sys.path[0] + '/support')
import process  # noqa: E402

ECHO_FAILURES = process.command(sys.argv.pop())
ECHO_CALLBACK = process.command(sys.argv.pop())
ECHO_SELECTOR = process.command(sys.argv.pop())


class Style(unittest.TestCase):
    def start(self, command, *arguments):
        program = process.Program([*command, *arguments])
        self.addCleanup(program.__exit__)
        self.at = program.address()
        return program

    def client(self):
        client = process.connect(self.at)
        self.addCleanup(client.close)
        return client

    def serves(self):
        """What every echo server must do."""
        generator = random.Random(4)
        client, other = self.client(), self.client()
        for size in (1, 1023, 1024, 1025, 4096, 4097, *(generator.randrange(1, 20000) for _ in range(50))):
            data = generator.randbytes(size)
            self.assertEqual(process.exchange(client, data), data)
        slow = self.client()
        slow.setblocking(False)
        sent = 0
        while select.select([], [slow], [], 0.3)[1]:
            sent += slow.send(b'z' * 65536)
        self.assertEqual(process.exchange(other, b'not held up'), b'not held up')
        slow.settimeout(process.PATIENCE)
        slow.shutdown(socket.SHUT_WR)
        self.assertEqual(process.receive(slow, sent + 1), b'z' * sent)
        client.close()
        self.assertEqual(process.exchange(other, b'and on'), b'and on')

    def waits_beyond(self, capacity):
        clients = [self.client() for _ in range(capacity)]
        for client in clients:
            self.assertEqual(process.exchange(client, b'x'), b'x')
        late = self.client()
        late.sendall(b'late')
        self.assertEqual(process.exchange(clients[0], b'x'), b'x')
        self.assertEqual(select.select([late], [], [], 0), ([], [], []))
        clients[0].close()
        self.assertEqual(process.receive(late, 4), b'late')

    def has_manners(self, command, name):
        for option in ('--help', '-h'):
            done = process.run([*command, option])
            self.assertEqual((done.stderr, done.returncode), ('', 0))
            self.assertRegex(done.stdout, f'^usage: {name} ')
        for arguments in (['localhost:80'], ['127.0.0.1:65536'], ['127.0.0.1'], ['::1:80'], [''], ['8000'], ['-x'],
                          ['--port', '1'], ['127.0.0.1:0', '127.0.0.1:0']):
            done = process.run([*command, *arguments])
            self.assertEqual((done.stdout, done.returncode), ('', 2), arguments)
            self.assertIn(f'\nusage: {name} ', done.stderr)
        done = process.run([*command, 'localhost:80'])
        self.assertIn("'localhost:80': numeric addresses only, such as 127.0.0.1 or ::1\n", done.stderr)
        with socket.create_server(('127.0.0.1', 0)) as taken:
            done = process.run([*command, '127.0.0.1:%d' % taken.getsockname()[1]])
        self.assertEqual((done.stdout, done.returncode), ('', 1))
        self.assertRegex(done.stderr, f'^{name}: cannot listen on 127.0.0.1:.*: Address already in use\n$')


class SelectorAlone(Style):
    def test_it_serves_on_both_selectors(self):
        for selector in ('epoll', 'poll'):
            with self.subTest(selector):
                self.start(ECHO_SELECTOR, '--selector', selector, '127.0.0.1:0')
                self.serves()

    def test_beyond_capacity_clients_wait(self):
        for selector in ('epoll', 'poll'):
            with self.subTest(selector):
                self.start(ECHO_SELECTOR, '--selector', selector, '[::1]:0')
                self.waits_beyond(8)

    def test_after_a_quiet_second_it_says_no_events_and_a_signal_ends_it_cleanly(self):
        for selector in ('epoll', 'poll'):
            with self.subTest(selector):
                echo = self.start(ECHO_SELECTOR, '--selector', selector, '127.0.0.1:0')
                echo.expect('^echo_selector: no events$')
                echo.expect('^echo_selector: no events$')
                echo.signal(signal.SIGINT)
                self.assertEqual(echo.finish(), 0)
                self.assertTrue(echo.output.endswith('\necho_selector: stopped\n'))

    def test_it_has_manners(self):
        self.has_manners(ECHO_SELECTOR, 'echo_selector')


class Handlers(Style):
    def test_it_serves(self):
        self.start(ECHO_CALLBACK, '127.0.0.1:0')
        self.serves()

    def test_beyond_capacity_clients_wait(self):
        self.start(ECHO_CALLBACK, '[::1]:0')
        self.waits_beyond(32)

    def test_out_of_descriptors_it_pauses_without_spinning_and_recovers(self):
        echo = self.start(ECHO_CALLBACK, '127.0.0.1:0')
        first = self.client()
        self.assertEqual(process.exchange(first, b'x'), b'x')
        resource.prlimit(echo.pid, resource.RLIMIT_NOFILE, (echo.highest_descriptor() + 1,) * 2)
        late = self.client()
        late.sendall(b'late')
        echo.expect('cannot accept for now: Too many open files')
        used = echo.usage()[0]
        self.assertEqual(select.select([late], [], [], 1), ([], [], []))
        self.assertLess(echo.usage()[0] - used, 20)  # of 100 ticks
        first.close()
        self.assertEqual(process.receive(late, 4), b'late')

    def test_connections_are_waited_for_at_the_shutdown(self):
        echo = self.start(ECHO_CALLBACK, '127.0.0.1:0')
        client = self.client()
        self.assertEqual(process.exchange(client, b'x'), b'x')
        echo.signal()
        process.wait_until(lambda: process.refuses(self.at))
        self.assertEqual(process.exchange(client, b'still there'), b'still there')
        client.close()
        self.assertEqual(echo.finish(), 0)
        self.assertIn('stopped; 0 clients were cut off', echo.output)

    def test_a_second_signal_forces_the_end(self):
        echo = self.start(ECHO_CALLBACK, '127.0.0.1:0')
        client = self.client()
        self.assertEqual(process.exchange(client, b'x'), b'x')
        echo.signal()
        process.wait_until(lambda: process.refuses(self.at))
        echo.signal()
        self.assertEqual(echo.finish(), 0)
        self.assertIn('stopped at once; 1 client was cut off', echo.output)
        self.assertEqual(client.recv(1), b'')

    def test_it_has_manners(self):
        self.has_manners(ECHO_CALLBACK, 'echo_callback')


class Failures(Style):
    def test_boom_fails_that_client_alone(self):
        echo = self.start(ECHO_FAILURES, '127.0.0.1:0')
        victim, other = self.client(), self.client()
        self.assertEqual(process.exchange(other, b'hello\r\n'), b'hello\r\n')
        self.assertEqual(process.exchange(victim, b'all well\r\n'), b'all well\r\n')
        victim.sendall(b'bo')
        self.assertEqual(process.exchange(other, b'again\r\n'), b'again\r\n')
        victim.sendall(b'om\r\n')
        self.assertEqual(victim.recv(100), b'')
        echo.expect(r'client 127\.0\.0\.1:%d: failed: Protocol error$' % victim.getsockname()[1])
        self.assertEqual(process.exchange(other, b'goes on\r\n'), b'goes on\r\n')

    def test_at_the_shutdown_every_outcome_is_printed(self):
        echo = self.start(ECHO_FAILURES, '127.0.0.1:0')
        done, failed, cancelled = self.client(), self.client(), self.client()
        for client in (done, failed, cancelled):
            self.assertEqual(process.exchange(client, b'x\r\n'), b'x\r\n')
        failed.sendall(b'boom\r\n')
        echo.expect('failed: Protocol error')
        done.shutdown(socket.SHUT_WR)
        self.assertEqual(done.recv(1), b'')
        echo.signal()
        self.assertEqual(echo.finish(), 0)
        self.assertIn('client 127.0.0.1:%d: cancelled\n' % cancelled.getsockname()[1], echo.output)
        self.assertIn('stopped; clients done: 1, failed: 1, cancelled: 1\n', echo.output)

    def test_a_line_that_is_too_long_is_a_failure_too(self):
        echo = self.start(ECHO_FAILURES, '127.0.0.1:0')
        self.client().sendall(b'x' * 1000 + b'\n')
        echo.expect('failed: the line is longer than its reader')

    def test_beyond_capacity_clients_wait(self):
        self.start(ECHO_FAILURES, '[::1]:0')
        clients = [self.client() for _ in range(17)]
        for client in clients:
            client.sendall(b'hi\r\n')
        for client in clients[:16]:
            self.assertEqual(process.receive(client, 4), b'hi\r\n')
        self.assertEqual(select.select([clients[16]], [], [], 0), ([], [], []))
        clients[3].close()
        self.assertEqual(process.receive(clients[16], 4), b'hi\r\n')

    def test_it_has_manners(self):
        self.has_manners(ECHO_FAILURES, 'echo_failures')


if __name__ == '__main__':
    unittest.main()
