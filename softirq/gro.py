"""GRO: holding the packets of a poll back to merge those of one flow.

Models: G1-G7, G18: buckets by raw hash, eviction of the oldest, completion, rx_list and its batches. What belongs to one flow
and what may merge is the protocols' business: `netstack` registers a `PacketOffload` for each ethertype.
Leaves out: packets that the device merged (G3), skb metadata and conntrack (slow_gro in G2), generic XDP.
Source: net/core/gro.c, include/net/gro.h (6.9); rules of section 6.

In a bucket at most one packet has a given hash, flow and tag: a packet that finds such a one either merges, replaces it or passes. So the
kernel's scan of up to eight is one dictionary look-up here; a dictionary keeps the order in which they were held.
"""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, Final

from emu.gro_shape import GRO_DEEP, GRO_HASH_BUCKETS, GRO_PASS, GroShape
from emu.headers import ETH_HLEN
from emu.skb import CHECKSUM_NONE, CHECKSUM_PARTIAL, CHECKSUM_UNNECESSARY, Skb
from softirq.gro_merge import MERGE_CHAINED, MERGE_FINISH, MERGE_FREED, MERGE_HOLD, GroHeld, skb_gro_receive
from softirq.receive import netif_receive_skb_list_internal, plain_way

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

_MERGED_BITS: Final = MERGE_FREED | MERGE_CHAINED
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
        self.asks_sockets = False
        """`ask` may say yes for a packet whose device has neither rx-gro-list nor rx-udp-gro-forwarding."""

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
    napi.plain = None
    dev = napi.dev
    if not dev.gro:
        return _normal(sd, napi, skb)
    hdr = skb.hdr
    shape = hdr.gro_shape
    net = sd.net
    cpu = sd.cpu
    if shape is None or shape.special or dev.rx_gro_list:
        if (
            shape is not None
            and shape.asks
            and not (dev.rx_udp_gro_forwarding or dev.rx_gro_list or net.offloads[hdr.ethertype].asks_sockets)
            and skb.ip_summed == CHECKSUM_UNNECESSARY
        ):  # plain UDP
            cpu.local_now_ns += net.costs.gro_receive_ns
            return _normal(sd, napi, skb)
        special = _special(sd, napi, skb)
        if special is None:
            return _NORMAL
        shape = special
    elif skb.ip_summed != CHECKSUM_UNNECESSARY and not _checksum_passes(sd, skb, shape):
        cpu.local_now_ns += net.costs.gro_early_ns
        return _normal(sd, napi, skb)

    number = skb.hash
    key = shape.key_for(number, skb.vlan_tci)
    bucket = napi.gro_hash[number & _BUCKET_MASK]
    if key in bucket:
        held = bucket[key]
        if not isinstance(held, GroHeld):
            held = bucket[key] = GroHeld(sd, held)
            napi.gro_merging |= 1 << shape.bucket
        elif (
            held.shape is shape
            and held.streaming
            and skb.seq == held.next_seq
            and skb.payload_bytes == held.mss
            and skb.ip_id == held.next_id
        ):
            bits = skb_gro_receive(held, skb, held.mss)
            if bits:
                held.next_seq = (held.next_seq + held.mss) & 0xFFFFFFFF
                held.next_id = (held.next_id + held.id_step) & 0xFFFF
                cpu.local_now_ns += net.costs.gro_merge_ns
                return _MERGED_FREE if bits == MERGE_FREED else _MERGED
        bits = shape.merge(sd, held, skb, shape)
        merged = bits & _MERGED_BITS
        if merged:
            cpu.local_now_ns += net.costs.gro_merge_ns
            if bits & MERGE_FINISH:
                del bucket[key]
                napi_gro_complete(sd, napi, held)
            return _MERGED_FREE if merged == MERGE_FREED else _MERGED
        cpu.local_now_ns += net.costs.gro_receive_ns
        if bits & MERGE_FINISH:
            del bucket[key]
            napi_gro_complete(sd, napi, held)
        if not bits & MERGE_HOLD:
            return _normal(sd, napi, skb)
        now_ns = cpu.local_now_ns
    else:
        now_ns = cpu.local_now_ns = cpu.local_now_ns + net.costs.gro_receive_ns
        if not shape.holds or skb.payload_bytes <= 0:
            return _normal(sd, napi, skb)

    skb.gro_age_ns = now_ns
    if len(bucket) >= MAX_GRO_SKBS:
        oldest = bucket.pop(next(iter(bucket)))
        bucket[key] = skb
        napi_gro_complete(sd, napi, oldest)
    else:
        bucket[key] = skb
    return _HELD


def shape_of(net: Net, hdr: Headers) -> GroShape:
    """The shape of frames with `hdr`, worked out the first time."""
    shape = hdr.gro_shape
    if shape is None:
        offload = net.offloads.get(hdr.ethertype)
        shape = hdr.gro_shape = GroShape(GRO_PASS) if offload is None else offload.shape(hdr)
    return shape


def _special(sd: SoftnetData, napi: Napi, skb: Skb) -> GroShape | None:
    """Headers not seen before, not worth comparing, not telling enough, or UDP: their shape, or None once `skb` has passed."""
    net = sd.net
    hdr = skb.hdr
    offload = net.offloads.get(hdr.ethertype)
    shape = shape_of(net, hdr)
    if shape.kind == GRO_DEEP and offload is not None:
        shape = skb.gro_shape = offload.deep_shape(skb)
    passes = skb.ip_summed != CHECKSUM_UNNECESSARY and not _checksum_passes(sd, skb, shape)
    if passes or shape.kind == GRO_PASS or offload is None:
        sd.cpu.local_now_ns += net.costs.gro_early_ns
        _normal(sd, napi, skb)
        return None
    dev = napi.dev
    if shape.asks or (dev.rx_gro_list and net.rules.tcp_gro_fraglist):
        answer = offload.ask(sd, dev, skb, shape)
        if answer == ASK_REFUSED:
            sd.cpu.local_now_ns += net.costs.gro_receive_ns
            _normal(sd, napi, skb)
            return None
        if answer == ASK_FRAGLIST:
            skb.gro_flist = True
    return shape


def _checksum_passes(sd: SoftnetData, skb: Skb, shape: GroShape) -> bool:
    """Verify the transport checksum that the device did not (G12). With a length that lies it is not looked at."""
    if shape.flush:
        return True
    if not shape.csum_ok:
        return False
    if skb.ip_summed == CHECKSUM_NONE:
        skb.ip_summed = CHECKSUM_UNNECESSARY
        if not skb.hdr.l4_csum_zero:
            sd.cpu.local_now_ns += skb.len_bytes * sd.net.costs.csum_ps // 1000
    return True


def _normal(sd: SoftnetData, napi: Napi, skb: Skb) -> GroResult:
    """gro_normal_one for a packet of one frame."""
    gro_normal_one(sd, napi, skb, 1)
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
    if skbs:
        napi.rx_list = []
        napi.rx_count = 0
        _deliver(sd, napi, skbs, [len(skbs)])


def end_of_poll(sd: SoftnetData, napi: Napi) -> None:
    """Deliver what is left on rx_list, and let what went a plain way arrive."""
    gro_normal_list(sd, napi)
    if napi.way is not None:
        napi.way.end()
        napi.way = None


def _deliver(sd: SoftnetData, napi: Napi, skbs: list[Skb], sizes: list[int]) -> None:
    """Deliver `skbs` as lists of these sizes, one after the other."""
    cpu = sd.cpu
    napi.delivered_skbs += len(skbs)
    way = napi.way
    if napi.plain is not None:
        if way is None:
            way = napi.way = plain_way(sd, napi.plain, skbs[0])
        through_ns = way.add(skbs, sizes, cpu.local_now_ns)
        if through_ns >= 0:
            cpu.local_now_ns = through_ns
            return
    if way is not None:
        way.end()
    net = sd.net
    waits = net.latencies.gro.pending
    trace = net.trace
    receive = netif_receive_skb_list_internal if trace is None else trace.netif_receive_skb_list_internal
    first = 0
    for size in sizes:
        part = skbs[first : first + size]
        first += size
        now_ns = cpu.local_now_ns
        waits.extend([now_ns - skb.rx_ns for skb in part])
        receive(sd, part)


def napi_gro_complete(sd: SoftnetData, napi: Napi, held: Skb | GroHeld) -> None:
    """Let a packet go that is held no longer: describe what was merged (G18) and put it on rx_list."""
    if isinstance(held, GroHeld):
        gro_normal_one(sd, napi, _finished(sd, held), held.frames)
    else:
        gro_normal_one(sd, napi, held, 1)


def _finished(sd: SoftnetData, held: GroHeld) -> Skb:
    """The packet that was merged, described (G18)."""
    skb = held.finish()
    frames = held.frames
    if frames > 1:
        shape = held.shape
        gso_type = shape.gso_type
        skb.gso_segs = frames
        if shape.outer_header_bytes:
            skb.encapsulation = True
        if held.flist:
            gso_type |= SKB_GSO_FRAGLIST
            if skb.ip_summed == CHECKSUM_NONE:
                skb.ip_summed = CHECKSUM_UNNECESSARY
            elif skb.ip_summed == CHECKSUM_UNNECESSARY and skb.csum_level < SKB_MAX_CSUM_LEVEL:
                skb.csum_level += 1
        else:
            skb.ip_summed = CHECKSUM_PARTIAL
            if shape.tcp:
                if held.fixed_id:
                    gso_type |= SKB_GSO_TCP_FIXEDID
                if shape.cwr:
                    gso_type |= SKB_GSO_TCP_ECN
        skb.gso_type = gso_type
        if skb.len_bytes > IPV6_MAXPLEN and skb.hdr.version == 6:
            # BIG TCP: the length goes into a hop-by-hop option of 8 bytes.
            if skb.len_bytes - (skb.hdr.network_offset - ETH_HLEN) - IPV6_HEADER_BYTES > IPV6_MAXPLEN:
                skb.len_bytes += GRO_JUMBO_BYTES
    return skb


def napi_gro_flush(sd: SoftnetData, napi: Napi, flush_old: bool) -> None:
    """Complete what is held, bucket by bucket, oldest first; with `flush_old`, stop in each at the present jiffy (G7)."""
    if not napi.gro_held:
        return
    if flush_old:
        _flush_old(sd, napi)
        return
    batch = sd.net.settings.gro_normal_batch
    rx_list = napi.rx_list
    count = napi.rx_count
    sizes: list[int] = []
    """Of the lists of which each fills a batch; they are the beginning of rx_list."""
    end = 0
    merging = napi.gro_merging
    napi.gro_merging = 0
    for index, bucket in enumerate(napi.gro_hash):
        if not bucket:
            continue
        if merging >> index & 1 or count >= batch:
            for held in bucket.values():
                if isinstance(held, GroHeld):
                    rx_list.append(_finished(sd, held))
                    count += held.frames
                else:
                    rx_list.append(held)
                    count += 1
                if count >= batch:
                    sizes.append(len(rx_list) - end)
                    end = len(rx_list)
                    count = 0
        else:
            rx_list += bucket.values()  # type: ignore[arg-type]
            count += len(bucket)
            while count >= batch:
                count -= batch
                sizes.append(len(rx_list) - count - end)
                end = len(rx_list) - count
        bucket.clear()
    napi.rx_list = rx_list[end:]
    napi.rx_count = count
    if sizes:
        del rx_list[end:]
        _deliver(sd, napi, rx_list, sizes)


def _flush_old(sd: SoftnetData, napi: Napi) -> None:
    """Complete what was held in an earlier jiffy."""
    jiffies = sd.net.jiffies
    for bucket in napi.gro_hash:
        for key, held in list(bucket.items()):
            skb = held.skb if isinstance(held, GroHeld) else held
            if jiffies.at(skb.gro_age_ns) == jiffies.at(sd.cpu.local_now_ns):
                break
            del bucket[key]
            napi_gro_complete(sd, napi, held)
