# SPDX-License-Identifier: MIT
"""What the head of each example says to try, typed into a shell as it stands there: every line that begins with `$` is
a command, and those below it, up to the next one, are what must be printed. `...` stands for anything. More may be
printed, and in another order, as programs in the background have their say when they like."""
import contextlib
import fcntl
import os
import pathlib
import re
import select
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import termios
import time
import unittest

sys.path.insert(0, sys.path[0] + '/support')
import process  # noqa: E402

EXAMPLES = pathlib.Path(__file__).resolve().parent.parent / 'examples'
NAMES = sorted(path.stem for path in EXAMPLES.glob('*.cpp'))
PROGRAMS = {pathlib.Path(path).name: process.command(os.path.abspath(path)) for path in sys.argv[1:]}
del sys.argv[1:]


def head(name):
    """The comment at the top of an example, line by line, without its slashes."""
    lines = []
    for line in (EXAMPLES / f'{name}.cpp').read_text().splitlines():
        if not line.startswith('//'):
            return lines
        lines.append(line[3:])
    return lines


def session(name):
    """The commands of its head, each with the lines that it promises."""
    steps = []
    for line in head(name):
        if line.startswith('  $ '):
            steps.append((line[4:], []))
        elif line.startswith('  ') and steps:
            steps[-1][1].append(line[2:])
    return steps


class Ports:
    """Free ports in the place of those in the text, which somebody else may be using here. Each is bound meanwhile, so
    that nobody else gets it, but not listened to: a server may bind it as well."""

    def __init__(self):
        self.sockets = {}

    def close(self):
        for holder in self.sockets.values():
            holder.close()

    def replace(self, text):
        return re.sub(r'\b80\d\d\b', lambda found: str(self.of(found[0])), text)

    def of(self, number):
        if number not in self.sockets:
            holder = socket.socket()
            holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            holder.bind(('127.0.0.1', 0))
            self.sockets[number] = holder
        return self.sockets[number].getsockname()[1]


class Shell:
    """A shell at a terminal, in a directory where the examples have been built."""

    def __init__(self, directory):
        self.master, terminal = os.openpty()
        settings = termios.tcgetattr(terminal)
        settings[3] &= ~termios.ECHO  # so that what is typed is not taken for what is printed
        termios.tcsetattr(terminal, termios.TCSANOW, settings)
        self.process = subprocess.Popen(
            ['bash', '--norc', '--noprofile', '--noediting', '-i'],
            stdin=terminal, stdout=terminal, stderr=terminal, cwd=directory,
            env={**os.environ, 'PS1': '', 'PS2': '', 'HISTFILE': ''},
            start_new_session=True, preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))
        os.close(terminal)
        self.output = ''

    def type(self, line):
        """Types a line; what is printed from now on is its output."""
        self.output = ''
        os.write(self.master, line.encode() + b'\n')

    def lacks(self, lines):
        """Those of the lines that have not been printed. Programs that share a terminal write into each other's lines:
        each may begin anywhere, and end before what an example or the shell says. But no text counts for two."""
        printed = self.output.replace('\r', '')
        missing = []
        for line in lines:
            pattern = '.*'.join(map(re.escape, line.split('...'))) + rf'(?=\n|\Z|({"|".join(NAMES)}): |\[\d)'
            found = re.search(pattern, printed)
            if found:
                printed = printed[:found.start()] + '\n' + printed[found.end():]
            else:
                missing.append(line)
        return missing

    def expect(self, lines):
        deadline = time.monotonic() + process.PATIENCE
        while self.lacks(lines):
            if not select.select([self.master], [], [], max(0, deadline - time.monotonic()))[0]:
                raise AssertionError(f'promised, but not printed: {self.lacks(lines)}; instead:\n{self.output}')
            self.output += os.read(self.master, 65536).decode(errors='replace')

    def close(self):
        """Ends the shell and what it has left in the background, as a user does who closes the window."""
        for pid in self.members():
            with contextlib.suppress(ProcessLookupError):  # it has just ended, for want of one that was killed before
                os.kill(pid, signal.SIGKILL)
        self.process.wait(process.PATIENCE)
        os.close(self.master)

    def members(self):
        """The processes of its session: itself and those that it has started."""
        found = []
        for entry in filter(str.isdigit, os.listdir('/proc')):
            try:
                with open(f'/proc/{entry}/stat', encoding='ascii', errors='replace') as file:
                    fields = file.read().rpartition(')')[2].split()
            except OSError:  # it has just ended
                continue
            if int(fields[3]) == self.process.pid:
                found.append(int(entry))
        return found


class Try(unittest.TestCase):
    def test_every_example_is_here(self):
        self.assertEqual(sorted(PROGRAMS), NAMES)

    def test_what_the_head_of_each_example_says_to_try_does_what_it_says(self):
        for name in NAMES:
            with self.subTest(name), contextlib.ExitStack() as leave:
                self.follow(name, session(name), leave)

    def follow(self, name, steps, leave):
        self.assertTrue(any(f'./{name} ' in command and printed for command, printed in steps), 'nothing to try')
        for tool in ('nc', 'curl', 'socat'):
            if not shutil.which(tool) and any(re.search(rf'(^|[|&;(] ?){tool} ', command) for command, _ in steps):
                self.skipTest(f'no {tool} here')
        ports = leave.enter_context(contextlib.closing(Ports()))
        shell = leave.enter_context(contextlib.closing(Shell(self.directory(leave))))
        for command, printed in steps:
            shell.type(ports.replace(command))
            try:
                shell.expect(list(map(ports.replace, printed)))
            except AssertionError as error:
                raise AssertionError(f'$ {command}\n{error}') from None
        # Whoever has followed it is left without an example in the background.
        process.wait_until(lambda: not self.example_runs(shell))

    def directory(self, leave):
        """Where `./NAME` is the example, as it is for whoever has built it; in a cross build, behind the emulator."""
        directory = leave.enter_context(tempfile.TemporaryDirectory())
        for name, command in PROGRAMS.items():
            path = pathlib.Path(directory, name)
            path.write_text(f'#!/bin/sh\nexec {shlex.join(command)} "$@"\n')
            path.chmod(0o755)
        return directory

    def example_runs(self, shell):
        paths = {command[-1].encode() for command in PROGRAMS.values()}
        for pid in shell.members():
            try:
                if paths & set(pathlib.Path(f'/proc/{pid}/cmdline').read_bytes().split(b'\0')):
                    return True
            except OSError:  # it has just ended
                pass
        return False


if __name__ == '__main__':
    unittest.main()
