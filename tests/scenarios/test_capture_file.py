"""pcap and pcapng: what a sound file says is read exactly; of a broken one what can be read, and the rest is told."""

import io
import os
import random
import struct
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import dpkt
import pcapng
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emu.errors import CaptureError
from emu.headers import HeaderTable
from scenarios.capture_file import CapturedFrame, CaptureFile, read_capture
from scenarios.capture_notes import CaptureNotes
from tests.scenarios.capture_bytes import (
    NS,
    block,
    enhanced,
    interface,
    obsolete,
    option,
    pcap,
    record,
    section,
    simple,
)

MIXED = Path(__file__).parents[2] / "scenarios" / "captures" / "mixed.pcap"
FRAME = bytes(range(60))


def read(data: bytes) -> tuple[list[CapturedFrame], CaptureNotes]:
    notes = CaptureNotes()
    return list(read_capture(io.BytesIO(data), notes)), notes


def times(data: bytes) -> list[int]:
    return [frame.time_ns for frame in read(data)[0]]


def facts(frames: list[CapturedFrame]) -> list[tuple[int, bytes, int]]:
    return [(frame.time_ns, frame.data, frame.wire_len) for frame in frames]


# well-formed pcap


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(("magic", "unit_ns"), [(0xA1B2C3D4, 1000), (0xA1B23C4D, 1)])
def test_pcap_of_either_byte_order_and_unit_is_read(order: str, magic: int, unit_ns: int) -> None:
    data = pcap(
        record(FRAME, (7, 999_999), order=order), record(b"x" * 14, (8, 5), order=order), order=order, magic=magic
    )
    frames, notes = read(data)
    gap = NS + 5 * unit_ns - 999_999 * unit_ns
    assert facts(frames) == [(0, FRAME, 60), (gap, b"x" * 14, 14)]
    assert notes.sentences() == []
    assert (notes.frames, notes.wire_bytes) == (2, 74)


def test_kuznetsovs_records_have_eight_bytes_more() -> None:
    longer = struct.pack("<IIIIIHBB", 3, 0, 60, 60, 2, 0x0008, 0, 0) + FRAME
    frames, notes = read(pcap(longer, longer, magic=0xA1B2CD34))
    assert [frame.data for frame in frames] == [FRAME, FRAME]
    assert notes.sentences() == []


def test_the_fcs_bits_above_the_link_type_do_not_change_it() -> None:
    assert len(read(pcap(record(FRAME), link_type=1 | 0x2400_0000))[0]) == 1


def test_frames_shorter_than_on_the_wire_keep_their_wire_length_and_are_told() -> None:
    frames, notes = read(pcap(record(FRAME, wire_len=1514), record(FRAME)))
    assert [frame.wire_len for frame in frames] == [1514, 60]
    assert notes.snapped_frames == 1
    assert notes.wire_bytes == 1574
    assert notes.sentences() == [
        "1 frame shorter in the file than on the wire (snap length): missing bytes count as sound."
    ]


# well-formed pcapng


@pytest.mark.parametrize("order", ["<", ">"])
def test_all_three_packet_blocks_of_either_byte_order_are_read(order: str) -> None:
    data = (
        section(order)
        + interface(order=order)
        + enhanced(FRAME, 1_000_000, order=order)
        + simple(b"s" * 61, order=order)
        + obsolete(b"o" * 15, 1_000_007, order=order)
    )
    frames, notes = read(data)
    assert facts(frames) == [(0, FRAME, 60), (0, b"s" * 61, 61), (7000, b"o" * 15, 15)]
    assert notes.untimed_frames == 1
    assert notes.sentences() == ["1 frame without a time stamp: played together with the frame before."]


def test_each_interface_has_its_own_clock() -> None:
    data = (
        section()
        + interface()  # microseconds
        + interface(tsresol=9)
        + interface(tsresol=0x80 | 10)  # 1/1024 s
        + interface(tsresol=0, tsoffset=-3)  # whole seconds, three late
        + enhanced(FRAME, 5_000_000, 0)
        + enhanced(FRAME, 5 * NS + 1, 1)
        + enhanced(FRAME, 5 * 1024 + 1, 2)
        + enhanced(FRAME, 9, 3)
    )
    assert times(data) == [0, 1, NS // 1024, NS]


def test_stamps_keep_every_nanosecond_of_a_present_day_clock() -> None:
    now = 1_795_000_000 * NS
    data = section() + interface(tsresol=9) + enhanced(FRAME, now + 1) + enhanced(FRAME, now + 2)
    assert times(data) == [0, 1]


def test_a_finest_clock_is_exact_and_harmless() -> None:
    data = section() + interface(tsresol=0x7F) + interface(tsresol=0xFF) + enhanced(FRAME, 2**64 - 1, 0)
    assert times(data + enhanced(FRAME, 2**64 - 1, 1)) == [0, 0]


def test_a_new_section_forgets_interfaces_and_byte_order() -> None:
    data = (
        section()
        + interface(link_type=113)
        + enhanced(FRAME)
        + section(">")
        + interface(order=">", tsresol=9)
        + enhanced(FRAME, 5, order=">")
    )
    frames, notes = read(data)
    assert len(frames) == 1
    assert notes.other_link_types == {113: 1}


def test_a_simple_packet_is_cut_to_the_first_interfaces_snaplen() -> None:
    data = section() + interface(snaplen=50) + simple(FRAME[:50], wire_len=1000)
    assert facts(read(data)[0]) == [(0, FRAME[:50], 1000)]


def test_blocks_that_hold_no_packet_are_stepped_over() -> None:
    data = section() + block(5, bytes(100)) + interface() + block(0xABC, bytes(70_000)) + enhanced(FRAME)
    frames, notes = read(data)
    assert len(frames) == 1
    assert notes.sentences() == []


def test_options_libraries_stumble_over_do_not_matter() -> None:
    odd = (option(5, bytes(17)), option(2, b"\xff\xfe"), option(2, b"again"), option(9, b"xx"), option(9999, b""))
    data = section() + interface(*odd, tsresol=9) + enhanced(FRAME, 1) + enhanced(FRAME, 3)
    assert times(data) == [0, 2]


@pytest.mark.parametrize("there", [0, 4])
def test_an_option_that_reaches_beyond_its_block_is_not_read(there: int) -> None:
    resolution = option(9, bytes([9]))
    lying = struct.pack("<HHI", 1, 0, 0) + resolution + struct.pack("<HH", 14, 8) + b"\x7f" * there
    data = section() + interface(tsresol=9) + block(1, lying) + enhanced(FRAME, 100, 0) + enhanced(FRAME, 105, 1)
    assert times(data) == [0, 5]


# oracles


@pytest.mark.filterwarnings("ignore:Field type should not be:DeprecationWarning")
def test_what_python_pcapng_writes_is_read_back() -> None:
    header = pcapng.blocks.SectionHeader(options={"shb_os": "x"})
    interfaces = [
        header.new_member(
            pcapng.blocks.InterfaceDescription,
            link_type=1,
            snaplen=0,
            options={"if_name": f"eth{number}", "if_tsresol": bytes([resolution])},
        )
        for number, resolution in enumerate((6, 9))
    ]
    assert len(interfaces) == 2
    stream = io.BytesIO()
    writer = pcapng.FileWriter(stream, header)
    rng = random.Random("writer")
    expected = []
    for number in range(200):
        which = rng.randrange(2)
        data = rng.randbytes(rng.randint(14, 1514))
        ticks = (1_795_000_000 * NS + number * 1000) // (1, 1000)[which == 0]
        packet = header.new_member(pcapng.blocks.EnhancedPacket, interface_id=which, options={"opt_comment": "seen"})
        packet.timestamp_high, packet.timestamp_low = ticks >> 32, ticks & 0xFFFFFFFF
        packet.packet_data, packet.packet_len = data, len(data) + number
        writer.write_block(packet)
        expected.append((number * 1000, data, len(data) + number))
    frames, notes = read(stream.getvalue())
    assert facts(frames) == expected
    assert notes.snapped_frames == 199


@pytest.mark.parametrize("nano", [False, True])
def test_what_dpkt_reads_of_the_recorded_capture_is_what_we_read(nano: bool, tmp_path: Path) -> None:
    with MIXED.open("rb") as stream:
        theirs = list(dpkt.pcap.Reader(stream))
    path = MIXED
    if not nano:  # the same frames written again by dpkt, in microseconds
        path = tmp_path / "us.pcap"
        with path.open("wb") as stream:
            writer = dpkt.pcap.Writer(stream, snaplen=65535)
            for seconds, data in theirs:
                writer.writepkt(data, float(seconds))
        with path.open("rb") as stream:
            theirs = list(dpkt.pcap.Reader(stream))
    ours = list(CaptureFile(path))
    assert [frame.data for frame in ours] == [data for _, data in theirs]
    assert all(frame.wire_len == len(frame.data) for frame in ours)
    span = theirs[-1][0] - theirs[0][0]
    assert abs(ours[-1].time_ns - int(span * NS)) < 2_000


# the recorded capture


def test_the_recorded_capture_holds_wire_frames_with_sound_checksums() -> None:
    table = HeaderTable()
    capture = CaptureFile(MIXED)
    protocols: dict[tuple[int, int], int] = {}
    for frame in capture:
        assert len(frame.data) == frame.wire_len <= 1514
        headers = table.parse(frame.data, frame.wire_len).hdr
        assert headers.ip_problem is None
        assert headers.l4_csum_ok
        key = (headers.version, headers.l4_protocol)
        protocols[key] = protocols.get(key, 0) + 1
    assert {(4, 6), (6, 6), (4, 17), (6, 17), (4, 1), (6, 58)} <= protocols.keys()
    assert min(protocols[4, 6], protocols[6, 6], protocols[4, 17], protocols[6, 17]) > 100
    assert capture.notes.snapped_frames == capture.notes.skipped_frames == 0
    assert MIXED.stat().st_size <= 1_500_000


def test_a_capture_file_can_be_read_again() -> None:
    capture = CaptureFile(MIXED)
    first = facts(list(capture))
    told = capture.notes
    assert facts(list(capture)) == first
    assert capture.notes is not told
    assert capture.notes.sentences() == told.sentences()


# times


def test_a_slightly_late_stamp_is_played_at_once_and_shifts_nothing() -> None:
    data = pcap(*(record(FRAME, (1, fraction)) for fraction in (0, 100, 40, 150)))
    assert times(data) == [0, 100, 100, 150]
    assert read(data)[1].backward_times == 1


def test_a_clock_set_back_goes_on_from_there() -> None:
    data = pcap(*(record(FRAME, stamp) for stamp in ((5000, 0), (5000, 10), (100, 0), (100, 7))))
    assert times(data) == [0, 10, 10, 17]
    assert read(data)[1].sentences() == [
        "1 frame stamped before the frame ahead of it: played at the same time.",
    ]


def test_more_than_an_hour_of_silence_is_not_waited_for() -> None:
    stamps = ((0, 0), (3600, 0), (7200, 1), (7200, 3))
    data = pcap(*(record(FRAME, stamp) for stamp in stamps))
    assert times(data) == [0, 3600 * NS, 3600 * NS, 3600 * NS + 2]
    assert read(data)[1].time_jumps == 1


@given(st.lists(st.tuples(st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1)), min_size=1, max_size=30))
def test_time_never_goes_backwards_and_no_gap_exceeds_an_hour(stamps: list[tuple[int, int]]) -> None:
    played = times(pcap(*(record(FRAME, stamp) for stamp in stamps)))
    assert played[0] == 0
    assert len(played) == len(stamps)
    assert all(0 <= later - earlier <= 3600 * NS for earlier, later in pairwise(played))


# what is left out


def test_other_link_types_are_left_out_and_told() -> None:
    kinds = (113, 113, 113, 127, 127, 101, 9, 228)
    data = section() + interface() + b"".join(interface(link_type=kind) for kind in kinds)
    data += enhanced(FRAME) + b"".join(enhanced(FRAME, number=1 + number) for number in range(len(kinds)))
    frames, notes = read(data)
    assert len(frames) == 1
    assert notes.skipped_frames == 8
    assert notes.sentences() == [
        "3 frames of Linux cooked v1 (link type 113) left out: only Ethernet is read.",
        "2 frames of 802.11 with radiotap (link type 127) left out: only Ethernet is read.",
        "1 frame of PPP (link type 9) left out: only Ethernet is read.",
        "2 frames of 2 more link types left out.",
    ]


def test_a_frame_of_256_kib_is_read_and_a_longer_one_stepped_over() -> None:
    limit = 256 * 1024
    for data in (
        pcap(record(bytes(limit)), record(bytes(limit + 1)), record(FRAME)),
        section() + interface() + enhanced(bytes(limit)) + enhanced(bytes(limit + 1)) + enhanced(FRAME),
    ):
        frames, notes = read(data)
        assert [len(frame.data) for frame in frames] == [limit, 60]
        assert notes.long_frames == 1
        assert notes.sentences() == ["1 frame longer than 256 KiB left out."]


def test_an_absurd_length_ends_the_reading_of_a_pcap_and_is_told() -> None:
    frames, notes = read(pcap(record(FRAME), record(b"", caught=2**32 - 1), record(FRAME)))
    assert len(frames) == 1
    assert notes.stopped_offset == 24 + 16 + 60
    assert notes.sentences() == [
        "Reading stopped at byte 100, the rest makes no sense: a frame of 4,294,967,295 bytes."
    ]


@pytest.mark.parametrize("size", [0, 4, 8, 13, 16 * 1024 * 1024 + 4, 2**32 - 4])
def test_an_impossible_block_length_ends_the_reading_of_a_pcapng_and_is_told(size: int) -> None:
    start = section() + interface() + enhanced(FRAME)
    frames, notes = read(start + block(6, bytes(100), size=size) + enhanced(FRAME))
    assert len(frames) == 1
    assert notes.stopped_offset == len(start)
    assert f"a block of {size:,} bytes" in notes.sentences()[0]


def test_wire_lengths_that_cannot_be_are_taken_as_captured() -> None:
    for data in (
        pcap(record(FRAME, wire_len=59), record(FRAME, wire_len=2**32 - 1)),
        section() + interface() + enhanced(FRAME, wire_len=59) + enhanced(FRAME, wire_len=2**32 - 1),
    ):
        frames, notes = read(data)
        assert [frame.wire_len for frame in frames] == [60, 60]
        assert (notes.lying_lengths, notes.absurd_lengths, notes.snapped_frames) == (1, 1, 0)
        assert len(notes.sentences()) == 2


def test_a_frame_longer_than_its_block_is_left_out() -> None:
    data = section() + interface() + enhanced(FRAME, caught=61) + block(6, bytes(16)) + enhanced(FRAME)
    frames, notes = read(data)
    assert len(frames) == 1
    assert notes.sentences() == ["2 blocks with lengths that contradict each other left out."]


def test_a_block_whose_two_lengths_differ_is_left_out() -> None:
    body = struct.pack("<IIIII", 0, 0, 0, 60, 60) + FRAME
    frames, notes = read(section() + interface() + block(6, body, trailer=96) + enhanced(FRAME))
    assert len(frames) == 1
    assert notes.bad_blocks == 1


def test_a_frame_on_an_interface_nobody_described_is_left_out() -> None:
    data = section() + simple(FRAME) + interface() + enhanced(FRAME, number=1) + enhanced(FRAME)
    frames, notes = read(data)
    assert len(frames) == 1
    assert notes.sentences() == ["2 frames on an interface the file does not describe left out."]


def test_interfaces_beyond_1024_are_refused() -> None:
    data = section() + interface() * 1030 + enhanced(FRAME, number=1023) + enhanced(FRAME, number=1024)
    frames, notes = read(data)
    assert len(frames) == 1
    assert notes.refused_interfaces == 6
    assert notes.unknown_interface_frames == 1


def test_a_description_that_is_too_short_keeps_its_number() -> None:
    data = section() + block(1, bytes(4)) + interface(tsresol=9)
    frames, notes = read(data + enhanced(FRAME, number=0) + enhanced(FRAME, 1, 1) + enhanced(FRAME, 3, 1))
    assert [frame.time_ns for frame in frames] == [0, 2]
    assert (notes.refused_interfaces, notes.unknown_interface_frames) == (1, 1)


def test_a_section_of_an_unknown_version_is_stepped_over() -> None:
    data = section() + interface() + enhanced(FRAME) + section(major=7) + interface() + enhanced(FRAME)
    frames, notes = read(data + section() + interface() + enhanced(FRAME))
    assert len(frames) == 2
    assert notes.sentences() == ["1 section of an unknown version left out."]


def test_a_broken_section_header_ends_the_reading() -> None:
    start = section() + interface() + enhanced(FRAME)
    for broken in (block(0x0A0D0D0A, bytes(16)), section()[:4] + struct.pack("<I", 24) + section()[8:]):
        frames, notes = read(start + broken + enhanced(FRAME))
        assert len(frames) == 1
        assert notes.stopped_offset == len(start)
        assert "section header" in notes.sentences()[0]


# nothing to read


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "only 0 bytes"),
        (b"\xd4\xc3", "only 2 bytes"),
        (b"GIF89a", "neither pcap nor pcapng (it begins with 47 49 46 38)"),
        (b"\x1f\x8b\x08\x00" + bytes(100), "neither pcap nor pcapng"),
        (pcap()[:23], "within its first 24 bytes"),
        (pcap(), "no Ethernet frame"),
        (pcap(record(FRAME)[:-1]), "has no end"),
        (pcap(record(FRAME), minor=2), "version 2.2"),
        (pcap(record(FRAME), link_type=113), "Linux cooked v1"),
        (pcap(record(FRAME), link_type=147), "link type 147"),
        (section()[:11], "section header cannot be read"),
        (block(0x0A0D0D0A, bytes(16)), "without a byte order"),
        (section(major=2), "version of pcapng"),
        (section() + interface(), "no Ethernet frame"),
        (section() + interface(link_type=105) + enhanced(FRAME), "802.11"),
    ],
)
def test_a_file_without_a_single_frame_is_an_error_that_says_why(data: bytes, words: str) -> None:
    with pytest.raises(CaptureError) as caught:
        read(data)
    assert str(caught.value).startswith("capture: ")
    assert words in str(caught.value)
    assert caught.value.exit_code == 3


def test_a_path_that_cannot_be_read_is_an_error_at_once(tmp_path: Path) -> None:
    for path in (tmp_path / "missing.pcap", tmp_path, Path("a\0b")):
        with pytest.raises(CaptureError, match="cannot be opened"):
            CaptureFile(path)
    empty = tmp_path / "empty.pcap"
    empty.write_bytes(pcap())
    with pytest.raises(CaptureError, match="no Ethernet frame"):
        CaptureFile(empty)


def test_a_disk_that_fails_midway_ends_the_reading_and_is_told() -> None:
    class Failing(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            if self.tell() >= 100:
                raise OSError(5, os.strerror(5))
            return super().read(size)

    notes = CaptureNotes()
    frames = list(read_capture(Failing(pcap(record(FRAME), record(FRAME))), notes))
    assert len(frames) == 1
    assert notes.sentences() == [
        "Reading stopped at byte 100, the rest makes no sense: the system could not read it (Input/output error)."
    ]


# any bytes at all

PCAPNG = (
    section()
    + interface(snaplen=100, tsresol=9)
    + interface(link_type=113, tsoffset=5)
    + enhanced(FRAME, 10)
    + simple(FRAME)
    + obsolete(FRAME, 20)
    + enhanced(FRAME, 3, 1)
    + section(">")
    + interface(order=">")
    + enhanced(FRAME, 30, order=">")
)
PCAP = pcap(record(FRAME, (1, 1)), record(FRAME, (1, 2), wire_len=100), record(FRAME, (2, 3)))


class BoundedReads(io.BytesIO):
    """A stream that fails the test when asked for more than one block at a time."""

    def read(self, size: int | None = -1, /) -> bytes:
        assert size is not None
        assert 0 <= size <= 16 * 1024 * 1024
        return super().read(size)


def check_bounds(data: bytes) -> int:
    """Read any bytes; returns the number of frames. Every frame lies in the file, and each costs bytes of it."""
    notes = CaptureNotes()
    frames = []
    try:
        for frame in read_capture(BoundedReads(data), notes):
            frames.append(frame)
    except CaptureError:
        assert frames == []
    assert sum(len(frame.data) + 16 for frame in frames) <= len(data)
    last_ns = 0
    for frame in frames:
        assert frame.data in data
        assert len(frame.data) <= frame.wire_len <= 256 * 1024
        assert last_ns <= frame.time_ns <= last_ns + 3600 * NS
        last_ns = frame.time_ns
    assert notes.frames == len(frames)
    assert all(sentence.isprintable() and sentence.endswith(".") for sentence in notes.sentences())
    return len(frames)


@pytest.mark.parametrize("whole", [PCAP, PCAPNG], ids=["pcap", "pcapng"])
def test_a_file_cut_anywhere_keeps_the_frames_before_the_cut_and_tells_the_cut(whole: bytes) -> None:
    frames = facts(read(whole)[0])
    kept = 0
    for length in range(len(whole)):
        notes = CaptureNotes()
        got = []
        try:
            for frame in read_capture(io.BytesIO(whole[:length]), notes):
                got.append(frame)
        except CaptureError:
            assert kept == 0
            continue
        assert facts(got) == frames[: len(got)]
        assert len(got) in (kept, kept + 1)
        kept = len(got)
        if notes.cut_offset >= 0:
            assert notes.cut_offset + notes.cut_bytes == length
        else:  # cut exactly between two blocks or records
            assert read(whole[:length] + whole[length : length + 3])[1].cut_offset == length
    assert kept == len(frames) - 1


@settings(max_examples=200)
@given(
    st.sampled_from([pcap(), pcap(order=">", magic=0xA1B2C3D4), section() + interface(), section(), b""]),
    st.binary(max_size=400),
)
def test_any_bytes_behind_a_header_end_within_bounds(head: bytes, tail: bytes) -> None:
    check_bounds(head + tail)


@settings(max_examples=300)
@given(
    st.sampled_from([PCAP, PCAPNG]),
    st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), min_size=1, max_size=8),
    st.integers(0, 10**6),
)
def test_any_mutation_ends_within_bounds(whole: bytes, changes: list[tuple[int, int]], cut: int) -> None:
    data = bytearray(whole)
    for at, value in changes:
        data[at % len(data)] = value
    check_bounds(bytes(data[: 1 + cut % len(data)]))


@settings(max_examples=150)
@given(
    st.lists(
        st.tuples(
            st.sampled_from([1, 2, 3, 5, 6, 0xBAD, 0x0A0D0D0A]),
            st.binary(max_size=80),
            st.one_of(st.none(), st.integers(0, 2**32 - 1)),
        ),
        max_size=12,
    )
)
def test_any_blocks_with_any_bodies_end_within_bounds(blocks: list[tuple[int, bytes, int | None]]) -> None:
    check_bounds(
        section() + interface() + b"".join(block(kind, body, trailer=trailer) for kind, body, trailer in blocks)
    )


def as_pcap(data: bytes) -> bytes:
    return data


def as_pcapng(data: bytes) -> bytes:
    frames, _ = read(data)
    return section() + interface(tsresol=9) + b"".join(enhanced(frame.data, frame.time_ns) for frame in frames)


@pytest.mark.parametrize("form", [as_pcap, as_pcapng])
def test_the_recorded_capture_mutated_and_cut_ends_within_bounds(form: Callable[[bytes], bytes]) -> None:
    head = MIXED.read_bytes()[: 24 + 4 * 1000]
    whole = form(head)
    unharmed = check_bounds(whole)
    assert unharmed > 10
    rng = random.Random("mutations")
    read_frames = 0
    for _ in range(150):
        data = bytearray(whole)
        for _ in range(rng.choice((1, 3, 30))):
            data[rng.randrange(len(data))] = rng.choice((0, 0xFF, rng.randrange(256)))
        read_frames += check_bounds(bytes(data[: rng.randint(1, len(data))]))
    assert read_frames > unharmed  # mutations do not make most of a file unreadable
