"""The control files of a NIC: its interrupts' affinity, its MTU, its counters; and /proc/interrupts.

Models: /proc/irq/N/*, /sys/class/net/IF/{mtu,address,statistics/*}, the rows of /proc/interrupts for device vectors and IPIs.
Leaves out: /proc/irq/N/{node,spurious}, counters of events that cannot happen here (they read 0).
Source: kernel/irq/proc.c, net/core/net-sysfs.c, arch/x86/kernel/irq.c (6.9); rules S13, S14.
"""

from __future__ import annotations

from collections.abc import Callable
from errno import EINVAL
from typing import Final

from cpus.cpu import Cpu
from emu.errors import ControlError
from emu.tree import ControlTree, list_entry, mask_entry, unsigned_entry
from nic.nic import MTU_MAX, MTU_MIN, Nic
from nic.vector import MsixVector
from softirq.net import Net

STATISTICS: Final = (
    "collisions",
    "multicast",
    "rx_bytes",
    "rx_compressed",
    "rx_crc_errors",
    "rx_dropped",
    "rx_errors",
    "rx_fifo_errors",
    "rx_frame_errors",
    "rx_length_errors",
    "rx_missed_errors",
    "rx_nohandler",
    "rx_over_errors",
    "rx_packets",
    "tx_aborted_errors",
    "tx_bytes",
    "tx_carrier_errors",
    "tx_compressed",
    "tx_dropped",
    "tx_errors",
    "tx_fifo_errors",
    "tx_heartbeat_errors",
    "tx_packets",
    "tx_window_errors",
)
"""The files of /sys/class/net/IF/statistics."""


def contribute(tree: ControlTree, nic: Nic) -> None:
    """Add the files of one NIC."""
    for vector in nic.vectors:
        _contribute_irq(tree, nic, vector)
    base = f"/sys/class/net/{nic.dev.name}"
    tree.add_entry(f"{base}/mtu", unsigned_entry(lambda: nic.dev.mtu, lambda mtu: _set_mtu(nic, mtu)))
    tree.add(f"{base}/address", lambda: nic.dev.address.hex(":") + "\n", None)
    tree.add(f"{base}/device/numa_node", lambda: f"{nic.node}\n", None)
    for name in STATISTICS:
        tree.add(f"{base}/statistics/{name}", _statistic(nic, name), None)


def contribute_interrupts(tree: ControlTree, net: Net, cpus: list[Cpu], nics: list[Nic]) -> None:
    """Add /proc/interrupts of the whole machine."""
    tree.add("/proc/interrupts", lambda: interrupts(net, cpus, nics), None)


def interrupts(net: Net, cpus: list[Cpu], nics: list[Nic]) -> str:
    """The text of /proc/interrupts: a column for each CPU that is online, a row for each vector, then the IPIs."""
    online = [cpu for cpu in cpus if cpu.online]
    lines = [" " * 11 + "".join(f"CPU{cpu.index:<8}" for cpu in online)]
    for nic in nics:
        for vector in nic.vectors:
            counts = "".join(f"{vector.irqs[cpu.index]:>10} " for cpu in online)
            # Vector 0 of an ice device is its own; queue vectors begin at 1.
            lines.append(
                f"{vector.irq:>3}: {counts} PCI-MSIX-{nic.bus_info} {vector.index + 1:>3}-edge      {vector.name}"
            )
    reschedules = "".join(f"{cpu.resched_ipis:>10} " for cpu in online)
    lines.append(f"RES: {reschedules}  Rescheduling interrupts")
    calls = "".join(f"{net.softnet[cpu.index].received_rps:>10} " for cpu in online)
    lines.append(f"CAL: {calls}  Function call interrupts")
    return "\n".join(lines) + "\n"


def _contribute_irq(tree: ControlTree, nic: Nic, vector: MsixVector) -> None:
    base = f"/proc/irq/{vector.irq}"
    nr_cpus = len(nic.cpus)

    def set_affinity(mask: int) -> None:
        nic.set_affinity(vector.index, mask)

    def effective() -> int:
        return 1 << vector.cpu

    tree.add_entry(f"{base}/smp_affinity", mask_entry(lambda: vector.affinity, set_affinity, nr_cpus))
    tree.add_entry(f"{base}/smp_affinity_list", list_entry(lambda: vector.affinity, set_affinity, nr_cpus))
    tree.add_entry(f"{base}/effective_affinity", mask_entry(effective, None, nr_cpus))
    tree.add_entry(f"{base}/effective_affinity_list", list_entry(effective, None, nr_cpus))
    tree.add_entry(f"{base}/affinity_hint", mask_entry(lambda: vector.hint, None, nr_cpus))


def _set_mtu(nic: Nic, mtu: int) -> None:
    if not MTU_MIN <= mtu <= MTU_MAX:
        raise ControlError(EINVAL, f"an MTU of {mtu} is out of range: write {MTU_MIN} to {MTU_MAX}")
    nic.set_mtu(mtu)


def _statistic(nic: Nic, name: str) -> Callable[[], str]:
    def read() -> str:
        nic.advance(nic.clock.now_ns)
        return f"{getattr(nic.dev.statistics, name, 0)}\n"

    return read
