"""NAPI's states, completion and its watchdog (P5-P7)."""

from __future__ import annotations

import pytest

from cpus.cpu import NET_RX_SOFTIRQ
from softirq.completion import napi_complete_done
from softirq.napi import napi_schedule
from softirq.softnet_data import SoftnetData
from tests.machine_kit import Feed, Kit


class Device(Feed):
    """Notes what napi_complete_done answered."""

    def __init__(self, kit: Kit, packets: int) -> None:
        super().__init__(kit, packets=packets)
        self.answers: list[tuple[int, bool]] = []

    def poll(self, sd: SoftnetData, budget: int) -> int:
        work = min(self.packets, budget)
        self.packets -= work
        self.log.append((self.name, work))
        self.times.append(sd.cpu.local_now_ns)
        if work < budget:
            self.answers.append((sd.cpu.local_now_ns, napi_complete_done(sd, self, work)))
        return work


def test_the_first_to_schedule_owns_it_and_others_leave_missed() -> None:  # P5
    feed = Feed(Kit())
    assert feed.schedule_prep()
    assert (feed.sched, feed.missed) == (True, False)
    assert not feed.schedule_prep()
    assert (feed.sched, feed.missed) == (True, True)


def test_a_disabled_napi_is_not_scheduled() -> None:  # P5
    feed = Feed(Kit())
    feed.disable = True
    assert not feed.schedule_prep()
    assert (feed.sched, feed.missed) == (False, False)


@pytest.mark.parametrize(
    ("release", "inside", "raised"),
    [("6.1", False, True), ("6.1", True, True), ("6.9", False, True), ("6.9", True, False), ("6.18", True, False)],
)
def test_scheduling_inside_net_rx_action_raises_only_in_6_1(release: str, inside: bool, raised: bool) -> None:  # N5
    kit = Kit(release=release)
    sd = kit.net.softnet[0]
    sd.in_net_rx_action = inside
    feed = Feed(kit)
    assert napi_schedule(sd, feed)
    assert sd.poll_list == [feed]
    assert kit.cpus[0].softirq_pending == (1 << NET_RX_SOFTIRQ if raised else 0)
    assert not napi_schedule(sd, feed)
    assert sd.poll_list == [feed]


def test_completion_allows_the_interrupt_and_clears_the_state() -> None:  # P6
    kit = Kit()
    feed = Device(kit, 3)
    feed.prefer_busy_poll = True
    kit.schedule(0, 0, feed)
    kit.play()
    assert feed.answers == [(0, True)]
    assert (feed.sched, feed.missed, feed.prefer_busy_poll) == (False, False, False)


def test_a_missed_schedule_is_made_up_for_by_another_poll() -> None:  # P6
    kit = Kit()
    feed = Device(kit, 3)
    kit.schedule(0, 0, feed, feed)
    kit.play()
    assert [work for _, work in feed.log] == [3, 0]
    assert feed.answers == [(0, False), (0, True)]
    assert (feed.sched, feed.missed) == (False, False)


def test_netpolls_napi_is_not_completed() -> None:  # P6
    kit = Kit()
    feed = Feed(kit)
    feed.sched = feed.npsvc = True
    assert not napi_complete_done(kit.net.softnet[0], feed, 1)
    assert feed.sched


@pytest.mark.parametrize("defer", [1, 2, 5])
def test_the_interrupt_stays_masked_for_as_many_empty_polls_as_are_deferred(defer: int) -> None:  # P6, P7
    kit = Kit()
    kit.dev.napi_defer_hard_irqs = defer
    kit.dev.gro_flush_timeout_ns = 20_000
    feed = Device(kit, 3)
    kit.schedule(0, 1000, feed)
    kit.play()
    assert feed.answers == [(1000 + 20_000 * n, n == defer) for n in range(defer + 1)]
    assert [work for _, work in feed.log] == [3] + [0] * defer


def test_packets_start_the_deferral_anew() -> None:  # P6
    kit = Kit()
    kit.dev.napi_defer_hard_irqs = 2
    kit.dev.gro_flush_timeout_ns = 1000
    feed = Device(kit, 3)
    kit.schedule(0, 0, feed)

    def more(_: object) -> None:
        feed.packets += 1

    kit.at(0, 1500, more)
    kit.play()
    assert [work for _, work in feed.log] == [3, 0, 1, 0, 0]
    assert [answer for _, answer in feed.answers] == [False, False, False, False, True]


def test_deferral_without_a_timeout_does_not_mask() -> None:  # P6
    kit = Kit()
    kit.dev.napi_defer_hard_irqs = 2
    feed = Device(kit, 3)
    kit.schedule(0, 0, feed)
    kit.play()
    assert feed.answers == [(0, True)]


def test_a_timeout_without_held_packets_or_deferral_starts_no_timer() -> None:  # P6
    kit = Kit()
    kit.dev.gro_flush_timeout_ns = 1000
    feed = Device(kit, 3)
    kit.schedule(0, 0, feed)
    kit.play()
    assert feed.answers == [(0, True)]
    assert kit.clock.now_ns == 0


def test_the_watchdog_sets_no_missed_and_leaves_a_scheduled_napi_alone() -> None:  # P6
    kit = Kit()
    kit.dev.napi_defer_hard_irqs = 1
    kit.dev.gro_flush_timeout_ns = 1000

    class Slow(Device):
        def poll(self, sd: SoftnetData, budget: int) -> int:
            if self.packets == 7:
                sd.cpu.local_now_ns += 5000
            return super().poll(sd, budget)

    feed = Slow(kit, 3)
    kit.schedule(0, 0, feed)

    def more(at: object) -> None:
        feed.packets = 7

    kit.at(0, 900, more)
    kit.schedule(0, 950, feed)
    kit.play()
    assert feed.log[:2] == [("rx0", 3), ("rx0", 7)]
    # The timer of the first completion fires inside the second poll; it neither schedules nor marks it.
    assert not feed.missed
    assert [work for _, work in feed.log] == [3, 7, 0]


def test_a_disabled_napi_is_not_scheduled_by_its_watchdog() -> None:
    kit = Kit()
    kit.dev.napi_defer_hard_irqs = 1
    kit.dev.gro_flush_timeout_ns = 1000
    feed = Device(kit, 3)
    kit.schedule(0, 0, feed)

    def disable(_: object) -> None:
        feed.disable = True

    kit.at(0, 500, disable)
    kit.play()
    assert feed.log == [("rx0", 3)]


def test_a_napis_own_values_win_over_its_devices() -> None:  # P7
    kit = Kit(release="6.18")
    kit.dev.napi_defer_hard_irqs = 9
    kit.dev.gro_flush_timeout_ns = 9
    feed = Device(kit, 3)
    feed.napi_defer_hard_irqs = 1
    feed.gro_flush_timeout_ns = 500
    kit.schedule(0, 0, feed)
    kit.play()
    assert feed.answers == [(0, False), (500, True)]
