"""Control files as a file system: what `cat`, `echo`, `watch` and real tools read and write on a machine that runs.

Models: what the kernel's own /proc and /sys do: a file's text is made when it is read from its start, a write is one control write, and a
refused one fails with the kernel's errno; files have no size that tells anything; paths come and go.
Leaves out: owners, times, creating and removing files, and what the files mean.

Needs pyfuse3 (the extra `softnet[mount]`). Imported only where something is mounted.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final, Protocol

import pyfuse3
import trio
from pyfuse3 import ROOT_INODE, EntryAttributes, FileInfo, FUSEError, InodeT, RequestContext, SetattrFields

from emu.errors import ControlError

SYS_FILE_BYTES: Final = 4096
"""What files of /sys say of their size; those of /proc say 0."""
MAX_WRITE_BYTES: Final = 65536
CACHED_SECONDS: Final = 1.0
"""How long the kernel may believe that a name is there."""


class ControlFiles(Protocol):
    """A tree of control files, read and written at the present."""

    def is_directory(self, path: str) -> bool:
        """Whether `path` is a directory."""

    def mode(self, path: str) -> int:
        """Permission bits of the file at `path`. ControlError ENOENT."""

    def names(self, path: str) -> list[str]:
        """Names in the directory `path`, sorted. ControlError ENOENT, ENOTDIR."""

    async def read(self, path: str) -> str:
        """The file's text. ControlError."""

    async def write(self, path: str, text: str) -> None:
        """Write to the file. ControlError, and then nothing has changed."""


class ControlFileSystem(pyfuse3.Operations):
    """`files` as a file system. In directories `beside` the names that the real system has there appear, too: as links to below
    `real_root`, where whoever reads them finds the real /proc and /sys.

    Handlers raise FUSEError alone; whatever else goes wrong ends the run, and the file system with it.
    """

    def __init__(
        self, files: ControlFiles, read_only: bool = False, beside: Collection[str] = (), real_root: str = ""
    ) -> None:
        super().__init__()
        self._files = files
        self._read_only = read_only
        self._beside = frozenset(beside)
        self._real_root = real_root
        self._paths: dict[int, str] = {ROOT_INODE: "/"}
        self._inodes: dict[str, InodeT] = {"/": ROOT_INODE}
        self._lookups: dict[int, int] = {}
        self._next = ROOT_INODE + 1
        self._open: dict[int, tuple[str, bytes]] = {}
        """Handle -> (path, text as of the last read from the start); of a directory the path alone."""
        self._next_handle = 1

    # ---------------------------------------------------------------- names

    async def lookup(self, parent_inode: InodeT, name: bytes, ctx: RequestContext) -> EntryAttributes:
        """The entry `name` of a directory."""
        path = self._child(self._path(parent_inode), name)
        entry = self._attributes(path)
        self._lookups[entry.st_ino] = self._lookups.get(entry.st_ino, 0) + 1
        return entry

    async def forget(self, inode_list: Sequence[tuple[int, int]]) -> None:
        """The kernel has dropped so many references."""
        for inode, count in inode_list:
            left = self._lookups.get(inode, 0) - count
            if left > 0:
                self._lookups[inode] = left
            elif inode != ROOT_INODE:
                self._lookups.pop(inode, None)
                path = self._paths.pop(inode, None)
                if path is not None:
                    self._inodes.pop(path, None)

    async def getattr(self, inode: InodeT, ctx: RequestContext) -> EntryAttributes:
        """Mode and size."""
        return self._attributes(self._path(inode))

    async def setattr(
        self, inode: InodeT, attr: EntryAttributes, fields: SetattrFields, fh: int | None, ctx: RequestContext
    ) -> EntryAttributes:
        """Cutting a file to nothing, as `>` does, is fine and does nothing; the rest is not for control files."""
        if fields.update_mode or fields.update_uid or fields.update_gid or (fields.update_size and attr.st_size):
            raise FUSEError(errno.EPERM)
        return self._attributes(self._path(inode))

    async def readlink(self, inode: InodeT, ctx: RequestContext) -> bytes:
        """Where a name of the real directory leads."""
        target = self._real(self._path(inode))
        if target is None:
            raise FUSEError(errno.EINVAL)
        return os.fsencode(target)

    async def opendir(self, inode: InodeT, ctx: RequestContext) -> int:
        """A handle."""
        path = self._path(inode)
        if not self._files.is_directory(path):
            raise FUSEError(errno.ENOTDIR)
        return self._handle(path)

    async def readdir(self, fh: int, start_id: int, token: pyfuse3.ReaddirToken) -> None:
        """The names, from number `start_id` on."""
        directory = self._open[fh][0]
        names = self._names(directory)
        for number, name in enumerate(names[start_id:], start_id + 1):
            path = self._child(directory, os.fsencode(name))
            try:
                entry = self._attributes(path)
            except FUSEError:
                continue  # gone meanwhile
            if not pyfuse3.readdir_reply(token, os.fsencode(name), entry, number):
                return
            self._lookups[entry.st_ino] = self._lookups.get(entry.st_ino, 0) + 1

    async def releasedir(self, fh: int) -> None:
        """Forget a handle."""
        self._open.pop(fh, None)

    # ---------------------------------------------------------------- texts

    async def open(self, inode: InodeT, flags: int, ctx: RequestContext) -> FileInfo:
        """A handle; what may be done with it is known now, as the kernel tells it now."""
        path = self._path(inode)
        mode = self._mode(path)
        wanted = flags & os.O_ACCMODE
        if wanted != os.O_RDONLY and self._read_only:
            raise FUSEError(errno.EROFS)
        if (wanted != os.O_WRONLY and not mode & 0o444) or (wanted != os.O_RDONLY and not mode & 0o200):
            raise FUSEError(errno.EACCES)
        # Its size says nothing, so the kernel must ask for every byte, and seek where tools seek.
        return FileInfo(fh=self._handle(path), direct_io=True, keep_cache=False)

    async def read(self, fh: int, off: int, size: int) -> bytes:
        """Part of the text, which is made anew when it is read from its start."""
        path, text = self._open[fh]
        if not off:
            try:
                text = (await self._files.read(path)).encode()
            except ControlError as error:
                raise FUSEError(error.errno) from error
            self._open[fh] = path, text
        return text[off : off + size]

    async def write(self, fh: int, off: int, buf: bytes) -> int:
        """One control write, wherever in the file it goes."""
        if len(buf) > MAX_WRITE_BYTES:
            raise FUSEError(errno.E2BIG)
        try:
            await self._files.write(self._open[fh][0], buf.decode())
        except UnicodeDecodeError as error:
            raise FUSEError(errno.EINVAL) from error
        except ControlError as error:
            raise FUSEError(error.errno) from error
        return len(buf)

    async def release(self, fh: int) -> None:
        """Forget a handle."""
        self._open.pop(fh, None)

    async def flush(self, fh: int) -> None:
        """Nothing waits to be written."""

    async def statfs(self, ctx: RequestContext) -> pyfuse3.StatvfsData:
        """A file system without blocks."""
        data = pyfuse3.StatvfsData()
        data.f_bsize = data.f_frsize = 4096
        data.f_namemax = 255
        return data

    # ---------------------------------------------------------------- paths

    def _path(self, inode: int) -> str:
        path = self._paths.get(inode)
        if path is None:
            raise FUSEError(errno.ESTALE)
        return path

    def _child(self, directory: str, name: bytes) -> str:
        text = os.fsdecode(name)
        if text == ".":
            return directory
        if text == "..":
            return directory.rpartition("/")[0] or "/"
        return f"{directory.rstrip('/')}/{text}"

    def _names(self, directory: str) -> list[str]:
        try:
            names = set(self._files.names(directory))
        except ControlError as error:
            raise FUSEError(error.errno) from error
        if directory in self._beside:
            names.update(os.listdir(directory))
        return sorted(names)

    def _real(self, path: str) -> str | None:
        """The real file or directory that a name beside ours leads to."""
        if path.rpartition("/")[0] in self._beside and os.path.lexists(path):
            return self._real_root + path
        return None

    def _mode(self, path: str) -> int:
        try:
            return self._files.mode(path)
        except ControlError as error:
            raise FUSEError(error.errno) from error

    def _attributes(self, path: str) -> EntryAttributes:
        entry = EntryAttributes()
        if self._files.is_directory(path):
            entry.st_mode = stat.S_IFDIR | 0o555
            entry.st_nlink = 2
        else:
            try:
                mode = self._files.mode(path)
            except ControlError as error:
                if self._real(path) is None:
                    raise FUSEError(error.errno) from error
                entry.st_mode = stat.S_IFLNK | 0o777
            else:
                entry.st_mode = stat.S_IFREG | (mode & 0o444 if self._read_only else mode)
                entry.st_size = SYS_FILE_BYTES if path.startswith("/sys/") else 0
            entry.st_nlink = 1
        inode = self._inodes.get(path)
        if inode is None:
            inode = self._inodes[path] = InodeT(self._next)
            self._paths[inode] = path
            self._next += 1
        entry.st_ino = inode
        entry.generation = 0
        # Paths come and go with the machine's settings: what is gone is found out when it is opened.
        entry.entry_timeout = entry.attr_timeout = CACHED_SECONDS
        entry.st_uid, entry.st_gid = os.getuid(), os.getgid()
        entry.st_atime_ns = entry.st_mtime_ns = entry.st_ctime_ns = 0
        entry.st_blksize = 4096
        entry.st_blocks = 0
        return entry

    def _handle(self, path: str) -> int:
        handle = self._next_handle
        self._next_handle += 1
        self._open[handle] = path, b""
        return handle


@asynccontextmanager
async def mounted(system: ControlFileSystem, directory: Path) -> AsyncIterator[None]:
    """`system` at `directory` as long as the block runs. Raises OSError or RuntimeError where it cannot be mounted.

    Nothing in the block may touch the directory from this process: it would wait for itself.
    """
    options = set(pyfuse3.default_options)
    options.discard("default_permissions")
    options |= {"fsname=softnet", "subtype=softnet"}
    pyfuse3.init(system, str(directory), options)
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(pyfuse3.main)
            try:
                yield
            finally:
                nursery.cancel_scope.cancel()
    finally:
        pyfuse3.close(unmount=True)
