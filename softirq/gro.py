"""GRO: holding the packets of a poll back to merge those of one flow.

Models: G1-G7, G18: buckets by raw hash, eviction of the oldest, completion, rx_list and its batches. What belongs to one flow
and what may merge is the protocols' business: `netstack` registers a `PacketOffload` for each ethertype.
Leaves out: packets that the device merged (G3), skb metadata and conntrack (slow_gro in G2), generic XDP.
Source: net/core/gro.c, include/net/gro.h (6.9); kernel.md section 6.

In a bucket at most one packet has a given hash, flow and tag: a packet that finds such a one either merges, replaces it or passes. So the
kernel's scan of up to eight is one dictionary look-up here; a dictionary keeps the order in which they were held.
"""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, Final

from emu.gro_shape import GRO_DEEP, GRO_HASH_BUCKETS, GRO_PASS, GroShape
from emu.headers import ETH_HLEN
from emu.skb import CHECKSUM_NONE, CHECKSUM_PARTIAL, CHECKSUM_UNNECESSARY, Skb
from softirq.gro_merge import MERGE_CHAINED, MERGE_FINISH, MERGE_FREED, MERGE_HOLD
from softirq.receive import netif_receive_skb_list_internal

if TYPE_CHECKING:
    from emu.headers import Headers
    from softirq.device import NetDevice
    from softirq.napi import Napi
    from softirq.net import Net
    from softirq.softnet_data import SoftnetData

MAX_GRO_SKBS: Final = 8
"""Packets a bucket holds."""
SKB_MAX_CSUM_LEVEL: Final = 3
IPV6_MAXPLEN: Final = 65535
IPV6_HEADER_BYTES: Final = 40
GRO_JUMBO_BYTES: Final = 8
"""Hop-by-hop header that carries the length of an IPv6 packet above 65535 bytes."""

SKB_GSO_TCPV4: Final = 1 << 0
SKB_GSO_TCP_ECN: Final = 1 << 2
SKB_GSO_TCP_FIXEDID: Final = 1 << 3
SKB_GSO_TCPV6: Final = 1 << 4
SKB_GSO_GRE: Final = 1 << 6
SKB_GSO_GRE_CSUM: Final = 1 << 7
SKB_GSO_IPXIP4: Final = 1 << 8
SKB_GSO_IPXIP6: Final = 1 << 9
SKB_GSO_UDP_L4: Final = 1 << 17
SKB_GSO_FRAGLIST: Final = 1 << 18

ASK_REFUSED: Final = 0
"""`PacketOffload.ask`: not to be merged at all."""
ASK_SEGMENTS: Final = 1
ASK_FRAGLIST: Final = 2

_BUCKET_MASK: Final = GRO_HASH_BUCKETS - 1


class GroResult(IntEnum):
    """gro_result: what napi_gro_receive says of a packet."""

    MERGED = 0
    MERGED_FREE = 1
    HELD = 2
    NORMAL = 3
    CONSUMED = 4


_MERGED: Final = GroResult.MERGED
_MERGED_FREE: Final = GroResult.MERGED_FREE
_HELD: Final = GroResult.HELD
_NORMAL: Final = GroResult.NORMAL


class PacketOffload:
    """The GRO handler of one ethertype (struct packet_offload). One instance serves one machine."""

    def __init__(self, ethertype: int) -> None:
        self.ethertype = ethertype

    def shape(self, hdr: Headers) -> GroShape:
        """What `hdr` alone decides. Must not depend on settings: the answer is kept in `hdr`, which machines may share."""
        raise NotImplementedError

    def deep_shape(self, skb: Skb) -> GroShape:
        """For GRO_DEEP: the shape of this very frame (kind GRO_PASS or GRO_LOOK)."""
        raise NotImplementedError

    def ask(self, sd: SoftnetData, dev: NetDevice, skb: Skb, shape: GroShape) -> int:
        """May a packet with `shape.asks` be merged: ASK_REFUSED, ASK_SEGMENTS or ASK_FRAGLIST."""
        raise NotImplementedError


def napi_gro_receive(sd: SoftnetData, napi: Napi, skb: Skb) -> GroResult:
    """Take one packet from the driver: merge it, hold it or let it pass. May deliver rx_list before it returns (G5)."""
    dev = napi.dev
    if not dev.gro:
        return _normal(sd, napi, skb)
    shape = skb.hdr.gro_shape
    if shape is None:
        shape = _learn(sd.net, skb.hdr)
    if shape.kind == GRO_DEEP:
        shape = skb.gro_shape = sd.net.offloads[skb.hdr.ethertype].deep_shape(skb)
    net = sd.net
    cpu = sd.cpu
    costs = net.costs
    kind = shape.kind
    if not shape.flush:
        summed = skb.ip_summed
        if summed != CHECKSUM_UNNECESSARY:
            if shape.csum_ok:
                if summed == CHECKSUM_NONE:
                    skb.ip_summed = CHECKSUM_UNNECESSARY
                    if not skb.hdr.l4_csum_zero:
                        cpu.local_now_ns += skb.len_bytes * costs.csum_ps // 1000
            else:
                kind = GRO_PASS
    if kind == GRO_PASS:
        cpu.local_now_ns += costs.gro_early_ns
        return _normal(sd, napi, skb)
    if shape.asks or (dev.rx_gro_list and net.rules.tcp_gro_fraglist):
        answer = net.offloads[skb.hdr.ethertype].ask(sd, dev, skb, shape)
        if answer == ASK_REFUSED:
            cpu.local_now_ns += costs.gro_receive_ns
            return _normal(sd, napi, skb)
        if answer == ASK_FRAGLIST:
            skb.gro_flist = True

    number = skb.hash
    key: tuple[object, ...] = (number, shape.key) if skb.vlan_tci < 0 else (number, shape.key, skb.vlan_tci)
    bucket = napi.gro_hash[number & _BUCKET_MASK]
    p = bucket.get(key)
    if p is None:
        cpu.local_now_ns += costs.gro_receive_ns
        if not (shape.holds and skb.payload_bytes > 0):
            return _normal(sd, napi, skb)
    else:
        assert shape.merge is not None
        bits = shape.merge(sd, p, skb, shape)
        merged = bits & (MERGE_FREED | MERGE_CHAINED)
        cpu.local_now_ns += costs.gro_merge_ns if merged else costs.gro_receive_ns
        if bits & MERGE_FINISH:
            del bucket[key]
            napi.gro_held -= 1
            napi_gro_complete(sd, napi, p)
        if merged:
            return _MERGED_FREE if bits & MERGE_FREED else _MERGED
        if not bits & MERGE_HOLD:
            return _normal(sd, napi, skb)
    if len(bucket) >= MAX_GRO_SKBS:
        oldest = bucket.pop(next(iter(bucket)))
        if oldest.frames > 1:
            napi_gro_complete(sd, napi, oldest)
        else:
            _normal(sd, napi, oldest)
    else:
        napi.gro_held += 1
    skb.gro_age_ns = cpu.local_now_ns
    bucket[key] = skb
    return _HELD


def _learn(net: Net, hdr: Headers) -> GroShape:
    """Work out the shape of `hdr` and keep it there."""
    offload = net.offloads.get(hdr.ethertype)
    shape = hdr.gro_shape = GroShape(GRO_PASS) if offload is None else offload.shape(hdr)
    return shape


def _normal(sd: SoftnetData, napi: Napi, skb: Skb) -> GroResult:
    """gro_normal_one for a packet of one frame."""
    napi.rx_list.append(skb)
    napi.rx_count = count = napi.rx_count + 1
    if count >= sd.net.settings.gro_normal_batch:
        gro_normal_list(sd, napi)
    return _NORMAL


def gro_normal_one(sd: SoftnetData, napi: Napi, skb: Skb, segs: int) -> None:
    """Put `skb` on rx_list, counting for `segs` segments; deliver the list if that fills the batch (G5)."""
    napi.rx_list.append(skb)
    napi.rx_count = count = napi.rx_count + segs
    if count >= sd.net.settings.gro_normal_batch:
        gro_normal_list(sd, napi)


def gro_normal_list(sd: SoftnetData, napi: Napi) -> None:
    """Deliver rx_list to this CPU's steering and demux."""
    skbs = napi.rx_list
    if not skbs:
        return
    napi.rx_list = []
    napi.rx_count = 0
    now_ns = sd.cpu.local_now_ns
    sd.net.latencies.gro.pending.extend([now_ns - skb.rx_ns for skb in skbs])
    netif_receive_skb_list_internal(sd, skbs)


def napi_gro_complete(sd: SoftnetData, napi: Napi, skb: Skb) -> None:
    """Let a packet go that is held no longer: describe what was merged (G18) and put it on rx_list."""
    frames = skb.frames
    if frames > 1:
        shape = skb.gro_shape or skb.hdr.gro_shape
        assert shape is not None
        gso_type = shape.gso_type
        skb.gso_segs = frames
        if shape.outer_header_bytes:
            skb.encapsulation = True
        if skb.gro_flist:
            gso_type |= SKB_GSO_FRAGLIST
            if skb.ip_summed == CHECKSUM_NONE:
                skb.ip_summed = CHECKSUM_UNNECESSARY
            elif skb.ip_summed == CHECKSUM_UNNECESSARY and skb.csum_level < SKB_MAX_CSUM_LEVEL:
                skb.csum_level += 1
        else:
            skb.ip_summed = CHECKSUM_PARTIAL
            if shape.tcp:
                if skb.gro_fixed_id:
                    gso_type |= SKB_GSO_TCP_FIXEDID
                if shape.cwr:
                    gso_type |= SKB_GSO_TCP_ECN
        skb.gso_type = gso_type
        if skb.len_bytes > IPV6_MAXPLEN and skb.hdr.version == 6:
            # BIG TCP: the length goes into a hop-by-hop option of 8 bytes.
            if skb.len_bytes - (skb.hdr.network_offset - ETH_HLEN) - IPV6_HEADER_BYTES > IPV6_MAXPLEN:
                skb.len_bytes += GRO_JUMBO_BYTES
    gro_normal_one(sd, napi, skb, frames)


def napi_gro_flush(sd: SoftnetData, napi: Napi, flush_old: bool) -> None:
    """Complete what is held, bucket by bucket, oldest first; with `flush_old`, stop in each at the present jiffy (G7)."""
    if not napi.gro_held:
        return
    jiffies = sd.net.jiffies
    for bucket in napi.gro_hash:
        while bucket:
            key = next(iter(bucket))
            skb = bucket[key]
            if flush_old and jiffies.at(skb.gro_age_ns) == jiffies.at(sd.cpu.local_now_ns):
                break
            del bucket[key]
            napi.gro_held -= 1
            napi_gro_complete(sd, napi, skb)
