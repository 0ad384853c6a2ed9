"""CPUs going offline and coming back, while the machine runs.

Models: the order of a CPU's death (it finishes what it does, its processes and interrupts leave, then others adopt its work) and birth.
Leaves out: the states of the kernel's hotplug machine in between; frozen tasks.
Source: rules of section 4.5 R6, R10; kernel/cpu.c for the order of events.

Upper floors add what they own to `on_dead` and `on_online`; the NIC moves vectors, softirq adopts backlogs.
"""

from __future__ import annotations

import errno
from collections.abc import Callable

from cpus.cpu import Cpu
from cpus.interrupts import Interrupt
from cpus.process import Process, select_cpu
from emu.errors import ControlError


class Hotplug:
    """The registry. `on_dead(dead, adopter)` and `on_online(cpu)` run at the CPU's own time, in hard-interrupt context."""

    def __init__(self, cpus: list[Cpu]) -> None:
        self.cpus = cpus
        self.on_dead: list[Callable[[Cpu, Cpu], None]] = []
        self.on_online: list[Callable[[Cpu], None]] = []
        self.adopter = _lowest_online

    def set_online(self, index: int, online: bool, at_ns: int, sender_rank: int) -> None:
        """Ask CPU `index` to go offline or come back, from `at_ns` on; it does so when it next looks. Raises ControlError."""
        cpu = self.cpus[index]
        if online == cpu.online and not cpu.dying:
            return
        if not online:
            if cpu.dying:
                return
            if sum(other.online and not other.dying for other in self.cpus) == 1:
                raise ControlError(errno.EBUSY, f"cpu{index} is the last one online: it has to stay")
            cpu.dying = True
            cpu.send(_Die(self), at_ns, sender_rank)
        else:
            cpu.send(_Born(self), at_ns, sender_rank)


class _Die(Interrupt):
    __slots__ = ("hotplug",)

    def __init__(self, hotplug: Hotplug) -> None:
        super().__init__()
        self.hotplug = hotplug

    def handle(self, cpu: Cpu) -> None:
        """Leave: processes go to other CPUs, interrupts under way and owners' work follow. Softirqs end first."""
        if not cpu.online:  # asked twice
            return
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
                process.allowed |= 1 << target.index
                cpu.move_to(process, target)
        cpu.need_resched = True
        cpu.softirq_pending = 0
        for on_dead in self.hotplug.on_dead:
            on_dead(cpu, adopter)
        for at_ns, rank, interrupt in cpu.mailbox.drain():
            if interrupt.moves_with_cpu:
                adopter.send(interrupt, max(at_ns, cpu.local_now_ns + 1), rank)


class _Born(Interrupt):
    __slots__ = ("hotplug",)

    def __init__(self, hotplug: Hotplug) -> None:
        super().__init__()
        self.hotplug = hotplug

    def handle(self, cpu: Cpu) -> None:
        """Come back with empty queues; maps that were written meanwhile do not include it until they are written again."""
        if cpu.online:  # asked twice
            return
        cpu.online = True
        cpu.offline_ns += cpu.local_now_ns - cpu.offline_since_ns
        if cpu.events is not None:
            cpu.events.note(cpu.local_now_ns, cpu.index, "comes online")
        for on_online in self.hotplug.on_online:
            on_online(cpu)


def _lowest_online(cpus: list[Cpu]) -> Cpu:
    return next(cpu for cpu in cpus if cpu.online)
