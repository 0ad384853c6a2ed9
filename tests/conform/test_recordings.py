"""Every recording of a real kernel that comes with softnet, replayed by the code of `softnet conform`: one test per file and kernel."""

from __future__ import annotations

from pathlib import Path

import pytest

from scenarios.conform.formats import replay_file
from scenarios.conform.load import load

GOLDEN = Path(__file__).parent.parent / "golden"
FILES = sorted(GOLDEN.rglob("*.json.xz"))
CASES = {
    "gro": 620,
    "gro_fuzz": 361,
    "gro_poll": 21,
    "rfs": 9,
    "rfs_fuzz": 10,
    "rps": 24,
    "softnet": 27,
    "stack": 30,
    "trace": 5,
    "virtio": 4,
}
"""Cases a file has, by its name, in both kernels."""


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}-{path.name.split('.')[0]}")
def test_the_emulator_agrees_with_the_recording(path: Path) -> None:
    result = replay_file(load(path))
    assert result.count("failed") == 0, "\n".join(result.lines(verbose=False))
    assert result.count("not judged") == 0
    assert result.count("passed") == CASES[path.name.split(".")[0]]


def test_every_format_of_both_kernels_is_there() -> None:
    assert {(path.parent.name, path.name.split(".")[0]) for path in FILES} == {
        (kernel, name) for kernel in ("6.1", "6.12") for name in CASES
    }
