"""A driver's burst into GRO: the way of most packets written out, because a call costs as much as what it does.

Models: the clean loop's calls of napi_gro_receive, for packets that are to be held, nothing held of their flow.
Leaves out: everything else, which goes to napi_gro_receive packet by packet.
Source: net/core/gro.c (6.9); G3, G5.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from emu.skb import CHECKSUM_UNNECESSARY, HASH_L4, PACKET_HOST, Skb
from softirq.gro import MAX_GRO_SKBS, end_of_poll, gro_normal_list, napi_gro_complete, napi_gro_receive, shape_of

if TYPE_CHECKING:
    from softirq.napi import Napi
    from softirq.softnet_data import SoftnetData


def napi_gro_receive_burst(
    sd: SoftnetData, napi: Napi, skbs: list[Skb], queue: int, driver_rx_ns: int, known: bool
) -> None:
    """A driver's clean loop over `skbs` of receive queue `queue`: charges `driver_rx_ns` for each and gives it to napi_gro_receive.

    `known`: all of them are to this host, with an L4 hash and a sum that the device vouched for, and without a tag taken off.
    """
    cpu = sd.cpu
    net = sd.net
    dev = napi.dev
    trace = net.trace
    receive = napi_gro_receive if trace is None else trace.napi_gro_receive
    received = napi.received_on(queue, cpu.index)
    plain = dev.gro and not dev.rx_gro_list and trace is None
    if not napi.rx_list and not napi.gro_held:
        if napi.way is not None and napi.plain is not received:
            # An earlier ring's of this poll.
            end_of_poll(sd, napi)
        napi.plain = received if plain else None
    elif napi.plain is not received:
        napi.plain = None
    known = known and plain
    batch = net.settings.gro_normal_batch
    held_ns = driver_rx_ns + net.costs.gro_receive_ns
    buckets = napi.gro_hash
    rx_list, room, merging = napi.rx_list, batch - napi.rx_count, napi.gro_merging
    now_ns = cpu.local_now_ns
    for skb in skbs:
        skb.received = received
        skb.rx_ns = now_ns
        shape = skb.hdr.gro_shape
        if shape is None:
            shape = shape_of(net, skb.hdr)
            shape.key_for(skb.hash, skb.vlan_tci)
        if shape.plain_hash is skb.hash and skb.payload_bytes > 0 and (known or (plain and _is_plain(skb))):
            bucket = buckets[shape.bucket]
            if bucket.setdefault(shape.held_key, skb) is skb:
                skb.gro_age_ns = now_ns = now_ns + held_ns
                if len(bucket) <= MAX_GRO_SKBS:
                    continue
                # A full bucket lets its oldest go (G3).
                oldest = bucket.pop(next(iter(bucket)))
                if not merging or type(oldest) is Skb:
                    rx_list.append(oldest)  # type: ignore[arg-type]
                    room -= 1
                    if room > 0:
                        continue
                    napi.rx_count = batch - room
                    cpu.local_now_ns = now_ns
                    gro_normal_list(sd, napi)
                else:
                    napi.rx_count = batch - room
                    cpu.local_now_ns = now_ns
                    napi_gro_complete(sd, napi, oldest)
                now_ns = cpu.local_now_ns
                rx_list, room = napi.rx_list, batch - napi.rx_count
                continue
            stays_plain = napi.plain
        else:
            stays_plain = None
        napi.rx_count = batch - room
        cpu.local_now_ns = now_ns + driver_rx_ns
        receive(sd, napi, skb)
        napi.plain = stays_plain
        now_ns = cpu.local_now_ns
        rx_list, room, merging = napi.rx_list, batch - napi.rx_count, napi.gro_merging
    napi.rx_count = batch - room
    cpu.local_now_ns = now_ns
    net.latencies.ring.pending += [skb.rx_ns - skb.arrived_ns for skb in skbs]


def _is_plain(skb: Skb) -> bool:
    """For one skb, what `known` says of all."""
    return (
        skb.hash_kind == HASH_L4
        and skb.ip_summed == CHECKSUM_UNNECESSARY
        and skb.vlan_tci < 0
        and skb.pkt_type == PACKET_HOST
    )
