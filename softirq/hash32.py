"""Multiplicative hashing to a power of two, as newer releases index flow tables (F4, R13)."""

from typing import Final

GOLDEN_RATIO_32: Final = 0x61C88647
"""2**32 divided by the golden ratio squared, rounded (Knuth, The Art of Computer Programming 3, 6.4)."""


def hash_32(value: int, bits: int) -> int:
    """The top `bits` (0..32) bits of `value` times the constant, modulo 2**32."""
    return (value * GOLDEN_RATIO_32 & 0xFFFFFFFF) >> (32 - bits)
