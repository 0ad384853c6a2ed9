"""How far a sample's counters may be ahead of its time: what one poll does, on each CPU. The slow twin shows the exact values."""

from __future__ import annotations

import pytest

from scenarios.build import Built
from scenarios.machine import Machine, Sampler
from tests.scenario_kit import play
from tests.twin import TwinMachine

INTERVAL_NS = 37_000
NAPI_POLL_WEIGHT = 64

SCENARIOS = {
    "one queue overloaded": "[nic]\nqueues = 1\n",
    "with rps": '[nic]\nqueues = 1\n[set]\n"/sys/class/net/eth0/queues/rx-0/rps_cpus" = "e"\n',
}
LOAD = """
[[traffic]]
rate_pps = 3_500_000
flows = 100
packets = 4000
[[app]]
kind = "reader"
protocol = "udp"
port = 5001
threads = 3
sockets = "each"
cpus = [1, 2, 3]
batch = 16
"""


def samples(text: str, machine: type[Machine]) -> list[tuple[list[int], list[int], int, int]]:
    """At each sample: processed by CPU, each CPU's time in all accounts, frames read, drops at sockets."""
    taken: list[tuple[list[int], list[int], int, int]] = []

    def prepare(built: Built) -> None:
        host = built.machine

        def look(now_ns: int) -> None:
            built.nic.advance(now_ns)
            taken.append(
                (
                    [sd.processed for sd in host.net.softnet],
                    [sum(cpu.accounts.at(now_ns)) - now_ns for cpu in host.cpus],
                    host.ledger.read_frames,
                    built.stack.snmp.Udp.RcvbufErrors,
                )
            )

        host.add(Sampler(host.rank(), host.clock, INTERVAL_NS, look))

    play("[machine]\ncpus = 4\n" + text + LOAD, machine=machine, prepare=prepare)
    return taken


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_sample_is_ahead_of_its_time_by_one_poll_at_most_and_ports_and_accounts_never(name: str) -> None:
    fast, exact = samples(SCENARIOS[name], Machine), samples(SCENARIOS[name], TwinMachine)
    assert len(fast) == len(exact) > 20
    ahead = []
    for seen, true in zip(fast, exact, strict=True):
        ahead += [a - b for a, b in zip(seen[0], true[0], strict=True)]
        assert seen[1:] == true[1:], "time by account, what was read and what sockets refused are as of the sample"
    assert min(ahead) >= 0
    assert max(ahead) <= NAPI_POLL_WEIGHT
    if name == "one queue overloaded":
        assert max(ahead) > 0, "nobody works ahead: this test shows nothing"
