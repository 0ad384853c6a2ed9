"""Listening TCP sockets: handshake as seen from the receive side, the accept queue, connections adopted in mid-flow.

Models: SYN -> request and SYN-ACK, third ACK -> connection (PassiveOpens), full accept queue (ListenOverflows, ListenDrops).
Leaves out: SYN cookies, SYN-ACKs that a timer sends again, request timers, TIME_WAIT. The ACK number of the third packet is not
checked, because a played peer does not know ours.
Source: net/ipv4/tcp_input.c tcp_conn_request, net/ipv4/tcp_minisocks.c tcp_check_req (6.9); recordings tcp_syn_*.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from cpus.process import BLOCK, SYSTEM
from emu.dropreason import DropReason
from emu.headers import TCP_ACK, TCP_FIN, TCP_RST, TCP_SYN
from emu.skb import Skb
from netstack.sock import Socket
from netstack.tcp_queue import SEQ_MASK

if TYPE_CHECKING:
    from collections.abc import Generator

    from cpus.cpu import Cpu
    from cpus.process import Process, Step
    from netstack.lookup import Address, Flow
    from netstack.stack import NetStack
    from netstack.tcp_sock import TcpSocket

INVALID_RATELIMIT_NS: Final = 500_000_000
"""net.ipv4.tcp_invalid_ratelimit."""
REQUEST_WINDOW_BYTES: Final = 65_535
"""Receive window that a half-open connection has offered."""
REQUESTS_LIMIT: Final = 65_536
"""Half-open connections kept; a flood of SYNs forgets the oldest."""


class TcpListener(Socket):
    """A listening socket. `on_child` is called with each new connection, at the time it is made."""

    in_segs = 1

    __slots__ = (
        "accept_queue",
        "adopts_flows",
        "answered_ns",
        "backlog",
        "child_rcvbuf_bytes",
        "local",
        "on_child",
        "requests",
        "sink",
    )

    def __init__(self, stack: NetStack, local: Address, backlog: int) -> None:
        super().__init__(stack, 0)
        self.local = local
        self.backlog = backlog
        self.sink = False
        self.adopts_flows = False
        self.child_rcvbuf_bytes: int | None = None
        self.requests: dict[Flow, int] = {}
        """Half-open connections: flow -> the peer's initial sequence number."""
        self.answered_ns: dict[Flow, int] = {}
        """Half-open connection -> when a retransmitted SYN of it was answered."""
        self.accept_queue: deque[TcpSocket] = deque()
        self.on_child: Callable[[TcpSocket], None] | None = None
        self.rcv_ns = stack.net.costs.tcp_rcv_ns

    @property
    def name(self) -> str:
        """What it is, and its port."""
        return f"tcp-listen:{self.local[1]}"

    def deliver(self, stamp_ns: int, sender: Cpu, skb: Skb) -> None:
        """A segment whose flow had no connection when it was looked up."""
        hdr = skb.hdr
        flow = hdr.flow
        child = self.stack.tables.established.get(flow)
        if child is not None:
            # Made by a packet that was decided since.
            child.deliver(stamp_ns, sender, skb)
            return
        flags = hdr.tcp_flags
        ledger = self.ledger
        if self.closed:
            ledger.drop(skb, DropReason.NO_SOCKET)
        elif flags & TCP_RST:
            self._reset_request(skb)
        elif flags & TCP_SYN and not flags & TCP_ACK:
            if self.requests.get(flow) == skb.seq and not flags & TCP_FIN:
                self._syn_again(stamp_ns, skb)
            else:
                self._conn_request(skb, flags)
        elif flags & (TCP_ACK | TCP_SYN) == TCP_ACK and flow in self.requests:
            self._third_packet(stamp_ns, sender, skb)
        elif flow in self.stack.tables.finished and not flags & TCP_SYN and not skb.payload_bytes:
            ledger.consume(skb)
        elif self.adopts_flows and flags & TCP_ACK and not flags & TCP_SYN:
            child = self._make_child(stamp_ns, sender, flow, skb.seq)
            self.stack.tables.adopt(hdr, child)
            child.deliver(stamp_ns, sender, skb)
        elif flags & TCP_ACK:
            self.stack.answers.tcp_reset(skb)
            ledger.drop(skb, DropReason.NOT_SPECIFIED)
        else:
            ledger.drop(skb, DropReason.TCP_FLAGS)

    def _reset_request(self, skb: Skb) -> None:
        """tcp_check_req: a RST ends a half-open connection if it lies in the window; a listener itself does not mind."""
        isn = self.requests.get(skb.hdr.flow)
        if isn is not None:
            if (skb.seq - isn - 1) & SEQ_MASK > REQUEST_WINDOW_BYTES:
                self.ledger.drop(skb, DropReason.TCP_INVALID_SEQUENCE)
                return
            self._forget_request(skb.hdr.flow)
            self.snmp.Tcp.AttemptFails += 1
            self.snmp.TcpExt.EmbryonicRsts += 1
        self.ledger.drop(skb, DropReason.TCP_RESET)

    def _forget_request(self, flow: Flow) -> None:
        del self.requests[flow]
        self.answered_ns.pop(flow, None)

    def _syn_again(self, stamp_ns: int, skb: Skb) -> None:
        """tcp_check_req: a retransmitted SYN is answered again, two of them not within INVALID_RATELIMIT_NS."""
        flow = skb.hdr.flow
        answered_ns = self.answered_ns.get(flow)
        if answered_ns is not None and stamp_ns - answered_ns < INVALID_RATELIMIT_NS:
            self.snmp.TcpExt.TCPACKSkippedSynRecv += 1
        else:
            self.answered_ns[flow] = stamp_ns
            self.stack.answers.tcp_synack(skb)
            self.snmp.Tcp.RetransSegs += 1
            self.snmp.TcpExt.TCPSynRetrans += 1
        self.ledger.consume(skb)

    def _conn_request(self, skb: Skb, flags: int) -> None:
        """tcp_conn_request."""
        ext = self.snmp.TcpExt
        if flags & TCP_FIN:
            self.ledger.drop(skb, DropReason.TCP_FLAGS)
            return
        if len(self.accept_queue) > self.backlog:
            ext.ListenOverflows += 1
            ext.ListenDrops += 1
            self.sk_drops += 1
            self.ledger.drop(skb, DropReason.NOT_SPECIFIED)
            return
        requests = self.requests
        if len(requests) >= REQUESTS_LIMIT:
            self._forget_request(next(iter(requests)))
        requests[skb.hdr.flow] = skb.seq
        self.stack.answers.tcp_synack(skb)
        self.ledger.consume(skb)

    def _third_packet(self, stamp_ns: int, sender: Cpu, skb: Skb) -> None:
        """tcp_check_req: the ACK that completes the handshake, and its data if it has any."""
        expected = (self.requests[skb.hdr.flow] + 1) & SEQ_MASK
        if skb.seq != expected:
            self.ledger.drop(skb, DropReason.TCP_INVALID_SEQUENCE)
            return
        if len(self.accept_queue) > self.backlog:
            ext = self.snmp.TcpExt
            ext.ListenOverflows += 1
            ext.ListenDrops += 1
            self.sk_drops += 1
            self.ledger.drop(skb, DropReason.NOT_SPECIFIED)
            return
        self._forget_request(skb.hdr.flow)
        self.snmp.Tcp.PassiveOpens += 1
        self._make_child(stamp_ns, sender, skb.hdr.flow, expected).deliver(stamp_ns, sender, skb)

    def _make_child(self, stamp_ns: int, sender: Cpu, flow: Flow, rcv_nxt: int) -> TcpSocket:
        child = self.stack.establish(flow, self.child_rcvbuf_bytes, self.sink, rcv_nxt)
        if self.on_child is not None:
            self.on_child(child)
        if not self.sink:
            self.accept_queue.append(child)
            self.data_ready(stamp_ns, sender)
        return child

    def readable(self) -> bool:
        """True if a connection waits to be accepted."""
        return bool(self.accept_queue)

    def accept(self, process: Process) -> Generator[Step, None, TcpSocket]:
        """accept of a process body: ``sock = yield from listener.accept(process)``. Sleeps while there is none; records the flow (R14)."""
        while not self.accept_queue:
            self.sleep(process)
            yield BLOCK
            self.woken(process)
        child = self.accept_queue.popleft()
        child.record_flow(process.cpu)
        yield SYSTEM, self.net.costs.syscall_ns
        return child

    def close(self) -> None:
        """Stop listening. Connections that were not accepted are reset."""
        if not self.closed:
            self.closed = True
            self.stack.tables.remove_listener(self.local, self)
            for child in self.accept_queue:
                child.close()
            self.accept_queue.clear()
            self.forget()
