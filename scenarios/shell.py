"""A command in a mount namespace of its own, where the emulated machine's control tree stands over /proc and /sys.

Models: what tools see: the emulated CPUs, interrupts, queues and settings, and beside them what the real system has elsewhere in
/proc and /sys (processes, devices), as links. Leaves out: processes of the emulated machine: tools see the real ones.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Final

import trio

from emu.errors import ConfigError
from scenarios.shown import shown

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

PROBE: Final = "mount --rbind /sys /sys"
"""What must work inside the namespace."""

GRACE_SECONDS: Final = 2.0
"""How long a command that is hung up may take until it is killed."""


@contextmanager
def places() -> Iterator[tuple[Path, list[Path]]]:
    """A directory with tree/ to mount on and real/ for the real files, and all that is to be removed: it is gone afterwards."""
    root = Path(tempfile.mkdtemp(prefix="softnet-"))
    made = [root / "tree", root / "real" / "proc", root / "real" / "sys", root / "real", root]
    try:
        for place in made:
            place.mkdir(parents=True, exist_ok=True)
        yield root, made
    finally:
        for place in made:
            place.rmdir()


def check_shell(command: Sequence[str]) -> tuple[str, ...]:
    """The command to run, the user's shell for none. ConfigError where there can be no namespace."""
    for tool in ("unshare", "mount"):
        if shutil.which(tool) is None:
            raise ConfigError(f"shell: there is no command {tool}: install util-linux")
    words = tuple(command) or (os.environ.get("SHELL") or "/bin/sh",)
    if shutil.which(words[0]) is None:
        raise ConfigError(f"shell: there is no command {shown(words[0])}")
    tried = subprocess.run([*_unshare(), "sh", "-c", PROBE], stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if tried.returncode:
        why = shown(" ".join(tried.stderr.split())) or f"exit code {tried.returncode}"
        raise ConfigError(f"shell: no mount namespace can be made here, it needs root or user namespaces ({why})")
    return words


async def run_shell(root: Path, words: Sequence[str], name: str, started: Callable[[int], Awaitable[None]]) -> int:
    """Run `words` where the tree mounted at root/tree stands over /proc and /sys. Returns its exit code.

    `started` is told the process's number. Cancelled, it hangs the command up.
    """
    command = [*_unshare(), "sh", "-eu", "-c", SETUP, "softnet-shell", str(root), *words]
    run = partial(
        trio.run_process,
        command,
        stdin=None,
        check=False,
        env={**os.environ, "SOFTNET": name},
        deliver_cancel=_hang_up,
    )
    async with trio.open_nursery() as nursery:
        shell: trio.Process = await nursery.start(run)
        await started(shell.pid)
    code = shell.returncode
    assert code is not None, "it has been waited for"
    return code if code >= 0 else 128 - code


def _unshare() -> list[str]:
    as_root = ["--user", "--map-root-user"] if os.geteuid() else []
    return ["unshare", "--mount", "--propagation", "private", *as_root]


async def _hang_up(process: trio.Process) -> None:
    with suppress(ProcessLookupError):
        process.send_signal(signal.SIGHUP)
        with trio.move_on_after(GRACE_SECONDS):
            await process.wait()
        process.kill()
