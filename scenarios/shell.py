"""A command in a mount namespace of its own, where the emulated machine's control tree stands over /proc and /sys.

Models: what tools see: the emulated CPUs, interrupts, queues and settings, and beside them what the real system has elsewhere in
/proc and /sys (processes, devices), as links. Leaves out: processes of the emulated machine: tools see the real ones.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import trio

from emu.errors import ConfigError

SETUP: Final = """\
root=$1
shift
mount --rbind /proc "$root/real/proc"
mount --rbind /sys "$root/real/sys"
mount --bind "$root/tree/sys" /sys
mount --bind "$root/tree/proc" /proc
exec "$@"
"""
"""What is done inside the namespace before the command: the tree goes over /proc and /sys, the real ones stay below real/."""


@contextmanager
def places() -> Iterator[Path]:
    """A directory with tree/ to mount on and real/ for the real files; gone afterwards."""
    root = Path(tempfile.mkdtemp(prefix="softnet-"))
    try:
        for name in ("tree", "real/proc", "real/sys"):
            (root / name).mkdir(parents=True)
        yield root
    finally:
        for name in ("tree", "real/proc", "real/sys", "real", ""):
            (root / name).rmdir()


def check_shell(command: Sequence[str]) -> tuple[str, ...]:
    """The command to run, the user's shell for none. ConfigError where there can be no namespace."""
    for tool in ("unshare", "mount"):
        if shutil.which(tool) is None:
            raise ConfigError(f"shell: there is no command {tool}: install util-linux")
    words = tuple(command) or (os.environ.get("SHELL") or "/bin/sh",)
    if shutil.which(words[0]) is None:
        raise ConfigError(f"shell: there is no command {words[0]!r}")
    return words


async def run_shell(root: Path, words: Sequence[str], name: str) -> int:
    """Run `words` where the tree mounted at root/tree stands over /proc and /sys. Returns its exit code."""
    unshare = ["unshare", "--mount", "--propagation", "private"]
    if os.geteuid():
        unshare += ["--user", "--map-root-user"]
    done = await trio.run_process(
        [*unshare, "sh", "-eu", "-c", SETUP, "softnet-shell", str(root), *words],
        stdin=None,
        check=False,
        env={**os.environ, "SOFTNET": name},
    )
    return done.returncode if done.returncode >= 0 else 128 - done.returncode
