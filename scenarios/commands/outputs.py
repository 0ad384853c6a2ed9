"""Files that a command is told to write, looked at before it begins."""

import os

from emu.errors import ConfigError


def check_output(path: str | None, option: str) -> None:
    """ConfigError unless a file can be made at `path`: to find that out after the run would be late."""
    if path is None or (path == "-" and option == "--output"):
        return
    from pathlib import Path

    from scenarios.shown import shown

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


def is_same_file(one: str, other: str) -> bool:
    """Whether two paths lead to one file that only one can write; a device takes both."""
    there = os.path.realpath(one)
    return there == os.path.realpath(other) and (os.path.isfile(there) or not os.path.exists(there))
