# SPDX-License-Identifier: MIT
"""The web server example, as clients of all kinds see it."""
import http.client
import re
import select
import shutil
import socket
import sys
import unittest

sys.path.insert(0, sys.path[0] + '/support')
import process  # noqa: E402

HTTP_HELLO = process.command(sys.argv.pop())
GET = b'GET / HTTP/1.1\r\nHost: x\r\n\r\n'


class HttpHello(unittest.TestCase):
    def setUp(self):
        self.start()

    def start(self, *arguments):
        self.server = process.Program([*HTTP_HELLO, *arguments, '127.0.0.1:0'])
        self.addCleanup(self.server.__exit__)
        self.at = self.server.address()

    def client(self):
        client = process.connect(self.at)
        self.addCleanup(client.close)
        return client

    def answer(self, client, method='GET'):
        response = http.client.HTTPResponse(client, method=method)
        response.begin()
        self.addCleanup(response.close)
        return response, response.read()

    def status(self, request):
        """The status with which a request is refused, after which the connection ends."""
        client = self.client()
        client.sendall(request)
        response, _ = self.answer(client)
        if response.status != 200:
            self.assertEqual(response.getheader('Connection'), 'close')
            self.assertEqual(client.recv(1), b'')
        client.close()
        return response.status

    def test_every_get_is_answered_with_the_page(self):
        connection = http.client.HTTPConnection(*self.at, timeout=process.PATIENCE)
        self.addCleanup(connection.close)
        for path in ('/', '/any/other', '/with?query=1'):
            connection.request('GET', path)
            response = connection.getresponse()
            self.assertEqual((response.status, response.getheader('Content-Type')), (200, 'text/html; charset=utf-8'))
            self.assertIn(b'<h1>Hello</h1>', response.read())

    def test_a_connection_is_kept_alive(self):
        client = self.client()
        for _ in range(100):
            client.sendall(GET)
            response, page = self.answer(client)
            self.assertEqual((response.status, response.getheader('Connection')), (200, 'keep-alive'))
            self.assertIn(b'Hello', page)

    def test_a_connection_is_closed_where_that_is_asked_for(self):
        for request in (b'GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n', b'GET / HTTP/1.0\r\n\r\n'):
            client = self.client()
            client.sendall(request)
            response, _ = self.answer(client)
            self.assertEqual((response.status, response.getheader('Connection')), (200, 'close'))
            self.assertEqual(client.recv(1), b'')

    def test_requests_may_be_pipelined(self):
        client = self.client()
        client.sendall(GET * 50)
        client.shutdown(socket.SHUT_WR)
        received = process.receive(client, 1 << 20)
        self.assertEqual(received.count(b'HTTP/1.1 200 OK\r\n'), 50)
        self.assertEqual(received.count(b'</html>'), 50)

    def test_requests_may_come_in_pieces(self):
        client = self.client()
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in GET:
            client.sendall(bytes([byte]))
        self.assertEqual(self.answer(client)[0].status, 200)
        for at in range(1, len(GET)):
            client.sendall(GET[:at])
            client.sendall(GET[at:])
            self.assertEqual(self.answer(client)[0].status, 200)

    def test_head_is_answered_without_the_page(self):
        client = self.client()
        client.sendall(GET.replace(b'GET', b'HEAD') + GET)
        response, page = self.answer(client, 'HEAD')
        self.assertEqual((response.status, page), (200, b''))
        self.assertGreater(int(response.getheader('Content-Length')), 0)

    def test_what_is_no_request_is_a_400(self):
        for request in (b'hello\r\n\r\n', b'GET\r\n\r\n', b'GET / FTP/1.0\r\n\r\n', b'GET  HTTP/1.1\r\n\r\n',
                        b'GET / HTTP/2.0\r\n\r\n', b'GET nowhere HTTP/1.1\r\n\r\n', b'G\x00T / HTTP/1.1\r\n\r\n',
                        b'GET / HTTP/1.1\r\n\r\n', b'GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n',
                        b'GET / HTTP/1.1\r\nno colon\r\n\r\n', b'GET / HTTP/1.1\r\n : x\r\n\r\n',
                        b'GET / HTTP/1.1\r\nContent-Length: many\r\n\r\n', b'\x16\x03\x01\x02\x00\x01\r\n'):
            with self.subTest(request):
                self.assertEqual(self.status(request), 400)

    def test_other_methods_are_a_405(self):
        for method in (b'POST', b'PUT', b'DELETE', b'OPTIONS', b'BREW'):
            client = self.client()
            client.sendall(method + b' / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello')
            response, _ = self.answer(client)
            self.assertEqual((response.status, response.getheader('Allow')), (405, 'GET, HEAD'))

    def test_what_is_too_large_is_a_413(self):
        start = b'GET / HTTP/1.1\r\nHost: x\r\n'
        for request in (start + b'Content-Length: 1\r\n\r\nx', start + b'Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
                        b'GET /' + b'x' * 5000 + b' HTTP/1.1\r\n\r\n', start + b'Cookie: ' + b'x' * 5000 + b'\r\n\r\n',
                        start + b'A: b\r\n' * 100 + b'\r\n', start + b'Content-Length: 1' + b'0' * 30 + b'\r\n\r\n'):
            with self.subTest(request[:40]):
                self.assertEqual(self.status(request), 413)
        self.assertEqual(self.status(start + b'Content-Length: 0\r\n\r\n'), 200)

    def test_a_refusal_is_not_lost_though_much_was_sent(self):
        client = self.client()
        client.sendall(b'POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 200000\r\n\r\n' + b'x' * 200000)
        self.assertEqual(self.answer(client)[0].status, 405)

    def test_who_trickles_in_a_request_is_put_out(self):
        self.start('--patience', '1')
        slow = self.client()
        for byte in b'GET / HTTP/1.1\r\n' * 10:
            if select.select([slow], [], [], 0.2)[0]:
                break
            slow.sendall(bytes([byte]))
        try:
            self.assertEqual(slow.recv(1), b'')
        except ConnectionResetError:  # a byte was on its way
            pass
        client = self.client()
        client.sendall(GET)
        self.assertEqual(self.answer(client)[0].status, 200)

    def test_the_service_goes_on_beside_serving(self):
        client = self.client()

        def uptime():
            client.sendall(GET)
            return int(re.search(rb'Up for (\d+) seconds', self.answer(client)[1])[1])

        process.wait_until(lambda: uptime() >= 2)

    def test_many_clients_at_a_time(self):
        for _ in range(10):
            clients = [process.connect(self.at) for _ in range(100)]  # more than there is room for
            for client in clients:
                client.sendall(GET.replace(b'\r\n\r\n', b'\r\nConnection: close\r\n\r\n'))
            for client in clients:
                self.assertEqual(self.answer(client)[0].status, 200)
                client.close()

    @unittest.skipUnless(shutil.which('curl'), 'no curl here')
    def test_curl_accepts_it(self):
        url = 'http://%s:%d/' % self.at
        done = process.run(['curl', '-sS', '-i', url, url])
        self.assertEqual((done.stderr, done.returncode, done.stdout.count('200 OK')), ('', 0, 2))
        done = process.run(['curl', '-sS', '-o', '/dev/null', '-w', '%{http_code}', '-d', 'data', url])
        self.assertEqual((done.stdout, done.returncode), ('405', 0))
        done = process.run(['curl', '-sS', '-I', url])
        self.assertEqual(done.returncode, 0)

    def test_a_signal_ends_it(self):
        client = self.client()
        client.sendall(GET)
        self.answer(client)
        self.server.signal()
        process.wait_until(lambda: process.refuses(self.at))
        client.sendall(GET)
        response, _ = self.answer(client)
        self.assertEqual(response.getheader('Connection'), 'close')
        client.close()
        self.assertEqual(self.server.finish(), 0)
        self.assertRegex(self.server.output, r'\nhttp_hello: stopped; pages sent: 2; acceptor, service and \d+ clients?'
                                             r': \d+ drained, 0 cancelled, 0 destroyed\n$')

    def test_what_the_shutdown_has_counted_is_said(self):
        self.server.signal()
        self.assertEqual(self.server.finish(), 0)
        self.assertEqual(self.server.output.splitlines()[-1],
                         'http_hello: stopped; pages sent: 0; acceptor, service and 0 clients: 2 drained, 0 cancelled, '
                         '0 destroyed')

    def test_it_has_manners(self):
        for option in ('--help', '-h'):
            done = process.run([*HTTP_HELLO, option])
            self.assertEqual((done.stderr, done.returncode), ('', 0))
        for arguments in (['--patience'], ['--patience', '0'], ['--patience', '1x'], ['--patience', '-1'], ['8000'],
                          ['localhost:8000'], ['-x'], ['127.0.0.1:0', '127.0.0.1:0']):
            done = process.run([*HTTP_HELLO, *arguments])
            self.assertEqual((done.stdout, done.returncode), ('', 2), arguments)
            self.assertIn('usage: http_hello ', done.stderr)
        done = process.run([*HTTP_HELLO, '%s:%d' % self.at])
        self.assertEqual(done.returncode, 1)
        self.assertIn('Address already in use', done.stderr)


if __name__ == '__main__':
    unittest.main()
