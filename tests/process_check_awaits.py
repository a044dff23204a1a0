# SPDX-License-Identifier: MIT
"""tools/check_awaits finds the local variables that an await makes lose their values, and no others."""
import os
import re
import sys
import tempfile
import unittest

sys.path.insert(0, sys.path[0] + '/support')
import process  # noqa: E402

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
TOOL = os.path.join(ROOT, 'tools', 'check_awaits')
INCLUDE = '-I' + os.path.join(ROOT, 'include')

# Those that lose their values end with `// lost`.
SAMPLE = '''
#include <mote.hpp>
struct Pair { int first, second; };
template <class T> struct Job : mote::StateMachine {
  mote::Stream stream;
  mote::TaskTimer timer;
  mote::Result<void> done;
  mote::Result<std::size_t> got;
  T kept[8];
  mote::Step other();
  mote::Step step() {
    int anew = 3;  // lost
    char before[8];  // lost
    {
      int braced = anew;
      before[0] = static_cast<char>(braced);
    }
    MOTE_BEGIN();
    char bytes[8];  // lost
    int* pointer;  // lost
    Pair pair;  // lost
    T value;  // lost
    static int shared;
    MOTE_AWAIT(done, timer.sleep({}));
    { char inside[8]; inside[0] = bytes[0]; kept[0] = inside[0]; }
    char late[8];  // lost
    for (;;) {
      char again[4];  // lost
      again[0] = 1;
      kept[1] = again[0];
      {
        auto count = [] { char local = 3; return local; };
        kept[2] = count();
      }
      if (got) {
        char deep[3];  // lost
        MOTE_YIELD();
        kept[2] = deep[0];
      }
      late[0] = 0, value = T(), pointer = &shared, pair.first = late[0] + value + *pointer;
      if (pair.first == 3) break;
    }
    for (int i; got;) {  // lost
      MOTE_AWAIT(got, stream.read(kept));
      i = 1;
      kept[0] = static_cast<T>(i);
    }
    char last[8];
    last[0] = 0;
    kept[7] = last[0];
    MOTE_END();
  }
};
template <class T> mote::Step Job<T>::other() {
  MOTE_BEGIN();
  unsigned outside;  // lost
  MOTE_YIELD();
  kept[0] = static_cast<T>(outside);
  MOTE_END();
}
static mote::TaskPool<Job<char>, 1> pool;
void no_task() {
  int plain;
  switch (pool.size()) {
    case 1: plain = 1; break;
    default: plain = 2;
  }
  static_cast<void>(plain);
}
'''


def run(*arguments):
    return process.run([sys.executable, TOOL, *arguments])


class CheckingAwaits(unittest.TestCase):
    def setUp(self):
        with tempfile.NamedTemporaryFile('w', suffix='.cpp') as file:
            file.write('int main() {}\n')
            file.flush()
            done = run(file.name)
        if 'clang-query is not installed' in done.stderr:
            self.skipTest(done.stderr.strip())
        self.assertEqual((done.returncode, done.stdout, done.stderr), (0, '', ''))

    def test_it_finds_what_loses_its_value_and_nothing_else(self):
        with tempfile.NamedTemporaryFile('w', suffix='.cpp') as file:
            file.write(SAMPLE)
            file.flush()
            done = run(file.name, '--', '-std=c++17', INCLUDE)
        self.assertEqual(done.returncode, 1, done.stderr)
        expected = [i for i, line in enumerate(SAMPLE.splitlines(), 1) if line.endswith('// lost')]
        found = [int(line) for line in re.findall(r'^.*\.cpp:(\d+):', done.stdout, re.MULTILINE)]
        self.assertEqual(found, expected, done.stdout)
        self.assertIn('loses its value at the await in line', done.stdout)
        self.assertIn(': make it a member, or put braces around its uses: char bytes[8];', done.stdout)

    def test_the_examples_lose_nothing(self):
        folder = os.path.join(ROOT, 'examples')
        examples = sorted(os.path.join(folder, name) for name in os.listdir(folder) if name.endswith('.cpp'))
        done = run(*examples, '--', '-std=c++20', INCLUDE)
        self.assertEqual((done.returncode, done.stdout), (0, ''), done.stderr)

    def test_a_file_that_does_not_compile_is_told(self):
        with tempfile.NamedTemporaryFile('w', suffix='.cpp') as file:
            file.write('#include <no_such_file.hpp>\n')
            file.flush()
            done = run(file.name)
        self.assertEqual(done.returncode, 2)
        self.assertIn('no_such_file.hpp', done.stderr)


if __name__ == '__main__':
    unittest.main()
