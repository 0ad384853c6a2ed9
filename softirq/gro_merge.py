"""Merging one skb into a held one: size limits and where the payload is stored.

Models: G22-G25: gro_max_size, BIG TCP, page fragments up to 17, frag_list, truesize; frag-list GRO.
Leaves out: page_pool mixtures (all skbs of a NAPI come from one pool), zero-copy skbs, GSO skbs from the device.
Source: net/core/gro.c, net/ipv4/udp_offload.c (6.9); kernel.md section 6.5.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from emu.headers import IPPROTO_TCP
from emu.skb import SPLIT_HEAD_TRUESIZE_BYTES, Skb
from softirq.device import GRO_LEGACY_MAX_SIZE_BYTES

if TYPE_CHECKING:
    from emu.gro_shape import GroShape
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


def skb_gro_receive(sd: SoftnetData, p: Skb, skb: Skb, length: int, held: GroShape) -> int:
    """Append `length` bytes of `skb`'s payload to `p`, whose shape is `held`. Returns MERGE_CHAINED, MERGE_FREED or, if too big, 0."""
    total = p.len_bytes + length
    dev = p.dev
    if held.ipv6:
        limit = dev.gro_max_size_bytes
    elif sd.net.rules.gro_ipv4_big_tcp:
        limit = dev.gro_ipv4_max_size_bytes
    else:
        limit = dev.gro_max_size_bytes
    if total >= limit or (total >= GRO_LEGACY_MAX_SIZE_BYTES and not _big_tcp(sd, p, held)):
        return 0
    last = p.gro_last or p
    frags = skb.frags
    if frags:  # the payload lies in page fragments already
        count = last.frags + frags
        saved = SPLIT_HEAD_TRUESIZE_BYTES
    else:  # the head becomes a fragment
        count = last.frags + 1 if skb.head_frag else MAX_SKB_FRAGS + 1
        saved = SKB_STRUCT_BYTES
    if count <= MAX_SKB_FRAGS:
        last.frags = count
        p.truesize_bytes += skb.truesize_bytes - saved
        bits = MERGE_FREED
    else:
        skb.chained = True
        p.gro_last = skb
        p.truesize_bytes += skb.truesize_bytes
        bits = MERGE_CHAINED
    if p.frames == 1:
        p.gso_size_bytes = p.payload_bytes
        p.segments = [skb]
    else:
        p.segments.append(skb)  # type: ignore[union-attr]
    p.frames += 1
    p.payload_bytes += length
    p.len_bytes = total
    return bits


def _big_tcp(sd: SoftnetData, p: Skb, held: GroShape) -> bool:
    """G23: may `p` pass 64 KiB? `held` is its shape."""
    if not held.tcp or held.outer_header_bytes:
        return False
    if sd.net.rules.gro_ipv4_big_tcp:
        return True
    hdr = p.hdr
    return held.ipv6 and not hdr.extension_headers and hdr.l4_protocol == IPPROTO_TCP


def skb_gro_receive_list(p: Skb, skb: Skb, length: int) -> int:
    """Chain `skb` as it is (rx-gro-list). Returns MERGE_CHAINED or, if too big, 0."""
    if p.len_bytes + skb.len_bytes >= GRO_LEGACY_MAX_SIZE_BYTES:
        return 0
    skb.chained = True
    p.gro_last = skb
    if p.frames == 1:
        p.gso_size_bytes = p.payload_bytes
        p.segments = [skb]
    else:
        p.segments.append(skb)  # type: ignore[union-attr]
    p.frames += 1
    p.payload_bytes += length
    p.len_bytes += length
    p.truesize_bytes += skb.truesize_bytes
    return MERGE_CHAINED
