"""`softnet conform`: replay files one by one, print as they come, and return the exit code."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from emu.errors import ConfigError, InputFileError
from scenarios.conform.formats import replay_file
from scenarios.conform.load import find, load
from scenarios.conform.report import FileResult

EXIT_AGREES: Final = 0
EXIT_DIFFERS: Final = 1
EXIT_UNREADABLE: Final = InputFileError.exit_code


def run_conform(places: Sequence[str], only: str, json: bool, verbose: bool) -> int:
    """Replay all recordings in `places` (files and folders), cases by name. A file that cannot be read does not keep the others back."""
    results: list[FileResult] = []
    unreadable: list[str] = []
    for place in places:
        try:
            paths = find([place])
        except InputFileError as error:
            _say(unreadable, str(error))
            continue
        for path in paths:
            try:
                result = replay_file(load(path), only)
            except InputFileError as error:
                _say(unreadable, str(error))
                continue
            if only != "*" and not result.cases and not result.unreadable:
                continue
            results.append(result)
            for sentence in result.unreadable:
                _say(unreadable, sentence)
            if not json:
                print("\n".join(result.lines(verbose)), flush=True)
    total = FileResult("all", "", "", "", [case for result in results for case in result.cases])
    if json:
        document: dict[str, Any] = {
            "files": [result.as_dict() for result in results],
            "unreadable": unreadable,
            "passed": total.count("passed"),
            "failed": total.count("failed"),
            "not_judged": total.count("not judged"),
        }
        print(msgspec.json.format(msgspec.json.encode(document), indent=2).decode())
    elif len(results) > 1:
        print(f"{len(results)} files: {total.summary()}")
    if unreadable:
        return EXIT_UNREADABLE
    if only != "*" and not total.cases:
        raise ConfigError(f"--only {only}: no case has such a name")
    return EXIT_DIFFERS if total.count("failed") else EXIT_AGREES


def _say(unreadable: list[str], sentence: str) -> None:
    unreadable.append(sentence)
    print(f"softnet: {sentence}", file=sys.stderr)
