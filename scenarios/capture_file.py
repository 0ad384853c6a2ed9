"""Captures of real traffic: pcap and pcapng, read as a stream, whatever their bytes are.

Models: pcap 2.3 and 2.4 of either byte order, us or ns stamps, Kuznetsov's longer record; pcapng (see capture_pcapng).
Leaves out: FCS bytes at the end of frames, which stay in the frame; compressed files.
Source: draft-ietf-opsawg-pcap, https://www.tcpdump.org/linktypes.html (Ethernet is link type 1).

Why by `struct` and not by a library, as of dpkt 1.9.8 and python-pcapng 2.1.1, which serve as oracles in the tests:
dpkt's readers drop the length on the wire, give float seconds (no nanoseconds), use one interface's clock for all and
step over simple packet blocks; python-pcapng raises TypeError on a valid if_IPv6addr and on a repeated option, raises
at the first bad byte, reads the whole file into memory for a block length below 12, and takes 17 us a frame.
"""

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final

from emu.errors import CaptureError
from scenarios.capture_notes import CaptureNotes, link_type_words
from scenarios.capture_pcapng import LINKTYPE_ETHERNET, SECTION_MAGIC, read_pcapng
from scenarios.capture_stream import MAX_BLOCK_BYTES, MAX_FRAME_BYTES, CaptureStream, RawFrame

MAX_GAP_NS: Final = 3600 * 1_000_000_000
"""A longer gap is a changed clock or a broken stamp, nothing to wait for."""
REORDER_NS: Final = 1_000_000_000
"""Frames from several CPUs or interfaces come slightly out of order; further back than this, the clock was set."""

PCAP_HEADER_BYTES: Final = 24
PCAP_MAGICS: Final[dict[bytes, tuple[str, int, int]]] = {
    b"\xa1\xb2\xc3\xd4": (">", 1000, 16),
    b"\xd4\xc3\xb2\xa1": ("<", 1000, 16),
    b"\xa1\xb2\x3c\x4d": (">", 1, 16),
    b"\x4d\x3c\xb2\xa1": ("<", 1, 16),
    b"\xa1\xb2\xcd\x34": (">", 1000, 24),
    b"\x34\xcd\xb2\xa1": ("<", 1000, 24),
}
"""First four bytes -> byte order, ns per unit of the stamp's fraction, bytes of a record header."""


class CapturedFrame:
    """One Ethernet frame of a capture.

    `time_ns` counts from the first frame (which is at 0) and never goes backwards; `data` is what the file holds of the
    frame, at most 256 KiB; `wire_len` is its length on the wire in bytes, 256 KiB at most and never below `len(data)`.
    """

    __slots__ = ("data", "time_ns", "wire_len")

    def __init__(self, time_ns: int, data: bytes, wire_len: int) -> None:
        self.time_ns = time_ns
        self.data = data
        self.wire_len = wire_len

    def __repr__(self) -> str:
        return f"CapturedFrame({self.time_ns}, {len(self.data)} of {self.wire_len} bytes)"


class CaptureFile:
    """A capture on disk that can be iterated any number of times; each time it is opened and streamed anew.

    Raises CaptureError from the constructor when there is nothing to play: unreadable, no capture, no Ethernet frame.
    `notes` belongs to the latest iteration and is complete when that one has ended.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self.notes = CaptureNotes()
        for _ in self:
            break
        self.notes = CaptureNotes()

    def __iter__(self) -> Iterator[CapturedFrame]:
        notes = self.notes = CaptureNotes()
        try:
            stream = self.path.open("rb")
        except (OSError, ValueError) as error:
            words = (error.strerror if isinstance(error, OSError) else None) or error
            raise CaptureError(f"{self.path}: cannot be opened ({words}).") from error
        with stream:
            yield from read_capture(stream, notes, str(self.path))


def read_capture(stream: BinaryIO, notes: CaptureNotes, name: str = "capture") -> Iterator[CapturedFrame]:
    """Yield the Ethernet frames of `stream` in the file's order, counting in `notes` what was odd.

    Only `stream.read` is used, and is expected to give all it is asked for but at the end, as buffered streams do.
    Raises CaptureError, beginning with `name`, when it is not a capture or has not a single Ethernet frame. After the
    first frame it never raises for what the bytes are. Time is linear in the bytes read; at most one block (16 MiB) is
    held.
    """
    source = CaptureStream(stream, notes)
    head = source.begin(4)
    if head is None:
        words = notes.sentences()
        raise CaptureError(" ".join([f"{name}: no capture, there are only {source.offset} bytes to be read.", *words]))
    if head in PCAP_MAGICS:
        raw = _read_pcap(source, head, name)
    elif head == SECTION_MAGIC:
        raw = read_pcapng(source, name)
    else:
        raise CaptureError(f"{name}: neither pcap nor pcapng (it begins with {head.hex(' ')}).")
    time_ns = 0
    high_ns: int | None = None  # the stamp that `time_ns` stands for
    for stamp_ns, data, wire_len in raw:
        caught = len(data)
        if wire_len != caught:
            if wire_len < caught:
                notes.lying_lengths += 1
                wire_len = caught
            elif wire_len > MAX_FRAME_BYTES:
                notes.absurd_lengths += 1
                wire_len = caught
            else:
                notes.snapped_frames += 1
        if stamp_ns is None:
            notes.untimed_frames += 1
        elif high_ns is None:
            high_ns = stamp_ns
        else:
            gap_ns = stamp_ns - high_ns
            if gap_ns < 0:
                notes.backward_times += 1
                if gap_ns < -REORDER_NS:
                    high_ns = stamp_ns
            else:
                high_ns = stamp_ns
                if gap_ns > MAX_GAP_NS:
                    notes.time_jumps += 1
                else:
                    time_ns += gap_ns
        notes.frames += 1
        notes.wire_bytes += wire_len
        yield CapturedFrame(time_ns, data, wire_len)
    if notes.frames == 0:
        raise CaptureError(" ".join([f"{name}: has no Ethernet frame that could be read.", *notes.sentences()]))


def _read_pcap(source: CaptureStream, magic: bytes, name: str) -> Iterator[RawFrame]:
    """Read on behind the magic. A record has no mark to find it again by: an absurd length ends the reading."""
    order, fraction_ns, record_bytes = PCAP_MAGICS[magic]
    header = source.read(PCAP_HEADER_BYTES - 4)
    if header is None:
        raise CaptureError(f"{name}: the file ends within its first {PCAP_HEADER_BYTES} bytes, the pcap header.")
    major, minor, _, _, _, network = struct.unpack(f"{order}HHIIII", header)
    if major != 2 or minor < 3:
        raise CaptureError(f"{name}: pcap version {major}.{minor} is unknown (2.3 and 2.4 are read).")
    link_type = network & 0x03FF_FFFF  # what is above tells of an FCS
    if link_type != LINKTYPE_ETHERNET:
        raise CaptureError(f"{name}: has frames of {link_type_words(link_type)}, and only Ethernet is read.")
    unpack = struct.Struct(f"{order}IIII").unpack_from
    while (record := source.begin(record_bytes)) is not None:
        seconds, fraction, caught, wire_len = unpack(record)
        if caught > MAX_BLOCK_BYTES:
            source.stop(f"a frame of {caught:,} bytes")
            return
        if caught > MAX_FRAME_BYTES:
            if not source.skip(caught):
                return
            source.notes.long_frames += 1
            continue
        data = source.read(caught)
        if data is None:
            return
        yield seconds * 1_000_000_000 + fraction * fraction_ns, data, wire_len
