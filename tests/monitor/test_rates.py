"""Differences of snapshots: what adds up in the counters adds up between them."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.history import History
from monitor.identities import broken_identities
from monitor.rates import delta
from monitor.snapshot import Snapshot
from monitor.sparkline import ASCII, BLOCKS, sparkline
from tests.monitor.machine import MadeUpMachine


@given(st.integers(0, 10**6), st.integers(1, 20), st.lists(st.integers(1, 10**9), min_size=1, max_size=6))
def test_lost_is_in_minus_out_minus_held_in_every_interval(seed: int, cpus: int, steps_ns: list[int]) -> None:
    machine = MadeUpMachine(cpus, 3, 1, seed)
    last = None
    for step_ns in steps_ns:
        machine.advance(step_ns)
        snapshot = machine.snapshot()
        assert broken_identities(snapshot) == []
        rates = delta(last, snapshot)
        assert rates.dropped_frames == rates.arrived_frames - rates.out_frames - rates.held_frames
        assert rates.interval_ns == step_ns
        for cpu, before, after in zip(rates.cpus, last.cpus if last else snapshot.cpus, snapshot.cpus, strict=True):
            assert cpu.squeezes == after.time_squeeze - (before.time_squeeze if last else 0)
            assert sum(cpu.parts_ns) == (step_ns if after.online else 0)
        last = snapshot


def test_rates_are_per_virtual_second() -> None:
    machine = MadeUpMachine(4, 2)
    machine.advance(10_000_000)
    old = machine.snapshot()
    machine.advance(250_000_000)
    rates = delta(old, machine.snapshot())
    assert rates.per_second(rates.queues[0].packets) == pytest.approx(1e9 / 1500, rel=1e-4)
    assert rates.per_second(rates.cpus[2].processed) * 0.25 == pytest.approx(rates.cpus[2].processed)


def test_no_time_is_no_rate() -> None:
    snapshot = MadeUpMachine(2, 1).snapshot()
    rates = delta(snapshot, snapshot)
    assert rates.per_second(5) == 0
    assert rates.cpus[0].busy == 0


def test_snapshots_in_the_wrong_order_or_of_two_machines_are_refused() -> None:
    machine = MadeUpMachine(4, 2)
    old = machine.snapshot()
    machine.advance(1000)
    with pytest.raises(ValueError, match="after one of 1000 ns"):
        delta(machine.snapshot(), old)
    with pytest.raises(ValueError, match="different machines"):
        delta(old, MadeUpMachine(5, 2).snapshot())


def only(snapshot: Snapshot, queues: int) -> Snapshot:
    """What is left of `snapshot` with its first `queues` queues."""
    steering = tuple(row for row in snapshot.steering if row.queue < queues)
    return msgspec.structs.replace(snapshot, queues=snapshot.queues[:queues], steering=steering)


def test_queues_that_appear_or_come_back_count_from_nothing() -> None:
    machine = MadeUpMachine(4, 3)
    machine.advance(1_000_000)
    three = machine.snapshot()
    machine.advance(1_000_000)
    later = machine.snapshot()
    grown = delta(only(three, 1), later)
    assert [queue.packets for queue in grown.queues] == [
        later.queues[0].packets - three.queues[0].packets,
        later.queues[1].packets,
        later.queues[2].packets,
    ]
    assert len(delta(three, only(later, 2)).queues) == 2
    anew = msgspec.structs.replace(later.queues[2], packets=5, polls=2, irqs=1, drops=0)
    back = delta(three, msgspec.structs.replace(later, queues=(*later.queues[:2], anew)))
    assert (back.queues[2].packets, back.queues[2].polls, back.queues[2].irqs) == (5, 2, 1)
    history = History(window_frames=3)
    for queues in (3, 1, 2, 3, 3):
        machine.advance(1_000_000)
        assert len(history.push(only(machine.snapshot(), queues)).queues) == queues


def test_the_history_is_bounded_and_its_rates_cover_the_window() -> None:
    machine = MadeUpMachine(2, 1)
    history = History(window_frames=3, samples=10)
    for _ in range(50):
        machine.advance(1_000_000)
        rates = history.push(machine.snapshot())
    assert rates.interval_ns == 3_000_000
    assert [sample.now_ns for sample in history.samples()] == [n * 1_000_000 for n in range(41, 51)]


def test_a_pause_keeps_the_last_rates_and_adds_no_sample() -> None:
    machine = MadeUpMachine(2, 1)
    history = History()
    machine.advance(1_000_000)
    history.push(machine.snapshot())
    machine.advance(1_000_000)
    rates = history.push(machine.snapshot())
    machine.paused = True
    assert history.push(machine.snapshot()) == rates
    assert len(history.samples()) == 2


def test_a_sparkline_is_scaled_to_its_peak() -> None:
    assert sparkline([0, 1, 50, 100], 4) == "▁▂▅█"
    assert sparkline([0, 1, 50, 100], 4, unicode=False) == "_.=#"
    assert sparkline([0, 0], 4) == "  ▁▁"
    assert sparkline([], 3) == "   "
    assert sparkline([9, 1, 2], 2) == "▅█"


@given(st.lists(st.floats(0, 1e12), max_size=50), st.integers(0, 40), st.booleans())
def test_a_sparkline_has_its_width_and_shows_what_is_not_zero(values: list[float], width: int, unicode: bool) -> None:
    cells = sparkline(values, width, unicode)
    assert len(cells) == width
    lowest = (BLOCKS if unicode else ASCII)[0]
    shown = values[-width:] if width else []
    assert [cell == lowest for cell in cells.lstrip(" ")] == [not value for value in shown]
