"""net_rx_action: budget, time, the order of what is left, and what counts as a squeeze (N1-N8, Z1, Z2, K5)."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cpus.cpu import NET_RX_SOFTIRQ, Cpu
from softirq.device import NetDevice
from softirq.net_rx_action import NetRxAction
from softirq.rps import set_rps_cpus
from tests.machine_kit import Feed, Kit, skb


class Calls:
    """Stands before NetRxAction and notes what each call did: packets by device polls and by the backlog."""

    def __init__(self, kit: Kit) -> None:
        self.kit = kit
        self.inner = NetRxAction(kit.net)
        self.log: list[tuple[int, int, int]] = []
        """(CPU, device packets, backlog packets) of each call."""
        self.feeds: list[Feed] = []
        for cpu in kit.cpus:
            cpu.softirq_vec[NET_RX_SOFTIRQ] = self

    async def __call__(self, cpu: Cpu) -> None:
        sd = self.kit.net.softnet[cpu.index]
        device, backlog = self._polled(), sd.input_queue_head
        await self.inner(cpu)
        self.log.append((cpu.index, self._polled() - device, sd.input_queue_head - backlog))

    def _polled(self) -> int:
        return sum(feed.polled_packets for feed in self.feeds)


def busy(kit: Kit, napis: int, packets: int, packet_ns: int = 0) -> tuple[Calls, list[Feed]]:
    log: list[tuple[str, int]] = []
    feeds = [Feed(kit, f"rx{n}", packets, packet_ns, log=log) for n in range(napis)]
    calls = Calls(kit)
    calls.feeds = feeds
    kit.schedule(0, 0, *feeds)
    return calls, feeds


# ---------------------------------------------------------------- the worked examples


def test_one_busy_napi_gets_64_packets_a_call_and_counts_no_squeeze() -> None:  # Z1, Z2
    kit = Kit()
    calls, feeds = busy(kit, 1, 200)
    kit.play()
    assert [device for _, device, _ in calls.log] == [64, 64, 64, 8]
    assert kit.net.softnet[0].time_squeeze == 0
    assert kit.cpus[0].softirq_counts[NET_RX_SOFTIRQ] == 4
    assert feeds[0].completions == 1


def test_four_busy_napis_get_256_packets_a_call_and_count_no_squeeze() -> None:
    kit = Kit()
    calls, _ = busy(kit, 4, 128)
    kit.play()
    assert [device for _, device, _ in calls.log] == [256, 256, 0]
    assert kit.net.softnet[0].time_squeeze == 0


def test_five_full_napis_exceed_the_budget_and_count_a_squeeze_though_the_list_is_empty() -> None:
    kit = Kit()
    calls, _ = busy(kit, 5, 64)
    kit.play()
    sd = kit.net.softnet[0]
    assert [device for _, device, _ in calls.log] == [320, 0]
    assert (sd.time_squeeze, sd.squeeze_budget, sd.squeeze_time, sd.squeeze_with_work_left) == (1, 1, 0, 1)


def test_of_six_busy_napis_the_sixth_is_first_in_the_next_call() -> None:  # N4, N6
    kit = Kit()
    calls, feeds = busy(kit, 6, 65)
    kit.play()
    assert [name for name, _ in feeds[0].log] == [
        "rx0", "rx1", "rx2", "rx3", "rx4",
        "rx5", "rx0", "rx1", "rx2", "rx3", "rx4",
        "rx5",
    ]  # fmt: skip
    assert [device for _, device, _ in calls.log] == [320, 69, 1]
    assert kit.net.softnet[0].time_squeeze == 1


def test_a_busy_device_and_its_own_backlog_share_128_packets_a_call() -> None:
    kit = Kit()
    set_rps_cpus(kit.net, kit.dev.queues[0], 1)
    calls = Calls(kit)
    feed = Feed(kit, skbs=[skb(kit, n, flow_hash=7) for n in range(320)])
    calls.feeds = [feed]
    kit.schedule(0, 0, feed)
    kit.play()
    assert [device + backlog for _, device, backlog in calls.log] == [64, 128, 128, 128, 128, 64, 0]
    assert kit.net.softnet[0].time_squeeze == 0
    assert kit.net.softnet[0].processed == 320
    assert [number for _, _, number in kit.seen] == list(range(320))


def test_a_budget_of_64_squeezes_a_busy_napi_once_a_call() -> None:
    kit = Kit()
    kit.net.settings.set("netdev_budget", 64)
    calls, _ = busy(kit, 1, 200)
    kit.play()
    assert [device for _, device, _ in calls.log] == [64, 64, 64, 8]
    assert kit.net.softnet[0].time_squeeze == 3


def test_a_lone_poll_of_two_and_a_half_milliseconds_counts_a_squeeze_with_nothing_left() -> None:  # N3
    kit = Kit(hz=1000)
    busy(kit, 1, 10, packet_ns=250_000)
    kit.play()
    sd = kit.net.softnet[0]
    assert (sd.time_squeeze, sd.squeeze_time, sd.squeeze_budget, sd.squeeze_with_work_left) == (1, 1, 0, 0)
    assert sd.net_rx_actions == 1


@pytest.mark.parametrize(("hz", "squeezes"), [(1000, 1), (300, 0), (250, 0), (100, 0)])
def test_the_time_limit_is_two_jiffies_of_the_machines_hz(hz: int, squeezes: int) -> None:
    kit = Kit(hz=hz)
    busy(kit, 1, 10, packet_ns=250_000)
    kit.play()
    assert kit.net.softnet[0].time_squeeze == squeezes


@pytest.mark.parametrize(("start_ns", "squeezes"), [(0, 0), (999_999, 1), (500_001, 1), (500_000, 1), (499_999, 0)])
def test_the_time_limit_is_looked_at_in_whole_jiffies(start_ns: int, squeezes: int) -> None:  # S4
    kit = Kit(hz=1000)
    feed = Feed(kit, packets=10, packet_ns=150_000)
    kit.schedule(0, start_ns, feed)
    kit.play()
    assert kit.net.softnet[0].time_squeeze == squeezes


# ---------------------------------------------------------------- limits


@pytest.mark.parametrize("budget", [0, -1, -300, 1])
def test_a_budget_of_one_or_less_squeezes_after_each_poll(budget: int) -> None:  # N3
    kit = Kit()
    kit.net.settings.set("netdev_budget", budget)
    calls, feeds = busy(kit, 3, 5)
    kit.play()
    assert [device for _, device, _ in calls.log] == [5, 5, 5]
    assert kit.net.softnet[0].time_squeeze == 3
    assert kit.net.softnet[0].squeeze_with_work_left == 2
    assert [name for name, _ in feeds[0].log] == ["rx0", "rx1", "rx2"]


def test_a_budget_that_is_just_used_up_squeezes_with_nothing_left() -> None:
    kit = Kit()
    kit.net.settings.set("netdev_budget", 10)
    busy(kit, 1, 10)
    kit.play()
    sd = kit.net.softnet[0]
    assert (sd.time_squeeze, sd.squeeze_with_work_left, sd.net_rx_actions) == (1, 0, 1)


def test_both_limits_at_once_count_one_squeeze_by_budget() -> None:
    kit = Kit()
    kit.net.settings.set("netdev_budget", 10)
    busy(kit, 1, 10, packet_ns=MS)
    kit.play()
    sd = kit.net.softnet[0]
    assert (sd.time_squeeze, sd.squeeze_budget, sd.squeeze_time) == (1, 1, 0)


MS = 1_000_000


def test_the_time_limit_is_read_at_the_start_of_the_call() -> None:  # N1
    kit = Kit()
    kit.net.settings.set("netdev_budget_usecs", 5000)
    calls, _ = busy(kit, 3, 64, packet_ns=50_000)  # 3.2 ms a poll
    kit.at(0, 100, lambda _: kit.net.settings.set("netdev_budget_usecs", 0))
    kit.play()
    assert calls.log[0] == (0, 128, 0)


def test_a_saturated_napi_goes_to_ksoftirqd_after_640_packets() -> None:  # S12
    kit = Kit()
    calls, _ = busy(kit, 1, 1000, packet_ns=100)
    kit.play()
    cpu = kit.cpus[0]
    assert cpu.accounts.spent_ns[1] == 64_000
    assert cpu.accounts.spent_ns[2] == 36_000
    assert len(calls.log) == 16


# ---------------------------------------------------------------- what is scheduled meanwhile


@pytest.mark.parametrize(("release", "calls_made"), [("6.1", 2), ("6.9", 1), ("6.12", 1), ("6.18", 1)])
def test_a_napi_scheduled_during_a_poll_is_polled_in_the_same_call_or_in_the_next_round(
    release: str, calls_made: int
) -> None:  # N2, N5, K5
    kit = Kit(release=release)
    log: list[tuple[str, int]] = []
    first, second = (Feed(kit, name, 10, 100, log=log) for name in ("first", "second"))
    kit.schedule(0, 0, first)
    kit.schedule(0, 500, second)
    kit.play()
    assert log == [("first", 10), ("second", 10)]
    assert kit.net.softnet[0].net_rx_actions == calls_made
    assert kit.cpus[0].softirq_counts[NET_RX_SOFTIRQ] == calls_made


def test_a_list_taken_up_in_the_same_call_shares_its_budget() -> None:  # N2
    kit = Kit()
    kit.net.settings.set("netdev_budget", 20)
    log: list[tuple[str, int]] = []
    first, second, third = (Feed(kit, name, 10, 100, log=log) for name in ("first", "second", "third"))
    kit.schedule(0, 0, first)
    kit.schedule(0, 500, second, third)
    kit.play()
    assert kit.net.softnet[0].net_rx_actions == 2
    assert kit.net.softnet[0].time_squeeze == 1
    assert [name for name, _ in log] == ["first", "second", "third"]


def test_what_is_left_goes_unpolled_then_new_then_repolled() -> None:  # N4
    kit = Kit()
    kit.net.settings.set("netdev_budget", 64)
    log: list[tuple[str, int]] = []
    full, rest, new = (Feed(kit, name, n, 100, log=log) for name, n in (("full", 65), ("rest", 64), ("new", 1)))
    kit.schedule(0, 0, full, rest)
    kit.schedule(0, 500, new)
    kit.play()
    assert [name for name, _ in log] == ["full", "rest", "new", "full", "rest"]


@pytest.mark.parametrize(("release", "calls_of_sender"), [("6.1", 2), ("6.9", 1), ("6.12", 1), ("6.18", 1)])
def test_an_rps_enqueue_raises_net_rx_again_only_in_6_1(release: str, calls_of_sender: int) -> None:  # K5
    kit = Kit(3, release)
    set_rps_cpus(kit.net, kit.dev.queues[0], 0b100)
    feed = Feed(kit, skbs=[skb(kit, 0, flow_hash=5)], packet_ns=10)
    kit.schedule(0, 0, feed)
    kit.play()
    assert [sd.net_rx_actions for sd in kit.net.softnet] == [calls_of_sender, 0, 1]
    assert [sd.received_rps for sd in kit.net.softnet] == [0, 0, 1]
    assert [sd.processed for sd in kit.net.softnet] == [0, 0, 1]


def test_inside_the_call_the_flag_is_set_and_after_it_only_while_work_is_left() -> None:  # N1, N4
    kit = Kit()
    sd = kit.net.softnet[0]
    seen: list[bool] = []

    class Looking(Feed):
        def poll(self, at: object, budget: int) -> int:
            seen.append(sd.in_net_rx_action)
            return super().poll(sd, budget)

    kit.schedule(0, 0, Looking(kit, packets=100))
    kit.play()
    assert seen == [True, True]
    assert not sd.in_net_rx_action


def test_an_unscheduled_napi_on_the_list_is_skipped() -> None:  # P1
    kit = Kit()
    feed = Feed(kit, packets=5)
    kit.schedule(0, 0, feed)

    def drop(_: Cpu) -> None:
        feed.sched = False

    kit.at(0, 0, drop)
    kit.play()
    assert feed.log == []
    assert kit.net.softnet[0].poll_list == []


def test_a_driver_that_finishes_exactly_at_its_weight_is_polled_once_more() -> None:  # P4, N7
    kit = Kit()
    feed = Feed(kit, packets=64)
    kit.schedule(0, 0, feed)
    kit.play()
    assert feed.log == [("rx0", 64), ("rx0", 0)]
    assert (feed.polls, feed.full_polls, feed.completions) == (2, 1, 1)


def test_a_napi_being_disabled_is_completed_after_a_full_poll() -> None:  # P3
    kit = Kit()
    feed = Feed(kit, packets=200)
    kit.schedule(0, 0, feed)

    def disable(_: Cpu) -> None:
        feed.disable = True

    kit.at(0, 0, disable)
    kit.play()
    assert feed.log == [("rx0", 64)]
    assert not feed.sched


def test_a_napi_that_prefers_busy_polling_is_completed_and_scheduled_again_once() -> None:  # P3
    kit = Kit()
    feed = Feed(kit, packets=70)
    feed.prefer_busy_poll = True
    kit.schedule(0, 0, feed)
    kit.play()
    assert feed.log == [("rx0", 64), ("rx0", 6)]
    assert not feed.prefer_busy_poll
    assert feed.completions == 2


def test_a_driver_that_returns_more_than_its_weight_is_our_bug() -> None:
    kit = Kit()

    class Liar(Feed):
        def poll(self, sd: object, budget: int) -> int:
            return budget + 1

    kit.schedule(0, 0, Liar(kit))
    with pytest.raises(BaseExceptionGroup) as failure:
        kit.play()
    assert failure.group_contains(AssertionError, match="polled 65 of 64")


@given(
    st.lists(st.integers(0, 200), min_size=1, max_size=7),
    st.integers(-5, 500),
    st.sampled_from(["6.1", "6.9"]),
    st.integers(0, 3000),
)
@settings(max_examples=60, deadline=None)
def test_every_packet_is_polled_and_every_squeeze_has_one_cause(
    loads: list[int], budget: int, release: str, packet_ns: int
) -> None:
    kit = Kit(1, release, net_rx_action_ns=50, softirq_entry_ns=100)
    kit.net.settings.set("netdev_budget", budget)
    log: list[tuple[str, int]] = []
    feeds = [Feed(kit, f"rx{n}", load, packet_ns, log=log) for n, load in enumerate(loads)]
    kit.schedule(0, 0, *feeds)
    kit.play()
    sd = kit.net.softnet[0]
    for feed, load in zip(feeds, loads, strict=True):
        works = [work for name, work in log if name == feed.name]
        assert sum(works) == load
        assert works[-1] < 64
        assert works[:-1] == [64] * (len(works) - 1)
        assert not feed.sched
    assert sd.time_squeeze == sd.squeeze_budget + sd.squeeze_time
    assert sd.squeeze_with_work_left <= sd.time_squeeze
    assert sd.net_rx_actions == kit.cpus[0].softirq_counts[NET_RX_SOFTIRQ]
    assert sd.poll_list == []


def test_the_kit_has_a_device_for_each_queue() -> None:
    kit = Kit(3)
    assert isinstance(kit.dev, NetDevice)
    assert len(kit.dev.queues) == 3
