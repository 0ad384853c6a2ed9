"""What the studies say holds for what their commands give."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from emu.profiles import DEFAULT_PROFILE, profile_for
from scenarios.load import parse_scenario
from scenarios.study.runner import Side, measure
from tests.studies.kit import STUDIES, commands, run

STATED = {
    "interrupt-cpu": 3,
    "netdev-budget": 3,
    "packet-time": 1,
    "rfs": 2,
    "rps-or-queues": 2,
    "saturation": 2,
}
"""Study -> how many of its commands have their statements tested here."""

PER_FRAME = ("driver_rx", "gro_receive", "deliver_skb", "ip_rcv", "udp_rcv", "refill", "skb_free")
PER_POLL = ("softirq_entry", "net_rx_action", "napi_poll")
POLL_FRAMES = 64


def test_every_command_of_a_study_has_its_statements_tested() -> None:
    names = {path.stem for path in STUDIES.glob("*.md")} - {"README"}
    assert {name: len(commands(name)) for name in names} == STATED


def test_the_index_names_every_study_and_every_scenario_is_used() -> None:
    index = (STUDIES / "README.md").read_text()
    assert set(re.findall(r"\]\(([a-z-]+)\.md\)", index)) == STATED.keys()
    used = {word for name in STATED for line in commands(name) for word in line.split() if word.endswith(".toml")}
    assert used == {f"docs/studies/{path.name}" for path in STUDIES.glob("*.toml")}


# -------------------------------------------------------------------- interrupt-cpu


def test_rps_to_the_cpus_that_take_no_interrupt_lets_half_as_many_again_through() -> None:
    found = run("interrupt-cpu", 0)
    assert found["cpu0/busy"].a == 100
    assert found["lost"].a == pytest.approx(33, abs=2)
    assert found["lost"].b == 0
    assert 1.4 < found["read"].ratio < 1.55
    assert found["cpu0/busy"].b < 85
    assert "A: CPU 0 drowns" in found.verdict


def test_the_interrupts_own_cpu_in_the_mask_costs_what_it_could_do_for_all() -> None:
    found = run("interrupt-cpu", 1)
    assert found["read"].falls and 0.88 < found["read"].ratio < 0.95
    assert found["cpu0/busy"].b == 100
    assert found["cpu0/ring drops"].rises
    for cpu in (1, 2, 3):
        assert found[f"cpu{cpu}/busy"].falls
    assert "B: CPU 0 drowns" in found.verdict


def test_an_interrupt_on_a_readers_cpu_starves_the_reader() -> None:
    found = run("interrupt-cpu", 2)
    assert 0.5 < found["read"].ratio < 0.68
    assert found["cpu0/busy"].b == 0
    assert found["cpu1/busy"].b == 100
    assert found["drops/SOCKET_RCVBUFF"].rises and found["drops/NIC_RING_FULL"].rises


# -------------------------------------------------------------------- rps-or-queues


def test_queues_do_with_half_a_cpu_less_what_rps_does() -> None:
    found = run("rps-or-queues", 0)
    assert found["lost"].a == found["lost"].b == 0
    assert found["read"].ratio == pytest.approx(1, abs=0.02)
    assert -70 < found["all CPUs/busy"].low <= found["all CPUs/busy"].high < -40
    assert found["cpu0/busy"].b < 0.5 * found["cpu0/busy"].a
    assert found["interrupts/RPS IPIs"].b == 0
    assert found["latency/total/p99"].rises


def test_a_single_flow_gains_a_pipeline_from_rps_and_nothing_from_queues() -> None:
    found = run("rps-or-queues", 1)
    assert 1.1 < found["read"].ratio < 1.2
    assert found["drops/NIC_RING_FULL"].b == 0 < found["drops/NIC_RING_FULL"].a
    assert found["drops/CPU_BACKLOG"].a == 0 < found["drops/CPU_BACKLOG"].b
    assert found["all CPUs/busy"].a == pytest.approx(100, abs=1)
    assert "which one depends on the seed" in found.verdict


# -------------------------------------------------------------------- netdev-budget


def test_a_larger_budget_takes_the_squeezes_away_and_nothing_else() -> None:
    found = run("netdev-budget", 0)
    assert found["squeezes/all"].a > 5000
    assert found["squeezes/all"].b == 0
    assert found["read"].ratio == pytest.approx(1, abs=0.002)
    assert found["latency/total/p99"].ratio == pytest.approx(1, abs=0.07)
    assert found["cpu0/busy"].a == found["cpu0/busy"].b == 100


def test_a_fifth_of_the_budget_costs_half_a_per_cent() -> None:
    found = run("netdev-budget", 1)
    assert found["squeezes/all"].ratio > 4
    assert 0.99 < found["read"].ratio < 0.999


def test_a_budget_is_nothing_to_a_single_queue() -> None:
    found = run("netdev-budget", 2)
    assert all(figure["difference"] in (0, None) for figure in found.document["figures"])


# -------------------------------------------------------------------- rfs


def test_rfs_saves_wake_ups_from_other_cpus_and_their_time() -> None:
    found = run("rfs", 0)
    assert found["interrupts/wake-up IPIs"].a == 0
    assert found["interrupts/wake-up IPIs"].b > 30_000
    assert 3 < found["all CPUs/busy"].low <= found["all CPUs/busy"].high < 10
    assert found["read"].ratio == pytest.approx(1, abs=0.01)
    assert found["lost"].a == found["lost"].b == 0
    assert found["latency/total/p99.9"].rises


def test_rfs_is_nothing_to_a_udp_socket_that_is_not_connected() -> None:
    found = run("rfs", 1)
    assert found["read"].a > 2_000_000
    assert all(figure["difference"] in (0, None) for figure in found.document["figures"])


# -------------------------------------------------------------------- saturation and packet-time


def frame_ns(clock_ghz: float) -> float:
    """What a frame takes on a saturated CPU, by the prices."""
    prices = profile_for(DEFAULT_PROFILE).prices
    frame = sum(prices[name].at(clock_ghz) for name in PER_FRAME)
    return frame + sum(prices[name].at(clock_ghz) for name in PER_POLL) / POLL_FRAMES


def read_per_second(clock_ghz: float, rate_pps: int = 8_000_000) -> tuple[float, float]:
    """Frames read and share of frames lost, emulated."""
    text = (STUDIES / "clock-2ghz.toml").read_text()
    text = text.replace("clock_ghz = 2.0", f"clock_ghz = {clock_ghz}").replace("8_000_000", str(rate_pps))
    figures = measure(Side(parse_scenario(text, "clock.toml", STUDIES)), 1).figures
    read, lost = figures["read"], figures["lost"]
    assert read is not None and lost is not None
    return read, lost


def test_a_smaller_ring_reads_as_much_and_keeps_it_waiting_for_less() -> None:
    found = run("saturation", 0)
    assert found["read"].ratio == pytest.approx(1, abs=0.005)
    assert found["latency/total/mean"].ratio == pytest.approx(0.25, abs=0.03)
    assert found["cpu0/busy"].a == found["cpu0/busy"].b == 100


def test_twice_the_clock_reads_less_than_twice_as_much() -> None:
    found = run("saturation", 1)
    assert found["read"].ratio == pytest.approx(1.88, abs=0.02)
    assert found["read"].ratio == pytest.approx(frame_ns(2) / frame_ns(4), rel=0.02)


@pytest.mark.parametrize("clock_ghz", [1, 2, 4, 6])
def test_the_closed_form_is_the_emulated_saturation_point(clock_ghz: int) -> None:
    emulated, _ = read_per_second(clock_ghz)
    formula = 1e9 / frame_ns(clock_ghz)
    assert emulated == pytest.approx(formula, rel=0.015)
    row = re.search(
        rf"^\| {clock_ghz} GHz \| (\S+) M/s \| (\S+) M/s \|$", (STUDIES / "saturation.md").read_text(), re.MULTILINE
    )
    assert row is not None
    assert float(row[1]) * 1e6 == pytest.approx(formula, rel=0.01)
    assert float(row[2]) * 1e6 == pytest.approx(emulated, rel=0.01)


def test_the_knee_is_where_the_closed_form_puts_it() -> None:
    capacity = 1e9 / frame_ns(2)
    assert read_per_second(2, int(0.95 * capacity))[1] == 0
    read, _ = read_per_second(2, int(1.2 * capacity))
    assert read == pytest.approx(capacity, rel=0.015)


def test_the_tables_of_prices_are_the_profiles() -> None:
    profile = profile_for(DEFAULT_PROFILE)
    saturation, shares = ((STUDIES / f"{name}.md").read_text() for name in ("saturation", "packet-time"))
    slow = replace(profile, clock_ghz=2.0)
    whole_ns = frame_ns(2)
    for name in PER_FRAME:
        price = profile.prices[name]
        ns = f"{price.ns:g} " if price.ns else ""
        assert f"| `{name}` | {price.cycles:g} | {ns}|" in saturation
        taken_ns = slow.prices[name].at(2.0)
        assert f"| `{name}` | {taken_ns:.0f} | {100 * taken_ns / whole_ns:.0f} % |" in shares


def test_a_share_that_costs_nothing_lets_through_what_its_share_says() -> None:
    found = run("packet-time", 0)
    share = profile_for(DEFAULT_PROFILE).prices["udp_rcv"].at(2.0) / frame_ns(2)
    assert share == pytest.approx(0.44, abs=0.01)
    assert found["read"].ratio == pytest.approx(1 / (1 - share), rel=0.02)
