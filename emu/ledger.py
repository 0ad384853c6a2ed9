"""The ledger: each frame that arrived is in exactly one account.

Models: conservation. A frame was read by an application, was consumed on the way (a tap, an answer given by the kernel itself), was
dropped for one reason, or is held by somebody now.
"""

from __future__ import annotations

from collections.abc import Callable

from emu.dropreason import DropReason
from emu.errors import InvariantError
from emu.skb import Skb

NR_REASONS = len(DropReason)


class Ledger:
    """Counts wire frames (a GRO packet counts for all its frames). Owners of queues register how many frames they hold."""

    def __init__(self) -> None:
        self.arrived_frames = 0
        self.read_frames = 0
        self.consumed_frames = 0
        """Ended in the kernel without being a drop: pure ACKs, ICMP, what a tap kept."""
        self.dropped_frames = [0] * NR_REASONS
        self.holders: dict[str, Callable[[], int]] = {}
        """Name of a place -> how many frames it holds now."""
        self.on_drop: Callable[[Skb, DropReason], None] | None = None
        self.on_consume: Callable[[Skb], None] | None = None

    def drop(self, skb: Skb, reason: DropReason) -> None:
        """kfree_skb_reason: `skb` and all frames in it end here."""
        self.dropped_frames[reason] += skb.frames
        if self.on_drop is not None:
            self.on_drop(skb, reason)

    def consume(self, skb: Skb) -> None:
        """consume_skb: the kernel is done with `skb`, and all frames in it end here."""
        self.consumed_frames += skb.frames
        if self.on_consume is not None:
            self.on_consume(skb)

    def held(self) -> dict[str, int]:
        """Frames held now, by place."""
        return {name: holder() for name, holder in self.holders.items()}

    def check(self, now_ns: int) -> None:
        """Raise InvariantError if a frame is in no account, or in two."""
        held = self.held()
        total = self.read_frames + self.consumed_frames + sum(self.dropped_frames) + sum(held.values())
        if total != self.arrived_frames:
            dropped = {reason.name: n for reason, n in zip(DropReason, self.dropped_frames, strict=True) if n}
            raise InvariantError(
                f"at {now_ns} ns the ledger does not balance: {self.arrived_frames} frames arrived, {total} are accounted for "
                f"(read {self.read_frames}, consumed {self.consumed_frames}, dropped {dropped}, held {held})"
            )
