"""Latency histograms: log-linear, fixed in size, mergeable, filled in bulk.

Models: counts of non-negative integers in bins whose width is at most 1/16 of their lower bound.
Leaves out: exact values; a percentile is the upper bound of its bin, at most 6.25 % above the true value.

A value's bin is the top 16 bits of the value as an IEEE 754 double (sign, exponent, four bits of mantissa): the float unit
computes the logarithm, and a buffer of values is binned without a Python loop.
"""

from __future__ import annotations

import struct
import sys
from array import array
from collections import Counter
from collections.abc import Mapping
from typing import Final

BUFFER_VALUES: Final = 256
"""Values kept before they are folded into the bins."""

_TOP_WORD: Final = 3 if sys.byteorder == "little" else 0


def bin_upper_bound(number: int) -> int:
    """Largest integer in bin `number`."""
    upper: float = struct.unpack(">d", struct.pack(">H", number + 1) + bytes(6))[0]
    whole = int(upper)
    return whole - 1 if whole == upper else whole


def percentile_bin(bins: Mapping[int, int], percent: float) -> int | None:
    """The key of `bins` (bin -> count, keys in the order of the values) that holds the value at `percent`, 0 to 100; None if empty."""
    count = sum(bins.values())
    rank = max(-(-count * percent // 100), 1)
    seen = 0
    for number in sorted(bins):
        seen += bins[number]
        if seen >= rank:
            return number
    return None


class Histogram:
    """Counts values. `pending` may be appended to directly by a hot loop that calls `fold_if_full` now and then."""

    __slots__ = ("_bins", "_maximum", "_sum", "_top_bin", "pending")

    def __init__(self) -> None:
        self.pending: list[int] = []
        self._bins: Counter[int] = Counter()
        self._sum = 0
        self._maximum = 0
        self._top_bin = 0
        """Number of the bin that holds the maximum."""

    def record(self, value: int) -> None:
        """Count one value, at least 0."""
        self.pending.append(value)
        if len(self.pending) >= BUFFER_VALUES:
            self.fold()

    def fold_if_full(self) -> None:
        """Fold the buffer if it has grown; for loops that append to `pending` themselves."""
        if len(self.pending) >= BUFFER_VALUES:
            self.fold()

    def fold(self) -> None:
        """Move the buffer into the bins."""
        pending = self.pending
        if pending:
            self._sum += sum(pending)
            bins = self._bins
            size = len(bins)
            in_top_bin = bins[self._top_bin]
            bins.update(array("H", array("d", pending).tobytes())[_TOP_WORD::4])
            if len(bins) != size or bins[self._top_bin] != in_top_bin:
                # Only then may one of them be the largest so far.
                self._raise_maximum(max(pending))
            pending.clear()

    def _raise_maximum(self, value: int) -> None:
        if value > self._maximum:
            self._maximum = value
            self._top_bin = max(self._bins)

    @property
    def count(self) -> int:
        """Values counted."""
        self.fold()
        return sum(self._bins.values())

    @property
    def total(self) -> int:
        """Exact sum of the values."""
        self.fold()
        return self._sum

    @property
    def maximum(self) -> int:
        """Exact largest value, 0 if none."""
        self.fold()
        return self._maximum

    def bins(self) -> dict[int, int]:
        """Upper bound of a bin -> count, rising, empty bins left out."""
        self.fold()
        return {bin_upper_bound(number): self._bins[number] for number in sorted(self._bins)}

    def percentile(self, percent: float) -> int:
        """Upper bound of the bin that holds the value at `percent` (0..100), never above the exact maximum; 0 if empty."""
        self.fold()
        number = percentile_bin(self._bins, percent)
        return 0 if number is None else min(bin_upper_bound(number), self._maximum)

    def merge(self, other: Histogram) -> None:
        """Add the other's counts to this one."""
        self.fold()
        other.fold()
        self._bins.update(other._bins)
        self._sum += other._sum
        self._raise_maximum(other._maximum)
