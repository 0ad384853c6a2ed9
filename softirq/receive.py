"""Where packets enter the stack: steering first, then the demux.

Models: D1, R8: netif_receive_skb_list_internal asks get_rps_cpu for each skb; those that stay go up together. The entries of drivers
without GRO: netif_receive_skb_internal (one skb, E1) and netif_rx (always through a backlog, E2, E3).
Source: net/core/dev.c (6.9).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from emu.skb import HASH_L4, Skb
from softirq.backlog import enqueue_to_backlog
from softirq.demux import netif_receive_skb, netif_receive_skb_list
from softirq.rps import get_rps_cpu

if TYPE_CHECKING:
    from softirq.softnet_data import SoftnetData
    from softirq.steered import Steered


def netif_receive_skb_list_internal(sd: SoftnetData, skbs: list[Skb]) -> None:
    """Steer each skb to a backlog, its own CPU's included (R8); the rest go up the list path here."""
    net = sd.net
    if net.rps_needed:
        trace = net.trace
        # Where somebody looks on, each packet takes its steps.
        if trace is None and not net.taps and _steer_plainly(sd, skbs):
            return
        steer = get_rps_cpu if trace is None else trace.get_rps_cpu
        stay: list[Skb] = []
        targets: list[int] = []
        steered = _steered(skbs[0])
        for skb in skbs:
            target = steer(sd, skb.dev, skb)
            if target >= 0:
                enqueue_to_backlog(sd, skb, target)
                targets.append(target)
            else:
                stay.append(skb)
        if steered is not None:
            steered.note(sd.index, targets)
        skbs = stay
    if skbs:
        steered = _steered(skbs[0])
        if steered is not None:
            steered.stay(sd.index, len(skbs))
        netif_receive_skb_list(sd, skbs)


def netif_receive_plain_lists(sd: SoftnetData, skbs: list[Skb], sizes: list[int], waits: list[int]) -> bool:
    """Lists of these sizes, one after the other, of what `Napi.plain` says: up to a protocol that can take them all at once.

    Notes in `waits` for each how long it was in GRO. False: nothing was touched.
    """
    net = sd.net
    if net.rps_needed or net.taps or net.trace is not None:
        return False
    ptype = net.ptypes.get(skbs[0].hdr.ethertype)
    if ptype is None or ptype.plain_func is None:
        return False
    if not ptype.plain_func(sd, skbs, sizes, net.costs.deliver_skb_ns, waits):
        return False
    sd.processed += len(skbs)
    first = 0
    for size in sizes:
        steered = _steered(skbs[first])
        if steered is not None:
            steered.stay(sd.index, size)
        first += size
    return True


def netif_receive_skb_internal(sd: SoftnetData, skb: Skb) -> None:
    """netif_receive_skb of a driver: steer one skb to a backlog, or take it up the single path here (D1)."""
    if sd.net.rps_needed:
        target = get_rps_cpu(sd, skb.dev, skb)
        if target >= 0:
            enqueue_to_backlog(sd, skb, target)
            return
    netif_receive_skb(sd, skb)


def netif_rx(sd: SoftnetData, skb: Skb) -> None:
    """netif_rx: queue one skb on the backlog of the CPU that RPS names, else of this one (E3)."""
    target = get_rps_cpu(sd, skb.dev, skb) if sd.net.rps_needed else -1
    enqueue_to_backlog(sd, skb, target if target >= 0 else sd.index)


def _steered(first: Skb) -> Steered | None:
    """Where the skbs of a list are counted: with the queue of its first, since a NAPI serves no two devices."""
    queues = first.dev.queues
    return queues[first.rx_queue].steered if first.rx_queue < len(queues) else None


def _steer_plainly(sd: SoftnetData, skbs: list[Skb]) -> bool:
    """Steer a list as get_rps_cpu and enqueue_to_backlog would, if nothing but one RPS map has a say in it. False: it was not touched.

    That is: all from one queue that has a map and no flow table, each with a hash of the NIC over its ports, all CPUs of the map online.
    """
    received = skbs[0].received
    dev = received.dev
    queue_index = received.queue
    if queue_index >= len(dev.queues):
        return False
    queue = dev.queues[queue_index]
    rps_map = queue.rps_map
    if rps_map is None or queue.rps_flow_table is not None:
        return False
    if [
        skb
        for skb in skbs
        if skb.hash_kind < HASH_L4
        or not skb.hash
        or (skb.received is not received and (skb.rx_queue != queue_index or skb.dev is not dev))
    ]:
        return False
    net = sd.net
    softnet = net.softnet
    cpus = rps_map.cpus
    count = rps_map.len
    backlogs = {index: softnet[index].backlog for index in cpus if softnet[index].cpu.online}
    if len(backlogs) < count:
        return False
    cpu = sd.cpu
    now_ns = cpu.local_now_ns
    get_rps_cpu_ns = net.costs.get_rps_cpu_ns
    step_ns = get_rps_cpu_ns + net.costs.enqueue_to_backlog_ns
    if not step_ns:
        return False
    targets = [cpus[skb.hash * count >> 32] for skb in skbs]
    queue.steered.note(sd.index, targets)
    # Each packet takes the same time.
    end_ns = now_ns + step_ns * len(skbs)
    stamps = range(now_ns + get_rps_cpu_ns, end_ns + get_rps_cpu_ns, step_ns)
    net.clock.post_batch(cpu, list(zip(stamps, map(backlogs.__getitem__, targets), skbs, strict=True)))
    cpu.local_now_ns = end_ns
    return True
