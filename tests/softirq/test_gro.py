"""GRO by its rules; the recordings (tests/conform) hold the rest."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emu.gro_shape import GRO_HASH_BUCKETS
from emu.skb import CHECKSUM_PARTIAL, CHECKSUM_UNNECESSARY, Skb
from softirq.gro import MAX_GRO_SKBS, napi_gro_flush, napi_gro_receive
from softirq.gro_bytes import frag_list_bytes, packet_bytes
from tests.conform.hand_device import HandDevice, Mode
from tests.softirq.gro_frames import (
    ACK,
    CWR,
    PSH,
    SYN,
    checked,
    data_frame,
    data_frame6,
    ether,
    ipv4,
    tcp_segment,
    udp_frame,
)

UNNECESSARY = Mode(summed=CHECKSUM_UNNECESSARY)
LETTERS = {"MERGED": "M", "MERGED_FREE": "F", "HELD": "H", "NORMAL": "N"}


def verdicts(device: HandDevice) -> str:
    return "".join(LETTERS[what["ret"]] for kind, what in device.log if kind == "in")


def numbers(skb: Skb) -> list[int]:
    return [skb.number, *(segment.number for segment in skb.segments or ())]


def receive(device: HandDevice, *frames: bytes) -> tuple[str, list[list[int]]]:
    """One poll: the verdicts, and the numbers of the frames in each skb in the order of delivery."""
    for frame in frames:
        device.lay(0, frame)
    device.fire(0)
    return verdicts(device), [numbers(skb) for skb in device.delivered]


def hand_over(device: HandDevice, *frames: bytes, hash_: int | None = None) -> str:
    """Frames given to napi_gro_receive with nothing after: what is held stays held."""
    napi = device.napis[0]
    out = ""
    for frame in frames:
        device.lay(0, frame, hash_)
        out += LETTERS[napi_gro_receive(device.sd, napi, device.make_skb(napi.ring.pop(), 0)).name]
    return out


def test_a_device_with_gro_off_pays_nothing_and_holds_nothing() -> None:  # G1
    device = HandDevice()
    device.dev.gro = False
    before = device.cpu.local_now_ns
    assert hand_over(device, data_frame(0), data_frame(1)) == "NN"
    assert device.cpu.local_now_ns == before


def test_an_ethertype_without_a_handler_passes_at_the_early_price() -> None:  # G1
    device = HandDevice()
    before = device.cpu.local_now_ns
    assert hand_over(device, ether(bytes(46), 0x0806)) == "N"
    assert device.cpu.local_now_ns - before == device.net.costs.gro_early_ns


def test_each_kind_of_frame_has_its_price() -> None:
    device = HandDevice(mode=UNNECESSARY)
    costs = device.net.costs
    spent = []
    for frame in (
        data_frame(0),
        data_frame(1),
        data_frame(2),
        data_frame(7),
        udp_frame(),
        data_frame(0, ttl=63, flags=SYN),
    ):
        before = device.cpu.local_now_ns
        hand_over(device, frame)
        spent.append(device.cpu.local_now_ns - before)
    receive_ns, merge_ns = costs.gro_receive_ns, costs.gro_merge_ns
    assert spent == [receive_ns, merge_ns, merge_ns, receive_ns, receive_ns, receive_ns]


def test_a_checksum_the_device_did_not_verify_is_summed_here_and_paid_for() -> None:  # G12
    device = HandDevice()
    before = device.cpu.local_now_ns
    assert hand_over(device, data_frame(0)) == "H"
    summed_ns = (len(data_frame(0)) - 14) * device.net.costs.csum_ps // 1000
    assert device.cpu.local_now_ns - before == device.net.costs.gro_receive_ns + summed_ns
    (held,) = device.napis[0].gro_hash[0].values()
    assert isinstance(held, Skb)
    assert held.ip_summed == CHECKSUM_UNNECESSARY


def test_raw_hashes_that_differ_are_different_flows_in_one_bucket() -> None:  # G2
    device = HandDevice()
    assert hand_over(device, data_frame(0), hash_=16) == "H"
    assert hand_over(device, data_frame(1), hash_=24) == "H"
    assert hand_over(device, data_frame(1), hash_=16) == "F"
    assert len(device.napis[0].gro_hash[16 % GRO_HASH_BUCKETS]) == 2


def test_a_stripped_tag_is_part_of_the_flow() -> None:  # G2
    device = HandDevice()
    for vlan in (5, 6, 5, None):
        device.lay(0, data_frame(1 if len(device.napis[0].ring) == 2 else 0), vlan=vlan)
    device.fire(0)
    assert verdicts(device) == "HHFH"


def test_the_ninth_flow_of_a_bucket_evicts_the_oldest() -> None:  # G4
    device = HandDevice()
    device.net.settings.gro_normal_batch = 1
    assert hand_over(device, *(data_frame(0, sport=port) for port in range(MAX_GRO_SKBS + 1))) == "H" * 9
    assert [skb.number for skb in device.delivered] == [0]
    assert device.napis[0].gro_held == MAX_GRO_SKBS
    assert hand_over(device, data_frame(1, sport=0)) == "H"
    assert [skb.number for skb in device.delivered] == [0, 1]


def test_a_merged_packet_that_is_evicted_goes_up_whole() -> None:  # G4
    device = HandDevice()
    hand_over(device, data_frame(0, sport=0), data_frame(1, sport=0))
    hand_over(device, *(data_frame(0, sport=port) for port in range(1, MAX_GRO_SKBS + 1)))
    (evicted,) = device.napis[0].rx_list
    assert (numbers(evicted), evicted.gso_segs, evicted.frames) == ([0, 1], 2, 2)


def test_a_super_packet_of_eight_segments_fills_the_batch_alone() -> None:  # G5
    device = HandDevice()
    hand_over(device, *(data_frame(n) for n in range(7)))
    assert not device.delivered
    assert hand_over(device, data_frame(7, flags=ACK | PSH)) == "F"
    assert [numbers(skb) for skb in device.delivered] == [list(range(8))]
    assert device.napis[0].rx_count == 0


def test_a_packet_rejected_before_tcp_overtakes_the_held_one() -> None:  # G6
    broken = bytearray(data_frame(1))
    broken[24] ^= 0xFF
    verdict, order = receive(HandDevice(), data_frame(0), bytes(broken), data_frame(1))
    assert verdict == "HNF"
    assert order == [[1], [0, 2]]


def test_flushing_the_old_stops_at_the_first_of_this_jiffy() -> None:  # G7
    device = HandDevice(hz=1000)
    napi = device.napis[0]
    hand_over(device, data_frame(0, sport=1), data_frame(0, sport=2))
    device.cpu.local_now_ns += 1_000_000
    hand_over(device, data_frame(0, sport=3))
    napi_gro_flush(device.sd, napi, True)
    assert [skb.number for skb in napi.rx_list] == [0, 1]
    assert napi.gro_held == 1
    napi_gro_flush(device.sd, napi, False)
    assert [skb.number for skb in napi.rx_list] == [0, 1, 2]
    assert napi.gro_held == 0


@pytest.mark.parametrize("trailer", [1, 20])
def test_a_length_that_is_not_the_frames_finishes_the_held_packet_and_follows_it(trailer: int) -> None:  # G9, G12
    verdict, order = receive(HandDevice(), data_frame(0), data_frame(1) + bytes(trailer), data_frame(2))
    assert verdict == "HNH"
    assert order == [[0], [1], [2]]


def test_a_length_that_ends_before_the_tcp_header_still_finds_its_flow() -> None:  # G9, G12
    lying = bytearray(data_frame(1))
    lying[14:34] = checked(struct.pack("!BBHHHBBH", 0x45, 0, 24, 0, 0x4000, 64, 6, 0) + bytes(lying[26:34]), 10)
    verdict, order = receive(HandDevice(), data_frame(0), bytes(lying), data_frame(1))
    assert verdict == "HNH"
    assert order == [[0], [1], [2]]


@pytest.mark.parametrize(("release", "verdict"), [("6.1", "HHHH"), ("6.9", "HHHH"), ("6.12", "HHHH"), ("6.18", "HFFF")])
def test_equal_ids_without_df_merge_from_6_18_on(release: str, verdict: str) -> None:  # G11
    frames = [data_frame(n, df=False, ip_id=7) for n in range(4)]
    assert receive(HandDevice(release), *frames)[0] == verdict


@pytest.mark.parametrize("release", ["6.1", "6.9", "6.12", "6.18"])
@pytest.mark.parametrize(
    ("ids", "df", "verdict"),
    [
        ((7, 7, 7, 7), True, "HFFF"),
        ((7, 8, 9, 10), True, "HFFF"),
        ((7, 8, 8, 8), True, "HFHF"),
        ((7, 7, 8, 9), True, "HFHF"),
        ((7, 9, 11, 12), True, "HHHF"),
        ((65535, 0, 1, 2), False, "HFFF"),
        ((7, 8, 10, 11), False, "HFHF"),
    ],
)
def test_the_second_packet_decides_how_ids_move(
    release: str, ids: tuple[int, ...], df: bool, verdict: str
) -> None:  # G11
    frames = [data_frame(n, df=df, ip_id=ip_id) for n, ip_id in enumerate(ids)]
    assert receive(HandDevice(release), *frames)[0] == verdict


@pytest.mark.parametrize(("release", "verdict"), [("6.12", "HFF"), ("6.18", "HHF")])
def test_cwr_on_the_first_segment_stops_merging_from_6_18_on(release: str, verdict: str) -> None:  # G14
    device = HandDevice(release)
    assert receive(device, data_frame(0, flags=ACK | CWR), data_frame(1), data_frame(2))[0] == verdict


@pytest.mark.parametrize("release", ["6.9", "6.12"])
def test_tcp_is_chained_by_frag_list_from_6_12_on(release: str) -> None:  # G14, recording note 22
    device = HandDevice(release)
    device.dev.rx_gro_list = True
    verdict, order = receive(
        device, *(data_frame(n, sport=1000 + n % 2, ip_id=0) for n in (0, 1)), data_frame(1), data_frame(2)
    )
    chains = release == "6.12"
    assert verdict == ("HHMM" if chains else "HHFF")
    merged = device.delivered[0]
    assert order[0] == [0, 2, 3]
    assert merged.gso_type == (0x40001 if chains else 0x9)
    assert merged.ip_summed == (CHECKSUM_UNNECESSARY if chains else CHECKSUM_PARTIAL)
    assert frag_list_bytes(merged) == ([100, 100] if chains else [])


def test_an_established_connection_is_not_chained() -> None:
    device = HandDevice("6.12")
    device.dev.rx_gro_list = True
    device.offloads.tcp.established = lambda sd, skb: True
    assert receive(device, data_frame(0), data_frame(1))[0] == "HF"


def test_tcp_chains_end_at_64_segments() -> None:
    device = HandDevice("6.12")
    device.dev.rx_gro_list = True
    hand_over(device, *(data_frame(n, size=10) for n in range(65)))
    assert [skb.frames for skb in device.delivered] == [64]
    assert device.napis[0].held_frames() == 1


def test_a_pure_ack_finishes_the_held_packet_and_follows_it() -> None:  # G14, G16
    verdict, order = receive(HandDevice(), data_frame(0), ether(ipv4(tcp_segment(b"", seq=1100))))
    assert verdict == "HN"
    assert order == [[0], [1]]


def test_urgent_segments_pass_and_psh_and_fin_merge_first() -> None:  # G15, G16
    device = HandDevice()
    verdict, order = receive(device, data_frame(0), data_frame(1, flags=ACK | PSH), data_frame(2, flags=ACK | PSH))
    assert verdict == "HFN"
    assert order == [[0, 1], [2]]
    assert device.delivered[0].tcp_flags_merged == PSH
    assert packet_bytes(device.delivered[0])[47] == ACK | PSH


@pytest.mark.parametrize(("release", "segments"), [("6.1", [45, 19]), ("6.9", [64]), ("6.18", [64])])
def test_ipv4_passes_64_kib_from_6_9_on_if_the_limit_says_so(release: str, segments: list[int]) -> None:  # G23
    device = HandDevice(release)
    device.dev.gro_max_size_bytes = device.dev.gro_ipv4_max_size_bytes = 131072
    timestamps = bytes.fromhex("0101080a000003e8000007d0")
    hand_over(device, *(data_frame(n, size=1448, options=timestamps) for n in range(64)))
    napi_gro_flush(device.sd, device.napis[0], False)
    assert [skb.frames for skb in device.delivered + device.napis[0].rx_list] == segments


def test_page_fragments_are_stolen_up_to_17_and_truesize_follows() -> None:  # G24, G25
    device = HandDevice()
    assert hand_over(device, *(data_frame(n) for n in range(20))) == "H" + "F" * 17 + "MF"
    napi_gro_flush(device.sd, device.napis[0], False)
    (merged,) = device.delivered
    assert merged.frags == 17
    assert frag_list_bytes(merged) == [200]
    assert merged.truesize_bytes == 2304 + 17 * (2304 - 256) + 2304 + (2304 - 256)


def test_a_kmalloc_head_is_chained_with_all_its_truesize() -> None:  # G24, G25
    device = HandDevice(mode=Mode(kmalloc=True))
    assert hand_over(device, data_frame(0), data_frame(1)) == "HM"
    napi_gro_flush(device.sd, device.napis[0], False)
    assert device.napis[0].rx_list[0].truesize_bytes == 2 * 2304


def test_a_head_with_payload_and_fragments_takes_one_fragment_more() -> None:  # G24
    device = HandDevice()
    napi = device.napis[0]
    for n in range(8):
        device.lay(0, data_frame(n))
        skb = device.make_skb(napi.ring.pop(), 0)
        skb.frags = 2
        napi_gro_receive(device.sd, napi, skb)
    napi_gro_flush(device.sd, napi, False)
    (merged,) = device.delivered
    assert merged.frags == 17
    assert [segment.chained for segment in merged.segments or ()] == [False] * 5 + [True, False]


def test_held_frames_count_what_is_merged_and_what_waits() -> None:
    device = HandDevice()
    hand_over(device, data_frame(0), data_frame(1), data_frame(0, sport=9), udp_frame())
    assert device.napis[0].held_frames() == 4


def test_every_skb_handed_over_leaves_its_latency() -> None:
    device = HandDevice()
    receive(device, data_frame(0), data_frame(1), udp_frame())
    assert len(device.net.latencies.gro.pending) == 2


def test_plain_udp_is_never_held() -> None:  # G19
    assert receive(HandDevice(), udp_frame(), udp_frame()) == ("NN", [[0], [1]])


def test_without_the_static_key_no_socket_is_asked() -> None:  # G20
    device = HandDevice()
    device.offloads.udp4.lookup = lambda sd, skb: True
    assert receive(device, udp_frame(), udp_frame())[0] == "NN"


def test_udp_ends_at_64_segments() -> None:  # G21
    device = HandDevice()
    device.offloads.udp4.lookup = lambda sd, skb: True
    device.offloads.udp4.enable_encap()
    assert hand_over(device, *(udp_frame(10) for _ in range(65))).endswith("H")
    assert [skb.frames for skb in device.delivered] == [64]


def test_a_wrong_ipv6_version_is_compared_but_not_looked_at() -> None:  # K8
    device = HandDevice()
    verdict, order = receive(
        device, data_frame6(0, version=5), data_frame6(1, version=5), data_frame6(0), data_frame6(1)
    )
    assert verdict == "HFHF"
    assert order == [[0, 1], [2, 3]]


def tunnelled(
    n: int, *, outer_id: int = 0, outer_df: bool = True, inner_id: int = 0, header: bytes = b"", protocol: int = 4
) -> bytes:
    inner = ipv4(tcp_segment(bytes(100), seq=1000 + n * 100), ip_id=inner_id)
    return ether(ipv4(header + inner, protocol, ip_id=outer_id, df=outer_df))


@pytest.mark.parametrize("release", ["6.1", "6.9", "6.12"])
def test_outer_ids_without_df_count_up_and_with_df_do_not_matter(release: str) -> None:  # K8
    counting = [tunnelled(n, outer_id=5 + n, outer_df=False, inner_id=n) for n in range(3)]
    fixed = [tunnelled(n, outer_id=5, outer_df=False, inner_id=n) for n in range(3)]
    wild = [tunnelled(n, outer_id=n * n * 99) for n in range(3)]
    assert receive(HandDevice(release), *counting)[0] == "HFF"
    assert receive(HandDevice(release), *fixed)[0] == "HHH"
    assert receive(HandDevice(release), *wild)[0] == "HFF"


def test_gre_keys_and_a_tunnel_in_a_tunnel() -> None:  # K8
    def gre(n: int, key: int) -> bytes:
        return tunnelled(n, header=struct.pack("!HHI", 0x2000, 0x0800, key), protocol=47)

    device = HandDevice()
    assert receive(device, gre(0, 1), gre(0, 2), gre(1, 1), gre(1, 2))[0] == "HHFF"
    assert [skb.gso_type for skb in device.delivered] == [0x49, 0x49]
    sequenced = struct.pack("!HHI", 0x1000, 0x0800, 1)
    assert receive(HandDevice(), *(tunnelled(n, header=sequenced, protocol=47) for n in range(2)))[0] == "NN"
    twice = [ether(ipv4(ipv4(ipv4(tcp_segment(bytes(9), seq=n * 9)), 4), 4)) for n in range(2)]
    assert receive(HandDevice(), *twice)[0] == "NN"


@given(
    st.lists(
        st.one_of(
            st.builds(
                data_frame,
                st.integers(0, 5),
                st.sampled_from((10, 10, 7)),
                sport=st.integers(1, 12),
                ip_id=st.integers(0, 2),
            ),
            st.builds(udp_frame, st.integers(0, 20)),
            st.binary(min_size=14, max_size=80),
            st.builds(
                lambda head, tail: head[:-9] + tail, st.builds(data_frame, st.integers(0, 3)), st.binary(max_size=9)
            ),
        ),
        max_size=90,
    ),
    st.sampled_from(("6.1", "6.9", "6.12", "6.18")),
    st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_every_frame_goes_up_exactly_once_and_no_payload_is_lost(
    frames: list[bytes], release: str, gro_list: bool
) -> None:
    device = HandDevice(release)
    device.dev.rx_gro_list = gro_list
    device.dev.rx_udp_gro_forwarding = not gro_list
    _, order = receive(device, *frames)
    assert sorted(number for skb in order for number in skb) == list(range(len(frames)))
    for skb, members in zip(device.delivered, order, strict=True):
        whole = packet_bytes(skb)
        assert skb.frames == len(members)
        if len(members) > 1:
            assert len(whole) == skb.len_bytes + 14
            for number in members:
                payload = frames[number][skb.hdr.header_bytes :]
                assert payload in whole
    assert device.napis[0].gro_held == 0
    assert device.napis[0].held_frames() == 0


def test_a_synthetic_frame_merges_into_the_bytes_its_parse_would() -> None:
    device = HandDevice(mode=UNNECESSARY)
    napi = device.napis[0]
    for n in range(3):
        device.lay(0, ether(ipv4(tcp_segment(bytes(100), seq=1000 + n * 100))))
        skb = device.make_skb(napi.ring.pop(), 0)
        skb.data = None
        napi_gro_receive(device.sd, napi, skb)
    napi_gro_flush(device.sd, napi, False)
    synthetic = packet_bytes(napi.rx_list[0])
    other = HandDevice(mode=UNNECESSARY)
    hand_over(other, *(ether(ipv4(tcp_segment(bytes(100), seq=1000 + n * 100))) for n in range(3)))
    napi_gro_flush(other.sd, other.napis[0], False)
    assert synthetic == packet_bytes(other.napis[0].rx_list[0])


def gre_checked(n: int, *, damage: int = 0, inner_damage: int = 0) -> bytes:
    segment = bytearray(tcp_segment(bytes(100), seq=1000 + n * 100))
    segment[50] ^= inner_damage
    body = checked(struct.pack("!HHHH", 0x8000, 0x0800, 0, 0) + ipv4(bytes(segment)), 4)
    return ether(ipv4(body[:-1] + bytes((body[-1] ^ damage,)), 47))


def test_a_gre_checksum_is_verified_and_the_inner_one_as_well() -> None:  # K8
    device = HandDevice()
    assert receive(device, gre_checked(0), gre_checked(1), gre_checked(2, damage=1))[0] == "HFN"
    assert receive(HandDevice(), gre_checked(0), gre_checked(1, inner_damage=1))[0] == "HN"
    # What the device verified is the outer checksum only.
    assert receive(HandDevice(mode=UNNECESSARY), gre_checked(0), gre_checked(1, inner_damage=1))[0] == "HN"
    assert receive(HandDevice(mode=UNNECESSARY), gre_checked(0), gre_checked(1, damage=1))[0] == "HN"


@pytest.mark.parametrize("version", [4, 5, 6])
def test_the_lengths_of_a_merged_packet_go_where_its_ethertype_says(version: int) -> None:
    device = HandDevice()
    receive(device, data_frame6(0, version=version), data_frame6(1, version=version))
    whole = packet_bytes(device.delivered[0])
    assert whole[14] >> 4 == version
    assert int.from_bytes(whole[18:20], "big") == len(whole) - 54 == 220
