"""Socket tables: places that are taken, and the hash of Bob Jenkins."""

from __future__ import annotations

import pytest

from emu.errors import ConfigError
from netstack.lookup import ANY4, jhash_3words
from tests.netstack.stack_kit import LOCAL4, PEER4, StackKit, tcp4, udp4

FLOW = (6, PEER4, LOCAL4, 1000, 8000)


def test_a_taken_place_is_refused_with_its_name() -> None:
    stack = StackKit().stack
    stack.udp_socket(7000)
    stack.udp_socket(7000, LOCAL4)
    with pytest.raises(ConfigError, match="UDP port 7000 of 00000000 is taken"):
        stack.udp_socket(7000)
    stack.tcp_listener(80)
    with pytest.raises(ConfigError, match="TCP port 80"):
        stack.tcp_listener(80, reuseport=True)
    stack.tcp_socket(FLOW)
    with pytest.raises(ConfigError, match="has a TCP socket"):
        stack.tcp_socket(FLOW)
    stack.udp_socket(7000, LOCAL4, peer=(PEER4, 1))
    with pytest.raises(ConfigError, match="connected UDP socket"):
        stack.udp_socket(7000, LOCAL4, peer=(PEER4, 1))


def test_a_refused_socket_holds_no_place() -> None:
    kit = StackKit()
    kit.stack.udp_socket(7000)
    with pytest.raises(ConfigError):
        kit.stack.udp_socket(7000)
    assert len(kit.stack.sockets) == 1
    assert kit.stack.tables.udp_bound.keys() == {(ANY4, 7000)}


def test_a_connection_comes_before_its_listener_and_closing_gives_it_back() -> None:
    kit = StackKit()
    listener = kit.stack.tcp_listener(8000, adopts_flows=True)
    sock = kit.stack.tcp_socket(FLOW, rcv_nxt=0)
    kit.up(tcp4(payload=10), summed=1)
    kit.up(tcp4(seq=10, payload=10), summed=1)
    assert sock.rcv_nxt == 20
    sock.close()
    kit.up(tcp4(seq=20, payload=10), summed=1)
    assert len(listener.accept_queue) == 1
    assert kit.dropped() == {"TCP_CLOSE": 2}


def test_headers_are_remembered_when_their_first_packet_makes_the_connection() -> None:
    kit = StackKit()
    kit.stack.tcp_listener(8000, adopts_flows=True, sink=True)
    kit.up(tcp4(payload=10), summed=1)
    (child,) = kit.stack.tables.established.values()
    ((hdr, remembered),) = kit.stack.tables.fast.items()
    assert remembered is hdr.sink is child
    child.close()
    assert not kit.stack.tables.fast
    assert hdr.sink is None


def test_what_was_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("netstack.lookup.FAST_LIMIT", 10)
    kit = StackKit()
    sock = kit.stack.udp_socket(7000)
    kit.up(*(udp4(sport=port) for port in range(1000, 1100)), summed=1)
    assert len(kit.stack.tables.fast) <= 10
    assert len(sock.queue) == 100


def test_adopted_flows_that_were_remembered_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("netstack.lookup.FAST_LIMIT", 10)
    kit = StackKit()
    kit.stack.tcp_listener(8000, adopts_flows=True, sink=True)
    kit.up(*(tcp4(sport=port, payload=10) for port in range(1000, 1100)), summed=1)
    assert len(kit.stack.tables.fast) <= 10
    assert len(kit.stack.tables.established) == 100


def test_groups_are_keyed_by_the_secret() -> None:
    chosen = []
    for secret in (1, 2):
        kit = StackKit()
        kit.stack.tables._secret = secret
        group = [kit.stack.udp_socket(7000, reuseport=True) for _ in range(4)]
        kit.up(*(udp4(sport=port) for port in range(1000, 1050)))
        chosen.append([sorted(skb.hdr.sport for skb in sock.queue) for sock in group])
    assert chosen[0] != chosen[1]


def _words(a: int, b: int, c: int, initval: int) -> int:
    """lookup3's final mix, from its description: (register, other, rotation) seven times."""
    mask = 0xFFFFFFFF
    start = (0xDEADBEEF + (3 << 2) + initval) & mask
    x = {"a": (a + start) & mask, "b": (b + start) & mask, "c": (c + start) & mask}
    for register, other, turn in zip("cabcabc", "bcabcab", (14, 11, 25, 16, 4, 14, 24), strict=True):
        rotated = (x[other] << turn | x[other] >> 32 - turn) & mask
        x[register] = ((x[register] ^ x[other]) - rotated) & mask
    return x["c"]


@pytest.mark.parametrize("words", [(0, 0, 0, 0), (1, 2, 3, 4), (0xFFFFFFFF, 0x80000000, 7, 0xDEADBEEF)])
def test_jhash_is_lookup3(words: tuple[int, int, int, int]) -> None:
    assert jhash_3words(*words) == _words(*words)
