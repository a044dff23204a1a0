# SPDX-License-Identifier: MIT
"""What each echo server weighs: compiled for size, for this machine and for 32-bit ARM (Thumb-2)."""
import os
import shutil
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


def measure(contenders, temporary, progress):
    """By target and contender, in bytes: text (above an empty program), static_text (with its library, above a static
    program that opens a listener), static_file."""
    result = {}
    for target, (compiler, _, _) in TARGETS.items():
        if shutil.which(compiler) is None:
            continue
        out = os.path.join(temporary, 'program')
        empty = build(target, 'support/empty.cpp', QUIET, [], out)
        static_empty = build(target, 'support/empty.cpp', [*QUIET, '-DBENCH_LISTEN', '-static'], [], out)
        if empty is None or static_empty is None:
            continue
        table = result[target] = {}
        for name in contenders:
            if name not in PROGRAMS:
                continue
            progress(f'sizes: {target}, {name}')
            source, flags, libraries = PROGRAMS[name]
            entry = {}
            shared = build(target, source, flags, libraries, out)
            if shared is not None:
                entry['text'] = shared[0] - empty[0]
            static = build(target, source, [*flags, '-static'], [STATIC_NAMES.get(library, library) for library in libraries], out)
            if static is not None:
                entry['static_text'], entry['static_file'] = static[0] - static_empty[0], static[1]
            if entry:
                table[name] = entry
    return result
