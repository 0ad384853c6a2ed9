"""A hand-operated machine with the protocol stack: frames are laid on its one device, polled once, and sockets are read afterwards."""

from __future__ import annotations

from typing import Any

import trio

from cpus.cpu import Cpu
from cpus.process import Process
from emu.headers import HeaderTable
from emu.rules import rules_for
from emu.skb import CHECKSUM_NONE, PACKET_BROADCAST, PACKET_HOST, PACKET_MULTICAST, PACKET_OTHERHOST, Received, Skb
from netstack.stack import NetStack
from netstack.udp_sock import UdpSocket
from scenarios.machine import Machine
from softirq.completion import napi_complete_done
from softirq.device import NetDevice
from softirq.gro import napi_gro_receive
from softirq.napi import Napi, napi_schedule
from softirq.softnet_data import SoftnetData
from tests.machine_kit import Irq, costs

DEVICE_MAC = bytes.fromhex("020000000001")
SMALL_TRUESIZE_BYTES = 1280
"""What the recorded device's skbs are charged as when they are small (K7)."""
SUMMED = {"NONE": 0, "UNNECESSARY": 1, "COMPLETE": 2}
RANK = 2000


def eth_type_trans(destination: bytes, mac: bytes) -> int:
    """The packet type a driver finds."""
    if destination == b"\xff" * 6:
        return PACKET_BROADCAST
    if destination[:1] and destination[0] & 1:
        return PACKET_MULTICAST
    return PACKET_HOST if destination == mac else PACKET_OTHERHOST


class HandQueue(Napi):
    """A queue whose skbs go through GRO in one poll."""

    def __init__(self, dev: NetDevice) -> None:
        super().__init__(dev, "fn0-0")
        self.skbs: list[Skb] = []

    def poll(self, sd: SoftnetData, budget: int) -> int:
        work = 0
        while self.skbs and work < budget:
            napi_gro_receive(sd, self, self.skbs.pop(0))
            work += 1
        if work < budget:
            napi_complete_done(sd, self, work)
        return work


class HandStack(Machine):
    """One device fn0, NOARP, with 10.0.0.1/24 and fd00::1, on `cpus` CPUs; work costs nothing unless priced."""

    def __init__(self, release: str, cpus: int = 1, hz: int = 250, **prices: int) -> None:
        super().__init__([0] * cpus, rules_for(release), hz, costs(**prices), seed=1)
        self.dev = NetDevice("fn0", DEVICE_MAC, 1)
        self.dev.local_addresses |= {bytes([10, 0, 0, 1]), bytes.fromhex("fd000000000000000000000000000001")}
        self.net.devices["fn0"] = self.dev
        self.stack = NetStack(self.net)
        self.queue = HandQueue(self.dev)
        self.table = HeaderTable()
        self.laid = 0

    def make_skb(self, data: bytes, summed: int = CHECKSUM_NONE, truesize_bytes: int = SMALL_TRUESIZE_BYTES) -> Skb:
        """What the driver hands over for a frame."""
        frame = self.table.parse(data)
        skb = Skb(
            frame.hdr,
            self.laid,
            frame.wire_bytes,
            frame.payload_bytes,
            frame.ip_id,
            frame.seq,
            0,
            frame.data,
            frame.wire_bytes - 14,
        )
        skb.received = Received(self.dev)
        skb.ip_summed = summed
        skb.truesize_bytes = truesize_bytes
        skb.pkt_type = eth_type_trans(frame.hdr.dst_mac, self.dev.address)
        self.laid += 1
        self.ledger.arrived_frames += 1
        return skb

    def lay(self, *skbs: Skb) -> None:
        """Put skbs on the queue."""
        self.queue.skbs += skbs

    def fire(self) -> None:
        """One hard interrupt, then everything until nothing is left to happen. A machine fires once."""

        def schedule(_: Cpu) -> None:
            napi_schedule(self.net.softnet[0], self.queue)

        self.cpus[0].send(Irq(schedule), 1_000_000_000, RANK)
        trio.run(self.run)
        self.ledger.check(self.clock.now_ns)

    def reader(self) -> Process:
        """A process on CPU 0 that is nobody's body: for calls made by hand after the run."""
        return Process("reader", iter(()), 1, self.cpus[0])

    def read_lengths(self, *socks: UdpSocket) -> list[int]:
        """Payload bytes of every datagram that waits."""
        return [skb.payload_bytes for sock in socks for skb in sock.recv(self.reader(), 1 << 20)]

    def counters(self) -> dict[str, int]:
        """What moved, under the recording's names."""
        moved = {name: value for name, value in self.stack.snmp.as_dict().items() if value and name != "Tcp.CurrEstab"}
        statistics: Any = self.dev.statistics
        for name in statistics.__slots__:
            if getattr(statistics, name):
                moved[f"fn0.{name}"] = getattr(statistics, name)
        return moved
