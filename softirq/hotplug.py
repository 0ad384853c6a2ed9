"""What becomes of a dead CPU's softnet_data: its polls move on, its backlog is adopted.

Models: R6, R7 (an RPS map keeps the dead CPU until it is written again), adoption by another CPU's backlog, which sends the IPIs owed.
Source: net/core/dev.c dev_cpu_dead (6.9); the hotplug recordings.
"""

from __future__ import annotations

from cpus.cpu import NET_RX_SOFTIRQ, Cpu
from cpus.interrupts import Interrupt
from softirq.net import Net
from softirq.receive import netif_rx
from softirq.softnet_data import SoftnetData


class DevCpuDead(Interrupt):
    """Runs on the CPU that adopts `dead`'s work."""

    __slots__ = ("dead", "net")

    moves_with_cpu = True

    def __init__(self, net: Net, dead: SoftnetData) -> None:
        super().__init__()
        self.net = net
        self.dead = dead

    def handle(self, cpu: Cpu) -> None:
        """Take over the dead CPU's poll list and the IPIs it owes; put its backlog on this CPU's, oldest first, by netif_rx (so RPS is
        asked again)."""
        dead, here = self.dead, self.net.softnet[cpu.index]
        polls, dead.poll_list = dead.poll_list, []
        for napi in polls:
            if napi.is_backlog:
                napi.sched = False
            else:
                here.poll_list.append(napi)
                cpu.raise_softirq_irqoff(NET_RX_SOFTIRQ)
        if dead.rps_ipi_list:
            # Who is owed one has been told that it is scheduled: nobody else would send it.
            here.rps_ipi_list += dead.rps_ipi_list
            dead.rps_ipi_list = []
            cpu.raise_softirq_irqoff(NET_RX_SOFTIRQ)
        dead.backlog.sched = False
        dead.in_net_rx_action = False
        left = [*dead.backlog.process_queue, *dead.backlog.input_pkt_queue]
        dead.backlog.process_queue.clear()
        dead.backlog.input_pkt_queue.clear()
        for skb in left:
            dead.input_queue_head += 1
            netif_rx(here, skb)
        dead.show_head(cpu.local_now_ns)


def cpu_dead(net: Net, dead: Cpu, adopter: Cpu) -> None:
    """Let `adopter` take over when it next looks. `dead` has just gone offline, at its local time."""
    sd = net.softnet[dead.index]
    sd.defer_list.ipi_scheduled = False  # one that is on its way is not heard any more
    late = net.softnet[dead.index].backlog.late
    late.append(dead.local_now_ns)
    late.hand_over()
    adopter.send(DevCpuDead(net, sd), dead.local_now_ns + 1, dead.rank)
