# SPDX-License-Identifier: MIT
"""The echo examples as processes: real sockets, real signals, both selectors, the same tests for both."""
import random
import resource
import select
import signal
import socket
import struct
import sys
import time
import unittest

sys.path.insert(0, sys.path[0] + '/support')
import process  # noqa: E402

ECHO_COROUTINE_TWO_CLIENTS = process.command(sys.argv.pop())
ECHO_COROUTINE = process.command(sys.argv.pop())
ECHO_TWO_CLIENTS = process.command(sys.argv.pop())
ECHO = process.command(sys.argv.pop())
USAGE = ('usage: {} [--grace SECONDS] [--selector epoll|poll] [--quiet] [ADDRESS:PORT]\n'
         'ADDRESS:PORT is 127.0.0.1:8000 if it is not given; [::1]:8000 and unix:@name are others\n')


class EchoOnEpoll(unittest.TestCase):
    name, program, two_clients = 'echo', ECHO, ECHO_TWO_CLIENTS
    selector = 'epoll'

    def start(self, *arguments, program=None, at='127.0.0.1:0'):
        echo = process.Program([*(program or self.program), '--selector', self.selector, *arguments, at])
        self.addCleanup(echo.__exit__)
        self.at = echo.address()
        with process.connect(self.at) as client:  # so that it is known to be running, and to handle signals
            client.shutdown(socket.SHUT_WR)
            self.assertEqual(client.recv(1), b'')
        return echo

    def end(self, echo):
        """How the shutdown went, as its last line says."""
        return echo.output.splitlines()[-1].removeprefix(f'{self.name}: ')

    def client(self):
        client = process.connect(self.at)
        self.addCleanup(client.close)
        return client

    # ---- what it prints

    def test_it_says_where_it_listens_its_selector_its_capacity_and_its_memory(self):
        echo = process.Program([*self.program, '--selector', self.selector, '127.0.0.1:0'])
        self.addCleanup(echo.__exit__)
        found = echo.expect(rf'^{self.name}: listening on 127\.0\.0\.1:\d+, selector (\w+), at most 64 clients, '
                            r'(\d+) bytes of static memory$')
        self.assertEqual(found[1], self.selector)
        self.assertGreater(int(found[2]), 64 * 1024)

    def test_it_reports_how_the_shutdown_went(self):
        echo = self.start()
        echo.signal()
        self.assertEqual(echo.finish(), 0)
        self.assertEqual(self.end(echo), 'Interrupt: the acceptor and 0 clients: 1 drained, 0 cancelled, 0 destroyed')

    def test_quiet_prints_nothing(self):
        with socket.socket() as probe:
            probe.bind(('127.0.0.1', 0))
            self.at = probe.getsockname()
        arguments = ['--quiet', '--grace', '0', '--selector', self.selector, '%s:%d' % self.at]
        with process.Program([*self.program, *arguments]) as echo:
            process.wait_until(lambda: not process.refuses(self.at))
            self.assertEqual(process.exchange(self.client(), b'hello'), b'hello')
            echo.signal(signal.SIGTERM)
            self.assertEqual(echo.finish(), 0)
            self.assertEqual(echo.output, '')

    # ---- echoing

    def test_random_bytes_in_odd_chunks_come_back_byte_for_byte(self):
        self.start()
        generator = random.Random(1)
        client = self.client()
        for size in [1, 2, 3, 1023, 1024, 1025, 2047, 2049, *(generator.randrange(1, 20000) for _ in range(200))]:
            data = generator.randbytes(size)
            self.assertEqual(process.exchange(client, data), data)

    def test_a_half_closed_client_gets_all_its_bytes_and_then_the_end(self):
        self.start()
        client = self.client()
        data = random.Random(2).randbytes(60000)
        client.sendall(data)
        client.shutdown(socket.SHUT_WR)
        self.assertEqual(process.receive(client, len(data) + 1), data)

    def test_a_slow_reader_holds_up_nobody_and_no_memory_grows(self):
        echo = self.start()
        others = self.client()
        process.exchange(others, b'warm')
        before = echo.memory()
        slow = self.client()
        slow.setblocking(False)
        block = random.Random(3).randbytes(65536)
        sent = 0
        while select.select([], [slow], [], 0.5)[1]:  # until the buffers of both sides are full
            sent += slow.send(block[sent % len(block):])
        self.assertGreater(sent, len(block))
        for i in range(200):
            message = b'%d' % i
            self.assertEqual(process.exchange(others, message), message)
        self.assertLess(echo.memory() - before, process.MEMORY_SLACK)
        slow.settimeout(process.PATIENCE)
        slow.shutdown(socket.SHUT_WR)
        back = process.receive(slow, sent + 1)
        self.assertEqual(back, (block * (sent // len(block) + 1))[:sent])

    def test_beyond_capacity_clients_wait_and_are_served_when_others_leave(self):
        self.start(program=self.two_clients)
        first, second, third, fourth = (self.client() for _ in range(4))
        self.assertEqual(process.exchange(first, b'1'), b'1')
        third.sendall(b'3')
        fourth.sendall(b'4')
        for _ in range(50):
            self.assertEqual(process.exchange(second, b'2'), b'2')
        self.assertEqual(select.select([third, fourth], [], [], 0), ([], [], []))
        first.close()
        self.assertEqual(process.receive(third, 1), b'3')
        self.assertEqual(process.exchange(second, b'2'), b'2')
        self.assertEqual(select.select([fourth], [], [], 0), ([], [], []))
        second.close()
        self.assertEqual(process.receive(fourth, 1), b'4')

    def test_it_serves_ipv6(self):
        try:
            with socket.socket(socket.AF_INET6) as probe:
                probe.bind(('::1', 0))
        except OSError:
            self.skipTest('no IPv6 here')
        echo = self.start(at='[::1]:0')
        self.assertIn('listening on [::1]:', echo.output)
        self.assertEqual(process.exchange(self.client(), b'six'), b'six')

    def test_ten_thousand_short_connections(self):
        echo = self.start()
        self.assertEqual(process.exchange(self.client(), b'x'), b'x')
        before = echo.descriptors()
        for number in range(200):
            clients = [process.connect(self.at) for _ in range(50)]
            for client in clients:
                client.sendall(b'%d' % number)
            for client in clients:
                self.assertEqual(process.receive(client, len(str(number))), b'%d' % number)
                client.close()
        process.wait_until(lambda: echo.descriptors() == before)

    def test_more_clients_than_it_has_room_for_are_all_served(self):
        self.start()
        clients = [self.client() for _ in range(150)]
        for client in clients:
            client.sendall(b'echo')
            client.shutdown(socket.SHUT_WR)
        for client in clients:
            self.assertEqual(process.receive(client, 5), b'echo')

    def test_clients_that_reset_their_connection_disturb_nobody(self):
        echo = self.start()
        other = self.client()
        self.assertEqual(process.exchange(other, b'x'), b'x')
        before = echo.descriptors()
        for _ in range(200):
            client = process.connect(self.at)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
            client.sendall(b'y' * 5000)
            client.close()
            self.assertEqual(process.exchange(other, b'x'), b'x')
        process.wait_until(lambda: echo.descriptors() == before)

    def test_out_of_descriptors_it_waits_without_spinning_and_recovers(self):
        echo = self.start()
        first = self.client()
        self.assertEqual(process.exchange(first, b'x'), b'x')
        resource.prlimit(echo.pid, resource.RLIMIT_NOFILE, (echo.highest_descriptor() + 1,) * 2)
        used = echo.usage()[0]
        waiting = self.client()
        waiting.sendall(b'late')
        self.assertEqual(select.select([waiting], [], [], 1), ([], [], []))
        self.assertLess(echo.usage()[0] - used, 20)  # of 100 ticks
        first.close()
        self.assertEqual(process.receive(waiting, 4), b'late')

    def test_when_idle_it_uses_no_processor_time_and_never_wakes(self):
        echo = self.start()
        clients = [self.client() for _ in range(10)]
        for client in clients:
            self.assertEqual(process.exchange(client, b'x'), b'x')
        process.wait_until(echo.is_asleep)
        before = echo.usage()
        self.assertEqual(select.select(clients, [], [], 1), ([], [], []))
        self.assertEqual(echo.usage(), before)

    # ---- the shutdown

    def stop_with_a_client_connected(self, number):
        echo = self.start('--grace', '60')
        client = self.client()
        self.assertEqual(process.exchange(client, b'before'), b'before')
        echo.signal(number)
        process.wait_until(lambda: process.refuses(self.at))
        return echo, client

    def test_after_a_signal_newcomers_are_refused_and_clients_may_go_on(self):
        for number, name in ((signal.SIGINT, 'Interrupt'), (signal.SIGTERM, 'Terminated')):
            with self.subTest(name):
                echo, client = self.stop_with_a_client_connected(number)
                for _ in range(100):
                    self.assertEqual(process.exchange(client, b'still there'), b'still there')
                client.close()
                self.assertEqual(echo.finish(), 0)
                self.assertRegex(self.end(echo), rf'^{name}: the acceptor and \d+ clients?: \d+ drained, 0 cancelled, ')

    def test_when_the_grace_period_is_over_those_that_are_left_are_cut_off_together(self):
        for count, who in ((1, '1 client'), (20, '20 clients')):
            echo = self.start('--grace', '0.5')
            clients = [self.client() for _ in range(count)]
            for client in clients:
                self.assertEqual(process.exchange(client, b'x'), b'x')
            began = time.monotonic()
            echo.signal()
            self.assertEqual(echo.finish(), 0)
            took = time.monotonic() - began
            self.assertGreaterEqual(took, 0.5)
            self.assertLess(took, 5)  # and not 20 grace periods
            self.assertEqual(self.end(echo),
                             f'Interrupt: the acceptor and {who}: 1 drained, {count} cancelled, 0 destroyed')
            for client in clients:
                self.assertEqual(client.recv(1), b'')

    def test_a_second_signal_forces_the_end(self):
        echo, client = self.stop_with_a_client_connected(signal.SIGINT)
        echo.signal(signal.SIGTERM)
        self.assertEqual(echo.finish(), 0)
        # Those that asked whether it still listens have been drained, too.
        self.assertRegex(self.end(echo), r'^Interrupt, forced: the acceptor and \d+ clients?: \d+ drained, 1 cancelled, ')
        self.assertEqual(client.recv(1), b'')

    def test_without_clients_a_signal_ends_it_at_once(self):
        echo = self.start('--grace', '3600')
        echo.signal(signal.SIGTERM)
        self.assertEqual(echo.finish(), 0)

    def test_with_a_full_pool_and_clients_in_the_backlog_it_ends_too(self):
        echo = self.start('--grace', '0', program=self.two_clients)
        clients = [self.client() for _ in range(5)]
        for client in clients[:2]:
            self.assertEqual(process.exchange(client, b'x'), b'x')
        echo.signal()
        self.assertEqual(echo.finish(), 0)
        self.assertEqual(self.end(echo), 'Interrupt: the acceptor and 2 clients: 0 drained, 3 cancelled, 0 destroyed')

    # ---- what goes wrong

    def test_a_port_in_use_is_said_and_ends_in_1(self):
        self.start()
        done = process.run([*self.program, '--selector', self.selector, '%s:%d' % self.at])
        self.assertEqual((done.stdout, done.stderr, done.returncode),
                         ('', f'{self.name}: cannot listen on 127.0.0.1:{self.at[1]}: Address already in use\n', 1))

    def test_an_address_of_another_machine_is_said_and_ends_in_1(self):
        done = process.run([*self.program, '--selector', self.selector, '192.0.2.1:0'])
        self.assertEqual((done.stderr, done.returncode),
                         (f'{self.name}: cannot listen on 192.0.2.1:0: Cannot assign requested address\n', 1))


class EchoOnPoll(EchoOnEpoll):
    selector = 'poll'


class CoroutineOnEpoll(EchoOnEpoll):
    name, program, two_clients = 'echo_coroutine', ECHO_COROUTINE, ECHO_COROUTINE_TWO_CLIENTS


class CoroutineOnPoll(CoroutineOnEpoll):
    selector = 'poll'


class Arguments(unittest.TestCase):
    name, program = 'echo', ECHO

    def test_help_is_printed_on_demand(self):
        for option in ('--help', '-h'):
            done = process.run([*self.program, option])
            self.assertEqual((done.stdout, done.stderr, done.returncode), (USAGE.format(self.name), '', 0))

    def test_what_it_does_not_understand_ends_in_2_with_its_usage(self):
        for arguments in (['8000'], ['-1'], [''], ['127.0.0.1:1', '127.0.0.1:2'], ['--port', '1'], ['-x'],
                          ['localhost:8000'], ['1.2.3:80'], ['::1:80'], ['[::1]'], ['a' * 500],
                          ['--grace'], ['--grace', '-1'], ['--grace', 'two'],
                          ['--grace', '1e3'], ['--grace', '1.2.3'], ['--grace', '.'], ['--grace', ''],
                          ['--grace', 'inf'],
                          ['--grace', '0x10'], ['--grace', ' 1'], ['--grace', '9999999999999'],
                          ['--selector', 'select'], ['--selector']):
            with self.subTest(arguments):
                done = process.run([*self.program, *arguments])
                self.assertEqual((done.stdout, done.returncode), ('', 2))
                self.assertTrue(done.stderr.endswith(USAGE.format(self.name)), done.stderr)
                self.assertIn(f'{self.name}: ', done.stderr)  # getopt's begin with the program's name

    def test_what_is_wrong_is_said_in_words(self):
        for argument, why in (('localhost:8000', 'numeric addresses only, such as 127.0.0.1 or ::1'),
                              ('8000', 'not ADDRESS:PORT, such as 127.0.0.1:8000 or [::1]:8000, nor unix:PATH'),
                              ('127.0.0.1:65536', 'the port is not a number from 0 to 65535'),
                              ('[fe80::1%none]:80', 'there is no such network interface'),
                              ('unix:/' + 'x' * 107, 'the path has more than 107 bytes'),
                              ('--grace=two', 'the grace period is a number of seconds'),
                              ('--selector=select', 'the selector is epoll or poll')):
            done = process.run([*self.program, argument])
            what = argument.partition('=')[2] or argument
            self.assertEqual(done.stderr, f"{self.name}: '{what}': {why}\n{USAGE.format(self.name)}")


class CoroutineArguments(Arguments):
    name, program = 'echo_coroutine', ECHO_COROUTINE


if __name__ == '__main__':
    unittest.main()
