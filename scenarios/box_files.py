"""The files of a tree copied from a box: read safely, whatever somebody put there.

A tree is a directory with `proc`, `sys` and `ethtool` in it, as `softnet export` and `collect.sh` write it. Only regular files
inside of the directory are read, none beyond its limit of bytes; links may lead about in it, not out of it. What is not there
or may not be read is None and remembered in `missing`; what is no text, too long, or no file at all is an InputFileError.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Final

from emu.cpumask import parse_list
from emu.errors import ConfigError, ControlError, InputFileError
from scenarios.shown import shown

MAX_BYTES: Final = 1 << 20
"""Of most files."""
MAX_LIST_BYTES: Final = 4096
"""Of a CPU list or mask."""
MAX_NAMES: Final = 8192
"""Names looked at in a directory."""
MAX_CPU_NUMBER: Final = 8191
"""The highest that a kernel can be built for."""

_HEX: Final = frozenset("0123456789abcdefABCDEF")


class BoxFiles:
    """The files below `root`, named by their paths in it, such as `proc/interrupts`. ConfigError if `root` is no directory."""

    def __init__(self, root: Path, name: str) -> None:
        self.name = name
        """As the user named it."""
        self.missing: list[str] = []
        """Paths that were asked for and are not there."""
        try:
            self._root = os.path.realpath(root)
            is_directory = os.path.isdir(self._root)
        except (OSError, ValueError):
            is_directory = False
        if not is_directory:
            raise ConfigError(
                f"there is no directory {shown(name)}: `softnet collect` prints the script that makes one"
            )

    def where(self, path: str) -> str:
        """`path` for a message, as the user would find it."""
        return shown(f"{self.name.rstrip('/')}/{path}")

    def error(self, path: str, message: str) -> InputFileError:
        """The error about the file at `path`."""
        return InputFileError(f"{self.where(path)}: {message}")

    def text(self, path: str, max_bytes: int = MAX_BYTES, *, is_expected: bool = True) -> str | None:
        """The file's text; None if it is not there, which is remembered if it is expected. InputFileError."""
        data = self._read(path, max_bytes)
        if data is None:
            if is_expected:
                self.missing.append(path)
            return None
        try:
            text = data.decode()
        except UnicodeDecodeError:
            raise self.error(path, "it is no text") from None
        for character in text:
            if character < " " and character not in "\n\t":
                raise self.error(path, f"there is a control character in it ({shown(character)})")
        return text

    def number(self, path: str, *, is_expected: bool = True) -> int | None:
        """The whole number that the file holds; None if it is not there. InputFileError for anything else."""
        text = self.text(path, MAX_LIST_BYTES, is_expected=is_expected)
        if text is None:
            return None
        word = text.strip()
        digits = word.removeprefix("-")
        if not (digits.isascii() and digits.isdigit() and len(digits) <= 20):
            raise self.error(path, f"{word[:40]!r} is no whole number")
        return int(word)

    def cpu_list(self, path: str, *, is_expected: bool = True) -> int | None:
        """The mask of a CPU list such as `0-3,8`; None if it is not there. InputFileError."""
        text = self.text(path, MAX_LIST_BYTES, is_expected=is_expected)
        if text is None:
            return None
        try:
            return parse_list(text, MAX_CPU_NUMBER + 1)
        except ControlError as error:
            raise self.error(path, error.message) from error

    def cpu_mask(self, path: str, *, is_expected: bool = True) -> int | None:
        """The mask in hexadecimal groups of 32 bits, however many and however short the left one; None if it is not there."""
        text = self.text(path, MAX_LIST_BYTES, is_expected=is_expected)
        if text is None:
            return None
        mask = 0
        for group in text.strip().split(","):
            if not 0 < len(group) <= 8 or not _HEX.issuperset(group):
                raise self.error(path, f"{text.strip()[:60]!r} is no CPU mask, groups of up to 8 hexadecimal digits")
            mask = mask << 32 | int(group, 16)
        if mask.bit_length() > MAX_CPU_NUMBER + 1:
            raise self.error(path, f"it names CPU {mask.bit_length() - 1}, which no kernel has")
        return mask

    def names(self, path: str) -> list[str]:
        """The names in a directory, sorted; none if it is not there. InputFileError if there are too many."""
        real = self._real(path)
        if real is None:
            return []
        found: list[str] = []
        try:
            with os.scandir(real) as entries:
                for entry in entries:
                    if len(found) == MAX_NAMES:
                        raise self.error(path, f"more than {MAX_NAMES} names in a directory")
                    found.append(entry.name)
        except OSError:
            return []
        return sorted(found)

    def numbered(self, path: str, prefix: str) -> list[int]:
        """The numbers N of the names `prefixN` in a directory, ascending."""
        rests = [name.removeprefix(prefix) for name in self.names(path) if name.startswith(prefix)]
        return sorted({int(rest) for rest in rests if rest.isascii() and rest.isdigit() and len(rest) <= 9})

    def holds(self, path: str) -> bool:
        """Whether something is there."""
        return self._real(path) is not None

    def _real(self, path: str) -> str | None:
        """Where `path` leads to; None if nothing is there. InputFileError if it leads out of the tree."""
        try:
            real = os.path.realpath(f"{self._root}/{path}")
            there = os.path.lexists(real)
        except (OSError, ValueError):
            return None
        root = self._root.rstrip("/")
        if real != self._root and not real.startswith(f"{root}/"):
            raise self.error(path, "it leads out of the tree")
        return real if there else None

    def _read(self, path: str, max_bytes: int) -> bytes | None:
        real = self._real(path)
        if real is None:
            return None
        try:
            # Looked at first: to open a device, a pipe can do something.
            if not stat.S_ISREG(os.lstat(real).st_mode):
                raise self.error(path, "it is no regular file")
            handle = os.open(real, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
            with open(handle, "rb") as stream:
                data = stream.read(max_bytes + 1)
        except OSError:
            return None  # /sys refuses some reads, such as the speed of a link that is down
        if len(data) > max_bytes:
            raise self.error(path, f"it is larger than {max_bytes:,} bytes")
        return data
