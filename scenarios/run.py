"""Running a built machine: on the live screen, as batch lines, or to one JSON document.

Models: the three ways to show a run, and the end of each: by itself, by `q`, by a signal.
Leaves out: anything that decides what the machine does. The same scenario and seed give the same bytes in all three.
"""

from __future__ import annotations

import shlex
import signal
import sys
from pathlib import Path
from typing import Final, TextIO

import msgspec
import trio
from rich.console import Console

from emu.clock import NEVER
from emu.completion import complete
from emu.errors import InvariantError
from monitor.batch import BatchWriter
from monitor.history import History
from monitor.identities import broken_identities
from monitor.live import live
from monitor.signals import watch_signals
from monitor.snapshot import Snapshot
from monitor.svg import export_svg
from monitor.terminal import Terminal, can_live
from scenarios.build import Built, build
from scenarios.machine import Sampler
from scenarios.observe import snapshot
from scenarios.options import TOO_EARLY, MountOptions, RunOptions
from scenarios.output import open_output
from scenarios.pace import WallPace
from scenarios.save import save, saved_text
from scenarios.schema import Scenario
from scenarios.shown import shown

INTERRUPTED: Final = 130
LINES_PER_RUN: Final = 20
SHORTEST_INTERVAL_NS: Final = 1_000_000
UNKNOWN_LENGTH_INTERVAL_NS: Final = 10_000_000
FASTER: Final = 2.0


def run_scenario(scenario: Scenario, options: RunOptions) -> int:
    """Build and run `scenario`, show it as `options` say. Returns the exit code: 0, or 130 after a Ctrl-C."""
    try:
        built = build(scenario, options.loaded.origin, options.seed)
    except KeyboardInterrupt as error:
        raise KeyboardInterrupt(TOO_EARLY) from error
    for note in built.notes:
        print(note, file=sys.stderr)
    with open_output(options.output) as out:
        run = _Run(built, options, out)
        trio.run(run.main, restrict_keyboard_interrupt_to_checkpoints=True)
        run.report()
    if run.stopped_by is not None:
        return INTERRUPTED
    return run.shell_code or 0


class _Run:
    """One run: the machine, who looks at it, and how it was ended."""

    def __init__(self, built: Built, options: RunOptions, out: TextIO) -> None:
        self.built = built
        self.options = options
        self.out = out
        self.stopped_by: int | None = None
        """The signal that ended it, None if none did."""
        self.finished = False
        self.history = History()
        self._scope = trio.CancelScope()
        self._console = Console(file=out)
        has_shell = options.mount is not None and options.mount.shell is not None
        self._live = not options.json and not options.batch and not has_shell and can_live(self._console)
        self._batch = BatchWriter(out.write) if not options.json and not self._live and not has_shell else None
        self._pace: WallPace | None = None
        self.shell_code: int | None = None
        """What the command of a shell exited with."""
        self._over = trio.Event()
        self._unmounted = False
        if not self._live:
            machine = built.machine
            machine.add(Sampler(machine.rank(), machine.clock, self._interval_ns(), self._sample))

    def _interval_ns(self) -> int:
        if self.built.until_ns >= NEVER:
            return UNKNOWN_LENGTH_INTERVAL_NS
        return max(self.built.until_ns // LINES_PER_RUN, SHORTEST_INTERVAL_NS)

    def _sample(self, now_ns: int) -> None:
        """A batch line, and the ledger's check."""
        machine = self.built.machine
        machine.ledger.check(now_ns)
        if self._batch is not None:
            taken = self.snapshot()
            self.history.push(taken)
            self._batch.interval(taken)
            self.out.flush()

    # ---------------------------------------------------------------- SnapshotSource and RunControls

    def snapshot(self, whole: bool = False) -> Snapshot:
        """The numbers now; with `whole`, also those that no view shows."""
        pace = self._pace
        return snapshot(
            self.built,
            self.built.machine.clock.reached_ns,
            finished=self.finished,
            paused=pace is not None and pace.paused,
            speed=pace.speed if pace is not None else None,
            command=self.options.command,
            whole=whole,
        )

    def pause(self) -> None:
        """Stop virtual time."""
        self._paced().pause()

    def resume(self) -> None:
        """Let it go on."""
        self._paced().resume()

    def step(self) -> None:
        """Let a little of it pass."""
        self._paced().step()

    def faster(self) -> None:
        """Twice the speed."""
        self._paced().scale(FASTER)

    def slower(self) -> None:
        """Half the speed."""
        self._paced().scale(1 / FASTER)

    def quit(self) -> None:
        """End the run."""
        self._scope.cancel()

    async def command(self, line: str) -> str:
        """Run a command at the present."""
        return await self.built.user.command(line)

    def complete(self, text: str) -> tuple[str, list[str]]:
        """What of `text` stays, and what its last word may become."""
        return complete(self.built.user.commands, text)

    def save(self) -> str:
        """Save the scenario with the commands so far into the working directory."""
        mount = self.options.mount
        ends_ns = self.built.machine.clock.reached_ns if mount is not None and mount.endless else None
        path = save(self.options.loaded, self.built.seed, self.built.user.done, Path(), ends_ns)
        return f"saved: softnet run {shlex.quote(str(path))} repeats this run, with its commands up to now"

    def _paced(self) -> WallPace:
        assert self._pace is not None, "only a live run has a pace"
        return self._pace

    # ---------------------------------------------------------------- the run

    async def main(self) -> None:
        """Run the machine to its end, or until somebody ends it."""
        terminal = Terminal(self._console) if self._live else None
        mount = self.options.mount
        async with trio.open_nursery() as nursery:
            await nursery.start(watch_signals, self._stop, terminal)
            if terminal is not None or mount is not None:
                self._pace = WallPace(self.built.machine.clock, self.built.scenario.run.speed, trio.current_time)
                self._pace.ends_when_quiet = mount is None
                self.built.user.poke = self._pace.poke
            with self._scope:
                if mount is None:
                    await self._watched(terminal, nursery)
                else:
                    await self._mounted(mount, terminal, nursery)
            if mount is not None and not self._over.is_set():
                self.built.machine.end()
                self._paced().poke()
                await self._over.wait()
            nursery.cancel_scope.cancel()

    async def _watched(self, terminal: Terminal | None, nursery: trio.Nursery) -> None:
        """The run, on the screen if there is one."""
        if terminal is None:
            await self._run_machine()
        else:
            nursery.start_soon(self._run_machine)
            await live(self, self, terminal, history=self.history)

    async def _mounted(self, mount: MountOptions, terminal: Terminal | None, nursery: trio.Nursery) -> None:
        """The run, with its control tree as a file system; for a shell, as long as that runs."""
        from monitor.control_files import ControlFileSystem
        from monitor.mount import mounted
        from scenarios.caretaker import caretaker
        from scenarios.mounted import OPEN_DIRECTORIES, UserFiles
        from scenarios.shell import places, run_shell

        files = UserFiles(self.built.user, self._note)
        if mount.endless:
            self.built.until_ns = NEVER
        if mount.shell is None:
            assert mount.directory is not None, "a tree is mounted somewhere, or for a shell"
            system = ControlFileSystem(files)
            async with (
                caretaker(mount.directory),
                mounted(system, mount.directory, read_only=mount.read_only, unmounted=self._taken_away),
            ):
                print(f"mounted on {shown(str(mount.directory))} until this run ends", file=sys.stderr)
                nursery.start_soon(self._run_machine)
                if terminal is None:
                    await self._over.wait()
                else:
                    await live(self, self, terminal, history=self.history)
            return
        with places() as (root, made):
            system = ControlFileSystem(files, OPEN_DIRECTORIES, str(root / "real"))
            async with (
                caretaker(root / "tree", made) as taker,
                mounted(system, root / "tree", read_only=mount.read_only, unmounted=self._taken_away),
            ):
                nursery.start_soon(self._run_machine)
                name = self.built.scenario.scenario.name
                self.shell_code = await run_shell(root, mount.shell, name, taker.know_shell)

    async def _run_machine(self) -> None:
        machine = self.built.machine
        await machine.run(self.built.until_ns, self._pace)
        self.finished = True
        self.built.user.finish()
        self.built.nic.advance(machine.clock.reached_ns)
        self._over.set()

    def _note(self, text: str) -> None:
        machine = self.built.machine
        machine.net.events.note(machine.clock.reached_ns, None, text)

    def _taken_away(self) -> None:
        """Somebody unmounted the tree: nobody can come any more."""
        self._unmounted = True
        self._scope.cancel()

    def _stop(self, number: int) -> bool:
        if number == signal.SIGINT and self.options.mount is not None and self.options.mount.shell is not None:
            return False  # it is for the command in the shell
        self.stopped_by = number
        self._scope.cancel()
        return True

    # ---------------------------------------------------------------- afterwards

    def report(self) -> None:
        """Print the summary or the document, and write the picture."""
        self.built.machine.ledger.check(self.built.machine.clock.reached_ns)
        last = self.snapshot(whole=self.options.json)
        broken = broken_identities(last)
        if broken:
            raise InvariantError("; ".join(broken))
        rates = self.history.push(last)
        if self.options.svg is not None:
            title = f"softnet {last.meta.scenario}"
            picture = export_svg(last, rates, self.history.samples(), title)
            with open_output(self.options.svg) as file:
                file.write(picture)
        mount = self.options.mount
        if mount is not None and mount.save is not None:
            text = saved_text(self.options.loaded, self.built.seed, self.built.user.done, last.meta.now_ns)
            with open_output(mount.save) as file:
                file.write(text)
            print(f"saved: softnet run {shlex.quote(str(mount.save))} repeats this run", file=sys.stderr)
        if self.options.json:
            document = msgspec.json.encode(last, order="deterministic")
            self.out.write(msgspec.json.format(document, indent=2).decode() + "\n")
        else:
            (self._batch or BatchWriter(self.out.write)).end(last)
        if self._unmounted:
            print(f"unmounted by somebody at {last.meta.now_ns} ns of virtual time", file=sys.stderr)
        if self.finished:
            for where in self.built.user.left():
                print(f"not run, for the run was over: {where}", file=sys.stderr)
        if self.stopped_by is not None:
            name = signal.Signals(self.stopped_by).name
            print(f"stopped by {name} at {last.meta.now_ns} ns of virtual time", file=sys.stderr)
