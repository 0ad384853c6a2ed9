"""IPv6's part of GRO.

Models: payload length, flow label, traffic class, hop limit, the extension headers that may stand before TCP or UDP (K8).
Leaves out: ESP, jumbograms as input.
Source: net/ipv6/ip6_offload.c ipv6_gro_receive (6.1, 6.9); recordings v6_* of 6.1 and 6.12.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from emu.gro_shape import GRO_DEEP, GRO_LOOK, GRO_PASS, GroShape
from emu.headers import (
    ETH_P_IPV6,
    IPPROTO_DSTOPTS,
    IPPROTO_HOPOPTS,
    IPPROTO_ROUTING,
    IPPROTO_TCP,
    IPPROTO_UDP,
)
from netstack.inet_gro import TUNNELS
from netstack.tcp_offload import tcp_gro_shape
from netstack.udp_offload import udp_gro_shape
from softirq.gro import SKB_GSO_TCPV6

if TYPE_CHECKING:
    from emu.headers import Headers

IPV6_HEADER_BYTES: Final = 40
_PULLED: Final = (IPPROTO_HOPOPTS, IPPROTO_ROUTING, IPPROTO_DSTOPTS)
_NOT_TRAFFIC_CLASS: Final = 0xF00FFFFF


def ipv6_gro_shape(hdr: Headers) -> GroShape:
    """The shape of a frame whose network header (behind VLAN tags) is IPv6 by ethertype."""
    if len(hdr.template) < hdr.network_offset + IPV6_HEADER_BYTES:
        return GroShape(GRO_PASS)
    if not hdr.ip_header_whole:  # a wrong version nibble; GRO does not look at it, only compares it
        return GroShape(GRO_DEEP)
    if any(extension not in _PULLED for extension in hdr.extension_headers):
        return GroShape(GRO_PASS)
    protocol = hdr.l4_protocol
    if protocol in TUNNELS:
        return GroShape(GRO_DEEP)
    if protocol not in (IPPROTO_TCP, IPPROTO_UDP):
        return GroShape(GRO_DEEP if protocol in _PULLED and hdr.trailer_bytes > 0 else GRO_PASS)
    if not hdr.l4_header_whole:
        if hdr.trailer_bytes > 0:
            return GroShape(GRO_DEEP)
        shape = GroShape(GRO_PASS)
        shape.csum_ok = protocol == IPPROTO_TCP and hdr.tcp_doff_bytes > 0 and not hdr.trailer_bytes and hdr.l4_csum_ok
        return shape
    shape = GroShape(GRO_LOOK)
    ipv6_gro_network(shape, hdr)
    if protocol == IPPROTO_TCP:
        shape.gso_type = SKB_GSO_TCPV6
        tcp_gro_shape(shape, hdr)
    else:
        udp_gro_shape(shape, hdr)
    return shape


def ipv6_gro_network(shape: GroShape, hdr: Headers) -> None:
    """Start `shape` with the link and IPv6 headers, extension headers included."""
    start = hdr.network_offset
    template = hdr.template
    word = int.from_bytes(template[start : start + 4], "big")
    shape.ipv6 = hdr.ethertype == ETH_P_IPV6
    shape.key = (
        template[:start]
        + (word & _NOT_TRAFFIC_CLASS).to_bytes(4, "big")
        + template[start + 6 : start + 7]
        + template[start + 8 : hdr.l4_offset]
    )
    shape.match = bytes((hdr.tos, hdr.ttl))
    shape.flush = hdr.trailer_bytes != 0
