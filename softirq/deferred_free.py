"""Deferred frees: an application that reads on another CPU hands skbs back to the CPU that allocated them.

Models: T7, N2, P8: a list per CPU (6.18: one per NUMA node of who frees) of at most skb_defer_max, an IPI that asks for a NET_RX round
when it is half full, the flush at each step of net_rx_action. What no list takes is freed where it was read.
Leaves out: the skbs themselves (they are in the ledger's account of what was read); a list's order; lists of a CPU that is offline.
Source: net/core/skbuff.c skb_attempt_defer_free, net/core/dev.c skb_defer_free_flush, trigger_rx_softirq (6.1, 6.9; 6.18 for nodes).

A list is a port: who reads posts how many it hands back, and pays for it; what there was no room for, and the IPI, is owed. The CPU
that frees looks at synchronised times.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cpus.cpu import NET_RX_SOFTIRQ, Cpu
from cpus.interrupts import Interrupt

if TYPE_CHECKING:
    from softirq.softnet_data import SoftnetData


class DeferredSkbs:
    """`count` skbs on their way to a list. They hold no frame: those have been read."""

    __slots__ = ("count",)

    frames = 0

    def __init__(self, count: int) -> None:
        self.count = count


class DeferList:
    """softnet_data.defer_list of one CPU."""

    __slots__ = ("_sd", "freed", "ipi_scheduled", "ipis", "lengths", "refused")

    def __init__(self, sd: SoftnetData) -> None:
        self._sd = sd
        nodes = 1 + max(cpu.node for cpu in sd.cpu.cpus) if sd.net.rules.skb_defer_per_node else 1
        self.lengths = [0] * nodes
        """skbs on the list of each node, or on the only one."""
        self.ipi_scheduled = False
        self.freed = 0
        """skbs freed here for other CPUs."""
        self.refused = 0
        """skbs that their readers freed, because the list was full or this CPU offline."""
        self.ipis = 0
        """IPIs taken that asked for a NET_RX round."""

    def deliver(self, stamp_ns: int, sender: Cpu, item: DeferredSkbs) -> None:
        """skb_attempt_defer_free, for as many skbs as `sender` read in one call."""
        sd = self._sd
        net = sd.net
        limit = net.settings.skb_defer_max
        node = sender.node if len(self.lengths) > 1 else 0
        before = self.lengths[node]
        taken = min(item.count, max(limit - before, 0)) if sd.cpu.online else 0
        self.lengths[node] = before + taken
        if taken < item.count:
            self.refused += item.count - taken
            sender.owed_ns += (item.count - taken) * (net.costs.skb_free_ns + net.costs.remote_free_ns)
        if before <= limit >> 1 < before + taken and not self.ipi_scheduled:
            self.ipi_scheduled = True
            sender.owed_ns += net.costs.ipi_send_ns
            sd.cpu.send(DeferIpi(sd), stamp_ns + 1, sender.rank)

    def flush(self) -> None:
        """skb_defer_free_flush: free what is there, on this CPU, which must have synchronised."""
        count = sum(self.lengths)
        if count:
            self.lengths = [0] * len(self.lengths)
            self.freed += count
            self._sd.cpu.local_now_ns += count * self._sd.net.costs.skb_free_ns


class DeferIpi(Interrupt):
    """trigger_rx_softirq: raises NET_RX on the CPU whose list is half full. No received_rps (Z5)."""

    __slots__ = ("sd",)

    def __init__(self, sd: SoftnetData) -> None:
        super().__init__()
        self.sd = sd

    def handle(self, cpu: Cpu) -> None:
        """Runs on the target in hard-interrupt context. One that has gone offline meanwhile does not hear it."""
        self.sd.defer_list.ipi_scheduled = False
        if not cpu.online:
            return
        cpu.local_now_ns += cpu.costs.ipi_receive_ns
        self.sd.defer_list.ipis += 1
        cpu.raise_softirq_irqoff(NET_RX_SOFTIRQ)
