"""Cost profiles: the machines whose prices are known, and the published totals that the prices must add up to.

Each price has its source beside it. A figure of another machine is carried over by clock (its cycles) or as it is (its
memory nanoseconds) and says so; what nobody published says "not published: free parameter" and is a guess. Few
constants are fitted, each to the machine's own figure: no profile is tuned to another machine's table.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches
from types import MappingProxyType
from typing import Final

from emu.costs import CostProfile, Costs, Price
from emu.errors import ConfigError

NAPI_POLL_WEIGHT: Final = 64
"""Frames a poll of a saturated queue takes, hence those that share its fixed costs (rules Z1, S12)."""

_CPUMAP: Final = "J. D. Brouer, xdp-project cpumap notes 2019, E5-1650v4 at 3.6 GHz"
_GENERIC_XDP: Final = "J. D. Brouer, generic-XDP evaluation 2017, i7-6700K at 4.0 GHz"
_GETTING_STARTED: Final = "J. D. Brouer, prototype-kernel getting_started, 2.7 GHz laptop, scaled by clock"
_CAI: Final = "Cai et al., SIGCOMM 2021 artifact, 3.4 GHz Xeon 6128"
_CSUM: Final = "J. D. Brouer, xdp_frame01_checksum 2021: 1472 bytes"
_FREE: Final = "not published: free parameter, guess"

_BROADWELL_PRICES: Final[Mapping[str, Price]] = MappingProxyType(
    {
        "hardirq": Price(cycles=3600, source=f"{_FREE} (500 to 2000 ns is the usual one)"),
        "softirq_entry": Price(cycles=300, source=f"{_FREE}; a 64th of it is in every published total"),
        "net_rx_action": Price(cycles=150, source=f"{_FREE}; as softirq_entry"),
        "napi_poll": Price(cycles=150, source=f"{_FREE}; as softirq_entry"),
        "driver_rx": Price(
            cycles=65 + 97,
            ns=28,
            source=f"{_CPUMAP}: driver RX, XDP and hand-off 51 ns at best (19.4 Mpps), less refill, first touch; "
            f"{_GENERIC_XDP}: skb 12.7 + 6.7 + 4.9 ns as cycles, first touch 24 to 32 ns",
        ),
        "driver_drop": Price(cycles=65, ns=28, source=f"{_CPUMAP}: driver_rx without the skb, the same 51 ns"),
        "gro_receive": Price(cycles=94, source=f"{_CPUMAP}: 26 ns between GRO on and off"),
        "gro_early": Price(cycles=14, source=f"{_CPUMAP}: about 4 ns"),
        "gro_merge": Price(cycles=180, source=f"{_FREE}: a full lookup and as much again to merge"),
        "deliver_skb": Price(cycles=98, source=f"{_CPUMAP}: what 149 ns leaves; its split with ip_rcv a guess"),
        "get_rps_cpu": Price(cycles=60, source=f"{_FREE}: two table reads"),
        "flow_dissect": Price(cycles=150, source=f"{_FREE}"),
        "enqueue_to_backlog": Price(
            cycles=90,
            ns=40,
            source=f"{_GETTING_STARTED}: lock 12.6 + IRQs off and on 2.8 ns are 42 cycles; the rest, and the lock's "
            f"cache line coming from the other CPU: {_FREE}",
        ),
        "ipi_send": Price(cycles=600, source=f"{_FREE}"),
        "ipi_receive": Price(cycles=1500, source=f"{_FREE}"),
        "process_backlog": Price(cycles=150, source=f"{_FREE}; as napi_poll"),
        "backlog_dequeue": Price(cycles=40, ns=60, source=f"{_FREE}: a list removal and remote_skb"),
        "ip_rcv": Price(cycles=103, source=f"{_CPUMAP}: as deliver_skb; up to the drop in the raw table"),
        "ipv6_rcv": Price(cycles=123, source=f"{_FREE}: IPv4's and a fifth"),
        "udp_rcv": Price(
            cycles=454,
            source=f"{_CPUMAP}: 301 - 175 ns, from PRE_ROUTING to the failed lookup; the refusal stands for the "
            "queueing, which is not published",
        ),
        "tcp_rcv": Price(
            cycles=1500,
            source=f"{_FREE}; below the 4500 or so cycles an skb that follow from {_CAI}, for "
            "TCP/IP with ACKs and the reader's part (54.8 % of 186 % at 9 Gbps, 1448 bytes an skb)",
        ),
        "icmp_rcv": Price(cycles=454, source=f"{_FREE}: as udp_rcv"),
        "other_rcv": Price(cycles=100, source=f"{_FREE}"),
        "sock_wake": Price(cycles=1500, source=f"{_FREE}"),
        "skb_free": Price(cycles=44, source=f"{_GENERIC_XDP}: 10 to 12 ns as cycles"),
        "remote_free": Price(
            ns=60, source=f"{_FREE}; within recvmsg's 433 ns: lines of slab and page that the allocating CPU has"
        ),
        "skb_defer": Price(
            cycles=52,
            ns=40,
            source=f"{_GETTING_STARTED}: lock 12.6 + BH off and on 6.8 ns are 52 cycles; the lock's line as in "
            f"enqueue_to_backlog: {_FREE}",
        ),
        "refill": Price(cycles=18, source=f"{_FREE}; within driver_rx's 51 ns"),
        "recvmsg": Price(
            cycles=752,
            source=f"{_CPUMAP}: 433 ns with the reader on another CPU, less syscall, copy, skb_free, remote_free, remote_skb",
        ),
        "syscall": Price(cycles=324, source=f"{_FREE}; within recvmsg's 433 ns"),
        "copy_ps": Price(ns=0.105, source=f"{_CAI}: large copies, all optimisations"),
        "csum_ps": Price(ns=92 / 1472, source=f"{_CSUM} alone 92 ns"),
        "csum_copy_ps": Price(ns=54 / 1472, source=f"{_CSUM} with the copy 54 ns"),
        "context_switch": Price(cycles=3000, source=f"{_FREE}"),
        "resched_ipi": Price(cycles=1500, source=f"{_FREE}; as ipi_receive"),
        "numa_cross": Price(ns=150, source=f"{_FREE}: cross-socket transfers of an skb's lines"),
        "remote_skb": Price(ns=60, source=f"{_FREE}; within recvmsg's 433 ns"),
        "timer": Price(cycles=1500, source=f"{_FREE}; as ipi_receive"),
        "idle_exit": Price(ns=1000, source=f"{_FREE}: a halt, no deep sleep state"),
        "itr_program": Price(ns=100, source=f"{_FREE}: one posted write over PCIe"),
    }
)

_SOFTIRQ_WORK: Final = (
    *("softirq_entry", "net_rx_action", "napi_poll", "driver_rx", "driver_drop", "refill", "skb_free"),
    *("gro_receive", "gro_early", "gro_merge", "deliver_skb", "get_rps_cpu", "flow_dissect", "enqueue_to_backlog"),
    *("process_backlog", "backlog_dequeue", "ip_rcv", "ipv6_rcv", "udp_rcv", "tcp_rcv", "icmp_rcv", "other_rcv"),
)

_CLOUDFLARE_FACTOR: Final = 4.878
"""The one constant fitted to the 2015 machine: how many times Broadwell's its softirq work is (old kernel, netfilter,
slow memory). It makes the whole UDP path 2800 ns a packet with a reader that is woken for every second one: woken once, it
is still awake when the next packet comes."""


def _cloudflare_price(name: str, price: Price) -> Price:
    if name not in _SOFTIRQ_WORK:
        return replace(price, source=f"Broadwell's cycles at 2.0 GHz ({price.source})")
    return Price(
        cycles=price.cycles * _CLOUDFLARE_FACTOR,
        ns=price.ns * _CLOUDFLARE_FACTOR,
        source=f"Cloudflare 2015: about 2800 ns for the UDP softirq path, so {_CLOUDFLARE_FACTOR} times Broadwell's "
        f"({price.source})",
    )


DEFAULT_PROFILE: Final = "default"

PROFILES: Final[Mapping[str, CostProfile]] = MappingProxyType(
    {
        profile.name: profile
        for profile in (
            CostProfile(
                DEFAULT_PROFILE,
                3.0,
                "A plain modern 3 GHz server, not one measured machine: Broadwell's cycles at 3.0 GHz, nothing fitted.",
                _BROADWELL_PRICES,
            ),
            CostProfile(
                "broadwell-3.6",
                3.6,
                "Xeon E5-1650v4 at 3.6 GHz, 40G i40e, kernel 5.1, no hyperthreads (J. D. Brouer 2019).",
                _BROADWELL_PRICES,
            ),
            CostProfile(
                "xeon-2.0-2015",
                2.0,
                "Two six-core 2 GHz Xeons of Cloudflare's receive experiment (2015).",
                MappingProxyType({name: _cloudflare_price(name, price) for name, price in _BROADWELL_PRICES.items()}),
            ),
        )
    }
)
"""Every profile softnet knows."""


def profile_for(name: str) -> CostProfile:
    """The profile called `name`. Raises ConfigError naming the nearest one."""
    profile = PROFILES.get(name)
    if profile is None:
        nearest = get_close_matches(name, PROFILES, n=1, cutoff=0.0)[0]
        raise ConfigError(f"cost profile {name!r} is not one of {', '.join(PROFILES)}; the nearest is {nearest}")
    return profile


@dataclass(frozen=True, slots=True)
class PublishedPath:
    """A total that somebody measured, and the prices it is the sum of."""

    name: str
    profile: str
    published_ns: int
    """Nanoseconds a packet."""
    per_packet: Mapping[str, int]
    """Field of `Costs` -> times a packet pays it (bytes for `_ps`)."""
    per_poll: tuple[str, ...] = ()
    """Fields of `Costs` that a full poll of `NAPI_POLL_WEIGHT` packets pays once."""

    def total_ns(self, costs: Costs) -> float:
        """What `costs` makes of this path, in ns a packet."""
        total = 0.0
        price: int
        for name, times in self.per_packet.items():
            price = getattr(costs, name)
            total += times * (price / 1000 if name.endswith("_ps") else price)
        for name in self.per_poll:
            price = getattr(costs, name)
            total += price / NAPI_POLL_WEIGHT
        return total


_POLL: Final = ("softirq_entry_ns", "net_rx_action_ns", "napi_poll_ns")
_TO_IP: Final = {"driver_rx_ns": 1, "refill_ns": 1, "deliver_skb_ns": 1, "ip_rcv_ns": 1}

PUBLISHED_PATHS: Final = (
    PublishedPath("XDP RX side", "broadwell-3.6", 51, {"driver_drop_ns": 1, "refill_ns": 1}),
    PublishedPath("raw drop, GRO off", "broadwell-3.6", 149, {**_TO_IP, "skb_free_ns": 1}, _POLL),
    PublishedPath("raw drop, GRO on", "broadwell-3.6", 175, {**_TO_IP, "skb_free_ns": 1, "gro_receive_ns": 1}, _POLL),
    PublishedPath(
        "UDP lookup, no socket, GRO on",
        "broadwell-3.6",
        301,
        {**_TO_IP, "skb_free_ns": 1, "gro_receive_ns": 1, "udp_rcv_ns": 1},
        _POLL,
    ),
    PublishedPath(
        "UDP recvmsg of 18 bytes on another CPU",
        "broadwell-3.6",
        433,
        {"syscall_ns": 1, "recvmsg_ns": 1, "copy_ps": 18, "remote_skb_ns": 1, "skb_free_ns": 1, "remote_free_ns": 1},
    ),
    PublishedPath(
        "UDP softirq path, two packets to a reader woken once",
        "xeon-2.0-2015",
        2 * 2800,
        {**dict.fromkeys(_TO_IP, 2), "gro_receive_ns": 2, "udp_rcv_ns": 2, "sock_wake_ns": 1},
        2 * _POLL,
    ),
)
"""The totals the profiles were made from; each is met within rounding."""
