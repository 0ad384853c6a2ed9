"""The control tree as files: what a copy of a server's /proc and /sys would hold at one virtual time.

Models: DIR/proc, DIR/sys, DIR/ethtool and DIR/boot/config, as collect.sh lays out a server's copy: each file with the text that a
read gives, all of them or none.
Leaves out: files that cannot be read (the kernel refuses too: the speed of lo), links, times and owners of files.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from emu.commands import Commands
from emu.errors import ConfigError, ControlError
from emu.tree import ControlTree
from scenarios.build import Built
from scenarios.shown import shown

ETHTOOL_LETTERS: Final = "lgckxSi"
FLOW_TYPES: Final = ("tcp4", "udp4", "tcp6", "udp6")


def export_texts(built: Built) -> dict[str, str]:
    """Relative path -> text of all that is exported: the control tree, what ethtool prints, and the HZ of the kernel's configuration."""
    found = tree_texts(built.machine.tree) | ethtool_texts(built.user.commands, built.nic.dev.name)
    found["boot/config"] = f"CONFIG_HZ={built.machine.jiffies.hz}\n"
    return found


def tree_texts(tree: ControlTree) -> dict[str, str]:
    """Path, less its first slash -> text, of every file of `tree` that can be read now."""
    found: dict[str, str] = {}
    for path in tree.paths():
        if tree.entry(path).read is None:
            continue
        try:
            found[path.removeprefix("/")] = tree.read(path)
        except ControlError:
            continue
    return found


def ethtool_texts(commands: Commands, interface: str) -> dict[str, str]:
    """ethtool/IF.LETTER -> what `ethtool -LETTER IF` prints; IF.n has the hash fields of each flow type, as collect.sh saves them."""
    found = {
        f"ethtool/{interface}.{letter}": commands.run(f"ethtool -{letter} {interface}") for letter in ETHTOOL_LETTERS
    }
    found[f"ethtool/{interface}.n"] = "".join(
        commands.run(f"ethtool -n {interface} rx-flow-hash {flow_type}") for flow_type in FLOW_TYPES
    )
    return found


def check_directory(path: str) -> Path:
    """The directory that `path` names, links followed. ConfigError unless it is new, or empty, and can be written.

    To find that out after the run would be late.
    """
    try:
        target = Path(os.path.realpath(path))
        if target.exists():
            if not target.is_dir():
                raise ConfigError(f"DIR: {shown(path)} is a file, write the name of a new or empty directory")
            if any(target.iterdir()):
                raise ConfigError(f"DIR: {shown(path)} is not empty, write the name of a new or empty directory")
            if target == Path.cwd():
                raise ConfigError(f"DIR: {shown(path)} is the present directory, write the name of one in it")
        elif not target.parent.is_dir():
            raise ConfigError(f"DIR: there is no directory {shown(str(target.parent))}")
        if not os.access(target.parent, os.W_OK | os.X_OK):
            raise ConfigError(f"DIR: {shown(str(target.parent))} may not be written")
    except ValueError as error:
        raise ConfigError(f"DIR: {shown(path)} is no directory's name ({error})") from error
    except OSError as error:
        raise ConfigError(f"DIR: {shown(path)}: {error.strerror}") from error
    return target


def write_files(target: Path, files: Mapping[str, str]) -> None:
    """Write `files` (relative path -> text) below `target`, a directory that is new or empty. OSError leaves nothing behind.

    They are written beside it first and put in its place with one rename, so that nobody sees half of them.
    """
    for name in files:
        assert name and not any(part in ("", ".", "..") for part in name.split("/")), f"{name!r} leads out of the tree"
    made: Path | None = None
    try:
        made = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name[:40]}."))
        for name, text in files.items():
            path = made / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8", newline="")
        mask = os.umask(0)
        os.umask(mask)
        made.chmod(target.stat().st_mode & 0o7777 if target.exists() else 0o777 & ~mask)
        made.rename(target)
    except BaseException as error:
        if made is not None:
            shutil.rmtree(made, ignore_errors=True)
        if isinstance(error, OSError):
            error.filename, error.filename2 = str(target), None
        raise
