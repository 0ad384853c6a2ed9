"""The number of receive queues of a device that is up.

Models: queues that appear with the default RPS mask and no flow table, queues that vanish with their RPS and RFS state.
Leaves out: transmit queues.
Source: net/core/dev.c netif_set_real_num_rx_queues, net/core/net-sysfs.c (6.9); rules R0, R1, R10.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from emu.cpumask import keep_housekeeping
from softirq.device import RxQueue
from softirq.rps import set_rps_cpus

if TYPE_CHECKING:
    from softirq.device import NetDevice
    from softirq.net import Net


def netif_set_real_num_rx_queues(net: Net, dev: NetDevice, count: int) -> None:
    """Let `dev` have `count` queues (at least 1). An skb of one that vanished is not steered any more (R1)."""
    gone = dev.queues[count:]
    for queue in gone:
        set_rps_cpus(net, queue, 0)
    new = [RxQueue(index) for index in range(len(dev.queues), count)]
    dev.queues = dev.queues[:count] + new
    settings = net.settings
    if settings.rps_default_mask:
        for queue in new:
            set_rps_cpus(net, queue, keep_housekeeping(settings.rps_default_mask, settings.housekeeping))
    for follow in dev.on_queues:
        follow(gone, new)
