# SPDX-License-Identifier: MIT
"""What docs/testing.md and tests/scenarios.md say of the tests is true: those that they name are there, and each
scenario has one. Each room of the library is named by the files that test it."""
import os
import re
import sys
import unittest
import xml.etree.ElementTree

sys.path.insert(0, sys.path[0] + '/support')
import process  # noqa: E402

PROGRAMS = [process.command(program) for program in sys.argv[1:]]
del sys.argv[1:]
TESTS = os.path.dirname(os.path.abspath(__file__))
PAGES = [os.path.join(TESTS, os.pardir, 'docs', 'testing.md'), os.path.join(TESTS, 'scenarios.md')]
SECTIONS = ['The guarantees and their tests', 'Registration', 'Readiness', 'TCP and friends', 'Edges', 'Timers',
            'Signals, wake-ups, fork', 'Tasks', 'Structured concurrency', 'Coroutines', 'Shutdown', 'Faults',
            'Misuse and its words', "Operations, libraries and descriptors of one's own", 'The first impression']
ROOMS = os.path.join(TESTS, os.pardir, 'include', 'mote')
# No test file names these, and why.
NOT_NAMED = {
    'base/config.hpp': 'macros and limits, which do nothing by themselves',
    'base/pinned.hpp': 'forbids copying and moving: process_compile.py tries it on each owner',
}


def test_cases():
    """The built programs' test cases, as (file, name without the selector that it runs on)."""
    cases = set()
    for program in PROGRAMS:
        listed = process.run([*program, '--list-test-cases', '--reporters=xml', '--no-path-filenames=true'])
        for case in xml.etree.ElementTree.fromstring(listed.stdout).iter('TestCase'):
            cases.add((case.get('filename'), re.sub(r'<test::On\w+>$', '', case.get('name'))))
    return cases


def script_cases():
    """Those of the process tests: (file, name of the method)."""
    cases = set()
    for name in os.listdir(TESTS):
        if re.fullmatch(r'process_\w+\.py', name):
            with open(os.path.join(TESTS, name), encoding='utf-8') as file:
                cases.update((name, found) for found in re.findall(r'^    def (test_\w+)', file.read(), re.MULTILINE))
    return cases


def page():
    """Both of them, one behind the other."""
    text = ''
    for path in PAGES:
        with open(path, encoding='utf-8') as file:
            text += file.read()
    return text


def rooms():
    """As the tests write them: LAYER/ROOM.hpp."""
    return {f'{layer}/{name}' for layer in os.listdir(ROOMS) for name in os.listdir(os.path.join(ROOMS, layer))}


def named_rooms(text):
    """Those in a test file's line "Rooms:", which may go on over several lines and ends with a full stop."""
    head = re.match(r'(?://.*\n)+', text)
    line = re.search(r'^// Rooms: ((?:.*\n)*?.*)\.$', head.group(), re.MULTILINE) if head else None
    return re.findall(r'\w+/\w+\.hpp', line.group(1)) if line else []


def rooms_of_tests():
    """Of each file of doctest cases: the rooms that it names."""
    named = {}
    for name in os.listdir(TESTS):
        if re.fullmatch(r'(?:test|fault|coroutine)_\w+\.cpp', name):
            with open(os.path.join(TESTS, name), encoding='utf-8') as file:
                named[name] = named_rooms(file.read())
    return named


def claims():
    """Of each section: [(what holds, [(file, name)])]. A row without a first cell goes on with the one above it."""
    sections = {}
    for part in re.split(r'^###? ', page(), flags=re.MULTILINE)[1:]:
        title, _, body = part.partition('\n')
        for table in re.findall(r'^\| (?:Guarantee|Scenario) \|.*\n\|[-|]+\|\n((?:\|.*\n)+)', body, re.MULTILINE):
            for row in table.splitlines():
                what, test, file = (cell.strip().replace(r'\|', '|') for cell in re.split(r'(?<!\\)\|', row)[1:-1])
                rows = sections.setdefault(title, [])
                if what:
                    rows.append((what, []))
                if test:
                    rows[-1][1].append((file.strip('`'), test.strip('`')))
    return sections


def is_like(name, pattern):
    """A '*' in the pattern stands for anything, as in the programs' filters."""
    return re.fullmatch('.*'.join(map(re.escape, pattern.split('*'))), name)


def is_there(quoted, cases):
    return any(file == quoted[0] and is_like(name, quoted[1]) for file, name in cases)


def public_functions(text):
    """Of each class of a room: the names of its public functions."""
    found = {}
    lines = re.MULTILINE | re.DOTALL
    for name, body in re.findall(r'^(?:template <[^>]*> )?class (\w+)[^;{]*\{\n(.*?)^\};', text, lines):
        public = re.sub(r'^ (?:private|protected):\n.*?(?=^ public:|\Z)', '', ' private:\n' + body, flags=lines)
        declaration = r'^  (?:template <.*?> )?(?! |//|explicit|operator|friend)[\w:<>&*, ]*?[ &*](\w+)\('
        found[name] = set(re.findall(declaration, public, re.MULTILINE))
    return found


class TestingPage(unittest.TestCase):
    maxDiff = None

    def test_every_guarantee_and_every_scenario_has_a_test(self):
        found = claims()
        self.assertEqual(list(found), SECTIONS)
        self.assertEqual([what for rows in found.values() for what, tests in rows if not tests], [])

    def test_every_test_that_is_quoted_in_a_table_is_there(self):
        cases = test_cases() | script_cases()
        quoted = [test for rows in claims().values() for _, tests in rows for test in tests]
        self.assertGreater(len(quoted), 100)
        self.assertEqual([test for test in quoted if not is_there(test, cases)], [])

    def test_every_filter_in_a_command_selects_something(self):
        filters = re.findall(r"(mote_\w+) .*--test-case='(.*)'$", page(), re.MULTILINE)
        self.assertGreater(len(filters), 2)
        for name, pattern in filters:
            program = next(each for each in PROGRAMS if os.path.basename(each[-1]) == name)
            listed = process.run([*program, '--list-test-cases', f'--test-case={pattern}', '--no-colors'])
            self.assertIn('test::On', listed.stdout, pattern)

    def test_the_sample_of_the_console_is_of_tests_that_are_there(self):
        sample = re.findall(r'^(\w+\.cpp):\d+:(.*)<test\.On\w+>:PASS$', page(), re.MULTILINE)
        self.assertGreater(len(sample), 2)
        cases = {(file, name.replace(':', '.')) for file, name in test_cases()}
        self.assertEqual([line for line in sample if line not in cases], [])

    def test_every_file_that_is_named_is_there(self):
        named = re.findall(r'\b(?:test|fault|coroutine|process)_\w+\.(?:cpp|py|hpp)', page())
        there = set(os.listdir(TESTS)) | set(os.listdir(os.path.join(TESTS, 'support')))
        placeholders = {'test_NAME.cpp', 'fault_NAME.cpp', 'coroutine_NAME.cpp', 'process_NAME.py'}
        self.assertEqual(sorted(set(named) - there - placeholders), [])

    def test_every_room_is_named_by_a_test_file(self):
        named = {room for each in rooms_of_tests().values() for room in each}
        self.assertEqual(sorted(rooms() - named - set(NOT_NAMED)), [])
        self.assertEqual(sorted(set(NOT_NAMED) & named), [])

    def test_every_room_that_a_test_file_names_is_there(self):
        named = {(file, room) for file, each in rooms_of_tests().items() for room in each}
        self.assertEqual(sorted((file, room) for file, room in named if room not in rooms()), [])
        self.assertEqual(sorted(set(NOT_NAMED) - rooms()), [])

    def test_a_test_file_with_the_name_of_a_room_names_that_room(self):
        wrong = []
        for file, named in rooms_of_tests().items():
            stem = file.partition('_')[2].replace('.cpp', '.hpp')
            wrong += [(file, room) for room in rooms() if room.endswith('/' + stem) and room not in named]
        self.assertEqual(sorted(wrong), [])

    def test_the_line_of_rooms_is_read_to_its_full_stop(self):
        text = '// SPDX\n// Rooms: a/b.hpp (it), c/d.hpp,\n// e/f.hpp.\n// And not g/h.hpp.\nint x;\n'
        self.assertEqual(named_rooms(text), ['a/b.hpp', 'c/d.hpp', 'e/f.hpp'])
        self.assertEqual(named_rooms('// SPDX\n// No room, as in a/b.hpp.\n// Rooms: c/d.hpp\n'), [])

    def test_every_function_of_an_object_that_names_a_reactor_is_called_after_the_reactors_end(self):
        with open(os.path.join(TESTS, 'test_reactor_gone.cpp'), encoding='utf-8') as file:
            called = set(re.findall(r'[.>](\w+)\(', file.read()))
        left_out = []
        for room in sorted(rooms()):
            with open(os.path.join(ROOMS, room), encoding='utf-8') as file:
                text = file.read()
            if not re.search(r'Reactor& reactor|SchedulerRef reactor', text):
                continue
            for name, functions in public_functions(text).items():
                # The reactor itself is gone, with its tasks; Waker, Mailbox and Signals call their WakerCore.
                if name not in ('Reactor', 'Coroutine', 'WakerCore'):
                    left_out += [f'{name}::{function}' for function in sorted(functions - called - {name})]
        self.assertEqual(left_out, ['Source::reactor'])  # only of an open one

    def test_a_test_that_is_not_there_would_be_missed(self):
        cases = {('test_a.cpp', 'one: two, three')}
        self.assertTrue(is_there(('test_a.cpp', 'one: two, three'), cases))
        self.assertTrue(is_there(('test_a.cpp', 'one: *'), cases))
        self.assertFalse(is_there(('test_a.cpp', 'one: two'), cases))
        self.assertFalse(is_there(('test_b.cpp', 'one: two, three'), cases))
        self.assertFalse(is_there(('test_a.cpp', '*: four'), cases))


if __name__ == '__main__':
    unittest.main()
