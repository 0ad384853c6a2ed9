"""The commands that would make a change on a server, and those that undo it: the difference of two machines' settings.

Models: control files, sysctls, and what ethtool and ip set. Both directions come from what the machines hold before their first frame,
so the undo writes A's own values. The lines are printed for people to read, and never run here.
Leaves out: what no command changes (CPUs, releases, traffic, applications); it is named.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import msgspec

from emu.cpumask import format_list, mask_of, parse_list
from emu.tree import SYSCTL_ROOT, sysctl_name
from scenarios.build import Built
from scenarios.schema import Scenario
from scenarios.shown import shown
from scenarios.study.nic_settings import SAFE_NAME, NicSettings, nic_commands, nic_settings

MASK_FILES: Final = ("rps_cpus", "flow_limit_cpu_bitmap", "rps_default_mask")
"""Files that read as groups of hexadecimal digits, more of them on a machine with more CPUs."""

_IRQ: Final = "/proc/irq/"
_CPU: Final = "/sys/devices/system/cpu/cpu"
_BITMAP: Final = "/proc/sys/net/core/flow_limit_cpu_bitmap"
_TABLE: Final = "/proc/sys/net/core/flow_limit_table_len"

_FOR_NEW_SOCKETS: Final = frozenset(
    f"{SYSCTL_ROOT}net/{name}" for name in ("core/rmem_default", "core/rmem_max", "ipv4/tcp_rmem")
)

FIND_IRQ: Final = (
    'irq() { awk -v name="$1" \'{ at = length($NF) - length(name) }'
    ' at >= 0 && substr($NF, at + 1) == name && (!at || substr($NF, at, 1) == "-")'
    ' { sub(":", "", $1); print $1 }\' /proc/interrupts; }'
)
"""A shell function: number of the interrupt whose name is, or ends in, the word; drivers put their own name before it."""

_FIXED: Final = {
    "machine": ("cpus", "nodes", "isolated", "rules", "hz", "costs", "clock_ghz", "prices"),
    "nic": ("name", "vectors", "speed_gbps", "weight", "node"),
}
"""Keys that describe the server itself."""


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings of a machine, before its first frame."""

    files: dict[str, str]
    """Control file that can be read and written -> its text without the newline; but for those of interrupts and cpuN/online."""
    online: list[bool]
    """By CPU; one that was asked to go or to come counts as gone or there."""
    allowed: dict[str, str]
    """A thread's name -> the list of CPUs that it may run on."""
    affinity: dict[str, str]
    """An interrupt's name -> its smp_affinity_list."""
    irqs: dict[str, int]
    """An interrupt's name -> its number, if it is the server's own and not ours."""
    nic: NicSettings


@dataclass(frozen=True, slots=True)
class ServerCommands:
    """Two scripts, line by line, and what no script can do."""

    apply: list[str]
    undo: list[str]
    fixed: list[str]
    """Sentences about differences that are no settings."""


def settings_of(built: Built) -> Settings:
    """The settings of `built` as they are now."""
    tree = built.machine.tree
    cpus, under_way = built.machine.cpus, built.machine.hotplug.under_way
    online = [under_way.get(cpu.index, cpu.online) for cpu in cpus]
    allowed = {thread.process.name: format_list(thread.process.allowed, len(cpus)) for thread in built.threads}
    files = {}
    for path in tree.paths():
        entry = tree.entry(path)
        if entry.read is not None and entry.write is not None and not path.startswith((_IRQ, _CPU)):
            files[path] = entry.read().removesuffix("\n")
    vectors = built.nic.vectors
    affinity = {vector.name: tree.read(f"{_IRQ}{vector.irq}/smp_affinity_list").strip() for vector in vectors}
    known = {vector.name: vector.irq for vector in vectors[: len(built.scenario.nic.irqs)]}
    return Settings(files, online, allowed, affinity, known, nic_settings(built))


def server_commands(a: Built, b: Built) -> ServerCommands:
    """How to get from `a`'s settings to `b`'s, and back."""
    old, new = settings_of(a), settings_of(b)
    fixed = list(_fixed(a.scenario, b.scenario))
    for name in (old.nic.name, new.nic.name):
        if not SAFE_NAME.fullmatch(name):
            return ServerCommands([], [], [*fixed, f"{shown(name)} is no interface name to write into a command"])
    if old.nic.name != new.nic.name:
        return ServerCommands(
            [], [], [*fixed, "A and B have different interfaces: there is no command from one to the other"]
        )
    return ServerCommands(_script(old, new), _script(new, old), fixed)


def _script(old: Settings, new: Settings) -> list[str]:
    """The lines of a script from `old` to `new`; empty when nothing differs."""
    lines = [
        *_online_commands(old, new, True),
        *nic_commands(old.nic, new.nic),
        *_affinity_commands(old, new),
        *_file_commands(old, new),
        *_allowed_commands(old, new),
        *_online_commands(old, new, False),
    ]
    if not lines:
        return []
    head = ["set -eu"]
    if any(_IRQ in line for line in lines):
        head.append("# irqbalance, where it runs, would move the interrupts again.")
    if any("$(irq " in line for line in lines):
        head.append(FIND_IRQ)
    return [*head, *lines]


def _online_commands(old: Settings, new: Settings, online: bool) -> Iterator[str]:
    """CPUs that come first of all, or go last of all: nothing can be moved to one that is not there."""
    for index, (was, now) in enumerate(zip(old.online, new.online, strict=False)):
        if was != now == online:
            yield _command(f"{_CPU}{index}/online", str(int(now)))


def _allowed_commands(old: Settings, new: Settings) -> Iterator[str]:
    """Where threads may run, as sentences: their numbers are the server's."""
    if len(old.online) != len(new.online):
        return
    moved: dict[str, list[str]] = {}
    for name, cpus in new.allowed.items():
        if cpus != old.allowed.get(name, cpus):
            moved.setdefault(cpus, []).append(shown(name))
    for cpus, names in moved.items():
        yield f"# taskset -cp {cpus} PID, with the number of each of these threads: {', '.join(names)}"


def _affinity_commands(old: Settings, new: Settings) -> Iterator[str]:
    gone = mask_of(index for index, online in enumerate(old.online) if not online)
    for name, cpus in new.affinity.items():
        # An interrupt whose CPUs have all gone was moved elsewhere, and does not come back by itself.
        was_moved = not parse_list(cpus, len(new.online)) & ~gone
        if was_moved or cpus != old.affinity.get(name):
            number = new.irqs.get(name, old.irqs.get(name))
            # A number that is not known is the server's to give: it is looked up by the name.
            path = f'"{_IRQ}$(irq {shlex.quote(name)})/' if number is None else f'"{_IRQ}{number}/'
            yield f'echo {shlex.quote(cpus)} > {path}smp_affinity_list"'


def _file_commands(old: Settings, new: Settings) -> Iterator[str]:
    changed = [path for path in new.files if _differs(path, old, new)]
    if _TABLE in changed and new.files[_BITMAP].strip("0,"):
        # A CPU keeps its table as long as its bit stays; only those whose bit appears get one of the new length.
        yield _command(_BITMAP, "0")
        changed = [path for path in changed if path != _BITMAP] + [_BITMAP]
    elif _BITMAP in changed:
        changed.remove(_BITMAP)
        changed.append(_BITMAP)
    for path in changed:
        if path in _FOR_NEW_SOCKETS:
            yield "# holds for sockets opened afterwards: start the application anew"
        yield _command(path, new.files[path])


def _differs(path: str, old: Settings, new: Settings) -> bool:
    was, now = old.files.get(path), new.files[path]
    if path.rpartition("/")[2] in MASK_FILES:
        return _mask(was) != _mask(now)
    if was is None and "/queues/" in path:
        return now != "0"  # as a queue that is made anew has it
    return was != now


def _mask(text: str | None) -> int:
    return int(text.replace(",", ""), 16) if text else 0


def _command(path: str, value: str) -> str:
    if path.startswith(SYSCTL_ROOT):
        return shlex.join(["sysctl", "-w", f"{sysctl_name(path)}={' '.join(value.split())}"])
    return f"echo {shlex.quote(value)} > {shlex.quote(path)}"


def _fixed(a: Scenario, b: Scenario) -> Iterator[str]:
    """What differs and is no setting, a sentence each."""
    for table, keys in _FIXED.items():
        for key in keys:
            was, now = getattr(getattr(a, table), key), getattr(getattr(b, table), key)
            if was != now:
                yield f"{table}.{key} is {_words(was)} in A and {_words(now)} in B: no command changes it"
    if a.traffic != b.traffic or a.capture != b.capture:
        yield "the traffic differs: no command changes what others send"
    if a.at != b.at:
        yield "the commands at later times ([[at]]) differ: they are not in the script, which is about the start"
    if a.app != b.app:
        yield "the applications differ: that is theirs to change"


def _words(value: object) -> str:
    return "the default" if value is None else shown(msgspec.json.encode(value).decode())
