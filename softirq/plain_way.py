"""A plain way: where packets of which all is known go from GRO, list after list; what they count is counted at the end of the poll.

Models: nothing of its own; what netif_receive_skb_list_internal does with lists whose packets all take the same time.
Leaves out: every decision. Whoever makes a way knows that none is left to make, and that nobody notices before this CPU synchronises.
"""

from __future__ import annotations

from emu.skb import Skb


class PlainWay:
    """One poll's way. This one takes nothing: packets have to go up the ordinary way."""

    __slots__ = ()

    def add(self, skbs: list[Skb], sizes: list[int], now_ns: int) -> int:
        """Take lists of these sizes, one after the other, the first at `now_ns`.

        Returns when the last one is through, or -1: nothing was taken.
        """
        return -1

    def end(self) -> None:
        """Do and count what is left of what was taken so far; more may follow."""


NO_WAY = PlainWay()
