"""Socket: the port where softirq code and an application meet.

Models: U7, U9-U11, T5, T7, R14, R15: receive buffer by truesize, sleepers, epoll, the CPU and hash of the last packet, skbs handed back.
Leaves out: send side, socket filters, memory limits of a whole protocol (PROTO_MEM by tcp_mem/udp_mem).
Source: include/net/sock.h, net/core/sock.c (6.9).

Softirq code posts an skb to a socket and pays for it; whether the socket takes it is decided in `deliver`, in the one order
of all posts. An application calls at synchronised times, when every earlier post has been decided.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from emu.settings import SOCK_MIN_RCVBUF_BYTES
from emu.skb import CHECKSUM_NONE, Skb
from softirq.deferred_free import DeferredSkbs

if TYPE_CHECKING:
    from cpus.cpu import Cpu
    from cpus.process import Process
    from emu.headers import Headers
    from netstack.epoll import Epoll
    from netstack.sink_posts import SinkLane
    from netstack.stack import NetStack

CHECKSUM_BREAK_BYTES: Final = 76
"""Up to this many bytes of transport header and payload are summed at delivery, longer ones when they are copied (U2)."""


def so_rcvbuf(value_bytes: int, rmem_max_bytes: int) -> int:
    """What setsockopt(SO_RCVBUF, `value_bytes`) makes of the buffer: capped, doubled, at least the minimum (U11)."""
    return max(min(value_bytes, rmem_max_bytes) * 2, SOCK_MIN_RCVBUF_BYTES)


class SocketFront:
    """What each packet looks at: the slots of a base class lie side by side at the front of an object, in one cache line."""

    __slots__ = ("gro", "poster", "rcv_ns", "straight")

    gro: bool
    """Merged packets are taken whole: TCP always, UDP if UDP_GRO is set."""
    poster: SinkLane | None
    """The lane by which data for this sink is posted late."""
    rcv_ns: int
    """Cost of the protocol's part of receiving one skb, charged to the softirq before the decision."""
    straight: int
    """Sinks: the sequence number after all that was taken, not reduced to 32 bits, while nothing is out of order, finished or
    closed; else -1."""


class Socket(SocketFront):
    """What UDP and TCP sockets share. `rcvbuf_bytes` counts truesize, not payload."""

    in_segs = 0
    """What one skb adds to TcpInSegs."""
    wakes_all = False
    """Readers wait without being exclusive: data wakes them all."""
    has_reader = True
    """An application reads it; otherwise a user in the kernel takes what comes in softirq."""
    adopts_flows = False
    """A listener to which data of an unknown flow makes a connection."""
    takes_late = False
    """Plain data may be posted late (netstack/sink_posts.py)."""

    __slots__ = (
        "_latency_protocol",
        "_latency_socket",
        "_latency_total",
        "cached",
        "closed",
        "epoll",
        "given_back",
        "held_frames",
        "in_established",
        "incoming_cpu",
        "ledger",
        "net",
        "rcvbuf_bytes",
        "read_bytes",
        "read_messages",
        "recv_ns",
        "reuseport",
        "rmem_alloc_bytes",
        "rxhash",
        "sk_drops",
        "sleepers",
        "snmp",
        "stack",
    )

    def __init__(self, stack: NetStack, rcvbuf_bytes: int) -> None:
        net = stack.net
        self.gro = True
        self.poster = None
        self.rcv_ns = 0
        self.straight = -1
        self.stack = stack
        self.net = net
        self.snmp = stack.snmp
        self.ledger = net.ledger
        self.rcvbuf_bytes = rcvbuf_bytes
        self.rmem_alloc_bytes = 0
        self.sleepers: tuple[Process, ...] = ()
        """Processes that block until there is something to read, the longest waiting first. Enter in the step that yields BLOCK."""
        self.epoll: Epoll | None = None
        self.rxhash = 0
        self.incoming_cpu = -1
        """CPU of the last packet (connected sockets), or what SO_INCOMING_CPU set; -1 for none (U7, T5)."""
        self.reuseport = False
        self.sk_drops = 0
        """skbs dropped at this socket (the drops column of ss)."""
        self.held_frames = 0
        """Wire frames queued here."""
        self.read_messages = 0
        self.read_bytes = 0
        self.recv_ns = 0
        """Time that the last receive call takes: system call, copies, freeing, and what it takes to reach other CPUs' skbs."""
        self.given_back: dict[int, int] | None = None
        """Skbs that another CPU allocated are handed back to it when they were read (T7): CPU -> skbs for it, of the receive call in
        progress. None where they are not."""
        self.closed = False
        self.in_established = False
        """sk_state is ESTABLISHED: RFS records readers of such sockets only (R14)."""
        self.cached: list[Headers] = []
        """Headers under which the demux remembers this socket."""
        latencies = net.latencies
        self._latency_protocol = latencies.protocol.pending
        self._latency_socket = latencies.socket.pending
        self._latency_total = latencies.total.pending

    def ends(self) -> None:
        """A FIN is about to be posted; asked of sockets that take data late."""
        raise NotImplementedError

    @property
    def name(self) -> str:
        """Protocol and local port: "udp:7000"."""
        raise NotImplementedError

    def deliver(self, stamp_ns: int, sender: Cpu, skb: Skb) -> None:
        """Decide the post of `skb` by the softirq of `sender` at `stamp_ns`."""
        raise NotImplementedError

    def readable(self) -> bool:
        """True if a receive call would not block."""
        raise NotImplementedError

    def close(self) -> None:
        """The application closes the socket: it leaves the tables, and what it holds is dropped."""
        raise NotImplementedError

    def frames_held(self) -> int:
        """Wire frames anywhere in this socket."""
        return self.held_frames

    def forget(self) -> None:
        """The last step of closing: nobody counts this socket any more."""
        if self.epoll is not None:
            self.epoll.remove(self)
        self.stack.sockets.pop(self, None)

    def data_ready(self, stamp_ns: int, cpu: Cpu) -> None:
        """sk_data_ready: wake who sleeps here, on behalf of `cpu`'s softirq: one of them, or all where the waits are not exclusive."""
        sleepers = self.sleepers
        if sleepers:
            woken = len(sleepers) if self.wakes_all else 1
            self.sleepers = sleepers[woken:]
            for sleeper in sleepers[:woken]:
                cpu.try_to_wake_up(sleeper, stamp_ns, cpu)
        if self.epoll is not None:
            self.epoll.notify(self, stamp_ns, cpu)

    def sleep(self, process: Process) -> None:
        """Enter `process` among the sleepers; its body must yield BLOCK next."""
        self.sleepers += (process,)

    def woken(self, process: Process) -> None:
        """Leave the sleepers, if nobody's data did it."""
        if process in self.sleepers:
            self.sleepers = tuple(sleeper for sleeper in self.sleepers if sleeper is not process)

    def record_flow(self, cpu: Cpu) -> None:
        """sock_rps_record_flow: remember that this flow's application runs on `cpu` (R14), data or no data (note 17)."""
        table = self.net.sock_flow_table
        if table is not None and self.in_established and self.rxhash:
            table.record(self.rxhash, cpu.index)

    def message_ns(self, reader: Cpu, softirq_cpu: Cpu, skb: Skb) -> int:
        """Time to take one skb out of the socket on `reader` and to free it, besides the copy: `softirq_cpu` touched it last.

        One that goes back to the CPU that allocated it is noted in `given_back`.
        """
        costs = self.net.costs
        ns = costs.recvmsg_ns
        allocator = skb.alloc_cpu
        if allocator == reader.index:
            ns += costs.skb_free_ns
        elif self.given_back is not None and self.net.settings.skb_defer_max:
            ns += costs.skb_defer_ns
            self.given_back[allocator] = self.given_back.get(allocator, 0) + 1
        else:
            ns += costs.skb_free_ns + costs.remote_free_ns
        if softirq_cpu is not reader:
            ns += costs.remote_skb_ns if softirq_cpu.node == reader.node else costs.numa_cross_ns
        return ns

    def give_back(self, reader: Cpu) -> None:
        """Post what the receive call in progress hands back (T7); its last step, before the time it takes is spent."""
        net = self.net
        if self.given_back:
            for allocator, count in sorted(self.given_back.items()):
                net.clock.post(reader, net.softnet[allocator].defer_list, DeferredSkbs(count))
            self.given_back.clear()

    def account_read(self, skb: Skb, now_ns: int) -> None:
        """`skb` has been read in full at `now_ns`."""
        self.ledger.read_frames += skb.frames
        self._latency_socket.append(now_ns - skb.stage_ns)
        self._latency_total.append(now_ns - skb.arrived_ns)


def checksum_wrong(skb: Skb) -> bool:
    """The transport checksum is wrong, and neither the NIC nor GRO vouched for it (UNNECESSARY, PARTIAL: the odd ones).

    A COMPLETE sum is the true one, and then does not match.
    """
    hdr = skb.hdr
    return not (hdr.l4_csum_ok or hdr.l4_csum_zero or skb.ip_summed & 1)


def summed_bytes(skb: Skb, in_segs: int) -> int:
    """Bytes that the protocol of a sound packet sums at delivery if the NIC has not: all of TCP, short UDP datagrams (U2)."""
    l4_bytes = skb.payload_bytes + skb.hdr.l4_header_bytes
    return l4_bytes if in_segs or l4_bytes <= CHECKSUM_BREAK_BYTES else 0


def checksum_ns(csum_ps: int, skb: Skb, l4_bytes: int) -> int:
    """Time to sum `l4_bytes` in software, if neither the NIC did nor GRO when it merged."""
    if skb.ip_summed == CHECKSUM_NONE and not skb.hdr.l4_csum_zero and skb.gso_segs <= 1:
        return csum_ps * l4_bytes // 1000
    return 0
