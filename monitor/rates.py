"""What happened between two snapshots.

Models: differences of counters over an interval of virtual time, kept as whole counts, so that everything that adds up in the
counters adds up here; `per_second` makes a rate of a count.
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from monitor.snapshot import Accounts, CpuStatistics, QueueStatistics, Snapshot, Totals


class CpuRates(Struct, frozen=True):
    """Counts of one CPU in the interval."""

    parts_ns: tuple[int, int, int, int, int]
    """Time as hardirq, softirq, ksoftirqd, application, idle."""
    processed: int
    dropped: int
    squeeze_budget: int
    squeeze_time: int
    squeeze_with_work_left: int
    received_rps: int
    ipis_sent: int
    flow_limit_count: int
    hardirqs: int
    context_switches: int

    @property
    def squeezes(self) -> int:
        """Squeezes by either cause."""
        return self.squeeze_budget + self.squeeze_time

    @property
    def busy(self) -> float:
        """Share of the interval that was not idle, 0..1."""
        whole = sum(self.parts_ns)
        return 1 - self.parts_ns[4] / whole if whole else 0.0


class QueueRates(Struct, frozen=True):
    """Counts of one queue in the interval."""

    irqs: int
    polls: int
    packets: int
    skbs: int
    full_polls: int
    drops: int


class Rates(Struct, frozen=True):
    """Counts of the whole machine in `interval_ns` of virtual time (0 before any time passed)."""

    interval_ns: int
    arrived_frames: int
    arrived_bytes: int
    read_frames: int
    consumed_frames: int
    dropped: dict[str, int]
    held_frames: int
    """By how much the number of held frames grew; may be negative."""
    cpus: tuple[CpuRates, ...]
    queues: tuple[QueueRates, ...]
    waits: dict[str, tuple[int, int]]
    """Stage -> frames that passed it, and nanoseconds that they spent in it."""

    @property
    def dropped_frames(self) -> int:
        """Frames dropped for any reason."""
        return sum(self.dropped.values())

    @property
    def out_frames(self) -> int:
        """Frames that reached their end without a loss: read or consumed."""
        return self.read_frames + self.consumed_frames

    @property
    def squeeze_budget(self) -> int:
        """Squeezes by budget on all CPUs."""
        return sum(cpu.squeeze_budget for cpu in self.cpus)

    @property
    def squeeze_time(self) -> int:
        """Squeezes by time on all CPUs."""
        return sum(cpu.squeeze_time for cpu in self.cpus)

    @property
    def squeeze_with_work_left(self) -> int:
        """Squeezes on all CPUs after which work was left."""
        return sum(cpu.squeeze_with_work_left for cpu in self.cpus)

    def per_second(self, count: int) -> float:
        """`count` events in the interval as events a virtual second."""
        return count * 1e9 / self.interval_ns if self.interval_ns else 0.0

    def mean_wait_ns(self, stage: str) -> float:
        """Mean time in `stage` of the frames that passed it in the interval, 0 if none did."""
        count, spent_ns = self.waits.get(stage, (0, 0))
        return spent_ns / count if count else 0.0


def delta(old: Snapshot | None, new: Snapshot) -> Rates:
    """The counts between two snapshots of one run; `old` None is its beginning.

    Raises ValueError when `new` is older than `old`, or of a machine with other CPUs or queues.
    """
    if old is None:
        old_ns, before = 0, _NO_TOTALS
        old_cpus, old_queues = (_NEW_CPU,) * len(new.cpus), (_NEW_QUEUE,) * len(new.queues)
        old_waits = {}
    else:
        old_ns, before = old.meta.now_ns, old.totals
        old_cpus, old_queues = old.cpus, old.queues
        old_waits = {late.stage: (late.count, late.sum_ns) for late in old.latencies}
    if new.meta.now_ns < old_ns:
        raise ValueError(f"a snapshot of {new.meta.now_ns} ns after one of {old_ns} ns")
    if len(new.cpus) != len(old_cpus) or len(new.queues) != len(old_queues):
        raise ValueError("two snapshots of different machines")

    waits: dict[str, tuple[int, int]] = {}
    for late in new.latencies:
        count, spent_ns = old_waits.get(late.stage, (0, 0))
        waits[late.stage] = (late.count - count, late.sum_ns - spent_ns)
    totals = new.totals
    return Rates(
        interval_ns=new.meta.now_ns - old_ns,
        arrived_frames=totals.arrived_frames - before.arrived_frames,
        arrived_bytes=totals.arrived_bytes - before.arrived_bytes,
        read_frames=totals.read_frames - before.read_frames,
        consumed_frames=totals.consumed_frames - before.consumed_frames,
        dropped={reason: count - before.dropped.get(reason, 0) for reason, count in totals.dropped.items()},
        held_frames=totals.held_frames - before.held_frames,
        cpus=tuple(_cpu_between(a, b) for a, b in zip(old_cpus, new.cpus, strict=True)),
        queues=tuple(_queue_between(a, b) for a, b in zip(old_queues, new.queues, strict=True)),
        waits=waits,
    )


def _cpu_between(old: CpuStatistics, new: CpuStatistics) -> CpuRates:
    hardirq, softirq, ksoftirqd, application, idle = new.accounts.parts_ns()
    old_hardirq, old_softirq, old_ksoftirqd, old_application, old_idle = old.accounts.parts_ns()
    return CpuRates(
        parts_ns=(
            hardirq - old_hardirq,
            softirq - old_softirq,
            ksoftirqd - old_ksoftirqd,
            application - old_application,
            idle - old_idle,
        ),
        processed=new.processed - old.processed,
        dropped=new.dropped - old.dropped,
        squeeze_budget=new.squeeze_budget - old.squeeze_budget,
        squeeze_time=new.squeeze_time - old.squeeze_time,
        squeeze_with_work_left=new.squeeze_with_work_left - old.squeeze_with_work_left,
        received_rps=new.received_rps - old.received_rps,
        ipis_sent=new.ipis_sent - old.ipis_sent,
        flow_limit_count=new.flow_limit_count - old.flow_limit_count,
        hardirqs=new.hardirqs - old.hardirqs,
        context_switches=new.context_switches - old.context_switches,
    )


def _queue_between(old: QueueStatistics, new: QueueStatistics) -> QueueRates:
    return QueueRates(
        irqs=new.irqs - old.irqs,
        polls=new.polls - old.polls,
        packets=new.packets - old.packets,
        skbs=new.skbs - old.skbs,
        full_polls=new.full_polls - old.full_polls,
        drops=new.drops - old.drops,
    )


_NO_TOTALS: Final = Totals(0, 0, 0, 0, {}, {})
_NEW_CPU: Final = CpuStatistics(
    index=0,
    node=0,
    online=True,
    accounts=Accounts(0, 0, 0, 0, 0, 0),
    processed=0,
    dropped=0,
    time_squeeze=0,
    squeeze_budget=0,
    squeeze_time=0,
    squeeze_with_work_left=0,
    received_rps=0,
    ipis_sent=0,
    flow_limit_count=0,
    input_qlen=0,
    process_qlen=0,
    ksoftirqd_running=False,
    ksoftirqd_wakeups=0,
    hardirqs=0,
    context_switches=0,
    current="",
    softirq_counts={},
)
_NEW_QUEUE: Final = QueueStatistics(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, False, 0.0)
