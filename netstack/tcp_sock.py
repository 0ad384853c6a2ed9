"""TCP sockets, receive side: what a segment does to the stream, the backlog of an owned socket, and reading.

Models: section 9, T1-T3, T5, R15: header prediction, duplicates, overlaps, gaps, FIN, RST, SYN challenge, zero window.
Leaves out: what depends on what this host has sent (ACK validity, PAWS, DSACK), the ACKs themselves, urgent data. The window
is what free memory allows at once, as if each segment were acknowledged and autotuning had finished.
Source: net/ipv4/tcp_input.c, tcp_ipv4.c, net/core/sock.c (6.9; 6.1 and 6.18 by rule).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cpus.process import BLOCK, SYSTEM
from emu.dropreason import DropReason
from emu.headers import PREDICTED_FLAGS, TCP_ACK, TCP_CWR, TCP_ECE, TCP_RST, TCP_SYN, TCP_URG
from emu.skb import Skb
from netstack.tcp_memory import TcpMemory
from netstack.tcp_queue import SEQ_HALF, SEQ_MASK, Segment, before

if TYPE_CHECKING:
    from collections.abc import Generator

    from cpus.cpu import Cpu
    from cpus.process import Process, Step
    from netstack.lookup import Flow
    from netstack.stack import NetStack

TCP_SNDBUF_BYTES: Final = 87_040
"""Send buffer of an established connection (tcp_wmem[1] grown at the handshake): a part of the backlog's limit."""
BACKLOG_EXTRA_BYTES: Final = 64 * 1024


class TcpSocket(TcpMemory):
    """An established connection as one flow of received packets. `rcv_nxt` -1: the first segment's sequence number is adopted.

    With `rcvbuf_bytes` given the buffer is fixed (SO_RCVBUF was set); without, it starts at tcp_rmem[1] and grows up to tcp_rmem[2].
    """

    in_segs = 1
    wakes_all = True

    __slots__ = (
        "_backlog",
        "_backlog_bytes",
        "_next_read",
        "_window_bytes",
        "backlog_frames",
        "copied_seq",
        "flow",
        "hdr_window",
        "owner",
        "peer_fills_gaps",
        "reset",
        "resyncs",
        "right_edge",
    )

    def __init__(
        self,
        stack: NetStack,
        flow: Flow,
        rcvbuf_bytes: int | None = None,
        rcv_nxt: int = -1,
    ) -> None:
        super().__init__(stack, rcvbuf_bytes, rcv_nxt)
        self.in_established = True
        if self.has_reader:
            self.given_back = {}
            stack.net.defers_frees = True
        self.flow = flow
        self.copied_seq = rcv_nxt
        self.owner: Process | None = None
        """Process inside a system call on this socket: packets go to the backlog (T1)."""
        self._backlog: list[Segment] | None = None
        self._backlog_bytes = 0
        self.backlog_frames = 0
        self._window_bytes = self.limit_bytes >> 1
        self.right_edge = (rcv_nxt + self._window_bytes) & SEQ_MASK
        self.hdr_window = -1
        """Window field of the last segment: part of what header prediction expects (T3)."""
        self._next_read = 0
        self.reset = False
        self.peer_fills_gaps = False
        """Take a gap as filled by a retransmission that is not played: for traffic whose sender does not react to losses."""
        self.resyncs = 0
        """Gaps skipped that way."""
        self.rcv_ns = stack.net.costs.tcp_rcv_ns

    @property
    def name(self) -> str:
        """Protocol and local port."""
        return f"tcp:{self.flow[4]}"

    # ---------------------------------------------------------------- softirq side

    def deliver(self, stamp_ns: int, sender: Cpu, skb: Skb) -> None:
        """tcp_v4_rcv's end: process `skb`, or put it into the backlog of an owned socket (T1)."""
        if self.closed:
            self.ledger.drop(skb, DropReason.TCP_CLOSE)
            return
        self.incoming_cpu = sender.index
        self._latency_protocol.append(stamp_ns - skb.stage_ns)
        skb.stage_ns = stamp_ns
        if self.owner is not None:
            self._add_backlog(Segment(skb, sender))
        elif not self._rcv_straight(skb, sender):
            self._do_rcv(stamp_ns, sender, Segment(skb, sender))
            return
        else:
            self._open_window()
            if self.sleepers or self.epoll is not None:
                self.data_ready(stamp_ns, sender)

    def _rcv_straight(self, skb: Skb, cpu: Cpu) -> bool:
        """What `_do_rcv` does with the next data in order while there is room, in one step. False: it is not that case."""
        seq = skb.seq
        size = skb.payload_bytes
        if (
            seq != self.rcv_nxt
            or not size
            or (skb.hdr.tcp_flags | skb.tcp_flags_merged) & PREDICTED_FLAGS != TCP_ACK
            or self.ofo
            or self.fin
            or self.rmem_alloc_bytes + skb.len_bytes > self.rcvbuf_bytes
            or (self.right_edge - seq - 1) & SEQ_MASK >= SEQ_HALF
        ):
            return False
        window = skb.hdr.window
        truesize = skb.truesize_bytes
        if truesize <= self.forward_alloc_bytes:
            if window == self.hdr_window:
                self.snmp.TcpExt.TCPHPHits += 1
        else:
            self.rmem_schedule(truesize)
        self.hdr_window = window
        self.rxhash = skb.hash
        end_seq = self.rcv_nxt = (seq + size) & SEQ_MASK
        self.held_frames += skb.frames
        queue = self.queue
        if queue:
            added = queue[-1].append_skb(skb, size, end_seq, cpu)
            if added >= 0:
                self.snmp.TcpExt.TCPRcvCoalesce += 1
                self.rmem_alloc_bytes += added
                self.forward_alloc_bytes -= added
                return True
        queue.append(Segment(skb, cpu))
        self.rmem_alloc_bytes += truesize
        self.forward_alloc_bytes -= truesize
        return True

    def _add_backlog(self, segment: Segment) -> None:
        """tcp_add_backlog: coalesce with the tail, or append unless the limit is passed (T1)."""
        backlog = self._backlog
        if backlog is None:
            backlog = self._backlog = []
        ext = self.snmp.TcpExt
        if backlog and _alike(backlog[-1], segment):
            added = backlog[-1].try_coalesce(segment)
            if added >= 0:
                self._backlog_bytes += added
                self.backlog_frames += segment.frames
                ext.TCPBacklogCoalesce += 1
                return
        limit = self.rcvbuf_bytes + TCP_SNDBUF_BYTES // 2 + BACKLOG_EXTRA_BYTES
        if self._backlog_bytes + self.rmem_alloc_bytes > limit:
            ext.TCPBacklogDrop += 1
            self.drop(segment, DropReason.SOCKET_BACKLOG)
            return
        self._backlog_bytes += segment.truesize_bytes
        self.backlog_frames += segment.frames
        backlog.append(segment)

    def _consume(self, segment: Segment) -> None:
        for skb in segment.skbs:
            self.ledger.consume(skb)

    def _do_rcv(self, stamp_ns: int, cpu: Cpu, segment: Segment) -> None:
        """tcp_v4_do_rcv of an established socket: header prediction, then the slow path's checks in order."""
        skb = segment.skbs[0]
        self.rxhash = skb.hash
        hdr = segment.hdr
        flags = hdr.tcp_flags
        for part in segment.skbs:
            flags |= part.tcp_flags_merged
        seq = segment.seq
        if self.rcv_nxt < 0:
            self._adopt((seq + 1) & SEQ_MASK if flags & TCP_SYN else seq)
        size = (segment.end_seq - seq) & SEQ_MASK
        if seq == self.rcv_nxt and flags & PREDICTED_FLAGS == TCP_ACK and not self.ofo and not self.fin:
            if not size:
                self.hdr_window = hdr.window
                self._consume(segment)
                return
            if (
                segment.truesize_bytes <= self.forward_alloc_bytes
                and hdr.window == self.hdr_window
                and before(seq, self.right_edge)
            ):
                self.snmp.TcpExt.TCPHPHits += 1
                self.queue_rcv(segment)
                self._data_ready_after(stamp_ns, cpu)
                return
        if not flags & (TCP_ACK | TCP_RST | TCP_SYN):
            self.drop(segment, DropReason.TCP_FLAGS)
            return
        if self._valid(segment, flags):
            self.hdr_window = hdr.window
            if not size:
                self._consume(segment)
            else:
                self._data_queue(stamp_ns, cpu, segment)

    def _adopt(self, rcv_nxt: int) -> None:
        self.rcv_nxt = self.copied_seq = rcv_nxt
        self.right_edge = (rcv_nxt + self._window_bytes) & SEQ_MASK

    def _edge(self) -> int:
        """Right edge of the window; what has been taken beyond it moved the edge along."""
        return self.rcv_nxt if before(self.right_edge, self.rcv_nxt) else self.right_edge

    def _valid(self, segment: Segment, flags: int) -> bool:
        """tcp_validate_incoming, without PAWS: window, RST, SYN."""
        seq = segment.seq
        beyond = before(self._edge(), seq)
        if beyond and self.peer_fills_gaps and not flags & (TCP_RST | TCP_SYN):
            return True
        ext = self.snmp.TcpExt
        if flags & TCP_RST:
            if beyond:
                self.drop(segment, DropReason.TCP_INVALID_SEQUENCE)
                return False
            if seq == self.rcv_nxt:
                self.reset = True
                self.snmp.Tcp.EstabResets += 1
                self.drop(segment, DropReason.TCP_RESET)
                self.done()
                self.data_ready(segment.skbs[0].stage_ns, segment.cpus[0])
                return False
            ext.TCPChallengeACK += 1
            self.drop(segment, DropReason.TCP_RESET)
            return False
        if flags & TCP_SYN:
            ext.TCPChallengeACK += 1
            ext.TCPSYNChallenge += 1
            self.drop(segment, DropReason.TCP_INVALID_SYN)
            return False
        if beyond:
            self.drop(segment, DropReason.TCP_INVALID_SEQUENCE)
            return False
        return True

    def _data_queue(self, stamp_ns: int, cpu: Cpu, segment: Segment) -> None:
        """tcp_data_queue: in order, old, beyond the window, overlapping or out of order."""
        ext = self.snmp.TcpExt
        seq = segment.seq
        rcv_nxt = self.rcv_nxt
        if self.fin:
            self.drop(segment, DropReason.NOT_SPECIFIED)
            return
        if seq != rcv_nxt:
            ahead = (seq - rcv_nxt) & SEQ_MASK
            if (segment.end_seq - rcv_nxt - 1) & SEQ_MASK >= SEQ_HALF:
                ext.DelayedACKLost += 1
                self.drop(segment, DropReason.TCP_OLD_DATA)
                return
            if ahead < SEQ_HALF:
                if self.peer_fills_gaps:
                    self._skip_gap(seq)
                elif not before(seq, self._edge()):
                    self.drop(segment, DropReason.TCP_OVERWINDOW)
                    return
                else:
                    if not self.data_queue_ofo(segment):
                        self.data_ready(stamp_ns, cpu)
                    return
        if not before(self.rcv_nxt, self.right_edge):
            ext.TCPZeroWindowDrop += 1
            self.drop(segment, DropReason.TCP_ZEROWINDOW)
            return
        if not self.room_in_order(segment):
            ext.TCPRcvQDrop += 1
            self.drop(segment, DropReason.PROTO_MEM)
            self.data_ready(stamp_ns, cpu)
            return
        self.queue_rcv(segment)
        if self.ofo:
            self.ofo_queue()
        self._data_ready_after(stamp_ns, cpu)

    def _skip_gap(self, seq: int) -> None:
        """Go on at `seq` as if what is missing had been retransmitted (`peer_fills_gaps`)."""
        self.resyncs += 1
        self.rcv_nxt = seq
        if not self.queue:
            self.copied_seq = seq
        self.right_edge = (seq + self._window_bytes) & SEQ_MASK

    def _data_ready_after(self, stamp_ns: int, cpu: Cpu) -> None:
        """What follows queued data: the window moves, the reader wakes."""
        self._open_window()
        self.data_ready(stamp_ns, cpu)

    def _open_window(self) -> None:
        """__tcp_select_window as if an ACK left now: never shrinks, and stays shut below a sixteenth of the whole."""
        limit = self.rcvbuf_bytes
        if not self.rcvbuf_locked and limit < self.tcp_rmem[2]:  # limit_bytes, without the call
            limit = self.tcp_rmem[2]
        free = (limit - self.rmem_alloc_bytes - self._backlog_bytes) >> 1
        if free >= limit >> 5:
            edge = (self.rcv_nxt + free) & SEQ_MASK
            if before(self.right_edge, edge):
                self.right_edge = edge

    # ---------------------------------------------------------------- reader side

    def readable(self) -> bool:
        """True if data waits, or the end of the stream has been reached."""
        return bool(self.queue) or self.fin or self.reset or self.closed

    def frames_held(self) -> int:
        """Wire frames in the receive queue, the out-of-order queue and the backlog."""
        return self.held_frames + self.ofo_frames + self.backlog_frames

    def recv(self, process: Process, max_bytes: int = 1 << 62) -> int:
        """Take up to `max_bytes` of the stream now. Returns how many; 0: EAGAIN, or the end if `at_end`.

        Afterwards `recv_ns` says how long the call takes. Call it at a synchronised time, as a process body always is.
        """
        cpu = process.cpu
        now_ns = cpu.local_now_ns
        self.record_flow(cpu)
        costs = self.net.costs
        recv_ns = costs.syscall_ns
        queue = self.queue
        left = max_bytes
        taken = 0
        while queue and left > 0:
            segment = queue[0]
            data_end = (segment.end_seq - segment.fin) & SEQ_MASK
            start = segment.seq if before(self.copied_seq, segment.seq) else self.copied_seq
            have = (data_end - start) & SEQ_MASK
            if have >= SEQ_HALF:
                have = 0
            step = have if have < left else left
            taken += step
            left -= step
            whole = step == have
            copied = segment.end_seq if whole else (start + step) & SEQ_MASK
            self.copied_seq = copied
            first = at = self._next_read
            ends = segment.ends
            while at < len(ends) and not before(copied, ends[at]):
                skb = segment.skbs[at]
                recv_ns += self.message_ns(cpu, segment.cpus[at], skb)
                self.held_frames -= skb.frames
                self.read_messages += 1
                self.account_read(skb, now_ns)
                at += 1
            if self.net.trace is not None:
                self.net.trace.read(self, cpu, segment.skbs[first:at], now_ns)
            self._next_read = at
            if whole:
                del queue[0]
                self._next_read = 0
                self.uncharge(segment.truesize_bytes)
        self.read_bytes += taken
        self.recv_ns = recv_ns + costs.copy_ps * taken // 1000
        if taken:
            self._open_window()
        return taken

    def at_end(self) -> bool:
        """The peer has finished or reset, and everything has been read."""
        return (self.fin or self.reset or self.closed) and not self.queue

    def lock_sock(self, process: Process) -> None:
        """`process` enters a system call: packets go to the backlog until `release_sock`."""
        self.owner = process

    def release_sock(self, process: Process) -> None:
        """Leave the system call: process the backlog in process context (T2)."""
        cpu = process.cpu
        now_ns = cpu.local_now_ns
        backlog = self._backlog
        if backlog:
            self._backlog = None
            for segment in backlog:
                self.backlog_frames -= segment.frames
                if self.closed:
                    self.drop(segment, DropReason.TCP_CLOSE)
                else:
                    self._do_rcv(now_ns, cpu, segment)
            self._backlog_bytes = 0
        self.owner = None

    def recvmsg(self, process: Process, max_bytes: int = 1 << 62, block: bool = True) -> Generator[Step, None, int]:
        """A receive call of a process body: ``count = yield from sock.recvmsg(process, 65536)``. The socket is owned meanwhile (T1).

        Sleeps while there is nothing, if `block`. Returns 0 at the end of the stream, or at once if not `block`.
        """
        while True:
            taken = self.recv(process, max_bytes)
            if taken or not block or self.at_end():
                self.lock_sock(process)
                if self.given_back:
                    self.give_back(process.cpu)
                yield SYSTEM, self.recv_ns
                self.release_sock(process)
                return taken
            self.sleep(process)
            yield BLOCK
            self.woken(process)

    def done(self) -> None:
        """tcp_done: the connection is over and leaves the tables. What is queued stays readable; later packets find no socket."""
        if not self.closed:
            self.closed = True
            self.snmp.Tcp.CurrEstab -= 1
            self.stack.tables.remove_established(self.flow, self)
            for segment in self.ofo:
                self.uncharge(segment.truesize_bytes)
                self.drop(segment, DropReason.TCP_CLOSE)
            self.ofo = []
            self.ofo_frames = 0

    def close(self) -> None:
        """The application closes: what it has not read is dropped."""
        self.done()
        for segment in self.queue:
            self.uncharge(segment.truesize_bytes)
            for skb in segment.skbs[self._next_read :]:
                self.ledger.drop(skb, DropReason.TCP_CLOSE)
            self._next_read = 0
        self.queue.clear()
        for segment in self._backlog or ():
            self.drop(segment, DropReason.TCP_CLOSE)
        self._backlog = None
        self._backlog_bytes = self.backlog_frames = self.held_frames = 0
        self.forget()


def _alike(tail: Segment, segment: Segment) -> bool:
    """Flags and options that tcp_add_backlog wants equal before it coalesces (T1)."""
    a, b = tail.hdr, segment.hdr
    flags = a.tcp_flags | b.tcp_flags
    return (
        not flags & (TCP_SYN | TCP_RST | TCP_URG)
        and bool(a.tcp_flags & b.tcp_flags & TCP_ACK)
        and not (a.tcp_flags ^ b.tcp_flags) & (TCP_ECE | TCP_CWR)
        and a.tcp_doff_bytes == b.tcp_doff_bytes
        and a.tcp_options == b.tcp_options
    )
