"""The NIC: from the wire to the rings, and the interrupts that say so.

Models: frame checks (FCS, length), MAC filter, RSS, rings, vectors, moderation; a receive side that is advanced lazily.
Leaves out: transmit, flow control, bus and DMA delays, flow director.
Source: kernel.md sections 5 and 11, S13, S14; drivers/net/ethernet/intel/ice (6.9).

Arrivals are open-loop. They are generated in chunks ahead of time and steered to the list of their ring; they arrive when somebody
looks at a time (a poll, a sample, a control write). So a loaded NIC, whose vectors are masked, takes no turn at all: the polls
look, and generate what they need. Each ring is looked at by itself: its own CPU may be ahead of the others.

An armed vector's interrupt is sent with its future stamp as soon as its first frame is known. Only when none is known yet does the
NIC ask for a turn of its own, at the end of what is generated.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import trio

from emu.clock import NEVER, Actor
from emu.dropreason import DropReason
from emu.errors import ConfigError
from emu.headers import ETH_HLEN, Headers
from emu.skb import Skb
from nic.driver import IceNapi
from nic.moderation import DEFAULT_RX_USECS, Moderation, check_rx_usecs
from nic.ring import DEFAULT_DESCRIPTORS, RX_BUFFER_1536_BYTES, RX_BUFFER_3072_BYTES, RxRing
from nic.statistics import NicStatistics, QueueStatistics, VectorStatistics
from nic.steering import Steering
from nic.vector import Irq, MsixVector, VectorMatrix

if TYPE_CHECKING:
    from cpus.cpu import Cpu
    from nic.rss import Rss
    from nic.wire import Wire
    from softirq.device import NetDevice
    from softirq.net import Net

FCS_BYTES: Final = 4
FRAME_BYTES_MAX_STANDARD: Final = RX_BUFFER_1536_BYTES - FCS_BYTES
"""Longest frame (without FCS) the device takes with an MTU up to 1500: one buffer."""
FRAME_BYTES_MAX_JUMBO: Final = 9728 - FCS_BYTES
MTU_STANDARD_MAX: Final = 1500
MTU_MIN: Final = 68
MTU_MAX: Final = 9702

FIRST_CHUNK_NS: Final = 10_000
MAX_CHUNK_NS: Final = 1_000_000
MIN_CHUNK_NS: Final = 1_000
CHUNK_FRAMES: Final = 4096
"""A chunk with more frames halves the next one, one with less than an eighth doubles it."""

CHECKPOINT_TURNS: Final = 32
"""Turns the NIC may run on without suspending before it gives trio a checkpoint."""


class Nic(Actor):
    """A device `dev` on `wire`, with one ring per queue of `dev` and `vectors` vectors (default: one per queue).

    `net.softnet` and `cpus` are complete when it is built. Interrupt numbers count up from `first_irq`.
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
        first_irq: int = 32,
        bus_info: str = "0000:01:00.0",
    ) -> None:
        super().__init__(dev.name, rank)
        queues = len(dev.queues)
        count = queues if vectors is None else vectors
        if not 1 <= count <= queues:
            raise ConfigError(f"{dev.name}: {count} vectors for {queues} queues; use 1 to {queues}")
        self.net = net
        self.clock = net.clock
        self.cpus = cpus
        self.dev = dev
        self.wire = wire
        self.rss = rss
        self.steering = Steering(dev, rss)
        self.generated_ns = -1
        """Every frame up to this time is steered; NEVER when the sources are exhausted."""
        self.rings = [RxRing(index, net.ledger, dev.statistics, descriptors) for index in range(queues)]
        self.vectors = [
            MsixVector(index, first_irq + index, dev.name, net, matrix, Moderation(rx_usecs, adaptive_rx))
            for index in range(count)
        ]
        first = 0
        for vector in self.vectors:
            # As even as it goes, the first vectors take the rest.
            share = -(-(queues - first) // (count - vector.index))
            vector.rings = self.rings[first : first + share]
            first += share
            napi = IceNapi(self, vector)
            vector.napis.append(napi)
            dev.napis.append(napi)
        self.bus_info = bus_info
        self.filtered = 0
        """Frames the MAC filter refused."""
        self.turns = 0
        self._chunk_ns = FIRST_CHUNK_NS
        self._frame_bytes_max = FRAME_BYTES_MAX_STANDARD
        self._plain: dict[Headers, tuple[Callable[[Skb], None], int, int, int]] = {}
        """Headers of frames with nothing odd -> (append to the ring's list, hash, its kind, checksum state)."""
        self._refused: list[tuple[Skb, DropReason]] = []
        self._use_mtu()
        net.ledger.holders[dev.name] = self.held_frames

    # ---------------------------------------------------------------- arrivals

    def generate(self, until_ns: int) -> None:
        """Steer all frames up to `until_ns`, and a chunk beyond; tell armed vectors what comes."""
        if until_ns <= self.generated_ns:
            return
        next_ns = self.wire.next_ns()
        if next_ns == NEVER:
            self.generated_ns = NEVER
            return
        target_ns = until_ns + self._chunk_ns
        if next_ns > target_ns:
            # Nothing there for longer than a chunk: be back just before the next frame.
            self.generated_ns = next_ns - 1
            return
        frames = self.wire.fill(target_ns)
        self.generated_ns = target_ns
        count = len(frames)
        if count > CHUNK_FRAMES and self._chunk_ns > MIN_CHUNK_NS:
            self._chunk_ns //= 2
        elif count * 8 < CHUNK_FRAMES and self._chunk_ns < MAX_CHUNK_NS:
            self._chunk_ns *= 2
        self._settle_refused(until_ns)
        self._steer(frames)
        for vector in self.vectors:
            if vector.armed:
                self._send(vector, 0)

    def _steer(self, frames: list[Skb]) -> None:
        plain = self._plain.get
        limit = self._frame_bytes_max
        for skb in frames:
            known = plain(skb.hdr)
            if known is None or skb.wire_bytes > limit or skb.__class__ is not Skb:
                self._steer_slowly(skb)
                continue
            append, skb.hash, skb.hash_kind, skb.ip_summed = known
            append(skb)

    def _steer_slowly(self, skb: Skb) -> None:
        """A frame that is odd, damaged, or the first of its kind."""
        if skb.wire_bytes > self._frame_bytes_max or skb.wire_bytes < ETH_HLEN:
            self._refused.append((skb, DropReason.NIC_LENGTH))
            return
        if skb.__class__ is not Skb:
            self._refused.append((skb, DropReason.NIC_FCS))
            return
        hdr = skb.hdr
        verdict = self.steering.verdict(hdr)
        if verdict.queue < 0:
            self._refused.append((skb, DropReason.NIC_MAC_FILTER))
            return
        ring = self.rings[verdict.queue]
        skb.hash = verdict.hash
        skb.hash_kind = verdict.hash_kind
        skb.ip_summed = verdict.ip_summed
        if verdict.is_odd:
            ring.has_odd_frames = True
            self.steering.apply_odd(skb, verdict)
        else:
            if len(self._plain) >= 1 << 16:
                self._plain.clear()
            self._plain[hdr] = (ring.frames.append, verdict.hash, verdict.hash_kind, verdict.ip_summed)
        ring.frames.append(skb)

    def _settle_refused(self, until_ns: int) -> None:
        """Count the refused frames that are due by `until_ns` where the device counts them."""
        refused = self._refused
        if not refused or refused[0][0].arrived_ns > until_ns:
            return
        statistics = self.dev.statistics
        ledger = self.net.ledger
        count = 0
        for skb, reason in refused:
            if skb.arrived_ns > until_ns:
                break
            count += 1
            if reason is DropReason.NIC_MAC_FILTER:
                self.filtered += 1
            else:
                statistics.rx_errors += 1
                if reason is DropReason.NIC_FCS:
                    statistics.rx_crc_errors += 1
                else:
                    statistics.rx_length_errors += 1
            ledger.arrived_frames += 1
            ledger.drop(skb, reason)
        del refused[:count]

    def look(self, ring: RxRing, now_ns: int) -> int:
        """Let everything arrive that is due at `ring` by `now_ns`. Returns the frames in the ring."""
        if now_ns > self.generated_ns:
            self.generate(now_ns)
        return ring.advance(now_ns)

    def advance(self, now_ns: int) -> None:
        """Look at the whole NIC at `now_ns`: for samples and control writes.

        At time 0 of a machine that has not begun nothing is generated yet: what is set then holds for the first frame.
        """
        if now_ns <= 0 and self.generated_ns < 0:
            return
        if now_ns > self.generated_ns:
            self.generate(now_ns)
        self._settle_refused(now_ns)
        for ring in self.rings:
            ring.advance(now_ns)

    def held_frames(self) -> int:
        """Frames in the rings and in the NAPIs."""
        return sum(ring.fill for ring in self.rings) + sum(
            napi.held_frames() for vector in self.vectors for napi in vector.napis
        )

    # ---------------------------------------------------------------- interrupts

    def arm(self, vector: MsixVector, now_ns: int) -> None:
        """Unmask `vector` at `now_ns` (C4); its interrupt is on its way if its time is known."""
        if now_ns > self.generated_ns:
            self.generate(now_ns)
        vector.armed = True
        vector.armed_ns = now_ns
        self._send(vector, now_ns)
        if self._needs_turn(vector):
            self.clock.wake(self, self._turn_ns())

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
        if self._needs_turn(vector):
            self.clock.wake(self, max(self._turn_ns(), now_ns))

    def _needs_turn(self, vector: MsixVector) -> bool:
        """Armed, and a frame beyond what is generated could make it interrupt (sooner)."""
        if not vector.armed or self.generated_ns == NEVER:
            return False
        irq = vector.in_flight
        if irq is not None and irq.at_ns <= self.generated_ns:
            return False
        return all(ring.next_event_ns() == NEVER for ring in vector.rings)

    def _turn_ns(self) -> int:
        """When to generate more for a vector that waits: just before the next frame, at the end of what is generated at the soonest."""
        next_ns = self.wire.next_ns()
        return next_ns - 1 if self.generated_ns < next_ns < NEVER else max(self.generated_ns, next_ns)

    async def run(self) -> None:
        """The actor: arms its vectors, and generates when an armed one waits for more than is known."""
        clock = self.clock
        await clock.enter(self, 0)
        for vector in self.vectors:
            self.arm(vector, self.local_now_ns)
        unsuspended = 0
        while True:
            next_ns = NEVER
            while any(self._needs_turn(vector) for vector in self.vectors):
                next_ns = self._turn_ns()
                if next_ns > self.local_now_ns:
                    break
                self.generate(max(self.generated_ns, self.local_now_ns) + 1)
                next_ns = NEVER
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
        self.steering.forget()
        self._plain.clear()
        frames = [skb for skb, _ in self._refused]
        self._refused.clear()
        for ring in self.rings:
            frames += ring.withdraw_pending()
        frames.sort(key=_number)
        for skb in frames:
            self.steering.undo_odd(skb)
        self._use_mtu()
        self._steer(frames)
        for vector in self.vectors:
            self._send_anew(vector, now_ns)

    def set_mtu(self, mtu: int) -> None:
        """Change the MTU (68 to 9702): buffers and the longest frame that is taken follow (C9)."""

        def change() -> None:
            self.dev.mtu = mtu

        self.reconfigure(change)

    def _use_mtu(self) -> None:
        if self.dev.mtu <= MTU_STANDARD_MAX:
            buffer_bytes, self._frame_bytes_max = RX_BUFFER_1536_BYTES, FRAME_BYTES_MAX_STANDARD
        else:
            buffer_bytes, self._frame_bytes_max = RX_BUFFER_3072_BYTES, FRAME_BYTES_MAX_JUMBO
        for ring in self.rings:
            if ring.buffer_bytes != buffer_bytes:
                ring.use_buffers(buffer_bytes, self._frame_bytes_max)

    def set_affinity(self, index: int, mask: int) -> None:
        """Write smp_affinity of vector `index`. Raises ControlError. What is still under way goes to the new CPU."""
        vector = self.vectors[index]
        now_ns = self.clock.now_ns
        self.advance(now_ns)
        before = vector.cpu
        vector.set_affinity(mask)
        if vector.cpu != before:
            self._send_anew(vector, now_ns)

    def set_coalesce(self, rx_usecs: int | None = None, adaptive: bool | None = None) -> None:
        """ethtool -C: of all vectors. Raises ControlError, and then changes none."""
        if rx_usecs is not None:
            check_rx_usecs(rx_usecs)
        now_ns = self.clock.now_ns
        self.advance(now_ns)
        for vector in self.vectors:
            vector.moderation.set(rx_usecs, adaptive)
            self._send_anew(vector, now_ns)

    def cpu_offline(self, index: int, now_ns: int) -> None:
        """CPU `index` has gone at `now_ns`: its vectors move, with the interrupts it has not taken."""
        for vector in self.vectors:
            irq = vector.in_flight
            was_here = vector.cpu == index
            vector.leave(index)
            if was_here and irq is not None:
                irq.withdrawn = True
                moved = Irq(vector, max(irq.at_ns, now_ns + 1))
                vector.in_flight = moved
                self.cpus[vector.cpu].send(moved, moved.at_ns, self.rank)

    def cpu_online(self, index: int) -> None:
        """CPU `index` is back: vectors whose affinity was lost do not return by themselves, as on Linux."""

    # ---------------------------------------------------------------- what others see

    def statistics(self) -> NicStatistics:
        """A copy of the numbers. Call `advance` first to see them as of a time."""
        queues: list[QueueStatistics] = []
        vectors: list[VectorStatistics] = []
        for vector in self.vectors:
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
        return NicStatistics(self.dev.name, self.filtered, tuple(queues), tuple(vectors))


def _number(skb: Skb) -> int:
    return skb.number
