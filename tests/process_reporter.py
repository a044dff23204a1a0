# SPDX-License-Identifier: MIT
"""The unity reporter prints exactly what the Unity test harness would."""
import sys
import unittest

sys.path.insert(0, sys.path[0] + '/support')
import process  # noqa: E402

SAMPLE = process.command(sys.argv.pop())


def report(*arguments):
    done = process.run([*SAMPLE, '--reporters=unity', '--no-path-filenames=true', *arguments])
    return done.stdout, done.returncode


class UnityReporter(unittest.TestCase):
    maxDiff = None

    def test_each_outcome_has_its_line_and_the_summary_follows(self):
        self.assertEqual(report('--order-by=file'), ('''\
reporter_sample.cpp:5:a test passes:PASS
reporter_sample.cpp:12:a test fails in its second subcase:FAIL: \
CHECK( four == 5 ) values: 4 == 5; in second; while it sleeps
reporter_sample.cpp:17:a test is skipped:IGNORE
reporter_sample.cpp:19:name. with a colon:PASS
reporter_sample.cpp:21:a test should have failed:FAIL: should have failed, but did not

-----------------------
5 Tests 2 Failures 1 Ignored\x20
FAIL
''', 1))

    def test_a_run_without_failures_ends_in_ok(self):
        self.assertEqual(report('--test-case=a test passes'), ('''\
reporter_sample.cpp:5:a test passes:PASS

-----------------------
1 Tests 0 Failures 0 Ignored\x20
OK
''', 0))

    def test_filters_that_select_nothing_are_an_error(self):
        self.assertEqual(report('--test-case=no such test'), ('''\

-----------------------
0 Tests 0 Failures 0 Ignored\x20
OK
''', 1))


if __name__ == '__main__':
    unittest.main()
