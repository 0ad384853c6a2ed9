"""Events: what happened that is worth a line on the screen, the last few of them.

Models: a bounded log. Leaves out: traces of every packet, and interrupts: they are so many that they would push out all else, and what one
led to is known only when its polls are over. `softnet why` tells both.
"""

from __future__ import annotations

from collections import deque
from typing import Final, NamedTuple

REMEMBERED: Final = 256
QUIET_NS: Final = 1_000_000
"""A queue that refuses after so long without refusing is news."""


class Event(NamedTuple):
    """`cpu` is None for what happened outside the CPUs. `pkt N` in a text is a packet by its number (`emu.trace.packet_number`)."""

    at_ns: int
    cpu: int | None
    text: str


class EventLog:
    """The last REMEMBERED events of a machine, oldest first. Noted rarely: when something begins, not while it lasts."""

    def __init__(self) -> None:
        self._events: deque[Event] = deque(maxlen=REMEMBERED)
        self.noted = 0

    def note(self, at_ns: int, cpu: int | None, text: str) -> None:
        """Remember that `text` happened."""
        self.noted += 1
        self._events.append(Event(at_ns, cpu, text))

    def last(self, count: int) -> list[Event]:
        """The last `count` events in the order of their times."""
        ordered = sorted(self._events, key=_at)
        return ordered[-count:]


def _at(event: Event) -> int:
    return event.at_ns
