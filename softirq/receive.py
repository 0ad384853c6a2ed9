"""Where packets enter the stack: steering first, then the demux.

Models: D1, R8: netif_receive_skb_list_internal asks get_rps_cpu for each skb; those that stay go up together. The entries of drivers
without GRO: netif_receive_skb_internal (one skb, E1) and netif_rx (always through a backlog, E2, E3).
Source: net/core/dev.c (6.9).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from softirq.backlog import enqueue_to_backlog
from softirq.demux import netif_receive_skb, netif_receive_skb_list
from softirq.plain_way import NO_WAY, PlainWay
from softirq.rps import get_rps_cpu
from softirq.rps_way import rps_way, steer_plainly
from softirq.steered import steered_at

if TYPE_CHECKING:
    from emu.skb import Received, Skb
    from softirq.softnet_data import SoftnetData


def netif_receive_skb_list_internal(sd: SoftnetData, skbs: list[Skb]) -> None:
    """Steer each skb to a backlog, its own CPU's included (R8); the rest go up the list path here."""
    net = sd.net
    if net.rps_needed:
        trace = net.trace
        # Where somebody looks on, each packet takes its steps.
        if trace is None and not net.taps and steer_plainly(sd, skbs):
            return
        steer = get_rps_cpu if trace is None else trace.get_rps_cpu
        stay: list[Skb] = []
        targets: list[int] = []
        steered = steered_at(skbs[0].received)
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
        steered = steered_at(skbs[0].received)
        if steered is not None:
            steered.add(sd.index, sd.index, len(skbs))
        netif_receive_skb_list(sd, skbs)


def plain_way(sd: SoftnetData, received: Received, first: Skb) -> PlainWay:
    """The way, in this poll, of what `Napi.plain` says came in as `received`; `first` is the first of it."""
    net = sd.net
    if net.taps or net.trace is not None:
        return NO_WAY
    queues = received.dev.queues
    if net.rps_needed and received.queue < len(queues):
        queue = queues[received.queue]
        if queue.rps_map is not None or queue.rps_flow_table is not None:
            return rps_way(sd, queue)
    ptype = net.ptypes.get(first.hdr.ethertype)
    return NO_WAY if ptype is None or ptype.plain_way is None else ptype.plain_way(sd, received)


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
