"""Posts: a packet on its way to a backlog or a socket, and what was decided there."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from emu.clock import Actor, Port
from emu.skb import Skb
from netstack.sock import Socket
from netstack.tcp_sink import TcpSink
from netstack.udp_sock import UdpSink, UdpSocket
from scenarios.why.formulas import flow_limit_words
from scenarios.why.holders import TracedCpu
from scenarios.why.riders import Riders
from scenarios.why.sockets import SocketState, place_in, sleeper_name, socket_state
from scenarios.why.story import BACKLOG, SOCKET, Story
from softirq.backlog import Backlog

if TYPE_CHECKING:
    from cpus.cpu import Cpu
    from scenarios.build import Built


class Posts(Riders):
    """The riders where they are posted (`scenarios.why.machine.PostTrace`)."""

    def __init__(self, built: Built, on_end: Callable[[Story], None] | None) -> None:
        super().__init__(built, on_end)
        self._owed: list[list[Story]] = [[] for _ in built.machine.cpus]
        """Packets on a CPU's backlog for which it is owed an IPI."""

    def _waiting_for(self, cpu: TracedCpu) -> list[Story]:
        """Packets on `cpu`'s backlog that an IPI is to wake it for."""
        return [story for story in self._owed[cpu.index] if story.owed_ipi_by >= 0 and story.waits_on == cpu.index]

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
