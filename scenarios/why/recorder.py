"""The recorder: hears everything a traced machine tells, and keeps the stories of the packets that are asked for.

Leaves out: choosing the packets (`wants`), and every other packet, of which it keeps nothing but when the last ones left each ring.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from cpus.interrupts import Interrupt
from emu.skb import Skb
from emu.trace import PacketTrace, PollTrace, frame_numbers, packet_number
from nic.ring import MAX_DESCRIPTORS
from nic.vector import Irq, MsixVector
from scenarios.why.formulas import (
    flow_entry,
    hash_words,
    steering_words,
)
from scenarios.why.gro_words import gro_words
from scenarios.why.holders import TracedCpu
from scenarios.why.machine import TracedClock
from scenarios.why.posts import Posts
from scenarios.why.story import FRAGMENTS, GRO, PROTOCOL, STEERING, Story
from softirq.backlog import RpsIpi
from softirq.demux import netif_receive_skb
from softirq.gro import GroResult, napi_gro_receive
from softirq.gro_merge import GroHeld
from softirq.receive import netif_receive_skb_list_internal
from softirq.rps import get_rps_cpu

if TYPE_CHECKING:
    from scenarios.build import Built
    from softirq.device import NetDevice
    from softirq.napi import Napi
    from softirq.softnet_data import SoftnetData


class _Polling:
    """The poll in progress on a CPU."""

    __slots__ = ("began_ns", "napi", "packets")

    def __init__(self) -> None:
        self.napi = ""
        self.began_ns = 0
        self.packets = 0


class Recorder(Posts, PacketTrace, PollTrace):
    """Follows the packets that `wants` says yes to, on a traced machine. `on_end` hears of each that has ended.

    `brief`: only the first one's story has its steps, and who held the CPUs is not kept.
    """

    def __init__(
        self,
        built: Built,
        wants: Callable[[Skb], bool],
        on_end: Callable[[Story], None] | None = None,
        brief: bool = False,
    ) -> None:
        super().__init__(built, on_end)
        self._wants = wants
        self._brief = brief
        self._polls = [_Polling() for _ in built.machine.cpus]
        self._picked_ns: defaultdict[int, deque[int]] = defaultdict(lambda: deque(maxlen=MAX_DESCRIPTORS))
        """Queue -> when the last frames were taken out of its ring."""
        self._irqs: dict[MsixVector, tuple[int, int]] = {}
        """Vector -> (when, CPU) of its last interrupt."""
        self._receiving: Skb | None = None
        """The packet that GRO is given."""
        self._attach()

    def _attach(self) -> None:
        machine = self._built.machine
        self._net.trace = self
        self._net.poll_trace = self
        self._built.nic.arrivals.trace = self
        assert isinstance(self._clock, TracedClock), "only a traced machine can be recorded"
        self._clock.trace = self
        for cpu in machine.cpus:
            assert isinstance(cpu, TracedCpu)
            cpu.on_sent = self._interrupt_sent
            cpu.on_taken = self._interrupt_taken

    # ---------------------------------------------------------------- from the wire into the ring

    def generated(self, frames: Sequence[Skb]) -> None:
        """A story begins with each wanted frame."""
        for skb in frames:
            if self._wants(skb):
                story = self.stories[skb.number] = Story(skb)
                if self._brief:
                    story.brief = len(self.stories) > 1
                    continue
                for cpu in self._built.machine.cpus:
                    assert isinstance(cpu, TracedCpu)
                    cpu.log.keep()

    def _interrupt_sent(self, cpu: TracedCpu, interrupt: Interrupt, at_ns: int, sender_rank: int) -> None:
        if isinstance(interrupt, RpsIpi):
            for story in self._waiting_for(cpu):
                story.step(
                    at_ns - 1,
                    sender_rank,
                    "net_rps_action_and_irq_enable",
                    f"the IPI leaves for CPU {cpu.index}, {at_ns - 1 - story.since_ns:,} ns after the packet was queued",
                )

    def _interrupt_taken(self, cpu: TracedCpu, interrupt: Interrupt) -> None:
        now_ns = cpu.local_now_ns
        if isinstance(interrupt, Irq):
            self._irqs[interrupt.vector] = (now_ns, cpu.index)
        elif isinstance(interrupt, RpsIpi):
            for story in self._waiting_for(cpu):
                story.step(now_ns, cpu.index, "rps_trigger_softirq", "the IPI is taken: the backlog NAPI is listed")
            self._owed[cpu.index].clear()

    # ---------------------------------------------------------------- polls

    def net_rx_action(self, sd: SoftnetData, time_limit_jiffies: int) -> None:
        """Nothing to a packet."""

    def polling(self, sd: SoftnetData, napi: Napi) -> None:
        """The CPU belongs to `napi` from now on."""
        cpu = sd.cpu
        poll = self._polls[sd.index]
        poll.napi = napi.name
        poll.began_ns = cpu.local_now_ns
        poll.packets = 0
        assert isinstance(cpu, TracedCpu)
        cpu.log.poll(napi.name, cpu.local_now_ns)

    def polled(self, sd: SoftnetData, napi: Napi, work: int) -> None:
        """And no longer."""
        cpu = sd.cpu
        assert isinstance(cpu, TracedCpu)
        cpu.log.poll("", cpu.local_now_ns)

    def squeezed(self, sd: SoftnetData, cause: str, budget_left: int, left: list[str]) -> None:
        """Nothing to a packet."""

    # ---------------------------------------------------------------- GRO

    def napi_gro_receive(self, sd: SoftnetData, napi: Napi, skb: Skb) -> GroResult:
        """Out of the ring, into GRO."""
        picked = self._picked_ns[skb.rx_queue]
        poll = self._polls[sd.index]
        poll.packets += 1
        story = self.stories.get(skb.number)
        before: list[Skb] = []
        bucket = napi.gro_hash[skb.hash & (len(napi.gro_hash) - 1)]
        if story is not None:
            self._picked(sd, story, skb, picked, poll)
        if story is not None and not story.brief:
            before = [held.skb if isinstance(held, GroHeld) else held for held in bucket.values()]
        picked.append(skb.rx_ns)
        self._at_work, self._receiving = sd, skb
        given_ns = sd.cpu.local_now_ns
        result = napi_gro_receive(sd, napi, skb)
        self._at_work = self._receiving = None
        if story is not None and not story.brief:
            words, values = gro_words(napi, skb, result, before)
            story.step(given_ns, sd.index, "dev_gro_receive", words, values)
        return result

    def _picked(self, sd: SoftnetData, story: Story, skb: Skb, picked: deque[int], poll: _Polling) -> None:
        self._steered(story, skb, skb.rx_queue)
        if story.brief:
            story.reach(GRO, skb.rx_ns, sd.index)
            return
        vector = next((vector for vector in self._built.nic.vectors if vector.name == poll.napi), None)
        if vector is not None:
            taken_ns, cpu = self._irqs.get(vector, (-1, -1))
            if taken_ns >= skb.arrived_ns:
                words = f"interrupt {vector.irq} of {vector.name}, {taken_ns - skb.arrived_ns:,} ns after it arrived"
                story.step(taken_ns, cpu, "ice_msix_clean_rings", words, {"irq": vector.irq})
        ahead = 0
        for at_ns in reversed(picked):
            if at_ns < skb.arrived_ns:
                break
            ahead += 1
        story.step(
            skb.rx_ns,
            sd.index,
            "ice_clean_rx_irq",
            f"taken from rx-{skb.rx_queue} as number {poll.packets} of the poll begun {skb.rx_ns - poll.began_ns:,} ns ago; "
            f"{ahead} frames were ahead of it in the ring",
            {"queue": skb.rx_queue, "poll_began_ns": poll.began_ns, "position": poll.packets, "ahead": ahead},
        )
        story.reach(GRO, skb.rx_ns, sd.index)

    # ---------------------------------------------------------------- steering

    def netif_receive_skb_list_internal(self, sd: SoftnetData, skbs: list[Skb]) -> None:
        """GRO lets a list go: to steering where there is RPS, else up."""
        now_ns = sd.cpu.local_now_ns
        steers = self._net.rps_needed
        riders = [(skb, story) for skb in skbs for story in self._riders(skb)]
        for skb, story in riders:
            if story.state != GRO:
                continue
            cause = "at the end of the poll"
            if self._receiving is not None:
                cause = f"when packet {packet_number(self._receiving)} came"
            shared = f", merged of {skb.frames} frames" if skb.frames > 1 else ""
            story.step(
                now_ns,
                sd.index,
                "gro_normal_list",
                f"handed on {cause}, in a list of {len(skbs)}{shared}" + ("" if steers else "; no RPS: goes up here"),
                {"list": len(skbs), "frames": [number + 1 for number in self.frames_of(skb)]},
            )
            story.reach(STEERING if steers else PROTOCOL, now_ns, sd.index)
        outer, self._at_work = self._at_work, sd
        netif_receive_skb_list_internal(sd, skbs)
        self._at_work = outer

    def get_rps_cpu(self, sd: SoftnetData, dev: NetDevice, skb: Skb) -> int:
        """The decision, with what it looked at before it decided."""
        riders = self._riders(skb)
        worded = any(not story.brief for story in riders)
        entry = flow_entry(sd, dev, skb) if worded else None
        target = get_rps_cpu(sd, dev, skb)
        now_ns = sd.cpu.local_now_ns
        if target < 0:
            for story in riders:
                story.reach(PROTOCOL, now_ns, sd.index)
        if worded:
            words, values = steering_words(sd, dev, skb, entry, target)
            if "hash" in values:
                values["hash_kind"] = hash_words(skb)
            for story in riders:
                story.step(now_ns, sd.index, "get_rps_cpu", words, values)
        return target

    # ---------------------------------------------------------------- out of a backlog

    def netif_receive_skb(self, sd: SoftnetData, skb: Skb) -> None:
        """Out of the backlog, up."""
        riders = self._riders(skb)
        poll = self._polls[sd.index]
        poll.packets += 1
        for story in riders:
            # The wait that process_backlog has just noted: its dequeue is paid already.
            taken_ns = skb.stage_ns + self._net.latencies.backlog.pending[-1]
            story.owed_ipi_by = -1
            story.step(
                taken_ns,
                sd.index,
                "process_backlog",
                f"taken as number {poll.packets} of the poll begun {taken_ns - poll.began_ns:,} ns ago",
                {"poll_began_ns": poll.began_ns, "position": poll.packets, "quota": sd.backlog.weight},
            )
            story.reach(PROTOCOL, taken_ns, sd.index)
        outer, self._at_work = self._at_work, sd
        netif_receive_skb(sd, skb)
        self._at_work = outer

    # ---------------------------------------------------------------- fragments

    def fragment_waits(self, sd: SoftnetData, skb: Skb) -> None:
        """It waits for the rest of its datagram."""
        now_ns = sd.cpu.local_now_ns
        for story in self._riders(skb):
            words = f"fragment at {skb.hdr.fragment_offset} is queued until its datagram is whole"
            story.step(now_ns, sd.index, "ip_defrag", words)
            story.reach(FRAGMENTS, now_ns, sd.index)
            story.waits_on = sd.index

    def reassembled(self, sd: SoftnetData, whole: Skb, parts: list[Skb]) -> None:
        """The datagram goes on in the place of its fragments."""
        self._parts[whole.number] = [number for part in parts for number in frame_numbers(part)]
        now_ns = sd.cpu.local_now_ns
        for story in self._riders(whole):
            words = f"the datagram is whole: {len(parts)} fragments"
            story.step(now_ns, sd.index, "ip_frag_reasm", words)
            story.reach(PROTOCOL, now_ns, sd.index)
