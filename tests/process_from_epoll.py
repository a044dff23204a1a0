# SPDX-License-Identifier: MIT
"""The programs of docs/from-epoll.md are compiled as they stand there, and the two servers do the same for the same
clients."""
import os
import re
import signal
import socket
import sys
import unittest

sys.path.insert(0, sys.path[0] + '/support')
import process  # noqa: E402
import snippets  # noqa: E402

COMPILER = sys.argv[sys.argv.index('--') + 1:]
del sys.argv[sys.argv.index('--'):]

EPOLL = snippets.page('from-epoll.md')
HEADERS = (snippets.ROOT / 'include/mote.hpp').read_text()


class FromEpoll(snippets.Programs):
    """By hand and in mote: the same for the same clients."""
    text = EPOLL
    compiler = COMPILER

    def both(self, by_hand=None, with_mote=None):
        for name, changes in (('by_hand', by_hand), ('with_mote', with_mote)):
            yield from self.servers(name, changes)

    def test_both_echo_until_the_client_has_finished(self):
        for server, address in self.both({'grace_time = 2\'000': 'grace_time = 0'}, {'2s': '0s'}):
            with process.connect(address) as first, process.connect(address) as second:
                self.assertEqual(process.exchange(second, b'hello'), b'hello')
                self.assertEqual(process.exchange(first, b'me too'), b'me too')
                first.shutdown(socket.SHUT_WR)
                self.assertEqual(first.recv(1), b'')
                self.assertEqual(process.exchange(second, b'still there'), b'still there')
            self.ends_well(server)

    def test_both_send_all_to_a_client_that_reads_late(self):
        for server, address in self.both({'grace_time = 2\'000': 'grace_time = 0'}, {'2s': '0s'}):
            with process.connect(address) as client:
                unsent = memoryview(os.urandom(1000) * 100000)  # more than all buffers on the way hold
                client.setblocking(False)
                sent = 0
                was_asleep = False
                while sent < len(unsent):
                    try:
                        sent += client.send(unsent[sent:sent + 65536])
                        was_asleep = False
                    except BlockingIOError:
                        if was_asleep:
                            break
                        process.wait_until(server.is_asleep)
                        was_asleep = True
                self.assertLess(sent, len(unsent))
                client.settimeout(process.PATIENCE)
                self.assertEqual(process.receive(client, sent), unsent[:sent])
                self.assertEqual(process.exchange(client, b'hello'), b'hello')
            self.ends_well(server)

    def test_both_leave_the_ninth_client_in_the_backlog_without_a_spin(self):
        for server, address in self.both({'grace_time = 2\'000': 'grace_time = 0'}, {'2s': '0s'}):
            clients = [process.connect(address) for _ in range(9)]
            for client in clients[:8]:
                self.assertEqual(process.exchange(client, b'x'), b'x')
            clients[8].sendall(b'waits')
            process.wait_until(server.is_asleep)
            _, before = server.usage()
            for _ in range(20):
                self.assertEqual(process.exchange(clients[0], b'x'), b'x')
            _, after = server.usage()
            self.assertLess(after - before, 60)  # a wake-up for each message, not one after the other
            self.assertTrue(snippets.is_silent(clients[8]))
            clients[0].close()
            self.assertEqual(process.receive(clients[8], 5), b'waits')
            self.ends_well(server)
            for client in clients:
                client.close()

    def test_both_put_out_who_is_idle(self):
        for server, address in self.both({'60\'000': '100', 'grace_time = 2\'000': 'grace_time = 0'},
                                         {'60s': '100ms', '2s': '0s'}):
            with process.connect(address) as client:
                self.assertEqual(process.exchange(client, b'hello'), b'hello')
                self.assertEqual(client.recv(1), b'')
            self.ends_well(server)

    def test_both_refuse_newcomers_and_let_clients_finish(self):
        for server, address in self.both({'grace_time = 2\'000': 'grace_time = 3\'600\'000'}, {'2s': '1h'}):
            with process.connect(address) as client:
                self.assertEqual(process.exchange(client, b'hello'), b'hello')
                server.signal(signal.SIGTERM)
                process.wait_until(lambda: not snippets.listens(address))
                self.assertTrue(process.refuses(address))
                self.assertEqual(process.exchange(client, b'goodbye'), b'goodbye')
            self.assertEqual(server.finish(), 0, server.output)

    def test_both_end_at_a_second_signal(self):
        for server, address in self.both({'grace_time = 2\'000': 'grace_time = 3\'600\'000'}, {'2s': '1h'}):
            with process.connect(address) as client:
                self.assertEqual(process.exchange(client, b'hello'), b'hello')
                server.signal(signal.SIGTERM)
                process.wait_until(lambda: not snippets.listens(address))
                self.ends_well(server)
                self.assertEqual(client.recv(1), b'')

    def test_in_mote_a_server_that_can_accept_no_more_asks_for_the_end_and_lets_its_clients_finish(self):
        for _, client in self.deaf_servers('with_mote', {'2s': '1h'}):
            self.assertEqual(process.exchange(client, b'hello'), b'hello')

    def with_input(self, name):
        for language in self.each(name):
            read_end, write_end = os.pipe()
            with process.Program(self.command(name, language), stdin=read_end) as program:
                os.close(read_end)
                yield program, write_end

    def test_a_reactor_runs_inside_of_another_loop(self):
        for program, write_end in self.with_input('inside'):
            os.write(write_end, b'one\n')
            program.expect('^loop: one$')
            for _ in range(3):
                program.expect('^mote: a tick$')
            os.write(write_end, b'two\n')
            program.expect('^loop: two$')
            os.close(write_end)
            self.assertEqual(program.finish(), 0, program.output)

    def test_handlers_of_another_loop_run_inside_of_a_reactor(self):
        for program, write_end in self.with_input('adopted'):
            for word in (b'one', b'two'):
                os.write(write_end, word + b'\n')
                program.expect('^handler: ' + word.decode() + '$')
            os.close(write_end)
            self.assertEqual(program.finish(), 0, program.output)

    def table(self, first):
        rows = re.search(rf'^\| {first} \|.*\n\|[-|]+\|\n((?:\|.*\n)+)', EPOLL, re.MULTILINE)[1].splitlines()
        return [[cell.strip() for cell in row.split('|')[1:-1]] for row in rows]

    def names(self, cell):
        return [part for name in re.findall(r'`([^`]+)`', cell) for part in re.findall(r'\w+', name)]

    def test_every_piece_that_is_named_is_in_the_programs_or_the_headers(self):
        by_hand = self.programs['by_hand', 'C++17']
        for piece, ours in self.table('by hand'):
            for name in self.names(piece):
                self.assertRegex(by_hand, rf'\b{name}\b')
            for name in self.names(ours):
                self.assertRegex(HEADERS + ' epoll_ctl', rf'\b{name}\b')

    def test_every_name_of_mote_in_the_table_of_libraries_is_in_the_headers(self):
        for *_, ours in self.table('libev'):
            for name in self.names(ours):
                self.assertRegex(HEADERS, rf'\b{name}\b')

    def test_every_test_that_is_named_is_there(self):
        scenarios = (snippets.ROOT / 'tests/scenarios.md').read_text()
        for *_, quoted in self.table('the bug'):
            self.assertIn(quoted, scenarios)


class Page(unittest.TestCase):
    def test_no_code_is_shown_that_is_not_run(self):
        with open(__file__, encoding='ascii') as file:
            self.assertEqual(snippets.not_run(EPOLL, set(re.findall(r"'(\w+)'", file.read()))), [])

    def test_lines_are_no_longer_than_120(self):
        self.assertEqual(snippets.long_lines(EPOLL), [])


if __name__ == '__main__':
    unittest.main()
