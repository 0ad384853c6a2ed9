"""TCP before the socket, first rows of section 9, and K3."""

from __future__ import annotations

import pytest

from emu.headers import TCP_ACK, TCP_RST, TCP_SYN
from tests.netstack.stack_kit import StackKit, ip4, tcp4, tcp6, tcp_body

FLOW = (6, bytes([10, 0, 0, 2]), bytes([10, 0, 0, 1]), 1000, 8000)


def test_a_merged_packet_is_one_segment_in() -> None:
    kit = StackKit()
    kit.stack.tcp_socket(FLOW, sink=True)
    kit.lay(*(kit.make_skb(tcp4(seq=100 * n, payload=100), 1) for n in range(10)))
    kit.fire()
    counters = kit.counters()
    assert counters["Tcp.InSegs"] == counters["Ip.InReceives"] == 1
    assert counters["IpExt.InNoECTPkts"] == 10
    assert kit.ledger.read_frames == 10


def test_a_header_that_is_not_whole_is_no_error() -> None:  # K3
    kit = StackKit()
    kit.up(ip4(6, tcp_body()[:12]))
    moved = kit.moved()
    assert moved["Tcp.InSegs"] == 1
    assert "Tcp.InErrs" not in moved
    assert kit.dropped() == {"NOT_SPECIFIED": 1}


@pytest.mark.parametrize("doff", [0, 1, 4])
def test_a_data_offset_below_five_is_an_error(doff: int) -> None:
    kit = StackKit()
    kit.up(tcp4(doff=doff))
    assert kit.moved()["Tcp.InErrs"] == 1
    assert kit.dropped() == {"PKT_TOO_SMALL": 1}


def test_a_data_offset_beyond_the_packet_is_no_error() -> None:  # K3
    kit = StackKit()
    kit.up(tcp4(doff=15))
    assert "Tcp.InErrs" not in kit.moved()
    assert kit.dropped() == {"NOT_SPECIFIED": 1}


def test_a_wrong_checksum_counts_twice_and_is_not_answered() -> None:
    kit = StackKit()
    kit.up(tcp4(wrong=True, payload=200))
    moved = kit.moved()
    assert moved["Tcp.InErrs"] == moved["Tcp.InCsumErrors"] == 1
    assert "Tcp.OutRsts" not in moved
    assert kit.dropped() == {"TCP_CSUM": 1}


def test_without_a_socket_there_is_a_reset_but_not_for_a_reset() -> None:
    kit = StackKit()
    kit.up(tcp4(flags=TCP_SYN), tcp4(flags=TCP_ACK), tcp4(flags=TCP_RST))
    moved = kit.moved()
    assert moved["Tcp.OutRsts"] == moved["Tcp.OutSegs"] == moved["Ip.OutRequests"] == 2
    assert kit.dropped() == {"NO_SOCKET": 3}


def test_ipv6_shares_the_counters_of_tcp() -> None:
    kit = StackKit()
    kit.up(tcp6(flags=TCP_SYN))
    moved = kit.moved()
    assert moved["Tcp.InSegs"] == moved["Tcp.OutRsts"] == moved["Ip6OutRequests"] == 1
    assert moved["Ip6OutOctets"] == 60
