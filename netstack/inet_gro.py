"""IPv4's part of GRO.

Models: G9-G11: what IPv4 turns away, which header fields make a flow and which end one.
Leaves out: ESP.
Source: net/ipv4/af_inet.c inet_gro_receive (6.1, 6.9); rules of section 6.2.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from emu.gro_shape import GRO_DEEP, GRO_LOOK, GRO_PASS, IP_ID_COUNTS, IP_ID_FREE, GroShape
from emu.headers import IPPROTO_GRE, IPPROTO_IPIP, IPPROTO_IPV6, IPPROTO_TCP, IPPROTO_UDP
from netstack.tcp_offload import tcp_gro_shape
from netstack.udp_offload import udp_gro_shape
from softirq.gro import SKB_GSO_TCPV4

if TYPE_CHECKING:
    from emu.headers import Headers

TUNNELS: Final = (IPPROTO_IPIP, IPPROTO_IPV6, IPPROTO_GRE)
"""Protocols whose payload GRO looks into."""
_PLAIN: Final = 0x45
"""Version 4, no options."""
_RESERVED: Final = 0x80


def inet_gro_shape(hdr: Headers) -> GroShape:
    """The shape of a frame whose network header (behind VLAN tags) is IPv4 by ethertype."""
    if not hdr.ip_header_whole or hdr.ihl_byte != _PLAIN or hdr.fragment or not hdr.ip_csum_ok:
        return GroShape(GRO_PASS)
    protocol = hdr.l4_protocol
    if protocol in TUNNELS:
        return GroShape(GRO_DEEP)
    if protocol not in (IPPROTO_TCP, IPPROTO_UDP):
        return GroShape(GRO_PASS)
    if not hdr.l4_header_whole:
        # Bytes behind what the IP length claims may still hold the rest of the header.
        if hdr.trailer_bytes > 0:
            return GroShape(GRO_DEEP)
        shape = GroShape(GRO_PASS)
        # A TCP header with a bad data offset is noticed only after the checksum was found right.
        shape.csum_ok = protocol == IPPROTO_TCP and hdr.tcp_doff_bytes > 0 and not hdr.trailer_bytes and hdr.l4_csum_ok
        return shape
    shape = GroShape(GRO_LOOK)
    inet_gro_network(shape, hdr)
    if protocol == IPPROTO_TCP:
        shape.gso_type = SKB_GSO_TCPV4
        tcp_gro_shape(shape, hdr)
    else:
        udp_gro_shape(shape, hdr)
    return shape


def inet_gro_network(shape: GroShape, hdr: Headers) -> None:
    """Start `shape` with the link and IPv4 headers: flow identity (G10), what ends a flow, how ids move (G11)."""
    start = hdr.network_offset
    template = hdr.template
    # A template's length, id and checksum are 0. So these are: link header, protocol and addresses; TOS, DF (where the reserved bit is
    # set, nothing merges) and TTL.
    shape.key = template[:start] + template[start + 9 : start + 20]
    shape.match = template[start + 1 : start + 9]
    shape.ip_id_rule = IP_ID_FREE if hdr.df else IP_ID_COUNTS
    shape.flush = hdr.trailer_bytes != 0 or bool(template[start + 6] & _RESERVED)
