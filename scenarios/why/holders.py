"""Who holds a CPU: a log of its stretches with a name to each, kept beside its accounts.

A hard interrupt is named by its handler, a softirq by the NAPI that is polled, the rest by its process.
Leaves out: what is inside a stretch.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from typing import Final

from cpus.accounts import ACCOUNT_NAMES, HARDIRQ, IDLE, KSOFTIRQD, SOFTIRQ, Accounts
from cpus.cpu import Cpu, Timer, Wakeup
from cpus.interrupts import Interrupt, Mailbox
from nic.vector import Irq
from scenarios.why.document import Holder
from softirq.backlog import RpsIpi

RECENT: Final = 1024
"""Stretches remembered at least while nobody asks: more than a CPU works ahead of a frame's generation."""
KEPT: Final = 500_000
"""Stretches remembered at least while a packet is on its way."""
TICK: Final = "scheduler tick"
FORGOTTEN: Final = "longer ago than is remembered"


class CpuLog:
    """The stretches of one CPU: (begin, end, account, who), each from the end of the one before."""

    def __init__(self, cpu: Cpu) -> None:
        self._cpu = cpu
        self._stretches: list[tuple[int, int, int, str]] = []
        self._kept = RECENT
        self._since_ns = 0
        self._account = IDLE
        self._who = ""
        self._napi = ""

    def keep(self) -> None:
        """From now on remember more."""
        self._kept = KEPT

    def change(self, now_ns: int, account: int, who: str) -> None:
        """The CPU belongs to `who` from `now_ns` on."""
        if now_ns > self._since_ns:
            stretches = self._stretches
            stretches.append((self._since_ns, now_ns, self._account, self._who))
            self._since_ns = now_ns
            if len(stretches) > 2 * self._kept:
                del stretches[: self._kept]
        self._account = account
        self._who = who

    def switch(self, account: int, now_ns: int) -> None:
        """The CPU's accounts say that `account` begins."""
        self.change(now_ns, account, self._name(account))

    def poll(self, napi: str, now_ns: int) -> None:
        """`napi` is polled from now on; "": none."""
        self._napi = napi
        self.change(now_ns, self._account, self._name(self._account))

    def _name(self, account: int) -> str:
        if account == IDLE:
            return ""
        if account == HARDIRQ:
            return TICK
        if self._napi:
            return self._napi
        if account in (SOFTIRQ, KSOFTIRQD):
            return "net_rx_action"
        process = self._cpu.runqueue.current
        return "" if process is None else process.name

    def holders(self, begin_ns: int, end_ns: int) -> list[Holder]:
        """Who had the CPU from `begin_ns` to `end_ns`, in the order in which they came; adds up to the whole."""
        spent: dict[tuple[str, str], int] = {}
        at_ns = begin_ns
        stretches = self._stretches
        first = bisect_right(stretches, begin_ns, key=_end_ns)
        last = bisect_right(stretches, end_ns, first, key=_end_ns)
        present = (self._since_ns, end_ns, self._account, self._who)
        for begin, end, account, who in [*stretches[first : last + 1], present]:
            if end <= at_ns:
                continue
            if begin >= end_ns:
                break
            if begin > at_ns:
                spent[ACCOUNT_NAMES[IDLE], FORGOTTEN] = begin - at_ns
            stop = min(end, end_ns)
            key = (ACCOUNT_NAMES[account], who)
            spent[key] = spent.get(key, 0) + stop - max(begin, at_ns)
            at_ns = stop
        return [Holder(account, who, ns) for (account, who), ns in spent.items()]


def _end_ns(stretch: tuple[int, int, int, str]) -> int:
    return stretch[1]


class TracedAccounts(Accounts):
    """Accounts that tell the log."""

    __slots__ = ("log",)

    def __init__(self, log: CpuLog) -> None:
        super().__init__()
        self.log = log

    def switch(self, account: int, now_ns: int) -> int:
        """As ever."""
        self.log.switch(account, now_ns)
        return super().switch(account, now_ns)


class TracedMailbox(Mailbox):
    """A mailbox that names what is taken, and tells who listens of what is sent and taken."""

    def __init__(self, cpu: TracedCpu) -> None:
        super().__init__()
        self._cpu = cpu

    def put(self, at_ns: int, sender_rank: int, interrupt: Interrupt) -> None:
        """As ever."""
        super().put(at_ns, sender_rank, interrupt)
        if self._cpu.on_sent is not None:
            self._cpu.on_sent(self._cpu, interrupt, at_ns, sender_rank)

    def take(self, now_ns: int) -> Interrupt | None:
        """As ever."""
        interrupt = super().take(now_ns)
        if interrupt is not None:
            cpu = self._cpu
            cpu.log.change(cpu.local_now_ns, HARDIRQ, interrupt_name(interrupt))
            if cpu.on_taken is not None:
                cpu.on_taken(cpu, interrupt)
        return interrupt


class TracedCpu(Cpu):
    """A CPU that keeps a log."""

    on_sent: Callable[[TracedCpu, Interrupt, int, int], None] | None = None
    """Told of each interrupt that is sent here: when it arrives, and the rank of who sent it."""
    on_taken: Callable[[TracedCpu, Interrupt], None] | None = None

    def __init__(self, *arguments: object) -> None:
        super().__init__(*arguments)  # type: ignore[arg-type]
        self.log = CpuLog(self)
        self.accounts = TracedAccounts(self.log)
        self.mailbox = TracedMailbox(self)


def interrupt_name(interrupt: Interrupt) -> str:
    """What people call it."""
    if isinstance(interrupt, Irq):
        return f"interrupt {interrupt.vector.name}"
    if isinstance(interrupt, RpsIpi):
        return "RPS IPI"
    if isinstance(interrupt, Wakeup):
        return f"wake-up of {interrupt.process.name}"
    return "timer" if isinstance(interrupt, Timer) else type(interrupt).__name__
