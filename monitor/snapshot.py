"""The snapshot: every number that a view, a run log or a test may want, copied out of its owner at one virtual time.

Models: one frozen, typed document of counters (they only grow), gauges and names. msgspec encodes it to JSON or msgpack and checks
it on the way back: counts are not negative, names are bounded, unknown fields are refused.
Leaves out: rates (`monitor.rates`), and whatever can be computed from these numbers.
"""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
from msgspec import Struct

SCHEMA_VERSION: Final = 2
"""Rises when a field changes its meaning or goes away; new fields with a default do not raise it."""

WHOLE_WAY: Final = "total"
"""Name of the stage that runs from the wire to the application's read."""

Count = Annotated[int, msgspec.Meta(ge=0)]
Index = Annotated[int, msgspec.Meta(ge=0, le=65535)]
Name = Annotated[str, msgspec.Meta(max_length=4096)]


class Meta(Struct, frozen=True, forbid_unknown_fields=True):
    """What was run, under which rules, and how far it is."""

    scenario: Name
    nic: Name
    queues: Count
    rules: Name
    """Kernel release whose rules hold, as `6.9`."""
    hz: Count
    seed: int
    now_ns: Count
    """Virtual time of every number in the snapshot."""
    speed: Annotated[float, msgspec.Meta(ge=0)] | None = None
    """Virtual seconds per wall second; None is as fast as it goes."""
    paused: bool = False
    finished: bool = False
    open_loop_capture: bool = False
    """TCP frames come from a capture: their sender does not slow down."""
    settings_hash: Name = ""
    command: Name = ""
    """Command line that repeats the run."""


class Totals(Struct, frozen=True, forbid_unknown_fields=True):
    """The ledger, in wire frames: arrived = read + consumed + dropped + held."""

    arrived_frames: Count
    arrived_bytes: Count
    """Bytes of the frames that came to a ring, dropped there or not."""
    read_frames: Count
    consumed_frames: Count
    dropped: dict[Name, Count]
    """Reason -> frames; reasons that never happened may be left out."""
    held: dict[Name, Count]
    """Place -> frames that are there now."""
    backlog_posts: Count = 0
    """skbs on their way to a backlog, whether it takes them or not."""
    gone_packets: Count = 0
    """Frames that the driver took from queues which are gone."""
    gone_skbs: Count = 0
    """skbs that GRO handed over from them."""
    channel_changes: Count = 0
    """How often the number of queues changed."""

    @property
    def dropped_frames(self) -> int:
        """Frames dropped for any reason."""
        return sum(self.dropped.values())

    @property
    def held_frames(self) -> int:
        """Frames inside the machine."""
        return sum(self.held.values())


class Accounts(Struct, frozen=True, forbid_unknown_fields=True):
    """A CPU's time by account, in nanoseconds; for an online CPU they add up to the virtual time."""

    hardirq_ns: Count
    softirq_ns: Count
    ksoftirqd_ns: Count
    system_ns: Count
    user_ns: Count
    idle_ns: Count

    def parts_ns(self) -> tuple[int, int, int, int, int]:
        """hardirq, softirq, ksoftirqd, application (system + user), idle."""
        return (self.hardirq_ns, self.softirq_ns, self.ksoftirqd_ns, self.system_ns + self.user_ns, self.idle_ns)


class CpuStatistics(Struct, frozen=True, forbid_unknown_fields=True):
    """One possible CPU. Names of /proc/net/softnet_stat where it has them; squeezes also by cause, which no kernel tells."""

    index: Index
    node: Index
    online: bool
    accounts: Accounts
    processed: Count
    dropped: Count
    """Frames that this CPU's backlog refused."""
    time_squeeze: Count
    squeeze_budget: Count
    squeeze_time: Count
    squeeze_with_work_left: Count
    received_rps: Count
    """Wake-ups received by IPI, not packets."""
    ipis_sent: Count
    flow_limit_count: Count
    input_qlen: Count
    process_qlen: Count
    ksoftirqd_running: bool
    ksoftirqd_wakeups: Count
    hardirqs: Count
    context_switches: Count
    current: Name
    """Name of the process that has the CPU; empty when idle."""
    softirq_counts: dict[Name, Count]
    net_rx_actions: Count = 0
    resched_ipis: Count = 0
    bursts_cut: Count = 0
    """Softirq bursts that ended on a limit (S3)."""
    deferred_frees: Count = 0
    """skbs freed here because readers on other CPUs handed them back (T7)."""
    defer_ipis: Count = 0
    """IPIs taken that asked for that."""


class QueueStatistics(Struct, frozen=True, forbid_unknown_fields=True):
    """One receive queue with its ring and vector."""

    index: Index
    ring_size: Count
    ring_fill: Count
    """Descriptors that hold a frame nobody polled yet."""
    irq: Count
    cpu: Index
    """CPU that takes the vector: its effective affinity."""
    irqs: Count
    polls: Count
    packets: Count
    """Frames polled out of the ring."""
    skbs: Count
    """Packets that GRO passed on; packets / skbs is the merge ratio."""
    full_polls: Count
    drops: Count
    """Frames that found no free descriptor."""
    polling: bool
    """The vector is masked and NAPI polls; otherwise the vector is armed."""
    itr_us: Annotated[float, msgspec.Meta(ge=0)]
    """Shortest time between two interrupts now, in microseconds; 0 is none."""
    adaptive: bool = False
    ring_peak: Count = 0
    """Most frames that were in the ring at a time."""
    bytes: Count = 0
    """Bytes polled out of the ring."""
    sampled: Count = 0
    """Frames of the queue whose flow was looked at, evenly spread."""
    top_flows: Annotated[tuple[tuple[Name, Count], ...], msgspec.Meta(max_length=16)] = ()
    """The most frequent flows among those, as `10.0.0.9:443 > 10.0.0.1:51312`, with their frames, most first."""


class SteeringRow(Struct, frozen=True, forbid_unknown_fields=True):
    """Where the skbs of a receive queue went that were polled on one CPU. All rows of a queue add up to its `skbs`."""

    queue: Index
    polled_on: Index
    targets: Annotated[tuple[tuple[Index, Count], ...], msgspec.Meta(max_length=4096)]
    """(CPU, skbs), by rising CPU."""


class Latency(Struct, frozen=True, forbid_unknown_fields=True):
    """Time that frames spent in a stage since the run began. Percentiles are upper bounds of histogram bins."""

    stage: Name
    count: Count
    p50_ns: Count
    p90_ns: Count
    p99_ns: Count
    p999_ns: Count
    max_ns: Count
    sum_ns: Count
    bins: tuple[tuple[Count, Count], ...] = ()
    """(upper bound of a bin in ns, how many were in it), rising; empty bins left out."""


class Event(Struct, frozen=True, forbid_unknown_fields=True):
    """Something worth a line. `cpu` is None when it happened outside the CPUs."""

    at_ns: Count
    cpu: Index | None
    text: Name


class SocketStatistics(Struct, frozen=True, forbid_unknown_fields=True):
    """All sockets of one name: the connections of a port count together."""

    name: Name
    sockets: Count
    read_bytes: Count
    drops: Count
    """skbs that were dropped there."""
    held_frames: Count


class ProcessStatistics(Struct, frozen=True, forbid_unknown_fields=True):
    """A thread of an application, or a ksoftirqd."""

    name: Name
    cpu: Index
    """Where it runs, or ran last."""
    ran_ns: Count
    switches: Count
    wakeups: Count


class CommandDone(Struct, frozen=True, forbid_unknown_fields=True):
    """A command that was run on the machine, by the scenario or by a person who looks on."""

    at_ns: Count
    line: Name
    printed: str
    asked: bool
    """It only showed something."""
    live: bool
    """Given during the run: a repeated run does not have it unless the scenario is saved."""


class Snapshot(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """All numbers of a machine at `meta.now_ns`. CPUs and queues stand in the order of their index, none left out."""

    schema_version: int = SCHEMA_VERSION
    meta: Meta
    totals: Totals
    cpus: Annotated[tuple[CpuStatistics, ...], msgspec.Meta(max_length=4096)]
    queues: Annotated[tuple[QueueStatistics, ...], msgspec.Meta(max_length=4096)]
    latencies: Annotated[tuple[Latency, ...], msgspec.Meta(max_length=64)]
    """In the order of the way; the stage `WHOLE_WAY` is the sum of it."""
    snmp: dict[Name, Count]
    events: Annotated[tuple[Event, ...], msgspec.Meta(max_length=4096)] = ()
    device: dict[Name, Count] = {}
    """The NIC's counters under their names in /sys/class/net/IF/statistics."""
    sockets: Annotated[tuple[SocketStatistics, ...], msgspec.Meta(max_length=65536)] = ()
    processes: Annotated[tuple[ProcessStatistics, ...], msgspec.Meta(max_length=65536)] = ()
    steering: Annotated[tuple[SteeringRow, ...], msgspec.Meta(max_length=65536)] = ()
    nic_node: Index = 0
    """NUMA node of the NIC."""
    knobs: dict[Name, Name] = {}
    """Settings as they are now: sysctl name, path below /sys or /proc, or `ethtool` with the option's words -> value."""
    notes: tuple[Name, ...] = ()
    """What was learned while the machine was built: a capture's sides, what was left out of it."""
    commands: Annotated[tuple[CommandDone, ...], msgspec.Meta(max_length=65536)] = ()
    """Commands at virtual times, in their order."""

    def whole_way(self) -> Latency | None:
        """Latency from the wire to the read, or None before anybody measured it."""
        for latency in self.latencies:
            if latency.stage == WHOLE_WAY:
                return latency
        return None
