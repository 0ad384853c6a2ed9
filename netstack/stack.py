"""NetStack: the protocols of one machine, registered with the core's demux.

Models: handlers for IPv4, IPv6 and ARP, their counters, socket tables, answers.
Leaves out: transmit, routing tables beyond "is it ours", netfilter.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from emu.dropreason import DropReason
from emu.headers import ETH_P_ARP, ETH_P_IP, ETH_P_IPV6
from emu.skb import PACKET_OTHERHOST, Skb
from netstack.answers import Answers
from netstack.epoll import Epoll
from netstack.fragments import Fragments
from netstack.icmp import IcmpInput
from netstack.ip6_input import Ip6Input
from netstack.ip_input import IpInput
from netstack.lookup import ANY4, ANY6, Address, Flow, SocketTables
from netstack.offloads import register_offloads
from netstack.route import Routes
from netstack.settings import InetSettings
from netstack.sink_posts import SinkPosts
from netstack.snmp import Snmp
from netstack.sock import Socket, so_rcvbuf
from netstack.tcp_input import TcpInput
from netstack.tcp_listener import TcpListener
from netstack.tcp_sink import TcpSink
from netstack.tcp_sock import TcpSocket
from netstack.udp import UdpInput
from netstack.udp_sock import UdpSink, UdpSocket
from softirq.net import PacketType

if TYPE_CHECKING:
    from softirq.net import Net
    from softirq.softnet_data import SoftnetData

__all__ = ["ANY4", "ANY6", "Epoll", "NetStack", "Socket", "TcpListener", "TcpSink", "TcpSocket", "UdpSink", "UdpSocket"]


class NetStack:
    """IP, UDP, TCP and ICMP on top of `net`. `secret` (32 bits) keys the hash that picks a socket of a reuseport group."""

    def __init__(self, net: Net, secret: int = 0) -> None:
        self.net = net
        self.snmp = Snmp(net.rules.counts_ip_out_transmits, net.rules.counts_icmp_rate_limits)
        self.settings = InetSettings(net.rules)
        self.tables = SocketTables(secret)
        self.sockets: dict[Socket, None] = {}
        """Open sockets, in the order in which they were opened."""
        costs = net.costs
        self.sink_posts: SinkPosts | None = None
        """Late posts of data for sinks. Without a price the posts of one CPU to a sink could have equal stamps."""
        if costs.tcp_rcv_ns + costs.skb_free_ns > 0:
            self.sink_posts = SinkPosts(net.clock, net.ledger, net.latencies)
            net.clock.late.append(self.sink_posts)
        self.routes = Routes(net)
        self.answers = Answers(self)
        self.icmp = IcmpInput(self)
        self.udp = UdpInput(self)
        self.tcp = TcpInput(self)
        self.fragments = Fragments(self)
        self.ip = IpInput(self)
        self.ip6 = Ip6Input(self)
        self.offloads = register_offloads(net)
        self.offloads.tcp.established = self._has_connection
        for udp in (self.offloads.udp4, self.offloads.udp6):
            udp.lookup = self._asked_for_gro
        self._arp_ns = net.costs.other_rcv_ns
        ip, ip6 = self.ip, self.ip6
        for ptype in (
            PacketType(ETH_P_IP, ip.ip_rcv, ip.ip_list_rcv, ip.queue_rcv, ip.plain_run, ip.plain_way),
            PacketType(ETH_P_IPV6, ip6.ipv6_rcv, ip6.ipv6_list_rcv, ip6.queue_rcv, ip6.plain_run, ip6.plain_way),
            PacketType(ETH_P_ARP, self._arp_rcv),
        ):
            net.ptypes[ptype.ethertype] = ptype
        net.ledger.holders["sockets"] = self._frames_in_sockets
        net.ledger.holders["fragments"] = self.fragments.frames_held

    def _has_connection(self, sd: SoftnetData, skb: Skb) -> bool:
        return skb.hdr.flow in self.tables.established

    def _asked_for_gro(self, sd: SoftnetData, skb: Skb) -> bool | None:
        """For UDP GRO: has the datagram's socket asked for it? None: it has no socket (G19)."""
        sock = self.tables.udp(skb.hdr, sd.index)
        return None if sock is None else sock.gro

    def _frames_in_sockets(self) -> int:
        return sum(sock.frames_held() for sock in self.sockets)

    def _arp_rcv(self, sd: SoftnetData, skb: Skb) -> None:
        """arp_rcv: what is for us is taken; no neighbour table is kept."""
        sd.cpu.local_now_ns += self._arp_ns
        if skb.pkt_type == PACKET_OTHERHOST:
            self.net.ledger.drop(skb, DropReason.OTHERHOST)
        else:
            self.net.ledger.consume(skb)

    # ---------------------------------------------------------------- what applications open

    def udp_socket(
        self,
        port: int,
        address: bytes = ANY4,
        *,
        rcvbuf: int | None = None,
        peer: Address | None = None,
        reuseport: bool = False,
        incoming_cpu: int = -1,
        gro: bool = False,
        v6only: bool = False,
        sink: bool = False,
    ) -> UdpSocket:
        """Open a UDP socket on `address` (4 or 16 bytes; ANY6 takes IPv4 too).

        `rcvbuf`: what the application asks for with SO_RCVBUF, in bytes (the kernel doubles it, U11); None: rmem_default.
        `peer`: (address, port) to connect to. `incoming_cpu`: SO_INCOMING_CPU. `gro`: UDP_GRO. `v6only`: IPV6_V6ONLY.
        `sink`: an in-kernel user takes the data. Raises ConfigError if the place is taken.
        """
        settings = self.net.settings
        rcvbuf_bytes = settings.rmem_default if rcvbuf is None else so_rcvbuf(rcvbuf, settings.rmem_max)
        sock = (UdpSink if sink else UdpSocket)(self, (address, port), rcvbuf_bytes, peer)
        sock.reuseport = reuseport
        sock.incoming_cpu = incoming_cpu
        sock.gro = gro
        sock.v6only = v6only
        if gro:
            self.offloads.udp4.enable_encap()
            self.offloads.udp6.enable_encap()
        self.tables.add_udp(sock.local, peer, sock)
        self.sockets[sock] = None
        return sock

    def tcp_listener(
        self,
        port: int,
        address: bytes = ANY4,
        *,
        backlog: int = 4096,
        rcvbuf: int | None = None,
        reuseport: bool = False,
        incoming_cpu: int = -1,
        sink: bool = False,
        adopts_flows: bool = False,
    ) -> TcpListener:
        """Listen on `address` and `port`; connections get `rcvbuf` (as in `udp_socket`) and are sinks if `sink`.

        `backlog`: connections that may wait for accept. `adopts_flows`: data of an unknown flow makes a connection too, as a capture
        that begins in the middle of flows needs it (a kernel would reset). Raises ConfigError if the place is taken.
        """
        listener = TcpListener(self, (address, port), backlog)
        listener.child_rcvbuf_bytes = None if rcvbuf is None else so_rcvbuf(rcvbuf, self.net.settings.rmem_max)
        listener.reuseport = reuseport
        listener.incoming_cpu = incoming_cpu
        listener.sink = sink
        listener.adopts_flows = adopts_flows
        self.tables.add_listener(listener.local, listener)
        self.sockets[listener] = None
        return listener

    def tcp_socket(self, flow: Flow, *, rcvbuf: int | None = None, sink: bool = False, rcv_nxt: int = -1) -> TcpSocket:
        """A connection that exists already. `flow` is `Headers.flow` of its received packets; `rcv_nxt` -1 adopts the first one's.

        `rcvbuf` as in `udp_socket`; None: tcp_rmem with autotuning. Raises ConfigError if the flow has a socket.
        """
        rcvbuf_bytes = None if rcvbuf is None else so_rcvbuf(rcvbuf, self.net.settings.rmem_max)
        return self.establish(flow, rcvbuf_bytes, sink, rcv_nxt)

    def establish(self, flow: Flow, rcvbuf_bytes: int | None, sink: bool, rcv_nxt: int) -> TcpSocket:
        """Enter a connection with a buffer of exactly `rcvbuf_bytes`."""
        sock = (TcpSink if sink else TcpSocket)(self, flow, rcvbuf_bytes, rcv_nxt)
        self.tables.add_established(flow, sock)
        self.snmp.Tcp.CurrEstab += 1
        self.sockets[sock] = None
        return sock
