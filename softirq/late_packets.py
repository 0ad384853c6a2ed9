"""Packets on their way to a backlog that need not be decided one by one.

Models: nothing of its own; what `Backlog.deliver` does with one more packet for a backlog that is scheduled and far from its limits.

Nobody but the backlog's own CPU notices when such a packet is appended, and that CPU only when it takes the queue. So those posts wait
here and are appended in one go: when it does, before a post that has to be decided, and before anybody looks. A backlog that is not
scheduled has to be woken by the first of them: that one goes into the clock's one order, and the rest waits behind it.
"""

from __future__ import annotations

from bisect import bisect_left
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from emu.clock import RANK_BITS, Port

if TYPE_CHECKING:
    from cpus.cpu import Cpu
    from emu.skb import Skb
    from softirq.backlog import Backlog
    from softirq.softnet_data import SoftnetData

_stamp_ns = attrgetter("stage_ns")
_rank = attrgetter("rank")


class LatePackets:
    """Those of one backlog, by sender, each with its stamp in `Skb.stage_ns`, rising."""

    __slots__ = ("_backlog", "_waiting", "count")

    def __init__(self, backlog: Backlog) -> None:
        self._backlog = backlog
        self._waiting: dict[Cpu, list[Skb]] = {}
        """No list is empty. While the backlog is not scheduled, the clock knows of an earlier post of each sender in here."""
        self.count = 0

    def post(self, sender: Cpu, skbs: list[Skb]) -> bool:
        """Post `skbs`, which carry no RPS flow entry. False: each is to be decided by itself."""
        backlog = self._backlog
        sd = backlog.sd
        # What the clock has not decided yet may come before these.
        after = len(backlog.input_pkt_queue) + backlog.posted + self.count + len(skbs)
        if after > sd.net.settings.netdev_max_backlog >> 1 or not sd.cpu.online or not skbs[0].received.dev.running:
            return False
        self.count += len(skbs)
        waiting = self._waiting.get(sender)
        if waiting is not None:
            waiting += skbs
        else:
            self._waiting[sender] = skbs
            if not backlog.sched:
                self._announce(sender)
        return True

    def append(self, until_ns: int, rank: int = 0) -> None:
        """Append to the backlog what was posted before `until_ns`, or at that time by CPUs with a rank below `rank`."""
        due: list[Skb] = []
        # Of equal stamps the lower rank comes first: sorting keeps that order.
        for sender in sorted(self._waiting, key=_rank):
            skbs = self._waiting[sender]
            end_ns = until_ns + (sender.rank < rank)
            if skbs[-1].stage_ns < end_ns:
                del self._waiting[sender]
            else:
                end = bisect_left(skbs, end_ns, key=_stamp_ns)
                self._waiting[sender] = skbs[end:]
                del skbs[end:]
            due = sorted(due + skbs, key=_stamp_ns) if due else skbs
        self.count -= len(due)
        backlog = self._backlog
        backlog.input_pkt_queue += due
        backlog.input_queue_tail += len(due)

    def announce(self) -> None:
        """The backlog is not scheduled any more: the first packet of each sender has to wake it."""
        for sender in list(self._waiting):
            self._announce(sender)

    def hand_over(self) -> None:
        """Let the clock decide each of them: something may change."""
        self._backlog.sd.net.clock.post_keyed(self.posts_waiting())
        self._backlog.posted += self.count
        self._waiting.clear()
        self.count = 0

    def posts_waiting(self) -> list[tuple[int, Port, Any, Any]]:
        """As `Clock.posts_waiting`."""
        return [
            (skb.stage_ns << RANK_BITS | sender.rank, self._backlog, sender, skb)
            for sender, skbs in self._waiting.items()
            for skb in skbs
        ]

    def _announce(self, sender: Cpu) -> None:
        skbs = self._waiting[sender]
        first = skbs.pop(0)
        self.count -= 1
        if not skbs:
            del self._waiting[sender]
        backlog = self._backlog
        backlog.posted += 1
        backlog.sd.net.clock.post_keyed([(first.stage_ns << RANK_BITS | sender.rank, backlog, sender, first)])


class LateBacklogPosts:
    """The late packets of all backlogs of a machine (`Clock.late`)."""

    def __init__(self, softnet: list[SoftnetData]) -> None:
        self._softnet = softnet

    def settle(self, until_ns: int) -> None:
        """Append what was posted before `until_ns`; after a look settings may differ, so the clock decides what is left."""
        for sd in self._softnet:
            late = sd.backlog.late
            if late.count:
                late.append(until_ns)
                late.hand_over()

    def posts_waiting(self) -> list[tuple[int, Port, Any, Any]]:
        """As `Clock.posts_waiting`."""
        return [post for sd in self._softnet for post in sd.backlog.late.posts_waiting()]
