"""The files of /proc/net, read from a machine that has run."""

from __future__ import annotations

from tests.scenario_kit import play

LOAD = """
[machine]
cpus = 1
[nic]
queues = 1
[[traffic]]
rate_pps = 100_000
packets = 50
[[app]]
protocol = "udp"
port = 5001
"""


def test_proc_net_snmp_shows_what_was_counted_under_the_names_of_its_header() -> None:
    tree = play(LOAD).machine.tree
    rows = [line.split() for line in tree.read("/proc/net/snmp").splitlines() if line.startswith("Udp:")]
    named = dict(zip(rows[0][1:], rows[1][1:], strict=True))
    assert named["InDatagrams"] == "50"
    assert named["InErrors"] == "0"
    rows = [line.split() for line in tree.read("/proc/net/netstat").splitlines() if line.startswith("IpExt:")]
    assert dict(zip(rows[0][1:], rows[1][1:], strict=True))["InNoECTPkts"] == "50"


def test_proc_net_snmp6_has_a_counter_a_line() -> None:
    text = play(LOAD).machine.tree.read("/proc/net/snmp6")
    named = dict(line.split() for line in text.splitlines())
    assert named["Ip6InReceives"] == "0"
