"""The Toeplitz hash against the published verification values and a bit-by-bit model."""

from __future__ import annotations

import random
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emu.errors import ConfigError
from nic.toeplitz import Toeplitz, random_key

VERIFICATION_KEY = bytes.fromhex("6d5a56da255b0ec24167253d43a38fb0d0ca2bcbae7b30b477cb2da38030f20c6a42b73bbeac01fa")

PUBLISHED = [
    # destination, port, source, port, hash of addresses, hash of addresses and ports
    ("161.142.100.80", 1766, "66.9.149.187", 2794, 0x323E8FC2, 0x51CCC178),
    ("65.69.140.83", 4739, "199.92.111.2", 14230, 0xD718262A, 0xC626B0EA),
    ("12.22.207.184", 38024, "24.19.198.95", 12898, 0xD2D0A5DE, 0x5C2B394A),
    ("209.142.163.6", 2217, "38.27.205.30", 48228, 0x82989176, 0xAFC7327F),
    ("202.188.127.2", 1303, "153.39.163.191", 44251, 0x5D1809C5, 0x10E828A2),
    ("3ffe:2501:200:3::1", 1766, "3ffe:2501:200:1fff::7", 2794, 0x2CC18CD5, 0x40207D3D),
    ("ff02::1", 4739, "3ffe:501:8::260:97ff:fe40:efab", 14230, 0x0F0C461C, 0xDDE51BBF),
    ("fe80::200:f8ff:fe21:67cf", 38024, "3ffe:1900:4545:3:200:f8ff:fe21:67cf", 44251, 0x4B61E985, 0x02D1FEEF),
]


@pytest.mark.parametrize(("dst", "dport", "src", "sport", "l3", "l4"), PUBLISHED)
def test_published_hashes_under_the_verification_key(
    dst: str, dport: int, src: str, sport: int, l3: int, l4: int
) -> None:
    """H5 and the IPv6 values of the same list."""
    toeplitz = Toeplitz(VERIFICATION_KEY)
    addresses = ip_address(src).packed + ip_address(dst).packed
    assert toeplitz.hash(addresses) == l3
    assert toeplitz.hash(addresses + sport.to_bytes(2, "big") + dport.to_bytes(2, "big")) == l4


def bit_by_bit(key: bytes, data: bytes) -> int:
    bits = int.from_bytes(key, "big")
    result = 0
    for position in range(len(data) * 8):
        if data[position // 8] >> (7 - position % 8) & 1:
            result ^= bits >> (len(key) * 8 - 32 - position) & 0xFFFFFFFF
    return result


@given(key=st.binary(min_size=5, max_size=52), data=st.data())
def test_tables_agree_with_the_definition(key: bytes, data: st.DataObject) -> None:
    frame = data.draw(st.binary(max_size=len(key) - 4))
    assert Toeplitz(key).hash(frame) == bit_by_bit(key, frame)


@given(
    key=st.binary(min_size=40, max_size=40),
    a=st.binary(min_size=36, max_size=36),
    b=st.binary(min_size=36, max_size=36),
)
def test_the_hash_is_linear(key: bytes, a: bytes, b: bytes) -> None:
    toeplitz = Toeplitz(key)
    both = bytes(x ^ y for x, y in zip(a, b, strict=True))
    assert toeplitz.hash(both) == toeplitz.hash(a) ^ toeplitz.hash(b)


def test_the_last_byte_that_fits_the_key_is_hashed_and_the_next_is_refused() -> None:
    toeplitz = Toeplitz(bytes(39) + b"\x01")
    assert toeplitz.hash(bytes(35) + b"\x01") == 0
    assert Toeplitz(bytes(39) + b"\x02").hash(bytes(35) + b"\x01") == 1
    with pytest.raises(AssertionError, match="too short"):
        toeplitz.hash(bytes(37))


def test_a_key_of_four_bytes_is_refused() -> None:
    with pytest.raises(ConfigError, match="4 bytes"):
        Toeplitz(bytes(4))


def test_keys_come_from_their_stream() -> None:
    assert random_key(random.Random("7/rss key")) == random_key(random.Random("7/rss key"))
    assert len(random_key(random.Random(1))) == 52
    assert len(random_key(random.Random(1), 40)) == 40
