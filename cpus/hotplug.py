"""CPUs going offline and coming back, while the machine runs.

Models: the order of a CPU's death (it finishes what it does, its processes and interrupts leave, then others adopt its work) and birth.
Leaves out: the states of the kernel's hotplug machine in between; frozen tasks.
Source: rules of section 4.5 R6, R10; kernel/cpu.c for the order of events.

Upper floors add what they own to `on_dead` and `on_online`; the NIC moves vectors, softirq adopts backlogs. A kernel's write to
`online` returns when the CPU is there: `on_settled` tells whoever waits for that.
"""

from __future__ import annotations

import errno
from collections.abc import Callable

from cpus.cpu import Cpu
from cpus.interrupts import Interrupt
from cpus.process import Process, select_cpu
from emu.errors import ControlError


class Hotplug:
    """The registry. `on_dead(dead, adopter)` and `on_online(cpu)` run at the CPU's own time, in hard-interrupt context.

    `on_settled(at_ns)` comes last, when no CPU is under way any more.
    """

    def __init__(self, cpus: list[Cpu]) -> None:
        self.cpus = cpus
        self.on_dead: list[Callable[[Cpu, Cpu], None]] = []
        self.on_online: list[Callable[[Cpu], None]] = []
        self.on_settled: list[Callable[[int], None]] = []
        self.under_way: dict[int, bool] = {}
        """CPUs that were asked and have not looked yet, and whether they will be online."""
        self.adopter = _lowest_online

    def set_online(self, index: int, online: bool, at_ns: int, sender_rank: int) -> None:
        """Ask CPU `index` to go offline or come back, from `at_ns` on; it does so when it next looks.

        ControlError EBUSY for the last CPU online, and for one that is on its way the other way.
        """
        cpu = self.cpus[index]
        coming = self.under_way.get(index)
        if online == (cpu.online if coming is None else coming):
            return
        if coming is not None:
            raise ControlError(
                errno.EBUSY, f"cpu{index} is going {'online' if coming else 'offline'}: write again when it is"
            )
        if not online and sum(other.online and not other.dying for other in self.cpus) == 1:
            raise ControlError(errno.EBUSY, f"cpu{index} is the last one online: it has to stay")
        self.under_way[index] = online
        cpu.dying = not online
        cpu.send(_Born(self) if online else _Die(self), at_ns, sender_rank)

    def settle(self, cpu: Cpu) -> None:
        """`cpu` is where it was asked to be."""
        del self.under_way[cpu.index]
        if not self.under_way:
            for on_settled in self.on_settled:
                on_settled(cpu.local_now_ns)


class _Die(Interrupt):
    __slots__ = ("hotplug",)

    def __init__(self, hotplug: Hotplug) -> None:
        super().__init__()
        self.hotplug = hotplug

    def handle(self, cpu: Cpu) -> None:
        """Leave: processes go to other CPUs, interrupts under way and owners' work follow. Softirqs end first."""
        if cpu.in_softirq:
            cpu.send(self, cpu.local_now_ns + 1, cpu.rank)
            return
        if cpu.local_now_ns != cpu.synced_ns:
            # Behind another interrupt: others have not come as far yet, and would see it gone too early.
            cpu.send(self, cpu.local_now_ns, cpu.rank)
            return
        cpu.online = False
        cpu.offline_since_ns = cpu.local_now_ns
        if cpu.events is not None:
            cpu.events.note(cpu.local_now_ns, cpu.index, "goes offline")
        cpu.dying = False
        adopter = self.hotplug.adopter(self.hotplug.cpus)
        runqueue = cpu.runqueue
        leaving: list[Process] = list(runqueue.waiting)
        if runqueue.current is not None:
            leaving.append(runqueue.current)
        for process in leaving:
            runqueue.remove(process)
            if not process.is_ksoftirqd:
                target = select_cpu(process, self.hotplug.cpus, lambda _: False)
                if not process.allowed >> target.index & 1:
                    # None of its CPUs is left: the kernel lets it run on any rather than not at all.
                    process.allowed = (1 << len(self.hotplug.cpus)) - 1
                cpu.move_to(process, target)
        cpu.need_resched = True
        cpu.softirq_pending = 0
        for on_dead in self.hotplug.on_dead:
            on_dead(cpu, adopter)
        for at_ns, rank, interrupt in cpu.mailbox.drain():
            if interrupt.moves_with_cpu:
                adopter.send(interrupt, max(at_ns, cpu.local_now_ns + 1), rank)
        self.hotplug.settle(cpu)


class _Born(Interrupt):
    __slots__ = ("hotplug",)

    def __init__(self, hotplug: Hotplug) -> None:
        super().__init__()
        self.hotplug = hotplug

    def handle(self, cpu: Cpu) -> None:
        """Come back with empty queues; maps that were written meanwhile do not include it until they are written again."""
        cpu.online = True
        cpu.offline_ns += cpu.local_now_ns - cpu.offline_since_ns
        if cpu.events is not None:
            cpu.events.note(cpu.local_now_ns, cpu.index, "comes online")
        for on_online in self.hotplug.on_online:
            on_online(cpu)
        self.hotplug.settle(cpu)


def _lowest_online(cpus: list[Cpu]) -> Cpu:
    return next(cpu for cpu in cpus if cpu.online)
