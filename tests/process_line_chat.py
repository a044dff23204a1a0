# SPDX-License-Identifier: MIT
"""The chat example: lines from clients, announcements from another thread."""
import select
import subprocess
import sys
import unittest

sys.path.insert(0, sys.path[0] + '/support')
import process  # noqa: E402

LINE_CHAT = process.command(sys.argv.pop())


class LineChat(unittest.TestCase):
    def setUp(self):
        self.server = process.Program([*LINE_CHAT, '127.0.0.1:0'], stdin=subprocess.PIPE)
        self.addCleanup(self.server.__exit__)
        self.at = self.server.address()

    def member(self):
        client = process.connect(self.at)
        self.addCleanup(client.close)
        name = '%s:%d' % client.getsockname()
        self.server.expect(f'{name} has come')
        return client, name

    def hears(self, client, text):
        self.assertEqual(process.receive(client, len(text)).decode(), text)

    def test_a_line_goes_to_everybody_else(self):
        (first, name), (second, second_name), (third, third_name) = self.member(), self.member(), self.member()
        self.hears(first, f'{second_name}: has come\r\n{third_name}: has come\r\n')
        self.hears(second, f'{third_name}: has come\r\n')
        first.sendall(b'hel')
        second.sendall(b'x\n')
        self.hears(first, f'{second_name}: x\r\n')
        self.hears(third, f'{second_name}: x\r\n')
        first.sendall(b'lo\r\nagain\n')
        for client in (second, third):
            self.hears(client, f'{name}: hello\r\n{name}: again\r\n')
        second.close()
        self.hears(first, f'{second_name}: has left\r\n')

    def test_the_operators_lines_come_from_another_thread(self):
        (first, _), (second, second_name) = self.member(), self.member()
        self.hears(first, f'{second_name}: has come\r\n')
        self.server.process.stdin.write(b'maintenance at noon\n')
        self.server.process.stdin.flush()
        for client in (first, second):
            self.hears(client, 'operator: maintenance at noon\r\n')

    def test_a_line_that_is_too_long_loses_nothing_else(self):
        (first, name), (second, second_name) = self.member(), self.member()
        self.hears(first, f'{second_name}: has come\r\n')
        first.sendall(b'x' * 1000 + b'\nshort\n')
        self.hears(first, 'server: that line was too long\r\n')
        self.hears(second, f'{name}: short\r\n')

    def test_who_does_not_read_is_put_out_and_nobody_waits(self):
        (_, slow_name), (talker, _), (reader, reader_name) = self.member(), self.member(), self.member()
        self.hears(talker, f'{reader_name}: has come\r\n')
        left = f'{slow_name}: has left\r\n'.encode()
        heard = b''
        sent = 0
        while left not in heard:
            readable, writable, _ = select.select([reader], [talker], [], process.PATIENCE)
            self.assertTrue(readable or writable)
            if writable:
                talker.sendall(b'y' * 200 + b'\n')
                sent += 1
            if readable:
                heard += reader.recv(1 << 20)
                heard = heard[-4096:] if left not in heard else heard
        self.server.expect(f'{slow_name} has left')
        self.assertGreater(sent, 100)

    def test_at_the_shutdown_all_are_told_and_it_ends_though_the_thread_waits_for_input(self):
        member, _ = self.member()
        self.server.signal()
        self.hears(member, 'server: closes in two seconds\r\n')
        member.close()
        self.assertEqual(self.server.finish(), 0)
        self.assertIn('line_chat: stopped; the acceptor and 1 member: 2 drained, 0 cancelled, 0 destroyed\n',
                      self.server.output)

    def test_it_has_manners(self):
        for option in ('--help', '-h'):
            done = process.run([*LINE_CHAT, option])
            self.assertEqual((done.stderr, done.returncode), ('', 0))
        for arguments in (['8000'], ['x:1'], ['[::1]:0', '2'], ['-x']):
            done = process.run([*LINE_CHAT, *arguments])
            self.assertEqual((done.stdout, done.returncode), ('', 2), arguments)
            self.assertIn('usage: line_chat ', done.stderr)
        done = process.run([*LINE_CHAT, '%s:%d' % self.at])
        self.assertEqual(done.returncode, 1)
        self.assertIn('Address already in use', done.stderr)


if __name__ == '__main__':
    unittest.main()
