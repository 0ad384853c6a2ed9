"""`softnet compare`: the same traffic through two machines, side by side, with a verdict."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Final

from cyclopts import Parameter

from emu.errors import ConfigError
from scenarios.commands.outputs import check_output
from scenarios.commands.scenario_options import NOTHING_GIVEN, ScenarioOptions, before_the_run

if TYPE_CHECKING:
    from scenarios.study.runner import Pairs

MAX_SEEDS: Final = 1000
MAX_WORKERS: Final = 256

EXIT_WORSE: Final = 1
EXIT_INTERRUPTED: Final = 130


def compare(
    what: Annotated[str, Parameter(name="A")],
    other: Annotated[str | None, Parameter(name="B")] = None,
    /,
    *,
    change: list[str] | None = None,
    given: ScenarioOptions = NOTHING_GIVEN,
    seeds: int = 10,
    warmup: Annotated[str | None, Parameter(allow_leading_hyphen=True)] = None,
    fail_if_worse: Annotated[str | None, Parameter(allow_leading_hyphen=True)] = None,
    workers: int | None = None,
    json: Annotated[bool, Parameter(name=["--json", "-j"])] = False,
    output: Annotated[str | None, Parameter(name=["--output", "-o"], allow_leading_hyphen=True)] = None,
) -> int:
    """Send the same traffic through two machines, and say what differs and how sure that is.

    B is a second scenario, or A with --change. Prints A and B side by side, a verdict, and the commands that make the change on a
    server and undo it. Exits with 1 if B is worse than --fail-if-worse allows.

    Parameters
    ----------
    what
        A scenario: a name, a file or a capture.
    other
        A second one.
    change
        A command as on the machine's own command line, such as "echo f > /sys/class/net/eth0/queues/rx-0/rps_cpus"; may be given several
        times. B is A with these, made before the first frame.
    seeds
        How many seeds, from --seed on: 1 to 1000. Ten or more make the interval worth its name.
    warmup
        Virtual time left out of every figure at the beginning, such as 10ms.
    fail_if_worse
        Such as 2%: exit with 1 if B is proven to be worse by more: throughput read or p99 from the wire to the read, in per cent of A's, or
        the share of frames lost, in percentage points.
    workers
        Runs at a time; as many as there are CPUs. No figure depends on it.
    json
        Print one JSON document.
    output
        Write what would go to stdout to this file; - is stdout.
    """
    if (other is None) == (not change):
        raise ConfigError("compare: name two scenarios, or one and what to --change in it")
    if not 1 <= seeds <= MAX_SEEDS:
        raise ConfigError(f"--seeds: {seeds} is out of range, write 1 to {MAX_SEEDS}")
    if workers is not None and not 1 <= workers <= MAX_WORKERS:
        raise ConfigError(f"--workers: {workers} is out of range, write 1 to {MAX_WORKERS}")
    limit = None if fail_if_worse is None else _percent(fail_if_worse)
    with before_the_run():
        from pathlib import Path

        from scenarios.output import open_output
        from scenarios.study.comparison import compare as make_comparison
        from scenarios.study.runner import Side, prepare, run_pairs, usable_cpus
        from scenarios.study.server_commands import server_commands

        check_output(output, "--output")
        opened = given.open(what, warmup=(("run", "warmup"), "--warmup", warmup))
        for note in opened.loaded.origin.notes:
            print(note, file=sys.stderr)
        a = Side(opened.loaded)
        b = Side(opened.loaded, tuple(change or ()))
        if other is not None:
            b = Side(given.open(other, warmup=(("run", "warmup"), "--warmup", warmup)).loaded)
        # Whatever is wrong with either is found here, before the first run.
        machines = (prepare(a, opened.seed), prepare(b, opened.seed))
        commands = server_commands(*machines)
    for note in dict.fromkeys(note for built in machines for note in built.notes):
        print(note, file=sys.stderr)

    words = [other] if other is not None else []
    words += [word for line in change or () for word in ("--change", line)]
    for option, text in (("--warmup", warmup), ("--fail-if-worse", fail_if_worse)):
        words += [option, text] if text is not None else []
    command = opened.command(*words, "--seeds", str(seeds), verb="compare")
    with _progress(2 * seeds) as progress:
        pairs = run_pairs(
            a,
            b,
            range(opened.seed, opened.seed + seeds),
            min(usable_cpus(), 2 * seeds) if workers is None else workers,
            progress,
        )
    if pairs.was_cut_short:
        print(_cut_short(pairs, seeds), file=sys.stderr)
    if not pairs.seeds:
        return EXIT_INTERRUPTED
    found = make_comparison(a, b, pairs, seeds, commands, limit, command)
    with open_output(None if output is None else Path(output)) as out:
        if json:
            import msgspec

            out.write(msgspec.json.format(msgspec.json.encode(found, order="deterministic"), indent=2).decode() + "\n")
        else:
            out.write(found.words())
    if pairs.was_cut_short:
        return EXIT_INTERRUPTED
    return EXIT_WORSE if found.failures else 0


def _percent(text: str) -> float:
    """The number of `2%`. ConfigError."""
    number = text.strip().removesuffix("%").strip()
    try:
        percent = float(number)
    except ValueError:
        percent = -1
    if not 0 <= percent <= 1_000_000:
        raise ConfigError(f"--fail-if-worse: {text[:40]!r} is no percentage from 0%, write 2%, for instance")
    return percent


def _cut_short(pairs: Pairs, seeds: int) -> str:
    if not pairs.seeds:
        return f"stopped before both runs of a seed were over: none of {seeds} seeds can be compared"
    return f"stopped: the comparison stands on {len(pairs.seeds)} of {seeds} seeds"


@contextmanager
def _progress(runs: int) -> Iterator[Callable[[int], None]]:
    """Something to tell how many of `runs` are over: a bar on a terminal, nothing elsewhere."""
    if not sys.stderr.isatty():
        yield lambda over: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("runs", total=runs)
        yield lambda over: bar.update(task, completed=over)
