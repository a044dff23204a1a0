# SPDX-License-Identifier: MIT
"""Finds functions and classes in C++ as clang-format leaves it, by counting braces: no parser, but enough."""
import re

NOT_CODE = re.compile(r'''
    //[^\n]* | /\*.*?\*/                               # comments
    | "(?:\\.|[^"\\\n])*" | (?<!\w)'(?:\\.|[^'\\\n])*'   # literals, but not the ' between digits
    ''', re.VERBOSE | re.DOTALL)
DIRECTIVE = re.compile(r'^[ \t]*#(?:[^\n]*\\\n)*[^\n]*', re.MULTILINE)
ATTRIBUTE = re.compile(r'\[\[.*?\]\]|\balignas\([^()]*\)', re.DOTALL)
TEMPLATE = re.compile(r'\btemplate\s*(?=<)')
CLASS = re.compile(r'\b(?:class|struct|union|enum(?:\s+class|\s+struct)?)\s+((?:\w+::)*\w+)(?:<.*>)?[^()=]*$', re.DOTALL)
FUNCTION = re.compile(r'(\boperator\s*(?:\(\)|[^\s(]+)|~?\b[\w:~]+)\s*\(')


def blanked(pattern, text):
    """The text with spaces in the place of what matches, so that lines and columns stay."""
    return pattern.sub(lambda found: re.sub(r'[^\n]', ' ', found[0]), text)


def without_comments(text):
    """And without literals."""
    return blanked(NOT_CODE, text)


def without_template_head(head):
    """A declaration without its `template <...>`."""
    while found := TEMPLATE.search(head):
        depth = 0
        for at in range(found.end(), len(head)):
            depth += {'<': 1, '>': -1}.get(head[at], 0)
            if depth == 0:
                break
        head = head[:found.start()] + ' ' * (at + 1 - found.start()) + head[at + 1:]
    return head


class Scope:
    """What a pair of braces encloses."""

    def __init__(self, kind, name, line, opened):
        self.kind = kind      # 'namespace', 'class', 'function', or 'initialiser' for any other
        self.name = name
        self.line = line      # of its declaration, from 1
        self.opened = opened  # the line of the opening brace
        self.closed = None
        self.friends = []     # of a class: what its friend declarations say
        self.head = ''        # what has been read of the declaration

    @property
    def length(self):
        """Lines of the body."""
        return max(0, self.closed - self.opened - 1)


def declared(head, line):
    """What the text before a brace declares, as a Scope that begins in this line."""
    start = line - head.lstrip().count('\n')
    plain = without_template_head(blanked(ATTRIBUTE, head))
    if re.match(r'\s*(inline\s+)?namespace\b|\s*extern\s*$', plain):
        return Scope('namespace', '', start, line)
    if found := CLASS.search(plain):
        return Scope('class', found[1], start, line)
    found = FUNCTION.search(plain)
    if found and plain.count('(') == plain.count(')'):
        return Scope('function', found[1], start, line)
    return Scope('initialiser', '', start, line)


def is_initialiser_of_member(scope, rest):
    """Whether the brace just closed was one of `Type() : a_{1}, b_{2} {...}` before the function's body."""
    return scope.kind == 'function' and re.match(r'\s*[,{]', rest) is not None


def scopes(text):
    """All classes and functions, in the order of their ends; not those inside of functions."""
    code = blanked(DIRECTIVE, without_comments(text))
    finished, stack, head, line = [], [], '', 1
    for at, character in enumerate(code):
        line += character == '\n'
        inside = stack[-1].kind if stack else 'namespace'
        if character == '{':
            scope = Scope('initialiser', '', line, line)
            if inside in ('namespace', 'class'):
                scope = declared(head, line)
            scope.head = head
            if scope.kind == 'function':
                note_friend(stack, head)
            stack.append(scope)
            head = ''
        elif character == '}' and stack:
            scope = stack.pop()
            scope.closed = line
            keeps_head = scope.kind == 'initialiser' or is_initialiser_of_member(scope, code[at + 1:at + 200])
            head = scope.head + ' ' if keeps_head else ''
            if scope.kind in ('class', 'function') and not keeps_head:
                finished.append(scope)
        elif character == ';':
            note_friend(stack, head)
            head = ''
        elif character == ':' and re.fullmatch(r'\s*(public|protected|private)', head):
            head = ''
        else:
            head += character
    return finished


def note_friend(stack, head):
    """Of the innermost class. An operator of its own does not count: it is no other class that looks into this one."""
    if stack and stack[-1].kind == 'class' and re.search(r'\bfriend\b', head) and 'operator' not in head:
        stack[-1].friends.append(' '.join(head.split()))
