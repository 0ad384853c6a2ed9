"""Where a process may run, changed while it lives.

Models: sched_setaffinity: a process on a CPU that it may no longer use leaves at once, one that sleeps chooses among its
new CPUs when it is woken.
Leaves out: kernel threads (ksoftirqd stays where it is; a NAPI thread cannot be moved here), cpusets.
Source: rules K9, S8; kernel/sched/core.c (6.9).
"""

from __future__ import annotations

from errno import EINVAL

from cpus.cpu import Cpu
from cpus.interrupts import Interrupt
from cpus.process import Process, select_cpu
from emu.cpumask import format_list
from emu.errors import ControlError


def sched_setaffinity(process: Process, allowed: int, cpus: list[Cpu], at_ns: int, sender_rank: int) -> None:
    """From `at_ns` on `process` runs only on CPUs of the mask `allowed`. ControlError EINVAL, and then nothing has changed."""
    if process.is_ksoftirqd or process.kthread is not None:
        raise ControlError(EINVAL, f"{process.name} is a kernel thread: it stays where it is")
    online = sum(1 << cpu.index for cpu in cpus if cpu.online)
    if not allowed & online:
        raise ControlError(EINVAL, f"none of these CPUs is online: write some of {format_list(online, len(cpus))}")
    process.allowed = allowed
    if not allowed >> process.cpu.index & 1:
        # Whether it sleeps there is for that CPU to say.
        process.cpu.send(_Leave(process), at_ns, sender_rank)


class _Leave(Interrupt):
    """The migration thread's call: `process` leaves this CPU, unless it is gone, asleep, or allowed again by now."""

    __slots__ = ("process",)

    moves_with_cpu = True

    def __init__(self, process: Process) -> None:
        super().__init__()
        self.process = process

    def handle(self, cpu: Cpu) -> None:
        """Take the process off this CPU's queue and send it to one that it may use."""
        process = self.process
        if not process.runnable or process.cpu is not cpu or process.allowed >> cpu.index & 1:
            return
        if cpu.local_now_ns != cpu.synced_ns:
            # Behind another interrupt: the CPU it goes to has not come as far yet.
            cpu.send(self, cpu.local_now_ns, cpu.rank)
            return
        if cpu.runqueue.current is process:
            cpu.need_resched = True
        cpu.runqueue.remove(process)
        cpu.move_to(process, select_cpu(process, cpu.cpus, lambda _: False))
