"""Which side of a capture is local, which ports it receives on, and that every frame is counted once."""

import struct
from ipaddress import ip_address
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emu.errors import CaptureError, ConfigError
from emu.headers import Frame, HeaderTable
from scenarios.capture_file import CaptureFile
from scenarios.capture_sides import CaptureSides, find_sides

MIXED = Path(__file__).parents[2] / "scenarios" / "captures" / "mixed.pcap"
SERVER_MAC, CLIENT_MAC, ROUTER_MAC = (bytes([2, 0, 0, 0, 0, last]) for last in (1, 2, 3))
TABLE = HeaderTable()


def frame(
    source: str,
    destination: str,
    port: int = 0,
    payload: int = 100,
    protocol: int = 17,
    dst_mac: bytes = SERVER_MAC,
    src_mac: bytes = CLIENT_MAC,
    fragment: int = 0,
) -> Frame:
    """A parsed frame with `payload` bytes behind a UDP (or TCP) header to `port`."""
    saddr, daddr = ip_address(source).packed, ip_address(destination).packed
    if protocol == 17:
        l4 = struct.pack("!HHHH", 1234, port, 8 + payload, 0) + bytes(payload)
    else:
        l4 = struct.pack("!HHIIHHHH", 1234, port, 1, 1, 0x5010, 100, 0, 0) + bytes(payload)
    if len(daddr) == 4:
        network = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(l4), 1, fragment, 64, protocol, 0) + saddr + daddr
        ethertype = b"\x08\x00"
    else:
        network = struct.pack("!IHBB", 6 << 28, len(l4), protocol, 64) + saddr + daddr
        ethertype = b"\x86\xdd"
    return TABLE.parse(dst_mac + src_mac + ethertype + network + l4)


def arp(dst_mac: bytes, src_mac: bytes) -> Frame:
    return TABLE.parse(dst_mac + src_mac + b"\x08\x06" + bytes(46))


def names(sides: CaptureSides) -> list[str]:
    return [str(ip_address(address)) for address in sides.addresses]


def total(sides: CaptureSides) -> int:
    return (
        sides.local_frames + sides.sent_frames + sides.multicast_frames + sides.non_ip_frames + sides.other_host_frames
    )


def test_bytes_not_frames_decide_which_address_is_local() -> None:
    frames = [frame("10.0.0.2", "10.0.0.1", 53, payload=1000)]
    frames += [frame("10.0.0.1", "10.0.0.2", 1234, payload=10, dst_mac=CLIENT_MAC)] * 5
    sides = find_sides(frames)
    assert names(sides) == ["10.0.0.1"]
    assert (sides.local_frames, sides.sent_frames) == (1, 5)
    assert sides.mac == SERVER_MAC


def test_a_snapped_frame_counts_with_its_length_on_the_wire() -> None:
    whole = frame("10.0.0.2", "10.0.0.1", 53, payload=1400)
    data = frame("10.0.0.1", "10.0.0.2", 53, payload=100, dst_mac=CLIENT_MAC).data
    assert data is not None
    snapped = TABLE.parse(data[:64], 1000)
    assert names(find_sides([whole, snapped, snapped])) == ["10.0.0.2"]


def test_the_other_ip_version_of_the_same_machine_is_local_too() -> None:
    frames = [
        frame("10.0.0.2", "10.0.0.1", 80, 1000, protocol=6),
        frame("fd00::2", "fd00::1", 53, 100),
        frame("fd00::1", "fd00::2", 53, 500, dst_mac=CLIENT_MAC),
    ]
    sides = find_sides(frames)
    assert names(sides) == ["10.0.0.1", "fd00::1"]
    assert sides.ports == {(6, 80): 1, (17, 53): 1}


def test_the_other_ip_version_of_another_machine_is_not_local() -> None:
    frames = [frame("10.0.0.2", "10.0.0.1", 80, 1000), frame("fd00::2", "fd00::9", 53, dst_mac=ROUTER_MAC)]
    sides = find_sides(frames)
    assert names(sides) == ["10.0.0.1"]
    assert sides.other_host_frames == 1


def test_only_one_address_of_a_version_is_local_behind_a_router() -> None:
    frames = [frame("10.0.0.2", f"10.0.1.{host}", 80, 100 + host, dst_mac=ROUTER_MAC) for host in range(1, 6)]
    sides = find_sides(frames)
    assert names(sides) == ["10.0.1.5"]
    assert sides.other_host_frames == 4


def test_the_mac_is_the_one_most_frames_for_the_local_side_went_to() -> None:
    frames = [frame("10.0.0.2", "10.0.0.1", 80, 1000, dst_mac=ROUTER_MAC)]
    frames += [frame("10.0.0.2", "10.0.0.1", 80, 1)] * 2
    assert find_sides(frames).mac == SERVER_MAC


@pytest.mark.parametrize("address", ["224.0.0.251", "239.1.2.3", "255.255.255.255", "0.0.0.0", "ff02::fb", "::"])
def test_what_is_sent_to_all_makes_nobody_local(address: str) -> None:
    source = "fd00::2" if ":" in address else "10.0.0.2"
    frames = [frame(source, address, 5353, 1400), frame("10.0.0.2", "10.0.0.1", 53, 10)]
    assert names(find_sides(frames)) == ["10.0.0.1"]


def test_a_broadcast_by_mac_makes_nobody_local() -> None:
    frames = [frame("10.0.0.2", "10.0.0.255", 137, 1400, dst_mac=b"\xff" * 6), frame("10.0.0.2", "10.0.0.1", 53, 10)]
    sides = find_sides(frames)
    assert names(sides) == ["10.0.0.1"]
    assert sides.multicast_frames == 1


def test_every_kind_left_out_is_counted_and_told() -> None:
    frames = [
        *[frame("10.0.0.2", "10.0.0.1", 53)] * 3,
        *[frame("10.0.0.1", "10.0.0.2", 1234, 10, dst_mac=CLIENT_MAC, src_mac=SERVER_MAC)] * 2,
        arp(CLIENT_MAC, SERVER_MAC),  # sent by the local side, by its MAC
        frame("10.0.0.7", "10.0.0.8", 53, 10, dst_mac=ROUTER_MAC),
        frame("10.0.0.2", "224.0.0.1", 53, 10, dst_mac=b"\x01\x00\x5e\x00\x00\x01"),
        arp(b"\xff" * 6, CLIENT_MAC),
        arp(SERVER_MAC, CLIENT_MAC),
        TABLE.parse(b""),
    ]
    sides = find_sides(frames)
    assert sides.frames == total(sides) == 11
    assert sides.sentences() == [
        "Local is 10.0.0.1 at 02:00:00:00:00:01: 3 of 11 frames are for it.",
        "8 frames left out: 3 sent by it, 1 for other hosts, 2 broadcast or multicast, 2 without a readable IP header.",
    ]
    assert [sides.is_for_local(frame.hdr) for frame in frames] == [True] * 3 + [False] * 8


def test_ports_come_busiest_first_and_without_those_no_socket_can_have() -> None:
    frames = [
        frame("10.0.0.2", "10.0.0.1", 0),
        frame("10.0.0.2", "10.0.0.1", 53),
        *[frame("10.0.0.2", "10.0.0.1", 443, protocol=6)] * 2,
        frame("10.0.0.2", "10.0.0.1", 53, protocol=1),
        frame("10.0.0.2", "10.0.0.1", 99, fragment=185),
        frame("10.0.0.1", "10.0.0.2", 777, 1, dst_mac=CLIENT_MAC),
    ]
    sides = find_sides(frames)
    assert list(sides.ports.items()) == [((6, 443), 2), ((17, 53), 1)]
    assert sides.local_frames == 6


def test_vlan_tags_do_not_hide_the_local_side() -> None:
    data = frame("10.0.0.2", "10.0.0.1", 53).data
    assert data is not None
    tagged = TABLE.parse(data[:12] + b"\x81\x00\x00\x05" + data[12:])
    assert names(find_sides([tagged])) == ["10.0.0.1"]


# named by the user


def test_a_named_address_is_local_whatever_the_bytes_say() -> None:
    frames = [frame("10.0.0.2", "10.0.0.1", 80, 1000), frame("10.0.0.1", "10.0.0.2", 99, 1, dst_mac=CLIENT_MAC)]
    sides = find_sides(frames, local=["10.0.0.2"])
    assert names(sides) == ["10.0.0.2"]
    assert sides.mac == CLIENT_MAC
    assert sides.ports == {(17, 99): 1}


def test_a_named_address_that_receives_nothing_is_told() -> None:
    sides = find_sides([frame("10.0.0.2", "10.0.0.1", 80)], local=["10.0.0.1", "fd00::1", "10.0.0.1"])
    assert names(sides) == ["10.0.0.1"]
    assert sides.sentences()[-1] == "Nothing is received by fd00::1."


def test_only_silent_addresses_are_an_error_that_names_the_busiest() -> None:
    with pytest.raises(ConfigError, match=r"received by 10\.0\.0\.9; most is by 10\.0\.0\.1\.") as caught:
        find_sides([frame("10.0.0.2", "10.0.0.1", 80)], local=["10.0.0.9"])
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("text", ["10.0.0.256", "", "eth0", "10.0.0.0/8"])
def test_a_name_that_is_no_address_is_an_error(text: str) -> None:
    with pytest.raises(ConfigError, match="is not an IPv4 or IPv6 address"):
        find_sides([frame("10.0.0.2", "10.0.0.1", 80)], local=[text])


# nothing to find


@pytest.mark.parametrize("frames", [[], [arp(b"\xff" * 6, CLIENT_MAC)], [frame("10.0.0.1", "224.0.0.1", 1)]])
def test_a_capture_without_a_receiver_is_an_error(frames: list[Frame]) -> None:
    with pytest.raises(CaptureError, match="nothing to receive"):
        find_sides(frames)


def test_an_iterator_is_refused_because_it_can_be_read_only_once() -> None:
    with pytest.raises(TypeError, match="twice"):
        find_sides(iter([frame("10.0.0.2", "10.0.0.1", 80)]))


def test_a_scan_of_more_addresses_than_are_tracked_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scenarios.capture_sides.MAX_RECEIVERS", 8)
    frames = [frame("10.0.0.2", f"10.0.1.{host}", 80) for host in range(1, 13)]
    sides = find_sides(frames)
    assert sides.untracked_frames == 4
    assert sides.sentences()[-1].startswith("4 frames not considered")


def test_the_server_is_the_local_side_of_the_recorded_capture() -> None:
    frames = [TABLE.parse(frame.data, frame.wire_len) for frame in CaptureFile(MIXED)]
    sides = find_sides(frames)
    assert names(sides) == ["10.99.0.1", "fd99::1"]
    assert sides.mac.hex(":") == "02:00:00:63:00:01"
    assert set(sides.ports) == {(6, 80), (6, 5001), (17, 53), (17, 9000), (17, 8125)}
    assert sides.local_frames > sides.sent_frames > 1000
    assert sides.other_host_frames == 0
    assert total(sides) == len(frames)


ADDRESSES = st.sampled_from(["10.0.0.1", "10.0.0.2", "10.0.0.3", "224.0.0.1", "fd00::1", "fd00::2", "ff02::1"])
MACS = st.sampled_from([SERVER_MAC, CLIENT_MAC, b"\xff" * 6])
MADE = st.builds(
    lambda source, destination, port, payload, protocol, mac: frame(
        source, destination if (":" in source) == (":" in destination) else source, port, payload, protocol, mac
    ),
    ADDRESSES,
    ADDRESSES,
    st.integers(0, 3),
    st.integers(0, 60),
    st.sampled_from([6, 17]),
    MACS,
)
BROKEN = st.binary(max_size=80).map(TABLE.parse)


@given(st.lists(st.one_of(MADE, BROKEN), max_size=25))
def test_every_frame_is_counted_once_whatever_the_frames_are(frames: list[Frame]) -> None:
    try:
        sides = find_sides(frames)
    except CaptureError:
        return
    assert sides.frames == total(sides) == len(frames)
    assert sides.local_frames == sum(sides.is_for_local(frame.hdr) for frame in frames) > 0
    assert sum(sides.ports.values()) <= sides.local_frames
    assert len({len(address) for address in sides.addresses}) == len(sides.addresses)
