"""Sinks whose connections end, in any order of segments: late posts make no difference to when they close."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emu.headers import TCP_ACK, TCP_FIN
from scenarios.build import Built
from tests.netstack.stack_kit import tcp4
from tests.scenario_kit import document, play
from tests.scenarios.capture_bytes import pcap, record

SCENARIO = """
[machine]
cpus = 2
[nic]
queues = 2
rx_usecs = {rx_usecs}
[set]
"/sys/class/net/eth0/queues/rx-0/rps_cpus" = "{mask}"
[capture]
file = "{file}"
[[app]]
kind = "sink"
protocol = "tcp"
port = 8000
"""
SIZE = 10

Segment = tuple[int, int, int, int]
"""Time since the one before in ns, flow, place in the stream, flags."""

segments = st.tuples(
    st.sampled_from((300, 40_000)),
    st.integers(0, 1),
    st.integers(3, 6),
    st.sampled_from((TCP_ACK, TCP_ACK, TCP_ACK | TCP_FIN)),
)


def post_nothing_late(built: Built) -> None:
    built.stack.sink_posts = None
    built.machine.clock.late.clear()
    built.machine.net.late_backlogs = False


def both_ways(folder: Path, plan: list[Segment], mask: str = "0", rx_usecs: int = 0) -> tuple[bytes, bytes]:
    """What a machine counts with late posts and without any."""
    at_ns = 0
    records = []
    for gap_ns, flow, place, flags in plan:
        at_ns += gap_ns
        records.append(record(tcp4(sport=1000 + flow, seq=SIZE * place, payload=SIZE, flags=flags), (1, at_ns)))
    file = folder / "ends.pcap"
    file.write_bytes(pcap(*records))
    text = SCENARIO.format(file=file, mask=mask, rx_usecs=rx_usecs)
    return document(play(text)), document(play(text, prepare=post_nothing_late))


@pytest.mark.parametrize("first", [3, 0], ids=["of-a-connection", "of-a-flow-not-adopted-yet"])
def test_data_that_fills_the_gap_before_a_fin_closes_a_sink_at_once(tmp_path: Path, first: int) -> None:
    far_ns = 50_000
    plan = [(far_ns, 0, place, TCP_ACK) for place in range(first)]
    plan += [(300, 0, first, TCP_ACK), (300, 0, first + 3, TCP_ACK | TCP_FIN)]
    plan += [(far_ns, 0, first + place, TCP_ACK) for place in (1, 2, 1, 1, 5)]
    late, ordinary = both_ways(tmp_path, plan, rx_usecs=20)
    assert late == ordinary


@settings(max_examples=60)
@given(st.lists(segments, min_size=4, max_size=24), st.sampled_from("0123"), st.sampled_from((0, 20)))
def test_late_posts_close_no_sink_later(
    tmp_path_factory: pytest.TempPathFactory, plan: list[Segment], mask: str, rx_usecs: int
) -> None:
    begun = [(40_000, flow, place, TCP_ACK) for place in range(3) for flow in (0, 1)]
    late, ordinary = both_ways(tmp_path_factory.getbasetemp(), begun + plan, mask, rx_usecs)
    assert late == ordinary
