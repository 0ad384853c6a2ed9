"""Where packets enter the stack: steering first, then the demux.

Models: D1, R8: netif_receive_skb_list_internal asks get_rps_cpu for each skb; those that stay go up together. The entries of drivers
without GRO: netif_receive_skb_internal (one skb, E1) and netif_rx (always through a backlog, E2, E3).
Source: net/core/dev.c (6.9).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from emu.skb import Skb
from softirq.backlog import enqueue_to_backlog
from softirq.demux import netif_receive_skb, netif_receive_skb_list
from softirq.rps import get_rps_cpu

if TYPE_CHECKING:
    from softirq.softnet_data import SoftnetData


def netif_receive_skb_list_internal(sd: SoftnetData, skbs: list[Skb]) -> None:
    """Steer each skb to a backlog, its own CPU's included (R8); the rest go up the list path here."""
    net = sd.net
    if net.rps_needed:
        stay: list[Skb] = []
        for skb in skbs:
            target = get_rps_cpu(sd, skb.dev, skb)
            if target >= 0:
                enqueue_to_backlog(sd, skb, target)
            else:
                stay.append(skb)
        skbs = stay
    if skbs:
        netif_receive_skb_list(sd, skbs)


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
