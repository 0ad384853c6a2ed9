"""The command `taskset`: where applications may run, shown and changed while they run.

    taskset -p NAME          the mask of CPUs
    taskset -cp NAME         as a list
    taskset -p MASK NAME     changed; -cp LIST NAME

Models: taskset of util-linux for running processes. A name stands for the number of a process, as the emulated machine has none; the
name of an application of several threads means all of them, `NAME/0` one. Leaves out: starting programs, -a (always so).
"""

from __future__ import annotations

import re
from difflib import get_close_matches
from errno import EINVAL, ESRCH
from typing import Final

from cpus.affinity import sched_setaffinity
from cpus.process import Process
from emu.commands import Commands
from emu.cpumask import format_list, format_mask, parse_list, parse_mask
from emu.errors import ControlError
from scenarios.machine import Machine

FORM: Final = "taskset -p [MASK] NAME, or taskset -cp [LIST] NAME"

_FLAGS: Final = re.compile("-[acp]+")


class Taskset:
    """The threads of applications, by name, on `machine`."""

    def __init__(self, machine: Machine, processes: list[Process]) -> None:
        self._machine = machine
        self._processes = processes

    def register(self, commands: Commands) -> None:
        """Add the command."""
        commands.register("taskset", self._run, asks=lambda words: len(_split(words)[1]) < 2, words=self._words)

    def _run(self, words: list[str]) -> str:
        flags, words = _split(words)
        if "p" not in flags or not 1 <= len(words) <= 2 or any(word.startswith("-") for word in words):
            raise ControlError(EINVAL, f"it is for processes that run: {FORM}")
        found = self._find(words[-1])
        is_list = "c" in flags
        lines = [self._line(process, "current", is_list) for process in found]
        if len(words) == 2:
            nr_cpus = len(self._machine.cpus)
            wanted = words[0].removeprefix("0x")
            try:
                mask = parse_list(words[0], nr_cpus) if is_list else parse_mask(wanted, nr_cpus)
            except ControlError as error:  # taskset itself reads it, and has but one errno
                raise ControlError(EINVAL, error.message) from error
            now_ns, rank = self._machine.clock.now_ns, self._machine.user_rank
            for process in found:
                sched_setaffinity(process, mask, self._machine.cpus, now_ns, rank)
            lines += [self._line(process, "new", is_list) for process in found]
        return "".join(lines)

    def _find(self, name: str) -> list[Process]:
        found = [process for process in self._processes if process.name in (name, f"{name}/{_thread(process.name)}")]
        if not found:
            names = self._names()
            nearest = get_close_matches(name[:100], names, n=1, cutoff=0.0)
            hint = f": the nearest is {nearest[0]}" if nearest else ": no application of this scenario has a thread"
            raise ControlError(ESRCH, f"there is no process {name[:100]!r}{hint}")
        return found

    def _line(self, process: Process, which: str, is_list: bool) -> str:
        nr_cpus = len(self._machine.cpus)
        if is_list:
            return f"pid {process.name}'s {which} affinity list: {format_list(process.allowed, nr_cpus)}\n"
        mask = format_mask(process.allowed, nr_cpus).lstrip("0,") or "0"
        return f"pid {process.name}'s {which} affinity mask: {mask}\n"

    def _names(self) -> list[str]:
        names = {process.name for process in self._processes}
        return sorted(names | {name.rpartition("/")[0] for name in names if _thread(name)})

    def _words(self, before: list[str]) -> list[str]:
        return ["-p", "-cp"] if not before else self._names()


def _split(words: list[str]) -> tuple[str, list[str]]:
    """The letters of the flags, and the other words."""
    flags = "".join(word[1:] for word in words if _FLAGS.fullmatch(word))
    return flags, [word for word in words if not _FLAGS.fullmatch(word)]


def _thread(name: str) -> str:
    """The number in `NAME/NUMBER`, empty if it has none."""
    number = name.rpartition("/")[2] if "/" in name else ""
    return number if number.isdigit() else ""
