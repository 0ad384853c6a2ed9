"""The bytes of a packet as a tap sees it: merged payload, lengths and checksums as the protocols' completions leave them.

Models: inet_gro_complete, ipv6_gro_complete (with the jumbo option of BIG TCP), tcp_gro_complete, udp_gro_complete, tunnels; tags
that the demux took off. Nothing here runs per packet: captures and tests ask for it.
Source: net/ipv4/af_inet.c, net/ipv6/ip6_offload.c, net/ipv4/tcp_offload.c, udp_offload.c (6.9); recordings of 6.1 and 6.12.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final

from emu.headers import (
    ETH_P_IP,
    ETH_P_IPV6,
    IPPROTO_DSTOPTS,
    IPPROTO_GRE,
    IPPROTO_HOPOPTS,
    IPPROTO_IPIP,
    IPPROTO_IPV6,
    IPPROTO_ROUTING,
    IPPROTO_TCP,
    IPPROTO_UDP,
    build,
    ones_complement_sum,
)
from softirq.gro import GRO_JUMBO_BYTES

if TYPE_CHECKING:
    from emu.skb import Skb

TCP_CSUM_OFFSET: Final = 16
UDP_CSUM_OFFSET: Final = 6
VLAN_HLEN: Final = 4
_EXTENSIONS: Final = (IPPROTO_HOPOPTS, IPPROTO_ROUTING, IPPROTO_DSTOPTS)
_TEB: Final = 0x6558


def packet_bytes(skb: Skb) -> bytes:
    """`skb` from its MAC header to the end of its payload, without tags that were stripped or taken off.

    Bytes that a capture's snaplen cut off are zero, as is the payload of synthetic frames.
    """
    frame = bytearray(_frame(skb))
    if skb.frames > 1:
        assert skb.segments is not None
        for segment in skb.segments:
            length = segment.payload_bytes
            frame += _frame(segment)[segment.wire_bytes - length :]
        _complete(frame, skb)
    if skb.vlans_removed:
        del frame[12 : 12 + VLAN_HLEN * skb.vlans_removed]
    return bytes(frame)


def frag_list_bytes(skb: Skb) -> list[int]:
    """Payload bytes of each skb on frag_list, in order."""
    lengths: list[int] = []
    for segment in skb.segments or ():
        if segment.chained:
            lengths.append(segment.payload_bytes)
        elif lengths:
            lengths[-1] += segment.payload_bytes
    return lengths


def checksum_position(skb: Skb) -> tuple[int, int]:
    """CHECKSUM_PARTIAL of a merged packet: (offset of the transport header in the frame as received, of the checksum within it)."""
    offsets = _walk(bytearray(_frame(skb)), skb.hdr.network_offset, skb.hdr.protocol)
    _, _, protocol, start = offsets[-1]
    return start, TCP_CSUM_OFFSET if protocol == IPPROTO_TCP else UDP_CSUM_OFFSET


def _frame(skb: Skb) -> bytes:
    data = skb.data
    if data is None:
        return build(skb.hdr, skb.wire_bytes, skb.ip_id, skb.seq)
    return data + bytes(skb.wire_bytes - len(data)) if len(data) < skb.wire_bytes else data


def _walk(frame: bytearray, start: int, ethertype: int) -> list[tuple[int, int, int, int]]:
    """(offset of an IP header, 4 or 6 by ethertype, protocol behind it, offset of what is behind it), outermost first."""
    found: list[tuple[int, int, int, int]] = []
    while ethertype in (ETH_P_IP, ETH_P_IPV6):
        if ethertype == ETH_P_IP:
            protocol, at = frame[start + 9], start + 20
        else:
            protocol, at = frame[start + 6], start + 40
            while protocol in _EXTENSIONS:
                protocol, at = frame[at], at + (frame[at + 1] + 1) * 8
        found.append((start, 4 if ethertype == ETH_P_IP else 6, protocol, at))
        start = at
        if protocol == IPPROTO_IPIP:
            ethertype = ETH_P_IP
        elif protocol == IPPROTO_IPV6:
            ethertype = ETH_P_IPV6
        elif protocol == IPPROTO_GRE:
            flags, ethertype = struct.unpack_from("!HH", frame, at)
            start += 4 + (4 if flags & 0x8000 else 0) + (4 if flags & 0x2000 else 0)
            if ethertype == _TEB:
                (ethertype,) = struct.unpack_from("!H", frame, start + 12)
                start += 14
        else:
            break
    return found


def _complete(frame: bytearray, skb: Skb) -> None:
    """Write lengths and checksums of a merged packet into its headers."""
    headers = _walk(frame, skb.hdr.network_offset, skb.hdr.protocol)
    for start, version, _, _ in headers:
        if version == 4:
            total = len(frame) - start
            struct.pack_into("!H", frame, start + 2, total if total <= 0xFFFF else 0)
            frame[start + 10 : start + 12] = bytes(2)
            struct.pack_into("!H", frame, start + 10, 0xFFFF - ones_complement_sum(bytes(frame[start : start + 20])))
        else:
            payload = len(frame) - start - 40
            struct.pack_into("!H", frame, start + 4, payload if payload <= 0xFFFF else 0)
    start, version, protocol, at = headers[-1]
    length = len(frame) - at
    if protocol == IPPROTO_UDP:
        struct.pack_into("!H", frame, at + 4, length & 0xFFFF)
        csum_at = at + UDP_CSUM_OFFSET
    else:
        frame[at + 13] |= skb.tcp_flags_merged
        csum_at = at + TCP_CSUM_OFFSET
    if not skb.gro_flist:
        addresses = frame[start + 12 : start + 20] if version == 4 else frame[start + 8 : start + 40]
        pseudo = ones_complement_sum(bytes(addresses) + struct.pack("!II", protocol, length))
        struct.pack_into("!H", frame, csum_at, pseudo)
    outer, version, _, _ = headers[0]
    payload = len(frame) - outer - 40
    if version == 6 and payload > 0xFFFF:
        option = struct.pack("!BBBBI", frame[outer + 6], 0, 0xC2, 4, payload + GRO_JUMBO_BYTES)
        frame[outer + 6] = IPPROTO_HOPOPTS
        frame[outer + 40 : outer + 40] = option
