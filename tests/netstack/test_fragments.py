"""Reassembly: IP3, IP4."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cpus.interrupts import Interrupt
from emu.clock import NEVER
from netstack.lookup import ANY6
from tests.netstack.stack_kit import (
    LOCAL6,
    PEER6,
    StackKit,
    fragments4,
    fragments6,
    ip6,
    tcp_body,
    udp_body,
)

BODY = udp_body(payload=392)  # 400 bytes of IP payload
BODY6 = udp_body(payload=392, saddr=PEER6, daddr=LOCAL6)


def pieces(v6: bool, cuts: list[int], ident: int = 7) -> list[bytes]:
    return fragments6(BODY6, cuts, ident) if v6 else fragments4(BODY, cuts, ident)


def reasm(kit: StackKit) -> dict[str, int]:
    found: dict[str, int] = {}
    for name, value in kit.moved().items():
        if "Reasm" in name:
            found[name.split(".")[-1].removeprefix("Ip6")] = value
    return found


@pytest.fixture(params=[False, True], ids=["IPv4", "IPv6"])
def v6(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@given(st.booleans(), st.randoms(use_true_random=False), st.sets(st.integers(1, 49), max_size=8))
def test_fragments_in_any_order_give_the_datagram(v6: bool, random: Random, cuts: set[int]) -> None:
    kit = StackKit()
    sock = kit.stack.udp_socket(7000, ANY6)
    frames = pieces(v6, sorted(8 * cut for cut in cuts) or [200])
    random.shuffle(frames)
    for frame in frames:
        kit.up(frame)
    assert reasm(kit) == {"ReasmReqds": len(frames), "ReasmOKs": 1}
    assert kit.read_lengths(sock) == [392]
    assert kit.ledger.read_frames == len(frames)
    assert not kit.stack.fragments.queues
    assert kit.stack.fragments.truesize_bytes == [0, 0]


def test_the_result_has_the_headers_of_the_first_and_the_bytes_of_all() -> None:
    payload = bytes(range(196)) * 2
    body = udp_body(payload=392, unsummed=True)[:8] + payload
    kit = StackKit()
    sock = kit.stack.udp_socket(7000)
    for frame in reversed(fragments4(body, [80, 160], tos=0x10)):
        kit.up(frame)
    [skb] = sock.queue
    assert skb.data is not None
    assert skb.data[42:] == payload
    assert skb.hdr.ip_problem is None
    assert (skb.hdr.tos, skb.hdr.fragment, skb.frames, skb.truesize_bytes) == (0x10, False, 3, 3 * 1280)


def test_a_duplicate_is_dropped_and_the_rest_lives(v6: bool) -> None:
    kit = StackKit()
    sock = kit.stack.udp_socket(7000, ANY6)
    first, second = pieces(v6, [200])
    kit.up(first)
    kit.up(first)
    kit.up(second)
    assert kit.dropped() == {"DUP_FRAG": 1}
    assert kit.read_lengths(sock) == [392]


def test_an_overlap_kills_the_datagram(v6: bool) -> None:
    kit = StackKit()
    first = pieces(v6, [200])[0]
    overlapping = pieces(v6, [160])[1]
    kit.up(first)
    kit.up(overlapping)
    moved = reasm(kit)
    assert moved.pop("ReasmOverlaps", 0) == (not v6)
    assert moved == {"ReasmReqds": 2, "ReasmFails": 1}
    assert kit.dropped() == {"NOT_SPECIFIED": 2}
    assert not kit.stack.fragments.queues


def test_two_ends_that_disagree_kill_the_datagram(v6: bool) -> None:
    kit = StackKit()
    last = pieces(v6, [200])[1]
    body = (BODY6 if v6 else BODY) + bytes(8)
    other = (fragments6(body, [200]) if v6 else fragments4(body, [200]))[1]
    kit.up(last)
    kit.up(other)
    assert reasm(kit) == {"ReasmReqds": 2, "ReasmFails": 1}


def test_datagrams_are_told_apart_by_addresses_id_and_protocol() -> None:
    kit = StackKit()
    sock = kit.stack.udp_socket(7000)
    a, b = fragments4(BODY, [200], ident=1), fragments4(BODY, [200], ident=2)
    c = fragments4(tcp_body(payload=380), [200], ident=1, protocol=6)
    for frame in (a[0], b[1], c[0], b[0], a[1]):
        kit.up(frame)
    assert kit.read_lengths(sock) == [392, 392]
    assert len(kit.stack.fragments.queues) == 1


def test_a_fragment_too_far_behind_its_siblings_begins_anew() -> None:
    kit = StackKit()
    first, second = fragments4(BODY, [200], ident=1)
    kit.up(first)
    for n in range(65):
        kit.up(fragments4(BODY, [200], ident=100 + n)[0])
    kit.moved()
    kit.up(second)
    assert reasm(kit) == {"ReasmReqds": 1, "ReasmFails": 1}
    assert kit.dropped() == {"NOT_SPECIFIED": 1}
    kit.up(first)
    assert reasm(kit) == {"ReasmReqds": 1, "ReasmOKs": 1}


def test_above_the_threshold_fragments_are_refused(v6: bool) -> None:
    kit = StackKit()
    for ident in range(3):
        kit.up(pieces(v6, [200], ident)[0], truesize=2 << 20)
    kit.up(pieces(v6, [200], 9)[0], truesize=2 << 20)
    assert reasm(kit) == {"ReasmReqds": 4, "ReasmFails": 1}
    assert len(kit.stack.fragments.queues) == 3


@pytest.mark.parametrize(("which", "answered"), [(0, True), (1, False)])
def test_what_stays_incomplete_times_out(v6: bool, which: int, answered: bool) -> None:
    kit = StackKit()
    kit.up(pieces(v6, [200])[which])
    kit.moved()
    cpu = kit.cpus[0]
    seconds = 60 if v6 else 30
    assert cpu.mailbox.next_ns() == 1_000_000 + seconds * 1_000_000_000
    cpu.local_now_ns = cpu.mailbox.next_ns()
    timer = cpu.mailbox.take(cpu.local_now_ns)
    assert isinstance(timer, Interrupt)
    timer.handle(cpu)
    kit.settle()
    moved = kit.moved()
    assert moved["Ip6ReasmTimeout" if v6 else "Ip.ReasmTimeout"] == 1
    assert moved["Ip6ReasmFails" if v6 else "Ip.ReasmFails"] == 1
    assert ("Icmp6OutTimeExcds" if v6 else "Icmp.OutTimeExcds") in moved or not answered
    assert moved.get("fn0.tx_packets", 0) == answered
    assert kit.dropped() == {"FRAG_REASM_TIMEOUT": 1}


def test_a_datagram_whose_cpu_died_times_out_on_the_cpu_that_takes_the_timer(v6: bool) -> None:
    kit = StackKit(cpus=2)
    kit.up(pieces(v6, [200])[0])
    kit.moved()
    died, other = kit.cpus
    timer = died.mailbox.take(NEVER)
    assert isinstance(timer, Interrupt)
    other.local_now_ns = 100_000_000_000
    timer.handle(other)
    assert other.last_post_ns == 100_000_000_000, "the answer is sent from where, and when, the timer went off"
    kit.settle()
    assert ("Icmp6OutTimeExcds" if v6 else "Icmp.OutTimeExcds") in kit.moved()


def test_ecn_fields_that_contradict_kill_the_datagram() -> None:
    kit = StackKit()
    kit.up(fragments4(BODY, [200], tos=0)[0])
    kit.up(fragments4(BODY, [200], tos=3)[1])
    assert reasm(kit) == {"ReasmReqds": 2, "ReasmFails": 1}


def test_an_atomic_fragment_is_a_whole_datagram() -> None:
    kit = StackKit()
    sock = kit.stack.udp_socket(7000, ANY6)
    kit.up(ip6(44, bytes([17, 0, 0, 0, 0, 0, 0, 1]) + BODY6))
    assert reasm(kit) == {"ReasmReqds": 1, "ReasmOKs": 1}
    assert kit.read_lengths(sock) == [392]


@pytest.mark.parametrize("snap", [60, 0])
def test_fragments_that_are_cut_or_synthetic_count_as_sound(v6: bool, snap: int) -> None:
    kit = StackKit()
    sock = kit.stack.udp_socket(7000, ANY6)
    for frame in pieces(v6, [200]):
        parsed = kit.table.parse(frame[: snap + 40 * v6] if snap else frame, len(frame))
        skb = kit.make_skb(frame)
        skb.hdr = parsed.hdr
        skb.data = parsed.data if snap else None
        kit.up(skb)
    assert kit.read_lengths(sock) == [392]
