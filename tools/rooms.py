# SPDX-License-Identifier: MIT
"""The rooms of the library, include/mote/LAYER/ROOM.hpp, as the tools see them: what each includes, the layers that
they lie in, the rules that their includes keep, and the order in which they can be read."""
import pathlib
import re

# From bottom to top: a layer uses only itself and those above it in this list. With each, what it is for.
LAYERS = {
    'base': 'vocabulary: configuration, Error and Result, views of bytes, intrusive lists, the timing wheel',
    'system': 'the seam where all system calls are made, clocks, owned descriptors',
    'selector': 'waiting for many descriptors: epoll and poll, usable alone',
    'task': 'what is stepped: Task, TaskPool, StateMachine, handles, places to wait, the scheduler',
    'reactor': 'the loop: Reactor and its storage, the descriptor table, turns',
    'time': 'Timer for callbacks, TaskTimer for tasks',
    'io': 'sockets and other descriptors that tasks read and write',
    'device': 'what firmware talks to',
    'thread': 'waking the loop from other threads and signal handlers',
    'sync': 'what tasks use among themselves: to wait for each other, for several things, for a limited time',
    'shutdown': 'how a program ends with grace',
    'coroutine': 'C++20: the same operations with co_await, on frames from static pools',
}
FOLDER = 'include/mote'
CPP20 = '#if __cplusplus >= 202002L'

INCLUDE = re.compile(r'#\s*include\s*([<"])([^>"]+)[>"](?:\s*// (.*))?')
OURS = re.compile(r'mote/(\w+/\w+\.hpp)')


class Mistake(Exception):
    """What is wrong with the rooms: a line for each thing, with the place and what to do."""

    def __init__(self, problems):
        super().__init__('\n'.join(problems))


class Include:
    """One #include of a room."""

    def __init__(self, number, quote, target, reason, condition):
        self.number = number        # of the line, from 1
        self.quoted = quote == '"'
        self.target = target        # as it is written
        self.reason = reason        # the comment behind it, or None
        self.condition = condition  # the innermost #if around it, other than the room's guard; or None

    @property
    def is_ours(self):
        return self.quoted or self.target.split('/')[0].split('.')[0] == 'mote'

    @property
    def room(self):
        """The room that is included, as 'io/stream.hpp'; None if it is not written <mote/LAYER/ROOM.hpp>."""
        found = OURS.fullmatch(self.target)
        return found[1] if found and not self.quoted else None


class Room:
    """One file, named by its path below include/mote, such as 'io/stream.hpp'."""

    def __init__(self, path, text):
        self.path = path
        self.layer, _, self.file = path.rpartition('/')
        self.name = self.file.removesuffix('.hpp')
        self.text = text
        self.lines = text.splitlines()
        self.guard = re.sub(r'\W', '_', f'mote/{path}').upper()
        self.includes = self._read_includes()

    def place(self, number=1):
        return f'{FOLDER}/{self.path}:{number}'

    def _read_includes(self):
        includes, conditions = [], []
        for number, line in enumerate(self.lines, 1):
            if re.match(r'#\s*if', line):
                conditions.append(line)
            elif re.match(r'#\s*el', line):
                conditions[-1:] = [line]
            elif re.match(r'#\s*endif', line):
                conditions[-1:] = []
            elif found := INCLUDE.match(line):
                others = [condition for condition in conditions if self.guard not in condition]
                includes.append(Include(number, *found.groups(), others[-1] if others else None))
        return includes

    def rooms(self):
        """Those that it includes, as it writes them."""
        return [include.room for include in self.includes if include.room]


def read_text(file):
    """A file's text. Raises Mistake unless it is there and holds plain UTF-8, its lines ended by a line feed alone."""
    try:
        text = file.read_bytes().decode('utf-8')
    except OSError as error:
        raise Mistake([f'{file}:1: cannot be read: {error.strerror}']) from None
    except UnicodeDecodeError as error:
        raise Mistake([f'{file}:1: is not UTF-8, at byte {error.start}: correct it']) from None
    if text.startswith('\ufeff'):
        raise Mistake([f'{file}:1: begins with a byte-order mark: remove it'])
    if '\r' in text:
        raise Mistake([f'{file}:{text[:text.index(chr(13))].count(chr(10)) + 1}: has a carriage return: end lines by a line '
                       'feed alone'])
    return text


def read_rooms(root):
    """All rooms below the root of the repository, by path. Raises Mistake unless they keep the rules."""
    folder = pathlib.Path(root) / FOLDER
    files = sorted(folder.rglob('*.hpp'))
    if not files:
        raise Mistake([f'{folder}:1: holds no rooms: name the root of the repository'])
    paths = [file.relative_to(folder).as_posix() for file in files]
    rooms = {path: Room(path, read_text(file)) for path, file in zip(paths, files)}
    problems = []
    for room in rooms.values():
        problems += problems_of_place(room) + problems_of_guard(room) + problems_of_includes(room, rooms)
    if not problems:
        problems = circles(rooms)
    if problems:
        raise Mistake(problems)
    return rooms


def problems_of_place(room):
    if room.layer in LAYERS:
        return []
    return [f'{room.place()}: is in no layer: move it to {FOLDER}/LAYER/, with one of the LAYERS of tools/rooms.py']


def problems_of_guard(room):
    opening = [f'#ifndef {room.guard}', f'#define {room.guard}']
    directives = [(number, line) for number, line in enumerate(room.lines, 1) if line.startswith('#')]
    number = directives[0][0] if directives else 1
    problems = []
    if [line for _, line in directives[:2]] != opening:
        problems.append(f'{room.place(number)}: has no guard of its name: begin with {" / ".join(opening)}')
    ending = f'#endif  // {room.guard}'
    if not room.lines or room.lines[-1] != ending:
        problems.append(f'{room.place(len(room.lines))}: does not end with its guard: end with {ending}')
    return problems


def problems_of_includes(room, rooms):
    problems = []
    for include in room.includes:
        place = room.place(include.number)
        if not include.is_ours:
            continue
        if include.room is None:
            problems.append(f'{place}: includes {include.target}: write a room as <mote/LAYER/ROOM.hpp>')
        elif include.room not in rooms:
            problems.append(f'{place}: includes mote/{include.room}, which is not there: correct the name')
        elif is_above(rooms[include.room].layer, room.layer):
            problems.append(f'{place}: includes mote/{include.room}, of a higher layer: let {room.layer} own a small '
                            f'interface that {rooms[include.room].layer} implements, or move the room')
    return problems


def is_above(layer, other):
    """Whether it is the higher one of two known layers."""
    order = list(LAYERS)
    return layer in LAYERS and other in LAYERS and order.index(layer) > order.index(other)


def circles(rooms):
    """A problem for each circle that a walk along the includes comes upon."""
    problems, finished = [], set()

    def visit(room, way):
        if room.path in way:
            circle = way[way.index(room.path):] + [room.path]
            problems.append(f'{room.place()}: a circle of includes, {" -> ".join(circle)}: '
                            'move what they need of each other to a room of its own')
        elif room.path not in finished:
            for needed in room.rooms():
                visit(rooms[needed], way + [room.path])
            finished.add(room.path)

    for room in rooms.values():
        visit(room, [])
    return problems


def in_order(rooms):
    """The rooms, each behind those that it includes: by layers, then by name, but each as soon as one needs it."""
    ordered = []

    def place(room):
        if room in ordered:
            return
        for needed in room.rooms():
            place(rooms[needed])
        ordered.append(room)

    for layer in LAYERS:
        for room in rooms.values():
            if room.layer == layer:
                place(room)
    return ordered


def by_layer(ordered):
    """The rooms of each layer that has any, bottom layer first."""
    layers = {layer: [room for room in ordered if room.layer == layer] for layer in LAYERS}
    return {layer: members for layer, members in layers.items() if members}
