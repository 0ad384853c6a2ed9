"""Control files as a file system: what `cat`, `echo`, `watch` and real tools read and write on a machine that runs.

Models: what the kernel's own /proc and /sys do: a file's text is made when it is read from its start, a write is one control write, and a
refused one fails with the kernel's errno; files have no size that tells anything; paths come and go. A write to /sys takes a page at
most and says so, whatever its offset; one to /proc/sys is looked at up to a page, and taken and ignored when it does not begin at 0
(sysctl_writes_strict). Nothing can be made, removed or renamed.
Leaves out: owners, times, what the files mean, and that numbers in /proc/sys end after the first read.
Source: Linux 6.9, fs/kernfs/file.c, fs/seq_file.c, kernel/sysctl.c, fs/fuse/file.c.

Needs pyfuse3 (the extra `softnet[mount]`). Imported only where something is mounted.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Collection, Sequence
from typing import Final, Never, Protocol

import pyfuse3
from pyfuse3 import ROOT_INODE, EntryAttributes, FileInfo, FUSEError, InodeT, RequestContext, SetattrFields

from emu.errors import ControlError

PAGE_BYTES: Final = 4096
"""What files of /sys say of their size, and what a write there takes at most; files of /proc say 0."""
CACHED_SECONDS: Final = 1.0
"""How long the kernel may believe that a name is there."""


class ControlFiles(Protocol):
    """A tree of control files, read and written at the present."""

    def is_directory(self, path: str) -> bool:
        """Whether `path` is a directory."""

    def is_file(self, path: str) -> bool:
        """Whether `path` is a file."""

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

    def __init__(self, files: ControlFiles, beside: Collection[str] = (), real_root: str = "") -> None:
        super().__init__()
        self._files = files
        self._beside = frozenset(beside)
        self._real_root = real_root
        self._paths: dict[int, str] = {ROOT_INODE: "/"}
        self._inodes: dict[str, InodeT] = {"/": ROOT_INODE}
        self._lookups: dict[int, int] = {}
        """Inode -> references that the kernel has; an inode is kept from its first reference to its last."""
        self._next = ROOT_INODE + 1
        self._open: dict[int, _OpenFile] = {}
        self._listed: dict[int, tuple[str, list[str]]] = {}
        """Handle of a directory -> (path, names as of the last reading from the start)."""
        self._next_handle = 1

    # ---------------------------------------------------------------- names

    async def lookup(self, parent_inode: InodeT, name: bytes, ctx: RequestContext) -> EntryAttributes:
        """The entry `name` of a directory."""
        path = self._child(self._path(parent_inode), name)
        return self._referenced(path, self._attributes(path))

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
        """Cutting a file, as `>` does, is fine and does nothing; mode and owner stay."""
        if fields.update_mode or fields.update_uid or fields.update_gid:
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
        handle = self._handle()
        self._listed[handle] = path, []
        return handle

    async def readdir(self, fh: int, start_id: int, token: pyfuse3.ReaddirToken) -> None:
        """The names, from number `start_id` on; they are those of the reading from the start, whatever came and went since."""
        directory, names = self._listed[fh]
        if not start_id:
            names = self._names(directory)
            self._listed[fh] = directory, names
        for number, name in enumerate(names[start_id:], start_id + 1):
            encoded = os.fsencode(name)
            path = self._child(directory, encoded)
            try:
                entry = self._attributes(path)
            except FUSEError:
                continue  # gone meanwhile
            if not pyfuse3.readdir_reply(token, encoded, entry, number):
                return
            self._referenced(path, entry)

    async def releasedir(self, fh: int) -> None:
        """Forget a handle."""
        self._listed.pop(fh, None)

    # ---------------------------------------------------------------- what cannot be

    async def create(
        self, parent_inode: InodeT, name: bytes, mode: int, flags: int, ctx: RequestContext
    ) -> tuple[FileInfo, EntryAttributes]:
        """EACCES, as the kernel has it for a directory that cannot make files."""
        raise FUSEError(errno.EACCES)

    async def _no_such_operation(self, *_: object, **__: object) -> Never:
        """EPERM, as for all that a directory has no operation for."""
        raise FUSEError(errno.EPERM)

    mknod = mkdir = unlink = rmdir = symlink = link = rename = _no_such_operation

    # ---------------------------------------------------------------- texts

    async def open(self, inode: InodeT, flags: int, ctx: RequestContext) -> FileInfo:
        """A handle; what may be done with it is known now, as the kernel tells it now."""
        path = self._path(inode)
        try:
            mode = self._files.mode(path)
        except ControlError as error:
            raise FUSEError(error.errno) from error
        wanted = flags & os.O_ACCMODE
        if (wanted != os.O_WRONLY and not mode & 0o444) or (wanted != os.O_RDONLY and not mode & 0o200):
            raise FUSEError(errno.EACCES)
        handle = self._handle()
        self._open[handle] = _OpenFile(path)
        # Its size says nothing, so the kernel must ask for every byte, and seek where tools seek.
        return FileInfo(fh=handle, direct_io=True, keep_cache=False)

    async def read(self, fh: int, off: int, size: int) -> bytes:
        """Part of the text, which is made anew when it is read from its start."""
        opened = self._open[fh]
        text = opened.text
        if text is None or not off:
            try:
                text = opened.text = (await self._files.read(opened.path)).encode()
            except ControlError as error:
                raise FUSEError(error.errno) from error
        return text[off : off + size]

    async def write(self, fh: int, off: int, buf: bytes) -> int:
        """One control write. Returns how much of `buf` it took; a text that is no UTF-8 is EINVAL."""
        path = self._open[fh].path
        taken = buf
        if path.startswith("/proc/sys/"):
            if off:
                return len(buf)
            taken = buf[: PAGE_BYTES - 1]
        elif path.startswith("/sys/"):
            buf = taken = buf[:PAGE_BYTES]
        try:
            await self._files.write(path, taken.decode())
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
        data.f_bsize = data.f_frsize = PAGE_BYTES
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

    def _attributes(self, path: str) -> EntryAttributes:
        entry = EntryAttributes()
        entry.st_nlink = 1
        if self._files.is_directory(path):
            entry.st_mode = stat.S_IFDIR | 0o555
            entry.st_nlink = 2
        elif self._files.is_file(path):
            entry.st_mode = stat.S_IFREG | self._files.mode(path)
            entry.st_size = PAGE_BYTES if path.startswith("/sys/") else 0
        elif self._real(path) is not None:
            entry.st_mode = stat.S_IFLNK | 0o777
        else:
            raise FUSEError(errno.ENOENT)
        entry.st_ino = self._inodes.get(path, InodeT(self._next))
        entry.generation = 0
        # Paths come and go with the machine's settings: what is gone is found out when it is opened.
        entry.entry_timeout = entry.attr_timeout = CACHED_SECONDS
        entry.st_uid, entry.st_gid = os.getuid(), os.getgid()
        entry.st_atime_ns = entry.st_mtime_ns = entry.st_ctime_ns = 0
        entry.st_blksize = PAGE_BYTES
        entry.st_blocks = 0
        return entry

    def _referenced(self, path: str, entry: EntryAttributes) -> EntryAttributes:
        """The kernel has one more reference to the inode of `path`."""
        inode = entry.st_ino
        if path not in self._inodes:
            self._inodes[path] = inode
            self._paths[inode] = path
            self._next += 1
        self._lookups[inode] = self._lookups.get(inode, 0) + 1
        return entry

    def _handle(self) -> int:
        self._next_handle += 1
        return self._next_handle


class _OpenFile:
    """A file that somebody has open."""

    __slots__ = ("path", "text")

    def __init__(self, path: str) -> None:
        self.path = path
        self.text: bytes | None = None
        """As of the last read from the start."""
