"""Listeners: the handshake from the receive side."""

from __future__ import annotations

import pytest

from emu.headers import TCP_ACK, TCP_FIN, TCP_RST, TCP_SYN
from netstack.tcp_listener import TcpListener
from netstack.tcp_sock import TcpSocket
from tests.netstack.stack_kit import StackKit, tcp4


def listening(**options: object) -> tuple[StackKit, TcpListener, list[TcpSocket]]:
    kit = StackKit()
    kit.dev.gro = False
    listener = kit.stack.tcp_listener(8000, **options)  # type: ignore[arg-type]
    children: list[TcpSocket] = []
    listener.on_child = children.append
    return kit, listener, children


def shake(kit: StackKit, port: int = 1000) -> None:
    kit.up(tcp4(sport=port, seq=99, flags=TCP_SYN))
    kit.up(tcp4(sport=port, seq=100))


def test_a_handshake_makes_a_connection_that_takes_data() -> None:
    kit, listener, children = listening()
    shake(kit)
    kit.up(tcp4(seq=100, payload=50))
    assert list(listener.accept_queue) == children
    assert children[0].recv(kit.reader()) == 50
    moved = kit.moved()
    assert moved["Tcp.PassiveOpens"] == moved["Tcp.OutSegs"] == 1
    assert kit.stack.snmp.Tcp.CurrEstab == 1
    assert kit.ledger.consumed_frames == 2


def test_the_packets_of_a_handshake_may_all_be_decided_together() -> None:
    kit, _, children = listening()
    kit.up(tcp4(seq=99, flags=TCP_SYN), tcp4(seq=100), tcp4(seq=100, payload=50), tcp4(seq=150, payload=1))
    assert children[0].recv(kit.reader()) == 51


def test_data_with_the_third_packet_counts() -> None:
    kit, _, children = listening()
    kit.up(tcp4(seq=99, flags=TCP_SYN), tcp4(seq=100, payload=7))
    assert children[0].recv(kit.reader()) == 7


def test_a_third_packet_out_of_sequence_makes_nothing() -> None:
    kit, _, children = listening()
    kit.up(tcp4(seq=99, flags=TCP_SYN), tcp4(seq=101))
    assert not children
    assert kit.dropped() == {"TCP_INVALID_SEQUENCE": 1}


def test_a_segment_of_an_unknown_flow_is_reset() -> None:
    kit, _, _ = listening()
    kit.up(tcp4(seq=5, payload=10))
    assert kit.moved()["Tcp.OutRsts"] == 1


def test_a_listener_may_adopt_flows_from_their_middle() -> None:
    kit, _, children = listening(adopts_flows=True)
    kit.up(tcp4(seq=5000, payload=10), tcp4(seq=5010, payload=10, flags=TCP_ACK | TCP_FIN))
    assert children[0].recv(kit.reader()) == 20
    assert children[0].at_end()
    assert "Tcp.PassiveOpens" not in kit.moved()


def test_children_of_a_sink_are_sinks_and_need_no_accept() -> None:
    kit, listener, children = listening(sink=True)
    for port in (1, 2, 3):
        shake(kit, port)
        kit.up(tcp4(sport=port, seq=100, payload=9))
    assert not listener.accept_queue
    assert [child.read_bytes for child in children] == [9, 9, 9]


def test_a_full_accept_queue_refuses_more() -> None:
    kit, listener, _ = listening(backlog=1)
    for port in (1, 2, 3):
        shake(kit, port)
    assert len(listener.accept_queue) == 2
    moved = kit.moved()
    assert moved["TcpExt.ListenOverflows"] == moved["TcpExt.ListenDrops"] == 1
    assert kit.dropped()["NOT_SPECIFIED"] >= 1


def test_a_reset_forgets_the_request() -> None:
    kit, listener, _ = listening()
    kit.up(tcp4(seq=99, flags=TCP_SYN), tcp4(seq=100, flags=TCP_RST))
    assert not listener.requests
    assert kit.dropped() == {"TCP_RESET": 1}


@pytest.mark.parametrize(
    ("flags", "reason"), [(TCP_SYN | TCP_FIN, "TCP_FLAGS"), (0, "TCP_FLAGS"), (TCP_FIN, "TCP_FLAGS")]
)
def test_nonsense_for_a_listener_is_dropped(flags: int, reason: str) -> None:
    kit, _, _ = listening()
    kit.up(tcp4(seq=5, flags=flags))
    assert kit.dropped() == {reason: 1}


@pytest.mark.parametrize(
    ("options", "octets"),
    [
        (b"", 44),
        (bytes([2, 4, 5, 180]), 44),
        (bytes([2, 4, 5, 180, 4, 2, 1, 1]), 48),
        (bytes([2, 4, 5, 180, 4, 2, 8, 10, *bytes(8), 1, 3, 3, 7]), 60),
        (bytes([8, 99, 0, 0]), 44),
    ],
)
def test_a_syn_ack_has_the_options_that_the_syn_offers(options: bytes, octets: int) -> None:
    kit, _, _ = listening()
    kit.up(tcp4(seq=99, flags=TCP_SYN, options=options))
    assert kit.moved()["IpExt.OutOctets"] == octets


def test_closing_a_listener_closes_what_nobody_accepted() -> None:
    kit, listener, children = listening()
    shake(kit)
    kit.up(tcp4(seq=100, payload=50))
    listener.close()
    kit.settle()
    assert children[0].closed
    assert kit.dropped() == {"TCP_CLOSE": 1}
    assert kit.stack.sockets == {}
    kit.up(tcp4(seq=150, payload=50))
    assert kit.dropped()["NO_SOCKET"] == 1
