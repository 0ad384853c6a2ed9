"""The NIC: from the wire to the rings, and the interrupts that say so.

Models: rings and vectors of one device, when it interrupts, what changes with a setting; a receive side that is advanced lazily.
Leaves out: transmit, flow control, bus and DMA delays, flow director.
Source: rules of sections 5 and 11, S13, S14; drivers/net/ethernet/intel/ice (6.9).

Arrivals are open-loop. They are generated in chunks ahead of time and steered to the list of their ring; they arrive when somebody
looks at a time (a poll, a sample, a control write). So a loaded NIC, whose vectors are masked, takes no turn at all: the polls
look, and generate what they need. Each ring is looked at by itself: its own CPU may be ahead of the others.

An armed vector's interrupt is sent with its future stamp as soon as its first frame is known. Only when none is known yet does the
NIC ask for a turn of its own, at the end of what is generated.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from errno import EINVAL
from typing import TYPE_CHECKING, Any, Final

import trio

from emu.clock import NEVER, Actor
from emu.errors import ConfigError, ControlError
from nic.arrivals import Arrivals
from nic.driver import IceNapi
from nic.moderation import DEFAULT_RX_USECS, Moderation, check_rx_usecs, check_rx_usecs_high
from nic.ring import DEFAULT_DESCRIPTORS, RxRing
from nic.statistics import GoneQueues, NicStatistics, nic_statistics
from nic.steering import Steering
from nic.transmit import Transmit
from nic.vector import Irq, MsixVector, VectorMatrix

if TYPE_CHECKING:
    from cpus.cpu import Cpu
    from emu.skb import Skb
    from nic.rss import Rss
    from nic.wire import Source, Wire
    from softirq.device import NetDevice
    from softirq.net import Net

MTU_MIN: Final = 68
MTU_MAX: Final = 9702

FIRST_IRQ: Final = 32

CHECKPOINT_TURNS: Final = 32
"""Turns the NIC may run on without suspending before it gives trio a checkpoint."""


def irq_number(index: int, irqs: Sequence[int] = ()) -> int:
    """The interrupt number of vector `index` of a device whose first vectors have `irqs`."""
    if index < len(irqs):
        return irqs[index]
    return max(irqs, default=FIRST_IRQ - 1) + 1 + index - len(irqs)


class Nic(Actor):
    """A device `dev` on `wire`, with one ring per queue of `dev` and `vectors` vectors (default: one per queue).

    `net.softnet` and `cpus` are complete when it is built. `irqs` are the interrupt numbers of its first vectors; further ones count
    up from there, and from 32 without any.
    Raises ConfigError for an impossible number of vectors or descriptors.
    """

    def __init__(
        self,
        rank: int,
        net: Net,
        cpus: list[Cpu],
        matrix: VectorMatrix,
        dev: NetDevice,
        wire: Wire,
        rss: Rss,
        *,
        vectors: int | None = None,
        descriptors: int = DEFAULT_DESCRIPTORS,
        rx_usecs: int = DEFAULT_RX_USECS,
        adaptive_rx: bool = True,
        node: int = 0,
        irqs: Sequence[int] = (),
        bus_info: str = "0000:01:00.0",
    ) -> None:
        super().__init__(dev.name, rank)
        queues = len(dev.queues)
        count = queues if vectors is None else vectors
        if not 1 <= count <= queues:
            raise ConfigError(f"{dev.name}: {count} vectors for {queues} queues; use 1 to {queues}")
        self.net = net
        self.matrix = matrix
        self.irqs = tuple(irqs)
        self.clock = net.clock
        self.cpus = cpus
        self.dev = dev
        self.wire = wire
        self.rss = rss
        self.steering = Steering(dev, rss)
        self.rings = [self.new_ring(index, descriptors) for index in range(queues)]
        self.vectors = [self.new_vector(index, Moderation(rx_usecs, adaptive_rx)) for index in range(count)]
        self.share_rings()
        self.on_vectors: list[Callable[[list[MsixVector], list[MsixVector]], None]] = []
        """Called with the vectors that vanished and those that appeared."""
        self.affinity_masks: list[int] = []
        """smp_affinity of a vector that appears, by its index; beyond the list its hint decides."""
        self.leaving: list[MsixVector] = []
        """Vectors that are given up while their NAPI was scheduled: it ends by itself, with nothing to poll."""
        self.gone = GoneQueues()
        self.max_queues = queues
        """What `ethtool -L` may ask for, though fewer CPUs be online."""
        self.transmit = Transmit(queues=count)
        self.bus_info = bus_info
        self.node = node
        """NUMA node whose memory the device writes frames to: a CPU of another node pays numa_cross for each one's first touch."""
        self.arrivals = Arrivals(dev, net.ledger, self.steering, wire, self.rings)
        self.turns = 0
        net.ledger.holders[dev.name] = self.held_frames
        dev.ndo_change_mtu = self.set_mtu
        dev.ndo_get_stats = lambda: self.advance(self.clock.reached_ns)

    # ---------------------------------------------------------------- its parts

    def new_ring(self, index: int, descriptors: int) -> RxRing:
        """A ring for queue `index`. ConfigError for an impossible size."""
        ring = RxRing(index, self.net.ledger, self.dev.statistics, descriptors)
        ring.events = self.net.events
        return ring

    def new_vector(self, index: int, moderation: Moderation) -> MsixVector:
        """Vector `index` with its NAPI, without rings. ConfigError when no CPU has a vector left."""
        vector = MsixVector(index, irq_number(index, self.irqs), self.dev.name, self.net, self.matrix, moderation)
        napi = IceNapi(self, vector)
        vector.napis.append(napi)
        self.dev.napis.append(napi)
        return vector

    def share_rings(self) -> None:
        """Give the rings to the vectors, as even as it goes; the first vectors take the rest."""
        first = 0
        for vector in self.vectors:
            share = -(-(len(self.rings) - first) // (len(self.vectors) - vector.index))
            vector.rings = self.rings[first : first + share]
            first += share

    # ---------------------------------------------------------------- arrivals

    def generate(self, until_ns: int) -> None:
        """Steer all frames up to `until_ns`, and a chunk beyond; tell armed vectors what comes."""
        if until_ns > self.arrivals.generated_ns:
            self.arrivals.generate(until_ns)
            for vector in self.vectors:
                if vector.armed:
                    self._send(vector, 0)

    def look(self, ring: RxRing, now_ns: int) -> int:
        """Let everything arrive that is due at `ring` by `now_ns`. Returns the frames in the ring."""
        self.generate(now_ns)
        return ring.advance(now_ns)

    def advance(self, now_ns: int) -> None:
        """Look at the whole NIC at `now_ns`: for samples and control writes.

        At time 0 of a machine that has not begun nothing is generated yet: what is set then holds for the first frame.
        """
        if now_ns <= 0 and self.arrivals.generated_ns < 0:
            return
        self.generate(now_ns)
        self.arrivals.settle_refused(now_ns)
        for ring in self.rings:
            ring.advance(now_ns)

    def held_frames(self) -> int:
        """Frames in the rings and in the NAPIs."""
        return sum(ring.fill for ring in self.rings) + sum(
            napi.held_frames() for vector in self.vectors + self.leaving for napi in vector.napis
        )

    def arrived_bytes(self) -> int:
        """Bytes of all frames that came to a ring, taken in or not."""
        return self.gone.bytes + sum(ring.accepted_bytes + ring.dropped_bytes for ring in self.rings)

    def skbs_of_leaving(self) -> int:
        """skbs that GRO handed over in NAPIs which are on their way out."""
        return sum(napi.delivered_skbs for vector in self.leaving for napi in vector.napis)

    # ---------------------------------------------------------------- interrupts

    def arm(self, vector: MsixVector, now_ns: int) -> None:
        """Unmask `vector` at `now_ns` (C4); its interrupt is on its way if its time is known."""
        if vector.gone:
            self.leaving.remove(vector)
            self.gone.skbs += sum(napi.delivered_skbs for napi in vector.napis)
            return
        self.generate(now_ns)
        vector.armed = True
        vector.armed_ns = now_ns
        self._send(vector, now_ns)
        self._wake_for(vector, now_ns)

    def _send(self, vector: MsixVector, not_before_ns: int) -> None:
        """Send the interrupt of an armed vector, or send it for an earlier time than before."""
        fire_ns = max(vector.fire_ns(), not_before_ns)
        irq = vector.in_flight
        if irq is not None:
            if irq.at_ns <= fire_ns:
                return
            irq.withdrawn = True
            vector.in_flight = None
        if fire_ns < NEVER:
            irq = Irq(vector, fire_ns)
            vector.in_flight = irq
            self.cpus[vector.cpu].send(irq, fire_ns, self.rank)

    def _send_anew(self, vector: MsixVector, now_ns: int) -> None:
        """Something changed at `now_ns`: what has not reached its CPU yet is sent again under the new settings."""
        if not vector.armed:
            return
        irq = vector.in_flight
        if irq is not None:
            if irq.at_ns <= now_ns:
                return
            irq.withdrawn = True
            vector.in_flight = None
        self._send(vector, now_ns + 1)
        self._wake_for(vector, now_ns)

    def _wake_for(self, vector: MsixVector, now_ns: int) -> None:
        """See that this actor has a turn for what an armed `vector` waits for, or else for the last refused frame."""
        arrivals = self.arrivals
        next_ns = arrivals.next_turn_ns() if self._needs_turn(vector) else arrivals.last_refused_ns()
        if next_ns < NEVER:
            self.clock.wake(self, max(next_ns, now_ns))

    def _needs_turn(self, vector: MsixVector) -> bool:
        """Armed, and a frame beyond what is generated could make it interrupt (sooner)."""
        if not vector.armed or self.arrivals.generated_ns == NEVER:
            return False
        irq = vector.in_flight
        if irq is not None and irq.at_ns <= self.arrivals.generated_ns:
            return False
        return all(ring.next_event_ns() == NEVER for ring in vector.rings)

    async def run(self) -> None:
        """The actor: arms its vectors, generates when an armed one waits for more than is known, and sees the last refused frame."""
        clock = self.clock
        await clock.enter(self, 0)
        for vector in self.vectors:
            self.arm(vector, self.local_now_ns)
        unsuspended = 0
        while True:
            next_ns = NEVER
            while any(self._needs_turn(vector) for vector in self.vectors):
                next_ns = self.arrivals.next_turn_ns()
                if next_ns > self.local_now_ns:
                    break
                self.generate(max(self.arrivals.generated_ns, self.local_now_ns) + 1)
                next_ns = NEVER
            if next_ns >= NEVER:
                # Nobody is interrupted for a frame that is refused: a run must not end before the last of them came.
                self.arrivals.settle_refused(self.local_now_ns)
                next_ns = self.arrivals.last_refused_ns()
            turns = clock.turns
            await clock.wait_open(self, next_ns)
            self.turns += 1
            if clock.turns != turns:
                unsuspended = 0
                continue
            unsuspended += 1
            if unsuspended >= CHECKPOINT_TURNS:
                unsuspended = 0
                await trio.lowlevel.checkpoint()

    # ---------------------------------------------------------------- settings

    def reconfigure(self, change: Callable[[], Any]) -> None:
        """Make `change` (of RSS, features, address, filters, MTU) at the clock's time: what arrived before is not touched by it.

        Whatever `change` raises comes out, and then nothing was steered anew.
        """
        now_ns = self.clock.now_ns
        self.advance(now_ns)
        change()
        self.arrivals.steer_anew(self.rings)
        for vector in self.vectors:
            self._send_anew(vector, now_ns)

    def change_sources(self, change: Callable[[int, list[list[Skb]]], list[Source]]) -> None:
        """Put other sources on the wire. Nothing that anybody has seen arrive is touched.

        `change` is told from when on, in ns, and for each source the frames that it gave for later times; it returns the
        new sources, which begin with what becomes of these. Whatever it raises comes out, and then nothing has changed.
        """
        now_ns = self.clock.now_ns
        self.advance(now_ns)
        from_ns = max(now_ns, *(ring.looked_ns for ring in self.rings))
        self.wire.change_sources(from_ns, self.arrivals.take_back(from_ns), lambda given: change(from_ns, given))
        for vector in self.vectors:
            self._send_anew(vector, now_ns)

    def set_mtu(self, mtu: int) -> None:
        """Change the MTU: buffers and the longest frame that is taken follow (C9). ControlError EINVAL outside MTU_MIN to MTU_MAX."""
        if not MTU_MIN <= mtu <= MTU_MAX:
            raise ControlError(EINVAL, f"an MTU of {mtu} is out of range: write {MTU_MIN} to {MTU_MAX}")

        def change() -> None:
            self.dev.mtu = mtu

        self.reconfigure(change)

    def set_affinity(self, index: int, mask: int) -> None:
        """Write smp_affinity of vector `index`. Raises ControlError. What is still under way goes to the new CPU."""
        vector = self.vectors[index]
        now_ns = self.clock.now_ns
        self.advance(now_ns)
        before = vector.cpu
        vector.set_affinity(mask)
        if vector.cpu != before:
            self._send_anew(vector, now_ns)

    @property
    def has_begun(self) -> bool:
        """Vectors are armed, or will be within this turn; before that `run` does it for all."""
        return self.arrivals.generated_ns >= 0

    def set_coalesce(
        self, rx_usecs: int | None = None, adaptive: bool | None = None, rx_usecs_high: int | None = None
    ) -> None:
        """ethtool -C: of all vectors. Raises ControlError, and then changes none."""
        if rx_usecs is not None:
            check_rx_usecs(rx_usecs)
        if rx_usecs_high is not None:
            check_rx_usecs_high(rx_usecs_high)
        now_ns = self.clock.now_ns
        self.advance(now_ns)
        for vector in self.vectors:
            vector.moderation.set(rx_usecs, adaptive, rx_usecs_high)
            self._send_anew(vector, now_ns)

    def cpu_offline(self, index: int, now_ns: int) -> None:
        """CPU `index` has gone at `now_ns`: its vectors move, with the interrupts it has not taken."""
        for vector in self.vectors:
            irq = vector.in_flight
            vector.leave(index)
            # It may have come here before the vector moved elsewhere.
            if irq is not None and irq.target == index:
                irq.withdrawn = True
                moved = Irq(vector, max(irq.at_ns, now_ns + 1))
                vector.in_flight = moved
                self.cpus[vector.cpu].send(moved, moved.at_ns, self.rank)

    def cpu_online(self, index: int) -> None:
        """CPU `index` is back: vectors whose affinity was lost do not return by themselves, as on Linux."""

    # ---------------------------------------------------------------- what others see

    def statistics(self) -> NicStatistics:
        """A copy of the numbers. Call `advance` first to see them as of a time."""
        return nic_statistics(self)
