"""What a dead CPU's softnet_data leaves behind is done by others."""

from __future__ import annotations

import pytest

from cpus.cpu import Cpu
from softirq.backlog import enqueue_to_backlog
from softirq.deferred_free import DeferredSkbs
from softirq.napi import napi_schedule
from softirq.softnet_data import SoftnetData
from softirq.threaded import dev_set_threaded
from tests.machine_kit import USER_RANK, Feed, Irq, Kit, skb
from tests.scenario_kit import play


class Where(Feed):
    """Notes on which CPU it is polled."""

    def __init__(self, kit: Kit) -> None:
        super().__init__(kit, packets=3)
        self.polled_on: list[int] = []

    def poll(self, sd: SoftnetData, budget: int) -> int:
        self.polled_on.append(sd.index)
        return super().poll(sd, budget)


def back(kit: Kit, index: int, at_ns: int) -> None:
    """Ask CPU `index` to come back at `at_ns`."""
    kit.at(0, at_ns, lambda cpu: kit.hotplug.set_online(index, True, cpu.local_now_ns + 1, USER_RANK))


@pytest.mark.parametrize("comes_back", [False, True])
def test_a_dead_cpus_watchdog_schedules_its_napi_on_the_cpu_that_takes_the_timer(comes_back: bool) -> None:  # P6
    kit = Kit(2)
    kit.dev.napi_defer_hard_irqs = 2
    kit.dev.gro_flush_timeout_ns = 1000
    feed = Where(kit)
    kit.schedule(1, 0, feed)
    kit.hotplug.set_online(1, False, 500, USER_RANK)
    if comes_back:
        back(kit, 1, 700)
    kit.play()
    assert feed.polled_on == [1, 0, 0]
    assert feed.times == [0, 1000, 2000]
    assert not feed.sched
    assert kit.cpus[1].online == comes_back
    assert [cpu.softirq_pending for cpu in kit.cpus] == [0, 0]


def test_who_takes_the_watchdog_of_a_threaded_napi_wakes_and_pays() -> None:  # P6, P8
    kit = Kit(2, sock_wake_ns=100)
    kit.dev.gro_flush_timeout_ns = 1000
    kit.dev.napi_defer_hard_irqs = 1
    feed = Where(kit)
    kit.dev.napis.append(feed)
    dev_set_threaded(kit.net, kit.dev, True)
    kit.schedule(0, 0, feed)
    kit.hotplug.set_online(1, False, 500, USER_RANK)
    kit.play()
    assert feed.polled_on == [1, 0]
    assert feed.times[1] > 1000 + 100, "the waker pays, and then runs it"
    assert [cpu.owed_ns for cpu in kit.cpus] == [0, 0]
    assert not feed.sched


def test_an_ipi_that_a_dead_cpu_owed_is_sent_by_its_adopter() -> None:  # B4, I1
    kit = Kit(3)
    kit.at(1, 1000, lambda cpu: enqueue_to_backlog(kit.net.softnet[1], skb(kit, 0), 2))
    kit.hotplug.set_online(1, False, 1000, USER_RANK + 1)
    kit.play()
    assert not kit.cpus[1].online
    assert [(cpu, number) for cpu, _, number in kit.seen] == [(2, 0)]
    assert kit.net.softnet[2].received_rps == 1
    assert [sd.rps_ipi_list for sd in kit.net.softnet] == [[], [], []]


def test_what_a_dead_cpu_left_moves_on_when_its_adopter_dies_before_it_looks() -> None:
    kit = Kit(3)
    kit.at(0, 0, lambda _: None, ns=5000)
    kit.hotplug.set_online(0, False, 100, USER_RANK)
    kit.at(1, 150, lambda cpu: enqueue_to_backlog(kit.net.softnet[1], skb(kit, 0), 1))
    kit.hotplug.set_online(1, False, 150, USER_RANK + 1)
    kit.play()
    assert [cpu.online for cpu in kit.cpus] == [False, False, True]
    assert [(cpu, number) for cpu, _, number in kit.seen] == [(2, 0)]


def test_a_cpu_that_died_before_it_heard_an_ipi_for_deferred_frees_is_sent_others_when_it_is_back() -> None:
    kit = Kit(2)
    kit.net.defers_frees = True
    sd = kit.net.softnet[1]
    kit.at(1, 0, lambda _: None, ns=5000)
    kit.hotplug.set_online(1, False, 1000, USER_RANK)
    back(kit, 1, 10_000)

    def hand_back(cpu: Cpu) -> None:
        kit.clock.post(cpu, sd.defer_list, DeferredSkbs(40))

    kit.at(0, 2000, hand_back)
    feed = Feed(kit, packets=1)

    def poll(_: Cpu) -> None:
        napi_schedule(sd, feed)

    kit.at(0, 15_000, lambda cpu: cpu.cpus[1].send(Irq(poll), cpu.local_now_ns + 1, cpu.rank))
    kit.at(0, 20_000, hand_back)
    kit.play()
    assert sd.defer_list.ipis == 1, "only the second was heard"
    assert sd.defer_list.freed == 80


QUIET = """
[machine]
cpus = 4
[nic]
queues = 2
[set]
"/sys/class/net/eth0/gro_flush_timeout" = 20_000
"/sys/class/net/eth0/napi_defer_hard_irqs" = 10
[[traffic]]
protocol = "udp"
rate_pps = 20_000
pattern = "constant"
flows = 64
packets = 400
[[app]]
kind = "reader"
protocol = "udp"
port = 5001
cpus = [2]
[[at]]
time = "{time}"
do = ["echo 0 > /sys/devices/system/cpu/cpu1/online"]
"""


@pytest.mark.parametrize("time", ["4ms", "4.01ms", "4.02ms", "4.03ms"])
def test_a_queue_whose_cpu_goes_offline_between_two_polls_of_its_watchdog_is_read_to_the_end(time: str) -> None:
    built = play(QUIET.format(time=time))
    assert not built.machine.cpus[1].online
    assert built.machine.ledger.read_frames == 400
    assert all(not napi.sched for napi in built.nic.dev.napis)
