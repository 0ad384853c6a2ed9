"""Steered: skbs by the CPU that polled and the CPU that got them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from softirq.steered import Steered


@given(st.lists(st.tuples(st.integers(0, 3), st.lists(st.integers(0, 7), max_size=300))))
def test_no_skb_is_lost_or_counted_twice(lists: list[tuple[int, list[int]]]) -> None:
    steered = Steered()
    for polled_on, targets in lists:
        steered.note(polled_on, targets)
        steered.add(polled_on, polled_on, 2)
    rows = steered.rows()
    assert sum(sum(row.values()) for row in rows.values()) == sum(len(targets) + 2 for _, targets in lists)
    for polled_on, row in rows.items():
        mine = [target for on, targets in lists if on == polled_on for target in targets]
        stayed = 2 * sum(on == polled_on for on, _ in lists)
        assert row == {
            cpu: mine.count(cpu) + stayed * (cpu == polled_on)
            for cpu in range(8)
            if mine.count(cpu) + stayed * (cpu == polled_on)
        }
    assert steered.rows() == rows
