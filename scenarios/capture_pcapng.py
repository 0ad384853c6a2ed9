"""pcapng, block by block: every length is checked before it is believed, and what is left out is noted.

Models: version 1.x, several sections of either byte order, several interfaces, each with its link type, snap length and
clock (if_tsresol, if_tsoffset); enhanced, simple and obsolete packet blocks.
Leaves out: names, comments, statistics, secrets, packet flags: their blocks and options are stepped over.
Source: draft-ietf-opsawg-pcapng. Why not by a library: see capture_file.
"""

import struct
from collections.abc import Iterator
from typing import Final

from emu.errors import CaptureError
from scenarios.capture_notes import CaptureNotes
from scenarios.capture_stream import MAX_BLOCK_BYTES, MAX_FRAME_BYTES, CaptureStream, RawFrame

MAX_INTERFACES: Final = 1024
MAX_OPTIONS: Final = 1024

LINKTYPE_ETHERNET: Final = 1
BLOCK_INTERFACE: Final = 1
BLOCK_PACKET: Final = 2
BLOCK_SIMPLE_PACKET: Final = 3
BLOCK_ENHANCED_PACKET: Final = 6
PACKET_BLOCKS: Final = frozenset((BLOCK_ENHANCED_PACKET, BLOCK_SIMPLE_PACKET, BLOCK_PACKET))
SECTION_MAGIC: Final = b"\x0a\x0d\x0d\x0a"
BYTE_ORDERS: Final[dict[bytes, str]] = {b"\x1a\x2b\x3c\x4d": ">", b"\x4d\x3c\x2b\x1a": "<"}
SECTION_MIN_BYTES: Final = 28
OPTION_TSRESOL: Final = 9
OPTION_TSOFFSET: Final = 14


class _Interface:
    """What an interface description tells: link type, snap length (0 = none), and the clock of its stamps."""

    __slots__ = ("link_type", "offset_ns", "per_second", "snaplen")

    def __init__(self, link_type: int, snaplen: int, per_second: int, offset_ns: int) -> None:
        self.link_type = link_type
        self.snaplen = snaplen
        self.per_second = per_second
        self.offset_ns = offset_ns


class _Section:
    """The state a section header resets: byte order and the interfaces described so far."""

    __slots__ = ("interfaces", "known", "order", "packet", "simple", "words")

    def __init__(self, order: str, known: bool) -> None:
        self.order = order
        self.known = known
        """False in a section of a version we do not know: its blocks are stepped over."""
        self.interfaces: list[_Interface] = []
        self.words = struct.Struct(f"{order}II")
        self.packet = {
            BLOCK_ENHANCED_PACKET: struct.Struct(f"{order}IIIII"),
            BLOCK_PACKET: struct.Struct(f"{order}HxxIIII"),
        }
        self.simple = struct.Struct(f"{order}I")


def read_pcapng(source: CaptureStream, name: str) -> Iterator[RawFrame]:
    """Read on behind the first block type, which was a section header's; CaptureError if that header is unusable."""
    rest = source.read(8)
    section = None if rest is None else _open_section(source, SECTION_MAGIC + rest)
    if section is None:
        words = source.notes.sentences()
        raise CaptureError(" ".join([f"{name}: begins like pcapng, but its section header cannot be read.", *words]))
    if not section.known:
        raise CaptureError(f"{name}: this version of pcapng is unknown (1.x is read).")
    notes = source.notes
    while (head := source.begin(8)) is not None:
        if head[:4] == SECTION_MAGIC:
            rest = source.read(4)
            section = None if rest is None else _open_section(source, head + rest)
            if section is None:
                return
            continue
        kind, size = section.words.unpack(head)
        if size < 12 or size > MAX_BLOCK_BYTES or size & 3:
            source.stop(f"a block of {size:,} bytes")
            return
        packet = kind in PACKET_BLOCKS
        if (packet or kind == BLOCK_INTERFACE) and section.known:
            body = source.read(size - 8)
            if body is None:
                return
            if body[-4:] != head[4:]:
                notes.bad_blocks += 1
            elif packet:
                raw = _decode_packet(section, kind, body, notes)
                if raw is not None:
                    yield raw
            else:
                _describe_interface(section, body, notes)
        elif not source.skip(size - 8):
            return


def _open_section(source: CaptureStream, head: bytes) -> _Section | None:
    """Read the section header of which `head` are the first 12 bytes; None, noted, if it makes no sense."""
    order = BYTE_ORDERS.get(head[8:12])
    if order is None:
        source.stop("a section header without a byte order")
        return None
    size = struct.unpack_from(f"{order}I", head, 4)[0]
    if size < SECTION_MIN_BYTES or size > MAX_BLOCK_BYTES or size & 3:
        source.stop(f"a section header of {size:,} bytes")
        return None
    version = source.read(4)
    if version is None or not source.skip(size - 16):
        return None
    known = struct.unpack(f"{order}HH", version)[0] == 1
    if not known:
        source.notes.unknown_sections += 1
    return _Section(order, known)


def _describe_interface(section: _Section, body: bytes, notes: CaptureNotes) -> None:
    """Take up an interface. `body` ends in the block's second length."""
    if len(section.interfaces) >= MAX_INTERFACES:
        notes.refused_interfaces += 1
        return
    end = len(body) - 4
    if end < 8:
        notes.refused_interfaces += 1
        # It keeps its number, or every later interface would take its neighbour's clock.
        section.interfaces.append(_Interface(-1, 0, 1_000_000, 0))
        return
    link_type, snaplen = struct.unpack_from(f"{section.order}HxxI", body, 0)
    per_second, offset_ns = 1_000_000, 0
    at = 8
    for _ in range(MAX_OPTIONS):
        if at + 4 > end:
            break
        code, length = struct.unpack_from(f"{section.order}HH", body, at)
        at += 4
        if code == 0 or at + length > end:
            break
        if code == OPTION_TSRESOL and length == 1:
            exponent = body[at]
            per_second = 1 << (exponent & 0x7F) if exponent & 0x80 else 10**exponent
        elif code == OPTION_TSOFFSET and length == 8:
            offset_ns = struct.unpack_from(f"{section.order}q", body, at)[0] * 1_000_000_000
        at += (length + 3) & ~3
    section.interfaces.append(_Interface(link_type, snaplen, per_second, offset_ns))


def _decode_packet(section: _Section, kind: int, body: bytes, notes: CaptureNotes) -> RawFrame | None:
    """Decode a packet block of any of the three kinds; None, noted, if it has to be left out."""
    room = len(body) - 4
    number = high = low = caught = start = 0
    if kind == BLOCK_SIMPLE_PACKET:
        start = 4
    else:
        start = 20
    if room < start:
        notes.bad_blocks += 1
        return None
    if kind == BLOCK_SIMPLE_PACKET:
        wire_len: int = section.simple.unpack_from(body)[0]
    else:
        number, high, low, caught, wire_len = section.packet[kind].unpack_from(body)
    if number >= len(section.interfaces):
        notes.unknown_interface_frames += 1
        return None
    interface = section.interfaces[number]
    if interface.link_type != LINKTYPE_ETHERNET:
        if interface.link_type < 0:
            notes.unknown_interface_frames += 1
        else:
            notes.count_link_type(interface.link_type)
        return None
    if kind == BLOCK_SIMPLE_PACKET:
        # It does not tell its captured length: the wire length, less what the snap length and the block leave out.
        caught = min(wire_len, interface.snaplen or wire_len, room - start)
    if caught > MAX_FRAME_BYTES:
        notes.long_frames += 1
        return None
    if caught > room - start:
        notes.bad_blocks += 1
        return None
    data = body[start : start + caught]
    if kind == BLOCK_SIMPLE_PACKET:
        return None, data, wire_len
    ticks = (high << 32) | low
    return ticks * 1_000_000_000 // interface.per_second + interface.offset_ns, data, wire_len
