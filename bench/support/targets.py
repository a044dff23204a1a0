# SPDX-License-Identifier: MIT
"""What mote is to reach, and whether it does: as a table for the report, and as a check of the exact counts alone."""
import statistics

import worst

OURS = ('mote_tasks', 'mote_coroutines')
YARDSTICKS = ('loop_level', 'loop_edge', 'loop_poll', 'loop_uring')
MARGIN = 1.05  # by which an exact count may exceed the published one: compilers and C libraries differ a little
NOT_EXACT = ('expire',)  # it really waits: through how many lists a timer comes depends on the moment it was armed

# System calls per message or connection, at most.
SYSTEM_CALLS = {'ping_1': 3.0, 'ping_64': 2.02, 'churn': 6.5}
INSTRUCTIONS = {'ping_1': {'mote_tasks': 170, 'mote_coroutines': 230}, 'ping_64': {'mote_tasks': 130, 'mote_coroutines': 180}}
TIMERS = ('arm', 'cancel', 'expire')
SPAWNED = {'task': 150, 'coroutine': 400}
REARM_INSTRUCTIONS, REARM_TIME, DISPATCH, PAIR, WAKE = 40, 0.4, 80, 1.05, 1.05
FLAT, TEXT, INCLUDE_SECONDS, INCLUDE_LINES = 1.05, 8192, 0.35, 60000


def is_ours(name):
    return name.startswith('mote')


def median_ratio(entry, who, reference):
    ns = entry.get('ns', {})
    if not ns.get(who) or not ns.get(reference):
        return None
    return statistics.median(a / b for a, b in zip(ns[who], ns[reference]))


def by_size(entries):
    return sorted(entries.items(), key=lambda item: int(item[0]))


def shown(value, digits=2):
    return f'{value:,.{digits}f}'


class Rows(list):
    """(what, target, result, met: True, False, or None where it cannot be told)"""

    def compare(self, what, target, values, limit, digits=2, unit=''):
        """values: {who: value or None}"""
        known = {who: value for who, value in values.items() if value is not None}
        if not known:
            return
        result = ', '.join(f'{who} {shown(value, digits)}'.strip() for who, value in known.items())
        self.append((what, target, result + unit, all(value <= limit for value in known.values())))


def times(rows, results, names, scenarios):
    for scenario in scenarios:
        ratios = results.get('times', {}).get(scenario, {}).get('ratios', {})
        ours = {who: ratios[who] for who in OURS if who in ratios}
        if not ours or scenario == 'churn':  # for which there is no target but its system calls
            continue
        noise = abs(ratios['loop_level again']['median'] - 1)
        peers = {who: r['median'] for who, r in ratios.items()
                 if not is_ours(who) and who in names and who not in YARDSTICKS}
        best = min(peers, key=peers.get, default=None)
        result = ', '.join(f"{who.split('_')[1]} {shown(r['median'])}" for who, r in ours.items())
        if best:
            result += f'; best peer {names[best]} {shown(peers[best])}'
        met = all(r['median'] <= 1 + noise and (best is None or r['median'] < peers[best]) for r in ours.values())
        rows.append((f'server CPU per message, of the hand-written loop\'s: {scenarios[scenario][0]}',
                     '≤ 1.00 within the noise, and below every peer', result, met))


def table(results, names, scenarios):
    """The rows of the report."""
    rows = Rows()
    times(rows, results, names, scenarios)
    counts, micro = results.get('counts', {}), results.get('micro', {})
    for scenario, limits in INSTRUCTIONS.items():
        values = {who: counts.get(scenario, {}).get(who, {}).get('instructions') for who in OURS}
        if all(value is not None for value in values.values()):
            rows.append((f'instructions in user space per message: {scenarios[scenario][0]}',
                         ', '.join(f"{who.split('_')[1]} ≤ {limits[who]}" for who in OURS),
                         ', '.join(f"{who.split('_')[1]} {shown(values[who], 0)}" for who in OURS),
                         all(values[who] <= limits[who] for who in OURS)))
    for scenario, limit in SYSTEM_CALLS.items():
        mine = [entry['system_calls'] for who, entry in counts.get(scenario, {}).items()
                if is_ours(who) and 'system_calls' in entry]
        if mine:
            rows.append((f"system calls per {'connection' if scenario == 'churn' else 'message'}: {scenarios[scenario][0]}",
                         f'≤ {limit:g}', shown(max(mine), 3), max(mine) <= limit + 0.005))
    controls = [entry['system_calls_by_name'].get('epoll_ctl', 0) for scenario, entries in counts.items()
                for who, entry in entries.items()
                if is_ours(who) and scenario != 'churn' and 'system_calls_by_name' in entry]
    if controls:
        rows.append(('`epoll_ctl` per message, connections open', '0', shown(max(map(abs, controls)), 3), max(controls) < 0.001))
    heap = [entry['heap_calls_in_all'] for entries in counts.values() for who, entry in entries.items() if is_ours(who)]
    if heap:
        rows.append(('heap calls in the whole life of the process', '0', str(max(heap)), max(heap) == 0))

    timers = micro.get('timers', {})
    idle = timers.get('rearm_idle', {})
    rows.compare('re-arm of an idle timeout, instructions', f'≤ {REARM_INSTRUCTIONS} at every size',
                 {f'{int(n):,}:': e.get('instructions', {}).get('mote') for n, e in by_size(idle)}, REARM_INSTRUCTIONS, 0)
    rows.compare("re-arm of an idle timeout, time as a ratio to libev's", f'≤ {REARM_TIME} at every size',
                 {f'{int(n):,}:': median_ratio(e, 'mote', 'libev') for n, e in by_size(idle)}, REARM_TIME)
    for case in TIMERS:
        rows.compare(f"timers: {case}, time as a ratio to libev's", '< 1 at every size',
                     {f'{int(n):,}:': median_ratio(e, 'mote', 'libev') for n, e in by_size(timers.get(case, {}))}, 0.9999)
    chain = micro.get('chain', {}).get('100', {}).get('100', {}).get('instructions', {})
    rows.compare('dispatch of a callback, 100 of 100 descriptors active, instructions', f'≤ {DISPATCH}',
                 {'': chain.get('mote')}, DISPATCH, 0)
    for case, limit in SPAWNED.items():
        for entry in micro.get('tasks', {}).get(case, {}).values():
            rows.compare(f'spawn and end of a {case}, instructions', f'≤ {limit}',
                         {'': entry.get('instructions', {}).get('mote')}, limit, 0)
    for entry in micro.get('other', {}).get('register', {}).values():
        rows.compare('register and unregister, time as a ratio to the bare pair', f'≤ {PAIR}',
                     {'': median_ratio(entry, 'mote', 'bare')}, PAIR)
    for entry in micro.get('wake', {}).get('round_trip', {}).values():
        rows.compare('wake-up from another thread, there and back, time as a ratio to a bare eventfd', f'≤ {WAKE}',
                     {'': median_ratio(entry, 'mote', 'bare')}, WAKE)
    for entry in micro.get('wake', {}).get('flood', {}).values():
        calls = entry.get('system_calls', {})
        if 'mote' in calls and 'bare' in calls:
            rows.append(('wake-ups under load coalesce: system calls per wake-up', 'below the bare eventfd\'s',
                         f"{shown(abs(calls['mote']), 3)}, bare {shown(calls['bare'], 3)}", calls['mote'] < calls['bare']))
    registered = micro.get('registered', {}).get('8', {})
    for who, where in (('mote', 'epoll'), ('mote_poll', 'poll')):
        each = [e['instructions'][who] for e in registered.values() if e.get('instructions', {}).get(who)]
        if len(each) > 1:
            rows.append((f'an event among 16 … 9,000 descriptors, 8 active, {where}: growth of its instructions',
                         f'≤ {FLAT} ×', f'{shown(max(each) / min(each))} ×', max(each) <= FLAT * min(each)))
    cases = results.get('worst')
    if cases:
        found = worst.faults(cases)
        rows.append(('each public operation O(1), or its stated bound; latency in a flood within the bounds of a turn',
                     'all', f"{len(cases['operations'])} operations, {len(cases['flood'])} floods, {len(found)} out of bounds",
                     not found))
    text = results.get('sizes', {}).get('armhf', {}).get('mote_tasks', {}).get('text')
    rows.compare('.text of the echo server above an empty program, bytes, armhf -Os', f'≤ {TEXT:,}', {'': text}, TEXT, 0)
    include = results.get('include')
    if include:
        rows.append(('`#include <mote.hpp>`, C++17', f'≤ {INCLUDE_SECONDS} s and ≤ {INCLUDE_LINES:,} lines',
                     f"{shown(include['seconds']['mote'])} s, {include['ratio']:.1f} × `<iostream>`; {include['lines']['mote']:,} lines",
                     include['seconds']['mote'] <= INCLUDE_SECONDS and include['lines']['mote'] <= INCLUDE_LINES))
    return rows


def more_than(found, what, value, published):
    if value is not None and published is not None and value > published * MARGIN + 1:
        found.append(f'{what}: {value:,.0f} instructions, {published:,.0f} are published')


def check(results, published):
    """What the exact counts of this run give away, in words. `published`: the results that the documents show."""
    found = []
    for scenario, entries in results.get('counts', {}).items():
        for who, entry in entries.items():
            if not is_ours(who):
                continue
            what = f'{who}, {scenario}'
            for key in ('instructions', 'system_calls', 'heap_calls_in_all'):
                if key not in entry:
                    found.append(f'{what}: {key} not counted')
            if entry.get('heap_calls_in_all', 0) != 0:
                found.append(f"{what}: {entry['heap_calls_in_all']} heap calls")
            calls, limit = entry.get('system_calls', 0), SYSTEM_CALLS.get(scenario)
            if limit is not None and calls > limit + 0.005:
                found.append(f"{what}: {calls:.3f} system calls, {limit} are allowed: {entry['system_calls_by_name']}")
            control = entry.get('system_calls_by_name', {}).get('epoll_ctl', 0)
            if scenario != 'churn' and control >= 0.001:
                found.append(f'{what}: {control:.3f} epoll_ctl per message, connections open')
            more_than(found, what, entry.get('instructions'),
                      published.get('counts', {}).get(scenario, {}).get(who, {}).get('instructions'))
    for what, cases in results.get('micro', {}).items():
        for case, entries in cases.items():
            for size, entry in entries.items():
                known = published.get('micro', {}).get(what, {}).get(case, {}).get(size, {}).get('instructions', {})
                for who, value in entry.get('instructions', {}).items():
                    if is_ours(who) and case not in NOT_EXACT:
                        more_than(found, f'{what}, {case}, {size}, {who}', value, known.get(who))
    if 'worst' in results:
        found += worst.faults(results['worst'])
        known = {entry['name']: entry for entry in published.get('worst', {}).get('operations', [])}
        for entry in results['worst']['operations']:
            before = known.get(entry['name'], {'worst': {}})
            more_than(found, f"{entry['name']}, usually", entry['usual'], before.get('usual'))
            for size, value in entry['worst'].items():
                more_than(found, f"{entry['name']}, {entry['state']}, n = {size}", value, before['worst'].get(size))
    return found
