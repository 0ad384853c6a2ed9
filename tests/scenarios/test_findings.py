"""The sentences of WHY: each rule has a scenario in which it must speak and one in which it must not; and what they say is so."""

from __future__ import annotations

import shlex
from functools import cache
from pathlib import Path
from typing import Final

import msgspec
import pytest
import trio

from monitor.rates import Rates, delta
from monitor.snapshot import Snapshot
from monitor.what_if import what_if
from monitor.why.finding import Finding
from monitor.why.findings import RULES, findings
from scenarios.build import build
from scenarios.commands.scenario_options import ScenarioOptions
from scenarios.load import parse_scenario
from scenarios.observe import snapshot
from scenarios.study.runner import Side, prepare

LIBRARY: Final = Path(__file__).parents[2] / "scenarios" / "library"
LONGEST_NS: Final = 6_000_000

MADE: Final = {
    "no socket": '[[traffic]]\nprotocol = "udp"\nrate_pps = 200_000\npackets = 400\n',
    "damaged": '[[traffic]]\nprotocol = "udp"\nrate_pps = 200_000\npackets = 400\ndamaged = 0.2\n'
    '[[app]]\nprotocol = "udp"\nport = 5001\nkind = "sink"\n',
    "two nodes": '[machine]\ncpus = 4\nnodes = 2\n[nic]\nqueues = 1\n[set]\n"/sys/class/net/eth0/queues/rx-0/rps_cpus" = "e"\n'
    '[[traffic]]\nprotocol = "udp"\nrate_pps = 400_000\npackets = 1000\nflows = 100\n'
    '[[app]]\nprotocol = "udp"\nport = 5001\nkind = "sink"\n',
    "one node": '[machine]\ncpus = 4\n[nic]\nqueues = 1\n[set]\n"/sys/class/net/eth0/queues/rx-0/rps_cpus" = "e"\n'
    '[[traffic]]\nprotocol = "udp"\nrate_pps = 400_000\npackets = 1000\nflows = 100\n'
    '[[app]]\nprotocol = "udp"\nport = 5001\nkind = "sink"\n',
    "rps from the middle on": "[machine]\ncpus = 4\n[nic]\nqueues = 1\n"
    '[[traffic]]\nprotocol = "udp"\nrate_pps = 400_000\npackets = 1000\nflows = 100\n'
    '[[app]]\nprotocol = "udp"\nport = 5001\nkind = "sink"\n'
    '[[at]]\ntime = "2ms"\ndo = ["echo e > /sys/class/net/eth0/queues/rx-0/rps_cpus"]\n',
    "half rfs": '[set]\n"net.core.rps_sock_flow_entries" = 4096\n'
    '[[traffic]]\nprotocol = "udp"\nrate_pps = 100_000\npackets = 100\n',
}


@cache
def run(name: str) -> tuple[Snapshot, Rates]:
    """The whole of a short run."""
    text = MADE.get(name) or (LIBRARY / f"{name}.toml").read_text()
    loaded = parse_scenario(text, name, LIBRARY)
    built = build(loaded.scenario, loaded.origin, seed=1)
    trio.run(built.machine.run, min(built.until_ns, LONGEST_NS))
    taken = snapshot(built, built.machine.clock.now_ns)
    return taken, delta(None, taken)


def said(rule: str, name: str) -> Finding | None:
    (function,) = [function for function in RULES if function.__name__ == rule]
    return function(*run(name))


@pytest.mark.parametrize(
    ("rule", "speaks", "is_silent"),
    [
        ("ring_full", "elephant", "single-flow-rps"),
        ("backlog_overflows", "single-flow-rps", "elephant"),
        ("flow_limit_drops", "flow-limit", "single-flow-rps"),
        ("socket_full", "socket-overflow", "elephant"),
        ("no_socket", "no socket", "rfs"),
        ("other_losses", "damaged", "socket-overflow"),
        ("elephant", "elephant", "rfs"),
        ("uneven_steering", "single-flow-rps", "one node"),
        ("one_queue", "one-queue", "rfs"),
        ("one_cpu_takes_all_interrupts", "all-vectors-cpu0", "elephant"),
        ("squeezes_by_time", "squeeze-time", "squeeze-budget"),
        ("squeezes_by_budget", "squeeze-budget", "squeeze-time"),
        ("ksoftirqd_runs", "elephant", "rfs"),
        ("unused_cpus", "flow-limit", "rfs"),
        ("crossing_nodes", "two nodes", "one node"),
        ("rfs_half_set", "half rfs", "rfs"),
        ("gro_off", "gro-off", "gro-on"),
    ],
)
def test_a_rule_speaks_where_its_counters_prove_it_and_nowhere_else(rule: str, speaks: str, is_silent: str) -> None:
    finding = said(rule, speaks)
    assert finding is not None
    assert finding.proof
    assert finding.text.endswith(".")
    assert said(rule, is_silent) is None


def test_every_rule_is_tested() -> None:
    marks = test_a_rule_speaks_where_its_counters_prove_it_and_nowhere_else.pytestmark  # type: ignore[attr-defined]
    assert {case[0] for case in marks[0].args[1]} == {rule.__name__ for rule in RULES}


def test_one_saturated_napi_is_never_said_to_be_squeezed_by_budget() -> None:
    """Z1: a NAPI that stays full gets 64 packets a round."""
    taken, rates = run("one-queue")
    assert rates.cpus[0].busy > 0.95
    assert rates.queues[0].drops
    assert rates.squeeze_budget == 0
    assert not [finding for finding in findings(taken, rates) if "netdev_budget" in finding.text]


def test_the_sentences_say_what_the_counters_say() -> None:
    taken, rates = run("squeeze-time")
    finding = said("squeezes_by_time", "squeeze-time")
    assert finding is not None
    worst = max(rates.cpus, key=lambda cpu: cpu.squeeze_time)
    assert f"{worst.squeeze_time:,} of {worst.squeezes:,} squeezes on cpu0" in finding.text
    assert f"netdev_budget_usecs {taken.knobs['net.core.netdev_budget_usecs']}" in finding.text

    _, rates = run("elephant")
    finding = said("ring_full", "elephant")
    assert finding is not None
    queue = rates.queues[3]
    assert f"rx-3 had no descriptor for {100 * queue.drops / (queue.drops + queue.packets):.1f} %" in finding.text


@pytest.mark.parametrize("name", ["rfs", "gro-on"])
def test_where_nothing_is_lost_that_is_said_first(name: str) -> None:
    taken, rates = run(name)
    found = findings(taken, rates)
    assert found[0].text.startswith("Nothing was lost")
    assert not any(finding.trouble for finding in found)


def test_commands_are_quoted_and_name_files_of_the_machine() -> None:
    finding = said("ring_full", "elephant")
    assert finding is not None
    assert finding.commands == ("echo 7 > /sys/class/net/eth0/queues/rx-3/rps_cpus",)
    finding = said("crossing_nodes", "two nodes")
    assert finding is not None
    assert finding.commands == ("echo 2 > /sys/class/net/eth0/queues/rx-0/rps_cpus",)


@pytest.mark.parametrize("name", sorted(path.stem for path in LIBRARY.glob("*.toml")))
def test_every_suggestion_can_be_compared(name: str) -> None:
    opened = ScenarioOptions(seed=1).open(name)
    taken, rates = run(name)
    meta = msgspec.structs.replace(taken.meta, command=opened.command())
    for finding in findings(taken, rates):
        lines = what_if(meta, finding)
        assert bool(lines) == bool(finding.commands)
        words = shlex.split(" ".join(words.removesuffix("\\") for words in lines))
        if words:
            assert words[:5] == ["softnet", "compare", name, "--seed", "1"]
            assert words[5::2] == ["--change"] * len(finding.commands)
            prepare(Side(opened.loaded, tuple(words[6::2])), 1)


def test_shares_from_before_a_map_was_written_are_not_held_against_it() -> None:
    _, rates = run("rps from the middle on")
    assert rates.queues[0].steering.to[0] > 0.5 * rates.queues[0].steering.skbs
    assert said("uneven_steering", "rps from the middle on") is None


def test_one_flow_is_not_advised_to_take_more_queues_or_cpus() -> None:
    finding = said("backlog_overflows", "single-flow-rps")
    assert finding is not None
    assert "more CPUs" not in finding.advice
    finding = said("one_queue", "published-cloudflare-2015")
    assert finding is not None
    assert not finding.commands
    finding = said("one_queue", "one-queue")
    assert finding is not None
    assert finding.commands == ("ethtool -L eth0 combined 4",)


def test_troubles_come_first() -> None:
    for name in ("flow-limit", "squeeze-budget", "single-flow-rps"):
        troubles = [finding.trouble for finding in findings(*run(name))]
        assert troubles == sorted(troubles, reverse=True)
