"""The Toeplitz hash of receive-side scaling, by one table look-up a byte.

Models: the hash of RSS over addresses and ports, for keys of any length the input fits under (40 and 52 bytes in practice).
Leaves out: symmetric variants.
Source: the RSS specification's published hashes; rules H5, H6.
"""

from __future__ import annotations

import random
from functools import reduce
from operator import getitem, xor
from typing import Final

from emu.errors import ConfigError

HASH_BYTES: Final = 4
RSS_KEY_BYTES: Final = 40
"""What most drivers use of the kernel's key (H6)."""
RSS_KEY_EXTENDED_BYTES: Final = 52
"""NETDEV_RSS_KEY_LEN; ice: 40 and an extension of 12 (H6)."""


class Toeplitz:
    """The hash under one key. Input of up to `len(key) - 4` bytes; tables for a position are made when it is first used."""

    __slots__ = ("_tables", "key")

    def __init__(self, key: bytes) -> None:
        """`key` has at least 5 bytes. Raises ConfigError for a shorter one."""
        if len(key) <= HASH_BYTES:
            raise ConfigError(f"an RSS key of {len(key)} bytes hashes nothing; use {RSS_KEY_BYTES}")
        self.key = key
        self._tables: list[list[int]] = []

    def hash(self, data: bytes) -> int:
        """The 32-bit hash of `data`, at most `len(key) - 4` bytes."""
        tables = self._tables
        while len(tables) < len(data):
            tables.append(self._table(len(tables)))
        return reduce(xor, map(getitem, tables, data), 0)

    def _table(self, position: int) -> list[int]:
        """The 256 contributions of the byte at `position`: a bit that is set adds the 32 key bits that begin at it."""
        assert position <= len(self.key) - HASH_BYTES - 1, (
            f"an RSS key of {len(self.key)} bytes is too short for the input"
        )
        window = int.from_bytes(self.key[position : position + HASH_BYTES + 1], "big")
        table = [0] * 256
        for value in range(1, 256):
            lowest = (value & -value).bit_length() - 1
            table[value] = table[value & (value - 1)] ^ (window >> (lowest + 1) & 0xFFFFFFFF)
        return table


def random_key(stream: random.Random, length_bytes: int = RSS_KEY_EXTENDED_BYTES) -> bytes:
    """netdev_rss_key_fill: a key drawn from a named stream (H6)."""
    return stream.randbytes(length_bytes)
