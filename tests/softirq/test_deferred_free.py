"""Deferred frees: who frees an skb that was read on another CPU than the one that allocated it (T7)."""

from __future__ import annotations

import pytest

from scenarios.build import Built
from softirq.deferred_free import DeferList, DeferredSkbs
from tests.scenario_kit import play

MACHINE = """
[machine]
cpus = 4
nodes = {nodes}
rules = "{rules}"
[nic]
queues = 1
gro = false
affinity = "0"
[set]
"net.core.skb_defer_max" = {most}
[[traffic]]
protocol = "{protocol}"
rate_pps = {rate}
packets = 2000
flows = 8
size = 300
[[app]]
kind = "{kind}"
protocol = "{protocol}"
port = 5001
{more}
"""


def run(
    protocol: str = "tcp",
    rules: str = "6.9",
    most: int = 64,
    nodes: int = 1,
    rate: int = 400_000,
    kind: str = "reader",
    more: str = "cpus = 1",
) -> Built:
    text = MACHINE.format(protocol=protocol, rules=rules, most=most, nodes=nodes, rate=rate, kind=kind, more=more)
    return play(text)


def defer_list(built: Built, cpu: int = 0) -> DeferList:
    return built.machine.net.softnet[cpu].defer_list


def read_skbs(built: Built) -> int:
    return sum(sock.read_messages for sock in built.stack.sockets)


def test_each_skb_read_elsewhere_is_freed_once_by_the_cpu_that_allocated_it_or_by_its_reader() -> None:
    built = run()
    deferred = defer_list(built)
    assert deferred.freed + sum(deferred.lengths) + deferred.refused == read_skbs(built) > 500
    assert deferred.freed > 100
    for cpu in (1, 2, 3):
        assert defer_list(built, cpu).freed == 0


@pytest.mark.parametrize("most", [1, 5, 64])
def test_a_list_never_holds_more_than_skb_defer_max(most: int) -> None:
    longest = []

    class Watched(DeferList):
        def deliver(self, stamp_ns: int, sender: object, item: object) -> None:
            super().deliver(stamp_ns, sender, item)  # type: ignore[arg-type]
            longest.append(max(self.lengths))

    built = play(
        MACHINE.format(protocol="tcp", rules="6.9", most=most, nodes=1, rate=800_000, kind="reader", more="cpus = 1"),
        prepare=lambda made: setattr(made.machine.net.softnet[0], "defer_list", Watched(made.machine.net.softnet[0])),
    )
    assert max(longest) <= most
    if most == 1:
        assert defer_list(built).refused > 0


def test_a_list_that_is_half_full_asks_its_cpu_for_a_round() -> None:
    # The reader works through its queue after the last frame: nothing else wakes CPU 0 then.
    built = run(rate=3_000_000, more="cpus = 1\nwork_ns = 3000")
    deferred = defer_list(built)
    assert deferred.ipis > 3
    assert sum(deferred.lengths) <= 33, "33 skbs are one more than half of 64"
    assert sum(built.machine.net.softnet[cpu].received_rps for cpu in range(4)) == 0
    line = next(line for line in built.machine.tree.read("/proc/interrupts").splitlines() if line.startswith("CAL"))
    assert int(line.split()[1]) == deferred.ipis


def test_a_limit_of_0_switches_it_off() -> None:
    built = run(most=0)
    deferred = defer_list(built)
    assert deferred.freed == deferred.refused == sum(deferred.lengths) == deferred.ipis == 0
    assert read_skbs(built) > 500


def test_a_reader_on_the_allocating_cpu_hands_nothing_back() -> None:
    built = run(more="cpus = 0")
    assert defer_list(built).freed == 0
    assert read_skbs(built) > 500


@pytest.mark.parametrize(("rules", "deferred"), [("6.1", False), ("6.9", False), ("6.12", False), ("6.18", True)])
def test_udp_readers_hand_back_in_6_18_only(rules: str, deferred: bool) -> None:
    assert bool(defer_list(run("udp", rules, rate=1_500_000)).freed) is deferred


def test_6_18_has_a_list_for_each_node_of_those_who_free() -> None:
    built = run("tcp", "6.18", nodes=2, more="threads = 2\ncpus = [1, 2]")
    assert len(defer_list(built).lengths) == 2
    assert len(defer_list(run("tcp", "6.12", nodes=2)).lengths) == 1


@pytest.mark.parametrize("protocol", ["tcp", "udp"])
def test_a_sink_in_the_kernel_frees_by_itself(protocol: str) -> None:
    built = run(protocol, "6.18", kind="sink", more="")
    assert not built.machine.net.defers_frees
    assert defer_list(built).freed == 0


def test_handing_back_costs_its_reader_less_than_freeing_there() -> None:
    def system_ns(most: int) -> int:
        built = run(most=most)
        return built.machine.cpus[1].accounts.at(built.machine.clock.now_ns)[3]

    costs = run().machine.net.costs
    assert costs.skb_defer_ns < costs.skb_free_ns + costs.remote_free_ns
    assert system_ns(64) < system_ns(0)


def test_a_cpu_that_is_offline_is_handed_nothing() -> None:
    built = run()
    deferred = defer_list(built)
    cpu = built.machine.cpus[0]
    before = deferred.refused
    cpu.online = False
    deferred.deliver(10, built.machine.cpus[1], DeferredSkbs(3))
    assert deferred.refused == before + 3


def test_default_limits_are_those_of_the_releases() -> None:
    for rules, limit in (("6.1", "64\n"), ("6.12", "64\n"), ("6.18", "128\n")):
        text = f'[machine]\ncpus = 1\nrules = "{rules}"\n'
        assert play(text).machine.tree.read("net.core.skb_defer_max") == limit
