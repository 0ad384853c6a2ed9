"""Numbers as text: short, never a false zero, and sums that hold as shown."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.numbers import clock, duration, per_second_parts, portions, si


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (0, "0"),
        (0.001, "<.1"),
        (0.4, ".4"),
        (1, "1"),
        (3.46, "3.5"),
        (9.96, "10"),
        (585, "585"),
        (999.6, "1.00k"),
        (1001, "1.00k"),
        (9996, "10.0k"),
        (60_100, "60.1k"),
        (585_000, "585k"),
        (2_412_345, "2.41M"),
        (-1500, "-1.50k"),
    ],
)
def test_si_examples(value: float, words: str) -> None:
    assert si(value) == words


def test_si_with_two_digits() -> None:
    assert [si(value, 2) for value in (7, 1001, 9960, 23_456, 999_400)] == ["7", "1.0k", "10k", "23k", "999k"]


@given(st.floats(min_value=0, max_value=1e20), st.integers(2, 3))
def test_si_is_short_and_close_and_zero_only_for_zero(value: float, digits: int) -> None:
    words = si(value, digits)
    assert len(words) <= digits + 2
    assert (words == "0") == (value == 0)
    if value >= 0.05:
        factor = {"k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15, "E": 1e18}.get(words[-1], 1)
        shown = float(words.rstrip("kMGTPE")) * factor
        assert shown == pytest.approx(value, rel=0.051, abs=0.051)


@pytest.mark.parametrize(
    ("span_ns", "words"),
    [
        (0, "0"),
        (850, "850ns"),
        (1_849, "1.8us"),
        (410_000, "410us"),
        (2_100_000, "2.1ms"),
        (999_600, "1.0ms"),
        (12e9, "12s"),
    ],
)
def test_duration_examples(span_ns: float, words: str) -> None:
    assert duration(span_ns) == words


@given(st.integers(0, 9_999 * 10**9))
def test_a_duration_has_at_most_five_characters(span_ns: int) -> None:
    assert len(duration(span_ns)) <= 5


def test_the_clock_counts_hours_and_cuts_to_microseconds() -> None:
    assert clock(12_488_412_999) == "00:00:12.488412"
    assert clock(3_600_000_000_000 * 25 + 1_000) == "25:00:00.000001"


@given(st.lists(st.integers(0, 2**62), min_size=1, max_size=6), st.sampled_from([22, 100, 1000]))
def test_portions_add_up_and_are_off_by_less_than_one(parts: list[int], units: int) -> None:
    shared = portions(parts, units)
    whole = sum(parts)
    if not whole:
        assert not any(shared)
        return
    assert sum(shared) == units
    for part, share in zip(parts, shared, strict=True):
        assert abs(part * units - share * whole) < whole


@given(st.lists(st.integers(-(10**9), 10**12), min_size=1, max_size=5), st.integers(1, 10**12))
def test_rates_add_up_to_the_rounded_rate_of_all(counts: list[int], interval_ns: int) -> None:
    rates = per_second_parts(counts, interval_ns)
    assert abs(sum(rates) * interval_ns - sum(counts) * 10**9) * 2 <= interval_ns
    for count, rate in zip(counts, rates, strict=True):
        assert abs(count * 10**9 - rate * interval_ns) < interval_ns
