"""The verdict's sentences say what the figures prove, and --fail-if-worse judges by them."""

from __future__ import annotations

import pytest

from scenarios.study.figures import Figures
from scenarios.study.paired import Paired, pair
from scenarios.study.verdict import failures, verdict

BASE: Figures = {
    "offered": 1e6,
    "read": 1e6,
    "lost": 0.0,
    "squeezes/all": 0.0,
    "squeezes/budget": 0.0,
    "squeezes/time": 0.0,
    "interrupts/RPS IPIs": 0.0,
    "latency/total/p50": 10_000.0,
    "latency/total/p99": 50_000.0,
    "latency/total/p99.9": 60_000.0,
    "latency/total/mean": 12_000.0,
    "busiest/busy": 60.0,
    "busiest/ring drops": 0.0,
    "busiest/backlog drops": 0.0,
    **{
        f"cpu{cpu}/{name}": value
        for cpu in (0, 1)
        for name, value in (
            ("busy", 60.0),
            ("hardirq", 5.0),
            ("softirq", 50.0),
            ("ksoftirqd", 5.0),
            ("application", 0.0),
            ("ring drops", 0.0),
            ("backlog drops", 0.0),
        )
    },
}


def against(*seeds: Figures, a: Figures | None = None) -> list[Paired]:
    """A is the base, B the base with each seed's own figures."""
    return pair([{**BASE, **(a or {})}] * len(seeds), [{**BASE, **seed} for seed in seeds], 1)


def said(paired: list[Paired]) -> str:
    return "\n".join(verdict(paired))


def test_what_did_not_change_is_called_unchanged_and_nothing_is_called_better() -> None:
    words = said(against({}, {}))
    assert "Throughput is unchanged: 1M/s in A, 1M/s in B." in words.replace("1.00M", "1M")
    assert "Neither loses a frame." in words
    assert "The wait from the wire to the read is unchanged at p50, p99, p99.9." in words
    assert "more" not in words and "less" not in words


def test_a_difference_within_its_interval_is_unchanged() -> None:
    words = said(against({"read": 1.1e6}, {"read": 0.85e6}, {"read": 1.02e6}))
    assert "Throughput is unchanged within the interval" in words


def test_more_read_and_less_lost_are_said_with_their_numbers() -> None:
    better: Figures = {"read": 1.5e6, "lost": 1.0}
    words = said(against(better, better, a={"lost": 33.0}))
    assert "B reads more: 1.50M/s against 1.00M/s (+50.0%)." in words
    assert "B loses less: 1.0% of the frames against 33.0%." in words


def test_a_cpu_drowns_if_it_has_no_time_left_and_loses_frames() -> None:
    full: Figures = {"cpu1/busy": 99.8, "cpu1/softirq": 90.0, "cpu1/backlog drops": 5000.0}
    words = said(against(full, full))
    assert "A: no CPU is out of time; the busiest is CPU 0 with 60.0%." in words
    assert "B: CPU 1 drowns (5% hard interrupts, 95% softirqs): its backlog drops 5.00k/s." in words


def test_a_cpu_that_is_busy_and_loses_nothing_does_not_drown() -> None:
    words = said(against({"cpu0/busy": 100.0}, {"cpu0/busy": 100.0}))
    assert "CPU 0 is busy all the time" in words
    assert "drowns" not in words


def test_a_cpu_that_drowns_in_every_seed_is_told_although_it_is_another_one_each_time() -> None:
    busy: Figures = {"busiest/busy": 100.0, "busiest/backlog drops": 7000.0}
    words = said(
        against({**busy, "cpu0/busy": 100.0, "cpu1/busy": 0.0}, {**busy, "cpu0/busy": 0.0, "cpu1/busy": 100.0})
    )
    assert (
        "B: one CPU is busy all the time, which one depends on the seed; it drowns: its backlog drops 7.00k/s." in words
    )


def test_squeezes_that_change_nothing_are_said_to_change_nothing() -> None:
    fewer: Figures = {"squeezes/all": 0.0, "squeezes/budget": 0.0}
    words = said(against(fewer, fewer, a={"squeezes/all": 9000.0, "squeezes/budget": 9000.0}))
    assert "time_squeeze falls (budget 9.00k/s to 0/s), and neither throughput nor losses follow." in words


def test_a_new_reason_and_one_that_is_gone_are_named() -> None:
    a: Figures = {"drops/NIC_RING_FULL": 10.0}
    b: Figures = {"drops/CPU_BACKLOG": 7.0}
    paired = pair([{**BASE, **a}] * 2, [{**BASE, **b}] * 2, 1)
    words = said(paired)
    assert "NIC_RING_FULL is gone in B: it was 10/s." in words
    assert "CPU_BACKLOG is new in B: 7/s." in words


@pytest.mark.parametrize(
    ("change", "fails"),
    [
        ({"read": 0.99e6}, False),
        ({"read": 0.97e6}, True),
        ({"read": 1.5e6}, False),
        ({"latency/total/p99": 50_500.0}, False),
        ({"latency/total/p99": 52_000.0}, True),
        ({"lost": 1.9}, False),
        ({"lost": 2.1}, True),
        ({"squeezes/all": 1e9}, False),
        ({"latency/total/p50": 1e9}, False),
    ],
)
def test_b_fails_if_throughput_p99_or_losses_are_worse_by_more_than_the_limit(change: Figures, fails: bool) -> None:
    assert bool(failures(against(change, change), 2.0)) == fails
    assert bool(failures(against(change), 2.0)) == fails


def test_a_difference_that_is_not_proven_fails_nothing() -> None:
    assert failures(against({"read": 0.5e6}, {"read": 1.3e6}, {"read": 0.9e6}), 2.0) == []


def test_a_limit_of_nothing_lets_nothing_worse_pass() -> None:
    assert failures(against({"read": 0.999e6}, {"read": 0.999e6}), 0.0)
    assert not failures(against({}, {}), 0.0)
