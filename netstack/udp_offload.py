"""UDP's part of GRO.

Models: G19-G21: who may merge at all (UDP_GRO sockets, rx-udp-gro-forwarding, rx-gro-list), and the segment rules.
Leaves out: UDP tunnels (VXLAN, FOU, GUE): without a tunnel socket they pass as plain UDP.
Source: net/ipv4/udp_offload.c (6.1, 6.9); rules of section 6.4.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from emu.gro_shape import IP_ID_FREE, IP_ID_NONE, GroShape
from netstack.tcp_offload import outer_ids_count
from softirq.gro import ASK_FRAGLIST, ASK_REFUSED, ASK_SEGMENTS, SKB_GSO_UDP_L4
from softirq.gro_merge import MERGE_FINISH, MERGE_HOLD, GroHeld, skb_gro_receive, skb_gro_receive_list

if TYPE_CHECKING:
    from emu.headers import Headers
    from emu.skb import Skb
    from softirq.device import NetDevice
    from softirq.gro import PacketOffload
    from softirq.softnet_data import SoftnetData

UDP_GRO_CNT_MAX: Final = 64


class UdpOffload:
    """What UDP GRO asks of the sockets of one address family.

    `lookup(sd, skb)` finds the receiving socket and says whether it asked for UDP_GRO; None without a socket.
    """

    __slots__ = ("encap_needed", "lookup", "users")

    def __init__(self) -> None:
        self.encap_needed = False
        """The static key of G20: set once any socket of the family asks for UDP_GRO; without it no socket is looked up."""
        self.lookup: Callable[[SoftnetData, Skb], bool | None] | None = None
        self.users: list[PacketOffload] = []
        """The handlers that ask here."""

    def enable_encap(self) -> None:
        """udp_encap_enable: from now on sockets are looked up. There is no way back, as in the kernel."""
        self.encap_needed = True
        for user in self.users:
            user.asks_sockets = True

    def ask(self, sd: SoftnetData, dev: NetDevice, skb: Skb) -> int:
        """G19: an ASK_* answer for `skb`."""
        wants = self.lookup(sd, skb) if self.encap_needed and self.lookup is not None else None
        if wants:
            return ASK_SEGMENTS
        if dev.rx_gro_list:
            return ASK_FRAGLIST
        if wants is None and dev.rx_udp_gro_forwarding:
            return ASK_SEGMENTS
        return ASK_REFUSED


def udp_gro_shape(shape: GroShape, hdr: Headers) -> None:
    """Add UDP's part to `shape`, whose network part is done. `hdr` has a whole UDP header."""
    at = hdr.l4_offset
    shape.asks = True
    shape.csum_ok = hdr.l4_csum_ok
    shape.key += hdr.template[at : at + 4]
    shape.gso_type = SKB_GSO_UDP_L4
    if hdr.l4_csum_zero or hdr.l4_bytes_lie != hdr.trailer_bytes:  # ulen is not what is there
        return
    shape.holds = not shape.flush
    shape.merge = udp_gro_receive_segment


def udp_gro_receive_segment(sd: SoftnetData, held: GroHeld, skb: Skb, shape: GroShape) -> int:
    """`skb` meets the held packet of its flow. Returns MERGE_* bits."""
    length = skb.payload_bytes
    if length + skb.hdr.trailer_bytes <= 0:
        return 0
    if skb.gro_flist != held.flist or shape.flush:
        return MERGE_FINISH
    first = held.shape
    if length > held.mss or (first is not shape and first.match != shape.match) or not _ids_fit(sd, held, skb, shape):
        return MERGE_FINISH | MERGE_HOLD
    if held.flist:
        if skb.ip_summed != held.skb.ip_summed or skb.csum_level != held.skb.csum_level:
            return 0
        bits = skb_gro_receive_list(held, skb, length)
    else:
        bits = skb_gro_receive(held, skb, length)
    if not bits:
        return MERGE_FINISH | MERGE_HOLD
    if length != held.mss or held.frames >= UDP_GRO_CNT_MAX:
        return bits | MERGE_FINISH
    return bits


def _ids_fit(sd: SoftnetData, held: GroHeld, skb: Skb, shape: GroShape) -> bool:
    """G11 for the datagram's own header, and for outer ones without DF."""
    if shape.ip_id_rule != IP_ID_NONE:
        distance = (skb.ip_id - held.ip_id) & 0xFFFF
        if distance or held.frames > 1:
            if distance != (0 if held.fixed_id else held.frames):
                return False
        else:
            held.fixed_id = shape.ip_id_rule == IP_ID_FREE or sd.net.rules.gro_fixed_id_without_df
            if not held.fixed_id:
                return False
    return not shape.outer_ids or outer_ids_count(held, shape)
