"""Makes docs/mount.svg: the live screen of a mounted machine, and beside it mpstat, which takes that machine for its own.
In the middle of it, e is written to rps_cpus.

Needs root, tmux, sysstat and the extra softnet[mount]: `sudo .venv/bin/python docs/pictures/mount.py`.
"""

from __future__ import annotations

import io
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.text import Text

WIDTH: Final = 200
HEIGHT: Final = 45
MPSTAT_WIDTH: Final = 98
BEGINS_SECONDS: Final = 60
BEFORE_SECONDS: Final = 8
AFTER_SECONDS: Final = 3.5
CHANGED: Final = "sys/class/net/eth0/queues/rx-0/rps_cpus"
OVER_PROC: Final = 'mount --bind "$0/sys" /sys; mount --bind "$0/proc" /proc; exec mpstat -P ALL 1'
SOCKET: Final = "softnet-picture"


def tmux(*words: str) -> str:
    """What tmux answers, on a server of its own."""
    return subprocess.run(
        ["tmux", "-L", SOCKET, "-f", "/dev/null", *words], check=True, capture_output=True, text=True
    ).stdout


def pane(number: int) -> list[str]:
    """The lines of a pane, with their colours."""
    return tmux("capture-pane", "-e", "-p", "-t", f"picture:0.{number}").splitlines()


def main() -> None:
    """Run both, and draw what is seen."""
    root = Path(__file__).parent.parent.parent
    with tempfile.TemporaryDirectory() as place:
        tree = Path(place, "m")
        tree.mkdir()
        run = shlex.join([sys.executable, "-m", "scenarios.cli", "mount", str(tree), "real-time"])
        colours = "env COLORTERM=truecolor LC_ALL=C.UTF-8 S_COLORS=always"
        tmux("new-session", "-d", "-s", "picture", "-x", str(WIDTH), "-y", str(HEIGHT), f"cd {root}; {colours} {run}")
        try:
            tmux("set-option", "-g", "status", "off")
            wait_until(lambda: str(tree) in Path("/proc/mounts").read_text())
            beside = shlex.join(["unshare", "-m", "sh", "-c", OVER_PROC, str(tree)])
            tmux("split-window", "-d", "-h", "-l", str(MPSTAT_WIDTH), "-t", "picture:0", f"{colours} {beside}")
            time.sleep(BEFORE_SECONDS)
            (tree / CHANGED).write_text("e\n")
            time.sleep(AFTER_SECONDS)
            lines = joined(pane(0), pane(1))
        finally:
            tmux("send-keys", "-t", "picture:0.0", "q")
            wait_until(lambda: str(tree) not in Path("/proc/mounts").read_text())
            tmux("kill-server")
    console = Console(record=True, width=WIDTH, file=io.StringIO(), color_system="truecolor")
    for line in lines:
        console.print(line, overflow="crop", no_wrap=True)
    console.save_svg(
        str(root / "docs" / "mount.svg"), title="softnet mount m real-time | mpstat -P ALL 1", unique_id="mount"
    )


def joined(left: list[str], right: list[str]) -> list[Text]:
    """Two panes beside each other, with a line between them."""
    width = WIDTH - MPSTAT_WIDTH - 1
    lines = []
    for row in range(HEIGHT):
        line = Text.from_ansi(left[row] if row < len(left) else "")
        line.truncate(width, pad=True)
        line.append("│", "bright_black")
        line.append_text(Text.from_ansi(right[row] if row < len(right) else ""))
        lines.append(line)
    return lines


def wait_until(condition: Callable[[], bool]) -> None:
    """Wait until `condition()`."""
    ends = time.monotonic() + BEGINS_SECONDS
    while not condition():
        assert time.monotonic() < ends, "it took too long"
        time.sleep(0.1)


if __name__ == "__main__":
    main()
