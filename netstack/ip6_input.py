"""IPv6 input: header checks in the kernel's order, routing, extension headers, delivery.

Models: ip6_rcv_core, ip6_input_finish; Ip6 counters, unknown headers.
Leaves out: what hop-by-hop, routing and destination options ask for, forwarding, multicast memberships beyond `Routes`.
Source: net/ipv6/ip6_input.c (6.9); the recordings udp6_*. Drop reasons of addresses that are not ours are not verified.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from emu.dropreason import DropReason
from emu.headers import ETH_P_IPV6, IPPROTO_FRAGMENT, IPPROTO_ICMPV6, IPPROTO_NONE, IPPROTO_TCP, IPPROTO_UDP
from emu.skb import PACKET_HOST, PACKET_OTHERHOST, Skb
from netstack.inet_input import InetInput
from netstack.route import LOCAL, LOOPBACK6, MULTICAST, UNREACHABLE

if TYPE_CHECKING:
    from netstack.stack import NetStack
    from softirq.softnet_data import SoftnetData

ICMPV6_PARAMPROB = 4
ICMPV6_UNK_NEXTHDR = 1


class Ip6Input(InetInput):
    """The handler of ETH_P_IPV6."""

    def __init__(self, stack: NetStack) -> None:
        ip6 = stack.snmp.Ip6
        super().__init__(stack, ETH_P_IPV6, stack.net.costs.ipv6_rcv_ns, ip6, ip6)
        self._ip6 = ip6

    def ipv6_rcv(self, sd: SoftnetData, skb: Skb) -> None:
        """One packet from the demux: a list of one."""
        self._take(sd, [skb])

    def ipv6_list_rcv(self, sd: SoftnetData, skbs: list[Skb]) -> None:
        """A sublist from the demux: all header checks are paid first, as in IpInput."""
        self._take(sd, skbs)

    def _rcv(self, sd: SoftnetData, skb: Skb) -> None:
        """ip6_rcv_core and the route, check by check."""
        hdr = skb.hdr
        if skb.pkt_type == PACKET_OTHERHOST:
            skb.dev.statistics.rx_otherhost_dropped += 1
            self._drop(sd, skb, DropReason.OTHERHOST)
            return
        ip6 = self._ip6
        ip6.InReceives += 1
        ip6.InOctets += skb.len_bytes
        if hdr.ip_problem == "inhdr":
            ip6.InHdrErrors += 1
            self._drop(sd, skb, DropReason.IP_INHDR)
            return
        segs = skb.gso_segs or 1
        ecn = hdr.tos & 3
        self._count_ecn(ecn, segs)
        known = self._known(skb, ecn, segs)
        if known is not None:
            self._straight(sd, skb, known)
            return
        saddr, daddr = hdr.saddr, hdr.daddr
        if LOOPBACK6 in (saddr, daddr) or saddr[0] == 0xFF or (daddr[0] == 0xFF and daddr[1] & 15 <= 1):
            ip6.InHdrErrors += 1
            self._drop(sd, skb, DropReason.IP_INHDR)
            return
        if hdr.ip_problem is not None:
            ip6.InTruncatedPkts += 1
            self._drop(sd, skb, DropReason.PKT_TOO_SMALL)
            return
        route = self._stack.routes.input6(hdr)
        if route == UNREACHABLE:
            ip6.InAddrErrors += 1
            self._drop(sd, skb, DropReason.IP_INADDRERRORS)
            return
        if route == MULTICAST:
            ip6.InMcastPkts += 1
            ip6.InMcastOctets += skb.len_bytes - max(hdr.trailer_bytes, 0)
        if IPPROTO_FRAGMENT in hdr.extension_headers:
            if hdr.fragment:
                whole = self._stack.fragments.defrag(sd, skb)
                if whole is None:
                    return
                skb = whole
            else:
                ip6.ReasmReqds += 1
                ip6.ReasmOKs += 1
        self.deliver(sd, skb, route)

    def deliver(self, sd: SoftnetData, skb: Skb, route: int) -> None:
        """ip6_protocol_deliver_rcu: to the transport protocol behind all extension headers."""
        hdr = skb.hdr
        protocol = hdr.l4_protocol
        stack = self._stack
        sock = None
        if protocol == IPPROTO_TCP:
            sock = stack.tcp.tcp_rcv(sd, skb)
        elif protocol == IPPROTO_UDP:
            sock = stack.udp.udp_rcv(sd, skb, route)
        elif protocol == IPPROTO_ICMPV6:
            stack.icmp.icmp6_rcv(sd, skb)
        elif protocol == IPPROTO_NONE:
            sd.cpu.local_now_ns += self._other_rcv_ns
            self._drop(sd, skb, DropReason.NOT_SPECIFIED)
        else:
            sd.cpu.local_now_ns += self._other_rcv_ns
            self._ip6.InUnknownProtos += 1
            stack.answers.icmp6_send(sd, skb, ICMPV6_PARAMPROB, ICMPV6_UNK_NEXTHDR)
            self._drop(sd, skb, DropReason.IP_NOPROTO)
            return
        self._ip6.InDelivers += 1
        if (
            sock is not None
            and route == LOCAL
            and not hdr.extension_headers
            and skb.pkt_type == PACKET_HOST
            and hdr.l4_csum_ok
            and not hdr.l4_csum_zero
        ):
            stack.tables.remember(hdr, sock)
