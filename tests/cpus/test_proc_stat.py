"""/proc/stat and /proc/uptime: ticks that add up, as of the present."""

from __future__ import annotations

import trio
from hypothesis import given, settings

from cpus.accounts import SYSTEM, USER
from cpus.cpu import NET_RX_SOFTIRQ, Cpu
from cpus.process import BLOCK, Process
from emu.boot import BTIME_S
from scenarios.machine import Sampler
from tests.machine_kit import USER_RANK, Feed, Kit, skb
from tests.random_scenarios import scenario_texts
from tests.scenario_kit import make, play

MS = 1_000_000


def table(text: str) -> dict[str, list[int]]:
    return {line.split()[0]: [int(word) for word in line.split()[1:]] for line in text.splitlines()}


def stat(kit: Kit) -> dict[str, list[int]]:
    return table(kit.tree.read("/proc/stat"))


def test_each_kind_of_work_has_its_column() -> None:
    kit = Kit(2, idle_exit_ns=0)
    app = Process("app", iter([(USER, 100 * MS), (SYSTEM, 50 * MS)]), 0b01, kit.cpus[0])
    kit.at(0, 0, lambda cpu: cpu.activate(app), ns=30 * MS)
    kit.at(1, 0, lambda _: None)
    kit.play(1_000 * MS)
    found = stat(kit)
    #                     user nice system idle iowait irq softirq steal guest guest_nice
    assert found["cpu0"] == [10, 0, 5, 82, 0, 3, 0, 0, 0, 0]
    assert found["cpu1"] == [0, 0, 0, 100, 0, 0, 0, 0, 0, 0]
    assert found["cpu"] == [10, 0, 5, 182, 0, 3, 0, 0, 0, 0]
    assert kit.tree.read("/proc/uptime") == "1.00 1.82\n"


def test_softirqs_that_ksoftirqd_runs_are_softirq_time() -> None:
    kit = Kit(1, deliver_skb_ns=100_000)
    feed = Feed(kit, skbs=[skb(kit, n) for n in range(1000)])
    kit.schedule(0, 0, feed)
    kit.play(500 * MS)
    assert kit.cpus[0].ksoftirqd_wakeups
    assert stat(kit)["cpu0"] == [0, 0, 0, 40, 0, 0, 10, 0, 0, 0]


def test_counters_of_the_whole_machine() -> None:
    kit = Kit(2)
    app = Process("app", iter([BLOCK, (USER, 500 * MS)]), 0b01, kit.cpus[0])
    kit.at(0, 0, lambda cpu: cpu.activate(app))
    kit.at(1, 5 * MS, lambda cpu: cpu.try_to_wake_up(app, cpu.local_now_ns, cpu))
    kit.at(1, 6 * MS, lambda cpu: cpu.raise_softirq_irqoff(NET_RX_SOFTIRQ))
    kit.play(20 * MS)
    found = stat(kit)
    assert found["ctxt"] == [3]  # to the process, to idle, to the process
    assert found["btime"] == [BTIME_S]
    assert found["processes"] == [3]  # two of ksoftirqd, one application
    assert found["procs_running"] == [1]
    assert found["procs_blocked"] == [0]
    assert found["softirq"] == [1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0]
    # The kit's three, the wake-up's reschedule interrupt, and the ticks at 6 to 20 ms of the CPU that runs the process.
    assert found["intr"][0] == 3 + 1 + kit.cpus[0].ticks
    assert kit.cpus[0].ticks == 15
    assert set(found["intr"][1:]) == {0}
    assert len(found["intr"]) == 1 + 424 + 2 * 8


def test_a_cpu_that_is_offline_has_no_line_and_ages_no_idle_time() -> None:
    kit = Kit(2)
    kit.hotplug.set_online(1, False, 100 * MS, USER_RANK)
    seen: list[str] = []

    def back(cpu: Cpu) -> None:
        seen.append(kit.tree.read("/proc/stat"))
        kit.hotplug.set_online(1, True, cpu.local_now_ns + 1, USER_RANK)

    kit.at(0, 395 * MS, back)
    kit.play(600 * MS)
    away = table(seen[0])
    assert "cpu1" not in away
    assert away["cpu"][3] == 49  # 395 and 100 ms
    assert stat(kit)["cpu1"][3] == 30
    assert kit.tree.read("/proc/uptime") == "0.60 0.90\n"


LOADED = """
[machine]
cpus = 2
[nic]
queues = 1
[[traffic]]
dst_port = 7000
rate_pps = 400000
[[app]]
protocol = "udp"
port = 7000
[run]
duration = "60ms"
"""


def test_the_ticks_of_a_cpu_are_the_uptime_at_any_time_of_a_run() -> None:
    """CPUs work ahead of the time of a look; what they have done beyond it is not counted yet."""
    built = make(LOADED)
    tree, machine = built.machine.tree, built.machine
    sums: list[tuple[int, list[int]]] = []

    def look(now_ns: int) -> None:
        found = table(tree.read("/proc/stat"))
        sums.append((now_ns, [sum(found[f"cpu{n}"]) for n in range(2)]))

    machine.add(Sampler(machine.rank(), machine.clock, 777_777, look))
    trio.run(machine.run, built.until_ns)
    assert len(sums) == 77
    for now_ns, ticks in sums:
        for of_cpu in ticks:
            # Ten columns, each rounded down; no more than four of them are not 0.
            assert now_ns // 10_000_000 - 4 <= of_cpu <= now_ns // 10_000_000


@settings(max_examples=10, deadline=None)
@given(scenario_texts())
def test_lines_add_up_in_every_run(text: str) -> None:
    built = play(text)
    tree = built.machine.tree
    found = table(tree.read("/proc/stat"))
    online = [cpu for cpu in built.machine.cpus if cpu.online]
    for column in range(10):
        of_cpus = sum(found[f"cpu{cpu.index}"][column] for cpu in online)
        assert of_cpus <= found["cpu"][column]
        if len(online) == len(built.machine.cpus):
            assert found["cpu"][column] <= of_cpus + len(online)
    interrupts = [line.split() for line in tree.read("/proc/interrupts").splitlines()[1:]]
    rows = {words[0]: sum(map(int, words[1 : len(online) + 1])) for words in interrupts}
    if len(online) == len(built.machine.cpus):
        assert found["intr"][0] == sum(rows.values())
        for irq in built.machine.irqs.lines:
            assert found["intr"][1 + irq] == rows[f"{irq}:"]
    softirqs = [line.split()[1:] for line in tree.read("/proc/softirqs").splitlines()[1:]]
    assert found["softirq"] == [sum(found["softirq"][1:]), *(sum(map(int, row)) for row in softirqs)]
