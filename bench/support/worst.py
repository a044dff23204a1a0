# SPDX-License-Identifier: MIT
"""The worst cases: reads what the programs of worst/ have had callgrind write down, and says whether it is as bounded as
it is said to be."""
import math
import subprocess

# What the flood consists of; see worst/flood.cpp.
READY, AWAKE, BATCH, STEPS_BELOW = 1001, 1000, 256, 16


class Unbounded(Exception):
    pass


def dumps(path):
    """(label, instructions) in order. The costs by line are not to be trusted here: they keep what was before."""
    label = None
    with open(path) as file:
        for line in file:
            if line.startswith('desc: Trigger:'):
                _, _, label = line.rstrip('\n').partition('Client Request: ')
            elif line.startswith('summary:') and label:
                yield label, int(line.split()[1])


def run(program, out):
    done = subprocess.run(['valgrind', '--tool=callgrind', '--log-file=/dev/null', '--combine-dumps=yes', '--dump-line=no',
                           f'--callgrind-out-file={out}', program], stderr=subprocess.PIPE, text=True, timeout=600)
    if done.returncode != 0:
        raise Unbounded(f'{program}: {done.stderr}')
    return dumps(out)


def operations(program, out):
    """[{section, name, usual, state, bound, worst: {size: instructions}, of: {size: how many of them share it}}]."""
    section, overhead, found = '', 0, {}
    for label, cost in run(program, out):
        kind, name, *rest = label.split('|')
        if kind == 'section':
            section = name
            continue
        if name == '':
            overhead = cost
            continue
        entry = found.setdefault(name, {'section': section, 'name': name, 'usual': None, 'worst': {}, 'of': {}})
        if kind == 'usual':
            entry['usual'] = max(entry['usual'] or 0, cost - overhead)
        else:
            size, of, entry['state'], entry['bound'] = rest
            entry['worst'][size] = max(entry['worst'].get(size, 0), cost - overhead)
            entry['of'][size] = int(of)
    sections = list(dict.fromkeys(entry['section'] for entry in found.values()))
    return sorted(found.values(), key=lambda entry: sections.index(entry['section']))


def flood(program, out):
    """[{name, selector, priorities, events, steps, turns, instructions}]: each the worst of all trials."""
    found = {}
    for label, cost in run(program, out):
        _, name, selector, priorities, *counts = label.split('|')
        entry = found.setdefault((name, selector, priorities), {
            'name': name, 'selector': selector, 'priorities': int(priorities)})
        for key, value in zip(('events', 'steps', 'turns', 'instructions'), [*map(int, counts), cost]):
            entry[key] = max(entry.get(key, 0), value)
    return list(found.values())


def flood_bound(name, priorities):
    """How many events and steps may come before it: from the bounds of a turn alone."""
    steps = AWAKE if priorities == 1 else STEPS_BELOW
    events_before = steps_before = 0
    if 'descriptor' in name or 'reads' in name:  # the ready ones take turns; the turn that has begun is one more
        events_before, steps_before = READY + BATCH, (math.ceil(READY / BATCH) + 1) * steps
    elif 'timer' in name or 'sleeps' in name:  # at the end of the turn
        events_before, steps_before = BATCH, steps
    if 'task' in name:
        turns = 1 if priorities == 1 or 'highest' in name else math.ceil(AWAKE / STEPS_BELOW)
        events_before += turns * BATCH
        steps_before += turns * steps
    return events_before, steps_before


def faults(worst):
    """What is not as bounded as it is said to be, in words."""
    found = []
    for entry in worst['operations']:
        costs = [entry['worst'][size] / entry['of'][size] for size in sorted(entry['worst'], key=int)]
        if len(costs) > 2:  # up to 32, what is done for a few at most (limits::timers_per_scan) grows as well
            costs = costs[1:]
        if len(costs) < 2:
            continue
        first, last = costs[0], costs[-1]
        if entry['bound'].startswith('O(1)') and last > 1.25 * first + 32:
            found.append(f"{entry['name']} is said to be {entry['bound']}, and takes {entry['worst']}")
        elif 'log' in entry['bound'] and last > 2 * first or 'log' not in entry['bound'] and last > 1.5 * first + 8:
            found.append(f"{entry['name']} grows faster than {entry['bound']}: {entry['worst']}")
    for entry in worst['flood']:
        events, steps = flood_bound(entry['name'], entry['priorities'])
        if entry['events'] > events or entry['steps'] > steps:
            found.append(f"{entry['name']}, {entry['selector']}, {entry['priorities']} priorities: {entry['events']} events "
                         f"and {entry['steps']} steps came first, of {events} and {steps} that may")
    return found
