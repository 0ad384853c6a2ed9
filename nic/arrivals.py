"""Arrivals: frames taken from the wire in chunks, ahead of time, and laid on the list of their ring or of the refused.

Models: frame checks (FCS, length), the verdict of `nic.steering` for each frame, the device's error counters.
Leaves out: flow control.
Source: rules of section 5, C5, C9; ethernet/intel/ice (6.9) for lengths.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from emu.clock import NEVER
from emu.dropreason import DropReason
from emu.headers import ETH_HLEN
from emu.skb import Skb
from nic.ring import RX_BUFFER_1536_BYTES, RX_BUFFER_3072_BYTES, RxRing

if TYPE_CHECKING:
    from emu.ledger import Ledger
    from emu.trace import PacketTrace
    from nic.steering import Steering
    from nic.wire import Wire
    from softirq.device import NetDevice

FCS_BYTES: Final = 4
FRAME_BYTES_MAX_STANDARD: Final = RX_BUFFER_1536_BYTES - FCS_BYTES
"""Longest frame (without FCS) the device takes with an MTU up to 1500: one buffer."""
FRAME_BYTES_MAX_JUMBO: Final = 9728 - FCS_BYTES
MTU_STANDARD_MAX: Final = 1500

FIRST_CHUNK_NS: Final = 10_000
MAX_CHUNK_NS: Final = 1_000_000
MIN_CHUNK_NS: Final = 1_000
CHUNK_FRAMES: Final = 512
"""A chunk with more frames halves the next one, one with less than an eighth doubles it."""


class Arrivals:
    """Frames of `wire` on their way to `rings`. Nothing here counts as arrived before its time is looked at."""

    __slots__ = (
        "_dev",
        "_frame_bytes_max",
        "_ledger",
        "_refused",
        "_rings",
        "_steering",
        "_wire",
        "chunk_ns",
        "filtered",
        "generated_ns",
        "trace",
    )

    def __init__(self, dev: NetDevice, ledger: Ledger, steering: Steering, wire: Wire, rings: list[RxRing]) -> None:
        self._dev = dev
        self._ledger = ledger
        self._steering = steering
        self._wire = wire
        self._rings = rings
        self.generated_ns = -1
        """Every frame up to this time is steered; NEVER when the sources are exhausted."""
        self.filtered = 0
        """Frames the MAC filter refused."""
        self.chunk_ns = FIRST_CHUNK_NS
        self._frame_bytes_max = FRAME_BYTES_MAX_STANDARD
        self._refused: list[tuple[Skb, DropReason]] = []
        self.trace: PacketTrace | None = None
        self._use_mtu()

    def generate(self, until_ns: int) -> None:
        """Steer all frames up to `until_ns` (later than `generated_ns`), and a chunk beyond."""
        next_ns = self._wire.next_ns()
        if next_ns == NEVER:
            self.generated_ns = NEVER
            return
        target_ns = until_ns + self.chunk_ns
        if next_ns > target_ns:
            # Nothing there for longer than a chunk: be back just before the next frame.
            self.generated_ns = next_ns - 1
            return
        frames = self._wire.fill(target_ns, min(ring.looked_ns for ring in self._rings))
        if self.trace is not None:
            self.trace.generated(frames)
        self.generated_ns = target_ns
        count = len(frames)
        if count > CHUNK_FRAMES and self.chunk_ns > MIN_CHUNK_NS:
            self.chunk_ns //= 2
        elif count * 8 < CHUNK_FRAMES and self.chunk_ns < MAX_CHUNK_NS:
            self.chunk_ns *= 2
        self.settle_refused(until_ns)
        longest = self._wire.longest_bytes
        if longest is None or longest > self._frame_bytes_max:
            self._steer_checked(frames)
        else:
            self._steer(frames)

    def next_turn_ns(self) -> int:
        """When to generate more for somebody who waits: just before the next frame, at the end of what is generated at the soonest."""
        next_ns = self._wire.next_ns()
        return next_ns - 1 if self.generated_ns < next_ns < NEVER else max(self.generated_ns, next_ns)

    def _steer_checked(self, frames: list[Skb]) -> None:
        """Refuse frames for their length or check sequence, steer the others."""
        limit = self._frame_bytes_max
        sound: list[Skb] = []
        damaged: list[tuple[Skb, DropReason]] = []
        for skb in frames:
            if skb.wire_bytes > limit or skb.wire_bytes < ETH_HLEN:
                damaged.append((skb, DropReason.NIC_LENGTH))
            elif type(skb) is not Skb:
                damaged.append((skb, DropReason.NIC_FCS))
            else:
                sound.append(skb)
        self._steer(sound)
        if damaged:
            self._refused += damaged
            # Among those of the MAC filter, in order of arrival again.
            self._refused.sort(key=lambda one: one[0].number)

    def _steer(self, frames: list[Skb]) -> None:
        """Lay sound frames on the lists of their rings, or of the refused."""
        for skb in frames:
            lane = skb.hdr.lane
            if lane is None or lane.arrivals is not self:
                self._steer_slowly(skb)
                continue
            skb.hash = lane.hash
            skb.hash_kind = lane.hash_kind
            skb.ip_summed = lane.ip_summed
            lane.frames.append(skb)

    def _steer_slowly(self, skb: Skb) -> None:
        """A frame that is odd, or the first of its kind."""
        hdr = skb.hdr
        verdict = self._steering.verdict(hdr)
        if verdict.queue < 0:
            self._refused.append((skb, DropReason.NIC_MAC_FILTER))
            return
        ring = self._rings[verdict.queue]
        skb.hash = verdict.hash
        skb.hash_kind = verdict.hash_kind
        skb.ip_summed = verdict.ip_summed
        if not verdict.is_plain:
            ring.is_plain = False
        if verdict.is_odd:
            ring.has_odd_frames = True
            self._steering.apply_odd(skb, verdict)
        else:
            # The frames after this one find their lane at once.
            verdict.arrivals = self
            verdict.frames = ring.frames
            hdr.lane = verdict
        ring.frames.append(skb)

    def settle_refused(self, until_ns: int) -> None:
        """Count the refused frames that are due by `until_ns` where the device counts them."""
        refused = self._refused
        if not refused or refused[0][0].arrived_ns > until_ns:
            return
        statistics = self._dev.statistics
        ledger = self._ledger
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

    def last_refused_ns(self) -> int:
        """When the last frame that is refused and not counted yet arrives, NEVER if there is none or more frames may come."""
        if not self._refused or self._wire.next_ns() < NEVER:
            return NEVER
        return self._refused[-1][0].arrived_ns

    def steer_anew(self, rings: list[RxRing]) -> None:
        """Settings have changed: decide again on all frames that have not arrived. They go to `rings` from now on."""
        self._steering.forget()
        frames = self._withdraw(-1)
        self._rings = rings
        self._use_mtu()
        self._steer_checked(frames)

    def take_back(self, after_ns: int) -> list[Skb]:
        """Frames that arrive later than `after_ns` are no longer on their way. Returns them as the wire gave them."""
        frames = self._withdraw(after_ns)
        self.generated_ns = after_ns
        return frames

    def _withdraw(self, after_ns: int) -> list[Skb]:
        frames = [skb for skb, _ in self._refused if skb.arrived_ns > after_ns]
        self._refused = [one for one in self._refused if one[0].arrived_ns <= after_ns]
        for ring in self._rings:
            frames += ring.withdraw_pending(after_ns)
        frames.sort(key=_number)
        for skb in frames:
            self._steering.undo_odd(skb)
        return frames

    def _use_mtu(self) -> None:
        if self._dev.mtu <= MTU_STANDARD_MAX:
            buffer_bytes, self._frame_bytes_max = RX_BUFFER_1536_BYTES, FRAME_BYTES_MAX_STANDARD
        else:
            buffer_bytes, self._frame_bytes_max = RX_BUFFER_3072_BYTES, FRAME_BYTES_MAX_JUMBO
        for ring in self._rings:
            if ring.buffer_bytes != buffer_bytes:
                ring.use_buffers(buffer_bytes, self._frame_bytes_max)


def _number(skb: Skb) -> int:
    return skb.number
