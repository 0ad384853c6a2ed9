"""GroShape: what GRO can know of a frame from its `Headers` alone, worked out once and kept there.

Models: the sets of header fields by which GRO tells "same flow", "may merge" and "not worth comparing" (G9-G14, G21, K8).
Leaves out: what moves from frame to frame (IP id, sequence number, payload), which the merge functions look at.
Source: rules of section 6.

The kernel compares a new packet's fields with those of up to eight held ones. Here those fields are gathered into two byte
strings: `key` (differs: another flow) and `match` (differs: the same flow, but the held packet must go). All of it follows from
the bytes of the headers, never from a machine's settings, so that machines may share `Headers`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from msgspec import Struct

from emu.plain_struct import stores_directly

GRO_HASH_BUCKETS: Final = 8
"""Buckets of held packets a NAPI has; a power of two."""

GRO_PASS: Final = 0
"""Turned away before it is compared with anything: passes, and may overtake what is held (G6)."""
GRO_LOOK: Final = 1
"""Compared by `key`."""
GRO_DEEP: Final = 2
"""Headers do not tell: the frame's bytes are read again (tunnels, lengths that lie about where the headers end)."""

IP_ID_NONE: Final = 0
"""IPv6: no IP id."""
IP_ID_COUNTS: Final = 1
"""IPv4 without DF."""
IP_ID_FREE: Final = 2
"""IPv4 with DF: fixed or counting, as the second packet says."""

MergeFunction = Callable[[Any, Any, Any, "GroShape"], int]
"""(SoftnetData, GroHeld, new Skb, its shape) -> MERGE_* bits, see `softirq.gro_merge`."""


def never_merges(sd: Any, held: Any, skb: Any, shape: GroShape) -> int:
    """Passes, and leaves what is held alone."""
    return 0


@stores_directly
class GroShape(Struct, gc=False, eq=False, dict=False):
    """One of these per `Headers` (or, for GRO_DEEP, one per frame). What most packets need to know stands first, in one cache line."""

    kind: int
    """GRO_PASS, GRO_LOOK or GRO_DEEP."""
    bucket: int = 0
    """Bucket of `held_key`."""
    held_key: bytes = b""
    """`key` behind a raw hash and a stripped tag: those of the last frame, as they seldom change (see `key_for`)."""
    plain_hash: int | None = None
    """That raw hash (the very object), if there is one and packets without a tag are just held when nothing of their flow is; else
    None."""
    special: bool = True
    """More is to be done than a comparison by `key`: not GRO_LOOK, or `asks`."""
    csum_ok: bool = False
    """The transport checksum holds, or is not wanted (UDP without one)."""
    key: bytes = b""
    held_key_hash: int = -1
    held_key_vlan: int = -1
    match: bytes = b""
    word: bytes = b""
    """TCP's four bytes of data offset, flags and window, for frag-list GRO, which compares all of it."""
    flush: bool = False
    """The network header's length does not fit the frame, or its reserved bit is set: never merged, never held, but it ends what is
    held of its flow (G9, G12)."""
    holds: bool = False
    """May be held when nothing of its flow is (given a payload)."""
    closes: bool = False
    """TCP with URG, PSH, RST, SYN or FIN (G16)."""
    cwr: bool = False
    merges: bool = False
    """Nothing in this packet alone forbids merging it into one before it (lengths, CWR)."""
    tcp: bool = False
    ipv6: bool = False
    """The outermost network header is IPv6: which size limit holds (G23)."""
    asks: bool = False
    """The device and the sockets must be asked whether it may merge at all (UDP, G19)."""
    ip_id_rule: int = IP_ID_NONE
    gso_type: int = 0
    """SKB_GSO_* bits of a merged packet, without FIXEDID and ECN."""
    merge: MergeFunction = never_merges
    outer_ids: tuple[int, ...] = ()
    """IP ids of outer IPv4 headers without DF, outermost first: each must count up."""
    outer_header_bytes: int = 0
    """Tunnels: bytes from the outer network header to the inner one."""

    def key_for(self, raw_hash: int, vlan_tci: int) -> bytes:
        """`key` behind the raw hash (32 bits) and the stripped tag (-1: none): what a NAPI's held packets are found by (G2)."""
        if raw_hash == self.held_key_hash and vlan_tci == self.held_key_vlan:
            if self.plain_hash is not None:
                self.plain_hash = raw_hash
            return self.held_key
        self.held_key_hash = raw_hash
        self.held_key_vlan = vlan_tci
        self.bucket = raw_hash & GRO_HASH_BUCKETS - 1
        self.plain_hash = raw_hash if raw_hash and self.holds and not self.special and vlan_tci < 0 else None
        self.held_key = raw_hash.to_bytes(4, "big") + (vlan_tci + 1).to_bytes(5, "big") + self.key
        return self.held_key
