"""Paired figures: the same figure in A and in B under the same seeds, and what their difference proves."""

from __future__ import annotations

from collections.abc import Sequence
from math import fsum

from msgspec import Struct

from scenarios.study.bootstrap import Bootstrap, Interval
from scenarios.study.figures import Figures, absent, better_of, unit_of


class Paired(Struct, frozen=True, kw_only=True):
    """One figure. `a` and `b` are means over the seeds; None where a run of a side has no such figure."""

    name: str
    unit: str
    better: str
    a: float | None
    b: float | None
    difference: float | None
    """Mean of b - a, in `unit` (for %, in percentage points)."""
    low: float | None
    """Lower end of its interval; None with one seed, which has none."""
    high: float | None
    same_in_every_seed: bool
    """The difference is the same number in all seeds: the interval has no width."""
    proven: bool
    """The difference is not 0, and its interval does not hold 0. One seed proves what it shows, for itself alone."""

    @property
    def direction(self) -> int:
        """1 if it rose, -1 if it fell, 0 if neither is proven."""
        if not self.proven or not self.difference:
            return 0
        return 1 if self.difference > 0 else -1

    @property
    def is_better(self) -> bool:
        """It moved to the better side."""
        return (self.direction, self.better) in ((1, "higher"), (-1, "lower"))

    @property
    def is_worse(self) -> bool:
        """It moved to the worse side."""
        return (self.direction, self.better) in ((1, "lower"), (-1, "higher"))

    @property
    def percent(self) -> float | None:
        """The difference in per cent of A; None for shares, which are per cent already, and where A has 0."""
        if self.difference is None or not self.a or self.unit == "%":
            return None
        return 100 * self.difference / self.a


def pair(a: Sequence[Figures], b: Sequence[Figures], seed: int) -> list[Paired]:
    """All figures of both sides, run by run under the same seeds, in the order in which they are first named. `seed` is the bootstrap's."""
    assert len(a) == len(b) and a, "figures come in pairs"
    names = dict.fromkeys(name for run in (*a, *b) for name in run)
    bootstrap = Bootstrap(len(a), seed) if len(a) > 1 else None
    return [_pair(name, _values(name, a), _values(name, b), bootstrap) for name in names]


def _values(name: str, runs: Sequence[Figures]) -> list[float] | None:
    """The figure of each run; None if one of them has none."""
    values = [run.get(name, absent(name)) for run in runs]
    known = [value for value in values if value is not None]
    return known if len(known) == len(values) else None


def _pair(name: str, a: list[float] | None, b: list[float] | None, bootstrap: Bootstrap | None) -> Paired:
    interval: Interval | None = None
    difference: float | None = None
    same = False
    if a is not None and b is not None:
        differences = [new - old for old, new in zip(a, b, strict=True)]
        same = min(differences) == max(differences)
        if bootstrap is not None:
            interval = bootstrap.interval(differences)
        difference = interval.mean if interval is not None else differences[0]
    return Paired(
        name=name,
        unit=unit_of(name),
        better=better_of(name),
        a=None if a is None else fsum(a) / len(a),
        b=None if b is None else fsum(b) / len(b),
        difference=difference,
        low=interval.low if interval is not None else None,
        high=interval.high if interval is not None else None,
        same_in_every_seed=same,
        proven=bool(difference) and (interval is None or interval.excludes_zero),
    )
