"""Sources of frames: what the wire asks for the next arrivals.

Models: constant, Poisson and on-off traffic over many flows, trains of TCP segments, several sources on one link, the link's speed.
Leaves out: peers that answer; what is sent does not depend on what happens to it.

A source makes its frames in blocks, always in the same order, and hands them out up to the time asked for: the frames
cannot depend on how often, or how far ahead, somebody asks.
"""

from __future__ import annotations

import random
from bisect import bisect_right
from collections.abc import Sequence
from fractions import Fraction
from itertools import repeat
from operator import attrgetter
from typing import Final, Protocol

from emu.clock import NEVER
from emu.errors import ConfigError
from emu.headers import ETH_HLEN
from emu.skb import Skb
from scenarios.counters import Counters, EvenCounters, StandingCounters, UnevenCounters, pick
from scenarios.flows import FlowSet
from scenarios.sizes import FCS_BYTES, Sizes
from scenarios.timing import SECOND_NS, Timing

BLOCK_FRAMES: Final = 128
LINE_OVERHEAD_BYTES: Final = 24
"""Preamble 8, inter-frame gap 12, FCS 4: what a frame takes on the line besides its `wire_bytes` (IEEE 802.3)."""
LINE_SHIFT: Final = 20
"""Line times are kept in 2**-20 ns: a byte at 10 Gbit/s is 0.8 ns."""
LINE_MASK: Final = (1 << LINE_SHIFT) - 1
LINE_IDLE_NS: Final = -SECOND_NS
"""Nothing was on the line for long: the first frame comes at its own time."""
MAX_LINE_GBPS: Final = 10_000
MAX_TRAIN_FRAMES: Final = 4096
FIRST_WINDOW_NS: Final = 10_000

_arrived = attrgetter("arrived_ns")


class Source(Protocol):
    """Frames in the order of their arrival, each with the time at which its last bit was on the wire."""

    def fill(self, until_ns: int) -> list[Skb]:
        """All frames with `arrived_ns <= until_ns` that were not handed out yet, in order.

        Their `number` counts from 0 or is 0: the wire numbers those of several sources, or of one that does not.
        """

    def next_ns(self) -> int:
        """Arrival of the first frame not handed out yet; NEVER when there is none."""

    @property
    def longest_bytes(self) -> int | None:
        """No frame is longer, none is damaged or shorter than an Ethernet header; None if it cannot promise that."""


def traffic_rng(seed: int, name: str, use: str = "") -> random.Random:
    """The random stream of the source `name`; `use` tells its streams apart (`times`, `flows`, `sizes`)."""
    return random.Random(f"{seed}/traffic/{name}/{use}" if use else f"{seed}/traffic/{name}")


def line_time_per_byte(line_gbps: float | None, where: str) -> int:
    """What a byte takes on the line, in 2**-20 ns, rounded up; 0 without a limit. ConfigError if it is not a speed."""
    if line_gbps is None:
        return 0
    if not 0.001 <= line_gbps <= MAX_LINE_GBPS:
        raise ConfigError(
            f"{where}: a line of {line_gbps} Gbit/s is out of range, it must be 0.001 to {MAX_LINE_GBPS}."
        )
    exact = Fraction(8 << LINE_SHIFT) / Fraction(line_gbps).limit_denominator(1_000_000)
    return -(-exact.numerator // exact.denominator)


def line_ns(wire_bytes: int, per_byte: int) -> int:
    """What a frame takes on the line, in ns, rounded up."""
    return -(-(wire_bytes + LINE_OVERHEAD_BYTES) * per_byte >> LINE_SHIFT)


class BlockSource:
    """Hands out frames from blocks that a subclass makes one after another in `_make`; an empty block is the end.

    Frames that would arrive at `stop_ns` or later are not sent, nor more than `max_packets`. A subclass calls `_begin` when it
    is ready to make the first block.
    """

    __slots__ = ("_at", "_done", "_left", "_ready", "_stop_ns", "longest_bytes")

    def __init__(self, stop_ns: int = NEVER, max_packets: int | None = None) -> None:
        self._ready: list[Skb] = []
        self._at = 0
        self._done = False
        self._stop_ns = stop_ns
        self._left = NEVER if max_packets is None else max_packets
        self.longest_bytes: int | None = None

    def _begin(self) -> None:
        self._ready = self._block()

    def _make(self) -> list[Skb]:
        raise NotImplementedError

    def _block(self) -> list[Skb]:
        if self._done:
            return []
        out = self._make()
        if len(out) >= self._left:
            del out[self._left :]
            self._done = True
        self._left -= len(out)
        if out and out[-1].arrived_ns >= self._stop_ns:
            del out[bisect_right(out, self._stop_ns - 1, key=_arrived) :]
            self._done = True
        return out

    def next_ns(self) -> int:
        """Arrival of the first frame not handed out yet; NEVER when there is none."""
        return self._ready[self._at].arrived_ns if self._ready else NEVER

    def fill(self, until_ns: int) -> list[Skb]:
        """All frames with `arrived_ns <= until_ns` that were not handed out yet."""
        ready, at = self._ready, self._at
        if not ready or ready[at].arrived_ns > until_ns:
            return []
        if ready[-1].arrived_ns > until_ns:
            self._at = end = bisect_right(ready, until_ns, at, key=_arrived)
            return ready[at:end]
        out = ready[at:] if at else ready
        while True:
            ready = self._block()
            if not ready or ready[-1].arrived_ns > until_ns:
                break
            out += ready
        at = 0
        if ready and ready[0].arrived_ns <= until_ns:
            at = bisect_right(ready, until_ns, key=_arrived)
            out += ready[:at]
        self._ready, self._at = ready, at
        return out


class SyntheticSource(BlockSource):
    """Frames of `flows`, at the times of `timing`, as long as `sizes` says.

    Frames arrive at start + time, or as soon after the frame before as the line lets them (`line_gbps`, None for no limit);
    those that would arrive at `stop_ns` or later are not sent, nor more than `max_packets`. With `train_frames` > 1
    each time is that of a whole train: frames of one flow back to back at line speed, the last with PSH if `train_psh`; so the
    timing's rate is one of trains. `rng` chooses the flows.

    Raises ConfigError for a wrong setting.
    """

    __slots__ = (
        "_flows",
        "_idle_ns",
        "_ip_ids",
        "_is_even",
        "_line_free_ns",
        "_line_rest",
        "_made",
        "_per_byte",
        "_rng",
        "_seqs",
        "_sizes",
        "_start_ns",
        "_timing",
        "_train",
        "_train_psh",
    )

    def __init__(
        self,
        flows: FlowSet,
        timing: Timing,
        sizes: Sizes,
        rng: random.Random,
        *,
        start_ns: int = 0,
        stop_ns: int = NEVER,
        max_packets: int | None = None,
        line_gbps: float | None = None,
        train_frames: int = 1,
        train_psh: bool = True,
        where: str = "traffic",
    ) -> None:
        check_span(start_ns, stop_ns, max_packets, where)
        smallest = flows.header_bytes + FCS_BYTES
        if sizes.smallest < smallest:
            raise ConfigError(
                f"{where}: frames of {sizes.smallest} bytes are too short, the headers alone need {smallest}."
            )
        if not 1 <= train_frames <= MAX_TRAIN_FRAMES:
            raise ConfigError(f"{where}: a train of {train_frames} frames, it must be 1 to {MAX_TRAIN_FRAMES}.")
        if train_frames > 1 and line_gbps is None:
            raise ConfigError(f"{where}: a train runs at line speed, so the line's speed (line_gbps) must be given.")
        super().__init__(stop_ns, max_packets)
        self._flows = flows
        self._timing = timing
        self._sizes = sizes
        self.longest_bytes = sizes.largest - FCS_BYTES
        self._is_even = sizes.smallest == sizes.largest
        """All frames have the same length."""
        self._ip_ids: Counters = EvenCounters(flows.ip_ids, 1, 16) if flows.version == 4 else StandingCounters()
        self._seqs: Counters = StandingCounters()
        if flows.is_tcp:
            payload = sizes.smallest - smallest
            self._seqs = EvenCounters(flows.seqs, payload, 32) if self._is_even else UnevenCounters(flows.seqs, 32)
        self._rng = rng
        self._start_ns = start_ns
        self._per_byte = line_time_per_byte(line_gbps, where)
        self._idle_ns = line_ns(self.longest_bytes, self._per_byte)
        """A frame that comes longer than this after the one before finds the line idle, however long it is."""
        self._line_free_ns = LINE_IDLE_NS
        self._line_rest = 0
        """When the frame before was through: whole ns, and the rest in 2**-20 ns."""
        self._made = 0
        """Frames made so far: the next one's number."""
        self._train = train_frames
        self._train_psh = train_psh and flows.is_tcp
        self._begin()

    def _make(self) -> list[Skb]:
        flows, train = self._flows, self._train
        trains = max(BLOCK_FRAMES // train, 1)
        count = trains * train
        wires = self._sizes.wire_bytes(count)
        times = self._timing.times(trains)
        if self._start_ns:
            start = self._start_ns
            times = [start + at for at in times]
        chosen = flows.choose(self._rng, trains)
        hdrs = pick(flows.hdrs, chosen)
        if train > 1:
            times = [at for at in times for _ in range(train)]
            hdrs = [hdr for hdr in hdrs for _ in range(train)]
            if self._train_psh:
                hdrs[train - 1 :: train] = pick(flows.psh_hdrs, chosen)
            chosen = [flow for flow in chosen for _ in range(train)]
        if self._per_byte:
            self._space(times, wires)
        header = flows.header_bytes
        if self._is_even:
            payloads = [wires[0] - header] * count
            lengths = [wires[0] - ETH_HLEN] * count
        else:
            payloads = [wire - header for wire in wires]
            lengths = [wire - ETH_HLEN for wire in wires]
        ip_ids = self._ip_ids.take(chosen, lengths)
        seqs = self._seqs.take(chosen, payloads)
        numbers = range(self._made, self._made + count)
        self._made = numbers.stop
        return list(map(Skb, hdrs, numbers, wires, payloads, ip_ids, seqs, times, repeat(None), lengths))

    def _space(self, times: list[int], wires: list[int]) -> None:
        """Make `times`, at which frames are to be sent, those at which they are through: each as soon as the line lets it."""
        per_byte, idle_ns = self._per_byte, self._idle_ns
        free_ns, rest = self._line_free_ns, self._line_rest
        last_wire = whole_ns = part = 0
        for index, at in enumerate(times):
            if at - free_ns > idle_ns:
                # Most find the line idle: even the longest would not have to wait.
                free_ns = at
                rest = 0
                continue
            wire = wires[index]
            if wire != last_wire:
                last_wire = wire
                whole_ns, part = divmod((wire + LINE_OVERHEAD_BYTES) * per_byte, 1 << LINE_SHIFT)
            free_ns += whole_ns
            rest += part
            if rest > LINE_MASK:
                rest &= LINE_MASK
                free_ns += 1
            if free_ns < at:
                free_ns = at
                rest = 0
            times[index] = free_ns
        self._line_free_ns, self._line_rest = free_ns, rest


class MergedSource(BlockSource):
    """Several sources on one link. At equal times the source named first goes first; `line_gbps` is the link's speed."""

    __slots__ = ("_line_free_ns", "_line_rest", "_per_byte", "_sources", "_window_ns")

    def __init__(self, sources: Sequence[Source], line_gbps: float | None = None, where: str = "traffic") -> None:
        super().__init__()
        self._sources = list(sources)
        self._per_byte = line_time_per_byte(line_gbps, where)
        self._line_free_ns = LINE_IDLE_NS
        self._line_rest = 0
        self._window_ns = FIRST_WINDOW_NS
        """How far a block looks ahead; it follows the rate, so that a block is neither tiny nor huge. It changes no frame."""
        self._begin()

    def _make(self) -> list[Skb]:
        first_ns = min((source.next_ns() for source in self._sources), default=NEVER)
        if first_ns >= NEVER:
            return []
        until_ns = first_ns + self._window_ns
        out: list[Skb] = []
        for source in self._sources:
            if source.next_ns() <= until_ns:
                out += source.fill(until_ns)
        out.sort(key=_arrived)
        if len(out) < BLOCK_FRAMES // 4:
            self._window_ns = min(self._window_ns * 2, NEVER >> 8)
        elif len(out) > BLOCK_FRAMES * 4:
            self._window_ns = self._window_ns // 2 or 1
        per_byte = self._per_byte
        if per_byte:
            free, rest = self._line_free_ns, self._line_rest
            for skb in out:
                rest += (skb.wire_bytes + LINE_OVERHEAD_BYTES) * per_byte
                free += rest >> LINE_SHIFT
                if free < skb.arrived_ns:
                    free = skb.arrived_ns
                    rest = 0
                else:
                    skb.arrived_ns = free
                    rest &= LINE_MASK
            self._line_free_ns, self._line_rest = free, rest
        return out


def check_span(start_ns: int, stop_ns: int, max_packets: int | None, where: str) -> None:
    """ConfigError unless the source has a time to run and something to send."""
    if not 0 <= start_ns < NEVER:
        raise ConfigError(f"{where}: it starts at {start_ns} ns, it must be 0 or later.")
    if stop_ns <= start_ns:
        raise ConfigError(f"{where}: it stops at {stop_ns} ns, which is not after its start at {start_ns} ns.")
    if max_packets is not None and max_packets < 1:
        raise ConfigError(f"{where}: {max_packets} packets, it must be 1 or more.")
