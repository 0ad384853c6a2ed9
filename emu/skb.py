"""sk_buff: one packet (or, after GRO, several) on its way up.

Models: the fields that the receive path decides by. Leaves out: paged data as such (`segments` remembers what was merged), dst, conntrack.
Source: include/linux/skbuff.h (6.9), rules U9-U12, G24-G25.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct

from emu.headers import Headers
from emu.plain_struct import stores_directly

if TYPE_CHECKING:
    from emu.gro_shape import GroShape

CHECKSUM_NONE: Final = 0
CHECKSUM_UNNECESSARY: Final = 1
CHECKSUM_COMPLETE: Final = 2
CHECKSUM_PARTIAL: Final = 3

HASH_NONE: Final = 0
HASH_L3: Final = 1
"""The NIC hashed addresses only: not used for steering (H1)."""
HASH_L4: Final = 2
HASH_SW: Final = 3
"""Computed by the flow dissector."""

PACKET_HOST: Final = 0
PACKET_BROADCAST: Final = 1
PACKET_MULTICAST: Final = 2
PACKET_OTHERHOST: Final = 3

SKB_TRUESIZE_OVERHEAD_BYTES: Final = 256 + 320
"""Aligned sk_buff and skb_shared_info on x86-64 (U9)."""
BUILD_SKB_TRUESIZE_BYTES: Final = 2048 + 256
"""build_skb on half a page: whatever the packet's length (U12)."""
SPLIT_HEAD_TRUESIZE_BYTES: Final = SKB_TRUESIZE_OVERHEAD_BYTES + 192
"""An skb that holds headers only, its payload in page fragments: 128 bytes and headroom."""


class Received:
    """Where skbs came in; shared by all of a burst."""

    __slots__ = ("cpu", "dev", "queue")

    def __init__(self, dev: Any, queue: int = 0, cpu: int = 0) -> None:
        self.dev = dev
        """The NetDevice (a type of a higher floor)."""
        self.queue = queue
        self.cpu = cpu
        """Index of the CPU that polled."""


NOWHERE: Final = Received(None)


@stores_directly
class Skb(Struct, gc=False, eq=False, dict=False):
    """A packet. `len_bytes` is the kernel's skb->len after eth_type_trans: from the network header (or VLAN tag) to the end.

    A msgspec Struct, because one is made per packet: its constructor and its defaults cost half of what a plain class takes.
    """

    hdr: Headers
    number: int
    """Number of its (first) frame in the run, from 0."""
    wire_bytes: int
    payload_bytes: int
    ip_id: int
    seq: int
    arrived_ns: int
    """When its last bit was on the wire; 0 for the hand-operated device."""
    data: bytes | None
    """The frame's bytes, or None for a synthetic frame (see `emu.headers.build`)."""
    len_bytes: int

    hash: int = 0
    hash_kind: int = HASH_NONE
    ip_summed: int = CHECKSUM_NONE
    truesize_bytes: int = BUILD_SKB_TRUESIZE_BYTES
    pkt_type: int = PACKET_HOST
    received: Received = NOWHERE
    """Where it came in: see `dev`, `rx_queue` and `alloc_cpu`."""
    vlan_tci: int = -1
    """Tag stripped by the NIC: protocol << 16 | tci; -1 without."""
    head_frag: bool = True
    """Head is a page fragment (build_skb), not kmalloc (G24)."""
    frags: int = 0
    """Page fragments: those the driver attached (behind what the head holds, see `split`), then those GRO added."""
    vlans_removed: int = 0
    """Tags of the frame itself that the demux has taken off (skb_vlan_untag)."""
    rps_table: Any = None
    """Flow table whose entry `rps_slot` is to learn the backlog tail (B5); set between steering and enqueue."""
    rps_slot: int = 0
    frames: int = 1
    """Wire frames in this skb: more than 1 after GRO merged."""
    stage_ns: int = 0
    """When the present stage began (posted to a backlog, queued to a socket)."""
    rx_ns: int = 0
    """When the driver picked it from the ring."""
    plain: int = 0
    """Behind steering: its ethertype, if it is what `Napi.plain` says; else 0."""

    # GRO: what describes a merged packet. While it is held, its `GroHeld` knows better (softirq/gro_merge.py).
    csum_level: int = 0
    """CHECKSUM_UNNECESSARY: checksums verified beyond the first."""
    split: bool = False
    """The head holds headers only: all payload lies in `frags`."""
    gro_age_ns: int = 0
    """When it was held."""
    gro_shape: GroShape | None = None
    """Shape of this frame alone, where its `Headers` cannot tell (GRO_DEEP)."""
    gro_flist: bool = False
    """Merged by frag_list, each segment as it came (rx-gro-list)."""
    chained: bool = False
    """Hangs on frag_list of the packet it was merged into."""
    encapsulation: bool = False
    """skb->encapsulation: merged behind a tunnel header."""
    gso_size_bytes: int = 0
    gso_segs: int = 0
    gso_type: int = 0
    tcp_flags_merged: int = 0
    """FIN and PSH, ORed in by merged segments (G15)."""
    segments: list[Skb] | None = None
    """The skbs merged behind this one, in order of sequence."""

    @property
    def dev(self) -> Any:
        """The NetDevice it came in on."""
        return self.received.dev

    @property
    def rx_queue(self) -> int:
        """Receive queue it came in on."""
        return self.received.queue

    @property
    def alloc_cpu(self) -> int:
        """CPU whose driver allocated it."""
        return self.received.cpu
