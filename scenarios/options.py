"""Options of a run: what the command line decides about showing and writing, not about the machine."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from scenarios.load import LoadedScenario

TOO_EARLY: Final = "stopped before the run began"
"""What a Ctrl-C during loading and building is answered with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MountOptions:
    """A run whose control tree is mounted; it goes on when nothing is left to happen, since somebody may still write."""

    directory: Path | None
    """Where; None for a place of its own that only `shell` sees."""
    read_only: bool = False
    endless: bool = True
    """It ends when somebody ends it, whatever the scenario's duration is."""
    shell: tuple[str, ...] | None = None
    """A command to run where the tree stands over /proc and /sys; the run ends with it."""
    save: Path | None = None
    """Write the scenario that repeats the run there, live commands and end in it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """What `run_scenario` is told besides the scenario; whatever changes the machine is in the scenario already."""

    loaded: LoadedScenario
    """The scenario, and where it came from: words errors with file and line, finds its capture, saves it."""
    command: str
    """The command line that repeats the run, the seed included."""
    seed: int
    """The seed to use: the scenario's, or one drawn for this run."""
    json: bool = False
    """Print one JSON document at the end in place of the summary."""
    batch: bool = False
    """Batch lines in place of the live screen, even on a terminal."""
    svg: Path | None = None
    """Write the last screen there as SVG."""
    mount: MountOptions | None = None
    """The machine's control tree is a file system during the run."""
    output: Path | None = None
    """Write what would go to stdout there instead; None and `-` are stdout."""


def leaves(error: BaseException) -> list[BaseException]:
    """Return the exceptions that a nursery's group is made of, however deep."""
    if isinstance(error, BaseExceptionGroup):
        return [leaf for inner in error.exceptions for leaf in leaves(inner)]
    return [error]
