"""The handlers of a file system of control files, called as the kernel calls them; no FUSE device is needed."""

from __future__ import annotations

import errno
import os
import stat
from typing import Any

import pytest

from emu.errors import ControlError
from emu.tree import ControlTree

pyfuse3 = pytest.importorskip("pyfuse3")

from monitor.control_files import ControlFileSystem  # noqa: E402 - after the skip

BUDGET = "/proc/sys/net/core/netdev_budget"
RPS = "/sys/class/net/eth0/queues/rx-0/rps_cpus"


class Files:
    """A small tree whose writes are kept."""

    def __init__(self) -> None:
        self.tree = ControlTree(log=lambda path, text: self.written.append((path, text)))
        self.written: list[tuple[str, str]] = []
        self.reads = 0
        for path in (BUDGET, RPS, "/proc/irq/32/smp_affinity"):
            self.tree.add(path, self._text, self._write)
        self.tree.add("/sys/only/read", self._text, None)
        self.tree.add("/sys/only/written", None, self._write)
        self.is_directory, self.is_file, self.names = self.tree.is_directory, self.tree.is_file, self.tree.list

    def _text(self) -> str:
        self.reads += 1
        return f"text {self.reads}\n"

    def _write(self, text: str) -> None:
        if text.startswith("bad"):
            raise ControlError(errno.ERANGE, "it is bad")

    def mode(self, path: str) -> int:
        return self.tree.entry(path).mode

    async def read(self, path: str) -> str:
        return self.tree.read(path)

    async def write(self, path: str, text: str) -> None:
        self.tree.write(path, text)


class Kernel:
    """What the kernel asks for, by path."""

    def __init__(self, files: Files, **options: Any) -> None:
        self.system: Any = ControlFileSystem(files, **options)

    async def entry(self, path: str) -> Any:
        """Look up each part."""
        inode = pyfuse3.ROOT_INODE
        entry = await self.system.getattr(inode, None)
        for name in path.strip("/").split("/"):
            entry = await self.system.lookup(inode, os.fsencode(name), None)
            inode = entry.st_ino
        return entry

    async def open(self, path: str, flags: int = os.O_RDWR) -> int:
        return int((await self.system.open((await self.entry(path)).st_ino, flags, None)).fh)

    async def list(self, path: str, monkeypatch: pytest.MonkeyPatch, room: int) -> list[str]:
        """All names, `room` in each answer."""
        found: list[str] = []
        left = start = 0

        def reply(token: object, name: bytes, entry: Any, number: int) -> bool:
            nonlocal left, start
            if not left:
                return False
            left, start = left - 1, number
            found.append(os.fsdecode(name))
            return True

        monkeypatch.setattr(pyfuse3, "readdir_reply", reply)
        handle = await self.system.opendir((await self.entry(path)).st_ino, None)
        before = -1
        while before != start:
            left, before = room, start
            await self.system.readdir(handle, start, None)
        await self.system.releasedir(handle)
        return found


async def failure(call: Any) -> int:
    """The errno that `call` ends with."""
    with pytest.raises(pyfuse3.FUSEError) as error:
        await call
    return int(error.value.errno)


async def test_a_text_is_made_when_it_is_read_from_its_start() -> None:
    kernel = Kernel(Files())
    one, other = await kernel.open(RPS), await kernel.open(RPS)
    assert await kernel.system.read(one, 0, 4) == b"text"
    assert await kernel.system.read(other, 0, 100) == b"text 2\n"
    assert await kernel.system.read(one, 4, 100) == b" 1\n"
    assert await kernel.system.read(one, 7, 100) == b""
    assert await kernel.system.read(one, 0, 100) == b"text 3\n"
    first_is_not_its_start = await kernel.open(RPS)
    assert await kernel.system.read(first_is_not_its_start, 5, 100) == b"4\n"


@pytest.mark.parametrize(
    ("path", "offset", "text", "taken", "written"),
    [
        (RPS, 0, b"e\n", 2, ["e"]),
        (RPS, 5, b"e\n", 2, ["e"]),
        (RPS, 0, b"1" * 5000, 4096, ["1" * 4096]),
        (RPS, 0, b"", 0, [""]),
        (BUDGET, 0, b"300\n", 4, ["300"]),
        (BUDGET, 4, b"400\n", 4, []),
        (BUDGET, 0, b"1" * 5000, 5000, ["1" * 4095]),
        ("/proc/irq/32/smp_affinity", 9, b"1" * 5000, 5000, ["1" * 5000]),
    ],
)
async def test_a_write_takes_what_the_kernel_takes(
    path: str, offset: int, text: bytes, taken: int, written: list[str]
) -> None:
    files = Files()
    kernel = Kernel(files)
    assert await kernel.system.write(await kernel.open(path), offset, text) == taken
    assert files.written == [(path, one) for one in written]


async def test_what_is_refused_has_its_errno_and_changes_nothing() -> None:
    files = Files()
    kernel = Kernel(files)
    handle = await kernel.open(RPS)
    assert await failure(kernel.system.write(handle, 0, b"bad")) == errno.ERANGE
    assert await failure(kernel.system.write(handle, 0, b"\xff")) == errno.EINVAL
    assert await failure(kernel.open("/sys/only/read", os.O_WRONLY)) == errno.EACCES
    assert await failure(kernel.open("/sys/only/written", os.O_RDONLY)) == errno.EACCES
    assert await failure(kernel.open("/sys/only")) == errno.EISDIR
    assert await failure(kernel.entry("/sys/none")) == errno.ENOENT
    assert await failure(kernel.entry("/sys/\udcff\n")) == errno.ENOENT
    assert await failure(kernel.system.opendir((await kernel.entry(RPS)).st_ino, None)) == errno.ENOTDIR
    assert files.written == []


async def test_a_file_that_is_gone_meanwhile_is_told() -> None:
    files = Files()
    kernel = Kernel(files)
    entry, handle = await kernel.entry(RPS), await kernel.open(RPS)
    files.tree.remove(RPS)
    assert await failure(kernel.system.read(handle, 0, 100)) == errno.ENOENT
    assert await failure(kernel.system.write(handle, 0, b"1")) == errno.ENOENT
    assert await failure(kernel.system.getattr(entry.st_ino, None)) == errno.ENOENT


async def test_files_and_directories_say_what_they_are() -> None:
    kernel = Kernel(Files())
    sizes = {path: (await kernel.entry(path)).st_size for path in (RPS, BUDGET, "/sys/only/written")}
    assert sizes == {RPS: 4096, BUDGET: 0, "/sys/only/written": 4096}
    assert stat.filemode((await kernel.entry("/sys/only/written")).st_mode) == "--w-------"
    assert stat.filemode((await kernel.entry("/sys/only")).st_mode) == "dr-xr-xr-x"


@pytest.mark.parametrize("room", [1, 2, 100])
async def test_a_directory_is_read_in_pieces(monkeypatch: pytest.MonkeyPatch, room: int) -> None:
    kernel = Kernel(Files())
    assert await kernel.list("/sys/only", monkeypatch, room) == ["read", "written"]


async def test_an_inode_is_kept_as_long_as_the_kernel_knows_it(monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = Kernel(Files())
    inode = (await kernel.entry("/sys/only/read")).st_ino
    assert (await kernel.entry("/sys/only/read")).st_ino == inode
    await kernel.list("/sys/only", monkeypatch, 100)
    await kernel.system.forget([(inode, 2)])
    await kernel.system.getattr(inode, None)
    await kernel.system.forget([(inode, 1)])
    assert await failure(kernel.system.getattr(inode, None)) == errno.ESTALE
    assert (await kernel.entry("/sys/only/read")).st_ino != inode


async def test_names_of_the_real_system_are_links(monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = Kernel(Files(), beside=["/proc"], real_root="/real")
    entry = await kernel.entry("/proc/self")
    assert stat.S_ISLNK(entry.st_mode)
    assert await kernel.system.readlink(entry.st_ino, None) == b"/real/proc/self"
    listed = await kernel.list("/proc", monkeypatch, 3)
    assert {"self", "irq", "sys"} <= set(listed)
    assert len(listed) == len(set(listed))
    assert await failure(kernel.entry("/proc/none-of-that-name")) == errno.ENOENT
    assert await failure(kernel.system.readlink((await kernel.entry(RPS)).st_ino, None)) == errno.EINVAL
