"""Recordings on disk: find them, read them, tell their format, choose the rules of their kernel.

Whatever a file holds, only InputFileError comes out (exit code 3), and it says where in which file.
"""

from __future__ import annotations

import lzma
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec

from emu.errors import InputFileError
from emu.rules import RULES, Rules

SUFFIXES: Final = (".json", ".json.xz")
LIMIT_BYTES: Final = 1 << 30
"""Largest recording that is read, uncompressed."""
MAX_CPUS: Final = 256

T = TypeVar("T")


class Meta(msgspec.Struct):
    """Where a recording was made."""

    kernel: str
    HZ: int
    cpus: int


@dataclass(frozen=True)
class Recording:
    """A file's content: `format` is one of `scenarios.conform.formats.FORMATS`, `data` the parsed JSON."""

    path: Path
    format: str
    data: dict[str, Any]
    meta: Meta
    rules: Rules

    def convert(self, what: Any, kind: type[T], at: str = "") -> T:
        """`what`, a part of the data, as a `kind`. InputFileError says where it does not fit."""
        try:
            return msgspec.convert(what, kind)
        except msgspec.ValidationError as error:
            raise InputFileError(f"{self.path}{': ' + at if at else ''}: {error}") from error

    def hex(self, text: str, at: str) -> bytes:
        """Bytes of a hexadecimal string."""
        return hex_bytes(self.path, text, at)


def hex_bytes(path: Path, text: str, at: str) -> bytes:
    """Bytes of a hexadecimal string of the file `path`. InputFileError if it is none."""
    try:
        return bytes.fromhex(text)
    except ValueError as error:
        raise InputFileError(f"{path}: {at}: {text[:40]!r} is no string of hexadecimal bytes") from error


def find(places: Iterable[str]) -> list[Path]:
    """The recordings named by files and folders, folders searched in depth, in order of name. InputFileError."""
    found: list[Path] = []
    for place in places:
        path = Path(place)
        try:
            if path.is_dir():
                inside = sorted(p for p in path.rglob("*") if p.name.endswith(SUFFIXES) and p.is_file())
                if not inside:
                    raise InputFileError(f"{place}: no {' or '.join(SUFFIXES)} file in this folder")
                found += inside
            elif path.is_file():
                found.append(path)
            elif path.exists():
                raise InputFileError(f"{place}: neither a file nor a folder")
            else:
                raise InputFileError(f"{place}: there is no such file or folder")
        except (OSError, ValueError) as error:
            raise InputFileError(f"{place[:200]}: {error}") from error
    return list(dict.fromkeys(found))


def load(path: Path) -> Recording:
    """Read a recording. InputFileError."""
    try:
        if path.name.endswith(".xz"):
            with lzma.open(path) as file:
                text = file.read(LIMIT_BYTES + 1)
        else:
            with path.open("rb") as file:
                text = file.read(LIMIT_BYTES + 1)
    except (OSError, lzma.LZMAError, EOFError) as error:
        raise InputFileError(f"{path}: cannot be read ({error})") from error
    if len(text) > LIMIT_BYTES:
        raise InputFileError(f"{path}: longer than {LIMIT_BYTES} bytes")
    try:
        data = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise InputFileError(f"{path}: not JSON ({error})") from error
    if not isinstance(data, dict):
        raise InputFileError(f"{path}: a recording is a JSON object, this is a {type(data).__name__}")
    try:
        meta = msgspec.convert(data.get("meta"), Meta)
    except msgspec.ValidationError as error:
        raise InputFileError(f"{path}: meta: {error}") from error
    if not 1 <= meta.cpus <= MAX_CPUS:
        raise InputFileError(f"{path}: meta: {meta.cpus} CPUs; softnet emulates 1 to {MAX_CPUS}")
    if meta.HZ not in (100, 250, 300, 1000):
        raise InputFileError(f"{path}: meta: HZ={meta.HZ}; a kernel has 100, 250, 300 or 1000")
    return Recording(path, _format_of(path, data), data, meta, rules_of(path, meta.kernel))


def rules_of(path: Path, kernel: str) -> Rules:
    """The rules of the release that `uname -r` names: of the newest release softnet knows that is not newer. InputFileError."""
    match = re.match(r"(\d{1,4})\.(\d{1,4})", kernel)
    if match is None:
        raise InputFileError(f"{path}: meta: kernel {kernel[:40]!r} names no release")
    wanted = (int(match[1]), int(match[2]))
    best: Rules | None = None
    for name, rules in RULES.items():
        major, minor = name.split(".")
        if (int(major), int(minor)) <= wanted:
            best = rules
    if best is None:
        raise InputFileError(
            f"{path}: meta: kernel {kernel[:40]} is older than {next(iter(RULES))}, the oldest softnet knows"
        )
    return best


def _format_of(path: Path, data: dict[str, Any]) -> str:
    """The format, by what is in the file."""
    if "passes" in data:
        return "virtio"
    if "select" in data or "soft" in data or "hotplug" in data:
        return "rps"
    cases = data.get("cases")
    if isinstance(cases, dict):
        if not cases:
            raise InputFileError(f"{path}: no cases in it")
        first = next(iter(cases.values()))
        if isinstance(first, dict):
            for key, name in (
                ("modes", "gro"),
                ("mode", "gro_fuzz"),
                ("steps", "gro_poll"),
                ("sends", "softnet"),
                ("log", "rfs"),
                ("counters", "stack"),
                ("events", "trace"),
            ):
                if key in first:
                    return name
    raise InputFileError(
        f"{path}: none of the formats of recordings: gro, gro_fuzz, gro_poll, rps, rfs, softnet, stack, trace, virtio"
    )
