"""A confidence interval for the mean of paired differences, by the percentile bootstrap.

Models: the differences of B and A under the same seed, drawn again with replacement; the interval is between two percentiles of the
means (linear between the draws, as numpy.percentile and scipy.stats.bootstrap(method="percentile") do).
Leaves out: corrections for small samples: with fewer than about ten seeds the interval is narrower than it claims to be.
Source: Efron and Tibshirani, An Introduction to the Bootstrap (1993), chapter 13.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from math import floor, fsum
from typing import Final

RESAMPLES: Final = 2000
CONFIDENCE_PERCENT: Final = 95.0


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean, and where it lies with `CONFIDENCE_PERCENT` of confidence: low <= mean <= high but for skew of a few draws."""

    mean: float
    low: float
    high: float

    @property
    def excludes_zero(self) -> bool:
        """Whether the difference is proven."""
        return self.low > 0 or self.high < 0


class Bootstrap:
    """Draws for samples of `size` values (2 or more), the same for every figure: so figures that move together stay together."""

    def __init__(self, size: int, seed: int, resamples: int = RESAMPLES) -> None:
        assert size >= 2, f"{size} values have no spread"
        rng = random.Random(f"{seed}/bootstrap")
        self.size = size
        self._draws = [rng.choices(range(size), k=size) for _ in range(resamples)]

    def interval(self, differences: Sequence[float]) -> Interval:
        """The interval of the mean. The order of `differences` does not matter; equal ones give it no width."""
        assert len(differences) == self.size, f"{len(differences)} differences, not {self.size}"
        values = sorted(differences)
        if values[0] == values[-1]:
            return Interval(values[0], values[0], values[0])
        pick = values.__getitem__
        means = sorted(sum(map(pick, draw)) / self.size for draw in self._draws)
        tail = (1 - CONFIDENCE_PERCENT / 100) / 2
        return Interval(fsum(values) / self.size, quantile(means, tail), quantile(means, 1 - tail))


def quantile(rising: Sequence[float], part: float) -> float:
    """The value at `part` (0 to 1) of `rising`, linear between its neighbours."""
    at = part * (len(rising) - 1)
    below = floor(at)
    if below == len(rising) - 1:
        return rising[below]
    return rising[below] + (at - below) * (rising[below + 1] - rising[below])
