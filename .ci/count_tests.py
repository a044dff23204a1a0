# SPDX-License-Identifier: MIT
"""Prints how many test cases passed and failed in a `meson test` run: count_tests.py BUILD/meson-logs/testlog.json"""
import json
import re
import sys

DOCTEST = re.compile(r'test cases: *\d+ *\| *(\d+) passed *\| *(\d+) failed')
UNITTEST = re.compile(r'^Ran (\d+) tests? in', re.MULTILINE)
UNITTEST_BAD = re.compile(r'(?:failures|errors|unexpected successes)=(\d+)')
UNITTEST_SKIPPED = re.compile(r'skipped=(\d+)')


def count(test):
    """Passed and failed cases of one Meson test; one that prints no count is one case, and so is a crash."""
    # A colour code may stand between any two words of doctest's summary.
    text = re.sub(r'\x1b\[[0-9;]*m', '', (test.get('stdout') or '') + (test.get('stderr') or ''))
    good = test['result'] in ('OK', 'EXPECTEDFAIL', 'SKIP')
    passed = failed = 0
    if found := DOCTEST.findall(text):
        passed, failed = int(found[-1][0]), int(found[-1][1])
    elif found := UNITTEST.findall(text):
        verdict = text[text.rindex('Ran '):]
        failed = sum(map(int, UNITTEST_BAD.findall(verdict)))
        passed = int(found[-1]) - failed - sum(map(int, UNITTEST_SKIPPED.findall(verdict)))
    elif test['result'] == 'OK':
        passed = 1
    if not good and failed == 0:
        failed = 1
    return passed, failed


with open(sys.argv[1], encoding='utf-8') as log:
    counts = [count(json.loads(line)) for line in log if line.strip()]
print(sum(passed for passed, _ in counts), sum(failed for _, failed in counts))
