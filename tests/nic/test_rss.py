"""Which fields are hashed, which queue a hash goes to, and what ethtool may write."""

from __future__ import annotations

import copy
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emu.errors import ControlError
from emu.headers import ETH_P_ARP, Headers, HeaderTable
from emu.skb import HASH_L3, HASH_L4, HASH_NONE
from nic.rss import Rss, default_indirection, weighted_indirection
from nic.toeplitz import Toeplitz
from scenarios.flows import make_headers
from tests.nic.rig import MAC, OTHER_MAC, udp_headers
from tests.nic.test_toeplitz import VERIFICATION_KEY

HASH = Toeplitz(VERIFICATION_KEY).hash
SADDR = bytes((66, 9, 149, 187))
DADDR = bytes((161, 142, 100, 80))
PORTS = (2794).to_bytes(2, "big") + (1766).to_bytes(2, "big")


def headers(protocol: int = 17, saddr: bytes = SADDR, daddr: bytes = DADDR) -> Headers:
    return make_headers(HeaderTable(), MAC + OTHER_MAC, saddr, daddr, protocol, 2794, 1766)


def rss(queues: int = 4, **options: bool) -> Rss:
    return Rss(VERIFICATION_KEY, queues, **options)


@pytest.mark.parametrize("protocol", [6, 17])
def test_tcp_and_udp_hash_addresses_and_ports_by_default(protocol: int) -> None:
    assert rss().classify(headers(protocol)) == (0x51CCC178, HASH_L4, (0x51CCC178 & 2047) % 4)


def test_ipv6_hashes_addresses_and_ports() -> None:
    saddr, daddr = bytes(range(16)), bytes(range(16, 32))
    value, kind, _ = rss().classify(headers(6, saddr, daddr))
    assert (value, kind) == (HASH(saddr + daddr + PORTS), HASH_L4)


@pytest.mark.parametrize(
    ("fields", "data"),
    [
        ("sd", SADDR + DADDR),
        ("s", SADDR),
        ("d", DADDR),
        ("sfn", SADDR + PORTS),
        ("f", PORTS[:2]),
        ("n", PORTS[2:]),
        ("nfds", SADDR + DADDR + PORTS),
    ],
)
def test_fields_choose_what_is_hashed(fields: str, data: bytes) -> None:
    scaling = rss()
    scaling.set_fields("udp4", fields)
    assert scaling.classify(headers())[0] == HASH(data)
    assert scaling.classify(headers(6))[0] == HASH(SADDR + DADDR + PORTS)


def test_a_udp_hash_of_addresses_is_called_l4_by_ice_and_l3_by_virtio() -> None:
    """C5: ice goes by the packet's type."""
    for by_type, kind in ((True, HASH_L4), (False, HASH_L3)):
        scaling = rss(kind_by_packet_type=by_type)
        scaling.set_fields("udp4", "sd")
        assert scaling.classify(headers())[1] == kind


def test_fragments_and_other_protocols_hash_addresses_only() -> None:
    fragment = copy.copy(headers())
    fragment.fragment = True
    icmp = copy.copy(headers())
    icmp.l4_protocol = 1
    for hdr in (fragment, icmp):
        assert rss().classify(hdr)[:2] == (0x323E8FC2, HASH_L3)


def test_what_is_not_ip_has_no_hash_and_goes_to_queue_0() -> None:
    arp = HeaderTable().parse(b"\xff" * 6 + OTHER_MAC + ETH_P_ARP.to_bytes(2, "big") + bytes(46)).hdr
    scaling = rss()
    scaling.set_weights([0, 1])
    assert scaling.classify(arp) == (0, HASH_NONE, 0)


def test_a_hash_of_0_is_none() -> None:
    assert Rss(bytes(40), 2).classify(headers())[:2] == (0, HASH_NONE)


@given(entries=st.sampled_from([64, 128, 512, 2048]), queues=st.integers(1, 64))
def test_the_default_table_is_entry_modulo_queues(entries: int, queues: int) -> None:
    assert default_indirection(entries, queues) == [entry % queues for entry in range(entries)]


@given(weights=st.lists(st.integers(0, 100), min_size=1, max_size=16).filter(any))
def test_weights_share_the_table_to_within_an_entry(weights: list[int]) -> None:
    table = weighted_indirection(2048, weights, 16)
    assert len(table) == 2048
    assert table == sorted(table)
    counts = Counter(table)
    for queue, weight in enumerate(weights):
        assert abs(counts[queue] - 2048 * weight / sum(weights)) < 1


def test_equal_spreads_over_the_first_queues() -> None:
    scaling = rss(8)
    scaling.set_equal(3)
    assert set(scaling.indirection) == {0, 1, 2}


def test_an_explicit_table_is_kept() -> None:
    scaling = Rss(VERIFICATION_KEY, 4, entries=64)
    scaling.set_indirection([3] * 64)
    assert scaling.classify(headers())[2] == 3


@pytest.mark.parametrize(
    "write",
    [
        lambda rss: rss.set_equal(0),
        lambda rss: rss.set_equal(5),
        lambda rss: rss.set_weights([0, 0]),
        lambda rss: rss.set_weights([1, -1]),
        lambda rss: rss.set_weights([1] * 5),
        lambda rss: rss.set_indirection([0] * 64),
        lambda rss: rss.set_indirection([4] * 2048),
        lambda rss: rss.set_fields("sctp4", "sd"),
        lambda rss: rss.set_fields("udp4", ""),
        lambda rss: rss.set_fields("udp4", "sx"),
        lambda rss: rss.set_key(bytes(39)),
    ],
)
def test_a_wrong_write_is_refused_and_changes_nothing(write: object) -> None:
    scaling = rss()
    before = (list(scaling.indirection), dict(scaling.fields), scaling.key)
    with pytest.raises(ControlError) as error:
        write(scaling)  # type: ignore[operator]
    assert error.value.errno_name == "EINVAL"
    assert (scaling.indirection, scaling.fields, scaling.key) == before


def test_a_new_key_changes_the_hash() -> None:
    scaling = rss()
    scaling.set_key(bytes(range(52)))
    assert scaling.classify(udp_headers())[0] == Toeplitz(bytes(range(52))).hash(
        b"\x0a\x01\x00\x01\x0a\x00\x00\x01" + (1024).to_bytes(2, "big") + (5001).to_bytes(2, "big")
    )
