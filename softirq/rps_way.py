"""Steering by one RPS map alone: a list, or all that a poll brings, to backlogs in one go.

Models: what get_rps_cpu and enqueue_to_backlog do for packets with a hash of the NIC over their ports, where nothing but the map has a
say in it. As each packet takes the same time, their times are ranges.
Leaves out: RFS, software hashes, CPUs of the map that are offline (`softirq.rps`).
"""

from __future__ import annotations

from itertools import repeat
from operator import sub
from typing import TYPE_CHECKING

from emu.skb import HASH_L4, Skb
from softirq.plain_way import NO_WAY, PlainWay

if TYPE_CHECKING:
    from softirq.backlog import Backlog
    from softirq.device import RxQueue
    from softirq.softnet_data import SoftnetData


class RpsWay(PlainWay):
    """From GRO to the backlogs of `queue`'s map, in one poll."""

    __slots__ = ("_backlogs", "_lists_ns", "_queue", "_sd", "_skbs", "_stamps")

    def __init__(self, sd: SoftnetData, queue: RxQueue, backlogs: list[Backlog]) -> None:
        self._sd = sd
        self._queue = queue
        self._backlogs = backlogs
        self._skbs: list[Skb] = []
        self._lists_ns: list[int] = []
        """When the list of each of them was handed over."""
        self._stamps: list[int] = []

    def add(self, skbs: list[Skb], sizes: list[int], now_ns: int) -> int:
        """Take lists, of packets of the queue."""
        costs = self._sd.net.costs
        step_ns = costs.get_rps_cpu_ns + costs.enqueue_to_backlog_ns
        first_ns = now_ns + costs.get_rps_cpu_ns
        for size in sizes:
            self._lists_ns += repeat(now_ns, size)
            now_ns += step_ns * size
        self._stamps += range(first_ns, now_ns + costs.get_rps_cpu_ns, step_ns)
        self._skbs += skbs
        return now_ns

    def end(self) -> None:
        """Post them."""
        skbs = self._skbs
        if skbs:
            self._sd.net.latencies.gro.pending += map(sub, self._lists_ns, [skb.rx_ns for skb in skbs])
            _post(self._sd, self._queue, self._backlogs, skbs, self._stamps, True)
            self._skbs, self._lists_ns, self._stamps = [], [], []


def rps_way(sd: SoftnetData, queue: RxQueue) -> PlainWay:
    """The way of `queue`'s packets, if its RPS map alone decides it."""
    backlogs = _backlogs(sd, queue)
    return NO_WAY if backlogs is None or not sd.net.late_backlogs else RpsWay(sd, queue, backlogs)


def steer_plainly(sd: SoftnetData, skbs: list[Skb]) -> bool:
    """Steer a list as get_rps_cpu and enqueue_to_backlog would, if nothing but one RPS map has a say in it. False: it was not touched.

    That is: all from one queue, each with a hash of the NIC over its ports.
    """
    received = skbs[0].received
    queues = received.dev.queues
    if received.queue >= len(queues):
        return False
    queue = queues[received.queue]
    backlogs = _backlogs(sd, queue)
    if backlogs is None or [
        skb
        for skb in skbs
        if skb.hash_kind < HASH_L4
        or not skb.hash
        or (skb.received is not received and (skb.rx_queue != received.queue or skb.dev is not received.dev))
    ]:
        return False
    cpu = sd.cpu
    costs = sd.net.costs
    step_ns = costs.get_rps_cpu_ns + costs.enqueue_to_backlog_ns
    first_ns = cpu.local_now_ns + costs.get_rps_cpu_ns
    took_ns = step_ns * len(skbs)
    _post(sd, queue, backlogs, skbs, range(first_ns, first_ns + took_ns, step_ns), False)
    cpu.local_now_ns += took_ns
    return True


def _backlogs(sd: SoftnetData, queue: RxQueue) -> list[Backlog] | None:
    """Backlogs of the map's CPUs, if nothing else has a say and all of them are online; else None."""
    rps_map = queue.rps_map
    net = sd.net
    if rps_map is None or queue.rps_flow_table is not None:
        return None
    if not net.costs.get_rps_cpu_ns + net.costs.enqueue_to_backlog_ns:
        return None
    softnet = net.softnet
    backlogs = [softnet[index].backlog for index in rps_map.cpus if softnet[index].cpu.online]
    return backlogs if len(backlogs) == rps_map.len else None


def _post(
    sd: SoftnetData, queue: RxQueue, backlogs: list[Backlog], skbs: list[Skb], stamps: range | list[int], plain: bool
) -> None:
    """Post each of `skbs` with its stamp, rising, to the backlog that its hash chooses. `plain`: they are what `Napi.plain` says."""
    count = len(backlogs)
    net = sd.net
    cpu = sd.cpu
    if not net.late_backlogs:
        targets = [backlogs[skb.hash * count >> 32] for skb in skbs]
        queue.steered.note(sd.index, [backlog.sd.index for backlog in targets])
        for backlog in targets:
            backlog.expect(1)
        net.clock.post_batch(cpu, list(zip(stamps, targets, skbs, strict=True)))
        return
    shares: list[list[Skb]] = [[] for _ in backlogs]
    to = [share.append for share in shares]
    for skb, stamp_ns in zip(skbs, stamps, strict=True):
        skb.stage_ns = stamp_ns
        if plain:
            skb.plain = skb.hdr.ethertype
        to[skb.hash * count >> 32](skb)
    cpu.last_post_ns = stamps[-1]
    for backlog, share in zip(backlogs, shares, strict=True):
        if share:
            queue.steered.add(sd.index, backlog.sd.index, len(share))
            if not backlog.late.post(cpu, share):
                backlog.expect(len(share))
                net.clock.post_batch(cpu, [(skb.stage_ns, backlog, skb) for skb in share])
