"""What the NIC finds out about a frame: whose it is, its queue, its hash, its checksum state, its VLAN tag.

Models: the MAC filter and promiscuous mode, RSS, checksum offload, VLAN stripping, eth_type_trans's packet type. Decided once per
`Headers` and remembered; `forget` after any setting changed.
Leaves out: flow director filters.
Source: rules C5, H5-H8; ethernet/intel/ice ice_rx_csum (6.9) for which frames it vouches for.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Final

from emu.headers import (
    ETH_HLEN,
    IPPROTO_DSTOPTS,
    IPPROTO_ROUTING,
    IPPROTO_TCP,
    IPPROTO_UDP,
    Headers,
)
from emu.skb import (
    CHECKSUM_NONE,
    CHECKSUM_UNNECESSARY,
    HASH_L4,
    HASH_NONE,
    PACKET_BROADCAST,
    PACKET_HOST,
    PACKET_MULTICAST,
    PACKET_OTHERHOST,
    Skb,
)

if TYPE_CHECKING:
    from nic.arrivals import Arrivals
    from nic.rss import Rss
    from softirq.device import NetDevice

BROADCAST_MAC: Final = b"\xff" * 6
ALL_HOSTS_MACS: Final = frozenset((b"\x01\x00\x5e\x00\x00\x01", b"\x33\x33\x00\x00\x00\x01"))
"""Groups that every host of IPv4 and IPv6 is in."""
SOLICITED_NODE_MAC: Final = b"\x33\x33\xff"
"""Followed by the last three bytes of a local IPv6 address."""

_UNTOLD: Final = frozenset((IPPROTO_ROUTING, IPPROTO_DSTOPTS))
"""Extension headers behind which the device does not look for a checksum."""

VLAN_TAG_BYTES: Final = 4
MACS_BYTES: Final = 12
MEMO_LIMIT: Final = 1 << 16


class Verdict:
    """What is true of all frames with the same headers, and where they go. `queue` is -1 for a frame that the MAC filter refuses."""

    __slots__ = (
        "arrivals",
        "frames",
        "hash",
        "hash_kind",
        "ip_summed",
        "is_odd",
        "is_plain",
        "pkt_type",
        "queue",
        "stripped",
        "vlan_tci",
    )

    arrivals: Arrivals
    """Whose verdict it is, as machines may share headers: set with the lane of the headers."""
    frames: list[Skb]
    """The list of their ring: set with the lane."""

    def __init__(self, pkt_type: int) -> None:
        self.queue = -1
        self.hash = 0
        self.hash_kind = HASH_NONE
        self.ip_summed = CHECKSUM_NONE
        self.pkt_type = pkt_type
        self.stripped: Headers | None = None
        """Headers without the outer VLAN tag, when the NIC takes it off."""
        self.vlan_tci = -1
        self.is_odd = True
        """More is to be set on the skb than queue, hash and checksum state, or it is refused."""
        self.is_plain = False
        """Not odd, and with an L4 hash and a checksum that the device vouches for."""


class Steering:
    """The decisions for one device."""

    def __init__(self, dev: NetDevice, rss: Rss) -> None:
        self.dev = dev
        self.rss = rss
        self.all_multicast = False
        self.multicast_macs: set[bytes] = set(ALL_HOSTS_MACS)
        """Groups the device was told to receive, besides the solicited-node groups of its addresses."""
        self._verdicts: dict[Headers, Verdict] = {}
        self._tagged: dict[Headers, Headers] = {}
        """Stripped headers -> as they were on the wire."""

    def forget(self) -> None:
        """A setting changed: decide anew."""
        for hdr in self._verdicts:
            hdr.lane = None
        self._verdicts.clear()

    def verdict(self, hdr: Headers) -> Verdict:
        """The verdict on frames with `hdr`."""
        verdict = self._verdicts.get(hdr)
        if verdict is None:
            if len(self._verdicts) >= MEMO_LIMIT:
                self.forget()
            verdict = self._verdicts[hdr] = self._decide(hdr)
        return verdict

    def apply_odd(self, skb: Skb, verdict: Verdict) -> None:
        """Set what `is_odd` stands for on a frame that is not refused."""
        skb.pkt_type = verdict.pkt_type
        if verdict.stripped is not None:
            self._tagged[verdict.stripped] = skb.hdr
            skb.hdr = verdict.stripped
            skb.vlan_tci = verdict.vlan_tci
            skb.len_bytes -= VLAN_TAG_BYTES
            if skb.data is not None:
                skb.data = skb.data[:MACS_BYTES] + skb.data[MACS_BYTES + VLAN_TAG_BYTES :]

    def undo_odd(self, skb: Skb) -> None:
        """Make a steered frame what it was on the wire, before it is steered again."""
        skb.pkt_type = PACKET_HOST
        if skb.vlan_tci >= 0:
            if skb.data is not None:
                skb.data = skb.data[:MACS_BYTES] + skb.vlan_tci.to_bytes(VLAN_TAG_BYTES, "big") + skb.data[MACS_BYTES:]
            skb.hdr = self._tagged[skb.hdr]
            skb.vlan_tci = -1
            skb.len_bytes += VLAN_TAG_BYTES

    def _decide(self, hdr: Headers) -> Verdict:
        dev = self.dev
        pkt_type = packet_type(hdr, dev.address)
        verdict = Verdict(pkt_type)
        if pkt_type != PACKET_HOST and not self._passes_filter(hdr, pkt_type):
            return verdict
        value, kind, verdict.queue = self.rss.classify(hdr)
        if kind != HASH_NONE and dev.rxhash:
            verdict.hash, verdict.hash_kind = value, kind
        if dev.rx_checksum and hardware_vouches(hdr):
            verdict.ip_summed = CHECKSUM_UNNECESSARY
        if hdr.vlans and dev.rx_vlan_offload:
            verdict.stripped, verdict.vlan_tci = strip_vlan(hdr)
        elif pkt_type == PACKET_HOST:
            verdict.is_odd = False
            verdict.is_plain = verdict.hash_kind == HASH_L4 and verdict.ip_summed == CHECKSUM_UNNECESSARY
        return verdict

    def _passes_filter(self, hdr: Headers, pkt_type: int) -> bool:
        if self.dev.promiscuous or pkt_type == PACKET_BROADCAST:
            return True
        if pkt_type == PACKET_OTHERHOST:
            return False
        mac = hdr.dst_mac
        if self.all_multicast or mac in self.multicast_macs:
            return True
        return mac.startswith(SOLICITED_NODE_MAC) and any(
            len(address) == 16 and address.endswith(mac[3:]) for address in self.dev.local_addresses
        )


def packet_type(hdr: Headers, address: bytes) -> int:
    """eth_type_trans: what the destination MAC says of a frame that a station with `address` receives."""
    mac = hdr.dst_mac
    if mac == address:
        return PACKET_HOST
    if mac == BROADCAST_MAC:
        return PACKET_BROADCAST
    return PACKET_MULTICAST if mac and mac[0] & 1 else PACKET_OTHERHOST


def hardware_vouches(hdr: Headers) -> bool:
    """Whether the device reports good checksums: whole TCP and UDP over sound IP, no fragment, no routing or destination options."""
    return (
        hdr.l4_protocol in (IPPROTO_TCP, IPPROTO_UDP)
        and hdr.l4_header_whole
        and not hdr.fragment
        and hdr.ip_problem is None
        and hdr.l4_csum_ok
        and not (hdr.extension_headers and _UNTOLD.intersection(hdr.extension_headers))
    )


def strip_vlan(hdr: Headers) -> tuple[Headers, int]:
    """The headers without the outer VLAN tag, and the tag: protocol << 16 | tci."""
    protocol, tci = hdr.vlans[0]
    stripped = copy.copy(hdr)
    stripped.forget()
    stripped.vlans = hdr.vlans[1:]
    stripped.ethertype = stripped.vlans[0][0] if stripped.vlans else hdr.protocol
    stripped.mac = hdr.mac[:12] + stripped.ethertype.to_bytes(2, "big")
    stripped.template = stripped.mac + hdr.template[ETH_HLEN + VLAN_TAG_BYTES :]
    stripped.network_offset -= VLAN_TAG_BYTES
    stripped.header_bytes -= VLAN_TAG_BYTES
    if hdr.l4_offset:
        stripped.l4_offset -= VLAN_TAG_BYTES
    return stripped, protocol << 16 | tci
