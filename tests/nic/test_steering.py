"""What the NIC finds out about a frame."""

from __future__ import annotations

import copy

import pytest

from emu.dropreason import DropReason
from emu.headers import ETH_P_8021Q, ETH_P_IP, Headers, HeaderTable, build
from emu.skb import (
    CHECKSUM_NONE,
    CHECKSUM_UNNECESSARY,
    HASH_L4,
    HASH_NONE,
    PACKET_BROADCAST,
    PACKET_HOST,
    PACKET_MULTICAST,
    PACKET_OTHERHOST,
    Skb,
)
from nic.steering import BROADCAST_MAC, hardware_vouches, packet_type
from nic.wire import DamagedSkb
from tests.nic.rig import MAC, OTHER_MAC, Rig, frame, udp_headers

GROUP = b"\x01\x00\x5e\x01\x02\x03"
ALL_HOSTS = b"\x01\x00\x5e\x00\x00\x01"


@pytest.mark.parametrize(
    ("mac", "kind"),
    [
        (MAC, PACKET_HOST),
        (BROADCAST_MAC, PACKET_BROADCAST),
        (GROUP, PACKET_MULTICAST),
        (OTHER_MAC, PACKET_OTHERHOST),
    ],
)
def test_the_packet_type_follows_the_destination(mac: bytes, kind: int) -> None:
    assert packet_type(udp_headers(dst_mac=mac), MAC) == kind


def arrivals(*macs: bytes) -> list[Skb]:
    return [frame(udp_headers(dst_mac=mac), 1000 * (1 + number)) for number, mac in enumerate(macs)]


def kinds(rig: Rig) -> list[int]:
    return [skb.pkt_type for _, _, skb in rig.received]


def test_the_filter_takes_own_frames_broadcasts_and_known_groups() -> None:
    rig = Rig(arrivals(MAC, OTHER_MAC, BROADCAST_MAC, GROUP, ALL_HOSTS)).run()
    assert kinds(rig) == [PACKET_HOST, PACKET_BROADCAST, PACKET_MULTICAST]
    assert rig.nic.arrivals.filtered == 2
    assert rig.net.ledger.dropped_frames[DropReason.NIC_MAC_FILTER] == 2
    assert rig.dev.statistics.multicast == 1
    assert (rig.dev.statistics.rx_packets, rig.dev.statistics.rx_errors, rig.dev.statistics.rx_dropped) == (3, 0, 0)


def test_a_joined_group_is_received() -> None:
    rig = Rig(arrivals(GROUP))
    rig.nic.steering.multicast_macs.add(GROUP)
    assert kinds(rig.run()) == [PACKET_MULTICAST]


def test_solicited_node_groups_of_local_addresses_are_received() -> None:
    rig = Rig(arrivals(b"\x33\x33\xff\x00\x00\x07", b"\x33\x33\xff\x00\x00\x08"))
    rig.dev.local_addresses.add(bytes(13) + b"\x00\x00\x07")
    assert kinds(rig.run()) == [PACKET_MULTICAST]


def test_a_promiscuous_device_takes_everything() -> None:
    rig = Rig(arrivals(OTHER_MAC, GROUP))
    rig.dev.promiscuous = True
    assert kinds(rig.run()) == [PACKET_OTHERHOST, PACKET_MULTICAST]


def test_promiscuous_mode_counts_from_the_moment_it_is_set() -> None:
    rig = Rig(arrivals(*[OTHER_MAC] * 10))

    def promiscuous() -> None:
        rig.dev.promiscuous = True

    rig.at(4500, lambda: rig.nic.reconfigure(promiscuous))
    rig.run()
    assert [skb.arrived_ns for _, _, skb in rig.received] == [5000, 6000, 7000, 8000, 9000, 10000]
    assert rig.nic.arrivals.filtered == 4


def test_damaged_and_impossible_frames_are_counted_and_dropped() -> None:
    hdr = udp_headers()
    stump = frame(HeaderTable().parse(bytes(13)).hdr, 4000, 13)
    damaged = DamagedSkb(hdr, 0, 64, 22, 0, 0, 1500, None, 50)
    rig = Rig([frame(hdr, 1000), damaged, frame(hdr, 2000, 1532), frame(hdr, 3000, 1533), stump]).run()
    assert len(rig.received) == 2
    statistics = rig.dev.statistics
    assert (statistics.rx_errors, statistics.rx_crc_errors, statistics.rx_length_errors) == (3, 1, 2)
    dropped = rig.net.ledger.dropped_frames
    assert (dropped[DropReason.NIC_FCS], dropped[DropReason.NIC_LENGTH]) == (1, 2)


def test_refused_frames_count_when_they_arrive_whatever_they_are_refused_for() -> None:
    other = udp_headers(dst_mac=OTHER_MAC)
    damaged = [DamagedSkb(udp_headers(), 0, 64, 22, 0, 0, at_ns, None, 50) for at_ns in (2000, 4000)]
    rig = Rig([frame(other, 1000), damaged[0], frame(other, 3000), damaged[1], frame(udp_headers(), 5000, 4000)])
    counted = []

    def count() -> None:
        rig.nic.advance(rig.machine.clock.now_ns)
        counted.append((rig.nic.arrivals.filtered, rig.dev.statistics.rx_crc_errors))

    for at_ns in (1500, 2500, 3500, 4500):
        rig.at(at_ns, count)
    rig.run()
    assert counted == [(1, 0), (1, 1), (2, 1), (2, 2)]
    assert rig.dev.statistics.rx_length_errors == 1


@pytest.mark.parametrize(("longest_bytes", "refused"), [(60, 0), (None, 1)])
def test_a_source_that_promises_short_sound_frames_is_believed(longest_bytes: int | None, refused: int) -> None:
    rig = Rig([frame(udp_headers(), 1000, 4000)])
    rig.nic.wire.sources[0].longest_bytes = longest_bytes  # type: ignore[misc]
    rig.run()
    assert rig.dev.statistics.rx_length_errors == refused


def test_an_mtu_above_1500_takes_long_frames_in_several_buffers() -> None:
    hdr = udp_headers()
    rig = Rig([frame(hdr, 1000, 9014), frame(hdr, 2000), frame(hdr, 3000, 9725)], mtu=9000).run()
    assert [(skb.frags, skb.truesize_bytes) for _, _, skb in rig.received] == [(2, 3 * 4096 + 256), (0, 4096 + 256)]
    assert rig.dev.statistics.rx_length_errors == 1


def test_the_skb_carries_hash_queue_device_and_checksum_state() -> None:
    rig = Rig([frame(udp_headers(number), 1000 + number) for number in range(20)], queues=4, cpus=4).run()
    assert len(rig.received) == 20
    for cpu, _, skb in rig.received:
        value, kind, queue = rig.rss.classify(skb.hdr)
        assert (skb.hash, skb.hash_kind, skb.rx_queue) == (value, kind, queue)
        assert (skb.dev, skb.alloc_cpu, skb.ip_summed, kind) == (rig.dev, cpu, CHECKSUM_UNNECESSARY, HASH_L4)
        assert cpu == queue


def test_features_that_are_off_leave_hash_and_checksum_to_the_stack() -> None:
    rig = Rig([frame(udp_headers(), 1000)])
    rig.dev.rxhash = rig.dev.rx_checksum = False
    rig.run()
    skb = rig.received[0][2]
    assert (skb.hash, skb.hash_kind, skb.ip_summed) == (0, HASH_NONE, CHECKSUM_NONE)


def changed(**fields: object) -> Headers:
    hdr = copy.copy(udp_headers())
    for name, value in fields.items():
        setattr(hdr, name, value)
    return hdr


@pytest.mark.parametrize(
    ("hdr", "vouches"),
    [
        (changed(), True),
        (changed(l4_csum_ok=False), False),
        (changed(ip_problem="csum"), False),
        (changed(fragment=True), False),
        (changed(l4_protocol=1), False),
        (changed(l4_header_whole=False), False),
        (changed(extension_headers=(0,)), True),
        (changed(extension_headers=(43,)), False),
        (changed(extension_headers=(60,)), False),
    ],
)
def test_the_device_vouches_for_sound_tcp_and_udp_only(hdr: Headers, vouches: bool) -> None:
    assert hardware_vouches(hdr) is vouches


def tagged_frame(arrived_ns: int, with_data: bool) -> Skb:
    plain = build(udp_headers(), 64, 1, 0)
    data = plain[:12] + b"\x81\x00\x20\x05" + plain[12:]
    parsed = HeaderTable().parse(data)
    return Skb(parsed.hdr, 0, 68, parsed.payload_bytes, 1, 0, arrived_ns, data if with_data else None, 54)


@pytest.mark.parametrize("with_data", [True, False])
def test_the_nic_takes_the_outer_vlan_tag_off(with_data: bool) -> None:
    """What is left is the frame without its tag, as if it had been parsed that way."""
    rig = Rig([tagged_frame(1000, with_data)])
    rig.machine.cpus[0].bh_disabled = 1
    rig.run()
    skb = rig.nic.rings[0].take(1)[0]
    expected = HeaderTable().parse(build(udp_headers(), 64, 1, 0))
    assert skb.vlan_tci == ETH_P_8021Q << 16 | 0x2005
    assert skb.len_bytes == 64 - 14
    assert skb.data == (expected.data if with_data else None)
    for name in Headers.__slots__:
        assert getattr(skb.hdr, name) == getattr(expected.hdr, name), name
    assert skb.hdr.ethertype == ETH_P_IP


def test_without_the_offload_the_tag_stays() -> None:
    rig = Rig([tagged_frame(1000, True)])
    rig.dev.rx_vlan_offload = False
    rig.machine.cpus[0].bh_disabled = 1
    rig.run()
    skb = rig.nic.rings[0].take(1)[0]
    assert (skb.vlan_tci, skb.hdr.ethertype, skb.len_bytes) == (-1, ETH_P_8021Q, 54)


def test_frames_on_the_wire_get_their_tag_back_when_the_offload_is_turned_off() -> None:
    frames = [tagged_frame(1000, True), tagged_frame(5000, True)]
    originals = [(skb.hdr, skb.data, skb.len_bytes) for skb in frames]
    rig = Rig(frames)
    rig.machine.cpus[0].bh_disabled = 1

    def off() -> None:
        rig.dev.rx_vlan_offload = False

    rig.at(2000, lambda: rig.nic.reconfigure(off))
    rig.run()
    first, second = rig.nic.rings[0].take(2)
    assert first.vlan_tci >= 0
    assert (second.hdr, second.data, second.len_bytes) == originals[1]
    assert second.vlan_tci == -1


def test_a_ring_is_plain_until_something_else_was_steered_to_it() -> None:
    plain = udp_headers()
    rig = Rig([frame(plain, 1000), frame(plain, 2000)])
    rig.run()
    assert rig.nic.rings[0].is_plain
    for odd in (
        tagged_frame(1000, True),
        frame(udp_headers(dst_mac=BROADCAST_MAC), 1000),
        frame(changed(l4_csum_ok=False), 1000),
    ):
        rig = Rig([odd, frame(plain, 2000)])
        rig.run()
        assert not rig.nic.rings[0].is_plain


@pytest.mark.parametrize("feature", ["rx_checksum", "rxhash"])
def test_frames_on_the_wire_are_plain_no_longer_when_the_device_tells_less_of_them(feature: str) -> None:
    hdr = udp_headers()
    rig = Rig([frame(hdr, 1000), frame(hdr, 5000)])

    def off() -> None:
        assert rig.nic.rings[0].is_plain
        setattr(rig.dev, feature, False)

    rig.at(2000, lambda: rig.nic.reconfigure(off))
    rig.run()
    assert not rig.nic.rings[0].is_plain
