# SPDX-License-Identifier: MIT
"""The serial bridge on a pseudo-terminal, whose other side plays the device."""
import os
import random
import select
import sys
import tempfile
import termios
import threading
import tty
import unittest

sys.path.insert(0, sys.path[0] + '/support')
import process  # noqa: E402

SERIAL_BRIDGE = process.command(sys.argv.pop())


class SerialBridge(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.path = directory.name + '/tty'
        self.device = None
        self.plug_in()
        self.addCleanup(self.unplug)
        self.bridge = process.Program([*SERIAL_BRIDGE, self.path, '115200', '127.0.0.1:0'])
        self.addCleanup(self.bridge.__exit__)
        self.at = self.bridge.address()

    def plug_in(self):
        self.device, other = os.openpty()
        os.symlink(os.ttyname(other), self.path)
        os.close(other)

    def unplug(self):
        if self.device is not None:
            os.unlink(self.path)
            os.close(self.device)
            self.device = None

    def client(self):
        client = process.connect(self.at)
        self.addCleanup(client.close)
        self.bridge.expect('a client has come')
        return client

    def device_reads(self, size):
        data = b''
        while len(data) < size:
            self.assertTrue(select.select([self.device], [], [], process.PATIENCE)[0])
            data += os.read(self.device, size - len(data))
        return data

    def test_bytes_go_both_ways_unchanged(self):
        client = self.client()
        data = bytes(range(256)) * 8 + random.Random(5).randbytes(20000)
        received = []
        reader = threading.Thread(target=lambda: received.append(process.receive(client, len(data))))
        reader.start()
        view = memoryview(data)
        while view:
            view = view[os.write(self.device, view[:1000]):]
        reader.join()
        self.assertEqual(received, [data])
        writer = threading.Thread(target=lambda: client.sendall(data))
        writer.start()
        self.assertEqual(self.device_reads(len(data)), data)
        writer.join()

    def test_the_port_has_the_speed_that_was_asked_for(self):
        settings = termios.tcgetattr(self.device)
        self.assertEqual(settings[tty.ISPEED], termios.B115200)
        self.assertEqual(settings[tty.CFLAG] & termios.CSIZE, termios.CS8)
        self.assertEqual(settings[tty.LFLAG] & (termios.ECHO | termios.ICANON), 0)

    def test_clients_take_turns(self):
        first = self.client()
        second = process.connect(self.at)
        self.addCleanup(second.close)
        second.sendall(b'second')
        first.sendall(b'first')
        self.assertEqual(self.device_reads(5), b'first')
        self.assertEqual(select.select([self.device], [], [], 0)[0], [])
        first.close()
        self.bridge.expect('the client has left')
        self.assertEqual(self.device_reads(6), b'second')
        os.write(self.device, b'answer')
        self.assertEqual(process.receive(second, 6), b'answer')

    def test_the_client_stays_while_the_device_is_unplugged(self):
        client = self.client()
        for number in range(3):
            os.write(self.device, b'%d' % number)
            self.assertEqual(process.receive(client, 1), b'%d' % number)
            self.unplug()
            self.bridge.expect('is gone')
            client.sendall(b'lost')
            self.plug_in()
            self.bridge.expect('is back')
        client.sendall(b'here')
        data = b''
        while not data.endswith(b'here'):  # what was said meanwhile is lost, or was read after the device was back
            data += self.device_reads(1)
        self.assertEqual(data.replace(b'lost', b''), b'here')

    def test_a_signal_ends_it_in_any_state(self):
        for state in ('alone', 'with a client', 'unplugged'):
            with self.subTest(state):
                if state == 'with a client':
                    self.client()
                if state == 'unplugged':
                    self.unplug()
                    self.bridge.expect('is gone')
                if state == 'alone':  # a client that comes and goes shows that it runs
                    self.client().close()
                    self.bridge.expect('the client has left')
                self.bridge.signal()
                self.assertEqual(self.bridge.finish(), 0)
                self.assertTrue(self.bridge.output.endswith('serial_bridge: stopped\n'))
                if state != 'unplugged':
                    self.bridge = process.Program([*SERIAL_BRIDGE, self.path, '9600', '127.0.0.1:0'])
                    self.addCleanup(self.bridge.__exit__)
                    self.at = self.bridge.address()

    def test_it_has_manners(self):
        for option in ('--help', '-h'):
            done = process.run([*SERIAL_BRIDGE, option])
            self.assertEqual((done.stderr, done.returncode), ('', 0))
        for arguments in ([], ['/dev/null'], ['/dev/null', '9600', 'x'], ['/dev/null', '96x'], ['/dev/null', ''],
                          ['/dev/null', '9600', '127.0.0.1:0', 'more'], ['/dev/null', '9600', 'localhost:80'], ['-x']):
            done = process.run([*SERIAL_BRIDGE, *arguments])
            self.assertEqual((done.stdout, done.returncode), ('', 2), arguments)
            self.assertIn('usage: serial_bridge ', done.stderr)
        for device, baud, why in (('/dev/null', '9600', 'it is no serial port'),
                                  ('/dev/nothing', '9600', 'No such file or directory'),
                                  (self.path, '12345', 'it does not take this baud rate')):
            done = process.run([*SERIAL_BRIDGE, device, baud, '127.0.0.1:0'])
            self.assertEqual((done.stdout, done.returncode), ('', 1))
            self.assertEqual(done.stderr, f'serial_bridge: cannot open {device}: {why}\n')


if __name__ == '__main__':
    unittest.main()
