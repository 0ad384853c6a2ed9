"""A source whose rate was changed: from a time on its clock runs faster or slower, or stands still.

Models: gaps, bursts and the end of a source at its new pace. Frames that follow each other at line speed go on doing so, and none is
sent before the line is free. Leaves out: a source that answers.

One change is one `Retimed` around the source as it was before. So what it gives depends on the times of the changes alone, not
on how far ahead frames had been asked for.
"""

from __future__ import annotations

from bisect import bisect_right
from fractions import Fraction
from operator import attrgetter
from typing import Final

from emu.clock import NEVER
from emu.skb import Skb
from nic.wire import Source
from scenarios.sources import LINE_OVERHEAD_BYTES, LINE_SHIFT

WINDOW_NS: Final = 20_000
"""How far it looks ahead in the source inside; it changes no frame."""

_arrived_ns = attrgetter("arrived_ns")


class Retimed:
    """From `out_ns` on, `source` as it goes on at `in_ns` of its own time, `pace` times as fast; 0 stands still.

    `back` are frames that `source` gave for later times already, in order. `per_byte` is what a byte takes on the line, in 2**-20 ns
    (`scenarios.sources.line_time_per_byte`), 0 for no limit.
    """

    __slots__ = ("_back", "_in_ns", "_last_in_ns", "_last_out_ns", "_out_ns", "_pace", "_per_byte", "_ready", "_source")

    def __init__(self, source: Source, back: list[Skb], in_ns: int, out_ns: int, pace: Fraction, per_byte: int) -> None:
        self._source = source
        self._back = back
        self._in_ns = in_ns
        self._out_ns = out_ns
        self._pace = pace
        self._per_byte = per_byte
        self._ready: list[Skb] = []
        self._last_in_ns = -1
        self._last_out_ns = out_ns

    def resumed(self, out_ns: int, pace: Fraction) -> Retimed:
        """What a source that stands still becomes when it goes on at `out_ns`."""
        assert not self._pace, "it does not stand still"
        return Retimed(self._source, self._back, self._in_ns, out_ns, pace, self._per_byte)

    @property
    def longest_bytes(self) -> int | None:
        """As the source."""
        return self._source.longest_bytes

    def next_ns(self) -> int:
        """Arrival of the first frame not handed out yet; NEVER when there is none."""
        if not self._ready and self._pace:
            inside = self._source.next_ns()
            if self._back:
                taken, self._back = self._back, []
                self._ready = self._retime(taken)
            elif inside < NEVER:
                self._ready = self._retime(self._source.fill(inside + WINDOW_NS))
        return self._ready[0].arrived_ns if self._ready else NEVER

    def fill(self, until_ns: int) -> list[Skb]:
        """All frames with `arrived_ns <= until_ns` that were not handed out yet, in order."""
        out: list[Skb] = []
        while self.next_ns() <= until_ns:
            ready = self._ready
            end = bisect_right(ready, until_ns, key=_arrived_ns)
            out += ready[:end]
            self._ready = ready[end:]
        return out

    def _retime(self, frames: list[Skb]) -> list[Skb]:
        num, den = self._pace.numerator, self._pace.denominator
        first_in, first_out, per_byte = self._in_ns, self._out_ns, self._per_byte
        last_in, last_out = self._last_in_ns, self._last_out_ns
        for skb in frames:
            at = skb.arrived_ns
            out = first_out + (at - first_in) * den // num
            if last_in >= 0:
                gap = at - last_in
                line_ns = (skb.wire_bytes + LINE_OVERHEAD_BYTES) * per_byte >> LINE_SHIFT
                if gap <= line_ns + 1:
                    out = last_out + gap
                elif out < last_out + line_ns:
                    out = last_out + line_ns
            if out <= first_out:
                out = first_out + 1
            last_in, last_out = at, out
            skb.arrived_ns = out
        self._last_in_ns, self._last_out_ns = last_in, last_out
        return frames
