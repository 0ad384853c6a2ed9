"""Counters of flows: both kinds count the same, however the frames are parted into blocks, and wrap around."""

from hypothesis import given
from hypothesis import strategies as st

from scenarios.counters import EvenCounters, StandingCounters, UnevenCounters


@given(
    firsts=st.lists(st.integers(0, 255), min_size=1, max_size=3),
    step=st.integers(0, 255),
    blocks=st.lists(st.lists(st.integers(0, 2), max_size=12), max_size=8),
)
def test_even_counters_count_as_uneven_ones_told_the_same_step(
    firsts: list[int], step: int, blocks: list[list[int]]
) -> None:
    even, uneven = EvenCounters(firsts, step, 8), UnevenCounters(firsts, 8)
    for block in blocks:
        flows = [flow % len(firsts) for flow in block]
        assert even.take(flows, []) == uneven.take(flows, [step] * len(flows))


def test_a_counter_wraps_around_as_often_as_a_block_lets_it() -> None:
    assert EvenCounters([250], 100, 8).take([0] * 7, []) == [250, 94, 194, 38, 138, 238, 82]
    assert EvenCounters([0xFFFE, 7], 1, 16).take([0, 1, 0, 0, 1], []) == [0xFFFE, 7, 0xFFFF, 0, 8]


def test_what_a_protocol_does_not_have_stays_zero() -> None:
    assert StandingCounters().take([3, 1, 3], [9, 9, 9]) == [0, 0, 0]
