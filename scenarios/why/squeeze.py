"""The recorder of squeezes: keeps the net_rx_action in progress on each CPU, and the one that is asked for.

Packets take their straight ways meanwhile: only polls are looked at.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from cpus.accounts import ACCOUNT_NAMES, KSOFTIRQD
from emu.trace import PollTrace
from scenarios.why.document import Poll, SqueezeStory

if TYPE_CHECKING:
    from scenarios.build import Built
    from softirq.napi import Napi
    from softirq.softnet_data import SoftnetData


class _Call:
    """A net_rx_action in progress."""

    __slots__ = ("account", "began_ns", "budget_left", "limit_jiffies", "polls")

    def __init__(self, began_ns: int, account: int, budget: int, limit_jiffies: int) -> None:
        self.began_ns = began_ns
        self.account = account
        self.budget_left = budget
        self.limit_jiffies = limit_jiffies
        self.polls: list[Poll] = []


class SqueezeRecorder(PollTrace):
    """Waits for squeeze number `wanted` (from 1) of the machine, and for what follows it; `on_known` is called then."""

    def __init__(self, built: Built, wanted: int, on_known: Callable[[], None]) -> None:
        self.counted = 0
        """Squeezes so far."""
        self._net = built.machine.net
        self._wanted = wanted
        self._on_known = on_known
        self._calls: list[_Call | None] = [None] * len(built.machine.cpus)
        self._polling_ns = [0] * len(built.machine.cpus)
        self._call: _Call | None = None
        self._squeezed: tuple[SoftnetData, int, str, list[str]] | None = None
        self._followed: tuple[int, int] | None = None
        """Time and account of the next net_rx_action on that CPU."""
        self._net.poll_trace = self

    def net_rx_action(self, sd: SoftnetData, time_limit_jiffies: int) -> None:
        """A call begins."""
        cpu = sd.cpu
        if self._squeezed is not None and self._squeezed[0] is sd and self._followed is None:
            self._followed = (cpu.local_now_ns, cpu.accounts.current)
            self._on_known()
        budget = self._net.settings.netdev_budget
        self._calls[sd.index] = _Call(cpu.local_now_ns, cpu.accounts.current, budget, time_limit_jiffies)

    def polling(self, sd: SoftnetData, napi: Napi) -> None:
        """Its poll begins."""
        self._polling_ns[sd.index] = sd.cpu.local_now_ns

    def polled(self, sd: SoftnetData, napi: Napi, work: int) -> None:
        """And ends."""
        call = self._calls[sd.index]
        if call is not None and not napi.threaded:
            call.budget_left -= work
            began_ns = self._polling_ns[sd.index]
            call.polls.append(Poll(napi.name, began_ns, sd.cpu.local_now_ns, work, napi.weight, call.budget_left))

    def squeezed(self, sd: SoftnetData, cause: str, budget_left: int, left: list[str]) -> None:
        """The call ends on a limit."""
        self.counted += 1
        if self.counted == self._wanted:
            self._call = self._calls[sd.index]
            self._squeezed = (sd, sd.cpu.local_now_ns, cause, left)
            if not left:
                self._on_known()

    def story(self) -> SqueezeStory | None:
        """What was asked for, None if it did not happen."""
        call, squeezed = self._call, self._squeezed
        if call is None or squeezed is None:
            return None
        sd, end_ns, cause, left = squeezed
        settings, jiffies = self._net.settings, self._net.jiffies
        followed_ns = None if self._followed is None else self._followed[0]
        return SqueezeStory(
            squeeze=self._wanted,
            cpu=sd.index,
            begin_ns=call.began_ns,
            end_ns=end_ns,
            run_by=ACCOUNT_NAMES[call.account],
            hz=jiffies.hz,
            netdev_budget=settings.netdev_budget,
            netdev_budget_usecs=settings.netdev_budget_usecs,
            begin_jiffies=jiffies.at(call.began_ns),
            limit_jiffies=call.limit_jiffies,
            end_jiffies=jiffies.at(end_ns),
            cause=cause,
            budget_left=call.budget_left,
            polls=call.polls,
            left=left,
            followed=self._followed_words(end_ns),
            followed_ns=followed_ns,
        )

    def _followed_words(self, end_ns: int) -> str:
        squeezed = self._squeezed
        assert squeezed is not None
        if not squeezed[3]:
            return "nothing was left to poll: the softirq was not raised again"
        if self._followed is None:
            return "the softirq was raised again, and the run ended before it ran"
        at_ns, account = self._followed
        by = "in ksoftirqd" if account == KSOFTIRQD else "in the next round of softirqs"
        return f"the softirq was raised again: net_rx_action ran {by}, {at_ns - end_ns:,} ns later"
