"""UDP sockets: one that a process reads, and one whose data an in-kernel user takes at once.

Models: U2-U7, R15: the enqueue test of each release, lazy return of memory by the reader, checksums verified at copy.
Leaves out: MSG_PEEK, the lock-less batching of producers (6.18; it moves cost, not decisions), condensing of paged skbs.
Source: net/ipv4/udp.c __udp_enqueue_schedule_skb, udp_rmem_release, __skb_recv_udp (6.9; 6.18 for U3).
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from cpus.process import BLOCK, SYSTEM
from emu.dropreason import DropReason
from emu.events import QUIET_NS
from emu.flow_name import flow_name
from emu.skb import CHECKSUM_NONE, Skb
from emu.trace import packet_number
from netstack.sock import CHECKSUM_BREAK_BYTES, Socket, checksum_wrong

if TYPE_CHECKING:
    from collections.abc import Generator

    from cpus.cpu import Cpu
    from cpus.process import Process, Step
    from netstack.stack import NetStack

UDP_HLEN = 8


class UdpSocket(Socket):
    """A bound UDP socket. `peer` is (address, port) when connected: then it takes that peer's datagrams only."""

    __slots__ = ("_forward_deficit", "_reader_len", "local", "peer", "queue", "refused_ns", "softirq_cpus", "v6only")

    def __init__(
        self,
        stack: NetStack,
        local: tuple[bytes, int],
        rcvbuf_bytes: int,
        peer: tuple[bytes, int] | None = None,
    ) -> None:
        super().__init__(stack, rcvbuf_bytes)
        self.local = local
        self.peer = peer
        self.v6only = False
        self.gro = False
        self.in_established = peer is not None
        if self.has_reader and stack.net.rules.udp_readers_defer:
            self.given_back = {}
            stack.net.defers_frees = True
        self.queue: deque[Skb] = deque()
        """sk_receive_queue behind the reader's private queue, which is the first `_reader_len` of these."""
        self.softirq_cpus: deque[Cpu] = deque()
        self._reader_len = 0
        self.refused_ns = -QUIET_NS - 1
        self._forward_deficit = 0
        self.rcv_ns = stack.net.costs.udp_rcv_ns

    @property
    def name(self) -> str:
        """Protocol and local port."""
        return f"udp:{self.local[1]}"

    def deliver(self, stamp_ns: int, sender: Cpu, skb: Skb) -> None:
        """__udp_enqueue_schedule_skb: take `skb`, or drop it because the buffer is full (U3)."""
        if self.closed:
            sender.owed_ns += self.net.costs.skb_free_ns
            self.ledger.drop(skb, DropReason.NO_SOCKET)
            return
        if self.peer is not None:
            self.rxhash = skb.hash
            self.incoming_cpu = sender.index
        rmem = self.rmem_alloc_bytes
        size = skb.truesize_bytes
        if self.net.rules.udp_enqueue_adds_size:
            full = rmem and rmem + size > self.rcvbuf_bytes
        else:
            full = rmem > self.rcvbuf_bytes
        if full:
            udp = self.snmp.Udp6 if skb.hdr.version == 6 else self.snmp.Udp
            udp.RcvbufErrors += 1
            udp.InErrors += 1
            self.sk_drops += 1
            if stamp_ns - self.refused_ns > QUIET_NS:
                text = f"{self.name} refuses pkt {packet_number(skb)}: {rmem} bytes held, rcvbuf {self.rcvbuf_bytes}: "
                text += f"{DropReason.SOCKET_RCVBUFF.name}, {flow_name(skb.hdr.flow)}"
                self.net.events.note(stamp_ns, sender.index, text)
            self.refused_ns = stamp_ns
            sender.owed_ns += self.net.costs.skb_free_ns
            self.ledger.drop(skb, DropReason.SOCKET_RCVBUFF)
            return
        self.rmem_alloc_bytes = rmem + size
        self._latency_protocol.append(stamp_ns - skb.stage_ns)
        skb.stage_ns = stamp_ns
        self.held_frames += skb.frames
        self.queue.append(skb)
        self.softirq_cpus.append(sender)
        if self.sleepers or self.epoll is not None:
            self.data_ready(stamp_ns, sender)

    def readable(self) -> bool:
        """True if a datagram waits."""
        return bool(self.queue)

    def recv(self, process: Process, max_messages: int = 1) -> list[Skb]:
        """Take up to `max_messages` datagrams now, in one system call of `process` (recvmmsg); empty: EAGAIN.

        Afterwards `recv_ns` says how long the call takes. Call it at a synchronised time, as a process body always is.
        """
        cpu = process.cpu
        now_ns = cpu.local_now_ns
        costs = self.net.costs
        self.record_flow(cpu)
        recv_ns = costs.syscall_ns
        taken: list[Skb] = []
        queue = self.queue
        while queue and len(taken) < max_messages:
            if not self._reader_len:
                self._reader_len = len(queue)
            skb = queue.popleft()
            softirq_cpu = self.softirq_cpus.popleft()
            self._reader_len -= 1
            self._release(skb.truesize_bytes)
            self.held_frames -= skb.frames
            recv_ns += self.message_ns(cpu, softirq_cpu, skb)
            payload_bytes = skb.payload_bytes
            udp = self.snmp.Udp6 if skb.hdr.version == 6 else self.snmp.Udp
            if payload_bytes + UDP_HLEN > CHECKSUM_BREAK_BYTES:
                if skb.ip_summed == CHECKSUM_NONE and not skb.hdr.l4_csum_zero:
                    recv_ns += costs.csum_copy_ps * payload_bytes // 1000
                if checksum_wrong(skb):
                    udp.InCsumErrors += 1
                    udp.InErrors += 1
                    self.sk_drops += 1
                    self.ledger.drop(skb, DropReason.UDP_CSUM)
                    continue
            recv_ns += costs.copy_ps * payload_bytes // 1000
            udp.InDatagrams += 1
            self.read_bytes += payload_bytes
            self.account_read(skb, now_ns)
            taken.append(skb)
        self.read_messages += len(taken)
        self.recv_ns = recv_ns
        if taken and self.net.trace is not None:
            self.net.trace.read(self, cpu, taken, now_ns)
        return taken

    def recvmsg(self, process: Process, max_messages: int = 1, block: bool = True) -> Generator[Step, None, list[Skb]]:
        """A receive call of a process body: ``skbs = yield from sock.recvmsg(process)``. Sleeps while there is nothing, if `block`."""
        while True:
            taken = self.recv(process, max_messages)
            if taken or not block:
                if self.given_back:
                    self.give_back(process.cpu)
                yield SYSTEM, self.recv_ns
                return taken
            self.sleep(process)
            yield BLOCK
            self.woken(process)

    def close(self) -> None:
        """Leave the tables; what was not read is dropped."""
        if self.closed:
            return
        self.closed = True
        self.stack.tables.remove_udp(self.local, self.peer, self)
        for skb in self.queue:
            self.ledger.drop(skb, DropReason.NOT_SPECIFIED)
        self.queue.clear()
        self.softirq_cpus.clear()
        self.rmem_alloc_bytes = self.held_frames = self._reader_len = self._forward_deficit = 0
        self.forget()

    def _release(self, size_bytes: int) -> None:
        """udp_rmem_release: give memory back in chunks of a quarter of the buffer, or when the reader's own queue is empty (U5)."""
        deficit = self._forward_deficit + size_bytes
        if deficit < self.rcvbuf_bytes >> 2 and self._reader_len:
            self._forward_deficit = deficit
            return
        self._forward_deficit = 0
        self.rmem_alloc_bytes -= deficit


class UdpSink(UdpSocket):
    """A UDP socket whose in-kernel user takes each datagram in softirq: nothing is ever queued."""

    __slots__ = ()
    has_reader = False

    def __init__(
        self, stack: NetStack, local: tuple[bytes, int], rcvbuf_bytes: int, peer: tuple[bytes, int] | None = None
    ) -> None:
        super().__init__(stack, local, rcvbuf_bytes, peer)
        self.rcv_ns += stack.net.costs.skb_free_ns

    def deliver(self, stamp_ns: int, sender: Cpu, skb: Skb) -> None:
        """Take `skb` at once."""
        if self.closed:
            self.ledger.drop(skb, DropReason.NO_SOCKET)
            return
        udp = self.snmp.Udp6 if skb.hdr.version == 6 else self.snmp.Udp
        if not skb.hdr.l4_csum_ok and checksum_wrong(skb):
            udp.InCsumErrors += 1
            udp.InErrors += 1
            self.sk_drops += 1
            self.ledger.drop(skb, DropReason.UDP_CSUM)
            return
        udp.InDatagrams += 1
        self.read_messages += 1
        self.read_bytes += skb.payload_bytes
        self.ledger.read_frames += skb.frames
        self._latency_protocol.append(stamp_ns - skb.stage_ns)
        self._latency_socket.append(0)
        self._latency_total.append(stamp_ns - skb.arrived_ns)
