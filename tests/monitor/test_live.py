"""The live task against an output that is looked at: when it ends, what it refuses, what a frame's keys ask for."""

from __future__ import annotations

import errno
import io
import os

import msgspec
import pytest
import trio
from rich.console import Console
from rich.text import Text

from emu.errors import InvariantError
from monitor.live import LiveScreen, live
from monitor.snapshot import Snapshot
from monitor.terminal import Terminal, can_live
from tests.monitor.demo import MadeUpRun
from tests.monitor.machine import MadeUpMachine


class Recorder(MadeUpRun):
    """Remembers what was asked."""

    def __init__(self) -> None:
        super().__init__(MadeUpMachine(2, 1))
        self.asked: list[str] = []

    def pause(self) -> None:
        self.asked.append("pause")
        super().pause()

    def resume(self) -> None:
        self.asked.append("resume")
        super().resume()

    def step(self) -> None:
        self.asked.append("step")

    def faster(self) -> None:
        self.asked.append("faster")

    def slower(self) -> None:
        self.asked.append("slower")

    def quit(self) -> None:
        self.asked.append("quit")


def terminal_without_keys() -> Terminal:
    read_end, write_end = os.pipe()
    os.close(write_end)
    os.close(read_end)
    console = Console(file=io.StringIO(), force_terminal=True, width=80, height=24, highlight=False, markup=False)
    return Terminal(console, read_end)


def written(terminal: Terminal) -> str:
    assert isinstance(terminal.console.file, io.StringIO)
    return terminal.console.file.getvalue()


async def test_without_a_keyboard_the_screen_ends_with_the_run() -> None:
    run, terminal = Recorder(), terminal_without_keys()
    run.machine.finished = True
    with trio.fail_after(5):
        await live(run, run, terminal)
    assert run.asked == []
    assert "2 QUEUES" in written(terminal)
    assert written(terminal).endswith("\x1b[?25h\x1b[?1049l")


async def test_a_frame_that_does_not_add_up_ends_the_run_loudly_and_gives_the_terminal_back() -> None:
    class Leaking(Recorder):
        def snapshot(self) -> Snapshot:
            sound = super().snapshot()
            totals = msgspec.structs.replace(sound.totals, read_frames=0)
            return msgspec.structs.replace(sound, totals=totals)

    run, terminal = Leaking(), terminal_without_keys()
    with pytest.raises(BaseExceptionGroup) as caught:
        await live(run, run, terminal)
    assert caught.group_contains(InvariantError, match="are accounted for")
    assert written(terminal).endswith("\x1b[?25h\x1b[?1049l")


async def test_a_terminal_that_hung_up_ends_the_run() -> None:
    class Gone(Terminal):
        def show(self, frame: Text) -> None:
            raise OSError(errno.EIO, "hung up")

    run = Recorder()
    terminal = terminal_without_keys()
    with trio.fail_after(5):
        await live(run, run, Gone(terminal.console, terminal.stdin_fd))
    assert run.asked == ["quit"]


async def test_cancelling_gives_the_terminal_back() -> None:
    run, terminal = Recorder(), terminal_without_keys()
    with trio.move_on_after(0.05):
        await live(run, run, terminal)
    assert not terminal.held
    assert written(terminal).endswith("\x1b[?25h\x1b[?1049l")


def test_keys_ask_the_run_and_unknown_keys_nothing() -> None:
    run = Recorder()
    screen = LiveScreen(run, run)
    for key in (" ", " ", ".", ".", "+", "=", "-", "z", "up", "f12"):
        screen.press(key)
    assert run.asked == ["pause", "resume", "pause", "step", "step", "faster", "faster", "slower"]
    assert not screen.ended


@pytest.mark.parametrize("key", ["q", "f10"])
def test_a_key_ends_screen_and_run(key: str) -> None:
    run = Recorder()
    screen = LiveScreen(run, run)
    screen.press(key)
    assert screen.ended
    assert run.asked == ["quit"]


def test_help_opens_and_escape_closes_it() -> None:
    run = Recorder()
    screen = LiveScreen(run, run)
    shown = []
    for key in ("?", "escape", "escape", "h", "f1", "f1"):
        screen.press(key)
        shown.append(screen.navigation.page == "help")
    assert shown == [True, False, False, True, False, True]


def test_a_file_and_a_dumb_terminal_get_no_live_screen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    assert can_live(Console(file=io.StringIO(), force_terminal=True))
    assert not can_live(Console(file=io.StringIO()))
    monkeypatch.setenv("TERM", "dumb")
    assert not can_live(Console(file=io.StringIO(), force_terminal=True))
