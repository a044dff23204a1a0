# SPDX-License-Identifier: MIT
"""A violated MOTE_ASSERT says in one line what to do, what was violated, where, and in which task; then it traps."""
import contextlib
import errno
import os
import re
import signal
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, sys.path[0] + '/support')
import process  # noqa: E402

COMPILER = sys.argv[sys.argv.index('--') + 1:]
del sys.argv[sys.argv.index('--'):]

# Each mistake is a function of that name, or a task that makes it; `// at NAME` marks its await.
SAMPLE = r'''
#include <mote.hpp>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
using namespace std::chrono_literals;
using mote::Error;
using mote::Result;

mote::StaticReactor<> reactor;
int zero = 0;
int five = 5;

void value_of_a_failed_result() { five = *Result<int>(Error(EIO)); }
void value_of_a_failed_const_result() {
  const Result<long> failed;
  five = static_cast<int>(*failed);
}
void address_that_was_refused() {
  using mote::Endpoint;
  const Result<Endpoint> refused[] = {Endpoint::ip("localhost", 0),       Endpoint::ip("127.0.0.1.", 0),
                                      Endpoint::ip("127.0.0.1", -1),      Endpoint::parse("localhost:0"),
                                      Endpoint::parse("[::1%no-such]:0"), Endpoint::unix_path("")};
  for (const Result<Endpoint>& each : refused) {
    mote::Listener listener;
    printf("%d\n", listener.open(reactor, *each).error().code());
  }
}
void member_of_a_failed_result() { Result<mote::Fd>(Error(EIO))->close(); }
void reference_of_a_failed_result() { five = *Result<int&>(Error(EIO)); }
void value_of_a_pending_poll() { five = *mote::Poll<int>(mote::pending); }
void result_of_a_pending_poll() { five = **mote::Poll<Result<int>>(mote::pending); }
void index_past_the_end() { five = mote::bytes_of("abc")[static_cast<std::size_t>(five)]; }
void drop_past_the_end() {
  mote::ByteView view = mote::bytes_of("abc");
  view.drop_front(static_cast<std::size_t>(five));
}
void negative_step() { static_cast<void>(mote::Step(-five)); }
void empty_handler() { static_cast<void>(reactor.add(0, mote::Interest::read, mote::Handler())); }
void empty_handler_of_a_source() {
  int ends[2];
  mote::Source source;
  if (pipe(ends) != 0 || !source.open(reactor, mote::Fd(ends[0]))) return;
  static_cast<void>(source.watch(mote::Interest::read, mote::Handler()));
}
void release_without_hold() { mote::GracefulShutdown(reactor, {SIGUSR1}, 1s).release(); }
void wake_of_a_waiter_without_task() { mote::Waiter().wake(); }

struct Careless : mote::StateMachine {
  Result<void> slept;
  Result<int> failed;
  mote::TaskTimer timer;
  mote::Step step() {
    MOTE_BEGIN();
    MOTE_AWAIT(slept, timer.sleep(1ms));  // at task_that_does_not_look
    five = *failed;
    MOTE_END();
  }
};
struct LongNamed : mote::StateMachine {
  static constexpr const char* name =
      "one_whose_name_is_so_long_that_the_line_has_no_room_for_all_of_it_one_whose_name_is_so_long_that_the_line_has_no_"
      "room_for_all_of_it_one_whose_name_is_so_long_that_the_line_has_no_room_for_all_of_it";
  mote::Step step() {
    five = *Result<int>(Error(EIO));
    return mote::done();
  }
};
struct Eager : mote::StateMachine {
  Result<int> failed;
  mote::Step step() {
    MOTE_BEGIN();
    five = *failed;
    MOTE_END();
  }
};
struct Constructing : mote::StateMachine {
  Constructing() { five = static_cast<int>(task().line()); }
  mote::Step step() { return mote::done(); }
};
struct Helped : mote::StateMachine {
  Result<void> slept;
  mote::TaskTimer timer;
  mote::Step help() {
    MOTE_BEGIN();
    MOTE_AWAIT(slept, timer.sleep(1ms));  // at helper_with_a_begin
    MOTE_END();
  }
  mote::Step step() {
    MOTE_BEGIN();
    return help();
    MOTE_END();
  }
};
namespace app {
struct Twice : mote::StateMachine {
  Result<mote::FirstOf<void, void>> first;
  mote::TaskTimer timer;
  mote::Step step() {
    MOTE_BEGIN();
    MOTE_AWAIT(first, mote::first_of(timer.sleep(1h), mote::with_timeout(timer, 1h, timer.sleep(1h))));  // at one_timer
    MOTE_END();
  }
};
}  // namespace app
struct Shielded : mote::StateMachine {
  mote::Shield shields[256];
  mote::Step step() {
    MOTE_BEGIN();
    MOTE_YIELD();  // at too_many_shields
    for (mote::Shield& shield : shields) shield.raise(task());
    MOTE_END();
  }
};
struct Plain {
  static constexpr const char* name = "a plain one";
  mote::Step step(mote::Task&) {
    five = *Result<int>(Error(EIO));
    return mote::done();
  }
};
template <class T> struct Pools {
  static inline mote::TaskPool<T, 2> pool;
};
struct SelfDestroying : mote::StateMachine {
  mote::Step step();
};
mote::Step SelfDestroying::step() {
  MOTE_BEGIN();
  MOTE_YIELD();  // at own_pool
  Pools<SelfDestroying>::pool.~TaskPool();
  MOTE_END();
}
// The task of the inner reactor is the one that is named.
mote::StaticReactor<> inner;
struct Nesting : mote::StateMachine {
  mote::Step step() {
    MOTE_BEGIN();
    if (!inner.open() || !Pools<Careless>::pool.spawn(inner)) return mote::done();
    static_cast<void>(inner.run());
    MOTE_END();
  }
};
// Once the inner run has ended, the outer task is the one.
struct NestingFirst : mote::StateMachine {
  mote::Step step() {
    MOTE_BEGIN();
    MOTE_YIELD();  // at after_an_inner_run
    if (inner.open()) static_cast<void>(inner.run());
    five = *Result<int>(Error(EIO));
    MOTE_END();
  }
};
// The task of the thread's own reactor is the one that is named.
void* run_another(void*) {
  if (Pools<Careless>::pool.spawn(inner)) static_cast<void>(inner.run());
  return nullptr;
}
struct Starting : mote::StateMachine {
  mote::Step step() {
    MOTE_BEGIN();
    MOTE_YIELD();
    pthread_t thread;
    if (!inner.open() || pthread_create(&thread, nullptr, &run_another, nullptr) != 0) return mote::done();
    pthread_join(thread, nullptr);
    MOTE_END();
  }
};
void value_in_a_handler(int) { five = *Result<int>(Error(EIO)); }
struct Interrupted : mote::StateMachine {
  mote::Step step() {
    MOTE_BEGIN();
    MOTE_YIELD();  // at in_a_signal_handler
    signal(SIGUSR1, &value_in_a_handler);
    raise(SIGUSR1);
    MOTE_END();
  }
};
struct Forking : mote::StateMachine {
  mote::Step step() {
    MOTE_BEGIN();
    MOTE_YIELD();  // at in_a_forked_child
    if (const pid_t child = fork(); child != 0) {
      int status = 0;
      waitpid(child, &status, 0);
      raise(WTERMSIG(status));
    }
    five = *Result<int>(Error(EIO));
    MOTE_END();
  }
};
struct Failing : mote::StateMachine {
  mote::Step step() {
    MOTE_BEGIN();
    MOTE_YIELD();  // at a_failure
    return mote::failed(Error(EIO));
    MOTE_END();
  }
};
// Its name is longer than the line.
template <class... T> struct FailingAtOnce : mote::StateMachine {
  mote::Step step() { return mote::failed(Error(EIO)); }
};
using Long = mote::Result<mote::FirstOf<mote::Duration, mote::Duration, mote::Duration, mote::Duration>>;
void outside_of_a_step() {
  auto callback = [] { five = *Result<int>(Error(EIO)); };
  mote::Timer timer;
  timer.arm(reactor, 1ms, callback);
  static_cast<void>(reactor.run());
}
#if __cplusplus >= 202002L
mote::FramePool<1024, 4> frames;
mote::CoroutinePool<2> coroutines;
mote::Co<void> careless(mote::FrameSource&) {
  mote::TaskTimer timer;
  mote::Event event;
  event.set();
  static_cast<void>(co_await timer.sleep(1ms));
  static_cast<void>(co_await event.wait());  // at coroutine_that_does_not_look
  five = *Result<int>(Error(EIO));
}
void coroutine_that_does_not_look() {
  if (!coroutines.spawn(reactor, careless(frames))) return;
  static_cast<void>(reactor.run());
}
#endif

template <class T> void run() {
  if (!Pools<T>::pool.spawn(reactor)) return;
  static_cast<void>(reactor.run());
}

int main(int, char** arguments) {
  struct Mistake {
    const char* name;
    void (*make)();
  };
#define MISTAKE(name) {#name, &name}
  const Mistake mistakes[] = {
      MISTAKE(value_of_a_failed_result), MISTAKE(value_of_a_failed_const_result), MISTAKE(member_of_a_failed_result),
      MISTAKE(reference_of_a_failed_result), MISTAKE(value_of_a_pending_poll), MISTAKE(result_of_a_pending_poll),
      MISTAKE(index_past_the_end), MISTAKE(drop_past_the_end), MISTAKE(negative_step), MISTAKE(empty_handler),
      MISTAKE(empty_handler_of_a_source), MISTAKE(release_without_hold), MISTAKE(wake_of_a_waiter_without_task),
      MISTAKE(outside_of_a_step), MISTAKE(address_that_was_refused),
      {"task_in_a_constructor", &run<Constructing>}, {"helper_with_a_begin", &run<Helped>}, {"task_that_does_not_look", &run<Careless>}, {"first_step", &run<Eager>}, {"long_name", &run<LongNamed>},
      {"one_timer", &run<app::Twice>}, {"too_many_shields", &run<Shielded>}, {"plain_task", &run<Plain>},
      {"own_pool", &run<SelfDestroying>}, {"inside_of_an_inner_run", &run<Nesting>},
      {"after_an_inner_run", &run<NestingFirst>}, {"in_another_thread", &run<Starting>},
      {"in_a_signal_handler", &run<Interrupted>}, {"in_a_forked_child", &run<Forking>},
      {"a_failure", &run<Failing>}, {"a_failure_at_once", &run<FailingAtOnce<Long, Long, Long>>},
#if __cplusplus >= 202002L
      MISTAKE(coroutine_that_does_not_look),
#endif
  };
  if (!reactor.open()) return 1;
  for (const Mistake& mistake : mistakes) {
    if (strcmp(arguments[1], mistake.name) == 0) mistake.make();
  }
  return 0;
}
'''
VALUE = 'a failed Result has no value: test it first, its error() says why'
PENDING = 'a pending Poll has no value: test ready() first'
# What is said of each mistake, and in which task.
MISTAKES = {
    'value_of_a_failed_result': (VALUE, None),
    'value_of_a_failed_const_result': (VALUE, None),
    'address_that_was_refused': (VALUE, None),
    'member_of_a_failed_result': (VALUE, None),
    'reference_of_a_failed_result': (VALUE, None),
    'value_of_a_pending_poll': (PENDING, None),
    'result_of_a_pending_poll': (PENDING, None),
    'index_past_the_end': ('an index past the end of a ByteView or ByteSpan: compare it with size()', None),
    'drop_past_the_end': ('drop_front() of more bytes than there are: compare with size()', None),
    'negative_step': ('a Step of a negative number: write mote::failed(mote::Error(EIO)), or mote::done()', None),
    'empty_handler': ('Reactor::add() needs a handler: ', None),
    'empty_handler_of_a_source': ('Source::watch() needs a handler: ', None),
    'release_without_hold': ('release() without hold(): ', None),
    'wake_of_a_waiter_without_task': ('wake() of a Waiter in which no task waits: call notify(), ', None),
    'outside_of_a_step': (VALUE, None),
    'task_that_does_not_look': (VALUE, 'Careless'),
    'first_step': (VALUE, 'Eager'),
    'task_in_a_constructor': ('task() and reactor() may be called from the first step on, not in the constructor', None),
    'helper_with_a_begin': ('an await in a function other than step(): await in step() itself, ', 'Helped'),
    'one_timer': ('two parts of one await use one TaskTimer: give each a timer of its own', 'app::Twice'),
    'too_many_shields': ('a task holds 255 shields: destroy some before you make another', 'Shielded'),
    'plain_task': (VALUE, 'a plain one'),
    'own_pool': ('a task destroys its own pool or reactor: let it return done() instead', 'SelfDestroying'),
    'inside_of_an_inner_run': (VALUE, 'Careless'),
    'after_an_inner_run': (VALUE, 'NestingFirst'),
    'in_another_thread': (VALUE, 'Careless'),
    'in_a_signal_handler': (VALUE, 'Interrupted'),
    'in_a_forked_child': (VALUE, 'Forking'),
}
PLACES = {'inside_of_an_inner_run': 'task_that_does_not_look', 'in_another_thread': 'task_that_does_not_look'}  # where the await is another's


class Asserting(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.directory = tempfile.TemporaryDirectory()
        cls.source = cls.directory.name + '/sample.cpp'
        with open(cls.source, 'w', encoding='utf-8') as file:
            file.write(SAMPLE)

    @classmethod
    def tearDownClass(cls):
        cls.directory.cleanup()

    def build(self, *options):
        program = self.directory.name + '/sample'
        done = process.run([*COMPILER, *options, '-pthread', '-o', program, self.source])
        self.assertEqual(done.returncode, 0, done.stderr)
        return program

    def line_of(self, mistake):
        mark = '// at ' + PLACES.get(mistake, mistake)
        return next((i for i, line in enumerate(SAMPLE.splitlines(), 1) if line.endswith(mark)), None)

    def check(self, program, mistake, words, task, file='sample.cpp:'):
        done = process.run([program, mistake])
        self.assertIn(done.returncode, (-signal.SIGILL, -signal.SIGTRAP), done.stderr)
        line, place = done.stderr, self.line_of(mistake)
        self.assertEqual(line.count('\n'), 1, line)
        self.assertRegex(line, r'^mote: ' + re.escape(words) + r'.*\(violated: \S.*, mote\.hpp:\d+')
        self.assertNotIn('"', line)
        if task is None:
            self.assertNotIn('task ', line.split('violated:')[1])
        elif place is None:
            self.assertTrue(line.endswith(f'; in task {task})\n'), line)
        else:
            self.assertTrue(line.endswith(f'; in task {task}, at or after its await at {file}{place})\n'), line)

    def test_each_mistake_is_told_in_words_with_its_place_and_its_task(self):
        program = self.build()
        for mistake, (words, task) in MISTAKES.items():
            with self.subTest(mistake=mistake):
                self.check(program, mistake, words, task)

    def test_of_a_coroutine_the_function_and_the_line_are_told(self):
        program = self.build('-std=c++20', '-O2')
        self.check(program, 'coroutine_that_does_not_look', VALUE, 'careless', 'line ')

    def test_a_failure_that_nobody_joins_is_told_with_its_name_and_its_place(self):
        done = process.run([self.build('-DNDEBUG'), 'a_failure'], env={**process.os.environ, 'LC_ALL': 'C'})
        self.assertEqual(done.returncode, 0)
        self.assertEqual(done.stderr, f'mote: task Failing failed after sample.cpp:{self.line_of("a_failure")}: '
                                      'Input/output error\n')

    def test_a_failure_before_the_first_await_is_told_without_a_place_and_a_long_name_costs_no_newline(self):
        done = process.run([self.build('-DNDEBUG'), 'a_failure_at_once'], env={**process.os.environ, 'LC_ALL': 'C'})
        self.assertEqual(done.returncode, 0)
        self.assertRegex(done.stderr, r'^mote: task FailingAtOnce<mote::.{100} failed: Input/output error\n\Z')

    def test_with_ndebug_nothing_is_checked_and_no_word_is_left(self):
        program = self.build('-DNDEBUG', '-O2')
        with open(program, 'rb') as file:
            content = file.read()
        left = [words for words, _ in MISTAKES.values() if words.encode() in content]
        self.assertEqual(left, [])
        self.assertFalse(b'violated' in content)
        self.assertEqual(process.run([program, 'value_of_a_failed_result']).returncode, 0)

    def test_with_ndebug_an_address_that_was_refused_is_none_and_nobody_listens_by_it(self):
        program = self.build('-DNDEBUG', '-O2')
        done = process.run([program, 'address_that_was_refused'])
        self.assertEqual((done.returncode, done.stdout), (0, f'{errno.EAFNOSUPPORT}\n' * 6))

    def test_of_a_long_name_the_line_has_the_beginning_and_all_else(self):
        done = process.run([self.build(), 'long_name'])
        self.assertRegex(done.stderr, r'\Amote: [^\n]*; in task one_whose_name_\w{65}\)\n\Z')

    def test_it_can_be_defined_by_the_program_with_one_parameter(self):
        own = '-DMOTE_ASSERT(condition)=((condition) ? static_cast<void>(0) : ::_exit(41))'
        program = self.build('-includeunistd.h', own)
        done = process.run([program, 'index_past_the_end'])
        self.assertEqual((done.returncode, done.stderr), (41, ''))

    def test_it_traps_also_where_standard_error_is_closed_or_full(self):
        program = self.build()
        for redirection in ('2>&-', '2>/dev/full'):
            with self.subTest(redirection=redirection):
                done = process.run(['sh', '-c', f'exec "$0" value_of_a_failed_result {redirection}', program])
                self.assertIn(done.returncode, (-signal.SIGILL, -signal.SIGTRAP))
        for is_read in (False, True):
            with self.subTest(pipe='full' if is_read else 'that nobody reads'):
                reader, writer = os.pipe()
                os.set_blocking(writer, False)
                if is_read:
                    with contextlib.suppress(BlockingIOError):
                        while True:
                            os.write(writer, b'x' * 65536)
                else:
                    os.close(reader)
                os.set_blocking(writer, True)
                done = subprocess.run([program, 'value_of_a_failed_result'], stderr=writer, timeout=process.PATIENCE,
                                      check=False, restore_signals=True)
                self.assertIn(done.returncode, (-signal.SIGILL, -signal.SIGTRAP))
                os.close(writer)
                if is_read:
                    os.close(reader)


if __name__ == '__main__':
    unittest.main()
