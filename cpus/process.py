"""Processes and one CPU's run queue: a small fair scheduler.

Models: weights, virtual run time, a slice, wake-up preemption (K9), a sleeper's placement, pinned processes and processes free to move.
Leaves out: load balancing of running processes, groups, deadlines, real-time classes.
Source: rules S3, S8, K9; kernel/sched/fair.c (6.1) for the shape of the rules. Numbers are the kernel's unscaled defaults.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from typing import TYPE_CHECKING, Final

from cpus.accounts import SYSTEM, USER

if TYPE_CHECKING:
    from cpus.cpu import Cpu

NICE_0_WEIGHT: Final = 1024
SLICE_NS: Final = 3_000_000
"""Time a process may run while others wait (base slice)."""
WAKEUP_GRANULARITY_NS: Final = 1_000_000
"""How much less virtual time a woken process must have to preempt the running one."""
SLEEPER_CREDIT_NS: Final = 3_000_000
"""A woken sleeper is placed at most this much before the queue's minimum."""

BLOCK: Final = (-1, 0)
"""What a body yields to sleep until somebody wakes its process."""

Step = tuple[int, int]
"""(account SYSTEM or USER, nanoseconds) to spend, or BLOCK."""


class Process:
    """A thread of an application, or ksoftirqd. `body` is stepped at synchronised times; what it yields is spent openly.

    `allowed` is a mask of CPUs (bit n = CPU n), `weight` the load weight (1024 for nice 0).
    """

    def __init__(
        self, name: str, body: Iterator[Step] | None, allowed: int, cpu: Cpu, weight: int = NICE_0_WEIGHT
    ) -> None:
        assert weight > 0, f"process {name} has weight {weight}"
        self.name = name
        self.body = body
        self.allowed = allowed
        self.cpu = cpu
        """Where it runs, or ran last."""
        self.weight = weight
        cpu.forks += 1
        self.vruntime_ns = 0
        self.runnable = False
        self.wake_pending = False
        """A wake-up is on its way to its CPU, or came while the body was about to sleep."""
        self.account = USER
        self.remaining_ns = 0
        self.ran_ns = 0
        self.switches = 0
        self.wakeups = 0
        self.finished = False
        self.is_ksoftirqd = body is None
        self.kthread: Callable[[Cpu], Awaitable[bool]] | None = None
        """A kernel thread's loop, once around on the CPU it has been given: True to go on, False to sleep until it is woken.
        It charges the CPU itself, and cannot be cut short."""

    @property
    def pinned(self) -> bool:
        """May run on one CPU only."""
        return self.allowed & (self.allowed - 1) == 0


class RunQueue:
    """Runnable processes of one CPU, the running one included."""

    def __init__(self) -> None:
        self.current: Process | None = None
        self.waiting: list[Process] = []
        self.min_vruntime_ns = 0
        self.slice_used_ns = 0

    def enqueue(self, process: Process) -> None:
        """Make `process` wait for the CPU, placed so that a long sleep gives it no more than the sleeper's credit."""
        assert not process.runnable, f"{process.name} is queued already"
        process.runnable = True
        floor = self.min_vruntime_ns - SLEEPER_CREDIT_NS
        if process.vruntime_ns < floor:
            process.vruntime_ns = floor
        self.waiting.append(process)

    def remove(self, process: Process) -> None:
        """Take a sleeping, finished or departing process off the queue."""
        process.runnable = False
        if self.current is process:
            self.current = None
        else:
            self.waiting.remove(process)

    @property
    def nr_running(self) -> int:
        """Runnable processes, the running one included."""
        return len(self.waiting) + (self.current is not None)

    def pick(self) -> Process | None:
        """Put the running process back and choose the one with the least virtual run time; the longest waiting on a tie."""
        if self.current is not None:
            if not self.waiting:
                self.slice_used_ns = 0
                return self.current
            self.waiting.append(self.current)
            self.current = None
        if not self.waiting:
            return None
        best = min(self.waiting, key=_vruntime)
        self.waiting.remove(best)
        self.current = best
        self.slice_used_ns = 0
        return best

    def ran(self, process: Process, ns: int) -> None:
        """Account `ns` of run time to `process`."""
        process.ran_ns += ns
        process.vruntime_ns += ns * NICE_0_WEIGHT // process.weight
        self.slice_used_ns += ns
        least = process.vruntime_ns
        for other in self.waiting:
            if other.vruntime_ns < least:
                least = other.vruntime_ns
        if least > self.min_vruntime_ns:
            self.min_vruntime_ns = least

    def should_preempt(self, woken: Process) -> bool:
        """True if `woken` should run before the running process (K9); always on an idle CPU."""
        current = self.current
        if current is None:
            return True
        return current.vruntime_ns - woken.vruntime_ns > WAKEUP_GRANULARITY_NS * NICE_0_WEIGHT // woken.weight

    def slice_left_ns(self) -> int:
        """What the running process may still run before it must let others in; unlimited when nobody waits."""
        if not self.waiting:
            return 1 << 62
        return max(SLICE_NS - self.slice_used_ns, 0)


def select_cpu(process: Process, cpus: list[Cpu], is_idle: Callable[[Cpu], bool]) -> Cpu:
    """Where a woken process shall run: its last CPU if idle or pinned, else the nearest idle allowed CPU, else its last CPU."""
    last = process.cpu
    last_is_allowed = last.online and bool(process.allowed >> last.index & 1)
    if last_is_allowed and (process.pinned or is_idle(last)):
        return last
    best: Cpu | None = None
    for candidate in cpus:
        if process.allowed >> candidate.index & 1 and candidate.online and is_idle(candidate):
            if best is None or (candidate.node == last.node and best.node != last.node):
                best = candidate
    if best is not None:
        return best
    if last_is_allowed:
        return last
    for candidate in cpus:
        if process.allowed >> candidate.index & 1 and candidate.online:
            return candidate
    return next(candidate for candidate in cpus if candidate.online)


def _vruntime(process: Process) -> int:
    return process.vruntime_ns


__all__ = ["BLOCK", "NICE_0_WEIGHT", "SYSTEM", "USER", "Process", "RunQueue", "Step", "select_cpu"]
