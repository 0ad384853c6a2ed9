"""What happened between two snapshots.

Models: differences of counters over an interval of virtual time, kept as whole counts, so that everything that adds up in the
counters adds up here; `per_second` makes a rate of a count.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from msgspec import Struct
from msgspec.structs import astuple

from monitor.flow import Stage, flow_between
from monitor.snapshot import WHOLE_WAY, Accounts, CpuStatistics, QueueStatistics, Snapshot, Totals
from monitor.steering import FlowShare, Steering, steering_between, top_flow_between
from monitor.waits import Wait, wait_between


class CpuRates(Struct, frozen=True):
    """Counts of one CPU in the interval."""

    parts_ns: tuple[int, int, int, int, int]
    """Time as hardirq, softirq, ksoftirqd, application, idle."""
    processed: int
    dropped: int
    ring_drops: int
    """Frames lost for want of a descriptor in the rings whose vectors this CPU takes now."""
    squeeze_budget: int
    squeeze_time: int
    squeeze_with_work_left: int
    received_rps: int
    ipis_sent: int
    flow_limit_count: int
    hardirqs: int
    context_switches: int
    busy: float
    """Share of the interval that was not idle, 0..1."""

    @property
    def squeezes(self) -> int:
        """Squeezes by either cause."""
        return self.squeeze_budget + self.squeeze_time


def together(rates: Sequence[CpuRates]) -> CpuRates:
    """The counts of several CPUs added up, and how busy they were on average."""
    columns = dict(zip(CpuRates.__struct_fields__, zip(*map(astuple, rates), strict=True), strict=True))
    hardirq, softirq, ksoftirqd, application, idle = map(sum, zip(*columns.pop("parts_ns"), strict=True))
    counts: dict[str, Any] = {name: sum(column) for name, column in columns.items()}
    counts["busy"] /= len(rates)
    return CpuRates((hardirq, softirq, ksoftirqd, application, idle), **counts)


class QueueRates(Struct, frozen=True):
    """Counts of one queue in the interval."""

    irqs: int
    polls: int
    packets: int
    skbs: int
    full_polls: int
    drops: int
    steering: Steering
    top_flow: FlowShare | None


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
    waits: dict[str, Wait]
    """By stage."""
    flow: tuple[Stage, ...]
    socket_drops: dict[str, int]
    """Name of a socket -> skbs dropped there; empty where nobody looked."""
    ran_ns: dict[str, int]
    """Name of a process -> how long it ran; empty where nobody looked."""

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

    @property
    def crossed_skbs(self) -> int:
        """skbs that steering sent to another NUMA node."""
        return sum(queue.steering.crossed for queue in self.queues)

    @property
    def steered_skbs(self) -> int:
        """skbs that GRO handed over."""
        return sum(queue.steering.skbs for queue in self.queues)

    def whole_way(self) -> Wait | None:
        """The wait from the wire to the read, None before anybody measured it or if nothing was read."""
        wait = self.waits.get(WHOLE_WAY)
        return wait if wait is not None and wait.count else None


def delta(old: Snapshot | None, new: Snapshot) -> Rates:
    """The counts between two snapshots of one run; `old` None is its beginning.

    Queues are matched by their index: one that appeared counts from 0, and so does one that was gone in between.
    Raises ValueError when `new` is older than `old`, or of a machine with other CPUs.
    """
    before = _NO_TOTALS if old is None else old.totals
    old_ns = 0 if old is None else old.meta.now_ns
    if new.meta.now_ns < old_ns:
        raise ValueError(f"a snapshot of {new.meta.now_ns} ns after one of {old_ns} ns")
    old_cpus = (_NEW_CPU,) * len(new.cpus) if old is None else old.cpus
    old_queues = {} if old is None else {queue.index: queue for queue in old.queues}
    if len(new.cpus) != len(old_cpus):
        raise ValueError("two snapshots of different machines")
    old_waits = {} if old is None else {late.stage: late for late in old.latencies}
    old_drops = {} if old is None else {sock.name: sock.drops for sock in old.sockets}
    old_ran_ns = {} if old is None else {process.name: process.ran_ns for process in old.processes}
    totals = new.totals
    queues = tuple(
        _queue_between(old_queues.get(queue.index), queue, row)
        for queue, row in zip(new.queues, steering_between(old, new), strict=True)
    )
    ring_drops: dict[int, int] = {}
    for queue, rate in zip(new.queues, queues, strict=True):
        if rate.drops:
            ring_drops[queue.cpu] = ring_drops.get(queue.cpu, 0) + rate.drops
    return Rates(
        interval_ns=new.meta.now_ns - old_ns,
        arrived_frames=totals.arrived_frames - before.arrived_frames,
        arrived_bytes=totals.arrived_bytes - before.arrived_bytes,
        read_frames=totals.read_frames - before.read_frames,
        consumed_frames=totals.consumed_frames - before.consumed_frames,
        dropped={reason: count - before.dropped.get(reason, 0) for reason, count in totals.dropped.items()},
        held_frames=totals.held_frames - before.held_frames,
        cpus=tuple(_cpu_between(a, b, ring_drops.get(b.index, 0)) for a, b in zip(old_cpus, new.cpus, strict=True)),
        queues=queues,
        waits={late.stage: wait_between(old_waits.get(late.stage), late) for late in new.latencies},
        flow=flow_between(old, new),
        socket_drops={sock.name: max(sock.drops - old_drops.get(sock.name, 0), 0) for sock in new.sockets},
        ran_ns={process.name: process.ran_ns - old_ran_ns.get(process.name, 0) for process in new.processes},
    )


def _cpu_between(old: CpuStatistics, new: CpuStatistics, ring_drops: int) -> CpuRates:
    hardirq, softirq, ksoftirqd, application, idle = new.accounts.parts_ns()
    whole_ns = hardirq + softirq + ksoftirqd + application + idle - sum(old.accounts.parts_ns())
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
        ring_drops=ring_drops,
        squeeze_budget=new.squeeze_budget - old.squeeze_budget,
        squeeze_time=new.squeeze_time - old.squeeze_time,
        squeeze_with_work_left=new.squeeze_with_work_left - old.squeeze_with_work_left,
        received_rps=new.received_rps - old.received_rps,
        ipis_sent=new.ipis_sent - old.ipis_sent,
        flow_limit_count=new.flow_limit_count - old.flow_limit_count,
        hardirqs=new.hardirqs - old.hardirqs,
        context_switches=new.context_switches - old.context_switches,
        busy=1 - (idle - old_idle) / whole_ns if whole_ns else 0.0,
    )


def _queue_between(old: QueueStatistics | None, new: QueueStatistics, steering: Steering) -> QueueRates:
    if old is not None and (
        new.packets < old.packets or new.polls < old.polls or new.irqs < old.irqs or new.drops < old.drops
    ):
        old = None
    before = old or _NEW_QUEUE
    return QueueRates(
        irqs=new.irqs - before.irqs,
        polls=new.polls - before.polls,
        packets=new.packets - before.packets,
        skbs=new.skbs - before.skbs,
        full_polls=new.full_polls - before.full_polls,
        drops=new.drops - before.drops,
        steering=steering,
        top_flow=top_flow_between(old, new),
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
