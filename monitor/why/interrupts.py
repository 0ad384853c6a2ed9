"""Why some CPUs work and others do not: where interrupts go, and who is in no mask."""

from __future__ import annotations

from itertools import cycle

from emu.cpumask import format_list, mask_of
from monitor.rates import Rates
from monitor.snapshot import Snapshot
from monitor.why.finding import Finding, echo, per_second, rps_mask

BUSY = 0.95
MOST_COMMANDS = 64


def one_cpu_takes_all_interrupts(snapshot: Snapshot, rates: Rates) -> Finding | None:
    """Several vectors, and all of them go to one CPU of several."""
    vectors = {queue.irq: queue.cpu for queue in snapshot.queues}
    online = [cpu.index for cpu in snapshot.cpus if cpu.online]
    if len(vectors) < 2 or len(set(vectors.values())) != 1 or len(online) < 2:
        return None
    taker = snapshot.queues[0].cpu
    irqs = sum(rate.irqs for rate in rates.queues)
    busy = rates.cpus[taker].busy
    return Finding(
        busy >= BUSY,
        f"All {len(vectors)} vectors go to cpu{taker}, which was busy {100 * busy:.0f} % of the time; "
        f"{len(online) - 1} other CPU{'s take' if len(online) > 2 else ' takes'} none.",
        (
            f"interrupts of eth vectors in the interval: {irqs:,} ({per_second(rates, irqs)}/s)".replace(
                "eth", snapshot.meta.nic
            ),
            *(f"/proc/irq/{irq}/effective_affinity_list: {cpu}" for irq, cpu in sorted(vectors.items())[:6]),
            f"busy: cpu{taker} {100 * busy:.1f} %, the others {100 * _mean_busy(rates, online, taker):.1f} % on average",
        ),
        "a vector to each CPU",
        tuple(
            echo(str(cpu), f"/proc/irq/{irq}/smp_affinity_list")
            for irq, cpu in zip(sorted(vectors), cycle(online), strict=False)
            if cpu != taker
        )[:MOST_COMMANDS],
    )


def one_queue(snapshot: Snapshot, rates: Rates) -> Finding | None:
    """The only queue's CPU has no time left while others have."""
    online = [cpu.index for cpu in snapshot.cpus if cpu.online]
    if len(snapshot.queues) != 1 or len(online) < 2:
        return None
    taker = snapshot.queues[0].cpu
    busy, others = rates.cpus[taker].busy, _mean_busy(rates, online, taker)
    if busy < BUSY or others > 0.8:
        return None
    top = rates.queues[0].top_flow
    divisible = top is None or top.share < 0.5
    return Finding(
        True,
        f"rx-0 is the only queue: cpu{taker} polls every frame and was busy {100 * busy:.0f} % of the time, "
        f"the other CPUs {100 * others:.0f} % on average.",
        (
            f"rx-0: {rates.queues[0].packets:,} frames polled in the interval, all on cpu{taker}",
            *(f"cpu{index}: busy {100 * rates.cpus[index].busy:.1f} %" for index in online[:8]),
        ),
        "more queues divide the flows in the device (RSS)" if divisible else "",
        (f"ethtool -L {snapshot.meta.nic} combined {min(len(online), 8)}",) if divisible else (),
    )


def unused_cpus(snapshot: Snapshot, rates: Rates) -> Finding | None:
    """CPUs that no vector and no mask names and that did nothing, while some CPU had trouble."""
    if not rates.dropped_frames and not rates.squeeze_with_work_left:
        return None
    named = mask_of(queue.cpu for queue in snapshot.queues)
    for queue in snapshot.queues:
        named |= rps_mask(snapshot, queue.index)
    idle = [
        cpu.index
        for cpu, rate in zip(snapshot.cpus, rates.cpus, strict=True)
        if cpu.online and not named >> cpu.index & 1 and not rate.busy and not rate.processed and not rate.hardirqs
    ]
    if not idle or not rates.interval_ns:
        return None
    which = f"cpu{format_list(mask_of(idle), len(snapshot.cpus))}"
    return Finding(
        False,
        f"{which} {'was' if len(idle) == 1 else 'were'} idle all the time: in no rps_cpus mask, and no interrupt goes there.",
        (
            f"{len(idle)} CPU{'s' * (len(idle) > 1)} with 100.0 % idle, 0 processed, 0 hard interrupts in the interval",
            f"CPUs that vectors or rps_cpus name: {format_list(named, len(snapshot.cpus))}",
        ),
    )


def _mean_busy(rates: Rates, online: list[int], without: int) -> float:
    others = [rates.cpus[index].busy for index in online if index != without]
    return sum(others) / len(others) if others else 0.0
