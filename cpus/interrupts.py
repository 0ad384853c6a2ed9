"""What reaches a CPU from outside: hard interrupts, inter-processor interrupts, wake-ups, timers, by time of arrival.

Models: a message is taken at its stamp if the CPU is open, else at the end of what it does (three ways to wait, docs/architecture.md).
Leaves out: nested hard interrupts, NMIs.
"""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING, Final

from emu.clock import NEVER

if TYPE_CHECKING:
    from cpus.cpu import Cpu


class Interrupt:
    """Something that runs in hard-interrupt context. `handle` charges its own cost; `withdrawn` ones are never taken."""

    __slots__ = ("withdrawn",)

    moves_with_cpu = False
    """Another CPU takes it if this one goes offline first (a wake-up, a timer)."""
    order = 0
    """Place among what one sender lets arrive at the same time, the lowest first: not a matter of when it was sent."""

    def __init__(self) -> None:
        self.withdrawn = False

    def handle(self, cpu: Cpu) -> None:
        """Run the handler on `cpu`, whose local time is the time it was taken."""
        raise NotImplementedError


class Mailbox:
    """Interrupts on their way to one CPU, ordered by (stamp, rank of the sender, `Interrupt.order`, order of sending)."""

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, int, int, Interrupt]] = []
        self._sent = 0
        self.first_ns = NEVER
        """When the first one arrives, which may be withdrawn: none arrives before it."""

    def put(self, at_ns: int, sender_rank: int, interrupt: Interrupt) -> None:
        """Send `interrupt`, to arrive at `at_ns`."""
        self._sent += 1
        if at_ns < self.first_ns:
            self.first_ns = at_ns
        heapq.heappush(self._heap, (at_ns, sender_rank, interrupt.order, self._sent, interrupt))

    def next_ns(self) -> int:
        """When the next one arrives, NEVER if none."""
        heap = self._heap
        while heap and heap[0][4].withdrawn:
            heapq.heappop(heap)
        self.first_ns = heap[0][0] if heap else NEVER
        return self.first_ns

    def take(self, now_ns: int) -> Interrupt | None:
        """The earliest that has arrived by `now_ns`, or None."""
        heap = self._heap
        while self.first_ns <= now_ns:
            interrupt = heapq.heappop(heap)[4]
            self.first_ns = heap[0][0] if heap else NEVER
            if not interrupt.withdrawn:
                return interrupt
        return None

    def has_only_timers(self) -> bool:
        """Nothing but the CPU's own timers is on its way."""
        return all(rank == LOCAL_TIMER_RANK or item.withdrawn for _, rank, _, _, item in self._heap)

    def drain(self) -> list[tuple[int, int, Interrupt]]:
        """All that is under way, in order, for a CPU that goes offline."""
        waiting = [
            (at, rank, item) for at, rank, _, _, item in sorted(self._heap, key=lambda e: e[:4]) if not item.withdrawn
        ]
        self._heap.clear()
        self.first_ns = NEVER
        return waiting


LOCAL_TIMER_RANK: Final = -1
"""Timers of the CPU itself come before what others send at the same time."""
