"""emu/jiffies.py: ticks, the conversions that round up, and the defaults stated in jiffies."""

from fractions import Fraction
from math import ceil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emu.errors import ConfigError
from emu.jiffies import MAX_JIFFY_OFFSET, VALID_HZ, Jiffies

HZ = st.sampled_from(VALID_HZ)
FORTY_MINUTES_US = 40 * 60 * 1_000_000


@pytest.mark.parametrize(
    ("hz", "tick_ns", "max_softirq_time", "netdev_budget_usecs"),
    [
        (100, 10_000_000, 1, 20_000),
        (250, 4_000_000, 1, 8_000),
        (300, 3_333_333, 1, 6_666),
        (1000, 1_000_000, 2, 2_000),
    ],
)
def test_each_hz_has_its_tick_softirq_limit_and_default_budget(
    hz: int, tick_ns: int, max_softirq_time: int, netdev_budget_usecs: int
) -> None:
    jiffies = Jiffies(hz)
    assert jiffies.hz == hz
    assert jiffies.tick_ns == tick_ns
    assert jiffies.max_softirq_time == max_softirq_time
    assert jiffies.netdev_budget_usecs_default == netdev_budget_usecs


@given(HZ)
def test_the_default_time_limit_of_net_rx_action_is_two_jiffies(hz: int) -> None:
    jiffies = Jiffies(hz)
    assert jiffies.usecs_to_jiffies(jiffies.netdev_budget_usecs_default) == 2


@pytest.mark.parametrize(
    ("hz", "now_ns", "jiffy"),
    [
        (250, 0, 0),
        (250, 3_999_999, 0),
        (250, 4_000_000, 1),
        (1000, 999_999, 0),
        (1000, 2_500_000, 2),
        (100, 1_000_000_000, 100),
        (300, 3_333_332, 0),
        (300, 3_333_333, 1),
    ],
)
def test_a_jiffy_begins_with_its_tick(hz: int, now_ns: int, jiffy: int) -> None:
    assert Jiffies(hz).at(now_ns) == jiffy


@given(HZ, st.integers(0, 10**18))
def test_now_lies_between_the_start_of_its_jiffy_and_of_the_next(hz: int, now_ns: int) -> None:
    jiffies = Jiffies(hz)
    jiffy = jiffies.at(now_ns)
    assert jiffies.start_ns(jiffy) <= now_ns < jiffies.start_ns(jiffy + 1)


@pytest.mark.parametrize(
    ("hz", "usecs", "expected"),
    [
        (1000, 0, 0),
        (1000, 1, 1),
        (1000, 1000, 1),
        (1000, 1001, 2),
        (1000, 2000, 2),
        (250, 2000, 1),
        (250, 4001, 2),
        (250, 8000, 2),
        (100, 20_000, 2),
        (100, 1, 1),
        (300, 3333, 1),
        (300, 3334, 2),
        (300, 10_000, 3),
    ],
)
def test_microseconds_round_up_to_whole_jiffies(hz: int, usecs: int, expected: int) -> None:
    assert Jiffies(hz).usecs_to_jiffies(usecs) == expected


@given(HZ, st.integers(0, FORTY_MINUTES_US))
def test_a_time_span_is_never_cut_short_and_never_a_jiffy_too_long(hz: int, usecs: int) -> None:
    jiffies = Jiffies(hz).usecs_to_jiffies(usecs)
    assert jiffies == ceil(Fraction(usecs * hz, 1_000_000))
    assert (jiffies - 1) * 1_000_000 < usecs * hz <= jiffies * 1_000_000


@given(st.integers(0, FORTY_MINUTES_US))
def test_hz_300_agrees_with_multiplying_by_the_rounded_reciprocal_of_10000_over_3(usecs: int) -> None:
    shift = 43  # the largest that keeps 2**shift * 3 / 10000 within 32 bits
    multiplier = -(-(3 << shift) // 10_000)
    adjustment = (9_999 << shift) // 10_000
    assert 1 << 31 <= multiplier < 1 << 32
    assert Jiffies(300).usecs_to_jiffies(usecs) == (multiplier * usecs + adjustment) >> shift


@given(HZ, st.integers(0, 1 << 40))
def test_milliseconds_agree_with_microseconds(hz: int, msecs: int) -> None:
    jiffies = Jiffies(hz)
    assert jiffies.msecs_to_jiffies(msecs) == jiffies.usecs_to_jiffies(1000 * msecs)


def test_a_negative_number_of_milliseconds_is_forever() -> None:
    assert Jiffies(250).msecs_to_jiffies(-1) == MAX_JIFFY_OFFSET == 2**62 - 2


def test_endless_spans_are_cut_to_the_longest_timeout() -> None:
    assert Jiffies(1000).usecs_to_jiffies(10**30) == MAX_JIFFY_OFFSET
    assert Jiffies(1000).msecs_to_jiffies(10**30) == MAX_JIFFY_OFFSET


@pytest.mark.parametrize(("hz", "nearest"), [(0, 100), (-5, 100), (200, 250), (280, 300), (999, 1000), (10**12, 1000)])
def test_another_hz_is_refused_and_the_nearest_named(hz: int, nearest: int) -> None:
    with pytest.raises(ConfigError, match=rf"^HZ={hz}: .* the nearest is {nearest}$"):
        Jiffies(hz)


def test_jiffies_have_no_room_for_other_attributes() -> None:
    with pytest.raises(AttributeError):
        Jiffies(250).usecs = 1  # type: ignore[attr-defined]
