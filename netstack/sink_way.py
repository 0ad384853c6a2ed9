"""From GRO to in-kernel sinks: lists of plain data, posted as they come and counted at the end of the poll.

Models: nothing of its own; what the demux, the list path of IP and `netstack.sink_posts` do with data of which each packet takes the
same time.
"""

from __future__ import annotations

from itertools import repeat
from operator import sub
from typing import TYPE_CHECKING

from softirq.plain_way import PlainWay
from softirq.steered import steered_at

if TYPE_CHECKING:
    from emu.skb import Received, Skb
    from netstack.sink_posts import SinkLane
    from softirq.softnet_data import SoftnetData


class SinkWay(PlainWay):
    """Lists of packets that came in as `received`, up to the sinks of `lane`, in one poll."""

    __slots__ = ("_lane", "_lead_ns", "_lists_ns", "_received", "_sd", "_skbs")

    def __init__(self, sd: SoftnetData, received: Received, lane: SinkLane) -> None:
        self._sd = sd
        self._received = received
        self._lane = lane
        self._lead_ns = sd.net.costs.deliver_skb_ns
        self._skbs: list[Skb] = []
        self._lists_ns: list[int] = []
        """When the list of each of them was handed over."""

    def add(self, skbs: list[Skb], sizes: list[int], now_ns: int) -> int:
        """Take lists of which all packets are for sinks of this lane."""
        lane = self._lane
        sinks = lane.sinks_of(skbs)
        if sinks is None:
            return -1
        self._skbs += skbs
        lead_ns = self._lead_ns
        first = 0
        for size in sizes:
            self._lists_ns += repeat(now_ns, size)
            end = first + size
            now_ns = lane.add_list(sinks[first:end], skbs[first:end], now_ns + lead_ns * size)
            first = end
        return now_ns

    def end(self) -> None:
        """Count what the demux counts, and decide what has gathered."""
        skbs = self._skbs
        if skbs:
            sd = self._sd
            sd.net.latencies.gro.pending += map(sub, self._lists_ns, [skb.rx_ns for skb in skbs])
            sd.processed += len(skbs)
            steered = steered_at(self._received)
            if steered is not None:
                steered.add(sd.index, sd.index, len(skbs))
            self._lane.settle_many()
            self._skbs, self._lists_ns = [], []
