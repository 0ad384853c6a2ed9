"""TCP's part of GRO.

Models: G12-G18: which segments merge, which end the held packet, which may be held; frag-list GRO for TCP from 6.12 on.
Leaves out: TLS-decrypted segments, segments that the device merged.
Source: net/ipv4/tcp_offload.c (6.1, 6.9, 6.12, 6.18); rules of section 6.3.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from emu.gro_shape import IP_ID_FREE, IP_ID_NONE, GroShape
from emu.headers import TCP_CWR, TCP_FIN, TCP_PSH, TCP_RST, TCP_SYN, TCP_URG
from softirq.gro_merge import MERGE_FINISH, MERGE_HOLD, GroHeld, skb_gro_receive, skb_gro_receive_list

if TYPE_CHECKING:
    from emu.headers import Headers
    from emu.skb import Skb
    from softirq.softnet_data import SoftnetData

GRO_LIST_MAX_SEGMENTS: Final = 64
"""Segments a frag-list packet takes."""
_CLOSING: Final = TCP_FIN | TCP_SYN | TCP_RST | TCP_PSH | TCP_URG
_COMPARED_FLAGS: Final = [bytes((flags & ~(TCP_CWR | TCP_FIN | TCP_PSH),)) for flags in range(256)]
"""Of each byte of flags those in which merged segments may not differ."""
_SEQ_MASK: Final = 0xFFFFFFFF


class TcpOffload:
    """What TCP GRO asks of the sockets: `established(sd, skb)` says whether a connection of this host matches. One for all families."""

    __slots__ = ("established",)

    def __init__(self) -> None:
        self.established: Callable[[SoftnetData, Skb], bool] | None = None


def tcp_gro_shape(shape: GroShape, hdr: Headers) -> None:
    """Add TCP's part to `shape`, whose network part is done. `hdr` has a whole TCP header."""
    template = hdr.template
    at = hdr.l4_offset
    flags = hdr.tcp_flags
    flushes = shape.flush
    shape.tcp = True
    shape.special = False
    shape.csum_ok = hdr.l4_csum_ok
    shape.key += template[at : at + 4]
    shape.match += template[at + 8 : at + 13] + _COMPARED_FLAGS[flags] + template[at + 14 : at + 16] + hdr.tcp_options
    shape.word = template[at + 12 : at + 16]
    shape.cwr = cwr = flags & TCP_CWR != 0
    shape.closes = closes = flags & _CLOSING != 0
    shape.holds = not (closes or flushes)
    shape.merges = not (cwr or flushes)
    shape.merge = tcp_gro_receive


def tcp_gro_receive(sd: SoftnetData, held: GroHeld, skb: Skb, shape: GroShape) -> int:
    """`skb` meets the held packet of its flow. Returns MERGE_* bits."""
    length = skb.payload_bytes
    first = held.shape
    if (
        shape.merges
        and 0 < length <= held.mss
        and skb.seq == held.next_seq
        and (first is shape or first.match == shape.match)
    ):
        rule = shape.ip_id_rule
        mergeable = True
        if rule != IP_ID_NONE:
            distance = (skb.ip_id - held.ip_id) & 0xFFFF
            if distance or held.frames > 1:
                mergeable = distance == (0 if held.fixed_id else held.frames)
            else:
                mergeable = held.fixed_id = rule == IP_ID_FREE or sd.net.rules.gro_fixed_id_without_df
        if shape.outer_ids and mergeable:
            mergeable = outer_ids_count(held, shape)
        if first.cwr and mergeable:
            mergeable = not sd.net.rules.gro_checks_cwr_difference
        if mergeable:
            bits = _chain(held, skb, length, shape) if held.flist else skb_gro_receive(held, skb, length)
            if bits:
                held.next_seq = (held.next_seq + length) & _SEQ_MASK
                if shape.closes:
                    held.skb.tcp_flags_merged |= skb.hdr.tcp_flags & (TCP_FIN | TCP_PSH)
                    return bits | MERGE_FINISH
                if length < held.mss:
                    return bits | MERGE_FINISH
                if shape is first and not (held.flist or shape.outer_ids):
                    held.id_step = 0 if held.fixed_id or rule == IP_ID_NONE else 1
                    held.next_id = (skb.ip_id + held.id_step) & 0xFFFF
                    held.streaming = True
                return bits
    if length > 0 and shape.holds:
        if held.flist != skb.gro_flist:
            skb.gro_flist = held.flist
        return MERGE_FINISH | MERGE_HOLD
    return MERGE_FINISH


def outer_ids_count(held: GroHeld, shape: GroShape) -> bool:
    """Do the ids of the outer headers without DF count up?"""
    frames = held.frames
    return all((new - old) & 0xFFFF == frames for new, old in zip(shape.outer_ids, held.shape.outer_ids, strict=True))


def _chain(held: GroHeld, skb: Skb, length: int, shape: GroShape) -> int:
    """rx-gro-list: segments stay as they are, so nothing at all may differ in their flags and checksum states."""
    first = held.skb
    if (
        shape.word != held.shape.word
        or skb.ip_summed != first.ip_summed
        or skb.csum_level != first.csum_level
        or held.frames >= GRO_LIST_MAX_SEGMENTS
    ):
        return 0
    return skb_gro_receive_list(held, skb, length)
