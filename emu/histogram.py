"""Latency histograms: log-linear, fixed in size, mergeable, filled in bulk.

Models: counts of non-negative integers in bins whose width is at most 1/16 of their lower bound.
Leaves out: exact values; a percentile is the upper bound of its bin, at most 6.25 % above the true value.

A value's bin is the top 16 bits of the value as an IEEE 754 double (sign, exponent, four bits of mantissa): the float unit
computes the logarithm, and a buffer of values is binned without a Python loop. Of those two bytes the upper one, the *page*, is
the same for 2 to 131071, and for all from there to 2 ** 33; the lower one is the *code* of the bin within its page. So a buffer
shrinks to a byte a value, and thousands of codes are counted at once by what C has for bytes: drop some, count one.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Final

BUFFER_VALUES: Final = 256
"""Values kept before they are folded into codes."""
BUFFER_CODES: Final = 8192
"""Codes of a page kept before they are counted."""

_CODES: Final = bytes(range(256))
_FEW_CODES: Final = 8
"""As many different codes are counted one by one."""


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


def _count_codes(bins: dict[int, int], page: int, codes: bytes | bytearray, first: int, last: int) -> None:
    """Add `codes` of `page` to `bins`; each is at least `first` and below `last`."""
    if last - first <= _FEW_CODES:
        for code in range(first, last):
            if count := codes.count(code):
                number = page << 8 | code
                bins[number] = bins.get(number, 0) + count
        return
    middle = (first + last) // 2
    lower = codes.translate(None, _CODES[middle:])
    if lower:
        _count_codes(bins, page, lower, first, middle)
    if len(lower) < len(codes):
        _count_codes(bins, page, codes.translate(None, _CODES[:middle]), middle, last)


class Histogram:
    """Counts values. `pending` may be appended to directly by a hot loop that calls `fold_if_full` now and then."""

    __slots__ = ("_below_top", "_bins", "_codes", "_maximum", "_sum", "_top_page", "pending")

    def __init__(self) -> None:
        self.pending: list[int] = []
        self._codes: dict[int, bytearray] = {}
        """Page -> one byte a value, not counted yet."""
        self._bins: dict[int, int] = {}
        self._sum = 0
        self._maximum = 0
        self._top_page = 0
        self._below_top = b""
        """Codes of the top page below that of the maximum: who drops them finds what may be larger."""

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
        """Shrink the buffer to codes."""
        pending = self.pending
        count = len(pending)
        if not count:
            return
        self._sum += sum(pending)
        doubles = struct.pack(f"<{count}d", *pending)
        pages = doubles[7::8]
        if pages.count(pages[0]) != count:
            # In order, the values of a page stand together.
            pending.sort()
            doubles = struct.pack(f"<{count}d", *pending)
            pages = doubles[7::8]
        codes = doubles[6::8]
        start = 0
        while start < count:
            page = pages[start]
            part = codes[start : start + pages.count(page)]
            kept = self._codes.get(page)
            if kept is None:
                kept = self._codes[page] = bytearray()
            kept += part
            if len(kept) > BUFFER_CODES:
                self._count(page)
            start += len(part)
        top = self._top_page
        if page >= top and (page > top or part.translate(None, self._below_top)):
            self._raise_maximum(max(pending))
        pending.clear()

    def _count(self, page: int) -> None:
        codes = self._codes[page]
        if codes:
            _count_codes(self._bins, page, codes, 0, 256)
            codes.clear()

    def _settle(self) -> None:
        """Count all that was recorded."""
        self.fold()
        for page in self._codes:
            self._count(page)

    def _raise_maximum(self, value: int) -> None:
        if value > self._maximum:
            self._maximum = value
            double = struct.pack("<d", value)
            self._top_page = double[7]
            self._below_top = _CODES[: double[6]]

    @property
    def count(self) -> int:
        """Values counted."""
        self._settle()
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
        self._settle()
        return {bin_upper_bound(number): self._bins[number] for number in sorted(self._bins)}

    def percentile(self, percent: float) -> int:
        """Upper bound of the bin that holds the value at `percent` (0..100), never above the exact maximum; 0 if empty."""
        self._settle()
        number = percentile_bin(self._bins, percent)
        return 0 if number is None else min(bin_upper_bound(number), self._maximum)

    def merge(self, other: Histogram) -> None:
        """Add the other's counts to this one."""
        self._settle()
        other._settle()
        for number, count in other._bins.items():
            self._bins[number] = self._bins.get(number, 0) + count
        self._sum += other._sum
        self._raise_maximum(other._maximum)
