"""IPv4 input: header checks in the kernel's order, routing, delivery to the transport protocols.

Models: section 8, IP1, IP2, K2: ip_rcv, ip_list_rcv, options, ECN counts, unknown protocols.
Leaves out: netfilter hooks, raw sockets, tunnels, IGMP's state, source routes (refused, as by default).
Source: net/ipv4/ip_input.c, ip_options.c (6.9).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from emu.dropreason import DropReason
from emu.headers import ETH_P_IP, IPPROTO_ICMP, IPPROTO_TCP, IPPROTO_UDP
from emu.skb import PACKET_HOST, PACKET_OTHERHOST, Skb
from netstack.inet_input import InetInput
from netstack.ip_options import BAD, SOURCE_ROUTED, compile_options
from netstack.route import BROADCAST, LOCAL, MARTIAN, MULTICAST, UNREACHABLE

if TYPE_CHECKING:
    from netstack.stack import NetStack
    from softirq.softnet_data import SoftnetData

IPPROTO_IGMP: Final = 2
ICMP_DEST_UNREACH: Final = 3
ICMP_PROT_UNREACH: Final = 2
ICMP_PARAMETERPROB: Final = 12


class IpInput(InetInput):
    """The handler of ETH_P_IP."""

    def __init__(self, stack: NetStack) -> None:
        snmp = stack.snmp
        super().__init__(stack, ETH_P_IP, stack.net.costs.ip_rcv_ns, snmp.Ip, snmp.IpExt)
        self._ip = snmp.Ip
        self._ip_ext = snmp.IpExt

    def ip_rcv(self, sd: SoftnetData, skb: Skb) -> None:
        """One packet from the demux: a list of one."""
        self._take(sd, [skb])

    def ip_list_rcv(self, sd: SoftnetData, skbs: list[Skb]) -> None:
        """A sublist from the demux (D4). All header checks are paid first, then packet by packet what comes behind (IP2)."""
        self._take(sd, skbs)

    def _rcv(self, sd: SoftnetData, skb: Skb) -> None:
        """ip_rcv_core and ip_rcv_finish, check by check (section 8)."""
        hdr = skb.hdr
        if skb.pkt_type == PACKET_OTHERHOST:
            skb.dev.statistics.rx_otherhost_dropped += 1
            self._drop(sd, skb, DropReason.OTHERHOST)
            return
        ip, ext = self._ip, self._ip_ext
        ip.InReceives += 1
        ext.InOctets += skb.len_bytes
        problem = hdr.ip_problem
        if problem == "inhdr":
            ip.InHdrErrors += 1
            self._drop(sd, skb, DropReason.IP_INHDR)
            return
        segs = skb.gso_segs or 1
        ecn = hdr.tos & 3
        self._count_ecn(ecn, segs)
        known = self._known(skb, ecn, segs)
        if known is not None:
            self._straight(sd, skb, known)
            return
        if problem is not None:
            if problem == "csum":
                ext.InCsumErrors += 1
                ip.InHdrErrors += 1
                self._drop(sd, skb, DropReason.IP_CSUM)
            elif problem == "truncated":
                ext.InTruncatedPkts += 1
                self._drop(sd, skb, DropReason.PKT_TOO_SMALL)
            else:
                ip.InHdrErrors += 1
                self._drop(sd, skb, DropReason.IP_INHDR)
            return
        route = self._stack.routes.input4(hdr)
        if route == MARTIAN:
            self._drop(sd, skb, DropReason.NOT_SPECIFIED)
            return
        if hdr.ihl_byte != 0x45:
            start = hdr.network_offset + 20
            verdict = compile_options(hdr.template[start : hdr.l4_offset])
            if verdict == BAD:
                ip.InHdrErrors += 1
                self._stack.answers.icmp_send(sd, skb, ICMP_PARAMETERPROB, 0, route)
                self._drop(sd, skb, DropReason.NOT_SPECIFIED)
                return
            if verdict == SOURCE_ROUTED:
                self._drop(sd, skb, DropReason.NOT_SPECIFIED)
                return
        if route == UNREACHABLE:
            ip.InAddrErrors += 1
            self._drop(sd, skb, DropReason.IP_INADDRERRORS)
            return
        if route == MULTICAST:
            ext.InMcastPkts += 1
            ext.InMcastOctets += skb.len_bytes - max(hdr.trailer_bytes, 0)
        elif route == BROADCAST:
            ext.InBcastPkts += 1
            ext.InBcastOctets += skb.len_bytes - max(hdr.trailer_bytes, 0)
        if hdr.fragment:
            whole = self._stack.fragments.defrag(sd, skb)
            if whole is None:
                return
            skb = whole
        self.deliver(sd, skb, route)

    def deliver(self, sd: SoftnetData, skb: Skb, route: int) -> None:
        """ip_protocol_deliver_rcu: to the transport protocol; what it does with the packet does not matter to InDelivers (IP1)."""
        hdr = skb.hdr
        protocol = hdr.l4_protocol
        stack = self._stack
        if protocol == IPPROTO_TCP:
            sock = stack.tcp.tcp_rcv(sd, skb)
        elif protocol == IPPROTO_UDP:
            sock = stack.udp.udp_rcv(sd, skb, route)
        elif protocol == IPPROTO_ICMP:
            stack.icmp.icmp_rcv(sd, skb, route)
            sock = None
        elif protocol == IPPROTO_IGMP:
            sd.cpu.local_now_ns += self._other_rcv_ns
            self._net.ledger.consume(skb)
            sock = None
        else:
            sd.cpu.local_now_ns += self._other_rcv_ns
            self._ip.InUnknownProtos += 1
            stack.answers.icmp_send(sd, skb, ICMP_DEST_UNREACH, ICMP_PROT_UNREACH, route)
            self._drop(sd, skb, DropReason.IP_NOPROTO)
            return
        self._ip.InDelivers += 1
        if (
            sock is not None
            and route == LOCAL
            and hdr.ihl_byte == 0x45
            and not hdr.fragment
            and skb.pkt_type == PACKET_HOST
            and (hdr.l4_csum_ok or hdr.l4_csum_zero)
        ):
            stack.tables.remember(hdr, sock)
