"""Reassembly of IPv4 and IPv6 fragments.

Models: IP3, IP4: one queue a datagram; duplicates, overlaps, inconsistent ends, the memory threshold, distance (IPv4), time-outs.
Leaves out: eviction between the low and the high threshold, fragments whose upper headers are cut (IPv6), DF of the result.
Source: net/ipv4/ip_fragment.c, inet_fragment.c, net/ipv6/reassembly.c (6.9); recordings ip_fragments_*.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final

from emu.dropreason import DropReason
from emu.headers import ETH_HLEN, IPPROTO_AH, IPPROTO_FRAGMENT, IPPROTO_UDP, HeaderTable, ones_complement_sum
from emu.skb import Received, Skb
from netstack.route import LOCAL

if TYPE_CHECKING:
    from cpus.cpu import Cpu, Timer
    from netstack.stack import NetStack
    from softirq.softnet_data import SoftnetData

MAX_DATAGRAM_BYTES: Final = 65535
PEERS_LIMIT: Final = 65_536
ICMP_TIME_EXCEEDED: Final = 11
ICMPV6_TIME_EXCEED: Final = 3
ICMPV6_PARAMPROB: Final = 4

_TAKEN: Final = 0
_DUPLICATE: Final = 1
_OVERLAP: Final = 2

Key = tuple[bytes, bytes, int, int]
"""(saddr, daddr, id, protocol; the protocol is 0 for IPv6)."""


class _Run:
    """Fragments that follow each other without a gap, in the order in which they came."""

    __slots__ = ("end", "skbs", "start")

    def __init__(self, start: int, end: int, skb: Skb) -> None:
        self.start = start
        self.end = end
        self.skbs = [(start, end, skb)]


class FragmentQueue:
    """The fragments of one datagram (struct ipq, struct frag_queue)."""

    __slots__ = ("ecn", "first", "key", "last_in", "len_bytes", "meat_bytes", "rid", "runs", "timer", "truesize_bytes")

    def __init__(self, key: Key, rid: int) -> None:
        self.key = key
        self.rid = rid
        self.runs: list[_Run] = []
        self.first: Skb | None = None
        self.last_in = False
        self.len_bytes = 0
        self.meat_bytes = 0
        self.truesize_bytes = 0
        self.ecn = 0
        """Bit n: a fragment with ECN field n."""
        self.timer: Timer | None = None

    def skbs(self) -> list[tuple[int, int, Skb]]:
        """(start, end, skb) by offset."""
        return sorted((part for run in self.runs for part in run.skbs), key=lambda part: part[0])

    def insert(self, start: int, end: int, skb: Skb) -> int:
        """inet_frag_queue_insert: runs grow at the tail only; anything else must fit between them."""
        runs = self.runs
        if runs and start == runs[-1].end:
            runs[-1].end = end
            runs[-1].skbs.append((start, end, skb))
            return _TAKEN
        at = len(runs)
        while at and end <= runs[at - 1].start:
            at -= 1
        if at and start < runs[at - 1].end:
            return _DUPLICATE if start >= runs[at - 1].start and end <= runs[at - 1].end else _OVERLAP
        runs.insert(at, _Run(start, end, skb))
        return _TAKEN


class Fragments:
    """All incomplete datagrams of the host. What completes goes on where the last fragment came in (IP4)."""

    def __init__(self, stack: NetStack) -> None:
        self._stack = stack
        self._snmp = stack.snmp
        self._limits = (stack.settings.ipfrag, stack.settings.ip6frag)
        self._net = stack.net
        self._table = HeaderTable()
        self.queues: dict[Key, FragmentQueue] = {}
        self.truesize_bytes = [0, 0]
        """Memory in use: IPv4, IPv6."""
        self._rids: dict[bytes, int] = {}
        """Source address -> fragments seen from it (inet_peer.rid)."""

    def frames_held(self) -> int:
        """Wire frames waiting for the rest of their datagram."""
        return sum(skb.frames for queue in self.queues.values() for _, _, skb in queue.skbs())

    def defrag(self, sd: SoftnetData, skb: Skb) -> Skb | None:
        """ip_defrag, ipv6_frag_rcv: take a fragment. Returns the whole datagram if this completes it."""
        hdr = skb.hdr
        v6 = hdr.version == 6
        sd.cpu.local_now_ns += self._net.costs.other_rcv_ns
        mib = self._snmp.Ip6 if v6 else self._snmp.Ip
        mib.ReasmReqds += 1
        limits = self._limits[v6]
        if not limits.high_thresh_bytes or self.truesize_bytes[v6] > limits.high_thresh_bytes:
            mib.ReasmFails += 1
            self._refuse(skb, DropReason.NOT_SPECIFIED)
            return None
        start = hdr.fragment_offset
        size = skb.len_bytes - max(hdr.trailer_bytes, 0) - (payload_start(skb) - hdr.network_offset)
        end = start + size
        if v6 and (end > MAX_DATAGRAM_BYTES or (hdr.more_fragments and end & 7)):
            self._snmp.Ip6.InHdrErrors += 1
            self._stack.answers.icmp6_send(sd, skb, ICMPV6_PARAMPROB, 0)
            self._refuse(skb, DropReason.IP_INHDR)
            return None
        key: Key = (hdr.saddr, hdr.daddr, skb.ip_id, 0 if v6 else hdr.l4_protocol)
        rid = 0 if v6 else self._next_rid(hdr.saddr)
        queue = self.queues.get(key)
        if queue is not None and not v6:
            if queue.runs and 0 < limits.max_dist < rid - queue.rid:
                mib.ReasmFails += 1
                self._kill(queue, DropReason.NOT_SPECIFIED)
                queue = None
            else:
                queue.rid = rid
        if queue is None:
            queue = FragmentQueue(key, rid)
            self.queues[key] = queue
            self._start_timer(sd, queue, v6, limits.time_ns)
        if hdr.more_fragments:
            end &= ~7
            consistent = end <= queue.len_bytes or not queue.last_in
            queue.len_bytes = max(queue.len_bytes, end)
        else:
            consistent = end >= queue.len_bytes and not (queue.last_in and end != queue.len_bytes)
            queue.last_in = True
            queue.len_bytes = end
        verdict = queue.insert(start, end, skb) if consistent and end > start else _OVERLAP
        if verdict == _DUPLICATE:
            self._refuse(skb, DropReason.DUP_FRAG)
            return None
        if verdict == _OVERLAP:
            if consistent and end > start and not v6:
                self._snmp.IpExt.ReasmOverlaps += 1
            mib.ReasmFails += 1
            self._kill(queue, DropReason.NOT_SPECIFIED)
            self._refuse(skb, DropReason.NOT_SPECIFIED)
            return None
        queue.meat_bytes += end - start
        queue.truesize_bytes += skb.truesize_bytes
        self.truesize_bytes[v6] += skb.truesize_bytes
        queue.ecn |= 1 << (hdr.tos & 3)
        if start == 0:
            queue.first = skb
        if self._net.trace is not None:
            self._net.trace.fragment_waits(sd, skb)
        if queue.first is None or not queue.last_in or queue.meat_bytes != queue.len_bytes:
            return None
        whole = self._reassemble(queue, queue.first, skb, v6)
        if whole is not None and self._net.trace is not None:
            self._net.trace.reassembled(sd, whole, [part for _, _, part in queue.skbs()])
        return whole

    def _refuse(self, skb: Skb, reason: DropReason) -> None:
        self._net.ledger.drop(skb, reason)

    def _next_rid(self, saddr: bytes) -> int:
        rids = self._rids
        if saddr not in rids and len(rids) >= PEERS_LIMIT:
            rids.clear()
        rid = rids[saddr] = rids.get(saddr, 0) + 1
        return rid

    def _start_timer(self, sd: SoftnetData, queue: FragmentQueue, v6: bool, time_ns: int) -> None:
        def expire(cpu: Cpu) -> None:
            self._expire(self._net.softnet[cpu.index], queue, v6)

        queue.timer = sd.cpu.start_timer(sd.cpu.local_now_ns + time_ns, expire)

    def _forget(self, queue: FragmentQueue) -> None:
        """inet_frag_kill."""
        del self.queues[queue.key]
        if queue.timer is not None:
            queue.timer.withdrawn = True
        self.truesize_bytes[len(queue.key[0]) == 16] -= queue.truesize_bytes

    def _kill(self, queue: FragmentQueue, reason: DropReason) -> None:
        self._forget(queue)
        for _, _, skb in queue.skbs():
            self._net.ledger.drop(skb, reason)

    def _expire(self, sd: SoftnetData, queue: FragmentQueue, v6: bool) -> None:
        """ip_expire, ip6frag_expire_frag_queue."""
        mib = self._snmp.Ip6 if v6 else self._snmp.Ip
        mib.ReasmFails += 1
        mib.ReasmTimeout += 1
        if queue.first is not None:
            if v6:
                self._stack.answers.icmp6_send(sd, queue.first, ICMPV6_TIME_EXCEED, 1)
            else:
                self._stack.answers.icmp_send(sd, queue.first, ICMP_TIME_EXCEEDED, 1, LOCAL)
        self._kill(queue, DropReason.FRAG_REASM_TIMEOUT)

    def _reassemble(self, queue: FragmentQueue, first: Skb, last_seen: Skb, v6: bool) -> Skb | None:
        """ip_frag_reasm: one skb with the headers of the first fragment; None if it is too long or its ECN fields contradict."""
        mib = self._snmp.Ip6 if v6 else self._snmp.Ip
        network = first.hdr.network_offset
        payload_at = payload_start(first)
        head_bytes = payload_at - network - (8 if v6 else 0)
        too_long = queue.len_bytes + head_bytes - (40 if v6 else 0) > MAX_DATAGRAM_BYTES
        if too_long or (queue.ecn & 1 and queue.ecn != 1):
            mib.ReasmFails += 1
            self._kill(queue, DropReason.NOT_SPECIFIED)
            return None
        self._forget(queue)
        mib.ReasmOKs += 1
        parts = queue.skbs()
        known = all(
            skb.data is not None and len(skb.data) >= payload_start(skb) + end - start for start, end, skb in parts
        )
        head = bytearray(first.hdr.template[:payload_at])
        if v6:
            _without_fragment_header(head, network, first)
            struct.pack_into("!H", head, network + 4, len(head) - network - 40 + queue.len_bytes)
        else:
            if queue.ecn & 1 << 3:
                head[network + 1] |= 3
            struct.pack_into("!HH", head, network + 2, head_bytes + queue.len_bytes, first.ip_id & 0xFFFF)
            head[network + 6 : network + 8] = head[network + 10 : network + 12] = b"\0\0"
            csum = 0xFFFF - ones_complement_sum(bytes(head[network:payload_at]))
            struct.pack_into("!H", head, network + 10, csum)
        wire_bytes = len(head) + queue.len_bytes
        if known:
            for start, end, skb in parts:
                assert skb.data is not None
                at = payload_start(skb)
                head += skb.data[at : at + end - start]
        else:
            head += _known_start(first, payload_at, queue.len_bytes)
        frame = self._table.parse(bytes(head), wire_bytes)
        whole = Skb(
            frame.hdr,
            first.number,
            wire_bytes,
            frame.payload_bytes,
            frame.ip_id,
            frame.seq,
            min(skb.arrived_ns for _, _, skb in parts),
            frame.data,
            wire_bytes - max(network, ETH_HLEN),
        )
        whole.received = Received(last_seen.dev, first.rx_queue, first.alloc_cpu)
        whole.stage_ns = last_seen.stage_ns
        whole.pkt_type = first.pkt_type
        whole.hash = first.hash
        whole.hash_kind = first.hash_kind
        whole.frames = sum(skb.frames for _, _, skb in parts)
        whole.frags = len(parts) - 1
        whole.truesize_bytes = queue.truesize_bytes
        return whole


def _known_start(first: Skb, payload_at: int, size: int) -> bytes:
    """What is known of a datagram of `size` bytes whose fragments were cut or synthetic: its transport header. The rest counts as sound."""
    if first.data is not None:
        return first.data[payload_at : payload_at + 60]
    known = bytearray(first.hdr.template[payload_at:])
    if first.hdr.l4_protocol == IPPROTO_UDP and len(known) >= 8:
        struct.pack_into("!HH", known, 4, size, 0xFFFF)
    return bytes(known)


def payload_start(skb: Skb) -> int:
    """Offset in the frame where the fragment's part of the datagram begins: behind the IP header, for IPv6 behind the fragment header."""
    hdr = skb.hdr
    if hdr.version == 4:
        return hdr.l4_offset
    return _fragment_header(hdr.template, hdr.network_offset)[0] + 8


def _fragment_header(data: bytes | bytearray, network: int) -> tuple[int, int]:
    """(offset of the fragment header, offset of the next-header field that leads to it) of an IPv6 packet that has one."""
    pointer = network + 6
    at = network + 40
    while data[pointer] != IPPROTO_FRAGMENT:
        length = (data[at + 1] + 2) * 4 if data[pointer] == IPPROTO_AH else (data[at + 1] + 1) * 8
        pointer, at = at, at + length
    return at, pointer


def _without_fragment_header(head: bytearray, network: int, first: Skb) -> None:
    """Cut the fragment header out of `head`; what pointed to it points to what it pointed to."""
    at, pointer = _fragment_header(head, network)
    head[pointer] = head[at]
    del head[at : at + 8]
