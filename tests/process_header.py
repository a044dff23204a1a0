# SPDX-License-Identifier: MIT
"""The one header is what the rooms make of it, both can be used side by side, and the tools that see to it work."""
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
TOOLS = ROOT / 'tools'
WARNINGS = ['-Wall', '-Wextra', '-Wpedantic', '-Wshadow', '-Werror']

CONFIG = '''#define MOTE_VERSION_MAJOR 1
#define MOTE_VERSION_MINOR 2
#define MOTE_VERSION_PATCH 3'''


def room(path, text='', includes=()):
    """The text of a room, with its guard."""
    guard = 'MOTE_' + path.removesuffix('.hpp').replace('/', '_').upper() + '_HPP'
    lines = ['// SPDX-License-Identifier: MIT', '// Copyright (c) 2026 The mote authors', f'// What {path} is about.',
             f'#ifndef {guard}', f'#define {guard}', '', *(f'#include {include}' for include in includes), '', text, '',
             f'#endif  // {guard}']
    return '\n'.join(lines) + '\n'


class Tree(unittest.TestCase):
    """A small repository of its own."""

    def setUp(self):
        at = tempfile.TemporaryDirectory()
        self.addCleanup(at.cleanup)
        self.root = pathlib.Path(at.name)
        self.add('base/config.hpp', CONFIG)

    def write(self, path, text):
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding='utf-8')

    def add(self, path, text='', includes=()):
        self.write('include/mote/' + path, room(path, text, includes))

    def run_tool(self, tool, *options):
        return process.run([sys.executable, str(TOOLS / tool), '--root', str(self.root), *options])

    def accepts(self, tool, *options):
        done = self.run_tool(tool, *options)
        self.assertEqual((done.returncode, done.stderr), (0, ''))

    def refuses(self, tool, *reasons):
        """With status 1, and all of these words."""
        done = self.run_tool(tool, *(['--check'] if tool in ('amalgamate', 'layers') else []))
        self.assertEqual(done.returncode, 1, done.stdout)
        for reason in reasons:
            self.assertIn(reason, done.stderr)

    def header(self):
        """What the rooms are put together to."""
        self.accepts('amalgamate')
        return (self.root / 'include/mote.hpp').read_text(encoding='utf-8')


class Amalgamating(Tree):
    def test_rooms_follow_what_they_include_layer_by_layer(self):
        self.add('task/task.hpp', 'int task;', ['<mote/base/error.hpp>'])
        self.add('base/error.hpp', 'int error;', ['<mote/base/result.hpp>'])
        self.add('base/result.hpp', 'int result;', ['<mote/base/config.hpp>'])
        text = self.header()
        places = [text.index(f'\n// include/mote/{path}.hpp\n')
                  for path in ('base/config', 'base/result', 'base/error', 'task/task')]
        self.assertEqual(places, sorted(places))
        self.assertIn('config, result, error\n', text)  # in the table of contents
        self.assertNotIn('#include <mote/', text)

    def test_a_room_keeps_its_guard_and_its_comments_and_gets_a_banner(self):
        self.add('base/error.hpp', '// An errno value.\nint error;', ['<mote/base/config.hpp>'])
        rule = '// ' + '=' * 117
        self.assertIn(f'\n{rule}\n// include/mote/base/error.hpp\n{rule}\n// What base/error.hpp is about.\n'
                      '#ifndef MOTE_BASE_ERROR_HPP\n#define MOTE_BASE_ERROR_HPP\n\n// An errno value.\nint error;\n\n'
                      '#endif  // MOTE_BASE_ERROR_HPP\n', self.header())

    def test_system_headers_are_included_once_with_their_reasons(self):
        self.add('base/error.hpp', '', ['<errno.h>  // errno', '<string.h>  // strerror', '<new>  // placement new'])
        self.add('io/stream.hpp', '', ['<sys/socket.h>  // sockets', '<errno.h>  // errno'])
        self.assertIn('\n#include <errno.h>       // errno\n#include <string.h>      // strerror\n'
                      '#include <sys/socket.h>  // sockets\n\n#include <new>  // placement new\n', self.header())

    def test_a_system_header_of_later_standards_keeps_its_condition(self):
        self.add('coroutine/co.hpp', '#if __cplusplus >= 202002L\n#include <coroutine>  // coroutine_handle\n'
                                     '#include <errno.h>  // errno\n\nint co;\n#endif  // C++20')
        self.add('base/error.hpp', '', ['<errno.h>  // errno'])
        text = self.header()
        self.assertIn('#if __cplusplus >= 202002L\n#include <coroutine>  // coroutine_handle\n#endif\n', text)
        self.assertIn('#if __cplusplus >= 202002L\n\nint co;\n#endif  // C++20\n', text)
        self.assertEqual(text.count('<errno.h>'), 1)

    def test_the_include_of_the_seam_stays_where_it_is(self):
        seam = '#ifdef MOTE_SYSTEM_HEADER\n#include MOTE_SYSTEM_HEADER\n#endif'
        self.add('system/system.hpp', f'int before;\n{seam}\nint after;')
        self.assertIn(f'int before;\n{seam}\nint after;', self.header())

    def test_the_version_is_the_rooms(self):
        self.assertIn('\n// Version 1.2.3\n', self.header())

    def test_the_same_rooms_make_the_same_file(self):
        self.add('base/error.hpp', 'int error;\n\n\n\nint other;', ['<mote/base/config.hpp>'])
        first = self.header()
        self.assertEqual(self.header(), first)
        self.assertNotIn('\n\n\n', first)
        self.accepts('amalgamate', '--check')

    def test_a_file_that_differs_is_stale_and_left_alone(self):
        self.header()
        self.add('base/error.hpp')
        before = (self.root / 'include/mote.hpp').read_bytes()
        self.refuses('amalgamate', 'include/mote.hpp: stale: run tools/amalgamate',
                     'tests/support/rooms/mote.hpp: stale: run tools/amalgamate')
        self.assertEqual((self.root / 'include/mote.hpp').read_bytes(), before)

    def test_it_writes_elsewhere_when_told_to(self):
        self.accepts('amalgamate', '--output', str(self.root / 'other.hpp'))
        self.assertTrue((self.root / 'other.hpp').is_file())
        self.assertFalse((self.root / 'include/mote.hpp').exists())

    def test_arguments_that_it_does_not_know_are_refused_with_its_usage(self):
        for tool in ('amalgamate', 'layers', 'check_rooms', 'check_versions'):
            done = self.run_tool(tool, '--no-such-option')
            self.assertEqual(done.returncode, 2)
            self.assertIn('usage:', done.stderr)

    def test_an_include_of_a_higher_layer_is_refused(self):
        self.add('io/stream.hpp')
        self.add('task/task.hpp', '', ['<mote/io/stream.hpp>'])
        self.refuses('amalgamate', 'include/mote/task/task.hpp:7: includes mote/io/stream.hpp, of a higher layer')

    def test_a_circle_is_refused_and_shown(self):
        self.add('task/a.hpp', '', ['<mote/task/b.hpp>'])
        self.add('task/b.hpp', '', ['<mote/task/c.hpp>'])
        self.add('task/c.hpp', '', ['<mote/task/b.hpp>'])
        self.refuses('amalgamate', 'a circle of includes, task/b.hpp -> task/c.hpp -> task/b.hpp')

    def test_an_include_of_what_is_not_there_is_refused(self):
        self.add('task/task.hpp', '', ['<mote/base/errors.hpp>'])
        self.refuses('amalgamate', 'include/mote/task/task.hpp:7: includes mote/base/errors.hpp, which is not there')

    def test_an_include_that_is_not_written_in_full_is_refused(self):
        self.add('base/error.hpp')
        for include in ('"error.hpp"', '"mote/base/error.hpp"', '<mote.hpp>', '<mote/error.hpp>'):
            with self.subTest(include=include):
                self.add('base/result.hpp', '', [include])
                self.refuses('amalgamate', 'include/mote/base/result.hpp:7: includes ',
                             'write a room as <mote/LAYER/ROOM.hpp>')

    def test_a_room_without_its_guard_is_refused(self):
        self.write('include/mote/base/error.hpp', '#pragma once\nint error;\n')
        self.refuses('amalgamate', 'include/mote/base/error.hpp:1: has no guard of its name',
                     'include/mote/base/error.hpp:2: does not end with its guard')

    def test_a_guard_of_another_name_is_refused(self):
        self.write('include/mote/base/error.hpp', room('base/result.hpp'))
        self.refuses('amalgamate', 'include/mote/base/error.hpp:4: has no guard of its name: '
                                   'begin with #ifndef MOTE_BASE_ERROR_HPP / #define MOTE_BASE_ERROR_HPP')

    def test_a_room_of_no_layer_is_refused(self):
        self.add('misc/things.hpp')
        self.refuses('amalgamate', 'include/mote/misc/things.hpp:1: is in no layer')

    def test_a_room_that_is_not_plain_text_is_refused(self):
        file = self.root / 'include/mote/base/config.hpp'
        plain = file.read_bytes()
        for spoilt, reason in ((plain.replace(b'\n', b'\r\n'), 'config.hpp:1: has a carriage return'),
                               (b'\xef\xbb\xbf' + plain, 'begins with a byte-order mark'),
                               (b'\xff' + plain, 'is not UTF-8, at byte 0')):
            file.write_bytes(spoilt)
            self.refuses('amalgamate', reason)

    def test_a_header_that_differs_in_its_line_ends_is_stale_and_made_anew(self):
        self.header()
        file = self.root / 'include/mote.hpp'
        for spoilt in (file.read_bytes().replace(b'\n', b'\r\n'), b'\xff'):
            file.write_bytes(spoilt)
            self.refuses('amalgamate', 'stale')
            self.assertNotEqual(self.header(), '')

    def test_a_place_without_rooms_is_refused(self):
        (self.root / 'include/mote/base/config.hpp').unlink()
        for tool in ('amalgamate', 'layers', 'check_rooms'):
            self.write('docs/architecture.md', 'left alone')
            self.refuses(tool, 'holds no rooms')

    def test_a_system_header_without_a_reason_or_with_two_is_refused(self):
        self.add('base/error.hpp', '', ['<errno.h>  // errno', '<new>'])
        self.add('base/result.hpp', '', ['<errno.h>  // its names'])
        self.refuses('amalgamate', 'include/mote/base/error.hpp:8: says no reason for <new>',
                     'include/mote/base/result.hpp:7: gives another reason for <errno.h> than '
                     'include/mote/base/error.hpp:7, which says "errno"')


class Drawing(Tree):
    PAGE = '# Architecture\n<!-- layers: begin, written by tools/layers -->\n<!-- layers: end -->\nThe rest.\n'

    def page(self):
        return (self.root / 'docs/architecture.md').read_text(encoding='utf-8')

    def setUp(self):
        super().setUp()
        self.add('task/task.hpp', '', ['<mote/base/config.hpp>'])
        self.add('io/stream.hpp', '', ['<mote/base/config.hpp>', '<mote/task/task.hpp>'])

    def test_arrows_are_the_includes_that_do_not_follow_from_others(self):
        self.write('docs/architecture.md', self.PAGE)
        self.accepts('layers')
        self.assertIn('  io --> task\n  task --> base\n```\n', self.page())
        self.assertIn('  io["<b>io</b><br/>stream"]\n', self.page())
        self.assertNotIn('io --> base', self.page())
        self.assertTrue(self.page().startswith('# Architecture\n') and self.page().endswith('\nThe rest.\n'))
        self.accepts('layers', '--check')

    def test_a_picture_that_differs_is_stale(self):
        self.write('docs/architecture.md', self.PAGE)
        self.refuses('layers', 'stale: run tools/layers')
        self.assertEqual(self.page(), self.PAGE)

    def test_a_page_without_a_place_for_it_is_refused(self):
        self.refuses('layers', 'architecture.md:1: cannot be read')
        self.write('docs/architecture.md', 'no place')
        self.refuses('layers', 'has no place for the picture')
        self.write('docs/architecture.md', self.PAGE + self.PAGE)
        self.refuses('layers', 'has no place for the picture')


class Versions(Tree):
    PLACES = {
        'include/mote/base/config.hpp': CONFIG + """
#ifdef MOTE_SYSTEM_HEADER
#define MOTE_NAMESPACE v1_2_3_seam
#else
#define MOTE_NAMESPACE v1_2_3
#endif
""",
        'include/mote.hpp': '// mote\n// Version 1.2.3\n',
        'meson.build': "project('mote', 'cpp',\n  version: '1.2.3',\n)\n",
        'CMakeLists.txt': 'project(mote VERSION 1.2.3 LANGUAGES CXX)\n',
        'CHANGELOG.md': '# Changelog\n\n## [Unreleased]\n\n## [1.2.3] - 2026-01-01\n\n## [1.2.2] - 2025-01-01\n',
        'README.md': '# mote\n\nThis is 1.2.3. Its namespace is `mote::v1_2_3`.\n',
    }

    def setUp(self):
        super().setUp()
        for path, text in self.PLACES.items():
            self.write(path, text)

    def test_every_place_that_names_the_version_names_the_same(self):
        self.accepts('check_versions')
        done = process.run([sys.executable, str(TOOLS / 'check_versions')])  # of this tree
        self.assertEqual((done.returncode, done.stderr), (0, ''))

    def test_a_place_that_names_another_version_is_refused(self):
        for path, text in self.PLACES.items():
            if path.endswith('config.hpp'):
                continue
            with self.subTest(path=path):
                self.write(path, text.replace('1.2.3', '1.2.4'))
                self.refuses('check_versions', f'{path}:1: names version 1.2.4, but include/mote/base/config.hpp 1.2.3')
                self.write(path, text)

    def test_a_namespace_of_another_version_is_refused(self):
        path, text = next(iter(self.PLACES.items()))
        for namespace in ('v1_2_3_seam', 'v1_2_3\n'):
            with self.subTest(namespace=namespace):
                self.write(path, text.replace(namespace, namespace.replace('3', '2')))
                self.refuses('check_versions', 'names version 1.2.2, but')

    def test_a_place_without_a_version_is_refused(self):
        for path in self.PLACES:
            with self.subTest(path=path):
                text = (self.root / path).read_text()
                self.write(path, 'nothing')
                self.refuses('check_versions', f'{path}:1: names no version')
                self.write(path, text)


class Checking(Tree):
    def test_plain_code_is_accepted(self):
        self.add('base/error.hpp', '''
namespace mote {
// Told by Task, whatever that is; "Task" here is a word.
class Error {
 public:
  constexpr explicit Error(int code) : code_{code}, other_(1'000) {}
  friend bool operator==(Error a, Error b) { return a.code_ == b.code_; }
  friend bool operator!=(Error a, Error b) { return a.code_ != b.code_; }
  friend class Result;
  friend struct Poll;
  int code() const { return code_ > 0 ? code_ : other_; }
 private:
  int code_ = 0;
  int other_{0};
};
template <class Stream> void use(Stream& stream) { stream.use(); }
}  // namespace mote''')
        self.add('task/task.hpp', 'class Task {};')
        self.add('io/stream.hpp', 'class Stream {};')
        self.accepts('check_rooms')

    def test_a_function_that_does_not_fit_a_screen_is_refused(self):
        body = '{\n' + '  ++count;\n' * 40
        self.add('base/error.hpp', f'inline void short_one() {body}}}')
        self.accepts('check_rooms')
        self.add('base/error.hpp', f'struct Error {{\n  void\n  long_one() const noexcept {body}  ++count;\n  }}\n}};')
        self.refuses('check_rooms', 'include/mote/base/error.hpp:9: long_one has 41 lines, more than 40')

    def test_a_constructor_is_measured_behind_its_initialisers(self):
        lines = '  ++count;\n' * 41
        self.add('base/error.hpp', f'struct Error {{\n  Error() : a_{{1}}, b_{{2}} {{\n{lines}  }}\n}};')
        self.refuses('check_rooms', 'include/mote/base/error.hpp:9: Error has 41 lines')

    def test_a_third_friend_is_refused(self):
        self.add('base/error.hpp', 'struct Error {\n  friend class A;\n  template <class T> friend class B;\n'
                                   '  friend void c(Error&) {}\n};')
        self.refuses('check_rooms', 'include/mote/base/error.hpp:8: Error has 3 friends')

    def test_a_ternary_in_the_place_of_a_statement_is_refused(self):
        self.add('base/error.hpp', 'inline void act(bool now) {\n  now ? wake() : void();\n}')
        self.refuses('check_rooms', 'include/mote/base/error.hpp:9: a ternary stands for a statement')
        self.add('base/error.hpp', 'inline void act(bool now) {\n  now ? wake() : static_cast<void>(0);\n}')
        self.refuses('check_rooms', 'include/mote/base/error.hpp:9: a ternary stands for a statement')

    def test_a_name_of_a_higher_layer_is_refused(self):
        self.add('io/stream.hpp', 'class Stream {};')
        for code in ('class Stream;', 'struct Task {\n  friend class Stream;\n};', 'void wake(struct Stream&);'):
            with self.subTest(code=code):
                self.add('task/task.hpp', code)
                self.refuses('check_rooms', 'names Stream, which is defined in the higher layer io')

    def test_a_room_that_is_long_is_refused(self):
        self.add('base/error.hpp', 'int x;\n' * 600)
        self.refuses('check_rooms', 'include/mote/base/error.hpp:1: 610 lines, more than 600')


class Library(unittest.TestCase):
    def accepts(self, *tool):
        done = process.run([sys.executable, str(TOOLS / tool[0]), *tool[1:]])
        self.assertEqual(done.returncode, 0, done.stderr)

    def test_the_one_header_is_what_the_rooms_make_of_it(self):
        self.accepts('amalgamate', '--check')

    def test_the_picture_of_the_layers_is_what_the_includes_make_of_it(self):
        self.accepts('layers', '--check')

    def test_the_rooms_keep_their_rules(self):
        self.accepts('check_rooms')

    @unittest.skipUnless(shutil.which('clang-format-14'), 'clang-format-14 is not there')
    def test_the_one_header_is_formatted(self):
        done = process.run(['clang-format-14', '--dry-run', '--Werror', str(ROOT / 'include/mote.hpp')])
        self.assertEqual(done.returncode, 0, done.stderr)


class Mixing(unittest.TestCase):
    ALL = '#include <mote.hpp>\n'
    ROOMS = '#include <mote/coroutine/co.hpp>\n#include <mote/io/stream.hpp>\n#include <mote/sync/channel.hpp>\n'
    USE = 'mote::Stream stream;\nmote::Channel<int, 4> numbers;\n'

    def setUp(self):
        at = tempfile.TemporaryDirectory()
        self.addCleanup(at.cleanup)
        self.at = pathlib.Path(at.name)

    def compile(self, *options, **sources):
        for name, text in sources.items():
            (self.at / f'{name}.cpp').write_text(text, encoding='utf-8')
        done = process.run([*COMPILER, *WARNINGS, *options, *(str(self.at / f'{name}.cpp') for name in sources)],
                           timeout=process.PATIENCE * 5)
        self.assertEqual((done.returncode, done.stderr), (0, ''))

    def test_header_and_rooms_share_a_translation_unit_in_either_order(self):
        for standard in ('c++17', 'c++20'):
            with self.subTest(standard=standard):
                self.compile('-fsyntax-only', f'-std={standard}', header_first=self.ALL + self.ROOMS + self.USE,
                             rooms_first=self.ROOMS + self.ALL + self.USE)

    def test_header_and_rooms_share_a_program(self):
        program = str(self.at / 'program')
        self.compile('-o', program, header=self.ALL + '''
            bool spawned_and_done(mote::Reactor& reactor, mote::Event& event);
            int main() {
              static mote::StaticReactor<> reactor;
              mote::Event event;
              if (!reactor.open()) return 1;
              return spawned_and_done(reactor, event) && event.is_set() ? 0 : 1;
            }''', rooms='''
            #include <mote/reactor/reactor.hpp>
            #include <mote/sync/event.hpp>
            #include <mote/task/task_pool.hpp>
            struct Setter : mote::StateMachine {
              explicit Setter(mote::Event& target) : event(target) {}
              mote::Step step() {
                event.set();
                return mote::done();
              }
              mote::Event& event;
            };
            bool spawned_and_done(mote::Reactor& reactor, mote::Event& event) {
              static mote::TaskPool<Setter, 1> setters;
              return setters.spawn(reactor, event) && reactor.run();
            }''')
        self.assertEqual(process.run([program]).returncode, 0)

    def test_two_versions_run_in_one_program(self):
        """Two patch versions, the newer one of another layout: neither is taken for the other."""
        header = (ROOT / 'include/mote.hpp').read_text()
        version = re.search(r'\bv(\d+_\d+)_(\d+)', header)
        newer = header.replace(version[0], f'v{version[1]}_{int(version[2]) + 1}')
        self.assertIn('struct Statistics {', newer)
        newer = newer.replace('struct Statistics {', 'struct Statistics {\n  std::uint64_t newly_counted[8] = {};')
        (self.at / 'newer.hpp').write_text(newer)
        use = '''
            namespace {
            struct Sleeper : mote::StateMachine {
              mote::TaskTimer timer;
              mote::Result<void> slept;
              mote::Step step() {
                MOTE_BEGIN();
                MOTE_AWAIT(slept, timer.sleep(std::chrono::milliseconds(1)));
                MOTE_END();
              }
            };
            mote::StaticReactor<> reactor;
            mote::TaskPool<Sleeper, 4> sleepers;
            }  // namespace
            bool NAME() {
              if (!reactor.open()) return false;
              for (int i = 0; i < 4; ++i) {
                if (!sleepers.spawn(reactor)) return false;
              }
              const bool ran = bool(mote::GracefulShutdown(reactor, {SIGTERM}).run());
              return ran && reactor.stats().tasks_ended == 4;
            }'''
        program = str(self.at / 'program')
        self.compile('-O1', '-o', program, f'-I{self.at}',
                     older='#include <mote.hpp>\n' + use.replace('NAME', 'older'),
                     newer='#include <newer.hpp>\n' + use.replace('NAME', 'newer'),
                     main='bool older();\nbool newer();\nint main() { return older() && newer() ? 0 : 1; }\n')
        self.assertEqual(process.run([program]).returncode, 0)


if __name__ == '__main__':
    unittest.main()
