# SPDX-License-Identifier: MIT
"""Reads what callgrind writes: how many instructions were executed, and where."""
import os
import re


def total(path):
    with open(path) as file:
        for line in file:
            if line.startswith(('totals:', 'summary:')):
                return int(line.split()[1])
    raise ValueError(f'{path} has no total')


def costs(path):
    """Self cost by (function, file, line): inlined code counts for the function in which it stands."""
    names = {}

    def name_of(kind, text):
        found = re.match(r'\((\d+)\)(?: (.*))?', text)
        key = ('file' if kind != 'fn' else 'fn', found[1])
        if found[2]:
            names[key] = found[2]
        return names[key]

    result, function, file_name, number, is_call = {}, '', '', 0, False
    with open(path) as file:
        for line in file:
            line = line.rstrip('\n')
            kind, _, text = line.partition('=')
            if kind in ('fl', 'fi', 'fe'):
                file_name = name_of(kind, text)
            elif kind == 'fn':
                function = name_of('fn', text)
            elif kind in ('cfi', 'cfl'):
                name_of('file', text)
            elif kind == 'cfn':
                name_of('fn', text)
            elif kind == 'calls':
                is_call = True
            elif line[:1] in '0123456789+-*' and line:
                at, *cost = line.split()
                number = number if at == '*' else number + int(at) if at[0] in '+-' else int(at)
                if not is_call and cost:
                    key = (function, file_name, number)
                    result[key] = result.get(key, 0) + int(cost[0])
                is_call = False
    return result


def describe(title, costs, least=0.3):
    """As text: by function, then by line."""
    by_function, lines = {}, []
    for (function, path, number), cost in costs.items():
        by_function[function] = by_function.get(function, 0) + cost
        if cost >= least:
            lines.append((path, number, function, cost))
    text = f'==== {title}: {sum(costs.values()):.1f} instructions\n-- by function (what is inlined counts for it)\n'
    for function, cost in sorted(by_function.items(), key=lambda item: -item[1]):
        if cost >= least:
            text += f'{cost:9.1f}  {function[:150]}\n'
    text += '-- by line\n'
    sources = {}
    for path, number, function, cost in sorted(lines, key=lambda item: (item[2], item[0], item[1])):
        if path not in sources:
            try:
                with open(path) as file:
                    sources[path] = file.read().split('\n')
            except OSError:
                sources[path] = []
        source = sources[path][number - 1].strip() if 0 < number <= len(sources[path]) else ''
        short = function.split('(')[0][-28:]
        text += f'{cost:9.1f}  {short:28}  {os.path.basename(path)}:{number:<5} {source[:110]}\n'
    return text + '\n'
