"""Steered: how many skbs of a receive queue each CPU got.

Models: counts by the CPU that polled and the CPU that steering chose, for the screen; no kernel keeps them. Counted a list at a time.
Leaves out: whether the backlog took the skb (its CPU's `dropped` tells), and a second steering when a CPU goes offline.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from emu.skb import Received

_PENDING: Final = 512
"""CPU numbers kept before they are counted."""


class Steered:
    """skbs of one receive queue. A row is a CPU that polled it; its counts add up to what GRO handed over there."""

    __slots__ = ("_counts", "_pending")

    def __init__(self) -> None:
        self._counts: dict[int, Counter[int]] = {}
        self._pending: dict[int, list[int]] = {}

    def note(self, polled_on: int, targets: list[int]) -> None:
        """skbs polled on CPU `polled_on` were steered to `targets`, a CPU number each."""
        pending = self._pending.get(polled_on)
        if pending is None:
            pending = self._pending[polled_on] = []
            self._counts.setdefault(polled_on, Counter())
        pending += targets
        if len(pending) > _PENDING:
            self._counts[polled_on].update(pending)
            pending.clear()

    def add(self, polled_on: int, target: int, skbs: int) -> None:
        """`skbs` of them, polled on CPU `polled_on`, were steered to CPU `target`, or processed there at once if it is the same."""
        counts = self._counts.get(polled_on)
        if counts is None:
            counts = self._counts[polled_on] = Counter()
        counts[target] += skbs

    def rows(self) -> dict[int, dict[int, int]]:
        """CPU that polled -> CPU that got them -> skbs, both rising."""
        for polled_on, pending in self._pending.items():
            self._counts[polled_on].update(pending)
            pending.clear()
        return {
            polled_on: {cpu: counts[cpu] for cpu in sorted(counts) if counts[cpu]}
            for polled_on, counts in sorted(self._counts.items())
        }


def steered_at(received: Received) -> Steered | None:
    """Where skbs that came in as `received` are counted; None if their queue is gone."""
    queues = received.dev.queues
    return queues[received.queue].steered if received.queue < len(queues) else None
