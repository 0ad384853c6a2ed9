"""Where a CPU's time goes: every nanosecond in exactly one account.

Models: /proc/stat's irq, softirq, system, user and idle, with the softirqs that ksoftirqd runs apart from inline ones.
"""

from __future__ import annotations

from collections import deque
from typing import Final

HARDIRQ: Final = 0
SOFTIRQ: Final = 1
KSOFTIRQD: Final = 2
SYSTEM: Final = 3
USER: Final = 4
IDLE: Final = 5

ACCOUNT_NAMES: Final = ("hardirq", "softirq", "ksoftirqd", "system", "user", "idle")

_REMEMBERED: Final = 32
"""Stretches remembered: more than a CPU can begin while it works ahead of a sample."""


class Accounts:
    """A CPU's time so far, in nanoseconds, by account. The running stretch began at `since_ns` and belongs to `current`."""

    __slots__ = ("_ended", "current", "since_ns", "spent_ns")

    def __init__(self) -> None:
        self.spent_ns = [0] * len(ACCOUNT_NAMES)
        self.current = IDLE
        self.since_ns = 0
        self._ended: deque[tuple[int, int]] = deque(maxlen=_REMEMBERED)
        """(account, beginning) of the last stretches that ended, so that a look can fall into one of them."""

    def switch(self, account: int, now_ns: int) -> int:
        """End the running stretch at `now_ns` and begin one for `account`. Returns the account that ended."""
        ended = self.current
        if now_ns != self.since_ns:
            self.spent_ns[ended] += now_ns - self.since_ns
            self._ended.append((ended, self.since_ns))
            self.since_ns = now_ns
        self.current = account
        return ended

    def at(self, now_ns: int) -> list[int]:
        """All accounts as of `now_ns`; they add up to it. What the CPU worked ahead of `now_ns` is not counted yet."""
        spent = list(self.spent_ns)
        end_ns = self.since_ns
        if end_ns <= now_ns:
            spent[self.current] += now_ns - end_ns
            return spent
        for account, begin_ns in reversed(self._ended):
            cut_ns = max(begin_ns, now_ns)
            spent[account] -= end_ns - cut_ns
            end_ns = cut_ns
            if end_ns == now_ns:
                return spent
        raise AssertionError(f"a look at {now_ns} ns is further back than the accounts remember ({end_ns} ns)")
