"""Saving a run: the scenario as it was loaded, options and seed in it, and the live commands as `[[at]]` events.

The saved scenario, run again, gives the same run to the byte. Comments of the scenario's file are kept.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from itertools import groupby
from pathlib import Path
from typing import Any, Final

import tomlkit
from tomlkit.items import AoT

from scenarios.box import TREE, forget_machine, free_applications
from scenarios.durations import format_duration
from scenarios.load import LoadedScenario
from scenarios.origin import SettingPath
from scenarios.user import Done

MAX_COPIES: Final = 1000
_UNFIT: Final = re.compile(r"[^A-Za-z0-9_.-]+")


def saved_text(loaded: LoadedScenario, seed: int, done: Iterable[Done], ends_ns: int | None = None) -> str:
    """The scenario as TOML: what the file said, then the options, the seed, and every live command that changed something.

    With `ends_ns` the run ends then.
    """
    origin = loaded.origin
    document = tomlkit.parse(origin.text)
    if origin.built_in and TREE in loaded.given:
        forget_machine(document)
        free_applications(document, loaded.scenario.machine.cpus)
    ethtool = [value for path, value in loaded.given.items() if path[0] == "ethtool"]
    if ethtool and "ethtool" in document:
        document["ethtool"] = [*document["ethtool"], *ethtool]
    elif ethtool:  # a key of the top level stands before the first table
        document = tomlkit.parse(tomlkit.dumps({"ethtool": ethtool}) + origin.text)
    for path, value in loaded.given.items():
        if path[0] != "ethtool":
            _put(document, path, value)
    _put(document, ("machine", "seed"), seed)
    if ends_ns is not None:
        _put(document, ("run", "duration"), format_duration(ends_ns))
    _put(document, ("scenario", "name"), loaded.scenario.scenario.name)
    if loaded.scenario.capture is not None:
        _put(document, ("capture", "file"), str(origin.capture_path(loaded.scenario.capture.file).resolve()))
    if loaded.scenario.machine.tree is not None:
        base = Path() if TREE in loaded.given else origin.base
        _put(document, TREE, str((base / Path(loaded.scenario.machine.tree).expanduser()).resolve()))
    live = [(one.at_ns, one.line) for one in done if one.live and not one.asked]
    if live:
        events = document.get("at")
        if not isinstance(events, AoT):
            tables = list(events) if events is not None else []
            document.pop("at", None)
            events = tomlkit.aot()
            for table in tables:
                events.append(tomlkit.item(dict(table)))
            document.append("at", events)
        for at_ns, lines in groupby(live, key=lambda one: one[0]):
            event = tomlkit.table()
            event.trivia.indent = "\n"
            event["time"] = format_duration(at_ns)
            event["do"] = [line for _, line in lines]
            events.append(event)
    return tomlkit.dumps(document)


def save(loaded: LoadedScenario, seed: int, done: Iterable[Done], directory: Path, ends_ns: int | None = None) -> Path:
    """Write the scenario into a new file in `directory`, named after it and its seed, and return the path. Raises OSError."""
    stem = f"{_UNFIT.sub('-', loaded.scenario.scenario.name).strip('-.') or 'run'}-{seed}"
    text = saved_text(loaded, seed, done, ends_ns)
    for path in _names(directory, stem):
        try:
            with path.open("x", encoding="utf-8") as file:
                file.write(text)
        except FileExistsError:
            continue
        return path
    raise FileExistsError(17, f"{MAX_COPIES} copies are there already", str(directory / stem))


def _names(directory: Path, stem: str) -> Iterator[Path]:
    yield directory / f"{stem}.toml"
    for number in range(2, MAX_COPIES + 1):
        yield directory / f"{stem}-{number}.toml"


def _put(document: MutableMapping[str, Any], path: SettingPath, value: Any) -> None:
    """Set the value at `path`, making tables on the way."""
    if path[0] == "set":
        _forget_setting(document.get("set", {}), str(path[1]))
    at: Any = document
    for part in path[:-1]:
        if isinstance(at, MutableMapping) and part not in at:
            at[part] = tomlkit.table()
        at = at[part]
    at[path[-1]] = value


def _forget_setting(table: Any, key: str) -> None:
    """Take the setting `key` out of `[set]`, whether written `"a.b" = 1` or `a.b = 1`."""
    if key in table:
        del table[key]
    for dot in (match.start() for match in re.finditer(r"\.", key)):
        inner = table.get(key[:dot])
        if isinstance(inner, Mapping):
            _forget_setting(inner, key[dot + 1 :])
