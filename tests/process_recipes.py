# SPDX-License-Identifier: MIT
"""The programs of docs/recipes.md are compiled as they stand there, run with real serial lines, sockets, threads, files
and signals, and do what the page says of them."""
import configparser
import os
import pty
import re
import resource
import signal
import socket
import sys
import termios
import unittest

sys.path.insert(0, sys.path[0] + '/support')
import process  # noqa: E402
import snippets  # noqa: E402

COMPILER = sys.argv[sys.argv.index('--') + 1:]
del sys.argv[sys.argv.index('--'):]

PAGE = snippets.page('recipes.md')


def datagram_socket(port=0):
    receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    receiver.bind(('127.0.0.1', port))
    receiver.settimeout(process.PATIENCE)
    return receiver


def catches(program, number):
    with open(f'/proc/{program.pid}/status', encoding='ascii') as file:
        mask = int(re.search(r'^SigCgt:\s+(\w+)', file.read(), re.MULTILINE)[1], 16)
    return mask >> (number - 1) & 1 == 1


class Recipes(snippets.Programs):
    compiler = COMPILER
    text = PAGE

    # ---- a serial sensor to UDP

    def test_a_sensors_lines_become_datagrams_and_it_may_be_unplugged(self):
        device = self.path('tty')

        def plug_in():
            sensor, other = pty.openpty()
            os.symlink(os.ttyname(other), device)
            os.close(other)
            return sensor

        for language in self.each('serial_to_udp'):
            with datagram_socket() as collector:
                port = collector.getsockname()[1]
                sensor = plug_in()
                command = self.command('serial_to_udp', language,
                                       {'/dev/ttyUSB0': device, '192.0.2.7:5000': f'127.0.0.1:{port}', '1s': '10ms'})
                with process.Program(command) as program:
                    program.expect('is open')
                    self.assertEqual(termios.tcgetattr(sensor)[4], termios.B9600)
                    os.write(sensor, b'21.5\r\n22')
                    self.assertEqual(collector.recv(100), b'21.5')
                    os.write(sensor, b'.0\n' + b'#' * 200 + b'\n22.5\n')
                    self.assertEqual(collector.recv(100), b'22.0')
                    self.assertEqual(collector.recv(100), b'22.5')
                    os.unlink(device)
                    os.close(sensor)
                    program.expect('is gone')
                    program.expect(f'^cannot open {device}: No such file or directory$')
                    tries = program.usage()[1]
                    process.wait_until(lambda: program.usage()[1] >= tries + 5)  # it sleeps between them
                    os.symlink('/dev/null', device)
                    program.expect(f'^cannot open {device}: .*ioctl')
                    self.assertEqual(program.output.count('cannot open'), 2)  # each reason once
                    os.unlink(device)
                    sensor = plug_in()
                    program.expect('is open')
                    os.write(sensor, b'23.0\n')
                    self.assertEqual(collector.recv(100), b'23.0')
                    self.ends_well(program)
                os.unlink(device)
                os.close(sensor)

    def test_a_sensors_lines_go_on_after_nobody_has_listened(self):
        for language in self.each('serial_to_udp'):
            sensor, other = pty.openpty()
            port, = snippets.free_ports(1)
            command = self.command('serial_to_udp', language, {'/dev/ttyUSB0': os.ttyname(other),
                                                               '192.0.2.7:5000': f'127.0.0.1:{port}'})
            os.close(other)
            with process.Program(command) as program:
                program.expect('is open')
                os.write(sensor, b'1\n')
                process.wait_until(program.is_asleep)
                while 'not sent' not in program.output:  # the refusal of one is told by the next
                    os.write(sensor, b'2\n')
                    program.expect('not sent: ')
                with datagram_socket(port) as collector:
                    os.write(sensor, b'3\n')
                    while collector.recv(100) != b'3':
                        pass
                self.ends_well(program)
            os.close(sensor)

    # ---- a number out of a line

    def test_numbers_are_parsed_or_refused_as_the_page_says(self):
        self.prints_what_the_page_says('numbers')

    def test_numbers_need_no_runtime_library_of_cpp(self):
        program = self.command('numbers', 'C++17', options=['-nodefaultlibs', '-lc', '-lgcc'])
        self.assertEqual(process.run(program).stdout, snippets.output(PAGE, 'numbers'))

    # ---- TCP commands

    def asks(self, client, command, answer):
        client.sendall(command)
        self.assertEqual(process.receive(client, len(answer)), answer)

    def test_commands_are_answered_and_bad_ones_refused(self):
        for server, address in self.servers('commands', {'2s': '0s'}):
            with process.connect(address) as client:
                for command, answer in ((b'get\n', b'ok: 20\n'), (b'set 25\r\n', b'ok: 25\n'), (b'get\n', b'ok: 25\n'),
                                        (b'set 99\n', b'error: 5 to 30\n'), (b'set 7x\n', b'error: 5 to 30\n'),
                                        (b'set \n', b'error: 5 to 30\n'), (b'\n', b'error: get, set N or quit\n'),
                                        (b'x' * 500 + b'\n', b'error: too long\n'), (b'quit\n', b'bye\n')):
                    self.asks(client, command, answer)
                self.assertEqual(client.recv(1), b'')
            self.ends_well(server)

    def test_eight_clients_are_served_and_the_ninth_waits_for_a_place(self):
        for server, address in self.servers('commands', {'2s': '0s'}):
            clients = [process.connect(address) for _ in range(9)]
            for client in clients[:8]:
                self.asks(client, b'get\n', b'ok: 20\n')
            clients[8].sendall(b'get\n')
            for client in clients[:8]:
                self.asks(client, b'get\n', b'ok: 20\n')
            self.assertTrue(snippets.is_silent(clients[8]))
            self.asks(clients[3], b'quit\n', b'bye\n')
            self.assertEqual(process.receive(clients[8], 7), b'ok: 20\n')
            self.ends_well(server)
            for client in clients:
                client.close()

    def test_who_is_idle_is_put_out_though_it_sends_bytes_now_and_then(self):
        for server, address in self.servers('commands', {'60s': '300ms', '2s': '0s'}):
            with process.connect(address) as silent, process.connect(address) as dripping:
                dripping.settimeout(0.01)
                heard = b''
                while not heard:  # a byte every 10 ms is no command
                    dripping.sendall(b'g')
                    try:
                        heard = dripping.recv(100)
                    except socket.timeout:
                        pass
                self.assertEqual(heard, b'bye: idle\n')
                self.assertEqual(process.receive(silent, 100), b'bye: idle\n')
            self.ends_well(server)

    def test_the_short_server_in_coroutines_answers_and_puts_out_who_is_idle(self):
        for server, address in self.servers('commands_short', {'60s': '300ms', '2s': '0s'}):
            with process.connect(address) as client:
                self.asks(client, b'get\n', b'ok\n')
                self.asks(client, b'x' * 500 + b'\n', b'error: too long\n')
                self.assertEqual(client.recv(1), b'')
            self.ends_well(server)

    def test_a_server_that_can_accept_no_more_asks_for_the_end_and_lets_its_clients_finish(self):
        for name, answer in (('commands', b'ok: 20\n'), ('commands_short', b'ok\n')):
            for _, client in self.deaf_servers(name, {'2s': '1h'}):
                self.asks(client, b'get\n', answer)

    def test_addresses_that_make_no_sense_are_told_before_they_are_used(self):
        for name, written in (('serial_to_udp', '192.0.2.7:5000'), ('commands', '127.0.0.1:7777'),
                              ('commands_short', '127.0.0.1:7777'), ('control', '127.0.0.1:7777'),
                              ('reconnect', '127.0.0.1:7777'), ('reconnect_short', '127.0.0.1:7777'),
                              ('two_listeners', '127.0.0.1:7777')):
            for language in self.each(name):
                changes = {written: 'localhost:7777'}
                if name == 'two_listeners':
                    changes['/run/controller.sock'] = self.path('sock')
                done = process.run(self.command(name, language, changes))
                self.assertEqual(done.returncode, 1, done.stderr)
                self.assertIn('numeric', done.stderr)

    # ---- a control loop

    def test_a_control_loop_runs_feeds_the_watchdog_and_answers(self):
        for language in self.each('control'):
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd, datagram_socket() as client:
                systemd.bind(self.path('notify'))
                systemd.settimeout(process.PATIENCE)
                environment = {**os.environ, 'NOTIFY_SOCKET': self.path('notify'), 'WATCHDOG_USEC': '80000'}
                environment.pop('WATCHDOG_PID', None)
                with datagram_socket() as probe:
                    port = probe.getsockname()[1]
                with process.Program(self.command('control', language, {7777: port}), env=environment) as program:
                    self.assertEqual(systemd.recv(100), b'READY=1')
                    before = self.cycles(client, port)
                    for _ in range(3):
                        self.assertEqual(systemd.recv(100), b'WATCHDOG=1')
                    after = self.cycles(client, port)
                    self.assertGreater(after, before)
                    program.signal(signal.SIGTERM)
                    told = systemd.recv(100)
                    while told == b'WATCHDOG=1':
                        told = systemd.recv(100)
                    self.assertEqual(told, b'STOPPING=1')
                    self.assertEqual(program.finish(), 0, program.output)
                    self.assertEqual(program.output, 'outputs are off\n')
            os.unlink(self.path('notify'))

    def test_a_control_loop_that_fails_ends_the_program_though_its_heartbeat_is_not_missed(self):
        failing = {'      heartbeat.beat();': '      heartbeat.beat();\n'
                                              '      if (state.cycles == 20) return mote::failed(EIO);'}
        for language in self.each('control'):
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
                systemd.bind(self.path('notify'))
                systemd.settimeout(process.PATIENCE)
                environment = {**os.environ, 'NOTIFY_SOCKET': self.path('notify'), 'WATCHDOG_USEC': '80000'}
                environment.pop('WATCHDOG_PID', None)
                port, = snippets.free_ports(1)
                command = self.command('control', language, {7777: port, **failing})
                with process.Program(command, env=environment) as program:
                    self.assertEqual(program.finish(), 1, program.output)
                    self.assertRegex(program.output, r'^outputs are off\nmote: task Control failed after .*: '
                                                     r'Input/output error\n$')
                told = []
                while not told or told[-1] != b'STOPPING=1':
                    told.append(systemd.recv(100))
                self.assertEqual(set(told), {b'READY=1', b'WATCHDOG=1', b'STOPPING=1'})
            os.unlink(self.path('notify'))

    def cycles(self, client, port):
        """How many there have been: counted, or counted as missed."""
        client.sendto(b'?', ('127.0.0.1', port))
        found = re.fullmatch(rb'cycles (\d+) overruns (\d+) output \d+\.\d\n', client.recv(100))
        return int(found[1]) + int(found[2])

    # ---- a worker thread

    def test_a_worker_threads_answers_come_back_and_it_ends(self):
        for language in self.each('worker'):
            done = process.run(self.command('worker', language, options=['-pthread']))
            self.assertEqual((done.returncode, done.stdout), (0, snippets.output(PAGE, 'worker')), done.stderr)

    def test_a_worker_thread_ends_in_the_midst_of_its_jobs(self):
        for language in self.each('worker'):
            with process.Program(self.command('worker', language, {'6u': '1000000u'}, ['-pthread'])) as program:
                program.expect('^job 2: 4$')
                self.ends_well(program)
                self.assertTrue(program.output.endswith('the thread has ended\n'), program.output)

    def test_a_worker_thread_and_the_loop_have_no_data_race(self):
        options = ['-pthread', '-fsanitize=thread', '-O1']
        probe = process.run([*COMPILER, *options, '-x', 'c++', '-o', self.path('probe'), '-'])
        if probe.returncode != 0 and 'tsan' in probe.stderr:
            self.skipTest('there is no ThreadSanitizer here')
        done = process.run(['setarch', '-R', *self.command('worker', 'C++17', options=options)])
        self.assertEqual((done.returncode, done.stdout), (0, snippets.output(PAGE, 'worker')), done.stderr)

    # ---- a foreign library's descriptors

    def test_inotify_tells_what_has_changed(self):
        for language in self.each('inotify'):
            settings = self.path('etc')
            os.mkdir(settings)
            with process.Program(self.command('inotify', language, {'/etc/controller': settings})) as program:
                program.expect('^watching$')
                with open(settings + '/one', 'w', encoding='ascii') as file:
                    file.write('1')
                program.expect('^one has changed$')
                with open(self.path('new'), 'w', encoding='ascii') as file:
                    file.write('2')
                os.rename(self.path('new'), settings + '/two')
                program.expect('^two has changed$')
                os.unlink(settings + '/one')
                program.expect('^one is gone$')
                os.unlink(settings + '/two')
                program.expect('^two is gone$')
                self.ends_well(program)
            os.rmdir(settings)

    # ---- tests that do not sleep

    def virtual_time(self, language, changes=None):
        with open(self.path('virtual_system.hpp'), 'w', encoding='ascii') as file:
            file.write(self.programs['virtual_system', 'C++17 header'])
        return process.run(self.command('virtual_time', language, changes,
                                        ['-DMOTE_SYSTEM_HEADER="virtual_system.hpp"', '-I', self.at.name]))

    def test_a_days_test_takes_no_time(self):
        for language in self.each('virtual_time'):
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            done = self.virtual_time(language)
            self.assertEqual((done.returncode, done.stdout), (0, snippets.output(PAGE, 'virtual_time')), done.stderr)
            self.assertLess(resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before.ru_utime, 60)

    def test_the_virtual_clocks_tests_find_a_session_that_is_late(self):
        done = self.virtual_time('C++17', {'>= 60s': '>= 61s'})
        self.assertEqual(done.returncode, 1)
        self.assertIn('!test.is_alive()', done.stdout)

    # ---- reconnecting

    def test_a_client_comes_back_with_growing_pauses_and_begins_anew_after_success(self):
        for language in self.each('reconnect'):
            port, = snippets.free_ports(1)
            with process.Program(self.command('reconnect', language, {7777: port, '500ms': '20ms'})) as program:
                pauses = [int(program.expect(r'^Connection refused; again in (\d+) ms$')[1]) for _ in range(5)]
                for pause, limit in zip(pauses, (20, 40, 80, 160, 320)):
                    self.assertTrue(limit // 2 <= pause <= limit, pauses)
                with socket.create_server(('127.0.0.1', port)) as server:
                    server.settimeout(process.PATIENCE)
                    client, _ = server.accept()
                    with client:
                        self.assertEqual(process.receive(client, 6), b'hello\n')
                        client.sendall(b'welcome\n')
                        program.expect('^the server says: welcome$')
                    pause = int(program.expect(r'^the server has hung up; again in (\d+) ms$')[1])
                    self.assertTrue(10 <= pause <= 20, pause)
                    client, _ = server.accept()
                    client.close()
                self.ends_well(program)

    def test_the_short_client_in_coroutines_comes_back(self):
        for language in self.each('reconnect_short'):
            port, = snippets.free_ports(1)
            with process.Program(self.command('reconnect_short', language, {7777: port, '500ms': '20ms'})) as program:
                program.expect('^Connection refused$')
                program.expect('^Connection refused$')
                with socket.create_server(('127.0.0.1', port)) as server:
                    server.settimeout(process.PATIENCE)
                    client, _ = server.accept()
                    with client:
                        self.assertEqual(process.receive(client, 6), b'hello\n')
                    program.expect('^the stream has ended')
                self.ends_well(program)

    # ---- time, lines, ends

    def test_a_periodic_timer_counts_what_it_misses(self):
        self.prints_what_the_page_says('periodic')

    def test_a_file_that_polls_as_priority_tells_its_changes(self):
        apart = ['unshare', '--user', '--map-root-user', '--uts']  # a host name of its own: its file polls as GPIO does
        if process.run([*apart, 'true']).returncode != 0:
            self.skipTest('the system does not allow a namespace of our own')
        for language in self.each('gpio'):
            command = self.command('gpio', language, {'/sys/class/gpio/gpio17/value': '/proc/sys/kernel/hostname'})
            # What the shell is told, it sets as the host name; it ends with the program.
            script = 'hostname low; "$@" & while read -r name; do hostname "$name"; done; kill -TERM $!; wait $!'
            read_end, write_end = os.pipe()
            with process.Program([*apart, 'sh', '-c', script, 'sh', *command], stdin=read_end) as program:
                os.close(read_end)
                program.expect('^low$')
                for name in ('high', 'low', 'high'):
                    os.write(write_end, name.encode() + b'\n')
                    program.expect(f'^{name}$')
                os.close(write_end)
                self.assertEqual(program.finish(), 0, program.output)

    def test_a_file_that_cannot_be_read_ends_the_program_with_an_error(self):
        for language in self.each('gpio'):
            done = process.run(self.command('gpio', language, {'/sys/class/gpio/gpio17/value': '/dev/null'}))
            self.assertEqual(done.returncode, 1)
            self.assertRegex(done.stderr, '^mote: task Line failed: Input/output error\n$')

    def test_a_valve_is_closed_before_the_program_ends(self):
        for language in self.each('valve'):
            with process.Program(self.command('valve', language)) as program:
                program.expect('^open$')
                self.ends_well(program)
                self.assertEqual(program.output, 'open\nclosing\nclosed\n0 drained, 1 cancelled, 0 destroyed; signal 15\n')

    def test_a_second_signal_cuts_the_valves_power(self):
        for language in self.each('valve'):
            with process.Program(self.command('valve', language, {'200ms': '2h', '0s, 2s': '0s, 2h'})) as program:
                program.expect('^open$')
                program.signal(signal.SIGTERM)
                program.expect('^closing$')
                self.ends_well(program)
                self.assertEqual(program.output, 'open\nclosing\nthe power is cut\n'
                                                 '0 drained, 0 cancelled, 1 destroyed; signal 15, forced\n')

    def test_two_listeners_serve_clients_and_operators(self):
        for server, address in self.servers('two_listeners', {'/run/controller.sock': self.path('sock'), '1s': '0s'}):
            with process.connect(address) as client, socket.socket(socket.AF_UNIX) as operator:
                self.assertEqual(process.exchange(client, b'hello'), b'hello')
                operator.settimeout(process.PATIENCE)
                operator.connect(self.path('sock'))
                self.asks(operator, b'?\n', b'1 clients\n')
            self.ends_well(server)
            self.assertFalse(os.path.exists(self.path('sock')))

    def test_a_listener_that_fails_asks_for_the_end_of_both(self):
        for _, client in self.deaf_servers('two_listeners', {'/run/controller.sock': self.path('sock'), '1s': '1h'}):
            self.assertEqual(process.exchange(client, b'hello'), b'hello')

    def test_a_budget_is_kept_or_does_not_compile(self):
        for language in self.each('budget'):
            done = process.run(self.command('budget', language))
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertRegex(done.stdout, r'^reactor \d+, of which each descriptor \d+\nclients \d+, each \d+\n$')
        source = self.path('program.cpp')
        with open(source, encoding='ascii') as file:
            text = file.read()
        with open(source, 'w', encoding='ascii') as file:
            file.write(text.replace('max_clients = 16', 'max_clients = 64'))
        done = process.run([*COMPILER, '-std=c++17', '-fsyntax-only', source])
        self.assertNotEqual(done.returncode, 0)
        self.assertIn('the budget of memory', done.stderr)

    def test_real_time_is_asked_for_and_a_refusal_is_gone_on_with(self):
        for language in self.each('real_time'):
            done = process.run(self.command('real_time', language))
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertRegex(done.stdout, r'^(all memory is locked|memory is not locked: .*)\n'
                                          r'(SCHED_FIFO, priority 50|no real-time scheduling: .*)\n$')
            self.assertRegex(done.stderr, r'^at most \d+ us late\n$')

    def test_a_list_of_the_live_tasks_says_what_each_waits_for(self):
        for language in self.each('hangs'):
            with process.Program(self.command('hangs', language)) as program:
                process.wait_until(lambda: program.is_asleep() and catches(program, signal.SIGTERM))
                text = self.programs['hangs', language].splitlines()
                lines = [str(1 + n) for n, line in enumerate(text) if 'MOTE_AWAIT(' in line]
                for _ in range(2):
                    program.signal(signal.SIGUSR1)
                    pump = program.expect(r'^pump, line (\d+): waits for an event since \d+ ms$')[1]
                    blinker = program.expect(r'^blinker, line (\d+): waits for a timer since \d+ ms$')[1]
                    self.assertEqual([pump, blinker], lines)
                    program.expect(r'^2 tasks \(at most 2\), 0 descriptors \(at most 0\), \d+ turns$')
                self.ends_well(program)


class Page(unittest.TestCase):
    def test_no_code_is_shown_that_is_not_run(self):
        with open(__file__, encoding='ascii') as file:
            run = set(re.findall(r"'(\w+)'", file.read()))
        self.assertEqual(snippets.not_run(PAGE, run), [])

    def test_every_recipe_is_in_the_table_and_every_link_leads_somewhere(self):
        anchors = {re.sub(r'[^\w -]', '', title.lower()).replace(' ', '-')
                   for title in re.findall(r'^## (.*)$', PAGE, re.MULTILINE)}
        linked = set(re.findall(r'\]\(#([^)]*)\)', PAGE))
        self.assertEqual(linked, anchors)

    def test_the_unit_fits_what_is_said_of_it(self):
        unit = configparser.ConfigParser()
        unit.optionxform = str
        unit.read_string(PAGE.split('<!-- unit -->\n```ini\n')[1].split('```')[0])
        service = unit['Service']
        self.assertEqual(service['Type'], 'notify')
        self.assertIn(f'every {float(service["WatchdogSec"]) / 2} seconds', PAGE)
        for name in re.findall(r'^- \*\*([\w, ]+?)\.?\*\*', PAGE, re.MULTILINE):
            for each in name.split(', '):
                self.assertIn(each, service)

    def test_lines_are_no_longer_than_120(self):
        self.assertEqual(snippets.long_lines(PAGE), [])


if __name__ == '__main__':
    unittest.main()
