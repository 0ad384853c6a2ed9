"""Where a CPU's time goes: every nanosecond in exactly one account.

Models: /proc/stat's irq, softirq, system, user and idle, with ksoftirqd apart from the softirqs it is charged for (S11).
"""

from __future__ import annotations

from typing import Final

HARDIRQ: Final = 0
SOFTIRQ: Final = 1
KSOFTIRQD: Final = 2
SYSTEM: Final = 3
USER: Final = 4
IDLE: Final = 5

ACCOUNT_NAMES: Final = ("hardirq", "softirq", "ksoftirqd", "system", "user", "idle")


class Accounts:
    """A CPU's time so far, in nanoseconds, by account. The running stretch began at `since_ns` and belongs to `current`."""

    __slots__ = ("current", "since_ns", "spent_ns")

    def __init__(self) -> None:
        self.spent_ns = [0] * len(ACCOUNT_NAMES)
        self.current = IDLE
        self.since_ns = 0

    def switch(self, account: int, now_ns: int) -> int:
        """End the running stretch at `now_ns` and begin one for `account`. Returns the account that ended."""
        ended = self.current
        self.spent_ns[ended] += now_ns - self.since_ns
        self.since_ns = now_ns
        self.current = account
        return ended

    def at(self, now_ns: int) -> list[int]:
        """All accounts as of `now_ns`; they add up to it. A stretch that straddles `now_ns` is counted up to it."""
        spent = list(self.spent_ns)
        spent[self.current] += now_ns - self.since_ns
        return spent
