"""The software flow hash: which fields it covers, and that both directions hash the same (H1-H3, K1)."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emu.headers import (
    IPPROTO_ESP,
    IPPROTO_FRAGMENT,
    IPPROTO_GRE,
    IPPROTO_IPIP,
    IPPROTO_IPV6,
    IPPROTO_TCP,
    IPPROTO_UDP,
    HeaderTable,
)
from softirq.flow_dissector import FlowDissector

DISSECTOR = FlowDissector(b"key of the tests")


def v4(protocol: int, payload: bytes, source: int = 1, target: int = 2, frag: int = 0, ttl: int = 64) -> bytes:
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(payload), 1, frag, ttl, protocol, 0)
    return head + bytes([10, 0, 0, source, 10, 0, 0, target]) + payload


def v6(protocol: int, payload: bytes, source: int = 1, target: int = 2, label: int = 0) -> bytes:
    head = struct.pack("!IHBB", 6 << 28 | label, len(payload), protocol, 64)
    return head + bytes(15) + bytes([source]) + bytes(15) + bytes([target]) + payload


def ports(source: int = 1000, target: int = 53, size: int = 0) -> bytes:
    return struct.pack("!HHHH", source, target, 8 + size, 0) + bytes(size + 12)


def hashed(packet: bytes, tags: bytes = b"") -> int:
    ethertype = b"\x08\x00" if packet[0] >> 4 == 4 else b"\x86\xdd"
    frame = HeaderTable().parse(bytes(12) + tags + ethertype + packet)
    return DISSECTOR.hash_of(frame.hdr, frame.data)


PORT = st.integers(0, 65535)


@given(st.integers(1, 254), st.integers(1, 254), PORT, PORT, st.sampled_from([IPPROTO_UDP, IPPROTO_TCP]))
def test_both_directions_hash_the_same(source: int, target: int, sport: int, dport: int, protocol: int) -> None:  # H2
    for make in (v4, v6):
        there = hashed(make(protocol, ports(sport, dport), source, target))
        assert there == hashed(make(protocol, ports(dport, sport), target, source))
        assert 0 < there <= 0xFFFFFFFF


def test_addresses_ports_protocol_and_tag_each_count_and_the_rest_does_not() -> None:
    flows = [
        v4(IPPROTO_UDP, ports()),
        v4(IPPROTO_UDP, ports(1001)),
        v4(IPPROTO_UDP, ports(1000, 54)),
        v4(IPPROTO_UDP, ports(), source=3),
        v4(IPPROTO_TCP, ports()),
        v6(IPPROTO_UDP, ports()),
    ]
    hashes = [hashed(flow) for flow in flows]
    hashes.append(hashed(flows[0], tags=bytes.fromhex("81000005")))
    assert len(set(hashes)) == len(hashes)
    assert hashed(v4(IPPROTO_UDP, ports(size=200), ttl=3)) == hashes[0]


def test_fragments_agree_with_each_other_but_not_with_whole_packets() -> None:  # H3
    first = hashed(v4(IPPROTO_UDP, ports(1000), frag=0x2000))
    assert first == hashed(v4(IPPROTO_UDP, ports(7, 7), frag=0x2000))
    assert first == hashed(v4(IPPROTO_UDP, bytes(40), frag=0x0005))
    assert first != hashed(v4(IPPROTO_UDP, ports(1000)))
    header = bytes([IPPROTO_UDP, 0]) + struct.pack("!HI", 1, 77)
    assert hashed(v6(IPPROTO_FRAGMENT, header + ports(1))) == hashed(v6(IPPROTO_FRAGMENT, header + ports(2)))


def test_a_flow_label_stands_in_for_the_ports_but_not_for_the_protocol() -> None:  # K1
    assert hashed(v6(IPPROTO_UDP, ports(1), label=9)) == hashed(v6(IPPROTO_UDP, ports(2), label=9))
    assert hashed(v6(IPPROTO_UDP, ports(1), label=9)) != hashed(v6(IPPROTO_UDP, ports(1), label=8))
    assert hashed(v6(IPPROTO_UDP, ports(1), label=9)) != hashed(v6(IPPROTO_TCP, ports(1), label=9))


@pytest.mark.parametrize(
    ("protocol", "header", "inner"),
    [
        (IPPROTO_IPIP, b"", v4),
        (IPPROTO_IPV6, b"", v6),
        (IPPROTO_GRE, b"\0\0\x08\0", v4),
        (IPPROTO_GRE, b"\0\0\x86\xdd", v6),
        (IPPROTO_GRE, b"\x20\0\x08\0key!", v4),
        (IPPROTO_GRE, b"\xb0\0\x08\0sum!key!seq!", v4),
    ],
)
def test_of_a_tunnel_only_the_inner_flow_counts(protocol: int, header: bytes, inner: object) -> None:  # K1
    assert inner in (v4, v6)
    make = v4 if inner is v4 else v6
    flow = make(IPPROTO_UDP, ports())
    assert (
        hashed(v4(protocol, header + flow, source=7)) == hashed(v4(protocol, header + flow, source=8)) == hashed(flow)
    )
    assert hashed(v4(protocol, header + make(IPPROTO_UDP, ports(5)))) != hashed(flow)


def test_esp_is_hashed_by_its_spi() -> None:  # K1
    assert hashed(v4(IPPROTO_ESP, b"spi1" + bytes(30))) != hashed(v4(IPPROTO_ESP, b"spi2" + bytes(30)))
    assert hashed(v4(IPPROTO_ESP, b"spi1" + bytes(30))) == hashed(v4(IPPROTO_ESP, b"spi1" + bytes(10)))


def test_another_key_gives_other_hashes() -> None:
    frame = HeaderTable().parse(bytes(12) + b"\x08\0" + v4(IPPROTO_UDP, ports()))
    assert FlowDissector(b"a").hash_of(frame.hdr, None) != FlowDissector(b"b").hash_of(frame.hdr, None)


@given(st.binary(max_size=150), st.sampled_from([IPPROTO_GRE, IPPROTO_IPIP, IPPROTO_IPV6]))
def test_any_bytes_in_a_tunnel_are_hashed(data: bytes, protocol: int) -> None:
    assert 0 < hashed(v4(protocol, data)) <= 0xFFFFFFFF
