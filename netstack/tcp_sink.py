"""A connection whose in-kernel user takes the data in softirq, as soon as it is in order.

Models: delivery in order, gaps, the end of the stream, through `TcpSocket`; data in order at once.
Leaves out: header prediction's counters (T3: TCPHPHits), and what a reader's socket notes for RFS (T5, R15): nobody reads here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from emu.headers import TCP_ACK
from netstack.tcp_queue import SEQ_MASK
from netstack.tcp_sock import PREDICTED_FLAGS, TcpSocket

if TYPE_CHECKING:
    from cpus.cpu import Cpu
    from emu.skb import Skb
    from netstack.lookup import Flow
    from netstack.stack import NetStack


class TcpSink(TcpSocket):
    """Like an application that is always there: nothing waits to be read, and only gaps hold memory."""

    __slots__ = ("_straight",)
    has_reader = False

    def __init__(self, stack: NetStack, flow: Flow, rcvbuf_bytes: int | None = None, rcv_nxt: int = -1) -> None:
        super().__init__(stack, flow, rcvbuf_bytes, rcv_nxt)
        self.rcv_ns += stack.net.costs.skb_free_ns
        self._straight = rcv_nxt
        """rcv_nxt while nothing is out of order, finished or closed; else -1."""

    def deliver(self, stamp_ns: int, sender: Cpu, skb: Skb) -> None:
        """Take the next data in order at once; anything else goes the ordinary way."""
        seq = skb.seq
        if seq == self._straight and (skb.hdr.tcp_flags | skb.tcp_flags_merged) & PREDICTED_FLAGS == TCP_ACK:
            size = skb.payload_bytes
            if size:
                self._straight = self.rcv_nxt = (seq + size) & SEQ_MASK
                self.read_bytes += size
                self.ledger.read_frames += skb.frames
                self._latency_protocol.append(stamp_ns - skb.stage_ns)
                self._latency_total.append(stamp_ns - skb.arrived_ns)
                return
        self.copied_seq = self.rcv_nxt
        self.right_edge = (self.rcv_nxt + self._window_bytes) & SEQ_MASK
        super().deliver(stamp_ns, sender, skb)
        self._straight = -1 if self.ofo or self.fin or self.closed else self.rcv_nxt
        if self.at_end():
            self.close()

    def _rcv_straight(self, skb: Skb, cpu: Cpu) -> bool:
        return False

    def done(self) -> None:
        """Leave the tables."""
        self._straight = -1
        super().done()

    def data_ready(self, stamp_ns: int, cpu: Cpu) -> None:
        """sk_data_ready of the in-kernel user: read everything."""
        for segment in self.queue:
            self.uncharge(segment.truesize_bytes)
            for skb in segment.skbs:
                self.held_frames -= skb.frames
                self.ledger.read_frames += skb.frames
                self._latency_total.append(stamp_ns - skb.arrived_ns)
            if self.net.trace is not None:
                self.net.trace.read(self, None, segment.skbs, stamp_ns)
            self.read_bytes += (segment.end_seq - segment.fin - self.copied_seq) & SEQ_MASK
            self.copied_seq = segment.end_seq
        self.queue.clear()
        self.copied_seq = self.rcv_nxt
