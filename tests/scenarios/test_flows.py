"""Flows: distinct, sound, interned once, chosen with the share they were given."""

import random
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emu.errors import ConfigError
from emu.headers import IPPROTO_TCP, IPPROTO_UDP, TCP_ACK, TCP_PSH, HeaderTable, build
from scenarios.flows import FlowSet, parse_range


def make(**settings: Any) -> FlowSet:
    return FlowSet(HeaderTable(), random.Random(1), **settings)


@pytest.mark.parametrize(
    ("protocol", "ipv6", "timestamps", "header_bytes"),
    [
        ("udp", False, False, 42),
        ("tcp", False, False, 54),
        ("tcp", False, True, 66),
        ("udp", True, False, 62),
        ("tcp", True, False, 74),
        ("tcp", True, True, 86),
    ],
)
def test_headers_of_a_flow_are_what_the_parser_finds_in_its_frames(
    protocol: str, ipv6: bool, timestamps: bool, header_bytes: int
) -> None:
    table = HeaderTable()
    where = {"sources": "fd00:1::/64", "destinations": [("fd00::1", 53)]} if ipv6 else {}
    flows = FlowSet(table, random.Random(1), protocol=protocol, tcp_timestamps=timestamps, count=3, **where)  # type: ignore[arg-type]
    assert flows.header_bytes == header_bytes
    assert len(flows) == 3
    for hdr, psh_hdr, ip_id, seq in zip(flows.hdrs, flows.psh_hdrs, flows.ip_ids, flows.seqs, strict=True):
        frame = table.parse(build(hdr, header_bytes + 18, ip_id, seq))
        assert frame.hdr is hdr
        assert (frame.payload_bytes, frame.ip_id, frame.seq) == (18, ip_id, seq)
        assert hdr.ip_problem is None
        assert hdr.l4_csum_ok
        assert hdr.ip_csum_ok
        assert hdr.trailer_bytes == 0
        assert hdr.l4_bytes_lie == 0
        assert hdr.header_bytes == header_bytes
        assert hdr.version == (6 if ipv6 else 4)
        assert hdr.l4_protocol == (IPPROTO_TCP if protocol == "tcp" else IPPROTO_UDP)
        if protocol == "tcp":
            assert hdr.tcp_flags == TCP_ACK
            assert psh_hdr.tcp_flags == TCP_ACK | TCP_PSH
            assert psh_hdr.flow == hdr.flow
        else:
            assert psh_hdr is hdr


@given(st.integers(1, 400), st.integers(1, 40), st.integers(1, 5), st.integers(1, 65535))
def test_no_two_flows_are_the_same_and_every_destination_gets_its_part(
    count: int, addresses: int, ports: int, first_port: int
) -> None:
    sources = f"10.1.0.1-10.1.0.{addresses}"
    destinations = [("10.0.0.1", 5000 + port) for port in range(ports)]
    flows = make(count=count, sources=sources, destinations=destinations, first_port=first_port)
    seen = [hdr.flow for hdr in flows.hdrs]
    assert len(set(seen)) == count
    used = Counter(flow[4] for flow in seen)
    assert max(used.values()) - min(used.values()) <= 1 if count >= ports else len(used) == count
    assert len({flow[1] for flow in seen}) == min(addresses, -(-count // ports))


def test_equal_shares_come_out_equal() -> None:
    flows = make(count=10)
    drawn = Counter(flows.choose(random.Random(3), 100_000))
    assert len(drawn) == 10
    assert all(abs(number - 10_000) < 400 for number in drawn.values())
    assert flows.shares() == [0.1] * 10


def test_zipf_shares_fall_with_the_rank() -> None:
    flows = make(count=50, zipf=1.0)
    harmonic = sum(1 / rank for rank in range(1, 51))
    assert flows.shares() == pytest.approx([1 / rank / harmonic for rank in range(1, 51)])
    drawn = Counter(flows.choose(random.Random(3), 100_000))
    for flow, share in enumerate(flows.shares()):
        expected = share * 100_000
        assert abs(drawn[flow] - expected) < 5 * expected**0.5


def test_choosing_in_two_parts_chooses_the_same() -> None:
    for zipf in (None, 1.2):
        flows = make(count=100, zipf=zipf)
        a, b = random.Random(5), random.Random(5)
        assert flows.choose(a, 90) == flows.choose(b, 31) + flows.choose(b, 59)


@pytest.mark.parametrize(
    ("text", "first", "count"),
    [
        ("10.1.0.7", "10.1.0.7", 1),
        ("10.1.0.0/24", "10.1.0.1", 254),
        ("10.1.0.0/31", "10.1.0.0", 2),
        ("10.1.0.9/32", "10.1.0.9", 1),
        ("10.1.0.1 - 10.1.1.0", "10.1.0.1", 256),
        ("fd00::/126", "fd00::", 4),
        ("fd00::1-fd00::a", "fd00::1", 10),
    ],
)
def test_source_ranges_are_read(text: str, first: str, count: int) -> None:
    address, number = parse_range(text, "src")
    assert (str(address), number) == (first, count)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"protocol": "sctp"}, "udp, tcp"),
        ({"count": 0}, "1 to 65,536"),
        ({"count": 1 << 17}, "1 to 65,536"),
        ({"first_port": 0}, "1 to 65535"),
        ({"zipf": -1.0}, "0 to 10"),
        ({"zipf": float("nan")}, "0 to 10"),
        ({"sources": "10.1.0"}, "not an address"),
        ({"sources": "10.1.0.1/24"}, "not an address"),
        ({"sources": "10.1.0.9-10.1.0.1"}, "has no addresses"),
        ({"sources": "10.1.0.1-fd00::1"}, "has no addresses"),
        ({"sources": "fd00::1"}, "all be IPv4 or all IPv6"),
        ({"destinations": []}, "no destination"),
        ({"destinations": [("10.0.0.1", 0)]}, "1 to 65535"),
        ({"destinations": [("host", 1)]}, "not an IP address"),
        ({"destinations": [("10.0.0.1", 1), ("10.0.0.1", 1)]}, "named twice"),
        ({"sources": "10.1.0.1", "count": 65_000}, "room for 64,512"),
        ({"dst_mac": b"\0"}, "six bytes"),
    ],
)
def test_wrong_settings_say_what_is_wrong_and_where(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words) as caught:
        make(where="traffic.a", **settings)
    assert str(caught.value).startswith("traffic.a: ")
