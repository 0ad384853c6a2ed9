"""Copies of a NIC's numbers, per queue and per vector. Taken by whoever looks; nothing in them changes afterwards."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nic.nic import Nic


@dataclass(frozen=True, slots=True)
class QueueStatistics:
    """One receive queue. Frames unless said; counts since the machine was built."""

    index: int
    vector: int
    ring_size: int
    """Descriptors."""
    ring_fill: int
    ring_peak: int
    accepted: int
    """Into the ring."""
    drops: int
    """Found no descriptor."""
    packets: int
    """Taken out of the ring by the driver."""
    bytes: int


@dataclass(frozen=True, slots=True)
class VectorStatistics:
    """One vector with its NAPI."""

    index: int
    name: str
    irq: int
    cpu: int
    """Effective affinity."""
    affinity: int
    irqs: tuple[int, ...]
    """Interrupts taken, by CPU."""
    polls: int
    full_polls: int
    packets: int
    """Work of all polls, as budget counts it."""
    armed: bool
    """Unmasked; otherwise masked while NAPI polls."""
    itr_us: int
    adaptive: bool


@dataclass(frozen=True, slots=True)
class NicStatistics:
    """All of a NIC at one time."""

    name: str
    filtered: int
    """Frames that the MAC filter refused."""
    queues: tuple[QueueStatistics, ...]
    vectors: tuple[VectorStatistics, ...]


@dataclass(slots=True)
class GoneQueues:
    """What queues had counted that `ethtool -L` took away."""

    changes: int = 0
    """How often the number of queues changed."""
    bytes: int = 0
    """Came to their rings."""
    packets: int = 0
    """Taken out of their rings by the driver."""
    skbs: int = 0
    """Handed over by GRO; those of NAPIs that are still on their way out come later."""


def nic_statistics(nic: Nic) -> NicStatistics:
    """A copy of `nic`'s numbers as they are."""
    queues: list[QueueStatistics] = []
    vectors: list[VectorStatistics] = []
    for vector in nic.vectors:
        for ring in vector.rings:
            queues.append(
                QueueStatistics(
                    index=ring.index,
                    vector=vector.index,
                    ring_size=ring.descriptors,
                    ring_fill=ring.fill,
                    ring_peak=ring.peak,
                    accepted=ring.accepted,
                    drops=ring.dropped,
                    packets=ring.polled,
                    bytes=ring.polled_bytes,
                )
            )
        vectors.append(
            VectorStatistics(
                index=vector.index,
                name=vector.name,
                irq=vector.irq,
                cpu=vector.cpu,
                affinity=vector.affinity,
                irqs=tuple(vector.irqs),
                polls=sum(napi.polls for napi in vector.napis),
                full_polls=sum(napi.full_polls for napi in vector.napis),
                packets=sum(napi.polled_packets for napi in vector.napis),
                armed=vector.armed,
                itr_us=vector.moderation.itr_ns // 1000,
                adaptive=vector.moderation.adaptive,
            )
        )
    return NicStatistics(nic.dev.name, nic.arrivals.filtered, tuple(queues), tuple(vectors))
