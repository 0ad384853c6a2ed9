"""Completion of a command line: command names, control files, sysctl names, and words that a command knows.

Models: what Tab does at a shell's prompt. Leaves out: quoting; a word with a blank in it is not completed.
"""

from __future__ import annotations

from typing import Final

from emu.commands import Commands
from emu.errors import ControlError
from emu.tree import SYSCTL_ROOT, ControlTree, sysctl_name

MAX_CANDIDATES: Final = 200


def complete(commands: Commands, text: str) -> tuple[str, list[str]]:
    """Return what of ``text`` stays, and what may follow it: candidates for its last word, sorted, at most MAX_CANDIDATES.

    A candidate that goes on (a directory, `NAME=`) ends in the character that it goes on with, any other one in a blank.
    """
    start = text.rfind(" ") + 1
    stays, word = text[:start], text[start:]
    before = stays.split()
    if not before:
        found = [f"{name} " for name in commands.names()]
    elif word.startswith("/"):
        found = _paths(commands.tree, word)
    elif before[0] == "sysctl" and not word.startswith("-"):
        found = _sysctls(commands.tree, word, "-w" in before)
    elif before[-1] in (">", "cat"):
        found = ["/proc/", "/sys/"]
    else:
        found = [f"{known} " for known in commands.words(before[0], before[1:])]
    return stays, sorted({known for known in found if known.startswith(word)})[:MAX_CANDIDATES]


def _paths(tree: ControlTree, word: str) -> list[str]:
    directory = word[: word.rfind("/") + 1]
    try:
        names = tree.list(directory)
    except ControlError:
        return []
    return [f"{directory}{name}{'/' if tree.is_directory(directory + name) else ' '}" for name in names]


def _sysctls(tree: ControlTree, word: str, writes: bool) -> list[str]:
    if "/" in word or "=" in word:
        return []
    end = "=" if writes else " "
    return [sysctl_name(path) + end for path in tree.paths() if path.startswith(SYSCTL_ROOT)]
