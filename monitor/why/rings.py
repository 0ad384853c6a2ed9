"""Why a ring overflows: who polls it, and how busy that CPU was (C7)."""

from __future__ import annotations

from emu.cpumask import format_list, format_mask
from monitor.rates import Rates
from monitor.snapshot import Snapshot
from monitor.why.finding import Finding, echo, per_second, percent, rps_cpus_path, rps_mask

RING_MOST = 8160
BUSY = 0.95


def ring_full(snapshot: Snapshot, rates: Rates) -> Finding | None:
    """The queue that lost most frames for want of a descriptor."""
    worst = max(range(len(rates.queues)), key=lambda i: rates.queues[i].drops, default=-1)
    if worst < 0 or not rates.queues[worst].drops:
        return None
    queue, rate = snapshot.queues[worst], rates.queues[worst]
    poller = rates.cpus[queue.cpu]
    came = rate.packets + rate.drops
    others = sum(1 for other in rates.queues if other.drops) - 1
    more = f" ({others} other queue{'s' * (others > 1)} lost too)" if others else ""
    name = snapshot.meta.nic
    advice = ""
    commands: tuple[str, ...] = ()
    if poller.busy < BUSY:
        advice = f"cpu{queue.cpu} has time: a larger ring holds a longer burst"
        larger = min(queue.ring_size * 2, RING_MOST)
        commands = (f"ethtool -G {name} rx {larger}",) if larger > queue.ring_size else ()
    elif not rps_mask(snapshot, queue.index) and len(snapshot.cpus) > 1:
        spare = _spare(snapshot, rates, queue.cpu)
        if spare:
            advice = f"a larger ring only delays the loss; RPS lets cpu{format_list(spare, len(snapshot.cpus))} take the protocol work"
            commands = (echo(format_mask(spare, len(snapshot.cpus)), rps_cpus_path(snapshot, queue.index)),)
    return Finding(
        True,
        f"rx-{queue.index} had no descriptor for {percent(rate.drops, came)} of its frames; cpu{queue.cpu} polls it and was "
        f"busy {100 * poller.busy:.0f} % of the time{more}.",
        (
            f"rx-{queue.index}: {rate.drops:,} frames lost, {rate.packets:,} polled in the interval "
            f"({per_second(rates, rate.drops)}/s and {per_second(rates, rate.packets)}/s)",
            f"ring: {queue.ring_fill} of {queue.ring_size} now, at most {queue.ring_peak} at a time so far",
            f"cpu{queue.cpu}: busy {100 * poller.busy:.1f} %, {rate.polls:,} polls of this queue, {rate.full_polls:,} of them full",
            f"frames dropped as NIC_RING_FULL, all queues: {rates.dropped.get('NIC_RING_FULL', 0):,}",
        ),
        advice,
        commands,
    )


def _spare(snapshot: Snapshot, rates: Rates, polling: int) -> int:
    """CPUs of the poller's node that were idle for half of the time."""
    node = snapshot.cpus[polling].node
    return sum(
        1 << cpu.index
        for cpu, rate in zip(snapshot.cpus, rates.cpus, strict=True)
        if cpu.online and cpu.index != polling and cpu.node == node and rate.busy < 0.5
    )
