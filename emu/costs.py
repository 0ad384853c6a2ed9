"""Costs: what each piece of work takes, as integers a CPU can charge.

A `CostProfile` is one machine: a clock and a `Price` for every stage, each with its source. `resolve` turns it, with a
scenario's overrides, into `Costs`: integer nanoseconds (picoseconds per byte), which is all that per-packet code sees.
A price's cycles are the CPU's work and follow the clock; its nanoseconds are the memory's or the bus's and do not.
Leaves out: cache warmth beyond first touch, clock changes, hyperthreads. The profiles stand in `emu/profiles.py`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from difflib import get_close_matches
from math import isfinite
from types import MappingProxyType
from typing import Final

from emu.errors import ConfigError

MAX_PRICE: Final = 10**9
"""Largest price accepted, in ns (or ps for the per-byte ones): one second for one item is no price."""

_NO_OVERRIDES: Final[Mapping[str, float]] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """What one stage takes for one item: `cycles` of the CPU's clock plus `ns` of memory, bus or device."""

    cycles: float = 0
    ns: float = 0
    source: str
    """Who measured it, or "not published: free parameter" and what the guess rests on."""

    def at(self, clock_ghz: float) -> float:
        """Nanoseconds on a CPU of `clock_ghz`."""
        return self.cycles / clock_ghz + self.ns


@dataclass(frozen=True, slots=True, kw_only=True)
class Costs:
    """Prices of one machine, resolved: integers >= 0, `_ns` per item named below, `_ps` per byte."""

    hardirq_ns: int
    """A device's hard interrupt: entry, MSI-X handler with napi_schedule, exit."""
    softirq_entry_ns: int
    """A round of handle_softirqs, without the handlers it runs."""
    net_rx_action_ns: int
    """A call of net_rx_action, without its polls."""
    napi_poll_ns: int
    """A poll of a device NAPI, besides its frames: ring bookkeeping, completion."""
    driver_rx_ns: int
    """A received frame: descriptor, DMA sync, first touch of the data, skb allocated and built."""
    driver_drop_ns: int
    """A frame the driver recycles: descriptor, DMA sync, first touch, no skb. Only an XDP program asks for that."""
    gro_receive_ns: int
    """A frame that GRO looks up in full and cannot merge. In place of gro_early."""
    gro_early_ns: int
    """A frame that GRO lets pass at an early exit. GRO off is the zero of this scale: such a device pays neither."""
    gro_merge_ns: int
    """A frame that GRO merges into a held one, lookup included. In place of gro_receive."""
    deliver_skb_ns: int
    """An skb through the core demux."""
    get_rps_cpu_ns: int
    """The steering decision for an skb whose hash is known."""
    flow_dissect_ns: int
    """A software flow hash: dissection and SipHash."""
    enqueue_to_backlog_ns: int
    """An skb put into a backlog, paid by the CPU that steers."""
    ipi_send_ns: int
    """An RPS IPI sent."""
    ipi_receive_ns: int
    """An RPS IPI taken: hard interrupt entry, handler, exit."""
    process_backlog_ns: int
    """A poll of the backlog NAPI, besides its skbs."""
    backlog_dequeue_ns: int
    """An skb out of the backlog, with the first touch of what another CPU's cache holds. No remote_skb on top."""
    ip_rcv_ns: int
    """An IPv4 skb: header checks up to PRE_ROUTING."""
    ipv6_rcv_ns: int
    """The same for IPv6."""
    udp_rcv_ns: int
    """A UDP skb: route, local delivery, socket lookup, queueing."""
    tcp_rcv_ns: int
    """A TCP skb, merged or not: route, local delivery, lookup, queueing; no ACK."""
    icmp_rcv_ns: int
    """An ICMP skb: route, local delivery, handler; no reply."""
    other_rcv_ns: int
    """An skb of any other protocol (ARP, LLC, unknown)."""
    sock_wake_ns: int
    """A wake-up of a sleeping reader (try_to_wake_up), paid by the waker."""
    skb_free_ns: int
    """An skb freed, by whoever frees it."""
    remote_free_ns: int
    """An skb freed on another CPU than the one that allocated it, besides skb_free."""
    skb_defer_ns: int
    """An skb put on the list of the CPU that allocated it, for that one to free: in place of skb_free and remote_free."""
    refill_ns: int
    """A receive descriptor given back to the NIC."""
    recvmsg_ns: int
    """A message in a receive call, besides syscall, copy, skb_free and, if another CPU received it, remote_skb."""
    syscall_ns: int
    """Entry to and exit from a system call."""
    copy_ps: int
    """A byte copied to user space."""
    csum_ps: int
    """A byte summed on its own."""
    csum_copy_ps: int
    """A byte summed while it is copied, besides copy."""
    context_switch_ns: int
    """A switch from one process to another."""
    resched_ipi_ns: int
    """A reschedule IPI taken, paid by its target."""
    numa_cross_ns: int
    """An skb first touched on another node than it was filled on, by a CPU or by the device. In place of remote_skb."""
    remote_skb_ns: int
    """An skb first touched on another CPU of the same node."""
    timer_ns: int
    """A timer interrupt: entry, one callback, exit."""
    idle_exit_ns: int
    """From a shallow idle state to the first instruction."""
    itr_program_ns: int
    """Interrupt moderation of one vector written to the NIC."""


def _price_name(field_name: str) -> str:
    """`hardirq_ns` is priced as `hardirq`; `copy_ps` keeps its name, because its unit differs."""
    return field_name.removesuffix("_ns")


PRICE_NAMES: Final = tuple(_price_name(field.name) for field in fields(Costs))
"""Every name a profile must price and an override may use."""


@dataclass(frozen=True, slots=True)
class CostProfile:
    """The prices of one machine. Raises ConfigError when a price is missing, unknown, negative or no number."""

    name: str
    clock_ghz: float
    """Clock of the CPU while it works, above 0."""
    description: str
    prices: Mapping[str, Price]
    """One `Price` for each of `PRICE_NAMES`."""

    def __post_init__(self) -> None:
        if not (isfinite(self.clock_ghz) and self.clock_ghz > 0):
            raise ConfigError(f"cost profile {self.name!r}: a clock of {self.clock_ghz} GHz; it must be above 0")
        for name in self.prices:
            _check_name(name, f"cost profile {self.name!r}")
        for name in PRICE_NAMES:
            if name not in self.prices:
                raise ConfigError(f"cost profile {self.name!r} has no price for {name!r}")
            price = self.prices[name]
            if not (isfinite(price.cycles) and isfinite(price.ns) and price.cycles >= 0 and price.ns >= 0):
                raise ConfigError(f"cost profile {self.name!r}: {name!r} costs {price.cycles} cycles and {price.ns} ns")

    def resolve(self, overrides: Mapping[str, float] = _NO_OVERRIDES) -> Costs:
        """The profile's prices as integers, rounded half up, with `overrides` in their place.

        An override is in ns, for the names that end in `_ps` in ps, from 0 to `MAX_PRICE`. Raises ConfigError for an
        unknown name (naming the nearest) and for a value that is negative, not finite or too large.
        """
        for name, value in overrides.items():
            _check_name(name, "costs")
            if not 0 <= value <= MAX_PRICE:  # False for NaN
                unit = "ps" if name.endswith("_ps") else "ns"
                raise ConfigError(f"costs: {name} = {_shown(value)} {unit} is not between 0 and {MAX_PRICE} {unit}")
        resolved: dict[str, int] = {}
        for field in fields(Costs):
            name = _price_name(field.name)
            if name in overrides:
                value = overrides[name]
            else:
                value = self.prices[name].at(self.clock_ghz) * (1000 if name.endswith("_ps") else 1)
            resolved[field.name] = int(value + 0.5)
        return Costs(**resolved)


def _check_name(name: str, where: str) -> None:
    if name not in PRICE_NAMES:
        nearest = get_close_matches(name, PRICE_NAMES, n=1, cutoff=0.0)[0]
        raise ConfigError(f"{where}: there is no price {name!r}; the nearest is {nearest!r}")


def _shown(value: float) -> str:
    """`value` for a message; integers too long to print (or to be a float) by their size."""
    if isinstance(value, int) and value.bit_length() > 64:
        return f"an integer of {value.bit_length()} bits"
    return str(value)
