"""What IPv4 and IPv6 input share: the ways in from the demux, counting what went straight, and the end of a drop.

Models: D4, IP2: lists, runs out of a backlog, whole lists for sinks; InReceives, InDelivers, InOctets and the ECN counts.
Leaves out: every check of a header (`netstack.ip_input`, `netstack.ip6_input`).
Source: net/ipv4/ip_input.c, net/ipv6/ip6_input.c (6.9).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from emu.headers import TCP_FIN
from netstack.list_path import Straight, plain_run, rcv_list
from netstack.sink_way import SinkWay
from netstack.sock import checksum_ns, summed_bytes
from softirq.plain_way import NO_WAY, PlainWay

if TYPE_CHECKING:
    from cpus.cpu import Cpu
    from emu.dropreason import DropReason
    from emu.skb import Received, Skb
    from netstack.mib import Ip6Mib, IpExtMib, IpMib
    from netstack.sink_posts import SinkLane
    from netstack.sock import Socket
    from netstack.stack import NetStack
    from softirq.softnet_data import SoftnetData


class InetInput:
    """The handler of `ethertype`, whose headers cost `rcv_ns`.

    Packets and deliveries are counted in `mib`, octets and ECN in `ext`: two tables in IPv4, one in IPv6.
    """

    def __init__(
        self, stack: NetStack, ethertype: int, rcv_ns: int, mib: IpMib | Ip6Mib, ext: IpExtMib | Ip6Mib
    ) -> None:
        net = stack.net
        self._stack = stack
        self._net = net
        self._ethertype = ethertype
        self._rcv_ns = rcv_ns
        self._mib = mib
        self._ext = ext
        self._tcp = stack.snmp.Tcp
        self._fast = stack.tables.fast
        self._fast_ecn = stack.tables.fast_ecn
        self._csum_ps = net.costs.csum_ps
        self._post = net.clock.post
        self._lanes: dict[Cpu, SinkLane] = {}
        self._other_rcv_ns = net.costs.other_rcv_ns
        self._skb_free_ns = net.costs.skb_free_ns

    def queue_rcv(self, sd: SoftnetData, skbs: list[Skb], lead_ns: int, waits: list[int]) -> None:
        """Packets of a backlog, one after the other (`PacketType.queue_func`)."""
        self._take(sd, skbs, waits, lead_ns)

    def plain_run(self, sd: SoftnetData, skbs: list[Skb], lead_ns: int, waits: list[int]) -> bool:
        """Data for sinks out of a backlog (`PacketType.plain_run`)."""
        lane = self._lane(sd.cpu)
        return lane is not None and plain_run(lane, skbs, self._ethertype, waits, lead_ns)

    def plain_way(self, sd: SoftnetData, received: Received) -> PlainWay:
        """The way of data for sinks in one poll (`PacketType.plain_way`)."""
        lane = self._lane(sd.cpu)
        return NO_WAY if lane is None else SinkWay(sd, received, lane)

    def _take(self, sd: SoftnetData, skbs: list[Skb], waits: list[int] | None = None, lead_ns: int = 0) -> None:
        clock = self._net.clock
        self._count(rcv_list(sd, skbs, self._rcv_ns, self._fast, self._rcv, clock, self._lane(sd.cpu), waits, lead_ns))

    def _rcv(self, sd: SoftnetData, skb: Skb) -> None:
        """One packet, check by check."""
        raise NotImplementedError

    def _lane(self, cpu: Cpu) -> SinkLane | None:
        """Where data for sinks may be posted late; None where somebody looks at each packet."""
        posts = self._stack.sink_posts
        if posts is None or self._net.trace is not None:
            return None
        lane = self._lanes.get(cpu)
        if lane is None:
            lane = self._lanes[cpu] = posts.lane(cpu, self._rcv_ns, self._count)
        return lane

    def _count(self, straight: Straight) -> None:
        """Count what went straight to its sockets."""
        if straight.skbs:
            self._mib.InReceives += straight.skbs
            self._mib.InDelivers += straight.skbs
            self._ext.InOctets += straight.octets
            self._ext.InNoECTPkts += straight.skbs + straight.segments
            self._tcp.InSegs += straight.tcp_segs

    def _count_ecn(self, ecn: int, segs: int) -> None:
        """The two ECN bits of a header that stands for `segs` packets."""
        ext = self._ext
        if not ecn:
            ext.InNoECTPkts += segs
        elif ecn == 1:
            ext.InECT1Pkts += segs
        elif ecn == 2:
            ext.InECT0Pkts += segs
        else:
            ext.InCEPkts += segs

    def _known(self, skb: Skb, ecn: int, segs: int) -> Socket | None:
        """The socket that is remembered for headers like these; None if the packet needs the checks all the same."""
        known = (self._fast_ecn if ecn else self._fast).get(skb.hdr)
        return known if known is not None and not skb.pkt_type and (segs == 1 or known.gro) else None

    def _straight(self, sd: SoftnetData, skb: Skb, sock: Socket) -> None:
        """What is left to do for a packet with remembered headers that the list loop did not take: ECN bits, or no sum from the NIC."""
        cpu = sd.cpu
        if sock.takes_late and skb.tcp_flags_merged & TCP_FIN:
            sock.ends()
        self._mib.InDelivers += 1
        self._tcp.InSegs += sock.in_segs
        cpu.local_now_ns += sock.rcv_ns + checksum_ns(self._csum_ps, skb, summed_bytes(skb, sock.in_segs))
        self._post(cpu, sock, skb)

    def _drop(self, sd: SoftnetData, skb: Skb, reason: DropReason) -> None:
        sd.cpu.local_now_ns += self._skb_free_ns
        self._net.ledger.drop(skb, reason)
