"""The control files that CPUs own: /proc/{stat,uptime,interrupts,softirqs} and cpuN/online; the others of /sys stand in `cpus.topology`.

Source: fs/proc/softirqs.c, kernel/irq/proc.c, drivers/base/cpu.c (6.9); rule S5.
"""

from __future__ import annotations

from cpus import topology
from cpus.cpu import SOFTIRQ_NAMES, Cpu
from cpus.hotplug import Hotplug
from cpus.irq_table import IrqTable
from cpus.proc_stat import proc_stat, proc_uptime
from emu.clock import Clock
from emu.cpumask import format_mask
from emu.kstrto import parse_bool
from emu.tree import ControlEntry, ControlTree


def contribute(
    tree: ControlTree,
    cpus: list[Cpu],
    hotplug: Hotplug,
    irqs: IrqTable,
    clock: Clock,
    writer_rank: int,
    isolated: int = 0,
) -> None:
    """Add the files. `writer_rank` is the rank of who writes; `isolated` is a mask."""
    count = len(cpus)
    tree.add("/proc/stat", lambda: proc_stat(cpus, irqs, clock.reached_ns), None)
    tree.add("/proc/uptime", lambda: proc_uptime(cpus, clock.reached_ns), None)
    tree.add("/proc/interrupts", irqs.interrupts, None)
    tree.add("/proc/softirqs", lambda: softirqs(cpus), None)
    tree.add("/proc/irq/default_smp_affinity", lambda: f"{format_mask((1 << count) - 1, count)}\n", None)
    topology.contribute(tree, cpus, hotplug, isolated)
    for cpu in cpus:
        tree.add_entry(f"{topology.CPU_ROOT}/cpu{cpu.index}/online", _online_entry(cpu, hotplug, clock, writer_rank))


def _online_entry(cpu: Cpu, hotplug: Hotplug, clock: Clock, writer_rank: int) -> ControlEntry:
    def write(text: str) -> None:
        hotplug.set_online(cpu.index, parse_bool(text), clock.now_ns, writer_rank)

    return ControlEntry(lambda: f"{int(cpu.online)}\n", write)


def softirqs(cpus: list[Cpu]) -> str:
    """/proc/softirqs: handler invocations (S5), a column per possible CPU."""
    lines = [" " * 20 + "".join(f"{f'CPU{cpu.index}':<11s}" for cpu in cpus)]
    for nr, name in enumerate(SOFTIRQ_NAMES):
        lines.append(f"{name:>12s}:" + "".join(f" {cpu.softirq_counts[nr]:10d}" for cpu in cpus))
    return "\n".join(lines) + "\n"
