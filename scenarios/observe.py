"""A snapshot of a built machine: every number copied out of its owner as of one virtual time.

Models: the sampler's view: CPUs that worked ahead are cut at the time of the sample, idle ones run up to it.
Leaves out: rates and views, which `monitor` makes of snapshots.
"""

from __future__ import annotations

import hashlib
from typing import Final

import msgspec

from cpus.cpu import SOFTIRQ_NAMES, Cpu
from emu.dropreason import DropReason
from emu.flow_name import flow_name
from emu.histogram import Histogram
from monitor.snapshot import (
    Accounts,
    CommandDone,
    CpuStatistics,
    Event,
    Latency,
    Meta,
    ProcessStatistics,
    QueueStatistics,
    Snapshot,
    SocketStatistics,
    SteeringRow,
    Totals,
)
from scenarios.build import Built
from scenarios.knobs import knobs
from scenarios.schema import Scenario
from softirq.device import DeviceStatistics
from softirq.softnet_data import SoftnetData

EVENTS_SHOWN: Final = 64
SOCKETS_LOOKED_AT: Final = 1024
THREADS_LOOKED_AT: Final = 1024
"""With more than so many, only a document has them."""
TOP_FLOWS: Final = 4


def snapshot(
    built: Built,
    now_ns: int,
    *,
    finished: bool = False,
    paused: bool = False,
    speed: float | None = None,
    command: str = "",
    whole: bool = False,
) -> Snapshot:
    """Everything as of `now_ns`, which is the time of the turn in progress (or of the end).

    `whole`: with what is long and no view shows, for a document: every socket, every process.
    """
    built.nic.advance(now_ns)
    built.machine.clock.settle(now_ns)
    machine, scenario = built.machine, built.scenario
    return Snapshot(
        meta=Meta(
            scenario=scenario.scenario.name,
            nic=built.nic.dev.name,
            queues=len(built.nic.rings),
            rules=machine.rules.release,
            hz=machine.jiffies.hz,
            seed=built.seed,
            now_ns=now_ns,
            speed=speed,
            paused=paused,
            finished=finished,
            open_loop_capture=built.recording is not None,
            settings_hash=settings_hash(scenario),
            command=command,
        ),
        totals=_totals(built),
        cpus=tuple(_cpu(cpu, sd, now_ns) for cpu, sd in zip(machine.cpus, machine.net.softnet, strict=True)),
        queues=_queues(built),
        latencies=tuple(_latency(stage, histogram) for stage, histogram in machine.net.latencies.by_stage().items()),
        snmp=built.stack.snmp.as_dict(),
        events=tuple(Event(*event) for event in machine.net.events.last(EVENTS_SHOWN)),
        device={name: getattr(built.nic.dev.statistics, name) for name in DeviceStatistics.__slots__},
        sockets=_sockets(built) if whole or len(built.stack.sockets) <= SOCKETS_LOOKED_AT else (),
        processes=_processes(built) if whole or len(built.threads) <= THREADS_LOOKED_AT else (),
        steering=_steering(built),
        nic_node=built.nic.node,
        knobs=knobs(built),
        notes=tuple(built.notes),
        commands=tuple(
            CommandDone(done.at_ns, done.line, done.printed, done.asked, done.live) for done in built.user.done
        ),
    )


def settings_hash(scenario: Scenario) -> str:
    """A short hash of every setting but the seed and the pace: with it and the seed, two runs give the same bytes.

    What a tree said is among the settings; where it lay is not.
    """
    settings = msgspec.structs.replace(
        scenario,
        machine=msgspec.structs.replace(scenario.machine, seed=None, tree=None),
        run=msgspec.structs.replace(scenario.run, speed=None),
    )
    return hashlib.blake2s(msgspec.json.encode(settings, order="sorted", enc_hook=int), digest_size=8).hexdigest()


def _totals(built: Built) -> Totals:
    ledger = built.machine.ledger
    return Totals(
        arrived_frames=ledger.arrived_frames,
        arrived_bytes=built.nic.arrived_bytes(),
        read_frames=ledger.read_frames,
        consumed_frames=ledger.consumed_frames,
        dropped={reason.name: n for reason, n in zip(DropReason, ledger.dropped_frames, strict=True) if n},
        held=ledger.held(),
        backlog_posts=len(built.machine.posts_to_backlogs()),
        gone_packets=built.nic.gone.packets,
        gone_skbs=built.nic.gone.skbs + built.nic.skbs_of_leaving(),
        channel_changes=built.nic.gone.changes,
    )


def _cpu(cpu: Cpu, sd: SoftnetData, now_ns: int) -> CpuStatistics:
    current = cpu.runqueue.current
    return CpuStatistics(
        index=cpu.index,
        node=cpu.node,
        online=cpu.online,
        accounts=Accounts(*cpu.accounts.at(now_ns)),
        processed=sd.processed,
        dropped=sd.dropped,
        time_squeeze=sd.time_squeeze,
        squeeze_budget=sd.squeeze_budget,
        squeeze_time=sd.squeeze_time,
        squeeze_with_work_left=sd.squeeze_with_work_left,
        received_rps=sd.received_rps,
        ipis_sent=sd.ipis_sent,
        flow_limit_count=sd.flow_limit_count,
        input_qlen=len(sd.backlog.input_pkt_queue),
        process_qlen=len(sd.backlog.process_queue),
        ksoftirqd_running=cpu.ksoftirqd.runnable,
        ksoftirqd_wakeups=cpu.ksoftirqd_wakeups,
        hardirqs=cpu.hardirqs,
        context_switches=cpu.context_switches,
        current=current.name if current is not None else "",
        net_rx_actions=sd.net_rx_actions,
        resched_ipis=cpu.resched_ipis,
        bursts_cut=cpu.bursts_cut,
        deferred_frees=sd.defer_list.freed,
        defer_ipis=sd.defer_list.ipis,
        softirq_counts={name: n for name, n in zip(SOFTIRQ_NAMES, cpu.softirq_counts, strict=True) if n},
    )


def _queues(built: Built) -> tuple[QueueStatistics, ...]:
    found: list[QueueStatistics] = []
    for vector in built.nic.vectors:
        # A vector's NAPI serves all its rings: what only the NAPI counts is shown on the first of them.
        for position, ring in enumerate(vector.rings):
            polls = sum(napi.polls for napi in vector.napis) if not position else 0
            full = sum(napi.full_polls for napi in vector.napis) if not position else 0
            skbs = sum(napi.delivered_skbs for napi in vector.napis) if not position else 0
            found.append(
                QueueStatistics(
                    index=ring.index,
                    ring_size=ring.descriptors,
                    ring_fill=ring.fill,
                    irq=vector.irq,
                    cpu=vector.cpu,
                    irqs=sum(vector.irqs) if not position else 0,
                    polls=polls,
                    packets=ring.polled,
                    skbs=skbs,
                    full_polls=full,
                    drops=ring.dropped,
                    polling=not vector.armed,
                    itr_us=vector.moderation.itr_ns / 1000,
                    adaptive=vector.moderation.adaptive,
                    ring_peak=ring.peak,
                    bytes=ring.polled_bytes,
                    sampled=ring.sample.frames,
                    top_flows=tuple((flow_name(flow), frames) for flow, frames in ring.sample.top(TOP_FLOWS)),
                )
            )
    return tuple(sorted(found, key=lambda queue: queue.index))


def _steering(built: Built) -> tuple[SteeringRow, ...]:
    """A row for each CPU that polled a NAPI; the rings of one vector share a NAPI, which stands at the first of them."""
    rows: list[SteeringRow] = []
    for vector in built.nic.vectors:
        sums: dict[int, dict[int, int]] = {}
        for ring in vector.rings:
            for polled_on, targets in built.nic.dev.queues[ring.index].steered.rows().items():
                of = sums.setdefault(polled_on, {})
                for cpu, skbs in targets.items():
                    of[cpu] = of.get(cpu, 0) + skbs
        rows += [
            SteeringRow(vector.rings[0].index, polled_on, tuple(sorted(targets.items())))
            for polled_on, targets in sorted(sums.items())
        ]
    return tuple(sorted(rows, key=lambda row: (row.queue, row.polled_on)))


def _latency(stage: str, histogram: Histogram) -> Latency:
    return Latency(
        stage=stage,
        count=histogram.count,
        p50_ns=histogram.percentile(50),
        p90_ns=histogram.percentile(90),
        p99_ns=histogram.percentile(99),
        p999_ns=histogram.percentile(99.9),
        max_ns=histogram.maximum,
        sum_ns=histogram.total,
        bins=tuple(histogram.bins().items()),
    )


def _sockets(built: Built) -> tuple[SocketStatistics, ...]:
    named: dict[str, list[int]] = {}
    for sock in built.stack.sockets:
        sums = named.setdefault(sock.name, [0, 0, 0, 0])
        for index, value in enumerate((1, sock.read_bytes, sock.sk_drops, sock.frames_held())):
            sums[index] += value
    return tuple(SocketStatistics(name, *sums) for name, sums in named.items())


def _processes(built: Built) -> tuple[ProcessStatistics, ...]:
    processes = [thread.process for thread in built.threads] + [cpu.ksoftirqd for cpu in built.machine.cpus]
    return tuple(
        ProcessStatistics(process.name, process.cpu.index, process.ran_ns, process.switches, process.wakeups)
        for process in processes
    )
