"""Why one CPU gets more than another: what RPS did with a queue, and flows that nothing can divide (R2, R4)."""

from __future__ import annotations

from emu.cpumask import cpus_of, format_list, format_mask, mask_of
from monitor.rates import QueueRates, Rates
from monitor.snapshot import Snapshot
from monitor.why.finding import Finding, echo, knob, percent, rps_cpus_path, rps_flow_cnt_path, rps_mask, sysctl

FEWEST_SKBS = 200
UNEVEN = 1.5
"""An even share times this is worth a sentence."""
FEWEST_LOOKED_AT = 30
ELEPHANT = 0.25
ENTRIES = "net.core.rps_sock_flow_entries"


def uneven_steering(snapshot: Snapshot, rates: Rates) -> Finding | None:
    """The queue of which RPS gave one CPU most above an even share."""
    found: tuple[float, int, int] | None = None
    for index, rate in enumerate(rates.queues):
        mask = rps_mask(snapshot, index)
        size = mask.bit_count() if rate.steering.skbs >= FEWEST_SKBS else 0
        if size < 2:
            continue
        cpu = max(rate.steering.to, key=lambda cpu: (rate.steering.to[cpu], -cpu))
        if not mask >> cpu & 1:
            continue  # another map, or none, for most of the time: the shares are not this one's
        share = rate.steering.to[cpu] / rate.steering.skbs
        if share * size >= UNEVEN and (found is None or share * size > found[0]):
            found = (share * size, index, cpu)
    if found is None:
        return None
    _, index, cpu = found
    rate = rates.queues[index]
    mask = rps_mask(snapshot, index)
    top = rate.top_flow
    proof = [
        f"skbs of rx-{index}, by CPU: " + ", ".join(f"cpu{c} {n:,}" for c, n in sorted(rate.steering.to.items())),
        f"rps_cpus of rx-{index}: CPUs {format_list(mask, len(snapshot.cpus))}; rps_flow_cnt {_flow_cnt(snapshot, index)}; "
        f"{ENTRIES} {knob(snapshot, ENTRIES, '0')}",
    ]
    if top is not None:
        proof.append(f"largest flow: {top.name}, at least {top.frames} of {top.of} frames looked at")
    trouble = bool(rates.cpus[cpu].dropped)
    # One flow stays together whatever is set, and RFS works already where it is set.
    helps = not _rfs(snapshot, index) and not (top is not None and top.share >= 0.5)
    return Finding(
        trouble,
        f"cpu{cpu} got {percent(rate.steering.to[cpu], rate.steering.skbs)} of rx-{index}; "
        f"an even share of its {mask.bit_count()} RPS CPUs is {100 / mask.bit_count():.1f} %.",
        tuple(proof),
        "RFS sends the flows of connected sockets where their readers run" if helps else "",
        _rfs_commands(snapshot, index) if helps else (),
    )


def elephant(snapshot: Snapshot, rates: Rates) -> Finding | None:
    """The queue of which one flow takes most; only what was looked at is claimed."""

    def share(rate: QueueRates) -> float:
        top = rate.top_flow
        return top.share if top is not None and top.of >= FEWEST_LOOKED_AT else 0.0

    large = [
        (rate.drops, found, -index) for index, rate in enumerate(rates.queues) if (found := share(rate)) >= ELEPHANT
    ]
    if not large:
        return None
    index = -max(large)[2]  # a queue that loses packets comes before one that does not
    rate = rates.queues[index]
    top = rate.top_flow
    assert top is not None
    steered = rps_mask(snapshot, index) != 0
    trouble = bool(rate.drops) or any(rates.cpus[cpu].dropped for cpu in rate.steering.to)
    rule = "RPS keeps a flow on one CPU" if steered else "RSS keeps a flow on one queue"
    return Finding(
        trouble,
        f"One flow, {top.name}, is {100 * top.share:.0f} % of rx-{index} by {top.of} frames looked at; {rule}.",
        (
            f"frames of rx-{index} looked at: {top.of} (one of 61), of that flow at least {top.frames}",
            f"rx-{index}: {rate.packets:,} frames polled, {rate.drops:,} lost in the interval",
            f"skbs of rx-{index}, by CPU: " + ", ".join(f"cpu{c} {n:,}" for c, n in sorted(rate.steering.to.items())),
        ),
    )


def crossing_nodes(snapshot: Snapshot, rates: Rates) -> Finding | None:
    """How much steering sent over to another NUMA node."""
    crossed, skbs = rates.crossed_skbs, rates.steered_skbs
    if not skbs or crossed * 100 < skbs:
        return None
    rows = [(index, rate.steering) for index, rate in enumerate(rates.queues) if rate.steering.crossed]
    rows.sort(key=lambda row: (-row[1].crossed, row[0]))
    worst = rows[0][0]
    node = snapshot.cpus[snapshot.queues[worst].cpu].node
    here = [cpu for cpu in cpus_of(rps_mask(snapshot, worst)) if snapshot.cpus[cpu].node == node]
    return Finding(
        False,
        f"{percent(crossed, skbs)} of skbs were steered to another NUMA node than the one that polled them, most of them from rx-{worst}.",
        tuple(f"rx-{index}: {row.crossed:,} of {row.skbs:,} skbs crossed" for index, row in rows[:6]),
        f"keep rps_cpus of rx-{worst} on node{node}" if here else "",
        (echo(format_mask(mask_of(here), len(snapshot.cpus)), rps_cpus_path(snapshot, worst)),) if here else (),
    )


def rfs_half_set(snapshot: Snapshot, rates: Rates) -> Finding | None:
    """RFS needs both tables; one of them alone does nothing (R3)."""
    entries = knob(snapshot, ENTRIES, "0")
    counts = [_flow_cnt(snapshot, queue.index) for queue in snapshot.queues]
    with_table = [index for index, count in enumerate(counts) if count != "0"]
    if not counts or (entries != "0") == bool(with_table):
        return None
    if entries != "0":
        text = f"{ENTRIES} is {entries}, but no queue has an rps_flow_cnt: RFS steers nothing."
        commands = tuple(echo("4096", rps_flow_cnt_path(snapshot, queue.index)) for queue in snapshot.queues[:8])
    else:
        text = f"rx-{with_table[0]} has rps_flow_cnt {counts[with_table[0]]}, but {ENTRIES} is 0: RFS steers nothing."
        commands = (sysctl(ENTRIES, "32768"),)
    proof = (f"{ENTRIES} = {entries}", f"rps_flow_cnt of rx-0..{len(counts) - 1}: {', '.join(counts[:16])}")
    return Finding(False, text, proof, "set both", commands)


def _flow_cnt(snapshot: Snapshot, queue: int) -> str:
    return knob(snapshot, rps_flow_cnt_path(snapshot, queue), "0")


def _rfs(snapshot: Snapshot, queue: int) -> bool:
    return knob(snapshot, ENTRIES, "0") != "0" and _flow_cnt(snapshot, queue) != "0"


def _rfs_commands(snapshot: Snapshot, queue: int) -> tuple[str, ...]:
    return (
        sysctl(ENTRIES, "32768"),
        echo("4096", rps_flow_cnt_path(snapshot, queue)),
    )
