"""Headers: what is read from a frame, which defects are noticed, what is shared, and that any bytes at all give a frame."""

from __future__ import annotations

import struct
from typing import Any

import dpkt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emu.headers import (
    ETH_P_802_2,
    ETH_P_802_3,
    IPPROTO_AH,
    IPPROTO_DSTOPTS,
    IPPROTO_ESP,
    IPPROTO_FRAGMENT,
    IPPROTO_GRE,
    IPPROTO_HOPOPTS,
    IPPROTO_ICMP,
    IPPROTO_ICMPV6,
    IPPROTO_TCP,
    IPPROTO_UDP,
    TABLE_LIMIT,
    TCP_ACK,
    TCP_PSH,
    Frame,
    Headers,
    HeaderTable,
    build,
    ones_complement_sum,
)

MACS = bytes.fromhex("020000000001020000000002")
V4 = (bytes([10, 0, 0, 1]), bytes([10, 0, 1, 1]))
V6 = (bytes.fromhex("fd000000000000000000000000000001"), bytes.fromhex("fd000000000000000000000000000002"))


def summed(data: bytes) -> int:
    """RFC 1071, word by word: the oracle."""
    total = 0
    for at in range(0, len(data), 2):
        total += (data[at] << 8) + (data[at + 1] if at + 1 < len(data) else 0)
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total


def ethernet(ethertype: int, payload: bytes, tags: bytes = b"") -> bytes:
    return MACS + tags + ethertype.to_bytes(2, "big") + payload


def ipv4(
    protocol: int,
    payload: bytes,
    options: bytes = b"",
    frag: int = 0x4000,
    tot_len: int | None = None,
    csum: int | None = None,
) -> bytes:
    words = 5 + len(options) // 4
    length = words * 4 + len(payload) if tot_len is None else tot_len
    head = struct.pack("!BBHHHBBH", 0x40 | words, 0x10, length, 0x1234, frag, 64, protocol, 0) + V4[0] + V4[1] + options
    right = 0xFFFF - summed(head)
    return head[:10] + (right if csum is None else csum).to_bytes(2, "big") + head[12:] + payload


def ipv6(next_header: int, payload: bytes, label: int = 0, length: int | None = None) -> bytes:
    size = len(payload) if length is None else length
    return struct.pack("!IHBB", 6 << 28 | 0x20 << 20 | label, size, next_header, 60) + V6[0] + V6[1] + payload


def transport(protocol: int, segment: bytes, csum_at: int, addresses: tuple[bytes, bytes]) -> bytes:
    pseudo = (
        b"" if protocol == IPPROTO_ICMP else addresses[0] + addresses[1] + struct.pack("!II", len(segment), protocol)
    )
    right = 0xFFFF - summed(pseudo + segment)
    if protocol == IPPROTO_UDP and right == 0:
        right = 0xFFFF
    return segment[:csum_at] + right.to_bytes(2, "big") + segment[csum_at + 2 :]


def tcp(
    payload: bytes = b"hello", options: bytes = b"", addresses: tuple[bytes, bytes] = V4, doff: int | None = None
) -> bytes:
    words = 5 + len(options) // 4 if doff is None else doff
    head = struct.pack("!HHIIHHHH", 40000, 80, 1000, 2000, words << 12 | TCP_ACK | TCP_PSH, 501, 0, 0)
    return transport(IPPROTO_TCP, head + options + payload, 16, addresses)


def udp(payload: bytes = b"hello", addresses: tuple[bytes, bytes] = V4, ulen: int | None = None) -> bytes:
    said = 8 + len(payload) if ulen is None else ulen
    return transport(IPPROTO_UDP, struct.pack("!HHHH", 5000, 53, said, 0) + payload, 6, addresses)


def icmp(payload: bytes = b"12345678", version: int = 4) -> bytes:
    kind, protocol = (8, IPPROTO_ICMP) if version == 4 else (128, IPPROTO_ICMPV6)
    return transport(protocol, struct.pack("!BBHHH", kind, 0, 0, 7, 9) + payload, 2, V6)


def parsed(data: bytes, wire_bytes: int | None = None) -> Frame:
    return HeaderTable().parse(data, wire_bytes)


def values(hdr: Headers) -> dict[str, Any]:
    return {name: getattr(hdr, name) for name in Headers.__slots__}


SOUND = {
    "tcp4": ethernet(0x0800, ipv4(IPPROTO_TCP, tcp())),
    "tcp4 with timestamps": ethernet(0x0800, ipv4(IPPROTO_TCP, tcp(options=b"\1\1\x08\x0a" + bytes(8)))),
    "tcp4 with ip options": ethernet(0x0800, ipv4(IPPROTO_TCP, tcp(), options=b"\1\1\1\0")),
    "udp4": ethernet(0x0800, ipv4(IPPROTO_UDP, udp())),
    "icmp4": ethernet(0x0800, ipv4(IPPROTO_ICMP, icmp())),
    "tcp6": ethernet(0x86DD, ipv6(IPPROTO_TCP, tcp(addresses=V6), label=0xABCDE)),
    "udp6": ethernet(0x86DD, ipv6(IPPROTO_UDP, udp(addresses=V6))),
    "icmp6": ethernet(0x86DD, ipv6(IPPROTO_ICMPV6, icmp(version=6))),
    "udp6 behind options": ethernet(
        0x86DD, ipv6(IPPROTO_HOPOPTS, bytes([IPPROTO_DSTOPTS, 0]) + bytes(6) + bytes([IPPROTO_UDP, 1]) + bytes(14) + udp(addresses=V6))
    ),
    "one tag": ethernet(0x0800, ipv4(IPPROTO_UDP, udp()), tags=bytes.fromhex("81000064")),
    "two tags": ethernet(0x0800, ipv4(IPPROTO_TCP, tcp()), tags=bytes.fromhex("88a80064" "81000065")),
}  # fmt: skip


# ---------------------------------------------------------------- sound frames


def test_tcp_over_ipv4_is_read_field_by_field() -> None:
    frame = parsed(SOUND["tcp4 with timestamps"])
    hdr = frame.hdr
    assert (hdr.dst_mac, hdr.src_mac, hdr.ethertype, hdr.protocol) == (MACS[:6], MACS[6:], 0x0800, 0x0800)
    assert (hdr.version, hdr.ihl_byte, hdr.tos, hdr.ttl, hdr.df, hdr.fragment) == (4, 0x45, 0x10, 64, True, False)
    assert (hdr.saddr, hdr.daddr, hdr.sport, hdr.dport) == (*V4, 40000, 80)
    assert hdr.flow == (IPPROTO_TCP, *V4, 40000, 80)
    assert (hdr.ack, hdr.tcp_flags, hdr.tcp_doff_bytes, hdr.window) == (2000, TCP_ACK | TCP_PSH, 32, 501)
    assert hdr.tcp_options == b"\1\1\x08\x0a" + bytes(8)
    assert (hdr.network_offset, hdr.l4_offset, hdr.header_bytes) == (14, 34, 66)
    assert (frame.ip_id, frame.seq, frame.payload_bytes, frame.wire_bytes) == (0x1234, 1000, 5, 71)
    assert (hdr.ip_problem, hdr.ip_csum_ok, hdr.l4_csum_ok, hdr.l4_header_whole, hdr.trailer_bytes) == (
        None, True, True, True, 0,
    )  # fmt: skip


@pytest.mark.parametrize("name", SOUND)
def test_sound_frames_have_no_defect(name: str) -> None:
    frame = parsed(SOUND[name])
    hdr = frame.hdr
    assert hdr.ip_problem is None
    assert hdr.ip_header_whole
    assert hdr.ip_csum_ok
    assert hdr.l4_header_whole
    assert hdr.l4_csum_ok
    assert (hdr.trailer_bytes, hdr.l4_bytes_lie) == (0, 0)
    assert hdr.header_bytes + frame.payload_bytes == len(SOUND[name])


@pytest.mark.parametrize("name", SOUND)
def test_a_library_reads_the_same(name: str) -> None:
    frame = parsed(SOUND[name])
    hdr = frame.hdr
    packet = dpkt.ethernet.Ethernet(SOUND[name]).data
    segment = packet.data
    assert (packet.src, packet.dst) == (hdr.saddr, hdr.daddr)
    if hdr.l4_protocol in (IPPROTO_TCP, IPPROTO_UDP):
        assert (segment.sport, segment.dport) == (hdr.sport, hdr.dport)
        assert len(segment.data) == frame.payload_bytes
    if hdr.l4_protocol == IPPROTO_TCP:
        assert (segment.seq, segment.ack, segment.win, segment.flags) == (frame.seq, hdr.ack, hdr.window, hdr.tcp_flags)
        assert segment.opts == hdr.tcp_options


def test_ipv6_has_its_label_class_and_extension_headers() -> None:
    hdr = parsed(SOUND["tcp6"]).hdr
    assert (hdr.version, hdr.flow_label, hdr.tos, hdr.ttl, hdr.extension_headers) == (6, 0xABCDE, 0x20, 60, ())
    hdr = parsed(SOUND["udp6 behind options"]).hdr
    assert hdr.extension_headers == (IPPROTO_HOPOPTS, IPPROTO_DSTOPTS)
    assert (hdr.l4_protocol, hdr.l4_offset, hdr.sport) == (IPPROTO_UDP, 14 + 40 + 8 + 16, 5000)


def test_tags_are_listed_outermost_first() -> None:
    hdr = parsed(SOUND["two tags"]).hdr
    assert hdr.vlans == ((0x88A8, 100), (0x8100, 101))
    assert (hdr.ethertype, hdr.protocol, hdr.network_offset) == (0x88A8, 0x0800, 22)


@pytest.mark.parametrize(
    ("payload", "ethertype"), [(b"\xff\xff" + bytes(44), ETH_P_802_3), (b"\xaa\xaa\3" + bytes(43), ETH_P_802_2)]
)
def test_a_length_in_place_of_a_type_is_802_3(payload: bytes, ethertype: int) -> None:
    assert parsed(ethernet(46, payload)).hdr.ethertype == ethertype


def test_an_unknown_type_has_no_network_header() -> None:
    frame = parsed(ethernet(0x88B5, bytes(46)))
    assert (frame.hdr.version, frame.hdr.l4_protocol, frame.hdr.header_bytes, frame.payload_bytes) == (0, -1, 14, 46)


def test_padding_is_a_trailer_and_no_payload() -> None:
    frame = parsed(SOUND["udp4"] + bytes(13))
    assert (frame.hdr.trailer_bytes, frame.payload_bytes, frame.hdr.l4_csum_ok) == (13, 5, True)


# ---------------------------------------------------------------- defects


@pytest.mark.parametrize(
    ("packet", "problem"),
    [
        (ipv4(IPPROTO_UDP, udp())[:19], "inhdr"),
        (b"\x55" + ipv4(IPPROTO_UDP, udp())[1:], "inhdr"),
        (b"\x44" + ipv4(IPPROTO_UDP, udp())[1:], "inhdr"),
        (b"\x4f" + ipv4(IPPROTO_UDP, udp())[1:], "inhdr"),
        (ipv4(IPPROTO_UDP, udp(), csum=0xBAD), "csum"),
        (ipv4(IPPROTO_UDP, udp(), tot_len=34), "truncated"),
        (ipv4(IPPROTO_UDP, udp(), tot_len=19), "totlen"),
        (ipv4(IPPROTO_UDP, udp(), tot_len=34, csum=1), "csum"),  # the sum is looked at before the length
        (ipv4(IPPROTO_UDP, udp(), tot_len=33), None),
    ],
)
def test_the_first_defect_of_an_ipv4_header_is_named(packet: bytes, problem: str | None) -> None:
    hdr = parsed(ethernet(0x0800, packet)).hdr
    assert hdr.ip_problem == problem
    assert hdr.ip_header_whole is (problem != "inhdr")


@pytest.mark.parametrize(
    ("packet", "problem"),
    [
        (ipv6(IPPROTO_UDP, udp(addresses=V6))[:39], "inhdr"),
        (b"\x45" + ipv6(IPPROTO_UDP, udp(addresses=V6))[1:], "inhdr"),
        (ipv6(IPPROTO_UDP, udp(addresses=V6), length=14), "truncated"),
    ],
)
def test_the_first_defect_of_an_ipv6_header_is_named(packet: bytes, problem: str) -> None:
    assert parsed(ethernet(0x86DD, packet)).hdr.ip_problem == problem


@pytest.mark.parametrize("name", SOUND)
def test_one_wrong_bit_behind_the_addresses_breaks_the_transport_checksum(name: str) -> None:
    data = bytearray(SOUND[name])
    data[-1] ^= 4
    assert not parsed(bytes(data)).hdr.l4_csum_ok


def test_a_udp_checksum_of_zero_is_none() -> None:
    data = bytearray(SOUND["udp4"])
    data[40:42] = b"\0\0"
    hdr = parsed(bytes(data)).hdr
    assert hdr.l4_csum_zero
    assert hdr.l4_csum_ok


@pytest.mark.parametrize(("ulen", "lie"), [(13, 0), (10, -3), (8, -5), (14, 1), (7, -6)])
def test_a_udp_length_that_lies_is_told_and_the_sum_covers_what_ip_says(ulen: int, lie: int) -> None:
    # As GRO sums: a packet whose sum is right over all of it is accepted even if UDP claims less (recorded: udp4_ulen_short).
    for ethertype, packet in (
        (0x0800, ipv4(IPPROTO_UDP, udp(ulen=ulen))),
        (0x86DD, ipv6(IPPROTO_UDP, udp(ulen=ulen, addresses=V6))),
    ):
        hdr = parsed(ethernet(ethertype, packet)).hdr
        assert hdr.l4_bytes_lie == lie
        assert hdr.l4_csum_ok


@pytest.mark.parametrize("doff", range(16))
def test_a_tcp_header_is_whole_if_its_length_fits(doff: int) -> None:
    hdr = parsed(ethernet(0x0800, ipv4(IPPROTO_TCP, tcp(payload=bytes(12), doff=doff)))).hdr
    assert hdr.l4_header_whole is (5 <= doff <= 8)
    assert hdr.tcp_doff_bytes == doff * 4


@pytest.mark.parametrize(
    ("protocol", "segment", "need"), [(IPPROTO_TCP, tcp(), 20), (IPPROTO_UDP, udp(), 8), (IPPROTO_ICMP, icmp(), 8)]
)
def test_a_cut_transport_header_is_not_whole(protocol: int, segment: bytes, need: int) -> None:
    for length in range(need + 1):
        hdr = parsed(ethernet(0x0800, ipv4(protocol, segment[:length]))).hdr
        assert hdr.l4_header_whole is (length == need)


@pytest.mark.parametrize(
    ("frag", "offset", "more"), [(0x2000, 0, True), (0x2001, 8, True), (0x0001, 8, False), (0x1FFF, 65528, False)]
)
def test_fragments_are_known_and_only_the_first_has_ports(frag: int, offset: int, more: bool) -> None:
    frame = parsed(ethernet(0x0800, ipv4(IPPROTO_UDP, udp(), frag=frag)))
    hdr = frame.hdr
    assert (hdr.fragment, hdr.fragment_offset, hdr.more_fragments, hdr.df) == (True, offset, more, False)
    assert hdr.sport == (5000 if offset == 0 else 0)
    assert hdr.l4_csum_ok


def test_ipv6_fragments_have_an_id_and_an_offset() -> None:
    header = bytes([IPPROTO_UDP, 0]) + struct.pack("!HI", 16 << 3 | 1, 0xCAFE1234)
    frame = parsed(ethernet(0x86DD, ipv6(IPPROTO_FRAGMENT, header + bytes(16))))
    assert (frame.hdr.fragment, frame.hdr.fragment_offset, frame.hdr.more_fragments) == (True, 128, True)
    assert frame.ip_id == 0xCAFE1234
    assert frame.hdr.l4_protocol == IPPROTO_UDP


def test_an_authentication_header_counts_in_words() -> None:
    header = bytes([IPPROTO_UDP, 4]) + bytes(22)
    hdr = parsed(ethernet(0x86DD, ipv6(IPPROTO_AH, header + udp(addresses=V6)))).hdr
    assert (hdr.extension_headers, hdr.l4_protocol, hdr.sport) == ((IPPROTO_AH,), IPPROTO_UDP, 5000)


def test_esp_and_gre_keys_are_read() -> None:
    assert parsed(ethernet(0x0800, ipv4(IPPROTO_ESP, b"spi!" + bytes(20)))).hdr.gre_or_spi == b"spi!"
    assert parsed(ethernet(0x0800, ipv4(IPPROTO_GRE, b"\x20\0\x08\0key!" + bytes(20)))).hdr.gre_or_spi == b"key!"
    assert parsed(ethernet(0x0800, ipv4(IPPROTO_GRE, b"\xa0\0\x08\0sum!key!" + bytes(20)))).hdr.gre_or_spi == b"key!"
    assert parsed(ethernet(0x0800, ipv4(IPPROTO_GRE, b"\0\0\x08\0key!" + bytes(20)))).hdr.gre_or_spi == b""


# ---------------------------------------------------------------- snapped frames


@pytest.mark.parametrize("name", SOUND)
def test_what_a_snaplen_cut_off_counts_as_sound(name: str) -> None:
    whole = parsed(SOUND[name])
    for cut in range(whole.hdr.header_bytes, len(SOUND[name])):
        frame = parsed(SOUND[name][:cut], len(SOUND[name]))
        assert (frame.payload_bytes, frame.wire_bytes) == (whole.payload_bytes, whole.wire_bytes)
        assert values(frame.hdr) == values(whole.hdr)


def test_tcp_options_cut_by_a_snaplen_leave_the_header_whole() -> None:
    data = SOUND["tcp4 with timestamps"]
    for cut in range(54, 66):
        frame = parsed(data[:cut], len(data))
        assert frame.hdr.l4_header_whole
        assert frame.payload_bytes == 5
        assert frame.hdr.tcp_options == data[54:cut]


def test_a_wire_length_below_the_bytes_is_not_believed() -> None:
    assert parsed(SOUND["udp4"], 3).wire_bytes == len(SOUND["udp4"])


# ---------------------------------------------------------------- sharing


def test_frames_that_differ_in_length_id_and_sequence_share_their_headers() -> None:
    table = HeaderTable()
    first = table.parse(SOUND["tcp4"])
    data = build(first.hdr, 1500, 77, 123456789)
    second = table.parse(data)
    assert second.hdr is first.hdr
    assert (second.ip_id, second.seq, second.payload_bytes) == (77, 123456789, 1500 - 54)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (SOUND["tcp4"], SOUND["udp4"]),
        (SOUND["udp4"], SOUND["udp4"] + b"\0"),
        (SOUND["udp4"], SOUND["udp4"][:-1] + b"!"),
        (ethernet(0x0800, ipv4(IPPROTO_UDP, udp(ulen=13))), ethernet(0x0800, ipv4(IPPROTO_UDP, udp(ulen=12)))),
        (
            ethernet(0x0800, ipv4(IPPROTO_ESP, b"spi1" + bytes(20))),
            ethernet(0x0800, ipv4(IPPROTO_ESP, b"spi2" + bytes(20))),
        ),
        (
            ethernet(0x0800, ipv4(IPPROTO_GRE, b"\x20\0\x08\0key1" + bytes(20))),
            ethernet(0x0800, ipv4(IPPROTO_GRE, b"\x20\0\x08\0key2" + bytes(20))),
        ),
    ],
)
def test_frames_that_differ_otherwise_do_not(first: bytes, second: bytes) -> None:
    table = HeaderTable()
    assert table.parse(first).hdr is not table.parse(second).hdr


MUTATED = st.builds(
    lambda name, changes, cut, more: (name, changes, cut, more),
    st.sampled_from(sorted(SOUND)),
    st.lists(st.tuples(st.integers(12, 90), st.integers(0, 255)), max_size=4),
    st.integers(0, 20),
    st.integers(0, 20),
)


def mutated(name: str, changes: list[tuple[int, int]], cut: int, more: int) -> tuple[bytes, int]:
    data = bytearray(SOUND[name])
    for at, value in changes:
        data[at % len(data)] = value
    whole = bytes(data)
    return whole[: len(whole) - cut], len(whole) - cut + more


@given(st.lists(MUTATED, min_size=2, max_size=6))
@settings(max_examples=300)
def test_what_is_shared_is_what_would_be_parsed(frames: list[tuple[str, list[tuple[int, int]], int, int]]) -> None:
    table = HeaderTable()
    for spec in frames:
        data, wire = mutated(*spec)
        assert values(table.parse(data, wire).hdr) == values(parsed(data, wire).hdr)


@given(
    st.binary(max_size=120),
    st.one_of(st.none(), st.integers(0, 70_000)),
    st.sampled_from([b"", b"\x08\x00", b"\x86\xdd", b"\x81\x00"]),
)
@settings(max_examples=300)
def test_any_bytes_give_a_frame_and_equal_bytes_the_same_headers(
    data: bytes, wire: int | None, ethertype: bytes
) -> None:
    if ethertype:
        data = MACS + ethertype + data
    table = HeaderTable()
    frame = table.parse(data, wire)
    assert table.parse(data, wire).hdr is frame.hdr
    assert frame.wire_bytes >= len(data)
    assert frame.payload_bytes >= 0
    assert 0 <= frame.hdr.header_bytes <= max(frame.wire_bytes, 14)


@given(MUTATED)
@settings(max_examples=300)
def test_mutated_frames_are_parsed_without_a_fuss(spec: tuple[str, list[tuple[int, int]], int, int]) -> None:
    data, wire = mutated(*spec)
    frame = parsed(data, wire)
    assert frame.payload_bytes >= 0
    assert len(frame.hdr.template) <= len(data)


def test_the_table_is_bounded() -> None:
    table = HeaderTable()
    for number in range(TABLE_LIMIT + 10):
        table.parse(MACS[:2] + number.to_bytes(4, "big") + MACS[6:] + b"\x88\xb5")
    assert len(table._table) <= TABLE_LIMIT


# ---------------------------------------------------------------- building


@pytest.mark.parametrize("name", SOUND)
@given(
    size=st.integers(0, 1400), ip_id=st.integers(0, 0xFFFF), seq=st.integers(0, 0xFFFFFFFF), trailer=st.integers(0, 20)
)
@settings(max_examples=25)
def test_a_built_frame_is_sound_and_parses_to_the_same_headers(
    name: str, size: int, ip_id: int, seq: int, trailer: int
) -> None:
    table = HeaderTable()
    first = table.parse(SOUND[name] + bytes(trailer))
    wire = first.hdr.header_bytes + size + trailer
    data = build(first.hdr, wire, ip_id, seq)
    frame = table.parse(data)
    assert len(data) == wire
    assert frame.hdr is first.hdr
    assert frame.payload_bytes == size
    if first.hdr.version == 4:
        assert frame.ip_id == ip_id
    if first.hdr.l4_protocol == IPPROTO_TCP:
        assert frame.seq == seq


def test_a_payload_is_put_in_place() -> None:
    frame = parsed(SOUND["tcp4"])
    assert build(frame.hdr, len(SOUND["tcp4"]), frame.ip_id, frame.seq, b"hello") == SOUND["tcp4"]


def test_a_frame_without_a_udp_checksum_is_built_without_one() -> None:
    data = bytearray(SOUND["udp4"])
    data[40:42] = b"\0\0"
    frame = parsed(bytes(data))
    assert build(frame.hdr, len(data), frame.ip_id, 0, b"hello") == bytes(data)


@given(st.binary(max_size=300))
def test_the_sum_is_rfc_1071s(data: bytes) -> None:
    assert ones_complement_sum(data) == summed(data)
