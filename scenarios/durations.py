"""Durations as people write them: `250us`, `1.5ms`, `2s`.

A `Duration` is a whole number of virtual nanoseconds that was written with its unit; a bare number is refused, because
nobody can know whether it meant the kernel's microseconds, jiffies or our nanoseconds.
"""

import re
from decimal import Decimal
from typing import Final

from emu.errors import ConfigError

UNITS_NS: Final[dict[str, int]] = {
    "ns": 1,
    "us": 1_000,
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "min": 60_000_000_000,
    "h": 3_600_000_000_000,
}
"""Unit -> nanoseconds. `µs` is taken for `us`."""

MAX_DURATION_NS: Final = 24 * UNITS_NS["h"]
"""The longest duration taken: a virtual day is days of work."""

FORM: Final = 'a duration with its unit, such as "250us", "1.5ms" or "2s"'

_TEXT: Final = re.compile(r"([0-9]{1,20}(?:\.[0-9]{1,20})?) ?([a-zµμ]{1,3})", re.ASCII)


class Duration(int):
    """Nanoseconds, from 0 to MAX_DURATION_NS; computes as the int it is, and prints as people write it."""

    __slots__ = ()

    def __str__(self) -> str:
        return format_duration(self)

    def __repr__(self) -> str:
        return f"Duration({int(self)})"


def parse_duration(text: str) -> Duration:
    """Return the duration `text` spells, to the nanosecond.

    ConfigError for another form, a part of a nanosecond, or more than MAX_DURATION_NS.
    """
    match = _TEXT.fullmatch(text.strip())
    unit_ns = UNITS_NS.get(match[2].replace("µ", "u").replace("μ", "u")) if match else None
    if match is None or unit_ns is None:
        raise ConfigError(f"{text[:40]!r} is not {FORM}")
    ns = Decimal(match[1]) * unit_ns
    if ns != int(ns):
        raise ConfigError(f"{text[:60]!r} is not a whole number of nanoseconds")
    if ns > MAX_DURATION_NS:
        raise ConfigError(f"{text[:60]!r} is longer than 24h, the longest duration there is")
    return Duration(ns)


def format_duration(ns: int) -> str:
    """Return `ns` as `parse_duration` reads it, in the largest unit that leaves a whole number (minutes and hours aside)."""
    for unit in ("s", "ms", "us"):
        if ns and ns % UNITS_NS[unit] == 0:
            return f"{ns // UNITS_NS[unit]}{unit}"
    return f"{int(ns)}ns"
