"""Each price is paid where its docstring says, and as often: machines on which one price is 1 us and all others are 0.

Then the time of all CPUs outside idle is the number of times it was paid (for prices a byte: the number of bytes), in us.
"""

from __future__ import annotations

import pytest

from emu.costs import PRICE_NAMES
from scenarios.build import Built
from tests.scenario_kit import finish, play

READER = """
[[app]]
kind = "reader"
protocol = "udp"
port = 5001
cpus = 1
"""
SINK = """
[[app]]
protocol = "udp"
port = 5001
"""
TCP_SINK = """
[[app]]
protocol = "tcp"
port = 5001
"""
ONE = "[[traffic]]\npattern = 'constant'\nrate_pps = 1000\nstart = '100us'\npackets = 1\n"
TRAIN = "[[traffic]]\nprotocol = 'tcp'\npattern = 'trains'\ntrain = 16\nrate_pps = 16000\nsize = 1518\npackets = 16\n"
BURST = "[[traffic]]\npattern = 'constant'\nrate_pps = 10_000_000\nstart = '100us'\npackets = 40\n"
RPS = '[set]\n"/sys/class/net/eth0/queues/rx-0/rps_cpus" = "2"\n'

TO_NAPI = {"hardirq": 1, "softirq_entry": 1, "net_rx_action": 1, "napi_poll": 1}
TO_IP = TO_NAPI | {"driver_rx": 1, "refill": 1, "gro_receive": 1, "deliver_skb": 1, "ip_rcv": 1}
TO_READER = TO_IP | {"udp_rcv": 1, "sock_wake": 1, "resched_ipi": 1, "context_switch": 2, "syscall": 1, "recvmsg": 1}
"""The reader's thread is switched to twice: at the start, when it finds nothing, and when it is woken."""
READ = TO_READER | {"remote_skb": 1, "skb_free": 1, "remote_free": 1, "copy_ps": 18}
STEERED = TO_IP | {"softirq_entry": 2, "net_rx_action": 2, "get_rps_cpu": 1, "enqueue_to_backlog": 1, "ipi_send": 1}
BACKLOG = STEERED | {"ipi_receive": 1, "process_backlog": 1, "backlog_dequeue": 1, "udp_rcv": 1, "skb_free": 1}

PATHS = {
    "read on another CPU": ("cpus = 2", "", ONE + READER, READ),
    "read on another node": (
        "cpus = 2\nnodes = 2",
        "",
        ONE + READER,
        TO_READER | {"numa_cross": 1, "skb_free": 1, "remote_free": 1, "copy_ps": 18},
    ),
    "read from another node's memory": (
        "cpus = 2\nnodes = 2",
        "node = 1",
        ONE + READER,
        READ | {"remote_skb": 0, "numa_cross": 2},
    ),
    "read on the softirq's CPU": (
        "cpus = 1",
        "",
        ONE + READER.replace("cpus = 1", "cpus = 0"),
        READ | {"resched_ipi": 0, "remote_skb": 0, "remote_free": 0},
    ),
    "taken by a sink": ("cpus = 1", "", ONE + SINK, TO_IP | {"udp_rcv": 1, "skb_free": 1}),
    "nobody listens": ("cpus = 1", "", ONE, TO_IP | {"udp_rcv": 1, "skb_free": 1}),
    "another address": ("cpus = 1", "", ONE + "dst = '10.0.0.9'\n", TO_IP | {"skb_free": 1}),
    "GRO off": ("cpus = 1", "gro = false", ONE + SINK, TO_IP | {"gro_receive": 0, "udp_rcv": 1, "skb_free": 1}),
    "IPv6": (
        "cpus = 1",
        "",
        ONE + "ip = 6\n" + SINK,
        TO_IP | {"ip_rcv": 0, "ipv6_rcv": 1, "udp_rcv": 1, "skb_free": 1},
    ),
    "RPS": ("cpus = 2", "", RPS + ONE + SINK, BACKLOG),
    "RPS without the NIC's hash": ("cpus = 2", "rxhash = false", RPS + ONE + SINK, BACKLOG | {"flow_dissect": 1}),
    "RPS to another node": ("cpus = 2\nnodes = 2", "", RPS + ONE + SINK, BACKLOG | {"numa_cross": 1}),
    # The first frame's interrupt comes at once, and finds it alone: 1 and 15 frames. The first makes a connection of its flow, whose
    # sink then takes the other skb.
    "a GRO train": (
        "cpus = 1",
        "",
        TRAIN + TCP_SINK,
        {name: 2 * times for name, times in TO_IP.items()}
        | {"driver_rx": 16, "refill": 16, "gro_merge": 14, "tcp_rcv": 2, "skb_free": 1},
    ),
    "summed while copied": (
        "cpus = 2",
        "rx_checksum = false\ngro = false",
        ONE + "size = 1000\n" + READER,
        READ | {"gro_receive": 0, "copy_ps": 954, "csum_copy_ps": 954},
    ),
}


def machine(path: tuple[str, str, str], price: str, duration: str = "3ms") -> Built:
    """A machine that has run, on which everything but `price` is free."""
    cpus, nic, rest = path
    unit = 1_000_000 if price.endswith("_ps") else 1000
    prices = "".join(f"{name} = {unit if name == price else 0}\n" for name in PRICE_NAMES)
    return play(f"""
[machine]
hz = 1000
{cpus}
[machine.prices]
{prices}
[nic]
queues = 1
affinity = "0"
{nic}
{rest}
[run]
duration = "{duration}"
""")


def paid(built: Built) -> int:
    """How often the price was paid; no ticks of applications among it."""
    work_ns = sum(sum(cpu.accounts.parts_ns()[:4]) for cpu in finish(built).cpus)
    assert work_ns % 1000 < 100, "only the price and a few single ns behind posts take time"
    return work_ns // 1000


@pytest.mark.parametrize("price", [name for name in PRICE_NAMES if name != "idle_exit"])
@pytest.mark.parametrize("path", PATHS)
def test_a_packet_pays_each_price_as_often_as_its_path_says(path: str, price: str) -> None:
    cpus, nic, rest, expected = PATHS[path]
    assert paid(machine((cpus, nic, rest), price)) == expected.get(price, 0)


def test_leaving_idle_delays_a_packet_by_its_price_once() -> None:
    waits = []
    for price in ("idle_exit", "driver_drop"):
        end = finish(machine(("cpus = 1", "", ONE + SINK), price))
        waits.append(next(latency.max_ns for latency in end.latencies if latency.stage == "total"))
        assert sum(end.cpus[0].accounts.parts_ns()[:4]) < 100, "it is idle until it has left idle"
    assert waits[0] - waits[1] == 1000


def test_whoever_drops_at_a_socket_or_a_backlog_frees() -> None:
    # A socket of 2 x 2304 bytes, the least there is, that nobody reads while the burst lasts.
    tight = READER.replace("cpus = 1", "cpus = 1\nrcvbuf = 2304\nwork_ns = 0")
    for rest, reason in (
        (BURST + tight, "SOCKET_RCVBUFF"),
        (RPS + '"net.core.netdev_max_backlog" = 2\n' + BURST + SINK, "CPU_BACKLOG"),
    ):
        built = machine(("cpus = 2", "", rest), "skb_free")
        totals = finish(built).totals
        assert totals.dropped[reason] > 5
        assert totals.dropped_frames + totals.read_frames == 40
        assert paid(built) == 40


def test_each_tick_of_a_busy_cpu_pays_a_timer() -> None:
    built = machine(("cpus = 1", "", ONE + SINK + "[[app]]\nkind = 'burner'\n"), "timer", "10500us")
    parts = finish(built).cpus[0].accounts
    assert built.machine.cpus[0].ticks == 10
    assert parts.hardirq_ns == 10_000
