"""The hand-operated network device: frames are laid on its queues, nothing moves until FIRE.

Models: a test NIC without hardware. FIRE is an inter-processor interrupt to a chosen CPU whose handler calls napi_schedule in
hard-interrupt context, in place of an MSI-X handler; HOLD keeps softirqs of a CPU waiting while hard interrupts and IPIs are still
taken there; RELEASE lets what waits run at once. Every queue has a NAPI of its own; what a descriptor would say of a frame
(hash and its kind, checksum state, stripped VLAN tag, layout in memory) is said when it is laid.
Leaves out: rings, moderation, RSS, counters of its own.
Source: the driver that recordings of real kernels were made with (README of the recordings, K7).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from cpus.interrupts import Interrupt
from emu.headers import (
    ETH_HLEN,
    ETH_P_8021AD,
    ETH_P_8021Q,
    ETH_P_IP,
    ETH_P_IPV6,
    IPPROTO_TCP,
    IPPROTO_UDP,
    Frame,
    HeaderTable,
)
from emu.skb import CHECKSUM_NONE, HASH_L4, HASH_NONE, Received, Skb
from nic.steering import packet_type
from softirq.completion import napi_complete_done
from softirq.device import NetDevice
from softirq.gro import napi_gro_receive
from softirq.napi import Napi, napi_schedule
from softirq.receive import netif_receive_skb_internal, netif_rx

if TYPE_CHECKING:
    from cpus.cpu import Cpu
    from softirq.net import Net
    from softirq.softnet_data import SoftnetData

NAPI_GRO_RECEIVE: Final = "napi_gro_receive"
NETIF_RECEIVE_SKB: Final = "netif_receive_skb"
NETIF_RX: Final = "netif_rx"
ENTRIES: Final = (NAPI_GRO_RECEIVE, NETIF_RECEIVE_SKB, NETIF_RX)
"""The functions by which a driver may hand a packet to the core."""

NET_RX_SUCCESS: Final = 0
NET_RX_DROP: Final = 1

_HEAD_OVERHEAD_BYTES: Final = 64 + 320
"""Headroom and skb_shared_info in a packet's head."""
_SK_BUFF_BYTES: Final = 256
_SMALLEST_HEAD_BYTES: Final = 1024


@dataclass(frozen=True)
class Layout:
    """How the driver builds its skbs: checksum state, headers apart from the payload, head from kmalloc, bytes of a fragment."""

    ip_summed: int = CHECKSUM_NONE
    split: bool = False
    kmalloc: bool = False
    fragment_bytes: int = 2048


class Laid(NamedTuple):
    """A frame on a queue and what its descriptor says. `hash_kind` as in `emu.skb`; `vlan` the stripped tag, -1 without."""

    frame: Frame
    number: int
    hash: int
    hash_kind: int
    vlan: int


class HandEvent(NamedTuple):
    """Something the device saw: an `irq`, the beginning (`poll`) or end (`pollend`) of a poll, or a frame handed over (`in`)."""

    kind: str
    cpu: int
    at_ns: int
    what: dict[str, Any]


class HandDevice:
    """A device `name` of `queues` queues. Its ledger account is the frames that lie on its queues or in its NAPIs."""

    def __init__(self, net: Net, name: str, address: bytes, queues: int, table: HeaderTable) -> None:
        self.net = net
        self.dev = NetDevice(name, address, queues)
        self.napis = [HandNapi(self, index) for index in range(queues)]
        self.dev.napis.extend(self.napis)
        self.table = table
        self.layout = Layout()
        self.entry = NAPI_GRO_RECEIVE
        """One of ENTRIES."""
        self.packet_ns = 0
        """Extra time that the driver takes for each packet."""
        self.laid = 0
        self.log: list[HandEvent] = []
        net.devices[name] = self.dev
        net.ledger.holders[name] = self.held_frames

    def held_frames(self) -> int:
        """Frames that were laid and have not been handed up."""
        return sum(len(napi.ring) + napi.held_frames() for napi in self.napis)

    def lay(self, queue: int, data: bytes, hash_: int | None = None, hash_kind: int = HASH_L4, vlan: int = -1) -> int:
        """Put a frame on a queue; returns its number. `hash_` None: the NIC gives none (0 is a hash); `vlan` is protocol << 16 | tci."""
        number = self.laid
        self.laid += 1
        kind = HASH_NONE if hash_ is None else hash_kind
        self.napis[queue].ring.append(Laid(self.table.parse(data), number, hash_ or 0, kind, vlan))
        self.net.ledger.arrived_frames += 1
        return number

    def fire(self, cpu: Cpu, queues: list[int], at_ns: int, sender_rank: int) -> None:
        """FIRE: schedule the NAPIs of `queues`, in this order, in an interrupt of `cpu` at `at_ns`."""
        cpu.send(Fire(self, queues), at_ns, sender_rank)

    def skb_of(self, laid: Laid, queue: int, cpu: Cpu) -> Skb:
        """What the driver builds of a frame."""
        frame = laid.frame
        layout = self.layout
        wire_bytes = frame.wire_bytes
        at_ns = cpu.local_now_ns
        skb = Skb(
            frame.hdr,
            laid.number,
            wire_bytes,
            frame.payload_bytes,
            frame.ip_id,
            frame.seq,
            at_ns,
            frame.data,
            wire_bytes - ETH_HLEN,
        )
        skb.received = Received(self.dev, queue, cpu.index)
        skb.rx_ns = at_ns
        skb.pkt_type = packet_type(frame.hdr, self.dev.address)
        skb.ip_summed = layout.ip_summed
        skb.head_frag = not layout.kmalloc
        skb.hash = laid.hash
        skb.hash_kind = laid.hash_kind
        skb.vlan_tci = laid.vlan
        head_bytes = wire_bytes
        if layout.split and frame.data is not None:
            head_bytes = split_at(frame.data)
            if head_bytes < wire_bytes:
                skb.frags = 1
                skb.split = True
        skb.truesize_bytes = _truesize_bytes(head_bytes) + skb.frags * layout.fragment_bytes
        return skb


class Fire(Interrupt):
    """The IPI that stands for the NIC's interrupt."""

    __slots__ = ("device", "queues")

    def __init__(self, device: HandDevice, queues: list[int]) -> None:
        super().__init__()
        self.device = device
        self.queues = queues

    def handle(self, cpu: Cpu) -> None:
        """fire_fn: schedule the NAPIs."""
        cpu.local_now_ns += cpu.costs.hardirq_ns
        cpu.hardirqs += 1
        device = self.device
        device.log.append(HandEvent("irq", cpu.index, cpu.local_now_ns, {"queues": self.queues}))
        sd = device.net.softnet[cpu.index]
        for queue in self.queues:
            napi_schedule(sd, device.napis[queue])


class Hold(Interrupt):
    """HOLD: from now on softirqs of the CPU wait. Holds nest."""

    __slots__ = ()

    def handle(self, cpu: Cpu) -> None:
        """local_bh_disable, as somebody who spins on the CPU would."""
        cpu.bh_disabled += 1


class Release(Interrupt):
    """RELEASE: ends one HOLD. Softirqs that wait run at once."""

    __slots__ = ()

    def handle(self, cpu: Cpu) -> None:
        """local_bh_enable: pending softirqs run inline."""
        assert cpu.bh_disabled > 0, f"cpu{cpu.index} is not held"
        cpu.bh_disabled -= 1
        cpu.do_softirq = True


class HandNapi(Napi):
    """The NAPI of one queue: hands its frames over by the device's entry, and logs each."""

    def __init__(self, device: HandDevice, index: int) -> None:
        super().__init__(device.dev, f"{device.dev.name}-{index}")
        self.device = device
        self.index = index
        self.ring: list[Laid] = []

    def state(self) -> dict[str, Any]:
        """GRO packets held in each bucket, and segments on rx_list."""
        return {"buckets": [len(bucket) for bucket in self.gro_hash], "rx_count": self.rx_count}

    def poll(self, sd: SoftnetData, budget: int) -> int:
        """fn_poll: hand over up to `budget` frames; complete if there were fewer."""
        device = self.device
        cpu = sd.cpu
        log = device.log
        entry = device.entry
        cpu.local_now_ns += cpu.costs.napi_poll_ns
        log.append(
            HandEvent("poll", cpu.index, cpu.local_now_ns, {"queue": self.index, "budget": budget, **self.state()})
        )
        work = 0
        while work < budget and self.ring:
            laid = self.ring.pop(0)
            cpu.local_now_ns += cpu.costs.driver_rx_ns + device.packet_ns
            skb = device.skb_of(laid, self.index, cpu)
            if entry == NAPI_GRO_RECEIVE:
                verdict = int(napi_gro_receive(sd, self, skb))
            else:
                # NET_RX_DROP is decided after this call: see `replay.Replay.dropped`.
                verdict = NET_RX_SUCCESS
                if entry == NETIF_RECEIVE_SKB:
                    netif_receive_skb_internal(sd, skb)
                else:
                    netif_rx(sd, skb)
            what = {"queue": self.index, "idx": laid.number, "ret": verdict, **self.state()}
            log.append(HandEvent("in", cpu.index, cpu.local_now_ns, what))
            work += 1
        done = None
        if work < budget:
            done = int(napi_complete_done(sd, self, work))
        what = {"queue": self.index, "budget": budget, "work": work, "complete_done": done, **self.state()}
        log.append(HandEvent("pollend", cpu.index, cpu.local_now_ns, what))
        return work


def _truesize_bytes(head_bytes: int) -> int:
    """Truesize of a packet whose head holds `head_bytes`: the device's heads are 1024 bytes or a larger power of two (K7)."""
    head = _SMALLEST_HEAD_BYTES
    while head < head_bytes + _HEAD_OVERHEAD_BYTES:
        head *= 2
    return head + _SK_BUFF_BYTES


def split_at(data: bytes) -> int:
    """Where the device splits a frame: behind a TCP or UDP header right behind IP, whatever those headers claim; else nowhere."""
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
