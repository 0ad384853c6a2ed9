"""Histograms: exact totals, bins at most a sixteenth wide, merging is concatenation."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emu.histogram import BUFFER_CODES, BUFFER_VALUES, Histogram, bin_upper_bound

VALUES = st.lists(st.one_of(st.integers(0, 40), st.integers(0, 10**6), st.integers(0, 1 << 62)), max_size=200)
PERCENTS = st.one_of(st.integers(0, 100), st.sampled_from([0.1, 12.5, 50.0, 99.9, 99.99]))


def filled(values: list[int]) -> Histogram:
    histogram = Histogram()
    for value in values:
        histogram.record(value)
    return histogram


def exact(values: list[int], percent: float) -> int:
    """The smallest value with at least `percent` of the values at or below it."""
    ordered = sorted(values)
    for seen, value in enumerate(ordered, start=1):
        if seen * 100_000 >= round(percent * 1000) * len(ordered):
            return value
    return ordered[-1]


@given(VALUES)
def test_totals_are_exact(values: list[int]) -> None:
    histogram = filled(values)
    assert histogram.count == len(values)
    assert histogram.total == sum(values)
    assert histogram.maximum == max(values, default=0)
    assert sum(histogram.bins().values()) == len(values)


@given(VALUES.filter(bool), PERCENTS)
def test_a_percentile_is_never_below_the_value_and_at_most_a_sixteenth_above(values: list[int], percent: float) -> None:
    true = exact(values, percent)
    shown = filled(values).percentile(percent)
    assert true <= shown <= true + true // 16 + 1
    assert shown <= max(values)
    if true < 1 << 52:
        assert shown - true <= true / 16


@given(VALUES, VALUES, PERCENTS)
def test_merging_is_counting_both(first: list[int], second: list[int], percent: float) -> None:
    merged, whole = filled(first), filled(first + second)
    merged.merge(filled(second))
    assert merged.bins() == whole.bins()
    assert (merged.count, merged.total, merged.maximum) == (whole.count, whole.total, whole.maximum)
    assert merged.percentile(percent) == whole.percentile(percent)


@given(VALUES)
def test_a_merge_leaves_the_other_as_it_was(values: list[int]) -> None:
    other = filled(values)
    Histogram().merge(other)
    assert other.bins() == filled(values).bins()


@given(VALUES)
def test_appending_to_pending_is_recording(values: list[int]) -> None:
    histogram = Histogram()
    for value in values:
        histogram.pending.append(value)
        histogram.fold_if_full()
    assert histogram.bins() == filled(values).bins()


@given(st.integers(0, 1 << 62))
def test_a_value_lies_in_its_bin_and_small_ones_alone(value: int) -> None:
    (bound,) = filled([value]).bins()
    assert value <= bound
    if value < 1 << 52:
        assert bound - value <= value / 16
    if value < 32:
        assert bound == value


def test_bounds_rise_from_bin_to_bin() -> None:
    bounds = [bin_upper_bound(number) for number in range(0x3FF0, 0x43E0)]
    assert bounds == sorted(bounds)
    assert bounds[0] == 1


def test_an_empty_histogram_is_all_zero() -> None:
    histogram = Histogram()
    assert (histogram.count, histogram.total, histogram.maximum, histogram.percentile(50)) == (0, 0, 0, 0)
    assert histogram.bins() == {}


@pytest.mark.parametrize(("percent", "value"), [(0, 1), (1, 1), (50, 5), (50.1, 6), (90, 9), (91, 10), (100, 10)])
def test_percentiles_of_one_to_ten(percent: float, value: int) -> None:
    assert filled(list(range(1, 11))).percentile(percent) == value


def test_the_per_mille_of_a_thousand_is_the_999th() -> None:
    values = [1] * 999 + [1000]
    assert filled(values).percentile(99.9) == 1
    assert filled(values).percentile(99.91) == 1000


def test_a_full_buffer_is_folded() -> None:
    histogram = filled([7] * (BUFFER_VALUES + 1))
    assert len(histogram.pending) == 1
    assert histogram.count == BUFFER_VALUES + 1


@pytest.mark.parametrize("most", [3, 500, 131_071, 10**6, 1 << 40])
def test_as_many_values_as_fill_all_buffers_are_binned_as_one_by_one(most: int) -> None:
    stream = random.Random(most)
    values = [int(most ** stream.random()) for _ in range(3 * BUFFER_CODES)]
    bounds = {value: next(iter(filled([value]).bins())) for value in set(values)}
    histogram = filled(values)
    assert histogram.bins() == dict(sorted(Counter(bounds[value] for value in values).items()))
    assert (histogram.count, histogram.total, histogram.maximum) == (len(values), sum(values), max(values))
