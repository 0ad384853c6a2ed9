"""The command `rate`: sources that go faster or slower while the machine runs.

    rate                    what there is, and how fast it goes
    rate SOURCE 2x          twice the scenario's rate; 0x stops it, 1x is the scenario's again
    rate SOURCE 500k        frames a second, for a source that has a rate

Leaves out: other properties of a source. The source's own clock runs faster: its bursts and its end come sooner, too.
"""

from __future__ import annotations

import re
from difflib import get_close_matches
from errno import EINVAL, ENOENT
from fractions import Fraction
from typing import Final

from emu.commands import Commands
from emu.errors import ControlError
from emu.skb import Skb
from nic.nic import Nic
from nic.wire import Source
from scenarios.retimed import Retimed
from scenarios.schema import Scenario
from scenarios.sources import line_time_per_byte

FORM: Final = "rate SOURCE 2x (times the scenario's), or rate SOURCE 500k (frames a second)"
FASTEST: Final = 1_000_000
MAX_RATE_PPS: Final = 200_000_000

_NUMBER: Final = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,9})?)([kM]?)")
_SI: Final = {"": 1, "k": 1_000, "M": 1_000_000}


class Rates:
    """The sources on the wire of `nic`, in its order, by name."""

    def __init__(self, scenario: Scenario, nic: Nic) -> None:
        self._nic = nic
        self._per_byte = line_time_per_byte(scenario.nic.speed_gbps, "rate")
        self.names = [scenario.traffic_name(index) for index in range(len(scenario.traffic))]
        self._pps: list[float | None] = [traffic.rate_pps for traffic in scenario.traffic]
        if scenario.capture is not None:
            self.names.append("capture")
            self._pps.append(scenario.capture.rate_pps)
        self._paces = [Fraction(1) for _ in self.names]
        self._going = [Fraction(1) for _ in self.names]
        """The pace that the innermost clock had when it last went."""

    def register(self, commands: Commands) -> None:
        """Add the command."""
        commands.register("rate", self._run, asks=lambda words: len(words) < 2, words=self._words)

    def _run(self, words: list[str]) -> str:
        if len(words) > 2:
            raise ControlError(EINVAL, f"{' '.join(words)[:100]!r} is more than a source and a rate: {FORM}")
        if not words:
            return "".join(self._line(index) for index in range(len(self.names)))
        index = self._find(words[0])
        if len(words) == 2:
            self.set_pace(index, self._pace(index, words[1]))
        return self._line(index)

    def set_pace(self, index: int, pace: Fraction) -> None:
        """Let source `index` go `pace` times as fast as the scenario says, from now on."""
        before, going = self._paces[index], self._going[index]
        if pace == before:
            return

        def change(from_ns: int, shares: list[list[Skb]]) -> list[Source]:
            sources: list[Source] = []
            for number, (source, back) in enumerate(zip(self._nic.wire.sources, shares, strict=True)):
                if number == index and isinstance(source, Retimed) and not before:
                    sources.append(source.resumed(from_ns, pace / going))
                elif number == index:
                    sources.append(Retimed(source, back, from_ns, from_ns, pace / before, self._per_byte))
                else:
                    sources.append(Returned(source, back) if back else source)
            return sources

        self._nic.change_sources(change)
        self._paces[index] = pace
        if pace:
            self._going[index] = pace

    def _find(self, name: str) -> int:
        if name in self.names:
            return self.names.index(name)
        if not self.names:
            raise ControlError(ENOENT, "there is no source of traffic here")
        nearest = get_close_matches(name[:100], self.names, n=1, cutoff=0.0)[0]
        raise ControlError(ENOENT, f"there is no source {name[:100]!r}: the nearest is {nearest}")

    def _pace(self, index: int, text: str) -> Fraction:
        factor = text.removesuffix("x") if text.endswith("x") else text.removeprefix("x")
        match = _NUMBER.fullmatch(factor)
        if match is None or (factor != text and match[2]):
            raise ControlError(EINVAL, f"{text[:60]!r} is no rate: {FORM}")
        value = Fraction(match[1]) * _SI[match[2]]
        if factor == text:
            pps = self._pps[index]
            if pps is None:
                raise ControlError(
                    EINVAL, f"{self.names[index]} is played at its recorded times: write a factor, such as 2x"
                )
            if value > MAX_RATE_PPS:
                raise ControlError(
                    EINVAL, f"{text[:60]} frames a second are too many: at most {MAX_RATE_PPS // 10**6}M"
                )
            value /= Fraction(pps).limit_denominator(1_000_000)
        if value > FASTEST:
            raise ControlError(EINVAL, f"{text[:60]} is too fast: at most {FASTEST}x")
        return value.limit_denominator(1_000_000)

    def _line(self, index: int) -> str:
        pace, pps = self._paces[index], self._pps[index]
        rate = "" if pps is None else f"{float(pps * pace):,.0f} frames/s, "
        return f"{self.names[index]}: {rate}{float(pace):.6g}x the scenario's\n"

    def _words(self, before: list[str]) -> list[str]:
        return self.names if not before else ["0x", "0.5x", "1x", "2x"] if len(before) == 1 else []


class Returned:
    """A source that had given frames for later times, and got them back."""

    __slots__ = ("_back", "_source")

    def __init__(self, source: Source, back: list[Skb]) -> None:
        self._source = source
        self._back = back

    @property
    def longest_bytes(self) -> int | None:
        """As the source."""
        return self._source.longest_bytes

    def next_ns(self) -> int:
        """As the source."""
        return self._back[0].arrived_ns if self._back else self._source.next_ns()

    def fill(self, until_ns: int) -> list[Skb]:
        """As the source."""
        if not self._back:
            return self._source.fill(until_ns)
        out: list[Skb] = []
        for skb in self._back:
            if skb.arrived_ns > until_ns:
                break
            out.append(skb)
        del self._back[: len(out)]
        return out if self._back else out + self._source.fill(until_ns)
