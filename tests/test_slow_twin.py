"""The fast machine and its slow twin count the same and measure the same, to the nanosecond, in every kind of configuration."""

from __future__ import annotations

from typing import Final

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from cpus.cpu import Cpu
from emu.costs import PRICE_NAMES
from emu.dropreason import DropReason
from emu.skb import Skb
from scenarios.build import Built
from scenarios.machine import Machine
from softirq.softnet_data import SoftnetData
from tests.random_scenarios import ethtool_words, scenario_texts
from tests.scenario_kit import document, make, play
from tests.twin import TwinMachine

Write = tuple[int, str, str]

FEW: Final = settings(
    deadline=None,
    database=None,
    derandomize=True,
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=list(HealthCheck),
)


def rps(queues: int, mask: str) -> str:
    """`[set]` with one RPS mask on all queues."""
    return "".join(f'"/sys/class/net/eth0/queues/rx-{queue}/rps_cpus" = "{mask}"\n' for queue in range(queues))


def rfs(queues: int, mask: str, flows: int = 256) -> str:
    """`[set]` with RFS on all queues."""
    tables = "".join(
        f'"/sys/class/net/eth0/queues/rx-{queue}/rps_flow_cnt" = {flows // queues}\n' for queue in range(queues)
    )
    return f'"net.core.rps_sock_flow_entries" = {flows}\n' + tables + rps(queues, mask)


def machine(cpus: int, queues: int, rules: str = "6.9", more: str = "", nic: str = "") -> str:
    """`[machine]` and `[nic]`."""
    return f'[machine]\ncpus = {cpus}\nrules = "{rules}"\n{more}\n[nic]\nqueues = {queues}\n{nic}\n'


def udp(rate_pps: int, packets: int, flows: int = 64, more: str = "") -> str:
    """A `[[traffic]]` of datagrams to port 5001."""
    return f"[[traffic]]\nrate_pps = {rate_pps}\npackets = {packets}\nflows = {flows}\n{more}\n"


def reader(cpus: str | None = None, more: str = "", kind: str = "reader") -> str:
    """An `[[app]]` that reads UDP port 5001."""
    place = "" if cpus is None else f"cpus = {cpus}\n"
    return f'[[app]]\nkind = "{kind}"\nprotocol = "udp"\nport = 5001\n{place}{more}\n'


SINK: Final = '[[app]]\nprotocol = "udp"\nport = 5001\n'
EACH: Final = 'sockets = "each"\n'
TCP: Final = '[[app]]\nkind = "reader"\nprotocol = "tcp"\nport = 5001\n'
TRAINS: Final = """[[traffic]]
protocol = "tcp"
pattern = "trains"
rate_pps = 800_000
packets = 4000
flows = 24
size = 1518
"""
BURNER: Final = '[[app]]\nkind = "burner"\ncpus = 0\n[run]\nduration = "6ms"\n'
ROUND_PRICES: Final = "[machine.prices]\n" + "".join(
    f"{name} = {100 if index % 3 else 200}\n" for index, name in enumerate(PRICE_NAMES)
)

CONFIGURATIONS: Final[dict[str, str]] = {
    "one queue overloaded": machine(4, 1, nic="ring = 256")
    + udp(3_500_000, 4000, 200)
    + reader("[1, 2, 3]", "threads = 3\n" + EACH),
    "one queue overloaded, sink": machine(2, 1) + udp(4_000_000, 4000) + SINK,
    "rss over 4": machine(4, 4) + udp(4_000_000, 5000, 300) + reader(None, "threads = 4\n" + EACH),
    "rps all to all": machine(8, 8)
    + "[set]\n"
    + rps(8, "ff")
    + udp(6_000_000, 6000, 500)
    + reader(None, "threads = 8\n" + EACH),
    "rps all to all, sink": machine(8, 8) + "[set]\n" + rps(8, "ff") + udp(9_000_000, 6000, 500) + SINK,
    "rps all to all, 6.1": machine(8, 8, "6.1") + "[set]\n" + rps(8, "ff") + udp(6_000_000, 5000, 500) + SINK,
    "threaded napi, free to move, with rps": machine(4, 2)
    + "[set]\n"
    + '"/sys/class/net/eth0/threaded" = 1\n'
    + rps(2, "c")
    + udp(2_500_000, 5000, 200)
    + reader("3", "batch = 4\n"),
    "rps to the own cpu": machine(2, 2)
    + "[set]\n"
    + '"/sys/class/net/eth0/queues/rx-0/rps_cpus" = "1"\n"/sys/class/net/eth0/queues/rx-1/rps_cpus" = "2"\n'
    + udp(2_500_000, 4000)
    + reader("[0, 1]", "threads = 2\n" + EACH),
    "small buffer, reader elsewhere": machine(2, 1)
    + udp(1_500_000, 4000)
    + reader("1", "rcvbuf = 4096\nwork_ns = 900\n"),
    "small buffer, reader elsewhere, 6.18": machine(2, 1, "6.18")
    + udp(1_500_000, 4000)
    + reader("1", "rcvbuf = 4096\nwork_ns = 900\n"),
    "reader on the softirq's cpu, 6.1": machine(2, 1, "6.1") + udp(900_000, 4000) + reader("0", "work_ns = 500\n"),
    "reader on the softirq's cpu, 6.9": machine(2, 1, "6.9") + udp(900_000, 4000) + reader("0", "work_ns = 500\n"),
    "several cpus post to one socket": machine(5, 4) + udp(2_000_000, 5000, 200) + reader("4", "batch = 8\n"),
    "several threads on one socket": machine(4, 2)
    + udp(1_200_000, 4000)
    + reader(None, "threads = 4\nwork_ns = 2000\n"),
    "rfs, reader free to move": machine(4, 2)
    + "[set]\n"
    + rfs(2, "f")
    + udp(700_000, 3000, 1)
    + reader(None, "work_ns = 1000\n")
    + TCP
    + '[[traffic]]\nname = "stream"\nprotocol = "tcp"\nrate_pps = 500_000\npackets = 3000\nflows = 12\nsize = 400\n',
    "rfs, readers pinned": machine(4, 2)
    + "[set]\n"
    + rfs(2, "f")
    + '[[traffic]]\nprotocol = "tcp"\nrate_pps = 900_000\npackets = 4000\nflows = 40\nsize = 200\n'
    + TCP
    + "threads = 3\ncpus = [1, 2, 3]\nwork_ns = 1500\n",
    "rfs, readers move, 6.18": machine(4, 4, "6.18")
    + "[set]\n"
    + rfs(4, "f", 64)
    + '[[traffic]]\nprotocol = "tcp"\nrate_pps = 1_200_000\npackets = 4000\nflows = 60\nsize = 300\n'
    + TCP
    + "threads = 3\nwork_ns = 1500\n"
    + '[[app]]\nkind = "burner"\nthreads = 2\n[run]\nduration = "8ms"\n',
    "tcp read elsewhere, frees deferred": machine(4, 2, nic="affinity = [0, 1]")
    + TRAINS
    + TCP
    + "threads = 2\ncpus = [2, 3]\n"
    + EACH,
    "small lists of deferred frees, with rps": machine(4, 1, "6.1")
    + '[set]\n"net.core.skb_defer_max" = 6\n'
    + rps(1, "c")
    + '[[traffic]]\nprotocol = "tcp"\nrate_pps = 1_000_000\npackets = 3000\nflows = 40\nsize = 200\n'
    + TCP
    + "threads = 3\nwork_ns = 400\n",
    "udp frees deferred by node, 6.18": machine(6, 2, "6.18", "nodes = 3")
    + udp(2_500_000, 5000, 200)
    + reader("[1, 3, 5]", "threads = 3\nbatch = 16\nrcvbuf = 300000\n" + EACH),
    "rfs, all flows in one slot": machine(4, 1)
    + "[set]\n"
    + '"net.core.rps_sock_flow_entries" = 4096\n"/sys/class/net/eth0/queues/rx-0/rps_flow_cnt" = 1\n'
    + rps(1, "f")
    + '[[traffic]]\nprotocol = "tcp"\nrate_pps = 1_500_000\npackets = 3000\nflows = 12\nsize = 200\n'
    + TCP
    + "threads = 3\ncpus = [1, 2, 3]\n",
    "flow limit and an elephant": machine(3, 1)
    + '[set]\n"net.core.flow_limit_cpu_bitmap" = "7"\n"net.core.netdev_max_backlog" = 60\n'
    + rps(1, "2")
    + udp(900_000, 2000, 40)
    + udp(1_500_000, 3000, 1, 'name = "elephant"')
    + reader("1", "work_ns = 100\n"),
    "short backlogs, two senders": machine(3, 2)
    + '[set]\n"net.core.netdev_max_backlog" = 20\n'
    + rps(2, "4")
    + udp(3_000_000, 5000)
    + SINK,
    "tcp trains with gro": machine(2, 1) + TRAINS + TCP,
    "tcp trains over rps": machine(4, 2) + "[set]\n" + rps(2, "c") + TRAINS + TCP + "threads = 2\n",
    "tcp readers with epoll, each": machine(4, 2)
    + '[[traffic]]\nprotocol = "tcp"\nrate_pps = 1_000_000\npackets = 4000\nflows = 30\nsize = 600\ntcp_timestamps = true\n'
    + TCP
    + "threads = 4\nwork_ns_per_byte = 0.5\n"
    + EACH,
    "captured traffic": machine(2, 2) + '[capture]\nfile = "mixed"\nrate_pps = 500_000\nspread = 2\n',
    "captured traffic over rps, 6.12": machine(4, 2, "6.12")
    + "[set]\n"
    + rps(2, "f")
    + '[capture]\nfile = "mixed"\nrate_pps = 800_000\nrepeat = 2\n',
    "equal nanoseconds": machine(4, 4, more=ROUND_PRICES, nic="adaptive_rx = false\nrx_usecs = 0")
    + "[set]\n"
    + rps(4, "f")
    + "".join(
        udp(500_000, 1000, 16, f'name = "s{index}"\npattern = "constant"\nsrc_port = {33000 + index * 100}')
        for index in range(4)
    )
    + reader(None, "threads = 4\n"),
    "equal nanoseconds, overloaded": machine(4, 4, "6.1", more=ROUND_PRICES, nic="adaptive_rx = false\nrx_usecs = 2")
    + '[set]\n"net.core.netdev_max_backlog" = 30\n"net.core.netdev_budget" = 64\n'
    + rps(4, "7")
    + "".join(
        udp(1_000_000, 1000, 16, f'name = "s{index}"\npattern = "constant"\nsrc_port = {33000 + index * 100}')
        for index in range(4)
    )
    + reader("3", "rcvbuf = 8192\nthreads = 2\n"),
    "hz 1000": machine(2, 1, more="hz = 1000") + udp(2_000_000, 5000) + reader("0"),
    "two nodes": machine(4, 2, more="nodes = 2")
    + "[set]\n"
    + rps(2, "f")
    + udp(2_500_000, 5000)
    + reader("[0, 3]", "threads = 2\n"),
    "budget 64": machine(2, 2, nic="affinity = [0]")
    + '[set]\n"net.core.netdev_budget" = 64\n'
    + udp(2_500_000, 5000)
    + reader("1"),
    "short time limit": machine(2, 2, more="hz = 1000", nic="affinity = [0]")
    + '[set]\n"net.core.netdev_budget_usecs" = 1\n"net.core.netdev_budget" = 10000\n'
    + udp(2_500_000, 6000)
    + SINK,
    "deferred interrupts": machine(2, 2)
    + '[set]\n"/sys/class/net/eth0/gro_flush_timeout" = 20000\n"/sys/class/net/eth0/napi_defer_hard_irqs" = 3\n'
    + TRAINS
    + udp(300_000, 2000)
    + TCP
    + SINK,
    "6.12": machine(4, 2, "6.12")
    + "[set]\n"
    + rps(2, "f")
    + udp(2_800_000, 5000)
    + reader(None, "threads = 2\n" + EACH),
    "6.18": machine(4, 2, "6.18")
    + "[set]\n"
    + rfs(2, "f")
    + udp(2_800_000, 5000)
    + reader(None, "threads = 2\n" + EACH),
    "a burner beside the softirq": machine(2, 1, "6.1") + udp(1_000_000, 4000) + reader("0") + BURNER,
    "a busy reader": machine(3, 2) + udp(900_000, 3000) + reader("2", kind="busy") + '[run]\nduration = "5ms"\n',
    "two vectors for six queues": machine(3, 6, nic="vectors = 2\naffinity = [0, 0]")
    + "[set]\n"
    + rps(6, "6")
    + udp(2_500_000, 5000)
    + reader(None, "threads = 3\n"),
}

CPU: Final = "/sys/devices/system/cpu/cpu{}/online"

HOTPLUG: Final[dict[str, tuple[str, list[Write]]]] = {
    "a reader's cpu goes and comes": (
        machine(3, 2) + udp(1_000_000, 4000) + reader("[1, 2]", "threads = 2\n" + EACH),
        [(700_123, CPU.format(2), "0"), (2_400_321, CPU.format(2), "1")],
    ),
    "an rps target goes and comes": (
        machine(4, 2) + "[set]\n" + rps(2, "c") + udp(1_600_000, 5000) + reader("0"),
        [(500_007, CPU.format(3), "0"), (1_500_009, CPU.format(3), "1")],
    ),
    "an interrupted cpu goes and comes": (
        machine(4, 4) + "[set]\n" + rps(4, "f") + udp(2_500_000, 5000) + SINK,
        [
            (400_000, CPU.format(1), "0"),
            (600_000, CPU.format(0), "0"),
            (900_000, CPU.format(1), "1"),
            (1_200_000, CPU.format(2), "0"),
            (1_400_000, CPU.format(0), "1"),
        ],
    ),
}


ETHTOOL: Final[dict[str, tuple[str, list[Write]]]] = {
    "queues shrink and grow under load": (
        machine(4, 4, nic="adaptive_rx = false\nring = 256")
        + "[set]\n"
        + rps(4, "f")
        + udp(6_000_000, 3000, 200)
        + reader(None, "threads = 4\n" + EACH),
        [
            (200_000, "ethtool", "-L eth0 combined 1"),
            (300_000, "ethtool", "-L eth0 combined 3"),
            (400_000, "ethtool", "-L eth0 combined 2 rx 2"),
        ],
    ),
    "rings are remade under load, threaded": (
        machine(3, 2) + '[set]\n"/sys/class/net/eth0/threaded" = 1\n' + udp(4_000_000, 2500, 100) + SINK,
        [(300_000, "ethtool", "-G eth0 rx 64"), (450_000, "ethtool", "-G eth0 rx 4096")],
    ),
    "queues vanish with what gro holds": (
        machine(4, 4, nic="adaptive_rx = false\nrx_usecs = 10")
        + '[set]\n"/sys/class/net/eth0/gro_flush_timeout" = 40000\n'
        + TRAINS
        + TCP,
        [(1_000_000, "ethtool", "-L eth0 combined 1"), (2_000_000, "ethtool", "-L eth0 combined 4")],
    ),
    "steering, features and intervals change": (
        machine(4, 4) + "[set]\n" + rps(4, "c") + udp(3_000_000, 2600, 100) + reader("3", "batch = 8\n"),
        [
            (100_001, "ethtool", "-X eth0 weight 1 3"),
            (200_002, "ethtool", "-K eth0 rxhash off gro off"),
            (300_003, "ethtool", "-C eth0 adaptive-rx off adaptive-tx off rx-usecs 20 rx-usecs-high 60"),
            (400_004, "ethtool", "-X eth0 default"),
            (500_005, "ethtool", "-N eth0 rx-flow-hash udp4 sd"),
            (600_006, "ethtool", "-K eth0 rxhash on rx off"),
            (700_007, "ethtool", "-L eth0 combined 2"),
        ],
    ),
}


class Witness:
    """Writes down each skb at the demux and each drop, with CPU and time, in the order of time."""

    def __init__(self) -> None:
        self.seen: list[tuple[int, int, int]] = []
        self.dropped: list[tuple[int, DropReason]] = []

    def watch(self, built: Built) -> None:
        """Look on from now on."""
        if isinstance(built.machine, TwinMachine):
            built.machine.slow_down(built.stack)
        built.machine.net.taps.append(self._tap)
        built.machine.ledger.on_drop = self._drop

    def _tap(self, sd: SoftnetData, skb: Skb) -> None:
        cpu: Cpu = sd.cpu
        self.seen.append((cpu.local_now_ns, cpu.index, skb.number))

    def _drop(self, skb: Skb, reason: DropReason) -> None:
        self.dropped.append((skb.number, reason))


def outcome(text: str, machine_class: type[Machine], writes: list[Write] | None) -> tuple[bytes, object, object]:
    witness = Witness()
    built = play(text, 7, machine_class, writes=writes, prepare=witness.watch)
    return document(built), sorted(witness.seen), sorted(witness.dropped)


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_the_slow_twin_counts_and_measures_the_same(name: str) -> None:
    text = CONFIGURATIONS[name]
    fast = outcome(text, Machine, None)
    assert fast == outcome(text, TwinMachine, None)
    # Nobody looks on: packets take the straight ways that a tap closes.
    assert document(play(text, 7, Machine)) == fast[0]


@settings(FEW, max_examples=12)
@given(scenario_texts(max_packets=200))
def test_the_slow_twin_agrees_on_random_scenarios(text: str) -> None:
    fast = outcome(text, Machine, None)
    assert fast == outcome(text, TwinMachine, None)
    assert document(play(text, 7, Machine)) == fast[0]


@settings(FEW, max_examples=12)
@given(
    scenario_texts(max_packets=200),
    st.lists(st.tuples(st.integers(0, 900_000), st.integers(0, 5), st.integers(0, 1)), min_size=1, max_size=8),
)
def test_the_slow_twin_agrees_while_cpus_come_and_go(text: str, changes: list[tuple[int, int, int]]) -> None:
    cpus = make(text).machine.cpus
    writes = [(at_ns, CPU.format(cpu % len(cpus)), str(online)) for at_ns, cpu, online in changes]
    fast = outcome(text, Machine, writes)
    assert fast == outcome(text, TwinMachine, writes)
    assert document(play(text, 7, Machine, writes=writes)) == fast[0]


@pytest.mark.parametrize("name", HOTPLUG)
def test_the_slow_twin_takes_cpus_away_and_back_alike(name: str) -> None:
    text, writes = HOTPLUG[name]
    assert outcome(text, Machine, writes) == outcome(text, TwinMachine, writes)


@pytest.mark.parametrize("name", ETHTOOL)
def test_the_slow_twin_takes_settings_of_the_nic_alike(name: str) -> None:
    text, writes = ETHTOOL[name]
    fast = outcome(text, Machine, writes)
    assert fast == outcome(text, TwinMachine, writes)
    # Nobody looks on, and again: the same bytes.
    assert document(play(text, 7, Machine, writes=writes)) == fast[0]


@settings(FEW, max_examples=8)
@given(
    scenario_texts(max_packets=200),
    st.lists(st.tuples(st.integers(0, 250_000), ethtool_words()), min_size=1, max_size=6),
    st.lists(st.tuples(st.integers(0, 250_000), st.integers(0, 5), st.integers(0, 1)), max_size=2),
)
def test_the_slow_twin_agrees_while_the_nic_is_set_anew_and_cpus_come_and_go(
    text: str, commands: list[tuple[int, str]], changes: list[tuple[int, int, int]]
) -> None:
    cpus = len(make(text).machine.cpus)
    writes = [(at_ns, "ethtool", words) for at_ns, words in commands]
    writes += [(at_ns, CPU.format(cpu % cpus), str(online)) for at_ns, cpu, online in changes]
    assert outcome(text, Machine, writes) == outcome(text, TwinMachine, writes)
