"""A hand-operated network device on one CPU: frames are laid on its queues, FIRE polls them, a tap logs what goes up.

It stands alone: a real Cpu, Net, SoftnetData and Napi, but no turns. net_rx_action is driven step by step as a coroutine that
never has anything to wait for.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

from cpus.cpu import Cpu
from emu.clock import Clock
from emu.headers import (
    ETH_P_8021AD,
    ETH_P_8021Q,
    ETH_P_IP,
    ETH_P_IPV6,
    IPPROTO_TCP,
    IPPROTO_UDP,
    Frame,
    HeaderTable,
)
from emu.jiffies import Jiffies
from emu.ledger import Ledger
from emu.profiles import profile_for
from emu.rules import rules_for
from emu.settings import NetCoreSettings
from emu.skb import (
    CHECKSUM_NONE,
    HASH_L4,
    PACKET_HOST,
    PACKET_OTHERHOST,
    Received,
    Skb,
)
from netstack.offloads import Offloads, register_offloads
from softirq.completion import napi_complete_done
from softirq.device import NetDevice
from softirq.flow_dissector import FlowDissector
from softirq.gro import GroResult, napi_gro_receive
from softirq.napi import Napi, napi_schedule
from softirq.net import Net
from softirq.net_rx_action import net_rx_action
from softirq.softnet_data import SoftnetData

DEVICE_MAC = bytes.fromhex("020000000001")
HOST_MAC = DEVICE_MAC
START_NS = 100_000_000_000
"""Late enough that no jiffy is 0."""


@dataclass
class Mode:
    """How the driver builds its skbs."""

    summed: int = CHECKSUM_NONE
    split: bool = False
    """Headers in the head, payload in a page fragment."""
    kmalloc: bool = False

    @classmethod
    def from_recording(cls, mode: dict[str, int]) -> Mode:
        return cls(mode.get("summed", 0), "headlen" in mode, "kmalloc" in mode)


@dataclass
class Laid:
    """A frame on a queue and what the descriptor says of it."""

    frame: Frame
    number: int
    hash: int | None = None
    vlan: int | None = None


def split_at(data: bytes) -> int:
    """Where the test NIC splits a frame: behind a TCP or UDP header right behind IP, whatever those headers claim; else nowhere."""
    at, ethertype = 12, int.from_bytes(data[12:14], "big")
    while ethertype in (ETH_P_8021Q, ETH_P_8021AD):
        at += 4
        ethertype = int.from_bytes(data[at : at + 2], "big")
    at += 2
    if ethertype == ETH_P_IP and len(data) >= at + 20:
        protocol, at = data[at + 9], at + (data[at] & 15) * 4
    elif ethertype == ETH_P_IPV6 and len(data) >= at + 40:
        protocol, at = data[at + 6], at + 40
    else:
        return len(data)
    if protocol == IPPROTO_TCP and len(data) >= at + 20:
        return min(at + max((data[at + 12] >> 4) * 4, 20), len(data))
    if protocol == IPPROTO_UDP and len(data) >= at + 8:
        return at + 8
    return len(data)


@dataclass
class HandDevice:
    """`queues` NAPIs on CPU 0. `log` takes (kind, what) in order."""

    release: str = "6.12"
    hz: int = 250
    queues: int = 1
    mode: Mode = field(default_factory=Mode)
    mac: bytes = HOST_MAC

    def __post_init__(self) -> None:
        rules = rules_for(self.release)
        jiffies = Jiffies(self.hz)
        costs = profile_for("broadwell-3.6").resolve()
        clock = Clock()
        self.cpu = Cpu(0, 0, clock, costs, rules, jiffies)
        self.cpu.local_now_ns = START_NS
        self.cpu.interruptible = _at_once  # type: ignore[method-assign]
        settings = NetCoreSettings(1, jiffies.netdev_budget_usecs_default)
        self.net = Net(clock, rules, costs, jiffies, settings, Ledger(), FlowDissector(bytes(16)))
        self.sd = SoftnetData(self.net, self.cpu)
        self.net.softnet.append(self.sd)
        self.offloads: Offloads = register_offloads(self.net)
        self.dev = NetDevice("fn0", self.mac, self.queues)
        self.napis = [HandNapi(self, index) for index in range(self.queues)]
        self.dev.napis.extend(self.napis)
        self.table = HeaderTable()
        self.log: list[tuple[str, dict[str, Any]]] = []
        self.delivered: list[Skb] = []
        self.net.taps.append(self._tap)
        self.on_out: Callable[[Skb], None] = lambda skb: None
        self.laid = 0
        self.split: dict[int, int] = {}
        """Number of a frame -> its bytes that are not in a page fragment."""

    def _tap(self, sd: SoftnetData, skb: Skb) -> None:
        self.delivered.append(skb)
        self.log.append(("out", {"skb": skb}))
        self.on_out(skb)

    def lay(self, queue: int, data: bytes, hash_: int | None = None, vlan: int | None = None) -> None:
        """Put a frame on a queue."""
        self.napis[queue].ring.append(Laid(self.table.parse(data), self.laid, hash_, vlan))
        self.laid += 1

    def fire(self, *queues: int) -> None:
        """The interrupt: schedule the queues' NAPIs, then run softirqs until nothing is listed."""
        for queue in queues:
            napi_schedule(self.sd, self.napis[queue])
        self.run()

    def run(self) -> None:
        """Run NET_RX until no NAPI is listed."""
        while self.sd.poll_list:
            _drive(net_rx_action(self.sd))

    def sleep(self, ns: int) -> None:
        """Let time pass, taking the timers that expire meanwhile."""
        end = self.cpu.local_now_ns + ns
        mailbox = self.cpu.mailbox
        while (at := mailbox.next_ns()) <= end:
            self.cpu.local_now_ns = max(at, self.cpu.local_now_ns)
            interrupt = mailbox.take(at)
            assert interrupt is not None
            interrupt.handle(self.cpu)
            self.run()
        self.cpu.local_now_ns = end

    def make_skb(self, laid: Laid, queue: int) -> Skb:
        """What the driver hands over."""
        frame = laid.frame
        hdr = frame.hdr
        skb = Skb(
            hdr,
            laid.number,
            frame.wire_bytes,
            frame.payload_bytes,
            frame.ip_id,
            frame.seq,
            0,
            frame.data,
            frame.wire_bytes - 14,
        )
        skb.received = Received(self.dev, queue)
        skb.rx_ns = self.cpu.local_now_ns
        skb.ip_summed = self.mode.summed
        skb.head_frag = not self.mode.kmalloc
        if hdr.dst_mac != self.mac:
            skb.pkt_type = PACKET_OTHERHOST
        else:
            skb.pkt_type = PACKET_HOST
        if laid.hash is not None:
            skb.hash = laid.hash
            skb.hash_kind = HASH_L4
        if laid.vlan is not None:
            skb.vlan_tci = ETH_P_8021Q << 16 | laid.vlan
        if self.mode.split and frame.data is not None:
            head = split_at(frame.data)
            if head < frame.wire_bytes:
                skb.frags = 1
                skb.split = True
                self.split[laid.number] = head
        return skb


class HandNapi(Napi):
    """Polls its ring; logs each poll and each frame."""

    def __init__(self, device: HandDevice, index: int) -> None:
        super().__init__(device.dev, f"fn0-{index}")
        self.device = device
        self.index = index
        self.ring: list[Laid] = []

    def state(self) -> dict[str, Any]:
        return {"buckets": [len(bucket) for bucket in self.gro_hash], "rx_count": self.rx_count}

    def poll(self, sd: SoftnetData, budget: int) -> int:
        device = self.device
        device.log.append(("poll", {"queue": self.index, "budget": budget, **self.state()}))
        work = 0
        while work < budget and self.ring:
            laid = self.ring.pop(0)
            result: GroResult = napi_gro_receive(sd, self, device.make_skb(laid, self.index))
            device.log.append(("in", {"queue": self.index, "idx": laid.number, "ret": result.name, **self.state()}))
            work += 1
        done = None
        if work < budget:
            done = int(napi_complete_done(sd, self, work))
        device.log.append(
            ("pollend", {"queue": self.index, "budget": budget, "work": work, "complete_done": done, **self.state()})
        )
        return work


async def _at_once() -> None:
    """Nothing else happens on this machine."""


def _drive(coroutine: Coroutine[Any, Any, None]) -> None:
    """Run a coroutine that never suspends."""
    try:
        coroutine.send(None)
    except StopIteration:
        return
    raise AssertionError("net_rx_action waited for something")
