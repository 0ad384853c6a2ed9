"""The control tree of a running machine as files for a file system: read and written in the user's turns.

Models: a read shows the state at the present virtual time, a write happens at it and is kept with its time like any live command.
Leaves out: the file system itself (`monitor.control_files`, `monitor.mount`).
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Final

from emu.errors import ConfigError, ControlError
from scenarios.shown import shown
from scenarios.user import User

FUSE_DEVICE: Final = Path("/dev/fuse")
OPEN_DIRECTORIES: Final = (
    "/proc",
    "/proc/sys",
    "/proc/sys/kernel",
    "/sys",
    "/sys/class",
    "/sys/devices",
    "/sys/devices/system",
)
"""Directories in which a shell also sees the names of the real system: everything else there is not the emulated machine's."""


class UserFiles:
    """The files of the tree that `user` writes to. `note` is told of writes that were refused: their writers see an errno alone."""

    def __init__(self, user: User, note: Callable[[str], None]) -> None:
        self._user = user
        self._note = note
        self._tree = user.commands.tree

    def is_directory(self, path: str) -> bool:
        """Whether `path` is a directory."""
        return self._tree.is_directory(path)

    def is_file(self, path: str) -> bool:
        """Whether `path` is a file."""
        return self._tree.is_file(path)

    def mode(self, path: str) -> int:
        """Permission bits of the file at `path`. ControlError ENOENT."""
        return self._tree.entry(path).mode

    def names(self, path: str) -> list[str]:
        """Names in the directory `path`, sorted. ControlError ENOENT, ENOTDIR."""
        return self._tree.list(path)

    async def read(self, path: str) -> str:
        """The file's text at the present. ControlError."""
        return await self._user.present(lambda: self._tree.read(path))

    async def write(self, path: str, text: str) -> None:
        """Write at the present. ControlError, and then nothing has changed."""
        try:
            await self._user.write(path, text)
        except ControlError as error:
            self._note(shown(f"refused, {error.errno_name}: {error.message}"))
            raise


def check_mount(directory: str | None) -> Path | None:
    """The directory to mount on, its links followed. ConfigError unless it is empty and this system can mount files there."""
    try:
        import pyfuse3  # noqa: F401
    except ImportError as error:
        raise ConfigError(
            "mount: pyfuse3 is not installed: pip install 'softnet[mount]' (it needs libfuse3-dev and pkg-config)"
        ) from error
    if not os.access(FUSE_DEVICE, os.R_OK | os.W_OK):
        why = "may not be opened" if FUSE_DEVICE.exists() else "is missing"
        raise ConfigError(f"mount: {FUSE_DEVICE} {why}: load the module fuse, or ask for the device in your container")
    if shutil.which("fusermount3") is None:
        raise ConfigError("mount: there is no fusermount3: install fuse3")
    if directory is None:
        return None
    path = Path(directory)
    try:
        if not path.is_dir():
            raise ConfigError(f"mount: there is no directory {shown(directory)}: make it first")
        if any(path.iterdir()):
            raise ConfigError(f"mount: {shown(directory)} is not empty: mount on an empty directory")
        if not os.access(path, os.W_OK):
            raise ConfigError(f"mount: {shown(directory)} may not be written: mount on a directory of your own")
        return path.resolve()
    except ValueError as error:
        raise ConfigError(f"mount: {shown(directory)} is no directory's name ({error})") from error
    except OSError as error:
        if error.errno == errno.ENOTCONN:
            raise ConfigError(
                f"mount: {shown(directory)} is a mount whose server is gone: fusermount3 -u {shown(directory)}"
            ) from error
        raise ConfigError(f"mount: {shown(directory)} cannot be read ({error.strerror})") from error
