"""The person at the machine: an actor whose turns are control writes, at stated times or at the present.

Models: commands of a scenario's `[[at]]`, run at their virtual times; commands of a live run, run at the present, and kept with
their times so that the run can be repeated. A command comes after everything else that happens at its nanosecond.
Leaves out: what a command does (`emu.commands`), the time it takes to type it.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass
from errno import EROFS
from typing import Final, TypeVar

import trio

from cpus.hotplug import Hotplug
from emu.clock import KIND_USER, NEVER, Actor, Clock
from emu.commands import Commands, echo_line
from emu.errors import ConfigError, ControlError
from emu.events import EventLog

T = TypeVar("T")

OVER: Final = "the run is over: nothing can be changed any more"


@dataclass(frozen=True, slots=True)
class Done:
    """A command that was run."""

    at_ns: int
    line: str
    printed: str
    asked: bool
    """It only showed something."""
    live: bool
    """It was given during the run, not by the scenario."""


class User(Actor):
    """Runs `commands` in its turns. `poke` lets a waiting clock look again; a live run sets it to its pace's."""

    kind = KIND_USER

    def __init__(self, rank: int, clock: Clock, commands: Commands, events: EventLog, hotplug: Hotplug) -> None:
        super().__init__("user", rank)
        self.commands = commands
        self.done: list[Done] = []
        """In the order of their turns; refused ones are not among them."""
        self.poke: Callable[[], None] = _nothing
        self._clock = clock
        self._events = events
        self._hotplug = hotplug
        hotplug.on_settled.append(self._settled)
        self._scheduled: list[tuple[int, int, str, str]] = []
        self._wanted: list[_Wanted] = []
        self._over = False

    # ---------------------------------------------------------------- before the run

    def schedule(self, at_ns: int, line: str, where: str) -> None:
        """Let `line` be run at `at_ns`; `where` it was written is for the error. ControlError if it is no command."""
        self.commands.asks(line)
        heapq.heappush(self._scheduled, (at_ns, len(self._scheduled), line, where))

    # ---------------------------------------------------------------- during the run

    async def present(self, action: Callable[[], T], changes: bool = False) -> T:
        """Do `action`, which may change something, in a turn at the present.

        What it raises is raised here; after the run it is done at once.
        """
        if not self._over:
            wanted = _Wanted(action, changes)
            self._wanted.append(wanted)
            self._clock.wake(self, max(self._clock.reached_ns, self.local_now_ns))
            self.poke()
            await wanted.over.wait()
            if wanted.error is not None:
                raise wanted.error
            if wanted.came:
                return wanted.result  # type: ignore[return-value]
        return action()

    async def command(self, line: str) -> str:
        """Run `line` at the present and return what it prints. ControlError if it is refused."""
        return await self.present(lambda: self._command(line), not self.commands.asks(line))

    async def write(self, path: str, text: str) -> None:
        """Write a control file at the present, as `echo TEXT > PATH` does. ControlError if it is refused."""
        await self.present(lambda: self._write(path, text), changes=True)

    def _command(self, line: str) -> str:
        asked = self.commands.asks(line)
        if self._over and not asked:
            raise ControlError(EROFS, OVER)
        printed = self.commands.run(line)
        self._keep(Done(self._clock.reached_ns, line, printed, asked, True))
        return printed

    def _write(self, path: str, text: str) -> None:
        if self._over:
            raise ControlError(EROFS, OVER)
        self.commands.tree.write(path, text)
        line = echo_line(text, self.commands.tree.resolve(path))
        self._keep(Done(self._clock.reached_ns, line, "", False, True))

    # ---------------------------------------------------------------- the actor

    async def run(self) -> None:
        """The actor. Raises ConfigError when a scheduled command is refused."""
        await self._clock.enter(self, 0 if self._wanted else self._next_ns())
        while True:
            now_ns = self.local_now_ns
            while self._scheduled and self._scheduled[0][0] <= now_ns and not self._hotplug.under_way:
                _, _, line, where = heapq.heappop(self._scheduled)
                try:
                    asked = self.commands.asks(line)
                    printed = self.commands.run(line)
                except ControlError as error:
                    raise ConfigError(f"{where}: {error.errno_name}: {error.message}") from error
                self._keep(Done(now_ns, line, printed, asked, False))
            wanted, self._wanted = self._wanted, []
            for want in wanted:
                if want.changes and self._hotplug.under_way:
                    self._wanted.append(want)
                else:
                    want.do()
            await self._clock.wait_open(self, NEVER if self._hotplug.under_way else self._next_ns())

    def _keep(self, done: Done) -> None:
        """Keep a command that was run; one that changed something is an event, too."""
        self.done.append(done)
        if not done.asked:
            self._events.note(done.at_ns, None, done.line)

    def finish(self) -> None:
        """The run is over: who waits is answered, and nothing can be changed from now on."""
        self._over = True
        wanted, self._wanted = self._wanted, []
        for want in wanted:
            want.over.set()

    def left(self) -> list[str]:
        """Scheduled commands that were not run, each with its place: those that still wait for a CPU when the run is over."""
        return [where for _, _, _, where in sorted(self._scheduled)]

    def _settled(self, at_ns: int) -> None:
        """No CPU is on its way any more: go on with what waited for that."""
        self._clock.wake(self, at_ns if self._wanted else max(at_ns, self._next_ns()))

    def _next_ns(self) -> int:
        return self._scheduled[0][0] if self._scheduled else NEVER


class _Wanted:
    """An action that waits for the user's turn."""

    def __init__(self, action: Callable[[], object], changes: bool) -> None:
        self.changes = changes
        self.over = trio.Event()
        self.came = False
        self.result: object = None
        self.error: Exception | None = None
        self._action = action

    def do(self) -> None:
        """Do it now."""
        try:
            self.result = self._action()
            self.came = True
        except Exception as error:
            self.error = error
        self.over.set()


def _nothing() -> None:
    pass
