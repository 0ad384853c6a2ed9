"""The protocol demux: what happens to an skb once its CPU is settled.

Models: D2-D4, Z3: `processed`, taps, software VLAN untag, leftover tags, dispatch by ethertype, sublists on the list path.
Leaves out: tc and netfilter ingress, rx_handler (bridge, bond), VLAN devices, generic XDP.
Source: net/core/dev.c __netif_receive_skb_core, __netif_receive_skb_list_core (6.9).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from emu.dropreason import DropReason
from emu.headers import ETH_P_8021AD, ETH_P_8021Q
from emu.skb import PACKET_OTHERHOST, Skb

if TYPE_CHECKING:
    from softirq.net import PacketType
    from softirq.softnet_data import SoftnetData


def netif_receive_skb_core(sd: SoftnetData, skb: Skb) -> PacketType | None:
    """Top of the demux for one skb: counts, taps, tags. Returns its handler, None if it ended here (D2, D3)."""
    net = sd.net
    sd.processed += 1
    protocol = skb.hdr.ethertype
    tagged = skb.vlan_tci >= 0
    if not tagged and protocol in (ETH_P_8021Q, ETH_P_8021AD):
        tagged, protocol = _untag(skb)
    for tap in net.taps:
        tap(sd, skb)
    while tagged:
        vlan_id = skb.vlan_tci & 0xFFF
        skb.vlan_tci = -1
        if vlan_id:
            skb.pkt_type = PACKET_OTHERHOST
            break
        if protocol not in (ETH_P_8021Q, ETH_P_8021AD):
            break
        tagged, protocol = _untag(skb)
    ptype = net.ptypes.get(protocol)
    if ptype is None:
        if net.taps:
            net.ledger.consume(skb)
        else:
            skb.dev.statistics.rx_dropped += 1
            net.ledger.drop(skb, DropReason.UNHANDLED_PROTO)
    return ptype


def _untag(skb: Skb) -> tuple[bool, int]:
    """skb_vlan_untag: move the outer tag of the frame into the skb. Returns (tagged, ethertype behind the tag)."""
    vlans = skb.hdr.vlans
    done = skb.vlans_removed
    if done >= len(vlans):
        return False, skb.hdr.protocol
    tag_protocol, tci = vlans[done]
    skb.vlan_tci = tag_protocol << 16 | tci
    skb.vlans_removed = done + 1
    skb.len_bytes -= 4
    return True, vlans[done + 1][0] if done + 1 < len(vlans) else skb.hdr.protocol


def netif_receive_skb(sd: SoftnetData, skb: Skb) -> None:
    """__netif_receive_skb: one skb through the demux to its handler, on this CPU."""
    net = sd.net
    sd.cpu.local_now_ns += net.costs.deliver_skb_ns
    ptype = net.ptypes.get(skb.hdr.ethertype) if not net.taps and skb.vlan_tci < 0 else None
    if ptype is not None:
        sd.processed += 1
        ptype.func(sd, skb)
        return
    ptype = netif_receive_skb_core(sd, skb)
    if ptype is not None:
        ptype.func(sd, skb)


def netif_receive_skb_list(sd: SoftnetData, skbs: list[Skb]) -> None:
    """__netif_receive_skb_list_core: all through the demux, then consecutive ones of a type to its list handler (D4)."""
    net = sd.net
    sd.cpu.local_now_ns += net.costs.deliver_skb_ns * len(skbs)
    ptypes = net.ptypes
    plain = not net.taps
    first = skbs[0].hdr.ethertype
    if plain and not [skb for skb in skbs if skb.vlan_tci >= 0 or skb.hdr.ethertype != first]:
        ptype = ptypes.get(first)
        if ptype is not None and ptype.list_func is not None:
            # All of one type, and nobody looks on: the whole list is the sublist.
            sd.processed += len(skbs)
            ptype.list_func(sd, skbs)
            return
    sublist: list[Skb] = []
    current: PacketType | None = None
    counted = 0
    for skb in skbs:
        ptype = ptypes.get(skb.hdr.ethertype) if plain and skb.vlan_tci < 0 else None
        if ptype is not None:
            counted += 1
        else:
            ptype = netif_receive_skb_core(sd, skb)
            if ptype is None:
                continue
        if ptype is not current:
            if sublist:
                _dispatch(sd, current, sublist)
                sublist = []
            current = ptype
        sublist.append(skb)
    sd.processed += counted
    if sublist:
        _dispatch(sd, current, sublist)


def _dispatch(sd: SoftnetData, ptype: PacketType | None, sublist: list[Skb]) -> None:
    assert ptype is not None
    if ptype.list_func is not None:
        ptype.list_func(sd, sublist)
    else:
        for skb in sublist:
            ptype.func(sd, skb)
