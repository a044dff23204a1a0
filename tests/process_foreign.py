# SPDX-License-Identifier: MIT
"""What docs/foreign-libraries.md shows is compiled and run against the real libraries and servers on loopback, prints
what the page says, and is as long as it says. A library or a server that is not installed is said, and left out."""
import contextlib
import pathlib
import re
import shutil
import socket
import struct
import sys
import tempfile
import threading
import unittest

sys.path.insert(0, sys.path[0] + '/support')
import process  # noqa: E402

COMPILER = sys.argv[sys.argv.index('--') + 1:]
del sys.argv[sys.argv.index('--'):]

PAGE = (pathlib.Path(__file__).resolve().parent.parent / 'docs' / 'foreign-libraries.md').read_text()
PROGRAMS = {name: (library, text) for name, library, text in
            re.findall(r'<!-- program: (\w+)(?:, (-l\w+))? -->\n```cpp\n(.*?\n)```\n', PAGE, re.DOTALL)}


def output(name):
    return PAGE.split(f'<!-- output: {name} -->\n```\n')[1].split('```')[0]


def free_port(kind=socket.SOCK_STREAM):
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(('127.0.0.1', 0))
        return probe.getsockname()[1]


def glue_lines(text):
    """Of a program: the lines between its two marks that are neither empty nor a comment."""
    glue = text.split('// ---- the glue\n')[1].split('// ---- the program\n')[0]
    return len([line for line in glue.splitlines() if line.strip() and not line.strip().startswith('//')])


# The error page is as long as docs/foreign-libraries.md says: Python's own is another one in another release.
WEB_SERVER = '''
import functools, http.server, sys
class Handler(http.server.SimpleHTTPRequestHandler):
    error_message_format = 'x' * 335
    def log_message(self, *_): pass
handler = functools.partial(Handler, directory=sys.argv[2])
http.server.ThreadingHTTPServer(('127.0.0.1', int(sys.argv[1])), handler).serve_forever()
'''


def dns_answer(query):
    """sensor.example has the address 192.0.2.7, and there is no other name."""
    end = query.index(b'\0', 12) + 5
    question = query[12:end]
    if not question.startswith(b'\6sensor\7example\0'):
        return query[:2] + struct.pack('>5H', 0x8183, 1, 0, 0, 0) + question
    record = b'\xc0\x0c' + struct.pack('>HHIH', 1, 1, 60, 4) + bytes([192, 0, 2, 7])
    return query[:2] + struct.pack('>5H', 0x8180, 1, 1, 0, 0) + question + record


@contextlib.contextmanager
def dns_server():
    """Answers until it is sent an empty datagram; gives its port."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(('127.0.0.1', 0))

        def serve():
            while True:
                query, client = server.recvfrom(512)
                if not query:
                    return
                server.sendto(dns_answer(query), client)
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield server.getsockname()[1]
        finally:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as end:
                end.sendto(b'', server.getsockname())
            thread.join()


class ForeignLibraries(unittest.TestCase):
    def setUp(self):
        self.at = tempfile.TemporaryDirectory()
        self.addCleanup(self.at.cleanup)

    def needs(self, header=None, program=None):
        if header:
            probe = pathlib.Path(self.at.name, 'probe.cpp')
            probe.write_text(f'#include <{header}>\n')
            if process.run([*COMPILER, '-std=c++17', '-fsyntax-only', str(probe)]).returncode != 0:
                self.skipTest(f'{header} is not installed')
        path = shutil.which(program, path='/usr/bin:/usr/sbin:/usr/local/bin:/usr/local/sbin') if program else None
        if program and path is None:
            self.skipTest(f'{program} is not installed')
        return path

    def compiled(self, name, ports=None):
        """A program as it stands in the page, but for its ports."""
        library, text = PROGRAMS[name]
        for written, port in (ports or {}).items():
            self.assertIn(written, text)
            text = text.replace(written, port)
        source = pathlib.Path(self.at.name, name + '.cpp')
        source.write_text(text)
        program = str(source.with_suffix(''))
        options = ['-std=c++17', '-Wall', '-Wextra', '-Wpedantic', '-Wshadow', '-Werror', '-o', program, str(source)]
        done = process.run([*COMPILER, *options, *filter(None, [library])], timeout=process.PATIENCE * 5)
        self.assertEqual(done.returncode, 0, done.stderr)
        return process.command(program)

    def check(self, name, ports=None, in_any_order=False):
        done = process.run(self.compiled(name, ports))
        self.assertEqual(done.stderr, '')
        self.assertEqual(done.returncode, 0, done.stdout)
        wanted, got = output(name).splitlines(), done.stdout.splitlines()
        if in_any_order:
            wanted, got = sorted(wanted), sorted(got)
        self.assertEqual(got, wanted)

    def started(self, server, port):
        """Waits until a server that is about to listen on this port does."""
        process.wait_until(lambda: server.process.poll() is not None or not process.refuses(('127.0.0.1', port)))
        self.assertIsNone(server.process.poll(), server.output)

    def test_hiredis_counts_in_a_redis_server(self):
        self.needs(header='hiredis/async.h')
        redis = self.needs(program='redis-server')
        port = free_port()
        with process.Program([redis, '--port', str(port), '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no',
                              '--dir', self.at.name]) as server:
            self.started(server, port)
            self.check('hiredis', {'6379': str(port)})

    def test_curl_fetches_two_files_at_a_time(self):
        self.needs(header='curl/curl.h')
        pathlib.Path(self.at.name, 'large.bin').write_bytes(bytes(3000000))
        port = free_port()
        with process.Program([sys.executable, '-c', WEB_SERVER, str(port), self.at.name]) as server:
            self.started(server, port)
            self.check('curl', {'8080': str(port)}, in_any_order=True)

    def test_c_ares_asks_a_name_server(self):
        self.needs(header='ares.h')
        with dns_server() as port:
            self.check('cares', {'5353': str(port)}, in_any_order=True)

    def test_mosquitto_publishes_to_itself(self):
        self.needs(header='mosquitto.h')
        mosquitto = self.needs(program='mosquitto')
        port = free_port()
        settings = pathlib.Path(self.at.name, 'mosquitto.conf')
        settings.write_text(f'listener {port} 127.0.0.1\nallow_anonymous true\n')
        with process.Program([mosquitto, '-c', str(settings)]) as server:
            self.started(server, port)
            self.check('mosquitto', {'1883': str(port)})

    def test_a_descriptor_that_is_borrowed_is_awaited(self):
        self.check('borrowed')

    def test_the_page_says_how_long_each_glue_is(self):
        stated = {name: int(lines) for name, lines in re.findall(r'^\| \[[\w-]+\]\(#([\w-]+)\) \|.*\| (\d+) \|$', PAGE,
                                                                 re.MULTILINE)}
        names = {'hiredis': 'hiredis', 'libcurl': 'curl', 'c-ares': 'cares', 'libmosquitto': 'mosquitto'}
        self.assertEqual(stated, {page: glue_lines(PROGRAMS[name][1]) for page, name in names.items()})

    def test_no_code_is_shown_that_is_not_run(self):
        self.assertEqual(len(re.findall(r'^```cpp$', PAGE, re.MULTILINE)), len(PROGRAMS))
        run = set(re.findall(r"self\.check\('(\w+)'", pathlib.Path(__file__).read_text()))
        self.assertEqual(set(PROGRAMS), run)

    def test_prose_fits_its_lines(self):
        prose = re.sub(r'^```.*?^```$|^\|.*$', '', PAGE, flags=re.MULTILINE | re.DOTALL)
        self.assertEqual([line for line in prose.splitlines() if len(line) > 120], [])


if __name__ == '__main__':
    unittest.main()
