"""The slow twin: the same machine with an await at every charge and every post decided at its stamp, before the sender goes on.

The fast machine works ahead inside one poll and replays posts later, in one order. The twin does not: whenever a CPU charges time it
waits until it is the earliest, so that everybody else has come as far; a post suspends its sender until it can be decided at once.
Both must count the same and measure the same latencies. What both share is the rule for visibility: state that is no port is seen as
of the reader's last synchronisation, so the twin keeps a journal of it. A user's writes are no journal's matter: before a user's turn,
and before the end, each CPU that is in the midst of its work is let run on to its next synchronisation, which is how far the fast machine
had worked ahead.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, Generic, NoReturn, TypeVar

import greenback

from cpus.cpu import Cpu
from emu.clock import KIND_ACTOR, KIND_POST, KIND_USER, RANK_BITS, Actor, Clock, Port
from emu.headers import Headers
from netstack.lookup import Flow
from netstack.sock import Socket
from netstack.stack import NetStack
from netstack.tcp_sock import TcpSocket
from scenarios.machine import Machine
from softirq.rps import RPS_NO_CPU, RpsSockFlowTable
from softirq.softnet_data import SoftnetData

Moment = tuple[int, int]
"""A time and the rank of whose turn it was: what a turn knows are the turns before it."""
T = TypeVar("T")


class Journal(Generic[T]):
    """A value with its past."""

    def __init__(self, first: T) -> None:
        self._entries: list[tuple[Moment, T]] = [((-1, -1), first)]

    def write(self, moment: Moment, value: T) -> None:
        """It is `value` from `moment` on."""
        self._entries.append((moment, value))

    def last(self) -> T:
        """What was written last."""
        return self._entries[-1][1]

    def before(self, moment: Moment) -> T:
        """What was written last before `moment`."""
        return next(value for at, value in reversed(self._entries) if at < moment)


class TwinClock(Clock):
    """Decides each post at its stamp plus 1 ns, while the sender waits."""

    viewer: Actor | None = None
    """Whose turn it is."""
    deciding = False
    running_on: Actor | None = None
    """Who works ahead to its next synchronisation, for a user's turn."""

    def __init__(self) -> None:
        super().__init__()
        self._midway: list[Actor] = []
        """Who waits in the midst of its work."""

    def moment(self) -> Moment:
        """Now; decisions come before the turns of the same time."""
        if self.deciding or self.viewer is None:
            return self.now_ns, -1
        return self.now_ns, self.viewer.rank

    def goes_on(self, actor: Actor) -> bool:
        """As ever, and remember who goes on."""
        goes_on = super().goes_on(actor)
        if goes_on:
            self.viewer = actor
        return goes_on

    async def wait_turn(self, actor: Actor, time_ns: int) -> None:
        """As ever, and remember who goes on."""
        await super().wait_turn(actor, time_ns)
        self.viewer = actor

    async def synchronise(self, actor: Actor) -> None:
        """As ever, and remember who goes on."""
        await super().synchronise(actor)
        await self._finish_work(actor)
        self.viewer = actor

    async def wait_open(self, actor: Actor, until_ns: int) -> int:
        """As ever, and remember who goes on."""
        now_ns = await super().wait_open(actor, until_ns)
        await self._finish_work(actor)
        self.viewer = actor
        return now_ns

    async def host(self, actor: Actor, work: Coroutine[Any, Any, NoReturn], first_ns: int = 0) -> None:
        """All of it in the actor's own task."""
        await self.enter(actor, first_ns)
        await work

    async def enter(self, actor: Actor, first_ns: int = 0, is_open: bool = True) -> None:
        """As ever, and remember who goes on."""
        await super().enter(actor, first_ns, is_open)
        await self._finish_work(actor)
        self.viewer = actor

    async def _finish_work(self, user: Actor) -> None:
        """Before the turn of a user, and the last one: let each CPU finish the work that it is in the midst of.

        What it posts is decided when it is due.
        """
        if user.kind < KIND_USER:
            return
        while self._midway:
            first = min(self._midway, key=lambda actor: actor.rank)
            self.running_on = first
            first.kind = KIND_POST - 1
            self._enlist(first, self.now_ns)
            await self.wait_turn(user, self.now_ns)
            self.running_on = None

    def post(self, sender: Actor, port: Port, item: Any) -> None:
        """Suspend the sender until the post can be decided; its local time does not move."""
        if self.running_on is sender:
            super().post(sender, LatePort(self, port), item)
            return
        greenback.await_(self._decide_now(sender, sender.local_now_ns, port, item))

    def post_batch(self, sender: Actor, posts: list[tuple[int, Port, Any]]) -> None:
        """Each at its own stamp, one after the other."""
        if self.running_on is sender:
            super().post_batch(sender, [(stamp_ns, LatePort(self, port), item) for stamp_ns, port, item in posts])
            return
        for stamp_ns, port, item in posts:
            greenback.await_(self._decide_now(sender, stamp_ns, port, item))

    async def _decide_now(self, sender: Actor, stamp_ns: int, port: Port, item: Any) -> None:
        sender.last_post_ns = stamp_ns
        late = (stamp_ns << RANK_BITS | sender.rank, LatePort(self, port), sender, item)
        is_late = self.running_on is sender or bool(self.posts_waiting())
        if is_late:
            self._posts.append(late)
            self._due_ns = 0
        if self.running_on is not sender:
            await self.turn_at(sender, stamp_ns + 1, KIND_POST)
        if self.running_on is sender:
            if not is_late:
                self._posts.append(late)
                self._due_ns = 0
            return
        if is_late:
            # Others have posted ahead of time: the one order is that of the stamps and ranks.
            self._decide(stamp_ns + 1)
            return
        self.deciding = True
        port.deliver(stamp_ns, sender, item)
        self.deciding = False
        self.decided += 1

    async def turn_at(self, actor: Actor, time_ns: int, kind: int) -> None:
        """Wait for the turn (time_ns, kind) without counting as a synchronisation."""
        seen_ns = actor.synced_ns
        actor.kind = kind
        if not self._is_earliest(actor, time_ns):
            self._midway.append(actor)
            await self.wait_turn(actor, time_ns)
            self._midway.remove(actor)
        if self.running_on is not actor:
            self.now_ns = time_ns
        self.viewer = actor
        actor.kind = KIND_ACTOR
        actor.synced_ns = seen_ns


class LatePort:
    """A port to which somebody posted who ran on: the clock decides it when it is due, as of then."""

    def __init__(self, clock: TwinClock, port: Port) -> None:
        self._clock = clock
        self._port = port

    def deliver(self, stamp_ns: int, sender: Any, item: Any) -> None:
        """Decide as `TwinClock._decide_now` does."""
        clock = self._clock
        now_ns, clock.now_ns, clock.deciding = clock.now_ns, stamp_ns + 1, True
        self._port.deliver(stamp_ns, sender, item)
        clock.now_ns, clock.deciding = now_ns, False


class TwinCpu(Cpu):
    """Waits for its turn at every charge."""

    _local_ns = 0
    _stepping = False

    @property
    def local_now_ns(self) -> int:
        """This CPU's own clock."""
        return self._local_ns

    @local_now_ns.setter
    def local_now_ns(self, value: int) -> None:
        charged = value > self._local_ns
        self._local_ns = value
        if charged and self._stepping and not self.is_open:
            assert isinstance(self.clock, TwinClock)
            if self.clock.running_on is self:
                return
            greenback.await_(self.clock.turn_at(self, value, KIND_ACTOR))

    @property
    def online(self) -> bool:
        """Whether this CPU is online, for whoever asks: a CPU at work sees it as of its last synchronisation."""
        clock = self.clock
        assert isinstance(clock, TwinClock)
        viewer = clock.viewer
        if viewer is self or not isinstance(viewer, Cpu) or clock.deciding:
            return self._online.last()
        return self._online.before((viewer.synced_ns, viewer.rank))

    @online.setter
    def online(self, value: bool) -> None:
        if "_online" not in self.__dict__:
            self._online = Journal(value)
        else:
            self._online.write((self.synced_ns, self.rank), value)

    async def run(self) -> None:
        """The actor, able to wait inside synchronous code."""
        await greenback.ensure_portal()
        self._stepping = True
        await super().run()


class TwinSoftnetData(SoftnetData):
    """Remembers every head it has shown, because readers may have synchronised several stretches ago."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._heads = Journal(0)

    def show_head(self, now_ns: int) -> None:
        """Publish the head, keeping what was shown before."""
        self._heads.write((now_ns, -1), self.input_queue_head)

    def head_as_of(self, now_ns: int) -> int:
        """The last head shown at or before `now_ns`."""
        return self._heads.before((now_ns, 0))


class TwinSockFlowTable(RpsSockFlowTable):
    """Keeps who wrote each entry and when."""

    def __init__(self, clock: TwinClock, entries: int, nr_cpus: int) -> None:
        super().__init__(entries, nr_cpus)
        self._clock = clock
        self._slots = [Journal(RPS_NO_CPU) for _ in range(entries)]

    def record(self, flow_hash: int, cpu: int) -> None:
        """Write and remember."""
        super().record(flow_hash, cpu)
        if flow_hash:
            slot = flow_hash & self.mask
            self._slots[slot].write((self._clock.now_ns, cpu), self.ents[slot])

    def lookup(self, flow_hash: int, seen_ns: int) -> int:
        """The entry as it was at `seen_ns`, before the turn of who asks."""
        viewer = self._clock.viewer
        assert isinstance(viewer, Cpu) and viewer.synced_ns == seen_ns
        return self._slots[flow_hash & self.mask].before((seen_ns, viewer.rank))


class TwinConnections(dict[Flow, TcpSocket]):
    """Keeps when each connection was made and removed: a CPU at work knows those of its last synchronisation."""

    def __init__(self, clock: TwinClock) -> None:
        super().__init__()
        self._clock = clock
        self._past: dict[Flow, Journal[TcpSocket | None]] = {}

    def __setitem__(self, flow: Flow, sock: TcpSocket) -> None:
        super().__setitem__(flow, sock)
        self._past.setdefault(flow, Journal(None)).write(self._clock.moment(), sock)

    def __delitem__(self, flow: Flow) -> None:
        super().__delitem__(flow)
        self._past[flow].write(self._clock.moment(), None)

    def get(self, flow: Flow, default: Any = None) -> Any:
        """The connection as whoever asks knows it."""
        clock = self._clock
        viewer = clock.viewer
        if clock.deciding or not isinstance(viewer, Cpu):
            return super().get(flow, default)
        past = self._past.get(flow)
        return default if past is None else past.before((viewer.synced_ns, viewer.rank))

    def __contains__(self, flow: object) -> bool:
        assert isinstance(flow, tuple)
        return self.get(flow) is not None


class Forgetful(dict[Headers, Socket]):
    """A cache that keeps nothing."""

    def __setitem__(self, hdr: Headers, sock: Socket) -> None:
        pass


class TwinMachine(Machine):
    """A machine built of slow parts."""

    clock_class = TwinClock
    cpu_class = TwinCpu
    softnet_class = TwinSoftnetData

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.net.late_backlogs = False
        on_change = self.net.settings.on_change
        on_change["rps_sock_flow_entries"] = self._remember_flows(on_change["rps_sock_flow_entries"])

    def _remember_flows(self, set_entries: Callable[[int], None]) -> Callable[[int], None]:
        def set_and_replace(count: int) -> None:
            set_entries(count)
            table = self.net.sock_flow_table
            if table is not None:
                assert isinstance(self.clock, TwinClock)
                self.net.sock_flow_table = TwinSockFlowTable(self.clock, table.mask + 1, len(self.cpus))

        return set_and_replace

    def slow_down(self, stack: NetStack) -> None:
        """Let this machine's protocols look up connections as of the CPU's last synchronisation, without a cache."""
        assert isinstance(self.clock, TwinClock)
        stack.tables.established = TwinConnections(self.clock)
        stack.tables.fast = Forgetful()
        self.clock.late.clear()
        stack.sink_posts = None
