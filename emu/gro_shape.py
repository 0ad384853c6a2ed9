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


class GroFront:
    """What most packets need to know of their shape: the slots of a base class lie side by side at the front of an object."""

    __slots__ = ("bucket", "held_key", "plain_hash")

    bucket: int
    """Bucket of `held_key`."""
    held_key: bytes
    """`key` behind a raw hash and a stripped tag: those of the last frame, as they seldom change (see `key_for`)."""
    plain_hash: int | None
    """That raw hash (the very object), if there is one and packets without a tag are just held when nothing of their flow is; else
    None."""


class GroShape(GroFront):
    """One of these per `Headers` (or, for GRO_DEEP, one per frame)."""

    __slots__ = (
        "asks",
        "closes",
        "csum_ok",
        "cwr",
        "flush",
        "gso_type",
        "held_key_hash",
        "held_key_vlan",
        "holds",
        "ip_id_rule",
        "ipv6",
        "key",
        "kind",
        "match",
        "merge",
        "merges",
        "outer_header_bytes",
        "outer_ids",
        "special",
        "tcp",
        "word",
    )

    def __init__(self, kind: int) -> None:
        self.bucket = 0
        self.held_key = b""
        self.plain_hash = None
        self.kind = kind
        """GRO_PASS, GRO_LOOK or GRO_DEEP."""
        self.special = kind != GRO_LOOK
        """More is to be done than a comparison by `key`: not GRO_LOOK, or `asks`."""
        self.csum_ok = False
        """The transport checksum holds, or is not wanted (UDP without one)."""
        self.key = b""
        self.held_key_hash = -1
        self.held_key_vlan = -1
        self.match = b""
        self.word = b""
        """TCP's four bytes of data offset, flags and window, for frag-list GRO, which compares all of it."""
        self.flush = False
        """The network header's length does not fit the frame, or its reserved bit is set: never merged, never held, but it ends what is
        held of its flow (G9, G12)."""
        self.holds = False
        """May be held when nothing of its flow is (given a payload)."""
        self.closes = False
        """TCP with URG, PSH, RST, SYN or FIN (G16)."""
        self.cwr = False
        self.merges = False
        """Nothing in this packet alone forbids merging it into one before it (lengths, CWR)."""
        self.tcp = False
        self.ipv6 = False
        """The outermost network header is IPv6: which size limit holds (G23)."""
        self.asks = False
        """The device and the sockets must be asked whether it may merge at all (UDP, G19)."""
        self.ip_id_rule = IP_ID_NONE
        self.gso_type = 0
        """SKB_GSO_* bits of a merged packet, without FIXEDID and ECN."""
        self.merge: MergeFunction = never_merges
        self.outer_ids: tuple[int, ...] = ()
        """IP ids of outer IPv4 headers without DF, outermost first: each must count up."""
        self.outer_header_bytes = 0
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
