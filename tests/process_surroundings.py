# SPDX-License-Identifier: MIT
"""The header in the surroundings of a program: old macros, strict warnings, limits that the program sets, modules."""
import pathlib
import re
import shutil
import sys
import tempfile
import unittest

sys.path.insert(0, sys.path[0] + '/support')
import process  # noqa: E402

COMPILER = sys.argv[sys.argv.index('--') + 1:]
del sys.argv[sys.argv.index('--'):]

ROOT = pathlib.Path(__file__).resolve().parent.parent
HEADER = (ROOT / 'include/mote.hpp').read_text(encoding='utf-8')
STANDARDS = ('c++17', 'c++20')

# What headers of C libraries, kernels, vendors and Qt have defined as macros, and what they mean by it.
MACROS = {
    'min(a, b)': '((a) < (b) ? (a) : (b))', 'max(a, b)': '((a) > (b) ? (a) : (b))', 'abs(x)': '((x) < 0 ? -(x) : (x))',
    'likely(x)': '__builtin_expect(!!(x), 1)', 'unlikely(x)': '__builtin_expect(!!(x), 0)',
    'major(x)': '(x)', 'minor(x)': '(x)', 'makedev(a, b)': '(a)', 'howmany(x, y)': '(((x) + ((y) - 1)) / (y))',
    'roundup(x, y)': '(x)', 'round(x)': '(x)', 'powerof2(x)': '(x)', 'setbit(a, i)': '(a)', 'isset(a, i)': '(a)',
    'nitems(x)': '(x)', 'container_of(a, b, c)': '(a)', 'barrier()': '', 'bit(n)': '(1u << (n))', 'sq(x)': '((x) * (x))',
    'constrain(a, b, c)': '(a)', 'check(x)': '(x)', 'verify(x)': '(x)', 'require(x)': '(x)', 'F(text)': '(text)',
    'foreach(a, b)': 'for (a : b)', 'Q_UNUSED(x)': '(void)x;', 'debug(...)': '', 'warning(...)': '', 'info(...)': '',
    'log(...)': '', 'trace(...)': '', 'panic(...)': '', 'die(...)': '', 'BIT(n)': '(1u << (n))',
    'ARRAY_SIZE(x)': '(sizeof(x) / sizeof((x)[0]))', 'MIN(a, b)': '(a)', 'MAX(a, b)': '(a)', 'CLAMP(x, a, b)': '(x)',
    'linux': '1', 'unix': '1', 'mips': '1', 'sparc': '1', 'sun': '1', 'vax': '1', 'i386': '1',
    'signals': 'public', 'slots': '', 'forever': 'for (;;)', 'emit': '', 'word': 'unsigned', 'interface': 'struct',
    'small': 'char', 'near': '', 'far': '', 'huge': '', 'pascal': '', 'cdecl': '', 'hidden': '', 'unused': '__attribute__((unused))',
    'boolean': 'int', 'byte': 'unsigned char', 'uchar': 'unsigned char', 'u8': 'unsigned char', 'u16': 'unsigned short',
    'u32': 'unsigned', 'interrupt': '', 'pixel': '', 'fallthrough': '__attribute__((fallthrough))', 'packed': '', 'IN': '', 'OUT': '',
    'OPTIONAL': '', 'TRUE': '1', 'FALSE': '0', 'BOOL': 'int', 'BYTE': 'unsigned char', 'WORD': 'unsigned short',
    'DWORD': 'unsigned', 'ERROR': '1', 'DEBUG': '1', 'INFO': '1', 'OK': '0', 'ERR': '(-1)', 'None': '0L', 'Bool': 'int',
    'Status': 'int', 'Success': '0', 'Always': '2', 'True': '1', 'False': '0', 'PI': '3', 'HIGH': '1', 'LOW': '0',
    'INPUT': '0', 'OUTPUT': '1', 'DEC': '10', 'HEX': '16', 'PACKED': '', 'UNUSED': '', 'WEAK': '', 'EXPORT': '',
    'I': '(__extension__ 1.0iF)', 'hangup': '(names[279])',
    'INLINE': 'inline', 'STATIC': 'static', 'CONST': 'const', 'VOID': 'void', 'PRIVATE': 'static', 'PUBLIC': '',
}
USE = '''
struct Job : mote::StateMachine {
  mote::Stream stream;
  mote::TaskTimer timer;
  mote::Result<std::size_t> got;
  mote::Result<void> sent;
  mote::ByteView view{};
  char bytes[16] = {};
  Job() : stream(), timer(), got(), sent() {}
  mote::Step step() {
    MOTE_BEGIN();
    MOTE_AWAIT(got, mote::with_timeout(timer, std::chrono::seconds(1), stream.read(bytes)));
    MOTE_YIELD();
    MOTE_AWAIT(sent, stream.write_all(view));
    MOTE_AWAIT(sent, timer.sleep(mote::unlimited));
    MOTE_END();
  }
};
static mote::StaticReactor<> the_reactor;
static mote::TaskPool<Job, 3> the_jobs;
static mote::Mailbox<int, 4> the_mailbox;
static mote::Channel<int, 3> the_channel;
static mote::TaskGroup<3> the_group;
int main() {
  mote::Timer tick;
  tick.arm(the_reactor, std::chrono::seconds(1), [] {});
  mote::GracefulShutdown down(the_reactor, {SIGINT, SIGTERM});
  const bool fine = the_jobs.spawn(the_reactor) && the_mailbox.post(3) && the_channel.try_send(3) &&
                    the_group.spawn(the_jobs, the_reactor) && down.run();
  return fine ? 0 : 1;
}
'''


def system_headers(standard):
    """What the header includes itself: old macros come behind it, or the C++ library is broken before mote is."""
    found = dict.fromkeys(re.findall(r'^#include (<[\w/.]+>)', HEADER, re.MULTILINE))
    return ''.join(f'#include {name}\n' for name in found if name != '<coroutine>' or standard == 'c++20')


class Surroundings(unittest.TestCase):
    def setUp(self):
        at = tempfile.TemporaryDirectory()
        self.addCleanup(at.cleanup)
        self.at = pathlib.Path(at.name)

    def compile(self, source, *options, compiler=COMPILER):
        (self.at / 'source.cpp').write_text(source, encoding='utf-8')
        return process.run([*compiler, *options, str(self.at / 'source.cpp')], timeout=process.PATIENCE * 5,
                           env={**process.os.environ, 'LC_ALL': 'C'})

    def accepts(self, source, *options):
        done = self.compile(source, *options)
        self.assertEqual((done.returncode, done.stderr), (0, ''))

    def refuses(self, source, *options, words):
        done = self.compile(source, *options)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn(words, done.stderr)

    def test_no_name_of_an_old_macro_is_used(self):
        """Each macro alone: what it would replace is marked, not compiled, so that none hides another."""
        names = {name.split('(')[0]: '(...)' if '(' in name else '' for name in MACROS}
        marks = ''.join(f'#undef {name}\n#define {name}{given} MARK_{name}\n' for name, given in names.items())
        for standard in STANDARDS:
            with self.subTest(standard=standard):
                done = self.compile(system_headers(standard) + marks + '#include <mote.hpp>\n' + USE, '-E', '-P',
                                    f'-std={standard}')
                self.assertEqual(done.returncode, 0, done.stderr)
                self.assertIn('class GracefulShutdown', done.stdout)
                self.assertEqual(sorted(set(re.findall(r'\bMARK_(\w+)', done.stdout))), [])

    def test_it_compiles_behind_all_of_them(self):
        macros = ''.join(f'#undef {name.split("(")[0]}\n#define {name} {meaning}\n' for name, meaning in MACROS.items())
        for standard in STANDARDS:
            with self.subTest(standard=standard):
                self.accepts(system_headers(standard) + macros + '#include <mote.hpp>\n' + USE, '-fsyntax-only', '-Wall',
                             f'-std={standard}')

    def test_it_compiles_behind_system_headers_with_macros_of_common_names(self):
        """Those that are installed; and the macro of <term.h> that a public name of ours has."""
        for header in ('<complex.h>', '<curses.h>', '<term.h>', '<sys/param.h>', '<sys/sysmacros.h>'):
            include = f'#include {header}\n'
            if header == '<term.h>':
                include = '#include <curses.h>\n' + include
            if self.compile(include, '-fsyntax-only').returncode != 0:
                continue
            with self.subTest(header=header):
                self.accepts(include + '#include <mote.hpp>\n' + USE, '-fsyntax-only', '-Wall')
        self.accepts('#define hangup (names[279])\n#include <mote.hpp>\n#undef hangup\n' +
                     'static_assert(static_cast<unsigned>(mote::Readiness::hangup) == 16);\n', '-fsyntax-only')
        self.accepts('#define hangup 279\n#include <mote.hpp>\nstatic_assert(hangup == 279);\n', '-fsyntax-only')

    def test_the_former_name_of_unlimited_is_there_unless_it_is_a_macro(self):
        use = '#pragma GCC diagnostic ignored "-Wdeprecated-declarations"\nstatic_assert(mote::forever == mote::unlimited);\n'
        self.accepts('#include <mote.hpp>\n' + use, '-fsyntax-only')

    def test_it_is_clean_under_the_warnings_of_strict_projects(self):
        names = '''context n size name task fd error code value slot next event events timeout deadline result data buffer
            bytes from to flags queue node timer count capacity handler callback loop interest ready handle storage waiter
            place what message path reactor stream'''.split()
        wanted = '''-Wall -Wextra -Wpedantic -Wconversion -Wsign-conversion -Wshadow -Wundef -Wold-style-cast -Wcast-align
            -Wdouble-promotion -Wuseless-cast -Wswitch-default -Wswitch-enum -Wcast-qual -Wredundant-decls
            -Wnull-dereference -Wduplicated-cond -Wduplicated-branches -Wlogical-op -Wextra-semi
            -Wzero-as-null-pointer-constant -Wnon-virtual-dtor -Woverloaded-virtual -Wsuggest-override -Wfloat-equal
            -Wunused-macros -Weffc++ -Wformat=2 -Wmissing-declarations -Wctor-dtor-privacy -Wdeprecated-copy-dtor
            -Wmismatched-tags -Wredundant-tags -Wunused-const-variable -Warith-conversion -Wshadow-all
            -Wctad-maybe-unsupported -Wextra-semi-stmt -Wmissing-variable-declarations -Wunused-template'''.split()
        known = [each for each in wanted
                 if self.compile('', '-Werror', each, '-fsyntax-only', '-x', 'c++').returncode == 0]
        self.assertGreater(len(known), 25)
        if '-Wmissing-variable-declarations' in known:
            known.remove('-Wmissing-variable-declarations')  # the program's own globals are the point here
        globals_ = ''.join(f'int {name};\n' for name in names)
        for standard in STANDARDS:
            with self.subTest(standard=standard):
                self.accepts(globals_ + '#include <mote.hpp>\n' + USE, *known, '-O2', f'-std={standard}', '-c', '-o',
                             str(self.at / 'object.o'))

    def test_it_compiles_with_the_sanitizers_of_the_compiler(self):
        """g++ takes less for a constant where it checks pointers at run time."""
        for standard in STANDARDS:
            with self.subTest(standard=standard):
                self.accepts('#include <mote.hpp>\n' + USE, '-fsyntax-only', '-fsanitize=address,undefined', '-O1',
                             f'-std={standard}')

    # ---- limits ----

    def test_limits_are_what_the_program_sets(self):
        self.accepts('''#define MOTE_LIMIT_OPERATIONS_PER_STEP 7
            #define MOTE_LIMIT_RETRY_PAUSE_MS 250
            #include <mote.hpp>
            static_assert(mote::limits::operations_per_step == 7 && mote::limits::steps_per_lower_priority == 16);
            static_assert(mote::limits::retry_pause == std::chrono::milliseconds(250));
            struct Yielding : mote::StateMachine {  // takes what is there at once, as long as it may
              mote::Event event;
              mote::Result<void> done;
              int taken = 0;
              mote::Step step() {
                taken = 0;
                MOTE_BEGIN();
                event.set();
                for (;;) {
                  MOTE_AWAIT(done, event.wait());
                  ++taken;
                  if (!done) return mote::failed(done.error());
                  if (taken > 7) return mote::failed(E2BIG);
                }
                MOTE_END();
              }
            };
            static mote::StaticReactor<> reactor;
            static mote::TaskPool<Yielding, 1> pool;
            int main() {
              if (!reactor.open() || !pool.spawn(reactor)) return 1;
              for (int turns = 0; turns < 3; ++turns) {
                if (!reactor.run_once()) return 2;
              }
              return reactor.stats().tasks == 1 ? 0 : 3;
            }''', '-o', str(self.at / 'program'))
        self.assertEqual(process.run([str(self.at / 'program')]).returncode, 0)

    def test_a_limit_out_of_range_is_refused_in_words(self):
        for name, bad, words in (('OPERATIONS_PER_STEP', 0, '1 to 255'), ('OPERATIONS_PER_STEP', 256, '1 to 255'),
                                 ('STEPS_PER_LOWER_PRIORITY', 0, '1 to 65535'), ('ACCEPTS_PER_POLL', 0, '1 to 65535'),
                                 ('QUEUES_PER_TASK', 0, '1 to 64'), ('TIMERS_PER_SCAN', 0, '1 to 65535'),
                                 ('REACTORS_WITH_WAKEUPS', 0, '1 to 4096'), ('RETRY_PAUSE_MS', 0, '1 to 60000')):
            with self.subTest(name=name, bad=bad):
                self.refuses('#include <mote.hpp>\n', '-fsyntax-only', f'-DMOTE_LIMIT_{name}={bad}',
                             words=f'MOTE_LIMIT_{name}: {words}')

    def link(self, one, other):
        (self.at / 'one.cpp').write_text(one, encoding='utf-8')
        (self.at / 'other.cpp').write_text(other, encoding='utf-8')
        return process.run([*COMPILER, '-o', str(self.at / 'program'), str(self.at / 'one.cpp'),
                            str(self.at / 'other.cpp')], timeout=process.PATIENCE * 5)

    def test_files_with_different_limits_do_not_link_and_the_linker_names_the_limit(self):
        other = '#include <mote.hpp>\nint limit() { return mote::limits::queues_per_task; }\n'
        main = '#include <mote.hpp>\nint limit();\nint main() { return limit() == mote::limits::queues_per_task ? 0 : 1; }\n'
        more = '#define MOTE_LIMIT_QUEUES_PER_TASK 5\n'
        for same in ('', more):
            done = self.link(same + main, same + other)
            self.assertEqual((done.returncode, done.stderr), (0, ''))
            self.assertEqual(process.run([str(self.at / 'program')]).returncode, 0)
        for first, second in ((main, more + other), (more + main, other)):
            done = self.link(first, second)
            self.assertNotEqual(done.returncode, 0)
            self.assertIn('MOTE_LIMIT_QUEUES_PER_TASK_differs_between_files', done.stderr)

    def test_what_is_passed_between_files_has_the_limits_in_its_name(self):
        """So it does not link either where the linker compares no values, as with -flto."""
        source = '#include <mote.hpp>\nint turns(mote::Reactor&) { return 1; }\n'
        names = set()
        for limits in ('', '#define MOTE_LIMIT_QUEUES_PER_TASK 5\n', '#define MOTE_LIMIT_RETRY_PAUSE_MS 50\n'):
            done = self.compile(limits + source, '-S', '-o', '-')
            self.assertEqual(done.returncode, 0, done.stderr)
            names.add(re.search(r'^(_Z5turns\w+):', done.stdout, re.MULTILINE)[1])
        self.assertEqual(len(names), 3)

    # ---- modules ----

    MODULE = '''module;
#include <mote.hpp>
export module mote;
export namespace mote {
%s
namespace limits {
%s
}
}
'''

    @unittest.skipUnless(shutil.which('clang++-19') or shutil.which('clang++-16'), 'needs clang 16 or later')
    def test_a_module_can_export_every_constant(self):
        compiler = [shutil.which('clang++-19') or shutil.which('clang++-16'), '-std=c++20', f'-I{ROOT / "include"}']
        limits = HEADER.split('namespace limits {')[1].split('}  // namespace limits')[0]
        constants = re.findall(r'^inline constexpr [\w:]+ (\w+)(?:\{| = )', limits, re.MULTILINE)
        self.assertEqual(len(constants), 7)
        public = ['Error', 'Reactor', 'Result', 'StaticReactor', 'Timer', 'TaskPool', 'StateMachine', 'value', 'never',
                  'pending', 'unlimited', 'Duration', 'Interest', 'Readiness', 'done', 'failed']
        (self.at / 'mote.cppm').write_text(self.MODULE % (
            '\n'.join(f'using mote::{name};' for name in public),
            '\n'.join(f'using mote::limits::{name};' for name in constants)), encoding='utf-8')
        (self.at / 'user.cpp').write_text('''import mote;
            static mote::StaticReactor<> reactor;
            static bool fired = false;
            int main() {
              static_assert(mote::limits::operations_per_step == 32 && mote::unlimited.count() > 0);
              mote::Result<int> five = mote::value(5);
              mote::Timer timer;
              if (!reactor.open()) return 1;
              timer.arm(reactor, mote::Duration(1), [] { fired = true; });
              return reactor.run() && fired && *five == 5 ? 0 : 2;
            }''', encoding='utf-8')
        for command in (['--precompile', 'mote.cppm', '-o', 'mote.pcm'],
                        ['-fmodule-file=mote=mote.pcm', 'user.cpp', 'mote.pcm', '-o', 'user']):
            done = process.run([*compiler, *command], timeout=process.PATIENCE * 5, cwd=self.at)
            self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(process.run([str(self.at / 'user')]).returncode, 0)

    def test_constants_of_the_namespace_are_inline(self):
        """Those that are not are another object in each file, and no module can export them."""
        plain = re.findall(r'^(?:template <.*> |\[\[.*\]\] )?constexpr (?!.*\().*(?: = |\{).*$', HEADER, re.MULTILINE)
        self.assertEqual(plain, [])


if __name__ == '__main__':
    unittest.main()
