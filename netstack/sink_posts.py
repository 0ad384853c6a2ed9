"""Data on its way to TCP sinks: posts that are decided in bulk, when somebody looks.

Models: nothing of its own; what `TcpSink.deliver` does with plain data, many segments at a time.

A sink has no reader that could be woken, no buffer that could be full, and plain data (ACK, perhaps PSH) never closes it. So nobody
notices when such a post is decided, as long as each sink gets its own in the order of their stamps, and all of them before
anybody looks: the sampler, a control write, the end, or a post to the same sink that is not plain data. Of one sink all late posts come
from one CPU (`TcpSink.poster`); when another CPU begins to post to it, what waits goes back into the clock's one order.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from operator import sub
from typing import TYPE_CHECKING, Any, Final

from emu.clock import RANK_BITS

if TYPE_CHECKING:
    from cpus.cpu import Cpu
    from emu.clock import Clock, Port
    from emu.ledger import Ledger
    from emu.skb import Skb
    from netstack.tcp_sink import TcpSink
    from softirq.net import Latencies

SETTLE_POSTS: Final = 256
"""So many late posts of a CPU are decided as soon as they may be: what is fresh in the cache is cheap to look at again."""


class _Posted:
    """Late posts of one CPU, side by side, in the order of their stamps."""

    __slots__ = ("cpu", "sinks", "skbs", "stages", "stamps")

    def __init__(self, cpu: Cpu) -> None:
        self.cpu = cpu
        self.stamps: list[int] = []
        self.stages: list[int] = []
        """When each skb's present stage began."""
        self.sinks: list[TcpSink] = []
        self.skbs: list[Skb] = []


class SinkPosts:
    """The late posts of one machine (`Clock.late`)."""

    def __init__(self, clock: Clock, ledger: Ledger, latencies: Latencies) -> None:
        self._clock = clock
        self._ledger = ledger
        self._protocol = latencies.protocol.pending
        self._total = latencies.total.pending
        self._posted: dict[Cpu, _Posted] = {}

    def post(
        self, cpu: Cpu, stamps: Iterable[int], stages: Iterable[int], sinks: list[TcpSink], skbs: list[Skb]
    ) -> None:
        """Post skb by skb to sink by sink, with rising stamps; the caller tells `cpu` of the last one."""
        posted = self._posted.get(cpu)
        if posted is None:
            posted = self._posted[cpu] = _Posted(cpu)
        posted.stamps += stamps
        posted.stages += stages
        posted.sinks += sinks
        posted.skbs += skbs
        if len(posted.skbs) > SETTLE_POSTS:
            self.settle(self._clock.now_ns)

    def claim(self, cpu: Cpu, skbs: list[Skb]) -> None:
        """From now on `cpu` posts to the sinks of `skbs`."""
        for skb in skbs:
            sink = skb.hdr.sink
            if sink is not None and sink.poster is not cpu:
                if sink.poster is not None:
                    self._hand_over()
                sink.poster = cpu

    def settle(self, until_ns: int, rank: int = 0) -> None:
        """Decide every post with a stamp before `until_ns`, and those at that time of CPUs with a rank below `rank`."""
        for posted in self._posted.values():
            stamps = posted.stamps
            end_ns = until_ns + (posted.cpu.rank < rank)
            if not stamps or stamps[0] >= end_ns:
                continue
            if stamps[-1] < end_ns:
                stages, sinks, skbs = posted.stages, posted.sinks, posted.skbs
                posted.stamps, posted.stages, posted.sinks, posted.skbs = [], [], [], []
            else:
                end = bisect_left(stamps, end_ns)
                stages, sinks, skbs = posted.stages[:end], posted.sinks[:end], posted.skbs[:end]
                stamps = stamps[:end]
                del posted.stamps[:end], posted.stages[:end], posted.sinks[:end], posted.skbs[:end]
            self._decide(posted.cpu, stamps, stages, sinks, skbs)

    def _decide(self, cpu: Cpu, stamps: list[int], stages: list[int], sinks: list[TcpSink], skbs: list[Skb]) -> None:
        frames = 0
        waits = list(map(sub, stamps, stages))
        totals = [stamp - skb.arrived_ns for stamp, skb in zip(stamps, skbs, strict=True)]
        odd: list[int] = []
        for at, sink, skb in zip(range(len(skbs)), sinks, skbs, strict=True):
            seq = skb.seq
            if seq == sink.straight:
                sink.straight = seq + skb.payload_bytes
                frames += skb.frames
            else:
                odd.append(at)
                skb.stage_ns = stages[at]
                sink.take(stamps[at], cpu, skb)
        for at in reversed(odd):
            del waits[at], totals[at]
        self._ledger.read_frames += frames
        self._protocol += waits
        self._total += totals

    def posts_waiting(self) -> list[tuple[int, Port, Any, Any]]:
        """Posts that are not decided yet, as `Clock.posts_waiting`."""
        return [
            (stamp << RANK_BITS | posted.cpu.rank, sink, posted.cpu, skb)
            for posted in self._posted.values()
            for stamp, sink, skb in zip(posted.stamps, posted.sinks, posted.skbs, strict=True)
        ]

    def _hand_over(self) -> None:
        """Let the clock decide what waits, post by post in its one order."""
        waiting = self.posts_waiting()
        for posted in self._posted.values():
            for skb, stage_ns in zip(posted.skbs, posted.stages, strict=True):
                skb.stage_ns = stage_ns
        self._posted.clear()
        self._clock.post_keyed(waiting)
