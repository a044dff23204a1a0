# SPDX-License-Identifier: MIT
"""What the header leaves in a program: where its objects lie, what they need at link time, what they weigh."""
import os
import re
import shutil
import sys
import tempfile
import unittest

sys.path.insert(0, sys.path[0] + '/support')
import process  # noqa: E402

COMPILER = sys.argv[sys.argv.index('--') + 1:]
del sys.argv[sys.argv.index('--'):]

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
HEADER = os.path.join(ROOT, 'include', 'mote.hpp')
ECHO = os.path.join(ROOT, 'examples', 'echo.cpp')
ARM = shutil.which('arm-linux-gnueabihf-g++')
NO_RUNTIME = ['-fno-exceptions']
LEVELS = ('-O0', '-Os', '-O2')

# All layers, in static storage, with capacities of N.
EVERYTHING = '''
#include <mote.hpp>
#ifndef CAPACITY
#define CAPACITY 4
#endif
struct OnEpoll : mote::Config {
  static constexpr std::size_t descriptors = CAPACITY;
};
struct OnPoll : OnEpoll {
  template <std::size_t M> using Selector = mote::PollSelector<M>;
};
struct Job : mote::StateMachine {
  mote::Listener& listener;
  mote::Waker& waker;
  mote::Stream stream;
  mote::TaskTimer timer;
  mote::LineReader<80> lines;
  mote::Datagram socket;
  mote::Endpoint peer;
  mote::Result<mote::ByteView> line;
  mote::Result<mote::Stream> accepted;
  mote::Result<mote::Datagram::Received> received;
  mote::Result<void> ok;
  mote::Result<mote::Readiness> ready;
  unsigned char bytes[32];
  mote::ByteView view;
  mote::ByteSpan span;
  mote::Step step() {
    MOTE_BEGIN();
    MOTE_AWAIT(accepted, listener.accept());
    stream = static_cast<mote::Stream&&>(*accepted);
    MOTE_AWAIT(line, mote::with_timeout(timer, std::chrono::seconds(1), lines.read_line(stream)));
    view = *line;
    MOTE_AWAIT(ok, stream.write_all(view));
    span = mote::ByteSpan(bytes);
    MOTE_AWAIT(ok, stream.read_exactly(span));
    MOTE_YIELD();
    MOTE_AWAIT(received, socket.recv_from(bytes, peer));
    MOTE_AWAIT(ok, socket.send_to(view, peer));
    MOTE_AWAIT(ok, waker.wait());
    MOTE_AWAIT(ok, stream.connect(peer));
    MOTE_AWAIT(ready, stream.ready(mote::Interest::read));
    MOTE_END();
  }
};
mote::StaticReactor<OnEpoll> reactor_on_epoll;
mote::StaticReactor<OnPoll> reactor_on_poll;
mote::EpollSelector<CAPACITY> epoll_selector;
mote::PollSelector<CAPACITY> poll_selector;
mote::TaskPool<Job, CAPACITY> pool;
mote::Mailbox<int, CAPACITY> mailbox;
mote::Signals signals;
mote::Waker waker;
mote::LineReader<16 * CAPACITY> line_reader;
mote::Listener listener;
mote::Stream stream;
mote::Datagram datagram;
mote::SerialPort serial;
mote::Source source;
mote::Timer timer;
mote::TaskTimer task_timer;
mote::TaskHandle handle;
int main() {
  if (!reactor_on_epoll.open() || !reactor_on_poll.open() || !epoll_selector.open() || !poll_selector.open()) return 1;
  const mote::Result<mote::Endpoint> any = mote::Endpoint::parse("127.0.0.1:0");
  if (!any || !listener.open(reactor_on_epoll, *any) || !serial.open(reactor_on_epoll, "/dev/null")) return 1;
  mote::Result<mote::TaskHandle> job = pool.spawn(reactor_on_epoll, listener, waker);
  if (!job || !signals.open(reactor_on_poll, {SIGHUP}) || !mailbox.open(reactor_on_poll) || !mailbox.post(1)) return 1;
  mote::GracefulShutdown shutdown(reactor_on_epoll, {SIGINT, SIGTERM});
  return shutdown.run() ? 0 : 1;
}
'''
STATIC = ('reactor_on_epoll reactor_on_poll epoll_selector poll_selector pool mailbox signals waker line_reader '
          'listener stream datagram serial source timer task_timer handle').split()

FORBIDDEN = re.compile(
    r'^(malloc|calloc|realloc|reallocarray|free|aligned_alloc|posix_memalign|memalign|strdup|strndup|'
    r'_Zn[wa].*|_Zd[la].*|__cxa_(?!atexit|finalize).*|__gxx_personality.*|_Unwind_Resume|_ZT[ISV].*|__dynamic_cast|'
    r'_ZNS[ois].*|_ZNKS[ois].*|_ZNSt.*|_ZNKSt.*|_ZSt.*|__tls_get_addr|__emutls.*|__atomic_.*|__sync_.*)$')


def elf(option, path):
    done = process.run(['readelf', option, '-W', path], env={**os.environ, 'LC_ALL': 'C'})
    assert done.returncode == 0, done.stderr
    return done.stdout


def sections(path):
    """By number: name and size."""
    found = re.findall(r'^ *\[ *(\d+)\] (\S*) +\S+ +[0-9a-f]+ [0-9a-f]+ ([0-9a-f]+) ', elf('-S', path), re.M)
    return {number: (name, int(size, 16)) for number, name, size in found}


def symbols(path):
    """Name, size and section's number ('UND': needed from elsewhere) of each symbol."""
    found = re.findall(r'^ *\d+: [0-9a-f]+ +(0x[0-9a-f]+|\d+) (\S+) +\S+ +\S+ +(\S+) (\S+)', elf('-s', path), re.M)
    return [(name.split('@')[0], int(size, 0), section) for size, _, section, name in found]


class Footprint(unittest.TestCase):
    maxDiff = None

    def setUp(self):
        self.directory = tempfile.TemporaryDirectory()
        self.addCleanup(self.directory.cleanup)

    def path(self, name, text=None):
        path = os.path.join(self.directory.name, name)
        if text is not None:
            with open(path, 'w', encoding='utf-8') as file:
                file.write(text)
        return path

    def done(self, *command):
        done = process.run(command)
        self.assertEqual(done.returncode, 0, f'{command}\n{done.stderr}')

    def object(self, source, *options, compiler=None):
        path = self.path('object.o')
        self.done(*(compiler or COMPILER), '-c', source, '-o', path, *options)
        return path

    def c_driver(self):
        """The C compiler's driver, which links no C++ runtime library."""
        directory, name = os.path.split(COMPILER[0])
        for cpp, c in (('clang++', 'clang'), ('g++', 'gcc'), ('c++', 'cc')):
            if cpp in name:
                return [os.path.join(directory, name.replace(cpp, c))]
        return self.skipTest(f'no C driver is known beside {name}')

    def target_options(self):
        """What chooses the machine: the linker's driver needs it too."""
        return [word for word in COMPILER[1:] if word.startswith(('-m', '--target', '--sysroot'))]

    def test_objects_in_static_storage_lie_in_bss_and_data_does_not_grow_with_capacity(self):
        source = self.path('everything.cpp', EVERYTHING)
        for level, checks in (('-O0', []), ('-Os', []), ('-Os', ['-DNDEBUG']), ('-O2', [])):
            with self.subTest(level=level, checks=checks):
                data = {}
                for capacity in (4, 64):
                    compiled = self.object(source, level, f'-DCAPACITY={capacity}', *checks, *NO_RUNTIME)
                    by_number = sections(compiled)
                    places = {name: by_number[number][0] for name, _, number in symbols(compiled) if name in STATIC}
                    self.assertEqual(set(places), set(STATIC))
                    elsewhere = {name: place for name, place in places.items() if not place.startswith('.bss')}
                    self.assertEqual(elsewhere, {})
                    data[capacity] = sum(size for name, size in by_number.values()
                                         if re.match(r'\.(data|tdata|tbss)(?!\.rel\.ro)', name))
                self.assertEqual(data[4], data[64])
                # Thread-local, without NDEBUG: who tells a violated MOTE_ASSERT of the running task.
                witness = [size for name, size, _ in symbols(compiled) if re.match(r'_ZN4mote.*detail7witnessE$', name)]
                self.assertEqual(len(witness), 0 if checks else 1)
                self.assertEqual(data[64], sum(witness))
                self.assertLessEqual(data[64], 24)

    def test_nothing_of_the_heap_or_the_cpp_runtime_is_referenced(self):
        source = self.path('everything.cpp', EVERYTHING)
        for level in LEVELS:
            for options in (['-fno-rtti'], ['-frtti'], ['-fno-rtti', '-DNDEBUG']):
                with self.subTest(level=level, options=options):
                    compiled = self.object(source, level, *options, *NO_RUNTIME)
                    needed = {name for name, _, section in symbols(compiled) if section == 'UND'}
                    self.assertIn('recvmsg', needed)  # that it sees any
                    self.assertEqual([name for name in needed if FORBIDDEN.match(name)], [])

    def test_a_heap_call_would_be_seen(self):
        source = self.path('heap.cpp', '#include <stdlib.h>\nvoid* leak() { return malloc(1); }\n'
                                       'int* leak_too() { return new int; }\n')
        needed = [name for name, _, section in symbols(self.object(source)) if section == 'UND']
        self.assertEqual(sorted(bool(FORBIDDEN.match(name)) for name in needed if 'GLOBAL' not in name)[-2:],
                         [True, True])

    @unittest.skipUnless(os.path.exists(ECHO), 'there is no echo example')
    def test_the_echo_links_with_the_c_driver(self):
        self.link_with_c_driver(ECHO)

    def test_a_program_of_all_layers_links_with_the_c_driver(self):
        self.link_with_c_driver(self.path('everything.cpp', EVERYTHING))

    def link_with_c_driver(self, source):
        for level in LEVELS:
            for rtti in ('-frtti', '-fno-rtti'):
                with self.subTest(level=level, rtti=rtti):
                    compiled = self.object(source, level, rtti, *NO_RUNTIME)
                    program = self.path('program')
                    self.done(*self.c_driver(), *self.target_options(), compiled, '-o', program)
                    needed = re.findall(r'\(NEEDED\).*\[(.*)\]', elf('-d', program))
                    self.assertEqual([name for name in needed if 'c++' in name], [])

    def without_coroutines(self, source, *options):
        """With the header as it is, and with the topmost layer cut out of it: the object's bytes, and its symbols."""
        directory, compiled = self.path('headers'), []
        os.makedirs(directory, exist_ok=True)
        with open(HEADER, encoding='utf-8') as file:
            text = file.read()
        coroutines = r'\n// ====+\n// include/mote/coroutine/.*(?=\n#endif  // MOTE_HPP\n)'
        cut, count = re.subn(coroutines, '', text, flags=re.S)
        self.assertEqual(count, 1)
        for header in (text, cut):
            self.path('headers/mote.hpp', header)  # in the same place, so that paths do not differ
            command = [word for word in COMPILER if not word.startswith('-I')]
            path = self.object(source, *options, '-g0', '-I', directory, *NO_RUNTIME, compiler=command)
            with open(path, 'rb') as file:
                compiled.append((file.read(), sorted(symbol[:2] for symbol in symbols(path))))
        return compiled

    @unittest.skipUnless(os.path.exists(ECHO), 'there is no echo example')
    def test_coroutines_do_not_change_a_program_in_cpp17_by_a_byte(self):
        for level in LEVELS:
            with self.subTest(level=level):
                with_them, without = self.without_coroutines(ECHO, level, '-std=c++17')
                self.assertEqual(with_them[0], without[0])

    def test_nothing_of_coroutines_is_in_a_program_in_cpp20_that_has_none(self):
        everything = self.path('everything.cpp', EVERYTHING)
        for level in ('-O0', '-Os'):
            with self.subTest(level=level):
                with_them, without = self.without_coroutines(everything, level, '-std=c++20')
                self.assertEqual(with_them[1], without[1])  # g++ may put them into another order

    def test_a_coroutine_would_be_seen(self):
        source = self.path('coroutine.cpp', '''
            #include <mote.hpp>
            #if __cplusplus >= 202002L && defined COROUTINE
            mote::Co<void> run(mote::FrameSource&) { co_return; }
            #endif
            ''')
        with self.assertRaises(AssertionError):  # what it is made of is not there
            self.without_coroutines(source, '-O2', '-std=c++20', '-DCOROUTINE')

    def test_two_translation_units_link_and_so_do_two_with_different_seams(self):
        seam = self.path('seam.hpp', '''
            #include <stdint.h>
            namespace mote {
            struct StoppedClock : LinuxSystem {
              static std::int64_t monotonic_ns() { return 42; }
            };
            }''')
        unit = '''
            #include <mote.hpp>
            long long %s() {
              static mote::StaticReactor<> reactor;
              static mote::Signals signals;
              if (!reactor.open() || !signals.open(reactor, {SIGUSR%d})) return -1;
              return static_cast<long long>(reactor.now().time_since_epoch().count());
            }'''
        main = self.path('main.cpp', 'long long one(); long long other();\n'
                                     'int main() { return one() > 42 && other() EXPECTED ? 0 : 1; }\n')
        one = self.path('one.cpp', unit % ('one', 1))
        other = self.path('other.cpp', unit % ('other', 2))
        program = self.path('program')
        plain = ['-fno-exceptions', '-fno-threadsafe-statics']
        for options, expected in (([], '> 42'),
                                  ([f'-DMOTE_SYSTEM_HEADER="{seam}"', '-DMOTE_SYSTEM=StoppedClock'], '== 42')):
            with self.subTest(options=options):
                objects = []
                for name, source, extra in (('one', one, []), ('other', other, options),
                                            ('main', main, [f'-DEXPECTED={expected}'])):
                    objects.append(self.path(name + '.o'))
                    self.done(*COMPILER, *plain, *extra, '-c', source, '-o', objects[-1])
                self.done(*self.c_driver(), *self.target_options(), *objects, '-o', program)
                self.done(*process.command(program))

    def linked(self, name, text):
        program = self.path(name)
        self.done(*COMPILER, '-Os', *NO_RUNTIME, '-fno-rtti', '-ffunction-sections', '-fdata-sections',
                  '-Wl,--gc-sections', self.path(name + '.cpp', text), '-o', program)
        return program

    def test_an_unused_header_leaves_no_byte(self):
        without = self.linked('without', 'int main() { return 0; }')
        unused = self.linked('unused', '#include <mote.hpp>\nint main() { return 0; }')
        counted = ('.text', '.rodata', '.data', '.data.rel.ro', '.bss', '.eh_frame', '.init_array', '.ARM.exidx')

        def weights(program):
            return {name: size for name, size in sections(program).values() if name in counted}
        self.assertEqual(weights(unused), weights(without))

    def test_unused_layers_leave_nothing(self):
        above_selectors = ['7Reactor', '4Loop', '15DescriptorTable', '9Scheduler', '4Task', '5Timer', '11TimingWheel',
                           '5Waker', '7Signals', '12signal_table', '6Source', '6Stream', '8Listener', '8Datagram',
                           '8Endpoint', '16GracefulShutdown']
        selector = self.linked('selector', '''
            #include <mote.hpp>
            static mote::EpollSelector<8> selector;
            int main() {
              mote::Ready ready[4];
              return selector.open() && selector.add(0, mote::Interest::read, 1) && selector.wait(ready, {}) ? 0 : 1;
            }''')
        self.nothing_of(selector, [*above_selectors, '12PollSelector'], 'EpollSelector')
        reactor = self.linked('reactor', '''
            #include <mote.hpp>
            static mote::StaticReactor<> reactor;
            static mote::Timer timer;
            static void tick() {}
            int main() {
              if (!reactor.open()) return 1;
              timer.arm(reactor, {}, mote::Delegate<void()>::of<&tick>());
              return reactor.run() ? 0 : 1;
            }''')
        self.nothing_of(reactor, ['7Signals', '12signal_table', '6Stream', '8Listener', '8Datagram', '8Endpoint',
                                  '10SerialPort', '10LineReader', '16GracefulShutdown', '12PollSelector'], '4Loop')

    def nothing_of(self, program, layers, but):
        ours = [name for name, _, section in symbols(program) if '4mote' in name and section != 'UND']
        self.assertTrue(any(but in name for name in ours), ours)
        # A layer's own functions and objects: its name as the scope, not in a parameter's type.
        for layer in layers:
            pattern = re.compile(r'^_ZZ?NK?4mote\d+v\w*?(6detail)?' + layer)
            self.assertEqual([name for name in ours if pattern.match(name)], [], f'{layer} in {program}')

    def test_the_sizes_in_the_comments_are_true(self):
        with open(HEADER, encoding='utf-8') as file:
            text = file.read()
        text = text.partition('\n// include/mote/coroutine/')[0]  # which may not be there
        text = re.sub(r'(?m)^(//.*)\n(?=// )', r'\1 ', text).replace(' // ', ' ')  # a comment becomes one line
        stated = {}
        for found in re.finditer(r'^//.*?([\d,]+)(?: bytes)? on a 32-bit board|'
                                 r'^//.*Size on a 32-bit board: ([\d,]+) bytes', text, re.M):
            kind = re.search(r'^(?:template <[^>]*> )?(?:class|struct) (\w+)', text[found.end():], re.M).group(1)
            stated[kind] = int((found.group(1) or found.group(2)).replace(',', ''))
        probes = {kind: kind for kind in stated}
        probes.update({
            'BasicBytes': 'ByteView', 'Delegate': 'Delegate<void()>', 'List': 'List<int>',
            'EpollSelector': 'EpollSelector<8>', 'PollSelector': 'PollSelector<64>', 'Mailbox': 'Mailbox<int, 8>',
            'TaskPool': 'TaskPool<Job, 8>', 'LineReader': 'LineReader<64>', 'Channel': 'Channel<int, 8>',
            'TaskGroup': 'TaskGroup<8>', 'ForeignDescriptors': 'ForeignDescriptors<8>',
            'Completion': 'Completion<int>'})
        source = self.path('sizes.cpp', '#include <mote.hpp>\nusing namespace mote;\nusing namespace mote::detail;\n'
                           'struct Job { void* a[4]; Step step(); };\n' +
                           ''.join(f'char size_{kind}[sizeof({of})];\n' for kind, of in probes.items()) +
                           'char size_pointer[sizeof(void*)];\n')
        compiled = self.object(source)
        sizes = {name[5:]: size for name, size, _ in symbols(compiled) if name.startswith('size_')}
        if sizes['pointer'] != 4:
            if ARM is None:
                self.skipTest('no compiler for a 32-bit board')
            compiled = self.object(source, '-std=c++17', '-I', os.path.dirname(HEADER), compiler=[ARM])
            sizes = {name[5:]: size for name, size, _ in symbols(compiled) if name.startswith('size_')}
        sizes['Mailbox'] -= 8 * (4 + 4)
        sizes['TaskPool'] -= 8 * (sizes['Task'] + 4 * 4)
        sizes['LineReader'] -= 64
        sizes['Channel'] -= 8 * 4
        sizes['TaskGroup'] -= 8 * sizes['TaskHandle']
        sizes['ForeignDescriptors'] -= 8 * 20
        sizes['Completion'] -= 4 + 4
        self.assertEqual(sizes.pop('PollSelector') // 64, 24)
        del sizes['pointer']
        self.assertEqual({kind: stated.get(kind) for kind in sizes}, sizes)
        for kind in ('Task', 'Timer', 'Waker', 'TaskHandle', 'Source', 'Event', 'Semaphore', 'Mutex', 'Watchdog'):
            self.assertIn(kind, stated)


if __name__ == '__main__':
    unittest.main()
