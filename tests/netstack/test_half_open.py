"""Half-open connections: SYNs that come again, and resets."""

from __future__ import annotations

from emu.headers import TCP_RST, TCP_SYN
from tests.conform.hand_stack import HandStack
from tests.softirq.gro_frames import ether, ipv4, tcp_segment

PORT = 2000


def counters(*frames: bytes) -> dict[str, int]:
    machine = HandStack("6.12")
    machine.stack.tcp_listener(PORT)
    machine.lay(*(machine.make_skb(data) for data in frames))
    machine.fire()
    return machine.counters()


def segment(flags: int, n: int = 0) -> bytes:
    """A segment without data whose sequence number is 1000 + n."""
    return ether(ipv4(tcp_segment(b"", seq=1000 + n, flags=flags)))


def test_a_retransmitted_syn_is_answered_again_and_counts_as_a_retransmission() -> None:
    moved = counters(segment(TCP_SYN), segment(TCP_SYN))
    assert moved["Tcp.OutSegs"] == 2
    assert moved["Tcp.RetransSegs"] == 1
    assert moved["TcpExt.TCPSynRetrans"] == 1


def test_further_ones_within_half_a_second_are_kept_back() -> None:
    moved = counters(*[segment(TCP_SYN)] * 5)
    assert moved["Tcp.OutSegs"] == 2
    assert moved["TcpExt.TCPACKSkippedSynRecv"] == 3


def test_a_reset_in_the_window_ends_a_half_open_connection() -> None:
    moved = counters(segment(TCP_SYN), segment(TCP_RST, 1), segment(TCP_RST, 1))
    assert moved["Tcp.AttemptFails"] == 1
    assert moved["TcpExt.EmbryonicRsts"] == 1


def test_a_reset_out_of_the_window_does_not() -> None:
    moved = counters(segment(TCP_SYN), segment(TCP_RST, 0), segment(TCP_RST, 100_000))
    assert "Tcp.AttemptFails" not in moved
    assert "TcpExt.EmbryonicRsts" not in moved
