"""CPUs, NUMA nodes, kernel release and HZ of a box, from the files of its tree."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from emu.cpumask import cpus_of, format_list
from emu.errors import ConfigError, InputFileError
from emu.jiffies import VALID_HZ, Jiffies
from emu.numa import node_masks
from emu.rules import DEFAULT_RELEASE, nearest_release
from scenarios.box_files import BoxFiles
from scenarios.box_interrupts import MAX_INTERRUPTS_BYTES
from scenarios.box_settings import BoxSettings
from scenarios.schema import MAX_CPUS, MAX_NODES

CPU: Final = "sys/devices/system/cpu"
NODE: Final = "sys/devices/system/node"
OSRELEASE: Final = "proc/sys/kernel/osrelease"
DEFAULT_HZ: Final = 250


@dataclass(frozen=True, slots=True)
class BoxCpus:
    """The CPUs: `count` of them, those of the mask `online` in use; node N of the box is `node_numbers[N]` here."""

    count: int
    online: int
    node_numbers: dict[int, int]

    def within(self, mask: int) -> int:
        """`mask` without CPUs that the box has not."""
        return mask & ((1 << self.count) - 1)

    def spread(self, number: int) -> int:
        """The online CPU that is the turn of `number`."""
        online = cpus_of(self.online)
        return online[number % len(online)]

    def shown(self, mask: int) -> str:
        """A CPU list for a scenario."""
        return format_list(mask, self.count)


def read_cpus(into: BoxSettings) -> BoxCpus:
    """Read CPUs, nodes and isolated CPUs. InputFileError if the tree names no CPUs, ConfigError if there are too many."""
    files = into.files
    online = files.cpu_list(f"{CPU}/online")
    # CPUs that could be plugged in one day are no part of the box: possible counts only where present is not told.
    known = files.cpu_list(f"{CPU}/present", is_expected=False) or files.cpu_list(f"{CPU}/possible", is_expected=False)
    if online is None:
        online = known = _of_interrupts(files)
        if online:
            into.assumed.append("CPUs as in proc/interrupts")
    if not online:
        raise InputFileError(
            f"{files.where('')}: no CPU is named in it ({CPU}/online), so it is no copy of a box: "
            "`softnet collect` prints the script that makes one"
        )
    known = (known or 0) | online
    count = known.bit_length()
    if count > MAX_CPUS:
        raise ConfigError(
            f"{files.where(f'{CPU}/online')}: a box of {count} CPUs, and softnet takes {MAX_CPUS} at most"
        )
    into.put("machine", "cpus", count, f"{CPU}/online")
    offline = count - online.bit_count()
    into.is_about.append(f"{count} CPU{'s' * (count > 1)}{f' ({offline} offline)' if offline else ''}")
    cpus = BoxCpus(count, online, _read_nodes(into, count))
    isolated = cpus.within(files.cpu_list(f"{CPU}/isolated") or 0)
    if isolated == (1 << count) - 1:
        into.differs.append("all CPUs are isolated there, none here")
    elif isolated:
        into.put("machine", "isolated", cpus.shown(isolated), f"{CPU}/isolated")
    return cpus


def put_offline(into: BoxSettings, cpus: BoxCpus) -> None:
    """Take offline what is: after RPS masks are written, which may hold a CPU that went away later (R6)."""
    for cpu in range(cpus.count):
        if not cpus.online >> cpu & 1:
            into.put("set", f"/{CPU}/cpu{cpu}/online", "0", f"{CPU}/online")


def read_kernel(into: BoxSettings) -> None:
    """Read the release, whose nearest rules hold, and HZ."""
    files = into.files
    release = _release(files.text(OSRELEASE, is_expected=False)) or _release(
        (files.text("proc/version", is_expected=False) or "").removeprefix("Linux version ")
    )
    if release is None:
        files.missing.append(OSRELEASE)
        into.assumed.append(f"the rules of kernel {DEFAULT_RELEASE}")
    else:
        number = re.findall(r"\d+", release)[:2]
        rules = nearest_release(".".join(number))
        into.put("machine", "rules", rules, OSRELEASE)
        into.is_about.append(f"kernel {release}")
        if number != rules.split("."):
            into.differs.append(f"the rules are those of kernel {rules}, the nearest to {release}")
    _read_hz(into)


def _read_hz(into: BoxSettings) -> None:
    """A kernel tells its HZ only in its configuration; else two jiffies are what netdev_budget_usecs begins with."""
    files = into.files
    config = re.search(r"^CONFIG_HZ=(\d{1,5})$", files.text("boot/config", is_expected=False) or "", re.MULTILINE)
    if config:
        told = int(config[1])
        hz = min(VALID_HZ, key=lambda valid: abs(valid - told))
        into.put("machine", "hz", hz, "boot/config")
        if hz != told:
            into.differs.append(f"HZ is {hz}, the nearest to {told}")
        return
    path = "proc/sys/net/core/netdev_budget_usecs"
    usecs = files.number(path, is_expected=False)
    hz = next((hz for hz in VALID_HZ if Jiffies(hz).netdev_budget_usecs_default == usecs), 0)
    into.put("machine", "hz", hz or DEFAULT_HZ, path)
    into.assumed.append(f"HZ {hz}, by netdev_budget_usecs" if hz else f"HZ {DEFAULT_HZ}")


def _of_interrupts(files: BoxFiles) -> int | None:
    """The CPUs that /proc/interrupts has a column for, as a mask: those online."""
    text = files.text("proc/interrupts", MAX_INTERRUPTS_BYTES, is_expected=False)
    mask = 0
    for number in re.findall(r"\bCPU(\d{1,4})\b", (text or "").partition("\n")[0]):
        mask |= 1 << int(number)
    return mask or None


def _release(text: str | None) -> str | None:
    match = re.match(r"\d{1,3}\.\d{1,4}[\w.+~-]{0,60}", text or "", re.ASCII)
    return None if match is None else match[0]


def _read_nodes(into: BoxSettings, count: int) -> dict[int, int]:
    """Put the nodes' CPUs; return the number here of each node that has some."""
    files = into.files
    members: dict[int, int] = {}
    taken = 0
    for node in files.numbered(NODE, "node"):
        path = f"{NODE}/node{node}/cpulist"
        mask = (files.cpu_list(path) or 0) & ((1 << count) - 1)
        if mask & taken:
            raise files.error(path, f"CPU {cpus_of(mask & taken)[0]} is on another node, too")
        taken |= mask
        if mask:  # others are memory only
            members[node] = mask
    if not members:
        files.missing.append(f"{NODE}/node0/cpulist")
        into.assumed.append("one NUMA node")
        return {}
    if len(members) > MAX_NODES:
        raise ConfigError(f"{files.where(NODE)}: {len(members)} NUMA nodes, and softnet takes {MAX_NODES} at most")
    # A node's list leaves out CPUs that are offline.
    without = (1 << count) - 1 & ~taken
    masks = list(members.values())
    masks[0] |= without
    if without and len(masks) > 1:
        into.assumed.append(f"CPU {format_list(without, count)} on node {next(iter(members))}")
    if len(masks) > 1:
        into.is_about.append(f"{len(masks)} NUMA nodes")
        nodes = len(masks) if masks == node_masks(count, len(masks)) else [format_list(mask, count) for mask in masks]
        into.put("machine", "nodes", nodes, f"{NODE}/node{next(iter(members))}/cpulist")
    numbers = {node: number for number, node in enumerate(members)}
    if any(node != number for node, number in numbers.items()):
        into.differs.append(f"node {', '.join(map(str, numbers))} is node {', '.join(map(str, numbers.values()))} here")
    return numbers
