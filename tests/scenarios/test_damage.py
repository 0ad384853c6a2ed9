"""Frames with a wrong check sequence."""

from __future__ import annotations

import pytest

from emu.dropreason import DropReason
from tests.scenario_kit import play

LOAD = """
[machine]
cpus = 1
[nic]
queues = 1
[[traffic]]
rate_pps = 500_000
packets = 2000
damaged = {damaged}
[[app]]
protocol = "udp"
port = 5001
"""


@pytest.mark.parametrize(("damaged", "least", "most"), [(0, 0, 0), (0.1, 150, 250), (0.5, 900, 1100)])
def test_the_nic_counts_damaged_frames_and_nobody_else_sees_them(damaged: float, least: int, most: int) -> None:
    built = play(LOAD.format(damaged=damaged))
    ledger, statistics = built.machine.ledger, built.nic.dev.statistics
    dropped = ledger.dropped_frames[DropReason.NIC_FCS]
    assert least <= dropped <= most
    assert statistics.rx_crc_errors == statistics.rx_errors == dropped
    assert ledger.read_frames == statistics.rx_packets == ledger.arrived_frames - dropped
    assert ledger.arrived_frames == 2000


@pytest.mark.parametrize("seed", range(5))
def test_a_run_that_ends_by_itself_counts_refused_frames_up_to_the_last(seed: int) -> None:
    built = play(LOAD.format(damaged=0.9), seed)
    ledger = built.machine.ledger
    assert ledger.arrived_frames == built.nic.wire.generated_frames == 2000
    assert ledger.read_frames + ledger.dropped_frames[DropReason.NIC_FCS] == 2000


def test_frames_that_are_all_refused_pass_and_nobody_is_interrupted() -> None:
    built = play(LOAD.format(damaged=1))
    assert built.machine.ledger.dropped_frames[DropReason.NIC_FCS] == 2000
    assert sum(sum(vector.irqs) for vector in built.nic.vectors) == 0
    assert built.machine.clock.reached_ns > 3_000_000


def test_damage_takes_no_frame_off_the_wire() -> None:
    def frames(damaged: float) -> int:
        return play(LOAD.format(damaged=damaged)).nic.wire.generated_frames

    assert frames(0.5) == frames(0) == 2000
