"""The machine: one clock, its CPUs, their softnet_data, the shared network state, and the one nursery in which all of it runs.

Models: the wiring of a booted host before its first packet.
Leaves out: which NIC, traffic and applications there are (`scenarios.build`), and everything live (`scenarios.run`).
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Final

import trio

from cpus import controls as cpu_controls
from cpus.cpu import NET_RX_SOFTIRQ, Cpu
from cpus.hotplug import Hotplug
from cpus.irq_table import IrqTable
from emu import boot
from emu.clock import KIND_END, KIND_SAMPLER, NEVER, Actor, Clock, Pace
from emu.costs import Costs
from emu.jiffies import Jiffies
from emu.ledger import Ledger
from emu.rules import Rules
from emu.settings import NetCoreSettings
from emu.skb import Skb
from emu.tree import ControlTree
from softirq import controls as softirq_controls
from softirq.backlog import Backlog
from softirq.device import NetDevice
from softirq.flow_dissector import FlowDissector
from softirq.hotplug import cpu_dead
from softirq.late_packets import LateBacklogPosts
from softirq.net import Net
from softirq.net_rx_action import NetRxAction
from softirq.softnet_data import SoftnetData

LOOPBACK_ADDRESS: Final = bytes(6)
LOOPBACK_MTU: Final = 65536


class Sampler(Actor):
    """Calls `sample(now_ns)` every `interval_ns`, seeing everything as of that time. It does not keep a machine going."""

    kind = KIND_SAMPLER

    def __init__(self, rank: int, clock: Clock, interval_ns: int, sample: Callable[[int], None]) -> None:
        super().__init__("sampler", rank)
        self._clock = clock
        self._interval_ns = interval_ns
        self._sample = sample

    async def run(self) -> None:
        """The actor."""
        await self._clock.enter(self, self._interval_ns, is_open=False)
        while True:
            self._sample(self.local_now_ns)
            self.local_now_ns += self._interval_ns
            await self._clock.synchronise(self)


class End(Actor):
    """The last turn: at `at_ns`, or when somebody wakes it sooner, the run is over."""

    kind = KIND_END

    def __init__(self, rank: int, clock: Clock, at_ns: int) -> None:
        super().__init__("end", rank)
        self._clock = clock
        self._at_ns = at_ns

    async def run(self) -> None:
        """The actor: returns at the end."""
        await self._clock.enter(self, self._at_ns)


class Machine:
    """A host with one CPU for each of `nodes`, which says on which NUMA node it is. `isolated` is a mask of CPUs apart from the rest.

    Everything random comes from streams named under `seed`.

    The three classes are what a machine's time and CPUs are made of; tests put slower, plainer ones in their place.
    """

    clock_class: type[Clock] = Clock
    cpu_class: type[Cpu] = Cpu
    softnet_class: type[SoftnetData] = SoftnetData

    def __init__(self, nodes: Sequence[int], rules: Rules, hz: int, costs: Costs, seed: int, isolated: int = 0) -> None:
        cpus = len(nodes)
        self.seed = seed
        self.rules = rules
        self.clock = self.clock_class()
        self.jiffies = Jiffies(hz)
        self.ledger = Ledger()
        self.tree = ControlTree()
        settings = NetCoreSettings(
            cpus,
            self.jiffies.netdev_budget_usecs_default,
            rules.rmem_max,
            rules.has_rps_default_mask,
            (1 << cpus) - 1 & ~isolated,
            rules.skb_defer_max,
        )
        dissector = FlowDissector(self.random("flow hash key").randbytes(16))
        self.net = Net(self.clock, rules, costs, self.jiffies, settings, self.ledger, dissector)
        self.cpus = [self.cpu_class(n, nodes[n], self.clock, costs, rules, self.jiffies) for n in range(cpus)]
        loopback = NetDevice("lo", LOOPBACK_ADDRESS, 1, LOOPBACK_MTU)
        loopback.is_loopback = True
        self.net.devices["lo"] = loopback
        action = NetRxAction(self.net)
        for cpu in self.cpus:
            cpu.cpus = self.cpus
            cpu.events = self.net.events
            cpu.softirq_vec[NET_RX_SOFTIRQ] = action
            sd = self.softnet_class(self.net, cpu)
            sd.backlog = Backlog(sd, loopback)
            self.net.softnet.append(sd)
        self.clock.late.append(LateBacklogPosts(self.net.softnet))
        self.actors: list[Actor] = list(self.cpus)
        self.next_rank = cpus
        self._end: End | None = None
        self.hotplug = Hotplug(self.cpus)
        self.irqs = IrqTable(self.cpus, rules.interrupts_chip_blanks)
        self.hotplug.on_dead.append(lambda dead, adopter: cpu_dead(self.net, dead, adopter))
        self.user_rank = self.rank()
        boot.contribute(self.tree, rules.release)
        settings.contribute(self.tree)
        cpu_controls.contribute(self.tree, self.cpus, self.hotplug, self.irqs, self.clock, self.user_rank, isolated)
        softirq_controls.contribute(self.tree, self.net, self.irqs)
        self.ledger.holders["backlog"] = lambda: sum(sd.backlog.held_frames() for sd in self.net.softnet)
        self.ledger.holders["posts to backlogs"] = lambda: sum(skb.frames for skb in self.posts_to_backlogs())
        self.ledger.holders["posts to sockets"] = lambda: sum(
            item.frames for _, port, _, item in self.clock.posts_waiting() if not isinstance(port, Backlog)
        )

    def posts_to_backlogs(self) -> list[Skb]:
        """What was posted to a backlog and is not decided yet."""
        return [skb for _, port, _, skb in self.clock.posts_waiting() if isinstance(port, Backlog)]

    def random(self, name: str) -> random.Random:
        """The random stream of one user: a new user does not shift the others."""
        return random.Random(f"{self.seed}/{name}")

    def rank(self) -> int:
        """A rank of its own for one more actor."""
        rank, self.next_rank = self.next_rank, self.next_rank + 1
        return rank

    def add(self, actor: Actor) -> None:
        """Let `actor` take part in the run."""
        self.actors.append(actor)

    def end(self) -> None:
        """End the run at the present, after everything else of its nanosecond, as if that had been its `until_ns`."""
        if self._end is not None:
            self.clock.wake(self._end, self.clock.reached_ns)

    async def run(self, until_ns: int = NEVER, pace: Pace | None = None) -> None:
        """Run until `until_ns`, or until nothing is left to happen (unless the pace says that something may come still).

        An exception of any actor tears the machine down and is raised here.
        """
        end = self._end = End(self.rank(), self.clock, until_ns)
        async with trio.open_nursery() as nursery:
            for actor in self.actors:
                nursery.start_soon(actor.run, name=actor.name)

            async def finish() -> None:
                await end.run()
                nursery.cancel_scope.cancel()

            async def keep() -> None:
                await self.clock.keep(len(self.actors) + 1, pace)
                nursery.cancel_scope.cancel()

            nursery.start_soon(finish, name="end")
            nursery.start_soon(keep, name="keeper")
