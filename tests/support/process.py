# SPDX-License-Identifier: MIT
"""How process tests start the programs under test, natively and in a cross build alike."""
import ctypes
import errno
import os
import re
import selectors
import shlex
import signal
import socket
import subprocess
import time

# Bytes by which a process may grow and still count as flat: pages that are touched for the first time.
MEMORY_SLACK = int(os.environ.get('MOTE_TEST_MEMORY_SLACK', 256 * 1024))
PATIENCE = 60  # seconds for what should come at once: emulators and sanitizers are slow

SYS_PIDFD_GETFD = 438  # on every architecture but Alpha


def command(program):
    """The command line of a program that was built for the host machine: behind the emulator in a cross build."""
    return [*shlex.split(os.environ.get('MESON_EXE_WRAPPER', '')), program]


def run(arguments, timeout=60, **options):
    """Runs a command to its end, without input, and gives its output as text."""
    return subprocess.run(arguments, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          text=True, timeout=timeout, check=False, **options)


class Program:
    """A program that runs beside the test, to be waited for by what it prints. Killed at the end if it still runs."""

    def __init__(self, arguments, **options):
        self.process = subprocess.Popen(arguments, **{'stdin': subprocess.DEVNULL, 'stdout': subprocess.PIPE,
                                                      'stderr': subprocess.STDOUT, **options})
        self.pid = self.process.pid
        self.output = ''  # all of it
        self.seen = 0     # how much of it has been looked at

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe:
                pipe.close()

    def expect(self, pattern):
        """Waits for a line that matches, passes over those before it, and gives the match."""
        deadline = time.monotonic() + PATIENCE
        while True:
            end = self.output.find('\n', self.seen)
            if end >= 0:
                line, self.seen = self.output[self.seen:end], end + 1
                found = re.search(pattern, line)
                if found:
                    return found
            elif not self._read(deadline):
                raise AssertionError(f'no line like {pattern!r} in:\n{self.output}')

    def address(self):
        """Where it says that it listens, for socket.create_connection()."""
        host, port = self.expect(r'(?:listening on|receiving at) (?:http://)?(\S+):(\d+)').groups()
        return host.strip('[]'), int(port)

    def signal(self, number=signal.SIGINT):
        self.process.send_signal(number)

    def finish(self):
        """Waits for its end; gives the exit code, and in `output` all that it has printed."""
        deadline = time.monotonic() + PATIENCE
        while self._read(deadline):
            pass
        return self.process.wait(PATIENCE)

    def _read(self, deadline):
        with selectors.DefaultSelector() as selector:
            selector.register(self.process.stdout, selectors.EVENT_READ)
            if not selector.select(max(0, deadline - time.monotonic())):
                raise AssertionError(f'it has gone silent after:\n{self.output}')
        text = os.read(self.process.stdout.fileno(), 65536).decode()
        self.output += text
        return text != ''

    def usage(self):
        """Processor time in ticks, and how often it has slept and been woken."""
        fields = self._stat()
        with open(f'/proc/{self.pid}/status', encoding='ascii') as file:
            switches = int(re.search(r'^voluntary_ctxt_switches:\s+(\d+)', file.read(), re.MULTILINE)[1])
        return int(fields[11]) + int(fields[12]), switches

    def is_asleep(self):
        return self._stat()[0] == 'S'

    def _stat(self):
        with open(f'/proc/{self.pid}/stat', encoding='ascii') as file:
            return file.read().rpartition(')')[2].split()

    def memory(self):
        """Bytes of physical memory in use."""
        with open(f'/proc/{self.pid}/statm', encoding='ascii') as file:
            return int(file.read().split()[1]) * os.sysconf('SC_PAGE_SIZE')

    def descriptors(self):
        return len(os.listdir(f'/proc/{self.pid}/fd'))

    def highest_descriptor(self):
        return max(map(int, os.listdir(f'/proc/{self.pid}/fd')))


def connect(address, **options):
    """A connected client whose calls do not last for ever."""
    return socket.create_connection(address, timeout=PATIENCE, **options)


def receive(client, size):
    """So many bytes, or what came before the end of the stream."""
    data = b''
    while len(data) < size:
        part = client.recv(size - len(data))
        if not part:
            break
        data += part
    return data


def exchange(client, data):
    client.sendall(data)
    return receive(client, len(data))


def wait_until(condition):
    """For what cannot be waited for otherwise: asks again and again."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError('it did not come true')
        os.sched_yield()


def refuses(address):
    """Whether nobody listens there. If somebody does, it has let the connection go when this returns."""
    try:
        with connect(address) as client:
            client.shutdown(socket.SHUT_WR)
            client.recv(1)
    except ConnectionError:
        return True
    except OSError as error:
        # The listener was closed with this connection in its backlog: reset between connect() and shutdown().
        if error.errno != errno.ENOTCONN:
            raise
        return True
    return False


def listening_descriptor(program, port):
    """The number that the descriptor which listens at a port of TCP has in the program; None: none does."""
    with open('/proc/net/tcp', encoding='ascii') as file:
        lines = [line.split() for line in file]
    links = {f'socket:[{line[9]}]' for line in lines if line[1].endswith(f':{port:04X}') and line[3] == '0A'}
    folder = f'/proc/{program.pid}/fd'
    return next((int(fd) for fd in os.listdir(folder) if os.readlink(f'{folder}/{fd}') in links), None)


def deafen(test, program, port):
    """Shuts down the program's listener behind its back, so that accept() fails with an error that stays. Where this is
    not allowed, the test is skipped."""
    fd = listening_descriptor(program, port)
    duplicate = ctypes.CDLL(None, use_errno=True).syscall(SYS_PIDFD_GETFD, os.pidfd_open(program.pid), fd, 0)
    if duplicate < 0:
        if ctypes.get_errno() in (errno.EPERM, errno.ENOSYS):
            test.skipTest('pidfd_getfd() is not allowed here')
        raise OSError(ctypes.get_errno(), 'pidfd_getfd')
    with socket.socket(fileno=duplicate) as listener:
        listener.shutdown(socket.SHUT_RDWR)
