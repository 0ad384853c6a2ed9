"""`softnet run`: a scenario or a capture, live, as lines or as a document."""

from typing import Annotated

from cyclopts import Parameter

from emu.errors import ConfigError
from scenarios.commands.outputs import check_output, is_same_file
from scenarios.commands.scenario_options import NOTHING_GIVEN, ScenarioOptions, before_the_run


def run(
    what: Annotated[str, Parameter(name="SCENARIO-or-CAPTURE")] = "capture",
    /,
    *,
    given: ScenarioOptions = NOTHING_GIVEN,
    speed: float | None = None,
    json: Annotated[bool, Parameter(name=["--json", "-j"])] = False,
    batch: Annotated[bool, Parameter(name=["--batch", "-b"])] = False,
    svg: str | None = None,
    output: Annotated[str | None, Parameter(name=["--output", "-o"], allow_leading_hyphen=True)] = None,
) -> int:
    """Run a scenario, or play a capture, and show it.

    Parameters
    ----------
    what
        A name that `softnet scenarios` lists, a scenario file, or a pcap or pcapng file.
    speed
        Pace of the live screen, in virtual seconds a second: 0.01 shows 10 ms in a second.
    json
        Print one JSON document with everything counted, and no screen.
    batch
        Print lines in place of the live screen, even on a terminal.
    svg
        Write the last screen to this file as SVG.
    output
        Write what would go to stdout to this file; - is stdout.
    """
    if json and batch:
        raise ConfigError("--json, --batch: one document or lines, write one of the two")
    with before_the_run():
        from pathlib import Path

        from scenarios.options import RunOptions
        from scenarios.shown import shown

        opened = given.open(what, speed=(("run", "speed"), "--speed", speed))
        check_output(svg, "--svg")
        check_output(output, "--output")
        if svg is not None and output not in (None, "-") and is_same_file(svg, str(output)):
            raise ConfigError(f"--svg, --output: both are {shown(svg)}, write two files' names")
        from scenarios.run import run_scenario

    return run_scenario(
        opened.loaded.scenario,
        RunOptions(
            loaded=opened.loaded,
            command=opened.command(),
            seed=opened.seed,
            json=json,
            batch=batch,
            svg=None if svg is None else Path(svg),
            output=None if output in (None, "-") else Path(str(output)),
        ),
    )
