"""The control files of a NIC: its interrupts and their affinity, the place of the device in the machine.

Models: /proc/irq/N/*, /sys/kernel/irq/N/*, /sys/class/net/IF/device/{numa_node,local_cpus,local_cpulist,msi_irqs/*}.
Leaves out: /proc/irq/N/spurious, vendor and driver of the device.
Source: kernel/irq/proc.c, kernel/irq/irqdesc.c, drivers/pci/pci-sysfs.c, drivers/pci/msi/msi.c (6.9); rules S13, S14.
"""

from __future__ import annotations

from cpus.irq_table import IrqLine, IrqTable
from cpus.topology import node_mask
from emu.tree import ControlTree, list_entry, mask_entry
from nic.nic import Nic
from nic.vector import MsixVector


def contribute(tree: ControlTree, irqs: IrqTable, nic: Nic) -> None:
    """Add the files of one NIC, and its interrupts to `irqs`."""

    def follow(gone: list[MsixVector], new: list[MsixVector]) -> None:
        for vector in gone:
            remove_vector(tree, irqs, nic, vector)
        for vector in new:
            contribute_vector(tree, irqs, nic, vector)

    follow([], nic.vectors)
    nic.on_vectors.append(follow)
    nr_cpus = len(nic.cpus)
    device = _device(nic)
    tree.add(f"{device}/numa_node", lambda: f"{nic.node}\n", None)
    tree.add_entry(f"{device}/local_cpus", mask_entry(lambda: node_mask(nic.cpus, nic.node), None, nr_cpus))
    tree.add_entry(f"{device}/local_cpulist", list_entry(lambda: node_mask(nic.cpus, nic.node), None, nr_cpus))


def contribute_rss_key(tree: ControlTree, key: bytes) -> None:
    """Add the sysctl that shows the host's RSS key (52 bytes), which drivers begin with (netdev_rss_key_fill)."""
    tree.add("/proc/sys/net/core/netdev_rss_key", lambda: key.hex(":") + "\n", None)


def contribute_vector(tree: ControlTree, irqs: IrqTable, nic: Nic, vector: MsixVector) -> None:
    """Add the files of one of the NIC's vectors, and its interrupt to `irqs`."""
    irq = vector.irq
    chip = f"PCI-MSIX-{nic.bus_info}"
    # Vector 0 of an ice device is its own; queue vectors begin at 1.
    irqs.add(IrqLine(irq, vector.irqs, chip, vector.index + 1, vector.name))
    _contribute_affinity(tree, nic, vector)
    tree.add(f"{_device(nic)}/msi_irqs/{irq}", lambda: "msix\n", None)
    tree.add(f"/proc/irq/{irq}/node", lambda: f"{nic.node}\n", None)
    base = f"/sys/kernel/irq/{irq}"
    tree.add(f"{base}/actions", lambda: f"{vector.name}\n", None)
    tree.add(f"{base}/chip_name", lambda: f"{chip}\n", None)
    tree.add(f"{base}/hwirq", lambda: f"{vector.index + 1}\n", None)
    tree.add(f"{base}/name", lambda: "edge\n", None)
    tree.add(f"{base}/type", lambda: "edge\n", None)
    tree.add(f"{base}/per_cpu_count", lambda: ",".join(map(str, vector.irqs)) + "\n", None)


def remove_vector(tree: ControlTree, irqs: IrqTable, nic: Nic, vector: MsixVector) -> None:
    """Take away what `contribute_vector` added."""
    irqs.remove(vector.irq)
    for path in (
        f"/proc/irq/{vector.irq}",
        f"/sys/kernel/irq/{vector.irq}",
        f"{_device(nic)}/msi_irqs/{vector.irq}",
    ):
        tree.remove(path)


def _contribute_affinity(tree: ControlTree, nic: Nic, vector: MsixVector) -> None:
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


def _device(nic: Nic) -> str:
    return f"/sys/class/net/{nic.dev.name}/device"
