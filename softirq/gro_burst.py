"""A driver's burst into GRO: the way of most packets written out, because a call costs as much as what it does.

Models: the clean loop's calls of napi_gro_receive, for packets that are to be held, nothing held of their flow.
Leaves out: everything else, which goes to napi_gro_receive packet by packet.
Source: net/core/gro.c (6.9); G3, G5.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from emu.skb import CHECKSUM_UNNECESSARY, HASH_L4, Skb
from softirq.gro import MAX_GRO_SKBS, gro_normal_list, napi_gro_complete, napi_gro_receive

if TYPE_CHECKING:
    from softirq.napi import Napi
    from softirq.softnet_data import SoftnetData


def napi_gro_receive_burst(sd: SoftnetData, napi: Napi, skbs: list[Skb], queue: int, driver_rx_ns: int) -> None:
    """A driver's clean loop over `skbs` of receive queue `queue`: charges `driver_rx_ns` for each and gives it to napi_gro_receive."""
    cpu = sd.cpu
    net = sd.net
    dev = napi.dev
    trace = net.trace
    receive = napi_gro_receive if trace is None else trace.napi_gro_receive
    received = napi.received_on(queue, cpu.index)
    plain = dev.gro and not dev.rx_gro_list and trace is None
    if not napi.gro_held and not napi.rx_list:
        napi.plain = received if plain else None
    elif napi.plain is not received:
        napi.plain = None
    batch = net.settings.gro_normal_batch
    held_ns = driver_rx_ns + net.costs.gro_receive_ns
    buckets = napi.gro_hash
    rx_list = napi.rx_list
    now_ns = cpu.local_now_ns
    held = 0
    for skb in skbs:
        skb.received = received
        skb.rx_ns = now_ns
        shape = skb.hdr.gro_shape
        is_plain = False
        if (
            plain
            and shape is not None
            and shape.plain_hash is skb.hash
            and skb.hash_kind == HASH_L4
            and skb.ip_summed == CHECKSUM_UNNECESSARY
            and skb.vlan_tci < 0
            and skb.payload_bytes > 0
            and not skb.pkt_type
        ):
            is_plain = True
            key = shape.held_key
            bucket = buckets[shape.bucket]
            if len(bucket) < MAX_GRO_SKBS:
                if bucket.setdefault(key, skb) is skb:
                    skb.gro_age_ns = now_ns = now_ns + held_ns
                    held += 1
                    continue
            elif key not in bucket:
                # A full bucket lets its oldest go (G3).
                skb.gro_age_ns = now_ns = now_ns + held_ns
                oldest = bucket.pop(next(iter(bucket)))
                bucket[key] = skb
                if type(oldest) is Skb:
                    rx_list.append(oldest)
                    napi.rx_count = count = napi.rx_count + 1
                    if count < batch:
                        continue
                    cpu.local_now_ns = now_ns
                    gro_normal_list(sd, napi)
                else:
                    cpu.local_now_ns = now_ns
                    napi_gro_complete(sd, napi, oldest)
                now_ns = cpu.local_now_ns
                rx_list = napi.rx_list
                continue
        napi.gro_held += held
        held = 0
        cpu.local_now_ns = now_ns + driver_rx_ns
        was_plain = napi.plain
        receive(sd, napi, skb)
        if is_plain:
            napi.plain = was_plain
        now_ns = cpu.local_now_ns
        rx_list = napi.rx_list
    napi.gro_held += held
    cpu.local_now_ns = now_ns
    net.latencies.ring.pending += [skb.rx_ns - skb.arrived_ns for skb in skbs]
