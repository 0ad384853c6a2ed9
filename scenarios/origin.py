"""Origins: where each setting of a scenario was written, for errors that name file, line and key.

A setting's path is a tuple of keys and indices: ("traffic", 1, "rate_pps"). It was written in a file, on the command
line (`--cpus`), or nowhere (a default). Lines are looked for only when there is an error.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from emu.errors import ConfigError

SettingPath = tuple[str | int, ...]

CAPTURES: Final = Path(__file__).parent / "captures"


@dataclass(frozen=True, slots=True)
class Origin:
    """Where one scenario's settings come from."""

    name: str
    """As the user named it: the file's path, or a built-in scenario's name."""
    base: Path
    """Directory to which the scenario's own paths are relative."""
    text: str = ""
    """The TOML text; empty if there was no file."""
    options: Mapping[SettingPath, str] = field(default_factory=dict)
    """Settings from elsewhere: given on the command line -> the option's name; read of a box -> the file."""
    built_in: bool = False
    """A scenario of the library: its lines are not in front of the user, and not named."""
    notes: tuple[str, ...] = ()
    """Sentences for the user about what was read of a box."""

    def error(self, path: SettingPath, message: str) -> ConfigError:
        """The error `message` about the setting at `path`, with the place where that was written."""
        return ConfigError(f"{self.where(path)}: {message}")

    def where(self, path: SettingPath) -> str:
        """`FILE:LINE: traffic[1].rate_pps`, `built-in rfs: app[0].cpus` or `--cpus`."""
        for length in range(len(path), 0, -1):
            option = self.options.get(path[:length])
            if option is not None:
                return option
        line = line_of(self.text, path) if self.text and not self.built_in else None
        place = f"built-in {self.name}" if self.built_in else self.name if line is None else f"{self.name}:{line}"
        key = key_words(path)
        return f"{place}: {key}" if key else place

    def capture_path(self, file: str) -> Path:
        """The capture that `file` of `[capture]` means: a built-in one by its bare name, else relative to the scenario.

        It need not exist.
        """
        if "/" not in file and "." not in file and not (self.base / file).exists():
            return CAPTURES / f"{file}.pcap"
        return self.base / Path(file).expanduser()


def key_words(path: SettingPath) -> str:
    """`traffic[1].rate_pps`; keys that are no bare TOML keys are quoted."""
    words = ""
    for part in path:
        if isinstance(part, int):
            words += f"[{part}]"
            continue
        bare = part.replace("_", "").replace("-", "")
        shown = part if bare.isascii() and bare.isalnum() else repr(part if len(part) <= 80 else part[:77] + "...")
        words += f".{shown}" if words else shown
    return words


def line_of(text: str, path: SettingPath) -> int | None:
    """The line, from 1, on which the setting at `path` begins in the TOML `text`; None if no part of it is there.

    A setting that is missing is where its table begins. The text is parsed up to one line after another until the setting
    is there, so whatever TOML allows is found; a line that parses with the setting but not without it holds its end.
    """
    lines = text.split("\n")
    try:
        whole = tomllib.loads(text)
    except (ValueError, RecursionError):
        return None
    while path and not _holds(whole, path):
        path = path[:-1]
    if not path:
        return None
    low, high = 0, len(lines)  # the setting is not within `low` lines, but within `high`
    while high - low > 1:
        middle = (low + high) // 2
        at = middle
        while at > low and (found := _within(lines, at, path)) is None:
            at -= 1
        if at == low:
            # No line between ends a statement: all of them are inside the one that ends later.
            at = middle + 1
            while at < high and (found := _within(lines, at, path)) is None:
                at += 1
            if at == high:
                break
        if found:
            high = at
        else:
            low = at
    return low + 1


def flatten_settings(document: dict[str, Any]) -> dict[str, Any]:
    """The document with `[set]` flat: TOML reads `net.core.netdev_budget = 600` as tables within tables."""
    settings = document.get("set")
    if not isinstance(settings, dict):
        return document
    flat: dict[str, Any] = {}

    def walk(table: dict[str, Any], prefix: str) -> None:
        for key, value in table.items():
            if isinstance(value, dict) and value:
                walk(value, f"{prefix}{key}.")
            else:
                flat[prefix + key] = value

    walk(settings, "")
    return {**document, "set": flat}


def _holds(document: dict[str, Any], path: SettingPath) -> bool:
    """Whether the setting at `path` is written in `document`."""
    at: Any = flatten_settings(document)
    for part in path:
        if isinstance(part, int):
            if not isinstance(at, list) or part >= len(at):
                return False
        elif not isinstance(at, dict) or part not in at:
            return False
        at = at[part]
    return True


def _within(lines: list[str], count: int, path: SettingPath) -> bool | None:
    """Whether the first `count` lines hold the setting; None if they end inside of a statement."""
    try:
        return _holds(tomllib.loads("\n".join(lines[:count]) + "\n"), path)
    except ValueError:
        return None
