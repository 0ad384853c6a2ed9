"""A CPU goes offline only when its softirqs are done, and takes nothing with it."""

from __future__ import annotations

import pytest

from cpus.accounts import USER
from cpus.cpu import NET_RX_SOFTIRQ, Cpu
from cpus.process import Process
from emu.errors import ControlError
from tests.machine_kit import USER_RANK, Feed, Kit, skb


@pytest.mark.parametrize("packets", [10, 64, 500, 2000])
@pytest.mark.parametrize("release", ["6.1", "6.9"])
def test_a_cpu_asked_to_die_inside_a_softirq_finishes_it_first(packets: int, release: str) -> None:
    kit = Kit(2, release, deliver_skb_ns=500)
    feed = Feed(kit, packet_ns=500, skbs=[skb(kit, n) for n in range(packets)])
    kit.schedule(1, 0, feed)
    kit.hotplug.set_online(1, False, 2_000, USER_RANK)
    kit.play()
    assert not kit.cpus[1].online
    assert sum(sd.processed for sd in kit.net.softnet) == packets
    assert not feed.sched
    assert kit.net.softnet[1].poll_list == []


def test_the_processes_of_a_dead_cpu_go_on_elsewhere() -> None:
    kit = Kit(2)
    apps = [Process(name, iter([(USER, 1_000_000)] * 5), 0b10, kit.cpus[1]) for name in "ab"]
    for app in apps:
        kit.at(1, 0, lambda cpu, app=app: cpu.activate(app))  # type: ignore[misc]
    kit.hotplug.set_online(1, False, 1_500_000, USER_RANK)
    kit.play()
    assert all(app.finished for app in apps)
    assert [app.cpu.index for app in apps] == [0, 0]
    assert sum(app.ran_ns for app in apps) == 10_000_000


def test_a_wake_up_on_its_way_to_a_dying_cpu_arrives_elsewhere() -> None:
    kit = Kit(2)
    app = Process("a", iter([(-1, 0), (USER, 100)]), 0b10, kit.cpus[1])
    kit.at(1, 0, lambda cpu: cpu.activate(app))
    kit.at(1, 1000, lambda _: None, ns=5000)
    kit.at(0, 2000, lambda cpu: cpu.try_to_wake_up(app, cpu.local_now_ns, cpu))
    kit.hotplug.set_online(1, False, 1000, USER_RANK + 1)
    kit.play()
    assert app.finished
    assert [cpu.ttwu_pending for cpu in kit.cpus] == [0, 0]


def test_a_dead_cpu_comes_back_and_works() -> None:
    kit = Kit(2)
    kit.hotplug.set_online(1, False, 100, USER_RANK)
    seen: list[bool] = []

    def back(cpu: Cpu) -> None:
        seen.append(kit.cpus[1].online)
        kit.hotplug.set_online(1, True, cpu.local_now_ns + 1, USER_RANK)
        kit.schedule(1, 2000, feed)

    feed = Feed(kit, skbs=[skb(kit, 0)])
    kit.at(0, 1000, back)
    kit.play()
    assert seen == [False]
    assert kit.cpus[1].online
    assert kit.cpus[1].softirq_counts[NET_RX_SOFTIRQ] == 1


def test_the_last_cpu_stays() -> None:
    kit = Kit(2)
    kit.hotplug.set_online(0, False, 0, USER_RANK)
    with pytest.raises(ControlError, match="last one online"):
        kit.hotplug.set_online(1, False, 0, USER_RANK)


def test_a_cpu_on_its_way_cannot_be_turned_round() -> None:
    kit = Kit(2)
    settled: list[int] = []
    kit.hotplug.on_settled.append(settled.append)
    kit.hotplug.set_online(1, False, 100, USER_RANK)
    kit.hotplug.set_online(1, False, 100, USER_RANK)  # it is what it does anyway
    with pytest.raises(ControlError, match="cpu1 is going offline: write again when it is") as refused:
        kit.hotplug.set_online(1, True, 100, USER_RANK)
    assert refused.value.errno_name == "EBUSY"
    kit.play()
    assert settled == [100]
    assert not kit.cpus[1].online
    assert not kit.hotplug.under_way
