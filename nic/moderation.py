"""Interrupt moderation: a fixed interval, or one that DIM chooses.

Models: C1 (2 us granularity, at most 8160 us), C11 (dynamic interrupt moderation as ice uses it: profiles, samples, the search), C12,
rx-usecs-high (INTRL, the least interval between two interrupts whatever DIM chooses).
Leaves out: rx-frames (ice has none), the delay of the work item that applies a profile.
Source: rules C1, C4, C11-C13; lib/dim and ethernet/intel/ice (6.9) for what is decided, not how it is written.
"""

from __future__ import annotations

import enum
from errno import EINVAL
from typing import Final

from emu.errors import ControlError

ITR_GRANULARITY_US: Final = 2
ITR_MAX_US: Final = 8160
INTRL_GRANULARITY_US: Final = 4
INTRL_MAX_US: Final = 236
DEFAULT_RX_USECS: Final = 50

RX_PROFILES_US: Final = (2, 8, 16, 62, 126)
START_PROFILE: Final = 1
EVENTS_PER_DECISION: Final = 64
SIGNIFICANT_PERCENT: Final = 10
TIRED_STEPS: Final = 2 * len(RX_PROFILES_US)
SAMPLE_TOO_OLD_NS: Final = 1_000_000_000


class Tune(enum.Enum):
    """Where the search for the best profile stands."""

    PARKING_ON_TOP = enum.auto()
    """Found: stays until the traffic changes."""
    PARKING_TIRED = enum.auto()
    """Gave up after `TIRED_STEPS` steps: rests as many decisions."""
    GOING_RIGHT = enum.auto()
    """Trying longer intervals."""
    GOING_LEFT = enum.auto()
    """Trying shorter intervals."""


Rates = tuple[int, int, int]
"""Bytes, packets and events a millisecond, rounded up."""


def compare(now: Rates, before: Rates) -> int:
    """1 if `now` is better, -1 if worse, 0 if the same: bytes first, then packets, then events (fewer is better)."""
    for this, that, sign in zip(now, before, (1, 1, -1), strict=True):
        if not that:
            # Nothing to compare with. For events that settles it as the same.
            return 1 if this and sign > 0 else 0
        if 100 * abs(this - that) // that > SIGNIFICANT_PERCENT:
            return sign if this > that else -sign
    return 0


class Dim:
    """One vector's search. Feed it the running totals at the end of each poll that completes."""

    __slots__ = (
        "_bytes",
        "_events",
        "_measuring",
        "_packets",
        "_start_ns",
        "decisions",
        "previous",
        "profile",
        "steps_left",
        "steps_right",
        "tired",
        "tune",
    )

    def __init__(self) -> None:
        self.profile = START_PROFILE
        """Index into RX_PROFILES_US."""
        self.tune = Tune.PARKING_ON_TOP
        self.steps_left = 0
        self.steps_right = 0
        self.tired = 0
        self.previous: Rates = (0, 0, 0)
        self.decisions = 0
        self._measuring = False
        self._start_ns = 0
        self._events = 0
        self._packets = 0
        self._bytes = 0

    def sample(self, now_ns: int, events: int, packets: int, total_bytes: int) -> bool:
        """Take the totals as of `now_ns`; after 64 events decide. Returns whether `profile` changed."""
        if self._measuring and now_ns - self._start_ns < SAMPLE_TOO_OLD_NS:
            seen = events - self._events
            if seen < EVENTS_PER_DECISION:
                return False
            span_us = (now_ns - self._start_ns) // 1000
            if span_us:
                rates = (
                    -(-(total_bytes - self._bytes) * 1000 // span_us),
                    -(-(packets - self._packets) * 1000 // span_us),
                    # The rate is that of the full count, whatever came on top of it.
                    -(-EVENTS_PER_DECISION * 1000 // span_us),
                )
                if self.decide(rates):
                    # The new profile is measured from the next sample on.
                    self._measuring = False
                    return True
        self._measuring = True
        self._start_ns = now_ns
        self._events = events
        self._packets = packets
        self._bytes = total_bytes
        return False

    def decide(self, rates: Rates) -> bool:
        """One decision on the rates since the last. Returns whether `profile` changed."""
        self.decisions += 1
        profile = self.profile
        tune = self.tune
        if tune is Tune.PARKING_ON_TOP:
            if compare(rates, self.previous):
                self._leave_parking()
        elif tune is Tune.PARKING_TIRED:
            self.tired -= 1
            if not self.tired:
                self._leave_parking()
        else:
            if compare(rates, self.previous) <= 0:
                self._turn()
            if self._is_on_top():
                self._park(Tune.PARKING_ON_TOP)
            else:
                self._step()
        if not (tune is self.tune is Tune.PARKING_ON_TOP):
            self.previous = rates
        return self.profile != profile

    def _turn(self) -> None:
        if self.tune is Tune.GOING_RIGHT:
            self.tune = Tune.GOING_LEFT
            self.steps_left = 0
        else:
            self.tune = Tune.GOING_RIGHT
            self.steps_right = 0

    def _is_on_top(self) -> bool:
        """The way up here was longer than one step, and one step beyond was no better."""
        if self.tune is Tune.GOING_RIGHT:
            return self.steps_left > 1 and self.steps_right == 1
        return self.steps_right > 1 and self.steps_left == 1

    def _step(self) -> None:
        if self.tired == TIRED_STEPS:
            self._park(Tune.PARKING_TIRED)
        elif self.tune is Tune.GOING_RIGHT and self.profile < len(RX_PROFILES_US) - 1:
            self.profile += 1
            self.steps_right += 1
            self.tired += 1
        elif self.tune is Tune.GOING_LEFT and self.profile:
            self.profile -= 1
            self.steps_left += 1
            self.tired += 1
        else:
            self._park(Tune.PARKING_ON_TOP)

    def _park(self, where: Tune) -> None:
        self.steps_left = self.steps_right = 0
        if where is Tune.PARKING_ON_TOP:
            self.tired = 0
        self.tune = where

    def _leave_parking(self) -> None:
        self.tune = Tune.GOING_LEFT if self.profile else Tune.GOING_RIGHT
        self._step()


class Moderation:
    """One vector's receive interval: `itr_ns` is what the device has now, never below `rx_usecs_high`."""

    __slots__ = ("adaptive", "dim", "itr_ns", "rx_usecs", "rx_usecs_high")

    def __init__(self, rx_usecs: int = DEFAULT_RX_USECS, adaptive: bool = True, rx_usecs_high: int = 0) -> None:
        self.rx_usecs = check_rx_usecs(rx_usecs)
        self.rx_usecs_high = check_rx_usecs_high(rx_usecs_high)
        self.adaptive = adaptive
        self.dim = Dim()
        self.itr_ns = 0
        self._apply()

    def set(self, rx_usecs: int | None = None, adaptive: bool | None = None, rx_usecs_high: int | None = None) -> None:
        """ethtool -C: new settings from now on; turning DIM on begins a new search. ControlError EINVAL out of range."""
        if rx_usecs is not None:
            self.rx_usecs = check_rx_usecs(rx_usecs)
        if rx_usecs_high is not None:
            self.rx_usecs_high = check_rx_usecs_high(rx_usecs_high)
        if adaptive is not None and adaptive is not self.adaptive:
            self.adaptive = adaptive
            self.dim = Dim()
        self._apply()

    def fresh(self) -> Moderation:
        """One with the same settings, for a new vector."""
        return Moderation(self.rx_usecs, self.adaptive, self.rx_usecs_high)

    def restart(self) -> None:
        """The vector serves other rings from now on: DIM begins a new search."""
        self.dim = Dim()
        self._apply()

    def sample(self, now_ns: int, events: int, packets: int, total_bytes: int) -> bool:
        """After a poll that completed: let DIM decide. Returns whether a new interval was written to the device."""
        if self.adaptive and self.dim.sample(now_ns, events, packets, total_bytes):
            self._apply()
            return True
        return False

    def _apply(self) -> None:
        interval_us = RX_PROFILES_US[self.dim.profile] if self.adaptive else self.rx_usecs
        self.itr_ns = 1000 * max(interval_us, self.rx_usecs_high)


def check_rx_usecs(rx_usecs: int) -> int:
    """What the device keeps of `rx_usecs`: the even number below. ControlError EINVAL outside 0 to 8160."""
    if not 0 <= rx_usecs <= ITR_MAX_US:
        raise ControlError(EINVAL, f"rx-usecs {rx_usecs} is out of range: the device takes 0 to {ITR_MAX_US}")
    return rx_usecs // ITR_GRANULARITY_US * ITR_GRANULARITY_US


def check_rx_usecs_high(rx_usecs_high: int) -> int:
    """What the device keeps of `rx_usecs_high`: the multiple of 4 below. ControlError EINVAL but for 0 (none) and 4 to 236."""
    if rx_usecs_high and not INTRL_GRANULARITY_US <= rx_usecs_high <= INTRL_MAX_US:
        raise ControlError(
            EINVAL,
            f"rx-usecs-high {rx_usecs_high} is out of range: the device takes 0 (no limit), or 4 to {INTRL_MAX_US}",
        )
    return rx_usecs_high // INTRL_GRANULARITY_US * INTRL_GRANULARITY_US
