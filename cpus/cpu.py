"""The CPU actor: hard interrupts, softirqs, ksoftirqd and applications, idle.

Models: S1-S9, S12, K9, the tick of a CPU that runs a process; one trio task per CPU; work that cannot be cut short, waits that
can, and softirqs held off.
Leaves out: forced threaded interrupts (S10), softirq time in the interrupted process's own run time (S11), ticks during softirqs,
frequency scaling, SMT.
Source: kernel/softirq.c (6.1, 6.9), include/linux/interrupt.h.

The loop is the only thing that awaits. Whatever runs in it is synchronous and charges its cost to `local_now_ns`; before
anything that another actor could have a say in, the CPU synchronises.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final, NoReturn

from cpus.accounts import HARDIRQ, IDLE, KSOFTIRQD, SOFTIRQ, SYSTEM, Accounts
from cpus.interrupts import LOCAL_TIMER_RANK, Interrupt, Mailbox
from cpus.process import BLOCK, Process, RunQueue, select_cpu
from emu.clock import NEVER, TURNS_A_PASS, Actor, Clock

if TYPE_CHECKING:
    from emu.costs import Costs
    from emu.events import EventLog
    from emu.jiffies import Jiffies
    from emu.rules import Rules

HI_SOFTIRQ: Final = 0
TIMER_SOFTIRQ: Final = 1
NET_TX_SOFTIRQ: Final = 2
NET_RX_SOFTIRQ: Final = 3
BLOCK_SOFTIRQ: Final = 4
IRQ_POLL_SOFTIRQ: Final = 5
TASKLET_SOFTIRQ: Final = 6
SCHED_SOFTIRQ: Final = 7
HRTIMER_SOFTIRQ: Final = 8
RCU_SOFTIRQ: Final = 9
SOFTIRQ_NAMES: Final = ("HI", "TIMER", "NET_TX", "NET_RX", "BLOCK", "IRQ_POLL", "TASKLET", "SCHED", "HRTIMER", "RCU")
NR_SOFTIRQS: Final = len(SOFTIRQ_NAMES)

MAX_SOFTIRQ_RESTART: Final = 10
"""Rounds in all before ksoftirqd takes over (S3)."""

SOFTIRQD_QUIET_NS: Final = 10_000_000
"""A ksoftirqd that is woken after so long without is news."""


SoftirqAction = Callable[["Cpu"], Awaitable[None]]


class Wakeup(Interrupt):
    """A process becomes runnable on this CPU; from another CPU it came with a reschedule interrupt."""

    __slots__ = ("process", "remote", "target")

    moves_with_cpu = True

    def __init__(self, process: Process, remote: bool) -> None:
        super().__init__()
        self.process = process
        self.remote = remote
        self.target: Cpu | None = None
        """Whose `ttwu_pending` counts it."""

    def handle(self, cpu: Cpu) -> None:
        """Queue the process and ask for a reschedule if it should run first."""
        process = self.process
        away: Cpu | None = None
        if not process.allowed >> cpu.index & 1 and not process.runnable and not process.finished:
            # Its CPUs were changed while this was on its way; with none of them online it runs here all the same.
            away = select_cpu(process, cpu.cpus, lambda _: False)
            if not process.allowed >> away.index & 1:
                away = None
            elif cpu.local_now_ns != cpu.synced_ns:
                # Behind another interrupt: the CPU it goes to has not come as far yet.
                cpu.send(self, cpu.local_now_ns, cpu.rank)
                return
        if self.target is not None:
            self.target.ttwu_pending -= 1
        if self.remote:
            cpu.resched_ipis += 1
            cpu.local_now_ns += cpu.costs.resched_ipi_ns
        if away is not None:
            cpu.move_to(process, away)
            return
        cpu.activate(process)


class Timer(Interrupt):
    """A one-shot timer: calls `function(cpu)` in hard-interrupt context of the CPU that takes it, another than its own if that died."""

    __slots__ = ("function",)

    moves_with_cpu = True

    def __init__(self, function: Callable[[Cpu], None]) -> None:
        super().__init__()
        self.function = function

    def handle(self, cpu: Cpu) -> None:
        """Run the timer's function."""
        cpu.local_now_ns += cpu.costs.timer_ns
        cpu.timer_irqs += 1
        self.function(cpu)


class Cpu(Actor):
    """One emulated CPU. `index` is its number, `node` its NUMA node."""

    def __init__(self, index: int, node: int, clock: Clock, costs: Costs, rules: Rules, jiffies: Jiffies) -> None:
        super().__init__(f"cpu{index}", index)
        self.index = index
        self.node = node
        self.clock = clock
        self.costs = costs
        self.rules = rules
        self.jiffies = jiffies
        self.cpus: list[Cpu] = [self]
        """All CPUs of the machine, by index."""
        self.online = True
        self.dying = False
        """Asked to go offline; it will when it next looks."""
        self.accounts = Accounts()
        self.mailbox = Mailbox()
        self.softirq_pending = 0
        self.softirq_vec: list[SoftirqAction | None] = [None] * NR_SOFTIRQS
        self.softirq_counts = [0] * NR_SOFTIRQS
        """Handler invocations (/proc/softirqs, S5)."""
        self.in_softirq = False
        self.do_softirq = False
        """An interrupt was taken, or a system call enabled BH again: pending softirqs may run inline now (S6)."""
        self.next_tick_ns = 0
        """When the scheduler's tick comes next, while a process runs; an idle CPU has none."""
        self.bh_disabled = 0
        """Depth of local_bh_disable, or of HOLD: hard interrupts are taken, softirqs wait."""
        self.need_resched = False
        self.ttwu_pending = 0
        """Wake-ups on their way here: a CPU that has one is not idle to whoever looks for an idle one."""
        self.owed_ns = 0
        """Cost of what this CPU's posts turned out to cause (wake-ups); paid at its next synchronisation."""
        self.runqueue = RunQueue()
        self.forks = 0
        """Processes and kernel threads that began here."""
        self.ksoftirqd = Process(f"ksoftirqd/{index}", None, 1 << index, self)
        self.ksoftirqd.account = KSOFTIRQD
        self.ksoftirqd.kthread = self.run_ksoftirqd
        self.last_process: Process | None = None
        self.hardirqs = 0
        self.resched_ipis = 0
        self.context_switches = 0
        """To a process."""
        self.switches_to_idle = 0
        self.ticks = 0
        self.timer_irqs = 0
        """One-shot timers that went off."""
        self.offline_ns = 0
        """Time spent offline, up to when it last came back."""
        self.offline_since_ns = 0
        self.ksoftirqd_wakeups = 0
        self._softirqd_woken_ns = -SOFTIRQD_QUIET_NS - 1
        self.events: EventLog | None = None
        """Where the machine notes what happens; None for a CPU by itself."""
        self.bursts_cut = 0
        """Softirq bursts that ended on one of the limits of S3, whereupon ksoftirqd was woken."""

    # ---------------------------------------------------------------- time

    def goes_on(self) -> bool:
        """Whether there is nothing to await: `interruptible` would neither wait, nor pay, nor take an interrupt. Then it is done.

        Ask this before each `synchronise` and `interruptible` that comes often: it saves a wait that has nothing to wait for.
        """
        if (
            # It may have done so at this very time, and not posted since.
            (self.local_now_ns == self.synced_ns != self.last_post_ns or self.clock.goes_on(self))
            and self.mailbox.first_ns > self.synced_ns
            and not self.owed_ns
            and self.kept < TURNS_A_PASS
        ):
            self.kept += 1
            return True
        return False

    async def synchronise(self) -> None:
        """Wait until it is the earliest, everything before decided and paid."""
        while True:
            if self.last_post_ns == self.local_now_ns:
                self.local_now_ns += 1
            await self.clock.wait_turn(self, self.local_now_ns)
            if not self.owed_ns:
                return
            self.local_now_ns += self.owed_ns
            self.owed_ns = 0

    async def interruptible(self) -> None:
        """Synchronise, and take every hard interrupt that has arrived by then."""
        await self.synchronise()
        while self._take_interrupts():
            await self.synchronise()

    def _take_interrupts(self) -> bool:
        """Take the hard interrupts that had arrived when this CPU last synchronised. Returns whether there was one."""
        mailbox = self.mailbox
        if mailbox.first_ns > self.synced_ns or mailbox.next_ns() > self.synced_ns:
            return False
        account = self.accounts.switch(HARDIRQ, self.local_now_ns)
        while (interrupt := mailbox.take(self.synced_ns)) is not None:
            interrupt.handle(self)
            if self.last_post_ns >= self.synced_ns:
                # What it posted (a dead CPU's packets) is decided before the next one is taken, and before softirqs look.
                break
        self.do_softirq = True
        self.accounts.switch(account, self.local_now_ns)
        return True

    async def _open_until(self, until_ns: int) -> None:
        """Let time pass until `until_ns` or the next interrupt, whichever is sooner."""
        arrival = self.mailbox.next_ns()
        if arrival < until_ns:
            until_ns = max(arrival, self.local_now_ns)
        await self.clock.wait_open(self, until_ns)

    def offline_ns_at(self, now_ns: int) -> int:
        """Nanoseconds up to `now_ns` in which it was offline; its accounts have them as idle."""
        return self.offline_ns if self.online else self.offline_ns + max(now_ns - self.offline_since_ns, 0)

    # ---------------------------------------------------------------- messages in

    def send(self, interrupt: Interrupt, at_ns: int, sender_rank: int) -> None:
        """Let `interrupt` arrive at `at_ns`. An open CPU is cut short then; a working one takes it when it next looks."""
        self.mailbox.put(at_ns, sender_rank, interrupt)
        self.clock.wake(self, at_ns)

    def start_timer(self, at_ns: int, function: Callable[[Cpu], None]) -> Timer:
        """Arm a one-shot timer of this CPU, which moves to another if this one goes offline first.

        Set `.withdrawn` on the result to cancel it.
        """
        timer = Timer(function)
        self.mailbox.put(at_ns, LOCAL_TIMER_RANK, timer)
        self.clock.wake(self, at_ns)
        return timer

    # ---------------------------------------------------------------- softirqs

    def raise_softirq_irqoff(self, nr: int) -> None:
        """The kernel's __raise_softirq_irqoff: sets the bit only; interrupt or softirq context will look at it (S7)."""
        self.softirq_pending |= 1 << nr

    def softirq_runnable(self) -> bool:
        """May pending softirqs run inline now (S6, S9)? Those that no interrupt and no system call ran are left to ksoftirqd."""
        if not self.softirq_pending or not self.do_softirq or self.bh_disabled or self.in_softirq:
            return False
        if self.rules.softirq_defers_to_ksoftirqd and self.ksoftirqd.runnable:
            return bool(self.softirq_pending & (1 << HI_SOFTIRQ | 1 << TASKLET_SOFTIRQ))
        return True

    async def handle_softirqs(self) -> None:
        """Rounds of pending softirqs until none is pending or a limit of S3 is met; then ksoftirqd is woken."""
        began_ns = self.local_now_ns
        account = self.accounts.switch(KSOFTIRQD if self.runqueue.current is self.ksoftirqd else SOFTIRQ, began_ns)
        self.in_softirq = True
        restart = MAX_SOFTIRQ_RESTART
        while True:
            pending = self.softirq_pending
            self.softirq_pending = 0
            self.local_now_ns += self.costs.softirq_entry_ns
            while pending:
                nr = (pending & -pending).bit_length() - 1
                pending &= pending - 1
                self.softirq_counts[nr] += 1
                action = self.softirq_vec[nr]
                if action is not None:
                    await action(self)
            if not self.goes_on():
                await self.interruptible()
            if not self.softirq_pending:
                break
            restart -= 1
            end_ns = self.jiffies.deadline_ns(began_ns, self.jiffies.max_softirq_time)
            if not (self.local_now_ns < end_ns and not self.need_resched and restart):
                self.bursts_cut += 1
                if self.need_resched:
                    why = "a process should run"
                elif not restart:
                    why = f"{MAX_SOFTIRQ_RESTART} rounds"
                else:
                    why = "MAX_SOFTIRQ_TIME"
                self.wakeup_softirqd(why)
                break
        self.in_softirq = False
        self.do_softirq = False
        self.accounts.switch(account, self.local_now_ns)

    def wakeup_softirqd(self, why: str) -> None:
        """Make this CPU's ksoftirqd runnable, if it is not; `why` softirqs were left to it is for the log."""
        if not self.ksoftirqd.runnable:
            self.ksoftirqd_wakeups += 1
            if self.events is not None and self.local_now_ns - self._softirqd_woken_ns > SOFTIRQD_QUIET_NS:
                self.events.note(self.local_now_ns, self.index, f"ksoftirqd woken, softirqs are pending: {why}")
            self._softirqd_woken_ns = self.local_now_ns
            self.activate(self.ksoftirqd)

    # ---------------------------------------------------------------- processes

    def activate(self, process: Process) -> None:
        """Queue a woken process here; set need_resched if it should run before the running one (K9)."""
        process.wake_pending = False
        if process.runnable or process.finished:
            return
        process.cpu = self
        process.wakeups += 1
        self.runqueue.enqueue(process)
        if self.runqueue.should_preempt(process):
            self.need_resched = True

    def try_to_wake_up(self, process: Process, at_ns: int, waker: Cpu) -> None:
        """Wake `process` at `at_ns` on behalf of `waker`, which pays for it. The target takes it as an interrupt if it is another CPU."""
        if process.runnable or process.wake_pending or process.finished:
            process.wake_pending = True
            return
        process.wake_pending = True
        target = select_cpu(process, self.cpus, _is_idle)
        remote = target is not waker
        waker.owed_ns += waker.costs.sock_wake_ns
        self._send_wakeup(process, target, remote, at_ns + 1, waker.rank)

    def move_to(self, process: Process, target: Cpu) -> None:
        """Send a runnable process, off this CPU's queue already, to `target`."""
        process.wake_pending = True
        self._send_wakeup(process, target, True, self.local_now_ns + 1, self.rank)

    def _send_wakeup(self, process: Process, target: Cpu, remote: bool, at_ns: int, sender_rank: int) -> None:
        wakeup = Wakeup(process, remote)
        wakeup.target = target
        target.ttwu_pending += 1
        target.send(wakeup, at_ns, sender_rank)

    async def _run_process(self, process: Process) -> None:
        """Run the current process until it blocks, a softirq may run, or somebody else should run."""
        runqueue = self.runqueue
        if process is not self.last_process:
            self.last_process = process
            process.switches += 1
            self.context_switches += 1
            self.accounts.switch(SYSTEM, self.local_now_ns)
            self.local_now_ns += self.costs.context_switch_ns
        if self.next_tick_ns <= self.local_now_ns:
            self.next_tick_ns = self.jiffies.start_ns(self.jiffies.at(self.local_now_ns) + 1)
        if process.kthread is not None:
            started = self.local_now_ns
            self.accounts.switch(process.account, started)
            goes_on = await process.kthread(self)
            await self.synchronise()  # others see it asleep from then on
            runqueue.ran(process, self.local_now_ns - started)
            if process.wake_pending:
                process.wake_pending = False
                goes_on = True
            if not goes_on:
                runqueue.remove(process)
                self.need_resched = True
            elif runqueue.waiting:
                self.need_resched = True
            return
        assert process.body is not None
        while True:
            await self.interruptible()
            if self.need_resched or self.softirq_runnable():
                return
            self.do_softirq = False
            if not process.remaining_ns:
                process.wake_pending = False
                step = next(process.body, None)
                if step is None or step is BLOCK:
                    process.finished = step is None
                    if process.wake_pending and not process.finished:
                        continue
                    runqueue.remove(process)
                    self.need_resched = True
                    return
                process.account, process.remaining_ns = step
                if process.account == SYSTEM and self.softirq_pending:
                    self.do_softirq = True
                    continue
            self.accounts.switch(process.account, self.local_now_ns)
            start = self.local_now_ns
            left = runqueue.slice_left_ns()
            until = start + (process.remaining_ns if process.remaining_ns < left else left)
            # The tick may have come due during a hard interrupt: then it is taken now.
            tick_ns = self.next_tick_ns if self.next_tick_ns > start else start
            await self._open_until(until if until < tick_ns else tick_ns)
            ran = self.local_now_ns - start
            process.remaining_ns -= ran
            runqueue.ran(process, ran)
            if runqueue.waiting and not runqueue.slice_left_ns():
                self.need_resched = True
            if self.local_now_ns >= self.next_tick_ns:
                self._tick()

    async def run_ksoftirqd(self, _: Cpu) -> bool:
        """One burst of softirqs (S8). True while some are pending."""
        if self.softirq_pending and not self.bh_disabled:
            await self.handle_softirqs()
        return bool(self.softirq_pending) and not self.bh_disabled

    def _tick(self) -> None:
        """The scheduler's tick interrupts the running process; on its exit pending softirqs run inline."""
        account = self.accounts.switch(HARDIRQ, self.local_now_ns)
        self.local_now_ns += self.costs.timer_ns
        self.accounts.switch(account, self.local_now_ns)
        self.next_tick_ns = self.jiffies.start_ns(self.jiffies.at(self.local_now_ns) + 1)
        self.ticks += 1
        self.do_softirq = True

    # ---------------------------------------------------------------- the loop

    async def run(self) -> None:
        """The actor's task."""
        await self.clock.host(self, self._work())

    async def _work(self) -> NoReturn:
        """Interrupts, softirqs, processes, idle, until the machine is torn down. Waits for nothing but turns."""
        self.accounts.switch(IDLE, self.local_now_ns)
        while True:
            interrupted = False
            if not self.goes_on():
                await self.synchronise()
                interrupted = self._take_interrupts()
            if self.softirq_runnable() and self.online and self.last_post_ns < self.synced_ns:
                await self.handle_softirqs()
                continue
            if interrupted:
                continue
            if not self.online:
                self.last_process = None
                self.accounts.switch(IDLE, self.local_now_ns)
                await self._open_until(NEVER)
                continue
            self.do_softirq = False
            runqueue = self.runqueue
            if self.need_resched or runqueue.current is None:
                self.need_resched = False
                runqueue.pick()
            if runqueue.current is not None:
                await self._run_process(runqueue.current)
                continue
            if self.softirq_pending and not self.bh_disabled:
                # Raised outside any interrupt (S7), or held off until now: nobody else would look at it.
                self.wakeup_softirqd("raised outside any interrupt")
                continue
            if self.last_process is not None:
                self.last_process = None
                self.switches_to_idle += 1
            self.accounts.switch(IDLE, self.local_now_ns)
            await self._open_until(NEVER)
            # Handlers act as of the wake-up, when this CPU was the earliest: while it leaves idle others may take its vectors away.
            if self._take_interrupts():  # else a timer that was withdrawn meanwhile: it woke nobody
                self.local_now_ns += self.costs.idle_exit_ns
                if self.softirq_runnable() and self.online and self.last_post_ns < self.synced_ns:
                    await self.handle_softirqs()


def _is_idle(cpu: Cpu) -> bool:
    return cpu.is_open and cpu.runqueue.current is None and not cpu.runqueue.waiting and not cpu.ttwu_pending
