"""The steering matrix: queue -> CPU, in skbs of an interval, with what crossed from one NUMA node to another."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from monitor.snapshot import CpuStatistics, QueueStatistics, Snapshot, SteeringRow


class Steering(Struct, frozen=True):
    """Where the skbs of one queue went. The counts of `to` add up to `skbs`; `crossed` of them went to another node."""

    queue: int
    skbs: int
    to: dict[int, int]
    crossed: int


class FlowShare(Struct, frozen=True):
    """The largest flow of a queue in an interval, by the frames whose flow was looked at."""

    name: str
    frames: int
    """At least so many of `of` looked-at frames."""
    of: int

    @property
    def share(self) -> float:
        """Least share of the queue's frames, 0..1."""
        return self.frames / self.of if self.of else 0.0


def steering_between(old: Snapshot | None, new: Snapshot) -> tuple[Steering, ...]:
    """The matrix of the interval, a row for each queue in order of their index."""
    before = {} if old is None else {(row.queue, row.polled_on): dict(row.targets) for row in old.steering}
    to: dict[int, dict[int, int]] = {queue.index: {} for queue in new.queues}
    crossed = dict.fromkeys(to, 0)
    for row in new.steering:
        known = before.get((row.queue, row.polled_on), {})
        counts = to[row.queue]
        for cpu, skbs in row.targets:
            gained = skbs - known.get(cpu, 0)
            if gained < 0:  # the queue was gone in between
                gained = skbs
            if gained:
                counts[cpu] = counts.get(cpu, 0) + gained
                crossed[row.queue] += gained if _crosses(new.cpus, row, cpu) else 0
    return tuple(Steering(queue, sum(counts.values()), counts, crossed[queue]) for queue, counts in to.items())


def _crosses(cpus: Sequence[CpuStatistics], row: SteeringRow, cpu: int) -> bool:
    return cpus[row.polled_on].node != cpus[cpu].node


def top_flow_between(old: QueueStatistics | None, new: QueueStatistics) -> FlowShare | None:
    """The queue's largest flow among the frames looked at since `old`; None if no frame was.

    A flow that `old` did not list may have had as many frames as the last that it did: those are not claimed.
    """
    seen = new.sampled - (old.sampled if old is not None else 0)
    if seen <= 0:
        return None
    before = dict(old.top_flows) if old is not None else {}
    unlisted = min(before.values(), default=0) if len(before) >= len(new.top_flows) else 0
    gained = [(frames - before.get(name, unlisted), name) for name, frames in new.top_flows]
    if not gained:
        return None
    frames, name = max(gained, key=lambda item: item[0])
    return FlowShare(name, max(frames, 0), seen)
