"""What holds in every scenario: nothing is lost or told twice, time adds up, flows keep their order, counters agree."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import trio
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

from cpus.cpu import NET_RX_SOFTIRQ, Cpu
from emu.dropreason import DropReason
from emu.skb import Skb
from monitor.history import History
from monitor.identities import broken_identities
from netstack.udp_sock import UdpSink, UdpSocket
from scenarios.build import Built
from scenarios.machine import Sampler
from scenarios.observe import snapshot
from softirq.backlog import Backlog
from tests.random_scenarios import ethtool_words, scenario_texts
from tests.scenario_kit import finish, make, play

FEW = settings(
    max_examples=30,
    deadline=None,
    database=None,
    derandomize=True,
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=list(HealthCheck),
)
"""A failing scenario is small enough without shrinking, which would take minutes."""


def _watch(built: Built, interval_ns: int) -> list[int]:
    """Check the laws that hold at any time, every `interval_ns`; returns the times of the checks, which grow during the run."""
    machine = built.machine
    times: list[int] = []

    def look(now_ns: int) -> None:
        built.nic.advance(now_ns)
        machine.ledger.check(now_ns)
        for cpu in machine.cpus:
            assert sum(cpu.accounts.at(now_ns)) == now_ns, f"{cpu.name} has lost or made time"
        times.append(now_ns)

    machine.add(Sampler(machine.rank(), machine.clock, interval_ns, look))
    return times


@FEW
@given(scenario_texts(max_packets=250), st.sampled_from((997, 13_000, 100_000)), st.integers(0, 3))
def test_every_frame_is_in_one_account_and_every_nanosecond_too_at_all_times(
    text: str, interval_ns: int, seed: int
) -> None:
    built = make(text, seed)
    times = _watch(built, interval_ns)
    trio.run(built.machine.run, built.until_ns)
    taken = finish(built)
    assert len(times) >= taken.meta.now_ns // interval_ns
    for cpu in built.machine.cpus:
        assert sum(cpu.accounts.at(taken.meta.now_ns)) == taken.meta.now_ns


@settings(FEW, max_examples=15)
@given(
    scenario_texts(max_packets=250, endless_apps=False),
    st.lists(st.tuples(st.integers(0, 200_000), ethtool_words()), min_size=1, max_size=6),
)
def test_every_snapshot_adds_up_while_the_nic_is_set_anew(text: str, commands: list[tuple[int, str]]) -> None:
    history = History()

    def prepare(built: Built) -> None:
        def look(now_ns: int) -> None:
            taken = snapshot(built, now_ns)
            assert broken_identities(taken) == []
            assert len(history.push(taken).queues) == len(taken.queues) == len(built.nic.rings)

        built.machine.add(Sampler(built.machine.rank(), built.machine.clock, 37_000, look))

    writes = [(at_ns, "ethtool", words) for at_ns, words in commands]
    built = play(text, writes=writes, prepare=prepare)
    nic = built.nic
    assert len(nic.dev.napis) == len(nic.vectors) <= len(nic.rings) == len(nic.dev.queues) == nic.rss.queues


@FEW
@given(scenario_texts(max_packets=250, endless_apps=False), st.integers(0, 3))
def test_counters_of_neighbours_agree(text: str, seed: int) -> None:
    built = make(text, seed)
    trio.run(built.machine.run, built.until_ns)
    taken = finish(built)
    machine, nic = built.machine, built.nic
    softnet = machine.net.softnet
    ledger = machine.ledger
    # The wire: each frame was refused, found no descriptor, or came into a ring; from there it was polled or waits.
    statistics = nic.dev.statistics
    assert ledger.arrived_frames == sum(ring.accepted + ring.dropped for ring in nic.rings) + statistics.rx_errors + (
        nic.arrivals.filtered
    )
    assert all(ring.accepted == ring.polled + ring.fill for ring in nic.rings)
    assert sum(ring.dropped for ring in nic.rings) == ledger.dropped_frames[DropReason.NIC_RING_FULL]
    assert machine.net.latencies.ring.count == sum(ring.polled for ring in nic.rings)
    # GRO passes on skbs; each is counted as processed once, unless a backlog dropped it or holds it.
    napis = [napi for vector in nic.vectors for napi in vector.napis]
    backlogged = sum(len(sd.backlog.input_pkt_queue) + len(sd.backlog.process_queue) for sd in softnet)
    posted = sum(isinstance(port, Backlog) for _, port, _, _ in machine.clock.posts_waiting())
    waiting = sum(len(napi.rx_list) for napi in napis)
    assert sum(napi.delivered_skbs for napi in napis) == (
        sum(sd.processed + sd.dropped for sd in softnet) + backlogged + posted + waiting
    )
    # Steering: an IPI is received once, unless it is under way at the end.
    assert 0 <= sum(sd.ipis_sent - sd.received_rps for sd in softnet) <= len(softnet) ** 2
    if built.until_ns > taken.meta.now_ns:
        assert sum(sd.ipis_sent for sd in softnet) == sum(sd.received_rps for sd in softnet)
    assert sum(sd.flow_limit_count for sd in softnet) <= sum(sd.dropped for sd in softnet)
    # Softirqs and interrupts.
    for sd in softnet:
        assert sd.net_rx_actions == sd.cpu.softirq_counts[NET_RX_SOFTIRQ]
        assert sd.squeeze_budget + sd.squeeze_time == sd.time_squeeze <= sd.net_rx_actions
        assert sd.squeeze_with_work_left <= sd.time_squeeze
    assert sum(cpu.hardirqs for cpu in machine.cpus) == sum(sum(vector.irqs) for vector in nic.vectors)
    # Sockets.
    snmp = built.stack.snmp
    read = sum(sock.read_messages for sock in built.stack.sockets if isinstance(sock, UdpSocket))
    assert read == snmp.Udp.InDatagrams + snmp.Udp6.InDatagrams
    assert ledger.dropped_frames[DropReason.SOCKET_RCVBUFF] == snmp.Udp.RcvbufErrors + snmp.Udp6.RcvbufErrors


@contextmanager
def _deliveries() -> Iterator[list[tuple[object, int]]]:
    """(flow, number of the frame) of every datagram that a UDP socket was given, in the order of the decisions."""
    seen: list[tuple[object, int]] = []

    def wrap(kind: type[UdpSocket]) -> object:
        original = kind.deliver

        def deliver(self: UdpSocket, stamp_ns: int, sender: Cpu, skb: Skb) -> None:
            seen.append((skb.hdr.flow, skb.number))
            original(self, stamp_ns, sender, skb)

        return deliver

    with pytest.MonkeyPatch.context() as patch:
        for kind in (UdpSocket, UdpSink):
            patch.setattr(kind, "deliver", wrap(kind))
        yield seen


def _disorder(seen: list[tuple[object, int]]) -> int:
    last: dict[object, int] = {}
    found = 0
    for flow, number in seen:
        found += number < last.get(flow, -1)
        last[flow] = number
    return found


@FEW
@given(scenario_texts(max_packets=300, rfs=False, tcp=False), st.integers(0, 3))
def test_no_flow_is_reordered_by_rss_rps_backlogs_and_ksoftirqd(text: str, seed: int) -> None:
    with _deliveries() as seen:
        built = play(text, seed)
    assert _disorder(seen) == 0
    sockets = {sock.local[1] for sock in built.stack.sockets if isinstance(sock, UdpSocket)}
    assert seen or 5001 not in sockets or not built.machine.net.latencies.protocol.count


RFS_READER_MOVES = """
[machine]
cpus = {cpus}
rules = "{rules}"
[nic]
queues = 1
[set]
"net.core.rps_sock_flow_entries" = 32768
"/sys/class/net/eth0/queues/rx-0/rps_flow_cnt" = 32768
[[traffic]]
protocol = "tcp"
rate_pps = {rate}
packets = 600
flows = {flows}
size = 300
[[app]]
kind = "reader"
protocol = "tcp"
port = 5001
threads = {threads}
work_ns = {work_ns}
[[app]]
kind = "burner"
threads = 2
[run]
duration = "9ms"
"""


@settings(FEW, max_examples=15)
@given(
    cpus=st.integers(2, 6),
    rules=st.sampled_from(("6.1", "6.9", "6.12", "6.18")),
    rate=st.sampled_from((200_000, 700_000, 1_500_000)),
    flows=st.integers(1, 3),
    threads=st.integers(1, 3),
    work_ns=st.sampled_from((0, 2000, 20_000)),
    seed=st.integers(0, 5),
)
@example(cpus=4, rules="6.9", rate=1_500_000, flows=2, threads=2, work_ns=2000, seed=0)
def test_rfs_moves_flows_after_their_readers_without_reordering(
    cpus: int, rules: str, rate: int, flows: int, threads: int, work_ns: int, seed: int
) -> None:
    text = RFS_READER_MOVES.format(cpus=cpus, rules=rules, rate=rate, flows=flows, threads=threads, work_ns=work_ns)
    built = play(text, seed)
    assert built.stack.snmp.TcpExt.TCPOFOQueue == 0
    assert built.stack.snmp.TcpExt.DelayedACKLost == 0


ONE_TARGET = """
[machine]
cpus = 3
seed = 1
[nic]
queues = 1
affinity = [0]
[set]
"net.core.netdev_max_backlog" = 40
"net.core.flow_limit_cpu_bitmap" = "7"
"net.core.netdev_budget" = 64
"/sys/class/net/eth0/queues/rx-0/rps_cpus" = "2"
[[traffic]]
name = "elephant"
rate_pps = 2_500_000
packets = 4000
[[traffic]]
name = "mice"
rate_pps = 500_000
packets = 800
flows = 400
[[app]]
kind = "reader"
protocol = "udp"
port = 5001
cpus = 1
"""


def test_each_counter_of_softnet_stat_is_on_the_kernels_row() -> None:
    built = play(ONE_TARGET, 1)
    rows = [
        [int(column, 16) for column in line.split()]
        for line in built.machine.tree.read("/proc/net/softnet_stat").splitlines()
    ]
    processed, dropped, squeezed = ([row[column] for row in rows] for column in range(3))
    received_rps, flow_limited = ([row[column] for row in rows] for column in (9, 10))
    # Who processed, who dropped and who was woken is the target; who polled too long and hit the flow limit is the sender.
    assert processed[0] == processed[2] == dropped[0] == dropped[2] == received_rps[0] == received_rps[2] == 0
    assert processed[1] and dropped[1] and received_rps[1]
    assert flow_limited[0] and not flow_limited[1] and not flow_limited[2]
    assert squeezed[0] and not squeezed[2]
    assert processed[1] + dropped[1] == 4800
    assert [row[12] for row in rows] == [0, 1, 2]


def test_two_frames_of_one_flow_are_told_apart_by_the_check_of_order() -> None:
    assert _disorder([("a", 1), ("b", 0), ("a", 2)]) == 0
    assert _disorder([("a", 2), ("b", 0), ("a", 1)]) == 1


def test_random_scenarios_reach_every_kind_of_drop_that_load_causes() -> None:
    reasons: Counter[str] = Counter()

    @settings(FEW, max_examples=80)
    @given(scenario_texts(max_packets=250, endless_apps=False))
    def gather(text: str) -> None:
        reasons.update(finish(play(text)).totals.dropped)

    gather()
    assert {"NIC_RING_FULL", "CPU_BACKLOG", "SOCKET_RCVBUFF", "NO_SOCKET"} <= set(reasons)
