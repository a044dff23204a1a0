# SPDX-License-Identifier: MIT
"""Products that use the library, each in one of the ways that the README's table names, by the very line that
stands there. consumers.py CHECKOUT DIRECTORY: a clean checkout, and where the products are made."""
import os
import pathlib
import re
import shutil
import subprocess
import sys
import unittest

CHECKOUT, AT = (pathlib.Path(each).resolve() for each in sys.argv[1:])
del sys.argv[1:]

# A program that would be warned of inside the header, were it not taken as a system's.
PROGRAM = '''#include <mote.hpp>
int context = 0;
int name = 0;
static mote::StaticReactor<> reactor;
int main() { return reactor.open() ? context + name : 1; }
'''
STRICT = '-Wall -Wextra -Wpedantic -Wconversion -Wshadow -Wuseless-cast -Wswitch-default -Werror'
MESON = '''project('product', 'cpp', default_options: ['cpp_std=c++17', 'cpp_args=%s'])
%%s
executable('product', 'product.cpp', dependencies: mote, install: true)
''' % STRICT
CMAKE = f'''cmake_minimum_required(VERSION 3.14)
project(product CXX)
%s
add_executable(product product.cpp)
target_compile_options(product PRIVATE {STRICT.replace(" -", ";-")})
target_link_libraries(product PRIVATE mote::mote)
install(TARGETS product)
'''
MAKE = f'''CXX = g++
%s
CXXFLAGS += {STRICT}
product: product.cpp
'''


def ways():
    """What stands in each row of the README's table."""
    readme = (CHECKOUT / 'README.md').read_text()
    table = re.search(r'^\| with \| the line \|\n\|[-|]+\|\n((?:\|.*\n)+)', readme, re.MULTILINE)[1]
    rows = [re.fullmatch(r'\| ([^|]+) \| (.+) \|', row).groups() for row in table.splitlines()]
    return {way: '\n'.join(re.findall(r'`([^`]+)`', lines)) for way, lines in rows}


def line(way):
    return ways()[way]


def run(*command, **environment):
    done = subprocess.run([str(part) for part in command], env={**os.environ, **environment}, text=True,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    print(*command, done.stdout, sep='\n')
    if done.returncode != 0:
        raise AssertionError(f'{command} ended with {done.returncode}:\n{done.stdout}')
    return done.stdout


def image(at):
    """The files in an installed image, without the prefix."""
    return sorted(str(file.relative_to(at)) for file in at.rglob('*') if file.is_file())


class Consumers(unittest.TestCase):
    def product(self, name):
        at = AT / name
        shutil.rmtree(at, ignore_errors=True)
        at.mkdir(parents=True)
        (at / 'product.cpp').write_text(PROGRAM)
        return at

    def checkout(self, to):
        shutil.copytree(CHECKOUT, to)

    def by_meson(self, at):
        (at / 'meson.build').write_text(MESON % line('Meson'))
        run('meson', 'setup', '--prefix', '/usr', at / 'build', at)
        run('meson', 'install', '-C', at / 'build', DESTDIR=str(at / 'image'))
        run(at / 'image/usr/bin/product')
        self.assertEqual(image(at / 'image'), ['usr/bin/product'])
        self.assertFalse((at / 'build/subprojects/mote/tests').exists(), 'a subproject builds no tests')
        self.assertFalse((at / 'build/subprojects/mote/examples').exists(), 'a subproject builds no examples')

    def by_cmake(self, at, way, *options):
        (at / 'CMakeLists.txt').write_text(CMAKE % line(way))
        run('cmake', '-S', at, '-B', at / 'build', '-DCMAKE_INSTALL_PREFIX=/usr', *options)
        run('cmake', '--build', at / 'build')
        run('cmake', '--install', at / 'build', DESTDIR=str(at / 'image'))
        run(at / 'image/usr/bin/product')
        self.assertEqual(image(at / 'image'), ['usr/bin/product'])

    def installed(self):
        """The library, installed by Meson and by CMake into prefixes of their own."""
        prefix = AT / 'by-meson'
        if not prefix.exists():
            run('meson', 'setup', '--prefix', prefix, '-Dtests=disabled', '-Dexamples=disabled', AT / 'mote-meson',
                CHECKOUT)
            run('meson', 'install', '-C', AT / 'mote-meson')
        yield prefix
        prefix = AT / 'by-cmake'
        if not prefix.exists():
            run('cmake', '-S', CHECKOUT, '-B', AT / 'mote-cmake', f'-DCMAKE_INSTALL_PREFIX={prefix}')
            run('cmake', '--install', AT / 'mote-cmake')
        yield prefix

    def test_make(self):
        at = self.product('make')
        self.checkout(at / 'mote')
        (at / 'Makefile').write_text(MAKE % line('Make'))
        run('make', '-C', at)
        run(at / 'product')

    def test_meson_with_a_checkout(self):
        at = self.product('meson')
        self.checkout(at / 'subprojects/mote')
        self.by_meson(at)

    def test_meson_with_the_wrap_file(self):
        at = self.product('meson-wrap')
        upstream = at / 'upstream'
        self.checkout(upstream)
        run('git', 'init', '-q', upstream)
        run('git', '-C', upstream, 'add', '--all')
        run('git', '-C', upstream, '-c', 'user.name=nobody', '-c', 'user.email=nobody@invalid', 'commit', '-qm', 'mote')
        (at / 'subprojects').mkdir()
        wrap = (upstream / 'packaging/mote.wrap').read_text()
        self.assertIn('url = WHERE-YOU-GET-MOTE-FROM\n', wrap)
        (at / 'subprojects/mote.wrap').write_text(wrap.replace('WHERE-YOU-GET-MOTE-FROM', f'file://{upstream}'))
        self.by_meson(at)

    def test_meson_with_what_is_installed(self):
        for prefix in self.installed():
            at = self.product('meson-installed')
            (at / 'meson.build').write_text(
                MESON % "mote = dependency('mote', version: '>=0.2', include_type: 'system')")
            run('meson', 'setup', at / 'build', at, PKG_CONFIG_PATH=str(prefix / 'share/pkgconfig'))
            run('meson', 'compile', '-C', at / 'build')
            run(at / 'build/product')

    def test_cmake_with_a_checkout(self):
        at = self.product('cmake')
        self.checkout(at / 'mote')
        self.by_cmake(at, 'CMake, a checkout')

    def test_cmake_that_fetches(self):
        at = self.product('cmake-fetch')
        self.checkout(at / 'mote')
        self.by_cmake(at, 'CMake, FetchContent')

    def test_cmake_with_what_is_installed(self):
        for prefix in self.installed():
            at = self.product('cmake-installed')
            self.by_cmake(at, 'CMake, installed', f'-DCMAKE_PREFIX_PATH={prefix}')

    def test_cmake_takes_no_other_minor_version_and_no_newer_patch(self):
        version = re.search(r'project\(mote VERSION (\d+)\.(\d+)\.(\d+) ', (CHECKOUT / 'CMakeLists.txt').read_text())
        major, minor, patch = map(int, version.groups())
        wanted = {f'{major}.{minor}': True, f'{major}.{minor}.{patch}': True, f'{major}.{minor}.{patch} EXACT': True,
                  f'{major}.{minor}.{patch + 1}': False, f'{major}.{minor - 1}': False, f'{major}.{minor + 1}': False}
        for prefix in self.installed():
            for asked, found in wanted.items():
                with self.subTest(prefix=prefix.name, asked=asked):
                    at = self.product('cmake-version')
                    (at / 'CMakeLists.txt').write_text(
                        f'cmake_minimum_required(VERSION 3.14)\nproject(p CXX)\nfind_package(mote {asked} QUIET)\n'
                        'message(STATUS "found: ${mote_FOUND}")\n')
                    said = run('cmake', '-S', at, '-B', at / 'build', f'-DCMAKE_PREFIX_PATH={prefix}')
                    self.assertIn(f'found: {"1" if found else "0"}', said)

    def test_pkg_config(self):
        for prefix in self.installed():
            at = self.product('pkg-config')
            command = line('pkg-config').replace('program', str(at / 'product'))
            run('sh', '-c', command, PKG_CONFIG_PATH=str(prefix / 'share/pkgconfig'))
            run(at / 'product')

    def test_both_install_the_same_files(self):
        first, second = map(image, self.installed())
        self.assertEqual(first, second)
        self.assertIn('include/mote.hpp', first)
        self.assertIn('include/mote/io/stream.hpp', first)
        self.assertIn('share/pkgconfig/mote.pc', first)

    def test_there_is_no_other_way_in_the_table(self):
        self.assertEqual(list(ways()), ['Make', 'Meson', 'CMake, a checkout', 'CMake, FetchContent', 'CMake, installed',
                                        'pkg-config'])


unittest.main(verbosity=2)
