# SPDX-License-Identifier: MIT
"""The telemetry example: two of them talk, and it bears what datagrams do."""
import signal
import socket
import sys
import unittest

sys.path.insert(0, sys.path[0] + '/support')
import process  # noqa: E402

UDP_TELEMETRY = process.command(sys.argv.pop())


class UdpTelemetry(unittest.TestCase):
    def start(self, *arguments):
        program = process.Program([*UDP_TELEMETRY, *arguments])
        self.addCleanup(program.__exit__)
        return program

    def test_a_sender_and_a_receiver_talk(self):
        for address in ('127.0.0.1', '[::1]'):
            with self.subTest(address):
                receiver = self.start('receive', f'{address}:0')
                sender = self.start('--every', '20', 'send', f'{address}:{receiver.address()[1]}')
                sender.expect(r'sample \d+: sent')
                last = 0
                for _ in range(5):  # on a busy machine some are skipped
                    number = int(receiver.expect(r': sample (\d+), -?\d+\.\d+ degrees$')[1])
                    self.assertGreater(number, last)
                    last = number
                for program in (sender, receiver):
                    program.signal(signal.SIGTERM)
                    self.assertEqual(program.finish(), 0)
                    self.assertTrue(program.output.endswith('udp_telemetry: stopped\n'))

    def test_samples_that_are_lost_are_counted(self):
        receiver = self.start('receive', '127.0.0.1:0')
        at = receiver.address()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            for number in (7, 8, 12):
                sender.sendto(b'MOTE' + number.to_bytes(4, 'big') + (-1500).to_bytes(4, 'big', signed=True), at)
        receiver.expect('sample 7, -1.500 degrees')
        receiver.expect('sample 8,')
        receiver.expect(': 3 samples are missing')
        receiver.expect('sample 12,')

    def test_what_is_no_sample_is_said_and_survived(self):
        receiver = self.start('receive', '127.0.0.1:0')
        at = receiver.address()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            for junk in (b'', b'x', b'x' * 12, b'MOTE', b'y' * 5000):
                sender.sendto(junk, at)
                receiver.expect(f': {min(len(junk), 64)} bytes that are no sample')

    def test_the_sender_says_once_that_nobody_listens_and_when_somebody_does(self):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.bind(('127.0.0.1', 0))
            at = probe.getsockname()
        sender = self.start('--every', '20', 'send', '%s:%d' % at)
        sender.expect('Connection refused')
        receiver = self.start('receive', '%s:%d' % at)
        receiver.expect(': sample ')
        sender.expect(r'sample \d+: sent')
        self.assertEqual(sender.output.count('refused'), 1)

    def test_a_sender_that_was_stopped_skips_what_it_missed(self):
        receiver = self.start('receive', '127.0.0.1:0')
        sender = self.start('--every', '20', 'send', '127.0.0.1:%d' % receiver.address()[1])
        receiver.expect(r': sample \d+,')
        sender.signal(signal.SIGSTOP)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as quiet:
            quiet.settimeout(0.3)  # the measure of the time that it misses
            quiet.bind(('127.0.0.1', 0))
            with self.assertRaises(TimeoutError):
                quiet.recv(1)
        sender.signal(signal.SIGCONT)
        while int(receiver.expect(r': (\d+) samples? (?:is|are) missing')[1]) < 10:
            pass  # skipped earlier, on a busy machine

    def test_it_has_manners(self):
        for option in ('--help', '-h'):
            done = process.run([*UDP_TELEMETRY, option])
            self.assertEqual((done.stderr, done.returncode), ('', 0))
        for arguments in ([], ['receive', '1.2.3.4'], ['shout', '127.0.0.1:1'], ['send', '--every', '0'], ['--every'],
                          ['--every', '1x', 'send'], ['receive', '127.0.0.1:0', '10'], ['send', 'localhost:8000']):
            done = process.run([*UDP_TELEMETRY, *arguments])
            self.assertEqual((done.stdout, done.returncode), ('', 2), arguments)
            self.assertIn('usage: udp_telemetry ', done.stderr)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
            taken.bind(('127.0.0.1', 0))
            done = process.run([*UDP_TELEMETRY, 'receive', '127.0.0.1:%d' % taken.getsockname()[1]])
        self.assertEqual(done.returncode, 1)
        self.assertIn('Address already in use', done.stderr)


if __name__ == '__main__':
    unittest.main()
