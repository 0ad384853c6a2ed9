"""The terminal is given back: whatever ends the run, at whatever moment, its modes, its cursor and its screen are as before."""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pexpect
import pyte
import pytest

from monitor.terminal import can_unicode


class Seat:
    """A user in front of a terminal of 80 x 24 in which the demo runs."""

    def __init__(
        self,
        *arguments: str,
        environment: dict[str, str] | None = None,
        size: tuple[int, int] = (24, 80),
        shell: str = "exec {} -m tests.monitor.demo",
    ) -> None:
        self.screen = pyte.Screen(size[1], size[0])
        self._stream = pyte.ByteStream(self.screen)
        self.raw = b""
        known = {key: value for key, value in os.environ.items() if key not in ("NO_COLOR", "COLUMNS", "LINES")}
        self.child = pexpect.spawn(
            "/bin/sh",
            ["-c", " ".join([shell.format(sys.executable), *arguments])],
            dimensions=size,
            env={**known, "TERM": "xterm-256color", "LC_ALL": "C.UTF-8", **(environment or {})},
            timeout=20,
        )
        self.modes_before = self.modes()

    def modes(self) -> list[Any]:
        return termios.tcgetattr(self.child.child_fd)

    def text(self) -> str:
        return "\n".join(self.screen.display)

    def look(self) -> None:
        """Take in what was written."""
        try:
            data = self.child.read_nonblocking(65536, timeout=0.05)
        except (pexpect.TIMEOUT, pexpect.EOF):
            return
        self.raw += data
        self._stream.feed(data)

    def wait_for(self, pattern: str) -> None:
        """Until `pattern` is on the screen."""
        end = time.monotonic() + 60
        while not re.search(pattern, self.text()):
            assert time.monotonic() < end, f"no {pattern!r} in\n{self.text()}"
            self.look()

    def wait_for_bytes(self, data: bytes) -> None:
        """Until `data` has been written, wherever on the screen it went since."""
        end = time.monotonic() + 60
        while data not in self.raw:
            assert time.monotonic() < end, f"no {data!r} in\n{self.text()}"
            self.look()

    def wait_end(self) -> int:
        """Until the process ended; its exit code, or minus the signal."""
        end = time.monotonic() + 60
        while self.child.isalive():
            assert time.monotonic() < end, f"still there:\n{self.text()}"
            self.look()
        self.look()
        self.child.close()
        code: int = self.child.exitstatus if self.child.exitstatus is not None else -self.child.signalstatus
        return code

    def assert_given_back(self) -> None:
        """Nothing of ours is left."""
        assert self.modes() == self.modes_before
        shown, hidden = self.raw.rfind(b"\x1b[?25h"), self.raw.rfind(b"\x1b[?25l")
        assert shown > hidden or hidden == -1
        left, entered = self.raw.rfind(b"\x1b[?1049l"), self.raw.rfind(b"\x1b[?1049h")
        assert left > entered or entered == -1


@pytest.fixture
def seat() -> Iterator[Seat]:
    seat = Seat("4", "4", "20")
    yield seat
    seat.child.close(force=True)


def wait_end_and_check(seat: Seat) -> int:
    """The end of the process, with a look at the terminal's modes before it is closed."""
    end = time.monotonic() + 60
    while seat.child.isalive():
        assert time.monotonic() < end, f"still there:\n{seat.text()}"
        seat.look()
    seat.look()
    seat.assert_given_back()
    return seat.wait_end()


def test_q_ends_the_run_with_its_summary_and_an_intact_terminal(seat: Seat) -> None:
    seat.wait_for("2 QUEUES")
    assert seat.modes() != seat.modes_before
    seat.child.send("q")
    assert wait_end_and_check(seat) == 0
    assert b"prod-a.toml: finished" in seat.raw[seat.raw.rfind(b"\x1b[?1049l") :]


def test_keys_pause_step_change_speed_and_show_help(seat: Seat) -> None:
    seat.wait_for("RUN")
    seat.child.send(" ")
    seat.wait_for("PAUSE")
    clock = re.search(r"\d\d:\d\d:\d\d\.\d{6}", seat.text())
    assert clock is not None
    seat.child.send("++-")
    seat.wait_for(r"x0\.5 ")
    assert clock.group() in seat.text()
    seat.child.send(".")
    seat.wait_for(r"\.\d\d1000")
    seat.child.send("?")
    seat.wait_for("HELP")
    seat.child.send("\x1b")
    seat.wait_for("2 QUEUES")
    seat.child.send(" ")
    seat.wait_for("RUN")


def test_a_resize_is_followed(seat: Seat) -> None:
    seat.wait_for("2 QUEUES")
    assert "EVENTS" not in seat.text()
    seat.screen.resize(40, 120)
    seat.child.setwinsize(40, 120)
    seat.wait_for("EVENTS")
    seat.screen.resize(10, 50)
    seat.child.setwinsize(10, 50)
    seat.wait_for("30 columns and 14 lines missing")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("seed", range(2))
def test_a_signal_at_any_moment_leaves_the_terminal_as_it_was(number: signal.Signals, seed: int) -> None:
    seat = Seat("8", "8", "50")
    try:
        seat.wait_for_bytes(b"ready")
        end = time.monotonic() + random.Random(f"{seed}/{number}").uniform(0, 0.4)
        while time.monotonic() < end:
            seat.look()
        seat.child.kill(number)
        assert wait_end_and_check(seat) == 128 + number
        assert b"prod-a.toml: stopped" in seat.raw
    finally:
        seat.child.close(force=True)


def test_ctrl_c_is_the_signal_and_no_key(seat: Seat) -> None:
    seat.wait_for("2 QUEUES")
    seat.child.send("\x03")
    assert wait_end_and_check(seat) == 130


def test_ctrl_z_gives_the_terminal_back_and_continuing_takes_it_again(seat: Seat) -> None:
    seat.wait_for("2 QUEUES")
    seat.child.send("\x1a")
    end = time.monotonic() + 60
    while seat.modes() != seat.modes_before:
        assert time.monotonic() < end
        seat.look()
    seat.look()
    seat.assert_given_back()
    frames = seat.raw.count(b"\x1b[?1049h")
    seat.child.kill(signal.SIGCONT)
    while seat.raw.count(b"\x1b[?1049h") == frames:
        assert time.monotonic() < end
        seat.look()
    seat.child.send("?")
    seat.wait_for("HELP")
    seat.child.send("q")
    assert wait_end_and_check(seat) == 0


def test_no_color_means_none_and_an_ascii_locale_means_ascii() -> None:
    seat = Seat("4", "4", "20", environment={"NO_COLOR": "1", "LC_ALL": "C"})
    try:
        seat.wait_for("2 QUEUES")
        seat.child.send("q")
        wait_end_and_check(seat)
        assert not re.search(rb"\x1b\[(\d+;)*[34]\d[;m]", seat.raw)
        assert seat.raw.isascii()
    finally:
        seat.child.close(force=True)


def test_the_locale_decides_on_blocks() -> None:
    assert can_unicode("utf-8", {"LANG": "de_DE.UTF-8"})
    assert can_unicode("utf-8", {})
    assert not can_unicode("utf-8", {"LC_ALL": "C", "LANG": "de_DE.UTF-8"})
    assert not can_unicode("utf-8", {"LANG": "de_DE.ISO-8859-1"})
    assert not can_unicode("iso8859-1", {"LANG": "de_DE.UTF-8"})


def test_without_a_keyboard_the_screen_is_shown_and_says_so() -> None:
    seat = Seat(shell="exec {} -m tests.monitor.demo 4 4 20 </dev/null")
    try:
        seat.wait_for("no keyboard here")
        seat.child.send("\x03")
        assert wait_end_and_check(seat) == 130
    finally:
        seat.child.close(force=True)


def test_a_closed_stdin_is_no_keyboard_either() -> None:
    seat = Seat(shell="exec {} -m tests.monitor.demo 4 4 20 <&-")
    try:
        seat.wait_for("no keyboard here")
        seat.child.kill(signal.SIGTERM)
        assert wait_end_and_check(seat) == 143
    finally:
        seat.child.close(force=True)


def test_a_terminal_that_goes_away_ends_the_process() -> None:
    master, slave = os.openpty()
    words = [sys.executable, "-m", "tests.monitor.demo", "4", "4", "20"]
    with subprocess.Popen(
        words, stdin=slave, stdout=slave, stderr=subprocess.DEVNULL, start_new_session=True
    ) as process:
        os.close(slave)
        seen = b""
        while b"2 QUEUES" not in seen:
            seen += os.read(master, 65536)
        os.close(master)
        # It has no controlling terminal, so no SIGHUP tells it: only its reads and writes do.
        process.wait(20)


STUBBORN = """
import trio
from rich.console import Console
from monitor.live import live
from monitor.signals import watch_signals
from monitor.terminal import Terminal
from tests.monitor.demo import MadeUpRun
from tests.monitor.machine import MadeUpMachine

async def main():
    run, terminal = MadeUpRun(MadeUpMachine(4, 4)), Terminal(Console())
    async with trio.open_nursery() as nursery:
        await nursery.start(watch_signals, lambda number: run.slower(), terminal)
        await live(run, run, terminal)

trio.run(main)
"""


def test_a_second_ctrl_c_ends_a_run_that_does_not_stop(tmp_path: Path) -> None:
    script = tmp_path / "stubborn.py"
    script.write_text(STUBBORN)
    seat = Seat(shell=f"PYTHONPATH=. exec {{}} {script}")
    try:
        seat.wait_for(r"x0\.25 ")
        seat.child.send("\x03")
        seat.wait_for(r"x0\.125 ")
        seat.child.send("\x03")
        assert wait_end_and_check(seat) == -signal.SIGINT
    finally:
        seat.child.close(force=True)
