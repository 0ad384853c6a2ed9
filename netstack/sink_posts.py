"""Data on its way to TCP sinks: posts that are decided in bulk, when somebody looks.

Models: nothing of its own; what `TcpSink.deliver` does with plain data, many segments at a time.

A sink has no reader that could be woken, no buffer that could be full, and plain data (ACK, perhaps PSH) never closes it, unless a FIN
waits behind a gap: a sink that is sent one takes nothing late any more (`TcpSink.ends`). So nobody notices when such a post is decided,
as long as each sink gets its own in the order of their stamps, and all of them before anybody looks: the sampler, a control write, the
end, or a post to the same sink that is not plain data. Of one sink all late posts come from one CPU (`TcpSink.poster`); when another CPU
begins to post to it, what waits goes back into the clock's one order.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable
from itertools import repeat
from operator import sub
from typing import TYPE_CHECKING, Any, Final

from emu.clock import NEVER, RANK_BITS
from emu.headers import TCP_FIN
from netstack.list_path import Straight

if TYPE_CHECKING:
    from cpus.cpu import Cpu
    from emu.clock import Clock, Port
    from emu.ledger import Ledger
    from emu.skb import Skb
    from netstack.tcp_sink import TcpSink
    from softirq.net import Latencies

SETTLE_POSTS: Final = 256
"""So many late posts of a CPU are decided as soon as they may be: what is fresh in the cache is cheap to look at again."""


class SinkLane:
    """Late posts of one CPU to sinks of one protocol, side by side, in the order of their stamps."""

    __slots__ = (
        "_count",
        "_counted",
        "_list_waits",
        "_mine",
        "_posts",
        "cpu",
        "rcv_ns",
        "sinks",
        "skbs",
        "stamps",
        "waits",
    )

    def __init__(self, posts: SinkPosts, cpu: Cpu, rcv_ns: int, count: Callable[[Straight], None]) -> None:
        self._posts = posts
        self._count = count
        self._counted = 0
        """So many of those that wait here are counted by the protocol."""
        self.cpu = cpu
        self.rcv_ns = rcv_ns
        """What the protocol's headers cost."""
        self._list_waits: dict[int, list[int]] = {}
        """Length of a list -> waits of its skbs."""
        self._mine = {self}
        self.stamps: list[int] = []
        self.waits: list[int] = []
        """How long each skb was on its way from the demux then."""
        self.sinks: list[TcpSink] = []
        self.skbs: list[Skb] = []

    def sinks_of(self, skbs: list[Skb]) -> list[TcpSink] | None:
        """The sink of each of `skbs`, if posts to all of them go by this lane; else None."""
        sinks = [skb.hdr.sink for skb in skbs]
        return sinks if {None if sink is None else sink.poster for sink in sinks} == self._mine else None

    def add(self, sink: TcpSink, skb: Skb, stamp_ns: int) -> None:
        """Post one packet, whose stage has begun."""
        self.waits.append(stamp_ns - skb.stage_ns)
        self.stamps.append(stamp_ns)
        self.sinks.append(sink)
        self.skbs.append(skb)
        self.cpu.last_post_ns = stamp_ns

    def add_list(self, sinks: list[TcpSink], skbs: list[Skb], now_ns: int) -> int:
        """Post a list that comes at `now_ns`: the headers of all are paid first, then each in its turn. Returns when it is through."""
        sink_ns = sinks[0].rcv_ns
        waits = self._list_waits.get(len(skbs))
        if waits is None:
            headers_ns = self.rcv_ns * len(skbs)
            waits = [headers_ns + sink_ns * place for place in range(1, len(skbs) + 1)]
            self._list_waits[len(skbs)] = waits
        through_ns = now_ns + waits[-1]
        self.waits += waits
        self.stamps += range(now_ns + waits[0], through_ns + 1, sink_ns)
        self.sinks += sinks
        self.skbs += skbs
        self.cpu.last_post_ns = through_ns
        return through_ns

    def add_run(self, sinks: list[TcpSink], skbs: list[Skb], now_ns: int, lead_ns: int) -> int:
        """Post packets of a backlog, one after the other: each pays `lead_ns` and its headers when its turn comes."""
        sink_ns = sinks[0].rcv_ns
        step_ns = lead_ns + self.rcv_ns + sink_ns
        through_ns = now_ns + step_ns * len(skbs)
        self.waits += repeat(step_ns - lead_ns, len(skbs))
        self.stamps += range(now_ns + step_ns, through_ns + 1, step_ns)
        self.sinks += sinks
        self.skbs += skbs
        self.cpu.last_post_ns = through_ns
        return through_ns

    def claim(self, skbs: list[Skb]) -> None:
        """From now on posts to the sinks of `skbs` go by this lane."""
        for skb in skbs:
            sink = skb.hdr.sink
            if sink is not None and sink.poster is not self:
                if sink.poster is not None:
                    self._posts.hand_over()
                sink.poster = self
            if sink is not None and skb.tcp_flags_merged & TCP_FIN:
                sink.ends()

    def give_up(self) -> None:
        """Let the clock decide what waits: a sink takes nothing late any more."""
        self._posts.hand_over()

    def settle_before(self, stamp_ns: int, rank: int) -> None:
        """Decide what comes before a post of a CPU with `rank` at `stamp_ns`."""
        self._posts.settle(stamp_ns, rank)

    def count_up(self) -> None:
        """Let the protocol count what was posted since."""
        skbs = self.skbs[self._counted :] if self._counted else self.skbs
        if skbs:
            octets = sum([skb.len_bytes for skb in skbs])
            segments = sum([skb.frames for skb in skbs]) - len(skbs)
            self._count(Straight(len(skbs), octets, segments, len(skbs)))
        self._counted = len(self.skbs)

    def take(self, until_ns: int) -> tuple[list[int], list[int], list[TcpSink], list[Skb]]:
        """Take out what was posted before `until_ns`, all of it counted: stamps, waits, sinks and skbs."""
        stamps, waits, sinks, skbs = self.stamps, self.waits, self.sinks, self.skbs
        end = len(stamps) if stamps[-1] < until_ns else bisect_left(stamps, until_ns)
        self._counted -= end
        self.stamps, self.waits, self.sinks, self.skbs = stamps[end:], waits[end:], sinks[end:], skbs[end:]
        del stamps[end:], waits[end:], sinks[end:], skbs[end:]
        return stamps, waits, sinks, skbs

    def settle_many(self) -> None:
        """Decide what may be decided, once there is enough of it."""
        if len(self.skbs) > SETTLE_POSTS:
            self._posts.settle(self._posts.clock.now_ns)


class SinkPosts:
    """The late posts of one machine (`Clock.late`)."""

    def __init__(self, clock: Clock, ledger: Ledger, latencies: Latencies) -> None:
        self.clock = clock
        self._ledger = ledger
        self._protocol = latencies.protocol.pending
        self._total = latencies.total.pending
        self.lanes: list[SinkLane] = []

    def lane(self, cpu: Cpu, rcv_ns: int, count: Callable[[Straight], None]) -> SinkLane:
        """A new lane, for what `cpu` posts to sinks of one protocol, whose headers cost `rcv_ns` and which counts by `count`."""
        lane = SinkLane(self, cpu, rcv_ns, count)
        self.lanes.append(lane)
        return lane

    def settle(self, until_ns: int, rank: int = 0) -> None:
        """Decide every post with a stamp before `until_ns`, and those at that time of CPUs with a rank below `rank`."""
        for lane in self.lanes:
            if lane.stamps:
                lane.count_up()
                end_ns = until_ns + (lane.cpu.rank < rank)
                if lane.stamps[0] < end_ns:
                    self._decide(lane.cpu, *lane.take(end_ns))

    def _decide(self, cpu: Cpu, stamps: list[int], waits: list[int], sinks: list[TcpSink], skbs: list[Skb]) -> None:
        frames = 0
        odd: list[int] = []
        for sink, skb in zip(sinks, skbs, strict=True):
            seq = skb.seq
            if seq == sink.straight:
                sink.straight = seq + skb.payload_bytes
                frames += skb.frames
            else:
                at = skbs.index(skb)
                odd.append(at)
                skb.stage_ns = stamps[at] - waits[at]
                sink.take(stamps[at], cpu, skb)
        for at in reversed(odd):
            del stamps[at], waits[at], skbs[at]
        self._ledger.read_frames += frames
        self._protocol += waits
        self._total += map(sub, stamps, [skb.arrived_ns for skb in skbs])

    def posts_waiting(self) -> list[tuple[int, Port, Any, Any]]:
        """Posts that are not decided yet, as `Clock.posts_waiting`."""
        return [
            (stamp << RANK_BITS | lane.cpu.rank, sink, lane.cpu, skb)
            for lane in self.lanes
            for stamp, sink, skb in zip(lane.stamps, lane.sinks, lane.skbs, strict=True)
        ]

    def hand_over(self) -> None:
        """Let the clock decide what waits, post by post in its one order."""
        waiting = self.posts_waiting()
        for lane in self.lanes:
            if lane.stamps:
                lane.count_up()
                stamps, waits, _, skbs = lane.take(NEVER)
                for skb, stamp_ns, wait_ns in zip(skbs, stamps, waits, strict=True):
                    skb.stage_ns = stamp_ns - wait_ns
        self.clock.post_keyed(waiting)
