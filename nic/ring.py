"""A receive ring: descriptors the hardware may fill, frames that wait in it, frames that are still on the wire.

Models: C6 (refill at the end of a clean, the tail register in multiples of 8), C7 (no descriptor: dropped and counted by the device),
frames of several descriptors (C5), rings that are taken down and up (`ethtool -G`, `-L`).
Leaves out: DMA and write-back delay; a frame is in the ring at the instant its last bit was on the wire.

Arrivals are known ahead of time, so one list holds both: `frames[head:tail]` lie in the ring, `frames[tail:]` have not been
looked at. A frame enters the ring by moving `tail`, at no cost of its own.
"""

from __future__ import annotations

from bisect import bisect_right
from operator import attrgetter
from typing import TYPE_CHECKING, Final

from emu.clock import NEVER
from emu.dropreason import DropReason
from emu.errors import ConfigError
from emu.events import QUIET_NS
from emu.flow_name import flow_name
from emu.trace import packet_number
from nic.flow_sample import FlowSample

if TYPE_CHECKING:
    from emu.events import EventLog
    from emu.ledger import Ledger
    from emu.skb import Skb
    from softirq.device import DeviceStatistics

DEFAULT_DESCRIPTORS: Final = 2048
MIN_DESCRIPTORS: Final = 64
MAX_DESCRIPTORS: Final = 8160
DESCRIPTOR_MULTIPLE: Final = 32
TAIL_MULTIPLE: Final = 8
"""The tail register takes multiples of 8 only."""

RX_BUFFER_1536_BYTES: Final = 1536
RX_BUFFER_3072_BYTES: Final = 3072
"""Buffer of a descriptor with an MTU up to 1500, and above (C9)."""

_TRIM_FRAMES: Final = 128

_arrived_ns = attrgetter("arrived_ns")
_DROP: Final = DropReason.NIC_RING_FULL


class RxRing:
    """One receive queue's ring of `descriptors` (64 to 8160, rounded up to a multiple of 32 as `ethtool -G` does).

    One descriptor always stays unused, and the hardware sees the rest in multiples of 8: a ring of 2048 holds 2040 frames.
    Raises ConfigError for a size out of bounds.
    """

    __slots__ = (
        "accepted",
        "available",
        "buffer_bytes",
        "cleaned",
        "descriptors",
        "discarded",
        "discarded_bytes",
        "dropped",
        "dropped_bytes",
        "events",
        "frame_bytes_max",
        "frames",
        "has_odd_frames",
        "head",
        "index",
        "is_plain",
        "ledger",
        "looked_ns",
        "next_to_use",
        "peak",
        "polled",
        "polled_bytes",
        "refused_ns",
        "sample",
        "statistics",
        "tail",
    )

    def __init__(
        self, index: int, ledger: Ledger, statistics: DeviceStatistics, descriptors: int = DEFAULT_DESCRIPTORS
    ) -> None:
        self.index = index
        self.ledger = ledger
        self.statistics = statistics
        self.buffer_bytes = RX_BUFFER_1536_BYTES
        self.frame_bytes_max = RX_BUFFER_1536_BYTES
        """No frame that is steered here is longer."""
        self.frames: list[Skb] = []
        self.head = 0
        self.tail = 0
        self._make(descriptors)
        self.accepted = 0
        self.dropped = 0
        self.dropped_bytes = 0
        self.discarded = 0
        self.discarded_bytes = 0
        """Frames that lay here when the ring was taken down."""
        self.events: EventLog | None = None
        """Where the machine notes that the ring overflows."""
        self.refused_ns = -QUIET_NS - 1
        self.looked_ns = -1
        """Up to here somebody has seen what arrived."""
        self.polled = 0
        self.polled_bytes = 0
        self.peak = 0
        """Most frames that were in the ring at a time."""
        self.sample = FlowSample()
        self.has_odd_frames = False
        """A frame with a packet type other than host was steered here once."""
        self.is_plain = True
        """All that was ever steered here is to this host, has an L4 hash and a checksum that the device vouched for, and no tag taken off
        (`Verdict.is_plain`): what holds of every frame that `take` gives need not be asked of each."""

    def _make(self, descriptors: int) -> None:
        if not MIN_DESCRIPTORS <= descriptors <= MAX_DESCRIPTORS:
            nearest = MIN_DESCRIPTORS if descriptors < MIN_DESCRIPTORS else MAX_DESCRIPTORS
            raise ConfigError(f"rx ring {self.index}: {descriptors} descriptors; the nearest possible is {nearest}")
        self.descriptors = -(-descriptors // DESCRIPTOR_MULTIPLE) * DESCRIPTOR_MULTIPLE
        self.next_to_use = self.descriptors - 1
        """Descriptors given back so far; the hardware knows of them up to a multiple of 8."""
        self.available = self.next_to_use // TAIL_MULTIPLE * TAIL_MULTIPLE
        """Descriptors the hardware may still fill."""
        self.cleaned = 0
        """Descriptors the driver emptied and has not given back."""

    def remake(self, descriptors: int) -> None:
        """Take the ring down and up again with `descriptors`, between two polls: what lies in it is lost (NIC_RESET), the counters go on.

        What a CPU that worked ahead let in is in the ring too. Raises ConfigError as the constructor, and then nothing has changed.
        """
        self._make(descriptors)
        lost = self.frames[self.head : self.tail]
        del self.frames[: self.tail]
        self.head = self.tail = 0
        self.discarded += len(lost)
        self.discarded_bytes += sum([skb.wire_bytes for skb in lost])
        for skb in lost:
            self.ledger.drop(skb, DropReason.NIC_RESET)

    @property
    def fill(self) -> int:
        """Frames in the ring."""
        return self.tail - self.head

    @property
    def pending(self) -> int:
        """Frames steered here that nobody has looked at yet."""
        return len(self.frames) - self.tail

    @property
    def accepted_bytes(self) -> int:
        """Bytes of the frames that came into the ring, up to the end of the driver's last clean."""
        return (
            self.polled_bytes + self.discarded_bytes + sum(skb.wire_bytes for skb in self.frames[self.head : self.tail])
        )

    def advance(self, until_ns: int) -> int:
        """Let the frames that are due by `until_ns` arrive, in order: into the ring while it has descriptors, else dropped.

        Returns the frames in the ring. A frame counts as arrived from here on.
        """
        if until_ns > self.looked_ns:
            self.looked_ns = until_ns
        frames = self.frames
        tail = self.tail
        count = len(frames)
        if tail == count or frames[tail].arrived_ns > until_ns:
            return tail - self.head
        end = tail + 1
        if end < count and frames[end].arrived_ns <= until_ns:
            end = bisect_right(frames, until_ns, end + 1, key=_arrived_ns)
        due = end - tail
        self.ledger.arrived_frames += due
        if self.frame_bytes_max > self.buffer_bytes:
            self._accept_long(end)
        else:
            available = self.available
            taken = due if due <= available else max(available, 0)
            self.available = available - taken
            self.tail = tail + taken
            if taken < due:
                self._drop(frames[tail + taken : end])
                del frames[tail + taken : end]
        self.accepted += self.tail - tail
        fill = self.tail - self.head
        if fill > self.peak:
            self.peak = fill
        return fill

    def _accept_long(self, end: int) -> None:
        """As `advance`, for frames that may need several descriptors: one whose descriptors are not all there is dropped."""
        frames = self.frames
        due = frames[self.tail : end]
        taken: list[Skb] = []
        refused: list[Skb] = []
        for skb in due:
            needed = -(-skb.wire_bytes // self.buffer_bytes)
            if needed <= self.available:
                self.available -= needed
                taken.append(skb)
            else:
                refused.append(skb)
        frames[self.tail : end] = taken
        self.tail += len(taken)
        if refused:
            self._drop(refused)

    def _drop(self, refused: list[Skb]) -> None:
        self.dropped += len(refused)
        self.dropped_bytes += sum([skb.wire_bytes for skb in refused])
        first_ns = refused[0].arrived_ns
        if self.events is not None and first_ns - self.refused_ns > QUIET_NS:
            first = packet_number(refused[0])
            self.events.note(
                first_ns,
                None,
                f"rx-{self.index} is full: {self.fill} frames wait, drops pkt {first}: {_DROP.name}, "
                f"{flow_name(refused[0].hdr.flow)}",
            )
        self.refused_ns = refused[-1].arrived_ns
        self.statistics.rx_missed_errors += len(refused)
        ledger = self.ledger
        if ledger.on_drop is None:
            ledger.dropped_frames[_DROP] += len(refused)
        else:
            for skb in refused:
                ledger.drop(skb, _DROP)

    def take(self, limit: int) -> list[Skb]:
        """The oldest frames in the ring, at most `limit`, to the driver. Their descriptors wait for `refill`."""
        head = self.head
        end = head + limit
        if end > self.tail:
            end = self.tail
        self.head = end
        batch = self.frames[head:end]
        if self.frame_bytes_max > self.buffer_bytes:
            self.cleaned += sum(-(-skb.wire_bytes // self.buffer_bytes) for skb in batch)
        else:
            self.cleaned += end - head
        self.polled += end - head
        return batch

    def refill(self) -> int:
        """Give all cleaned descriptors back (the caller has let everything arrive that was due before). Returns how many."""
        cleaned = self.cleaned
        before = self.next_to_use // TAIL_MULTIPLE
        self.next_to_use += cleaned
        self.cleaned = 0
        self.available += (self.next_to_use // TAIL_MULTIPLE - before) * TAIL_MULTIPLE
        if self.head >= _TRIM_FRAMES:
            del self.frames[: self.head]
            self.tail -= self.head
            self.head = 0
        return cleaned

    def next_event_ns(self) -> int:
        """When the oldest frame that the driver has not taken arrived or will arrive; NEVER if none is known."""
        frames = self.frames
        return frames[self.head].arrived_ns if self.head < len(frames) else NEVER

    def withdraw_pending(self, after_ns: int = -1) -> list[Skb]:
        """Take back the frames that have not arrived, and will not by `after_ns`, to steer them anew."""
        start = bisect_right(self.frames, after_ns, self.tail, key=_arrived_ns)
        pending = self.frames[start:]
        del self.frames[start:]
        return pending

    def use_buffers(self, buffer_bytes: int, frame_bytes_max: int) -> None:
        """From now on a descriptor's buffer takes `buffer_bytes`, and no frame longer than `frame_bytes_max` is steered here.

        The caller has let arrive what was due. Frames in the ring give back the descriptors they were charged.
        """
        in_use = self.descriptors_in_use()
        self.buffer_bytes = buffer_bytes
        self.frame_bytes_max = frame_bytes_max
        # A driver takes its rings down and up for this: what lies in them is counted anew, in the new buffers. Where they need more
        # of those than there are, nothing arrives before enough was cleaned.
        self.available += in_use - self.descriptors_in_use()

    def descriptors_in_use(self) -> int:
        """Descriptors that frames in the ring occupy."""
        if self.frame_bytes_max <= self.buffer_bytes:
            return self.tail - self.head
        return sum(-(-skb.wire_bytes // self.buffer_bytes) for skb in self.frames[self.head : self.tail])
