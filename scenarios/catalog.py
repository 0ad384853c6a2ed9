"""The built-in scenarios: `scenarios/library/*.toml`, by name.

What a user names is a built-in scenario if it is one's bare name, else a path. A path that is a capture, by its first bytes or
its suffix, becomes a scenario that plays it.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final

from emu.errors import ConfigError
from scenarios.load import LoadedScenario, load_scenario, parse_scenario
from scenarios.origin import SettingPath
from scenarios.shown import shown

LIBRARY: Final = Path(__file__).parent / "library"
DEFAULT_SCENARIO: Final = "capture"
"""What `softnet run` plays when nothing is named."""

CAPTURE_SUFFIXES: Final = (".pcap", ".pcapng", ".cap")
CAPTURE_MAGICS: Final = frozenset(
    bytes.fromhex(magic)
    for magic in ("a1b2c3d4", "d4c3b2a1", "a1b23c4d", "4d3cb2a1", "a1b2cd34", "34cdb2a1", "0a0d0d0a")
)
"""First bytes of pcap in either byte order, with us, ns and Kuznetsov's records, and of pcapng."""

Options = Mapping[SettingPath, tuple[str, Any]]
_NO_OPTIONS: Final[Options] = {}


@dataclass(frozen=True, slots=True)
class Entry:
    """A built-in scenario."""

    name: str
    path: Path
    description: str
    look_for: str


def names() -> list[str]:
    """Return the names of the built-in scenarios, sorted."""
    return sorted(path.stem for path in LIBRARY.glob("*.toml"))


def entries() -> list[Entry]:
    """Return the built-in scenarios with what they say of themselves, by name."""
    found = []
    for name in names():
        path = LIBRARY / f"{name}.toml"
        about = tomllib.loads(path.read_text(encoding="utf-8")).get("scenario", {})
        found.append(Entry(name, path, about.get("description", ""), about.get("look_for", "").strip()))
    return found


def open_scenario(what: str = DEFAULT_SCENARIO, options: Options = _NO_OPTIONS) -> LoadedScenario:
    """Load what a user calls `what`: a built-in scenario, a scenario file, or a capture. ConfigError if it is none,
    InputFileError if it is a file that can be neither."""
    if not what:
        raise ConfigError("the scenario's name is empty: write a name of `softnet scenarios`, or a file")
    path = Path(what)
    if "/" not in what and "\\" not in what and "\0" not in what:
        built_in = LIBRARY / f"{what}.toml"
        if what in names():
            return load_scenario(built_in, options, built_in=True)
    if not _is_there(path):
        raise ConfigError(_unknown(what))
    if is_capture(path):
        return parse_scenario("", what, Path(), {("capture", "file"): (shown(what), what), **options})
    return load_scenario(path, options)


def is_capture(path: Path) -> bool:
    """Whether the file at `path` is to be read as a capture: it begins like one, or is called like one."""
    if not path.is_file():
        return False  # to open a pipe would wait for its writer
    try:
        with path.open("rb") as stream:
            if stream.read(4) in CAPTURE_MAGICS:
                return True
    except OSError:
        pass  # whoever reads it says what is wrong
    return path.suffix.lower() in CAPTURE_SUFFIXES


def _is_there(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):
        return False


def _unknown(what: str) -> str:
    """The sentence about a scenario that does not exist, with the nearest that does."""
    path = Path(what)
    known = names()
    try:
        beside = [str(path.parent / entry.name) for entry in path.parent.iterdir() if entry.is_file()]
    except (OSError, ValueError):
        beside = []
    nearest = get_close_matches(what, beside, n=1, cutoff=0.75)
    is_path = "/" in what or path.suffix.lower() in (".toml", *CAPTURE_SUFFIXES)
    if not nearest and not is_path:
        nearest = get_close_matches(what, known, n=1, cutoff=0.0)
    hint = f"; the nearest is {shown(nearest[0])}" if nearest else ""
    if is_path:
        return f"there is no file {shown(what)}{hint}"
    return f"there is no scenario and no file {shown(what)}{hint} (`softnet scenarios` lists them)"
