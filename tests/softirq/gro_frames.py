"""Frames for tests of GRO, with right lengths and checksums unless told otherwise."""

from __future__ import annotations

import struct

from emu.headers import IPPROTO_TCP, IPPROTO_UDP, ones_complement_sum

MAC = bytes.fromhex("020000000001 020000000099")
SADDR, DADDR = bytes((10, 0, 0, 2)), bytes((10, 0, 0, 1))
SADDR6, DADDR6 = bytes.fromhex("fd" + "0" * 29 + "2"), bytes.fromhex("fd" + "0" * 29 + "1")
SYN, FIN, RST, PSH, ACK, URG, ECE, CWR = 0x02, 0x01, 0x04, 0x08, 0x10, 0x20, 0x40, 0x80


def checked(header: bytes, at: int, pseudo: bytes = b"") -> bytes:
    """`header` with its checksum at `at` filled in."""
    csum = 0xFFFF - ones_complement_sum(pseudo + header)
    return header[:at] + struct.pack("!H", csum) + header[at + 2 :]


def tcp_segment(
    payload: bytes, *, sport: int = 1000, seq: int = 1000, flags: int = ACK, ack: int = 5000, window: int = 8192,
    options: bytes = b"", addresses: bytes = SADDR + DADDR,
) -> bytes:  # fmt: skip
    """A TCP segment with its checksum."""
    offset_flags = (20 + len(options)) // 4 << 12 | flags
    header = struct.pack("!HHIIHHHH", sport, 2000, seq & 0xFFFFFFFF, ack, offset_flags, window, 0, 0) + options
    pseudo = addresses + struct.pack("!II", IPPROTO_TCP, len(header) + len(payload))
    return checked(header + payload, 16, pseudo)


def udp_datagram(payload: bytes, *, sport: int = 1000, dport: int = 3001, csum: bool = True) -> bytes:
    """A UDP datagram over IPv4."""
    length = 8 + len(payload)
    datagram = struct.pack("!HHHH", sport, dport, length, 0) + payload
    return checked(datagram, 6, SADDR + DADDR + struct.pack("!II", IPPROTO_UDP, length)) if csum else datagram


def ipv4(
    body: bytes, protocol: int = IPPROTO_TCP, *, ip_id: int = 0, df: bool = True, ttl: int = 64, tos: int = 0
) -> bytes:
    """An IPv4 packet."""
    header = struct.pack("!BBHHHBBH", 0x45, tos, 20 + len(body), ip_id & 0xFFFF, 0x4000 * df, ttl, protocol, 0)
    return checked(header + SADDR + DADDR, 10) + body


def ipv6(body: bytes, protocol: int = IPPROTO_TCP, *, version: int = 6, hops: int = 64) -> bytes:
    """An IPv6 packet."""
    return struct.pack("!IHBB", version << 28, len(body), protocol, hops) + SADDR6 + DADDR6 + body


def ether(packet: bytes, ethertype: int = 0x0800, tags: bytes = b"") -> bytes:
    """A frame around an IP packet; `tags` are whole VLAN tags."""
    return MAC + tags + ethertype.to_bytes(2, "big") + packet


def data_frame(
    n: int = 0, size: int = 100, *, sport: int = 1000, flags: int = ACK, ip_id: int = 0, df: bool = True, ttl: int = 64,
    tags: bytes = b"", options: bytes = b"",
) -> bytes:  # fmt: skip
    """Segment number `n` of a stream of segments of `size` bytes over IPv4."""
    segment = tcp_segment(
        bytes((n + k) & 255 for k in range(size)), sport=sport, seq=1000 + n * size, flags=flags, options=options
    )
    return ether(ipv4(segment, ip_id=ip_id, df=df, ttl=ttl), tags=tags)


def data_frame6(n: int = 0, size: int = 100, *, version: int = 6) -> bytes:
    """The same over IPv6."""
    segment = tcp_segment(bytes(size), seq=1000 + n * size, addresses=SADDR6 + DADDR6)
    return ether(ipv6(segment, version=version), 0x86DD)


def udp_frame(size: int = 100, *, sport: int = 1000, dport: int = 3001, csum: bool = True) -> bytes:
    """A datagram over IPv4."""
    return ether(ipv4(udp_datagram(bytes(size), sport=sport, dport=dport, csum=csum), IPPROTO_UDP))
