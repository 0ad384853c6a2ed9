"""The SimPy baseline of `make bench`: it conserves packets, repeats itself and keeps up at its default rates."""

from __future__ import annotations

import pytest

from tests.bench.simpy_model import BACKLOG_PACKETS, RING_PACKETS, TOPOLOGIES, SimpyResult, run

every_topology = pytest.mark.parametrize("topology", TOPOLOGIES)


def without_wall(result: SimpyResult) -> tuple[int, int, int, int]:
    return result.packets_offered, result.packets_delivered, result.dropped, result.sim_ns


@every_topology
def test_at_the_default_rate_every_packet_is_delivered(topology: str) -> None:
    result = run(topology, 5000)
    assert result.packets_delivered == result.packets_offered == 5000
    assert result.dropped == 0
    assert result.wall_s > 0


@every_topology
def test_an_overloaded_machine_drops_and_conserves_packets(topology: str) -> None:
    result = run(topology, 12_000, 50e6, seed=2)
    assert result.dropped > 0
    assert result.packets_delivered + result.dropped == result.packets_offered == 12_000


def test_one_full_ring_delivers_what_it_holds_and_what_was_taken_meanwhile() -> None:
    # 4000 packets in about 4 us: five are taken meanwhile, the ring keeps 2048, each then costs 890 ns.
    result = run("one_cpu", 4000, 1e9, seed=3)
    assert RING_PACKETS <= result.packets_delivered <= RING_PACKETS + 8
    assert result.packets_delivered * 890 <= result.sim_ns <= result.packets_delivered * 890 + 100


def test_a_slow_protocol_fills_the_backlogs_and_not_the_ring() -> None:
    # The ring keeps up with 1 Mpps (290 ns each); four backlogs keep 1000 each of what no protocol stage ever finishes.
    result = run("rps", 6000, 1e6, seed=4, protocol_ns=10**9)
    assert 4 * BACKLOG_PACKETS <= result.packets_delivered <= 4 * (BACKLOG_PACKETS + 1)


@every_topology
def test_the_same_seed_gives_the_same_result_and_another_seed_another(topology: str) -> None:
    first = without_wall(run(topology, 3000, seed=7))
    assert without_wall(run(topology, 3000, seed=7)) == first
    assert without_wall(run(topology, 3000, seed=8)) != first


def test_an_unknown_topology_is_refused() -> None:
    with pytest.raises(KeyError, match="rss5"):
        run("rss5", 10)
