"""The CPU actor: softirq rounds and their limits, ksoftirqd, interrupts, wake-ups, and where the time goes (S1-S12, K9)."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cpus.accounts import ACCOUNT_NAMES, HARDIRQ, IDLE, KSOFTIRQD, SOFTIRQ, SYSTEM, USER
from cpus.cpu import (
    BLOCK_SOFTIRQ,
    HI_SOFTIRQ,
    NET_RX_SOFTIRQ,
    NET_TX_SOFTIRQ,
    NR_SOFTIRQS,
    RCU_SOFTIRQ,
    TASKLET_SOFTIRQ,
    TIMER_SOFTIRQ,
    Cpu,
)
from cpus.process import BLOCK, Process, Step
from scenarios.machine import Sampler
from tests.machine_kit import USER_RANK, Irq, Kit

MS = 1_000_000


class Work:
    """A softirq action: takes `ns` a round and raises itself again until it ran `rounds` times."""

    def __init__(self, nr: int, log: list[Any], ns: int = 0, rounds: int = 1) -> None:
        self.nr = nr
        self.log = log
        self.ns = ns
        self.left = rounds

    async def __call__(self, cpu: Cpu) -> None:
        self.log.append((self.nr, cpu.local_now_ns))
        cpu.local_now_ns += self.ns
        self.left -= 1
        if self.left > 0:
            cpu.raise_softirq_irqoff(self.nr)


def install(kit: Kit, cpu: int, work: Work) -> Work:
    kit.cpus[cpu].softirq_vec[work.nr] = work
    return work


def raising(*numbers: int) -> Any:
    def handle(cpu: Cpu) -> None:
        for nr in numbers:
            cpu.raise_softirq_irqoff(nr)

    return handle


def process(
    kit: Kit, cpu: int, body: Iterator[Step], name: str = "app", weight: int = 1024, allowed: int = 0
) -> Process:
    return Process(name, body, allowed or 1 << cpu, kit.cpus[cpu], weight)


def start(kit: Kit, *processes: Process, at_ns: int = 0) -> None:
    for each in processes:
        kit.at(each.cpu.index, at_ns, lambda cpu, each=each: cpu.activate(each))  # type: ignore[misc]


def hog(step_ns: int = 50_000, account: int = USER) -> Iterator[Step]:
    while True:
        yield account, step_ns


# ---------------------------------------------------------------- rounds


def test_a_round_runs_pending_softirqs_from_the_lowest_number_up() -> None:  # S1
    kit = Kit()
    log: list[Any] = []
    for nr in range(NR_SOFTIRQS):
        install(kit, 0, Work(nr, log, 10))
    kit.at(0, 100, raising(*reversed(range(NR_SOFTIRQS))))
    kit.play()
    assert log == [(nr, 100 + 10 * nr) for nr in range(NR_SOFTIRQS)]
    assert kit.cpus[0].softirq_counts == [1] * NR_SOFTIRQS


@pytest.mark.parametrize("raised", [TIMER_SOFTIRQ, NET_TX_SOFTIRQ, NET_RX_SOFTIRQ, RCU_SOFTIRQ])
def test_a_bit_raised_during_a_round_waits_for_the_next_even_if_its_number_is_higher(raised: int) -> None:  # S2
    kit = Kit()
    log: list[Any] = []

    async def raiser(cpu: Cpu) -> None:
        log.append("tx")
        if len(log) == 1:
            cpu.raise_softirq_irqoff(raised)

    async def raised_one(_: Cpu) -> None:
        log.append("raised")

    async def last(_: Cpu) -> None:
        log.append("block")

    vec = kit.cpus[0].softirq_vec
    vec[raised] = raised_one
    vec[NET_TX_SOFTIRQ] = raiser
    vec[BLOCK_SOFTIRQ] = last
    kit.at(0, 0, raising(NET_TX_SOFTIRQ, BLOCK_SOFTIRQ))
    kit.play()
    assert log == ["tx", "block", "tx" if raised == NET_TX_SOFTIRQ else "raised"]


def test_each_round_counts_one_invocation_per_bit_and_its_price() -> None:  # S5
    kit = Kit(softirq_entry_ns=7)
    log: list[Any] = []
    install(kit, 0, Work(NET_TX_SOFTIRQ, log, 10, rounds=3))
    install(kit, 0, Work(NET_RX_SOFTIRQ, log, 100, rounds=1))
    kit.at(0, 0, raising(NET_TX_SOFTIRQ, NET_RX_SOFTIRQ))
    kit.play()
    assert kit.cpus[0].softirq_counts[NET_TX_SOFTIRQ] == 3
    assert kit.cpus[0].softirq_counts[NET_RX_SOFTIRQ] == 1
    assert kit.cpus[0].accounts.spent_ns[SOFTIRQ] == 3 * 7 + 3 * 10 + 100


def test_ksoftirqd_takes_over_after_ten_rounds() -> None:  # S3
    kit = Kit()
    cpu = kit.cpus[0]
    log: list[Any] = []
    install(kit, 0, Work(NET_RX_SOFTIRQ, log, 1000, rounds=25))
    kit.at(0, 0, raising(NET_RX_SOFTIRQ))
    kit.play()
    assert len(log) == 25
    assert cpu.accounts.spent_ns[SOFTIRQ] == 10_000
    assert cpu.accounts.spent_ns[KSOFTIRQD] == 15_000
    assert cpu.ksoftirqd_wakeups == 1
    assert cpu.bursts_cut == 2
    assert not cpu.ksoftirqd.runnable


def test_exactly_ten_rounds_need_no_ksoftirqd() -> None:  # S3
    kit = Kit()
    install(kit, 0, Work(NET_RX_SOFTIRQ, [], 1000, rounds=10))
    kit.at(0, 0, raising(NET_RX_SOFTIRQ))
    kit.play()
    assert kit.cpus[0].accounts.spent_ns[SOFTIRQ] == 10_000
    assert kit.cpus[0].ksoftirqd_wakeups == 0


@pytest.mark.parametrize(
    ("hz", "start_ns", "round_ns", "inline_rounds"),
    [
        (1000, 0, 300_000, 7),  # two jiffies of 1 ms: 2.1 ms
        (1000, 900_000, 300_000, 4),  # begun late in its jiffy: the limit lies in (1 ms, 2 ms] (S4)
        (250, 0, 500_000, 8),  # one jiffy of 4 ms
        (250, 3_900_000, 500_000, 1),
        (300, 0, 500_000, 7),  # one of 3.33 ms
        (100, 0, 1_500_000, 7),  # one of 10 ms
        (100, 9_999_999, 1_500_000, 1),
    ],
)
def test_the_time_limit_is_two_milliseconds_in_whole_jiffies(
    hz: int, start_ns: int, round_ns: int, inline_rounds: int
) -> None:
    kit = Kit(hz=hz)
    install(kit, 0, Work(NET_RX_SOFTIRQ, [], round_ns, rounds=9))
    kit.at(0, start_ns, raising(NET_RX_SOFTIRQ))
    kit.play()
    assert kit.cpus[0].accounts.spent_ns[SOFTIRQ] == inline_rounds * round_ns
    assert kit.cpus[0].accounts.spent_ns[KSOFTIRQD] == (9 - inline_rounds) * round_ns


def test_a_wake_up_by_the_softirq_itself_ends_its_rounds() -> None:  # S3, K9
    kit = Kit()
    cpu = kit.cpus[0]
    log: list[Any] = []
    steps: list[int] = []

    def body() -> Iterator[Step]:
        steps.append(cpu.local_now_ns)
        yield USER, 100
        steps.append(cpu.local_now_ns)

    app = process(kit, 0, body())
    work = install(kit, 0, Work(NET_RX_SOFTIRQ, log, 1000, rounds=6))

    async def waking(at: Cpu) -> None:
        await work(at)
        if len(log) == 3:
            at.try_to_wake_up(app, at.local_now_ns, at)

    cpu.softirq_vec[NET_RX_SOFTIRQ] = waking
    kit.at(0, 0, raising(NET_RX_SOFTIRQ))
    kit.play()
    assert [at_ns for _, at_ns in log][:3] == [0, 1000, 2000]
    assert cpu.ksoftirqd_wakeups == 1
    assert len(log) == 6
    # The wake-up is seen at the end of the third round, 1 ns after it was sent; the process ran before the rounds went on, or after.
    assert app.finished
    assert len(steps) == 2


def test_softirqs_left_by_an_exhausted_burst_wait_for_ksoftirqd_and_do_not_starve_the_process() -> None:  # S3, S8
    kit = Kit(1, "6.1")
    cpu = kit.cpus[0]
    install(kit, 0, Work(NET_RX_SOFTIRQ, [], 100_000, rounds=1 << 40))
    app = process(kit, 0, hog())
    start(kit, app)
    kit.at(0, 10, raising(NET_RX_SOFTIRQ))
    kit.play(200 * MS)
    share = app.ran_ns / (200 * MS)
    assert 0.4 < share < 0.6
    spent = cpu.accounts.at(200 * MS)
    assert spent[USER] == app.ran_ns
    # The first burst was inline, all others ksoftirqd's own.
    assert spent[SOFTIRQ] == 10 * 100_000
    assert spent[KSOFTIRQD] > 80 * MS


def test_without_deferral_the_tick_runs_what_ksoftirqd_was_left_with() -> None:  # S9, Z8
    shares = {}
    for release in ("6.1", "6.9"):
        kit = Kit(1, release)
        install(kit, 0, Work(NET_RX_SOFTIRQ, [], 100_000, rounds=1 << 40))
        app = process(kit, 0, hog())
        start(kit, app)
        kit.at(0, 10, raising(NET_RX_SOFTIRQ))
        kit.play(200 * MS)
        shares[release] = app.ran_ns / (200 * MS)
    assert 0 < shares["6.9"] < shares["6.1"] * 0.8


@pytest.mark.parametrize(("release", "calls_are_interrupted"), [("6.1", False), ("6.9", True), ("6.18", True)])
def test_each_system_call_pays_a_burst_unless_the_release_defers(
    release: str, calls_are_interrupted: bool
) -> None:  # S6b, Z8
    kit = Kit(1, release, hz=100)
    cpu = kit.cpus[0]
    log: list[Any] = []
    install(kit, 0, Work(NET_RX_SOFTIRQ, log, 100_000, rounds=1 << 40))
    calls: list[tuple[int, int]] = []

    def body() -> Iterator[Step]:
        while True:
            calls.append((cpu.local_now_ns, len(log)))
            yield SYSTEM, 1000

    app = process(kit, 0, body())
    start(kit, app)
    kit.at(0, 10, raising(NET_RX_SOFTIRQ))
    kit.play(50 * MS)
    rounds = [after - before for (_, before), (_, after) in pairwise(calls[1:])]
    if calls_are_interrupted:
        assert min(rounds) == 10
        assert app.ran_ns < 50 * MS // 500
    else:
        assert min(rounds) == 0
        assert app.ran_ns > 50 * MS * 4 // 10


@pytest.mark.parametrize("release", ["6.1", "6.9", "6.12", "6.18"])
@pytest.mark.parametrize("also", [None, HI_SOFTIRQ, TASKLET_SOFTIRQ, TIMER_SOFTIRQ])
def test_a_runnable_ksoftirqd_keeps_all_but_hi_and_tasklet_from_running_inline_in_6_1(
    release: str, also: int | None
) -> None:  # S9
    kit = Kit(1, release, hz=100)
    cpu = kit.cpus[0]
    log: list[Any] = []
    install(kit, 0, Work(NET_RX_SOFTIRQ, log))
    install(kit, 0, Work(also if also is not None else RCU_SOFTIRQ, log))
    start(kit, process(kit, 0, hog()))
    kit.at(0, 100_000, lambda at: at.wakeup_softirqd("test"))
    numbers = (NET_RX_SOFTIRQ,) if also is None else (NET_RX_SOFTIRQ, also)
    kit.at(0, 200_000, raising(*numbers))
    kit.play(20 * MS)
    first = dict(log)[NET_RX_SOFTIRQ]
    inline = release != "6.1" or also in (HI_SOFTIRQ, TASKLET_SOFTIRQ)
    assert (first == 200_000) is inline
    assert cpu.accounts.spent_ns[KSOFTIRQD] == 0
    if not inline:
        assert first >= 3 * MS


# ---------------------------------------------------------------- interrupts


def test_a_hard_interrupt_during_a_softirq_is_taken_at_its_end_and_starts_no_nested_round() -> None:  # S6
    kit = Kit(hardirq_ns=0)
    log: list[Any] = []
    install(kit, 0, Work(NET_RX_SOFTIRQ, log, 1000))
    install(kit, 0, Work(HI_SOFTIRQ, log, 10))
    install(kit, 0, Work(RCU_SOFTIRQ, log, 10))
    kit.at(0, 0, raising(NET_RX_SOFTIRQ, RCU_SOFTIRQ))

    def handle(cpu: Cpu) -> None:
        log.append(("irq", cpu.local_now_ns))
        assert cpu.in_softirq
        cpu.raise_softirq_irqoff(HI_SOFTIRQ)

    kit.at(0, 500, handle, ns=50)
    kit.play()
    # The round ends (RCU), the interrupt is taken, then a new round of the same burst.
    assert log == [(NET_RX_SOFTIRQ, 0), (RCU_SOFTIRQ, 1000), ("irq", 1060), (HI_SOFTIRQ, 1060)]
    assert kit.cpus[0].accounts.spent_ns[HARDIRQ] == 50
    assert kit.cpus[0].accounts.spent_ns[SOFTIRQ] == 1020


def test_a_hard_interrupt_cuts_a_process_short_and_its_softirqs_run_before_it_goes_on() -> None:  # S6a
    kit = Kit()
    cpu = kit.cpus[0]
    log: list[Any] = []
    install(kit, 0, Work(NET_RX_SOFTIRQ, log, 300))
    steps: list[int] = []

    def body() -> Iterator[Step]:
        yield USER, 1000
        steps.append(cpu.local_now_ns)

    start(kit, process(kit, 0, body()))
    kit.at(0, 400, raising(NET_RX_SOFTIRQ), ns=50)
    kit.play()
    assert log == [(NET_RX_SOFTIRQ, 450)]
    assert steps == [1350]
    assert cpu.accounts.spent_ns[USER] == 1000


def test_interrupts_are_taken_in_order_of_stamp_then_sender() -> None:
    kit = Kit()
    log: list[str] = []
    cpu = kit.cpus[0]
    for rank, at_ns, name in ((5, 20, "late"), (7, 10, "high"), (3, 10, "low"), (3, 10, "low again")):
        cpu.send(Irq(lambda _, name=name: log.append(name), 100), at_ns, rank)  # type: ignore[misc]
    kit.play()
    assert log == ["low", "low again", "high", "late"]


def test_a_cpus_own_timer_comes_before_what_anybody_sends_for_the_same_time() -> None:
    kit = Kit()
    log: list[str] = []
    cpu = kit.cpus[0]
    cpu.send(Irq(lambda _: log.append("irq")), 10, 0)
    cpu.start_timer(10, lambda _: log.append("timer"))
    kit.play()
    assert log == ["timer", "irq"]


def test_a_timer_fires_once_at_its_time_and_a_withdrawn_one_never() -> None:
    kit = Kit(timer_ns=30)
    log: list[Any] = []
    cpu = kit.cpus[0]
    cpu.start_timer(10, lambda at: log.append(at.local_now_ns))
    cpu.start_timer(20, lambda at: log.append("withdrawn")).withdrawn = True
    kit.play()
    assert log == [40]
    assert cpu.accounts.spent_ns[HARDIRQ] == 30


def test_what_was_sent_before_the_run_wakes_a_cpu_at_its_time() -> None:
    kit = Kit(2)
    log: list[int] = []
    kit.at(1, 77, lambda cpu: log.append(cpu.local_now_ns))
    kit.play()
    assert log == [77]


def test_bh_disabled_holds_softirqs_but_hard_interrupts_are_taken() -> None:
    kit = Kit()
    cpu = kit.cpus[0]
    log: list[Any] = []
    install(kit, 0, Work(NET_RX_SOFTIRQ, log, 10))

    def hold(at: Cpu) -> None:
        at.bh_disabled += 1

    def release(at: Cpu) -> None:
        at.bh_disabled -= 1

    kit.at(0, 10, hold)
    kit.at(0, 20, raising(NET_RX_SOFTIRQ), ns=3)
    kit.at(0, 30, hold)
    kit.at(0, 40, release)
    kit.at(0, 50, release)
    kit.play()
    assert log == [(NET_RX_SOFTIRQ, 50)]
    assert cpu.hardirqs == 5
    assert cpu.ksoftirqd_wakeups == 0


def test_a_softirq_raised_while_held_off_waits_even_for_ksoftirqd() -> None:
    kit = Kit()
    log: list[Any] = []
    install(kit, 0, Work(NET_RX_SOFTIRQ, log, 10))

    def hold(at: Cpu) -> None:
        at.bh_disabled += 1
        at.raise_softirq_irqoff(NET_RX_SOFTIRQ)
        at.wakeup_softirqd("test")

    kit.at(0, 10, hold)
    kit.play(1000)
    assert log == []


def test_a_softirq_raised_outside_any_interrupt_is_left_to_ksoftirqd() -> None:  # S7
    kit = Kit()
    cpu = kit.cpus[0]
    log: list[Any] = []
    install(kit, 0, Work(NET_RX_SOFTIRQ, log, 10))

    def body() -> Iterator[Step]:
        yield USER, 100
        cpu.raise_softirq_irqoff(NET_RX_SOFTIRQ)

    start(kit, process(kit, 0, body()))
    kit.play()
    assert log == [(NET_RX_SOFTIRQ, 100)]
    assert cpu.ksoftirqd_wakeups == 1
    assert cpu.accounts.spent_ns[KSOFTIRQD] == 10


def test_a_tick_that_falls_due_inside_a_hard_interrupt_is_taken_after_it() -> None:
    kit = Kit(timer_ns=100)
    start(kit, process(kit, 0, hog(10 * MS)))
    kit.at(0, MS - 10, lambda _: None, ns=500)
    kit.play(2 * MS - 1)
    assert kit.cpus[0].ticks == 1
    assert kit.cpus[0].accounts.at(2 * MS - 1)[HARDIRQ] == 600


def test_a_process_is_ticked_each_jiffy_and_an_idle_cpu_never() -> None:
    kit = Kit(2, hz=250, timer_ns=1000)
    start(kit, process(kit, 0, hog(3 * MS)))
    kit.play(100 * MS - 1)
    assert [cpu.ticks for cpu in kit.cpus] == [24, 0]
    assert kit.cpus[0].accounts.at(100 * MS - 1)[HARDIRQ] == 24_000


# ---------------------------------------------------------------- processes


def test_a_wake_up_from_another_cpu_arrives_as_an_interrupt_and_each_side_pays_its_part() -> None:
    kit = Kit(2, sock_wake_ns=300, resched_ipi_ns=70, context_switch_ns=1000)
    sleeper = kit.cpus[1]
    log: list[int] = []

    def body() -> Iterator[Step]:
        yield BLOCK
        log.append(sleeper.local_now_ns)
        yield USER, 10

    app = process(kit, 1, body())
    start(kit, app)
    kit.at(0, 50_000, lambda cpu: cpu.try_to_wake_up(app, cpu.local_now_ns, cpu))
    kit.play()
    assert log == [50_001 + 70 + 1000]
    assert sleeper.resched_ipis == 1
    assert kit.cpus[0].accounts.spent_ns[HARDIRQ] + kit.cpus[0].accounts.spent_ns[IDLE] == kit.cpus[0].local_now_ns
    assert kit.cpus[0].local_now_ns == 50_300
    assert app.wakeups == 2


@given(
    st.lists(st.tuples(st.integers(0, 40), st.integers(0, 2)), max_size=25),
    st.integers(0, 30),
    st.booleans(),
    st.integers(0, 40),
)
@settings(max_examples=80, deadline=None)
def test_no_wake_up_is_lost(arrivals: list[tuple[int, int]], service_ns: int, pinned: bool, softirq_ns: int) -> None:
    kit = Kit(3, sock_wake_ns=3, resched_ipi_ns=2, context_switch_ns=4)
    queue: list[int] = []
    read: list[int] = []

    def body() -> Iterator[Step]:
        while True:
            if queue:
                read.append(queue.pop(0))
                yield USER, service_ns
            else:
                yield BLOCK

    app = process(kit, 0, body(), allowed=0b001 if pinned else 0b111)
    start(kit, app)

    class Socket:
        def deliver(self, stamp_ns: int, sender: Cpu, item: int) -> None:
            queue.append(item)
            sender.cpus[0].try_to_wake_up(app, stamp_ns, sender)

    socket = Socket()
    for cpu in kit.cpus:
        install(kit, cpu.index, Work(NET_RX_SOFTIRQ, [], softirq_ns))
    for number, (at_ns, index) in enumerate(arrivals):

        def handle(cpu: Cpu, number: int = number) -> None:
            kit.clock.post(cpu, socket, number)
            cpu.raise_softirq_irqoff(NET_RX_SOFTIRQ)

        kit.at(index, at_ns, handle)
    kit.net.ledger.holders["posts"] = lambda: 0
    kit.play()
    assert sorted(read) == list(range(len(arrivals)))
    assert not app.runnable
    assert all(cpu.ttwu_pending == 0 for cpu in kit.cpus)


def test_a_free_process_is_woken_on_an_idle_cpu_if_its_own_is_busy_and_two_never_on_the_same() -> None:
    kit = Kit(4)
    sleepers = [process(kit, 0, iter([BLOCK, (USER, 50_000)]), name, allowed=0b1111) for name in "ab"]
    start(kit, *sleepers)
    busy = process(kit, 0, hog(), "busy")
    start(kit, busy, at_ns=1000)

    def wake(cpu: Cpu) -> None:
        for each in sleepers:
            cpu.try_to_wake_up(each, cpu.local_now_ns, cpu)

    kit.at(3, 2000, wake)
    kit.play(20_000)
    assert [each.cpu.index for each in sleepers] == [1, 2]


def test_a_pinned_process_waits_for_its_own_cpu() -> None:
    kit = Kit(4)
    sleeper = process(kit, 0, iter([BLOCK, (USER, 50_000)]), "s")
    start(kit, sleeper)
    start(kit, process(kit, 0, hog(), "busy"), at_ns=1000)
    kit.at(3, 2000, lambda cpu: cpu.try_to_wake_up(sleeper, cpu.local_now_ns, cpu))
    kit.play(20_000)
    assert sleeper.cpu.index == 0
    assert sleeper.runnable


@pytest.mark.parametrize("weights", [(1024, 1024), (1024, 3072), (335, 1024, 3121), (15, 88761)])
def test_processes_share_a_cpu_by_their_weights(weights: tuple[int, ...]) -> None:
    kit = Kit()
    apps = [process(kit, 0, hog(), str(weight), weight) for weight in weights]
    start(kit, *apps)
    total_ns = 3_000 * MS
    kit.play(total_ns)
    for app in apps:
        assert app.ran_ns / total_ns == pytest.approx(app.weight / sum(weights), abs=0.01)
    assert sum(app.ran_ns for app in apps) == pytest.approx(total_ns, rel=1e-3)


def test_two_equal_processes_take_turns_of_one_slice() -> None:
    kit = Kit()
    apps = [process(kit, 0, hog(), name) for name in "ab"]
    start(kit, *apps)
    kit.play(60 * MS - 1)
    assert kit.cpus[0].context_switches == 20
    assert abs(apps[0].ran_ns - apps[1].ran_ns) <= 3 * MS


def test_a_process_alone_is_not_switched() -> None:
    kit = Kit(context_switch_ns=500)
    app = process(kit, 0, hog())
    start(kit, app)
    kit.play(50 * MS)
    assert kit.cpus[0].context_switches == 1
    assert kit.cpus[0].accounts.at(50 * MS)[SYSTEM] == 500


def test_a_process_that_ends_leaves_its_cpu_idle_and_is_never_woken_again() -> None:
    kit = Kit()
    app = process(kit, 0, iter([(USER, 1000)]))
    start(kit, app)
    kit.at(0, 2000, lambda cpu: cpu.try_to_wake_up(app, cpu.local_now_ns, cpu))
    kit.at(0, 3000, lambda cpu: cpu.activate(app))
    kit.play()
    assert app.finished
    assert not app.runnable
    assert kit.cpus[0].accounts.spent_ns[USER] == 1000


def test_a_long_sleeper_preempts_a_hog_at_once_and_a_short_one_waits() -> None:  # K9
    for sleep_ns, preempts in ((10 * MS, True), (100_000, False)):
        kit = Kit()
        cpu = kit.cpus[0]
        woken: list[int] = []

        def body(cpu: Cpu = cpu, woken: list[int] = woken) -> Iterator[Step]:
            yield BLOCK
            woken.append(cpu.local_now_ns)
            yield USER, 10

        sleeper = process(kit, 0, body(), "s")
        start(kit, sleeper)
        start(kit, process(kit, 0, hog(), "hog"), at_ns=10)
        kit.at(0, sleep_ns, lambda at, s=sleeper: at.try_to_wake_up(s, at.local_now_ns, at))  # type: ignore[misc]
        kit.play(30 * MS)
        assert (woken[0] - sleep_ns < 10) is preempts


# ---------------------------------------------------------------- time


LOADS = st.lists(
    st.tuples(st.integers(0, 3 * MS), st.integers(0, 1), st.integers(0, 400_000), st.integers(0, 3)), max_size=20
)


@given(
    LOADS,
    st.lists(st.tuples(st.integers(0, 1), st.sampled_from([USER, SYSTEM]), st.integers(0, 900_000)), max_size=6),
    st.sampled_from(["6.1", "6.9"]),
    st.integers(1_000, 700_000),
)
@settings(max_examples=40, deadline=None)
def test_every_nanosecond_is_in_exactly_one_account_at_every_look(
    irqs: list[tuple[int, int, int, int]], bursts: list[tuple[int, int, int]], release: str, interval_ns: int
) -> None:
    prices = {
        "softirq_entry_ns": 700,
        "context_switch_ns": 1500,
        "timer_ns": 900,
        "sock_wake_ns": 2100,
        "resched_ipi_ns": 800,
    }
    kit = Kit(2, release, **prices)
    apps = []
    for number, (index, account, ns) in enumerate(bursts):
        apps.append(process(kit, index, iter([(account, ns), BLOCK, (USER, ns), BLOCK]), str(number), allowed=0b11))
    start(kit, *apps)
    for cpu in kit.cpus:
        install(kit, cpu.index, Work(NET_RX_SOFTIRQ, [], 130_000, rounds=20))
    for at_ns, index, ns, kind in irqs:

        def handle(cpu: Cpu, kind: int = kind) -> None:
            if kind:
                cpu.raise_softirq_irqoff(NET_RX_SOFTIRQ)
            if kind == 2 and apps:
                cpu.try_to_wake_up(apps[0], cpu.local_now_ns, cpu)

        kit.at(index, at_ns, handle, ns)
    before = [[0] * len(ACCOUNT_NAMES) for _ in kit.cpus]
    looks: list[int] = []

    def sample(now_ns: int) -> None:
        looks.append(now_ns)
        for cpu in kit.cpus:
            spent = cpu.accounts.at(now_ns)
            assert sum(spent) == now_ns
            assert all(new >= old for new, old in zip(spent, before[cpu.index], strict=True))
            before[cpu.index] = spent

    kit.add(Sampler(USER_RANK + 1, kit.clock, interval_ns, sample))
    kit.play(10 * MS)
    assert looks == list(range(interval_ns, looks[-1] + 1, interval_ns)) if looks else True
    for cpu in kit.cpus:
        assert sum(cpu.accounts.spent_ns) == cpu.accounts.since_ns
    assert sum(app.ran_ns for app in apps) <= sum(
        cpu.accounts.at(10 * MS)[USER] + cpu.accounts.at(10 * MS)[SYSTEM] for cpu in kit.cpus
    )


def test_a_cpu_with_nothing_to_do_is_idle_throughout() -> None:
    kit = Kit(2)
    kit.at(0, 5000, lambda _: None, ns=10)
    kit.play()
    assert kit.cpus[0].accounts.at(10_000)[IDLE] == 9990
    assert kit.cpus[1].accounts.at(10_000)[IDLE] == 10_000


def test_leaving_idle_takes_its_time_but_a_withdrawn_timer_wakes_nobody() -> None:
    kit = Kit(idle_exit_ns=1000)
    taken: list[int] = []
    cpu = kit.cpus[0]
    timer = cpu.start_timer(9_500, lambda _: None)

    def withdraw(at: Cpu) -> None:
        taken.append(at.local_now_ns)
        timer.withdrawn = True

    kit.at(0, 5_000, withdraw)
    kit.at(0, 10_000, lambda at: taken.append(at.local_now_ns))
    kit.play()
    assert taken == [5_000, 10_000], "handlers act as of the wake-up"
    assert cpu.local_now_ns == 11_000
    assert cpu.accounts.spent_ns[IDLE] == 11_000
