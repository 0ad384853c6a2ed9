"""The bootstrap interval: laws, and what scipy gives for the same samples."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scenarios.study.bootstrap import Bootstrap, Interval, quantile

MANY = 100_000
SAMPLES = {
    (0.5, -0.25, 1.0, 0.75, 0.1, -0.4, 0.9, 0.3): (0.01875, 0.69375),
    (12.0, 15.0, 11.0, 19.0, 14.0, 13.0, 90.0, 12.0, 16.0, 15.0): (13.1, 37.3),
    (-3.0, -1.0): (-3.0, -1.0),
    (0.0, 0.0, 0.0, 0.0, 1.0): (0.0, 0.6),
}
"""Sample -> ends by scipy 1.17.1, `bootstrap((sample,), numpy.mean, method="percentile", n_resamples=400_000)`."""

values = st.lists(st.integers(-1000, 1000).map(float), min_size=2, max_size=12)


@pytest.mark.parametrize("sample", SAMPLES)
def test_the_interval_is_scipys(sample: tuple[float, ...]) -> None:
    low, high = SAMPLES[sample]
    found = Bootstrap(len(sample), 1, MANY).interval(sample)
    width = high - low
    assert found.low == pytest.approx(low, abs=0.02 * width)
    assert found.high == pytest.approx(high, abs=0.02 * width)
    assert found.mean == pytest.approx(sum(sample) / len(sample))


def test_the_interval_is_that_of_the_scipy_that_is_installed() -> None:
    stats = pytest.importorskip("scipy.stats")
    numpy = pytest.importorskip("numpy")
    sample = (4.0, 8.0, 15.0, 16.0, 23.0, 42.0)
    theirs = stats.bootstrap(
        (numpy.array(sample),), numpy.mean, method="percentile", n_resamples=MANY, rng=numpy.random.default_rng(1)
    ).confidence_interval
    ours = Bootstrap(len(sample), 1, MANY).interval(sample)
    assert ours.low == pytest.approx(theirs.low, abs=0.02 * (theirs.high - theirs.low))
    assert ours.high == pytest.approx(theirs.high, abs=0.02 * (theirs.high - theirs.low))


@settings(deadline=None)
@given(sample=values, seed=st.integers(0, 5), data=st.data())
def test_the_order_of_the_seeds_does_not_matter(sample: list[float], seed: int, data: st.DataObject) -> None:
    shuffled = data.draw(st.permutations(sample))
    assert Bootstrap(len(sample), seed, 50).interval(sample) == Bootstrap(len(sample), seed, 50).interval(shuffled)


@settings(deadline=None)
@given(sample=values, seed=st.integers(0, 5))
def test_the_mean_lies_in_the_interval_and_the_interval_in_the_sample(sample: list[float], seed: int) -> None:
    found = Bootstrap(len(sample), seed, 200).interval(sample)
    slack = 1e-9
    assert min(sample) - slack <= found.low <= found.mean + slack
    assert found.mean - slack <= found.high <= max(sample) + slack


@settings(deadline=None)
@given(value=st.floats(-1e12, 1e12), size=st.integers(2, 20))
def test_equal_differences_give_no_width(value: float, size: int) -> None:
    assert Bootstrap(size, 1, 10).interval([value] * size) == Interval(value, value, value)


@settings(deadline=None)
@given(sample=values, shift=st.integers(-100, 100), factor=st.sampled_from((0.5, 2.0, 4.0)))
def test_a_shift_and_a_scale_go_through(sample: list[float], shift: int, factor: float) -> None:
    bootstrap = Bootstrap(len(sample), 3, 50)
    plain = bootstrap.interval(sample)
    moved = bootstrap.interval([factor * value + shift for value in sample])
    assert moved.low == pytest.approx(factor * plain.low + shift, abs=1e-6)
    assert moved.high == pytest.approx(factor * plain.high + shift, abs=1e-6)


def test_the_seed_decides_the_draws() -> None:
    sample = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.5]
    assert Bootstrap(7, 1, 30).interval(sample) == Bootstrap(7, 1, 30).interval(sample)
    assert Bootstrap(7, 1, 30).interval(sample) != Bootstrap(7, 2, 30).interval(sample)


def test_a_quantile_between_two_values_is_linear_as_numpys() -> None:
    squares = [0.0, 1.0, 4.0, 9.0, 16.0, 25.0, 36.0]
    found = [quantile(squares, percent / 100) for percent in (0, 2.5, 33, 50, 97.5, 100)]
    assert found == pytest.approx([0.0, 0.15, 3.94, 9.0, 34.35, 36.0])


def test_an_interval_that_touches_zero_proves_nothing() -> None:
    assert Interval(1, 0.1, 2).excludes_zero
    assert Interval(-1, -2, -0.1).excludes_zero
    assert not Interval(1, 0, 2).excludes_zero
    assert not Interval(0, 0, 0).excludes_zero
