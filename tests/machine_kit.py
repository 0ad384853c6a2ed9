"""A small machine for tests: CPUs with their softnet_data, one device, free of charge unless a price is given; no NIC, no protocols."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import fields

import trio

from cpus.cpu import Cpu
from cpus.interrupts import Interrupt
from emu.costs import Costs
from emu.headers import HeaderTable, build
from emu.rules import rules_for
from emu.skb import HASH_L4, Received, Skb
from scenarios.machine import Machine
from softirq.completion import napi_complete_done
from softirq.device import NetDevice
from softirq.napi import Napi, napi_schedule
from softirq.net import PacketType
from softirq.receive import netif_receive_skb_list_internal
from softirq.softnet_data import SoftnetData

USER_RANK = 1000


def costs(**prices: int) -> Costs:
    """All prices 0 but those given."""
    return Costs(**({field.name: 0 for field in fields(Costs)} | prices))


class Kit(Machine):
    """A machine of `cpus` CPUs with a device `eth0` of one queue a CPU. `run` plays until nothing is left to happen."""

    def __init__(self, cpus: int = 1, release: str = "6.9", hz: int = 1000, nodes: int = 1, **prices: int) -> None:
        super().__init__([n * nodes // cpus for n in range(cpus)], rules_for(release), hz, costs(**prices), seed=1)
        self.dev = NetDevice("eth0", bytes.fromhex("020000000001"), cpus)
        self.net.devices["eth0"] = self.dev
        self.seen: list[tuple[int, int, int]] = []
        """(CPU, time, number of the skb) of each skb that reached its protocol handler."""
        self.net.ptypes[0x0800] = PacketType(0x0800, self._received)

    def _received(self, sd: SoftnetData, skb: Skb) -> None:
        self.seen.append((sd.index, sd.cpu.local_now_ns, skb.number))
        self.ledger.consumed_frames += skb.frames

    def at(self, cpu: int, time_ns: int, function: Callable[[Cpu], None], ns: int = 0) -> None:
        """Let a hard interrupt that takes `ns` call `function` on `cpu` at `time_ns`. For use before the run."""
        self.cpus[cpu].send(Irq(function, ns), time_ns, USER_RANK)

    def schedule(self, cpu: int, time_ns: int, *napis: Napi) -> None:
        """Schedule `napis`, in this order, in a hard interrupt of `cpu` at `time_ns`."""

        def handle(at: Cpu) -> None:
            for napi in napis:
                napi_schedule(self.net.softnet[at.index], napi)

        self.at(cpu, time_ns, handle)

    def play(self, until_ns: int | None = None) -> None:
        """Run to the end and check the ledger."""
        if until_ns is None:
            trio.run(self.run)
        else:
            trio.run(self.run, until_ns)
        self.ledger.check(self.clock.now_ns)


class Irq(Interrupt):
    """A hard interrupt that calls a function and takes `ns`."""

    __slots__ = ("function", "ns")

    def __init__(self, function: Callable[[Cpu], None], ns: int = 0) -> None:
        super().__init__()
        self.function = function
        self.ns = ns

    def handle(self, cpu: Cpu) -> None:
        cpu.hardirqs += 1
        cpu.local_now_ns += self.ns
        self.function(cpu)


class Feed(Napi):
    """A device queue that holds skbs, or just a count of anonymous packets. Each packet takes `packet_ns`."""

    def __init__(
        self,
        kit: Kit,
        name: str = "rx0",
        packets: int = 0,
        packet_ns: int = 0,
        skbs: Iterable[Skb] = (),
        log: list[tuple[str, int]] | None = None,
    ) -> None:
        super().__init__(kit.dev, name)
        self.kit = kit
        self.packets = packets
        self.packet_ns = packet_ns
        self.skbs = list(skbs)
        self.log = [] if log is None else log
        """(name, packets) of each poll."""
        self.times: list[int] = []
        """When each poll began."""

    def poll(self, sd: SoftnetData, budget: int) -> int:
        self.times.append(sd.cpu.local_now_ns)
        work = min(self.packets + len(self.skbs), budget)
        anonymous = min(self.packets, work)
        self.packets -= anonymous
        sd.cpu.local_now_ns += anonymous * self.packet_ns
        for _ in range(work - anonymous):
            sd.cpu.local_now_ns += self.packet_ns
            netif_receive_skb_list_internal(sd, [self.skbs.pop(0)])
        self.log.append((self.name, work))
        if work < budget:
            napi_complete_done(sd, self, work)
        return work


TABLE = HeaderTable()


def udp_bytes(source: int = 1, port: int = 1000, payload: int = 10) -> bytes:
    """A sound UDP frame from 10.0.0.`source`:`port` to 10.0.1.1:53."""
    ethernet = bytes.fromhex("0200000000010200000000020800")
    ip = bytes([0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, 17, 0, 0, 10, 0, 0, source, 10, 0, 1, 1])
    udp = port.to_bytes(2, "big") + (53).to_bytes(2, "big") + b"\0\0\1\1"
    rough = TABLE.parse(ethernet + ip[:2] + (28 + payload).to_bytes(2, "big") + ip[4:] + udp + bytes(payload))
    return build(rough.hdr, rough.wire_bytes, 0, 0)


def skb(kit: Kit, number: int, flow_hash: int = 0, queue: int = 0, data: bytes | None = None) -> Skb:
    """An skb of `eth0` with a hash that the NIC computed over its ports, if not 0. It counts as arrived."""
    frame = TABLE.parse(udp_bytes() if data is None else data)
    made = Skb(
        frame.hdr,
        number,
        frame.wire_bytes,
        frame.payload_bytes,
        frame.ip_id,
        frame.seq,
        0,
        frame.data,
        frame.wire_bytes - 14,
    )
    made.received = Received(kit.dev, queue)
    if flow_hash:
        made.hash = flow_hash
        made.hash_kind = HASH_L4
    kit.ledger.arrived_frames += 1
    return made
