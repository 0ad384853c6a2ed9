"""A made-up machine on the real screen, for the tests that press keys and send signals; run it to look at the screen.

    python -m tests.monitor.demo [CPUS [QUEUES [FRAMES_A_SECOND]]]

Prints `ready` when the signals are watched, the summary at the end, and exits with 128 + the signal that ended it.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import trio
from rich.console import Console

from emu.errors import ControlError
from monitor.live import live
from monitor.signals import watch_signals
from monitor.snapshot import Snapshot
from monitor.summary import summary
from monitor.terminal import Terminal
from tests.monitor.machine import MadeUpMachine


class MadeUpRun:
    """Source and controls of a made-up machine that advances by 10 virtual ms with each look."""

    def __init__(self, machine: MadeUpMachine) -> None:
        self.machine = machine

    def snapshot(self) -> Snapshot:
        if not self.machine.paused:
            self.machine.advance(10_000_000)
        return self.machine.snapshot()

    def pause(self) -> None:
        self.machine.paused = True

    def resume(self) -> None:
        self.machine.paused = False

    def step(self) -> None:
        self.machine.advance(1_000_000)

    def faster(self) -> None:
        self.machine.speed = (self.machine.speed or 1.0) * 2

    def slower(self) -> None:
        self.machine.speed = (self.machine.speed or 1.0) / 2

    async def command(self, line: str) -> str:
        """Print the line; refuse `no`."""
        if line == "no":
            raise ControlError(22, "it is refused")
        return f"ran {line}\n"

    def complete(self, text: str) -> tuple[str, Sequence[str]]:
        """Two candidates."""
        return "", [word for word in ("echo ", "ethtool ") if word.startswith(text)]

    def save(self) -> str:
        """Save nothing."""
        return "saved"

    def quit(self) -> None:
        self.machine.finished = True


async def show(cpus: int, queues: int, frames_per_second: float) -> int:
    """Run until q or a signal; returns the exit code."""
    run = MadeUpRun(MadeUpMachine(cpus, queues))
    terminal = Terminal(Console(highlight=False, markup=False))
    code = 0
    async with trio.open_nursery() as nursery:

        def stop(number: int) -> None:
            nonlocal code
            code = 128 + number
            nursery.cancel_scope.cancel()

        await nursery.start(watch_signals, stop, terminal)
        print("ready", flush=True)
        await live(run, run, terminal, frames_per_second=frames_per_second)
        nursery.cancel_scope.cancel()
    print(summary(run.machine.snapshot()), end="", flush=True)
    return code


if __name__ == "__main__":
    cpus, queues, fps = [int(word) for word in sys.argv[1:]] + [8, 8, 5][len(sys.argv) - 1 :]
    sys.exit(trio.run(show, cpus, queues, float(fps), restrict_keyboard_interrupt_to_checkpoints=True))
