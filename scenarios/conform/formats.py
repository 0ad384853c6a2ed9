"""Which file of this package replays which format, and the run over files."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from fnmatch import fnmatchcase
from importlib import import_module
from typing import Final

from emu.errors import InputFileError
from scenarios.conform.load import Recording
from scenarios.conform.report import CaseResult, Cases, Differs, FileResult, Impossible, NotJudged, Play

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
    """Replay the cases whose name matches `only`. Raises InputFileError where the file as a whole does not hold what its format says."""
    result = FileResult(str(recording.path), recording.format, recording.meta.kernel, recording.rules.release)
    cases: Callable[[Recording], Cases] = import_module(MODULES[recording.format]).cases
    for name, play in cases(recording):
        if fnmatchcase(name, only) or fnmatchcase(name.partition("/")[0], only):
            try:
                outcome = judge(name, play)
            except InputFileError as error:
                result.unreadable.append(str(error))
                continue
            except Impossible as step:
                result.unreadable.append(f"{recording.path}: case {name}: {step}")
                continue
            result.cases.append(outcome)
            if on_case is not None:
                on_case(outcome)
    return result


def judge(name: str, play: Play) -> CaseResult:
    """Replay one case. What breaks in the emulator is a failed case too, with the place where it broke.

    Raises InputFileError or Impossible where the case does not hold what its format says.
    """
    try:
        return CaseResult(name, None, "", play())
    except Differs as differs:
        return CaseResult(name, differs, "", [])
    except NotJudged as reason:
        return CaseResult(name, None, str(reason), [])
    except (InputFileError, Impossible):
        raise
    except Exception as error:
        leaf: BaseException = error
        while isinstance(leaf, BaseExceptionGroup):
            leaf = leaf.exceptions[0]
        if isinstance(leaf, Differs):
            return CaseResult(name, leaf, "", [])
        if isinstance(leaf, NotJudged):
            return CaseResult(name, None, str(leaf), [])
        if isinstance(leaf, InputFileError | Impossible):
            raise leaf from error
        place = traceback.extract_tb(leaf.__traceback__)[-1]
        where = f"{place.filename.rsplit('/', 1)[-1]}:{place.lineno}"
        broke = f"{type(leaf).__name__}: {' '.join(str(leaf).split())} ({where})"
        return CaseResult(name, Differs("the emulator broke", "a replay", broke, "no rule"), "", [])
