"""FlowSample: which flows fill a receive queue, from every 61st frame of it.

Models: systematic sampling by position in the queue, so that the same frames are looked at however the queue is polled.
Leaves out: exact counts per flow: they would cost each packet; who shows these says how many frames they stand on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from emu.headers import Headers
    from emu.skb import Skb

EVERY: Final = 61
"""One frame of so many is looked at: a prime, so that no usual train length keeps step with it."""
FLOWS: Final = 512
"""Flows told apart; the frames of further ones are counted together."""


class FlowSample:
    """Samples of one queue. `next_at` is the position (frames polled before it) of the next frame to look at."""

    __slots__ = ("_flows", "frames", "next_at")

    def __init__(self) -> None:
        self.next_at = 0
        self.frames = 0
        """Frames looked at."""
        self._flows: dict[Headers, int] = {}

    def look(self, batch: list[Skb], polled: int) -> None:
        """`batch` was polled, `polled` frames with it; called when that has passed `next_at`."""
        flows = self._flows
        begin = polled - len(batch)
        for skb in batch[self.next_at - begin :: EVERY]:
            self.next_at += EVERY
            self.frames += 1
            if skb.hdr in flows or len(flows) < FLOWS:
                flows[skb.hdr] = flows.get(skb.hdr, 0) + 1

    def top(self, count: int) -> list[tuple[tuple[int, bytes, bytes, int, int], int]]:
        """The `count` most frequent flows (protocol, source, destination, ports) with their frames in the sample, most first."""
        by_flow: dict[tuple[int, bytes, bytes, int, int], int] = {}
        for hdr, frames in self._flows.items():
            by_flow[hdr.flow] = by_flow.get(hdr.flow, 0) + frames
        return sorted(by_flow.items(), key=lambda item: (-item[1], item[0]))[:count]
