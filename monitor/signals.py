"""Signals of a run with a terminal: the first Ctrl-C (SIGTERM, SIGHUP) asks the run to stop, the second ends the process at once."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import Final

import trio

from monitor.terminal import Terminal

STOPPING: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


async def watch_signals(
    stop: Callable[[int], bool | None],
    terminal: Terminal | None = None,
    *,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Call `stop` with the number of the first stopping signal; it returns False for one that was for somebody else. Runs until
    cancelled; start it with `nursery.start` **before** the terminal is taken, so that there is no moment at which a signal finds nobody.

    With a terminal, Ctrl-Z gives it back, stops the process and takes it again on `fg`; a second stopping signal
    gives it back and lets the signal do what it does by default.
    """
    stopping = False
    watched = (*STOPPING, signal.SIGTSTP) if terminal is not None else STOPPING
    with trio.open_signal_receiver(*watched) as received:
        task_status.started()
        async for number in received:
            if number == signal.SIGTSTP and terminal is not None:
                terminal.suspend()
            elif not stopping:
                stopping = stop(number) is not False
            else:
                if terminal is not None:
                    terminal.release()
                signal.signal(number, signal.SIG_DFL)
                os.kill(os.getpid(), number)
