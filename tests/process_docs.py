# SPDX-License-Identifier: MIT
"""What docs/testing.md and tests/scenarios.md say of the tests is true: those that they name are there, and each scenario
has one."""
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
            'Signals, wake-ups, fork', 'Tasks', 'Structured concurrency', 'Coroutines', 'Shutdown', 'Faults']


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
        named = re.findall(r'\b(?:test|fault|process)_\w+\.(?:cpp|py|hpp)', page())
        there = set(os.listdir(TESTS)) | set(os.listdir(os.path.join(TESTS, 'support')))
        self.assertEqual(sorted(set(named) - there - {'test_NAME.cpp', 'fault_NAME.cpp', 'process_NAME.py'}), [])

    def test_a_test_that_is_not_there_would_be_missed(self):
        cases = {('test_a.cpp', 'one: two, three')}
        self.assertTrue(is_there(('test_a.cpp', 'one: two, three'), cases))
        self.assertTrue(is_there(('test_a.cpp', 'one: *'), cases))
        self.assertFalse(is_there(('test_a.cpp', 'one: two'), cases))
        self.assertFalse(is_there(('test_b.cpp', 'one: two, three'), cases))
        self.assertFalse(is_there(('test_a.cpp', '*: four'), cases))


if __name__ == '__main__':
    unittest.main()
