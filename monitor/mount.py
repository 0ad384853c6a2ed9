"""Mounting a file system, and unmounting it whatever ends the block.

Needs pyfuse3 (the extra `softnet[mount]`) and fusermount3. Imported only where something is mounted.
"""

from __future__ import annotations

import os
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Final

import pyfuse3
import trio

from emu.errors import ConfigError

HEARTBEAT_SECONDS: Final = 1.0


@asynccontextmanager
async def mounted(
    system: pyfuse3.Operations, directory: Path, *, read_only: bool = False, unmounted: Callable[[], None]
) -> AsyncIterator[None]:
    """`system` at `directory` as long as the block runs; `unmounted` is called if somebody else takes it away. ConfigError where it
    cannot be mounted. It is unmounted even where somebody's working directory is in it.

    Nothing in the block may touch the directory from this process: it would wait for itself.
    """
    options = set(pyfuse3.default_options)
    options.discard("default_permissions")
    options |= {"fsname=softnet", "subtype=softnet", "ro" if read_only else "rw"}
    said: list[str] = []
    try:
        with _words_to_stderr(said):
            pyfuse3.init(system, str(directory), options)
    except (OSError, RuntimeError) as error:
        why = " ".join(said).strip() or str(error)
        raise ConfigError(f"mount: {str(directory)!r} cannot be mounted on ({why})") from error
    try:
        with _heartbeat():
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_serve, unmounted)
                try:
                    yield
                finally:
                    nursery.cancel_scope.cancel()
    finally:
        pyfuse3.close(unmount=True)


@contextmanager
def _words_to_stderr(said: list[str]) -> Iterator[None]:
    """Put what libfuse and fusermount3 write to stderr into `said`."""
    sys.stderr.flush()
    before = os.dup(2)
    with tempfile.TemporaryFile() as file:
        os.dup2(file.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(before, 2)
            os.close(before)
            file.seek(0)
            said.extend(file.read().decode(errors="replace").split())


async def _serve(unmounted: Callable[[], None]) -> None:
    await pyfuse3.main()
    unmounted()


@contextmanager
def _heartbeat() -> Iterator[None]:
    """A signal a second, lest the process sleeps in a read of its FUSE device.

    A request can vanish between the look whether there is one and its reading, when who asked is killed then; the device is read with
    waiting. The signal interrupts that, and pyfuse3 looks again.
    """
    before = signal.signal(signal.SIGALRM, lambda number, at: None)
    signal.setitimer(signal.ITIMER_REAL, HEARTBEAT_SECONDS, HEARTBEAT_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
