"""Waits of an interval: percentiles of what two snapshots' histograms differ by. A percentile is the upper bound of its bin."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from monitor.snapshot import Latency

_PER_MILLE: Final = (500, 990, 999)


class Wait(Struct, frozen=True):
    """One stage in an interval: how many frames (or skbs) passed it, and how long they took."""

    count: int
    sum_ns: int
    p50_ns: int
    p99_ns: int
    p999_ns: int

    @property
    def mean_ns(self) -> float:
        """Mean time, 0 if nothing passed."""
        return self.sum_ns / self.count if self.count else 0.0


def wait_between(old: Latency | None, new: Latency) -> Wait:
    """What passed between two looks at a stage. Without bins (a document may lack them) the percentiles of the whole run stand in."""
    count = new.count - (old.count if old is not None else 0)
    sum_ns = new.sum_ns - (old.sum_ns if old is not None else 0)
    if not new.bins:
        return Wait(count, sum_ns, new.p50_ns, new.p99_ns, new.p999_ns)
    before = dict(old.bins) if old is not None else {}
    gained = [(bound, many - before.get(bound, 0)) for bound, many in new.bins]
    p50, p99, p999 = _percentiles([item for item in gained if item[1]], new.max_ns)
    return Wait(count, sum_ns, p50, p99, p999)


def _percentiles(bins: list[tuple[int, int]], most_ns: int) -> list[int]:
    whole = sum(many for _, many in bins)
    found: list[int] = []
    seen = 0
    at = iter(bins)
    bound = 0
    for share in _PER_MILLE:
        rank = -(-whole * share // 1000)
        while seen < rank:
            bound, many = next(at)
            seen += many
        found.append(min(bound, most_ns))
    return found
