# SPDX-License-Identifier: MIT
"""The pipeline: what flows through it, what holds it up, and how it ends."""
import os
import re
import select
import signal
import subprocess
import sys
import tempfile
import time
import unittest

sys.path.insert(0, sys.path[0] + '/support')
import process  # noqa: E402

PIPELINE = process.command(sys.argv.pop())
USAGE = ('usage: pipeline [--every SAMPLES] [--timeout SECONDS] [FILE]\n'
         'FILE is standard input if it is not given; a named pipe is read until a signal ends that\n')


class Pipeline(unittest.TestCase):
    def start(self, *arguments, **options):
        pipeline = process.Program([*PIPELINE, *arguments], **{'stdin': subprocess.PIPE, **options})
        self.addCleanup(pipeline.__exit__)
        return pipeline

    def feed(self, pipeline, text):
        data = memoryview(text.encode())
        while data:
            data = data[os.write(pipeline.process.stdin.fileno(), data):]

    def directory(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        return directory.name

    def is_read(self, fifo):
        try:
            os.close(os.open(fifo, os.O_WRONLY | os.O_NONBLOCK))
        except OSError:  # ENXIO
            return False
        return True

    def feed_until_it_waits(self, pipeline):
        """Samples 1, 2, 3 ... until nobody takes them any more; gives the last one."""
        pipe = pipeline.process.stdin.fileno()
        os.set_blocking(pipe, False)
        last = 0
        while select.select([], [pipe], [], 0.5)[1]:  # writable: there is room for a whole page
            part = range(last + 1, last + 101)
            os.write(pipe, ''.join(f'{number}\n' for number in part).encode())
            last = part[-1]
        os.set_blocking(pipe, True)
        return last

    def start_with_its_output_stuck(self, *arguments):
        pipeline = self.start('--every', '1', *arguments, stderr=subprocess.PIPE)
        self.addCleanup(pipeline.process.stderr.close)
        return pipeline, self.feed_until_it_waits(pipeline)

    # ---- what flows

    def test_so_many_samples_make_a_line_and_the_rest_makes_the_last(self):
        pipeline = self.start('--every', '4')
        self.feed(pipeline, '1\n2\n3\n4\n-5.5\n1e3\n7\r\n 8 \n9.25')
        pipeline.process.stdin.close()
        self.assertEqual(pipeline.finish(), 0)
        self.assertEqual(pipeline.output, '4 samples, 1 to 4, mean 2.5\n4 samples, -5.5 to 1000, mean 252.375\n'
                                          '1 sample, 9.25 to 9.25, mean 9.25\npipeline: samples read: 9, written: 9\n')

    def test_a_line_is_written_as_soon_as_its_samples_are_there(self):
        pipeline = self.start('--every', '2')
        for number in range(1, 100, 2):
            self.feed(pipeline, f'{number}\n{number + 1}\n')
            pipeline.expect(f'^2 samples, {number} to {number + 1}, ')

    def test_from_a_file_into_a_file_nothing_is_lost(self):
        directory = self.directory()
        with open(directory + '/in', 'w', encoding='ascii') as file:
            file.writelines(f'{number}\n' for number in range(100000))
        with open(directory + '/out', 'w+', encoding='ascii') as file:
            pipeline = self.start('--every', '1000', directory + '/in', stdout=file, stderr=subprocess.PIPE)
            self.addCleanup(pipeline.process.stderr.close)
            self.assertEqual(pipeline.process.wait(process.PATIENCE), 0)
            file.seek(0)
            self.assertEqual(file.read(), ''.join(f'1000 samples, {at} to {at + 999}, mean {at + 499.5:g}\n'
                                                  for at in range(0, 100000, 1000)))

    def test_who_writes_into_a_named_pipe_may_leave_and_the_next_come(self):
        path = self.directory() + '/samples'
        os.mkfifo(path)
        pipeline = self.start('--every', '2', path)
        for number in range(5):
            process.wait_until(lambda: self.is_read(path))
            with open(path, 'w', encoding='ascii') as writer:
                writer.write(f'{number}\n{number}\n')
            pipeline.expect(f'^2 samples, {number} to {number}, mean {number}$')
        pipeline.signal(signal.SIGTERM)
        self.assertEqual(pipeline.finish(), 0)
        self.assertTrue(pipeline.output.endswith('pipeline: stopped; samples read: 10, written: 10\n'), pipeline.output)

    def test_what_is_no_number_is_said_and_passed_over(self):
        pipeline = self.start()
        self.feed(pipeline, '1\nx\n\n' + '9' * 500 + '\n2 3\nnan\ninf\n4\x00\n5\n')
        pipeline.process.stdin.close()
        self.assertEqual(pipeline.finish(), 0)
        self.assertEqual(re.findall(r'^pipeline: line (\d+ is .*)$', pipeline.output, re.MULTILINE),
                         ['2 is no number', '3 is no number', '4 is too long', '5 is no number', '6 is no number',
                          '7 is no number', '8 is no number'])
        self.assertIn('\n2 samples, 1 to 5, mean 3\n', pipeline.output)

    # ---- time-out

    def test_when_it_hears_nothing_it_says_so_and_goes_on(self):
        pipeline = self.start('--every', '3', '--timeout', '0.2')
        began = time.monotonic()
        self.feed(pipeline, '1\n')
        pipeline.expect('^pipeline: no sample for 0.2 s$')
        pipeline.expect('^pipeline: no sample for 0.2 s$')
        self.assertGreaterEqual(time.monotonic() - began, 0.4)
        self.feed(pipeline, '2\n3\n')
        pipeline.expect('^3 samples, 1 to 3, mean 2$')

    def test_while_it_waits_it_uses_no_processor_time_and_never_wakes(self):
        pipeline = self.start('--every', '1', '--timeout', '3600')
        self.feed(pipeline, '1\n')
        pipeline.expect('^1 sample,')
        process.wait_until(pipeline.is_asleep)
        before = pipeline.usage()
        self.assertEqual(select.select([pipeline.process.stdout], [], [], 1), ([], [], []))
        self.assertEqual(pipeline.usage(), before)

    # ---- a slow output

    def test_a_slow_output_holds_up_who_feeds_it_and_loses_nothing(self):
        pipeline, last = self.start_with_its_output_stuck()
        before = pipeline.memory()
        self.assertEqual(select.select([], [pipeline.process.stdin], [], 0.5), ([], [], []))
        self.assertLess(pipeline.memory() - before, process.MEMORY_SLACK)
        pipeline.process.stdin.close()
        self.assertEqual(pipeline.finish(), 0)
        self.assertEqual(pipeline.output, ''.join(f'1 sample, {number:g} to {number:g}, mean {number:g}\n'
                                                  for number in range(1, last + 1)))

    def test_when_the_output_is_closed_it_reads_no_more_and_ends_in_1(self):
        pipeline, _ = self.start_with_its_output_stuck()
        pipeline.process.stdout.close()
        self.assertEqual(pipeline.process.wait(process.PATIENCE), 1)
        self.assertRegex(pipeline.process.stderr.read().decode(),
                         r'^pipeline: cannot write the output: Broken pipe\npipeline: samples read: \d+, written: \d+\n$')

    def test_a_full_disk_is_said_and_ends_in_1(self):
        with open('/dev/full', 'w', encoding='ascii') as full:
            pipeline = self.start('--every', '1', stdout=full, stderr=subprocess.PIPE)
        self.addCleanup(pipeline.process.stderr.close)
        self.feed(pipeline, '1\n')
        self.assertEqual(pipeline.process.wait(process.PATIENCE), 1)
        self.assertIn(b'pipeline: cannot write the output: No space left on device\n', pipeline.process.stderr.read())

    # ---- the end

    def test_after_a_signal_what_has_been_read_is_written_though_its_input_goes_on(self):
        for number in (signal.SIGINT, signal.SIGTERM):
            pipeline = self.start('--every', '5')
            self.feed(pipeline, '1\n2\n3\n4\n5\n6\n7\n')
            pipeline.expect('^5 samples, 1 to 5, mean 3$')
            pipeline.signal(number)
            self.assertEqual(pipeline.finish(), 0)
            self.assertTrue(pipeline.output.endswith('\n2 samples, 6 to 7, mean 6.5\n'
                                                     'pipeline: stopped; samples read: 7, written: 7\n'), pipeline.output)

    def test_after_a_signal_a_slow_output_still_gets_what_has_been_read(self):
        pipeline, last = self.start_with_its_output_stuck()
        pipeline.signal()
        self.assertEqual(pipeline.finish(), 0)  # reads its output
        read, written = map(int, re.search(rb'stopped; samples read: (\d+), written: (\d+)',
                                           pipeline.process.stderr.read()).groups())
        self.assertEqual((read, pipeline.output.count('\n')), (written, written))
        self.assertLess(read, last)

    def test_an_output_that_is_stuck_is_given_up_when_the_grace_period_is_over(self):
        pipeline, _ = self.start_with_its_output_stuck()
        began = time.monotonic()
        pipeline.signal()
        self.assertEqual(pipeline.process.wait(process.PATIENCE), 1)
        self.assertGreaterEqual(time.monotonic() - began, 2)
        read, written = map(int, re.search(rb'stopped; samples read: (\d+), written: (\d+)',
                                           pipeline.process.stderr.read()).groups())
        self.assertGreater(read, written)

    # ---- what goes wrong

    def test_it_has_manners(self):
        for option in ('--help', '-h'):
            done = process.run([*PIPELINE, option])
            self.assertEqual((done.stdout, done.stderr, done.returncode), (USAGE, '', 0))
        for arguments in (['--every'], ['--every', '0'], ['--every', '1x'], ['--every', '-1'], ['--every', ''],
                          ['--every', '9999999'], ['--timeout', '0'], ['--timeout', '-1'], ['--timeout', 'x'],
                          ['--timeout', '1e3'], ['--timeout', ''], ['--timeout', '9999999999'], ['a', 'b'], ['-x']):
            done = process.run([*PIPELINE, *arguments])
            self.assertEqual((done.stdout, done.returncode), ('', 2), arguments)
            self.assertTrue(done.stderr.endswith(USAGE), done.stderr)
            self.assertIn('pipeline: ', done.stderr)
        for arguments, why in ((['/none'], 'cannot read /none: No such file or directory'),
                               (['/'], 'cannot read the input: Is a directory')):
            done = process.run([*PIPELINE, *arguments])
            self.assertEqual((done.stdout, done.returncode), ('', 1), arguments)
            self.assertIn(f'pipeline: {why}\n', done.stderr)

    def test_standard_input_and_output_that_are_closed_are_said(self):
        for descriptor, why in ((0, 'read standard input'), (1, 'write to standard output')):
            done = process.run(['/bin/sh', '-c', f'exec "$@" {descriptor}>&-', 'sh', *PIPELINE])
            self.assertEqual((done.stdout, done.stderr, done.returncode),
                             ('', f'pipeline: cannot {why}: Bad file descriptor\n', 1))


if __name__ == '__main__':
    unittest.main()
