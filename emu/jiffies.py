"""Jiffies: the coarse clock by which the kernel limits softirqs.

Models: the tick as a function of virtual time, the conversions of `include/linux/jiffies.h` and `kernel/time/time.c`
that the receive path uses, and the two defaults that are stated in jiffies. Integers only.
Leaves out: NO_HZ (a jiffy is counted when its time has come, whether or not a CPU took the tick) and `INITIAL_JIFFIES`.
Source: rules S3, S4, N1, P3, G7; Linux 6.9, kernel/softirq.c, net/core/hotdata.c.
"""

from typing import Final

from emu.errors import ConfigError

VALID_HZ: Final = (100, 250, 300, 1000)
"""The values Kconfig.hz offers."""

MAX_JIFFY_OFFSET: Final = ((1 << 63) - 1 >> 1) - 1
"""Longest timeout in jiffies that a 64-bit kernel accepts; longer ones are cut to it."""


class Jiffies:
    """The jiffy clock of a kernel built with a given HZ. Immutable; shared by all CPUs of a machine."""

    __slots__ = ("hz", "max_softirq_time", "netdev_budget_usecs_default", "tick_ns")

    hz: int
    """Ticks a second: 100, 250, 300 or 1000."""
    tick_ns: int
    """Length of a jiffy, as the kernel rounds it (3333333 at HZ=300)."""
    max_softirq_time: int
    """MAX_SOFTIRQ_TIME: 2 ms in whole jiffies, rounded up (1, 1, 1, 2 at HZ 100, 250, 300, 1000). Rule S3."""
    netdev_budget_usecs_default: int
    """Boot value of net.core.netdev_budget_usecs: two jiffies in microseconds, rounded down."""

    def __init__(self, hz: int) -> None:
        """Raises ConfigError when no kernel can be built with this `hz`."""
        if hz not in VALID_HZ:
            nearest = min(VALID_HZ, key=lambda valid: abs(valid - hz))
            raise ConfigError(f"HZ={hz}: a kernel has 100, 250, 300 or 1000; the nearest is {nearest}")
        self.hz = hz
        self.tick_ns = (1_000_000_000 + hz // 2) // hz
        self.max_softirq_time = self.msecs_to_jiffies(2)
        self.netdev_budget_usecs_default = 2 * 1_000_000 // hz

    def at(self, now_ns: int) -> int:
        """Jiffies that have begun at virtual time `now_ns` >= 0; 0 during the first tick."""
        return now_ns // self.tick_ns

    def start_ns(self, jiffy: int) -> int:
        """The first nanosecond at which `at` says `jiffy`."""
        return jiffy * self.tick_ns

    def deadline_ns(self, now_ns: int, jiffies: int) -> int:
        """The first nanosecond at which `jiffies` more have begun than at `now_ns`."""
        return (now_ns // self.tick_ns + jiffies) * self.tick_ns

    def usecs_to_jiffies(self, usecs: int) -> int:
        """The fewest whole jiffies that are not shorter than `usecs` >= 0.

        At HZ=300 the kernel multiplies by a rounded reciprocal; that gives the same for every `usecs` below 40 minutes.
        """
        assert usecs >= 0, f"a time span of {usecs} us"
        return min(-(-usecs * self.hz // 1_000_000), MAX_JIFFY_OFFSET)

    def msecs_to_jiffies(self, msecs: int) -> int:
        """The fewest whole jiffies that are not shorter than `msecs`; a negative one is forever, as in the kernel."""
        if msecs < 0:
            return MAX_JIFFY_OFFSET
        return min(-(-msecs * self.hz // 1_000), MAX_JIFFY_OFFSET)

    def __repr__(self) -> str:
        return f"Jiffies(hz={self.hz})"
