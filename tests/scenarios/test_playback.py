"""Playback: a capture's frames at the right times, as often as asked, as from as many peers as asked."""

import struct
from collections import Counter, defaultdict
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emu.clock import NEVER
from emu.errors import CaptureError, ConfigError
from emu.headers import (
    IPPROTO_ICMP,
    IPPROTO_TCP,
    IPPROTO_UDP,
    TCP_ACK,
    TCP_FIN,
    TCP_SYN,
    Headers,
    HeaderTable,
    build,
    ones_complement_sum,
)
from emu.skb import Skb
from scenarios.capture_file import CapturedFrame
from scenarios.flows import make_headers
from scenarios.playback import Playback, Recording, copy_headers, load_recording, parse_recording

MIXED = Path(__file__).parents[2] / "scenarios" / "captures" / "mixed.pcap"
LOCAL, PEER, OTHER = b"\x0a\x00\x00\x01", b"\x0a\x00\x00\x02", b"\x0a\x00\x00\x03"
MACS = b"\x02\0\0\0\0\x01\x02\0\0\0\0\x02"


def tcp(seq: int, payload: int, flags: int = TCP_ACK, saddr: bytes = PEER, sport: int = 1111) -> bytes:
    hdr = make_headers(HeaderTable(), MACS, saddr, LOCAL, IPPROTO_TCP, sport, 80, flags)
    return build(hdr, 54 + payload, 7, seq)


def udp(payload: int, saddr: bytes = PEER, daddr: bytes = LOCAL, sport: int = 2222) -> bytes:
    return build(make_headers(HeaderTable(), MACS, saddr, daddr, IPPROTO_UDP, sport, 53), 42 + payload, 9, 0)


def recorded(*frames: tuple[int, bytes]) -> Recording:
    return parse_recording(
        [CapturedFrame(at, data, len(data)) for at, data in frames], None, HeaderTable(), ["10.0.0.1"]
    )


def play(recording: Recording, **options: Any) -> list[Skb]:
    return Playback(recording, **options).fill(NEVER - 1)


@pytest.fixture(scope="module")
def mixed() -> Recording:
    return load_recording(MIXED, HeaderTable())


def shape(frames: list[Skb]) -> list[tuple[object, ...]]:
    return [(s.arrived_ns, s.hdr.flow, s.wire_bytes, s.payload_bytes, s.ip_id, s.seq, s.data) for s in frames]


def test_a_pass_is_the_recording_itself(mixed: Recording) -> None:
    frames = play(mixed)
    assert len(frames) == mixed.sides.local_frames == len(mixed.frames)
    for skb, (time_ns, frame) in zip(frames, mixed.frames, strict=True):
        assert skb.arrived_ns == time_ns
        assert skb.hdr is frame.hdr
        assert skb.data is frame.data
        assert (skb.wire_bytes, skb.payload_bytes) == (frame.wire_bytes, frame.payload_bytes)
        assert (skb.ip_id, skb.seq) == (frame.ip_id, frame.seq)
    assert frames[0].arrived_ns == 0


def test_only_frames_for_the_local_side_are_played_and_the_rest_is_told() -> None:
    recording = recorded((0, udp(10)), (5, udp(20, LOCAL, PEER)), (9, udp(30, PEER, OTHER)), (11, udp(40)))
    assert [(skb.arrived_ns, skb.payload_bytes) for skb in play(recording)] == [(0, 10), (11, 40)]
    assert any("2 frames left out: 1 sent by it, 1 for other hosts" in words for words in recording.sentences())


def test_time_starts_with_the_first_frame_that_is_played() -> None:
    recording = recorded((0, udp(20, LOCAL, PEER)), (700, udp(1)), (900, udp(2)))
    assert [skb.arrived_ns for skb in play(recording, start_ns=50)] == [50, 250]


@pytest.mark.parametrize("speed", [0.25, 1, 3, 10.5])
def test_speed_divides_the_recorded_times(mixed: Recording, speed: float) -> None:
    for skb, (time_ns, _) in zip(play(mixed, speed=speed), mixed.frames, strict=True):
        assert skb.arrived_ns == time_ns / Fraction(speed) // 1


@pytest.mark.parametrize("spread", [1, 3])
def test_a_fixed_rate_is_exact(mixed: Recording, spread: int) -> None:
    frames = play(mixed, pps=700_000, repeat=2, spread=spread)
    assert len(frames) == 2 * spread * len(mixed.frames)
    assert [skb.arrived_ns for skb in frames] == [n * 10_000 // 7 for n in range(len(frames))]


def test_passes_follow_each_other_with_a_pause_of_a_mean_gap() -> None:
    recording = recorded((0, udp(1)), (10_000, udp(2)), (40_000, udp(3)))
    times = [skb.arrived_ns for skb in play(recording, repeat=3)]
    assert times == [0, 10_000, 40_000, 60_000, 70_000, 100_000, 120_000, 130_000, 160_000]
    assert [skb.arrived_ns for skb in play(recorded((3, udp(1))), repeat=3)] == [0, 1_000_000, 2_000_000]


def test_endless_playback_ends_at_its_stop_or_its_count(mixed: Recording) -> None:
    assert len(play(mixed, repeat=None, pps=1e6, stop_ns=10_000_000)) == 10_000
    endless = Playback(mixed, repeat=None, max_packets=9_999)
    assert len(endless.fill(NEVER - 1)) == 9_999
    assert endless.next_ns() == NEVER


@pytest.mark.parametrize(
    "options",
    [
        {"repeat": 2, "speed": 500.0},
        {"repeat": None, "pps": 5e6, "spread": 5, "stop_ns": 1_000_000},
        {"repeat": 2, "speed": 900.0, "spread": 3, "line_gbps": 10},
    ],
)
@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_frames_do_not_depend_on_the_chunks_they_are_asked_for(
    mixed: Recording, options: dict[str, Any], data: st.DataObject
) -> None:
    end = 6_000_000
    whole = shape(Playback(mixed, **options).fill(end))
    assert len(whole) > 3000
    parts = Playback(mixed, **options)
    got: list[Skb] = []
    for until in [*sorted(data.draw(st.lists(st.integers(0, end), max_size=10))), end]:
        due = parts.next_ns()
        chunk = parts.fill(until)
        assert bool(chunk) == (due <= until)
        got += chunk
    assert shape(got) == whole


def test_every_copy_comes_from_peers_of_its_own(mixed: Recording) -> None:
    frames = play(mixed, spread=4)
    one = {frame.hdr.flow for _, frame in mixed.frames if frame.hdr.l4_protocol in (IPPROTO_TCP, IPPROTO_UDP)}
    all_flows = {skb.hdr.flow for skb in frames if skb.hdr.l4_protocol in (IPPROTO_TCP, IPPROTO_UDP)}
    assert len(all_flows) == 4 * len(one)
    assert {flow[2:] for flow in all_flows} <= {flow[2:] for flow in one}
    lanes = [frames[lane::4] for lane in range(4)]
    for lane in lanes[1:]:
        assert [(s.wire_bytes, s.payload_bytes, s.seq, s.ip_id, s.hdr.dport) for s in lane] == [
            (s.wire_bytes, s.payload_bytes, s.seq, s.ip_id, s.hdr.dport) for s in lanes[0]
        ]
    peers = [{skb.hdr.saddr for skb in lane if skb.hdr.l4_protocol == IPPROTO_UDP} for lane in lanes]
    assert not (peers[0] & peers[1] or peers[1] & peers[2] or peers[2] & peers[3])
    assert all(address[:2] in (b"\xc6\x12", b"\x20\x01") for address in peers[1])


def fields(hdr: Headers) -> dict[str, object]:
    return {name: getattr(hdr, name) for name in Headers.__slots__}


def test_copied_headers_are_what_the_parser_finds_in_a_frame_from_that_peer(mixed: Recording) -> None:
    table = HeaderTable()
    checked = Counter[int]()
    for skb in play(mixed, spread=3)[1::3]:
        if skb.data is None:
            frame = table.parse(build(skb.hdr, skb.wire_bytes, skb.ip_id, skb.seq))
            assert fields(frame.hdr) == fields(skb.hdr)
            assert frame.hdr.l4_csum_ok
            assert frame.hdr.ip_csum_ok
            assert (frame.payload_bytes, frame.seq) == (skb.payload_bytes, skb.seq)
            checked[skb.hdr.version] += 1
    assert checked[4] > 1000
    assert checked[6] > 10


def test_headers_of_a_copy_are_made_once(mixed: Recording) -> None:
    frames = play(mixed, spread=3, repeat=3)
    distinct = {id(frame.hdr) for _, frame in mixed.frames}
    assert len({id(skb.hdr) for skb in frames}) <= 3 * len(distinct)
    first, third = frames[: len(frames) // 3], frames[-len(frames) // 3 :]
    assert all(a.hdr is b.hdr for a, b in zip(first, third, strict=True))


def test_frames_of_a_copy_lie_evenly_within_the_recorded_gap() -> None:
    recording = recorded((0, udp(1)), (900, udp(2)))
    assert [skb.arrived_ns for skb in play(recording, spread=3)] == [0, 300, 600, 900, 1233, 1566]


def test_unsound_frames_are_the_same_in_all_copies_and_keep_their_bytes() -> None:
    broken = bytearray(udp(10))
    broken[24] ^= 1  # the IPv4 header checksum
    wrong_sum = bytearray(tcp(5, 10))
    wrong_sum[-1] ^= 1
    recording = recorded((0, bytes(broken)), (10, bytes(wrong_sum)), (20, udp(1)))
    frames = play(recording, spread=2, repeat=2)
    for which, data in ((0, broken), (2, wrong_sum)):
        same = [frames[index] for index in (which, which + 1, which + 6, which + 7)]
        assert len({id(skb.hdr) for skb in same}) == 1
        assert {skb.data for skb in same} == {bytes(data)}
        assert {skb.seq for skb in same} == {same[0].seq}


def test_a_snapped_frame_keeps_its_wire_length() -> None:
    whole = udp(900)
    recording = parse_recording([CapturedFrame(0, whole[:96], len(whole))], None, HeaderTable(), ["10.0.0.1"])
    for skb in play(recording, spread=2):
        assert (skb.wire_bytes, skb.payload_bytes) == (942, 900)
        assert skb.hdr.l4_csum_ok


@pytest.mark.parametrize("first", [1000, 0xFFFFFF00])
def test_tcp_goes_on_in_the_next_pass_where_it_ended(first: int) -> None:
    recording = recorded(
        (0, tcp(first, 100)), (10, tcp(first + 300 & 0xFFFFFFFF, 50)), (20, tcp(first + 100 & 0xFFFFFFFF, 200))
    )
    frames = play(recording, repeat=3)
    starts = [(skb.seq - first & 0xFFFFFFFF, skb.payload_bytes) for skb in frames]
    assert starts == [(base + at, n) for base in (0, 350, 700) for at, n in ((0, 100), (300, 50), (100, 200))]
    assert [skb.data is None for skb in frames] == [False] * 3 + [True] * 6


def test_a_repeated_connection_leaves_no_hole_in_its_data() -> None:
    recording = recorded((0, tcp(99, 0, TCP_SYN)), (5, tcp(100, 40)), (9, tcp(140, 10, TCP_ACK | TCP_FIN)))
    frames = play(recording, repeat=2)
    assert [skb.seq for skb in frames] == [99, 100, 140, 150, 151, 191]
    # 100 + 40 + 10 + FIN = 151: there the data of the next pass begin.


def test_flows_of_one_capture_move_on_by_their_own_lengths() -> None:
    recording = recorded((0, tcp(10, 30)), (1, tcp(10, 500, saddr=OTHER)), (2, udp(7)))
    by_flow = defaultdict(list)
    for skb in play(recording, repeat=3):
        by_flow[skb.hdr.flow[:2]].append(skb.seq)
    assert by_flow == {
        (IPPROTO_TCP, PEER): [10, 40, 70],
        (IPPROTO_TCP, OTHER): [10, 510, 1010],
        (IPPROTO_UDP, PEER): [0, 0, 0],
    }


def test_the_line_spaces_frames_that_were_captured_together() -> None:
    recording = recorded(*[(0, udp(18)) for _ in range(4)])
    assert [skb.arrived_ns for skb in play(recording, line_gbps=10)] == [0, 67, 134, 201]


def test_icmp_is_spread_too() -> None:
    icmp = struct.pack("!BBHHH", 8, 0, 0, 1, 1) + bytes(20)
    icmp = icmp[:2] + struct.pack("!H", 0xFFFF - ones_complement_sum(icmp)) + icmp[4:]
    ip = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(icmp), 1, 0, 64, IPPROTO_ICMP, 0) + PEER + LOCAL
    ip = ip[:10] + struct.pack("!H", 0xFFFF - ones_complement_sum(ip)) + ip[12:]
    frames = play(recorded((0, MACS + b"\x08\x00" + ip + icmp)), spread=2)
    assert [skb.hdr.saddr for skb in frames] == [PEER, b"\xc6\x12\x00\x01"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"speed": 0.0}, "speed 0.0 is out of range"),
        ({"speed": float("nan")}, "speed nan"),
        ({"pps": -1.0}, "a rate of -1.0"),
        ({"repeat": 0}, "1 or more"),
        ({"spread": 0}, "1 to 65,536"),
        ({"spread": 65537}, "1 to 65,536"),
        ({"spread": 1024}, "can be spread 119-fold"),
        ({"start_ns": 9, "stop_ns": 3}, "not after its start"),
    ],
)
def test_wrong_settings_are_refused_in_one_sentence(mixed: Recording, options: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        Playback(mixed, where="capture", **options)


def test_more_peers_than_there_are_addresses_is_refused() -> None:
    frames = [(n, udp(1, saddr=(0x0B000000 + n).to_bytes(4, "big"))) for n in range(200)]
    unique = [frame.hdr for _, frame in recorded(*frames).frames]
    assert len(copy_headers(unique, 650)) == 650
    with pytest.raises(ConfigError, match="addresses of peers"):
        copy_headers(unique, 700)


def test_a_capture_without_frames_for_the_local_side_is_an_error() -> None:
    with pytest.raises((CaptureError, ConfigError), match=r"local|receive"):
        recorded((0, udp(1, LOCAL, PEER)))
