"""UDP input: header checks, checksum, socket look-up, answers to closed ports.

Models: U1, U2, U7, section 10 and its IPv6 counterpart; merged datagrams cut up again for sockets that did not ask for them.
Leaves out: UDP-Lite, encapsulation sockets, policy, filters.
Source: net/ipv4/udp.c __udp4_lib_rcv, net/ipv6/udp.c (6.9).
"""

from __future__ import annotations

from copy import copy
from typing import TYPE_CHECKING, Final

from emu.dropreason import DropReason
from emu.headers import IPPROTO_UDP, ones_complement_sum
from emu.skb import SKB_TRUESIZE_OVERHEAD_BYTES, Skb
from netstack.route import LOCAL
from netstack.sock import CHECKSUM_BREAK_BYTES, checksum_ns, checksum_wrong
from netstack.tcp_queue import SKB_BYTES
from netstack.udp_sock import UDP_HLEN

if TYPE_CHECKING:
    from netstack.sock import Socket
    from netstack.stack import NetStack
    from netstack.udp_sock import UdpSocket
    from softirq.softnet_data import SoftnetData

ICMP_DEST_UNREACH: Final = 3
ICMP_PORT_UNREACH: Final = 3
ICMPV6_DEST_UNREACH: Final = 1
ICMPV6_PORT_UNREACH: Final = 4


class UdpInput:
    """udp_rcv and udpv6_rcv."""

    def __init__(self, stack: NetStack) -> None:
        self._stack = stack
        self._net = stack.net
        self._ledger = stack.net.ledger
        self._costs = stack.net.costs

    def udp_rcv(self, sd: SoftnetData, skb: Skb, route: int) -> Socket | None:
        """One datagram (or a merged one) for `route`. Returns its socket if all packets with these headers go the same way."""
        hdr = skb.hdr
        cpu = sd.cpu
        costs = self._costs
        snmp = self._stack.snmp
        udp = snmp.Udp6 if hdr.version == 6 else snmp.Udp
        cpu.local_now_ns += costs.udp_rcv_ns
        if not hdr.l4_header_whole:
            udp.InErrors += 1
            self._drop(sd, skb, DropReason.NOT_SPECIFIED)
            return None
        l4_bytes = skb.payload_bytes + UDP_HLEN
        wrong = checksum_wrong(skb)
        merged = skb.gso_segs > 1
        if hdr.l4_bytes_lie and not merged:
            ulen = l4_bytes + hdr.l4_bytes_lie
            if ulen == 0 and hdr.version == 6:
                ulen = l4_bytes
            if ulen > l4_bytes or ulen < UDP_HLEN:
                udp.InErrors += 1
                self._drop(sd, skb, DropReason.PKT_TOO_SMALL)
                return None
            if ulen < l4_bytes:
                skb.payload_bytes = ulen - UDP_HLEN
                skb.len_bytes -= l4_bytes - ulen
                l4_bytes = ulen
                wrong = _sum_wrong(skb, ulen)
        no_checksum = hdr.version == 6 and hdr.l4_csum_zero and not merged
        if l4_bytes <= CHECKSUM_BREAK_BYTES:
            cpu.local_now_ns += checksum_ns(costs.csum_ps, skb, l4_bytes)
            if wrong:
                self._csum_error(sd, skb)
                return None
        if route != LOCAL:
            self._mcast_deliver(sd, skb, wrong or no_checksum)
            return None
        tables = self._stack.tables
        sock = tables.udp(hdr, cpu.index)
        if no_checksum:
            self._csum_error(sd, skb)
            return None
        if sock is None:
            if l4_bytes > CHECKSUM_BREAK_BYTES:
                cpu.local_now_ns += checksum_ns(costs.csum_ps, skb, l4_bytes)
                if wrong:
                    self._csum_error(sd, skb)
                    return None
            udp.NoPorts += 1
            if hdr.version == 6:
                self._stack.answers.icmp6_send(sd, skb, ICMPV6_DEST_UNREACH, ICMPV6_PORT_UNREACH)
            else:
                self._stack.answers.icmp_send(sd, skb, ICMP_DEST_UNREACH, ICMP_PORT_UNREACH, route)
            self._drop(sd, skb, DropReason.NO_SOCKET)
            return None
        if merged and not sock.gro:
            self._deliver_segments(sd, skb, sock)
            return None
        cpu.local_now_ns += sock.rcv_ns - costs.udp_rcv_ns
        self._net.clock.post(cpu, sock, skb)
        if hdr.l4_bytes_lie or wrong or merged or tables.depends_on_cpu(hdr):
            return None
        return sock

    def _drop(self, sd: SoftnetData, skb: Skb, reason: DropReason) -> None:
        sd.cpu.local_now_ns += self._costs.skb_free_ns
        self._ledger.drop(skb, reason)

    def _csum_error(self, sd: SoftnetData, skb: Skb) -> None:
        snmp = self._stack.snmp
        udp = snmp.Udp6 if skb.hdr.version == 6 else snmp.Udp
        udp.InCsumErrors += 1
        udp.InErrors += 1
        self._drop(sd, skb, DropReason.UDP_CSUM)

    def _mcast_deliver(self, sd: SoftnetData, skb: Skb, wrong: bool) -> None:
        """__udp4_lib_mcast_deliver: a copy to each socket; the first takes the packet itself, so copies carry no frames of their own."""
        socks = self._stack.tables.udp_all(skb.hdr)
        if not socks:
            snmp = self._stack.snmp
            udp = snmp.Udp6 if skb.hdr.version == 6 else snmp.Udp
            udp.IgnoredMulti += 1
            self._ledger.consume(skb)
            return
        if wrong:
            self._csum_error(sd, skb)
            return
        for sock in socks[1:]:
            clone = copy(skb)
            clone.frames = 0
            sd.cpu.local_now_ns += self._costs.udp_rcv_ns
            self._net.clock.post(sd.cpu, sock, clone)
        self._net.clock.post(sd.cpu, socks[0], skb)

    def _deliver_segments(self, sd: SoftnetData, skb: Skb, sock: UdpSocket) -> None:
        """udp_rcv_segment: cut a merged datagram up again for a socket without UDP_GRO."""
        merged = skb.segments or []
        skb.segments = None
        rest = sum(segment.payload_bytes for segment in merged)
        skb.payload_bytes -= rest
        skb.len_bytes -= rest
        skb.frames = 1
        skb.gso_segs = skb.gso_size_bytes = 0
        saved = 0 if skb.gro_flist else SKB_BYTES
        skb.truesize_bytes = max(
            skb.truesize_bytes - sum(segment.truesize_bytes - saved for segment in merged),
            SKB_TRUESIZE_OVERHEAD_BYTES + skb.wire_bytes,
        )
        stage_ns = skb.stage_ns
        first = True
        for segment in [skb, *merged]:
            if not first:
                sd.cpu.local_now_ns += self._costs.udp_rcv_ns
            first = False
            segment.stage_ns = stage_ns
            self._net.clock.post(sd.cpu, sock, segment)


def _sum_wrong(skb: Skb, ulen: int) -> bool:
    """The checksum over the `ulen` bytes that the UDP header claims, when the IP payload is longer. Unknown bytes count as sound."""
    hdr, data = skb.hdr, skb.data
    if hdr.l4_csum_zero or skb.ip_summed & 1 or data is None:
        return False
    start = hdr.l4_offset
    if len(data) < start + ulen:
        return False
    pseudo = hdr.saddr + hdr.daddr + ulen.to_bytes(4, "big") + bytes((0, 0, 0, IPPROTO_UDP))
    return ones_complement_sum(pseudo + data[start : start + ulen]) != 0xFFFF
