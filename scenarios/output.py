"""Where a command's data goes: standard output, or a file that is there whole or not at all."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from scenarios.options import leaves


@contextlib.contextmanager
def open_output(path: Path | None) -> Iterator[TextIO]:
    """Standard output if `path` is None or `-`, else a file that appears whole when the block is over."""
    if path is None or str(path) == "-":
        yield sys.stdout
        return
    target = Path(os.path.realpath(path))  # a symlink stays, and what it leads to is written
    prefix = f".{target.name[:40]}."
    try:
        if path.exists() and not path.is_file():  # a device, a FIFO: nothing to put in its place
            with path.open("w", encoding="utf-8") as file:
                yield file
            return
        handle, name = tempfile.mkstemp(dir=target.parent, prefix=prefix)
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                yield file
            mask = os.umask(0)
            os.umask(mask)
            os.chmod(name, target.stat().st_mode & 0o777 if target.exists() else 0o666 & ~mask)
            os.replace(name, target)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except (OSError, BaseExceptionGroup) as error:
        for cause in leaves(error):
            # A failed write does not know its file, and nobody knows the temporary one.
            if isinstance(cause, OSError) and (
                cause.filename is None or str(cause.filename).startswith(str(target.parent / prefix))
            ):
                cause.filename = str(path)
        raise
