"""`softnet check`: everything of a run but the run."""

import sys
from typing import Annotated

from cyclopts import Parameter


def check(file: Annotated[str, Parameter(name="FILE")], /) -> int:
    """Check a scenario, all but the run itself: the machine is built, and its settings written.

    Parameters
    ----------
    file
        A scenario file, a capture, or a name that `softnet scenarios` lists.
    """
    from scenarios.catalog import open_scenario

    loaded = open_scenario(file)
    from scenarios.build import build

    scenario = loaded.scenario
    seed = scenario.machine.seed
    build(scenario, loaded.origin, 0 if seed is None else seed)
    sources = len(scenario.traffic) + (scenario.capture is not None)
    parts = [
        _count(scenario.machine.cpus, "CPU"),
        _count(scenario.queues, "queue"),
        _count(sources, "source"),
        _count(len(scenario.app), "application"),
    ]
    for note in loaded.origin.notes:
        print(note, file=sys.stderr)
    print(f"{loaded.origin.name}: fine ({', '.join(parts)}, rules {scenario.machine.rules})")
    return 0


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
