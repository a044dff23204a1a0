# SPDX-License-Identifier: MIT
"""The server of docs/tls.md is what is compiled and run: it speaks TLS with openssl s_client, and does what the page says."""
import contextlib
import pathlib
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import unittest

sys.path.insert(0, sys.path[0] + '/support')
import process  # noqa: E402

COMPILER = sys.argv[sys.argv.index('--') + 1:]
del sys.argv[sys.argv.index('--'):]

PAGE = (pathlib.Path(__file__).resolve().parent.parent / 'docs/tls.md').read_text()
PROGRAM = re.search(r'<!-- program: tls, C\+\+17 -->\n```cpp\n(.*?\n)```\n', PAGE, re.DOTALL)[1]
LIBRARIES = re.findall(r'-l\w+', PAGE)
CAPACITY = int(re.search(r'TaskPool<Session, (\d+)>', PROGRAM)[1])


def is_missing():
    """What is needed and is not there: in words, or None."""
    if not shutil.which('openssl'):
        return 'the program openssl is missing: apt-get install openssl'
    done = subprocess.run([*COMPILER, '-fsyntax-only', '-x', 'c++', '-'], input='#include <openssl/ssl.h>\n', text=True,
                          stderr=subprocess.DEVNULL, check=False)
    return 'the headers of OpenSSL are missing: apt-get install libssl-dev' if done.returncode else None


MISSING = is_missing()


def free_port():
    with socket.create_server(('127.0.0.1', 0)) as probe:
        return probe.getsockname()[1]


class Peer:
    """A client whose records the test carries itself, whole or in parts."""

    def __init__(self, address, context):
        self.socket = process.connect(address)
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.incoming, self.outgoing)
        self.step(self.tls.do_handshake)

    def step(self, call, *arguments):
        """Calls until it succeeds, and carries records in between."""
        while True:
            try:
                result = call(*arguments)
                self.socket.sendall(self.outgoing.read())
                return result
            except ssl.SSLWantReadError:
                self.socket.sendall(self.outgoing.read())
                self.incoming.write(self.socket.recv(65536))

    def receive(self, size):
        data = b''
        while len(data) < size:
            data += self.step(self.tls.read, size - len(data))
        return data

    def record_of(self, data):
        self.tls.write(data)
        return self.outgoing.read()


@unittest.skipIf(MISSING, f'left out: {MISSING}')
class Tls(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        directory = tempfile.TemporaryDirectory()
        cls.addClassCleanup(directory.cleanup)
        cls.at = pathlib.Path(directory.name)
        command = re.search(r'^openssl req .*$', PAGE, re.MULTILINE)[0]
        done = subprocess.run(command.split(), cwd=cls.at, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        cls.context = ssl.create_default_context(cafile=str(cls.at / 'certificate.pem'))
        cls.context.check_hostname = False
        cls.port = free_port()
        cls.address = '127.0.0.1', cls.port
        cls.program = cls.compile('server', {'4433': str(cls.port)})

    @classmethod
    def compile(cls, name, changes):
        text = PROGRAM
        for written, wanted in changes.items():
            assert written in text, written
            text = text.replace(written, wanted)
        source = cls.at / f'{name}.cpp'
        source.write_text(text)
        done = process.run([*COMPILER, '-Wall', '-Wextra', '-Wpedantic', '-Wshadow', '-Werror', '-o', str(cls.at / name),
                            str(source), *LIBRARIES], timeout=process.PATIENCE * 5)
        assert done.returncode == 0, done.stderr
        return str(cls.at / name)

    @contextlib.contextmanager
    def server(self, program=None):
        files = [str(self.at / 'certificate.pem'), str(self.at / 'key.pem')]
        with process.Program([*process.command(program or self.program), *files]) as server:
            process.wait_until(lambda: self.listens() or server.process.poll() is not None)
            self.assertTrue(self.listens(), server.output)
            yield server
            server.signal(signal.SIGTERM)
            self.assertEqual(server.finish(), 0, server.output)

    def listens(self):
        with open('/proc/net/tcp', encoding='ascii') as file:
            return f'0100007F:{self.port:04X} 00000000:0000 0A' in file.read()

    def client(self):
        return self.context.wrap_socket(process.connect(self.address))

    def s_client(self, *options):
        return process.Program(['openssl', 's_client', '-connect', f'127.0.0.1:{self.port}', '-CAfile',
                                str(self.at / 'certificate.pem'), *options], stdin=subprocess.PIPE)

    def say(self, client, line):
        client.process.stdin.write(line)
        client.process.stdin.flush()

    # openssl s_client

    def test_s_client_verifies_it_and_is_echoed(self):
        with self.server(), self.s_client('-verify_return_error') as client:
            client.expect('Verify return code: 0')
            self.say(client, b'hello\n')
            client.expect('^hello$')
            self.say(client, b'Q\n')
            self.assertEqual(client.finish(), 0, client.output)

    def test_keys_are_updated_in_both_directions_and_the_data_goes_on(self):
        with self.server(), self.s_client() as client:
            client.expect('Verify return code: 0')
            for i in range(3):
                self.say(client, b'before %d\n' % i)
                client.expect(f'^before {i}$')
                self.say(client, b'K\n')  # asks the server to update its own, too
                client.expect('^KEYUPDATE$')
                self.say(client, b'after %d\n' % i)
                client.expect(f'^after {i}$')

    def test_a_renegotiation_is_refused_and_others_are_served(self):
        with self.server(), self.client() as other, self.s_client('-tls1_2') as client:
            client.expect('Verify return code: 0')
            self.say(client, b'hello\n')
            client.expect('^hello$')
            self.say(client, b'R\n')
            client.expect('no renegotiation')
            self.assertEqual(process.exchange(other, b'and me\n'), b'and me\n')

    def test_s_client_gets_its_mebibyte_back_byte_by_byte(self):
        data = bytes(i * 7 % 251 for i in range(1 << 20))
        with self.server():
            with subprocess.Popen(['openssl', 's_client', '-connect', f'127.0.0.1:{self.port}', '-quiet', '-no_ign_eof',
                                   '-nocommands'], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                  stderr=subprocess.DEVNULL) as client:
                sender = threading.Thread(target=self.send_all, args=(client.stdin, data))
                sender.start()
                echoed = client.stdout.read(len(data))
                sender.join()
                client.kill()
            self.assertTrue(echoed == data)

    def send_all(self, file, data):
        file.write(data)
        file.flush()

    # Python's client

    def test_many_clients_at_once_and_the_one_too_many_waits(self):
        with self.server():
            clients = [self.client() for _ in range(CAPACITY)]
            for number, client in enumerate(clients):
                client.sendall(b'client %d\n' % number)
            for number, client in enumerate(clients):
                said = b'client %d\n' % number
                self.assertEqual(process.receive(client, len(said)), said)
            with process.connect(self.address) as late:
                clients.pop().close()
                with self.context.wrap_socket(late) as client:
                    self.assertEqual(process.exchange(client, b'late\n'), b'late\n')
            for client in clients:
                client.close()

    def test_who_reads_nothing_for_a_while_gets_its_mebibytes_all_the_same(self):
        data = bytes(i * 7 % 251 for i in range(8 << 20))
        with self.server() as server, self.client() as client:
            client.setblocking(False)
            sent, received = 0, bytearray()
            may_read = False
            while len(received) < len(data):
                with contextlib.suppress(ssl.SSLWantWriteError, ssl.SSLWantReadError):
                    while sent < len(data):
                        sent += client.send(data[sent:sent + 16384])
                # Nothing more goes in, and the server rests: it waits for room to send what it has encrypted.
                may_read = may_read or server.is_asleep()
                with contextlib.suppress(ssl.SSLWantReadError, ssl.SSLWantWriteError):
                    while may_read and len(received) < len(data):
                        received += client.recv(65536)
            self.assertTrue(received == data)

    def test_close_notify_is_answered(self):
        with self.server(), self.client() as client:
            self.assertEqual(process.exchange(client, b'bye\n'), b'bye\n')
            client.unwrap().close()  # sends ours, and waits for the server's

    def test_a_peer_that_vanishes_is_told_from_one_that_has_finished(self):
        with self.server() as server:
            with process.connect(self.address) as plain:
                peer = Peer(self.address, self.context)
                peer.step(peer.tls.write, b'hello')
                self.assertEqual(peer.receive(5), b'hello')
                peer.socket.close()
                server.expect('Session.*abort')
                plain.close()
                server.expect('Session.*abort')  # in its handshake
            with self.client() as client:
                self.assertEqual(process.exchange(client, b'still here'), b'still here')

    def test_who_does_not_speak_tls_is_let_go_and_others_are_served(self):
        with self.server() as server, process.connect(self.address) as plain, self.client() as other:
            plain.sendall(b'GET / HTTP/1.0\r\n\r\n')
            server.expect('Session.*[Pp]rotocol error')
            self.assertEqual(plain.recv(100), b'')
            self.assertEqual(process.exchange(other, b'and me\n'), b'and me\n')

    def test_who_speaks_too_old_a_version_is_told_so_by_an_alert(self):
        with self.server() as server, self.s_client('-tls1_1', '-cipher', 'DEFAULT@SECLEVEL=0') as client:
            client.expect('tlsv1 alert')
            server.expect('Session.*[Pp]rotocol error')

    def test_a_handshake_that_does_not_end_is_given_up(self):
        with self.server(self.compile('hasty', {'4433': str(self.port), '10s': '50ms'})) as server:
            with process.connect(self.address) as silent:
                server.expect('Session.*the time is up')
                self.assertEqual(silent.recv(1), b'')

    def test_a_read_that_is_given_up_in_the_middle_of_a_record_loses_nothing(self):
        with self.server(self.compile('impatient', {'4433': str(self.port), '30s': '50ms'})):
            peer = Peer(self.address, self.context)
            record = peer.record_of(b'in two halves\n')
            for half in (record[:11], record[11:]):
                self.assertEqual(peer.receive(13), b'still there?\n')
                peer.socket.sendall(half)
            rest = peer.receive(14)
            while b'halves\n' not in rest:  # the time may be up once more before the second half is read
                rest += peer.receive(1)
            self.assertEqual(rest.replace(b'still there?\n', b''), b'in two halves\n')
            peer.socket.close()

    def test_a_write_that_is_cancelled_half_way_lets_the_server_end(self):
        with self.server() as server:
            client = self.client()  # which reads nothing
            client.settimeout(0.2)
            with self.assertRaises((TimeoutError, ssl.SSLWantWriteError)):
                while True:
                    client.sendall(bytes(65536))
            server.signal(signal.SIGTERM)
            self.assertEqual(server.finish(), 0, server.output)
            client.close()

    def test_at_its_shutdown_who_rests_is_sent_close_notify(self):
        with self.server() as server:
            with self.client() as client:
                self.assertEqual(process.exchange(client, b'hello'), b'hello')
                server.signal(signal.SIGTERM)
                self.assertEqual(client.recv(1), b'')  # not ConnectionResetError, nor SSLEOFError
            self.assertEqual(server.finish(), 0, server.output)

    def test_a_server_that_can_accept_no_more_asks_for_the_end_and_lets_its_clients_finish(self):
        files = [str(self.at / 'certificate.pem'), str(self.at / 'key.pem')]
        program = self.compile('patient', {'4433': str(self.port), '{SIGINT, SIGTERM}, 1s': '{SIGINT, SIGTERM}, 1h'})
        with process.Program([*process.command(program), *files]) as server:
            process.wait_until(self.listens)
            with self.client() as client:
                self.assertEqual(process.exchange(client, b'hello'), b'hello')
                process.deafen(self, server, self.port)
                server.expect('Acceptor failed')
                self.assertEqual(process.exchange(client, b'still there'), b'still there')
                server.signal(signal.SIGTERM)  # the second request
                self.assertEqual(server.finish(), 1, server.output)


if __name__ == '__main__':
    unittest.main()
