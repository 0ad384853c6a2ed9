"""Socket tables: which socket a packet belongs to.

Models: TCP by 4-tuple, then listener; UDP connected, then bound to the address, then wildcard; SO_REUSEPORT groups, SO_INCOMING_CPU (U7).
Leaves out: sockets bound to a device, BPF programs of a reuseport group, IP_TRANSPARENT.
Source: net/ipv4/udp.c udp4_lib_lookup2, net/ipv4/inet_hashtables.c, net/core/sock_reuseport.c (6.9).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol, TypeVar

from emu.errors import ConfigError
from emu.headers import IPPROTO_UDP, PREDICTED_FLAGS, TCP_ACK, Headers

if TYPE_CHECKING:
    from netstack.sock import Socket
    from netstack.tcp_listener import TcpListener
    from netstack.tcp_sock import TcpSocket
    from netstack.udp_sock import UdpSocket

Flow = tuple[int, bytes, bytes, int, int]
"""(protocol, saddr, daddr, sport, dport) as in a received packet: `Headers.flow`."""

Address = tuple[bytes, int]
"""(address of 4 or 16 bytes, port)."""

ANY4: Final = bytes(4)
ANY6: Final = bytes(16)
FINISHED_LIMIT: Final = 1 << 16
FAST_LIMIT: Final = 1 << 17
_MASK: Final = 0xFFFFFFFF


class _Grouped(Protocol):
    reuseport: bool
    incoming_cpu: int


G = TypeVar("G", bound=_Grouped)


def jhash_3words(a: int, b: int, c: int, initval: int) -> int:
    """Bob Jenkins' lookup3 hash of three 32-bit words (public domain)."""
    start = (0xDEADBEEF + 12 + initval) & _MASK
    a, b, c = (a + start) & _MASK, (b + start) & _MASK, (c + start) & _MASK
    c = ((c ^ b) - (b << 14 | b >> 18)) & _MASK
    a = ((a ^ c) - (c << 11 | c >> 21)) & _MASK
    b = ((b ^ a) - (a << 25 | a >> 7)) & _MASK
    c = ((c ^ b) - (b << 16 | b >> 16)) & _MASK
    a = ((a ^ c) - (c << 4 | c >> 28)) & _MASK
    b = ((b ^ a) - (a << 14 | a >> 18)) & _MASK
    return ((c ^ b) - (b << 24 | b >> 8)) & _MASK


def _folded(address: bytes) -> int:
    word = 0
    for at in range(0, len(address), 4):
        word ^= int.from_bytes(address[at : at + 4], "big")
    return word


class SocketTables:
    """All sockets of one network namespace. `secret` (32 bits) keys the hash that picks within a reuseport group."""

    def __init__(self, secret: int) -> None:
        self._secret = secret & _MASK
        self.established: dict[Flow, TcpSocket] = {}
        self.finished: dict[Flow, None] = {}
        """Connections that ended by FIN: their last ACKs are no new flows (what TIME_WAIT and LAST_ACK take in the kernel)."""
        self.listeners: dict[Address, list[TcpListener]] = {}
        self._listening: dict[Address, list[TcpListener]] = {}
        """Where a packet to an address and port was found to belong, wildcards and all: emptied when a listener comes or goes."""
        self.udp_bound: dict[Address, list[UdpSocket]] = {}
        self.udp_connected: dict[Flow, UdpSocket] = {}
        self.ending: set[Flow] = set()
        """Flows without a connection whose listener, which adopts flows, was sent a FIN: their sinks take nothing late."""
        self.fast: dict[Headers, Socket] = {}
        """Headers known to be sound, local and without ECN -> their socket. A saving, never a decision: emptied when a table changes."""
        self.fast_ecn: dict[Headers, Socket] = {}
        """The same for headers that say ECT or CE."""
        self._adopted: set[Headers] = set()
        """Such headers whose connection is only about to be made, by a listener that adopts flows."""

    # ---------------------------------------------------------------- changes

    def add_established(self, flow: Flow, sock: TcpSocket) -> None:
        """Enter a TCP connection. Raises ConfigError if the flow has one."""
        if flow in self.established:
            raise ConfigError(f"flow {flow} has a TCP socket already")
        self.established[flow] = sock
        self.ending.discard(flow)

    def remove_established(self, flow: Flow, sock: TcpSocket) -> None:
        """Take a TCP connection out."""
        if self.established.get(flow) is sock:
            del self.established[flow]
            self._forget(sock)
            if sock.fin:
                if len(self.finished) >= FINISHED_LIMIT:
                    del self.finished[next(iter(self.finished))]
                self.finished[flow] = None

    def add_listener(self, local: Address, sock: TcpListener) -> None:
        """Enter a listener. Raises ConfigError if the port is taken and not shared by all (SO_REUSEPORT)."""
        self._listening.clear()
        self._bind(self.listeners, local, sock, "TCP")

    def remove_listener(self, local: Address, sock: TcpListener) -> None:
        """Take a listener out; its connections stay."""
        self._listening.clear()
        self._unbind(self.listeners, local, sock)

    def add_udp(self, local: Address, peer: Address | None, sock: UdpSocket) -> None:
        """Enter a UDP socket, connected if it has a `peer`. Raises ConfigError if the place is taken."""
        self.flush()
        if peer is None:
            self._bind(self.udp_bound, local, sock, "UDP")
            return
        flow = (IPPROTO_UDP, peer[0], local[0], peer[1], local[1])
        if flow in self.udp_connected:
            raise ConfigError(f"flow {flow} has a connected UDP socket already")
        self.udp_connected[flow] = sock

    def remove_udp(self, local: Address, peer: Address | None, sock: UdpSocket) -> None:
        """Take a UDP socket out."""
        self.flush()
        if peer is None:
            self._unbind(self.udp_bound, local, sock)
        else:
            del self.udp_connected[(IPPROTO_UDP, peer[0], local[0], peer[1], local[1])]

    def remember(self, hdr: Headers, sock: Socket) -> None:
        """Let packets with `hdr` go straight to `sock` from now on, or to the connection that it makes (`adopt`)."""
        if sock.adopts_flows:
            if len(self._adopted) >= FAST_LIMIT:
                self._adopted.clear()
            self._adopted.add(hdr)
            return
        table = self.fast_ecn if hdr.tos & 3 else self.fast
        if len(table) >= FAST_LIMIT:
            self.flush()
        table[hdr] = sock
        if (
            sock.takes_late
            and table is self.fast
            and hdr.tcp_flags & PREDICTED_FLAGS == TCP_ACK
            and hdr.ethertype == hdr.protocol
        ):
            hdr.sink = sock
        if sock.in_segs:
            sock.cached.append(hdr)

    def adopt(self, hdr: Headers, child: TcpSocket) -> None:
        """A packet with `hdr` made `child`."""
        if hdr in self._adopted:
            self._adopted.discard(hdr)
            self.remember(hdr, child)

    def flush(self) -> None:
        """Forget what `remember` learned; for whoever changes the host's addresses."""
        for hdr in self.fast:
            hdr.sink = None
        self.fast.clear()
        self.fast_ecn.clear()
        self._adopted.clear()
        for sock in self.established.values():
            sock.cached.clear()

    def _forget(self, sock: Socket) -> None:
        for hdr in sock.cached:
            hdr.sink = None
            self.fast.pop(hdr, None)
            self.fast_ecn.pop(hdr, None)
        sock.cached.clear()

    @staticmethod
    def _bind(table: dict[Address, list[G]], local: Address, sock: G, what: str) -> None:
        group = table.setdefault(local, [])
        if group and not (sock.reuseport and group[0].reuseport):
            address, port = local
            raise ConfigError(
                f"{what} port {port} of {address.hex()} is taken; share it with reuseport on both sockets"
            )
        group.append(sock)

    @staticmethod
    def _unbind(table: dict[Address, list[G]], local: Address, sock: G) -> None:
        group = table[local]
        group.remove(sock)
        if not group:
            del table[local]

    # ---------------------------------------------------------------- look-ups

    def tcp(self, hdr: Headers, cpu: int) -> TcpSocket | TcpListener | None:
        """The TCP socket of a packet received on `cpu`."""
        sock = self.established.get(hdr.flow)
        if sock is not None:
            return sock
        local = (hdr.daddr, hdr.dport)
        group = self._listening.get(local)
        if group is None:
            group = self.listeners.get(local) or self._wildcard(self.listeners, hdr)
            if group is None:
                return None
            if len(self._listening) >= FAST_LIMIT:
                self._listening.clear()
            self._listening[local] = group
        return group[0] if len(group) == 1 else self._choose(group, hdr, cpu)

    def udp(self, hdr: Headers, cpu: int) -> UdpSocket | None:
        """The UDP socket of a datagram received on `cpu`."""
        sock = self.udp_connected.get(hdr.flow)
        if sock is not None:
            return sock
        group = self.udp_bound.get((hdr.daddr, hdr.dport))
        if group is None:
            group = self._wildcard(self.udp_bound, hdr)
        return None if group is None else self._choose(group, hdr, cpu)

    def udp_all(self, hdr: Headers) -> list[UdpSocket]:
        """Every socket that gets a copy of a multicast or broadcast datagram."""
        found = list(self.udp_bound.get((hdr.daddr, hdr.dport), ()))
        found += self._wildcard(self.udp_bound, hdr) or ()
        return found

    def depends_on_cpu(self, hdr: Headers) -> bool:
        """True if which CPU looks the datagram's socket up may make a difference (SO_INCOMING_CPU in its group)."""
        if hdr.flow in self.udp_connected:
            return False
        group = self.udp_bound.get((hdr.daddr, hdr.dport)) or self._wildcard(self.udp_bound, hdr) or []
        return any(sock.incoming_cpu >= 0 for sock in group)

    @staticmethod
    def _wildcard(table: dict[Address, list[G]], hdr: Headers) -> list[G] | None:
        if hdr.version == 4:
            group = table.get((ANY4, hdr.dport))
            if group is not None:
                return group
        group = table.get((ANY6, hdr.dport))
        if group is not None and hdr.version == 4 and getattr(group[0], "v6only", False):
            return None
        return group

    def _choose(self, group: list[G], hdr: Headers, cpu: int) -> G:
        """One of a reuseport group: by the flow's hash, but a socket whose SO_INCOMING_CPU is this CPU comes first (U7)."""
        count = len(group)
        if count == 1:
            return group[0]
        word = jhash_3words(_folded(hdr.daddr), _folded(hdr.saddr), hdr.dport << 16 | hdr.sport, self._secret)
        start = word * count >> 32
        for step in range(count):
            sock = group[(start + step) % count]
            if sock.incoming_cpu == cpu:
                return sock
        return group[start]
