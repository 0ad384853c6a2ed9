"""Receive packet steering and receive flow steering: which CPU shall process a packet.

Models: R0-R16, A1, A2, A2b; maps per queue, the global socket flow table, a flow table per queue, the rule against reordering.
Leaves out: expiry of accelerated filters (a driver's matter), the check of a slot's owner in 6.18 (A3).
Source: net/core/dev.c get_rps_cpu, set_rps_cpu; include/net/rps.h; net/core/net-sysfs.c (6.9).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from emu.skb import HASH_L4, Skb
from softirq.hash32 import hash_32

if TYPE_CHECKING:
    from softirq.device import NetDevice, RxQueue
    from softirq.net import Net
    from softirq.softnet_data import SoftnetData

RPS_NO_CPU: Final = 0xFFFF
RPS_NO_FILTER: Final = 0xFFFF


class RpsMap:
    """CPUs a queue's packets are spread over, ascending."""

    __slots__ = ("cpus", "len")

    def __init__(self, cpus: list[int]) -> None:
        assert cpus, "an empty map is no map (R10)"
        self.cpus = cpus
        self.len = len(cpus)


class RpsSockFlowTable:
    """Which CPU last read each flow's socket. `entries`: a power of two; an entry is (hash & ~cpu_mask) | cpu (R9)."""

    def __init__(self, entries: int, nr_cpus: int) -> None:
        assert entries and not entries & (entries - 1), f"{entries} entries are no power of two"
        self.mask = entries - 1
        self.cpu_mask = (1 << (nr_cpus - 1).bit_length()) - 1
        self.ents = [RPS_NO_CPU] * entries

    def record(self, flow_hash: int, cpu: int) -> None:
        """rps_record_sock_flow: the application that reads this flow runs on `cpu`. The last writer wins (R16)."""
        if flow_hash:
            self.ents[flow_hash & self.mask] = (flow_hash & ~self.cpu_mask & 0xFFFFFFFF) | cpu

    def lookup(self, flow_hash: int, seen_ns: int) -> int:
        """The entry of the flow's slot, whoever wrote it, as seen by who last synchronised at `seen_ns`.

        Between a CPU's synchronisation and its look-ups nobody else runs, so what is stored is what was seen.
        """
        return self.ents[flow_hash & self.mask]


class RpsDevFlowTable:
    """A queue's flows: the CPU each was last sent to and the backlog tail after its last packet (R4, R12)."""

    def __init__(self, entries: int, by_hash_32: bool) -> None:
        assert entries and not entries & (entries - 1), f"{entries} entries are no power of two"
        self.mask = entries - 1
        self.bits = self.mask.bit_length()
        self.by_hash_32 = by_hash_32
        self.cpu = [RPS_NO_CPU] * entries
        self.last_qtail = [0] * entries
        self.posted_ns = [-1] * entries
        """When the flow was last posted: outstanding for whoever has not synchronised since (docs/architecture.md, visibility)."""
        self.filter = [RPS_NO_FILTER] * entries

    def slot(self, flow_hash: int) -> int:
        """Index of the flow's entry (R13)."""
        return hash_32(flow_hash, self.bits) if self.by_hash_32 else flow_hash & self.mask


def set_rps_cpus(net: Net, queue: RxQueue, mask: int) -> None:
    """Write rps_cpus of a queue: the map holds the CPUs of `mask` that are online now, and stay so (R10)."""
    online = [sd.index for sd in net.softnet if mask >> sd.index & 1 and sd.cpu.online and not sd.cpu.dying]
    had_map = queue.rps_map is not None
    queue.rps_mask = sum(1 << index for index in online)
    queue.rps_map = RpsMap(online) if online else None
    net.rps_maps_set += (queue.rps_map is not None) - had_map


def set_rps_flow_cnt(net: Net, queue: RxQueue, count: int) -> None:
    """Write rps_flow_cnt of a queue: a fresh table of `count` entries rounded up to a power of two, none for 0 (R11)."""
    if count:
        queue.rps_flow_table = RpsDevFlowTable(1 << (count - 1).bit_length(), net.rules.dev_flow_slot_by_hash_32)
    else:
        queue.rps_flow_table = None


def set_rps_sock_flow_entries(net: Net, count: int) -> None:
    """Write net.core.rps_sock_flow_entries: a fresh table, rounded up to a power of two, none for 0."""
    net.sock_flow_table = RpsSockFlowTable(1 << (count - 1).bit_length(), len(net.softnet)) if count else None


def get_rps_cpu(sd: SoftnetData, dev: NetDevice, skb: Skb) -> int:
    """The CPU to process `skb` on, -1 for this one without its backlog. Sets `skb.rps_table`/`rps_slot` when RFS decided (R1-R7).

    Charges the look-up, and the dissection if no usable hash was stored.
    """
    queues = dev.queues
    if skb.rx_queue >= len(queues):
        return -1
    queue = queues[skb.rx_queue]
    rps_map = queue.rps_map
    flow_table = queue.rps_flow_table
    if rps_map is None and flow_table is None:
        return -1
    net = sd.net
    cpu = sd.cpu
    cpu.local_now_ns += net.costs.get_rps_cpu_ns
    if skb.hash_kind >= HASH_L4:
        flow_hash = skb.hash
    else:
        cpu.local_now_ns += net.costs.flow_dissect_ns
        flow_hash = net.dissector.skb_get_hash(skb)
    if not flow_hash:
        return -1
    sock_table = net.sock_flow_table
    if flow_table is not None and sock_table is not None:
        ident = sock_table.lookup(flow_hash, cpu.synced_ns)
        if not (ident ^ flow_hash) & ~sock_table.cpu_mask & 0xFFFFFFFF:
            tcpu = _rfs_cpu(sd, dev, skb, flow_table, flow_hash, ident & sock_table.cpu_mask)
            if tcpu >= 0:
                return tcpu
    if rps_map is not None:
        tcpu = rps_map.cpus[flow_hash * rps_map.len >> 32]
        if net.softnet[tcpu].cpu.online:
            return tcpu
    return -1


def _rfs_cpu(sd: SoftnetData, dev: NetDevice, skb: Skb, table: RpsDevFlowTable, flow_hash: int, next_cpu: int) -> int:
    """R4, R5: where RFS sends the flow, or -1 for plain RPS. A flow moves only when its old CPU has nothing of it left."""
    softnet = sd.net.softnet
    slot = table.slot(flow_hash)
    tcpu = table.cpu[slot]
    if tcpu != next_cpu:
        seen_ns = sd.cpu.synced_ns
        old = softnet[tcpu] if tcpu < len(softnet) else None
        if (
            old is None
            or not old.cpu.online
            or (table.posted_ns[slot] < seen_ns and old.head_as_of(seen_ns) - table.last_qtail[slot] >= 0)
        ):
            tcpu = next_cpu
            table, slot = _set_rps_cpu(sd, dev, skb, table, slot, flow_hash, next_cpu)
    if tcpu < len(softnet) and softnet[tcpu].cpu.online:
        skb.rps_table = table
        skb.rps_slot = slot
        return tcpu
    return -1


def _set_rps_cpu(
    sd: SoftnetData, dev: NetDevice, skb: Skb, table: RpsDevFlowTable, slot: int, flow_hash: int, next_cpu: int
) -> tuple[RpsDevFlowTable, int]:
    """Move a flow to `next_cpu`; with accelerated RFS ask the driver for a filter (A1, A2). Returns the entry that was written (A2b)."""
    softnet = sd.net.softnet
    if next_cpu < len(softnet):
        steer = dev.ndo_rx_flow_steer
        if steer is not None and dev.rx_cpu_rmap is not None and dev.ntuple:
            rxq = dev.rx_cpu_rmap(next_cpu)
            new_table = dev.queues[rxq].rps_flow_table if rxq != skb.rx_queue and rxq < len(dev.queues) else None
            if new_table is not None:
                flow_id = new_table.slot(flow_hash)
                filter_id = steer(skb, rxq, flow_id)
                if filter_id >= 0:
                    if table.filter[slot] == filter_id:
                        table.filter[slot] = RPS_NO_FILTER
                    new_table.filter[flow_id] = filter_id
                    table, slot = new_table, flow_id
        table.last_qtail[slot] = softnet[next_cpu].head_as_of(sd.cpu.synced_ns)
    table.cpu[slot] = next_cpu
    return table, slot
