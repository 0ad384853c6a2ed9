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
from netstack.ip_options import BAD, SOURCE_ROUTED, compile_options
from netstack.list_path import Straight, rcv_list, rcv_plain_lists
from netstack.route import BROADCAST, LOCAL, MARTIAN, MULTICAST, UNREACHABLE
from netstack.sock import checksum_ns, summed_bytes

if TYPE_CHECKING:
    from netstack.sink_posts import SinkPosts
    from netstack.sock import Socket
    from netstack.stack import NetStack
    from softirq.softnet_data import SoftnetData

IPPROTO_IGMP: Final = 2
ICMP_DEST_UNREACH: Final = 3
ICMP_PROT_UNREACH: Final = 2
ICMP_PARAMETERPROB: Final = 12


class IpInput:
    """The handler of ETH_P_IP."""

    def __init__(self, stack: NetStack) -> None:
        net = stack.net
        self._stack = stack
        self._net = net
        self._snmp = stack.snmp
        self._ip = stack.snmp.Ip
        self._ext = stack.snmp.IpExt
        self._tcp = stack.snmp.Tcp
        self._fast = stack.tables.fast
        self._fast_ecn = stack.tables.fast_ecn
        self._csum_ps = net.costs.csum_ps
        self._post = net.clock.post
        self._ip_rcv_ns = net.costs.ip_rcv_ns
        self._other_rcv_ns = net.costs.other_rcv_ns
        self._skb_free_ns = net.costs.skb_free_ns

    def ip_rcv(self, sd: SoftnetData, skb: Skb) -> None:
        """One packet from the demux: a list of one."""
        self._count(rcv_list(sd, [skb], self._ip_rcv_ns, self._fast, self._rcv, self._net.clock, self._sinks()))

    def ip_list_rcv(self, sd: SoftnetData, skbs: list[Skb]) -> None:
        """A sublist from the demux (D4). All header checks are paid first, then packet by packet what comes behind (IP2)."""
        self._count(rcv_list(sd, skbs, self._ip_rcv_ns, self._fast, self._rcv, self._net.clock, self._sinks()))

    def ip_queue_rcv(self, sd: SoftnetData, skbs: list[Skb], lead_ns: int, waits: list[int]) -> None:
        """ip_rcv for packets of a backlog, one after the other (`PacketType.queue_func`)."""
        self._count(
            rcv_list(sd, skbs, self._ip_rcv_ns, self._fast, self._rcv, self._net.clock, self._sinks(), waits, lead_ns)
        )

    def ip_plain_rcv(self, sd: SoftnetData, skbs: list[Skb], sizes: list[int], lead_ns: int, waits: list[int]) -> bool:
        """Whole lists of data for sinks (`PacketType.plain_func`)."""
        straight = rcv_plain_lists(sd, skbs, sizes, ETH_P_IP, self._ip_rcv_ns, self._sinks(), lead_ns, waits)
        if straight is None:
            return False
        self._count(straight)
        return True

    def _sinks(self) -> SinkPosts | None:
        """Where data for sinks may be posted late; None where somebody looks at each packet."""
        return self._stack.sink_posts if self._net.trace is None else None

    def _count(self, straight: Straight) -> None:
        if straight.skbs:
            self._ip.InReceives += straight.skbs
            self._ip.InDelivers += straight.skbs
            self._ext.InOctets += straight.octets
            self._ext.InNoECTPkts += straight.skbs + straight.segments
            self._tcp.InSegs += straight.tcp_segs

    def _rcv(self, sd: SoftnetData, skb: Skb) -> None:
        """ip_rcv_core and ip_rcv_finish, check by check (section 8)."""
        hdr = skb.hdr
        ledger = self._net.ledger
        if skb.pkt_type == PACKET_OTHERHOST:
            skb.dev.statistics.rx_otherhost_dropped += 1
            self._free(sd)
            ledger.drop(skb, DropReason.OTHERHOST)
            return
        snmp = self._snmp
        ip, ext = snmp.Ip, snmp.IpExt
        ip.InReceives += 1
        ext.InOctets += skb.len_bytes
        problem = hdr.ip_problem
        if problem == "inhdr":
            ip.InHdrErrors += 1
            self._free(sd)
            ledger.drop(skb, DropReason.IP_INHDR)
            return
        segs = skb.gso_segs or 1
        ecn = hdr.tos & 3
        if ecn == 0:
            ext.InNoECTPkts += segs
        elif ecn == 1:
            ext.InECT1Pkts += segs
        elif ecn == 2:
            ext.InECT0Pkts += segs
        else:
            ext.InCEPkts += segs
        known = (self._fast_ecn if ecn else self._fast).get(hdr)
        if known is not None and not skb.pkt_type and (segs == 1 or known.gro):
            self._straight(sd, skb, known)
            return
        if problem is not None:
            self._free(sd)
            if problem == "csum":
                ext.InCsumErrors += 1
                ip.InHdrErrors += 1
                ledger.drop(skb, DropReason.IP_CSUM)
            elif problem == "truncated":
                ext.InTruncatedPkts += 1
                ledger.drop(skb, DropReason.PKT_TOO_SMALL)
            else:
                ip.InHdrErrors += 1
                ledger.drop(skb, DropReason.IP_INHDR)
            return
        route = self._stack.routes.input4(hdr)
        if route == MARTIAN:
            self._free(sd)
            ledger.drop(skb, DropReason.NOT_SPECIFIED)
            return
        if hdr.ihl_byte != 0x45:
            start = hdr.network_offset + 20
            verdict = compile_options(hdr.template[start : hdr.l4_offset])
            if verdict == BAD:
                ip.InHdrErrors += 1
                self._stack.answers.icmp_send(sd, skb, ICMP_PARAMETERPROB, 0, route)
                self._free(sd)
                ledger.drop(skb, DropReason.NOT_SPECIFIED)
                return
            if verdict == SOURCE_ROUTED:
                self._free(sd)
                ledger.drop(skb, DropReason.NOT_SPECIFIED)
                return
        if route == UNREACHABLE:
            ip.InAddrErrors += 1
            self._free(sd)
            ledger.drop(skb, DropReason.IP_INADDRERRORS)
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

    def _straight(self, sd: SoftnetData, skb: Skb, sock: Socket) -> None:
        """What is left to do for a packet with remembered headers that the list loop did not take: ECN bits, or no sum from the NIC."""
        cpu = sd.cpu
        self._ip.InDelivers += 1
        self._tcp.InSegs += sock.in_segs
        cpu.local_now_ns += sock.rcv_ns + checksum_ns(self._csum_ps, skb, summed_bytes(skb, sock.in_segs))
        self._post(cpu, sock, skb)

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
            self._snmp.Ip.InUnknownProtos += 1
            stack.answers.icmp_send(sd, skb, ICMP_DEST_UNREACH, ICMP_PROT_UNREACH, route)
            self._free(sd)
            self._net.ledger.drop(skb, DropReason.IP_NOPROTO)
            return
        self._snmp.Ip.InDelivers += 1
        if (
            sock is not None
            and route == LOCAL
            and hdr.ihl_byte == 0x45
            and not hdr.fragment
            and skb.pkt_type == PACKET_HOST
            and (hdr.l4_csum_ok or hdr.l4_csum_zero)
        ):
            stack.tables.remember(hdr, sock)

    def _free(self, sd: SoftnetData) -> None:
        sd.cpu.local_now_ns += self._skb_free_ns
