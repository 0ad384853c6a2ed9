"""What TCP queues: segments that grow by coalescing, and the collapsing of a queue that wastes memory.

Models: T4, T6: truesize of coalesced segments, page fragments up to 17, bytes copied into the tail's spare room, tcp_collapse.
Leaves out: page-pool fragments' own rules. The room in front of a frame is taken as NET_SKB_PAD (64 bytes), which drivers vary.
Source: net/ipv4/tcp_input.c tcp_try_coalesce, tcp_collapse; net/core/skbuff.c skb_try_coalesce (6.9).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from emu.headers import TCP_FIN
from emu.skb import SKB_TRUESIZE_OVERHEAD_BYTES, Skb

if TYPE_CHECKING:
    from cpus.cpu import Cpu

MAX_SKB_FRAGS: Final = 17
NET_SKB_PAD_BYTES: Final = 64
SKB_BYTES: Final = 256
"""An aligned sk_buff: what is not charged when a page-fragment head is taken over (G25)."""
COLLAPSED_BYTES: Final = 4096 - 320
"""Payload of one skb that tcp_collapse makes: a page less the shared info."""
KMALLOC_SIZES: Final = (512, 1024, 2048, 4096)
SEQ_MASK: Final = 0xFFFFFFFF
SEQ_HALF: Final = 1 << 31


def before(a: int, b: int) -> bool:
    """Sequence number `a` comes before `b` (modulo 2**32)."""
    return (a - b) & SEQ_MASK >= SEQ_HALF


def page_frags(skb: Skb) -> int:
    """Page fragments of `skb`; more than an skb can have if it has a frag_list."""
    segments = skb.segments
    if segments is not None and any(segment.chained for segment in segments):
        return MAX_SKB_FRAGS + 1
    return skb.frags


class Segment:
    """Queued data: bytes `seq` to `end_seq` (FIN included) of one or more skbs, charged as `truesize_bytes`."""

    __slots__ = (
        "cpus",
        "end_seq",
        "ends",
        "fin",
        "frags",
        "frames",
        "hdr",
        "head_frag",
        "seq",
        "skbs",
        "tailroom_bytes",
        "truesize_bytes",
    )

    def __init__(self, skb: Skb, cpu: Cpu) -> None:
        self.hdr = skb.hdr
        self.seq = skb.seq
        self.fin = (skb.hdr.tcp_flags | skb.tcp_flags_merged) & TCP_FIN != 0
        end_seq = (skb.seq + skb.payload_bytes + self.fin) & SEQ_MASK
        self.end_seq = end_seq
        self.truesize_bytes = skb.truesize_bytes
        self.head_frag = skb.head_frag
        frags = self.frags = page_frags(skb)
        """Page fragments; above 17 the skb has a frag_list and cannot be coalesced."""
        self.tailroom_bytes = (
            0
            if frags
            else max(skb.truesize_bytes - SKB_TRUESIZE_OVERHEAD_BYTES - NET_SKB_PAD_BYTES - skb.wire_bytes, 0)
        )
        self.frames = skb.frames
        self.skbs = [skb]
        self.ends = [end_seq]
        """end_seq of each skb."""
        self.cpus = [cpu]
        """CPU whose softirq queued each skb."""

    def try_coalesce(self, other: Segment) -> int:
        """Append `other`, which follows without a gap. Returns the truesize it adds, -1 if it must be an skb of its own (T6)."""
        if self.end_seq != other.seq or self.fin:
            return -1
        size = (other.end_seq - other.seq - other.fin) & SEQ_MASK
        if size <= self.tailroom_bytes:
            self.tailroom_bytes -= size
            added = 0
        else:
            frags = self.frags + other.frags + 1
            if not other.head_frag or frags > MAX_SKB_FRAGS:
                return -1
            self.frags = frags
            self.tailroom_bytes = 0
            added = max(other.truesize_bytes - SKB_BYTES, 0)
        self.truesize_bytes += added
        self.end_seq = other.end_seq
        self.fin = other.fin
        self.frames += other.frames
        self.skbs += other.skbs
        self.ends += other.ends
        self.cpus += other.cpus
        return added

    def append_skb(self, skb: Skb, size: int, end_seq: int, cpu: Cpu) -> int:
        """`try_coalesce` of one skb of `size` bytes without FIN that follows in sequence, without making a segment of it first."""
        if size <= self.tailroom_bytes:
            self.tailroom_bytes -= size
            added = 0
        else:
            frags = self.frags + page_frags(skb) + 1
            if not skb.head_frag or frags > MAX_SKB_FRAGS:
                return -1
            self.frags = frags
            self.tailroom_bytes = 0
            added = max(skb.truesize_bytes - SKB_BYTES, 0)
            self.truesize_bytes += added
        self.end_seq = end_seq
        self.frames += skb.frames
        self.skbs.append(skb)
        self.ends.append(end_seq)
        self.cpus.append(cpu)
        return added


def collapsed_truesize(size_bytes: int) -> int:
    """Truesize of a fresh skb for `size_bytes` of data (kmalloc)."""
    need = size_bytes + 320
    for bucket in KMALLOC_SIZES:
        if need <= bucket:
            return bucket + SKB_BYTES
    raise AssertionError(f"{size_bytes} bytes do not fit a collapsed skb")


def bloated(segment: Segment) -> bool:
    """Less than half of what the segment occupies is data, so that collapsing it pays."""
    return segment.truesize_bytes >> 1 > (segment.end_seq - segment.seq) & SEQ_MASK and not segment.fin


def collapse(queue: list[Segment]) -> tuple[int, int]:
    """tcp_collapse of a contiguous `queue`, in place, from its first bloated segment on. Returns (truesize saved, skbs collapsed)."""
    first = next((at for at, segment in enumerate(queue) if bloated(segment)), -1)
    if first < 0:
        return 0, 0
    last = first
    while last < len(queue) and not queue[last].fin:
        last += 1
    old = queue[first:last]
    made: list[Segment] = []
    before_bytes = sum(segment.truesize_bytes for segment in old)
    seq = old[0].seq
    end_seq = old[-1].end_seq
    pending = [
        (end, skb, cpu)
        for segment in old
        for end, skb, cpu in zip(segment.ends, segment.skbs, segment.cpus, strict=True)
    ]
    at = 0
    while seq != end_seq:
        size = min((end_seq - seq) & SEQ_MASK, COLLAPSED_BYTES)
        segment = Segment(pending[0][1], pending[0][2])
        segment.seq = seq
        seq = segment.end_seq = (seq + size) & SEQ_MASK
        segment.fin = False
        segment.truesize_bytes = collapsed_truesize(size)
        segment.head_frag = False
        segment.frags = 0
        segment.tailroom_bytes = COLLAPSED_BYTES - size
        segment.skbs, segment.ends, segment.cpus, segment.frames = [], [], [], 0
        while at < len(pending) and not before(seq, pending[at][0]):
            end, skb, cpu = pending[at]
            segment.ends.append(end)
            segment.skbs.append(skb)
            segment.cpus.append(cpu)
            segment.frames += skb.frames
            at += 1
        made.append(segment)
    saved = before_bytes - sum(segment.truesize_bytes for segment in made)
    if saved <= 0:
        return 0, 0
    queue[first:last] = made
    return saved, len(old)
