"""The queues of a TCP socket and the memory they may take.

Models: T4, T6: receive queue, out-of-order queue, forward allocation, the test of each release, prune and collapse.
Leaves out: memory limits of all of TCP (tcp_mem).
Source: net/ipv4/tcp_input.c tcp_queue_rcv, tcp_data_queue_ofo, tcp_try_rmem_schedule, tcp_prune_queue (6.9; 6.1, 6.18 by rule).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from emu.dropreason import DropReason
from netstack.sock import Socket
from netstack.tcp_queue import COLLAPSED_BYTES, SEQ_MASK, Segment, before, collapse

if TYPE_CHECKING:
    from netstack.stack import NetStack

PAGE_BYTES: Final = 4096


class TcpMemory(Socket):
    """What a connection holds. With `rcvbuf_bytes` given the buffer is fixed (SO_RCVBUF was set); without, it starts at tcp_rmem[1]
    and grows up to tcp_rmem[2]."""

    __slots__ = (
        "fin",
        "forward_alloc_bytes",
        "ofo",
        "ofo_frames",
        "queue",
        "rcv_nxt",
        "rcvbuf_locked",
        "tcp_rmem",
    )

    def __init__(self, stack: NetStack, rcvbuf_bytes: int | None, rcv_nxt: int) -> None:
        self.tcp_rmem = stack.settings.tcp_rmem
        super().__init__(stack, self.tcp_rmem[1] if rcvbuf_bytes is None else rcvbuf_bytes)
        self.rcv_nxt = rcv_nxt
        self.fin = False
        """The peer's FIN has been taken."""
        self.queue: list[Segment] = []
        self.ofo: list[Segment] = []
        """Out-of-order segments by sequence number."""
        self.ofo_frames = 0
        self.forward_alloc_bytes = 0
        """Memory taken from the protocol in whole pages and not charged yet."""
        self.rcvbuf_locked = rcvbuf_bytes is not None

    @property
    def limit_bytes(self) -> int:
        """What the buffer may grow to: tcp_rmem[2] as it is now, unless that is less than it has."""
        rcvbuf_bytes = self.rcvbuf_bytes
        return rcvbuf_bytes if self.rcvbuf_locked else max(self.tcp_rmem[2], rcvbuf_bytes)

    def drop(self, segment: Segment, reason: DropReason) -> None:
        ledger = self.ledger
        for skb in segment.skbs:
            ledger.drop(skb, reason)
        self.sk_drops += len(segment.skbs)

    # ---------------------------------------------------------------- queues

    def queue_rcv(self, segment: Segment) -> None:
        """tcp_queue_rcv: charge and append, or coalesce with the tail (T6). Advances rcv_nxt."""
        self.rcv_nxt = segment.end_seq
        if segment.fin:
            self.fin = True
        queue = self.queue
        self.held_frames += segment.frames
        if queue:
            added = queue[-1].try_coalesce(segment)
            if added >= 0:
                self.snmp.TcpExt.TCPRcvCoalesce += 1
                self.rmem_alloc_bytes += added
                self.forward_alloc_bytes -= added
                return
        queue.append(segment)
        self.rmem_alloc_bytes += segment.truesize_bytes
        self.forward_alloc_bytes -= segment.truesize_bytes

    def ofo_queue(self) -> None:
        """tcp_ofo_queue: move what has become contiguous from the out-of-order queue to the receive queue."""
        ofo = self.ofo
        while ofo and not before(self.rcv_nxt, ofo[0].seq):
            segment = ofo.pop(0)
            self.ofo_frames -= segment.frames
            self.uncharge(segment.truesize_bytes)
            if not before(self.rcv_nxt, segment.end_seq):
                self.drop(segment, DropReason.TCP_OFOMERGE)
                continue
            self.rmem_schedule(segment.truesize_bytes)
            self.queue_rcv(segment)

    def data_queue_ofo(self, segment: Segment) -> bool:
        """tcp_data_queue_ofo: insert by sequence number; duplicates go, covered segments go. False: there was no memory for it."""
        ext = self.snmp.TcpExt
        if not self.try_rmem_schedule(segment):
            ext.TCPOFODrop += 1
            self.drop(segment, DropReason.PROTO_MEM)
            return False
        ext.TCPOFOQueue += 1
        ofo = self.ofo
        seq, end_seq = segment.seq, segment.end_seq
        at = len(ofo)
        while at and before(seq, ofo[at - 1].seq):
            at -= 1
        if at:
            left = ofo[at - 1]
            if not before(left.end_seq, end_seq):
                ext.TCPOFOMerge += 1
                self.drop(segment, DropReason.TCP_OFOMERGE)
                return True
            added = -1
            if left.seq == seq:
                at -= 1
            else:
                added = left.try_coalesce(segment)
            if added >= 0:
                self.rmem_alloc_bytes += added
                self.forward_alloc_bytes -= added
                self.ofo_frames += segment.frames
                self._drop_covered(at, end_seq)
                return True
        ofo.insert(at, segment)
        self.ofo_frames += segment.frames
        self.rmem_alloc_bytes += segment.truesize_bytes
        self.forward_alloc_bytes -= segment.truesize_bytes
        self._drop_covered(at + 1, end_seq)
        return True

    def _drop_covered(self, at: int, end_seq: int) -> None:
        """Drop the out-of-order segments from place `at` on that end at or before `end_seq`."""
        ofo = self.ofo
        while at < len(ofo) and not before(end_seq, ofo[at].end_seq):
            old = ofo.pop(at)
            self.ofo_frames -= old.frames
            self.uncharge(old.truesize_bytes)
            self.snmp.TcpExt.TCPOFOMerge += 1
            self.drop(old, DropReason.TCP_OFOMERGE)

    # ---------------------------------------------------------------- memory

    def uncharge(self, size_bytes: int) -> None:
        """sk_mem_uncharge: whole pages go back to the protocol."""
        self.rmem_alloc_bytes -= size_bytes
        self.forward_alloc_bytes = (self.forward_alloc_bytes + size_bytes) % PAGE_BYTES

    def rmem_schedule(self, size_bytes: int) -> None:
        """sk_rmem_schedule: take whole pages until `size_bytes` fit."""
        missing = size_bytes - self.forward_alloc_bytes
        if missing > 0:
            self.forward_alloc_bytes += -(-missing // PAGE_BYTES) * PAGE_BYTES

    def room_in_order(self, segment: Segment) -> bool:
        """Memory for the next segment in order; an empty receive queue always gets it (T4)."""
        if not self.net.rules.tcp_nomem_ack and not self.queue:
            self.rmem_schedule(segment.truesize_bytes)
            return True
        if self.try_rmem_schedule(segment):
            return True
        if self.queue:
            return False
        self.rmem_schedule(segment.truesize_bytes)
        return True

    def _over(self, segment: Segment) -> bool:
        rmem = self.rmem_alloc_bytes
        if self.net.rules.tcp_ingest_adds_len:
            first = segment.skbs[0]
            rmem += (segment.end_seq - segment.seq & SEQ_MASK) + first.len_bytes - first.payload_bytes
        return rmem > self.rcvbuf_bytes

    def try_rmem_schedule(self, segment: Segment) -> bool:
        """tcp_try_rmem_schedule: room in the buffer, if need be after pruning."""
        if self._over(segment) and not self._prune_queue(segment):
            return False
        self.rmem_schedule(segment.truesize_bytes)
        return True

    def _prune_queue(self, incoming: Segment) -> bool:
        """tcp_prune_queue: let the buffer grow, collapse both queues, drop out-of-order data. False if still over (T4)."""
        ext = self.snmp.TcpExt
        ext.PruneCalled += 1
        if not self.rcvbuf_locked and self.rcvbuf_bytes < self.limit_bytes:
            self.rcvbuf_bytes = min(max(self.rmem_alloc_bytes, self.rcvbuf_bytes), self.limit_bytes)
        if self.rmem_alloc_bytes <= self.rcvbuf_bytes:
            return True
        self._collapse_ofo()
        saved, collapsed = collapse(self.queue)
        if collapsed:
            self.uncharge(saved)
            ext.TCPRcvCollapsed += collapsed
        if self.rmem_alloc_bytes <= self.rcvbuf_bytes:
            return True
        self._prune_ofo(incoming)
        if self.rmem_alloc_bytes <= self.rcvbuf_bytes:
            return True
        ext.RcvPruned += 1
        return False

    def _collapse_ofo(self) -> None:
        """tcp_collapse_ofo_queue: each contiguous run on its own; single small skbs stay, and too many of those end it."""
        ext = self.snmp.TcpExt
        ofo = self.ofo
        done: list[Segment] = []
        tiny_bytes = 0
        at = 0
        while at < len(ofo):
            run = [ofo[at]]
            at += 1
            while at < len(ofo) and not before(run[-1].end_seq, ofo[at].seq):
                run.append(ofo[at])
                at += 1
            if len(run) > 1 or (run[0].end_seq - run[0].seq) & SEQ_MASK >= COLLAPSED_BYTES:
                saved, collapsed = collapse(run)
                self.uncharge(saved)
                ext.TCPRcvCollapsed += collapsed
            else:
                tiny_bytes += run[0].truesize_bytes
                if tiny_bytes > self.rcvbuf_bytes >> 3:
                    done += run
                    break
            done += run
        self.ofo = done + ofo[at:]

    def _prune_ofo(self, incoming: Segment) -> None:
        """tcp_prune_ofo_queue: from the highest sequence number down, an eighth of the buffer at a time; never for data further right."""
        ofo = self.ofo
        pruned = False
        goal = self.rcvbuf_bytes >> 3
        while ofo:
            last = ofo[-1]
            if before(last.seq, incoming.seq):
                break
            pruned = True
            ofo.pop()
            self.ofo_frames -= last.frames
            self.uncharge(last.truesize_bytes)
            self.drop(last, DropReason.PROTO_MEM)
            goal -= last.truesize_bytes
            if goal <= 0 or not ofo:
                if self.rmem_alloc_bytes <= self.rcvbuf_bytes:
                    break
                goal = self.rcvbuf_bytes >> 3
        if pruned:
            self.snmp.TcpExt.OfoPruned += 1
