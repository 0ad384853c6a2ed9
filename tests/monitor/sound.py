"""Hypothesis: any sound machine. What comes in is divided among the ends, so that every identity holds, and nothing else is claimed."""

from __future__ import annotations

import itertools

import msgspec
from hypothesis import strategies as st

from monitor.snapshot import (
    WHOLE_WAY,
    Accounts,
    CpuStatistics,
    Event,
    Latency,
    QueueStatistics,
    Snapshot,
    SteeringRow,
    Totals,
)
from tests.monitor.machine import MadeUpMachine

COUNTS = st.integers(0, 10**9)
SMALL = st.integers(0, 10**5)
NAMES = st.text(max_size=30)
REASONS = ("CPU_BACKLOG", "NIC_RING_FULL", "NIC_FCS", "UNHANDLED_PROTO", "IP_CSUM", "NO_SOCKET", "SOCKET_RCVBUFF")


def latency(draw: st.DrawFn, stage: str) -> Latency:
    """Some stage's waits, with bins in half of the cases."""
    counts = draw(st.lists(st.integers(1, 10**6), max_size=5))
    bins = tuple((1000 << i, count) for i, count in enumerate(counts)) if draw(st.booleans()) else ()
    p50, p90, p99, p999, most, total = (draw(COUNTS) for _ in range(6))
    return Latency(stage, sum(counts), p50, p90, p99, p999, most, total, bins)


@st.composite
def accounts(draw: st.DrawFn, interval_ns: int) -> Accounts:
    """A CPU's time, all of `interval_ns`."""
    cuts = sorted(draw(st.lists(st.integers(0, interval_ns), min_size=5, max_size=5)))
    edges = [0, *cuts, interval_ns]
    return Accounts(*(b - a for a, b in itertools.pairwise(edges)))


@st.composite
def cpu_statistics(draw: st.DrawFn, interval_ns: int) -> CpuStatistics:
    """A CPU that nobody steered anything to."""
    budget, time = draw(st.integers(0, 5000)), draw(st.integers(0, 5000))
    count = [draw(COUNTS) for _ in range(6)]
    return CpuStatistics(
        index=0,
        node=0,
        online=draw(st.booleans()) or interval_ns == 0,
        accounts=draw(accounts(interval_ns)),
        processed=0,
        dropped=0,
        time_squeeze=budget + time,
        squeeze_budget=budget,
        squeeze_time=time,
        squeeze_with_work_left=draw(st.integers(0, budget + time)),
        received_rps=count[0],
        ipis_sent=count[1],
        flow_limit_count=count[2],
        input_qlen=0,
        process_qlen=0,
        ksoftirqd_running=draw(st.booleans()),
        ksoftirqd_wakeups=count[3],
        hardirqs=count[4],
        context_switches=count[5],
        current=draw(NAMES),
        softirq_counts={},
    )


@st.composite
def queue_statistics(draw: st.DrawFn, index: int, cpu: int) -> QueueStatistics:
    """A queue with a ring that holds what fits."""
    size = draw(st.integers(0, 8192))
    packets = draw(COUNTS)
    sampled = draw(st.integers(0, 1000))
    return QueueStatistics(
        index=index,
        ring_size=size,
        ring_fill=draw(st.integers(0, size)),
        irq=30 + index,
        cpu=cpu,
        irqs=draw(COUNTS),
        polls=draw(COUNTS),
        packets=packets,
        skbs=0,
        full_polls=draw(COUNTS),
        drops=draw(COUNTS),
        polling=draw(st.booleans()),
        itr_us=50.0,
        sampled=sampled,
        top_flows=((draw(NAMES), draw(st.integers(0, sampled))),) if draw(st.booleans()) else (),
    )


@st.composite
def snapshots(draw: st.DrawFn, least_ns: int = 0) -> Snapshot:
    """Any sound machine, its whole run in one interval: none, or one of at least `least_ns`."""
    interval_ns = draw(st.just(0) | st.integers(least_ns, 10**12))
    nr_cpus = draw(st.sampled_from([1, 3, 17]))
    kinds = draw(st.lists(cpu_statistics(interval_ns), min_size=1, max_size=3))
    cpus = [msgspec.structs.replace(kinds[i % len(kinds)], index=i, node=i % 3) for i in range(nr_cpus)]
    queues = [draw(queue_statistics(i, i % nr_cpus)) for i in range(draw(st.integers(0, 3)))]
    rows = []
    posts = 0
    for i, queue in enumerate(queues):
        targets: dict[int, int] = {}
        for cpu in draw(st.lists(st.integers(0, nr_cpus - 1), max_size=4)):
            processed, dropped, input_qlen, process_qlen, posted = (draw(SMALL) for _ in range(5))
            targets[cpu] = targets.get(cpu, 0) + processed + dropped + input_qlen + process_qlen + posted
            posts += posted
            was = cpus[cpu]
            cpus[cpu] = msgspec.structs.replace(
                was,
                processed=was.processed + processed,
                dropped=was.dropped + dropped,
                input_qlen=was.input_qlen + input_qlen,
                process_qlen=was.process_qlen + process_qlen,
            )
        rows.append(SteeringRow(queue.index, draw(st.integers(0, nr_cpus - 1)), tuple(sorted(targets.items()))))
        queues[i] = msgspec.structs.replace(queue, skbs=sum(targets.values()))
    meta = MadeUpMachine(1, 1).snapshot().meta
    return Snapshot(
        meta=msgspec.structs.replace(
            meta, scenario=draw(NAMES), nic=draw(NAMES), now_ns=interval_ns, paused=draw(st.booleans())
        ),
        totals=draw(totals(queues, posts)),
        cpus=tuple(cpus),
        queues=tuple(queues),
        latencies=tuple(latency(draw, stage) for stage in ("ring", "protocol", WHOLE_WAY)),
        snmp={},
        events=tuple(Event(draw(COUNTS), draw(st.none() | st.integers(0, 99)), draw(NAMES)) for _ in range(2)),
        steering=tuple(rows),
        knobs={"net.core.netdev_budget": draw(NAMES)} if draw(st.booleans()) else {},
    )


@st.composite
def totals(draw: st.DrawFn, queues: list[QueueStatistics], posts: int) -> Totals:
    """Divide what was polled among the ends, from the wire's side on."""
    left = sum(queue.packets for queue in queues)

    def some() -> int:
        nonlocal left
        taken = draw(st.integers(0, left))
        left -= taken
        return taken

    at_nic = {reason: draw(COUNTS) for reason in REASONS if reason.startswith("NIC_")}
    dropped = {reason: some() for reason in REASONS if not reason.startswith("NIC_")} | at_nic
    in_rings = sum(queue.ring_fill for queue in queues)
    held = {"eth0": in_rings + some(), "backlog": some(), "sockets": some()}
    consumed = some()
    arrived = sum(queue.packets for queue in queues) + in_rings + sum(at_nic.values())
    return Totals(arrived, draw(COUNTS), left, consumed, dropped, held, posts)
