"""ICMP, ICMPv6 and the stack's own answers: U8, K2, RFC 1122."""

from __future__ import annotations

import pytest

from tests.netstack.stack_kit import StackKit, icmp4, icmp6, ip4, udp4, udp6, udp_body


def test_an_echo_is_answered_with_as_many_bytes() -> None:
    kit = StackKit()
    kit.up(icmp4(8))
    moved = kit.moved()
    assert (
        moved["Icmp.InEchos"] == moved["IcmpMsg.InType8"] == moved["Icmp.OutEchoReps"] == moved["IcmpMsg.OutType0"] == 1
    )
    assert moved["IpExt.OutOctets"] == 84
    assert kit.ledger.consumed_frames == 1


@pytest.mark.parametrize(
    ("frame", "reason", "counters"),
    [
        (icmp4(8, wrong=True), "ICMP_CSUM", {"Icmp.InErrors": 1, "Icmp.InCsumErrors": 1}),
        (icmp4(19), "UNHANDLED_PROTO", {"Icmp.InErrors": 1, "IcmpMsg.InType19": 1}),
        (icmp4(8, daddr=b"\xff\xff\xff\xff"), "INVALID_PROTO", {"Icmp.InErrors": 1, "IcmpMsg.InType8": 1}),
        (icmp4(0), "NO_SOCKET", {"Icmp.InEchoReps": 1, "IcmpMsg.InType0": 1}),
        (icmp4(43), "NO_SOCKET", {"IcmpMsg.InType43": 1}),
        (ip4(1, bytes([8, 0, 0xF7, 0xFF])), "NOT_SPECIFIED", {"Icmp.InErrors": 1}),
    ],
)
def test_what_icmp_refuses(frame: bytes, reason: str, counters: dict[str, int]) -> None:  # U8
    kit = StackKit()
    kit.up(frame)
    moved = {name: value for name, value in kit.moved().items() if name.startswith("Icmp")}
    assert moved == counters | {"Icmp.InMsgs": 1}
    assert kit.dropped() == {reason: 1}


@pytest.mark.parametrize(
    ("kind", "column"), [(3, "InDestUnreachs"), (5, "InRedirects"), (11, "InTimeExcds"), (14, "InTimestampReps")]
)
def test_errors_are_counted_and_consumed(kind: int, column: str) -> None:
    kit = StackKit()
    kit.up(icmp4(kind))
    assert kit.moved()[f"Icmp.{column}"] == 1
    assert kit.ledger.consumed_frames == 1


@pytest.mark.parametrize(
    ("kind", "column"), [(1, "InDestUnreachs"), (128, "InEchos"), (135, "InNeighborSolicits"), (143, "InMLDv2Reports")]
)
def test_icmpv6_is_counted_by_kind(kind: int, column: str) -> None:
    kit = StackKit()
    kit.up(icmp6(kind))
    moved = kit.moved()
    assert moved[f"Icmp6{column}"] == moved[f"Icmp6InType{kind}"] == moved["Icmp6InMsgs"] == 1
    assert moved.get("Icmp6OutEchoReplies", 0) == (kind == 128)


def test_a_wrong_icmpv6_checksum_is_an_error() -> None:
    kit = StackKit()
    kit.up(icmp6(128, wrong=True))
    assert kit.moved()["Icmp6InErrors"] == 1
    assert kit.dropped() == {"ICMP_CSUM": 1}


def test_an_icmp_error_quotes_no_more_than_fits_in_576_bytes() -> None:
    kit = StackKit()
    kit.up(udp4(payload=1400))
    assert kit.moved()["IpExt.OutOctets"] == 576


def test_an_icmpv6_error_quotes_no_more_than_fits_in_1280_bytes() -> None:
    kit = StackKit()
    kit.up(udp6(payload=1400))
    assert kit.moved()["Ip6OutOctets"] == 1280


def test_no_answer_to_a_later_fragment_a_broadcast_or_an_icmp_error() -> None:
    kit = StackKit()
    skb = kit.make_skb(udp4())
    skb.pkt_type = 1
    kit.up(skb, ip4(253, bytes(8), daddr=b"\xff\xff\xff\xff"))
    assert "Icmp.OutMsgs" not in kit.moved()


def test_one_peer_gets_six_errors_and_then_one_a_second() -> None:
    kit = StackKit()
    kit.up(*[udp4()] * 20)
    assert kit.moved()["Icmp.OutMsgs"] == 6
    kit.cpus[0].local_now_ns += 2_000_000_000
    kit.up(*[udp4()] * 20)
    assert kit.moved()["Icmp.OutMsgs"] == 2
    assert kit.stack.answers.rate_limited == 32


def test_all_peers_together_get_a_burst_of_fifty() -> None:
    kit = StackKit()
    kit.up(*(ip4(17, udp_body(saddr=bytes([10, 9, 0, n])), saddr=bytes([10, 9, 0, n])) for n in range(100)))
    assert kit.moved()["Icmp.OutMsgs"] == 50


def test_echoes_are_not_limited() -> None:
    kit = StackKit()
    kit.up(*[icmp4(8)] * 200)
    assert kit.moved()["Icmp.OutMsgs"] == 200


@pytest.mark.parametrize(("release", "shown"), [("6.1", 0), ("6.12", 1)])
def test_only_later_releases_count_transmits(release: str, shown: int) -> None:  # note 22
    kit = StackKit(release)
    kit.up(icmp4(8))
    assert kit.moved().get("Ip.OutTransmits", 0) == shown
