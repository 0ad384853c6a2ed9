"""The list path of IPv4 and IPv6: packets whose headers and socket are known already go straight to their sockets.

Models: D4, IP2: all header checks of a sublist are paid first, then packet by packet what comes behind.
Leaves out: every check and every look-up. What is found here was found the ordinary way before, for the same headers.
Source: net/ipv4/ip_input.c ip_list_rcv, ip_sublist_rcv (6.9).
"""

from __future__ import annotations

from collections.abc import Callable
from operator import sub
from typing import TYPE_CHECKING, Final, NamedTuple

from emu.headers import TCP_PSH

if TYPE_CHECKING:
    from emu.clock import Clock, Port
    from emu.headers import Headers
    from emu.skb import Skb
    from netstack.sink_posts import SinkLane
    from netstack.sock import Socket
    from netstack.tcp_sink import TcpSink
    from softirq.softnet_data import SoftnetData


class Straight(NamedTuple):
    """What went straight: skbs, their bytes, segments beyond the first of merged ones, and what they add to TcpInSegs."""

    skbs: int
    octets: int
    segments: int
    tcp_segs: int


NONE_STRAIGHT: Final = Straight(0, 0, 0, 0)


def rcv_list(
    sd: SoftnetData,
    skbs: list[Skb],
    rcv_ns: int,
    fast: dict[Headers, Socket],
    rcv: Callable[[SoftnetData, Skb], None],
    clock: Clock,
    lane: SinkLane | None,
    waits: list[int] | None = None,
    lead_ns: int = 0,
) -> Straight:
    """Post those of `skbs` whose headers are in `fast` and give the others to `rcv`, all in order; data for sinks goes by `lane`, in one go
    if there is nothing else. Returns what is to be counted; the lane counts what went there.

    A sublist pays `rcv_ns` for all of its packets first. Packets of a backlog (`waits` is given) come one after the other: each notes its
    wait, and pays `lead_ns` and `rcv_ns` when its turn comes.
    """
    cpu = sd.cpu
    odd = skbs
    if lane is not None:
        odd = _not_for_sinks(lane, skbs)
        if odd:
            lane.claim(odd)
            odd = _not_for_sinks(lane, odd)
        if not odd:
            _to_sinks(lane, skbs, waits, lead_ns)
            return NONE_STRAIGHT
    now_ns = start_ns = cpu.local_now_ns
    if waits is None:
        cpu.local_now_ns = now_ns = start_ns + rcv_ns * len(skbs)
    straight = 0
    octets = 0
    segments = 0
    tcp_segs = 0
    posts: list[tuple[int, Port, Skb]] = []
    odd_at = 0
    for skb in skbs:
        is_odd = odd_at < len(odd) and odd[odd_at] is skb
        odd_at += is_odd
        if waits is None:
            skb.stage_ns = start_ns
        else:
            waits.append(now_ns - skb.stage_ns)
            skb.stage_ns = now_ns = now_ns + lead_ns
            now_ns += rcv_ns
        sock = fast.get(skb.hdr)
        if sock is not None and skb.ip_summed and not skb.pkt_type and (skb.gso_segs <= 1 or sock.gro):
            now_ns += sock.rcv_ns
            if lane is None or is_odd or skb.hdr.sink is None:
                if skb.gso_segs > 1:
                    segments += skb.gso_segs - 1
                octets += skb.len_bytes
                tcp_segs += sock.in_segs
                posts.append((now_ns, sock, skb))
                continue
            if posts:
                straight += len(posts)
                clock.post_batch(cpu, posts)
                posts = []
            lane.add(skb.hdr.sink, skb, now_ns)
        else:
            if posts:
                straight += len(posts)
                clock.post_batch(cpu, posts)
                posts = []
            cpu.local_now_ns = now_ns
            rcv(sd, skb)
            now_ns = cpu.local_now_ns
    if posts:
        straight += len(posts)
        clock.post_batch(cpu, posts)
    cpu.local_now_ns = now_ns
    return Straight(straight, octets, segments, tcp_segs)


def _not_for_sinks(lane: SinkLane, skbs: list[Skb]) -> list[Skb]:
    """Those of `skbs` that are not sound plain data for a sink whose posts go by `lane`."""
    return [
        skb
        for skb in skbs
        if (sink := skb.hdr.sink) is None
        or sink.poster is not lane
        or not skb.ip_summed
        or skb.pkt_type
        or skb.payload_bytes <= 0
        or skb.tcp_flags_merged & ~TCP_PSH
    ]


def plain_run(lane: SinkLane, skbs: list[Skb], ethertype: int, waits: list[int], lead_ns: int) -> bool:
    """`rcv_list` for packets of a backlog, if all of them are what `Skb.plain` says and for sinks of `lane`. False: nothing was touched."""
    sinks: list[TcpSink] = []
    posted_ns: list[int] = []
    for skb in skbs:
        sink = skb.hdr.sink
        if sink is None or sink.poster is not lane or skb.plain != ethertype:
            return False
        sinks.append(sink)
        posted_ns.append(skb.stage_ns)
    _take_run(lane, sinks, skbs, posted_ns, waits, lead_ns)
    return True


def _to_sinks(lane: SinkLane, skbs: list[Skb], waits: list[int] | None, lead_ns: int) -> None:
    """As `rcv_list`, for plain data for sinks of `lane` only: each packet takes the same time, so all times follow from the first."""
    sinks = [skb.hdr.sink for skb in skbs]
    if waits is None:
        lane.cpu.local_now_ns = lane.add_list(sinks, skbs, lane.cpu.local_now_ns)
        lane.settle_many()
    else:
        _take_run(lane, sinks, skbs, [skb.stage_ns for skb in skbs], waits, lead_ns)


def _take_run(
    lane: SinkLane, sinks: list[TcpSink], skbs: list[Skb], posted_ns: list[int], waits: list[int], lead_ns: int
) -> None:
    cpu = lane.cpu
    now_ns = cpu.local_now_ns
    cpu.local_now_ns = through_ns = lane.add_run(sinks, skbs, now_ns, lead_ns)
    waits += map(sub, range(now_ns, through_ns, (through_ns - now_ns) // len(skbs)), posted_ns)
    lane.settle_many()
