"""A bad cable: some frames of a source arrive with a wrong check sequence.

Models: what the NIC sees of a damaged frame, its FCS. Leaves out: which bits were damaged, and lengths that change.
"""

from __future__ import annotations

import random
from typing import Final

from emu.skb import Skb
from nic.wire import DamagedSkb
from scenarios.sources import Source


class DamagedSource:
    """The frames of `source`, each damaged with probability `fraction` (0 to 1). One draw a frame, so chunks change nothing."""

    longest_bytes: Final = None

    def __init__(self, source: Source, fraction: float, rng: random.Random) -> None:
        self._source = source
        self._fraction = fraction
        self._rng = rng

    def next_ns(self) -> int:
        """As the source."""
        return self._source.next_ns()

    def fill(self, until_ns: int) -> list[Skb]:
        """As the source, some damaged."""
        draw, fraction = self._rng.random, self._fraction
        return [_damaged(skb) if draw() < fraction else skb for skb in self._source.fill(until_ns)]


def _damaged(skb: Skb) -> DamagedSkb:
    return DamagedSkb(
        skb.hdr,
        skb.number,
        skb.wire_bytes,
        skb.payload_bytes,
        skb.ip_id,
        skb.seq,
        skb.arrived_ns,
        skb.data,
        skb.len_bytes,
    )
