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
from collections.abc import Iterator, Sequence
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

PROBE: Final = "mount --bind /sys /sys"
"""What must work inside the namespace."""

WATCH: Final = """\
read -r fine && exit
kill -HUP "$2"
for pause in 0 0.1 0.2 0.5 1 2; do
    sleep $pause
    rmdir "$1/tree" "$1/real/proc" "$1/real/sys" "$1/real"
    rmdir "$1" && exit
done 2>/dev/null
"""
"""What stays beside a run: should the run be killed, the command is hung up, as by a terminal that is gone, and its places removed."""

GRACE_SECONDS: Final = 2.0
"""How long a command that is hung up may take until it is killed."""


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
        raise ConfigError(f"shell: there is no command {shown(words[0])}")
    tried = subprocess.run([*_unshare(), "sh", "-c", PROBE], stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if tried.returncode:
        why = shown(" ".join(tried.stderr.split())) or f"exit code {tried.returncode}"
        raise ConfigError(f"shell: no mount namespace can be made here, it needs root or user namespaces ({why})")
    return words


async def run_shell(root: Path, words: Sequence[str], name: str) -> int:
    """Run `words` where the tree mounted at root/tree stands over /proc and /sys. Returns its exit code.

    Cancelled, it hangs the command up.
    """
    command = [*_unshare(), "sh", "-eu", "-c", SETUP, "softnet-shell", str(root), *words]
    environment = {**os.environ, "SOFTNET": name}
    async with trio.open_nursery() as nursery:
        run = partial(trio.run_process, stdin=None, check=False, env=environment, deliver_cancel=_hang_up)
        shell: trio.Process = await nursery.start(run, command)
        watcher = await trio.lowlevel.open_process(
            ["sh", "-c", WATCH, "softnet-watch", str(root), str(shell.pid)],
            stdin=subprocess.PIPE,
            start_new_session=True,
        )
        assert watcher.stdin is not None
        try:
            code = await shell.wait()
        finally:
            with trio.CancelScope(shield=True), suppress(trio.BrokenResourceError):
                await shell.wait()
                await watcher.stdin.send_all(b"fine\n")
                await watcher.wait()
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
