"""A connection whose in-kernel user takes the data in softirq, as soon as it is in order.

Models: delivery in order, gaps, the end of the stream, through `TcpSocket`; data in order at once.
Leaves out: header prediction's counters (T3: TCPHPHits), and what a reader's socket notes for RFS (T5, R15): nobody reads here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from emu.headers import PREDICTED_FLAGS, TCP_ACK
from netstack.tcp_queue import SEQ_MASK
from netstack.tcp_sock import TcpSocket

if TYPE_CHECKING:
    from cpus.cpu import Cpu
    from emu.skb import Skb
    from netstack.lookup import Flow
    from netstack.stack import NetStack


class TcpSink(TcpSocket):
    """Like an application that is always there: nothing waits to be read, and only gaps hold memory."""

    has_reader = False
    __slots__ = ("_counted", "_read_bytes", "takes_late")

    def __init__(self, stack: NetStack, flow: Flow, rcvbuf_bytes: int | None = None, rcv_nxt: int = -1) -> None:
        self._counted = rcv_nxt
        """`straight` when bytes were last counted; `rcv_nxt` too is as of then."""
        super().__init__(stack, flow, rcvbuf_bytes, rcv_nxt)
        self.takes_late = flow not in stack.tables.ending
        self.rcv_ns += stack.net.costs.skb_free_ns
        self.straight = rcv_nxt

    @property
    def read_bytes(self) -> int:
        """Bytes taken."""
        return self._read_bytes + self.straight - self._counted if self.straight >= 0 else self._read_bytes

    @read_bytes.setter
    def read_bytes(self, value: int) -> None:
        self._read_bytes = value

    def _catch_up(self) -> None:
        """Count what went straight."""
        straight = self.straight
        if straight >= 0:
            self._read_bytes += straight - self._counted
            self.rcv_nxt = self.straight = self._counted = straight & SEQ_MASK

    def _go_on(self) -> None:
        """Let data go straight from here, if it can."""
        self.straight = self._counted = -1 if self.ofo or self.fin or self.closed else self.rcv_nxt

    def ends(self) -> None:
        """A FIN is about to be posted: from then on plain data that fills a gap may close the sink, so nothing comes late any more."""
        self.takes_late = False
        for hdr in self.cached:
            hdr.sink = None
        if self.poster is not None:
            self.poster.give_up()
            self.poster = None

    def deliver(self, stamp_ns: int, sender: Cpu, skb: Skb) -> None:
        """Decide a post of the clock's one order; late ones made before come first."""
        if self.poster is not None:
            self.poster.settle_before(stamp_ns, sender.rank)
        self.take(stamp_ns, sender, skb)

    def take(self, stamp_ns: int, sender: Cpu, skb: Skb) -> None:
        """Take the next data in order at once; anything else goes the ordinary way."""
        if self.straight > SEQ_MASK:
            self._catch_up()
        seq = skb.seq
        if seq == self.straight and (skb.hdr.tcp_flags | skb.tcp_flags_merged) & PREDICTED_FLAGS == TCP_ACK:
            size = skb.payload_bytes
            if size:
                self.straight = seq + size
                self._catch_up()
                self.ledger.read_frames += skb.frames
                self._latency_protocol.append(stamp_ns - skb.stage_ns)
                self._latency_total.append(stamp_ns - skb.arrived_ns)
                return
        self._catch_up()
        self.copied_seq = self.rcv_nxt
        self.right_edge = (self.rcv_nxt + self._window_bytes) & SEQ_MASK
        super().deliver(stamp_ns, sender, skb)
        self._go_on()
        if self.at_end():
            self.close()

    def _rcv_straight(self, skb: Skb, cpu: Cpu) -> bool:
        return False

    def done(self) -> None:
        """Leave the tables."""
        self._catch_up()
        self.straight = -1
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
