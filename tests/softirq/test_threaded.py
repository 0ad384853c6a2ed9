"""Threaded NAPI: rule P8."""

from __future__ import annotations

from cpus.process import USER, Process
from softirq.rps import set_rps_cpus
from softirq.threaded import dev_set_threaded
from tests.machine_kit import Feed, Kit, skb


def threaded(kit: Kit, *feeds: Feed) -> None:
    kit.dev.napis.extend(feed for feed in feeds if feed not in kit.dev.napis)
    dev_set_threaded(kit.net, kit.dev, True)


def test_a_schedule_wakes_the_thread_and_neither_lists_the_napi_nor_raises_net_rx() -> None:
    kit = Kit(1)
    feed = Feed(kit, packets=10, packet_ns=100)
    threaded(kit, feed)
    kit.schedule(0, 1000, feed)
    kit.play()
    assert [packets for _, packets in feed.log] == [10]
    assert kit.net.softnet[0].net_rx_actions == 0
    assert kit.cpus[0].softirq_counts[3] == 0
    assert feed.thread is not None
    assert feed.thread.process.ran_ns == 1000


def test_a_thread_knows_neither_budget_nor_time_limit_and_never_squeezes() -> None:
    kit = Kit(1)
    kit.net.settings.netdev_budget = 64
    feed = Feed(kit, packets=64 * 500, packet_ns=1000)
    threaded(kit, feed)
    kit.schedule(0, 1000, feed)
    kit.play()
    assert sum(packets for _, packets in feed.log) == 64 * 500
    assert kit.net.softnet[0].time_squeeze == 0
    assert kit.cpus[0].ksoftirqd_wakeups == 0


def test_its_time_is_system_time_of_the_thread() -> None:
    kit = Kit(1)
    feed = Feed(kit, packets=5, packet_ns=1000)
    threaded(kit, feed)
    kit.schedule(0, 1000, feed)
    kit.play(20_000)
    _, softirq, ksoftirqd, system, user, _ = kit.cpus[0].accounts.at(20_000)
    assert (softirq, ksoftirqd, system, user) == (0, 0, 5000, 0)


def test_ipis_leave_after_each_poll_without_a_net_rx_on_the_sender() -> None:
    kit = Kit(2, enqueue_to_backlog_ns=10)
    feed = Feed(kit, skbs=[skb(kit, number, flow_hash=number + 1) for number in range(100)], packet_ns=50)
    threaded(kit, feed)
    set_rps_cpus(kit.net, kit.dev.queues[0], 0b10)
    kit.schedule(0, 1000, feed)
    assert feed.thread is not None
    feed.thread.process.allowed = 1
    kit.play()
    assert kit.net.softnet[0].net_rx_actions == 0
    assert kit.net.softnet[1].received_rps == 2
    assert {cpu for cpu, _, _ in kit.seen} == {1}


def test_it_takes_turns_with_a_process_of_the_same_weight() -> None:
    kit = Kit(1)
    feed = Feed(kit, packets=64 * 1000, packet_ns=1000)
    threaded(kit, feed)
    hog = Process("hog", iter([(USER, 10**9)]), 1, kit.cpus[0])
    kit.cpus[0].activate(hog)
    kit.schedule(0, 1000, feed)
    kit.play(60_000_000)
    assert feed.thread is not None
    assert 0.4 < feed.thread.process.ran_ns / 60_000_000 < 0.6
    assert 0.4 < hog.ran_ns / 60_000_000 < 0.6


def test_what_is_scheduled_while_it_polls_is_polled_again() -> None:
    kit = Kit(1)
    feed = Feed(kit, packets=3, packet_ns=1000)
    threaded(kit, feed)
    kit.schedule(0, 1000, feed)
    kit.schedule(0, 2000, feed)
    kit.play()
    assert len(feed.log) == 2


def test_switching_it_off_takes_effect_at_the_next_schedule() -> None:
    kit = Kit(1)
    feed = Feed(kit, packets=3, packet_ns=1000)
    threaded(kit, feed)
    dev_set_threaded(kit.net, kit.dev, False)
    kit.schedule(0, 1000, feed)
    kit.play()
    assert kit.net.softnet[0].net_rx_actions == 1
