"""Why a packet was dropped, in words: the number that was too large, and what its queue stood behind."""

from __future__ import annotations

from typing import TYPE_CHECKING

from emu.clock import Port
from emu.dropreason import DropReason
from emu.skb import Skb
from netstack.sock import Socket
from netstack.udp_sock import UdpSocket
from scenarios.why.document import Stage, Value
from scenarios.why.formulas import Words, flow_limit_words
from scenarios.why.sockets import PLAIN_REASONS, SocketState, reader_of, socket_drop_words
from softirq.backlog import Backlog

if TYPE_CHECKING:
    from cpus.cpu import Cpu
    from scenarios.build import Built

    Deciding = tuple[int, Cpu, Port, SocketState]
    """The post that is decided: stamp, sender, port, the port's state before."""


def ring_of(built: Built, skb: Skb, by_settings: bool = False) -> int:
    """The ring that `skb` was steered to; by the settings of now where it has been taken off the ring's list."""
    if not by_settings:
        for ring in built.nic.rings:
            if any(one is skb for one in ring.frames):
                return ring.index
    return built.nic.rss.classify(skb.hdr)[2]


def behind(built: Built, deciding: Deciding | None, skb: Skb, reason: DropReason, now_ns: int) -> Stage | None:
    """The full queue that refuses `skb`: since when its oldest packet is in it, and the CPU that empties it."""
    if reason is DropReason.NIC_RING_FULL:
        ring = built.nic.rings[ring_of(built, skb)]
        vector = next((vector for vector in built.nic.vectors if ring in vector.rings), None)
        if vector is None or not ring.fill:
            return None
        return Stage(f"rx-{ring.index}", ring.frames[ring.head].arrived_ns, now_ns, vector.cpu)
    if deciding is None:
        return None
    port = deciding[2]
    if isinstance(port, Backlog):
        oldest = port.process_queue or port.input_pkt_queue
        return Stage(port.name, oldest[0].stage_ns, now_ns, port.sd.index) if oldest else None
    if isinstance(port, UdpSocket) and port.queue and reason is DropReason.SOCKET_RCVBUFF:
        reader = reader_of(port, built.threads)
        return None if reader is None else Stage(port.name, port.queue[0].stage_ns, now_ns, reader.cpu.index)
    return None


def drop_words(built: Built, deciding: Deciding | None, skb: Skb, reason: DropReason) -> Words:
    """Why `skb` was dropped, with the number that was too large."""
    if reason is DropReason.NIC_RING_FULL:
        ring = built.nic.rings[ring_of(built, skb)]
        values: dict[str, Value] = {
            "queue": ring.index,
            "fill": ring.fill,
            "descriptors": ring.descriptors,
            "cleaned": ring.cleaned,
        }
        words = f"rx-{ring.index} has no free descriptor: {ring.fill} frames wait"
        if ring.cleaned:
            words += f", {ring.cleaned} descriptors are emptied but not given back"
        return f"{words}, of a ring of {ring.descriptors}", values
    if deciding is not None:
        _, sender, port, before = deciding
        if isinstance(port, Socket):
            return socket_drop_words(port, skb, reason, before), before
        if reason is DropReason.CPU_BACKLOG:
            return _backlog_words(built, sender, before), before
    return PLAIN_REASONS.get(reason, "the protocol refuses it"), {}


def _backlog_words(built: Built, sender: Cpu, before: SocketState) -> str:
    qlen, most, target = before["qlen"], before["netdev_max_backlog"], before["target"]
    assert isinstance(qlen, int) and isinstance(most, int)
    if qlen > most >= 0:
        return f"CPU {target}'s backlog is full: {qlen} queued > netdev_max_backlog {most}"
    limit = built.machine.net.softnet[sender.index].flow_limit
    assert limit is not None
    words, more = flow_limit_words(limit)
    before |= more
    return f"CPU {target}'s backlog is half full ({qlen} of {most}), and the {words}"
