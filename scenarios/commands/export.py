"""`softnet export`: /proc and /sys of the emulated machine, as files."""

from __future__ import annotations

import sys
from typing import Annotated

from cyclopts import Parameter

from emu.errors import ConfigError
from scenarios.commands.scenario_options import NOTHING_GIVEN, ScenarioOptions, before_the_run


def export(
    directory: Annotated[str, Parameter(name="DIR")],
    what: Annotated[str, Parameter(name="SCENARIO-or-CAPTURE")] = "capture",
    /,
    *,
    at: Annotated[str | None, Parameter(allow_leading_hyphen=True)] = None,
    given: ScenarioOptions = NOTHING_GIVEN,
) -> int:
    """Run a scenario, and write the machine's /proc, /sys and what ethtool shows as files, for tools that read saved ones.

    Parameters
    ----------
    directory
        A new or empty directory. It is there whole or not at all.
    what
        A name that `softnet scenarios` lists, a scenario file, or a pcap or pcapng file.
    at
        Virtual time of the files, such as 10ms; the run's end unless given.
    """
    with before_the_run():
        from emu.clock import NEVER
        from scenarios.build import build
        from scenarios.durations import format_duration, parse_duration
        from scenarios.export import check_directory, export_texts, write_files
        from scenarios.headless import run_headless

        target = check_directory(directory)
        opened = given.open(what)
        try:
            at_ns = None if at is None else int(parse_duration(at))
        except ConfigError as error:
            raise ConfigError(f"--at: {error}") from error
        loaded = opened.loaded
        built = build(loaded.scenario, loaded.origin, opened.seed)
        if at_ns is not None:
            if at_ns > built.until_ns:
                end = format_duration(built.until_ns)
                raise ConfigError(
                    f"--at: {format_duration(at_ns)} is after the run's end at {end}, write a longer --duration"
                )
            built.until_ns = at_ns
    for note in built.notes:
        print(note, file=sys.stderr)
    end_ns = run_headless(built).end.meta.now_ns
    files = export_texts(built)
    write_files(target, files)
    print(f"{directory}: {len(files)} files as of {format_duration(end_ns)} of virtual time")
    if at_ns is not None and end_ns < at_ns < NEVER:
        print(f"the run was over at {format_duration(end_ns)}, before --at {format_duration(at_ns)}", file=sys.stderr)
    words = () if at is None else ("--at", at)
    print(opened.command(*words, verb="export", first=(directory,)), file=sys.stderr)
    return 0
