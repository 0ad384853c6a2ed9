"""When frames are sent: at a constant rate, by a Poisson process, in bursts.

Each timing yields times in ns from its source's start, without end and in order. What it yields does not depend on how many
are asked for at once. Rates are exact fractions and times are counted from the beginning, so that nothing drifts.
"""

from __future__ import annotations

import random
from fractions import Fraction
from itertools import accumulate, repeat
from math import floor, log, log1p
from typing import Final, Protocol

from emu.errors import ConfigError

SECOND_NS: Final = 1_000_000_000
MAX_RATE: Final = 10_000_000_000
MIN_RATE: Final = Fraction(1, 1_000_000)
MAX_DURATION_NS: Final = 1_000_000 * SECOND_NS
GAP_SHIFT: Final = 16
"""Poisson gaps are rounded to 2**-16 ns each and then added as integers: a last bit in which one machine's logarithm differs from
another's is then lost at once, and does not live on in a sum."""


class Timing(Protocol):
    """A stream of times."""

    def times(self, count: int) -> list[int]:
        """The next `count` times, in ns from the start of the source; never falling."""


def exact_rate(per_second: float | Fraction, where: str) -> Fraction:
    """A rate as a fraction, ConfigError if it is not a rate. Floats are taken to mean the nearest millionth."""
    if not MIN_RATE <= per_second <= MAX_RATE:
        raise ConfigError(
            f"{where}: a rate of {per_second} a second is out of range, it must be 0.000001 to 10000000000."
        )
    if isinstance(per_second, float):
        return Fraction(per_second).limit_denominator(1_000_000)
    return Fraction(per_second)


class ConstantRate:
    """One at 0, then `per_second` of them a second, evenly. The n-th is at n / rate, rounded down to a whole ns."""

    __slots__ = ("_den", "_next", "_num")

    def __init__(self, per_second: float | Fraction, where: str = "rate") -> None:
        period = SECOND_NS / exact_rate(per_second, where)
        self._num = period.numerator
        self._den = period.denominator
        self._next = 0

    def times(self, count: int) -> list[int]:
        """The next `count` times."""
        num, den, first = self._num, self._den, self._next
        self._next = first + count
        if den == 1:
            return list(range(first * num, (first + count) * num, num))
        return [n * num // den for n in range(first, first + count)]


class Poisson:
    """Independent arrivals, `per_second` of them a second on average; the first after an exponential gap."""

    __slots__ = ("_mean", "_now", "_rng")

    def __init__(self, per_second: float | Fraction, rng: random.Random, where: str = "rate") -> None:
        self._mean = -float(SECOND_NS / exact_rate(per_second, where)) * (1 << GAP_SHIFT)
        self._rng = rng
        self._now = 0

    def times(self, count: int) -> list[int]:
        """The next `count` times."""
        # log1p(-u) is log(1 - u), in two thirds of the time; floor is int of what is not negative, in half of it.
        mean, draw, ln = self._mean, self._rng.random, log1p
        gaps = [floor(ln(-draw()) * mean) for _ in repeat(None, count)]
        if not gaps:
            return gaps
        gaps[0] += self._now
        reached = list(accumulate(gaps))
        self._now = reached[-1]
        return [now >> GAP_SHIFT for now in reached]


class OnOff:
    """Another timing, stopped and let go again: `on_ns` running, `off_ns` silent, beginning with on.

    The inner timing stands still while it is off, so that none of its times is lost: over whole cycles the rate is the inner one's
    times on / (on + off). With `rng` both durations are exponential with these means, else they are fixed.
    """

    __slots__ = ("_inner", "_mean_off", "_mean_on", "_on_end", "_rng", "_silent")

    def __init__(
        self, inner: Timing, on_ns: int, off_ns: int, rng: random.Random | None = None, where: str = "bursts"
    ) -> None:
        if not 1 <= on_ns <= MAX_DURATION_NS or not 0 <= off_ns <= MAX_DURATION_NS:
            raise ConfigError(
                f"{where}: on {on_ns} ns and off {off_ns} ns are out of range (on at least 1, off at least 0)."
            )
        self._inner = inner
        self._mean_on = on_ns
        self._mean_off = off_ns
        self._rng = rng
        self._silent = 0
        """Time spent off so far."""
        self._on_end = self._duration(on_ns) or 1
        """End of the present on-period on the inner timing's own clock."""

    def times(self, count: int) -> list[int]:
        """The next `count` times."""
        out = []
        silent, end = self._silent, self._on_end
        for at in self._inner.times(count):
            while at >= end:
                silent += self._duration(self._mean_off)
                end += self._duration(self._mean_on) or 1
            out.append(at + silent)
        self._silent, self._on_end = silent, end
        return out

    def _duration(self, mean_ns: int) -> int:
        if self._rng is None:
            return mean_ns
        return int(-mean_ns * log(1.0 - self._rng.random()))
