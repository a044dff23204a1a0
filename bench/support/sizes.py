# SPDX-License-Identifier: MIT
"""What each echo server weighs: compiled for size, for this machine and for 32-bit ARM (Thumb-2). And what the header
costs who includes it."""
import os
import resource
import shutil
import statistics
import subprocess

HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

TARGETS = {
    'x86-64': ('g++', 'strip', []),
    'armhf': ('arm-linux-gnueabihf-g++', 'arm-linux-gnueabihf-strip', ['-mthumb', '-march=armv7-a+fp']),
}
FLAGS = ['-Os', '-DNDEBUG', '-ffunction-sections', '-fdata-sections', '-Wl,--gc-sections',
         '-I' + os.path.join(os.path.dirname(HERE), 'include')]
QUIET = ['-std=c++17', '-fno-exceptions', '-fno-rtti', '-fno-asynchronous-unwind-tables']

# CONTENDER: source, flags, libraries. A library that has no static form, or none for ARM, leaves a gap in the table.
PROGRAMS = {
    'loop_level': ('echo/loop_level.cpp', QUIET, []),
    'loop_edge': ('echo/loop_edge.cpp', QUIET, []),
    'loop_poll': ('echo/loop_poll.cpp', QUIET, []),
    'loop_uring': ('echo/loop_uring.cpp', QUIET, ['-luring']),
    'mote_tasks': ('echo/mote_tasks.cpp', QUIET, []),
    'mote_coroutines': ('echo/mote_coroutines.cpp', [*QUIET, '-std=c++20'], []),
    'mote_callbacks': ('echo/mote_callbacks.cpp', QUIET, []),
    'mote_tasks_poll': ('echo/mote_tasks.cpp', [*QUIET, '-DBENCH_POLL'], []),
    'mote_tasks_bare': ('echo/mote_tasks.cpp', [*QUIET, '-DBENCH_BARE'], []),
    'libev': ('echo/libev.cpp', QUIET, ['-lev', '-lm']),
    'libuev': ('echo/libuev.cpp', QUIET, ['-luev']),
    'uloop': ('echo/uloop.cpp', QUIET, ['-lubox']),
    'libevent': ('echo/libevent.cpp', QUIET, ['-levent_core']),
    'libuv': ('echo/libuv.cpp', QUIET, ['-luv', '-lpthread', '-ldl', '-lrt']),
    'sd_event': ('echo/sd_event.cpp', QUIET, ['-lsystemd']),
    'asio_callbacks': ('echo/asio_callbacks.cpp', ['-std=c++20'], ['-lpthread']),
    'asio_coroutines': ('echo/asio_coroutines.cpp', ['-std=c++20'], ['-lpthread']),
}


STATIC_NAMES = {'-luv': '-luv_a'}


def text_of(path):
    out = subprocess.run(['size', '-A', path], stdout=subprocess.PIPE, text=True, check=True).stdout
    return next(int(line.split()[1]) for line in out.splitlines() if line.startswith('.text '))


def build(target, source, flags, libraries, out):
    """Its .text, and the size of the stripped file; None: it cannot be built here."""
    compiler, strip, machine = TARGETS[target]
    done = subprocess.run([compiler, *machine, *FLAGS, *flags, os.path.join(HERE, source), '-o', out, *libraries],
                          stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    if done.returncode != 0:
        return None
    subprocess.run([strip, out], check=True)
    return text_of(out), os.path.getsize(out)


def unpacked(target, directory):
    """The options that find what has been unpacked there of Debian's packages of another architecture."""
    if target != 'armhf' or directory is None:
        return []
    triplet = 'arm-linux-gnueabihf'
    return [f'-I{directory}/usr/include', f'-I{directory}/usr/include/{triplet}', f'-L{directory}/usr/lib/{triplet}']


def measure(target, contenders, temporary, progress, armhf=None):
    """By contender, in bytes: text (above an empty program), static_text (with its library, above a static program that
    opens a listener), static_file. Nothing where the target's compiler is missing."""
    result = {}
    out = os.path.join(temporary, 'program')
    if shutil.which(TARGETS[target][0]) is None:
        return result
    empty = build(target, 'support/empty.cpp', QUIET, [], out)
    static_empty = build(target, 'support/empty.cpp', [*QUIET, '-DBENCH_LISTEN', '-static'], [], out)
    if empty is None or static_empty is None:
        return result
    for name in contenders:
        if name not in PROGRAMS:
            continue
        progress(f'sizes: {target}, {name}')
        source, flags, libraries = PROGRAMS[name]
        if libraries:
            flags = [*flags, *unpacked(target, armhf)]
        entry = {}
        shared = build(target, source, flags, libraries, out)
        if shared is not None:
            entry['text'] = shared[0] - empty[0]
        static = build(target, source, [*flags, '-static'], [STATIC_NAMES.get(library, library) for library in libraries], out)
        if static is not None:
            entry['static_text'], entry['static_file'] = static[0] - static_empty[0], static[1]
        if entry:
            result[name] = entry
    return result


def include(temporary, rounds, progress):
    """What it costs to include mote.hpp in C++17, and <iostream> beside it: lines after the preprocessor, CPU seconds of
    the compiler in turns, and the ratio of the same round."""
    compiler = next((name for name in ('g++-12', 'g++') if shutil.which(name)), None)
    command = [compiler, '-std=c++17', '-O2', '-I' + os.path.join(os.path.dirname(HERE), 'include')]
    files, result = {}, {'compiler': compiler, 'lines': {}, 'seconds': {}}
    for name, what in (('iostream', '<iostream>'), ('mote', '<mote.hpp>')):
        files[name] = os.path.join(temporary, name + '.cpp')
        with open(files[name], 'w') as file:
            file.write(f'#include {what}\n')
        text = subprocess.run([*command, '-E', files[name]], stdout=subprocess.PIPE, check=True).stdout
        result['lines'][name] = text.count(b'\n')
    taken = {name: [] for name in files}
    for number in range(rounds):
        progress(f'include: round {number + 1} of {rounds}')
        for name, path in files.items():
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            subprocess.run([*command, '-c', path, '-o', os.path.join(temporary, name + '.o')], check=True)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            taken[name].append(after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime)
    result['seconds'] = {name: statistics.median(each) for name, each in taken.items()}
    result['ratio'] = statistics.median(mote / other for mote, other in zip(taken['mote'], taken['iostream']))
    return result
