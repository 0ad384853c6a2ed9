"""`softnet conform`: recordings of real kernels, replayed."""

from typing import Annotated

from cyclopts import Parameter

from emu.errors import ConfigError


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
