"""Fixed intervals and the search of DIM."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emu.errors import ControlError
from nic.moderation import RX_PROFILES_US, TIRED_STEPS, Dim, Moderation, Rates, Tune, compare


@pytest.mark.parametrize(("usecs", "kept_us"), [(0, 0), (1, 0), (2, 2), (51, 50), (8159, 8158), (8160, 8160)])
def test_a_fixed_interval_is_kept_in_steps_of_two_microseconds(usecs: int, kept_us: int) -> None:
    moderation = Moderation(usecs, adaptive=False)
    assert (moderation.rx_usecs, moderation.itr_ns) == (kept_us, kept_us * 1000)


@pytest.mark.parametrize("usecs", [-1, 8161])
def test_an_interval_out_of_range_is_refused(usecs: int) -> None:
    moderation = Moderation(50, adaptive=False)
    with pytest.raises(ControlError, match="0 to 8160"):
        moderation.set(rx_usecs=usecs)
    assert moderation.itr_ns == 50_000


def test_dynamic_moderation_begins_at_8_us_and_a_fixed_setting_returns_when_it_is_turned_off() -> None:
    moderation = Moderation()
    assert moderation.itr_ns == 8000
    moderation.set(adaptive=False)
    assert moderation.itr_ns == 50_000
    moderation.set(rx_usecs=20)
    assert moderation.itr_ns == 20_000
    assert not moderation.sample(10**9, 1000, 1000, 1000)


BASE: Rates = (1000, 1000, 1000)


@pytest.mark.parametrize(
    ("now", "before", "verdict"),
    [
        ((1100, 1000, 1000), BASE, 0),
        ((1110, 1000, 1000), BASE, 1),
        ((890, 2000, 10), BASE, -1),
        ((1050, 1200, 5000), BASE, 1),
        ((1050, 880, 10), BASE, -1),
        ((1050, 1050, 880), BASE, 1),
        ((1050, 1050, 1120), BASE, -1),
        ((0, 0, 0), (0, 0, 0), 0),
        ((5, 0, 0), (0, 0, 0), 1),
        ((5, 5, 5), (5, 0, 5), 1),
        ((5, 5, 5), (5, 5, 0), 0),
    ],
)
def test_bytes_count_first_then_packets_then_fewer_events(now: Rates, before: Rates, verdict: int) -> None:
    """C11: only a difference above 10 % is one."""
    assert compare(now, before) == verdict


def decide(dim: Dim, *bytes_per_ms: int) -> list[tuple[int, Tune]]:
    states = []
    for rate in bytes_per_ms:
        dim.decide((rate, 100, 100))
        states.append((dim.profile, dim.tune))
    return states


def test_the_first_measurement_leaves_parking_to_the_left() -> None:
    assert decide(Dim(), 1000) == [(0, Tune.GOING_LEFT)]


def test_the_search_turns_when_a_step_was_no_better_and_parks_on_top() -> None:
    """Left to 2 us, worse: right through 8 and 16 as long as it helps; 62 is worse: back one step, better again, stay."""
    assert decide(Dim(), 1000, 500, 1000, 2000, 1500, 2000) == [
        (0, Tune.GOING_LEFT),
        (1, Tune.GOING_RIGHT),
        (2, Tune.GOING_RIGHT),
        (3, Tune.GOING_RIGHT),
        (2, Tune.GOING_LEFT),
        (2, Tune.PARKING_ON_TOP),
    ]


def test_steady_traffic_stays_parked_and_a_change_starts_anew() -> None:
    dim = Dim()
    decide(dim, 1000, 500, 1000, 2000, 1500, 2000)
    assert decide(dim, 2000, 2100, 1950) == [(2, Tune.PARKING_ON_TOP)] * 3
    assert decide(dim, 4000) == [(1, Tune.GOING_LEFT)]


def test_an_edge_is_a_place_to_park() -> None:
    dim = Dim()
    assert decide(dim, 1000, 2000) == [(0, Tune.GOING_LEFT), (0, Tune.PARKING_ON_TOP)]


def test_the_search_tires_after_ten_steps_and_rests_ten_decisions() -> None:
    dim = Dim()
    decide(dim, 1000)
    rate = 1000
    seen: list[Tune] = []
    for number in range(40):
        # Never the same, never better: each step turns.
        rate = rate * 8 // 10 + 1 if rate > 20 else 10**6 >> number % 3
        dim.decide((rate, 100, 100))
        seen.append(dim.tune)
    assert Tune.PARKING_TIRED in seen
    first = seen.index(Tune.PARKING_TIRED)
    assert seen[first : first + TIRED_STEPS] == [Tune.PARKING_TIRED] * TIRED_STEPS
    assert seen[first + TIRED_STEPS] is not Tune.PARKING_TIRED


def test_a_decision_takes_64_events() -> None:
    dim = Dim()
    assert not dim.sample(0, 0, 0, 0)
    assert not dim.sample(1_000_000, 63, 63, 6400)
    assert dim.decisions == 0
    assert dim.sample(2_000_000, 64, 64, 6400)
    assert dim.decisions == 1
    assert dim.previous == (3200, 32, 32)


def test_after_a_change_the_next_sample_only_starts_the_measurement() -> None:
    dim = Dim()
    dim.sample(0, 0, 0, 0)
    dim.sample(1_000_000, 64, 64, 6400)
    assert not dim.sample(2_000_000, 200, 200, 20000)
    assert dim.decisions == 1
    dim.sample(3_000_000, 264, 264, 26400)
    assert dim.decisions == 2


def test_a_measurement_older_than_a_second_is_thrown_away() -> None:
    dim = Dim()
    dim.sample(0, 0, 0, 0)
    assert not dim.sample(1_000_000_000, 64, 64, 6400)
    assert dim.decisions == 0
    dim.sample(1_500_000_000, 128, 128, 12800)
    assert dim.decisions == 1


@given(rates=st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 10**4), st.integers(1, 10**3)), max_size=200))
def test_the_profile_stays_on_the_table_and_moves_one_step_at_a_time(rates: list[Rates]) -> None:
    dim = Dim()
    for rate in rates:
        before = dim.profile
        assert dim.decide(rate) == (dim.profile != before)
        assert 0 <= dim.profile < len(RX_PROFILES_US)
        assert abs(dim.profile - before) <= 1
        assert 0 <= dim.tired <= TIRED_STEPS
