"""The terminal and its owner: one context manager takes it (cbreak, alternate screen, hidden cursor) and always gives it back.

rich's Live draws the frames; the modes of the line and the order of giving things back are ours, so that an exception, a signal, a
cancellation or a suspension each leave the terminal as it was. Source for what rich leaves open: its issues 3354 and 3673.
"""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import termios
import tty
from collections.abc import Iterable, Mapping
from itertools import pairwise
from types import TracebackType
from typing import Any

from rich.console import Console, ConsoleOptions
from rich.live import Live
from rich.segment import Segment
from rich.text import Text

from monitor.keys import has_keys


def can_live(console: Console) -> bool:
    """Whether the output is a terminal that can show a screen; otherwise batch lines are due."""
    return console.is_terminal and not console.is_dumb_terminal


def can_unicode(encoding: str, environment: Mapping[str, str]) -> bool:
    """Whether blocks and lines can be drawn: the output is UTF-8, and the locale (LC_ALL, LC_CTYPE, LANG) does not deny it.

    Python writes UTF-8 in the C locale too, so its encoding alone says little about the terminal.
    """
    locale = environment.get("LC_ALL") or environment.get("LC_CTYPE") or environment.get("LANG") or "utf-8"
    return encoding.lower().startswith("utf") and "utf" in locale.lower()


class Painted:
    """A frame as rich is to print it: its lines have their width already, so they are neither wrapped nor measured again.

    Where no style lies over another, which is everywhere but in a selected row, nothing needs to be combined either.
    """

    def __init__(self, frame: Text) -> None:
        self._frame = frame

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterable[Segment]:
        spans = sorted(self._frame.spans)
        if any(span.end > after.start for span, after in pairwise(spans)):
            return self._frame.render(console)
        plain = self._frame.plain
        styles = {name: console.get_style(name) for name in {span.style for span in spans}}
        segments: list[Segment] = []
        at = 0
        for start, end, name in spans:
            if start > at:
                segments.append(Segment(plain[at:start]))
            segments.append(Segment(plain[start:end], styles[name]))
            at = end
        segments.append(Segment(plain[at:]))
        return segments


class Terminal:
    """Take it with `with`. `release` may be called at any time and more than once."""

    def __init__(self, console: Console, stdin_fd: int = 0) -> None:
        self.console = console
        self.stdin_fd = stdin_fd
        self.keys = has_keys(stdin_fd)
        self.unicode = can_unicode(console.encoding, os.environ)
        self._modes: list[Any] | None = None
        self._live: Live | None = None

    def __enter__(self) -> Terminal:
        try:
            self.acquire()
        except BaseException:
            self.release()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    @property
    def held(self) -> bool:
        """The screen is ours now."""
        return self._live is not None

    def acquire(self) -> None:
        """Keys come one by one without echo, the alternate screen is shown. Ctrl-C and Ctrl-Z remain signals."""
        if self.keys:
            self._modes = termios.tcgetattr(self.stdin_fd)
            tty.setcbreak(self.stdin_fd, termios.TCSANOW)
        self._live = Live(console=self.console, screen=True, auto_refresh=False)
        self._live.start()

    def show(self, frame: Text) -> None:
        """Draw a frame. Raises OSError (EIO) when the terminal hung up; does nothing while the screen is not ours."""
        if self._live is not None:
            # After a hang-up isatty says no, and rich would go on in silence.
            if not self.console.is_terminal:
                raise OSError(errno.EIO, "the terminal is gone")
            self._live.update(Painted(frame), refresh=True)

    def release(self) -> None:
        """Give back what was taken. A terminal that hung up has nothing left to restore, and that is no error."""
        live, self._live = self._live, None
        modes, self._modes = self._modes, None
        try:
            if live is not None:
                with contextlib.suppress(OSError):
                    live.stop()
        finally:
            if modes is not None:
                with contextlib.suppress(OSError, termios.error):
                    termios.tcflush(self.stdin_fd, termios.TCIFLUSH)  # keys meant for us do not reach the shell
                    # Not DRAIN: a terminal that is stopped by Ctrl-S would hold us for ever.
                    termios.tcsetattr(self.stdin_fd, termios.TCSANOW, modes)

    def suspend(self) -> None:
        """Ctrl-Z: give the terminal back and stop this process; take it again when `fg` continues it."""
        held = self.held
        self.release()
        os.kill(os.getpid(), signal.SIGSTOP)
        if held:
            self.acquire()
