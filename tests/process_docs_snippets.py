# SPDX-License-Identifier: MIT
"""What docs/awaiting.md, docs/from-asyncio.md and docs/operations.md show is what is compiled and run, and does what they
say of it."""
import asyncio
import builtins
import errno
import os
import pathlib
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

TESTS = pathlib.Path(__file__).resolve().parent
ROOT = TESTS.parent
PAGES = {name: (ROOT / 'docs' / name).read_text() for name in ('awaiting.md', 'from-asyncio.md', 'operations.md')}
ALL = '\n'.join(PAGES.values())
HEADERS = (ROOT / 'include/mote.hpp').read_text()

PROGRAMS = snippets.programs(ALL)


class Snippets(snippets.Snippets):
    text = ALL
    compiler = COMPILER

    def servers(self, name):
        """Each of them, started, and where it listens: they print nothing then, so they are asked until they do."""
        for language in self.each(name):
            port, = snippets.free_ports(1)
            with process.Program(self.command(name, language, {7777: port})) as server:
                address = '127.0.0.1', port
                self.listening(server, address)
                yield server, address

    def echoes(self, client, data=b'hello\n'):
        self.assertEqual(process.exchange(client, data), data)

    def serves_many(self, name):
        for _, address in self.servers(name):
            with process.connect(address) as first, process.connect(address) as second:
                self.echoes(second)
                self.echoes(first)
                first.shutdown(socket.SHUT_WR)
                self.assertEqual(first.recv(1), b'')
                self.echoes(second, b'still there\n')
            with process.connect(address) as third:
                self.echoes(third)

    # docs/from-asyncio.md, step by step

    def test_step_1_serves_one_client_after_the_other(self):
        for _, address in self.servers('blocking'):
            with process.connect(address) as first, process.connect(address) as second:
                self.echoes(first)
                second.sendall(b'me too')
                for _ in range(20):
                    self.echoes(first)
                self.assertTrue(snippets.is_silent(second))
                first.close()
                self.assertEqual(process.receive(second, 6), b'me too')

    def test_step_2_serves_many_without_waiting(self):
        self.serves_many('non_blocking')

    def test_step_3_serves_many_with_a_selector(self):
        self.serves_many('selector')

    def test_step_4_serves_many_with_callbacks(self):
        self.serves_many('event_loop')

    def test_step_5_serves_many_with_tasks(self):
        self.serves_many('tasks')

    def test_step_5_serves_many_with_coroutines(self):
        self.serves_many('coroutines')

    def test_step_5_leaves_the_ninth_client_in_the_backlog(self):
        for name, language in (('tasks', 'C++17'), ('coroutines', 'C++20')):
            port, = snippets.free_ports(1)
            with process.Program(self.command(name, language, {7777: port})):
                process.wait_until(lambda: snippets.listens(('127.0.0.1', port)))
                clients = [process.connect(('127.0.0.1', port)) for _ in range(9)]
                for client in clients[:8]:
                    self.echoes(client)
                clients[8].sendall(b'waits')
                for _ in range(20):
                    self.echoes(clients[0])
                self.assertTrue(snippets.is_silent(clients[8]))
                clients[0].close()
                self.assertEqual(process.receive(clients[8], 5), b'waits')
                for client in clients:
                    client.close()

    def test_step_6_tells_of_a_task_that_fails_and_goes_on(self):
        for server, address in self.servers('errors'):
            with process.connect(address) as good, process.connect(address) as bad:
                self.echoes(good, b'short\n')
                bad.sendall(b'much too long for anybody here\n')
                server.expect('^a task failed: ')
                self.assertTrue(self.is_hung_up(bad))
                self.echoes(good, b'still here\n')

    def is_hung_up(self, client):
        try:
            return client.recv(1) == b''
        except ConnectionResetError:  # not all that was sent had been read
            return True

    def test_step_7_answers_a_signal_and_ends_at_another(self):
        for server, address in self.servers('signals'):
            with process.connect(address) as first, process.connect(address) as second:
                self.echoes(first)
                self.echoes(second)
                server.signal(signal.SIGUSR1)
                server.expect('^2 clients$')
                server.signal(signal.SIGTERM)
                self.assertEqual(server.finish(), 0, server.output)

    def test_step_8_lets_clients_finish_and_refuses_newcomers(self):
        for server, address in self.servers('shutdown'):
            with process.connect(address) as client:
                self.echoes(client)
                server.signal(signal.SIGTERM)
                # asyncio forgets a connection that it accepts in the turn of close(): nobody knocks before that
                process.wait_until(lambda: not snippets.listens(address))
                self.assertTrue(process.refuses(address))
                self.echoes(client)
            self.assertEqual(server.finish(), 0, server.output)
            self.assertEqual(server.output, '0 cancelled\n')

    def test_step_8_cancels_who_does_not_finish(self):
        for server, address in self.servers('shutdown'):
            with process.connect(address) as client:
                self.echoes(client)
                server.signal(signal.SIGINT)
                self.assertEqual(server.finish(), 0, server.output)
                self.assertEqual(server.output, '1 cancelled\n')

    def test_step_9_asks_three_at_once(self):
        for language in self.each('together'):
            absent, = snippets.free_ports(1)
            with socket.create_server(('127.0.0.1', 0)) as warm, socket.create_server(('127.0.0.1', 0)) as silent:
                ports = {7771: warm.getsockname()[1], 7772: silent.getsockname()[1], 7773: absent}
                with process.Program(self.command('together', language, ports)) as program:
                    warm.settimeout(process.PATIENCE)
                    asked, _ = warm.accept()
                    with asked:
                        self.assertEqual(process.receive(asked, 13), b'temperature?\n')
                        asked.sendall(b'21\n')
                        self.assertEqual(program.finish(), 0, program.output)
                    silent.settimeout(process.PATIENCE)
                    in_vain, _ = silent.accept()
                    with in_vain:
                        self.assertEqual(process.receive(in_vain, 14), b'temperature?\n')
                    expected = snippets.output(ALL, 'together', language)
                    for written, port in ports.items():
                        expected = expected.replace(f'{written}:', f'{port}:')
                    self.assertEqual(program.output, expected)

    # docs/awaiting.md

    def test_frames_come_from_the_pools_that_the_page_says(self):
        self.prints_what_the_page_says('pools')

    def test_a_shielded_cleanup_runs_as_the_page_says(self):
        self.prints_what_the_page_says('cleanup')

    def test_a_group_ends_as_the_page_says(self):
        self.prints_what_the_page_says('group')

    def test_a_higher_priority_is_stepped_first(self):
        self.prints_what_the_page_says('priorities')

    def test_an_operation_of_the_users_own_waits_and_is_abandoned_as_the_page_says(self):
        self.prints_what_the_page_says('operation')

    def test_an_operation_that_is_made_of_others_gives_what_the_page_says(self):
        self.prints_what_the_page_says('composed')

    def test_the_recipe_tells_each_coroutines_frame_whatever_is_optimised(self):
        for level in ('-O0', '-O3'):
            done = process.run(self.command('frames', 'C++20', options=[level]))
            self.assertEqual(done.returncode, 0, done.stdout)
            serve, measure = map(int, re.findall(r'needs +(\d+) of', done.stdout))
            self.assertGreater(serve, 512)
            self.assertLess(measure, 512)

    def test_the_recipe_fails_where_a_frame_is_too_large(self):
        done = process.run(self.command('frames', 'C++20', {1024: 500}))
        self.assertEqual(done.returncode, 1, done.stdout)

    def test_a_service_feeds_systemds_watchdog(self):
        for language in self.each('watchdog'):
            path = os.path.join(self.at.name, 'notify')
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
                systemd.bind(path)
                systemd.settimeout(process.PATIENCE)
                environment = {**os.environ, 'NOTIFY_SOCKET': path, 'WATCHDOG_USEC': '40000'}
                environment.pop('WATCHDOG_PID', None)
                with process.Program(self.command('watchdog', language), env=environment) as service:
                    self.assertEqual(systemd.recv(100), b'READY=1')
                    for _ in range(3):
                        self.assertEqual(systemd.recv(100), b'WATCHDOG=1')
                    service.signal(signal.SIGTERM)
                    told = systemd.recv(100)
                    while told == b'WATCHDOG=1':
                        told = systemd.recv(100)
                    self.assertEqual(told, b'STOPPING=1')
                    self.assertEqual(service.finish(), 0, service.output)
            os.unlink(path)

    def test_a_service_runs_without_systemd_too(self):
        environment = {name: value for name, value in os.environ.items() if name != 'NOTIFY_SOCKET'}
        with process.Program(self.command('watchdog', 'C++20'), env=environment) as service:
            process.wait_until(lambda: service.is_asleep() and self.catches(service, signal.SIGTERM))
            service.signal(signal.SIGTERM)
            self.assertEqual(service.finish(), 0, service.output)

    def catches(self, program, number):
        with open(f'/proc/{program.pid}/status', encoding='ascii') as file:
            mask = int(re.search(r'^SigCgt:\s+(\w+)', file.read(), re.MULTILINE)[1], 16)
        return mask >> (number - 1) & 1 == 1


class Tables(unittest.TestCase):
    """The rows of docs/awaiting.md against the two files in which they are compiled and run."""
    maxDiff = None

    def rows(self):
        rows = []
        for table in re.findall(r'^\| what \| in a StateMachine .*\n\|[-|]+\|\n((?:\|.*\n)+)', PAGES['awaiting.md'],
                                re.MULTILINE):
            for row in table.splitlines():
                what, machine, coroutine, gives, errors = (cell.strip() for cell in row.split('|')[1:-1])
                rows.append((what, machine.strip('`'), coroutine.strip('`'), gives.strip('`'), errors))
        self.assertGreater(len(rows), 30)
        return rows

    def lines(self, name):
        """A file's statements, one a line, whatever the formatter made of those that are too long."""
        text = (TESTS / name).read_text()
        return [line.strip() for line in re.sub(r'([(,=])\n\s+', lambda m: m[1] + ('' if m[1] == '(' else ' '),
                                                text).splitlines()]

    def test_what_a_state_machine_awaits_is_what_the_page_shows(self):
        lines = self.lines('test_awaiting.cpp') + self.lines('coroutine_awaiting.cpp')
        awaits = {line for line in lines if re.match(r'MOTE_(AWAIT|YIELD)\(|self = &task', line)}
        self.assertEqual({machine for _, machine, *_ in self.rows()}, awaits)

    def test_what_a_coroutine_awaits_is_what_the_page_shows_with_its_type(self):
        lines = self.lines('coroutine_awaiting.cpp')
        awaits = set()
        for line, following in zip(lines, lines[1:]):
            if re.match(r'(auto|mote::Task&) \w+ = co_await ', line):
                name = line.split()[1]
                gives = re.fullmatch(rf'gives<(.*)>\({name}\);', following)
                self.assertTrue(gives, line)
                awaits.add((line, gives[1].replace('mote::', '')))
        self.assertEqual({(coroutine, gives) for _, _, coroutine, gives, _ in self.rows()}, awaits)

    def test_a_state_machines_results_have_the_same_types(self):
        text = (TESTS / 'test_awaiting.cpp').read_text() + (TESTS / 'coroutine_awaiting.cpp').read_text()
        for _, machine, _, gives, _ in self.rows():
            if not machine.startswith('MOTE_AWAIT'):
                continue
            name = re.match(r'MOTE_AWAIT\((\w+),', machine)[1]
            declared = re.findall(rf'^  mote::(Result<.*>) {name};$', text, re.MULTILINE)
            self.assertIn(gives, [each.replace('mote::', '') for each in declared], machine)

    def test_no_operation_of_the_headers_is_left_out(self):
        inner = {'trying', 'sending', 'await_transform', 'await_resume'}
        offered = set(re.findall(r'^ *(?:inline )?auto (\w+)\(', HEADERS, re.MULTILINE)) - inner
        offered |= set(re.findall(r'^template <class\.?\.?\.? Op> detail::\w+<Op(?:\.\.\.)?> (\w+)\(', HEADERS, re.MULTILINE))
        self.assertGreater(len(offered), 25)
        shown = ' '.join(f'{machine} {coroutine}' for _, machine, coroutine, _, _ in self.rows())
        self.assertEqual([name for name in sorted(offered) if not re.search(rf'\b{name}\(', shown)], [])

    def test_every_error_has_a_name_that_the_headers_know(self):
        named = {name for *_, errors in self.rows() for name in re.findall(r'\bE[A-Z]{3,}\b', errors)}
        self.assertGreater(len(named), 20)
        self.assertEqual([name for name in sorted(named) if not hasattr(errno, name) or name not in HEADERS], [])


class Pages(unittest.TestCase):
    def test_no_code_is_shown_that_is_not_run(self):
        for name, page in PAGES.items():
            self.assertEqual(len(re.findall(r'^```(?:cpp|python)$', page, re.MULTILINE)), len(snippets.PROGRAM.findall(page)), name)
        run = set(re.findall(r"'(\w+)'", pathlib.Path(__file__).read_text()))
        self.assertEqual({name for name, _ in PROGRAMS} - run, set())

    def test_the_readmes_coroutine_is_one_of_those_that_are_run(self):
        shown = re.findall(r'(?<!<!-- program -->\n)```cpp\n(.*?)```', (ROOT / 'README.md').read_text(), re.DOTALL)
        self.assertEqual(len(shown), 1)
        self.assertIn(shown[0], PROGRAMS['coroutines', 'C++20'])

    def test_every_step_has_both_languages(self):
        steps = re.split(r'^## \d\. ', PAGES['from-asyncio.md'], flags=re.MULTILINE)[1:]
        self.assertEqual(len(steps), 9)
        for step in steps:
            self.assertIn('\n```python\n', step)
            self.assertIn('\n```cpp\n', step)

    def names(self):
        """The table of names: (asyncio's, mote's) of each row, those in code."""
        table = re.search(r'^\| asyncio \| mote \|.*\n\|[-|]+\|\n((?:\|.*\n)+)', PAGES['from-asyncio.md'], re.MULTILINE)[1]
        return [[re.findall(r'`([^`]+)`', cell) for cell in row.split('|')[1:4]] for row in table.splitlines()]

    def test_every_name_of_asyncio_in_the_table_is_there(self):
        loop = asyncio.new_event_loop()
        self.addCleanup(loop.close)
        for theirs, _, _ in self.names():
            for name in theirs:
                root, *rest = re.sub(r'\(.*', '', name).split('.')
                here = {'asyncio': asyncio, 'loop': loop}.get(root, builtins)
                for part in rest:
                    with self.subTest(name=name):
                        here = getattr(here, part)

    def test_every_name_of_mote_in_the_table_is_in_the_headers(self):
        for _, ours, notes in self.names():
            for name in ours:
                for part in re.findall(r'\w+', name):
                    with self.subTest(name=name):
                        self.assertRegex(HEADERS, rf'\b{part}\b')

    def test_the_limits_that_are_named_are_those_of_the_headers(self):
        named = re.findall(r'`limits::(\w+)`,\s+which\s+is\s+(\d+)', ALL)
        self.assertEqual(len(named), 3)
        for name, value in named:
            self.assertIn(f'#define MOTE_LIMIT_{name.upper()} {value}\n', HEADERS)

    def test_prose_fits_its_lines(self):
        for name, page in PAGES.items():
            prose = re.sub(r'^```.*?^```$|^\|.*$', '', page, flags=re.MULTILINE | re.DOTALL)
            self.assertEqual([line for line in prose.splitlines() if len(line) > 120], [], name)


if __name__ == '__main__':
    unittest.main()
