"""The wire: frames of all sources in the order in which their last bits pass.

Models: open-loop arrivals, generated in chunks ahead of time. Leaves out: the link's speed and pauses (sources space their frames).

A frame is on the wire when a source gave it; it counts as arrived in the ledger when the NIC looks at its time (`nic.ring`,
`nic.nic`), so what was generated ahead never unbalances the ledger.
"""

from __future__ import annotations

from collections.abc import Callable
from operator import attrgetter
from typing import Protocol

from emu.clock import NEVER
from emu.skb import Skb

_arrived_ns = attrgetter("arrived_ns")


class Source(Protocol):
    """Something that sends frames to this machine and does not listen to it (open loop).

    What it gives may not depend on where the chunks end.
    """

    def fill(self, until_ns: int) -> list[Skb]:
        """All frames with `arrived_ns` <= `until_ns` that were not given yet, in order of `arrived_ns`."""

    def next_ns(self) -> int:
        """When the next frame that was not given yet arrives, `NEVER` when there is none left."""

    @property
    def longest_bytes(self) -> int | None:
        """No frame is longer, none is damaged or shorter than an Ethernet header; None if it cannot promise that."""


class DamagedSkb(Skb):
    """A frame whose check sequence is wrong: the NIC counts it and drops it."""


class Wire:
    """Merges `sources` in the order (time, index of the source) and numbers their frames from `first_number`."""

    def __init__(self, sources: list[Source], first_number: int = 0) -> None:
        self.sources = sources
        self.generated_frames = 0
        self._first_number = first_number
        self._given_until_ns = -1
        self._changed = len(sources) != 1
        """There is more than one source, or there were others before."""
        self._given: list[tuple[int, list[tuple[int, list[int]]]]] = []
        """Of several sources, what nobody may have seen yet: (end of a chunk, [(source, times of its frames)])."""

    def fill(self, until_ns: int, seen_ns: int = -1) -> list[Skb]:
        """All frames of all sources up to `until_ns` that were not given yet, numbered, in order.

        Those up to `seen_ns` will not come back through `change_sources`.
        """
        frames: list[Skb] = []
        parts = 0
        if len(self.sources) > 1:
            given = self._given
            while given and given[0][0] <= seen_ns:
                del given[0]
            given.append((until_ns, []))
        for index, source in enumerate(self.sources):
            part = source.fill(until_ns)
            if part:
                if len(self.sources) > 1:
                    self._given[-1][1].append((index, [skb.arrived_ns for skb in part]))
                frames = part if not parts else frames + part
                parts += 1
        if parts > 1:
            # Stable: equal times stay in the order of the sources.
            frames.sort(key=_arrived_ns)
        number = self._first_number + self.generated_frames
        # A source that is alone from beginning to end may have numbered its frames itself: then the last one's number says so.
        if self._changed or (frames and frames[-1].number != number + len(frames) - 1):
            for skb in frames:
                skb.number = number
                number += 1
        self.generated_frames += len(frames)
        assert not frames or (frames[0].arrived_ns > self._given_until_ns and frames[-1].arrived_ns <= until_ns), (
            f"a source gave a frame outside ({self._given_until_ns}, {until_ns}] ns"
        )
        if until_ns > self._given_until_ns:
            self._given_until_ns = until_ns
        return frames

    def change_sources(self, from_ns: int, back: list[Skb], change: Callable[[list[list[Skb]]], list[Source]]) -> None:
        """Let `change` make new sources for the time after `from_ns`, out of what each had given for it: all of `back`, in order."""
        shares: list[list[Skb]] = [[] for _ in self.sources]
        if len(self.sources) == 1:
            shares[0] = list(back)
        elif back:
            times = [
                (at_ns, index)
                for _, parts in self._given
                for index, given in parts
                for at_ns in given
                if at_ns > from_ns
            ]
            times.sort()
            for skb, (at_ns, index) in zip(back, times, strict=True):
                assert skb.arrived_ns == at_ns, f"frame {skb.number} was given for another time than {at_ns} ns"
                shares[index].append(skb)
        self.sources = change(shares)
        self._changed = True
        self._given.clear()
        self.generated_frames -= len(back)
        self._given_until_ns = min(self._given_until_ns, from_ns)

    @property
    def longest_bytes(self) -> int | None:
        """What all present sources promise: see `Source`."""
        longest = 0
        for source in self.sources:
            if source.longest_bytes is None:
                return None
            longest = max(longest, source.longest_bytes)
        return longest

    def next_ns(self) -> int:
        """When the next frame that was not given yet arrives, `NEVER` when all sources are exhausted."""
        return min((source.next_ns() for source in self.sources), default=NEVER)
