# SPDX-License-Identifier: MIT
"""The supervisor: its services are echo servers, which are started, killed and stopped under it."""
import os
import select
import signal
import socket
import sys
import tempfile
import time
import unittest

sys.path.insert(0, sys.path[0] + '/support')
import process  # noqa: E402

ECHO = process.command(sys.argv.pop())
SUPERVISOR = process.command(sys.argv.pop())
USAGE = ('usage: supervisor [--interval SECONDS] [--back-off SECONDS] [--watchdog DEVICE] ADDRESS:PORT...\n'
         'ADDRESS:PORT as in 127.0.0.1:8000, [::1]:8000 or unix:@name: echo servers, up to eight\n')


class Supervisor(unittest.TestCase):
    def start(self, *arguments, **options):
        supervisor = process.Program([*SUPERVISOR, *arguments], **options)
        self.addCleanup(supervisor.__exit__)
        return supervisor

    def service(self):
        """The address of one that is not there, and will not be anybody else's."""
        holder = socket.socket()
        self.addCleanup(holder.close)
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind(('127.0.0.1', 0))
        return '%s:%d' % holder.getsockname()

    def echo(self, service):
        echo = process.Program([*ECHO, '--grace', '0', service])
        self.addCleanup(echo.__exit__)
        echo.address()
        return echo

    def kill(self, echo):
        echo.signal(signal.SIGKILL)
        echo.finish()

    def listener(self):
        listener = socket.create_server(('127.0.0.1', 0))
        self.addCleanup(listener.close)
        listener.settimeout(process.PATIENCE)
        return listener, '%s:%d' % listener.getsockname()

    def fifo(self):
        """A watchdog's device: its path, and what is written to it."""
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        path = directory.name + '/watchdog'
        os.mkfifo(path)
        reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        self.addCleanup(os.close, reader)
        return path, reader

    def fed(self, reader):
        """Waits for the next feeding."""
        self.assertTrue(select.select([reader], [], [], process.PATIENCE)[0])
        self.assertLessEqual(set(os.read(reader, 4096)), set(b'1'))

    # ---- restarts

    def test_one_that_fails_is_started_anew_and_the_others_are_not_disturbed(self):
        first, second = self.service(), self.service()
        echo = self.echo(first)
        self.echo(second)
        supervisor = self.start('--interval', '0.2', '--back-off', '0.02', first, second)
        for _ in range(2):
            supervisor.expect(' is up$')
        for _ in range(3):
            self.kill(echo)
            supervisor.expect(f'^supervisor: {first}: (it has hung up|Connection reset by peer|Broken pipe); again in ')
            supervisor.expect(f'^supervisor: {first}: Connection refused; again in ')
            echo = self.echo(first)
            supervisor.expect(f'^supervisor: {first} is up$')
        self.assertEqual(supervisor.output.count(second), 1)

    def test_each_pause_is_twice_the_one_before_up_to_a_limit_and_is_kept(self):
        began = time.monotonic()
        supervisor = self.start('--back-off', '0.02', self.service())
        pauses = [float(supervisor.expect(r'Connection refused; again in (\S+) s$')[1]) for _ in range(8)]
        self.assertEqual(pauses, [0.02, 0.04, 0.08, 0.16, 0.32, 0.32, 0.32, 0.32])
        self.assertGreaterEqual(time.monotonic() - began, sum(pauses[:-1]))

    def test_one_that_comes_up_only_to_fail_waits_longer_and_longer(self):
        listener, service = self.listener()
        supervisor = self.start('--back-off', '0.02', service)
        pauses = []
        for _ in range(6):
            listener.accept()[0].close()
            supervisor.expect(' is up$')
            pauses.append(float(supervisor.expect(r'again in (\S+) s$')[1]))
        self.assertEqual(pauses, [0.02, 0.04, 0.08, 0.16, 0.32, 0.32])

    def test_after_some_time_in_good_health_the_pause_is_short_again(self):
        service = self.service()
        supervisor = self.start('--interval', '0.2', '--back-off', '0.02', service)
        supervisor.expect('again in 0.08 s$')
        echo = self.echo(service)
        supervisor.expect(' is up$')
        self.assertEqual(select.select([supervisor.process.stdout], [], [], 0.4), ([], [], []))  # 16 pauses, and more
        self.kill(echo)
        supervisor.expect('again in 0.02 s$')

    def test_a_wrong_answer_is_a_failure(self):
        listener, service = self.listener()
        supervisor = self.start('--back-off', '0.02', service)
        with listener.accept()[0] as connection:
            self.assertEqual(process.receive(connection, 5), b'ping\n')
            connection.sendall(b'pong\n')
            supervisor.expect(f'^supervisor: {service}: Protocol error; again in 0.02 s$')
            self.assertEqual(connection.recv(1), b'')
        with listener.accept()[0] as connection:
            for _ in range(3):
                self.assertEqual(process.receive(connection, 5), b'ping\n')
                connection.sendall(b'ping\n')

    def test_hundreds_of_restarts_cost_neither_descriptors_nor_memory(self):
        listener, service = self.listener()
        supervisor = self.start('--back-off', '0.001', service)
        listener.accept()[0].close()
        supervisor.expect('again in')
        before = supervisor.memory(), supervisor.descriptors()
        for _ in range(200):
            listener.accept()[0].close()
        process.wait_until(lambda: supervisor.descriptors() == before[1])
        self.assertLess(supervisor.memory() - before[0], process.MEMORY_SLACK)

    # ---- the watchdog

    def test_one_that_hangs_starves_the_watchdog_until_it_answers_again(self):
        path, reader = self.fifo()
        service, other = self.service(), self.service()
        echo = self.echo(service)
        self.echo(other)
        supervisor = self.start('--interval', '0.05', '--watchdog', path, service, other)
        self.assertIn(f'watchdog: {path}', supervisor.expect('^supervisor: services: 2').string)
        for _ in range(3):
            self.fed(reader)
        echo.signal(signal.SIGSTOP)
        supervisor.expect(f'^supervisor: {service} does not answer$')
        while select.select([reader], [], [], 0)[0]:
            os.read(reader, 4096)
        self.assertEqual(select.select([reader], [], [], 0.5), ([], [], []))
        echo.signal(signal.SIGCONT)
        supervisor.expect(f'^supervisor: {service} answers again$')
        for _ in range(3):
            self.fed(reader)

    def test_one_that_waits_for_its_restart_does_not_hold_up_the_watchdog(self):
        path, reader = self.fifo()
        supervisor = self.start('--interval', '0.05', '--back-off', '60', '--watchdog', path, self.service())
        supervisor.expect('Connection refused')
        for _ in range(3):
            self.fed(reader)

    def test_an_end_that_is_meant_disarms_the_watchdog_and_another_does_not(self):
        for number, last in ((signal.SIGTERM, b'V'), (signal.SIGKILL, b'1')):
            path, reader = self.fifo()
            supervisor = self.start('--interval', '0.05', '--watchdog', path, self.service())
            self.assertTrue(select.select([reader], [], [], process.PATIENCE)[0])
            supervisor.signal(number)
            supervisor.finish()
            self.assertEqual(os.read(reader, 4096)[-1:], last)

    def test_systemd_is_told_that_it_is_ready_alive_and_stopping(self):
        with tempfile.TemporaryDirectory() as directory, \
                socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
            systemd.bind(directory + '/notify')
            systemd.settimeout(process.PATIENCE)
            environment = {**os.environ, 'NOTIFY_SOCKET': directory + '/notify', 'WATCHDOG_USEC': '200000'}
            environment.pop('WATCHDOG_PID', None)
            supervisor = self.start(self.service(), env=environment)
            supervisor.expect('^supervisor: services: 1, watchdog: systemd$')
            self.assertEqual([systemd.recv(100) for _ in range(4)], [b'READY=1'] + 3 * [b'WATCHDOG=1'])
            supervisor.signal(signal.SIGTERM)
            told = []
            while not told or told[-1] != b'STOPPING=1':
                told.append(systemd.recv(100))
            self.assertEqual(set(told[:-1]) - {b'WATCHDOG=1'}, set())
            self.assertEqual(supervisor.finish(), 0)

    def test_systemd_is_told_that_it_is_ready_and_stopping_though_a_device_is_the_watchdog(self):
        path, reader = self.fifo()
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
            systemd.bind('')  # a name of the kernel's choice
            systemd.settimeout(process.PATIENCE)
            name = '@' + systemd.getsockname()[1:].decode()
            supervisor = self.start('--interval', '0.05', '--watchdog', path, self.service(),
                                    env={**os.environ, 'NOTIFY_SOCKET': name})
            self.assertEqual(systemd.recv(100), b'READY=1')
            self.fed(reader)
            supervisor.signal(signal.SIGTERM)
            self.assertEqual(systemd.recv(100), b'STOPPING=1')
            self.assertEqual(supervisor.finish(), 0)

    # ---- the end

    def test_a_signal_ends_it_at_once_connected_hanging_and_in_a_pause(self):
        service, hanging = self.service(), self.service()
        self.echo(service)
        echo = self.echo(hanging)
        supervisor = self.start('--interval', '0.05', '--back-off', '60', service, hanging, self.service())
        supervisor.expect('refused')
        echo.signal(signal.SIGSTOP)
        supervisor.expect(f'^supervisor: {hanging} does not answer$')
        began = time.monotonic()
        supervisor.signal()
        self.assertEqual(supervisor.finish(), 0)
        self.assertLess(time.monotonic() - began, 2)  # the grace period
        self.assertTrue(supervisor.output.endswith('supervisor: stopped, failures: 1\n'), supervisor.output)

    def test_while_all_are_in_a_pause_it_goes_on(self):
        service = self.service()
        supervisor = self.start('--interval', '0.05', '--back-off', '0.5', service)
        supervisor.expect('refused')
        self.echo(service)
        supervisor.expect(f'^supervisor: {service} is up$')

    # ---- what goes wrong

    def test_it_has_manners(self):
        environment = {**os.environ}
        environment.pop('NOTIFY_SOCKET', None)
        for option in ('--help', '-h'):
            done = process.run([*SUPERVISOR, option])
            self.assertEqual((done.stdout, done.stderr, done.returncode), (USAGE, '', 0))
        at = '127.0.0.1:1'
        for arguments in ([], ['--interval', '0', at], ['--interval', 'x', at], ['--interval', '1e3', at],
                          ['--back-off', '-1', at], ['--back-off', '', at], ['--watchdog'], ['localhost:1'], [at, ''],
                          ['127.0.0.1'], ['-x', at], [at] * 9):
            done = process.run([*SUPERVISOR, *arguments], env=environment)
            self.assertEqual((done.stdout, done.returncode), ('', 2), arguments)
            self.assertTrue(done.stderr.endswith(USAGE), done.stderr)
            self.assertIn('supervisor: ', done.stderr)
        done = process.run([*SUPERVISOR, '--watchdog', '/none', at], env=environment)
        self.assertEqual((done.stdout, done.stderr, done.returncode),
                         ('', 'supervisor: cannot open /none: No such file or directory\n', 1))
        done = process.run([*SUPERVISOR, at], env={**environment, 'NOTIFY_SOCKET': 'relative'})
        self.assertEqual((done.stdout, done.stderr, done.returncode),
                         ('', 'supervisor: cannot open $NOTIFY_SOCKET: WATCHDOG_USEC, WATCHDOG_PID or NOTIFY_SOCKET is wrong\n', 1))


if __name__ == '__main__':
    unittest.main()
