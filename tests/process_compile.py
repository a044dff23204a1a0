# SPDX-License-Identifier: MIT
"""What must not compile does not, and says why; what looks alike and is right does."""
import sys
import tempfile
import unittest

sys.path.insert(0, sys.path[0] + '/support')
import process  # noqa: E402

COMPILER = sys.argv[sys.argv.index('--') + 1:]
del sys.argv[sys.argv.index('--'):]

TASK = '''
#include <mote.hpp>
struct Job : mote::StateMachine {
  mote::Stream stream;
  mote::TaskTimer timer;
  mote::Result<void> done;
  mote::Result<std::size_t> got;
  char bytes[16];
  mote::ByteView view;
  mote::ByteSpan span;
  mote::Step step() {
    MOTE_BEGIN();
    %s
    MOTE_END();
  }
};
'''
FUNCTION = '''
#include <mote.hpp>
void use(mote::Reactor& reactor, mote::Stream& stream) {
  static_cast<void>(reactor), static_cast<void>(stream);
  %s
}
'''


class Compiling(unittest.TestCase):
    def compile(self, source, *options):
        with tempfile.NamedTemporaryFile('w', suffix='.cpp') as file:
            file.write(source)
            file.flush()
            done = process.run([*COMPILER, '-fsyntax-only', '-Wall', '-Wextra', *options, file.name],
                               env={**process.os.environ, 'LC_ALL': 'C'})
        return done.returncode == 0, done.stderr

    def accepts(self, source, *options):
        fine, messages = self.compile(source, *options)
        self.assertTrue(fine, messages)
        self.assertEqual(messages, '')

    def refuses(self, source, *reasons):
        """With one of these reasons: compilers word them differently."""
        fine, messages = self.compile(source)
        self.assertFalse(fine)
        self.assertTrue(any(reason in messages for reason in reasons), messages)

    def test_awaits_on_their_own_lines_are_accepted(self):
        self.accepts(TASK % '''
            { int inside = 1; if (inside != 1) return mote::done(); }
            MOTE_AWAIT(done, timer.sleep(std::chrono::seconds(1)));
            MOTE_YIELD();
            while (done) MOTE_AWAIT(got, stream.read(bytes));
            MOTE_AWAIT(done, stream.write_all(view));
            MOTE_AWAIT(done, stream.read_exactly(span));
            if (!done) return mote::failed(done.error());''')

    def test_a_jump_past_an_initialised_local_is_refused(self):
        self.refuses(TASK % '''
            int count = 3;
            MOTE_AWAIT(done, timer.sleep(std::chrono::seconds(count)));''',
                     'jump to case label', 'jump bypasses variable initialization',
                     "cannot jump from switch statement to this case label")

    def test_two_awaits_on_one_line_are_refused_by_name(self):
        for first, second in (('MOTE_AWAIT(done, timer.sleep({}));', 'MOTE_AWAIT(done, timer.sleep({}));'),
                              ('MOTE_AWAIT(done, timer.sleep({}));', 'MOTE_YIELD();'),
                              ('MOTE_YIELD();', 'MOTE_YIELD();')):
            with self.subTest(first=first, second=second):
                self.refuses(TASK % (first + ' ' + second), 'only_one_MOTE_AWAIT_or_MOTE_YIELD_per_line')

    def test_a_temporary_that_would_begin_anew_is_refused(self):
        for operation in ('write_all(mote::bytes_of("hello"))', 'write_all({bytes, 3})', 'read_exactly({bytes, 3})',
                          'read_exactly(mote::ByteSpan(bytes))'):
            with self.subTest(operation=operation):
                self.refuses(TASK % f'MOTE_AWAIT(done, stream.{operation});', 'deleted', 'no matching', 'ambiguous')

    def test_a_result_that_is_dropped_is_warned_of(self):
        for call in ('reactor.run();', 'reactor.run_once();', 'stream.shutdown_write();', 'reactor.enable_wakeups();'):
            with self.subTest(call=call):
                fine, messages = self.compile(FUNCTION % call)
                self.assertTrue(fine, messages)
                self.assertIn('nodiscard', messages)
                self.refuses('#pragma GCC diagnostic error "-Wunused-result"\n' + FUNCTION % call, 'nodiscard')

    def test_a_result_that_is_looked_at_is_not_warned_of(self):
        self.accepts(FUNCTION % 'if (!reactor.run()) static_cast<void>(reactor.run_once());')

    def test_a_mailbox_of_a_size_that_is_no_power_of_two_is_refused(self):
        self.refuses(FUNCTION % 'mote::Mailbox<int, 3> mailbox;', 'the capacity of a Mailbox is a power of two')
        self.refuses(FUNCTION % 'mote::Mailbox<int, 0> mailbox;', 'the capacity of a Mailbox is a power of two')
        self.accepts(FUNCTION % 'mote::Mailbox<int, 1> one; mote::Mailbox<int, 256> many;')

    def test_capacities_of_nothing_are_refused(self):
        none = 'struct None : mote::Config { static constexpr std::size_t descriptors = 0; };\n'
        self.refuses('#include <mote.hpp>\n' + none + 'mote::StaticReactor<None> reactor;', 'static assertion failed',
                     'static_assert failed')
        self.refuses(FUNCTION % 'struct Job { mote::Step step(); }; mote::TaskPool<Job, 0> pool;',
                     'between 1 and 16,777,215 tasks')
        self.refuses(FUNCTION % 'mote::LineReader<1> reader;', 'room for one byte and the delimiter')

    def test_owners_are_not_copied(self):
        for owner in ('mote::Fd', 'mote::Stream', 'mote::TaskHandle', 'mote::StaticReactor<>', 'mote::Timer',
                      'mote::Waker', 'mote::Signals', 'mote::TaskTimer', 'mote::PollSelector<4>', 'mote::BorrowedSource',
                      'mote::ForeignDescriptors<4>', 'mote::Completion<int>'):
            with self.subTest(owner=owner):
                self.refuses(f'#include <mote.hpp>\n{owner} copy({owner}& original) {{ return original; }}',
                             'deleted', 'implicitly-deleted', 'no matching constructor')

    def test_a_delegate_takes_no_temporary(self):
        self.refuses(FUNCTION % 'mote::Timer timer; timer.arm(reactor, {}, [] {});', 'cannot convert',
                     'could not convert', 'no viable conversion', 'cannot bind', 'no known conversion')
        self.accepts(FUNCTION % 'auto tick = [] {}; mote::Timer timer; timer.arm(reactor, {}, tick);')

    def test_the_header_leaves_no_internal_macro_behind(self):
        done = process.run([*COMPILER, '-dM', '-E', '-x', 'c++', '-include', 'mote.hpp', '/dev/null'])
        self.assertEqual(done.returncode, 0, done.stderr)
        names = {line.split()[1].split('(')[0] for line in done.stdout.splitlines() if 'define MOTE_' in line}
        public = {'MOTE_VERSION_MAJOR', 'MOTE_VERSION_MINOR', 'MOTE_VERSION_PATCH', 'MOTE_ASSERT',
                  'MOTE_SYSTEM', 'MOTE_BEGIN', 'MOTE_AWAIT', 'MOTE_YIELD', 'MOTE_END'}
        # What rooms need that are included behind the one header: their guards, and the namespace's name.
        rooms = {name for name in names if name.endswith('_HPP')} | {'MOTE_NAMESPACE'}
        unknown = {name for name in names - public - rooms if not name.startswith('MOTE_DETAIL_')}
        self.assertEqual(unknown, set())

    def test_it_compiles_with_warnings_in_every_standard_and_without_exceptions_or_rtti(self):
        strict = ('-Wpedantic -Wconversion -Wsign-conversion -Wshadow -Wundef -Wold-style-cast -Wcast-align '
                  '-Wdouble-promotion').split()
        everything = TASK % 'MOTE_AWAIT(got, stream.read(bytes));' + '''
            mote::StaticReactor<> reactor;
            mote::TaskPool<Job, 3> jobs;
            mote::Mailbox<int, 4> mailbox;
            mote::LineReader<80> lines;
            mote::Signals signals;
            mote::Listener listener;
            mote::Result<mote::TaskHandle> start() { return jobs.spawn(reactor); }'''
        for standard in ('c++17', 'c++20', 'c++2b'):
            for options in ([], ['-fno-exceptions', '-fno-rtti'], ['-fexceptions', '-frtti', '-DNDEBUG']):
                with self.subTest(standard=standard, options=options):
                    self.accepts(everything, f'-std={standard}', *strict, *options)


if __name__ == '__main__':
    unittest.main()
