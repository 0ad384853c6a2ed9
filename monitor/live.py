"""The live screen: a task that looks at a run a few times a second, and the keys that steer the run.

It knows a run only by two protocols: where snapshots come from, and what may be asked of the pace. Neither changes a result.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Sequence
from typing import Final, Protocol

import trio

from emu.errors import ControlError, InvariantError
from monitor.command_line import CommandLine
from monitor.history import History
from monitor.identities import broken_identities
from monitor.keys import read_keys
from monitor.navigation import Navigation
from monitor.render import frame
from monitor.snapshot import Snapshot
from monitor.terminal import Terminal

FRAMES_PER_SECOND: Final = 5.0


class SnapshotSource(Protocol):
    """A run to look at: a machine in this process, a run log, a machine elsewhere."""

    def snapshot(self) -> Snapshot:
        """The numbers now. `meta` tells pause, speed and end."""
        ...


class RunControls(Protocol):
    """The pace of a run."""

    def pause(self) -> None:
        """Let virtual time stand still; nothing happens if it does."""
        ...

    def resume(self) -> None:
        """Let it go on; nothing happens if it does."""
        ...

    def step(self) -> None:
        """Let a paused run make one step."""
        ...

    def faster(self) -> None:
        """More virtual time per wall time."""
        ...

    def slower(self) -> None:
        """Less virtual time per wall time."""
        ...

    def quit(self) -> None:
        """End the run."""
        ...

    async def command(self, line: str) -> str:
        """Run a command at the present; return what it prints. ControlError if it is refused."""
        ...

    def complete(self, text: str) -> tuple[str, Sequence[str]]:
        """What of `text` stays, and what its last word may become."""
        ...

    def save(self) -> str:
        """Save the run as a scenario that repeats it. Returns the sentence about it; OSError if it cannot be written."""
        ...


class LiveScreen:
    """What the screen shows beside the run, and the meaning of the keys: those that steer the run, those that choose what is seen."""

    def __init__(self, source: SnapshotSource, controls: RunControls) -> None:
        self._source = source
        self._controls = controls
        self.navigation = Navigation()
        self.ended = False
        self.command: CommandLine | None = None
        """The line being typed, or the answer to the last one."""
        self._typed: list[str] = []
        """Lines handed in during this run, the oldest first."""
        self._take: Callable[[str], bool] | None = None
        """What to do with the line being typed if it is no command; False: it found nothing."""
        self._searched: list[str] = []
        self._filtered: list[str] = []
        self._handed_in: list[str] = []
        self._line_came = trio.Event()
        self._changed = trio.Event()
        self._keys: dict[str, Callable[[], None]] = {
            "q": self._quit,
            "f10": self._quit,
            " ": self._pause_or_resume,
            ".": self._step,
            "+": controls.faster,
            "=": controls.faster,
            "-": controls.slower,
            "c-l": lambda: None,
            ":": self._open_command,
            "/": self._open_search,
            "f3": self._open_search,
            "\\": self._open_filter,
            "f4": self._open_filter,
            "s": self._save,
        }

    def press(self, key: str) -> None:
        """Do what `key` means and draw soon; keys without a meaning do nothing."""
        if self.command is not None:
            self._type(self.command, key)
            self._changed.set()
            return
        if self.navigation.press(key):
            self._changed.set()
            return
        action = self._keys.get(key)
        if action is not None:
            action()
            self._changed.set()

    async def wait_frame(self, seconds: float) -> None:
        """Until the next frame is due, or a key changed something."""
        with trio.move_on_after(seconds):
            await self._changed.wait()
        self._changed = trio.Event()

    async def run_commands(self) -> None:
        """Hand the lines that were typed to the run, one after another, and show its answers."""
        while True:
            while self._handed_in:
                said = self._handed_in.pop(0)
                refused = False
                try:
                    printed = await self._controls.command(said)
                except ControlError as error:
                    printed, refused = f"{error.errno_name}: {error.message}", True
                if self.command is not None:
                    self.command.answered(said, printed, refused)
                self._changed.set()
            await self._line_came.wait()
            self._line_came = trio.Event()

    def _open_command(self) -> None:
        self.command = CommandLine(self._controls.complete, self._typed)
        self._take = None

    def _open_search(self) -> None:
        self.command = self.navigation.searcher(self._searched)
        self._take = self.navigation.search

    def _open_filter(self) -> None:
        def show_only(words: str) -> bool:
            self.navigation.show_only(words)
            return True

        self.command = self.navigation.filterer(self._filtered)
        self._take = show_only

    def _type(self, command: CommandLine, key: str) -> None:
        if key == "escape" or (key in ("c-h", "c-d") and not command.text and not command.busy):
            self.command = None
            return
        if self._take is not None and key in ("c-m", "c-j") and not command.text.strip():
            self._take("")
            self.command = None
            return
        said = command.press(key)
        if said is not None and self._take is not None:
            if self._take(said):
                self.command = None
            else:
                command.answered(said, "no row has that", refused=True)
        elif said is not None:
            self._handed_in.append(said)
            self._line_came.set()

    def _save(self) -> None:
        command = CommandLine(self._controls.complete, self._typed)
        self._take = None
        try:
            command.answered("save", self._controls.save())
        except OSError as error:
            command.answered("save", f"{error.filename}: {error.strerror}", refused=True)
        self.command = command

    def _quit(self) -> None:
        self.ended = True
        self._controls.quit()

    def _pause_or_resume(self) -> None:
        if self._source.snapshot().meta.paused:
            self._controls.resume()
        else:
            self._controls.pause()

    def _step(self) -> None:
        if not self._source.snapshot().meta.paused:
            self._controls.pause()
        self._controls.step()


async def live(
    source: SnapshotSource,
    controls: RunControls,
    terminal: Terminal,
    *,
    history: History | None = None,
    frames_per_second: float = FRAMES_PER_SECOND,
    stay: bool = True,
) -> None:
    """Take `terminal` and show the run until `q`, or until the terminal hangs up (both tell `controls.quit`).

    At the end of the run the last frame stays until `q` if `stay` and somebody can press it; otherwise the function returns.
    Cancel it to end it from outside. The terminal is given back in every case. Raises InvariantError if a frame's
    numbers do not add up.
    """
    history = history if history is not None else History()
    screen = LiveScreen(source, controls)
    with terminal:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(read_keys, terminal.stdin_fd, screen.press)
            nursery.start_soon(screen.run_commands)
            while not screen.ended:
                snapshot = source.snapshot()
                broken = broken_identities(snapshot)
                if broken:
                    raise InvariantError("; ".join(broken))
                rates = history.push(snapshot)
                screen.navigation.look(snapshot, rates)
                width, height = terminal.console.size
                view = screen.navigation.view(width, height, terminal.unicode, terminal.keys, screen.command)
                try:
                    terminal.show(frame(snapshot, rates, history.samples(), view, history.change()))
                except OSError as error:
                    if error.errno not in (errno.EIO, errno.ENXIO, errno.EBADF):
                        raise
                    controls.quit()
                    break
                if snapshot.meta.finished and not (stay and terminal.keys):
                    break
                await screen.wait_frame(1 / frames_per_second)
            nursery.cancel_scope.cancel()
