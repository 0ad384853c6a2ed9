"""Numbers as a person reads them: SI suffixes, times, and parts that add up after rounding."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

_SUFFIXES: Final = ("", "k", "M", "G", "T", "P", "E")


def si(value: float, digits: int = 3) -> str:
    """`value` with a decimal suffix: `0`, `.4`, `3.5`, `585`, `60.1k`, `2.41M`; at most `digits` + 2 characters if positive.

    A value that is not zero never reads as zero: it becomes `<.1`.
    """
    if value < 0:
        return "-" + si(-value, digits)
    if value == 0:
        return "0"
    if value < 0.05:
        return "<.1"
    if value < 9.95:
        tenths = int(value * 10 + 0.5)
        whole, rest = divmod(tenths, 10)
        return f"{whole or ''}.{rest}" if rest else str(whole)
    power = 0
    while value >= 999.5 and power < len(_SUFFIXES) - 1:
        value /= 1000
        power += 1
    if power and value < 10 - 0.5 * 10 ** (1 - digits):
        return f"{value:.{digits - 1}f}{_SUFFIXES[power]}"
    if power and digits > 2 and value < 99.95:
        return f"{value:.1f}{_SUFFIXES[power]}"
    return f"{value:.0f}{_SUFFIXES[power]}"


def duration(span_ns: float) -> str:
    """A span of time in at most 5 characters up to 10,000 seconds: `0`, `850ns`, `1.8us`, `410us`, `2.1ms`, `12s`."""
    if span_ns == 0:
        return "0"
    value = float(span_ns)
    for unit in ("ns", "us", "ms"):
        if value < 999.5:
            return f"{value:.0f}{unit}" if value >= 9.95 or unit == "ns" else f"{value:.1f}{unit}"
        value /= 1000
    return f"{value:.1f}s" if value < 9.95 else f"{value:.0f}s"


def clock(now_ns: int) -> str:
    """Virtual time as `HH:MM:SS.uuuuuu`, cut to microseconds."""
    seconds, rest_ns = divmod(now_ns, 1_000_000_000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{seconds:02}.{rest_ns // 1000:06}"


def portions(parts: Sequence[int], units: int) -> list[int]:
    """Share `units` among `parts` >= 0 in proportion, so that the shares add up to `units`; all 0 if the parts are.

    The largest remainder rounds up first, the earlier part wins a tie.
    """
    whole = sum(parts)
    if not whole:
        return [0] * len(parts)
    return _round_to([part * units for part in parts], whole, units)


def per_second_parts(counts: Sequence[int], interval_ns: int, scale: int = 1) -> list[int]:
    """Counts in an interval (they may be negative) as whole events a second times `scale`, rounded so that
    their sum is the rounded rate of all. All 0 for an interval of 0.
    """
    if not interval_ns:
        return [0] * len(counts)
    rated = [count * 1_000_000_000 * scale for count in counts]
    return _round_to(rated, interval_ns, (2 * sum(rated) + interval_ns) // (2 * interval_ns))


def _round_to(numerators: list[int], denominator: int, whole: int) -> list[int]:
    """Each numerator / denominator rounded down or up such that the results add up to `whole`."""
    rounded = [numerator // denominator for numerator in numerators]
    missing = whole - sum(rounded)
    by_remainder = sorted(range(len(numerators)), key=lambda i: -(numerators[i] % denominator))
    for i in by_remainder[:missing]:
        rounded[i] += 1
    return rounded
