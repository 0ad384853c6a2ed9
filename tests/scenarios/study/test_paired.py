"""Paired figures: means, differences, directions."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scenarios.study.figures import Figures, better_of, unit_of
from scenarios.study.paired import Paired, pair


def one(name: str, a: list[float | None], b: list[float | None]) -> Paired:
    runs_a: list[Figures] = [{name: value} for value in a]
    runs_b: list[Figures] = [{name: value} for value in b]
    (found,) = pair(runs_a, runs_b, 1)
    return found


@settings(deadline=None)
@given(st.lists(st.floats(0, 1e9), min_size=1, max_size=8))
def test_a_machine_is_no_different_from_itself(values: list[float]) -> None:
    found = one("read", list(values), list(values))
    assert found.difference == 0
    assert found.direction == 0
    assert found.same_in_every_seed
    assert not found.is_better and not found.is_worse


def test_a_difference_that_is_the_same_in_every_seed_is_proven_without_width() -> None:
    found = one("read", [10.0, 20.0, 30.0], [12.0, 22.0, 32.0])
    assert (found.difference, found.low, found.high) == (2, 2, 2)
    assert found.same_in_every_seed
    assert found.is_better
    assert found.percent == pytest.approx(10)


def test_a_difference_of_both_signs_is_not_proven() -> None:
    found = one("lost", [1.0, 2.0, 3.0, 4.0], [2.0, 1.0, 4.0, 3.5])
    assert found.direction == 0
    assert not found.is_worse


@pytest.mark.parametrize(
    ("name", "rises_is_worse", "falls_is_worse"),
    [
        ("read", False, True),
        ("lost", True, False),
        ("drops/NIC_RING_FULL", True, False),
        ("latency/total/p99", True, False),
        ("squeezes/all", False, False),
        ("interrupts/RPS IPIs", False, False),
        ("cpu0/busy", False, False),
    ],
)
def test_only_what_is_a_harm_by_itself_can_be_worse(name: str, rises_is_worse: bool, falls_is_worse: bool) -> None:
    assert one(name, [5.0, 5.0], [6.0, 7.0]).is_worse == rises_is_worse
    assert one(name, [5.0, 5.0], [4.0, 3.0]).is_worse == falls_is_worse


def test_one_seed_has_a_difference_and_no_interval() -> None:
    found = one("read", [5.0], [4.0])
    assert (found.difference, found.low, found.high) == (-1, None, None)
    assert found.is_worse


def test_what_was_not_measured_in_every_seed_has_no_difference() -> None:
    found = one("latency/total/p99", [5.0, None], [4.0, 3.0])
    assert (found.a, found.b, found.difference) == (None, 3.5, None)
    assert found.direction == 0


def test_a_reason_that_one_side_never_had_counts_as_zero_and_a_cpu_that_is_not_there_does_not() -> None:
    by = {
        figure.name: figure
        for figure in pair([{"read": 1.0}], [{"read": 1.0, "drops/CPU_BACKLOG": 3.0, "cpu7/busy": 5.0}], 1)
    }
    assert by["drops/CPU_BACKLOG"].difference == 3
    assert by["cpu7/busy"].difference is None


def test_units_and_directions_come_from_the_name() -> None:
    assert [
        unit_of(name) for name in ("read", "read data", "lost", "cpu12/busy", "cpu12/ring drops", "latency/ring/p50")
    ] == [
        "/s",
        "bit/s",
        "%",
        "%",
        "/s",
        "ns",
    ]
    assert better_of("offered") == better_of("cpu0/softirq") == ""
