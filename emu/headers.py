"""Headers of a frame, parsed once and shared by every frame that differs only in length, IP id and sequence number.

Models: Ethernet II, 802.3 and LLC/SNAP, one or two VLAN tags, ARP, IPv4 with options, IPv6 with extension headers, TCP, UDP, ICMP.
Leaves out: IPv6 jumbograms; what lies inside a tunnel (GRO's tunnel handlers parse that again).
Source: RFC 791, 793, 768, 8200; rules of sections 7-10 for which defect is noticed, and in which order.

A frame is split in two. What all frames of a flow usually share (addresses, ports, flags, window, options, defects) is a
`Headers`; what moves from frame to frame (length, IP id, sequence number) is in `Frame`. `HeaderTable` interns `Headers`, so that
"same headers" is one identity test in the hot path, and a capture played a thousand times is parsed once.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from emu.gro_shape import GroShape

ETH_HLEN: Final = 14
ETH_P_802_3: Final = 0x0001
ETH_P_802_2: Final = 0x0004
ETH_P_IP: Final = 0x0800
ETH_P_ARP: Final = 0x0806
ETH_P_8021Q: Final = 0x8100
ETH_P_8021AD: Final = 0x88A8
ETH_P_IPV6: Final = 0x86DD

IPPROTO_HOPOPTS: Final = 0
IPPROTO_ICMP: Final = 1
IPPROTO_IPIP: Final = 4
IPPROTO_TCP: Final = 6
IPPROTO_UDP: Final = 17
IPPROTO_IPV6: Final = 41
IPPROTO_ROUTING: Final = 43
IPPROTO_FRAGMENT: Final = 44
IPPROTO_GRE: Final = 47
IPPROTO_ESP: Final = 50
IPPROTO_AH: Final = 51
IPPROTO_ICMPV6: Final = 58
IPPROTO_NONE: Final = 59
IPPROTO_DSTOPTS: Final = 60
IPPROTO_DCCP: Final = 33
IPPROTO_SCTP: Final = 132
IPPROTO_UDPLITE: Final = 136
_PORTS_ONLY: Final = (IPPROTO_DCCP, IPPROTO_SCTP, IPPROTO_UDPLITE)
"""Protocols of which only the ports are looked at, for the software flow hash."""

TCP_FIN: Final = 0x01
TCP_SYN: Final = 0x02
TCP_RST: Final = 0x04
TCP_PSH: Final = 0x08
TCP_ACK: Final = 0x10
TCP_URG: Final = 0x20
TCP_ECE: Final = 0x40
TCP_CWR: Final = 0x80
PREDICTED_FLAGS: Final = 0xFF & ~TCP_PSH
"""Of these, header prediction wants ACK alone (T3)."""

IP_MF: Final = 0x2000
IP_DF: Final = 0x4000
IP_OFFSET_MASK: Final = 0x1FFF

MAX_VLAN_TAGS: Final = 2
MAX_IPV6_EXTENSIONS: Final = 16
TABLE_LIMIT: Final = 1 << 16
"""Interned headers a table keeps; random frames would otherwise make it grow without end."""


class HeaderMemo:
    """What others have found out about one shape of headers, kept with it. A class of its own, because a base class's slots lie side by
    side at the front of an object: what each packet looks at is then in one or two cache lines."""

    __slots__ = ("gro_shape", "lane", "sink")

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Nothing is known: of new headers, or of a copy that is about to be changed."""
        self.gro_shape: GroShape | None = None
        """What GRO works out from these headers the first time it sees them."""
        self.lane: Any = None
        """What the NIC has decided on frames that have these headers, if there is nothing odd about them (a type of a higher floor)."""
        self.sink: Any = None
        """The TCP sink that all sound packets with these headers go to, once they have been looked up (a type of a higher floor)."""


class Headers(HeaderMemo):
    """What frames of one shape share. Immutable by convention after `HeaderTable.parse`; compare by identity.

    Lengths are in bytes, addresses are the raw bytes of the wire (4 or 16), ports and flags are ints. A field of a layer that the
    frame does not have is 0, empty or None.
    """

    __slots__ = (
        "ack",
        "daddr",
        "df",
        "dport",
        "dst_mac",
        "ethertype",
        "extension_headers",
        "flow",
        "flow_label",
        "fragment",
        "fragment_offset",
        "gre_or_spi",
        "header_bytes",
        "icmp_type",
        "ihl_byte",
        "ip_csum_ok",
        "ip_header_whole",
        "ip_problem",
        "l4_bytes_lie",
        "l4_csum_ok",
        "l4_csum_zero",
        "l4_header_bytes",
        "l4_header_whole",
        "l4_offset",
        "l4_protocol",
        "mac",
        "more_fragments",
        "network_offset",
        "protocol",
        "saddr",
        "sport",
        "src_mac",
        "tcp_doff_bytes",
        "tcp_flags",
        "tcp_options",
        "template",
        "tos",
        "trailer_bytes",
        "ttl",
        "version",
        "vlans",
        "window",
    )

    def __init__(self) -> None:
        super().__init__()
        self.template = b""
        """The header bytes with length, id, checksum and sequence fields zeroed: the base from which frames can be built again."""
        self.mac = b""
        self.dst_mac = b""
        self.src_mac = b""
        self.ethertype = 0
        """What eth_type_trans finds: the first type field, ETH_P_802_3 or ETH_P_802_2."""
        self.vlans: tuple[tuple[int, int], ...] = ()
        """(tag protocol, tci) of each tag that is in the frame itself, outermost first."""
        self.network_offset = ETH_HLEN
        self.protocol = 0
        """Ethertype behind the VLAN tags."""
        self.version = 0
        """4 or 6 by ethertype (whatever the version nibble claims), 0 for anything else."""
        self.ihl_byte = 0
        """First byte of the network header: 0x45 for IPv4 without options."""
        self.ip_header_whole = False
        self.ip_problem: str | None = None
        """First defect of the network header in the kernel's order: "inhdr" (short, version, IHL), "csum", "truncated" (longer than
        the frame), "totlen" (IPv4 total length below the header); None when sound. Section 8."""
        self.ip_csum_ok = False
        self.tos = 0
        """IPv4 TOS or IPv6 traffic class."""
        self.ttl = 0
        self.df = False
        self.fragment = False
        """Any fragment: more-fragments set or an offset."""
        self.more_fragments = False
        self.fragment_offset = 0
        """In bytes."""
        self.flow_label = 0
        self.extension_headers: tuple[int, ...] = ()
        self.saddr = b""
        self.daddr = b""
        self.l4_protocol = -1
        """Protocol number of the transport header; -1 without a network header."""
        self.l4_offset = 0
        self.l4_header_whole = False
        self.l4_header_bytes = 0
        """TCP: doff * 4; UDP: 8; ICMP: 8; else 0."""
        self.l4_csum_ok = True
        self.l4_csum_zero = False
        self.l4_bytes_lie = 0
        """UDP length field minus the bytes that are there; 0 when it tells the truth."""
        self.icmp_type = -1
        self.sport = 0
        self.dport = 0
        self.ack = 0
        self.tcp_flags = 0
        self.tcp_doff_bytes = 0
        self.window = 0
        self.tcp_options = b""
        self.gre_or_spi = b""
        """ESP and AH: the SPI; GRE: its key; SCTP, DCCP and UDP-Lite: both ports in rising order. For the software flow hash (K1)."""
        self.trailer_bytes = 0
        """Bytes behind the IP datagram (Ethernet padding); negative when the datagram claims more than the frame holds."""
        self.header_bytes = 0
        """Bytes from the start of the frame to the L4 payload."""
        self.flow: tuple[int, bytes, bytes, int, int] = (-1, b"", b"", 0, 0)
        """(l4_protocol, saddr, daddr, sport, dport)."""


class Frame:
    """One frame as it lies on the wire (without FCS): shared `Headers` plus what moves from frame to frame."""

    __slots__ = ("data", "fcs_ok", "hdr", "ip_id", "payload_bytes", "seq", "wire_bytes")

    def __init__(
        self,
        hdr: Headers,
        data: bytes | None,
        wire_bytes: int,
        payload_bytes: int,
        ip_id: int = 0,
        seq: int = 0,
        fcs_ok: bool = True,
    ) -> None:
        self.hdr = hdr
        self.data = data
        """The captured bytes (may be shorter than wire_bytes), or None for a synthetic frame, whose bytes `build` makes on demand."""
        self.wire_bytes = wire_bytes
        self.payload_bytes = payload_bytes
        """L4 payload: what the IP length says, less headers."""
        self.ip_id = ip_id
        self.seq = seq
        self.fcs_ok = fcs_ok


def ones_complement_sum(data: bytes) -> int:
    """Folded 16-bit one's complement sum of big-endian words; odd lengths are padded with a zero byte (RFC 1071).

    65536 is 1 modulo 65535, so the sum is the remainder of the bytes read as one number: no loop in Python.
    """
    if len(data) & 1:
        data += b"\0"
    number = int.from_bytes(data, "big")
    if number == 0:
        return 0
    return number % 65535 or 65535


class HeaderTable:
    """Parses frames and interns their headers. Any bytes at all give a Frame; nothing raises."""

    def __init__(self) -> None:
        self._table: dict[tuple[object, ...], Headers] = {}

    def parse(self, data: bytes, wire_bytes: int | None = None, fcs_ok: bool = True) -> Frame:
        """Parse one frame of `wire_bytes` (default: all of `data`). Bytes a snaplen cut off count as sound."""
        wire = len(data) if wire_bytes is None or wire_bytes < len(data) else wire_bytes
        hdr = Headers()
        varying: list[tuple[int, int]] = []
        frame = Frame(hdr, data, wire, max(wire - ETH_HLEN, 0), fcs_ok=fcs_ok)
        end = _parse_ethernet(hdr, frame, data, wire, varying)
        end = min(end, len(data))
        template = bytearray(data[:end])
        for offset, length in varying:
            stop = min(offset + length, end)
            if offset < stop:
                template[offset:stop] = bytes(stop - offset)
        hdr.template = bytes(template)
        key = (
            hdr.template,
            hdr.trailer_bytes,
            hdr.l4_bytes_lie,
            hdr.l4_header_bytes,
            hdr.header_bytes,
            hdr.ip_csum_ok,
            hdr.l4_csum_ok,
            hdr.l4_csum_zero,
            hdr.l4_header_whole,
            hdr.ip_problem,
            hdr.gre_or_spi,
        )
        known = self._table.get(key)
        if known is not None:
            frame.hdr = known
        else:
            if len(self._table) >= TABLE_LIMIT:
                self._table.clear()
            self._table[key] = hdr
        return frame


def _parse_ethernet(hdr: Headers, frame: Frame, data: bytes, wire: int, varying: list[tuple[int, int]]) -> int:
    """Fill the link layer and what follows. Returns the end of the headers in `data`."""
    if len(data) < ETH_HLEN:
        hdr.mac = hdr.template = data
        hdr.header_bytes = len(data)
        return len(data)
    hdr.mac = data[:ETH_HLEN]
    hdr.dst_mac = data[:6]
    hdr.src_mac = data[6:12]
    ethertype = (data[12] << 8) | data[13]
    offset = ETH_HLEN
    if ethertype < 0x600:
        hdr.ethertype = hdr.protocol = ETH_P_802_3 if data[14:16] == b"\xff\xff" else ETH_P_802_2
        hdr.header_bytes = offset
        return min(len(data), offset + 8)
    hdr.ethertype = ethertype
    vlans: list[tuple[int, int]] = []
    while ethertype in (ETH_P_8021Q, ETH_P_8021AD) and len(vlans) < MAX_VLAN_TAGS and len(data) >= offset + 4:
        vlans.append((ethertype, (data[offset] << 8) | data[offset + 1]))
        ethertype = (data[offset + 2] << 8) | data[offset + 3]
        offset += 4
    hdr.vlans = tuple(vlans)
    hdr.network_offset = offset
    hdr.protocol = ethertype
    hdr.header_bytes = offset
    frame.payload_bytes = max(wire - offset, 0)
    if ethertype == ETH_P_IP:
        return _parse_ipv4(hdr, frame, data, wire, varying)
    if ethertype == ETH_P_IPV6:
        return _parse_ipv6(hdr, frame, data, wire, varying)
    return offset


def _parse_ipv4(hdr: Headers, frame: Frame, data: bytes, wire: int, varying: list[tuple[int, int]]) -> int:
    start = hdr.network_offset
    hdr.version = 4
    if start < len(data):
        hdr.ihl_byte = data[start]
    ihl = (hdr.ihl_byte & 15) * 4
    if len(data) < start + 20 or ihl < 20 or hdr.ihl_byte >> 4 != 4 or len(data) < start + ihl:
        hdr.ip_problem = "inhdr"
        return min(len(data), start + 20)
    hdr.ip_header_whole = True
    tos, tot_len, ip_id, frag, ttl, protocol = struct.unpack_from("!xBHHHBB", data, start)
    hdr.tos, hdr.ttl, hdr.l4_protocol = tos, ttl, protocol
    hdr.df = bool(frag & IP_DF)
    hdr.more_fragments = bool(frag & IP_MF)
    hdr.fragment_offset = (frag & IP_OFFSET_MASK) * 8
    hdr.fragment = hdr.more_fragments or hdr.fragment_offset != 0
    hdr.saddr = data[start + 12 : start + 16]
    hdr.daddr = data[start + 16 : start + 20]
    hdr.ip_csum_ok = ones_complement_sum(data[start : start + ihl]) == 0xFFFF
    hdr.trailer_bytes = wire - start - tot_len
    if not hdr.ip_csum_ok:
        hdr.ip_problem = "csum"
    elif hdr.trailer_bytes < 0:
        hdr.ip_problem = "truncated"
    elif tot_len < ihl:
        hdr.ip_problem = "totlen"
    frame.ip_id = ip_id
    varying += [(start + 2, 4), (start + 10, 2)]
    hdr.l4_offset = start + ihl
    hdr.header_bytes = hdr.l4_offset
    l4_bytes = tot_len - ihl if tot_len >= ihl else 0
    frame.payload_bytes = l4_bytes
    pseudo = hdr.saddr + hdr.daddr + struct.pack("!HH", protocol, l4_bytes)
    return _parse_l4(hdr, frame, data, min(l4_bytes, wire - hdr.l4_offset), pseudo, varying)


def _parse_ipv6(hdr: Headers, frame: Frame, data: bytes, wire: int, varying: list[tuple[int, int]]) -> int:
    start = hdr.network_offset
    hdr.version = 6
    if start < len(data):
        hdr.ihl_byte = data[start]
    if len(data) < start + 40 or hdr.ihl_byte >> 4 != 6:
        hdr.ip_problem = "inhdr"
        return min(len(data), start + 40)
    hdr.ip_header_whole = True
    hdr.ip_csum_ok = True
    word, payload_len, protocol, hops = struct.unpack_from("!IHBB", data, start)
    hdr.tos = (word >> 20) & 0xFF
    hdr.flow_label = word & 0xFFFFF
    hdr.ttl = hops
    hdr.saddr = data[start + 8 : start + 24]
    hdr.daddr = data[start + 24 : start + 40]
    hdr.trailer_bytes = wire - start - 40 - payload_len
    if hdr.trailer_bytes < 0:
        hdr.ip_problem = "truncated"
    varying.append((start + 4, 2))
    offset = start + 40
    datagram_end = offset + payload_len
    extensions: list[int] = []
    while protocol in (IPPROTO_HOPOPTS, IPPROTO_ROUTING, IPPROTO_FRAGMENT, IPPROTO_DSTOPTS, IPPROTO_AH):
        if len(data) < offset + 8 or datagram_end < offset + 8 or len(extensions) == MAX_IPV6_EXTENSIONS:
            break
        extensions.append(protocol)
        if protocol == IPPROTO_FRAGMENT:
            frag = (data[offset + 2] << 8) | data[offset + 3]
            hdr.fragment_offset = frag & 0xFFF8
            hdr.more_fragments = bool(frag & 1)
            hdr.fragment = hdr.more_fragments or hdr.fragment_offset != 0
            frame.ip_id = int.from_bytes(data[offset + 4 : offset + 8], "big")
            varying.append((offset + 4, 4))
            length = 8
        elif protocol == IPPROTO_AH:
            length = (data[offset + 1] + 2) * 4
        else:
            length = (data[offset + 1] + 1) * 8
        protocol = data[offset]
        offset += length
        if hdr.fragment_offset:
            break
    hdr.extension_headers = tuple(extensions)
    hdr.l4_protocol = protocol
    hdr.l4_offset = offset
    hdr.header_bytes = min(offset, wire)
    l4_bytes = max(datagram_end - offset, 0)
    frame.payload_bytes = l4_bytes
    pseudo = hdr.saddr + hdr.daddr + struct.pack("!II", l4_bytes, protocol)
    return _parse_l4(hdr, frame, data, min(l4_bytes, max(wire - offset, 0)), pseudo, varying)


def _parse_l4(
    hdr: Headers, frame: Frame, data: bytes, available: int, pseudo: bytes, varying: list[tuple[int, int]]
) -> int:
    """Fill the transport layer; `available` is how many of its bytes are both claimed and there."""
    offset = hdr.l4_offset
    hdr.flow = (hdr.l4_protocol, hdr.saddr, hdr.daddr, 0, 0)
    if hdr.fragment_offset or offset > len(data):
        return min(offset, len(data))
    here = min(available, len(data) - offset)
    header: int
    body_whole = len(data) - offset >= available
    protocol = hdr.l4_protocol
    if protocol == IPPROTO_TCP and here >= 20:
        sport, dport, seq, ack, offset_flags, window = struct.unpack_from("!HHIIHH", data, offset)
        doff = (offset_flags >> 12) * 4
        hdr.sport, hdr.dport, hdr.ack, hdr.window = sport, dport, ack, window
        hdr.tcp_flags = offset_flags & 0xFF
        hdr.tcp_doff_bytes = hdr.l4_header_bytes = doff
        hdr.l4_header_whole = 20 <= doff <= available
        header = max(min(doff, available), 20)
        hdr.tcp_options = data[offset + 20 : offset + header]
        frame.seq = seq
        varying += [(offset + 4, 4), (offset + 16, 2)]
    elif protocol == IPPROTO_UDP and here >= 8:
        hdr.sport, hdr.dport, ulen, csum = struct.unpack_from("!HHHH", data, offset)
        hdr.l4_header_bytes = header = 8
        hdr.l4_header_whole = True
        hdr.l4_csum_zero = csum == 0
        hdr.l4_bytes_lie = ulen - frame.payload_bytes
        varying.append((offset + 4, 4))
    elif protocol in (IPPROTO_ICMP, IPPROTO_ICMPV6) and here >= 4:
        hdr.icmp_type = data[offset]
        header = min(8, here)
        hdr.l4_header_bytes = header
        hdr.l4_header_whole = here >= 8
        varying.append((offset + 2, 6))
        if protocol == IPPROTO_ICMP:
            pseudo = b""
    else:
        if protocol == IPPROTO_ESP and here >= 4:
            hdr.gre_or_spi = data[offset : offset + 4]
        elif protocol == IPPROTO_AH and here >= 8:
            hdr.gre_or_spi = data[offset + 4 : offset + 8]
        elif protocol in _PORTS_ONLY and here >= 4:
            hdr.gre_or_spi = b"".join(sorted((data[offset : offset + 2], data[offset + 2 : offset + 4])))
        elif protocol == IPPROTO_GRE and here >= 8 and data[offset] & 0x20:
            key_at = offset + (8 if data[offset] & 0x80 else 4)
            hdr.gre_or_spi = data[key_at : key_at + 4]
        return offset
    if not hdr.fragment and body_whole and not hdr.l4_csum_zero:
        hdr.l4_csum_ok = ones_complement_sum(pseudo + data[offset : offset + available]) == 0xFFFF
    hdr.flow = (protocol, hdr.saddr, hdr.daddr, hdr.sport, hdr.dport)
    hdr.header_bytes = offset + header
    frame.payload_bytes = max(frame.payload_bytes - header, 0)
    return offset + header


def build(hdr: Headers, wire_bytes: int, ip_id: int, seq: int, payload: bytes | None = None) -> bytes:
    """Make the bytes of a synthetic frame: lengths, id, sequence number and checksums filled in, payload zero unless given.

    Only for sound headers of IPv4 or IPv6 with TCP, UDP or ICMP, as `parse` of the result gives the same `Headers` fields.
    """
    frame = bytearray(hdr.template)
    datagram_end = wire_bytes - hdr.trailer_bytes
    body = payload if payload is not None else bytes(max(datagram_end - len(frame), 0))
    frame += body
    frame += bytes(max(wire_bytes - len(frame), 0))
    start, offset = hdr.network_offset, hdr.l4_offset
    l4_bytes = datagram_end - offset
    if hdr.version == 4:
        struct.pack_into("!HH", frame, start + 2, datagram_end - start, ip_id & 0xFFFF)
        frame[start + 10 : start + 12] = b"\0\0"
        struct.pack_into("!H", frame, start + 10, 0xFFFF - ones_complement_sum(bytes(frame[start:offset])))
        pseudo = hdr.saddr + hdr.daddr + struct.pack("!HH", hdr.l4_protocol, l4_bytes)
    elif hdr.version == 6:
        struct.pack_into("!H", frame, start + 4, datagram_end - start - 40)
        pseudo = hdr.saddr + hdr.daddr + struct.pack("!II", l4_bytes, hdr.l4_protocol)
    else:
        return bytes(frame)
    if hdr.l4_protocol == IPPROTO_TCP:
        struct.pack_into("!I", frame, offset + 4, seq & 0xFFFFFFFF)
        at = offset + 16
    elif hdr.l4_protocol == IPPROTO_UDP:
        struct.pack_into("!H", frame, offset + 4, l4_bytes)
        if hdr.l4_csum_zero:
            return bytes(frame)
        at = offset + 6
    elif hdr.l4_protocol in (IPPROTO_ICMP, IPPROTO_ICMPV6):
        at = offset + 2
        if hdr.l4_protocol == IPPROTO_ICMP:
            pseudo = b""
    else:
        return bytes(frame)
    csum = 0xFFFF - ones_complement_sum(pseudo + bytes(frame[offset:datagram_end]))
    struct.pack_into("!H", frame, at, csum or (0xFFFF if hdr.l4_protocol == IPPROTO_UDP else 0))
    return bytes(frame)
