"""Reassembly of IP fragments."""

from __future__ import annotations

from typing import TYPE_CHECKING

from emu.dropreason import DropReason
from emu.skb import Skb

if TYPE_CHECKING:
    from netstack.stack import NetStack
    from softirq.softnet_data import SoftnetData


class Fragments:
    """Not modelled yet: every fragment is counted and dropped as one that no queue could be made for."""

    def __init__(self, stack: NetStack) -> None:
        self._stack = stack

    def frames_held(self) -> int:
        """Wire frames waiting for the rest of their datagram."""
        return 0

    def defrag(self, sd: SoftnetData, skb: Skb) -> Skb | None:
        """Take a fragment; the whole datagram if this completes it."""
        snmp = self._stack.snmp
        if skb.hdr.version == 6:
            snmp.Ip6.ReasmReqds += 1
            snmp.Ip6.ReasmFails += 1
        else:
            snmp.Ip.ReasmReqds += 1
            snmp.Ip.ReasmFails += 1
        self._stack.net.ledger.drop(skb, DropReason.NOT_SPECIFIED)
        return None
