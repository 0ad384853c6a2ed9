"""Processes and a CPU's run queue: placement, weights, preemption, slices, and where a woken process goes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cpus.cpu import Cpu
from cpus.process import (
    NICE_0_WEIGHT,
    SLEEPER_CREDIT_NS,
    SLICE_NS,
    WAKEUP_GRANULARITY_NS,
    Process,
    RunQueue,
    select_cpu,
)
from tests.machine_kit import Kit


def made(kit: Kit, name: str = "p", allowed: int = 1, cpu: int = 0, weight: int = NICE_0_WEIGHT) -> Process:
    return Process(name, iter(()), allowed, kit.cpus[cpu], weight)


# ---------------------------------------------------------------- the queue


def test_the_one_with_the_least_virtual_time_is_picked_and_the_longest_waiting_on_a_tie() -> None:
    kit, queue = Kit(), RunQueue()
    first, second, third = (made(kit, name) for name in "abc")
    for process, vruntime in ((first, 5), (second, 3), (third, 3)):
        process.vruntime_ns = vruntime
        queue.enqueue(process)
    assert queue.pick() is second
    assert queue.waiting == [first, third]
    queue.ran(second, 1)
    assert queue.pick() is third


def test_an_empty_queue_picks_nobody() -> None:
    queue = RunQueue()
    assert queue.pick() is None
    assert queue.current is None


def test_who_runs_alone_goes_on_with_a_new_slice() -> None:
    kit, queue = Kit(), RunQueue()
    process = made(kit)
    queue.enqueue(process)
    queue.pick()
    queue.ran(process, 10 * SLICE_NS)
    assert queue.slice_left_ns() > 1 << 60
    assert queue.pick() is process
    assert queue.slice_used_ns == 0


def test_the_slice_ends_when_somebody_waits() -> None:
    kit, queue = Kit(), RunQueue()
    process, other = made(kit, "a"), made(kit, "b")
    queue.enqueue(process)
    queue.pick()
    queue.ran(process, 1_000_000)
    queue.enqueue(other)
    assert queue.slice_left_ns() == SLICE_NS - 1_000_000
    queue.ran(process, SLICE_NS)
    assert queue.slice_left_ns() == 0


@given(st.integers(1, 100_000), st.integers(0, 10**9))
def test_virtual_time_runs_slower_for_the_heavier(weight: int, ns: int) -> None:
    kit, queue = Kit(), RunQueue()
    process = made(kit, weight=weight)
    queue.enqueue(process)
    queue.pick()
    queue.ran(process, ns)
    assert process.ran_ns == ns
    assert process.vruntime_ns == ns * 1024 // weight


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 5_000_000)), max_size=40))
def test_the_least_virtual_time_never_falls(runs: list[tuple[int, int]]) -> None:
    kit, queue = Kit(), RunQueue()
    processes = [made(kit, str(n), weight=512 << n) for n in range(4)]
    least = 0
    for index, ns in runs:
        process = processes[index]
        if process.runnable:
            queue.remove(process)
        else:
            queue.enqueue(process)
        picked = queue.pick()
        if picked is not None:
            queue.ran(picked, ns)
        assert queue.min_vruntime_ns >= least
        least = queue.min_vruntime_ns
        assert {p for p in processes if p.runnable} == {*queue.waiting, *([queue.current] if queue.current else [])}


def test_a_long_sleep_gives_no_more_than_the_sleepers_credit() -> None:
    kit, queue = Kit(), RunQueue()
    hog, sleeper, fresh = made(kit, "hog"), made(kit, "sleeper"), made(kit, "fresh")
    queue.enqueue(hog)
    queue.pick()
    queue.ran(hog, 100_000_000)
    queue.enqueue(sleeper)
    assert sleeper.vruntime_ns == 100_000_000 - SLEEPER_CREDIT_NS
    fresh.vruntime_ns = 99_000_000
    queue.enqueue(fresh)
    assert fresh.vruntime_ns == 99_000_000


def test_nobody_is_queued_twice() -> None:
    kit, queue = Kit(), RunQueue()
    process = made(kit)
    queue.enqueue(process)
    with pytest.raises(AssertionError, match="queued already"):
        queue.enqueue(process)


def test_a_process_leaves_whether_it_runs_or_waits() -> None:
    kit, queue = Kit(), RunQueue()
    running, waiting = made(kit, "a"), made(kit, "b")
    queue.enqueue(running)
    queue.enqueue(waiting)
    queue.pick()
    queue.remove(waiting)
    queue.remove(running)
    assert (queue.current, queue.waiting) == (None, [])
    assert not running.runnable
    assert not waiting.runnable


@pytest.mark.parametrize(
    ("lead_ns", "weight", "preempts"),
    [
        (WAKEUP_GRANULARITY_NS, 1024, False),
        (WAKEUP_GRANULARITY_NS + 1, 1024, True),
        (WAKEUP_GRANULARITY_NS, 2048, True),  # a heavy process preempts sooner
        (2 * WAKEUP_GRANULARITY_NS, 512, False),
        (-5, 1024, False),
    ],
)
def test_a_woken_process_preempts_if_it_is_far_enough_behind(lead_ns: int, weight: int, preempts: bool) -> None:  # K9
    kit, queue = Kit(), RunQueue()
    running, woken = made(kit, "running"), made(kit, "woken", weight=weight)
    queue.enqueue(running)
    queue.pick()
    running.vruntime_ns = 10_000_000
    woken.vruntime_ns = 10_000_000 - lead_ns
    assert queue.should_preempt(woken) is preempts


def test_on_an_idle_cpu_everybody_should_run() -> None:
    assert RunQueue().should_preempt(made(Kit()))


def test_a_weight_of_nothing_is_refused() -> None:
    with pytest.raises(AssertionError, match="weight 0"):
        made(Kit(), weight=0)


# ---------------------------------------------------------------- where to


def chosen(kit: Kit, process: Process, idle: set[int]) -> int:
    def is_idle(cpu: Cpu) -> bool:
        return cpu.index in idle

    return select_cpu(process, kit.cpus, is_idle).index


@pytest.mark.parametrize(
    ("allowed", "last", "idle", "cpu"),
    [
        (0b1111, 2, {1, 2, 3}, 2),  # its last CPU is idle
        (0b1111, 2, {0, 3}, 3),  # an idle one of its node
        (0b1111, 2, {0, 1}, 0),  # else any idle one
        (0b0111, 2, {3}, 2),  # idle, but not allowed
        (0b0100, 2, {0, 1, 3}, 2),  # pinned
        (0b1111, 2, set(), 2),  # nobody is idle
        (0b0010, 2, {0, 2, 3}, 1),  # pinned elsewhere since it ran last
        (0b0011, 2, {2}, 0),  # no longer allowed where it ran, though that is idle
    ],
)
def test_a_woken_process_goes_to_its_last_cpu_or_the_nearest_idle_one(
    allowed: int, last: int, idle: set[int], cpu: int
) -> None:
    kit = Kit(4, nodes=2)
    assert chosen(kit, made(kit, allowed=allowed, cpu=last), idle) == cpu


def test_offline_cpus_are_passed_over() -> None:
    kit = Kit(4, nodes=2)
    kit.cpus[2].online = False
    assert chosen(kit, made(kit, allowed=0b1111, cpu=2), {0, 2, 3}) == 3
    assert chosen(kit, made(kit, allowed=0b1100, cpu=2), set()) == 3


def test_a_process_whose_cpus_are_all_offline_goes_anywhere() -> None:
    kit = Kit(4)
    kit.cpus[2].online = False
    assert chosen(kit, made(kit, allowed=0b0100, cpu=2), set()) == 0


def test_pinned_means_one_cpu() -> None:
    kit = Kit(4)
    assert [made(kit, allowed=mask).pinned for mask in (1, 2, 8, 3, 15)] == [True, True, True, False, False]


def test_a_process_without_a_body_is_ksoftirqd() -> None:
    kit = Kit(2)
    assert kit.cpus[1].ksoftirqd.is_ksoftirqd
    assert kit.cpus[1].ksoftirqd.allowed == 0b10
    assert not made(kit).is_ksoftirqd
