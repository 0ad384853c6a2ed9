"""Riders: which stories go on with an skb, and how they end.

A frame is followed by its number: alone, inside the skb that GRO merged it into, inside the datagram it is a fragment of. Copies (of
a multicast) are told of and not followed: the ledger counts the original.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Final

from emu.dropreason import DropReason
from emu.skb import Skb
from emu.trace import frame_numbers
from netstack.sock import Socket
from scenarios.why.document import CONSUMED, DROPPED, READ, Stage, Value
from scenarios.why.drops import behind, drop_words, ring_of
from scenarios.why.formulas import rss_words
from scenarios.why.story import BACKLOG, SOCKET, Story

if TYPE_CHECKING:
    from cpus.cpu import Cpu
    from scenarios.build import Built
    from scenarios.why.drops import Deciding
    from softirq.softnet_data import SoftnetData

_ON_ARRIVAL: Final = (
    DropReason.NIC_RING_FULL,
    DropReason.NIC_MAC_FILTER,
    DropReason.NIC_FCS,
    DropReason.NIC_LENGTH,
)
"""Reasons for which the device drops a frame when it arrives."""


class Riders:
    """The stories of one run. `on_end` hears of each that has ended."""

    def __init__(self, built: Built, on_end: Callable[[Story], None] | None) -> None:
        self.stories: dict[int, Story] = {}
        """By `Skb.number`, in the order of the wire."""
        self._built = built
        self._net = built.machine.net
        self._clock = built.machine.clock
        self._on_end = on_end
        self._parts: dict[int, list[int]] = {}
        """Number of a reassembled datagram -> those of its fragments."""
        self._at_work: SoftnetData | None = None
        """Whose CPU is in the middle of a packet."""
        self._deciding: Deciding | None = None
        """The post that is decided."""
        built.machine.ledger.on_drop = self._dropped
        built.machine.ledger.on_consume = self._consumed

    # ---------------------------------------------------------------- whose packet is it

    def frames_of(self, skb: Skb) -> list[int]:
        """`Skb.number` of all wire frames in `skb`."""
        return self._parts.get(skb.number) or frame_numbers(skb)

    def _riders(self, skb: Skb) -> list[Story]:
        """The stories that go on with `skb`."""
        if not skb.frames:
            return []
        if skb.segments is None and skb.number not in self._parts:
            story = self.stories.get(skb.number)
            return [story] if story is not None and story.end is None else []
        found = [self.stories.get(number) for number in self.frames_of(skb)]
        return [story for story in found if story is not None and story.end is None]

    def _ended(self, stories: Iterable[Story], skb: Skb) -> None:
        numbers = [number + 1 for number in self.frames_of(skb)]
        for story in stories:
            story.frames = numbers
            if self._on_end is not None:
                self._on_end(story)

    def _steered(self, story: Story, skb: Skb, queue: int) -> None:
        story.queue = queue
        if story.brief:
            return
        words, values = rss_words(self._built.nic, skb, queue)
        story.step(skb.arrived_ns, None, "RSS", words, values)

    # ---------------------------------------------------------------- ends

    def read(self, sock: Socket, cpu: Cpu | None, skbs: list[Skb], now_ns: int) -> None:
        """A process has read them."""
        for skb in skbs:
            riders = self._riders(skb)
            if riders:
                process = None if cpu is None else cpu.runqueue.current
                who = "its in-kernel user" if process is None else process.name
                self._read(riders, skb, who, now_ns, None if cpu is None else cpu.index, sock.name)

    def _read(self, riders: list[Story], skb: Skb, who: str, now_ns: int, cpu: int | None, name: str) -> None:
        for story in riders:
            if cpu is not None:
                story.waits_on = cpu
            story.step(now_ns, story.waits_on, "recvmsg", f"{who} takes it out of {name}")
            story.finish(READ, now_ns, story.waits_on, "", f"read by {who} from {name}")
        self._ended(riders, skb)

    def _now(self) -> tuple[int, int | None]:
        """Time and CPU of what just happened: a decision's, a working CPU's, else the turn's."""
        if self._deciding is not None:
            return self._deciding[0], self._deciding[1].index
        if self._at_work is not None:
            return self._at_work.cpu.local_now_ns, self._at_work.index
        return self._clock.now_ns, None

    def _dropped(self, skb: Skb, reason: DropReason) -> None:
        riders = self._riders(skb)
        if not riders:
            return
        now_ns, cpu = self._now()
        if reason in _ON_ARRIVAL:
            now_ns, cpu = skb.arrived_ns, None
        text = ""
        full: Stage | None = None
        values: dict[str, Value] = {}
        if any(not story.brief for story in riders):
            full = behind(self._built, self._deciding, skb, reason, now_ns)
            text, values = drop_words(self._built, self._deciding, skb, reason)
        for story in riders:
            story.behind = full
            if reason is DropReason.NIC_RING_FULL:
                self._steered(story, skb, ring_of(self._built, skb, story.brief))
            story.step(max(now_ns, story.since_ns), cpu, "kfree_skb_reason", f"{reason.name}: {text}", values)
            story.finish(
                DROPPED, now_ns, story.waits_on if story.state in (SOCKET, BACKLOG) else cpu, reason.name, text
            )
        self._ended(riders, skb)

    def _consumed(self, skb: Skb) -> None:
        riders = self._riders(skb)
        if riders:
            now_ns, cpu = self._now()
            for story in riders:
                story.step(max(now_ns, story.since_ns), cpu, "consume_skb", "the kernel is done with it")
                story.finish(CONSUMED, now_ns, story.waits_on if cpu is None else cpu, "", "the kernel is done with it")
            self._ended(riders, skb)
