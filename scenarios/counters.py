"""Counters of flows: IP ids and sequence numbers, one of each a flow, that go on with every frame and wrap around.

Each kind takes the flows of a block of frames, in order, and gives the counter's value for each frame.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import repeat
from operator import itemgetter
from typing import Protocol, TypeVar

T = TypeVar("T")


def pick(items: Sequence[T], places: Sequence[int]) -> Sequence[T]:
    """The items at `places`, in order: what a list comprehension gives, in two thirds of the time."""
    if len(places) < 2:
        return [items[place] for place in places]
    picked: Sequence[T] = itemgetter(*places)(items)
    return picked


class Counters(Protocol):
    """One number a flow, modulo a power of two."""

    def take(self, flows: Sequence[int], steps: Sequence[int]) -> list[int]:
        """Values for the next frames of these flows; after each, its flow's counter goes on by the frame's step."""


class StandingCounters:
    """All are 0 and stay so: sequence numbers of UDP, ids of IPv6."""

    __slots__ = ()

    def take(self, flows: Sequence[int], steps: Sequence[int]) -> list[int]:
        """A 0 for each."""
        return [0] * len(flows)


class EvenCounters:
    """Every step is `step` (0 up to below 2**`bits`), whatever `take` is told; flow i begins at `firsts[i]`.

    A counter is an iterator that ends where it wraps around, so that a block is one pass over iterators.
    """

    __slots__ = ("_begins", "_modulus", "_step", "_streams")

    def __init__(self, firsts: Sequence[int], step: int, bits: int) -> None:
        self._begins = list(firsts)
        """Where each flow's present stream began."""
        self._step = step
        self._modulus = 1 << bits
        self._streams = [self._stream(first) for first in firsts]

    def take(self, flows: Sequence[int], steps: Sequence[int]) -> list[int]:
        """Values for the next frames of these flows."""
        taken = list(map(next, pick(self._streams, flows)))
        while len(taken) < len(flows):
            # The pass stopped where a stream had ended.
            self._wrap(flows[len(taken)])
            taken += map(next, pick(self._streams, flows[len(taken) :]))
        return taken

    def _stream(self, first: int) -> Iterator[int]:
        return iter(range(first, self._modulus, self._step)) if self._step else repeat(first)

    def _wrap(self, flow: int) -> None:
        last = range(self._begins[flow], self._modulus, self._step)[-1]
        first = self._begins[flow] = last + self._step - self._modulus
        self._streams[flow] = self._stream(first)


class UnevenCounters:
    """Every frame has a step of its own."""

    __slots__ = ("_mask", "_values")

    def __init__(self, firsts: Sequence[int], bits: int) -> None:
        self._values = list(firsts)
        self._mask = (1 << bits) - 1

    def take(self, flows: Sequence[int], steps: Sequence[int]) -> list[int]:
        """Values for the next frames of these flows."""
        values, mask = self._values, self._mask
        taken: list[int] = []
        append = taken.append
        for flow, step in zip(flows, steps, strict=True):
            value = values[flow]
            append(value)
            values[flow] = value + step & mask
        return taken
