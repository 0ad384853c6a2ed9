"""Mounted runs for tests: `softnet mount` and `softnet shell` as processes, where this system can have them."""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parent.parent
PATIENCE: Final = 60.0
"""Seconds that anything may take on a machine with other things to do."""


def missing() -> str:
    """Why nothing can be mounted here, or nothing."""
    if importlib.util.find_spec("pyfuse3") is None:
        return "pyfuse3 is not installed"
    if not os.access("/dev/fuse", os.R_OK | os.W_OK):
        return "/dev/fuse cannot be opened"
    if shutil.which("fusermount3") is None:
        return "there is no fusermount3"
    return ""


def missing_shell() -> str:
    """Why no shell can be opened here, or nothing."""
    if missing():
        return missing()
    command = ["unshare", "--mount", *([] if os.geteuid() == 0 else ["--user", "--map-root-user"])]
    try:
        tried = subprocess.run([*command, "mount", "--rbind", "/sys", "/sys"], capture_output=True, text=True)
    except FileNotFoundError:
        return "there is no unshare"
    return "" if tried.returncode == 0 else f"no mount namespace: {tried.stderr.strip()}"


def softnet(*words: str, program: str = "from scenarios.cli import main; raise SystemExit(main())") -> list[str]:
    """A command line that runs softnet with `words`."""
    return [sys.executable, "-c", program, *words]


def environment() -> dict[str, str]:
    """What it needs to be found."""
    return {**os.environ, "PYTHONPATH": str(ROOT)}


class Mounted:
    """A run whose tree is at `path`."""

    def __init__(self, path: Path, process: subprocess.Popen[str], said: Path) -> None:
        self.path = path
        self.process = process
        self._said = said

    @property
    def said(self) -> str:
        """Both of its outputs so far."""
        return self._said.read_text()

    def read(self, path: str) -> str:
        """A file of the tree."""
        return (self.path / path.lstrip("/")).read_text()

    def write(self, path: str, text: str) -> None:
        """Write one, as `echo -n TEXT >` does."""
        (self.path / path.lstrip("/")).write_text(text)

    def end(self, number: int = signal.SIGINT) -> int:
        """End it by a signal; its exit code."""
        self.process.send_signal(number)
        return self.process.wait(PATIENCE)


@contextmanager
def mounted(*words: str, program: str | None = None) -> Iterator[Mounted]:
    """`softnet mount DIR WORDS`, on a directory of its own."""
    with tempfile.TemporaryDirectory() as place:
        path, said = Path(place, "tree"), Path(place, "said")
        path.mkdir()
        line = ["mount", str(path), *words, "--batch"]
        with said.open("w") as file:
            process: subprocess.Popen[str] = subprocess.Popen(
                softnet(*line) if program is None else softnet(*line, program=program),
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                env=environment(),
                cwd=place,
                text=True,
            )
        try:
            wait_until(lambda: "mounted on" in said.read_text() or process.poll() is not None)
            yield Mounted(path, process, said)
        finally:
            process.kill()
            process.wait()
            wait_until(lambda: not is_mounted(path))


def is_mounted(path: Path) -> bool:
    """Whether something is mounted at `path`, served or not."""
    return f" {path.resolve()} " in Path("/proc/self/mounts").read_text()


def wait_until(condition: Callable[[], bool]) -> None:
    """Wait until `condition()`; AssertionError after PATIENCE."""
    ends = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < ends, "it took too long"
        time.sleep(0.02)
