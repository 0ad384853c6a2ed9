"""Copies of a NIC's numbers, per queue and per vector. Taken by whoever looks; nothing in them changes afterwards."""

from __future__ import annotations

from dataclasses import dataclass


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
