# SPDX-License-Identifier: MIT
"""The README's program compiles as it stands there, serves many at once, waits where it is full, and ends at Ctrl-C. And
what the README says of how it is used is there."""
import json
import os
import pathlib
import re
import resource
import signal
import socket
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path[:0] = [sys.path[0] + '/support', str(ROOT / 'bench/support')]
import comparison  # noqa: E402
import process  # noqa: E402

COMPILER = sys.argv[sys.argv.index('--') + 1:]
del sys.argv[sys.argv.index('--'):]

README = (ROOT / 'README.md').read_text()
PROGRAM = README.split('<!-- program -->\n```cpp\n')[1].split('```')[0]
CLIENTS = int(re.search(r'TaskPool<Client, (\d+)>', PROGRAM)[1])


def free_port():
    with socket.create_server(('127.0.0.1', 0)) as probe:
        return probe.getsockname()[1]


class Program(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        at = tempfile.TemporaryDirectory()
        cls.addClassCleanup(at.cleanup)
        cls.port = free_port()  # one that is free, in place of the one in the text
        if '7777' not in PROGRAM:
            raise AssertionError('the program listens elsewhere')
        source = pathlib.Path(at.name, 'program.cpp')
        source.write_text(PROGRAM.replace('7777', str(cls.port)))
        cls.program = str(source.with_suffix(''))
        done = process.run([*COMPILER, '-static', '-Wall', '-Wextra', '-Wpedantic', '-Wconversion', '-Wshadow', '-Werror',
                            '-o', cls.program, str(source)], timeout=process.PATIENCE * 5)
        if done.returncode != 0:
            raise AssertionError(done.stderr)

    def start(self, **options):
        """It prints nothing when it listens: asked until it does."""
        server = self.enterContext(process.Program(process.command(self.program), **options))
        process.wait_until(lambda: self.listens() or server.process.poll() is not None)
        self.assertTrue(self.listens(), server.output)
        return server

    def listens(self):
        with open('/proc/net/tcp', encoding='ascii') as file:
            return f'0100007F:{self.port:04X} 00000000:0000 0A' in file.read()

    def connect(self):
        return self.enterContext(process.connect(('127.0.0.1', self.port)))

    def echoes(self, client, data=b'hello'):
        self.assertEqual(process.exchange(client, data), data)

    def ends(self, server, code=0):
        self.assertEqual(server.finish(), code, server.output)

    def fill(self, count):
        clients = [self.connect() for _ in range(count)]
        for client in clients:
            self.echoes(client)
        return clients

    def test_its_program_echoes_until_it_is_interrupted(self):
        server = self.start()
        client = self.connect()
        client.sendall(b'hello')
        client.shutdown(socket.SHUT_WR)
        self.assertEqual(client.makefile('rb').read(), b'hello')
        server.signal(signal.SIGINT)
        self.ends(server)

    def test_its_program_serves_many_at_once_and_a_silent_one_or_one_that_does_not_read_holds_up_nobody(self):
        server = self.start()
        silent, deaf, *others = [self.connect() for _ in range(8)]
        deaf.setblocking(False)
        sent = 0
        with self.assertRaises(BlockingIOError):  # its own answers fill its socket, and then the server waits
            while True:
                sent += deaf.send(bytes(65536))
        for client in reversed(others):
            self.echoes(client)
        self.echoes(silent, b'not any more')
        deaf.settimeout(process.PATIENCE)
        self.assertEqual(len(process.receive(deaf, sent)), sent)
        server.signal(signal.SIGTERM)
        for client in (silent, deaf, *others):
            client.close()
        self.ends(server)

    def test_its_program_lets_clients_wait_while_it_is_full(self):
        server = self.start()
        clients = self.fill(CLIENTS)
        late = self.connect()
        late.sendall(b'me too')
        for client in clients:
            self.echoes(client)
        late.setblocking(False)
        with self.assertRaises(BlockingIOError):
            late.recv(1)
        late.settimeout(process.PATIENCE)
        clients[CLIENTS // 2].close()
        self.assertEqual(process.receive(late, 6), b'me too')
        server.signal(signal.SIGINT)
        for client in (late, *clients):
            client.close()
        self.ends(server)

    def test_its_program_goes_on_when_the_system_has_no_descriptor_left(self):
        def few():
            resource.setrlimit(resource.RLIMIT_NOFILE, (10, 10))
        server = self.start(preexec_fn=few)
        room = 10 - server.descriptors()
        clients = self.fill(room)
        late = self.connect()
        late.sendall(b'me too')
        for client in clients:
            self.echoes(client)
        clients[0].close()
        self.assertEqual(process.receive(late, 6), b'me too')
        server.signal(signal.SIGINT)
        for client in (late, *clients):
            client.close()
        self.ends(server)

    def test_its_program_goes_on_when_a_client_is_reset(self):
        server = self.start()
        rude, other = self.connect(), self.connect()
        self.echoes(rude)
        rude.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b'\1\0\0\0\0\0\0\0')
        rude.close()
        self.echoes(other)
        server.signal(signal.SIGINT)
        other.close()
        self.ends(server)

    def test_its_program_lets_clients_finish_and_refuses_newcomers(self):
        server = self.start()
        client = self.connect()
        self.echoes(client)
        server.signal(signal.SIGINT)
        process.wait_until(lambda: not self.listens())
        self.assertTrue(process.refuses(('127.0.0.1', self.port)))
        self.echoes(client, b'goodbye')
        client.close()
        self.ends(server)

    def test_its_program_ends_in_time_although_it_is_full_of_clients_who_stay(self):
        server = self.start()
        self.fill(CLIENTS)
        server.signal(signal.SIGTERM)
        self.ends(server)

    def test_its_program_ends_with_an_error_when_it_can_accept_no_more(self):
        server = self.start()
        client = self.connect()
        self.echoes(client)
        process.deafen(self, server, self.port)
        process.wait_until(lambda: not self.listens())
        self.echoes(client, b'let me finish')
        self.ends(server, 1)  # though the client stays
        self.assertRegex(server.output, '^accept: ')

    def test_its_program_says_why_it_cannot_listen(self):
        self.start()
        done = process.run(process.command(self.program))
        self.assertEqual(done.returncode, 1)
        self.assertRegex(done.stderr, '^listen: .')


class Pages(unittest.TestCase):
    """The pages that stand at the root: each file that one names is there."""

    def test_every_link_leads_to_a_file(self):
        for page in ('README.md', 'CONTRIBUTING.md', 'SECURITY.md', 'CHANGELOG.md'):
            for link in re.findall(r'\]\((?!https?:)([^)#]+)', (ROOT / page).read_text()):
                with self.subTest(page=page, link=link):
                    self.assertTrue((ROOT / link).exists())

    def test_the_comparison_is_what_has_been_measured(self):
        results = json.loads((ROOT / 'docs/bench/results.json').read_text())
        for page, bench in (('README.md', 'bench'), ('docs/performance.md', '../bench')):
            self.assertIn(f'-->\n{comparison.text(results, bench).strip()}\n<!-- comparison: end -->',
                          (ROOT / page).read_text(), 'run bench/run report')

    def test_the_table_of_examples_is_complete(self):
        named = set(re.findall(r'^\| \[(\w+\.cpp)\]', README, re.MULTILINE))
        self.assertEqual(named, {file.name for file in (ROOT / 'examples').glob('*.cpp')})

    def test_prose_fits_its_lines(self):
        for page in ('README.md', 'CONTRIBUTING.md', 'SECURITY.md', 'CHANGELOG.md'):
            prose = re.sub(r'^```.*?^```$|^ *\|[^\n]*$', '', (ROOT / page).read_text(), flags=re.MULTILINE | re.DOTALL)
            self.assertEqual([line for line in prose.splitlines() if len(line) > 120], [], page)


unittest.main()
