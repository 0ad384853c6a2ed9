"""The control files that softirq owns: steering and NAPI settings per device, sysctls that need a reaction.

The counters stand in `softirq.net_procfs`, what any device has in `softirq.net_sysfs`.

Source: net/core/net-sysfs.c, net/core/sysctl_net_core.c, net/core/net-procfs.c (6.1, 6.9); rules R10, R11, F4, K7, section 13.
"""

from __future__ import annotations

import errno
from typing import Final

from cpus.irq_table import IrqRow, IrqTable
from emu.cpumask import cpus_of, keep_housekeeping
from emu.errors import ControlError
from emu.tree import ControlTree, bool_entry, mask_entry, unsigned_entry
from softirq import net_sysfs
from softirq.device import NetDevice, RxQueue
from softirq.flow_limit import FlowLimit
from softirq.net import Net
from softirq.net_procfs import proc_net_dev, softnet_stat
from softirq.rps import set_rps_cpus, set_rps_flow_cnt, set_rps_sock_flow_entries
from softirq.softnet_data import SoftnetData
from softirq.threaded import dev_set_threaded

MAX_FLOW_ENTRIES: Final = 1 << 22
"""Largest table the emulator allocates; the kernel takes up to 2**29 for rps_sock_flow_entries, if it finds the memory."""


def contribute(tree: ControlTree, net: Net, irqs: IrqTable) -> None:
    """Add the counters of /proc/net and the devices there are, and let the sysctls of RPS, RFS and flow limit take effect."""
    net.settings.on_change["rps_sock_flow_entries"] = lambda count: _set_sock_flow_entries(net, count)
    net.settings.on_change["flow_limit_cpu_bitmap"] = lambda mask: _set_flow_limit_cpus(net, mask)
    net.settings.on_change["rps_default_mask"] = lambda mask: None
    tree.add("/proc/net/softnet_stat", lambda: softnet_stat(net), None)
    tree.add("/proc/net/dev", lambda: proc_net_dev(net), None)
    for dev in net.devices.values():
        net_sysfs.contribute(tree, net, dev)
    irqs.rows.append(IrqRow("CAL", lambda cpu: _function_calls(net.softnet[cpu.index]), "Function call interrupts"))


def _function_calls(sd: SoftnetData) -> int:
    """IPIs that ran a function: for a backlog, for deferred frees."""
    return sd.received_rps + sd.defer_list.ipis


def contribute_device(tree: ControlTree, net: Net, dev: NetDevice) -> None:
    """Add the files of a device that receives: what any device has, steering files of each queue, NAPI settings."""
    net_sysfs.contribute(tree, net, dev)
    base = f"/sys/class/net/{dev.name}"

    def follow(gone: list[RxQueue], new: list[RxQueue]) -> None:
        for queue in gone:
            tree.remove(f"{base}/queues/rx-{queue.index}")
        for queue in new:
            _contribute_queue(tree, net, f"{base}/queues/rx-{queue.index}", queue)

    follow([], dev.queues)
    dev.on_queues.append(follow)

    def set_flush_timeout(value: int) -> None:
        dev.gro_flush_timeout_ns = value

    def set_defer(value: int) -> None:
        dev.napi_defer_hard_irqs = value

    tree.add_entry(f"{base}/gro_flush_timeout", unsigned_entry(lambda: dev.gro_flush_timeout_ns, set_flush_timeout))
    tree.add_entry(f"{base}/threaded", bool_entry(lambda: dev.threaded, lambda on: dev_set_threaded(net, dev, on)))
    tree.add_entry(
        f"{base}/napi_defer_hard_irqs", unsigned_entry(lambda: dev.napi_defer_hard_irqs, set_defer, 0, (1 << 31) - 1)
    )


def _contribute_queue(tree: ControlTree, net: Net, path: str, queue: RxQueue) -> None:
    def set_cpus(mask: int) -> None:
        set_rps_cpus(net, queue, keep_housekeeping(mask, net.settings.housekeeping))

    def set_flow_cnt(count: int) -> None:
        if count > MAX_FLOW_ENTRIES:
            raise ControlError(
                errno.ENOMEM, f"a flow table of {count} entries is too large: write at most {MAX_FLOW_ENTRIES}"
            )
        set_rps_flow_cnt(net, queue, count)

    def flow_cnt() -> int:
        return queue.rps_flow_table.mask + 1 if queue.rps_flow_table else 0

    tree.add_entry(f"{path}/rps_cpus", mask_entry(lambda: queue.rps_mask, set_cpus, len(net.softnet)))
    tree.add_entry(f"{path}/rps_flow_cnt", unsigned_entry(flow_cnt, set_flow_cnt, 0, (1 << 32) - 1))


def _set_sock_flow_entries(net: Net, count: int) -> None:
    if count > MAX_FLOW_ENTRIES:
        raise ControlError(
            errno.ENOMEM, f"a flow table of {count} entries is too large: write at most {MAX_FLOW_ENTRIES}"
        )
    set_rps_sock_flow_entries(net, count)


def _set_flow_limit_cpus(net: Net, mask: int) -> None:
    """A CPU whose bit appears gets a fresh table of flow_limit_table_len buckets; one whose bit goes loses its table (K7)."""
    wanted = set(cpus_of(mask))
    for sd in net.softnet:
        if sd.index not in wanted:
            sd.flow_limit = None
        elif sd.flow_limit is None:
            sd.flow_limit = FlowLimit(net.settings.flow_limit_table_len, net.rules.flow_limit_by_hash_32)
