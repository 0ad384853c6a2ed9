"""Which file of this package replays which format, and the run over files."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from fnmatch import fnmatchcase
from importlib import import_module
from typing import Final

from emu.errors import InputFileError
from scenarios.conform.load import Recording
from scenarios.conform.report import CaseResult, Cases, Differs, FileResult, NotJudged, Play

MODULES: Final = {
    "gro": "scenarios.conform.gro",
    "gro_fuzz": "scenarios.conform.gro",
    "gro_poll": "scenarios.conform.gro_poll",
    "rps": "scenarios.conform.rps",
    "rfs": "scenarios.conform.rfs",
    "softnet": "scenarios.conform.softnet",
    "stack": "scenarios.conform.stack",
    "trace": "scenarios.conform.trace",
    "virtio": "scenarios.conform.virtio",
}
"""Format -> module; each has `cases(recording)`."""


def replay_file(
    recording: Recording, only: str = "*", on_case: Callable[[CaseResult], None] | None = None
) -> FileResult:
    """Replay the cases whose name matches `only`. Raises InputFileError where the file does not hold what its format says."""
    result = FileResult(str(recording.path), recording.format, recording.meta.kernel, recording.rules.release)
    cases: Callable[[Recording], Cases] = import_module(MODULES[recording.format]).cases
    for name, play in cases(recording):
        if fnmatchcase(name, only):
            outcome = judge(name, play)
            result.cases.append(outcome)
            if on_case is not None:
                on_case(outcome)
    return result


def judge(name: str, play: Play) -> CaseResult:
    """Replay one case. What breaks in the emulator is a failed case too, with the place where it broke."""
    try:
        return CaseResult(name, None, "", play())
    except Differs as differs:
        return CaseResult(name, differs, "", [])
    except NotJudged as reason:
        return CaseResult(name, None, str(reason), [])
    except InputFileError:
        raise
    except Exception as error:
        leaf: BaseException = error
        while isinstance(leaf, BaseExceptionGroup):
            leaf = leaf.exceptions[0]
        if isinstance(leaf, Differs):
            return CaseResult(name, leaf, "", [])
        if isinstance(leaf, InputFileError):
            raise leaf from error
        place = traceback.extract_tb(leaf.__traceback__)[-1]
        where = f"{place.filename.rsplit('/', 1)[-1]}:{place.lineno}"
        broke = f"{type(leaf).__name__}: {' '.join(str(leaf).split())} ({where})"
        return CaseResult(name, Differs("the emulator broke", "a replay", broke, "no rule"), "", [])
