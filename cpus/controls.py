"""The control files that CPUs own: /proc/softirqs, /sys/devices/system/cpu and /sys/devices/system/node.

Source: fs/proc/softirqs.c, drivers/base/cpu.c, drivers/base/node.c (6.9); rule S5.
"""

from __future__ import annotations

from collections.abc import Callable

from cpus.cpu import SOFTIRQ_NAMES, Cpu
from cpus.hotplug import Hotplug
from emu.cpumask import format_list, mask_of
from emu.kstrto import parse_bool
from emu.tree import ControlEntry, ControlTree


def contribute(
    tree: ControlTree, cpus: list[Cpu], hotplug: Hotplug, now: Callable[[], tuple[int, int]], isolated: int = 0
) -> None:
    """Add the files. `now` gives the time and the rank of who writes; `isolated` is a mask."""
    base = "/sys/devices/system/cpu"
    count = len(cpus)
    tree.add("/proc/softirqs", lambda: softirqs(cpus), None)
    for name in ("possible", "present"):
        tree.add(f"{base}/{name}", lambda: f"{format_list((1 << count) - 1, count)}\n", None)
    tree.add(f"{base}/isolated", lambda: f"{format_list(isolated, count)}\n", None)
    tree.add(f"{base}/online", lambda: f"{format_list(mask_of(c.index for c in cpus if c.online), count)}\n", None)
    for cpu in cpus:
        tree.add_entry(f"{base}/cpu{cpu.index}/online", _online_entry(cpu, hotplug, now))
    for node in sorted({cpu.node for cpu in cpus}):
        tree.add(f"/sys/devices/system/node/node{node}/cpulist", _cpulist(cpus, node), None)


def _online_entry(cpu: Cpu, hotplug: Hotplug, now: Callable[[], tuple[int, int]]) -> ControlEntry:
    def write(text: str) -> None:
        at_ns, rank = now()
        hotplug.set_online(cpu.index, parse_bool(text), at_ns, rank)

    return ControlEntry(lambda: f"{int(cpu.online)}\n", write)


def _cpulist(cpus: list[Cpu], node: int) -> Callable[[], str]:
    """The reader of a node's cpulist, which names those online only."""
    return lambda: f"{format_list(mask_of(c.index for c in cpus if c.node == node and c.online), len(cpus))}\n"


def softirqs(cpus: list[Cpu]) -> str:
    """/proc/softirqs: handler invocations (S5), a column per possible CPU."""
    lines = [" " * 20 + "".join(f"{f'CPU{cpu.index}':<11s}" for cpu in cpus)]
    for nr, name in enumerate(SOFTIRQ_NAMES):
        lines.append(f"{name:>12s}:" + "".join(f" {cpu.softirq_counts[nr]:10d}" for cpu in cpus))
    return "\n".join(lines) + "\n"
