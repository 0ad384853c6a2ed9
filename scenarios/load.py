"""Scenario files: TOML in, a checked Scenario out, and errors that name file, line, key and the nearest thing that would do.

A file is read whole, at most 1 MiB. What it says is first looked over as plain values (numbers that are none, control
characters), then converted by the schema, then checked across keys; command-line options take the place of keys before
that, so whatever they break is found, and named by the option.
"""

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from math import isfinite
from pathlib import Path
from stat import S_ISBLK, S_ISCHR, S_ISDIR, S_ISFIFO, S_ISSOCK
from typing import Any, Final

import msgspec

from emu.errors import ConfigError, InputFileError
from scenarios.box import TREE, forget_machine, free_applications, read_box, with_box
from scenarios.checks import contradictions
from scenarios.durations import Duration, parse_duration
from scenarios.origin import CAPTURES, Origin, SettingPath, flatten_settings
from scenarios.schema import Scenario
from scenarios.shapes import type_at, unknown_key, words_for
from scenarios.shown import shown

MAX_FILE_BYTES: Final = 1 << 20
MAX_INT_BITS: Final = 64

_AT: Final = re.compile(r" - at `(key` in `)?\$(.*)`\Z", re.DOTALL)
_PART: Final = re.compile(r"\.([A-Za-z_][A-Za-z_0-9]*)|\[(\d+)\]|(\[\.\.\.\])")
_UNKNOWN: Final = re.compile(r"Object contains unknown field `(.*)`\Z", re.DOTALL)
_MISSING: Final = re.compile(r"Object missing required field `(.*)`\Z", re.DOTALL)
_TOML_LINE: Final = re.compile(r" \(at line (\d+), ")
_TOML_PLACE: Final = re.compile(r" \(at (?:line \d+, column \d+|end of document)\)\Z")
_FREE_TEXT: Final = (("scenario", "description"), ("scenario", "look_for"))
"""The only texts with more than one line."""

_NO_FILES: Final = (
    (S_ISDIR, "a directory"),
    (S_ISFIFO, "a pipe"),
    (S_ISCHR, "a device"),
    (S_ISBLK, "a device"),
    (S_ISSOCK, "a socket"),
)
_PACKED: Final = {
    b"\x1f\x8b": "gzip",
    b"BZh": "bzip2",
    b"\xfd7zXZ\x00": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"PK\x03\x04": "zip",
}
"""First bytes of a file -> what made it."""

_NO_OPTIONS: Final[Mapping[SettingPath, tuple[str, Any]]] = {}


@dataclass(frozen=True, slots=True)
class LoadedScenario:
    """A scenario that can be run, and where each of its settings was written."""

    scenario: Scenario
    origin: Origin
    given: Mapping[SettingPath, Any] = field(default_factory=dict)
    """Settings of the command line, as they stand in the scenario."""


def load_scenario(
    path: Path | str, options: Mapping[SettingPath, tuple[str, Any]] = _NO_OPTIONS, built_in: bool = False
) -> LoadedScenario:
    """Read and check the scenario file at `path`.

    `options` are settings from the command line: path -> (the option's name, its value as TOML would give it). Errors name the
    file by its path, a built-in one by its stem. Raises ConfigError, and InputFileError for what cannot be a scenario.
    """
    path = Path(path)
    name = path.stem if built_in else str(path)
    problem = input_problem(path)
    if problem is not None:
        raise InputFileError(f"{shown(name)}: {problem}")
    try:
        with path.open("rb") as stream:
            data = stream.read(MAX_FILE_BYTES + 1)
    except (OSError, ValueError) as error:
        words = (error.strerror if isinstance(error, OSError) else None) or str(error)
        raise InputFileError(f"{shown(name)}: the scenario cannot be read ({words})") from error
    if len(data) > MAX_FILE_BYTES:
        raise ConfigError(f"{shown(name)}: larger than {MAX_FILE_BYTES >> 20} MiB, which no scenario is")
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{shown(name)}:{line}: not UTF-8, as TOML must be ({error.reason})") from error
    return parse_scenario(text, name, path.parent, options, built_in)


def parse_scenario(
    text: str,
    name: str,
    base: Path,
    options: Mapping[SettingPath, tuple[str, Any]] = _NO_OPTIONS,
    built_in: bool = False,
) -> LoadedScenario:
    """The scenario that the TOML `text` says; `base` is the directory of its relative paths. Raises ConfigError, and
    InputFileError for a capture that is none. A scenario without a name gets the stem of the file's."""
    stem = shown(Path(name).stem)
    name = shown(name)
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        match = _TOML_LINE.search(str(error))
        words = shown(_TOML_PLACE.sub("", str(error)))
        line = int(match[1]) if match else text.rstrip().count("\n") + 1
        raise ConfigError(f"{name}:{line}: not TOML: {words}") from error
    except RecursionError as error:
        raise ConfigError(f"{name}:{_fatal_line(text)}: lists or tables too deep within each other") from error
    except ValueError as error:
        raise ConfigError(f"{name}:{_fatal_line(text)}: a number of thousands of digits") from error
    document = flatten_settings(document)
    if built_in and TREE in options:
        forget_machine(document)
    given: dict[SettingPath, str] = {}
    values: dict[SettingPath, Any] = {}
    origin = Origin(name, base, text, given, built_in)
    for path, (option, value) in options.items():
        if path[0] == "capture" and path != ("capture", "file") and "capture" not in document:
            raise ConfigError(f"{option}: {name} plays no capture")
        place = _put(document, path, value, origin)
        given[place] = option
        values[place] = value
    for path, message in _odd_values(document, ()):
        raise origin.error(path, message)
    document, origin = _on_box(document, origin, given)
    scenario = _convert(document, origin)
    if not scenario.scenario.name:
        about = msgspec.structs.replace(scenario.scenario, name=stem)
        scenario = msgspec.structs.replace(scenario, scenario=about)
    return LoadedScenario(scenario, origin, values)


def _on_box(document: dict[str, Any], origin: Origin, given: dict[SettingPath, str]) -> tuple[dict[str, Any], Origin]:
    """The document with the settings of its tree, if it has one, below its own; `given` gets the files that they are from."""
    machine = document.get("machine")
    tree = machine.get("tree") if isinstance(machine, dict) else None
    if not isinstance(tree, str):
        return document, origin
    if not tree:
        raise origin.error(TREE, "the directory's name is empty")
    try:
        box = read_box(Path(tree) if TREE in given else origin.base / Path(tree).expanduser(), tree, document)
    except (ConfigError, InputFileError) as error:
        raise type(error)(f"{origin.where(TREE)}: {error}") from error
    except (ValueError, RuntimeError) as error:  # ~ of nobody, a name that is none
        raise origin.error(TREE, f"{shown(tree)} is no directory's name ({error})") from error
    cpus: int = box.document["machine"]["cpus"]
    told = document["machine"].get("cpus", cpus)
    if told != cpus:
        raise origin.error(
            ("machine", "cpus"), f"it is {_toml(told)}, but {shown(tree)} is of {cpus} CPUs: leave it out"
        )
    notes = list(box.notes)
    if origin.built_in:
        freed = free_applications(document, cpus)
        notes.append(f"{origin.name}: only its traffic, its applications and its prices are taken")
        if freed:
            notes.append(f"{origin.name}: {', '.join(freed)} may run anywhere: not all CPUs they are for are there")
    document, places = with_box(document, box)
    for path, place in places.items():
        given.setdefault(path, place)
    return document, replace(origin, notes=tuple(notes))


def input_problem(path: Path) -> str | None:
    """Why the file at `path` can be neither a scenario nor a capture, in words; None if it can, or cannot be looked at."""
    try:
        mode = path.stat().st_mode
        for is_kind, kind in _NO_FILES:
            if is_kind(mode):
                return f"it is {kind}, write the name of a scenario file or a capture"
        with path.open("rb") as stream:
            head = stream.read(6)
    except (OSError, ValueError):
        return None  # whoever reads it says why
    if not head and path.suffix.lower() != ".toml":
        return "it is empty"
    packer = next((name for magic, name in _PACKED.items() if head.startswith(magic)), None)
    return None if packer is None else f"it is compressed ({packer}), unpack it first"


def _fatal_line(text: str) -> int:
    """The line at which the TOML parser gives up for its own limits: what it reads before does not matter."""
    lines = text.split("\n")
    low, high = 0, len(lines)
    while high - low > 1:
        middle = (low + high) // 2
        try:
            tomllib.loads("\n".join(lines[:middle]) + "\n")
        except tomllib.TOMLDecodeError:
            low = middle
        except (RecursionError, ValueError):
            high = middle
        else:
            low = middle
    return low + 1


def _convert(document: dict[str, Any], origin: Origin) -> Scenario:
    try:
        scenario = msgspec.convert(document, Scenario, dec_hook=_decode)
    except msgspec.ValidationError as error:
        path, message = _explain(str(error), document)
        raise origin.error(path, message) from error
    for path, message in contradictions(scenario):
        raise origin.error(path, message)
    if scenario.capture is not None:
        path = ("capture", "file")
        capture = origin.capture_path(scenario.capture.file)
        if not capture.exists():
            raise origin.error(path, f"there is no file {shown(scenario.capture.file)}{_built_in_captures()}")
        problem = input_problem(capture)
        if problem is not None:
            raise InputFileError(f"{origin.where(path)}: {problem}")
    return scenario


def _built_in_captures() -> str:
    return f"; built in: {', '.join(sorted(path.stem for path in CAPTURES.glob('*.pcap')))}"


def _decode(kind: type, value: object) -> Duration:
    assert kind is Duration, f"the schema has no type {kind}"
    if not isinstance(value, str):
        raise ValueError("not a duration")
    if value.lstrip().startswith("-"):
        raise ValueError(f"{value[:40]!r} is negative: a duration is 0ns or more")
    try:
        return parse_duration(value)
    except ConfigError as error:
        raise ValueError(str(error)) from error


def _explain(message: str, document: dict[str, Any]) -> tuple[SettingPath, str]:
    """Where msgspec's `message` points to, and what to say there."""
    at = _AT.search(message)
    path = _path(at[2], document) if at else ()
    words = message[: at.start()] if at else message
    unknown = _UNKNOWN.fullmatch(words)
    if unknown:
        key = unknown[1]
        return (*path, key), unknown_key(path, key)
    missing = _MISSING.fullmatch(words)
    if missing:
        return path, f"{missing[1]} is missing: write {words_for((*path, missing[1]))}"
    value = _value(document, path)
    if at and at[1]:
        return path, "a key in it is empty or longer than 300 characters"
    said = _toml(value)
    expected = words_for(path)
    nearest = ""
    if isinstance(value, str):
        choices = re.findall(r'"([^"]+)"', expected) if "one of" in expected else []
        close = get_close_matches(value, choices, n=1, cutoff=0.5)
        nearest = f"; the nearest is {close[0]}" if close else ""
        if type_at(path) is not None and words.startswith(("'", '"')):
            return path, words  # from the reader of durations, which says it all
    return path, f"it is {said}, expected {expected}{nearest}"


def _path(text: str, document: dict[str, Any]) -> SettingPath:
    """msgspec's `.traffic[0].rate_pps` as a path; `[...]`, any value of a table, is the first value that is refused."""
    path: list[str | int] = []
    for name, index, some in _PART.findall(text):
        if some:
            table = _value(document, tuple(path))
            if isinstance(table, dict):
                path.append(next((key for key in table if not _is_taken((*path, key), table[key])), next(iter(table))))
        else:
            path.append(name or int(index))
    return tuple(path)


def _is_taken(path: SettingPath, value: object) -> bool:
    try:
        msgspec.convert(value, type_at(path), dec_hook=_decode)
    except msgspec.ValidationError:
        return False
    return True


def _value(document: object, path: SettingPath) -> Any:
    at: Any = document
    for part in path:
        at = at[part]
    return at


def _toml(value: object) -> str:
    """`value` for a message, as it may have been written."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "a table"
    if isinstance(value, (list, tuple)):
        return f"a list of {len(value)}"
    if isinstance(value, str):
        return shown(f'"{value if len(value) <= 60 else value[:57] + "..."}"')
    return shown(str(value))


def _odd_values(value: object, path: SettingPath) -> Iterator[tuple[SettingPath, str]]:
    """What TOML can say and no scenario means: nan, inf, integers beyond 64 bits, control characters, in keys too."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if not key.isprintable():
                yield path, f"the key {shown(repr(key))} has a control character"
            yield from _odd_values(inner, (*path, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _odd_values(inner, (*path, index))
    elif isinstance(value, str):
        allowed = "\n\t" if path in _FREE_TEXT else ""
        for character in value:
            if not character.isprintable() and character not in allowed:
                yield path, f"there is a control character in it ({shown(character)})"
                break
    elif isinstance(value, float):
        if not isfinite(value):
            yield path, f"it is {value}, expected {words_for(path)}"
    elif isinstance(value, int):
        if value.bit_length() > MAX_INT_BITS:
            yield path, f"it is an integer of {value.bit_length()} bits, expected {words_for(path)}"


def _put(document: dict[str, Any], path: SettingPath, value: object, origin: Origin) -> SettingPath:
    """Set the value at `path`, making tables on the way; one of `ethtool` comes behind those that are there. Returns its path."""
    if path[0] == "ethtool":
        lines = document.setdefault("ethtool", [])
        if not isinstance(lines, list):
            raise origin.error(("ethtool",), f"it is {_toml(lines)}, expected a list")
        lines.append(value)
        return "ethtool", len(lines) - 1
    at: Any = document
    for part in path[:-1]:
        inner = at.setdefault(part, {})
        if not isinstance(inner, dict):
            raise origin.error(path[: path.index(part) + 1], f"it is {_toml(inner)}, expected a table")
        at = inner
    at.pop(path[-1], None)  # what comes from the command line comes last, also in [set]
    at[path[-1]] = value
    return path
