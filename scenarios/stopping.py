"""SIGTERM and SIGHUP mean what a first Ctrl-C does, in every command and from its first moment on.

Leaves out: runs with a screen or batch lines, which have their own way of stopping while they run (`monitor.signals`).
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

AS_CTRL_C: Final = (signal.SIGTERM, signal.SIGHUP)


@contextmanager
def stopped_by_signals() -> Iterator[None]:
    """Inside, the first of `AS_CTRL_C` is a KeyboardInterrupt; the next ones change nothing: timeout(1) sends two, and what was found so
    far is still to be written. A signal that is ignored already stays so (nohup).

    Only the main thread can say so; elsewhere nothing changes.
    """
    stopped = False

    def stop(number: int, frame: FrameType | None) -> None:
        nonlocal stopped
        if stopped:
            return
        stopped = True
        if (
            signal.getsignal(signal.SIGINT) is signal.SIG_IGN
        ):  # a shell without job control starts `command &` like that
            raise KeyboardInterrupt
        signal.raise_signal(signal.SIGINT)  # trio has its own way with that one

    heard = [number for number in AS_CTRL_C if signal.getsignal(number) is not signal.SIG_IGN]
    try:
        old = {number: signal.signal(number, stop) for number in heard}
    except ValueError:
        old = {}
    try:
        yield
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)
