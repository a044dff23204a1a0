# SPDX-License-Identifier: MIT
"""The table that the README and docs/performance.md begin with: mote beside the event loops that an engineer knows. The
figures are what bench/run has measured; the rest is what the libraries' manuals and sources say."""
import textwrap

# HEAD: the contenders of which the figures are. Where there are two: callbacks or tasks, and coroutines.
COLUMNS = {
    'mote': ['mote_tasks', 'mote_coroutines'],
    'uloop': ['uloop'],
    'libev': ['libev'],
    'libevent': ['libevent'],
    'libuv': ['libuv'],
    'Asio': ['asio_callbacks', 'asio_coroutines'],
}

# What is there, in the order of the columns.
FACTS = [
    ('takes memory from the heap', 'never', 'never', 'yes', 'yes', 'yes', 'yes'),
    ('its memory is known when it is compiled', 'yes, `sizeof`', 'yes', 'no', 'no', 'no', 'no'),
    ('when there is no room', 'waits, or returns an error', 'returns an error', 'aborts', 'returns an error', 'aborts',
     'throws'),
    ('tasks', 'yes; C++20: coroutines, too', 'no', 'no', 'no', 'no', 'C++20: coroutines'),
    ('cancels any pending operation', 'yes', 'removes watchers', 'removes watchers', 'removes watchers',
     'some requests; closes handles', 'yes'),
    ('graceful shutdown', 'drain, cancel, destroy, in a fixed time', 'stops', 'stops', 'stops', 'stops', 'stops'),
    ('watchdog that is fed only while all tasks live', 'yes', 'no', 'no', 'no', 'no', 'no'),
    ('TLS, DNS, HTTP', 'no', 'no', 'no', 'yes', 'DNS', 'TLS, DNS'),
    ('systems', 'Linux', 'Linux, BSD, macOS', 'many', 'many', 'many', 'many'),
]


def number(value, digits=0):
    return '' if value is None else f'{value:,.{digits}f}'


def measured(results, key, names, digits=0):
    """The figures of a column: one for each contender of which it was measured."""
    found = []
    for name in names:
        entry = results
        for part in key:
            entry = entry.get(name if part is None else part, {})
        if entry != {}:
            found.append(number(entry, digits))
    return ' / '.join(found) or 'not measured'


def rows(results):
    def figures(what, key, digits=0):
        return (what, *(measured(results, key, names, digits) for names in COLUMNS.values()))

    return [
        *FACTS,
        figures("server CPU per message, of a hand-written loop's", ('times', 'ping_64', 'ratios', None, 'median'), 2),
        figures('instructions per message', ('counts', 'ping_64', None, 'instructions')),
        figures('system calls per message', ('counts', 'ping_64', None, 'system_calls'), 2),
        figures('heap calls of the whole process', ('counts', 'ping_64', None, 'heap_calls_in_all')),
        figures('code on armhf, bytes', ('sizes', 'armhf', None, 'static_text')),
    ]


NOTES = '''The figures are those of one echo server, written for each in the way that its manual teaches (see
[bench/echo]({bench}/echo)), with 64 connections; of two, the first is that of tasks or callbacks, the second that of
coroutines. Instructions are those in user space. Of the heap calls 64 are the server's own where the library leaves a
connection's memory to it, and one is the C++ runtime library's where that is linked. Code is the server's `.text`,
`-Os`, with what it takes of its library, above a program that only opens a listener; all is linked statically, the C++
runtime library, too, where it is needed. `bench/run counts sizes times report` measures all of it again, and
[bench/README.md]({bench}/README.md) says where the libraries come from: libubox, of which uloop is a part, is not in
Debian 12, and was built from its sources; its time has not been measured.'''


def table(results):
    head = ['', *COLUMNS]
    lines = ['| ' + ' | '.join(head) + ' |', '|---' * len(head) + '|']
    return '\n'.join(lines + ['| ' + ' | '.join(row) + ' |' for row in rows(results)]) + '\n'


def text(results, bench):
    """The table and what there is to say of it; `bench`: the way to that folder from the page."""
    return table(results) + '\n' + textwrap.fill(NOTES.format(bench=bench), 120, break_on_hyphens=False,
                                                 break_long_words=False) + '\n'
