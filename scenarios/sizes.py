"""How long frames are: fixed, uniform, or by weight.

Sizes are those that testers speak of: the Ethernet frame with its 4 bytes of FCS, 64 at least. What the streams yield is what
lies in memory: 4 bytes less.
"""

from __future__ import annotations

import random
from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from typing import Final, Protocol

from emu.errors import ConfigError

FCS_BYTES: Final = 4
MIN_SIZE_BYTES: Final = 64
MAX_SIZE_BYTES: Final = 16_000
"""The longest frame RFC 6985 has a letter for."""

NAMED_SIZES: Final[dict[str, tuple[tuple[int, float], ...]]] = {
    "imix": ((64, 7), (594, 4), (1518, 1)),
    "trimodal": ((64, 2), (594, 1), (1518, 1)),
}
"""Name -> (size, weight). `imix` is the Simple IMIX of IP packets of 40, 576 and 1500 bytes at 7:4:1; `trimodal` has the same sizes,
half of the frames small: nobody's standard, but every size matters in it."""


class Sizes(Protocol):
    """A stream of frame lengths."""

    smallest: int
    """Shortest size it yields, FCS included, in bytes."""
    largest: int
    """Longest size it yields, FCS included, in bytes. Where both are equal, so are all lengths."""

    def wire_bytes(self, count: int) -> list[int]:
        """Lengths of the next `count` frames without FCS, in bytes. One draw a frame, whatever `count`."""


class FixedSize:
    """Every frame has `size_bytes`."""

    __slots__ = ("_wire", "largest", "smallest")

    def __init__(self, size_bytes: int, where: str = "size") -> None:
        self.smallest = self.largest = _checked(size_bytes, where)
        self._wire = [size_bytes - FCS_BYTES]

    def wire_bytes(self, count: int) -> list[int]:
        """The same length `count` times."""
        return self._wire * count


class UniformSize:
    """Every whole size from `low` to `high` bytes, both included, is equally likely."""

    __slots__ = ("_rng", "_width", "largest", "smallest")

    def __init__(self, low: int, high: int, rng: random.Random, where: str = "size") -> None:
        self.smallest = _checked(low, where)
        self.largest = _checked(high, where)
        if high < low:
            raise ConfigError(f"{where}: the largest size {high} is below the smallest {low}.")
        self._width = high - low + 1
        self._rng = rng

    def wire_bytes(self, count: int) -> list[int]:
        """Lengths of the next `count` frames."""
        base, width, draw = self.smallest - FCS_BYTES, self._width, self._rng.random
        return [base + int(draw() * width) for _ in range(count)]


class WeightedSizes:
    """Sizes from a list of (size, weight); weights need not add up to anything."""

    __slots__ = ("_cumulative", "_rng", "_total", "_wire", "largest", "smallest")

    def __init__(self, weighted: Sequence[tuple[int, float]], rng: random.Random, where: str = "sizes") -> None:
        if not weighted:
            raise ConfigError(f"{where}: the list of sizes is empty.")
        for size, weight in weighted:
            _checked(size, where)
            if not 0 <= weight <= 1e12:
                raise ConfigError(f"{where}: the weight {weight} of size {size} is out of range, it must be 0 to 1e12.")
        used = [(size, weight) for size, weight in weighted if weight > 0]
        if not used:
            raise ConfigError(f"{where}: all weights are 0.")
        self.smallest = min(size for size, _ in used)
        self.largest = max(size for size, _ in used)
        self._wire = [size - FCS_BYTES for size, _ in used]
        self._cumulative = list(accumulate(float(weight) for _, weight in used))
        self._total = self._cumulative.pop()
        self._rng = rng

    def wire_bytes(self, count: int) -> list[int]:
        """Lengths of the next `count` frames."""
        wire, cumulative, total, draw = self._wire, self._cumulative, self._total, self._rng.random
        return [wire[bisect_right(cumulative, draw() * total)] for _ in range(count)]


def named_sizes(name: str, rng: random.Random, smallest: int = MIN_SIZE_BYTES, where: str = "sizes") -> WeightedSizes:
    """A mix of NAMED_SIZES, its sizes raised to `smallest` where the headers need more room (TCP over IPv6: 78 bytes)."""
    weighted = NAMED_SIZES.get(name)
    if weighted is None:
        raise ConfigError(f"{where}: there is no mix {name!r}, it is one of: {', '.join(NAMED_SIZES)}.")
    return WeightedSizes([(max(size, smallest), weight) for size, weight in weighted], rng, where)


def _checked(size_bytes: int, where: str) -> int:
    if not MIN_SIZE_BYTES <= size_bytes <= MAX_SIZE_BYTES:
        raise ConfigError(f"{where}: {size_bytes} bytes is out of range, a frame with FCS has 64 to {MAX_SIZE_BYTES}.")
    return size_bytes
