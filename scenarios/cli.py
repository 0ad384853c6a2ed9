"""The command `softnet`.

Words on stderr, data on stdout. Whatever goes wrong ends in one sentence and one of the exit codes of the help text; only a
bug of softnet has a traceback, and shows it only under SOFTNET_DEBUG=1. Everything that a command needs is imported when it
runs, so that `--help` and `--version` stay quick.
"""

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Annotated, Any, Final

from cyclopts import App, CycloptsError, Parameter

from emu.errors import ConfigError, SoftnetError

if TYPE_CHECKING:
    from scenarios.origin import SettingPath

EXIT_OK: Final = 0
EXIT_USAGE: Final = 2
EXIT_BUG: Final = 4
EXIT_INTERRUPTED: Final = 130
EXIT_CLOSED_PIPE: Final = 141

HELP: Final = """A Linux server's network receive path, emulated CPU by CPU and shown live in the terminal.

Three to begin with:
  softnet run                                   the built-in capture, live
  softnet run one-queue --set /sys/class/net/eth0/queues/rx-0/rps_cpus=e
  softnet run traffic.pcap --cpus 8 --queues 2 --json"""

EPILOGUE: Final = """Exit codes:
  0  fine
  1  an assertion or a comparison failed
  2  a wrong setting or command line
  3  an input file from which nothing could be read
  4  softnet broke a law of its own: a bug
  130  ended by Ctrl-C
  141  whoever read the output went away"""


def version() -> str:
    """Return `softnet 0.1.0`."""
    from importlib.metadata import version as distribution_version

    return f"softnet {distribution_version('softnet')}"


app = App(
    name="softnet",
    help=HELP,
    help_epilogue=EPILOGUE,
    help_format="plaintext",
    version=version,
    default_parameter=Parameter(negative=""),
    result_action="return_value",
    suppress_keyboard_interrupt=False,
)


@app.command
def run(
    what: Annotated[str, Parameter(name="SCENARIO-or-CAPTURE")] = "capture",
    /,
    *,
    cpus: int | None = None,
    queues: int | None = None,
    set_: Annotated[list[str] | None, Parameter(name="--set")] = None,
    seed: int | None = None,
    duration: Annotated[str | None, Parameter(allow_leading_hyphen=True)] = None,
    speed: float | None = None,
    local: list[str] | None = None,
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
    cpus
        CPUs of the machine, 1 to 256.
    queues
        RX queues of the NIC, 1 to 256; as many as CPUs unless the scenario says.
    set_
        PATH=VALUE or SYSCTL=VALUE, written before the first frame; may be given several times.
    seed
        Seed of all randomness. The same scenario and seed give the same run.
    duration
        Virtual time at which the run ends, such as 100ms or 2s.
    speed
        Pace of the live screen, in virtual seconds a second: 0.01 shows 10 ms in a second.
    local
        Address of the capture's local side, in place of the one that receives most; may be given several times.
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
    with _before_the_run():
        from pathlib import Path
        from secrets import randbelow

        from emu.commands import parse_setting
        from scenarios.catalog import open_scenario
        from scenarios.load import shown
        from scenarios.options import RunOptions

    options: dict[SettingPath, tuple[str, Any]] = {}
    repeat: list[str] = []

    def option(name: str, path: "SettingPath", value: object) -> None:
        if value is not None:
            options[path] = (name, value)
            repeat.extend((name, str(value)))

    option("--cpus", ("machine", "cpus"), cpus)
    option("--queues", ("nic", "queues"), queues)
    option("--duration", ("run", "duration"), duration)
    for setting in set_ or ():
        try:
            key, value = parse_setting(setting)
        except ConfigError as error:
            raise ConfigError(f"--set: {error}") from error
        options.pop(("set", key), None)
        options["set", key] = (f"--set {key}", value)
        repeat.extend(("--set", setting))
    if local:
        options["capture", "local"] = ("--local", local)
        for address in local:
            repeat.extend(("--local", address))
    if speed is not None:
        options["run", "speed"] = ("--speed", speed)
    if seed is not None:
        options["machine", "seed"] = ("--seed", seed)
    with _before_the_run():
        loaded = open_scenario(what, options)
        drawn = loaded.scenario.machine.seed
        if drawn is None:
            drawn = randbelow(1_000_000)
        _check_output(svg, "--svg")
        _check_output(output, "--output")
        if svg is not None and output not in (None, "-") and _is_same_file(svg, str(output)):
            raise ConfigError(f"--svg, --output: both are {shown(svg)}, write two files' names")
        from scenarios.run import run_scenario

    return run_scenario(
        loaded.scenario,
        RunOptions(
            origin=loaded.origin,
            command=_repeat_command(what, [*repeat, "--seed", str(drawn)]),
            seed=drawn,
            json=json,
            batch=batch,
            svg=None if svg is None else Path(svg),
            output=None if output in (None, "-") else Path(str(output)),
        ),
    )


@app.command(name="scenarios")
def list_scenarios() -> int:
    """List the built-in scenarios."""
    from scenarios.catalog import entries

    found = entries()
    width = max((len(entry.name) for entry in found), default=0)
    for entry in found:
        print(f"{entry.name:{width}}  {entry.description}")
    return EXIT_OK


@app.command
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
    print(f"{loaded.origin.name}: fine ({', '.join(parts)}, rules {scenario.machine.rules})")
    return EXIT_OK


@app.command
def conform(
    *files: Annotated[str, Parameter(name="FILE-or-FOLDER")],
    only: str = "*",
    json: Annotated[bool, Parameter(name=["--json", "-j"])] = False,
    verbose: Annotated[bool, Parameter(name=["--verbose", "-v"])] = False,
) -> int:
    """Replay recordings of real kernels and say where the emulator differs.

    Exits with 0 if it agrees in every case that can be judged, 1 if not, 3 if a file cannot be read.

    Parameters
    ----------
    files
        Recordings (.json, .json.xz), or folders of them. docs/fidelity.md says what a recording must contain.
    only
        Replay only cases whose name matches this pattern, such as 'flow_limit_*'.
    json
        Print one JSON document with every case.
    verbose
        Print passed cases too.
    """
    if not files:
        raise ConfigError("conform: name a recording or a folder of recordings, such as tests/golden")
    from scenarios.conform.command import run_conform

    return run_conform(files, only, json, verbose)


def main(tokens: Sequence[str] | None = None) -> int:
    """Run the command line, `sys.argv` if `tokens` is None, and return the exit code."""
    try:
        return _main(tokens)
    except BrokenPipeError:
        _forget_output()
        return EXIT_CLOSED_PIPE
    except KeyboardInterrupt as stopped:
        _say(" ".join(str(word) for word in stopped.args) or "stopped")
        return EXIT_INTERRUPTED


def _main(tokens: Sequence[str] | None) -> int:
    _open_streams()
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")
    try:
        result = app(tokens, exit_on_error=False, print_error=False)
        sys.stdout.flush()
    except CycloptsError as error:
        _say(" ".join(str(error).split()))
        return EXIT_USAGE
    except BaseException as error:
        return _ended_by(error)
    return result if isinstance(result, int) else EXIT_OK


def _ended_by(error: BaseException) -> int:
    """Say what went wrong in one sentence; return the exit code. What it raises again ends in `main`."""
    from scenarios.options import leaves

    causes = leaves(error)
    for cause in causes:
        # rich turns a closed pipe into an exit with 1
        if isinstance(cause, BrokenPipeError) or (
            isinstance(cause, SystemExit) and isinstance(cause.__context__, BrokenPipeError)
        ):
            raise BrokenPipeError from error
    for cause in causes:
        if isinstance(cause, KeyboardInterrupt):
            raise KeyboardInterrupt(*cause.args) from error
    told = next((cause for cause in causes if isinstance(cause, SoftnetError)), None)
    if told is not None and told.exit_code != EXIT_BUG:
        _say(str(told))
        return told.exit_code
    cause = causes[0]
    if isinstance(cause, SystemExit):
        raise cause
    if os.environ.get("SOFTNET_DEBUG"):
        import traceback

        traceback.print_exception(error)
    if told is None and isinstance(cause, OSError) and cause.strerror is not None:
        _forget_output()
        _say(f"{cause.filename or 'standard output'}: {cause.strerror}")
        return EXIT_USAGE
    words = " ".join(str(told or cause).split())
    _say(f"a bug in softnet, {type(told or cause).__name__}: {words} (SOFTNET_DEBUG=1 shows where)")
    return EXIT_BUG


def _open_streams() -> None:
    """Put something in the place of a standard stream that was closed before the start, lest a file gets its number.

    A closed stdout becomes a pipe that nobody reads, so that what is written there ends as for one.
    """
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            reader, writer = os.pipe()
            os.dup2(writer, number)
            for end in (reader, writer):
                if end != number:
                    os.close(end)
    if sys.stdout is None:
        sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115 - as long as the process
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115


def _forget_output() -> None:
    """Let what stdout still holds go nowhere: Python's own flush at exit must not fail once more."""
    with suppress(OSError, ValueError):  # no file behind it, as in a test
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


def _say(sentence: str) -> None:
    with suppress(OSError):  # the exit code says it to whom stderr does not
        print(f"softnet: {sentence}", file=sys.stderr)


def _repeat_command(what: str, options: list[str]) -> str:
    """The command line that repeats a run."""
    import shlex

    return shlex.join(["softnet", "run", what, *options])


def _check_output(path: str | None, option: str) -> None:
    """ConfigError unless a file can be made at `path`: to find that out after the run would be late."""
    if path is None or (path == "-" and option == "--output"):
        return
    from pathlib import Path

    from scenarios.load import shown

    try:
        target = Path(path)
        if target.is_dir():
            raise ConfigError(f"{option}: {shown(path)} is a directory, write a file's name")
        if not target.parent.is_dir():
            raise ConfigError(f"{option}: there is no directory {shown(str(target.parent))}")
        written = target if target.exists() else target.parent
        if not os.access(written, os.W_OK):
            raise ConfigError(f"{option}: {shown(str(written))} may not be written")
    except ValueError as error:
        raise ConfigError(f"{option}: {shown(path)} is no file's name ({error})") from error


@contextmanager
def _before_the_run() -> Iterator[None]:
    """What a Ctrl-C in here ends has not begun."""
    try:
        yield
    except KeyboardInterrupt as error:
        from scenarios.options import TOO_EARLY

        raise KeyboardInterrupt(TOO_EARLY) from error


def _is_same_file(one: str, other: str) -> bool:
    """Whether two paths lead to one file that only one can write; a device takes both."""
    there = os.path.realpath(one)
    return there == os.path.realpath(other) and (os.path.isfile(there) or not os.path.exists(there))


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


if __name__ == "__main__":
    sys.exit(main())
