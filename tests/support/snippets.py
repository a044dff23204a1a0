# SPDX-License-Identifier: MIT
"""Programs that stand in the documentation's pages: found by their marks, compiled as they stand there, and started."""
import pathlib
import re
import select
import signal
import socket
import sys
import tempfile
import unittest

import process

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
LANGUAGES = r'C\+\+17|C\+\+20|C\+\+17 header|Python'
PROGRAM = re.compile(rf'<!-- program: (\w+), ({LANGUAGES}) -->\n```(?:cpp|python)\n(.*?\n)```\n', re.DOTALL)
STRICT = ['-Wall', '-Wextra', '-Wpedantic', '-Wshadow', '-Werror']


def page(name):
    return (ROOT / 'docs' / name).read_text()


def programs(text):
    """By name and language; what is C++17 is C++20, too, unless there is another one for that."""
    found = {}
    for name, language, program in PROGRAM.findall(text):
        if language == 'C++17':
            found.setdefault((name, 'C++20'), program)
        found[name, language] = program
    return found


def output(text, name, language=None):
    """What the page says that a program prints."""
    marker = f'<!-- output: {name}{", " + language if language else ""} -->\n```\n'
    return text.split(marker)[1].split('```')[0]


def free_ports(count):
    probes = [socket.create_server(('127.0.0.1', 0)) for _ in range(count)]
    ports = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return ports


def listens(address):
    with open('/proc/net/tcp', encoding='ascii') as file:
        return f'0100007F:{address[1]:04X} 00000000:0000 0A' in file.read()


def binds(address):
    """Whether somebody receives datagrams there."""
    with open('/proc/net/udp', encoding='ascii') as file:
        return f' 0100007F:{address[1]:04X} ' in file.read()


def is_silent(client):
    return not select.select([client], [], [], 0)[0]


def not_run(text, run):
    """The programs of a page that are not among those that are run, and the code that is no program."""
    code, marked = len(re.findall(r'^```cpp$', text, re.MULTILINE)), len(PROGRAM.findall(text))
    return sorted({name for name, _ in programs(text)} - run) + ['code without a mark'] * (code - marked)


def long_lines(text):
    return [line for line in text.splitlines() if len(line) > 120 and not line.startswith('|')]


class Snippets(unittest.TestCase):
    """A test of a page's programs: derive from it, and set `text` and `compiler`."""
    text = ''
    compiler = []
    strict = STRICT
    running = ''

    def __str__(self):
        return f'{super().__str__()} {self.running}'

    def setUp(self):
        self.at = tempfile.TemporaryDirectory()
        self.addCleanup(self.at.cleanup)
        self.programs = programs(self.text)

    def path(self, name):
        return str(pathlib.Path(self.at.name, name))

    def command(self, name, language, changes=None, options=()):
        """Writes a program as it stands in the page, but for its constants; compiles it; gives its command line."""
        text = self.programs[name, language]
        for written, instead in (changes or {}).items():
            self.assertIn(str(written), text)
            text = text.replace(str(written), str(instead))
        if language == 'Python':
            source = pathlib.Path(self.at.name, 'program.py')
            source.write_text(text)
            return [sys.executable, str(source)]
        source = pathlib.Path(self.at.name, 'program.cpp')
        source.write_text(text)
        program = str(source.with_suffix(''))
        flags = [f'-std={language.lower()}', *self.strict, *options]
        done = process.run([*self.compiler, *flags, '-o', program, str(source)], timeout=process.PATIENCE * 5)
        self.assertEqual(done.returncode, 0, done.stderr)
        return process.command(program)

    def each(self, name):
        """The languages in which there is such a program, one after the other."""
        found = [language for each, language in self.programs if each == name]
        self.assertTrue(found, name)
        for language in found:
            self.running = f'{name}, {language}'
            yield language

    def listening(self, program, address):
        """Servers print nothing when they are ready, so they are asked until they are."""
        process.wait_until(lambda: listens(address) or program.process.poll() is not None)
        self.assertTrue(listens(address), 'it has ended')

    def prints_what_the_page_says(self, name):
        for language in self.each(name):
            done = process.run(self.command(name, language))
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
            self.assertEqual(done.stdout, output(self.text, name))


class Programs(Snippets):
    """A test of a page with servers at port 7777."""
    strict = [*STRICT, '-Wconversion', '-fno-exceptions', '-fno-rtti']

    def servers(self, name, changes=None):
        for language in self.each(name):
            port, = free_ports(1)
            address = '127.0.0.1', port
            with process.Program(self.command(name, language, {7777: port, **(changes or {})})) as server:
                self.listening(server, address)
                yield server, address

    def deaf_servers(self, name, changes):
        """Such servers, whose grace period is long, each with a client before and after it has gone deaf. They are to
        have asked for the end by themselves: so one signal is the second request, and the exit code is not 0."""
        for server, address in self.servers(name, changes):
            with process.connect(address) as client:
                yield server, client
                process.deafen(self, server, address[1])
                server.expect('^mote: task .+ failed after .*: Invalid argument$')
                yield server, client
                server.signal(signal.SIGTERM)
                self.assertEqual(server.finish(), 1, server.output)

    def ends_well(self, program, number=signal.SIGTERM):
        program.signal(number)
        self.assertEqual(program.finish(), 0, program.output)
