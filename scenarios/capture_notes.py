"""What was odd about a capture: counted while it is read, told afterwards in plain sentences.

Of what is inside the file only numbers reach a sentence: names and comments could hold terminal escapes.
"""

from typing import Final

LINK_TYPE_NAMES: Final[dict[int, str]] = {
    0: "BSD loopback",
    1: "Ethernet",
    9: "PPP",
    101: "raw IP",
    105: "802.11",
    108: "OpenBSD loopback",
    113: "Linux cooked v1",
    127: "802.11 with radiotap",
    189: "USB",
    228: "raw IPv4",
    229: "raw IPv6",
    276: "Linux cooked v2",
}
"""The link types users meet most, of https://www.tcpdump.org/linktypes.html: for words only."""

LINK_TYPES_TOLD: Final = 3


def link_type_words(link_type: int) -> str:
    """`113` -> `Linux cooked v1 (link type 113)`; a number without a name stays a number."""
    name = LINK_TYPE_NAMES.get(link_type)
    return f"link type {link_type}" if name is None else f"{name} (link type {link_type})"


class CaptureNotes:
    """Counters of one reading of a capture. All are frames unless the name says otherwise."""

    __slots__ = (
        "absurd_lengths",
        "backward_times",
        "bad_blocks",
        "cut_bytes",
        "cut_offset",
        "frames",
        "long_frames",
        "lying_lengths",
        "other_link_types",
        "refused_interfaces",
        "snapped_frames",
        "stopped_offset",
        "stopped_why",
        "time_jumps",
        "unknown_interface_frames",
        "unknown_sections",
        "untimed_frames",
        "wire_bytes",
    )

    def __init__(self) -> None:
        self.frames = 0
        """Frames handed on."""
        self.wire_bytes = 0
        """Their bytes on the wire."""
        self.snapped_frames = 0
        """Handed on, but shorter in the file than on the wire (snap length)."""
        self.lying_lengths = 0
        """Handed on, with a wire length below the captured length: taken as the captured length."""
        self.absurd_lengths = 0
        """Handed on, with a wire length beyond any frame: taken as the captured length."""
        self.long_frames = 0
        """Left out: captured length beyond 256 KiB."""
        self.bad_blocks = 0
        """pcapng blocks left out: two different lengths, or a content longer than the block."""
        self.other_link_types: dict[int, int] = {}
        """Frames left out, by link type: only Ethernet is read."""
        self.unknown_interface_frames = 0
        """Left out: on a pcapng interface that was never described, so that its link type and clock are unknown."""
        self.refused_interfaces = 0
        """pcapng interface descriptions that could not be used: beyond the limit, or too short."""
        self.unknown_sections = 0
        """pcapng sections left out: of an unknown version."""
        self.untimed_frames = 0
        """Handed on with the time of the frame before: simple packet blocks have no stamp."""
        self.backward_times = 0
        """Stamps before the frame before: played at the same time as that."""
        self.time_jumps = 0
        """Stamps more than an hour after the frame before: played without a gap."""
        self.cut_offset = -1
        """Byte of the file at which the record or block begins whose end is missing; -1 when the file is whole."""
        self.cut_bytes = 0
        """Bytes of that unfinished record or block which are there."""
        self.stopped_offset = -1
        """Byte of the file from which on nothing made sense; -1 when it was read to the end."""
        self.stopped_why = ""

    @property
    def skipped_frames(self) -> int:
        """Frames that were seen and left out. Unbounded loss behind `stopped_offset` cannot be counted."""
        return self.long_frames + self.unknown_interface_frames + sum(self.other_link_types.values())

    def count_link_type(self, link_type: int) -> None:
        """Count a frame left out for its link type. At most 65,536 keys: the field in pcapng has 16 bits."""
        self.other_link_types[link_type] = self.other_link_types.get(link_type, 0) + 1

    def stop(self, offset: int, why: str) -> None:
        """Note that reading ended at byte `offset` of the file; `why` completes "the rest makes no sense: ..."."""
        self.stopped_offset = offset
        self.stopped_why = why

    def cut(self, offset: int, there_bytes: int) -> None:
        """Note that of the record or block starting at byte `offset` only `there_bytes` are in the file."""
        self.cut_offset = offset
        self.cut_bytes = there_bytes

    def sentences(self) -> list[str]:
        """What a user should know about this reading, most important first; empty when nothing was odd."""
        told: list[str] = []
        if self.stopped_offset >= 0:
            told.append(f"Reading stopped at byte {self.stopped_offset}, the rest makes no sense: {self.stopped_why}.")
        if self.cut_offset >= 0:
            told.append(
                f"The file is cut: what begins at byte {self.cut_offset} has no end, "
                f"its {count(self.cut_bytes, 'byte')} left out."
            )
        kinds = sorted(self.other_link_types.items(), key=lambda item: (-item[1], item[0]))
        for link_type, frames in kinds[:LINK_TYPES_TOLD]:
            told.append(f"{count(frames, 'frame')} of {link_type_words(link_type)} left out: only Ethernet is read.")
        if len(kinds) > LINK_TYPES_TOLD:
            frames = sum(frames for _, frames in kinds[LINK_TYPES_TOLD:])
            told.append(f"{count(frames, 'frame')} of {len(kinds) - LINK_TYPES_TOLD} more link types left out.")
        for number, words in (
            (self.long_frames, "longer than 256 KiB left out."),
            (self.unknown_interface_frames, "on an interface the file does not describe left out."),
            (
                self.snapped_frames,
                "shorter in the file than on the wire (snap length): missing bytes count as sound.",
            ),
            (self.lying_lengths, "with a wire length below the captured length: taken as captured."),
            (self.absurd_lengths, "with a wire length beyond 256 KiB: taken as captured."),
            (self.untimed_frames, "without a time stamp: played together with the frame before."),
            (self.backward_times, "stamped before the frame ahead of it: played at the same time."),
            (self.time_jumps, "stamped more than an hour after the frame ahead of it: played without the gap."),
        ):
            if number:
                told.append(f"{count(number, 'frame')} {words}")
        if self.bad_blocks:
            told.append(f"{count(self.bad_blocks, 'block')} with lengths that contradict each other left out.")
        if self.refused_interfaces:
            told.append(
                f"{count(self.refused_interfaces, 'interface description')} left out: too short, or more than 1024."
            )
        if self.unknown_sections:
            told.append(f"{count(self.unknown_sections, 'section')} of an unknown version left out.")
        return told


def count(number: int, noun: str) -> str:
    """`count(1, "frame")` -> `1 frame`, `count(1200, "frame")` -> `1,200 frames`."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
