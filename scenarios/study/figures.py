"""Figures: what a study reads out of one run, each a number with a name, a unit and the direction that is better.

Models: rates, shares and latency percentiles of the part of a run that follows its warm-up: what was counted at the warm-up's end is
subtracted, histograms bin by bin.
Leaves out: what a change does to a figure (`scenarios.study.paired`).

A percentile is the upper bound of a histogram's bin: at most 6.25 % above the true value, and it moves in steps of as much; means
are exact.
"""

from __future__ import annotations

from collections import Counter
from typing import Final, Literal

from emu.histogram import percentile_bin
from monitor.snapshot import Accounts, CpuStatistics, Latency, QueueStatistics, Snapshot, SocketStatistics
from scenarios.headless import Span

Figures = dict[str, float | None]
"""Name -> value; None was not measured: no frame came to that stage, or none was sent."""

Unit = Literal["/s", "bit/s", "%", "ns"]
Better = Literal["higher", "lower", ""]

READ: Final = "read"
LOST: Final = "lost"
LATENCY: Final = "latency"
ALL_CPUS: Final = "all CPUs"
"""100 % is one CPU's whole time."""
BUSIEST: Final = "busiest"
"""The CPU with least idle time of a run. Which one it is may hang on the seed: means by CPU would hide that one has no time left."""
PERCENTILES: Final = {"p50": 50.0, "p99": 99.0, "p99.9": 99.9}

_SECOND_NS: Final = 1_000_000_000
_HIGHER: Final = frozenset((READ, "read data"))
_LOWER: Final = frozenset((LOST, "dropped"))
_LOSSES: Final = ("ring drops", "backlog drops")
_ACCOUNTS: Final = ("hardirq", "softirq", "ksoftirqd", "application")


def figures(span: Span, offered_frames: int) -> Figures:
    """All figures of a run, to which `offered_frames` were sent after its warm-up.

    Names are paths: `read`, `drops/NIC_RING_FULL`, `cpu0/busy`, `latency/total/p99`.
    """
    start, end = span.start, span.end
    seconds = span.length_ns / _SECOND_NS
    found: Figures = {"offered": offered_frames / seconds}
    _totals(found, start, end, seconds)
    _cpus(found, start, end, seconds, span.length_ns)
    for latency in end.latencies:
        _latency(found, _at_start(start, latency), latency)
    return found


def unit_of(name: str) -> Unit:
    """The unit of the figure `name`."""
    if name == "read data":
        return "bit/s"
    if name.startswith(LATENCY):
        return "ns"
    first, _, last = name.partition("/")
    if name == LOST or (first.startswith(("cpu", ALL_CPUS, BUSIEST)) and last in ("busy", *_ACCOUNTS)):
        return "%"
    return "/s"


def better_of(name: str) -> Better:
    """Which direction is better; empty where more is neither: a busy CPU, a squeeze or an IPI is no harm by itself."""
    if name in _HIGHER:
        return "higher"
    if name in _LOWER or name.startswith((LATENCY, "drops/")):
        return "lower"
    return ""


def _totals(found: Figures, start: Snapshot | None, end: Snapshot, seconds: float) -> None:
    before = start.totals if start is not None else None
    offered = found["offered"]
    dropped = end.totals.dropped_frames - (before.dropped_frames if before else 0)
    found[READ] = (end.totals.read_frames - (before.read_frames if before else 0)) / seconds
    found["read data"] = 8 * (_read_bytes(end.sockets) - (_read_bytes(start.sockets) if start else 0)) / seconds
    found["consumed"] = (end.totals.consumed_frames - (before.consumed_frames if before else 0)) / seconds
    found["dropped"] = dropped / seconds
    # What arrived by the ledger may be a poll ahead of the time of the snapshot; what was sent is the same in A and in B.
    found[LOST] = 100 * dropped / seconds / offered if offered else None
    for reason, count in sorted(end.totals.dropped.items()):
        found[f"drops/{reason}"] = (count - (before.dropped.get(reason, 0) if before else 0)) / seconds
    for queue in end.queues:
        was = _queue(start, queue.index)
        found[f"rx-{queue.index}/drops"] = (queue.drops - (was.drops if was else 0)) / seconds


_COUNTERS: Final = {
    "squeezes/all": "time_squeeze",
    "squeezes/budget": "squeeze_budget",
    "squeezes/time": "squeeze_time",
    "squeezes/work left": "squeeze_with_work_left",
    "interrupts/hardirqs": "hardirqs",
    "interrupts/RPS IPIs": "ipis_sent",
    "interrupts/wake-up IPIs": "resched_ipis",
    "interrupts/ksoftirqd": "ksoftirqd_wakeups",
}
"""Figure of the whole machine -> the counter of each CPU that it adds up."""


def _cpus(found: Figures, start: Snapshot | None, end: Snapshot, seconds: float, length_ns: int) -> None:
    before = start.cpus if start is not None else None
    for name, counter in _COUNTERS.items():
        found[name] = (_sum(end.cpus, counter) - (_sum(before, counter) if before else 0)) / seconds
    ring_drops: Counter[int] = Counter()
    for queue in end.queues:
        was = _queue(start, queue.index)
        ring_drops[queue.cpu] += queue.drops - (was.drops if was else 0)
    found.update(dict.fromkeys((f"{ALL_CPUS}/busy", *(f"{BUSIEST}/{name}" for name in ("busy", *_LOSSES))), None))
    for cpu in end.cpus:
        was_cpu = before[cpu.index] if before else None
        parts = _parts_ns(cpu.accounts, was_cpu.accounts if was_cpu else None)
        found[f"cpu{cpu.index}/busy"] = 100 * sum(parts) / length_ns
        for account, part in zip(_ACCOUNTS, parts, strict=True):
            found[f"cpu{cpu.index}/{account}"] = 100 * part / length_ns
        found[f"cpu{cpu.index}/backlog drops"] = (cpu.dropped - (was_cpu.dropped if was_cpu else 0)) / seconds
        found[f"cpu{cpu.index}/ring drops"] = ring_drops[cpu.index] / seconds
    found[f"{ALL_CPUS}/busy"] = sum(found[f"cpu{cpu.index}/busy"] or 0.0 for cpu in end.cpus)
    busiest = max(end.cpus, key=lambda cpu: (found[f"cpu{cpu.index}/busy"] or 0.0, -cpu.index)).index
    for name in ("busy", *_LOSSES):
        found[f"{BUSIEST}/{name}"] = found[f"cpu{busiest}/{name}"]


def _parts_ns(end: Accounts, start: Accounts | None) -> list[int]:
    """hardirq, softirq, ksoftirqd, application, in ns."""
    whole = end.parts_ns()[:4]
    return [now - was for now, was in zip(whole, start.parts_ns()[:4] if start else (0, 0, 0, 0), strict=True)]


def _latency(found: Figures, start: Latency | None, end: Latency) -> None:
    name = f"{LATENCY}/{end.stage}"
    bins = Counter(dict(end.bins))
    if start is not None:
        bins.subtract(dict(start.bins))
        bins = +bins
    # The largest wait bounds the last bin, but for one that may be the warm-up's.
    max_is_known = start is None or end.max_ns > start.max_ns
    for word, percent in PERCENTILES.items():
        bound = percentile_bin(bins, percent)
        found[f"{name}/{word}"] = bound if bound is None or not max_is_known else min(bound, end.max_ns)
    count = end.count - (start.count if start is not None else 0)
    total_ns = end.sum_ns - (start.sum_ns if start is not None else 0)
    found[f"{name}/mean"] = total_ns / count if count else None


def _at_start(start: Snapshot | None, latency: Latency) -> Latency | None:
    if start is None:
        return None
    return next((was for was in start.latencies if was.stage == latency.stage), None)


def _queue(start: Snapshot | None, index: int) -> QueueStatistics | None:
    return None if start is None else next((queue for queue in start.queues if queue.index == index), None)


def _read_bytes(sockets: tuple[SocketStatistics, ...]) -> int:
    return sum(sock.read_bytes for sock in sockets)


def _sum(cpus: tuple[CpuStatistics, ...], counter: str) -> int:
    return sum(getattr(cpu, counter) for cpu in cpus)


def absent(name: str) -> float | None:
    """What a run that has no figure `name` stands for: 0 for a reason that dropped nothing, None for a CPU that is not there."""
    return 0.0 if name.startswith("drops/") else None
