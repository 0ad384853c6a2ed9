"""The settings that a box's files imply, as a scenario would write them, and what has to be said about them."""

from __future__ import annotations

import re
from typing import Any, Final

from scenarios.box_files import BoxFiles
from scenarios.origin import SettingPath

MAX_NAMED: Final = 12
"""Files or assumptions that a note names."""

_NUMBERED: Final = re.compile(r"(?<=rx-)\d+|(?<=irq/)\d+|(?<=/node)\d+")


class BoxSettings:
    """What is read of the box whose files are `files`."""

    def __init__(self, files: BoxFiles) -> None:
        self.files = files
        self.document: dict[str, dict[str, Any]] = {"machine": {}, "nic": {}, "set": {}}
        """Tables as of a scenario file."""
        self.places: dict[SettingPath, str] = {}
        """Setting -> the file that it is from, for errors."""
        self.is_about: list[str] = []
        """What it is a copy of."""
        self.rates: str | None = None
        """What its counters say, if they were copied twice."""
        self.assumed: list[str] = []
        """What was taken because the files do not tell."""
        self.differs: list[str] = []
        """What is not as on the box."""

    def put(self, table: str, key: str, value: object, path: str) -> None:
        """Set `key` of [table], as the file at `path` says."""
        self.document[table][key] = value
        self.places[table, key] = self.files.where(path)

    def notes(self) -> list[str]:
        """A line each: what it is and did, what was missing, assumed, or is different here."""
        name = self.files.where("").rstrip("/") or "/"
        lines = [f"{name}: {', '.join(self.is_about)}"]
        if self.rates is not None:
            lines.append(f"{name}: {self.rates}")
        for title, words in (
            ("not there", _grouped(self.files.missing)),
            ("assumed", self.assumed),
            ("not as on the box", self.differs),
        ):
            if words:
                more = f"; and {len(words) - MAX_NAMED} more" if len(words) > MAX_NAMED else ""
                lines.append(f"{name}: {title}: {'; '.join(words[:MAX_NAMED])}{more}")
        return lines


def _grouped(paths: list[str]) -> list[str]:
    """The paths, those of one directory together, those of many queues and interrupts as one."""
    counts: dict[str, dict[str, int]] = {}
    for path in dict.fromkeys(paths):
        directory, _, name = _NUMBERED.sub("*", path).rpartition("/")
        names = counts.setdefault(directory, {})
        names[name] = names.get(name, 0) + 1
    found = []
    for directory, names in counts.items():
        most = max(names.values())
        inside = ",".join(names)
        inside = f"{{{inside}}}" if len(names) > 1 else inside
        found.append(f"{directory}/{inside}{f' ({most} of them)' if most > 1 else ''}".lstrip("/"))
    return found
