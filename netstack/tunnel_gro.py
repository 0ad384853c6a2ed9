"""GRO where the headers that were parsed once do not tell enough: the frame's bytes are read again, frame by frame.

Models: IPIP, SIT, IP in IPv6 and GRE (version 0, key and checksum), one level deep (K8); frames whose IP length ends
before their transport header does (they end what is held of their flow, G9, G12).
Leaves out: UDP tunnels, ERSPAN, ESP.
Source: net/ipv4/af_inet.c, gre_offload.c, net/ipv6/ip6_offload.c (6.9); recordings ipip_tcp, gre_tcp, ip6_in_ip4_sit.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final

from emu.gro_shape import GRO_DEEP, GRO_LOOK, GRO_PASS, IP_ID_COUNTS, IP_ID_NONE, GroShape
from emu.headers import (
    ETH_HLEN,
    ETH_P_IP,
    ETH_P_IPV6,
    IPPROTO_GRE,
    IPPROTO_IPIP,
    HeaderTable,
    ones_complement_sum,
)
from emu.skb import CHECKSUM_NONE, CHECKSUM_UNNECESSARY
from netstack.inet_gro import TUNNELS, inet_gro_network
from netstack.ipv6_gro import IPV6_HEADER_BYTES, ipv6_gro_network
from netstack.vlan_gro import network_gro_shape
from softirq.gro import SKB_GSO_GRE, SKB_GSO_IPXIP4, SKB_GSO_IPXIP6

if TYPE_CHECKING:
    from emu.headers import Frame, Headers
    from emu.skb import Skb

ETH_P_TEB: Final = 0x6558
GRE_CSUM: Final = 0x8000
GRE_KEY: Final = 0x2000


def deep_gro_shape(skb: Skb) -> GroShape:
    """The shape of this very frame. Behind a tunnel the skb's seq, ip_id and payload_bytes become those of the inner packet."""
    hdr = skb.hdr
    data = skb.data
    if data is None or len(data) < skb.wire_bytes:
        return GroShape(GRO_PASS)
    if hdr.ip_header_whole and hdr.l4_protocol in TUNNELS:
        return _tunnel(skb, hdr, data)
    shape, frame = _reread(hdr, data, skb.wire_bytes)
    if not shape.flush:
        skb.seq = frame.seq
        skb.payload_bytes = frame.payload_bytes
    return shape


def _reread(hdr: Headers, data: bytes, wire_bytes: int) -> tuple[GroShape, Frame]:
    """Parse the frame as if its length and version fields told the truth, and let the shape remember that they do not."""
    start = hdr.network_offset
    honest = bytearray(data)
    if hdr.version == 4:
        struct.pack_into("!H", honest, start + 2, (wire_bytes - start) & 0xFFFF)
        honest[start + 10 : start + 12] = bytes(2)
        csum = 0xFFFF - ones_complement_sum(bytes(honest[start : start + 20]))
        struct.pack_into("!H", honest, start + 10, csum)
        lies = True
    else:
        length = (wire_bytes - start - IPV6_HEADER_BYTES) & 0xFFFF
        lies = length != int.from_bytes(data[start + 4 : start + 6], "big")
        struct.pack_into("!H", honest, start + 4, length)
        honest[start] = 0x60 | honest[start] & 0x0F
    frame = HeaderTable().parse(bytes(honest))
    shape = network_gro_shape(frame.hdr)
    if shape.kind != GRO_LOOK:
        return GroShape(GRO_PASS), frame
    if honest[start] != data[start]:
        shape.key += data[start : start + 1]
    if lies:
        shape.flush = True
        shape.holds = shape.merges = False
    return shape, frame


def _tunnel(skb: Skb, hdr: Headers, data: bytes) -> GroShape:
    """The outer header's shape joined with the inner packet's."""
    outer = GroShape(GRO_LOOK)
    if hdr.version == 4:
        inet_gro_network(outer, hdr)
    else:
        ipv6_gro_network(outer, hdr)
    start = hdr.l4_offset
    protocol = hdr.l4_protocol
    checked = False
    if protocol == IPPROTO_GRE:
        gre = _gre_header(data, start)
        if gre is None:
            return GroShape(GRO_PASS)
        size, ethertype, checked = gre
        if checked and not outer.flush and skb.ip_summed != CHECKSUM_UNNECESSARY:
            if ones_complement_sum(data[start:]) != 0xFFFF:
                return GroShape(GRO_PASS)
        outer.key += data[start : start + 4] + (data[start + size - 4 : start + size] if data[start] & 0x20 else b"")
        gso_type = SKB_GSO_GRE
        start += size
    else:
        ethertype = ETH_P_IP if protocol == IPPROTO_IPIP else ETH_P_IPV6
        gso_type = SKB_GSO_IPXIP4 if hdr.version == 4 else SKB_GSO_IPXIP6
    link = b"" if ethertype == ETH_P_TEB else bytes(12) + ethertype.to_bytes(2, "big")
    frame = HeaderTable().parse(link + data[start : skb.wire_bytes])
    shape = network_gro_shape(frame.hdr)
    if shape.kind == GRO_DEEP and not (frame.hdr.ip_header_whole and frame.hdr.l4_protocol in TUNNELS):
        shape, frame = _reread(frame.hdr, link + data[start : skb.wire_bytes], frame.wire_bytes)
    if shape.kind != GRO_LOOK:
        return GroShape(GRO_PASS)
    if checked and not (outer.flush or shape.flush):
        # The outer checksum used up what the device had verified; the inner one is summed here.
        if not shape.csum_ok:
            return GroShape(GRO_PASS)
        if skb.ip_summed == CHECKSUM_NONE:
            skb.ip_summed = CHECKSUM_UNNECESSARY
            skb.csum_level = 1
    shape.outer_header_bytes = start - hdr.network_offset + (ETH_HLEN if ethertype == ETH_P_TEB else 0)
    shape.key = outer.key + shape.key
    shape.match = outer.match + shape.match
    shape.outer_ids = (skb.ip_id,) if outer.ip_id_rule == IP_ID_COUNTS else ()
    shape.ipv6 = outer.ipv6
    shape.gso_type |= gso_type
    if outer.flush:
        shape.flush = True
        shape.holds = shape.merges = False
    skb.seq = frame.seq
    skb.payload_bytes = frame.payload_bytes
    if shape.ip_id_rule != IP_ID_NONE:
        skb.ip_id = frame.ip_id
    return shape


def _gre_header(data: bytes, start: int) -> tuple[int, int, bool] | None:
    """(bytes of the GRE header, ethertype behind it, whether it has a checksum); None if GRO does not take it."""
    if len(data) < start + 4:
        return None
    flags, ethertype = struct.unpack_from("!HH", data, start)
    if flags & ~(GRE_CSUM | GRE_KEY):
        return None
    size = 4 + (4 if flags & GRE_CSUM else 0) + (4 if flags & GRE_KEY else 0)
    if len(data) < start + size:
        return None
    return size, ethertype, bool(flags & GRE_CSUM)
