"""The pace of a live run: virtual time may not run ahead of wall time times speed. Pause, step and speed never change a result.

Models: a pace for watching. Leaves out: anything that decides; a run without a pace gives the same bytes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import trio

from emu.clock import NEVER, Clock

LONGEST_SLEEP_S: Final = 0.05
SHORTEST_SLEEP_S: Final = 0.002
STEP_NS: Final = 100_000
"""Virtual time that one step lets pass."""
FASTEST: Final = 1000.0
SLOWEST: Final = 1e-7


class WallPace:
    """Paces a clock. `speed` is virtual seconds a wall second, None for as fast as it goes; `wall` tells wall seconds."""

    def __init__(self, clock: Clock, speed: float | None, wall: Callable[[], float]) -> None:
        self._clock = clock
        self._wall = wall
        self.speed = speed
        self.paused = False
        self.ends_when_quiet = True
        self._base_ns = 0
        self._base_wall_s = self._started_s = wall()
        self._changed = trio.Event()

    @property
    def limit_ns(self) -> int:
        """Virtual time up to which turns may be granted now."""
        if self.paused:
            return self._base_ns
        if self.speed is None:
            return NEVER
        return self._base_ns + int((self._wall() - self._base_wall_s) * self.speed * 1e9)

    async def wait(self, next_ns: int) -> None:
        """Sleep until the turn at `next_ns` may be due, the pace was changed, or a while has passed."""
        sleep_s = LONGEST_SLEEP_S
        if self.paused or next_ns >= NEVER:
            sleep_s = float("inf")
        elif self.speed is not None:
            sleep_s = min(max((next_ns - self.limit_ns) / (self.speed * 1e9), SHORTEST_SLEEP_S), LONGEST_SLEEP_S)
        with trio.move_on_after(sleep_s):
            await self._changed.wait()

    def _rebase(self) -> None:
        """What passed until now passed at the old pace; from here on the new one counts."""
        reached = self._clock.reached_ns
        self._base_ns = (
            reached if self.speed is None or self.paused else max(min(self.limit_ns, reached), self._base_ns)
        )
        self._base_wall_s = self._wall()

    def _announce(self) -> None:
        self._clock.limit_ns = self.limit_ns
        self.poke()

    def poke(self) -> None:
        """Somebody wants a turn at the present: let the clock look again."""
        self._changed.set()
        self._changed = trio.Event()

    def pause(self) -> None:
        """Let no further turn be granted."""
        if not self.paused:
            self._rebase()
            self.paused = True
            self._announce()

    def resume(self) -> None:
        """Go on from where it was paused."""
        if self.paused:
            self._base_ns = max(self._base_ns, self._clock.reached_ns)
            self._base_wall_s = self._wall()
            self.paused = False
            self._announce()

    def step(self) -> None:
        """Pause, and let STEP_NS of virtual time pass, or as much as there is to the next turn if that is further."""
        self.pause()
        self._base_ns = (
            max(self._base_ns, self._clock.reached_ns, min(self._clock.next_turn_ns(), NEVER - STEP_NS)) + STEP_NS
        )
        self._announce()

    def scale(self, factor: float) -> None:
        """Change the speed by `factor`; a run without limit first gets the speed it has had."""
        self._rebase()
        elapsed_s = max(self._wall() - self._started_s, 1e-3)
        speed = self.speed if self.speed is not None else max(self._clock.reached_ns / 1e9 / elapsed_s, SLOWEST)
        self.speed = min(max(speed * factor, SLOWEST), FASTEST)
        self._announce()
