"""Frames that a recording names without giving their bytes."""

from __future__ import annotations

import struct
from typing import Final

from emu.headers import TCP_ACK, Frame, HeaderTable, build

MACS: Final = bytes.fromhex("020000000001020000000099")
REMOTE: Final = bytes([10, 0, 0, 2])
LOCAL: Final = bytes([10, 0, 0, 1])
UDP_BYTES: Final = 42
TCP_BYTES: Final = 54
"""Headers of a frame, Ethernet to UDP or TCP."""


def stream(offset: int, count: int) -> bytes:
    """`count` payload bytes from byte `offset`: byte k is (7k + (k >> 8)) & 255."""
    return bytes((7 * k + (k >> 8)) & 255 for k in range(offset, offset + count))


def udp_frame(table: HeaderTable, sport: int, dport: int, wire_bytes: int) -> bytes:
    """A sound UDP frame of `wire_bytes` (at least 42) from 10.0.0.2 to 10.0.0.1, DF set, no IP id."""
    ip = _ip(17, wire_bytes)
    udp = struct.pack("!HHHH", sport, dport, wire_bytes - 34, 1)
    return _sound(table, MACS + b"\x08\x00" + ip + udp, wire_bytes, 0, stream(0, wire_bytes - UDP_BYTES))


def tcp_frame(table: HeaderTable, sport: int, dport: int, seq: int, wire_bytes: int, offset: int = 0) -> bytes:
    """A sound TCP segment with ACK, otherwise as `udp_frame`; its payload begins at byte `offset` of the stream."""
    tcp = struct.pack("!HHIIBBHHH", sport, dport, seq, 5000, 0x50, TCP_ACK, 8192, 0, 0)
    head = MACS + b"\x08\x00" + _ip(6, wire_bytes) + tcp
    return _sound(table, head, wire_bytes, seq, stream(offset, wire_bytes - TCP_BYTES))


def _ip(protocol: int, wire_bytes: int) -> bytes:
    return struct.pack("!BBHHHBBH", 0x45, 0, wire_bytes - 14, 0, 0x4000, 64, protocol, 0) + REMOTE + LOCAL


def _sound(table: HeaderTable, head: bytes, wire_bytes: int, seq: int, payload: bytes) -> bytes:
    rough: Frame = table.parse(head + payload)
    return build(rough.hdr, wire_bytes, 0, seq, payload)
