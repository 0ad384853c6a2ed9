"""`softnet mount` and `softnet shell`: the emulated machine under real tools."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Annotated, Final

from cyclopts import Parameter

from scenarios.commands.outputs import check_output
from scenarios.commands.scenario_options import NOTHING_GIVEN, OpenedScenario, ScenarioOptions, before_the_run

if TYPE_CHECKING:
    from pathlib import Path

    from scenarios.options import MountOptions

REAL_TIME: Final = 1.0
"""Virtual seconds a second of a mounted machine, which tools look at by the second; one that has too much to do for that is slower."""


def mount(
    directory: Annotated[str, Parameter(name="DIR")],
    what: Annotated[str, Parameter(name="SCENARIO-or-CAPTURE")] = "capture",
    /,
    *,
    given: ScenarioOptions = NOTHING_GIVEN,
    speed: float = REAL_TIME,
    ro: bool = False,
    save: Annotated[str | None, Parameter(allow_leading_hyphen=True)] = None,
    batch: Annotated[bool, Parameter(name=["--batch", "-b"])] = False,
) -> int:
    """Run a scenario with its /proc and /sys mounted on a directory, for real tools to read and write.

    Runs until q or Ctrl-C, or for --duration. Needs the extra softnet[mount] and /dev/fuse.

    Parameters
    ----------
    directory
        An empty directory.
    what
        A name that `softnet scenarios` lists, a scenario file, or a pcap or pcapng file.
    speed
        Pace, in virtual seconds a second. A machine that has too much to do for it is slower.
    ro
        Nothing can be written.
    save
        Write the scenario that repeats this run, with what was written and when, to this file at the end.
    batch
        Print lines in place of the live screen, even on a terminal.
    """
    with before_the_run():
        from scenarios.mounted import check_mount
        from scenarios.options import MountOptions

        place = check_mount(directory)
        opened = given.open(what, speed=(("run", "speed"), "--speed", speed))
        saved = _to_save(save)
        options = MountOptions(directory=place, read_only=ro, endless=given.duration is None, save=saved)
    return _run(opened, options, opened.command(*_own_options(speed, ro), verb="mount", first=(directory,)), batch)


def shell(
    what: Annotated[str, Parameter(name="SCENARIO-or-CAPTURE")] = "capture",
    /,
    *command: Annotated[str, Parameter(name="COMMAND", allow_leading_hyphen=True)],
    given: ScenarioOptions = NOTHING_GIVEN,
    speed: float = REAL_TIME,
    ro: bool = False,
    save: Annotated[str | None, Parameter(allow_leading_hyphen=True)] = None,
) -> int:
    """Open a shell in which /proc and /sys are those of the emulated machine, while it runs.

    Exits with what the shell exits with. Needs the extra softnet[mount], /dev/fuse, and root or user namespaces.

    Parameters
    ----------
    what
        A name that `softnet scenarios` lists, a scenario file, or a pcap or pcapng file.
    command
        A command to run in place of the shell, behind --, such as -- mpstat -P ALL 1 3.
    speed
        Pace, in virtual seconds a second. A machine that has too much to do for it is slower.
    ro
        Nothing can be written.
    save
        Write the scenario that repeats this run, with what was written and when, to this file at the end.
    """
    with before_the_run():
        from scenarios.mounted import check_mount
        from scenarios.options import MountOptions
        from scenarios.shell import check_shell

        check_mount(None)
        words = check_shell(command)
        opened = given.open(what, speed=(("run", "speed"), "--speed", speed))
        saved = _to_save(save)
        options = MountOptions(directory=None, read_only=ro, endless=given.duration is None, shell=words, save=saved)
    again = opened.command(*_own_options(speed, ro), verb="shell")
    return _run(opened, options, f"{again} -- {shlex.join(command)}" if command else again, False)


def _to_save(path: str | None) -> Path | None:
    from pathlib import Path

    check_output(path, "--save")
    return None if path is None else Path(path)


def _own_options(speed: float, ro: bool) -> list[str]:
    return [*(["--speed", str(speed)] if speed != REAL_TIME else []), *(["--ro"] if ro else [])]


def _run(opened: OpenedScenario, options: MountOptions, again: str, batch: bool) -> int:
    from scenarios.options import RunOptions
    from scenarios.run import run_scenario

    return run_scenario(
        opened.loaded.scenario,
        RunOptions(loaded=opened.loaded, command=again, seed=opened.seed, batch=batch, mount=options),
    )
