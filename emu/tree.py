"""The control tree: the paths of /proc and /sys that this machine has, each with a read and a write.

Models: the files' texts and errno numbers; sysctl names as another spelling of /proc/sys; the kinds of file that most
controls are (numbers, switches, CPU masks and lists).
Leaves out: owners and permissions beyond readable and writable, offsets and partial reads.
Source: Linux 6.9, kernel/sysctl.c, and writes to a real 6.18; sysctl(8) for names.
"""

import difflib
from collections.abc import Callable
from errno import EACCES, EISDIR, ENOENT, ENOTDIR, EOPNOTSUPP
from typing import Final

from emu.cpumask import format_list, format_mask, parse_list, parse_mask
from emu.errors import ControlError
from emu.kstrto import INT_MAX, INT_MIN, ULONG_MAX, parse_bool, parse_int, parse_ints, parse_number, parse_unsigned

Read = Callable[[], str]
Write = Callable[[str], None]

SYSCTL_ROOT: Final = "/proc/sys/"

_SWAP: Final = str.maketrans("./", "/.")


class ControlEntry:
    """One control file: ``read`` returns its text with the final newline, ``write`` takes a text or raises.

    ``write`` is handed the written text less one final newline. It raises ControlError, and then has changed nothing.
    """

    __slots__ = ("read", "write")

    def __init__(self, read: Read | None, write: Write | None) -> None:
        self.read = read
        self.write = write

    @property
    def mode(self) -> int:
        """The file's permission bits: 0o644, 0o444 or 0o200."""
        return (0o444 if self.read is not None else 0) | (0o200 if self.write is not None else 0)


class ControlTree:
    """All control files by absolute path. Whatever text comes in, only ControlError comes out.

    ``log(path, text)`` is called after each write that was taken, with the full path and the text less its newline.
    Every method that takes a path from a person also takes a sysctl name.
    """

    __slots__ = ("_directories", "_entries", "log")

    def __init__(self, log: Callable[[str, str], None] | None = None) -> None:
        self._entries: dict[str, ControlEntry] = {}
        self._directories: dict[str, set[str]] = {"/": set()}
        self.log = log

    def add(self, path: str, read: Read | None, write: Write | None) -> None:
        """Add a file. ValueError for a path that is taken, is not absolute, or leads through a file."""
        self.add_entry(path, ControlEntry(read, write))

    def add_entry(self, path: str, entry: ControlEntry) -> None:
        """Add a file made by one of the helpers below; as `add`."""
        if path != _normal(path) or path == "/":
            raise ValueError(f"{path!r} is no absolute path without empty parts")
        if path in self._entries or path in self._directories:
            raise ValueError(f"{path} is in the tree already")
        parts = path.split("/")
        parents = ["/".join(parts[:depth]) or "/" for depth in range(1, len(parts))]
        for parent in parents:
            if parent in self._entries:
                raise ValueError(f"{path} leads through {parent}, which is a file")
        for parent, name in zip(parents, parts[1:], strict=True):
            self._directories.setdefault(parent, set()).add(name)
        self._entries[path] = entry

    def remove(self, path: str) -> None:
        """Remove a file, or a directory with all in it; directories left empty go too. ControlError ENOENT."""
        path = self.resolve(path)
        if path in self._directories:
            doomed = [known for known in self._entries if known.startswith(path.rstrip("/") + "/")]
        else:
            self._entry(path)
            doomed = [path]
        for known in doomed:
            del self._entries[known]
            self._forget(known)

    def resolve(self, key: str) -> str:
        """Return the absolute path that ``key``, a path or a sysctl name, spells. It need not exist."""
        return _normal(key) if key.startswith("/") else _normal(sysctl_path(key))

    def read(self, path: str) -> str:
        """Return the file's text. ControlError ENOENT, EISDIR, or EACCES for a file that can only be written."""
        path = self.resolve(path)
        entry = self._entry(path)
        if entry.read is None:
            raise ControlError(EACCES, f"{path} can only be written")
        return entry.read()

    def write(self, path: str, text: str) -> None:
        """Write ``text``; one final newline does not count. ControlError ENOENT, EISDIR, EACCES, or the file's own."""
        path = self.resolve(path)
        entry = self._entry(path)
        if entry.write is None:
            raise ControlError(EACCES, f"{path} can only be read")
        text = text.removesuffix("\n")
        try:
            entry.write(text)
        except ControlError as error:
            raise ControlError(error.errno, f"{path}: {error.message}") from error
        if self.log is not None:
            self.log(path, text)

    def paths(self) -> list[str]:
        """Return the paths of all files, sorted."""
        return sorted(self._entries)

    def list(self, path: str) -> list[str]:
        """Return the names in a directory, sorted. ControlError ENOENT or ENOTDIR."""
        path = self.resolve(path)
        if path in self._entries:
            raise ControlError(ENOTDIR, f"{path} is a file, not a directory")
        if path not in self._directories:
            raise self._unknown(path)
        return sorted(self._directories[path])

    def is_directory(self, path: str) -> bool:
        """Whether there is a directory of that path."""
        return self.resolve(path) in self._directories

    def is_file(self, path: str) -> bool:
        """Whether there is a file of that path."""
        return self.resolve(path) in self._entries

    def entry(self, path: str) -> ControlEntry:
        """Return the file's entry. ControlError ENOENT or EISDIR."""
        return self._entry(self.resolve(path))

    def _entry(self, path: str) -> ControlEntry:
        entry = self._entries.get(path)
        if entry is not None:
            return entry
        if path in self._directories:
            raise ControlError(EISDIR, f"{path} is a directory: name a file in it, such as {self._first_in(path)}")
        raise self._unknown(path)

    def _first_in(self, directory: str) -> str:
        start = directory.rstrip("/") + "/"
        return min((path for path in self._entries if path.startswith(start)), default="(it is empty)")

    def _unknown(self, path: str) -> ControlError:
        shown = path if len(path) <= 120 else path[:117] + "..."
        close = difflib.get_close_matches(path[:200], [*self._entries, *self._directories], n=1, cutoff=0.0)
        return ControlError(ENOENT, f"{shown!r} does not exist" + (f": the nearest is {close[0]}" if close else ""))

    def _forget(self, path: str) -> None:
        """Take ``path`` out of its directory, and the directory out of its own when nothing is left in it."""
        while path != "/":
            parent, _, name = path.rpartition("/")
            parent = parent or "/"
            names = self._directories[parent]
            names.discard(name)
            if names or parent == "/":
                return
            del self._directories[parent]
            path = parent


def sysctl_path(name: str) -> str:
    """Return the path of a sysctl: ``net.core.netdev_budget``, ``net/core/netdev_budget``.

    The first separator decides: after a dot, a slash stands for a dot inside a part
    (``net.ipv4.conf.eth0/100.forwarding`` is the directory eth0.100); after a slash, dots are left alone.
    """
    dot, slash = name.find("."), name.find("/")
    if dot >= 0 and (slash < 0 or dot < slash):
        name = name.translate(_SWAP)
    return SYSCTL_ROOT + name


def sysctl_name(path: str) -> str:
    """Return the dotted name of a path under /proc/sys; any other path, or one that has no such name, as it is."""
    name = path.removeprefix(SYSCTL_ROOT)
    if name == path or "." in name.partition("/")[0]:
        return path
    return name.translate(_SWAP)


def int_entry(
    get: Callable[[], int], set: Callable[[int], None] | None, minimum: int = INT_MIN, maximum: int = INT_MAX
) -> ControlEntry:
    """Return an integer of proc_dointvec_minmax, read in decimal; ``minimum`` and ``maximum`` are allowed values."""

    def write(text: str) -> None:
        assert set is not None
        set(parse_int(text, minimum, maximum))

    return ControlEntry(lambda: f"{get()}\n", None if set is None else write)


def unsigned_entry(
    get: Callable[[], int], set: Callable[[int], None] | None, minimum: int = 0, maximum: int = ULONG_MAX
) -> ControlEntry:
    """Return a number of kstrtoul, as most numbers of /sys are, read in decimal."""

    def write(text: str) -> None:
        assert set is not None
        set(parse_unsigned(text, minimum, maximum))

    return ControlEntry(lambda: f"{get()}\n", None if set is None else write)


def ulong_entry(
    get: Callable[[], int], set: Callable[[int], None], minimum: int = 0, maximum: int = ULONG_MAX
) -> ControlEntry:
    """Return a number of proc_doulongvec_minmax, in the grammar of `int_entry`."""
    return ControlEntry(lambda: f"{get()}\n", lambda text: set(parse_number(text, minimum, maximum)))


def ints_entry(
    get: Callable[[], list[int]], set: Callable[[list[int]], None], minimum: int = INT_MIN, maximum: int = INT_MAX
) -> ControlEntry:
    """Return a vector of proc_dointvec_minmax, read with tabs between its numbers. `set` sees those written: the first ones, or all."""

    def write(text: str) -> None:
        set(parse_ints(text, len(get()), minimum, maximum))

    return ControlEntry(lambda: "\t".join(map(str, get())) + "\n", write)


def fixed_entry(value: int, reason: str, minimum: int = INT_MIN, maximum: int = INT_MAX) -> ControlEntry:
    """Return an integer as `int_entry` that keeps ``value``: a setting that the emulator shows and does not follow.

    Another value within the limits is refused with EOPNOTSUPP and ``reason``, not accepted and ignored.
    """
    return int_entry(lambda: value, lambda written: keep_value(written, value, reason), minimum, maximum)


def keep_value(written: int, value: int, reason: str) -> None:
    """ControlError EOPNOTSUPP with ``reason`` unless ``written`` is ``value``."""
    if written != value:
        raise ControlError(EOPNOTSUPP, f"{written} would change nothing here, {reason}: only {value} is taken")


def bool_entry(get: Callable[[], bool], set: Callable[[bool], None] | None) -> ControlEntry:
    """Return a switch of kstrtobool, read as 0 or 1."""

    def write(text: str) -> None:
        assert set is not None
        set(parse_bool(text))

    return ControlEntry(lambda: f"{int(get())}\n", None if set is None else write)


def mask_entry(get: Callable[[], int], set: Callable[[int], None] | None, nr_cpus: int) -> ControlEntry:
    """Return a CPU mask in hexadecimal groups, ``nr_cpus`` bits wide; ``get`` and ``set`` see a mask as an int."""

    def write(text: str) -> None:
        assert set is not None
        set(parse_mask(text, nr_cpus))

    return ControlEntry(lambda: format_mask(get(), nr_cpus) + "\n", None if set is None else write)


def list_entry(get: Callable[[], int], set: Callable[[int], None] | None, nr_cpus: int) -> ControlEntry:
    """Return a CPU list such as ``0-3,8``; ``get`` and ``set`` see a mask as an int."""

    def write(text: str) -> None:
        assert set is not None
        set(parse_list(text, nr_cpus))

    return ControlEntry(lambda: format_list(get(), nr_cpus) + "\n", None if set is None else write)


def _normal(path: str) -> str:
    """Return ``path`` without empty and ``.`` parts; ``..`` stays, and then names nothing."""
    return "/" + "/".join(part for part in path.split("/") if part not in ("", "."))
