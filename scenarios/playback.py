"""A capture as a source: what it holds for the local side, played at its own times, faster, or at a rate, once or again and again.

Models: open-loop replay. Leaves out: the other direction, and any answer to what the machine does: captured TCP does not slow down.

A capture is parsed once; a pass over it makes nothing but skbs. Captured lengths on the wire count, also where a snap length cut
the bytes off.

`spread` plays that many copies of every conversation side by side: copy 0 is the captured one, the peers of the others have
addresses of the networks set aside for benchmarks (198.18.0.0/15, 2001:2::/48), one per captured peer and copy, so that RSS sees
as many more flows. Frames whose headers are not sound, and fragments, are the same in all copies and passes.

When a pass begins again, TCP sequence numbers go on where the flow ended in the pass before: the same connection sends its bytes
on. A SYN takes the last number of the pass before, so the data behind it follow without a hole whether the stack takes the
SYN for a new connection or for an old duplicate. Timestamps in TCP options repeat.

A frame that differs from the captured one (another address or sequence number) has no bytes; `emu.headers.build` makes them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction
from ipaddress import ip_address
from pathlib import Path
from typing import Final

from emu.clock import NEVER
from emu.errors import CaptureError, ConfigError
from emu.headers import (
    ETH_HLEN,
    IPPROTO_ICMP,
    IPPROTO_ICMPV6,
    IPPROTO_TCP,
    IPPROTO_UDP,
    TCP_FIN,
    TCP_SYN,
    Frame,
    Headers,
    HeaderTable,
)
from emu.skb import Skb
from scenarios.capture_file import CapturedFrame, CaptureFile
from scenarios.capture_notes import CaptureNotes, count
from scenarios.capture_sides import CaptureSides, find_sides
from scenarios.flows import MAX_FLOWS
from scenarios.sources import (
    BLOCK_FRAMES,
    LINE_IDLE_NS,
    LINE_MASK,
    LINE_OVERHEAD_BYTES,
    LINE_SHIFT,
    BlockSource,
    check_span,
    line_time_per_byte,
)
from scenarios.timing import SECOND_NS, exact_rate

MAX_CAPTURE_BYTES: Final = 512 << 20
"""Captured bytes that are kept in memory; what the file holds beyond is left out and told."""
MAX_CAPTURE_FRAMES: Final = 2_000_000
MAX_SPREAD: Final = MAX_FLOWS
MAX_COPIED_HEADERS: Final = 1 << 17
"""Headers that all copies together may need, about 600 bytes each."""
MIN_SPEED: Final = 1e-6
MAX_SPEED: Final = 1e6
SHORTEST_PAUSE_NS: Final = 1000
"""Least time between the last frame of a pass and the first of the next, at recorded speed."""
LONE_FRAME_PASS_NS: Final = 1_000_000
"""Length of a pass over a single frame, which has no gap to take it from."""
FIRST_IPV4_PEER: Final = int(ip_address("198.18.0.1"))
IPV4_PEERS: Final = (1 << 17) - 2
FIRST_IPV6_PEER: Final = int(ip_address("2001:2::1"))
REWRITABLE: Final = frozenset((IPPROTO_TCP, IPPROTO_UDP, IPPROTO_ICMP, IPPROTO_ICMPV6))


class Recording:
    """The frames of a capture that are for the local side, parsed, with their times (ns from the capture's first frame)."""

    __slots__ = ("frames", "left_out_frames", "notes", "sides")

    def __init__(
        self, frames: list[tuple[int, Frame]], sides: CaptureSides, notes: CaptureNotes, left_out_frames: int
    ) -> None:
        self.frames = frames
        self.sides = sides
        self.notes = notes
        self.left_out_frames = left_out_frames
        """Behind the bound on memory."""

    def sentences(self) -> list[str]:
        """What the user should know about it: the sides, and what was odd or left out."""
        told = self.sides.sentences() + self.notes.sentences()
        if self.left_out_frames:
            told.append(f"{count(self.left_out_frames, 'frame')} left out: more than fit into memory.")
        return told


def load_recording(path: Path | str, table: HeaderTable, local: Iterable[str] = ()) -> Recording:
    """Read a capture. CaptureError if there is nothing to play, ConfigError for a wrong `local` address (see `find_sides`)."""
    capture = CaptureFile(path)
    return parse_recording(capture, capture, table, local)


def parse_recording(
    captured: Iterable[CapturedFrame], capture: CaptureFile | None, table: HeaderTable, local: Iterable[str] = ()
) -> Recording:
    """Parse `captured` and keep what is for the local side. The notes are those of `capture`, if there is one."""
    parsed: list[tuple[int, Frame]] = []
    room, left_out = MAX_CAPTURE_BYTES, 0
    for frame in captured:
        if len(parsed) == MAX_CAPTURE_FRAMES or room < len(frame.data):
            left_out += 1
            continue
        room -= len(frame.data)
        parsed.append((frame.time_ns, table.parse(frame.data, frame.wire_len)))
    sides = find_sides([frame for _, frame in parsed], local)
    kept = [(time_ns, frame) for time_ns, frame in parsed if sides.is_for_local(frame.hdr)]
    if not kept:
        raise CaptureError("no frame of the capture is for the local side.")
    first_ns = kept[0][0]
    notes = CaptureNotes() if capture is None else capture.notes
    return Recording([(time_ns - first_ns, frame) for time_ns, frame in kept], sides, notes, left_out)


class Playback(BlockSource):
    """A recording, played.

    Times are the recorded ones divided by `speed`; or with `pps` every frame comes 1 / pps after the one before. `repeat` passes
    are played, None for no end. With `spread` copies the frames of all copies come one after another, at recorded times
    evenly within the gap to the next captured frame: there the load is `spread` times the captured one; with `pps` it is as given.
    `start_ns`, `stop_ns`, `max_packets` and `line_gbps` are as in `SyntheticSource`.

    Raises ConfigError for a wrong setting.
    """

    __slots__ = (
        "_copies",
        "_frame",
        "_free_ns",
        "_lanes",
        "_line_rest",
        "_pass",
        "_pass_ns",
        "_per_byte",
        "_records",
        "_repeat",
        "_sent",
        "_start_ns",
        "_time_den",
        "_time_num",
    )

    def __init__(
        self,
        recording: Recording,
        *,
        speed: float = 1.0,
        pps: float | None = None,
        repeat: int | None = 1,
        spread: int = 1,
        start_ns: int = 0,
        stop_ns: int = NEVER,
        max_packets: int | None = None,
        line_gbps: float | None = None,
        where: str = "playback",
    ) -> None:
        check_span(start_ns, stop_ns, max_packets, where)
        if not MIN_SPEED <= speed <= MAX_SPEED:
            raise ConfigError(f"{where}: speed {speed} is out of range, it must be 0.000001 to 1000000.")
        if repeat is not None and repeat < 1:
            raise ConfigError(f"{where}: repeat {repeat} is out of range, it must be 1 or more.")
        if not 1 <= spread <= MAX_SPREAD:
            raise ConfigError(f"{where}: spread {spread} is out of range, it must be 1 to {MAX_SPREAD:,}.")
        super().__init__(stop_ns, max_packets)
        self._per_byte = line_time_per_byte(line_gbps, where)
        self._free_ns = LINE_IDLE_NS
        self._line_rest = 0
        self._start_ns = start_ns
        self._repeat = NEVER if repeat is None else repeat
        self._lanes = spread
        if pps is None:
            factor = Fraction(speed).limit_denominator(1_000_000)
            self._time_num, self._time_den = factor.denominator, factor.numerator
        else:
            period = SECOND_NS / exact_rate(pps, where)
            self._time_num, self._time_den = period.numerator, period.denominator
        self._pass = 0
        self._frame = 0
        self._sent = 0
        frames = recording.frames
        last_ns = frames[-1][0]
        pause_ns = max(last_ns // (len(frames) - 1), SHORTEST_PAUSE_NS) if len(frames) > 1 else LONE_FRAME_PASS_NS
        self._pass_ns = last_ns + pause_ns
        if pps is not None:
            # Without times of its own a frame's place is its number.
            self._pass_ns = len(frames) * spread
        index: dict[int, int] = {}
        unique: list[Headers] = []
        for _, frame in frames:
            if id(frame.hdr) not in index:
                index[id(frame.hdr)] = len(unique)
                unique.append(frame.hdr)
        if len(unique) * (spread - 1) > MAX_COPIED_HEADERS:
            most = 1 + MAX_COPIED_HEADERS // len(unique)
            raise ConfigError(
                f"{where}: spread {spread} needs more memory than is allowed, this capture can be spread {most}-fold."
            )
        self._copies = copy_headers(unique, spread, where)
        steps = _sequence_steps(frame for _, frame in frames)
        self._records: list[tuple[int, int, int, int, int, int, int, int, bytes | None]] = []
        for number, (time_ns, frame) in enumerate(frames):
            next_ns = frames[number + 1][0] if number + 1 < len(frames) else last_ns + pause_ns
            place, gap = (time_ns, next_ns - time_ns) if pps is None else (number * spread, spread)
            step = steps.get(frame.hdr.flow, 0) if is_rewritable(frame.hdr) else 0
            self._records.append(
                (
                    place,
                    gap,
                    index[id(frame.hdr)],
                    frame.wire_bytes,
                    frame.payload_bytes,
                    frame.ip_id,
                    frame.seq,
                    step,
                    frame.data,
                )
            )
        lengths = [frame.wire_bytes for _, frame in frames]
        self.longest_bytes = max(lengths) if min(lengths) >= ETH_HLEN else None
        self._begin()

    def _make(self) -> list[Skb]:
        records, copies, lanes = self._records, self._copies, self._lanes
        captured = copies[0]
        start, num, den = self._start_ns, self._time_num, self._time_den
        per_byte, free, rest = self._per_byte, self._free_ns, self._line_rest
        out: list[Skb] = []
        append = out.append
        while len(out) < BLOCK_FRAMES:
            if self._frame == len(records):
                self._frame = 0
                self._pass += 1
            passes = self._pass
            if passes >= self._repeat:
                break
            base = passes * self._pass_ns
            first = self._frame
            self._frame = stop = min(first + max((BLOCK_FRAMES - len(out)) // lanes, 1), len(records))
            for place, gap, which, wire, payload, ip_id, seq, step, data in records[first:stop]:
                place += base
                own: Headers | None = captured[which]
                if step and passes:
                    seq = (seq + passes * step) & 0xFFFFFFFF
                    own = None  # the captured bytes hold another sequence number
                for lane in range(lanes):
                    at = start + (place + gap * lane // lanes) * num // den
                    if per_byte:
                        rest += (wire + LINE_OVERHEAD_BYTES) * per_byte
                        free += rest >> LINE_SHIFT
                        if free < at:
                            free = at
                            rest = 0
                        else:
                            at = free
                            rest &= LINE_MASK
                    hdr = copies[lane][which]
                    append(Skb(hdr, 0, wire, payload, ip_id, seq, at, data if hdr is own else None, wire - ETH_HLEN))
        self._free_ns, self._line_rest = free, rest
        return out


def copy_headers(unique: Sequence[Headers], spread: int, where: str = "playback") -> list[list[Headers]]:
    """For each copy from 0 to `spread` - 1 the headers in the order of `unique`: the same ones for copy 0 and for what cannot be
    rewritten, else ones with the peer's address of that copy. ConfigError if there are not enough addresses."""
    copies = [list(unique)]
    taken = {address for hdr in unique for address in (hdr.saddr, hdr.daddr)}
    peers = list(dict.fromkeys(hdr.saddr for hdr in unique if is_rewritable(hdr)))
    next_ipv4, next_ipv6 = FIRST_IPV4_PEER, FIRST_IPV6_PEER
    for _ in range(1, spread):
        addresses: dict[bytes, bytes] = {}
        for peer in peers:
            address = peer
            while address in taken:
                if len(peer) == 4:
                    if next_ipv4 >= FIRST_IPV4_PEER + IPV4_PEERS:
                        raise ConfigError(
                            f"{where}: spread {spread} needs {len(peers) * (spread - 1):,} addresses of peers, "
                            f"there are {IPV4_PEERS:,}."
                        )
                    address = next_ipv4.to_bytes(4, "big")
                    next_ipv4 += 1
                else:
                    address = next_ipv6.to_bytes(16, "big")
                    next_ipv6 += 1
            addresses[peer] = address
            taken.add(address)
        copies.append([with_source(hdr, addresses[hdr.saddr]) if is_rewritable(hdr) else hdr for hdr in unique])
    return copies


def is_rewritable(hdr: Headers) -> bool:
    """Whether another source address gives a sound frame again: whole and true headers of TCP, UDP or ICMP, no fragment."""
    return (
        hdr.version != 0
        and hdr.ip_problem is None
        and not hdr.fragment
        and not hdr.extension_headers
        and hdr.l4_protocol in REWRITABLE
        and hdr.l4_header_whole
        and hdr.l4_csum_ok
        and hdr.l4_bytes_lie == 0
    )


def with_source(hdr: Headers, saddr: bytes) -> Headers:
    """A copy with another source address: what the parser gives for such a frame. Checksums are no part of headers; they are sound
    in the copy as in the original."""
    new = Headers.__new__(Headers)
    for name in Headers.__slots__:
        setattr(new, name, getattr(hdr, name))
    new.forget()
    at = hdr.network_offset + (12 if hdr.version == 4 else 8)
    new.template = hdr.template[:at] + saddr + hdr.template[at + len(saddr) :]
    new.saddr = saddr
    protocol, _, daddr, sport, dport = hdr.flow
    new.flow = (protocol, saddr, daddr, sport, dport)
    return new


def _sequence_steps(frames: Iterable[Frame]) -> dict[tuple[int, bytes, bytes, int, int], int]:
    """Flow -> how far its TCP sequence numbers move on in one pass."""
    spans: dict[tuple[int, bytes, bytes, int, int], list[int]] = {}
    for frame in frames:
        hdr = frame.hdr
        if hdr.l4_protocol != IPPROTO_TCP or not is_rewritable(hdr):
            continue
        syn, fin = bool(hdr.tcp_flags & TCP_SYN), bool(hdr.tcp_flags & TCP_FIN)
        span = spans.get(hdr.flow)
        if span is None:
            span = spans[hdr.flow] = [frame.seq, 0, 0, 0]
        first = span[0]
        # Signed distance from the flow's first frame: numbers wrap around, and an earlier segment may come later.
        low = (frame.seq - first + (1 << 31) & 0xFFFFFFFF) - (1 << 31)
        span[1] = min(span[1], low)
        span[2] = max(span[2], low + frame.payload_bytes + syn + fin)
        span[3] |= syn
    return {flow: high - low - syn for flow, (_, low, high, syn) in spans.items()}
