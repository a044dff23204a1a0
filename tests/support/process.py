# SPDX-License-Identifier: MIT
"""How process tests start the programs under test, natively and in a cross build alike."""
import os
import shlex
import subprocess


def command(program):
    """The command line of a program that was built for the host machine: behind the emulator in a cross build."""
    return [*shlex.split(os.environ.get('MESON_EXE_WRAPPER', '')), program]


def run(arguments, timeout=60, **options):
    """Runs a command to its end, without input, and gives its output as text."""
    return subprocess.run(arguments, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          text=True, timeout=timeout, check=False, **options)
