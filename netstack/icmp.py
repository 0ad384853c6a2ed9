"""ICMP and ICMPv6 input: counts, checksum, echo answers.

Models: U8 and its IPv6 counterpart.
Leaves out: what errors do to sockets, ping sockets, neighbour discovery (counted and consumed), probes (off by default).
Source: net/ipv4/icmp.c icmp_rcv, net/ipv6/icmp.c icmpv6_rcv (6.9).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from emu.dropreason import DropReason
from emu.skb import Skb
from netstack.route import LOCAL
from netstack.sock import checksum_ns, checksum_wrong

if TYPE_CHECKING:
    from netstack.stack import NetStack
    from softirq.softnet_data import SoftnetData

NR_ICMP_TYPES: Final = 18
"""The highest type that has a handler slot."""
ICMP_ECHOREPLY: Final = 0
ICMP_ECHO: Final = 8
ICMP_TIMESTAMP: Final = 13
ICMP_EXT_ECHO: Final = 42
ICMP_EXT_ECHOREPLY: Final = 43
ICMPV6_ECHO_REQUEST: Final = 128
ICMPV6_ECHO_REPLY: Final = 129
ICMPV6_INFOMSG_MASK: Final = 0x80
ICMP_HLEN: Final = 8
TIMESTAMP_BYTES: Final = 12

_IN_COLUMN: Final = {
    0: "InEchoReps",
    3: "InDestUnreachs",
    4: "InSrcQuenchs",
    5: "InRedirects",
    8: "InEchos",
    11: "InTimeExcds",
    12: "InParmProbs",
    13: "InTimestamps",
    14: "InTimestampReps",
    17: "InAddrMasks",
    18: "InAddrMaskReps",
}
_IN6_COLUMN: Final = {
    1: "InDestUnreachs",
    2: "InPktTooBigs",
    3: "InTimeExcds",
    4: "InParmProblems",
    128: "InEchos",
    129: "InEchoReplies",
    130: "InGroupMembQueries",
    131: "InGroupMembResponses",
    132: "InGroupMembReductions",
    133: "InRouterSolicits",
    134: "InRouterAdvertisements",
    135: "InNeighborSolicits",
    136: "InNeighborAdvertisements",
    137: "InRedirects",
    143: "InMLDv2Reports",
}


class IcmpInput:
    """icmp_rcv and icmpv6_rcv."""

    def __init__(self, stack: NetStack) -> None:
        self._stack = stack
        self._snmp = stack.snmp
        self._ledger = stack.net.ledger
        self._costs = stack.net.costs

    def icmp_rcv(self, sd: SoftnetData, skb: Skb, route: int) -> None:
        """One ICMP message over IPv4 (U8)."""
        hdr = skb.hdr
        icmp = self._snmp.Icmp
        costs = self._costs
        sd.cpu.local_now_ns += costs.icmp_rcv_ns + checksum_ns(costs.csum_ps, skb, skb.payload_bytes + ICMP_HLEN)
        sd.cpu.local_now_ns += costs.skb_free_ns
        icmp.InMsgs += 1
        if checksum_wrong(skb):
            icmp.InCsumErrors += 1
            icmp.InErrors += 1
            self._ledger.drop(skb, DropReason.ICMP_CSUM)
            return
        if not hdr.l4_header_whole:
            icmp.InErrors += 1
            self._ledger.drop(skb, DropReason.NOT_SPECIFIED)
            return
        kind = hdr.icmp_type
        self._snmp.IcmpMsgInType[kind] += 1
        if kind == ICMP_EXT_ECHO:
            self._consume(skb)
            return
        if kind == ICMP_EXT_ECHOREPLY:
            self._ledger.drop(skb, DropReason.NO_SOCKET)
            return
        if kind > NR_ICMP_TYPES:
            icmp.InErrors += 1
            self._ledger.drop(skb, DropReason.UNHANDLED_PROTO)
            return
        if route != LOCAL:
            if kind in (ICMP_ECHO, ICMP_TIMESTAMP):
                icmp.InErrors += 1
                self._ledger.drop(skb, DropReason.INVALID_PROTO)
                return
            if kind not in (ICMP_ECHOREPLY, 14, 17, 18):
                icmp.InErrors += 1
                self._ledger.drop(skb, DropReason.INVALID_PROTO)
                return
        column = _IN_COLUMN.get(kind)
        if column is not None:
            setattr(icmp, column, getattr(icmp, column) + 1)
        if kind == ICMP_ECHOREPLY:
            self._ledger.drop(skb, DropReason.NO_SOCKET)
            return
        ip_bytes = skb.len_bytes - max(hdr.trailer_bytes, 0)
        if kind == ICMP_ECHO:
            self._stack.answers.icmp_out(skb, ICMP_ECHOREPLY, ip_bytes)
        elif kind == ICMP_TIMESTAMP:
            if skb.payload_bytes < TIMESTAMP_BYTES:
                icmp.InErrors += 1
                self._ledger.drop(skb, DropReason.PKT_TOO_SMALL)
                return
            self._stack.answers.icmp_out(skb, 14, 20 + ICMP_HLEN + TIMESTAMP_BYTES)
        self._consume(skb)

    def icmp6_rcv(self, sd: SoftnetData, skb: Skb) -> None:
        """One ICMPv6 message."""
        hdr = skb.hdr
        icmp = self._snmp.Icmp6
        costs = self._costs
        sd.cpu.local_now_ns += costs.icmp_rcv_ns + checksum_ns(costs.csum_ps, skb, skb.payload_bytes + ICMP_HLEN)
        sd.cpu.local_now_ns += costs.skb_free_ns
        icmp.InMsgs += 1
        if checksum_wrong(skb):
            icmp.InCsumErrors += 1
            icmp.InErrors += 1
            self._ledger.drop(skb, DropReason.ICMP_CSUM)
            return
        if not hdr.l4_header_whole:
            icmp.InErrors += 1
            self._ledger.drop(skb, DropReason.NOT_SPECIFIED)
            return
        kind = hdr.icmp_type
        self._snmp.Icmp6InType[kind] += 1
        column = _IN6_COLUMN.get(kind)
        if column is not None:
            setattr(icmp, column, getattr(icmp, column) + 1)
        if kind == ICMPV6_ECHO_REPLY:
            self._ledger.drop(skb, DropReason.NO_SOCKET)
            return
        if kind == ICMPV6_ECHO_REQUEST:
            self._stack.answers.icmp6_out(skb, ICMPV6_ECHO_REPLY, skb.len_bytes - max(hdr.trailer_bytes, 0))
        self._consume(skb)

    def _consume(self, skb: Skb) -> None:
        self._ledger.consume(skb)
