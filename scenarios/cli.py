"""The command `softnet`.

Words on stderr, data on stdout. Whatever goes wrong ends in one sentence and one of the exit codes of the help text; only a
bug of softnet has a traceback, and shows it only under SOFTNET_DEBUG=1. Everything that a command needs is imported when it
runs, so that `--help` and `--version` stay quick.
"""

import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from cyclopts import App, CycloptsError, Parameter

from emu.errors import SoftnetError
from scenarios.commands.check import check
from scenarios.commands.collect import collect
from scenarios.commands.compare import compare
from scenarios.commands.conform import conform
from scenarios.commands.explain import explain
from scenarios.commands.export import export
from scenarios.commands.listing import list_scenarios
from scenarios.commands.mask import mask
from scenarios.commands.mount import mount, shell
from scenarios.commands.run import run
from scenarios.commands.why import why
from scenarios.stopping import stopped_by_signals

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
  130  ended by Ctrl-C (or SIGTERM, SIGHUP)
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
app.command(run)
app.command(list_scenarios, name="scenarios")
app.command(check)
app.command(explain)
app.command(mask)
app.command(compare)
app.command(export)
app.command(collect)
app.command(why)
app.command(conform)
app.command(mount)
app.command(shell)


def main(tokens: Sequence[str] | None = None) -> int:
    """Run the command line, `sys.argv` if `tokens` is None, and return the exit code."""
    with stopped_by_signals():
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


if __name__ == "__main__":
    sys.exit(main())
