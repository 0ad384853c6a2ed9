"""IPv6 input: checks in order, extension headers, addresses."""

from __future__ import annotations

import struct

import pytest

from emu.skb import PACKET_OTHERHOST
from netstack.lookup import ANY6
from tests.netstack.stack_kit import LOCAL6, PEER6, StackKit, ip6, tcp6, udp6, udp_body

BODY = udp_body(saddr=PEER6, daddr=LOCAL6)
RECEIVED = {"Ip6InReceives": 1, "Ip6InOctets": 88, "Ip6InNoECTPkts": 1}
LOOPBACK6 = bytes(15) + b"\1"


def test_a_datagram_is_received_and_delivered() -> None:
    kit = StackKit()
    sock = kit.stack.udp_socket(7000, ANY6)
    kit.up(udp6())
    assert kit.moved() == RECEIVED | {"Ip6InDelivers": 1}
    assert kit.read_lengths(sock) == [40]


def test_a_frame_for_another_host_is_not_received() -> None:
    kit = StackKit()
    skb = kit.make_skb(udp6())
    skb.pkt_type = PACKET_OTHERHOST
    kit.up(skb)
    assert kit.moved() == {"fn0.rx_otherhost_dropped": 1}


@pytest.mark.parametrize("frame", [udp6()[:40], udp6()[:14] + b"\x45" + udp6()[15:]])
def test_a_short_or_foreign_header_is_an_error(frame: bytes) -> None:
    kit = StackKit()
    kit.up(frame)
    moved = kit.moved()
    assert moved["Ip6InHdrErrors"] == 1
    assert "Ip6InNoECTPkts" not in moved
    assert kit.dropped() == {"IP_INHDR": 1}


@pytest.mark.parametrize(("ecn", "column"), [(1, "InECT1Pkts"), (2, "InECT0Pkts"), (3, "InCEPkts")])
def test_ecn_is_counted(ecn: int, column: str) -> None:
    kit = StackKit()
    kit.up(ip6(17, BODY, tclass=ecn))
    assert kit.moved()[f"Ip6{column}"] == 1


@pytest.mark.parametrize(
    ("saddr", "daddr"),
    [(LOOPBACK6, LOCAL6), (PEER6, LOOPBACK6), (b"\xff\x02" + bytes(14), LOCAL6), (PEER6, b"\xff\x01" + bytes(14))],
)
def test_addresses_that_may_not_be_on_a_wire_are_header_errors(saddr: bytes, daddr: bytes) -> None:
    kit = StackKit()
    kit.up(ip6(17, BODY, saddr=saddr, daddr=daddr))
    assert kit.moved() == RECEIVED | {"Ip6InHdrErrors": 1}


def test_a_length_beyond_the_frame_is_truncated() -> None:
    kit = StackKit()
    kit.up(ip6(17, BODY, length=500))
    assert kit.moved() == RECEIVED | {"Ip6InTruncatedPkts": 1}
    assert kit.dropped() == {"PKT_TOO_SMALL": 1}


def test_an_address_that_is_not_local_is_an_address_error() -> None:
    kit = StackKit()
    kit.up(ip6(17, BODY, daddr=PEER6))
    assert kit.moved() == RECEIVED | {"Ip6InAddrErrors": 1}


def test_all_nodes_is_ours() -> None:
    kit = StackKit()
    kit.up(ip6(17, BODY, daddr=b"\xff\x02" + bytes(13) + b"\1"))
    moved = kit.moved()
    assert moved["Ip6InMcastPkts"] == moved["Ip6InDelivers"] == 1
    assert moved["Ip6InMcastOctets"] == 88


def test_extension_headers_lead_to_the_transport() -> None:
    kit = StackKit()
    sock = kit.stack.udp_socket(7000, ANY6)
    kit.up(ip6(60, struct.pack("!BB6x", 17, 0) + BODY))
    assert kit.read_lengths(sock) == [40]


def test_no_next_header_is_delivered_to_nobody() -> None:
    kit = StackKit()
    kit.up(ip6(59, bytes(8)))
    assert kit.moved()["Ip6InDelivers"] == 1
    assert kit.dropped() == {"NOT_SPECIFIED": 1}


def test_an_unknown_next_header_is_a_parameter_problem() -> None:
    kit = StackKit()
    kit.up(ip6(253, bytes(8)))
    moved = kit.moved()
    assert moved["Ip6InUnknownProtos"] == moved["Icmp6OutParmProblems"] == 1
    assert "Ip6InDelivers" not in moved


def test_the_straight_way_counts_like_the_winding_one() -> None:
    kit = StackKit()
    flow = (6, PEER6, LOCAL6, 1000, 8000)
    sock = kit.stack.tcp_socket(flow, sink=True)
    kit.dev.gro = False
    moved = []
    for n in range(3):
        kit.up(tcp6(seq=10 * n, payload=10), summed=1)
        moved.append(kit.moved())
        kit.net.ptypes[0x86DD].func(kit.sd, kit.make_skb(tcp6(seq=0, payload=10), 1))
        kit.settle()
        assert kit.moved() == moved[0] | ({"TcpExt.DelayedACKLost": 1})
    assert moved[0] == moved[1] == moved[2]
    assert sock.read_bytes == 30
