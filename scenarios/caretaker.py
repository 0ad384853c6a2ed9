"""What stays beside a mounted run and clears up after it, should the run be killed: nobody is left with a mount that nobody serves.

Models: the other half of `fusermount3 -o auto_unmount`, which up to 3.14 works for root alone and knows no directories and no shell.
Leaves out: the ordinary end, where the run clears up itself and the caretaker does nothing.
"""

from __future__ import annotations

import subprocess
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Final

import trio

SCRIPT: Final = """\
shell=
while read -r word value; do
    case $word in
        fine) exit ;;
        shell) shell=$value ;;
    esac
done
[ -z "$shell" ] || kill -HUP "$shell"
fusermount3 -u -z -- "$1"
shift
for place; do rmdir -- "$place"; done
"""
"""Its standard input ends with the run. It was fine if it said so; else the shell is hung up, as by a terminal that is gone."""


class Caretaker:
    """A process in a session of its own, which no key of the terminal reaches."""

    def __init__(self, process: trio.Process) -> None:
        self._process = process

    async def know_shell(self, pid: int) -> None:
        """Tell it which process is to be hung up."""
        await self._say(f"shell {pid}")

    async def dismiss(self) -> None:
        """There is nothing to clear up."""
        await self._say("fine")
        await self._process.wait()

    async def _say(self, words: str) -> None:
        assert self._process.stdin is not None
        with suppress(trio.BrokenResourceError):  # it was killed
            await self._process.stdin.send_all(f"{words}\n".encode())


@asynccontextmanager
async def caretaker(directory: Path, places: Sequence[Path] = ()) -> AsyncIterator[Caretaker]:
    """One for as long as the block runs: it would unmount `directory` and then remove the empty directories `places` in their order."""
    process = await trio.lowlevel.open_process(
        ["sh", "-c", SCRIPT, "softnet-caretaker", str(directory), *map(str, places)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    taker = Caretaker(process)
    try:
        yield taker
    finally:
        with trio.CancelScope(shield=True):
            await taker.dismiss()
