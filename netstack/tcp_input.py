"""TCP input: what tcp_v4_rcv and tcp_v6_rcv check before a socket sees the packet.

Models: section 9 up to the socket, K3: counts, header, checksum, look-up, the reset for a packet without a socket.
Leaves out: min TTL (off by default), policy, signatures, filters, TIME_WAIT.
Source: net/ipv4/tcp_ipv4.c, net/ipv6/tcp_ipv6.c (6.9).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from emu.dropreason import DropReason
from emu.headers import TCP_FIN, TCP_RST
from emu.skb import PACKET_HOST, Skb
from netstack.sock import checksum_ns, checksum_wrong

if TYPE_CHECKING:
    from netstack.sock import Socket
    from netstack.stack import NetStack
    from softirq.softnet_data import SoftnetData


class TcpInput:
    """tcp_v4_rcv and tcp_v6_rcv."""

    def __init__(self, stack: NetStack) -> None:
        self._stack = stack
        self._net = stack.net
        self._costs = stack.net.costs
        self._tcp = stack.snmp.Tcp

    def tcp_rcv(self, sd: SoftnetData, skb: Skb) -> Socket | None:
        """One segment, merged or not. Returns its connection, or the listener that makes one, if all packets with these headers go the
        same way."""
        hdr = skb.hdr
        cpu = sd.cpu
        costs = self._costs
        cpu.local_now_ns += costs.tcp_rcv_ns
        if skb.pkt_type != PACKET_HOST:
            self._drop(sd, skb, DropReason.NOT_SPECIFIED)
            return None
        tcp = self._tcp
        tcp.InSegs += 1
        if not hdr.l4_header_whole:
            if hdr.l4_header_bytes and hdr.tcp_doff_bytes < 20:
                tcp.InErrs += 1
                self._drop(sd, skb, DropReason.PKT_TOO_SMALL)
                return None
            # A header that is not there (K3); doff 0 is told from it by the ports having been read.
            if not hdr.l4_header_bytes and (hdr.sport or hdr.dport):
                tcp.InErrs += 1
                self._drop(sd, skb, DropReason.PKT_TOO_SMALL)
                return None
            self._drop(sd, skb, DropReason.NOT_SPECIFIED)
            return None
        if not (skb.ip_summed and hdr.l4_csum_ok):
            cpu.local_now_ns += checksum_ns(costs.csum_ps, skb, skb.payload_bytes + hdr.tcp_doff_bytes)
            if checksum_wrong(skb):
                tcp.InCsumErrors += 1
                tcp.InErrs += 1
                self._drop(sd, skb, DropReason.TCP_CSUM)
                return None
        sock = self._stack.tables.tcp(hdr, cpu.index)
        if sock is None:
            if not hdr.tcp_flags & TCP_RST:
                self._stack.answers.tcp_reset(skb)
            self._drop(sd, skb, DropReason.NO_SOCKET)
            return None
        cpu.local_now_ns += sock.rcv_ns - costs.tcp_rcv_ns
        if (hdr.tcp_flags | skb.tcp_flags_merged) & TCP_FIN:
            if sock.takes_late:
                sock.ends()
            elif sock.adopts_flows:
                self._stack.tables.ending.add(hdr.flow)
        self._net.clock.post(cpu, sock, skb)
        return sock if sock.in_established or sock.adopts_flows else None

    def _drop(self, sd: SoftnetData, skb: Skb, reason: DropReason) -> None:
        sd.cpu.local_now_ns += self._costs.skb_free_ns
        self._net.ledger.drop(skb, reason)
