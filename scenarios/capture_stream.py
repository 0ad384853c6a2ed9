"""The bytes of a capture, read in order and never more than asked for: an end or a fault is noted, never raised."""

from typing import BinaryIO, Final

from scenarios.capture_notes import CaptureNotes

MAX_FRAME_BYTES: Final = 256 * 1024
MAX_BLOCK_BYTES: Final = 16 * 1024 * 1024
SKIP_CHUNK_BYTES: Final = 64 * 1024

RawFrame = tuple[int | None, bytes, int]
"""(stamp in ns as the file has it or None, captured bytes, wire length), before stamp and length are made plausible."""


class CaptureStream:
    """A buffered binary stream and where the record or block being read began, so that notes can name the byte."""

    __slots__ = ("_stream", "notes", "offset", "start")

    def __init__(self, stream: BinaryIO, notes: CaptureNotes) -> None:
        self._stream = stream
        self.notes = notes
        self.offset = 0
        """Bytes read so far."""
        self.start = 0
        """Byte of the file at which the current record or block begins."""

    def begin(self, length: int) -> bytes | None:
        """Read the first `length` bytes of the next record or block; None at the end of the file."""
        self.start = self.offset
        return self.read(length)

    def read(self, length: int) -> bytes | None:
        """Read `length` bytes more of the current record or block; None, noted, if they are not there."""
        try:
            data = self._stream.read(length)
        except OSError as error:
            self.stop(f"the system could not read it ({error.strerror or error})")
            return None
        there = len(data)
        self.offset += there
        if there < length:
            if self.offset > self.start:
                self.notes.cut(self.start, self.offset - self.start)
            return None
        return data

    def skip(self, length: int) -> bool:
        """Read over `length` bytes without holding them; False, noted, if they are not there."""
        while length > 0:
            chunk = self.read(min(length, SKIP_CHUNK_BYTES))
            if chunk is None:
                return False
            length -= len(chunk)
        return True

    def stop(self, why: str) -> None:
        """Note that nothing from the start of the current record or block on is used, and why."""
        self.notes.stop(self.start, why)
