"""The slow twin: the same machine with an await at every charge and every post decided at its stamp, before the sender goes on.

The fast machine works ahead inside one poll and replays posts later, in one order. The twin does not: whenever a CPU charges time it
waits until it is the earliest, so that everybody else has come as far; a post suspends its sender until it can be decided at once.
Both must count the same and measure the same latencies. What both share is the rule for visibility: state that is no port is seen as
of the reader's last synchronisation, so the twin keeps a journal of it.
"""

from __future__ import annotations

from typing import Any

import greenback

from cpus.cpu import Cpu
from emu.clock import KIND_ACTOR, KIND_POST, Actor, Clock, Port
from scenarios.machine import Machine
from softirq.rps import RPS_NO_CPU, RpsSockFlowTable
from softirq.softnet_data import SoftnetData


class TwinClock(Clock):
    """Decides each post at its stamp plus 1 ns, while the sender waits."""

    def post(self, sender: Actor, port: Port, item: Any) -> None:
        """Suspend the sender until the post can be decided; its local time does not move."""
        greenback.await_(self._decide_now(sender, port, item))

    async def _decide_now(self, sender: Actor, port: Port, item: Any) -> None:
        stamp_ns = sender.last_post_ns = sender.local_now_ns
        await self.turn_at(sender, stamp_ns + 1, KIND_POST)
        port.deliver(stamp_ns, sender, item)
        self.decided += 1

    async def turn_at(self, actor: Actor, time_ns: int, kind: int) -> None:
        """Wait for the turn (time_ns, kind) without counting as a synchronisation."""
        seen_ns = actor.synced_ns
        actor.kind = kind
        if not self._is_earliest(actor, time_ns):
            self._enlist(actor, time_ns)
            await self._hand_over(actor)
        self.now_ns = time_ns
        actor.kind = KIND_ACTOR
        actor.synced_ns = seen_ns


class TwinCpu(Cpu):
    """Waits for its turn at every charge."""

    _local_ns = 0
    _stepping = False

    @property  # type: ignore[override]
    def local_now_ns(self) -> int:
        """This CPU's own clock."""
        return self._local_ns

    @local_now_ns.setter
    def local_now_ns(self, value: int) -> None:
        charged = value > self._local_ns
        self._local_ns = value
        if charged and self._stepping and not self.is_open:
            assert isinstance(self.clock, TwinClock)
            greenback.await_(self.clock.turn_at(self, value, KIND_ACTOR))

    async def run(self) -> None:
        """The actor, able to wait inside synchronous code."""
        await greenback.ensure_portal()
        self._stepping = True
        await super().run()


class TwinSoftnetData(SoftnetData):
    """Remembers every head it has shown, because readers may have synchronised several stretches ago."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._heads: list[tuple[int, int]] = [(0, 0)]

    def show_head(self, now_ns: int) -> None:
        """Publish the head, keeping what was shown before."""
        self._heads.append((now_ns, self.input_queue_head))

    def head_as_of(self, now_ns: int) -> int:
        """The last head shown at or before `now_ns`."""
        return next(head for at_ns, head in reversed(self._heads) if at_ns <= now_ns)


class TwinSockFlowTable(RpsSockFlowTable):
    """Keeps who wrote each entry and when."""

    def __init__(self, clock: Clock, entries: int, nr_cpus: int) -> None:
        super().__init__(entries, nr_cpus)
        self._clock = clock
        self._journal: dict[int, list[tuple[int, int]]] = {}

    def record(self, flow_hash: int, cpu: int) -> None:
        """Write and remember."""
        super().record(flow_hash, cpu)
        if flow_hash:
            slot = flow_hash & self.mask
            self._journal.setdefault(slot, []).append((self._clock.now_ns, self.ents[slot]))

    def lookup(self, flow_hash: int, seen_ns: int) -> int:
        """The entry as it was at `seen_ns`."""
        for at_ns, entry in reversed(self._journal.get(flow_hash & self.mask, [])):
            if at_ns <= seen_ns:
                return entry
        return RPS_NO_CPU


class TwinMachine(Machine):
    """A machine built of slow parts."""

    clock_class = TwinClock
    cpu_class = TwinCpu
    softnet_class = TwinSoftnetData
