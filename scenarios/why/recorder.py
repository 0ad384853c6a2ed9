"""The recorder: hears everything a traced machine tells, and keeps the stories of the packets that are asked for.

Leaves out: choosing the packets (`wants`), and every other packet, of which it keeps nothing but when the last ones left each ring.

A frame is followed by its number: alone, inside the skb that GRO merged it into, inside the datagram it is a fragment of. Copies (of
a multicast) are told of and not followed: the ledger counts the original.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Final

from cpus.interrupts import Interrupt
from emu.clock import Actor, Port
from emu.dropreason import DropReason
from emu.skb import Skb
from emu.trace import PacketTrace, PollTrace, frame_numbers, packet_number
from netstack.sock import Socket
from netstack.tcp_sink import TcpSink
from netstack.udp_sock import UdpSink, UdpSocket
from nic.ring import MAX_DESCRIPTORS
from nic.vector import Irq, MsixVector
from scenarios.why.document import CONSUMED, DROPPED, READ, Stage, Value
from scenarios.why.formulas import (
    flow_entry,
    flow_limit_words,
    hash_words,
    rss_words,
    steering_words,
)
from scenarios.why.holders import TracedCpu
from scenarios.why.machine import TracedClock
from scenarios.why.sockets import (
    PLAIN_REASONS,
    SocketState,
    drop_words,
    place_in,
    reader_of,
    sleeper_name,
    socket_state,
)
from scenarios.why.story import Story
from softirq.backlog import Backlog, RpsIpi
from softirq.demux import netif_receive_skb
from softirq.gro import GroResult, napi_gro_receive
from softirq.gro_merge import GroHeld
from softirq.receive import netif_receive_skb_list_internal
from softirq.rps import get_rps_cpu

if TYPE_CHECKING:
    from cpus.cpu import Cpu
    from scenarios.build import Built
    from softirq.device import NetDevice
    from softirq.napi import Napi
    from softirq.softnet_data import SoftnetData

RING: Final = "ring"
GRO: Final = "gro"
STEERING: Final = "steering"
BACKLOG: Final = "backlog"
PROTOCOL: Final = "protocol"
FRAGMENTS: Final = "fragments"
SOCKET: Final = "socket"

_ON_ARRIVAL: Final = (
    DropReason.NIC_RING_FULL,
    DropReason.NIC_MAC_FILTER,
    DropReason.NIC_FCS,
    DropReason.NIC_LENGTH,
)
"""Reasons for which the device drops a frame when it arrives."""


class _Polling:
    """The poll in progress on a CPU."""

    __slots__ = ("began_ns", "napi", "packets")

    def __init__(self) -> None:
        self.napi = ""
        self.began_ns = 0
        self.packets = 0


class Recorder(PacketTrace, PollTrace):
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
        self.stories: dict[int, Story] = {}
        """By `Skb.number`, in the order of the wire."""
        self._built = built
        self._net = built.machine.net
        self._clock = built.machine.clock
        self._wants = wants
        self._on_end = on_end
        self._brief = brief
        self._parts: dict[int, list[int]] = {}
        """Number of a reassembled datagram -> those of its fragments."""
        self._polls = [_Polling() for _ in built.machine.cpus]
        self._picked_ns: defaultdict[int, deque[int]] = defaultdict(lambda: deque(maxlen=MAX_DESCRIPTORS))
        """Queue -> when the last frames were taken out of its ring."""
        self._irqs: dict[MsixVector, tuple[int, int]] = {}
        """Vector -> (when, CPU) of its last interrupt."""
        self._owed: list[list[Story]] = [[] for _ in built.machine.cpus]
        """Packets on a CPU's backlog for which it is owed an IPI."""
        self._at_work: SoftnetData | None = None
        """Whose CPU is in the middle of a packet."""
        self._receiving: Skb | None = None
        """The packet that GRO is given."""
        self._deciding: tuple[int, Cpu, Port, SocketState] | None = None
        """The post that is decided: stamp, sender, port, the port's state before."""
        self._attach()

    def _attach(self) -> None:
        machine = self._built.machine
        self._net.trace = self
        self._net.poll_trace = self
        self._built.nic.arrivals.trace = self
        machine.ledger.on_drop = self._dropped
        machine.ledger.on_consume = self._consumed
        assert isinstance(self._clock, TracedClock), "only a traced machine can be recorded"
        self._clock.trace = self
        for cpu in machine.cpus:
            assert isinstance(cpu, TracedCpu)
            cpu.on_sent = self._interrupt_sent
            cpu.on_taken = self._interrupt_taken

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

    def _steered(self, story: Story, skb: Skb, queue: int) -> None:
        story.queue = queue
        if story.brief:
            return
        words, values = rss_words(self._built.nic, skb, queue)
        story.step(skb.arrived_ns, None, "RSS", words, values)

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

    def _waiting_for(self, cpu: TracedCpu) -> list[Story]:
        """Packets on `cpu`'s backlog that an IPI is to wake it for."""
        return [story for story in self._owed[cpu.index] if story.owed_ipi_by >= 0 and story.waits_on == cpu.index]

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
            words, values = self._gro_words(napi, skb, result, before)
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

    def _gro_words(self, napi: Napi, skb: Skb, result: GroResult, before: list[Skb]) -> tuple[str, dict[str, Value]]:
        if result in (GroResult.MERGED, GroResult.MERGED_FREE):
            for bucket in napi.gro_hash:
                for held in bucket.values():
                    if isinstance(held, GroHeld) and any(one is skb for one in held.segments):
                        return _merged_words(held.skb, len(held.segments))
            for head in before:
                if head.segments is not None and any(one is skb for one in head.segments):
                    return _merged_words(head, len(head.segments))
        if result is GroResult.HELD:
            return f"held, to merge what follows in its flow ({napi.gro_held} packets are held)", {
                "held": napi.gro_held
            }
        if not napi.dev.gro:
            return "GRO is off", {}
        shape = skb.gro_shape or skb.hdr.gro_shape
        if shape is not None and shape.asks:
            return "not merged: no UDP socket asked for GRO", {}
        return "not merged", {}

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

    # ---------------------------------------------------------------- posts: to a backlog, to a socket

    def posted(self, stamp_ns: int, sender: Actor, port: Port, skb: Skb) -> bool:
        """What is asked for will be decided where `decide` sees it."""
        cpu = sender.rank
        if isinstance(port, Backlog):
            riders = self._riders(skb)
            for story in riders:
                if story.state == BACKLOG:
                    words = f"CPU {story.waits_on} went offline; CPU {cpu} takes over what it had queued"
                    story.step(stamp_ns, cpu, "dev_cpu_dead", words)
                story.reach(BACKLOG, stamp_ns, story.waits_on if story.state == BACKLOG else cpu)
                story.waits_on = port.sd.index
            return bool(riders)
        assert isinstance(port, Socket)
        if not skb.frames:
            original = self.stories.get(skb.number)
            if original is not None:
                original.step(stamp_ns, cpu, "skb_clone", f"a copy goes to {port.name}")
            return False
        riders = self._riders(skb)
        hdr = skb.hdr
        for story in riders:
            if skb.stage_ns >= story.since_ns:
                words = "headers checked, it is ours"
                story.step(skb.stage_ns, cpu, "ipv6_rcv" if hdr.version == 6 else "ip_rcv", words)
            function = ("tcp" if port.in_segs else "udp") + ("v6_rcv" if hdr.version == 6 else "_rcv")
            function = "tcp_v4_rcv" if function == "tcp_rcv" else "tcp_v6_rcv" if function == "tcpv6_rcv" else function
            story.step(stamp_ns, cpu, function, f"its socket is {port.name}", {"socket": port.name})
            story.reach(SOCKET, stamp_ns, cpu)
            story.waits_on = cpu
        return bool(riders)

    def decide(self, stamp_ns: int, sender: Cpu, port: Port, skb: Skb) -> None:
        """Let `port` decide, and note how."""
        if isinstance(port, Backlog):
            self._decide_backlog(stamp_ns, sender, port, skb)
        else:
            assert isinstance(port, Socket)
            self._decide_socket(stamp_ns, sender, port, skb)

    def _decide_backlog(self, stamp_ns: int, sender: Cpu, port: Backlog, skb: Skb) -> None:
        settings = self._net.settings
        qlen, sched = len(port.input_pkt_queue), port.sched
        limit = self._net.softnet[sender.index].flow_limit
        seen = limit.history_head if limit is not None else 0
        state: SocketState = {
            "qlen": qlen,
            "netdev_max_backlog": settings.netdev_max_backlog,
            "sched": int(sched),
            "target": port.sd.index,
        }
        self._deciding = (stamp_ns, sender, port, state)
        asked_limit = ""
        port.deliver(stamp_ns, sender, skb)
        self._deciding = None
        if limit is not None and limit.history_head != seen:
            words, more = flow_limit_words(limit)
            state |= more
            asked_limit = f"; {words}"
        riders = self._riders(skb)
        target = port.sd.index
        if sched:
            wakes = "its NAPI is scheduled already"
        elif target == sender.index:
            wakes = "its NAPI is scheduled"
        else:
            wakes = f"CPU {sender.index} now owes it an IPI"
        words = (
            f"{qlen} of netdev_max_backlog {settings.netdev_max_backlog} queued on CPU {target}; {wakes}{asked_limit}"
        )
        for story in riders:
            story.step(stamp_ns, sender.index, "enqueue_to_backlog", words, state)
            if not sched and target != sender.index:
                story.owed_ipi_by = sender.index
                self._owed[target].append(story)

    def _decide_socket(self, stamp_ns: int, sender: Cpu, port: Socket, skb: Skb) -> None:
        before = socket_state(port) | {"truesize": skb.truesize_bytes}
        sleeper = sleeper_name(port)
        self._deciding = (stamp_ns, sender, port, before)
        port.deliver(stamp_ns, sender, skb)
        self._deciding = None
        riders = self._riders(skb)
        if not riders or (riders[0].brief and isinstance(port, UdpSocket) and not isinstance(port, UdpSink)):
            return
        sock = port
        place = place_in(sock, skb)
        child = self._built.stack.tables.established.get(skb.hdr.flow)
        if not place and child is not None and child is not port:
            sock = child
            place = place_in(child, skb)
        if not place and isinstance(sock, UdpSink | TcpSink):
            self._read(riders, skb, "its in-kernel user", stamp_ns, sender.index, sock.name)
            return
        words = f"into the {place or 'socket'}: rmem {before['rmem_alloc']} of rcvbuf {before['rcvbuf']}"
        if "queued" in before:
            words += f", {before['queued']} queued before it"
        words += f"; wakes {sleeper}" if sleeper else "; nobody sleeps there"
        for story in riders:
            story.step(stamp_ns, sender.index, "sock_queue_rcv_skb", words, before)

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
        behind: Stage | None = None
        values: dict[str, Value] = {}
        if any(not story.brief for story in riders):
            behind = self._behind(skb, reason, now_ns)
            text, values = self._drop_words(skb, reason)
        for story in riders:
            story.behind = behind
            if reason is DropReason.NIC_RING_FULL:
                self._steered(story, skb, self._ring_of(skb, story.brief))
            story.step(max(now_ns, story.since_ns), cpu, "kfree_skb_reason", f"{reason.name}: {text}", values)
            story.finish(
                DROPPED, now_ns, story.waits_on if story.state in (SOCKET, BACKLOG) else cpu, reason.name, text
            )
        self._ended(riders, skb)

    def _ring_of(self, skb: Skb, by_settings: bool = False) -> int:
        """The ring that `skb` was steered to; by the settings of now where it has been taken off the ring's list."""
        if not by_settings:
            for ring in self._built.nic.rings:
                if any(one is skb for one in ring.frames):
                    return ring.index
        return self._built.nic.rss.classify(skb.hdr)[2]

    def _behind(self, skb: Skb, reason: DropReason, now_ns: int) -> Stage | None:
        """The full queue that refuses `skb`: since when its oldest packet is in it, and the CPU that empties it."""
        if reason is DropReason.NIC_RING_FULL:
            ring = self._built.nic.rings[self._ring_of(skb)]
            vector = next((vector for vector in self._built.nic.vectors if ring in vector.rings), None)
            if vector is None or not ring.fill:
                return None
            return Stage(f"rx-{ring.index}", ring.frames[ring.head].arrived_ns, now_ns, vector.cpu)
        if self._deciding is None:
            return None
        port = self._deciding[2]
        if isinstance(port, Backlog):
            oldest = port.process_queue or port.input_pkt_queue
            return Stage(port.name, oldest[0].stage_ns, now_ns, port.sd.index) if oldest else None
        if isinstance(port, UdpSocket) and port.queue and reason is DropReason.SOCKET_RCVBUFF:
            reader = reader_of(port, self._built.threads)
            return None if reader is None else Stage(port.name, port.queue[0].stage_ns, now_ns, reader.cpu.index)
        return None

    def _drop_words(self, skb: Skb, reason: DropReason) -> tuple[str, dict[str, Value]]:
        if reason is DropReason.NIC_RING_FULL:
            ring = self._built.nic.rings[self._ring_of(skb)]
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
        if self._deciding is not None:
            _, sender, port, before = self._deciding
            if isinstance(port, Socket):
                return drop_words(port, skb, reason, before), before
            if reason is DropReason.CPU_BACKLOG:
                return self._backlog_words(sender, before), before
        return PLAIN_REASONS.get(reason, "the protocol refuses it"), {}

    def _backlog_words(self, sender: Cpu, before: SocketState) -> str:
        qlen, most, target = before["qlen"], before["netdev_max_backlog"], before["target"]
        assert isinstance(qlen, int) and isinstance(most, int)
        if qlen > most >= 0:
            return f"CPU {target}'s backlog is full: {qlen} queued > netdev_max_backlog {most}"
        limit = self._net.softnet[sender.index].flow_limit
        assert limit is not None
        words, more = flow_limit_words(limit)
        before |= more
        return f"CPU {target}'s backlog is half full ({qlen} of {most}), and the {words}"

    def _consumed(self, skb: Skb) -> None:
        riders = self._riders(skb)
        if riders:
            now_ns, cpu = self._now()
            for story in riders:
                story.step(max(now_ns, story.since_ns), cpu, "consume_skb", "the kernel is done with it")
                story.finish(CONSUMED, now_ns, story.waits_on if cpu is None else cpu, "", "the kernel is done with it")
            self._ended(riders, skb)


def _merged_words(head: Skb, segment: int) -> tuple[str, dict[str, Value]]:
    number = packet_number(head)
    return f"merged into packet {number} as segment {segment + 1}", {"head": number, "segment": segment + 1}
