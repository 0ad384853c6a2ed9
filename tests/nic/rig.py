"""A small machine with a NIC on a scripted wire, for tests: prices are round numbers, every packet is consumed at the demux."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

import trio

from emu.clock import KIND_USER, NEVER, Actor
from emu.costs import PRICE_NAMES, Costs
from emu.headers import ETH_P_IP, ETH_P_IPV6, Headers, HeaderTable
from emu.profiles import PROFILES
from emu.rules import rules_for
from emu.skb import Skb
from nic.nic import Nic
from nic.rss import Rss
from nic.toeplitz import random_key
from nic.vector import MsixVector, VectorMatrix
from nic.wire import Source, Wire
from scenarios.flows import make_headers
from scenarios.machine import Machine
from softirq.device import NetDevice
from softirq.net import PacketType
from softirq.softnet_data import SoftnetData

MAC = b"\x02\x00\x00\x00\x00\x01"
OTHER_MAC = b"\x02\x00\x00\x00\x00\x02"

HARDIRQ_NS = 1000
POLL_NS = 200
RX_NS = 100
REFILL_NS = 10


def round_costs(**overrides: float) -> Costs:
    """Only the driver's work takes time: 1,000 ns an interrupt, 200 a poll, 100 a frame, 10 a descriptor given back."""
    prices: dict[str, float] = dict.fromkeys(PRICE_NAMES, 0)
    prices.update(hardirq=HARDIRQ_NS, napi_poll=POLL_NS, driver_rx=RX_NS, refill=REFILL_NS)
    prices.update(overrides)
    return next(iter(PROFILES.values())).resolve(prices)


def udp_headers(
    number: int = 0, dst_mac: bytes = MAC, table: HeaderTable | None = None, saddr: bytes = b"\x0a\x01\x00\x01"
) -> Headers:
    """Headers of UDP flow `number`."""
    table = HeaderTable() if table is None else table
    return make_headers(table, dst_mac + OTHER_MAC, saddr, b"\x0a\x00\x00\x01", 17, 1024 + number, 5001, 0, b"")


def frame(hdr: Headers, arrived_ns: int, wire_bytes: int = 64) -> Skb:
    """A frame of `hdr`."""
    return Skb(hdr, 0, wire_bytes, max(wire_bytes - 42, 0), 0, 0, arrived_ns, None, wire_bytes - 14)


class Script:
    """A source that sends the given frames."""

    longest_bytes = None

    def __init__(self, frames: Sequence[Skb]) -> None:
        self.frames = sorted(frames, key=lambda skb: skb.arrived_ns)
        self.at = 0

    def fill(self, until_ns: int) -> list[Skb]:
        start = self.at
        while self.at < len(self.frames) and self.frames[self.at].arrived_ns <= until_ns:
            self.at += 1
        return self.frames[start : self.at]

    def next_ns(self) -> int:
        return self.frames[self.at].arrived_ns if self.at < len(self.frames) else NEVER


class Rig:
    """`cpus` CPUs and one NIC eth0 with `queues` queues. `received` are the skbs that reached the demux, with CPU and time."""

    def __init__(
        self,
        sources: Sequence[Source] | Sequence[Skb],
        *,
        cpus: int = 2,
        queues: int = 1,
        vectors: int | None = None,
        descriptors: int = 2048,
        rx_usecs: int = 0,
        adaptive_rx: bool = False,
        gro: bool = False,
        release: str = "6.9",
        mtu: int = 1500,
        machine: type[Machine] = Machine,
        **costs: float,
    ) -> None:
        self.machine = machine([0] * cpus, rules_for(release), 1000, round_costs(**costs), seed=1)
        self.net = self.machine.net
        self.clock = self.machine.clock
        self.cpus = self.machine.cpus
        self.dev = NetDevice("eth0", MAC, queues, mtu)
        self.dev.gro = gro
        self.net.devices["eth0"] = self.dev
        wired = Wire([s for s in sources if not isinstance(s, Skb)])
        frames = [s for s in sources if isinstance(s, Skb)]
        if frames:
            wired.sources.append(Script(frames))
        self.matrix = VectorMatrix(self.cpus)
        self.rss = Rss(random_key(random.Random("1/rss key")), queues)
        self.nic = Nic(
            self.machine.rank(),
            self.net,
            self.cpus,
            self.matrix,
            self.dev,
            wired,
            self.rss,
            vectors=vectors,
            descriptors=descriptors,
            rx_usecs=rx_usecs,
            adaptive_rx=adaptive_rx,
        )
        self.machine.add(self.nic)
        self.irqs: list[tuple[int, int, int]] = []
        """(vector, CPU, time at which it was taken) of each interrupt."""
        self._record_irqs()
        self.received: list[tuple[int, int, Skb]] = []
        for ethertype in (ETH_P_IP, ETH_P_IPV6):
            self.net.ptypes[ethertype] = PacketType(ethertype, self._consume)

    def _record_irqs(self) -> None:
        irqs = self.irqs

        for vector in self.nic.vectors:
            for napi in vector.napis:
                prepare = napi.schedule_prep

                def schedule_prep(vector: MsixVector = vector, prepare: Callable[[], bool] = prepare) -> bool:
                    cpu = self.cpus[vector.cpu]
                    irqs.append((vector.index, cpu.index, cpu.local_now_ns - HARDIRQ_NS))
                    return prepare()

                napi.schedule_prep = schedule_prep  # type: ignore[method-assign]

    def _consume(self, sd: SoftnetData, skb: Skb) -> None:
        self.net.ledger.consumed_frames += skb.frames
        self.received.append((sd.index, sd.cpu.local_now_ns, skb))

    def run(self, until_ns: int = 1_000_000_000) -> Rig:
        trio.run(self.machine.run, until_ns)
        self.nic.advance(until_ns)
        self.net.ledger.check(until_ns)
        return self

    def at(self, when_ns: int, action: Callable[[], object]) -> None:
        """Call `action()` at `when_ns`, as a control write does."""
        self.machine.add(User(self.machine, when_ns, action))


class User(Actor):
    """Does one thing at one time."""

    kind = KIND_USER

    def __init__(self, machine: Machine, when_ns: int, action: Callable[[], object]) -> None:
        super().__init__("user", machine.rank())
        self._clock = machine.clock
        self._when_ns = when_ns
        self._action = action

    async def run(self) -> None:
        await self._clock.enter(self, self._when_ns, is_open=False)
        self._action()
        await self._clock.wait_open(self, NEVER)
