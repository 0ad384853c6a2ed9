"""Merging one skb into a held one: size limits and where the payload is stored.

Models: G22-G25: gro_max_size, BIG TCP, page fragments up to 17, frag_list, truesize; frag-list GRO.
Leaves out: page_pool mixtures (all skbs of a NAPI come from one pool), zero-copy skbs, GSO skbs from the device.
Source: net/core/gro.c, net/ipv4/udp_offload.c (6.9); rules of section 6.5.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from emu.gro_shape import GroShape
from emu.headers import IPPROTO_TCP
from emu.skb import SPLIT_HEAD_TRUESIZE_BYTES, Skb
from softirq.device import GRO_LEGACY_MAX_SIZE_BYTES

if TYPE_CHECKING:
    from softirq.softnet_data import SoftnetData

MAX_SKB_FRAGS: Final = 17
SKB_STRUCT_BYTES: Final = 256
"""An aligned sk_buff, freed when its head becomes a fragment (G25)."""

# What a merge function answers, added up.
MERGE_FINISH: Final = 1
"""Complete the held packet."""
MERGE_CHAINED: Final = 2
"""Merged, the skb itself lives on in frag_list: GRO_MERGED."""
MERGE_FREED: Final = 4
"""Merged, the skb is free: GRO_MERGED_FREE."""
MERGE_HOLD: Final = 8
"""Not merged: hold the new packet in its turn."""

_SEQ_MASK: Final = 0xFFFFFFFF


class GroHeld:
    """A held packet that has met a second one of its flow: what napi_gro_cb keeps, and the growing packet's sums.

    `finish` writes the sums into the skb. The size limit is read once, when this is made.
    """

    __slots__ = (
        "chained",
        "fixed_id",
        "flist",
        "frags",
        "frames",
        "id_step",
        "ip_id",
        "len_bytes",
        "limit_bytes",
        "mss",
        "next_id",
        "next_seq",
        "segments",
        "shape",
        "skb",
        "streaming",
        "truesize_bytes",
    )

    def __init__(self, sd: SoftnetData, skb: Skb) -> None:
        shape = skb.gro_shape or skb.hdr.gro_shape
        assert shape is not None
        self.skb = skb
        self.shape: GroShape = shape
        self.frames = 1
        self.mss = skb.payload_bytes
        """Payload of the first segment (G17)."""
        self.next_seq = (skb.seq + skb.payload_bytes) & _SEQ_MASK
        self.ip_id = skb.ip_id
        self.fixed_id = False
        """The segments all bear one IP id (G11)."""
        self.streaming = False
        """Set by the protocol: a packet of the same `Headers` and length, with next_seq and next_id, merges without its being asked."""
        self.next_id = 0
        self.id_step = 0
        """What next_id moves on by: 1 or 0."""
        self.flist = skb.gro_flist
        self.len_bytes = skb.len_bytes
        self.truesize_bytes = skb.truesize_bytes
        self.frags = skb.frags
        """Page fragments of the skb that grows: the packet itself or the last one on its frag_list."""
        self.chained = False
        """Something is on frag_list."""
        self.segments: list[Skb] = []
        self.limit_bytes = size_limit_bytes(sd, skb, shape)

    def finish(self) -> Skb:
        """Write the sums into the skb and return it."""
        skb = self.skb
        if self.frames > 1:
            skb.frames = self.frames
            skb.payload_bytes += self.len_bytes - skb.len_bytes
            skb.len_bytes = self.len_bytes
            skb.truesize_bytes = self.truesize_bytes
            skb.segments = self.segments
            skb.gso_size_bytes = self.mss
            if not self.chained and self.frags:
                skb.frags = self.frags
        return skb


def size_limit_bytes(sd: SoftnetData, skb: Skb, shape: GroShape) -> int:
    """Network-layer length that a packet beginning with `skb` stays below (G22, G23)."""
    dev = skb.dev
    big = sd.net.rules.gro_ipv4_big_tcp
    limit: int = dev.gro_ipv4_max_size_bytes if big and not shape.ipv6 else dev.gro_max_size_bytes
    if limit > GRO_LEGACY_MAX_SIZE_BYTES:
        hdr = skb.hdr
        grows = shape.tcp and not shape.outer_header_bytes
        if not big:
            grows = grows and shape.ipv6 and not hdr.extension_headers and hdr.l4_protocol == IPPROTO_TCP
        if not grows:
            return GRO_LEGACY_MAX_SIZE_BYTES
    return limit


def skb_gro_receive(held: GroHeld, skb: Skb, length: int) -> int:
    """Append `length` bytes of `skb`'s payload to what is held. Returns MERGE_CHAINED, MERGE_FREED or, if too big, 0."""
    total = held.len_bytes + length
    if total >= held.limit_bytes:
        return 0
    frags = skb.frags
    if not frags:  # the head becomes a fragment
        count = held.frags + 1 if skb.head_frag else MAX_SKB_FRAGS + 1
        saved = SKB_STRUCT_BYTES
    elif skb.split:
        count = held.frags + frags
        saved = SPLIT_HEAD_TRUESIZE_BYTES
    else:
        count = held.frags + 1 + frags if skb.head_frag else MAX_SKB_FRAGS + 1
        saved = SKB_STRUCT_BYTES
    if count <= MAX_SKB_FRAGS:
        held.frags = count
        held.truesize_bytes += skb.truesize_bytes - saved
        bits = MERGE_FREED
    else:
        chain(held, skb)
        bits = MERGE_CHAINED
    held.segments.append(skb)
    held.frames += 1
    held.len_bytes = total
    return bits


def chain(held: GroHeld, skb: Skb) -> None:
    """Put `skb` on frag_list; from now on its fragments grow."""
    skb.chained = True
    if not held.chained:
        held.chained = True
        if held.frags:
            held.skb.frags = held.frags
    held.frags = skb.frags
    held.truesize_bytes += skb.truesize_bytes


def skb_gro_receive_list(held: GroHeld, skb: Skb, length: int) -> int:
    """Chain `skb` as it is (rx-gro-list). Returns MERGE_CHAINED or, if too big, 0."""
    if held.len_bytes + skb.len_bytes >= GRO_LEGACY_MAX_SIZE_BYTES:
        return 0
    chain(held, skb)
    held.segments.append(skb)
    held.frames += 1
    held.len_bytes += length
    return MERGE_CHAINED
