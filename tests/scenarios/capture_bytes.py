"""Captures made byte by byte, for the tests of their reader: any byte order, any lie."""

import struct

NS = 1_000_000_000


def pcap(*records: bytes, order: str = "<", magic: int = 0xA1B23C4D, link_type: int = 1, minor: int = 4) -> bytes:
    """A pcap file of the given records; the default magic says nanoseconds."""
    return struct.pack(f"{order}IHHiIII", magic, 2, minor, 0, 0, 65535, link_type) + b"".join(records)


def record(
    data: bytes,
    time: tuple[int, int] = (1, 0),
    wire_len: int | None = None,
    caught: int | None = None,
    order: str = "<",
) -> bytes:
    """One pcap record stamped (seconds, fraction); `wire_len` and `caught` may lie."""
    caught = len(data) if caught is None else caught
    return struct.pack(f"{order}IIII", *time, caught, len(data) if wire_len is None else wire_len) + data


def block(kind: int, body: bytes, order: str = "<", size: int | None = None, trailer: int | None = None) -> bytes:
    """One pcapng block; `size` and `trailer` (the second length) may lie."""
    body += bytes(-len(body) % 4)
    size = len(body) + 12 if size is None else size
    return struct.pack(f"{order}II", kind, size) + body + struct.pack(f"{order}I", size if trailer is None else trailer)


def section(order: str = "<", major: int = 1) -> bytes:
    return block(0x0A0D0D0A, struct.pack(f"{order}IHHq", 0x1A2B3C4D, major, 0, -1), order)


def option(code: int, value: bytes, order: str = "<") -> bytes:
    return struct.pack(f"{order}HH", code, len(value)) + value + bytes(-len(value) % 4)


def interface(
    *options: bytes,
    link_type: int = 1,
    snaplen: int = 0,
    order: str = "<",
    tsresol: int | None = None,
    tsoffset: int | None = None,
) -> bytes:
    body = struct.pack(f"{order}HHI", link_type, 0, snaplen) + b"".join(options)
    if tsresol is not None:
        body += option(9, bytes([tsresol]), order)
    if tsoffset is not None:
        body += option(14, struct.pack(f"{order}q", tsoffset), order)
    return block(1, body + option(0, b"", order), order)


def enhanced(
    data: bytes,
    ticks: int = 0,
    number: int = 0,
    wire_len: int | None = None,
    caught: int | None = None,
    order: str = "<",
) -> bytes:
    caught = len(data) if caught is None else caught
    wire_len = len(data) if wire_len is None else wire_len
    return block(
        6, struct.pack(f"{order}IIIII", number, ticks >> 32, ticks & 0xFFFFFFFF, caught, wire_len) + data, order
    )


def simple(data: bytes, wire_len: int | None = None, order: str = "<") -> bytes:
    return block(3, struct.pack(f"{order}I", len(data) if wire_len is None else wire_len) + data, order)


def obsolete(data: bytes, ticks: int = 0, number: int = 0, drops: int = 0xFFFF, order: str = "<") -> bytes:
    body = struct.pack(f"{order}HHIIII", number, drops, ticks >> 32, ticks & 0xFFFFFFFF, len(data), len(data))
    return block(2, body + data, order)
