# SPDX-License-Identifier: MIT
"""What must not compile does not, and says why; what looks alike and is right does."""
import pathlib
import re
import sys
import tempfile
import unittest

sys.path.insert(0, sys.path[0] + '/support')
import process  # noqa: E402

COMPILER = sys.argv[sys.argv.index('--') + 1:]
del sys.argv[sys.argv.index('--'):]

ROOT = pathlib.Path(__file__).resolve().parent.parent

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
# A class with the members of TASK, and what else it has.
MEMBERS = TASK[:TASK.index('  mote::Step step()')] + '%s};\n'
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

    def refuses_in_words(self, words, source, *options):
        fine, messages = self.compile(source, *options)
        self.assertFalse(fine)
        self.assertIn(words, messages)

    def test_a_jump_past_an_initialised_local_is_refused_in_words(self):
        words = 'WHERE_THIS_JUMPS_PAST_A_LOCAL_VARIABLE_MAKE_IT_A_MEMBER'
        for local in ('int count = 3;', 'mote::Text text;', 'auto& self = *this;'):
            with self.subTest(local=local):
                self.refuses_in_words(words, TASK % f'''
                    {local}
                    MOTE_AWAIT(done, timer.sleep({{}}));''')
                self.refuses_in_words(words, TASK % f'''
                    if (got) {{
                      {local}
                      MOTE_YIELD();
                    }}''')
        self.refuses_in_words(words, TASK % '''
            for (char byte : bytes)
              MOTE_AWAIT(done, timer.sleep(std::chrono::seconds(byte)));''')

    def test_where_the_compiler_has_words_of_its_own_the_list_at_begin_has_them_too(self):
        room = (ROOT / 'include/mote/task/state_machine.hpp').read_text()
        listed = re.sub(r'\n//\s*', ' ', room[room.index('// What the compiler says of a mistake'):])
        passed = TASK % 'int n = 3;\nMOTE_AWAIT(done, timer.sleep(std::chrono::seconds(n)));'
        used = TASK % 'auto r = MOTE_AWAIT(done, timer.sleep({}));'
        for source, *words in ((passed, "jump to case label", "crosses initialization of 'int n'"),
                               (used, "expected primary-expression before 'do'", 'expected expression')):
            # As a system header, whose macros g++ does not show.
            fine, messages = self.compile(source, '-isystem', str(ROOT / 'include'))
            self.assertFalse(fine)
            messages = re.sub('[\u2018\u2019]', "'", messages)
            said = [each for each in words if each in messages] or ['JUMPS_PAST_A_LOCAL_VARIABLE_']  # clang shows it
            for each in said:
                self.assertIn(each, listed)
                self.assertIn(each, messages)

    def test_an_await_inside_of_a_switch_is_refused_in_words(self):
        for value in ('bytes[0]', 'got ? 1u : 2u', 'mote::Outcome().kind', 'bool(got)'):
            for await_ in ('MOTE_AWAIT(done, timer.sleep({}));', 'MOTE_YIELD();'):
                with self.subTest(value=value, await_=await_):
                    self.refuses_in_words('AwaitInsideOfASwitchWriteIfAndElse', TASK % f'''
                        switch ({value}) {{
                          default:
                            {await_}
                        }}''')

    def test_an_await_without_a_begin_is_refused_in_words(self):
        words = 'MOTE_BEGIN_is_missing_in_this_function_and_a_coroutine_has_co_await'
        for await_ in ('MOTE_AWAIT(done, timer.sleep({}));', 'MOTE_YIELD();'):
            with self.subTest(await_=await_):
                self.refuses_in_words(words, MEMBERS % f'void help() {{\n{await_}\n}}\n')
                self.refuses_in_words(words, MEMBERS % f'mote::Step help() {{\n{await_}\n}}\n')
                self.refuses_in_words(words, MEMBERS % f'mote::Step step() {{\n{await_}\nMOTE_END();\n}}\n')
        self.refuses_in_words(words, '''
            #include <mote.hpp>
            mote::Co<void> nap(mote::FrameSource&, mote::TaskTimer& timer, mote::Result<void>& slept) {
              MOTE_AWAIT(slept, timer.sleep({}));
              co_return;
            }''', '-std=c++20')

    def test_an_await_in_a_lambda_is_refused_in_words(self):
        self.refuses_in_words('MOTE_BEGIN_is_missing_in_this_function', TASK % '''
            {
              auto nap = [this] {
                MOTE_AWAIT(done, timer.sleep({}));
                return mote::done();
              };
              static_cast<void>(nap);
            }''')

    def test_a_begin_without_an_end_is_refused_in_words(self):
        words = 'MOTE_BEGIN_or_MOTE_END_is_missing_in_this_function'
        inside = MEMBERS % 'mote::Step step() {\nMOTE_BEGIN();\nMOTE_YIELD();\n}\n'
        outside = MEMBERS % 'mote::Step step();' + 'mote::Step Job::step() {\nMOTE_BEGIN();\nMOTE_YIELD();\n}\n'
        for source in (inside, outside):
            self.refuses_in_words(words, source)
            self.refuses_in_words(words, source + 'int main() {}\n')
        self.refuses_in_words(words, MEMBERS % 'mote::Step step() {\nMOTE_END();\n}\n')

    def test_what_is_no_task_or_cannot_be_made_is_refused_in_words(self):
        source = '''
            #include <mote.hpp>
            struct Job : mote::StateMachine {
              mote::TaskTimer timer;
              mote::Stream stream;
             %s:
              mote::Step step() { return mote::done(); }
            };
            mote::TaskPool<Job, 1> pool;
            bool use(mote::Reactor& reactor, mote::Stream& stream) { return pool.spawn(reactor%s) ? true : false; }
            '''
        self.accepts(source.replace('mote::TaskTimer timer;', '') % ('public', ', std::move(stream)'), '-Wno-unused-parameter')
        self.refuses_in_words('a task has a public function', source % ('private', ''))
        words = 'the arguments of spawn() are those of a constructor of the task, or else its first members'
        self.refuses_in_words(words, source % ('public', ', std::move(stream)'))
        self.refuses_in_words(words, source.replace('mote::TaskTimer timer;', '') % ('public', ', stream'))

    def test_a_begin_outside_of_a_state_machine_is_refused_in_words(self):
        self.refuses_in_words('of a class that derives from mote::StateMachine', '''
            #include <mote.hpp>
            struct Job {
              mote::Step step() {
                MOTE_BEGIN();
                MOTE_END();
              }
            };''')

    def test_co_await_in_a_step_is_refused_in_words(self):
        self.refuses_in_words('write MOTE_AWAIT(result, ...)', TASK % 'co_await timer.sleep({});', '-std=c++20')

    def test_two_awaits_on_one_line_are_refused_by_name(self):
        for first, second in (('MOTE_AWAIT(done, timer.sleep({}));', 'MOTE_AWAIT(done, timer.sleep({}));'),
                              ('MOTE_AWAIT(done, timer.sleep({}));', 'MOTE_YIELD();'),
                              ('MOTE_YIELD();', 'MOTE_YIELD();')):
            with self.subTest(first=first, second=second):
                self.refuses(TASK % (first + ' ' + second), 'only_one_MOTE_AWAIT_or_MOTE_YIELD_per_line')

    def test_a_temporary_that_would_begin_anew_is_refused(self):
        for operation in ('write_all(mote::bytes_of("hello"))', 'write_all({bytes, 3})', 'read_exactly({bytes, 3})',
                          'read_exactly(mote::ByteSpan(bytes))', 'write_all(bytes)', 'read_exactly(bytes)',
                          'write_all("hello")'):
            with self.subTest(operation=operation):
                self.refuses_in_words('so it needs a name', TASK % f'MOTE_AWAIT(done, stream.{operation});')

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

    def test_a_temporary_lambda_with_captures_is_refused_in_words(self):
        for lambda_ in ('[&count] { ++count; }', '[count]() mutable { ++count; }', '[=] { return count; }'):
            with self.subTest(lambda_=lambda_):
                self.refuses(FUNCTION % f'int count = 0; mote::Timer timer; timer.arm(reactor, {{}}, {lambda_});',
                             'a temporary would dangle: give the lambda a name')
        self.accepts(FUNCTION % 'int count = 0; auto tick = [&count] { ++count; }; mote::Timer timer; '
                                'timer.arm(reactor, {}, tick);')

    def test_what_a_callback_returns_is_dropped(self):
        self.accepts('struct Lamp { bool blink() { return true; } int operator()() { return 1; } };\n' + FUNCTION % '''
            int count = 0; Lamp lamp; mote::Timer timer;
            auto tick = [&count] { return ++count; };
            timer.arm(reactor, {}, tick);
            timer.arm(reactor, {}, lamp);
            timer.arm(reactor, {}, mote::Timer::Callback::of<&Lamp::blink>(lamp));
            timer.arm(reactor, {}, [](auto...) { return 3; });''')

    def test_plain_functions_and_lambdas_without_captures_are_callbacks(self):
        self.accepts('static void tick();\n' + FUNCTION % 'mote::Timer timer; timer.arm(reactor, {}, [] {}); '
                     'timer.arm(reactor, {}, tick); timer.arm(reactor, {}, &tick);' + '\nstatic void tick() {}\n')

    def test_an_errno_value_without_its_type_is_refused_in_words(self):
        words = 'write mote::Error(EIO)'
        kinds = ('int', 'std::size_t', 'long', 'short', 'char', 'bool', 'double', 'void', 'char*', 'std::uint16_t',
                 'mote::Fd', 'mote::Duration')
        for given in ('EIO', 'errno', '-EIO'):
            fine, messages = self.compile('#include <mote.hpp>\n' + ''.join(
                f'mote::Result<{kind}> f{number}() {{ return {given}; }}\n' for number, kind in enumerate(kinds)))
            self.assertFalse(fine)
            self.assertGreaterEqual(messages.count(words), len(kinds), messages)
            for line, kind in enumerate(kinds, 2):
                with self.subTest(kind=kind, given=given):
                    self.assertRegex(messages, rf'\.cpp:{line}:\d+: error')
        self.refuses('#include <mote.hpp>\nmote::Poll<mote::Result<int>> f() { return EIO; }', words)
        for referred in ('int', 'const int', 'long', 'const long', 'mote::Stream'):
            with self.subTest(referred=referred):
                self.refuses_in_words(words, f'#include <mote.hpp>\nmote::Result<{referred}&> f() {{ return EIO; }}')
        self.refuses('#include <mote.hpp>\nmote::Result<std::size_t> f(ssize_t n) { return n; }', words)
        self.refuses(FUNCTION % 'auto other = mote::operation<int>([](mote::PollContext) -> mote::Result<int> '
                                '{ return EIO; }); static_cast<void>(other);', words)
        self.refuses(FUNCTION % 'mote::Result<int> result; result = EIO;', 'deleted', 'ambiguous')
        self.refuses(FUNCTION % 'mote::Result<int> result; if (result == EIO) return;', 'no match', 'invalid operands')

    def test_an_errno_value_as_a_step_is_refused_in_words(self):
        for given in ('EIO', 'errno', '-1', '0', 'true'):
            with self.subTest(given=given):
                self.refuses_in_words('write mote::failed(mote::Error(EIO)), or mote::done()',
                                      TASK % f'return {given};')
        self.refuses_in_words('write mote::failed(error)', TASK % 'return mote::Error(EIO);')
        self.refuses_in_words('write mote::failed(error)', TASK % 'return done.error();')

    def test_an_operation_whose_poll_gives_no_result_is_refused_in_words(self):
        own = 'struct Next { mote::Poll<int> poll(mote::Task&) { return 3; } };'
        include = '#include <mote.hpp>\n'
        self.refuses(include + own + (TASK % 'int n; { MOTE_AWAIT(n, Next()); }'),
                     "an operation's poll() returns a Poll<Result<T>>")

    def test_errors_and_values_that_say_what_they_are_are_accepted(self):
        self.accepts('''#include <mote.hpp>
            mote::Result<int> error() { return mote::Error(EIO); }
            mote::Result<int> five() { return mote::value(5); }
            mote::Result<std::size_t> size() { return sizeof(int); }
            mote::Result<bool> yes() { return true; }
            mote::Result<double> half() { return 0.5; }
            mote::Poll<mote::Result<int>> ready() { return mote::value(5); }
            static int number = 5;
            mote::Result<int&> reference() { return number; }
            mote::Result<const int&> constant() { return number; }
            mote::Result<int&> no_reference() { return mote::Error(EIO); }
            bool is_io(const mote::Result<int>& result) { return !result && result.error() == EIO; }''')

    def test_the_header_leaves_no_internal_macro_behind(self):
        done = process.run([*COMPILER, '-dM', '-E', '-x', 'c++', '-include', 'mote.hpp', '/dev/null'])
        self.assertEqual(done.returncode, 0, done.stderr)
        names = {line.split()[1].split('(')[0] for line in done.stdout.splitlines() if 'define MOTE_' in line}
        public = {'MOTE_VERSION_MAJOR', 'MOTE_VERSION_MINOR', 'MOTE_VERSION_PATCH', 'MOTE_ASSERT',
                  'MOTE_SYSTEM', 'MOTE_BEGIN', 'MOTE_AWAIT', 'MOTE_YIELD', 'MOTE_END'}
        public |= {name for name in names if name.startswith('MOTE_LIMIT_')}
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
