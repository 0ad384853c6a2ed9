"""IPv4 input, section 8 of the rules: the order of the checks, one row a test."""

from __future__ import annotations

import pytest

from emu.headers import TCP_SYN
from emu.skb import PACKET_BROADCAST, PACKET_MULTICAST, PACKET_OTHERHOST
from netstack.lookup import ANY6
from tests.netstack.stack_kit import LOCAL4, LOCAL6, PEER4, PEER6, StackKit, ip4, ip6, tcp4, tcp_body, udp4, udp_body

RECEIVED = {"Ip.InReceives": 1, "IpExt.InOctets": 68, "IpExt.InNoECTPkts": 1}


def spoiled(frame: bytes, at: int, value: int) -> bytes:
    return frame[:at] + bytes([value]) + frame[at + 1 :]


def test_a_datagram_for_an_open_port_is_received_and_delivered() -> None:
    kit = StackKit()
    kit.stack.udp_socket(7000)
    kit.up(udp4())
    assert kit.moved() == RECEIVED | {"Ip.InDelivers": 1}
    assert kit.dropped() == {}


def test_a_frame_for_another_host_is_not_even_received() -> None:
    kit = StackKit()
    skb = kit.make_skb(udp4())
    skb.pkt_type = PACKET_OTHERHOST
    kit.up(skb)
    assert kit.moved() == {"fn0.rx_otherhost_dropped": 1}
    assert kit.dropped() == {"OTHERHOST": 1}


@pytest.mark.parametrize("frame", [spoiled(udp4(), 14, 0x44), spoiled(udp4(), 14, 0x65), udp4()[:30]])
def test_a_header_that_is_short_or_of_another_version_counts_before_its_ecn(frame: bytes) -> None:
    kit = StackKit()
    kit.up(frame)
    moved = kit.moved()
    assert moved.pop("IpExt.InOctets") == len(frame) - 14
    assert moved == {"Ip.InReceives": 1, "Ip.InHdrErrors": 1}
    assert kit.dropped() == {"IP_INHDR": 1}


@pytest.mark.parametrize(("ecn", "column"), [(0, "InNoECTPkts"), (1, "InECT1Pkts"), (2, "InECT0Pkts"), (3, "InCEPkts")])
def test_ecn_is_counted_for_each_segment_of_a_merged_packet(ecn: int, column: str) -> None:
    kit = StackKit()
    skb = kit.make_skb(ip4(17, udp_body(), tos=0xB8 | ecn))
    skb.gso_segs = skb.frames = 3
    kit.ledger.arrived_frames += 2
    kit.up(skb)
    assert kit.moved()[f"IpExt.{column}"] == 3


def test_a_bad_header_checksum_counts_twice() -> None:
    kit = StackKit()
    kit.up(spoiled(udp4(), 24, udp4()[24] ^ 1))
    assert kit.moved() == RECEIVED | {"IpExt.InCsumErrors": 1, "Ip.InHdrErrors": 1}
    assert kit.dropped() == {"IP_CSUM": 1}


def test_a_total_length_beyond_the_frame_is_truncated() -> None:
    kit = StackKit()
    kit.up(ip4(17, udp_body(), total=300))
    assert kit.moved() == RECEIVED | {"IpExt.InTruncatedPkts": 1}
    assert kit.dropped() == {"PKT_TOO_SMALL": 1}


def test_a_total_length_below_the_header_is_noticed_after_the_checksum() -> None:
    kit = StackKit()
    kit.up(ip4(17, udp_body(), total=19))
    assert kit.moved() == RECEIVED | {"Ip.InHdrErrors": 1}
    assert kit.dropped() == {"IP_INHDR": 1}


@pytest.mark.parametrize(
    "saddr",
    [b"\xff\xff\xff\xff", bytes([224, 0, 0, 9]), bytes([127, 0, 0, 1]), bytes([0, 1, 2, 3]), LOCAL4],
)
def test_a_martian_source_moves_no_counter(saddr: bytes) -> None:  # K2
    kit = StackKit()
    kit.stack.udp_socket(7000)
    kit.up(ip4(17, udp_body(saddr=saddr), saddr=saddr))
    assert kit.moved() == RECEIVED
    assert kit.dropped() == {"NOT_SPECIFIED": 1}


def test_an_address_that_is_not_local_counts_as_an_address_error() -> None:  # K2
    kit = StackKit()
    kit.up(ip4(17, udp_body(), daddr=bytes([10, 0, 0, 77])))
    assert kit.moved() == RECEIVED | {"Ip.InAddrErrors": 1}
    assert kit.dropped() == {"IP_INADDRERRORS": 1}


def test_with_any_ip_every_unicast_address_is_local() -> None:
    kit = StackKit()
    kit.stack.routes.any_is_local = True
    sock = kit.stack.udp_socket(7000)
    kit.up(udp4(daddr=bytes([198, 51, 100, 4]), saddr=bytes([203, 0, 113, 9])))
    assert len(sock.queue) == 1


def test_bad_options_are_answered_with_a_parameter_problem() -> None:  # K2
    kit = StackKit()
    kit.up(ip4(17, udp_body(), options=bytes([7, 48, 4, 0])))
    moved = kit.moved()
    assert moved["Ip.InHdrErrors"] == moved["Icmp.OutParmProbs"] == moved["fn0.tx_packets"] == 1
    assert "Ip.InDelivers" not in moved
    assert kit.dropped() == {"NOT_SPECIFIED": 1}


@pytest.mark.parametrize(
    ("options", "refused"),
    [
        (bytes([1, 1, 1, 1]), False),
        (bytes([0, 9, 9, 9]), False),
        (bytes([7, 7, 4, 0, 0, 0, 0, 0]), False),
        (bytes([7, 7, 8, 0, 0, 0, 0, 0]), False),
        (bytes([7, 7, 3, 0, 0, 0, 0, 0]), True),
        (bytes([7, 6, 4, 0, 0, 0, 0, 0]), True),
        (bytes([7, 3, 8, 7, 3, 8, 0, 0]), True),
        (bytes([68, 8, 5, 0, 0, 0, 0, 0]), False),
        (bytes([68, 8, 5, 1, 0, 0, 0, 0]), True),
        (bytes([68, 8, 9, 0xF0, 0, 0, 0, 0]), True),
        (bytes([68, 8, 5, 2, 0, 0, 0, 0]), True),
        (bytes([148, 4, 0, 0]), False),
        (bytes([148, 3, 0, 0]), True),
        (bytes([1, 1, 1, 7]), True),
        (bytes([99, 1, 0, 0]), True),
        (bytes([99, 4, 0, 0]), False),
    ],
)
def test_options_are_held_to_their_lengths_and_pointers(options: bytes, refused: bool) -> None:
    kit = StackKit()
    kit.stack.udp_socket(7000)
    kit.up(ip4(17, udp_body(), options=options))
    assert ("Ip.InHdrErrors" in kit.moved()) == refused


def test_a_source_route_is_refused_in_silence() -> None:
    kit = StackKit()
    kit.stack.udp_socket(7000)
    kit.up(ip4(17, udp_body(), options=bytes([131, 7, 4, 1, 1, 1, 1, 0])))
    assert kit.moved() == {"Ip.InReceives": 1, "IpExt.InOctets": 76, "IpExt.InNoECTPkts": 1}
    assert kit.dropped() == {"NOT_SPECIFIED": 1}


def test_in_octets_has_the_trailer_in_it() -> None:  # K2
    kit = StackKit()
    kit.up(udp4() + bytes(9))
    assert kit.moved()["IpExt.InOctets"] == 77


def test_an_unknown_protocol_is_answered_and_not_delivered() -> None:
    kit = StackKit()
    kit.up(ip4(253, bytes(30)))
    moved = kit.moved()
    assert moved["Ip.InUnknownProtos"] == moved["Icmp.OutDestUnreachs"] == 1
    assert "Ip.InDelivers" not in moved
    assert kit.dropped() == {"IP_NOPROTO": 1}


def test_what_the_transport_drops_was_delivered_all_the_same() -> None:  # IP1
    kit = StackKit()
    kit.up(tcp4(wrong=True), udp4(wrong=True))
    assert kit.moved()["Ip.InDelivers"] == 2


@pytest.mark.parametrize("pkt_type", [PACKET_BROADCAST, PACKET_MULTICAST])
def test_unicast_in_a_link_layer_broadcast_reaches_udp_but_not_tcp(pkt_type: int) -> None:  # section 9, first row
    kit = StackKit()
    kit.stack.udp_socket(7000)
    kit.stack.tcp_listener(8000)
    skbs = [kit.make_skb(udp4()), kit.make_skb(tcp4(flags=TCP_SYN))]
    for skb in skbs:
        skb.pkt_type = pkt_type
    kit.up(*skbs)
    moved = kit.moved()
    assert "Tcp.InSegs" not in moved
    assert moved["Ip.InDelivers"] == 2
    assert kit.dropped() == {"NOT_SPECIFIED": 1}


def test_broadcasts_and_multicasts_are_counted_by_their_ip_address() -> None:
    kit = StackKit()
    kit.up(ip4(17, udp_body(), daddr=b"\xff\xff\xff\xff"), ip4(17, udp_body(), daddr=bytes([224, 0, 0, 1])))
    moved = kit.moved()
    assert moved["IpExt.InBcastPkts"] == moved["IpExt.InMcastPkts"] == 1
    assert moved["IpExt.InBcastOctets"] == moved["IpExt.InMcastOctets"] == 68


def test_a_list_moves_the_same_counters_as_its_packets_one_by_one() -> None:  # IP2
    frames = [udp4(), udp4(dport=9), tcp4(), udp4(wrong=True), udp4(sport=5), udp4(), udp4()]
    kits = [StackKit(), StackKit()]
    for kit in kits:
        kit.stack.udp_socket(7000)
    kits[0].up(*frames, summed=1)
    for frame in frames:
        kit = kits[1]
        kit.net.ptypes[0x0800].func(kit.sd, kit.make_skb(frame, 1))
        kit.settle()
    assert kits[0].moved() == kits[1].moved()
    assert kits[0].dropped() == kits[1].dropped()


def test_header_checks_of_a_list_are_paid_before_the_first_delivery() -> None:  # IP2
    kit = StackKit(ip_rcv_ns=100, udp_rcv_ns=10)
    sock = kit.stack.udp_socket(7000)
    kit.up(*[udp4(saddr=PEER4)] * 3)
    assert [skb.stage_ns for skb in sock.queue] == [1_000_310, 1_000_320, 1_000_330]


@pytest.mark.parametrize("v6", [False, True])
@pytest.mark.parametrize("summed", [0, 1])
@pytest.mark.parametrize("ecn", [0, 1, 2, 3])
@pytest.mark.parametrize("sink", [False, True])
def test_remembered_headers_change_neither_counter_nor_price(v6: bool, summed: int, ecn: int, sink: bool) -> None:
    kit = StackKit("6.9", ip_rcv_ns=1, ipv6_rcv_ns=2, udp_rcv_ns=10, tcp_rcv_ns=100, skb_free_ns=1000, csum_ps=7000)
    kit.dev.gro = False
    peer, local = (PEER6, LOCAL6) if v6 else (PEER4, LOCAL4)
    kit.stack.udp_socket(7000, ANY6, sink=sink)
    kit.stack.tcp_socket((6, peer, local, 1000, 8000), sink=True, rcv_nxt=0)
    outcomes = []
    for n in range(3):
        before = kit.cpus[0].local_now_ns
        for protocol, body in (
            (6, tcp_body(seq=100 * n, payload=100, saddr=peer, daddr=local)),
            (17, udp_body(payload=68, saddr=peer, daddr=local)),
            (17, udp_body(payload=69, saddr=peer, daddr=local)),
        ):
            kit.up(ip6(protocol, body, tclass=ecn) if v6 else ip4(protocol, body, tos=ecn), summed=summed)
        outcomes.append((kit.moved(), kit.cpus[0].local_now_ns - before))
    tables = kit.stack.tables
    assert len(tables.fast_ecn if ecn else tables.fast) == 2
    assert outcomes[0] == outcomes[1] == outcomes[2]


def test_a_socket_opened_later_gets_what_a_wildcard_got_before() -> None:
    kit = StackKit()
    wildcard = kit.stack.udp_socket(7000)
    kit.up(udp4(), udp4(), summed=1)
    exact = kit.stack.udp_socket(7000, LOCAL4)
    kit.up(udp4(), summed=1)
    assert (len(wildcard.queue), len(exact.queue)) == (2, 1)


def test_arp_is_taken_without_a_counter() -> None:
    kit = StackKit()
    kit.up(bytes.fromhex("ffffffffffff0200000000990806") + bytes(28))
    assert kit.moved() == {}
    assert kit.ledger.consumed_frames == 1


def test_a_subnet_broadcast_is_delivered_and_counted_as_one() -> None:
    kit = StackKit()
    kit.dev.broadcast_addresses.add(bytes([10, 0, 0, 255]))
    kit.stack.udp_socket(7000)
    kit.up(udp4(daddr=bytes([10, 0, 0, 255])))
    assert kit.moved() == RECEIVED | {"Ip.InDelivers": 1, "IpExt.InBcastPkts": 1, "IpExt.InBcastOctets": 68}
